/* SPDX-License-Identifier: BSD-2-Clause */
/* The formats that the engine is built for here: X(enum pt_format, struct pt_fmt, function prefix). */
#include "pt/fmt/arm_s1.h"
#include "pt/fmt/arm_s2.h"

#define PORT_FORMATS(X)                    \
    X(PT_ARM_S1_4K, pt_fmt_arm_s1, arm_s1) \
    X(PT_ARM_S2_4K, pt_fmt_arm_s2, arm_s2)
