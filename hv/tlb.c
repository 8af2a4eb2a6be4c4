/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making CPUs forget stage-2 translations (DDI0487 D8.14, D8.17). TLBI acts on the VMID in
 * VTTBR_EL2, so the tree's is loaded for the time being; only this CPU's EL2 sees that.
 *
 * IPAS2E1IS drops what stage 2 alone cached; combined stage 1 and 2 entries go by VMALLE1IS, after
 * the first has completed. Above a bound one VMALLS12E1IS does both. (FEAT_TLBIRANGE would save some
 * of the first kind; the second drops more in any case.)
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

/* How far apart the operations for this record are. */
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

        ops += (r->last - r->ia) / step_of(r) + 1;
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
    w->ttl = hv.caps.ttl;
}
