/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's program: starts one of its parts by x0, tells its owner, stops. */
#include "payload.h"

#define REPORT_MS 50u

void payload_main(uint64_t x0);
void payload_exception(uint64_t esr, uint64_t far, uint64_t elr);
void *memset(void *to, int c, size_t n);
void *memcpy(void *restrict to, const void *restrict from, size_t n);

uint64_t ram_bytes;
uint64_t report[R_COUNT];
volatile uint64_t exceptions, last_esr, last_far;
volatile bool expect_exceptions;
static uint64_t next_report;

/* The compiler may call these for itself. */
void *memset(void *to, int c, size_t n)
{
    volatile uint8_t *p = to;

    while (n--) {
        *p++ = (uint8_t)c;
    }
    return to;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    volatile uint8_t *p = to;
    const uint8_t *q = from;

    while (n--) {
        *p++ = *q++;
    }
    return to;
}

int64_t call3(uint64_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct call k = { { function, a, b, c, d } };

    hvc(&k);
    return (int64_t)k.x[0];
}

void yield(uint64_t word)
{
    report_now();
    (void)call3(TN_GUEST_YIELD, word, 0, 0, 0);
}

uint64_t ticks_per_ms(void)
{
    uint64_t f;

    __asm__("mrs %0, cntfrq_el0" : "=r"(f));
    return f / 1000;
}

void report_now(void)
{
    report[R_TICKS] = ticks();
    for (uint64_t i = 0; i < R_COUNT; i++) {
        (void)call3(TN_GUEST_REPORT, i, report[i], 0, 0);
    }
    next_report = report[R_TICKS] + REPORT_MS * ticks_per_ms();
}

void report_paced(void)
{
    if (ticks() >= next_report) {
        report_now();
    }
}

void say(const char *s)
{
    while (*s) {
        struct call k = { { TN_GUEST_CONSOLE } };

        for (; k.x[1] < 40 && *s; k.x[1]++) {
            k.x[2 + k.x[1] / 8] |= (uint64_t)(uint8_t)*s++ << k.x[1] % 8 * 8;
        }
        hvc(&k);
    }
}

void say_number(const char *s, uint64_t v)
{
    char digits[24];
    int n = 22;

    digits[23] = 0;
    digits[22] = '\n';
    do {
        digits[--n] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    say(s);
    say(&digits[n]);
}

void off(uint64_t code)
{
    report[R_EXIT_CODE] = code;
    report_now();
    (void)call3(0x84000008, code, 0, 0, 0); /* PSCI SYSTEM_OFF */
    for (;;) {
        wait_for_owner();
    }
}

/* xorshift64 (Marsaglia, 2003) */
uint64_t random64(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

void payload_exception(uint64_t esr, uint64_t far, uint64_t elr)
{
    exceptions = exceptions + 1;
    last_esr = esr;
    last_far = far;
    if (expect_exceptions) {
        return;
    }
    report[R_CPU_FAULTS]++;
    if (report[R_CPU_FAULTS] > 3) {
        report[R_FIRST_ADDR] = elr;
        report[R_FIRST_WANT] = esr;
        report[R_FIRST_SEEN] = far;
        off(99); /* lost: no point in going on */
    }
}

void payload_main(uint64_t x0)
{
    struct args a = { .program = (uint32_t)(x0 & 0xff),
                      .flags = (uint32_t)(x0 >> 8 & 0xff),
                      .arg = (uint32_t)(x0 >> 16 & 0xffff),
                      .count = (uint32_t)(x0 >> 32) };
    struct call info = { { TN_GUEST_INFO } };

    hvc(&info);
    ram_bytes = info.x[1];
    switch (a.program) {
    case PAYLOAD_LOAD:
        load_run(&a);
        break;
    case PAYLOAD_TIMER:
        attack_timer();
        break;
    case PAYLOAD_WILD:
        attack_wild();
        break;
    case PAYLOAD_FOREIGN:
        attack_foreign();
        break;
    case PAYLOAD_GAVEUP:
        attack_gave_up();
        break;
    case PAYLOAD_SECRET:
        attack_secret(&a);
        break;
    case PAYLOAD_SHARE1:
        share_one();
        break;
    case PAYLOAD_DMA:
        load_dma_forever(&a);
        break;
    default:
        say("payload: no such program\n");
        off(2);
    }
    off(0);
}
