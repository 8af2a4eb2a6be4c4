/* SPDX-License-Identifier: BSD-2-Clause */
/* Between selftest.c (the operations) and selftest_mock.c (what they operate on). */
#ifndef IOMMUFD_SELFTEST_H
#define IOMMUFD_SELFTEST_H

#include "iommufd/iod.h"
#include "iommufd/test_uapi.h"

struct mock {
    uint32_t flags;
    uint32_t cache[T_CACHES];
    bool fail_1024;
    uint32_t responses; /* to page requests, and the last of them */
    struct prq_response last;
    struct viommu *viommu;
    uint64_t vdev_id;
};
extern const struct dev_ops mock_ops;

#endif
