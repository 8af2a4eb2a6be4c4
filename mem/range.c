/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The range store. An entry is 64 bits: RANGE_NODE, RANGE_ONE and RANGE_ADDRESS as in the header, and
 *
 *   63:48      how many bits are set in the leaf
 *
 * The writer never touches a leaf that is out, before it is used again or reclaimed: a reader that is
 * in it still reads what was there when it came. Used again it holds new bits, which a reader that
 * came before the change may as well see.
 *
 * The pages of the last leaf that are beyond npages always have the bit of the last page.
 */
#include <tenon/errno.h>
#include <tenon/frame.h>
#include <tenon/port.h>

#include "mem/range_int.h"

/* The entry of a page for one bit of its state; NULL: there is no array. */
static uint64_t *entry(const struct range *r, uint64_t page, unsigned plane)
{
    uint64_t *array = range_node(r->root);

    return array == NULL ? NULL : &array[plane * r->leaves + LEAF_OF(page)];
}

/* ---- readers ---- */

/* First page of [page, end) on which this bit of the state differs from `bit`, or end. */
static uint64_t plane_next(const struct range *r, unsigned plane, uint64_t page, uint64_t end,
                           bool bit)
{
    while (page < end) {
        uint64_t root = range_load(&r->root), stop = (page | (LEAF - 1)) + 1;
        uint64_t e = range_entry(r, root, plane, page);

        stop = stop < end && (root & RANGE_ARRAY << plane) != 0 ? stop : end;
        if ((e & RANGE_NODE) == 0) {
            if (((e & RANGE_ONE) != 0) != bit) {
                return page;
            }
            page = stop;
        }
        while (page < stop) {
            uint64_t w = range_load(&range_node(e)[page / 64 % WORDS]);
            uint64_t differ = (w ^ (0 - (uint64_t)bit)) >> page % 64;

            if (differ != 0) {
                page += (uint64_t)__builtin_ctzll(differ);
                return page < end ? page : end;
            }
            page = (page | 63) + 1;
        }
    }
    return end;
}

uint64_t range_next(const struct range *r, uint64_t page, uint64_t end)
{
    unsigned state = range_state(r, page);

    if (end - page <= 4) { /* a few pages need no scan */
        while (++page < end && range_state(r, page) == state) {
        }
        return page;
    }
    end = plane_next(r, 0, page + 1, end, state & 1);
    return plane_next(r, 1, page + 1, end, state >> 1);
}

/* ---- entries ---- */

/* A leaf at a uniform entry; `pool` gives one if there is none that was in use before. */
static void grow(struct range *r, uint64_t *at, struct pt_pool *pool)
{
    uint64_t *leaf = range_node(*at);
    bool bit = *at & RANGE_ONE;

    if (leaf == NULL) {
        leaf = port_va(pt_pool_pop(pool));
        r->nodes++;
    }
    for (unsigned i = 0; i < WORDS; i++) {
        range_store(&leaf[i], 0 - (uint64_t)bit);
    }
    range_put(r, at, (uint64_t)(uintptr_t)leaf | RANGE_NODE | (bit ? LEAF * COUNT : 0));
}

/* Planes that go into the array: `pa`, or (0) one that is there or waits. Leaves that wait below it stay;
 * what they hold is no longer known. */
static void grow_root(struct range *r, uint64_t pa, uint64_t planes)
{
    uint64_t e = r->root | (pa != 0 ? (uint64_t)(uintptr_t)port_va(pa) : 0);
    uint64_t *array = range_node(e);

    r->nodes += pa != 0 ? range_root_pages(r) : 0;
    for (uint64_t i = 0; i < 2 * r->leaves; i++) {
        if ((planes >> i / r->leaves & 1) != 0) {
            range_store(&array[i], (array[i] & RANGE_ADDRESS) | (e >> i / r->leaves & RANGE_ONE));
        }
    }
    range_store(&r->root, e | planes * RANGE_ARRAY);
}

/* ---- changes ---- */

/* Does the change cover all pages of the leaf over `page`, as far as there are any? */
static bool whole(const struct range *r, const struct range_change *c, uint64_t page)
{
    uint64_t base = page & ~(LEAF - 1), end = c->page + c->n;

    return base >= c->page && (end == r->npages || base + LEAF <= end);
}

/* An entry of the other bit, for all its pages. */
static bool differs(uint64_t e, bool bit)
{
    return (e & RANGE_NODE) == 0 && ((e & RANGE_ONE) != 0) != bit;
}

/* Pages whose leaves the change covers in part: its first, its last if that is in another. How many. */
static unsigned edges(const struct range *r, const struct range_change *c, uint64_t page[2])
{
    uint64_t last = c->page + c->n - 1;
    unsigned n = 0;

    if (!whole(r, c, c->page)) {
        page[n++] = c->page;
    }
    if (LEAF_OF(last) != LEAF_OF(c->page) && !whole(r, c, last)) {
        page[n++] = last;
    }
    return n;
}

int range_reserve(struct range *r, struct range_change *c, uint64_t page, uint64_t n,
                  unsigned state)
{
    struct pt_pool leaves = { 0 };
    uint64_t root = 0, edge[2];
    uint32_t missing = 0, grown = 0;
    uint64_t array = 0; /* planes that must be in it. To change all pages needs none */

    *c = (struct range_change){ .page = page, .n = n, .state = (uint8_t)state };
    for (unsigned i = 0; i < 2; i++) {
        bool bit = state >> i & 1, in = r->root & RANGE_ARRAY << i;

        if (!in && ((r->root & RANGE_ONE << i) != 0) == bit) {
            continue;
        }
        c->planes |= (uint8_t)(1u << i);
        array |= in || n == r->npages ? 0 : 1u << i;
        for (unsigned j = edges(r, c, edge); j-- != 0;) {
            const uint64_t *at = entry(r, edge[j], i);

            bool leaf = at == NULL || !in || differs(*at, bit);

            grown += leaf;
            missing += leaf && (at == NULL || range_node(*at) == NULL);
        }
    }
    if (array != 0 && range_node(r->root) == NULL) {
        root = frame_tables_root(range_root_pages(r));
        if (root == 0) {
            return -ENOMEM;
        }
    }
    if (missing != 0 && frame_tables_reserve(&leaves, missing) != 0) {
        if (root != 0) {
            frame_tables_put(root, range_root_pages(r));
        }
        return -ENOMEM;
    }
    if (array != 0) {
        grow_root(r, root, array);
    }
    for (unsigned j = grown == 0 ? 0 : edges(r, c, edge) * 2; j-- != 0;) {
        uint64_t *at = entry(r, edge[j / 2], j % 2);

        if ((c->planes >> j % 2 & 1) != 0 && differs(*at, state >> j % 2 & 1)) {
            grow(r, at, &leaves);
        }
    }
    r->held++;
    return 0;
}

/* [page, stop) of the leaf that *at leads to. */
static void set_bits(struct range *r, uint64_t *at, uint64_t page, uint64_t stop, bool bit)
{
    uint64_t changed = 0;

    while (page < stop) {
        uint64_t *w = &range_node(*at)[page / 64 % WORDS];
        uint64_t n = 64 - page % 64 < stop - page ? 64 - page % 64 : stop - page;
        uint64_t differ = (*w ^ (0 - (uint64_t)bit)) & ~0ull >> (64 - n) << page % 64;

        changed += differ == ~0ull ? 64 : range_ones(differ);
        range_store(w, *w ^ differ);
        page += n;
    }
    range_put(r, at, bit ? *at + changed * COUNT : *at - changed * COUNT);
}

static void set_plane(struct range *r, const struct range_change *c, unsigned plane)
{
    uint64_t end = c->page + c->n;
    bool bit = c->state >> plane & 1;

    for (uint64_t page = c->page, stop; page < end; page = stop) {
        uint64_t *at = entry(r, page, plane);

        stop = (page | (LEAF - 1)) + 1;
        if (whole(r, c, page)) {
            range_flatten(r, at, bit);
        } else if ((*at & RANGE_NODE) != 0) { /* else it has this bit already */
            /* Behind the last page, to the end of its leaf, goes with it. */
            set_bits(r, at, page, stop < end || end == r->npages ? stop : end, bit);
        }
    }
}

void range_commit(struct range *r, const struct range_change *c)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t one = RANGE_ONE << i;

        if ((r->root & RANGE_ARRAY << i) != 0 && (c->planes >> i & 1) != 0) {
            set_plane(r, c, i);
        } else if ((c->planes >> i & 1) != 0) { /* all pages, or there were an array */
            range_store(&r->root, (r->root & ~one) | (c->state * RANGE_ONE & one));
        }
    }
    r->held--;
}

/* ---- life ---- */

void range_init(struct range *r, uint64_t npages)
{
    *r = (struct range){ .npages = npages, .leaves = LEAF_OF(npages + LEAF - 1) };
}

/* Table pages go back. */
void range_fini(struct range *r)
{
    uint64_t *array = range_node(r->root);

    for (uint64_t i = 0; array != NULL && i < 2 * r->leaves; i++) {
        if (range_node(array[i]) != NULL) {
            frame_tables_put(port_pa(range_node(array[i])), 1);
        }
    }
    if (array != NULL) {
        frame_tables_put(port_pa(array), range_root_pages(r));
    }
    range_init(r, r->npages);
}
