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

enum frames_op { HOLD, UNHOLD, LEND };

/* Frames that `chunks` has for the range, chunk by chunk. Only HOLD can fail: then none is held. */
static int frames_do(const struct gmem *gm, const uint64_t *chunks, uint64_t page, uint64_t n,
                     enum frames_op op, owner_t borrower)
{
    int err = 0;

    for (uint64_t p = page, m; p < page + n && err == 0; p += m) {
        uint64_t pa = gmem_at(chunks, p);

        m = gmem_in_chunk(p, page + n - p);
        if (op == HOLD) {
            err = frames_hold(pa, m, gm->owner, borrower);
            if (err != 0 && p != page) {
                (void)frames_do(gm, chunks, page, p - page, UNHOLD, borrower);
            }
        } else if (op == UNHOLD) {
            frames_unhold(pa, m);
        } else {
            if (gm->uncached_window) {
                /* Nobody maps the frames for the other side now: what is in caches reaches memory here,
                 * before the host reads it uncached (or before the VM reads what the host wrote). */
                port_clean(port_va(pa), m << PAGE_SHIFT);
            }
            frames_lend(pa, m, borrower);
        }
    }
    return err;
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
    int err = frames_do(c->gm, lent_chunks(c), c->page, c->n, HOLD, borrower);

    if (err == 0 && c->to == GMEM_SHARED) {
        err = frames_do(c->gm, c->gm->priv, c->page, c->n, HOLD, OWNER_NONE);
        if (err != 0) {
            (void)frames_do(c->gm, lent_chunks(c), c->page, c->n, UNHOLD, OWNER_NONE);
        }
    }
    /* The frames are the object's: a refusal can only mean that somebody still uses one, or that there is a hole. */
    return err == 0 || err == -EFAULT ? err : -EBUSY;
}

/* Done: what was lent or taken back is so now. Not done: all is as it was. */
static void end_frames(const struct gmem_change *c, bool done)
{
    (void)frames_do(c->gm, lent_chunks(c), c->page, c->n, done ? LEND : UNHOLD,
                    c->to == GMEM_PRIVATE ? OWNER_NONE : OWNER_HOST);
    if (c->to == GMEM_SHARED) {
        (void)frames_do(c->gm, c->gm->priv, c->page, c->n, UNHOLD, OWNER_NONE);
    }
}

/* ---- the change ---- */

int gmem_check(const struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
               enum gmem_policy policy)
{
    if (n == 0 || (to_shared && policy != GMEM_INPLACE && (policy != GMEM_KEEP || !gm->separate))) {
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
    c->from = gmem_state(gm, c->page);
    bool uniform = gmem_uniform(gm, c->page, c->n, false);

    /* Shared in two ways is still "shared already" when that is what was asked for. */
    if (to_shared ? !gmem_any(gm, c->page, c->n, GMEM_PRIVATE)
                  : uniform && c->from == GMEM_PRIVATE) {
        return -EALREADY;
    }
    c->to =
        !to_shared ? GMEM_PRIVATE : (policy == GMEM_INPLACE ? GMEM_SHARED_INPLACE : GMEM_SHARED);
    return uniform ? 0 : -EINVAL;
}

int gmem_reserve(struct gmem_change *c, enum gmem_state to)
{
    struct follower *f;
    int err = 0;

    for (f = c->gm->followers; f != NULL && err == 0; f = err == 0 ? f->next : f) {
        err = f->ops->prepare(f, c);
    }
    if (err == 0) {
        port_lock(&c->gm->lock);
        err = range_reserve(&c->gm->states, &c->states, c->page, c->n, to);
        port_unlock(&c->gm->lock);
    }
    for (struct follower *g = c->gm->followers; err != 0 && g != f; g = g->next) {
        g->ops->cancel(g, c);
    }
    return err;
}

static void commit_states(const struct gmem_change *c)
{
    port_lock(&c->gm->lock);
    range_commit(&c->gm->states, &c->states);
    port_unlock(&c->gm->lock);
}

int gmem_convert(struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                 enum gmem_policy policy)
{
    struct gmem_change c = { .gm = gm, .page = page, .n = n };
    int err = gmem_check(gm, page, n, to_shared, policy);

    if (err != 0) {
        return err;
    }
    gmem_claim(&c);
    err = decide(&c, to_shared, policy);
    if (err == 0) {
        err = hold_frames(&c);
        if (err == 0) {
            err = gmem_reserve(&c, c.to);
            if (err != 0) {
                end_frames(&c, false);
            }
        }
    }
    if (err != 0) {
        gmem_unclaim(&c, false);
        return err;
    }
    gmem_turn(&c, true); /* begin: faults in the range retry */
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->lose(f, &c);
    }
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->wait(f, &c);
    }
    end_frames(&c, true);
    commit_states(&c);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->gain(f, &c);
    }
    gmem_turn(&c, false);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->settle(f, &c);
    }
    gmem_unclaim(&c, true);
    return 0;
}
