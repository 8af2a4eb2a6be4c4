/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One I/O page table. What it holds is the real core's business (space/, pt/); what a device would
 * find there is read by the model's walker, which shares no code with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/iod.h"
#include "model/walk.h"
#include "port/hosted/hosted.h"
#include "tenon/frame.h"
#include "tenon/port.h"

/* Table formats, and how the hardware that walks them is set up: four levels, 48 bits in and out. */
struct format {
    struct pt_config pt;
    struct model_walk_cfg walk;
};
static const struct format formats[] = {
    [DOMAIN_ARM_S2] = { { .format = PT_ARM_S2_4K,
                          .ia_bits = 48,
                          .oa_bits = 48,
                          .live = { .bbm = 2, .hw_af = true, .hw_dirty = true } },
                        { .fmt = &model_arm,
                          .stage = 2,
                          .ia_bits = 48,
                          .oa_bits = 48,
                          .bbm = 2,
                          .ha = true,
                          .hd = true } },
    [DOMAIN_AMD_V1] = { { .format = PT_AMD_V1,
                          .ia_bits = 48,
                          .oa_bits = 48,
                          .live = { .hw_af = true, .hw_dirty = true } },
                        { .fmt = &model_amdv1,
                          .stage = 2,
                          .ia_bits = 48,
                          .oa_bits = 48,
                          .ha = true,
                          .hd = true } },
};
static const struct format *format = &formats[DOMAIN_ARM_S2];

static bool there_is(enum domain_format f)
{
    return pt_root_pages(&formats[f].pt) > 0;
}

int domains_init(uint64_t table_bytes, enum domain_format wanted)
{
    uint64_t n = table_bytes / PAGE_SIZE;
    uint64_t pa = hosted_alloc((uint32_t)n, PAGE_SIZE);
    struct frame *f = calloc(n, sizeof(*f));

    if (pa == 0 || f == NULL) {
        free(f);
        return -ENOMEM;
    }
    frames_init(pa, n, f, OWNER_HYP);
    if (frame_pool_add_tables(pa, n) != 0) {
        return -ENOMEM;
    }
    if (wanted == DOMAIN_DEFAULT) { /* AMD v1, where the engine was built with it */
        wanted = there_is(DOMAIN_AMD_V1) ? DOMAIN_AMD_V1 : DOMAIN_ARM_S2;
    }
    format = &formats[wanted];
    return there_is(wanted) ? 0 : -EOPNOTSUPP;
}

const char *domains_format(void)
{
    return format == &formats[DOMAIN_AMD_V1] ? "amd-v1" : "arm-s2";
}

/* One stage, whatever the format calls itself. */
void domains_caps(struct iommu_caps *caps)
{
    *caps = (struct iommu_caps){ .stage1 = true,
                                 .stage2 = true,
                                 .live = format->pt.live,
                                 .ia_bits = format->pt.ia_bits,
                                 .oa_bits = format->pt.oa_bits,
                                 .sid_bits = 32,
                                 .ssid_bits = PASID_BITS,
                                 .coherent = true };
}

int domain_init(struct domain *d, struct iommu *im, unsigned shift, bool can_dirty)
{
    *d = (struct domain){ .last = (1ull << (48 - shift)) - 1,
                          .pgsizes = (4096u | 1u << 21 | 1u << 30) >> shift,
                          .shift = shift,
                          .can_dirty = can_dirty };
    int err = space_init(&d->space, SPACE_IO, &format->pt);

    if (err != 0) {
        return err;
    }
    err = iommu_domain_init(im, &d->io, &d->space, OWNER_HOST, -1);
    if (err != 0) {
        space_destroy(&d->space);
    }
    return err;
}

void domain_fini(struct domain *d)
{
    if (iommu_domain_fini(&d->io) != 0) {
        port_panic("iommufd: a table goes while a device walks it");
    }
    space_destroy(&d->space);
}

int domain_map(struct domain *d, uint64_t iova, uint64_t pa, uint64_t len, bool write, bool read,
               bool small)
{
    uint32_t prot = (write ? PT_WRITE : 0) | (read || !write ? PT_READ : 0);

    if (write && d->can_dirty) {
        prot |= PT_TRACK;
    }
    d->space.max_leaf = small ? PAGE_SIZE : 0;
    return space_map(&d->space, iova << d->shift, pa << d->shift, len << d->shift, prot);
}

void domain_unmap(struct domain *d, uint64_t iova, uint64_t len)
{
    if (space_unmap(&d->space, iova << d->shift, len << d->shift) != 0) {
        port_panic("iommufd: a mapping cannot be taken away");
    }
}

/* ---- the hardware's side ---- */

static uint64_t mem_read(void *ctx, uint64_t pa, bool *ok)
{
    (void)ctx;
    *ok = pa >= HOSTED_BASE && pa < HOSTED_BASE + HOSTED_SIZE;
    return *ok ? __atomic_load_n((uint64_t *)port_va(pa), __ATOMIC_ACQUIRE) : 0;
}

static bool mem_cas(void *ctx, uint64_t pa, uint64_t *expected, uint64_t value)
{
    (void)ctx;
    return __atomic_compare_exchange_n((uint64_t *)port_va(pa), expected, value, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static const struct model_mem mem = { .read64 = mem_read, .cas64 = mem_cas };

static int walk(struct domain *d, uint64_t iova, struct model_access access, uint64_t *pa)
{
    struct model_walk_cfg cfg = format->walk;
    struct model_xlat x;

    cfg.root = d->space.pt.root;
    if (iova < d->first || iova > d->last ||
        model_walk(&cfg, &mem, iova << d->shift, access, &x) != MODEL_OK) {
        return -EFAULT;
    }
    *pa = (x.oa >> d->shift) | (iova & ((1u << (12 - d->shift)) - 1) & ~(4095ull >> d->shift));
    return 0;
}

int domain_walk(struct domain *d, uint64_t iova, unsigned access, uint64_t *pa)
{
    struct model_access a = { .what = (uint8_t)(((access & DMA_READ) != 0 ? MODEL_R : 0) |
                                                ((access & DMA_WRITE) != 0 ? MODEL_W : 0)) };

    return walk(d, iova, a, pa);
}

int domain_peek(struct domain *d, uint64_t iova, uint64_t *pa)
{
    return walk(d, iova, (struct model_access){ .spec = true, .peek = true }, pa);
}

/* ---- dirty ---- */

/* Runs of set bits, one for each page of the table from `ia`. */
static void dirty_runs(const struct domain *d, const uint64_t *bits, uint64_t ia, uint64_t first,
                       uint64_t last, void (*set)(void *, uint64_t, uint64_t), void *ctx)
{
    for (unsigned i = 0; i < 512; i++) {
        uint64_t at = ia + ((uint64_t)i << 12);

        if ((bits[i / 64] >> (i % 64) & 1) != 0 && at + PAGE_SIZE - 1 >= first && at <= last) {
            set(ctx, at >> d->shift, PAGE_SIZE >> d->shift);
        }
    }
}

int domain_dirty(struct domain *d, uint64_t iova, uint64_t len, bool keep,
                 void (*set)(void *ctx, uint64_t iova, uint64_t len), void *ctx)
{
    uint64_t first = iova << d->shift, last = ((iova + (len - 1)) << d->shift) | 1u;
    struct pt *pt = &d->space.pt;
    struct pt_leaf leaf;
    struct pt_gather g;

    pt_gather_init(&g);
    for (uint64_t ia = first; pt_next(pt, &ia, last, &leaf);) {
        if (!leaf.present || (leaf.prot & (PT_TRACK | PT_DIRTY)) != (PT_TRACK | PT_DIRTY)) {
            continue;
        }
        uint64_t from = leaf.ia > first ? leaf.ia : first, to = leaf.last < last ? leaf.last : last;

        if (keep) {
            set(ctx, from >> d->shift, ((to - from) >> d->shift) + 1);
            continue;
        }
        /* The entry may have become dirty since: what counts is what was cleared. */
        for (uint64_t at = leaf.ia; at <= leaf.last; at += PAGE_SIZE * 512) {
            uint64_t bits[8] = { 0 }, whole = leaf.last - leaf.ia + 1;
            static uint64_t big[(1u << 18) / 64];
            uint64_t *b = whole > PAGE_SIZE * 512 ? big : bits;

            memset(big, 0, b == big ? sizeof(big) : 0);
            (void)pt_dirty_read_clear(pt, leaf.ia, whole, b, PAGE_SIZE, &g);
            if (b == big) {
                set(ctx, from >> d->shift, ((to - from) >> d->shift) + 1);
                break;
            }
            dirty_runs(d, bits, at, from, to, set, ctx);
        }
    }
    if (!pt_gather_empty(&g)) {
        d->io.inv.issue(&d->io.inv, &g);
        d->io.inv.wait(&d->io.inv);
    }
    pt_gather_done(pt, &g);
    return 0;
}
