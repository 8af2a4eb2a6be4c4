/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces at rest: binding, faults and hints, explicit maps, teardown; and what each refuses. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

static struct pt_config cpu_cfg(void)
{
    return ts_config(PT_ARM_S2_4K, 2, true);
}

/* Refused, and neither frames, tables nor pools know of it. */
#define REFUSED(call, want) TS_REFUSED(&t, call, want, ts_judge)

static void make(void **state)
{
    struct pt_config bad = cpu_cfg();
    struct space s;

    (void)state;
    ts_memory(0, false);
    uint64_t all = frame_tables_free();

    bad.ia_bits = 60;
    assert_int_equal(space_init(&s, SPACE_CPU, &bad), -EINVAL);
    for (enum pt_format f = PT_ARM_S1_16K; f <= PT_ARM_S2_64K; f++) {
        const struct pt_config wide = {
            .format = f, .ia_bits = 36, .oa_bits = 40, .start_level = 2
        };

        assert_true(pt_root_pages(&wide) > 0); /* the engine has it */
        tp_assert(space_init(&s, SPACE_CPU, &wide) == -EINVAL, "tables-too-small: format %u\n", f);
    }
    bad = cpu_cfg();
    ts_drain(1); /* two root pages are needed */
    assert_int_equal(space_init(&s, SPACE_CPU, &bad), -ENOMEM);
    ts_refill();
    assert_int_equal(frame_tables_free(), all);
    assert_int_equal(space_init(&s, SPACE_CPU, &bad), 0);
    struct invalidator inv[3];

    assert_int_equal(space_add_walker(&s, &inv[0]), 0);
    assert_int_equal(space_add_walker(&s, &inv[0]), -EEXIST);
    assert_int_equal(space_add_walker(&s, &inv[1]), 0);
    assert_int_equal(space_add_walker(&s, &inv[2]), -ENOSPC);
    assert_int_equal(space_remove_walker(&s, &inv[2]), -ENOENT);
    assert_int_equal(space_remove_walker(&s, &inv[0]), 0);
    assert_int_equal(space_remove_walker(&s, &inv[1]), 0);
    space_destroy(&s);
    assert_int_equal(frame_tables_free(), all);
}

/* ---- explicit maps ---- */

static void explicit_maps(void **state)
{
    struct pt_config cfg = cpu_cfg(), io = ts_config(PT_ARM_S2_4K, 0, false);
    struct ts t;
    const uint64_t ia = 4 * GIB;

    (void)state;
    cfg.live.stalls = false;
    ts_open(&t, 512, false, 31);
    struct ts_tree *a = ts_tree(&t, 0, "hitless", TS_SMMU, &cfg);
    struct ts_tree *b = ts_tree(&t, 1, "io, no bbm", TS_SMMU, &io);

    REFUSED(space_map(&a->s, ia, ia, 0, RW), -EINVAL);
    REFUSED(space_map(&a->s, ia + 1, ia, 4096, RW), -EINVAL);
    REFUSED(space_map(&a->s, ia, ia, 4096, 0), -EINVAL);
    REFUSED(space_map(&a->s, (uint64_t)1 << 40, ia, 4096, RW), -ERANGE);
    REFUSED(space_map(&a->s, ia, ~0ull << 12, 8192, RW), -ERANGE);
    REFUSED(space_map(&a->s, ia, ia, ~0ull & ~4095ull, RW), -ERANGE);
    ts_drain(0);
    REFUSED(space_map(&a->s, ia, TS_BASE, 4096, RW), -ENOMEM);
    ts_refill();
    assert_int_equal(space_map(&a->s, ia, 4 * GIB, 2 * GIB, RW), 0);
    assert_int_equal(tp_count(&a->s.pt).leaves[1], 2);
    REFUSED(space_map(&a->s, ia + GIB, TS_BASE, 4096, RW), -EEXIST);
    /* Cut at both edges, live. */
    ts_drain(0);
    REFUSED(space_unmap(&a->s, ia + 5 * 4096, 4096), -ENOMEM);
    ts_refill();
    model_live_scope(a->live, ia + 5 * 4096, GIB);
    /* The large leaves are cached: a small level must not be enough to forget them. */
    model_tlb_prefetch(a->w[0].tlb, &a->w[0].ctx, ia + 5 * 4096);
    model_tlb_prefetch(a->w[0].tlb, &a->w[0].ctx, ia + GIB);
    assert_int_equal(space_unmap(&a->s, ia + 5 * 4096, GIB), 0);
    ts_judge(&t);
    assert_int_equal(ts_at(a, ia + 4 * 4096, NULL), ia + 4 * 4096);
    assert_int_equal(ts_at(a, ia + 5 * 4096, NULL), 0);
    assert_int_equal(ts_at(a, ia + GIB + 4 * 4096, NULL), 0);
    assert_int_equal(ts_at(a, ia + GIB + 5 * 4096, NULL), ia + GIB + 5 * 4096);
    /* Promise 7: ends on leaf boundaries: nothing is allocated, and nothing fails. */
    ts_drain(0);
    model_live_scope(a->live, ia, 5 * 4096);
    assert_int_equal(space_unmap(&a->s, ia, 5 * 4096), 0);
    ts_refill();
    /* Put back, and merged to what it was. */
    assert_int_equal(space_map(&a->s, ia, ia, GIB + 5 * 4096, RW), 0);
    space_merge(&a->s, ia, 2 * GIB);
    assert_int_equal(tp_count(&a->s.pt).leaves[1], 2);
    assert_int_equal(tp_count(&a->s.pt).leaves[2] + tp_count(&a->s.pt).leaves[3], 0);
    ts_judge(&t);

    /* No live cut: refused, whole leaves are not. */
    assert_int_equal(space_map(&b->s, ia, 4 * GIB, 8 * MIB, RW), 0);
    REFUSED(space_unmap(&b->s, ia + 4096, 4096), -EOPNOTSUPP);
    REFUSED(space_unmap(&b->s, ia, 3 * MIB), -EOPNOTSUPP);
    assert_int_equal(space_unmap(&b->s, ia + 2 * MIB, 4 * MIB), 0);
    ts_close(&t);
}

/* A CPU without break-before-make levels: the leaf goes, its neighbours come back. */
static void unmap_by_break(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 0, true);
    struct ts t;
    const uint64_t ia = 4 * GIB;

    (void)state;
    ts_open(&t, 512, false, 32);
    struct ts_tree *a = ts_tree(&t, 0, "cpu, no bbm", TS_CPU, &cfg);

    assert_int_equal(space_map(&a->s, ia, 5 * GIB, 2 * GIB, RW), 0);
    ts_drain(0);
    REFUSED(space_unmap(&a->s, ia + 5 * 4096, 4096), -ENOMEM);
    ts_refill();
    for (unsigned i = 0; i < 4; i++) {
        const uint64_t from[] = { 5 * 4096, 3 * MIB, GIB - 4096, GIB + 2 * MIB };
        const uint64_t len[] = { 4096, 2 * MIB, 8192, 2 * MIB };

        assert_int_equal(space_unmap(&a->s, ia + from[i], len[i]), 0);
        assert_int_equal(ts_at(a, ia + from[i], NULL), 0);
        assert_int_equal(ts_at(a, ia + from[i] + len[i] - 4096, NULL), 0);
        assert_int_equal(ts_at(a, ia + from[i] - 4096, NULL), 5 * GIB + from[i] - 4096);
        assert_int_equal(ts_at(a, ia + from[i] + len[i], NULL), 5 * GIB + from[i] + len[i]);
    }
    ts_judge(&t);
    ts_close(&t);
}

/* ---- bindings ---- */

static void bindings(void **state)
{
    struct pt_config cfg = cpu_cfg(), io = ts_config(PT_ARM_S2_4K, 2, false);
    struct ts t;
    struct gmem fresh;

    (void)state;
    ts_open(&t, 512 * 4, true, 33);
    struct ts_tree *a = ts_tree(&t, 0, "cpu", TS_CPU, &cfg);
    struct ts_tree *h = ts_tree(&t, 2, "host", TS_CPU, &cfg);
    struct ts_tree *d = ts_tree(&t, 3, "io", TS_SMMU, &io);

#define BIND(tree, view, ia, first, n, prot, fill) \
    space_bind(&(tree)->s, &t.gm, view, ia, first, n, prot, fill)
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST + 1, 0, 1, RW, true), -EINVAL);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 0, 0, RW, true), -EINVAL);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 0, 1, 0, true), -EINVAL);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 2048, 1, RW, true), -EFAULT);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 1, 2048, RW, true), -EFAULT);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 1, ~0ull, RW, true), -EFAULT);
    REFUSED(BIND(a, VIEW_GUEST, ((uint64_t)1 << 40) - 4096, 0, 2, RW, true), -ERANGE);
    REFUSED(BIND(a, VIEW_GUEST, ~0ull << 12, 0, 2, RW, true), -ERANGE);
    REFUSED(BIND(d, VIEW_GUEST, TS_GUEST, 0, 1, RW, false), -EINVAL);
    ts_drain(9);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 0, 2048 - 1, RW, true), -ENOMEM);
    ts_refill();
    assert_int_equal(gmem_create(&fresh, OWNER_VM0 + 1, 512, false), 0);
    REFUSED(space_bind(&a->s, &fresh, VIEW_GUEST, TS_GUEST, 0, 512, RW, true), -EBUSY);
    uint64_t cursor = 0;

    while (gmem_destroy_step(&fresh, &cursor, 9) == 1) {
    }
    REFUSED(space_unbind(&a->s, &t.gm), -ENOENT);

    /* Parts of the object, at odd places: leaves as large as each place allows. */
    assert_int_equal(BIND(a, VIEW_GUEST, TS_GUEST + 4096, 1, 1023, RW, true), 0);
    assert_int_equal(tp_count(&a->s.pt).leaves[2], 1);
    assert_int_equal(tp_count(&a->s.pt).leaves[3], 511);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST + 1023 * 4096, 0, 1, RW, true), -EEXIST);
    REFUSED(BIND(a, VIEW_GUEST, TS_GUEST, 0, 2, RW, true), -EEXIST);
    assert_int_equal(BIND(a, VIEW_GUEST, 4 * GIB + 4096, 1024, 1024, RW, true), 0);
    assert_int_equal(tp_count(&a->s.pt).leaves[2], 1);
    REFUSED(space_map(&a->s, TS_GUEST, TS_HOST, 8192, RW), -EEXIST);
    REFUSED(space_unmap(&a->s, TS_GUEST + 4096, 4096), -EBUSY);
    REFUSED(space_unmap(&a->s, TS_GUEST, GIB), -EBUSY);
    assert_int_equal(space_map(&a->s, TS_GUEST, TS_HOST, 4096, RW), 0);
    assert_int_equal(space_map(&a->s, TS_GUEST + 1024 * 4096, TS_HOST, 4096, RW), 0);
    /* A window: only what is lent, where it is. */
    assert_int_equal(BIND(h, VIEW_HOST, 12345, 0, 2048, RW, true), 0);
    REFUSED(BIND(h, VIEW_HOST, 0, 0, 2048, RW, true), -EEXIST);
    REFUSED(BIND(h, VIEW_GUEST, t.p1[7], 0, 1, RW, true), -EEXIST);
    REFUSED(space_map(&h->s, t.p0[0], t.p0[0], 4096, RW), -EEXIST);
    /* Changes over the edges of bindings. */
    assert_int_equal(gmem_convert(&t.gm, 0, 1500, true, GMEM_KEEP), 0);
    for (uint64_t p = 1; p < 2048; p++) {
        uint64_t ia = p < 1024 ? TS_GUEST + p * 4096 : 4 * GIB + 4096 + (p - 1024) * 4096;

        assert_int_equal(ts_at(a, ia, NULL), p < 1500 ? t.p1[p] : t.p0[p]);
        assert_int_equal(ts_at(h, t.p1[p], NULL), p < 1500 ? t.p1[p] : 0);
    }
    /* What is beside the binding stays out of it. */
    assert_int_equal(ts_at(a, TS_GUEST, NULL), TS_HOST);
    /* A window over what is lent already. */
    assert_int_equal(BIND(d, VIEW_HOST, 0, 0, 2048, RW, true), 0);
    assert_int_equal(ts_at(d, t.p1[1499], NULL), t.p1[1499]);
    assert_int_equal(ts_at(d, t.p1[1500], NULL), 0);
    assert_int_equal(gmem_convert(&t.gm, 3, 1400, false, GMEM_KEEP), 0);
    assert_int_equal(ts_at(d, t.p1[3], NULL), 0);
    assert_int_equal(ts_at(d, t.p1[2], NULL), t.p1[2]);
    ts_judge(&t);
    /* Teardown takes no page. */
    ts_drain(0);
    assert_int_equal(space_unbind(&d->s, &t.gm), 0);
    assert_int_equal(space_unbind(&a->s, &t.gm), 0);
    assert_int_equal(space_unbind(&h->s, &t.gm), 0);
    ts_refill();
    assert_int_equal(tp_count(&d->s.pt).tables + tp_count(&h->s.pt).tables, 0);
    assert_int_equal(tp_count(&a->s.pt).leaves[3], 2); /* the explicit ones */
    ts_close(&t);
}

static void too_many_bindings(void **state)
{
    struct pt_config cfg = cpu_cfg();
    struct ts t;

    (void)state;
    ts_open(&t, 512, false, 34);
    ts_tree(&t, 0, "cpu", TS_CPU, &cfg);
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        assert_int_equal(BIND(&t.tree[0], VIEW_GUEST, i * GIB, 0, 512, RW, true), 0);
    }
    REFUSED(BIND(&t.tree[0], VIEW_GUEST, 100 * GIB, 0, 512, RW, true), -ENOSPC);
    /* One object in several places: each follows. */
    assert_int_equal(gmem_convert(&t.gm, 9, 1, true, GMEM_INPLACE), 0);
    assert_int_equal(space_unbind(&t.tree[0].s, &t.gm), 0);
    assert_int_equal(tp_count(&t.tree[0].s.pt).tables, 0);
    ts_close(&t);
}

/* ---- faults ---- */

static void faults(void **state)
{
    struct pt_config cfg = cpu_cfg();
    struct ts t;
    unsigned shift;

    (void)state;
    ts_open(&t, 512 * 4, true, 35);
    struct ts_tree *a = ts_tree(&t, 0, "lazy", TS_CPU, &cfg);
    struct ts_tree *b = ts_tree(&t, 1, "lazy too", TS_CPU, &cfg);
    struct ts_tree *h = ts_tree(&t, 2, "host, lazy", TS_CPU, &cfg);

    a->s.fault_around = 1; /* test_space_log looks at neighbours */
    assert_int_equal(BIND(a, VIEW_GUEST, TS_GUEST, 0, 2048, RW, false), 0);
    assert_int_equal(BIND(h, VIEW_HOST, 0, 0, 2048, RW, false), 0);
    assert_int_equal(tp_count(&a->s.pt).leaves[2] + tp_count(&a->s.pt).leaves[3], 0);
    REFUSED(space_fault(&a->s, TS_GUEST - 1, PT_READ), -EFAULT);
    REFUSED(space_fault(&a->s, TS_GUEST + 2048 * 4096, PT_READ), -EFAULT);
    REFUSED(space_fault(&a->s, ~0ull, PT_READ), -EFAULT);
    REFUSED(space_fault(&a->s, TS_GUEST, PT_EXEC), -EPERM);
    REFUSED(space_fault(&h->s, t.p0[0], PT_READ), -EPERM);
    REFUSED(space_fault(&h->s, t.p1[0], PT_READ), -EPERM);
    REFUSED(space_fault(&h->s, TS_HOST, PT_READ), -EFAULT);
    ts_drain(0);
    REFUSED(space_fault(&a->s, TS_GUEST, PT_READ), -ENOMEM);
    ts_refill();
    /* The largest leaf, then smaller ones where a border is near. */
    assert_int_equal(space_fault(&a->s, TS_GUEST + 5000, PT_WRITE), 0);
    assert_true(ts_at(a, TS_GUEST, &shift) == t.p0[0] && shift == 21);
    assert_int_equal(space_fault(&a->s, TS_GUEST + 5000, PT_WRITE), 0); /* mapped: run again */
    assert_int_equal(gmem_convert(&t.gm, 600, 1, true, GMEM_KEEP), 0);
    assert_int_equal(ts_at(a, TS_GUEST + (600 << 12), NULL), 0);
    assert_int_equal(space_fault(&a->s, TS_GUEST + (601 << 12), PT_READ), 0);
    assert_true(ts_at(a, TS_GUEST + (601 << 12), &shift) == t.p0[601] && shift == 12);
    assert_int_equal(ts_at(a, TS_GUEST + (600 << 12), NULL), 0);
    assert_int_equal(space_fault(&a->s, TS_GUEST + (600 << 12), PT_READ), 0);
    assert_int_equal(ts_at(a, TS_GUEST + (600 << 12), NULL), t.p1[600]);
    /* The host: what is lent, and only that. */
    REFUSED(space_fault(&h->s, t.p1[601], PT_READ), -EPERM);
    REFUSED(space_fault(&h->s, t.p0[600], PT_READ), -EPERM);
    assert_int_equal(space_fault(&h->s, t.p1[600] + 7, PT_READ), 0);
    assert_true(ts_at(h, t.p1[600], &shift) == t.p1[600] && shift == 12);
    assert_int_equal(gmem_convert(&t.gm, 600, 1, false, GMEM_KEEP), 0);
    REFUSED(space_fault(&h->s, t.p1[600], PT_READ), -EPERM);
    /* The last page of a chunk takes the window's table with it, looked at or not. */
    assert_int_equal(gmem_convert(&t.gm, 700, 1, true, GMEM_KEEP), 0);
    assert_int_equal(gmem_convert(&t.gm, 900, 1, true, GMEM_KEEP), 0);
    assert_int_equal(space_fault(&h->s, t.p1[700], PT_READ), 0);
    assert_int_equal(gmem_convert(&t.gm, 700, 1, false, GMEM_KEEP), 0);
    assert_int_equal(gmem_convert(&t.gm, 900, 1, false, GMEM_KEEP), 0);
    tp_assert(tp_count(&h->s.pt).tables == 0, "window-table-kept\n");
    assert_int_equal(gmem_convert(&t.gm, 1024, 512, true, GMEM_KEEP), 0);
    assert_int_equal(space_fault(&h->s, t.p1[1030], PT_READ), 0);
    assert_true(ts_at(h, t.p1[1030], &shift) == t.p1[1030] && shift == 21);
    assert_int_equal(gmem_convert(&t.gm, 1024, 512, false, GMEM_KEEP), 0);
    /* A5: who faults tells the others; what they do with it is never the fault's failure. */
    assert_int_equal(BIND(b, VIEW_GUEST, TS_GUEST, 0, 2048, RW, false), 0);
    assert_int_equal(space_fault(&a->s, TS_GUEST + (1600 << 12), PT_READ), 0);
    assert_int_equal(ts_at(b, TS_GUEST + (1600 << 12), NULL), t.p0[1600]);
    assert_int_equal(space_unbind(&b->s, &t.gm), 0);
    assert_int_equal(BIND(b, VIEW_GUEST, TS_GUEST, 0, 2048, RW, false), 0);
    ts_drain(0); /* a's next leaf needs none, b's does */
    assert_int_equal(space_fault(&a->s, TS_GUEST + (1100 << 12), PT_READ), 0);
    assert_int_equal(ts_at(b, TS_GUEST + (1100 << 12), NULL), 0);
    ts_refill();
    ts_judge(&t);
    ts_close(&t);
}

/* A lazy tree that no live cut is allowed in: what faulted in large goes as a whole, and stays
 * usable around the change. */
static void lazy_without_bbm(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 0, true);
    struct ts t;

    (void)state;
    ts_open(&t, 512 * 2, true, 36);
    struct ts_tree *a = ts_tree(&t, 0, "lazy, no bbm", TS_CPU, &cfg);

    assert_int_equal(BIND(a, VIEW_GUEST, TS_GUEST, 0, 1024, RW, false), 0);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t p = ts_rand(&t, 1024), q = ts_rand(&t, 1024);

        assert_int_equal(space_fault(&a->s, TS_GUEST + (q << 12), PT_READ), 0);
        assert_int_equal(ts_convert(&t, p, 1, t.want[p] == 0, GMEM_KEEP), 0);
        for (uint64_t k = 0; k < 1024; k++) {
            uint64_t at = ts_at(a, TS_GUEST + (k << 12), NULL);

            assert_true(at == 0 || at == (t.want[k] ? t.p1[k] : t.p0[k]));
            assert_true(k != q || k == p || at != 0);
        }
    }
    ts_judge(&t);
    ts_close(&t);
}

static const char *device(void *ctx, const struct pt_leaf *leaf, uint64_t pa)
{
    (void)leaf;
    return pa == *(uint64_t *)ctx ? NULL : "device of nobody";
}

/* The audit must see what it is for. */
static void audit_sees(void **state)
{
    struct pt_config cfg = cpu_cfg();
    struct ts t;
    uint64_t uart = 8 * MIB;
    const struct {
        uint64_t pa, len;
        owner_t user;
        unsigned wrong;
    } c[] = {
        { TS_HOST, 4 * MIB, OWNER_HOST, 0 },
        { TS_HOST, 4096, TS_VM, 1 },
        { TS_BASE, 4096, OWNER_HYP, 1 },
        { TS_POOL + 64 * MIB, 4096, OWNER_HOST, 1 },
        { TS_HOST + 8 * MIB - 4096, 8192, OWNER_HOST, 1 },
    };

    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct space_audit a = { 0 };

        ts_open(&t, 512, false, 37);
        ts_tree(&t, 0, "cpu", TS_CPU, &cfg);
        assert_int_equal(space_map(&t.tree[0].s, GIB, c[i].pa, c[i].len, RW), 0);
        space_audit(&t.tree[0].s, c[i].user, NULL, NULL, &a);
        tp_assert(a.violations == c[i].wrong, "case %u: %lu violations\n", i,
                  (unsigned long)a.violations);
        ts_close(&t);
    }
    struct space_audit a = { 0 };

    ts_open(&t, 512, false, 37);
    ts_tree(&t, 0, "cpu", TS_CPU, &cfg);
    assert_int_equal(space_map(&t.tree[0].s, GIB, uart, 4096, RW | PT_DEVICE), 0);
    assert_int_equal(space_map(&t.tree[0].s, 2 * GIB, uart + 4096, 4096, RW | PT_DEVICE), 0);
    space_audit(&t.tree[0].s, OWNER_HOST, device, &uart, &a);
    assert_int_equal(a.violations, 1);
    assert_int_equal(a.first_ia, 2 * GIB);
    assert_int_equal(a.leaves, 2);
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(make),
        cmocka_unit_test(explicit_maps),
        cmocka_unit_test(unmap_by_break),
        cmocka_unit_test(bindings),
        cmocka_unit_test(too_many_bindings),
        cmocka_unit_test(faults),
        cmocka_unit_test(lazy_without_bbm),
        cmocka_unit_test(audit_sees),
    };

    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
