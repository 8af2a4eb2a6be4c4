/* SPDX-License-Identifier: BSD-2-Clause */
/* Conversions: every follower, every step, against an oracle that knows only pages and states. */
#include "lib_space.h"

#include <string.h>

/* ---- while it happens ---- */

static struct {
    uint64_t page, n; /* the change under way; n == 0: none */
    bool may_fault[TS_TREES];
    uint64_t probes;
} now;

/* Between any two stores, pages outside the change are reached, at their frame, by everybody who
 * does not wait. */
static void probe(struct ts *t)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ts_tree *tree = &t->tree[i];

        for (unsigned k = 0; k < tree->nw; k++) {
            uint64_t p = ts_rand(t, t->gm.npages);
            struct model_xlat x;

            if (now.n != 0 && ts_rand(t, 2) == 0) {
                p = ts_rand(t, 2) ? now.page - 1 : now.page + now.n; /* right beside it */
            }
            if (p >= t->gm.npages || (p >= now.page && p < now.page + now.n)) {
                continue;
            }
            enum model_fault fault =
                model_tlb_translate(tree->w[k].tlb, &tree->w[k].ctx, TS_GUEST + (p << PAGE_SHIFT),
                                    (struct model_access){ .what = MODEL_R, .user = true }, &x);
            uint64_t want = t->want[p] == GMEM_SHARED ? t->p1[p] : t->p0[p];

            now.probes++;
            if (fault == MODEL_FAULT_TRANSLATION && now.may_fault[i]) {
                continue;
            }
            tp_assert(fault == MODEL_OK, "%s: transient-fault at page %lu: %s\n", tree->name,
                      (unsigned long)p, model_fault_name(fault));
            tp_assert(x.oa == want, "%s: wrong-output-address at page %lu: %#lx, not %#lx\n",
                      tree->name, (unsigned long)p, (unsigned long)x.oa, (unsigned long)want);
        }
    }
}

static int convert(struct ts *t, uint64_t page, uint64_t n, bool to_shared, enum gmem_policy policy)
{
    now.page = page;
    now.n = n;
    for (unsigned i = 0; i < TS_TREES; i++) {
        now.may_fault[i] = !t->tree[i].hitless;
    }
    int err = ts_convert(t, page, n, to_shared, policy);

    now.n = 0;
    return err;
}

/* ---- random, in every set-up ---- */

static void random_changes(struct ts *t, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        uint64_t n, page;

        switch (ts_rand(t, 8)) {
        case 0: /* whole chunks */
            n = 512 * (1 + ts_rand(t, 2));
            page = ts_rand(t, t->gm.npages / 512) * 512;
            break;
        case 1: /* anything */
            page = ts_rand(t, t->gm.npages);
            n = 1 + ts_rand(t, 700);
            break;
        default:
            page = ts_rand(t, t->gm.npages);
            n = 1 + ts_rand(t, 3);
        }
        n = n < t->gm.npages - page ? n : t->gm.npages - page;

        enum gmem_state from = t->want[page];
        bool to_shared = from == GMEM_PRIVATE;
        enum gmem_policy policy = !t->gm.separate || ts_rand(t, 4) == 0 ? GMEM_INPLACE : GMEM_KEEP;
        uint64_t same = 1;

        while (same < n && t->want[page + same] == from) {
            same++;
        }
        if (ts_rand(t, 8) != 0) {
            n = same; /* mostly uniform; the others are refused */
        }
        struct ts_snap snap;

        ts_snap(t, &snap);
        int err = convert(t, page, n, to_shared, policy);

        tp_assert(err == (n > same ? -EINVAL : 0), "page %lu, %lu pages: %d\n", (unsigned long)page,
                  (unsigned long)n, err);
        if (err != 0) {
            ts_same(t, &snap);
        } else {
            ts_forget(&snap);
        }
        ts_check(t);
    }
}

static void back_to_private(struct ts *t)
{
    for (uint64_t p = 0; p < t->gm.npages;) {
        uint64_t n = gmem_run_end(&t->gm, p) - p;

        if (t->want[p] != GMEM_PRIVATE) {
            assert_int_equal(convert(t, p, n, false, GMEM_KEEP), 0);
        }
        p += n;
    }
    ts_check(t);
}

static void world(unsigned steps, bool separate, bool share, uint8_t bbm, uint64_t seed)
{
    struct ts t;
    uint64_t leaves[2][4];

    ts_world(&t, 3 * 512, separate, share, bbm, seed);
    memcpy(leaves[0], tp_count(&t.tree[0].s.pt).leaves, sizeof(leaves[0]));
    memcpy(leaves[1], tp_count(&t.tree[1].s.pt).leaves, sizeof(leaves[1]));
    t.after_store = probe;
    ts_check(&t);
    random_changes(&t, TP_STEPS(steps));
    back_to_private(&t);
    /* Merged back: as many leaves, of the same sizes, and no table more. */
    assert_memory_equal(leaves[0], tp_count(&t.tree[0].s.pt).leaves, sizeof(leaves[0]));
    assert_memory_equal(leaves[1], tp_count(&t.tree[1].s.pt).leaves, sizeof(leaves[1]));
    assert_int_equal(tp_count(&t.tree[2].s.pt).leaves[3] + tp_count(&t.tree[2].s.pt).leaves[2], 0);
    assert_int_equal(tp_count(&t.tree[2].s.pt).tables, 0);
    assert_true(now.probes > 0);
    ts_close(&t);
}

static void mirror_separate(void **state)
{
    (void)state;
    world(80, true, false, 2, 1);
}

static void mirror_single(void **state)
{
    (void)state;
    world(80, false, false, 2, 2);
}

static void share_separate(void **state)
{
    (void)state;
    world(80, true, true, 2, 3);
}

static void cpu_breaks(void **state)
{
    (void)state;
    world(80, true, false, 0, 4);
}

/* An SMMU without stage 2: the device's tree is a stage-1 one, the CPU's is not. */
static void mirror_stage_1(void **state)
{
    (void)state;
    ts_io_format = PT_ARM_S1_4K;
    world(80, true, false, 2, 5);
    ts_io_format = PT_ARM_S2_4K;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mirror_separate), cmocka_unit_test(mirror_single),
        cmocka_unit_test(share_separate),  cmocka_unit_test(cpu_breaks),
        cmocka_unit_test(mirror_stage_1),
    };

    return cmocka_run_group_tests_name("space_convert", tests, NULL, NULL);
}
