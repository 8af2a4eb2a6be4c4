/* SPDX-License-Identifier: BSD-2-Clause */
/* A device asks for a page: the CPU's fault path answers, on the tree that both walk. */
#include "space/internal.h"
#include <tenon/iommu.h>

enum iommu_response iommu_page_request(struct iommu_domain *d, uint64_t iova, uint32_t access)
{
    if (access == 0 || (access & ~(uint32_t)(PT_READ | PT_WRITE | PT_EXEC)) != 0) {
        return IOMMU_RESPONSE_INVALID;
    }
    /* Pages of explicit maps are all there: what is missing will not come. */
    int err = d->space->use == SPACE_PINNED ? -EFAULT : space_fault(d->space, iova, access);

    switch (err) {
    case 0:
    case -EAGAIN: /* in change: the device tries again, and asks again if it must */
        return IOMMU_RESPONSE_SUCCESS;
    case -ENOMEM:
        return IOMMU_RESPONSE_FAILURE;
    default:
        return IOMMU_RESPONSE_INVALID;
    }
}
