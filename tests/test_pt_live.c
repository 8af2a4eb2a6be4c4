/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live changes under observation (lib_pt_lab.h): cut, replace, merge, protect, harvest, age, unmap,
 * join, over every configuration of every format, every TLB mode and every moment at which an
 * invalidation may take effect.
 */
#include "lib_pt_lab.h"

#include <stdlib.h>

static const struct {
    int mode, apply;
} agents[] = {
    { MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC }, { MODEL_TLB_RANDOM, MODEL_APPLY_RANDOM },
    { MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_ONCE }, { MODEL_TLB_RANDOM, MODEL_APPLY_AT_SYNC },
    { MODEL_TLB_NONE, MODEL_APPLY_RANDOM },
};
#define AGENTS (sizeof(agents) / sizeof(agents[0]))

/* Sanitizers see a part of the configurations, another one in each test. */
#if defined(__SANITIZE_THREAD__)
#define STEP 41u
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 3u
#else
#define STEP 1u
#endif

/* Half of the window that is watched: 1G, or several blocks. */
static uint64_t half;

/* Each configuration, and the walkers of each kind in turn. */
static void each(void (*test)(struct lab *l, uint64_t base))
{
    static unsigned n, turn;

    for (unsigned i = 5 * turn++ % STEP; i < tp_conf_count; i += STEP, n++) {
        struct pt_config cfg = tp_confs[i].cfg;
        struct lab l;

        cfg.incoherent = cfg.incoherent || n % 2 != 0;
        lab_open(&l, &cfg, agents[n % AGENTS].mode, agents[n % AGENTS].apply, 77 + n);
        half = 2 * l.t.big <= tp_top(&l.t) ? l.t.big : 4 * l.t.block;
        test(&l, n % 3 == 0 ? 0 : tp_top(&l.t) - 2 * half);
        lab_close(&l);
    }
}

static uint64_t random_page(struct lab *l, uint64_t base, uint64_t len)
{
    return base + lab_below(l, len / l->t.page) * l->t.page;
}

/* How often: tables of 64K have 8192 entries, and all of them are looked at all the time. */
static unsigned some(const struct lab *l, unsigned n)
{
    return l->t.page == PAGE_SIZE ? n : l->t.page == 4 * PAGE_SIZE ? (n + 1) / 2 : (n + 3) / 4;
}

/* Output addresses: of the window, and others for the same. */
static uint64_t oa_of(uint64_t base, uint64_t ia)
{
    return ia - base + 4 * half;
}

static uint64_t oa_other(uint64_t base, uint64_t ia)
{
    return oa_of(base, ia) ^ 8 * half;
}

static void same_leaves(const struct lab *l, const struct pt_counts *was)
{
    struct pt_counts n = tp_count(&l->t.pt);

    for (unsigned k = 0; k < 4; k++) {
        tp_assert(n.leaves[k] == was->leaves[k], "%lu leaves of level %u, not %lu\n",
                  (unsigned long)n.leaves[k], k, (unsigned long)was->leaves[k]);
    }
}

/* The conversion, at random places inside the largest leaves: the main job. */
static void convert(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block;
    const uint64_t sizes[] = { p, p, 3 * p, b, b + p, 5 * b / 2 };
    struct pt_counts was;

    lab_watch(l, base, 2 * half);
    lab_map(l, base, oa_of(base, base), 2 * half, RW, 0);
    was = tp_count(&l->t.pt);
    for (unsigned i = 0; i < some(l, 3); i++) {
        uint64_t len = sizes[lab_below(l, 6)];
        uint64_t ia = random_page(l, base, 2 * half - len);

        if (len == b) {
            ia &= ~(b - 1);
        }
        if (i % 2) {
            lab_cut_break(l, ia, len);
        } else {
            lab_cut(l, ia, len);
            lab_refuse_map(l, ia, oa_other(base, ia), len, RW);
            lab_break(l, ia, len);
        }
        lab_map(l, ia, oa_other(base, ia), len, RW, 0);
        lab_merge(l, ia, len); /* nothing: the address differs */
        lab_break(l, ia, len);
        lab_map(l, ia, oa_of(base, ia), len, RW, 0);
        lab_merge(l, ia, len);
        if (l->t.pt.cfg.live.contig) {
            lab_join(l, base, 2 * half);
        }
        same_leaves(l, &was);
    }
    lab_unmap(l, base, 2 * half);
    assert_int_equal(tp_count(&l->t.pt).tables, 0);
}

static void conversions(void **state)
{
    (void)state;
    each(convert);
}

/* Many pages broken before any merge: several sub-trees at once, merged over a wide range. */
static void scattered(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block, blocks = 2 * half / b;
    struct pt_counts was;

    lab_watch(l, base, 2 * half);
    lab_map(l, base, oa_of(base, base), 2 * half, RW, b);
    was = tp_count(&l->t.pt);
    for (unsigned i = 0; i < some(l, 12) && i < blocks; i++) {
        uint64_t ia = base + i * 17 % blocks * b + lab_below(l, b / p) * p;

        lab_cut(l, ia, p);
        lab_break(l, ia, p);
        lab_map(l, ia, oa_of(base, ia), p, RW, 0);
    }
    lab_merge(l, base, 2 * half); /* more than one gather holds; then two still larger blocks */
    if (l->t.pt.leaf_h < 2 || half != l->t.big) {
        same_leaves(l, &was);
    } else {
        assert_int_equal(tp_count(&l->t.pt).leaves[1], 2);
        assert_int_equal(tp_count(&l->t.pt).leaves[2] + tp_count(&l->t.pt).leaves[3], 0);
    }
    lab_unmap(l, base, half);
}

static void scattered_merge(void **state)
{
    (void)state;
    each(scattered);
}

/* Dirty tracking: no bit is lost by cut, protect, harvest or break while hardware writes. */
static void track(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block, n = half / b < 8 ? half / b : 8;
    uint64_t at = base + half, len = n * b;

    lab_watch(l, at, len);
    lab_map(l, at, oa_of(base, at), len, RW, 0);
    lab_protect(l, at, len, RW | PT_TRACK);
    for (unsigned i = 0; i < some(l, 6); i++) {
        uint64_t ia = random_page(l, at, len - 3 * p);

        switch (lab_below(l, 4)) {
        case 0:
            lab_cut(l, ia, 3 * p);
            lab_harvest(l, ia, 3 * p);
            break;
        case 1:
            lab_cut(l, ia, p);
            lab_protect(l, ia, p, PT_READ);
            lab_protect(l, ia, p, RW | PT_TRACK);
            break;
        case 2:
            lab_cut(l, ia, p);
            lab_break(l, ia, p);
            lab_map(l, ia, oa_of(base, ia), p, RW | PT_TRACK | (i % 2 ? PT_DIRTY : 0), 0);
            break;
        default:
            lab_harvest(l, at, len);
            break;
        }
        lab_merge(l, at, len); /* tracked leaves never merge */
    }
    lab_protect(l, at, len, RW);
    lab_merge(l, at, len);
    assert_int_equal(tp_count(&l->t.pt).leaves[2], n);
    assert_int_equal(tp_count(&l->t.pt).leaves[3], 0);
    assert_true(l->stores > 0 && l->probes > 0);
}

static void tracking(void **state)
{
    (void)state;
    each(track);
}

/* A cut of a tracked leaf at the very moment of the first write, often. */
static void cut_under_writes(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block;
    unsigned writes;

    lab_watch(l, base, b);
    for (unsigned i = 0; i < some(l, 8); i++) {
        lab_map(l, base, oa_of(base, base), b, RW | PT_TRACK, 0);
        lab_cut(l, base + p, b - 2 * p);
        lab_harvest(l, base, b);
        lab_unmap(l, base, b);
    }
    writes = l->writes;
    tp_assert(writes > 0, "no write came in time\n");
}

static void dirty_cut(void **state)
{
    (void)state;
    each(cut_under_writes);
}

/* Refresh in place, where the format lets one store exchange a leaf. */
static void refresh(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block;

    lab_watch(l, base, 2 * half);
    lab_map(l, base, oa_of(base, base), 2 * b, RW, b);
    lab_map(l, base + 2 * b, oa_of(base, base + 2 * b), 8 * p, PT_READ, p);
    if (l->t.walk.fmt == &model_arm) {
        assert_int_equal(pt_replace_check(&l->t.pt, base, oa_other(base, base), b), -EOPNOTSUPP);
        return;
    }
    lab_replace(l, base, oa_other(base, base), b);
    lab_replace(l, base, oa_of(base, base), b);
    lab_replace(l, base + 2 * b + p, oa_other(base, base + 2 * b + p), 3 * p);
    lab_cut(l, base + b, 3 * p);
    lab_replace(l, base + b, oa_other(base, base + b), 3 * p);
    lab_replace(l, base + b, oa_of(base, base + b), 3 * p);
    lab_merge(l, base, 2 * b);
    assert_int_equal(tp_count(&l->t.pt).leaves[2], 2);
}

static void refreshes(void **state)
{
    (void)state;
    each(refresh);
}

/* Leaves of several entries, of pages and of blocks: made, cut, broken into, made again, tracked. */
static void spans(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block, ia = base + lab_below(l, b / p) * p;
    bool contig = l->t.pt.cfg.live.contig;
    struct pt_counts was;

    lab_watch(l, base, 2 * b);
    lab_map(l, base, oa_of(base, base), 2 * b, RW, p);
    assert_true((lab_join(l, base, 2 * b) != 0) == contig);
    was = tp_count(&l->t.pt);
    lab_cut(l, ia, p);
    lab_break(l, ia, p);
    lab_map(l, ia, oa_other(base, ia), p, RW, 0);
    /* AMD v1 has smaller sizes for what is around it, the others have none. */
    assert_true(lab_join(l, base, 2 * b) == 0 || l->t.walk.fmt == &model_amdv1);
    lab_break(l, ia, p);
    lab_map(l, ia, oa_of(base, ia), p, RW, 0);
    assert_true((lab_join(l, base, 2 * b) != 0) == contig);
    same_leaves(l, &was);
    lab_age(l, base, 2 * b);
    lab_protect(l, base, b, PT_READ);
    lab_protect(l, base, b, RW);
    lab_protect(l, base, b, RW | PT_TRACK); /* takes them apart */
    assert_int_equal(lab_join(l, base, b), 0);
    lab_merge(l, base, 2 * b);
    assert_int_equal(tp_count(&l->t.pt).leaves[2], 1);
}

static void several_entries(void **state)
{
    (void)state;
    each(spans);
}

/* What may be executed: with the erratum pages for ever, elsewhere leaves as any other. */
static void code(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block, ia = base + lab_below(l, b / p - 1) * p;
    bool fixed = l->t.pt.cfg.live.exec_4k;
    struct pt_gather g;

    pt_gather_init(&g);
    lab_watch(l, base, 3 * b);
    lab_map(l, base, oa_of(base, base), b, PT_READ | PT_EXEC, 0);
    assert_true((tp_leaf_shift(&l->t, base) == 12) == fixed);
    lab_cut(l, ia, p);
    lab_break(l, ia, p);
    lab_map(l, ia, oa_of(base, ia), p, PT_READ | PT_EXEC, 0);
    lab_merge(l, base, b);
    assert_true((tp_leaf_shift(&l->t, base) == 12) == fixed);
    /* A block that becomes executable stays one. */
    lab_map(l, base + b, oa_of(base, base + b), 2 * b, RW, b);
    lab_protect(l, base + b, b, PT_READ | PT_EXEC);
    if (fixed) {
        assert_int_equal(pt_cut_check(&l->t.pt, base + b + p, p), -EOPNOTSUPP);
        assert_int_equal(pt_cut(&l->t.pt, base + b + p, p, &l->t.pool, &g), -EOPNOTSUPP);
        assert_int_equal(pt_cut_check(&l->t.pt, base + 2 * b + p, p), 0);
        assert_int_equal(
            pt_map_leaf(&l->t.pt, base + 4 * b, 0, 2, PT_READ | PT_EXEC | l->t.user, &l->t.pool),
            -EINVAL);
    } else {
        lab_cut(l, base + b + p, p);
    }
    assert_true(pt_gather_empty(&g));
    lab_unmap(l, base, 3 * b);
}

static void executable(void **state)
{
    (void)state;
    each(code);
}

/* A tree that grows twice, beside walkers that use it. */
static void grow(void **state)
{
    const struct pt_config cfg = { .format = PT_AMD_V1,
                                   .ia_bits = 60,
                                   .oa_bits = 52,
                                   .start_level = 2,
                                   .incoherent = true,
                                   .live = { .hw_af = true, .hw_dirty = true } };

    (void)state;
    for (unsigned n = 0; n < AGENTS; n += STEP) {
        struct lab l;
        uint64_t p = PAGE_SIZE, b = 2 * MIB, far = (uint64_t)1 << 34;

        lab_open(&l, &cfg, agents[n].mode, agents[n].apply, n);
        lab_watch(&l, 0, 4 * b);
        lab_map(&l, 0, GIB, 4 * b, RW, 0);
        lab_cut(&l, 3 * p, p);
        lab_grow(&l, far);
        lab_break(&l, 3 * p, p);
        lab_map(&l, far, 0, b, RW, 0);
        lab_grow(&l, (uint64_t)1 << 50);
        lab_map(&l, 3 * p, GIB + 3 * p, p, RW, 0);
        lab_merge(&l, 0, b);
        assert_int_equal(tp_count(&l.t.pt).leaves[2], 5);
        lab_unmap(&l, 0, 2 * far);
        lab_close(&l);
    }
}

/* Everything at random, all sizes of leaves, device memory among them. */
static void mixed(struct lab *l, uint64_t base)
{
    uint64_t p = l->t.page, b = l->t.block, k = half / b >= 16 && p == PAGE_SIZE ? 4 : 1;
    uint64_t at = base + half;

    lab_watch(l, base, 2 * half);
    lab_map(l, base, oa_of(base, base), half, RW, 0);
    lab_map(l, at, oa_of(base, at), k * b, RW | PT_DEVICE, 0);
    lab_map(l, at + k * b, oa_of(base, at + k * b), k * b, PT_READ | PT_EXEC, p);
    lab_map(l, at + 2 * k * b, oa_of(base, at + 2 * k * b), k * b, PT_READ | PT_NC, 0);
    for (unsigned i = 0; i < some(l, 8); i++) {
        uint64_t len = (1 + lab_below(l, b / p + 88)) * p;
        uint64_t ia = random_page(l, at - 2 * b, 3 * k * b);
        const struct tp_run *r;

        lab_cut(l, ia, len);
        r = tp_map_at(&l->t.map, ia);
        switch (lab_below(l, 5)) {
        case 0:
            lab_age(l, ia, len);
            break;
        case 1:
            lab_unmap(l, ia, len);
            break;
        case 2:
            if (r && r->last >= ia + p - 1) {
                lab_cut(l, ia, p);
                lab_protect(l, ia, p, (r->prot & (PT_DEVICE | PT_NC)) | (i % 2 ? PT_READ : RW));
            }
            break;
        default:
            lab_merge(l, ia, len);
            break;
        }
    }
    lab_unmap(l, base, 2 * half);
}

static void everything(void **state)
{
    (void)state;
    each(mixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversions), cmocka_unit_test(refreshes),
        cmocka_unit_test(executable),  cmocka_unit_test(grow),
        cmocka_unit_test(dirty_cut),   cmocka_unit_test(several_entries),
        cmocka_unit_test(tracking),    cmocka_unit_test(scattered_merge),
        cmocka_unit_test(everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
