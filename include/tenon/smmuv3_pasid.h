/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PASIDs (SubstreamIDs) on streams of an SMMUv3. A stream's one context descriptor becomes a table of
 * up to 64 (IHI0070 5.2, linear), with a copy of it at 0 for transactions without a PASID; with the last PASID
 * it goes back to the one. Neither step stops the stream.
 *
 * The stream is attached by iommu_attach to a stage-1 domain before its first PASID, and stays there
 * until its last one: iommu_detach, iommu_replace and a new attach in between end all PASIDs (they fault;
 * the table is not given back). attach: -EOPNOTSUPP a domain of stage 2; -ENODEV the stream has no
 * stage-1 domain; -ERANGE a PASID of 0, or more than the table or the SMMU has; -ENOMEM; -EIO failed. From one
 * domain to another a PASID moves through a moment in which it faults: ASID and table are two words.
 * Takes the IOMMU's lock.
 */
#ifndef TENON_SMMUV3_PASID_H
#define TENON_SMMUV3_PASID_H

#include <tenon/pasid.h>
#include <tenon/smmuv3.h>

extern const struct pasid_ops smmuv3_pasid_ops;

#endif
