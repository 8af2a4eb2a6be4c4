/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI configuration space of a software device: a type 0 header (PCI Local Bus 3.0, 6.1), one BAR, MSI
 * (6.8.1) and MSI-X (6.8.2) as far as the model has them.
 */
#include <string.h>

#include "iommufd/swdev.h"

enum {
    C_COMMAND = 0x04,
    C_STATUS = 0x06,
    C_CLASS = 0x09,
    C_BAR0 = 0x10,
    C_CAPS = 0x34,
    C_LINE = 0x3c,
    C_PIN = 0x3d,
    C_MSI = 0x40,
    C_MSIX = 0x60,
};
enum { COMMAND_MASTER = 4, COMMAND_BITS_HIGH = 0x07 };

static void put16(unsigned char *c, unsigned v)
{
    c[0] = (unsigned char)v;
    c[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *c, uint32_t v)
{
    put16(c, v & 0xffff);
    put16(c + 2, v >> 16);
}

void config_init(struct sw_dev *d)
{
    const struct sw_model *m = d->model;
    unsigned char *c = d->config, *link = c + C_CAPS;

    memset(c, 0, sizeof(d->config));
    put16(c, m->vendor);
    put16(c + 2, m->device);
    c[C_STATUS] = 0x10; /* there are capabilities */
    put16(c + C_CLASS, m->class_code & 0xffff);
    c[C_CLASS + 2] = (unsigned char)(m->class_code >> 16);
    c[C_BAR0] = m->bar_64 ? 4 : 0;
    c[C_PIN] = 1;
    if (m->msi_vectors != 0) {
        *link = C_MSI;
        link = c + C_MSI + 1;
        c[C_MSI] = 5;
        c[C_MSI + 2] = 0x80; /* 64 bit, one vector */
    }
    if (m->msix_vectors != 0) {
        *link = C_MSIX;
        c[C_MSIX] = 0x11;
        put16(c + C_MSIX + 2, m->msix_vectors - 1);
        put32(c + C_MSIX + 4, m->msix_table); /* both in BAR 0 */
        put32(c + C_MSIX + 8, m->msix_pba);
    }
}

bool config_master(const struct sw_dev *d)
{
    return (d->config[C_COMMAND] & COMMAND_MASTER) != 0;
}

static bool writable(const struct sw_model *m, uint64_t at)
{
    return at == C_COMMAND || at == C_COMMAND + 1 || at == C_LINE ||
           (at >= C_BAR0 && at < C_BAR0 + (m->bar_64 ? 8u : 4u)) ||
           (m->msi_vectors != 0 && at >= C_MSI + 2 && at < C_MSI + 14) ||
           (m->msix_vectors != 0 && at == C_MSIX + 3);
}

void config_write(struct sw_dev *d, uint64_t off, const unsigned char *from, uint32_t len)
{
    const struct sw_model *m = d->model;
    unsigned char *c = d->config;
    uint32_t bar;

    for (uint32_t i = 0; i < len; i++) {
        if (writable(m, off + i)) {
            c[off + i] = from[i];
        }
    }
    memcpy(&bar, c + C_BAR0, sizeof(bar));
    put32(c + C_BAR0, (bar & ~(uint32_t)(m->bar_size - 1)) | (m->bar_64 ? 4 : 0));
    c[C_COMMAND + 1] &= COMMAND_BITS_HIGH;
    if (m->msi_vectors != 0) {
        c[C_MSI + 2] = (unsigned char)(0x80 | (c[C_MSI + 2] & 1));
    }
    if (m->msix_vectors != 0) { /* enable and function mask; the table's size is fixed */
        c[C_MSIX + 3] = (unsigned char)((c[C_MSIX + 3] & 0xc0) | (m->msix_vectors - 1) >> 8);
    }
}
