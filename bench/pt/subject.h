/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One implementation of one page-table format, as the page-table benchmark sees it. Each file that
 * makes one is compiled by the compiler that is measured, and its loops call the implementation
 * directly: no call of the harness is inside a timed loop. Times are in ticks (ticks()).
 *
 * A file that includes this header and defines SUBJECT_LOOPS first must have defined
 *   int subject_map(void *t, uint64_t ia, uint64_t oa, uint64_t len);   0 or an error
 *   uint64_t subject_unmap(void *t, uint64_t ia, uint64_t len);         bytes that went
 *   uint64_t subject_translate(void *t, uint64_t ia);                   the output address
 *   int subject_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap);
 * as static inlines, and gets the loops. It must not need floating point (peers have none).
 */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "ticks.h"

struct subject {
    const char *format; /* the same name for ours and its peers */
    const char *name;
    bool ours;
    void (*select)(void);      /* called before each timed call, if not null */
    void *(*open)(bool track); /* an empty tree of four levels, 4K granule, 48 bits, for leaves
                                  whose dirty state hardware keeps, or plain ones */
    void (*close)(void *t);
    void *(*share)(
        void *t); /* the same tree for one more thread; closed apart, before it. Null: t */
    unsigned (*idle)(void *t); /* pages that it holds for later and no table uses. Null: none */
    uint64_t *(*root)(void *t, int64_t *phys); /* start table; what to add to an address in an
                                                  entry to get a pointer */
    /* n calls, of `len` bytes at ia[i], to ia[i] + delta. 0: one of them failed. */
    uint64_t (*map)(void *t, const uint64_t *ia, unsigned n, uint64_t len, uint64_t delta);
    uint64_t (*unmap)(void *t, const uint64_t *ia, unsigned n, uint64_t len);
    /* Nothing is mapped in the range afterwards, its tables stay. Not for timing. */
    void (*empty)(void *t, uint64_t ia, uint64_t len);
    /* *sum: of all the output addresses. Dependent: each address from the result before it. */
    uint64_t (*translate)(void *t, const uint64_t *ia, unsigned n, bool dependent, uint64_t *sum);
    uint64_t (*dirty)(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap);
    struct subject *next;
};

extern struct subject *subjects;
void subject_register(struct subject *s);

#ifdef SUBJECT_LOOPS
static uint64_t loop_map(void *t, const uint64_t *ia, unsigned n, uint64_t len, uint64_t delta)
{
    uint64_t start = ticks();
    int bad = 0;

    for (unsigned i = 0; i < n; i++) {
        bad |= subject_map(t, ia[i], ia[i] + delta, len);
    }
    return bad ? 0 : ticks() - start;
}

static uint64_t loop_unmap(void *t, const uint64_t *ia, unsigned n, uint64_t len)
{
    uint64_t start = ticks();
    uint64_t bad = 0;

    for (unsigned i = 0; i < n; i++) {
        bad |= subject_unmap(t, ia[i], len) ^ len;
    }
    return bad ? 0 : ticks() - start;
}

static uint64_t loop_translate(void *t, const uint64_t *ia, unsigned n, bool dependent,
                               uint64_t *sum)
{
    uint64_t total = 0, last = 0;
    uint64_t start = ticks();

    if (dependent) {
        for (unsigned i = 0; i < n; i++) {
            last = subject_translate(t, ia[i] | (last & 1)); /* results are even: adds nothing */
            total += last;
        }
    } else {
        for (unsigned i = 0; i < n; i++) {
            total += subject_translate(t, ia[i]);
        }
    }
    start = ticks() - start;
    *sum = total;
    return start;
}

static uint64_t loop_dirty(void *t, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    uint64_t start = ticks();

    return subject_dirty(t, ia, len, bitmap) ? 0 : ticks() - start;
}
#endif

#endif
