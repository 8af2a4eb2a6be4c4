/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The numbers and layouts of Linux 7.3's iommufd and of the VFIO type-1 container, in our own
 * words: they are the interface of another program (include/uapi/linux/iommufd.h and vfio.h of the
 * kernel say the same). Every structure begins with its size, as the caller knows it.
 */
#ifndef IOMMUFD_UAPI_H
#define IOMMUFD_UAPI_H

#include <stdint.h>

#define U_TYPE       ';'
#define U_IO(nr)     (((unsigned)U_TYPE << 8) | (unsigned)(nr))
#define U_IO_NR(c)   ((c)&0xffu)
#define U_BASE       0x80u
#define U_TEST_NR    (U_BASE + 32u)
#define U_IO_TYPE(c) (((c) >> 8) & 0xffu)

enum {
    U_DESTROY = 0x80,
    U_IOAS_ALLOC,
    U_IOAS_ALLOW_IOVAS,
    U_IOAS_COPY,
    U_IOAS_IOVA_RANGES,
    U_IOAS_MAP,
    U_IOAS_UNMAP,
    U_OPTION,
    U_VFIO_IOAS,
    U_HWPT_ALLOC,
    U_GET_HW_INFO,
    U_HWPT_SET_DIRTY_TRACKING,
    U_HWPT_GET_DIRTY_BITMAP,
    U_HWPT_INVALIDATE,
    U_FAULT_QUEUE_ALLOC,
    U_IOAS_MAP_FILE,
    U_VIOMMU_ALLOC,
    U_VDEVICE_ALLOC,
    U_IOAS_CHANGE_PROCESS,
    U_VEVENTQ_ALLOC,
    U_HW_QUEUE_ALLOC,
    U_IOAS_NOIOMMU_GET_PA, /* 7.3 */
};

struct u_destroy {
    uint32_t size, id;
};
struct u_ioas_alloc {
    uint32_t size, flags, out_ioas_id;
};
struct u_iova_range {
    uint64_t start, last;
};
struct u_ioas_iova_ranges {
    uint32_t size, ioas_id, num_iovas, reserved;
    uint64_t allowed_iovas, out_iova_alignment;
};
struct u_ioas_allow_iovas {
    uint32_t size, ioas_id, num_iovas, reserved;
    uint64_t allowed_iovas;
};
enum { U_MAP_FIXED = 1, U_MAP_WRITE = 2, U_MAP_READ = 4 };
struct u_ioas_map {
    uint32_t size, flags, ioas_id, reserved;
    uint64_t user_va, length, iova;
};
struct u_ioas_map_file {
    uint32_t size, flags, ioas_id;
    int32_t fd;
    uint64_t start, length, iova;
};
struct u_ioas_copy {
    uint32_t size, flags, dst_ioas_id, src_ioas_id;
    uint64_t length, dst_iova, src_iova;
};
struct u_ioas_unmap {
    uint32_t size, ioas_id;
    uint64_t iova, length;
};
struct u_ioas_noiommu_get_pa {
    uint32_t size, flags, ioas_id, reserved;
    uint64_t iova, length, out_phys;
};
struct u_ioas_change_process {
    uint32_t size, reserved;
};
enum { U_OPTION_RLIMIT_MODE = 0, U_OPTION_HUGE_PAGES = 1 };
enum { U_OPTION_SET = 0, U_OPTION_GET = 1 };
struct u_option {
    uint32_t size, option_id;
    uint16_t op, reserved;
    uint32_t object_id;
    uint64_t val64;
};
enum { U_VFIO_IOAS_GET = 0, U_VFIO_IOAS_SET = 1, U_VFIO_IOAS_CLEAR = 2 };
struct u_vfio_ioas {
    uint32_t size, ioas_id;
    uint16_t op, reserved;
};
enum {
    U_HWPT_NEST_PARENT = 1,
    U_HWPT_DIRTY_TRACKING = 2,
    U_HWPT_FAULT_ID_VALID = 4,
    U_HWPT_PASID = 8,
};
#define U_HWPT_DATA_NONE 0u
struct u_hwpt_alloc {
    uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
    uint64_t data_uptr;
    uint32_t fault_id, reserved2;
};
enum { U_HW_CAP_DIRTY = 1, U_HW_CAP_ATS_NOT_SUPPORTED = 8 };
enum { U_HW_INFO_INPUT_TYPE = 1 };
struct u_hw_info {
    uint32_t size, flags, dev_id, data_len;
    uint64_t data_uptr;
    uint32_t data_type; /* in and out */
    uint8_t out_max_pasid_log2, reserved[3];
    uint64_t out_capabilities;
};
enum { U_DIRTY_ENABLE = 1, U_DIRTY_NO_CLEAR = 1 };
struct u_hwpt_set_dirty_tracking {
    uint32_t size, flags, hwpt_id, reserved;
};
struct u_hwpt_get_dirty_bitmap {
    uint32_t size, hwpt_id, flags, reserved;
    uint64_t iova, length, page_size, data;
};
struct u_hwpt_invalidate {
    uint32_t size, hwpt_id;
    uint64_t data_uptr;
    uint32_t data_type, entry_len, entry_num, reserved;
};
enum { U_PGFAULT_PASID_VALID = 1, U_PGFAULT_LAST_PAGE = 2 };
enum { U_PGFAULT_READ = 1, U_PGFAULT_WRITE = 2 };
struct u_pgfault {
    uint32_t flags, dev_id, pasid, grpid, perm, reserved;
    uint64_t addr;
    uint32_t length, cookie;
};
enum { U_RESP_SUCCESS = 0, U_RESP_INVALID = 1 };
struct u_page_response {
    uint32_t cookie, code;
};
struct u_fault_alloc {
    uint32_t size, flags, out_fault_id, out_fault_fd;
};
struct u_viommu_alloc {
    uint32_t size, flags, type, dev_id, hwpt_id, out_viommu_id, data_len, reserved;
    uint64_t data_uptr;
};
struct u_vdevice_alloc {
    uint32_t size, viommu_id, dev_id, out_vdevice_id;
    uint64_t virt_id;
};
#define U_VEVENT_LOST 1u
struct u_vevent_header {
    uint32_t flags, sequence;
};
struct u_veventq_alloc {
    uint32_t size, flags, viommu_id, type, depth, out_id, out_fd, reserved;
};
struct u_hw_queue_alloc {
    uint32_t size, flags, viommu_id, type, index, out_id;
    uint64_t nesting_parent_iova, length;
};

/* ---- VFIO type 1 (ioctl type and numbers: vfio.h, VFIO_TYPE and VFIO_BASE) ---- */
enum {
    V_GET_API_VERSION = 100,
    V_CHECK_EXTENSION = 101,
    V_SET_IOMMU = 102,
    V_IOMMU_GET_INFO = 112,
    V_IOMMU_MAP_DMA = 113,
    V_IOMMU_UNMAP_DMA = 114,
};
enum {
    V_TYPE1 = 1,
    V_TYPE1V2 = 3,
    V_DMA_CC = 4,
    V_UNMAP_ALL = 9,
};
enum { V_MAP_READ = 1, V_MAP_WRITE = 2, V_UNMAP_FLAG_ALL = 2 };
struct v_dma_map {
    uint32_t argsz, flags;
    uint64_t vaddr, iova, size;
};
struct v_dma_unmap {
    uint32_t argsz, flags;
    uint64_t iova, size;
};
enum { V_INFO_PGSIZES = 1, V_INFO_CAPS = 2 };
struct v_info {
    uint32_t argsz, flags;
    uint64_t iova_pgsizes;
    uint32_t cap_offset, pad;
};
struct v_cap_header {
    uint16_t id, version;
    uint32_t next;
};
enum { V_CAP_IOVA_RANGE = 1, V_CAP_DMA_AVAIL = 3 };
struct v_cap_iova_range {
    struct v_cap_header header;
    uint32_t nr_iovas, reserved;
    struct u_iova_range range[];
};
struct v_cap_dma_avail {
    struct v_cap_header header;
    uint32_t avail;
};

_Static_assert(sizeof(struct u_ioas_map) == 40 && sizeof(struct u_ioas_copy) == 40 &&
                   sizeof(struct u_hwpt_alloc) == 48 && sizeof(struct u_hw_info) == 40 &&
                   sizeof(struct u_pgfault) == 40 && sizeof(struct u_hw_queue_alloc) == 40 &&
                   sizeof(struct v_info) == 24 && sizeof(struct v_cap_dma_avail) == 12,
               "the kernel's layout");

#endif
