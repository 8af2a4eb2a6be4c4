/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: VMSAv8-64 with 16K and 64K granules, 52-bit addresses, contiguous sets. */
#include "lib_model.h"

#define BIT(n) ((uint64_t)1 << (n))

static struct model_walk_cfg cfg_of(uint8_t granule, uint8_t stage, uint8_t ia_bits, int start)
{
    return (struct model_walk_cfg){
        .fmt = &model_arm,
        .granule = granule,
        .mair = 0x04ff44,
        .stage = stage,
        .ia_bits = ia_bits,
        .oa_bits = 48,
        .start_level = (int16_t)start,
        .bbm = 2,
        .two_priv = stage == 1,
    };
}

static void open_m(struct lm *m, const struct model_walk_cfg *cfg)
{
    uint64_t mask = 0xffffffffffff & ~(BIT(cfg->granule) - 1);

    assert_null(model_arm.check(cfg));
    lm_start(m, cfg);
    lm_link_as(m, LM_TABLE, mask, 0);
}

/* D8.2.9: 11 bits a level; 47, 36, 25, 14. */
static void walks_16k(void **state)
{
    struct model_walk_cfg c = cfg_of(14, 1, 47, 1);
    struct lm m;
    struct model_xlat x;
    uint64_t ia = (uint64_t)5 << 36 | (uint64_t)1027 << 25 | (uint64_t)2047 << 14;

    (void)state;
    open_m(&m, &c);
    lm_map(&m, ia, 3, 0x80404000 | LM_S1_PAGE);
    lm_map(&m, (uint64_t)6 << 36 | (uint64_t)3 << 25, 2, 0x82000000 | (LM_S1_PAGE & ~2u));
    LM_WALK(&m, ia + 0x3abc, wr, MODEL_OK, 0x80407abc);
    assert_int_equal(x.depth, 3);
    assert_int_equal(x.shift, 14);
    assert_int_equal(x.chain[0].entry, LM_TABLES + 5 * 8);
    assert_int_equal(x.chain[1].entry, x.chain[1].table + 1027 * 8);
    assert_int_equal(x.chain[2].entry, x.chain[2].table + 2047 * 8);
    LM_WALK(&m, ((uint64_t)6 << 36 | (uint64_t)3 << 25) + 0x1ffffff, rd, MODEL_OK, 0x83ffffff);
    assert_int_equal(x.shift, 25);
    /* No level 1 block, and bits 13:12 of an address are not part of it. */
    lm_map(&m, (uint64_t)7 << 36, 1, (uint64_t)7 << 36 | (LM_S1_PAGE & ~2u));
    LM_WALK(&m, (uint64_t)7 << 36, rd, MODEL_FAULT_TRANSLATION, 0);
    assert_int_equal(x.level, 1);
    lm_set(&m, lm_entry(&m, ia, 3), 0x80407000 | LM_S1_PAGE);
    LM_WALK(&m, ia, rd, MODEL_OK, 0x80404000);
    lm_destroy(&m);

    c = cfg_of(14, 1, 48, 0); /* two entries at level 0 */
    open_m(&m, &c);
    assert_int_equal(model_root_entries(&c), 2);
    lm_map(&m, BIT(47) + 0x4000, 3, 0x80404000 | LM_S1_PAGE);
    LM_WALK(&m, BIT(47) + 0x4001, rd, MODEL_OK, 0x80404001);
    assert_int_equal(x.depth, 4);
    assert_int_equal(x.chain[0].entry, LM_TABLES + 8);
    lm_destroy(&m);
}

/* D8.2.10: 13 bits a level; 42, 29, 16. */
static void walks_64k(void **state)
{
    struct model_walk_cfg c = cfg_of(16, 1, 48, 1);
    struct lm m;
    struct model_xlat x;
    uint64_t ia = (uint64_t)63 << 42 | (uint64_t)8191 << 29 | (uint64_t)4097 << 16;

    (void)state;
    open_m(&m, &c);
    assert_int_equal(model_root_entries(&c), 64);
    lm_map(&m, ia, 3, 0x80410000 | LM_S1_PAGE);
    lm_map(&m, (uint64_t)3 << 29, 2, 0xa0000000 | (LM_S1_PAGE & ~2u));
    LM_WALK(&m, ia + 0xfabc, wr, MODEL_OK, 0x8041fabc);
    assert_int_equal(x.depth, 3);
    assert_int_equal(x.shift, 16);
    assert_int_equal(x.chain[2].entry, x.chain[2].table + 4097 * 8);
    LM_WALK(&m, ((uint64_t)3 << 29) + 0x1fffffff, rd, MODEL_OK, 0xbfffffff);
    assert_int_equal(x.shift, 29);
    lm_map(&m, (uint64_t)5 << 42, 1, (uint64_t)5 << 42 | (LM_S1_PAGE & ~2u)); /* 48-bit: none */
    LM_WALK(&m, (uint64_t)5 << 42, rd, MODEL_FAULT_TRANSLATION, 0);
    lm_destroy(&m);

    /* 52 bits: 51:48 of an address in bits 15:12; blocks of 4 TiB. */
    c = cfg_of(16, 1, 52, 1);
    c.oa_bits = 52;
    open_m(&m, &c);
    assert_int_equal(model_root_entries(&c), 1024);
    lm_map(&m, (uint64_t)1023 << 42, 1, (uint64_t)5 << 42 | 0xa000 | (LM_S1_PAGE & ~2u));
    LM_WALK(&m, ((uint64_t)1023 << 42) + 0x12345678, rd, MODEL_OK,
            ((uint64_t)0xa << 48 | (uint64_t)5 << 42) + 0x12345678);
    assert_int_equal(x.shift, 42);
    lm_map(&m, 0x10000, 3, 0x80410000 | 0xf000 | LM_S1_PAGE);
    LM_WALK(&m, 0x10042, rd, MODEL_OK, ((uint64_t)0xf << 48) + 0x80410042);
    c.oa_bits = 48; /* the same bits are none of the address now */
    c.ia_bits = 48;
    m.ctx.walk = c;
    m.ctx.walk.root = LM_TABLES;
    LM_WALK(&m, 0x10042, rd, MODEL_OK, 0x80410042);
    lm_destroy(&m);
}

/* FEAT_LPA2: DS = 1. */
static void walks_52_bits_with_4k_and_16k(void **state)
{
    struct model_walk_cfg c = cfg_of(12, 1, 52, -1);
    struct lm m;
    struct model_xlat x;
    uint64_t ia = (uint64_t)15 << 48 | (uint64_t)511 << 39 | 0x1000;

    (void)state;
    c.ds = true;
    c.oa_bits = 52;
    open_m(&m, &c);
    assert_int_equal(model_root_entries(&c), 16);
    /* 49:12 in place, 51:50 in bits 9:8 */
    lm_map(&m, ia, 3, BIT(49) | 0x80401000 | 2 << 8 | (LM_S1_PAGE & ~0x300u));
    LM_WALK(&m, ia + 5, rd, MODEL_OK, BIT(51) + BIT(49) + 0x80401005);
    assert_int_equal(x.depth, 5);
    assert_int_equal(x.chain[0].level, -1);
    assert_int_equal(x.chain[0].entry, LM_TABLES + 15 * 8);
    assert_int_equal(x.attr & 0x300, 0); /* no shareability there */
    lm_map(&m, BIT(48), 0, (uint64_t)3 << 39 | 1 << 8 | (LM_S1_PAGE & ~0x302u)); /* 512 GiB */
    LM_WALK(&m, BIT(48) + 0x12345678, rd, MODEL_OK, BIT(50) + ((uint64_t)3 << 39) + 0x12345678);
    assert_int_equal(x.shift, 39);
    lm_map(&m, 0, -1, BIT(49) | LM_S1_PAGE); /* a table beyond 48 output bits */
    m.ctx.walk.oa_bits = 48;
    LM_WALK(&m, 0, rd, MODEL_FAULT_ADDRESS_SIZE, 0);
    LM_WALK(&m, ia, rd, MODEL_FAULT_ADDRESS_SIZE, 0);
    assert_int_equal(x.level, 3);
    lm_destroy(&m);

    c = cfg_of(14, 2, 52, 0);
    c.ds = true;
    c.oa_bits = 52;
    open_m(&m, &c);
    assert_int_equal(model_root_entries(&c), 32);
    lm_map(&m, (uint64_t)31 << 47 | (uint64_t)9 << 36, 1,
           (uint64_t)9 << 36 | 3 << 8 | (LM_BLOCK & ~0x300u)); /* 64 GiB */
    LM_WALK(&m, ((uint64_t)31 << 47 | (uint64_t)9 << 36) + 0x321, rd, MODEL_OK,
            ((uint64_t)3 << 50 | (uint64_t)9 << 36) + 0x321);
    assert_int_equal(x.shift, 36);
    lm_destroy(&m);
}

/* D8.2.9: up to 16 start tables, each of the granule's size. */
static void concatenates_by_granule(void **state)
{
    static const struct {
        uint8_t granule, ia_bits;
        int start;
        unsigned entries;
    } row[] = {
        { 12, 43, 1, 512 * 16 },  { 12, 34, 2, 512 * 16 },  { 14, 40, 2, 2048 * 16 },
        { 14, 37, 2, 2048 * 2 },  { 14, 29, 3, 2048 * 16 }, { 16, 43, 2, 8192 * 2 },
        { 16, 46, 2, 8192 * 16 }, { 16, 33, 3, 8192 * 16 },
    };
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct model_walk_cfg c = cfg_of(row[i].granule, 2, row[i].ia_bits, row[i].start);
        uint64_t last = BIT(row[i].ia_bits) - BIT(row[i].granule);

        open_m(&m, &c);
        assert_int_equal(model_root_entries(&c), row[i].entries);
        lm_map(&m, last, 3, 0x80410000 | LM_PAGE);
        LM_WALK(&m, last + 9, rd, MODEL_OK, 0x80410009);
        assert_int_equal(x.chain[0].entry, LM_TABLES + (row[i].entries - 1) * 8);
        LM_WALK(&m, BIT(row[i].ia_bits), rd, MODEL_FAULT_TRANSLATION, 0);
        lm_destroy(&m);
        c.ia_bits++; /* one more is more than 16, or the next start level's */
        if (row[i].entries == 16u << (row[i].granule - 3))
            assert_non_null(model_arm.check(&c));
    }
}

/* D8.7.1: how many entries make one. */
static void knows_contiguous_sets(void **state)
{
    static const struct {
        uint8_t granule;
        int level;
        uint8_t span; /* 0: there is no such leaf without DS or 52 bits */
        bool wide;
    } row[] = {
        { 12, 3, 16, false }, { 12, 2, 25, false }, { 12, 1, 34, false }, { 12, 0, 39, true },
        { 14, 3, 21, false }, { 14, 2, 30, false }, { 14, 1, 36, true },  { 16, 3, 21, false },
        { 16, 2, 34, false }, { 16, 1, 42, true },
    };
    struct lm m;
    struct model_xlat x;

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        for (unsigned caches = 0; caches < 2; caches++) {
            struct model_walk_cfg c = cfg_of(row[i].granule, 1, 48, row[i].granule == 16);
            uint64_t bits = row[i].level == 3 ? LM_S1_PAGE : LM_S1_PAGE & ~2u;
            uint64_t entry, oa = BIT(47);

            if (row[i].wide) {
                c.oa_bits = 52;
                c.ds = row[i].granule != 16;
                bits &= ~(uint64_t)0x300;
            }
            c.contig = caches != 0;
            open_m(&m, &c);
            entry = model_arm.shift(&c, row[i].level);
            lm_map(&m, BIT(entry), row[i].level, (oa + BIT(entry)) | bits | LM_CONTIG);
            LM_WALK(&m, BIT(entry) + 7, rd, MODEL_OK, oa + BIT(entry) + 7);
            assert_int_equal(x.shift, caches ? row[i].span : entry);
            assert_int_equal(x.entry_shift, entry);
            assert_int_equal(x.contig, row[i].span != entry);
            lm_destroy(&m);
        }
    }
}

static void refuses_bad_configurations(void **state)
{
    struct model_walk_cfg c;

    (void)state;
#define GOOD(...)                         \
    do {                                  \
        c = cfg_of(__VA_ARGS__);          \
        assert_null(model_arm.check(&c)); \
    } while (0)
#define BAD(...)                              \
    do {                                      \
        c = cfg_of(__VA_ARGS__);              \
        assert_non_null(model_arm.check(&c)); \
    } while (0)
    BAD(13, 1, 39, 1);
    BAD(12, 1, 15, 3);
    BAD(12, 1, 12, 4);
    GOOD(12, 1, 16, 3);
    BAD(14, 1, 47, -1);
    GOOD(12, 2, 48, 0);
    c.ds = true;
    c.ia_bits = 52; /* 16 tables at level 0 */
    assert_null(model_arm.check(&c));
    c.start_level = -1;
    assert_null(model_arm.check(&c));
    GOOD(12, 1, 40, 0); /* two entries: still 64-byte aligned */
    c.root = 0x40;
    assert_null(model_arm.check(&c));
    c.root = 0x20;
    assert_non_null(model_arm.check(&c));
    GOOD(12, 1, 48, 0);
    BAD(12, 1, 48, -1);
    BAD(12, 1, 49, -1);
    c.ds = true;
    assert_null(model_arm.check(&c));
    c.ia_bits = 48; /* level -1 is for more than 48 */
    assert_non_null(model_arm.check(&c));
    GOOD(14, 1, 48, 0);
    GOOD(14, 1, 47, 1);
    BAD(14, 1, 48, 1);
    BAD(14, 1, 47, 0);
    GOOD(14, 2, 48, 1); /* two tables at level 1 */
    BAD(14, 2, 48, 0);  /* level 0 needs DS */
    c.ds = true;
    assert_null(model_arm.check(&c));
    GOOD(14, 2, 40, 1);
    c.oa_bits = 40;
    assert_non_null(model_arm.check(&c));
    GOOD(16, 1, 42, 2);
    GOOD(16, 1, 48, 1);
    BAD(16, 1, 48, 0);
    BAD(16, 1, 42, 1);
    GOOD(16, 2, 44, 1);
    c.oa_bits = 42;
    assert_non_null(model_arm.check(&c));
    GOOD(16, 1, 48, 1);
    c.ds = true;
    assert_non_null(model_arm.check(&c));
    GOOD(16, 2, 43, 2);
    c.root = 0x10000; /* two tables of 64 KiB */
    assert_non_null(model_arm.check(&c));
    c.root = 0x20000;
    assert_null(model_arm.check(&c));
    GOOD(12, 1, 39, 1);
    c.oa_bits = 52;
    assert_non_null(model_arm.check(&c));
#undef GOOD
#undef BAD
}

/* RES0 by form, and the whole of AttrIndx. */
static void knows_reserved_bits_by_form(void **state)
{
    static const struct {
        uint8_t granule, stage;
        bool ds;
        int level;
        uint64_t raw;
        bool reserved;
    } row[] = {
        { 12, 2, false, 3, BIT(48) | LM_PAGE, true },
        { 12, 2, false, 3, BIT(49) | LM_PAGE, true },
        { 12, 2, true, 3, BIT(48) | LM_PAGE, false },
        { 12, 2, true, 3, BIT(49) | LM_PAGE, false },
        { 14, 2, false, 3, BIT(12) | LM_PAGE, true },
        { 14, 2, false, 3, BIT(13) | LM_PAGE, true },
        { 14, 2, false, 3, BIT(14) | LM_PAGE, false },
        { 14, 2, false, 2, BIT(24) | LM_BLOCK, true },
        { 14, 2, false, 2, BIT(25) | LM_BLOCK, false },
        { 16, 2, false, 3, BIT(15) | LM_PAGE, true },
        { 16, 2, false, 2, BIT(28) | LM_BLOCK, true },
        { 16, 2, false, 2, BIT(29) | LM_BLOCK, false },
        { 12, 2, false, 2, BIT(63) | LM_TABLE, true },
        { 12, 2, false, 2, BIT(59) | LM_TABLE, true },
        { 14, 2, false, 2, BIT(13) | LM_TABLE, true },
        { 12, 1, false, 2, BIT(63) | LM_TABLE, false },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
        struct model_walk_cfg c = cfg_of(row[i].granule, row[i].stage, 42, 1);
        struct model_desc d;

        c.ds = row[i].ds;
        model_arm.decode(&c, row[i].level, row[i].raw, &d);
        assert_int_not_equal(d.kind, MODEL_DESC_INVALID);
        assert_int_equal(d.reserved, row[i].reserved);
        assert_true(d.kind == MODEL_DESC_TABLE || d.global || row[i].stage == 1);
    }
    for (unsigned index = 0; index < 8; index++) { /* write-back at one place only */
        struct model_walk_cfg c = cfg_of(12, 1, 39, 1);
        struct model_desc d;

        c.mair = (uint64_t)0xff << (8 * index);
        for (unsigned at = 0; at < 8; at++) {
            model_arm.decode(&c, 3, (LM_S1_PAGE & ~(7u << 2)) | at << 2, &d);
            assert_int_equal(d.memtype, at == index ? MODEL_MT_WB : MODEL_MT_DEVICE);
        }
    }
}

/* ---- live rules of contiguous sets -------------------------------------------------------- */

static const struct {
    uint8_t granule, entries; /* of a set at level 3 */
} set_of[] = { { 12, 16 }, { 14, 128 }, { 16, 32 } };

struct court {
    struct lm m;
    struct model_live *live;
    uint8_t granule, entries;
};

static void open_court(struct court *c, unsigned which, uint8_t bbm)
{
    struct model_walk_cfg cfg;

    c->granule = set_of[which].granule;
    c->entries = set_of[which].entries;
    cfg = cfg_of(c->granule, 2, c->granule == 12 ? 30 : c->granule == 14 ? 36 : 42, 2);
    cfg.contig = true;
    cfg.bbm = bbm;
    open_m(&c->m, &cfg);
    lm_entry(&c->m, 0, 3);
    c->live = model_live_new(&(struct model_live_cfg){
        .walk = c->m.ctx.walk, .mem = &c->m.mem, .vmid = LM_VMID, .agents = 1 });
    assert_non_null(c->live);
}

static void close_court(struct court *c)
{
    model_live_free(c->live);
    lm_destroy(&c->m);
}

static enum model_verdict put(struct court *c, unsigned i, uint64_t value)
{
    uint64_t entry = lm_entry(&c->m, (uint64_t)i << c->granule, 3);
    struct model_store s = {
        .entry = entry, .old = lm_get(&c->m, entry), .value = value, .atomic = true
    };

    lm_set(&c->m, entry, value);
    return model_live_store(c->live, &s);
}

static uint64_t page(const struct court *c, unsigned i, uint64_t bits)
{
    return (0x80400000 + ((uint64_t)i << c->granule)) | LM_PAGE | bits;
}

static void done(struct court *c, uint64_t pages)
{
    struct model_inv inv = model_inv_s2(LM_VMID, 0, pages << c->granule, 3, true);

    model_inv_granule(&inv, c->granule);
    model_live_completed(model_live_agent(c->live, 0), &inv, 1);
}

#define OK(call)    assert_string_equal(model_verdict_name(call), "ok")
#define IS(call, v) assert_string_equal(model_verdict_name(call), model_verdict_name(MODEL_V_##v))

static void contiguous_sets_live(void **state)
{
    struct court c;

    (void)state;
    for (unsigned w = 0; w < 3; w++) {
        /* Levels 1 and 2: the bit alone may change, entry by entry; level 0: not. */
        for (uint8_t bbm = 0; bbm <= 2; bbm++) {
            open_court(&c, w, bbm);
            for (unsigned i = 0; i < c.entries; i++)
                OK(put(&c, i, page(&c, i, LM_CONTIG)));
            OK(model_live_audit(c.live));
            if (bbm == 0) {
                IS(put(&c, 0, page(&c, 0, 0)), SIZE_NEEDS_BBM);
            } else {
                for (unsigned i = 0; i < c.entries; i++)
                    OK(put(&c, i, page(&c, i, 0)));
                OK(model_live_audit(c.live));
                /* The set may still be cached, whole or in pieces. */
                OK(put(&c, 1, 0));
                IS(put(&c, 1, page(&c, 9, 0)), MAKE_EARLY);
                OK(put(&c, 1, 0));
                done(&c, c.entries);
                assert_int_equal(model_live_waiting(c.live), 0);
                OK(put(&c, 1, page(&c, 9, 0)));
                /* No set while one of its pages is elsewhere. */
                IS(put(&c, 2, page(&c, 2, LM_CONTIG)), SET_DIFFERS);
            }
            close_court(&c);
        }
        /* One page of a set given up: its neighbours go with it. */
        open_court(&c, w, 2);
        for (unsigned i = 0; i < c.entries; i++)
            OK(put(&c, i, page(&c, i, LM_CONTIG)));
        model_live_scope(c.live, 0, BIT(c.granule));
        IS(put(&c, 0, 0), NEIGHBOUR_BROKEN);
        IS(model_live_audit(c.live), SET_DIFFERS);
        close_court(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_16k),
        cmocka_unit_test(walks_64k),
        cmocka_unit_test(walks_52_bits_with_4k_and_16k),
        cmocka_unit_test(concatenates_by_granule),
        cmocka_unit_test(knows_contiguous_sets),
        cmocka_unit_test(refuses_bad_configurations),
        cmocka_unit_test(knows_reserved_bits_by_form),
        cmocka_unit_test(contiguous_sets_live),
    };

    return cmocka_run_group_tests_name("model arm, other granules", tests, NULL, NULL);
}
