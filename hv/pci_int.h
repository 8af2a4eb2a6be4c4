/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by pci.c (what is there, what the host may write) and pci_take.c (taking, returning). */
#ifndef TENON_HV_PCI_INT_H
#define TENON_HV_PCI_INT_H

#include <hv/log.h>
#include <hv/pci.h>
#include <tenon/errno.h>
#include <tenon/port.h>

/* Header registers (PCI Local Bus 3.0, 6.1; PCI-to-PCI Bridge 1.2, 3.2). */
#define PCI_ID          0x00u
#define PCI_COMMAND     0x04u
#define PCI_STATUS      0x06u
#define PCI_CLASS       0x08u
#define PCI_HEADER      0x0eu
#define PCI_BAR0        0x10u
#define PCI_BUSES       0x18u /* bridge: primary, secondary, subordinate */
#define PCI_WINDOW      0x20u /* bridge: memory base and limit, in MiB */
#define PCI_PREF        0x24u /* bridge: prefetchable base and limit; upper halves at 28, 2c */
#define PCI_ROM         0x30u
#define PCI_ROM_BRIDGE  0x38u
#define PCI_CAPS        0x34u
#define PCI_IRQ_LINE    0x3cu
#define CMD_IO          0x1u
#define CMD_MEM         0x2u
#define CMD_MASTER      0x4u
#define CMD_NO_INTX     0x400u
#define CAP_ID_PM       0x01u
#define CAP_ID_MSI      0x05u
#define CAP_ID_PCIE     0x10u
#define CAP_ID_MSIX     0x11u
#define CAP_ID_AF       0x13u
#define EXT_ID_SRIOV    0x0010u
#define EXT_ID_REBAR    0x0015u
#define EXT_ID_VF_REBAR 0x0024u

/* One access of 1, 2 or 4 bytes at a physical address, mapped one to one. */
uint32_t pci_mmio_read(uint64_t pa, unsigned size);
void pci_mmio_write(uint64_t pa, unsigned size, uint32_t v);

struct pci {
    struct pci_host h;
    struct port_lock lock;
    struct pci_func func[PCI_FUNCS];
    uint32_t n;
    uint32_t taken;   /* how many are */
    bool hidden;      /* bridges were left out of the scan, or bus numbers that lead to others */
    uint64_t refused; /* writes of the host's, for safety */
};
extern struct pci pci;

/* All below: lock held. */
struct pci_func *pci_func_of(uint32_t bdf);
void pci_scan_behind(void); /* functions of the root bus stay where they are */
uint32_t pci_read(uint32_t bdf, uint32_t reg, unsigned size);
void pci_write(uint32_t bdf, uint32_t reg, unsigned size, uint32_t v);
/* Address that BAR i answers to, from a header's 16 words; the bus's address, not the CPU's. */
uint64_t pci_bar_base(const struct pci_func *f, const uint32_t hdr[16], unsigned i);
void pci_header(uint32_t bdf, uint32_t hdr[16]);
/* The CPU's address of a range on the bus; false: in no memory window. */
bool pci_to_cpu(uint64_t bus, uint64_t len, uint64_t *pa);
/* Would this function, with this header, answer to a part of [bus, bus+len)? */
bool pci_claims(const struct pci_func *f, const uint32_t hdr[16], uint64_t bus, uint64_t len);
/* Does this bridge header lead to bus `b`? */
bool pci_leads_to(const uint32_t hdr[16], uint8_t b);

#endif
