/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO's device interface (include/uapi/linux/vfio.h of the kernel), in our own words. */
#ifndef IOMMUFD_VFIO_UAPI_H
#define IOMMUFD_VFIO_UAPI_H

#include <stdint.h>

enum {
    V_GROUP_GET_STATUS = 103,
    V_GROUP_SET_CONTAINER = 104,
    V_GROUP_UNSET_CONTAINER = 105,
    V_GROUP_GET_DEVICE_FD = 106,
    V_DEVICE_GET_INFO = 107,
    V_DEVICE_GET_REGION_INFO = 108,
    V_DEVICE_GET_IRQ_INFO = 109,
    V_DEVICE_SET_IRQS = 110,
    V_DEVICE_RESET = 111,
    V_DEVICE_BIND = 118,
    V_DEVICE_ATTACH = 119,
    V_DEVICE_DETACH = 120,
};
enum { V_DEVICE_FLAG_RESET = 1, V_DEVICE_FLAG_PCI = 2 };
enum { V_REGION_READ = 1, V_REGION_WRITE = 2, V_REGION_MMAP = 4 };
enum { V_GROUP_VIABLE = 1, V_GROUP_CONTAINER_SET = 2 };
enum { V_IRQ_EVENTFD = 1, V_IRQ_MASKABLE = 2, V_IRQ_AUTOMASKED = 4, V_IRQ_NORESIZE = 8 };
enum { V_INTX, V_MSI, V_MSIX };
enum {
    V_SET_NONE = 1,
    V_SET_BOOL = 2,
    V_SET_EVENTFD = 4,
    V_SET_MASK = 8,
    V_SET_UNMASK = 16,
    V_SET_TRIGGER = 32,
    V_SET_DATA = 7,
    V_SET_ACTION = 56,
};
#define V_REGIONS      9u
#define V_REGION_SHIFT 40u
#define V_CONFIG       7u
#define V_PASID_FLAG   1u

struct v_group_status {
    uint32_t argsz, flags;
};
struct v_device_info {
    uint32_t argsz, flags, regions, irqs, cap_offset, pad;
};
struct v_region_info {
    uint32_t argsz, flags, index, cap_offset;
    uint64_t size, offset;
};
struct v_irq_info {
    uint32_t argsz, flags, index, count;
};
struct v_irq_set {
    uint32_t argsz, flags, index, start, count;
};
struct v_bind {
    uint32_t argsz, flags;
    int32_t iommufd;
    uint32_t out_devid;
};
struct v_attach {
    uint32_t argsz, flags, pt_id, pasid;
};
struct v_detach {
    uint32_t argsz, flags, pasid;
};

#endif
