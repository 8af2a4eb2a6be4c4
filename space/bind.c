/* SPDX-License-Identifier: BSD-2-Clause */
/* Bindings: which pages of an object stand where in a space. */
#include <stddef.h>

#include "mem/state.h"
#include "space/internal.h"

/* ---- geometry ---- */

/* The places in the tree where a binding may show something: the guest's view has one; the host's
 * stands where the frames are, both copies of every chunk. False beyond the last. */
static bool place(const struct binding *b, uint64_t i, uint64_t *ia, uint64_t *last)
{
    const struct gmem *gm = b->f.gm;
    uint64_t n = gmem_nchunks(gm);

    if (b->view == VIEW_GUEST) {
        *ia = b->ia;
        *last = b->ia + (binding_bytes(b) - 1);
        return i == 0;
    }
    if (i >= n * (gm->separate ? 2 : 1)) {
        return false;
    }
    *ia = i < n ? gm->priv[i] : gm->shared[i - n];
    *last = *ia + (CHUNK_SIZE - 1);
    return true;
}

bool binding_overlaps(const struct binding *b, uint64_t ia, uint64_t last)
{
    uint64_t from, to;

    for (uint64_t i = 0; place(b, i, &from, &to); i++) {
        if (from <= last && ia <= to) {
            return true;
        }
    }
    return false;
}

bool binding_page(const struct binding *b, uint64_t ia, uint64_t *page)
{
    uint64_t from, to;

    for (uint64_t i = 0; place(b, i, &from, &to); i++) {
        if (ia >= from && ia <= to) {
            uint64_t n = gmem_nchunks(b->f.gm);
            uint64_t chunk = i < n ? i : i - n; /* of either copy */

            *page = (b->view == VIEW_GUEST ? b->first : chunk * CHUNK_PAGES) +
                    ((ia - from) >> PAGE_SHIFT);
            return *page >= b->first && *page - b->first < b->n;
        }
    }
    return false;
}

/* The window's leaves stay inside a chunk: the chunk beside it may be another object's. */
uint64_t binding_cap(const struct binding *b)
{
    uint64_t cap = b->space->max_leaf;

    if (b->view == VIEW_HOST && (cap == 0 || cap > SIZE_2M)) {
        cap = SIZE_2M;
    }
    return cap;
}

bool binding_block(const struct binding *b, uint64_t page, uint64_t ia, uint64_t size)
{
    const struct gmem *gm = b->f.gm;
    uint64_t n = size >> PAGE_SHIFT;
    uint32_t seq;

    if (page < b->first || page - b->first > b->n || n > b->n - (page - b->first)) {
        return false;
    }
    uint64_t pa = gmem_frame(gm, page);
    const uint64_t *chunks = gmem_state(gm, page) == GMEM_SHARED ? gm->shared : gm->priv;

    if (((ia | pa) & (size - 1)) != 0 || !gmem_read_begin(gm, page, n, &seq) ||
        !gmem_uniform(gm, page, n, b->view == VIEW_GUEST)) {
        return false;
    }
    for (uint64_t k = page / CHUNK_PAGES; k < (page + n) / CHUNK_PAGES; k++) {
        if (chunks[k] != pa + ((k - page / CHUNK_PAGES) << CHUNK_SHIFT)) {
            return false;
        }
    }
    return true;
}

/* ---- filling ---- */

/* From p, at most to end: pages in states that this view does not tell apart, with frames in one
 * run. No leaf can then span a private/shared border, even where two chunks happen to be
 * neighbours in memory. */
static uint64_t next_run(const struct binding *b, uint64_t p, uint64_t end, bool *shown)
{
    const struct gmem *gm = b->f.gm;
    enum gmem_state s = gmem_state(gm, p);
    const uint64_t *chunks = s == GMEM_SHARED ? gm->shared : gm->priv;
    uint64_t q = p;

    *shown = s != GMEM_LOST &&
             (b->view == VIEW_GUEST ? chunks[p / CHUNK_PAGES] != GMEM_HOLE : s != GMEM_PRIVATE);
    while (q < end) {
        enum gmem_state t = q == p ? s : gmem_state(gm, q);

        if (b->view == VIEW_GUEST ? gmem_seen(t) != gmem_seen(s) : t != s) {
            break;
        }
        uint64_t stop = gmem_run_until(gm, q, end);

        /* Through the chunks of this run, as long as they are neighbours. */
        while (q < stop) {
            if (q != p && q % CHUNK_PAGES == 0 &&
                chunks[q / CHUNK_PAGES] != chunks[q / CHUNK_PAGES - 1] + CHUNK_SIZE) {
                return q;
            }
            q += gmem_in_chunk(q, stop - q);
        }
    }
    return q;
}

int binding_map(struct binding *b, uint64_t page, uint64_t n, struct pt_pool *pool)
{
    const struct gmem *gm = b->f.gm;
    uint64_t end = page + n, cap = binding_cap(b);
    bool shown;

    /* Under a log, pages; unless it was started after the tables were reserved. */
    if (b->view == VIEW_GUEST && space_logged(b->space, b->ia) &&
        pool->count >= binding_need_change(b, page, n, NULL)) {
        cap = PAGE_SIZE;
    }
    for (uint64_t p = page, q; p < end; p = q) {
        q = next_run(b, p, end, &shown);
        if (!shown) {
            continue;
        }
        uint64_t pa = gmem_frame(gm, p);
        uint64_t ia = b->view == VIEW_GUEST ? binding_ia(b, p) : pa;
        int err = pt_map(&b->space->pt, ia, pa, (q - p) << PAGE_SHIFT,
                         space_log_prot(b->space, ia, b->prot), cap, pool);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

/* Tables above the 2M blocks, for a 1G region that was not met before. */
static uint32_t upper_tables(const struct binding *b, uint64_t ia, uint64_t *last_gig)
{
    unsigned start = (unsigned)b->space->pt.cfg.start_level;

    if (ia / SIZE_1G == *last_gig) {
        return 0;
    }
    *last_gig = ia / SIZE_1G;
    return start == 0 ? 2 : (start == 1 ? 1 : 0);
}

static uint32_t window_need(const struct binding *b, uint64_t page, uint64_t n,
                            const uint64_t *chunks)
{
    bool big = space_leaf_ok(b->space, SIZE_2M);
    uint64_t last_gig = ~0ull;
    uint32_t need = 0;

    for (uint64_t p = page, m; p < page + n; p += m) {
        m = gmem_in_chunk(p, page + n - p);
        need += upper_tables(b, gmem_at(chunks, p), &last_gig);
        need += big && m == CHUNK_PAGES ? 0 : 1;
    }
    return need;
}

static uint32_t guest_need(const struct binding *b, uint64_t page, uint64_t n)
{
    bool big = space_leaf_ok(b->space, SIZE_2M) && binding_big(b) && !space_logged(b->space, b->ia);
    uint64_t last_gig = ~0ull;
    uint32_t need = 0;

    for (uint64_t p = page, m; p < page + n; p += m) {
        m = gmem_in_chunk(p, page + n - p);
        uint64_t ia = binding_ia(b, p);
        uint64_t last = ia + (m << PAGE_SHIFT) - 1;

        need += upper_tables(b, ia, &last_gig);
        need += upper_tables(b, last, &last_gig);
        if (!big) {
            need += (uint32_t)(last / SIZE_2M - ia / SIZE_2M) + 1;
        } else if (m != CHUNK_PAGES || !gmem_uniform(b->f.gm, p, m, true)) {
            need++;
        }
    }
    return need;
}

/*
 * Upper bounds of table pages, walked by chunks and not by pages. For a change: mapping or cutting
 * the range, at both ends (or putting back what was broken around them); `chunks` are the frames
 * that a window is made of. For a new binding: what its pages need as they are.
 */
uint32_t binding_need_change(const struct binding *b, uint64_t page, uint64_t n,
                             const uint64_t *chunks)
{
    uint64_t last = page + (n - 1);

    if (b->view == VIEW_GUEST) {
        return guest_need(b, page, n) + guest_need(b, last, 1);
    }
    return window_need(b, page, n, chunks) + window_need(b, last, 1, chunks);
}

uint32_t binding_need_now(const struct binding *b)
{
    const struct gmem *gm = b->f.gm;
    uint32_t need = 0;

    if (b->view == VIEW_GUEST) {
        return guest_need(b, b->first, b->n);
    }
    for (uint64_t p = b->first, end = b->first + b->n, m; p < end; p += m) {
        m = gmem_in_chunk(p, end - p);
        need += gmem_any(gm, p, m, GMEM_SHARED) ? window_need(b, p, 1, gm->shared) : 0;
        need += gmem_any(gm, p, m, GMEM_SHARED_INPLACE) ? window_need(b, p, 1, gm->priv) : 0;
    }
    return need;
}

/* ---- bind ---- */

/* A binding is inside a log or outside, and a log knows guests' pages only. */
static bool log_in_the_way(const struct binding *b)
{
    const struct space *s = b->space;
    uint64_t ia, last;

    for (uint64_t k = 0; s->log.kind != SPACE_LOG_OFF && place(b, k, &ia, &last); k++) {
        if (space_log_crossed(s, ia, last) || (b->view == VIEW_HOST && space_logged(s, ia))) {
            return true;
        }
    }
    return false;
}

static bool place_taken(const struct binding *b)
{
    const struct space *s = b->space;
    uint64_t ia, last;

    for (uint64_t k = 0; place(b, k, &ia, &last); k++) {
        for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
            const struct binding *o = &s->binding[i];

            if (o == b || o->space == NULL) {
                continue;
            }
            /* Two windows meet only if they are of one object: a frame has one owner. */
            if (o->view == VIEW_HOST && b->view == VIEW_HOST ? o->f.gm == b->f.gm
                                                             : binding_overlaps(o, ia, last)) {
                return true;
            }
        }
        if (space_mapped(s, ia, last)) {
            return true;
        }
    }
    return false;
}

/* Takes every page of the binding out of the tree; lock held alone. */
void binding_unmap(struct binding *b, struct pt_gather *g)
{
    uint64_t ia, last;

    for (uint64_t i = 0; place(b, i, &ia, &last); i++) {
        space_log_collect(b->space, ia, last, g);
        if (ia != GMEM_HOLE && (pt_unmap(&b->space->pt, ia, last - ia + 1, g) != 0 ||
                                pt_trim(&b->space->pt, ia, last - ia + 1, g) != 0)) {
            port_panic("space: a leaf crosses the end of a binding");
        }
        space_log_broken(b->space, g, ia, last);
    }
}

static int check_args(const struct space *s, const struct gmem *gm, const struct binding *b)
{
    if (b->n == 0 || (b->ia & (PAGE_SIZE - 1)) != 0 ||
        (s->kind == SPACE_IO && !b->prefill && !s->page_requests)) {
        return -EINVAL;
    }
    if (b->first >= gm->npages || b->n > gm->npages - b->first) {
        return -EFAULT;
    }
    if (b->view == VIEW_GUEST && (b->ia + (binding_bytes(b) - 1) < b->ia ||
                                  (b->ia + (binding_bytes(b) - 1)) >> s->pt.cfg.ia_bits != 0)) {
        return -ERANGE;
    }
    for (uint64_t k = 0; b->view == VIEW_HOST && k < gmem_nchunks(gm); k++) {
        if (((gm->priv[k] | (gm->separate ? gm->shared[k] : 0)) & ~GMEM_HOLE) >>
            s->pt.cfg.ia_bits) {
            return -ERANGE;
        }
    }
    if (gm->dying || gm->scrubbed < gmem_nchunks(gm) * (gm->separate ? 2 : 1)) {
        return -EBUSY; /* nobody may see what was there before */
    }
    return 0;
}

/* Fills the slot's tree part; on error nothing is left. Lock held alone. */
static int fill(struct binding *b)
{
    struct pt_pool pool = { 0 };
    uint32_t need = b->prefill ? binding_need_now(b) : 0;
    int err = frame_tables_reserve(&pool, need);

    if (err != 0) {
        return err;
    }
    err = frame_tables_reserve(&b->change[0].reserve, SPACE_RESERVE);
    if (err == 0 && b->prefill) {
        err = binding_map(b, b->first, b->n, &pool);
        if (err != 0) {
            struct pt_gather g;

            pt_gather_init(&g);
            binding_unmap(b, &g);
            space_flush(b->space, &g);
        }
    }
    frame_tables_release(&pool);
    return err;
}

int space_bind(struct space *s, struct gmem *gm, enum space_view view, uint64_t ia, uint64_t first,
               uint64_t n, uint32_t prot, bool prefill)
{
    struct binding *b = NULL;
    struct binding want = { .space = s,
                            .view = view,
                            .ia = view == VIEW_GUEST ? ia : 0,
                            .first = first,
                            .n = n,
                            .prot = prot,
                            .prefill = prefill,
                            .f = { .ops = &binding_ops, .gm = gm, .wants_hint = !prefill } };

    if (s->kind == SPACE_IO) {
        want.prot |= PT_USER; /* a device is no privileged agent */
    }
    gmem_stop(gm);
    int err = check_args(s, gm, &want);

    if (err != 0) {
        gmem_go(gm);
        return err;
    }
    space_lock(s);
    for (unsigned i = 0; i < SPACE_BINDINGS && b == NULL; i++) {
        if (s->binding[i].space == NULL) {
            b = &s->binding[i];
        }
    }
    if (s->use == SPACE_PINNED) {
        err = -EBUSY;
    } else if (b == NULL) {
        err = -ENOSPC;
    } else {
        *b = want;
        for (unsigned i = 0; i < GMEM_CHANGES; i++) {
            pt_gather_init(&b->change[i].gather);
        }
        /* Where a leaf may have to go as a whole, its neighbours are out for a while. */
        b->f.alone = s->pt.cfg.live.stalls && s->pt.cfg.live.bbm < 2;
        err = log_in_the_way(b) ? -EBUSY : (place_taken(b) ? -EEXIST : fill(b));
        if (err != 0) {
            frame_tables_release(&b->change[0].reserve);
            *b = (struct binding){ 0 };
        } else {
            s->use = SPACE_FOLLOWS;
            gmem_follow(gm, &b->f);
        }
    }
    space_unlock(s);
    gmem_go(gm);
    return err;
}

int space_unbind(struct space *s, struct gmem *gm)
{
    int err = -ENOENT;

    gmem_stop(gm);
    space_lock(s);
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        struct binding *b = &s->binding[i];

        if (b->space == NULL || b->f.gm != gm) {
            continue;
        }
        struct pt_gather *g = &b->change[0].gather; /* no change is under way */

        binding_unmap(b, g);
        space_flush(s, g);
        frame_tables_release(&b->change[0].reserve);
        gmem_unfollow(gm, &b->f);
        *b = (struct binding){ 0 };
        err = 0;
    }
    space_unlock(s);
    gmem_go(gm);
    return err;
}
