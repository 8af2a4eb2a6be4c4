/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one allocator of the page-table benchmark: our trees and the peers' take their pages from
 * the same warm stack, last freed first used, zeroed with `rep stosb` when handed out.
 */
#ifndef BENCH_ARENA_H
#define BENCH_ARENA_H

#include <stddef.h>
#include <stdint.h>

#ifndef ARENA_PAGES
#define ARENA_PAGES ((size_t)1 << 20) /* 4 GiB of addresses; memory only where touched */
#endif

/* Called once, before any other. */
void arena_init(void);
void *arena_first(void);     /* the page with the lowest address */
void *arena_alloc(void);     /* one zeroed page; ends the program when there is none */
void arena_free(void *page); /* what arena_alloc() gave */
size_t arena_live(void);     /* pages handed out now */

#endif
