/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nesting: the first stage is a guest's (from its virtual addresses, or its I/O virtual addresses), the
 * second is ours. The guest writes its first-stage tables as it likes: what they point to is translated
 * by the second stage, so they reach nothing but the guest's memory. What it must tell us is where a
 * table begins, and what it has changed.
 *
 * A guest names its PASIDs by numbers of its own. Each that it sets up gets a tag (ASID) here; an
 * invalidation is translated to the tag of the PASID that it names, under the VMID of the guest's second
 * stage, and can reach nothing else.
 *
 * Concurrency: one lock a nest, held while the hardware takes changes over. Lock order: the nest, then
 * the IOMMU's.
 */
#ifndef TENON_NEST_H
#define TENON_NEST_H

#include <tenon/iommu.h>

#define NEST_PASIDS 32u

struct nest_stage1 {
    uint64_t
        root; /* where the guest's start table is, in the input addresses of the second stage */
    uint8_t ia_bits;
};

enum nest_inv_kind {
    NEST_INV_ALL,   /* everything of this guest's first stages */
    NEST_INV_PASID, /* everything of one PASID */
    NEST_INV_ADDR,  /* [ia, ia + len) of one PASID */
};

/* What a guest asks for. */
struct nest_inv {
    enum nest_inv_kind kind;
    uint32_t pasid;
    uint64_t ia, len; /* 4K-aligned, len > 0 */
    bool leaf;        /* tables were not changed */
};

/* What the hardware is told: by tag, never by the guest's number. */
struct nest_hw_inv {
    enum nest_inv_kind kind;
    uint16_t vmid, asid;
    uint64_t ia, len;
    bool leaf;
};

struct nest_ops {
    /* (sid, pasid) translates by the guest's first stage, then by the domain. Complete on return. */
    int (*attach)(struct iommu *im, uint32_t sid, uint32_t pasid, struct iommu_domain *second,
                  const struct nest_stage1 *first, uint16_t asid);
    void (*detach)(struct iommu *im, uint32_t sid, uint32_t pasid);
    void (*issue)(struct iommu *im, const struct nest_hw_inv *inv);
    void (*wait)(struct iommu *im);
};

struct nest_entry {
    bool used;
    uint32_t sid, pasid; /* the guest's number */
    uint16_t asid;
};

struct nest {
    const struct nest_ops *ops;
    struct iommu_domain *second; /* stage 2; the guest's memory */
    uint32_t asid_first;         /* tags of this nest: asid_first + index */
    struct port_lock lock;
    struct nest_entry entry[NEST_PASIDS];
    uint64_t invalidations, refused;
};

/* asids: [asid_first, asid_first + NEST_PASIDS) are this nest's alone under the domain's VMID.
 * -EOPNOTSUPP the IOMMU cannot nest, or the domain is no second stage; -EINVAL tags beyond asid_bits. */
int nest_init(struct nest *n, const struct nest_ops *ops, struct iommu_domain *second,
              uint32_t asid_first);
/*
 * The guest puts a first stage on (sid, pasid); sid is one that it owns (the caller has checked). On one
 * that has a first stage: replaces it, and what was cached of the old one is gone on return.
 * -EINVAL alignment of root, ia_bits; -EFAULT root outside the second stage's input addresses; -ERANGE
 * pasid; -ENOSPC; the driver's own, and then the old one stays.
 */
int nest_attach(struct nest *n, uint32_t sid, uint32_t pasid, const struct nest_stage1 *first);
int nest_detach(struct nest *n, uint32_t sid, uint32_t pasid); /* -ENOENT */
/* Takes everything off. Cannot fail. */
void nest_fini(struct nest *n);
/*
 * `count` invalidations, in order; *done is set to how many were taken. All taken are complete on return.
 * It stops at the first that is wrong: -EINVAL kind, alignment, len; -ERANGE wraps, or beyond 48
 * bits; -ENOENT no such PASID of this guest.
 */
int nest_invalidate(struct nest *n, const struct nest_inv *inv, uint32_t count, uint32_t *done);

#endif
