/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The space's lock. A fault counts itself in, then looks for a change; a change announces itself,
 * then looks for faults. All four accesses are in one order, so that not both can miss the other.
 */
#include "space/internal.h"

void space_lock(struct space *s)
{
    port_lock(&s->lock.turn);
    __atomic_store_n(&s->lock.writer, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&s->lock.readers, __ATOMIC_SEQ_CST) != 0) {
        port_relax();
    }
}

void space_unlock(struct space *s)
{
    __atomic_store_n(&s->lock.writer, 0, __ATOMIC_RELEASE);
    port_unlock(&s->lock.turn);
}

void space_share_lock(struct space *s)
{
    for (;;) {
        __atomic_add_fetch(&s->lock.readers, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&s->lock.writer, __ATOMIC_SEQ_CST) == 0) {
            return;
        }
        __atomic_sub_fetch(&s->lock.readers, 1, __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&s->lock.writer, __ATOMIC_RELAXED) != 0) {
            port_relax();
        }
    }
}

void space_share_unlock(struct space *s)
{
    __atomic_sub_fetch(&s->lock.readers, 1, __ATOMIC_RELEASE);
}
