/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: the DMA engine behind a model TLB, and walkers on threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib_model.h"

#define A  LM_DATA /* two pages that a mapping can be switched between */
#define B  (LM_DATA + LM_2M)
#define IA (LM_1G + LM_2M)

static struct model_tlb *tlb_of(enum model_tlb_mode mode, enum model_tlb_apply apply, uint64_t seed)
{
    struct model_tlb *t = model_tlb_new(
        &(struct model_tlb_cfg){ .mode = mode, .apply = apply, .seed = seed, .evict_rate = 32 });

    assert_non_null(t);
    return t;
}

static uint64_t oa(struct model_tlb *t, struct lm *m, uint64_t ia)
{
    struct model_xlat x;

    return model_tlb_translate(t, &m->ctx, ia, rd, &x) == MODEL_OK ? x.oa : UINT64_MAX;
}

static void invalidate(struct model_tlb *t, struct model_inv inv)
{
    model_tlb_invalidate(t, &inv);
}

static void sync_waits_for_dma_in_flight(void **state)
{
    (void)state;
    for (int waits = 0; waits < 2; waits++) {
        struct lm m;
        struct model_tlb *t = tlb_of(MODEL_TLB_NEVER_EVICTS, MODEL_APPLY_AT_SYNC, 1);
        struct model_dma *d;
        struct model_dma_event ev;
        int h, other;
        char c = 'x';

        lm_init(&m, 2, 39, 1);
        lm_map(&m, IA, 3, A | LM_PAGE);
        lm_map(&m, IA + LM_4K, 3, B | LM_PAGE);
        d = model_dma_new(t, &m.ctx, &m.phys, LM_OWNER, waits);
        h = model_dma_begin(d, IA + 5, true, "y", 1);
        other = model_dma_begin(d, IA + LM_4K, true, "z", 1);
        assert_true(h >= 0 && other >= 0);
        lm_map(&m, IA, 3, 0);
        invalidate(t, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
        model_tlb_sync(t);
        assert_int_equal(model_dma_in_flight(d),
                         waits ? 1 : 2); /* the neighbour is not waited for */
        assert_int_equal(model_dma_drained(d), waits ? 1 : 0);
        model_phys_read(&m.phys, A + 5, &c, 1);
        assert_int_equal(c, waits ? 'y' : 0);
        model_phys_mark(&m.phys, A, LM_4K, MODEL_PAGE_DATA, LM_OWNER + 1);
        assert_int_equal(model_dma_complete(d, h, NULL), waits);
        assert_int_equal(model_dma_events(d), waits ? 0 : 1);
        if (!waits) {
            assert_true(model_dma_event(d, 0, &ev));
            assert_int_equal(ev.verdict, MODEL_V_OWNER_EARLY);
            assert_int_equal(ev.oa, A + 5);
        }
        assert_true(model_dma_complete(d, other, NULL));
        model_dma_free(d);
        model_tlb_free(t);
        lm_destroy(&m);
    }
}

static void dma_events(void **state)
{
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NONE, MODEL_APPLY_AT_SYNC, 1);
    struct model_dma *d;
    struct model_dma_event ev;
    uint64_t word = 0;
    static const enum model_verdict want[] = { MODEL_V_DMA_FAULT,    MODEL_V_DMA_FAULT,
                                               MODEL_V_DMA_TO_TABLE, MODEL_V_DMA_TO_FREE,
                                               MODEL_V_DMA_OUTSIDE,  MODEL_V_OWNER_EARLY };

    (void)state;
    lm_init(&m, 2, 39, 1);
    d = model_dma_new(t, &m.ctx, &m.phys, LM_OWNER, true);
    lm_map(&m, 0, 3, A | (LM_PAGE & ~LM_WRITE));
    lm_map(&m, LM_4K, 3, LM_TABLES | LM_PAGE);
    lm_map(&m, 2 * LM_4K, 3, (LM_TABLES + 0x300000) | LM_PAGE);
    lm_map(&m, 3 * LM_4K, 3, 0x70000000 | LM_PAGE);
    lm_map(&m, 4 * LM_4K, 3, B | LM_PAGE);
    model_phys_mark(&m.phys, B, LM_4K, MODEL_PAGE_DATA, 1);
    assert_true(model_dma_access(d, 8, false, &word, 8));
    assert_false(model_dma_access(d, LM_1G, false, &word, 8));
    for (uint64_t i = 0; i < 5; i++)
        assert_false(model_dma_access(d, i * LM_4K, true, &word, 8));
    assert_int_equal(model_dma_events(d), 6);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(model_dma_event(d, i, &ev));
        assert_int_equal(ev.verdict, want[i]);
    }
    model_dma_event(d, 0, &ev);
    assert_int_equal(ev.fault, MODEL_FAULT_TRANSLATION);
    model_dma_event(d, 1, &ev);
    assert_int_equal(ev.fault, MODEL_FAULT_PERMISSION);
    assert_int_equal(model_dma_begin(d, 0xff9, false, NULL, 8), -1); /* would cross a page */
    assert_int_equal(model_dma_in_flight(d), 0);
    model_dma_free(d);
    model_tlb_free(t);
    lm_destroy(&m);
}

struct story {
    struct lm m;
    struct model_tlb *tlb;
    struct model_dma *dma;
    uint64_t entry, table;
    _Atomic bool stop;
    _Atomic unsigned wrong;
};

static void *walker(void *arg)
{
    struct story *s = arg;

    for (uint64_t i = 0; !s->stop; i++) {
        uint64_t word = 0, at = IA + (i * 37 % 512) * LM_4K;

        if (oa(s->tlb, &s->m, at) != 0x80600000 + (at - IA))
            s->wrong++;
        if (!model_dma_access(s->dma, at, i & 1, &word, 8))
            s->wrong++;
    }
    return NULL;
}

/* Two walkers beside a thread that cuts and merges as BBM level 2 allows: nobody sees a thing. */
static void threads_see_no_transient(void **state)
{
    static struct story s;
    pthread_t th[2];

    (void)state;
    lm_init(&s.m, 2, 39, 1);
    s.stop = false;
    s.wrong = 0;
    s.tlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_RANDOM, .seed = 2, .spec_rate = 60, .evict_rate = 30 });
    s.dma = model_dma_new(s.tlb, &s.m.ctx, &s.m.phys, LM_OWNER, true);
    s.entry = lm_entry(&s.m, IA, 2);
    s.table = lm_full_table(&s.m, 3, 0x80600000, LM_PAGE);
    lm_set(&s.m, s.entry, 0x80600000 | LM_BLOCK);
    model_tlb_speculate_in(s.tlb, &s.m.ctx, IA, LM_2M);
    for (int i = 0; i < 2; i++)
        pthread_create(&th[i], NULL, walker, &s);
    for (int i = 0; i < 300; i++) {
        model_phys_mark(&s.m.phys, s.table, LM_4K, MODEL_PAGE_TABLE, 0);
        for (unsigned k = 0; k < 512; k++)
            lm_set(&s.m, s.table + k * 8, (0x80600000 + k * LM_4K) | LM_PAGE);
        lm_set(&s.m, s.entry, s.table | LM_TABLE);
        invalidate(s.tlb, model_inv_s2(LM_VMID, IA, LM_2M, 2, true));
        model_tlb_sync(s.tlb);
        lm_set(&s.m, s.entry, 0x80600000 | LM_BLOCK);
        invalidate(s.tlb, model_inv_s2(LM_VMID, IA, LM_2M, 0, false));
        model_tlb_sync(s.tlb);
        model_phys_mark(&s.m.phys, s.table, LM_4K, MODEL_PAGE_FREE, 0);
    }
    s.stop = true;
    for (int i = 0; i < 2; i++)
        pthread_join(th[i], NULL);
    assert_int_equal(s.wrong, 0);
    assert_int_equal(model_tlb_stats(s.tlb).bad_tables, 0);
    assert_int_equal(model_tlb_check(s.tlb, &s.m.ctx), MODEL_V_OK);
    model_dma_free(s.dma);
    model_tlb_free(s.tlb);
    lm_destroy(&s.m);
}

/*
 * Where one store may replace a leaf, the page under a device changes beside its walkers: they find
 * the one or the other, nothing else and no fault; after the sync only the new one. VT-d second
 * stage, AMD v1 and RISC-V x4 (rows of format, input bits, entry bits, the kind of invalidation).
 */
static const struct swap {
    struct model_walk_cfg walk;
    uint64_t link, mask;
    unsigned right;
    uint64_t leaf;
} swaps[] = {
    { { .fmt = &model_vtd2, .stage = 2, .ia_bits = 39, .oa_bits = 46, .start_level = 1 },
      3,
      0xffffffffff000,
      0,
      3 },
    { { .fmt = &model_amdv1, .stage = 2, .ia_bits = 21, .oa_bits = 48, .start_level = 3 },
      0,
      0xffffffffff000,
      0,
      (uint64_t)3 << 61 | 1 },
    { { .fmt = &model_riscv, .stage = 2, .ia_bits = 41, .oa_bits = 56, .start_level = 1 },
      1,
      0xfffffffffff000,
      2,
      0xdf },
};

static struct model_inv inv_of(const struct swap *w, uint64_t ia)
{
    if (w->walk.fmt == &model_vtd2)
        return model_inv_vtd_page(LM_VMID, ia, 0, true);
    if (w->walk.fmt == &model_amdv1)
        return model_inv_amd_pages(LM_VMID, ia, false, false);
    return model_inv_riscv_gvma(LM_VMID, ia);
}

static void *swap_walker(void *arg)
{
    struct story *s = arg;

    while (!s->stop) {
        uint64_t word = 0, at = oa(s->tlb, &s->m, LM_4K);

        if ((at != A && at != B) || !model_dma_access(s->dma, LM_4K, true, &word, 8))
            s->wrong++;
    }
    return NULL;
}

static void pages_replaced_under_dma(void **state)
{
    static struct story s;

    (void)state;
    for (unsigned i = 0; i < sizeof(swaps) / sizeof(swaps[0]); i++) {
        const struct swap *w = &swaps[i];
        pthread_t th[2];

        lm_start(&s.m, &w->walk);
        lm_link_as(&s.m, w->link, w->mask, w->right);
        s.stop = false;
        s.wrong = 0;
        s.tlb = model_tlb_new(&(struct model_tlb_cfg){
            .mode = MODEL_TLB_RANDOM, .seed = i, .spec_rate = 60, .evict_rate = 30 });
        s.dma = model_dma_new(s.tlb, &s.m.ctx, &s.m.phys, LM_OWNER, true);
        s.entry = lm_entry(&s.m, LM_4K, 3);
        lm_set(&s.m, s.entry, A >> w->right | w->leaf);
        model_tlb_speculate_in(s.tlb, &s.m.ctx, LM_4K, LM_4K);
        for (int t = 0; t < 2; t++)
            pthread_create(&th[t], NULL, swap_walker, &s);
        for (int n = 0; n < 400; n++) {
            uint64_t from = n & 1 ? B : A, to = n & 1 ? A : B;

            lm_set(&s.m, s.entry, to >> w->right | w->leaf);
            invalidate(s.tlb, inv_of(w, LM_4K));
            model_tlb_sync(s.tlb);
            /* Nobody writes to the old page any more: it may have another owner for a while. */
            model_phys_mark(&s.m.phys, from, LM_4K, MODEL_PAGE_DATA, LM_OWNER + 1);
            if (oa(s.tlb, &s.m, LM_4K) != to)
                s.wrong++;
            model_phys_mark(&s.m.phys, from, LM_4K, MODEL_PAGE_DATA, LM_OWNER);
        }
        s.stop = true;
        for (int t = 0; t < 2; t++)
            pthread_join(th[t], NULL);
        assert_int_equal(s.wrong, 0);
        assert_int_equal(model_dma_events(s.dma), 0);
        assert_int_equal(model_tlb_check(s.tlb, &s.m.ctx), MODEL_V_OK);
        model_dma_free(s.dma);
        model_tlb_free(s.tlb);
        lm_destroy(&s.m);
    }
}

/* Devices are users: pages of the kernel alone are not for them, where a format tells them apart. */
static void devices_are_users(void **state)
{
    const struct model_walk_cfg sv39 = { .fmt = &model_riscv,
                                         .stage = 1,
                                         .ia_bits = 39,
                                         .oa_bits = 56,
                                         .start_level = 1,
                                         .canonical = true };
    struct lm m;
    struct model_tlb *t = tlb_of(MODEL_TLB_NONE, MODEL_APPLY_AT_SYNC, 1);
    struct model_dma *d;
    struct model_dma_event ev;
    uint64_t word = 0;

    (void)state;
    lm_start(&m, &sv39);
    lm_link_as(&m, 1, 0xfffffffffff000, 2);
    lm_map(&m, 0, 3, A >> 2 | 0xdf);
    lm_map(&m, LM_4K, 3, B >> 2 | 0xcf);
    d = model_dma_new(t, &m.ctx, &m.phys, LM_OWNER, true);
    assert_true(model_dma_access(d, 0, true, &word, 8));
    assert_false(model_dma_access(d, LM_4K, true, &word, 8));
    assert_true(model_dma_event(d, 0, &ev));
    assert_int_equal(ev.fault, MODEL_FAULT_PERMISSION);
    model_dma_free(d);
    model_tlb_free(t);
    lm_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sync_waits_for_dma_in_flight),
        cmocka_unit_test(dma_events),
        cmocka_unit_test(threads_see_no_transient),
        cmocka_unit_test(pages_replaced_under_dma),
        cmocka_unit_test(devices_are_users),
    };

    return cmocka_run_group_tests_name("model: DMA and threads", tests, NULL, NULL);
}
