/* SPDX-License-Identifier: BSD-2-Clause */
/* A gather's record as each family's hardware can be told: what a driver would issue, no more. */
#include "lib_pt_lab.h"

#define STEPS 64u /* more commands than that, and a driver drops everything */

struct issue {
    struct model_tlb *tlb;
    const struct model_ctx *ctx;
    const struct pt_inv *r;
};

static void send(const struct issue *s, struct model_inv inv)
{
    model_tlb_invalidate(s->tlb, &inv);
}

static void send_kind(const struct issue *s, enum model_inv_kind kind)
{
    send(s, (struct model_inv){ .kind = kind, .vmid = s->ctx->vmid, .asid = s->ctx->asid });
}

/* Arm: ranges with level hints (TLBI RVAE, RIPAS2; SMMU range invalidation). */
static void arm(const struct issue *s)
{
    const struct model_walk_cfg *w = &s->ctx->walk;
    uint8_t hint = s->r->level == PT_LEVEL_ANY ? 0 : s->r->level;
    uint64_t len = s->r->last - s->r->ia + 1;
    struct model_inv inv =
        w->stage == 2
            ? model_inv_s2(s->ctx->vmid, s->r->ia, len, hint, !s->r->tables)
            : model_inv_s1(s->ctx->vmid, s->ctx->asid, s->r->ia, len, hint, !s->r->tables);

    model_inv_granule(&inv, model_table_shift(w));
    send(s, inv);
}

/* One leaf after another, if all are of one known size; else page by page. False: too many. */
static bool by_leaf(const struct issue *s, struct model_inv (*of)(const struct issue *, uint64_t))
{
    const struct model_walk_cfg *w = &s->ctx->walk;
    uint8_t shift = s->r->level == PT_LEVEL_ANY ? 12 : w->fmt->shift(w, s->r->level);
    uint64_t n = ((s->r->last - s->r->ia) >> shift) + 1;

    for (uint64_t i = 0; n <= STEPS && i < n; i++)
        send(s, of(s, s->r->ia + (i << shift)));
    return n <= STEPS;
}

static struct model_inv invlpg(const struct issue *s, uint64_t ia)
{
    return model_inv_invlpg(s->ctx->vmid, s->ctx->asid, model_ia_extend(&s->ctx->walk, ia));
}

static struct model_inv vma(const struct issue *s, uint64_t ia)
{
    return model_inv_riscv_vma(s->ctx->vmid, s->ctx->asid, false,
                               model_ia_extend(&s->ctx->walk, ia));
}

static struct model_inv gvma(const struct issue *s, uint64_t ia)
{
    return model_inv_riscv_gvma(s->ctx->vmid, ia);
}

static void riscv(const struct issue *s)
{
    bool second = s->ctx->walk.stage == 2;

    /* Addresses reach leaves only. */
    if (s->r->tables || !by_leaf(s, second ? gvma : vma))
        send_kind(s, second ? MODEL_INV_S2_VMID : MODEL_INV_S1_VMID);
}

/* VT-d and AMD: aligned powers of two. */
static void by_blocks(const struct issue *s)
{
    bool amd = s->ctx->walk.fmt == &model_amdv1;

    for (uint64_t ia = s->r->ia, left = s->r->last - s->r->ia + 1; left;) {
        uint8_t shift = 12;
        uint64_t size;

        while (shift < 51 && left >> (shift + 1) && !(ia >> shift & 1))
            shift++;
        size = (uint64_t)1 << shift;
        if (amd)
            send(s, model_inv_amd_pages(s->ctx->vmid, ia | ((size / 2 - 1) & ~(uint64_t)0xfff),
                                        shift > 12, s->r->tables));
        else
            send(s, model_inv_vtd_page(s->ctx->vmid, ia, (uint8_t)(shift - 12), !s->r->tables));
        ia += size;
        left -= size;
    }
}

void lab_issue(struct model_tlb *tlb, const struct model_ctx *ctx, const struct pt_inv *r)
{
    const struct model_format *fmt = ctx->walk.fmt;
    struct issue s = { tlb, ctx, r };

    if (fmt == &model_arm)
        arm(&s);
    else if (fmt == &model_riscv)
        riscv(&s);
    else if (fmt == &model_ept)
        send_kind(&s, MODEL_INV_S2_VMID); /* INVEPT knows no addresses */
    else if (fmt != &model_x86)
        by_blocks(&s);
    else if (!by_leaf(&s, invlpg))
        send_kind(&s, MODEL_INV_S1_VMID);
}
