/* SPDX-License-Identifier: BSD-2-Clause */
/* See lib_smmu_rig.h. */
#include "tests/lib_smmu_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/frame_table.h"
#include "port/hosted/hosted.h"
#include "tenon/frame.h"

struct smmu_fake fake;
struct smmuv3 smmu;
static struct frame *frames;
static uint64_t mem, mem_pages;

int rig_start(void)
{
    struct smmuv3_mem need;
    int err = smmuv3_mem_need(FAKE_BASE, &need);
    if (err != 0) {
        return err;
    }
    assert_int_equal(need.align & (need.align - 1), 0);
    assert_true(need.align >= PAGE_SIZE && (need.bytes & (PAGE_SIZE - 1)) == 0);
    mem_pages = need.bytes >> PAGE_SHIFT;
    mem = hosted_alloc((uint32_t)mem_pages, need.align);
    assert_true(mem != 0);
    memset(port_va(mem), 0xee, need.bytes);
    err = smmuv3_init(&smmu, FAKE_BASE, mem, need.bytes, VMID_FIRST);
    smmu.timeout_ns = 60000000000u; /* a loaded machine is no dead SMMU */
    return err;
}

int rig_setup(void **state)
{
    (void)state;
    hosted_log_quiet(true);
    fake_open(&fake);
    frames = calloc(FAKE_MEMORY >> PAGE_SHIFT, sizeof(*frames));
    frames_init(HOSTED_BASE, FAKE_MEMORY >> PAGE_SHIFT, frames, OWNER_HYP);
    frame_pools_reset();
    uint64_t pa = hosted_alloc(TABLES, TABLES * PAGE_SIZE);
    assert_int_equal(frame_pool_add_tables(pa, TABLES), 0);
    return 0;
}

int rig_teardown(void **state)
{
    (void)state;
    const char *wrong = fake.wrong;
    fake_close(&fake);
    frame_pools_reset();
    free(frames);
    if (wrong) {
        fprintf(stderr, "the SMMU was asked something impossible: %s\n", wrong);
    }
    return wrong != NULL;
}

/* ---- trees and domains ---- */

void tree(struct space *s, bool stage1)
{
    struct pt_config c = {
        .format = stage1 ? PT_ARM_S1_4K : PT_ARM_S2_4K,
        .ia_bits = 39,
        .oa_bits = smmu.im.caps.oa_bits,
        .start_level = 1,
        .live = smmu.im.caps.live,
        .incoherent = !smmu.im.caps.coherent,
    };
    memset(s, 0, sizeof(*s));
    int n = pt_root_pages(&c);
    assert_true(n > 0);
    uint64_t root = frame_tables_root((uint32_t)n);
    assert_true(root != 0);
    assert_int_equal(pt_init(&s->pt, &c, root), 0);
}

void map(struct space *s, uint64_t ia, uint64_t oa, uint64_t len)
{
    struct pt_pool p = { 0 };
    uint32_t prot = RW | (s->pt.cfg.format == PT_ARM_S1_4K ? (uint32_t)PT_USER : 0u);
    uint32_t need;
    assert_int_equal(pt_need_map(&s->pt, ia, oa, len, 0, &need), 0);
    assert_int_equal(frame_tables_reserve(&p, need), 0);
    assert_int_equal(pt_map(&s->pt, ia, oa, len, prot, 0, &p), 0);
    frame_tables_release(&p);
}

void unmap(struct iommu_domain *d, uint64_t ia, uint64_t len)
{
    struct pt_gather g;
    pt_gather_init(&g);
    assert_int_equal(pt_unmap(&d->space->pt, ia, len, &g), 0);
    d->inv.issue(&d->inv, &g);
    d->inv.wait(&d->inv);
    pt_gather_done(&d->space->pt, &g);
    frame_tables_release(&g.freed);
}

int domain(struct iommu_domain *d, struct space *s, owner_t owner, uint16_t tag)
{
    memset(d, 0, sizeof(*d));
    d->space = s;
    d->owner = owner;
    d->tag = tag;
    return smmu.im.ops->domain_init(&smmu.im, d);
}

bool dma(uint32_t sid, uint64_t iova, uint64_t *pa)
{
    *pa = ~(uint64_t)0;
    return fake_dma(&fake, sid, iova, true, pa);
}

bool event(struct iommu_event *ev)
{
    return smmu.im.ops->next_event(&smmu.im, ev);
}

int attach(uint32_t sid, struct iommu_domain *d)
{
    return smmu.im.ops->attach(&smmu.im, sid, d);
}

void detach(uint32_t sid)
{
    smmu.im.ops->detach(&smmu.im, sid);
}

void fini(struct iommu_domain *d)
{
    smmu.im.ops->domain_fini(&smmu.im, d);
}
