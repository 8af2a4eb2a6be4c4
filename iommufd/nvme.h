/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An NVMe controller with one namespace. Clauses are those of the NVM Express Base Specification,
 * revision 1.4. From the outside in: nvme.c (registers, doorbells, reset), nvme_queue.c (commands in,
 * completions out), nvme_admin.c, nvme_io.c (the commands), nvme_prp.c (where their data is).
 */
#ifndef IOMMUFD_NVME_H
#define IOMMUFD_NVME_H

#include "iommufd/swdev.h"

#define NV_QUEUES    16u   /* pairs, the admin one among them; one MSI-X vector for each */
#define NV_ENTRIES   1024u /* of a queue, at most */
#define NV_MDTS      5u    /* a transfer is at most 2^5 pages of 4 KiB */
#define NV_MAX_BYTES (PG << NV_MDTS)
#define NV_EVENTS    4u /* Asynchronous Event Requests that may be outstanding */
#define NV_ERRORS    4u /* entries of the error log */
#define NV_MPS_MAX   4u /* memory pages of up to 64 KiB */
#define NV_DOORBELLS 0x1000u
#define NV_TABLE     0x2000u /* MSI-X */
#define NV_PBA       0x3000u
#define NV_BAR       0x4000u

/* Status codes (4.6.1.2), with their type in bits 10:8. */
enum {
    NV_OK = 0,
    NV_INVALID_OPCODE = 0x01,
    NV_INVALID_FIELD = 0x02,
    NV_DATA_TRANSFER = 0x04,
    NV_ABORTED = 0x07,
    NV_INVALID_NS = 0x0b,
    NV_SEQUENCE = 0x0c,
    NV_PRP_OFFSET = 0x13,
    NV_LBA_RANGE = 0x80,
    NV_CQ_INVALID = 0x100,
    NV_QUEUE_ID = 0x101,
    NV_QUEUE_SIZE = 0x102,
    NV_EVENT_LIMIT = 0x105,
    NV_VECTOR = 0x108,
    NV_LOG_PAGE = 0x109,
    NV_QUEUE_DELETION = 0x10c,
    NV_NOT_SAVEABLE = 0x10d,
    NV_WRITE_FAULT = 0x280,
    NV_READ_ERROR = 0x281,
    NV_COMPARE = 0x285,
    NV_LATER = 0x10000, /* not a status: there is no completion now (an event request) */
};

struct nv_command { /* 4.2, figure 105 */
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
struct nv_completion { /* 4.6, figures 122 to 124 */
    uint32_t result, reserved;
    uint16_t head, sq, cid, status; /* status: bit 0 is the phase */
};
_Static_assert(sizeof(struct nv_command) == 64 && sizeof(struct nv_completion) == 16, "4.2, 4.6");

struct nv_sq {
    bool live;
    uint16_t cq;
    uint64_t base;
    uint32_t size, head, tail;
};
struct nv_cq {
    bool live, phase, interrupts, signal; /* signal: something was posted since the last one */
    uint16_t vector;
    uint64_t base;
    uint32_t size, head, tail, users;
};
enum nv_stage { NV_IDLE, NV_FETCH, NV_EXECUTE, NV_POST };

struct nvme {
    struct sw_dev *dev;
    /* BAR 0: what programs see and write; and what of it has been taken notice of. */
    unsigned char *bar;
    int bar_fd;
    uint32_t cc, csts, aqa, mask;
    uint64_t asq, acq;
    uint32_t bell[1024];
    /* queues; one command is worked on at a time, in steps that can wait for a page */
    struct nv_sq sq[NV_QUEUES];
    struct nv_cq cq[NV_QUEUES];
    enum nv_stage stage;
    bool waiting, scheduled, running;
    unsigned turn, now; /* whose turn it is next; the queue of the command */
    struct nv_command cmd;
    struct nv_completion done;
    char what[64]; /* the access that is made, for the sanitizer */
    /* asynchronous events (5.2), and completions that belong to no command being worked on */
    uint16_t event[NV_EVENTS];
    unsigned events;
    uint8_t happened; /* bit 0: a write to no doorbell, bit 1: a wrong value */
    bool quiet;       /* told of one: no more until the log was read */
    struct nv_completion extra[NV_EVENTS];
    unsigned extras;
    struct {
        uint64_t count;
        uint16_t sq, cid, status;
        uint64_t lba;
        uint32_t nsid;
    } error[NV_ERRORS];
    uint64_t errors;
    uint32_t feature[16], vector_config[NV_QUEUES];
    /* the namespace */
    int disk;
    uint64_t blocks;
    unsigned shift;
    uint64_t read_bytes, written_bytes, reads, writes;
    unsigned char buf[NV_MAX_BYTES], other[NV_MAX_BYTES];
};

/* ---- nvme.c ---- */
uint32_t nv_page(const struct nvme *n); /* memory page size (CC.MPS) */
void nv_fatal(struct nvme *n);          /* CSTS.CFS: nothing more until it is reset */
void nv_bell_clear(struct nvme *n, unsigned queue, bool completion);

/* ---- nvme_queue.c ---- */
void nv_run(struct sw_dev *d);
void nv_kick(struct nvme *n); /* there may be something to do, after the DMA delay */
void nv_response(struct sw_dev *d, bool success);
bool nv_intx(struct sw_dev *d);
void nv_bell(struct nvme *n, unsigned index, uint32_t value);
void nv_queues_off(struct nvme *n);
void nv_error(struct nvme *n, uint16_t sq, uint16_t cid, uint16_t status, uint64_t lba,
              uint32_t ns);
void nv_events(struct nvme *n); /* tells of what happened, if somebody asked */
/* 0, -EAGAIN (a page was asked for: begin the step again), -EFAULT. */
int nv_dma(struct nvme *n, uint64_t iova, void *buf, uint32_t len, bool write, const char *what);

/* ---- nvme_prp.c: a status, or -EAGAIN ---- */
int nv_transfer(struct nvme *n, const struct nv_command *c, void *buf, uint32_t len, bool to_host);

/* ---- nvme_admin.c, nvme_io.c: a status, or -EAGAIN; *result: dword 0 of the completion ---- */
int nv_admin(struct nvme *n, const struct nv_command *c, uint32_t *result);
int nv_io(struct nvme *n, const struct nv_command *c);

#endif
