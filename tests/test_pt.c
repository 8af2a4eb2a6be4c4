/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine call by call: contracts, refusals, exact counts, records. Both formats. */
#include "lib_pt.h"

#include <stdlib.h>
#include <string.h>

/* Runs a test on every step-th configuration. */
static void each(unsigned step, void (*test)(struct tp *t))
{
#ifdef __SANITIZE_THREAD__
    step = 5; /* both formats: one thread has little to show here */
#endif
    for (unsigned c = 0; c < TP_ARM_4K; c += step) {
        struct tp t;

        tp_open(&t, &tp_confs[c].cfg);
        test(&t);
        tp_close(&t);
    }
}

static void map_ok(struct tp *t, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                   uint64_t cap)
{
    uint32_t n;

    assert_int_equal(pt_need_map(&t->pt, ia, oa, len, cap, &n), 0);
    tp_pool(t, n);
    assert_int_equal(pt_map(&t->pt, ia, oa, len, prot | t->user, cap, &t->pool), 0);
    assert_int_equal(t->pool.count, 0);
    tp_map_add(&t->map, ia, ia + len - 1, oa, tp_reported(t, prot | t->user));
    tp_audit(t);
}

static void unmap_ok(struct tp *t, uint64_t ia, uint64_t len)
{
    struct pt_gather g;

    pt_gather_init(&g);
    assert_int_equal(pt_unmap(&t->pt, ia, len, &g), 0);
    assert_int_equal(pt_trim(&t->pt, ia, len, &g), 0);
    tp_map_del(&t->map, ia, ia + len - 1);
    tp_done(t, &g);
    tp_audit(t);
}

/* --- configuration --- */

static void configurations(void **state)
{
    unsigned good = 0;

    (void)state;
    for (unsigned fmt = 0; fmt < 2; fmt++) {
        for (unsigned ia = 0; ia < 70; ia++) {
            for (unsigned oa = 0; oa < 70; oa++) {
                for (unsigned level = 0; level < 5; level++) {
                    struct pt_config cfg = { .format = fmt ? PT_ARM_S2_4K : PT_ARM_S1_4K,
                                             .ia_bits = (uint8_t)ia,
                                             .oa_bits = (uint8_t)oa,
                                             .start_level = (int8_t)level };
                    struct model_walk_cfg w = { .fmt = &model_arm,
                                                .stage = fmt ? 2 : 1,
                                                .ia_bits = cfg.ia_bits,
                                                .oa_bits = cfg.oa_bits,
                                                .start_level = cfg.start_level,
                                                .ds = ia > 48 || oa > 48 };
                    bool size = oa == 32 || oa == 36 || oa == 40 || oa == 42 || oa == 44 ||
                                oa == 48 || oa == 52;
                    bool want = size && level < 3 && ia >= 25 && !model_arm.check(&w);
                    int ret = pt_root_pages(&cfg);

                    tp_assert((ret > 0) == want && (want || ret == -EINVAL),
                              "stage %u ia %u oa %u level %u: %d\n", fmt + 1, ia, oa, level, ret);
                    if (want) {
                        unsigned entries = model_root_entries(&w);

                        assert_int_equal(ret, entries < 512 ? 1 : entries / 512);
                        good++;
                    }
                }
            }
        }
    }
    assert_in_range(good, 100, 2000);
    assert_int_equal(pt_root_pages(&(struct pt_config){ .format = (enum pt_format)77 }), -EINVAL);
}

static void roots(void **state)
{
    struct pt_config cfg = {
        .format = PT_ARM_S2_4K, .ia_bits = 43, .oa_bits = 48, .start_level = 1
    };
    struct pt pt;

    (void)state;
    assert_int_equal(pt_init(&pt, &cfg, 0), -EINVAL);
    assert_int_equal(pt_init(&pt, &cfg, 0x40008000), -EINVAL); /* 16 pages need 64K alignment */
    assert_int_equal(pt_init(&pt, &cfg, (uint64_t)1 << 48), -EINVAL);
    assert_int_equal(pt_init(&pt, &cfg, 0x40010000), 0);
    assert_int_equal(pt.root_pages, 16);
}

/* Register fields, from the field tables of the manuals (DDI0487 D23.2.206; IHI0070 5.2). */
static void registers(void **state)
{
    struct pt pt = { .cfg = {
                         .format = PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 40, .start_level = 1 } };

    (void)state;
    /* T0SZ 24, SL0 1, IRGN0 = ORGN0 = 1, SH0 3, TG0 0, PS 2 */
    assert_int_equal(pt_arm_ste_s2vtcr(&pt), 0x23558);
    assert_int_equal(pt_arm_vtcr(&pt), 0x80023558);
    pt.cfg.ia_bits = 48, pt.cfg.oa_bits = 48, pt.cfg.start_level = 0;
    assert_int_equal(pt_arm_ste_s2vtcr(&pt), 0x53590);
    pt.cfg.incoherent = true;
    assert_int_equal(pt_arm_ste_s2vtcr(&pt), 0x52090);
    pt.cfg = (struct pt_config){
        .format = PT_ARM_S1_4K, .ia_bits = 39, .oa_bits = 44, .start_level = 1
    };
    assert_int_equal(pt_arm_tcr_el2(&pt), 0x80843519);
}

static void live_meet(void **state)
{
    struct pt_live a = { .bbm = 2,
                         .hw_af = true,
                         .hw_dirty = true,
                         .stalls = true,
                         .contig = true,
                         .exec_4k = true,
                         .leaf_max = 30 };
    struct pt_live b = { .bbm = 1, .hw_af = true, .stalls = true, .contig = true };
    struct pt_live m = pt_live_meet(a, b);

    (void)state;
    assert_int_equal(m.bbm, 1);
    assert_true(m.hw_af && !m.hw_dirty && m.stalls && m.contig && m.exec_4k);
    assert_int_equal(m.leaf_max, 30);
    b.contig = false, b.leaf_max = 21;
    m = pt_live_meet(b, a);
    assert_int_equal(m.bbm, 1);
    assert_true(m.hw_af && !m.hw_dirty && m.stalls && !m.contig && m.exec_4k);
    assert_int_equal(m.leaf_max, 21);
}

/* --- map --- */

/* Page by page: the largest leaf that is aligned on both sides, fits, and is allowed. */
static void expected_leaves(const struct tp *t, uint64_t ia, uint64_t oa, uint64_t len,
                            uint64_t cap, uint64_t leaves[4])
{
    memset(leaves, 0, 4 * sizeof(*leaves));
    while (len > 0) {
        unsigned level = 1;
        uint64_t size;

        for (;; level++) {
            size = (uint64_t)1 << model_arm.shift(&t->walk, (uint8_t)level);
            if ((int)level >= t->pt.cfg.start_level && (ia | oa) % size == 0 && size <= len &&
                (cap == 0 || size <= cap)) {
                break;
            }
        }
        leaves[level]++;
        ia += size, oa += size, len -= size;
    }
}

static void largest_leaves(struct tp *t)
{
    static const uint64_t starts[] = { 0,       PAGE_SIZE,     2 * MIB - PAGE_SIZE, 2 * MIB,
                                       6 * MIB, GIB - 4 * MIB, GIB - PAGE_SIZE,     GIB };
    static const uint64_t lens[] = {
        PAGE_SIZE, 2 * MIB, 2 * MIB + PAGE_SIZE, 6 * MIB - PAGE_SIZE, GIB, GIB + 2 * MIB, 2 * GIB
    };
    static const uint64_t shifts[] = { 0, PAGE_SIZE, 2 * MIB, GIB };
    static const uint64_t caps[] = { 0, PAGE_SIZE, 2 * MIB, GIB, 64 * MIB };

    static unsigned turn;

    /* Every combination in one configuration or another. */
    for (unsigned i = turn++ % 4; i < 8 * 7 * 4 * 5; i += 4) {
        uint64_t ia = starts[i % 8], len = lens[i / 8 % 7], cap = caps[i / 224];
        uint64_t oa = ia + shifts[i / 56 % 4], want[4];
        struct pt_counts got;

        if (ia + len > tp_top(t) || (oa + len) >> t->pt.cfg.oa_bits != 0 ||
            (len > 10 * MIB && (cap == PAGE_SIZE || (oa - ia) % (2 * MIB) != 0))) {
            continue; /* the many small leaves of these add nothing */
        }
        expected_leaves(t, ia, oa, len, cap, want);
        map_ok(t, ia, oa, len, RW, cap);
        got = tp_count(&t->pt);
        tp_assert(memcmp(want, got.leaves, sizeof(want)) == 0,
                  "ia %#lx oa %#lx len %#lx cap %#lx: %lu %lu %lu leaves, not %lu %lu %lu\n",
                  (unsigned long)ia, (unsigned long)oa, (unsigned long)len, (unsigned long)cap,
                  (unsigned long)got.leaves[1], (unsigned long)got.leaves[2],
                  (unsigned long)got.leaves[3], (unsigned long)want[1], (unsigned long)want[2],
                  (unsigned long)want[3]);
        unmap_ok(t, ia, len);
        assert_int_equal(tp_count(&t->pt).tables, 0);
    }
}

static void map_largest_leaves(void **state)
{
    (void)state;
    each(1, largest_leaves);
}

static void ends_of_space(struct tp *t)
{
    uint64_t top = tp_top(t), oa_top = (uint64_t)1 << t->pt.cfg.oa_bits;
    struct pt_leaf leaf;

    map_ok(t, top - PAGE_SIZE, 0, PAGE_SIZE, PT_READ, 0);
    map_ok(t, 0, oa_top - PAGE_SIZE, PAGE_SIZE, RW, 0);
    assert_int_equal(pt_lookup(&t->pt, top - 1, &leaf), 0);
    assert_true(leaf.present && leaf.last == top - 1 && leaf.oa == 0);
    assert_int_equal(pt_lookup(&t->pt, top, &leaf), -ERANGE);
    assert_int_equal(pt_lookup(&t->pt, ~(uint64_t)0, &leaf), -ERANGE);
    assert_int_equal(pt_translate(&t->pt, top - 1), PAGE_SIZE - 1);
    assert_int_equal(pt_translate(&t->pt, top), PT_NO_OA);
    assert_int_equal(pt_translate(&t->pt, ~(uint64_t)0), PT_NO_OA);
    assert_int_equal(pt_translate(&t->pt, top - PAGE_SIZE - 1), PT_NO_OA);
    unmap_ok(t, top - 4 * MIB, 4 * MIB);
    map_ok(t, top - 4 * MIB, oa_top - 4 * MIB, 4 * MIB, RW, 0);
    assert_int_equal(tp_count(&t->pt).leaves[2], 2);
    unmap_ok(t, 0, top);
    assert_int_equal(tp_count(&t->pt).tables, 0);
}

static void map_ends_of_space(void **state)
{
    (void)state;
    each(1, ends_of_space);
}

/* Every right and type, there and back, and as the model reads it (in the audit). */
static void rights(struct tp *t)
{
    for (uint32_t p = 0; p < 1u << 9; p++) {
        uint32_t prot = p | t->user, type = p & (PT_NC | PT_DEVICE);
        bool s2 = t->pt.cfg.format == PT_ARM_S2_4K;
        struct tp_snap snap;
        int want = 0;

        if ((p & PT_USER) && !s2) {
            continue;
        }
        if (p >> 8 || type == (PT_NC | PT_DEVICE) || ((p & PT_TRACK) && !(p & PT_WRITE))) {
            want = -EINVAL;
        }
        /* Stage 1 cannot say "unreadable", stage 2 can say "write only", and no more is wanted. */
        if (!(p & PT_READ) && (!s2 || !(p & PT_WRITE) || (p & (PT_EXEC | PT_TRACK)))) {
            want = -EINVAL;
        }
        tp_pool(t, 3);
        tp_snap(t, &snap);
        assert_int_equal(pt_map(&t->pt, 2 * MIB, 4 * MIB, PAGE_SIZE, prot, 0, &t->pool), want);
        if (want != 0) {
            tp_assert_same(t, &snap);
            continue;
        }
        free(snap.words);
        tp_map_add(&t->map, 2 * MIB, 2 * MIB + PAGE_SIZE - 1, 4 * MIB, tp_reported(t, prot));
        tp_audit(t);
        if (prot & PT_TRACK) {
            struct pt_leaf leaf;

            assert_int_equal(pt_lookup(&t->pt, 2 * MIB, &leaf), 0);
            assert_int_equal(leaf.prot, tp_reported(t, prot));
        }
        unmap_ok(t, 2 * MIB, PAGE_SIZE);
    }
    /* Without hardware dirty updates a tracked leaf would look read-only. */
    t->pt.cfg.live.hw_dirty = false;
    assert_int_equal(pt_map(&t->pt, 0, 0, PAGE_SIZE, RW | PT_TRACK | t->user, 0, &t->pool),
                     -EOPNOTSUPP);
    t->pt.cfg.live.hw_dirty = true;
}

static void map_rights(void **state)
{
    (void)state;
    each(3, rights);
}

/* EL2's own regime: one privilege level, AP[1] and nG as it wants them. */
static void el2_regime(void **state)
{
    struct pt_config cfg = {
        .format = PT_ARM_S1_4K, .ia_bits = 39, .oa_bits = 40, .start_level = 1
    };
    struct tp t;
    struct model_xlat x;

    (void)state;
    tp_open(&t, &cfg);
    t.walk.two_priv = false;
    tp_pool(&t, 8);
    assert_int_equal(pt_map(&t.pt, 0, 0, PAGE_SIZE, PT_READ | PT_EXEC, 0, &t.pool), 0);
    assert_int_equal(pt_map(&t.pt, PAGE_SIZE, 0, PAGE_SIZE, RW, 0, &t.pool), 0);
    assert_int_equal(pt_map(&t.pt, 2 * PAGE_SIZE, 0, PAGE_SIZE, RW | PT_DEVICE, 0, &t.pool), 0);
    for (unsigned i = 0; i < 3; i++) {
        static const uint8_t perms[] = { MODEL_R | MODEL_X, MODEL_R | MODEL_W, MODEL_R | MODEL_W };

        assert_int_equal(tp_walk(&t, i * PAGE_SIZE, &x), MODEL_OK);
        assert_int_equal(x.perms, perms[i]);
        assert_true(x.global);
        assert_true(x.raw >> 6 & 1);          /* AP[1]: RES1 */
        assert_int_equal(x.raw >> 53 & 1, 0); /* PXN: RES0 */
        assert_int_equal(x.memtype, i == 2 ? MODEL_MT_DEVICE : MODEL_MT_WB);
    }
    tp_close(&t);
}

/* --- refusals --- */

static void refusals(struct tp *t)
{
    uint64_t top = tp_top(t), max = ~(uint64_t)0, oa_top = (uint64_t)1 << t->pt.cfg.oa_bits;
    const struct {
        uint64_t ia, len;
        int err;
    } bad[] = {
        { 0, 0, -EINVAL },
        { 1, PAGE_SIZE, -EINVAL },
        { 0, PAGE_SIZE + 8, -EINVAL },
        { 0, 2048, -EINVAL },
        { top, PAGE_SIZE, -ERANGE },
        { top - PAGE_SIZE, 2 * PAGE_SIZE, -ERANGE },
        { 0, top + PAGE_SIZE, -ERANGE },
        { max - PAGE_SIZE + 1, PAGE_SIZE, -ERANGE },
        { max - PAGE_SIZE + 1, 2 * PAGE_SIZE, -ERANGE }, /* wraps to 0 */
        { PAGE_SIZE, max - PAGE_SIZE + 1, -ERANGE },     /* wraps to 0 exactly */
        { 2 * PAGE_SIZE, max - PAGE_SIZE + 1, -ERANGE }, /* wraps beyond */
    };
    uint32_t rw = RW | t->user, need;
    struct pt_gather g;
    struct tp_snap snap;
    bool young;

    pt_gather_init(&g);
    map_ok(t, 0, 0, 4 * MIB, RW, 0);
    tp_pool(t, 4);
    tp_snap(t, &snap);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t ia = bad[i].ia, len = bad[i].len;
        int err = bad[i].err;

        assert_int_equal(pt_map(&t->pt, ia, 0, len, rw, 0, &t->pool), err);
        assert_int_equal(pt_need_map(&t->pt, ia, 0, len, 0, &need), err);
        assert_int_equal(pt_need(&t->pt, ia, len), 0);
        assert_int_equal(pt_cut_check(&t->pt, ia, len), err);
        assert_int_equal(pt_cut(&t->pt, ia, len, &t->pool, &g), err);
        assert_int_equal(pt_break(&t->pt, ia, len, &g), err);
        assert_int_equal(pt_unmap(&t->pt, ia, len, &g), err);
        assert_int_equal(pt_protect(&t->pt, ia, len, rw, &g), err);
        assert_int_equal(pt_merge(&t->pt, ia, len, 0, &g), err);
        assert_int_equal(pt_dirty_read_clear(&t->pt, ia, len, NULL, PAGE_SIZE, &g), err);
        assert_int_equal(pt_age(&t->pt, ia, len, &young, &g), err);
    }
    /* Output addresses, the cap, and what is there already at either end. */
    assert_int_equal(pt_map(&t->pt, 6 * MIB, 1, PAGE_SIZE, rw, 0, &t->pool), -EINVAL);
    assert_int_equal(pt_map(&t->pt, 6 * MIB, oa_top, PAGE_SIZE, rw, 0, &t->pool), -ERANGE);
    assert_int_equal(pt_map(&t->pt, 6 * MIB, oa_top - PAGE_SIZE, 2 * PAGE_SIZE, rw, 0, &t->pool),
                     -ERANGE);
    assert_int_equal(pt_map(&t->pt, 6 * MIB, max - PAGE_SIZE + 1, 2 * PAGE_SIZE, rw, 0, &t->pool),
                     -ERANGE);
    assert_int_equal(pt_map(&t->pt, 6 * MIB, 0, PAGE_SIZE, rw, 2048, &t->pool), -EINVAL);
    assert_int_equal(pt_map(&t->pt, 6 * MIB, 0, PAGE_SIZE, rw, 3 * PAGE_SIZE, &t->pool), -EINVAL);
    assert_int_equal(pt_map(&t->pt, 0, 0, PAGE_SIZE, rw, 0, &t->pool), -EEXIST);
    assert_int_equal(pt_map(&t->pt, 4 * MIB - PAGE_SIZE, 0, 2 * PAGE_SIZE, rw, 0, &t->pool),
                     -EEXIST);
    assert_int_equal(pt_merge(&t->pt, 0, 4 * MIB, 12345, &g), -EINVAL);
    /* A leaf across an end. */
    assert_int_equal(pt_break(&t->pt, PAGE_SIZE, 2 * MIB - PAGE_SIZE, &g), -EINVAL);
    assert_int_equal(pt_break(&t->pt, 0, 4 * MIB - PAGE_SIZE, &g), -EINVAL);
    assert_int_equal(pt_unmap(&t->pt, PAGE_SIZE, PAGE_SIZE, &g), -EINVAL);
    assert_int_equal(pt_protect(&t->pt, PAGE_SIZE, PAGE_SIZE, rw, &g), -EINVAL);
    assert_int_equal(pt_dirty_read_clear(&t->pt, 0, PAGE_SIZE, NULL, PAGE_SIZE, &g), -EINVAL);
    assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, rw | PT_DEVICE, &g), -EINVAL);
    assert_int_equal(pt_protect(&t->pt, 0, 4 * MIB, 0, &g), -EINVAL);
    t->pt.cfg.live.hw_af = false;
    assert_int_equal(pt_age(&t->pt, 0, 4 * MIB, &young, &g), -EOPNOTSUPP);
    t->pt.cfg.live.hw_af = true;
    /* map_leaf */
    assert_int_equal(pt_map_leaf(&t->pt, 4 * MIB, PAGE_SIZE, 2, rw, &t->pool), -EINVAL);
    assert_int_equal(pt_map_leaf(&t->pt, 4 * MIB + PAGE_SIZE, 0, 2, rw, &t->pool), -EINVAL);
    assert_int_equal(pt_map_leaf(&t->pt, 4 * MIB, 0, 0, rw, &t->pool), -EINVAL);
    assert_int_equal(pt_map_leaf(&t->pt, 4 * MIB, 0, 4, rw, &t->pool), -EINVAL);
    assert_int_equal(pt_map_leaf(&t->pt, 0, 0, 3, rw, &t->pool), -EEXIST);
    assert_int_equal(pt_map_leaf(&t->pt, top, 0, 3, rw, &t->pool), -ERANGE);
    assert_int_equal(pt_map_leaf(&t->pt, 4 * MIB, oa_top, 3, rw, &t->pool), -ERANGE);

    assert_true(pt_gather_empty(&g));
    assert_int_equal(g.freed.count, 0);
    tp_assert_same(t, &snap);
    tp_audit(t);
}

static void refusals_change_nothing(void **state)
{
    (void)state;
    each(1, refusals);
}

/* Each number of table pages that is too small, for map and cut. */
static void exhaustion(struct tp *t)
{
    uint64_t base = tp_top(t) >= 4 * GIB ? tp_top(t) - 2 * GIB : 0;
    uint64_t size = tp_top(t) >= 4 * GIB ? 2 * GIB : 16 * MIB;
    uint64_t ia = base + 2 * MIB - PAGE_SIZE, len = size - 4 * MIB;
    struct pt_gather g;
    struct tp_snap snap;
    uint32_t need;
    int ret = -ENOMEM;

    assert_int_equal(pt_need_map(&t->pt, ia, 2 * MIB - PAGE_SIZE, len, 0, &need), 0);
    for (uint32_t n = 0; n < need; n++) {
        tp_pool(t, n);
        tp_snap(t, &snap);
        assert_int_equal(pt_map(&t->pt, ia, 2 * MIB - PAGE_SIZE, len, RW | t->user, 0, &t->pool),
                         -ENOMEM);
        tp_assert_same(t, &snap);
    }
    tp_pool(t, 0);
    if (need > 0) {
        assert_int_equal(pt_map_leaf(&t->pt, 0, 0, 3, RW | t->user, &t->pool), -ENOMEM);
    }
    map_ok(t, base, 0, size, RW, 0);
    pt_gather_init(&g);
    for (uint32_t n = 0; ret != 0; n++) {
        assert_true(n <= pt_need(&t->pt, ia, len));
        tp_pool(t, n);
        tp_snap(t, &snap);
        ret = pt_cut(&t->pt, ia, len, &t->pool, &g);
        if (ret == 0) {
            free(snap.words);
            assert_int_equal(t->pool.count, 0);
        } else {
            assert_int_equal(ret, -ENOMEM);
            assert_true(pt_gather_empty(&g));
            tp_assert_same(t, &snap);
        }
    }
    tp_done(t, &g);
    tp_audit(t);
}

static void pool_exhaustion(void **state)
{
    (void)state;
    each(1, exhaustion);
}

/* --- fault path --- */

static void leaves_one_by_one(struct tp *t)
{
    uint64_t leaf_tables, ia = 6 * MIB;
    struct tp_snap snap;

    tp_pool(t, 3);
    assert_int_equal(pt_map_leaf(&t->pt, ia, 0x5000, 3, RW | t->user, &t->pool), 0);
    tp_map_add(&t->map, ia, ia + PAGE_SIZE - 1, 0x5000, tp_reported(t, RW | t->user));
    leaf_tables = tp_count(&t->pt).tables;
    assert_int_equal(leaf_tables, 3 - t->pt.cfg.start_level);
    assert_int_equal(t->pool.count, 3 - leaf_tables);
    tp_audit(t);
    /* Over a table, empty or not: never replaced. */
    tp_pool(t, 3);
    tp_snap(t, &snap);
    assert_int_equal(pt_map_leaf(&t->pt, ia, 0, 2, RW | t->user, &t->pool), -EEXIST);
    tp_assert_same(t, &snap);
    assert_int_equal(pt_map_leaf(&t->pt, ia + PAGE_SIZE, 0, 3, RW | t->user, &t->pool), 0);
    tp_map_add(&t->map, ia + PAGE_SIZE, ia + 2 * PAGE_SIZE - 1, 0, tp_reported(t, RW | t->user));
    assert_int_equal(t->pool.count, 3);
    assert_int_equal(pt_map_leaf(&t->pt, ia + 2 * MIB, 0, 2, RW | t->user, &t->pool), 0);
    tp_map_add(&t->map, ia + 2 * MIB, ia + 4 * MIB - 1, 0, tp_reported(t, RW | t->user));
    tp_audit(t);
}

static void map_leaf(void **state)
{
    (void)state;
    each(1, leaves_one_by_one);
}

/* --- a fault that loses its race --- */

struct race {
    struct tp *t;
    uint64_t ia; /* what the other CPU maps just before our exchange */
    unsigned times;
};

static void other_cpu(void *ctx, const struct hosted_store *s)
{
    struct race *r = ctx;
    struct pt_pool own = { 0 };

    if (s->kind != HOSTED_CAS || r->times == 0) {
        return;
    }
    r->times--;
    hosted_set_hook(NULL);
    tp_swap_pool(r->t, &own);
    tp_pool(r->t, 3);
    assert_int_equal(pt_map_leaf(&r->t->pt, r->ia, GIB, 3, RW | r->t->user, &r->t->pool), 0);
    tp_map_add(&r->t->map, r->ia, r->ia + PAGE_SIZE - 1, GIB, tp_reported(r->t, RW | r->t->user));
    tp_pool(r->t, 0);
    tp_swap_pool(r->t, &own);
}

static void races(struct tp *t)
{
    /* The other one maps: the same page; another page of the same table; one in another 2M. */
    static const uint64_t other[] = { 0, PAGE_SIZE, 2 * MIB };

    for (unsigned i = 0; i < 3; i++) {
        struct race r = { .t = t, .ia = 8 * MIB + other[i], .times = 1 };
        struct hosted_hook hook = { .ctx = &r, .before = other_cpu };
        struct tp_snap snap;
        uint32_t had;
        int ret;

        tp_pool(t, 3);
        tp_snap(t, &snap);
        had = t->pool.count;
        hosted_set_hook(&hook);
        ret = pt_map_leaf(&t->pt, 8 * MIB, 0, 3, RW | t->user, &t->pool);
        hosted_set_hook(NULL);
        assert_int_equal(r.times, 0);
        if (i == 0) {
            assert_int_equal(ret, -EEXIST);
            assert_int_equal(t->pool.count, had);
            assert_true(t->pool.head == snap.pool.head); /* nothing of the chain is left in it */
            for (uint64_t pa = t->pool.head; pa != 0; pa = *(const uint64_t *)port_va(pa)) {
                for (unsigned k = 1; k < 512; k++) {
                    assert_int_equal(((const uint64_t *)port_va(pa))[k], 0);
                }
            }
        } else {
            assert_int_equal(ret, 0);
            assert_int_equal(t->pool.count, had - (i == 2 ? 1 : 0));
            tp_map_add(&t->map, 8 * MIB, 8 * MIB + PAGE_SIZE - 1, 0, tp_reported(t, RW | t->user));
        }
        free(snap.words);
        tp_audit(t);
        unmap_ok(t, 8 * MIB, 4 * MIB);
    }
}

static void lost_races(void **state)
{
    (void)state;
    each(1, races);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations),
        cmocka_unit_test(roots),
        cmocka_unit_test(registers),
        cmocka_unit_test(live_meet),
        cmocka_unit_test(map_largest_leaves),
        cmocka_unit_test(map_ends_of_space),
        cmocka_unit_test(map_rights),
        cmocka_unit_test(el2_regime),
        cmocka_unit_test(refusals_change_nothing),
        cmocka_unit_test(pool_exhaustion),
        cmocka_unit_test(map_leaf),
        cmocka_unit_test(lost_races),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
