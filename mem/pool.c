/* SPDX-License-Identifier: BSD-2-Clause */
/* The two pools: 4K table pages (a bitmap each region) and 2 MiB chunks (the frame table itself). */
#include <stddef.h>

#include <tenon/errno.h>

#include "mem/frame_table.h"

void *memset(void *dst, int c, size_t n);

struct table_region {
    uint64_t pa; /* of bit 0: a multiple of 64 pages, so that aligned runs lie in one word */
    uint64_t n;  /* bits */
    uint64_t free;
    uint64_t hint;   /* word of the bitmap where the last page was found */
    uint64_t *words; /* bit set: free, and zeroed */
};
struct chunk_region {
    uint64_t pa;
    uint64_t n;
    uint64_t left; /* of the n: not removed */
    uint64_t free;
};
static struct {
    struct table_region table[FRAME_POOLS];
    struct chunk_region chunk[FRAME_POOLS];
    uint32_t ntable, nchunk;
    struct port_lock lock; /* table pages; chunks are under the frame table's lock */
} pools;

void frame_pools_reset(void)
{
    memset(&pools, 0, sizeof(pools));
}

/* ---- table pages ---- */

int frame_pool_add_tables(uint64_t pa, uint64_t n)
{
    if (pools.ntable == FRAME_POOLS) {
        return -ENOSPC;
    }
    /* The bitmap takes the first pages: one for 32768. */
    uint64_t bits_per_page = PAGE_SIZE * 8;
    uint64_t own = (n + 63 + bits_per_page - 1) / bits_per_page;

    if ((pa & (PAGE_SIZE - 1)) != 0 || n <= own || !frame_valid(pa) ||
        !frame_valid(pa + ((n - 1) << PAGE_SHIFT))) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t p = pa + (i << PAGE_SHIFT);

        *frame_at(p) = (struct frame){ .owner = OWNER_HYP, .flags = FRAME_TABLE };
        memset(port_va(p), 0, PAGE_SIZE);
        port_clean(port_va(p), PAGE_SIZE);
    }
    struct table_region *r = &pools.table[pools.ntable];
    uint64_t skip = (pa >> PAGE_SHIFT) % 64;

    *r = (struct table_region){
        .pa = pa - (skip << PAGE_SHIFT), .n = skip + n, .free = n - own, .words = port_va(pa)
    };
    for (uint64_t i = skip + own; i < r->n; i++) {
        r->words[i / 64] |= 1ull << (i % 64);
    }
    pools.ntable++;
    return 0;
}

static uint64_t tables_free(void)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < pools.ntable; i++) {
        n += pools.table[i].free;
    }
    return n;
}

uint64_t frame_tables_free(void)
{
    port_lock(&pools.lock);
    uint64_t n = tables_free();

    port_unlock(&pools.lock);
    return n;
}

/* One is free. */
static uint64_t take_one(struct table_region *r)
{
    uint64_t nwords = (r->n + 63) / 64, w = r->hint;

    while (r->words[w] == 0) {
        w = (w + 1) % nwords;
    }
    unsigned bit = (unsigned)__builtin_ctzll(r->words[w]);

    r->words[w] &= r->words[w] - 1;
    r->hint = w;
    r->free--;
    return r->pa + ((w * 64 + bit) << PAGE_SHIFT);
}

int frame_tables_reserve(struct pt_pool *pool, uint32_t n)
{
    port_lock(&pools.lock);
    int err = tables_free() < n ? -ENOMEM : 0;

    for (uint32_t i = 0; err == 0 && n != 0; i++) {
        while (n != 0 && pools.table[i].free != 0) {
            pt_pool_push(pool, take_one(&pools.table[i]));
            n--;
        }
    }
    port_unlock(&pools.lock);
    return err;
}

uint64_t frame_tables_root(uint32_t n)
{
    uint64_t found = 0;

    if (n == 0 || n > 64 || (n & (n - 1)) != 0) {
        return 0;
    }
    uint64_t run = ~0ull >> (64 - n);

    port_lock(&pools.lock);
    for (uint32_t i = 0; i < pools.ntable && found == 0; i++) {
        struct table_region *r = &pools.table[i];

        for (uint64_t k = 0; k < r->n && found == 0; k += n) {
            if ((r->words[k / 64] >> k % 64 & run) == run) {
                r->words[k / 64] &= ~(run << k % 64);
                r->free -= n;
                found = r->pa + (k << PAGE_SHIFT);
            }
        }
    }
    port_unlock(&pools.lock);
    return found;
}

static struct table_region *table_region(uint64_t pa)
{
    for (uint32_t k = 0; k < pools.ntable; k++) {
        struct table_region *r = &pools.table[k];

        if (pa >= r->pa && (pa - r->pa) >> PAGE_SHIFT < r->n) {
            return r;
        }
    }
    port_panic("frame: not a table page of the pool");
}

void frame_tables_put(uint64_t pa, uint32_t n)
{
    struct table_region *r = table_region(pa);

    for (uint64_t k = (pa - r->pa) >> PAGE_SHIFT; n != 0; n--, k++, pa += PAGE_SIZE) {
        /* Zeroed before it is free: whoever takes it may rely on that. */
        memset(port_va(pa), 0, PAGE_SIZE);
        port_lock(&pools.lock);
        if ((r->words[k / 64] >> k % 64 & 1) != 0) {
            port_panic("frame: table page freed twice");
        }
        r->words[k / 64] |= 1ull << k % 64;
        r->free++;
        port_unlock(&pools.lock);
    }
}

void frame_tables_release(struct pt_pool *pool)
{
    uint64_t pa;

    while ((pa = pt_pool_pop(pool)) != 0) {
        frame_tables_put(pa, 1);
    }
}

/* ---- chunks ---- */

/* The region that holds all of [pa, pa + n chunks), or NULL. */
static struct chunk_region *region_of(uint64_t pa, uint64_t n)
{
    for (uint32_t k = 0; k < pools.nchunk; k++) {
        struct chunk_region *r = &pools.chunk[k];
        uint64_t i = (pa - r->pa) >> CHUNK_SHIFT;

        if (pa >= r->pa && i < r->n && n <= r->n - i) {
            return r;
        }
    }
    return NULL;
}

/* Nobody but its owner has any right to it, and it is no table. */
static bool at_rest(const struct frame *f)
{
    return f->borrower == OWNER_NONE && f->pins == 0 && f->borrower_pins == 0 &&
           f->state == FRAME_OWNED && (f->flags & FRAME_TABLE) == 0;
}

static void give_chunk(struct chunk_region *r, uint64_t i, uint32_t flags)
{
    struct frame *f = frame_at(r->pa + (i << CHUNK_SHIFT));

    for (uint64_t k = 0; k < CHUNK_PAGES; k++) {
        f[k] = (struct frame){ .owner = OWNER_NONE, .flags = flags & 0xfu };
    }
    r->free++;
}

int frame_pool_add_chunks(uint64_t pa, uint64_t nchunks, bool dirty)
{
    if ((pa & (CHUNK_SIZE - 1)) != 0 || nchunks == 0 || !frame_valid(pa) ||
        nchunks > (frame_all.n - ((pa - frame_all.base) >> PAGE_SHIFT)) / CHUNK_PAGES) {
        return -EINVAL;
    }
    port_lock(&frame_all.lock);
    struct chunk_region *r = region_of(pa, nchunks); /* chunks that were removed come back */

    for (uint64_t i = 0; i < nchunks * CHUNK_PAGES; i++) {
        const struct frame *f = frame_at(pa) + i;

        /* Partly in a region: each chunk is counted in one region only, or the counts go wrong. */
        if (f->owner == OWNER_NONE || !at_rest(f) || (f->flags & FRAME_HELD) != 0 ||
            (r == NULL && region_of(pa + (i << PAGE_SHIFT), 1) != NULL)) {
            port_unlock(&frame_all.lock);
            return -EBUSY;
        }
    }
    if (r == NULL) {
        if (pools.nchunk == FRAME_POOLS) {
            port_unlock(&frame_all.lock);
            return -ENOSPC;
        }
        r = &pools.chunk[pools.nchunk++];
        *r = (struct chunk_region){ .pa = pa, .n = nchunks };
    }
    r->left += nchunks;
    for (uint64_t i = 0; i < nchunks; i++) {
        give_chunk(r, ((pa - r->pa) >> CHUNK_SHIFT) + i, dirty ? FRAME_DIRTY : 0);
    }
    port_unlock(&frame_all.lock);
    return 0;
}

static uint64_t chunks_free(void)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < pools.nchunk; i++) {
        n += pools.chunk[i].free;
    }
    return n;
}

uint64_t frame_chunks_free(void)
{
    port_lock(&frame_all.lock);
    uint64_t n = chunks_free();

    port_unlock(&frame_all.lock);
    return n;
}

static uint64_t chunk_pa(const struct chunk_region *r, uint64_t i)
{
    return r->pa + (i << CHUNK_SHIFT);
}

static bool chunk_is_free(const struct chunk_region *r, uint64_t i)
{
    return frame_at(chunk_pa(r, i))->owner == OWNER_NONE;
}

static void take_chunk(struct chunk_region *r, uint64_t i, owner_t owner)
{
    struct frame *f = frame_at(chunk_pa(r, i));

    for (uint64_t k = 0; k < CHUNK_PAGES; k++) {
        f[k].owner = owner;
    }
    r->free--;
}

/* The first run of n free chunks whose address is aligned. */
static bool alloc_run(uint64_t n, uint64_t align, owner_t owner, uint64_t *out)
{
    for (uint32_t k = 0; k < pools.nchunk; k++) {
        struct chunk_region *r = &pools.chunk[k];
        uint64_t len = 0;

        for (uint64_t i = 0; i < r->n && n <= r->free; i++) {
            bool first_ok = (chunk_pa(r, i) & (align - 1)) == 0;

            len = chunk_is_free(r, i) && (len != 0 || first_ok) ? len + 1 : 0;
            if (len == n) {
                for (uint64_t j = 0; j < n; j++) {
                    out[j] = chunk_pa(r, i + 1 - n + j);
                    take_chunk(r, i + 1 - n + j, owner);
                }
                return true;
            }
        }
    }
    return false;
}

int frame_chunks_alloc(uint64_t n, uint64_t align, owner_t owner, uint64_t *out)
{
    if (n == 0 || owner == OWNER_NONE || align < CHUNK_SIZE || (align & (align - 1)) != 0) {
        return -EINVAL;
    }
    port_lock(&frame_all.lock);
    int err = chunks_free() < n ? -ENOMEM : 0;

    if (err == 0 && !alloc_run(n, align, owner, out) && !alloc_run(n, CHUNK_SIZE, owner, out)) {
        for (uint64_t i = 0; i < n; i++) {
            (void)alloc_run(1, CHUNK_SIZE, owner, &out[i]); /* enough are free */
        }
    }
    port_unlock(&frame_all.lock);
    return err;
}

int frame_chunk_free(uint64_t pa, owner_t owner)
{
    int err = 0;

    if ((pa & (CHUNK_SIZE - 1)) != 0 || owner == OWNER_NONE) {
        return -EINVAL;
    }
    port_lock(&frame_all.lock);
    struct chunk_region *r = region_of(pa, 1);

    if (r == NULL) {
        port_unlock(&frame_all.lock);
        return -EFAULT;
    }
    struct frame *f = frame_at(pa);

    for (uint64_t i = 0; i < CHUNK_PAGES && err == 0; i++) {
        if (f[i].owner != owner) {
            err = -EPERM;
        } else if (!at_rest(&f[i]) && (f[i].flags & FRAME_HELD) == 0) {
            err = -EBUSY;
        }
    }
    if (err == 0) {
        give_chunk(r, (pa - r->pa) >> CHUNK_SHIFT, FRAME_DIRTY);
    }
    port_unlock(&frame_all.lock);
    return err;
}

int frame_pool_remove_chunks(uint64_t pa, uint64_t nchunks, owner_t to)
{
    int err = 0;

    if ((pa & (CHUNK_SIZE - 1)) != 0 || nchunks == 0 || to == OWNER_NONE) {
        return -EINVAL;
    }
    port_lock(&frame_all.lock);
    struct chunk_region *r = region_of(pa, nchunks);

    if (r == NULL) {
        port_unlock(&frame_all.lock);
        return -EFAULT;
    }
    uint64_t first = (pa - r->pa) >> CHUNK_SHIFT;

    for (uint64_t i = 0; i < nchunks && err == 0; i++) {
        err = chunk_is_free(r, first + i) ? 0 : -EBUSY;
    }
    for (uint64_t i = 0; i < nchunks && err == 0; i++) {
        take_chunk(r, first + i, to);
    }
    r->left -= err == 0 ? nchunks : 0;
    if (r->left == 0) {
        *r = pools.chunk[--pools.nchunk];
    }
    port_unlock(&frame_all.lock);
    return err;
}

void frame_scrub(uint64_t pa)
{
    pa &= ~(CHUNK_SIZE - 1);
    for (uint64_t i = 0; i < CHUNK_PAGES; i++) {
        uint64_t p = pa + (i << PAGE_SHIFT);

        if ((frame_get(p).flags & FRAME_DIRTY) == 0) {
            continue;
        }
        memset(port_va(p), 0, PAGE_SIZE);
        /* The next user may start with caches off: what it reads must be the zeros. */
        port_clean(port_va(p), PAGE_SIZE);
        port_lock(&frame_all.lock);
        frame_at(p)->flags &= (uint32_t)~FRAME_DIRTY & 0xfu;
        port_unlock(&frame_all.lock);
    }
}
