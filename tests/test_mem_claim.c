/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes of one object beside each other: who waits for whom, and which faults retry. */
#include "lib_space.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

/* A follower that only watches. */
struct watcher {
    struct follower f; /* first */
    void (*in_wait)(const struct gmem_change *c);
};
static atomic_uint prepared, under_way, most;
static atomic_uint slots; /* one bit each: seen in prepare */

static int on_prepare(struct follower *f, const struct gmem_change *c)
{
    unsigned now = atomic_fetch_add(&under_way, 1) + 1;

    (void)f;
    atomic_fetch_or(&slots, 1u << c->slot);
    atomic_fetch_add(&prepared, 1);
    if (now > atomic_load(&most)) {
        atomic_store(&most, now);
    }
    return 0;
}

static void on_step(struct follower *f, const struct gmem_change *c)
{
    (void)f;
    (void)c;
}

static void on_wait(struct follower *f, const struct gmem_change *c)
{
    struct watcher *w = (struct watcher *)f;

    if (w->in_wait != NULL) {
        w->in_wait(c);
    }
}

static void on_end(struct follower *f, const struct gmem_change *c)
{
    (void)f;
    (void)c;
    atomic_fetch_sub(&under_way, 1);
}

static unsigned quiesced;
static uint32_t nodes_then; /* table pages of the states when a follower was asked */

static void on_quiesce(struct follower *f)
{
    quiesced++;
    nodes_then = f->gm->states.nodes;
}

static const struct follower_ops watcher_ops = { .prepare = on_prepare,
                                                 .cancel = on_end,
                                                 .lose = on_step,
                                                 .wait = on_wait,
                                                 .gain = on_step,
                                                 .settle = on_end,
                                                 .quiesce = on_quiesce };
static struct gmem gm;
static struct watcher watcher;

static void open_object(bool alone, void (*in_wait)(const struct gmem_change *c))
{
    uint64_t cursor;

    ts_memory(8, false);
    assert_int_equal(gmem_create(&gm, TS_VM, 4 * 512, true), 0);
    while (gmem_scrub(&gm, &cursor, 64) != 0) {
    }
    watcher = (struct watcher){ .f = { .ops = &watcher_ops, .alone = alone }, .in_wait = in_wait };
    gmem_stop(&gm);
    gmem_follow(&gm, &watcher.f);
    gmem_go(&gm);
    atomic_store(&prepared, 0);
    atomic_store(&most, 0);
    atomic_store(&slots, 0);
}

static void close_object(void)
{
    uint64_t cursor = 0;

    gmem_stop(&gm);
    gmem_unfollow(&gm, &watcher.f);
    gmem_go(&gm);
    while (gmem_destroy_step(&gm, &cursor, 64) == 1) {
    }
    assert_int_equal(frame_chunks_free(), 8);
}

/* ---- one inside the other ---- */

static uint32_t seq_before;

static void nested(const struct gmem_change *c)
{
    uint32_t seq;

    if (c->slot != 0) {
        return;
    }
    assert_int_equal(c->page, 100);
    tp_assert(!gmem_read_begin(&gm, 109, 1, &seq), "fault-let-into-change\n");
    assert_false(gmem_read_begin(&gm, 0, 2048, &seq));
    tp_assert(gmem_read_begin(&gm, 99, 1, &seq), "unrelated-fault-retries: before the range\n");
    tp_assert(gmem_read_begin(&gm, 110, 1938, &seq), "unrelated-fault-retries: behind the range\n");
    assert_true(gmem_changing(&gm));
    /* A second change begins and ends while the first is in its middle. */
    assert_int_equal(gmem_convert(&gm, 110, 10, true, GMEM_KEEP), 0);
    assert_int_equal(atomic_load(&slots), 3);
    tp_assert(!gmem_read_retry(&gm, 99, 1, seq_before) && !gmem_read_retry(&gm, 120, 300, seq),
              "unrelated-fault-retries: after another change\n");
    assert_true(gmem_read_retry(&gm, 119, 1, seq));
    tp_assert(!gmem_read_begin(&gm, 109, 1, &seq), "fault-let-into-change: after another's end\n");
    assert_int_equal(gmem_state(&gm, 100), GMEM_PRIVATE);
    assert_int_equal(gmem_state(&gm, 110), GMEM_SHARED);
}

static void beside(void **state)
{
    uint32_t seq;

    (void)state;
    open_object(false, nested);
    assert_true(gmem_read_begin(&gm, 105, 1, &seq_before));
    assert_int_equal(gmem_convert(&gm, 100, 10, true, GMEM_KEEP), 0);
    watcher.in_wait = NULL;
    assert_false(gmem_changing(&gm));
    assert_true(gmem_read_begin(&gm, 105, 1, &seq));
    assert_false(gmem_read_retry(&gm, 105, 1, seq));
    tp_assert(gmem_read_retry(&gm, 105, 1, seq_before), "change-not-seen\n");
    assert_false(gmem_read_retry(&gm, 1000, 1, seq_before));
    /* Its slot is somebody else's by now: what it changed is forgotten, that it did is not. */
    assert_int_equal(gmem_convert(&gm, 1000, 1, true, GMEM_KEEP), 0);
    tp_assert(gmem_read_retry(&gm, 105, 1, seq_before), "change-not-seen: slot used again\n");
    /* A refused one leaves no claim behind. */
    assert_int_equal(gmem_convert(&gm, 1000, 1, true, GMEM_KEEP), -EALREADY);
    assert_int_equal(gm.claimed, 0);
    assert_int_equal(gm.converted, 3);
    close_object();
}

/* ---- who waits ---- */

enum who { OVERLAP, APART, STOP };
static enum who second;
static atomic_int result;
static atomic_bool started, got_in, first_over;
static pthread_t other;

static void *other_main(void *arg)
{
    (void)arg;
    atomic_store(&started, true);
    if (second == STOP) {
        gmem_stop(&gm);
        atomic_store(&result, atomic_load(&first_over) ? 0 : 1);
        gmem_go(&gm);
    } else {
        /* It begins before the first one's range and reaches into it. */
        atomic_store(&result, gmem_convert(&gm, second == OVERLAP ? 95 : 300, 10, true, GMEM_KEEP));
    }
    atomic_store(&got_in, true);
    return NULL;
}

static void start_other(const struct gmem_change *c)
{
    if (c->page != 100) {
        return;
    }
    assert_int_equal(pthread_create(&other, NULL, other_main, NULL), 0);
    while (!atomic_load(&started)) {
        sched_yield();
    }
    usleep(20000); /* a right one spins all the while; a wrong one is through in microseconds */
    tp_assert(!atomic_load(&got_in), "two-changes-at-once: the other one is through\n");
    tp_assert(atomic_load(&prepared) == 1, "two-changes-at-once: the other one has begun\n");
    /* The last thing before the first change goes on to its end. */
    atomic_store(&first_over, true);
}

static void waits(bool alone, enum who who, int want)
{
    open_object(alone, start_other);
    second = who;
    atomic_store(&started, false);
    atomic_store(&got_in, false);
    atomic_store(&first_over, false);
    atomic_store(&result, 99);
    assert_int_equal(gmem_convert(&gm, 100, 10, true, GMEM_KEEP), 0);
    assert_int_equal(pthread_join(other, NULL), 0);
    tp_assert(atomic_load(&result) == want, "two-changes-at-once: answer %d\n",
              atomic_load(&result));
    assert_int_equal(atomic_load(&most) > 1, 0);
    close_object();
}

static void who_waits(void **state)
{
    (void)state;
    waits(false, OVERLAP, -EINVAL); /* by then half of what it asks for is shared */
    waits(true, APART, 0);
    waits(false, STOP, 0);
}

/* ---- many ---- */

enum { THREADS = 10, PAGES = 2048 };
static atomic_uint bad;

static void *many_main(void *arg)
{
    uint64_t r = (uint64_t)(uintptr_t)arg * 977 + 5;

    for (unsigned i = 0; i < TP_STEPS(150); i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t page = (r >> 33) % PAGES, n = 1 + (r >> 20) % 5;
        bool to_shared = (r >> 50) & 1;
        int err = gmem_convert(&gm, page, n, to_shared, (r >> 51) & 1 ? GMEM_KEEP : GMEM_INPLACE);

        if (err != 0 && err != -EALREADY && err != -EINVAL && err != -EFAULT) {
            atomic_fetch_add(&bad, 1);
        }
    }
    return NULL;
}

static void pause_a_little(const struct gmem_change *c)
{
    (void)c;
    sched_yield();
}

static void many(void **state)
{
    pthread_t th[THREADS];

    (void)state;
    open_object(false, pause_a_little);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&th[i], NULL, many_main, (void *)i), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(th[i], NULL);
    }
    assert_int_equal(atomic_load(&bad), 0);
    assert_int_equal(atomic_load(&under_way), 0);
    assert_int_equal(gm.claimed | gm.active, 0);
    for (uint64_t p = 0; p < PAGES; p++) {
        enum gmem_state s = gmem_state(&gm, p);
        uint64_t off = (p % 512) * 4096;

        ts_frame_is(gm.priv[p / 512] + off,
                    ts_frame(TS_VM, s == GMEM_SHARED_INPLACE ? OWNER_HOST : OWNER_NONE));
        ts_frame_is(gm.shared[p / 512] + off,
                    ts_frame(TS_VM, s == GMEM_SHARED ? OWNER_HOST : OWNER_NONE));
    }
    print_message("at most %u at once\n", atomic_load(&most));
    close_object();
}

/* ---- what guests ask for ---- */

static void requests(void **state)
{
    struct gmem_request r = { 0 };
    int64_t id[GMEM_REQUESTS], more;

    (void)state;
    open_object(false, NULL);
    struct ts_frames f = ts_frames();
    uint64_t tables = frame_tables_free();

    assert_int_equal(gmem_request(&gm, 0, 0, true, GMEM_KEEP), -EINVAL);
    assert_int_equal(gmem_request(&gm, 0, 1, true, (enum gmem_policy)9), -EINVAL);
    assert_int_equal(gmem_request(&gm, 2040, 9, true, GMEM_KEEP), -EFAULT);
    assert_int_equal(gmem_request(&gm, ~0ull, 2, true, GMEM_KEEP), -EFAULT);
    for (unsigned i = 0; i < GMEM_REQUESTS; i++) {
        id[i] = gmem_request(&gm, i * 10, 5, true, i % 2 ? GMEM_INPLACE : GMEM_KEEP);
        assert_int_equal(id[i], i + 1);
    }
    assert_int_equal(gm.pending, ~0ull);
    assert_int_equal(gmem_request(&gm, 1000, 1, true, GMEM_KEEP), -EAGAIN);
    for (unsigned i = 0; i < GMEM_REQUESTS; i++) {
        assert_true(gmem_request_next(&gm, &r));
        assert_int_equal(r.id, id[i]);
        assert_int_equal(r.page, i * 10);
    }
    assert_false(gmem_request_next(&gm, &r));
    /* Asked for, nothing has changed; dropped, there is no trace. */
    assert_int_equal(atomic_load(&prepared), 0);
    assert_int_equal(gmem_request_end(&gm, 5, false), 0);
    assert_int_equal(gmem_request_end(&gm, 5, false), -ENOENT);
    assert_int_equal(gmem_request_end(&gm, 5, true), -ENOENT);
    assert_int_equal(gmem_request_end(&gm, 0, true), -ENOENT);
    more = gmem_request(&gm, 44, 1, true, GMEM_KEEP); /* page 44 was the fifth one's */
    tp_assert(more == 69, "request-number-used-again: %ld\n", (long)more);
    assert_int_equal(gmem_request_end(&gm, (uint64_t)more, false), 0);
    ts_frames_same(&f, 0);
    assert_int_equal(frame_tables_free(), tables);
    int err = (int)gmem_request(&gm, 14, 3, true, GMEM_KEEP);

    tp_assert(err == -EBUSY, "overlapping-request: %d\n", err);
    /* Committed in any order. */
    assert_int_equal(gmem_request_end(&gm, 8, true), 0);
    tp_assert(gmem_state(&gm, 70) == GMEM_SHARED_INPLACE && gmem_state(&gm, 75) == GMEM_PRIVATE &&
                  gmem_state(&gm, 0) == GMEM_PRIVATE,
              "wrong-commit\n");
    /* One that fails is still there. */
    assert_int_equal(frames_pin(gmem_frame(&gm, 22), 1, TS_VM), 0);
    assert_int_equal(gmem_request_end(&gm, 3, true), -EBUSY);
    assert_int_equal(frames_unpin(gmem_frame(&gm, 22), 1, TS_VM), 0);
    assert_int_equal(gmem_state(&gm, 20), GMEM_PRIVATE);
    tp_assert(gmem_request_end(&gm, 3, true) == 0, "request-lost-by-an-error\n");
    assert_int_equal(gmem_state(&gm, 20), GMEM_SHARED);
    assert_int_equal(gm.pending, ~(1ull << 3 | 1ull << 5 | 1ull << 8));
    close_object();
}

/* Memory of the states goes back after every follower has been asked, and not before. */
static void tidy(void **state)
{
    (void)state;
    open_object(false, NULL);
    gm.tidy = gmem_tidy;
    assert_int_equal(gmem_convert(&gm, 7, 1, true, GMEM_KEEP), 0);
    assert_int_equal(gm.states.nodes, 2);
    quiesced = 0;
    gmem_tidy(&gm);
    assert_int_equal(gm.states.nodes, 2); /* page 7 needs them */
    assert_int_equal(gmem_convert(&gm, 7, 1, false, GMEM_KEEP), 0);
    assert_int_equal(quiesced, 1); /* so little is kept for the next time */
    assert_int_equal(gm.states.nodes, 2);
    gmem_tidy(&gm);
    tp_assert(quiesced == 2 && nodes_then == 2, "freed-before-quiesce\n");
    assert_int_equal(gm.states.nodes, 0);
    close_object();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beside),   cmocka_unit_test(who_waits), cmocka_unit_test(many),
        cmocka_unit_test(requests), cmocka_unit_test(tidy),
    };

    return cmocka_run_group_tests_name("mem_claim", tests, NULL, NULL);
}
