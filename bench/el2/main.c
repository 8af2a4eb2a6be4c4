/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine as EL2 has it (the same objects: general registers only), and the kernel's
 * io-pgtable-arm compiled alike, on a bare machine where QEMU lets each instruction take one
 * nanosecond of its virtual time (-icount shift=0): so the counter counts instructions. They are
 * exact, and the same on every run; they say nothing about how long an instruction takes.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <tenon/port.h>
#include <tenon/pt.h>
#include <tenon/pt_more.h>

#define ARENA_PAGES ((size_t)8192) /* and bench/peer/peer.mk */
#include "../pt/arena.h"

#define GIB     ((uint64_t)1 << 30)
#define MIB     ((uint64_t)1 << 20)
#define MANY    256u
#define CALLS   16u
#define WIDTH   14u /* of a column */
#define SHIFT4K (16 * GIB + PAGE_SIZE)
#define SHIFT2M (16 * GIB + 2 * MIB)

void bench_main(void);
uint64_t semihosting(uint64_t operation, const void *argument);
void *memset(void *p, int c, size_t n);
size_t strnlen(const char *s, size_t n);
void *calloc(size_t n, size_t size);
void free(void *p);
int printf(const char *format, ...);

extern unsigned char heap[];
typedef void (*init_fn)(void);
extern init_fn subjects_begin[], subjects_end[];

/* ---- the environment ---- */

enum { SYS_WRITE0 = 4, SYS_EXIT = 0x18 }; /* Arm semihosting 2.0, 5 */

static void put(const char *s)
{
    semihosting(SYS_WRITE0, s);
}

static void put_number(uint64_t v, unsigned width)
{
    char text[24];
    unsigned at = sizeof(text) - 1;

    text[at] = '\0';
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (sizeof(text) - 1 - at < width) {
        text[--at] = ' ';
    }
    put(&text[at]);
}

/* To the right end of a column. */
static void put_column(const char *s)
{
    size_t n = strnlen(s, WIDTH);

    for (size_t i = n; i < WIDTH; i++) {
        put(" ");
    }
    put(s);
}

static _Noreturn void stop(uint64_t code)
{
    const uint64_t argument[2] = { 0x20026, code }; /* ADP_Stopped_ApplicationExit */

    semihosting(SYS_EXIT, argument);
    for (;;) {
    }
}

_Noreturn void port_panic(const char *why)
{
    put("bench_el2: ");
    put(why);
    put("\n");
    stop(1);
}

/* Only the peers' warnings come here: of which there must be none. */
int printf(const char *format, ...)
{
    port_panic(format);
}

static uint64_t next_free;

void *calloc(size_t n, size_t size)
{
    void *p = (void *)next_free;

    next_free = (next_free + n * size + 4095) & ~(uint64_t)4095;
    return p; /* memory of a new machine is zero, and nothing here is used twice */
}

void free(void *p)
{
    (void)p;
}

static void *stack[ARENA_PAGES];
static size_t depth, fresh;
static unsigned char *pages;

void *arena_first(void)
{
    return pages;
}

void *arena_alloc(void)
{
    void *p = depth > 0 ? stack[--depth] : pages + fresh++ * PAGE_SIZE;

    if (fresh > ARENA_PAGES) {
        port_panic("no page left");
    }
    return memset(p, 0, PAGE_SIZE);
}

void arena_free(void *page)
{
    stack[depth++] = page;
}

/* ---- ours ---- */

struct ours {
    struct pt pt;
    struct pt_pool pool;
    struct pt_gather gather;
    uint32_t prot;
};

__attribute__((noinline)) static void flush(const struct pt_gather *g)
{
    __asm__ volatile("" ::"r"(g) : "memory");
}

static inline int subject_map(void *t, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct ours *o = t;
    /* 2 MiB touch two entries of each of the three levels at most: so many are always there. */
    uint32_t need = len <= 2 * MIB ? 6 : pt_need(&o->pt, ia, len);

    while (o->pool.count < need) {
        pt_pool_push(&o->pool, port_pa(arena_alloc()));
    }
    return pt_map(&o->pt, ia, oa, len, o->prot, 0, &o->pool);
}

static void sync(struct ours *o)
{
    uint64_t pa[64];

    flush(&o->gather);
    for (unsigned n; o->gather.held_n != 0;) {
        n = pt_gather_take(&o->pt, &o->gather, pa, 64);
        for (unsigned i = 0; i < n; i++) {
            arena_free(port_va(pa[i]));
        }
    }
    pt_gather_done(&o->pt, &o->gather);
    while (o->gather.freed.count > 0) {
        arena_free(port_va(pt_pool_pop(&o->gather.freed)));
    }
}

static inline uint64_t subject_unmap(void *t, uint64_t ia, uint64_t len)
{
    struct ours *o = t;

    if (pt_unmap(&o->pt, ia, len, &o->gather) != 0) {
        return 0;
    }
    sync(o);
    return len;
}

static inline uint64_t subject_translate(void *t, uint64_t ia)
{
    struct ours *o = t;
    uint64_t oa = pt_translate(&o->pt, ia);

    return oa == PT_NO_OA ? 0 : oa;
}

static inline int subject_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    struct ours *o = t;
    int ret = pt_dirty_read_clear(&o->pt, ia, len, bitmap, PAGE_SIZE, &o->gather);

    sync(o);
    return ret;
}

#define SUBJECT_LOOPS
#include "../pt/subject.h"

struct subject *subjects;

void subject_register(struct subject *s)
{
    s->next = subjects;
    subjects = s;
}

static struct ours *open_tree(enum pt_format format, bool track)
{
    const struct pt_config cfg = {
        .format = format, .ia_bits = 48, .oa_bits = 48, .live = { .bbm = 2, .hw_dirty = track }
    };
    struct ours *o = calloc(1, sizeof(*o));

    if (pt_init(&o->pt, &cfg, port_pa(arena_alloc())) != 0) {
        port_panic("a tree of ours cannot be made");
    }
    o->prot = PT_READ | PT_WRITE | PT_USER | (track ? (unsigned)PT_TRACK | PT_DIRTY : 0);
    pt_gather_init(&o->gather);
    return o;
}

static void *open_s1(bool track)
{
    return open_tree(PT_ARM_S1_4K, track);
}

static void *open_s2(bool track)
{
    return open_tree(PT_ARM_S2_4K, track);
}

static void empty(void *t, uint64_t ia, uint64_t len)
{
    struct ours *o = t;

    pt_break(&o->pt, ia, len, &o->gather);
    sync(o);
}

#define OURS(format_, open_)                                                                  \
    {                                                                                         \
        .format = (format_), .name = "Tenon", .ours = true, .open = (open_), .map = loop_map, \
        .unmap = loop_unmap, .empty = empty, .translate = loop_translate, .dirty = loop_dirty \
    }

static struct subject ours[2] = { OURS("arm-s1-4k", open_s1), OURS("arm-s2-4k", open_s2) };

/* ---- the cases ---- */

enum {
    MAP_4K,
    UNMAP_4K,
    MAP_2M,
    UNMAP_2M,
    MAP_256,
    UNMAP_256,
    MAP_1G,
    UNMAP_1G,
    MAP_NEW,
    LOOK,
    DIRTY_ALL,
    DIRTY_NONE,
    CASES
};

static const struct {
    const char *text;
    uint64_t operations;
} cases[CASES] = {
    [MAP_4K] = { "map one 4K                  ", MANY },
    [UNMAP_4K] = { "unmap one 4K                ", MANY },
    [MAP_2M] = { "map one 2M                  ", MANY },
    [UNMAP_2M] = { "unmap one 2M                ", MANY },
    [MAP_256] = { "map 256 x 4K, one call      ", CALLS },
    [UNMAP_256] = { "unmap 256 x 4K, one call    ", CALLS },
    [MAP_1G] = { "map 1G by 4K, 100 pages     ", GIB / PAGE_SIZE },
    [UNMAP_1G] = { "unmap 1G by 4K, 100 pages   ", GIB / PAGE_SIZE },
    [MAP_NEW] = { "map 1G, tables too, 100 p.  ", GIB / PAGE_SIZE },
    [LOOK] = { "translate                   ", MANY },
    [DIRTY_ALL] = { "dirty 1G: all, 100 pages    ", GIB / PAGE_SIZE },
    [DIRTY_NONE] = { "dirty 1G: none, 100 pages   ", GIB / PAGE_SIZE },
};

static bool by_hundred(unsigned c)
{
    return cases[c].operations == GIB / PAGE_SIZE;
}

static uint64_t scattered[MANY], large[MANY], blocks[CALLS], whole[1];
static uint64_t bitmap[GIB / PAGE_SIZE / 64];

static void must(uint64_t ok, const char *what)
{
    if (!ok) {
        port_panic(what);
    }
}

static void run(const struct subject *s, uint64_t t[CASES])
{
    void *tree = s->open(false);
    uint64_t sum;

    must(tree != NULL, "a tree cannot be made");
    for (unsigned i = 0; i < CALLS + 2; i++) {
        /* Leaves that stay, so that the tables of the small cases do. */
        uint64_t page[1] = { i < CALLS ? blocks[i] + 2 * MIB - PAGE_SIZE
                                       : GIB + 2 * MIB - PAGE_SIZE };
        uint64_t block[1] = { 3 * GIB - 2 * MIB };

        must(i <= CALLS ? s->map(tree, page, 1, PAGE_SIZE, SHIFT4K)
                        : s->map(tree, block, 1, 2 * MIB, SHIFT2M),
             "map");
    }
    for (unsigned warm = 0; warm < 2; warm++) {
        t[MAP_4K] = s->map(tree, scattered, MANY, PAGE_SIZE, SHIFT4K);
        t[LOOK] = s->translate(tree, scattered, MANY, false, &sum);
        must(sum == MANY * (GIB + SHIFT4K) + PAGE_SIZE * (MANY * (MANY - 1) / 2), "translate");
        t[UNMAP_4K] = s->unmap(tree, scattered, MANY, PAGE_SIZE);
        t[MAP_2M] = s->map(tree, large, MANY, 2 * MIB, SHIFT2M);
        t[UNMAP_2M] = s->unmap(tree, large, MANY, 2 * MIB);
        t[MAP_256] = s->map(tree, blocks, CALLS, MIB, SHIFT4K);
        t[UNMAP_256] = s->unmap(tree, blocks, CALLS, MIB);
        t[MAP_NEW] = s->map(tree, whole, 1, GIB, SHIFT4K);
        s->empty(tree, whole[0], GIB);
        t[MAP_1G] = s->map(tree, whole, 1, GIB, SHIFT4K);
        t[UNMAP_1G] = s->unmap(tree, whole, 1, GIB);
    }
    for (unsigned c = 0; c <= LOOK; c++) {
        must(t[c], cases[c].text);
    }
    t[DIRTY_ALL] = t[DIRTY_NONE] = 0;
    if (s->dirty) {
        tree = s->open(true);
        must(s->map(tree, whole, 1, GIB, SHIFT4K), "map");
        memset(bitmap, 0, sizeof(bitmap));
        must(t[DIRTY_ALL] = s->dirty(tree, whole[0], GIB, bitmap), "dirty");
        for (unsigned i = 0; i < sizeof(bitmap) / sizeof(bitmap[0]); i++) {
            must(bitmap[i] == ~(uint64_t)0, "missed dirty pages");
        }
        must(t[DIRTY_NONE] = s->dirty(tree, whole[0], GIB, bitmap), "dirty");
    }
}

/* Instructions of one operation, or of a hundred pages, rounded. */
static uint64_t each(const uint64_t t[CASES], unsigned c)
{
    uint64_t n = cases[c].operations;

    return ((by_hundred(c) ? 100 : 1) * t[c] + n / 2) / n;
}

static void one_format(const struct subject *mine)
{
    static uint64_t t[8][CASES];
    const struct subject *s[8];
    unsigned n = 0;

    s[n++] = mine;
    for (const struct subject *p = subjects; p && n < 8; p = p->next) {
        const char *a = p->format, *b = mine->format;

        while (*a && *a == *b) {
            a++, b++;
        }
        if (*a == *b) {
            s[n++] = p;
        }
    }
    put("\n");
    put(mine->format);
    put(", A64 instructions ");
    for (unsigned i = 0; i < n; i++) {
        run(s[i], t[i]);
        put_column(s[i]->name);
    }
    put_column("% of the best");
    put("\n");
    for (unsigned c = 0; c < CASES; c++) {
        uint64_t best = 0;

        put(cases[c].text);
        for (unsigned i = 0; i < n; i++) {
            uint64_t v = each(t[i], c);

            put_number(v, WIDTH);
            if (i > 0 && v > 0 && (best == 0 || v < best)) {
                best = v;
            }
        }
        if (best) {
            put_number(100 * each(t[0], c) / best, WIDTH);
        }
        put("\n");
    }
}

/* Is one instruction one tick? 1000 turns of two instructions say so. */
static void calibrate(void)
{
    uint64_t start = ticks(), n;

    __asm__ volatile("mov %0, #1000\n1:\tsubs %0, %0, #1\n\tb.ne 1b" : "=&r"(n)::"cc");
    start = ticks() - start;
    if (start < 2000 || start > 2020) {
        put_number(start, 1);
        port_panic(" ticks for 2001 instructions: needs -icount shift=0 and a counter of 1 GHz");
    }
}

void bench_main(void)
{
    next_free = ((uint64_t)heap + 4095) & ~(uint64_t)4095;
    pages = calloc(ARENA_PAGES, PAGE_SIZE);
    for (unsigned i = 0; i < MANY; i++) {
        scattered[i] = GIB + i * 37 % MANY * PAGE_SIZE;
        large[i] = 2 * GIB + i * 37 % MANY * 2 * MIB;
    }
    for (unsigned i = 0; i < CALLS; i++) {
        blocks[i] = 4 * GIB + i * 2 * MIB;
    }
    whole[0] = 8 * GIB;
    for (init_fn *f = subjects_begin; f < subjects_end; f++) {
        (*f)();
    }
    calibrate();
    one_format(&ours[0]);
    one_format(&ours[1]);
    stop(0);
}
