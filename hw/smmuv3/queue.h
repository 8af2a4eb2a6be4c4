/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the driver: the command queue, register handshakes, events. */
#ifndef TENON_HW_SMMUV3_QUEUE_H
#define TENON_HW_SMMUV3_QUEUE_H

#include <hw/smmuv3/desc.h>
#include <hw/smmuv3/regs.h>
#include <tenon/smmuv3.h>

/* Queue commands; nothing is told to the SMMU unless the queue fills up. */
void cmdq_add(struct smmuv3 *s, const struct cmd *c, unsigned n);
/* CMD_SYNC, tell the SMMU, and wait until it is consumed: every command added before, by any CPU,
 * is complete then; or the SMMU is closed (smmuv3.h). */
void cmdq_sync(struct smmuv3 *s);

/* Write, and wait until the register at `ack` reads `v` under `mask`. */
bool reg_handshake(struct smmuv3 *s, uint32_t reg, uint32_t v, uint32_t ack, uint32_t mask,
                   uint32_t want);
bool reg_gbpa_abort(struct smmuv3 *s);

bool smmuv3_next_event(struct iommu *im, struct iommu_event *ev);
/* One event record (7.3) in plain words. Pure. */
void event_decode(const uint64_t w[4], struct iommu_event *ev);

#endif
