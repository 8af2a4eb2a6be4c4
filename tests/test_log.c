/* SPDX-License-Identifier: BSD-2-Clause */
/* Rationing of the log's lines that the host provokes (hv/log_may.c), with a clock of the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tenon/port.h"

#define SECOND ((uint64_t)1000000000)

static uint64_t clock_ns;
static uint64_t model_now(void)
{
    return clock_ns;
}
static unsigned notes;
static uint64_t left_out;
__attribute__((format(printf, 1, 2))) static void model_log(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    notes++;
    left_out += va_arg(ap, uint64_t);
    va_end(ap);
}
#define port_now model_now
#define port_log model_log
#include "hv/log_may.c" /* NOLINT(bugprone-suspicious-include) */
#undef port_now
#undef port_log

/* Lines let through of n tried, evenly over one second. */
static unsigned try(unsigned n)
{
    unsigned may = 0;
    for (unsigned i = 0; i < n; i++) {
        may += log_may();
        clock_ns += SECOND / n;
    }
    return may;
}

/* However often it tries, the host cannot push the rest out of the log; and it is said how often. */
static void rationed(void **state)
{
    (void)state;
    clock_ns = 5 * SECOND;
    assert_int_equal(try(1000), 32);
    assert_int_equal(notes, 0);
    assert_int_equal(try(500), 32);
    assert_int_equal(notes, 1);
    assert_int_equal(left_out, 1000 - 32);
}

/* One that keeps within the ration loses no line, and nothing is said about it. */
static void modest(void **state)
{
    (void)state;
    clock_ns = 100 * SECOND;
    assert_true(log_may()); /* ends what the test before has left */
    clock_ns = 101 * SECOND;
    notes = 0;
    left_out = 0;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(try(25), 25);
    }
    assert_int_equal(notes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rationed), cmocka_unit_test(modest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
