/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI functions behind a generic ECAM host bridge, as EL2 sees them: what is there, what may be
 * assigned, and what of their configuration space the host may still do.
 *
 * The host's whole ECAM window is trapped; every access comes through pci_cfg_access(). EL2 itself
 * accesses the window with plain volatile loads and stores at its physical address; it also needs
 * the host bridge's memory windows mapped (device, read-write) in its own stage 1, for NVMe's CC.
 *
 * Concurrency: one lock inside; every call may come from any CPU. pci_take() and pci_give_back()
 * hold it while they wait for the device (bounded, about a second at worst).
 *
 * A taken function's BARs are frozen where they were; nothing of the host (BAR, bridge window, bus
 * number) may be moved over them or over its stream id, whatever the host writes.
 */
#ifndef TENON_HV_PCI_H
#define TENON_HV_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include <tenon/frame.h>

#define PCI_FUNCS             64u /* functions known, bridges included */
#define PCI_WINDOWS           4u  /* MMIO windows of the host bridge */
#define PCI_BARS              6u
#define PCI_BDF(bus, dev, fn) ((uint32_t)(((bus) << 8) | ((dev) << 3) | (fn)))

struct pci_window {
    uint64_t base; /* CPU physical address */
    uint64_t bus;  /* PCI address that `base` appears at (equal on most machines) */
    uint64_t size;
};
struct pci_host { /* from the device tree */
    uint64_t ecam, ecam_size;
    uint8_t bus_first, bus_last;
    uint32_t sid_base;                  /* iommu-map: stream id = sid_base + bdf */
    struct pci_window win[PCI_WINDOWS]; /* memory windows only, not I/O */
    uint32_t nwin;
};

/* What EL2 can do to a function. A power-state round trip (D3hot, D0) is not counted: too many
 * functions announce that reset and do not do it. */
enum pci_reset { PCI_RESET_NONE = 0, PCI_RESET_FLR, PCI_RESET_AF, PCI_RESET_NVME };

struct pci_bar {
    uint64_t size; /* 0: not implemented (or the upper half of a 64-bit one) */
    bool io, is64, prefetch;
};

struct pci_func {
    uint32_t bdf, sid;
    uint16_t vendor, device;
    uint32_t class_code; /* 24 bits: 0x010802 is NVMe */
    bool bridge;         /* type-1 header */
    bool on_root;        /* its bus is the root bus */
    uint8_t header;
    uint8_t cap_pcie, cap_pm, cap_msi, cap_msix, cap_af; /* offsets, 0: none */
    bool flr;
    enum pci_reset reset;
    struct pci_bar bar[PCI_BARS];
    uint64_t rom_size;
    bool taken;
    bool armed;    /* reset since the host could last reach its registers */
    owner_t owner; /* OWNER_HOST or who took it */
    /* while taken: as the host had them */
    uint32_t saved_bar[PCI_BARS], saved_rom;
    uint16_t saved_cmd, saved_devctl;
    uint8_t saved_irq;
};

/* A CPU physical range of device registers. */
struct pci_range {
    uint64_t pa, len;
    uint8_t bar;
};

/* Scans. 0, or -EINVAL for values of `h` that make no sense, -ENOSPC too many functions. */
int pci_init(const struct pci_host *h);

/* How many are known. Looks again behind bridges (their numbers are the host's to give). */
uint32_t pci_count(void);
/* A copy of the i-th function; false past the end. */
bool pci_get(uint32_t i, struct pci_func *f);
bool pci_find(uint32_t bdf, struct pci_func *f);

/*
 * Why this function cannot be taken now: NULL when it can, else a short static string (under 44
 * characters) and *err (-ENOENT, -ENODEV, -EBUSY or -EINVAL) if err is not NULL.
 */
const char *pci_why_not(uint32_t bdf, int *err);

/*
 * The host's access to byte `off` of the ECAM window, size 1, 2, 4 (8: two of 4). *val: the value
 * written, or the answer (all ones where nothing answers). Always 0 today: unaligned, too large and
 * outside accesses read ones and write nothing, as a root complex does.
 */
int pci_cfg_access(uint64_t off, bool write, unsigned size, uint64_t *val);

/*
 * Take a function from the host for `owner`. Checked first, changing nothing: -ENOENT no such
 * function; -EBUSY taken already; -ENODEV not on the root bus, a bridge, part of a multifunction
 * device, or without a reset that EL2 can do; -EINVAL BARs not sized and aligned to pages, outside
 * the windows, or sharing a page with another function's.
 * Then: bus master off, outstanding transactions waited for, reset, BARs put back and frozen,
 * memory decoding on, bus master off. -ETIMEDOUT/-EIO: it did not drain or reset; it stays the
 * host's with bus master off (the caller has changed nothing yet).
 * `bars`/`nbars`: its memory BARs for the caller, who
 *   1. calls pci_take, 2. unmaps the ranges from every tree of the host, 3. detaches the stream
 *   from the host's domain, 4. attaches it to the VM's, maps the ranges into the VM, and
 *   5. pci_bus_master(bdf, true).
 * Between 1 and 3 the device is reset with bus master off and can reach nothing.
 */
int pci_take(uint32_t bdf, owner_t owner, struct pci_range bars[PCI_BARS], uint32_t *nbars);

/* Give it back: bus master off, drain, reset, the host's BARs and command register restored with
 * bus master off. The caller has unmapped the BARs from the VM and detached the stream *after*
 * pci_quiesce, or does it before this call. -ENOENT not taken. -ETIMEDOUT/-EIO: it did not reset:
 * it stays taken (and powerless: bus master off); its memory must not be reused. */
int pci_give_back(uint32_t bdf);

/* First step of a return: bus master off, outstanding transactions waited for, NVMe disabled (its
 * commands in flight have ended then), for a function that is taken. Errors as pci_give_back. */
int pci_quiesce(uint32_t bdf);

/*
 * Bus master enable of a taken function. The first enable resets it once more: until its registers
 * were unmapped from the host (step 2) the host may have set it up, queues and all, to work inside
 * the VM's memory. -ENOENT; -ETIMEDOUT/-EIO: that reset failed, bus master stays off.
 */
int pci_bus_master(uint32_t bdf, bool on);

/* Have the two ranges of bytes a part in common? */
static inline bool pci_overlap(uint64_t a, uint64_t alen, uint64_t b, uint64_t blen)
{
    return alen != 0 && blen != 0 && a <= b + (blen - 1u) && b <= a + (alen - 1u);
}

#endif
