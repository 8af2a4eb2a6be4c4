/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A conversion: private <-> shared, with every follower. The order is the whole point:
 *
 *   check and reserve   the only part that can fail; frames are held, so that no pin slips in
 *   begin               faults in the range retry from here on
 *   lose, wait          nobody can use the old translation any more, walk caches included
 *   owner, state        only now does a right change hands
 *   gain                only now do new translations appear
 *   end                 faults see the new state
 *   settle              merge, give back
 */
#include <stddef.h>

#include <tenon/errno.h>

#include "mem/state.h"

/* ---- frames of a change ---- */

/*
 * The frame that is or will be lent is always held; when the guest's page moves to another frame,
 * so is the one it leaves: a pin there (an explicit DMA mapping) would outlive the move.
 */
static uint64_t lent(const struct gmem_change *c, uint64_t page)
{
    bool inplace = c->from == GMEM_SHARED_INPLACE || c->to == GMEM_SHARED_INPLACE;

    return gmem_at(inplace ? c->gm->priv : c->gm->shared, page);
}

/* The first n pages' frames. Done: what was lent or taken back is so now. Not done: all is as it was. */
static void end_frames(const struct gmem_change *c, uint64_t n, bool done)
{
    const struct gmem *gm = c->gm;
    owner_t to = c->to == GMEM_PRIVATE ? OWNER_NONE : OWNER_HOST;

    for (uint64_t p = c->page, end = p + n, m; p < end; p += m) {
        uint64_t pa = lent(c, p);

        m = gmem_in_chunk(p, end - p);
        if (done && gm->uncached_window) {
            /* Nobody maps the frames for the other side now: what is in caches reaches memory here,
             * before the host reads it uncached (or before the VM reads what the host wrote). */
            port_clean(port_va(pa), m << PAGE_SHIFT);
        }
        frames_lend(pa, m, done ? to : OWNER_ANY);
        if (c->to == GMEM_SHARED) {
            frames_unhold(gmem_at(gm->priv, p), m);
        }
    }
}

/* Chunk by chunk, all or none. */
static int hold_frames(const struct gmem_change *c)
{
    owner_t owner = c->gm->owner, borrower = c->to == GMEM_PRIVATE ? OWNER_HOST : OWNER_NONE;
    int err = 0;

    for (uint64_t p = c->page, end = p + c->n, m; p < end && err == 0; p += m) {
        m = gmem_in_chunk(p, end - p);
        err = frames_hold(lent(c, p), m, owner, borrower);
        if (err == 0 && c->to == GMEM_SHARED) {
            err = frames_hold(gmem_at(c->gm->priv, p), m, owner, OWNER_NONE);
            if (err != 0) {
                frames_unhold(lent(c, p), m);
            }
        }
        if (err != 0) {
            end_frames(c, p - c->page, false);
        }
    }
    /* The frames are the object's: a refusal can only mean that somebody still uses one, or that there is a hole. */
    return err == 0 || err == -EFAULT ? err : -EBUSY;
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

    if (gm->dying || gm->scrubbed < gmem_all_chunks(gm)) {
        return -EBUSY;
    }
    c->from = gmem_state(gm, c->page);
    bool uniform = gmem_run_until(gm, c->page, c->page + c->n) == c->page + c->n;

    /* Shared in two ways is still "shared already" when that is what was asked for. */
    if (uniform ? to_shared == (c->from != GMEM_PRIVATE)
                : to_shared && !gmem_any(gm, c->page, c->n, GMEM_PRIVATE)) {
        return -EALREADY;
    }
    c->to =
        !to_shared ? GMEM_PRIVATE : (policy == GMEM_INPLACE ? GMEM_SHARED_INPLACE : GMEM_SHARED);
    c->frames = c->to == GMEM_SHARED ? gm->shared : gm->priv;
    return uniform ? 0 : -EINVAL;
}

int gmem_begin(struct gmem_change *c, enum gmem_state to)
{
    struct follower *f;
    int err = 0;

    for (f = c->gm->followers; f != NULL && err == 0; f = err == 0 ? f->next : f) {
        err = f->ops->prepare(f, c);
    }
    if (err == 0) {
        port_lock(&c->gm->lock);
        err = range_reserve(&c->gm->states, &c->states, c->page, c->n, to);
        if (err == 0) {
            gmem_turn(c, true);
        }
        port_unlock(&c->gm->lock);
    }
    for (struct follower *g = c->gm->followers; err != 0 && g != f; g = g->next) {
        g->ops->cancel(g, c);
    }
    return err;
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
    err = err == 0 ? hold_frames(&c) : err;
    if (err == 0) {
        err = gmem_begin(&c, c.to);
        if (err != 0) {
            end_frames(&c, n, false);
        }
    }
    if (err != 0) {
        gmem_unclaim(&c, false);
        return err;
    }
    GMEM_TELL(&c, lose);
    GMEM_TELL(&c, wait);
    end_frames(&c, n, true);
    port_lock(&gm->lock);
    range_commit(&gm->states, &c.states);
    port_unlock(&gm->lock);
    GMEM_TELL(&c, gain);
    port_lock(&gm->lock);
    gmem_turn(&c, false);
    port_unlock(&gm->lock);
    GMEM_TELL(&c, settle);
    gmem_unclaim(&c, true);
    return 0;
}
