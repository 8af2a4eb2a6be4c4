/* SPDX-License-Identifier: BSD-2-Clause */
/* Our range store: state 0 is shared, state 1 private. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hosted.h>
#include <tenon/frame.h>
#include <tenon/port.h>
#include <tenon/range.h>

#include "store.h"

#define TABLES 4096u /* table pages that the store may take */

static struct range range;
static struct port_lock
    lock; /* writers are one at a time: the caller's lock is a part of the cost */

static void must(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "bench_range: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static void open_store(uint64_t pages)
{
    static struct frame *frames;

    if (!frames) {
        frames = calloc(TABLES, sizeof(*frames));
        must(frames ? 0 : -1, "frame table");
        frames_init(HOSTED_BASE, TABLES, frames, OWNER_HYP);
        must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    }
    range_init(&range, pages);
}

static void close_store(void)
{
    range_fini(&range);
}

static inline void store_set(uint64_t page, uint64_t n, bool private)
{
    int result;

    port_lock(&lock);
    result = range_set(&range, page, n, private);
    port_unlock(&lock);
    must(result, "range_set");
}

static inline bool store_get(uint64_t page)
{
    return range_state(&range, page) != 0;
}

static uint64_t bytes(void)
{
    range_trim(&range);
    range_reclaim(&range);
    return sizeof(range) + range.nodes * PAGE_SIZE;
}

#define STORE_LOOPS
#include "store.h"

static struct store store = { .name = "Tenon",
                              .ours = true,
                              .open = open_store,
                              .close = close_store,
                              .flip = loop_flip,
                              .set = loop_set,
                              .query = loop_query,
                              .bytes = bytes };

void ours_register(void)
{
    store_register(&store);
}
