/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The user-space /dev/iommu from inside: what each call refuses and with which number, how long
 * objects live, what is pinned and charged, and after every step of a long random story the whole
 * of each table against a second account kept here.
 */
#include "lib_iommufd.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BASE T_APERTURE_FIRST

/* ---- sizes, flags, tails ---- */

static void sizes(void **state)
{
    static const struct {
        unsigned nr;
        uint32_t min, size;
    } op[] = {
        { U_DESTROY, 8, 8 },
        { U_IOAS_ALLOC, 12, 12 },
        { U_IOAS_ALLOW_IOVAS, 24, 24 },
        { U_IOAS_COPY, 40, 40 },
        { U_IOAS_IOVA_RANGES, 32, 32 },
        { U_IOAS_MAP, 40, 40 },
        { U_IOAS_UNMAP, 24, 24 },
        { U_OPTION, 24, 24 },
        { U_VFIO_IOAS, 12, 12 },
        { U_HWPT_ALLOC, 24, 48 },
        { U_GET_HW_INFO, 32, 40 },
        { U_HWPT_SET_DIRTY_TRACKING, 16, 16 },
        { U_HWPT_GET_DIRTY_BITMAP, 48, 48 },
        { U_HWPT_INVALIDATE, 32, 32 },
        { U_FAULT_QUEUE_ALLOC, 16, 16 },
        { U_IOAS_MAP_FILE, 40, 40 },
        { U_VIOMMU_ALLOC, 24, 40 },
        { U_VDEVICE_ALLOC, 24, 24 },
        { U_IOAS_CHANGE_PROCESS, 8, 8 },
        { U_VEVENTQ_ALLOC, 28, 32 },
        { U_HW_QUEUE_ALLOC, 40, 40 },
        { U_IOAS_NOIOMMU_GET_PA, 40, 40 },
    };
    struct ctx *c = ctx_new(false);

    (void)state;
    assert_int_equal(sizeof(op) / sizeof(op[0]), U_IOAS_NOIOMMU_GET_PA - U_BASE + 1);
    for (size_t i = 0; i < sizeof(op) / sizeof(op[0]); i++) {
        union {
            uint32_t size;
            unsigned char byte[128];
        } u;

        memset(&u, 0, sizeof(u));
        /* GET_HW_INFO may end anywhere behind its reserved bytes, HWPT_ALLOC too. */
        u.size = op[i].nr == U_GET_HW_INFO ? 31 : op[i].nr == U_HWPT_ALLOC ? 23 : op[i].min - 1;
        assert_int_equal(io(c, op[i].nr, &u), -EINVAL);
        memset(&u, 0, sizeof(u));
        u.size = op[i].size + 1;
        u.byte[op[i].size] = 1;
        assert_int_equal(io(c, op[i].nr, &u), -E2BIG);
        u.byte[op[i].size] = 0;
        assert_int_not_equal(io(c, op[i].nr, &u), -E2BIG);
        assert_int_equal(io(c, op[i].nr, NULL), -EFAULT);
    }
    struct u_destroy d = { sizeof(d), 1 };
    struct call wrong = { .ctx = c,
                          .mm = lib_mm,
                          .cmd = U_IO(U_DESTROY) | 1u << 30, /* _IOW */
                          .arg = (uint64_t)(uintptr_t)&d };

    assert_int_equal(ctx_ioctl(&wrong), -ENOTTY);
    assert_int_equal(io(c, U_BASE - 1, &d), -ENOTTY);
    assert_int_equal(io(c, U_TEST_NR + 1, &d), -ENOTTY);
    ctx_put(c);
}

/* The structure ends where the caller's memory does: nothing behind it is looked at. */
static void at_the_edge(void **state)
{
    struct ctx *c = ctx_new(false);
    char *p = io_shared(2 * PG);

    (void)state;
    assert_int_equal(mprotect(p + PG, PG, PROT_NONE), 0);
    struct u_destroy *d = (struct u_destroy *)(void *)(p + PG - sizeof(*d));

    *d = (struct u_destroy){ sizeof(*d), 77 };
    assert_int_equal(io(c, U_DESTROY, d), -ENOENT);
    d->size = sizeof(*d) + 1;
    assert_int_equal(io(c, U_DESTROY, d), -EFAULT);
    ctx_put(c);
    munmap(p, 2 * PG);
}

static void refusals(void **state)
{
    struct ctx *c = ctx_new(false);
    uint32_t s = io_ioas(c);
    char *p = io_shared(4 * PG);

    (void)state;
    assert_int_equal(io_map(c, s, p, PG, 0, 1u << 3), -EOPNOTSUPP);
    assert_int_equal(io_map(c, s, p, PG, 0, U_MAP_FIXED), -EINVAL);
    assert_int_equal(io_map(c, s, p, 0, BASE, RW_FIXED), -EINVAL);
    assert_int_equal(io_map(c, s, p, UINT64_MAX, BASE, RW_FIXED), -EOVERFLOW);
    assert_int_equal(io_map(c, s, p, PG, UINT64_MAX, RW_FIXED), -EOVERFLOW);
    assert_int_equal(io_map(c, s, p, 2 * PG, UINT64_MAX - PG, RW_FIXED), -EOVERFLOW);
    assert_int_equal(io_map(c, s + 1, p, PG, BASE, RW_FIXED), -ENOENT);
    assert_int_equal(io_unmap(c, s, BASE, 0), -EINVAL);
    assert_int_equal(io_unmap(c, s, BASE, PG), -ENOENT);
    assert_int_equal(io_unmap(c, s, UINT64_MAX - PG, 2 * PG), -EOVERFLOW);
    assert_int_equal(io_unmap(c, s, 0, UINT64_MAX), 0);
    /* Nobody looks at the memory before a table needs it. */
    assert_int_equal(io_map(c, s, NULL, PG, BASE, RW_FIXED), 0);
    struct t_cmd d = { .size = sizeof(d), .op = T_MOCK_DOMAIN, .id = s };

    assert_int_equal(io(c, U_TEST_NR, &d), -EFAULT);
    assert_int_equal(io_unmap(c, s, BASE, PG), 0);
    assert_int_equal(io(c, U_TEST_NR, &d), 0);
    /* Read-only memory is not for writing devices. */
    assert_int_equal(mprotect(p, PG, PROT_READ), 0);
    assert_int_equal(io_map(c, s, p, PG, BASE, RW_FIXED), -EFAULT);
    assert_int_equal(io_map(c, s, p, PG, BASE, U_MAP_FIXED | U_MAP_READ), 0);
    ctx_put(c);
    munmap(p, 4 * PG);
}

/* ---- what is pinned and charged ---- */

static void pins(void **state)
{
    struct ctx *c = ctx_new(false);
    uint32_t s = io_ioas(c), hwpt;
    char *p = io_shared(4 * PG);

    (void)state;
    (void)io_device(c, s, &hwpt, NULL);
    /* The second half is missing: the first must not stay pinned, nor mapped. */
    munmap(p + 2 * PG, 2 * PG);
    assert_int_equal(io_map(c, s, p, 4 * PG, BASE, RW_FIXED), -EFAULT);
    struct hwpt *h = obj_get(c, hwpt, OBJ_HWPT_PAGING);
    uint64_t pa;

    assert_int_equal(domain_peek(h->domain, BASE, &pa), -EFAULT);
    assert_int_equal(phys_pins(io_page(p)), 0);
    assert_int_equal(io_map(c, s, p, 2 * PG, BASE, RW_FIXED), 0);
    assert_int_equal(io_map(c, s, p, 2 * PG, BASE + 8 * PG, RW_FIXED), 0);
    assert_int_equal(phys_pins(io_page(p + PG)), 2); /* two mappings, each its own pin */
    (void)io_device(c, s, NULL, NULL);
    assert_int_equal(phys_pins(io_page(p + PG)), 2); /* the same table */
    assert_int_equal(io_unmap(c, s, BASE, 2 * PG), 0);
    assert_int_equal(phys_pins(io_page(p + PG)), 1);
    ctx_put(c);
    assert_int_equal(phys_pins(io_page(p + PG)), 0);
    munmap(p, 2 * PG);
}

static void without_ipc_lock(bool without)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2];

    assert_int_equal(syscall(SYS_capget, &head, data), 0);
    if (without) {
        data[0].effective &= ~(1u << CAP_IPC_LOCK);
    } else {
        data[0].effective |= data[0].permitted & 1u << CAP_IPC_LOCK;
    }
    assert_int_equal(syscall(SYS_capset, &head, data), 0);
}

static void limit(void **state)
{
    struct ctx *c = ctx_new(false);
    struct rlimit old, r;
    uint32_t s;
    char *p = io_shared(16 * PG);

    (void)state;
    s = io_ioas(c);
    (void)io_device(c, s, NULL, NULL);
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
    r = (struct rlimit){ 8 * PG, old.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &r), 0);
    without_ipc_lock(true);
    assert_int_equal(io_map(c, s, p, 9 * PG, BASE, RW_FIXED), -ENOMEM);
    assert_int_equal(phys_pins(io_page(p)), 0);
    assert_int_equal(lib_mm->pinned, 0);
    assert_int_equal(io_map(c, s, p, 8 * PG, BASE, RW_FIXED), 0);
    assert_int_equal(lib_mm->pinned, 8);
    assert_int_equal(io_map(c, s, p, PG, BASE + 16 * PG, RW_FIXED), -ENOMEM);
    assert_int_equal(io_unmap(c, s, BASE, 8 * PG), 0);
    assert_int_equal(lib_mm->pinned, 0);
    without_ipc_lock(false);
    setrlimit(RLIMIT_MEMLOCK, &old);
    ctx_put(c);
    munmap(p, 16 * PG);
}

/* ---- the lives of objects ---- */

static void lives(void **state)
{
    uint64_t tables = frame_tables_free();
    struct ctx *c = ctx_new(false);
    uint32_t s = io_ioas(c), hwpt, dev, st = io_device(c, s, &hwpt, &dev);
    struct u_hwpt_alloc h = { .size = sizeof(h), .dev_id = dev, .pt_id = s };
    char *p = io_shared(64 * PG);

    (void)state;
    assert_int_equal(io_map(c, s, p, 64 * PG, BASE, RW_FIXED), 0);
    assert_int_equal(io_destroy(c, s), -EBUSY);
    assert_int_equal(io_destroy(c, hwpt), -EBUSY);
    assert_int_equal(io_destroy(c, dev), -EBUSY);
    assert_int_equal(io(c, U_HWPT_ALLOC, &h), 0);
    assert_int_equal(io_destroy(c, st), 0);
    /* The automatic table went with its last device, the other stays. */
    assert_int_equal(io_destroy(c, hwpt), -ENOENT);
    assert_int_equal(io_destroy(c, dev), -ENOENT);
    assert_int_equal(io_destroy(c, s), -EBUSY);
    assert_int_equal(phys_pins(io_page(p)), 1);
    assert_int_equal(io_destroy(c, h.out_hwpt_id), 0);
    assert_int_equal(phys_pins(io_page(p)), 0);
    assert_int_equal(io_destroy(c, s), 0);
    assert_int_equal(frame_tables_free(), tables);
    /* Ids are used again, lowest first. */
    assert_int_equal(io_ioas(c), s);
    /* A close takes everything, in whatever order it must. */
    (void)io_device(c, s, &hwpt, &dev);
    h = (struct u_hwpt_alloc){
        .size = sizeof(h), .flags = U_HWPT_NEST_PARENT, .dev_id = dev, .pt_id = s
    };
    assert_int_equal(io(c, U_HWPT_ALLOC, &h), 0);
    struct u_viommu_alloc v = {
        .size = sizeof(v), .type = T_VIOMMU, .dev_id = dev, .hwpt_id = h.out_hwpt_id
    };

    assert_int_equal(io(c, U_VIOMMU_ALLOC, &v), 0);
    assert_int_equal(io_map(c, s, p, 64 * PG, BASE, RW_FIXED), 0);
    ctx_put(c);
    assert_int_equal(frame_tables_free(), tables);
    assert_int_equal(phys_pins(io_page(p)), 0);
    munmap(p, 64 * PG);
}

/* A fault queue: its answers come back to nobody, but must be asked for right. */
static void faults(void **state)
{
    struct ctx *c = ctx_new(false);
    uint32_t s = io_ioas(c), dev, st = io_device(c, s, NULL, &dev);
    struct u_fault_alloc f = { .size = sizeof(f) };
    struct u_pgfault got[3] = { { 0 } };
    struct t_cmd t = { .size = sizeof(t), .op = T_TRIGGER_IOPF, .iopf.dev_id = dev };

    (void)state;
    assert_int_equal(io(c, U_FAULT_QUEUE_ALLOC, &f), 0);
    int fd = lib_fd;
    struct u_hwpt_alloc h = { .size = sizeof(h),
                              .flags = U_HWPT_FAULT_ID_VALID,
                              .dev_id = dev,
                              .pt_id = s,
                              .fault_id = f.out_fault_id };

    assert_int_equal(io(c, U_HWPT_ALLOC, &h), 0);
    struct t_cmd r = {
        .size = sizeof(r), .op = T_MOCK_DOMAIN_REPLACE, .id = st, .replace.pt_id = h.out_hwpt_id
    };

    assert_int_equal(io(c, U_TEST_NR, &r), 0);
    struct fault *q = obj_get(c, f.out_fault_id, OBJ_FAULT);
    uint64_t at = (uint64_t)(uintptr_t)got;

    assert_int_equal(eventq_read(&q->q, lib_mm, at, sizeof(got)), 0);
    for (int i = 0; i < 3; i++) {
        t.iopf.addr = (uint64_t)i << 12;
        assert_int_equal(io(c, U_TEST_NR, &t), 0);
    }
    assert_int_equal(eventq_read(&q->q, lib_mm, at, sizeof(got[0]) - 1), -ESPIPE);
    assert_int_equal(eventq_read(&q->q, lib_mm, 0, sizeof(got[0])), -EFAULT);
    assert_int_equal(eventq_read(&q->q, lib_mm, at, sizeof(got)), (int)sizeof(got));
    assert_int_equal(got[0].cookie, 1);
    assert_int_equal(got[2].cookie, 3);
    assert_int_equal(got[2].addr, 2 << 12);
    struct u_page_response a[2] = { { 2, 0 }, { 9, 0 } };

    at = (uint64_t)(uintptr_t)a;
    assert_int_equal(eventq_write(&q->q, lib_mm, at, sizeof(a)), (int)sizeof(a[0]));
    assert_int_equal(eventq_write(&q->q, lib_mm, at, sizeof(a[0])), -EINVAL); /* answered before */
    assert_int_equal(io_destroy(c, f.out_fault_id), -EBUSY);
    close(fd);
    eventq_closed(&q->q);
    ctx_put(c);
}

/* ---- a long story against a second account ---- */

#define SLOTS  96u
#define PAGES  48u
#define TABLES 3u

struct slot {
    uint32_t area, origin; /* 0: nothing; areas are numbered, copies keep their origin */
    uint32_t page;
};
struct story {
    struct ctx *c;
    uint32_t s;
    char *buf;
    struct slot slot[SLOTS];
    uint32_t next, table[TABLES], hwpt[TABLES], tables;
};

static unsigned dice(unsigned n)
{
    return (unsigned)rand() % n;
}

static bool hole(const struct story *t, unsigned at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (t->slot[at + i].area != 0) {
            return false;
        }
    }
    return true;
}

/* The account says what each table must show, and how often each page is pinned. */
static void compare(const struct story *t)
{
    for (unsigned k = 0; k < t->tables; k++) {
        struct hwpt *h = obj_get(t->c, t->hwpt[k], OBJ_HWPT_PAGING);

        for (unsigned i = 0; i < SLOTS; i++) {
            uint64_t pa = 0, half = i % 2 * 2048;
            int err = domain_peek(h->domain, BASE + i * PG + half, &pa);
            const struct slot *s = &t->slot[i];

            if (s->area == 0 ? err == 0 : err != 0) {
                fail_msg("table-shows: slot %u mapped %d, wanted %d", i, err == 0, s->area != 0);
            }
            if (s->area != 0 && pa != io_page(t->buf + s->page * PG) + half) {
                fail_msg("table-misplaces: slot %u", i);
            }
        }
    }
    for (unsigned p = 0; p < PAGES; p++) {
        uint32_t n = 0;

        for (unsigned i = 0; i < SLOTS; i++) {
            bool first = t->slot[i].area != 0 && t->slot[i].page == p;

            for (unsigned k = 0; k < i && first; k++) {
                first = t->slot[k].area == 0 || t->slot[k].page != p ||
                        t->slot[k].origin != t->slot[i].origin;
            }
            n += first;
        }
        if (phys_pins(io_page(t->buf + p * PG)) != (t->tables != 0 ? n : 0)) {
            fail_msg("pins-wrong: page %u has %u, wanted %u", p,
                     phys_pins(io_page(t->buf + p * PG)), n);
        }
    }
}

static void story_map(struct story *t)
{
    unsigned n = 1 + dice(8), at = dice(SLOTS - n + 1), page = dice(PAGES - n + 1);
    int want = hole(t, at, n) ? 0 : -EEXIST;

    assert_int_equal(io_map(t->c, t->s, t->buf + page * PG, n * PG, BASE + at * PG, RW_FIXED),
                     want);
    for (unsigned i = 0; i < n && want == 0; i++) {
        t->slot[at + i] = (struct slot){ t->next, t->next, page + i };
    }
    t->next++;
}

static void story_copy(struct story *t)
{
    unsigned n = 1 + dice(8), from = dice(SLOTS - n + 1), to = dice(SLOTS - n + 1);
    struct u_ioas_copy u = { .size = sizeof(u),
                             .flags = RW_FIXED,
                             .dst_ioas_id = t->s,
                             .src_ioas_id = t->s,
                             .length = n * PG,
                             .src_iova = BASE + from * PG,
                             .dst_iova = BASE + to * PG };
    struct slot made[8];
    int want = 0;

    for (unsigned i = 0; i < n; i++) {
        made[i] = t->slot[from + i];
        want = made[i].area == 0 ? -ENOENT : want;
        /* Each area of the source becomes one of the copy. */
        if (i == 0 || t->slot[from + i].area != t->slot[from + i - 1].area) {
            t->next++;
        }
        made[i].area = t->next;
    }
    t->next++;
    want = want == 0 && !hole(t, to, n) ? -EEXIST : want;
    assert_int_equal(io(t->c, U_IOAS_COPY, &u), want);
    for (unsigned i = 0; i < n && want == 0; i++) {
        t->slot[to + i] = made[i];
    }
}

static void story_unmap(struct story *t)
{
    unsigned n = 1 + dice(12), at = dice(SLOTS - n + 1);
    bool some = false, split;

    split = (at > 0 && t->slot[at].area != 0 && t->slot[at - 1].area == t->slot[at].area);
    /* What lies whole in the range goes, up to the first area that does not. */
    int want = split ? -ENOENT : 0;
    unsigned end = at + n;

    if (end < SLOTS && t->slot[end].area != 0 && t->slot[end - 1].area == t->slot[end].area) {
        uint32_t cut = t->slot[end].area;

        want = -ENOENT;
        while (end > at && t->slot[end - 1].area == cut) {
            end--;
        }
    }
    for (unsigned i = at; i < end && !split; i++) {
        some = some || t->slot[i].area != 0;
        t->slot[i].area = 0;
    }
    want = want == 0 && !some ? -ENOENT : want;
    assert_int_equal(io_unmap(t->c, t->s, BASE + at * PG, n * PG), want);
}

/* Tables come and go under the mappings. */
static void story_table(struct story *t)
{
    static uint32_t dev;

    if (t->tables < TABLES && dice(2) != 0) {
        if (t->tables == 0) {
            t->table[0] = io_device(t->c, t->s, &t->hwpt[0], &dev);
        } else {
            struct u_hwpt_alloc h = { .size = sizeof(h), .dev_id = dev, .pt_id = t->s };

            assert_int_equal(io(t->c, U_HWPT_ALLOC, &h), 0);
            t->table[t->tables] = t->hwpt[t->tables] = h.out_hwpt_id;
        }
        t->tables++;
    } else if (t->tables > 0) {
        assert_int_equal(io_destroy(t->c, t->table[--t->tables]), 0);
    }
}

static void story(void **state)
{
    struct story t = { .c = ctx_new(false), .next = 1 };

    (void)state;
    srand(1);
    t.s = io_ioas(t.c);
    t.buf = io_shared(PAGES * PG);
    for (unsigned i = 0; i < 3000; i++) {
        switch (dice(8)) {
        case 0:
        case 1:
        case 2:
            story_map(&t);
            break;
        case 3:
        case 4:
            story_copy(&t);
            break;
        case 5:
        case 6:
            story_unmap(&t);
            break;
        default:
            story_table(&t);
        }
        compare(&t);
    }
    ctx_put(t.c);
    for (unsigned p = 0; p < PAGES; p++) {
        assert_int_equal(phys_pins(io_page(t.buf + p * PG)), 0);
    }
    munmap(t.buf, PAGES * PG);
}

/* ---- large leaves with ragged ends ---- */

static void shows(const struct hwpt *h, const char *p, uint64_t iova, uint64_t len, bool there)
{
    /* A page before it and one behind it: those are never there. */
    for (uint64_t at = 0; at <= len + PG; at += PG) {
        uint64_t pa = 0;
        bool want = there && at != 0 && at <= len;

        if ((domain_peek(h->domain, iova + at - PG, &pa) == 0) != want) {
            fail_msg("table-shows: page %lu of %lu, wanted %d", at / PG, len / PG, want);
        }
        if (want && pa != io_page(p + at - PG)) {
            fail_msg("table-misplaces: page %lu of %lu", at / PG, len / PG);
        }
    }
}

static void ragged(void **state)
{
    enum { MIB = 1 << 20, SPAN = 12 * MIB };
    struct ctx *c = ctx_new(false);
    uint64_t tables = frame_tables_free();
    uint32_t s = io_ioas(c), hwpt;
    char *p = io_shared(SPAN); /* numbered from a whole GiB on, so that leaves are large */
    unsigned large = 0;

    (void)state;
    (void)io_device(c, s, &hwpt, NULL);
    struct hwpt *h = obj_get(c, hwpt, OBJ_HWPT_PAGING);

    srand(5);
    for (unsigned i = 0; i < 40; i++) {
        /* Ends at or near what leaves of 2 MiB (1 MiB of the mock's, whose addresses are doubled) and of
         * several entries end at. */
        uint64_t unit = 32ull * 1024 << dice(8), from = dice(4) * unit % (SPAN / 2);
        uint64_t to = from + (1 + dice(4)) * unit;

        from += dice(3) * PG;
        to = to < SPAN ? to : SPAN;
        to -= dice(3) * PG;
        if (from >= to) {
            continue;
        }
        uint64_t iova = BASE + 64 * MIB + from;

        assert_int_equal(io_map(c, s, p + from, to - from, iova, RW_FIXED), 0);
        shows(h, p + from, iova, to - from, true);
        for (uint64_t at = iova; at < iova + (to - from); at += PG) {
            struct pt_leaf leaf;

            assert_int_equal(space_lookup(&h->domain->space, at << 1, &leaf), 0);
            large += leaf.last - leaf.ia >= 2 * MIB - 1;
        }
        assert_int_equal(io_unmap(c, s, iova, to - from), 0);
        shows(h, p + from, iova, to - from, false);
    }
    ctx_put(c);
    assert_true(frame_tables_free() >= tables && large > 1000);
    munmap(p, SPAN);
}

/* A client that makes buffers without end costs the server a bounded number of descriptors. */
static void idle_buffers(void **state)
{
    struct dmabuf *b = dmabuf_new(PG);
    int copy = dup(b->fd), next;

    (void)state;
    for (unsigned i = 0; i < 4 * DMABUFS_IDLE; i++) {
        b = dmabuf_new(PG);
        assert_non_null(b);
    }
    next = dup(copy); /* the lowest number that is free */
    close(next);
    assert_true(next - copy <= 2 * (int)DMABUFS_IDLE);
    assert_ptr_equal(dmabuf_find(b->fd), b);
    assert_null(dmabuf_find(copy)); /* the oldest was forgotten, not taken for another */
    close(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes),        cmocka_unit_test(at_the_edge), cmocka_unit_test(refusals),
        cmocka_unit_test(pins),         cmocka_unit_test(limit),       cmocka_unit_test(lives),
        cmocka_unit_test(faults),       cmocka_unit_test(story),       cmocka_unit_test(ragged),
        cmocka_unit_test(idle_buffers),
    };

    return cmocka_run_group_tests(tests, lib_setup, NULL);
}
