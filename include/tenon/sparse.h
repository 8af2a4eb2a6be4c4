/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory objects with holes: as large as the range store (RANGE_MAX_PAGES, 2 TiB), with frames only where
 * they were asked for, by chunks of 2 MiB. All else is as in gmem.h. A hole is private memory that is not there:
 *
 *   a fault in it is answered -ERANGE (no format has such a frame), a conversion of any of it -EFAULT;
 *   bindings that are filled at once leave it out, and get what is filled in later in the same step;
 *   populate is not for these objects (-EPERM): fill, then write to the frames before anyone is bound.
 *
 * Costs 8 bytes for each 2 MiB of its size (twice that with separate backing), in memory of the caller's.
 */
#ifndef TENON_SPARSE_H
#define TENON_SPARSE_H

#include <tenon/gmem.h>

/* npages: multiple of 512, at most RANGE_MAX_PAGES. All of it is a hole. `chunks`: npages / 512 words, twice as
 * many for `separate`, the object's until it is destroyed. -EINVAL. */
int gmem_create_sparse(struct gmem *gm, owner_t owner, uint64_t npages, bool separate,
                       uint64_t *chunks);
/*
 * Every chunk with a page of [page, page+n) that is a hole gets zeroed frames, up to 1 GiB of them in one run, 1G-
 * aligned, where that is possible. Takes time for each chunk: not for use where that has a bound. -EFAULT outside;
 * -EBUSY being destroyed; -ENOMEM: what lies before the first hole left is filled. Beside conversions and faults.
 */
int gmem_fill(struct gmem *gm, uint64_t page, uint64_t n);
/* Is this page a hole? */
bool gmem_hole(const struct gmem *gm, uint64_t page);
/*
 * The frame that the guest sees at this page has gone bad: every follower loses it (waited for), and nobody gets
 * it again, also not when the object is destroyed: its chunk stays out of the pool then. The page is GMEM_LOST:
 * faults in it are answered -ERANGE, conversions refused (-EALREADY to shared, -EBUSY or -EINVAL). For every kind of
 * object; gmem_destroy_sparse destroys one with such frames. -EFAULT outside, or a hole; -EALREADY lost already;
 * -EBUSY pinned: a device may be in it, call again; or not scrubbed yet; -EAGAIN raced with a conversion; -ENOMEM,
 * -EOPNOTSUPP as a conversion. An error changed nothing, but that a page shared in place may be private again.
 */
int gmem_poison(struct gmem *gm, uint64_t page);
/*
 * As gmem_destroy_step, which is not for objects with holes (their chunks count too) or bad frames (it answers -EBUSY).
 * This one is for all objects.
 */
int gmem_destroy_sparse(struct gmem *gm, uint64_t *cursor, uint64_t budget);

#endif
