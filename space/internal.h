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
/* What is in the gather: start on every walker. True if there was anything: then space_wait is owed. */
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
/* Cuts at both ends and waits: -EOPNOTSUPP, -ENOMEM; before any change. */
int space_cut_locked(struct space *s, uint64_t ia, uint64_t len);
/* The range with the leaves that cross its ends: whole. */
void space_widen(const struct space *s, uint64_t *ia, uint64_t *last);
/* Leaf boundaries at both ends: -EOPNOTSUPP, -ENOMEM, -EBUSY. */
int space_cut_raw(struct space *s, uint64_t ia, uint64_t len);
/* Cut where needed, unmap, wait. Errors as above, before any change; ends on leaf boundaries never
 * allocate. map_lock is held. */
int space_unmap_raw(struct space *s, uint64_t ia, uint64_t len);

/* ---- track.c: what a log asks of everything that changes a tree; lock held alone ---- */
static inline bool space_logged(const struct space *s, uint64_t ia)
{
    return s->log.kind != SPACE_LOG_OFF && ia >= s->log.ia && ia <= s->log.last;
}
/* Rights of a leaf at ia that is to have `prot`, for as long as the log is on. */
static inline uint32_t space_log_prot(const struct space *s, uint64_t ia, uint32_t prot)
{
    if (space_logged(s, ia) && (prot & (PT_WRITE | PT_DEVICE)) == PT_WRITE) {
        if (s->log.kind == SPACE_LOG_DIRTY_BIT) {
            return prot | PT_TRACK;
        }
        if (s->log.kind == SPACE_LOG_WRITE_PROTECT) {
            return prot & ~(uint32_t)PT_WRITE;
        }
    }
    return prot;
}
/* Does the range cross an end of the log? Leaves there could not be told apart. */
static inline bool space_log_crossed(const struct space *s, uint64_t ia, uint64_t last)
{
    return s->log.kind != SPACE_LOG_OFF && ia <= s->log.last && last >= s->log.ia &&
           (ia < s->log.ia || last > s->log.last);
}
/* Called through a table, so that who keeps no log need not link it. Lock held alone but for write. */
struct space_log_ops {
    /* Log the range, as far as the log reaches. */
    void (*mark)(struct space *s, uint64_t ia, uint64_t last);
    /* What hardware marked dirty goes into the log, whole leaves; the entries are clean then. */
    void (*collect)(struct space *s, uint64_t ia, uint64_t last, struct pt_gather *g);
    /* A write to a page that the log protects. Takes the lock. -EAGAIN: something is in change. */
    int (*write)(struct space *s, uint64_t ia, uint32_t access);
};
extern const struct space_log_ops space_log_ops;
static inline void space_log_mark(struct space *s, uint64_t ia, uint64_t last)
{
    if (s->log.ops != NULL) {
        s->log.ops->mark(s, ia, last);
    }
}
static inline void space_log_collect(struct space *s, uint64_t ia, uint64_t last,
                                     struct pt_gather *g)
{
    if (s->log.ops != NULL) {
        s->log.ops->collect(s, ia, last, g);
    }
}
/* The range was broken: what was dirty in it is known nowhere else. */
static inline void space_log_broken(struct space *s, struct pt_gather *g, uint64_t ia,
                                    uint64_t last)
{
    if (g->dirty) {
        space_log_mark(s, ia, last);
        g->dirty = false;
    }
}
/* The binding that shows the guest's page at ia; NULL: none. */
struct binding *space_binding_at(struct space *s, uint64_t ia);

/* ---- bind.c ---- */
/* Does the binding's range touch [ia, last]? */
bool binding_overlaps(const struct binding *b, uint64_t ia, uint64_t last);
/* Page that stands (or would, once shared) at ia; false: not in this binding. */
bool binding_page(const struct binding *b, uint64_t ia, uint64_t *page);
uint64_t binding_cap(const struct binding *b);
/* Can one leaf of `size` at ia show the pages from `page` on as they are: inside the binding, aligned,
 * frames in one run, no border, none in change? */
bool binding_block(const struct binding *b, uint64_t page, uint64_t ia, uint64_t size);
/* Takes every page of the binding out of the tree, and tables for all of them as they are now; lock
 * held alone. */
void binding_unmap(struct binding *b, struct pt_gather *g);
uint32_t binding_need_now(const struct binding *b);
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
/* Merge the 2M block of page q, if it is uniform, and then the 1G block around it, unless *gig says
 * that it was looked at before. `pool`: tables for a merge that has to break. */
void binding_merge(struct binding *b, uint64_t q, uint64_t *gig, struct pt_pool *pool);
extern const struct follower_ops binding_ops;

#endif
