/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks by the host's CPUs. */
#include "attack.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Of QEMU's `virt` machine (hw/arm/virt memory map): the host's device tree does not name them. */
#define SMMU_REGISTERS 0x09050000ull
#define FW_CFG_DMA     0x09020010ull

static bool touch(struct arena *a, uint64_t pa, bool write)
{
    int sig = probe_pa(pa, write);
    return saw(a, sig == SIGBUS, "%s", signal_name(sig));
}

static bool read_private(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, a->a_pa, false);
}

static bool write_private(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, a->b_pa, true) && b_secret_intact(a);
}

/* A pipe's other end takes what the kernel copies from, or to, the private page. */
static bool system_call(struct arena *a, bool store)
{
    int fd[2];
    char word[8] = "seventy";
    volatile uint64_t *p = dev_mem_map(a->b_pa & ~(PAGE - 1), PAGE);
    if (!p || pipe(fd) != 0) {
        return saw(a, false, "%s", strerror(errno));
    }
    bool ready = !store || write(fd[1], word, sizeof(word)) == (ssize_t)sizeof(word);
    errno = 0;
    ssize_t n =
        store ? read(fd[0], (void *)(uintptr_t)p, 8) : write(fd[1], (void *)(uintptr_t)p, 8);
    int error = n < 0 ? errno : 0;
    close(fd[0]);
    close(fd[1]);
    munmap((void *)(uintptr_t)p, PAGE);
    char tainted[16] = "0";
    uint64_t flags = 0;
    host_read_file("/proc/sys/kernel/tainted", tainted, sizeof(tainted));
    parse_number(tainted, &flags);
    bool died = flags & 1u << 7; /* TAINT_DIE: the kernel has had an oops */
    return saw(a, ready && n < 0 && error == EFAULT && !died, "%s%s",
               n >= 0 ? "went through" : errno_name(-error),
               died ? ", the kernel had an oops" : "");
}

static bool syscall_read(struct arena *a, const struct attack *self)
{
    (void)self;
    return system_call(a, false);
}

static bool syscall_write(struct arena *a, const struct attack *self)
{
    (void)self;
    return system_call(a, true) && b_secret_intact(a);
}

static bool smmu_registers(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, SMMU_REGISTERS, false) && touch(a, SMMU_REGISTERS + 0x20, true);
}

static bool fw_cfg(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, FW_CFG_DMA, true);
}

static bool hyp_image(struct arena *a, const struct attack *self)
{
    (void)self;
    uint64_t pa = a->info.ram_base + 2 * MIB;
    return touch(a, pa, false) && touch(a, pa, true);
}

static bool hyp_end(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, a->info.ram_base + a->info.hyp_bytes - PAGE, true);
}

static bool free_pool(struct arena *a, const struct attack *self)
{
    (void)self;
    return touch(a, a->info.pool_base + a->info.pool_bytes - PAGE, true);
}

static bool taken_registers(struct arena *a, const struct attack *self)
{
    (void)self;
    uint64_t base;
    uint64_t size;
    if (pci_bar(a->disk, 0, &base, &size) != 0) {
        return saw(a, false, "no BAR");
    }
    return touch(a, base, false) && touch(a, base + 0x14 / 8 * 8, true);
}

static bool taken_config(struct arena *a, const struct attack *self)
{
    (void)self;
    uint32_t id = 0;
    uint32_t command = 0;
    int error = pci_config_read(a->disk, 0, 4, &id);
    pci_config_write(a->disk, 4, 2, 0);
    pci_config_read(a->disk, 4, 2, &command);
    return saw(a, !error && id == 0xffffffff && command == 0xffff, "reads %#x, %#x", id, command);
}

/* A page that was lent, and is so no more: the mapping that we kept. */
static bool closed_window(struct arena *a, const struct attack *self)
{
    (void)self;
    uint64_t pa;
    uint64_t value = 0;
    if (b_convert(a, B_SECRET, PAGE, true) != 0) {
        return saw(a, false, "cannot share");
    }
    volatile uint64_t *p = window_map(a, a->b, B_SECRET, &pa);
    int opened = p ? probe_read(p, &value) : -EFAULT;
    int error = b_convert(a, B_SECRET, PAGE, false);
    int closed = p ? probe_read(p, NULL) : 0;
    int wrote = p ? probe_write(p, 0) : 0;
    if (p) {
        munmap((void *)(uintptr_t)p, PAGE);
    }
    return saw(a, !opened && value == SECRET && !error && closed == SIGBUS && wrote == SIGBUS,
               "open: %s, closed: %s", opened ? signal_name(opened) : "read",
               signal_name(closed)) &&
           b_secret_intact(a);
}

#define CPU(name, want, fn)                       \
    {                                             \
        "cpu", name, want, fn, 0, 0, { 0 }, false \
    }

const struct attack attacks_cpu[] = {
    CPU("a process reads a VM's private page", "SIGBUS", read_private),
    CPU("a process writes a VM's private page", "SIGBUS", write_private),
    CPU("write() from a private page", "EFAULT, the host lives", syscall_read),
    CPU("read() into a private page", "EFAULT, the host lives", syscall_write),
    CPU("a window that has been closed", "SIGBUS", closed_window),
    CPU("the SMMU's registers", "SIGBUS", smmu_registers),
    CPU("fw_cfg's DMA register", "SIGBUS", fw_cfg),
    CPU("the hypervisor's image", "SIGBUS", hyp_image),
    CPU("the end of the hypervisor's memory", "SIGBUS", hyp_end),
    CPU("free memory of the pool", "SIGBUS", free_pool),
    CPU("registers of the taken disk", "SIGBUS", taken_registers),
    CPU("configuration space of the taken disk", "reads ones, ignores writes", taken_config),
};
const size_t attacks_cpu_n = COUNT(attacks_cpu);
