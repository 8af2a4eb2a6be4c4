/* SPDX-License-Identifier: BSD-2-Clause */
/* A bit a page, the plainest store there is: 32 MiB for 1 TiB, whatever is in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store.h"

static uint64_t *bits;
static uint64_t size;

static void open_store(uint64_t pages)
{
    size = pages / 8;
    bits = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bits == MAP_FAILED) {
        perror("bench_range");
        exit(1);
    }
}

static void close_store(void)
{
    munmap(bits, size);
}

static inline void store_set(uint64_t page, uint64_t n, bool private)
{
    /* One page: a locked instruction, as the kernel's set_bit(). Ranges here are whole words. */
    if (n == 1) {
        uint64_t bit = (uint64_t)1 << (page & 63);

        if (private) {
            __atomic_fetch_or(&bits[page >> 6], bit, __ATOMIC_SEQ_CST);
        } else {
            __atomic_fetch_and(&bits[page >> 6], ~bit, __ATOMIC_SEQ_CST);
        }
        return;
    }
    memset(&bits[page >> 6], private ? 0xff : 0, n / 8);
}

static inline bool store_get(uint64_t page)
{
    return (bits[page >> 6] >> (page & 63) & 1) != 0;
}

static uint64_t bytes(void)
{
    return size;
}

#define STORE_LOOPS
#include "store.h"

static struct store store = { .name = "bitmap",
                              .open = open_store,
                              .close = close_store,
                              .flip = loop_flip,
                              .set = loop_set,
                              .query = loop_query,
                              .bytes = bytes };

__attribute__((constructor(103))) static void add(void)
{
    store_register(&store);
}
