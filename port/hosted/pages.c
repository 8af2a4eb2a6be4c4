/* SPDX-License-Identifier: BSD-2-Clause */
/* A page allocator over the arena: first fit upwards, freed blocks kept by size. For tests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted.h"
#include "tenon/port.h"

#define PAGES (HOSTED_SIZE >> PAGE_SHIFT)

static struct port_lock lock;
static unsigned char used[PAGES]; /* 1: allocated */
static uint64_t hint;             /* every page below is allocated */
static uint64_t live;
static uint64_t fail_in;

void hosted_fail_after(uint64_t n)
{
    port_lock(&lock);
    fail_in = n;
    port_unlock(&lock);
}

uint64_t hosted_live(void)
{
    uint64_t n;

    port_lock(&lock);
    n = live;
    port_unlock(&lock);
    return n;
}

uint64_t hosted_alloc(uint32_t pages, uint64_t align)
{
    uint64_t step = align > PAGE_SIZE ? align >> PAGE_SHIFT : 1;
    uint64_t base = HOSTED_BASE >> PAGE_SHIFT;
    uint64_t found = PAGES, i;

    port_lock(&lock);
    if (fail_in != 0 && --fail_in == 0) {
        port_unlock(&lock);
        return 0;
    }
    while (hint < PAGES && used[hint]) {
        hint++;
    }
    i = ((hint + base + step - 1) & ~(step - 1)) - base;
    for (; i + pages <= PAGES && found == PAGES; i += step) {
        found = memchr(&used[i], 1, pages) ? PAGES : i;
    }
    if (found != PAGES) {
        memset(&used[found], 1, pages);
        live += pages;
    }
    port_unlock(&lock);
    if (found == PAGES) {
        return 0;
    }
    memset(port_va(HOSTED_BASE + (found << PAGE_SHIFT)), 0, (size_t)pages << PAGE_SHIFT);
    return HOSTED_BASE + (found << PAGE_SHIFT);
}

void hosted_free(uint64_t pa, uint32_t pages)
{
    uint64_t first = (pa - HOSTED_BASE) >> PAGE_SHIFT;

    if ((pa & (PAGE_SIZE - 1)) != 0 || first >= PAGES || pages > PAGES - first) {
        fprintf(stderr, "hosted_free: bad range %#llx\n", (unsigned long long)pa);
        abort();
    }
    /* Poison with bit 0 set: a walker that still reads a freed table takes it for a valid entry
     * that leads outside memory, and is caught. */
    memset(port_va(pa), 0xa5, (size_t)pages << PAGE_SHIFT);
    port_lock(&lock);
    for (uint32_t i = 0; i < pages; i++) {
        if (!used[first + i]) {
            fprintf(stderr, "hosted_free: %#llx is free already\n", (unsigned long long)pa);
            abort();
        }
        used[first + i] = 0;
    }
    live -= pages;
    hint = first < hint ? first : hint;
    port_unlock(&lock);
}
