/* SPDX-License-Identifier: BSD-2-Clause */
/* The seam to the environment at EL2: memory is mapped one to one, coherent and shareable. */
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
    __asm__ volatile("dsb ishst" ::: "memory");
}

void port_clean(const void *va, size_t len)
{
    uint64_t ctr;

    __asm__("mrs %0, ctr_el0" : "=r"(ctr));
    /* DminLine: log2 of the words in the smallest line (DDI0487 D23.2.37). */
    uint64_t line = 4ul << (ctr >> 16 & 15);
    uint64_t end = (uint64_t)va + len;

    for (uint64_t p = (uint64_t)va & ~(line - 1); p < end; p += line) {
        __asm__ volatile("dc civac, %0" ::"r"(p) : "memory");
    }
    __asm__ volatile("dsb sy" ::: "memory");
}

typedef uint16_t __attribute__((may_alias)) half_t;

/* A ticket lock: low half the ticket being served, high half the next to give out. */
void port_lock(struct port_lock *l)
{
    uint32_t mine = __atomic_fetch_add(&l->word, 0x10000u, __ATOMIC_ACQUIRE) >> 16;

    while ((__atomic_load_n(&l->word, __ATOMIC_ACQUIRE) & 0xffffu) != mine) {
        port_relax();
    }
}

void port_unlock(struct port_lock *l)
{
    /* Only the holder changes the low half, and only by this store: no carry into the tickets. */
    half_t *serving = (half_t *)(void *)&l->word;

    __atomic_store_n(serving, (half_t)(*serving + 1u), __ATOMIC_RELEASE);
}

void port_relax(void)
{
    __asm__ volatile("yield" ::: "memory");
}

uint64_t port_now(void)
{
    uint64_t t, f;

    __asm__ volatile("isb\n\tmrs %0, cntpct_el0" : "=r"(t)::"memory");
    __asm__("mrs %0, cntfrq_el0" : "=r"(f));
    if (f == 0) {
        return t;
    }
    /* Whole seconds and the rest apart: t * 10^9 would wrap after minutes. */
    return t / f * 1000000000ul + t % f * 1000000000ul / f;
}
