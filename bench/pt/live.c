/* SPDX-License-Identifier: BSD-2-Clause */
#include "live.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tenon/port.h>
#include <tenon/pt_more.h>

#include "arena.h"
#include "bare.h"
#include "ours.h"
#include "stat.h"

#define MIB   ((uint64_t)1 << 20)
#define GIB   ((uint64_t)1 << 30)
#define N     16u  /* leaves that a sample cuts or merges */
#define PAGES 256u /* that a sample replaces */
#define LIMIT 1.5  /* of the bare cost */
#define SHIFT (64 * GIB)

enum { CUT_1G, CUT_2M, REPLACE, MERGE, CASES };

static const char *const text[CASES] = {
    [CUT_1G] = "cut 1G to 2M",
    [CUT_2M] = "cut 2M to 4K",
    [REPLACE] = "replace one 4K",
    [MERGE] = "merge back to 2M",
};

/* With and without vector stores: ours, and bare. */
struct mode {
    struct subject *s;
    struct ours *o;
    struct stat_set ours[CASES], bare[CASES];
};

static uint64_t pages[PAGES];
static uint64_t *tables[N];
static uint64_t links[N];
static uint64_t *bare_root;

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_pt: live changes: %s failed\n", what);
        exit(1);
    }
}

static void fill_pool(struct ours *o, uint32_t n)
{
    while (o->pool.count < n) {
        pt_pool_push(&o->pool, port_pa(arena_alloc()));
    }
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* n pages, to be taken in the order of their addresses, as the bare tables are: some processors fetch ahead
 * into the next page. */
static void fill_ordered(struct ours *o, uint32_t n)
{
    uint64_t pa[4 * N];

    fill_pool(o, n);
    for (unsigned i = 0; i < n; i++) {
        pa[i] = pt_pool_pop(&o->pool);
    }
    qsort(pa, n, sizeof(*pa), by_address);
    while (n > 0) {
        pt_pool_push(&o->pool, pa[--n]);
    }
}

static void map_leaves(struct ours *o, uint64_t size)
{
    for (unsigned i = 0; i < N; i++) {
        uint64_t ia = (i + 1) * size;

        fill_pool(o, pt_need(o->pt, ia, size));
        must(pt_map(o->pt, ia, ia + SHIFT, size, o->prot, 0, &o->pool) == 0, "map");
    }
}

static void unmap_leaves(struct ours *o, uint64_t size)
{
    must(pt_unmap(o->pt, size, N * size, &o->gather) == 0, "unmap");
    ours_sync(o);
}

/* A cut in the middle of each leaf: one table for each. Its pages are in the pool already. */
static uint64_t cut(struct ours *o, uint64_t size)
{
    uint64_t start;
    int bad = 0;

    fill_ordered(o, 4 * N);
    start = ticks();
    for (unsigned i = 0; i < N; i++) {
        bad |= pt_cut(o->pt, (i + 1) * size + size / 2, size / 512, &o->pool, &o->gather);
        ours_sync(o);
    }
    start = ticks() - start;
    must(!bad, "cut");
    return start;
}

static uint64_t merge(struct ours *o)
{
    uint64_t start = ticks();
    int made = 0;

    for (unsigned i = 0; i < N; i++) {
        made += pt_merge(o->pt, (i + 1) * 2 * MIB, 2 * MIB, 2 * MIB, &o->gather);
        ours_sync(o);
    }
    start = ticks() - start;
    must(made == (int)N, "merge");
    return start;
}

/* Does the format let one store exchange an address? Arm demands two, an invalidation between them. */
static bool one_store(const struct ours *o)
{
    return pt_replace_check(o->pt, pages[0], pages[0], PAGE_SIZE) == 0;
}

/* Exchange and invalidate; or break, invalidate, make. */
static uint64_t replace(struct ours *o, uint64_t shift)
{
    const bool one = one_store(o);
    uint64_t start = ticks();
    int bad = 0;

    for (unsigned i = 0; one && i < PAGES; i++) {
        bad |= pt_replace(o->pt, pages[i], pages[i] + shift, PAGE_SIZE, &o->gather);
        ours_sync(o);
    }
    for (unsigned i = 0; !one && i < PAGES; i++) {
        bad |= pt_break(o->pt, pages[i], PAGE_SIZE, &o->gather);
        ours_sync(o);
        bad |= pt_map(o->pt, pages[i], pages[i] + shift, PAGE_SIZE, o->prot, 0, &o->pool);
    }
    start = ticks() - start;
    must(!bad, "replace");
    return start;
}

#define TIMED(set, call, operations)                    \
    do {                                                \
        long switches = stat_switches();                \
        uint64_t t_ = (call);                           \
        if (keep && switches == stat_switches()) {      \
            stat_add(&(set), t_, (double)(operations)); \
        }                                               \
    } while (0)

/* As in main.c: a pass that warms up, then three that count, of ours and of the bare work alike. */
static void round_one(struct mode *m, unsigned round)
{
    bool vector = strstr(m->s->name, "scalar") == NULL;
    struct ours *o = m->o;

    m->s->select();
    for (unsigned pass = 0; pass < 4; pass++) {
        bool keep = round > 0 && pass > 0;

        map_leaves(o, GIB);
        TIMED(m->ours[CUT_1G], cut(o, GIB), N);
        unmap_leaves(o, GIB);
        TIMED(m->bare[CUT_1G], bare_cut(tables, links, N, vector), N);
    }
    for (unsigned pass = 0; pass < 4; pass++) {
        bool keep = round > 0 && pass > 0;

        map_leaves(o, 2 * MIB);
        TIMED(m->ours[CUT_2M], cut(o, 2 * MIB), N);
        TIMED(m->bare[CUT_2M], bare_cut(tables, links, N, vector), N);
        TIMED(m->ours[MERGE], merge(o), N);
        unmap_leaves(o, 2 * MIB);
        TIMED(m->bare[MERGE], bare_merge(tables, links, N, vector), N);
    }
    for (unsigned pass = 0; pass < 4; pass++) {
        bool keep = round > 0 && pass > 0;

        TIMED(m->ours[REPLACE], replace(o, pass % 2 ? SHIFT : 2 * SHIFT), PAGES);
        TIMED(m->bare[REPLACE], bare_replace(bare_root, pages, PAGES, one_store(o)), PAGES);
    }
}

/* Four tables that lead to the pages, as in ours. */
static void make_bare(void)
{
    uint64_t *t = bare_root = arena_alloc();

    for (unsigned i = 0; i < N; i++) {
        tables[i] = arena_alloc();
    }
    qsort(tables, N, sizeof(*tables), by_address);
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *lower = arena_alloc();

        t[pages[0] >> shift & 511] = (uint64_t)(uintptr_t)lower | 1;
        t = lower;
    }
}

static void free_bare(void)
{
    uint64_t *t = bare_root;

    for (unsigned i = 0; i < N; i++) {
        arena_free(tables[i]);
    }
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t *lower = (uint64_t *)(uintptr_t)(t[pages[0] >> shift & 511] & ~(uint64_t)1);

        arena_free(t);
        t = lower;
    }
    arena_free(t);
}

static void print_case(struct mode *modes, unsigned n, unsigned c, unsigned *missed)
{
    printf("%-27s", text[c]);
    for (unsigned i = 0; i < n; i++) {
        struct stat_set *bare = &modes[i].bare[c], *ours = &modes[i].ours[c];

        printf(" %12.2f %12.2f", stat_median(bare), stat_median(ours));
        print_ratio(stat_median(ours) / stat_median(bare), stat_min(ours) / stat_min(bare), LIMIT,
                    missed);
    }
    printf("\n");
}

void live_measure(struct subject *all, const char *format, unsigned rounds, unsigned *missed)
{
    static struct mode modes[2];
    unsigned n = 0;

    memset(modes, 0, sizeof(modes));
    for (struct subject *s = all; s && n < 2; s = s->next) {
        if (s->ours && !strcmp(s->format, format)) {
            modes[n++].s = s;
        }
    }
    for (unsigned i = 0; i < PAGES; i++) {
        pages[i] = 100 * GIB + i * 37 % PAGES * PAGE_SIZE;
    }
    make_bare();
    for (unsigned i = 0; i < n; i++) {
        struct ours *o = modes[i].o = modes[i].s->open(false);

        fill_pool(o, pt_need(o->pt, pages[0], PAGES * PAGE_SIZE));
        must(pt_map(o->pt, 100 * GIB, 100 * GIB + SHIFT, PAGES * PAGE_SIZE, o->prot, PAGE_SIZE,
                    &o->pool) == 0,
             "map");
    }
    for (unsigned round = 0; round <= rounds; round++) {
        for (unsigned i = 0; i < n; i++) {
            round_one(&modes[(i + round) % n], round);
        }
    }
    printf("%-27s", "live changes");
    for (unsigned i = 0; i < n; i++) {
        bool vector = strstr(modes[i].s->name, "scalar") == NULL;

        printf(" %12s %12s  ratio (least) <= target", vector ? "bare" : "bare, scalar",
               vector ? modes[i].s->name : "scalar");
    }
    printf("\n");
    for (unsigned c = 0; c < CASES; c++) {
        print_case(modes, n, c, missed);
    }
    for (unsigned i = 0; i < n; i++) {
        modes[i].s->close(modes[i].o);
    }
    free_bare();
}
