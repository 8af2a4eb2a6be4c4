/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of one measurement, and the machine's clock. */
#ifndef BENCH_STAT_H
#define BENCH_STAT_H

#include <stdint.h>

#define STAT_MAX 2048u

struct stat_set {
    double ns[STAT_MAX];
    unsigned n;
};

/* Finds the length of a tick; stays on one CPU and, where it may, before all others there. */
void stat_init(void);
long stat_switches(void); /* how often another thread took this one's CPU so far */
void stat_add(struct stat_set *s, uint64_t ticks, double operations);
void stat_add_ns(struct stat_set *s, double ns);
double stat_cpu_ns(void); /* this thread's CPU time: for what is too long not to be interrupted */
double stat_median(struct stat_set *s); /* of no samples: 0 */
double stat_min(const struct stat_set *s);
/* "AMD EPYC, 2 CPUs, load 3.1" and today's date. */
void stat_print_machine(void);

#endif
