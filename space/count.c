/* SPDX-License-Identifier: BSD-2-Clause */
/* Where table pages are: for tests and pictures. */
#include "space/internal.h"

uint64_t space_tables(struct space *s)
{
    struct pt_counts now;

    space_count(s, &now);
    space_share_lock(s);
    uint64_t n = now.tables;

    for (unsigned i = 0; i < SPACE_BINDINGS; i++) {
        for (unsigned k = 0; k < GMEM_CHANGES; k++) {
            n += s->binding[i].change[k].reserve.count;
        }
    }
    space_share_unlock(s);
    return n;
}
