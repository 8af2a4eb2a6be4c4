/* SPDX-License-Identifier: BSD-2-Clause */
/* Translations that go for a while, and which of them were used. */
#include "space/internal.h"

static int range_ok(const struct space *s, uint64_t ia, uint64_t len)
{
    if (len == 0 || ((ia | len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    return ia + (len - 1) < ia || (ia + (len - 1)) >> s->pt.cfg.ia_bits != 0 ? -ERANGE : 0;
}

/* Everything mapped in [ia, last] comes back by a fault. */
static bool comes_back(struct space *s, uint64_t ia, uint64_t last)
{
    struct pt_leaf leaf;

    while (pt_next(&s->pt, &ia, last, &leaf)) {
        if (leaf.present && space_binding_at(s, leaf.ia) == NULL) {
            return false;
        }
    }
    return true;
}

int space_zap(struct space *s, uint64_t ia, uint64_t len)
{
    uint64_t last = ia + (len - 1);
    struct pt_gather g;
    int err = range_ok(s, ia, len);

    if (err != 0) {
        return err;
    }
    pt_gather_init(&g);
    space_lock(s);
    if (!s->pt.cfg.live.stalls && !s->page_requests) {
        err = -EOPNOTSUPP;
    } else {
        space_widen(s, &ia, &last);
        err = s->use == SPACE_PINNED || !comes_back(s, ia, last) ? -EBUSY : 0;
    }
    if (err == 0) {
        /* Page by page what is known; and all of it if one was written in between. */
        space_log_collect(s, ia, last, &g);
        err = pt_unmap(&s->pt, ia, last - ia + 1, &g);
        err = err == 0 ? pt_trim(&s->pt, ia, last - ia + 1, &g) : err;
        space_log_broken(s, &g, ia, last);
        s->zaps++;
    }
    /* Under the lock: a conversion that finds the page out already has nothing to invalidate, and relies
     * on nobody having it cached. */
    space_flush(s, &g);
    space_unlock(s);
    return err;
}

int space_age(struct space *s, uint64_t ia, uint64_t len, bool *young)
{
    struct pt_gather g;

    *young = false;
    pt_gather_init(&g);
    space_lock(s);
    int err = pt_age(&s->pt, ia, len, young, &g);
    bool issued = space_issue(s, &g);

    s->aged = s->aged || issued;
    space_unlock(s);
    if (issued) {
        /* Else a walker that has the leaf cached would use it and leave no trace. */
        space_wait(s);
    }
    space_reclaim(s, &g);
    return err;
}
