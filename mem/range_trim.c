/* SPDX-License-Identifier: BSD-2-Clause */
/* The range store gives back what it does not need, or was reserved and is not wanted. */
#include <tenon/frame.h>
#include <tenon/port.h>

#include "mem/range_int.h"

void range_cancel(struct range *r, const struct range_change *c)
{
    (void)c; /* what it made holds what was there before */
    r->held--;
}

void range_trim(struct range *r)
{
    uint64_t *array = range_node(r->root);

    for (uint64_t i = 0; array != NULL && r->held == 0 && i < 2 * r->leaves; i++) {
        if ((array[i] & RANGE_NODE) != 0 && range_idle(array[i])) {
            range_flatten(r, &array[i], RANGE_SUM(array[i]) != 0);
        }
    }
    if (r->held == 0 && range_next(r, 0, r->npages) == r->npages) {
        range_store(&r->root, (r->root & RANGE_ADDRESS) | range_state(r, 0) * RANGE_ONE);
    }
}

void range_reclaim(struct range *r)
{
    uint64_t *array = range_node(r->root);

    for (uint64_t i = 0; array != NULL && i < 2 * r->leaves; i++) {
        uint64_t *leaf = range_node(array[i]);

        if ((array[i] & RANGE_NODE) == 0 && leaf != NULL) {
            range_put(r, &array[i], array[i] & RANGE_ONE);
            frame_tables_put(port_pa(leaf), 1);
            r->nodes--;
        }
    }
    if (array != NULL && (r->root & 3 * RANGE_ARRAY) == 0) {
        range_store(&r->root, r->root & (3 * RANGE_ONE));
        frame_tables_put(port_pa(array), range_root_pages(r));
        r->nodes -= range_root_pages(r);
    }
}
