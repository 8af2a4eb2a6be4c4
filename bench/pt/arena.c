/* SPDX-License-Identifier: BSD-2-Clause */
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <hosted.h>

#define PAGE ((size_t)4096)

static unsigned char *first;
static void **stack; /* free pages that were in use before */
static size_t depth;
static size_t fresh; /* pages never used so far */

void arena_init(void)
{
    /* The upper half of what stands for physical memory: nothing here calls hosted_alloc(). */
    first = (unsigned char *)hosted_arena() + HOSTED_SIZE / 2;
    /* As the kernel's own map of memory is; without it there are misses of the TLB to measure. */
    (void)madvise(first, ARENA_PAGES * PAGE, MADV_HUGEPAGE);
    stack = malloc(ARENA_PAGES * sizeof(*stack));
    if (!stack) {
        perror("arena");
        exit(1);
    }
}

void *arena_first(void)
{
    return first;
}

void *arena_alloc(void)
{
    void *page;

    if (depth > 0) {
        page = stack[--depth];
    } else if (fresh < ARENA_PAGES) {
        page = first + fresh++ * PAGE;
    } else {
        fprintf(stderr, "arena: no page left\n");
        exit(1);
    }
#if defined(__x86_64__)
    void *d = page;
    size_t n = PAGE;

    __asm__ volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(0) : "memory");
#else
    memset(page, 0, PAGE);
#endif
    return page;
}

void arena_free(void *page)
{
    stack[depth++] = page;
}

size_t arena_live(void)
{
    return fresh - depth;
}
