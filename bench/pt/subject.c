/* SPDX-License-Identifier: BSD-2-Clause */
#include "subject.h"

#include <stddef.h>

struct subject *subjects;

/* In order of registration: before main() for the peers. */
void subject_register(struct subject *s)
{
    struct subject **at = &subjects;

    while (*at) {
        at = &(*at)->next;
    }
    s->next = NULL;
    *at = s;
}
