/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operations of the kernel's own selftest (numbers and layouts as in its
 * drivers/iommu/iommufd/iommufd_test.h, in our own words). Not part of the product's interface.
 */
#ifndef IOMMUFD_TEST_UAPI_H
#define IOMMUFD_TEST_UAPI_H

#include <stdint.h>

enum {
    T_ADD_RESERVED = 1,
    T_MOCK_DOMAIN,
    T_CHECK_MAP,
    T_CHECK_REFS,
    T_CREATE_ACCESS,
    T_DESTROY_ACCESS_PAGES,
    T_ACCESS_PAGES,
    T_ACCESS_RW,
    T_MEMORY_LIMIT,
    T_MOCK_DOMAIN_REPLACE,
    T_ACCESS_REPLACE_IOAS,
    T_MOCK_DOMAIN_FLAGS,
    T_DIRTY,
    T_CHECK_IOTLB,
    T_TRIGGER_IOPF,
    T_CHECK_CACHE,
    T_TRIGGER_VEVENT,
    T_PASID_ATTACH,
    T_PASID_REPLACE,
    T_PASID_DETACH,
    T_PASID_CHECK,
    T_DMABUF_GET,
    T_DMABUF_REVOKE,
};

#define T_APERTURE_FIRST (1ull << 24)
#define T_APERTURE_LAST  ((1ull << 31) - 1)
#define T_PAGE           2048u
#define T_HUGE_PAGE      (512u * T_PAGE)
#define T_PASID_BITS     20u
#define T_DATA           0xdeadu     /* IOMMU_HWPT_DATA_SELFTEST */
#define T_INVALIDATE     0xdeadbeefu /* of an HWPT and of a vIOMMU */
#define T_VIOMMU         0xdeadbeefu
#define T_VEVENTQ        0xbeefbeefu
#define T_QUEUE          0xdeadbeefu
#define T_QUEUES         2u
#define T_HW_INFO        0xfeedbeefu
#define T_HW_INFO_REG    0xdeadbeefu
#define T_CACHE_DEFAULT  0xbaddadu
#define T_CACHES         4u

enum { T_DEV_NO_DIRTY = 1, T_DEV_PASID = 4 };
enum { T_ACCESS_NEEDS_PIN = 1 };
enum { T_PAGES_WRITE = 1 };
enum { T_RW_WRITE = 1, T_RW_SLOW = 4 };
enum { T_TABLE_DEFAULT = 0, T_TABLE_HUGE = 1 };
enum { T_INVALIDATE_ALL = 1 };

struct t_cmd {
    uint32_t size, op, id, reserved;
    union {
        struct {
            uint64_t start, length;
        } reserve;
        struct {
            uint32_t out_stdev_id, out_hwpt_id, out_idev_id, dev_flags;
        } mock;
        struct {
            uint32_t pt_id;
        } replace;
        struct {
            uint64_t iova, length, uptr;
        } check_map;
        struct {
            uint64_t length, uptr;
            uint32_t refs;
        } check_refs;
        struct {
            uint32_t out_fd, flags;
        } create_access;
        struct {
            uint32_t id;
        } destroy_pages;
        struct {
            uint32_t flags, out_id;
            uint64_t iova, length, uptr;
        } pages;
        struct {
            uint64_t iova, length, uptr;
            uint32_t flags;
        } rw;
        struct {
            uint32_t limit;
        } memory;
        struct {
            uint32_t ioas_id;
        } access_replace;
        struct {
            uint32_t flags;
            uint64_t iova, length, page_size, uptr, out_nr;
        } dirty;
        struct {
            uint32_t id, value;
        } check; /* iotlb and device cache */
        struct {
            uint32_t dev_id, pasid, grpid, perm;
            uint64_t addr;
        } iopf;
        struct {
            uint32_t dev_id;
        } vevent;
        struct {
            uint32_t pasid, pt_id;
        } pasid;
        struct {
            uint32_t length, open_flags;
        } dmabuf_get;
        struct {
            int32_t fd;
            uint32_t revoked;
        } revoke;
    };
    uint32_t last;
};

struct t_hwpt_data {
    uint32_t iotlb, table;
};
struct t_hwpt_invalidate {
    uint32_t flags, iotlb_id;
};
struct t_viommu_data {
    uint32_t in, out;
    uint64_t mmap_offset, mmap_length;
};
struct t_viommu_invalidate {
    uint32_t flags, vdev_id, cache_id;
};

_Static_assert(sizeof(struct t_cmd) == 72, "the kernel's layout");

#endif
