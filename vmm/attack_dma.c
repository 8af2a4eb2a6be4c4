/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks by DMA: from a device that is the host's, and through what bypasses the SMMU. */
#include "attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of QEMU's `virt` machine. GICv3 (IHI0069) 12.19: GITS_CBASER 0x80, GITS_BASER<n> 0x100 + 8n;
 * 12.11: GICR_PROPBASER, GICR_PENDBASER of the first CPU. */
#define ITS_REGISTERS  0x08080000ull
#define GITS_CBASER    0x80u
#define GITS_BASER     0x100u
#define GICR_REGISTERS 0x080a0000ull
#define GICR_PROPBASER 0x70u
#define GICR_PENDBASER 0x78u

/* The device must be able to do it at all, or nothing below shows anything. */
static bool own_page(struct arena *a, const struct attack *self)
{
    (void)self;
    int others;
    struct edu *e = &a->edu;
    memset(e->page, 0x77, PAGE);
    bool moved = edu_dma(e, e->page_pa, 256, false);
    memset(e->page, 0, PAGE);
    moved = moved && edu_dma(e, e->page_pa, 256, true);
    int mine = events_of(a, e->bdf, e->page_pa, true, &others);
    return saw(a,
               moved && e->page[0] == 0x7777777777777777ull && e->page[31] == e->page[0] && !mine &&
                   !others,
               "%s, %d events", moved ? "moved" : "stuck", mine + others);
}

/* 256 bytes into `pa`: refused, and said so. */
static bool write_to(struct arena *a, uint64_t pa)
{
    int others;
    uint64_t page = pa & ~(PAGE - 1);
    memset(a->edu.page, 0x66, PAGE);
    edu_dma(&a->edu, a->edu.page_pa, 256, false);
    bool done = edu_dma(&a->edu, pa, 256, true);
    int mine = events_of(a, a->edu.bdf, page, true, &others);
    return saw(a, done && mine > 0 && others == 0, "%d events%s", mine,
               others ? ui_format(", %d others", others) : "");
}

/* 256 bytes from `pa`: refused, said so, and nothing of it came. */
static bool read_from(struct arena *a, uint64_t pa, uint64_t not_this)
{
    int others;
    struct edu *e = &a->edu;
    memset(e->page, 0x55, PAGE);
    edu_dma(e, e->page_pa, 256, false);
    bool done = edu_dma(e, pa, 256, false);
    int mine = events_of(a, e->bdf, pa & ~(PAGE - 1), false, &others);
    memset(e->page, 0, PAGE);
    done = done && edu_dma(e, e->page_pa, 256, true);
    bool leaked = false;
    for (int i = 0; i < 32; i++) {
        leaked |= not_this ? e->page[i] == not_this
                           : e->page[i] != 0 && e->page[i] != 0x5555555555555555ull;
    }
    return saw(a, done && mine > 0 && others == 0 && !leaked, "%d events, %s", mine,
               leaked ? "DATA CAME" : "no data");
}

static bool write_vm(struct arena *a, const struct attack *self)
{
    (void)self;
    return write_to(a, a->a_pa);
}

static bool write_secret(struct arena *a, const struct attack *self)
{
    (void)self;
    return write_to(a, a->b_pa) && b_secret_intact(a);
}

static bool read_secret(struct arena *a, const struct attack *self)
{
    (void)self;
    return read_from(a, a->b_pa, SECRET) && b_secret_intact(a);
}

static bool write_hyp(struct arena *a, const struct attack *self)
{
    (void)self;
    return write_to(a, a->info.ram_base + 2 * MIB);
}

static bool read_hyp(struct arena *a, const struct attack *self)
{
    (void)self;
    return read_from(a, a->info.ram_base + 2 * MIB, 0);
}

static bool write_table(struct arena *a, const struct attack *self)
{
    struct frame_list list;
    uint64_t pa = 0;
    (void)self;
    if (frames_read(&a->c, &list) != 0) {
        return saw(a, false, "no list of frames");
    }
    for (size_t i = 0; i < list.n; i++) {
        if (list.run[i].owner == OWNER_HYP && list.run[i].flags & FRAME_TABLE) {
            pa = list.run[i].pa;
        }
    }
    free(list.run);
    return pa ? write_to(a, pa) : saw(a, false, "no page table in the list");
}

static bool write_free(struct arena *a, const struct attack *self)
{
    (void)self;
    return write_to(a, a->info.pool_base + a->info.pool_bytes - PAGE);
}

static bool write_registers(struct arena *a, const struct attack *self)
{
    uint64_t base;
    uint64_t size;
    (void)self;
    if (pci_bar(a->disk, 0, &base, &size) != 0) {
        return saw(a, false, "no BAR");
    }
    return write_to(a, base);
}

/* While it is lent the device may use it; afterwards it may not. */
static bool closed_window_dma(struct arena *a, const struct attack *self)
{
    (void)self;
    int others;
    if (b_convert(a, B_SECRET, PAGE, true) != 0) {
        return saw(a, false, "cannot share");
    }
    memset(a->edu.page, 0, PAGE);
    bool lent = edu_dma(&a->edu, a->b_pa, 256, false) &&
                edu_dma(&a->edu, a->edu.page_pa, 256, true) && a->edu.page[0] == SECRET &&
                events_of(a, a->edu.bdf, a->b_pa, false, &others) == 0 && others == 0;
    if (b_convert(a, B_SECRET, PAGE, false) != 0) {
        return saw(a, false, "cannot make it private again");
    }
    if (!lent) {
        return saw(a, false, "not even while it was lent");
    }
    return write_to(a, a->b_pa) && b_secret_intact(a);
}

/* ---- what does not go through the SMMU ---- */

/* A register that names memory: rewritten to a VM's page; it must not take that address. */
static bool aim(struct arena *a, uint64_t base, unsigned offset)
{
    volatile uint64_t *regs = dev_mem_map(base, 0x10000);
    uint64_t before = 0;
    uint64_t after = 0;
    if (!regs) {
        return saw(a, false, "cannot map: %s (boot with iomem=relaxed)", strerror(errno));
    }
    const uint64_t address = 0xfffffffff000ull;
    volatile uint64_t *reg = regs + offset / 8;
    int sig = probe_read(reg, &before);
    if (!sig) {
        sig = probe_write(reg, (before & ~address) | a->a_pa);
    }
    if (!sig) {
        sig = probe_read(reg, &after);
    }
    munmap((void *)(uintptr_t)regs, 0x10000);
    bool took = !sig && (after & address) == a->a_pa;
    return saw(a, !took && after == before, "%s",
               sig    ? signal_name(sig)
               : took ? "TAKEN"
                      : ui_format(after == before ? "stays %#llx" : "BECAME %#llx",
                                  (unsigned long long)after));
}

static bool its_devices(struct arena *a, const struct attack *self)
{
    (void)self;
    return aim(a, ITS_REGISTERS, GITS_BASER);
}

static bool its_collections(struct arena *a, const struct attack *self)
{
    (void)self;
    return aim(a, ITS_REGISTERS, GITS_BASER + 8);
}

static bool its_queue(struct arena *a, const struct attack *self)
{
    (void)self;
    return aim(a, ITS_REGISTERS, GITS_CBASER);
}

static bool lpi_configuration(struct arena *a, const struct attack *self)
{
    (void)self;
    return aim(a, GICR_REGISTERS, GICR_PROPBASER);
}

static bool lpi_pending(struct arena *a, const struct attack *self)
{
    (void)self;
    return aim(a, GICR_REGISTERS, GICR_PENDBASER);
}

/* After all this the host's own interrupts still arrive. */
static bool interrupts_live(struct arena *a, const struct attack *self)
{
    char disk[32];
    struct disk_result r;
    (void)self;
    if (!pci_nvme_disk("host", disk, sizeof(disk))) {
        return saw(a, false, "no host disk");
    }
    disk_test(disk, 4 * MIB, 2, "host disk", &r);
    return saw(a, !r.error && !r.wrong_words && r.interrupts > 0, "%llu interrupts, %llu wrong",
               (unsigned long long)r.interrupts, (unsigned long long)r.wrong_words);
}

#define DMA(name, want, fn)                       \
    {                                             \
        "dma", name, want, fn, 0, 0, { 0 }, false \
    }

const struct attack attacks_dma[] = {
    DMA("edu and our own page (it can do DMA)", "moved, no event", own_page),
    DMA("edu writes a running VM's memory", "blocked, an event", write_vm),
    DMA("edu writes VM B's secret page", "blocked, unchanged", write_secret),
    DMA("edu reads VM B's secret page", "blocked, nothing came", read_secret),
    DMA("edu writes the hypervisor's image", "blocked, an event", write_hyp),
    DMA("edu reads the hypervisor's image", "blocked, nothing came", read_hyp),
    DMA("edu writes a page table", "blocked, an event", write_table),
    DMA("edu writes free memory of the pool", "blocked, an event", write_free),
    DMA("edu writes the VM's disk's registers", "blocked, an event", write_registers),
    DMA("edu writes a page that was lent", "blocked once private", closed_window_dma),
    DMA("ITS device table aimed at VM memory", "not taken", its_devices),
    DMA("ITS collection table aimed at VM memory", "not taken", its_collections),
    DMA("ITS command queue aimed at VM memory", "not taken", its_queue),
    DMA("LPI configuration table aimed at VM memory", "not taken", lpi_configuration),
    DMA("LPI pending table aimed at VM memory", "not taken", lpi_pending),
    DMA("the host's interrupts after all that", "arrive", interrupts_live),
};
const size_t attacks_dma_n = COUNT(attacks_dma);
