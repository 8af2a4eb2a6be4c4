/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: the model TLB. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

#include "lib_model.h"

#define A  LM_DATA /* two pages that a mapping can be switched between */
#define B  (LM_DATA + LM_2M)
#define IA (LM_1G + LM_2M)

static struct model_tlb *tlb_of(enum model_tlb_mode mode, enum model_tlb_apply apply, uint64_t seed)
{
    struct model_tlb *t = model_tlb_new(
        &(struct model_tlb_cfg){ .mode = mode, .apply = apply, .seed = seed, .evict_rate = 32 });

    assert_non_null(t);
    return t;
}

static uint64_t oa(struct model_tlb *t, struct lm *m, uint64_t ia)
{
    struct model_xlat x;

    return model_tlb_translate(t, &m->ctx, ia, rd, &x) == MODEL_OK ? x.oa : UINT64_MAX;
}

static void invalidate(struct model_tlb *t, struct model_inv inv)
{
    model_tlb_invalidate(t, &inv);
}

static void old_is_used_until_the_sync(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);

    (void)state;
    lm_init(&m, 2, 39, 1);
    lm_map(&m, IA, 3, A | LM_PAGE);
    assert_int_equal(oa(t, &m, IA), A);
    lm_map(&m, IA, 3, B | LM_PAGE);
    assert_int_equal(oa(t, &m, IA), A);
    invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
    assert_int_equal(oa(t, &m, IA), A); /* issued is not complete */
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA), B);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* The other extreme: in effect at its issue, and what is filled from then on may stay. */
static void invalidation_before_the_store_helps_nobody(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_ONCE, 1);

    (void)state;
    lm_init(&m, 2, 39, 1);
    lm_map(&m, IA, 3, A | LM_PAGE);
    assert_int_equal(oa(t, &m, IA), A);
    invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 0, false));
    assert_int_equal(oa(t, &m, IA), A);
    lm_map(&m, IA, 3, B | LM_PAGE);
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA), A);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_STALE);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* At random: over many seeds both the old and the new are seen before the sync, only the new
 * after it. */
static void random_moment_of_effect(void **state)
{
    unsigned old = 0, new = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct lm m;
        struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_RANDOM, seed);

        lm_init(&m, 2, 39, 1);
        lm_map(&m, IA, 3, A | LM_PAGE);
        oa(t, &m, IA);
        lm_map(&m, IA, 3, B | LM_PAGE);
        invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
        for (int i = 0; i < 4; i++) {
            bool is_new = oa(t, &m, IA) == B;

            new += is_new;
            old += !is_new;
        }
        model_tlb_sync(t);
        assert_int_equal(oa(t, &m, IA), B);
        model_tlb_free(t);
        lm_destroy(&m);
    }
    assert_true(old > 10 && new > 10);
}

static void modes_differ(void **state)
{
    struct lm m;
    struct model_tlb *never = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    struct model_tlb *random = tlb_of(MODEL_TLB_RANDOM, MODEL_APPLY_AT_SYNC, 1);
    struct model_tlb *none = tlb_of(MODEL_TLB_NONE, MODEL_APPLY_AT_SYNC, 1);
    unsigned old = 0, new = 0;

    (void)state;
    lm_init(&m, 2, 39, 1);
    for (uint64_t i = 0; i < 64; i++)
        lm_map(&m, IA + i * LM_4K, 3, (A + i * LM_4K) | LM_PAGE);
    for (uint64_t i = 0; i < 64; i++) {
        assert_int_equal(oa(never, &m, IA + i * LM_4K), A + i * LM_4K);
        assert_int_equal(oa(random, &m, IA + i * LM_4K), A + i * LM_4K);
        assert_int_equal(oa(none, &m, IA + i * LM_4K), A + i * LM_4K);
    }
    assert_int_equal(model_tlb_entries(never), 64 + 2);
    assert_int_equal(model_tlb_entries(none), 0);
    assert_true(model_tlb_stats(random).evictions > 0);
    assert_int_equal(model_tlb_stats(never).evictions, 0);
    /* Never evicts: the oldest for ever. Random: from anything that matches. None: the tables. */
    lm_map(&m, IA, 3, B | LM_PAGE);
    model_tlb_prefetch(never, &m.ctx, IA);
    model_tlb_prefetch(random, &m.ctx, IA);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(oa(never, &m, IA), A);
        assert_int_equal(oa(none, &m, IA), B);
        old += oa(random, &m, IA) == A;
        new += oa(random, &m, IA) == B;
    }
    assert_true(new > 0);
    assert_true(old > 0);
    model_tlb_free(never);
    model_tlb_free(random);
    model_tlb_free(none);
    lm_destroy(&m);
}

/* Cut without invalidation, then a change with a hint for level 3: the 2M entry survives. */
static void level_hints_are_strict(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    uint64_t e, table;

    (void)state;
    lm_init(&m, 2, 39, 1);
    e = lm_entry(&m, IA, 2);
    lm_set(&m, e, 0x80600000 | LM_BLOCK);
    assert_int_equal(oa(t, &m, IA + LM_4K), 0x80601000);
    table = lm_full_table(&m, 3, 0x80600000, LM_PAGE);
    lm_set(&m, e, table | LM_TABLE);
    lm_set(&m, table + 8, 0);
    invalidate(t, model_inv_s2(LM_VMID, IA + LM_4K, LM_4K, 3, true));
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA + LM_4K), 0x80601000); /* stale, and the reason is known */
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_HINT_EARLY);
    /* Without the range form and its alignment rule: still a hint. */
    invalidate(t, model_inv_s2(LM_VMID, IA + LM_4K, 0, 3, true));
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA + LM_4K), 0x80601000);
    /* A range with a hint for level 2 that does not start at 2M: removes nothing. */
    invalidate(t, model_inv_s2(LM_VMID, IA + LM_4K, LM_4K, 2, true));
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA + LM_4K), 0x80601000);
    /* No hint: any entry that holds the address. */
    invalidate(t, model_inv_s2(LM_VMID, IA + LM_4K, LM_4K, 0, true));
    model_tlb_sync(t);
    assert_int_equal(oa(t, &m, IA + LM_4K), UINT64_MAX);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);
}

static void key_and_hint(void **state)
{
    const struct model_key leaf2 = { .ia = LM_1G, .vmid = 7, .stage = 2, .level = 2, .shift = 21 };
    const struct model_key point1 = {
        .ia = LM_1G, .vmid = 7, .stage = 2, .level = 1, .shift = 30, .table = true
    };
    const struct model_key point2 = {
        .ia = LM_1G, .vmid = 7, .stage = 2, .level = 2, .shift = 21, .table = true
    };
    struct model_inv i;

    (void)state;
    /* IHI0070 4.4.1: with Leaf 0 and a hint, table descriptors of the levels before it go too. */
    i = model_inv_s2(7, LM_1G, LM_2M, 2, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_OK);
    assert_int_equal(model_inv_match(&i, &point1), MODEL_V_OK);
    assert_int_equal(model_inv_match(&i, &point2), MODEL_V_HINT_EARLY);
    i = model_inv_s2(7, LM_1G, LM_2M, 3, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_HINT_EARLY);
    assert_int_equal(model_inv_match(&i, &point2), MODEL_V_OK);
    i = model_inv_s2(7, LM_1G, LM_2M, 0, false);
    assert_int_equal(model_inv_match(&i, &point2), MODEL_V_OK);
    i = model_inv_s2(7, LM_1G, LM_2M, 0, true);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_OK);
    assert_int_equal(model_inv_match(&i, &point2), MODEL_V_LEAF_ONLY);
    i = model_inv_s2(8, LM_1G, LM_2M, 0, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_WRONG_VMID);
    /* Edges: the last byte before, the last byte of, the first byte after. */
    i = model_inv_s2(7, LM_1G - LM_4K, LM_4K, 0, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_STALE);
    i = model_inv_s2(7, LM_1G - LM_4K, LM_4K + 1, 0, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_OK);
    i = model_inv_s2(7, LM_1G + LM_2M - 1, 0, 0, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_OK);
    i = model_inv_s2(7, LM_1G + LM_2M, 0, 0, false);
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_STALE);
    i = model_inv_s1(7, 0, LM_1G, LM_2M, 0, false); /* the other stage */
    assert_int_equal(model_inv_match(&i, &leaf2), MODEL_V_STALE);
}

static void tags_of_stage_1(void **state)
{
    struct model_key k = { .ia = LM_1G, .vmid = 1, .asid = 5, .stage = 1, .level = 3, .shift = 12 };
    struct model_inv i = model_inv_s1(1, 6, LM_1G, LM_4K, 0, true);

    (void)state;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_WRONG_ASID);
    i.any_asid = true;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_OK);
    i.any_asid = false;
    k.global = true; /* a global entry belongs to every ASID */
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_OK);
    i = (struct model_inv){ .kind = MODEL_INV_S1_ASID, .vmid = 1, .asid = 5 };
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_STALE); /* and to none of them */
    k.global = false;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_OK);
    i.asid = 6;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_WRONG_ASID);
    i.kind = MODEL_INV_S1_VMID;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_OK);
    i.vmid = 2;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_WRONG_VMID);
    i.kind = MODEL_INV_VMID;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_WRONG_VMID);
    i.kind = MODEL_INV_ALL;
    assert_int_equal(model_inv_match(&i, &k), MODEL_V_OK);
}

/* Two address spaces with one table: an entry serves its own ASID only, a global one both. */
static void entries_keep_to_their_tags(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    struct model_ctx other;
    struct model_xlat x;

    (void)state;
    lm_init(&m, 1, 39, 1);
    other = m.ctx;
    other.asid = 99;
    lm_map(&m, IA, 3, A | LM_S1_PAGE);                         /* nG */
    lm_map(&m, IA + LM_4K, 3, A | (LM_S1_PAGE & ~(1u << 11))); /* global */
    oa(t, &m, IA);
    oa(t, &m, IA + LM_4K);
    lm_map(&m, IA, 3, B | LM_S1_PAGE);
    lm_map(&m, IA + LM_4K, 3, B | (LM_S1_PAGE & ~(1u << 11)));
    model_tlb_translate(t, &other, IA, rd, &x);
    assert_int_equal(x.oa, B);
    model_tlb_translate(t, &other, IA + LM_4K, rd, &x);
    assert_int_equal(x.oa, A);
    assert_int_equal(x.source, MODEL_FROM_LEAF);
    other.vmid = 1;
    model_tlb_translate(t, &other, IA + LM_4K, rd, &x);
    assert_int_equal(x.oa, B);
    model_tlb_free(t);
    lm_destroy(&m);
}

static void wrong_vmid_is_named(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_RANDOM, 3);

    (void)state;
    lm_init(&m, 2, 39, 1);
    lm_map(&m, IA, 3, A | LM_PAGE);
    model_tlb_prefetch(t, &m.ctx, IA);
    lm_map(&m, IA, 3, 0);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_STALE); /* none at all so far */
    invalidate(t, model_inv_s2(LM_VMID + 1, IA, LM_4K, 0, false));
    invalidate(t, (struct model_inv){ .kind = MODEL_INV_VMID, .vmid = LM_VMID + 1 });
    model_tlb_sync(t);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_WRONG_VMID);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* A merge: leaf-only invalidation leaves the pointer to the old table. When that is freed, a walk
 * parses what the page has become. */
static void stale_table_pointer(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    struct model_xlat x;
    uint64_t e, table;

    (void)state;
    lm_init(&m, 2, 39, 1);
    e = lm_entry(&m, IA, 2);
    table = lm_full_table(&m, 3, 0x80600000, LM_PAGE);
    lm_set(&m, e, table | LM_TABLE);
    oa(t, &m, IA);
    lm_set(&m, e, 0x80600000 | LM_BLOCK);
    invalidate(t, model_inv_s2(LM_VMID, IA, LM_2M, 0, true));
    model_tlb_sync(t);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_LEAF_ONLY);
    assert_int_equal(oa(t, &m, IA + LM_4K), 0x80601000); /* right, but through the old table */
    model_phys_mark(&m.phys, table, LM_4K, MODEL_PAGE_FREE, 0);
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA + 2 * LM_4K, rd, &x), MODEL_FAULT_BAD_TABLE);
    assert_int_equal(x.verdict, MODEL_V_DATA_AS_TABLE);
    assert_int_equal(x.stale_why, MODEL_V_LEAF_ONLY);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    model_phys_mark(&m.phys, table, LM_4K, MODEL_PAGE_TABLE, 0);
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA + 2 * LM_4K, rd, &x), MODEL_FAULT_BAD_TABLE);
    assert_int_equal(x.verdict, MODEL_V_TABLE_REUSED);
    assert_int_equal(model_tlb_stats(t).bad_tables, 2);
    /* Done right: walk caches included. One address is enough for the pointer, not for the leaves. */
    invalidate(t, model_inv_s2(LM_VMID, IA + 9 * LM_4K, 0, 0, false));
    model_tlb_sync(t);
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA + 2 * LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.shift, 21);
    assert_int_equal(model_tlb_check(t, &m.ctx),
                     MODEL_V_STALE_SIZE); /* [IA + 4K] of the old table */
    /* The same page freed and linked again in its old place is another table all the same. */
    invalidate(t, (struct model_inv){ .kind = MODEL_INV_ALL });
    model_tlb_sync(t);
    lm_set(&m, e, table | LM_TABLE);
    model_tlb_prefetch(t, &m.ctx, IA);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_phys_mark(&m.phys, table, LM_4K, MODEL_PAGE_TABLE, 0);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_STALE_TABLE);
    model_tlb_free(t);
    lm_destroy(&m);
}

static void conflicts_are_told_apart(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    struct model_xlat x;
    uint64_t e, table;

    (void)state;
    lm_init(&m, 2, 39, 1);
    e = lm_entry(&m, IA, 2);
    lm_set(&m, e, 0x80600000 | LM_BLOCK);
    oa(t, &m, IA);
    table = lm_full_table(&m, 3, 0x80600000, LM_PAGE);
    lm_set(&m, table + 2 * 8, 0x80602000 | (LM_PAGE & ~LM_WRITE)); /* rights may differ */
    lm_set(&m, table + 3 * 8, 0x80604000 | LM_PAGE);               /* address may not */
    lm_set(&m, table + 4 * 8, 0x80604000 | (LM_PAGE & ~0x3cu));    /* nor memory type */
    lm_set(&m, e, table | LM_TABLE);
    for (uint64_t i = 0; i < 5; i++)
        model_tlb_prefetch(t, &m.ctx, IA + i * LM_4K);
    for (uint64_t i = 0; i < 5; i++) {
        model_tlb_translate(t, &m.ctx, IA + i * LM_4K, rd, &x);
        assert_int_equal(x.conflict, i < 3 ? MODEL_V_CONFLICT_SIZE : MODEL_V_CONFLICT_CONTENTS);
    }
    assert_int_equal(model_tlb_stats(t).conflicts_size, 3);
    assert_int_equal(model_tlb_stats(t).conflicts_contents, 2);
    /* Same size, other rights: no conflict, either may be used. */
    lm_set(&m, table + 10 * 8, 0x8060a000 | LM_PAGE);
    invalidate(t, (struct model_inv){ .kind = MODEL_INV_ALL });
    model_tlb_sync(t);
    model_tlb_prefetch(t, &m.ctx, IA + 10 * LM_4K);
    lm_set(&m, table + 10 * 8, 0x8060a000 | (LM_PAGE & ~LM_WRITE));
    model_tlb_prefetch(t, &m.ctx, IA + 10 * LM_4K);
    model_tlb_translate(t, &m.ctx, IA + 10 * LM_4K, rd, &x);
    assert_int_equal(x.conflict, MODEL_V_OK);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_STALE_PERMISSION);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* A CPU whose guest has stage 1 off: IPA invalidation alone leaves combined entries, and the order
 * with one wait between the two matters. */
static void combined_entries(void **state)
{
    unsigned stale = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 160; seed++) {
        bool two_waits = seed % 2;
        struct lm m;
        struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){
            .mode = MODEL_TLB_NEVER_EVICTS, .seed = seed, .combined = true, .spec_rate = 200 });

        lm_init(&m, 2, 39, 1);
        lm_map(&m, IA, 3, A | LM_PAGE);
        model_tlb_prefetch(t, &m.ctx, IA);
        assert_int_equal(model_tlb_entries(t), 4); /* two pointers, the leaf in both forms */
        model_tlb_speculate_in(t, &m.ctx, IA, LM_4K);
        lm_map(&m, IA, 3, B | LM_PAGE);
        if (seed == 0) {
            invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
            model_tlb_sync(t);
            assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_WRONG_STAGE);
            model_tlb_speculate_nowhere(t);
            assert_int_equal(oa(t, &m, IA), A); /* and it is used */
            model_tlb_speculate_in(t, &m.ctx, IA, LM_4K);
        }
        invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
        if (two_waits)
            model_tlb_sync(t);
        invalidate(t, (struct model_inv){ .kind = MODEL_INV_S1_VMID, .vmid = LM_VMID });
        model_tlb_sync(t);
        if (two_waits)
            assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
        else
            stale += model_tlb_check(t, &m.ctx) != MODEL_V_OK;
        model_tlb_free(t);
        lm_destroy(&m);
    }
    assert_true(stale > 3); /* refilled from an old stage 2 entry between the two effects */
}

static void stepped_walk_ends_or_restarts_at_the_sync(void **state)
{
    unsigned ended = 0, restarted = 0;

    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct lm m;
        struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, seed);
        struct model_xlat x;
        uint64_t table;
        int h;

        lm_init(&m, 2, 39, 1);
        table = lm_full_table(&m, 3, 0x80600000, LM_PAGE);
        lm_map(&m, IA, 2, table | LM_TABLE);
        h = model_tlb_walk_begin(t, &m.ctx, IA, rd);
        assert_true(h >= 0);
        assert_false(model_tlb_walk_step(t, h));
        assert_false(model_tlb_walk_step(t, h)); /* holds the pointer to the table */
        lm_map(&m, IA, 2, 0x80600000 | LM_BLOCK);
        invalidate(t, model_inv_s2(LM_VMID, IA, LM_2M, 0, false));
        model_tlb_sync(t);
        model_phys_mark(&m.phys, table, LM_4K, MODEL_PAGE_FREE, 0);
        assert_int_equal(model_tlb_walk_end(t, h, &x), MODEL_OK); /* never a bad table */
        assert_int_equal(x.oa, 0x80600000);
        ended += x.shift == 12;
        restarted += x.shift == 21;
        assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
        model_tlb_free(t);
        lm_destroy(&m);
    }
    assert_true(ended > 0 && restarted > 0);
}

static void speculation_fills_but_never_dirties(void **state)
{
    struct lm m;
    struct model_tlb *t = model_tlb_new(
        &(struct model_tlb_cfg){ .mode = MODEL_TLB_RANDOM, .seed = 5, .spec_rate = 255 });
    uint64_t table;

    (void)state;
    lm_init(&m, 2, 39, 1);
    m.ctx.walk.ha = m.ctx.walk.hd = true;
    table = lm_full_table(&m, 3, 0x80600000, (LM_PAGE & ~(LM_WRITE | LM_AF)) | LM_DBM);
    lm_map(&m, IA, 2, table | LM_TABLE);
    assert_true(model_tlb_speculate_in(t, &m.ctx, IA, LM_2M));
    model_tlb_speculate(t, 100);
    for (int i = 0; i < 500; i++)
        model_tlb_tick(t);
    assert_true(model_tlb_entries(t) > 100);
    for (unsigned i = 0, young = 0; i < 512; i++) {
        young += (lm_get(&m, table + i * 8) & LM_AF) != 0;
        assert_int_equal(lm_get(&m, table + i * 8) & LM_WRITE, 0);
        if (i == 511)
            assert_true(young > 100);
    }
    model_tlb_speculate_nowhere(t);
    /* Nothing is kept of a leaf with nT, or without its access flag. */
    invalidate(t, (struct model_inv){ .kind = MODEL_INV_ALL });
    model_tlb_sync(t);
    m.ctx.walk.ha = m.ctx.walk.hd = false;
    m.ctx.walk.bbm = 1;
    lm_map(&m, 3 * LM_1G, 1, 0x4000000000 | LM_BLOCK | LM_NT);
    lm_map(&m, 4 * LM_1G, 1, 0x4000000000 | (LM_BLOCK & ~LM_AF));
    model_tlb_prefetch(t, &m.ctx, 3 * LM_1G);
    model_tlb_prefetch(t, &m.ctx, 4 * LM_1G);
    m.ctx.walk.ha = true; /* a permission fault comes before the flag is set */
    lm_map(&m, 5 * LM_1G, 1, 0x4000000000 | (LM_BLOCK & ~(LM_AF | LM_READ)));
    assert_int_equal(oa(t, &m, 5 * LM_1G), UINT64_MAX);
    assert_int_equal(model_tlb_entries(t), 0);
    model_tlb_free(t);
    lm_destroy(&m);
}

static void dirty_through_the_tlb(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    struct model_xlat x;
    uint64_t e;

    (void)state;
    lm_init(&m, 2, 39, 1);
    m.ctx.walk.ha = m.ctx.walk.hd = true;
    e = lm_entry(&m, IA, 3);
    lm_set(&m, e, A | (LM_PAGE & ~LM_WRITE) | LM_DBM);
    oa(t, &m, IA); /* cached clean */
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA, wr, &x), MODEL_OK);
    assert_true(lm_get(&m, e) & LM_WRITE);
    /* Made clean without invalidation: the next write leaves no trace. */
    lm_set(&m, e, lm_get(&m, e) & ~LM_WRITE);
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA, wr, &x), MODEL_OK);
    assert_false(lm_get(&m, e) & LM_WRITE);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_STALE_DIRTY);
    invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
    model_tlb_sync(t);
    assert_int_equal(model_tlb_translate(t, &m.ctx, IA, wr, &x), MODEL_OK);
    assert_true(lm_get(&m, e) & LM_WRITE);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* The same seed gives the same story. */
static void seeds_repeat(void **state)
{
    struct model_tlb_stats s[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct lm m;
        struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){
            .mode = MODEL_TLB_RANDOM, .seed = 11, .spec_rate = 100, .evict_rate = 20 });

        lm_init(&m, 2, 39, 1);
        for (uint64_t k = 0; k < 64; k++)
            lm_map(&m, IA + k * LM_4K, 3, (A + k * LM_4K) | LM_PAGE);
        model_tlb_speculate_in(t, &m.ctx, IA, 64 * LM_4K);
        for (uint64_t k = 0; k < 500; k++) {
            oa(t, &m, IA + k % 64 * LM_4K);
            if (k % 10 == 0)
                invalidate(t, model_inv_s2(LM_VMID, IA + k % 64 * LM_4K, LM_4K, 3, true));
            if (k % 40 == 0)
                model_tlb_sync(t);
        }
        s[i] = model_tlb_stats(t);
        model_tlb_free(t);
        lm_destroy(&m);
    }
    assert_memory_equal(&s[0], &s[1], sizeof(s[0]));
    assert_true(s[0].applied_early > 0 && s[0].applied_at_sync > 0 && s[0].leaf_hits > 0 &&
                s[0].pointer_hits > 0 && s[0].root_walks > 0);
}

/* ---- two at once ---- */

static sem_t in_report;
static atomic_bool other_back, came_early;

/* The first sync's report: the other sync has all the time it wants to come back too early. */
static void slow_report(void *ctx, const struct model_inv *inv, size_t count)
{
    (void)ctx;
    (void)inv;
    (void)count;
    sem_post(&in_report);
    usleep(50000);
    came_early = other_back;
}

static void *first_sync(void *t)
{
    model_tlb_sync(t);
    return NULL;
}

/* Whose commands another one's sync took along is told so only when that one's report is over. */
static void sync_ends_after_those_before_it(void **state)
{
    struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
    pthread_t thread;

    (void)state;
    assert_int_equal(sem_init(&in_report, 0, 0), 0);
    assert_true(model_tlb_on_completed(t, slow_report, NULL));
    invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
    assert_int_equal(pthread_create(&thread, NULL, first_sync, t), 0);
    assert_int_equal(sem_wait(&in_report), 0);
    model_tlb_sync(t);
    other_back = true;
    pthread_join(thread, NULL);
    assert_false(came_early);
    sem_destroy(&in_report);
    model_tlb_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_is_used_until_the_sync),
        cmocka_unit_test(invalidation_before_the_store_helps_nobody),
        cmocka_unit_test(random_moment_of_effect),
        cmocka_unit_test(modes_differ),
        cmocka_unit_test(level_hints_are_strict),
        cmocka_unit_test(key_and_hint),
        cmocka_unit_test(tags_of_stage_1),
        cmocka_unit_test(entries_keep_to_their_tags),
        cmocka_unit_test(wrong_vmid_is_named),
        cmocka_unit_test(stale_table_pointer),
        cmocka_unit_test(conflicts_are_told_apart),
        cmocka_unit_test(combined_entries),
        cmocka_unit_test(stepped_walk_ends_or_restarts_at_the_sync),
        cmocka_unit_test(speculation_fills_but_never_dirties),
        cmocka_unit_test(dirty_through_the_tlb),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(sync_ends_after_those_before_it),
    };

    return cmocka_run_group_tests_name("model: TLB", tests, NULL, NULL);
}
