/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In place of the shims' own, which is a pthread mutex: a lock that costs what an uncontended one
 * costs in the kernel, one locked instruction and one store. Every store of the benchmark has it.
 */
#ifndef STANDIN_SPINLOCK_H
#define STANDIN_SPINLOCK_H

#include <stdbool.h>

typedef struct {
    int word;
} spinlock_t;
#define DEFINE_SPINLOCK(name)   spinlock_t name = { 0 }
#define __SPIN_LOCK_UNLOCKED(x) ((spinlock_t){ 0 })
#define spin_lock_init(l)       ((l)->word = 0)

static inline void spin_lock(spinlock_t *l)
{
    int free_word = 0;

    while (!__atomic_compare_exchange_n(&l->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        free_word = 0;
    }
}

static inline void spin_unlock(spinlock_t *l)
{
    __atomic_store_n(&l->word, 0, __ATOMIC_RELEASE);
}

#define spin_lock_nested(l, subclass)   spin_lock(l)
#define spin_lock_bh(l)                 spin_lock(l)
#define spin_unlock_bh(l)               spin_unlock(l)
#define spin_lock_irq(l)                spin_lock(l)
#define spin_unlock_irq(l)              spin_unlock(l)
#define spin_lock_irqsave(l, flags)     ((void)(flags), spin_lock(l))
#define spin_unlock_irqrestore(l, flags) ((void)(flags), spin_unlock(l))

#endif
