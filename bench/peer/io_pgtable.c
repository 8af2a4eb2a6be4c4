/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * drivers/iommu/io-pgtable-arm.c as a subject: stage 1 (PEER_STAGE 1) with hardware dirty state,
 * or stage 2. A range is split into (page size, count) by the caller as the kernel's core does it.
 */
#include <linux/io-pgtable.h>

#include "peer.h"

struct tree {
    struct iommu_domain domain; /* first */
    struct io_pgtable_ops *ops;
    struct io_pgtable *iop;
};

static void flush_all(void *cookie)
{
}

static void flush_walk(unsigned long iova, size_t size, size_t granule, void *cookie)
{
}

static void add_page(struct iommu_iotlb_gather *gather, unsigned long iova, size_t granule,
                     void *cookie)
{
    iommu_iotlb_gather_add_page(cookie, gather, iova, granule);
}

static const struct iommu_flush_ops flush_ops = { .tlb_flush_all = flush_all,
                                                  .tlb_flush_walk = flush_walk,
                                                  .tlb_add_page = add_page };

/*
 * The largest page that address and length allow, and how many of it until a larger one fits.
 */
static size_t split(const struct iommu_domain *domain, unsigned long address, unsigned long differ,
                    size_t len, size_t *count)
{
    unsigned long fits = domain->pgsize_bitmap & GENMASK(__fls(len), 0);
    unsigned long larger, size, lead;

    if (likely(address)) {
        fits &= GENMASK(__ffs(address), 0);
    }
    size = BIT(__fls(fits));
    larger = domain->pgsize_bitmap & ~(size | (size - 1));
    if (larger) {
        larger = BIT(__ffs(larger));
        lead = larger - (address & (larger - 1));
        if ((differ & (larger - 1)) == 0 && lead + larger <= len) {
            len = lead;
        }
    }
    *count = len / size;
    return size;
}

static inline int subject_map(void *t, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct tree *tree = t;

    while (len) {
        size_t count, mapped = 0;
        size_t size = split(&tree->domain, ia | oa, ia ^ oa, len, &count);
        int ret = tree->ops->map_pages(tree->ops, ia, oa, size, count,
                                       IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL, &mapped);

        if (ret) {
            return ret;
        }
        ia += mapped;
        oa += mapped;
        len -= mapped;
    }
    return 0;
}

static inline uint64_t subject_unmap(void *t, uint64_t ia, uint64_t len)
{
    struct tree *tree = t;
    struct iommu_iotlb_gather gather;
    uint64_t done = 0;

    iommu_iotlb_gather_init(&gather);
    while (done < len) {
        size_t count;
        size_t size = split(&tree->domain, ia, 0, len - done, &count);
        size_t n = tree->ops->unmap_pages(tree->ops, ia, size, count, &gather);

        if (n == 0) {
            break;
        }
        if (gather.start >= gather.end) {
            iommu_iotlb_gather_add_range(&gather, ia, n);
        }
        ia += n;
        done += n;
    }
    iommu_iotlb_sync(&tree->domain, &gather);
    return done;
}

static inline uint64_t subject_translate(void *t, uint64_t ia)
{
    struct tree *tree = t;

    return tree->ops->iova_to_phys(tree->ops, ia);
}

static inline int subject_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    struct tree *tree = t;
    struct iova_bitmap b = peer_bitmap(ia, bitmap);
    struct iommu_iotlb_gather gather;
    struct iommu_dirty_bitmap dirty = { .bitmap = &b, .gather = &gather };
    int ret;

    iommu_iotlb_gather_init(&gather);
    ret = tree->ops->read_and_clear_dirty(tree->ops, ia, len, 0, &dirty);
    iommu_iotlb_sync(&tree->domain, &gather);
    return ret;
}

#define SUBJECT_LOOPS
#include "../pt/subject.h"

#if PEER_STAGE == 1
#define FORMAT io_pgtable_arm_64_lpae_s1_init_fns
#define KIND   ARM_64_LPAE_S1
#define QUIRKS IO_PGTABLE_QUIRK_ARM_HD
#define NAME   "arm-s1-4k"
#else
#define FORMAT io_pgtable_arm_64_lpae_s2_init_fns
#define KIND   ARM_64_LPAE_S2
#define QUIRKS 0
#define NAME   "arm-s2-4k"
#endif

static void *open_table(bool track)
{
    struct tree *t = standin_small_alloc(sizeof(*t));
    struct io_pgtable_cfg cfg = { .quirks = track ? QUIRKS : 0,
                                  .pgsize_bitmap = SZ_4K | SZ_2M | SZ_1G,
                                  .ias = 48,
                                  .oas = 48,
                                  .coherent_walk = true,
                                  .tlb = &flush_ops };

    peer_init();
    t->domain.ops = &peer_domain_ops;
    t->iop = FORMAT.alloc(&cfg, t);
    if (!t->iop) {
        return NULL;
    }
    /* As io_pgtable.c has it. */
    t->iop->fmt = KIND;
    t->iop->cookie = t;
    t->iop->cfg = cfg;
    t->ops = &t->iop->ops;
    t->domain.pgsize_bitmap = cfg.pgsize_bitmap;
    return t;
}

static void close_table(void *t)
{
    struct tree *tree = t;

    FORMAT.free(tree->iop);
    standin_small_free(tree);
}

static uint64_t *root(void *t, int64_t *phys)
{
    const struct io_pgtable_cfg *cfg = &((struct tree *)t)->iop->cfg;

    *phys = 0;
#if PEER_STAGE == 1
    return (uint64_t *)(uintptr_t)cfg->arm_lpae_s1_cfg.ttbr;
#else
    return (uint64_t *)(uintptr_t)cfg->arm_lpae_s2_cfg.vttbr;
#endif
}

static void empty(void *t, uint64_t ia, uint64_t len)
{
    for (uint64_t end = ia + len; ia < end; ia += SZ_2M / 2) {
        subject_unmap(t, ia, SZ_2M / 2);
    }
}

static struct subject subject = {
    .format = NAME,
    .name = PEER_NAME,
    .open = open_table,
    .close = close_table,
    .root = root,
    .map = loop_map,
    .unmap = loop_unmap,
    .empty = empty,
    .translate = loop_translate,
    .dirty = PEER_STAGE == 1 ? loop_dirty : NULL,
};

__attribute__((constructor)) static void add(void)
{
    subject_register(&subject);
}
