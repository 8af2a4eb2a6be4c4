/* SPDX-License-Identifier: BSD-2-Clause */
/* What the fake SMMU's two files share. */
#ifndef TESTS_LIB_SMMU_FAKE_INT_H
#define TESTS_LIB_SMMU_FAKE_INT_H

#include "tests/lib_smmu_fake.h"

static inline uint64_t bits(uint64_t v, unsigned hi, unsigned lo)
{
    return hi - lo == 63 ? v : (v >> lo) & (((uint64_t)1 << (hi - lo + 1)) - 1);
}

void fake_wrong(struct smmu_fake *f, const char *what);
uint64_t fake_mem64(struct smmu_fake *f, uint64_t pa);

#endif
