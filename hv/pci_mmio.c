/* SPDX-License-Identifier: BSD-2-Clause */
/* Accesses to configuration space and device registers, alone here so that a test has its own. */
#include <hv/pci_int.h>

uint32_t pci_mmio_read(uint64_t pa, unsigned size)
{
    switch (size) {
    case 1:
        return *(volatile const uint8_t *)(uintptr_t)pa;
    case 2:
        return *(volatile const uint16_t *)(uintptr_t)pa;
    default:
        return *(volatile const uint32_t *)(uintptr_t)pa;
    }
}

void pci_mmio_write(uint64_t pa, unsigned size, uint32_t v)
{
    switch (size) {
    case 1:
        *(volatile uint8_t *)(uintptr_t)pa = (uint8_t)v;
        break;
    case 2:
        *(volatile uint16_t *)(uintptr_t)pa = (uint16_t)v;
        break;
    default:
        *(volatile uint32_t *)(uintptr_t)pa = v;
        break;
    }
}
