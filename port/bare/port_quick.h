/* SPDX-License-Identifier: BSD-2-Clause */
/* Ways of their own for the commonest calls: yes. A table's address is its pointer. */
#ifndef PORT_QUICK_H
#define PORT_QUICK_H

#include "port_pte.h"

#define PORT_NO_TABLE ((uint64_t)0)

PORT_INLINE uint64_t port_origin(void)
{
    return 0;
}

#define PORT_WATCHED                     0
#define port_quick_store(e, v, plain)    ((void)(plain), port_pte_store(e, v))
#define port_quick_publish()             port_publish()
#define port_quick_cas(e, old, v, plain) ((void)(plain), port_pte_cas(e, old, v))

#include "pt/empty.h"
#include "pt/quick.h"

#endif
