/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: the walker and the simulated memory, on tables built by hand. */
#include "lib_model.h"

static const struct model_access spec = { .what = MODEL_R, .spec = true };
static const struct model_access peek = { .what = MODEL_R, .peek = true };

static enum model_fault walk(struct lm *m, uint64_t ia, struct model_access a, struct model_xlat *x)
{
    return model_walk(&m->ctx.walk, &m->mem, ia, a, x);
}

static void walks_known_stage_2(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    lm_init(&m, 2, 39, 1);
    lm_map(&m, 0, 1, 0x4000000000 | LM_BLOCK);
    lm_map(&m, LM_1G, 2, 0x4040000000 | LM_BLOCK);
    lm_map(&m, LM_1G + LM_2M + 5 * LM_4K, 3, (LM_DATA + LM_4K) | LM_PAGE);

    assert_int_equal(walk(&m, 0x12345678, rd, &x), MODEL_OK);
    assert_int_equal(x.oa, 0x4012345678);
    assert_int_equal(x.level, 1);
    assert_int_equal(x.shift, 30);
    assert_int_equal(x.depth, 1);
    assert_int_equal(x.perms, MODEL_RWX_ALL);
    assert_int_equal(x.memtype, MODEL_MT_WB);

    assert_int_equal(walk(&m, LM_1G + 0x1fffff, wr, &x), MODEL_OK);
    assert_int_equal(x.oa, 0x40401fffff);
    assert_int_equal(x.level, 2);
    assert_int_equal(x.shift, 21);

    assert_int_equal(walk(&m, LM_1G + LM_2M + 5 * LM_4K + 0xabc, rd, &x), MODEL_OK);
    assert_int_equal(x.oa, LM_DATA + LM_4K + 0xabc);
    assert_int_equal(x.level, 3);
    assert_int_equal(x.shift, 12);
    assert_int_equal(x.leaf_ia, LM_1G + LM_2M + 5 * LM_4K);
    assert_int_equal(x.depth, 3);
    assert_int_equal(x.chain[0].table, m.ctx.walk.root);
    assert_int_equal(x.chain[0].entry, m.ctx.walk.root + 8);
    assert_int_equal(x.chain[0].raw & 0xfffffffff000, x.chain[1].table);
    assert_int_equal(x.chain[2].entry, x.chain[2].table + 40);
    assert_int_equal(x.entry, x.chain[2].entry);
    lm_destroy(&m);
}

/* D8.2.9: up to 16 tables side by side at the start level. */
static void walks_concatenated_start_tables(void **state)
{
    struct lm m;
    struct model_xlat x;

    (void)state;
    lm_init(&m, 2, 40, 1);
    assert_int_equal(model_root_entries(&m.ctx.walk), 1024);
    lm_set(&m, LM_TABLES + 1023 * 8, 0x1000000000 | LM_BLOCK);
    assert_int_equal(walk(&m, 0xffc0000123, rd, &x), MODEL_OK);
    assert_int_equal(x.oa, 0x1000000123);
    assert_int_equal(walk(&m, (uint64_t)1 << 40, rd, &x), MODEL_FAULT_TRANSLATION);
    assert_int_equal(x.level, 0);
    lm_destroy(&m);

    lm_init(&m, 2, 34, 2); /* 16 tables at level 2 */
    assert_int_equal(model_root_entries(&m.ctx.walk), 8192);
    lm_set(&m, LM_TABLES + 8191 * 8, 0x40000000 | LM_BLOCK);
    assert_int_equal(walk(&m, 0x3ffe00007, rd, &x), MODEL_OK);
    assert_int_equal(x.oa, 0x40000007);
    lm_destroy(&m);

    lm_init(&m, 2, 48, 0);
    lm_map(&m, 0xffffffffe000, 3, (uint64_t)LM_DATA | LM_PAGE);
    assert_int_equal(walk(&m, 0xffffffffe00f, rd, &x), MODEL_OK);
    assert_int_equal(x.oa, LM_DATA + 0xf);
    assert_int_equal(x.depth, 4);
    lm_destroy(&m);
}

static void reports_each_fault(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    lm_init(&m, 2, 48, 0);
    m.ctx.walk.oa_bits = 44;
    for (uint8_t level = 0; level < 4; level++) { /* nothing there, at each level */
        assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_TRANSLATION);
        assert_int_equal(x.level, level);
        e = lm_entry(&m, 0, level);
        if (level < 3)
            lm_set(&m, e, lm_new_table(&m) | LM_TABLE);
    }
    e = lm_entry(&m, 0, 3);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~2u)); /* reserved at level 3 */
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_TRANSLATION);
    lm_set(&m, lm_entry(&m, (uint64_t)1 << 39, 0), 0x8000000000 | LM_BLOCK); /* no 512G block */
    assert_int_equal(walk(&m, (uint64_t)1 << 39, rd, &x), MODEL_FAULT_TRANSLATION);
    assert_int_equal(x.level, 0);

    lm_set(&m, e, (uint64_t)1 << 44 | LM_PAGE);
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_ADDRESS_SIZE);
    assert_int_equal(x.level, 3);
    lm_set(&m, lm_entry(&m, LM_1G, 1), (uint64_t)1 << 45 | LM_TABLE);
    assert_int_equal(walk(&m, LM_1G, rd, &x), MODEL_FAULT_ADDRESS_SIZE);
    assert_int_equal(x.level, 1);

    m.ctx.walk.root = (uint64_t)1 << 45;
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_ADDRESS_SIZE);
    assert_int_equal(x.level, 0);
    m.ctx.walk.root = LM_TABLES;

    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_AF));
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_ACCESS_FLAG);
    assert_int_equal(walk(&m, 0, peek, &x), MODEL_OK);

    /* The access flag's fault comes before the permission's. */
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~(LM_AF | LM_READ)));
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_ACCESS_FLAG);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_READ));
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_FAULT_PERMISSION);
    assert_int_equal(walk(&m, 0, spec, &x), MODEL_OK); /* cached, faults when used */
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_OK);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_WRITE));
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_FAULT_PERMISSION);
    assert_int_equal(x.level, 3);
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);

    lm_set(&m, lm_entry(&m, 2 * LM_1G, 1), 0x70000000 | LM_TABLE); /* no memory there */
    assert_int_equal(walk(&m, 2 * LM_1G, rd, &x), MODEL_FAULT_BAD_TABLE);
    m.mem.table_gen = NULL;
    assert_int_equal(walk(&m, 2 * LM_1G, rd, &x), MODEL_FAULT_EXTERNAL);
    m.mem = model_phys_mem(&m.phys, true);
    lm_set(&m, lm_entry(&m, 2 * LM_1G, 1), LM_DATA | LM_TABLE);
    assert_int_equal(walk(&m, 2 * LM_1G, rd, &x), MODEL_FAULT_BAD_TABLE);
    assert_int_equal(x.verdict, MODEL_V_DATA_AS_TABLE);
    assert_int_equal(x.level, 2);
    lm_destroy(&m);
}

static void refuses_bad_configurations(void **state)
{
    struct lm m;
    struct model_xlat x;
    const struct model_walk_cfg good = { .fmt = &model_arm,
                                         .stage = 2,
                                         .ia_bits = 40,
                                         .oa_bits = 44,
                                         .start_level = 1,
                                         .root = LM_TABLES };
    struct model_walk_cfg c;

    (void)state;
    lm_init(&m, 2, 40, 1);
    assert_null(model_arm.check(&good));
#define BAD(field, value)                                                            \
    do {                                                                             \
        c = good;                                                                    \
        c.field = (value);                                                           \
        assert_non_null(model_arm.check(&c));                                        \
        assert_int_equal(model_walk(&c, &m.mem, 0, rd, &x), MODEL_FAULT_BAD_CONFIG); \
    } while (0)
    BAD(stage, 3);
    BAD(ia_bits, 30);
    BAD(ia_bits, 44); /* more than 16 tables */
    BAD(start_level, 2);
    BAD(start_level, 4);
    BAD(oa_bits, 49);
    BAD(root, LM_TABLES + 0x1000); /* two tables: 8 KiB aligned */
    BAD(hd, true);
#undef BAD
    c = good;
    c.ia_bits = 48;
    c.start_level = 0;
    assert_null(model_arm.check(&c));
    c.oa_bits = 40; /* level 0 only from 44 bits on */
    assert_non_null(model_arm.check(&c));
    c = good;
    c.stage = 1; /* nothing is concatenated at stage 1 */
    assert_non_null(model_arm.check(&c));
    c.ia_bits = 39;
    assert_null(model_arm.check(&c));
    lm_destroy(&m);
}

/* D8.4.1, against the manual's table, all eight combinations of AP[2:1] and XN. */
static void stage_1_permissions(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    lm_init(&m, 1, 39, 1);
    e = lm_entry(&m, 0, 3);
    for (unsigned bits = 0; bits < 16; bits++) {
        uint64_t user = bits & 1, ro = bits >> 1 & 1, pxn = bits >> 2 & 1, uxn = bits >> 3 & 1;
        unsigned want = MODEL_R;

        lm_set(&m, e,
               LM_DATA | (LM_S1_PAGE & ~0xc0u) | user << 6 | ro << 7 | pxn << 53 | uxn << 54);
        want |= ro ? 0 : MODEL_W;
        want |= !pxn && !(user && !ro) ? MODEL_X : 0;
        want |= user ? MODEL_R << 3 : 0;
        want |= user && !ro ? MODEL_W << 3 : 0;
        want |= uxn ? 0 : MODEL_X << 3;
        assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
        assert_int_equal(x.perms, want);
        assert_int_equal(walk(&m, 0, (struct model_access){ .what = MODEL_W, .user = true }, &x),
                         user && !ro ? MODEL_OK : MODEL_FAULT_PERMISSION);
        assert_int_equal(walk(&m, 0, ex, &x), want & MODEL_X ? MODEL_OK : MODEL_FAULT_PERMISSION);
        /* One privilege level: AP[1] says nothing, XN is bit 54. */
        m.ctx.walk.two_priv = false;
        assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
        assert_int_equal(x.perms, MODEL_R | (ro ? 0u : MODEL_W) | (uxn ? 0u : MODEL_X));
        m.ctx.walk.two_priv = true;
    }
    /* Limits set by a table, and ignored with hierarchical permissions off. */
    lm_set(&m, e, LM_DATA | LM_S1_PAGE);
    lm_set(&m, lm_entry(&m, 0, 1), lm_get(&m, lm_entry(&m, 0, 1)) | (uint64_t)1 << 62);
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_FAULT_PERMISSION);
    m.ctx.walk.hpd = true;
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_OK);
    m.ctx.walk.hpd = false;
    lm_set(&m, lm_entry(&m, 0, 1),
           (lm_get(&m, lm_entry(&m, 0, 1)) & ~((uint64_t)1 << 62)) | (uint64_t)7 << 59);
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
    assert_int_equal(x.perms, MODEL_R | MODEL_W); /* no user, no execution */
    lm_set(&m, e, LM_DATA | (LM_S1_PAGE & ~0x40u));
    lm_set(&m, lm_entry(&m, 0, 1),
           (lm_get(&m, lm_entry(&m, 0, 1)) & ~((uint64_t)7 << 59)) | (uint64_t)1 << 59);
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
    assert_int_equal(x.perms, MODEL_R | MODEL_W | MODEL_X << MODEL_USER_SHIFT);
    lm_destroy(&m);
}

static void stage_2_execute_never(void **state)
{
    static const unsigned two_bits[4] = { 0x24, 0x20, 0, 0x04 }, one_bit[4] = { 0x24, 0x24, 0, 0 };
    struct lm m;
    struct model_xlat x;

    (void)state;
    lm_init(&m, 2, 39, 1);
    for (uint64_t xn = 0; xn < 4; xn++) {
        lm_map(&m, 0, 3, LM_DATA | LM_PAGE | xn << 53);
        m.ctx.walk.xnx = true;
        walk(&m, 0, rd, &x);
        assert_int_equal(x.perms & 0x24, two_bits[xn]);
        m.ctx.walk.xnx = false;
        walk(&m, 0, rd, &x);
        assert_int_equal(x.perms & 0x24, one_bit[xn]);
    }
    lm_destroy(&m);
}

static void memory_types(void **state)
{
    struct lm m;
    struct model_desc d;

    (void)state;
    lm_init(&m, 2, 39, 1);
    for (uint64_t attr = 0; attr < 16; attr++) {
        enum model_memtype want;

        m.ctx.walk.fwb = false;
        model_arm.decode(&m.ctx.walk, 3, LM_DATA | (LM_PAGE & ~0x3cu) | attr << 2, &d);
        want = attr < 4        ? MODEL_MT_DEVICE
               : attr % 4 == 0 ? MODEL_MT_RESERVED
               : attr == 5     ? MODEL_MT_NC
               : attr == 15    ? MODEL_MT_WB
                               : MODEL_MT_WT;
        assert_int_equal(d.memtype, want);
        assert_int_equal(d.reserved, want == MODEL_MT_RESERVED);
        m.ctx.walk.fwb = true;
        model_arm.decode(&m.ctx.walk, 3, LM_DATA | (LM_PAGE & ~0x3cu) | attr << 2, &d);
        want = attr < 4    ? MODEL_MT_DEVICE
               : attr == 5 ? MODEL_MT_NC
               : attr == 6 ? MODEL_MT_WB
               : attr == 7 ? MODEL_MT_AS_S1
                           : MODEL_MT_RESERVED;
        assert_int_equal(d.memtype, want);
    }
    lm_destroy(&m);
    lm_init(&m, 1, 39, 1);
    model_arm.decode(&m.ctx.walk, 3, LM_DATA | 0x743, &d);
    assert_int_equal(d.memtype, MODEL_MT_NC);
    model_arm.decode(&m.ctx.walk, 3, LM_DATA | 0x747, &d);
    assert_int_equal(d.memtype, MODEL_MT_WB);
    model_arm.decode(&m.ctx.walk, 3, LM_DATA | 0x74b, &d);
    assert_int_equal(d.memtype, MODEL_MT_DEVICE);
    lm_destroy(&m);
}

static void reserved_bits_and_special_bits(void **state)
{
    struct lm m;
    struct model_xlat x;
    struct model_desc d;

    (void)state;
    lm_init(&m, 2, 39, 1);
    model_arm.decode(&m.ctx.walk, 2, 0x40000000 | LM_BLOCK, &d);
    assert_false(d.reserved);
    model_arm.decode(&m.ctx.walk, 2, 0x40001000 | LM_BLOCK, &d); /* not 2M aligned */
    assert_true(d.reserved);
    model_arm.decode(&m.ctx.walk, 3, (uint64_t)1 << 48 | LM_DATA | LM_PAGE, &d);
    assert_true(d.reserved);
    model_arm.decode(&m.ctx.walk, 3, (uint64_t)1 << 50 | LM_DATA | LM_PAGE, &d);
    assert_true(d.reserved);
    model_arm.decode(&m.ctx.walk, 2, (uint64_t)1 << 60 | LM_DATA | LM_TABLE, &d);
    assert_true(d.reserved);

    lm_map(&m, 0, 2, 0x40000000 | LM_BLOCK | LM_NT);
    m.ctx.walk.bbm = 0;
    model_arm.decode(&m.ctx.walk, 2, 0x40000000 | LM_BLOCK | LM_NT, &d);
    assert_true(d.reserved);
    m.ctx.walk.bbm = 1;
    assert_int_equal(walk(&m, 5, rd, &x), MODEL_OK);
    assert_true(x.nt);
    m.ctx.walk.nt_faults = true;
    assert_int_equal(walk(&m, 5, rd, &x), MODEL_FAULT_TRANSLATION);
    m.ctx.walk.bbm = 2;
    assert_int_equal(walk(&m, 5, rd, &x), MODEL_OK);
    assert_false(x.nt);

    /* A contiguous set is one leaf of 64K to a walker that uses it, 16 to another. */
    for (uint64_t i = 0; i < 16; i++)
        lm_map(&m, LM_1G + i * LM_4K, 3, (LM_DATA + i * LM_4K) | LM_PAGE | LM_CONTIG);
    walk(&m, LM_1G + 0x3456, rd, &x);
    assert_int_equal(x.shift, 12);
    m.ctx.walk.contig = true;
    walk(&m, LM_1G + 0x3456, rd, &x);
    assert_int_equal(x.shift, 16);
    assert_int_equal(x.leaf_ia, LM_1G);
    assert_int_equal(x.leaf_oa, LM_DATA);
    assert_int_equal(x.oa, LM_DATA + 0x3456);
    lm_destroy(&m);
}

static void hardware_updates_stage_2(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    lm_init(&m, 2, 39, 1);
    m.ctx.walk.ha = true;
    e = lm_entry(&m, 0, 3);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_AF));
    assert_int_equal(walk(&m, 0, peek, &x), MODEL_OK);
    assert_int_equal(lm_get(&m, e) & LM_AF, 0);
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
    assert_true(x.updated);
    assert_int_equal(lm_get(&m, e), LM_DATA | LM_PAGE);

    /* DBM without HD means nothing: read-only. */
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_WRITE) | LM_DBM);
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_FAULT_PERMISSION);
    m.ctx.walk.hd = true;
    assert_int_equal(walk(&m, 0, rd, &x), MODEL_OK);
    assert_true(x.clean);
    assert_false(x.updated);
    assert_int_equal(walk(&m, 0, spec, &x), MODEL_OK); /* never dirty by speculation */
    assert_int_equal(lm_get(&m, e) & LM_WRITE, 0);
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_OK);
    assert_true(x.updated);
    assert_true(x.dirty);
    assert_int_equal(lm_get(&m, e), LM_DATA | LM_PAGE | LM_DBM);
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_OK);
    assert_false(x.updated);

    /* Both in one update; a faulting access makes nothing dirty. */
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~(LM_WRITE | LM_AF)) | LM_DBM);
    assert_int_equal(walk(&m, 0, wr, &x), MODEL_OK);
    assert_int_equal(lm_get(&m, e), LM_DATA | LM_PAGE | LM_DBM);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~(LM_WRITE | LM_READ)) | LM_DBM);
    assert_int_equal(walk(&m, 0, (struct model_access){ .what = MODEL_R | MODEL_W }, &x),
                     MODEL_FAULT_PERMISSION);
    assert_int_equal(lm_get(&m, e) & LM_WRITE, 0);
    lm_destroy(&m);
}

static void hardware_updates_stage_1(void **state)
{
    struct lm m;
    struct model_xlat x;
    uint64_t e;

    (void)state;
    lm_init(&m, 1, 48, 0);
    m.ctx.walk.ha = m.ctx.walk.hd = true;
    e = lm_entry(&m, 0x123456789000, 3);
    lm_set(&m, e, LM_DATA | LM_S1_PAGE | 1 << 7 | LM_DBM); /* read-only: clean */
    assert_int_equal(walk(&m, 0x123456789000, wr, &x), MODEL_OK);
    assert_int_equal(lm_get(&m, e), LM_DATA | LM_S1_PAGE | LM_DBM);
    lm_destroy(&m);
}

/* Somebody changes the entry between the fetch and the hardware's compare-exchange. */
static void update_loses_its_race(void **state)
{
    struct lm m;
    struct model_walk w;
    uint64_t e;

    (void)state;
    lm_init(&m, 2, 39, 1);
    m.ctx.walk.ha = m.ctx.walk.hd = true;
    e = lm_entry(&m, 0, 3);
    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_WRITE) | LM_DBM);
    model_walk_begin(&w, &m.ctx.walk, &m.mem, 0, wr);
    assert_false(model_walk_step(&w));
    assert_false(model_walk_step(&w));
    assert_false(model_walk_step(&w)); /* has the leaf, is about to write it */
    lm_set(&m, e, (LM_DATA + LM_4K) | (LM_PAGE & ~LM_WRITE) | LM_DBM);
    while (!model_walk_step(&w))
        ;
    assert_int_equal(w.out.fault, MODEL_OK);
    assert_int_equal(w.out.oa, LM_DATA + LM_4K);
    assert_int_equal(lm_get(&m, e), (LM_DATA + LM_4K) | LM_PAGE | LM_DBM);
    assert_int_equal(w.restarts, 1);

    lm_set(&m, e, LM_DATA | (LM_PAGE & ~LM_WRITE) | LM_DBM);
    model_walk_begin(&w, &m.ctx.walk, &m.mem, 0, wr);
    for (int i = 0; i < 3; i++)
        model_walk_step(&w);
    lm_set(&m, e, 0);
    while (!model_walk_step(&w))
        ;
    assert_int_equal(w.out.fault, MODEL_FAULT_TRANSLATION);
    assert_int_equal(lm_get(&m, e), 0);
    lm_destroy(&m);
}

static void tables_change_between_fetches(void **state)
{
    struct lm m;
    struct model_walk w;
    uint64_t old;

    (void)state;
    lm_init(&m, 2, 39, 1);
    lm_map(&m, 0, 3, LM_DATA | LM_PAGE);
    old = lm_get(&m, lm_entry(&m, 0, 2)) & 0xfffffffff000;

    /* A cut or merge in between: the walk goes on with what it has. */
    model_walk_begin(&w, &m.ctx.walk, &m.mem, 0, rd);
    model_walk_step(&w);
    model_walk_step(&w);
    lm_set(&m, lm_entry(&m, 0, 2), 0x40000000 | LM_BLOCK);
    assert_true(model_walk_step(&w));
    assert_int_equal(w.out.oa, LM_DATA);

    /* The table is freed, or lives again as another, before the walk gets there. */
    for (int again = 0; again < 2; again++) {
        lm_set(&m, lm_entry(&m, 0, 2), old | LM_TABLE);
        model_phys_mark(&m.phys, old, LM_4K, MODEL_PAGE_TABLE, 0);
        model_walk_begin(&w, &m.ctx.walk, &m.mem, 0, rd);
        model_walk_step(&w);
        model_walk_step(&w);
        model_phys_mark(&m.phys, old, LM_4K, MODEL_PAGE_FREE, 0);
        if (again)
            model_phys_mark(&m.phys, old, LM_4K, MODEL_PAGE_TABLE, 0);
        assert_true(model_walk_step(&w));
        assert_int_equal(w.out.fault, MODEL_FAULT_BAD_TABLE);
        assert_int_equal(w.out.verdict, again ? MODEL_V_TABLE_REUSED : MODEL_V_DATA_AS_TABLE);
        assert_true(model_walk_step(&w));
    }
    lm_destroy(&m);
}

static void memory_keeps_its_contract(void **state)
{
    static _Alignas(4096) uint8_t buffer[8192];
    struct model_phys phys;
    char text[6] = "";
    bool ok;

    (void)state;
    model_phys_init(&phys);
    assert_true(model_phys_attach(&phys, 0x40000000, buffer, sizeof(buffer)));
    assert_false(model_phys_attach(&phys, 0x40001000, buffer, 4096)); /* overlaps */
    assert_false(model_phys_attach(&phys, 0x50000000, buffer + 8, 4096));
    assert_false(model_phys_attach(&phys, 0x50000000, buffer, 100));
    assert_true(model_phys_arena(&phys, 0x50000000, 4096));
    assert_ptr_equal(model_phys_ptr(&phys, 0x40001000, 4096), buffer + 4096);
    assert_null(model_phys_ptr(&phys, 0x40001000, 4097));
    assert_null(model_phys_ptr(&phys, 0x3fffffff, 1));
    assert_int_equal(model_phys_pa(&phys, buffer + 5000), 0x40000000 + 5000);
    assert_int_equal(model_phys_pa(&phys, text), UINT64_MAX);
    assert_true(model_phys_write(&phys, 0x40000ffe, "hello", 6));
    assert_true(model_phys_read(&phys, 0x40000ffe, text, 6));
    assert_string_equal(text, "hello");
    assert_false(model_phys_write(&phys, 0x40001ffe, "hello", 6));
    assert_int_equal(model_phys_read64(&phys, 0x60000000, &ok), 0);
    assert_false(ok);
    assert_false(model_phys_write64(&phys, 0x40000004, 1)); /* not aligned */

    assert_int_equal(model_phys_kind(&phys, 0x40000000), MODEL_PAGE_FREE);
    model_phys_mark(&phys, 0x40000800, 0x1000, MODEL_PAGE_DATA, 0x1234); /* touches two pages */
    assert_int_equal(model_phys_kind(&phys, 0x40001fff), MODEL_PAGE_DATA);
    assert_int_equal(model_phys_owner(&phys, 0x40000000), 0x1234);
    assert_int_equal(model_phys_generation(&phys, 0x40000000), 1);
    model_phys_destroy(&phys);
}

static void every_verdict_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < MODEL_V_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(model_verdict_name((enum model_verdict)i),
                                    model_verdict_name((enum model_verdict)j));
    assert_string_equal(model_verdict_name(MODEL_V_COUNT), "?");
    assert_string_equal(model_fault_name(MODEL_FAULT_BAD_TABLE), "bad-table");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(walks_known_stage_2),
        cmocka_unit_test(walks_concatenated_start_tables),
        cmocka_unit_test(reports_each_fault),
        cmocka_unit_test(refuses_bad_configurations),
        cmocka_unit_test(stage_1_permissions),
        cmocka_unit_test(stage_2_execute_never),
        cmocka_unit_test(memory_types),
        cmocka_unit_test(reserved_bits_and_special_bits),
        cmocka_unit_test(hardware_updates_stage_2),
        cmocka_unit_test(hardware_updates_stage_1),
        cmocka_unit_test(update_loses_its_race),
        cmocka_unit_test(tables_change_between_fetches),
        cmocka_unit_test(memory_keeps_its_contract),
        cmocka_unit_test(every_verdict_has_a_name_of_its_own),
    };

    return cmocka_run_group_tests_name("model: walker and memory", tests, NULL, NULL);
}
