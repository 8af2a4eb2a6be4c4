/* SPDX-License-Identifier: BSD-2-Clause */
/* Synchronous exceptions of the host: what is emulated, what is refused and how it hears of it. */
#include "asm.h"
#include "boot.h"
#include "sysreg.h"

/* Exception classes, ESR_EL2[31:26] (DDI0487 D23.2.41). */
#define EC_HVC64       0x16u
#define EC_SMC64       0x17u
#define EC_SYSREG      0x18u
#define EC_INSTR_LOWER 0x20u
#define EC_DATA_LOWER  0x24u

#define ESR_IL    (1ul << 25)
#define ISS_ISV   (1ul << 24)
#define ISS_WNR   (1ul << 6)
#define ISS_S1PTW (1ul << 7)
#define ISS_CM    (1ul << 8)

#define FSC_TLB_CONFLICT 0x30u
#define FSC_EXTERNAL     0x10u
#define FSC_ALIGNMENT    0x21u

#define MMIO_REGIONS 24u

static struct mmio {
    uint64_t base, size;
    mmio_fn fn;
    const char *name;
} mmio[MMIO_REGIONS];
static uint32_t mmio_count;

int host_mmio_register(uint64_t base, uint64_t size, mmio_fn fn, const char *name)
{
    if (size == 0 || base + size < base) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < mmio_count; i++) {
        if (base < mmio[i].base + mmio[i].size && mmio[i].base < base + size) {
            return -EEXIST;
        }
    }
    if (mmio_count == MMIO_REGIONS) {
        return -ENOSPC;
    }
    mmio[mmio_count++] = (struct mmio){ base, size, fn, name };
    return 0;
}

/* ---- exceptions for the host ---- */

#define PSR_AARCH32  (1ul << 4)
#define PSR_SP       (1ul << 0)
#define PSR_EL(spsr) ((spsr) >> 2 & 3)
#define PSR_SS       (1ul << 21)
#define PSR_PAN      (1ul << 22)
#define PSR_DIT      (1ul << 24)
#define PSR_TCO      (1ul << 25)
#define PSR_SSBS     (1ul << 12)
#define PSR_BTYPE    (3ul << 10)
#define PSR_NZCV     (15ul << 28)
#define SCTLR_SPAN   (1ul << 23)
#define SCTLR_DSSBS  (1ul << 44)

/* AArch64.TakeException to EL1h (DDI0487, shared pseudocode): where it goes, and with what PSTATE. */
static void take_exception(struct regs *r, uint64_t esr)
{
    uint64_t spsr = r->spsr, sctlr = rd(sctlr_el1), vector, to;
    bool aarch32 = (spsr & PSR_AARCH32) != 0;

    if (aarch32) {
        vector = 0x600;
    } else if (PSR_EL(spsr) == 0) {
        vector = 0x400;
    } else {
        vector = (spsr & PSR_SP) != 0 ? 0x200 : 0;
    }
    to = 5 | 15ul << 6; /* EL1h, DAIF */
    to |= spsr & PSR_NZCV;
    if (aarch32) {
        /* SPSR of an AArch32 state has DIT in bit 21, and PAN where it is in ours. */
        to |= (spsr & PSR_PAN) | ((spsr & PSR_SS) != 0 ? PSR_DIT : 0);
    } else {
        to |= spsr & (PSR_PAN | PSR_DIT);
    }
    bool has_pan = ((idreg_visible(7, 1) >> 20) & 15) != 0;
    bool has_ssbs = ((idreg_visible(4, 1) >> 4) & 15) != 0;

    if (has_pan && (sctlr & SCTLR_SPAN) == 0) {
        to |= PSR_PAN;
    }
    if (has_ssbs && (sctlr & SCTLR_DSSBS) != 0) {
        to |= PSR_SSBS;
    }
    if (hv.caps.mte) {
        to |= PSR_TCO;
    }
    wr(spsr_el1, spsr);
    wr(elr_el1, r->elr);
    wr(esr_el1, esr);
    r->spsr = to;
    r->elr = rd(vbar_el1) + vector;
}

static bool from_el0(const struct regs *r)
{
    return (r->spsr & PSR_AARCH32) != 0 || PSR_EL(r->spsr) == 0;
}

void host_inject_undef(struct regs *r)
{
    take_exception(r, ESR_IL); /* EC 0: unknown reason */
}

void host_inject_abort(struct regs *r, uint64_t ipa)
{
    bool fetch = r->esr >> 26 == EC_INSTR_LOWER;
    bool el0 = from_el0(r);
    uint64_t ec = (fetch ? 0x20ul : 0x24ul) + (el0 ? 0 : 1);
    uint64_t iss = fetch ? 0 : r->esr & (ISS_WNR | ISS_CM);

    /* A fetch has no alignment fault code of its own (IFSC): the kernel gets an external abort. */
    iss |= el0 || fetch ? FSC_EXTERNAL : FSC_ALIGNMENT;
    if (log_may()) {
        port_log("host: %s %s of %lx refused (pc %lx, va %lx)", el0 ? "process" : "kernel",
                 fetch                     ? "fetch"
                 : (r->esr & ISS_WNR) != 0 ? "write"
                                           : "read",
                 ipa, r->elr, r->far);
    }
    wr(far_el1, r->far);
    take_exception(r, ec << 26 | (fetch ? ESR_IL : r->esr & ESR_IL) | iss);
}

/* ---- aborts ---- */

uint64_t fault_ipa(uint64_t esr, uint64_t far, uint64_t hpfar)
{
    bool permission = (esr & 0x3c) == 0x0c;

    return permission && (esr & ISS_S1PTW) == 0 ? ~0ul
                                                : (hpfar & 0xffffffffff0ul) << 8 | (far & 0xfff);
}

/* The instruction has been done: go on after it (as a single step would: PSTATE.SS, BTYPE). */
static void skip(struct regs *r)
{
    r->elr += 4;
    r->spsr &= ~(PSR_SS | PSR_BTYPE);
}

/* A plain load or store of one register by AArch64 code: ISS.ISV says that and describes it. */
static int emulate(struct regs *r, const struct mmio *m, uint64_t ipa)
{
    unsigned size = 1u << (r->esr >> 22 & 3);
    unsigned reg = r->esr >> 16 & 31;
    bool write = (r->esr & ISS_WNR) != 0;
    uint64_t mask = size == 8 ? ~0ul : (1ul << 8 * size) - 1;
    uint64_t val = 0;

    if ((r->esr & ISS_ISV) == 0 || (r->spsr & PSR_AARCH32) != 0 || (ipa & (size - 1)) != 0 ||
        m->size - (ipa - m->base) < size) {
        return -EFAULT;
    }
    if (write && reg != 31) {
        val = r->x[reg] & mask;
    }
    int err = m->fn(ipa - m->base, write, size, &val);

    if (err != 0) {
        return err;
    }
    if (!write && reg != 31) {
        val &= mask;
        if ((r->esr & 1ul << 21) != 0 && (val & (mask ^ mask >> 1)) != 0) {
            val |= ~mask; /* SSE: sign extend */
        }
        r->x[reg] = (r->esr & 1ul << 15) != 0 ? val : (uint32_t)val;
    }
    skip(r);
    return 0;
}

static void abort_trap(struct regs *r, bool fetch)
{
    unsigned fsc = r->esr & 0x3f;
    uint64_t ipa = fault_ipa(r->esr, r->far, r->hpfar);

    if (fsc == FSC_TLB_CONFLICT) {
        /* Of entries of this VMID or stage 1 under it: forget them here and walk again. */
        __asm__ volatile("tlbi vmalls12e1\n\tdsb nsh\n\tisb" ::: "memory");
        return;
    }
    for (uint32_t i = 0; i < mmio_count && !fetch; i++) {
        if (ipa - mmio[i].base < mmio[i].size && ipa >= mmio[i].base) {
            if ((r->esr & ISS_S1PTW) != 0 || emulate(r, &mmio[i], ipa) != 0) {
                host_inject_abort(r, ipa);
            }
            return;
        }
    }
    uint32_t access = fetch ? PT_EXEC : (r->esr & ISS_WNR) != 0 ? PT_WRITE : PT_READ;
    int err = space_fault(&hv.host_cpu, ipa & ~(PAGE_SIZE - 1), access);

    if (err != 0 && err != -EAGAIN) {
        host_inject_abort(r, ipa);
    }
}

/* ---- system registers ---- */

static void sysreg_trap(struct regs *r)
{
    unsigned op0 = r->esr >> 20 & 3, op2 = r->esr >> 17 & 7, op1 = r->esr >> 14 & 7;
    unsigned crn = r->esr >> 10 & 15, reg = r->esr >> 5 & 31, crm = r->esr >> 1 & 15;
    bool read = (r->esr & 1) != 0;

    /* The identification space that HCR_EL2.TID3 covers; its reserved part reads as zero. */
    if (read && op0 == 3 && op1 == 0 && crn == 0 && crm >= 1 && crm <= 7) {
        if (reg != 31) {
            r->x[reg] = idreg_visible(crm, op2);
        }
        skip(r);
        return;
    }
    if (log_may()) {
        port_log("host: S%u_%u_C%u_C%u_%u %s at pc %lx: hidden, undefined", op0, op1, crn, crm, op2,
                 read ? "read" : "written", r->elr);
    }
    host_inject_undef(r);
}

void host_sync(struct regs *r)
{
    unsigned ec = (unsigned)(r->esr >> 26) & 0x3f;

    this_cpu()->host_regs = r;
    switch (ec) {
    case EC_DATA_LOWER:
    case EC_INSTR_LOWER:
        abort_trap(r, ec == EC_INSTR_LOWER);
        break;
    case EC_SMC64:
        skip(r); /* a trapped SMC has not been executed (an HVC has) */
        host_smc(r);
        break;
    case EC_HVC64:
        r->x[0] = ~0ul; /* SMCCC NOT_SUPPORTED: the host's door is the control region */
        break;
    case EC_SYSREG:
        sysreg_trap(r);
        break;
    default:
        /* SVE, SME, AArch32 and whatever else is trapped is not there for the host. */
        if (log_may()) {
            port_log("host: exception class %x at pc %lx: undefined", ec, r->elr);
        }
        host_inject_undef(r);
    }
}

_Noreturn void el2_fault(struct regs *r, uint64_t kind)
{
    static const char *const names[] = { "exception", "interrupt", "SError", "wrong vector",
                                         "stack overflow" };

    log_dying();
    port_log("EL2 %s: ESR %lx ELR %lx FAR %lx HPFAR %lx SPSR %lx", kind < 5 ? names[kind] : "?",
             r->esr, r->elr, r->far, r->hpfar, r->spsr);
    port_log("  x0 %lx x1 %lx x2 %lx x3 %lx x19 %lx x20 %lx x30 %lx", r->x[0], r->x[1], r->x[2],
             r->x[3], r->x[19], r->x[20], r->x[30]);
    port_panic("EL2 took an exception of its own");
}
