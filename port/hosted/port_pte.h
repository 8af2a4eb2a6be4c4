/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port for a process: entries of tables, inline (contract: tenon/port.h). A test's hook
 * (hosted.h) costs one predictable branch where none is set.
 */
#ifndef PORT_PTE_H
#define PORT_PTE_H

#include <stdbool.h>
#include <stdint.h>

/* The thread sanitizer knows neither vectors nor fences. */
#if defined(__SANITIZE_THREAD__)
#define HOSTED_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HOSTED_TSAN 1
#endif
#endif
#ifndef HOSTED_TSAN
#define HOSTED_TSAN 0
#endif

/* Left to itself, gcc calls them: the engine's functions, which have all of a format in them, are
 * large. */
#define PORT_INLINE static inline __attribute__((always_inline))

#include "hosted.h"
#include "tenon/port.h"

/* What turns an address of the arena into a pointer. Hidden: known by its place, not by a table's entry. */
extern uint64_t hosted_bias __attribute__((visibility("hidden")));
_Noreturn void hosted_no_memory(uint64_t pa);
extern const struct hosted_hook *hosted_hook_now;
void hosted_pte_store(uint64_t *e, uint64_t v);
bool hosted_pte_cas(uint64_t *e, uint64_t *old, uint64_t v);
void hosted_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n);
uint64_t hosted_pte_or(const uint64_t *e, unsigned n);
unsigned port_pte_same(const uint64_t *e, unsigned n, uint64_t first, uint64_t step,
                       uint64_t ignore);

#define HOSTED_HOOK   (HOSTED_HOOKED ? __atomic_load_n(&hosted_hook_now, __ATOMIC_ACQUIRE) : 0)
#define HOSTED_HOOKED __builtin_expect(__atomic_load_n(&hosted_hook_now, __ATOMIC_RELAXED) != 0, 0)

/* Around the arena addresses are kept free, so that one mask says what is surely none of it. */
#define PORT_NO_TABLE (~(HOSTED_ROOM - 1))

/* What turns an address into a pointer. */
PORT_INLINE uint64_t port_origin(void)
{
    return hosted_bias;
}

PORT_INLINE uint64_t *port_table(uint64_t pa)
{
    if (__builtin_expect((pa & PORT_NO_TABLE) != 0, 0)) {
        hosted_no_memory(pa);
    }
    return (uint64_t *)(pa + port_origin());
}

/* Acquire stands for the address dependency from a table entry to the table's contents. */
PORT_INLINE uint64_t port_pte_load(const uint64_t *e)
{
    return __atomic_load_n(e, __ATOMIC_ACQUIRE);
}

/* port_publish(), inline. */
PORT_INLINE void hosted_publish(void)
{
#if !HOSTED_TSAN
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
    if (HOSTED_HOOKED) {
        port_publish();
    }
}
#define port_publish() hosted_publish()

PORT_INLINE void port_pte_store(uint64_t *e, uint64_t v)
{
    if (HOSTED_HOOKED) {
        hosted_pte_store(e, v);
        return;
    }
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
}

PORT_INLINE bool port_pte_cas(uint64_t *e, uint64_t *old, uint64_t v)
{
    if (HOSTED_HOOKED) {
        return hosted_pte_cas(e, old, v);
    }
    return __atomic_compare_exchange_n(e, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

PORT_INLINE void port_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    if (n >= 8 || HOSTED_HOOKED) {
        hosted_pte_fill(e, first, step, n);
        return;
    }
    for (unsigned i = 0; i < n; i++, first += step) {
        __atomic_store_n(&e[i], first, __ATOMIC_RELAXED);
    }
}

PORT_INLINE uint64_t port_pte_or(const uint64_t *e, unsigned n)
{
    uint64_t any = 0;

    if (n >= 8) {
        return hosted_pte_or(e, n);
    }
    for (unsigned i = 0; i < n; i++) {
        any |= __atomic_load_n(&e[i], __ATOMIC_RELAXED);
    }
    return any;
}

#endif
