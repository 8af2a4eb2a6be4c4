/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's operations against the flat oracle: those of test_pt_rand.c, whose every choice (which
 * operation, address, length, rights, how many table pages) is made by the input. The first byte is
 * the configuration.
 */
#include "tests/lib_pt.h"

#include "tests/fuzz/fuzz.h"

#define model_rng_below(rng, n) ((void)(rng), fuzz_below(n))
#define main                    main_of_the_test
int main_of_the_test(void);
#include "tests/test_pt_rand.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

void fuzz_one(void)
{
    struct tp t;

    tp_open(&t, &tp_confs[fuzz_below(TP_FUZZED)].cfg);
    for (unsigned ops = 0; fuzz_left != 0 && ops < 60; ops++) {
        any_op(&t);
    }
    tp_close(&t);
}
