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

uint64_t hosted_bias;
const struct hosted_hook *hosted_hook_now;
bool hosted_watched;
static bool quiet;

__attribute__((constructor)) static void arena_map(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const uint64_t align = (uint64_t)1 << 30; /* for frames of 1 GiB */
    void *room = mmap(NULL, HOSTED_ROOM + align, PROT_NONE, flags, -1, 0);

    hosted_bias = ((uint64_t)room + align - 1) & ~(align - 1);
    if (room == MAP_FAILED || mmap(hosted_arena(), HOSTED_SIZE, PROT_READ | PROT_WRITE,
                                   flags | MAP_FIXED, -1, 0) == MAP_FAILED) {
        perror(
            "tenon: 17 GiB of addresses (not of memory) are wanted; `ulimit -v` may be in the way");
        abort();
    }
}

int hosted_arena_share(void)
{
    void *p = mmap(hosted_arena(), HOSTED_SIZE, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return p == MAP_FAILED ? -errno : 0;
}

void *hosted_arena(void)
{
    return (void *)(hosted_bias + HOSTED_BASE);
}

void hosted_no_memory(uint64_t pa)
{
    fprintf(stderr, "port_va: %#llx is no memory\n", (unsigned long long)pa);
    abort();
}

void *port_va(uint64_t pa)
{
    if (__builtin_expect(pa - HOSTED_BASE >= HOSTED_SIZE, 0)) {
        hosted_no_memory(pa);
    }
    return (void *)(hosted_bias + pa);
}

uint64_t port_pa(const void *va)
{
    uint64_t off = (uint64_t)va - (hosted_bias + HOSTED_BASE);

    if (__builtin_expect(off >= HOSTED_SIZE, 0)) {
        fprintf(stderr, "port_pa: %p is outside the arena\n", va);
        abort();
    }
    return HOSTED_BASE + off;
}

void hosted_set_hook(const struct hosted_hook *h)
{
    hosted_watched = h && (h->before || h->after || h->publish);
    __atomic_store_n(&hosted_hook_now, h, __ATOMIC_RELEASE);
}

void(port_publish)(void)
{
    const struct hosted_hook *h = HOSTED_HOOK;

#if !HOSTED_TSAN /* it knows no fences; the release order of port_pte_store() is enough there */
    __atomic_thread_fence(__ATOMIC_RELEASE);
#endif
    if (h && h->publish) {
        h->publish(h->ctx);
    }
}

void port_clean(const void *va, size_t len)
{
    const struct hosted_hook *h = HOSTED_HOOK;

    if (h && h->clean) {
        h->clean(h->ctx, va, len);
    }
}

static __attribute__((noinline)) void lock_slowly(struct port_lock *l)
{
    unsigned spins = 0;

    do {
        /* More threads than processors are usual in tests: let the holder run. */
        if (++spins % 64 == 0) {
            sched_yield();
        }
        port_relax();
    } while (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE) != 0);
}

void port_lock(struct port_lock *l)
{
    if (__builtin_expect(__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE) != 0, 0)) {
        lock_slowly(l);
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
