/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of everything the judge can find wrong. One list: a test, a mutant's table line and a
 * message all use model_verdict_name(), so a name is never written twice.
 */
#ifndef MODEL_VERDICT_H
#define MODEL_VERDICT_H

#define MODEL_VERDICTS(X)                                            \
    X(OK, "ok")                                                      \
    /* what a walker saw */                                          \
    X(TRANSIENT_FAULT, "transient-fault")                            \
    X(WRONG_OUTPUT, "wrong-output-address")                          \
    X(WRONG_ATTRIBUTES, "wrong-attributes")                          \
    X(WRONG_PERMISSIONS, "wrong-permissions")                        \
    X(DATA_AS_TABLE, "data-page-parsed-as-table")                    \
    X(TABLE_REUSED, "table-reused-under-walker")                     \
    /* what a TLB still held after the invalidation had completed */ \
    X(STALE, "stale-after-invalidation")                             \
    X(STALE_SIZE, "stale-size-after-invalidation")                   \
    X(STALE_TABLE, "stale-table-pointer-after-invalidation")         \
    X(STALE_PERMISSION, "stale-permission-after-invalidation")       \
    X(STALE_DIRTY, "stale-dirty-after-invalidation")                 \
    X(HINT_EARLY, "level-hint-too-early")                            \
    X(WRONG_VMID, "invalidation-wrong-vmid")                         \
    X(WRONG_ASID, "invalidation-wrong-asid")                         \
    X(WRONG_STAGE, "invalidation-misses-combined-entries")           \
    X(LEAF_ONLY, "leaf-only-invalidation-after-table-change")        \
    X(CONFLICT_SIZE, "tlb-conflict-of-size")                         \
    X(CONFLICT_CONTENTS, "tlb-conflict-of-contents")                 \
    /* a store to a live table that the live rules forbid */         \
    X(BBM_SKIPPED, "break-before-make-skipped")                      \
    X(MAKE_EARLY, "make-before-invalidation")                        \
    X(SIZE_NEEDS_BBM, "size-change-needs-break-before-make")         \
    X(TABLE_NOT_FILLED, "table-linked-before-filled")                \
    X(TABLE_DIFFERS, "table-differs-from-block")                     \
    X(MERGE_DIFFERS, "block-differs-from-table")                     \
    X(NEIGHBOUR_BROKEN, "neighbour-made-non-present")                \
    X(TABLE_FREED_EARLY, "table-freed-before-invalidation")          \
    X(TABLE_FREED_LIVE, "live-table-freed")                          \
    X(NOT_CAS, "live-entry-stored-without-compare-exchange")         \
    X(DIRTY_LOST, "dirty-bit-lost")                                  \
    X(SET_DIFFERS, "entries-of-one-leaf-differ")                     \
    X(RESERVED_BITS, "reserved-bits-set")                            \
    X(UNLOGGED, "store-not-logged")                                  \
    /* what a device did */                                          \
    X(DMA_FAULT, "dma-fault")                                        \
    X(OWNER_EARLY, "owner-changed-before-wait")                      \
    X(DMA_TO_FREE, "dma-to-freed-memory")                            \
    X(DMA_TO_TABLE, "dma-to-table")                                  \
    X(DMA_OUTSIDE, "dma-outside-memory")

enum model_verdict {
#define MODEL_VERDICT_ENUM(id, name) MODEL_V_##id,
    MODEL_VERDICTS(MODEL_VERDICT_ENUM) MODEL_V_COUNT
#undef MODEL_VERDICT_ENUM
};

/* Never NULL; "?" for a value outside the list. */
const char *model_verdict_name(enum model_verdict v);

#endif
