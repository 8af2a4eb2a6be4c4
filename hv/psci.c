/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's SMCs (HCR_EL2.TSC): PSCI 1.1 (DEN0022) for its CPUs and power, the version calls of
 * SMCCC (DEN0028), and NOT_SUPPORTED for all else. Nothing of the host reaches the firmware but
 * through here.
 */
#include "boot.h"

#define PSCI_VERSION           0x84000000u
#define PSCI_CPU_SUSPEND       0x84000001u
#define PSCI_CPU_OFF           0x84000002u
#define PSCI_CPU_ON            0x84000003u
#define PSCI_AFFINITY_INFO     0x84000004u
#define PSCI_MIGRATE_INFO_TYPE 0x84000006u
#define PSCI_SYSTEM_OFF        0x84000008u
#define PSCI_SYSTEM_RESET      0x84000009u
#define PSCI_FEATURES          0x8400000au
#define SMCCC_VERSION          0x80000000u
#define SMCCC_ARCH_FEATURES    0x80000001u
#define SMC64                  0x40000000u

#define NOT_SUPPORTED      (-1)
#define INVALID_PARAMETERS (-2)
#define DENIED             (-3)
#define ALREADY_ON         (-4)
#define INVALID_ADDRESS    (-9)

#define MPIDR_AFFINITY 0xff00fffffful

static struct port_lock lock; /* cpu->online, entry, context of CPUs being started */

_Noreturn void psci_system(bool off)
{
    smc_call(off ? PSCI_SYSTEM_OFF : PSCI_SYSTEM_RESET, 0, 0, 0);
    for (;;) {
        __asm__ volatile("wfe");
    }
}

static struct cpu *cpu_of(uint64_t mpidr)
{
    for (uint32_t i = 0; i < hv.cpus; i++) {
        if (hv.cpu[i].mpidr == (mpidr & MPIDR_AFFINITY)) {
            return &hv.cpu[i];
        }
    }
    return NULL;
}

static int64_t cpu_on(uint64_t target, uint64_t entry, uint64_t context)
{
    struct cpu *c = cpu_of(target);
    int64_t ret;

    if (c == NULL || (target & ~(uint64_t)MPIDR_AFFINITY) != 0) {
        return INVALID_PARAMETERS;
    }
    if ((entry & 3) != 0 || entry < hv.host_base || entry - hv.host_base >= hv.host_size) {
        return INVALID_ADDRESS;
    }
    port_lock(&lock);
    if (c->online) {
        ret = ALREADY_ON;
    } else {
        c->entry = entry;
        c->context = context;
        /* It starts with its caches off: what it reads before the MMU is on must be in memory. */
        port_clean(c, sizeof(*c));
        ret = (int64_t)smc_call(PSCI_CPU_ON | SMC64, c->mpidr, (uint64_t)cpu_entry, (uint64_t)c);
        c->online = ret == 0;
    }
    port_unlock(&lock);
    return ret;
}

static int64_t cpu_off(void)
{
    struct cpu *c = this_cpu();

    port_lock(&lock);
    c->online = false;
    port_unlock(&lock);
    /* A CPU_ON that comes before the firmware is done gets the firmware's ALREADY_ON. */
    smc_call(PSCI_CPU_OFF, 0, 0, 0);
    port_lock(&lock);
    c->online = true;
    port_unlock(&lock);
    return DENIED;
}

static int64_t affinity_info(uint64_t target, uint64_t level)
{
    struct cpu *c = cpu_of(target);

    if (level != 0 || c == NULL || (target & ~(uint64_t)MPIDR_AFFINITY) != 0) {
        return INVALID_PARAMETERS;
    }
    return (int64_t)smc_call(PSCI_AFFINITY_INFO | SMC64, c->mpidr, 0, 0);
}

static int64_t features(uint32_t fn)
{
    static const uint32_t known[] = {
        PSCI_VERSION,           PSCI_CPU_SUSPEND,  PSCI_CPU_SUSPEND | SMC64,
        PSCI_CPU_OFF,           PSCI_CPU_ON,       PSCI_CPU_ON | SMC64,
        PSCI_AFFINITY_INFO,     PSCI_SYSTEM_OFF,   PSCI_AFFINITY_INFO | SMC64,
        PSCI_MIGRATE_INFO_TYPE, PSCI_SYSTEM_RESET, PSCI_FEATURES,
        SMCCC_VERSION,
    };

    for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i] == fn) {
            return 0;
        }
    }
    return NOT_SUPPORTED;
}

static int64_t answer(uint32_t fn, const struct regs *r)
{
    bool wide = (fn & SMC64) != 0;
    uint64_t a = wide ? r->x[1] : (uint32_t)r->x[1];
    uint64_t b = wide ? r->x[2] : (uint32_t)r->x[2];
    uint64_t c = wide ? r->x[3] : (uint32_t)r->x[3];

    switch (fn) {
    case PSCI_VERSION:
        return 0x10001;
    case PSCI_CPU_ON:
    case PSCI_CPU_ON | SMC64:
        return cpu_on(a, b, c);
    case PSCI_CPU_OFF:
        return cpu_off();
    case PSCI_CPU_SUSPEND:
    case PSCI_CPU_SUSPEND | SMC64:
        /* Every state is served as a standby: an interrupt of the host ends it, masked or not. */
        __asm__ volatile("dsb sy\n\twfi" ::: "memory");
        return 0;
    case PSCI_AFFINITY_INFO:
    case PSCI_AFFINITY_INFO | SMC64:
        return affinity_info(a, b);
    case PSCI_MIGRATE_INFO_TYPE:
        return 2; /* no trusted OS that would have to migrate */
    case PSCI_FEATURES:
        return features((uint32_t)a);
    case SMCCC_VERSION:
        return 0x10001;
    case SMCCC_ARCH_FEATURES:
        return a == SMCCC_VERSION || a == SMCCC_ARCH_FEATURES ? 0 : NOT_SUPPORTED;
    case PSCI_SYSTEM_OFF:
    case PSCI_SYSTEM_RESET:
        port_log("host: system %s", fn == PSCI_SYSTEM_OFF ? "off" : "reset");
        psci_system(fn == PSCI_SYSTEM_OFF);
    default:
        return NOT_SUPPORTED;
    }
}

void host_smc(struct regs *r)
{
    r->x[0] = (uint64_t)answer((uint32_t)r->x[0], r);
}
