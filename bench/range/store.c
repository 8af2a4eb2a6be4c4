/* SPDX-License-Identifier: BSD-2-Clause */
#include "store.h"

#include <stddef.h>

struct store *stores;

/* In order of registration: before main() for the peers. */
void store_register(struct store *s)
{
    struct store **at = &stores;

    while (*at) {
        at = &(*at)->next;
    }
    s->next = NULL;
    *at = s;
}
