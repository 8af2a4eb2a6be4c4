/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of their own for the commonest calls: yes. */
#ifndef PORT_QUICK_H
#define PORT_QUICK_H

#include "port_pte.h"

extern bool hosted_watched; /* a test wants to see each store: then none is `plain` */
#define PORT_WATCHED hosted_watched

PORT_INLINE void port_quick_store(uint64_t *e, uint64_t v, bool plain)
{
    if (plain) {
        __atomic_store_n(e, v, __ATOMIC_RELEASE);
    } else {
        port_pte_store(e, v);
    }
}

/* After such a store. */
PORT_INLINE void port_quick_publish(void)
{
#if !HOSTED_TSAN
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
}

PORT_INLINE bool port_quick_cas(uint64_t *e, uint64_t *old, uint64_t v, bool plain)
{
    return plain ? __atomic_compare_exchange_n(e, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)
                 : port_pte_cas(e, old, v);
}

#include "pt/empty.h"
#include "pt/quick.h"

#endif
