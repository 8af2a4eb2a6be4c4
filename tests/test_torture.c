/* SPDX-License-Identifier: BSD-2-Clause */
/* A short torture run: fixed seeds, a fixed number of conversions; `make torture T=60` is the long one. */
#include "lib_torture.h"

#include <stdlib.h>

#include "lib_pt.h"

#if defined(__SANITIZE_THREAD__)
enum { STEPS = 15, SEEDS = 2, OTHERS = 2 }; /* it is slow; `make torture` takes all */
#else
enum { STEPS = 60, SEEDS = 6, OTHERS = 7 };
#endif

static void run(unsigned seed, unsigned world)
{
    struct torture_opts o = { .seed = seed,
                              .world = world,
                              .steps = world == 0 ? STEPS : STEPS / 3 };
    struct torture_result r;

    torture_run(&o, &r);
    tp_assert(r.wrong == 0, "%s, seed %u: %lu broken promises, first: %s\n", torture_world(world),
              seed, (unsigned long)r.wrong, r.first);
    /* A converter that is refused now and then still does its steps. */
    assert_int_equal(r.ops[TORTURE_CONVERT] + r.ops[TORTURE_REFUSED], 2 * o.steps);
    assert_true(r.ops[TORTURE_CONVERT] > o.steps && r.ops[TORTURE_DMA] > 0 &&
                r.ops[TORTURE_CPU_ACCESS] > 0 && r.ops[TORTURE_FAULT] > 0);
}

/* A wrong variant gets more worlds, until it shows: TENON_TORTURE_SECONDS, which tools/mutants sets. */
static bool more(unsigned seed, unsigned seeds, uint64_t since)
{
    const char *seconds = getenv("TENON_TORTURE_SECONDS");

    return seed <= seeds ||
           (seconds != NULL && port_now() - since < strtoull(seconds, NULL, 10) * 1000000000u);
}

static void all_at_once(void **state)
{
    uint64_t since = port_now();

    (void)state;
    for (unsigned seed = 1; more(seed, SEEDS, since); seed++) {
        run(seed, 0);
    }
}

/* CPUs' and devices' trees of other formats. */
static void other_formats(void **state)
{
    uint64_t since = port_now();
    unsigned others = 0;

    (void)state;
    while (torture_world(1 + others) != NULL) {
        others++;
    }
    assert_true(others != 0);
    for (unsigned seed = 1; others != 0 && more(seed, OTHERS, since); seed++) {
        run(seed, 1 + (seed - 1) % others);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_at_once),
                                        cmocka_unit_test(other_formats) };

    return cmocka_run_group_tests_name("torture", tests, NULL, NULL);
}
