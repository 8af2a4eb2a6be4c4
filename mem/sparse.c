/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects with holes. */
#include <stddef.h>

#include <tenon/errno.h>
#include <tenon/sparse.h>

#include "mem/poison.h"
#include "mem/state.h"

#define RUN 512u /* chunks that are taken together: 1 GiB */

int gmem_create_sparse(struct gmem *gm, owner_t owner, uint64_t npages, bool separate,
                       uint64_t *chunks)
{
    uint64_t n = npages / CHUNK_PAGES;

    if (npages == 0 || npages % CHUNK_PAGES != 0 || npages > RANGE_MAX_PAGES ||
        owner == OWNER_NONE || chunks == NULL) {
        return -EINVAL;
    }
    *gm = (struct gmem){ .owner = owner,
                         .npages = npages,
                         .separate = separate,
                         .sealed = true, /* populate knows no holes */
                         .priv = chunks,
                         .shared = separate ? chunks + n : chunks,
                         .scrubbed = n * (separate ? 2 : 1) };
    for (uint64_t i = 0; i < gm->scrubbed; i++) {
        chunks[i] = GMEM_HOLE;
    }
    range_init(&gm->states, npages);
    return 0;
}

static uint64_t load(const uint64_t *chunk)
{
    return __atomic_load_n(chunk, __ATOMIC_ACQUIRE);
}

bool gmem_hole(const struct gmem *gm, uint64_t page)
{
    return load(&gm->priv[page / CHUNK_PAGES]) == GMEM_HOLE;
}

/* ---- filling ---- */

static void give_back(const struct gmem *gm, const uint64_t *pa, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        (void)frame_chunk_free(pa[i], gm->owner); /* nobody ever saw it */
    }
}

/* n chunks for the chunk k and those behind it, zeroed. */
static int take(const struct gmem *gm, uint64_t k, uint64_t n, uint64_t *pa)
{
    uint64_t align = n == RUN && k % RUN == 0 ? (uint64_t)1 << 30 : CHUNK_SIZE;
    int err = frame_chunks_alloc(n, align, gm->owner, pa);

    for (uint64_t i = 0; i < n && err == 0; i++) {
        frame_scrub(pa[i]);
    }
    return err;
}

/*
 * The chunk appears as in a conversion from nothing: followers reserve, faults in what is claimed retry while it is put in and
 * filled followers map it. The claim is the caller's, so no one else fills it.
 */
static int appear(struct gmem_change *c, uint64_t k, const uint64_t pa[2])
{
    struct gmem *gm = c->gm;
    struct follower *f;
    int err = 0;

    c->page = k * CHUNK_PAGES;
    c->n = CHUNK_PAGES;
    for (f = gm->followers; f != NULL && err == 0; f = err == 0 ? f->next : f) {
        err = f->ops->prepare(f, c);
    }
    for (struct follower *g = gm->followers; err != 0 && g != f; g = g->next) {
        g->ops->cancel(g, c);
    }
    if (err != 0) {
        return err;
    }
    port_lock(&gm->lock);
    gmem_turn(c, true);
    port_unlock(&gm->lock);
    if (gm->separate) {
        __atomic_store_n(&gm->shared[k], pa[1], __ATOMIC_RELEASE);
    }
    __atomic_store_n(&gm->priv[k], pa[0], __ATOMIC_RELEASE);
    for (f = gm->followers; f != NULL; f = f->next) {
        f->ops->gain(f, c);
    }
    port_lock(&gm->lock);
    gmem_turn(c, false);
    port_unlock(&gm->lock);
    for (f = gm->followers; f != NULL; f = f->next) {
        f->ops->settle(f, c);
    }
    return 0;
}

/* n holes from chunk k on, which are claimed. */
static int fill_run(struct gmem_change *c, uint64_t k, uint64_t n)
{
    struct gmem *gm = c->gm;
    uint64_t pa[2][RUN];
    int err = take(gm, k, n, pa[0]);

    if (err == 0 && gm->separate) {
        err = take(gm, k, n, pa[1]);
        if (err != 0) {
            give_back(gm, pa[0], n);
        }
    }
    for (uint64_t i = 0; i < n && err == 0; i++) {
        uint64_t both[2] = { pa[0][i], gm->separate ? pa[1][i] : 0 };

        err = appear(c, k + i, both);
        if (err != 0) {
            give_back(gm, pa[0] + i, n - i);
            if (gm->separate) {
                give_back(gm, pa[1] + i, n - i);
            }
        }
    }
    return err;
}

int gmem_fill(struct gmem *gm, uint64_t page, uint64_t n)
{
    if (n == 0 || page >= gm->npages || n > gm->npages - page) {
        return n == 0 ? -EINVAL : -EFAULT;
    }
    uint64_t end = (page + n - 1) / CHUNK_PAGES + 1;
    int err = 0;

    for (uint64_t k = page / CHUNK_PAGES, m; k < end && err == 0; k += m) {
        uint64_t stop = (k | (RUN - 1)) + 1;
        /* Neither loses: the guest's view gains, the host's has nothing to show of private pages. */
        struct gmem_change c = {
            .gm = gm, .page = k * CHUNK_PAGES, .from = GMEM_SHARED, .to = GMEM_SHARED
        };

        stop = stop < end ? stop : end;
        c.n = (stop - k) * CHUNK_PAGES;
        gmem_claim(&c);
        err = gm->dying ? -EBUSY : 0;
        /* The first holes of this GiB, or what is there before them. */
        bool hole = gmem_hole(gm, k * CHUNK_PAGES);

        for (m = 1; k + m < stop && gmem_hole(gm, (k + m) * CHUNK_PAGES) == hole; m++) {
        }
        if (err == 0 && hole) {
            err = fill_run(&c, k, m);
        }
        gmem_unclaim(&c, false);
    }
    return err;
}

/* ---- destruction ---- */

/* Private chunks, then shared ones. A hole's, and one that is dirty yet, cannot be pinned. */
static bool usable(const struct gmem *gm, uint64_t i)
{
    return i < gm->scrubbed && gm->priv[i] != GMEM_HOLE;
}

static bool hold(const struct gmem *gm, uint64_t i)
{
    return !usable(gm, i) || gmem_hold_chunk(gm->priv[i], gm->owner) == 0;
}

static void free_all(struct gmem *gm)
{
    range_fini(&gm->states);
    if (gm->meta_pages != 0) { /* gmem_create's: the addresses are the object's own */
        frame_tables_put(port_pa(gm->priv), gm->meta_pages);
    }
    gm->priv = NULL;
    gm->npages = 0;
}

int gmem_destroy_sparse(struct gmem *gm, uint64_t *cursor, uint64_t budget)
{
    int ret = 1;

    gmem_stop(gm);
    uint64_t all = gmem_all_chunks(gm);

    if (gm->followers != NULL || *cursor > 2 * all || (*cursor != 0) != gm->dying) {
        gmem_go(gm);
        return *cursor == 0 || gm->followers != NULL ? -EBUSY : -EINVAL;
    }
    for (; budget != 0 && *cursor < all; budget--, ++*cursor) {
        if (!hold(gm, *cursor)) {
            while (*cursor != 0) {
                --*cursor;
                if (usable(gm, *cursor)) {
                    gmem_unhold_chunk(gm->priv[*cursor], CHUNK_PAGES);
                }
            }
            gm->dying = false;
            gmem_go(gm);
            return -EBUSY;
        }
        gm->dying = true;
    }
    for (; budget != 0 && *cursor < 2 * all; budget--, ++*cursor) {
        uint64_t pa = gm->priv[*cursor - all];

        if (pa != GMEM_HOLE) {
            gmem_free_chunk(pa, gm->owner);
        }
    }
    if (*cursor == 2 * all) {
        free_all(gm);
        ret = 0;
    }
    gmem_go(gm);
    return ret;
}
