/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of things, and what the rest shares. */
#include "hostile.h"

/* PSCI (DEN0022), SMC64 where there is one. */

/* Fixed seeds: a failure happens again. */
static uint64_t seeds[2] = { 88172645463325252ul, 0x123456789abcdeful };
static const char *caught;       /* the first check that failed, */
static unsigned passed;          /*   after so many that did not */
static volatile unsigned second; /* 1: up, 2: go, 3: done */

unsigned this_cpu(void)
{
    uint64_t m;

    __asm__("mrs %0, mpidr_el1" : "=r"(m));
    return m & 1;
}

uint64_t rnd(void)
{
    uint64_t *x = &seeds[this_cpu()];

    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

uint64_t below(uint64_t n)
{
    return rnd() % n;
}

uint64_t pick_address(void)
{
    static const uint64_t at[] = { EL2_RAM,    EL2_END - 0x10000, HOST_RAM, 0x60000000, 0x7fff0000,
                                   POOL,       0x13fff0000,       SMMU,     CONTROL,    0x140000000,
                                   (uint64_t)0 };

    return at[below(sizeof(at) / sizeof(at[0]))];
}

uint64_t pick(void)
{
    static const uint64_t odd[] = { 0,          1,         2,          7,           8,
                                    63,         64,        4095,       4096,        8192,
                                    0x200000,   0x400000,  EL2_RAM,    HOST_RAM,    0x50000000,
                                    0x60000000, POOL,      0x7fe00000, 0x13fe00000, 0x140000000,
                                    CONTROL,    SMMU,      ITS,        0x18,        0x20,
                                    0x28,       0x30,      0x100,      ~0ul,        ~0xffful,
                                    1ul << 63,  1ul << 40, 1ul << 48,  0xffffffff,  0x100000000 };

    switch (below(8)) {
    case 0:
        return rnd();
    case 1:
        return below(16);
    case 2:
        return EL2_RAM + below(0x1000) * 4096;
    case 3:
        return 0x60000000 + below(128) * 0x200000;
    case 4:
        return below(64) * 0x1000;
    case 5:
        return below(16) * 0x200000;
    default:
        return odd[below(sizeof(odd) / sizeof(odd[0]))];
    }
}

static void put(char c)
{
    volatile uint32_t *uart = (volatile uint32_t *)UART;

    while (uart[6] & 0x20) { /* UARTFR.TXFF */
    }
    uart[0] = (uint8_t)c;
}

void say(const char *s)
{
    for (; *s; s++) {
        if (*s == '\n') {
            put('\r');
        }
        put(*s);
    }
}

void say_number(uint64_t v)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    while (n) {
        put(digits[--n]);
    }
}

void check(bool ok, const char *name, const char *why, uint64_t value)
{
    say(ok ? "TENON-PASS " : "TENON-FAIL ");
    say(name);
    if (!ok) {
        say(": ");
        say(why);
        say(" ");
        say_number(value);
        caught = caught ? caught : name;
    }
    passed += caught == NULL;
    say("\n");
}

void survived(const char *name)
{
    check(true, name, "", 0);
}

uint64_t load(uint64_t address, unsigned size)
{
    uint64_t v = 0;

    switch (size) {
    case 0:
        __asm__ volatile("ldrb %w0, [%1]" : "+r"(v) : "r"(address) : "memory");
        break;
    case 1:
        __asm__ volatile("ldrh %w0, [%1]" : "+r"(v) : "r"(address) : "memory");
        break;
    case 2:
        __asm__ volatile("ldr %w0, [%1]" : "+r"(v) : "r"(address) : "memory");
        break;
    default:
        __asm__ volatile("ldr %0, [%1]" : "+r"(v) : "r"(address) : "memory");
    }
    return v;
}

void store(uint64_t address, unsigned size, uint64_t v)
{
    switch (size) {
    case 0:
        __asm__ volatile("strb %w0, [%1]" ::"r"(v), "r"(address) : "memory");
        break;
    case 1:
        __asm__ volatile("strh %w0, [%1]" ::"r"(v), "r"(address) : "memory");
        break;
    case 2:
        __asm__ volatile("str %w0, [%1]" ::"r"(v), "r"(address) : "memory");
        break;
    default:
        __asm__ volatile("str %0, [%1]" ::"r"(v), "r"(address) : "memory");
    }
}

void verdict(void)
{
    if (caught) {
        say("CAUGHT ");
        say(caught);
        say(" after ");
        say_number(passed);
        say(" changes\n"); /* in the words of `tenon mutant` */
    }
    say("TENON-EXIT ");
    say(caught ? "1\n" : "0\n");
    call_smc(PSCI_SYSTEM_OFF, 0, 0, 0);
}

static void second_cpu(void)
{
    second = 1;
    while (second != 2) {
    }
    survive_endless_guest();
    fuzz_control(4000);
    second = 3;
}

void hostile_main(unsigned cpu);
void hostile_main(unsigned cpu)
{
    if (cpu == 1) {
        if (!watch_endless_guest()) {
            second_cpu();
        }
        return;
    }
    say("a hostile kernel at EL1\n");
    try_endless_guest();
    try_psci();
    try_calls(20000);
    try_addresses();
    try_odd_accesses();
    audit("odd accesses");
    try_registers();
    try_translations();
    audit("system registers");
    try_redistributors(20000);
    audit("redistributors");
    try_its(20000);
    audit("the ITS");
    try_config_space(30000);
    audit("configuration space");

    uint64_t r = call_smc(PSCI_CPU_ON, 1, (uint64_t)second_start, 0);
    check(r == 0, "second CPU starts", "PSCI said", r);
    if (r == 0) {
        while (second != 1) {
        }
        second = 2;
        survive_endless_guest();
        fuzz_control(4000);
        while (second != 3) {
        }
        survived("control calls from two CPUs");
    }
    audit("control calls");
    destroy_all();
    audit("everything is given back");
    verdict();
}
