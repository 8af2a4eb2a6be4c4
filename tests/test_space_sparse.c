/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs of a range in which nearly nothing is mapped: a read looks at what is there, and at nothing else.
 * Shown by taking the rest of the bitmaps away, so that a look at it is the end.
 */
#include "lib_space.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 1024, SPOTS = 4 };
#define LEN      ((uint64_t)512 << 30)
#define BYTES    (LEN >> PAGE_SHIFT >> 3) /* of a bitmap */
#define PER_PAGE ((uint64_t)128 * MIB)    /* that one page of it is about */
#define PART     (LEN / SPACE_LOG_PARTS)

static struct ts t;
static uint64_t *bits, *out;

static const uint64_t spot[SPOTS] = { (uint64_t)5 << 30, ((uint64_t)200 << 30) + 64 * MIB,
                                      ((uint64_t)200 << 30) + 600 * MIB, LEN - 4096 };

static void looked(int sig)
{
    static const char words[] = "read-where-nothing-is\n";

    (void)sig;
    _exit(write(2, words, sizeof(words) - 1) > 0 ? 1 : 2);
}

/* Both bitmaps, for [ia, ia+len). */
static void may_look(uint64_t ia, uint64_t len, bool yes)
{
    uint64_t first = ia / PER_PAGE * 4096, end = (ia + len + PER_PAGE - 1) / PER_PAGE * 4096;

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mprotect((char *)(i ? out : bits) + first, end - first,
                                  yes ? PROT_READ | PROT_WRITE : PROT_NONE),
                         0);
    }
}

static bool take_bit(uint64_t ia)
{
    uint64_t page = ia >> PAGE_SHIFT, is = out[page / 64] >> (page % 64) & 1;

    out[page / 64] &= ~((uint64_t)1 << (page % 64));
    return is != 0;
}

static void write_at(struct ts_tree *a, uint64_t ia)
{
    struct model_xlat x;
    struct model_access access = { .what = MODEL_W, .user = true };

    while (model_tlb_translate(a->w[0].tlb, &a->w[0].ctx, ia, access, &x) != MODEL_OK) {
        assert_int_equal(space_fault(&a->s, ia, PT_WRITE), 0);
    }
}

static void read_all(struct ts_tree *a)
{
    assert_int_equal(space_log_read_clear(&a->s, 0, LEN, out), 0);
}

static struct ts_tree *open_world(uint64_t seed)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);

    ts_open(&t, PAGES, true, seed);
    cfg.live.hw_dirty = true;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t *m = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        assert_true(m != MAP_FAILED);
        *(i ? &out : &bits) = m;
    }
    assert_true(signal(SIGSEGV, looked) != SIG_ERR);
    struct ts_tree *a = ts_tree(&t, 0, "sparse", TS_CPU, &cfg);

    model_live_harvest(a->live, true);
    return a;
}

static void close_world(struct ts_tree *a)
{
    assert_int_equal(space_log_stop(&a->s), 0);
    ts_close(&t);
    munmap(bits, BYTES);
    munmap(out, BYTES);
}

static void dirty_bits(void **state)
{
    (void)state;
    struct ts_tree *a = open_world(1);

    for (unsigned i = 0; i < SPOTS; i++) {
        assert_int_equal(space_map(&a->s, spot[i], TS_HOST + i * MIB, 4096, RW), 0);
    }
    may_look(0, LEN, false); /* not at the start either */
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_DIRTY_BIT, 0, LEN, bits), 0);
    for (unsigned i = 0; i < SPOTS; i++) {
        may_look(spot[i], 4096, true);
    }
    for (unsigned round = 0; round < 8; round++) {
        for (unsigned i = 0; i < SPOTS; i++) {
            if ((round >> (i % 3) & 1) != 0) {
                write_at(a, spot[i]);
            }
        }
        read_all(a);
        for (unsigned i = 0; i < SPOTS; i++) {
            tp_assert(take_bit(spot[i]) == (round >> (i % 3) & 1), "write-lost: spot %u\n", i);
        }
    }
    /* Written, and then there is no entry, and no table, that says so. */
    write_at(a, spot[1]);
    may_look(spot[1] & ~(PART - 1), PART, true);
    assert_int_equal(space_unmap(&a->s, spot[1], 4096), 0);
    /* Half of it is read, the rest later: it is not forgotten meanwhile. */
    assert_int_equal(space_log_read_clear(&a->s, spot[1] & ~(PART - 1), 64 * MIB, out), 0);
    assert_int_equal(space_log_read_clear(&a->s, spot[1] + 64 * MIB, 64 * MIB,
                                          out + (spot[1] + 64 * MIB) / SPACE_LOG_BLOCK),
                     0);
    read_all(a);
    tp_assert(take_bit(spot[1]), "write-lost: what was unmapped\n");
    /* Read once: its part is passed over again. */
    may_look(spot[1] & ~(PART - 1), PART, false);
    may_look(spot[2], 4096, true);
    read_all(a);
    assert_false(take_bit(spot[2]));
    /* Written and not read, when the log stops: the bitmap is as it was at the start. */
    write_at(a, spot[2]);
    may_look(spot[2] & ~(PART - 1), PART, true);
    assert_int_equal(space_unmap(&a->s, spot[2], 4096), 0);
    assert_true(bits[spot[2] / SPACE_LOG_BLOCK] != 0);
    assert_int_equal(space_log_stop(&a->s), 0);
    tp_assert(bits[spot[2] / SPACE_LOG_BLOCK] == 0, "forgotten-bit-comes-back\n");
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_DIRTY_BIT, 0, LEN, bits), 0);
    may_look(0, LEN, true);
    close_world(a);
}

static void write_protected(void **state)
{
    (void)state;
    struct ts_tree *a = open_world(2);
    uint64_t at[2] = { TS_GUEST, (uint64_t)300 << 30 };

    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(space_bind(&a->s, &t.gm, VIEW_GUEST, at[i], 0, PAGES, RW, true), 0);
    }
    may_look(0, LEN, false);
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_WRITE_PROTECT, 0, LEN, bits), 0);
    read_all(a); /* nothing written: nothing to look at */
    for (unsigned i = 0; i < 2; i++) {
        may_look(at[i], PART, true);
        write_at(a, at[i] + 7 * 4096);
        read_all(a);
        tp_assert(take_bit(at[i] + 7 * 4096), "write-lost: binding %u\n", i);
        may_look(at[i], PART, false);
    }
    may_look(0, LEN, true);
    close_world(a);
}

/* More leaves than get their rights back in one step: the last are written to in between. */
static uint64_t late;

static void in_stop(struct ts *world, struct ts_walker *w)
{
    (void)w;
    if (late != 0) {
        uint64_t ia = late;

        late = 0;
        tp_assert(space_fault(&world->tree[0].s, ia, PT_WRITE) == 0, "write-refused-by-a-stop\n");
    }
}

static void stops_in_steps(void **state)
{
    (void)state;
    struct ts_tree *a = open_world(3);

    a->s.max_leaf = PAGE_SIZE;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(
            space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST * (i + 1), 0, PAGES, RW, true), 0);
    }
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_WRITE_PROTECT, 0, LEN, bits), 0);
    t.in_wait = in_stop;
    late = TS_GUEST * 5 + (PAGES - 1) * 4096;
    assert_int_equal(space_log_stop(&a->s), 0);
    t.in_wait = NULL;
    assert_int_equal(late, 0);
    write_at(a, TS_GUEST * 5 + (PAGES - 1) * 4096);
    assert_int_equal(space_log_start(&a->s, SPACE_LOG_AHEAD, 0, LEN, NULL), 0);
    close_world(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(dirty_bits),
                                        cmocka_unit_test(write_protected),
                                        cmocka_unit_test(stops_in_steps) };

    return cmocka_run_group_tests_name("space_sparse", tests, NULL, NULL);
}
