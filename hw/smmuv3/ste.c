/* SPDX-License-Identifier: BSD-2-Clause */
/* Stream table entries and context descriptors: builders, and the planner of live changes. */
#include <hw/smmuv3/desc.h>
#include <hw/smmuv3/regs.h>

/* Output sizes as STE.S2PS, CD.IPS and IDR5.OAS encode them (IHI0070 6.3.6). */
static uint64_t size_code(unsigned bits)
{
    if (bits >= 48u) {
        return 5;
    }
    if (bits >= 44u) {
        return 4;
    }
    if (bits >= 42u) {
        return 3;
    }
    if (bits >= 40u) {
        return 2;
    }
    return bits >= 36u ? 1u : 0u;
}

static void zero(struct ste *e)
{
    for (unsigned i = 0; i < STE_WORDS; i++) {
        e->w[i] = 0;
    }
}

void ste_abort(struct ste *e)
{
    zero(e);
}

static void fill_s2(struct ste *e, const struct ste_s2 *s2)
{
    /* SHCFG: with stage 1 bypassed, the device's own attributes go into the stage-2 combination. */
    e->w[1] |= STE1_SHCFG_INCOMING | (s2->fwb ? STE1_S2FWB : 0u);
    /* R: faults are recorded. S = 0: they abort, nothing stalls. HA/HD only where IDR0.HTTU says so:
     * the caller's business. */
    e->w[2] = s2->vmid | ((uint64_t)s2->vtcr << STE2_VTCR_SHIFT) | STE2_AA64 | STE2_R |
              (s2->hw_af ? STE2_HA : 0u) | (s2->hw_dirty ? STE2_HD : 0u);
    e->w[3] = s2->ttb & STE3_S2TTB;
}

void ste_stage2(struct ste *e, const struct ste_s2 *s2)
{
    zero(e);
    fill_s2(e, s2);
    e->w[0] = STE0_V | ((uint64_t)STE_CONFIG_S2 << STE0_CONFIG_SHIFT);
}

void ste_stage1(struct ste *e, uint64_t cd_pa, bool coherent)
{
    zero(e);
    /* How the SMMU reads the descriptor: write-back and inner shareable, or not cached at all. */
    e->w[1] =
        STE1_SHCFG_INCOMING | (coherent ? STE1_S1CIR_WBRA | STE1_S1COR_WBRA | STE1_S1CSH_ISH : 0u);
    e->w[0] = STE0_V | ((uint64_t)STE_CONFIG_S1 << STE0_CONFIG_SHIFT) | (cd_pa & STE0_S1CTXPTR);
}

void ste_nested(struct ste *e, uint64_t cd_ipa, const struct ste_s2 *s2)
{
    ste_stage1(e, cd_ipa, true);
    fill_s2(e, s2);
    e->w[0] |= (uint64_t)STE_CONFIG_NESTED << STE0_CONFIG_SHIFT;
}

void cd_stage1(struct ste *cd, const struct cd_s1 *s1)
{
    zero(cd);
    /* EPD1: no second table. R, A: faults are recorded and abort (A = 1 is mandatory where
     * IDR0.TERM_MODEL = 1). ASET: this ASID is not the CPUs'. TG0 = 0: 4K. */
    cd->w[0] = (uint64_t)(64u - s1->ia_bits) | (s1->coherent ? CD0_WALK_WB : 0u) | CD0_EPD1 |
               CD0_V | (size_code(s1->oa_bits) << CD0_IPS_SHIFT) | CD0_AA64 |
               (s1->hw_dirty ? CD0_HD : 0u) | (s1->hw_af ? CD0_HA : 0u) | CD0_R | CD0_A | CD0_ASET |
               ((uint64_t)s1->asid << CD0_ASID_SHIFT);
    cd->w[1] = s1->ttb & CD1_TTB0;
    cd->w[3] = PT_ARM_MAIR;
}

/*
 * The bits that hardware may look at, given the words V and Config that it read. Where the
 * architecture says IGNORED the bit is left out; in doubt it is in (that only costs an abort).
 */
static void ste_used(const struct ste *e, struct ste *used)
{
    zero(used);
    used->w[0] = STE0_V;
    if (!(e->w[0] & STE0_V)) {
        return;
    }
    used->w[0] |= STE0_CONFIG;
    uint64_t config = FIELD(e->w[0], 3, 1);
    if (config == STE_CONFIG_ABORT) {
        return;
    }
    bool s1 = config == STE_CONFIG_S1 || config == STE_CONFIG_NESTED;
    bool s2 = config == STE_CONFIG_S2 || config == STE_CONFIG_NESTED;
    used->w[1] = ~(STE1_S1 | STE1_S2FWB);
    if (s1) {
        used->w[0] |= STE0_S1;
        used->w[1] |= STE1_S1;
        used->w[2] |= STE2_VMID; /* tags what stage 1 caches */
    }
    if (s2) {
        used->w[1] |= STE1_S2FWB;
        used->w[2] = ~(uint64_t)0;
        used->w[3] = ~(uint64_t)0;
    }
    for (unsigned i = 4; i < STE_WORDS; i++) {
        used->w[i] = ~(uint64_t)0;
    }
}

static void cd_used(const struct ste *e, struct ste *used)
{
    zero(used);
    used->w[0] = CD0_V;
    if (e->w[0] & CD0_V) {
        for (unsigned i = 0; i < STE_WORDS; i++) {
            used->w[i] = ~(uint64_t)0;
        }
    }
}

static void step(struct entry_plan *p, unsigned word, uint64_t value)
{
    p->step[p->n].word = (uint8_t)word;
    p->step[p->n].value = value;
    p->n++;
}

/* Stores every word of `to` that differs from `now`, words first .. 7, then a sync if any did. */
static void store_all(struct entry_plan *p, struct ste *now, const struct ste *to, unsigned first)
{
    unsigned before = p->n;
    for (unsigned i = first; i < STE_WORDS; i++) {
        if (now->w[i] != to->w[i]) {
            step(p, i, to->w[i]);
            now->w[i] = to->w[i];
        }
    }
    if (p->n != before) {
        step(p, ENTRY_SYNC, 0);
    }
}

void entry_plan(struct entry_plan *p, enum entry_kind kind, const struct ste *cur,
                const struct ste *tgt)
{
    struct ste now = *cur, used_now, used_tgt, mid;
    p->n = 0;
    p->hitless = true;
    if (kind == ENTRY_STE) {
        ste_used(cur, &used_now);
        ste_used(tgt, &used_tgt);
    } else {
        cd_used(cur, &used_now);
        cd_used(tgt, &used_tgt);
    }
    /* What must change under the hardware's eyes: bits that both use and that differ, and those that
     * only the new entry uses may be prepared first, unseen. */
    unsigned critical = 0, word = 0;
    for (unsigned i = 0; i < STE_WORDS; i++) {
        mid.w[i] = (now.w[i] & used_now.w[i]) | (tgt->w[i] & ~used_now.w[i]);
        if ((mid.w[i] ^ tgt->w[i]) & used_tgt.w[i]) {
            critical++;
            word = i;
        }
    }
    uint64_t v = kind == ENTRY_STE ? STE0_V : CD0_V;
    if (critical <= 1) {
        if (critical != 0) {
            /* Unseen words first, and seen by any fetch from then on: only then the one store. */
            store_all(p, &now, &mid, 0);
            step(p, word, tgt->w[word]);
            now.w[word] = tgt->w[word];
            step(p, ENTRY_SYNC, 0);
        }
        /* Left-overs that the new entry does not use. */
        store_all(p, &now, tgt, 0);
        return;
    }
    p->hitless = false;
    /* Through V = 0: off, the rest, on. A sync after each: a fetch is word by word, so an entry read
     * across two of these could otherwise mix them. */
    step(p, 0, now.w[0] & ~v);
    now.w[0] &= ~v;
    step(p, ENTRY_SYNC, 0);
    store_all(p, &now, tgt, 1);
    step(p, 0, tgt->w[0]);
    step(p, ENTRY_SYNC, 0);
}
