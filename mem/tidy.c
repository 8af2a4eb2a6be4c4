/* SPDX-License-Identifier: BSD-2-Clause */
/* What the store of states does not need goes back. */
#include <stddef.h>

#include "mem/state.h"

void gmem_tidy(struct gmem *gm)
{
    gmem_stop(gm);
    range_trim(&gm->states);
    for (struct follower *f = gm->followers; f != NULL; f = f->next) {
        if (f->ops->quiesce != NULL) {
            f->ops->quiesce(f);
        }
    }
    range_reclaim(&gm->states);
    gmem_go(gm);
}
