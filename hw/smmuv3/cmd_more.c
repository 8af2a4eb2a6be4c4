/* SPDX-License-Identifier: BSD-2-Clause */
/* Command encoders (IHI0070 chapter 4) that EL2 does not link: PASIDs, stall. */
#include <hw/smmuv3/desc.h>
#include <hw/smmuv3/regs.h>

#define VMID(v) ((uint64_t)(v) << 32)
#define SID(s)  ((uint64_t)(s) << 32)
#define LEAF    1u

struct cmd cmd_cfgi_cd(uint32_t sid, uint32_t ssid, bool leaf)
{
    return (struct cmd){ { CMD_CFGI_CD | SID(sid) | (uint64_t)(ssid & 0xfffffu) << 12,
                           leaf ? LEAF : 0u } };
}

struct cmd cmd_tlbi_nh_all(uint16_t vmid)
{
    return (struct cmd){ { CMD_TLBI_NH_ALL | VMID(vmid), 0 } };
}

struct cmd cmd_resume(uint32_t sid, uint16_t stag, bool retry)
{
    /* Ab [13] with Ac [12] = 0: abort. Ac = 1: retry. */
    return (struct cmd){ { CMD_RESUME | (retry ? 1ull << 12 : 1ull << 13) | SID(sid), stag } };
}
