/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the range store share: entries (range.c describes them). */
#ifndef MEM_RANGE_INT_H
#define MEM_RANGE_INT_H

#include <stddef.h>

#include <tenon/range.h>

#define COUNT         (1ull << 48)
#define RANGE_SUM(e)  ((e) >> 48)
#define LEAF          (1ull << RANGE_LEAF_SHIFT)
#define WORDS         512u
#define LEAF_OF(page) ((page) >> RANGE_LEAF_SHIFT)

static inline void range_store(uint64_t *e, uint64_t v)
{
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
}

/* Table pages of the array: a power of two. */
static inline uint32_t range_root_pages(const struct range *r)
{
    uint32_t more = (uint32_t)(2 * r->leaves - 1) / WORDS;

    return more == 0 ? 1 : 1u << (32 - __builtin_clz(more));
}

/* A leaf, in use or out, that nobody would miss. */
static inline bool range_idle(uint64_t e)
{
    return range_node(e) != NULL &&
           ((e & RANGE_NODE) == 0 || RANGE_SUM(e) == 0 || RANGE_SUM(e) == LEAF);
}

static inline void range_put(struct range *r, uint64_t *at, uint64_t e)
{
    r->spare += (uint32_t)range_idle(e) - (uint32_t)range_idle(*at);
    range_store(at, e);
}

/* The entry becomes uniform; its leaf, if there is one, is out. */
static inline void range_flatten(struct range *r, uint64_t *at, bool bit)
{
    range_put(r, at, (*at & RANGE_ADDRESS) | (bit ? RANGE_ONE : 0));
}

static inline unsigned range_ones(uint64_t w)
{
    w -= w >> 1 & 0x5555555555555555ull;
    w = (w & 0x3333333333333333ull) + (w >> 2 & 0x3333333333333333ull);
    w = (w + (w >> 4)) & 0x0f0f0f0f0f0f0f0full;
    return (unsigned)(w * 0x0101010101010101ull >> 56);
}

#endif
