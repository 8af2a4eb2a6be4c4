/* SPDX-License-Identifier: BSD-2-Clause */
/* Where nothing is mapped, and how far: pt_hole_end() against the oracle's list. */
#include "lib_pt.h"

static uint64_t next_mapped(const struct tp *t, uint64_t ia, uint64_t last)
{
    uint64_t next = last + 1;

    for (unsigned i = 0; i < t->map.n; i++) {
        const struct tp_run *r = &t->map.run[i];

        if (r->last >= ia && r->ia < next) {
            next = r->ia < ia ? ia : r->ia;
        }
    }
    return next;
}

static void hole_from(const struct tp *t, uint64_t ia, uint64_t last)
{
    uint64_t want = next_mapped(t, ia, last), at = ia;

    tp_assert(pt_hole_end(&t->pt, ia, last, ~0u) == want, "hole-end: from %#lx to %#lx, not %#lx\n",
              (unsigned long)ia, (unsigned long)pt_hole_end(&t->pt, ia, last, ~0u),
              (unsigned long)want);
    /* In small looks: never over a leaf, and always on. */
    for (uint64_t was; at < want; at = was) {
        was = pt_hole_end(&t->pt, at, last, 1 + (uint32_t)(at / t->page % 90));
        tp_assert(was > at && was <= want, "hole-end: in steps from %#lx to %#lx, over %#lx\n",
                  (unsigned long)at, (unsigned long)was, (unsigned long)want);
    }
}

static void holes(struct tp *t, struct pt_gather *g)
{
    uint64_t p = t->page, b = t->block, top = tp_top(t);
    const uint64_t at[] = { 0,      p,     b - p,         b,      3 * b,   3 * b + p,
                            4 * b,  6 * b, 7 * b + 2 * p, t->big, top - b, top - p,
                            top - 1 };

    hole_from(t, 0, top - 1);
    tp_put(t, b - p, 0, p, RW, 0);
    tp_put(t, 2 * b, 4 * b, b, RW, 0);
    tp_put(t, 3 * b + p, 0, 2 * p, RW, 0);
    tp_put(t, 5 * b, 0, 2 * p, RW, 0);
    tp_put(t, 7 * b + p, 0, p, RW, 0);
    /* A table in which there is nothing. */
    assert_int_equal(pt_unmap(&t->pt, 5 * b, 2 * p, g), 0);
    tp_map_del(&t->map, 5 * b, 5 * b + 2 * p - 1);
    tp_done(t, g);
    for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        for (unsigned k = i; k < sizeof(at) / sizeof(at[0]); k++) {
            if (at[i] <= at[k] && at[k] < top) {
                hole_from(t, at[i], at[k]);
            }
        }
    }
    assert_int_equal(pt_hole_end(&t->pt, p, 0, 1), p);       /* the wrong way round */
    assert_int_equal(pt_hole_end(&t->pt, top, top, 1), top); /* outside */
    assert_int_equal(pt_hole_end(&t->pt, 0, top - 1, 0), 0); /* no look at all */
}

static void hole_ends(void **state)
{
    (void)state;
    tp_each(1, holes);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(hole_ends) };

    return cmocka_run_group_tests_name("pt_hole", tests, NULL, NULL);
}
