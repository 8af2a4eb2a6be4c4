/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process mirrors: an I/O space shows part of a live process's address space (requirement A3). Pages
 * come on demand, and go *before* the process's own mapping changes. docs/mirror.md tells the story.
 *
 * The mirror does not know how a process is watched. Its owner tells it what is going to change:
 *
 *     token = mirror_begin(m, va, len);     on return no walker uses a translation of the range
 *     ... the process's change takes effect ...
 *     mirror_end(m, token);
 *
 * and finds pages for it (struct mirror_ops). In between, faults in the range answer -EAGAIN; a fault
 * that began before and would install what it found then finds the count moved, and starts anew.
 *
 * Concurrency: every call on any CPU. Several changes may overlap. Lock order: mirror, then space.
 */
#ifndef TENON_MIRROR_H
#define TENON_MIRROR_H

#include <tenon/space.h>

struct mirror;

/* What the process has at an address: a run of pages with outputs in one line and equal rights. */
struct mirror_run {
    uint64_t va,
        last;      /* the run's ends, page-aligned (last inclusive); holds the address asked for */
    uint64_t oa;   /* of va */
    uint32_t prot; /* PT_READ, PT_WRITE */
};

struct mirror_ops {
    /* Find the page at va, for this access, and what is around it. May sleep; called without a lock.
     * -EFAULT nothing there, or not for devices; -EPERM not with this access; -EAGAIN later. The
     * answer need not be true any more on return: mirror_begin() of the change has then come. */
    int (*find)(struct mirror *m, uint64_t va, uint32_t access, struct mirror_run *run);
};

#define MIRROR_CHANGES 16u
#define MIRROR_RECENT  64u /* beginnings and ends that are remembered */

struct mirror {
    struct space *io; /* holds only this mirror's maps in [ia, ia + (last - va)] */
    const struct mirror_ops *ops;
    uint64_t ia;       /* where va stands for the device */
    uint64_t va, last; /* the part of the process that is followed */
    uint32_t prot;     /* PT_USER where the format wants it: added to every leaf */
    struct port_lock lock;
    uint64_t
        begun; /* counts beginnings and ends of changes: a fault compares it, and looks which they were */
    struct mirror_range {
        uint64_t va, last;
    } recent[MIRROR_RECENT]; /* the n-th at n % MIRROR_RECENT */
    struct mirror_change {
        uint64_t va, last;
        uint32_t users; /* 0: free */
    } change[MIRROR_CHANGES];
    bool stopped;
    /* counters */
    uint64_t mapped, retried, drops;
};

/*
 * Mirrors [va, va+len) of a process at ia. The space is the caller's, with its walkers; nothing is
 * mapped yet. Outputs (mirror_run.oa) must not be frames of the frame table: they are another
 * process's, and no owner of ours. -EINVAL alignment, len 0, no ops; -ERANGE a range that wraps.
 */
int mirror_init(struct mirror *m, struct space *io, uint64_t ia, uint64_t va, uint64_t len,
                uint32_t prot, const struct mirror_ops *ops);

/* A device's page request. 0: mapped, or was; -EAGAIN: in change, ask again; -EFAULT outside, or
 * nothing there, or stopped; -EPERM; -ENOMEM table pages. Maps the largest leaf that the run allows. */
int mirror_fault(struct mirror *m, uint64_t ia, uint32_t access);

/*
 * Something in [va, va+len) is going to change (any range, any alignment; only what is followed
 * matters). On return no walker has or gets a translation of it, until mirror_end. Never fails: a
 * leaf that crosses an end and cannot be cut goes as a whole.
 */
uint32_t mirror_begin(struct mirror *m, uint64_t va, uint64_t len);
void mirror_end(struct mirror *m, uint32_t token);

/* The process is gone, or no longer followed: drops everything; faults answer -EFAULT from now on.
 * Frees no space. */
void mirror_stop(struct mirror *m);

#endif
