/* SPDX-License-Identifier: BSD-2-Clause */
/* The formats that the engine is built for here, all: X(enum pt_format, struct pt_fmt, prefix, what X was given). The
 * first are the soonest found (pt/quick.h). */
#include "pt/fmt/amd_v1.h"
#include "pt/fmt/arm_granules.h"
#include "pt/fmt/ept.h"
#include "pt/fmt/riscv.h"
#include "pt/fmt/vtd_ss.h"

#define PORT_FORMATS(X, ...)                                 \
    X(PT_VTD_SS, pt_fmt_vtd_ss, vtd_ss, __VA_ARGS__)         \
    X(PT_X86_64, pt_fmt_x86_64, x86, __VA_ARGS__)            \
    X(PT_AMD_V1, pt_fmt_amd_v1, amd_v1, __VA_ARGS__)         \
    X(PT_RISCV, pt_fmt_riscv, riscv, __VA_ARGS__)            \
    X(PT_ARM_S2_4K, pt_fmt_arm_s2_4k, arm_s2, __VA_ARGS__)   \
    X(PT_ARM_S1_4K, pt_fmt_arm_s1_4k, arm_s1, __VA_ARGS__)   \
    X(PT_EPT, pt_fmt_ept, ept, __VA_ARGS__)                  \
    X(PT_RISCV_X4, pt_fmt_riscv_x4, riscv, __VA_ARGS__)      \
    X(PT_ARM_S1_16K, pt_fmt_arm_s1_16k, arm_s1, __VA_ARGS__) \
    X(PT_ARM_S2_16K, pt_fmt_arm_s2_16k, arm_s2, __VA_ARGS__) \
    X(PT_ARM_S1_64K, pt_fmt_arm_s1_64k, arm_s1, __VA_ARGS__) \
    X(PT_ARM_S2_64K, pt_fmt_arm_s2_64k, arm_s2, __VA_ARGS__)
