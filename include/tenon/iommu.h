/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and domains, of no vendor. A domain is an I/O space (its own tree, or one shared with a
 * CPU) that devices are attached to. A device not attached to any domain is blocked: its DMA is
 * aborted and reported.
 *
 * Concurrency: one lock per iommu; calls return when the hardware has taken the change over.
 */
#ifndef TENON_IOMMU_H
#define TENON_IOMMU_H

#include <tenon/space.h>

struct iommu;
struct iommu_domain;

/* What the walker of this IOMMU can do, read from its identification registers. */
struct iommu_caps {
    bool stage1, stage2, nested;
    struct pt_live live; /* rules of the walker's own tables */
    uint8_t ia_bits, oa_bits;
    uint8_t vmid_bits, asid_bits, sid_bits, ssid_bits;
    bool coherent, range_inv, fwb, xnx, btm, stall, two_level;
};

/* One DMA fault or other event, decoded. */
struct iommu_event {
    uint32_t sid;
    uint32_t ssid;
    uint8_t type;                             /* the hardware's event number */
    bool write, ssid_valid, stage2, overflow; /* overflow: earlier events were lost */
    uint64_t addr;                            /* input address */
    uint64_t ipa;
    const char *what; /* plain words: "translation fault", static string */
};

struct iommu_ops {
    /* Point the stream at the domain's tree: one hitless step where the architecture allows, through
     * abort otherwise. Tables reserved beforehand by `prepare`. */
    int (*attach)(struct iommu *im, uint32_t sid, struct iommu_domain *d);
    void (*detach)(struct iommu *im, uint32_t sid); /* to abort; complete on return; cannot fail */
    int (*domain_init)(struct iommu *im, struct iommu_domain *d); /* VMID/ASID; -ENOSPC */
    void (*domain_fini)(struct iommu *im, struct iommu_domain *d);
    bool (*next_event)(struct iommu *im, struct iommu_event *ev);
};

#define IOMMU_STREAMS 64u /* attached at one time; more: -ENOSPC */
struct iommu_stream {
    uint32_t sid;
    struct iommu_domain *domain; /* NULL: slot is free */
};

struct iommu {
    const struct iommu_ops *ops;
    struct iommu_caps caps;
    struct port_lock lock;
    uint64_t events; /* total seen */
    struct iommu_stream stream[IOMMU_STREAMS];
};

struct iommu_domain {
    struct invalidator inv; /* first: the IOMMU's side of the space's walkers. domain_init sets it
                               to the driver's; issue and wait are called with it */
    struct iommu *im;
    struct space *space;
    owner_t owner;
    uint16_t tag; /* VMID (stage 2) or ASID (stage 1) */
    bool stage1;
    uint32_t devices; /* streams attached, PASIDs, guests' first stages over it */
    /* The driver's own invalidator; inv asks it only while devices are attached, and the tag is
     * invalidated as a whole before the first is. */
    struct invalidator driver;
};

/*
 * A domain over `space` (format must be one that caps allow); adds itself to the space's walkers. In
 * share mode `vmid` is the CPU's own VMID when the caller passes one >= 0, else the driver
 * allocates. -EOPNOTSUPP changed nothing: format, granule, ia/oa size or live rules do not fit;
 * -ENOSPC no walker slot, VMID or ASID left.
 */
int iommu_domain_init(struct iommu *im, struct iommu_domain *d, struct space *space, owner_t owner,
                      int vmid);
/* -EBUSY while anybody uses it (iommu_hold.h too). What iommu_map made is unmapped and unpinned. */
int iommu_domain_fini(struct iommu_domain *d);

/* A stream. -ERANGE sid; -EBUSY attached already, here or elsewhere; -ENOSPC; the driver's own. */
int iommu_attach(struct iommu_domain *d, uint32_t sid);
int iommu_detach(struct iommu_domain *d, uint32_t sid); /* -ENOENT not attached here */
/* Move a stream from one domain to another whose tree translates every address in use the same way:
 * no gap (share <-> mirror). -ENOENT not attached to `from`; -EINVAL not the same IOMMU. */
int iommu_replace(struct iommu_domain *from, struct iommu_domain *to, uint32_t sid);
struct iommu_domain *iommu_domain_of(struct iommu *im, uint32_t sid); /* NULL: blocked */

/*
 * Explicit, pinned mappings of a domain (E1). The owner's rights are checked on every frame, and the
 * frames stay pinned until unmapped: they can be neither donated nor unshared nor converted. `prot`
 * is PT_READ and/or PT_WRITE. -EPERM a frame that the owner may not use, or a space that follows
 * objects; -EFAULT not memory; -EBUSY, -EEXIST, -ENOMEM, -ENOSPC (pins), -EINVAL, -ERANGE.
 */
int iommu_map(struct iommu_domain *d, uint64_t iova, uint64_t pa, uint64_t len, uint32_t prot);
/*
 * Any range in which every page was mapped by iommu_map: whole mappings, parts of one (cut live) or
 * several at once. -ENOENT a page is not mapped; -EPERM a page is mapped, but not by iommu_map;
 * -EOPNOTSUPP and -ENOMEM when it must cut and cannot; -EINVAL, -ERANGE. An error changed nothing.
 * On return no device uses the range, and only then were its frames unpinned.
 */
int iommu_unmap(struct iommu_domain *d, uint64_t iova, uint64_t len);
int iommu_iova_to_phys(struct iommu_domain *d, uint64_t iova, uint64_t *pa); /* -ENOENT, -ERANGE */

/*
 * A page request of a device (PRI, or a stalled transaction): answered by the fault path of the tree
 * it walks (A4), and always answered. SUCCESS: try again; INVALID: no such page, or no right;
 * FAILURE: not now, and stop asking. No lock of the domain is held; as space_fault otherwise.
 */
enum iommu_response { IOMMU_RESPONSE_SUCCESS, IOMMU_RESPONSE_INVALID, IOMMU_RESPONSE_FAILURE };
enum iommu_response iommu_page_request(struct iommu_domain *d, uint64_t iova, uint32_t access);

/* Tree configuration for a domain of its own (mirror mode or explicit): stage 2 where there is one,
 * else stage 1. -EOPNOTSUPP if the IOMMU has neither. */
int iommu_own_config(const struct iommu *im, struct pt_config *cfg);
/* May this CPU tree be walked by the IOMMU too (share mode)? cfg.live must be the meet of both sides'
 * rules already. 0, or -EOPNOTSUPP with *why set to a static sentence (NULL when 0). */
int iommu_share_check(const struct iommu *im, const struct pt_config *cpu, const char **why);

#endif
