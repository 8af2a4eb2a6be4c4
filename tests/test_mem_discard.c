/* SPDX-License-Identifier: BSD-2-Clause */
/* The four policies: what keeps its content, what is punched and when, and never what is in use. */
#include "lib_space.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include <tenon/discard.h>

enum { PAGES = 4 * 512 };
static struct gmem gm;
static struct gmem_discard d;

static uint64_t *word(unsigned copy, uint64_t page)
{
    return port_va((copy == 0 ? gm.priv : gm.shared)[page / 512] + page % 512 * 4096);
}

/* What is punched must be out of use, and held: nobody can pin it meanwhile. */
static void punch(uint64_t pa, uint64_t len)
{
    for (uint64_t a = pa; a < pa + len; a += 4096) {
        struct frame f = frame_get(a);

        tp_assert((f.flags & FRAME_HELD) != 0 && f.pins == 0 && f.borrower == OWNER_NONE,
                  "punched-in-use: frame %#lx\n", (unsigned long)a);
        for (uint64_t p = 0; p < PAGES; p++) {
            if (gmem_frame(&gm, p) == a) {
                fail_msg("punched-in-use: page %lu", (unsigned long)p);
            }
        }
    }
    memset(port_va(pa), 0, len);
}

static void open_all(void (*how)(uint64_t, uint64_t), uint64_t max_pages, uint64_t max_ns)
{
    uint64_t cursor;

    ts_memory(8, false);
    assert_int_equal(gmem_create(&gm, TS_VM, PAGES, true), 0);
    while (gmem_scrub(&gm, &cursor, 64) != 0) {
    }
    for (uint64_t p = 0; p < PAGES; p++) {
        *word(0, p) = p + 1;
        *word(1, p) = p + 0x10000;
    }
    assert_int_equal(gmem_discard_init(&d, &gm, how, max_pages, max_ns), 0);
}

static void close_all(void)
{
    uint64_t cursor = 0;

    gmem_discard_fini(&d);
    while (gmem_destroy_step(&gm, &cursor, 64) == 1) {
    }
    assert_int_equal(frame_chunks_free(), 8);
    assert_int_equal(gm.states.nodes, 0);
}

static void policies(void **state)
{
    struct gmem single;
    uint64_t cursor = 0;

    (void)state;
    open_all(punch, 1000, ~0ull);
    /* Keep: both copies live. */
    assert_int_equal(gmem_discard_convert(&d, 5, 10, true, GMEM_KEEP), 0);
    assert_int_equal(*word(0, 7), 8);
    assert_int_equal(gmem_discard_convert(&d, 5, 10, false, GMEM_KEEP), 0);
    assert_int_equal(*word(1, 7), 0x10007);
    assert_int_equal(d.punched, 0);
    /* At once, in either direction, exactly the range. */
    assert_int_equal(gmem_discard_convert(&d, 5, 10, true, GMEM_DISCARD), 0);
    tp_assert(*word(0, 5) == 0 && *word(0, 14) == 0, "not-discarded\n");
    assert_true(*word(0, 4) == 5 && *word(0, 15) == 16 && *word(1, 7) == 0x10007);
    assert_int_equal(gmem_discard_convert(&d, 5, 10, false, GMEM_DISCARD), 0);
    assert_int_equal(*word(1, 7), 0);
    assert_int_equal(d.punched, 20);
    assert_int_equal(d.waiting, 0);
    /* In place: nothing goes out of use. */
    assert_int_equal(gmem_discard_convert(&d, 100, 3, true, GMEM_INPLACE), 0);
    assert_int_equal(gmem_discard_convert(&d, 100, 3, false, GMEM_DISCARD), 0);
    assert_true(*word(0, 100) == 101 && *word(1, 100) == 0x10064);
    assert_int_equal(d.punched, 20);
    /* Refusals. */
    assert_int_equal(gmem_discard_convert(&d, 0, 1, true, 4), -EINVAL);
    assert_int_equal(gmem_discard_convert(&d, 0, 1, true, -1), -EINVAL);
    assert_int_equal(gmem_discard_convert(&d, 0, 0, true, GMEM_LAZY), -EINVAL);
    assert_int_equal(gmem_discard_convert(&d, PAGES, 1, true, GMEM_LAZY), -EFAULT);
    assert_int_equal(gmem_discard_convert(&d, 0, 1, false, GMEM_LAZY), -EALREADY);
    assert_int_equal(d.waiting, 0);
    close_all();
    ts_memory(1, false);
    assert_int_equal(gmem_create(&single, TS_VM, 512, false), 0);
    assert_int_equal(gmem_discard_init(&d, &single, punch, 1, 1), -EINVAL);
    while (gmem_destroy_step(&single, &cursor, 64) == 1) {
    }
}

static void lazy(void **state)
{
    (void)state;
    open_all(punch, 40, ~0ull);
    /* The page that comes back in time is not punched, and counts no more. */
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(gmem_discard_convert(&d, 9, 2, true, GMEM_LAZY), 0);
        assert_int_equal(gmem_discard_convert(&d, 9, 2, false, GMEM_LAZY), 0);
    }
    assert_int_equal(d.punches, 0);
    tp_assert(d.waiting == 2, "lazy-count: %lu\n", (unsigned long)d.waiting);
    assert_true(*word(0, 9) == 10 && *word(1, 9) == 0x10009);
    /* A copy that was to be kept in the end is kept, whatever was said before. */
    assert_int_equal(gmem_discard_convert(&d, 200, 4, true, GMEM_LAZY), 0);
    assert_int_equal(gmem_discard_convert(&d, 200, 4, false, GMEM_KEEP), 0);
    assert_int_equal(gmem_discard_convert(&d, 200, 4, true, GMEM_KEEP), 0);
    uint64_t ran = gmem_discard_run(&d, ~0ull);

    tp_assert(*word(0, 200) == 201 && *word(1, 201) == 0x10000 + 201, "kept-copy-punched\n");
    assert_int_equal(ran, 2);
    assert_int_equal(*word(1, 9), 0);
    /* Somebody converted it by the plain call: the mark is there still, but the copy is in use. */
    assert_int_equal(gmem_discard_convert(&d, 300, 2, true, GMEM_LAZY), 0);
    assert_int_equal(gmem_convert(&gm, 300, 2, false, GMEM_KEEP), 0);
    (void)gmem_discard_run(&d, ~0ull);
    tp_assert(*word(0, 300) == 301, "punched-in-use: page 300\n");
    assert_int_equal(gmem_discard_convert(&d, 300, 2, true, GMEM_KEEP), 0);
    assert_int_equal(d.waiting, 0);
    /* Bounded in pages: half of them in each generation; neighbours go in one call. */
    d.punches = 0;
    for (uint64_t p = 600; p <= 640; p++) {
        tp_assert(d.waiting <= d.max_pages, "lazy-without-bound: %lu wait\n",
                  (unsigned long)d.waiting);
        assert_int_equal(*word(0, 600), 601);
        assert_int_equal(gmem_discard_convert(&d, p, 1, true, GMEM_LAZY), 0);
    }
    tp_assert(d.waiting == 20 && *word(0, 600) == 0 && *word(0, 620) == 0,
              "lazy-without-bound: %lu wait\n", (unsigned long)d.waiting);
    assert_int_equal(*word(0, 621), 622);
    assert_int_equal(d.punches, 1);
    /* More than may wait at once. */
    assert_int_equal(gmem_discard_convert(&d, 650, 41, true, GMEM_LAZY), 0);
    tp_assert(d.waiting == 0 && *word(0, 621) == 0 && *word(0, 690) == 0,
              "lazy-without-bound: %lu wait\n", (unsigned long)d.waiting);
    /* Bounded in time. */
    assert_int_equal(gmem_discard_convert(&d, 700, 1, true, GMEM_LAZY), 0);
    assert_int_equal(d.waiting, 1);
    d.max_ns = 0;
    uint64_t now = port_now();

    while (port_now() == now) {
    }
    for (uint64_t p = 800; p < 800 + GMEM_LOOK; p++) {
        assert_int_equal(gmem_discard_convert(&d, p, 1, true, GMEM_LAZY), 0);
    }
    tp_assert(*word(0, 700) == 0 && d.waiting < GMEM_LOOK, "lazy-without-bound: in time\n");
    (void)gmem_discard_run(&d, ~0ull);
    d.max_ns = ~0ull;
    /* Refused: what waited waits on. Pinned: it is not punched. */
    assert_int_equal(gmem_discard_convert(&d, 900, 2, true, GMEM_LAZY), 0);
    assert_int_equal(frames_pin(gmem_frame(&gm, 901), 1, OWNER_HOST), 0);
    assert_int_equal(gmem_discard_convert(&d, 900, 2, false, GMEM_LAZY), -EBUSY);
    tp_assert(d.waiting == 2, "lazy-count: %lu after a refusal\n", (unsigned long)d.waiting);
    assert_int_equal(frames_pin(gm.priv[1] + 901 % 512 * 4096, 1, TS_VM), 0);
    assert_int_equal(gmem_discard_run(&d, ~0ull), 0);
    tp_assert(*word(0, 901) == 902, "punched-in-use: a pinned copy\n");
    assert_int_equal(frames_unpin(gm.priv[1] + 901 % 512 * 4096, 1, TS_VM), 0);
    assert_int_equal(gmem_discard_run(&d, 1), 2);
    assert_int_equal(*word(0, 901), 0);
    assert_int_equal(frames_unpin(gmem_frame(&gm, 901), 1, OWNER_HOST), 0);
    close_all();
}

static void flip(uint64_t p, uint64_t n)
{
    assert_int_equal(gmem_discard_convert(&d, p, n, true, GMEM_LAZY), 0);
    assert_int_equal(gmem_discard_convert(&d, p, n, false, GMEM_LAZY), 0);
}

/* Pages that change all the time are never punched; those that do not are, in pages and in time. */
static void hot_and_cold(void **state)
{
    const uint64_t hour = 3600000000000u;

    (void)state;
    open_all(punch, 40, hour);
    for (uint64_t p = 600; p < 900; p++) {
        flip(9, 2);
        assert_int_equal(gmem_discard_convert(&d, p, 1, true, GMEM_LAZY), 0);
        tp_assert(*word(0, 9) == 10 && *word(1, 10) == 0x1000a, "hot-page-punched: after %lu\n",
                  (unsigned long)(p - 600));
        tp_assert(d.waiting <= 40, "lazy-without-bound: %lu wait\n", (unsigned long)d.waiting);
        tp_assert(p < 640 || *word(0, p - 40) == 0, "lazy-without-bound: page %lu\n",
                  (unsigned long)p - 40);
    }
    assert_int_equal(d.spared, 2 * 2 * 300 - 2);
    assert_true(d.punched + d.waiting == 300 + 2);
    /* Each time half of the hour has gone, a generation goes. */
    (void)gmem_discard_run(&d, ~0ull);
    *word(0, 9) = 10;
    *word(1, 9) = 0x10009;
    assert_int_equal(gmem_discard_convert(&d, 1000, 3, true, GMEM_LAZY), 0);
    for (unsigned halves = 1; halves <= 3; halves++) {
        d.turned -= hour / 2;
        for (unsigned i = 0; i < GMEM_LOOK; i++) {
            flip(9, 1);
        }
        tp_assert(*word(0, 9) == 10 && *word(1, 9) == 0x10009, "hot-page-punched: in time\n");
        tp_assert((*word(0, 1001) == 0) == (halves >= 2), "lazy-without-bound: %u halves\n",
                  halves);
    }
    /* After an hour without a conversion nothing is young. */
    d.turned -= hour;
    for (unsigned i = 0; i < GMEM_LOOK; i++) {
        assert_int_equal(gmem_discard_convert(&d, 1100 + i, 1, true, GMEM_LAZY), 0);
    }
    tp_assert(*word(1, 9) == 0, "lazy-without-bound: young\n");
    close_all();
}

/* No table page to remember what waits: refused before anything is converted. */
static void no_memory(void **state)
{
    (void)state;
    open_all(punch, 1000, ~0ull);
    assert_int_equal(gmem_convert(&gm, 0, 1, true, GMEM_KEEP), 0); /* the states have their leaf */
    ts_drain(1);
    assert_int_equal(gmem_discard_convert(&d, 7, 1, true, GMEM_LAZY), -ENOMEM);
    assert_int_equal(gmem_state(&gm, 7), GMEM_PRIVATE);
    assert_int_equal(frame_tables_free(), 1);
    assert_int_equal(gmem_discard_convert(&d, 7, 1, true, GMEM_KEEP), 0);
    ts_refill();
    close_all();
}

/* ---- beside each other ---- */

static atomic_uint bad;
static atomic_bool stop;

static void punch_only(uint64_t pa, uint64_t len)
{
    memset(port_va(pa), 0, len);
}

/* Each has pages of its own; what it writes into the copy in use stays there while it is in use. */
static void *converter(void *arg)
{
    uint64_t r = (uintptr_t)arg + 1, base = (uintptr_t)arg * 700;

    for (unsigned i = 0; i < TP_STEPS(3000); i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t p = base + (r >> 33) % 600, n = 1 + (r >> 20) % 3;
        bool to_shared = gmem_look(&gm, p, NULL) == GMEM_PRIVATE;

        if (gmem_discard_convert(&d, p, n, to_shared,
                                 (r >> 50) % 3 == 0 ? GMEM_DISCARD : GMEM_LAZY) == 0) {
            uint64_t pa;

            (void)gmem_look(&gm, p, &pa);
            *(uint64_t *)port_va(pa) = r;
            sched_yield();
            if (*(uint64_t *)port_va(pa) != r) {
                atomic_fetch_add(&bad, 1);
            }
        }
    }
    return NULL;
}

static void *worker(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop)) {
        (void)gmem_discard_run(&d, 50);
    }
    return NULL;
}

static void together(void **state)
{
    pthread_t th[3];

    (void)state;
    open_all(punch_only, 30, 1000000);
    assert_int_equal(pthread_create(&th[2], NULL, worker, NULL), 0);
    for (uintptr_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&th[i], NULL, converter, (void *)i), 0);
    }
    pthread_join(th[0], NULL);
    pthread_join(th[1], NULL);
    atomic_store(&stop, true);
    pthread_join(th[2], NULL);
    tp_assert(atomic_load(&bad) == 0, "punched-in-use: %u times\n", atomic_load(&bad));
    (void)gmem_discard_run(&d, ~0ull);
    assert_int_equal(d.waiting, 0);
    close_all();
}

/* ---- on a real memfd ---- */

static void memfd(void **state)
{
    (void)state;
    assert_int_equal(hosted_memfd(TS_POOL + 4096, 4096, 21), -EINVAL);
    assert_int_equal(hosted_memfd(TS_POOL, 4096, 13), -EINVAL);
    assert_int_equal(hosted_memfd(TS_POOL, 0, 12), -EINVAL);
    assert_int_equal(hosted_memfd(TS_POOL, HOSTED_SIZE, 12), -EINVAL);
    assert_int_equal(hosted_memfd(TS_POOL, 8 * CHUNK_SIZE, 12), 0);
    open_all(hosted_punch, 1000, ~0ull);
    uint64_t before = hosted_memfd_bytes(TS_POOL);

    assert_int_equal(gmem_discard_convert(&d, 100, 200, true, GMEM_DISCARD), 0);
    tp_assert(hosted_memfd_bytes(TS_POOL) == before - 200 * 4096, "not-discarded: %lu bytes\n",
              (unsigned long)hosted_memfd_bytes(TS_POOL));
    assert_int_equal(*word(0, 100), 0);
    assert_int_equal(*word(0, 99), 100);
    assert_int_equal(*word(0, 300), 301);
    close_all();
}

/* n frames of that size, where the machine has some to spare; the first is given back. */
static void large(uint64_t at, unsigned shift, uint64_t n)
{
    uint64_t size = (uint64_t)1 << shift;
    int err = hosted_memfd(at, n * size, shift);

    if (err != 0) {
        print_message("%lu frames of %lu MiB are not to be had here: %s\n", (unsigned long)n,
                      (unsigned long)(size >> 20), strerror(-err));
        skip();
    }
    assert_int_equal(hosted_memfd_bytes(at), n * size); /* taken at once */
    *(uint8_t *)port_va(at) = 6;
    *(uint8_t *)port_va(at + n * size - 1) = 7;
    hosted_punch(at, size);
    tp_assert(hosted_memfd_bytes(at) == (n - 1) * size, "not-discarded: %lu bytes\n",
              (unsigned long)hosted_memfd_bytes(at));
    if (n != 1) { /* nobody touches what may be another process's by now */
        assert_int_equal(*(uint8_t *)port_va(at + n * size - 1), 7);
    }
}

static void huge(void **state)
{
    (void)state;
    large(TS_POOL + 8 * CHUNK_SIZE, 21, 2);
}

static void giant(void **state)
{
    (void)state;
    large(HOSTED_BASE + 4 * GIB, 30, 1);
}

/* KVM's own memory for guests, where this process may have some. */
static void guest_memfd(void **state)
{
    uint64_t at = TS_POOL + 10 * CHUNK_SIZE;
    int err = hosted_guest_memfd(at, CHUNK_SIZE);

    (void)state;
    assert_int_equal(hosted_guest_memfd(at + 1, CHUNK_SIZE), -EINVAL);
    if (err != 0) {
        print_message("no guest_memfd that can be mapped here: %s\n", strerror(-err));
        skip();
    }
    memset(port_va(at), 7, CHUNK_SIZE);
    hosted_punch(at + 4096, 4096);
    assert_int_equal(*(uint8_t *)port_va(at + 4095), 7);
    assert_int_equal(*(uint8_t *)port_va(at + 4096), 0);
    assert_int_equal(*(uint8_t *)port_va(at + 8192), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies),  cmocka_unit_test(lazy),     cmocka_unit_test(hot_and_cold),
        cmocka_unit_test(no_memory), cmocka_unit_test(together), cmocka_unit_test(memfd),
        cmocka_unit_test(huge),      cmocka_unit_test(giant),    cmocka_unit_test(guest_memfd),
    };

    return cmocka_run_group_tests_name("mem_discard", tests, NULL, NULL);
}
