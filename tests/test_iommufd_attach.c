/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What devices and PASIDs of the user-space /dev/iommu are attached to: after every step of a random story,
 * what each of them reaches through the software IOMMU, against an account kept here; and page requests,
 * each of which is answered once.
 */
#include "lib_iommufd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/selftest.h"
#include "iommufd/swiommu.h"
#include "tenon/port.h"

#define BASE    T_APERTURE_FIRST
#define DEVICES 3u
#define TABLES  3u
#define TARGETS (TABLES + 1) /* the last: nested over table 0 */

static const uint32_t pasids[] = { NO_PASID, 1, 5, (1u << T_PASID_BITS) - 1 };
#define NUMBERS (sizeof(pasids) / sizeof(pasids[0]))

static struct ctx *c;
static struct call the_call;
static char *buf;
static uint32_t ioas[TABLES], target[TARGETS];
static struct device *dev[DEVICES];

static uint32_t hwpt_on(uint32_t pt_id, uint32_t flags, uint32_t fault)
{
    const struct t_hwpt_data data = { 0 };
    bool nested = obj_get(c, pt_id, OBJ_HWPT_PAGING) != NULL;
    struct u_hwpt_alloc h = { .size = sizeof(h),
                              .flags = flags | (fault != 0 ? U_HWPT_FAULT_ID_VALID : 0),
                              .dev_id = dev[0]->obj.id,
                              .pt_id = pt_id,
                              .data_type = nested ? T_DATA : U_HWPT_DATA_NONE,
                              .data_len = nested ? sizeof(data) : 0,
                              .data_uptr = (uint64_t)(uintptr_t)&data,
                              .fault_id = fault };

    assert_int_equal(io(c, U_HWPT_ALLOC, &h), 0);
    return h.out_hwpt_id;
}

static struct device *a_device(uint32_t pt_id)
{
    struct t_cmd u = {
        .size = sizeof(u), .op = T_MOCK_DOMAIN_FLAGS, .id = pt_id, .mock.dev_flags = T_DEV_PASID
    };
    int err = io(c, U_TEST_NR, &u);

    return err == 0 ? obj_get(c, u.mock.out_idev_id, OBJ_DEVICE) : NULL;
}

/* A file with three devices, each attached to nothing, and tables that show a page of their own each. */
static void open_all(void)
{
    c = ctx_new(false);
    the_call = (struct call){ .ctx = c, .mm = lib_mm };
    buf = io_shared(TABLES * PG);
    for (unsigned i = 0; i < TABLES; i++) {
        ioas[i] = io_ioas(c);
        assert_int_equal(io_map(c, ioas[i], buf + i * PG, PG, BASE, RW_FIXED), 0);
    }
    for (unsigned i = 0; i < DEVICES; i++) {
        dev[i] = a_device(ioas[0]);
        assert_non_null(dev[i]);
        device_detach(dev[i], NO_PASID);
    }
    for (unsigned i = 0; i < TABLES; i++) {
        target[i] = hwpt_on(ioas[i], U_HWPT_PASID | (i == 0 ? U_HWPT_NEST_PARENT : 0), 0);
    }
    target[TABLES] = hwpt_on(target[0], U_HWPT_PASID, 0);
}

static void close_all(void)
{
    ctx_put(c);
    munmap(buf, TABLES * PG);
}

static struct domain *table(unsigned k)
{
    return ((struct hwpt *)obj_get(c, target[k % TABLES], OBJ_HWPT_PAGING))->domain;
}

/* ---- a story of attachments ---- */

static int account[DEVICES][NUMBERS]; /* target, -1: none */

static void compare(const char *after)
{
    unsigned users[TABLES] = { 0 };

    for (unsigned i = 0; i < DEVICES; i++) {
        for (unsigned k = 0; k < NUMBERS; k++) {
            struct domain *d = swiommu_tree(dev[i], pasids[k]);
            int want = account[i][k];
            uint64_t pa = 0;

            if (want < 0) {
                if (d != NULL) {
                    fail_msg("walk-left: device %u PASID %u after %s", i, pasids[k], after);
                }
                assert_null(device_hwpt(dev[i], pasids[k]));
                continue;
            }
            users[(unsigned)want % TABLES]++;
            if (d == NULL) {
                fail_msg("not-attached: device %u PASID %u after %s", i, pasids[k], after);
            }
            assert_int_equal(device_hwpt(dev[i], pasids[k])->obj.id, target[want]);
            if (domain_walk(d, BASE, DMA_WRITE, &pa) != 0 ||
                pa != io_page(buf + (unsigned)want % TABLES * PG)) {
                fail_msg("wrong-tree: device %u PASID %u after %s", i, pasids[k], after);
            }
        }
    }
    for (unsigned k = 0; k < TABLES; k++) {
        if (table(k)->io.devices != users[k]) {
            fail_msg("users: table %u has %u, wanted %u", k, table(k)->io.devices, users[k]);
        }
    }
}

/* A mapping goes and comes: the IOMMU is told if anybody walks the table, and has done it on return. */
static void remap(unsigned k)
{
    struct domain *d = table(k);
    uint64_t before = d->issued;

    assert_int_equal(io_unmap(c, ioas[k], BASE, PG), 0);
    if ((d->issued != before) != (d->io.devices != 0) || d->waited != d->issued) {
        fail_msg("not-told: table %u, %u users", k, d->io.devices);
    }
    assert_int_equal(io_map(c, ioas[k], buf + k * PG, PG, BASE, RW_FIXED), 0);
}

static void story(void **state)
{
    uint64_t tables = frame_tables_free();

    (void)state;
    open_all();
    memset(account, -1, sizeof(account));
    compare("the beginning");
    srand(3);
    for (unsigned n = 0; n < 4000; n++) {
        unsigned i = (unsigned)rand() % DEVICES, k = (unsigned)rand() % NUMBERS;
        int *now = &account[i][k], to = rand() % (int)TARGETS;
        uint32_t id = target[to];

        switch (rand() % 4) {
        case 0:
            assert_int_equal(device_attach(&the_call, dev[i], pasids[k], &id),
                             *now < 0 ? 0 : -EBUSY);
            *now = *now < 0 ? to : *now;
            compare("attach");
            break;
        case 1:
            assert_int_equal(device_replace(&the_call, dev[i], pasids[k], &id),
                             *now < 0 ? -EINVAL : 0);
            *now = *now < 0 ? -1 : to;
            compare("replace");
            break;
        case 2:
            device_detach(dev[i], pasids[k]);
            *now = -1;
            compare("detach");
            break;
        default:
            remap((unsigned)to % TABLES);
        }
        assert_int_equal(io_destroy(c, target[0]), -EBUSY); /* the nested one stands on it */
    }
    close_all();
    assert_int_equal(frame_tables_free(), tables);
}

/* ---- bounds ---- */

static void many(void **state)
{
    struct device *more[IOMMU_STREAMS + 1] = { NULL };
    unsigned n = 0;

    (void)state;
    open_all();
    while (n <= IOMMU_STREAMS && (more[n] = a_device(target[1])) != NULL) {
        n++;
    }
    assert_int_equal(n, IOMMU_STREAMS);
    assert_int_equal(table(1)->io.devices, n);
    assert_null(a_device(target[1]));
    assert_int_equal(table(1)->io.devices, n);
    device_detach(more[7], NO_PASID);
    more[n] = a_device(target[1]);
    assert_non_null(more[n]);
    assert_ptr_equal(swiommu_tree(more[n], NO_PASID), table(1));
    close_all();
}

/* ---- page requests ---- */

static struct fault *queue;
static int queue_fd;

static uint32_t a_queue(void)
{
    struct u_fault_alloc f = { .size = sizeof(f) };

    assert_int_equal(io(c, U_FAULT_QUEUE_ALLOC, &f), 0);
    queue_fd = lib_fd;
    queue = obj_get(c, f.out_fault_id, OBJ_FAULT);
    return f.out_fault_id;
}

static void close_queue(void)
{
    close(queue_fd);
    eventq_closed(&queue->q);
}

static struct mock *device_mock(unsigned i)
{
    return dev[i]->owner;
}

static int ask(unsigned i, uint32_t pasid, uint32_t group)
{
    const struct prq_request r = { .sid = dev[i]->obj.id,
                                   .pasid = pasid,
                                   .pasid_valid = pasid != NO_PASID,
                                   .group = group,
                                   .last = true,
                                   .iova = BASE + 64 * PG,
                                   .access = PT_WRITE };

    return swiommu_request(dev[i]->iommu, &r);
}

static void told(unsigned i, unsigned n, uint32_t group, enum iommu_response code)
{
    const struct mock *m = device_mock(i);

    if (m->responses != n) {
        fail_msg("%s: %u responses, wanted %u", m->responses > n ? "answered-twice" : "answer-lost",
                 m->responses, n);
    }
    if (m->last.group != group || m->last.code != code) {
        fail_msg("wrong-answer: group %u code %u", m->last.group, m->last.code);
    }
}

static unsigned read_all(struct u_pgfault *f, unsigned n)
{
    int64_t got = eventq_read(&queue->q, lib_mm, (uint64_t)(uintptr_t)f, n * sizeof(*f));

    return got <= 0 ? 0 : (unsigned)got / sizeof(*f);
}

static int64_t say(uint32_t cookie, uint32_t code)
{
    const struct u_page_response r = { cookie, code };

    return eventq_write(&queue->q, lib_mm, (uint64_t)(uintptr_t)&r, sizeof(r));
}

/* Requests of the device and of a PASID, answered in another order, each to whom it is owed. */
static void requests(void **state)
{
    struct u_pgfault f[4];

    (void)state;
    open_all();
    uint32_t with = hwpt_on(ioas[1], U_HWPT_PASID, a_queue());

    assert_int_equal(ask(0, NO_PASID, 1), -EFAULT); /* attached to nothing */
    assert_int_equal(device_attach(&the_call, dev[0], NO_PASID, &target[1]), 0);
    assert_int_equal(ask(0, NO_PASID, 1), -EFAULT); /* to something without a queue */
    if (device_mock(0)->responses != 0) {
        fail_msg("answered-twice: by the result, and by a response");
    }
    assert_int_equal(device_replace(&the_call, dev[0], NO_PASID, &with), 0);
    assert_int_equal(device_attach(&the_call, dev[0], 5, &with), 0);
    assert_int_equal(device_attach(&the_call, dev[1], 5, &with), 0);
    assert_int_equal(ask(0, NO_PASID, 11), -EAGAIN);
    assert_int_equal(ask(0, 5, 12), -EAGAIN);
    assert_int_equal(ask(1, 5, 13), -EAGAIN);
    assert_int_equal(ask(1, NO_PASID, 14), -EFAULT);
    assert_int_equal(ask(0, 1, 15), -EFAULT);
    assert_int_equal(read_all(f, 4), 3);
    assert_true(f[0].grpid == 11 && (f[0].flags & U_PGFAULT_PASID_VALID) == 0 &&
                f[0].dev_id == dev[0]->obj.id);
    assert_true(f[1].grpid == 12 && f[1].pasid == 5 && f[1].perm == U_PGFAULT_WRITE);
    assert_true(f[2].grpid == 13 && f[2].dev_id == dev[1]->obj.id);
    assert_int_equal(say(f[2].cookie, U_RESP_INVALID), sizeof(struct u_page_response));
    told(1, 1, 13, IOMMU_RESPONSE_INVALID);
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
    told(0, 1, 11, IOMMU_RESPONSE_SUCCESS);
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), -EINVAL);
    told(0, 1, 11, IOMMU_RESPONSE_SUCCESS);
    assert_int_equal(say(f[1].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
    told(0, 2, 12, IOMMU_RESPONSE_SUCCESS);
    close_queue();
    close_all();
}

/* Whoever is taken off has its answer, read or not; the others keep theirs. */
static void taken_off(void **state)
{
    struct u_pgfault f[4];

    (void)state;
    open_all();
    uint32_t with = hwpt_on(ioas[1], U_HWPT_PASID, a_queue());

    for (unsigned i = 0; i < DEVICES; i++) {
        assert_int_equal(device_attach(&the_call, dev[i], NO_PASID, &with), 0);
        assert_int_equal(ask(i, NO_PASID, 20 + i), -EAGAIN);
    }
    assert_int_equal(read_all(f, 2), 2);
    device_detach(dev[0], NO_PASID);
    told(0, 1, 20, IOMMU_RESPONSE_INVALID);
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), -EINVAL);
    told(0, 1, 20, IOMMU_RESPONSE_INVALID);
    assert_int_equal(device_replace(&the_call, dev[2], NO_PASID, &target[2]), 0); /* not read yet */
    told(2, 1, 22, IOMMU_RESPONSE_INVALID);
    assert_int_equal(read_all(f + 2, 2), 0);
    assert_int_equal(ask(2, NO_PASID, 23), -EFAULT);
    /* To another table with the same queue: what comes then is asked anew. */
    uint32_t again = hwpt_on(ioas[2], U_HWPT_PASID, queue->q.obj.id);

    assert_int_equal(device_mock(1)->responses, 0);
    assert_int_equal(device_replace(&the_call, dev[1], NO_PASID, &again), 0);
    told(1, 1, 21, IOMMU_RESPONSE_INVALID);
    assert_int_equal(ask(1, NO_PASID, 24), -EAGAIN);
    assert_int_equal(read_all(f, 4), 1);
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
    told(1, 2, 24, IOMMU_RESPONSE_SUCCESS);
    close_queue();
    close_all();
}

/* Too long, and too many. */
static void waiting(void **state)
{
    struct u_pgfault f[PRQ_GROUPS];
    unsigned asked = 0;

    (void)state;
    open_all();
    uint32_t with = hwpt_on(ioas[1], U_HWPT_PASID, a_queue());

    assert_int_equal(device_attach(&the_call, dev[0], NO_PASID, &with), 0);
    assert_int_equal(ask(0, NO_PASID, 30), -EAGAIN);
    assert_int_equal(swiommu_tick(port_now()), 0);
    if (swiommu_tick(port_now() + swiommu_timeout_ms * 1000000) != 1) {
        fail_msg("answer-lost: a request waits for ever");
    }
    told(0, 1, 30, IOMMU_RESPONSE_FAILURE);
    assert_int_equal(read_all(f, 4), 1); /* the program answers it still, and nobody hears */
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
    told(0, 1, 30, IOMMU_RESPONSE_FAILURE);
    while (asked <= PRQ_GROUPS && ask(0, NO_PASID, 40 + asked) == -EAGAIN) {
        asked++;
    }
    assert_true(asked >= 16 && asked < PRQ_GROUPS);
    assert_int_equal(device_mock(0)->responses, 1);
    assert_int_equal(read_all(f, PRQ_GROUPS), asked);
    for (unsigned i = 0; i < asked; i++) {
        assert_int_equal(ask(0, NO_PASID, 99), -EFAULT); /* until all are answered */
        assert_int_equal(say(f[i].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
        told(0, 2 + i, 40 + i, IOMMU_RESPONSE_SUCCESS);
    }
    assert_int_equal(ask(0, NO_PASID, 41), -EAGAIN);
    close_queue();
    close_all();
}

/* Under a guest's first stage its PASIDs ask by the stream; one that is attached itself does not. */
static void of_a_guest(void **state)
{
    struct u_pgfault f[4];

    (void)state;
    open_all();
    uint32_t with = hwpt_on(target[0], U_HWPT_PASID, a_queue());

    assert_int_equal(device_attach(&the_call, dev[0], NO_PASID, &with), 0);
    assert_int_equal(device_attach(&the_call, dev[0], 5, &target[1]), 0);
    assert_ptr_equal(swiommu_tree(dev[0], NO_PASID), table(0));
    assert_int_equal(ask(0, 77, 50), -EAGAIN);
    assert_int_equal(ask(0, 5, 51), -EFAULT);
    assert_int_equal(read_all(f, 4), 1);
    assert_true(f[0].pasid == 77 && f[0].grpid == 50);
    assert_int_equal(say(f[0].cookie, U_RESP_SUCCESS), sizeof(struct u_page_response));
    told(0, 1, 50, IOMMU_RESPONSE_SUCCESS);
    assert_true(device_mock(0)->last.pasid_valid && device_mock(0)->last.pasid == 77);
    close_queue();
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(story),     cmocka_unit_test(many),    cmocka_unit_test(requests),
        cmocka_unit_test(taken_off), cmocka_unit_test(waiting), cmocka_unit_test(of_a_guest),
    };

    return cmocka_run_group_tests_name("iommufd_attach", tests, lib_setup, NULL);
}
