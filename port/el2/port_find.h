/* SPDX-License-Identifier: BSD-2-Clause */
/* The port for EL2: looking for one of many entries (contract: tenon/port.h). */
#ifndef PORT_FIND_H
#define PORT_FIND_H

#include "port_pte.h"

PORT_INLINE unsigned port_pte_find(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value)
{
    unsigned i = 0;

    while (i < n && (__atomic_load_n(&e[i], __ATOMIC_RELAXED) & mask) != value) {
        i++;
    }
    return i;
}

PORT_INLINE unsigned port_pte_flip(uint64_t *e, unsigned n, uint64_t mask, uint64_t value,
                                   uint64_t bits)
{
    unsigned i = 0;
    uint64_t v;

    while (i < n && ((v = port_pte_load(&e[i])) & mask) == value &&
           port_pte_cas(&e[i], &v, v ^ bits)) {
        i++;
    }
    return i;
}

#endif
