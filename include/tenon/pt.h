/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-table engine: one for every format, for CPU and IOMMU tables alike.
 *
 * Vocabulary: `ia` input address, `oa` output address, `last` inclusive, `end` exclusive, `len`
 * bytes. Level: counted as Arm does, for every format: 3 holds only pages, and each level above it
 * is one less (x86-64: 0 is the PML4, -1 the PML5; AMD v1: 3 is its level 1, -2 its level 6). A leaf
 * is what one translation covers: a page, a block, or several entries that say together that they
 * are one (see pt_live.contig).
 *
 * Input addresses are the `ia_bits` low bits: where hardware wants a sign extension (x86-64, RISC-V
 * Sv39..57) it is left off here.
 *
 * Concurrency: hardware walkers may read the tables at any time. Without any lock, beside each
 * other: pt_lookup() and the other calls with a const tree; pt_map(), pt_map_list(), pt_map_at(),
 * pt_break() and pt_unmap() of disjoint ranges (with no leaf in two of them); pt_map_leaf() of any.
 * All other calls that change a tree are serialised by its owner against each other and against the
 * ones just named, lookups apart. A table page handed back in a gather must not be reused until the
 * gather's invalidation completed and no lookup or other call that began before is inside.
 *
 * Memory: the engine never allocates. Calls that may need table pages take them from a `pt_pool`
 * that the caller filled beforehand (pt_need() says how many); left-over pages stay in the pool.
 * Freed table pages are returned in the gather. Pools and gathers are their caller's alone.
 *
 * Errors: as given at each call; a call that returns an error changed nothing (no entry; the pool
 * and gather are as before).
 *
 * No function pointer is called anywhere in the engine. Formats that the port does not list
 * (port_formats.h) are refused by pt_init().
 */
#ifndef TENON_PT_H
#define TENON_PT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Arm VMSAv8-64 stage 1 (EL2's own regime, SMMU context descriptors) and stage 2 (with concatenated
 * start tables), by granule; x86-64 of 4 or 5 levels (CPU, AMD nested paging, VT-d first stage); EPT
 * of 4 or 5 levels; VT-d second stage of 3 to 5 levels; AMD IOMMU host tables of 1 to 6 levels (see
 * pt_grow()); RISC-V Sv39, Sv48, Sv57; their x4 forms, with a start table of 16 KiB.
 */
enum pt_format {
    PT_ARM_S1_4K,
    PT_ARM_S2_4K,
    PT_ARM_S1_16K,
    PT_ARM_S2_16K,
    PT_ARM_S1_64K,
    PT_ARM_S2_64K,
    PT_X86_64,
    PT_EPT,
    PT_VTD_SS,
    PT_AMD_V1,
    PT_RISCV,
    PT_RISCV_X4
};

/* Rights and memory type of a mapping. What a format cannot say is -EINVAL (x86-64 and stage 1: not
 * readable; EPT: write only; RISC-V: write only; IOMMU second stages: PT_NC, PT_DEVICE are ignored
 * where the device chooses, and given by snooping; execute is ignored by VT-d and AMD v1). */
enum {
    PT_READ = 1u << 0,
    PT_WRITE = 1u << 1,
    PT_EXEC = 1u << 2,
    /* Stage 1, x86-64, RISC-V: unprivileged code may use it; Arm: entries belong to the ASID (nG),
     * and without it the tree is of EL2's own regime. Device tables are always PT_USER, and so are
     * AMD nested tables. Stage 2 and IOMMU formats ignore it. */
    PT_USER = 1u << 3,
    PT_NC = 1u << 4,     /* Normal non-cacheable (x86, EPT: write-combining) */
    PT_DEVICE = 1u << 5, /* Device-nGnRE (x86, EPT: uncached; RISC-V: I/O) */
    /* Writable, clean, hardware sets dirty; needs live.hw_dirty. Such leaves are single entries. */
    PT_TRACK = 1u << 6,
    /* Lookups: the leaf is writable and has been written (or is not tracked). With PT_TRACK in
     * pt_map and pt_protect: start dirty; ignored there without. */
    PT_DIRTY = 1u << 7,
};

/*
 * What may be done to a live entry: data of the walker(s), not of the engine. For a tree that
 * several walkers share this is the intersection (pt_live_meet).
 */
struct pt_live {
    uint8_t bbm;   /* Arm: break-before-make level: 0 none, 1 nT (may fault), 2 free resize.
                      CPU: ID_AA64MMFR2_EL1.BBM (DDI0487 D8.16.1.2); SMMU: IDR3.BBML */
    bool hw_af;    /* walker sets the access flag (HA / HTTU>=1; x86 always; EPTP bit 6; SSADE; HAD;
                      Svadu) */
    bool hw_dirty; /* walker sets dirty (Arm: through DBM: HD / HTTU==2; others as hw_af) */
    bool stalls;   /* the walker's user can wait out a fault (a CPU; a stalling device) */
    /* The walker may be shown leaves of several entries (Arm: Contiguous bit; RISC-V: Svnapot; AMD
     * v1: sizes between those of the levels). Nothing needs it: it saves TLB entries. */
    bool contig;
    /* The walker may not see a leaf that it can execute change its size (iTLB multihit erratum:
     * Intel SDM update SKX102 and others): such leaves are pages from the start. */
    bool exec_4k;
    uint8_t leaf_max; /* log2 of the largest leaf it takes (21, 30, ..); 0: what the format has */
};
struct pt_live pt_live_meet(struct pt_live a, struct pt_live b);

struct pt_config {
    enum pt_format format;
    /* Input bits. Arm: 25..48 (52: see oa_bits) and at most a full start table, stage 2 4 bits more
     * (16 concatenated tables). x86-64, EPT: 48 or 57. VT-d: 39, 48, 57. AMD v1: 12..63, what the
     * tree may grow to. RISC-V: 39, 48, 57; x4: 41, 50, 59. */
    uint8_t ia_bits;
    /* Output bits. Arm: 32, 36, 40, 42, 44, 48, 52; stage 2 from level 0: at least 44. With 52 (or
     * more than 48 input bits) 4K and 16K tables are in the DS = 1 form (FEAT_LPA2), 64K tables hold
     * address bits 51:48 (FEAT_LPA). Others: 32..52; RISC-V ..56. */
    uint8_t oa_bits;
    int8_t
        start_level; /* Arm: 0..2 (-1 with LPA2); elsewhere as ia_bits say; AMD v1: to begin with */
    bool fwb;        /* Arm stage 2: HCR_EL2.FWB / STE.S2FWB encodings of MemAttr */
    bool xnx;        /* Arm stage 2: EL0/EL1 execute-never apart */
    bool incoherent; /* a walker does not snoop: clean what is written */
    bool snoop;      /* VT-d second stage: SNP, AMD v1: FC in every leaf; EPT: ignore guest PAT */
    struct pt_live live;
};

struct pt {
    struct pt_config cfg;
    uint64_t root;       /* pa of the start table(s), naturally aligned to their whole size */
    uint32_t root_pages; /* in units of 4 KiB */
    /* The engine's own: */
    uint64_t top;            /* pointer to the root, its height, .. in one word */
    uint64_t empty;          /* the range that was broken last, until something is mapped */
    uint64_t ia_max, oa_max; /* the last addresses */
    uint8_t leaf_h;          /* height of the tallest leaf */
    bool wide;               /* 52-bit form of Arm's entries */
};

/* A stack of zeroed, unlinked table pages (of pt_table_bytes() each, naturally aligned). */
struct pt_pool {
    uint64_t head; /* pa of the first page, 0 if none; a page's first word links to the next */
    uint32_t count;
};
void pt_pool_push(struct pt_pool *pool,
                  uint64_t pa);             /* the page must be zero; its link is written */
uint64_t pt_pool_pop(struct pt_pool *pool); /* zeroed page, or 0 when empty */

/*
 * What must be invalidated before anything that depends on the change may go on.
 * `level`: the leaf entries that were replaced were all of this level (a TTL hint is legal), or
 * PT_LEVEL_ANY. `tables`: table entries went too, so walk caches must be dropped (not leaf-only).
 * Neighbours alike are one record, and the holes between broken leaves of one table are taken in.
 * Overlapping records lose their hint. When the records overflow, `all` is set.
 */
#define PT_LEVEL_ANY   0xffu
#define PT_GATHER_MAX  8u
#define PT_GATHER_HELD 8u
struct pt_inv {
    uint64_t ia;
    uint64_t last;
    uint8_t level;
    bool tables;
};
struct pt_gather {
    struct pt_inv inv[PT_GATHER_MAX];
    uint32_t n;
    bool all;
    bool root; /* pt_grow changed the start table */
    bool more; /* pt_merge stopped early, see there */
    uint8_t held_n;
    bool dirty; /* a tracked leaf that was broken or made read-only was dirty: the range's owner
                   must log it as dirty, the entry no longer says so */
    uint64_t held[PT_GATHER_HELD + 4]; /* tables, with all below them, that were replaced by a leaf
                                      (pt_merge) or unlinked: pa | height. Walkers may still read
                                      them through a walk cache, and after a merge must find the old
                                      leaves, so not even a list link is written before
                                      pt_gather_done (the last four are pt_gather_take's) */
    struct pt_pool freed; /* table pages, not zeroed; to be used only after pt_gather_done */
};
void pt_gather_init(struct pt_gather *g);
/* The invalidation of everything recorded has completed, and no pt_lookup (or other call without a
 * lock) that began before is still inside: all old tables are now in g->freed, for the caller to
 * pop, zero and reuse; the records are cleared. `pt` is the tree (or one of the same format) that
 * the gather was used with. */
void pt_gather_free(const struct pt *pt, struct pt_gather *g); /* a part of it */
static inline void pt_gather_done(const struct pt *pt, struct pt_gather *g)
{
    if (g->held_n != 0) {
        pt_gather_free(pt, g);
    }
    g->n = g->held_n = 0;
    g->all = g->more = g->root = false;
}
/* Adds a record as the engine does; public for spaces that gather across calls. */
void pt_gather_add(struct pt_gather *g, uint64_t ia, uint64_t last, uint8_t level, bool tables);
static inline bool pt_gather_empty(const struct pt_gather *g)
{
    return g->n == 0 && !g->all;
}

/* Size of the start table(s) that cfg needs, in 4 KiB pages (naturally aligned, zeroed), or -EINVAL
 * for a cfg that the format does not have. */
int pt_root_pages(const struct pt_config *cfg);
int pt_init(struct pt *pt, const struct pt_config *cfg, uint64_t root);
/* Bytes of every other table page: 4096, or the granule of Arm's 16K and 64K formats. It is also
 * the smallest leaf: what "page-aligned" means in the calls below. */
uint32_t pt_table_bytes(enum pt_format format);

/* Upper bound of table pages for mapping [ia, ia+len) with any leaf sizes, or for cutting at both
 * of its ends, from the numbers alone (no walk): 3 for one page and a walk of four levels. 0 for a
 * range that every call refuses. */
uint32_t pt_need(const struct pt *pt, uint64_t ia, uint64_t len);
/* Exactly what pt_map with these arguments would take now (less, if mappers beside it make tables
 * that both need; if it is not executable and live.exec_4k is set), and its errors (prot apart). */
int pt_need_map(const struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                uint64_t max_level_size, uint32_t *n);

/*
 * Map [ia, ia+len) to oa onwards with the largest legal leaves (`max_level_size` caps them: a
 * power of two, at least a page, or 0 for no cap). Page-aligned, len > 0.
 * -EINVAL alignment/len/prot; -ERANGE outside ia_bits/oa_bits (wrapping too; AMD v1: beyond what the
 * start table reaches, see pt_grow); -EEXIST something is
 * mapped in the range; -ENOMEM pool too small; -EOPNOTSUPP PT_TRACK without hardware for it. An
 * existing *empty* lower table is reused, and never replaced by a leaf here (that is pt_merge's
 * business). Needs no invalidation (invalid -> valid).
 */
int pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
           uint64_t max_level_size, struct pt_pool *pool);

/* One leaf of `level`, a single entry, installed by compare-exchange: the fault path. -EEXIST if
 * something is there already (a raced fault: look it up and go on). Otherwise as pt_map. */
int pt_map_leaf(struct pt *pt, uint64_t ia, uint64_t oa, int8_t level, uint32_t prot,
                struct pt_pool *pool);

/*
 * D6: may this range be cut live? 0 if no cut is needed or live rules allow it hitless;
 * -EOPNOTSUPP if a leaf crosses ia or ia+len and the rules forbid a live cut. Changes nothing.
 */
int pt_cut_check(const struct pt *pt, uint64_t ia, uint64_t len);

/*
 * Make leaf boundaries at ia and ia+len: each leaf that crosses one is replaced by a filled table
 * of the same attributes, dirty state and output addresses, in one compare-exchange per level
 * (largest leaves kept on both sides). No other address is ever non-present. The gather gets the
 * old leaves, with their level. A leaf of several entries that a boundary crosses becomes leaves of
 * one entry all over. -EOPNOTSUPP as pt_cut_check; -ENOMEM; -EINVAL; -ERANGE.
 */
int pt_cut(struct pt *pt, uint64_t ia, uint64_t len, struct pt_pool *pool, struct pt_gather *g);

/*
 * Make exactly [ia, ia+len) non-present. -EINVAL if a leaf crosses an end (cut first). Holes are
 * fine. Lower tables stay (they are filled again, or merged, or freed by pt_unmap).
 * Never allocates. With aligned ends it cannot fail. -EINVAL, -ERANGE.
 */
int pt_break(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g);

/* pt_break plus freeing the lower tables that lie wholly in the range (only those: so nobody who maps
 * beside it meets a table that vanishes). The plain unmap of what is not coming back. Same errors;
 * never allocates. */
int pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g);

/* Frees the lower tables that touch the range and are empty, whoever emptied them: for an owner that
 * has the tree to itself at the moment. -EINVAL, -ERANGE. */
int pt_trim(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g);

/* Change rights of every leaf in the range (ends on leaf boundaries, -EINVAL otherwise), by
 * compare-exchange, no dirty bit lost. prot without PT_TRACK makes leaves plain; with it, plain
 * leaves start clean and tracked ones keep their state (with PT_DIRTY all become dirty). Memory
 * type and PT_USER must be those of every leaf (-EINVAL: they need break-before-make). A dirty
 * tracked leaf that becomes read-only sets g->dirty. */
int pt_protect(struct pt *pt, uint64_t ia, uint64_t len, uint32_t prot, struct pt_gather *g);

/*
 * Merge, hitless, every lower table inside the smallest aligned block(s) around [ia, ia+len) whose
 * 512 leaves are all present, contiguous and of equal attributes, into one leaf, bottom-up, as far
 * as up as the rules and `max_size` (0: no cap) allow. Leaves with PT_TRACK never merge (hardware
 * may be updating them). Where live.bbm < 2 nothing is merged (0); with live.stalls -EOPNOTSUPP
 * says that there is something to merge, and the owner may break instead. Returns number of leaves
 * made, >= 0: one store for each, at the highest level that is uniform. Old tables go to g->held,
 * untouched, until pt_gather_done; records say tables = true over the whole merged range. When
 * g->held is full it stops with g->more set: invalidate, pt_gather_done, call again.
 */
int pt_merge(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size, struct pt_gather *g);

/* What maps ia. present == false: hole; [ia, last] is then the hole within one table entry. */
struct pt_leaf {
    bool present;
    int8_t level;
    uint8_t shift; /* log2 of its bytes */
    uint32_t prot;
    uint64_t ia; /* first ia of the leaf */
    uint64_t last;
    uint64_t oa; /* first oa of the leaf */
};
int pt_lookup(const struct pt *pt, uint64_t ia, struct pt_leaf *leaf); /* -ERANGE or 0 */
/* Only the output address for ia; PT_NO_OA for a hole, and where the tree does not reach. */
#define PT_NO_OA (~(uint64_t)0)
uint64_t pt_translate(const struct pt *pt, uint64_t ia);
/* Visitor without callbacks: the leaf or hole at *ia, then *ia moves past it. False at `last`.
 *   for (uint64_t ia = 0; pt_next(pt, &ia, last, &leaf);) ... */
bool pt_next(const struct pt *pt, uint64_t *ia, uint64_t last, struct pt_leaf *leaf);
/* Visits table pages (root pages first, in steps of 4 KiB): for audits. State is kept in *it (zeroed
 * at first); no table may be freed meanwhile. */
struct pt_table_iter {
    const uint64_t *table[6];
    uint32_t index[6];
    int8_t level; /* of the table just visited, root pages apart */
    bool started;
};
bool pt_next_table(const struct pt *pt, struct pt_table_iter *it, uint64_t *table_pa);

struct pt_counts {
    uint64_t leaves[4]; /* by level; those above level 0 (RISC-V, AMD v1) count with it */
    uint64_t tables;    /* table pages below the start tables */
};
/* Counts by looking at every table: there are no counters to keep on the way. Beside calls that
 * change the tree the numbers are of no single moment. A tree that was never set up (all zero)
 * holds nothing. Always 0. */
int pt_count(const struct pt *pt, struct pt_counts *n);

/* Dirty: read into `bitmap` (one bit per `unit` bytes from ia, a power of two >= 4096; set if any of
 * it is dirty, never cleared here) and make clean again. Leaves without PT_TRACK are passed over.
 * Gather: the leaves made clean; with a NULL gather nothing is cleared, only read. -EINVAL if a leaf
 * crosses an end (its bits would be lost). */
int pt_dirty_read_clear(struct pt *pt, uint64_t ia, uint64_t len, uint64_t *bitmap, uint64_t unit,
                        struct pt_gather *g);
/* Accessed: true in *young if any leaf that touches the range had its access flag; flags are
 * cleared. -EOPNOTSUPP without live.hw_af. */
int pt_age(struct pt *pt, uint64_t ia, uint64_t len, bool *young, struct pt_gather *g);

/* All tables below the root to g->freed, root entries cleared; g->all set. Cannot fail. */
void pt_clear(struct pt *pt, struct pt_gather *g);

/* Hardware's view: register fields for a walker that is to use this tree (4K granule, not the 52-bit
 * form). */
uint64_t pt_arm_vtcr(const struct pt *pt); /* VTCR_EL2 (DDI0487 D23.2.206) without HA/HD */
uint32_t pt_arm_ste_s2vtcr(
    const struct pt *pt);                     /* STE.S2T0SZ..S2PS, bits [178:160] (IHI0070 5.2) */
uint64_t pt_arm_tcr_el2(const struct pt *pt); /* TCR_EL2 for the EL2 regime (E2H=0) */
/* What the page attribute table of an x86-64 walker must be: 0 WB, 1 WC, 2 UC-, 3 UC, and again. */
#define PT_X86_PAT 0x0007010600070106ull
#define PT_ARM_MAIR \
    0x000000000004ff44ull /* AttrIndx 0 Normal-NC 0x44, 1 Normal-WB 0xff, 2 Device-nGnRE 0x04 */

#endif
