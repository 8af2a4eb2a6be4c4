/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The judge of stores to live tables. It knows one tree (one root, one VMID), which walkers
 * (agents) use it, and what those may still have cached; every store is held against the format's
 * rules for live changes (model_format.live; Arm: DDI0487 D8.16 "break-before-make" and FEAT_BBM
 * levels 0 to 2, SMMUv3 IHI0070 3.21.1):
 * - Arm: between two translations that a walker can hold at once, output address, memory type,
 *   shareability and globalness of an address are the same; the size only if the level permits;
 * - formats with one_store: they may differ if both have one size and one entry each; what was is
 *   then stale, and not a contradiction;
 * - what was broken may be made differently only after every agent's invalidation completed, and
 *   what an invalidation spared (hint, leaf-only, VMID) still counts as cached;
 * - a table is filled before it is linked, equal to what it replaces;
 * - a page that was a table is left alone, and not freed, until no walker can hold a pointer to it;
 * - an entry that hardware may make dirty is changed by compare-exchange, and no dirty is lost;
 * - inside an operation's scope anything may be made non-present, outside it nothing.
 *
 * Which tables are live is worked out from the stores themselves: a store to a page that no live
 * entry points to is preparation and passes. The root must be aligned to a table's size (a start
 * table smaller than that may not share it from another offset).
 *
 * Thread-safe. A store must be reported in the order in which it is made: report a plain store
 * just before, a compare-exchange just after it succeeded.
 */
#ifndef MODEL_LIVE_H
#define MODEL_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tlb.h"

struct model_live_cfg {
    struct model_walk_cfg walk; /* with bbm, ha, hd as the intersection of all agents */
    const struct model_mem *mem;
    uint16_t vmid, asid;
    uint8_t agents; /* 1..8: TLBs that walk the tree, each completes invalidations itself */
    bool strict;    /* outside every scope nothing may change (see model_live_scope) */
};

struct model_store {
    uint64_t entry; /* physical address of the descriptor */
    uint64_t old, value;
    bool atomic;        /* compare-exchange (or exchange) */
    bool same_contents; /* the caller knows that old and new page hold the same, both read-only */
};

struct model_live;

/* Called for each violation, with the judge's lock held: do not call back into the judge. */
typedef void model_live_log(void *arg, enum model_verdict v, const struct model_store *store,
                            uint64_t ia, int level);

/* Reads the tree as it is now: what it holds may be cached. NULL: no memory, or agents not 1..8. */
struct model_live *model_live_new(const struct model_live_cfg *cfg);
void model_live_free(struct model_live *live);
void model_live_on_violation(struct model_live *live, model_live_log *log, void *arg);

/* One store. MODEL_V_OK, or the first rule that it breaks. */
enum model_verdict model_live_store(struct model_live *live, const struct model_store *store);

/*
 * The walkers are given another root, which the old one is a table of: AMD v1 tables grow by a new
 * table whose first entry points to the old root, and another mode in the device table entry. `walk`
 * differs in root, start_level and ia_bits alone. Report it before the walkers can see it. Each
 * address must go on as it was: TABLE_DIFFERS, TABLE_NOT_FILLED, DATA_AS_TABLE; TABLE_FREED_LIVE if
 * the new tree does not hold the old root.
 */
enum model_verdict model_live_root(struct model_live *live, const struct model_walk_cfg *walk);

/* The operation under way may make [ia, ia + len) non-present; len 0: nothing. Adds up until
 * model_live_scope_clear(). Without `strict`, an empty scope list means "everywhere". */
void model_live_scope(struct model_live *live, uint64_t ia, uint64_t len);
void model_live_scope_clear(struct model_live *live);
/* The operation reports dirty pages to its caller: a step from dirty to clean is no loss. */
void model_live_harvest(struct model_live *live, bool on);

/* An agent's sync completed these. model_live_agent() gives a context to hang
 * model_live_completed() on that agent's TLB:
 *   model_tlb_on_completed(tlb, model_live_completed, model_live_agent(live, 0)); */
void *model_live_agent(struct model_live *live, unsigned agent);
void model_live_completed(void *agent, const struct model_inv *inv, size_t count);

/* A page that was a table is being freed or reused (call before its contents change). */
enum model_verdict model_live_table_free(struct model_live *live, uint64_t pa);

/* Are all live tables, and unlinked ones that a walker may hold, in memory as the reported stores
 * left them (hardware's own bits aside), and is every leaf of several entries whole? UNLOGGED,
 * RESERVED_BITS, SET_DIFFERS or OK. */
enum model_verdict model_live_audit(struct model_live *live);

/* Violations so far: of one kind, or of all (MODEL_V_OK). */
size_t model_live_violations(struct model_live *live, enum model_verdict v);
enum model_verdict model_live_first(struct model_live *live);
void model_live_forget(struct model_live *live); /* sets the counts back */
/* For tests of the judge and for leak checks. */
size_t model_live_tables(struct model_live *live);  /* live ones */
size_t model_live_waiting(struct model_live *live); /* leaves and tables not yet invalidated */

#endif
