/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tenon bench: measurements. Each is a line `TENON-BENCH <name> <value> <unit>`; a name that ends in
 * .share or .mirror has a peer in the same boot, the others have theirs in a boot without Tenon
 * (tools/bench takes turns, and prints medians and ratios). Without Tenon only the host's disk is
 * measured.
 */
#include "bench.h"
#include "demo.h"
#include "payload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 16u /* ranges that are shared at the same time, each in a 2 MiB of its own */

struct bench {
    struct ctl c;
    struct tn_info info;
    uint64_t converts;   /* measured in each setting */
    double load_seconds; /* of the VM under load */
    uint64_t seed;
    int failed;
};

void bench_value(const char *unit, double value, const char *fmt, ...)
{
    char name[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    printf("TENON-BENCH %s %.*f %s\n", name, value < 10 ? 2 : 1, value, unit);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *v, size_t n)
{
    if (n == 0) {
        return 0;
    }
    qsort(v, n, sizeof(*v), by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static bool failed(struct bench *b, int result, const char *what)
{
    if (result == 0) {
        return false;
    }
    b->failed++;
    ui_refused(result, "%s", what);
    return true;
}

/* ---- VMs ---- */

struct bench_vm {
    struct bench *b;
    const char *mode; /* "share", "mirror" */
    uint64_t flags, bytes, id;
    int disk;                    /* bdf of its disk, -1: none */
    double zero_step, last_step; /* seconds: a step that zeroes 16 MiB; the one that maps */
};

/* TN_VM_PREPARE zeroes in equal steps, and maps everything in the last one. */
static int prepare(struct bench_vm *v)
{
    static double step[8192];
    struct reply r;
    size_t n = 0;
    do {
        double t = now();
        CTL(&v->b->c, &r, TN_VM_PREPARE, v->id);
        v->last_step = now() - t;
        if (r.result == -EAGAIN && n < COUNT(step)) {
            step[n++] = v->last_step;
        }
    } while (r.result == -EAGAIN);
    v->zero_step = bench_median(step, n);
    return r.result;
}

static bool vm_open(struct bench_vm *v)
{
    struct reply r;
    struct bench *b = v->b;
    char disk[32];
    v->disk = -1;
    CTL(&b->c, &r, TN_VM_CREATE, v->bytes, v->flags, 0);
    if (failed(b, r.result, "create")) {
        return false;
    }
    v->id = r.out[0];
    if (failed(b, prepare(v), "prepare")) {
        vm_destroy(&b->c, v->id);
        return false;
    }
    /* With a device behind it the SMMU takes part in every invalidation. */
    if (demo_wait_disk("vm", disk, sizeof(disk)) && pci_nvme("vm") >= 0) {
        uint32_t bdf = (uint32_t)pci_nvme("vm");
        if (!failed(b, vm_take(&b->c, bdf, v->id), "take the VM's disk")) {
            v->disk = (int)bdf;
        }
    }
    return true;
}

static void vm_close(struct bench_vm *v)
{
    if (v->disk >= 0) {
        failed(v->b, vm_return(&v->b->c, (uint32_t)v->disk, "nvme"), "return the VM's disk");
    }
    failed(v->b, vm_destroy(&v->b->c, v->id), "destroy");
}

/* One conversion; its time in microseconds, negative when it was refused. */
static double convert(struct bench_vm *v, uint64_t page, uint64_t bytes, bool to_shared)
{
    struct reply r;
    double t = now();
    CTL(&v->b->c, &r, TN_VM_CONVERT, v->id, TN_GUEST_RAM + page * PAGE, bytes, to_shared, 0);
    t = (now() - t) * 1e6;
    return failed(v->b, r.result, "convert") ? -1 : t;
}

/* Ranges of `bytes` at random, each in another 2 MiB; their first pages. */
static void pick(struct bench_vm *v, uint64_t bytes, uint64_t page[BATCH])
{
    for (unsigned i = 0; i < BATCH; i++) {
        bool again = true;
        while (again) {
            page[i] = random64(&v->b->seed) % (v->bytes / bytes) * (bytes / PAGE);
            again = false;
            for (unsigned k = 0; k < i; k++) {
                again |= page[k] * PAGE / (2 * MIB) == page[i] * PAGE / (2 * MIB);
            }
        }
    }
}

/*
 * Median time of a conversion of `bytes` at random places, to shared and back. Every one of 4 KiB
 * cuts a 2 MiB leaf in each tree, or makes one again: the same work whatever the memory's size.
 */
static double conversion_us(struct bench_vm *v, uint64_t bytes, uint64_t count)
{
    double *us = malloc((count + 2 * BATCH) * sizeof(*us));
    uint64_t page[BATCH];
    size_t n = 0;
    if (!us) {
        v->b->failed++;
        return 0;
    }
    while (n < count && !v->b->failed) {
        pick(v, bytes, page);
        for (unsigned i = 0; i < BATCH && !v->b->failed; i++) {
            us[n++] = convert(v, page[i], bytes, true);
        }
        for (unsigned i = BATCH; i-- > 0 && !v->b->failed;) {
            us[n++] = convert(v, page[i], bytes, false);
        }
    }
    double median = bench_median(us, n);
    free(us);
    return median;
}

/* ---- what is measured ---- */

static void empty_call(struct bench *b)
{
    static double us[2000];
    struct reply r;
    for (size_t i = 0; i < COUNT(us); i++) {
        double t = now();
        CTL(&b->c, &r, TN_HELLO, 0);
        us[i] = (now() - t) * 1e6;
    }
    bench_value("us", bench_median(us, COUNT(us)), "empty-call");
}

static double tables_kib(struct bench_vm *v)
{
    struct tn_vm_stat s;
    ctl_stat(&v->b->c, v->id, &s);
    return (double)((s.cpu_tables + (v->flags & TN_VM_SHARE ? 0 : s.io_tables)) * PAGE) / 1024;
}

/* A page of every 2 MiB shared: the tree at its largest for its number of conversions. */
static void tables(struct bench_vm *v)
{
    bench_value("KiB", tables_kib(v), "tables-1G-whole.%s", v->mode);
    for (unsigned way = 0; way < 2; way++) {
        for (uint64_t at = 0; at < v->bytes && !v->b->failed; at += 2 * MIB) {
            convert(v, at / PAGE + 7, PAGE, way == 0);
        }
        if (way == 0) {
            bench_value("KiB", tables_kib(v), "tables-1G-cut.%s", v->mode);
        }
    }
}

static void mode_of_trees(struct bench *b, const char *mode, uint64_t flags)
{
    struct bench_vm v = { .b = b, .mode = mode, .flags = flags, .bytes = GIB };
    if (!vm_open(&v)) {
        return;
    }
    bench_value("us", v.last_step * 1e6, "map-1G.%s", mode);
    bench_value("us", conversion_us(&v, PAGE, b->converts), "convert-4K.%s", mode);
    bench_value("us", conversion_us(&v, 2 * MIB, b->converts / 8), "convert-2M.%s", mode);
    tables(&v);
    vm_close(&v);

    struct bench_vm small = { .b = b, .mode = mode, .flags = flags | TN_VM_PRECUT, .bytes = GIB };
    if (!b->failed && vm_open(&small)) {
        bench_value("us", small.last_step * 1e6, "map-1G-by-4K.%s", mode);
        vm_close(&small);
    }
}

/* The cost of a conversion must not grow with the memory. */
static void sizes(struct bench *b)
{
    for (uint64_t mib = 64; mib <= 1024 && !b->failed; mib *= 2) {
        struct bench_vm v = { .b = b, .mode = "mirror", .bytes = mib * MIB };
        if (vm_open(&v)) {
            bench_value("us", conversion_us(&v, PAGE, b->converts), "convert-by-size.%llu-MiB",
                        (unsigned long long)mib);
            vm_close(&v);
        }
    }
}

/* The demonstration's load: requests of the guest, commits of the owner, DMA all the time. */
static void under_load(struct bench *b, const char *mode, uint64_t flags)
{
    struct bench_vm v = { .b = b, .mode = mode, .flags = flags, .bytes = 256 * MIB };
    uint64_t len;
    if (!vm_open(&v)) {
        return;
    }
    int error = vm_populate_file(&b->c, v.id, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!error) {
        error = vm_seal(&b->c, v.id, TN_GUEST_RAM, payload_load(1u << 30, 1000, 0));
    }
    struct load l = { .vm = v.id,
                      .run_cpu = 1,
                      .owner_cpu = 0,
                      .commit = true,
                      .watch = true,
                      .limit = b->load_seconds };
    if (!error) {
        error = load_run(&b->c, &l);
    }
    if (!failed(b, error, "run the VM")) {
        struct load_report r = load_report(&l.after);
        if (l.end != LOAD_TIME) {
            b->failed++;
            ui_error("the VM under load ended early: %s", l.caught);
        }
        bench_value("/s", (double)l.after.conversions / l.seconds, "load-conversions.%s", mode);
        bench_value("MB/s", (double)r.bytes / 1e6 / l.seconds, "load-nvme.%s", mode);
    }
    vm_close(&v);
}

static void host_disk(struct bench *b, bool with_tenon, uint64_t bytes)
{
    char path[32];
    struct reply r;
    if (!demo_wait_disk("host", path, sizeof(path))) {
        b->failed++;
        ui_error("no NVMe disk with serial `host` (see tools/qemu --help)");
        return;
    }
    b->failed += bench_disk(path, bytes, "");
    if (!with_tenon) {
        return;
    }
    for (uint64_t mode = 1; mode <= 2; mode++) {
        if (CTL(&b->c, &r, TN_HOST_MODE, mode) == 0) {
            b->failed += bench_disk(path, bytes, mode == 1 ? ".share" : ".mirror");
        } else {
            printf("the host's share mode: %s\n", b->info.share_why);
        }
    }
}

int cmd_bench(int argc, char **argv)
{
    static struct bench b;
    uint64_t converts = 4096;
    uint64_t bytes = 128 * MIB;
    uint64_t seconds = 6;
    char why[256];
    const struct arg args[] = {
        { "--converts", ARG_NUMBER, &converts, "N", "conversions in each setting (4096)" },
        { "--bytes", ARG_SIZE, &bytes, "SIZE", "through the host's disk, each way (128M)" },
        { "--seconds", ARG_NUMBER, &seconds, "N", "of a VM under load, each mode (6)" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "bench",
        .synopsis = "[options]",
        .about =
            "Measures, and prints `TENON-BENCH <name> <value> <unit>` lines. Without Tenon only\n"
            "the host's disk is measured: `make bench` runs both, and shows them side by side.",
        .args = args,
    };
    args_parse(&cmd, argc, argv, NULL);
    b.converts = converts < 16 ? 16 : converts;
    b.load_seconds = (double)seconds;
    b.seed = (uint64_t)(now() * 1e9) | 1;
    host_pin(0);
    bool with_tenon = ctl_open(&b.c, why, sizeof(why)) == 0;
    if (!with_tenon) {
        printf("only the host's disk: %s\n", why);
    } else if (failed(&b, ctl_info(&b.c, &b.info), "info")) {
        return EXIT_FAILED;
    }
    host_disk(&b, with_tenon, bytes);
    if (!with_tenon) {
        return b.failed ? EXIT_FAILED : EXIT_OK;
    }
    host_pin(0);
    empty_call(&b);
    mode_of_trees(&b, "mirror", 0);
    if (b.info.share_live) {
        mode_of_trees(&b, "share", TN_VM_SHARE);
    }
    sizes(&b);
    under_load(&b, "mirror", 0);
    if (b.info.share_live) {
        under_load(&b, "share", TN_VM_SHARE);
    }
    return b.failed ? EXIT_FAILED : EXIT_OK;
}
