/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A walk over somebody's table in memory, to make pages dirty as hardware would and to see that
 * every subject wrote the same translations. Knows the formats by itself; not for timing.
 */
#ifndef BENCH_WALKER_H
#define BENCH_WALKER_H

#include <stdbool.h>
#include <stdint.h>

#include "subject.h"

/* The output address of `ia` in the subject's tree `t`, or ~0. */
uint64_t walker_translate(const struct subject *s, void *t, uint64_t ia);
/* Sets or clears the dirty state of every leaf of the tree; returns how many there are. */
uint64_t walker_set_dirty(const struct subject *s, void *t, bool dirty);
/* Leaves that are dirty. */
uint64_t walker_count_dirty(const struct subject *s, void *t);

#endif
