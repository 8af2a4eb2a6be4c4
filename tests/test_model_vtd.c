/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: VT-d second-stage tables. */
#include "lib_model.h"

/* VT-d 9.8 */
enum { R = 1, W = 2, PS = 1 << 7, A = 1 << 8, D = 1 << 9, SNP = 1 << 11 };

static const struct model_walk_cfg aw_48 = {
    .fmt = &model_vtd2,
    .stage = 2,
    .ia_bits = 48,
    .oa_bits = 46,
    .start_level = 0,
    .ha = true,
    .hd = true,
    .snoop = true,
    .page1g = true,
    .page2m = true,
};

static void start(struct lm *m, const struct model_walk_cfg *cfg)
{
    lm_start(m, cfg);
    lm_link_as(m, R | W, 0xffffffffff000, 0);
}

static void walks_3_4_and_5_levels(void **state)
{
    struct model_walk_cfg c = aw_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (int level = 1; level >= -1; level--) {
        c.start_level = (int16_t)level;
        c.ia_bits = (uint8_t)(39 + 9 * (1 - level));
        start(&m, &c);
        lm_map(&m, 0x40000000, 1, 0x3f80000000 | R | W | PS);
        lm_map(&m, 0x80200000, 2, 0x12200000 | R | W | PS | SNP);
        lm_map(&m, 0x80403000, 3, 0x80401000 | R | W);
        LM_WALK(&m, 0x52345678, rd, MODEL_OK, 0x3f92345678);
        assert_int_equal(x.shift, 30);
        assert_int_equal(x.attr, 0);
        LM_WALK(&m, 0x803fffff, rd, MODEL_OK, 0x123fffff);
        assert_int_equal(x.shift, 21);
        assert_int_equal(x.attr, SNP);
        LM_WALK(&m, 0x80403abc, wr, MODEL_OK, 0x80401abc);
        assert_int_equal(x.depth, 4 - level);
        LM_WALK(&m, 0x80404000, rd, MODEL_FAULT_TRANSLATION, 0);
        LM_WALK(&m, (uint64_t)1 << c.ia_bits, rd, MODEL_FAULT_TRANSLATION, 0);
        lm_map(&m, ((uint64_t)1 << c.ia_bits) - LM_4K, 3, 0x80402000 | R);
        LM_WALK(&m, ((uint64_t)1 << c.ia_bits) - 1, rd, MODEL_OK, 0x80402fff);
        lm_destroy(&m);
    }
}

static void takes_rights_of_every_level(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    start(&m, &aw_48);
    lm_map(&m, 0, 3, 0x80400000 | R);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000 | W); /* write-only is legal here */
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000); /* neither: not there */
    LM_WALK(&m, 0, rd, MODEL_FAULT_TRANSLATION, 0);
    lm_map(&m, 0, 3, 0x80400000 | R | W);
    e = lm_entry(&m, 0, 1);
    lm_set(&m, e, lm_get(&m, e) & ~(uint64_t)W);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_destroy(&m);
}

static void sets_flags_where_enabled(void **state)
{
    struct model_walk_cfg c = aw_48;
    struct lm m;
    struct model_xlat x;
    uint64_t leaf, top;

    (void)state;
    start(&m, &aw_48);
    lm_map(&m, 0, 3, 0x80400000 | R | W);
    leaf = lm_entry(&m, 0, 3);
    top = lm_entry(&m, 0, 0);
    LM_WALK(&m, 0, spec_wr, MODEL_OK, 0x80400000);
    assert_int_equal(lm_get(&m, leaf) & (A | D), A);
    assert_int_equal(lm_get(&m, top) & (A | D), A);
    assert_true(x.clean);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_int_equal(lm_get(&m, leaf) & (A | D), A | D);
    assert_int_equal(lm_get(&m, top) & (A | D), A);
    assert_true(x.dirty);
    assert_int_equal(model_vtd2.hw_mask(&aw_48), A | D);
    lm_destroy(&m);

    c.ha = c.hd = false;
    start(&m, &c);
    lm_map(&m, 0, 3, 0x80400000 | R | W);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_int_equal(lm_get(&m, lm_entry(&m, 0, 3)), 0x80400000 | R | W);
    assert_false(x.clean || x.dirty || x.updated);
    assert_int_equal(model_vtd2.hw_mask(&c), 0);
    lm_destroy(&m);
}

static void faults_on_reserved_bits(void **state)
{
    static const struct {
        int level;
        uint64_t raw;
        bool reserved;
    } row[] = {
        { 3, 0x80400000 | R | SNP, false },
        { 3, ((uint64_t)1 << 45) | R, false },
        { 3, ((uint64_t)1 << 46) | R, true },
        { 3, 0x80400000 | R | PS, false }, /* ignored in a 4K entry */
        { 3, 0x80400000 | R | (uint64_t)0xfff << 52, false },
        { 2, 0x80400000 | R | PS | 1 << 12, true },
        { 2, 0x80400000 | R | PS | 1 << 20, true },
        { 1, 0x80000000 | R | PS | 1 << 29, true },
        { 0, 0x80000000 | R | PS, true },
        { 2, LM_DATA | R | SNP, true },
    };
    struct model_walk_cfg c = aw_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        start(&m, &aw_48);
        lm_map(&m, 0, row[i].level, row[i].raw);
        assert_int_equal(lm_walk(&m, 0, rd, &x), row[i].reserved ? MODEL_FAULT_RESERVED : MODEL_OK);
        if (row[i].reserved)
            assert_int_equal(x.level, row[i].level);
        lm_destroy(&m);
    }
    c.page2m = c.page1g = c.snoop = false;
    start(&m, &c);
    lm_map(&m, 0, 1, 0x80000000 | R | PS);
    lm_map(&m, LM_1G, 2, 0x80000000 | R | PS);
    lm_map(&m, 2 * LM_1G, 3, 0x80000000 | R | SNP);
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    LM_WALK(&m, LM_1G, rd, MODEL_FAULT_RESERVED, 0);
    LM_WALK(&m, 2 * LM_1G, rd, MODEL_FAULT_RESERVED, 0);
    lm_destroy(&m);
}

/* Bits that change nothing but rights, flags and software's notes; hardware's own; extremes. */
static void knows_masks_and_limits(void **state)
{
    struct model_walk_cfg c = aw_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    assert_int_equal(model_vtd2.live_mask(&c), 0xfff0000000000707);
    assert_true(model_vtd2.one_store);
    c.oa_bits = 32;
    assert_null(model_vtd2.check(&c));
    c.oa_bits = 52;
    c.ha = c.hd = false;
    start(&m, &c);
    lm_map(&m, 0, 3, 0xfffffffffe000 | R | D | 0x78); /* D is any bit without SSADE */
    LM_WALK(&m, 0xabc, rd, MODEL_OK, 0xfffffffffeabc);
    assert_false(x.dirty);
    assert_true(x.global);
    assert_int_equal(x.attr, 0x78); /* the memory type of nested translation */
    assert_int_equal(x.memtype, MODEL_MT_AS_S1);
    assert_int_equal(x.perms, MODEL_R | MODEL_X | (MODEL_R | MODEL_X) << MODEL_USER_SHIFT);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    (void)state;
    assert_null(model_vtd2.check(&aw_48));
    LM_BAD(aw_48, stage, 1);
    LM_BAD(aw_48, start_level, 2);
    LM_BAD(aw_48, start_level, -2);
    LM_BAD(aw_48, ia_bits, 39);
    LM_BAD(aw_48, oa_bits, 53);
    LM_BAD(aw_48, ha, false);
    LM_BAD(aw_48, root, 0x10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_3_4_and_5_levels),   cmocka_unit_test(takes_rights_of_every_level),
        cmocka_unit_test(sets_flags_where_enabled), cmocka_unit_test(faults_on_reserved_bits),
        cmocka_unit_test(knows_masks_and_limits),   cmocka_unit_test(refuses_bad_configurations),
    };

    return cmocka_run_group_tests_name("model vt-d", tests, NULL, NULL);
}
