/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making CPUs forget stage-2 translations (DDI0487 D8.14, D8.17). TLBI acts on the VMID in
 * VTTBR_EL2, so the tree's is loaded for the time being; only this CPU's EL2 sees that.
 *
 * IPAS2E1IS drops what stage 2 alone cached; combined stage 1 and 2 entries go by VMALLE1IS, after
 * the first has completed. Above a bound one VMALLS12E1IS does both.
 */
#include "hv.h"

#define TLB_MAX_OPS 16u

static uint64_t enter(const struct cpu_walker *w)
{
    uint64_t host;

    __asm__ volatile("mrs %0, vttbr_el2" : "=r"(host));
    if (host != w->vttbr) {
        __asm__ volatile("msr vttbr_el2, %0\n\tisb" ::"r"(w->vttbr) : "memory");
    }
    return host;
}

static void leave(const struct cpu_walker *w, uint64_t host)
{
    if (host != w->vttbr) {
        __asm__ volatile("msr vttbr_el2, %0\n\tisb" ::"r"(host) : "memory");
    }
}

/* TLBI IPAS2E1IS: IPA[47:12] in [35:0], TTL in [47:44] = granule 0b01 (4K) and level. */
static void tlbi_ipa(uint64_t ipa, uint64_t ttl)
{
    __asm__ volatile("tlbi ipas2e1is, %0" ::"r"(ipa >> PAGE_SHIFT | ttl << 44) : "memory");
}

/* TLBI RIPAS2E1IS: BaseADDR [36:0], TTL level [38:37], NUM [43:39], SCALE [45:44], TG [47:46] = 4K.
 * (NUM + 1) << (5 * SCALE + 1) pages. */
static void tlbi_range(uint64_t ipa, uint64_t num, uint64_t scale, uint64_t level)
{
    uint64_t arg =
        (ipa >> PAGE_SHIFT & ((1ul << 37) - 1)) | level << 37 | num << 39 | scale << 44 | 1ul << 46;

    __asm__ volatile("sys #4, c8, c0, #2, %0" ::"r"(arg) : "memory");
}

static void one_range(const struct pt_inv *r, bool ttl)
{
    uint64_t pages = (r->last - r->ia + 1) >> PAGE_SHIFT;
    uint64_t level = ttl && r->level <= 3 && !r->tables ? r->level : 0;
    uint64_t ia = r->ia;

    /* Small scales first: what is left is then a multiple of the next unit. An odd page is rounded
     * up: forgetting a neighbour is harmless. */
    pages = (pages + 1) & ~1ul;
    for (uint64_t scale = 0; scale < 4 && pages != 0; scale++) {
        uint64_t unit = 2ul << (5 * scale);
        uint64_t num = scale == 3 ? pages / unit : pages / unit % 32;

        if (num != 0) {
            tlbi_range(ia, num - 1, scale, level);
            ia += num * unit << PAGE_SHIFT;
            pages -= num * unit;
        }
    }
}

/* Operations that the record takes one by one; ~0: too many. */
static uint64_t step_of(const struct pt_inv *r)
{
    /* With table entries gone, or leaves of unknown sizes, any page may be cached by itself. */
    if (r->level > 3 || r->tables) {
        return PAGE_SIZE;
    }
    return PAGE_SIZE << (9 * (3u - r->level));
}

static void invalidate(struct invalidator *inv, const struct pt_gather *g)
{
    const struct cpu_walker *w = (const struct cpu_walker *)inv;
    uint64_t ops = 0;
    bool all = g->all;

    for (uint32_t i = 0; i < g->n; i++) {
        const struct pt_inv *r = &g->inv[i];
        uint64_t len = r->last - r->ia + 1;

        ops += w->range_tlbi ? 4 : len / step_of(r) + 1;
        /* 2^37 pages at most in one range operation's four scales. */
        all = all || (w->range_tlbi ? len > 1ul << 32 : len / step_of(r) > TLB_MAX_OPS);
    }
    if (!all && ops == 0) {
        return;
    }
    uint64_t host = enter(w);

    port_publish();
    if (all || ops > TLB_MAX_OPS) {
        __asm__ volatile("tlbi vmalls12e1is" ::: "memory");
    } else {
        for (uint32_t i = 0; i < g->n; i++) {
            const struct pt_inv *r = &g->inv[i];
            uint64_t step = step_of(r);

            if (r->last - r->ia + 1 > step && w->range_tlbi) {
                one_range(r, w->ttl);
                continue;
            }
            uint64_t ttl = w->ttl && r->level <= 3 && !r->tables ? 4u | r->level : 0;

            for (uint64_t ia = r->ia & ~(step - 1); ia <= r->last; ia += step) {
                tlbi_ipa(ia, ttl);
            }
        }
        __asm__ volatile("dsb ish\n\ttlbi vmalle1is" ::: "memory");
    }
    __asm__ volatile("dsb ish\n\tisb" ::: "memory");
    leave(w, host);
}

static void wait(struct invalidator *inv)
{
    (void)inv; /* invalidate() has waited: VTTBR had to stay until then */
}

void cpu_walker_init(struct cpu_walker *w, const struct pt *pt, uint16_t vmid)
{
    w->inv.issue = invalidate;
    w->inv.wait = wait;
    w->vttbr = pt->root | (uint64_t)vmid << 48;
    w->vtcr = pt_arm_vtcr(pt);
    /* Hardware updates of access flag and dirty state: VTCR_EL2.HA, HD (bits 21, 22); 16-bit VMIDs:
     * VS (bit 19). */
    w->vtcr |= pt->cfg.live.hw_af ? 1ul << 21 : 0;
    w->vtcr |= pt->cfg.live.hw_dirty ? 1ul << 22 : 0;
    w->vtcr |= hv.caps.vmid_bits == 16 ? 1ul << 19 : 0;
    w->range_tlbi = hv.caps.range_tlbi;
    w->ttl = hv.caps.ttl;
}
