/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs of writes: start, cut ahead, read, stop, merge afterwards. All of them hold map_lock, so that
 * there is one at a time, and the space's lock in bounded steps, so that faults and conversions go on
 * in between. They see the log from its first moment on (track.c): what they map is watched.
 */
#include <stddef.h>

#include <tenon/pt_more.h>

#include "mem/state.h"
#include "space/log.h"

#define STEP_LEAVES  4096u
#define STEP_ENTRIES 4096u /* looked at in one hold of the lock where nothing is */
#define STEP_BYTES   ((uint64_t)64 << 20)
#define MERGE_POOL   4u

/* ---- rights ---- */

/* What the leaf may do when no log is on: a protected one does not know it itself. */
static uint32_t plain(struct space *s, const struct pt_leaf *leaf)
{
    const struct binding *b = space_binding_at(s, leaf->ia);

    return b != NULL ? b->prot : leaf->prot & ~(uint32_t)(PT_TRACK | PT_DIRTY);
}

static uint32_t rights(uint32_t prot)
{
    return prot & (PT_READ | PT_WRITE | PT_EXEC | PT_TRACK);
}

/* Gives leaves from *pos on the rights that the log asks for. True while there is more. */
static bool retrack_some(struct space *s, uint64_t *pos, uint64_t last, struct pt_gather *g)
{
    struct pt_leaf leaf;

    for (unsigned n = 0; n < STEP_LEAVES; n++) {
        if (!pt_next(&s->pt, pos, last, &leaf)) {
            return false;
        }
        if (!leaf.present) {
            *pos = pt_hole_end(&s->pt, *pos, last, 64); /* as much as to change a leaf */
            continue;
        }
        if ((leaf.prot & PT_DEVICE) != 0) {
            continue;
        }
        uint32_t want = space_log_prot(s, leaf.ia, plain(s, &leaf));

        if (rights(want) != rights(leaf.prot) &&
            pt_protect(&s->pt, leaf.ia, leaf.last - leaf.ia + 1, want, g) != 0) {
            port_panic("space: a leaf's rights cannot change");
        }
    }
    return true;
}

static void retrack(struct space *s, uint64_t ia, uint64_t last)
{
    bool more = true;

    while (more) {
        struct pt_gather g;

        pt_gather_init(&g);
        space_lock(s);
        more = retrack_some(s, &ia, last, &g);
        bool issued = space_issue(s, &g);

        space_unlock(s);
        if (issued) {
            space_wait(s);
        }
        space_reclaim(s, &g);
    }
}

/* ---- start and stop ---- */

static int check_bindings(const struct space *s, uint64_t ia, uint64_t last)
{
    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        const struct binding *b = &s->binding[i];

        if (b->space == NULL || !binding_overlaps(b, ia, last)) {
            continue;
        }
        if (b->view != VIEW_GUEST || b->ia < ia || b->ia + (binding_bytes(b) - 1) > last) {
            return -EINVAL;
        }
    }
    return 0;
}

/* May every leaf be protected, and made writable page by page? */
static int check_protect(struct space *s, uint64_t ia, uint64_t last)
{
    struct pt_leaf leaf;

    if (s->kind != SPACE_CPU || !s->pt.cfg.live.stalls) {
        return -EOPNOTSUPP;
    }
    while (pt_next(&s->pt, &ia, last, &leaf)) {
        if (leaf.present && (leaf.prot & (PT_WRITE | PT_DEVICE)) == PT_WRITE &&
            space_binding_at(s, leaf.ia) == NULL) {
            return -EOPNOTSUPP;
        }
    }
    return 0;
}

static int start_locked(struct space *s, const struct space_log *want)
{
    uint64_t len = want->last - want->ia + 1;
    int err = 0;

    if (s->log.kind != SPACE_LOG_OFF &&
        (s->log.kind != SPACE_LOG_AHEAD || want->kind == SPACE_LOG_AHEAD || s->log.ia != want->ia ||
         s->log.last != want->last)) {
        return -EBUSY;
    }
    if (want->kind == SPACE_LOG_DIRTY_BIT && !s->pt.cfg.live.hw_dirty) {
        return -EOPNOTSUPP;
    }
    err = check_bindings(s, want->ia, want->last);
    if (err == 0 && want->kind == SPACE_LOG_WRITE_PROTECT) {
        err = check_protect(s, want->ia, want->last);
    }
    if (err == 0) {
        err = space_cut_locked(s, want->ia, len);
    }
    if (err == 0) {
        s->log = *want; /* from here on nothing is mapped that is not watched */
    }
    return err;
}

int space_log_start(struct space *s, enum space_log_kind kind, uint64_t ia, uint64_t len,
                    uint64_t *bits)
{
    struct space_log want = {
        .kind = kind, .ia = ia, .last = ia + (len - 1), .bits = bits, .ops = &space_log_ops
    };

    if (kind < SPACE_LOG_AHEAD || kind > SPACE_LOG_DIRTY_BIT ||
        (bits == NULL) != (kind == SPACE_LOG_AHEAD) || len == 0 ||
        ((ia | len) & (SPACE_LOG_BLOCK - 1)) != 0) {
        return -EINVAL;
    }
    if (want.last < ia || want.last >> s->pt.cfg.ia_bits != 0) {
        return -ERANGE;
    }
    port_lock(&s->map_lock);
    space_lock(s);
    int err = start_locked(s, &want);

    space_unlock(s);
    if (err == 0 && kind != SPACE_LOG_AHEAD) {
        retrack(s, ia, want.last); /* on return no walker has a leaf that is not watched */
    }
    port_unlock(&s->map_lock);
    return err;
}

/* What was not read is forgotten. Bits are in parts that something touched, and nowhere else. */
static void forget(const struct space_log *l)
{
    uint64_t blocks = ((uint64_t)1 << log_part_shift(l)) / SPACE_LOG_BLOCK;
    uint64_t all = (l->last - l->ia) / SPACE_LOG_BLOCK + 1;

    for (uint64_t p = 0; p < SPACE_LOG_PARTS; p++) {
        for (uint64_t w = p * blocks; log_touched(l, p) && w < all && w < (p + 1) * blocks; w++) {
            l->bits[w] = 0;
        }
    }
}

int space_log_stop(struct space *s)
{
    port_lock(&s->map_lock);
    space_lock(s);
    struct space_log old = s->log;

    /* Leaves get their rights back in steps. Until then writes to them are no mistakes: the log is there,
     * and wants to know nothing. */
    s->log.kind = old.kind > SPACE_LOG_AHEAD ? SPACE_LOG_AHEAD : SPACE_LOG_OFF;
    s->log.bits = NULL;
    space_unlock(s);
    if (old.kind > SPACE_LOG_AHEAD) {
        retrack(s, old.ia, old.last);
        forget(&old);
    }
    space_lock(s);
    s->log = (struct space_log){ .kind = SPACE_LOG_OFF };
    space_unlock(s);
    port_unlock(&s->map_lock);
    return old.kind == SPACE_LOG_OFF ? -ENOENT : 0;
}

/* ---- read ---- */

/* Moves bits of [ia, last] out; bit 0 of `out` is the page at `base`. */
static void take(struct space *s, uint64_t ia, uint64_t last, uint64_t base, uint64_t *out)
{
    struct space_log *l = &s->log;
    uint64_t from = (ia - l->ia) >> PAGE_SHIFT, to = (last - l->ia) >> PAGE_SHIFT;
    uint64_t off = (base - l->ia) >> PAGE_SHIFT;

    for (uint64_t w = from / 64; w <= to / 64; w++) {
        uint64_t v = l->bits[w];

        if (w == from / 64) {
            v &= ~(uint64_t)0 << (from % 64);
        }
        if (w == to / 64) {
            v &= ~(uint64_t)0 >> (63 - to % 64);
        }
        l->bits[w] &= ~v;
        if (v != 0 && off % 64 == 0) {
            out[w - off / 64] |= v;
            continue;
        }
        for (; v != 0; v &= v - 1) {
            uint64_t bit = w * 64 + (uint64_t)__builtin_ctzll(v) - off;

            out[bit / 64] |= (uint64_t)1 << (bit % 64);
        }
    }
}

/* What was written and is logged is protected again: a later write is another one. */
static void protect_again(struct space *s, uint64_t ia, uint64_t last, struct pt_gather *g)
{
    const struct space_log *l = &s->log;

    for (uint64_t w = (ia - l->ia) / SPACE_LOG_BLOCK; w <= (last - l->ia) / SPACE_LOG_BLOCK; w++) {
        uint64_t pos = l->ia + w * SPACE_LOG_BLOCK;
        uint64_t end = pos + (SPACE_LOG_BLOCK - 1);

        if (l->bits[w] != 0) {
            pos = pos < ia ? ia : pos;
            (void)retrack_some(s, &pos, end > last ? last : end, g);
        }
    }
}

/* What a read is about, and the part that it is in the middle of. */
struct log_read {
    uint64_t ia, last, part;
    uint64_t *out;
};

/* The first address from `pos` on in a part that something touched, or that the read is in the middle of. */
static uint64_t next_touched(const struct space_log *l, const struct log_read *r, uint64_t pos)
{
    uint64_t part = log_part(l, pos);

    if (log_touched(l, part) || part == r->part) {
        return pos;
    }
    do {
        part++;
    } while (part < SPACE_LOG_PARTS && !log_touched(l, part));
    return part < SPACE_LOG_PARTS ? l->ia + (part << log_part_shift(l)) : r->last + 1;
}

/* From *pos on, where something may have been written: not in a part that nothing touched, but where a leaf
 * is that may be dirty. False: nowhere. */
static bool to_read(const struct space *s, const struct log_read *r, uint64_t *pos)
{
    uint64_t next = next_touched(&s->log, r, *pos);

    if (next != *pos && s->log.kind == SPACE_LOG_DIRTY_BIT) {
        uint64_t end = next <= r->last ? next - 1 : r->last;
        uint64_t leaf = pt_hole_end(&s->pt, *pos, end, STEP_ENTRIES);

        next = leaf <= end ? leaf & ~(SPACE_LOG_BLOCK - 1) : next;
    }
    if (next > *pos) { /* else: in the middle of a block or of a leaf */
        *pos = next;
    }
    return *pos <= r->last;
}

/* Parts that begin in [pos, end] and are read whole: what touches them from here on is new. */
static void untouch(struct space_log *l, struct log_read *r, uint64_t pos, uint64_t end)
{
    unsigned shift = log_part_shift(l);

    for (uint64_t p = log_part(l, pos); p <= log_part(l, end); p++) {
        uint64_t first = l->ia + (p << shift), last = first + ((uint64_t)1 << shift) - 1;

        if (first >= pos && (last <= r->last || r->last == l->last) && log_touched(l, p)) {
            l->touched[p / 64] &= ~((uint64_t)1 << p % 64);
            r->part = p;
        }
    }
}

/*
 * Taken out under the lock, together with the change that makes the next write visible again. What a
 * walker still writes through an entry that says "dirty already" is to a page of this answer, and
 * before the return: whoever copies the page then has it.
 */
static bool read_step(struct space *s, struct log_read *r, uint64_t *pos)
{
    struct pt_gather g;

    pt_gather_init(&g);
    space_lock(s);
    if (!to_read(s, r, pos)) {
        space_unlock(s);
        return false;
    }
    uint64_t ia = *pos, last = ia | (STEP_BYTES - 1);

    last = last > r->last ? r->last : last;
    untouch(&s->log, r, ia, last);
    if (s->log.kind == SPACE_LOG_DIRTY_BIT) {
        uint64_t from = ia, to = last;

        log_collect(s, &from, &to, &g);
        /* What leaves that reach further have set there is for another step. */
        if (from < ia) {
            log_touch(&s->log, from, ia - 1);
        }
        if (to > last) {
            log_touch(&s->log, last + 1, to);
        }
    } else {
        protect_again(s, ia, last, &g);
    }
    take(s, ia, last, r->ia, r->out);
    bool issued = space_issue(s, &g);

    space_unlock(s);
    if (issued) {
        space_wait(s);
    }
    space_reclaim(s, &g);
    *pos = last + 1;
    return last != r->last;
}

int space_log_read_clear(struct space *s, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    struct log_read r = { .ia = ia, .last = ia + (len - 1), .part = ~0ull, .out = bitmap };
    int err = 0;

    if (len == 0 || ((ia | len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    port_lock(&s->map_lock);
    if (s->log.kind <= SPACE_LOG_AHEAD) {
        err = -ENOENT;
    } else if (r.last < ia || ia < s->log.ia || r.last > s->log.last) {
        err = -ERANGE;
    }
    while (err == 0 && read_step(s, &r, &ia)) {
    }
    port_unlock(&s->map_lock);
    return err;
}

/* ---- cut ahead, merge afterwards ---- */

/* One leaf; the lock is held alone. */
static int cut_leaf(struct space *s, const struct pt_leaf *leaf)
{
    struct pt_gather g;
    int err = space_cut_locked(s, leaf->ia, PAGE_SIZE);

    if (err != -EOPNOTSUPP || !s->pt.cfg.live.stalls || space_binding_at(s, leaf->ia) == NULL) {
        return err;
    }
    /* Every walker can wait: faults make small leaves of it. */
    pt_gather_init(&g);
    space_log_collect(s, leaf->ia, leaf->last, &g);
    err = pt_unmap(&s->pt, leaf->ia, leaf->last - leaf->ia + 1, &g);
    space_log_broken(s, &g, leaf->ia, leaf->last);
    space_flush(s, &g);
    return err;
}

int space_log_cut(struct space *s, uint64_t *cursor, uint32_t budget)
{
    int ret = 1;

    port_lock(&s->map_lock);
    if (s->log.kind == SPACE_LOG_OFF) {
        ret = -ENOENT;
    }
    uint64_t pos = *cursor < s->log.ia ? s->log.ia : *cursor;

    while (ret == 1 && budget != 0) {
        struct pt_leaf leaf = { 0 };
        uint64_t at = pos;

        space_lock(s);
        if (pos > s->log.last || !pt_next(&s->pt, &at, s->log.last, &leaf)) {
            ret = 0;
        } else if (leaf.present && leaf.last != leaf.ia + (PAGE_SIZE - 1)) {
            int err = cut_leaf(s, &leaf);

            ret = err == 0 ? 1 : err;
            budget--;
        }
        space_unlock(s);
        pos = ret == 1 ? at : pos;
        if (ret == 1 && leaf.present && leaf.last - leaf.ia + 1 > SIZE_2M) {
            pos = leaf.ia; /* it has large parts still */
        }
    }
    *cursor = pos;
    port_unlock(&s->map_lock);
    return ret;
}

/* The block of 2M at ia, with the 1G block that it completes. */
static void merge_bound(struct space *s, uint64_t ia, uint64_t *gig, struct pt_pool *pool)
{
    struct binding *b = space_binding_at(s, ia);
    uint64_t page, n = CHUNK_PAGES;
    uint32_t seq;

    if (b == NULL || space_logged(s, ia) || !binding_page(b, ia, &page) || !binding_big(b)) {
        return;
    }
    /* A conversion that has begun will merge by itself; one that has not waits for this lock. */
    if (page % CHUNK_PAGES != 0 || n > b->n - (page - b->first) ||
        !gmem_read_begin(b->f.gm, page, n, &seq) || !gmem_uniform(b->f.gm, page, n, true)) {
        return;
    }
    binding_merge(b, page, gig, pool);
}

int space_log_merge(struct space *s, uint64_t ia, uint64_t len, uint64_t *cursor, uint32_t budget)
{
    uint64_t last = ia + (len - 1), gig = ~0ull;
    struct pt_pool pool = { 0 };

    if (len == 0 || ((ia | len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    if (last < ia || last >> s->pt.cfg.ia_bits != 0) {
        return -ERANGE;
    }
    uint64_t pos = (*cursor < ia ? ia : *cursor) & ~(SIZE_2M - 1);

    port_lock(&s->map_lock);
    for (; budget != 0 && pos <= last; budget--) {
        if (pool.count < MERGE_POOL) {
            /* None left: merges that have to break are not done. */
            (void)frame_tables_reserve(&pool, MERGE_POOL - pool.count);
        }
        space_lock(s);
        merge_bound(s, pos, &gig, &pool);
        space_unlock(s);
        /* Not beyond the range: the last block may end where the addresses do. */
        pos = last - pos < SIZE_2M ? last + 1 : pos + SIZE_2M;
    }
    port_unlock(&s->map_lock);
    frame_tables_release(&pool);
    *cursor = pos;
    return pos <= last ? 1 : 0;
}
