/* SPDX-License-Identifier: BSD-2-Clause */
/* A driver of the NVMe model, in the process that holds it: memory of 1 MiB at IOVA, commands one by one. */
#ifndef LIB_NVME_H
#define LIB_NVME_H

#include "lib_iommufd.h"

#include "iommufd/nvme.h"
#include "iommufd/vfio_uapi.h"

#define IOVA  0x100000u
#define BYTES 0x100000u
#define DATA  0x10000u /* in the memory: what lies below holds queues and lists */
#define DEPTH 4u       /* of every queue: so that they wrap often */

struct nv_rig {
    struct ctx *ctx;
    struct sw_dev *dev;
    uint32_t ioas;
    int client; /* the descriptor */
    unsigned char *mem;
    uint32_t tail[NV_QUEUES], head[NV_QUEUES], phase[NV_QUEUES];
    uint16_t cid;
    struct nv_completion last;
};
extern struct nv_rig rig;

/* A device, bound, attached, its memory mapped, bus master, not enabled. */
void nv_open(const char *spec);
void nv_close(void);
uint64_t nv_reg(uint64_t off, uint32_t len);
void nv_put(uint64_t off, uint64_t v, uint32_t len);
void nv_config(uint64_t off, uint16_t v);
/* Admin queues at pages 0 and 1, and CC.EN; ready or fatal after. */
void nv_enable(void);
/* Queue pair q with its memory at pages 2q and 2q + 1. */
void nv_pair(unsigned q);
/* Submits (the cid is filled in) and rings. */
void nv_submit(unsigned q, struct nv_command c);
/* The next completion of the queue: its status, or -1: there is none. */
int nv_reap(unsigned q);
int nv_do(unsigned q, struct nv_command c);
void *nv_at(uint64_t iova);

#endif
