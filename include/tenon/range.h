/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A range store: one of four states for each page, kept by runs. A store in one state takes no memory
 * beside its struct. What alternates takes at most two bits a page, and one bit where only two
 * states meet that differ in one bit.
 *
 * Two planes, one for each bit of a state. A plane is uniform, or has its half of an array with an entry
 * for each 32768 pages (128 MiB), which is uniform or leads to a leaf: one 4K page of bits. A node that became uniform stays at its entry for when it is wanted again, until range_reclaim.
 *
 * Concurrency: range_state, range_next take no lock, and may run beside one writer; each bit they look
 * at is one that it had at some time during the call. Everything else is the writer's: one at a time
 * (the caller's lock). Several changes may be reserved at once if they have no page in common.
 */
#ifndef TENON_RANGE_H
#define TENON_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#define RANGE_LEAF_SHIFT 15u                 /* log2 of a leaf's pages */
#define RANGE_MAX_PAGES  ((uint64_t)1 << 29) /* 2 TiB */

struct range {
    uint64_t root; /* the array, and the bits that are uniform */
    uint64_t npages, leaves;
    uint32_t held;  /* reserved changes */
    uint32_t nodes; /* table pages held */
    uint32_t spare; /* of them: leaves of one state, which trim and reclaim would give back */
};
_Static_assert(sizeof(struct range) <= 256, "one state costs no more, whatever the size");

/* A change that is reserved: its owner's until range_commit or range_cancel. */
struct range_change {
    uint64_t page, n;
    uint8_t state;
    uint8_t planes; /* bits of the state that change on any page */
};

/* All pages in state 0. npages: 1 to RANGE_MAX_PAGES. */
void range_init(struct range *r, uint64_t npages);
/* Everything back to the pool; all pages in state 0. No reader is left, nothing reserved. */
void range_fini(struct range *r);

/* First page behind `page` whose state is another one, or `end` (> page, at most npages). */
uint64_t range_next(const struct range *r, uint64_t page, uint64_t end);

/*
 * A change of [page, page + n), in the store and not empty, to `state` (0 to 3), whatever the states
 * are. Reserve takes all the table pages that the change may need (-ENOMEM: none, and nothing
 * changed); commit or cancel ends it, and cannot fail. In between, states read as before. A change of
 * both bits of a page is seen by readers one bit after the other.
 */
int range_reserve(struct range *r, struct range_change *c, uint64_t page, uint64_t n,
                  unsigned state);
void range_commit(struct range *r, const struct range_change *c);
void range_cancel(struct range *r, const struct range_change *c);
/* As reserve, for a range_set of the same later on: whatever happens to other pages until range_cancel, it needs no
 * memory then. Looks at nothing else where a few pages' leaves are there. */
int range_hold(struct range *r, struct range_change *c, uint64_t page, uint64_t n, unsigned state);
/* Both in one call, for whoever has nothing to do in between; cheapest for a few pages. Errors as reserve. */
int range_set(struct range *r, uint64_t page, uint64_t n, unsigned state);

/*
 * Give back what is not needed, in two steps: trim takes out leaves of one state, and the array if all
 * of it is (nothing while a change is reserved); reclaim frees what is out. Reclaim only when no reader
 * is left that began before trim.
 */
void range_trim(struct range *r);
void range_reclaim(struct range *r);

/* ---- the entry, for the readers below ---- */

#define RANGE_NODE 1ull /* leads to a leaf; else uniform: */
#define RANGE_ONE  2ull /* all pages have the bit */
#define RANGE_ADDRESS \
    0x0000fffffffff000ull /* of the node; also of one that waits to be used again */
#define RANGE_ARRAY 16ull /* root: this bit of the state is in the array (5:4); else it is in 2:1 */

/* Acquire: who sees a node sees what it was filled with; who sees a new state sees that its change
 * had begun. */
static inline uint64_t range_load(const uint64_t *e)
{
    return __atomic_load_n(e, __ATOMIC_ACQUIRE);
}

static inline uint64_t *range_node(uint64_t e)
{
    return (uint64_t *)(uintptr_t)(e & RANGE_ADDRESS);
}

/* What stands for this page in a plane, with the root as it was read: an entry; uniform, if the plane is
 * not in the array. */
static inline uint64_t range_entry(const struct range *r, uint64_t root, unsigned plane,
                                   uint64_t page)
{
    return (root & RANGE_ARRAY << plane) != 0
               ? range_load(&range_node(root)[plane * r->leaves + (page >> RANGE_LEAF_SHIFT)])
               : root >> plane & RANGE_ONE;
}

static inline unsigned range_bit(const struct range *r, uint64_t root, unsigned plane,
                                 uint64_t page)
{
    uint64_t e = range_entry(r, root, plane, page);

    if ((e & RANGE_NODE) != 0) {
        return (unsigned)(range_load(&range_node(e)[page / 64 % 512]) >> page % 64) & 1;
    }
    return (unsigned)(e / RANGE_ONE) & 1;
}

/* State of a page below npages. */
static inline unsigned range_state(const struct range *r, uint64_t page)
{
    uint64_t root = range_load(&r->root);
    unsigned low, high;

    if (__builtin_expect((root & (RANGE_ARRAY | RANGE_ONE) << 1) == 0, 1)) {
        return range_bit(r, root, 0, page); /* no page has the second bit */
    }
    do {
        root = range_load(&r->root);
        low = range_bit(r, root, 0, page);
        high = range_bit(r, root, 1, page);
        /* A page may have gone from 1 over 0 to 2 in between: both bits, but never at one time. */
    } while (high && low != range_bit(r, range_load(&r->root), 0, page));
    return high << 1 | low;
}

#endif
