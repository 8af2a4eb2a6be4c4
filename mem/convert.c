/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversion: private <-> shared, with every follower. The order is the whole point:
 *
 *   check and reserve   the only part that can fail; frames are held, so that no pin slips in
 *   seq odd             faults in the range retry from here on
 *   lose, wait          nobody can use the old translation any more, walk caches included
 *   owner, state        only now does a right change hands
 *   gain                only now do new translations appear
 *   seq even            faults see the new state
 *   settle              merge, give back
 */
#include <stddef.h>

#include <tenon/errno.h>

#include "mem/state.h"

/* ---- frames of a change ---- */

/* Holds the frames that `chunks` has for the range, chunk by chunk; all or nothing. */
static int hold(const struct gmem *gm, const uint64_t *chunks, uint64_t page, uint64_t n,
                owner_t borrower)
{
    for (uint64_t p = page, m; p < page + n; p += m) {
        m = gmem_in_chunk(p, page + n - p);
        int err = frames_hold(gmem_at(chunks, p), m, gm->owner, borrower);

        if (err != 0) {
            for (uint64_t q = page; q < p; q += m) {
                m = gmem_in_chunk(q, p - q);
                frames_unhold(gmem_at(chunks, q), m);
            }
            return err;
        }
    }
    return 0;
}

static void unhold(const uint64_t *chunks, uint64_t page, uint64_t n)
{
    for (uint64_t p = page, m; p < page + n; p += m) {
        m = gmem_in_chunk(p, page + n - p);
        frames_unhold(gmem_at(chunks, p), m);
    }
}

static void lend(const struct gmem *gm, const uint64_t *chunks, uint64_t page, uint64_t n,
                 owner_t borrower)
{
    for (uint64_t p = page, m; p < page + n; p += m) {
        m = gmem_in_chunk(p, page + n - p);
        if (gm->uncached_window) {
            /* Nobody maps the frames for the other side now: what is in caches reaches memory here,
             * before the host reads it uncached (or before the VM reads what the host wrote). */
            port_clean(port_va(gmem_at(chunks, p)), m << PAGE_SHIFT);
        }
        frames_lend(gmem_at(chunks, p), m, borrower);
    }
}

/*
 * The frame that is or will be lent is always held; when the guest's page moves to another frame,
 * so is the one it leaves: a pin there (an explicit DMA mapping) would outlive the move.
 */
static const uint64_t *lent_chunks(const struct gmem_change *c)
{
    bool inplace = c->from == GMEM_SHARED_INPLACE || c->to == GMEM_SHARED_INPLACE;

    return inplace ? c->gm->priv : c->gm->shared;
}

static int hold_frames(const struct gmem_change *c)
{
    owner_t borrower = c->to == GMEM_PRIVATE ? OWNER_HOST : OWNER_NONE;
    int err = hold(c->gm, lent_chunks(c), c->page, c->n, borrower);

    if (err == 0 && c->to == GMEM_SHARED) {
        err = hold(c->gm, c->gm->priv, c->page, c->n, OWNER_NONE);
        if (err != 0) {
            unhold(lent_chunks(c), c->page, c->n);
        }
    }
    /* The frames are the object's: a refusal can only mean that somebody still uses one. */
    return err == 0 ? 0 : -EBUSY;
}

static void unhold_frames(const struct gmem_change *c)
{
    unhold(lent_chunks(c), c->page, c->n);
    if (c->to == GMEM_SHARED) {
        unhold(c->gm->priv, c->page, c->n);
    }
}

static void commit_frames(const struct gmem_change *c)
{
    lend(c->gm, lent_chunks(c), c->page, c->n, c->to == GMEM_PRIVATE ? OWNER_NONE : OWNER_HOST);
    if (c->to == GMEM_SHARED) {
        unhold(c->gm->priv, c->page, c->n);
    }
}

/* ---- the change ---- */

/* What can be said without looking at any page's state. */
static int check_args(const struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                      enum gmem_policy policy)
{
    if (n == 0 || (to_shared && policy != GMEM_KEEP && policy != GMEM_INPLACE)) {
        return -EINVAL;
    }
    return page >= gm->npages || n > gm->npages - page ? -EFAULT : 0;
}

/* Fills in from and to, or says why not. */
static int decide(struct gmem_change *c, bool to_shared, enum gmem_policy policy)
{
    const struct gmem *gm = c->gm;

    if (gm->dying || gm->scrubbed < gm->npages / CHUNK_PAGES * (gm->separate ? 2 : 1)) {
        return -EBUSY;
    }
    if (to_shared && policy == GMEM_KEEP && !gm->separate) {
        return -EINVAL;
    }
    c->from = gmem_state(gm, c->page);
    bool is_shared = c->from != GMEM_PRIVATE;

    uint64_t end = c->page + c->n;

    if (gmem_run_until(gm, c->page, end) < end) {
        /* Shared in two ways is still "shared already" when that is what was asked for. */
        uint64_t p = c->page;

        while (p < end && (gmem_state(gm, p) != GMEM_PRIVATE) == is_shared) {
            p = gmem_run_until(gm, p, end);
        }
        return p == end && is_shared == to_shared ? -EALREADY : -EINVAL;
    }
    if (is_shared == to_shared) {
        return -EALREADY;
    }
    c->to =
        !to_shared ? GMEM_PRIVATE : (policy == GMEM_INPLACE ? GMEM_SHARED_INPLACE : GMEM_SHARED);
    return 0;
}

static int prepare_all(const struct gmem_change *c)
{
    for (struct follower *f = c->gm->followers; f != NULL; f = f->next) {
        int err = f->ops->prepare(f, c);

        if (err != 0) {
            for (struct follower *g = c->gm->followers; g != f; g = g->next) {
                g->ops->cancel(g, c);
            }
            return err;
        }
    }
    return 0;
}

int gmem_convert(struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                 enum gmem_policy policy)
{
    struct gmem_change c = { .gm = gm, .page = page, .n = n };
    int err = check_args(gm, page, n, to_shared, policy);

    if (err != 0) {
        return err;
    }
    gmem_claim(&c);
    err = decide(&c, to_shared, policy);
    if (err == 0) {
        err = hold_frames(&c);
    }
    if (err == 0) {
        err = prepare_all(&c);
        if (err != 0) {
            unhold_frames(&c);
        }
    }
    if (err != 0) {
        gmem_unclaim(&c, false);
        return err;
    }
    gmem_begin(&c);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->lose(f, &c);
    }
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->wait(f, &c);
    }
    commit_frames(&c);
    port_lock(&gm->lock);
    gmem_set_state(gm, page, n, c.from, c.to);
    port_unlock(&gm->lock);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->gain(f, &c);
    }
    gmem_end(&c);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->settle(f, &c);
    }
    gmem_unclaim(&c, true);
    return 0;
}
