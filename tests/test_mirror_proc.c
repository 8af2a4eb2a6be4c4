/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process mirrors on a live process, as an ordinary user: a second process does DMA through the
 * mirror while a third one changes its memory. What the machine does not permit is skipped, and said.
 */
#include "lib_mirror.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MEMFD_WORD(off) (t.alias[(off) / 8])

static struct tm_rig t;

/* Formats take turns, one a test. */
static const struct pt_config formats[] = {
    { .format = PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 48, .live = { .bbm = 2 } },
    { .format = PT_VTD_SS, .ia_bits = 48, .oa_bits = 52 },
    { .format = PT_X86_64,
      .ia_bits = 48,
      .oa_bits = 52,
      .live = { .hw_af = true, .hw_dirty = true } },
    { .format = PT_AMD_V1, .ia_bits = 48, .oa_bits = 52 },
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))
static unsigned turn;

/* False: skipped, with the reason. */
static bool opened(unsigned how)
{
    const struct pt_config *cfg = &formats[turn++ % FORMATS];

    tm_memory();
    const char *why = tm_open(&t, how, cfg, cfg->format == PT_X86_64 ? PT_USER : 0);

    if (why != NULL) {
        print_message("skipped, this machine does not permit it: %s\n", why);
        return false;
    }
    return true;
}

#define OPEN(how)         \
    do {                  \
        if (!opened(how)) \
            skip();       \
    } while (0)

static uint64_t ia(uint64_t off)
{
    return TM_IA + off;
}

/* As a device that asks for pages: -EAGAIN means again. */
static int fault(uint64_t off, uint32_t access)
{
    int err;

    while ((err = mirror_watch_fault(&t.w, ia(off), access)) == -EAGAIN) {
        sched_yield();
    }
    return err;
}

static struct tm_access rd(uint64_t off)
{
    struct tm_access a = tm_device_read(&t.d, ia(off));

    if (a.fault == MODEL_FAULT_TRANSLATION && fault(off, PT_READ) == 0) {
        a = tm_device_read(&t.d, ia(off));
    }
    return a;
}

static void reads(uint64_t off, uint64_t value)
{
    struct tm_access a = rd(off);

    tp_assert(a.fault == MODEL_OK && a.value == value, "wrong-read: at %#lx: %s, %#lx, not %#lx\n",
              (unsigned long)off, model_fault_name(a.fault), (unsigned long)a.value,
              (unsigned long)value);
}

static void writes(uint64_t off, uint64_t value)
{
    if (tm_device_write(&t.d, ia(off), value).fault != MODEL_OK) {
        assert_int_equal(fault(off, RW), 0);
        assert_int_equal(tm_device_write(&t.d, ia(off), value).fault, MODEL_OK);
    }
}

static unsigned level_at(uint64_t off)
{
    struct pt_leaf leaf;

    assert_int_equal(space_lookup(&t.s, ia(off), &leaf), 0);
    return leaf.present ? (unsigned)leaf.level : 0;
}

static const char *ended(void)
{
    return __atomic_load_n(&t.w.ended, __ATOMIC_ACQUIRE);
}

/* ---- what is mapped ---- */

static void on_demand(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    /* The process's, the file's and the device's view are one. */
    MEMFD_WORD(0x1008) = 1;
    assert_int_equal(tm_device_read(&t.d, ia(0x1008)).fault, MODEL_FAULT_TRANSLATION);
    reads(0x1008, 1);
    assert_int_equal(level_at(0x1008), 2); /* two megabytes of the file in one line */
    writes(0x1010, 2);
    assert_int_equal(tm_proc_peek(&t.p, t.start + 0x1010), 2);
    tm_proc_poke(&t.p, t.start + 0x1010, 3);
    reads(0x1010, 3);
    /* Private memory: by address. */
    tm_proc_poke(&t.p, t.start + TM_PRIVATE + 8, 4);
    reads(TM_PRIVATE + 8, 4);
    writes(TM_PRIVATE + 16, 5);
    assert_int_equal(tm_proc_peek(&t.p, t.start + TM_PRIVATE + 16), 5);
    /* Rights, and holes. */
    reads(TM_RO, 0);
    tp_assert(fault(TM_RO, RW) == -EPERM, "wrote-read-only\n");
    assert_int_equal(tm_device_write(&t.d, ia(TM_RO), 6).fault, MODEL_FAULT_PERMISSION);
    assert_int_equal(MEMFD_WORD(TM_RO_AT), 0);
    assert_int_equal(fault(TM_HOLE, PT_READ), -EFAULT);
    assert_int_equal(mirror_watch_fault(&t.w, ia(TM_LEN), PT_READ), -EFAULT);
    /* A right that it gains is the device's with the next request. */
    assert_int_equal(tm_proc_call(&t.p, SYS_mprotect, t.start + TM_RO, PAGE_SIZE, 3, 0, 0, 0), 0);
    writes(TM_RO, 7);
    assert_int_equal(MEMFD_WORD(TM_RO_AT), 7);
    tm_close(&t);
}

/* The file's frame is the process's only until it writes; the device must not write to the file. */
static void private_is_by_address(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    MEMFD_WORD(TM_COPY_AT) = 1;
    reads(TM_COPY, 1);
    tm_proc_poke(&t.p, t.start + TM_COPY, 2); /* it has a page of its own now; no call was made */
    tp_assert(rd(TM_COPY).value == 2, "device-in-the-file: an old value was read\n");
    writes(TM_COPY, 3);
    tp_assert(tm_proc_peek(&t.p, t.start + TM_COPY) == 3 && MEMFD_WORD(TM_COPY_AT) == 1,
              "device-in-the-file: a private page was reached through the file's frame\n");
    tm_close(&t);
}

/* ---- calls ---- */

struct change {
    const char *name;
    long nr;
    uint64_t at;               /* the page that goes, offset in the range */
    uint64_t a, b, c, d, e, f; /* arguments; AT(x): an address in the range */
    int then;                  /* what a fault answers afterwards */
    bool zero;                 /* ... and it reads zero if mapped: else what was there */
};
#define AT(off)    ((off) + ((uint64_t)1 << 60))
#define IN_CALL(v) ((v) >> 60 == 1 ? (v) - ((uint64_t)1 << 60) + t.start : (v))
#define PG         PAGE_SIZE
#define FIXED_ANON ((uint64_t)(MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS))

static const struct change changes[] = {
    { "munmap", SYS_munmap, 0x5000, AT(0x5000), PG, .then = -EFAULT },
    { "munmap of more", SYS_munmap, 0x9000, AT(0x8000), 4 * PG, .then = -EFAULT },
    { "munmap, private", SYS_munmap, TM_PRIVATE + PG, AT(TM_PRIVATE + PG), PG, .then = -EFAULT },
    { "mprotect", SYS_mprotect, 0x11000, AT(0x11000), PG, PROT_NONE, .then = -EPERM },
    { "mmap over it", SYS_mmap, 0x13000, AT(0x13000), PG, 3, FIXED_ANON, (uint64_t)-1,
      .zero = true },
    { "mremap away", SYS_mremap, 0x15000, AT(0x15000), PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED,
      AT(TM_HOLE), .then = -EFAULT },
    { "mremap onto it", SYS_mremap, 0x17000, AT(TM_PRIVATE + 8 * PG), PG, PG,
      MREMAP_MAYMOVE | MREMAP_FIXED, AT(0x17000), .zero = true },
    { "madvise remove", SYS_madvise, 0x19000, AT(0x19000), PG, MADV_REMOVE, .zero = true },
    { "madvise dontneed", SYS_madvise, TM_PRIVATE + 10 * PG, AT(TM_PRIVATE + 10 * PG), PG,
      MADV_DONTNEED, .zero = true },
    { "madvise free", SYS_madvise, TM_PRIVATE + 12 * PG, AT(TM_PRIVATE + 12 * PG), PG, MADV_FREE,
      .then = 0 },
};

static const struct change *_Atomic now;
static atomic_uint gone_in_time;

/* The call waits for us: the page must be out of the table, of the device, and stay so. */
static void call_goes_on(void *ctx, int nr)
{
    const struct change *c = now;

    (void)ctx;
    if (c == NULL || nr != c->nr) {
        return;
    }
    struct tm_access a = tm_device_read(&t.d, ia(c->at));

    if (level_at(c->at) == 0 && a.fault == MODEL_FAULT_TRANSLATION &&
        mirror_watch_fault(&t.w, ia(c->at), PT_READ) == -EAGAIN) {
        gone_in_time++;
    } else {
        print_error("%s: leaf of level %u, device: %s\n", c->name, level_at(c->at),
                    model_fault_name(a.fault));
    }
}

static void drops_before_calls(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    __atomic_store_n(&t.w.on_go, call_goes_on, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        const struct change *c = &changes[i];

        writes(c->at, 100 + i);
        reads(c->at, 100 + i); /* it is in the device's TLB now */
        gone_in_time = 0;
        now = c;
        long r = tm_proc_call(&t.p, c->nr, IN_CALL(c->a), IN_CALL(c->b), c->c, c->d, IN_CALL(c->e),
                              c->f);

        now = NULL;
        tp_assert(r >= 0, "%s: %ld\n", c->name, r);
        tp_assert(gone_in_time == 1, "still-there-when-the-call-goes-on: %s\n", c->name);
        int err = fault(c->at, PT_READ);

        tp_assert(err == c->then, "%s: then %d, not %d\n", c->name, err, c->then);
        if (err == 0) {
            reads(c->at, c->zero ? 0 : 100 + i);
        }
    }
    tp_assert(ended() == NULL, "%s\n", ended());
    tm_close(&t);
}

/* An access that has begun is over before the call goes on: no word in a frame that was given up. */
static void in_flight_is_over(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    writes(0x3000, 1);
    assert_int_equal(tm_device_begin_write(&t.d, ia(0x3000), 2).fault, MODEL_OK);
    assert_int_equal(tm_proc_call(&t.p, SYS_munmap, t.start + 0x3000, PG, 0, 0, 0, 0), 0);
    tp_assert(MEMFD_WORD(0x3000) == 2, "in-flight-after-the-call\n");
    MEMFD_WORD(0x3000) = 3;
    tm_device_complete(&t.d);
    assert_int_equal(MEMFD_WORD(0x3000), 3);
    tm_close(&t);
}

/* ---- children ---- */

static const struct change child_change = { "munmap by a child", SYS_munmap, 0x21000,
                                            .then = -EFAULT };

static void child_that_shares(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    __atomic_store_n(&t.w.on_go, call_goes_on, __ATOMIC_RELEASE);
    assert_int_equal(tm_proc_child(&t.p, true, t.start + 0x21000, PG), 0);
    writes(0x21000, 1);
    gone_in_time = 0;
    now = &child_change;
    assert_int_equal(tm_proc_child_unmaps(&t.p), 0);
    now = NULL;
    tp_assert(gone_in_time == 1, "child-not-followed\n");
    assert_int_equal(fault(0x21000, PT_READ), -EFAULT);
    tm_close(&t);
}

static void child_with_a_copy(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    assert_int_equal(tm_proc_child(&t.p, false, t.start + 0x21000, PG), 0);
    writes(0x21000, 1);
    writes(TM_PRIVATE, 2);
    assert_int_equal(tm_proc_child_unmaps(&t.p), 0);
    /* The parent has lost nothing, and the device is where the parent is, not the child. */
    reads(0x21000, 1);
    writes(TM_PRIVATE, 3);
    assert_int_equal(tm_proc_peek(&t.p, t.start + TM_PRIVATE), 3);
    tm_close(&t);
}

static void before_fork(void *ctx, int nr)
{
    (void)ctx;
    if (nr == SYS_clone && level_at(TM_PRIVATE) == 0) {
        gone_in_time++;
    }
}

/* Private pages become copy-on-write: a writable entry must not live through that. */
static void fork_is_a_change(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    __atomic_store_n(&t.w.on_go, before_fork, __ATOMIC_RELEASE);
    writes(TM_PRIVATE, 2);
    gone_in_time = 0;
    assert_int_equal(tm_proc_child(&t.p, false, t.start + TM_HOLE, PG), 0);
    assert_int_equal(tm_proc_child_unmaps(&t.p), 0);
    tp_assert(gone_in_time == 1, "fork-not-followed\n");
    tm_close(&t);
}

/* ---- ends ---- */

static void exec_ends_it(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    writes(0x5000, 1);
    writes(TM_PRIVATE, 2);
    tm_proc_exec(&t.p);
    tp_assert(ended() != NULL, "exec-not-seen\n");
    assert_int_equal(level_at(0x5000) + level_at(TM_PRIVATE), 0);
    assert_int_equal(mirror_watch_fault(&t.w, ia(0x5000), PT_READ), -EFAULT);
    assert_int_equal(tm_device_read(&t.d, ia(0x5000)).fault, MODEL_FAULT_TRANSLATION);
    tm_close(&t);
}

static void exit_ends_it(void **state)
{
    (void)state;
    OPEN(WATCH_CALLS);
    writes(0x5000, 1);
    tm_proc_stop(&t.p);
    tp_assert(ended() != NULL, "exit-not-seen\n");
    assert_int_equal(tm_device_read(&t.d, ia(0x5000)).fault, MODEL_FAULT_TRANSLATION);
    tm_close(&t);
}

/* What an offer refuses, before it changes anything in the process. */
static void refused_offers(void **state)
{
    char params[120] = { 0 };
    const char *why = NULL;
    void *p = mmap(NULL, PG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int file = memfd_create("unsealed", MFD_CLOEXEC);

    (void)state;
    assert_true(p != MAP_FAILED && file >= 0);
    assert_int_equal(mirror_offer(-1, p, 0, WATCH_CALLS, NULL, 0, &why), -EINVAL);
    assert_int_equal(mirror_offer(-1, (char *)p + 1, PG, WATCH_CALLS, NULL, 0, &why), -EINVAL);
    assert_int_equal(mirror_offer(-1, p, PG, 0, NULL, 0, &why), -EINVAL);
    assert_int_equal(mirror_offer(-1, p, PG, 4, NULL, 0, &why), -EINVAL);
    assert_int_equal(mirror_offer(-1, p, PG, WATCH_CALLS, &file, MIRROR_BACKINGS + 1, &why),
                     -EINVAL);
    assert_int_equal(mirror_offer(-1, p, PG, WATCH_CALLS, &file, 1, &why), -EPERM);
    assert_non_null(strstr(why, "F_SEAL_SHRINK"));
    long ring = syscall(SYS_io_uring_setup, 1, params);

    if (ring >= 0) {
        /* (Were it let in, it would fail with -EPIPE, after the filter: in a child, therefore.) */
        pid_t pid = fork();
        int status = 0;

        if (pid == 0) {
            _exit(mirror_offer(-1, p, PG, WATCH_CALLS, NULL, 0, &why) == -EBUSY ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        tp_assert(status == 0, "io-uring-let-in\n");
        close((int)ring);
    } else {
        print_message("not tried, this machine has no io_uring for us\n");
    }
    close(file);
    munmap(p, PG);
}

/* ---- events: after the change ---- */

static atomic_uint in_window, window_open;
static _Atomic uint64_t window_at;

static void event_came(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&in_window, 1);
    if (tm_device_write(&t.d, ia(window_at), 77).fault == MODEL_OK) {
        atomic_fetch_add(&window_open, 1);
    }
}

/* The kernel has unmapped already when it tells: the device reaches the old frame until the drop, and
 * never after it. */
static void events_have_a_window(void **state)
{
    static const struct {
        const char *name;
        long nr;
        uint64_t at, b, c, d, e;
    } list[] = {
        { "munmap", SYS_munmap, 0x5000, PG, 0, 0, 0 },
        { "mmap over it", SYS_mmap, 0x7000, PG, 3, FIXED_ANON, (uint64_t)-1 },
        { "mremap", SYS_mremap, 0x9000, PG, PG, MREMAP_MAYMOVE | MREMAP_FIXED, AT(TM_HOLE) },
        { "madvise", SYS_madvise, 0xb000, PG, MADV_REMOVE, 0, 0 },
    };

    (void)state;
    OPEN(WATCH_EVENTS);
    __atomic_store_n(&t.w.on_event, event_came, __ATOMIC_RELEASE);
    atomic_store(&in_window, 0);
    atomic_store(&window_open, 0);
    for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
        unsigned before = atomic_load(&in_window);

        window_at = list[i].at;
        writes(window_at, 1);
        long r = tm_proc_call(&t.p, list[i].nr, t.start + window_at, list[i].b, list[i].c,
                              list[i].d, IN_CALL(list[i].e), 0);

        tp_assert(r >= 0, "%s: %ld\n", list[i].name, r);
        /* The call has returned, so its event was read; the drop is the next thing that is done.
         * (mremap may have a second event, which may be late.) */
        while (atomic_load(&in_window) == before) {
            sched_yield();
        }
        for (unsigned k = 0; k < 100 && level_at(window_at) != 0; k++) {
            usleep(1000); /* that event was the one before */
        }
        while (__atomic_load_n(&t.w.events_seen, __ATOMIC_ACQUIRE) != atomic_load(&in_window)) {
            sched_yield();
        }
        MEMFD_WORD(window_at) = 5;
        struct tm_access a = tm_device_write(&t.d, ia(window_at), 78);

        tp_assert(a.fault == MODEL_FAULT_TRANSLATION && MEMFD_WORD(window_at) == 5,
                  "reached-after-the-event: %s\n", list[i].name);
    }
    tp_assert(atomic_load(&window_open) >= sizeof(list) / sizeof(list[0]),
              "the window is documented, but open in %u of %u events\n", atomic_load(&window_open),
              atomic_load(&in_window));
    print_message("%lu events, longest window %lu us\n",
                  (unsigned long)__atomic_load_n(&t.w.events_seen, __ATOMIC_ACQUIRE),
                  (unsigned long)(__atomic_load_n(&t.w.window_max_ns, __ATOMIC_RELAXED) / 1000));
    tm_close(&t);
}

/* A mapping made after the offer has no events: its end would not be told, so it is not mirrored. */
static void events_of_what_was_offered(void **state)
{
    (void)state;
    OPEN(WATCH_EVENTS);
    writes(0x5000, 1);
    long r = tm_proc_call(&t.p, SYS_mmap, t.start + 0x5000, PG, 3, FIXED_ANON, (uint64_t)-1, 0);

    tp_assert(r >= 0, "mmap: %ld\n", r);
    while (level_at(0x5000) != 0) {
        sched_yield();
    }
    tp_assert(fault(0x5000, PT_READ) == -EFAULT, "mapping-without-events\n");
    reads(0x4000, 0); /* beside it all is well */
    tm_close(&t);
}

/* ---- everything at once ---- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 150 };
#else
enum { ROUNDS = 750 };
#endif

static atomic_bool stop;
static atomic_uint device_wrote;

static void *device_storm(void *arg)
{
    uint64_t r = 3;

    (void)arg;
    while (!atomic_load(&stop)) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t off = ((r >> 33) % 64) * PAGE_SIZE;

        if (tm_device_begin_write(&t.d, ia(off), r).fault == MODEL_OK) {
            sched_yield();
            tm_device_complete(&t.d);
            atomic_fetch_add(&device_wrote, 1);
        } else {
            (void)mirror_watch_fault(&t.w, ia(off), RW);
        }
    }
    return NULL;
}

static void dma_beside_unmaps(void **state)
{
    pthread_t th;

    (void)state;
    for (unsigned i = 0; i < FORMATS; i++) {
        OPEN(WATCH_CALLS);
        atomic_store(&stop, false);
        assert_int_equal(pthread_create(&th, NULL, device_storm, NULL), 0);
        unsigned before = atomic_load(&device_wrote);
        long lost = 0;

        /* Once more if the device's thread did not get its turn meanwhile: then nothing was shown. */
        for (unsigned k = 0; k < 100 && lost == 0 && atomic_load(&device_wrote) == before; k++) {
            tm_proc_race(&t.p, ROUNDS);
            lost = tm_proc_raced(&t.p);
        }
        atomic_store(&stop, true);
        pthread_join(th, NULL);
        tp_assert(lost == 0, "dma-after-unmap: format %u: %ld words overwritten\n",
                  (unsigned)t.s.pt.cfg.format, lost);
        assert_true(atomic_load(&device_wrote) != before);
        print_message("format %u: %u writes by the device so far beside %u unmaps; %lu calls "
                      "watched, %lu retries\n",
                      (unsigned)t.s.pt.cfg.format, atomic_load(&device_wrote), (unsigned)ROUNDS,
                      (unsigned long)__atomic_load_n(&t.w.calls, __ATOMIC_ACQUIRE),
                      (unsigned long)t.w.m.retried);
        tm_close(&t);
    }
}

/* The thread sanitizer's runtime deadlocks now and then in a child made by fork, on a lock of its own. */
#if defined(__SANITIZE_THREAD__)
#define TM_SKIPPED 1
#else
#define TM_SKIPPED 0
#endif

static void not_under_this_sanitizer(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest none[] = { cmocka_unit_test(not_under_this_sanitizer) };

    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_demand),
        cmocka_unit_test(private_is_by_address),
        cmocka_unit_test(drops_before_calls),
        cmocka_unit_test(in_flight_is_over),
        cmocka_unit_test(child_that_shares),
        cmocka_unit_test(child_with_a_copy),
        cmocka_unit_test(fork_is_a_change),
        cmocka_unit_test(exec_ends_it),
        cmocka_unit_test(exit_ends_it),
        cmocka_unit_test(refused_offers),
        cmocka_unit_test(events_have_a_window),
        cmocka_unit_test(events_of_what_was_offered),
        cmocka_unit_test(dma_beside_unmaps),
    };

    tm_be_ordinary();
    if (TM_SKIPPED) {
        return cmocka_run_group_tests_name("mirror_proc", none, NULL, NULL);
    }
    return cmocka_run_group_tests_name("mirror_proc", tests, NULL, NULL);
}
