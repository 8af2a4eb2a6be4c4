/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The range store against a plain array of states: sizes at and around every border of its tree,
 * changes of every shape, several reserved at once, every allocation refused in turn, readers beside
 * the writer, and what it costs in memory.
 */
#include "lib_space.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "mem/range_int.h"
#include "tenon/range.h"

#define MID (LEAF * 512)
#define TIB ((uint64_t)1 << 28) /* in pages */

static uint64_t rng;

static uint64_t rnd(uint64_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 20) % below;
}

/* In one call and in two, in turns. */
static void set(struct range *r, uint64_t page, uint64_t n, unsigned state)
{
    static unsigned turn;
    struct range_change c;

    if (turn++ % 2 == 0) {
        assert_int_equal(range_set(r, page, n, state), 0);
        return;
    }
    assert_int_equal(range_reserve(r, &c, page, n, state), 0);
    range_commit(r, &c);
}

/* What an entry says of its leaf is so. */
static void check_counts(const struct range *r)
{
    const uint64_t *array = range_node(r->root);

    for (uint64_t i = 0; array != NULL && i < 2 * r->leaves; i++) {
        uint64_t sum = 0;

        if ((array[i] & RANGE_NODE) == 0) {
            continue;
        }
        for (unsigned k = 0; k < WORDS; k++) {
            sum += (uint64_t)__builtin_popcountll(range_node(array[i])[k]);
        }
        tp_assert(sum == RANGE_SUM(array[i]), "wrong-count: %lu bits, not %lu\n",
                  (unsigned long)sum, (unsigned long)RANGE_SUM(array[i]));
    }
}

static uint64_t kept(const struct range *r)
{
    return sizeof(*r) + (uint64_t)r->nodes * PAGE_SIZE;
}

/* ---- against an array ---- */

static void check_runs(const struct range *r, const uint8_t *want, uint64_t n)
{
    for (uint64_t p = 0, end; p < n; p = end) {
        end = range_next(r, p, n);
        uint64_t should = p + 1;

        while (should < n && want[should] == want[p]) {
            should++;
        }
        tp_assert(range_state(r, p) == want[p], "wrong-state: page %lu is %u, not %u\n",
                  (unsigned long)p, range_state(r, p), want[p]);
        tp_assert(end == should, "wrong-run: from %lu to %lu, not %lu\n", (unsigned long)p,
                  (unsigned long)end, (unsigned long)should);
    }
}

/* A place near a border of words, lines, leaves; or anywhere. */
static uint64_t place(uint64_t n)
{
    static const uint64_t grid[] = { 64, 512, LEAF, LEAF, 1 };
    uint64_t g = grid[rnd(5)], p = rnd(n) / g * g + rnd(3);

    return p > 0 && p - 1 < n ? p - 1 : 0;
}

static void against_array(void **state)
{
    static const uint64_t sizes[] = { 1,    63,       64,           65,       LEAF - 1,
                                      LEAF, LEAF + 1, 3 * LEAF + 7, 6 * LEAF, 512 };
    struct range r;

    (void)state;
    ts_memory(0, false);
    uint64_t all = frame_tables_free();

    for (unsigned k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        uint64_t n = sizes[k];
        uint8_t *want = calloc(n, 1);

        assert_non_null(want);
        rng = 41 + k;
        range_init(&r, n);
        for (unsigned i = 0; i < TP_STEPS(250); i++) {
            uint64_t a = place(n), b = rnd(3) != 0 ? a + rnd(200) : place(n);
            unsigned s = (unsigned)rnd(4);

            if (b < a) {
                uint64_t t = a;

                a = b;
                b = t;
            }
            b = b < n ? b : n - 1;
            set(&r, a, b - a + 1, s);
            memset(want + a, (int)s, b - a + 1);
            check_counts(&r);
            for (unsigned m = 0; m < 8; m++) {
                uint64_t p = m < 4 ? (m < 2 ? a : b) + m % 2 : rnd(n), cap, end;

                if (p >= n) {
                    continue;
                }
                cap = p + 1 + rnd(n - p);
                for (end = p + 1; end < cap && want[end] == want[p]; end++) {
                }
                tp_assert(range_state(&r, p) == want[p], "wrong-state: page %lu is %u, not %u\n",
                          (unsigned long)p, range_state(&r, p), want[p]);
                assert_int_equal(range_next(&r, p, cap), end);
            }
            assert_int_equal(frame_tables_free() + r.nodes, all);
            if (rnd(10) == 0) {
                range_trim(&r);
                range_reclaim(&r);
            }
            if (i % 50 == 0) {
                check_runs(&r, want, n);
            }
        }
        check_runs(&r, want, n);
        set(&r, 0, n, 2);
        range_trim(&r);
        range_reclaim(&r);
        tp_assert(r.nodes == 0, "memory-kept: %u pages for one state\n", r.nodes);
        assert_int_equal(range_next(&r, 0, n), n);
        set(&r, n / 2, 1, 1);
        range_fini(&r);
        assert_int_equal(frame_tables_free(), all);
        free(want);
    }
}

/* Sizes that no array can hold: a list of what was set, looked up from behind. */
static void sparse(void **state)
{
    struct range r;
    struct {
        uint64_t page, n;
        unsigned state;
    } done[300] = { { 0, ~0ull, 0 } };
    unsigned nd = 1;

    (void)state;
    ts_memory(0, false);
    uint64_t all = frame_tables_free();

    for (unsigned k = 0; k < (TP_STEPS(20) > 2 ? 4u : 1u); k++) {
        uint64_t n = k == 0 ? TIB : k == 1 ? MID + 3 : k == 2 ? MID : RANGE_MAX_PAGES;

        rng = 7 + k;
        nd = 1;
        range_init(&r, n);
        while (nd < 300) {
            uint64_t grid = rnd(2) ? LEAF : MID;
            uint64_t a = rnd(3) == 0 ? n - 1 - rnd(70000) : rnd(n) / grid * grid + rnd(3);
            uint64_t len = rnd(3) == 0 ? 1 + rnd(3) : rnd(2) ? grid * (1 + rnd(4)) : rnd(n);

            a = a < n ? a : n - 1;
            len = len == 0 ? 1 : len;
            len = len < n - a ? len : n - a;
            /* Once in a while all of it, so that nodes on high levels go. */
            if (rnd(40) == 0) {
                a = 0;
                len = n;
            }
            done[nd].page = a;
            done[nd].n = len;
            done[nd].state = (unsigned)rnd(4);
            set(&r, a, len, done[nd].state);
            nd++;
            for (unsigned m = 0; m < 40; m++) {
                const uint64_t at = done[1 + rnd(nd - 1)].page + rnd(4) - 1;
                uint64_t p = m % 2 ? at : rnd(n), end;
                unsigned i = nd - 1, before;

                if (p >= n) {
                    continue;
                }
                while (p - done[i].page >= done[i].n) {
                    i--;
                }
                tp_assert(range_state(&r, p) == done[i].state,
                          "wrong-state: page %lu is %u, not %u\n", (unsigned long)p,
                          range_state(&r, p), done[i].state);
                end = range_next(&r, p, n);
                before = range_state(&r, end - 1);
                tp_assert(before == done[i].state && (end == n || range_state(&r, end) != before),
                          "wrong-run: from %lu to %lu\n", (unsigned long)p, (unsigned long)end);
            }
            if (rnd(4) == 0) {
                range_reclaim(&r);
            }
        }
        set(&r, 0, n, 0);
        range_trim(&r);
        range_reclaim(&r);
        tp_assert(r.nodes == 0, "memory-kept: %u pages for one state\n", r.nodes);
        range_fini(&r);
        assert_int_equal(frame_tables_free(), all);
    }
}

/* ---- reserve, commit, cancel ---- */

static void several_reserved(void **state)
{
    enum { N = 5 * 32768, SLOTS = 6 };
    static uint8_t want[N];
    struct range_change c[SLOTS];
    bool used[SLOTS] = { 0 }, held[SLOTS] = { 0 };
    struct range r;

    (void)state;
    ts_memory(0, false);
    uint64_t all = frame_tables_free();

    rng = 99;
    memset(want, 0, sizeof(want));
    range_init(&r, N);
    for (unsigned i = 0; i < TP_STEPS(3000); i++) {
        unsigned k = (unsigned)rnd(SLOTS);

        if (used[k]) {
            /* Whatever the others did meanwhile, it cannot fail. */
            uint64_t left = frame_tables_free();

            if (rnd(3) == 0) {
                range_cancel(&r, &c[k]);
            } else if (held[k]) {
                assert_int_equal(range_set(&r, c[k].page, c[k].n, c[k].state), 0);
                range_cancel(&r, &c[k]);
                memset(want + c[k].page, c[k].state, c[k].n);
            } else {
                range_commit(&r, &c[k]);
                memset(want + c[k].page, c[k].state, c[k].n);
            }
            tp_assert(frame_tables_free() == left, "allocated-in-commit\n");
            used[k] = false;
            if (i % 16 == 0) {
                check_runs(&r, want, N);
            }
            continue;
        }
        uint64_t a = place(N), n = rnd(3) == 0 ? LEAF * (1 + rnd(2)) : 1 + rnd(600);
        bool meets = false;

        n = n < N - a ? n : N - a;
        for (unsigned j = 0; j < SLOTS; j++) {
            meets = meets || (used[j] && a < c[j].page + c[j].n && c[j].page < a + n);
        }
        if (!meets) {
            unsigned to = (unsigned)rnd(4);

            used[k] = true;
            held[k] = rnd(2) == 0;
            if (held[k]) {
                n = 1 + n % (64 - a % 64);
                assert_int_equal(range_hold(&r, &c[k], a, n, to), 0);
                c[k] = (struct range_change){ .page = a, .n = n, .state = (uint8_t)to };
            } else {
                assert_int_equal(range_reserve(&r, &c[k], a, n, to), 0);
            }
        }
        if (rnd(8) == 0) {
            range_trim(&r);
        }
        if (rnd(8) == 0) {
            range_reclaim(&r);
        }
    }
    for (unsigned k = 0; k < SLOTS; k++) {
        if (used[k]) {
            range_cancel(&r, &c[k]);
        }
    }
    check_runs(&r, want, N);
    set(&r, 0, N, 0);
    range_trim(&r);
    range_reclaim(&r);
    tp_assert(r.nodes == 0, "memory-kept: %u pages after cancelled changes\n", r.nodes);
    assert_int_equal(frame_tables_free(), all);
}

/* A change of whole leaves needs no leaf, but it needs the array. */
static void array_stays(void **state)
{
    struct range r;
    struct range_change c;

    (void)state;
    ts_memory(0, false);
    range_init(&r, 5 * LEAF);
    assert_int_equal(range_reserve(&r, &c, LEAF, LEAF, 1), 0);
    range_trim(&r);
    range_reclaim(&r);
    range_commit(&r, &c);
    tp_assert(range_state(&r, LEAF - 1) == 0 && range_state(&r, LEAF) == 1 &&
                  range_next(&r, LEAF, 5 * LEAF) == 2 * LEAF && range_state(&r, 2 * LEAF) == 0,
              "wrong-run: a change of one leaf\n");
    range_fini(&r);
    /* What is behind the last page does not keep its leaf from being uniform. */
    range_init(&r, 3 * LEAF + 7);
    set(&r, 3 * LEAF, 3, 1);
    assert_int_equal(r.spare, 0);
    set(&r, 3 * LEAF + 3, 4, 1);
    tp_assert(r.spare == 1, "memory-kept: the last leaf is of one state\n");
    range_fini(&r);
}

static void no_memory(void **state)
{
    struct range r;
    struct range_change c;
    unsigned refused = 0;

    (void)state;
    ts_memory(0, false);
    range_init(&r, TIB);
    for (unsigned kind = 0; kind < 5; kind++) {
        static const struct {
            uint64_t page, n;
            unsigned state;
        } what[] = { { 5, 1, 1 },
                     { LEAF, LEAF, 1 },
                     { LEAF - 1, MID + 5, 3 },
                     { MID, MID, 2 },
                     { 3 * MID + LEAF - 1, 2, 1 } };

        for (uint64_t left = 0;; left++) {
            uint32_t nodes = r.nodes;

            ts_drain(left);
            int err = left % 2 == 0
                          ? range_reserve(&r, &c, what[kind].page, what[kind].n, what[kind].state)
                          : range_set(&r, what[kind].page, what[kind].n, what[kind].state);

            if (err == 0) {
                if (left % 2 == 0) {
                    range_commit(&r, &c);
                }
                ts_refill();
                break;
            }
            refused++;
            tp_assert(err == -ENOMEM && r.nodes == nodes && frame_tables_free() == left,
                      "refused-call-kept-tables: %d, %u nodes, not %u\n", err, r.nodes, nodes);
            assert_int_equal(range_state(&r, what[kind].page), 0);
            ts_refill();
        }
        assert_int_equal(range_state(&r, what[kind].page), what[kind].state);
        set(&r, 0, TIB, 0);
        range_trim(&r);
        range_reclaim(&r);
        assert_int_equal(r.nodes, 0);
    }
    assert_true(refused > 10);
}

/* ---- what it costs ---- */

static void memory(void **state)
{
    struct range r;

    (void)state;
    if (TP_STEPS(20) <= 2) {
        return; /* one thread: the thread sanitizer has nothing to say */
    }
    ts_memory(0, false);
    range_init(&r, TIB);
    assert_true(kept(&r) <= 256);
    set(&r, 0, TIB, 1);
    tp_assert(kept(&r) <= 256, "memory-kept: %lu bytes for 1 TiB of one state\n",
              (unsigned long)kept(&r));
    range_fini(&r);
    /* Every second page shared: one bit each. */
    range_init(&r, TIB / 1024);
    for (uint64_t p = 0; p < TIB / 1024; p += 2) {
        set(&r, p, 1, 1);
    }
    range_reclaim(&r);
    print_message("1 GiB alternating: %lu bytes\n", (unsigned long)kept(&r));
    tp_assert(kept(&r) <= 64 * 1024, "memory-kept: %lu bytes for 1 GiB alternating\n",
              (unsigned long)kept(&r));
    /* The worst there is: all four states. */
    for (uint64_t p = 0; p < TIB / 1024; p++) {
        set(&r, p, 1, p & 3);
    }
    range_reclaim(&r);
    print_message("1 GiB, four states in turn: %lu bytes\n", (unsigned long)kept(&r));
    assert_true(kept(&r) <= 2 * 36 * 1024 + 256);
    /* The same page again and again: memory neither comes nor goes. */
    range_fini(&r);
    range_init(&r, TIB);
    set(&r, 12345678, 1, 1);
    uint64_t left = frame_tables_free();

    for (unsigned i = 0; i < 100; i++) {
        set(&r, 12345678, 1, i & 1);
        assert_int_equal(frame_tables_free(), left);
    }
    /* Pages all over: what becomes uniform waits, until it is asked for. */
    uint32_t nodes = r.nodes;

    for (unsigned i = 0; i < 64; i++) {
        set(&r, i * 3 * LEAF + 5, 1, 1);
        set(&r, i * 3 * LEAF + 5, 1, 0);
    }
    assert_true(r.spare >= 64 && r.nodes == nodes + r.spare - 1 + (r.spare == 64));
    set(&r, 12345678, 1, 1);
    range_trim(&r);
    range_reclaim(&r);
    tp_assert(r.nodes == nodes && r.spare == 0, "memory-kept: %u pages for one odd page\n",
              r.nodes);
    set(&r, 12345678, 1, 0);
    range_trim(&r);
    range_reclaim(&r);
    assert_int_equal(r.nodes, 0);
}

/* ---- readers beside the writer ---- */

enum { R_PAGES = 8 * 32768 };
static struct range shared_range;
static atomic_uint wrong;
static atomic_bool stop;
static atomic_ulong looks;

/*
 * Pages of the last leaf never change; those of the others go between 0 and 1, so that leaves come
 * and go under the readers' eyes. Page 76 goes 1, 0, 2, 0. Leaf 6 becomes mixed, and whole again; while
 * `phase` is even its pages 8 to 32767 are all in state 1, and leaves are made over them.
 */
static atomic_uint phase;

static void *reader(void *arg)
{
    uint64_t r = (uintptr_t)arg, n = 0;

    while (!atomic_load(&stop)) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t p = 7 * LEAF + (r >> 33) % LEAF, q = (r >> 33) % (6 * LEAF), end;
        unsigned now = atomic_load(&phase);
        unsigned s = range_state(&shared_range, 6 * LEAF + 8 + (r >> 40) % (LEAF - 8));

        if ((now & 1) == 0 && s != 1 && atomic_load(&phase) == now) {
            atomic_fetch_add(&wrong, 1);
        }
        if (range_state(&shared_range, p) != (p % 3 == 0 ? 3 : 0) ||
            range_state(&shared_range, q | 1) > 1) {
            atomic_fetch_add(&wrong, 1);
        }
        for (unsigned i = 0; i < 8; i++) {
            if (range_state(&shared_range, 76) == 3) {
                atomic_fetch_add(&wrong, 1);
            }
        }
        end = range_next(&shared_range, p, R_PAGES);
        if (p % 3 == 0 && end != (p + 1 < R_PAGES ? p + 1 : R_PAGES)) {
            atomic_fetch_add(&wrong, 1);
        }
        n++;
    }
    atomic_fetch_add(&looks, n);
    return NULL;
}

static void readers(void **state)
{
    pthread_t th[2];

    (void)state;
    ts_memory(0, false);
    rng = 5;
    range_init(&shared_range, R_PAGES);
    for (uint64_t p = 7 * LEAF; p < R_PAGES; p++) {
        if (p % 3 == 0) {
            set(&shared_range, p, 1, 3);
        }
    }
    atomic_store(&phase, 1);
    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&th[i], NULL, reader, (void *)(i + 1)), 0);
    }
    for (unsigned i = 0; i < TP_STEPS(60000); i++) {
        uint64_t a = rnd(6) * LEAF, n = rnd(2) ? LEAF : 1 + rnd(2000);

        a += n == LEAF ? 0 : 128 + rnd(LEAF - 2200);
        set(&shared_range, a, n, (unsigned)rnd(2));
        for (unsigned k = 0; k < 4; k++) {
            set(&shared_range, 76, 1, k % 2 ? 0 : k + 1 - k / 2);
        }
        set(&shared_range, 6 * LEAF, LEAF - 1, 0);
        set(&shared_range, 6 * LEAF, LEAF, 1); /* its bits stay as they are, out of use */
        atomic_fetch_add(&phase, 1);
        set(&shared_range, 6 * LEAF + 3, 1, 0);
        set(&shared_range, 6 * LEAF + 3, 1, 1);
        atomic_fetch_add(&phase, 1);
    }
    atomic_store(&stop, true);
    pthread_join(th[0], NULL);
    pthread_join(th[1], NULL);
    tp_assert(atomic_load(&wrong) == 0, "reader-saw-neither: %u of %lu\n", atomic_load(&wrong),
              (unsigned long)atomic_load(&looks));
    range_fini(&shared_range);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_array),    cmocka_unit_test(sparse),
        cmocka_unit_test(several_reserved), cmocka_unit_test(array_stays),
        cmocka_unit_test(no_memory),        cmocka_unit_test(memory),
        cmocka_unit_test(readers),
    };

    return cmocka_run_group_tests_name("mem_range", tests, NULL, NULL);
}
