/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Demonstration, section 2: a protected VM with its own disk. Its program keeps DMA in flight all
 * over its memory and asks for conversions; we, its owner, commit them from the other CPU.
 */
#include "demo.h"
#include "payload.h"

#include <errno.h>
#include <string.h>

struct run { /* one VM's demonstration */
    struct demo *d;
    const struct demo_vm *v;
    uint64_t id;
    uint32_t bdf;
    struct load load;
};

static const char *row_name(const struct run *r, const char *what)
{
    return ui_format("%s: %s", r->v->name, what);
}

/* One row for the table; the name is "<mode>: <what>". */
#define ROW(r, ok, what, want, ...) \
    check_add(&(r)->d->t, (ok), row_name((r), (what)), (want), __VA_ARGS__)

static void leaves_text(char *text, size_t size, const struct tn_vm_stat *s)
{
    snprintf(text, size, "CPU %llu/%llu/%llu I/O %llu/%llu/%llu",
             (unsigned long long)s->cpu_leaves[1], (unsigned long long)s->cpu_leaves[2],
             (unsigned long long)s->cpu_leaves[3], (unsigned long long)s->io_leaves[1],
             (unsigned long long)s->io_leaves[2], (unsigned long long)s->io_leaves[3]);
}

static bool same_leaves(const struct tn_vm_stat *a, const struct tn_vm_stat *b)
{
    return memcmp(a->cpu_leaves, b->cpu_leaves, sizeof(a->cpu_leaves)) == 0 &&
           memcmp(a->io_leaves, b->io_leaves, sizeof(a->io_leaves)) == 0;
}

static void row_leaves(struct run *r, const char *what, const char *want,
                       const struct tn_vm_stat *before, const struct tn_vm_stat *after)
{
    char b[64];
    char a[64];
    leaves_text(b, sizeof(b), before);
    leaves_text(a, sizeof(a), after);
    bool same = same_leaves(before, after);
    ROW(r, same, what, want, "%s%s%s", a, same ? "" : ", was ", same ? "" : b);
}

static void row_audit(struct run *r, const char *what)
{
    struct audit_result a;
    int error = ctl_audit(&r->d->c, &a);
    if (error) {
        ROW(r, false, what, "0 violations", "%s", errno_name(error));
    } else {
        ROW(r, a.violations == 0, what, "0 violations", "%llu in %s leaves%s%.40s",
            (unsigned long long)a.violations, ui_count(a.leaves), a.violations ? ": " : "",
            a.first);
    }
}

/* ---- the steps ---- */

static bool start(struct run *r)
{
    const char *step;
    struct ctl *c = &r->d->c;
    uint64_t len = 0;
    double t = now();
    int id = vm_create(c, r->d->vm_bytes, r->v->flags, &step);
    if (id < 0) {
        ROW(r, false, "VM created", "a VM", "%s: %s", step, errno_name(id));
        return false;
    }
    r->id = (uint64_t)id;
    printf("  vm %d: %s zeroed and mapped in %.2f s\n", id, ui_size(r->d->vm_bytes), now() - t);
    int error = vm_populate_file(c, r->id, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!error) {
        error = vm_seal(c, r->id, TN_GUEST_RAM, payload_load(r->v->conversions, r->v->inplace, 0));
    }
    if (error) {
        ROW(r, false, "VM populated and sealed", "ok", "%s", errno_name(error));
        return false;
    }
    error = vm_populate(c, r->id, TN_GUEST_RAM, "late", 4);
    ROW(r, error == -EPERM, "populate after launch", "EPERM", "%s", errno_name(error));
    error = vm_take(c, r->bdf, r->id);
    ROW(r, error == 0, "NVMe disk taken", "ok", "%s (%s)", errno_name(error), ui_bdf(r->bdf));
    return error == 0;
}

static void rows_clean(struct run *r, const char *when)
{
    const struct load *l = &r->load;
    struct load_report a = load_report(&l->after);
    struct load_report b = load_report(&l->before);
    ROW(r, l->events == 0, ui_format("SMMU events%s", when), "0", "%s %.56s", ui_count(l->events),
        l->first_event);
    ROW(r, a.errors == b.errors && a.commands > b.commands, ui_format("NVMe errors%s", when), "0",
        "%llu in %s commands (%.0f MB/s)", (unsigned long long)(a.errors - b.errors),
        ui_count(a.commands - b.commands), (double)(a.bytes - b.bytes) / 1e6 / l->seconds);
    ROW(r, a.wrong_dma == b.wrong_dma && a.wrong_cpu == b.wrong_cpu && a.touches > b.touches,
        ui_format("wrong bytes%s", when), "0 (DMA), 0 (CPU)", "%llu, %llu in %s CPU touches",
        (unsigned long long)(a.wrong_dma - b.wrong_dma),
        (unsigned long long)(a.wrong_cpu - b.wrong_cpu), ui_count(a.touches - b.touches));
    ROW(r, l->refused == 0, ui_format("commits refused%s", when), "0", "%llu%s%s",
        (unsigned long long)l->refused, l->refused ? ", last " : "",
        l->refused ? errno_name(l->refused_with) : "");
}

/* Until the program says that this phase is over. */
static bool phase(struct run *r, uint64_t word, const char *what)
{
    struct load *l = &r->load;
    *l = (struct load){ .vm = r->id,
                        .run_cpu = 1,
                        .owner_cpu = 0,
                        .commit = true,
                        .stall = 20,
                        .label = what,
                        .console = "  guest: " };
    int error = load_run(&r->d->c, l);
    bool good = !error && l->end == LOAD_YIELD && l->value == word;
    if (l->end == LOAD_TIME) {
        l->value = l->after.pending;
    }
    if (!good) {
        const char *how = error                      ? "not started"
                          : l->end == LOAD_YIELD     ? "another phase"
                          : l->end == LOAD_OFF       ? "the guest stopped"
                          : l->end == LOAD_FAULT     ? "fault at"
                          : l->end == LOAD_UNHANDLED ? "unhandled, ESR"
                          : l->end == LOAD_TIME      ? "nothing asked for 20 s; pending"
                                                     : "cannot run";
        ROW(r, false, what, "its program comes to the end", "%s %#llx", how,
            (unsigned long long)(error ? (uint64_t)-error : l->value));
        load_print_report(&l->after);
        rows_clean(r, " until then");
    }
    return good;
}

static void convert_live(struct run *r)
{
    char want[48];
    struct reply reply;
    struct load *l = &r->load;
    if (!phase(r, PAYLOAD_PHASE_CONVERT, r->v->name)) {
        return;
    }
    uint64_t n = l->after.conversions - l->before.conversions;
    r->d->done += n;
    printf("  %s conversions in %.1f s: %s a second; the owner looked %s times for requests, %s in "
           "vain; the vCPU ran %s times\n",
           ui_count(n), l->seconds, ui_count((uint64_t)((double)n / l->seconds)),
           ui_count(l->polls), ui_count(l->idle), ui_count(l->runs));
    snprintf(want, sizeof(want), "at least %s", ui_count(r->v->conversions));
    ROW(r, n >= r->v->conversions, "conversions under DMA", want, "%s", ui_count(n));
    rows_clean(r, "");
    if (r->d->info.cpu_bbm < 2 && !(r->v->flags & TN_VM_SHARE)) {
        uint64_t faults = l->after.faults - l->before.faults;
        ROW(r, faults > 0 && l->events == 0, "CPU breaks, SMMU hitless", "CPU faults, no DMA fault",
            "%s CPU faults, all resumed", ui_count(faults));
    }
    CTL_FINISH(&r->d->c, &reply, "merging", TN_VM_MERGE, r->id);
    ctl_stat(&r->d->c, r->id, &l->after);
    row_leaves(r, "leaves merged back", "as before", &l->before, &l->after);
    row_audit(r, "audit after it");
}

static void convert_inplace(struct run *r)
{
    char want[48];
    struct load *l = &r->load;
    if (!phase(r, PAYLOAD_PHASE_INPLACE, "in place")) {
        return;
    }
    uint64_t n = l->after.conversions_inplace - l->before.conversions_inplace;
    snprintf(want, sizeof(want), "at least %s", ui_count(r->v->inplace));
    ROW(r, n >= r->v->inplace, "in-place conversions", want, "%s", ui_count(n));
    rows_clean(r, " in place");
    row_leaves(r, "trees untouched in place", "same leaves", &l->before, &l->after);
    bool same = l->before.cuts == l->after.cuts && l->before.merges == l->after.merges &&
                l->before.refreshes == l->after.refreshes &&
                l->before.cpu_tables == l->after.cpu_tables &&
                l->before.io_tables == l->after.io_tables;
    ROW(r, same, "no cut, merge, refresh in place", "0, 0, 0", "%llu, %llu, %llu",
        (unsigned long long)(l->after.cuts - l->before.cuts),
        (unsigned long long)(l->after.merges - l->before.merges),
        (unsigned long long)(l->after.refreshes - l->before.refreshes));
}

static void fault_on_purpose(struct run *r)
{
    if (!phase(r, PAYLOAD_PHASE_FAULT, "deliberate fault")) {
        return;
    }
    ROW(r, r->load.events > 0, "deliberate DMA fault", "at least 1 event", "%s: %.56s",
        ui_count(r->load.events), r->load.first_event);
}

static void finish(struct run *r, const struct model *before)
{
    struct model after;
    char why[160];
    char disk[32];
    struct disk_result seen;
    struct ctl *c = &r->d->c;
    int error = vm_return(c, r->bdf, NULL);
    ROW(r, error == 0, "NVMe disk returned", "ok", "%s", errno_name(error));
    error = vm_destroy(c, r->id);
    ROW(r, error == 0, "VM destroyed", "ok", "%s", errno_name(error));
    error = model_read(c, &after);
    if (!error) {
        bool same = model_same(before, &after, why, sizeof(why));
        ROW(r, same, "no frame lost", "every frame as before", "%s",
            same ? ui_format("%s frames compared", ui_count(after.nframes)) : why);
        model_free(&after);
    } else {
        ROW(r, false, "no frame lost", "every frame as before", "%s", errno_name(error));
    }
    row_audit(r, "audit at the end");
    error = pci_bind(r->bdf, "nvme");
    memset(&seen, 0, sizeof(seen));
    if (!error && demo_wait_disk("vm", disk, sizeof(disk))) {
        disk_test(disk, 4 * MIB, 2, "the disk, the host's again", &seen);
    }
    ROW(r, seen.bytes && !seen.error && !seen.wrong_words, "host drives the disk again",
        "4 MiB out and in", "%s%s",
        seen.bytes ? ui_size(seen.bytes) : "no disk: ", seen.bytes ? "" : errno_name(error));
}

static void whole_life(struct run *r)
{
    if (start(r)) {
        convert_live(r);
        convert_inplace(r);
        fault_on_purpose(r);
    }
}

void demo_vm(struct demo *d, const struct demo_vm *v)
{
    static struct run r;
    struct model before;
    char disk[32];
    r = (struct run){ .d = d, .v = v, .id = UINT64_MAX };
    ui_title("2. A protected VM with its own disk: %s mode, %s conversions while DMA runs", v->name,
             ui_count(v->conversions));
    if (!demo_wait_disk("vm", disk, sizeof(disk)) || pci_nvme("vm") < 0) {
        ROW(&r, false, "a disk for the VM", "an NVMe disk with serial `vm`", "none");
        return;
    }
    r.bdf = (uint32_t)pci_nvme("vm");
    /* First: the kernel's interrupt tables for it are pinned pages, and come elsewhere next time. */
    pci_unbind(r.bdf);
    int error = model_read(&d->c, &before);
    if (error) {
        ROW(&r, false, "ownership read", "ok", "%s", errno_name(error));
        return;
    }
    whole_life(&r);
    if (r.id != UINT64_MAX) {
        finish(&r, &before);
    }
    model_free(&before);
}
