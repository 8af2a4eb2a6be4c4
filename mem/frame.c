/* SPDX-License-Identifier: BSD-2-Clause */
/* The frame table: who owns, borrows and pins each 4K frame. */
#include <tenon/errno.h>
#include <tenon/port.h>

#include "mem/frame_table.h"

struct frame_table frame_all;

void frames_init(uint64_t base, uint64_t npages, struct frame *table, owner_t owner)
{
    frame_all = (struct frame_table){ .base = base, .n = npages, .frame = table };
    frame_pools_reset();
    for (uint64_t i = 0; i < npages; i++) {
        table[i] = (struct frame){ .owner = owner };
    }
}

uint64_t frames_base(void)
{
    return frame_all.base;
}

uint64_t frames_count(void)
{
    return frame_all.n;
}

bool frame_valid(uint64_t pa)
{
    return pa >= frame_all.base && (pa - frame_all.base) >> PAGE_SHIFT < frame_all.n;
}

struct frame frame_get(uint64_t pa)
{
    port_lock(&frame_all.lock);
    struct frame f = *frame_at(pa);
    port_unlock(&frame_all.lock);
    return f;
}

void frames_set_owner(uint64_t pa, uint64_t n, owner_t owner)
{
    for (uint64_t i = 0; i < n; i++) {
        *frame_at(pa + (i << PAGE_SHIFT)) = (struct frame){ .owner = owner };
    }
}

/* The range [pa, pa + n frames) lies in the table; written so that nothing wraps. */
static int range_check(uint64_t pa, uint64_t n)
{
    if ((pa & (PAGE_SIZE - 1)) != 0 || n == 0) {
        return -EINVAL;
    }
    if (!frame_valid(pa) || n > frame_all.n - ((pa - frame_all.base) >> PAGE_SHIFT)) {
        return -EFAULT;
    }
    return 0;
}

static bool settled(const struct frame *f)
{
    return (f->flags & (FRAME_TABLE | FRAME_DIRTY | FRAME_HELD)) == 0 && f->state != FRAME_POISONED;
}

static bool pinned(const struct frame *f)
{
    return f->pins != 0 || f->borrower_pins != 0;
}

/* Every frame is owner's, lent to `borrower` (OWNER_NONE: to nobody), and at rest. */
static int check_all(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower, bool pins_too)
{
    const struct frame *f = frame_at(pa);

    for (uint64_t i = 0; i < n; i++) {
        if (f[i].owner != owner) {
            return -EPERM;
        }
        if (!settled(&f[i])) {
            return -EBUSY;
        }
        if (f[i].borrower != borrower && borrower != OWNER_ANY) {
            /* Lent to somebody: busy. Not lent, or to another, where it should be: no right. */
            return borrower == OWNER_NONE ? -EBUSY : -EPERM;
        }
        if (pins_too && pinned(&f[i])) {
            return -EBUSY;
        }
    }
    return 0;
}

/* Checks all frames, then gives each the flags of `to` besides its own, and (if it names one) the owner
 * and the borrower. Owner OWNER_NONE: a call that names parties which cannot be. */
static int change(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower, bool pins_too,
                  struct frame to)
{
    int err = range_check(pa, n);

    if (err != 0 || owner == OWNER_NONE) {
        return err != 0 ? err : -EINVAL;
    }
    port_lock(&frame_all.lock);
    err = check_all(pa, n, owner, borrower, pins_too);
    for (struct frame *f = frame_at(pa); err == 0 && n != 0; f++, n--) {
        f->flags |= to.flags;
        if (to.owner != OWNER_NONE) {
            f->owner = to.owner;
            f->borrower = to.borrower;
            f->state = to.borrower == OWNER_NONE ? FRAME_OWNED : FRAME_SHARED;
        }
    }
    port_unlock(&frame_all.lock);
    return err;
}

static owner_t two(owner_t owner, owner_t other)
{
    return owner == other || other == OWNER_NONE ? OWNER_NONE : owner;
}

int frames_donate(uint64_t pa, uint64_t n, owner_t from, owner_t to)
{
    return change(pa, n, two(from, to), OWNER_NONE, true, (struct frame){ .owner = to });
}

int frames_share(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower)
{
    /* A pin of the owner is no obstacle: lending moves nothing. */
    return change(pa, n, two(owner, borrower), OWNER_NONE, false,
                  (struct frame){ .owner = owner, .borrower = borrower });
}

int frames_unshare(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower)
{
    return change(pa, n, two(owner, borrower), borrower, true, (struct frame){ .owner = owner });
}

int frames_hold(uint64_t pa, uint64_t n, owner_t owner, owner_t borrower)
{
    return change(pa, n, owner, borrower, true, (struct frame){ .flags = FRAME_HELD });
}

void frames_lend(uint64_t pa, uint64_t n, owner_t borrower)
{
    port_lock(&frame_all.lock);
    for (struct frame *f = frame_at(pa); n != 0; f++, n--) {
        if ((f->flags & FRAME_HELD) == 0) {
            port_panic("frame: end of a change that never began");
        }
        f->flags &= (uint32_t)~FRAME_HELD & 0xfu;
        f->borrower = borrower == OWNER_ANY ? f->borrower : borrower;
        f->state = f->borrower == OWNER_NONE ? FRAME_OWNED : FRAME_SHARED;
    }
    port_unlock(&frame_all.lock);
}

/* One pin more (or less) of who's on each frame; each party has a count of its own. */
static int change_pins(uint64_t pa, uint64_t n, owner_t who, bool more)
{
    int err = range_check(pa, n);

    if (err != 0 || who == OWNER_NONE) {
        return err != 0 ? err : -EINVAL;
    }
    port_lock(&frame_all.lock);
    struct frame *f = frame_at(pa);

    for (uint64_t i = 0; i < n && err == 0; i++) {
        bool owns = f[i].owner == who;
        uint32_t pins = owns ? f[i].pins : f[i].borrower_pins;

        if (!owns && f[i].borrower != who) {
            err = -EPERM;
        } else if (!more) {
            err = pins == 0 ? -EINVAL : 0;
        } else if (!settled(&f[i])) {
            err = -EBUSY;
        } else if (pins == FRAME_PINS_MAX) {
            err = -ENOSPC;
        }
    }
    for (uint64_t i = 0; i < n && err == 0; i++) {
        uint32_t by = more ? 1u : ~0u, own = f[i].owner == who ? by : 0;

        f[i].pins = (f[i].pins + own) & FRAME_PINS_MAX;
        f[i].borrower_pins = (f[i].borrower_pins + (by - own)) & FRAME_PINS_MAX;
    }
    port_unlock(&frame_all.lock);
    return err;
}

int frames_pin(uint64_t pa, uint64_t n, owner_t who)
{
    return change_pins(pa, n, who, true);
}

int frames_unpin(uint64_t pa, uint64_t n, owner_t who)
{
    return change_pins(pa, n, who, false);
}

bool frame_may_use(uint64_t pa, owner_t who)
{
    if (!frame_valid(pa) || who == OWNER_NONE) {
        return false;
    }
    struct frame f = frame_get(pa);

    /* Held frames are still the owner's; only tables, dirty and poisoned ones are nobody's. */
    return (f.flags & (FRAME_TABLE | FRAME_DIRTY)) == 0 && f.state != FRAME_POISONED &&
           (f.owner == who || f.borrower == who);
}

static uint64_t word_of(const struct frame *f)
{
    uint64_t w;

    __builtin_memcpy(&w, f, sizeof(w));
    return w;
}

bool frames_run_within(uint64_t pa, uint64_t end, struct frame *run, uint64_t *last)
{
    if (!frame_valid(pa)) {
        return false;
    }
    port_lock(&frame_all.lock);
    uint64_t i = (pa - frame_all.base) >> PAGE_SHIFT;
    uint64_t stop = frame_valid(end) ? ((end - frame_all.base) >> PAGE_SHIFT) + 1 : frame_all.n;
    uint64_t j = i + 1, first = word_of(&frame_all.frame[i]);

    *run = frame_all.frame[i];
    while (j < stop && word_of(&frame_all.frame[j]) == first) {
        j++;
    }
    port_unlock(&frame_all.lock);
    *last = frame_all.base + (j << PAGE_SHIFT) - 1;
    return true;
}
