/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One engine, every format: the same 4 MiB mapped in each format that this library was built for,
 * then one page of it taken out while it could be in use.
 *
 *   cc formats.c $(pkg-config --cflags --libs tenon) && ./a.out
 */
#include <stdio.h>
#include <tenon/hosted.h>
#include <tenon/pt.h>

#define MIB ((uint64_t)1 << 20)

static const struct {
    const char *name;
    struct pt_config cfg;
} forms[] = {
    { "Arm stage 1", { PT_ARM_S1_4K, .ia_bits = 48, .oa_bits = 48, .live.bbm = 2 } },
    { "Arm stage 2",
      { PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 40, .start_level = 1, .live.bbm = 2 } },
    { "x86-64", { PT_X86_64, .ia_bits = 48, .oa_bits = 48 } },
    { "EPT", { PT_EPT, .ia_bits = 48, .oa_bits = 48 } },
    { "VT-d second stage", { PT_VTD_SS, .ia_bits = 48, .oa_bits = 48 } },
    { "AMD IOMMU", { PT_AMD_V1, .ia_bits = 48, .oa_bits = 48 } },
    { "RISC-V Sv48", { PT_RISCV, .ia_bits = 48, .oa_bits = 50 } },
    { "RISC-V Sv48x4", { PT_RISCV_X4, .ia_bits = 50, .oa_bits = 50 } },
};

static void show(const struct pt *pt)
{
    struct pt_leaf leaf;
    unsigned small = 0;

    for (uint64_t ia = 0; pt_next(pt, &ia, 4 * MIB - 1, &leaf);) {
        if (leaf.present && leaf.last - leaf.ia >= MIB) {
            printf("    %#9lx .. %#9lx -> %#lx\n", leaf.ia, leaf.last, leaf.oa);
        } else {
            small += leaf.present;
        }
    }
    if (small != 0) {
        printf("    and %u smaller leaves\n", small);
    }
}

static int one(const char *name, const struct pt_config *cfg)
{
    const uint32_t rights = PT_READ | PT_WRITE | PT_USER;
    int pages = pt_root_pages(cfg);
    struct pt_pool pool = { 0 };
    struct pt_gather gone = { 0 };
    struct pt pt;

    if (pages < 0) {
        printf("%s: not in this library\n", name);
        return 0;
    }
    if (pt_init(&pt, cfg, hosted_alloc((uint32_t)pages, 4096 * (uint64_t)pages)) != 0) {
        return 1;
    }
    for (int i = 0; i < 12; i++) {
        pt_pool_push(&pool, hosted_alloc(1, 4096));
    }
    int err = pt_map(&pt, 0, 64 * MIB, 4 * MIB, rights, 0, &pool);

    printf("%s: error %d\n", name, err);
    show(&pt);
    /* Live: a filled table takes the large leaf's place in one store, then one entry goes. */
    err = err ? err : pt_cut(&pt, MIB, 4096, &pool, &gone);
    err = err ? err : pt_break(&pt, MIB, 4096, &gone);
    printf("  one page taken out: error %d, %u ranges to invalidate\n", err, gone.n);
    show(&pt);
    return err;
}

int main(void)
{
    int err = 0;

    for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        err |= one(forms[i].name, &forms[i].cfg);
    }
    return err != 0;
}
