/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spaces: page tables that follow guest memory objects, or hold explicit mappings.
 *
 * A space has one tree and the invalidators of everything that walks it. Share mode: one space with
 * the invalidators of the CPU and of the SMMU. Mirror mode: a space each.
 *
 * What may be done live is said by pt.cfg.live, the meet of all walkers' rules:
 *   bbm 2             leaves are cut and merged hitless
 *   less, and stalls  (every walker is a CPU) the whole leaf is broken, its neighbours put back
 *   less, no stalls   (a device walks it) a change that needs a cut is refused: -EOPNOTSUPP. Give
 *                     the space max_leaf = 4096 (or 2M, for changes of whole 2M blocks) before it
 *                     is filled, and no cut is needed.
 *
 * Concurrency: faults and lookups of several CPUs run beside each other (they share the lock, and
 * install leaves by compare-exchange); everything that takes away, cuts or merges has the lock alone.
 */
#ifndef TENON_SPACE_H
#define TENON_SPACE_H

#include <tenon/gmem.h>
#include <tenon/pt.h>

/*
 * Makes walkers forget. `issue` starts invalidating everything in `g` for the tree (called with the
 * space lock held; may batch commands); `wait` returns once every earlier issue of this invalidator
 * has completed: no walker uses, or has an access in flight through, an old entry. Both may be called
 * on several CPUs at once.
 */
struct invalidator {
    void (*issue)(struct invalidator *inv, const struct pt_gather *g);
    void (*wait)(struct invalidator *inv);
};

enum space_kind { SPACE_CPU, SPACE_IO };
/* What the tree is filled by: decided by the first binding, iommu_map, or map of RAM. */
enum space_use {
    SPACE_FRESH,
    SPACE_FOLLOWS, /* bindings and space_map: nothing is pinned, changes follow the objects */
    SPACE_PINNED,  /* iommu_map: every frame in it is pinned (device registers apart) */
};
/* Which pages of an object a binding shows, and where. */
enum space_view {
    VIEW_GUEST, /* every page, at ia + ((page - first) << 12) */
    VIEW_HOST,  /* only shared pages, each at ia == its frame's pa (the window) */
};

#define SPACE_WALKERS  2u
#define SPACE_BINDINGS 8u
#define SPACE_RESERVE  8u /* table pages that a binding keeps at hand between changes */

/* What a binding keeps between the steps of one change; its converter's alone. */
struct binding_change {
    uint64_t page, n;       /* the part of the change that the binding shows; n == 0: none */
    uint32_t kept;          /* pages in reserve before prepare: what a refusal goes back to */
    struct pt_pool reserve; /* slot 0 keeps some between changes */
    struct pt_gather gather;
};

struct binding {
    struct follower f;   /* first: container of the ops */
    struct space *space; /* NULL: slot is free */
    enum space_view view;
    uint64_t ia; /* VIEW_GUEST: where page `first` stands */
    uint64_t first, n;
    uint32_t prot;
    bool prefill;
    /* Neighbours that are out until gain: faults there retry. Under the space lock; one change at a
     * time has them (follower.alone). */
    bool busy;
    uint64_t busy_ia, busy_last;
    struct binding_change change[GMEM_CHANGES];
};

/* Many at once (faults, lookups), or one alone (changes). Waiting changes go before new faults. */
struct space_lock {
    struct port_lock turn;
    uint32_t writer, readers;
};

/*
 * Which pages were written. A log covers one range of a space; everything in it, whenever it was
 * mapped, is watched until the log is stopped, and no cut, merge, unmap or conversion loses a write.
 */
enum space_log_kind {
    SPACE_LOG_OFF,
    SPACE_LOG_AHEAD, /* nothing is watched yet, but leaves are cut and not merged any more */
    SPACE_LOG_WRITE_PROTECT, /* trees that CPUs alone walk */
    SPACE_LOG_DIRTY_BIT,     /* the walkers set it (live.hw_dirty): the only kind for devices */
};
#define SPACE_LOG_BLOCK ((uint64_t)64 << PAGE_SHIFT) /* one word of the bitmap */
#define SPACE_LOG_PARTS 512u                         /* a read passes over those that are empty */
struct space_log_ops;
struct space_log {
    enum space_log_kind kind;
    uint64_t ia, last, touched[SPACE_LOG_PARTS / 64];
    uint64_t *bits; /* written and not yet read, one bit a page; under the space's lock */
    const struct space_log_ops *ops; /* what the rest of the space calls; NULL: no log */
};

struct space {
    struct pt pt;
    enum space_kind kind;
    enum space_use use;
    struct invalidator *walker[SPACE_WALKERS];
    uint32_t waits; /* invalidations issued and not yet waited for */
    struct space_lock lock;
    struct port_lock map_lock; /* outside lock: explicit map and unmap, one at a time */
    uint64_t max_leaf;         /* 0: no cap. 4096: pre-cut (D6). Set it before anything is mapped */
    /* A fault that maps one 4K page maps so many around it too, where that costs no table: a power
     * of two, 1: none. */
    uint32_t fault_around;
    /* Of an I/O space: every device that walks it waits for the answer to a page request (stall or
     * PRI), so that lazy bindings and zaps are allowed. Set it before anything is bound. */
    bool page_requests;
    bool aged; /* some leaf may have lost its access flag */
    struct space_log log;
    struct binding binding[SPACE_BINDINGS];
    /* counters */
    uint64_t cuts, merges, refreshes, faults, around, write_faults, zaps;
};

/* Takes a root from the table pool. -ENOMEM, or -EINVAL for cfg (Arm's 16K and 64K granules too: tables here
 * are single pages). */
int space_init(struct space *s, enum space_kind kind, const struct pt_config *cfg);
/* Adds a walker of this tree; its live rules must already be met in cfg.live. -ENOSPC; -EEXIST. */
int space_add_walker(struct space *s, struct invalidator *inv);
/* The caller made sure that the hardware no longer walks and holds nothing. -ENOENT. */
int space_remove_walker(struct space *s, struct invalidator *inv);
/* Unbinds, and frees every table, root included. The caller made sure that no walker is left.
 * Cannot fail. */
void space_destroy(struct space *s);

/*
 * Bind pages [first, first+n) of an object: follow it from now on. prefill maps everything now (in
 * the largest legal leaves), otherwise faults and hints do (CPU only). Binding takes table pages
 * only. -EINVAL alignment, prot, or a lazy I/O binding; -EFAULT outside the object; -ERANGE;
 * -EBUSY object not scrubbed or going, or a space of pinned maps; -EEXIST something is mapped or
 * bound there; -ENOSPC; -ENOMEM. -EBUSY also where the binding would cross an end of a log, or shows
 * a window (VIEW_HOST) inside one. Nothing changed on error. A lazy binding of an I/O space needs
 * s->page_requests.
 */
int space_bind(struct space *s, struct gmem *gm, enum space_view view, uint64_t ia, uint64_t first,
               uint64_t n, uint32_t prot, bool prefill);
/* Unmaps every binding of the object here and stops following. -ENOENT. Never fails otherwise, never
 * allocates; no walker uses the old translations on return. */
int space_unbind(struct space *s, struct gmem *gm);

/*
 * Explicit mappings (host RAM, device registers). Ownership and pins are the caller's business,
 * before map and after unmap. space_unmap cuts at its edges, live, on every walker, and returns when
 * the invalidation completed. Errors as pt_map, pt_cut, pt_break; also -ENOMEM, -EBUSY (unmap) or
 * -EEXIST (map) where a binding stands, -EPERM in a space of pinned maps (iommu_map's) except for
 * what is not memory (device registers). -EBUSY: the range crosses an end of a log.
 */
int space_map(struct space *s, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot);
int space_unmap(struct space *s, uint64_t ia, uint64_t len);
/* Merge what is uniform in the range (hitless only); nothing where a binding stands. */
void space_merge(struct space *s, uint64_t ia, uint64_t len);

/*
 * A CPU's stage-2 fault, or a device's page request. 0: mapped (or was already): run again. -EAGAIN:
 * the page is in change: run again. -EFAULT: nothing is bound there. -EPERM: bound, but this access is not allowed (VIEW_HOST:
 * the page is private). -ENOMEM. Parallel faults on several CPUs are fine. Maps the largest legal
 * leaf, and around a 4K page its neighbours (fault_around); hints followers. A write to a page that
 * a log protects is logged, and the page made writable.
 */
int space_fault(struct space *s, uint64_t ia, uint32_t access);

/* ---- age.c ---- */
/*
 * Takes the translations of a bound range away (whole leaves: more than asked for may go); the next
 * access faults them in again. No walker uses the old ones on return. Only where every walker can
 * wait: -EOPNOTSUPP otherwise; -EBUSY something explicitly mapped in the range, or explicit pins;
 * -EINVAL, -ERANGE. Never allocates.
 */
int space_zap(struct space *s, uint64_t ia, uint64_t len);
/* Test and clear: *young: something in the range was accessed since the last time. -EOPNOTSUPP: a
 * walker does not set the access flag by itself; -EINVAL, -ERANGE. */
int space_age(struct space *s, uint64_t ia, uint64_t len, bool *young);

/* ---- live.c: what changes when a walker joins or leaves; while nothing is bound or unbound ---- */
/* Holds the object of every binding still: no conversion is under way and none begins, until
 * space_go. Faults and explicit maps go on. Not from within a conversion. */
void space_stop(struct space *s);
void space_go(struct space *s);
/*
 * New live rules for a tree in use, between space_stop and space_go: before a walker that can less
 * joins, after it has left. -EBUSY: a log, a lazy binding or a lost access flag (explicit maps) asks
 * for what the new rules do not give: a dirty bit, waiting for faults, setting the flag. -EAGAIN: a
 * prefilled binding has holes (zapped): space_prefill, and again. -ENOMEM. An
 * error changed nothing. Bound leaves that may have lost their access flag are made anew.
 */
int space_set_live(struct space *s, struct pt_live live);
/* Maps everything that is bound, and keeps it so: lazy bindings become prefilled ones. -ENOMEM: those
 * that were filled are lazy again, and what was mapped stays. */
int space_prefill(struct space *s);

/* ---- log.c; one call of these, space_map and space_unmap at a time per space (map_lock) ---- */
/*
 * Starts a log of [ia, ia+len), both multiples of SPACE_LOG_BLOCK. `bits` has one bit for each page,
 * all zero (as new memory is: nothing here looks at all of it), and is the space's until the stop, which leaves
 * it all zero. Every write that begins after the return is logged. A log that was started AHEAD (bits NULL) is turned into one that watches by a second call
 * for the same range.
 * -EINVAL alignment, kind, an end inside a binding, a window (VIEW_HOST) in the range; -ERANGE; -EBUSY
 * a log is on; -EOPNOTSUPP: DIRTY_BIT and a walker does not set it; WRITE_PROTECT and a device walks
 * the tree (an I/O fault costs too much, and most devices cannot wait), or something writable in the
 * range is explicitly mapped; or a leaf that crosses an end cannot be cut live. -ENOMEM.
 * An error changed nothing that a walker sees.
 */
int space_log_start(struct space *s, enum space_log_kind kind, uint64_t ia, uint64_t len,
                    uint64_t *bits);
/* Cuts up to `budget` leaves of the log's range to 4K, so that it reports pages: *cursor starts at 0.
 * 1 while there is more, 0 when done. -ENOENT no log; -ENOMEM, -EOPNOTSUPP: as far as it went. The
 * space's lock is free between any two leaves. */
int space_log_cut(struct space *s, uint64_t *cursor, uint32_t budget);
/* ORs the pages of [ia, ia+len) that were written since they were last read into `bitmap` (bit 0:
 * ia), and watches them anew. What was written before the call is in this answer or an earlier one;
 * what is written during it, in this one or the next: then the content that a page has after the
 * return includes every write that this answer reports. -ENOENT no log that watches; -EINVAL; -ERANGE
 * not inside it. */
int space_log_read_clear(struct space *s, uint64_t ia, uint64_t len, uint64_t *bitmap);
/* What was not read is forgotten. -ENOENT. */
int space_log_stop(struct space *s);
/* Merges what became uniform in bound parts of [ia, ia+len), `budget` blocks of 2M at a time, as
 * conversions do: *cursor starts at 0. 1 while there is more, 0 when done. */
int space_log_merge(struct space *s, uint64_t ia, uint64_t len, uint64_t *cursor, uint32_t budget);

int space_lookup(struct space *s, uint64_t ia, struct pt_leaf *leaf);
/* What the tree holds, root pages among the tables; nothing for a space that was never set up. */
void space_count(struct space *s, struct pt_counts *n);
/* Table pages in the tree (root too) and in reserves: with frame_tables_free() a constant sum. */
uint64_t space_tables(struct space *s);

/* ---- audit.c ---- */
/* Why a leaf is wrong; static words, NULL: it is right. */
typedef const char *(*space_audit_fn)(void *ctx, const struct pt_leaf *leaf, uint64_t pa);
struct space_audit {
    uint64_t leaves, pages, tables, violations;
    const char *first; /* what is wrong with the first violation */
    uint64_t first_ia, first_pa;
};
/*
 * Walks the whole tree: each 4K frame of each leaf must be one that `user` may use (owner or
 * borrower) and no table; each table page must be a table frame of the hypervisor. What the frame
 * table does not cover (device registers) is given to `device`, if not NULL, leaf by leaf; NULL: such
 * a leaf is wrong. Counts are added to *a. Takes the lock as a fault does.
 */
void space_audit(struct space *s, owner_t user, space_audit_fn device, void *ctx,
                 struct space_audit *a);

#endif
