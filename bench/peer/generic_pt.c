/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A format of drivers/iommu/generic_pt as a subject. PEER_FMT is the kernel's name of the format,
 * PEER_FORMAT ours. Each call goes as iommu_map(), iommu_unmap() and iommu_iova_to_phys() have it.
 */
#include <linux/generic_pt/iommu.h>

#include "iommu-pages.h"
#include "peer.h"

#define JOIN3_(a, b, c) a##b##c
#define JOIN3(a, b, c)  JOIN3_(a, b, c)
#define TABLE           JOIN3(pt_iommu_, PEER_FMT, )
#define CONFIG          JOIN3(pt_iommu_, PEER_FMT, _cfg)
#define OP(name)        JOIN3(pt_iommu_, PEER_FMT, _##name)

static inline int subject_map(void *t, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct pt_iommu *pt = iommupt_from_domain(t);
    size_t mapped = 0;

    return pt->ops->map_range(pt, ia, oa, len, IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL,
                              &mapped);
}

static inline uint64_t subject_unmap(void *t, uint64_t ia, uint64_t len)
{
    struct iommu_domain *domain = t;
    struct pt_iommu *pt = iommupt_from_domain(domain);
    struct iommu_iotlb_gather gather;
    size_t n;

    iommu_iotlb_gather_init(&gather);
    n = pt->ops->unmap_range(pt, ia, len, &gather);
    iommu_iotlb_sync(domain, &gather);
    return n;
}

static inline uint64_t subject_translate(void *t, uint64_t ia)
{
    return OP(iova_to_phys)(t, ia);
}

static inline int subject_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    struct iommu_domain *domain = t;
    struct iova_bitmap b = peer_bitmap(ia, bitmap);
    struct iommu_iotlb_gather gather;
    struct iommu_dirty_bitmap dirty = { .bitmap = &b, .gather = &gather };
    int ret;

    iommu_iotlb_gather_init(&gather);
    ret = OP(read_and_clear_dirty)(domain, ia, len, 0, &dirty);
    iommu_iotlb_sync(domain, &gather);
    return ret;
}

#define SUBJECT_LOOPS
#include "../pt/subject.h"

static void change_top(struct pt_iommu *pt, phys_addr_t top, unsigned int level)
{
}

static spinlock_t top_lock;

static spinlock_t *get_top_lock(struct pt_iommu *pt)
{
    return &top_lock;
}

static const struct pt_iommu_driver_ops driver_ops = { .change_top = change_top,
                                                       .get_top_lock = get_top_lock };

static void *open_table(bool track)
{
    const struct CONFIG cfg = { PEER_CONFIG };
    struct TABLE *t = standin_small_alloc(sizeof(*t));

    peer_init();
    t->iommu.nid = NUMA_NO_NODE;
    t->iommu.driver_ops = &driver_ops;
    if (OP(init)(t, &cfg, GFP_KERNEL) != 0) {
        return NULL;
    }
    t->iommu.domain.ops = &peer_domain_ops;
    return &t->iommu.domain;
}

static void close_table(void *t)
{
    pt_iommu_deinit(iommupt_from_domain(t));
    standin_small_free(t);
}

static uint64_t *root(void *t, int64_t *phys)
{
    struct TABLE *table = t;

    *phys = 0;
    return (uint64_t *)(table->PEER_MEMBER.common.top_of_table & ~(uintptr_t)PT_TOP_LEVEL_MASK);
}

static void empty(void *t, uint64_t ia, uint64_t len)
{
    /* Half of what a last-level table maps at a time: a table that is covered would go. */
    for (uint64_t end = ia + len; ia < end; ia += SZ_2M / 2) {
        subject_unmap(t, ia, SZ_2M / 2);
    }
}

static struct subject subject = {
    .format = PEER_FORMAT,
    .name = PEER_NAME,
    .open = open_table,
    .close = close_table,
    .root = root,
    .map = loop_map,
    .unmap = loop_unmap,
    .empty = empty,
    .translate = loop_translate,
    .dirty = PEER_DIRTY ? loop_dirty : NULL,
};

__attribute__((constructor)) static void add(void)
{
    subject_register(&subject);
}
