/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact, call by call, over every configuration: the leaves and tables that there are after each call,
 * the table pages that it took and gave back, the range, leaf size and walk-cache flag of each record.
 * lib_pt_exact.h is the oracle.
 */
#include "lib_pt_exact.h"

/* Sanitizers have little to show of one thread that only looks. */
#if defined(__SANITIZE_THREAD__)
#define CONF_STEP 14u
#elif defined(__SANITIZE_ADDRESS__)
#define CONF_STEP 4u
#else
#define CONF_STEP 1u
#endif

static void each(void (*test)(struct ex *x))
{
    for (unsigned c = 0; c < tp_conf_count; c += CONF_STEP) {
        struct ex x;

        ex_open(&x, &tp_confs[c]);
        test(&x);
        ex_clear(&x);
        ex_close(&x);
    }
}

/* --- map: the largest leaves, and no table too many --- */

#define MAX_LEAVES 5000u

static void largest_leaves(struct ex *x)
{
    static unsigned turn;
    const uint64_t p = x->t.page, b = x->t.block, big = x->t.big;
    const uint64_t starts[] = { 0, p, b - p, b, 3 * b, big - 2 * b, big - p, big };
    const uint64_t lens[] = { p, 16 * p, b, b + p, 3 * b - p, 40 * b, big, big + b, 2 * big + p };
    const uint64_t shifts[] = { 0, p, 16 * p, b, 16 * b, big };
    const uint64_t caps[] = { 0, p, 32 * p, b, 16 * b, big };

    /* Every combination in one configuration or another. */
    for (unsigned i = turn++ % 41; i < 8 * 9 * 6 * 6; i += 41) {
        uint64_t ia = starts[i % 8], len = lens[i / 8 % 9], shift = shifts[i / 72 % 6];
        uint64_t cap = caps[i / 432], most = cap == 0 || cap > b ? b : cap;

        if ((shift & (most - 1)) != 0) {
            most = shift & (~shift + 1);
        }
        if (len / most < MAX_LEAVES) {
            ex_map(x, ia, ia + shift, len, RW, cap);
            ex_unmap(x, ia, len);
            ex_trim(x, ia, len);
        }
    }
}

static void maps(void **state)
{
    (void)state;
    each(largest_leaves);
}

/* Into tables that are there, empty or not; and leaf by leaf. */
static void tables_stay(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block;

    ex_map(x, 2 * b + 3 * p, 0, p, RW, 0);
    ex_map(x, b, b, 3 * b, RW, 0); /* in the way */
    ex_map(x, 2 * b, 8 * b, 3 * p, RW, 0);
    ex_map(x, b, b, b, RW, 0);
    ex_unmap(x, 2 * b, 4 * p);
    ex_map(x, 2 * b, 2 * b, 2 * b, RW, 0); /* an empty table is not replaced */
    ex_break(x, 2 * b, b);
    ex_map_leaf(x, 2 * b, 0, 1, RW);
    ex_map_leaf(x, 2 * b + p, 0, 0, RW);
    ex_map_leaf(x, 2 * b + p, 0, 0, RW);
    ex_map_leaf(x, 5 * b, b, 1, RW);
    ex_map_leaf(x, 5 * b + p, b, 1, RW);
    ex_map_leaf(x, 6 * b, 0, 2, RW);
    for (unsigned h = 0; h <= x->top; h++) {
        ex_map_leaf(x, 2 * ex_size(x, h), 0, h, PT_READ);
    }
    ex_unmap(x, 0, ex_reach(x));
}

static void maps_into_tables(void **state)
{
    (void)state;
    each(tables_stay);
}

/* --- unmap: leaves of several sizes, holes, tables that go and tables that stay --- */

static void unmaps(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block, big = x->t.big;

    for (unsigned i = 0; i < 8; i++) {
        ex_map(x, big, big, big, RW, 0);
        ex_map(x, 2 * big, 0, 3 * b, PT_READ, 0);
        ex_map(x, 2 * big + 3 * b + p, 0, 8 * p, RW, 0);
        ex_map(x, 2 * big + 5 * b, p, b, RW | (i & 1 ? 0 : PT_TRACK), 0);
        ex_map(x, 2 * big + 7 * b, 0, p, RW | (i & 1 ? 0 : PT_TRACK | PT_DIRTY), 0);
        ex_break(x, 2 * big + 3 * b + 4 * p, p);
        ex_break(x, 2 * big + b, b);
        if (i < 2) {
            ex_break(x, big, 2 * big);
            ex_break(x, big, 2 * big);
            ex_unmap(x, 2 * big + 3 * b, b);
            ex_trim(x, 2 * big + 5 * b + p, p);
        } else if (i < 4) {
            ex_unmap(x, big, 2 * big);
        } else if (i < 6) {
            ex_unmap(x, 2 * big + p, 2 * big); /* unless a page, it begins inside a leaf */
            ex_unmap(x, 2 * big + 3 * b + 2 * p, 5 * b);
        } else {
            ex_unmap(x, 0, ex_reach(x));
        }
        ex_unmap(x, big, 2 * big);
        ex_trim(x, 0, ex_reach(x));
    }
}

static void unmaps_exactly(void **state)
{
    (void)state;
    each(unmaps);
}

/* The same for a walker that sets no dirty state: tables go without a look at their leaves. */
static void unmaps_plain(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block;

    x->t.pt.cfg.live.hw_dirty = false;
    ex_map(x, 0, 0, 2 * b, RW, 0);
    ex_map(x, 2 * b, p, b, RW, 0);
    ex_map(x, 3 * b, 3 * b, 2 * p, RW, 0);
    ex_map(x, 6 * b, p, p, RW, 0);
    ex_map(x, 7 * b, p, b + p, RW, 0);
    ex_unmap(x, 3 * p, 8 * b); /* inside a leaf, or not */
    ex_unmap(x, 0, 7 * b + 4 * p);
    ex_unmap(x, 7 * b + 4 * p, b);
    ex_unmap(x, 0, ex_reach(x));
    x->t.pt.cfg.live.hw_dirty = true;
}

static void unmaps_without_dirty(void **state)
{
    (void)state;
    each(unmaps_plain);
}

/* --- the life of a leaf of every size --- */

/* A place for leaves of this size: the second such, to nowhere near it. */
struct place {
    uint64_t ia, oa, size;
    unsigned h;
};

static bool place(const struct ex *x, unsigned h, unsigned k, struct place *at)
{
    uint64_t size = ex_size(x, h) << k, oa_end = (uint64_t)1 << x->t.pt.cfg.oa_bits;

    *at = (struct place){ .ia = size, .oa = 0, .size = size, .h = h };
    return ex_may_be(x, h, k) && ex_reach(x) / size >= 3 && oa_end / size >= 2;
}

/* Every leaf size that the configuration has. */
static void each_size(struct ex *x, void (*test)(struct ex *x, const struct place *at))
{
    struct place at;

    for (unsigned h = 0; h <= x->s->tall; h++) {
        for (unsigned k = 0; k <= x->s->set_max[h]; k++) {
            if (place(x, h, k, &at)) {
                test(x, &at);
                ex_unmap(x, 0, ex_reach(x));
            }
        }
    }
}

static void attributes(struct ex *x, const struct place *at)
{
    if (at->size > 16 * GIB) {
        return; /* the bitmaps would be */
    }
    ex_map(x, at->ia, at->oa, at->size, RW, 0);
    assert_int_equal(x->leaves, 1);
    ex_age(x, at->ia, at->size);
    ex_age(x, at->ia + at->size - x->t.page, x->t.page); /* an old one: nothing */
    ex_protect(x, at->ia, at->size, PT_READ);
    ex_protect(x, at->ia, at->size, PT_READ);
    ex_protect(x, at->ia, at->size, PT_READ | PT_NC);
    ex_track(x, at->ia, at->size, true); /* not writable: nothing */
    ex_protect(x, at->ia, at->size, RW | PT_DIRTY);
    ex_track(x, at->ia, at->size, true); /* a set comes apart */
    ex_harvest(x, at->ia, at->size);
    ex_protect(x, at->ia, at->size, RW | PT_TRACK | PT_DIRTY);
    ex_harvest(x, at->ia, at->size);
    ex_harvest(x, at->ia, at->size);
    ex_protect(x, at->ia, at->size, RW | PT_TRACK | PT_DIRTY);
    ex_protect(x, at->ia, at->size, PT_READ); /* the last to know that it was written */
    ex_protect(x, at->ia, at->size, RW);
    ex_join(x, at->ia, at->size, 0);
    ex_break(x, at->ia, at->size);
    ex_map(x, at->ia, at->oa, at->size, RW | PT_TRACK | PT_DIRTY, 0);
    ex_track(x, at->ia, at->size, false);
    ex_track(x, at->ia, at->size, true);
    ex_protect(x, at->ia, at->size, RW | PT_TRACK | PT_DIRTY);
}

static void cuts(struct ex *x, const struct place *at)
{
    const uint64_t p = x->t.page, b = x->t.block, s = at->size;
    const struct {
        uint64_t from, len;
    } edges[] = {
        { 0, p },             /* the first page */
        { s - p, p },         /* the last */
        { s / 2, p },         /* one of the middle */
        { s / 2 - p, 2 * p }, /* on both sides of it */
        { s / 2, s / 2 },     /* half */
        { b, b },             /* the second block */
        { p, s },             /* beyond the end */
        { 0, 2 * s },         /* whole leaves: nothing */
    };

    for (unsigned i = 0; i < sizeof(edges) / sizeof(edges[0]); i++) {
        uint64_t ia = at->ia + edges[i].from, len = edges[i].len;

        ex_map(x, at->ia, at->oa, s, RW, 0);
        ex_age(x, at->ia, i & 1 ? s : p);
        ex_unmap(x, ia, len); /* mostly inside a leaf */
        if (!ex_crosses(x, ia) && !ex_crosses(x, ia + len)) {
            ex_map(x, at->ia, at->oa, s, RW, 0);
        }
        ex_cut(x, ia, len);
        ex_cut(x, ia, len); /* there already */
        ex_replace(x, ia, at->oa + edges[i].from, len < s ? len : p);
        if (i & 1) {
            ex_break(x, ia, len);
        } else {
            ex_unmap(x, ia, len);
        }
        ex_unmap(x, at->ia, s);
        ex_trim(x, at->ia, s);
        assert_int_equal(x->tables, 0);
    }
}

/* Cut, and what was cut away broken, with one invalidation: no record of that range has a hint. */
static void cut_and_break(struct ex *x, const struct place *at)
{
    const uint64_t p = x->t.page;

    ex_map(x, at->ia, at->oa, at->size, RW, 0);
    x->hold = true;
    ex_cut(x, at->ia + at->size / 2, p);
    ex_break(x, at->ia + at->size / 2, p);
    x->hold = false;
    ex_settle(x);
    ex_map(x, at->ia + at->size / 2, at->oa, p, RW, 0);
}

static void refreshes(struct ex *x, const struct place *at)
{
    const uint64_t p = x->t.page, far = at->size;

    ex_map(x, at->ia, at->oa, at->size, RW, 0);
    ex_replace(x, at->ia, far, at->size); /* one store, if it may be */
    ex_replace(x, at->ia, far + p, at->size);
    ex_replace(x, at->ia, far, at->size + p);
    ex_replace(x, at->ia, (uint64_t)1 << x->t.pt.cfg.oa_bits, at->size);
    ex_cut(x, at->ia, p);
    ex_replace(x, at->ia, far + p, p);
    if (!x->s->swap) { /* break, invalidate, make */
        ex_break(x, at->ia, p);
        ex_map(x, at->ia, far + p, p, RW, 0);
    }
    ex_merge(x, at->ia, at->size, 0); /* not uniform any more */
    ex_join(x, at->ia, at->size, 0);
}

static void merges(struct ex *x, const struct place *at)
{
    const uint64_t p = x->t.page, b = x->t.block;

    ex_map(x, at->ia, at->oa, at->size, RW, 0);
    ex_cut(x, at->ia + at->size / 2, p);
    ex_cut(x, at->ia, p);
    ex_merge(x, at->ia, at->size, p);
    ex_join(x, at->ia, at->size, 4 * p);
    ex_merge(x, at->ia + at->size / 2, p, b);
    ex_join(x, at->ia, at->size, 0);
    ex_age(x, at->ia, p);
    ex_merge(x, at->ia, at->size, 0);
    ex_join(x, at->ia, at->size, 0);
    ex_merge(x, at->ia, at->size, 0);
    ex_join(x, at->ia, at->size, 0);
    /* What is tracked, has other rights or a hole is none. */
    ex_cut(x, at->ia, p);
    ex_track(x, at->ia, p, true);
    ex_merge(x, at->ia, at->size, 0);
    ex_track(x, at->ia, p, false);
    ex_protect(x, at->ia, p, PT_READ);
    ex_merge(x, at->ia, at->size, 0);
    ex_break(x, at->ia, p);
    ex_merge(x, at->ia, at->size, 0);
    ex_map(x, at->ia, at->oa, p, RW, 0);
    ex_merge(x, at->ia, p, 0);
}

/* What the live rules forbid is an error, or is not done: they differ by family and by rights. */
static void rules(struct ex *x, const struct place *at)
{
    struct pt_live *live = &x->t.pt.cfg.live;
    const struct pt_live had = *live;

    for (unsigned i = 0; i < 8; i++) {
        ex_map(x, at->ia, at->oa, at->size, i & 2 ? RW | PT_EXEC : RW, i & 1 ? x->t.page : 0);
        live->bbm = (uint8_t)(i / 2 % 3);
        live->exec_4k = i >= 6 || had.exec_4k;
        live->stalls = i < 2;
        ex_track(x, at->ia, at->size, true);
        ex_track(x, at->ia, at->size, false);
        ex_join(x, at->ia, at->size, 0);
        ex_merge(x, at->ia, at->size, 0);
        ex_cut(x, at->ia, x->t.page);
        ex_merge(x, at->ia, at->size, 0);
        *live = had;
        ex_unmap(x, 0, ex_reach(x));
    }
}

static void live_rules(struct ex *x, const struct place *at)
{
    if (at->size <= 64 * x->t.block) {
        rules(x, at);
    }
}

static void sizes(struct ex *x)
{
    each_size(x, attributes);
    each_size(x, cuts);
    each_size(x, cut_and_break);
    each_size(x, refreshes);
    each_size(x, merges);
    each_size(x, live_rules);
}

static void every_size(void **state)
{
    (void)state;
    each(sizes);
}

/* --- runs of leaves of unlike sizes and states --- */

static void written(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block, from = 3 * b - 8 * p;
    const uint32_t dirty = RW | PT_TRACK | PT_DIRTY;

    ex_map(x, 0, 0, 2 * b, dirty, 0);
    ex_map(x, from, 0, 11 * p, dirty, 0); /* over the end of a table */
    ex_map(x, from + 11 * p, 0, 3 * p, RW | PT_TRACK, 0);
    ex_map(x, from + 14 * p, 0, 4 * p, RW, 0);
    ex_map(x, from + 20 * p, 0, 2 * p, dirty, 0);
    ex_map(x, from + 22 * p, 0, p, PT_READ, 0);
    ex_map(x, from + 23 * p, 0, p, dirty, 0);
    ex_age(x, from + 2 * p, 10 * p);
    ex_harvest(x, p, b);
    ex_harvest(x, b, b + p);
    ex_harvest(x, from + 3 * p, 9 * p);
    ex_harvest(x, 0, 4 * b);
    ex_harvest(x, 0, 4 * b);
    ex_age(x, b, 2 * b);
    ex_track(x, from + 6 * p, 9 * p, false);
    ex_age(x, 0, 4 * b);
    ex_track(x, 0, 4 * b, true);
    ex_protect(x, from + p, 4 * p, dirty);
    ex_protect(x, 0, from + 3 * p, PT_READ);
    ex_protect(x, from + 4 * p, 10 * p, RW);
    ex_break(x, 0, from + 8 * p);
}

static void runs(void **state)
{
    (void)state;
    each(written);
}

/* --- more than a gather holds --- */

static void many(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block;

    for (unsigned i = 0; i <= PT_GATHER_MAX; i++) {
        ex_map(x, 2 * i * b, 0, p, RW, 0);
    }
    ex_age(x, 0, 2 * b * PT_GATHER_MAX); /* as many as there are */
    ex_age(x, 0, 4 * b * PT_GATHER_MAX);
    ex_protect(x, 0, 4 * b * PT_GATHER_MAX, PT_READ); /* one more: "all" */
    ex_break(x, 0, 2 * b * PT_GATHER_MAX);
    ex_unmap(x, 0, 4 * b * PT_GATHER_MAX);
    for (unsigned i = 0; i < PT_GATHER_HELD + 3; i++) {
        ex_map(x, 2 * i * b, 2 * i * b, b, RW, p);
    }
    ex_merge(x, 0, 4 * b * PT_GATHER_HELD, 0); /* "more" */
    ex_merge(x, 0, 4 * b * PT_GATHER_HELD, 0);
    ex_merge(x, 0, 4 * b * PT_GATHER_HELD, 0);
}

static void gathers_overflow(void **state)
{
    (void)state;
    each(many);
}

/* --- a tree that grows --- */

static void growing(struct ex *x)
{
    const uint64_t p = x->t.page, b = x->t.block;

    ex_map(x, 0, b, b, RW, p);
    ex_map_leaf(x, ex_reach(x), 0, 0, RW); /* not there yet, if it ever is */
    for (unsigned i = 0; i < 5; i++) {
        uint64_t reach = ex_reach(x);

        ex_grow(x, reach - 1);
        ex_grow(x, reach);
        ex_map(x, ex_reach(x) - b - p, p, b + p, RW, 0);
        ex_merge(x, 0, b, 0);
        ex_cut(x, 0, p);
        ex_trim(x, 0, reach);
    }
    ex_unmap(x, b, ex_reach(x) - b);
    ex_trim(x, b, p);
}

static void grows(void **state)
{
    static const struct tp_conf amd[] = {
        { "amd mode 1, grows",
          { .format = PT_AMD_V1,
            .ia_bits = 63,
            .oa_bits = 52,
            .start_level = 3,
            .live = { .hw_af = true, .hw_dirty = true, .contig = true } } },
        { "amd mode 2, grows to 57",
          { .format = PT_AMD_V1,
            .ia_bits = 57,
            .oa_bits = 48,
            .start_level = 2,
            .live = { .hw_af = true, .hw_dirty = true } } },
    };

    (void)state;
    each(growing);
    for (unsigned i = 0; i < 2; i++) {
        struct ex x;

        ex_open(&x, &amd[i]);
        growing(&x);
        assert_int_equal(x.top, i ? 4 : 5);
        ex_clear(&x);
        ex_close(&x);
    }
}

/* --- any calls --- */

static struct model_rng rng;

static uint64_t below(uint64_t n)
{
    return model_rng_below(&rng, n);
}

/* Pages at and beside boundaries of every size, in a part of the address space. */
static uint64_t point(const struct ex *x)
{
    const uint64_t size[] = { x->t.page, 16 * x->t.page, x->t.block, 4 * x->t.block, x->t.big };
    uint64_t at = size[below(5)] * below(4) + size[below(5)] * below(3) + x->t.page * below(2);

    return below(4) ? at : at - (at != 0 ? x->t.page : 0);
}

static void any_call(struct ex *x)
{
    static const uint32_t prots[] = { PT_READ,        RW,
                                      RW | PT_EXEC,   RW | PT_TRACK,
                                      RW | PT_DEVICE, RW | PT_TRACK | PT_DIRTY };
    const uint64_t p = x->t.page, b = x->t.block, caps[] = { 0, 0, p, b };
    uint64_t ia = point(x), end = point(x), len, cap = caps[below(4)], oa;
    uint32_t prot = prots[below(below(4) ? 3 : 6)];

    /* Mostly whole leaves. */
    len = end > ia ? end - ia : p * (1 + below(4));
    oa = below(3) ? ia : point(x);
    switch (below(14)) {
    case 0:
    case 1:
    case 2:
        if (len <= 40 * b || (cap == 0 && oa == ia)) {
            ex_map(x, ia, oa, len > 3 * b && ((oa - ia) & (b - 1)) ? 3 * b : len, prot, cap);
        }
        break;
    case 3:
        ex_map_leaf(x, ia, oa, (unsigned)below(3), prot);
        break;
    case 4:
        ex_break(x, ia, len);
        break;
    case 5:
        ex_unmap(x, ia, len);
        break;
    case 6:
        ex_trim(x, ia, len);
        break;
    case 7:
        ex_cut(x, ia, len);
        break;
    case 8:
        ex_merge(x, ia, len, cap);
        break;
    case 9:
        if (!ex_crosses(x, ia) && !ex_crosses(x, ia + len)) {
            ex_join(x, ia, len, cap);
        }
        break;
    case 10:
        ex_replace(x, ia, oa, len);
        break;
    case 11:
        ex_protect(x, ia, len, prot);
        break;
    case 12:
        ex_track(x, ia, len, below(2));
        break;
    default:
        (void)(below(2) ? ex_harvest(x, ia, len) : ex_age(x, ia, len));
    }
}

static void any_calls(struct ex *x)
{
    model_rng_seed(&rng, 7);
    for (unsigned i = 0; i < 150; i++) {
        x->hold = below(8) == 0;
        any_call(x);
        if (x->hold) {
            any_call(x);
            x->hold = false;
            ex_settle(x);
        }
        if (x->leaves > 3 * MAX_LEAVES) {
            ex_unmap(x, 0, ex_reach(x));
        }
    }
}

static void random_calls(void **state)
{
    (void)state;
    each(any_calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps),
        cmocka_unit_test(maps_into_tables),
        cmocka_unit_test(unmaps_exactly),
        cmocka_unit_test(unmaps_without_dirty),
        cmocka_unit_test(every_size),
        cmocka_unit_test(runs),
        cmocka_unit_test(gathers_overflow),
        cmocka_unit_test(grows),
        cmocka_unit_test(random_calls),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
