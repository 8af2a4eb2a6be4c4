/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "subject.h"

/* How cost and memory grow with what is mapped, and with a second thread, for the subjects of one
 * format: lines `plot SERIES X Y` to stdout, for tools/bench-plot. */
void plot_format(struct subject *all, const char *format);

#endif
