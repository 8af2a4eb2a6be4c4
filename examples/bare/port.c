/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A whole port (tenon/port.h) for a program with no operating system and one CPU: memory is mapped
 * one to one and coherent. More CPUs need nothing else here; a clock and a console would be nice.
 */
#include <tenon/port.h>

void *port_va(uint64_t pa)
{
    return (void *)pa;
}

uint64_t port_pa(const void *va)
{
    return (uint64_t)va;
}

void port_publish(void)
{
#ifdef __aarch64__
    __asm__ volatile("dsb ishst" ::: "memory");
#else
    __asm__ volatile("" ::: "memory"); /* x86: stores are seen in order */
#endif
}

void port_clean(const void *va, size_t len)
{
    (void)va; /* every walker snoops */
    (void)len;
}

void port_lock(struct port_lock *l)
{
    while (__atomic_exchange_n(&l->word, 1, __ATOMIC_ACQUIRE) != 0) {
        port_relax();
    }
}

void port_unlock(struct port_lock *l)
{
    __atomic_store_n(&l->word, 0, __ATOMIC_RELEASE);
}

void port_relax(void)
{
}

uint64_t port_now(void)
{
    static uint64_t ns;
    return ns += 1000;
}

void port_log(const char *fmt, ...)
{
    (void)fmt;
}

_Noreturn void port_panic(const char *why)
{
    (void)why;
    __builtin_trap();
}

/* What compilers call of their own accord. */
void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile unsigned char *)dst)[i] = ((const unsigned char *)src)[i];
    }
    return dst;
}

void *memset(void *dst, int c, size_t n);
void *memset(void *dst, int c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile unsigned char *)dst)[i] = (unsigned char)c;
    }
    return dst;
}
