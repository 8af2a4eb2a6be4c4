/* SPDX-License-Identifier: BSD-2-Clause */
/* Our engine as a subject, each format twice: with and without vector stores in the hosted port. */
#include <stdio.h>
#include <stdlib.h>

#include <hosted.h>
#include <port_pte.h>
#include <tenon/port.h>
#include <tenon/pt.h>
#include <tenon/pt_more.h>

#include "arena.h"
#include "ours.h"

static inline int subject_map(void *t, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct ours *o = t;
    /* 2 MiB touch two entries of each of the three levels at most: so many are always there. */
    uint32_t need = len <= (uint64_t)2 << 20 ? 6 : pt_need(o->pt, ia, len);

    while (o->pool.count < need) {
        pt_pool_push(&o->pool, port_pa(arena_alloc()));
    }
    return pt_map(o->pt, ia, oa, len, o->prot, 0, &o->pool);
}

/* A flush that has no hardware to wait for; out of line, as a driver's is. */
__attribute__((noinline)) void ours_flush(const struct pt_gather *g)
{
    __asm__ volatile("" ::"r"(g) : "memory");
}

void ours_tables_back(struct ours *o)
{
    uint64_t pa[64];

    for (unsigned n; o->gather.held_n != 0;) {
        n = pt_gather_take(o->pt, &o->gather, pa, 64);
        for (unsigned i = 0; i < n; i++) {
            arena_free(port_table(pa[i]));
        }
    }
    while (o->gather.freed.count > 0) {
        arena_free(port_va(pt_pool_pop(&o->gather.freed)));
    }
}

static inline uint64_t subject_unmap(void *t, uint64_t ia, uint64_t len)
{
    struct ours *o = t;

    if (pt_unmap(o->pt, ia, len, &o->gather) != 0) {
        return 0;
    }
    ours_sync(o);
    return len;
}

static inline uint64_t subject_translate(void *t, uint64_t ia)
{
    struct ours *o = t;

    return pt_translate(o->pt, ia); /* "nothing" is PT_NO_OA, the peers' is 0: no loop looks */
}

static inline int subject_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    struct ours *o = t;

    if (pt_dirty_read_clear(o->pt, ia, len, bitmap, PAGE_SIZE, &o->gather) != 0) {
        return -1;
    }
    ours_sync(o);
    return 0;
}

#define SUBJECT_LOOPS
#include "subject.h"

struct ours *ours_open(const struct pt_config *cfg, uint32_t prot)
{
    struct ours *o = calloc(1, sizeof(*o));

    if (pt_root_pages(cfg) < 0) {
        free(o);
        return NULL; /* the library was built without this format */
    }
    if (!o || pt_root_pages(cfg) != 1 || pt_init(&o->own, cfg, port_pa(arena_alloc())) != 0) {
        fprintf(stderr, "bench_pt: a tree of ours cannot be made\n");
        exit(1);
    }
    o->pt = &o->own;
    o->prot = prot;
    pt_gather_init(&o->gather);
    return o;
}

static void close_tree(void *t)
{
    struct ours *o = t;

    if (o->pt == &o->own) {
        pt_clear(o->pt, &o->gather);
        ours_sync(o);
        arena_free(port_va(o->pt->root));
    }
    while (o->pool.count > 0) {
        arena_free(port_va(pt_pool_pop(&o->pool)));
    }
    free(o);
}

/* Pool and gather are their caller's alone: a thread has its own. */
static void *share(void *t)
{
    struct ours *o = aligned_alloc(128, (sizeof(*o) + 127) & ~(size_t)127); /* no line shared */

    if (!o) {
        perror("bench_pt");
        exit(1);
    }
    *o = *(struct ours *)t;
    o->pool = (struct pt_pool){ 0 };
    pt_gather_init(&o->gather);
    return o;
}

static unsigned idle(void *t)
{
    return ((struct ours *)t)->pool.count;
}

static uint64_t *root(void *t, int64_t *phys)
{
    struct ours *o = t;

    *phys = (int64_t)((uintptr_t)hosted_arena() - HOSTED_BASE);
    return port_va(o->pt->root);
}

static void empty(void *t, uint64_t ia, uint64_t len)
{
    struct ours *o = t;

    pt_break(o->pt, ia, len, &o->gather);
    ours_sync(o);
}

static void vector(void)
{
    hosted_set_vector(true);
}

static void scalar(void)
{
    hosted_set_vector(false);
}

/* Every tree has four levels and a 4K granule. */
#define PROT (PT_READ | PT_WRITE | PT_USER)

#define OURS(id, text, can_dirty, ...)                                                         \
    static void *open_##id(bool track)                                                         \
    {                                                                                          \
        const struct pt_config cfg = {                                                         \
            .ia_bits = 48, .oa_bits = 48, .live = { .bbm = 2, .hw_dirty = track }, __VA_ARGS__ \
        };                                                                                     \
                                                                                               \
        return ours_open(&cfg, PROT | (track ? (unsigned)PT_TRACK | PT_DIRTY : 0));            \
    }                                                                                          \
    OURS_(id, text, can_dirty, vector, "Tenon")                                                \
    OURS_(id, text, can_dirty, scalar, "Tenon, scalar")

#define OURS_(id, text, can_dirty, mode, label)                        \
    static struct subject id##_##mode = { .format = (text),            \
                                          .name = (label),             \
                                          .ours = true,                \
                                          .select = mode,              \
                                          .open = open_##id,           \
                                          .close = close_tree,         \
                                          .root = root,                \
                                          .share = share,              \
                                          .idle = idle,                \
                                          .map = loop_map,             \
                                          .unmap = loop_unmap,         \
                                          .empty = empty,              \
                                          .translate = loop_translate, \
                                          .dirty = (can_dirty) ? loop_dirty : NULL };

OURS(arm_s1, "arm-s1-4k", true, .format = PT_ARM_S1_4K)
OURS(arm_s2, "arm-s2-4k", true, .format = PT_ARM_S2_4K)
OURS(x86_64, "x86-64", true, .format = PT_X86_64)
OURS(ept, "ept", true, .format = PT_EPT)
OURS(vtd_ss, "vtd-ss", true, .format = PT_VTD_SS, .snoop = true)
OURS(amd_v1, "amd-v1", true, .format = PT_AMD_V1, .snoop = true)
OURS(riscv, "riscv-sv48", true, .format = PT_RISCV)

void ours_register(bool alone)
{
    static struct subject *const all[] = {
        &arm_s1_vector, &arm_s1_scalar, &arm_s2_vector, &arm_s2_scalar, &x86_64_vector,
        &x86_64_scalar, &vtd_ss_vector, &vtd_ss_scalar, &amd_v1_vector, &amd_v1_scalar,
        &riscv_vector,  &riscv_scalar,  &ept_vector,    &ept_scalar, /* these have no peer */
    };
    unsigned n = sizeof(all) / sizeof(all[0]) - (alone ? 0 : 2);

    for (unsigned i = 0; i < n; i++) {
        void *t = all[i]->open(false);

        if (t) {
            close_tree(t);
            subject_register(all[i]);
        }
    }
}
