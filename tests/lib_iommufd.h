/* SPDX-License-Identifier: BSD-2-Clause */
/* The iommufd server's calls, made by this process on its own memory, without a front between. */
#ifndef LIB_IOMMUFD_H
#define LIB_IOMMUFD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first */
#include <cmocka.h>

#include "iommufd/iod.h"
#include "iommufd/test_uapi.h"

extern struct mm *lib_mm; /* this process */
int lib_setup(void **state);
/* The system call: its result or -errno. A descriptor that comes back is in lib_fd. */
int io(struct ctx *c, unsigned nr, void *arg);
extern int lib_fd;
/* Calls that must work. */
uint32_t io_ioas(struct ctx *c);
uint32_t io_device(struct ctx *c, uint32_t pt_id, uint32_t *hwpt, uint32_t *dev);
int io_map(struct ctx *c, uint32_t ioas, void *va, uint64_t len, uint64_t iova, uint32_t flags);
int io_unmap(struct ctx *c, uint32_t ioas, uint64_t iova, uint64_t len);
int io_destroy(struct ctx *c, uint32_t id);
void *io_shared(uint64_t len);
uint64_t io_page(const void *va);
#define RW_FIXED (U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE)

#endif
