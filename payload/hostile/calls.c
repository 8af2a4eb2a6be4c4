/* SPDX-License-Identifier: BSD-2-Clause */
/* SMC and HVC: PSCI (DEN0022) with arguments that must be refused, then anything at all. */
#include "hostile.h"

#define SMC64 0x40000000u
enum { CPU_SUSPEND = 1, CPU_OFF, CPU_ON, AFFINITY_INFO, SYSTEM_OFF = 8, SYSTEM_RESET, FEATURES };
#define PSCI(n)            (0x84000000u + (n))
#define PSCI64(n)          (PSCI(n) | SMC64)
#define INVALID_PARAMETERS ((uint64_t)-2)
#define ALREADY_ON         ((uint64_t)-4)
#define INVALID_ADDRESS    ((uint64_t)-9)

static void on(const char *name, uint64_t cpu, uint64_t entry, uint64_t want, uint64_t or_want)
{
    uint64_t r = call_smc(PSCI64(CPU_ON), cpu, entry, 0);

    check(r == want || r == or_want, name, "PSCI answered minus", (uint64_t)0 - r);
}

void try_psci(void)
{
    on("CPU_ON into EL2's memory is refused", 1, EL2_RAM + 0x200000, INVALID_ADDRESS,
       INVALID_PARAMETERS);
    on("CPU_ON into the pool is refused", 1, POOL, INVALID_ADDRESS, INVALID_PARAMETERS);
    on("CPU_ON at an odd address is refused", 1, 0x50000001, INVALID_ADDRESS, INVALID_PARAMETERS);
    on("CPU_ON of no CPU is refused", 77, 0x50000000, INVALID_PARAMETERS, INVALID_PARAMETERS);
    on("CPU_ON of this CPU is refused", 0, 0x50000000, ALREADY_ON, ALREADY_ON);
}

void try_calls(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint32_t fn = below(2) ? PSCI((uint32_t)below(0x40)) : (uint32_t)rnd();
        uint32_t plain;

        fn |= below(2) ? SMC64 : 0;
        plain = fn & ~SMC64;
        if (plain == PSCI(CPU_SUSPEND) || plain == PSCI(CPU_OFF) || plain == PSCI(CPU_ON) ||
            plain == PSCI(SYSTEM_OFF) || plain == PSCI(SYSTEM_RESET)) {
            continue; /* these would work */
        }
        (void)call_smc(fn | (below(4) ? 0 : rnd() << 32), pick(), pick(), pick());
        (void)call_hvc(rnd(), rnd(), rnd(), rnd());
    }
    survived("random SMC and HVC are answered");
}
