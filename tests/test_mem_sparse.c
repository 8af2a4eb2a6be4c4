/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects with holes, 1 TiB of them: what is there is as everywhere else, what is not is nobody's. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

#include <tenon/sparse.h>

#define TIB_PAGES ((uint64_t)1 << 28)
#define AT        ((uint64_t)1 << 41) /* where the guest sees page 0 */
enum { CHUNKS = 24 };

static struct gmem gm;
static struct space cpu, io, host;
static uint64_t *chunks;

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

static void space(struct space *s, enum space_kind kind, struct invalidator *inv,
                  enum space_view view, uint64_t first, uint64_t n, bool prefill)
{
    struct pt_config cfg = { .format = PT_ARM_S2_4K,
                             .ia_bits = 42,
                             .oa_bits = 44,
                             .start_level = 1,
                             .live = { .bbm = 2, .stalls = kind == SPACE_CPU } };

    *inv = (struct invalidator){ issue, wait };
    assert_int_equal(space_init(s, kind, &cfg), 0);
    assert_int_equal(space_add_walker(s, inv), 0);
    assert_int_equal(space_bind(s, &gm, view, AT + (first << PAGE_SHIFT), first, n, RW, prefill),
                     0);
}

static uint64_t at(struct space *s, uint64_t page)
{
    struct pt_leaf leaf;

    assert_int_equal(space_lookup(s, AT + (page << PAGE_SHIFT), &leaf), 0);
    return leaf.present ? leaf.oa + ((AT + (page << PAGE_SHIFT)) - leaf.ia) : 0;
}

static void spaces(uint64_t npages, uint64_t io_first)
{
    static struct invalidator inv[3];

    space(&cpu, SPACE_CPU, &inv[0], VIEW_GUEST, 0, npages, false);
    space(&io, SPACE_IO, &inv[1], VIEW_GUEST, io_first, 512 * 8, true);
    space(&host, SPACE_CPU, &inv[2], VIEW_HOST, 0, npages, true);
}

static void open_all(bool dirty)
{
    ts_memory(CHUNKS, dirty);
    if (dirty) {
        memset(port_va(TS_POOL), 0xa5, CHUNKS * CHUNK_SIZE);
    }
    chunks = calloc(2 * TIB_PAGES / 512, sizeof(*chunks));
    assert_non_null(chunks);
    assert_int_equal(gmem_create_sparse(&gm, TS_VM, TIB_PAGES, true, chunks), 0);
    spaces(TIB_PAGES, TIB_PAGES / 2);
}

/* An object without holes. */
static void open_dense(void)
{
    uint64_t cursor = 0;

    ts_memory(CHUNKS, true);
    chunks = NULL;
    assert_int_equal(gmem_create(&gm, TS_VM, 512 * 8, true), 0);
    assert_int_equal(gmem_poison(&gm, 77), -EBUSY); /* not scrubbed */
    while (gmem_scrub(&gm, &cursor, 3) == 1) {
    }
    spaces(512 * 8, 0);
}

static void close_all(void)
{
    uint64_t cursor = 0;

    assert_int_equal(gmem_destroy_sparse(&gm, &cursor, 1000), -EBUSY); /* followed */
    space_destroy(&cpu);
    space_destroy(&io);
    space_destroy(&host);
    while (gmem_destroy_sparse(&gm, &cursor, 100000) == 1) {
    }
    assert_int_equal(frame_chunks_free(), CHUNKS);
    assert_int_equal(gm.states.nodes, 0);
    free(chunks);
}

static void both_ends_and_the_middle(void **state)
{
    static const uint64_t place[] = { 0, TIB_PAGES / 2 + 700, TIB_PAGES - 1 };

    (void)state;
    open_all(true);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t p = place[i], ia = AT + (p << PAGE_SHIFT);

        /* A hole. */
        assert_true(gmem_hole(&gm, p));
        assert_int_equal(space_fault(&cpu, ia, PT_READ), -ERANGE);
        assert_int_equal(gmem_convert(&gm, p, 1, true, GMEM_KEEP), -EFAULT);
        assert_int_equal(gmem_convert(&gm, p, 1, true, GMEM_INPLACE), -EFAULT);
        assert_int_equal(at(&cpu, p), 0);
        /* And no more. */
        assert_int_equal(gmem_fill(&gm, p, 1), 0);
        assert_int_equal(frame_chunks_free(), CHUNKS - 2 * (i + 1));
        uint64_t pa = gmem_frame(&gm, p);

        for (uint64_t k = 0; k < 2 * CHUNK_SIZE / 8; k++) {
            uint64_t copy = k < CHUNK_SIZE / 8 ? gm.priv[p / 512] : gm.shared[p / 512];

            tp_assert(((uint64_t *)port_va(copy))[k % (CHUNK_SIZE / 8)] == 0,
                      "dirty-frame-used: page %lu\n", (unsigned long)p);
        }
        assert_int_equal(space_fault(&cpu, ia, PT_WRITE), 0);
        assert_int_equal(at(&cpu, p), pa);
        if (i == 1) {
            tp_assert(at(&io, p) == pa, "filled-unseen: a follower that is filled has no leaf\n");
        }
        assert_int_equal(gmem_convert(&gm, p, 1, true, GMEM_KEEP), 0);
        uint64_t moved = gmem_frame(&gm, p);

        assert_int_not_equal(moved, pa);
        assert_int_equal(space_fault(&cpu, ia, PT_WRITE), 0);
        assert_int_equal(at(&cpu, p), moved);
        ts_frame_is(moved, ts_frame(TS_VM, OWNER_HOST));
        ts_frame_is(pa, ts_frame(TS_VM, OWNER_NONE));
        assert_true(i != 1 || at(&io, p) == moved);
        /* Two bits a page, and one of an array: not more for being far apart. */
        assert_true(sizeof(gm.states) + gm.states.nodes * PAGE_SIZE <= (36 << 12));
    }
    /* Over the border of a hole: nothing of it. */
    assert_int_equal(gmem_convert(&gm, 510, 4, true, GMEM_KEEP), -EFAULT);
    assert_int_equal(gmem_state(&gm, 510), GMEM_PRIVATE);
    ts_frame_is(gm.priv[0] + 510 * PAGE_SIZE, ts_frame(TS_VM, OWNER_NONE));
    assert_int_equal(gmem_state(&gm, TIB_PAGES - 1), GMEM_SHARED);
    assert_int_equal(gmem_run_end(&gm, 1), TIB_PAGES / 2 + 700);
    assert_int_equal(gmem_populate(&gm, 0, "x", 1), -EPERM);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(gmem_convert(&gm, place[i], 1, false, GMEM_KEEP), 0);
    }
    struct space_audit a = { 0 };

    space_audit(&cpu, TS_VM, NULL, NULL, &a);
    space_audit(&io, TS_VM, NULL, NULL, &a);
    space_audit(&host, OWNER_HOST, NULL, NULL, &a);
    assert_int_equal(a.violations, 0);
    close_all();
}

static void fills(void **state)
{
    uint64_t cursor = 0;

    (void)state;
    assert_int_equal(gmem_create_sparse(&gm, TS_VM, 511, true, chunks), -EINVAL);
    assert_int_equal(gmem_create_sparse(&gm, TS_VM, 2 * RANGE_MAX_PAGES, true, chunks), -EINVAL);
    assert_int_equal(gmem_create_sparse(&gm, TS_VM, 512, true, NULL), -EINVAL);
    open_all(false);
    assert_int_equal(gmem_fill(&gm, 0, 0), -EINVAL);
    assert_int_equal(gmem_fill(&gm, TIB_PAGES, 1), -EFAULT);
    assert_int_equal(gmem_fill(&gm, 1, TIB_PAGES), -EFAULT);
    /* Holes between what is there: only they are filled. */
    assert_int_equal(gmem_fill(&gm, 512, 512), 0);
    uint64_t kept = gm.priv[1];

    assert_int_equal(gmem_fill(&gm, 0, 512 * 4), 0);
    assert_int_equal(gm.priv[1], kept);
    assert_int_equal(frame_chunks_free(), CHUNKS - 8);
    assert_int_equal(gmem_fill(&gm, 0, 512 * 4), 0);
    assert_int_equal(frame_chunks_free(), CHUNKS - 8);
    /* Not enough: nothing of that run. No table page for a follower: the same. */
    assert_int_equal(gmem_fill(&gm, 512 * 10, 512 * 9), -ENOMEM);
    tp_assert(frame_chunks_free() == CHUNKS - 8 && gmem_hole(&gm, 512 * 10),
              "refused-call-kept-chunks: %lu free\n", (unsigned long)frame_chunks_free());
    ts_drain(0);
    frame_tables_release(&cpu.binding[0].change[0].reserve);
    ts_drain(0);
    assert_int_equal(gmem_fill(&gm, 512 * 10, 512), -ENOMEM);
    tp_assert(frame_chunks_free() == CHUNKS - 8 && gmem_hole(&gm, 512 * 10),
              "refused-call-kept-chunks: %lu free\n", (unsigned long)frame_chunks_free());
    ts_refill();
    /* Pinned: it does not go, and nothing of it is free. */
    assert_int_equal(frames_pin(gm.priv[2], 1, TS_VM), 0);
    space_destroy(&cpu);
    space_destroy(&io);
    space_destroy(&host);
    int err = 1;

    while (err == 1) {
        err = gmem_destroy_sparse(&gm, &cursor, 100000);
    }
    tp_assert(err == -EBUSY && frame_chunks_free() == CHUNKS - 8 &&
                  frame_get(gm.priv[2]).owner == TS_VM,
              "pinned-frame-freed: %d\n", err);
    ts_frame_is(gm.priv[1], ts_frame(TS_VM, OWNER_NONE)); /* nor held */
    assert_int_equal(frames_unpin(gm.priv[2], 1, TS_VM), 0);
    cursor = 0;
    while (gmem_destroy_sparse(&gm, &cursor, 100000) == 1) {
    }
    assert_int_equal(frame_chunks_free(), CHUNKS);
    free(chunks);
}

/* A frame goes bad under a page in each state. From page `first` on the device's tree shows it. */
static void poison_from(uint64_t first)
{
    static const enum gmem_state how[] = { GMEM_PRIVATE, GMEM_SHARED, GMEM_SHARED_INPLACE };
    uint64_t bad[3];
    struct space_audit a = { 0 };

    assert_int_equal(gmem_poison(&gm, gm.npages), -EFAULT);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t p = first + 512 * i + 77, ia = AT + (p << PAGE_SHIFT);
        enum gmem_policy policy = how[i] == GMEM_SHARED ? GMEM_KEEP : GMEM_INPLACE;

        if (how[i] != GMEM_PRIVATE) {
            assert_int_equal(gmem_convert(&gm, p, 2, true, policy), 0);
        }
        bad[i] = gmem_frame(&gm, p);
        assert_int_equal(space_fault(&cpu, ia, PT_WRITE), 0);
        /* While a device is in it: later. */
        assert_int_equal(frames_pin(bad[i], 1, TS_VM), 0);
        assert_int_equal(gmem_poison(&gm, p), -EBUSY);
        assert_int_equal(at(&cpu, p), bad[i]);
        assert_int_equal(frames_unpin(bad[i], 1, TS_VM), 0);
        assert_int_equal(gmem_poison(&gm, p), 0);
        assert_int_equal(gmem_state(&gm, p), GMEM_LOST);
        tp_assert(at(&cpu, p) == 0 && at(&io, p) == 0, "poisoned-still-mapped: in state %d\n",
                  how[i]);
        assert_int_equal(space_fault(&cpu, ia, PT_READ), -ERANGE);
        assert_int_equal(at(&io, p - 1), gmem_frame(&gm, p - 1)); /* exactly the page */
        assert_int_equal(at(&io, p + 1), gmem_frame(&gm, p + 1));
        assert_int_equal(gmem_poison(&gm, p), -EALREADY);
        assert_true(gmem_convert(&gm, p, 1, true, GMEM_KEEP) < 0 &&
                    gmem_convert(&gm, p, 1, false, GMEM_KEEP) < 0 &&
                    gmem_convert(&gm, p - 1, 3, true, GMEM_KEEP) < 0);
        assert_int_equal(frames_pin(bad[i], 1, TS_VM), -EBUSY);
        /* Never merged over. */
        gmem_settle(&gm, p, 1);
        assert_int_equal(at(&cpu, p), 0);
        assert_int_equal(at(&io, p), 0);
    }
    space_audit(&cpu, TS_VM, NULL, NULL, &a);
    space_audit(&io, TS_VM, NULL, NULL, &a);
    space_audit(&host, OWNER_HOST, NULL, NULL, &a);
    assert_int_equal(a.violations, 0);
    space_destroy(&cpu);
    space_destroy(&io);
    space_destroy(&host);
    uint64_t cursor = 0;

    if (chunks == NULL) { /* no holes, but bad frames: the other call does not know them */
        while (gmem_destroy_step(&gm, &cursor, 100000) == 1) {
        }
        assert_int_equal(cursor, 0);
        assert_false(gm.dying);
    }
    /* A pin elsewhere: nothing is half gone. */
    uint64_t other = gm.priv[first / 512] + 3 * PAGE_SIZE;
    int err = 1;

    assert_int_equal(frames_pin(other, 1, TS_VM), 0);
    while (err == 1) {
        err = gmem_destroy_sparse(&gm, &cursor, 100000);
    }
    assert_int_equal(err, -EBUSY);
    assert_int_equal(frames_unpin(other, 1, TS_VM), 0);
    ts_frame_is(other + PAGE_SIZE, ts_frame(TS_VM, OWNER_NONE));
    for (cursor = 0; gmem_destroy_sparse(&gm, &cursor, 100000) == 1;) {
    }
    /* All chunks but three come back, and no one gets those. */
    tp_assert(frame_chunks_free() == CHUNKS - 3, "poisoned-given-out: %lu free\n",
              (unsigned long)frame_chunks_free());
    for (unsigned i = 0; i < 3; i++) {
        struct frame f = frame_get(bad[i]);

        tp_assert(f.state == FRAME_POISONED && f.owner == OWNER_HYP &&
                      !frame_may_use(bad[i], OWNER_HYP),
                  "poisoned-given-out: frame of state %d\n", how[i]);
    }
    free(chunks);
}

static void poisoned(void **state)
{
    const uint64_t first = TIB_PAGES / 2 + 1024;

    (void)state;
    open_all(false);
    assert_int_equal(gmem_poison(&gm, first), -EFAULT); /* a hole */
    assert_int_equal(gmem_fill(&gm, first, 512 * 3), 0);
    poison_from(first);
}

static void poisoned_dense(void **state)
{
    (void)state;
    open_dense();
    poison_from(1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(both_ends_and_the_middle),
                                        cmocka_unit_test(fills), cmocka_unit_test(poisoned),
                                        cmocka_unit_test(poisoned_dense) };

    return cmocka_run_group_tests_name("mem_sparse", tests, NULL, NULL);
}
