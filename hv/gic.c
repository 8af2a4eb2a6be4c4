/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GICv3 (IHI0069) is the host's, but for the addresses it is given: the first page of each
 * redistributor is trapped, because GICR_PROPBASER and GICR_PENDBASER make it a bus master that no
 * SMMU sees. The tables take effect when the host sets GICR_CTLR.EnableLPIs: then their whole extent
 * must be the host's, and is pinned until EnableLPIs is clear again. Until then the hardware holds
 * only the attributes (the host reads back which of them stick), with address 0.
 */
#include "boot.h"

#define RD_SIZE   0x20000ul /* RD_base and SGI_base, 64 KiB each */
#define VLPI_SIZE 0x20000ul

#define GICD_TYPER       0x4u
#define GICR_CTLR        0x0u
#define GICR_TYPER       0x8u
#define GICR_PROPBASER   0x70u
#define GICR_PENDBASER   0x78u
#define TYPER_VLPIS      (1ul << 1)
#define TYPER_LAST       (1ul << 4)
#define CTLR_ENABLE_LPIS 1u
#define PROP_ADDR        0x000ffffffffff000ul
#define PEND_ADDR        0x000fffffffff0000ul
#define IDBITS           0x1ful

struct redist {
    uint64_t base;
    uint64_t prop, pend;             /* as the host wrote them */
    uint64_t prop_pages, pend_pages; /* pinned now */
    uint64_t prop_pa, pend_pa;
};
static struct redist redist[HV_CPUS];
static uint32_t count;
static uint64_t stride;
static unsigned max_idbits; /* GICD_TYPER.IDbits: one less than the number of INTID bits */
static struct port_lock lock;

bool gic_is_redist(uint64_t pa)
{
    for (uint32_t i = 0; i < count; i++) {
        if (redist[i].base == pa) {
            return true;
        }
    }
    return false;
}

uint32_t gic_redists(void)
{
    return count;
}

static uint64_t pages_of(uint64_t bytes)
{
    return (bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

static void unpin_tables(struct redist *r)
{
    if (r->prop_pages != 0) {
        (void)frames_unpin(r->prop_pa, r->prop_pages, OWNER_HOST);
        (void)frames_unpin(r->pend_pa, r->pend_pages, OWNER_HOST);
        r->prop_pages = 0;
        r->pend_pages = 0;
    }
}

/* Both tables, from their base to the last LPI that PROPBASER.IDbits admits. */
static int pin_tables(struct redist *r)
{
    unsigned bits = (unsigned)(r->prop & IDBITS) + 1;

    if (bits < 14 || bits > max_idbits + 1) {
        return -EINVAL; /* LPIs start at 8192 */
    }
    uint64_t prop = pages_of((1ul << bits) - 8192), pend = pages_of((1ul << bits) / 8);
    int err = frames_pin(r->prop & PROP_ADDR, prop, OWNER_HOST);

    if (err != 0) {
        return err;
    }
    err = frames_pin(r->pend & PEND_ADDR, pend, OWNER_HOST);
    if (err != 0) {
        (void)frames_unpin(r->prop & PROP_ADDR, prop, OWNER_HOST);
        return err;
    }
    r->prop_pa = r->prop & PROP_ADDR;
    r->prop_pages = prop;
    r->pend_pa = r->pend & PEND_ADDR;
    r->pend_pages = pend;
    return 0;
}

static void write_ctlr(struct redist *r, uint32_t v)
{
    bool was = (mmio_read32(r->base + GICR_CTLR) & CTLR_ENABLE_LPIS) != 0;
    bool is = (v & CTLR_ENABLE_LPIS) != 0;

    if (!was && is) {
        unpin_tables(r); /* of an enabling that the hardware did not take */
        int err = pin_tables(r);

        if (err != 0) {
            port_log("GICR %lx: LPI tables %lx, %lx refused: error %u", r->base, r->prop, r->pend,
                     (uint32_t)-err);
            return;
        }
        mmio_write64(r->base + GICR_PROPBASER, r->prop);
        mmio_write64(r->base + GICR_PENDBASER, r->pend);
    }
    mmio_write32(r->base + GICR_CTLR, v);
    if (was && !is && (mmio_read32(r->base + GICR_CTLR) & CTLR_ENABLE_LPIS) == 0) {
        /* RWP (bit 3): the hardware is done with the tables. Bounded; pinned for good if not. */
        uint64_t until = port_now() + 100000000ul;

        while ((mmio_read32(r->base + GICR_CTLR) & 8u) != 0) {
            if (port_now() > until) {
                port_log("GICR %lx: does not let go of its LPI tables", r->base);
                return;
            }
        }
        mmio_write64(r->base + GICR_PROPBASER, r->prop & ~PROP_ADDR);
        mmio_write64(r->base + GICR_PENDBASER, r->pend & ~PEND_ADDR);
        unpin_tables(r);
    }
}

/* 64-bit registers with an address: while LPIs are on, and by halves, they are not written. */
static void write_base(struct redist *r, uint64_t *shadow, uint64_t reg, uint64_t addr, uint64_t v,
                       unsigned size)
{
    if (size != 8 || (mmio_read32(r->base + GICR_CTLR) & CTLR_ENABLE_LPIS) != 0) {
        if (log_may()) {
            port_log("GICR %lx: write of %lx to %s refused: %s", r->base, v,
                     reg == GICR_PROPBASER ? "PROPBASER" : "PENDBASER",
                     size != 8 ? "half of it" : "LPIs are enabled");
        }
        return;
    }
    mmio_write64(r->base + reg, v & ~addr);
    *shadow = v;
}

static uint64_t read_base(const struct redist *r, uint64_t reg, uint64_t shadow, uint64_t addr)
{
    return (mmio_read64(r->base + reg) & ~addr) | (shadow & addr);
}

static int rd_page(struct redist *r, uint64_t off, bool write, unsigned size, uint64_t *val)
{
    uint64_t reg = off & ~7ul;
    unsigned shift = (unsigned)(off & 7) * 8;

    if (size != 4 && size != 8) {
        return -EINVAL;
    }
    if (!write) {
        if (reg == GICR_PROPBASER) {
            *val = read_base(r, reg, r->prop, PROP_ADDR) >> shift;
        } else if (reg == GICR_PENDBASER) {
            *val = read_base(r, reg, r->pend, PEND_ADDR) >> shift;
        } else {
            *val = size == 8 ? mmio_read64(r->base + off) : mmio_read32(r->base + off);
        }
        return 0;
    }
    if (reg == GICR_PROPBASER) {
        write_base(r, &r->prop, reg, PROP_ADDR, *val, size);
    } else if (reg == GICR_PENDBASER) {
        write_base(r, &r->pend, reg, PEND_ADDR, *val, size);
    } else if (off == GICR_CTLR) {
        write_ctlr(r, (uint32_t)*val);
    } else if (size == 8) {
        mmio_write64(r->base + off, *val);
    } else {
        mmio_write32(r->base + off, (uint32_t)*val);
    }
    return 0;
}

static int host_gicr(uint64_t off, bool write, unsigned size, uint64_t *val)
{
    uint64_t i = off / stride, in = off % stride;
    int err = 0;

    if (i >= count || (in & (size - 1)) != 0) {
        return -EFAULT;
    }
    if (in >= PAGE_SIZE) {
        *val = 0; /* virtual LPIs are not for the host: reads as zero, ignores writes */
        return in >= RD_SIZE ? 0 : -EFAULT;
    }
    port_lock(&lock);
    err = rd_page(&redist[i], in, write, size, val);
    port_unlock(&lock);
    return err;
}

void gic_init(void)
{
    uint64_t rd = hv.gicr, last = 0;

    mmu_map_device(hv.gicd, dt.gicd_size);
    mmu_map_device(hv.gicr, hv.gicr_size);
    max_idbits = mmio_read32(hv.gicd + GICD_TYPER) >> 19 & 31;
    stride = dt.gicr_stride;
    if (stride == 0) {
        stride = RD_SIZE + ((mmio_read64(rd + GICR_TYPER) & TYPER_VLPIS) != 0 ? VLPI_SIZE : 0);
    }
    dt_allow(hv.gicd, dt.gicd_size, "GICD");
    for (; (last & TYPER_LAST) == 0 && rd + stride <= hv.gicr + hv.gicr_size; rd += stride) {
        if (count == HV_CPUS) {
            port_log("GIC: more redistributors than CPUs are used");
            break;
        }
        last = mmio_read64(rd + GICR_TYPER);
        redist[count++].base = rd;
        for (uint32_t i = 0; i < hv.cpus; i++) {
            uint64_t mpidr = hv.cpu[i].mpidr; /* GICR_TYPER[63:32]: Aff3 to Aff0 side by side */

            if (last >> 32 == ((mpidr & 0xffffffu) | mpidr >> 32 << 24)) {
                hv.cpu[i].gicr = rd;
            }
        }
        /* As the last boot may have left them. EnableLPIs may be impossible to clear. */
        if ((mmio_read32(rd + GICR_CTLR) & CTLR_ENABLE_LPIS) != 0) {
            mmio_write32(rd + GICR_CTLR, 0);
        }
        if ((mmio_read32(rd + GICR_CTLR) & CTLR_ENABLE_LPIS) != 0) {
            port_panic("GIC: LPIs are on at boot, with tables of somebody else's");
        }
        dt_allow(rd + PAGE_SIZE, RD_SIZE - PAGE_SIZE, "GICR");
    }
    for (uint32_t i = 0; i < hv.cpus; i++) {
        if (hv.cpu[i].gicr == 0) {
            port_panic("GIC: a CPU without a redistributor");
        }
    }
    if (host_mmio_register(hv.gicr, count * stride, host_gicr, "GICR") != 0) {
        port_panic("GIC: no room for the trap");
    }
    port_log("GIC: %u redistributors from %lx, INTIDs of %u bits", count, hv.gicr, max_idbits + 1);
}
