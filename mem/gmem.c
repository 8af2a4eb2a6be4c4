/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory objects: their frames, from creation to destruction, and who follows them. */
#include <stddef.h>

#include <tenon/errno.h>

#include "mem/state.h"

void *memcpy(void *dst, const void *src, size_t n);

/* 20 bytes a chunk: two addresses, two counts. */
static uint32_t meta_pages(uint64_t nchunks)
{
    uint32_t n = 1;

    while (n * PAGE_SIZE < nchunks * (2 * sizeof(uint64_t) + 2 * sizeof(uint16_t))) {
        n *= 2;
    }
    return n;
}

static uint64_t chunk_align(uint64_t nchunks)
{
    /* Objects of 1G and more may be mapped by 1G leaves if their frames allow it. */
    return nchunks >= 512 ? (uint64_t)1 << 30 : CHUNK_SIZE;
}

static void free_meta(struct gmem *gm)
{
    for (uint32_t i = 0; i < GMEM_STATE_PAGES && gm->state[i] != NULL; i++) {
        frame_tables_put(port_pa(gm->state[i]), 1);
        gm->state[i] = NULL;
    }
    frame_tables_put(port_pa(gm->priv), gm->meta_pages);
    gm->priv = NULL;
}

static void free_fresh(const uint64_t *chunks, uint64_t n, owner_t owner)
{
    for (uint64_t k = 0; k < n; k++) {
        (void)frame_chunk_free(chunks[k], owner);
    }
}

int gmem_create(struct gmem *gm, owner_t owner, uint64_t npages, bool separate)
{
    uint64_t nchunks = npages / CHUNK_PAGES;

    if (npages == 0 || npages % CHUNK_PAGES != 0 || nchunks > GMEM_MAX_CHUNKS ||
        owner == OWNER_NONE) {
        return -EINVAL;
    }
    *gm = (struct gmem){ .owner = owner, .npages = npages, .separate = separate };
    gm->meta_pages = meta_pages(nchunks);

    struct pt_pool states = { 0 };
    uint32_t nstates = (uint32_t)((npages * 2 + PAGE_SIZE * 8 - 1) / (PAGE_SIZE * 8));
    uint64_t meta = frame_tables_root(gm->meta_pages);

    if (meta == 0) {
        return -ENOMEM;
    }
    gm->priv = port_va(meta);
    gm->shared = gm->priv + nchunks;
    gm->nshared = (uint16_t *)(gm->shared + nchunks);
    gm->ninplace = gm->nshared + nchunks;
    if (frame_tables_reserve(&states, nstates) != 0) {
        free_meta(gm);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < nstates; i++) {
        gm->state[i] = port_va(pt_pool_pop(&states));
    }
    if (frame_chunks_alloc(nchunks, chunk_align(nchunks), owner, gm->priv) != 0) {
        free_meta(gm);
        return -ENOMEM;
    }
    if (separate && frame_chunks_alloc(nchunks, chunk_align(nchunks), owner, gm->shared) != 0) {
        free_fresh(gm->priv, nchunks, owner);
        free_meta(gm);
        return -ENOMEM;
    }
    return 0;
}

/* Private chunks, then shared ones. */
static uint64_t all_chunks(const struct gmem *gm)
{
    return gmem_nchunks(gm) * (gm->separate ? 2 : 1);
}

static uint64_t chunk_pa(const struct gmem *gm, uint64_t i)
{
    uint64_t n = gmem_nchunks(gm);

    return i < n ? gm->priv[i] : gm->shared[i - n];
}

int gmem_scrub(struct gmem *gm, uint64_t *cursor, uint64_t budget)
{
    gmem_stop(gm);
    uint64_t all = all_chunks(gm);

    while (!gm->dying && gm->scrubbed < all && budget-- != 0) {
        frame_scrub(chunk_pa(gm, gm->scrubbed));
        gm->scrubbed++;
    }
    *cursor = gm->scrubbed;
    int more = !gm->dying && gm->scrubbed < all;
    gmem_go(gm);
    return more;
}

/* ---- destruction ---- */

/* Visits the runs of one chunk by state, so that lent frames are told from others. */
static uint64_t chunk_run(const struct gmem *gm, uint64_t i, uint64_t off, bool *lent)
{
    uint64_t n = gmem_nchunks(gm);
    uint64_t first = (i < n ? i : i - n) * CHUNK_PAGES;
    enum gmem_state lent_state = i < n ? GMEM_SHARED_INPLACE : GMEM_SHARED;

    *lent = gmem_state(gm, first + off) == lent_state;
    return gmem_run_until(gm, first + off, first + CHUNK_PAGES) - first - off;
}

static void unhold_chunk(const struct gmem *gm, uint64_t i, uint64_t upto)
{
    if (i < gm->scrubbed && upto != 0) {
        frames_unhold(chunk_pa(gm, i), upto);
    }
}

static int hold_chunk(const struct gmem *gm, uint64_t i)
{
    if (i >= gm->scrubbed) {
        return 0; /* dirty: nobody can have pinned it */
    }
    for (uint64_t off = 0; off < CHUNK_PAGES;) {
        bool lent;
        uint64_t n = chunk_run(gm, i, off, &lent);
        int err = frames_hold(chunk_pa(gm, i) + (off << PAGE_SHIFT), n, gm->owner,
                              lent ? OWNER_HOST : OWNER_NONE);

        if (err != 0) {
            unhold_chunk(gm, i, off);
            return -EBUSY;
        }
        off += n;
    }
    return 0;
}

static void free_chunk(const struct gmem *gm, uint64_t i)
{
    for (uint64_t off = 0; i < gm->scrubbed && off < CHUNK_PAGES;) {
        bool lent;
        uint64_t n = chunk_run(gm, i, off, &lent);

        if (lent) {
            frames_lend(chunk_pa(gm, i) + (off << PAGE_SHIFT), n, OWNER_NONE);
        }
        off += n;
    }
    if (frame_chunk_free(chunk_pa(gm, i), gm->owner) != 0) {
        port_panic("gmem: a held chunk is not ours");
    }
}

int gmem_destroy_step(struct gmem *gm, uint64_t *cursor, uint64_t budget)
{
    int ret = 1;

    gmem_stop(gm);
    uint64_t all = all_chunks(gm);

    if (gm->followers != NULL || *cursor > 2 * all || (*cursor != 0) != gm->dying) {
        gmem_go(gm);
        return *cursor == 0 || gm->followers != NULL ? -EBUSY : -EINVAL;
    }
    for (; budget != 0 && *cursor < all; budget--, ++*cursor) {
        if (hold_chunk(gm, *cursor) != 0) {
            while (*cursor != 0) {
                --*cursor;
                unhold_chunk(gm, *cursor, CHUNK_PAGES);
            }
            gm->dying = false;
            gmem_go(gm);
            return -EBUSY;
        }
        gm->dying = true;
    }
    for (; budget != 0 && *cursor < 2 * all; budget--, ++*cursor) {
        free_chunk(gm, *cursor - all);
    }
    if (*cursor == 2 * all) {
        free_meta(gm);
        gm->npages = 0;
        ret = 0;
    }
    gmem_go(gm);
    return ret;
}

/* ---- content before launch ---- */

int gmem_populate(struct gmem *gm, uint64_t off, const void *src, uint64_t len)
{
    const uint8_t *from = src;
    uint64_t size = gm->npages << PAGE_SHIFT;
    int err = 0;

    gmem_stop(gm);
    if (gm->sealed) {
        err = -EPERM;
    } else if (off > size || len > size - off) {
        err = -EFAULT;
    } else if (gm->dying || gm->scrubbed < all_chunks(gm)) {
        err = -EBUSY;
    }
    while (err == 0 && len != 0) {
        uint64_t in = off & (CHUNK_SIZE - 1);
        uint64_t n = CHUNK_SIZE - in < len ? CHUNK_SIZE - in : len;
        uint8_t *to = port_va(gm->priv[off >> CHUNK_SHIFT] + in);

        memcpy(to, from, n);
        port_clean(to, n); /* the guest starts with its caches off */
        off += n;
        from += n;
        len -= n;
    }
    gmem_go(gm);
    return err;
}

void gmem_seal(struct gmem *gm)
{
    gmem_stop(gm);
    gm->sealed = true;
    gmem_go(gm);
}

/* ---- followers ---- */

void gmem_follow(struct gmem *gm, struct follower *f)
{
    f->gm = gm;
    f->next = gm->followers;
    gm->followers = f;
    if (f->wants_hint) {
        __atomic_add_fetch(&gm->hinters, 1, __ATOMIC_RELAXED);
    }
    gm->loners += f->alone;
}

void gmem_unfollow(struct gmem *gm, struct follower *f)
{
    for (struct follower **p = &gm->followers; *p != NULL; p = &(*p)->next) {
        if (*p == f) {
            *p = f->next;
            if (f->wants_hint) {
                __atomic_sub_fetch(&gm->hinters, 1, __ATOMIC_RELAXED);
            }
            gm->loners -= f->alone;
            break;
        }
    }
    f->gm = NULL;
    f->next = NULL;
}

void gmem_hint(struct gmem *gm, const struct follower *from, uint64_t page)
{
    if (__atomic_load_n(&gm->hinters, __ATOMIC_RELAXED) == 0 || gmem_changing(gm)) {
        return; /* nobody to tell; or a change is under way: a fault does not wait for its hint */
    }
    port_lock(&gm->lock);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        if (f != from && f->wants_hint && f->ops->hint != NULL) {
            f->ops->hint(f, page);
        }
    }
    port_unlock(&gm->lock);
}
