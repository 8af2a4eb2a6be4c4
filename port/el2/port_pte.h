/* SPDX-License-Identifier: BSD-2-Clause */
/* The port for EL2: entries of tables, inline (contract: tenon/port.h). */
#ifndef PORT_PTE_H
#define PORT_PTE_H

#include <stdbool.h>
#include <stdint.h>

/* Left to itself, gcc calls them: the engine's functions, which have all of a format in them, are
 * large. */
#define PORT_INLINE static inline __attribute__((always_inline))

PORT_INLINE uint64_t *port_table(uint64_t pa)
{
    return (uint64_t *)pa;
}

PORT_INLINE uint64_t port_pte_load(const uint64_t *e)
{
    return __atomic_load_n(e, __ATOMIC_ACQUIRE);
}

PORT_INLINE void port_pte_store(uint64_t *e, uint64_t v)
{
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
}

PORT_INLINE bool port_pte_cas(uint64_t *e, uint64_t *old, uint64_t v)
{
    return __atomic_compare_exchange_n(e, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

PORT_INLINE void port_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    for (unsigned i = 0; i < n; i++, first += step) {
        __atomic_store_n(&e[i], first, __ATOMIC_RELAXED);
    }
}

PORT_INLINE uint64_t port_pte_or(const uint64_t *e, unsigned n)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < n; i++) {
        any |= __atomic_load_n(&e[i], __ATOMIC_RELAXED);
    }
    return any;
}

#define port_pte_same(e, n, first, step, ignore) 0u /* one by one is as good */

#endif
