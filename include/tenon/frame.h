/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of physical memory and who owns them: the one truth that CPU tables and device tables
 * follow (requirements E2; promises 1 and 9).
 *
 * A frame has one owner at any time. The owner may lend it to one borrower (FRAME_SHARED). Owner
 * and borrower may each pin it for DMA, and the pins are counted apart: neither can take away the
 * other's. A pinned frame can be neither donated nor unshared.
 *
 * Concurrency: every call is atomic against every other (one internal lock, the innermost in the
 * order below). Each call checks every frame first, then changes; an error changed nothing.
 *
 * Lock order, outermost first: vm -> gmem -> space -> iommu driver -> frame.
 */
#ifndef TENON_FRAME_H
#define TENON_FRAME_H

#include <stdbool.h>
#include <stdint.h>
#include <tenon/pt.h>

typedef uint16_t owner_t;
#define OWNER_NONE ((owner_t)0) /* free, in the pool */
#define OWNER_HYP  ((owner_t)1)
#define OWNER_HOST ((owner_t)2)
#define OWNER_VM0  ((owner_t)3)      /* VM id i is OWNER_VM0 + i */
#define OWNER_ANY  ((owner_t)0xffff) /* frames_hold: whoever it is lent to */

enum frame_state {
    FRAME_OWNED = 0,
    FRAME_SHARED = 1,   /* lent to `borrower` */
    FRAME_POISONED = 2, /* must never be used again */
};
enum {                        /* flags */
       FRAME_TABLE = 1u << 0, /* a page table page (owner OWNER_HYP) */
       FRAME_DIRTY = 1u << 1, /* not yet zeroed since its last owner: nobody may use it */
       FRAME_HELD = 1u << 2,  /* in the middle of a change: no new pin, share or donation */
};

#define FRAME_PINS_MAX 4095u
struct frame {
    owner_t owner;
    owner_t borrower;   /* OWNER_NONE unless FRAME_SHARED */
    uint32_t pins : 12; /* by the owner */
    uint32_t borrower_pins : 12;
    uint32_t state : 4;
    uint32_t flags : 4;
};
_Static_assert(sizeof(struct frame) == 8, "one word a frame");

/* The table covers [base, base + npages*4K) with the array `table`. All frames start as `owner`.
 * Forgets every pool: they are added again. */
void frames_init(uint64_t base, uint64_t npages, struct frame *table, owner_t owner);
bool frame_valid(uint64_t pa);       /* covered by the table */
struct frame frame_get(uint64_t pa); /* a copy; pa must be valid */
/* Boot only: no checks, OWNER_NONE not allowed (pools are frame_pool_add_*'s business). */
void frames_set_owner(uint64_t pa, uint64_t n, owner_t owner);

/* All: pa 4K-aligned, n > 0 frames. -EINVAL alignment, n == 0, from == to, or OWNER_NONE as a party
 * (pools are left and entered by chunk only); -EFAULT outside the table (wrap included);
 * -EPERM a frame is not `from`'s/`owner`'s (or, for pin, neither owner nor borrower is `who`);
 * -EBUSY pinned, held, dirty, poisoned, or shared where it must not be, or a table. */
int frames_donate(uint64_t pa, uint64_t n, owner_t from, owner_t to);
int frames_share(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower);
int frames_unshare(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower);
int frames_pin(uint64_t pa, uint64_t n, owner_t who);   /* also -ENOSPC: pin count would overflow */
int frames_unpin(uint64_t pa, uint64_t n, owner_t who); /* -EINVAL: not pinned by `who` */
/* May `who` use this frame (owner, or borrower while shared)? */
bool frame_may_use(uint64_t pa, owner_t who);

/*
 * Two-step change, for a conversion that must check first, then wait for walkers, then commit.
 * frames_hold: every frame is `owner`'s, lent to `borrower` (OWNER_NONE: not lent; OWNER_ANY: that does not matter), unpinned by
 * anyone, clean, not held. From then on pin, share, unshare, donate and a second hold give -EBUSY.
 * Errors as above. frames_lend / frames_unhold end it and cannot fail (they panic on a frame that
 * the caller did not hold: a broken promise of ours).
 */
int frames_hold(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower);
/* OWNER_NONE: back to its owner alone; OWNER_ANY: lent as it was */
void frames_lend(uint64_t pa, uint64_t n, owner_t borrower);
static inline void frames_unhold(uint64_t pa, uint64_t n)
{
    frames_lend(pa, n, OWNER_ANY);
}

/* The run of equal frames (owner, borrower, state, flags, pins) that starts at pa: true and *last =
 * its last byte; false when pa is not covered. For digests: pa = last + 1 until false. */
bool frames_run_within(uint64_t pa, uint64_t end, struct frame *run, uint64_t *last);
static inline bool frames_run(uint64_t pa, struct frame *run, uint64_t *last)
{
    return frames_run_within(pa, ~0ull, run, last);
}
uint64_t frames_base(void);
uint64_t frames_count(void);

/*
 * Pools. Table pages: single 4K frames of the hypervisor. Chunks: 2 MiB runs for guest memory.
 * A chunk is free exactly when its first frame is OWNER_NONE's: there is no second truth.
 */
#define CHUNK_SHIFT 21u
#define CHUNK_SIZE  ((uint64_t)1 << CHUNK_SHIFT)
#define CHUNK_PAGES ((uint64_t)1 << (CHUNK_SHIFT - PAGE_SHIFT))
#define FRAME_POOLS 4u /* regions of each kind at most; more: -ENOSPC */

/* Boot: frames for tables, zeroed here. A few of them hold the pool's own bitmap. */
int frame_pool_add_tables(uint64_t pa, uint64_t n);
/* Chunks (2M-aligned) enter the pool; the caller's frames, used by nobody. dirty: not known to be
 * zero. -EINVAL; -EBUSY a frame is free already, lent, pinned or a table, or some but not all of it
 * was in one run before; -ENOSPC: too many runs apart from each other. Nothing changed on error. */
int frame_pool_add_chunks(uint64_t pa, uint64_t nchunks, bool dirty);
/* Free chunks leave the pool for `to`, FRAME_DIRTY as they were (scrub them before use). -EFAULT not
 * one run of the pool; -EBUSY one of them is taken: nothing changed. */
int frame_pool_remove_chunks(uint64_t pa, uint64_t nchunks, owner_t to);

/* All n or nothing (-ENOMEM). Zeroed pages, owner OWNER_HYP, FRAME_TABLE, pushed onto `pool`. */
int frame_tables_reserve(struct pt_pool *pool, uint32_t n);
/* n contiguous zeroed table pages aligned to n (a power of two <= 64): roots. 0: none left. */
uint64_t frame_tables_root(uint32_t n);
/* Takes every page of the pool back, zeroing it. Cannot fail. */
void frame_tables_release(struct pt_pool *pool);
/* The same for n contiguous pages (of frame_tables_root). */
void frame_tables_put(uint64_t pa, uint32_t n);
uint64_t frame_tables_free(void); /* how many are left */

/* n chunks, out[i] = pa of chunk i, donated to `owner`: a contiguous run aligned to `align` bytes (a
 * power of two >= 2M) if there is one, else a contiguous run, else single chunks.
 * -ENOMEM: nothing taken. Frames may be FRAME_DIRTY: the caller zeroes them in bounded steps with
 * frame_scrub before anyone may use them (until then pin, share, hold and may_use refuse). */
int frame_chunks_alloc(uint64_t n, uint64_t align, owner_t owner, uint64_t *out);
/* Give one chunk back: every frame must be `owner`'s, unshared, unpinned (-EBUSY/-EPERM), or held: then
 * its owner has made sure that nobody uses it, lent or not. It becomes OWNER_NONE|FRAME_DIRTY. */
int frame_chunk_free(uint64_t pa, owner_t owner);
/* Zero the frames of the chunk that are FRAME_DIRTY (cache maintenance included). The caller owns the
 * chunk, or it is free. */
void frame_scrub(uint64_t pa);
uint64_t frame_chunks_free(void);

#endif
