/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: x86-64 paging, as a CPU, AMD's nested paging and VT-d's first stage walk it. */
#include "lib_model.h"

/* SDM volume 3, table 4-20 and before */
enum {
    P = 1,
    RW = 1 << 1,
    US = 1 << 2,
    PWT = 1 << 3,
    PCD = 1 << 4,
    A = 1 << 5,
    D = 1 << 6,
    PS = 1 << 7,
    PAT = 1 << 7,
    G = 1 << 8,
    PAT_LARGE = 1 << 12,
};
#define XD  ((uint64_t)1 << 63)
#define ALL ((uint64_t)(P | RW | US | A | D))

static const struct model_walk_cfg cpu_48 = {
    .fmt = &model_x86,
    .mair = 0x0007040600070406, /* the PAT after reset: WB WT UC- UC, twice */
    .stage = 1,
    .ia_bits = 48,
    .oa_bits = 46,
    .start_level = 0,
    .ha = true,
    .hd = true,
    .canonical = true,
    .nx = true,
    .pge = true,
    .page1g = true,
};

static void start(struct lm *m, const struct model_walk_cfg *cfg)
{
    lm_start(m, cfg);
    lm_link_as(m, ALL, 0xffffffffff000, 0);
}

static struct model_walk_cfg levels_5(void)
{
    struct model_walk_cfg c = cpu_48;

    c.ia_bits = 57;
    c.start_level = -1;
    return c;
}

static void walks_each_leaf_size(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    start(&m, &cpu_48);
    lm_map(&m, 0x7f8000000000, 1, 0x3f80000000 | ALL | PS); /* PML4 255, PDPT 0: 1 GiB */
    lm_map(&m, 0x7f8040200000, 2, 0x12200000 | ALL | PS);   /* PDPT 1, PD 1: 2 MiB */
    lm_map(&m, 0x7f8040403000, 3, 0x80401000 | ALL);        /* PD 2, PT 3 */
    LM_WALK(&m, 0x7f8012345678, rd, MODEL_OK, 0x3f92345678);
    assert_int_equal(x.level, 1);
    assert_int_equal(x.shift, 30);
    assert_int_equal(x.depth, 2);
    assert_int_equal(x.chain[0].entry, LM_TABLES + 255 * 8);
    LM_WALK(&m, 0x7f80403fffff, wr, MODEL_OK, 0x123fffff);
    assert_int_equal(x.level, 2);
    assert_int_equal(x.shift, 21);
    LM_WALK(&m, 0x7f8040403abc, ex, MODEL_OK, 0x80401abc);
    assert_int_equal(x.level, 3);
    assert_int_equal(x.shift, 12);
    assert_int_equal(x.depth, 4);
    assert_int_equal(x.memtype, MODEL_MT_WB);
    LM_WALK(&m, 0x7f8040404000, rd, MODEL_FAULT_TRANSLATION, 0);
    assert_int_equal(x.level, 3);
    LM_WALK(&m, 0, rd, MODEL_FAULT_TRANSLATION, 0);
    assert_int_equal(x.level, 0);
    lm_destroy(&m);
}

static void takes_the_sign_of_addresses(void **state)
{
    struct model_walk_cfg c = levels_5();
    struct lm m;
    struct model_xlat x;

    (void)state;
    start(&m, &cpu_48);
    lm_map(&m, 0xffff800000001000, 3, 0x80402000 | ALL); /* PML4 256 */
    assert_int_equal(lm_get(&m, LM_TABLES + 256 * 8) & 0xfff, ALL);
    LM_WALK(&m, 0xffff800000001123, rd, MODEL_OK, 0x80402123);
    assert_int_equal(x.leaf_ia, 0xffff800000001000);
    LM_WALK(&m, 0x0000800000001123, rd, MODEL_FAULT_CANONICAL, 0);
    LM_WALK(&m, 0xfffe800000001123, rd, MODEL_FAULT_CANONICAL, 0);
    assert_int_equal(model_ia_extend(&m.ctx.walk, 0x800000000000), 0xffff800000000000);
    assert_int_equal(model_ia_extend(&m.ctx.walk, 0xffff7fffffffffff), 0x7fffffffffff);
    lm_destroy(&m);

    start(&m, &c);
    lm_map(&m, 0xff00000000005000, 3, 0x80403000 | ALL); /* PML5 256 */
    LM_WALK(&m, 0xff00000000005001, rd, MODEL_OK, 0x80403001);
    assert_int_equal(x.depth, 5);
    assert_int_equal(x.chain[0].level, -1);
    LM_WALK(&m, 0x0100000000005001, rd, MODEL_FAULT_CANONICAL, 0);
    lm_destroy(&m);

    /* AMD nested paging: a guest's physical address has no sign. */
    c = cpu_48;
    c.stage = 2;
    c.canonical = false;
    start(&m, &c);
    lm_map(&m, 0x800000001000, 3, 0x80404000 | ALL);
    LM_WALK(&m, 0x800000001fff, user_wr, MODEL_OK, 0x80404fff);
    LM_WALK(&m, 0xffff800000001fff, user_wr, MODEL_FAULT_TRANSLATION, 0);
    lm_destroy(&m);
}

/* 4.6: rights add up to the strictest of all levels. */
static void adds_up_rights(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t pml4e;

    (void)state;
    start(&m, &cpu_48);
    lm_map(&m, 0, 3, 0x80400000 | P | A);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, user_rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000 | ALL | XD);
    LM_WALK(&m, 0, user_wr, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, user_ex, MODEL_FAULT_PERMISSION, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_map(&m, 0, 3, 0x80400000 | ALL);
    LM_WALK(&m, 0, user_ex, MODEL_OK, 0x80400000);
    pml4e = lm_get(&m, LM_TABLES);
    lm_set(&m, LM_TABLES, pml4e & ~(uint64_t)RW);
    LM_WALK(&m, 0, user_rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, LM_TABLES, pml4e & ~(uint64_t)US);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, user_rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, LM_TABLES, pml4e | XD);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, ex, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_destroy(&m);
}

/* 4.8: A at every level that is used, D in the leaf at a write; both by compare-exchange. */
static void maintains_accessed_and_dirty(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e[4];

    (void)state;
    start(&m, &cpu_48);
    lm_link_as(&m, P | RW | US, 0xffffffffff000, 0);
    lm_map(&m, 0, 3, 0x80400000 | P | RW | US);
    for (int l = 0; l < 4; l++)
        e[l] = lm_entry(&m, 0, l);
    LM_WALK(&m, 0, peek_wr, MODEL_OK, 0x80400000);
    for (int l = 0; l < 4; l++)
        assert_false(lm_get(&m, e[l]) & (A | D));
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_true(x.updated);
    for (int l = 0; l < 4; l++)
        assert_int_equal(lm_get(&m, e[l]) & (A | D), A);
    LM_WALK(&m, 0, spec_wr, MODEL_OK, 0x80400000); /* never dirty */
    assert_true(x.clean);
    assert_false(lm_get(&m, e[3]) & D);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_true(x.dirty && !x.clean);
    assert_true(lm_get(&m, e[3]) & D);
    for (int l = 0; l < 3; l++)
        assert_false(lm_get(&m, e[l]) & D);
    /* A write that is refused leaves no D. */
    lm_set(&m, e[3], 0x80400000 | P | A);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    assert_false(lm_get(&m, e[3]) & D);
    /* The entry changes between read and update: the walk sees the new one. */
    lm_set(&m, e[3], 0x80400000 | P | RW | US);
    {
        struct model_walk w;

        model_walk_begin(&w, &m.ctx.walk, &m.mem, 0, wr);
        while (w.out.depth < 4)
            model_walk_step(&w);
        lm_set(&m, e[3], 0x80405000 | P | RW | US);
        while (!model_walk_step(&w))
            ;
        assert_int_equal(w.out.fault, MODEL_OK);
        assert_int_equal(w.out.oa, 0x80405000);
    }
    lm_destroy(&m);
}

/* 4.7 */
static void faults_on_reserved_bits(void **state)
{
    static const struct {
        int level;
        uint64_t raw;
        bool reserved;
    } row[] = {
        { 3, 0x80400000 | ALL, false },
        { 3, 0x80400000 | ALL | PAT, false },
        { 3, ((uint64_t)1 << 45) | ALL, false },
        { 3, ((uint64_t)1 << 46) | ALL, true }, /* MAXPHYADDR is 46 */
        { 3, ((uint64_t)1 << 51) | ALL, true },
        { 3, 0x80400000 | ALL | (uint64_t)0x7ff << 52, false }, /* ignored */
        { 2, 0x80400000 | ALL | PS, false },
        { 2, 0x80400000 | ALL | PS | PAT_LARGE, false },
        { 2, 0x80400000 | ALL | PS | 1 << 13, true },
        { 2, 0x80400000 | ALL | PS | 1 << 20, true },
        { 1, 0x80000000 | ALL | PS, false },
        { 1, 0x80000000 | ALL | PS | PAT_LARGE, false },
        { 1, 0x80000000 | ALL | PS | 1 << 29, true },
        { 0, 0x80000000 | ALL | PS, true },
    };
    struct model_walk_cfg c = levels_5();
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        start(&m, &cpu_48);
        lm_map(&m, 0, row[i].level, row[i].raw);
        assert_int_equal(lm_walk(&m, 0, rd, &x), row[i].reserved ? MODEL_FAULT_RESERVED : MODEL_OK);
        if (row[i].reserved)
            assert_int_equal(x.level, row[i].level);
        lm_set(&m, lm_entry(&m, 0, row[i].level), row[i].raw & ~(uint64_t)P);
        assert_int_equal(lm_walk(&m, 0, rd, &x), MODEL_FAULT_TRANSLATION);
        lm_destroy(&m);
    }
    start(&m, &c);
    lm_map(&m, 0, -1, 0x80400000 | ALL | PS);
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    assert_int_equal(x.level, -1);
    lm_destroy(&m);

    start(&m, &cpu_48);
    lm_map(&m, 0, 1, 0x80000000 | ALL | PS);
    lm_map(&m, LM_1G, 3, 0x80400000 | ALL | XD);
    m.ctx.walk.page1g = false;
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    m.ctx.walk.nx = false;
    LM_WALK(&m, LM_1G, rd, MODEL_FAULT_RESERVED, 0);
    lm_destroy(&m);
}

/* 4.9.2: PAT, PCD and PWT index the PAT, whose bytes are as in table 12-10. */
static void knows_memory_types(void **state)
{
    static const enum model_memtype type[] = { MODEL_MT_UC, MODEL_MT_WC,      MODEL_MT_WT,
                                               MODEL_MT_WP, MODEL_MT_WB,      MODEL_MT_UC_MINUS,
                                               MODEL_MT_WB, MODEL_MT_RESERVED };
    struct model_walk_cfg c = cpu_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    c.mair = 0x0206070605040100;
    start(&m, &c);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t low = (i & 1 ? PWT : 0u) | (i & 2 ? PCD : 0u);

        lm_map(&m, i * LM_4K, 3, 0x80400000 | ALL | low | (i & 4 ? PAT : 0u));
        lm_map(&m, (i + 1) * LM_2M, 2, 0x80400000 | ALL | PS | low | (i & 4 ? PAT_LARGE : 0u));
        LM_WALK(&m, i * LM_4K, rd, MODEL_OK, 0x80400000);
        assert_int_equal(x.memtype, type[i]);
        assert_int_equal(x.attr, i);
        LM_WALK(&m, (i + 1) * LM_2M, rd, MODEL_OK, 0x80400000);
        assert_int_equal(x.memtype, type[i]);
        assert_int_equal(x.attr, i);
    }
    lm_map(&m, 0, 3, 0x80400000 | ALL | G);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_true(x.global);
    m.ctx.walk.pge = false;
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_false(x.global);
    lm_destroy(&m);
}

/* Bits that change nothing but rights, flags and software's notes; hardware's own; extremes. */
static void knows_masks_and_limits(void **state)
{
    struct model_walk_cfg c = cpu_48;
    struct lm m;
    struct model_xlat x;

    (void)state;
    assert_int_equal(model_x86.live_mask(&c), 0xfff0000000000e66);
    assert_int_equal(model_x86.hw_mask(&c), 0x60);
    assert_true(model_x86.one_store);
    c.oa_bits = 32;
    assert_null(model_x86.check(&c));
    c.stage = 2;
    assert_null(model_x86.check(&c));
    c.oa_bits = 52;
    assert_null(model_x86.check(&c));
    start(&m, &c);
    lm_map(&m, 0, 3, 0xfffffffffe000 | ALL);
    LM_WALK(&m, 0xabc, rd, MODEL_OK, 0xfffffffffeabc);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    struct model_walk_cfg c;

    (void)state;
    assert_null(model_x86.check(&cpu_48));
    LM_BAD(cpu_48, stage, 0);
    LM_BAD(cpu_48, start_level, 1);
    LM_BAD(cpu_48, start_level, -1);
    LM_BAD(cpu_48, ia_bits, 47);
    LM_BAD(cpu_48, oa_bits, 53);
    LM_BAD(cpu_48, ha, false);
    LM_BAD(cpu_48, hd, false);
    LM_BAD(cpu_48, root, 0x800);
    c = levels_5();
    assert_null(model_x86.check(&c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_each_leaf_size),    cmocka_unit_test(takes_the_sign_of_addresses),
        cmocka_unit_test(adds_up_rights),          cmocka_unit_test(maintains_accessed_and_dirty),
        cmocka_unit_test(faults_on_reserved_bits), cmocka_unit_test(knows_memory_types),
        cmocka_unit_test(knows_masks_and_limits),  cmocka_unit_test(refuses_bad_configurations),
    };

    return cmocka_run_group_tests_name("model x86", tests, NULL, NULL);
}
