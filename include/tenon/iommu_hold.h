/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user of a domain that is no stream of its own: a PASID of a stream, a guest's first stage over it.
 * While it is held a domain's invalidations reach the hardware, and iommu_domain_fini is -EBUSY. pasid.c
 * and nest.c call these; takes the IOMMU's lock.
 */
#ifndef TENON_IOMMU_HOLD_H
#define TENON_IOMMU_HOLD_H

#include <tenon/iommu.h>

/* Before the hardware is pointed at the domain's tree. */
void iommu_domain_hold(struct iommu_domain *d);
/* After the hardware has left it. */
void iommu_domain_release(struct iommu_domain *d);

#endif
