/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who changes which pages just now: ranges that converters claim against each other, and the sequence
 * count by which faults see them.
 *
 * A claim keeps other changes of the same pages away from the first look at their state to the last
 * merge. Between begin and end faults in the range retry. A fault looks at one word, `active`, and
 * only if that is not zero at the ranges. `seq` moves at every begin and end, so whoever finds it
 * unchanged has seen one moment; whoever does not asks each slot whether what moved was near.
 */
#include <stddef.h>

#include "mem/state.h"

static bool overlaps(uint64_t page, uint64_t n, uint64_t at, uint64_t len)
{
    return page < at + len && at < page + n;
}

/* ---- converters ---- */

/* Must it wait for one of those under way? The lock is held. */
static bool must_wait(const struct gmem *gm, const struct gmem_change *c)
{
    if (gm->stops != 0 || (gm->loners != 0 && gm->claimed != 0) ||
        gm->claimed == (1u << GMEM_CHANGES) - 1) {
        return true;
    }
    for (uint32_t left = gm->claimed; left != 0; left &= left - 1) {
        const struct gmem_slot *s = &gm->slot[__builtin_ctz(left)];

        if (overlaps(c->page, c->n, s->page, s->n)) {
            return true;
        }
    }
    return false;
}

void gmem_claim(struct gmem_change *c)
{
    struct gmem *gm = c->gm;

    port_lock(&gm->lock);
    while (must_wait(gm, c)) {
        port_unlock(&gm->lock);
        port_relax();
        port_lock(&gm->lock);
    }
    c->slot = (uint32_t)__builtin_ctz(~gm->claimed);
    gm->claimed |= 1u << c->slot;
    struct gmem_slot *s = &gm->slot[c->slot];

    /* In this order: who reads the new range finds that the old one is lost, and when it was. */
    __atomic_store_n(&s->prev, s->stamp, __ATOMIC_RELEASE);
    __atomic_store_n(&s->page, c->page, __ATOMIC_RELEASE);
    __atomic_store_n(&s->n, c->n, __ATOMIC_RELEASE);
    port_unlock(&gm->lock);
}

void gmem_unclaim(const struct gmem_change *c, bool done)
{
    struct gmem *gm = c->gm;

    port_lock(&gm->lock);
    gm->claimed &= ~(1u << c->slot);
    bool inplace = c->from == GMEM_SHARED_INPLACE || c->to == GMEM_SHARED_INPLACE;

    gm->converted_inplace += done && inplace;
    gm->converted += done && !inplace;
    bool tidy = gm->tidy != NULL && gm->states.spare > GMEM_SPARE;

    port_unlock(&gm->lock);
    if (tidy) {
        gm->tidy(gm);
    }
}

void gmem_turn(const struct gmem_change *c, bool on)
{
    struct gmem *gm = c->gm;
    uint32_t bit = 1u << c->slot;

    /* All before any table or state changes: a state's change is a release store, and a fault that has its
     * share of a space's lock already is waited for by who takes that lock to change a table. */
    __atomic_store_n(&gm->slot[c->slot].stamp, gm->seq + 1, __ATOMIC_RELEASE);
    __atomic_store_n(&gm->active, on ? gm->active | bit : gm->active & ~bit, __ATOMIC_RELEASE);
    __atomic_store_n(&gm->seq, gm->seq + 1, __ATOMIC_RELEASE);
}

void gmem_stop(struct gmem *gm)
{
    port_lock(&gm->lock);
    gm->stops++; /* no new claim: those under way come to their end */
    while (gm->claimed != 0) {
        port_unlock(&gm->lock);
        port_relax();
        port_lock(&gm->lock);
    }
}

void gmem_go(struct gmem *gm)
{
    gm->stops--;
    port_unlock(&gm->lock);
}

/* ---- faults ---- */

bool gmem_read_begin(const struct gmem *gm, uint64_t page, uint64_t n, uint32_t *seq)
{
    bool in;

    do {
        *seq = __atomic_load_n(&gm->seq, __ATOMIC_ACQUIRE);
        in = false;
        for (uint32_t left = __atomic_load_n(&gm->active, __ATOMIC_ACQUIRE); left != 0;
             left &= left - 1) {
            const struct gmem_slot *s = &gm->slot[__builtin_ctz(left)];

            in = in || overlaps(page, n, __atomic_load_n(&s->page, __ATOMIC_ACQUIRE),
                                __atomic_load_n(&s->n, __ATOMIC_ACQUIRE));
        }
        /* The ranges belong to this count only if it is still the same. */
    } while (__atomic_load_n(&gm->seq, __ATOMIC_ACQUIRE) != *seq);
    return !in;
}

static bool after(uint32_t stamp, uint32_t seq)
{
    return (int32_t)(stamp - seq) > 0;
}

bool gmem_read_retry(const struct gmem *gm, uint64_t page, uint64_t n, uint32_t seq)
{
    if (__atomic_load_n(&gm->seq, __ATOMIC_ACQUIRE) == seq) {
        return false;
    }
    for (uint32_t i = 0; i < GMEM_CHANGES; i++) {
        const struct gmem_slot *s = &gm->slot[i];
        bool near = overlaps(page, n, __atomic_load_n(&s->page, __ATOMIC_ACQUIRE),
                             __atomic_load_n(&s->n, __ATOMIC_ACQUIRE));

        /* A change that is over, and whose range is overwritten already, may have been near. */
        if (after(__atomic_load_n(&s->prev, __ATOMIC_ACQUIRE), seq) ||
            (near && after(__atomic_load_n(&s->stamp, __ATOMIC_ACQUIRE), seq))) {
            return true;
        }
    }
    return false;
}

bool gmem_changing(const struct gmem *gm)
{
    return __atomic_load_n(&gm->active, __ATOMIC_ACQUIRE) != 0;
}
