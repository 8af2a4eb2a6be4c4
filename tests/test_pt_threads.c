/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real threads, for TSan and for the order of things: parallel faults on one tree, and walkers that
 * translate while an owner cuts, replaces, merges, joins and tracks. One configuration
 * of each format. Numbers of rounds are fixed; nothing is timed.
 */
#include "lib_pt_lab.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "model/tlb.h"

#define THREADS 3u

/* A test on one configuration of each format; the first of all has the most rounds. */
static void each(void (*test)(struct tp *t, bool first))
{
    uint32_t seen = 0;

    for (unsigned c = 0; c < tp_conf_count; c++) {
        uint32_t format = 1u << tp_confs[c].cfg.format;
        struct tp t;

        if ((seen & format) != 0) {
            continue;
        }
        tp_open(&t, &tp_confs[c].cfg);
        if (tp_top(&t) >= 4 * t.big) {
            test(&t, seen == 0);
            seen |= format;
        }
        tp_close(&t);
    }
    assert_int_equal(seen, (1u << (PT_RISCV_X4 + 1)) - 1);
}

/* --- parallel faults --- */

#define FAULT_PAGES 4096u
#define FAULT_POOL  20u

struct faulter {
    struct tp *t;
    struct pt_pool pool;
    uint64_t made, lost;
    unsigned seed;
    bool bad;
};

static pthread_barrier_t start;

/* Faults on pages in an order of its own: mostly single ones, a block now and then. */
static void *fault(void *arg)
{
    struct faulter *me = arg;
    struct tp *t = me->t;

    pthread_barrier_wait(&start);
    for (unsigned i = 0; i < FAULT_PAGES; i++) {
        uint64_t page = (uint64_t)(i * 1571 + me->seed * 977) % FAULT_PAGES;
        uint64_t p = t->page, ia = t->big + page * p - 1024 * p;
        bool large = (ia & (4 * t->block - 1)) == 0 && t->block / p <= FAULT_PAGES / 2;
        uint64_t size = large ? t->block : p;
        struct pt_leaf leaf;
        int ret = pt_map_leaf(&t->pt, ia, ia + t->big, large ? 2 : 3, RW | t->user, &me->pool);

        if (ret == -EEXIST && large) {
            size = p; /* somebody was here with a table: then only the page */
            ret = pt_map_leaf(&t->pt, ia, ia + t->big, 3, RW | t->user, &me->pool);
        }
        if (ret == 0) {
            me->made += size / p;
        } else if (ret == -EEXIST) {
            me->lost++;
        } else {
            me->bad = true;
        }
        /* Whoever made it, it is there now. */
        if (pt_lookup(&t->pt, ia, &leaf) != 0 || !leaf.present ||
            leaf.oa + (ia - leaf.ia) != ia + t->big) {
            me->bad = true;
        }
    }
    return NULL;
}

static void faults(struct tp *t, bool first)
{
    for (unsigned round = 0; round < (first ? 2 : 1); round++) {
        struct faulter who[THREADS];
        pthread_t thread[THREADS];
        uint64_t made = 0, left = 0, at = t->big - 1024 * t->page;
        struct pt_counts n;
        struct pt_gather g;

        pthread_barrier_init(&start, NULL, THREADS);
        for (unsigned i = 0; i < THREADS; i++) {
            tp_pool(t, FAULT_POOL);
            who[i] = (struct faulter){ .t = t, .pool = t->pool, .seed = i * (round + 1) };
            t->pool = (struct pt_pool){ 0 };
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
        n = tp_count(&t->pt);
        assert_int_equal(n.leaves[2] * (t->block / t->page) + n.leaves[3], made);
        assert_int_equal(THREADS * FAULT_POOL, left + n.tables);
        for (unsigned i = 0; i < THREADS; i++) {
            uint64_t pa;

            while ((pa = pt_pool_pop(&who[i].pool)) != 0) {
                pt_pool_push(&t->pool, pa);
            }
        }
        tp_map_add(&t->map, at, at + made * t->page - 1, at + t->big, tp_reported(t, RW | t->user));
        tp_audit(t);
        pt_gather_init(&g);
        assert_int_equal(pt_unmap(&t->pt, 0, 4 * t->big, &g), 0);
        assert_int_equal(pt_trim(&t->pt, 0, 4 * t->big, &g), 0);
        tp_map_del(&t->map, 0, 4 * t->big - 1);
        tp_done(t, &g);
        pthread_barrier_destroy(&start);
    }
}

static void parallel_faults(void **state)
{
    (void)state;
    each(faults);
}

/* --- walkers beside an owner --- */

#ifdef __SANITIZE_THREAD__
#define ROUNDS_FIRST 10u /* of the first format */
#define ROUNDS       1u
#else
#define ROUNDS_FIRST 20u
#define ROUNDS       3u
#endif

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
static uint64_t steady(const struct tp *t, struct model_rng *rng)
{
    /* Half of the time in the blocks that are being converted. */
    uint64_t len = model_rng_chance(rng, 128) ? 2 * t->big : 2 * t->block;

    return t->big + (model_rng_below(rng, len / t->page) | 1) * t->page;
}

static void *walk_on(void *arg)
{
    struct walker *me = arg;
    struct model_rng rng;

    model_rng_seed(&rng, me->seed);
    while (!__atomic_load_n(me->stop, __ATOMIC_ACQUIRE) && !me->failed) {
        struct model_access access = { .what = model_rng_chance(&rng, 64) ? MODEL_W : MODEL_R,
                                       .user = me->t->user != 0 };
        uint64_t ia = steady(me->t, &rng);
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
            lab_issue(who[i].tlb, who[i].ctx, &g->inv[k]);
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
static void owner_round(struct tp *t, struct walker *who, struct model_rng *rng,
                        const struct pt_counts *was)
{
    uint64_t p = t->page, ia = t->big + (model_rng_below(rng, 2 * t->block / p) & ~(uint64_t)1) * p;
    uint64_t bits[1] = { 0 };
    uint32_t rw = RW | t->user;
    struct pt_gather g;

    pt_gather_init(&g);
    tp_pool(t, 4);
    assert_int_equal(pt_cut(&t->pt, ia, p, &t->pool, &g), 0);
    sync_all(t, &g, who);
    for (unsigned back = 0; back < 2; back++) {
        assert_int_equal(pt_break(&t->pt, ia, p, &g), 0);
        sync_all(t, &g, who);
        assert_int_equal(pt_map(&t->pt, ia, back ? ia : ia ^ 8 * t->big, p, rw, 0, &t->pool), 0);
    }
    assert_int_equal(pt_protect(&t->pt, ia, p, rw | PT_TRACK, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_dirty_read_clear(&t->pt, ia, p, bits, p, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_protect(&t->pt, ia, p, rw, &g), 0);
    sync_all(t, &g, who);
    assert_int_equal(pt_merge(&t->pt, ia, p, 0, &g), 1);
    sync_all(t, &g, who);
    assert_true(pt_join(&t->pt, t->big, 2 * t->big, 0, &g) >= 0);
    sync_all(t, &g, who);
    for (unsigned l = 0; l < 4; l++) {
        assert_int_equal(tp_count(&t->pt).leaves[l], was->leaves[l]);
    }
}

static void walkers(struct tp *t, bool first)
{
    static const int modes[] = { MODEL_TLB_NEVER_EVICTS, MODEL_TLB_RANDOM, MODEL_TLB_NONE };
    struct walker who[THREADS];
    pthread_t thread[THREADS];
    struct model_ctx ctx;
    struct model_rng rng;
    struct pt_counts was;
    bool stop = false;

    model_rng_seed(&rng, 4711);
    ctx = (struct model_ctx){ .walk = t->walk, .mem = &tp_mem, .vmid = 5 };
    tp_pool(t, 4);
    assert_int_equal(pt_map(&t->pt, t->big, t->big, 2 * t->big, RW | t->user, 0, &t->pool), 0);
    tp_map_add(&t->map, t->big, 3 * t->big - 1, t->big, tp_reported(t, RW | t->user));
    was = tp_count(&t->pt);
    for (unsigned i = 0; i < THREADS; i++) {
        struct model_tlb *tlb =
            model_tlb_new(&(struct model_tlb_cfg){ .mode = (enum model_tlb_mode)modes[i],
                                                   .apply = MODEL_APPLY_RANDOM,
                                                   .seed = i,
                                                   .spec_rate = 16,
                                                   .evict_rate = 16 });

        assert_non_null(tlb);
        assert_true(model_tlb_speculate_in(tlb, &ctx, t->big, 4 * t->block));
        who[i] = (struct walker){ .t = t, .ctx = &ctx, .tlb = tlb, .stop = &stop, .seed = i + 1 };
        assert_int_equal(pthread_create(&thread[i], NULL, walk_on, &who[i]), 0);
    }
    for (unsigned i = 0; i < (first ? ROUNDS_FIRST : ROUNDS); i++) {
        for (unsigned k = 0; k < THREADS; k++) {
            /* Nobody is left behind: the walkers are at it in every round. */
            while (__atomic_load_n(&who[k].translations, __ATOMIC_RELAXED) < 30 * i &&
                   !__atomic_load_n(&who[k].failed, __ATOMIC_ACQUIRE)) {
                sched_yield();
            }
        }
        owner_round(t, who, &rng, &was);
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
    tp_audit(t);
}

static void walkers_beside_owner(void **state)
{
    (void)state;
    each(walkers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_faults),
        cmocka_unit_test(walkers_beside_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
