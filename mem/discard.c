/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discard. A page is marked when a copy of it goes out of use, and the mark is taken away before the
 * page is converted again. A punch claims the pages, looks whether the marks are still there, and that
 * the copy is out of use: so what it punches is nobody's, and a copy that was to be kept is kept.
 */
#include <tenon/discard.h>
#include <tenon/errno.h>

#include "mem/state.h"

enum { STALE_NOT, STALE_PRIVATE, STALE_SHARED };

int gmem_discard_init(struct gmem_discard *d, struct gmem *gm,
                      void (*punch)(uint64_t pa, uint64_t len), uint64_t max_pages, uint64_t max_ns)
{
    if (!gm->separate || gm->npages == 0) {
        return -EINVAL;
    }
    *d =
        (struct gmem_discard){ .gm = gm, .punch = punch, .max_pages = max_pages, .max_ns = max_ns };
    range_init(&d->stale, gm->npages);
    range_init(&d->apart, gmem_nchunks(gm));
    return 0;
}

void gmem_discard_fini(struct gmem_discard *d)
{
    range_fini(&d->stale);
    range_fini(&d->apart);
    d->waiting = d->parted = 0;
}

/* Pages of the range that wait. The lock is held. */
static uint64_t count(const struct gmem_discard *d, uint64_t page, uint64_t n)
{
    uint64_t end = page + n, sum = 0;

    for (uint64_t p = page, q; p < end; p = q) {
        q = range_next(&d->stale, p, end);
        sum += range_state(&d->stale, p) != STALE_NOT ? q - p : 0;
    }
    return sum;
}

/* The lock is held. Only marking pages that were not can need memory. */
static int mark(struct gmem_discard *d, uint64_t page, uint64_t n, unsigned stale)
{
    uint64_t was = count(d, page, n);
    int err = range_set(&d->stale, page, n, stale);

    if (err != 0) {
        return err;
    }
    d->waiting -= was;
    if (stale != STALE_NOT) {
        d->oldest = d->waiting == 0 ? port_now() : d->oldest;
        d->waiting += n;
    }
    if (d->stale.spare > GMEM_SPARE) { /* whoever reads it has the lock */
        range_trim(&d->stale);
        range_reclaim(&d->stale);
    }
    return 0;
}

/* Punches the copies of a run that are out of use; nothing of it is in change. */
static uint64_t punch_run(struct gmem_discard *d, uint64_t page, uint64_t n, unsigned stale)
{
    struct gmem *gm = d->gm;
    const uint64_t *chunks = stale == STALE_PRIVATE ? gm->priv : gm->shared;
    uint64_t done = 0;

    for (uint64_t p = page, m; p < page + n; p += m) {
        uint64_t pa = gmem_at(chunks, p);
        bool in_use =
            gmem_state(gm, p) == GMEM_SHARED ? stale == STALE_SHARED : stale == STALE_PRIVATE;

        m = gmem_run_until(gm, p, page + n) - p;
        m = gmem_in_chunk(p, m);
        if (in_use || frames_hold(pa, m, gm->owner, OWNER_NONE) != 0) {
            continue; /* pinned: it waits on */
        }
        d->punch(pa, m << PAGE_SHIFT);
        frames_unhold(pa, m);
        port_lock(&d->lock);
        (void)mark(d, p, m, STALE_NOT);
        d->punched += m;
        d->punches++;
        port_unlock(&d->lock);
        done += m;
    }
    return done;
}

/* What waits in the range, run by run; each has its pages to itself for as long as it takes. */
static uint64_t punch_range(struct gmem_discard *d, uint64_t page, uint64_t end, uint64_t budget)
{
    uint64_t done = 0;

    while (page < end && done < budget) {
        struct gmem_change c = { .gm = d->gm, .page = page };

        port_lock(&d->lock);
        uint64_t next = range_next(&d->stale, page, end);
        unsigned stale = range_state(&d->stale, page);

        port_unlock(&d->lock);
        if (stale != STALE_NOT) {
            c.n = next - page;
            gmem_claim(&c);
            port_lock(&d->lock);
            bool still =
                range_state(&d->stale, page) == stale && range_next(&d->stale, page, next) == next;

            port_unlock(&d->lock);
            done += still ? punch_run(d, page, c.n, stale) : 0;
            gmem_unclaim(&c, false);
        }
        page = next;
    }
    return done;
}

/* ---- merges ---- */

/* The blocks of a change wait from now on; those that cannot be remembered (no memory) do not. Returns whether
 * it is time to merge. */
static bool part(struct gmem_discard *d, uint64_t page, uint64_t n, uint64_t now)
{
    uint64_t last = (page + n - 1) / CHUNK_PAGES;

    port_lock(&d->lock);
    for (uint64_t k = page / CHUNK_PAGES; k <= last; k++) {
        if (range_state(&d->apart, k) != 0) {
            continue;
        }
        if (range_set(&d->apart, k, 1, 1) != 0) {
            port_unlock(&d->lock);
            gmem_settle(d->gm, k * CHUNK_PAGES, 1);
            port_lock(&d->lock);
            continue;
        }
        d->oldest_parted = d->parted++ == 0 ? now : d->oldest_parted;
    }
    bool due = d->parted > GMEM_APART || (d->parted != 0 && now - d->oldest_parted > d->max_ns);

    port_unlock(&d->lock);
    return due;
}

static void merge(struct gmem_discard *d)
{
    for (uint64_t k = 0; k < d->apart.npages; k++) {
        port_lock(&d->lock);
        k = range_state(&d->apart, k) != 0 ? k : range_next(&d->apart, k, d->apart.npages);
        bool found = k < d->apart.npages;

        if (found) {
            (void)range_set(&d->apart, k, 1, 0); /* what stands there needs no memory to go */
            d->parted--;
        }
        port_unlock(&d->lock);
        if (found) {
            gmem_settle(d->gm, k * CHUNK_PAGES, 1);
        }
    }
}

uint64_t gmem_discard_run(struct gmem_discard *d, uint64_t pages)
{
    merge(d);
    return punch_range(d, 0, d->gm->npages, pages);
}

int gmem_discard_convert(struct gmem_discard *d, uint64_t page, uint64_t n, bool to_shared,
                         int policy)
{
    struct gmem *gm = d->gm;
    enum gmem_policy how = policy == GMEM_INPLACE ? GMEM_INPLACE : GMEM_KEEP;
    bool later = policy == GMEM_LAZY || policy == GMEM_DISCARD;
    int err = policy < GMEM_KEEP || policy > GMEM_LAZY ? -EINVAL
                                                       : gmem_check(gm, page, n, to_shared, how);
    struct range_change ahead = { 0 };

    if (err != 0) {
        return err;
    }
    port_lock(&d->lock);
    unsigned was = range_state(&d->stale, page);
    bool all = range_next(&d->stale, page, page + n) == page + n;

    err = was == STALE_NOT && all ? 0 : mark(d, page, n, STALE_NOT);
    if (err == 0 && later) {
        /* So that the mark afterwards finds what it needs. */
        err = range_reserve(&d->stale, &ahead, page, n, to_shared ? STALE_PRIVATE : STALE_SHARED);
    }
    port_unlock(&d->lock);
    if (err != 0) {
        return err;
    }
    bool copy = gmem_look(gm, page, NULL) != GMEM_SHARED_INPLACE;

    err = gmem_convert(gm, page, n, to_shared, how);
    port_lock(&d->lock);
    if (later) {
        range_cancel(&d->stale, &ahead);
    }
    if (err != 0 && all && was != STALE_NOT) {
        (void)mark(d, page, n, was);
    } else if (err == 0 && later && copy) {
        (void)mark(d, page, n, to_shared ? STALE_PRIVATE : STALE_SHARED);
    }
    uint64_t now = policy == GMEM_LAZY || gm->merge_later ? port_now() : 0;
    bool due = d->waiting > d->max_pages ||
               (d->waiting != 0 && policy == GMEM_LAZY && now - d->oldest > d->max_ns);

    port_unlock(&d->lock);
    if (err == 0 && policy == GMEM_DISCARD) {
        (void)punch_range(d, page, page + n, n);
    } else if (due) {
        (void)punch_range(d, 0, gm->npages, ~0ull);
    }
    if (err == 0 && gm->merge_later && part(d, page, n, now)) {
        merge(d);
    }
    return err;
}
