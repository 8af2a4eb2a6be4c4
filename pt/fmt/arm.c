/* SPDX-License-Identifier: BSD-2-Clause */
/* Register fields of a walker that is to use an Arm tree. */
#include "arm.h"

/* Walk attributes: inner shareable, write-back write-allocate both ways; for a walker that does not
 * snoop, non-cacheable. IRGN0[9:8], ORGN0[11:10], SH0[13:12] in all three registers. */
#define WALK_WB (1u << 8 | 1u << 10 | 3u << 12)
#define WALK_NC (2u << 12)

static uint32_t walk_fields(const struct pt *pt)
{
    uint32_t t0sz = 64u - pt->cfg.ia_bits;
    uint32_t ps = (uint32_t)arm_ps(pt->cfg.oa_bits);

    /* TG0[15:14] = 0: 4K. PS[18:16]. */
    return t0sz | (pt->cfg.incoherent ? WALK_NC : WALK_WB) | ps << 16;
}

uint32_t pt_arm_ste_s2vtcr(const struct pt *pt)
{
    /* SL0[7:6] for 4K: 0 starts at level 2, 1 at level 1, 2 at level 0. */
    return walk_fields(pt) | (uint32_t)(2 - pt->cfg.start_level) << 6;
}

uint64_t pt_arm_vtcr(const struct pt *pt)
{
    return pt_arm_ste_s2vtcr(pt) | FMT_BIT(31); /* RES1 */
}

uint64_t pt_arm_tcr_el2(const struct pt *pt)
{
    return walk_fields(pt) | FMT_BIT(31) | FMT_BIT(23); /* RES1 */
}
