/* SPDX-License-Identifier: BSD-2-Clause */
#include "plot.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hosted.h>
#include <tenon/port.h>
#include <tenon/pt.h>

#include "arena.h"
#include "stat.h"

#define KIB     ((uint64_t)1 << 10)
#define MIB     ((uint64_t)1 << 20)
#define GIB     ((uint64_t)1 << 30)
#define TIB     ((uint64_t)1 << 40)
#define PAGE    (4 * KIB)
#define BASE    TIB /* of everything mapped here */
#define ROUNDS  40u
#define THREADS 2u
#define TURNS   500u /* each maps and unmaps 256 pages */

static void must(uint64_t ok, const struct subject *s, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_pt: %s (%s): %s failed\n", s->format, s->name, what);
        exit(1);
    }
}

/* Table pages for each size: as many as the plot says, whichever subject and format it is? */
static void memory(const struct subject *s, uint64_t len, uint64_t leaf, size_t tables)
{
    static size_t first[2][64];
    size_t *f = &first[leaf == PAGE][__builtin_ctzll(len)];

    if (*f == 0) {
        *f = tables;
    } else if (*f != tables) {
        fprintf(stderr, "note: %s (%s) has %zu table pages where another has %zu\n", s->format,
                s->name, tables, *f);
    }
}

/* What pt_need_map() says of an empty tree, for each granule, by its pages and by its blocks. */
void plot_memory(void)
{
    const struct pt_config g4 = { .format = PT_ARM_S1_4K, .ia_bits = 48, .oa_bits = 48 };
    const struct pt_config g16 = {
        .format = PT_ARM_S1_16K, .ia_bits = 45, .oa_bits = 48, .start_level = 1
    };
    const struct pt_config g64 = {
        .format = PT_ARM_S1_64K, .ia_bits = 48, .oa_bits = 48, .start_level = 1
    };
    const struct {
        const char *label;
        const struct pt_config *cfg;
        unsigned shift;
    } by[] = {
        { "4K_pages", &g4, 12 },  { "16K_pages", &g16, 14 },  { "64K_pages", &g64, 16 },
        { "2M_blocks", &g4, 21 }, { "32M_blocks", &g16, 25 }, { "512M_blocks", &g64, 29 },
    };
    void *root = arena_alloc();

    for (unsigned i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
        uint64_t leaf = (uint64_t)1 << by[i].shift;
        struct pt pt;

        if (pt_init(&pt, by[i].cfg, port_pa(root)) != 0) {
            continue; /* the library was built without this format */
        }
        for (uint64_t len = leaf; len <= TIB; len *= 2) {
            uint32_t n = 0;

            if (pt_need_map(&pt, 0, 0, len, leaf, &n) == 0) {
                printf("memory any %s %llu %.4f\n", by[i].label, (unsigned long long)len,
                       (double)n * pt_table_bytes(by[i].cfg->format) / 1024 /
                           ((double)len / (double)GIB));
            }
        }
    }
    arena_free(root);
}

/* One call that maps `len` by leaves of `leaf` at most, and one that unmaps it: least of several. */
static void grow(const struct subject *s, uint64_t len, uint64_t leaf, const char *label)
{
    const uint64_t ia[1] = { BASE };
    const unsigned rounds = len <= GIB ? ROUNDS : len <= 64 * GIB ? 5 : 3;
    struct stat_set map = { .n = 0 }, unmap = { .n = 0 };
    void *t = s->open(false);
    size_t before = arena_live(), tables = 0;

    if (s->select) {
        s->select();
    }
    for (unsigned i = 0; i < rounds; i++) {
        double start = stat_cpu_ns(), middle;
        uint64_t spent[2] = { s->map(t, ia, 1, len, leaf), 0 };

        middle = stat_cpu_ns();
        tables = arena_live() - before - (s->idle ? s->idle(t) : 0);
        must(spent[0], s, "map");
        start = middle - start;
        middle = stat_cpu_ns();
        spent[1] = s->unmap(t, ia, 1, len);
        must(spent[1], s, "unmap");
        middle = stat_cpu_ns() - middle;
        if (len < GIB) {
            stat_add(&map, spent[0], (double)(len / PAGE));
            stat_add(&unmap, spent[1], (double)(len / PAGE));
        } else { /* too long not to be interrupted: this thread's time, not the clock's */
            stat_add_ns(&map, start / (double)(len / PAGE));
            stat_add_ns(&unmap, middle / (double)(len / PAGE));
        }
    }
    s->close(t);
    if (leaf == PAGE) {
        printf("cost %s map,_%s %llu %.4f\n", s->format, label, (unsigned long long)len,
               stat_min(&map));
        printf("cost %s unmap,_%s %llu %.4f\n", s->format, label, (unsigned long long)len,
               stat_min(&unmap));
    }
    memory(s, len, leaf, tables);
}

/* ---- threads ---- */

struct worker {
    _Alignas(128) const struct subject *s; /* no line of memory with another one's */
    void *t;
    uint64_t block[1]; /* 1 MiB in a table of its own */
    pthread_barrier_t *start;
    int cpu;
    uint64_t from, to; /* ticks */
    bool failed;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((size_t)w->cpu, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
    pthread_barrier_wait(w->start);
    bool failed = false;
    w->from = ticks();
    for (unsigned i = 0; i < TURNS; i++) {
        failed |= w->s->map(w->t, w->block, 1, MIB, PAGE) == 0;
        failed |= w->s->unmap(w->t, w->block, 1, MIB) == 0;
    }
    w->to = ticks();
    w->failed = failed;
    return NULL;
}

/* Pages mapped and unmapped a microsecond by n threads on one tree. */
static void threads(const struct subject *s, unsigned n, const char *label)
{
    struct stat_set set = { .n = 0 };
    void *t = s->open(false);
    struct worker w[THREADS];

    if (s->select) {
        s->select();
    }
    for (unsigned k = 0; k < n; k++) {
        uint64_t last[1] = { BASE + k * GIB + 2 * MIB - PAGE };

        w[k] = (struct worker){ .s = s, .block = { BASE + k * GIB }, .cpu = (int)k };
        w[k].t = s->share ? s->share(t) : t;
        /* A page that stays, so that the table does; and the pool has what it may need. */
        must(s->map(w[k].t, last, 1, PAGE, PAGE), s, "map");
        must(s->map(w[k].t, w[k].block, 1, MIB, PAGE), s, "map");
        must(s->unmap(w[k].t, w[k].block, 1, MIB), s, "unmap");
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_barrier_t start;
        pthread_t id[THREADS];
        uint64_t from = ~(uint64_t)0, to = 0;

        pthread_barrier_init(&start, NULL, n);
        for (unsigned k = 0; k < n; k++) {
            w[k].start = &start;
            must(pthread_create(&id[k], NULL, work, &w[k]) == 0, s, "pthread_create");
        }
        for (unsigned k = 0; k < n; k++) {
            pthread_join(id[k], NULL);
            must(!w[k].failed, s, "a thread's map or unmap");
            from = w[k].from < from ? w[k].from : from;
            to = w[k].to > to ? w[k].to : to;
        }
        pthread_barrier_destroy(&start);
        stat_add(&set, to - from, (double)n * TURNS * 256);
    }
    printf("threads %s %s %u %.1f\n", s->format, label, n, 1000 / stat_min(&set));
    for (unsigned k = 0; k < n; k++) {
        if (s->share) {
            s->close(w[k].t);
        }
    }
    s->close(t);
}

void plot_format(struct subject *all, const char *format)
{
    for (struct subject *s = all; s; s = s->next) {
        char label[64];

        if (strcmp(s->format, format) != 0) {
            continue;
        }
        snprintf(label, sizeof(label), "%s", s->name);
        for (char *p = label; *p; p++) {
            *p = *p == ' ' ? '_' : *p;
        }
        for (uint64_t len = PAGE; len <= TIB; len *= 4) {
            grow(s, len, PAGE, label);
            if (len >= 2 * MIB) {
                grow(s, len, 2 * MIB, label);
            }
        }
        for (unsigned n = 1; n <= THREADS; n++) {
            threads(s, n, label);
        }
    }
}
