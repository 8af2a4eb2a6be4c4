/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a PCI function from the host, and giving it back: quiet, reset, with its BARs in place. */
#include <hv/pci_int.h>

#define MS           1000000ull
#define DRAIN_NS     (1000u * MS) /* outstanding transactions (DevSta.TP) */
#define FLR_NS       (100u * MS)  /* PCIe 6.6.2: a function may take this long, unasked */
#define FLR_READY_NS (1000u * MS) /* and answer "not yet" for this long */
#define NVME_NS      (2000u * MS)

/* PCIe capability (7.5.3): control and status of the function. */
#define DEVCTL         0x08u
#define DEVSTA         0x0au
#define DEVCTL_FLR     0x8000u
#define DEVSTA_PENDING 0x20u
/* NVMe 3.1: controller registers in BAR 0. */
#define NVME_CC    0x14u
#define NVME_CSTS  0x1cu
#define NVME_AQA   0x24u
#define NVME_ASQ   0x28u
#define NVME_ACQ   0x30u
#define NVME_CLASS 0x010802u

static void pause_ns(uint64_t ns)
{
    for (uint64_t t = port_now(); port_now() - t < ns;) {
        port_relax();
    }
}

/* Polls `size` bytes at configuration register `reg` until (value & mask) == want. */
static bool wait_cfg(uint32_t bdf, uint32_t reg, unsigned size, uint32_t mask, uint32_t want,
                     uint64_t ns)
{
    for (uint64_t t = port_now();;) {
        bool late = port_now() - t > ns; /* before the look that decides */
        if ((pci_read(bdf, reg, size) & mask) == want) {
            return true;
        }
        if (late) {
            return false;
        }
        port_relax();
    }
}

static void command(uint32_t bdf, uint32_t v)
{
    pci_write(bdf, PCI_COMMAND, 2, v);
}

static void interrupts_off(const struct pci_func *f)
{
    if (f->cap_msi != 0) {
        uint32_t c = pci_read(f->bdf, f->cap_msi + 2u, 2);
        pci_write(f->bdf, f->cap_msi + 2u, 2, c & ~1u);
    }
    if (f->cap_msix != 0) {
        uint32_t c = pci_read(f->bdf, f->cap_msix + 2u, 2);
        pci_write(f->bdf, f->cap_msix + 2u, 2, c & ~0x8000u);
    }
}

/* The CPU's address of BAR i as it was when the function was taken. */
static bool bar_pa(const struct pci_func *f, unsigned i, uint64_t *pa)
{
    uint32_t hdr[16] = { 0 };
    for (unsigned k = 0; k < PCI_BARS; k++) {
        hdr[4u + k] = f->saved_bar[k];
    }
    return f->bar[i].size != 0 && !f->bar[i].io &&
           pci_to_cpu(pci_bar_base(f, hdr, i), f->bar[i].size, pa);
}

/* CC.EN = 0 ends every command; CSTS.RDY = 0 says that it has (NVMe 3.1.5, 3.1.6). */
static int nvme_disable(const struct pci_func *f)
{
    uint64_t regs;
    if (f->class_code != NVME_CLASS) {
        return 0;
    }
    if (!bar_pa(f, 0, &regs) || f->bar[0].size < PAGE_SIZE) {
        return -EIO;
    }
    if (pci_mmio_read(regs + NVME_CSTS, 4) == ~0u) {
        return -EIO; /* nothing answers there */
    }
    pci_mmio_write(regs + NVME_CC, 4, pci_mmio_read(regs + NVME_CC, 4) & ~1u);
    for (uint64_t t = port_now();;) {
        bool late = port_now() - t > NVME_NS;
        if (!(pci_mmio_read(regs + NVME_CSTS, 4) & 1u)) {
            break;
        }
        if (late) {
            return -ETIMEDOUT;
        }
        port_relax();
    }
    /* These outlive a controller reset, and name the last owner's memory. */
    static const uint32_t left_over[] = { NVME_AQA, NVME_ASQ, NVME_ASQ + 4u, NVME_ACQ,
                                          NVME_ACQ + 4u };
    for (unsigned i = 0; i < sizeof(left_over) / sizeof(left_over[0]); i++) {
        pci_mmio_write(regs + left_over[i], 4, 0);
    }
    return 0;
}

/* The MSI-X table is in a BAR and keeps its content where there is no function reset: blank it. */
static void blank_msix(const struct pci_func *f)
{
    uint64_t bar;
    if (f->cap_msix == 0) {
        return;
    }
    uint32_t entries = (pci_read(f->bdf, f->cap_msix + 2u, 2) & 0x7ffu) + 1u;
    uint32_t where = pci_read(f->bdf, f->cap_msix + 4u, 4), bir = where & 7u, off = where & ~7u;
    if (bir >= PCI_BARS || !bar_pa(f, bir, &bar) || off > f->bar[bir].size ||
        entries * 16ull > f->bar[bir].size - off) {
        return;
    }
    for (uint32_t i = 0; i < entries; i++) {
        for (uint32_t k = 0; k < 3u; k++) {
            pci_mmio_write(bar + off + i * 16ull + k * 4u, 4, 0);
        }
        pci_mmio_write(bar + off + i * 16ull + 12u, 4, 1); /* masked */
    }
}

/* Bus master off, and what is under way has ended. BARs and memory decoding as they were. */
static int quiesce(const struct pci_func *f)
{
    uint32_t bdf = f->bdf;
    command(bdf, (pci_read(bdf, PCI_COMMAND, 2) & ~CMD_MASTER) | CMD_MEM);
    interrupts_off(f);
    int err = nvme_disable(f);
    if (f->cap_pcie != 0 && !wait_cfg(bdf, f->cap_pcie + DEVSTA, 2, DEVSTA_PENDING, 0, DRAIN_NS)) {
        err = -ETIMEDOUT;
    }
    if (f->cap_af != 0 && !wait_cfg(bdf, f->cap_af + 5u, 1, 1, 0, DRAIN_NS)) {
        err = -ETIMEDOUT;
    }
    return err;
}

static int reset(const struct pci_func *f)
{
    uint32_t bdf = f->bdf;
    if (f->reset == PCI_RESET_FLR) {
        uint32_t c = pci_read(bdf, f->cap_pcie + DEVCTL, 2);
        pci_write(bdf, f->cap_pcie + DEVCTL, 2, c | DEVCTL_FLR);
    } else if (f->reset == PCI_RESET_AF) {
        pci_write(bdf, f->cap_af + 4u, 1, 1);
    } else {
        return f->reset == PCI_RESET_NVME ? 0 : -ENODEV; /* nvme_disable() was it */
    }
    pause_ns(FLR_NS);
    uint32_t id = f->vendor | (uint32_t)f->device << 16;
    return wait_cfg(bdf, PCI_ID, 4, ~0u, id, FLR_READY_NS) ? 0 : -ETIMEDOUT;
}

static int put_bars(const struct pci_func *f)
{
    uint32_t bdf = f->bdf;
    command(bdf, 0);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        pci_write(bdf, PCI_BAR0 + 4u * i, 4, f->saved_bar[i]);
    }
    pci_write(bdf, PCI_ROM, 4, f->saved_rom & ~1u);
    pci_write(bdf, PCI_IRQ_LINE, 1, f->saved_irq);
    if (f->cap_pcie != 0) {
        pci_write(bdf, f->cap_pcie + DEVCTL, 2, f->saved_devctl & ~DEVCTL_FLR & 0xffffu);
    }
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (pci_read(bdf, PCI_BAR0 + 4u * i, 4) != f->saved_bar[i]) {
            return -EIO;
        }
    }
    return 0;
}

/* Quiet, reset, BARs back. On an error the function has no bus mastering. */
static int clean(const struct pci_func *f, uint32_t cmd_after)
{
    int err = quiesce(f);
    int err2 = reset(f);
    int err3 = put_bars(f);
    err = err != 0 ? err : err2 != 0 ? err2 : err3;
    command(f->bdf, CMD_MEM | CMD_NO_INTX);
    if (err == 0) {
        err = nvme_disable(f); /* a function reset leaves it disabled: this checks it */
    }
    if (err == 0) {
        blank_msix(f);
        interrupts_off(f);
    }
    command(f->bdf, cmd_after & ~CMD_MASTER);
    return err;
}

static void save(struct pci_func *f)
{
    uint32_t bdf = f->bdf;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        f->saved_bar[i] = pci_read(bdf, PCI_BAR0 + 4u * i, 4);
    }
    f->saved_rom = pci_read(bdf, PCI_ROM, 4);
    f->saved_cmd = (uint16_t)pci_read(bdf, PCI_COMMAND, 2);
    f->saved_irq = (uint8_t)pci_read(bdf, PCI_IRQ_LINE, 1);
    f->saved_devctl = f->cap_pcie != 0 ? (uint16_t)pci_read(bdf, f->cap_pcie + DEVCTL, 2) : 0;
}

static const char *check_bars(const struct pci_func *f)
{
    uint32_t hdr[16], other[16];
    bool any = false;
    pci_header(f->bdf, hdr);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint64_t size = f->bar[i].size, pa;
        if (size == 0 || f->bar[i].io) {
            continue;
        }
        uint64_t base = pci_bar_base(f, hdr, i);
        if (size < PAGE_SIZE) {
            return "BAR smaller than a page";
        }
        if (!pci_to_cpu(base, size, &pa) || (pa & (PAGE_SIZE - 1u)) != 0) {
            return "BAR not placed in a memory window";
        }
        any = true;
        for (unsigned k = 0; k < i; k++) {
            if (f->bar[k].size != 0 && !f->bar[k].io &&
                pci_overlap(pci_bar_base(f, hdr, k), f->bar[k].size, base, size)) {
                return "BARs overlap";
            }
        }
        for (uint32_t k = 0; k < pci.n; k++) {
            const struct pci_func *o = &pci.func[k];
            if (o == f || !o->on_root) {
                continue;
            }
            pci_header(o->bdf, other);
            if (pci_claims(o, other, base, size)) {
                return "another function answers in its BAR";
            }
        }
    }
    return any ? NULL : "no memory BAR";
}

/* Lock held. */
static const char *why_not(const struct pci_func *f, int *err)
{
    if (f == NULL) {
        *err = -ENOENT;
        return "no such function";
    }
    *err = -EBUSY;
    if (f->taken) {
        return "taken already";
    }
    *err = -ENODEV;
    if (f->bridge || (f->header & 0x7fu) != 0) {
        return "a bridge";
    }
    if (!f->on_root) {
        return "behind a bridge";
    }
    if ((f->bdf & 7u) != 0 || (f->header & 0x80u)) {
        return "part of a multifunction device";
    }
    if ((f->class_code >> 16) == 6u) {
        return "part of the host bridge";
    }
    if (f->reset == PCI_RESET_NONE) {
        return "no reset that the hypervisor can do";
    }
    *err = -EINVAL;
    const char *why = check_bars(f);
    if (why != NULL) {
        return why;
    }
    /* A bridge that is (still) numbered as the root bus lends its devices our stream ids. All must be
     * in sight: the host may have numbered one so that the next one behind it is out of reach. */
    *err = -EBUSY;
    pci_scan_behind();
    for (uint32_t i = 0; i < pci.n; i++) {
        uint32_t hdr[16];
        if (!pci.func[i].bridge) {
            continue;
        }
        pci_header(pci.func[i].bdf, hdr);
        if (pci_leads_to(hdr, pci.h.bus_first)) {
            return "a bridge has the root's bus number";
        }
    }
    if (pci.hidden) {
        return "a bridge's bus cannot be looked at";
    }
    *err = 0;
    return NULL;
}

const char *pci_why_not(uint32_t bdf, int *err)
{
    int e;
    port_lock(&pci.lock);
    const char *why = why_not(pci_func_of(bdf), &e);
    port_unlock(&pci.lock);
    if (err != NULL) {
        *err = e;
    }
    return why;
}

int pci_take(uint32_t bdf, owner_t owner, struct pci_range bars[PCI_BARS], uint32_t *nbars)
{
    int err;
    port_lock(&pci.lock);
    struct pci_func *f = pci_func_of(bdf);
    const char *why = why_not(f, &err);
    if (why != NULL) {
        port_unlock(&pci.lock);
        port_log("pci: %x is not taken: %s", bdf, why);
        return err;
    }
    save(f);
    err = clean(f, CMD_MEM | CMD_NO_INTX);
    if (err != 0) {
        /* The host's still; it may try to set it up again. */
        command(bdf, f->saved_cmd & ~CMD_MASTER);
        port_unlock(&pci.lock);
        port_log("pci: %x did not reset: %u", bdf, (unsigned)-err);
        return err;
    }
    f->taken = true;
    f->armed = false;
    f->owner = owner;
    pci.taken++;
    *nbars = 0;
    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint64_t pa;
        if (bar_pa(f, i, &pa)) {
            bars[(*nbars)++] =
                (struct pci_range){ .pa = pa, .len = f->bar[i].size, .bar = (uint8_t)i };
        }
    }
    port_unlock(&pci.lock);
    return 0;
}

static struct pci_func *taken(uint32_t bdf)
{
    struct pci_func *f = pci_func_of(bdf);
    return f != NULL && f->taken ? f : NULL;
}

int pci_quiesce(uint32_t bdf)
{
    port_lock(&pci.lock);
    const struct pci_func *f = taken(bdf);
    int err = f == NULL ? -ENOENT : quiesce(f);
    port_unlock(&pci.lock);
    return err;
}

int pci_give_back(uint32_t bdf)
{
    port_lock(&pci.lock);
    struct pci_func *f = taken(bdf);
    int err = f == NULL ? -ENOENT : clean(f, f->saved_cmd);
    if (err == 0) {
        f->taken = false;
        f->owner = OWNER_HOST;
        pci.taken--;
    } else if (f != NULL) {
        port_log("pci: %x did not reset (%u): it is kept", bdf, (unsigned)-err);
    }
    port_unlock(&pci.lock);
    return err;
}

int pci_bus_master(uint32_t bdf, bool on)
{
    int err = 0;
    port_lock(&pci.lock);
    struct pci_func *f = taken(bdf);
    if (f == NULL) {
        err = -ENOENT;
    } else if (on && !f->armed) {
        err = clean(f, CMD_MEM | CMD_NO_INTX);
        f->armed = err == 0;
    }
    if (f != NULL) {
        command(bdf, CMD_MEM | CMD_NO_INTX | (on && err == 0 ? CMD_MASTER : 0u));
    }
    port_unlock(&pci.lock);
    return err;
}
