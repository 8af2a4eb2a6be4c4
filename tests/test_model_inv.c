/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: what each family's invalidations remove, and what they may leave. */
#include "lib_model.h"

#define IA   0x40200000u /* a 2 MiB boundary */
#define VMID 7
#define ASID 9

static struct model_key key(uint8_t stage, uint64_t ia, uint8_t shift, bool table)
{
    return (struct model_key){
        .ia = ia,
        .vmid = VMID,
        .asid = stage == MODEL_STAGE_1 ? ASID : 0,
        .stage = stage,
        .shift = shift,
        .level = (int16_t)(3 - (shift - 12) / 9),
        .table = table,
    };
}

static const char *match(struct model_inv inv, struct model_key k)
{
    return model_verdict_name(model_inv_match(&inv, &k));
}

#define REMOVES(inv, k)   assert_string_equal(match(inv, k), "ok")
#define SPARES(inv, k, v) assert_string_equal(match(inv, k), model_verdict_name(MODEL_V_##v))

static void intel_cpu(void **state)
{
    struct model_key page = key(MODEL_STAGE_1, IA, 12, false);
    struct model_key large = key(MODEL_STAGE_1, IA, 21, false);
    struct model_key pde = key(MODEL_STAGE_1, IA, 21, true);
    struct model_key far = key(MODEL_STAGE_1, IA + LM_1G, 30, true);
    struct model_key global = page, other = page, guest = page, nested;
    struct model_inv invlpg = model_inv_invlpg(VMID, ASID, IA + 0x10);
    struct model_inv invpcid = model_inv_s1(VMID, ASID, IA, 0, 0, false);

    (void)state;
    global.global = true;
    global.asid = ASID + 1;
    other.asid = ASID + 1;
    guest.vmid = VMID + 1;
    REMOVES(invlpg, page);
    REMOVES(invlpg, large);
    REMOVES(invlpg, pde);
    REMOVES(invlpg, far); /* all paging-structure caches of the PCID, whatever the address */
    REMOVES(invlpg, global);
    SPARES(invlpg, other, WRONG_ASID);
    SPARES(invlpg, guest, WRONG_VMID);
    SPARES(model_inv_invlpg(VMID, ASID, IA + LM_4K), page, STALE);
    REMOVES(model_inv_invlpg(VMID, ASID, IA + LM_4K), large);
    far.asid = ASID + 1;
    SPARES(invlpg, far, WRONG_ASID);
    far.asid = ASID;

    invpcid.spare_global = true;
    REMOVES(invpcid, page);
    REMOVES(invpcid, pde);
    SPARES(invpcid, far, STALE);
    SPARES(invpcid, global, WRONG_ASID);

    /* INVLPGA: by the guest's virtual address. What nested paging caches by guest physical address,
     * and combined entries of another address, stay. */
    nested = key(MODEL_STAGE_2, IA, 12, false);
    SPARES(invlpg, nested, WRONG_STAGE);
    nested.stage = MODEL_STAGE_COMBINED;
    nested.asid = ASID;
    REMOVES(invlpg, nested);
}

static void ept_by_root_alone(void **state)
{
    struct model_inv invept = { .kind = MODEL_INV_S2_VMID, .vmid = VMID };
    struct model_inv invvpid = { .kind = MODEL_INV_S1_VMID, .vmid = VMID };
    struct model_inv all = { .kind = MODEL_INV_ALL };
    struct model_key physical = key(MODEL_STAGE_2, IA, 12, false);
    struct model_key table = key(MODEL_STAGE_2, IA, 30, true);
    struct model_key combined = key(MODEL_STAGE_COMBINED, IA, 12, false);
    struct model_key linear = key(MODEL_STAGE_1, IA, 12, false);

    (void)state;
    REMOVES(invept, physical);
    REMOVES(invept, table);
    REMOVES(invept, combined);
    SPARES(invept, linear, STALE);
    SPARES(invvpid, physical, STALE);
    SPARES(invvpid, table, STALE);
    REMOVES(invvpid, combined);
    REMOVES(invvpid, linear);
    REMOVES(all, physical);
    physical.vmid++;
    SPARES(invept, physical, WRONG_VMID);
    REMOVES(all, physical);
}

static void vtd(void **state)
{
    struct model_key page = key(MODEL_STAGE_2, IA + 5 * LM_4K, 12, false);
    struct model_key large = key(MODEL_STAGE_2, IA, 21, false);
    struct model_key pde = key(MODEL_STAGE_2, IA, 21, true);
    struct model_key first = key(MODEL_STAGE_1, IA, 12, false);
    struct model_inv domain = { .kind = MODEL_INV_VMID, .vmid = VMID };

    (void)state;
    REMOVES(model_inv_vtd_page(VMID, IA + 5 * LM_4K, 0, false), page);
    REMOVES(model_inv_vtd_page(VMID, IA + 5 * LM_4K, 0, false), large);
    REMOVES(model_inv_vtd_page(VMID, IA + 5 * LM_4K, 0, false), pde);
    SPARES(model_inv_vtd_page(VMID, IA + 5 * LM_4K, 0, true), pde, LEAF_ONLY); /* IH */
    REMOVES(model_inv_vtd_page(VMID, IA + 5 * LM_4K, 0, true), large);
    SPARES(model_inv_vtd_page(VMID, IA + 4 * LM_4K, 0, false), page, STALE);
    REMOVES(model_inv_vtd_page(VMID, IA + 4 * LM_4K, 1, false), page); /* two pages */
    /* The low bits are masked: 4 pages from page 6 on are pages 4 to 7. */
    REMOVES(model_inv_vtd_page(VMID, IA + 6 * LM_4K, 2, false), page);
    SPARES(model_inv_vtd_page(VMID, IA + 8 * LM_4K, 2, false), page, STALE);
    SPARES(model_inv_vtd_page(VMID + 1, IA + 5 * LM_4K, 9, false), page, WRONG_VMID);
    SPARES(model_inv_vtd_page(VMID, IA, 9, false), first, STALE);
    REMOVES(model_inv_vtd_pasid_page(VMID, ASID, IA, 0, false), first);
    SPARES(model_inv_vtd_pasid_page(VMID, ASID + 1, IA, 0, false), first, WRONG_ASID);
    SPARES(model_inv_vtd_pasid_page(VMID, ASID, IA, 0, false), large, STALE);
    first.stage = MODEL_STAGE_COMBINED; /* nested: of both stages */
    REMOVES(model_inv_vtd_page(VMID, IA, 9, false), first);
    REMOVES(domain, page);
    REMOVES(domain, first);
    REMOVES(domain, pde);
}

static void amd_iommu(void **state)
{
    struct model_key page = key(MODEL_STAGE_2, IA + 5 * LM_4K, 12, false);
    struct model_key large = key(MODEL_STAGE_2, IA, 21, false);
    struct model_key pde = key(MODEL_STAGE_2, IA, 21, true);
    struct model_key high = key(MODEL_STAGE_2, (uint64_t)0xfff << 52, 12, false);

    (void)state;
    REMOVES(model_inv_amd_pages(VMID, IA + 5 * LM_4K, false, true), page);
    REMOVES(model_inv_amd_pages(VMID, IA + 5 * LM_4K, false, false), large);
    SPARES(model_inv_amd_pages(VMID, IA + 5 * LM_4K, false, false), pde, LEAF_ONLY);
    REMOVES(model_inv_amd_pages(VMID, IA + 5 * LM_4K, false, true), pde);
    SPARES(model_inv_amd_pages(VMID, IA + 4 * LM_4K, false, true), page, STALE);
    /* S: bit 12 clear is 8K, 01 16K, 011 32K. */
    REMOVES(model_inv_amd_pages(VMID, IA + 4 * LM_4K, true, true), page);
    SPARES(model_inv_amd_pages(VMID, IA + 2 * LM_4K, true, true), page, STALE);
    SPARES(model_inv_amd_pages(VMID, IA + 1 * LM_4K, true, true), page, STALE); /* 16K: 0 to 3 */
    REMOVES(model_inv_amd_pages(VMID, IA + 3 * LM_4K, true, true), page);       /* 32K: 0 to 7 */
    REMOVES(model_inv_amd_pages(VMID, IA | 0xff000, true, true), page);         /* 2 MiB */
    SPARES(model_inv_amd_pages(VMID, (IA + LM_2M) | 0xff000, true, true), page, STALE);
    REMOVES(model_inv_amd_pages(VMID, 0x7ffffffffffff000, true, true), page);
    REMOVES(model_inv_amd_pages(VMID, 0x7ffffffffffff000, true, true), high);
    SPARES(model_inv_amd_pages(VMID, 0x7ffffffffffff000, true, false), pde, LEAF_ONLY);
    large.stage = MODEL_STAGE_COMBINED;
    REMOVES(model_inv_amd_pages(VMID, IA, false, false), large);
    SPARES(model_inv_amd_pages(VMID + 1, IA + 5 * LM_4K, false, true), page, WRONG_VMID);
}

static void riscv(void **state)
{
    struct model_key page = key(MODEL_STAGE_1, IA, 12, false);
    struct model_key large = key(MODEL_STAGE_1, IA, 21, false);
    struct model_key pointer = key(MODEL_STAGE_1, IA, 21, true);
    struct model_key global = page, second, combined;
    struct model_inv one = model_inv_riscv_vma(VMID, ASID, false, IA);
    struct model_inv any = model_inv_riscv_vma(VMID, 0, true, IA);
    struct model_inv asid = { .kind = MODEL_INV_S1_ASID, .vmid = VMID, .asid = ASID };
    struct model_inv all = { .kind = MODEL_INV_S1_VMID, .vmid = VMID };
    struct model_inv gvma = model_inv_riscv_gvma(VMID, IA);
    struct model_inv gvma_all = { .kind = MODEL_INV_S2_VMID, .vmid = VMID };

    (void)state;
    global.global = true;
    REMOVES(one, page);
    REMOVES(one, large);
    SPARES(one, pointer, LEAF_ONLY); /* addresses reach leaves only */
    SPARES(any, pointer, LEAF_ONLY);
    SPARES(one, global, WRONG_ASID);
    REMOVES(any, global);
    REMOVES(asid, pointer);
    SPARES(asid, global, STALE);
    pointer.global = true; /* below a pointer with G */
    SPARES(asid, pointer, STALE);
    REMOVES(all, pointer);
    REMOVES(all, global);

    second = key(MODEL_STAGE_2, IA, 12, false);
    combined = key(MODEL_STAGE_COMBINED, IA, 12, false);
    pointer = key(MODEL_STAGE_2, IA, 21, true);
    REMOVES(gvma, second);
    REMOVES(gvma, combined); /* unlike Arm's IPAS2E1 */
    SPARES(gvma, pointer, LEAF_ONLY);
    SPARES(gvma, page, STALE);
    REMOVES(gvma_all, pointer);
    REMOVES(gvma_all, combined);
    SPARES(gvma_all, page, STALE);
    SPARES(model_inv_s2(VMID, IA, 0, 0, false), combined, WRONG_STAGE);
}

/* A hint names a level; its alignment rule depends on the granule. */
static void arm_hints_by_granule(void **state)
{
    struct model_inv inv = model_inv_s2(VMID, 0x2000000, 0x2000000, 2, true);
    struct model_key k = key(MODEL_STAGE_2, 0x2000000, 25, false);

    (void)state;
    k.level = 2;
    REMOVES(inv, k);
    model_inv_granule(&inv, 14); /* 32 MiB */
    assert_int_equal(inv.hint_shift, 25);
    REMOVES(inv, k);
    inv.ia += 0x1000000;
    SPARES(inv, k, HINT_EARLY);
    model_inv_granule(&inv, 16);
    assert_int_equal(inv.hint_shift, 29);
    assert_int_equal(model_inv_s2(VMID, 0, 1, 3, true).hint_shift, 12);
    assert_int_equal(model_inv_s2(VMID, 0, 1, 1, true).hint_shift, 30);
    assert_int_equal(model_inv_s2(VMID, 0, 1, 0, true).hint_shift, 0);
    assert_int_equal(model_inv_s1(VMID, ASID, 0, 1, 2, true).hint_shift, 21);
}

static void invalidate(struct model_tlb *t, struct model_inv inv)
{
    model_tlb_invalidate(t, &inv);
    model_tlb_sync(t);
}

/*
 * A leaf of 16 entries may sit in a TLB as pieces: after an invalidation of one page, some use of
 * the others is stale; after one of all 64 KiB, none. In one TLB of many, as pieces are random.
 */
static void leaves_of_several_entries_go_piecewise(void **state)
{
    const struct model_walk_cfg amd = {
        .fmt = &model_amdv1, .stage = 2, .ia_bits = 21, .oa_bits = 48, .start_level = 3
    };
    const uint64_t rw = (uint64_t)3 << 61 | 1, nl7 = 7 << 9;
    unsigned stale = 0, clean = 0;

    (void)state;
    for (unsigned seed = 1; seed <= 32; seed++) {
        struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = seed });
        struct model_xlat x;
        struct lm m;

        assert_non_null(t);
        lm_start(&m, &amd);
        for (unsigned i = 0; i < 16; i++)
            lm_set(&m, LM_TABLES + i * 8, 0x80407000 | rw | nl7);
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(model_tlb_translate(t, &m.ctx, i * LM_4K, rd, &x), MODEL_OK);
        for (unsigned i = 0; i < 16; i++)
            lm_set(&m, LM_TABLES + i * 8, 0);
        invalidate(t, model_inv_amd_pages(LM_VMID, 0, false, true));
        stale += model_tlb_check(t, &m.ctx) == MODEL_V_STALE;
        invalidate(t, model_inv_amd_pages(LM_VMID, 0x7000, true, true));
        clean += model_tlb_check(t, &m.ctx) == MODEL_V_OK;
        model_tlb_free(t);
        lm_destroy(&m);
    }
    assert_in_range(stale, 8, 31); /* in some the whole leaf was cached, and went */
    assert_int_equal(clean, 32);
}

/* A merged range on RISC-V: the pointer to the old table outlives every fence with an address. */
static void a_pointer_outlives_fences_by_address(void **state)
{
    const struct model_walk_cfg sv39x4 = {
        .fmt = &model_riscv, .stage = 2, .ia_bits = 41, .oa_bits = 56, .start_level = 1
    };
    struct model_inv all = { .kind = MODEL_INV_S2_VMID, .vmid = LM_VMID };
    struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
    struct model_xlat x;
    struct lm m;
    uint64_t e;

    (void)state;
    assert_non_null(t);
    lm_start(&m, &sv39x4);
    lm_link_as(&m, 1, 0xfffffffffff000, 2);
    lm_map(&m, 0x1000, 3, (0x80401000 >> 2) | 0xdf);
    assert_int_equal(model_tlb_translate(t, &m.ctx, 0x1000, rd, &x), MODEL_OK);
    e = lm_entry(&m, 0, 2);
    lm_set(&m, e, (0x80400000 >> 2) | 0xdf);
    invalidate(t, model_inv_riscv_gvma(LM_VMID, 0x1000));
    assert_int_equal(model_tlb_translate(t, &m.ctx, 0x1000, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_LEAF_ONLY);
    invalidate(t, all);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* One store replaced a page: old and new in one TLB is staleness, not a contradiction. */
static void a_replaced_page_is_stale_not_a_conflict(void **state)
{
    const struct model_walk_cfg vtd_48 = { .fmt = &model_vtd2,
                                           .stage = 2,
                                           .ia_bits = 48,
                                           .oa_bits = 46,
                                           .start_level = 0,
                                           .page2m = true };
    struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
    struct model_xlat x;
    struct lm m;

    (void)state;
    assert_non_null(t);
    lm_start(&m, &vtd_48);
    lm_link_as(&m, 3, 0xffffffffff000, 0);
    lm_map(&m, 0x1000, 3, 0x80401000 | 3);
    model_tlb_prefetch(t, &m.ctx, 0x1000);
    lm_map(&m, 0x1000, 3, 0x80402000 | 3);
    model_tlb_prefetch(t, &m.ctx, 0x1000);
    assert_int_equal(model_tlb_translate(t, &m.ctx, 0x1000, rd, &x), MODEL_OK);
    assert_int_equal(x.conflict, MODEL_V_OK);
    assert_int_equal(x.oa, 0x80401000); /* the oldest */
    /* Another size and another address: that is one. */
    lm_set(&m, lm_entry(&m, 0, 2), 0x80600000 | 3 | 1 << 7);
    model_tlb_prefetch(t, &m.ctx, 0x1000);
    model_tlb_translate(t, &m.ctx, 0x1000, rd, &x);
    assert_int_equal(x.conflict, MODEL_V_CONFLICT_CONTENTS);
    invalidate(t, model_inv_vtd_page(LM_VMID, 0x1000, 0, true));
    model_tlb_translate(t, &m.ctx, 0x1000, rd, &x);
    assert_int_equal(x.oa, 0x80402000); /* the pointer to the old table: IH left it */
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_LEAF_ONLY);
    invalidate(t, model_inv_vtd_page(LM_VMID, 0x1000, 0, false));
    model_tlb_translate(t, &m.ctx, 0x1000, rd, &x);
    assert_int_equal(x.oa, 0x80601000);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* A walk from a cached pointer keeps what the levels above it said: rights, and globalness. */
static void pointers_keep_what_levels_above_said(void **state)
{
    const struct model_walk_cfg ept = {
        .fmt = &model_ept, .stage = 2, .ia_bits = 48, .oa_bits = 46
    };
    const struct model_walk_cfg sv39 = { .fmt = &model_riscv,
                                         .stage = 1,
                                         .ia_bits = 39,
                                         .oa_bits = 56,
                                         .start_level = 1,
                                         .canonical = true };
    struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
    struct model_ctx other;
    struct model_xlat x;
    struct lm m;
    uint64_t e;

    (void)state;
    assert_non_null(t);
    lm_start(&m, &ept);
    lm_link_as(&m, 7, 0xffffffffff000, 0);
    lm_map(&m, 0, 3, 0x80400000 | 0x37);
    lm_map(&m, LM_4K, 3, 0x80401000 | 0x37);
    e = lm_entry(&m, 0, 0);
    lm_set(&m, e, lm_get(&m, e) & ~(uint64_t)2); /* not writable, says the first level */
    assert_int_equal(model_tlb_translate(t, &m.ctx, 0, rd, &x), MODEL_OK);
    assert_int_equal(model_tlb_translate(t, &m.ctx, LM_4K, wr, &x), MODEL_FAULT_PERMISSION);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);

    t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
    assert_non_null(t);
    lm_start(&m, &sv39);
    lm_link_as(&m, 1, 0xfffffffffff000, 2);
    lm_map(&m, 0, 3, (0x80400000 >> 2) | 0xcf);
    lm_map(&m, LM_4K, 3, (0x80401000 >> 2) | 0xcf);
    e = lm_entry(&m, 0, 1);
    lm_set(&m, e, lm_get(&m, e) | 1 << 5); /* G, in a pointer */
    assert_int_equal(model_tlb_translate(t, &m.ctx, 0, rd, &x), MODEL_OK);
    assert_int_equal(model_tlb_translate(t, &m.ctx, LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    assert_true(x.global);
    other = m.ctx;
    other.asid++;
    assert_int_equal(model_tlb_translate(t, &other, LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_LEAF); /* of another address space: it is global */
    invalidate(t, model_inv_riscv_vma(0, m.ctx.asid, false, LM_4K));
    assert_int_equal(model_tlb_translate(t, &other, LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_LEAF); /* one ASID does not reach it */
    invalidate(t, model_inv_riscv_vma(0, 0, true, LM_4K));
    assert_int_equal(model_tlb_translate(t, &other, LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* A cached pointer over skipped levels serves no address that needs them. */
static void pointers_over_skipped_levels_serve_little(void **state)
{
    const struct model_walk_cfg amd = {
        .fmt = &model_amdv1, .stage = 2, .ia_bits = 39, .oa_bits = 48, .start_level = 1
    };
    const uint64_t rw = (uint64_t)3 << 61 | 1;
    struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
    struct model_xlat x;
    struct lm m;
    uint64_t pte;

    (void)state;
    assert_non_null(t);
    lm_start(&m, &amd);
    pte = lm_new_table(&m);
    lm_set(&m, LM_TABLES, pte | rw | 1 << 9); /* 1 GiB of the root's, straight to level 1 */
    lm_set(&m, pte + 8, 0x80401000 | rw);
    lm_set(&m, pte + 16, 0x80402000 | rw);
    assert_int_equal(model_tlb_translate(t, &m.ctx, LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(model_tlb_translate(t, &m.ctx, 2 * LM_4K, rd, &x), MODEL_OK);
    assert_int_equal(x.source, MODEL_FROM_POINTER);
    assert_int_equal(model_tlb_translate(t, &m.ctx, LM_2M + LM_4K, rd, &x),
                     MODEL_FAULT_TRANSLATION);
    assert_int_equal(x.source, MODEL_FROM_TABLES);
    assert_int_equal(model_tlb_check(t, &m.ctx), MODEL_V_OK);
    model_tlb_free(t);
    lm_destroy(&m);
}

/* Two sizes of one translation: harmless, but for code on a CPU with the multiple-hit erratum. */
static void two_sizes_of_one_page(void **state)
{
    struct model_walk_cfg ept = {
        .fmt = &model_ept, .stage = 2, .ia_bits = 48, .oa_bits = 46, .page2m = true
    };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        uint64_t rights = 0x33 | (i & 1 ? 4 : 0);
        struct model_tlb *t = model_tlb_new(&(struct model_tlb_cfg){ .seed = 1 });
        struct model_xlat x;
        struct lm m;
        uint64_t pde;

        ept.multihit = (i & 2) != 0;
        assert_non_null(t);
        lm_start(&m, &ept);
        lm_link_as(&m, 7, 0xffffffffff000, 0);
        lm_map(&m, 0, 2, 0x80600000 | rights | 0x80);
        model_tlb_prefetch(t, &m.ctx, 0x1000);
        pde = lm_entry(&m, 0, 2);
        lm_set(&m, pde, lm_full_table(&m, 3, 0x80600000, rights) | 7);
        model_tlb_prefetch(t, &m.ctx, 0x1000);
        assert_int_equal(model_tlb_translate(t, &m.ctx, 0x1000, rd, &x), MODEL_OK);
        assert_int_equal(x.oa, 0x80601000);
        assert_int_equal(x.conflict, i == 3 ? MODEL_V_CONFLICT_SIZE : MODEL_V_OK);
        model_tlb_free(t);
        lm_destroy(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intel_cpu),
        cmocka_unit_test(ept_by_root_alone),
        cmocka_unit_test(vtd),
        cmocka_unit_test(amd_iommu),
        cmocka_unit_test(riscv),
        cmocka_unit_test(arm_hints_by_granule),
        cmocka_unit_test(leaves_of_several_entries_go_piecewise),
        cmocka_unit_test(a_pointer_outlives_fences_by_address),
        cmocka_unit_test(pointers_keep_what_levels_above_said),
        cmocka_unit_test(pointers_over_skipped_levels_serve_little),
        cmocka_unit_test(two_sizes_of_one_page),
        cmocka_unit_test(a_replaced_page_is_stale_not_a_conflict),
    };

    return cmocka_run_group_tests_name("model: invalidations by family", tests, NULL, NULL);
}
