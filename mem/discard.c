/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discard. A page is marked when a copy of it goes out of use; the mark of before goes with it. A punch claims the
 * pages, looks whether the marks are still there, and that the copy is out of use: so what it punches is
 * nobody's. A conversion takes the old mark away only when it is done: until then the claim keeps punches
 * out, and then the copy that the mark means is in use.
 */
#include <tenon/discard.h>
#include <tenon/errno.h>

#include "mem/state.h"

enum { STALE_NOT, STALE_PRIVATE, STALE_SHARED = 3 }; /* they differ in one bit */

int gmem_discard_init(struct gmem_discard *d, struct gmem *gm,
                      void (*punch)(uint64_t pa, uint64_t len), uint64_t max_pages, uint64_t max_ns)
{
    if (!gm->separate || gm->npages == 0) {
        return -EINVAL;
    }
    *d =
        (struct gmem_discard){ .gm = gm, .punch = punch, .max_pages = max_pages, .max_ns = max_ns };
    range_init(&d->stale[0], gm->npages);
    range_init(&d->stale[1], gm->npages);
    range_init(&d->apart, gmem_nchunks(gm));
    return 0;
}

void gmem_discard_fini(struct gmem_discard *d)
{
    range_fini(&d->stale[0]);
    range_fini(&d->stale[1]);
    range_fini(&d->apart);
    d->waiting = d->in[0] = d->in[1] = d->parted = 0;
}

/* ---- marks: the lock is held ---- */

/* Pages of the range that wait in a generation. */
static uint64_t count(const struct gmem_discard *d, unsigned g, uint64_t page, uint64_t n)
{
    uint64_t end = d->in[g] != 0 ? page + n : page, sum = 0;

    for (; n <= 4 && page < end; page++) {
        sum += range_state(&d->stale[g], page) != STALE_NOT;
    }
    for (uint64_t p = page, q; p < end; p = q) {
        q = range_next(&d->stale[g], p, end);
        sum += range_state(&d->stale[g], p) != STALE_NOT ? q - p : 0;
    }
    return sum;
}

/* So that mark() with these arguments finds what it needs; what it needs not is not held. */
static int hold(struct gmem_discard *d, unsigned g, uint64_t page, uint64_t n, unsigned stale,
                bool held[2])
{
    struct range_change c;
    int err = 0;

    for (unsigned i = 0; i < 2 && err == 0; i++) {
        unsigned to = i == g ? stale : STALE_NOT;

        if (to != STALE_NOT || count(d, i, page, n) != 0) {
            err = range_hold(&d->stale[i], &c, page, n, to);
            held[i] = err == 0;
        }
    }
    return err;
}

static void let_go(struct gmem_discard *d, const bool held[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (held[i]) {
            range_cancel(&d->stale[i], NULL);
        }
    }
}

/* The pages wait in generation g from now on, or (STALE_NOT) for nothing. How many had waited. */
static uint64_t mark(struct gmem_discard *d, unsigned g, uint64_t page, uint64_t n, unsigned stale)
{
    uint64_t was = 0;

    for (unsigned i = 0; i < 2; i++) {
        uint64_t had = count(d, i, page, n), has = i == g && stale != STALE_NOT ? n : 0;
        struct range *r = &d->stale[i];

        if ((had == 0 && has == 0) || range_set(r, page, n, has != 0 ? stale : STALE_NOT) != 0) {
            continue;
        }
        d->in[i] += has - had;
        d->waiting += has - had;
        was += had;
        if (r->spare > GMEM_SPARE) { /* whoever reads it has the lock */
            range_trim(r);
            range_reclaim(r);
        }
    }
    return was;
}

/* ---- punches ---- */

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
        (void)mark(d, 0, p, m, STALE_NOT);
        d->punched += m;
        d->punches++;
        port_unlock(&d->lock);
        done += m;
    }
    return done;
}

/* What waits in the range, run by run; each has its pages to itself for as long as it takes. */
static uint64_t punch_range(struct gmem_discard *d, unsigned g, uint64_t page, uint64_t end,
                            uint64_t budget)
{
    const struct range *r = &d->stale[g];
    uint64_t done = 0;

    while (page < end && done < budget) {
        struct gmem_change c = { .gm = d->gm, .page = page };

        port_lock(&d->lock);
        uint64_t next = range_next(r, page, end);
        unsigned stale = range_state(r, page);

        port_unlock(&d->lock);
        if (stale != STALE_NOT) {
            c.n = next - page;
            gmem_claim(&c);
            port_lock(&d->lock);
            bool still = range_state(r, page) == stale && range_next(r, page, next) == next;

            port_unlock(&d->lock);
            done += still ? punch_run(d, page, c.n, stale) : 0;
            gmem_unclaim(&c, false);
        }
        page = next;
    }
    return done;
}

/* Too many wait, or `ns` have gone since generations changed: is it time for the `turns`th change? After the first
 * the young may fill half of what may wait. */
static bool due(const struct gmem_discard *d, uint64_t ns, unsigned turns)
{
    return d->waiting > d->max_pages || (turns == 1 && d->in[d->young] > d->max_pages / 2) ||
           (d->waiting != 0 && ns > turns * (d->max_ns / 2));
}

/* The older generation is punched, and the younger one grows old. If that was not enough, it goes too. */
static void turn(struct gmem_discard *d, uint64_t now, uint64_t ns)
{
    for (unsigned turns = 1; turns <= 2; turns++) {
        port_lock(&d->lock);
        bool again = due(d, ns, turns);
        unsigned old = d->young ^ again;

        d->young = old;
        d->turned = again ? now : d->turned;
        port_unlock(&d->lock);
        if (!again) {
            return;
        }
        /* What is converted meanwhile, and cannot be told from it, may go with it. */
        (void)punch_range(d, old, 0, d->gm->npages, ~0ull);
    }
}

/* ---- merges ---- */

/* The lock is held. */
static bool merge_due(const struct gmem_discard *d, uint64_t now)
{
    return d->parted > GMEM_APART || (d->parted != 0 && now - d->oldest_parted > d->max_ns);
}

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
    bool late = merge_due(d, now);

    port_unlock(&d->lock);
    return late;
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
    port_lock(&d->lock);
    unsigned old = d->young ^ 1;

    port_unlock(&d->lock);
    merge(d);
    uint64_t done = punch_range(d, old, 0, d->gm->npages, pages);

    return done < pages ? done + punch_range(d, old ^ 1, 0, d->gm->npages, pages - done) : done;
}

/* ---- conversions ---- */

/* Without a lock, as long as no page is (the second bit of a state). */
static bool in_place(struct gmem *gm, uint64_t page)
{
    return (range_load(&gm->states.root) & (RANGE_ARRAY | RANGE_ONE) << 1) != 0 &&
           gmem_look(gm, page, NULL) == GMEM_SHARED_INPLACE;
}

/* Is every block of the change one that waits to be merged? The lock is held. */
static bool all_apart(const struct gmem_discard *d, uint64_t page, uint64_t n)
{
    uint64_t k = page / CHUNK_PAGES, last = (page + n - 1) / CHUNK_PAGES;

    while (k <= last && range_state(&d->apart, k) != 0) {
        k++;
    }
    return k > last;
}

int gmem_discard_convert(struct gmem_discard *d, uint64_t page, uint64_t n, bool to_shared,
                         int policy)
{
    struct gmem *gm = d->gm;
    enum gmem_policy how = policy == GMEM_INPLACE ? GMEM_INPLACE : GMEM_KEEP;
    int err = policy < GMEM_KEEP || policy > GMEM_LAZY ? -EINVAL
                                                       : gmem_check(gm, page, n, to_shared, how);
    unsigned stale = to_shared ? STALE_PRIVATE : STALE_SHARED;
    bool held[2] = { false };

    if (err != 0) {
        return err;
    }
    if (policy <= GMEM_INPLACE || (!to_shared && in_place(gm, page))) {
        stale = STALE_NOT; /* no copy is to go, or there is none */
    }
    port_lock(&d->lock);
    unsigned g = d->young;

    err = hold(d, g, page, n, stale, held);
    if (err != 0) {
        let_go(d, held);
    }
    port_unlock(&d->lock);
    if (err != 0) {
        return err;
    }
    err = gmem_convert(gm, page, n, to_shared, how);
    port_lock(&d->lock);
    bool apart = !gm->merge_later || all_apart(d, page, n);
    bool first = stale != STALE_NOT && d->waiting == 0;

    /* The clock costs a tenth of a conversion. */
    d->looked = first || !apart || ++d->calls % GMEM_LOOK == 0 ? port_now() : d->looked;
    uint64_t now = d->looked;

    let_go(d, held);
    if (err == 0 && (held[0] || held[1])) {
        d->turned = first ? now : d->turned;
        d->spared += mark(d, g, page, n, stale);
    }
    uint64_t ns = now - d->turned;
    bool late = due(d, ns, 1), merges = apart && merge_due(d, now);

    port_unlock(&d->lock);
    if (err == 0 && policy == GMEM_DISCARD) {
        (void)punch_range(d, g, page, page + n, n);
    } else if (late) {
        turn(d, now, ns);
    }
    if (merges || (err == 0 && !apart && part(d, page, n, now))) {
        merge(d);
    }
    return err;
}
