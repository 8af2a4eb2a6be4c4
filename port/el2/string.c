/* SPDX-License-Identifier: BSD-2-Clause */
/* The C library that the core, the compiler and libfdt expect: C11 7.24, strnlen for libfdt. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *s, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
_Noreturn void __stack_chk_fail(void);
_Noreturn void port_panic(const char *why);

/* libfdt was compiled by the distribution with stack protection. */
extern uintptr_t __stack_chk_guard;
uintptr_t __stack_chk_guard = 0x00ff0a0d5ac3a96bul;

_Noreturn void __stack_chk_fail(void)
{
    port_panic("stack smashed");
}

typedef uint64_t __attribute__((may_alias)) word_t;

void *memcpy(void *restrict dst, const void *restrict src, size_t n)
{
    unsigned char *d = dst;
    const unsigned char *s = src;

    if ((((uintptr_t)d | (uintptr_t)s) & 7) == 0) {
        for (; n >= 8; n -= 8, d += 8, s += 8) {
            *(word_t *)(void *)d = *(const word_t *)(const void *)s;
        }
    }
    while (n-- != 0) {
        *d++ = *s++;
    }
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    unsigned char *d = dst;
    const unsigned char *s = src;

    if ((uintptr_t)d - (uintptr_t)s >= n) {
        return memcpy(dst, src, n);
    }
    while (n-- != 0) {
        d[n] = s[n];
    }
    return dst;
}

/* Whole blocks of zeros by DC ZVA (DDI0487 D23.2.38 DCZID_EL0): only Normal memory comes here. Returns
 * how many bytes it did; `d` is aligned to a page. */
static size_t zero_blocks(unsigned char *d, size_t n)
{
    uint64_t id;

    __asm__("mrs %0, dczid_el0" : "=r"(id));
    if ((id & 16) != 0) {
        return 0; /* prohibited */
    }
    size_t block = 4ul << (id & 15), done = 0;

    for (; n - done >= block; done += block) {
        __asm__ volatile("dc zva, %0" ::"r"(d + done) : "memory");
    }
    return done;
}

void *memset(void *dst, int c, size_t n)
{
    unsigned char *d = dst;
    uint64_t word = 0x0101010101010101ul * (unsigned char)c;

    if (c == 0 && n >= 4096 && ((uintptr_t)d & 4095) == 0) {
        size_t done = zero_blocks(d, n);

        d += done;
        n -= done;
    }
    for (; n != 0 && ((uintptr_t)d & 7) != 0; n--) {
        *d++ = (unsigned char)c;
    }
    for (; n >= 32; n -= 32, d += 32) {
        word_t *w = (word_t *)(void *)d;

        w[0] = word;
        w[1] = word;
        w[2] = word;
        w[3] = word;
    }
    while (n-- != 0) {
        *d++ = (unsigned char)c;
    }
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a;
    const unsigned char *y = b;

    for (; n != 0; n--, x++, y++) {
        if (*x != *y) {
            return *x - *y;
        }
    }
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;

    for (; n != 0; n--, p++) {
        if (*p == (unsigned char)c) {
            return (void *)(uintptr_t)p;
        }
    }
    return NULL;
}

size_t strnlen(const char *s, size_t n)
{
    size_t len = 0;

    while (len < n && s[len] != '\0') {
        len++;
    }
    return len;
}

size_t strlen(const char *s)
{
    return strnlen(s, SIZE_MAX);
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (unsigned char)*a - (unsigned char)*b;
}

char *strchr(const char *s, int c)
{
    return memchr(s, c, strlen(s) + 1);
}

char *strrchr(const char *s, int c)
{
    for (size_t n = strlen(s) + 1; n-- != 0;) {
        if (s[n] == (char)c) {
            return (char *)(uintptr_t)&s[n];
        }
    }
    return NULL;
}
