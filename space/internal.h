/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of spaces share. */
#ifndef SPACE_INTERNAL_H
#define SPACE_INTERNAL_H

#include <tenon/errno.h>
#include <tenon/space.h>

#define SIZE_2M ((uint64_t)1 << 21)
#define SIZE_1G ((uint64_t)1 << 30)

/* ---- lock.c ---- */
void space_lock(struct space *s);
void space_unlock(struct space *s);
void space_share_lock(struct space *s);
void space_share_unlock(struct space *s);

/* ---- space.c: with the lock held alone ---- */
/* What is in the gather: start on every walker. True if there was anything. */
bool space_issue(struct space *s, const struct pt_gather *g);
void space_wait(struct space *s);
/* Issue, wait, and give the old tables back. */
void space_flush(struct space *s, struct pt_gather *g);
/* After the wait: old tables to the pool. */
void space_reclaim(struct space *s, struct pt_gather *g);
/* May a leaf of this size be made by policy? */
static inline bool space_leaf_ok(const struct space *s, uint64_t size)
{
    return s->max_leaf == 0 || size <= s->max_leaf;
}
bool space_mapped(const struct space *s, uint64_t ia, uint64_t last);
int space_map_raw(struct space *s, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot);
/* Leaf boundaries at both ends: -EOPNOTSUPP, -ENOMEM, -EBUSY. */
int space_cut_raw(struct space *s, uint64_t ia, uint64_t len);
/* Cut where needed, unmap, wait. Errors as above, before any change; ends on leaf boundaries never
 * allocate. map_lock is held. */
int space_unmap_raw(struct space *s, uint64_t ia, uint64_t len);

/* ---- bind.c ---- */
/* Does the binding's range touch [ia, last]? */
bool binding_overlaps(const struct binding *b, uint64_t ia, uint64_t last);
/* Page that stands (or would, once shared) at ia; false: not in this binding. */
bool binding_page(const struct binding *b, uint64_t ia, uint64_t *page);
uint64_t binding_cap(const struct binding *b);
/* Map pages as the object's state says, lock held alone: -ENOMEM, -EEXIST... */
int binding_map(struct binding *b, uint64_t page, uint64_t n, struct pt_pool *pool);
uint32_t binding_need_change(const struct binding *b, uint64_t page, uint64_t n,
                             const uint64_t *chunks);

static inline uint64_t binding_ia(const struct binding *b, uint64_t page)
{
    return b->ia + ((page - b->first) << PAGE_SHIFT);
}
static inline uint64_t binding_bytes(const struct binding *b)
{
    return b->n << PAGE_SHIFT;
}
/* Guest view: can 2M leaves stand here at all? Chunks are 2M-aligned in memory. */
static inline bool binding_big(const struct binding *b)
{
    return ((b->ia - (b->first << PAGE_SHIFT)) & (SIZE_2M - 1)) == 0;
}

/* ---- fault.c ---- */
/* The fault path; hint: tell the other followers (not from within a hint). */
int space_fill(struct space *s, uint64_t ia, uint32_t access, bool hint);

/* ---- change.c ---- */
extern const struct follower_ops binding_ops;

#endif
