/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Faults. Any number of CPUs at once, beside each other: they share the lock, and the engine
 * installs one leaf by compare-exchange.
 *
 * Against a conversion: it marks its range as in change, then takes the lock alone to break. So a
 * fault that does not find the mark under its share of the lock installs before the break, which
 * takes the leaf away again; one that comes later finds it, and retries.
 */
#include <stddef.h>

#include "mem/state.h"
#include "space/internal.h"

/* Can one leaf of `size` at ia's block show the page, and pages around it as they are now? */
static bool large_ok(const struct binding *b, uint64_t ia, uint64_t page, uint64_t size,
                     uint64_t *first)
{
    uint64_t back = (ia & (size - 1)) >> PAGE_SHIFT;

    *first = page - back;
    return space_leaf_ok(b->space, size) && !space_logged(b->space, ia) &&
           (binding_cap(b) == 0 || size <= binding_cap(b)) && page >= b->first + back &&
           binding_block(b, *first, ia & ~(size - 1), size);
}

/*
 * Neighbours of a page that was just mapped, where it costs nothing: the table is there, the page is
 * of the object's, and not in change. A page that another CPU maps meanwhile is fine.
 */
static void fill_around(struct binding *b, uint64_t ia, uint64_t page, struct pt_pool *pool)
{
    struct space *s = b->space;
    uint64_t n = s->fault_around;
    uint64_t back = n == 0 ? 0 : (ia >> PAGE_SHIFT) & (n - 1);

    for (uint64_t i = 0; i < n; i++) {
        uint64_t at = (ia & ~(PAGE_SIZE - 1)) + ((i - back) << PAGE_SHIFT), p;
        uint32_t seq;

        if (i == back || !binding_page(b, at, &p) || p != page + (i - back) ||
            (b->busy && at >= b->busy_ia && at <= b->busy_last) ||
            !gmem_read_begin(b->f.gm, p, 1, &seq)) {
            continue;
        }
        if (b->view == VIEW_HOST &&
            (gmem_state(b->f.gm, p) == GMEM_PRIVATE || gmem_frame(b->f.gm, p) != at)) {
            continue;
        }
        if (pt_map_leaf(&s->pt, at, gmem_frame(b->f.gm, p), 3, space_log_prot(s, at, b->prot),
                        pool) == 0) {
            __atomic_add_fetch(&s->around, 1, __ATOMIC_RELAXED);
        }
    }
}

static int install(struct binding *b, uint64_t ia, uint64_t page, struct pt_pool *pool)
{
    static const struct {
        uint64_t size;
        int8_t level;
    } sizes[] = { { SIZE_1G, 1 }, { SIZE_2M, 2 }, { PAGE_SIZE, 3 } };
    struct space *s = b->space;
    int err = -EEXIST;

    for (unsigned i = 0; i < 3 && err == -EEXIST; i++) {
        uint64_t first = page;

        if (sizes[i].level < s->pt.cfg.start_level ||
            (sizes[i].size > PAGE_SIZE && !large_ok(b, ia, page, sizes[i].size, &first))) {
            continue;
        }
        /* -EEXIST: a table is there already, so a smaller leaf it is; at the last level another CPU
         * was faster. */
        err = pt_map_leaf(&s->pt, ia & ~(sizes[i].size - 1), gmem_frame(b->f.gm, first),
                          sizes[i].level, space_log_prot(s, ia, b->prot), pool);
        if (err == 0 && sizes[i].size == PAGE_SIZE) {
            fill_around(b, ia, page, pool);
        }
    }
    return err == -EEXIST ? 0 : err;
}

#define PROTECTED 1 /* mapped, but the log wants to know of the write */

static bool allowed(uint32_t prot, uint32_t access)
{
    return (access & ~prot & (PT_READ | PT_WRITE | PT_EXEC)) == 0;
}

/* Under a share of the lock. *gm is set when the fault was answered by a new leaf. */
static int fault_locked(struct space *s, uint64_t ia, uint32_t access, struct pt_pool *pool,
                        struct binding **hit, uint64_t *page)
{
    struct pt_leaf leaf;
    struct binding *b = NULL;
    uint32_t seq;
    int err = pt_lookup(&s->pt, ia, &leaf);

    if (err != 0) {
        return -EFAULT; /* outside the input size */
    }
    if (leaf.present) {
        if (allowed(leaf.prot, access)) {
            return 0; /* somebody was faster */
        }
        /* No right; or none as long as nobody has written it down. */
        return s->log.ops != NULL && space_logged(s, ia) ? PROTECTED : -EPERM;
    }
    for (unsigned i = 0; i < SPACE_BINDINGS && b == NULL; i++) {
        if (s->binding[i].space != NULL && binding_page(&s->binding[i], ia, page)) {
            b = &s->binding[i];
        }
    }
    if (b == NULL) {
        return -EFAULT;
    }
    if (b->busy && ia >= b->busy_ia && ia <= b->busy_last) {
        return -EAGAIN;
    }
    if (!gmem_read_begin(b->f.gm, *page, 1, &seq)) {
        return -EAGAIN;
    }
    if (!allowed(b->prot, access)) {
        return -EPERM;
    }
    if (b->view == VIEW_HOST && (gmem_state(b->f.gm, *page) == GMEM_PRIVATE ||
                                 gmem_frame(b->f.gm, *page) != (ia & ~(PAGE_SIZE - 1)))) {
        return -EPERM;
    }
    if (gmem_read_retry(b->f.gm, *page, 1, seq)) {
        return -EAGAIN;
    }
    *hit = b;
    err = install(b, ia, *page, pool);
    return err == 0 && !allowed(space_log_prot(s, ia, b->prot), access) ? PROTECTED : err;
}

int space_fill(struct space *s, uint64_t ia, uint32_t access, bool hint)
{
    struct pt_pool pool = { 0 };
    struct binding *hit = NULL;
    struct gmem *gm = NULL;
    uint64_t page = 0;

    /* Reserved outside the lock. If none are left the leaf may still need none. */
    (void)frame_tables_reserve(&pool, pt_need(&s->pt, ia & ~(PAGE_SIZE - 1), PAGE_SIZE));
    space_share_lock(s);
    int err = fault_locked(s, ia, access, &pool, &hit, &page);

    if ((err == 0 || err == PROTECTED) && hit != NULL) {
        /* Others than this one that want to know? If not, the object is left alone: without the lock it
         * may be gone already. */
        if (__atomic_load_n(&hit->f.gm->hinters, __ATOMIC_RELAXED) > hit->f.wants_hint) {
            gm = hit->f.gm;
        }
        __atomic_add_fetch(&s->faults, 1, __ATOMIC_RELAXED);
    }
    const struct space_log_ops *log = s->log.ops;

    space_share_unlock(s);
    frame_tables_release(&pool);
    if (gm != NULL && hint) {
        gmem_hint(gm, &hit->f, page);
    }
    if (err == PROTECTED) {
        err = log->write(s, ia, access);
    }
    return err;
}

int space_fault(struct space *s, uint64_t ia, uint32_t access)
{
    return space_fill(s, ia, access, true);
}
