/* SPDX-License-Identifier: BSD-2-Clause */
/* System registers: every encoding is read, those that EL2 hides are written too. */
#include "hostile.h"

static uint32_t code[2] __attribute__((aligned(64)));

/* The encoding space of MRS and MSR (DDI0487 C5.1.3): op0 2 or 3, then op1 CRn CRm op2. */
#define SPACE (1u << 14)

struct reg {
    uint32_t op0, op1, crn, crm, op2;
};

static struct reg reg_at(uint32_t op0, uint32_t e)
{
    return (struct reg){ op0, e >> 11, e >> 7 & 15, e >> 3 & 15, e & 7 };
}

static void run(uint32_t base, struct reg r, uint32_t rt)
{
    code[0] = base | (r.op0 - 2) << 19 | r.op1 << 16 | r.crn << 12 | r.crm << 8 | r.op2 << 5 | rt;
    code[1] = 0xd65f03c0; /* ret */
    __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic iallu\n\tdsb ish\n\tisb\n\tblr %0" ::"r"(code)
                     : "x9", "x30", "memory");
}

/* Reading these acknowledges an interrupt. */
static bool acknowledges(struct reg r)
{
    return r.op1 == 0 && r.crn == 12 && (r.crm == 8 || (r.crm == 12 && r.op2 <= 3));
}

/* PMU, MPAM, implementation defined, trace, and encodings of EL2 and above. */
static bool hidden(struct reg r)
{
    if (r.op0 == 2) {
        return r.op1 == 1;
    }
    return r.crn == 9 || r.crn == 11 || r.crn == 15 || (r.crn == 10 && r.crm >= 4) ||
           (r.op1 >= 4 && r.op1 <= 7);
}

void try_registers(void)
{
    uint64_t before = exceptions[0];

    for (uint32_t op0 = 2; op0 < 4; op0++) {
        for (uint32_t e = 0; e < SPACE; e++) {
            struct reg r = reg_at(op0, e);

            if (!acknowledges(r)) {
                run(0xd5300000, r, 9); /* mrs x9 */
            }
        }
    }
    check(exceptions[0] - before > 1000, "every system register can be read or is undefined",
          "exceptions:", exceptions[0] - before);
    before = exceptions[0];
    uint64_t writes = 0;
    for (uint32_t op0 = 2; op0 < 4; op0++) {
        for (uint32_t e = 0; e < SPACE; e++) {
            struct reg r = reg_at(op0, e);

            if (hidden(r)) {
                run(0xd5100000, r, 31); /* msr xzr */
                writes++;
            }
        }
    }
    check(exceptions[0] - before > 0 && exceptions[0] - before <= writes,
          "hidden registers cannot be written", "exceptions:", exceptions[0] - before);
}

/* Address translation from tables that lie in memory of somebody else, and what Debian never uses. */
void try_translations(void)
{
    static const uint64_t tables[] = { EL2_RAM, POOL, SMMU, ITS, CONTROL, ECAM, 0x2000000000ul };
    uint64_t old, tcr = 25 | 25ul << 16 | 2ul << 30 | 2ul << 32;

    __asm__ volatile("mrs %0, ttbr0_el1" : "=r"(old));
    __asm__ volatile("msr tcr_el1, %0\n\tisb" ::"r"(tcr));
    for (unsigned i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        __asm__ volatile(
            "msr ttbr0_el1, %0\n\tmsr ttbr1_el1, %0\n\tisb\n\tat s1e1r, %1" ::"r"(tables[i]),
            "r"(0x1234000ul)
            : "memory");
    }
    __asm__ volatile("msr ttbr0_el1, %0\n\tisb" ::"r"(old));
    /* rdvl, SME's smstart, MTE's stg, SVE's add, an SME state write */
    __asm__ volatile(".inst 0x04bf5020\n\t.inst 0xd503417f\n\t.inst 0xd9200000\n\t"
                     ".inst 0x25e0e020\n\t.inst 0xd51b4503" ::
                         : "x0", "memory");
    /* alle1is and vmalls12e1is are EL2's. By word: the assembler may not know them all. */
    __asm__ volatile("dc isw, xzr\n\tdc cisw, xzr\n\ttlbi vmalle1is\n\t.inst 0xd50c83df\n\t"
                     ".inst 0xd50c839f\n\tdsb sy\n\tisb" ::
                         : "memory");
    survived("foreign tables, SVE, SME, MTE, TLBI");
}
