/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real threads, for TSan and for the order of things: parallel faults on one tree, and walkers that
 * translate while an owner cuts, replaces, merges and tracks. Numbers of rounds are fixed; nothing
 * is timed.
 */
#include "lib_pt.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "model/tlb.h"

#define THREADS 3u

static const struct pt_config conf = { .format = PT_ARM_S2_4K,
                                       .ia_bits = 40,
                                       .oa_bits = 44,
                                       .start_level = 0,
                                       .live = { .bbm = 2, .hw_af = true, .hw_dirty = true } };

/* --- parallel faults --- */

#define FAULT_PAGES 4096u

struct faulter {
    struct tp *t;
    struct pt_pool pool;
    uint64_t made, lost;
    unsigned seed;
    bool bad;
};

static pthread_barrier_t start;

/* Faults on pages in an order of its own: mostly 4K, a 2M leaf now and then. */
static void *fault(void *arg)
{
    struct faulter *me = arg;
    struct tp *t = me->t;

    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < FAULT_PAGES; i++) {
        uint64_t page = (uint64_t)(i * 1571 + me->seed * 977) % FAULT_PAGES;
        uint64_t ia = GIB - 4 * MIB + page * PAGE_SIZE;
        bool large = (ia & (8 * MIB - 1)) == 0;
        uint64_t size = large ? 2 * MIB : PAGE_SIZE;
        struct pt_leaf leaf;
        int ret = pt_map_leaf(&t->pt, ia, ia + GIB, large ? 2 : 3, RW, &me->pool);

        if (ret == -EEXIST && large) {
            size = PAGE_SIZE; /* somebody was here with a table: then only the page */
            ret = pt_map_leaf(&t->pt, ia, ia + GIB, 3, RW, &me->pool);
        }
        if (ret == 0) {
            me->made += size / PAGE_SIZE;
        } else if (ret == -EEXIST) {
            me->lost++;
        } else {
            me->bad = true;
        }
        /* Whoever made it, it is there now. */
        if (pt_lookup(&t->pt, ia, &leaf) != 0 || !leaf.present ||
            leaf.oa + (ia - leaf.ia) != ia + GIB) {
            me->bad = true;
        }
    }
    return NULL;
}

static void parallel_faults(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 4; round++) {
        struct faulter who[THREADS];
        pthread_t thread[THREADS];
        uint64_t made = 0, left = 0;
        struct tp t;

        tp_open(&t, &conf);
        pthread_barrier_init(&start, NULL, THREADS);
        for (unsigned i = 0; i < THREADS; i++) {
            /* 16 MiB over a 1G boundary: at most 1 + 2 + 8 tables, and three in the hand. */
            tp_pool(&t, 14);
            who[i] = (struct faulter){ .t = &t, .pool = t.pool, .seed = i * round };
            t.pool = (struct pt_pool){ 0 };
        }
        for (unsigned i = 0; i < THREADS; i++) {
            assert_int_equal(pthread_create(&thread[i], NULL, fault, &who[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(thread[i], NULL);
            assert_false(who[i].bad);
            made += who[i].made;
            left += who[i].pool.count;
        }
        /* Exactly once each, counted exactly, and every unused page is back in its pool. */
        assert_int_equal(tp_count(&t.pt).leaves[2] * 512 + tp_count(&t.pt).leaves[3], made);
        assert_int_equal(THREADS * 14, left + tp_count(&t.pt).tables);
        for (unsigned i = 0; i < THREADS; i++) {
            uint64_t pa;

            while ((pa = pt_pool_pop(&who[i].pool)) != 0) {
                pt_pool_push(&t.pool, pa);
            }
        }
        tp_map_add(&t.map, GIB - 4 * MIB, GIB - 4 * MIB + made * PAGE_SIZE - 1, 2 * GIB - 4 * MIB,
                   tp_reported(&t, RW));
        tp_audit(&t);
        tp_close(&t);
        pthread_barrier_destroy(&start);
    }
}

/* --- walkers beside an owner --- */

#define ROUNDS 60u

struct walker {
    struct tp *t;
    const struct model_ctx *ctx;
    struct model_tlb *tlb;
    bool *stop;
    uint64_t seed, translations;
    uint64_t inside; /* odd while a pt_lookup() is under way */
    struct model_xlat bad;
    bool failed;
};

/* Where the owner never changes an address, though it cuts and merges around it: odd pages. */
static uint64_t steady(struct model_rng *rng)
{
    uint64_t page = model_rng_below(rng, 2 * GIB / PAGE_SIZE) | 1;

    /* Half of the time in the 2M blocks that are being converted. */
    return GIB + (model_rng_chance(rng, 128) ? page : page & 0x7ff) * PAGE_SIZE;
}

static void *walk_on(void *arg)
{
    struct walker *me = arg;
    struct model_rng rng;

    model_rng_seed(&rng, me->seed);
    while (!__atomic_load_n(me->stop, __ATOMIC_ACQUIRE) && !me->failed) {
        struct model_access access = { .what = model_rng_chance(&rng, 64) ? MODEL_W : MODEL_R };
        uint64_t ia = steady(&rng);
        struct pt_leaf leaf;
        struct model_xlat x;
        bool found;

        /* Software looks too, without a lock. */
        __atomic_fetch_add(&me->inside, 1, __ATOMIC_SEQ_CST);
        found =
            pt_lookup(&me->t->pt, ia, &leaf) == 0 && leaf.present && leaf.oa + (ia - leaf.ia) == ia;
        __atomic_fetch_add(&me->inside, 1, __ATOMIC_SEQ_CST);
        if (!found) {
            me->bad = (struct model_xlat){ .ia = ia, .fault = MODEL_FAULT_TRANSLATION };
            __atomic_store_n(&me->failed, true, __ATOMIC_RELEASE);
        } else if (model_tlb_translate(me->tlb, me->ctx, ia, access, &x) != MODEL_OK ||
                   x.oa != ia || x.conflict == MODEL_V_CONFLICT_CONTENTS) {
            me->bad = x;
            __atomic_store_n(&me->failed, true, __ATOMIC_RELEASE);
        }
        __atomic_fetch_add(&me->translations, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void sync_all(struct tp *t, struct pt_gather *g, struct walker *who)
{
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned k = 0; k < g->n; k++) {
            const struct pt_inv *r = &g->inv[k];
            struct model_inv inv = model_inv_s2(
                5, r->ia, r->last - r->ia + 1, r->level == PT_LEVEL_ANY ? 0 : r->level, !r->tables);

            model_tlb_invalidate(who[i].tlb, &inv);
        }
        model_tlb_sync(who[i].tlb);
    }
    /* No lookup that began before is still inside: the other half of pt_gather_done()'s contract. */
    for (unsigned i = 0; i < THREADS; i++) {
        uint64_t was = __atomic_load_n(&who[i].inside, __ATOMIC_SEQ_CST);

        while ((was & 1) != 0 && __atomic_load_n(&who[i].inside, __ATOMIC_SEQ_CST) == was) {
            sched_yield();
        }
    }
    tp_done(t, g);
}

/* One even page leaves for another address and comes back, everything merges again. */
static void owner_round(struct tp *t, struct walker *who, struct model_rng *rng)
{
    uint64_t ia = GIB + (model_rng_below(rng, 1024) & ~(uint64_t)1) * PAGE_SIZE;
    uint64_t bits[1] = { 0 };
    struct pt_gather g;

    pt_gather_init(&g);
    tp_pool(t, 4);
    assert_int_equal(pt_cut(&t->pt, ia, PAGE_SIZE, &t->pool, &g), 0);
    sync_all(t, &g, who);
    for (unsigned back = 0; back < 2; back++) {
        assert_int_equal(pt_break(&t->pt, ia, PAGE_SIZE, &g), 0);
        sync_all(t, &g, who);
        assert_int_equal(
            pt_map(&t->pt, ia, back ? ia : ia ^ 0x100000000, PAGE_SIZE, RW, 0, &t->pool), 0);
    }
    assert_int_equal(pt_protect(&t->pt, ia, PAGE_SIZE, RW | PT_TRACK, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_dirty_read_clear(&t->pt, ia, PAGE_SIZE, bits, PAGE_SIZE, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_protect(&t->pt, ia, PAGE_SIZE, RW, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_merge(&t->pt, ia, PAGE_SIZE, 0, &g), 1);
    sync_all(t, &g, who);
    assert_int_equal(tp_count(&t->pt).leaves[1], 2);
}

static void walkers_beside_owner(void **state)
{
    static const int modes[] = { MODEL_TLB_NEVER_EVICTS, MODEL_TLB_RANDOM, MODEL_TLB_NONE };
    struct walker who[THREADS];
    pthread_t thread[THREADS];
    struct model_ctx ctx;
    struct model_rng rng;
    bool stop = false;
    struct tp t;

    (void)state;
    model_rng_seed(&rng, 4711);
    tp_open(&t, &conf);
    ctx = (struct model_ctx){ .walk = t.walk, .mem = &tp_mem, .vmid = 5 };
    tp_pool(&t, 4);
    assert_int_equal(pt_map(&t.pt, GIB, GIB, 2 * GIB, RW, 0, &t.pool), 0);
    tp_map_add(&t.map, GIB, 3 * GIB - 1, GIB, tp_reported(&t, RW));
    for (unsigned i = 0; i < THREADS; i++) {
        struct model_tlb *tlb =
            model_tlb_new(&(struct model_tlb_cfg){ .mode = (enum model_tlb_mode)modes[i],
                                                   .apply = MODEL_APPLY_RANDOM,
                                                   .seed = i,
                                                   .spec_rate = 16,
                                                   .evict_rate = 16 });

        assert_non_null(tlb);
        assert_true(model_tlb_speculate_in(tlb, &ctx, GIB, 8 * MIB));
        who[i] = (struct walker){ .t = &t, .ctx = &ctx, .tlb = tlb, .stop = &stop, .seed = i + 1 };
        assert_int_equal(pthread_create(&thread[i], NULL, walk_on, &who[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned k = 0; k < THREADS; k++) {
            /* Nobody is left behind: the walkers are at it in every round. */
            while (__atomic_load_n(&who[k].translations, __ATOMIC_RELAXED) < 30 * i &&
                   !__atomic_load_n(&who[k].failed, __ATOMIC_ACQUIRE)) {
                sched_yield();
            }
        }
        owner_round(&t, who, &rng);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        tp_assert(!who[i].failed, "%s: %#lx -> %#lx, level %u, after %lu: %s\n",
                  model_verdict_name(who[i].bad.fault == MODEL_OK       ? MODEL_V_WRONG_OUTPUT
                                     : who[i].bad.verdict != MODEL_V_OK ? who[i].bad.verdict
                                                                        : MODEL_V_TRANSIENT_FAULT),
                  (unsigned long)who[i].bad.ia, (unsigned long)who[i].bad.oa, who[i].bad.level,
                  (unsigned long)who[i].translations, model_fault_name(who[i].bad.fault));
        assert_int_equal(model_tlb_check(who[i].tlb, &ctx), MODEL_V_OK);
        model_tlb_free(who[i].tlb);
    }
    tp_audit(&t);
    tp_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_faults),
        cmocka_unit_test(walkers_beside_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
