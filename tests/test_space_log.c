/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs of writes, zaps and ages. Walkers with model TLBs write between any two stores of the engine
 * and inside every wait; whatever was written before a read began must be in its answer, what was written during it there or
 * in the next.
 */
#include "lib_space.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PAGES = 4 * 512 };
#define LEN ((uint64_t)PAGES << PAGE_SHIFT)

static struct ts t;
static uint64_t bits[PAGES / 64], out[PAGES / 64];
static bool written[PAGES]; /* since it was last reported */
static unsigned writes, faults;
static bool writing, log_on, fault_in_wait;
static bool before[PAGES];

static bool bit(const uint64_t *map, uint64_t p)
{
    return (map[p / 64] >> (p % 64) & 1) != 0;
}

/* One write to a page through a walker's TLB, with the faults that it takes. False: it is out now. */
static bool try_write(struct ts_walker *w, uint64_t p, bool may_fault)
{
    struct model_access access = { .what = MODEL_W, .user = true };
    uint64_t ia = TS_GUEST + (p << PAGE_SHIFT);
    struct model_xlat x;

    for (unsigned i = 0; i < 8; i++) {
        if (model_tlb_translate(w->tlb, &w->ctx, ia, access, &x) == MODEL_OK) {
            written[p] = written[p] || log_on;
            writes++;
            return true;
        }
        if (!may_fault) {
            return false;
        }
        int err = space_fault(&w->tree->s, ia, PT_WRITE);

        faults++;
        tp_assert(err == 0 || err == -EAGAIN, "fault on page %lu: %d\n", (unsigned long)p, err);
    }
    fail_msg("write-never-succeeds: page %lu", (unsigned long)p);
    return false;
}

static void write_page(unsigned tree, uint64_t p)
{
    (void)try_write(&t.tree[tree].w[0], p, true);
}

/* Hardware writes at any moment; it takes no fault there, for the lock is held. */
static void anywhere(struct ts *world)
{
    if (!writing) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < world->tree[i].nw; k++) {
            (void)try_write(&world->tree[i].w[k], ts_rand(world, PAGES), false);
        }
    }
}

static void in_wait(struct ts *world, struct ts_walker *w)
{
    (void)w;
    for (unsigned i = 0; i < 24; i++) {
        anywhere(world);
    }
    for (uint64_t p = 0; fault_in_wait && p < PAGES; p++) {
        if (before[p]) {
            write_page(0, p);
        }
    }
}

static struct ts_tree *open_tree(unsigned i, unsigned who, uint8_t bbm, bool dirty, bool prefill)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, bbm, who == TS_CPU);

    cfg.live.hw_dirty = dirty;
    struct ts_tree *tree = ts_tree(&t, i, i == 0 ? "first" : "second", who, &cfg);

    model_live_harvest(tree->live, true);
    assert_int_equal(space_bind(&tree->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, prefill), 0);
    return tree;
}

static void open_world(uint64_t seed)
{
    ts_open(&t, PAGES, true, seed);
    t.in_wait = in_wait;
    t.after_store = anywhere;
    memset(written, 0, sizeof(written));
    memset(bits, 0, sizeof(bits)); /* a test that failed leaves some */
    writing = log_on = false;
    writes = faults = 0;
}

static void close_world(void)
{
    writing = log_on = false;
    t.after_store = NULL;
    t.in_wait = NULL;
    ts_close(&t);
}

/* Reads [page, page + n): what was written is in it. Exactly that, if `exact`. */
static void read_log(struct space *s, uint64_t page, uint64_t n, bool exact)
{
    memcpy(before, written, sizeof(before));
    memset(written + page, 0, n);
    memset(out, 0, sizeof(out));
    assert_int_equal(space_log_read_clear(s, TS_GUEST + (page << PAGE_SHIFT), n << PAGE_SHIFT, out),
                     0);
    for (uint64_t p = page; p < page + n; p++) {
        tp_assert(!before[p] || bit(out, p - page), "write-lost: page %lu\n", (unsigned long)p);
        tp_assert(!exact || before[p] || !bit(out, p - page), "not-written: page %lu\n",
                  (unsigned long)p);
        /* Written while it was read: in this answer, or in the next. */
        written[p] = written[p] && !bit(out, p - page);
    }
    for (uint64_t p = n; p < PAGES; p++) {
        assert_false(bit(out, p));
    }
}

/* ---- write-protect ---- */

static void write_protect(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        uint8_t bbm = round < 2 ? 2 : (round < 4 ? 0 : 1);
        bool prefill = round % 2 == 0;

        open_world(60 + round);
        struct ts_tree *a = open_tree(0, TS_CPU, bbm, false, prefill);

        for (uint64_t p = 0; p < PAGES; p += 97) {
            write_page(0, p); /* the TLB has them writable */
        }
        assert_int_equal(space_log_start(&a->s, SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, bits), 0);
        log_on = true;
        read_log(&a->s, 0, PAGES, true);
        for (unsigned i = 0; i < 300; i++) {
            write_page(0, ts_rand(&t, PAGES));
        }
        unsigned had = faults;

        for (uint64_t p = 0; p < PAGES; p++) {
            if (written[p]) {
                write_page(0, p); /* once only */
            }
        }
        assert_int_equal(faults, had);
        /* A part, an unaligned one, then the rest. */
        read_log(&a->s, 100, 700, true);
        write_page(0, 101);
        write_page(0, 799);
        read_log(&a->s, 0, PAGES, true);
        read_log(&a->s, 0, PAGES, true);
        /* Written again before the read returns, and once more after. */
        write_page(0, 900);
        fault_in_wait = true;
        read_log(&a->s, 0, PAGES, false);
        fault_in_wait = false;
        write_page(0, 900);
        read_log(&a->s, 0, PAGES, true);
        assert_int_equal(space_log_stop(&a->s), 0);
        log_on = false;
        for (uint64_t p = 0; p < PAGES; p++) {
            struct pt_leaf leaf;

            assert_int_equal(space_lookup(&a->s, TS_GUEST + (p << 12), &leaf), 0);
            assert_true(!leaf.present || (leaf.prot & PT_WRITE) != 0);
        }
        assert_int_equal(space_log_stop(&a->s), -ENOENT);
        close_world();
    }
}

/* ---- dirty bit ---- */

static void cut_all(struct space *s)
{
    uint64_t cursor = 0;
    unsigned steps = 0;
    int more;

    while ((more = space_log_cut(s, &cursor, 1)) > 0) {
        steps++;
    }
    assert_int_equal(more, 0);
    assert_true(steps >= PAGES / 512);
    assert_int_equal(tp_count(&s->pt).leaves[1] + tp_count(&s->pt).leaves[2], 0);
}

static void merge_all(struct space *s)
{
    uint64_t cursor = 0;

    while (space_log_merge(s, TS_GUEST, LEN, &cursor, 1) > 0) {
    }
    assert_int_equal(tp_count(&s->pt).leaves[2], PAGES / 512);
    assert_int_equal(tp_count(&s->pt).leaves[3], 0);
}

/* Page by page after a cut ahead, for a tree that a CPU and an SMMU share; then merged again. */
static void dirty_bit(void **state)
{
    (void)state;
    open_world(70);
    struct ts_tree *a = open_tree(0, TS_CPU | TS_SMMU, 2, true, true);

    assert_int_equal(tp_count(&a->s.pt).leaves[2], PAGES / 512);
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_AHEAD, TS_GUEST, LEN, NULL), 0);
    cut_all(&a->s);
    for (uint64_t p = 0; p < PAGES; p += 31) {
        write_page(0, p);
    }
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, bits), 0);
    log_on = true;
    read_log(&a->s, 0, PAGES, true);
    for (unsigned i = 0; i < 500; i++) {
        (void)try_write(&a->w[i % 2], ts_rand(&t, PAGES), false);
    }
    read_log(&a->s, 3, 1000, true);
    read_log(&a->s, 0, PAGES, true);
    /* Now while it is read: never too little. */
    writing = true;
    for (unsigned i = 0; i < 20; i++) {
        uint64_t p = ts_rand(&t, PAGES);

        read_log(&a->s, p, 1 + ts_rand(&t, PAGES - p), false);
    }
    writing = false;
    assert_int_equal(space_log_stop(&a->s), 0);
    log_on = false;
    merge_all(&a->s);
    ts_judge(&t);
    close_world();
}

/* Leaves that were not cut: they report all of their pages. And I/O trees, which nobody protects. */
static void dirty_leaves(void **state)
{
    (void)state;
    open_world(71);
    struct ts_tree *a = open_tree(0, TS_CPU | TS_SMMU, 2, true, true);
    struct ts_tree *b = open_tree(1, TS_SMMU, 2, true, true);

    log_on = true;
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, bits), 0);
    write_page(0, 700);
    read_log(&a->s, 0, 600, false); /* asks for a part of the leaf: the rest is remembered */
    memset(out, 0, sizeof(out));
    assert_int_equal(space_log_read_clear(&a->s, TS_GUEST + 600 * 4096, (PAGES - 600) << 12, out),
                     0);
    for (uint64_t p = 600; p < PAGES; p++) {
        assert_int_equal(bit(out, p - 600), p < 1024);
    }
    written[700] = false;
    /* A cut keeps what hardware said. */
    write_page(0, 1600);
    cut_all(&a->s);
    read_log(&a->s, 0, PAGES, false);
    assert_int_equal(space_log_stop(&a->s), 0);
    assert_int_equal(space_log_start(&b->s, SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, bits),
                     -EOPNOTSUPP);
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, bits),
                     -EOPNOTSUPP); /* a device walks it */
    assert_int_equal(space_log_start(&b->s, SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, bits), 0);
    assert_int_equal(space_log_stop(&b->s), 0);
    close_world();
}

/* ---- everything that changes a tree while it is watched ---- */

static void step(struct ts_tree *a, unsigned i)
{
    uint64_t p = ts_rand(&t, PAGES), n = 1 + ts_rand(&t, i % 5 == 0 ? PAGES - p : 3);
    uint64_t cursor = 0, ia = TS_GUEST + (p << PAGE_SHIFT);
    bool young;
    int err;

    n = n < PAGES - p ? n : PAGES - p;
    switch (ts_rand(&t, 7)) {
    case 0:
    case 1:
        while (n > 1 && gmem_run_until(&t.gm, p, p + n) < p + n) {
            n = gmem_run_until(&t.gm, p, p + n) - p;
        }
        err = gmem_convert(&t.gm, p, n, t.want[p] == GMEM_PRIVATE, GMEM_KEEP);
        assert_int_equal(err, 0);
        memset(t.want + p, t.want[p] == GMEM_PRIVATE ? GMEM_SHARED : GMEM_PRIVATE, n);
        /* Another frame: other content at the same address. */
        for (uint64_t q = p; q < p + n; q++) {
            written[q] = true;
        }
        break;
    case 2:
        err = space_zap(&a->s, ia, n << PAGE_SHIFT);
        assert_int_equal(err, a->s.pt.cfg.live.stalls ? 0 : -EOPNOTSUPP);
        break;
    case 3:
        (void)space_log_cut(&a->s, &cursor, 1);
        break;
    case 4:
        (void)space_log_merge(&a->s, TS_GUEST, LEN, &cursor, PAGES / 512);
        break;
    case 5:
        assert_int_equal(space_age(&a->s, ia, n << PAGE_SHIFT, &young), 0);
        break;
    default:
        write_page(0, p);
        break;
    }
}

static void log_follows(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 8; round++) {
        bool dirty = round % 2 == 0, shared = round % 4 == 0;
        uint8_t bbm = shared || round < 4 ? 2 : 0;

        open_world(80 + round);
        struct ts_tree *a =
            open_tree(0, shared ? TS_CPU | TS_SMMU : TS_CPU, bbm, dirty, shared || round % 3 != 0);

        log_on = true;
        assert_int_equal(space_log_start(&a->s,
                                         dirty ? SPACE_LOG_DIRTY_BIT : SPACE_LOG_WRITE_PROTECT,
                                         TS_GUEST, LEN, bits),
                         0);
        for (unsigned i = 0; i < TP_STEPS(200); i++) {
            writing = true;
            step(a, i);
            writing = i % 2 == 0;
            if (i % 3 == 0) {
                read_log(&a->s, 0, PAGES, false);
            }
        }
        writing = false;
        read_log(&a->s, 0, PAGES, false);
        /* An unbinding takes what hardware said along, too. */
        write_page(0, 5);
        assert_int_equal(space_unbind(&a->s, &t.gm), 0);
        read_log(&a->s, 0, PAGES, false);
        assert_int_equal(space_log_stop(&a->s), 0);
        close_world();
    }
}

/* Explicit maps under a log: an unmap, whole and in part. */
static void explicit_maps(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, false);

    (void)state;
    for (unsigned bbm = 0; bbm < 3; bbm += 2) {
        open_world(90 + bbm);
        cfg.live.hw_dirty = true;
        cfg.live.bbm = (uint8_t)bbm;
        cfg.live.stalls = bbm == 0;
        struct ts_tree *a = ts_tree(&t, 0, "explicit", TS_CPU, &cfg);
        struct space *s = &a->s;

        model_live_harvest(a->live, true);
        assert_int_equal(space_map(s, TS_GUEST, TS_HOST, 4 * MIB, RW), 0);
        assert_int_equal(space_log_start(s, SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, bits),
                         -EOPNOTSUPP); /* nobody would know what was writable */
        assert_int_equal(space_log_start(s, SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, bits), 0);
        log_on = true;
        TS_REFUSED(&t, space_map(s, TS_GUEST + LEN - 4096, TS_HOST, 8192, RW), -EBUSY, ts_judge);
        assert_int_equal(space_map(s, TS_GUEST + 4 * MIB, TS_HOST + 4 * MIB, 4 * MIB, RW), 0);
        read_log(s, 0, PAGES, true);
        (void)try_write(&a->w[0], 1030, false);
        (void)try_write(&a->w[0], 3, false);
        assert_true(written[1030] && written[3]);
        assert_int_equal(space_unmap(s, TS_GUEST + (1024 << 12), 2 * MIB), 0);
        read_log(s, 1024, 512, false);
        assert_int_equal(space_unmap(s, TS_GUEST + 4096, 4096), 0);
        read_log(s, 0, 512, false);
        /* What was put back around a broken leaf is watched as before. */
        (void)try_write(&a->w[0], 4, false);
        assert_true(written[4]);
        read_log(s, 0, 512, false);
        space_merge(s, TS_GUEST, LEN);
        assert_int_equal(space_log_stop(s), 0);
        close_world();
    }
}

static void refusals(void **state)
{
    (void)state;
    open_world(95);
    struct ts_tree *a = open_tree(0, TS_CPU, 2, false, true);
    struct ts_tree *b = open_tree(1, TS_SMMU, 2, false, true);
    struct space *s = &a->s;
    uint64_t cursor = 0;
    bool young;

#define START(kind, ia, len, err) \
    TS_REFUSED(&t, space_log_start(s, kind, ia, len, bits), err, ts_judge)
    START(SPACE_LOG_DIRTY_BIT, TS_GUEST, LEN, -EOPNOTSUPP);
    START(SPACE_LOG_WRITE_PROTECT, TS_GUEST + 4096, LEN, -EINVAL);
    START(SPACE_LOG_WRITE_PROTECT, TS_GUEST, 4096, -EINVAL);
    START(SPACE_LOG_WRITE_PROTECT, TS_GUEST, 0, -EINVAL);
    START(SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN / 2, -EINVAL); /* through the binding */
    START(SPACE_LOG_WRITE_PROTECT, 1ull << 40, LEN, -ERANGE);
    START(SPACE_LOG_WRITE_PROTECT, ~0ull << 18, LEN, -ERANGE);
    START(SPACE_LOG_OFF, TS_GUEST, LEN, -EINVAL);
    START(SPACE_LOG_AHEAD, TS_GUEST, LEN, -EINVAL); /* with bits */
    START((enum space_log_kind)9, TS_GUEST, LEN, -EINVAL);
    assert_int_equal(space_log_read_clear(s, TS_GUEST, LEN, out), -ENOENT);
    assert_int_equal(space_log_cut(s, &cursor, 1), -ENOENT);
    assert_int_equal(space_log_merge(s, TS_GUEST, 0, &cursor, 1), -EINVAL);
    assert_int_equal(space_log_merge(s, 1ull << 40, LEN, &cursor, 1), -ERANGE);
    assert_int_equal(space_log_start(s, SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, bits), 0);
    START(SPACE_LOG_WRITE_PROTECT, TS_GUEST, LEN, -EBUSY);
    assert_int_equal(space_log_read_clear(s, TS_GUEST, LEN + 4096, out), -ERANGE);
    assert_int_equal(space_log_read_clear(s, TS_GUEST - 4096, 4096, out), -ERANGE);
    assert_int_equal(space_log_read_clear(s, TS_GUEST + 1, 4096, out), -EINVAL);
    assert_int_equal(space_log_read_clear(s, TS_GUEST, 0, out), -EINVAL);
    assert_int_equal(space_log_stop(s), 0);
    TS_REFUSED(&t, space_zap(&b->s, TS_GUEST, 4096), -EOPNOTSUPP, ts_judge);
    TS_REFUSED(&t, space_zap(s, TS_GUEST, 0), -EINVAL, ts_judge);
    TS_REFUSED(&t, space_zap(s, ~0xfffull, 8192), -ERANGE, ts_judge);
    assert_int_equal(space_map(s, 4 * TS_GUEST, TS_HOST, 2 * MIB, RW), 0);
    TS_REFUSED(&t, space_zap(s, 4 * TS_GUEST, 4096), -EBUSY, ts_judge);
    assert_int_equal(space_age(s, TS_GUEST, 0, &young), -EINVAL);
    close_world();
}

/* ---- zap, age, neighbours ---- */

static void zap_and_age(void **state)
{
    uint64_t oa;
    bool young;

    (void)state;
    for (uint8_t bbm = 0; bbm <= 2; bbm += 2) {
        open_world(97 + bbm);
        struct ts_tree *a = open_tree(0, TS_CPU, bbm, false, false);

        write_page(0, 700);
        assert_int_equal(tp_count(&a->s.pt).leaves[2], 1);
        assert_int_equal(space_age(&a->s, TS_GUEST, LEN, &young), 0);
        assert_true(young);
        assert_int_equal(space_age(&a->s, TS_GUEST, LEN, &young), 0);
        assert_false(young);
        write_page(0, 700); /* the TLB would not set the flag, had it not been made to forget */
        assert_int_equal(space_age(&a->s, TS_GUEST, 512 << 12, &young), 0);
        assert_false(young);
        assert_int_equal(space_age(&a->s, TS_GUEST + (701 << 12), 4096, &young), 0);
        tp_assert(young, "use-not-seen\n");
        assert_int_equal(space_zap(&a->s, TS_GUEST + (600 << 12), 4096), 0);
        assert_int_equal(ts_at(a, TS_GUEST + (700 << 12), NULL), 0);
        struct model_xlat x;

        tp_assert(model_tlb_translate(a->w[0].tlb, &a->w[0].ctx, TS_GUEST + (700 << 12),
                                      (struct model_access){ .what = MODEL_R, .user = true },
                                      &x) == MODEL_FAULT_TRANSLATION,
                  "used-after-zap\n");
        assert_int_equal(tp_count(&a->s.pt).tables, 0);
        write_page(0, 700);
        /* Neighbours: the aligned 64K around, as far as they are of the same kind. */
        assert_int_equal(ts_convert(&t, 1030, 1, true, GMEM_KEEP), 0);
        assert_int_equal(ts_convert(&t, 1038, 1, true, GMEM_KEEP), 0);
        a->s.fault_around = 8;
        write_page(0, 1029);
        for (uint64_t p = 1024; p < 1040; p++) {
            oa = ts_at(a, TS_GUEST + (p << 12), NULL);
            assert_int_equal(oa, p > 1031 ? 0 : (p == 1030 ? t.p1[p] : t.p0[p]));
        }
        assert_int_equal(a->s.around, 7);
        close_world();
    }
    /* The host's window: only what is lent. */
    open_world(99);
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);
    struct ts_tree *h = ts_tree(&t, 2, "host", TS_CPU, &cfg);

    assert_int_equal(space_bind(&h->s, &t.gm, VIEW_HOST, 0, 0, PAGES, RW, false), 0);
    assert_int_equal(ts_convert(&t, 40, 4, true, GMEM_KEEP), 0);
    assert_int_equal(ts_convert(&t, 42, 1, false, GMEM_KEEP), 0);
    assert_int_equal(space_fault(&h->s, t.p1[40], PT_READ), 0);
    for (uint64_t p = 0; p < 64; p++) {
        oa = ts_at(h, t.p1[p], NULL);
        tp_assert(oa == (p == 40 || p == 41 || p == 43 ? t.p1[p] : 0), "host-window: page %lu\n",
                  (unsigned long)p);
        assert_int_equal(ts_at(h, t.p0[p], NULL), 0);
    }
    TS_REFUSED(&t, space_log_start(&h->s, SPACE_LOG_WRITE_PROTECT, TS_POOL, LEN, bits), -EINVAL,
               ts_judge); /* a log knows guests' pages */
    close_world();
}

/* A conversion that comes while a zap waits for walkers finds nothing to take away: it must not be done
 * before the zap is. (Found by the torture run.) */
static atomic_bool begun, converted;

static void *converts(void *arg)
{
    (void)arg;
    atomic_store(&begun, true);
    assert_int_equal(gmem_convert(&t.gm, 3, 1, true, GMEM_KEEP), 0);
    atomic_store(&converted, true);
    return NULL;
}

static void in_zap(struct ts *world, struct ts_walker *w)
{
    static pthread_t th;

    (void)world;
    if (w->tree != &t.tree[0] || atomic_exchange(&begun, true)) {
        return;
    }
    pthread_create(&th, NULL, converts, NULL);
    pthread_detach(th);
    for (unsigned i = 0; i < 100 && !atomic_load(&converted); i++) {
        usleep(1000);
    }
    tp_assert(!atomic_load(&converted), "converted-before-zapped\n");
}

static void zap_then_convert(void **state)
{
    (void)state;
    open_world(120);
    struct ts_tree *a = open_tree(0, TS_CPU, 2, false, false);

    write_page(0, 3);
    t.in_wait = in_zap;
    assert_int_equal(space_zap(&a->s, TS_GUEST, 4096), 0);
    while (!atomic_load(&converted)) {
        usleep(100);
    }
    t.in_wait = NULL;
    t.want[3] = GMEM_SHARED;
    write_page(0, 3);
    assert_int_equal(ts_at(a, TS_GUEST + (3 << 12), NULL), t.p1[3]);
    close_world();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_protect), cmocka_unit_test(dirty_bit),
        cmocka_unit_test(dirty_leaves),  cmocka_unit_test(log_follows),
        cmocka_unit_test(explicit_maps), cmocka_unit_test(refusals),
        cmocka_unit_test(zap_and_age),   cmocka_unit_test(zap_then_convert),
    };

    return cmocka_run_group_tests_name("space_log", tests, NULL, NULL);
}
