/* SPDX-License-Identifier: BSD-2-Clause */
/* VMSAv8-64 with 16K and 64K granules: same bits, other numbers (DDI0487 D8.2); the Contiguous bit
 * of all granules. */
#ifndef PT_FMT_ARM_GRANULES_H
#define PT_FMT_ARM_GRANULES_H

#include "arm_s1.h"
#include "arm_s2.h"

#define ARM_16K ARM_COMMON(14, 1, FMT_MASK(9, 8), 50, 8), ARM_SETS(7, 5, 0)
#define ARM_64K ARM_COMMON(16, 1, FMT_MASK(15, 12), 48, 12), ARM_SETS(5, 5, 0), ARM_ROOT(2, 2, 44)

static const struct pt_fmt pt_fmt_arm_s1_16k = {
    .id = PT_ARM_S1_16K, ARM_16K, ARM_ROOT(3, 3, 0), S1_COMMON
};
static const struct pt_fmt pt_fmt_arm_s2_16k = {
    .id = PT_ARM_S2_16K, ARM_16K, ARM_ROOT(2, 3, 42), S2_COMMON
};
static const struct pt_fmt pt_fmt_arm_s1_64k = { .id = PT_ARM_S1_64K, ARM_64K, S1_COMMON };
static const struct pt_fmt pt_fmt_arm_s2_64k = { .id = PT_ARM_S2_64K, ARM_64K, S2_COMMON };

#define arm_s1_span arm_span
#define arm_s1_join arm_join
#define arm_s1_part arm_part
#define arm_s2_span arm_span
#define arm_s2_join arm_join
#define arm_s2_part arm_part

static FMT_INLINE unsigned arm_span(const struct pt_fmt *f, unsigned h, uint64_t e)
{
    return e & ARM_CONTIG ? f->span_max[h] : 0;
}

static FMT_INLINE uint64_t arm_join(const struct pt_fmt *f, unsigned h, unsigned k, uint64_t e)
{
    (void)f, (void)h, (void)k;
    return e | ARM_CONTIG;
}

static FMT_INLINE uint64_t arm_part(const struct pt_fmt *f, unsigned h, unsigned i, uint64_t e)
{
    (void)f, (void)h, (void)i;
    return e & ~ARM_CONTIG;
}

#endif
