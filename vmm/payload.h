/* SPDX-License-Identifier: BSD-2-Clause */
/* Our payload as its owner sees it: how to ask for a program, and what it reports. */
#ifndef VMM_PAYLOAD_H
#define VMM_PAYLOAD_H

#include "load.h"

#include <payload/report.h>

/* PAYLOAD_LOAD yields these words when a phase is over (everything private again, none pending). */
enum { PAYLOAD_PHASE_CONVERT = 1, PAYLOAD_PHASE_INPLACE, PAYLOAD_PHASE_FAULT };

/* Its first register. In place counts in thousands, and at least one. */
uint64_t payload_load(uint64_t conversions, uint64_t inplace, unsigned flags);
uint64_t payload_program(enum payload_program program, unsigned flags, uint64_t count);

#endif
