/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pure builders of what the SMMU reads: stream table entries, context descriptors, commands; and
 * the one planner of stores to a live entry. No memory and no register is touched here.
 */
#ifndef TENON_HW_SMMUV3_DESC_H
#define TENON_HW_SMMUV3_DESC_H

#include <stdbool.h>
#include <stdint.h>
#include <tenon/pt.h>

struct ste { /* IHI0070 5.2; also a context descriptor (5.4): both are 8 words */
    uint64_t w[8];
};

/* V = 0: every transaction is aborted, and reported as C_BAD_STE. */
void ste_abort(struct ste *e);
/* Stage 2 only (Config 0b110). vtcr: STE bits [178:160] as pt_arm_ste_s2vtcr() gives them. */
struct ste_s2 {
    uint16_t vmid;
    uint32_t vtcr;
    uint64_t ttb;
    bool fwb, hw_af, hw_dirty;
};
void ste_stage2(struct ste *e, const struct ste_s2 *s2);
/* Stage 1 only (Config 0b101) through one context descriptor; `vmid` 0 where there is no stage 2. */
void ste_stage1(struct ste *e, uint64_t cd_pa, bool coherent);
/* Both stages (Config 0b111): stage 1 is the guest's (context descriptor at an IPA), stage 2 ours. */
void ste_nested(struct ste *e, uint64_t cd_ipa, const struct ste_s2 *s2);

struct cd_s1 {
    uint16_t asid;
    uint8_t ia_bits, oa_bits;
    uint64_t ttb;
    bool hw_af, hw_dirty, coherent;
};
void cd_stage1(struct ste *cd, const struct cd_s1 *s1);

/*
 * The order of stores that takes a live entry from `cur` to `tgt`, such that hardware reading single
 * words at any time and caching anything until an invalidation sees only `cur`, `tgt`, or an entry
 * with V = 0. Steps with word == ENTRY_SYNC mean: invalidate the cached entry and wait.
 * If no more than one word differs among what both entries use, there is no V = 0 in between.
 */
#define ENTRY_SYNC  0xffu
#define ENTRY_STEPS 24u
enum entry_kind { ENTRY_STE, ENTRY_CD };
struct entry_plan {
    struct {
        uint8_t word;
        uint64_t value;
    } step[ENTRY_STEPS];
    unsigned n;
    bool hitless;
};
void entry_plan(struct entry_plan *p, enum entry_kind kind, const struct ste *cur,
                const struct ste *tgt);

struct cmd {
    uint64_t w[2];
};
struct cmd cmd_cfgi_ste(uint32_t sid, bool leaf);
struct cmd cmd_cfgi_ste_range(uint32_t sid, unsigned log2); /* 2^log2 aligned stream ids */
struct cmd cmd_cfgi_all(void);
struct cmd cmd_cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf);
struct cmd cmd_tlbi_s12_vmall(uint16_t vmid);
struct cmd cmd_tlbi_nh_all(uint16_t vmid);
struct cmd cmd_tlbi_nh_asid(uint16_t vmid, uint16_t asid);
struct cmd cmd_tlbi_nsnh_all(void);
struct cmd cmd_tlbi_el2_all(void);
struct cmd cmd_sync(void);
/* Answer a stalled transaction (4.6): retry it, or abort it. */
struct cmd cmd_resume(uint32_t sid, uint16_t stag, bool retry);

/* Which translations an address range invalidation is about. */
struct tlbi_scope {
    bool stage1; /* TLBI_NH_VA by vmid and asid, else TLBI_S2_IPA by vmid */
    bool range;  /* IDR3.RIL */
    uint16_t vmid, asid;
};
/* One command. pages == 0: no range fields, the translations of `ia`, at whatever level. Otherwise
 * pages is (num + 1) << scale and level a TTL hint (1..3) or 0. */
struct cmd cmd_tlbi_addr(const struct tlbi_scope *t, uint64_t ia, unsigned num, unsigned scale,
                         unsigned ttl, bool range, bool leaf);
/*
 * Commands that invalidate [ia, last] (record of a gather) into out[max]. 0: more than max would be
 * needed, invalidate the whole tag instead. Covers the range exactly, widened to whole leaves where
 * a level is known.
 */
#define TLBI_MAX 16u
unsigned tlbi_commands(const struct tlbi_scope *t, const struct pt_inv *r, struct cmd *out,
                       unsigned max);
struct cmd tlbi_everything(const struct tlbi_scope *t);

#endif
