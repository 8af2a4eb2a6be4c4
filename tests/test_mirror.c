/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process mirrors, the part that knows no process: a finder of the test's own stands for it, and a
 * device in a second process walks the tables, in several formats.
 */
#include "lib_mirror.h"

#include <string.h>

#define VA   ((uint64_t)0x7f0000000000)
#define LEN  (4 * MIB)
#define OA   ((uint64_t)1 << 41)
#define IA   TM_IA
#define PG   PAGE_SIZE
#define HOLE (3 * MIB) /* from here on the finder has nothing */

static struct space s;
static struct tm_device d;
static struct mirror m;
static unsigned finds;
static uint32_t found_prot;
/* What happens while the finder looks. */
static uint64_t change_va;
static bool change_lasts;
static bool change_ends;       /* one that was under way ends while it looks */
static unsigned changes_after; /* and so many more of a page, one after the other */
static uint64_t after_va;
static uint32_t token;

static int find(struct mirror *mirror, uint64_t va, uint32_t access, struct mirror_run *run)
{
    finds++;
    if (va >= VA + HOLE) {
        return -EFAULT;
    }
    if ((access & ~found_prot) != 0) {
        return -EPERM;
    }
    *run = (struct mirror_run){ .va = VA, .last = VA + HOLE - 1, .oa = OA, .prot = found_prot };
    if (change_ends) {
        mirror_end(mirror, token);
        change_ends = false;
    }
    if (change_va != 0) {
        token = mirror_begin(mirror, change_va, PG);
        change_va = 0;
        if (!change_lasts) {
            mirror_end(mirror, token);
        }
    }
    for (; changes_after != 0; changes_after--) {
        mirror_end(mirror, mirror_begin(mirror, after_va, PG));
    }
    return 0;
}

static const struct mirror_ops ops = { .find = find };

/* Formats that the model's device can walk, and what may be done live. */
static const struct {
    const char *name;
    struct pt_config cfg;
    uint32_t prot;
    bool cuts; /* live: neighbours stay */
} kinds[] = {
    { "stage 2, cuts live",
      { .format = PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 48, .live = { .bbm = 2 } },
      0,
      true },
    { "stage 2, cuts nothing", { .format = PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 48 }, 0, false },
    { "stage 1, cuts live",
      { .format = PT_ARM_S1_4K, .ia_bits = 48, .oa_bits = 48, .live = { .bbm = 2 } },
      PT_USER,
      true },
    { "VT-d second stage",
      { .format = PT_VTD_SS, .ia_bits = 48, .oa_bits = 52, .start_level = 0 },
      0,
      true },
    { "VT-d first stage",
      { .format = PT_X86_64,
        .ia_bits = 48,
        .oa_bits = 52,
        .live = { .hw_af = true, .hw_dirty = true } },
      PT_USER,
      true },
    { "AMD v1", { .format = PT_AMD_V1, .ia_bits = 48, .oa_bits = 52, .start_level = 0 }, 0, true },
    { "RISC-V Sv48",
      { .format = PT_RISCV,
        .ia_bits = 48,
        .oa_bits = 56,
        .live = { .hw_af = true, .hw_dirty = true } },
      PT_USER,
      true },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void start(unsigned kind)
{
    tm_memory();
    assert_int_equal(space_init(&s, SPACE_IO, &kinds[kind].cfg), 0);
    tm_device_start(&d, &s, NULL);
    assert_int_equal(mirror_init(&m, &s, IA, VA, LEN, kinds[kind].prot, &ops), 0);
    found_prot = RW;
    finds = 0;
    change_va = 0;
    change_lasts = false;
}

static void stop(void)
{
    tm_device_stop(&d);
    assert_int_equal(space_remove_walker(&s, &d.inv), 0);
    space_destroy(&s);
}

static bool mapped(uint64_t off)
{
    struct pt_leaf leaf;

    assert_int_equal(space_lookup(&s, IA + off, &leaf), 0);
    assert_true(!leaf.present || leaf.oa + (IA + off - leaf.ia) == OA + off);
    return leaf.present;
}

/* The device has a translation (its memory is not there: external). */
static bool device_has(uint64_t off)
{
    enum model_fault f = tm_device_read(&d, IA + off).fault;

    tp_assert(f == MODEL_FAULT_EXTERNAL || f == MODEL_FAULT_TRANSLATION, "device: %s\n",
              model_fault_name(f));
    return f == MODEL_FAULT_EXTERNAL;
}

static void maps_and_drops(void **state)
{
    (void)state;
    for (unsigned k = 0; k < KINDS; k++) {
        bool cuts = kinds[k].cuts;

        start(k);
        assert_false(device_has(0x3000));
        assert_int_equal(mirror_fault(&m, IA + 0x3008, PT_READ), 0);
        assert_true(mapped(0x3000) && mapped(0)); /* 2 MiB at once */
        assert_true(device_has(0x3000) && device_has(0x4000));
        assert_int_equal(mirror_fault(&m, IA + 2 * MIB, PT_READ), 0);
        assert_true(mapped(2 * MIB));
        assert_false(mapped(3 * MIB - PG)); /* half of a block is no block */
        assert_int_equal(mirror_fault(&m, IA + HOLE, PT_READ), -EFAULT);
        assert_int_equal(mirror_fault(&m, IA + LEN, PT_READ), -EFAULT);
        assert_int_equal(mirror_fault(&m, IA - 1, PT_READ), -EFAULT);
        /* One page goes; its neighbours only where the format cannot cut. */
        token = mirror_begin(&m, VA + 0x3123, 1);
        tp_assert(!mapped(0x3000), "%s: not-dropped\n", kinds[k].name);
        tp_assert(!device_has(0x3000), "%s: old-translation-after-begin\n", kinds[k].name);
        assert_int_equal(mapped(0x4000), cuts);
        assert_int_equal(device_has(0x4000), cuts);
        assert_true(device_has(2 * MIB));
        tp_assert(mirror_fault(&m, IA + 0x3000, PT_READ) == -EAGAIN, "fault-let-in-a-change\n");
        assert_int_equal(mirror_fault(&m, IA + 0x5000, PT_READ), 0); /* beside it all goes on */
        assert_false(mapped(0x3000));
        mirror_end(&m, token);
        assert_int_equal(mirror_fault(&m, IA + 0x3000, PT_READ), 0);
        assert_true(device_has(0x3000));
        mirror_end(&m, mirror_begin(&m, VA + 0x3000, PG)); /* nothing to cut this time */
        tp_assert(!device_has(0x3000), "%s: old-translation-after-begin\n", kinds[k].name);
        assert_int_equal(mirror_fault(&m, IA + 0x3000, PT_READ), 0);
        mirror_stop(&m);
        assert_false(mapped(0) || mapped(0x3000) || device_has(0) || device_has(2 * MIB));
        assert_int_equal(mirror_fault(&m, IA, PT_READ), -EFAULT);
        stop();
    }
}

/* A change that begins, or also ends, while the fault looks: what it found may be gone. */
static void change_while_it_looks(void **state)
{
    (void)state;
    for (unsigned lasts = 0; lasts < 2; lasts++) {
        start(0);
        change_lasts = lasts;
        change_va = VA + 0x3000;
        tp_assert(mirror_fault(&m, IA + 0x3000, PT_READ) == -EAGAIN && !mapped(0x3000),
                  "old-page-installed\n");
        if (lasts) {
            assert_int_equal(mirror_fault(&m, IA + 0x3000, PT_READ), -EAGAIN);
            /* Beside it, a leaf that does not reach over it. */
            assert_int_equal(mirror_fault(&m, IA + 0x4000, PT_READ), 0);
            tp_assert(!mapped(0x3000), "large-leaf-over-a-change\n");
            mirror_end(&m, token);
        }
        assert_int_equal(mirror_fault(&m, IA + 0x3000, PT_READ), 0);
        stop();
    }
}

/* A fault beside a change: what it found around its page is of before, and the change is over meanwhile. */
static void change_ends_while_it_looks(void **state)
{
    (void)state;
    start(0);
    token = mirror_begin(&m, VA + 0x3000, PG);
    change_ends = true;
    assert_int_equal(mirror_fault(&m, IA + 0x9000, PT_READ), 0);
    tp_assert(mapped(0x9000) && !mapped(0x3000), "old-page-installed around another\n");
    assert_int_equal(mirror_fault(&m, IA + 0x3000, PT_READ), 0);
    assert_true(mapped(0x3000)); /* as it is now */
    stop();
}

/* Changes of other pages keep no fault from its page, as long as they can all be remembered. */
static void changes_elsewhere(void **state)
{
    static const uint64_t other[] = { 0x3000, 0xb000 }; /* below, above */

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        start(0);
        change_va = VA + other[i];
        after_va = VA + other[i];
        changes_after = MIRROR_RECENT / 2 - 1; /* each begins and ends */
        tp_assert(mirror_fault(&m, IA + 0x9000, PT_READ) == 0 && mapped(0x9000),
                  "starved: by changes of another page\n");
        tp_assert(!mapped(other[i]), "old-page-installed around another\n");
        stop();
        /* The page itself, and then so many others that it is forgotten. */
        start(0);
        change_va = VA + 0x9000;
        after_va = VA + other[i];
        changes_after = MIRROR_RECENT / 2;
        tp_assert(mirror_fault(&m, IA + 0x9000, PT_READ) == -EAGAIN && !mapped(0x9000),
                  "old-page-installed\n");
        stop();
    }
}

static void rights(void **state)
{
    (void)state;
    start(0);
    found_prot = PT_READ;
    assert_int_equal(mirror_fault(&m, IA, PT_READ), 0);
    assert_int_equal(mirror_fault(&m, IA, RW), -EPERM);
    assert_int_equal(tm_device_write(&d, IA, 1).fault, MODEL_FAULT_PERMISSION);
    found_prot = RW; /* the process may write now, and nobody said so */
    assert_int_equal(mirror_fault(&m, IA, RW), -EAGAIN);
    assert_int_equal(mirror_fault(&m, IA, RW), 0);
    assert_int_equal(tm_device_write(&d, IA, 1).fault, MODEL_FAULT_EXTERNAL);
    assert_int_equal(mirror_fault(&m, IA, PT_EXEC), -EFAULT);
    stop();
}

static void no_memory(void **state)
{
    struct pt_pool all = { 0 };

    (void)state;
    start(0);
    assert_int_equal(mirror_fault(&m, IA, PT_READ), 0); /* a 2M leaf */
    assert_int_equal(frame_tables_reserve(&all, (uint32_t)frame_tables_free()), 0);
    assert_int_equal(mirror_fault(&m, IA + 2 * MIB, PT_READ), -ENOMEM);
    /* No table for a cut: the drop takes the whole leaf rather than none of it. */
    mirror_end(&m, mirror_begin(&m, VA + 0x3000, PG));
    tp_assert(!mapped(0x3000) && !device_has(0x3000), "not-dropped without tables\n");
    frame_tables_release(&all);
    assert_int_equal(mirror_fault(&m, IA + 2 * MIB, PT_READ), 0);
    stop();
}

/* More changes at once than there are slots: none is lost, and all end. */
static void many_changes(void **state)
{
    enum { N = 2 * MIRROR_CHANGES };
    uint32_t tokens[N];

    (void)state;
    start(0);
    for (unsigned i = 0; i < N; i++) {
        tokens[i] = mirror_begin(&m, VA + i * 2 * PG, PG);
    }
    for (unsigned i = 0; i < N; i++) {
        tp_assert(mirror_fault(&m, IA + i * 2 * PG, PT_READ) == -EAGAIN, "change-lost: %u\n", i);
    }
    for (unsigned i = 0; i < N; i++) {
        mirror_end(&m, tokens[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(mirror_fault(&m, IA + i * 2 * PG, PT_READ), 0);
    }
    /* Ranges that are odd, wrap, or are not followed. */
    mirror_end(&m, mirror_begin(&m, VA - PG, PG));
    mirror_end(&m, mirror_begin(&m, 0, 0));
    assert_true(mapped(0));
    mirror_end(&m, mirror_begin(&m, VA - 1, 2));
    assert_false(mapped(0));
    assert_true(mapped(PG));
    mirror_end(&m, mirror_begin(&m, 1, ~0ull));
    assert_false(mapped(PG) || device_has(PG));
    stop();
}

static void refused(void **state)
{
    const struct mirror_ops none = { 0 };

    (void)state;
    start(0);
    assert_int_equal(mirror_init(&m, &s, IA, VA, 0, 0, &ops), -EINVAL);
    assert_int_equal(mirror_init(&m, &s, IA, VA + 1, PG, 0, &ops), -EINVAL);
    assert_int_equal(mirror_init(&m, &s, IA + 1, VA, PG, 0, &ops), -EINVAL);
    assert_int_equal(mirror_init(&m, &s, IA, VA, PG, 0, NULL), -EINVAL);
    assert_int_equal(mirror_init(&m, &s, IA, VA, PG, 0, &none), -EINVAL);
    assert_int_equal(mirror_init(&m, &s, IA, ~0ull - PG + 1, 2 * PG, 0, &ops), -ERANGE);
    stop();
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
        cmocka_unit_test(maps_and_drops),
        cmocka_unit_test(change_while_it_looks),
        cmocka_unit_test(change_ends_while_it_looks),
        cmocka_unit_test(changes_elsewhere),
        cmocka_unit_test(rights),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(many_changes),
        cmocka_unit_test(refused),
    };

    if (TM_SKIPPED) {
        return cmocka_run_group_tests_name("mirror", none, NULL, NULL);
    }
    return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
