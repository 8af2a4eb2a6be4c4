/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tenon mutant: the load of the demonstration against a deliberately wrong hypervisor, until one of
 * the checks fails. Names of the checks, as patches in tests/mutants/ expect them:
 *   smmu-event nvme-error wrong-bytes-dma wrong-bytes-cpu cpu-fault commit-refused
 *   leaf-count audit frames vm-stopped
 */
#include "demo.h"
#include "payload.h"

#include <errno.h>
#include <string.h>

struct mutant {
    struct ctl c;
    struct load load;
    uint64_t vm;
    uint32_t bdf;
};

static bool same_leaves(const struct tn_vm_stat *a, const struct tn_vm_stat *b)
{
    return memcmp(a->cpu_leaves, b->cpu_leaves, sizeof(a->cpu_leaves)) == 0 &&
           memcmp(a->io_leaves, b->io_leaves, sizeof(a->io_leaves)) == 0;
}

static const char *caught_by_audit(struct mutant *m)
{
    struct audit_result a;
    if (ctl_audit(&m->c, &a) == 0 && a.violations) {
        printf("audit: %llu violations, first: %s\n", (unsigned long long)a.violations, a.first);
        return "audit";
    }
    return NULL;
}

/* Until the program's first phase is over, or a check fails. Its name, or NULL. */
static const char *under_load(struct mutant *m, double limit)
{
    struct load *l = &m->load;
    struct reply r;
    *l = (struct load){ .vm = m->vm,
                        .run_cpu = 1,
                        .owner_cpu = 0,
                        .commit = true,
                        .watch = true,
                        .limit = limit,
                        .label = "wrong variant?" };
    if (load_run(&m->c, l) != 0) {
        return "vm-stopped";
    }
    switch (l->end) {
    case LOAD_CHECK:
        return l->caught;
    case LOAD_TIME:
        return caught_by_audit(m);
    case LOAD_YIELD:
        break;
    default:
        return "vm-stopped";
    }
    if (CTL_FINISH(&m->c, &r, "merging", TN_VM_MERGE, m->vm) != 0) {
        return "commit-refused";
    }
    ctl_stat(&m->c, m->vm, &l->after);
    return same_leaves(&l->before, &l->after) ? caught_by_audit(m) : "leaf-count";
}

static int start(struct mutant *m, uint64_t bytes, uint64_t flags, uint64_t count, unsigned load)
{
    const char *step;
    uint64_t len;
    char disk[32];
    if (!demo_wait_disk("vm", disk, sizeof(disk)) || pci_nvme("vm") < 0) {
        return ui_error("no NVMe disk with serial `vm` (see tools/qemu --help)");
    }
    m->bdf = (uint32_t)pci_nvme("vm");
    int id = vm_create(&m->c, bytes, flags, &step);
    if (id < 0) {
        return ui_refused(id, "%s", step);
    }
    m->vm = (uint64_t)id;
    int error = vm_populate_file(&m->c, m->vm, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!error) {
        error = vm_seal(&m->c, m->vm, TN_GUEST_RAM, payload_load(count, 1000, load));
    }
    if (!error) {
        error = vm_take(&m->c, m->bdf, m->vm);
    }
    return error ? ui_refused(error, "setting up vm %d", id) : EXIT_OK;
}

static int verdict(struct mutant *m, const char *caught)
{
    struct load_report r = load_report(&m->load.after);
    uint64_t n = m->load.after.conversions;
    load_print_report(&m->load.after);
    if (m->load.first_event[0]) {
        printf("first event: %s\n", m->load.first_event);
    }
    if (!caught) {
        printf("NOT CAUGHT in %llu changes\n", (unsigned long long)n);
        return EXIT_FAILED;
    }
    bool wrong = strncmp(caught, "wrong-bytes", 11) == 0;
    printf("CAUGHT %s after %llu changes\n", caught,
           (unsigned long long)(wrong && r.first_at ? r.first_at : n));
    return EXIT_OK;
}

int cmd_mutant(int argc, char **argv)
{
    uint64_t seconds = 90;
    uint64_t count = 200000;
    uint64_t bytes = GIB;
    uint64_t load = 0;
    bool share = false;
    const struct arg args[] = {
        { "--seconds", ARG_NUMBER, &seconds, "N", "give up after this long (90)" },
        { "--conversions", ARG_NUMBER, &count, "N", "or after so many (200,000)" },
        { "--memory", ARG_SIZE, &bytes, "SIZE", "of the VM (1G)" },
        { "--flags", ARG_NUMBER, &load, "N",
          "of the payload's load: 1 4K only, 4 whole pages, 8 scattered" },
        { "--share", ARG_FLAG, &share, NULL, "CPU and SMMU walk one tree" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "mutant",
        .synopsis = "[share] [options]",
        .about =
            "Runs the demonstration's load until a check fails, and names that check: a wrong\n"
            "variant of the hypervisor must be caught, the right one must not. Prints\n"
            "`CAUGHT <check> after <n> changes`, or `NOT CAUGHT ...` and ends with 1.",
        .args = args,
        .max = 1,
    };
    const char *word[1] = { NULL };
    args_parse(&cmd, argc, argv, word);
    if (word[0] && strcmp(word[0], "share") != 0) {
        fprintf(stderr, "tenon mutant: `%s`? It is `share` or nothing\n", word[0]);
        return EXIT_USAGE;
    }
    static struct mutant m;
    ctl_need(&m.c);
    int code = start(&m, bytes, share || word[0] ? TN_VM_SHARE : 0, count, (unsigned)load);
    if (code != EXIT_OK) {
        return code;
    }
    return verdict(&m, under_load(&m, (double)seconds));
}
