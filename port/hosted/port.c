/* SPDX-License-Identifier: BSD-2-Clause */
/* The port for a process: addresses, entries, locks, time, log. */
#include "hosted.h"

#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "port_pte.h"
#include "tenon/port.h"

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

unsigned char *hosted_arena_va;
const struct hosted_hook *hosted_hook_now;
static bool quiet;
static bool vector = true;

__attribute__((constructor)) static void arena_map(void)
{
    void *p = mmap(NULL, HOSTED_SIZE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED) {
        perror("hosted arena");
        abort();
    }
    hosted_arena_va = p;
}

int hosted_arena_share(void)
{
    void *p = mmap(hosted_arena_va, HOSTED_SIZE, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return p == MAP_FAILED ? -errno : 0;
}

void *hosted_arena(void)
{
    return hosted_arena_va;
}

void hosted_no_memory(uint64_t pa)
{
    fprintf(stderr, "port_va: %#llx is no memory\n", (unsigned long long)pa);
    abort();
}

void *port_va(uint64_t pa)
{
    return port_table(pa);
}

uint64_t port_pa(const void *va)
{
    uint64_t off = (uint64_t)((const unsigned char *)va - hosted_arena_va);

    if (__builtin_expect(off >= HOSTED_SIZE, 0)) {
        fprintf(stderr, "port_pa: %p is outside the arena\n", va);
        abort();
    }
    return HOSTED_BASE + off;
}

void hosted_set_hook(const struct hosted_hook *h)
{
    __atomic_store_n(&hosted_hook_now, h, __ATOMIC_RELEASE);
}

static inline const struct hosted_hook *hooked(void)
{
    return HOSTED_HOOKED ? __atomic_load_n(&hosted_hook_now, __ATOMIC_ACQUIRE) : NULL;
}

static void store_hooked(const struct hosted_hook *h, uint64_t *e, uint64_t v,
                         enum hosted_kind kind)
{
    struct hosted_store s = { .e = e, .old = port_pte_load(e), .new = v, .kind = kind };

    if (h->before) {
        h->before(h->ctx, &s);
    }
    s.old = __atomic_exchange_n(e, v, __ATOMIC_ACQ_REL);
    if (h->after) {
        h->after(h->ctx, &s);
    }
}

void hosted_pte_store(uint64_t *e, uint64_t v)
{
    const struct hosted_hook *h = hooked();

    if (h) {
        store_hooked(h, e, v, HOSTED_STORE);
        return;
    }
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
}

bool hosted_pte_cas(uint64_t *e, uint64_t *old, uint64_t v)
{
    const struct hosted_hook *h = hooked();
    struct hosted_store s = { .e = e, .old = *old, .new = v, .kind = HOSTED_CAS };
    bool done;

    if (h && h->before) {
        h->before(h->ctx, &s);
    }
    done = __atomic_compare_exchange_n(e, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    if (done && h && h->after) {
        h->after(h->ctx, &s);
    }
    return done;
}

#if defined(__x86_64__) && !HOSTED_TSAN
/*
 * Each 8-byte lane of an aligned vector load or store is done whole on every x86-64 processor, which
 * is all that is promised of entries. `e` is aligned to the vector.
 */
typedef uint64_t vec4 __attribute__((vector_size(32), may_alias));
typedef uint64_t vec8 __attribute__((vector_size(64), may_alias));

__attribute__((target("avx2"))) static unsigned fill_avx2(uint64_t *e, uint64_t first,
                                                          uint64_t step, unsigned n)
{
    vec4 v = { first, first + step, first + 2 * step, first + 3 * step };
    const uint64_t step4 = 4 * step;
    unsigned i = 0;

    for (; i + 4 <= n; i += 4) {
        *(volatile vec4 *)(e + i) = v;
        v += step4;
    }
    return i;
}

__attribute__((target("avx512f"))) static unsigned fill_avx512(uint64_t *e, uint64_t first,
                                                               uint64_t step, unsigned n)
{
    vec8 v = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const uint64_t step8 = 8 * step;
    unsigned i = 0;

    v = v * step + first;
    for (; i + 8 <= n; i += 8) {
        *(volatile vec8 *)(e + i) = v;
        v += step8;
    }
    return i;
}

__attribute__((target("avx2"))) static unsigned or_avx2(const uint64_t *e, unsigned n,
                                                        uint64_t *any)
{
    vec4 a = { 0 }, b = { 0 };
    unsigned i = 0;

    for (; i + 8 <= n; i += 8) {
        a |= *(const volatile vec4 *)(e + i);
        b |= *(const volatile vec4 *)(e + i + 4);
    }
    a |= b;
    *any = a[0] | a[1] | a[2] | a[3];
    return i;
}

__attribute__((target("avx512f"))) static unsigned or_avx512(const uint64_t *e, unsigned n,
                                                             uint64_t *any)
{
    vec8 a = { 0 }, b = { 0 };
    unsigned i = 0;

    for (; i + 16 <= n; i += 16) {
        a |= *(const volatile vec8 *)(e + i);
        b |= *(const volatile vec8 *)(e + i + 8);
    }
    a |= b;
    *any = a[0] | a[1] | a[2] | a[3] | a[4] | a[5] | a[6] | a[7];
    return i;
}

/* Bytes of the vectors to use: 0, 32 or 64. */
static unsigned vector_bytes(void)
{
    if (!vector) {
        return 0;
    }
    return __builtin_cpu_supports("avx512f") ? 64 : __builtin_cpu_supports("avx2") ? 32 : 0;
}

static unsigned fill_vector(uint64_t *e, uint64_t first, uint64_t step, unsigned n, unsigned bytes)
{
    return bytes == 64 ? fill_avx512(e, first, step, n) : fill_avx2(e, first, step, n);
}

static unsigned or_vector(const uint64_t *e, unsigned n, unsigned bytes, uint64_t *any)
{
    return bytes == 64 ? or_avx512(e, n, any) : or_avx2(e, n, any);
}
#else
static unsigned vector_bytes(void)
{
    (void)vector;
    return 0;
}

static unsigned fill_vector(uint64_t *e, uint64_t first, uint64_t step, unsigned n, unsigned bytes)
{
    (void)e, (void)first, (void)step, (void)n, (void)bytes;
    return 0;
}

static unsigned or_vector(const uint64_t *e, unsigned n, unsigned bytes, uint64_t *any)
{
    (void)e, (void)n, (void)bytes, (void)any;
    return 0;
}
#endif

/* By four: the counting would take as long as the work. */
static void fill_scalar(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    for (; n >= 4; n -= 4, e += 4, first += 4 * step) {
        __atomic_store_n(&e[0], first, __ATOMIC_RELAXED);
        __atomic_store_n(&e[1], first + step, __ATOMIC_RELAXED);
        __atomic_store_n(&e[2], first + 2 * step, __ATOMIC_RELAXED);
        __atomic_store_n(&e[3], first + 3 * step, __ATOMIC_RELAXED);
    }
    for (; n > 0; n--, e++, first += step) {
        __atomic_store_n(e, first, __ATOMIC_RELAXED);
    }
}

static uint64_t or_scalar(const uint64_t *e, unsigned n)
{
    uint64_t a = 0, b = 0;

    for (; n >= 4; n -= 4, e += 4) {
        a |= __atomic_load_n(&e[0], __ATOMIC_RELAXED) | __atomic_load_n(&e[1], __ATOMIC_RELAXED);
        b |= __atomic_load_n(&e[2], __ATOMIC_RELAXED) | __atomic_load_n(&e[3], __ATOMIC_RELAXED);
    }
    for (; n > 0; n--, e++) {
        a |= __atomic_load_n(e, __ATOMIC_RELAXED);
    }
    return a | b;
}

void hosted_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    const struct hosted_hook *h = hooked();
    unsigned i = 0, bytes;

    if (h) {
        for (; i < n; i++) {
            store_hooked(h, &e[i], first + i * step, HOSTED_FILL);
        }
        return;
    }
    bytes = n >= 16 ? vector_bytes() : 0;
    if (bytes != 0) {
        for (; ((uintptr_t)&e[i] & (bytes - 1)) != 0; i++) {
            __atomic_store_n(&e[i], first + i * step, __ATOMIC_RELAXED);
        }
        i += fill_vector(&e[i], first + i * step, step, n - i, bytes);
    }
    fill_scalar(&e[i], first + i * step, step, n - i);
}

uint64_t hosted_pte_or(const uint64_t *e, unsigned n)
{
    const unsigned bytes = n >= 32 ? vector_bytes() : 0;
    uint64_t any = 0, more = 0;
    unsigned i = 0;

    if (bytes != 0) {
        for (; ((uintptr_t)&e[i] & (bytes - 1)) != 0; i++) {
            any |= __atomic_load_n(&e[i], __ATOMIC_RELAXED);
        }
        i += or_vector(&e[i], n - i, bytes, &more);
    }
    return any | more | or_scalar(&e[i], n - i);
}

void port_publish(void)
{
    const struct hosted_hook *h = hooked();

#if !HOSTED_TSAN /* it knows no fences; the release order of port_pte_store() is enough there */
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
    if (h && h->publish) {
        h->publish(h->ctx);
    }
}

void port_clean(const void *va, size_t len)
{
    const struct hosted_hook *h = hooked();

    if (h && h->clean) {
        h->clean(h->ctx, va, len);
    }
}

void port_lock(struct port_lock *l)
{
    unsigned spins = 0;

    while (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE) != 0) {
        /* More threads than processors are usual in tests: let the holder run. */
        if (++spins % 64 == 0) {
            sched_yield();
        }
        port_relax();
    }
}

void port_unlock(struct port_lock *l)
{
    __atomic_store_n(&l->word, 0, __ATOMIC_RELEASE);
}

void port_relax(void)
{
    /* Also for those who wait without port_lock(): the one waited for may not be running. */
    static _Thread_local unsigned calls;

    if (++calls % 64 == 0) {
        sched_yield();
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

uint64_t port_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void hosted_log_quiet(bool q)
{
    quiet = q;
}

void hosted_set_vector(bool v)
{
    vector = v;
}

void port_log(const char *fmt, ...)
{
    va_list ap;

    if (quiet) {
        return;
    }
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

_Noreturn void port_panic(const char *why)
{
    fprintf(stderr, "panic: %s\n", why);
    abort();
}
