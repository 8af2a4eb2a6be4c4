/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: stores to live tables of the formats where one store may replace an entry. */
#include "lib_model.h"

#define OA 0x80600000u /* 2M aligned data */
#define IA (LM_1G + LM_2M)

struct court {
    struct lm m;
    struct model_live *live;
    void *agent;
};

static void hold(struct court *c, const struct model_walk_cfg *cfg, uint64_t link, uint64_t mask,
                 unsigned right)
{
    lm_start(&c->m, cfg);
    lm_link_as(&c->m, link, mask, right);
}

static void open_court(struct court *c)
{
    c->live = model_live_new(&(struct model_live_cfg){ .walk = c->m.ctx.walk,
                                                       .mem = &c->m.mem,
                                                       .vmid = c->m.ctx.vmid,
                                                       .asid = c->m.ctx.asid,
                                                       .agents = 1 });
    assert_non_null(c->live);
    c->agent = model_live_agent(c->live, 0);
}

static void close_court(struct court *c)
{
    model_live_free(c->live);
    lm_destroy(&c->m);
}

static enum model_verdict store(struct court *c, uint64_t entry, uint64_t value, bool atomic)
{
    struct model_store s = {
        .entry = entry, .old = lm_get(&c->m, entry), .value = value, .atomic = atomic
    };

    lm_set(&c->m, entry, value);
    return model_live_store(c->live, &s);
}

static enum model_verdict put(struct court *c, uint64_t entry, uint64_t value)
{
    return store(c, entry, value, true);
}

static void done(struct court *c, struct model_inv inv)
{
    model_live_completed(c->agent, &inv, 1);
}

#define OK(call)    assert_string_equal(model_verdict_name(call), "ok")
#define IS(call, v) assert_string_equal(model_verdict_name(call), model_verdict_name(MODEL_V_##v))

/* x86-64: present, writable, user, accessed, dirty. */
#define X86     0x67u
#define X86_PS  0x80u
#define X86_RW  0x02u
#define X86_D   0x40u
#define X86_PCD 0x10u
#define X86_XD  ((uint64_t)1 << 63)

static const struct model_walk_cfg x86 = {
    .fmt = &model_x86,
    .mair = 0x0007040600070406,
    .stage = 1,
    .ia_bits = 48,
    .oa_bits = 46,
    .ha = true,
    .hd = true,
    .canonical = true,
    .nx = true,
    .page1g = true,
};

static void open_x86(struct court *c, bool multihit)
{
    struct model_walk_cfg cfg = x86;

    cfg.multihit = multihit;
    hold(c, &cfg, X86, 0xffffffffff000, 0);
    lm_entry(&c->m, IA, 2);
    open_court(c);
}

static uint64_t x86_table(struct court *c, uint64_t oa, uint64_t bits)
{
    return lm_full_table(&c->m, 3, oa, bits) | X86;
}

static void x86_replaces_a_leaf(void **state)
{
    struct court c;
    uint64_t e;

    (void)state;
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    OK(put(&c, e, (OA - LM_2M) | X86 | X86_PS)); /* another address */
    assert_int_equal(model_live_waiting(c.live), 1);
    OK(put(&c, e, OA | X86 | X86_PS | X86_PCD)); /* another memory type */
    OK(put(&c, e, OA | X86 | X86_PS));
    OK(put(&c, e, OA | (X86 & ~X86_RW) | X86_PS)); /* rights */
    OK(put(&c, e, 0));
    OK(put(&c, e, (OA - LM_2M) | X86 | X86_PS)); /* of one size: old or new, no third */
    done(&c, model_inv_invlpg(0, LM_VMID, IA));
    assert_int_equal(model_live_waiting(c.live), 0);
    /* Reserved bits are the same everywhere. */
    IS(put(&c, e, OA | X86 | X86_PS | 1 << 13), RESERVED_BITS);
    close_court(&c);
}

static void x86_changes_a_size(void **state)
{
    struct court c;
    uint64_t e, t, page;

    (void)state;
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    t = x86_table(&c, OA, X86);
    OK(put(&c, e, t)); /* cut */
    page = (t & ~(uint64_t)0xfff) + 5 * 8;
    /* Before the cut is invalidated nothing below may change but rights. */
    OK(put(&c, page, (OA + 5 * LM_4K) | (X86 & ~X86_RW)));
    IS(put(&c, page, (OA + 6 * LM_4K) | X86), MAKE_EARLY);
    OK(put(&c, page, (OA + 5 * LM_4K) | X86));
    done(&c, model_inv_invlpg(0, LM_VMID, IA));
    OK(put(&c, page, (OA + 6 * LM_4K) | X86));
    OK(put(&c, page, (OA + 5 * LM_4K) | X86));
    IS(put(&c, e, OA | X86 | X86_PS), MAKE_EARLY); /* merge, the other page may be cached */
    done(&c, model_inv_invlpg(0, LM_VMID, IA + 5 * LM_4K));
    t = x86_table(&c, OA, X86);
    OK(put(&c, e, t));
    OK(put(&c, e, OA | X86 | X86_PS));
    IS(model_live_table_free(c.live, t & ~(uint64_t)0xfff), TABLE_FREED_EARLY);
    close_court(&c);

    /* Size and anything else in one store (SDM 4.10.2.3). */
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    IS(put(&c, e, x86_table(&c, OA - LM_2M, X86)), TABLE_DIFFERS);
    close_court(&c);
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    IS(put(&c, e, x86_table(&c, OA, X86 & ~X86_RW)), TABLE_DIFFERS);
    close_court(&c);
    open_x86(&c, false); /* the right is lost in the entry that points to the table */
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    IS(put(&c, e, x86_table(&c, OA, X86) & ~(uint64_t)X86_RW), TABLE_DIFFERS);
    close_court(&c);
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, x86_table(&c, OA, X86)));
    IS(put(&c, e, OA | (X86 & ~X86_RW) | X86_PS), MERGE_DIFFERS);
    close_court(&c);
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    t = x86_table(&c, OA, X86);
    lm_set(&c.m, (t & ~(uint64_t)0xfff) + 8, 0);
    IS(put(&c, e, t), TABLE_NOT_FILLED);
    close_court(&c);

    /* Another table in place of one: rights count, with a size that changes, those of all levels. */
    for (unsigned wrong = 0; wrong < 2; wrong++) {
        uint64_t upper, big;

        open_x86(&c, false);
        e = lm_entry(&c.m, IA, 2);
        upper = lm_entry(&c.m, IA, 1);
        OK(put(&c, e, OA | X86 | X86_PS));
        big = lm_new_table(&c.m);
        t = x86_table(&c, OA, wrong ? X86 & ~X86_RW : X86);
        lm_set(&c.m, big + 8, t);
        if (wrong)
            IS(put(&c, upper, big | X86), TABLE_DIFFERS);
        else
            OK(put(&c, upper, big | X86));
        close_court(&c);
    }

    /* By break and make, with the invalidation between. */
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    OK(put(&c, e, 0));
    t = x86_table(&c, OA - LM_2M, X86);
    IS(put(&c, e, t), MAKE_EARLY);
    OK(put(&c, e, 0));
    done(&c, model_inv_invlpg(0, LM_VMID, IA));
    OK(put(&c, e, x86_table(&c, OA, X86)));
    close_court(&c);
}

/* A CPU with the multiple-hit erratum: executable code keeps its size while it may be cached. */
static void multihit_keeps_the_size_of_code(void **state)
{
    struct model_walk_cfg ept = { .fmt = &model_ept,
                                  .stage = 2,
                                  .ia_bits = 48,
                                  .oa_bits = 46,
                                  .page2m = true,
                                  .multihit = true };
    struct court c;
    uint64_t e;

    (void)state;
    open_x86(&c, true);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    IS(put(&c, e, x86_table(&c, OA, X86)), SIZE_NEEDS_BBM);
    IS(put(&c, e, OA | X86 | X86_PS), SIZE_NEEDS_BBM);
    close_court(&c);
    open_x86(&c, true);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS | X86_XD)); /* data may */
    OK(put(&c, e, x86_table(&c, OA, X86 | X86_XD)));
    OK(put(&c, e, OA | X86 | X86_PS | X86_XD));
    close_court(&c);
    open_x86(&c, true);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | X86 | X86_PS));
    OK(put(&c, e, 0));
    done(&c, model_inv_invlpg(0, LM_VMID, IA));
    OK(put(&c, e, x86_table(&c, OA, X86)));
    close_court(&c);

    for (unsigned exec = 0; exec < 2; exec++) { /* R, W, write-back, and X */
        uint64_t rights = 0x33 | (exec ? 4 : 0);

        hold(&c, &ept, 7, 0xffffffffff000, 0);
        lm_entry(&c.m, IA, 2);
        open_court(&c);
        e = lm_entry(&c.m, IA, 2);
        OK(put(&c, e, OA | rights | 0x80));
        if (exec)
            IS(put(&c, e, lm_full_table(&c.m, 3, OA, rights) | 7), SIZE_NEEDS_BBM);
        else
            OK(put(&c, e, lm_full_table(&c.m, 3, OA, rights) | 7));
        close_court(&c);
    }
}

static void x86_keeps_dirty_bits(void **state)
{
    struct court c;
    uint64_t e, clean = OA | (X86 & ~X86_D) | X86_PS, dirty = OA | X86 | X86_PS;

    (void)state;
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, clean));
    IS(store(&c, e, clean & ~(uint64_t)X86_RW, false), NOT_CAS);
    OK(store(&c, e, clean, false)); /* read-only before: hardware sets nothing */
    OK(put(&c, e, dirty));
    IS(put(&c, e, clean), DIRTY_LOST);
    OK(put(&c, e, dirty));
    IS(put(&c, e, x86_table(&c, OA, X86 & ~X86_D)), DIRTY_LOST);
    close_court(&c);
    open_x86(&c, false);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, dirty));
    model_live_harvest(c.live, true);
    OK(put(&c, e, clean));
    close_court(&c);
}

/* Addresses with a sign: the upper half is where it is. */
static void x86_upper_half(void **state)
{
    const uint64_t up = 0xffff800000000000;
    struct court c;
    uint64_t e;

    (void)state;
    hold(&c, &x86, X86, 0xffffffffff000, 0);
    lm_entry(&c.m, up, 3);
    open_court(&c);
    model_live_scope(c.live, up + LM_4K, LM_4K);
    e = lm_entry(&c.m, up + LM_4K, 3);
    OK(put(&c, e, OA | X86));
    OK(put(&c, e, 0));
    OK(put(&c, e + 8, OA | X86));
    IS(put(&c, e + 8, 0), NEIGHBOUR_BROKEN);
    done(&c, model_inv_invlpg(0, LM_VMID, up + LM_4K));
    assert_int_equal(model_live_waiting(c.live), 1);
    done(&c, model_inv_invlpg(0, LM_VMID, up + 2 * LM_4K));
    assert_int_equal(model_live_waiting(c.live), 0);
    close_court(&c);
}

/* After a merge the old table is free when its pointer is out of every walk cache. */
static void tables_wait_for_what_reaches_pointers(void **state)
{
    const struct model_walk_cfg vtd = {
        .fmt = &model_vtd2, .stage = 2, .ia_bits = 48, .oa_bits = 46, .page2m = true
    };
    const struct model_walk_cfg sv39x4 = {
        .fmt = &model_riscv, .stage = 2, .ia_bits = 41, .oa_bits = 56, .start_level = 1
    };
    const struct model_walk_cfg ept = {
        .fmt = &model_ept, .stage = 2, .ia_bits = 48, .oa_bits = 46, .page2m = true
    };
    struct court c;
    uint64_t e, t, ppn;

    (void)state;
    hold(&c, &vtd, 3, 0xffffffffff000, 0);
    lm_entry(&c.m, IA, 2);
    open_court(&c);
    e = lm_entry(&c.m, IA, 2);
    t = lm_full_table(&c.m, 3, OA, 3);
    OK(put(&c, e, t | 3));
    OK(put(&c, e, OA | 3 | 0x80));
    done(&c, model_inv_vtd_page(LM_VMID, IA, 9, true)); /* IH */
    IS(model_live_table_free(c.live, t), LEAF_ONLY);
    t = lm_full_table(&c.m, 3, OA, 3);
    OK(put(&c, e, t | 3));
    OK(put(&c, e, OA | 3 | 0x80));
    done(&c, model_inv_vtd_page(LM_VMID, IA, 9, false));
    OK(model_live_table_free(c.live, t));
    close_court(&c);

    hold(&c, &sv39x4, 1, 0xfffffffffff000, 2);
    lm_entry(&c.m, IA, 2);
    open_court(&c);
    e = lm_entry(&c.m, IA, 2);
    t = lm_new_table(&c.m);
    for (unsigned i = 0; i < 512; i++)
        lm_set(&c.m, t + i * 8, (OA + i * LM_4K) >> 2 | 0xdf);
    ppn = t >> 2;
    OK(put(&c, e, ppn | 1));
    OK(put(&c, e, OA >> 2 | 0xdf));
    for (unsigned i = 0; i < 512; i++)
        done(&c, model_inv_riscv_gvma(LM_VMID, IA + i * LM_4K));
    assert_int_equal(model_live_waiting(c.live), 1); /* the leaves went */
    IS(model_live_table_free(c.live, t), LEAF_ONLY);
    close_court(&c);

    hold(&c, &ept, 7, 0xffffffffff000, 0);
    lm_entry(&c.m, IA, 2);
    open_court(&c);
    e = lm_entry(&c.m, IA, 2);
    t = lm_full_table(&c.m, 3, OA, 0x37);
    OK(put(&c, e, t | 7));
    OK(put(&c, e, OA | 0x37 | 0x80));
    done(&c, (struct model_inv){ .kind = MODEL_INV_S1_VMID, .vmid = LM_VMID }); /* INVVPID */
    IS(model_live_table_free(c.live, t), TABLE_FREED_EARLY);
    t = lm_full_table(&c.m, 3, OA, 0x37);
    OK(put(&c, e, t | 7));
    OK(put(&c, e, OA | 0x37 | 0x80));
    done(&c, (struct model_inv){ .kind = MODEL_INV_S2_VMID, .vmid = LM_VMID }); /* INVEPT */
    OK(model_live_table_free(c.live, t));
    close_court(&c);
}

/* AMD v1: PR, IR, IW; 64 KiB of 16 entries by next level 7. */
#define AMD      ((uint64_t)3 << 61 | 1)
#define AMD_SIZE ((uint64_t)7 << 9)
#define AMD_64K  (AMD | AMD_SIZE | 0x7000)

static void open_amd(struct court *c)
{
    const struct model_walk_cfg amd = {
        .fmt = &model_amdv1, .stage = 2, .ia_bits = 30, .oa_bits = 48, .start_level = 2
    };
    uint64_t t;

    lm_start(&c->m, &amd);
    t = lm_new_table(&c->m);
    lm_set(&c->m, LM_TABLES, t | AMD | 1 << 9);
    open_court(c);
}

static uint64_t amd_entry(struct court *c, unsigned i)
{
    return (lm_get(&c->m, LM_TABLES) & 0xffffffffff000) + i * 8u;
}

static void fill(struct court *c, uint64_t value)
{
    for (unsigned i = 0; i < 16; i++)
        OK(put(c, amd_entry(c, i), value));
}

static void leaves_of_several_entries(void **state)
{
    struct court c;

    (void)state;
    open_amd(&c);
    fill(&c, OA | AMD_64K);
    OK(model_live_audit(c.live));
    fill(&c, (OA | AMD_64K) & ~((uint64_t)1 << 62)); /* rights go one by one */
    fill(&c, OA | AMD_64K);
    IS(put(&c, amd_entry(&c, 3), (OA + 0x10000) | AMD_64K), BBM_SKIPPED); /* no single store */
    close_court(&c);

    open_amd(&c);
    fill(&c, OA | AMD_64K);
    for (unsigned i = 0; i < 16; i++) /* the same as pages */
        OK(put(&c, amd_entry(&c, i), (OA + i * LM_4K) | AMD));
    OK(model_live_audit(c.live));
    /* One page is not enough while the large leaf may be cached in pieces. */
    done(&c, model_inv_amd_pages(LM_VMID, 0, false, false));
    IS(put(&c, amd_entry(&c, 2), (OA + 0x10000) | AMD), MAKE_EARLY);
    close_court(&c);

    open_amd(&c);
    fill(&c, OA | AMD_64K);
    for (unsigned i = 0; i < 16; i++)
        OK(put(&c, amd_entry(&c, i), (OA + i * LM_4K) | AMD));
    done(&c, model_inv_amd_pages(LM_VMID, 0x7000, true, false)); /* 64 KiB */
    assert_int_equal(model_live_waiting(c.live), 0);
    OK(put(&c, amd_entry(&c, 2), (OA + 0x10000) | AMD));
    /* Now no 64 KiB leaf fits there any more. */
    IS(put(&c, amd_entry(&c, 3), OA | AMD_64K), SET_DIFFERS);
    close_court(&c);

    /* What lies beside a leaf of several entries is free to be anything. */
    open_amd(&c);
    fill(&c, OA | AMD_64K);
    OK(put(&c, amd_entry(&c, 17), (OA + LM_2M + 0x40000) | AMD | AMD_SIZE)); /* 8 KiB, half */
    OK(put(&c, amd_entry(&c, 18), (OA + 5 * LM_4K) | AMD));
    IS(put(&c, amd_entry(&c, 16), (OA + LM_2M + 0x60000) | AMD), SET_DIFFERS);
    IS(model_live_audit(c.live), SET_DIFFERS);
    OK(put(&c, amd_entry(&c, 16), 0));
    done(&c, model_inv_amd_pages(LM_VMID, 0x10000, false, false));
    OK(put(&c, amd_entry(&c, 16), (OA + LM_2M + 0x40000) | AMD | AMD_SIZE));
    OK(model_live_audit(c.live));
    close_court(&c);

    open_amd(&c);
    fill(&c, OA | AMD_64K);
    model_live_scope(c.live, 3 * LM_4K, LM_4K); /* of 16 only one is given up */
    IS(put(&c, amd_entry(&c, 3), 0), NEIGHBOUR_BROKEN);
    close_court(&c);
    open_amd(&c);
    fill(&c, OA | AMD_64K);
    model_live_scope(c.live, 0, 0x10000);
    OK(put(&c, amd_entry(&c, 3), 0));
    IS(model_live_audit(c.live), SET_DIFFERS); /* the operation forgot the others */
    /* And a page in the hole contradicts them. */
    done(&c, model_inv_amd_pages(LM_VMID, 0x7000, true, false));
    IS(put(&c, amd_entry(&c, 3), (OA + 0x20000) | AMD), SET_DIFFERS);
    close_court(&c);
}

/* A table two levels down, linked and unlinked. */
static void amd_skips_levels(void **state)
{
    const struct model_walk_cfg amd = {
        .fmt = &model_amdv1, .stage = 2, .ia_bits = 48, .oa_bits = 48, .start_level = 0
    };
    struct court c;
    uint64_t t;

    (void)state;
    lm_start(&c.m, &amd);
    open_court(&c);
    t = lm_new_table(&c.m);
    lm_set(&c.m, t + 8, OA | AMD);
    OK(put(&c, LM_TABLES, t | AMD | 1 << 9));
    assert_int_equal(model_live_tables(c.live), 2);
    model_live_scope(c.live, LM_4K, LM_4K);
    OK(put(&c, t + 8, 0)); /* it knows which address that is */
    OK(put(&c, t + 16, OA | AMD));
    IS(put(&c, t + 16, 0), NEIGHBOUR_BROKEN);
    OK(put(&c, LM_TABLES, 0));
    done(&c, model_inv_amd_pages(LM_VMID, LM_4K, true, true)); /* pages 0 to 3 and pointers */
    OK(model_live_table_free(c.live, t));
    close_court(&c);
}

/* The tree grows upward: a new root above the old one. */
static void amd_grows(void **state)
{
    struct model_walk_cfg amd = {
        .fmt = &model_amdv1, .stage = 2, .ia_bits = 21, .oa_bits = 48, .start_level = 3
    };

    (void)state;
    for (unsigned wrong = 0; wrong < 5; wrong++) {
        struct court c;
        struct model_walk_cfg more = amd;
        uint64_t top, other;

        lm_start(&c.m, &amd);
        lm_set(&c.m, LM_TABLES + 8, OA | AMD);
        open_court(&c);
        top = lm_new_table(&c.m);
        other = lm_new_table(&c.m);
        more.root = top;
        more.ia_bits = 48;
        more.start_level = 0;
        lm_set(&c.m, top, LM_TABLES | AMD | 1 << 9); /* straight to level 1 */
        if (wrong == 1)
            lm_set(&c.m, top, 0);
        if (wrong == 2)
            lm_set(&c.m, top, LM_TABLES | (AMD & ~((uint64_t)1 << 62)) | 1 << 9);
        if (wrong == 3)
            lm_set(&c.m, top, other | AMD | 1 << 9);
        if (wrong == 4) { /* the same translations, but another table */
            lm_set(&c.m, top, other | AMD | 1 << 9);
            lm_set(&c.m, other + 8, OA | AMD);
        }
        switch (wrong) {
        case 0:
            OK(model_live_root(c.live, &more));
            assert_int_equal(model_live_tables(c.live), 2);
            OK(put(&c, LM_TABLES + 16, (OA + LM_4K) | AMD)); /* the old root is a table like any */
            OK(put(&c, top, 0));
            IS(model_live_table_free(c.live, top), TABLE_FREED_LIVE);
            /* The pointer to it is in an entry of 512 GiB now, and serves the first 2 MiB. */
            done(&c, model_inv_amd_pages(LM_VMID, LM_2M, false, true));
            IS(put(&c, LM_TABLES + 8, (OA + LM_2M) | AMD), TABLE_FREED_EARLY);
            done(&c, model_inv_amd_pages(LM_VMID, LM_2M / 2, false, true));
            OK(model_live_table_free(c.live, LM_TABLES));
            break;
        case 2:
            IS(model_live_root(c.live, &more), TABLE_DIFFERS); /* rights are lost above */
            break;
        case 4:
            IS(model_live_root(c.live, &more), TABLE_FREED_LIVE);
            break;
        default:
            IS(model_live_root(c.live, &more), TABLE_NOT_FILLED);
            break;
        }
        close_court(&c);
    }
}

static void riscv_harts_and_iommus(void **state)
{
    struct model_walk_cfg sv39 = { .fmt = &model_riscv,
                                   .stage = 1,
                                   .ia_bits = 39,
                                   .oa_bits = 56,
                                   .start_level = 1,
                                   .canonical = true,
                                   .svnapot = true };
    const uint64_t napot = (uint64_t)1 << 63;
    struct court c;
    uint64_t e;

    (void)state;
    for (unsigned iommu = 0; iommu < 2; iommu++) {
        sv39.replace_breaks = iommu != 0;
        hold(&c, &sv39, 1, 0xfffffffffff000, 2);
        lm_entry(&c.m, 0, 3);
        open_court(&c);
        e = lm_entry(&c.m, 0, 3);
        OK(put(&c, e, OA >> 2 | 0xdf));
        OK(put(&c, e, OA >> 2 | 0xdb)); /* rights */
        if (iommu)
            IS(put(&c, e, (OA + LM_4K) >> 2 | 0xdf), BBM_SKIPPED);
        else
            OK(put(&c, e, (OA + LM_4K) >> 2 | 0xdf));
        close_court(&c);
    }
    sv39.replace_breaks = false;
    hold(&c, &sv39, 1, 0xfffffffffff000, 2);
    lm_entry(&c.m, 0, 3);
    open_court(&c);
    e = lm_entry(&c.m, 0, 3);
    for (unsigned i = 0; i < 16; i++)
        OK(put(&c, e + i * 8, (OA + i * LM_4K) >> 2 | 0xdf));
    for (unsigned i = 0; i < 16; i++) /* to one NAPOT range, where it is */
        OK(put(&c, e + i * 8, (OA + 0x8000) >> 2 | 0xdf | napot));
    OK(model_live_audit(c.live));
    IS(put(&c, e + 24, (OA + 0x18000) >> 2 | 0xdf | napot), BBM_SKIPPED);
    close_court(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(x86_replaces_a_leaf),
        cmocka_unit_test(x86_changes_a_size),
        cmocka_unit_test(multihit_keeps_the_size_of_code),
        cmocka_unit_test(x86_keeps_dirty_bits),
        cmocka_unit_test(x86_upper_half),
        cmocka_unit_test(tables_wait_for_what_reaches_pointers),
        cmocka_unit_test(leaves_of_several_entries),
        cmocka_unit_test(amd_skips_levels),
        cmocka_unit_test(amd_grows),
        cmocka_unit_test(riscv_harts_and_iommus),
    };

    return cmocka_run_group_tests_name("model: live rules, one store", tests, NULL, NULL);
}
