/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects with holes, and long ranges. One object of 4 GiB to 1 TiB with 2 MiB of memory at both ends and in the
 * middle, a CPU's and a device's tree: one page shared and taken back, each time at another of the three. Then
 * one call over more and more pages: the step that nobody can interrupt. Invalidations do nothing here.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hosted.h>
#include <tenon/sparse.h>
#include <tenon/space.h>

#define GIB    ((uint64_t)1 << 30)
#define TABLES 16384u
#define POOL   (HOSTED_BASE + GIB)
#define CHUNKS 1536u
#define AT     ((uint64_t)1 << 41)
#define ROUNDS 7u

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
    if (result < 0) {
        fprintf(stderr, "bench_sparse: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct gmem gm;
static struct space tree[2];
static uint64_t *chunks;

static void open_object(uint64_t pages)
{
    static struct invalidator inv = { issue, wait };
    struct pt_config cfg = {
        .format = PT_ARM_S2_4K, .ia_bits = 42, .oa_bits = 44, .start_level = 1, .live = { .bbm = 2 }
    };

    chunks = malloc(2 * pages / CHUNK_PAGES * sizeof(*chunks));
    must(chunks != NULL ? 0 : -12, "chunks");
    must(gmem_create_sparse(&gm, OWNER_VM0, pages, true, chunks), "gmem_create_sparse");
    for (unsigned i = 0; i < 2; i++) {
        must(space_init(&tree[i], i == 0 ? SPACE_CPU : SPACE_IO, &cfg), "space_init");
        must(space_add_walker(&tree[i], &inv), "space_add_walker");
        must(space_bind(&tree[i], &gm, VIEW_GUEST, AT, 0, pages, PT_READ | PT_WRITE, true),
             "space_bind");
    }
}

static void close_object(void)
{
    uint64_t cursor = 0;

    space_destroy(&tree[0]);
    space_destroy(&tree[1]);
    while (gmem_destroy_sparse(&gm, &cursor, 4096) > 0) {
    }
    free(chunks);
}

/* ns of one conversion of n pages at each of the places in turns. */
static double conversion(const uint64_t *place, unsigned places, uint64_t n)
{
    double least = 1e18;
    unsigned times = n > 512 ? 4 : n > 1 ? 64 : 3000;

    for (unsigned r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();

        for (unsigned i = 0; i < times; i++) {
            must(gmem_convert(&gm, place[i % places], n, true, GMEM_KEEP), "to shared");
            must(gmem_convert(&gm, place[i % places], n, false, GMEM_KEEP), "to private");
        }
        t = (cpu_ns() - t) / (2 * times);
        least = t < least ? t : least;
    }
    return least;
}

int main(void)
{
    uint64_t n = (POOL - HOSTED_BASE) / PAGE_SIZE + CHUNKS * CHUNK_PAGES, zero = 0;
    struct frame *frames = calloc(n, sizeof(*frames));

    must(frames != NULL ? 0 : -12, "frame table");
    frames_init(HOSTED_BASE, n, frames, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    must(frame_pool_add_chunks(POOL, CHUNKS, false), "chunks");
    printf("\nObjects with holes, 2 MiB at both ends and in the middle, two trees (CPU time, least "
           "of %u)\n"
           "  %8s %26s %26s %18s\n",
           ROUNDS, "GiB", "ns a conversion, merged", "ns, block stays cut", "bytes of states");
    for (uint64_t gib = 4; gib <= 1024; gib *= 4) {
        uint64_t pages = gib << 18, place[] = { 5, pages / 2 + 5, pages - 2 };

        open_object(pages);
        for (unsigned i = 0; i < 3; i++) {
            must(gmem_fill(&gm, place[i], 1), "gmem_fill");
        }
        double merged = conversion(place, 3, 1);

        gm.merge_later = true;
        double cut = conversion(place, 3, 1);

        printf("  %8lu %26.0f %26.0f %18lu\n", (unsigned long)gib, merged, cut,
               (unsigned long)(sizeof(gm.states) + gm.states.nodes * PAGE_SIZE));
        close_object();
    }
    printf("\nOne call over more pages, unaligned (the same two trees; the object's other pages go "
           "on meanwhile)\n"
           "  %8s %14s %14s\n",
           "pages", "us a call", "ns a page");
    open_object(4 << 18);
    must(gmem_fill(&gm, 0, 1 << 18), "gmem_fill");
    for (uint64_t k = 1; k <= 1 << 18; k *= 8) {
        uint64_t first = k == 1 << 18 ? 0 : 77;
        double t = conversion(first == 0 ? &zero : &first, 1, k);

        printf("  %8lu %14.1f %14.1f\n", (unsigned long)k, t / 1000, t / (double)k);
    }
    close_object();
    free(frames);
    return 0;
}
