/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live changes under observation (lib_pt_lab.h): cut, replace, merge, protect, harvest, age, unmap,
 * over both formats, every TLB mode and every moment at which an invalidation may take effect.
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

/* Configurations by name are in lib_pt.c: these have room for a 1G leaf. */
static void each(unsigned steps, void (*test)(struct lab *l, uint64_t base))
{
    for (unsigned n = 0; n < TP_STEPS(steps * AGENTS); n++) {
        const struct tp_conf *conf = &tp_confs[n * 5 % TP_ARM_4K];
        struct lab l;

        if (conf->cfg.ia_bits < 34 || conf->cfg.start_level == 2) {
            conf = &tp_confs[n % 2 ? 2 : 9];
        }
        lab_open(&l, &conf->cfg, agents[n % AGENTS].mode, agents[n % AGENTS].apply, 77 + n);
        test(&l, n % 3 == 0 ? 0 : tp_top(&l.t) - 2 * GIB);
        lab_close(&l);
    }
}

static uint64_t random_page(struct lab *l, uint64_t base, uint64_t len)
{
    return base + lab_below(l, len / PAGE_SIZE) * PAGE_SIZE;
}

/* The conversion, at random places inside 1G and 2M leaves: the main job. */
static void convert(struct lab *l, uint64_t base)
{
    static const uint64_t sizes[] = { PAGE_SIZE, PAGE_SIZE,           3 * PAGE_SIZE,
                                      2 * MIB,   2 * MIB + PAGE_SIZE, 5 * MIB };
    struct pt_counts n;
    uint64_t leaves[4];

    lab_watch(l, base, 2 * GIB);
    lab_map(l, base, 0x40000000, 2 * GIB, RW, 0);
    n = tp_count(&l->t.pt);
    for (unsigned i = 0; i < 4; i++) {
        leaves[i] = n.leaves[i];
    }
    for (unsigned i = 0; i < 6; i++) {
        uint64_t len = sizes[lab_below(l, 6)];
        uint64_t ia = random_page(l, base, 2 * GIB - len), old = ia - base + 0x40000000;
        uint64_t new = old ^ 0x80000000;

        if (len == 2 * MIB) {
            ia &= ~(2 * MIB - 1);
            old = ia - base + 0x40000000;
            new = old ^ 0x80000000;
        }
        if (i % 2) {
            lab_cut_break(l, ia, len);
        } else {
            lab_cut(l, ia, len);
            lab_refuse_map(l, ia, new, len, RW);
            lab_break(l, ia, len);
        }
        lab_map(l, ia, new, len, RW, 0);
        lab_merge(l, ia, len); /* nothing: the address differs */
        lab_break(l, ia, len);
        lab_map(l, ia, old, len, RW, 0);
        lab_merge(l, ia, len);
        for (unsigned k = 0; k < 4; k++) {
            assert_int_equal(tp_count(&l->t.pt).leaves[k], leaves[k]);
        }
    }
    lab_unmap(l, base, 2 * GIB);
    assert_int_equal(tp_count(&l->t.pt).tables, 0);
}

static void conversions(void **state)
{
    (void)state;
    each(3, convert);
}

/* Many pages broken before any merge: several sub-trees at once, merged over a wide range. */
static void scattered(struct lab *l, uint64_t base)
{
    uint64_t page[12];

    lab_watch(l, base, 2 * GIB);
    lab_map(l, base, 0x40000000, 2 * GIB, RW, 2 * MIB);
    for (unsigned i = 0; i < 12; i++) {
        page[i] = base + (i * 17 % 512) * 2 * MIB + lab_below(l, 512) * PAGE_SIZE;
        lab_cut(l, page[i], PAGE_SIZE);
        lab_break(l, page[i], PAGE_SIZE);
        lab_map(l, page[i], page[i] - base + 0x40000000, PAGE_SIZE, RW, 0);
    }
    lab_merge(l, base, 2 * GIB); /* more than one gather holds; then the two 1G blocks */
    assert_int_equal(tp_count(&l->t.pt).leaves[1], 2);
    assert_int_equal(tp_count(&l->t.pt).leaves[2] + tp_count(&l->t.pt).leaves[3], 0);
    lab_unmap(l, base, GIB);
}

static void scattered_merge(void **state)
{
    (void)state;
    each(1, scattered);
}

/* Dirty tracking: no bit is lost by cut, protect, harvest or break while hardware writes. */
static void track(struct lab *l, uint64_t base)
{
    lab_watch(l, base + GIB, 16 * MIB);
    lab_map(l, base + GIB, 0x80000000, 16 * MIB, RW, 0);
    lab_protect(l, base + GIB, 16 * MIB, RW | PT_TRACK);
    for (unsigned i = 0; i < 8; i++) {
        uint64_t ia = random_page(l, base + GIB, 16 * MIB - 3 * PAGE_SIZE);

        switch (lab_below(l, 4)) {
        case 0:
            lab_cut(l, ia, 3 * PAGE_SIZE);
            lab_harvest(l, ia, 3 * PAGE_SIZE);
            break;
        case 1:
            lab_cut(l, ia, PAGE_SIZE);
            lab_protect(l, ia, PAGE_SIZE, PT_READ);
            lab_protect(l, ia, PAGE_SIZE, RW | PT_TRACK);
            break;
        case 2:
            lab_cut(l, ia, PAGE_SIZE);
            lab_break(l, ia, PAGE_SIZE);
            lab_map(l, ia, ia - base - GIB + 0x80000000, PAGE_SIZE,
                    RW | PT_TRACK | (i % 2 ? PT_DIRTY : 0), 0);
            break;
        default:
            lab_harvest(l, base + GIB, 16 * MIB);
            break;
        }
        lab_merge(l, base + GIB, 16 * MIB); /* tracked leaves never merge */
    }
    lab_protect(l, base + GIB, 16 * MIB, RW);
    lab_merge(l, base + GIB, 16 * MIB);
    assert_int_equal(tp_count(&l->t.pt).leaves[2], 8);
    assert_int_equal(tp_count(&l->t.pt).leaves[3], 0);
    assert_true(l->stores > 0 && l->probes > 0);
}

static void tracking(void **state)
{
    (void)state;
    each(3, track);
}

/* A cut of a tracked leaf at the very moment of the first write, often. */
static void cut_under_writes(struct lab *l, uint64_t base)
{
    unsigned writes;

    lab_watch(l, base, 2 * MIB);
    for (unsigned i = 0; i < 12; i++) {
        lab_map(l, base, 0x40000000, 2 * MIB, RW | PT_TRACK, 0);
        lab_cut(l, base + PAGE_SIZE, 2 * MIB - 2 * PAGE_SIZE);
        lab_harvest(l, base, 2 * MIB);
        lab_unmap(l, base, 2 * MIB);
    }
    writes = l->writes;
    tp_assert(writes > 0, "no write came in time\n");
}

static void dirty_cut(void **state)
{
    (void)state;
    each(1, cut_under_writes);
}

/* Everything at random, all sizes of leaves, device memory among them. */
static void mixed(struct lab *l, uint64_t base)
{
    uint64_t at = base;

    lab_watch(l, base, 2 * GIB);
    lab_map(l, at, 0x40000000, GIB, RW, 0);
    lab_map(l, at + GIB, 0x80000000, 8 * MIB, RW | PT_DEVICE, 0);
    lab_map(l, at + GIB + 8 * MIB, 0x80800000, 8 * MIB, PT_READ | PT_EXEC, PAGE_SIZE);
    lab_map(l, at + GIB + 16 * MIB, 0x90000000, 8 * MIB, PT_READ | PT_NC, 0);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t pages = 1 + lab_below(l, 600), ia;
        const struct tp_run *r;

        ia = random_page(l, base + GIB - 4 * MIB, 24 * MIB);
        lab_cut(l, ia, pages * PAGE_SIZE);
        r = tp_map_at(&l->t.map, ia);
        switch (lab_below(l, 5)) {
        case 0:
            lab_age(l, ia, pages * PAGE_SIZE);
            break;
        case 1:
            lab_unmap(l, ia, pages * PAGE_SIZE);
            break;
        case 2:
            if (r && r->last >= ia + PAGE_SIZE - 1) {
                lab_cut(l, ia, PAGE_SIZE);
                lab_protect(l, ia, PAGE_SIZE,
                            (r->prot & (PT_DEVICE | PT_NC)) | (i % 2 ? PT_READ : RW));
            }
            break;
        default:
            lab_merge(l, ia, pages * PAGE_SIZE);
            break;
        }
    }
    lab_unmap(l, base, 2 * GIB);
}

static void everything(void **state)
{
    (void)state;
    each(3, mixed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversions), cmocka_unit_test(scattered_merge),
        cmocka_unit_test(tracking),    cmocka_unit_test(dirty_cut),
        cmocka_unit_test(everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
