/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory objects: the frames behind a VM's memory, and for each page whether it is private
 * or shared. Page tables *follow* an object (struct follower); nothing else may map its frames.
 *
 * An object has `npages` pages, counted from 0. Each page has a private frame; with separate
 * backing it also has a shared frame (double allocation). State of a page:
 *   PRIVATE         its private frame, owned by the VM alone: in no host table
 *   SHARED          its shared frame, lent to the host; the private frame keeps its content
 *   SHARED_INPLACE  its private frame, lent to the host: the VM's trees do not change
 *   LOST            none: a frame of it went bad (gmem_poison, sparse.h)
 *
 * Life: create -> scrub (in steps, until 0) -> populate -> bind spaces -> seal -> convert ... ->
 * unbind -> destroy (in steps). Calls that need scrubbed memory give -EBUSY before.
 *
 * Concurrency: conversions of one object run beside each other while their ranges do not touch
 * (GMEM_CHANGES at a time; one that has to wait for another spins). Faults run beside all of them,
 * and are decided by the sequence count of the range that they look at. Calls that change what the
 * object is (scrub, populate, seal, destroy, bind, unbind) have it alone: gmem_stop. The object's
 * lock itself is held only for a look or a count.
 */
#ifndef TENON_GMEM_H
#define TENON_GMEM_H

#include <tenon/frame.h>
#include <tenon/port.h>
#include <tenon/range.h>

enum gmem_state { GMEM_PRIVATE = 0, GMEM_SHARED = 1, GMEM_SHARED_INPLACE = 2, GMEM_LOST = 3 };
enum gmem_policy {
    GMEM_KEEP,    /* separate backing; the copy that goes out of use keeps its content */
    GMEM_INPLACE, /* same frame */
};

struct gmem;
struct follower;

/* Changes of one object at a time. */
#define GMEM_CHANGES 8u

/*
 * One change of [page, page+n): what followers are told. Lives on the converter's stack.
 * `slot` is its number among the object's changes under way: a follower keeps what it must remember
 * between two steps under it. Numbers are given out from 0, so one converter alone always has 0.
 */
struct gmem_change {
    struct gmem *gm;
    uint64_t page;
    uint64_t n;
    enum gmem_state from, to;
    uint32_t slot;
    const uint64_t *frames; /* chunks that the guest's pages are in afterwards; NULL: who knows */
    struct range_change states; /* the converter's own */
};

/*
 * What a follower does. Called in this order for one change; only prepare may fail. All steps of one
 * change are called on one CPU, with no lock of the object held; steps of other changes, of other
 * ranges and with other slots, are called on other CPUs meanwhile (unless the follower asked for
 * `alone`). No follower comes or goes while a change is under way.
 */
struct follower_ops {
    /* Would this change be possible? Reserve every table page it may need. -EOPNOTSUPP: the
     * hardware behind this follower cannot do it live; -ENOMEM; -EBUSY: pinned. A refusal leaves
     * no reservation and no change behind. */
    int (*prepare)(struct follower *f, const struct gmem_change *c);
    /* Another follower refused: give reservations back. */
    void (*cancel)(struct follower *f, const struct gmem_change *c);
    /* Cut to the edges and take the old translation away (tables stored to, invalidation issued). */
    void (*lose)(struct follower *f, const struct gmem_change *c);
    /* Return once no walker can use the old translation. */
    void (*wait)(struct follower *f, const struct gmem_change *c);
    /* The object is in its new state: make the new translation (or leave it to a fault). */
    void (*gain)(struct follower *f, const struct gmem_change *c);
    /* Merge what became uniform (and is in no other change); free what is left of the reservation.
     * May be deferred. */
    void (*settle)(struct follower *f, const struct gmem_change *c);
    /* Hint (A5): another follower has faulted this page in. Fire and forget. May be NULL. Called with
     * the object's lock held, so it may not call the object back. */
    void (*hint)(struct follower *f, uint64_t page);
    /* Return once every look at the object's state (a fault's) that was under way is over. May be
     * NULL if the follower looks only from within the calls above. */
    void (*quiesce)(struct follower *f);
};
struct follower {
    const struct follower_ops *ops;
    struct gmem *gm;
    struct follower *next;
    bool wants_hint;
    /* A change here may take neighbours away until gain (a leaf that may not be cut): the object's
     * changes run one at a time. */
    bool alone;
};

#define GMEM_MAX_CHUNKS 2048u               /* 4 GiB */
#define GMEM_HOLE       ((uint64_t)1 << 62) /* in place of a chunk's address: none is there (sparse.h) */
#define GMEM_SPARE      32u /* table pages that the states may keep without need, for a while */

/* A range that is in change, or was last (B6). */
struct gmem_slot {
    uint64_t page, n;
    uint32_t stamp; /* gmem.seq after this change's last begin or end */
    uint32_t prev;  /* the same of the change that had the slot before */
};

/* What a guest asked for and its owner has not committed yet. */
#define GMEM_REQUESTS 64u
struct gmem_request {
    uint64_t id; /* 0: free. Stands at id % GMEM_REQUESTS */
    uint64_t page, n;
    bool to_shared, committing;
    enum gmem_policy policy;
};

struct gmem {
    owner_t owner;
    bool separate; /* has shared frames of its own */
    bool sealed;   /* launched: populate is refused */
    bool dying;    /* destroy has begun */
    /* The host reaches its windows uncached (a /dev/mem mapping): clean caches at both edges. */
    bool uncached_window;
    uint64_t npages;
    uint64_t scrubbed;   /* chunks known to be zero or in use; private first, then shared ones */
    uint64_t *priv;      /* pa of each private 2M chunk; constant */
    uint64_t *shared;    /* pa of each shared 2M chunk (separate only); constant */
    uint32_t meta_pages; /* behind the two arrays */
    struct range states; /* enum gmem_state of each page */
    /* Called when more than GMEM_SPARE table pages of `states` hold one state each; gmem_tidy, or NULL:
     * they stay (at most 16 for each GiB). Set it before the first conversion. */
    void (*tidy)(struct gmem *gm);
    /* Blocks that a conversion cut stay so until gmem_settle: for pages that change again and again. */
    bool merge_later;
    struct follower *followers;
    uint32_t hinters;
    struct port_lock lock;
    /* Changes under way; all under the lock, read by faults without it (mem/claim.c). */
    struct gmem_slot slot[GMEM_CHANGES];
    uint32_t claimed; /* one bit each: the range is somebody's ... */
    uint32_t active;  /* ... and faults in it retry */
    uint32_t seq;     /* begins and ends of changes so far */
    uint32_t stops;   /* who waits for, or has, the object alone */
    uint32_t loners;  /* followers that want changes one at a time */
    struct gmem_request request[GMEM_REQUESTS];
    uint64_t pending;                /* bit id % GMEM_REQUESTS; may be read without the lock */
    uint64_t last_request, requests; /* last number given out; how many there were */
    uint64_t converted, converted_inplace; /* conversions done, by calls */
};

/*
 * npages: multiple of 512, up to 4 GiB (more, or with holes: sparse.h). Takes chunks from the pool for `owner` (and as many again
 * for `separate`), in one contiguous run each where there is one, 1G-aligned where possible.
 * -ENOMEM; -EINVAL. Nothing taken on error.
 */
int gmem_create(struct gmem *gm, owner_t owner, uint64_t npages, bool separate);
/* Scrubs up to `budget` chunks; 1 while there is more, 0 when done. *cursor is set to how many of all
 * chunks are done (for progress; its input value does not matter). */
int gmem_scrub(struct gmem *gm, uint64_t *cursor, uint64_t budget);
/*
 * Frees in steps of `budget` chunks; *cursor starts at 0. First pass: holds every frame, so that
 * nothing may be pinned any more; -EBUSY while followers exist or a frame is pinned (everything held
 * is let go again, *cursor is 0: nothing changed). Second pass: frees; pages still lent go back to
 * their owner first. 1 while there is more, 0 when done. Never allocates.
 * Freed chunks are FRAME_DIRTY: nobody may use them before they are zeroed.
 */
int gmem_destroy_step(struct gmem *gm, uint64_t *cursor, uint64_t budget);

/* Copy into private pages before launch. -EPERM once sealed; -EFAULT outside; -EBUSY not scrubbed. */
int gmem_populate(struct gmem *gm, uint64_t off, const void *src, uint64_t len);
void gmem_seal(struct gmem *gm);

/*
 * Convert [page, page+n) as docs/conversion.md describes, followers included. Every page must be in the
 * state opposite to `to_shared` (-EALREADY if all are in it already, -EINVAL if mixed). To shared
 * uses `policy` (-EINVAL: KEEP without separate backing, n == 0, unknown policy); back to private
 * uses the way it came (one way for the whole range, -EINVAL if mixed). -EFAULT outside; -EBUSY a
 * frame concerned is pinned, by whomever, or the object is not scrubbed or is going; -ENOMEM;
 * -EOPNOTSUPP. An error changed nothing, in no table.
 */
int gmem_convert(struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                 enum gmem_policy policy);

/*
 * The next step of [*page, end): gmem_convert of at most `most` pages, up to the end of a 2M block where there is one
 * within them; *page moves on. 1 while there is more, 0 when done, or an error, which undoes no step before
 * (-EINVAL also: nothing left, most is 0). Between two steps the object's other changes, and gmem_stop, get their turn.
 */
int gmem_convert_step(struct gmem *gm, uint64_t *page, uint64_t end, bool to_shared,
                      enum gmem_policy policy, uint64_t most);

/* What gmem_convert would say without looking at any page. */
int gmem_check(const struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
               enum gmem_policy policy);

/*
 * Conversions that a guest asks for (B3). A request is a number >= 1, never used again; -EBUSY: it
 * overlaps one that is pending; -EAGAIN: GMEM_REQUESTS are pending; or as gmem_check. It changes
 * nothing: ended without commit it has left no trace. With commit: as gmem_convert, and still
 * pending after an error. -ENOENT no such request; -EBUSY it is being committed.
 */
int64_t gmem_request(struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                     enum gmem_policy policy);
int gmem_request_end(struct gmem *gm, uint64_t id, bool commit);
/* The next pending request behind r->id (0: the oldest), which nobody commits just now, into *r. */
bool gmem_request_next(struct gmem *gm, struct gmem_request *r);

/*
 * A page's state and frame (pa may be NULL), at one moment. For anyone who holds a reference to the
 * object. The calls below take no lock: they are for followers, within their operations or under
 * what `quiesce` waits for, and for whoever has the object alone. They tell what was true at some
 * time during the call.
 */
enum gmem_state gmem_look(struct gmem *gm, uint64_t page, uint64_t *pa);
enum gmem_state gmem_state(const struct gmem *gm, uint64_t page);
/* Frame that the guest sees at `page` now. */
uint64_t gmem_frame(const struct gmem *gm, uint64_t page);
/* First page > `page` whose state differs from page's, or `end` (at most npages), beyond which it does
 * not look. */
static inline uint64_t gmem_run_until(const struct gmem *gm, uint64_t page, uint64_t end)
{
    return range_next(&gm->states, page, end);
}
static inline uint64_t gmem_run_end(const struct gmem *gm, uint64_t page)
{
    return range_next(&gm->states, page, gm->npages);
}
/* Are all pages of [page, page+n) in one state? For the guest's view PRIVATE and SHARED_INPLACE are
 * one: the same frame. */
bool gmem_uniform(const struct gmem *gm, uint64_t page, uint64_t n, bool guest_view);
/* Is any page of [page, page+n) in this state? */
bool gmem_any(const struct gmem *gm, uint64_t page, uint64_t n, enum gmem_state s);

/* Fault side of the sequence count, no lock: begin returns false while any of [page, page+n) is in
 * change (retry later); retry returns true if a change may have touched any of it since begin.
 * Changes of other pages are no concern of either. */
bool gmem_read_begin(const struct gmem *gm, uint64_t page, uint64_t n, uint32_t *seq);
bool gmem_read_retry(const struct gmem *gm, uint64_t page, uint64_t n, uint32_t seq);
/* Is any page in change just now? For somebody who would wait a little before a retry. No lock. */
bool gmem_changing(const struct gmem *gm);

/* Have the object alone: no change under way, none let in, its lock held until gmem_go. Not from
 * within a step of a change. */
void gmem_stop(struct gmem *gm);
void gmem_go(struct gmem *gm);

/* Table pages of the states that are not needed go back to the pool, once no fault can be reading
 * them: has the object alone for a moment. */
void gmem_tidy(struct gmem *gm);

/* What became uniform in the 2M blocks of [page, page+n) is merged, in every follower: for `merge_later`. Has
 * the object alone for one block at a time. */
void gmem_settle(struct gmem *gm, uint64_t page, uint64_t n);

/* Between gmem_stop and gmem_go, so that filling a tree and following are one step. */
void gmem_follow(struct gmem *gm, struct follower *f);
void gmem_unfollow(struct gmem *gm, struct follower *f);
/* Tell every other follower that wants to know (A5); dropped while a change is under way. Never call
 * with a space's lock held. */
void gmem_hint(struct gmem *gm, const struct follower *from, uint64_t page);

#endif
