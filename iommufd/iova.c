/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O addresses of a space: where nothing may be mapped (reserved), where the space may choose (allowed), which holes
 * are left, and the choice.
 */
#include <errno.h>
#include <stdlib.h>

#include "iommufd/iod.h"

#define HUGE_ALIGN (2ull << 20)

/* ---- ranges ---- */

int range_add(struct range_list *l, uint64_t first, uint64_t last, const void *owner)
{
    if (l->n == l->room) {
        uint32_t room = l->room != 0 ? 2 * l->room : 8;
        struct iova_range *r = realloc(l->r, room * sizeof(*r));

        if (r == NULL) {
            return -ENOMEM;
        }
        l->r = r;
        l->room = room;
    }
    l->r[l->n++] = (struct iova_range){ first, last, owner };
    return 0;
}

bool range_touches(const struct range_list *l, uint64_t first, uint64_t last)
{
    for (uint32_t i = 0; i < l->n; i++) {
        if (l->r[i].first <= last && l->r[i].last >= first) {
            return true;
        }
    }
    return false;
}

uint32_t iopt_find(const struct iopt *t, uint64_t iova)
{
    uint32_t lo = 0, hi = t->areas;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (t->area[mid]->last < iova) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

bool iopt_any(const struct iopt *t, uint64_t first, uint64_t last)
{
    uint32_t i = iopt_find(t, first);

    return i < t->areas && t->area[i]->iova <= last;
}

/* Moves *at over what covers it; false: nothing does. -1 in *end: up to the end of everything. */
static bool skip(const struct iopt *t, uint64_t at, bool areas, uint64_t *end)
{
    for (uint32_t i = 0; i < t->reserved.n; i++) {
        if (t->reserved.r[i].first <= at && t->reserved.r[i].last >= at) {
            *end = t->reserved.r[i].last;
            return true;
        }
    }
    uint32_t i = areas ? iopt_find(t, at) : t->areas;

    if (i < t->areas && t->area[i]->iova <= at) {
        *end = t->area[i]->last;
        return true;
    }
    return false;
}

bool iopt_hole(const struct iopt *t, uint64_t at, uint64_t last, bool areas, uint64_t *hs,
               uint64_t *hl)
{
    uint64_t end;

    while (skip(t, at, areas, &end)) {
        if (end >= last) {
            return false;
        }
        at = end + 1;
    }
    if (at > last) {
        return false;
    }
    *hs = at;
    for (uint32_t i = 0; i < t->reserved.n; i++) {
        uint64_t first = t->reserved.r[i].first;

        if (first > at && first - 1 < last) {
            last = first - 1;
        }
    }
    uint32_t i = areas ? iopt_find(t, at) : t->areas;

    if (i < t->areas && t->area[i]->iova - 1 < last) {
        last = t->area[i]->iova - 1;
    }
    *hl = last;
    return true;
}

static bool fits(uint64_t *start, uint64_t last, uint64_t len, uint64_t align, uint64_t offset)
{
    uint64_t at = *start + (align - 1);

    if (at < *start) {
        return false;
    }
    at = (at & ~(align - 1)) | offset;
    if (at >= last || last - at < len - 1) {
        return false;
    }
    *start = at;
    return true;
}

static uint64_t pow2_above(uint64_t n)
{
    uint64_t p = 1;

    while (p < n) {
        p <<= 1;
    }
    return p;
}

/* The lowest hole that holds it, in one allowed stretch. */
static bool choose_in(const struct iopt *t, uint64_t first, uint64_t last, uint64_t len,
                      uint64_t align, uint64_t offset, uint64_t *iova)
{
    uint64_t hs = 0, hl;

    if (!fits(&first, last, len, align, offset)) {
        return false;
    }
    for (uint64_t at = first; iopt_hole(t, at, last, true, &hs, &hl); at = hl + 1) {
        if (fits(&hs, hl, len, align, offset)) {
            *iova = hs;
            return true;
        }
        if (hl == last) {
            break;
        }
    }
    return false;
}

/* Allowed ranges in order, those that touch taken as one. */
static bool allowed_next(const struct iopt *t, uint64_t at, uint64_t *first, uint64_t *last)
{
    const struct range_list *l = &t->allowed;
    bool found = false, grown = true;

    for (uint32_t i = 0; i < l->n; i++) {
        if (l->r[i].first >= at && (!found || l->r[i].first < *first)) {
            *first = l->r[i].first;
            *last = l->r[i].last;
            found = true;
        }
    }
    while (found && grown) {
        grown = false;
        for (uint32_t i = 0; i < l->n; i++) {
            if (*last != UINT64_MAX && l->r[i].first == *last + 1) {
                *last = l->r[i].last;
                grown = true;
            }
        }
    }
    return found;
}

int iopt_choose(const struct iopt *t, uint64_t *iova, uint64_t addr, uint64_t len)
{
    uint64_t low = PG, high = UINT64_MAX - PG, align, first = 0, last = 0;

    if (len == 0 || len >= UINT64_MAX / 2) {
        return -EOVERFLOW;
    }
    align = pow2_above(len);
    if (addr != 0 && (addr & -addr) < align) {
        align = addr & -addr;
    }
    align = align < HUGE_ALIGN ? align : HUGE_ALIGN;
    if (align < t->alignment) {
        return -EINVAL;
    }
    if (t->allowed.n == 0) {
        return choose_in(t, low, high, len, align, addr % PG, iova) ? 0 : -ENOSPC;
    }
    for (uint64_t at = 0; allowed_next(t, at, &first, &last); at = last + 1) {
        uint64_t f = first > low ? first : low, l = last < high ? last : high;

        if (f <= l && choose_in(t, f, l, len, align, addr % PG, iova)) {
            return 0;
        }
        if (last == UINT64_MAX) {
            break;
        }
    }
    return -ENOSPC;
}

/* ---- reserved, allowed ---- */

int iopt_reserve(struct iopt *t, uint64_t first, uint64_t last, const void *owner)
{
    if (iopt_any(t, first, last) || range_touches(&t->allowed, first, last)) {
        return -EADDRINUSE;
    }
    return range_add(&t->reserved, first, last, owner);
}

void iopt_unreserve(struct iopt *t, const void *owner)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->reserved.n; i++) {
        if (t->reserved.r[i].owner != owner) {
            t->reserved.r[n++] = t->reserved.r[i];
        }
    }
    t->reserved.n = n;
}

int iopt_allow(struct iopt *t, struct range_list *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (range_touches(&t->reserved, list->r[i].first, list->r[i].last)) {
            return -EADDRINUSE;
        }
    }
    free(t->allowed.r);
    t->allowed = *list;
    *list = (struct range_list){ 0 };
    return 0;
}
