/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: RISC-V tables, of a hart and of an IOMMU, first and second stage. */
#include "lib_model.h"

enum {
    V = 1,
    R = 1 << 1,
    W = 1 << 2,
    X = 1 << 3,
    U = 1 << 4,
    G = 1 << 5,
    A = 1 << 6,
    D = 1 << 7,
};
#define N       ((uint64_t)1 << 63)
#define PBMT(n) ((uint64_t)(n) << 61)
#define RWX     (V | R | W | X)
#define FULL    (RWX | A | D)
#define PPN(pa) ((uint64_t)(pa) >> 2)

static struct model_walk_cfg sv(unsigned levels, uint8_t stage)
{
    return (struct model_walk_cfg){
        .fmt = &model_riscv,
        .stage = stage,
        .ia_bits = (uint8_t)(12 + 9 * levels + (stage == 2 ? 2 : 0)),
        .oa_bits = 56,
        .start_level = (int16_t)(4 - (int)levels),
        .canonical = stage == 1,
        .svnapot = true,
        .svpbmt = true,
        .ha = true,
        .hd = true,
    };
}

static void start(struct lm *m, const struct model_walk_cfg *cfg)
{
    lm_start(m, cfg);
    lm_link_as(m, V, 0xfffffffffff000, 2);
}

static void walks_sv39_48_57(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned levels = 3; levels <= 5; levels++) {
        struct model_walk_cfg c = sv(levels, 1);
        uint64_t high = ~(uint64_t)0 << (c.ia_bits - 1), above = (uint64_t)1 << (c.ia_bits - 1);

        start(&m, &c);
        lm_map(&m, 0x40000000, 1, PPN(0xff3f80000000) | FULL);
        lm_map(&m, 0x80200000, 2, PPN(0x12200000) | FULL | PBMT(1));
        lm_map(&m, 0x80403000, 3, PPN(0x80401000) | FULL);
        lm_map(&m, high + 0x5000, 3, PPN(0x80402000) | FULL | G);
        LM_WALK(&m, 0x52345678, rd, MODEL_OK, 0xff3f92345678);
        assert_int_equal(x.shift, 30);
        assert_int_equal(x.memtype, MODEL_MT_AS_S1);
        LM_WALK(&m, 0x803fffff, wr, MODEL_OK, 0x123fffff);
        assert_int_equal(x.shift, 21);
        assert_int_equal(x.memtype, MODEL_MT_NC);
        LM_WALK(&m, 0x80403abc, ex, MODEL_OK, 0x80401abc);
        assert_int_equal(x.depth, levels);
        assert_false(x.global);
        LM_WALK(&m, high + 0x5abc, rd, MODEL_OK, 0x80402abc);
        assert_true(x.global);
        LM_WALK(&m, above + 0x5abc, rd, MODEL_FAULT_CANONICAL, 0);
        LM_WALK(&m, 0x80404000, rd, MODEL_FAULT_TRANSLATION, 0);
        lm_destroy(&m);
    }
}

/* 15.5.1: two more bits, a start table of 16 KiB, no sign, and everything is a user's access. */
static void walks_x4(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned levels = 3; levels <= 5; levels++) {
        struct model_walk_cfg c = sv(levels, 2);
        uint64_t top = (uint64_t)1 << c.ia_bits;

        start(&m, &c);
        assert_int_equal(model_root_entries(&c), 2048);
        lm_map(&m, top - LM_4K, 3, PPN(0x80402000) | FULL | U);
        lm_map(&m, 0, 3, PPN(0x80403000) | FULL);
        assert_int_equal(lm_get(&m, LM_TABLES + 2047 * 8) & 0xff, V);
        LM_WALK(&m, top - 1, rd, MODEL_OK, 0x80402fff);
        LM_WALK(&m, top - 1, user_wr, MODEL_OK, 0x80402fff);
        LM_WALK(&m, top, rd, MODEL_FAULT_TRANSLATION, 0);
        LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80403000); /* U is clear */
        LM_WALK(&m, 0, user_rd, MODEL_FAULT_PERMISSION, 0x80403000);
        lm_destroy(&m);
    }
}

static void knows_rights(void **state)
{
    struct model_walk_cfg c = sv(3, 1);
    struct lm m;
    struct model_xlat x;

    (void)state;
    start(&m, &c);
    lm_map(&m, 0, 3, PPN(0x80400000) | V | R | A);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, user_rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, PPN(0x80400000) | V | X | A); /* execute-only is legal */
    LM_WALK(&m, 0, ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, PPN(0x80400000) | FULL | U);
    LM_WALK(&m, 0, user_ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80400000); /* SUM is 0 */
    m.ctx.walk.sum = true;
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000); /* never, SUM or not */
    lm_destroy(&m);
}

static void updates_or_faults(void **state)
{
    struct model_walk_cfg c = sv(3, 1);
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    start(&m, &c);
    lm_map(&m, 0, 3, PPN(0x80400000) | RWX);
    e = lm_entry(&m, 0, 3);
    LM_WALK(&m, 0, spec_wr, MODEL_OK, 0x80400000);
    assert_int_equal(lm_get(&m, e) & (A | D), A);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_int_equal(lm_get(&m, e) & (A | D), A | D);
    assert_true(x.dirty);
    assert_int_equal(lm_get(&m, lm_entry(&m, 0, 2)) & 0xff, V); /* nothing in pointers */

    m.ctx.walk.ha = m.ctx.walk.hd = false; /* Svade */
    lm_set(&m, e, PPN(0x80400000) | RWX);
    LM_WALK(&m, 0, rd, MODEL_FAULT_ACCESS_FLAG, 0x80400000);
    lm_set(&m, e, PPN(0x80400000) | RWX | A);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    assert_int_equal(lm_get(&m, e) & (A | D), A);
    lm_set(&m, e, PPN(0x80400000) | FULL);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_int_equal(model_riscv.hw_mask(&m.ctx.walk), 0);
    lm_destroy(&m);
}

static void faults_on_reserved_encodings(void **state)
{
    static const struct {
        int level;
        uint64_t raw;
        enum model_fault fault;
    } row[] = {
        { 3, PPN(0x80400000) | FULL, MODEL_OK },
        { 3, PPN(0x80400000) | FULL | 3 << 8, MODEL_OK }, /* RSW */
        { 3, PPN(0x80400000) | V | W | A | D, MODEL_FAULT_RESERVED },
        { 3, PPN(0x80400000) | V | W | X | A | D, MODEL_FAULT_RESERVED },
        { 3, PPN(0x80400000) | V, MODEL_FAULT_TRANSLATION }, /* a pointer at the last level */
        { 3, PPN(0x80400000) | R | W | X, MODEL_FAULT_TRANSLATION },
        { 3, PPN(0x80400000) | FULL | (uint64_t)1 << 54, MODEL_FAULT_RESERVED },
        { 3, PPN(0x80400000) | FULL | (uint64_t)1 << 60, MODEL_FAULT_RESERVED },
        { 3, PPN(0x80400000) | FULL | PBMT(2), MODEL_OK },
        { 3, PPN(0x80400000) | FULL | PBMT(3), MODEL_FAULT_RESERVED },
        { 3, PPN(0x80408000) | FULL | N, MODEL_OK },
        { 3, PPN(0x80404000) | FULL | N, MODEL_FAULT_RESERVED },
        { 3, PPN(0x8040c000) | FULL | N, MODEL_FAULT_RESERVED },
        { 3, PPN(0x80400000) | FULL | N, MODEL_FAULT_RESERVED },
        { 2, PPN(0x80400000) | FULL | N, MODEL_FAULT_RESERVED },
        { 2, PPN(0x80401000) | FULL, MODEL_FAULT_RESERVED }, /* misaligned */
        { 1, PPN(0x80200000) | FULL, MODEL_FAULT_RESERVED },
        { 2, PPN(LM_TABLES) | V | A, MODEL_FAULT_RESERVED },
        { 2, PPN(LM_TABLES) | V | D, MODEL_FAULT_RESERVED },
        { 2, PPN(LM_TABLES) | V | U, MODEL_FAULT_RESERVED },
        { 2, PPN(LM_TABLES) | V | N, MODEL_FAULT_RESERVED },
        { 2, PPN(LM_TABLES) | V | PBMT(1), MODEL_FAULT_RESERVED },
    };
    struct model_walk_cfg c = sv(3, 1);
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        start(&m, &c);
        lm_map(&m, 0, row[i].level, row[i].raw);
        assert_int_equal(lm_walk(&m, 0, rd, &x), row[i].fault);
        assert_int_equal(x.level, row[i].level);
        lm_destroy(&m);
    }
    start(&m, &c);
    lm_map(&m, 0, 3, PPN(0x80408000) | FULL | N);
    lm_map(&m, LM_4K, 3, PPN(0x80400000) | FULL | PBMT(1));
    lm_map(&m, 2 * LM_4K, 3, PPN((uint64_t)1 << 55) | FULL);
    m.ctx.walk.svnapot = m.ctx.walk.svpbmt = false;
    m.ctx.walk.oa_bits = 55;
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    LM_WALK(&m, LM_4K, rd, MODEL_FAULT_RESERVED, 0);
    LM_WALK(&m, 2 * LM_4K, rd, MODEL_FAULT_ADDRESS_SIZE, 0);
    lm_destroy(&m);
}

static void walks_napot_ranges(void **state)
{
    struct model_walk_cfg c = sv(3, 2);
    struct lm m;
    struct model_xlat x;

    (void)state;
    start(&m, &c);
    for (unsigned i = 0; i < 16; i++)
        lm_map(&m, 0x70000 + i * LM_4K, 3, PPN(0x80428000) | RWX | U | N);
    for (unsigned i = 0; i < 16; i++) {
        LM_WALK(&m, 0x70000 + i * LM_4K + 7, user_rd, MODEL_OK, 0x80420000 + i * LM_4K + 7);
        assert_int_equal(x.shift, 16);
        assert_int_equal(x.entry_shift, 12);
        assert_int_equal(x.leaf_ia, 0x70000);
        assert_int_equal(x.leaf_oa, 0x80420000);
    }
    LM_WALK(&m, 0x75000, user_wr, MODEL_OK, 0x80425000);
    for (unsigned i = 0; i < 16; i++) /* D is of the entry that was used */
        assert_int_equal(!!(lm_get(&m, lm_entry(&m, 0x70000 + i * LM_4K, 3)) & D), i == 5);
    LM_WALK(&m, 0x80000, user_rd, MODEL_FAULT_TRANSLATION, 0);
    lm_destroy(&m);
}

/* G in a pointer: all mappings below are global. */
static void inherits_globalness(void **state)
{
    struct model_walk_cfg c = sv(3, 1);
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    start(&m, &c);
    lm_map(&m, 0, 3, PPN(0x80400000) | FULL);
    e = lm_entry(&m, 0, 1);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_false(x.global);
    lm_set(&m, e, lm_get(&m, e) | G);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_true(x.global);
    lm_destroy(&m);
}

/* Bits that change nothing but rights, flags and software's notes; hardware's own; extremes. */
static void knows_masks_and_limits(void **state)
{
    struct model_walk_cfg c = sv(3, 2);
    struct lm m;
    struct model_xlat x;

    (void)state;
    assert_int_equal(model_riscv.live_mask(&c), 0x3de);
    assert_int_equal(model_riscv.hw_mask(&c), 0xc0);
    assert_true(model_riscv.one_store);
    assert_int_equal(model_riscv.set_shift(&c, 3), 16);
    assert_int_equal(model_riscv.set_shift(&c, 2), 21);
    c.svnapot = false;
    assert_int_equal(model_riscv.set_shift(&c, 3), 12);
    c.oa_bits = 32;
    assert_null(model_riscv.check(&c));
    c.oa_bits = 56;
    c.ha = c.hd = false;
    start(&m, &c);
    lm_map(&m, 0, 3, PPN(0xfffffffffff000) | FULL | U | PBMT(2));
    LM_WALK(&m, 0xabc, rd, MODEL_OK, 0xfffffffffffabc);
    assert_true(x.global);
    assert_false(x.dirty);
    assert_int_equal(x.memtype, MODEL_MT_DEVICE);
    assert_int_equal(x.attr, 2);
    assert_int_equal(x.perms, MODEL_RWX_ALL);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    struct model_walk_cfg good = sv(3, 1), c;

    (void)state;
    for (unsigned levels = 3; levels <= 5; levels++)
        for (uint8_t stage = 1; stage <= 2; stage++) {
            c = sv(levels, stage);
            assert_null(model_riscv.check(&c));
        }
    LM_BAD(good, stage, 0);
    LM_BAD(good, stage, 2);
    LM_BAD(good, start_level, 2);
    LM_BAD(good, start_level, 0);
    LM_BAD(good, ia_bits, 41);
    LM_BAD(good, oa_bits, 57);
    LM_BAD(good, canonical, false);
    LM_BAD(good, ha, false);
    LM_BAD(good, root, 0x800);
    good = sv(3, 2);
    LM_BAD(good, root, 0x1000);
    LM_BAD(good, ia_bits, 39);
    LM_BAD(good, canonical, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_sv39_48_57),
        cmocka_unit_test(walks_x4),
        cmocka_unit_test(knows_rights),
        cmocka_unit_test(updates_or_faults),
        cmocka_unit_test(faults_on_reserved_encodings),
        cmocka_unit_test(walks_napot_ranges),
        cmocka_unit_test(inherits_globalness),
        cmocka_unit_test(knows_masks_and_limits),
        cmocka_unit_test(refuses_bad_configurations),
    };

    return cmocka_run_group_tests_name("model risc-v", tests, NULL, NULL);
}
