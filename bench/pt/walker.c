/* SPDX-License-Identifier: BSD-2-Clause */
#include "walker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(n) ((uint64_t)1 << (n))
#define LEVELS 4u /* of every tree here: 3 is the root, 0 the last */
#define NONE   (~(uint64_t)0)

/* Dirty: (e & dirty_mask) == dirty_value. */
struct format {
    const char *name;
    uint64_t present, dirty_mask, dirty_value;
    bool (*leaf)(unsigned level, uint64_t e);
    uint64_t (*address)(uint64_t e); /* of a table */
    uint64_t (*page)(uint64_t e);    /* of a leaf; null: as of a table */
};

/* Arm DDI0487 D8.3: bit 1 tells a table from a block. */
static bool arm_leaf(unsigned level, uint64_t e)
{
    return level == 0 || !(e & BIT(1));
}

static uint64_t arm_address(uint64_t e)
{
    return e & (BIT(48) - BIT(12));
}

/* Intel SDM 3A 4.5, VT-d 9.8, AMD: PS is bit 7. */
static bool ps_leaf(unsigned level, uint64_t e)
{
    return level == 0 || (e & BIT(7));
}

static uint64_t x86_address(uint64_t e)
{
    return e & (BIT(52) - BIT(12));
}

/* AMD IOMMU 48882 2.2.3: NextLevel[11:9] is 0 or 7 in a leaf. */
static bool amd_leaf(unsigned level, uint64_t e)
{
    unsigned next = (unsigned)(e >> 9) & 7;

    return level == 0 || next == 0 || next == 7;
}

/* NextLevel 7: the size is coded in the address, by the zero above the lowest ones. */
static uint64_t amd_page(uint64_t e)
{
    uint64_t a = x86_address(e);

    if (((e >> 9) & 7) == 7) {
        a &= ~((((a | 0xfff) + 1) & ~(a | 0xfff)) * 2 - 1);
    }
    return a;
}

/* RISC-V privileged 12.4 (Sv48): R, W or X set in a leaf; PPN is [53:10]. */
static bool riscv_leaf(unsigned level, uint64_t e)
{
    (void)level;
    return (e & (7u << 1)) != 0;
}

static uint64_t riscv_address(uint64_t e)
{
    return (e & (BIT(54) - BIT(10))) << 2;
}

/* Svnapot: N and ppn[3:0] = 1000. */
static uint64_t riscv_page(uint64_t e)
{
    uint64_t a = riscv_address(e);

    return e & BIT(63) ? a & ~(uint64_t)0xffff : a;
}

static const struct format formats[] = {
    { "arm-s1-4k", BIT(0), BIT(7), 0, arm_leaf, arm_address, NULL },
    { "arm-s2-4k", BIT(0), BIT(7), BIT(7), arm_leaf, arm_address, NULL },
    { "x86-64", BIT(0), BIT(6), BIT(6), ps_leaf, x86_address, NULL },
    { "vtd-ss", BIT(0) | BIT(1), BIT(9), BIT(9), ps_leaf, x86_address, NULL },
    { "amd-v1", BIT(0), BIT(6), BIT(6), amd_leaf, x86_address, amd_page },
    { "riscv-sv48", BIT(0), BIT(7), BIT(7), riscv_leaf, riscv_address, riscv_page },
};

static const struct format *format_of(const struct subject *s)
{
    for (unsigned i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (!strcmp(formats[i].name, s->format)) {
            return &formats[i];
        }
    }
    fprintf(stderr, "bench_pt: no walker for %s\n", s->format);
    exit(1);
}

static uint64_t *pointer(uint64_t address, int64_t phys)
{
    return (uint64_t *)(uintptr_t)(address + (uint64_t)phys);
}

uint64_t walker_translate(const struct subject *s, void *t, uint64_t ia)
{
    const struct format *f = format_of(s);
    int64_t phys;
    const uint64_t *table = s->root(t, &phys);

    for (unsigned level = LEVELS - 1;; level--) {
        uint64_t e = table[ia >> (12 + 9 * level) & 511];

        if (!(e & f->present)) {
            return NONE;
        }
        if (f->leaf(level, e)) {
            uint64_t base = (f->page ? f->page : f->address)(e);
            uint64_t inside = BIT(12 + 9 * level) - 1;

            /* A leaf of many entries may be larger than what its level says. */
            return base | (ia & (f->page && base != f->address(e) ? (base & -base) - 1 : inside));
        }
        table = pointer(f->address(e), phys);
    }
}

enum what { CLEAN, DIRTY, COUNT };

static uint64_t each_leaf(const struct format *f, uint64_t *table, unsigned level, int64_t phys,
                          enum what what)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < 512; i++) {
        uint64_t e = table[i];

        if (!(e & f->present)) {
            continue;
        }
        if (!f->leaf(level, e)) {
            n += each_leaf(f, pointer(f->address(e), phys), level - 1, phys, what);
        } else if (what == COUNT) {
            n += (e & f->dirty_mask) == f->dirty_value;
        } else {
            uint64_t v = what == DIRTY ? f->dirty_value : f->dirty_value ^ f->dirty_mask;

            table[i] = (e & ~f->dirty_mask) | v;
            n++;
        }
    }
    return n;
}

static uint64_t whole_tree(const struct subject *s, void *t, enum what what)
{
    int64_t phys;
    uint64_t *table = s->root(t, &phys);

    return each_leaf(format_of(s), table, LEVELS - 1, phys, what);
}

uint64_t walker_set_dirty(const struct subject *s, void *t, bool dirty)
{
    return whole_tree(s, t, dirty ? DIRTY : CLEAN);
}

uint64_t walker_count_dirty(const struct subject *s, void *t)
{
    return whole_tree(s, t, COUNT);
}
