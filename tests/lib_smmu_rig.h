/* SPDX-License-Identifier: BSD-2-Clause */
/* The SMMUv3 driver on the fake SMMU, with trees and domains to play with. One at a time. */
#ifndef TESTS_LIB_SMMU_RIG_H
#define TESTS_LIB_SMMU_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tenon/smmuv3.h"
#include "tests/lib_smmu_fake.h"

#define VMID_FIRST 10u
#define TABLES     256u
#define RW         (PT_READ | PT_WRITE)
#define SID        0x28u
#define DATA       ((uint64_t)0x150000000) /* frames that trees point at; nothing is read from them */

extern struct smmu_fake fake;
extern struct smmuv3 smmu;

int rig_setup(void **state);
int rig_teardown(void **state); /* fails if the SMMU was asked something impossible */
int rig_start(void);            /* smmuv3_init on what `fake` says it is */

void tree(struct space *s, bool stage1); /* 39 bits, empty */
void map(struct space *s, uint64_t ia, uint64_t oa, uint64_t len);
void unmap(struct iommu_domain *d, uint64_t ia, uint64_t len); /* invalidated */
int domain(struct iommu_domain *d, struct space *s, owner_t owner, uint16_t tag);
void fini(struct iommu_domain *d);
int attach(uint32_t sid, struct iommu_domain *d);
void detach(uint32_t sid);
bool dma(uint32_t sid, uint64_t iova, uint64_t *pa);
bool event(struct iommu_event *ev);

#define GOES(sid, iova, want)              \
    do {                                   \
        uint64_t pa_;                      \
        assert_true(dma(sid, iova, &pa_)); \
        assert_int_equal(pa_, want);       \
    } while (0)
#define BLOCKED(sid, iova)                  \
    do {                                    \
        uint64_t pa_;                       \
        assert_false(dma(sid, iova, &pa_)); \
    } while (0)

#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

#endif
