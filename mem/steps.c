/* SPDX-License-Identifier: BSD-2-Clause */
/* Long ranges in steps: nobody waits for all of it at once. */
#include <tenon/errno.h>

#include "mem/state.h"

int gmem_convert_step(struct gmem *gm, uint64_t *page, uint64_t end, bool to_shared,
                      enum gmem_policy policy, uint64_t most)
{
    if (*page >= end || most == 0) {
        return -EINVAL;
    }
    uint64_t n = end - *page;

    if (n > most) {
        uint64_t over = (*page + most) & (CHUNK_PAGES - 1);

        /* Ends with a block where it can: that one need not be cut. */
        n = over < most ? most - over : most;
    }
    int err = gmem_convert(gm, *page, n, to_shared, policy);

    if (err != 0) {
        return err;
    }
    *page += n;
    return *page < end;
}
