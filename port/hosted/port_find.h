/* SPDX-License-Identifier: BSD-2-Clause */
/* The port for a process: looking for one of many entries (contract: tenon/port.h). */
#ifndef PORT_FIND_H
#define PORT_FIND_H

#include "port_pte.h"

unsigned hosted_pte_find(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value);
unsigned port_pte_flip(uint64_t *e, unsigned n, uint64_t mask, uint64_t value, uint64_t bits);

PORT_INLINE unsigned port_pte_find(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value)
{
    if (n == 0 || (port_pte_load(e) & mask) == value) {
        return 0; /* often: one of a row */
    }
    return hosted_pte_find(e, n, mask, value);
}

#endif
