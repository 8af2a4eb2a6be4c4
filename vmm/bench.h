/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of `tenon bench` share. */
#ifndef BENCH_H
#define BENCH_H

#include "vmm.h"

/* Prints one measurement; the name is formatted. */
void bench_value(const char *unit, double value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
double bench_median(double *v, size_t n); /* sorts them */

/* bench_disk.c: a disk's throughput and latency; names end in `suffix`. Number of failures. */
int bench_disk(const char *path, uint64_t bytes, const char *suffix);

#endif
