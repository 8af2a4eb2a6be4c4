/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software IOMMU of an open /dev/iommu. What is attached where is the core's business: streams by
 * tenon/iommu.h, PASIDs by tenon/pasid.h, page requests by tenon/prq.h, all on what is here. A stream is a
 * device that is bound to the file, its number the device's id.
 */
#ifndef IOMMUFD_SWIOMMU_H
#define IOMMUFD_SWIOMMU_H

#include "iommufd/iod.h"
#include "tenon/pasid.h"
#include "tenon/prq.h"

#define SW_BUCKETS 64u

struct sw_entry;
struct swiommu {
    struct iommu im; /* first */
    struct prq prq;
    struct ctx *ctx;
    struct sw_entry *entry[SW_BUCKETS]; /* the stream table */
    int *answer;                        /* of the request that is being reported */
};
struct swiommu *swiommu_of(struct ctx *c); /* made with the first device; NULL: no memory */
void swiommu_free(struct swiommu *sw);
extern const struct pasid_ops swiommu_pasid_ops;

/* What a transaction of the device walks; NULL: nothing, it is aborted. */
struct domain *swiommu_tree(const struct device *d, uint32_t pasid);
/* A page request that is a group of its own (r->last). -EAGAIN: it is asked for, and the device's
 * ops->response follows, once; 0 or -EFAULT: answered at once, and no response follows. */
int swiommu_request(struct swiommu *sw, const struct prq_request *r);
/* Gives up what has waited too long, everywhere: how many groups. */
unsigned swiommu_tick(uint64_t now);
extern uint64_t swiommu_timeout_ms; /* of IOMMUs made later */

#endif
