/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the core alone costs, in this process: no emulator, no exception, invalidations that do
 * nothing. A VM's memory of 64 MiB to 1 GiB with all its followers, in share and in mirror mode:
 * time to map it, table pages, and one 4 KiB conversion that cuts a 2 MiB leaf or makes one again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hosted.h>
#include <tenon/gmem.h>
#include <tenon/space.h>

#define MIB    ((uint64_t)1 << 20)
#define TABLES 4096u
#define POOL   (HOSTED_BASE + ((uint64_t)1 << 30)) /* of chunks: 1 GiB private, 1 GiB shared */
#define CHUNKS 1024u
#define GUEST  ((uint64_t)1 << 30)
#define BATCH  16u /* ranges shared at the same time, each in a 2 MiB of its own */
#define ROUNDS 7u
#define PAIRS  200u /* batches in a round */

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

static struct invalidator none[5] = {
    { issue, wait }, { issue, wait }, { issue, wait }, { issue, wait }, { issue, wait }
};

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what others do on this machine is left out */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "bench_convert: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

struct world {
    struct gmem gm;
    struct space cpu, io, host_cpu, host_io;
    bool share;
};

static void make_space(struct space *s, enum space_kind kind, bool stalls, struct invalidator *a,
                       struct invalidator *b)
{
    struct pt_config cfg = { .format = PT_ARM_S2_4K,
                             .ia_bits = 39,
                             .oa_bits = 44,
                             .start_level = 1,
                             .live = { .bbm = 2, .stalls = stalls } };
    must(space_init(s, kind, &cfg), "space_init");
    must(space_add_walker(s, a), "space_add_walker");
    if (b) {
        must(space_add_walker(s, b), "space_add_walker");
    }
}

/* The time that mapping took, in microseconds. `cap`: the largest leaf, 0 for any. */
static double open_world(struct world *w, uint64_t bytes, bool share, uint64_t cap)
{
    static struct frame *frames;
    uint64_t n = (POOL - HOSTED_BASE) / PAGE_SIZE + CHUNKS * CHUNK_PAGES;
    uint64_t cursor = 0;
    free(frames);
    frames = calloc(n, sizeof(*frames));
    must(frames ? 0 : -ENOMEM, "frame table");
    memset(w, 0, sizeof(*w));
    w->share = share;
    frames_init(HOSTED_BASE, n, frames, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    must(frame_pool_add_chunks(POOL, CHUNKS, false), "chunks");
    must(gmem_create(&w->gm, OWNER_VM0, bytes / PAGE_SIZE, true), "gmem_create");
    while (gmem_scrub(&w->gm, &cursor, 64) > 0) {
    }
    make_space(&w->cpu, SPACE_CPU, !share, &none[0], share ? &none[1] : NULL);
    make_space(&w->host_cpu, SPACE_CPU, true, &none[3], NULL);
    make_space(&w->host_io, SPACE_IO, false, &none[4], NULL);
    w->cpu.max_leaf = cap;
    if (!share) {
        make_space(&w->io, SPACE_IO, false, &none[1], NULL);
        w->io.max_leaf = cap;
    }
    uint64_t pages = w->gm.npages;
    double t = cpu_us();
    must(space_bind(&w->cpu, &w->gm, VIEW_GUEST, GUEST, 0, pages, PT_READ | PT_WRITE | PT_EXEC,
                    true),
         "bind");
    if (!share) {
        must(space_bind(&w->io, &w->gm, VIEW_GUEST, GUEST, 0, pages, PT_READ | PT_WRITE, true),
             "bind");
    }
    t = cpu_us() - t;
    must(space_bind(&w->host_cpu, &w->gm, VIEW_HOST, 0, 0, pages, PT_READ | PT_WRITE, true),
         "bind the window");
    must(space_bind(&w->host_io, &w->gm, VIEW_HOST, 0, 0, pages, PT_READ | PT_WRITE, true),
         "bind the window");
    return t;
}

static void close_world(struct world *w)
{
    struct space *s[4] = { &w->cpu, &w->host_cpu, &w->host_io, &w->io };
    uint64_t cursor = 0;
    int more;
    for (unsigned i = 0; i < (w->share ? 3u : 4u); i++) {
        while (s[i]->walker[0]) {
            must(space_remove_walker(s[i], s[i]->walker[0]), "remove a walker");
        }
        space_destroy(s[i]);
    }
    while ((more = gmem_destroy_step(&w->gm, &cursor, 64)) > 0) {
    }
    must(more, "gmem_destroy_step");
}

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void) /* xorshift64 (Marsaglia, 2003) */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* BATCH pages, each in another 2 MiB. */
static void pick(uint64_t pages, uint64_t page[BATCH])
{
    for (unsigned i = 0; i < BATCH; i++) {
        bool again = true;
        while (again) {
            again = false;
            page[i] = random64() % pages;
            for (unsigned k = 0; k < i; k++) {
                again |= page[k] / CHUNK_PAGES == page[i] / CHUNK_PAGES;
            }
        }
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median over the rounds of the mean time of one conversion. */
static double conversion_us(struct world *w)
{
    double us[ROUNDS];
    uint64_t page[BATCH];
    for (unsigned r = 0; r < ROUNDS; r++) {
        double t = cpu_us();
        for (unsigned k = 0; k < PAIRS; k++) {
            pick(w->gm.npages, page);
            for (unsigned i = 0; i < BATCH; i++) {
                must(gmem_convert(&w->gm, page[i], 1, true, GMEM_KEEP), "convert");
            }
            for (unsigned i = BATCH; i-- > 0;) {
                must(gmem_convert(&w->gm, page[i], 1, false, GMEM_KEEP), "convert");
            }
        }
        us[r] = (cpu_us() - t) / (2.0 * PAIRS * BATCH);
    }
    qsort(us, ROUNDS, sizeof(us[0]), by_value);
    return us[ROUNDS / 2];
}

static uint64_t table_pages(const struct world *w)
{
    struct pt_counts cpu, io;

    (void)pt_count(&w->cpu.pt, &cpu);
    (void)pt_count(&w->io.pt, &io);
    return cpu.tables + w->cpu.pt.root_pages + (w->share ? 0 : io.tables + w->io.pt.root_pages);
}

static void one_size(uint64_t bytes, double first[2])
{
    printf("%5llu MiB", (unsigned long long)(bytes / MIB));
    for (unsigned share = 0; share < 2; share++) {
        static struct world w;
        double mapped = open_world(&w, bytes, share, 0);
        double us = conversion_us(&w);
        for (uint64_t k = 0; k < w.gm.npages; k += CHUNK_PAGES) {
            must(gmem_convert(&w.gm, k + 7, 1, true, GMEM_KEEP), "convert");
        }
        uint64_t cut = table_pages(&w) * PAGE_SIZE / 1024;
        close_world(&w);
        double by_page = open_world(&w, bytes, share, PAGE_SIZE);
        close_world(&w);
        first[share] = first[share] > 0 ? first[share] : us;
        printf("   %7.2f %5.2f %8.1f %9.1f %7llu", us, us / first[share], mapped, by_page,
               (unsigned long long)cut);
    }
    printf("\n");
}

int main(void)
{
    double first[2] = { 0, 0 };
    static struct world warm; /* the arena's pages are made at their first use */
    open_world(&warm, 64 * MIB, false, 0);
    conversion_us(&warm);
    close_world(&warm);
    printf("          mirror: convert (us), ratio, map and map by 4K (us), tables (KiB)\n"
           "                                                  share: the same\n");
    for (uint64_t mib = 64; mib <= 1024; mib *= 2) {
        one_size(mib * MIB, first);
    }
    return 0;
}
