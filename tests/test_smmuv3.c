/* SPDX-License-Identifier: BSD-2-Clause */
/* What the SMMUv3 driver builds, without any hardware: entries, their live changes, commands,
 * identification, events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hw/smmuv3/desc.h"
#include "hw/smmuv3/queue.h"
#include "model/rng.h"
#include "tenon/errno.h"
#include "tenon/smmuv3.h"
#include "tests/lib_smmu_fake.h"

/* T0SZ 25, start level 1, write-back inner shareable walks, 4K, 44 bits. */
#define VTCR 0x43559u

/* ---- builders against values worked out by hand from IHI0070 5.2, 5.4, 4.x ---- */

static void golden_ste(void **state)
{
    (void)state;
    struct ste e;
    struct ste_s2 s2 = { .vmid = 7, .vtcr = VTCR, .ttb = 0x12345000 };
    memset(&e, 0xff, sizeof(e));
    ste_abort(&e);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(e.w[i], 0);
    }
    static const uint64_t stage2[8] = { 0xd, 0x100000000000, 0x040c355900000007, 0x12345000 };
    ste_stage2(&e, &s2);
    assert_memory_equal(e.w, stage2, sizeof(stage2));
    s2.fwb = s2.hw_af = s2.hw_dirty = true;
    ste_stage2(&e, &s2);
    assert_int_equal(e.w[1], 0x100002000000);
    assert_int_equal(e.w[2], 0x058c355900000007);

    static const uint64_t stage1[8] = { 0x80000040u | 0xb, 0x1000000000d4 };
    ste_stage1(&e, 0x80000040, true);
    assert_memory_equal(e.w, stage1, sizeof(stage1));
    ste_stage1(&e, 0x80000040, false);
    assert_int_equal(e.w[1], 0x100000000000);

    s2.fwb = s2.hw_af = s2.hw_dirty = false;
    static const uint64_t nested[8] = { 0x80000040u | 0xf, 0x1000000000d4, 0x040c355900000007,
                                        0x12345000 };
    ste_nested(&e, 0x80000040, &s2);
    assert_memory_equal(e.w, nested, sizeof(nested));
}

static void golden_cd(void **state)
{
    (void)state;
    struct ste cd;
    struct cd_s1 s1 = {
        .asid = 5, .ia_bits = 39, .oa_bits = 44, .ttb = 0x76543000, .coherent = true
    };
    static const uint64_t plain[8] = { 0x0005e204c0003519, 0x76543000, 0, 0x4ff44 };
    cd_stage1(&cd, &s1);
    assert_memory_equal(cd.w, plain, sizeof(plain));
    s1.hw_af = s1.hw_dirty = true;
    s1.coherent = false;
    s1.ia_bits = 48;
    s1.oa_bits = 48;
    cd_stage1(&cd, &s1);
    assert_int_equal(cd.w[0], 0x0005ee05c0000010);
}

static void check_cmd(struct cmd c, uint64_t w0, uint64_t w1)
{
    assert_int_equal(c.w[0], w0);
    assert_int_equal(c.w[1], w1);
}

static void golden_commands(void **state)
{
    (void)state;
    struct tlbi_scope s2 = { .vmid = 7, .range = true };
    struct tlbi_scope s1 = { .stage1 = true, .asid = 5, .range = true };
    check_cmd(cmd_cfgi_ste(0x28, true), 0x0000002800000003, 1);
    check_cmd(cmd_cfgi_ste(0x28, false), 0x0000002800000003, 0);
    check_cmd(cmd_cfgi_ste_range(0x100, 8), 0x0000010000000004, 7);
    check_cmd(cmd_cfgi_all(), 0x04, 31);
    check_cmd(cmd_cfgi_cd(0x28, 3, true), 0x0000002800003005, 1);
    check_cmd(cmd_tlbi_s12_vmall(7), 0x0000000700000028, 0);
    check_cmd(cmd_tlbi_nh_all(7), 0x0000000700000010, 0);
    check_cmd(cmd_tlbi_nh_asid(2, 5), 0x0005000200000011, 0);
    check_cmd(cmd_tlbi_nsnh_all(), 0x30, 0);
    check_cmd(cmd_tlbi_el2_all(), 0x20, 0);
    check_cmd(cmd_sync(), 0x46, 0);
    check_cmd(cmd_resume(0x28, 0x1234, true), 0x0000002800001044, 0x1234);
    check_cmd(cmd_resume(0x28, 0x1234, false), 0x0000002800002044, 0x1234);
    check_cmd(cmd_tlbi_addr(&s2, 0x101000, 0, 0, 0, false, true), 0x000000070000002a, 0x101001);
    check_cmd(cmd_tlbi_addr(&s2, 0x40200000, 3, 9, 2, true, true), 0x000000070090302a, 0x40200601);
    check_cmd(cmd_tlbi_addr(&s1, 0x101000, 0, 0, 3, true, false), 0x0005000000000012, 0x101700);
    check_cmd(tlbi_everything(&s2), 0x0000000700000028, 0);
    check_cmd(tlbi_everything(&s1), 0x0005000000000011, 0);
}

/* ---- the writer: every state that the hardware could put together ---- */

#define KINDS 9u
static void make(unsigned kind, struct ste *e)
{
    struct ste_s2 s2 = { .vmid = 7, .vtcr = VTCR, .ttb = 0x10000000 };
    switch (kind) {
    case 0:
        ste_abort(e);
        break;
    case 1:
        ste_stage2(e, &s2);
        break;
    case 2: /* another root: one word */
        s2.ttb = 0x20000000;
        ste_stage2(e, &s2);
        break;
    case 3: /* another root and tag */
        s2.ttb = 0x20000000;
        s2.vmid = 9;
        ste_stage2(e, &s2);
        break;
    case 4:
        s2.fwb = s2.hw_af = s2.hw_dirty = true;
        s2.vtcr = VTCR - 9;
        ste_stage2(e, &s2);
        break;
    case 5:
        ste_stage1(e, 0x30000000, true);
        break;
    case 6:
        ste_stage1(e, 0x30000040, true);
        break;
    case 7:
        s2.ttb = 0x20000000;
        ste_nested(e, 0x5000, &s2);
        break;
    default: /* Config = 0: aborts without a word, whatever else is there */
        memset(e, 0x5a, sizeof(*e));
        e->w[0] = 0xff00000000000041u;
        break;
    }
}

static bool same(const struct fake_ste *a, const struct fake_ste *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/*
 * Between two syncs the hardware may have read each word at any moment: each word is independently
 * what it was at the start of the phase or anything stored to it since. All combinations.
 */
struct phase {
    uint64_t value[8][4];
    unsigned n[8];
    bool seen_old, seen_new, seen_abort;
};

static void look(struct phase *ph, const struct fake_ste *old, const struct fake_ste *new)
{
    unsigned at[8] = { 0 };
    for (;;) {
        uint64_t w[8];
        struct fake_ste d;
        for (unsigned i = 0; i < 8; i++) {
            w[i] = ph->value[i][at[i]];
        }
        fake_decode_ste(w, &d);
        if (same(&d, new)) {
            ph->seen_new = true;
        } else if (same(&d, old)) {
            ph->seen_old = true;
        } else if (d.kind == FAKE_ABORT) {
            ph->seen_abort = true;
        } else {
            fail_msg("the hardware could see a mixture: %#lx %#lx %#lx %#lx", (unsigned long)w[0],
                     (unsigned long)w[1], (unsigned long)w[2], (unsigned long)w[3]);
        }
        unsigned i = 0;
        while (i < 8 && ++at[i] == ph->n[i]) {
            at[i++] = 0;
        }
        if (i == 8) {
            return;
        }
    }
}

static void run_plan(const struct ste *cur, const struct ste *tgt, bool *hitless, bool *aborted)
{
    struct entry_plan p;
    struct fake_ste old, new;
    struct phase ph = { 0 };
    uint64_t now[8];
    bool went_new = false;
    entry_plan(&p, ENTRY_STE, cur, tgt);
    assert_true(p.n <= ENTRY_STEPS);
    fake_decode_ste(cur->w, &old);
    fake_decode_ste(tgt->w, &new);
    memcpy(now, cur->w, sizeof(now));
    *aborted = false;
    for (unsigned i = 0; i < 8; i++) {
        ph.value[i][0] = now[i];
        ph.n[i] = 1;
    }
    for (unsigned s = 0; s < p.n; s++) {
        if (p.step[s].word != ENTRY_SYNC) {
            unsigned i = p.step[s].word;
            assert_true(i < 8 && ph.n[i] < 4);
            now[i] = p.step[s].value;
            ph.value[i][ph.n[i]++] = now[i];
            continue;
        }
        ph.seen_new = ph.seen_old = ph.seen_abort = false;
        look(&ph, &old, &new);
        *aborted |= ph.seen_abort;
        /* Once only the new entry can be there the old one never comes back. */
        assert_false(went_new && ph.seen_old && !same(&old, &new));
        for (unsigned i = 0; i < 8; i++) {
            ph.value[i][0] = now[i];
            ph.n[i] = 1;
        }
        ph.seen_new = ph.seen_old = ph.seen_abort = false;
        look(&ph, &old, &new);
        went_new |= ph.seen_new;
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(ph.n[i], 1); /* no store after the last sync */
        assert_int_equal(now[i], tgt->w[i]);
    }
    *hitless = p.hitless;
}

static void writer_every_state(void **state)
{
    (void)state;
    for (unsigned a = 0; a < KINDS; a++) {
        for (unsigned b = 0; b < KINDS; b++) {
            struct ste cur, tgt;
            bool hitless, aborted;
            make(a, &cur);
            make(b, &tgt);
            run_plan(&cur, &tgt, &hitless, &aborted);
            struct fake_ste old, new;
            fake_decode_ste(cur.w, &old);
            fake_decode_ste(tgt.w, &new);
            if (old.kind != FAKE_ABORT && new.kind != FAKE_ABORT) {
                assert_int_equal(hitless, !aborted);
            }
        }
    }
}

static void writer_hitless_where_one_word_differs(void **state)
{
    (void)state;
    static const struct {
        unsigned a, b;
        bool hitless;
    } want[] = { { 0, 1, true },  { 1, 0, true },  { 1, 2, true }, { 2, 1, true },  { 5, 6, true },
                 { 0, 5, true },  { 5, 0, true },  { 8, 1, true }, { 1, 3, false }, { 1, 4, false },
                 { 1, 5, false }, { 5, 1, false }, { 2, 3, true } };
    for (unsigned i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        struct ste cur, tgt;
        bool hitless, aborted;
        make(want[i].a, &cur);
        make(want[i].b, &tgt);
        run_plan(&cur, &tgt, &hitless, &aborted);
        assert_int_equal(hitless, want[i].hitless);
    }
    /* Another root, the same rest: exactly one store and one sync. */
    struct ste cur, tgt;
    struct entry_plan p;
    make(1, &cur);
    make(2, &tgt);
    entry_plan(&p, ENTRY_STE, &cur, &tgt);
    assert_int_equal(p.n, 2);
    assert_int_equal(p.step[0].word, 3);
    assert_int_equal(p.step[1].word, ENTRY_SYNC);
    /* Nothing to do: nothing done. */
    entry_plan(&p, ENTRY_STE, &cur, &cur);
    assert_int_equal(p.n, 0);
}

static void writer_from_garbage(void **state)
{
    (void)state;
    /* Any content with V = 0 is an abort: what is left there must not shine through. */
    struct model_rng rng;
    model_rng_seed(&rng, 42);
    for (unsigned n = 0; n < 300; n++) {
        struct ste cur, tgt;
        bool hitless, aborted;
        for (unsigned i = 0; i < 8; i++) {
            cur.w[i] = model_rng_next(&rng);
        }
        cur.w[0] &= ~(uint64_t)1;
        make(1 + n % 7, &tgt);
        run_plan(&cur, &tgt, &hitless, &aborted);
        run_plan(&tgt, &cur, &hitless, &aborted);
    }
}

static void writer_cd(void **state)
{
    (void)state;
    struct cd_s1 s1 = {
        .asid = 5, .ia_bits = 39, .oa_bits = 44, .ttb = 0x76543000, .coherent = true
    };
    struct ste none = { { 0 } }, a, b;
    struct entry_plan p;
    cd_stage1(&a, &s1);
    s1.ttb = 0x11111000;
    cd_stage1(&b, &s1);
    entry_plan(&p, ENTRY_CD, &a, &b);
    assert_int_equal(p.n, 2);
    assert_true(p.hitless);
    /* Off to on: word 0, which has V, comes last and alone between syncs. */
    entry_plan(&p, ENTRY_CD, &none, &a);
    assert_true(p.hitless && p.n >= 4);
    assert_int_equal(p.step[p.n - 1].word, ENTRY_SYNC);
    assert_int_equal(p.step[p.n - 2].word, 0);
    assert_int_equal(p.step[p.n - 3].word, ENTRY_SYNC);
    for (unsigned i = 0; i + 2 < p.n; i++) {
        assert_true(p.step[i].word != 0 || !(p.step[i].value >> 31 & 1));
    }
    s1.asid = 6;
    cd_stage1(&b, &s1);
    entry_plan(&p, ENTRY_CD, &a, &b);
    assert_false(p.hitless);
}

/* ---- ranges: what a list of commands covers, by brute force ---- */

struct cover {
    uint64_t first, last; /* in pages */
};

/* The pages a command's range is about: an oracle of its own. */
static struct cover covered(const struct cmd *c, unsigned leaf_shift)
{
    uint64_t tg = c->w[1] >> 10 & 3, ia = c->w[1] >> 12;
    uint64_t pages = ((c->w[0] >> 12 & 0x1f) + 1) << (c->w[0] >> 20 & 0x1f);
    if (tg == 0) {
        pages = (uint64_t)1 << (leaf_shift -
                                12); /* the leaf there, which the caller says is that big */
    }
    return (struct cover){ ia, ia + pages - 1 };
}

static void check_range(const struct tlbi_scope *t, uint64_t ia, uint64_t last, uint8_t level,
                        bool tables)
{
    struct pt_inv r = { .ia = ia, .last = last, .level = level, .tables = tables };
    struct cmd c[TLBI_MAX];
    unsigned n = tlbi_commands(t, &r, c, TLBI_MAX);
    bool hint = !tables && level >= 1 && level <= 3;
    unsigned shift = hint ? 39u - 9u * level : 12u;
    uint64_t first = ia >> shift << (shift - 12), end = ((last >> shift) + 1) << (shift - 12);
    if (n == 0) {
        /* Too many for one record: only without ranges, and only if they really are. */
        assert_false(t->range);
        assert_true((end - first) >> (shift - 12) > TLBI_MAX);
        return;
    }
    assert_true(n <= TLBI_MAX);
    uint64_t at = first;
    for (unsigned i = 0; i < n; i++) {
        struct cover v = covered(&c[i], shift);
        assert_int_equal(v.first, at); /* no gap, no overlap */
        at = v.last + 1;
        assert_int_equal(c[i].w[1] & 1, !tables);
        assert_int_equal(c[i].w[0] & 0xff, t->stage1 ? 0x12 : 0x2a);
        assert_int_equal(c[i].w[0] >> 32 & 0xffff, t->vmid);
        assert_int_equal(c[i].w[0] >> 48, t->stage1 ? t->asid : 0);
        unsigned tg = c[i].w[1] >> 10 & 3, ttl = c[i].w[1] >> 8 & 3;
        unsigned num = c[i].w[0] >> 12 & 0x1f, scale = c[i].w[0] >> 20 & 0x1f;
        assert_true(tg <= 1);
        assert_true(t->range || tg == 0);
        assert_true(tg != 0 || (ttl == 0 && num == 0 && scale == 0));
        assert_false(tg != 0 && ttl == 0 && num == 0 && scale == 0); /* reserved */
        assert_int_equal(ttl, tg != 0 && hint ? level : 0);
    }
    assert_int_equal(at, end); /* exact */
}

static void ranges_exact(void **state)
{
    (void)state;
    static const uint8_t levels[] = { PT_LEVEL_ANY, 0, 1, 2, 3 };
    struct model_rng rng;
    model_rng_seed(&rng, 7);
    for (unsigned v = 0; v < 4; v++) {
        struct tlbi_scope t = {
            .stage1 = v & 1, .range = v & 2, .vmid = v & 1 ? 0 : 7, .asid = v & 1 ? 5 : 0
        };
        for (unsigned l = 0; l < 5; l++) {
            for (unsigned tables = 0; tables < 2; tables++) {
                for (uint64_t n = 1; n < 600; n++) { /* every small number of pages */
                    check_range(&t, 0x40003000, 0x40003000 + n * 4096 - 1, levels[l], tables);
                }
                for (unsigned i = 0; i < 2000; i++) {
                    uint64_t a =
                        model_rng_next(&rng) >> (16 + model_rng_next(&rng) % 36) & ~(uint64_t)0xfff;
                    uint64_t len =
                        (model_rng_next(&rng) >> (16 + model_rng_next(&rng) % 36) | 0xfff) + 1;
                    uint64_t top = (uint64_t)1 << 48;
                    a %= top;
                    len = len > top - a ? top - a : len;
                    check_range(&t, a, a + len - 1, levels[l], tables);
                }
                check_range(&t, 0, ((uint64_t)1 << 48) - 1, levels[l], tables);
                check_range(&t, 0x40000000, 0x7fffffff, levels[l], tables);
            }
        }
    }
}

static void ranges_few_commands(void **state)
{
    (void)state;
    struct tlbi_scope t = { .vmid = 7, .range = true };
    struct cmd c[TLBI_MAX];
    static const struct {
        uint64_t ia, len;
        uint8_t level;
        bool tables;
    } one[] = {
        { 0x1000, 0x1000, 3, false },         { 0x1000, 0x1000, PT_LEVEL_ANY, true },
        { 0x200000, 0x200000, 2, false },     { 0x200000, 0x200000, PT_LEVEL_ANY, true },
        { 0x40000000, 0x40000000, 1, false }, { 0x40000000, 0x40000000, PT_LEVEL_ANY, true },
        { 0x10000, 0x10000, 3, false }
    };
    for (unsigned i = 0; i < sizeof(one) / sizeof(one[0]); i++) {
        struct pt_inv r = { one[i].ia, one[i].ia + one[i].len - 1, one[i].level, one[i].tables };
        assert_int_equal(tlbi_commands(&t, &r, c, TLBI_MAX), 1);
    }
    /* Without ranges: one per leaf of a known level, and too many pages are the whole tag. */
    t.range = false;
    struct pt_inv gib = { 0x40000000, 0x7fffffff, 1, false };
    assert_int_equal(tlbi_commands(&t, &gib, c, TLBI_MAX), 1);
    gib.level = PT_LEVEL_ANY;
    assert_int_equal(tlbi_commands(&t, &gib, c, TLBI_MAX), 0);
}

/* ---- identification ---- */

static void idr_qemu(void **state)
{
    (void)state;
    /* As QEMU 10.0's `virt` answers. */
    struct smmu_fake f;
    fake_open(&f);
    struct smmuv3_idr r = { f.idr0, f.idr1, f.idr3, f.idr5, f.aidr };
    fake_close(&f);
    struct smmuv3_features ft;
    const char *why = "";
    assert_int_equal(smmuv3_decode_idr(&r, &ft, &why), 0);
    assert_null(why);
    assert_true(ft.caps.stage1 && ft.caps.stage2 && ft.caps.nested && ft.caps.coherent);
    assert_true(ft.caps.range_inv && ft.caps.xnx && ft.caps.two_level);
    assert_false(ft.caps.fwb || ft.caps.btm || ft.caps.stall || ft.caps.live.hw_af ||
                 ft.caps.live.hw_dirty);
    assert_int_equal(ft.caps.live.bbm, 2);
    assert_int_equal(ft.caps.oa_bits, 44);
    assert_int_equal(ft.caps.ia_bits, 44);
    assert_int_equal(ft.caps.vmid_bits, 16);
    assert_int_equal(ft.caps.asid_bits, 16);
    assert_int_equal(ft.caps.sid_bits, 16);
    assert_int_equal(ft.caps.ssid_bits, 0);
    assert_int_equal(ft.cmdq_log2, 19);
    assert_int_equal(ft.evtq_log2, 19);

    struct smmuv3_idr v = r;
    v.idr0 = (v.idr0 & ~2u) | 1u << 5 | 2u << 6; /* stage 2 only, BTM, HTTU 2 */
    v.idr3 = 1u << 8 | 1u << 11;                 /* FWB, BBML 1, no RIL */
    v.idr5 = 2u | 1u << 4;
    assert_int_equal(smmuv3_decode_idr(&v, &ft, &why), 0);
    assert_true(!ft.caps.stage1 && ft.caps.stage2 && !ft.caps.nested && ft.caps.btm);
    assert_true(ft.caps.live.hw_af && ft.caps.live.hw_dirty && ft.caps.fwb && !ft.caps.range_inv);
    assert_int_equal(ft.caps.live.bbm, 1);
    assert_int_equal(ft.caps.oa_bits, 40);
    assert_int_equal(ft.caps.asid_bits, 0);
    v.idr0 = (r.idr0 & ~(1u | 1u << 18)) | 1u << 6; /* stage 1 only, HTTU 1 */
    assert_int_equal(smmuv3_decode_idr(&v, &ft, &why), 0);
    assert_true(ft.caps.stage1 && !ft.caps.stage2 && ft.caps.live.hw_af && !ft.caps.live.hw_dirty);
    assert_int_equal(ft.caps.ia_bits, 48);
    assert_int_equal(ft.caps.vmid_bits, 0);
    v = r;
    v.idr3 |= 3u << 11; /* a reserved level is none */
    assert_int_equal(smmuv3_decode_idr(&v, &ft, &why), 0);
    assert_int_equal(ft.caps.live.bbm, 0);
}

static void idr_refused(void **state)
{
    (void)state;
    struct smmu_fake f;
    fake_open(&f);
    struct smmuv3_idr r = { f.idr0, f.idr1, f.idr3, f.idr5, f.aidr };
    fake_close(&f);
    for (unsigned i = 0; i < 8; i++) {
        struct smmuv3_idr v = r;
        switch (i) {
        case 0:
            v.idr0 &= ~3u;
            break;
        case 1:
            v.idr0 = (v.idr0 & ~(3u << 2)) | 1u << 2;
            break;
        case 2:
            v.idr5 &= ~(1u << 4);
            break;
        case 3:
            v.idr5 |= 7u;
            break;
        case 4:
            v.idr0 = (v.idr0 & ~(3u << 24)) | 2u << 24;
            break;
        case 5:
            v.idr1 |= 1u << 29;
            break;
        case 6:
            v.idr1 |= 1u << 30;
            break;
        default:
            v.aidr = 0x10;
            break;
        }
        struct smmuv3_features ft;
        const char *why = NULL;
        assert_int_equal(smmuv3_decode_idr(&v, &ft, &why), -EOPNOTSUPP);
        assert_non_null(why);
    }
}

/* ---- events ---- */

static void events_in_words(void **state)
{
    (void)state;
    static const unsigned types[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a,
                                      0x0b, 0x10, 0x11, 0x12, 0x13, 0x20, 0x21, 0x24, 0x25, 0xe3 };
    const unsigned n = sizeof(types) / sizeof(types[0]);
    struct iommu_event ev, unknown;
    uint64_t w[4] = { 0x77, 0, 0, 0 };
    event_decode(w, &unknown);
    for (unsigned i = 0; i < n; i++) {
        w[0] = types[i] | (uint64_t)0x28 << 32;
        event_decode(w, &ev);
        assert_int_equal(ev.type, types[i]);
        assert_int_equal(ev.sid, 0x28);
        assert_string_not_equal(ev.what, unknown.what);
        assert_true(strlen(ev.what) < 40); /* tn_event.what */
    }
    /* A stage-2 read fault, and a write with a substream, as the architecture lays them out. */
    uint64_t rd[4] = { 0x10 | (uint64_t)0x28 << 32, (uint64_t)1 << 35 | (uint64_t)1 << 39, 0x200123,
                       0xabc200fff };
    event_decode(rd, &ev);
    assert_false(ev.write || ev.ssid_valid);
    assert_true(ev.stage2);
    assert_int_equal(ev.addr, 0x200123);
    assert_int_equal(ev.ipa, 0xabc200000);
    uint64_t wr[4] = { 0x13 | 1u << 11 | 0x12345000u, 0, 0x1000, 0xffffffff };
    event_decode(wr, &ev);
    assert_true(ev.write && ev.ssid_valid && !ev.stage2);
    assert_int_equal(ev.ssid, 0x12345);
    assert_int_equal(ev.ipa, 0);
    /* Types without an address do not invent one. */
    uint64_t bad[4] = { 0x04, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0 };
    event_decode(bad, &ev);
    assert_true(!ev.write && !ev.stage2 && ev.addr == 0 && ev.ipa == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_ste),
        cmocka_unit_test(golden_cd),
        cmocka_unit_test(golden_commands),
        cmocka_unit_test(writer_every_state),
        cmocka_unit_test(writer_hitless_where_one_word_differs),
        cmocka_unit_test(writer_from_garbage),
        cmocka_unit_test(writer_cd),
        cmocka_unit_test(ranges_exact),
        cmocka_unit_test(ranges_few_commands),
        cmocka_unit_test(idr_qemu),
        cmocka_unit_test(idr_refused),
        cmocka_unit_test(events_in_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
