/* SPDX-License-Identifier: BSD-2-Clause */
/* World switch and the guest's traps. Register fields: Arm ARM DDI0487 D23; GIC: IHI0069 12. */
#include "vm.h"
#include "boot.h"
#include "sysreg.h"

/* What the host may not have, a VM may not either: host_cpu_setup() has set these for what this CPU
 * implements (LORegions, RAS, pointer authentication, memory tags; CPTR_EL2, HCRX_EL2 and the
 * fine-grained traps as a whole). */
#define HCR_AS_HOST (HCR_TLOR | HCR_TERR | HCR_APK | HCR_API | HCR_TID5)
/* MDCR_EL2: TDA, TDOSA, TDRA, besides the host's. */
#define MDCR_GUEST (1ull << 9 | 1ull << 10 | 1ull << 11)
/* ICH_HCR_EL2: TC, TALL0, TALL1, TDIR: the guest has no interrupt controller yet. */
#define ICH_GUEST        (1ull << 10 | 1ull << 11 | 1ull << 12 | 1ull << 14)
#define SCTLR_RESET      0x30d00800ull /* RES1 bits, little endian, MMU and caches off */
#define SPSR_EL1H_MASKED 0x3c5ull

#define TIMER_EL2_PPI  26u /* CNTHP */
#define TIMER_VIRT_PPI 27u /* CNTV: the host's, and the guest's own while it runs */
#define RUN_DEFAULT_US 10000u
#define RUN_MAX_US     1000000u

_Static_assert(offsetof(struct vcpu, x) == VCPU_X, "switch.S");
_Static_assert(offsetof(struct vcpu, elr) == VCPU_ELR, "switch.S");
_Static_assert(offsetof(struct vcpu, spsr) == VCPU_SPSR, "switch.S");
_Static_assert(offsetof(struct vcpu, fp) == VCPU_FP, "switch.S");
_Static_assert(sizeof(struct vcpu_fp) == VCPU_FP_SIZE, "switch.S");
_Static_assert(offsetof(struct cpu, vcpu) == CPU_VCPU, "vectors.S");

/* The host's, of the registers that a guest runs with others of. */
/* clang-format off */
#define HOST_REGS(X) \
    X(hcr_el2) X(vttbr_el2) X(vtcr_el2) X(mdcr_el2) X(hstr_el2) X(vpidr_el2) X(vmpidr_el2) \
    X(cnthctl_el2) X(cntvoff_el2) X(ICH_HCR_EL2) X(ICC_SRE_EL2) X(ICC_PMR_EL1) X(ICC_IGRPEN1_EL1)
/* clang-format on */

struct host_context {
    struct vcpu_sys sys;
    struct vcpu_fp fp __attribute__((aligned(16)));
#define X(r) uint64_t r;
    HOST_REGS(X)
#undef X
    bool timer_enabled;
};
static struct host_context host_context[HV_CPUS];

/* ---- state ---- */

static void sys_save(struct vcpu_sys *s)
{
#define X(r) s->r = rd(r);
    VCPU_SYSREGS(X)
    if (hv.caps.pauth) {
        VCPU_PAUTHREGS(X)
    }
#undef X
}

static void sys_load(const struct vcpu_sys *s)
{
    wr(cntv_ctl_el0, 0); /* an old control must not meet a new comparison value */
#define X(r) wr(r, s->r);
    if (hv.caps.pauth) {
        VCPU_PAUTHREGS(X)
    }
    VCPU_SYSREGS(X)
#undef X
}

void vcpu_reset(struct vcpu *v, struct vm *vm, uint64_t entry, uint64_t x0)
{
    memset(v, 0, sizeof(*v));
    v->vm = vm;
    v->last_cpu = ~0u;
    v->cntvoff = rd(cntpct_el0);
    v->elr = entry;
    v->spsr = SPSR_EL1H_MASKED;
    v->x[0] = x0;
    v->sys.sctlr_el1 = SCTLR_RESET;
}

/* ---- the host's timer, kept while a guest runs ---- */

/* The interrupt controller is the host's. Would it signal EL2's timer on this CPU? Groups are on
 * (GICD_CTLR.EnableGrp1A), the redistributor is awake (GICR_WAKER.ChildrenAsleep), and no interrupt is
 * in service (ICC_RPR_EL1). Else a guest could keep the CPU for ever. */
static bool timer_reaches(void)
{
    return (mmio_read32(hv.gicd) & 2u) != 0 && (mmio_read32(this_cpu()->gicr + 0x14) & 4u) == 0 &&
           rd(ICC_RPR_EL1) == 0xff;
}

static volatile uint32_t *sgi_reg(uint64_t gicr, uint32_t offset)
{
    return (volatile uint32_t *)(gicr + 0x10000 + offset);
}

/*
 * EL2's timer takes over the host's deadline, and ends the run at `limit` ticks from now at the
 * latest. Both interrupts are level-sensitive: what is masked here is asserted again afterwards.
 */
static void timer_take_over(struct host_context *h, uint64_t limit)
{
    uint64_t gicr = this_cpu()->gicr;
    uint64_t deadline = rd(cntpct_el0) + limit;

    if ((h->sys.cntv_ctl_el0 & 3) == 1) { /* ENABLE, not IMASK */
        uint64_t due = h->sys.cntv_cval_el0 + h->cntvoff_el2;
        if (due < deadline) {
            deadline = due;
        }
    }
    wr(cnthp_cval_el2, deadline);
    wr(cnthp_ctl_el2, 1);
    /* The guest's virtual timer uses the host's interrupt number: silent while it runs. */
    h->timer_enabled = *sgi_reg(gicr, 0x100) >> TIMER_VIRT_PPI & 1;
    *sgi_reg(gicr, 0x180) = 1u << TIMER_VIRT_PPI; /* GICR_ICENABLER0 */
    /* Group 1, level-sensitive, the highest priority, not active: the host may have left it otherwise. */
    *sgi_reg(gicr, 0x80) |= 1u << TIMER_EL2_PPI;                /* GICR_IGROUPR0 */
    *sgi_reg(gicr, 0xc04) &= ~(2u << (TIMER_EL2_PPI - 16) * 2); /* GICR_ICFGR1 */
    *sgi_reg(gicr, 0x380) = 1u << TIMER_EL2_PPI;                /* GICR_ICACTIVER0 */
    *(volatile uint8_t *)(gicr + 0x10000 + 0x400 + TIMER_EL2_PPI) = 0;
    *sgi_reg(gicr, 0x100) = 1u << TIMER_EL2_PPI; /* GICR_ISENABLER0 */
}

static void timer_give_back(const struct host_context *h)
{
    uint64_t gicr = this_cpu()->gicr;

    wr(cnthp_ctl_el2, 0);
    isb();
    *sgi_reg(gicr, 0x180) = 1u << TIMER_EL2_PPI;
    if (h->timer_enabled) {
        *sgi_reg(gicr, 0x100) = 1u << TIMER_VIRT_PPI;
    }
}

/* ---- in and out ---- */

static void guest_load(struct vcpu *v, struct host_context *h)
{
    struct vm *vm = v->vm;
    uint32_t id = this_cpu()->id;
    uint64_t hcr = HCR_VM | HCR_SWIO | HCR_FMO | HCR_IMO | HCR_AMO | HCR_FB | HCR_BSU_INNER |
                   HCR_TWI | HCR_TID3 | HCR_TSC | HCR_TIDCP | HCR_TACR | HCR_TSW | HCR_RW;

    if (vm->cpu.pt.cfg.fwb) {
        hcr |= HCR_FWB;
    }

#define X(r) h->r = rd(r);
    HOST_REGS(X)
#undef X
    hcr |= h->hcr_el2 & HCR_AS_HOST;
    sys_save(&h->sys);
    vcpu_fp_save(&h->fp);

    wr(hcr_el2, hcr);
    wr(vtcr_el2, vm->walker.vtcr);
    wr(vttbr_el2, vm->walker.vttbr);
    wr(mdcr_el2, h->mdcr_el2 | MDCR_GUEST);
    wr(cnthctl_el2, 1); /* EL1PCTEN: the physical counter may be read, the physical timer traps */
    wr(cntvoff_el2, v->cntvoff);
    wr(vmpidr_el2, 1ull << 31);
    wr(hstr_el2, 0);
    wr(ICH_HCR_EL2, ICH_GUEST);
    wr(ICC_SRE_EL2, h->ICC_SRE_EL2 & ~8ull); /* Enable = 0: ICC_SRE_EL1 traps */
    /* Whatever the host has masked of its own, EL2's timer must end the run. */
    wr(ICC_PMR_EL1, 0xff);
    wr(ICC_IGRPEN1_EL1, 1);
    sys_load(&v->sys);
    vcpu_fp_load(&v->fp);
    isb();
    if (v->last_cpu != id) {
        /* Translations and instructions that this CPU kept from an earlier stay may be stale only
         * for this VMID's first stage: invalidations of the guest's own were not seen here. */
        __asm__ volatile("tlbi vmalle1\n\tic iallu\n\tdsb nsh\n\tisb" ::: "memory");
        v->last_cpu = id;
    }
}

static void guest_unload(struct vcpu *v, struct host_context *h)
{
    sys_save(&v->sys);
    vcpu_fp_save(&v->fp);
#define X(r) wr(r, h->r);
    HOST_REGS(X)
#undef X
    vcpu_fp_load(&h->fp);
    sys_load(&h->sys);
    isb();
}

/* ---- what a guest is told ---- */

/* An exception taken to the guest's EL1 (DDI0487 D1.3): from where it was, synchronous. */
static void inject(struct vcpu *v, uint64_t esr)
{
    uint64_t mode = v->spsr & 0x1f;
    uint64_t offset = mode == 5 ? 0x200 : mode == 4 ? 0 : mode & 0x10 ? 0x600 : 0x400;

    wr(elr_el1, v->elr);
    wr(spsr_el1, v->spsr);
    wr(esr_el1, esr);
    v->elr = rd(vbar_el1) + offset;
    v->spsr = SPSR_EL1H_MASKED;
}

static void inject_undef(struct vcpu *v)
{
    inject(v, 1ull << 25); /* EC 0, IL */
}

static void inject_abort(struct vcpu *v)
{
    bool lower = (v->spsr & 0xf) == 0 || (v->spsr & 0x10);
    uint64_t ec = v->abort_fetch ? (lower ? 0x20 : 0x21) : (lower ? 0x24 : 0x25);

    wr(far_el1, v->abort_far);
    inject(v, ec << 26 | 1ull << 25 | 0x10); /* synchronous external abort */
    v->abort_pending = false;
}

/* ---- what a guest does ---- */

/* A page in change: its converter is on another CPU and done in microseconds. Wait for it here, away
 * from its locks, but not for ever: the guest must come back to where interrupts reach it. */
static void wait_for_change(const struct gmem *gm)
{
    for (uint32_t i = 0; i < 2000 && gmem_changing(gm); i++) {
        port_relax();
    }
}

static bool guest_abort(struct vcpu *v, uint64_t esr, bool fetch, uint32_t *exit, uint64_t *value)
{
    uint64_t far = rd(far_el2), ipa = fault_ipa(esr, far, rd(hpfar_el2));
    uint32_t access = PT_READ, status = esr & 0x3f;
    int err;

    if (status == 0x30) { /* TLB conflict: what BBM level 2 may bring (D8.16.1.2) */
        __asm__ volatile("tlbi vmalls12e1\n\tdsb nsh\n\tisb" ::: "memory");
        return false;
    }
    if ((status & 0x30) != 0 ||
        (status & 0xc) == 0) { /* not translation, access flag, permission */
        v->abort_pending = true;
        v->abort_fetch = fetch;
        v->abort_far = far;
        inject_abort(v);
        return false;
    }
    if (esr & 1u << 7) { /* S1PTW: a walk reads; a walk that updates a flag also writes */
        access = (status & 0xc) == 0xc ? PT_READ | PT_WRITE : PT_READ;
    } else if (fetch) {
        access = PT_EXEC;
    } else if ((esr & 1u << 6) && !(esr & 1u << 8)) { /* WnR, not cache maintenance */
        access = PT_WRITE;
    }
    __atomic_fetch_add(&v->vm->faults, 1, __ATOMIC_RELAXED);
    err = space_fault(&v->vm->cpu, ipa, access);
    if (err == -EAGAIN) {
        wait_for_change(&v->vm->gm);
    }
    if (err == 0 || err == -EAGAIN) {
        return false;
    }
    *exit = TN_EXIT_FAULT;
    *value = ipa;
    if (err != -ENOMEM) { /* no table page: it may simply try again later */
        v->abort_pending = true;
        v->abort_fetch = fetch;
        v->abort_far = far;
    }
    return true;
}

static void guest_sysreg(struct vcpu *v, uint64_t esr)
{
    uint32_t op0 = esr >> 20 & 3, op2 = esr >> 17 & 7, op1 = esr >> 14 & 7, crn = esr >> 10 & 15;
    uint32_t rt = esr >> 5 & 31, crm = esr >> 1 & 15;
    bool read = esr & 1;
    uint64_t val = 0;

    if (op0 == 3 && op1 == 0 && crn == 0 && read) {
        val = idreg_visible(crm, op2);
    } else if (op0 == 3 && op1 == 0 && crn == 1 && crm == 0 && op2 == 1) {
        val = 0; /* ACTLR_EL1: reads zero, writes ignored */
    } else if (op0 == 2 && op1 == 0) {
        /* Debug: hidden behind zeros, the OS lock implemented and open (OSLSR_EL1.OSLM = 0b10). */
        val = crn == 1 && crm == 1 && op2 == 4 ? 8 : 0;
    } else if (op0 == 1 && crn == 7 && op2 == 2 && !read) {
        val = 0; /* set/way: guest memory is coherent for all who see it */
    } else {
        inject_undef(v);
        return;
    }
    if (read && rt != 31) {
        v->x[rt] = val;
    }
    v->elr += 4;
}

/* True: leave to the owner. */
static bool guest_sync(struct vcpu *v, uint32_t *exit, uint64_t *value)
{
    uint64_t esr = rd(esr_el2);

    switch (esr >> 26 & 0x3f) {
    case 0x01: /* WFI */
        v->elr += 4;
        *exit = TN_EXIT_INTERRUPTED;
        *value = 1;
        return true;
    case 0x16: /* HVC: the return address is already behind it */
        return hvc_guest(v, false, exit, value);
    case 0x17: /* SMC, trapped before it executes */
        v->elr += 4;
        return hvc_guest(v, true, exit, value);
    case 0x18:
        guest_sysreg(v, esr);
        return false;
    case 0x20:
        return guest_abort(v, esr, true, exit, value);
    case 0x24:
        return guest_abort(v, esr, false, exit, value);
    case 0x03: /* AArch32 system registers at EL0, FP, pointer authentication, SVE, SME, ... */
    case 0x04:
    case 0x05:
    case 0x06:
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0c:
    case 0x19:
    case 0x1d:
        inject_undef(v);
        return false;
    default:
        *exit = TN_EXIT_UNHANDLED;
        *value = esr;
        return true;
    }
}

int vcpu_run(struct vcpu *v, uint64_t limit_us, uint32_t *exit, uint64_t *value)
{
    struct cpu *cpu = this_cpu();
    struct host_context *h = &host_context[cpu->id];
    bool leave = false;

    if (!timer_reaches()) {
        return -EOPNOTSUPP;
    }
    if (__atomic_exchange_n(&v->claimed, 1, __ATOMIC_ACQUIRE)) {
        return -EBUSY;
    }
    if (limit_us == 0) {
        limit_us = RUN_DEFAULT_US;
    }
    if (limit_us > RUN_MAX_US) {
        limit_us = RUN_MAX_US;
    }
    *exit = TN_EXIT_INTERRUPTED;
    *value = 0;

    guest_load(v, h);
    timer_take_over(h, limit_us * rd(cntfrq_el0) / 1000000);
    cpu->vcpu = v;
    if (v->abort_pending) {
        inject_abort(v);
    }
    while (!leave) {
        uint64_t trap = vcpu_enter(v);

        v->exits++;
        if (trap == VCPU_TRAP_SYNC) {
            leave = guest_sync(v, exit, value);
        } else if (trap == VCPU_TRAP_IRQ) {
            leave = true; /* not acknowledged: the host takes it when this call returns */
        } else {
            *exit = TN_EXIT_UNHANDLED;
            *value = rd(esr_el2);
            port_log("vm %u: SError, ESR %lx", v->vm->id, *value);
            leave = true;
        }
    }
    cpu->vcpu = NULL;
    guest_unload(v, h);
    timer_give_back(h);
    __atomic_store_n(&v->claimed, 0, __ATOMIC_RELEASE);
    return 0;
}
