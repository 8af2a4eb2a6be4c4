/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Private or shared" for every page of a guest of 1 TiB: ours beside the kernel's XArray and maple
 * tree and a bitmap, in one process and in turns.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../pt/stat.h"
#include "store.h"

#define STORES      8u
#define RANGE_PAGES ((uint64_t)1 << 28) /* 1 TiB of 4K pages */
#define PAGES1G     ((uint64_t)1 << 18)
#define PAGES2M     ((uint64_t)1 << 9)
#define SMALL       (64 * PAGES1G) /* what stands for 1 TiB where there is an entry a page */
#define FLIPS       256u
#define SETS        16u
#define UNALIGNED   4u
#define QUERIES     4096u
#define HOLES       4096u /* of 2 MiB, at random places: the fragmented guest */

enum { FLIP, SET, SET_ALTERNATING, SET_NEW, QUERY, FLIP_FRAGMENTED, QUERY_FRAGMENTED, CASES };

/* `peer`: the name of the store that the ratio is to; none: the limit is in ns. */
static const struct {
    const char *text, *peer;
    double limit;
} cases[CASES] = {
    [FLIP] = { "flip one hot page", "maple tree", 0.6 },
    [SET] = { "set 1G in one call", NULL, 1000 },
    [SET_ALTERNATING] = { "  unaligned, alternating", NULL, 1000 },
    [SET_NEW] = { "  unaligned, no leaf yet", NULL, 1000 },
    [QUERY] = { "random query", "bitmap", 1.2 },
    [FLIP_FRAGMENTED] = { "flip, 4096 holes of 2M", "maple tree", 0 },
    [QUERY_FRAGMENTED] = { "query, 4096 holes of 2M", "bitmap", 0 },
};

struct run {
    struct store *s;
    uint64_t pages; /* of this store's guest */
    uint64_t hot;
    uint64_t all_bytes, alternating_bytes;
    struct stat_set set[CASES];
};

static uint64_t seed = 88172645463325252ull;

static uint64_t random64(void) /* xorshift64 (Marsaglia, 2003) */
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static void die(const struct run *r, const char *what)
{
    fprintf(stderr, "bench_range: %s: %s\n", r->s->name, what);
    exit(1);
}

#define TIMED(r, what, call, operations, keep)           \
    do {                                                 \
        long switches = stat_switches();                 \
        uint64_t t_ = (call);                            \
        if ((keep) && switches == stat_switches()) {     \
            stat_add(&(r)->set[what], t_, (operations)); \
        }                                                \
    } while (0)

static void queries(struct run *r, int what, uint64_t expected, bool keep)
{
    static uint64_t page[QUERIES];
    uint64_t found;

    for (unsigned i = 0; i < QUERIES; i++) {
        page[i] = random64() % r->pages;
    }
    TIMED(r, what, r->s->query(page, QUERIES, &found), QUERIES, keep);
    /* Holes make few of the pages shared: how many is a matter of chance, but not so many. */
    if (found > expected || found < expected - (what == QUERY ? 0 : QUERIES / 4)) {
        die(r, "gives wrong answers");
    }
}

/* Milliseconds a call where there is an entry a page. */
static void sets_by_page(struct run *r)
{
    double start = stat_cpu_ns();

    r->s->set(PAGES1G, PAGES1G, false);
    r->s->set(PAGES1G, PAGES1G, true);
    stat_add_ns(&r->set[SET], (stat_cpu_ns() - start) / 2);
}

static void sets(struct run *r, bool keep)
{
    uint64_t total = 0;
    long switches = stat_switches();

    for (unsigned private = 0; private < 2; private ++) {
        for (unsigned i = 0; i < SETS; i++) {
            total += r->s->set((2 * i + 1) * PAGES1G, PAGES1G, private != 0);
        }
    }
    if (keep && switches == stat_switches()) {
        stat_add(&r->set[SET], total, 2 * SETS);
    }
}

/* Ours alone: both ends in the middle of a leaf, where every page differs from its neighbours, or which is
 * not there. Some ranges that do not touch. */
static void sets_unaligned(struct run *r, unsigned what, bool keep)
{
    const uint64_t base = 400 * PAGES1G, step = 3 * PAGES1G / 2;
    uint64_t total = 0;

    for (uint64_t p = base; what == SET_ALTERNATING && p < base + UNALIGNED * step; p++) {
        r->s->set(p, 1, (p & 1) != 0);
    }
    if (what == SET_NEW) {
        r->s->set(r->hot, 1, false); /* its leaf and the array stay */
        (void)r->s->bytes();         /* gives back what is not needed */
    }
    long switches = stat_switches();

    for (uint64_t i = 0; i < UNALIGNED; i++) {
        total += r->s->set(base + i * step + 12345, PAGES1G, false);
    }
    if (keep && switches == stat_switches()) {
        stat_add(&r->set[what], total, UNALIGNED);
    }
    r->s->set(base, UNALIGNED * step, true);
    r->s->set(r->hot, 1, true);
}

static void round_one(struct run *r, bool fragmented, unsigned round)
{
    bool keep = round > 0;

    if (fragmented) {
        TIMED(r, FLIP_FRAGMENTED, r->s->flip(r->hot, FLIPS), FLIPS, keep);
        queries(r, QUERY_FRAGMENTED, QUERIES, keep);
        return;
    }
    TIMED(r, FLIP, r->s->flip(r->hot, FLIPS), FLIPS, keep);
    if (!r->s->a_page) {
        sets(r, keep);
    } else if (round % 8 == 1) {
        sets_by_page(r);
    }
    if (r->s->ours) {
        sets_unaligned(r, SET_ALTERNATING, keep);
        sets_unaligned(r, SET_NEW, keep);
    }
    queries(r, QUERY, QUERIES, keep);
}

/* The same random changes to every store, and the same answers afterwards. */
static void check(struct run *runs, unsigned n)
{
    static unsigned char model[1u << 16];

    for (unsigned k = 0; k < n; k++) {
        const struct run *r = &runs[k];

        r->s->open(sizeof(model));
        memset(model, 0, sizeof(model));
        seed = 1234567;
        for (unsigned i = 0; i < 4000; i++) {
            uint64_t len = random64() % 3 ? 1 : 64 * (1 + random64() % 16);
            uint64_t page = random64() % (sizeof(model) - 1024);
            bool private = (random64() & 1) != 0;

            page = len > 1 ? page & ~(uint64_t)63 : page;
            r->s->set(page, len, private);
            memset(&model[page], private, len);
        }
        for (uint64_t page = 0; page < sizeof(model); page++) {
            uint64_t found;

            r->s->query(&page, 1, &found);
            if (found != model[page]) {
                die(r, "does not keep what was stored");
            }
        }
        r->s->close();
    }
}

static void alternating(struct run *r)
{
    r->s->open(PAGES1G);
    for (uint64_t page = 0; page < PAGES1G; page += 2) {
        r->s->set(page, 1, true);
    }
    r->alternating_bytes = r->s->bytes();
    r->s->close();
}

static void fragment(const struct run *r)
{
    seed = 7654321;
    for (unsigned i = 0; i < HOLES; i++) {
        /* Where there is an entry a page, the guest is smaller and the holes with it. */
        uint64_t size = r->pages == RANGE_PAGES ? PAGES2M : PAGES2M / 16;

        r->s->set(random64() % (r->pages / size) * size, size, false);
    }
    r->s->set(r->hot, 1, true);
}

static void measure(struct run *runs, unsigned n, unsigned rounds)
{
    for (unsigned i = 0; i < n; i++) {
        struct run *r = &runs[i];

        r->pages = r->s->a_page ? SMALL : RANGE_PAGES;
        r->hot = r->pages / 3;
        alternating(r);
        r->s->open(r->pages);
        r->s->set(0, r->pages, true);
        r->all_bytes = r->s->bytes() * (RANGE_PAGES / r->pages);
    }
    for (unsigned fragmented = 0; fragmented < 2; fragmented++) {
        for (unsigned round = 0; round <= rounds; round++) {
            for (unsigned i = 0; i < n; i++) {
                round_one(&runs[(i + round) % n], fragmented != 0, round);
            }
        }
        for (unsigned i = 0; i < n && !fragmented; i++) {
            fragment(&runs[i]);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        runs[i].s->close();
    }
}

static void print_bytes(const struct run *runs, unsigned n, const char *text, size_t field,
                        uint64_t limit, unsigned *missed)
{
    printf("%-25s", text);
    for (unsigned i = 0; i < n; i++) {
        uint64_t v = *(const uint64_t *)(const void *)((const char *)&runs[i] + field);

        printf(" %17llu", (unsigned long long)v);
        if (runs[i].s->ours) {
            printf("  <= %llu%s", (unsigned long long)limit, v <= limit ? "" : " NO");
            *missed += v > limit;
        }
    }
    printf("\n");
}

static void print_case(struct run *runs, unsigned n, unsigned c, unsigned *missed)
{
    double median[STORES], peer = 0;

    printf("%-25s", cases[c].text);
    for (unsigned i = 0; i < n; i++) {
        median[i] = stat_median(&runs[i].set[c]);
        if (median[i] > 0) {
            printf(" %8.1f/%-8.1f", median[i], stat_min(&runs[i].set[c]));
        } else {
            printf(" %17s", "");
        }
        if (cases[c].peer && !strcmp(runs[i].s->name, cases[c].peer)) {
            peer = median[i];
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (!runs[i].s->ours || median[i] <= 0) {
            continue;
        }
        double value = cases[c].peer ? (peer > 0 ? median[i] / peer : 0) : median[i];

        printf("  %.2f%s%s", value, cases[c].peer ? " of the " : " ns",
               cases[c].peer ? cases[c].peer : "");
        if (cases[c].limit > 0) {
            printf(" <= %g%s", cases[c].limit, value <= cases[c].limit ? "" : " NO");
            *missed += value > cases[c].limit;
        }
    }
    printf("\n");
}

static const char help[] =
    "usage: bench_range [-r ROUNDS]\n"
    "A guest of 1 TiB, private or shared by the page: our range store beside the kernel's XArray\n"
    "and maple tree and a bitmap. ns: median/least of the rounds (255 at most, 41 unless given).\n";

int main(int argc, char **argv)
{
    static struct run runs[STORES];
    unsigned n = 0, missed = 0;
    unsigned long rounds = 41;

    if (argc == 2 && (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help"))) {
        fputs(help, stdout);
        return 0;
    }
    if (argc == 3 && !strcmp(argv[1], "-r")) {
        char *end;

        rounds = strtoul(argv[2], &end, 10);
        argc = *end || rounds < 1 || rounds > 255 ? 0 : 1;
    }
    if (argc != 1) {
        fputs(help, stderr);
        return 2;
    }
    ours_register();
    for (struct store *s = stores; s && n < STORES; s = s->next) {
        runs[n++].s = s;
    }
    stat_init();
    stat_print_machine();
    check(runs, n);
    measure(runs, n, (unsigned)rounds);
    printf("\n%-25s", "1 TiB, ns: median/least");
    for (unsigned i = 0; i < n; i++) {
        printf(" %-17s", runs[i].s->name);
    }
    printf("\n");
    for (unsigned c = 0; c < CASES; c++) {
        print_case(runs, n, c, &missed);
    }
    print_bytes(runs, n, "bytes, all private", offsetof(struct run, all_bytes), 256, &missed);
    print_bytes(runs, n, "bytes, 1G alternating", offsetof(struct run, alternating_bytes), 64 << 10,
                &missed);
    printf("The XArray holds an entry a page: it was given 64 GiB, its bytes times 16.\n"
           "%u of the figures miss their target (NO)\n",
           missed);
    return 0;
}
