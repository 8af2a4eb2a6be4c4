/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page requests: groups, their one response, handlers and guests that answer, floods, time-outs, and
 * routes that go away in the middle. An oracle counts what each group is owed.
 */
#include "lib_space.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tenon/prq.h"

enum { PAGES = 512, TIMEOUT = 1000 };

static struct ts t;
static struct iommu im;
static struct iommu_domain d;
static struct prq q;
static struct prq_response got[256];
static unsigned ngot;

static void respond(struct prq *queue, const struct prq_response *r)
{
    (void)queue;
    unsigned i = __atomic_fetch_add(&ngot, 1, __ATOMIC_SEQ_CST);

    if (i < 256) {
        got[i] = *r;
    }
}

/* ---- a guest that is asked ---- */

static uint64_t cookies[64];
static unsigned ncookies;
static bool deaf, at_once;

static bool forward(void *ctx, const struct prq_request *r, uint64_t cookie)
{
    (void)r;
    if (deaf) {
        return false;
    }
    if (at_once) {
        assert_int_equal(prq_answer(ctx, cookie, IOMMU_RESPONSE_SUCCESS), 0);
        return true;
    }
    cookies[ncookies++] = cookie;
    return true;
}

static struct prq_request req(uint32_t sid, uint32_t group, bool last, uint64_t iova)
{
    return (struct prq_request){ .sid = sid,
                                 .group = group,
                                 .last = last,
                                 .iova = iova,
                                 .access = PT_WRITE,
                                 .priv = { group, 77 },
                                 .priv_valid = last };
}

static void report(uint32_t sid, uint32_t group, bool last, uint64_t iova, uint64_t now)
{
    struct prq_request r = req(sid, group, last, iova);

    prq_report(&q, &r, now);
}

static void one(unsigned n, uint32_t sid, uint32_t group, enum iommu_response code)
{
    tp_assert(ngot == n, "response-count: %u, not %u\n", ngot, n);
    tp_assert(got[n - 1].sid == sid && got[n - 1].group == group && got[n - 1].code == code,
              "wrong-response: %u %u code %u\n", got[n - 1].sid, got[n - 1].group, got[n - 1].code);
}

static void open_queue(uint32_t limit)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, false);

    ngot = ncookies = 0;
    deaf = at_once = false;
    ts_open(&t, PAGES, true, 400);
    struct ts_tree *a = ts_tree(&t, 0, "io", TS_SMMU, &cfg);

    assert_int_equal(space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), -EINVAL);
    a->s.page_requests = true;
    assert_int_equal(space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), 0);
    d = (struct iommu_domain){ .im = &im, .space = &a->s, .owner = TS_VM };
    assert_int_equal(prq_init(&q, respond, 0, TIMEOUT), -EINVAL);
    assert_int_equal(prq_init(&q, respond, PRQ_GROUPS + 1, TIMEOUT), -EINVAL);
    assert_int_equal(prq_init(&q, respond, 1, 0), -EINVAL);
    assert_int_equal(prq_init(&q, NULL, 1, TIMEOUT), -EINVAL);
    assert_int_equal(prq_init(&q, respond, limit, TIMEOUT), 0);
    assert_int_equal(prq_route(&q, 1, false, 0, &d, NULL, NULL), 0);
    assert_int_equal(prq_route(&q, 2, true, 5, NULL, forward, &q), 0);
}

static void groups(void **state)
{
    (void)state;
    open_queue(8);
    assert_int_equal(prq_route(&q, 1, false, 9, &d, NULL, NULL), -EEXIST);
    assert_int_equal(prq_route(&q, 3, false, 0, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(prq_route(&q, 3, false, 0, &d, forward, NULL), -EINVAL);
    /* Three pages of one group, another group in between; each has one response, after its last. */
    report(1, 10, false, TS_GUEST, 0);
    report(1, 11, false, TS_GUEST + 4096, 0);
    report(1, 10, false, TS_GUEST + 8192, 0);
    assert_int_equal(ngot, 0);
    report(1, 10, true, TS_GUEST + 12288, 0);
    one(1, 1, 10, IOMMU_RESPONSE_SUCCESS);
    assert_true(got[0].priv_valid && got[0].priv[0] == 10 && got[0].priv[1] == 77);
    assert_int_equal(ts_at(&t.tree[0], TS_GUEST, NULL), t.p0[0]);
    /* The worst answer counts. */
    report(1, 11, true, TS_GUEST - 4096, 0);
    one(2, 1, 11, IOMMU_RESPONSE_INVALID);
    /* The number again. */
    report(1, 10, true, TS_GUEST, 0);
    one(3, 1, 10, IOMMU_RESPONSE_SUCCESS);
    /* Nobody's. */
    report(9, 1, false, TS_GUEST, 0);
    assert_int_equal(ngot, 3);
    report(9, 1, true, TS_GUEST, 0);
    one(4, 9, 1, IOMMU_RESPONSE_INVALID);
    assert_true(got[3].priv_valid && got[3].priv[1] == 77);
    /* A page in change: try again; no tables: not now. */
    assert_int_equal(prq_unroute(&q, 1, false, 0), 0);
    assert_int_equal(prq_unroute(&q, 1, false, 0), -ENOENT);
    report(1, 10, true, TS_GUEST, 0);
    one(5, 1, 10, IOMMU_RESPONSE_INVALID);
    ts_close(&t);
}

static void asked(uint32_t group, bool last, uint64_t now)
{
    struct prq_request r = req(2, group, last, TS_GUEST);

    r.pasid_valid = true;
    r.pasid = 5;
    prq_report(&q, &r, now);
}

static void guests(void **state)
{
    (void)state;
    open_queue(8);
    asked(1, false, 0);
    asked(1, true, 0);
    asked(2, true, 0);
    assert_int_equal(ngot, 0);
    assert_int_equal(ncookies, 3);
    assert_int_equal(prq_answer(&q, cookies[0], (enum iommu_response)7), -EINVAL);
    assert_int_equal(prq_answer(&q, cookies[2], IOMMU_RESPONSE_SUCCESS), 0);
    one(1, 2, 2, IOMMU_RESPONSE_SUCCESS);
    assert_true(got[0].pasid_valid && got[0].pasid == 5);
    assert_int_equal(prq_answer(&q, cookies[0], IOMMU_RESPONSE_INVALID), 0);
    assert_int_equal(ngot, 1);
    assert_int_equal(prq_answer(&q, cookies[1], IOMMU_RESPONSE_SUCCESS), 0);
    one(2, 2, 1, IOMMU_RESPONSE_INVALID);
    /* Twice, made up, or too late: the next group in the same place is not answered by it. */
    assert_int_equal(prq_answer(&q, cookies[1], IOMMU_RESPONSE_FAILURE), -ENOENT);
    assert_int_equal(prq_answer(&q, 0xffff, IOMMU_RESPONSE_FAILURE), -ENOENT);
    asked(3, true, 0);
    for (unsigned i = 0; i < 3; i++) {
        tp_assert(prq_answer(&q, cookies[i], IOMMU_RESPONSE_FAILURE) == -ENOENT,
                  "late-answer-taken: %u\n", i);
    }
    assert_int_equal(ngot, 2);
    assert_int_equal(prq_answer(&q, cookies[3], IOMMU_RESPONSE_SUCCESS), 0);
    one(3, 2, 3, IOMMU_RESPONSE_SUCCESS);
    /* Answered from within; and a guest that cannot be asked. */
    at_once = true;
    asked(4, true, 0);
    one(4, 2, 4, IOMMU_RESPONSE_SUCCESS);
    at_once = false;
    deaf = true;
    asked(5, true, 0);
    one(5, 2, 5, IOMMU_RESPONSE_FAILURE);
    deaf = false;
    /* It waits too long; its answer comes after all. */
    asked(6, true, 100);
    asked(7, false, 200);
    assert_int_equal(prq_tick(&q, 99 + TIMEOUT), 0);
    assert_int_equal(prq_tick(&q, 100 + TIMEOUT), 1);
    one(6, 2, 6, IOMMU_RESPONSE_FAILURE);
    assert_int_equal(prq_answer(&q, cookies[4], IOMMU_RESPONSE_SUCCESS), -ENOENT);
    /* The last request never comes, or much later: then it has its own answer. */
    assert_int_equal(prq_tick(&q, 200 + TIMEOUT), 1);
    assert_int_equal(ngot, 6);
    assert_int_equal(prq_tick(&q, ~0ull), 0);
    asked(7, true, 300);
    assert_int_equal(prq_answer(&q, cookies[ncookies - 1], IOMMU_RESPONSE_SUCCESS), 0);
    one(7, 2, 7, IOMMU_RESPONSE_SUCCESS);
    /* The device is taken off: what is under way is answered, and nothing comes later. */
    asked(8, true, 300);
    assert_int_equal(prq_unroute(&q, 2, true, 5), 0);
    one(8, 2, 8, IOMMU_RESPONSE_INVALID);
    assert_int_equal(prq_answer(&q, cookies[ncookies - 1], IOMMU_RESPONSE_SUCCESS), -ENOENT);
    assert_int_equal(q.responses, ngot);
    ts_close(&t);
}

/* A device that asks and asks: bounded, and each group that it ended is answered. */
/* A stream whose first stage is a guest's: what it asks for in PASIDs goes to the guest too. */
static void of_pasid(uint32_t pasid, bool last)
{
    struct prq_request r = req(4, 1, last, TS_GUEST);

    r.pasid_valid = true;
    r.pasid = pasid;
    prq_report(&q, &r, 0);
}

static void guest_pasids(void **state)
{
    (void)state;
    open_queue(8);
    assert_int_equal(prq_route_pasids(&q, 4), -ENOENT);
    assert_int_equal(prq_route(&q, 4, false, 0, NULL, forward, &q), 0);
    assert_int_equal(prq_route(&q, 4, true, 6, &d, NULL, NULL), 0);
    of_pasid(5, true);
    one(1, 4, 1, IOMMU_RESPONSE_INVALID); /* not asked for yet */
    assert_int_equal(prq_route_pasids(&q, 4), 0);
    of_pasid(5, false);
    of_pasid(7, false); /* the same index under another PASID is another group */
    of_pasid(5, true);
    assert_int_equal(ncookies, 3);
    of_pasid(6, true); /* has its own */
    one(2, 4, 1, IOMMU_RESPONSE_SUCCESS);
    assert_int_equal(ncookies, 3);
    assert_int_equal(prq_answer(&q, cookies[0], IOMMU_RESPONSE_SUCCESS), 0);
    assert_int_equal(prq_answer(&q, cookies[2], IOMMU_RESPONSE_SUCCESS), 0);
    one(3, 4, 1, IOMMU_RESPONSE_SUCCESS);
    tp_assert(got[2].pasid_valid && got[2].pasid == 5, "wrong-response: PASID %u\n", got[2].pasid);
    of_pasid(7, true);
    assert_int_equal(ngot, 3);
    assert_int_equal(prq_unroute(&q, 4, false, 0), 0);
    one(4, 4, 1, IOMMU_RESPONSE_INVALID);
    ts_close(&t);
}

static void floods(void **state)
{
    (void)state;
    open_queue(4);
    for (uint32_t i = 0; i < 100; i++) {
        asked(1000 + i, true, 0);
    }
    assert_int_equal(ncookies, 4);
    one(96, 2, 1099, IOMMU_RESPONSE_FAILURE);
    /* Another device goes on as before. */
    report(1, 1, true, TS_GUEST, 0);
    one(97, 1, 1, IOMMU_RESPONSE_SUCCESS);
    /* Until all under way are answered, everything fails: what was dropped is not told apart. */
    assert_int_equal(prq_answer(&q, cookies[0], IOMMU_RESPONSE_SUCCESS), 0);
    asked(2000, true, 0);
    one(99, 2, 2000, IOMMU_RESPONSE_FAILURE);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(prq_answer(&q, cookies[i], IOMMU_RESPONSE_SUCCESS), 0);
    }
    asked(2001, true, 0);
    assert_int_equal(ngot, 102);
    assert_int_equal(prq_answer(&q, cookies[4], IOMMU_RESPONSE_SUCCESS), 0);
    one(103, 2, 2001, IOMMU_RESPONSE_SUCCESS);
    /* Requests that never end a group take the places, and give them back in time. */
    for (uint32_t i = 0; i < 100; i++) {
        asked(3000 + i, false, 50);
    }
    assert_int_equal(ngot, 103);
    assert_int_equal(prq_tick(&q, 50 + TIMEOUT), 4);
    asked(4000, true, 60);
    assert_int_equal(prq_answer(&q, cookies[ncookies - 1], IOMMU_RESPONSE_SUCCESS), 0);
    one(104, 2, 4000, IOMMU_RESPONSE_SUCCESS);
    assert_int_equal(q.responses, ngot);
    for (uint32_t i = 10; i < 10 + PRQ_ROUTES; i++) {
        assert_int_equal(prq_route(&q, i, false, 0, &d, NULL, NULL),
                         i < 10 + PRQ_ROUTES - 2 ? 0 : -ENOSPC);
    }
    ts_close(&t);
}

/* ---- threads: reporters, a guest that answers late or never, a clock, a route that comes and goes ---- */

static bool stop;
static uint64_t owed, mail[1024];
static unsigned in, taken;

static bool post(void *ctx, const struct prq_request *r, uint64_t cookie)
{
    (void)ctx;
    (void)r;
    __atomic_store_n(&mail[__atomic_fetch_add(&in, 1, __ATOMIC_SEQ_CST) % 1024], cookie,
                     __ATOMIC_SEQ_CST);
    return true;
}

static void *reporter(void *arg)
{
    uint32_t sid = (uint32_t)(uintptr_t)arg;

    for (uint32_t i = 0; i < 3000; i++) {
        struct prq_request r = req(sid, i, i % 3 != 0, TS_GUEST + (i % 700) * 4096);

        if (r.last) {
            __atomic_add_fetch(&owed, 1, __ATOMIC_SEQ_CST);
        }
        prq_report(&q, &r, i);
    }
    return NULL;
}

static void *guest(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        uint64_t c = __atomic_load_n(&mail[taken++ % 1024], __ATOMIC_SEQ_CST);

        if (taken % 5 != 0) {
            (void)prq_answer(&q, c, (enum iommu_response)(taken % 3));
        }
        if (taken % 50 == 0) {
            (void)prq_tick(&q, taken);
            sched_yield();
        }
    }
    return NULL;
}

static void *goes(void *arg)
{
    (void)arg;
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        if (prq_route(&q, 4, false, 0, NULL, post, NULL) == 0) {
            sched_yield();
            assert_int_equal(prq_unroute(&q, 4, false, 0), 0);
        }
    }
    return NULL;
}

static void threads(void **state)
{
    pthread_t th[5];

    (void)state;
    open_queue(4);
    assert_int_equal(prq_route(&q, 3, false, 0, NULL, post, NULL), 0);
    for (uintptr_t i = 0; i < 3; i++) {
        pthread_create(&th[i], NULL, reporter, (void *)(i == 0 ? 1 : i + 2));
    }
    pthread_create(&th[3], NULL, guest, NULL);
    pthread_create(&th[4], NULL, goes, NULL);
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(th[i], NULL);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    pthread_join(th[3], NULL);
    pthread_join(th[4], NULL);
    (void)prq_tick(&q, ~0ull);
    (void)prq_unroute(&q, 4, false, 0);
    tp_assert(ngot == owed, "response-count: %u, owed %lu\n", ngot, (unsigned long)owed);
    assert_int_equal(q.responses, owed);
    for (unsigned i = 0; i < PRQ_GROUPS; i++) {
        assert_false(q.group[i].used);
    }
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(groups), cmocka_unit_test(guests),
                                        cmocka_unit_test(guest_pasids), cmocka_unit_test(floods),
                                        cmocka_unit_test(threads) };

    return cmocka_run_group_tests_name("iommu_prq", tests, NULL, NULL);
}
