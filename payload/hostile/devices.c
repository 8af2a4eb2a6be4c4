/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers that EL2 traps: redistributors, ITS (IHI0069 5, 12) and PCI configuration space. */
#include "hostile.h"

#define QUEUE       SCRATCH /* 64 KiB of ITS commands */
#define QUEUE_BYTES 0x10000u
enum { GITS_CTLR = 0, GITS_CBASER = 0x80, GITS_CWRITER = 0x88, GITS_CREADR = 0x90 };
enum { GICR_CTLR = 0, GICR_PROPBASER = 0x70, GICR_PENDBASER = 0x78 };
#define VALID ((uint64_t)1 << 63)

/* Any access, near what exists, most of the time. */
static void poke(uint64_t base, uint64_t offset)
{
    unsigned size = (unsigned)below(4);

    if (below(2)) {
        (void)load(base + offset, size);
    } else {
        store(base + offset, size, below(2) ? rnd() : pick());
    }
}

void try_redistributors(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t offset = below(3) ? below(0x100) : below(0x1000);

        poke(GICR, offset + (below(4) ? 0 : 0x20000));
    }
    for (unsigned i = 0; i < 200; i++) {
        store(GICR + GICR_CTLR, 2, 0);
        store(GICR + GICR_PROPBASER, 3, pick_address() | (rnd() & 31) | 0x780);
        store(GICR + GICR_PENDBASER, 3, pick_address());
        store(GICR + GICR_CTLR, 2, 1);
    }
    store(GICR + GICR_CTLR, 2, 0);
    survived("redistributor accesses");
}

static void its_start(void)
{
    store(ITS + GITS_CTLR, 2, 0);
    store(ITS + GITS_CBASER, 3, VALID | QUEUE | (QUEUE_BYTES / 4096 - 1));
    store(ITS + GITS_CWRITER, 3, 0);
    store(ITS + GITS_CTLR, 2, 1);
}

static bool its_run(uint64_t writer)
{
    store(ITS + GITS_CWRITER, 3, writer);
    for (unsigned i = 0; i < 1000; i++) {
        if ((load(ITS + GITS_CREADR, 3) & ~1ul) == writer) {
            return true;
        }
    }
    return false;
}

/* One command of the ITS (IHI0069 5.3), nearly right: MAPD is the one with an address. */
static void its_command(volatile uint64_t *c)
{
    static const uint8_t number[] = { 1,  3,  4,  5,  8,  8,    8,    9,    10,   10,
                                      11, 12, 13, 14, 15, 0x20, 0x29, 0x2d, 0xff, 0 };
    uint8_t what = number[below(sizeof(number))];
    uint64_t device = below(4) ? below(64) : rnd() & 0xffffffff;
    uint64_t itt = pick_address() + (below(2) ? below(0x10000) & ~0xfful : 0);

    c[0] = what | device << 32;
    c[1] = what == 8 ? below(32) : below(64) | (8192 + below(64)) << 32;
    c[2] = what == 8 ? itt | (rnd() & VALID)
                     : (below(4) ? below(8) : rnd() & 0xffff) | below(4) << 16 | (rnd() & VALID);
    c[3] = below(4) ? 0 : rnd();
    if (below(50) == 0) {
        for (unsigned k = 0; k < 4; k++) {
            c[k] = rnd();
        }
    }
}

void try_its(unsigned n)
{
    uint64_t w = 0, stuck = 0;

    its_start();
    for (unsigned i = 0; i < n; i++) {
        its_command((volatile uint64_t *)(QUEUE + w));
        w = (w + 32) & (QUEUE_BYTES - 1);
        if (i % 64 == 63 && !its_run(w)) {
            stuck++;
            its_start(); /* as a driver would after a stall */
            w = 0;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        poke(ITS, below(4) ? below(0x140) : below(0x10000));
    }
    /* Afterwards it still works: every device number used above is unmapped. */
    its_start();
    w = 0;
    for (uint64_t device = 0; device < 64; device++, w += 32) {
        volatile uint64_t *c = (volatile uint64_t *)(QUEUE + w);

        c[0] = 8 | device << 32;
        c[1] = c[2] = c[3] = 0;
    }
    check(its_run(w), "the ITS takes commands after 20,000 bad ones", "stalls:", stuck);
}

void try_config_space(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t offset = below(8) ? below(8) << 15 | below(0x400) : below(0x10000000);
        unsigned size = (unsigned)below(4);

        if (below(3)) {
            (void)load(ECAM + offset, size);
        } else {
            store(ECAM + offset, size, rnd());
        }
    }
    survived("configuration space accesses");
}
