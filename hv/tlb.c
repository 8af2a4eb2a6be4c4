/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making CPUs forget stage-2 translations (DDI0487 D8.14, D8.17). TLBI acts on the VMID in
 * VTTBR_EL2, so the tree's is loaded for the time being; only this CPU's EL2 sees that.
 *
 * One VMALLS12E1IS for any change: entries of stage 1 and 2 combined, which is what CPUs mostly keep,
 * can only be dropped for the whole VMID in any case (VMALLE1IS, after IPAS2E1IS has completed), and
 * one broadcast costs less than two and what the second leaves standing.
 */
#include "hv.h"
#include "sysreg.h"

static uint64_t enter(const struct cpu_walker *w)
{
    uint64_t host = rd(vttbr_el2);

    if (host != w->vttbr) {
        wr(vttbr_el2, w->vttbr);
        isb();
    }
    return host;
}

static void leave(const struct cpu_walker *w, uint64_t host)
{
    if (host != w->vttbr) {
        wr(vttbr_el2, host);
        isb();
    }
}

static void invalidate(struct invalidator *inv, const struct pt_gather *g)
{
    const struct cpu_walker *w = (const struct cpu_walker *)inv;

    if (pt_gather_empty(g)) {
        return;
    }
    uint64_t host = enter(w);

    port_publish();
    __asm__ volatile("tlbi vmalls12e1is\n\tdsb ish\n\tisb" ::: "memory");
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
}
