/* SPDX-License-Identifier: BSD-2-Clause */
/* System registers: access by name, and the bits of HCR_EL2 (DDI0487 D23.2.50) that are used. */
#ifndef TENON_HV_SYSREG_H
#define TENON_HV_SYSREG_H

#include <stdint.h>

#define SYSREG_NAME(r) #r
#define rd(r)                                                     \
    __extension__({                                               \
        uint64_t rd_v;                                            \
        __asm__ volatile("mrs %0, " SYSREG_NAME(r) : "=r"(rd_v)); \
        rd_v;                                                     \
    })
#define wr(r, v) __asm__ volatile("msr " SYSREG_NAME(r) ", %0" ::"r"((uint64_t)(v)) : "memory")
#define isb()    __asm__ volatile("isb" ::: "memory")
#define dsb_sy() __asm__ volatile("dsb sy" ::: "memory")

/* Names that -march=armv8-a assemblers lack. */
#define ICC_SRE_EL2     S3_4_C12_C9_5
#define ICH_HCR_EL2     S3_4_C12_C11_0
#define ICC_PMR_EL1     S3_0_C4_C6_0
#define ICC_RPR_EL1     S3_0_C12_C11_3
#define ICC_IGRPEN1_EL1 S3_0_C12_C12_7
#define HCRX_EL2        S3_4_C1_C2_2

#define HCR_VM        (1ull << 0)
#define HCR_SWIO      (1ull << 1)
#define HCR_FMO       (1ull << 3)
#define HCR_IMO       (1ull << 4)
#define HCR_AMO       (1ull << 5)
#define HCR_FB        (1ull << 9)
#define HCR_BSU_INNER (1ull << 10)
#define HCR_TWI       (1ull << 13)
#define HCR_TID3      (1ull << 18)
#define HCR_TSC       (1ull << 19)
#define HCR_TIDCP     (1ull << 20)
#define HCR_TACR      (1ull << 21)
#define HCR_TSW       (1ull << 22)
#define HCR_RW        (1ull << 31)
#define HCR_TLOR      (1ull << 35)
#define HCR_TERR      (1ull << 36)
#define HCR_APK       (1ull << 40)
#define HCR_API       (1ull << 41)
#define HCR_FWB       (1ull << 46)
#define HCR_TID5      (1ull << 58)

#endif
