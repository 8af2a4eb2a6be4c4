/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A small polling NVMe driver: one I/O queue pair, no interrupts (NVM Express base specification
 * 2.0: registers 3.1, submission entry 3.3.3.1, PRPs 4.1.1, identify etc. not needed). Queues and PRP
 * lists lie in the VM's own memory, in the same leaves as all else.
 */
#include "payload.h"

#define ADMIN_DEPTH   16u
#define REG_CAP       0x00u
#define REG_CC        0x14u
#define REG_CSTS      0x1cu
#define REG_AQA       0x24u
#define REG_ASQ       0x28u
#define REG_ACQ       0x30u
#define REG_DOORBELLS 0x1000u

struct command {
    uint32_t dw0, nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
struct completion {
    uint32_t dw0, dw1, sq, status; /* status: command id [15:0], phase [16], status [31:17] */
};
_Static_assert(sizeof(struct command) == 64 && sizeof(struct completion) == 16, "NVMe 3.3.3");

struct queue {
    volatile struct command *sq;
    volatile struct completion *cq;
    uint32_t depth, tail, head, phase, id;
};

bool nvme_there;
static uint64_t regs;
static uint32_t stride;
static struct command admin_sq[ADMIN_DEPTH] __attribute__((aligned(4096)));
static struct completion admin_cq[ADMIN_DEPTH] __attribute__((aligned(4096)));
static struct command io_sq[NVME_DEPTH] __attribute__((aligned(4096)));
static struct completion io_cq[NVME_DEPTH] __attribute__((aligned(4096)));
static uint64_t prp_list[NVME_DEPTH][PAGE / 8] __attribute__((aligned(4096)));
static struct queue admin = { .sq = admin_sq, .cq = admin_cq, .depth = ADMIN_DEPTH, .phase = 1 };
static struct queue io = { .sq = io_sq, .cq = io_cq, .depth = NVME_DEPTH, .phase = 1, .id = 1 };

static uint32_t get32(uint64_t r)
{
    return *(volatile uint32_t *)(regs + r);
}

static void put32(uint64_t r, uint32_t v)
{
    *(volatile uint32_t *)(regs + r) = v;
}

static void put64(uint64_t r, uint64_t v)
{
    *(volatile uint64_t *)(regs + r) = v;
}

static uint64_t doorbell(const struct queue *q, bool completion)
{
    return REG_DOORBELLS + (2ul * q->id + completion) * stride;
}

static volatile struct command *next_entry(struct queue *q)
{
    volatile struct command *e = &q->sq[q->tail];

    q->tail = (q->tail + 1) % q->depth;
    e->reserved = e->metadata = 0;
    e->dw13 = e->dw14 = e->dw15 = 0;
    return e;
}

static void ring(struct queue *q)
{
    __asm__ volatile("dsb st" ::: "memory");
    put32(doorbell(q, false), q->tail);
}

static bool next_completion(struct queue *q, uint32_t *id, uint32_t *status)
{
    uint32_t v = q->cq[q->head].status;

    if ((v >> 16 & 1) != q->phase) {
        return false;
    }
    __asm__ volatile("dsb ld" ::: "memory"); /* the data is older than the phase */
    *id = v & 0xffff;
    *status = v >> 17;
    if (++q->head == q->depth) {
        q->head = 0;
        q->phase ^= 1;
    }
    return true;
}

static bool wait_ready(uint32_t ready)
{
    uint64_t end = ticks() + 5000 * ticks_per_ms();

    while ((get32(REG_CSTS) & 1) != ready) {
        if (ticks() > end) {
            return false;
        }
    }
    return true;
}

static bool admin_command(uint32_t op, uint64_t prp1, uint32_t dw10, uint32_t dw11)
{
    volatile struct command *e = next_entry(&admin);
    uint64_t end = ticks() + 5000 * ticks_per_ms();
    uint32_t id, status;

    e->dw0 = op;
    e->nsid = 0;
    e->prp1 = prp1;
    e->prp2 = 0;
    e->dw10 = dw10;
    e->dw11 = dw11;
    e->dw12 = 0;
    ring(&admin);
    while (!next_completion(&admin, &id, &status)) {
        if (ticks() > end) {
            return false;
        }
    }
    put32(doorbell(&admin, true), admin.head);
    return status == 0;
}

bool nvme_start(void)
{
    struct call dev = { { TN_GUEST_DEVICE } };

    for (uint64_t i = 0; !nvme_there; i++) {
        dev = (struct call){ { TN_GUEST_DEVICE, i } };
        hvc(&dev);
        if ((int64_t)dev.x[0] < 0) {
            return false;
        }
        nvme_there = dev.x[3] == 0x010802;
    }
    nvme_there = false;
    regs = dev.x[1];
    if (regs == 0) {
        return false;
    }
    stride = 4u << (*(volatile uint64_t *)(regs + REG_CAP) >> 32 & 15); /* CAP.DSTRD */
    put32(REG_CC, 0);
    if (!wait_ready(0)) {
        return false;
    }
    put32(REG_AQA, (ADMIN_DEPTH - 1) << 16 | (ADMIN_DEPTH - 1));
    put64(REG_ASQ, (uint64_t)admin_sq);
    put64(REG_ACQ, (uint64_t)admin_cq);
    __asm__ volatile("dsb sy" ::: "memory");
    put32(REG_CC, 4u << 20 | 6u << 16 | 1); /* IOCQES 16, IOSQES 64, EN */
    /* Create I/O completion queue 1 (physically contiguous, no interrupt), then submission queue 1. */
    nvme_there = wait_ready(1) &&
                 admin_command(5, (uint64_t)io_cq, (NVME_DEPTH - 1) << 16 | 1, 1) &&
                 admin_command(1, (uint64_t)io_sq, (NVME_DEPTH - 1) << 16 | 1, 1u << 16 | 1);
    return nvme_there;
}

void nvme_queue(bool write, uint32_t slot, uint64_t lba, const uint64_t *page, uint32_t n)
{
    volatile struct command *e = next_entry(&io);

    for (uint32_t i = 1; i < n; i++) {
        prp_list[slot][i - 1] = page[i];
    }
    e->dw0 = (write ? 1u : 2u) | slot << 16;
    e->nsid = 1;
    e->prp1 = page[0];
    e->prp2 = n == 1 ? 0 : n == 2 ? page[1] : (uint64_t)prp_list[slot];
    e->dw10 = (uint32_t)lba;
    e->dw11 = (uint32_t)(lba >> 32);
    e->dw12 = n * (PAGE / 512) - 1;
}

void nvme_ring(void)
{
    ring(&io);
}

bool nvme_next(uint32_t *slot, uint32_t *status)
{
    return next_completion(&io, slot, status);
}

void nvme_done(void)
{
    put32(doorbell(&io, true), io.head);
}
