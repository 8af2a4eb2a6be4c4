/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A table walker written from the architecture specifications alone. It shares no code, header
 * or constant with the page-table engine that it judges.
 *
 * A walk is a state machine: model_walk_step() does at most one access to a table (a descriptor
 * fetch, or the compare-exchange of a hardware update), so that a test can change tables between
 * any two accesses of one walk. model_walk() runs all steps.
 *
 * Levels are the format's own numbers; walks go from cfg->start_level to fmt->last_level.
 */
#ifndef MODEL_WALK_H
#define MODEL_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "verdict.h"

#define MODEL_MAX_DEPTH 6u

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

/* Which kind of memory the attributes name; MODEL_MT_AS_S1: what stage 1 says. */
enum model_memtype {
    MODEL_MT_DEVICE,
    MODEL_MT_NC,
    MODEL_MT_WT,
    MODEL_MT_WB,
    MODEL_MT_AS_S1,
    MODEL_MT_RESERVED,
};

struct model_format;

struct model_walk_cfg {
    const struct model_format *fmt;
    uint64_t root;       /* physical address of the start table(s) */
    uint64_t mair;       /* stage 1: MAIR, gives memtype from AttrIndx */
    uint8_t stage;       /* 1 or 2 */
    uint8_t ia_bits;     /* 64 - T0SZ */
    uint8_t oa_bits;     /* effective output size: 32..48 */
    uint8_t start_level; /* may imply concatenated start tables (stage 2) */
    uint8_t bbm;         /* 0..2: level 1 recognises nT (a leaf with nT is not cached) */
    bool ha;             /* hardware sets the access flag */
    bool hd;             /* hardware sets dirty state through DBM (needs ha) */
    bool two_priv;       /* stage 1 regime with EL0 (an SMMU's NS-EL1 stream too) */
    bool hpd;            /* stage 1: hierarchical permissions disabled */
    bool xnx;            /* stage 2: XN[1:0] means two bits */
    bool fwb;            /* stage 2: MemAttr in its forced-write-back encoding */
    bool contig;         /* this walker may cache a contiguous set as one entry */
    bool nt_faults;      /* level 1 CPU that takes nT as a translation fault */
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
};

enum model_desc_kind { MODEL_DESC_INVALID, MODEL_DESC_TABLE, MODEL_DESC_LEAF };

/* One descriptor, decoded. */
struct model_desc {
    enum model_desc_kind kind;
    uint64_t pa;   /* next table, or the leaf's output address */
    uint32_t attr; /* everything that is memory type or shareability, for comparing */
    enum model_memtype memtype;
    uint8_t shift;      /* log2 of what one entry of this level covers */
    uint8_t span_shift; /* leaf: log2 of the contiguous set, = shift without one */
    uint8_t perms;      /* leaf: MODEL_R..; writable-clean counts as writable */
    uint8_t limit;      /* table: permissions that entries below can have at most */
    bool af;
    bool clean; /* leaf: hardware will make it dirty at the first write */
    bool dirty; /* leaf under hardware dirty management that has been written */
    bool global;
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
    uint8_t level;
    uint8_t limit; /* permissions left by the levels above */
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
    uint8_t level; /* of the last descriptor, or of the fault */
    uint8_t shift; /* log2 of the leaf's size */
    uint8_t perms; /* table limits applied */
    bool af, global, clean, dirty, contig, nt;
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
    uint8_t level, limit;
    uint8_t state;
    unsigned restarts;
    /* where to go back to when a hardware update loses its race */
    uint64_t first_table;
    uint32_t first_gen;
    uint8_t first_level, first_limit;
};

/* The operations of a format; one constant per format file. */
struct model_format {
    const char *name;
    uint8_t last_level;
    /* NULL, or which rule the configuration breaks. */
    const char *(*check)(const struct model_walk_cfg *cfg);
    uint8_t (*shift)(const struct model_walk_cfg *cfg, uint8_t level);
    void (*decode)(const struct model_walk_cfg *cfg, uint8_t level, uint64_t raw,
                   struct model_desc *out);
    uint64_t (*set_af)(const struct model_walk_cfg *cfg, uint64_t raw);
    uint64_t (*set_dirty)(const struct model_walk_cfg *cfg, uint64_t raw);
    /* Leaf bits that may change in one store between two valid leaves without break-before-make
     * and without invalidation first. */
    uint64_t (*live_mask)(const struct model_walk_cfg *cfg);
    /* Bits that hardware may change by itself. */
    uint64_t (*hw_mask)(const struct model_walk_cfg *cfg);
};

/* VMSAv8-64, 4 KiB granule, stage 1 (lower range) and stage 2. */
extern const struct model_format model_arm;

/* Starts a walk at the root. cfg and mem must outlive the walk. */
void model_walk_begin(struct model_walk *w, const struct model_walk_cfg *cfg,
                      const struct model_mem *mem, uint64_t ia, struct model_access access);
/* The same, from a table pointer that somebody cached: the table at `level`. gen 0: unknown. */
void model_walk_resume(struct model_walk *w, const struct model_walk_cfg *cfg,
                       const struct model_mem *mem, uint64_t ia, struct model_access access,
                       uint8_t level, uint64_t table, uint32_t gen, uint8_t limit);
/* One access. True when the walk is finished; then w->out is the result, and further calls do
 * nothing. */
bool model_walk_step(struct model_walk *w);

/* All of it. Returns out->fault. */
enum model_fault model_walk(const struct model_walk_cfg *cfg, const struct model_mem *mem,
                            uint64_t ia, struct model_access access, struct model_xlat *out);

/* How many entries the start table(s) have: more than 512 means concatenated tables. */
unsigned model_root_entries(const struct model_walk_cfg *cfg);

const char *model_fault_name(enum model_fault fault);

#endif
