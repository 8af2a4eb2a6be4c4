/* SPDX-License-Identifier: BSD-2-Clause */
/* The torture run as a program. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib_torture.h"

static const char usage[] =
    "usage: torture [-t SECONDS] [-s SEED] [-r RUNS] [-f FORMAT] [-p FILE]\n"
    "\n"
    "Everything that can happen to a guest's memory, at once, on one small object: conversions, "
    "faults,\n"
    "DMA through a shared tree and an own one, switches between the two, logs of writes, cuts, "
    "merges,\n"
    "zaps, page requests, pins, spaces that come and go, processes that change what devices reach "
    "by\n"
    "PASID; with delays at every store and every wait. Each access is held against what the "
    "library\n"
    "promises, when it is made.\n"
    "\n"
    "  -t SECONDS  how long in all (10)\n"
    "  -s SEED     of the first run (1); a run's seed also decides what its IOMMU can do\n"
    "  -r RUNS     worlds, one after the other, that share the time (8)\n"
    "  -f FORMAT   of the trees (each in turn): arm-s2-4k, and with other trees for devices or "
    "CPUs\n"
    "              arm-s1-4k, x86-64, ept, vtd-ss, amd-v1, riscv-x4, riscv\n"
    "  -p FILE     shows the memory there (a new file): tenon-top FILE, tenon-top --svg OUT FILE\n"
    "\n"
    "Exit code 0: nothing found; 1: a promise was broken, in words; 2: wrong arguments.\n";

_Noreturn static void wrong(const char *option, const char *wanted, const char *s)
{
    fprintf(stderr, "torture: %s takes %s%s%s (try --help)\n", option, wanted,
            s != NULL ? ", not " : "", s != NULL ? s : "");
    exit(2);
}

static double number(const char *option, const char *s, double least, double most)
{
    char *end = NULL, wanted[64];
    double v = s == NULL ? 0 : strtod(s, &end);

    if (s == NULL || *s == '\0' || *end != '\0' || !(v >= least && v <= most)) {
        snprintf(wanted, sizeof(wanted), "a number from %g to %.0f", least, most);
        wrong(option, wanted, s);
    }
    return v;
}

static unsigned worlds(void)
{
    unsigned n = 0;

    while (torture_world(n) != NULL) {
        n++;
    }
    return n;
}

static int format(const char *s)
{
    for (unsigned i = 0; s != NULL && i < worlds(); i++) {
        if (strcmp(s, torture_world(i)) == 0) {
            return (int)i;
        }
    }
    char known[200] = "one of";

    for (unsigned i = 0; i < worlds(); i++) {
        size_t at = strlen(known);

        snprintf(known + at, sizeof(known) - at, " %s", torture_world(i));
    }
    wrong("-f", known, s);
}

int main(int argc, char **argv)
{
    double seconds = 10, seed = 1, runs = 8;
    struct torture_result sum = { 0 };
    struct snapshot_file *picture = NULL;
    int only = -1;

    for (int i = 1; i < argc; i += 2) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "-f") == 0) {
            only = format(argv[i + 1]);
            continue;
        }
        if (strcmp(argv[i], "-p") == 0) {
            if (argv[i + 1] == NULL) {
                wrong("-p", "a file", NULL);
            }
            picture = snapshot_file_make(argv[i + 1], "torture");
            if (picture == NULL) {
                perror(argv[i + 1]);
                return 2;
            }
            continue;
        }
        if (strcmp(argv[i], "-t") == 0) {
            seconds = number("-t", argv[i + 1], 0.01, 1e7);
        } else if (strcmp(argv[i], "-s") == 0) {
            seed = (double)(uint64_t)(number("-s", argv[i + 1], 1, 9007199254740992.0));
        } else if (strcmp(argv[i], "-r") == 0) {
            runs = (double)(uint64_t)(number("-r", argv[i + 1], 1, 100000));
        } else {
            fprintf(stderr, "torture: no option %s (try --help)\n", argv[i]);
            return 2;
        }
    }
    for (unsigned k = 0; k < (unsigned)runs && sum.wrong == 0; k++) {
        struct torture_opts o = { .seed = (uint64_t)seed + k,
                                  .world = only >= 0 ? (unsigned)only : k % worlds(),
                                  .seconds = seconds / runs,
                                  .picture = picture };
        struct torture_result r;

        torture_run(&o, &r);
        for (unsigned i = 0; i < TORTURE_OPS; i++) {
            sum.ops[i] += r.ops[i];
        }
        if (r.wrong != 0) {
            printf("%s, seed %lu: %lu broken promises, first: %s\n", torture_world(o.world),
                   (unsigned long)o.seed, (unsigned long)r.wrong, r.first);
            sum.wrong += r.wrong;
        }
        fflush(stdout);
    }
    for (unsigned i = 0; i < TORTURE_OPS; i++) {
        printf("%12lu  %s\n", (unsigned long)sum.ops[i], torture_op_name((enum torture_op)i));
    }
    printf("torture: %lu broken promises\n", (unsigned long)sum.wrong);
    return sum.wrong != 0;
}
