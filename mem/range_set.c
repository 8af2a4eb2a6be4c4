/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A change of the range store in one call. Most are of pages in one word of a leaf that is there: they need
 * no memory, so there is nothing to reserve, and nothing can fail between the planes. A long one has two
 * leaves at most that it covers in part: their words are set here, four at a time.
 */
#include "mem/range_int.h"

static uint64_t *entry_of(const struct range *r, uint64_t page, unsigned plane)
{
    return &range_node(r->root)[plane * r->leaves + (page >> RANGE_LEAF_SHIFT)];
}

/* ---- a few pages ---- */

/* The plane has this bit here, or a leaf. */
static bool ready(const struct range *r, uint64_t page, unsigned plane, bool bit)
{
    uint64_t e = r->root >> plane & RANGE_ONE;

    if ((r->root & RANGE_ARRAY << plane) != 0) {
        e = *entry_of(r, page, plane);
    }
    return (e & RANGE_NODE) != 0 || ((e & RANGE_ONE) != 0) == bit;
}

/* `mask` of the word with this page. */
static void set_few(struct range *r, uint64_t page, uint64_t mask, unsigned plane, bool bit)
{
    if ((r->root & RANGE_ARRAY << plane) == 0) {
        return;
    }
    uint64_t *at = entry_of(r, page, plane), e = *at;

    if ((e & RANGE_NODE) == 0) {
        return;
    }
    uint64_t *w = &range_node(e)[page / 64 % WORDS];
    uint64_t differ = (bit ? ~*w : *w) & mask;

    if (differ != 0) {
        uint64_t n = (differ & (differ - 1)) == 0 ? 1 : range_ones(differ);

        range_store(w, *w ^ differ);
        range_put(r, at, bit ? e + n * COUNT : e - n * COUNT);
    }
}

/* ---- a part of a leaf ---- */

/* Adds a and b to the 64 counts whose low bits are *sum; what they carry. */
static uint64_t carry(uint64_t *sum, uint64_t a, uint64_t b)
{
    uint64_t half = *sum ^ a, both = (*sum & a) | (half & b);

    *sum = half ^ b;
    return both;
}

/* The words [w, end), a multiple of four, become all `bit`: how many bits that changes. Counted by columns, so
 * that bits are added up once in four words. */
static uint64_t set_words(uint64_t *w, const uint64_t *end, uint64_t bits)
{
    uint64_t one = 0, two = 0, fours = 0;

    for (const uint64_t *line = w; line < end; line += 8) {
        __builtin_prefetch(line, 1);
    }
    for (; w != end; w += 4) {
        uint64_t ab = carry(&one, w[0] ^ bits, w[1] ^ bits);
        uint64_t cd = carry(&one, w[2] ^ bits, w[3] ^ bits);

        fours += range_ones(carry(&two, ab, cd));
        range_store(&w[0], bits);
        range_store(&w[1], bits);
        range_store(&w[2], bits);
        range_store(&w[3], bits);
    }
    return 4 * fours + 2 * range_ones(two) + range_ones(one);
}

/* [page, stop) of one leaf, which is there if there is anything to change. */
static void set_part(struct range *r, uint64_t page, uint64_t stop, unsigned plane, bool bit)
{
    uint64_t *at = entry_of(r, page, plane), changed = 0;
    uint64_t *leaf = range_node(*at), bits = 0 - (uint64_t)bit;

    if ((*at & RANGE_NODE) == 0) {
        return; /* it has this bit already */
    }
    while (page < stop) {
        uint64_t *w = &leaf[page / 64 % WORDS];
        uint64_t n = (stop - page) & ~255ull;

        if (page % 64 == 0 && n != 0) {
            changed += set_words(w, w + n / 64, bits);
        } else {
            n = 64 - page % 64 < stop - page ? 64 - page % 64 : stop - page;
            uint64_t differ = (*w ^ bits) & ~0ull >> (64 - n) << page % 64;

            changed += range_ones(differ);
            range_store(w, *w ^ differ);
        }
        page += n;
    }
    range_put(r, at, bit ? *at + changed * COUNT : *at - changed * COUNT);
}

/* ---- */

/* Pages of one word, for which nothing is missing. The last page's word has more behind it. */
static bool few(const struct range *r, uint64_t page, uint64_t n, unsigned state)
{
    return n <= 64 - page % 64 && page + n < r->npages && ready(r, page, 0, state & 1) &&
           ready(r, page, 1, state >> 1 & 1);
}

int range_hold(struct range *r, struct range_change *c, uint64_t page, uint64_t n, unsigned state)
{
    if (few(r, page, n, state)) {
        r->held++;
        return 0;
    }
    return range_reserve(r, c, page, n, state);
}

int range_set(struct range *r, uint64_t page, uint64_t n, unsigned state)
{
    uint64_t end = page + n;

    if (few(r, page, n, state)) {
        uint64_t mask = ~0ull >> (64 - n) << page % 64;

        set_few(r, page, mask, 0, state & 1);
        set_few(r, page, mask, 1, state >> 1 & 1);
        return 0;
    }
    struct range_change c;
    int err = range_reserve(r, &c, page, n, state);

    if (err != 0) {
        return err;
    }
    /* Whole leaves are from `from` to `to`; behind the last page, to the end of its leaf, goes with it. */
    uint64_t from = (page + LEAF - 1) & ~(LEAF - 1);
    uint64_t to = (end == r->npages ? end + LEAF - 1 : end) & ~(LEAF - 1);

    for (unsigned i = 0; i < 2; i++) {
        if ((c.planes >> i & 1) == 0) {
            continue;
        }
        if (page < from) {
            set_part(r, page, from <= to ? from : end, i, state >> i & 1);
        }
        if (from <= to && to < end) {
            set_part(r, to, end, i, state >> i & 1);
        }
    }
    c.page = from;
    c.n = from < to ? (to < r->npages ? to : r->npages) - from : 0;
    range_commit(r, &c);
    return 0;
}
