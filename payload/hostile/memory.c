/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses that are not the host's, by plain accesses and by the odd ones. */
#include "hostile.h"

static uint64_t faults(void)
{
    return exceptions[this_cpu()];
}

void try_addresses(void)
{
    uint64_t reads = 0, got = 0;

    /* Everything below 2^41, but for the devices that the host has. */
    for (uint64_t a = 0; a < 1ul << 41; a += a < 0x200000000ul ? 0x10000 : 0x10000000) {
        uint64_t before = faults();

        if (a >= 0x08000000 && a < 0x09100000) {
            continue;
        }
        (void)load(a, (unsigned)below(4));
        if ((a >= EL2_RAM && a < EL2_END) || (a >= POOL && a < POOL + POOL_PAGES * 4096)) {
            reads++;
            got += faults() == before;
        }
    }
    check(reads > 1000 && got == 0, "EL2's memory and the pool cannot be read", "read:", got);
    got = 0;
    for (uint64_t a = EL2_RAM; a < EL2_END; a += 0x4000) {
        uint64_t before = faults();

        store(a, 3, ~0ul);
        got += faults() == before;
    }
    check(got == 0, "EL2's memory cannot be written", "written:", got);
    uint64_t before = faults();
    (void)load(SMMU, 2);
    check(faults() != before, "the SMMU cannot be read", "", 0);
}

/* Pairs, write-back, cache and TLB maintenance by address, exclusives, atomics, SIMD. */
static void odd(uint64_t a)
{
    uint64_t x, y;

    __asm__ volatile("ldp %0, %1, [%2]" : "=&r"(x), "=&r"(y) : "r"(a) : "memory");
    __asm__ volatile("stp xzr, xzr, [%0]" ::"r"(a) : "memory");
    __asm__ volatile("ldr x9, [%0], #8" : "+r"(a)::"x9", "memory");
    __asm__ volatile("dc ivac, %0" ::"r"(a) : "memory");
    __asm__ volatile("dc civac, %0" ::"r"(a) : "memory");
    __asm__ volatile("dc zva, %0" ::"r"(a) : "memory");
    __asm__ volatile("ic ivau, %0" ::"r"(a) : "memory");
    __asm__ volatile("prfm pldl1keep, [%0]" ::"r"(a) : "memory");
    __asm__ volatile("ldxr x9, [%0]\n\tclrex" ::"r"(a) : "x9", "memory");
    __asm__ volatile("mov x9, %0\n\t.inst 0xf82a0129" ::"r"(a) : "x9", "memory"); /* ldadd x10 */
    __asm__ volatile("at s1e1r, %0" ::"r"(a) : "memory");
    __asm__ volatile("at s1e0w, %0" ::"r"(a) : "memory");
    __asm__ volatile("mov x9, %0\n\t.inst 0x3dc00120" ::"r"(a) : "x9", "memory"); /* ldr q0, [x9] */
}

void try_odd_accesses(void)
{
    static const uint64_t device[] = { SMMU,    ITS,       GICR, ECAM, CONTROL + 0x100000,
                                       CONTROL, 0x08090040 };

    for (uint64_t a = EL2_RAM; a < EL2_END; a += 0x4000) {
        odd(a);
    }
    for (unsigned i = 0; i < 2000; i++) {
        odd(POOL + below(POOL_PAGES) * 4096);
    }
    for (unsigned i = 0; i < sizeof(device) / sizeof(device[0]); i++) {
        odd(device[i]);
    }
    survived("odd accesses are refused or done");
}
