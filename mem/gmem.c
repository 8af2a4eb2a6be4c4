/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory objects: their frames, from creation to destruction, and who follows them. */
#include <stddef.h>

#include <tenon/errno.h>

#include "mem/state.h"

void *memcpy(void *dst, const void *src, size_t n);

/* Two addresses a chunk. */
static uint32_t meta_pages(uint64_t nchunks)
{
    uint32_t n = 1;

    while (n * PAGE_SIZE < nchunks * 2 * sizeof(uint64_t)) {
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
    range_fini(&gm->states);
    frame_tables_put(port_pa(gm->priv), gm->meta_pages);
    gm->priv = NULL;
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

    uint64_t meta = frame_tables_root(gm->meta_pages);

    if (meta == 0) {
        return -ENOMEM;
    }
    gm->priv = port_va(meta);
    gm->shared = gm->priv + nchunks;
    range_init(&gm->states, npages);
    int err = frame_chunks_alloc(nchunks, chunk_align(nchunks), owner, gm->priv);

    if (err == 0 && separate) {
        err = frame_chunks_alloc(nchunks, chunk_align(nchunks), owner, gm->shared);
        for (uint64_t k = 0; err != 0 && k < nchunks; k++) {
            (void)frame_chunk_free(gm->priv[k], owner);
        }
    }
    if (err != 0) {
        free_meta(gm);
    }
    return err;
}

static uint64_t chunk_pa(const struct gmem *gm, uint64_t i)
{
    uint64_t n = gmem_nchunks(gm);

    return i < n ? gm->priv[i] : gm->shared[i - n];
}

int gmem_scrub(struct gmem *gm, uint64_t *cursor, uint64_t budget)
{
    gmem_stop(gm);
    uint64_t all = gmem_all_chunks(gm);

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

/* Chunks that are dirty yet cannot be pinned: nobody could use them. */
static int hold_chunk(const struct gmem *gm, uint64_t i)
{
    return i >= gm->scrubbed ? 0 : frames_hold(chunk_pa(gm, i), CHUNK_PAGES, gm->owner, OWNER_ANY);
}

int gmem_destroy_step(struct gmem *gm, uint64_t *cursor, uint64_t budget)
{
    int ret = 1;

    gmem_stop(gm);
    uint64_t all = gmem_all_chunks(gm);

    if (gm->followers != NULL || *cursor > 2 * all || (*cursor != 0) != gm->dying) {
        gmem_go(gm);
        return *cursor == 0 || gm->followers != NULL ? -EBUSY : -EINVAL;
    }
    for (; budget != 0 && *cursor < all; budget--, ++*cursor) {
        if (hold_chunk(gm, *cursor) != 0) {
            while (*cursor != 0) {
                --*cursor;
                if (*cursor < gm->scrubbed) {
                    frames_unhold(chunk_pa(gm, *cursor), CHUNK_PAGES);
                }
            }
            gm->dying = false;
            gmem_go(gm);
            return -EBUSY;
        }
        gm->dying = true;
    }
    for (; budget != 0 && *cursor < 2 * all; budget--, ++*cursor) {
        if (frame_chunk_free(chunk_pa(gm, *cursor - all), gm->owner) != 0) {
            port_panic("gmem: a held chunk is not ours");
        }
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
    } else if (gm->dying || gm->scrubbed < gmem_all_chunks(gm)) {
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
