/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What becomes of the copy of a page that goes out of use (B4). Conversion and discard are separate:
 * these calls convert as gmem_convert does, and then let go of memory by the policy of the call.
 *
 *   GMEM_KEEP      both copies live; what goes out of use keeps its content
 *   GMEM_DISCARD   what goes out of use is punched before the call returns
 *   GMEM_LAZY      it may be punched from now on, and will be: in batches, together with its neighbours,
 *                  once there are more than `max_pages` of such pages or the oldest has waited for `max_ns`. A
 *                  page that comes back into use before that is not punched: its content is still there
 *   GMEM_INPLACE   no copy goes out of use
 *
 * What waits is in one of two generations. After half of `max_ns`, or when half of `max_pages` are in the younger one,
 * the older is punched, and the younger becomes the older. A page that is converted again comes to the young: so
 * pages that change all the time are never punched, and those that do not are, within the bounds. Both bounds are
 * looked at by conversions (time by one in GMEM_LOOK): where none may come, by gmem_discard_run from a worker.
 *
 * An object with `merge_later` has its blocks merged here: each block in which pages were converted, once
 * GMEM_APART of them wait or the oldest has waited for `max_ns`. Until then a page that is converted again finds
 * the block cut.
 *
 * Concurrency: as gmem_convert; a punch has its pages claimed like a change, so that nobody converts
 * them meanwhile. A copy that somebody has pinned is not punched, and waits on.
 */
#ifndef TENON_DISCARD_H
#define TENON_DISCARD_H

#include <tenon/gmem.h>

enum { GMEM_DISCARD = GMEM_INPLACE + 1, GMEM_LAZY }; /* further policies */

#define GMEM_LOOK  8u   /* the clock is looked at with every eighth conversion */
#define GMEM_APART 256u /* blocks of 2 MiB that wait to be merged */

struct gmem_discard {
    struct gmem *gm;
    /* [pa, pa+len), whole pages, reads as zero from now on; its memory may go back to the system. */
    void (*punch)(uint64_t pa, uint64_t len);
    uint64_t max_pages, max_ns;
    struct port_lock lock;
    struct range
        stale[2];       /* by generation. 1: the private copy is to be punched; 3: the shared one */
    struct range apart; /* 1: a block of 2 MiB in which pages were converted since it was merged */
    uint32_t young;     /* the younger generation */
    uint64_t in[2];     /* pages that wait in each, ... */
    uint64_t waiting;   /* ... and in both */
    uint64_t turned;    /* port_now() when generations last changed, or nothing waited */
    uint64_t looked;    /* port_now() when it was last looked at, ... */
    uint32_t calls;     /* ... once in GMEM_LOOK of these, or when something begins to wait */
    uint64_t parted;    /* blocks in apart */
    uint64_t oldest_parted;    /* port_now() when the first of them came */
    uint64_t punched, punches; /* pages, and calls of punch, so far */
    uint64_t spared;           /* pages that were converted again before their time had come */
};

/* The object has separate backing and stays for as long as *d is used (-EINVAL otherwise). */
int gmem_discard_init(struct gmem_discard *d, struct gmem *gm,
                      void (*punch)(uint64_t pa, uint64_t len), uint64_t max_pages,
                      uint64_t max_ns);
/* Table pages back; what waits is not punched. */
void gmem_discard_fini(struct gmem_discard *d);

/*
 * As gmem_convert, with any of the four policies, in both directions (on the way back to private
 * GMEM_INPLACE is as GMEM_KEEP, and a page that was shared in place leaves no copy). Also -ENOMEM when there is no
 * table page to remember what waits: then nothing was converted. What waits in the range is forgotten by
 * a conversion; after a refused one it waits on if all of the range did.
 */
int gmem_discard_convert(struct gmem_discard *d, uint64_t page, uint64_t n, bool to_shared,
                         int policy);
/* Punches what waits, at least `pages` of it if there is as much (pinned copies apart), oldest or not, and merges
 * the blocks that wait. For a worker, and when memory is short. Returns how many pages were punched. */
uint64_t gmem_discard_run(struct gmem_discard *d, uint64_t pages);

#endif
