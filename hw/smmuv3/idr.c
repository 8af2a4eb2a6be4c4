/* SPDX-License-Identifier: BSD-2-Clause */
/* What this SMMU is: identification registers (IHI0070 6.3.1 to 6.3.6) as capabilities. */
#include <hw/smmuv3/regs.h>
#include <tenon/errno.h>
#include <tenon/smmuv3.h>

static const uint8_t oas_bits[8] = { 32, 36, 40, 42, 44, 48, 52, 0 };

int smmuv3_decode_idr(const struct smmuv3_idr *r, struct smmuv3_features *f, const char **why)
{
    *f = (struct smmuv3_features){ 0 };
    struct iommu_caps *c = &f->caps;
    uint64_t idr0 = r->idr0, idr1 = r->idr1, idr3 = r->idr3, idr5 = r->idr5;

    c->stage2 = FIELD(idr0, 0, 0) != 0;
    c->stage1 = FIELD(idr0, 1, 1) != 0;
    c->nested = c->stage1 && c->stage2;
    f->ttf_aarch64 = FIELD(idr0, 3, 2) >= 2u;
    c->coherent = FIELD(idr0, 4, 4) != 0;
    c->btm = FIELD(idr0, 5, 5) != 0;
    f->httu = (uint8_t)FIELD(idr0, 7, 6);
    f->hyp = FIELD(idr0, 9, 9) != 0;
    f->ats = FIELD(idr0, 10, 10) != 0;
    f->asid16 = FIELD(idr0, 12, 12) != 0;
    f->sev = FIELD(idr0, 14, 14) != 0;
    f->vmid16 = FIELD(idr0, 18, 18) != 0;
    uint64_t stall = FIELD(idr0, 25, 24); /* 0: both models, 1: terminate only, 2: stall only */
    c->stall = stall == 0;
    c->two_level = FIELD(idr0, 28, 27) == 1u;

    c->sid_bits = (uint8_t)FIELD(idr1, 5, 0);
    c->ssid_bits = (uint8_t)FIELD(idr1, 10, 6);
    f->evtq_log2 = (uint8_t)FIELD(idr1, 20, 16);
    f->cmdq_log2 = (uint8_t)FIELD(idr1, 25, 21);
    f->queues_preset = FIELD(idr1, 29, 29) != 0;
    f->tables_preset = FIELD(idr1, 30, 30) != 0;

    c->xnx = FIELD(idr3, 4, 4) != 0;
    c->fwb = FIELD(idr3, 8, 8) != 0;
    c->range_inv = FIELD(idr3, 10, 10) != 0;
    f->bbml = (uint8_t)FIELD(idr3, 12, 11);

    f->granule4k = FIELD(idr5, 4, 4) != 0;
    uint8_t oas = oas_bits[FIELD(idr5, 2, 0)];
    c->oa_bits = oas > 48u ? 48u : oas; /* 52 bits need another descriptor layout */
    c->ia_bits = c->stage2 ? c->oa_bits : 48u;
    c->vmid_bits = !c->stage2 ? 0u : f->vmid16 ? 16u : 8u;
    c->asid_bits = !c->stage1 ? 0u : f->asid16 ? 16u : 8u;

    /* BBML (3.21.1): 0 none; 1 level 1, a changed size may fault (nT); 2 level 2, it may not. */
    c->live.bbm = f->bbml > 2u ? 0u : f->bbml;
    c->live.hw_af = f->httu >= 1u;
    c->live.hw_dirty = f->httu == 2u;
    c->live.stalls = false; /* nothing here answers a stall */

    *why = NULL;
    if (!c->stage1 && !c->stage2) {
        *why = "no translation stage";
    } else if (!f->ttf_aarch64) {
        *why = "no AArch64 tables";
    } else if (!f->granule4k) {
        *why = "no 4K granule";
    } else if (c->oa_bits == 0) {
        *why = "unknown output address size";
    } else if (stall > 1u) {
        *why = "faults can only stall";
    } else if (f->queues_preset || f->tables_preset) {
        *why = "queues or tables at fixed addresses";
    } else if (FIELD((uint64_t)r->aidr, 7, 4) != 0) {
        *why = "not architecture version 3.x";
    }
    return *why != NULL ? -EOPNOTSUPP : 0;
}
