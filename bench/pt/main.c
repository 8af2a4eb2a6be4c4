/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page tables beside the kernel's own, in one process: every subject of a format is measured in
 * turns, many short rounds, and the table says ours / best peer by medians and by minima.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "live.h"
#include "ours.h"
#include "plot.h"
#include "stat.h"
#include "subject.h"
#include "walker.h"

#define KIB      ((uint64_t)1 << 10)
#define MIB      ((uint64_t)1 << 20)
#define GIB      ((uint64_t)1 << 30)
#define PAGE     (4 * KIB)
#define SUBJECTS 8u
#define MANY     256u
#define CALLS    8u    /* of 256 pages: 16 KiB of entries stay in the first cache */
#define LOOKUPS  4096u /* a sample of translations */

/* Everything mapped by 4K is shifted by one page against its input address, so that no format can
 * use a larger leaf. */
#define SHIFT4K (16 * GIB + PAGE)
#define SHIFT2M (16 * GIB + 2 * MIB)

enum {
    MAP_4K,
    UNMAP_4K,
    MAP_2M,
    UNMAP_2M,
    MAP_256,
    UNMAP_256,
    MAP_1G,
    MAP_AGAIN,
    MAP_PIECES,
    UNMAP_1G,
    MAP_NEW,
    DIRTY_NONE,
    DIRTY_ALL,
    LOOK,
    LOOK_CHAIN,
    CASES
};

/* What the ratio may be at most: with vector stores, and without. */
static const struct {
    const char *text;
    double limit, limit_scalar;
} cases[CASES] = {
    [MAP_4K] = { "map one 4K", 0.6, 0.6 },
    [UNMAP_4K] = { "unmap one 4K", 0.6, 0.6 },
    [MAP_2M] = { "map one 2M", 0.6, 0.6 },
    [UNMAP_2M] = { "unmap one 2M", 0.6, 0.6 },
    [MAP_256] = { "map 256 x 4K, one call", 0.4, 0.75 },
    [UNMAP_256] = { "unmap 256 x 4K, one call", 0.4, 0.55 },
    [MAP_1G] = { "map 1G by 4K, a page", 0.4, 0.55 },
    [MAP_AGAIN] = { "the same, a second time", 0.4, 0.55 },
    [MAP_PIECES] = { "the same, emptied by 1M", 0.4, 0.55 },
    [UNMAP_1G] = { "unmap 1G by 4K, a page", 0.4, 0.55 },
    [MAP_NEW] = { "map 1G, tables too, a page", 0.8, 0.8 },
    [DIRTY_NONE] = { "dirty 1G: none, a page", 0.25, 0.25 },
    [DIRTY_ALL] = { "dirty 1G: all, a page", 0.25, 0.25 },
    [LOOK] = { "translate, independent", 0.7, 0.7 },
    [LOOK_CHAIN] = { "translate, dependent", 1.0, 1.0 },
};

struct run {
    struct subject *s;
    void *plain;   /* a tree */
    void *tracked; /* a tree whose leaves hardware makes dirty, or null */
    struct stat_set set[CASES];
};

static uint64_t scattered[MANY]; /* the pages of half a table, in no order */
static uint64_t large[MANY];     /* the same by 2M */
static uint64_t blocks[CALLS];   /* 1 MiB each, in a table each */
static uint64_t whole[1];        /* 1 GiB */
static uint64_t anywhere[LOOKUPS];
static uint64_t bitmap[GIB / PAGE / 64];

static uint64_t random64(void) /* xorshift64 (Marsaglia, 2003) */
{
    static uint64_t seed = 88172645463325252ull;

    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Where things lie: one-page table at 1 GiB, 2M leaves at 2 GiB, blocks at 4 GiB, the whole at 8. */
static void make_addresses(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        unsigned k = i * 37 % MANY;

        scattered[i] = GIB + k * PAGE;
        large[i] = 2 * GIB + k * 2 * MIB;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        blocks[i] = 4 * GIB + i * 2 * MIB;
    }
    whole[0] = 8 * GIB;
    for (unsigned i = 0; i < LOOKUPS; i++) {
        anywhere[i] = whole[0] + random64() % (256 * MIB / PAGE) * PAGE;
    }
}

static void die(const struct run *r, const char *what)
{
    fprintf(stderr, "bench_pt: %s (%s): %s\n", r->s->format, r->s->name, what);
    exit(1);
}

static void must(const struct run *r, uint64_t t, const char *what)
{
    if (t == 0) {
        die(r, what);
    }
}

/* Leaves that stay, so that the tables of the small cases do. */
static void keep_tables(const struct run *r)
{
    uint64_t last_page[1] = { GIB + 2 * MIB - PAGE };
    uint64_t last_large[1] = { 3 * GIB - 2 * MIB };

    must(r, r->s->map(r->plain, last_page, 1, PAGE, SHIFT4K), "map");
    must(r, r->s->map(r->plain, last_large, 1, 2 * MIB, SHIFT2M), "map");
    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t ia[1] = { blocks[i] + 2 * MIB - PAGE };

        must(r, r->s->map(r->plain, ia, 1, PAGE, SHIFT4K), "map");
    }
}

static void record(struct run *r, int what, uint64_t t, double operations, bool keep)
{
    must(r, t, cases[what].text);
    if (keep) {
        stat_add(&r->set[what], t, operations);
    }
}

/* A sample during which this thread lost its CPU says nothing, and is left out. */
#define TIMED(r, what, call, operations, keep)                                        \
    do {                                                                              \
        long switches = stat_switches();                                              \
        uint64_t t_ = (call);                                                         \
        record((r), (what), t_, (operations), (keep) && switches == stat_switches()); \
    } while (0)

/* One round of everything but dirty. `keep` is false in the first, which warms up. */
static void round_plain(struct run *r, bool keep)
{
    const struct subject *s = r->s;
    const double pages = (double)(GIB / PAGE);
    void *t = r->plain;
    uint64_t sum;

    /* A pass that warms up, then three that count: what other subjects left in the caches is not
     * what is compared. */
    for (unsigned pass = 0; pass < 4; pass++) {
        bool count = keep && pass > 0;

        TIMED(r, MAP_4K, s->map(t, scattered, MANY, PAGE, SHIFT4K), MANY, count);
        TIMED(r, UNMAP_4K, s->unmap(t, scattered, MANY, PAGE), MANY, count);
    }
    for (unsigned pass = 0; pass < 4; pass++) {
        bool count = keep && pass > 0;

        TIMED(r, MAP_2M, s->map(t, large, MANY, 2 * MIB, SHIFT2M), MANY, count);
        TIMED(r, UNMAP_2M, s->unmap(t, large, MANY, 2 * MIB), MANY, count);
    }
    for (unsigned pass = 0; pass < 4; pass++) {
        bool count = keep && pass > 0;

        TIMED(r, MAP_256, s->map(t, blocks, CALLS, MIB, SHIFT4K), CALLS, count);
        TIMED(r, UNMAP_256, s->unmap(t, blocks, CALLS, MIB), CALLS, count);
    }

    TIMED(r, MAP_NEW, s->map(t, whole, 1, GIB, SHIFT4K), pages, keep);
    s->empty(t, whole[0], GIB);
    TIMED(r, MAP_1G, s->map(t, whole, 1, GIB, SHIFT4K), pages, keep);
    /* The tables have settled in the caches by then. */
    s->empty(t, whole[0], GIB);
    TIMED(r, MAP_AGAIN, s->map(t, whole, 1, GIB, SHIFT4K), pages, keep);
    /* Half a table at a time: nobody can know that all of it is empty. */
    for (uint64_t at = 0; at < GIB; at += MIB) {
        s->empty(t, whole[0] + at, MIB);
    }
    TIMED(r, MAP_PIECES, s->map(t, whole, 1, GIB, SHIFT4K), pages, keep);
    s->translate(t, anywhere, LOOKUPS, false, &sum); /* brings the tables into the caches */
    TIMED(r, LOOK, s->translate(t, anywhere, LOOKUPS, false, &sum), LOOKUPS, keep);
    TIMED(r, LOOK_CHAIN, s->translate(t, anywhere, LOOKUPS, true, &sum), LOOKUPS, keep);
    TIMED(r, UNMAP_1G, s->unmap(t, whole, 1, GIB), pages, keep);
}

static uint64_t bits_set(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < sizeof(bitmap) / sizeof(bitmap[0]); i++) {
        n += (unsigned)__builtin_popcountll(bitmap[i]);
    }
    return n;
}

/* The whole GiB, in calls of 128 MiB: short enough to be let run. */
static void harvest(struct run *r, int what, bool keep)
{
    const uint64_t part = 128 * MIB;

    for (uint64_t at = 0; at < GIB; at += part) {
        TIMED(r, what, r->s->dirty(r->tracked, whole[0] + at, part, &bitmap[at / PAGE / 64]),
              (double)(part / PAGE), keep);
    }
}

static void round_dirty(struct run *r, bool keep)
{
    walker_set_dirty(r->s, r->tracked, false);
    memset(bitmap, 0, sizeof(bitmap));
    harvest(r, DIRTY_NONE, keep);
    if (bits_set() != 0) {
        die(r, "found clean pages dirty");
    }
    if (walker_set_dirty(r->s, r->tracked, true) != GIB / PAGE) {
        die(r, "has the wrong number of leaves");
    }
    harvest(r, DIRTY_ALL, keep);
    if (bits_set() != GIB / PAGE || walker_count_dirty(r->s, r->tracked) != 0) {
        die(r, "missed dirty pages, or left them dirty");
    }
}

/* A subject that does not do its work is not measured: the translations that it wrote and those
 * that it reports, by a walker of the benchmark's own. */
static void check(struct run *r)
{
    const struct subject *s = r->s;
    uint64_t ia[3] = { 5 * GIB + PAGE, 6 * GIB, 7 * GIB }, sum;
    const uint64_t len[3] = { 3 * MIB, 2 * MIB, 256 * MIB };
    const uint64_t shift[3] = { SHIFT4K, SHIFT2M, SHIFT2M };

    for (unsigned k = 0; k < 3; k++) {
        must(r, s->map(r->plain, &ia[k], 1, len[k], shift[k]), "map");
        for (uint64_t at = ia[k]; at < ia[k] + len[k]; at += PAGE) {
            s->translate(r->plain, &at, 1, false, &sum);
            if (walker_translate(s, r->plain, at) != at + shift[k] || sum != at + shift[k]) {
                die(r, "translates wrongly");
            }
        }
        must(r, s->unmap(r->plain, &ia[k], 1, len[k]), "unmap");
        for (uint64_t at = ia[k]; at < ia[k] + len[k]; at += PAGE) {
            if (walker_translate(s, r->plain, at) != ~(uint64_t)0) {
                die(r, "did not unmap");
            }
        }
    }
}

static void choose(const struct run *r)
{
    if (r->s->select) {
        r->s->select();
    }
}

static void measure(struct run *runs, unsigned n, unsigned rounds)
{
    for (unsigned i = 0; i < n; i++) {
        struct run *r = &runs[i];

        choose(r);
        r->plain = r->s->open(false);
        if (!r->plain) {
            die(r, "a tree cannot be made");
        }
        check(r);
        keep_tables(r);
        if (r->s->dirty) {
            r->tracked = r->s->open(true);
            must(r, r->tracked ? r->s->map(r->tracked, whole, 1, GIB, SHIFT4K) : 0, "map");
        }
    }
    for (unsigned round = 0; round <= rounds; round++) {
        for (unsigned i = 0; i < n; i++) {
            struct run *r = &runs[(i + round) % n];

            choose(r);
            /* Another place of the stack each time: how its addresses and those of the entries agree in
             * their low bits must not decide for one subject or the other. */
            char *pad = __builtin_alloca(16 + random64() % 256 * 16);

            __asm__ volatile("" ::"r"(pad) : "memory");
            round_plain(r, round > 0);
            if (r->tracked) {
                round_dirty(r, round > 0);
            }
        }
    }
    for (unsigned i = 0; i < n; i++) {
        runs[i].s->close(runs[i].plain);
        if (runs[i].tracked) {
            runs[i].s->close(runs[i].tracked);
        }
    }
    if (arena_live() != 0) {
        fprintf(stderr, "bench_pt: %zu pages were not given back\n", arena_live());
        exit(1);
    }
}

/* "1.09 (1.08) <= 0.60 NO": by medians, by the least, the target. */
void print_ratio(double median, double least, double limit, unsigned *missed)
{
    printf("  %5.2f (%.2f) <= %.2f %-2s", median, least, limit, median <= limit ? "" : "NO");
    *missed += median > limit;
}

/* One line: the median of each, and ours against the best peer. */
static void print_case(struct run *runs, unsigned n, unsigned c, unsigned *missed)
{
    double peer_median = 0, peer_least = 0;

    printf("%-27s", cases[c].text);
    for (unsigned i = 0; i < n; i++) {
        double median = stat_median(&runs[i].set[c]), least = stat_min(&runs[i].set[c]);

        if (!runs[i].s->ours && median > 0) {
            peer_median = peer_median > 0 && peer_median < median ? peer_median : median;
            peer_least = peer_least > 0 && peer_least < least ? peer_least : least;
        }
        if (median > 0) {
            printf(median < 0.1 ? " %12.3f" : " %12.2f", median);
        } else {
            printf(" %12s", "-");
        }
        if (runs[i].s->ours && peer_median > 0 && median > 0) {
            bool scalar = strstr(runs[i].s->name, "scalar") != NULL;

            print_ratio(median / peer_median, least / peer_least,
                        scalar ? cases[c].limit_scalar : cases[c].limit, missed);
        } else if (runs[i].s->ours) {
            printf("%25s", "");
        }
    }
    printf("\n");
}

static void one_format(const char *format, unsigned rounds, unsigned *missed)
{
    static struct run runs[SUBJECTS];
    unsigned n = 0;

    memset(runs, 0, sizeof(runs));
    /* Peers first: the ratios are to the best of them. */
    for (unsigned ours = 0; ours < 2; ours++) {
        for (struct subject *s = subjects; s && n < SUBJECTS; s = s->next) {
            if (!strcmp(s->format, format) && s->ours == (ours != 0)) {
                runs[n++].s = s;
            }
        }
    }
    measure(runs, n, rounds);
    printf("\n%-10s ns, medians     ", format);
    for (unsigned i = 0; i < n; i++) {
        printf(" %12s%s", strcmp(runs[i].s->name, "Tenon, scalar") ? runs[i].s->name : "scalar",
               runs[i].s->ours ? "  ratio (least) <= target" : "");
    }
    printf("\n");
    for (unsigned c = 0; c < CASES; c++) {
        print_case(runs, n, c, missed);
    }
    live_measure(subjects, format, rounds, missed);
}

static void usage(FILE *f)
{
    fprintf(f, "usage: bench_pt [-r ROUNDS] [FORMAT]...\n"
               "       bench_pt --plot [FORMAT]...\n"
               "Measures our page tables beside the kernel's, in turns in one process.\n"
               "  -r ROUNDS  1 to 255, 41 unless given\n"
               "  --plot     lines for tools/bench-plot: cost and table memory from 4K to 1 TiB, "
               "and with\n"
               "             two threads; of ept too, which has no peer (takes half a minute a\n"
               "             format, and 2 GiB of memory)\n"
               "Formats here:");
    for (struct subject *s = subjects; s; s = s->next) {
        bool first = true;

        for (struct subject *o = subjects; o != s; o = o->next) {
            first &= strcmp(o->format, s->format) != 0;
        }
        if (first) {
            fprintf(f, " %s", s->format);
        }
    }
    fprintf(f, "\n");
}

static bool known(const char *format)
{
    for (struct subject *s = subjects; s; s = s->next) {
        if (!strcmp(s->format, format)) {
            return true;
        }
    }
    return false;
}

/* Each format once, by its first subject of ours. */
#define EACH_FORMAT(s)                                   \
    for (struct subject *s = subjects; s; s = (s)->next) \
        if ((s)->ours && (s)->select && strstr((s)->name, "scalar") == NULL)

static void plots(int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        plot_format(subjects, argv[i]);
    }
    if (argc == 0) {
        EACH_FORMAT(s)
        {
            plot_format(subjects, s->format);
        }
    }
    plot_memory();
}

int main(int argc, char **argv)
{
    const bool plot = argc > 1 && !strcmp(argv[1], "--plot");
    unsigned rounds = 41, missed = 0;
    int at = plot ? 2 : 1;

    arena_init();
    ours_register(plot);
    if (argc > 1 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
        usage(stdout);
        return 0;
    }
    if (argc > 2 && !strcmp(argv[1], "-r")) {
        char *end;
        unsigned long v = strtoul(argv[2], &end, 10);

        if (*end || v < 1 || v > 255) {
            usage(stderr);
            return 2;
        }
        rounds = (unsigned)v;
        at = 3;
    }
    for (int i = at; i < argc; i++) {
        if (!known(argv[i])) {
            fprintf(stderr, "bench_pt: no format %s here\n", argv[i]);
            usage(stderr);
            return 2;
        }
    }
    stat_init();
    if (plot) {
        plots(argc - at, argv + at);
        return 0;
    }
    make_addresses();
    stat_print_machine();
    if (at < argc) {
        for (; at < argc; at++) {
            one_format(argv[at], rounds, &missed);
        }
    } else {
        EACH_FORMAT(s)
        {
            one_format(s->format, rounds, &missed);
        }
    }
    printf("\n%u of the ratios miss their target (NO)\n", missed);
    return 0;
}
