/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * EL2's PCI code on a model of a root bus: what the host may write to configuration space while
 * functions belong to others, and taking and returning them. The sources are included, so that their
 * accesses and their clock are the model's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "port/hosted/hosted.h"
#include "tenon/errno.h"
#include "tenon/port.h"

static uint64_t clock_ns;
static uint64_t model_now(void)
{
    return clock_ns += 100000;
}
#define port_now model_now
#include "hv/log_may.c"  /* NOLINT(bugprone-suspicious-include) */
#include "hv/pci.c"      /* NOLINT(bugprone-suspicious-include) */
#include "hv/pci_take.c" /* NOLINT(bugprone-suspicious-include) */
#undef port_now

/* ---- the model ---- */

#define ECAM  ((uint64_t)0x4010000000)
#define WIN32 ((uint64_t)0x10000000)
#define WIN64 ((uint64_t)0x8000000000)

enum { EDU, NVME, NVME_NO_FLR, SMALL, BRIDGE, BEHIND, MULTI0, MULTI1, AF, DEVS };

struct dev {
    uint32_t bdf;
    uint8_t cfg[4096];
    uint32_t bar_size[6];
    bool is64;           /* BAR 0 and 1 are one */
    uint32_t regs[4096]; /* behind BAR 0 */
    bool flr, af, nvme;
    bool stuck, keeps_pending; /* never resets; never drains */
    unsigned flrs;
    bool dma_with_master_off;
};
static struct dev dev[DEVS];
static unsigned window_writes;

static uint32_t get(const struct dev *d, uint32_t reg, unsigned size)
{
    uint32_t v = 0;
    memcpy(&v, &d->cfg[reg], size);
    return v;
}

static void set(struct dev *d, uint32_t reg, unsigned size, uint32_t v)
{
    memcpy(&d->cfg[reg], &v, size);
}

static bool bridge(const struct dev *d)
{
    return (d->cfg[14] & 0x7f) == 1;
}

static struct dev *at(uint32_t bdf)
{
    for (unsigned i = 0; i < DEVS; i++) {
        if (dev[i].bdf == bdf && i != BEHIND) {
            return &dev[i];
        }
    }
    /* Behind the bridge: on the bus that the bridge says. */
    uint8_t sec = dev[BRIDGE].cfg[0x19];
    return sec != 0 && bdf == (uint32_t)sec << 8 ? &dev[BEHIND] : NULL;
}

static uint64_t base0(const struct dev *d)
{
    uint64_t b = get(d, 0x10, 4) & ~0xfu;
    return d->is64 ? b | (uint64_t)get(d, 0x14, 4) << 32 : b;
}

static struct dev *decoding(uint64_t pa, uint32_t *off)
{
    for (unsigned i = 0; i < DEVS; i++) {
        uint64_t b = base0(&dev[i]);
        if ((dev[i].cfg[4] & 2) && dev[i].bar_size[0] && pa >= b && pa - b < dev[i].bar_size[0]) {
            *off = (uint32_t)(pa - b);
            return &dev[i];
        }
    }
    return NULL;
}

static void reset_dev(struct dev *d)
{
    d->flrs++;
    if (d->stuck) {
        memset(d->cfg, 0xff, 4);
        return;
    }
    for (uint32_t r = 0x10; r < 0x28; r += 4) {
        set(d, r, 4, get(d, r, 4) & 0xf & (d->is64 && r == 0x14 ? 0 : ~0u));
    }
    set(d, 4, 2, 0);
    set(d, 0x48, 2, 0);
    set(d, 0x3c, 1, 0);
    memset(d->regs, 0, sizeof(d->regs));
}

uint32_t pci_mmio_read(uint64_t pa, unsigned size)
{
    uint32_t off;
    if (pa >= ECAM && pa < ECAM + (256u << 20)) {
        const struct dev *d = at((uint32_t)((pa - ECAM) >> 12));
        return d ? get(d, pa & 0xfff, size) : size == 4 ? ~0u : (1u << size * 8) - 1;
    }
    const struct dev *d = decoding(pa, &off);
    assert_int_equal(size, 4);
    return d ? d->regs[off / 4] : ~0u;
}

void pci_mmio_write(uint64_t pa, unsigned size, uint32_t v)
{
    uint32_t off;
    if (!(pa >= ECAM && pa < ECAM + (256u << 20))) {
        struct dev *d = decoding(pa, &off);
        window_writes++;
        assert_non_null(d);
        d->regs[off / 4] = v;
        if (d->nvme && off == 0x14 && !d->stuck) {
            d->regs[0x1c / 4] = v & 1;
        }
        return;
    }
    struct dev *d = at((uint32_t)((pa - ECAM) >> 12));
    if (!d) {
        return;
    }
    uint32_t reg = pa & 0xfff, last = bridge(d) ? 0x18 : 0x28;
    if (reg >= 0x10 && reg < last) {
        /* BARs: only the bits above the size can be set. */
        unsigned i = (reg - 0x10) / 4;
        uint32_t word = get(d, reg & ~3u, 4), mask;
        memcpy((uint8_t *)&word + (reg & 3), &v, size);
        if (d->is64 && i == 1) {
            mask = ~0u;
        } else {
            mask = d->bar_size[i] ? ~(d->bar_size[i] - 1) : 0;
        }
        set(d, reg & ~3u, 4, (word & mask) | (get(d, reg & ~3u, 4) & 0xf & ~mask));
        return;
    }
    if (reg == 0x30 || (reg == 0x38 && bridge(d)) || reg < 4) {
        return; /* no ROM; ids are fixed */
    }
    set(d, reg, size, v);
    if (d->flr && reg == 0x48 && (v & 0x8000)) {
        reset_dev(d);
    }
    if (d->af && reg == 0x64 && (v & 1)) {
        reset_dev(d);
        d->cfg[0x64] = 0;
    }
    if (d->flr && reg == 0x48) {
        set(d, 0x48, 2, get(d, 0x48, 2) & 0x7fff);
        set(d, 0x4a, 2, d->keeps_pending ? 0x20 : 0);
    }
}

static struct dev *plug(unsigned i, uint32_t bdf, uint32_t id, uint32_t class_code, uint32_t bar0)
{
    struct dev *d = &dev[i];
    memset(d, 0, sizeof(*d));
    d->bdf = bdf;
    set(d, 0, 4, id);
    set(d, 8, 4, class_code << 8);
    d->bar_size[0] = bar0;
    return d;
}

static void pcie_cap(struct dev *d)
{
    d->flr = true;
    d->cfg[6] |= 0x10;
    d->cfg[0x34] = 0x40;
    d->cfg[0x40] = 0x10; /* PCIe capability, last, FLR */
    set(d, 0x44, 4, 1u << 28);
}

static void host_write(uint32_t bdf, uint32_t reg, unsigned size, uint64_t v)
{
    assert_int_equal(pci_cfg_access((uint64_t)bdf << 12 | reg, true, size, &v), 0);
}

static uint64_t host_read(uint32_t bdf, uint32_t reg, unsigned size)
{
    uint64_t v = 0x5555555555555555;
    assert_int_equal(pci_cfg_access((uint64_t)bdf << 12 | reg, false, size, &v), 0);
    return v;
}

static const struct pci_host host = {
    .ecam = ECAM,
    .ecam_size = 256u << 20,
    .bus_last = 255,
    .win = { { WIN32, WIN32, 0x2eff0000 }, { WIN64, WIN64, WIN64 } },
    .nwin = 2,
};

/* As Linux leaves it. */
static int setup(void **state)
{
    (void)state;
    hosted_log_quiet(true);
    plug(EDU, PCI_BDF(0, 1, 0), 0x11e81234, 0x00ff00, 0x100000);
    struct dev *n = plug(NVME, PCI_BDF(0, 2, 0), 0x00101b36, 0x010802, 0x4000);
    n->nvme = n->is64 = true;
    set(n, 0x10, 4, 4);
    pcie_cap(n);
    n->cfg[0x40 + 1] = 0x70;
    n->cfg[0x70] = 0x11; /* MSI-X: 4 entries at BAR 0 + 0x2000 */
    set(n, 0x72, 2, 3);
    set(n, 0x74, 4, 0x2000);
    struct dev *m = plug(NVME_NO_FLR, PCI_BDF(0, 3, 0), 0x00101b36, 0x010802, 0x4000);
    m->nvme = true;
    pcie_cap(plug(SMALL, PCI_BDF(0, 4, 0), 0x12341234, 0x020000, 0x100));
    struct dev *b = plug(BRIDGE, PCI_BDF(0, 5, 0), 0x000c1b36, 0x060400, 0x1000);
    b->cfg[14] = 1;
    pcie_cap(plug(BEHIND, PCI_BDF(1, 0, 0), 0x00101b36, 0x010802, 0x4000));
    struct dev *m0 = plug(MULTI0, PCI_BDF(0, 6, 0), 0x11111111, 0x020000, 0x1000);
    m0->cfg[14] = 0x80;
    pcie_cap(m0);
    pcie_cap(plug(MULTI1, PCI_BDF(0, 6, 3), 0x11111111, 0x020000, 0x1000));
    struct dev *a = plug(AF, PCI_BDF(0, 7, 0), 0x22222222, 0x020000, 0x1000);
    a->af = true;
    a->cfg[6] = 0x10;
    a->cfg[0x34] = 0x60;
    a->cfg[0x60] = 0x13;
    a->cfg[0x63] = 3;
    assert_int_equal(pci_init(&host), 0);
    assert_int_equal(pci_count(), 8); /* the bridge leads nowhere yet */
    host_write(dev[BRIDGE].bdf, 0x18, 4, 0x00010100);
    host_write(dev[BRIDGE].bdf, 0x20, 4, 0x11301130);
    static const uint32_t order[] = { EDU, NVME_NO_FLR, SMALL, MULTI0, MULTI1, AF, BRIDGE };
    for (unsigned i = 0; i < 7; i++) {
        host_write(dev[order[i]].bdf, 0x10, 4, WIN32 + 0x100000 * (i + 1));
        host_write(dev[order[i]].bdf, 4, 2, 6);
    }
    host_write(n->bdf, 0x10, 4, 0x4000);
    host_write(n->bdf, 0x14, 4, 0x80);
    host_write(n->bdf, 4, 2, 6);
    host_write(PCI_BDF(1, 0, 0), 0x10, 4, 0x11300000);
    host_write(PCI_BDF(1, 0, 0), 4, 2, 6);
    assert_int_equal(pci_count(), 9);
    return 0;
}

/* ---- what is there ---- */

static void scan(void **state)
{
    (void)state;
    struct pci_func f = { 0 };
    assert_true(pci_find(dev[NVME].bdf, &f));
    assert_int_equal(f.class_code, 0x010802);
    assert_int_equal(f.bar[0].size, 0x4000);
    assert_true(f.bar[0].is64 && f.flr && f.on_root && !f.bridge);
    assert_int_equal(f.bar[1].size, 0);
    assert_int_equal(f.reset, PCI_RESET_FLR);
    assert_int_equal(f.sid, f.bdf);
    assert_true(pci_find(dev[NVME_NO_FLR].bdf, &f));
    assert_int_equal(f.reset, PCI_RESET_NVME);
    assert_true(pci_find(dev[AF].bdf, &f));
    assert_int_equal(f.reset, PCI_RESET_AF);
    assert_true(pci_find(dev[EDU].bdf, &f));
    assert_int_equal(f.reset, PCI_RESET_NONE);
    assert_int_equal(f.bar[0].size, 0x100000);
    assert_true(pci_find(dev[BRIDGE].bdf, &f) && f.bridge);
    assert_true(pci_find(PCI_BDF(1, 0, 0), &f) && !f.on_root);
    assert_false(pci_find(PCI_BDF(2, 0, 0), &f));
    assert_false(pci_get(9, &f));
    /* Sizing left everything as it was. */
    assert_int_equal(host_read(dev[EDU].bdf, 0x10, 4), WIN32 + 0x100000);
    struct pci_host bad = host;
    bad.ecam_size = 255u << 20;
    assert_int_equal(pci_init(&bad), -EINVAL);
    bad = host;
    bad.nwin = PCI_WINDOWS + 1;
    assert_int_equal(pci_init(&bad), -EINVAL);
}

static void who_may_be_taken(void **state)
{
    (void)state;
    static const struct {
        unsigned dev;
        int err;
    } want[] = { { EDU, -ENODEV },    { NVME, 0 },         { NVME_NO_FLR, 0 },
                 { SMALL, -EINVAL },  { BRIDGE, -ENODEV }, { BEHIND, -ENODEV },
                 { MULTI0, -ENODEV }, { MULTI1, -ENODEV }, { AF, 0 } };
    struct pci_range r[PCI_BARS] = { 0 };
    uint32_t n;
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct dev before = dev[want[i].dev];
        int err = 1;
        const char *why = pci_why_not(dev[want[i].dev].bdf, &err);
        assert_int_equal(err, want[i].err);
        assert_int_equal(why == NULL, err == 0);
        if (why) {
            assert_true(strlen(why) < 44);
            assert_int_equal(pci_take(dev[want[i].dev].bdf, OWNER_VM0, r, &n), err);
        }
        assert_memory_equal(&before, &dev[want[i].dev], sizeof(before)); /* nothing changed */
    }
    assert_int_equal(pci_take(PCI_BDF(0, 9, 0), OWNER_VM0, r, &n), -ENOENT);
    assert_int_equal(pci_give_back(dev[NVME].bdf), -ENOENT);
    assert_int_equal(pci_quiesce(dev[NVME].bdf), -ENOENT);
    assert_int_equal(pci_bus_master(dev[NVME].bdf, true), -ENOENT);
    /* Not placed, or over another's registers, or a bridge that could lend it its stream id. */
    int err;
    host_write(dev[AF].bdf, 0x10, 4, 0);
    assert_non_null(pci_why_not(dev[AF].bdf, &err));
    assert_int_equal(err, -EINVAL);
    host_write(dev[AF].bdf, 0x10, 4, WIN32 + 0x101000); /* in edu's */
    assert_non_null(pci_why_not(dev[AF].bdf, &err));
    host_write(dev[AF].bdf, 0x10, 4, 0x11300000); /* in the bridge's window */
    assert_non_null(pci_why_not(dev[AF].bdf, &err));
    host_write(dev[AF].bdf, 0x10, 4, WIN32 + 0x900000);
    assert_null(pci_why_not(dev[AF].bdf, &err));
    host_write(dev[BRIDGE].bdf, 0x18, 4, 0);
    assert_non_null(pci_why_not(dev[AF].bdf, &err));
    assert_int_equal(err, -EBUSY);
    /* Numbered like the one above it: whatever is behind it cannot be looked at. */
    host_write(dev[BRIDGE].bdf, 0x18, 4, 0x00020100);
    assert_null(pci_why_not(dev[AF].bdf, &err));
    dev[BEHIND].cfg[14] = 1;
    host_write(PCI_BDF(1, 0, 0), 0x18, 4, 0x00010101);
    assert_non_null(pci_why_not(dev[AF].bdf, &err));
    assert_int_equal(err, -EBUSY);
    host_write(PCI_BDF(1, 0, 0), 0x18, 4, 0x00020201);
    assert_null(pci_why_not(dev[AF].bdf, &err));
}

/* ---- take and return ---- */

static void take(unsigned i)
{
    struct pci_range r[PCI_BARS] = { 0 };
    uint32_t n = 0;
    uint64_t base = base0(&dev[i]);
    assert_int_equal(pci_take(dev[i].bdf, OWNER_VM0, r, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(r[0].pa, base);
    assert_int_equal(r[0].len, dev[i].bar_size[0]);
    assert_int_equal(base0(&dev[i]), base);
    assert_int_equal(get(&dev[i], 4, 2), 0x402); /* decodes, no bus master, no INTx */
}

static void take_and_return(void **state)
{
    (void)state;
    static const unsigned which[] = { NVME, NVME_NO_FLR, AF };
    for (unsigned k = 0; k < 3; k++) {
        struct dev *d = &dev[which[k]];
        struct pci_func f = { 0 };
        set(d, 0x3c, 1, 35);
        if (d->nvme) {
            d->regs[0x14 / 4] = d->regs[0x1c / 4] = 1; /* the host's driver left it running */
            d->regs[0x28 / 4] = 0x1234000;
            d->regs[0x2000 / 4] = 0xfee00000;
        }
        take(which[k]);
        assert_true(pci_find(d->bdf, &f) && f.taken && f.owner == OWNER_VM0);
        assert_int_equal(pci_take(d->bdf, OWNER_VM0, NULL, NULL), -EBUSY);
        assert_int_equal(d->flrs, which[k] == NVME_NO_FLR ? 0 : 1);
        assert_int_equal(d->regs[0x28 / 4], 0);
        if (which[k] == NVME) {
            assert_int_equal(d->regs[0x2000 / 4], 0);
            assert_int_equal(d->regs[0x200c / 4], 1);
        }
        /* The host sees nothing there, and reaches nothing. */
        assert_int_equal(host_read(d->bdf, 0, 4), 0xffffffff);
        assert_int_equal(host_read(d->bdf, 0, 8), ~(uint64_t)0);
        assert_int_equal(host_read(d->bdf, 0x10, 1), 0xff);
        struct dev before = *d;
        for (uint32_t reg = 0; reg < 0x100; reg += 4) {
            host_write(d->bdf, reg, 4, ~0u);
            host_write(d->bdf, reg, 8, 0);
            host_write(d->bdf, reg + 1, 1, 0);
        }
        assert_memory_equal(&before, d, sizeof(before));
        if (d->nvme) { /* until its registers are unmapped, the host sets it up to its liking */
            d->regs[0x14 / 4] = d->regs[0x1c / 4] = 1;
            d->regs[0x28 / 4] = 0x1234000;
        }
        assert_int_equal(pci_bus_master(d->bdf, true), 0);
        assert_int_equal(get(d, 4, 2), 0x406);
        if (d->nvme) {
            assert_int_equal(d->regs[0x1c / 4], 0);
            assert_int_equal(d->regs[0x28 / 4], 0);
        }
        /* Once only: off and on again leaves it alone. */
        d->regs[0x100 / 4] = 77;
        assert_int_equal(pci_bus_master(d->bdf, false), 0);
        assert_int_equal(get(d, 4, 2), 0x402);
        assert_int_equal(pci_bus_master(d->bdf, true), 0);
        assert_int_equal(d->regs[0x100 / 4], 77);
        if (d->nvme) {
            d->regs[0x14 / 4] = d->regs[0x1c / 4] = 1;
            d->regs[0x30 / 4] = 0x5678000; /* the VM's secret address */
        }
        assert_int_equal(pci_quiesce(d->bdf), 0);
        assert_int_equal(get(d, 4, 2) & 4, 0);
        assert_int_equal(d->nvme ? d->regs[0x1c / 4] : 0, 0);
        assert_int_equal(pci_give_back(d->bdf), 0);
        assert_int_equal(d->regs[0x30 / 4], 0);
        assert_int_equal(get(d, 4, 2), 2); /* as the host had it, without bus master */
        assert_int_equal(get(d, 0x3c, 1), 35);
        assert_int_equal(host_read(d->bdf, 0, 4), get(d, 0, 4));
        assert_int_equal(pci_give_back(d->bdf), -ENOENT);
    }
}

static void never_hangs(void **state)
{
    (void)state;
    struct pci_range r[PCI_BARS] = { 0 };
    struct pci_func f = { 0 };
    uint32_t n;
    /* It will not drain. */
    dev[NVME].keeps_pending = true;
    set(&dev[NVME], 0x4a, 2, 0x20);
    assert_int_equal(pci_take(dev[NVME].bdf, OWNER_VM0, r, &n), -ETIMEDOUT);
    assert_true(pci_find(dev[NVME].bdf, &f) && !f.taken);
    assert_int_equal(get(&dev[NVME], 4, 2) & 4, 0);
    assert_int_not_equal(host_read(dev[NVME].bdf, 0, 4), 0xffffffff);
    /* It will not become ready, or not come back from its reset. */
    dev[NVME_NO_FLR].stuck = true;
    dev[NVME_NO_FLR].regs[0x1c / 4] = 1;
    assert_int_equal(pci_take(dev[NVME_NO_FLR].bdf, OWNER_VM0, r, &n), -ETIMEDOUT);
    dev[AF].stuck = true;
    assert_true(pci_take(dev[AF].bdf, OWNER_VM0, r, &n) < 0);
    assert_true(pci_find(dev[AF].bdf, &f) && !f.taken);
    /* A return that fails keeps it, without power. */
    dev[NVME_NO_FLR].stuck = false;
    dev[NVME_NO_FLR].regs[0x1c / 4] = 0;
    take(NVME_NO_FLR);
    assert_int_equal(pci_bus_master(dev[NVME_NO_FLR].bdf, true), 0);
    dev[NVME_NO_FLR].stuck = true;
    dev[NVME_NO_FLR].regs[0x1c / 4] = 1;
    assert_int_equal(pci_give_back(dev[NVME_NO_FLR].bdf), -ETIMEDOUT);
    assert_true(pci_find(dev[NVME_NO_FLR].bdf, &f) && f.taken);
    assert_int_equal(get(&dev[NVME_NO_FLR], 4, 2) & 4, 0);
}

/* ---- what the host may write ---- */

static void refused(uint32_t bdf, uint32_t reg, unsigned size, uint64_t v)
{
    uint64_t before = host_read(bdf, reg, size), n = pci.refused;
    host_write(bdf, reg, size, v);
    assert_int_equal(host_read(bdf, reg, size), before);
    assert_int_equal(pci.refused, n + 1);
}

static void allowed(uint32_t bdf, uint32_t reg, unsigned size, uint64_t v)
{
    uint64_t n = pci.refused;
    host_write(bdf, reg, size, v);
    assert_int_equal(host_read(bdf, reg, size), v);
    assert_int_equal(pci.refused, n);
}

static void bars_of_others(void **state)
{
    (void)state;
    uint32_t edu = dev[EDU].bdf, taken_bar = (uint32_t)base0(&dev[NVME_NO_FLR]);
    take(NVME_NO_FLR);
    refused(edu, 0x10, 4, taken_bar & ~0xfffffu); /* around it */
    host_write(dev[AF].bdf, 4, 2, 0);             /* decoding off helps nothing */
    refused(dev[AF].bdf, 0x10, 4, taken_bar);
    refused(dev[AF].bdf, 0x10, 4, taken_bar + 0x3000);
    refused(edu, 0x10, 4, (taken_bar & ~0xfffffu) + 0xff000); /* bits that the BAR does not have */
    allowed(dev[AF].bdf, 0x10, 4, taken_bar + 0x4000);
    refused(dev[AF].bdf, 0x11, 1, taken_bar >> 8 & 0xff); /* a byte at a time */
    refused(dev[AF].bdf, 0x10, 2, taken_bar & 0xffff);
    /* Elsewhere in the windows, yes; outside only while not decoding, and for sizing. */
    allowed(edu, 0x10, 4, WIN32 + 0x1000000);
    refused(edu, 0x10, 4, 0x50000000);
    host_write(edu, 0x10, 4, 0xffffffff);
    assert_int_equal(host_read(edu, 0x10, 4), 0xfff00000);
    allowed(edu, 0x10, 4, WIN32 + 0x1000000);
    allowed(edu, 4, 2, 0);
    allowed(edu, 0x10, 4, 0x50000000);
    /* A 64-bit BAR, each half. */
    uint32_t n = dev[NVME].bdf;
    host_write(n, 4, 2, 0);
    host_write(n, 0x14, 4, 0);
    refused(n, 0x10, 4, taken_bar | 4u);
    host_write(n, 0x14, 4, 0x80);
    host_write(n, 0x10, 4, taken_bar);
    assert_int_equal(host_read(n, 0x10, 4) & ~0xfu, taken_bar);
    refused(n, 0x14, 4, 0);
    refused(n, 0x10, 8, taken_bar); /* the low half stays as it is, the high one is refused */
    /* Returned: no longer. */
    assert_int_equal(pci_give_back(dev[NVME_NO_FLR].bdf), 0);
    host_write(n, 0x14, 4, 0);
    assert_int_equal(host_read(n, 0x14, 4), 0);
}

static void bridges(void **state)
{
    (void)state;
    uint32_t b = dev[BRIDGE].bdf, taken_bar = (uint32_t)base0(&dev[NVME_NO_FLR]);
    allowed(b, 0x18, 4, 0); /* nothing is taken: the host numbers as it likes */
    allowed(b, 0x18, 4, 0x00010100);
    take(NVME_NO_FLR);
    refused(b, 0x18, 4, 0);
    refused(b, 0x18, 4, 0x00ff0000); /* secondary 0 .. 255 */
    refused(b, 0x19, 1, 0);
    refused(b, 0x18, 2, 0);
    allowed(b, 0x18, 4, 0x00ff0100);
    allowed(b, 0x18, 4, 0x00020200);
    /* Windows: memory, prefetchable, and its upper halves. */
    uint32_t mb = taken_bar >> 16 & 0xfff0;
    refused(b, 0x20, 4, mb | mb << 16);
    refused(b, 0x20, 2, 0x1000); /* the base alone, from below it */
    allowed(b, 0x22, 2, 0);      /* the window is empty now .. */
    allowed(b, 0x20, 2, 0x1000);
    refused(b, 0x22, 2, 0xfff0); /* .. and the limit alone would open it over everything */
    allowed(b, 0x20, 2, 0x2000);
    allowed(b, 0x22, 2, 0x2010);
    allowed(b, 0x28, 4, 0x80);
    allowed(b, 0x2c, 4, 0x80);
    allowed(b, 0x24, 4, mb | mb << 16); /* at 0x80_...: not there */
    refused(b, 0x28, 4, 0);
    refused(b, 0x10, 4, taken_bar); /* its own BAR */
    /* A bridge behind it, which no table lists, is no way round. */
    dev[BEHIND].cfg[14] = 1;
    refused(PCI_BDF(2, 0, 0), 0x18, 4, 0);
    allowed(PCI_BDF(2, 0, 0), 0x18, 4, 0x00030302);
}

static void what_is_not_tracked(void **state)
{
    (void)state;
    struct dev *d = &dev[EDU];
    set(d, 0x100, 4, 0x15010001); /* AER, next 0x150 */
    set(d, 0x150, 4, 0x1a010010); /* SR-IOV, next 0x1a0 */
    set(d, 0x1a0, 4, 0x15010015); /* resizable BAR, and a loop */
    allowed(d->bdf, 0x104, 4, 0x123);
    refused(d->bdf, 0x158, 2, 1);
    refused(d->bdf, 0x174, 4, 0x10000000);
    allowed(d->bdf, 0x190, 4, 7);
    refused(d->bdf, 0x1a8, 4, 0xf00);
    allowed(d->bdf, 0xffc, 4, 7);
}

static void odd_accesses(void **state)
{
    (void)state;
    uint64_t v;
    uint32_t edu = dev[EDU].bdf;
    static const struct {
        uint64_t off;
        unsigned size;
    } odd[] = { { 1, 2 },           { 2, 4 }, { 3, 4 },  { 4, 3 },
                { 0, 0 },           { 4, 8 }, { 0, 16 }, { (uint64_t)256 << 20, 4 },
                { ~(uint64_t)3, 4 } };
    for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct dev before = dev[EDU];
        v = 0;
        assert_int_equal(pci_cfg_access(odd[i].off + (odd[i].off < 16 ? (uint64_t)edu << 12 : 0),
                                        false, odd[i].size, &v),
                         0);
        assert_true(v == ~(uint64_t)0 || v == 0xffffffff || v == 0xffff);
        v = 0;
        assert_int_equal(pci_cfg_access(odd[i].off + (odd[i].off < 16 ? (uint64_t)edu << 12 : 0),
                                        true, odd[i].size, &v),
                         0);
        assert_memory_equal(&before, &dev[EDU], sizeof(before));
    }
    assert_int_equal(host_read(PCI_BDF(0, 31, 7), 0, 4), 0xffffffff);
    assert_int_equal(host_read(edu, 0, 2), 0x1234);
    assert_int_equal(host_read(edu, 2, 1), 0xe8);
    assert_int_equal(host_read(edu, 0, 8), 0x0000000611e81234);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(scan),           T(who_may_be_taken), T(take_and_return),     T(never_hangs),
        T(bars_of_others), T(bridges),          T(what_is_not_tracked), T(odd_accesses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
