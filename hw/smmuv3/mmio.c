/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register accesses, alone in this file and weak: a hosted test links its own register file in
 * their place. `base` is a virtual address (EL2 maps registers one to one).
 */
#include <hw/smmuv3/regs.h>

__attribute__((weak)) uint32_t smmuv3_read32(uint64_t base, uint32_t off)
{
    return *(volatile const uint32_t *)(uintptr_t)(base + off);
}

__attribute__((weak)) void smmuv3_write32(uint64_t base, uint32_t off, uint32_t v)
{
    *(volatile uint32_t *)(uintptr_t)(base + off) = v;
}

__attribute__((weak)) void smmuv3_write64(uint64_t base, uint32_t off, uint64_t v)
{
    *(volatile uint64_t *)(uintptr_t)(base + off) = v;
}
