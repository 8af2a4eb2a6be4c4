/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PASIDs: numbers by which a device tells address spaces apart (PCIe 6.20). One allocator, and exactly
 * two ways to get one:
 *   - from an address space that mirrors a process: one PASID for each, the same for everybody;
 *   - from a control object, which owns its PASIDs and gives them their trees.
 * Whoever puts a PASID on a device (passed through, vDPA-like, mediated) uses the same two calls and
 * knows nothing but its number.
 *
 * Concurrency: one lock a set, held while the hardware takes a change over. Lock order: the set, then
 * the IOMMU's.
 */
#ifndef TENON_PASID_H
#define TENON_PASID_H

#include <tenon/iommu.h>

#define PASID_BITS  20u
#define PASID_FIRST 1u /* 0: what devices send without a PASID */
#define PASID_USES  8u /* streams that one PASID is on; more: -ENOSPC */

enum pasid_kind { PASID_FREE, PASID_OF_MIRROR, PASID_OF_CONTROL };

struct pasid_use {
    struct iommu *im; /* NULL: free */
    uint32_t sid;
};

/* In memory of the mirror's or of the control object's owner, until it is freed. */
struct pasid {
    enum pasid_kind kind;
    uint32_t id;
    owner_t owner;
    const void *from;            /* the mirror, or the control object */
    struct iommu_domain *domain; /* NULL: a control object's, not shaped yet */
    uint32_t holders;            /* of a mirror's: how many asked for it */
    struct pasid_use use[PASID_USES];
};

/* What a driver does for it; both complete on return. */
struct pasid_ops {
    /* Point (sid, pasid) at the domain's tree, from nothing or, live, from another. */
    int (*attach)(struct iommu *im, uint32_t sid, uint32_t pasid, struct iommu_domain *d);
    /* The device uses nothing of that PASID any more. Cannot fail. */
    void (*detach)(struct iommu *im, uint32_t sid, uint32_t pasid);
};

struct pasid_set {
    const struct pasid_ops *ops;
    struct port_lock lock;
    struct pasid **slot; /* by number - PASID_FIRST; the caller's memory */
    uint32_t n, next;    /* next: where the search begins, so that numbers come back late */
    uint32_t taken;
};

struct pasid_control {
    struct pasid_set *set; /* NULL: closed */
    owner_t owner;
    uint32_t quota, held;
};

/* `slot` has n entries, all NULL; numbers 1..n. -EINVAL: n == 0 or beyond 20 bits. */
int pasid_set_init(struct pasid_set *set, const struct pasid_ops *ops, struct pasid **slot,
                   uint32_t n);

/*
 * Way one. `mirror` is what the address space is known by; the first call takes a number for it into
 * *p, a later one for the same mirror gives the number that it has (*p is not used then).
 * -EINVAL no mirror, no domain; -EPERM the mirror's PASID is another owner's; -ENOSPC.
 */
int pasid_of_mirror(struct pasid_set *set, const void *mirror, struct iommu_domain *d,
                    struct pasid *p, uint32_t *id);
/* As often as it was asked for; the last one takes it off every device and frees it. -ENOENT. */
int pasid_put_mirror(struct pasid_set *set, const void *mirror);

/* Way two. quota: PASIDs that it may hold. -EINVAL. */
int pasid_control_open(struct pasid_control *c, struct pasid_set *set, owner_t owner,
                       uint32_t quota);
/* -ENOSPC: the quota, or no number left; -ENOENT closed. */
int pasid_control_alloc(struct pasid_control *c, struct pasid *p);
/* This number, as of a device whose PASIDs others choose. Also -EBUSY: it is taken; -ERANGE. */
int pasid_control_claim(struct pasid_control *c, struct pasid *p, uint32_t id);
/* The tree behind it, also of one that devices use: they move live (as iommu_replace). NULL: none, they
 * are taken off. -ENOENT not this object's; -EPERM a domain of another owner; the driver's own, and then
 * every device is where it was. */
int pasid_control_shape(struct pasid_control *c, uint32_t id, struct iommu_domain *d);
/* -ENOENT; -EBUSY a device uses it. */
int pasid_control_free(struct pasid_control *c, uint32_t id);
/* Takes what it holds off every device and frees it. Cannot fail. */
void pasid_control_close(struct pasid_control *c);

/*
 * For consumers of every kind. `who` is on whose behalf. -ENOENT no such PASID; -EPERM another owner's;
 * -EAGAIN it has no tree yet; -EBUSY it is on that stream already; -EINVAL its tree is of another IOMMU;
 * -ERANGE more bits than the device sends; -ENOSPC; the driver's own.
 */
int pasid_attach(struct pasid_set *set, struct iommu *im, uint32_t sid, owner_t who, uint32_t id);
int pasid_detach(struct pasid_set *set, struct iommu *im, uint32_t sid, owner_t who, uint32_t id);
/* The domain that (sid, pasid) walks: for page requests. NULL: none. */
struct iommu_domain *pasid_domain(struct pasid_set *set, const struct iommu *im, uint32_t sid,
                                  uint32_t id);

#endif
