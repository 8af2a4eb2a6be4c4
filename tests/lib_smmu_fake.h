/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An SMMUv3 for tests: a register file, a command consumer and a translation path, written from
 * IHI0070 with constants of its own. It is unfriendly: it caches every stream table entry and
 * level-1 descriptor it reads, valid or not, until a CFGI command that covers it has been *synced*;
 * its TLB is the model TLB, where invalidations take effect at the sync only.
 *
 * One at a time. Linking this file replaces the driver's register accesses.
 */
#ifndef TESTS_LIB_SMMU_FAKE_H
#define TESTS_LIB_SMMU_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/phys.h"
#include "model/tlb.h"
#include "tenon/port.h"

#define FAKE_BASE ((uint64_t)0x09050000)

#define FAKE_MEMORY ((uint64_t)64 << 20) /* from HOSTED_BASE on: where it finds tables and queues */
#define FAKE_CACHE  64u
#define FAKE_LOG    4096u

/* What a stream table entry means, as hardware takes it. */
enum fake_kind { FAKE_ABORT, FAKE_S1, FAKE_S2, FAKE_NESTED, FAKE_BYPASS, FAKE_ILLEGAL };
struct fake_ste {
    uint64_t kind; /* enum fake_kind */
    uint64_t cd, s1_attr;
    uint64_t vmid, ttb, t0sz, sl0, walk_attr, tg, ps, fwb, ha, hd, stall, record, shcfg;
};
void fake_decode_ste(const uint64_t w[8], struct fake_ste *out);

struct smmu_fake {
    struct port_lock lock;
    /* identification */
    uint32_t idr0, idr1, idr3, idr5, aidr;
    /* registers */
    uint32_t cr0, cr0ack, cr1, cr2, gbpa, irq_ctrl, gerror, gerrorn, strtab_cfg;
    uint64_t strtab, cmdq, evtq;
    uint32_t cmd_prod, cmd_cons, evt_prod, evt_cons;
    /* knobs */
    bool stuck;           /* fetches no command */
    bool deaf;            /* CR0 is never acknowledged, GBPA never updated */
    unsigned lag;         /* that many reads of CONS before commands are executed */
    uint32_t ill_op;      /* this opcode is illegal .. */
    unsigned ill_times;   /* .. so many times */
    unsigned abort_times; /* command fetches that fail */
    uint32_t lost_cons;   /* added to CONS: hardware gone mad */
    /* what was seen */
    struct {
        uint64_t w[2];
    } log[FAKE_LOG];
    uint64_t cmds, syncs, prod_writes, reads, writes;
    unsigned waited;
    const char *wrong; /* first thing that no SMMU may be asked */
    /* caches */
    struct {
        bool used, stale; /* stale: a CFGI covers it, no sync yet */
        uint32_t sid;
        uint64_t ste[8], cd[8];
        bool cd_read, cd_stale;
    } cfg[FAKE_CACHE];
    struct {
        bool used, stale;
        uint32_t sid, ssid;
        uint64_t cd[8];
    } cds[FAKE_CACHE]; /* descriptors of transactions with a PASID */
    struct {
        bool used, stale;
        uint32_t index;
        uint64_t desc;
    } l1[FAKE_CACHE];
    struct model_phys phys;
    struct model_mem mem;
    struct model_tlb *tlb;
};

/* Registers as out of reset (GBPA: bypass), identification as QEMU's default. */
void fake_open(struct smmu_fake *f);
void fake_close(struct smmu_fake *f);

/* A device's access. True: *pa is where it goes. False: aborted, and recorded if the queue is on. */
bool fake_dma(struct smmu_fake *f, uint32_t sid, uint64_t iova, bool write, uint64_t *pa);
/* With a PASID (SubstreamID); -1: without. */
bool fake_dma_pasid(struct smmu_fake *f, uint32_t sid, int pasid, uint64_t iova, bool write,
                    uint64_t *pa);
/* An event from outside the translation path. */
void fake_event(struct smmu_fake *f, const uint64_t w[4]);

#endif
