/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_RANGE_H
#define BENCH_RANGE_H

#include <stdint.h>

#define RANGE_PAGES ((uint64_t)1 << 28) /* 1 TiB of 4K pages */

#endif
