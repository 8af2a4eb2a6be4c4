/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory objects: life, content, state of pages, and destruction under all circumstances. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

#include "mem/state.h"

static void scrub(struct gmem *gm)
{
    uint64_t cursor, steps = 0;

    while (gmem_scrub(gm, &cursor, 1) == 1) {
        assert_int_equal(cursor, ++steps);
    }
    assert_int_equal(cursor, gm->npages / 512 * (gm->separate ? 2 : 1));
}

static int destroy(struct gmem *gm)
{
    uint64_t cursor = 0;
    int more;

    while ((more = gmem_destroy_step(gm, &cursor, 1)) == 1) {
    }
    return more;
}

static void create_all_or_nothing(void **state)
{
    struct gmem gm;

    (void)state;
    ts_memory(8, true);
    struct ts_frames f = ts_frames();
    uint64_t tables = frame_tables_free();

    assert_int_equal(gmem_create(&gm, TS_VM, 0, false), -EINVAL);
    assert_int_equal(gmem_create(&gm, TS_VM, 511, false), -EINVAL);
    assert_int_equal(gmem_create(&gm, TS_VM, 2049 * 512, false), -EINVAL);
    assert_int_equal(gmem_create(&gm, OWNER_NONE, 512, false), -EINVAL);
    assert_int_equal(gmem_create(&gm, TS_VM, ~0ull << 9, false), -EINVAL);
    assert_int_equal(gmem_create(&gm, TS_VM, 9 * 512, false), -ENOMEM);
    assert_int_equal(gmem_create(&gm, TS_VM, 5 * 512, true), -ENOMEM); /* the second copy */
    ts_frames_same(&f, 0);
    assert_int_equal(frame_tables_free(), tables);
    for (uint64_t left = 0;; left++) {
        ts_drain(left);
        struct ts_frames before = ts_frames();
        int err = gmem_create(&gm, TS_VM, 4 * 512, true);

        if (err == 0) {
            assert_true(left >= 1);
            free(before.f);
            break;
        }
        assert_int_equal(err, -ENOMEM);
        ts_frames_same(&before, 0);
        assert_int_equal(frame_tables_free(), left);
        ts_refill();
    }
    ts_refill();
    assert_int_equal(frame_chunks_free(), 0);
    assert_int_equal(destroy(&gm), 0);
    assert_int_equal(frame_chunks_free(), 8);
    assert_int_equal(frame_tables_free(), tables);
}

/* B8, B5: nothing of a former life is ever seen; content only before launch. */
static void content(void **state)
{
    struct gmem gm;
    static uint8_t data[5000];

    (void)state;
    ts_memory(4, true);
    memset(port_va(TS_POOL), 0x77, 4 * CHUNK_SIZE);
    memset(data, 0x11, sizeof(data));
    assert_int_equal(gmem_create(&gm, TS_VM, 2 * 512, true), 0);
    assert_int_equal(gmem_populate(&gm, 0, data, 1), -EBUSY); /* scrubbing would wipe it */
    assert_int_equal(gmem_convert(&gm, 0, 1, true, GMEM_KEEP), -EBUSY);
    assert_int_equal(gmem_convert(&gm, 0, 1, true, GMEM_INPLACE), -EBUSY);
    scrub(&gm);
    for (uint64_t pa = TS_POOL; pa < TS_POOL + 4 * CHUNK_SIZE; pa++) {
        if (*(uint8_t *)port_va(pa) != 0) {
            fail_msg("former-content-seen");
        }
    }
    assert_int_equal(gmem_populate(&gm, CHUNK_SIZE - 1000, data, sizeof(data)), 0);
    uint64_t size = 2 * CHUNK_SIZE;

    assert_int_equal(gmem_populate(&gm, size - 100, data, 101), -EFAULT);
    assert_int_equal(gmem_populate(&gm, size + 1, data, 0), -EFAULT);
    assert_int_equal(gmem_populate(&gm, 5, data, ~0ull), -EFAULT);
    assert_int_equal(gmem_populate(&gm, ~0ull, data, 2), -EFAULT);
    assert_int_equal(gmem_populate(&gm, size, data, 0), 0);
    for (uint64_t i = 0; i < size; i++) {
        const uint8_t *b = port_va(gm.priv[i / CHUNK_SIZE] + i % CHUNK_SIZE);
        bool in = i >= CHUNK_SIZE - 1000 && i < CHUNK_SIZE + 4000;

        assert_int_equal(*b, in ? 0x11 : 0);
    }
    gmem_seal(&gm);
    int err = gmem_populate(&gm, 0, data, 1);

    tp_assert(err == -EPERM, "populate-after-seal: %d\n", err);
    assert_int_equal(*(uint8_t *)port_va(gm.priv[0]), 0);
    assert_int_equal(destroy(&gm), 0);
    assert_int_equal(gmem_create(&gm, TS_VM, 512, false), 0);
    assert_false(frame_may_use(gm.priv[0], TS_VM)); /* before it is scrubbed again */
    assert_int_equal(destroy(&gm), 0);
}

/* States, runs and counts against a plain array. */
static void states(void **state)
{
    struct ts t = { .rng = 3 };
    struct gmem gm;
    enum { N = 40 * 512 };
    static uint8_t want[N];

    (void)state;
    memset(want, 0, sizeof(want));
    ts_memory(80, false);
    assert_int_equal(gmem_create(&gm, TS_VM, N, true), 0);
    scrub(&gm);
    for (unsigned i = 0; i < TP_STEPS(600); i++) {
        uint64_t page = ts_rand(&t, N), n = 1 + ts_rand(&t, ts_rand(&t, 2) ? 3 : 2000), m = 1;
        bool chunky = ts_rand(&t, 3) == 0;

        page = chunky ? page & ~511ull : page;
        n = chunky ? 512 : n;
        while (page + m < N && m < n && want[page + m] == want[page]) {
            m++;
        }
        enum gmem_policy policy = ts_rand(&t, 2) ? GMEM_KEEP : GMEM_INPLACE;
        bool to_shared = want[page] == 0;

        assert_int_equal(gmem_convert(&gm, page, m, to_shared, policy), 0);
        memset(want + page, !to_shared ? 0 : policy == GMEM_KEEP ? 1 : 2, m);
        /* Look around the edges, and at random. */
        for (unsigned k = 0; k < 20; k++) {
            uint64_t p = k < 4 ? page + m * (k / 2) - k % 2 : ts_rand(&t, N);
            uint64_t end = p + 1, len = 1 + ts_rand(&t, 1500);
            bool guest = k & 1, uniform = true;

            if (p >= N) {
                continue;
            }
            while (end < N && want[end] == want[p]) {
                end++;
            }
            assert_int_equal(gmem_state(&gm, p), want[p]);
            assert_int_equal(gmem_run_end(&gm, p), end);
            assert_int_equal(gmem_frame(&gm, p), gmem_at(want[p] == 1 ? gm.shared : gm.priv, p));
            uint64_t cap = p + 1 + ts_rand(&t, 900);

            cap = cap < N ? cap : N;
            assert_int_equal(gmem_run_until(&gm, p, cap), end < cap ? end : cap);
            if (k % 3 == 0) {
                p &= ~511ull;
                len = 512 * (1 + ts_rand(&t, 4));
            }
            len = len < N - p ? len : N - p;
            for (uint64_t q = p; q < p + len; q++) {
                uniform =
                    uniform && (guest ? (want[q] == 1) == (want[p] == 1) : want[q] == want[p]);
            }
            assert_int_equal(gmem_uniform(&gm, p, len, guest), uniform);
        }
        for (unsigned k = 0; k < 20; k++) {
            uint64_t p = ts_rand(&t, N), len = 1 + ts_rand(&t, N - p);
            enum gmem_state s = (enum gmem_state)ts_rand(&t, 3);

            len = k % 2 ? 1 + len % 600 : len;
            assert_int_equal(gmem_any(&gm, p, len, s), memchr(want + p, (int)s, len) != NULL);
        }
    }
    assert_int_equal(destroy(&gm), 0);
    assert_int_equal(frame_chunks_free(), 80);
}

/* An unclean end: pages still lent, some pinned by the host, devices perhaps still running. */
static void destroy_while_used(void **state)
{
    struct gmem gm;
    uint64_t cursor = 0;

    (void)state;
    ts_memory(6, false);
    assert_int_equal(gmem_create(&gm, TS_VM, 3 * 512, true), 0);
    scrub(&gm);
    assert_int_equal(gmem_convert(&gm, 10, 700, true, GMEM_KEEP), 0);
    assert_int_equal(gmem_convert(&gm, 800, 7, true, GMEM_INPLACE), 0);
    uint64_t pinned[] = { gmem_frame(&gm, 500), gmem_frame(&gm, 806) };

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(frames_pin(pinned[i], 1, OWNER_HOST), 0);
        struct ts_frames f = ts_frames();

        assert_int_equal(destroy(&gm), -EBUSY);
        ts_frames_same(&f, 0); /* and it lives on */
        assert_int_equal(gmem_convert(&gm, 5, 1, true, GMEM_KEEP), 0);
        assert_int_equal(gmem_convert(&gm, 5, 1, false, GMEM_KEEP), 0);
        /* Between two steps. */
        cursor = 0;
        f = ts_frames();
        assert_int_equal(frames_unpin(pinned[i], 1, OWNER_HOST), 0);
        assert_int_equal(gmem_destroy_step(&gm, &cursor, 1 + i), 1);
        assert_int_equal(frames_pin(pinned[i], 1, OWNER_HOST), i == 0 ? 0 : -EBUSY);
        assert_int_equal(gmem_convert(&gm, 5, 1, true, GMEM_KEEP), -EBUSY);
        assert_int_equal(gmem_populate(&gm, 0, &cursor, 1), -EBUSY);
        while (gmem_destroy_step(&gm, &cursor, 1) == 1 && i == 0) {
        }
        if (i == 0) {
            assert_int_equal(cursor, 0);
            ts_frames_same(&f, 0);
            assert_int_equal(frames_unpin(pinned[i], 1, OWNER_HOST), 0);
        } else {
            free(f.f);
            assert_int_equal(gmem_destroy_step(&gm, &(uint64_t){ 100 }, 1), -EINVAL);
            while (gmem_destroy_step(&gm, &cursor, 2) == 1) {
            }
        }
    }
    assert_int_equal(frame_chunks_free(), 6);
    for (uint64_t pa = TS_POOL; frame_valid(pa); pa += 4096) {
        ts_frame_is(pa, (struct frame){ .owner = OWNER_NONE, .flags = FRAME_DIRTY });
    }
}

static void followers_keep_it(void **state)
{
    struct follower f = { 0 }, g = { 0 };
    struct gmem gm;
    uint64_t cursor = 0;

    (void)state;
    ts_memory(1, false);
    assert_int_equal(gmem_create(&gm, TS_VM, 512, false), 0);
    scrub(&gm);
    gmem_follow(&gm, &f); /* one thread: no lock needed */
    gmem_follow(&gm, &g);
    assert_int_equal(gmem_destroy_step(&gm, &cursor, 100), -EBUSY);
    gmem_unfollow(&gm, &f);
    gmem_unfollow(&gm, &f); /* no harm */
    assert_int_equal(gmem_destroy_step(&gm, &cursor, 100), -EBUSY);
    gmem_unfollow(&gm, &g);
    assert_int_equal(gmem_destroy_step(&gm, &cursor, 100), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_all_or_nothing),
        cmocka_unit_test(content),
        cmocka_unit_test(states),
        cmocka_unit_test(destroy_while_used),
        cmocka_unit_test(followers_keep_it),
    };

    return cmocka_run_group_tests_name("mem_gmem", tests, NULL, NULL);
}
