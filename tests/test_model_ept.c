/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: extended page tables. */
#include "lib_model.h"

/* SDM volume 3, 29.3.2 */
enum {
    R = 1,
    W = 2,
    X = 4,
    IPAT = 1 << 6,
    PS = 1 << 7,
    A = 1 << 8,
    D = 1 << 9,
    XU = 1 << 10,
};
#define TYPE(n) ((uint64_t)(n) << 3)
#define WB      TYPE(6)
#define RWX     (R | W | X)

static const struct model_walk_cfg ept_48 = {
    .fmt = &model_ept,
    .stage = 2,
    .ia_bits = 48,
    .oa_bits = 46,
    .start_level = 0,
    .ha = true,
    .hd = true,
    .page1g = true,
    .page2m = true,
};

static void start(struct lm *m, const struct model_walk_cfg *cfg)
{
    lm_start(m, cfg);
    lm_link_as(m, RWX, 0xffffffffff000, 0);
}

static void walks_4_and_5_levels(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (int level = 0; level >= -1; level--) {
        struct model_walk_cfg c = ept_48;

        c.start_level = (int16_t)level;
        c.ia_bits = level == 0 ? 48 : 57;
        start(&m, &c);
        lm_map(&m, 0x40000000, 1, 0x3f80000000 | RWX | PS | WB);
        lm_map(&m, 0x80200000, 2, 0x12200000 | RWX | PS | TYPE(0) | IPAT);
        lm_map(&m, 0x80403000, 3, 0x80401000 | RWX | WB | PS); /* ignored in a 4K entry */
        LM_WALK(&m, 0x52345678, rd, MODEL_OK, 0x3f92345678);
        assert_int_equal(x.shift, 30);
        assert_int_equal(x.memtype, MODEL_MT_WB);
        LM_WALK(&m, 0x803fffff, rd, MODEL_OK, 0x123fffff);
        assert_int_equal(x.shift, 21);
        assert_int_equal(x.memtype, MODEL_MT_UC);
        assert_int_equal(x.attr, IPAT);
        LM_WALK(&m, 0x80403abc, wr, MODEL_OK, 0x80401abc);
        assert_int_equal(x.depth, 4 - level);
        LM_WALK(&m, 0x80404000, rd, MODEL_FAULT_TRANSLATION, 0);
        LM_WALK(&m, (uint64_t)1 << c.ia_bits, rd, MODEL_FAULT_TRANSLATION, 0);
        lm_destroy(&m);
    }
}

static void takes_rights_of_every_level(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t pdpte;

    (void)state;
    start(&m, &ept_48);
    lm_map(&m, 0, 3, 0x80400000 | R | WB);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000 | RWX | WB);
    LM_WALK(&m, 0, user_ex, MODEL_OK, 0x80400000);
    pdpte = lm_entry(&m, 0, 1);
    lm_set(&m, pdpte, lm_get(&m, pdpte) & ~(uint64_t)W);
    LM_WALK(&m, 0, ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, pdpte, lm_get(&m, pdpte) & ~(uint64_t)X);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_destroy(&m);

    /* Mode-based execute control: bit 2 for supervisor, bit 10 for user addresses. */
    start(&m, &ept_48);
    m.ctx.walk.mbec = true;
    lm_link_as(&m, RWX | XU, 0xffffffffff000, 0);
    lm_map(&m, 0, 3, 0x80400000 | R | X | WB);
    LM_WALK(&m, 0, ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, user_ex, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000 | R | XU | WB);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, user_ex, MODEL_OK, 0x80400000);
    lm_destroy(&m);
}

/* 29.3.3.1 */
static void faults_on_misconfigurations(void **state)
{
    static const struct {
        int level;
        uint64_t raw;
        enum model_fault fault;
    } row[] = {
        { 3, 0x80400000 | R | WB, MODEL_OK },
        { 3, 0x80400000 | R | X | WB, MODEL_OK },
        { 3, 0x80400000 | W | WB, MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | W | X | WB, MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | X | WB, MODEL_FAULT_RESERVED }, /* execute-only is not supported */
        { 3, 0x80400000 | WB, MODEL_FAULT_TRANSLATION },
        { 3, 0x80400000 | XU | WB, MODEL_FAULT_TRANSLATION },
        { 3, 0x80400000 | R | TYPE(2), MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | R | TYPE(3), MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | R | TYPE(7), MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | R | TYPE(1), MODEL_OK },
        { 3, 0x80400000 | R | TYPE(4), MODEL_OK },
        { 3, 0x80400000 | R | TYPE(5), MODEL_OK },
        { 3, ((uint64_t)1 << 46) | R | WB, MODEL_FAULT_RESERVED },
        { 3, 0x80400000 | R | WB | (uint64_t)0xfff << 52 | 1 << 11, MODEL_OK },
        { 2, 0x80400000 | R | PS | WB | 1 << 12, MODEL_FAULT_RESERVED },
        { 2, 0x80400000 | R | PS | WB | 1 << 20, MODEL_FAULT_RESERVED },
        { 2, LM_TABLES | R | W | IPAT, MODEL_FAULT_RESERVED }, /* bits 6:3 of a table entry */
        { 2, LM_TABLES | R | W | 1 << 3, MODEL_FAULT_RESERVED },
        { 1, 0x80000000 | R | PS | WB | 1 << 29, MODEL_FAULT_RESERVED },
        { 0, 0x80000000 | R | PS | WB, MODEL_FAULT_RESERVED },
        { 0, LM_TABLES | R | PS, MODEL_FAULT_RESERVED },
    };
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        start(&m, &ept_48);
        lm_map(&m, 0, row[i].level, row[i].raw);
        assert_int_equal(lm_walk(&m, 0, rd, &x), row[i].fault);
        assert_int_equal(x.level, row[i].level);
        lm_destroy(&m);
    }
    start(&m, &ept_48);
    lm_map(&m, 0, 3, 0x80400000 | X | WB);
    lm_map(&m, LM_1G, 1, LM_1G | R | PS | WB);
    lm_map(&m, 2 * LM_1G, 2, LM_1G | R | PS | WB);
    m.ctx.walk.exec_only = true;
    LM_WALK(&m, 0, ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80400000);
    m.ctx.walk.page1g = m.ctx.walk.page2m = false;
    LM_WALK(&m, LM_1G, rd, MODEL_FAULT_RESERVED, 0);
    LM_WALK(&m, 2 * LM_1G, rd, MODEL_FAULT_RESERVED, 0);
    /* With mode-based execute control, bit 10 alone makes an entry present: and misconfigured. */
    m.ctx.walk.mbec = true;
    m.ctx.walk.exec_only = false;
    lm_map(&m, 0, 3, 0x80400000 | XU | WB);
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    lm_destroy(&m);
}

static void sets_flags_where_enabled(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned on = 0; on < 2; on++) {
        struct model_walk_cfg c = ept_48;

        c.ha = c.hd = on != 0;
        start(&m, &c);
        lm_map(&m, 0, 2, 0x80400000 | RWX | PS | WB);
        LM_WALK(&m, 0, spec_wr, MODEL_OK, 0x80400000);
        assert_int_equal(x.clean, on);
        assert_int_equal(lm_get(&m, lm_entry(&m, 0, 2)) & (A | D), on ? A : 0);
        assert_int_equal(lm_get(&m, lm_entry(&m, 0, 0)) & (A | D), on ? A : 0);
        LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
        assert_int_equal(lm_get(&m, lm_entry(&m, 0, 2)) & (A | D), on ? A | D : 0);
        assert_int_equal(lm_get(&m, lm_entry(&m, 0, 1)) & (A | D), on ? A : 0);
        assert_int_equal(x.dirty, on);
        assert_int_equal(model_ept.hw_mask(&c), on ? A | D : 0);
        lm_destroy(&m);
    }
}

/* Bits that change nothing but rights, flags and software's notes; hardware's own; extremes. */
static void knows_masks_and_limits(void **state)
{
    struct model_walk_cfg c = ept_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    assert_int_equal(model_ept.live_mask(&c), 0xfff0000000000f07);
    assert_true(model_ept.one_store);
    c.oa_bits = 32;
    assert_null(model_ept.check(&c));
    c.oa_bits = 52;
    c.ha = c.hd = false;
    start(&m, &c);
    lm_map(&m, 0, 3, 0xfffffffffe000 | R | D | WB);
    LM_WALK(&m, 0xabc, rd, MODEL_OK, 0xfffffffffeabc);
    assert_false(x.dirty);
    assert_true(x.global);
    assert_int_equal(x.attr, WB);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    (void)state;
    assert_null(model_ept.check(&ept_48));
    LM_BAD(ept_48, stage, 1);
    LM_BAD(ept_48, start_level, 1);
    LM_BAD(ept_48, start_level, -1);
    LM_BAD(ept_48, ia_bits, 57);
    LM_BAD(ept_48, oa_bits, 31);
    LM_BAD(ept_48, hd, false);
    LM_BAD(ept_48, root, 0x200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_4_and_5_levels),
        cmocka_unit_test(takes_rights_of_every_level),
        cmocka_unit_test(faults_on_misconfigurations),
        cmocka_unit_test(sets_flags_where_enabled),
        cmocka_unit_test(knows_masks_and_limits),
        cmocka_unit_test(refuses_bad_configurations),
    };

    return cmocka_run_group_tests_name("model ept", tests, NULL, NULL);
}
