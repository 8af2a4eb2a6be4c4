/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * In place of liburcu, which the kernel's user-space shims name: one thread, so a read-side section
 * costs nothing, and what is to be freed waits in a short queue.
 */
#ifndef STANDIN_URCU_H
#define STANDIN_URCU_H

struct rcu_head {
    struct rcu_head *next;
    void (*func)(struct rcu_head *head);
};

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head));

#define rcu_read_lock()          __asm__ volatile("" ::: "memory")
#define rcu_read_unlock()        __asm__ volatile("" ::: "memory")
#define rcu_dereference(p)       (*(volatile __typeof__(p) *)&(p))
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

#endif
