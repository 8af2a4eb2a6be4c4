/* SPDX-License-Identifier: BSD-2-Clause */
/* Merges that conversions left for later. */
#include <stddef.h>

#include "mem/state.h"

/* To its followers it is the end of a change of the whole block, from which both views gain. */
static void settle_block(struct gmem *gm, uint64_t page)
{
    struct gmem_change c = { .gm = gm, .page = page, .n = CHUNK_PAGES, .to = GMEM_SHARED };

    gmem_stop(gm);
    bool later = gm->merge_later;

    gm->merge_later = false;
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        f->ops->settle(f, &c);
    }
    gm->merge_later = later;
    gmem_go(gm);
}

void gmem_settle(struct gmem *gm, uint64_t page, uint64_t n)
{
    for (uint64_t p = page & ~(CHUNK_PAGES - 1); p < page + n; p += CHUNK_PAGES) {
        settle_block(gm, p);
    }
}
