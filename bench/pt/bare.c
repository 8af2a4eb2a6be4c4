/* SPDX-License-Identifier: BSD-2-Clause */
#include "bare.h"

#include "ticks.h"

#define ENTRIES 512u
#define STEP    ((uint64_t)4096)

#if defined(__x86_64__)
typedef uint64_t vec __attribute__((vector_size(32), may_alias));

/* By 16: where a loop of one store lies in memory decides how long it takes. */
__attribute__((target("avx2"))) static void fill_vector(uint64_t *e, uint64_t first)
{
    vec v = { first, first + STEP, first + 2 * STEP, first + 3 * STEP };

    for (unsigned i = 0; i < ENTRIES; i += 16) {
        *(volatile vec *)(e + i) = v;
        *(volatile vec *)(e + i + 4) = v + 4 * STEP;
        *(volatile vec *)(e + i + 8) = v + 8 * STEP;
        *(volatile vec *)(e + i + 12) = v + 12 * STEP;
        v += 16 * STEP;
    }
}

__attribute__((target("avx2"))) static uint64_t differ_vector(const uint64_t *e, uint64_t first)
{
    vec v = { first, first + STEP, first + 2 * STEP, first + 3 * STEP };
    vec a = { 0 }, b = { 0 };

    for (unsigned i = 0; i < ENTRIES; i += 16) {
        a |= *(const volatile vec *)(e + i) ^ v;
        b |= *(const volatile vec *)(e + i + 4) ^ (v + 4 * STEP);
        a |= *(const volatile vec *)(e + i + 8) ^ (v + 8 * STEP);
        b |= *(const volatile vec *)(e + i + 12) ^ (v + 12 * STEP);
        v += 16 * STEP;
    }
    a |= b;
    return a[0] | a[1] | a[2] | a[3];
}
#else
static void fill_vector(uint64_t *e, uint64_t first);
static uint64_t differ_vector(const uint64_t *e, uint64_t first);
#endif

/* volatile: one by one, as without vector registers; by four, so that counting costs little. */
static void fill(volatile uint64_t *e, uint64_t first)
{
    for (unsigned i = 0; i < ENTRIES; i += 4, first += 4 * STEP) {
        e[i] = first;
        e[i + 1] = first + STEP;
        e[i + 2] = first + 2 * STEP;
        e[i + 3] = first + 3 * STEP;
    }
}

static uint64_t differ(const volatile uint64_t *e, uint64_t first)
{
    uint64_t a = 0, b = 0;

    for (unsigned i = 0; i < ENTRIES; i += 4, first += 4 * STEP) {
        a |= (e[i] ^ first) | (e[i + 1] ^ (first + STEP));
        b |= (e[i + 2] ^ (first + 2 * STEP)) | (e[i + 3] ^ (first + 3 * STEP));
    }
    return a | b;
}

#if !defined(__x86_64__)
static void fill_vector(uint64_t *e, uint64_t first)
{
    fill(e, first);
}

static uint64_t differ_vector(const uint64_t *e, uint64_t first)
{
    return differ(e, first);
}
#endif

static void exchange(uint64_t *e, uint64_t v)
{
    uint64_t old = __atomic_load_n(e, __ATOMIC_RELAXED);

    while (!__atomic_compare_exchange_n(e, &old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
    }
}

static uint64_t first_of(unsigned i)
{
    return ((uint64_t)i << 21) | 0x743;
}

uint64_t bare_cut(uint64_t *const *table, uint64_t *link, unsigned n, bool vector)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < n; i++) {
        if (vector) {
            fill_vector(table[i], first_of(i));
        } else {
            fill(table[i], first_of(i));
        }
        exchange(&link[i], (uint64_t)(uintptr_t)table[i] | 3);
    }
    return ticks() - start;
}

uint64_t bare_merge(uint64_t *const *table, uint64_t *link, unsigned n, bool vector)
{
    uint64_t start = ticks();
    uint64_t d = 0;

    for (unsigned i = 0; i < n; i++) {
        d |= vector ? differ_vector(table[i], first_of(i)) : differ(table[i], first_of(i));
        if (d == 0) {
            exchange(&link[i], first_of(i) | 1);
        }
    }
    start = ticks() - start;
    return d == 0 ? start : 0;
}

__attribute__((noinline)) static void replace_one(uint64_t *t, uint64_t ia, uint64_t v,
                                                  bool one_store)
{
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint64_t e = __atomic_load_n(&t[ia >> shift & 511], __ATOMIC_ACQUIRE);

        t = (uint64_t *)(uintptr_t)(e & ~(uint64_t)1);
    }
    exchange(&t[ia >> 12 & 511], one_store ? v : 0);
    if (!one_store) {
        __atomic_store_n(&t[ia >> 12 & 511], v, __ATOMIC_RELEASE);
    }
}

uint64_t bare_replace(uint64_t *root, const uint64_t *ia, unsigned n, bool one_store)
{
    uint64_t start = ticks();

    for (unsigned i = 0; i < n; i++) {
        replace_one(root, ia[i], ia[i] | 1, one_store);
    }
    return ticks() - start;
}
