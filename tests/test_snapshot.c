/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures of memory: every page of every run against what is there, and the file between processes. */
#include "lib_space.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "port/hosted/snapshot_file.h"

enum { PAGES = 2 * 512 };

static struct ts t;
static struct snapshot_view view[3];
static struct snapshot_file copy;

static void world(uint8_t bbm)
{
    ts_world(&t, PAGES, true, false, bbm, 91);
    /* The CPUs' tree is filled by faults, so that its leaves are not those of the device's. */
    assert_int_equal(space_unbind(&t.tree[0].s, &t.gm), 0);
    assert_int_equal(space_bind(&t.tree[0].s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), 0);
    view[0] = (struct snapshot_view){ .space = &t.tree[0].s, .ia = TS_GUEST };
    view[1] = (struct snapshot_view){ .space = &t.tree[1].s, .ia = TS_GUEST };
    view[2] = (struct snapshot_view){ .space = &t.tree[2].s, .by_frame = true };
}

static void some_changes(unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        uint64_t p = ts_rand(&t, PAGES), n = 1 + ts_rand(&t, 40);

        n = n < PAGES - p ? n : PAGES - p;
        if (gmem_run_until(&t.gm, p, p + n) == p + n) {
            (void)ts_convert(&t, p, n, t.want[p] == GMEM_PRIVATE,
                             ts_rand(&t, 2) ? GMEM_KEEP : GMEM_INPLACE);
        }
        (void)space_fault(&t.tree[0].s, TS_GUEST + (ts_rand(&t, PAGES) << PAGE_SHIFT), PT_READ);
    }
}

/* As the model's walker sees it: log2 of the leaf, 0 if none. */
static unsigned leaf_at(unsigned tree, uint64_t ia)
{
    unsigned shift = 0;

    return ts_at(&t.tree[tree], ia, &shift) != 0 ? shift : 0;
}

static void check_run(const struct snapshot_run *r)
{
    for (uint64_t p = r->page; p < r->page + r->n; p++) {
        uint64_t pa = gmem_frame(&t.gm, p), ia = TS_GUEST + (p << PAGE_SHIFT);
        struct frame f = frame_get(pa);

        tp_assert(r->state == gmem_state(&t.gm, p) && r->pa + ((p - r->page) << PAGE_SHIFT) == pa &&
                      r->owner == f.owner && r->borrower == f.borrower &&
                      r->pins == f.pins + f.borrower_pins,
                  "picture-of-another-page: page %lu\n", (unsigned long)p);
        tp_assert(r->shift[0] == leaf_at(0, ia) && r->shift[1] == leaf_at(1, ia) &&
                      r->shift[2] == leaf_at(2, pa) && r->shift[3] == 0,
                  "picture-of-another-leaf: page %lu\n", (unsigned long)p);
    }
}

static bool equal(const struct snapshot_run *a, const struct snapshot_run *b)
{
    return a->state == b->state && a->owner == b->owner && a->borrower == b->borrower &&
           a->pins == b->pins && a->pa + (a->n << PAGE_SHIFT) == b->pa &&
           memcmp(a->shift, b->shift, sizeof(a->shift)) == 0;
}

static void runs_are_true(void **state)
{
    (void)state;
    world(2);
    for (unsigned round = 0; round < 12; round++) {
        struct snapshot_run last = { 0 }, r;

        for (uint64_t p = 0; p < PAGES; p += r.n) {
            snapshot_run(&t.gm, view, 3, p, PAGES, &r);
            assert_true(r.page == p && r.n != 0 && r.n <= PAGES - p);
            check_run(&r);
            tp_assert(p == 0 || !equal(&last, &r), "picture-in-pieces: page %lu\n",
                      (unsigned long)p);
            last = r;
        }
        some_changes(15);
        if (round == 6) {
            assert_int_equal(frames_pin(gmem_frame(&t.gm, 5), 1, TS_VM), 0);
        }
        if (round == 8) {
            assert_int_equal(frames_unpin(gmem_frame(&t.gm, 5), 1, TS_VM), 0);
        }
    }
    /* A part of a run, and a tree that does not show it. */
    struct snapshot_run r;

    snapshot_run(&t.gm, view, 0, 3, 4, &r);
    assert_true(r.page == 3 && r.n == 1 && r.shift[0] == 0);
    ts_close(&t);
}

static void through_the_file(void **state)
{
    char path[] = "/tmp/tenon-snapshot.XXXXXX";
    struct snapshot_view_name named[3] = { { .name = "cpu" },
                                           { .name = "device" },
                                           { .name = "a name that is much too long for it" } };
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    assert_null(snapshot_file_open("/nonexistent"));
    assert_int_equal(errno, ENOENT);
    assert_null(snapshot_file_open(path)); /* empty */
    assert_int_equal(errno, ENOEXEC);
    world(2);
    some_changes(30);
    struct snapshot_file *w = snapshot_file_make(path, "test");

    assert_non_null(w);
    const struct snapshot_file *f = snapshot_file_open(path);

    assert_non_null(f);
    tp_assert(snapshot_file_read(f, &copy) == -EAGAIN, "picture-before-the-first\n");
    for (unsigned i = 0; i < 3; i++) {
        named[i].view = view[i];
    }
    snapshot_file_write(w, &t.gm, named, 3);
    assert_int_equal(snapshot_file_read(f, &copy), 0);
    assert_true(copy.views == 3 && copy.npages == PAGES && copy.missing == 0);
    assert_true(copy.view[1].device == 1 && copy.view[0].device == 0);
    assert_string_equal(copy.view[1].name, "device");
    assert_int_equal(strlen(copy.view[2].name), SNAPSHOT_NAME - 1);
    for (uint32_t i = 0; i < copy.runs; i++) {
        check_run(&copy.run[i]);
    }
    /* The sum over the runs of 4K leaves is what the tree itself counts. */
    uint64_t small = 0;

    for (uint32_t i = 0; i < copy.runs; i++) {
        small += copy.run[i].shift[1] == 12 ? copy.run[i].n : 0;
    }
    assert_int_equal(small, copy.view[1].stat.leaves[3]);
    assert_true(copy.view[1].stat.cuts != 0 && copy.converted + copy.converted_inplace != 0);
    /* Names that would tell a terminal what to do. */
    strcpy(w->name, "\033[2Jvm\177");
    strcpy(w->view[0].name, "a\xc2\x9b"
                            "2Jb");
    assert_int_equal(snapshot_file_read(f, &copy), 0);
    tp_assert(strcmp(copy.name, "?[2Jvm?") == 0, "control-characters-in-a-name\n");
    assert_string_equal(copy.view[0].name, "a??"
                                           "2Jb");
    /* A writer that died at it; and nonsense of every kind. */
    w->seq++;
    tp_assert(snapshot_file_read(f, &copy) == -EAGAIN, "torn-picture-read\n");
    w->seq++;
    assert_int_equal(snapshot_file_read(f, &copy), 0);
    w->run[1].n += 1;
    tp_assert(snapshot_file_read(f, &copy) == -EPROTO, "nonsense-read: gap\n");
    w->run[1].n -= 1;
    w->runs = ~0u;
    assert_int_equal(snapshot_file_read(f, &copy), -EPROTO);
    w->runs = 1;
    assert_int_equal(snapshot_file_read(f, &copy), -EPROTO);
    w->views = 9;
    assert_int_equal(snapshot_file_read(f, &copy), -EPROTO);
    w->version++;
    assert_null(snapshot_file_open(path));
    snapshot_file_close(f);
    snapshot_file_close(w);
    /* An old picture is taken over, another file is not. */
    w = snapshot_file_make(path, "again");
    assert_non_null(w);
    snapshot_file_close(w);
    fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "a letter", 8), 8);
    close(fd);
    w = snapshot_file_make(path, "test");
    tp_assert(w == NULL && errno == EEXIST, "another-file-written-over\n");
    unlink(path);
    ts_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(runs_are_true),
                                        cmocka_unit_test(through_the_file) };

    return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}
