/* SPDX-License-Identifier: BSD-2-Clause */
#include "stat.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "subject.h"

static double tick_ns = 1;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stat_init(void)
{
    cpu_set_t set;
    int cpu = sched_getcpu();

    CPU_ZERO(&set);
    CPU_SET((size_t)(cpu < 0 ? 0 : cpu), &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        perror("bench_pt: note: not kept on one CPU");
    }
    (void)setpriority(PRIO_PROCESS, 0, -20); /* root's only, and not needed */
    uint64_t start = now_ns(), t = ticks(), end;
    do {
        end = now_ns();
    } while (end - start < 50000000);
    tick_ns = (double)(end - start) / (double)(ticks() - t);
}

long stat_switches(void)
{
    struct rusage u;

    return getrusage(RUSAGE_THREAD, &u) == 0 ? u.ru_nivcsw : 0;
}

void stat_add_ns(struct stat_set *s, double ns)
{
    if (s->n < STAT_MAX) {
        s->ns[s->n++] = ns;
    }
}

void stat_add(struct stat_set *s, uint64_t tick, double operations)
{
    stat_add_ns(s, (double)tick * tick_ns / operations);
}

double stat_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

double stat_median(struct stat_set *s)
{
    if (s->n == 0) {
        return 0;
    }
    qsort(s->ns, s->n, sizeof(s->ns[0]), by_value);
    return s->n % 2 ? s->ns[s->n / 2] : (s->ns[s->n / 2 - 1] + s->ns[s->n / 2]) / 2;
}

double stat_min(const struct stat_set *s)
{
    double least = s->n ? s->ns[0] : 0;

    for (unsigned i = 1; i < s->n; i++) {
        least = s->ns[i] < least ? s->ns[i] : least;
    }
    return least;
}

void stat_print_machine(void)
{
    char line[256], model[128] = "unknown CPU", day[32];
    double load[1] = { 0 };
    time_t t = time(NULL);
    struct tm tm;
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof(line), f)) {
        char *name = strchr(line, ':');

        if (!strncmp(line, "model name", 10) && name) {
            name[strcspn(name, "\n")] = '\0';
            snprintf(model, sizeof(model), "%s", name + 2);
            break;
        }
    }
    if (f) {
        fclose(f);
    }
    (void)getloadavg(load, 1);
    strftime(day, sizeof(day), "%Y-%m-%d", localtime_r(&t, &tm));
    printf("%s, %ld CPUs, load %.1f at the start, %s\n", model, sysconf(_SC_NPROCESSORS_ONLN),
           load[0], day);
}
