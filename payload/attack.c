/* SPDX-License-Identifier: BSD-2-Clause */
/* What a hostile VM might try. Each call has one right answer; others are counted. */
#include "payload.h"

#define E_NOENT (-2)
#define E_2BIG  (-7)
#define E_AGAIN (-11)
#define E_FAULT (-14)
#define E_BUSY  (-16)
#define E_INVAL (-22)

static void expect(uint64_t function, int64_t result, int64_t want)
{
    if (result == want) {
        return;
    }
    if (report[R_UNEXPECTED]++ == 0) {
        report[R_LAST_RESULT] = (uint64_t)result;
        report[R_LAST_CALL] = function;
    }
}

static void expect_call(int64_t want, uint64_t f, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    expect(f, call3(f, a, b, c, d), want);
}

/* An instruction that must trap back to us as undefined. */
#define PROVOKE(insn)                                        \
    do {                                                     \
        uint64_t before = exceptions;                        \
        expect_exceptions = true;                            \
        __asm__ volatile(insn ::: "x9", "memory");           \
        expect_exceptions = false;                           \
        report[R_PROVOKED] += exceptions - before;           \
        expect(__LINE__, (int64_t)(exceptions - before), 1); \
    } while (0)

/* Interrupts masked, every timer rewritten, and no exit of its own: the host must go on. */
void attack_timer(void)
{
    uint64_t end = ticks() + 2000 * ticks_per_ms();

    __asm__ volatile("msr daifset, #15" ::: "memory");
    PROVOKE("mov x9, #1\n\tmsr cntp_ctl_el0, x9");
    PROVOKE("msr cntp_cval_el0, xzr");
    while (ticks() < end) {
        uint64_t now = ticks();

        __asm__ volatile("msr cntv_cval_el0, %0\n\tmsr cntv_ctl_el0, %1" ::"r"(now - 1), "r"(1ul));
        for (volatile uint32_t i = 0; i < 1000; i++) {
        }
        __asm__ volatile(
            "msr cntv_cval_el0, %0\n\tmsr cntv_ctl_el0, %1\n\tmsr cntkctl_el1, xzr" ::"r"(~0ul),
            "r"(3ul));
    }
    yield(1);
}

void attack_wild(void)
{
    uint64_t end = TN_GUEST_RAM + ram_bytes, page = TN_GUEST_RAM + OWN_BYTES;
    struct call k;

    /* unknown functions, by HVC and by SMC */
    expect_call(-1, 0, 0, 0, 0, 0);
    expect_call(-1, ~0ul, ~0ul, ~0ul, ~0ul, ~0ul);
    expect_call(-1, 0xc6000009ul, 0, 0, 0, 0);
    expect_call(-1, 0xc6fffffffffffffful, 0, 0, 0, 0);
    for (uint64_t f = 0xc6000010ul; f < 0xc6000100ul; f += 7) {
        expect_call(-1, f, f, f, f, f);
    }
    k = (struct call){ { TN_GUEST_CONVERT, page, PAGE, 1 } };
    smc(&k);
    expect(TN_GUEST_CONVERT, (int64_t)k.x[0], -1);
    k = (struct call){ { 0x84000000 } };
    smc(&k);
    expect(0x84000000, (int64_t)k.x[0], 0x10000);
    /* PSCI: a CPU that is on, one that is not there */
    expect_call(-4, 0xc4000003, 0, page, 0, 0);
    expect_call(-2, 0xc4000003, 1, page, 0, 0);
    expect_call(-2, 0xc4000003, ~0ul, ~0ul, ~0ul, 0);
    /* conversions that cannot be */
    expect_call(E_INVAL, TN_GUEST_CONVERT, page + 1, PAGE, 1, 0);
    expect_call(E_INVAL, TN_GUEST_CONVERT, page, PAGE - 1, 1, 0);
    expect_call(E_INVAL, TN_GUEST_CONVERT, page, 0, 1, 0);
    expect_call(E_INVAL, TN_GUEST_CONVERT, page, PAGE, 2, 0);
    expect_call(E_INVAL, TN_GUEST_CONVERT, page, PAGE, 1, 2);
    expect_call(E_FAULT, TN_GUEST_CONVERT, page, ~0xffful, 1, 0);
    expect_call(E_FAULT, TN_GUEST_CONVERT, end - PAGE, 2 * PAGE, 1, 0);
    expect_call(E_FAULT, TN_GUEST_CONVERT, end, PAGE, 1, 0);
    expect_call(E_FAULT, TN_GUEST_CONVERT, ~0xffful, PAGE, 1, 0);
    expect_call(E_2BIG, TN_GUEST_CONVERT, page, 33ul << 20, 1, 0);
    /* numbers of requests that are not */
    expect_call(E_NOENT, TN_GUEST_CANCEL, 0, 0, 0, 0);
    expect_call(E_NOENT, TN_GUEST_CANCEL, 1ul << 40, 0, 0, 0);
    expect_call(E_NOENT, TN_GUEST_CANCEL, ~0ul, 0, 0, 0);
    /* more than may be pending, then each taken back; twice the same range */
    for (uint64_t i = 0; i < TN_GUEST_PENDING_MAX; i++) {
        expect(TN_GUEST_CONVERT, call3(TN_GUEST_CONVERT, page + i * PAGE, PAGE, 1, 0) > 0, 1);
    }
    expect_call(E_AGAIN, TN_GUEST_CONVERT, page + 100 * PAGE, PAGE, 1, 0);
    expect_call(E_BUSY, TN_GUEST_CONVERT, page + 5 * PAGE, PAGE, 0, 1);
    for (int64_t id = 1; id <= (int64_t)TN_GUEST_PENDING_MAX; id++) {
        expect_call(0, TN_GUEST_CANCEL, (uint64_t)id, 0, 0, 0);
        expect_call(E_NOENT, TN_GUEST_CANCEL, (uint64_t)id, 0, 0, 0);
    }
    /* the rest */
    expect_call(E_INVAL, TN_GUEST_CONSOLE, 0, 0, 0, 0);
    expect_call(E_INVAL, TN_GUEST_CONSOLE, 41, 0, 0, 0);
    expect_call(E_INVAL, TN_GUEST_CONSOLE, ~0ul, 0, 0, 0);
    expect_call(E_INVAL, TN_GUEST_REPORT, 32, 0, 0, 0);
    expect_call(E_INVAL, TN_GUEST_REPORT, ~0ul, 0, 0, 0);
    expect_call(E_NOENT, TN_GUEST_DEVICE, 100, 0, 0, 0);
    expect_call(E_NOENT, TN_GUEST_DEVICE, ~0ul, 0, 0, 0);
    expect_call(E_FAULT, TN_GUEST_STATE, end, 0, 0, 0);
    expect_call(E_FAULT, TN_GUEST_STATE, 0, 0, 0, 0);
    expect_call(0, TN_GUEST_STATE, page, 0, 0, 0);
    /* system registers that are not a VM's: interrupt controller, PMU, SVE, physical timer */
    PROVOKE("mrs x9, S3_0_C4_C6_0");    /* ICC_PMR_EL1 */
    PROVOKE("msr S3_0_C12_C11_5, xzr"); /* ICC_SGI1R_EL1 */
    PROVOKE("mrs x9, S3_0_C12_C12_0");  /* ICC_IAR1_EL1 */
    PROVOKE("msr S3_3_C9_C12_0, xzr");  /* PMCR_EL0 */
    PROVOKE("mrs x9, S3_0_C1_C2_0");    /* ZCR_EL1 */
    PROVOKE("mrs x9, S3_4_C1_C1_0");    /* HCR_EL2 */
    PROVOKE("msr cntp_ctl_el0, xzr");
}

/* What is not its own: devices' registers, the host's and its neighbour's addresses, past its end. */
void attack_foreign(void)
{
    static const uint64_t address[] = { TN_GUEST_DEVICES, 0,          0x09050000,
                                        0x08000000,       0x0b000000, 0x3ffff000,
                                        0x200000000ul,    1ul << 39,  1ul << 47 };
    uint64_t end = TN_GUEST_RAM + ram_bytes;

    for (unsigned i = 0; i < sizeof(address) / sizeof(address[0]); i++) {
        expect_call(E_FAULT, TN_GUEST_CONVERT, address[i], PAGE, 1, 0);
        expect_call(E_FAULT, TN_GUEST_CONVERT, address[i], PAGE, 1, 1);
        expect_call(E_FAULT, TN_GUEST_CONVERT, address[i], PAGE, 0, 0);
        expect_call(E_FAULT, TN_GUEST_STATE, address[i], 0, 0, 0);
    }
    /* pages right behind its own: another VM's memory, were addresses physical ones */
    for (uint64_t i = 0; i < 64; i++) {
        expect_call(E_FAULT, TN_GUEST_CONVERT, end + i * (2ul << 20), PAGE, 1, 1);
    }
    expect_call(E_FAULT, TN_GUEST_CONVERT, TN_GUEST_RAM - PAGE, 2 * PAGE, 1, 0);
    expect_call(E_FAULT, TN_GUEST_CONVERT, end - PAGE, 0xfffffffffffff000ul, 1, 0);
}

static void convert_and_wait(uint64_t gpa, bool to_shared, bool inplace)
{
    int64_t id = call3(TN_GUEST_CONVERT, gpa, PAGE, to_shared, inplace);

    if (id <= 0) {
        expect(TN_GUEST_CONVERT, id, 1);
        return;
    }
    for (;;) {
        struct call k = { { TN_GUEST_PENDING } };

        hvc(&k);
        if (!(k.x[1] >> (id % 64) & 1)) {
            return;
        }
        report_paced();
        wait_for_owner();
    }
}

/* The private copy must not be seen through the page that was given up; then an address that is
 * nobody's: the VM leaves with TN_EXIT_FAULT, and takes an abort if its owner lets it run on. */
void attack_gave_up(void)
{
    uint64_t gpa = TN_GUEST_RAM + OWN_BYTES;
    volatile uint64_t *p = (volatile uint64_t *)gpa;

    for (unsigned i = 0; i < PAGE / 8; i++) {
        p[i] = 0x5ec7e75ec7e75ec7ull;
    }
    convert_and_wait(gpa, true, false);
    for (unsigned i = 0; i < PAGE / 8; i++) {
        report[R_WRONG_CPU] += p[i] == 0x5ec7e75ec7e75ec7ull;
    }
    yield(1);
    expect_exceptions = true;
    (void)*(volatile uint64_t *)(TN_GUEST_RAM + ram_bytes);
    expect_exceptions = false;
    report[R_PROVOKED] += exceptions;
    expect(1, (int64_t)exceptions, 1);
    convert_and_wait(gpa, false, false);
    for (unsigned i = 0; i < PAGE / 8; i++) {
        report[R_WRONG_CPU] += p[i] != 0x5ec7e75ec7e75ec7ull;
    }
    yield(2);
}

void attack_secret(const struct args *a)
{
    uint64_t bad = 0;

    report_now();
    for (uint32_t i = 0; i < (a->count ? a->count : 1); i++) {
        bad |= secret_yield(0x5ec7e75ec7e75ec7ull);
    }
    report[R_UNEXPECTED] += bad != 0;
    report[R_LAST_RESULT] = bad;
}

void share_one(void)
{
    uint64_t gpa = TN_GUEST_RAM + OWN_BYTES;
    volatile uint64_t *p = (volatile uint64_t *)gpa;

    for (unsigned i = 0; i < PAGE / 8; i++) {
        p[i] = 0x7e0000000000ull | i;
    }
    convert_and_wait(gpa, true, true);
    report[R_INPLACE]++;
    yield(1);
    for (unsigned i = 0; i < PAGE / 8; i++) {
        report[R_WRONG_CPU] += p[i] != (0x7e0000000000ull | i);
    }
    convert_and_wait(gpa, false, true);
    report[R_INPLACE]++;
    yield(2);
    for (unsigned i = 0; i < PAGE / 8; i++) {
        report[R_WRONG_CPU] += p[i] != (0x7e0000000000ull | i);
    }
}
