/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "subject.h"

/* Lines `PLOT FORMAT SERIES X Y` to stdout, for tools/bench-plot. How cost grows with what is mapped,
 * and with a second thread, for the subjects of one format; how table memory does. */
void plot_format(struct subject *all, const char *format);
void plot_memory(void);

#endif
