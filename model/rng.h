/* SPDX-License-Identifier: BSD-2-Clause */
/* A small seeded generator (xorshift with a multiply at the end): same seed, same run. */
#ifndef MODEL_RNG_H
#define MODEL_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct model_rng {
    uint64_t state;
};

static inline void model_rng_seed(struct model_rng *rng, uint64_t seed)
{
    rng->state = seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u;
    if (rng->state == 0)
        rng->state = 1;
}

static inline uint64_t model_rng_next(struct model_rng *rng)
{
    uint64_t x = rng->state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    rng->state = x;
    return (x * 0x2545f4914f6cdd1du) >> 1;
}

/* 0 .. n - 1; n > 0 */
static inline uint64_t model_rng_below(struct model_rng *rng, uint64_t n)
{
    return model_rng_next(rng) % n;
}

static inline bool model_rng_chance(struct model_rng *rng, unsigned of_256)
{
    return model_rng_below(rng, 256) < of_256;
}

#endif
