/* SPDX-License-Identifier: BSD-2-Clause */
/* What frame.c and pool.c share: the table and its lock. */
#ifndef MEM_FRAME_TABLE_H
#define MEM_FRAME_TABLE_H

#include <tenon/frame.h>
#include <tenon/port.h>

struct frame_table {
    uint64_t base;
    uint64_t n;
    struct frame *frame;
    struct port_lock lock;
};
extern struct frame_table frame_all;

/* pa must be covered. */
static inline struct frame *frame_at(uint64_t pa)
{
    return &frame_all.frame[(pa - frame_all.base) >> PAGE_SHIFT];
}

void frame_pools_reset(void);

#endif
