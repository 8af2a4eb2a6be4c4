/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a binding follows a conversion. The pages are the converter's alone through all of it; other
 * changes, of other pages, may be at any step of theirs. The space's lock is taken for each step, so
 * that they and faults on other pages go on in between.
 */
#include <stddef.h>

#include "mem/state.h"
#include "space/internal.h"

/* Tables between a 2M block and the start table, at most. */
#define UPPER_MAX 2u

static struct binding *of(struct follower *f)
{
    return (struct binding *)f; /* first member */
}

static struct binding_change *kept_of(struct binding *b, const struct gmem_change *c)
{
    return &b->change[c->slot];
}

/* The part of the change that this binding shows. In place nothing changes for the guest. */
static bool concerns(const struct binding *b, const struct gmem_change *c, uint64_t *page,
                     uint64_t *n)
{
    uint64_t from = c->page > b->first ? c->page : b->first;
    uint64_t end = c->page + c->n < b->first + b->n ? c->page + c->n : b->first + b->n;

    if (from >= end) {
        return false;
    }
    if (b->view == VIEW_GUEST && (c->from == GMEM_SHARED_INPLACE || c->to == GMEM_SHARED_INPLACE)) {
        return false;
    }
    *page = from;
    *n = end - from;
    return true;
}

static bool loses(const struct binding *b, const struct gmem_change *c)
{
    return b->view == VIEW_GUEST || c->to == GMEM_PRIVATE;
}

static bool gains(const struct binding *b, const struct gmem_change *c)
{
    return b->view == VIEW_GUEST || c->to != GMEM_PRIVATE;
}

/* The frames that the host gains or loses. */
static const uint64_t *window_chunks(const struct gmem_change *c)
{
    return c->from == GMEM_SHARED || c->to == GMEM_SHARED ? c->gm->shared : c->gm->priv;
}

/*
 * The pieces of the tree that a change covers, one after the other: the guest's view is one piece;
 * the host's is one for each chunk (where its frames are). False at the end.
 */
struct piece {
    uint64_t page, n; /* still to come */
    uint64_t ia, len; /* this one */
};

static bool next_piece(const struct binding *b, const struct gmem_change *c, struct piece *p)
{
    if (p->n == 0) {
        return false;
    }
    uint64_t m = p->n;

    if (b->view == VIEW_GUEST) {
        p->ia = binding_ia(b, p->page);
    } else {
        m = gmem_in_chunk(p->page, p->n);
        p->ia = gmem_at(window_chunks(c), p->page);
    }
    p->len = m << PAGE_SHIFT;
    p->page += m;
    p->n -= m;
    return true;
}

static void trim(struct pt_pool *reserve, uint32_t keep)
{
    while (reserve->count > keep) {
        frame_tables_put(pt_pool_pop(reserve), 1);
    }
}

/* ---- prepare ---- */

/* Inside one block of each view? Then what slot 0 keeps is enough, whatever stands there. */
static bool in_a_block(const struct binding *b, uint64_t page, uint64_t n)
{
    _Static_assert(2 * (UPPER_MAX + 1) + UPPER_MAX <= SPACE_RESERVE, "both ends, and a merge");
    uint64_t last = page + (n - 1);

    return page / CHUNK_PAGES == last / CHUNK_PAGES &&
           binding_ia(b, page) / SIZE_2M == binding_ia(b, last) / SIZE_2M;
}

static int change_prepare(struct follower *f, const struct gmem_change *c)
{
    struct binding *b = of(f);
    struct binding_change *k = kept_of(b, c);
    struct space *s = b->space;
    const struct pt_live *live = &s->pt.cfg.live;
    int err = 0;

    k->kept = k->reserve.count;
    if (!concerns(b, c, &k->page, &k->n)) {
        k->n = 0;
        return 0;
    }
    if (k->kept < SPACE_RESERVE || !in_a_block(b, k->page, k->n)) {
        /* In the worst case: a fault may still map a large leaf here before faults are held off. Two
         * more for a merge that breaks. */
        space_share_lock(s); /* a log may begin */
        uint32_t need = binding_need_change(b, k->page, k->n, window_chunks(c)) + UPPER_MAX;

        space_share_unlock(s);
        err = need > k->kept ? frame_tables_reserve(&k->reserve, need - k->kept) : 0;
    }
    if (err != 0 || !loses(b, c) || live->stalls || (live->bbm >= 2 && !live->exec_4k)) {
        return err; /* any leaf can be cut, or broken as a whole */
    }
    struct piece p = { .page = k->page, .n = k->n };

    space_share_lock(s);
    while (err == 0 && next_piece(b, c, &p)) {
        err = pt_cut_check(&s->pt, p.ia, p.len);
    }
    space_share_unlock(s);
    if (err != 0) {
        trim(&k->reserve, k->kept);
    }
    return err;
}

static void change_cancel(struct follower *f, const struct gmem_change *c)
{
    struct binding_change *k = kept_of(of(f), c);

    trim(&k->reserve, k->kept);
}

/* ---- lose ---- */

/* A leaf that may not be cut goes as a whole; its other pages are out until gain. */
static void widen(struct binding *b, struct piece *p)
{
    uint64_t last = p->ia + (p->len - 1), from = p->ia;

    space_widen(b->space, &from, &last);
    if (!b->busy) {
        b->busy = true;
        b->busy_ia = from;
        b->busy_last = last;
    }
    b->busy_ia = from < b->busy_ia ? from : b->busy_ia;
    b->busy_last = last > b->busy_last ? last : b->busy_last;
    p->ia = from;
    p->len = last - from + 1;
}

/* Cuts at the piece's edges, and waits until the large leaves are forgotten: only then may the break's
 * invalidation carry the level of the small ones. */
static void cut_edges(struct binding *b, struct binding_change *k, struct piece *p)
{
    struct space *s = b->space;
    int err = pt_cut(&s->pt, p->ia, p->len, &k->reserve, &k->gather);

    if (err == -EOPNOTSUPP) {
        widen(b, p); /* it stalls: the whole leaf goes */
        return;
    }
    if (err != 0) {
        port_panic("space: a prepared cut failed");
    }
    s->cuts++;
    space_flush(s, &k->gather);
}

/* Are these all the pages that a window chunk shows? Then its table goes too. */
static bool last_of_chunk(const struct gmem_change *c, uint64_t page, uint64_t n)
{
    uint64_t first = page & ~(CHUNK_PAGES - 1), end = page + n;

    return !gmem_any(c->gm, first, page - first, c->from) &&
           !gmem_any(c->gm, end, first + CHUNK_PAGES - end, c->from);
}

/* A hole that holds the whole block: no table is there. */
static bool empty_block(const struct space *s, uint64_t ia)
{
    struct pt_leaf leaf;

    return pt_lookup(&s->pt, ia, &leaf) == 0 && !leaf.present && leaf.last - leaf.ia >= SIZE_2M - 1;
}

/* All of a piece, or (-EINVAL: a leaf crosses an end) no leaf. A page has a short way of its own. */
static int take_out(struct space *s, const struct piece *p, bool whole, struct pt_gather *g)
{
    uint64_t step = p->len == 2 * PAGE_SIZE ? PAGE_SIZE : p->len;
    int err = whole ? pt_unmap(&s->pt, p->ia, p->len, g) : 0;

    for (uint64_t at = 0; !whole && at < p->len && err == 0; at += step) {
        err = pt_break(&s->pt, p->ia + at, step, g);
    }
    return err;
}

static void change_lose(struct follower *f, const struct gmem_change *c)
{
    struct binding *b = of(f);
    struct binding_change *k = kept_of(b, c);
    struct space *s = b->space;
    struct piece p = { .page = k->page, .n = k->n };

    if (p.n == 0 || !loses(b, c)) {
        return;
    }
    space_lock(s);
    while (next_piece(b, c, &p)) {
        bool whole = ((p.ia | p.len) & (SIZE_2M - 1)) == 0;

        if (b->view == VIEW_HOST) {
            if (empty_block(s, p.ia)) {
                continue;
            }
            whole = whole || last_of_chunk(c, p.page - (p.len >> PAGE_SHIFT), p.len >> PAGE_SHIFT);
        }
        /* Whole blocks: their tables go as well, so that one large leaf can come. Else tables stay:
         * the page comes back. */
        int err = take_out(s, &p, whole, &k->gather);

        if (err == -EINVAL) {
            cut_edges(b, k, &p);
            err = take_out(s, &p, whole, &k->gather);
        }
        if (err != 0 || (whole && pt_trim(&s->pt, p.ia, p.len, &k->gather) != 0)) {
            port_panic("space: a prepared break failed");
        }
        space_log_broken(s, &k->gather, p.ia, p.ia + (p.len - 1));
    }
    (void)space_issue(s, &k->gather);
    s->refreshes++;
    space_unlock(s);
}

static void change_wait(struct follower *f, const struct gmem_change *c)
{
    struct binding *b = of(f);
    struct binding_change *k = kept_of(b, c);

    if (!pt_gather_empty(&k->gather)) { /* then it was issued */
        space_wait(b->space);
        space_reclaim(b->space, &k->gather);
    }
}

/* ---- gain ---- */

static void map_or_die(struct binding *b, uint64_t page, uint64_t n, struct pt_pool *pool)
{
    if (n != 0 && binding_map(b, page, n, pool) != 0) {
        port_panic("space: a prepared map failed");
    }
}

/* Most changes: in a chunk their frames are in a row. */
static void map_change(struct binding *b, const struct gmem_change *c, struct binding_change *k)
{
    bool row = c->frames != NULL && gmem_in_chunk(k->page, k->n) == k->n;
    uint64_t step = k->n == 2 ? 1 : k->n, n = 0;

    row = row && b->view == VIEW_GUEST && b->space->log.kind == SPACE_LOG_OFF;
    while (row && n < k->n &&
           pt_map(&b->space->pt, binding_ia(b, k->page + n), gmem_at(c->frames, k->page + n),
                  step << PAGE_SHIFT, b->prot, binding_cap(b), &k->reserve) == 0) {
        n += step;
    }
    map_or_die(b, k->page + n, k->n - n, &k->reserve);
}

/* What widen() took away around the change comes back, as the object is now. */
static void put_back(struct binding *b, uint64_t page, uint64_t n, struct pt_pool *pool)
{
    uint64_t from = page, end = page + n;

    if (b->view == VIEW_GUEST) {
        (void)binding_page(b, b->busy_ia, &from);
        (void)binding_page(b, b->busy_last, &end);
        map_or_die(b, from, page - from, pool);
        map_or_die(b, page + n, end + 1 - (page + n), pool);
        return;
    }
    /* Windows: leaves end with their chunk. The rest of the first and last chunk, where a hole is. */
    uint64_t chunk[2] = { page & ~(CHUNK_PAGES - 1), (end - 1) & ~(CHUNK_PAGES - 1) };

    for (unsigned i = 0; i < (chunk[0] == chunk[1] ? 1u : 2u); i++) {
        uint64_t last = chunk[i] + CHUNK_PAGES - 1;

        for (uint64_t q = chunk[i]; q <= last; q++) {
            uint64_t pa = gmem_frame(b->f.gm, q);
            struct pt_leaf leaf = { 0 };

            if (q >= b->first && q - b->first < b->n && gmem_state(b->f.gm, q) != GMEM_PRIVATE &&
                pt_lookup(&b->space->pt, pa, &leaf) == 0 && !leaf.present) {
                map_or_die(b, q, 1, pool);
            }
        }
    }
}

static void change_gain(struct follower *f, const struct gmem_change *c)
{
    struct binding *b = of(f);
    struct binding_change *k = kept_of(b, c);
    struct space *s = b->space;
    bool map = gains(b, c) && b->prefill;

    /* A window that faults fill has nothing to do. Only a change that runs alone makes it busy. */
    if (k->n == 0 || (b->view == VIEW_HOST && !map && !b->busy)) {
        return;
    }
    space_lock(s);
    if (b->view == VIEW_GUEST) {
        /* Other content, whoever wrote it. */
        space_log_mark(s, binding_ia(b, k->page), binding_ia(b, k->page + k->n) - 1);
    }
    if (map) {
        map_change(b, c, k);
    }
    if (b->busy) {
        put_back(b, k->page, k->n, &k->reserve);
        b->busy = false;
    }
    space_unlock(s);
}

/* ---- settle ---- */

/* All walkers can wait: break the table's leaves, and map the block as one. The lock is held alone
 * throughout, so faults in between wait. */
static bool merge_by_break(struct binding *b, uint64_t page, uint64_t ia, uint64_t size,
                           struct pt_pool *pool)
{
    struct space *s = b->space;
    struct pt_gather g;

    if (pool->count < UPPER_MAX) {
        return false; /* the tables above may go too, and nothing may fail then: it stays as it is */
    }
    pt_gather_init(&g);
    if (pt_unmap(&s->pt, ia, size, &g) != 0) {
        port_panic("space: a block that is no block");
    }
    space_flush(s, &g);
    map_or_die(b, page, size >> PAGE_SHIFT, pool);
    s->merges++;
    return true;
}

/* Merge the block of this size at page, if it is uniform. Lock held alone. */
static bool merge_block(struct binding *b, uint64_t page, uint64_t ia, uint64_t size,
                        struct pt_pool *pool)
{
    struct space *s = b->space;
    struct pt_gather g;
    struct pt_leaf leaf;

    /* Another change in the block has pages out, or will look at what is in: it merges afterwards. One
     * that begins from here on waits for the lock. */
    if (!space_leaf_ok(s, size) || space_logged(s, ia) || !binding_block(b, page, ia, size)) {
        return false;
    }
    if (pt_lookup(&s->pt, ia, &leaf) != 0 || !leaf.present) {
        return false;
    }
    if (leaf.last - leaf.ia + 1 >= size) {
        return true; /* it is one already */
    }
    pt_gather_init(&g);
    int made = pt_merge(&s->pt, ia, size, size, &g);

    if (made > 0) {
        s->merges++;
        space_flush(s, &g);
        return true;
    }
    if (made == -EOPNOTSUPP) {
        return merge_by_break(b, page, ia, size, pool);
    }
    return false;
}

void binding_merge(struct binding *b, uint64_t q, uint64_t *gig, struct pt_pool *pool)
{
    uint64_t ia = b->view == VIEW_GUEST ? binding_ia(b, q) : gmem_frame(b->f.gm, q);

    if (merge_block(b, q, ia, SIZE_2M, pool) && b->view == VIEW_GUEST && ia / SIZE_1G != *gig) {
        uint64_t back = (ia & (SIZE_1G - 1)) >> PAGE_SHIFT;

        *gig = ia / SIZE_1G;
        if (q >= b->first + back) {
            (void)merge_block(b, q - back, ia & ~(SIZE_1G - 1), SIZE_1G, pool);
        }
    }
}

static void change_settle(struct follower *f, const struct gmem_change *c)
{
    struct binding *b = of(f);
    struct binding_change *k = kept_of(b, c);
    struct space *s = b->space;
    uint64_t page, n;

    if (!c->gm->merge_later && concerns(b, c, &page, &n) && gains(b, c) &&
        (b->view == VIEW_HOST || binding_big(b)) && space_leaf_ok(s, SIZE_2M)) {
        uint64_t gig = ~0ull;

        for (uint64_t q = page & ~(CHUNK_PAGES - 1); q < page + n; q += CHUNK_PAGES) {
            /* Eight words say whether there is anything to do: almost never. */
            if (q < b->first || !gmem_uniform(c->gm, q, CHUNK_PAGES, b->view == VIEW_GUEST)) {
                continue;
            }
            space_lock(s);
            binding_merge(b, q, &gig, &k->reserve);
            space_unlock(s);
        }
    }
    uint32_t keep = c->slot == 0 ? SPACE_RESERVE : 0;

    trim(&k->reserve, keep);
    if (k->reserve.count < keep) {
        /* So that the next small change finds what it needs; if there is nothing now, then then. */
        (void)frame_tables_reserve(&k->reserve, keep - k->reserve.count);
    }
}

static void change_hint(struct follower *f, uint64_t page)
{
    struct binding *b = of(f);

    if (page >= b->first && page - b->first < b->n) {
        uint64_t ia = b->view == VIEW_GUEST ? binding_ia(b, page) : gmem_frame(b->f.gm, page);

        (void)space_fill(b->space, ia, PT_READ, false);
    }
}

/* Faults look while they have a share of the lock. */
static void change_quiesce(struct follower *f)
{
    space_lock(of(f)->space);
    space_unlock(of(f)->space);
}

const struct follower_ops binding_ops = {
    .prepare = change_prepare,
    .cancel = change_cancel,
    .lose = change_lose,
    .wait = change_wait,
    .gain = change_gain,
    .settle = change_settle,
    .hint = change_hint,
    .quiesce = change_quiesce,
};
