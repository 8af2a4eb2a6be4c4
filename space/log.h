/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where in a log something may be: its range in at most SPACE_LOG_PARTS equal parts, a bit for each. A
 * part without its bit has no bit in the bitmap either, so a read need not look at it.
 */
#ifndef SPACE_LOG_H
#define SPACE_LOG_H

#include "space/internal.h"

static inline unsigned log_part_shift(const struct space_log *l)
{
    unsigned shift = 21;

    while ((l->last - l->ia) >> shift >= SPACE_LOG_PARTS) {
        shift++;
    }
    return shift;
}

static inline uint64_t log_part(const struct space_log *l, uint64_t ia)
{
    return (ia - l->ia) >> log_part_shift(l);
}

static inline bool log_touched(const struct space_log *l, uint64_t part)
{
    return (l->touched[part / 64] >> part % 64 & 1) != 0;
}

/* The parts of [ia, last], which lies inside the log. */
static inline void log_touch(struct space_log *l, uint64_t ia, uint64_t last)
{
    for (uint64_t p = log_part(l, ia); p <= log_part(l, last); p++) {
        l->touched[p / 64] |= (uint64_t)1 << p % 64;
    }
}

/* ---- track.c ---- */
/* Into the bitmap what hardware marked dirty in [*ia, *last], widened to whole leaves and whole words of
 * it; the entries are clean then. For the caller to touch. */
void log_collect(struct space *s, uint64_t *ia, uint64_t *last, struct pt_gather *g);

#endif
