/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of a log that everything else in a space has to know: where a tree changes while it is
 * watched, what was written goes into the bitmap before the entry that knows it goes away.
 */
#include "space/log.h"

struct binding *space_binding_at(struct space *s, uint64_t ia)
{
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        struct binding *b = &s->binding[i];

        if (b->space != NULL && b->view == VIEW_GUEST && ia >= b->ia &&
            ia - b->ia < binding_bytes(b)) {
            return b;
        }
    }
    return NULL;
}

static void mark(struct space *s, uint64_t ia, uint64_t last)
{
    struct space_log *l = &s->log;

    if (l->bits == NULL || ia > l->last || last < l->ia) {
        return;
    }
    ia = ia < l->ia ? l->ia : ia;
    last = last > l->last ? l->last : last;
    log_touch(l, ia, last);
    uint64_t from = (ia - l->ia) >> PAGE_SHIFT, to = (last - l->ia) >> PAGE_SHIFT;

    for (uint64_t w = from / 64; w <= to / 64; w++) {
        uint64_t mask = ~(uint64_t)0;

        if (w == from / 64) {
            mask &= ~(uint64_t)0 << (from % 64);
        }
        if (w == to / 64) {
            mask &= ~(uint64_t)0 >> (63 - to % 64);
        }
        l->bits[w] |= mask;
    }
}

void log_collect(struct space *s, uint64_t *ia, uint64_t *last, struct pt_gather *g)
{
    struct space_log *l = &s->log;

    /* Whole words of the bitmap and whole leaves: both lie inside the log. */
    *ia &= ~(SPACE_LOG_BLOCK - 1);
    *last |= SPACE_LOG_BLOCK - 1;
    space_widen(s, ia, last);
    if (pt_dirty_read_clear(&s->pt, *ia, *last - *ia + 1, l->bits + (*ia - l->ia) / SPACE_LOG_BLOCK,
                            PAGE_SIZE, g) != 0) {
        port_panic("space: a leaf crosses the end of a log");
    }
}

static void collect(struct space *s, uint64_t ia, uint64_t last, struct pt_gather *g)
{
    struct space_log *l = &s->log;

    if (l->kind == SPACE_LOG_DIRTY_BIT && ia <= l->last && last >= l->ia) {
        ia = ia < l->ia ? l->ia : ia;
        last = last > l->last ? l->last : last;
        log_collect(s, &ia, &last, g);
        log_touch(l, ia, last);
    }
}

/* The page is a leaf of its own, or -EAGAIN: the large leaf is gone, and a fault makes a small one. */
static int own_leaf(struct space *s, const struct pt_leaf *leaf, uint64_t ia, struct pt_pool *pool)
{
    struct pt_gather g;
    int err = 0;

    if (leaf->last - leaf->ia + 1 == PAGE_SIZE) {
        return 0;
    }
    pt_gather_init(&g);
    if (pt_cut_check(&s->pt, ia, PAGE_SIZE) == 0) {
        err = pt_cut(&s->pt, ia, PAGE_SIZE, pool, &g);
        s->cuts++;
    } else {
        /* Walkers of a tree with a log of this kind can wait. */
        err = pt_unmap(&s->pt, leaf->ia, leaf->last - leaf->ia + 1, &g) == 0 ? -EAGAIN : -EFAULT;
    }
    space_flush(s, &g);
    return err;
}

static int write_locked(struct space *s, uint64_t ia, uint32_t access, struct pt_pool *pool)
{
    struct pt_leaf leaf;
    struct pt_gather g;
    uint64_t page;
    uint32_t seq;
    struct binding *b = space_binding_at(s, ia);

    if (b == NULL || (access & ~b->prot & (PT_READ | PT_WRITE | PT_EXEC)) != 0) {
        return -EPERM;
    }
    if (pt_lookup(&s->pt, ia, &leaf) != 0 || !leaf.present || !binding_page(b, ia, &page) ||
        !gmem_read_begin(b->f.gm, page, 1, &seq)) {
        return -EAGAIN;
    }
    if ((leaf.prot & PT_WRITE) != 0) {
        return 0; /* another CPU was faster, or the log has stopped */
    }
    int err = own_leaf(s, &leaf, ia, pool);

    if (err != 0) {
        return err;
    }
    pt_gather_init(&g);
    mark(s, ia, ia);
    s->write_faults++;
    err = pt_protect(&s->pt, ia, PAGE_SIZE, b->prot, &g);
    /* A CPU that has the read-only leaf cached would fault again and again. */
    space_flush(s, &g);
    return err;
}

static int log_write(struct space *s, uint64_t ia, uint32_t access)
{
    struct pt_pool pool = { 0 };

    ia &= ~(PAGE_SIZE - 1);
    (void)frame_tables_reserve(&pool, pt_need(&s->pt, ia, PAGE_SIZE));
    space_lock(s);
    int err = write_locked(s, ia, access, &pool);

    space_unlock(s);
    frame_tables_release(&pool);
    return err;
}

const struct space_log_ops space_log_ops = { .mark = mark, .collect = collect, .write = log_write };
