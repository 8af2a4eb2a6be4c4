/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware case (requirement B7): a boot that makes one or two pages shared around every DMA, and
 * private again after it. The thread reports 32 s of boot without private memory, 1 m 43 s (3.2 of it)
 * with a conversion that punches what goes out of use at once, 1 m 08 s (2.1) without the punch.
 *
 * Here a boot is so many DMA transfers of one or two pages, and memory touches between them. The guest's
 * memory stands on a memfd; a discard is the kernel's own fallocate() with a hole punch. The number of
 * touches between two transfers is calibrated, so that "discard at once" costs what it did there: that
 * is the machine's load, and not chosen in our favour. Then every policy runs the same boot.
 *
 * A firmware's buffers come from its heap, which gives out again what was freed: they are taken at
 * random from so many pages. More of them is harder for the lazy policy (all of them in the end: with
 * buffers anywhere it has to punch every page, later and one by one).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hosted.h>
#include <tenon/discard.h>
#include <tenon/space.h>

#define MIB    ((uint64_t)1 << 20)
#define TABLES 4096u
#define POOL   (HOSTED_BASE + ((uint64_t)1 << 30))
#define PAGES  (256 * MIB / PAGE_SIZE)
#define CHUNKS (2 * PAGES / CHUNK_PAGES)
#define GUEST  ((uint64_t)1 << 30)
#define ROUNDS 3u
#define WANT   3.2

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

static struct invalidator none[3] = { { issue, wait }, { issue, wait }, { issue, wait } };

static void must(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "bench_firmware: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what others do on this machine is left out */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 33) % below;
}

/* ---- one machine for each boot ---- */

static struct gmem gm;
static struct gmem_discard discard;
static struct space cpu, io, host;

static void make_space(struct space *s, enum space_kind kind, enum space_view view, bool prefill,
                       struct invalidator *inv)
{
    struct pt_config cfg = { .format = PT_ARM_S2_4K,
                             .ia_bits = 39,
                             .oa_bits = 44,
                             .start_level = 1,
                             .live = { .bbm = 2, .stalls = kind == SPACE_CPU } };

    must(space_init(s, kind, &cfg), "space_init");
    must(space_add_walker(s, inv), "space_add_walker");
    must(space_bind(s, &gm, view, GUEST, 0, PAGES, PT_READ | PT_WRITE, prefill), "space_bind");
}

static void power_on(void)
{
    static struct frame *frames;
    uint64_t n = (POOL - HOSTED_BASE) / PAGE_SIZE + CHUNKS * CHUNK_PAGES, cursor;

    free(frames);
    frames = calloc(n, sizeof(*frames));
    must(frames != NULL ? 0 : -ENOMEM, "frame table");
    frames_init(HOSTED_BASE, n, frames, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    must(frame_pool_add_chunks(POOL, CHUNKS, false), "chunks");
    must(gmem_create(&gm, OWNER_VM0, PAGES, true), "gmem_create");
    while (gmem_scrub(&gm, &cursor, 64) > 0) {
    }
    /* The VM's CPUs and its device; the host opens its windows as it touches them. */
    make_space(&cpu, SPACE_CPU, VIEW_GUEST, true, &none[0]);
    make_space(&io, SPACE_IO, VIEW_GUEST, true, &none[1]);
    make_space(&host, SPACE_CPU, VIEW_HOST, false, &none[2]);
    must(gmem_discard_init(&discard, &gm, hosted_punch, 4096, 1000000000), "gmem_discard_init");
    /* All memory is there before the boot begins: what is punched has to be brought in again. */
    for (uint64_t p = 0; p < PAGES; p++) {
        memset(port_va(gm.priv[p / CHUNK_PAGES] + p % CHUNK_PAGES * PAGE_SIZE), 1, PAGE_SIZE);
        memset(port_va(gm.shared[p / CHUNK_PAGES] + p % CHUNK_PAGES * PAGE_SIZE), 1, PAGE_SIZE);
    }
}

static void power_off(void)
{
    uint64_t cursor = 0;

    gmem_discard_fini(&discard);
    space_destroy(&cpu);
    space_destroy(&io);
    space_destroy(&host);
    while (gmem_destroy_step(&gm, &cursor, 64) > 0) {
    }
}

enum { NONE = -1 };

/* Nanoseconds of CPU for one transfer with its touches. policy NONE: memory that is never private. */
static uint64_t heap = 1024; /* pages that buffers are taken from */

static double boot(int policy, uint64_t transfers, uint64_t touches, uint64_t *punched)
{
    static uint8_t disk[2 * PAGE_SIZE], out[2 * PAGE_SIZE];

    power_on();
    rng = 11;
    double t = cpu_ns();

    for (uint64_t i = 0; i < transfers; i++) {
        uint64_t n = 1 + rnd(2), p = PAGES / 2 + rnd(heap - 1), pa;

        for (uint64_t k = 0; k < touches; k++) { /* the guest works on its memory */
            uint64_t q = rnd(PAGES), at = gm.priv[q / CHUNK_PAGES] + q % CHUNK_PAGES * PAGE_SIZE;

            ++*(volatile uint64_t *)port_va(at + rnd(512) * 8);
        }
        if (policy != NONE) {
            must(gmem_discard_convert(&discard, p, n, true, policy), "to shared");
        }
        for (uint64_t k = 0; k < n; k++) { /* the device stores, the guest takes it out */
            pa = gmem_frame(&gm, p + k);
            memcpy(port_va(pa), disk + k * PAGE_SIZE, PAGE_SIZE);
            memcpy(out + k * PAGE_SIZE, port_va(pa), PAGE_SIZE);
        }
        if (policy != NONE) {
            must(gmem_discard_convert(&discard, p, n, false, policy), "to private");
            /* ... and into the page that is private again. */
            for (uint64_t k = 0; k < n; k++) {
                memcpy(port_va(gmem_frame(&gm, p + k)), out + k * PAGE_SIZE, 64);
            }
        }
    }
    t = cpu_ns() - t;
    *punched = discard.punched;
    power_off();
    return t / (double)transfers;
}

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v)
{
    qsort(v, ROUNDS, sizeof(*v), less);
    return v[ROUNDS / 2];
}

static uint64_t calibrate(void)
{
    uint64_t n = 1000, ignored;
    double base[ROUNDS], once[ROUNDS], many[ROUNDS];

    for (unsigned r = 0; r < ROUNDS; r++) {
        base[r] = boot(NONE, n, 0, &ignored);
        once[r] = boot(GMEM_DISCARD, n, 0, &ignored);
        many[r] = boot(NONE, n, 300, &ignored);
    }
    double b = median(base), touch = (median(many) - b) / 300;
    /* (touches + once) / (touches + base) = WANT, and a little more. */
    double work = (median(once) - (WANT + 0.15) * b) / (WANT + 0.15 - 1);

    return work <= 0 ? 0 : (uint64_t)(work / touch);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int policy;
        double thread; /* what the thread had */
    } what[] = { { "no private memory", NONE, 1.0 },
                 { "discard at once", GMEM_DISCARD, 3.2 },
                 { "keep both copies", GMEM_KEEP, 2.1 },
                 { "discard lazily", GMEM_LAZY, 0 },
                 { "in place", GMEM_INPLACE, 0 } };
    enum { N = sizeof(what) / sizeof(what[0]) };
    uint64_t transfers = argc > 1 ? strtoull(argv[1], NULL, 0) : 3000, punched[N];
    double t[N][ROUNDS], m[N];

    heap = argc > 2 ? strtoull(argv[2], NULL, 0) : heap;
    if (transfers == 0 || argc > 3 || heap < 2 || heap > PAGES / 2) {
        fprintf(stderr, "usage: bench_firmware [TRANSFERS [BUFFERS]]\n"
                        "  DMA transfers in a boot, each flips one or two pages twice (3000)\n"
                        "  pages of the heap that buffers are taken from, 2 to 32768 (1024)\n");
        return 2;
    }
    must(hosted_memfd(POOL, CHUNKS * CHUNK_SIZE, 12), "memfd");
    uint64_t touches = calibrate();

    for (unsigned r = 0; r < ROUNDS; r++) { /* in turns: what the machine does hits all alike */
        for (unsigned i = 0; i < N; i++) {
            t[i][r] = boot(what[i].policy, transfers, touches, &punched[i]);
        }
    }
    for (unsigned i = 0; i < N; i++) {
        m[i] = median(t[i]);
    }
    printf("\nThe firmware case: %lu transfers of 1 or 2 pages out of %lu, %lu memory touches "
           "between two\n",
           (unsigned long)transfers, (unsigned long)heap, (unsigned long)touches);
    printf("  256 MiB on a memfd, CPU + I/O + host trees, medians of %u boots; guest_memfd: %s\n",
           ROUNDS,
           access("/dev/kvm", R_OK | W_OK) == 0 ? "not measured" : "no /dev/kvm on this machine");
    printf("  %-20s %12s %12s %10s %10s\n", "", "ns/transfer", "pages punched", "ratio", "thread");
    for (unsigned i = 0; i < N; i++) {
        printf("  %-20s %12.0f %12lu %10.2f ", what[i].name, m[i], (unsigned long)punched[i],
               m[i] / m[0]);
        if (what[i].thread != 0) {
            printf("%10.1f\n", what[i].thread);
        } else {
            printf("%10s\n", "-");
        }
    }
    return 0;
}
