/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many at once, a fixed number of steps each: CPUs that fault and read, a device that reads, two
 * converters on their own halves, a host that faults its windows and pins them, a space that comes
 * and goes. Run under TSan too.
 */
#include "lib_space.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/*
 * The converters do so many; the others go on for as long as those take. Under the thread sanitizer
 * a step costs fifty times as much, and finds a race the first time that it happens.
 */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { PAGES = 2 * 512, STEPS = 200 };
#else
enum { PAGES = 2 * 512, STEPS = 10000 };
#endif

static struct ts t;
static atomic_uint wrong;
static char first[200];
static atomic_uint busy, eagain, hits;
static atomic_bool stop;
static pthread_barrier_t start;

/* cmocka's checks are for one thread only. */
#define CHECK(cond, ...)                                   \
    do {                                                   \
        if (!(cond) && atomic_fetch_add(&wrong, 1) == 0) { \
            snprintf(first, sizeof(first), __VA_ARGS__);   \
        }                                                  \
    } while (0)

static uint64_t rnd(uint64_t *r, uint64_t below)
{
    *r = *r * 6364136223846793005u + 1442695040888963407u;
    return (*r >> 33) % below;
}

static enum model_fault look(struct ts_walker *w, uint64_t p, uint64_t *oa)
{
    struct model_xlat x;
    enum model_fault fault =
        model_tlb_translate(w->tlb, &w->ctx, TS_GUEST + (p << PAGE_SHIFT),
                            (struct model_access){ .what = MODEL_R, .user = true }, &x);

    *oa = fault == MODEL_OK ? x.oa : 0;
    return fault;
}

/* Gives the others the moment that matters. */
static void yield(struct ts *world, struct ts_walker *w)
{
    (void)world;
    (void)w;
    sched_yield();
}

/* Threads that only look make room now and then: else those that change wait for a CPU most of the time. */
static void breathe(unsigned *looks)
{
    if (++*looks % 16 == 0) {
        usleep(20);
    }
}

/* Converts in its own half; what it converted last is known to it alone, so it can tell old from new. */
static void *converter(void *arg)
{
    uint64_t half = (uint64_t)(uintptr_t)arg, r = 77 + half;
    uint64_t base = half * PAGES / 2;

    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < STEPS; i++) {
        uint64_t p = base + rnd(&r, PAGES / 2), n = rnd(&r, 8) == 0 ? 300 : 1 + rnd(&r, 2), m = 1;

        n = n < base + PAGES / 2 - p ? n : base + PAGES / 2 - p;
        while (m < n && t.want[p + m] == t.want[p]) {
            m++;
        }
        bool to_shared = t.want[p] == GMEM_PRIVATE;
        enum gmem_policy policy = rnd(&r, 4) ? GMEM_KEEP : GMEM_INPLACE;
        int err = gmem_convert(&t.gm, p, m, to_shared, policy);

        if (err == -EBUSY) { /* the host has pinned it */
            atomic_fetch_add(&busy, 1);
            continue;
        }
        CHECK(err == 0, "convert: %d", err);
        memset(t.want + p, !to_shared ? 0 : policy == GMEM_KEEP ? 1 : 2, m);
        /* Nobody finds the old frame any more, wherever they look. */
        for (uint64_t q = p; q<p + m; q += m> 2 ? 37 : 1) {
            uint64_t want = t.want[q] == GMEM_SHARED ? t.p1[q] : t.p0[q], oa;

            for (unsigned k = 0; k < 2; k++) {
                (void)look(&t.tree[k].w[0], q, &oa);
                CHECK(oa == want || (oa == 0 && k == 0),
                      "%s: old-frame-after-convert: page %lu at %#lx, not %#lx", t.tree[k].name,
                      (unsigned long)q, (unsigned long)oa, (unsigned long)want);
            }
        }
    }
    return NULL;
}

static void *cpu(void *arg)
{
    uint64_t r = 5 + (uint64_t)(uintptr_t)arg;
    unsigned looks = 0;

    pthread_barrier_wait(&start);
    while (!atomic_load(&stop)) {
        breathe(&looks);
        uint64_t p = rnd(&r, PAGES), oa;

        for (unsigned tries = 0; look(&t.tree[0].w[0], p, &oa) != MODEL_OK && tries < 1000;
             tries++) {
            int err = space_fault(&t.tree[0].s, TS_GUEST + (p << 12) + 8, PT_READ);

            CHECK(err == 0 || err == -EAGAIN, "fault: %d", err);
            if (err == -EAGAIN) {
                atomic_fetch_add(&eagain, 1);
                sched_yield();
            }
        }
        CHECK(oa == 0 || oa == t.p0[p] || oa == t.p1[p], "cpu: page %lu at %#lx", (unsigned long)p,
              (unsigned long)oa);
    }
    return NULL;
}

static void *device(void *arg)
{
    uint64_t r = 6, oa;
    unsigned looks = 0;

    pthread_barrier_wait(&start);
    (void)arg;
    while (!atomic_load(&stop)) {
        breathe(&looks);
        uint64_t p = rnd(&r, PAGES);
        enum model_fault fault = look(&t.tree[1].w[0], p, &oa);

        /* A page in change may be out for a moment; a wrong frame may never be. */
        CHECK(fault == MODEL_OK || fault == MODEL_FAULT_TRANSLATION, "device: %s",
              model_fault_name(fault));
        CHECK(oa == 0 || oa == t.p0[p] || oa == t.p1[p], "device: page %lu at %#lx",
              (unsigned long)p, (unsigned long)oa);
    }
    return NULL;
}

/* The host looks into windows, and pins one now and then: what is pinned stays its. */
static void *host(void *arg)
{
    uint64_t r = 8;
    unsigned looks = 0;

    pthread_barrier_wait(&start);
    (void)arg;
    while (!atomic_load(&stop)) {
        breathe(&looks);
        uint64_t p = rnd(&r, PAGES), pa = rnd(&r, 2) ? t.p1[p] : t.p0[p];
        int err = space_fault(&t.tree[2].s, pa, PT_READ);

        CHECK(err == 0 || err == -EAGAIN || err == -EPERM, "host fault: %d", err);
        if (frames_pin(pa, 1, OWNER_HOST) == 0) {
            struct frame f = frame_get(pa);

            atomic_fetch_add(&hits, 1);
            CHECK(f.borrower == OWNER_HOST && f.borrower_pins != 0, "pin of a frame not lent");
            sched_yield();
            CHECK(frame_may_use(pa, OWNER_HOST), "pinned-frame-taken-away");
            CHECK(frames_unpin(pa, 1, OWNER_HOST) == 0, "unpin");
        }
    }
    return NULL;
}

static void *comes_and_goes(void *arg)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);

    pthread_barrier_wait(&start);
    (void)arg;
    while (!atomic_load(&stop)) {
        struct space s;
        struct ts_walker *w = &t.tree[3].w[0];

        CHECK(space_init(&s, SPACE_CPU, &cfg) == 0, "space_init");
        CHECK(space_add_walker(&s, &w->inv) == 0, "walker");
        CHECK(space_bind(&s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, true) == 0, "bind");
        CHECK(space_unbind(&s, &t.gm) == 0, "unbind");
        CHECK(tp_count(&s.pt).tables == 0, "tables left");
        space_destroy(&s);
        usleep(2000);
    }
    return NULL;
}

static void everything_at_once(void **state)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);
    struct pt_config io = ts_config(PT_ARM_S2_4K, 2, false);
    pthread_t th[8];

    (void)state;
    ts_open(&t, PAGES, true, 50);
    ts_tree(&t, 0, "cpu, lazy", TS_CPU, &cfg);
    ts_tree(&t, 1, "io", TS_SMMU, &io);
    ts_tree(&t, 2, "host, lazy", TS_CPU, &cfg);
    ts_tree(&t, 3, "spare", TS_CPU, &cfg);
    assert_int_equal(space_bind(&t.tree[0].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), 0);
    assert_int_equal(space_bind(&t.tree[1].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, true), 0);
    assert_int_equal(space_bind(&t.tree[2].s, &t.gm, VIEW_HOST, 0, 0, PAGES, RW, false), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(model_tlb_speculate_in(t.tree[i].w[0].tlb, &t.tree[i].w[0].ctx, TS_GUEST,
                                           PAGES << PAGE_SHIFT));
    }
    t.in_wait = yield;
    assert_int_equal(pthread_barrier_init(&start, NULL, 7), 0);
    assert_int_equal(pthread_create(&th[0], NULL, converter, (void *)0), 0);
    assert_int_equal(pthread_create(&th[1], NULL, converter, (void *)1), 0);
    assert_int_equal(pthread_create(&th[2], NULL, cpu, (void *)0), 0);
    assert_int_equal(pthread_create(&th[3], NULL, cpu, (void *)1), 0);
    assert_int_equal(pthread_create(&th[4], NULL, device, NULL), 0);
    assert_int_equal(pthread_create(&th[5], NULL, host, NULL), 0);
    assert_int_equal(pthread_create(&th[6], NULL, comes_and_goes, NULL), 0);
    pthread_join(th[0], NULL);
    pthread_join(th[1], NULL);
    atomic_store(&stop, true);
    for (unsigned i = 2; i < 7; i++) {
        pthread_join(th[i], NULL);
    }
    tp_assert(atomic_load(&wrong) == 0, "%u wrong, first: %s\n", atomic_load(&wrong), first);
    print_message("busy %u, retried %u, pinned %u\n", atomic_load(&busy), atomic_load(&eagain),
                  atomic_load(&hits));
    t.in_wait = NULL;
    ts_judge(&t);
    /* Quiet again: everything back to private, and merged. */
    for (uint64_t p = 0; p < PAGES;) {
        uint64_t n = gmem_run_end(&t.gm, p) - p;

        if (t.want[p] != GMEM_PRIVATE) {
            assert_int_equal(ts_convert(&t, p, n, false, GMEM_KEEP), 0);
        }
        p += n;
    }
    assert_int_equal(tp_count(&t.tree[1].s.pt).leaves[2], PAGES / 512);
    for (uint64_t p = 0; p < PAGES; p++) {
        uint64_t at = ts_at(&t.tree[0], TS_GUEST + (p << 12), NULL);

        assert_true(at == 0 || at == t.p0[p]);
        assert_int_equal(ts_at(&t.tree[1], TS_GUEST + (p << 12), NULL), t.p0[p]);
        assert_int_equal(ts_at(&t.tree[2], t.p1[p], NULL), 0);
    }
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(everything_at_once) };

    return cmocka_run_group_tests_name("space_race", tests, NULL, NULL);
}
