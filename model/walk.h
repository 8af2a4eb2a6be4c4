/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table walker written from the architecture specifications alone. It shares no code, header
 * or constant with the page-table engine that it judges.
 *
 * A walk is a state machine: model_walk_step() does at most one access to a table (a descriptor
 * fetch, or the compare-exchange of a hardware update), so that a test can change tables between
 * any two accesses of one walk. model_walk() runs all steps.
 *
 * Levels: in every format a table of level 3 has only leaves of the smallest size, and each level
 * above has one less, down to -2. Those are Arm's own numbers; x86: PTE 3, PDE 2, PDPTE 1, PML4E 0,
 * PML5E -1; RISC-V: VPN[0] 3 .. VPN[4] -1; AMD's host page table of mode n starts at 4 - n.
 *
 * What each family reads of a configuration (everything: fmt, root, ia_bits, oa_bits, start_level):
 * - model_arm: stage, granule (log2; 0 is 12), ds (TCR.DS: 52-bit forms of 4K and 16K; with 64K the
 *   form follows from oa_bits 52), mair (stage 1), bbm, ha, hd, two_priv, hpd, xnx, fwb, contig,
 *   nt_faults. start_level -1 only with 4K and ds.
 * - model_x86: mair (the PAT MSR: same layout), canonical (CPU, VT-d: yes; AMD NPT: no), nx, page1g,
 *   pge (CPU only), multihit. ha and hd must be set: hardware always maintains A and D. stage only
 *   for the TLB's tags: 1 for CPU and VT-d first stage, 2 for NPT. start_level 0 or -1 with ia_bits
 *   48 or 57; oa_bits: MAXPHYADDR (VT-d: HAW).
 * - model_vtd2: ha = hd (PASID entry SSADE), snoop (ECAP.SC), page1g (CAP.SSLPS bit 1), page2m (bit
 *   0). stage is 2. start_level 1, 0 or -1 with ia_bits 39, 48 or 57; oa_bits: HAW.
 * - model_amdv1: ha, hd (DTE.HAD). stage is 2; ia_bits is what the mode reaches: 21, 30, 39, 48, 57
 *   or 64 for modes 1 to 6, whatever part of it is in use.
 * - model_ept: ha = hd (EPTP bit 6), page1g, page2m, exec_only, mbec, multihit. stage is 2;
 *   start_level 0 or -1 with ia_bits 48 or 57; oa_bits: MAXPHYADDR.
 * - model_riscv: stage (2: the x4 forms), canonical (= stage 1), ha = hd (ADUE; IOMMU: SADE, GADE),
 *   svnapot, svpbmt, sum, replace_breaks. start_level 1, 0 or -1 with ia_bits 39, 48 or 57, at stage
 *   2 two more; oa_bits up to 56.
 */
#ifndef MODEL_WALK_H
#define MODEL_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "verdict.h"

#define MODEL_MAX_DEPTH   6u
#define MODEL_LAST_LEVEL  3
#define MODEL_FIRST_LEVEL (-2)

/* The memory that holds tables. table_gen may be NULL (no check); it returns 0 if the page at pa
 * is not a table, else a number that changes whenever the page is freed or reused. */
struct model_mem {
    void *ctx;
    uint64_t (*read64)(void *ctx, uint64_t pa, bool *ok);
    bool (*cas64)(void *ctx, uint64_t pa, uint64_t *expected, uint64_t value);
    uint32_t (*table_gen)(void *ctx, uint64_t pa);
};

/* Permission bits; the user's are the privileged ones << MODEL_USER_SHIFT. */
enum {
    MODEL_R = 1,
    MODEL_W = 2,
    MODEL_X = 4,
    MODEL_USER_SHIFT = 3,
    MODEL_RWX_ALL = 0x3f,
};

/* Which kind of memory the attributes name; MODEL_MT_AS_S1: what stage 1 (the PMA, the MTRRs, the
 * transaction) says. x86's uncacheable, write-combining and write-protected have their own. */
enum model_memtype {
    MODEL_MT_DEVICE,
    MODEL_MT_NC,
    MODEL_MT_WT,
    MODEL_MT_WB,
    MODEL_MT_AS_S1,
    MODEL_MT_RESERVED,
    MODEL_MT_UC,
    MODEL_MT_UC_MINUS,
    MODEL_MT_WC,
    MODEL_MT_WP,
};

struct model_format;

struct model_walk_cfg {
    const struct model_format *fmt;
    uint64_t root;       /* physical address of the start table(s) */
    uint64_t mair;       /* stage 1: MAIR or PAT, gives memtype from an index */
    uint8_t stage;       /* 1 or 2 */
    uint8_t ia_bits;     /* size of the input address; with `canonical` including its sign */
    uint8_t oa_bits;     /* effective output size */
    int16_t start_level; /* may imply concatenated start tables */
    uint8_t granule;     /* Arm: log2 of the smallest page, 12, 14 or 16; 0: 12 */
    bool ds;             /* Arm: TCR.DS or VTCR.DS, 4K and 16K */
    uint8_t bbm;         /* 0..2: level 1 recognises nT (a leaf with nT is not cached) */
    bool ha;             /* hardware sets the access flag */
    bool hd;             /* hardware sets dirty state through DBM (needs ha) */
    bool two_priv;       /* stage 1 regime with EL0 (an SMMU's NS-EL1 stream too) */
    bool hpd;            /* stage 1: hierarchical permissions disabled */
    bool xnx;            /* stage 2: XN[1:0] means two bits */
    bool fwb;            /* stage 2: MemAttr in its forced-write-back encoding */
    bool contig;         /* this walker may cache a contiguous set as one entry */
    bool nt_faults;      /* level 1 CPU that takes nT as a translation fault */
    bool canonical;      /* bits above ia_bits repeat the highest one */
    bool nx;             /* x86: EFER.NXE; without it bit 63 is reserved */
    bool pge;            /* x86: CR4.PGE, the G bit counts */
    bool page1g, page2m; /* large leaves that the walker has */
    bool snoop;          /* VT-d second stage: bit 11 of a leaf is there */
    bool exec_only;      /* EPT: entries may be executable and not readable */
    bool mbec;           /* EPT: mode-based execute control, bit 10 is execute for user addresses */
    bool svnapot, svpbmt; /* RISC-V: extensions that the walker has */
    bool sum;             /* RISC-V: supervisor may read and write user pages */
    bool replace_breaks; /* RISC-V, by the IOMMU's specification: no new address or memory type in a
                             live entry without V = 0 and an invalidation between */
    bool multihit;       /* CPU with the instruction TLB multiple-hit erratum */
};

struct model_access {
    uint8_t what; /* MODEL_R | MODEL_W | MODEL_X, those that are needed */
    bool user;    /* unprivileged */
    bool spec;    /* speculative: no permission check, never makes anything dirty */
    bool peek;    /* an observer: no hardware update at all, AF not checked */
};

enum model_fault {
    MODEL_OK,
    MODEL_FAULT_TRANSLATION,
    MODEL_FAULT_PERMISSION,
    MODEL_FAULT_ACCESS_FLAG,
    MODEL_FAULT_ADDRESS_SIZE,
    MODEL_FAULT_EXTERNAL,   /* a table access outside memory */
    MODEL_FAULT_BAD_TABLE,  /* a fetch from a page that is no table, or another one by now */
    MODEL_FAULT_BAD_CONFIG, /* the registers are not a legal combination */
    MODEL_FAULT_RESERVED,   /* a reserved bit or encoding, where the format takes that as a fault */
    MODEL_FAULT_CANONICAL,  /* the input address is not sign-extended */
};

enum model_desc_kind { MODEL_DESC_INVALID, MODEL_DESC_TABLE, MODEL_DESC_LEAF };

/* One descriptor, decoded. */
struct model_desc {
    enum model_desc_kind kind;
    uint64_t pa;   /* next table, or the leaf's output address */
    uint32_t attr; /* everything that is memory type or shareability, for comparing */
    enum model_memtype memtype;
    uint8_t shift;      /* log2 of what one entry of this level covers */
    uint8_t span_shift; /* leaf: log2 of the set of entries that make it, = shift without one */
    uint8_t perms;      /* leaf: MODEL_R..; writable-clean counts as writable */
    uint8_t limit;      /* table: permissions that entries below can have at most */
    int16_t
        next_level; /* table: of the next table; formats that skip levels: not always level + 1 */
    bool whole;  /* leaf: the set is one leaf by definition, not only for walkers with cfg.contig */
    bool af;     /* a table without it: hardware sets it on the way */
    bool clean;  /* leaf: hardware will make it dirty at the first write */
    bool dirty;  /* leaf under hardware dirty management that has been written */
    bool global; /* a table: all leaves below it */
    bool nt;
    bool contig;
    bool address_size; /* an address beyond oa_bits */
    bool reserved;     /* a bit that must be zero is set, or a reserved encoding */
};

struct model_step {
    uint64_t table; /* of this level */
    uint64_t entry; /* the descriptor's address */
    uint64_t raw;
    uint32_t gen; /* the table page's generation, 0 if unknown */
    int16_t level;
    uint8_t limit; /* permissions left by the levels above */
    bool global;   /* a level above said so for all below */
};

/* Where a model TLB served a translation from. */
enum model_source { MODEL_FROM_TABLES, MODEL_FROM_POINTER, MODEL_FROM_LEAF };

struct model_xlat {
    enum model_fault fault;
    enum model_verdict verdict; /* why a table was bad; MODEL_V_OK otherwise */
    uint64_t ia, oa;            /* oa: of ia itself; valid if fault is OK or PERMISSION */
    uint64_t raw;               /* the last descriptor, after a hardware update */
    uint64_t entry;             /* its address */
    uint64_t leaf_ia,
        leaf_oa; /* first addresses of the leaf (of its contiguous set if cached so) */
    uint32_t attr;
    enum model_memtype memtype;
    int16_t level;       /* of the last descriptor, or of the fault */
    uint8_t shift;       /* log2 of the leaf's size */
    uint8_t entry_shift; /* of what one of its entries covers: less for a leaf of several entries */
    uint8_t perms;       /* table limits applied */
    bool af, global, clean, dirty, contig, nt, whole;
    bool updated;   /* this walk's compare-exchange changed the descriptor */
    unsigned depth; /* entries in chain: none if served from a cached leaf */
    struct model_step chain[MODEL_MAX_DEPTH];
    /* filled by a model TLB only */
    enum model_source source;
    enum model_verdict conflict;  /* CONFLICT_SIZE, CONFLICT_CONTENTS or OK */
    enum model_verdict stale_why; /* if the result is stale, which invalidation spared it */
};

struct model_walk {
    const struct model_walk_cfg *cfg;
    const struct model_mem *mem;
    struct model_access access;
    struct model_xlat out;
    uint64_t table, update;
    uint32_t gen;
    int16_t level;
    uint8_t limit;
    uint8_t state;
    unsigned restarts;
    struct model_desc desc; /* the last one decoded */
    bool global;
    /* where to go back to when a hardware update loses its race */
    uint64_t first_table;
    uint32_t first_gen;
    int16_t first_level;
    uint8_t first_limit;
    bool first_global;
};

/* A leaf as a walker may hold it. */
struct model_leaf {
    uint64_t ia, oa;
    uint32_t attr;
    uint8_t shift, entry_shift; /* of the whole leaf; of one of its entries */
    uint8_t perms;
    int16_t level;
    bool global, nt, clean, dirty, writable;
};

/* The operations of a format; one constant per format file. */
struct model_format {
    const char *name;
    bool reserved_faults; /* a reserved bit in a valid entry is a fault, not just ignored */
    /* One aligned 64-bit store may replace a live leaf by another of the same size, whatever they
     * say; what was cached is stale until it is invalidated. False: break-before-make. */
    bool one_store;
    /* NULL, or which rule the configuration breaks. */
    const char *(*check)(const struct model_walk_cfg *cfg);
    uint8_t (*shift)(const struct model_walk_cfg *cfg, int level);
    void (*decode)(const struct model_walk_cfg *cfg, int level, uint64_t raw,
                   struct model_desc *out);
    uint64_t (*set_af)(const struct model_walk_cfg *cfg, uint64_t raw);
    uint64_t (*set_dirty)(const struct model_walk_cfg *cfg, uint64_t raw);
    /* NULL, or log2 of the largest leaf that entries of this level can make together. */
    uint8_t (*set_shift)(const struct model_walk_cfg *cfg, int level);
    /* Leaf bits whose change leaves the translation as it is but for permissions: what a walker
     * has cached needs no invalidation before anything else may be made there. */
    uint64_t (*live_mask)(const struct model_walk_cfg *cfg);
    /* Bits that hardware may change by itself. */
    uint64_t (*hw_mask)(const struct model_walk_cfg *cfg);
    /* May a walker hold both, `had` from before a store and `has` from after it? OK; BBM_SKIPPED if
     * they contradict each other; SIZE_NEEDS_BBM if only the size differs and may not. */
    enum model_verdict (*live)(const struct model_walk_cfg *cfg, const struct model_leaf *had,
                               const struct model_leaf *has);
};

/* VMSAv8-64, granules of 4, 16 and 64 KiB, stage 1 (lower range) and stage 2. */
extern const struct model_format model_arm;
/* x86-64 4- and 5-level paging: CPU, AMD nested paging, VT-d first stage. */
extern const struct model_format model_x86;
/* VT-d second stage, 3 to 5 levels. */
extern const struct model_format model_vtd2;

/* Extended page tables of 4 or 5 levels. */
extern const struct model_format model_ept;
/* Sv39, Sv48, Sv57, and their x4 forms as stage 2. */
extern const struct model_format model_riscv;
/* The AMD IOMMU's host page tables. */
extern const struct model_format model_amdv1;

/* The live rule of formats with one_store: see walk.c. */
enum model_verdict model_live_one_store(const struct model_walk_cfg *cfg,
                                        const struct model_leaf *had, const struct model_leaf *has);
/* The same for a CPU, which may have the multiple-hit erratum: see walk_x86.c. */
enum model_verdict model_live_multihit(const struct model_walk_cfg *cfg,
                                       const struct model_leaf *had, const struct model_leaf *has);
/* The leaf that d, an entry that serves ia, is part of, as a walker may cache it. */
struct model_leaf model_leaf_of(const struct model_walk_cfg *cfg, const struct model_desc *d,
                                uint64_t ia, int level);
/* ia with its sign repeated, where cfg says so. */
uint64_t model_ia_extend(const struct model_walk_cfg *cfg, uint64_t ia);
/* log2 of what a pointer from an entry of `parent` to a table of `level` translates: all that the
 * entry covers, or less if levels are skipped. */
uint8_t model_pointer_shift(const struct model_walk_cfg *cfg, int parent, int level);
/* log2 of the bytes of a table below the root; 8-byte entries. */
uint8_t model_table_shift(const struct model_walk_cfg *cfg);

/* Starts a walk at the root. cfg and mem must outlive the walk. */
void model_walk_begin(struct model_walk *w, const struct model_walk_cfg *cfg,
                      const struct model_mem *mem, uint64_t ia, struct model_access access);
/* The same, from a table pointer that somebody cached: the table at `level`. gen 0: unknown. */
void model_walk_resume(struct model_walk *w, const struct model_walk_cfg *cfg,
                       const struct model_mem *mem, uint64_t ia, struct model_access access,
                       int level, uint64_t table, uint32_t gen, uint8_t limit);
/* After model_walk_resume(): the pointer was found below a level that makes all global. */
void model_walk_global(struct model_walk *w);
/* One access. True when the walk is finished; then w->out is the result, and further calls do
 * nothing. */
bool model_walk_step(struct model_walk *w);

/* All of it. Returns out->fault. */
enum model_fault model_walk(const struct model_walk_cfg *cfg, const struct model_mem *mem,
                            uint64_t ia, struct model_access access, struct model_xlat *out);

/* How many entries the start table(s) have: more than a table's means concatenated tables. */
unsigned model_root_entries(const struct model_walk_cfg *cfg);

const char *model_fault_name(enum model_fault fault);

#endif
