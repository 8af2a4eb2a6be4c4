/* SPDX-License-Identifier: BSD-2-Clause */
/* Users of a domain that are no streams of their own: PASIDs, and guests' first stages over it. */
#include <stddef.h>

#include <tenon/iommu_hold.h>

void iommu_domain_hold(struct iommu_domain *d)
{
    struct pt_gather g;

    pt_gather_init(&g);
    g.all = true;
    port_lock(&d->im->lock);
    /* As of the first stream: from here on invalidations are issued, and what earlier users left behind
     * under the tag goes before the walker is pointed at the tree. */
    if (__atomic_add_fetch(&d->devices, 1, __ATOMIC_SEQ_CST) == 1) {
        d->driver.issue(&d->inv, &g);
        d->driver.wait(&d->inv);
    }
    port_unlock(&d->im->lock);
}

void iommu_domain_release(struct iommu_domain *d)
{
    __atomic_sub_fetch(&d->devices, 1, __ATOMIC_SEQ_CST);
}
