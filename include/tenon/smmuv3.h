/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Driver of the Arm SMMUv3 (Arm IHI0070), non-secure side. It implements struct iommu_ops
 * (iommu.h); this header holds its set-up and what the tests look into.
 *
 * Nothing is ever bypassed: before the SMMU is enabled GBPA.ABORT is set, and a stream that is not
 * attached has an invalid STE or no second-level table: its DMA is aborted and reported.
 *
 * Concurrency. attach, detach, replace and domain calls come with im.lock held by the caller
 * (iommu/). The command queue has a lock of its own, innermost but one (frame's is inside it
 * nowhere), so invalidations may come from any CPU at any time. Waiting is done without it.
 *
 * Time-outs. Every wait for the hardware is bounded. If the command queue does not drain in
 * SMMUV3_TIMEOUT_NS the invalidation cannot be taken for complete: the driver closes the SMMU
 * (GBPA.ABORT = 1, then CR0.SMMUEN = 0, acknowledged), after which no device behind it reaches
 * memory and every old translation is unreachable. Then it is `failed`: waits return at once,
 * attach answers -EIO, and the log says so. Only if the hardware does not acknowledge even that is
 * EL2 stopped (port_panic): no input of a host or guest leads there, only a dead SMMU.
 */
#ifndef TENON_SMMUV3_H
#define TENON_SMMUV3_H

#include <tenon/iommu.h>

#define SMMUV3_TIMEOUT_NS  1000000000ull
#define SMMUV3_TAGS        256u /* VMIDs and ASIDs handed out: 1 .. SMMUV3_TAGS-1 */
#define SMMUV3_CDS         64u  /* stage-1 domains: ASID i has context descriptor i - 1 */
#define SMMUV3_SID_BITS    16u  /* most that is used of SIDSIZE: larger stream ids stay blocked */
#define SMMUV3_LINEAR_BITS 12u  /* the same where the stream table is linear (256 KiB) */
#define SMMUV3_SPLIT       8u   /* second-level tables hold 2^8 STEs: one PCI bus each */
#define SMMUV3_L1_MAX      (1u << (SMMUV3_SID_BITS - SMMUV3_SPLIT))

/* Identification registers, as read (IHI0070 6.3.1-6.3.6). */
struct smmuv3_idr {
    uint32_t idr0, idr1, idr3, idr5, aidr;
};
/* What the rest of the driver asks about them. */
struct smmuv3_features {
    struct iommu_caps caps;
    uint8_t cmdq_log2, evtq_log2; /* largest queues: entries, log2 */
    uint8_t httu;                 /* 0 none, 1 access flag, 2 dirty too */
    uint8_t bbml;
    bool vmid16, asid16, hyp, sev, ats, granule4k, ttf_aarch64, tables_preset, queues_preset;
};
/* -EOPNOTSUPP with *why: no AArch64 tables, no 4K granule, preset tables or queues. Pure. */
int smmuv3_decode_idr(const struct smmuv3_idr *idr, struct smmuv3_features *f, const char **why);

/* A queue in memory. Counts never wrap; register values are made from them. */
struct smmuv3_queue {
    struct port_lock lock;
    uint64_t pa;
    uint64_t *va;
    uint8_t log2;  /* entries */
    uint64_t prod; /* commands written (command queue) */
    uint64_t rung; /* of which PROD has told the SMMU (event queue: OVACKFLG) */
    uint64_t cons; /* known to be consumed / events read */
};

struct smmuv3_tag {
    uint16_t users; /* 0: free */
    owner_t owner;
};

struct smmuv3 {
    struct iommu im; /* first */
    uint64_t base;   /* registers: page 0; page 1 at + 0x10000 */
    struct smmuv3_features feat;
    struct smmuv3_queue cmdq, evtq;
    /* Stream table: two levels, or linear where the hardware has no ST_LEVEL. */
    bool two_level;
    uint8_t sid_bits;
    uint64_t strtab_pa, strtab_bytes;
    uint64_t l2_pa[SMMUV3_L1_MAX]; /* second-level tables made so far (0: none) */
    uint64_t cd_pa;                /* SMMUV3_CDS context descriptors */
    struct smmuv3_tag vmid[SMMUV3_TAGS], asid[SMMUV3_CDS + 1];
    uint16_t vmid_first; /* allocated VMIDs start here; lower ones are the CPU's */
    bool failed;
    bool overflow; /* of the event queue, not yet reported */
    uint64_t timeout_ns;
    uint32_t cmd_aborts; /* command fetches that failed in a row */
    /* counters */
    uint64_t cmds, syncs, cmd_errors, gerrors, evt_overflows;
    uint64_t hitless, broken; /* attach calls on a live stream: in one step, or through abort */
};

/* Bytes of contiguous memory that smmuv3_init wants, and their alignment (a power of two). Reads
 * the identification registers at `base`. */
struct smmuv3_mem {
    uint64_t bytes, align;
};
int smmuv3_mem_need(uint64_t base, struct smmuv3_mem *need);

/*
 * Find out what is there, bring it up closed: every stream blocked. `mem` is zeroed here and stays
 * the SMMU's. Second-level stream tables come from frame_tables_root(4) at the first attach of a
 * bus. vmid_first: the lowest VMID the driver may hand out (those below are the CPU's; a share-mode
 * domain brings its own in `tag`).
 * -ENODEV: no SMMUv3 that this driver can run, reason logged; -EINVAL mem; -ETIMEDOUT: no answer.
 */
int smmuv3_init(struct smmuv3 *s, uint64_t base, uint64_t mem, uint64_t mem_size,
                uint16_t vmid_first);

/*
 * iommu_ops.domain_init: stage 1 or 2 by the format of d->space; d->tag != 0 asks for that very
 * VMID (share mode), 0 for any. Sets d->tag, d->stage1, d->inv. -ENOSPC none free; -EBUSY the one
 * asked for is in use by another owner; -EOPNOTSUPP the stage or a property of the tree is not
 * implemented; -EINVAL a tag that cannot be; -EIO failed.
 *
 * Two domains of one owner may ask for the same VMID: then a stream moves from one to the other in
 * one store (only S2TTB differs). It is for trees that translate alike (share <-> mirror), and both
 * must have equal geometry (ia/oa bits, start level, fwb, hw_af, hw_dirty). Both are invalidated by
 * that VMID, and a stream that moves flushes it.
 *
 * iommu_ops.attach on a stream that is attached replaces: see iommu_replace(). -ERANGE, -ENOMEM (no
 * second-level table), -EIO failed; in each case the stream is as it was.
 */
extern const struct iommu_ops smmuv3_ops;

/*
 * Acknowledge global errors, log them. Call now and then (with event polling; next_event does).
 */
void smmuv3_poll_gerror(struct smmuv3 *s);

/* The deliberate end: closes it (ABORT, SMMUEN = 0). True if acknowledged. */
bool smmuv3_close(struct smmuv3 *s);

#endif
