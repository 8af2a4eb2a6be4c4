/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Process mirrors, the part that knows no process: a table filled on demand and emptied ahead.
 *
 * A fault looks, without a lock, at what the process has; then, under the lock, it installs only what
 * no change touched meanwhile. A change counts under the lock and drops afterwards: a fault that was
 * faster is dropped, a later one sees the count.
 */
#include <stddef.h>

#include "space/internal.h"

#include <tenon/mirror.h>

int mirror_init(struct mirror *m, struct space *io, uint64_t ia, uint64_t va, uint64_t len,
                uint32_t prot, const struct mirror_ops *ops)
{
    if (((ia | va | len) & (PAGE_SIZE - 1)) != 0 || len == 0 || ops == NULL || ops->find == NULL) {
        return -EINVAL;
    }
    if (va + (len - 1) < va || ia + (len - 1) < ia) {
        return -ERANGE;
    }
    *m = (struct mirror){
        .io = io, .ops = ops, .ia = ia, .va = va, .last = va + (len - 1), .prot = prot
    };
    return 0;
}

static uint64_t ia_of(const struct mirror *m, uint64_t va)
{
    return m->ia + (va - m->va);
}

/* ---- changes ---- */

static bool in_change(const struct mirror *m, uint64_t va, uint64_t last)
{
    for (unsigned i = 0; i < MIRROR_CHANGES; i++) {
        const struct mirror_change *c = &m->change[i];

        if (c->users != 0 && c->va <= last && va <= c->last) {
            return true;
        }
    }
    return false;
}

/* A change of [va, last] begins or ends. */
static void count(struct mirror *m, uint64_t va, uint64_t last)
{
    m->recent[m->begun++ % MIRROR_RECENT] = (struct mirror_range){ va, last };
}

/* Everything mapped that touches [va, last] goes. Without the mirror's lock: it waits for walkers. */
static void drop(struct mirror *m, uint64_t va, uint64_t last)
{
    uint64_t ia = ia_of(m, va), end = ia_of(m, last);

    __atomic_add_fetch(&m->drops, 1, __ATOMIC_RELAXED);
    if (space_unmap(m->io, ia, end - ia + 1) == 0) {
        return;
    }
    /* A leaf crosses an end and cannot be cut, for want of a table page or by the format's rules: all
     * of it goes. What it showed besides comes back with the next fault. Leaves can change no more:
     * none is made in a range that is marked, and what is around has none until the leaf is gone. */
    struct pt_leaf lo = { 0 }, hi = { 0 };

    (void)space_lookup(m->io, ia, &lo);
    (void)space_lookup(m->io, end, &hi);
    ia = lo.present ? lo.ia : ia;
    end = hi.present ? hi.last : end;
    if (space_unmap(m->io, ia, end - ia + 1) != 0) {
        port_panic("mirror: whole leaves cannot be dropped");
    }
}

uint32_t mirror_begin(struct mirror *m, uint64_t va, uint64_t len)
{
    uint64_t last = len == 0 ? va : va + (len - 1);
    uint32_t token = MIRROR_CHANGES;

    last = last < va ? ~0ull : last; /* wraps: to the end */
    if (last < m->va || va > m->last) {
        return MIRROR_CHANGES; /* none of ours */
    }
    va = (va < m->va ? m->va : va) & ~(PAGE_SIZE - 1);
    last = (last > m->last ? m->last : last) | (PAGE_SIZE - 1);
    port_lock(&m->lock);
    for (uint32_t i = 0; i < MIRROR_CHANGES && token == MIRROR_CHANGES; i++) {
        if (m->change[i].users == 0) {
            m->change[i] = (struct mirror_change){ .va = va, .last = last };
            token = i;
        }
    }
    if (token == MIRROR_CHANGES) {
        /* So many at once: the first one grows, and lasts until all that use it have ended. */
        token = 0;
        m->change[0].va = va < m->change[0].va ? va : m->change[0].va;
        m->change[0].last = last > m->change[0].last ? last : m->change[0].last;
    }
    m->change[token].users++;
    count(m, va, last);
    port_unlock(&m->lock);
    drop(m, va, last);
    return token;
}

void mirror_end(struct mirror *m, uint32_t token)
{
    if (token >= MIRROR_CHANGES) {
        return;
    }
    port_lock(&m->lock);
    if (m->change[token].users == 0) {
        port_panic("mirror: an end without a begin");
    }
    m->change[token].users--;
    /* A fault beside it that looks at this moment may have found, around its page, what was before; its
     * large leaf would cover the range, which is marked no more. */
    count(m, m->change[token].va, m->change[token].last);
    port_unlock(&m->lock);
}

void mirror_stop(struct mirror *m)
{
    port_lock(&m->lock);
    m->stopped = true;
    count(m, m->va, m->last);
    port_unlock(&m->lock);
    drop(m, m->va, m->last);
}

/* ---- faults ---- */

/* Shrinks the run to the largest block around va that is followed, in no change and unmapped. */
static void fit(const struct mirror *m, uint64_t va, struct mirror_run *run)
{
    for (uint64_t size = SIZE_1G; size > PAGE_SIZE; size = size == SIZE_1G ? SIZE_2M : PAGE_SIZE) {
        uint64_t from = va - (ia_of(m, va) & (size - 1));
        uint64_t last = from + (size - 1);
        uint64_t ia = ia_of(m, from);

        /* (`from` may wrap below zero: then it is above va) */
        if (from <= va && from >= m->va && last <= m->last && from >= run->va &&
            last <= run->last && ((run->oa + (from - run->va)) & (size - 1)) == 0 &&
            space_leaf_ok(m->io, size) && !in_change(m, from, last)) {
            space_share_lock(m->io);
            bool taken = space_mapped(m->io, ia, ia + (size - 1));
            space_share_unlock(m->io);
            if (!taken) {
                run->oa += from - run->va;
                run->va = from;
                run->last = last;
                return;
            }
        }
    }
    run->oa += va - run->va;
    run->va = va;
    run->last = va + (PAGE_SIZE - 1);
}

/* Takes what was touched since `begun` off the run. False: the page at va may have been, or nobody knows any more. */
static bool still_there(const struct mirror *m, uint64_t begun, uint64_t va, struct mirror_run *run)
{
    if (m->begun - begun > MIRROR_RECENT) {
        return false;
    }
    for (; begun != m->begun; begun++) {
        const struct mirror_range *r = &m->recent[begun % MIRROR_RECENT];

        if (r->va <= va && va <= r->last) { /* both are of whole pages */
            return false;
        }
        if (r->last < va && r->last >= run->va) {
            run->oa += r->last + 1 - run->va;
            run->va = r->last + 1;
        } else if (r->va > va && r->va <= run->last) {
            run->last = r->va - 1;
        }
    }
    return true;
}

/* Under the mirror's lock, so that no change can begin in between. */
static int install(struct mirror *m, uint64_t va, uint32_t access, struct mirror_run *run)
{
    struct pt_leaf leaf;
    int err = space_lookup(m->io, ia_of(m, va), &leaf);

    if (err != 0) {
        return -EFAULT;
    }
    if (leaf.present) {
        if ((access & ~leaf.prot & (PT_READ | PT_WRITE)) == 0) {
            return 0; /* another fault was faster */
        }
        return -EEXIST; /* with less rights than the process has now */
    }
    fit(m, va, run);
    err =
        space_map(m->io, ia_of(m, run->va), run->oa, run->last - run->va + 1, run->prot | m->prot);
    m->mapped += err == 0;
    return err;
}

int mirror_fault(struct mirror *m, uint64_t ia, uint32_t access)
{
    struct mirror_run run = { 0 };

    if (ia < m->ia || ia - m->ia > m->last - m->va ||
        (access & ~(uint32_t)(PT_READ | PT_WRITE)) != 0) {
        return -EFAULT;
    }
    uint64_t va = m->va + ((ia - m->ia) & ~(PAGE_SIZE - 1));

    port_lock(&m->lock);
    uint64_t begun = m->begun;
    bool changing = in_change(m, va, va + (PAGE_SIZE - 1)), stopped = m->stopped;
    m->retried += changing;
    port_unlock(&m->lock);
    if (changing || stopped) {
        return stopped ? -EFAULT : -EAGAIN;
    }
    int err = m->ops->find(m, va, access, &run);

    if (err != 0) {
        return err;
    }
    if (va < run.va || va > run.last || (access & ~run.prot) != 0) {
        return -EPERM;
    }
    port_lock(&m->lock);
    if (still_there(m, begun, va, &run)) {
        err = install(m, va, access, &run);
    } else {
        m->retried++;
        err = -EAGAIN;
    }
    port_unlock(&m->lock);
    if (err == -EEXIST) {
        /* The process has gained a right (that is no change which anybody announces). */
        mirror_end(m, mirror_begin(m, va, PAGE_SIZE));
        err = -EAGAIN;
    }
    return err;
}
