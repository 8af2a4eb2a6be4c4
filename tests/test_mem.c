/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames: each call, allowed or refused, against a table of what every frame must be, kept by rules
 * written down a second time here. After each call the whole table is compared.
 */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

#define HYP  OWNER_HYP
#define HOST OWNER_HOST
#define VM1  ((owner_t)(OWNER_VM0 + 1))

/* ---- the rules, once more ---- */

enum op { DONATE, SHARE, UNSHARE, PIN, UNPIN, HOLD, OPS };

static bool in_table(uint64_t pa, uint64_t n)
{
    uint64_t first = (pa - TS_BASE) / 4096;

    return pa >= TS_BASE && first < frames_count() && n <= frames_count() - first;
}

static int one(enum op op, const struct frame *f, owner_t a, owner_t b)
{
    bool rest =
        !(f->flags & (FRAME_TABLE | FRAME_DIRTY | FRAME_HELD)) && f->state != FRAME_POISONED;
    bool pins = f->pins || f->borrower_pins;

    switch (op) {
    case DONATE:
        return f->owner != a ? -EPERM : !rest || f->borrower || pins ? -EBUSY : 0;
    case SHARE:
        return f->owner != a ? -EPERM : !rest || f->borrower ? -EBUSY : 0;
    case UNSHARE:
        return f->owner != a      ? -EPERM
               : !rest            ? -EBUSY
               : f->borrower != b ? -EPERM
               : pins             ? -EBUSY
                                  : 0;
    case HOLD:
        if (b == OWNER_NONE) {
            return one(DONATE, f, a, a);
        }
        return one(UNSHARE, f, a, b);
    case PIN:
        if (f->owner != a && f->borrower != a) {
            return -EPERM;
        }
        if (!rest) {
            return -EBUSY;
        }
        return (f->owner == a ? f->pins : f->borrower_pins) == 4095 ? -ENOSPC : 0;
    default:
        if (f->owner != a && f->borrower != a) {
            return -EPERM;
        }
        return (f->owner == a ? f->pins : f->borrower_pins) == 0 ? -EINVAL : 0;
    }
}

static void change(enum op op, struct frame *f, owner_t a, owner_t b)
{
    switch (op) {
    case DONATE:
        f->owner = b;
        break;
    case SHARE:
        f->borrower = b;
        f->state = FRAME_SHARED;
        break;
    case UNSHARE:
        f->borrower = 0;
        f->state = FRAME_OWNED;
        break;
    case HOLD:
        f->flags |= FRAME_HELD;
        break;
    case PIN:
    case UNPIN: {
        int by = op == PIN ? 1 : -1;

        if (f->owner == a) {
            f->pins = (unsigned)((int)f->pins + by) & 0xfff;
        } else {
            f->borrower_pins = (unsigned)((int)f->borrower_pins + by) & 0xfff;
        }
        break;
    }
    default:
        break;
    }
}

static int expected(enum op op, struct ts_frames *want, uint64_t pa, uint64_t n, owner_t a,
                    owner_t b)
{
    bool two = op == DONATE || op == SHARE || op == UNSHARE;

    if (pa % 4096 != 0 || n == 0) {
        return -EINVAL;
    }
    if (!in_table(pa, n)) {
        return -EFAULT;
    }
    if (a == OWNER_NONE || (two && (b == OWNER_NONE || a == b))) {
        return -EINVAL;
    }
    struct frame *f = &want->f[(pa - TS_BASE) / 4096];

    for (uint64_t i = 0; i < n; i++) {
        int err = one(op, &f[i], a, b);

        if (err != 0) {
            return err;
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        change(op, &f[i], a, b);
    }
    return 0;
}

static int call(enum op op, uint64_t pa, uint64_t n, owner_t a, owner_t b)
{
    switch (op) {
    case DONATE:
        return frames_donate(pa, n, a, b);
    case SHARE:
        return frames_share(pa, n, a, b);
    case UNSHARE:
        return frames_unshare(pa, n, a, b);
    case PIN:
        return frames_pin(pa, n, a);
    case UNPIN:
        return frames_unpin(pa, n, a);
    default:
        return frames_hold(pa, n, a, b);
    }
}

/* The call, the rules, and then every frame there is. */
static int step(enum op op, uint64_t pa, uint64_t n, owner_t a, owner_t b)
{
    struct ts_frames want = ts_frames();
    int must = expected(op, &want, pa, n, a, b);
    int err = call(op, pa, n, a, b);

    tp_assert(err == must, "wrong-answer: op %d %#lx+%lu by %u to %u: %d, not %d\n", op,
              (unsigned long)pa, (unsigned long)n, a, b, err, must);
    ts_frames_same(&want, 0);
    return err;
}

static void every_refusal(void **state)
{
    const uint64_t pa = TS_HOST + 0x10000;

    (void)state;
    ts_memory(2, true);
    for (enum op op = 0; op < OPS; op++) {
        assert_int_equal(step(op, pa + 1, 1, HOST, VM1), -EINVAL);
        assert_int_equal(step(op, pa, 0, HOST, VM1), -EINVAL);
        assert_int_equal(step(op, pa, 1, OWNER_NONE, VM1), -EINVAL);
        assert_int_equal(step(op, TS_BASE - 4096, 1, HOST, VM1), -EFAULT);
        assert_int_equal(step(op, TS_BASE + (frames_count() << 12), 1, HOST, VM1), -EFAULT);
        assert_int_equal(step(op, pa, frames_count(), HOST, VM1), -EFAULT);
        assert_int_equal(step(op, pa, ~0ull, HOST, VM1), -EFAULT);
        assert_int_equal(step(op, pa, (uint64_t)1 << 52, HOST, VM1), -EFAULT);
        assert_int_equal(step(op, ~0ull << 12, 2, HOST, VM1), -EFAULT);
        assert_int_equal(step(op, 0, 1, HOST, VM1), -EFAULT);
        /* Another's, a table, a free chunk: and one of them behind three good ones. */
        assert_int_equal(step(op, pa, 1, TS_VM, VM1), -EPERM);
        assert_int_equal(step(op, TS_POOL, 1, HOST, VM1), -EPERM);
        assert_int_equal(step(op, TS_HOST + 8 * MIB - 3 * 4096, 4, HOST, VM1),
                         op == UNPIN ? -EINVAL : -EPERM);
        int err = step(op, TS_BASE + 4096, 1, HYP, VM1);

        assert_int_equal(err, op == UNPIN ? -EINVAL : -EBUSY);
    }
    for (enum op op = 0; op <= UNSHARE; op++) {
        assert_int_equal(step(op, pa, 1, HOST, HOST), -EINVAL);
        assert_int_equal(step(op, pa, 1, HOST, OWNER_NONE), -EINVAL);
    }
}

static void pins_of_two(void **state)
{
    const uint64_t pa = TS_HOST;

    (void)state;
    ts_memory(0, false);
    assert_int_equal(step(SHARE, pa, 4, HOST, TS_VM), 0);
    assert_int_equal(step(PIN, pa + 4096, 1, TS_VM, 0), 0);
    /* The owner cannot take the borrower's pin away, nor the other way round. */
    assert_int_equal(step(UNPIN, pa + 4096, 1, HOST, 0), -EINVAL);
    assert_int_equal(step(UNPIN, pa, 2, TS_VM, 0), -EINVAL);
    assert_int_equal(step(UNSHARE, pa, 4, HOST, TS_VM), -EBUSY);
    assert_int_equal(step(UNSHARE, pa, 1, HOST, TS_VM), 0);
    assert_int_equal(step(UNSHARE, pa, 1, HOST, TS_VM), -EPERM);
    assert_int_equal(step(UNSHARE, pa + 3 * 4096, 1, HOST, VM1), -EPERM);
    assert_int_equal(step(UNSHARE, pa + 3 * 4096, 1, TS_VM, HOST), -EPERM);
    assert_int_equal(step(DONATE, pa + 3 * 4096, 1, HOST, HYP), -EBUSY);
    assert_int_equal(step(SHARE, pa + 3 * 4096, 1, HOST, VM1), -EBUSY);
    assert_int_equal(step(PIN, pa + 3 * 4096, 1, VM1, 0), -EPERM);
    assert_int_equal(step(PIN, pa + 4096, 1, HOST, 0), 0);
    assert_int_equal(step(UNPIN, pa + 4096, 1, TS_VM, 0), 0);
    assert_int_equal(step(UNSHARE, pa + 4096, 1, HOST, TS_VM), -EBUSY);
    assert_int_equal(step(UNPIN, pa + 4096, 1, HOST, 0), 0);
    assert_int_equal(step(UNSHARE, pa + 4096, 3, HOST, TS_VM), 0);
    /* A pinned frame may be lent, but not given. */
    assert_int_equal(step(PIN, pa, 1, HOST, 0), 0);
    assert_int_equal(step(DONATE, pa, 1, HOST, HYP), -EBUSY);
    assert_int_equal(step(SHARE, pa, 1, HOST, TS_VM), 0);
    assert_true(frame_may_use(pa, TS_VM) && frame_may_use(pa, HOST) && !frame_may_use(pa, VM1));
    assert_false(frame_may_use(pa + 1 * GIB, HOST));
    for (unsigned i = 0; i < 4095; i++) {
        assert_int_equal(frames_pin(pa, 1, TS_VM), 0);
    }
    assert_int_equal(step(PIN, pa, 1, TS_VM, 0), -ENOSPC);
    assert_int_equal(step(PIN, pa, 1, HOST, 0), 0);
    for (unsigned i = 0; i < 4095; i++) {
        assert_int_equal(frames_unpin(pa, 1, TS_VM), 0);
    }
    assert_int_equal(step(UNPIN, pa, 1, TS_VM, 0), -EINVAL);
}

static void random_calls(void **state)
{
    struct ts t = { .rng = 5 };
    unsigned done[OPS] = { 0 }, refused[OPS] = { 0 };
    const owner_t who[] = { HOST, TS_VM, VM1, HYP };

    (void)state;
    ts_memory(0, false);
    for (unsigned i = 0; i < TP_STEPS(6000); i++) {
        enum op op = (enum op)ts_rand(&t, OPS);
        uint64_t pa = TS_HOST + ts_rand(&t, 12) * 4096;
        owner_t a = who[ts_rand(&t, 4)], b = who[ts_rand(&t, 4)];
        uint64_t n = 1 + ts_rand(&t, 2);

        struct frame is = frame_get(pa);

        if (op == PIN && ts_rand(&t, 2)) {
            op = UNPIN; /* or pins would only grow */
        }
        if (ts_rand(&t, 2)) {
            a = op == UNPIN && is.pins == 0 ? is.borrower : is.owner;
            b = op == UNSHARE || op == HOLD ? is.borrower : b;
        }
        if (step(op, pa, n, a, b) != 0) {
            refused[op]++;
            continue;
        }
        done[op]++;
        if (op == HOLD) {
            struct frame f = frame_get(pa);

            assert_int_equal(f.flags, FRAME_HELD);
            (void)step((enum op)ts_rand(&t, HOLD + 1), pa, n, a, who[ts_rand(&t, 4)]);
            owner_t to = who[1 + ts_rand(&t, 2)];

            if (ts_rand(&t, 2)) {
                frames_unhold(pa, n);
                ts_frame_is(pa, ts_frame(a, b));
            } else if (to != a) {
                frames_lend(pa, n, to);
                ts_frame_is(pa, ts_frame(a, to));
            } else {
                frames_lend(pa, n, OWNER_NONE);
                ts_frame_is(pa, ts_frame(a, OWNER_NONE));
            }
        }
    }
    for (enum op op = 0; op < OPS; op++) {
        tp_assert(done[op] > 0 && refused[op] > 0, "op %d: %u done, %u refused\n", op, done[op],
                  refused[op]);
    }
}

static void runs(void **state)
{
    struct frame f;
    uint64_t last, pa = frames_base(), n = 0, covered = 0;

    (void)state;
    ts_memory(4, true);
    assert_int_equal(step(PIN, TS_HOST + 0x5000, 3, HOST, 0), 0);
    for (; frames_run(pa, &f, &last); pa = last + 1) {
        for (uint64_t p = pa; p < last; p += 4096) {
            ts_frame_is(p, f);
        }
        covered += last - pa + 1;
        n++;
    }
    assert_int_equal(covered, frames_count() << 12);
    /* tables, hypervisor, host, host pinned, host, chunks */
    assert_int_equal(n, 6);
    assert_false(frames_run(TS_BASE - 1, &f, &last));
}

/* ---- pools ---- */

static bool zero(uint64_t pa, uint64_t len)
{
    static const uint8_t z[4096];

    for (uint64_t i = 0; i < len; i += 4096) {
        if (memcmp(port_va(pa + i), z, 4096) != 0) {
            return false;
        }
    }
    return true;
}

static void table_pool(void **state)
{
    struct ts t = { .rng = 9 };
    struct pt_pool pool = { 0 };
    uint64_t roots[40], sizes[40], all;
    unsigned n = 0;

    (void)state;
    ts_memory(0, false);
    all = frame_tables_free();
    assert_int_equal(all, TS_TABLES - 1);
    for (unsigned i = 0; i < 400; i++) {
        if (n < 40 && ts_rand(&t, 3) != 0) {
            sizes[n] = (uint64_t)1 << ts_rand(&t, 7);
            roots[n] = frame_tables_root((uint32_t)sizes[n]);
            if (roots[n] == 0) {
                continue;
            }
            assert_int_equal(roots[n] & (sizes[n] * 4096 - 1), 0);
            tp_assert(zero(roots[n], sizes[n] * 4096), "dirty-table-page\n");
            memset(port_va(roots[n]), 0xa5, sizes[n] * 4096);
            for (uint64_t k = 0; k < sizes[n]; k++) {
                struct frame f = frame_get(roots[n] + k * 4096);

                assert_true(f.owner == HYP && f.flags == FRAME_TABLE);
            }
            n++;
        } else if (n != 0) {
            unsigned k = (unsigned)ts_rand(&t, n);

            frame_tables_put(roots[k], (uint32_t)sizes[k]);
            roots[k] = roots[--n];
            sizes[k] = sizes[n];
        }
        if (ts_rand(&t, 4) == 0) {
            (void)frame_tables_reserve(&pool, (uint32_t)ts_rand(&t, 9));
        }
        uint64_t used = pool.count;

        for (unsigned k = 0; k < n; k++) {
            used += sizes[k];
        }
        assert_int_equal(frame_tables_free() + used, all);
    }
    while (pool.count > 40) {
        uint64_t pa = pt_pool_pop(&pool);

        tp_assert(zero(pa, 4096), "dirty-table-page\n");
        *(uint64_t *)port_va(pa + 512) = 1;
        frame_tables_put(pa, 1);
    }
    while (n != 0) {
        n--;
        frame_tables_put(roots[n], (uint32_t)sizes[n]);
    }
    /* All or nothing. */
    uint32_t had = pool.count;
    uint64_t left = frame_tables_free();

    assert_int_equal(frame_tables_reserve(&pool, (uint32_t)left + 1), -ENOMEM);
    assert_int_equal(pool.count, had);
    assert_int_equal(frame_tables_free(), left);
    assert_int_equal(frame_tables_reserve(&pool, (uint32_t)left), 0);
    assert_int_equal(frame_tables_root(1), 0);
    frame_tables_release(&pool);
    assert_int_equal(frame_tables_free(), all);
    assert_int_equal(frame_tables_root(3), 0);
    assert_int_equal(frame_tables_root(128), 0);
}

static void chunk_pool(void **state)
{
    uint64_t out[64], more[64];

    (void)state;
    ts_memory(20, true);
    memset(port_va(TS_POOL), 0x5a, 20 * CHUNK_SIZE);
    assert_int_equal(frame_chunks_free(), 20);
    {
        struct ts_frames f = ts_frames();

        assert_int_equal(frame_chunks_alloc(21, CHUNK_SIZE, TS_VM, out), -ENOMEM);
        assert_int_equal(frame_chunks_alloc(0, CHUNK_SIZE, TS_VM, out), -EINVAL);
        assert_int_equal(frame_chunks_alloc(1, 4096, TS_VM, out), -EINVAL);
        assert_int_equal(frame_chunks_alloc(1, 3 * CHUNK_SIZE, TS_VM, out), -EINVAL);
        assert_int_equal(frame_chunks_alloc(1, CHUNK_SIZE, OWNER_NONE, out), -EINVAL);
        ts_frames_same(&f, 0);
    }
    /* Aligned where it can be, a run where there is one, anything otherwise. */
    assert_int_equal(frame_chunks_alloc(4, 4 * CHUNK_SIZE, TS_VM, out), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(out[i], out[0] + i * CHUNK_SIZE);
    }
    assert_int_equal(out[0] & (4 * CHUNK_SIZE - 1), 0);
    assert_int_equal(frame_chunks_alloc(16, GIB, VM1, more), 0);
    assert_int_equal(frame_chunks_free(), 0);
    for (unsigned i = 0; i < 16; i++) {
        for (unsigned k = 0; k < 4; k++) {
            assert_true(more[i] != out[k]);
        }
    }
    /* Nobody may use what has not been zeroed. */
    assert_int_equal(step(PIN, out[0], 1, TS_VM, 0), -EBUSY);
    assert_int_equal(step(SHARE, out[0], 1, TS_VM, HOST), -EBUSY);
    assert_int_equal(step(DONATE, out[0], 1, TS_VM, HOST), -EBUSY);
    assert_false(frame_may_use(out[0], TS_VM));
    frame_scrub(out[0]);
    tp_assert(zero(out[0], CHUNK_SIZE), "freed-memory-read-back\n");
    assert_true(frame_may_use(out[0], TS_VM));
    memset(port_va(out[0]), 1, 4096);
    frame_scrub(out[0]); /* in use now: left alone */
    assert_int_equal(*(uint8_t *)port_va(out[0]), 1);
    /* Free: only by its owner, as a whole, when nobody uses a frame of it. */
    assert_int_equal(step(PIN, out[0] + 5 * 4096, 1, TS_VM, 0), 0);
    {
        struct ts_frames f = ts_frames();

        assert_int_equal(frame_chunk_free(out[0], TS_VM), -EBUSY);
        assert_int_equal(frame_chunk_free(out[0], VM1), -EPERM);
        assert_int_equal(frame_chunk_free(out[0] + 4096, TS_VM), -EINVAL);
        assert_int_equal(frame_chunk_free(TS_POOL + 20 * CHUNK_SIZE, TS_VM), -EFAULT);
        assert_int_equal(frame_chunk_free(~0ull << 21, TS_VM), -EFAULT);
        assert_int_equal(frame_chunk_free(out[0], OWNER_NONE), -EINVAL);
        ts_frames_same(&f, 0);
    }
    assert_int_equal(step(UNPIN, out[0] + 5 * 4096, 1, TS_VM, 0), 0);
    assert_int_equal(step(SHARE, out[0] + 5 * 4096, 1, TS_VM, HOST), 0);
    assert_int_equal(frame_chunk_free(out[0], TS_VM), -EBUSY);
    assert_int_equal(step(UNSHARE, out[0] + 5 * 4096, 1, TS_VM, HOST), 0);
    assert_int_equal(frame_chunk_free(out[0], TS_VM), 0);
    assert_int_equal(frame_chunk_free(out[0], TS_VM), -EPERM);
    assert_int_equal(frame_get(out[0]).flags, FRAME_DIRTY);
    /* Scattered. */
    assert_int_equal(frame_chunk_free(out[2], TS_VM), 0);
    assert_int_equal(frame_chunks_alloc(2, 2 * CHUNK_SIZE, VM1, more), 0);
    assert_true(more[0] != more[1] && (more[0] == out[0] || more[0] == out[2]));
    assert_int_equal(frame_chunks_free(), 0);
}

static void chunks_come_and_go(void **state)
{
    uint64_t out[8];

    (void)state;
    ts_memory(8, false);
    uint64_t pa = TS_POOL;
    struct ts_frames f = ts_frames();

    assert_int_equal(frame_pool_add_chunks(pa, 1, false), -EBUSY); /* is in it already */
    assert_int_equal(frame_pool_add_chunks(pa + 4096, 1, false), -EINVAL);
    assert_int_equal(frame_pool_add_chunks(pa, 9, false), -EINVAL);
    assert_int_equal(frame_pool_add_chunks(pa, (uint64_t)1 << 43, false), -EINVAL);
    assert_int_equal(frame_pool_add_chunks(TS_BASE, 1, false), -EBUSY); /* tables */
    assert_int_equal(frame_pool_remove_chunks(pa, 9, HYP), -EFAULT);
    assert_int_equal(frame_pool_remove_chunks(pa, (uint64_t)1 << 43, HYP), -EFAULT);
    ts_frames_same(&f, 0);
    assert_int_equal(frame_pool_remove_chunks(pa + 2 * CHUNK_SIZE, 2, HYP), 0);
    assert_int_equal(frame_chunks_free(), 6);
    assert_int_equal(frame_chunks_alloc(6, CHUNK_SIZE, TS_VM, out), 0);
    assert_int_equal(frame_pool_remove_chunks(pa, 1, HYP), -EBUSY);
    assert_int_equal(frame_pool_add_chunks(pa + 2 * CHUNK_SIZE, 2, true), 0);
    assert_int_equal(frame_get(pa + 2 * CHUNK_SIZE).flags, FRAME_DIRTY);
    assert_int_equal(frame_chunks_free(), 2);
    /* Partly in a region: its chunks would be counted twice. */
    assert_int_equal(frame_pool_add_chunks(TS_HOST, 2, true), 0);
    assert_int_equal(frame_pool_remove_chunks(TS_HOST + CHUNK_SIZE, 1, OWNER_HOST), 0);
    assert_int_equal(frame_pool_add_chunks(TS_HOST + CHUNK_SIZE, 2, true), -EBUSY);
    assert_int_equal(frame_chunks_free(), 3);
    /* The rest of the region leaves, and the region with it. */
    assert_int_equal(frame_pool_remove_chunks(TS_HOST, 1, OWNER_HOST), 0);
    assert_int_equal(frame_pool_add_chunks(TS_HOST + CHUNK_SIZE, 2, true), 0);
    assert_int_equal(frame_chunks_free(), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_refusal),      cmocka_unit_test(pins_of_two),
        cmocka_unit_test(random_calls),       cmocka_unit_test(runs),
        cmocka_unit_test(table_pool),         cmocka_unit_test(chunk_pool),
        cmocka_unit_test(chunks_come_and_go),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
