/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ITS (IHI0069 chapter 5, registers 12.20) is a bus master too: its tables and its command queue
 * are EL2's memory. The host sees registers that look like an ITS with flat tables: what it writes
 * to GITS_BASERn goes no further, and its commands are copied once, checked, and put into the real
 * queue one by one. The one address left to the host is a device's interrupt translation table
 * (MAPD): its frames must be the host's, and stay pinned until it is unmapped.
 */
#include "boot.h"

#define GITS_CTLR    0x0u
#define GITS_TYPER   0x8u
#define GITS_CBASER  0x80u
#define GITS_CWRITER 0x88u
#define GITS_CREADR  0x90u
#define GITS_BASER   0x100u
#define GITS_IDREGS  0xffd0u
#define BASERS       8u

#define CTLR_ENABLED     1u
#define CTLR_QUIESCENT   (1u << 31)
#define VALID            (1ul << 63)
#define BASER_INDIRECT   (1ul << 62)
#define BASER_TYPE(v)    ((unsigned)((v) >> 56) & 7u)
#define BASER_ENTRY(v)   (((v) >> 48 & 31u) + 1)
#define BASER_RO         (7ul << 56 | 31ul << 48 | BASER_INDIRECT)
#define TYPE_DEVICES     1u
#define TYPE_COLLECTIONS 4u
#define INNER_WB         (7ul << 59) /* RaWaWb */
#define SHARED           (1ul << 10) /* inner shareable */
#define STALLED          1u
#define RETRY            1u
/* GITS_TYPER: Virtual, CCT, VMOVP, VMAPP, VSGI, SVPET are of virtual LPIs or of no use here. */
#define TYPER_HIDDEN       (1ul << 1 | 1ul << 37 | 0xful << 38 | 3ul << 41)
#define TYPER_PTA          (1ul << 19)
#define TYPER_DEVBITS(v)   (((unsigned)((v) >> 13) & 31u) + 1)
#define TYPER_ITT_ENTRY(v) (((v) >> 4 & 15u) + 1)

#define QUEUE_ADDR    0x000ffffffffff000ul /* CBASER[51:12] */
#define QUEUE_BYTES   0x10000u
#define CMD_BYTES     32u
#define CMDS_PER_TRAP 256u /* the host's next access goes on: bounds the time in EL2 */
#define DEVICES_MAX   128u
#define TABLE_MAX     (1ul << 20) /* bytes of one real table */
#define WAIT_NS       200000000ul

#define CMD_SYNC 0x05u
#define CMD_MAPD 0x08u
#define CMD_MAPC 0x09u
#define COMMANDS 0x10u
/* What to check of each command (5.3); 0: not let through (virtual LPIs have numbers above these). */
enum { KNOWN = 1, DEVICE = 2, OWN = 4, ICID = 8, RD2 = 16, RD3 = 32 };
static const uint8_t command_checks[COMMANDS] = {
    [0x01] = KNOWN | DEVICE | OWN | ICID, /* MOVI */
    [0x03] = KNOWN | DEVICE | OWN,        /* INT */
    [0x04] = KNOWN | DEVICE,              /* CLEAR */
    [CMD_SYNC] = KNOWN | RD2,
    [CMD_MAPD] = KNOWN,
    [CMD_MAPC] = KNOWN | ICID | RD2,
    [0x0a] = KNOWN | DEVICE | OWN | ICID, /* MAPTI */
    [0x0b] = KNOWN | DEVICE | OWN | ICID, /* MAPI */
    [0x0c] = KNOWN | DEVICE | OWN,        /* INV */
    [0x0d] = KNOWN | ICID,                /* INVALL */
    [0x0e] = KNOWN | RD2 | RD3,           /* MOVALL */
    [0x0f] = KNOWN | DEVICE,              /* DISCARD */
};

struct its_device { /* a mapped ITT */
    bool used;
    uint32_t id;
    uint64_t pa, pages;
};
static struct {
    struct port_lock lock;
    uint64_t base, typer;
    bool failed;
    uint64_t queue, write;         /* the real queue; next byte to write */
    uint64_t devices, collections; /* how many the real tables hold */
    /* what the host has written */
    uint64_t baser[BASERS], cbaser, cwriter, creadr;
    bool enabled;
    struct its_device device[DEVICES_MAX];
} its;

/* GITS_BASER.Page_Size: 4, 16 or 64 KiB. */
static unsigned page_shift(uint64_t baser)
{
    unsigned v = baser >> 8 & 3;

    return v == 0 ? 12 : v == 1 ? 14 : 16;
}

/* The real registers. */
#define read32(reg)     mmio_read32(its.base + (reg))
#define read64(reg)     mmio_read64(its.base + (reg))
#define write32(reg, v) mmio_write32(its.base + (reg), v)
#define write64(reg, v) mmio_write64(its.base + (reg), v)

/* ---- the real ITS ---- */

/* Returns when the ITS has taken every command. A stalled one is replaced by a harmless one. */
static int drain(void)
{
    uint64_t until = port_now() + WAIT_NS;

    while (!its.failed) {
        uint64_t at = read64(GITS_CREADR);

        if ((at & 0xfffe0u) == its.write) {
            return 0;
        }
        if ((at & STALLED) != 0) {
            uint64_t *cmd = (uint64_t *)(its.queue + (at & 0xffe0u));

            port_log("ITS: command %lx %lx %lx stalled: dropped", cmd[0], cmd[1], cmd[2]);
            cmd[0] = CMD_SYNC;
            cmd[1] = 0;
            cmd[2] = (its.typer & TYPER_PTA) != 0 ? hv.gicr : 0;
            port_clean(cmd, CMD_BYTES);
            write64(GITS_CWRITER, its.write | RETRY);
        }
        if (port_now() > until) {
            its.failed = true;
            port_log("ITS: takes no commands any more");
        }
        port_relax();
    }
    return -ETIMEDOUT;
}

static int put_real(const uint64_t cmd[4])
{
    uint64_t *slot = (uint64_t *)(its.queue + its.write);

    for (unsigned i = 0; i < 4; i++) {
        slot[i] = cmd[i];
    }
    port_clean(slot, CMD_BYTES);
    its.write = (its.write + CMD_BYTES) % QUEUE_BYTES;
    write64(GITS_CWRITER, its.write);
    return drain();
}

/* Nothing of an ITT that was just unmapped is in use when this has come through. */
static int sync_real(void)
{
    uint64_t cmd[4] = { CMD_SYNC, 0, (its.typer & TYPER_PTA) != 0 ? hv.gicr : 0, 0 };

    return put_real(cmd);
}

/* ---- the host's commands ---- */

static struct its_device *device_of(uint32_t id)
{
    for (uint32_t i = 0; i < DEVICES_MAX; i++) {
        if (its.device[i].used && its.device[i].id == id) {
            return &its.device[i];
        }
    }
    return NULL;
}

/* PCI devices: DeviceID is the requester id (msi-map of the device tree is the identity here). */
static bool of_a_vm(uint32_t id)
{
    struct pci_func f;

    return dt.has_pci && pci_find(id, &f) && f.taken;
}

static bool redist_ok(uint64_t dw2)
{
    uint64_t rd = dw2 >> 16 & ((1ul << 35) - 1);

    return (its.typer & TYPER_PTA) != 0 ? gic_is_redist(rd << 16) : rd < gic_redists();
}

static int map_device(const uint64_t cmd[4])
{
    uint32_t id = (uint32_t)(cmd[0] >> 32);
    struct its_device *old = device_of(id), *d = NULL;
    bool map = (cmd[2] & VALID) != 0;
    uint64_t pa = cmd[2] & 0x000fffffffffff00ul;
    uint64_t bytes = TYPER_ITT_ENTRY(its.typer) << ((cmd[1] & 31u) + 1);
    uint64_t first = pa & ~(PAGE_SIZE - 1);
    uint64_t pages = (pa - first + bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
    int err;

    if (map) {
        for (uint32_t i = 0; i < DEVICES_MAX && d == NULL; i++) {
            d = its.device[i].used ? NULL : &its.device[i];
        }
        if (d == NULL) {
            return -ENOSPC;
        }
        err = frames_pin(first, pages, OWNER_HOST);
        if (err != 0) {
            return err;
        }
        /* Kept even if the ITS does not answer: it may have seen the command. */
        *d = (struct its_device){ true, id, first, pages };
    } else if (old == NULL) {
        return 0;
    }
    err = put_real(cmd);
    if (err == 0 && old != NULL) {
        err = sync_real();
        if (err == 0) {
            (void)frames_unpin(old->pa, old->pages, OWNER_HOST);
            old->used = false;
        }
    }
    return err;
}

static int command(const uint64_t cmd[4])
{
    uint32_t id = (uint32_t)(cmd[0] >> 32);
    unsigned code = (unsigned)cmd[0] & 0xff, checks = code < COMMANDS ? command_checks[code] : 0;
    bool valid = (cmd[2] & VALID) != 0;

    if (checks == 0) {
        return -EPERM;
    }
    if (code == CMD_MAPC && !valid) {
        checks &= ~(unsigned)RD2;
    }
    if (((checks & ICID) != 0 && (cmd[2] & 0xffff) >= its.collections) ||
        ((checks & RD2) != 0 && !redist_ok(cmd[2])) ||
        ((checks & RD3) != 0 && !redist_ok(cmd[3]))) {
        return -EINVAL;
    }
    /* What only takes away is let through for a device that has gone to a VM. */
    if (((checks & OWN) != 0 || (code == CMD_MAPD && valid)) && of_a_vm(id)) {
        return -EPERM;
    }
    if (code == CMD_MAPD) {
        return id < its.devices ? map_device(cmd) : -EINVAL;
    }
    if ((checks & DEVICE) != 0 && device_of(id) == NULL) {
        return -ENOENT;
    }
    return put_real(cmd);
}

static void run_commands(void)
{
    uint64_t size = ((its.cbaser & 0xff) + 1) << PAGE_SHIFT;
    uint64_t queue = its.cbaser & QUEUE_ADDR;

    for (unsigned n = 0;
         n < CMDS_PER_TRAP && its.enabled && (its.cbaser & VALID) != 0 && its.creadr != its.cwriter;
         n++) {
        const volatile uint64_t *p = (const volatile uint64_t *)(queue + its.creadr);
        const uint64_t cmd[4] = { p[0], p[1], p[2], p[3] };
        int err = command(cmd);

        if (err != 0 && log_may()) {
            port_log("ITS: command %lx %lx %lx refused: error %u", cmd[0], cmd[1], cmd[2],
                     (uint32_t)-err);
        }
        its.creadr = (its.creadr + CMD_BYTES) % size;
    }
}

/* ---- the host's registers ---- */

static bool host_owns(uint64_t pa, uint64_t pages)
{
    for (uint64_t i = 0; i < pages; i++) {
        if (!frame_may_use(pa + (i << PAGE_SHIFT), OWNER_HOST)) {
            return false;
        }
    }
    return true;
}

static void refuse(const char *reg, uint64_t v)
{
    if (log_may()) {
        port_log("ITS: write of %lx to %s refused", v, reg);
    }
}

/* A table of the host's that nothing reads; but an address that is not its own is not taken. */
static void write_baser(unsigned i, uint64_t v)
{
    uint64_t ro = its.baser[i] & BASER_RO & ~BASER_INDIRECT;
    unsigned log2 = page_shift(v);
    uint64_t pa =
        log2 == 16 ? (v & 0x0000ffffffff0000ul) | (v >> 12 & 15) << 48 : v & 0x0000fffffffff000ul;
    uint64_t pages = ((v & 0xff) + 1) << (log2 - PAGE_SHIFT);

    if (BASER_TYPE(its.baser[i]) == 0) {
        return; /* not implemented */
    }
    if (its.enabled || ((v & VALID) != 0 && !host_owns(pa, pages))) {
        refuse("GITS_BASER", v);
        return;
    }
    its.baser[i] = (v & ~BASER_RO) | ro;
}

static void write_cbaser(uint64_t v)
{
    uint64_t pages = (v & 0xff) + 1;
    int err = 0;

    if (its.enabled) {
        refuse("GITS_CBASER", v);
        return;
    }
    /* EL2 will read there: the frames must stay the host's. */
    if ((v & VALID) != 0) {
        err = frames_pin(v & QUEUE_ADDR, pages, OWNER_HOST);
    }
    if (err != 0) {
        refuse("GITS_CBASER", v);
        return;
    }
    if ((its.cbaser & VALID) != 0) {
        (void)frames_unpin(its.cbaser & QUEUE_ADDR, (its.cbaser & 0xff) + 1, OWNER_HOST);
    }
    its.cbaser = v;
    its.creadr = 0;
}

static void write_ctlr(uint32_t v)
{
    uint64_t until = port_now() + WAIT_NS;

    its.enabled = (v & CTLR_ENABLED) != 0;
    write32(GITS_CTLR, its.enabled ? CTLR_ENABLED : 0);
    while (!its.enabled && (read32(GITS_CTLR) & CTLR_QUIESCENT) == 0 && port_now() < until) {
        port_relax();
    }
}

static uint64_t host_read(uint64_t reg)
{
    switch (reg) {
    case GITS_CTLR: /* and IIDR in the upper half */
        return (uint64_t)read32(4) << 32 | read32(GITS_CTLR);
    case GITS_TYPER:
        return its.typer;
    case GITS_CBASER:
        return its.cbaser;
    case GITS_CWRITER:
        return its.cwriter;
    case GITS_CREADR:
        return its.creadr;
    default:
        if (reg >= GITS_BASER && reg < GITS_BASER + BASERS * 8) {
            return its.baser[(reg - GITS_BASER) / 8];
        }
        if (reg >= GITS_IDREGS) {
            return read32(reg) | (uint64_t)read32(reg + 4) << 32;
        }
        return 0;
    }
}

static void host_write(uint64_t off, unsigned size, uint64_t v)
{
    if (off == GITS_CTLR) {
        write_ctlr((uint32_t)v);
    } else if (off == GITS_CWRITER) {
        uint64_t at = v & 0xfffe0u;

        if (at < ((its.cbaser & 0xff) + 1) << PAGE_SHIFT) {
            its.cwriter = at;
        }
    } else if (size == 8 && off == GITS_CBASER) {
        write_cbaser(v);
    } else if (size == 8 && off >= GITS_BASER && off < GITS_BASER + BASERS * 8) {
        write_baser((unsigned)(off - GITS_BASER) / 8, v);
    }
}

static int host_its(uint64_t off, bool write, unsigned size, uint64_t *val)
{
    if ((size != 4 && size != 8) || (off & (size - 1)) != 0) {
        return -EINVAL;
    }
    port_lock(&its.lock);
    if (write) {
        host_write(off, size, *val);
    }
    run_commands(); /* new ones, or what an earlier access left */
    if (!write) {
        *val = host_read(off & ~7ul) >> (off & 4) * 8;
    }
    port_unlock(&its.lock);
    return 0;
}

/* ---- set-up ---- */

/* A flat table of EL2's for BASER i. Returns how many entries it has, 0: none was needed. */
static uint64_t real_table(unsigned i, uint64_t entries)
{
    uint64_t v = read64(GITS_BASER + i * 8), bytes = entries * BASER_ENTRY(v);
    uint64_t pa;

    bytes = bytes > TABLE_MAX ? TABLE_MAX : bytes;
    bytes = (bytes + 0xffff) & ~0xfffful;
    pa = hyp_alloc(bytes, 0x10000);
    /* The page size may be fixed: try 64 KiB, then take what is there. Size counts those pages. */
    write64(GITS_BASER + i * 8, (v & (7ul << 56 | 31ul << 48)) | 2ul << 8);
    unsigned log2 = page_shift(read64(GITS_BASER + i * 8));

    if (bytes >> log2 > 256) {
        bytes = 256ul << log2;
    }
    write64(GITS_BASER + i * 8, (v & (7ul << 56 | 31ul << 48)) | VALID | INNER_WB | SHARED | pa |
                                    (read64(GITS_BASER + i * 8) & 3ul << 8) |
                                    ((bytes >> log2) - 1));
    return bytes / BASER_ENTRY(v);
}

void its_init(void)
{
    uint64_t until = port_now() + WAIT_NS;

    if (hv.its == 0) {
        return;
    }
    its.base = hv.its;
    mmu_map_device(hv.its, 0x10000);
    write32(GITS_CTLR, 0);
    while ((read32(GITS_CTLR) & CTLR_QUIESCENT) == 0) {
        if (port_now() > until) {
            port_panic("ITS: does not come to rest");
        }
    }
    its.typer = read64(GITS_TYPER) & ~TYPER_HIDDEN;
    for (unsigned i = 0; i < BASERS; i++) {
        uint64_t v = read64(GITS_BASER + i * 8);

        if (BASER_TYPE(v) == TYPE_DEVICES) {
            its.devices = real_table(i, 1ul << TYPER_DEVBITS(its.typer));
        } else if (BASER_TYPE(v) == TYPE_COLLECTIONS) {
            its.collections = real_table(i, 2 * HV_CPUS);
        } else {
            continue; /* virtual PEs: no table, so no virtual LPIs */
        }
        its.baser[i] = v & BASER_RO & ~BASER_INDIRECT;
    }
    if (its.collections == 0) {
        its.collections = read64(GITS_TYPER) >> 24 & 0xff; /* HCC: held inside */
    }
    /* DeviceIDs beyond the real table do not exist for the host. */
    while (its.devices < 1ul << TYPER_DEVBITS(its.typer) && TYPER_DEVBITS(its.typer) > 1) {
        its.typer -= 1ul << 13;
    }
    its.queue = hyp_alloc(QUEUE_BYTES, QUEUE_BYTES);
    write64(GITS_CBASER, VALID | INNER_WB | SHARED | its.queue | (QUEUE_BYTES / PAGE_SIZE - 1));
    write64(GITS_CWRITER, 0);
    if (host_mmio_register(hv.its, 0x10000, host_its, "ITS") != 0) {
        port_panic("ITS: no room for the trap");
    }
    port_log("ITS at %lx: %lu device ids, %lu collections, tables and queue are EL2's", hv.its,
             its.devices, its.collections);
}
