/* SPDX-License-Identifier: BSD-2-Clause */
/* The formats that the engine is built for here: X(enum pt_format, struct pt_fmt, prefix, what X was given). */
#include "pt/fmt/arm_s1.h"
#include "pt/fmt/arm_s2.h"

#define PORT_FORMATS(X, ...)                               \
    X(PT_ARM_S1_4K, pt_fmt_arm_s1_4k, arm_s1, __VA_ARGS__) \
    X(PT_ARM_S2_4K, pt_fmt_arm_s2_4k, arm_s2, __VA_ARGS__)
