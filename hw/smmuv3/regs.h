/* SPDX-License-Identifier: BSD-2-Clause */
/* Registers, descriptors, commands and events of the SMMUv3: names and bits of IHI0070. */
#ifndef TENON_HW_SMMUV3_REGS_H
#define TENON_HW_SMMUV3_REGS_H

#include <stdint.h>

#define BIT64(n)         ((uint64_t)1 << (n))
#define FIELD(v, hi, lo) (((v) >> (lo)) & ((BIT64((hi) - (lo)) << 1) - 1u))
#define MASK64(hi, lo)   (((BIT64((hi) - (lo)) << 1) - 1u) << (lo))

/* Registers: offset, access, meaning (6.3). Page 1 is at + 0x10000. */
#define R_IDR0            0x00u /* RO stages, table formats, coherency */
#define R_IDR1            0x04u /* RO sizes of queues and ids */
#define R_IDR3            0x0cu /* RO XNX, FWB, RIL, BBML */
#define R_IDR5            0x14u /* RO output size, granules */
#define R_AIDR            0x1cu /* RO architecture version */
#define R_CR0             0x20u /* RW enables */
#define R_CR0ACK          0x24u /* RO the enables that have taken effect */
#define R_CR1             0x28u /* RW attributes of tables and queues */
#define R_CR2             0x2cu /* RW RECINVSID, PTM */
#define R_GBPA            0x44u /* RW what happens while SMMUEN = 0 */
#define R_IRQ_CTRL        0x50u /* RW interrupt enables */
#define R_IRQ_CTRLACK     0x54u /* RO */
#define R_GERROR          0x60u /* RO global errors, toggled when they happen */
#define R_GERRORN         0x64u /* RW toggled to acknowledge them */
#define R_STRTAB_BASE     0x80u /* RW 64 bits */
#define R_STRTAB_BASE_CFG 0x88u
#define R_CMDQ_BASE       0x90u /* RW 64 bits */
#define R_CMDQ_PROD       0x98u
#define R_CMDQ_CONS       0x9cu
#define R_EVENTQ_BASE     0xa0u /* RW 64 bits */
#define R_EVENTQ_PROD     0x100a8u
#define R_EVENTQ_CONS     0x100acu

#define CR0_SMMUEN   (1u << 0)
#define CR0_EVENTQEN (1u << 2)
#define CR0_CMDQEN   (1u << 3)
#define CR0_ATSCHK   (1u << 4) /* 0 lets what a device calls translated pass unseen */
/* Tables and queues inner shareable, write-back (6.3.11); 0 is non-cacheable. */
#define CR1_COHERENT        0xd75u
#define CR2_RECINVSID       (1u << 1) /* record C_BAD_STREAMID too */
#define CR2_PTM             (1u << 2) /* take no part in the CPUs' broadcast invalidations */
#define GBPA_ABORT          (1u << 20)
#define GBPA_UPDATE         (1u << 31)
#define GERROR_CMDQ_ERR     (1u << 0)
#define GERROR_EVENTQ_ABT   (1u << 2)
#define GERROR_SFM          (1u << 8)
#define GERROR_ALL          0x1fdu
#define STRTAB_CFG_2LEVEL   (1u << 16)
#define BASE_RA_WA          BIT64(62) /* read- (tables, commands) or write-allocate (events) hint */
#define BASE_ADDR           MASK64(51, 5)
#define CONS_ERR(v)         (((v) >> 24) & 0x7fu)
#define CERROR_NONE         0u
#define CERROR_ILL          1u
#define CERROR_ABT          2u
#define CERROR_ATC_INV_SYNC 3u
#define EVENTQ_OVF          (1u << 31) /* PROD.OVFLG, CONS.OVACKFLG */

/* Level-1 stream table descriptor (5.1): Span n means 2^(n-1) STEs. */
#define L1STD_SPAN(n) ((uint64_t)(n))
#define L1STD_L2PTR   MASK64(51, 6)

/* Stream table entry (5.2), by 64-bit word. */
#define STE_WORDS           8u
#define STE0_V              BIT64(0)
#define STE0_CONFIG_SHIFT   1u
#define STE0_CONFIG         MASK64(3, 1)
#define STE_CONFIG_ABORT    0u
#define STE_CONFIG_S1       5u
#define STE_CONFIG_S2       6u
#define STE_CONFIG_NESTED   7u
#define STE0_S1             (MASK64(5, 4) | MASK64(51, 6) | MASK64(63, 59)) /* S1Fmt, ContextPtr, CDMax */
#define STE0_S1CTXPTR       MASK64(51, 6)
#define STE1_S1DSS_SSID0    0x2ull
#define STE1_S1CIR_WBRA     (1ull << 2)
#define STE1_S1COR_WBRA     (1ull << 4)
#define STE1_S1CSH_ISH      (3ull << 6)
#define STE1_S2FWB          BIT64(25)
#define STE1_EATS           MASK64(29, 28)
#define STE1_STRW           MASK64(31, 30)
#define STE1_S1             (MASK64(7, 0) | BIT64(27) | STE1_STRW) /* DSS, CIR, COR, CSH, STALLD, STRW */
#define STE1_SHCFG_INCOMING (1ull << 44)
#define STE2_VMID           MASK64(15, 0)
#define STE2_VTCR_SHIFT     32u
#define STE2_AA64           BIT64(51)
#define STE2_HD             BIT64(55)
#define STE2_HA             BIT64(56)
#define STE2_R              BIT64(58)
#define STE3_S2TTB          MASK64(51, 4)

/* Context descriptor (5.4). */
#define CD0_EPD1       BIT64(30)
#define CD0_V          BIT64(31)
#define CD0_IPS_SHIFT  32u
#define CD0_AA64       BIT64(41)
#define CD0_HD         BIT64(42)
#define CD0_HA         BIT64(43)
#define CD0_R          BIT64(45)
#define CD0_A          BIT64(46)
#define CD0_ASET       BIT64(47)
#define CD0_ASID_SHIFT 48u
#define CD0_WALK_WB    ((1ull << 8) | (1ull << 10) | (3ull << 12)) /* IR0, OR0, SH0 */
#define CD1_TTB0       MASK64(51, 4)

/* Commands (4.1): opcode in bits [7:0]. */
enum {
    CMD_CFGI_STE = 0x03,       /* 4.3.1: the STE, and every CD cached through it */
    CMD_CFGI_STE_RANGE = 0x04, /* 4.3.2; range 31 is CFGI_ALL */
    CMD_CFGI_CD = 0x05,        /* 4.3.3 */
    CMD_CFGI_CD_ALL = 0x06,    /* 4.3.4 */
    CMD_TLBI_NH_ALL = 0x10,    /* 4.4.2 */
    CMD_TLBI_NH_ASID = 0x11,
    CMD_TLBI_NH_VA = 0x12,
    CMD_TLBI_EL2_ALL = 0x20,
    CMD_TLBI_S12_VMALL = 0x28, /* 4.4.3 */
    CMD_TLBI_S2_IPA = 0x2a,
    CMD_TLBI_NSNH_ALL = 0x30,
    CMD_RESUME = 0x44, /* 4.6 */
    CMD_SYNC = 0x46,   /* 4.7.3 */
};

/* One access each, of exactly this width: the register file, or a test's model of it. */
uint32_t smmuv3_read32(uint64_t base, uint32_t off);
void smmuv3_write32(uint64_t base, uint32_t off, uint32_t v);
void smmuv3_write64(uint64_t base, uint32_t off, uint64_t v);

#endif
