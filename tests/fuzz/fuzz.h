/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz target is a file fuzz_NAME.c here with fuzz_one(). `make fuzz` links it with libFuzzer,
 * ./test replays tests/fuzz/corpus/NAME with replay.c. What is wrong must crash (abort, a sanitizer,
 * a failed assertion).
 *
 * The input is read as a stream of choices. When it is used up, choices are 0 and fuzz_left is 0.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

void fuzz_one(void);

static const uint8_t *fuzz_at;
static size_t fuzz_left;

static inline uint8_t fuzz_byte(void)
{
    if (fuzz_left == 0) {
        return 0;
    }
    fuzz_left--;
    return *fuzz_at++;
}

/* 0 .. n - 1, from as many bytes as n needs. */
static inline uint64_t fuzz_below(uint64_t n)
{
    uint64_t v = 0;

    for (uint64_t max = n - 1; max != 0; max >>= 8) {
        v = v << 8 | fuzz_byte();
    }
    return n == 0 ? 0 : v % n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_at = data;
    fuzz_left = size;
    fuzz_one();
    return 0;
}

#endif
