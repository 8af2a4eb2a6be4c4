/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walkers that join and leave a tree in use. What may be done to a live entry is the meet of all its
 * walkers' rules, so the rules change with them, and conversions, which look at the rules in one step
 * and rely on them in the next, are held still meanwhile.
 */
#include <stddef.h>

#include "mem/state.h"
#include "space/internal.h"

/* The first binding of its object? Each object is stopped once. */
static bool first_of_object(const struct space *s, unsigned i)
{
    for (unsigned k = 0; k < i; k++) {
        if (s->binding[k].space != NULL && s->binding[k].f.gm == s->binding[i].f.gm) {
            return false;
        }
    }
    return true;
}

void space_stop(struct space *s)
{
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        if (s->binding[i].space != NULL && first_of_object(s, i)) {
            gmem_stop(s->binding[i].f.gm);
        }
    }
}

void space_go(struct space *s)
{
    for (unsigned i = SPACE_BINDINGS; i-- > 0;) {
        if (s->binding[i].space != NULL && first_of_object(s, i)) {
            gmem_go(s->binding[i].f.gm);
        }
    }
}

/* What a binding is to its object; the object is stopped, and the space's lock is held alone. */
static void follow_as(struct binding *b, bool alone, bool prefill)
{
    struct gmem *gm = b->f.gm;

    gmem_unfollow(gm, &b->f);
    b->f.alone = alone;
    b->f.wants_hint = !prefill;
    b->prefill = prefill;
    gmem_follow(gm, &b->f);
}

/* Something mapped that no binding brings back? */
static bool explicit_maps(struct space *s)
{
    uint64_t last = ((uint64_t)1 << s->pt.cfg.ia_bits) - 1;
    struct pt_leaf leaf;

    for (uint64_t ia = 0; pt_next(&s->pt, &ia, last, &leaf);) {
        if (leaf.present && (leaf.prot & PT_DEVICE) == 0 && space_binding_at(s, leaf.ia) == NULL) {
            return true;
        }
    }
    return false;
}

/* A zap may have come after the prefill; from now on there is none. */
static bool holes(const struct binding *b)
{
    uint64_t ia = b->ia, last = b->ia + (binding_bytes(b) - 1);
    struct pt_leaf leaf;

    while (pt_next(&b->space->pt, &ia, last, &leaf)) {
        if (!leaf.present) {
            return true;
        }
    }
    return false;
}

static int live_ok(struct space *s, const struct pt_live *live)
{
    if ((s->log.kind == SPACE_LOG_DIRTY_BIT && !live->hw_dirty) ||
        (s->log.kind == SPACE_LOG_WRITE_PROTECT && !live->stalls)) {
        return -EBUSY;
    }
    for (unsigned i = 0; i < SPACE_BINDINGS && !live->stalls && !s->page_requests; i++) {
        const struct binding *b = &s->binding[i];

        if (b->space != NULL && b->view == VIEW_GUEST && (!b->prefill || holes(b))) {
            return b->prefill ? -EAGAIN : -EBUSY;
        }
    }
    return s->aged && !live->hw_af && explicit_maps(s) ? -EBUSY : 0;
}

/*
 * New leaves have the access flag, which a walker that does not set it must find. Nobody who cannot
 * wait walks the tree yet; who can, waits for the lock.
 */
static int refresh_flags(struct space *s)
{
    struct pt_pool pool = { 0 };
    struct pt_gather g;

    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        struct binding *b = &s->binding[i];

        if (b->space == NULL) {
            continue;
        }
        uint32_t need = binding_need_now(b);

        if (frame_tables_reserve(&pool, need) != 0) {
            return -ENOMEM; /* what was made anew already is as good as before */
        }
        pt_gather_init(&g);
        binding_unmap(b, &g);
        space_flush(s, &g);
        if (b->prefill && binding_map(b, b->first, b->n, &pool) != 0) {
            port_panic("space: a binding cannot be made anew");
        }
        frame_tables_release(&pool);
    }
    s->aged = false;
    return 0;
}

int space_set_live(struct space *s, struct pt_live live)
{
    port_lock(&s->map_lock); /* outside the space's lock: no log, no explicit map in between */
    space_lock(s);
    int err = live_ok(s, &live);

    if (err == 0 && s->aged && !live.hw_af) {
        err = refresh_flags(s);
    }
    if (err == 0) {
        s->pt.cfg.live = live;
        for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
            struct binding *b = &s->binding[i];

            if (b->space != NULL) {
                follow_as(b, live.stalls && live.bbm < 2, b->prefill);
            }
        }
    }
    space_unlock(s);
    port_unlock(&s->map_lock);
    return err;
}

/* ---- prefill ---- */

static void set_prefill(struct binding *b, bool prefill)
{
    struct gmem *gm = b->f.gm;

    gmem_stop(gm);
    space_lock(b->space);
    follow_as(b, b->f.alone, prefill);
    space_unlock(b->space);
    gmem_go(gm);
}

/* Conversions map what they change by themselves from now on: only the holes of before are left. */
static int fill_holes(struct binding *b)
{
    uint64_t last = b->ia + (binding_bytes(b) - 1);
    struct pt_leaf leaf;
    int err = 0;

    for (uint64_t ia = b->ia; err == 0 && ia <= last;) {
        (void)space_lookup(b->space, ia, &leaf);
        if (leaf.present) {
            ia = leaf.last + 1;
            continue;
        }
        do {
            err = space_fill(b->space, ia, PT_READ, false);
            if (err == -EAGAIN) {
                port_relax();
            }
        } while (err == -EAGAIN);
    }
    return err;
}

int space_prefill(struct space *s)
{
    bool made[SPACE_BINDINGS] = { false };
    int err = 0;

    for (unsigned i = 0; i < SPACE_BINDINGS && err == 0; i++) {
        struct binding *b = &s->binding[i];

        if (b->space == NULL || b->view != VIEW_GUEST) {
            continue;
        }
        if (!b->prefill) {
            made[i] = true;
            set_prefill(b, true);
        }
        err = fill_holes(b);
    }
    for (unsigned i = 0; i < SPACE_BINDINGS && err != 0; i++) {
        if (made[i]) {
            set_prefill(&s->binding[i], false);
        }
    }
    return err;
}
