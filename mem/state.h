/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of guest memory objects share. */
#ifndef MEM_STATE_H
#define MEM_STATE_H

#include <tenon/gmem.h>

/* ---- claim.c ---- */
/* The range is this change's, against every other change: waits while it is somebody else's. Gives
 * c its slot. */
void gmem_claim(struct gmem_change *c);
void gmem_unclaim(const struct gmem_change *c, bool done);
/* From begin to end, faults in the range retry. The object's lock is held. */
void gmem_turn(const struct gmem_change *c, bool on);

/* Pages from `page` to the end of its chunk, at most n. */
static inline uint64_t gmem_in_chunk(uint64_t page, uint64_t n)
{
    uint64_t left = CHUNK_PAGES - (page & (CHUNK_PAGES - 1));

    return n < left ? n : left;
}

static inline uint64_t gmem_at(const uint64_t *chunks, uint64_t page)
{
    return chunks[page / CHUNK_PAGES] + ((page & (CHUNK_PAGES - 1)) << PAGE_SHIFT);
}

/* Same frames for the guest: private and shared in place do not differ. */
static inline enum gmem_state gmem_seen(enum gmem_state s)
{
    return s == GMEM_SHARED_INPLACE ? GMEM_PRIVATE : s;
}

static inline uint64_t gmem_nchunks(const struct gmem *gm)
{
    return gm->npages / CHUNK_PAGES;
}

/* Private chunks, then shared ones. */
static inline uint64_t gmem_all_chunks(const struct gmem *gm)
{
    return gmem_nchunks(gm) * (gm->separate ? 2 : 1);
}

/* A step of the change c, in every follower. */
#define GMEM_TELL(c, step)                                                \
    for (struct follower *f = (c)->gm->followers; f != NULL; f = f->next) \
    f->ops->step(f, c)

/* What followers need, and the store of states, which has one writer at a time: all, or nothing. Then
 * the change has begun: nothing can fail, and faults in the range retry. */
int gmem_begin(struct gmem_change *c, enum gmem_state to);

#endif
