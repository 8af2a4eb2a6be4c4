/* SPDX-License-Identifier: BSD-2-Clause */
/* A frame that went bad is taken out of use, and never comes back. */
#include <stddef.h>

#include <tenon/errno.h>
#include <tenon/sparse.h>

#include "mem/frame_table.h"
#include "mem/poison.h"
#include "mem/state.h"

/* Held, and from now on nobody's to use. */
static void poison(uint64_t pa)
{
    port_lock(&frame_all.lock);
    struct frame *f = frame_at(pa);

    *f = (struct frame){ .owner = f->owner, .state = FRAME_POISONED };
    port_unlock(&frame_all.lock);
}

/* As a conversion in which everybody loses the page and nobody gains it. */
static int lose_page(struct gmem_change *c, uint64_t pa)
{
    struct gmem *gm = c->gm;
    int err = frames_hold(pa, 1, gm->owner, OWNER_ANY);

    if (err != 0) {
        return err == -EFAULT ? err : -EBUSY;
    }
    err = gmem_begin(c, GMEM_LOST);
    if (err != 0) {
        frames_unhold(pa, 1);
        return err;
    }
    GMEM_TELL(c, lose);
    GMEM_TELL(c, wait);
    poison(pa);
    port_lock(&gm->lock);
    range_commit(&gm->states, &c->states);
    port_unlock(&gm->lock);
    GMEM_TELL(c, gain); /* neighbours that had to go with it come back */
    port_lock(&gm->lock);
    gmem_turn(c, false);
    port_unlock(&gm->lock);
    GMEM_TELL(c, settle);
    return 0;
}

int gmem_poison(struct gmem *gm, uint64_t page)
{
    struct gmem_change c = { .gm = gm, .page = page, .n = 1 };
    int err = 0;

    if (page >= gm->npages) {
        return -EFAULT;
    }
    if (gm->scrubbed < gmem_all_chunks(gm)) {
        return -EBUSY;
    }
    if (gmem_look(gm, page, NULL) == GMEM_SHARED_INPLACE) {
        /* The guest keeps its leaf in such a change: two, one for each side. */
        err = gmem_convert(gm, page, 1, false, GMEM_KEEP);
    }
    if (err != 0) {
        return err;
    }
    gmem_claim(&c);
    c.from = gmem_state(gm, page);
    c.to = c.from == GMEM_SHARED ? GMEM_PRIVATE : GMEM_SHARED;
    if (c.from == GMEM_LOST || c.from == GMEM_SHARED_INPLACE) {
        err = c.from == GMEM_LOST ? -EALREADY : -EAGAIN; /* somebody was faster */
    } else {
        err = lose_page(&c, gmem_frame(gm, page));
    }
    gmem_unclaim(&c, false);
    return err;
}

/* ---- chunks with such frames, when their object goes ---- */

int gmem_hold_chunk(uint64_t pa, owner_t owner)
{
    int err = frames_hold(pa, CHUNK_PAGES, owner, OWNER_ANY);

    if (err != -EBUSY) {
        return err;
    }
    /* Frame by frame around what is bad. */
    err = 0;
    for (uint64_t i = 0; i < CHUNK_PAGES && err == 0; i++) {
        uint64_t at = pa + (i << PAGE_SHIFT);

        if (frame_get(at).state != FRAME_POISONED) {
            err = frames_hold(at, 1, owner, OWNER_ANY);
        }
        if (err != 0) {
            gmem_unhold_chunk(pa, i);
        }
    }
    return err;
}

void gmem_unhold_chunk(uint64_t pa, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if ((frame_get(pa + (i << PAGE_SHIFT)).flags & FRAME_HELD) != 0) {
            frames_unhold(pa + (i << PAGE_SHIFT), 1);
        }
    }
}

/* A held chunk goes back; one with a bad frame in it is the hypervisor's for ever: nobody gets any of it. */
void gmem_free_chunk(uint64_t pa, owner_t owner)
{
    bool bad = false;

    port_lock(&frame_all.lock);
    for (uint64_t i = 0; i < CHUNK_PAGES; i++) {
        bad = bad || frame_at(pa)[i].state == FRAME_POISONED;
    }
    for (uint64_t i = 0; i < CHUNK_PAGES && bad; i++) {
        struct frame *f = &frame_at(pa)[i];
        bool this = f->state == FRAME_POISONED;

        *f = (struct frame){ .owner = OWNER_HYP,
                             .state = this ? FRAME_POISONED : FRAME_OWNED,
                             .flags = FRAME_DIRTY };
    }
    port_unlock(&frame_all.lock);
    if (!bad && frame_chunk_free(pa, owner) != 0) {
        port_panic("gmem: a held chunk is not ours");
    }
}
