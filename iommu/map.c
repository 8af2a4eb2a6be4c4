/* SPDX-License-Identifier: BSD-2-Clause */
/* Explicit mappings: a pin on every frame, from before it is mapped until after no device uses it. */
#include <stddef.h>

#include "space/internal.h"
#include <tenon/iommu.h>

int iommu_map(struct iommu_domain *d, uint64_t iova, uint64_t pa, uint64_t len, uint32_t prot)
{
    struct space *s = d->space;

    if (len == 0 || ((iova | pa | len) & (PAGE_SIZE - 1)) != 0 || prot == 0 ||
        (prot & ~(uint32_t)(PT_READ | PT_WRITE)) != 0) {
        return -EINVAL;
    }
    port_lock(&s->map_lock);
    int err = s->use == SPACE_FOLLOWS ? -EPERM : frames_pin(pa, len >> PAGE_SHIFT, d->owner);

    if (err == 0) {
        err = space_map_raw(s, iova, pa, len, prot | PT_USER);
        if (err != 0) {
            (void)frames_unpin(pa, len >> PAGE_SHIFT, d->owner);
        } else {
            s->use = SPACE_PINNED;
        }
    }
    port_unlock(&s->map_lock);
    return err;
}

/* Is every page of the range mapped, and by iommu_map? */
static int check_mapped(struct space *s, uint64_t iova, uint64_t last)
{
    struct pt_leaf leaf;
    int err = 0;

    space_share_lock(s);
    for (uint64_t ia = iova; err == 0 && pt_next(&s->pt, &ia, last, &leaf);) {
        if (!leaf.present) {
            err = -ENOENT;
        } else if (!frame_valid(leaf.oa)) {
            err = -EPERM; /* device registers: not the owner's to unmap */
        }
    }
    space_share_unlock(s);
    return err;
}

#define RUNS 32u
struct run {
    uint64_t pa, n;
};

/* Frames behind [iova, last], as far as RUNS runs reach; returns the last address covered. */
static uint64_t collect(struct space *s, uint64_t iova, uint64_t last, struct run *run,
                        uint32_t *nruns)
{
    struct pt_leaf leaf;
    uint64_t covered = iova - 1;

    *nruns = 0;
    space_share_lock(s);
    for (uint64_t ia = iova; pt_next(&s->pt, &ia, last, &leaf) && leaf.present;) {
        /* The range begins and ends on leaf boundaries by now. */
        uint64_t n = (leaf.last - leaf.ia + 1) >> PAGE_SHIFT;
        struct run *r = *nruns == 0 ? NULL : &run[*nruns - 1];

        if (r != NULL && r->pa + (r->n << PAGE_SHIFT) == leaf.oa) {
            r->n += n;
        } else if (*nruns == RUNS) {
            break;
        } else {
            run[(*nruns)++] = (struct run){ .pa = leaf.oa, .n = n };
        }
        covered = leaf.last;
    }
    space_share_unlock(s);
    return covered;
}

int iommu_unmap(struct iommu_domain *d, uint64_t iova, uint64_t len)
{
    struct space *s = d->space;
    uint64_t last = iova + (len - 1);
    struct run run[RUNS];
    uint32_t n;

    if (len == 0 || ((iova | len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    if (last < iova || last >> s->pt.cfg.ia_bits != 0) {
        return -ERANGE;
    }
    port_lock(&s->map_lock);
    int err = s->use == SPACE_FOLLOWS ? -EPERM : check_mapped(s, iova, last);

    if (err == 0) {
        err = space_cut_raw(s, iova, len); /* all that can fail */
    }
    for (uint64_t at = iova; err == 0 && at - 1 != last;) {
        uint64_t end = collect(s, at, last, run, &n);

        err = space_unmap_raw(s, at, end - at + 1);
        /* Every device is done with them: only now may they go elsewhere. */
        for (uint32_t i = 0; err == 0 && i < n; i++) {
            err = frames_unpin(run[i].pa, run[i].n, d->owner);
        }
        if (err != 0) {
            port_panic("iommu: a checked unmap failed");
        }
        at = end + 1;
    }
    port_unlock(&s->map_lock);
    return err;
}

int iommu_iova_to_phys(struct iommu_domain *d, uint64_t iova, uint64_t *pa)
{
    struct pt_leaf leaf;
    int err = space_lookup(d->space, iova, &leaf);

    if (err != 0) {
        return err;
    }
    if (!leaf.present) {
        return -ENOENT;
    }
    *pa = leaf.oa + (iova - leaf.ia);
    return 0;
}
