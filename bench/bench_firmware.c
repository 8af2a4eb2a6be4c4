/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware case (requirement B7): a boot that makes one or two pages shared around every DMA, and
 * private again after it. The thread reports 32 s of boot without private memory, 1 m 43 s (3.2 of it)
 * with a conversion that punches what goes out of use at once, 1 m 08 s (2.1) without the punch.
 *
 * Here a boot is so many DMA transfers of one or two pages, and memory touches between them. The guest's
 * memory stands on a memfd; a discard is the kernel's own fallocate() with a hole punch. The number of
 * touches between two transfers is calibrated, so that "discard at once" costs what it did there: that
 * is the machine's load, and not chosen in our favour. Then every policy runs the same boot: a machine for
 * each, in turns of SLICE transfers, so that whatever else runs here hits all alike.
 *
 * Such buffers are hot: no policy that waits would ever discard one. So there is a run in which one transfer in
 * COLD takes pages from a quarter of memory that is gone through in turn, and the lazy policy may wait for
 * COLD_NS only: those it punches, and has to bring in again.
 *
 * A firmware's buffers come from its heap, which gives out again what was freed: they are taken at
 * random from so many pages. More of them is harder on the caches, where two copies of each want a place.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <hosted.h>
#include <tenon/discard.h>
#include <tenon/space.h>

#define MIB    ((uint64_t)1 << 20)
#define TABLES 16384u
#define POOL   (HOSTED_BASE + ((uint64_t)1 << 30))
#define PAGES  (16 * MIB / PAGE_SIZE)
#define CHUNKS (2 * PAGES / CHUNK_PAGES) /* of each machine */
#define WORK   (MIB / PAGE_SIZE) /* pages that the firmware works on, not counting its buffers */
#define GUEST  ((uint64_t)1 << 30)
#define SLICE  100u /* transfers of one machine, then those of the next */
#define WARM   20u
#define ROUNDS 5u
#define LAZY_NS \
    60000000000u /* the machines wait for each other, and for other programs: by the wall's clock */
#define COLD    32u
#define COLD_NS 400000000u
#define WANT    3.2
#define MARGIN  0.3 /* from run to run, and from length to length, that may differ */

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

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

/* ---- a machine for each policy ---- */

enum { NONE = -1 };
static const struct {
    const char *name;
    int policy;           /* NONE: memory that is never private */
    double thread, limit; /* what the thread had; what we want */
} what[] = { { "no private memory", NONE, 1.0, 0 },
             { "discard at once", GMEM_DISCARD, 3.2, 0 },
             { "keep both copies", GMEM_KEEP, 2.1, 0 },
             { "discard lazily", GMEM_LAZY, 0, 1.1 },
             { "in place", GMEM_INPLACE, 0, 1.1 } };
enum { LAZILY = 3, POLICIES = sizeof(what) / sizeof(what[0]) };

static struct machine {
    struct gmem gm;
    struct gmem_discard discard;
    struct space cpu, io, host;
    struct invalidator none[3];
    int policy;
    uint64_t rng, cold;
    double *slice, sum; /* ns for a transfer, of each slice that counts */
    uint64_t slices, punched, punches, spared;
} machine[POLICIES];

static uint64_t heap = 64; /* pages that buffers are taken from */
static bool cold;          /* are there transfers that take pages which are seldom used? */
static bool later = true;  /* are blocks merged behind the transfers, not in each? */

static uint64_t rnd(struct machine *m, uint64_t below)
{
    m->rng = m->rng * 6364136223846793005u + 1442695040888963407u;
    return (m->rng >> 33) % below;
}

static uint8_t *byte_of(const uint64_t *chunks, uint64_t page)
{
    return port_va(chunks[page / CHUNK_PAGES] + page % CHUNK_PAGES * PAGE_SIZE);
}

static void make_space(struct machine *m, struct space *s, enum space_kind kind,
                       enum space_view view, bool prefill, struct invalidator *inv)
{
    struct pt_config cfg = { .format = PT_ARM_S2_4K,
                             .ia_bits = 39,
                             .oa_bits = 44,
                             .start_level = 1,
                             .live = { .bbm = 2, .stalls = kind == SPACE_CPU } };

    *inv = (struct invalidator){ issue, wait };
    must(space_init(s, kind, &cfg), "space_init");
    must(space_add_walker(s, inv), "space_add_walker");
    must(space_bind(s, &m->gm, view, GUEST, 0, PAGES, PT_READ | PT_WRITE, prefill), "space_bind");
}

static void power_on(struct machine *m, int policy)
{
    uint64_t cursor;

    m->policy = policy;
    m->rng = 11;
    must(gmem_create(&m->gm, OWNER_VM0, PAGES, true), "gmem_create");
    while (gmem_scrub(&m->gm, &cursor, 64) > 0) {
    }
    /* The VM's CPUs and its device; the host opens its windows as it touches them. */
    make_space(m, &m->cpu, SPACE_CPU, VIEW_GUEST, true, &m->none[0]);
    make_space(m, &m->io, SPACE_IO, VIEW_GUEST, true, &m->none[1]);
    make_space(m, &m->host, SPACE_CPU, VIEW_HOST, false, &m->none[2]);
    m->gm.merge_later = later;
    must(gmem_discard_init(&m->discard, &m->gm, hosted_punch, 4096, cold ? COLD_NS : LAZY_NS),
         "gmem_discard_init");
    /* All memory is there before the boot begins: what is punched has to be brought in again. */
    for (uint64_t p = 0; p < PAGES; p++) {
        memset(byte_of(m->gm.priv, p), 1, PAGE_SIZE);
        if (policy != NONE && policy != GMEM_INPLACE) {
            memset(byte_of(m->gm.shared, p), 1, PAGE_SIZE);
        }
    }
}

static void power_off(struct machine *m)
{
    uint64_t cursor = 0;

    m->punched += m->discard.punched;
    m->punches += m->discard.punches;
    m->spared += m->discard.spared;
    gmem_discard_fini(&m->discard);
    space_destroy(&m->cpu);
    space_destroy(&m->io);
    space_destroy(&m->host);
    while (gmem_destroy_step(&m->gm, &cursor, 64) > 0) {
    }
}

static void transfer(struct machine *m, uint64_t touches)
{
    static uint8_t disk[2 * PAGE_SIZE], out[2 * PAGE_SIZE];
    uint64_t n = 1 + rnd(m, 2), p = PAGES / 2 + rnd(m, heap - 1);

    if (cold && rnd(m, COLD) == 0) {
        p = PAGES * 3 / 4 + m->cold;
        m->cold = (m->cold + n) % (PAGES / 4 - 1);
    }

    for (uint64_t k = 0; k < touches; k++) { /* the guest works on its memory */
        ++*(volatile uint64_t *)(void *)(byte_of(m->gm.priv, rnd(m, WORK)) + rnd(m, 512) * 8);
    }
    if (m->policy != NONE) {
        must(gmem_discard_convert(&m->discard, p, n, true, m->policy), "to shared");
    }
    for (uint64_t k = 0; k < n; k++) { /* the device stores, the guest takes it out */
        uint8_t *at = port_va(gmem_frame(&m->gm, p + k));

        memcpy(at, disk + k * PAGE_SIZE, PAGE_SIZE);
        memcpy(out + k * PAGE_SIZE, at, PAGE_SIZE);
    }
    if (m->policy != NONE) {
        must(gmem_discard_convert(&m->discard, p, n, false, m->policy), "to private");
        for (uint64_t k = 0; k < n; k++) { /* ... and into the page that is private again */
            memcpy(port_va(gmem_frame(&m->gm, p + k)), out + k * PAGE_SIZE, 64);
        }
    }
}

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *v, uint64_t n)
{
    qsort(v, n, sizeof(*v), less);
    return n == 0 ? 0 : v[n / 2];
}

static long switches(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return u.ru_nivcsw;
}

static void turn(struct machine *m, uint64_t touches)
{
    for (unsigned j = 0; j < WARM; j++) {
        transfer(m, touches);
    }
    long before = switches();
    double t = cpu_ns();

    for (unsigned j = WARM; j < SLICE; j++) {
        transfer(m, touches);
    }
    t = cpu_ns() - t;
    if (switches() == before) {
        m->slice[m->slices++] = t / (SLICE - WARM);
        m->sum += t / (SLICE - WARM);
    }
}

/*
 * Boots of the first n policies side by side, ROUNDS of them one after the other: each time the memory
 * of the machines is at other places. A slice in which another thread took the CPU does not count; nor
 * does a machine's WARM transfers after its turn has come, whose caches the others filled.
 */
static void boots(unsigned n, uint64_t transfers, uint64_t touches)
{
    uint64_t slices = transfers / SLICE / ROUNDS;

    for (unsigned i = 0; i < n; i++) {
        machine[i] = (struct machine){ .slice = calloc(transfers, sizeof(double)) };
        must(machine[i].slice != NULL ? 0 : -ENOMEM, "samples");
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < n; i++) {
            power_on(&machine[(i + round) % n], what[(i + round) % n].policy);
        }
        for (uint64_t s = 0; s < slices; s++) {
            for (unsigned k = 0; k < n; k++) {
                turn(&machine[(k + s) % n], touches); /* none is always the first */
            }
        }
        for (unsigned i = 0; i < n; i++) {
            power_off(&machine[i]);
        }
    }
}

/* Takes the slices with it. */
static double typical(struct machine *m)
{
    double ns = median(m->slice, m->slices);

    free(m->slice);
    return ns;
}

/* So many touches that "discard at once" costs WANT of the baseline, or a little more: measured with as many
 * touches, for what they leave in the caches matters. */
static uint64_t calibrate(void)
{
    double touches = 1000;

    for (unsigned step = 0; step < 5; step++) {
        boots(2, 20000, (uint64_t)touches);
        double base = typical(&machine[0]), once = typical(&machine[1]);

        /* What a discard costs beside the touches stays as it is: (base' + once - base) / base' = WANT. */
        touches *= once > base ? (once - base) / (WANT + MARGIN - 1) / base : 1;
        touches = touches < 10 ? 10 : touches;
    }
    return (uint64_t)touches;
}

static void measure(uint64_t transfers, uint64_t touches)
{
    double ns[POLICIES], mean[POLICIES];

    boots(POLICIES, transfers, touches);
    printf("  %6lu transfers      median of slices    mean  slices pages punched  ratio  thread  "
           "wanted\n",
           (unsigned long)transfers);
    for (unsigned i = 0; i < POLICIES; i++) {
        struct machine *m = &machine[i];
        uint64_t slices = m->slices;

        mean[i] = slices == 0 ? 0 : m->sum / (double)slices;
        ns[i] = typical(m);
        printf("  %-20s %16.0f ns %7.0f %7lu %13lu %6.2f ", what[i].name, ns[i], mean[i],
               (unsigned long)slices, (unsigned long)m->punched, ns[i] / ns[0]);
        printf(what[i].thread != 0 ? "%7.1f" : "      -", what[i].thread);
        if (what[i].limit != 0) {
            printf("  <= %.1f%s", what[i].limit, ns[i] / ns[0] <= what[i].limit ? "" : " NO");
        }
        printf("\n");
    }
    if (cold) {
        const struct machine *m = &machine[LAZILY];

        printf("  lazily: %lu pages punched in %lu calls; %lu came back into use before\n",
               (unsigned long)m->punched, (unsigned long)m->punches, (unsigned long)m->spared);
    }
}

static void cold_run(uint64_t transfers, uint64_t touches)
{
    cold = true;
    printf("\nOne transfer in %u takes pages that are seldom used; lazily: within %u ms\n", COLD,
           COLD_NS / 1000000u);
    measure(transfers, touches);
    cold = false;
}

int main(int argc, char **argv)
{
    uint64_t transfers[] = { 5000, 50000, 500000 }, touches;
    bool guest_memfd = argc == 2 && strcmp(argv[1], "guest_memfd") == 0;
    unsigned n = 3;

    if (guest_memfd) {
        transfers[0] = 50000;
        n = 1;
        argc = 1;
    } else if (argc > 1) {
        transfers[0] = strtoull(argv[1], NULL, 0);
        n = 1;
    }
    heap = argc > 2 ? strtoull(argv[2], NULL, 0) : heap;
    touches = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    later = argc <= 4 || strcmp(argv[4], "now") != 0;
    if (transfers[0] < SLICE * ROUNDS || argc > 5 || heap < 2 || heap > PAGES / 2 ||
        (argc == 5 && later && (strcmp(argv[4], "cold") != 0 || heap > PAGES / 4))) {
        fprintf(
            stderr,
            "usage: bench_firmware [TRANSFERS [BUFFERS [TOUCHES [now|cold]]]]\n"
            "       bench_firmware guest_memfd    50000 transfers, on KVM's memory for guests\n"
            "  DMA transfers in a boot, each flips one or two pages twice (5000, 50000, 500000)\n"
            "  pages of the heap that buffers are taken from, 2 to 2048 (64)\n"
            "  memory touches between two transfers (as many as make a discard at once cost 3.2)\n"
            "  now: blocks are merged in each conversion, not behind\n"
            "  cold: one transfer in 32 takes pages that are seldom used (a part of the whole "
            "run)\n");
        return 2;
    }
    static struct frame *frames; /* to the end of the process */
    uint64_t nframes = (POOL - HOSTED_BASE) / PAGE_SIZE + POLICIES * CHUNKS * CHUNK_PAGES;

    frames = calloc(nframes, sizeof(*frames));
    must(frames != NULL ? 0 : -ENOMEM, "frame table");
    if (guest_memfd) {
        int err = hosted_guest_memfd(POOL, POLICIES * CHUNKS * CHUNK_SIZE);

        if (err == -EOPNOTSUPP) {
            printf(
                "\nThe firmware case on guest_memfd: not run, no /dev/kvm here that can map one\n");
            return 0;
        }
        must(err, "guest_memfd");
    } else {
        must(hosted_memfd(POOL, POLICIES * CHUNKS * CHUNK_SIZE, 12), "memfd");
    }
    frames_init(HOSTED_BASE, nframes, frames, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    must(frame_pool_add_chunks(POOL, POLICIES * CHUNKS, false), "chunks");
    touches = touches != 0 ? touches : calibrate();
    printf("\nThe firmware case: transfers of 1 or 2 pages out of %lu, %lu memory touches between "
           "two\n",
           (unsigned long)heap, (unsigned long)touches);
    printf("  16 MiB on a %s, CPU + I/O + host trees, CPU time\n",
           guest_memfd ? "guest_memfd (its discards; the kernel's own conversions are not called)"
                       : "memfd");
    for (unsigned i = 0; i < n && !(argc == 5 && later); i++) {
        measure(transfers[i], touches);
    }
    if (n == 3 || (argc == 5 && later)) {
        cold_run(transfers[n == 3 ? 1 : 0], touches);
    }
    free(frames);
    if (n == 3) { /* and on the real thing, in a process whose arena is fresh */
        fflush(stdout);
        execl("/proc/self/exe", argv[0], "guest_memfd", (char *)NULL);
        perror("bench_firmware");
        return 1;
    }
    return 0;
}
