/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: what holds in every format, over random entries of every level. */
#include "lib_model.h"
#include "model/rng.h"

#define ENTRIES 20000u

static const struct model_walk_cfg every[] = {
    { .fmt = &model_arm,
      .stage = 1,
      .ia_bits = 48,
      .oa_bits = 48,
      .mair = 0x04ff44,
      .bbm = 2,
      .ha = true,
      .hd = true,
      .two_priv = true,
      .contig = true },
    { .fmt = &model_arm,
      .stage = 2,
      .ia_bits = 48,
      .oa_bits = 48,
      .bbm = 2,
      .ha = true,
      .hd = true,
      .xnx = true },
    { .fmt = &model_arm,
      .stage = 2,
      .ia_bits = 52,
      .oa_bits = 52,
      .start_level = -1,
      .ds = true,
      .bbm = 1,
      .ha = true,
      .hd = true,
      .fwb = true,
      .contig = true },
    { .fmt = &model_arm,
      .stage = 1,
      .granule = 14,
      .ia_bits = 47,
      .oa_bits = 48,
      .start_level = 1,
      .mair = 0x04ff44,
      .bbm = 2,
      .ha = true,
      .contig = true },
    { .fmt = &model_arm,
      .stage = 2,
      .granule = 14,
      .ia_bits = 52,
      .oa_bits = 52,
      .ds = true,
      .bbm = 2,
      .ha = true,
      .hd = true,
      .contig = true },
    { .fmt = &model_arm,
      .stage = 2,
      .granule = 16,
      .ia_bits = 52,
      .oa_bits = 52,
      .start_level = 1,
      .bbm = 2,
      .ha = true,
      .hd = true,
      .contig = true },
    { .fmt = &model_x86,
      .stage = 1,
      .ia_bits = 57,
      .oa_bits = 46,
      .start_level = -1,
      .mair = 0x0007040600070406,
      .ha = true,
      .hd = true,
      .canonical = true,
      .nx = true,
      .pge = true,
      .page1g = true },
    { .fmt = &model_x86,
      .stage = 2,
      .ia_bits = 48,
      .oa_bits = 52,
      .mair = 0x0007040600070406,
      .ha = true,
      .hd = true,
      .nx = true,
      .page1g = true,
      .multihit = true },
    { .fmt = &model_ept,
      .stage = 2,
      .ia_bits = 57,
      .oa_bits = 52,
      .start_level = -1,
      .ha = true,
      .hd = true,
      .page1g = true,
      .page2m = true,
      .exec_only = true,
      .mbec = true },
    { .fmt = &model_vtd2,
      .stage = 2,
      .ia_bits = 57,
      .oa_bits = 52,
      .start_level = -1,
      .ha = true,
      .hd = true,
      .snoop = true,
      .page1g = true,
      .page2m = true },
    { .fmt = &model_amdv1,
      .stage = 2,
      .ia_bits = 64,
      .oa_bits = 52,
      .start_level = -2,
      .ha = true,
      .hd = true },
    { .fmt = &model_amdv1,
      .stage = 2,
      .ia_bits = 39,
      .oa_bits = 48,
      .start_level = 1,
      .ha = true,
      .hd = true },
    { .fmt = &model_riscv,
      .stage = 1,
      .ia_bits = 57,
      .oa_bits = 56,
      .start_level = -1,
      .ha = true,
      .hd = true,
      .canonical = true,
      .svnapot = true,
      .svpbmt = true },
    { .fmt = &model_riscv,
      .stage = 2,
      .ia_bits = 41,
      .oa_bits = 56,
      .start_level = 1,
      .ha = true,
      .hd = true,
      .svnapot = true,
      .replace_breaks = true },
};

/* Few bits at random places, mostly low ones, or a leaf's usual ones with noise. */
static uint64_t entry(struct model_rng *rng)
{
    uint64_t raw = model_rng_next(rng) << 1 ^ model_rng_next(rng);

    switch (model_rng_below(rng, 4)) {
    case 0:
        return raw;
    case 1:
        return raw & (model_rng_next(rng) << 1) & 0x7ff0000000000fff;
    case 2:
        return (raw & 0xfffff00000) | model_rng_below(rng, 0x1000);
    default:
        return (raw & ~(uint64_t)0xfff0000000000000) | 0xff;
    }
}

static bool same(const struct model_leaf *a, const struct model_leaf *b)
{
    return a->ia == b->ia && a->oa == b->oa && a->attr == b->attr && a->shift == b->shift &&
           a->entry_shift == b->entry_shift;
}

static void check_leaf(const struct model_walk_cfg *c, int level, uint64_t raw,
                       const struct model_desc *d, struct model_rng *rng)
{
    const struct model_format *f = c->fmt;
    struct model_leaf leaf = model_leaf_of(c, d, (uint64_t)5 << d->shift, level), other;
    uint64_t flip = model_rng_next(rng) & f->live_mask(c), set;
    struct model_desc e;

    assert_true(d->shift == f->shift(c, level));
    assert_true(d->span_shift >= d->shift);
    assert_true(!f->set_shift || d->span_shift <= f->set_shift(c, level) || d->reserved ||
                !c->contig);
    assert_int_equal(leaf.oa & (((uint64_t)1 << leaf.shift) - 1), 0);
    assert_true(leaf.oa < (uint64_t)1 << 56);
    assert_int_equal(f->live(c, &leaf, &leaf), MODEL_V_OK);
    assert_false(d->clean && d->dirty);
    assert_int_equal(d->perms & ~MODEL_RWX_ALL, 0);

    /* What hardware sets stays inside its mask, and does what it is for. */
    set = f->set_af(c, raw);
    assert_int_equal((set ^ raw) & ~f->hw_mask(c), 0);
    f->decode(c, level, set, &e);
    assert_int_equal(e.kind, MODEL_DESC_LEAF);
    assert_true(e.af);
    if (d->clean) {
        set = f->set_dirty(c, raw);
        assert_int_equal((set ^ raw) & ~f->hw_mask(c), 0);
        f->decode(c, level, set, &e);
        assert_int_equal(e.kind, MODEL_DESC_LEAF);
        assert_true(e.dirty && !e.clean);
        assert_int_equal(e.perms, d->perms);
        assert_true(e.reserved == d->reserved);
    }
    /* Rights, flags and notes change no address, type or size. */
    f->decode(c, level, raw ^ flip, &e);
    if (e.kind == MODEL_DESC_LEAF) {
        other = model_leaf_of(c, &e, (uint64_t)5 << e.shift, level);
        assert_true(same(&leaf, &other));
    }
}

static void every_entry_of_every_format(void **state)
{
    struct model_rng rng;

    (void)state;
    model_rng_seed(&rng, 7);
    for (unsigned i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
        const struct model_walk_cfg *c = &every[i];
        unsigned leaves = 0, tables = 0, holes = 0, reserved = 0;

        assert_null(c->fmt->check(c));
        for (unsigned n = 0; n < ENTRIES; n++) {
            int level = c->start_level + (int)model_rng_below(&rng, (uint64_t)(4 - c->start_level));
            uint64_t raw = entry(&rng);
            struct model_desc d;

            c->fmt->decode(c, level, raw, &d);
            holes += d.kind == MODEL_DESC_INVALID;
            reserved += d.kind != MODEL_DESC_INVALID && d.reserved;
            if (d.kind == MODEL_DESC_LEAF) {
                leaves++;
                check_leaf(c, level, raw, &d, &rng);
            } else if (d.kind == MODEL_DESC_TABLE) {
                tables++;
                assert_true(d.next_level > level && d.next_level <= MODEL_LAST_LEVEL);
                assert_int_equal(d.pa & 0xfff, 0);
                assert_int_equal(d.limit & ~MODEL_RWX_ALL, 0);
                assert_int_equal((c->fmt->set_af(c, raw) ^ raw) & ~c->fmt->hw_mask(c), 0);
            }
        }
        /* The noise must have hit everything, or nothing was shown. */
        assert_true(leaves > ENTRIES / 100 && tables > ENTRIES / 100 && holes > ENTRIES / 100);
        assert_true(reserved > ENTRIES / 100);
    }
}

/* A table entry and a leaf of the smallest pages, without the address. */
static void plain_entries(const struct model_format *f, uint64_t *link, uint64_t *leaf)
{
    *link = 0x67;
    *leaf = 0x67;
    if (f == &model_arm) {
        *link = 3;
        *leaf = 0x7c7;
    } else if (f == &model_ept) {
        *link = 7;
        *leaf = 0x37;
    } else if (f == &model_vtd2) {
        *link = *leaf = 3;
    } else if (f == &model_amdv1) {
        *link = *leaf = (uint64_t)3 << 61 | 1;
    } else if (f == &model_riscv) {
        *link = 1;
        *leaf = 0x1f;
    }
}

static uint64_t noisy_entry(const struct model_format *f, struct model_rng *rng, uint64_t pa)
{
    uint64_t raw = entry(rng), link, leaf;

    plain_entries(f, &link, &leaf);
    if (model_rng_chance(rng, 128))
        raw = model_rng_chance(rng, 128) ? link : leaf;
    if (f == &model_amdv1 && model_rng_chance(rng, 200)) /* some level below */
        raw = link | model_rng_below(rng, 5) << 9;
    if (f == &model_riscv) /* the address is two bits lower */
        return (raw & ~(uint64_t)0x3ffffffffffc00) | pa >> 2;
    return (raw & ~(uint64_t)0xffffffffff000) | pa;
}

/* Random tables: walks end, and end the same way twice; a fault leaves nothing behind. */
static void walks_of_noise_end(void **state)
{
    struct model_rng rng;

    (void)state;
    model_rng_seed(&rng, 11);
    for (unsigned i = 0; i < sizeof(every) / sizeof(every[0]); i++) {
        uint64_t size = (uint64_t)1 << model_table_shift(&every[i]), end;
        unsigned ok = 0, faults = 0;
        struct lm m;

        lm_start(&m, &every[i]);
        for (unsigned t = 0; t < 8; t++)
            lm_new_table(&m);
        end = m.next_table;
        for (uint64_t e = LM_TABLES; e < end; e += 8)
            lm_set(&m, e,
                   noisy_entry(every[i].fmt, &rng,
                               LM_TABLES + model_rng_below(&rng, (end - LM_TABLES) / size) * size));
        for (unsigned n = 0; n < 3000; n++) {
            struct model_access a = { .what = (uint8_t)(1u << model_rng_below(&rng, 3)),
                                      .user = model_rng_chance(&rng, 128) };
            uint64_t ia = model_rng_next(&rng);
            struct model_xlat x, y;

            ia = every[i].ia_bits < 64 ? ia & (((uint64_t)1 << every[i].ia_bits) - 1) : ia;
            ia = model_ia_extend(&every[i], ia);
            lm_walk(&m, ia, a, &x);
            lm_walk(&m, ia, a, &y);
            assert_int_equal(x.fault, y.fault);
            assert_false(y.updated);
            assert_int_equal(x.level, y.level);
            assert_true(x.depth <= MODEL_MAX_DEPTH);
            if (x.fault == MODEL_OK) {
                ok++;
                assert_int_equal(x.oa, y.oa);
                assert_int_equal(x.oa - x.leaf_oa, x.ia - x.leaf_ia);
                assert_true((x.perms & a.what << (a.user ? MODEL_USER_SHIFT : 0)) != 0);
                assert_true(!(a.what & MODEL_W) || !y.clean);
            } else {
                faults++;
            }
        }
        assert_true(faults > 0 && (ok > 0 || every[i].ia_bits == 64)); /* of 2^64 few are */
        lm_destroy(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_of_every_format),
        cmocka_unit_test(walks_of_noise_end),
    };

    return cmocka_run_group_tests_name("model: every format", tests, NULL, NULL);
}
