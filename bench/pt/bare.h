/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a live change costs at least: the entries alone, stored or read by a plain loop, without a
 * walk's decisions, checks, or a record of what to invalidate. n times each; times in ticks.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <stdbool.h>
#include <stdint.h>

/* Cut: 512 entries into table[i], then its link by compare-exchange at link[i]. */
uint64_t bare_cut(uint64_t *const *table, uint64_t *link, unsigned n, bool vector);
/* Merge: 512 entries of table[i] compared with what they should be, then one compare-exchange. */
uint64_t bare_merge(uint64_t *const *table, uint64_t *link, unsigned n, bool vector);
/* Replace: a walk of four tables for each address and a compare-exchange (hardware may be marking the
 * entry): of the new address, or, where that takes two stores, of 0, and then a store. Entries are
 * this process's pointers with bit 0 set. */
uint64_t bare_replace(uint64_t *root, const uint64_t *ia, unsigned n, bool one_store);

#endif
