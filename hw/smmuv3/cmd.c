/* SPDX-License-Identifier: BSD-2-Clause */
/* Command encoders (IHI0070 chapter 4), and a range as a short list of invalidations. */
#include <hw/smmuv3/desc.h>
#include <hw/smmuv3/regs.h>
#include <tenon/port.h>

#define VMID(v) ((uint64_t)(v) << 32)
#define ASID(a) ((uint64_t)(a) << 48)
#define SID(s)  ((uint64_t)(s) << 32)
#define LEAF    1u
#define TTL(l)  ((uint64_t)(l) << 8)
#define TG_4K   (1ull << 10)

struct cmd cmd_cfgi_ste(uint32_t sid, bool leaf)
{
    return (struct cmd){ { CMD_CFGI_STE | SID(sid), leaf ? LEAF : 0u } };
}

struct cmd cmd_cfgi_ste_range(uint32_t sid, unsigned log2)
{
    return (struct cmd){ { CMD_CFGI_STE_RANGE | SID(sid), (log2 - 1u) & 0x1fu } };
}

struct cmd cmd_cfgi_all(void)
{
    return cmd_cfgi_ste_range(0, 32);
}

struct cmd cmd_tlbi_nsnh_all(void)
{
    return (struct cmd){ { CMD_TLBI_NSNH_ALL, 0 } };
}

struct cmd cmd_tlbi_el2_all(void)
{
    return (struct cmd){ { CMD_TLBI_EL2_ALL, 0 } };
}

struct cmd cmd_sync(void)
{
    /* CS = 0: no signal; CONS passing it is the completion. */
    return (struct cmd){ { CMD_SYNC, 0 } };
}

struct cmd cmd_tlbi_addr(const struct tlbi_scope *t, uint64_t ia, unsigned num, unsigned scale,
                         unsigned ttl, bool range, bool leaf)
{
    struct cmd c;
    c.w[0] = (t->stage1 ? CMD_TLBI_NH_VA | ASID(t->asid) : CMD_TLBI_S2_IPA) | VMID(t->vmid);
    c.w[1] = (ia & ~(PAGE_SIZE - 1u)) | (leaf ? LEAF : 0u);
    if (range) {
        c.w[0] |= (uint64_t)num << 12 | (uint64_t)scale << 20;
        c.w[1] |= TTL(ttl) | TG_4K;
    }
    return c;
}

/* log2 of the bytes under a leaf of this level, 4K granule. */
static unsigned level_shift(unsigned level)
{
    return 12u + 9u * (3u - level);
}

unsigned tlbi_commands(const struct tlbi_scope *t, const struct pt_inv *r, struct cmd *out,
                       unsigned max)
{
    /* A hint is legal only if nothing but leaves of that level went. Level 0 has no leaves here, and
     * its TTL code means "any level". */
    unsigned ttl = !r->tables && r->level >= 1u && r->level <= 3u ? r->level : 0u;
    unsigned shift = level_shift(ttl != 0 ? ttl : 3u);
    uint64_t first = r->ia >> shift << shift, last = r->last | (BIT64(shift) - 1u);
    uint64_t left = ((last - first) >> 12) + 1u;
    unsigned n = 0;
    if (!t->range) {
        /* One command per leaf that may be there; any level is dropped, so a leaf needs only one. */
        uint64_t leaves = ((last - first) >> shift) + 1u;
        if (leaves > max) {
            return 0;
        }
        for (; n < leaves; n++) {
            out[n] = cmd_tlbi_addr(t, first + ((uint64_t)n << shift), 0, 0, 0, false, !r->tables);
        }
        return n;
    }
    /* (NUM + 1) << SCALE pages each, NUM of five bits: smallest scale first, exact at each step. */
    for (uint64_t ia = first; left != 0;) {
        unsigned scale = (unsigned)__builtin_ctzll(left);
        if (scale > 31u) {
            scale = 31u;
        }
        uint64_t count = (left >> scale) & 0x1fu;
        if (count == 0) {
            count = 0x20u; /* only at scale 31, which the address sizes never reach */
        }
        if (n == max) {
            return 0;
        }
        /* NUM = SCALE = TTL = 0 with a granule is reserved (4.4.1.1): the plain form says it. */
        bool range = !(count == 1u && scale == 0 && ttl == 0);
        out[n++] = cmd_tlbi_addr(t, ia, (unsigned)count - 1u, scale, ttl, range, !r->tables);
        ia += count << (scale + 12u);
        left -= count << scale;
    }
    return n;
}

struct cmd tlbi_everything(const struct tlbi_scope *t)
{
    return t->stage1 ? cmd_tlbi_nh_asid(t->vmid, t->asid) : cmd_tlbi_s12_vmall(t->vmid);
}

struct cmd cmd_tlbi_s12_vmall(uint16_t vmid)
{
    return (struct cmd){ { CMD_TLBI_S12_VMALL | VMID(vmid), 0 } };
}

struct cmd cmd_tlbi_nh_asid(uint16_t vmid, uint16_t asid)
{
    return (struct cmd){ { CMD_TLBI_NH_ASID | VMID(vmid) | ASID(asid), 0 } };
}
