/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: the AMD IOMMU's host page tables. */
#include "lib_model.h"

/* 48882 2.2.3 */
#define PR      ((uint64_t)1)
#define A       ((uint64_t)1 << 5)
#define D       ((uint64_t)1 << 6)
#define NEXT(n) ((uint64_t)(n) << 9)
#define U       ((uint64_t)1 << 59)
#define FC      ((uint64_t)1 << 60)
#define IR      ((uint64_t)1 << 61)
#define IW      ((uint64_t)1 << 62)
#define LEAF    (PR | IR | IW)

static struct model_walk_cfg mode(unsigned n)
{
    return (struct model_walk_cfg){
        .fmt = &model_amdv1,
        .stage = 2,
        .ia_bits = (uint8_t)(n == 6 ? 64 : 12 + 9 * n),
        .oa_bits = 52,
        .start_level = (int16_t)(4 - (int)n),
    };
}

static void start(struct lm *m, const struct model_walk_cfg *cfg)
{
    lm_start(m, cfg);
}

/* An entry of a table that the test made itself. */
static uint64_t at(uint64_t table, unsigned index)
{
    return table + index * 8u;
}

static uint64_t table(struct lm *m, unsigned level)
{
    return lm_new_table(m) | PR | IR | IW | NEXT(level);
}

static uint64_t base(uint64_t entry)
{
    return entry & 0xffffffffff000;
}

static void walks_all_six_modes(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned n = 1; n <= 6; n++) {
        struct model_walk_cfg c = mode(n);
        uint64_t at_root = LM_TABLES, ia = 0;

        start(&m, &c);
        for (unsigned l = n; l > 1; l--) { /* entry l of each table on the way down */
            uint64_t t = table(&m, l - 1);

            lm_set(&m, at(at_root, l), t);
            ia |= (uint64_t)l << (12 + 9 * (l - 1));
            at_root = base(t);
        }
        lm_set(&m, at(at_root, 7), 0x80400000 | LEAF);
        ia |= 7 << 12;
        LM_WALK(&m, ia + 0x123, wr, MODEL_OK, 0x80400123);
        assert_int_equal(x.depth, n);
        assert_int_equal(x.level, 3);
        assert_int_equal(x.chain[0].level, 4 - (int)n);
        LM_WALK(&m, ia + 0x1000, rd, MODEL_FAULT_TRANSLATION, 0);
        if (n < 6)
            LM_WALK(&m, ia | (uint64_t)1 << (12 + 9 * n), rd, MODEL_FAULT_TRANSLATION, 0);
        lm_destroy(&m);
    }
}

static void skips_levels(void **state)
{
    struct model_walk_cfg c = mode(4);
    struct lm m;
    struct model_xlat x;
    uint64_t pte, t;

    (void)state;
    start(&m, &c);
    t = table(&m, 1); /* from level 4 straight to level 1: covers the first 2 MiB of 512 GiB */
    pte = base(t);
    lm_set(&m, at(LM_TABLES, 5), t);
    lm_set(&m, at(pte, 511), 0x80400000 | LEAF);
    LM_WALK(&m, ((uint64_t)5 << 39) + 0x1ff010, rd, MODEL_OK, 0x80400010);
    assert_int_equal(x.depth, 2);
    assert_int_equal(x.chain[1].level, 3);
    /* Bits of the skipped levels are not zero. */
    LM_WALK(&m, ((uint64_t)5 << 39) + 0x3ff010, rd, MODEL_FAULT_TRANSLATION, 0);
    LM_WALK(&m, ((uint64_t)5 << 39) + LM_1G + 0x1ff010, rd, MODEL_FAULT_TRANSLATION, 0);
    LM_WALK(&m, ((uint64_t)5 << 39) + ((uint64_t)1 << 38) + 0x1ff010, rd, MODEL_FAULT_TRANSLATION,
            0);
    lm_destroy(&m);
}

/* Table 14: every power of two. */
static void knows_every_leaf_size(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned level = 1; level <= 5; level++) {
        unsigned own = 12 + 9 * (level - 1);

        for (unsigned shift = own; shift < own + 9 && shift <= 51; shift++) {
            struct model_walk_cfg c = mode(6);
            uint64_t oa = shift < 50 ? (uint64_t)3 << shift : 0, raw = LEAF | oa, t;
            uint64_t root = LM_TABLES;

            start(&m, &c);
            for (unsigned l = 6; l > level; l--) {
                t = table(&m, l - 1);
                lm_set(&m, root, t);
                root = base(t);
            }
            if (shift > own) /* ones from bit 12 to the one below half the size */
                raw |= NEXT(7) | ((((uint64_t)1 << (shift - 1)) - 1) & ~(uint64_t)0xfff);
            for (unsigned i = 0; i < 1u << (shift - own); i++)
                lm_set(&m, at(root, i), raw);
            for (unsigned i = 0; i < 1u << (shift - own); i++) {
                LM_WALK(&m, ((uint64_t)i << own) + 0xabc, rd, MODEL_OK,
                        oa + ((uint64_t)i << own) + 0xabc);
                assert_int_equal(x.shift, shift);
                assert_int_equal(x.entry_shift, own);
                assert_int_equal(x.leaf_ia, 0);
                assert_int_equal(x.leaf_oa, oa);
            }
            lm_destroy(&m);
        }
    }
}

static void takes_rights_of_every_level(void **state)
{
    struct model_walk_cfg c = mode(2);
    struct lm m;
    struct model_xlat x;
    uint64_t t, pte;

    (void)state;
    start(&m, &c);
    t = table(&m, 1);
    pte = base(t);
    lm_set(&m, LM_TABLES, t);
    lm_set(&m, pte, 0x80400000 | PR | IR | FC);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    assert_int_equal(x.attr, 2);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, pte, 0x80400000 | PR | IW | U);
    LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
    assert_int_equal(x.attr, 1);
    LM_WALK(&m, 0, rd, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, pte, 0x80400000 | LEAF);
    lm_set(&m, LM_TABLES, t & ~IW);
    LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
    LM_WALK(&m, 0, wr, MODEL_FAULT_PERMISSION, 0x80400000);
    lm_set(&m, pte, 0x80400000 | IR | IW); /* not present, whatever else it says */
    LM_WALK(&m, 0, rd, MODEL_FAULT_TRANSLATION, 0);
    lm_destroy(&m);
}

static void faults_on_reserved_encodings(void **state)
{
    static const struct {
        unsigned level;
        uint64_t raw;
        bool reserved;
    } row[] = {
        { 1, 0x80400000 | LEAF, false },
        { 1, 0x80400000 | LEAF | (uint64_t)1 << 63 | 0x19e, false }, /* ignored bits */
        { 1, 0x80400000 | LEAF | (uint64_t)1 << 52, true },
        { 1, 0x80400000 | LEAF | (uint64_t)1 << 58, true },
        { 1, 0x80400000 | LEAF | NEXT(1), true }, /* a table at level 1 */
        { 1, 0x804ff000 | LEAF | NEXT(7), true }, /* 2 MiB is a level 2 leaf */
        { 2, LM_TABLES | LEAF | NEXT(2), true },  /* its own level */
        { 2, LM_TABLES | LEAF | NEXT(3), true },
        { 2, 0x80400000 | LEAF, false },
        { 2, 0x80401000 | LEAF, true },               /* not aligned to 2 MiB */
        { 2, 0x80407000 | LEAF | NEXT(7), true },     /* 64 KiB is less than the level's own */
        { 2, 0x800ff000 | LEAF | NEXT(7), true },     /* 2 MiB too: that is next level 0 */
        { 2, 0x801ff000 | LEAF | NEXT(7), false },    /* 4 MiB */
        { 2, LM_TABLES | LEAF | NEXT(1) | FC, true }, /* reserved in a directory entry */
        { 2, LM_TABLES | LEAF | NEXT(1) | (uint64_t)1 << 52, true },
        { 2, LM_TABLES | LEAF | NEXT(1) | U, true },
        { 2, LM_TABLES | LEAF | NEXT(1) | (uint64_t)1 << 40, true }, /* beyond 40 bits */
        { 2, ((uint64_t)1 << 40) | LEAF, true },
        { 5, (((uint64_t)1 << 51) - 0x1000) | LEAF | NEXT(7), false }, /* 2^52 */
        { 5, (((uint64_t)1 << 52) - 0x1000) | LEAF | NEXT(7), true },  /* more than there is */
        { 6, LEAF, true },
    };
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct model_walk_cfg c = mode(row[i].level);

        c.oa_bits = 40;
        start(&m, &c);
        lm_set(&m, LM_TABLES, row[i].raw);
        assert_int_equal(lm_walk(&m, 0, rd, &x), row[i].reserved ? MODEL_FAULT_RESERVED : MODEL_OK);
        lm_destroy(&m);
    }
}

static void sets_flags_where_enabled(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned had = 0; had < 3; had++) { /* none, accessed, accessed and dirty */
        struct model_walk_cfg c = mode(2);
        uint64_t t;

        c.ha = had >= 1;
        c.hd = had == 2;
        start(&m, &c);
        t = table(&m, 1);
        lm_set(&m, LM_TABLES, t);
        lm_set(&m, base(t), 0x80400000 | LEAF);
        LM_WALK(&m, 0, rd, MODEL_OK, 0x80400000);
        assert_int_equal(x.clean, had == 2);
        assert_int_equal(lm_get(&m, LM_TABLES) & (A | D), had ? A : 0);
        assert_int_equal(lm_get(&m, base(t)) & (A | D), had ? A : 0);
        LM_WALK(&m, 0, wr, MODEL_OK, 0x80400000);
        assert_int_equal(lm_get(&m, base(t)) & (A | D), had == 2 ? A | D : had ? A : 0);
        assert_int_equal(lm_get(&m, LM_TABLES) & D, 0);
        assert_int_equal(x.dirty, had == 2);
        assert_int_equal(model_amdv1.hw_mask(&c), had == 2 ? A | D : had ? A : 0);
        lm_destroy(&m);
    }
}

/* Of a leaf of several entries, only the entry that was used becomes dirty. */
static void marks_one_entry_of_several(void **state)
{
    struct model_walk_cfg c = mode(1);
    struct lm m;
    struct model_xlat x;

    (void)state;
    c.ha = c.hd = true;
    start(&m, &c);
    for (unsigned i = 0; i < 16; i++)
        lm_set(&m, at(LM_TABLES, i), 0x80407000 | LEAF | NEXT(7));
    LM_WALK(&m, 0x5010, wr, MODEL_OK, 0x80405010);
    assert_int_equal(x.shift, 16);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(lm_get(&m, at(LM_TABLES, i)) & (A | D), i == 5 ? A | D : 0);
    lm_destroy(&m);
}

/* Bits that change nothing but rights, flags and software's notes; extremes. */
static void knows_masks_and_limits(void **state)
{
    struct model_walk_cfg c = mode(1);
    struct lm m;
    struct model_xlat x;

    (void)state;
    assert_int_equal(model_amdv1.live_mask(&c), 0xe0000000000001fe);
    assert_true(model_amdv1.one_store);
    assert_int_equal(model_amdv1.set_shift(&c, 3), 20);
    assert_int_equal(model_amdv1.set_shift(&c, -2), 57);
    c.oa_bits = 32;
    assert_null(model_amdv1.check(&c));
    start(&m, &c);
    lm_set(&m, LM_TABLES, ((uint64_t)1 << 32) | LEAF);
    LM_WALK(&m, 0, rd, MODEL_FAULT_RESERVED, 0);
    m.ctx.walk.oa_bits = 52;
    lm_set(&m, LM_TABLES, 0xffffffffff000 | LEAF | D);
    LM_WALK(&m, 0xabc, rd, MODEL_OK, 0xffffffffffabc);
    assert_false(x.dirty);
    assert_true(x.global);
    assert_int_equal(x.memtype, MODEL_MT_AS_S1);
    assert_int_equal(x.perms, MODEL_RWX_ALL);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    struct model_walk_cfg good = mode(3), c;

    (void)state;
    for (unsigned n = 1; n <= 6; n++) {
        c = mode(n);
        assert_null(model_amdv1.check(&c));
    }
    LM_BAD(good, stage, 1);
    LM_BAD(good, start_level, 4);
    c = good;
    c.start_level = 4;
    c.ia_bits = 12; /* what mode 0 would have */
    assert_non_null(model_amdv1.check(&c));
    LM_BAD(good, start_level, -3);
    LM_BAD(good, ia_bits, 48);
    LM_BAD(good, oa_bits, 53);
    LM_BAD(good, hd, true);
    LM_BAD(good, root, 0x8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_all_six_modes),
        cmocka_unit_test(skips_levels),
        cmocka_unit_test(knows_every_leaf_size),
        cmocka_unit_test(takes_rights_of_every_level),
        cmocka_unit_test(faults_on_reserved_encodings),
        cmocka_unit_test(sets_flags_where_enabled),
        cmocka_unit_test(marks_one_entry_of_several),
        cmocka_unit_test(knows_masks_and_limits),
        cmocka_unit_test(refuses_bad_configurations),
    };

    return cmocka_run_group_tests_name("model amd v1", tests, NULL, NULL);
}
