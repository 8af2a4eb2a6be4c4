/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One way to keep "private or shared" for every page of a guest, as the range-store benchmark sees
 * it. A file that makes one defines STORE_LOOPS before it includes this header again, after
 *   void store_set(uint64_t page, uint64_t n, bool private);
 *   bool store_get(uint64_t page);
 * as static inlines, and gets the loops: no call of the harness is inside a timed loop. Writers are
 * serialised: a lock or a locked instruction is part of each store_set(). Times are in ticks.
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "../pt/ticks.h"

struct store {
    const char *name;
    bool ours;
    bool a_page; /* an entry a page: too slow and too large for what the others do with 1 TiB */
    void (*open)(uint64_t pages); /* everything is shared */
    void (*close)(void);
    uint64_t (*flip)(uint64_t page, unsigned n); /* shared and private in turns, private last */
    uint64_t (*set)(uint64_t page, uint64_t n, bool private);
    uint64_t (*query)(const uint64_t *page, unsigned n, uint64_t *found);
    uint64_t (*bytes)(void); /* in use now */
    struct store *next;
};

extern struct store *stores;
void store_register(struct store *s);
void ours_register(void); /* ours.c */

#endif

#ifdef STORE_LOOPS
static uint64_t loop_flip(uint64_t page, unsigned n)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < n; i += 2) {
        store_set(page, 1, false);
        store_set(page, 1, true);
    }
    return ticks() - start;
}

static uint64_t loop_set(uint64_t page, uint64_t n, bool private)
{
    uint64_t start = ticks();

    store_set(page, n, private);
    return ticks() - start;
}

static uint64_t loop_query(const uint64_t *page, unsigned n, uint64_t *found)
{
    uint64_t start = ticks(), sum = 0;

    for (unsigned i = 0; i < n; i++) {
        sum += store_get(page[i]);
    }
    start = ticks() - start;
    *found = sum;
    return start;
}
#endif
