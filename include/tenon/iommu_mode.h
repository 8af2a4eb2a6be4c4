/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the devices of one VM (or process) walk its memory, and how that changes under them.
 *
 *   share mode   one tree: the IOMMU walks the CPU's, and faults of either fill it
 *   mirror mode  the IOMMU walks a tree of its own, which follows the same objects
 *
 * A switch moves every stream, one after the other, while its DMA goes on: before the first moves, the
 * other tree is complete and follows every conversion; only then does the old one lose its walker. So
 * at any time a device walks a tree that is right. The live rules of the CPU's tree are the CPU's own
 * in mirror mode, and the meet of both in share mode.
 *
 * Concurrency: one lock a view, outermost of all. Faults, conversions, logs and page requests go on
 * during a switch; binding to or unbinding from the CPU's space does not (its owner's duty).
 */
#ifndef TENON_IOMMU_MODE_H
#define TENON_IOMMU_MODE_H

#include <tenon/iommu.h>

enum iommu_mode { IOMMU_SHARE, IOMMU_MIRROR };

struct iommu_view {
    struct iommu *im;
    struct space *cpu; /* the caller's */
    struct pt_live cpu_live;
    struct space own;
    struct iommu_domain share, mirror; /* over cpu, over own; one of them is in use */
    enum iommu_mode mode;
    const char *why; /* why share mode is impossible (static); NULL: it is possible */
    owner_t owner;
    int vmid;
    bool moved; /* into mirror mode for the sake of a log */
    bool io_logged;
    struct port_lock lock;
    uint64_t switches;
};

/*
 * `cpu` is a CPU space with its bindings; its live rules are the CPU's (which can wait: `stalls`). vmid >= 0: the CPU's VMID of
 * this tree, used for both trees so that a stream moves in one store (smmuv3.h). Share mode where it is
 * asked for and possible (v->why says why not), else mirror mode. -EOPNOTSUPP no tree that this IOMMU
 * could walk; -ENOMEM, -ENOSPC, and what space_bind and iommu_domain_init say. Nothing changed then.
 */
int iommu_view_init(struct iommu_view *v, struct iommu *im, struct space *cpu, owner_t owner,
                    int vmid, enum iommu_mode mode);
/* -EBUSY while devices are attached. */
int iommu_view_fini(struct iommu_view *v);
/* As iommu_attach, iommu_detach, to whatever tree it is now; -EOPNOTSUPP: something is bound on demand
 * and devices of this IOMMU cannot wait for a page. */
int iommu_view_attach(struct iommu_view *v, uint32_t sid);
int iommu_view_detach(struct iommu_view *v, uint32_t sid);
/* A page request, answered on the tree that the stream walks. */
enum iommu_response iommu_view_page_request(struct iommu_view *v, uint64_t iova, uint32_t access);
/* The domain in use: for invalidation statistics, iova_to_phys. Changes with the mode. */
struct iommu_domain *iommu_view_domain(struct iommu_view *v);

/*
 * Switch, with no moment in which a device finds less or another thing than before. -EOPNOTSUPP the
 * formats do not agree (v->why); -EBUSY a log asks for what the other side does not have; -ENOMEM,
 * -ENOSPC. An error leaves the mode, and every stream where it was.
 */
int iommu_view_set(struct iommu_view *v, enum iommu_mode mode);

/*
 * A log of the CPU's tree (space_log_start), and, where the devices have a tree of their own whose
 * walker sets dirty bits, a log of that one: io_bits, as large as bits and as zero; may be NULL. In share mode a
 * kind that the IOMMU cannot honour first moves the devices to their own tree (A6): write-protect
 * always; the dirty bit where the IOMMU does not set it (such leaves look read-only to it). v->io_logged
 * says whether what devices write is seen; if not, take what they may write for written.
 */
int iommu_view_log_start(struct iommu_view *v, enum space_log_kind kind, uint64_t ia, uint64_t len,
                         uint64_t *bits, uint64_t *io_bits);
/* Of both trees, as space_log_read_clear. */
int iommu_view_log_read_clear(struct iommu_view *v, uint64_t ia, uint64_t len, uint64_t *bitmap);
/* Stops both; devices that were moved for the log go back, if they can. -ENOENT. */
int iommu_view_log_stop(struct iommu_view *v);

#endif
