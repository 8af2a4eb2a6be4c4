/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model TLB: one per agent (a CPU, or an SMMU with its devices). It is as unfriendly as the
 * architecture allows:
 * - it caches leaves and table pointers of every level, and several sizes and contents at once;
 * - it may walk any address at any moment, and a walk may take its time while tables change;
 * - a translation may come from any cached leaf, from any cached table pointer or from the root;
 * - an invalidation takes effect at some moment between its issue and the end of the next sync,
 *   and several of one batch take effect in any order;
 * - it removes what the architecture requires and nothing more: level hints, leaf-only, VMID,
 *   ASID and stage are honoured strictly (inv.c has the clauses);
 * - a leaf of several entries (contiguous bit, NAPOT, AMD's encoded sizes) is cached whole or in
 *   pieces of one entry, so that an invalidation must cover all of it.
 *
 * All calls are thread-safe. One seed gives one behaviour (in a single thread).
 */
#ifndef MODEL_TLB_H
#define MODEL_TLB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "walk.h"

enum model_tlb_mode {
    MODEL_TLB_NEVER_EVICTS, /* serves the oldest leaf; else the deepest, oldest table pointer */
    MODEL_TLB_RANDOM,       /* evicts at random, serves from anything that matches */
    MODEL_TLB_NONE,         /* caches nothing */
};

/* When a queued invalidation takes effect. */
enum model_tlb_apply {
    MODEL_APPLY_RANDOM,  /* at any moment up to the sync */
    MODEL_APPLY_AT_SYNC, /* never before: the old can be used as long as allowed */
    MODEL_APPLY_AT_ONCE, /* at its issue: what is filled between issue and sync may stay */
};

struct model_tlb_cfg {
    enum model_tlb_mode mode;
    enum model_tlb_apply apply;
    uint64_t seed;
    uint8_t spec_rate;  /* of 256: chance of a speculative walk at each call */
    uint8_t evict_rate; /* of 256: chance of an eviction at each call; RANDOM only */
    bool no_pointers;   /* caches leaves only */
    /* Caches stage 2 results also as combined stage 1 and 2 entries, as a CPU does whose guest has
     * stage 1 off: an invalidation by IPA does not touch them, one of stage 1 by VMID does. */
    bool combined;
};

/* Who translates: a tree and its tags. */
struct model_ctx {
    struct model_walk_cfg walk;
    const struct model_mem *mem; /* must outlive the TLB */
    uint16_t vmid, asid;
};

/*
 * What an invalidation is about. The names are those of Arm's CPU / SMMU commands; of the others:
 * - x86 CPU: INVLPG; INVPCID 0 S1_ADDR with spare_global, 1 S1_ASID, 2 and 3 S1_VMID; MOV to CR3
 *   S1_ASID. vmid: the VPID, 0 for the host.
 * - EPT: INVEPT single-context S2_VMID, global ALL: no addresses. INVVPID S1_VMID: guest-physical
 *   entries stay. vmid: the EPTP.
 * - AMD nested paging: a flush by ASID (TLB_CONTROL) VMID. INVLPGA is INVLPG with the ASID as vmid: it
 *   goes by the guest's virtual address, and nested entries stay.
 * - VT-d IOTLB: global ALL, domain-selective VMID, page-selective model_inv_vtd_page(); PASID-based:
 *   PASID-selective S1_ASID, page-selective model_inv_vtd_pasid_page(). vmid: the domain, asid: PASID.
 * - AMD IOMMU: INVALIDATE_IOMMU_PAGES model_inv_amd_pages().
 * - RISC-V: SFENCE.VMA, IOTINVAL.VMA with an address model_inv_riscv_vma(), else S1_ASID or S1_VMID;
 *   HFENCE.GVMA, IOTINVAL.GVMA with an address model_inv_riscv_gvma(), else S2_VMID. With an address
 *   they reach leaves only: after a change of a pointer no address is enough.
 */
enum model_inv_kind {
    MODEL_INV_S1_ADDR, /* VAE1, VAAE1 / NH_VA, NH_VAA */
    MODEL_INV_S1_ASID, /* ASIDE1 / NH_ASID */
    MODEL_INV_S1_VMID, /* VMALLE1 / NH_ALL: stage 1 and combined entries */
    MODEL_INV_S2_ADDR, /* IPAS2E1 / S2_IPA: stage 2 entries only */
    MODEL_INV_VMID,    /* VMALLS12E1 / S12_VMALL */
    MODEL_INV_ALL,     /* ALLE1 / NSNH_ALL */
    MODEL_INV_S2_VMID, /* stage 2 and combined entries */
    MODEL_INV_INVLPG,  /* leaves of one page, global ones too; all pointers of the PCID */
};

struct model_inv {
    enum model_inv_kind kind;
    uint64_t ia, len; /* by address: len 0 is the form without a range: any entry with ia in it */
    uint16_t vmid, asid;
    bool any_asid;      /* by VA: all ASIDs */
    bool spare_global;  /* by VA: global entries stay */
    bool combined;      /* by IPA: combined entries go too */
    bool leaf_only;     /* by address: table pointers stay */
    uint8_t level_hint; /* by address: 0 none; L: leaves of level L, pointers of levels below L */
    uint8_t hint_shift; /* 0, or log2 of a leaf at level_hint: a range with a hint and a start that
                            is not so aligned is UNPREDICTABLE, taken here as "removes nothing" */
};

/* Shorthands; Arm's are for a 4 KiB granule until model_inv_granule() sets another (log2). */
struct model_inv model_inv_s2(uint16_t vmid, uint64_t ia, uint64_t len, uint8_t level_hint,
                              bool leaf_only);
struct model_inv model_inv_s1(uint16_t vmid, uint16_t asid, uint64_t ia, uint64_t len,
                              uint8_t level_hint, bool leaf_only);
void model_inv_granule(struct model_inv *inv, uint8_t granule);
struct model_inv model_inv_invlpg(uint16_t vmid, uint16_t pcid, uint64_t ia);
/* 2^am pages, from ia rounded down to that size; ih: only leaves are removed. */
struct model_inv model_inv_vtd_page(uint16_t did, uint64_t ia, uint8_t am, bool ih);
struct model_inv model_inv_vtd_pasid_page(uint16_t did, uint16_t pasid, uint64_t ia, uint8_t am,
                                          bool ih);
/* address and s as in the command: with s, the lowest zero from bit 12 on is half of the size, and
 * 0x7ffffffffffff000 is everything. Without pde only leaves are removed. */
struct model_inv model_inv_amd_pages(uint16_t domain, uint64_t address, bool s, bool pde);
struct model_inv model_inv_riscv_vma(uint16_t vmid, uint16_t asid, bool any_asid, uint64_t va);
struct model_inv model_inv_riscv_gvma(uint16_t vmid, uint64_t gpa);

/* What a cached thing is found and invalidated by. */
enum { MODEL_STAGE_1 = 1, MODEL_STAGE_2 = 2, MODEL_STAGE_COMBINED = 3 };
struct model_key {
    uint64_t ia;
    uint16_t vmid, asid;
    uint8_t stage, shift; /* log2 of what it covers */
    int16_t level;        /* of the descriptor */
    bool table, global;
};

/* Does inv remove key? OK: yes. STALE: it is not about this entry at all. Else the reason why an
 * entry at an address in inv's range is spared: HINT_EARLY, LEAF_ONLY, WRONG_VMID, .. */
enum model_verdict model_inv_match(const struct model_inv *inv, const struct model_key *key);

struct model_tlb_entry {
    struct model_key key;
    uint64_t pa; /* leaf: first output address; table: the next table */
    uint64_t raw;
    uint64_t seq; /* age */
    uint32_t gen; /* table: generation of the next table when the pointer was read */
    uint32_t attr;
    uint32_t next;
    enum model_memtype memtype;
    uint8_t perms;      /* table: what is left for entries below */
    uint8_t span;       /* leaf: log2 of all of it; the key may be of one entry of several */
    int16_t next_level; /* table: of the next table */
    bool clean, dirty, contig;
    enum model_verdict spared; /* why the last invalidation of its address left it, or OK */
};

struct model_tlb_stats {
    uint64_t translations, leaf_hits, pointer_hits, root_walks, speculative, fills, evictions;
    uint64_t applied_early, applied_at_sync, removed, syncs;
    uint64_t conflicts_size, conflicts_contents;
    uint64_t bad_tables; /* fetches from pages that are no table, or another one by now */
};

struct model_tlb;

/* NULL: no memory. */
struct model_tlb *model_tlb_new(const struct model_tlb_cfg *cfg);
void model_tlb_free(struct model_tlb *tlb);

/* Speculative walks go to random addresses of these ranges. False: too many (16). */
bool model_tlb_speculate_in(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia,
                            uint64_t len);
void model_tlb_speculate_nowhere(struct model_tlb *tlb);

/* Called at the end of every sync, without the TLB's lock, with all it completed. `drain` comes
 * first and waits for accesses in flight (dma.h); then `completed` (live.h). Up to 8 of each; false:
 * no room. Set before threads. */
typedef void model_inv_fn(void *ctx, const struct model_inv *inv, size_t count);
bool model_tlb_on_drain(struct model_tlb *tlb, model_inv_fn *drain, void *ctx);
bool model_tlb_on_completed(struct model_tlb *tlb, model_inv_fn *completed, void *ctx);

/* Translates. Returns out->fault. out->source says where it came from; out->conflict whether
 * cached leaves contradicted each other. A permission fault may come from a cached leaf. */
enum model_fault model_tlb_translate(struct model_tlb *tlb, const struct model_ctx *ctx,
                                     uint64_t ia, struct model_access access,
                                     struct model_xlat *out);

/* Lets something happen: a speculative walk, a step of one, an eviction, an early invalidation.
 * Tests call it between any two stores of the engine. */
void model_tlb_tick(struct model_tlb *tlb);
/* n speculative walks, each to its end. */
void model_tlb_speculate(struct model_tlb *tlb, unsigned n);
/* One to this address, ignoring what is cached. */
void model_tlb_prefetch(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia);

/* A walk that a test steps. It starts at the root. Returns a handle, or -1 if there are 8 already.
 * An invalidation that takes effect meanwhile finishes it or restarts it (IHI0070 3.21.1), so that
 * it never uses a table after the sync. On the end it fills the TLB. */
int model_tlb_walk_begin(struct model_tlb *tlb, const struct model_ctx *ctx, uint64_t ia,
                         struct model_access access);
bool model_tlb_walk_step(struct model_tlb *tlb, int handle); /* true: finished */
/* Runs it to its end, gives the result and the handle back. */
enum model_fault model_tlb_walk_end(struct model_tlb *tlb, int handle, struct model_xlat *out);

/* Issues an invalidation; complete only after a later sync. */
void model_tlb_invalidate(struct model_tlb *tlb, const struct model_inv *inv);
/* DSB after TLBI; CMD_SYNC. On return all issued invalidations are complete. */
void model_tlb_sync(struct model_tlb *tlb);

/*
 * Every entry of ctx held against the tables as they are now. Call when no change is under way and
 * all invalidations are synced: any difference is then a missing or too narrow invalidation, found
 * without waiting for a use. found (may be NULL) gets each with its verdict. Returns their number.
 */
typedef void model_tlb_found(void *arg, enum model_verdict v, const struct model_tlb_entry *e);
size_t model_tlb_audit(struct model_tlb *tlb, const struct model_ctx *ctx, model_tlb_found *found,
                       void *arg);
/* The first verdict of an audit, MODEL_V_OK if clean. */
enum model_verdict model_tlb_check(struct model_tlb *tlb, const struct model_ctx *ctx);

size_t model_tlb_entries(struct model_tlb *tlb);
struct model_tlb_stats model_tlb_stats(struct model_tlb *tlb);

#endif
