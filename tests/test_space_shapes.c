/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trees, bindings and hardware of every shape, and changes of every size, with nothing in reserve: what
 * prepare counted must be enough for what follows, which cannot fail. Without walkers' models: fast.
 */
#include "lib_space.h"

#include <string.h>

struct shape {
    uint8_t level, bbm;
    bool stalls, lazy;
    uint64_t offset; /* of the guest's address from a 1G boundary */
    uint64_t cap;    /* largest leaf */
    uint64_t pages;
};

static struct ts t;

static uint64_t length(uint64_t *page, uint64_t pages)
{
    uint64_t n;

    switch (ts_rand(&t, 5)) {
    case 0:
        n = 1;
        break;
    case 1:
        n = 1 + ts_rand(&t, 1500);
        break;
    case 2:
        *page &= ~(uint64_t)511;
        n = 512 * (1 + ts_rand(&t, 3));
        break;
    case 3:
        *page = 0;
        n = pages;
        break;
    default:
        n = 1 + ts_rand(&t, pages);
    }
    return gmem_run_until(&t.gm, *page, *page + n < pages ? *page + n : pages) - *page;
}

static void look(const struct shape *s, uint64_t p)
{
    uint64_t at = ts_at(&t.tree[0], TS_GUEST + s->offset + (p << PAGE_SHIFT), NULL);
    uint64_t want = t.want[p] == GMEM_SHARED ? t.p1[p] : t.p0[p];

    tp_assert(at == want || (s->lazy && at == 0), "page %lu at %#lx, not %#lx\n", (unsigned long)p,
              (unsigned long)at, (unsigned long)want);
    at = ts_at(&t.tree[2], t.p1[p], NULL);
    want = t.want[p] == GMEM_SHARED ? t.p1[p] : 0;
    tp_assert(at == want || (s->lazy && at == 0), "window of page %lu at %#lx, not %#lx\n",
              (unsigned long)p, (unsigned long)at, (unsigned long)want);
    at = ts_at(&t.tree[2], t.p0[p], NULL);
    want = t.want[p] == GMEM_SHARED_INPLACE ? t.p0[p] : 0;
    tp_assert(at == want || (s->lazy && at == 0), "window of page %lu (in place) at %#lx\n",
              (unsigned long)p, (unsigned long)at);
}

static void run(const struct shape *s, uint64_t seed, unsigned steps)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, s->bbm, s->stalls);
    uint64_t tables;

    if (s->level == 0) {
        cfg.start_level = 0;
        cfg.ia_bits = cfg.oa_bits = 48;
    }
    ts_open(&t, s->pages, true, seed);
    hosted_set_hook(NULL);
    for (unsigned i = 0; i < 4; i += 2) {
        ts_tree(&t, i, i ? "host" : "guest", s->stalls ? TS_CPU : TS_SMMU, &cfg);
        /* Nobody walks, and nobody judges: he would miss the stores. */
        assert_int_equal(space_remove_walker(&t.tree[i].s, &t.tree[i].w[0].inv), 0);
        t.tree[i].open = false;
        t.tree[i].s.max_leaf = s->cap;
        assert_int_equal(space_bind(&t.tree[i].s, &t.gm, i ? VIEW_HOST : VIEW_GUEST,
                                    i ? 0 : TS_GUEST + s->offset, 0, s->pages, RW, !s->lazy),
                         0);
    }
    tables = frame_tables_free() + space_tables(&t.tree[0].s) + space_tables(&t.tree[2].s) +
             t.gm.states.nodes;
    for (unsigned i = 0; i < steps; i++) {
        uint64_t p = ts_rand(&t, s->pages), n = length(&p, s->pages);
        bool to_shared = gmem_state(&t.gm, p) == GMEM_PRIVATE;
        enum gmem_policy policy = ts_rand(&t, 4) ? GMEM_KEEP : GMEM_INPLACE;

        for (unsigned k = 0; s->lazy && k < 6; k++) {
            uint64_t q = ts_rand(&t, s->pages);

            (void)space_fault(&t.tree[0].s, TS_GUEST + s->offset + (q << PAGE_SHIFT), PT_READ);
            (void)space_fault(&t.tree[2].s, gmem_frame(&t.gm, q), PT_READ);
        }
        if (ts_rand(&t, 2) == 0) { /* nothing at hand: what a change needs is counted */
            frame_tables_release(&t.tree[0].s.binding[0].change[0].reserve);
            frame_tables_release(&t.tree[2].s.binding[0].change[0].reserve);
        }
        int err = gmem_convert(&t.gm, p, n, to_shared, policy);

        if (err == 0) {
            memset(t.want + p, !to_shared ? 0 : policy == GMEM_KEEP ? 1 : 2, n);
        } else {
            assert_true(err == -EOPNOTSUPP && !s->stalls && s->bbm < 2);
        }
        look(s, p);
        look(s, p + n - 1);
        look(s, p == 0 ? 0 : p - 1);
        look(s, p + n < s->pages ? p + n : p);
        for (unsigned k = 0; k < 20; k++) {
            look(s, ts_rand(&t, s->pages));
        }
        tp_assert(frame_tables_free() + space_tables(&t.tree[0].s) + space_tables(&t.tree[2].s) +
                          t.gm.states.nodes ==
                      tables,
                  "table-lost\n");
    }
    ts_now = NULL;
    for (unsigned i = 0; i < 4; i += 2) {
        struct space_audit a = { 0 };

        space_audit(&t.tree[i].s, i ? OWNER_HOST : TS_VM, NULL, NULL, &a);
        tp_assert(a.violations == 0, "audit: %s\n", a.first);
    }
    for (unsigned i = 0; i < 4; i += 2) {
        space_destroy(&t.tree[i].s);
        model_tlb_free(t.tree[i].w[0].tlb);
        model_live_free(t.tree[i].live);
    }
    ts_close(&t);
}

static void small_objects(void **state)
{
    static const uint64_t offset[] = { 0, 5 * 4096, GIB - 3 * 2 * MIB },
                          cap[] = { 0, 4096, 2 * MIB };
    uint64_t seed = 1;

    (void)state;
    for (unsigned i = 0; i < 2 * 2 * 3 * 3 * 3; i++) {
        unsigned kind = i / 4 % 3; /* device; CPU; CPU, filled by faults */
        struct shape s = { .level = i & 1,
                           .bbm = i & 2,
                           .stalls = kind != 0,
                           .lazy = kind == 2,
                           .offset = offset[i / 12 % 3],
                           .cap = cap[i / 36],
                           .pages = 512 * 11 };

        run(&s, seed++, TP_STEPS(60));
    }
}

static void large_objects(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        struct shape s = { .level = i & 1,
                           .bbm = i & 2,
                           .stalls = true,
                           .lazy = (i & 4) != 0,
                           .offset = i & 4 ? GIB - 4 * MIB : 0,
                           .pages = 512 * 512 };

        run(&s, 100 + i, TP_STEPS(30));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_objects),
        cmocka_unit_test(large_objects),
    };

    return cmocka_run_group_tests_name("space_shapes", tests, NULL, NULL);
}
