/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_LIVE_H
#define BENCH_LIVE_H

#include "subject.h"

void print_ratio(double median, double least, double limit, unsigned *missed); /* main.c */

/* Cut, replace and merge of ours (no peer has them) beside the bare stores; prints the lines of one
 * format, and adds to *missed the ratios above their target. `all`: the format's subjects. */
void live_measure(struct subject *all, const char *format, unsigned rounds, unsigned *missed);

#endif
