/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole bench at work: pages of a 2M leaf are converted to other memory and back under a CPU
 * and a device, by a small operator written here. Done right, nobody may complain, whatever the
 * TLBs do; each way of doing it wrong must be caught, and by its name.
 */
#include "lib_model.h"
#include "model/rng.h"

#define IA    (LM_1G + LM_2M)
#define HOME  0x80600000u /* the leaf's own memory */
#define AWAY  0x80800000u /* where converted pages live */
#define PAGES 512u
#define USED  16u /* pages that the story is about */

#define CLEAN_PAGE  ((LM_PAGE & ~LM_WRITE) | LM_DBM)
#define CLEAN_BLOCK ((LM_BLOCK & ~LM_WRITE) | LM_DBM)

enum wrong {
    RIGHT,
    UNMAP_WHOLE_LEAF,
    LINK_BEFORE_FILL,
    NO_INVALIDATION_SMMU,
    NO_INVALIDATION_CPU,
    NO_INVALIDATION_COMBINED,
    ONE_WAIT_FOR_BOTH_STAGES,
    WRONG_VMID,
    WRONG_ADDRESS_AFTER_MERGE,
    HINT_TOO_EARLY,
    TABLE_FREED_EARLY,
    LEAF_ONLY_AFTER_MERGE,
    OWNER_EARLY,
    DATA_PAGE_AS_TABLE,
    DIRTY_LOST_IN_CUT,
    DIRTY_LOST_AFTER_MERGE,
    CUT_BY_PLAIN_STORE,
    BREAK_BEFORE_MAKE_SKIPPED,
    INVALIDATED_BEFORE_THE_STORE,
    WRONGS
};

struct bench {
    struct lm m;
    struct model_tlb *cpu, *smmu;
    struct model_dma *dma;
    struct model_live *live;
    struct model_rng rng;
    enum wrong wrong;
    uint64_t entry, table; /* the level 2 entry; 0 while it is a block */
    bool away[USED], written[USED];
    bool quiet;    /* nobody writes */
    unsigned busy; /* the page that is being converted, PAGES if none */
    int flight[4];
    size_t found[MODEL_V_COUNT];
};

static void found(struct bench *b, enum model_verdict v)
{
    b->found[v]++;
}

static void on_violation(void *arg, enum model_verdict v, const struct model_store *s, uint64_t ia,
                         int level)
{
    (void)s;
    (void)ia;
    (void)level;
    found(arg, v);
}

static void on_stale(void *arg, enum model_verdict v, const struct model_tlb_entry *e)
{
    (void)e;
    found(arg, v);
}

static uint64_t memory_of(const struct bench *b, unsigned page)
{
    return (page < USED && b->away[page] ? AWAY : HOME) + page * LM_4K;
}

static void look(struct bench *b, struct model_tlb *t)
{
    unsigned page = (unsigned)model_rng_below(&b->rng, USED + 2) % (USED + 1);
    struct model_access a = { .what = MODEL_R };
    struct model_xlat x;

    if (page == b->busy)
        return;
    if (!b->quiet && model_rng_chance(&b->rng, 24))
        a.what = MODEL_W;
    if (model_tlb_translate(t, &b->m.ctx, IA + page * LM_4K, a, &x) != MODEL_OK)
        found(b, x.verdict != MODEL_V_OK ? x.verdict : MODEL_V_TRANSIENT_FAULT);
    else if (x.oa != memory_of(b, page))
        found(b, x.stale_why != MODEL_V_OK ? x.stale_why : MODEL_V_WRONG_OUTPUT);
    else if (page < USED && (a.what & MODEL_W))
        b->written[page] = true;
    if (x.conflict == MODEL_V_CONFLICT_CONTENTS)
        found(b, x.conflict);
}

/* Everything that may happen between any two stores. */
static void meanwhile(struct bench *b)
{
    unsigned page = (unsigned)model_rng_below(&b->rng, USED);
    int *f = &b->flight[model_rng_below(&b->rng, 4)];

    look(b, b->cpu);
    look(b, b->smmu);
    model_tlb_tick(b->cpu);
    model_tlb_tick(b->smmu);
    if (*f >= 0) {
        model_dma_complete(b->dma, *f, NULL);
        *f = -1;
    } else if (page != b->busy) {
        bool write = !b->quiet && model_rng_chance(&b->rng, 64);

        *f = model_dma_begin(b->dma, IA + page * LM_4K, write, "x", 1);
        b->written[page] |= write;
    }
}

static void store(struct bench *b, uint64_t entry, uint64_t value)
{
    struct model_store s = { .entry = entry, .old = lm_get(&b->m, entry), .value = value };

    model_live_store(b->live, &s);
    lm_set(&b->m, entry, value);
    meanwhile(b);
}

/* A compare-exchange that carries the old dirty state, as bits `keep`, into the new value. */
static uint64_t swap(struct bench *b, uint64_t entry, uint64_t value, uint64_t keep)
{
    struct model_store s = { .entry = entry, .old = lm_get(&b->m, entry), .atomic = true };

    do
        s.value = value | (s.old & keep);
    while (!model_phys_cas64(&b->m.phys, entry, &s.old, s.value));
    model_live_store(b->live, &s);
    meanwhile(b);
    return s.old;
}

static void invalidate(struct bench *b, uint64_t ia, uint64_t len, uint8_t hint, bool leaf_only)
{
    uint16_t vmid = b->wrong == WRONG_VMID ? LM_VMID + 1 : LM_VMID;
    struct model_inv by_ipa = model_inv_s2(vmid, ia, len, hint, leaf_only);
    struct model_inv combined = { .kind = MODEL_INV_S1_VMID, .vmid = vmid };

    if (b->wrong != NO_INVALIDATION_SMMU) {
        model_tlb_invalidate(b->smmu, &by_ipa);
        meanwhile(b);
        model_tlb_sync(b->smmu);
    }
    if (b->wrong == NO_INVALIDATION_CPU)
        return;
    model_tlb_invalidate(b->cpu, &by_ipa);
    meanwhile(b);
    if (b->wrong != ONE_WAIT_FOR_BOTH_STAGES)
        model_tlb_sync(b->cpu);
    if (b->wrong != NO_INVALIDATION_COMBINED)
        model_tlb_invalidate(b->cpu, &combined);
    meanwhile(b);
    model_tlb_sync(b->cpu);
}

static void fill(struct bench *b, uint64_t bits)
{
    for (unsigned i = 0; i < PAGES; i++)
        lm_set(&b->m, b->table + i * 8, (HOME + i * LM_4K) | bits);
}

static void cut(struct bench *b)
{
    uint64_t old = lm_get(&b->m, b->entry), seen;

    b->table = LM_TABLES + 0x100000;
    model_phys_mark(&b->m.phys, b->table, LM_4K,
                    b->wrong == DATA_PAGE_AS_TABLE ? MODEL_PAGE_DATA : MODEL_PAGE_TABLE, 0);
    if (b->wrong == CUT_BY_PLAIN_STORE) {
        fill(b, CLEAN_PAGE | (old & LM_WRITE));
        store(b, b->entry, b->table | LM_TABLE);
        return;
    }
    if (b->wrong == LINK_BEFORE_FILL) {
        for (unsigned i = 0; i < PAGES; i++)
            lm_set(&b->m, b->table + i * 8, 0);
        old = swap(b, b->entry, b->table | LM_TABLE, 0);
        for (unsigned i = 0; i < PAGES; i++)
            store(b, b->table + i * 8, (HOME + i * LM_4K) | CLEAN_PAGE | (old & LM_WRITE));
        return;
    }
    do { /* filled with what the block is at the moment of the exchange */
        struct model_store s = { .entry = b->entry, .value = b->table | LM_TABLE, .atomic = true };

        fill(b, CLEAN_PAGE | (b->wrong == DIRTY_LOST_IN_CUT ? 0 : old & LM_WRITE));
        seen = old;
        if (model_phys_cas64(&b->m.phys, b->entry, &seen, s.value)) {
            s.old = old;
            model_live_store(b->live, &s);
            break;
        }
        old = seen;
    } while (true);
    meanwhile(b);
}

/* Dirty logging: what is dirty is reported and made clean. */
static void harvest(struct bench *b)
{
    bool reported[USED] = { false };

    model_live_harvest(b->live, true);
    for (unsigned i = 0; i < USED; i++) {
        uint64_t e = b->table ? b->table + i * 8 : b->entry;

        if (!(lm_get(&b->m, e) & LM_WRITE))
            continue;
        swap(b, e, lm_get(&b->m, e) & ~LM_WRITE, 0);
        for (unsigned k = b->table ? i : 0; k <= (b->table ? i : USED - 1); k++)
            reported[k] = true;
    }
    model_live_harvest(b->live, false);
    invalidate(b, IA, LM_2M, 0, true);
    for (unsigned i = 0; i < USED; i++)
        b->written[i] = b->written[i] && !reported[i];
}

static void merge(struct bench *b)
{
    uint64_t block = HOME | CLEAN_BLOCK, table = b->table, late = 0;

    if (b->wrong == WRONG_ADDRESS_AFTER_MERGE)
        block = (HOME - LM_2M) | CLEAN_BLOCK;
    for (unsigned i = 0; i < PAGES; i++)
        block |= lm_get(&b->m, table + i * 8) & LM_WRITE;
    swap(b, b->entry, block, 0);
    b->table = 0;
    if (b->wrong == TABLE_FREED_EARLY) {
        model_live_table_free(b->live, table);
        model_phys_mark(&b->m.phys, table, LM_4K, MODEL_PAGE_FREE, 0);
    }
    meanwhile(b);
    invalidate(b, IA, LM_2M, 0, b->wrong == LEAF_ONLY_AFTER_MERGE);
    if (b->wrong == TABLE_FREED_EARLY)
        return;
    /* What walkers with a pointer to the old table made dirty until now. */
    for (unsigned i = 0; i < PAGES; i++)
        late |= lm_get(&b->m, table + i * 8) & LM_WRITE;
    if (late && b->wrong != DIRTY_LOST_AFTER_MERGE)
        swap(b, b->entry, block | LM_WRITE, 0);
    model_live_table_free(b->live, table);
    model_phys_mark(&b->m.phys, table, LM_4K, MODEL_PAGE_FREE, 0);
}

static void give(struct bench *b, uint64_t pa, bool to_guest)
{
    model_phys_mark(&b->m.phys, pa, LM_4K, MODEL_PAGE_DATA, to_guest ? LM_OWNER : LM_OWNER + 1);
}

/* Page `page` gets the other memory. */
static void convert(struct bench *b, unsigned page)
{
    uint64_t ia = IA + page * LM_4K, before = memory_of(b, page), after, e;
    bool fresh = !b->table;

    after = (b->away[page] ? HOME : AWAY) + page * LM_4K;
    b->busy = page;
    if (b->wrong == UNMAP_WHOLE_LEAF && fresh) {
        model_live_scope(b->live, ia, LM_4K);
        swap(b, b->entry, 0, 0);
        model_live_scope_clear(b->live);
        invalidate(b, IA, LM_2M, 0, false);
        b->table = LM_TABLES + 0x100000;
        model_phys_mark(&b->m.phys, b->table, LM_4K, MODEL_PAGE_TABLE, 0);
        fill(b, CLEAN_PAGE);
        store(b, b->entry, b->table | LM_TABLE);
    } else if (fresh) {
        model_live_scope(b->live, 0, 0);
        cut(b);
        model_live_scope_clear(b->live);
    }
    if (b->wrong == DATA_PAGE_AS_TABLE)
        return;
    e = b->table + page * 8;
    model_live_scope(b->live, ia, LM_4K);
    if (b->wrong == OWNER_EARLY)
        give(b, before, false);
    if (b->wrong == BREAK_BEFORE_MAKE_SKIPPED) {
        give(b, after, true);
        swap(b, e, after | CLEAN_PAGE, 0);
    } else if (b->wrong == INVALIDATED_BEFORE_THE_STORE) {
        invalidate(b, fresh ? IA : ia, fresh ? LM_2M : LM_4K, 0, true);
        swap(b, e, 0, 0);
    } else {
        swap(b, e, 0, 0);
    }
    if (b->wrong != INVALIDATED_BEFORE_THE_STORE)
        invalidate(b, fresh ? IA : ia, fresh && b->wrong != HINT_TOO_EARLY ? LM_2M : LM_4K,
                   fresh && b->wrong != HINT_TOO_EARLY ? 0 : 3, true);
    give(b, before, false);
    give(b, after, true);
    b->written[page] = false;
    if (b->wrong != BREAK_BEFORE_MAKE_SKIPPED)
        store(b, e, after | CLEAN_PAGE);
    b->away[page] = !b->away[page];
    b->busy = PAGES;
    model_live_scope_clear(b->live);
    meanwhile(b);
}

/* All invalidations have completed: what do the caches hold, and is every written page dirty? */
static void take_stock(struct bench *b)
{
    static const struct model_access peek = { .what = MODEL_R, .peek = true };
    struct model_xlat x;

    for (unsigned i = 0; i < 4; i++)
        if (b->flight[i] >= 0) {
            model_dma_complete(b->dma, b->flight[i], NULL);
            b->flight[i] = -1;
        }
    model_tlb_audit(b->cpu, &b->m.ctx, on_stale, b);
    model_tlb_audit(b->smmu, &b->m.ctx, on_stale, b);
    model_live_audit(b->live);
    for (unsigned i = 0; i < USED; i++)
        if (model_walk(&b->m.ctx.walk, &b->m.mem, IA + i * LM_4K, peek, &x) != MODEL_OK ||
            x.oa != memory_of(b, i))
            found(b, MODEL_V_WRONG_OUTPUT);
        else if (b->written[i] && !x.dirty)
            found(b, MODEL_V_DIRTY_LOST);
    for (size_t i = 0; i < model_dma_events(b->dma); i++) {
        struct model_dma_event ev;

        if (model_dma_event(b->dma, i, &ev))
            found(b, ev.verdict);
    }
    model_dma_clear_events(b->dma);
}

static void tell(struct bench *b, enum wrong wrong, enum model_tlb_mode mode, uint64_t seed,
                 unsigned rounds)
{
    struct model_tlb_cfg cfg = { .mode = mode, .seed = seed, .spec_rate = 60, .evict_rate = 16 };

    memset(b, 0, sizeof(*b));
    lm_init(&b->m, 2, 39, 1);
    b->m.ctx.walk.ha = b->m.ctx.walk.hd = true;
    b->wrong = wrong;
    b->busy = PAGES;
    model_rng_seed(&b->rng, seed);
    memset(b->flight, 0xff, sizeof(b->flight));
    b->entry = lm_entry(&b->m, IA, 2);
    lm_set(&b->m, b->entry, HOME | CLEAN_BLOCK);
    b->smmu = model_tlb_new(&cfg);
    cfg.seed++;
    cfg.combined = true;
    b->cpu = model_tlb_new(&cfg);
    b->dma = model_dma_new(b->smmu, &b->m.ctx, &b->m.phys, LM_OWNER, true);
    b->live = model_live_new(&(struct model_live_cfg){
        .walk = b->m.ctx.walk, .mem = &b->m.mem, .vmid = LM_VMID, .agents = 2 });
    model_live_on_violation(b->live, on_violation, b);
    model_tlb_on_completed(b->smmu, model_live_completed, model_live_agent(b->live, 0));
    model_tlb_on_completed(b->cpu, model_live_completed, model_live_agent(b->live, 1));
    model_tlb_speculate_in(b->cpu, &b->m.ctx, IA, USED * LM_4K);
    model_tlb_speculate_in(b->smmu, &b->m.ctx, IA, USED * LM_4K);
    for (unsigned n = 0; n < rounds; n++) {
        unsigned first = (unsigned)model_rng_below(&b->rng, USED - 3);

        harvest(b);
        b->quiet = n % 2;
        for (unsigned i = 0; i < 20; i++)
            meanwhile(b);
        for (unsigned i = 0; i < 3; i++)
            convert(b, first + i);
        if (b->wrong == DATA_PAGE_AS_TABLE)
            break;
        take_stock(b);
        for (unsigned i = 0; i < 3; i++)
            convert(b, first + 2 - i);
        b->quiet = false;
        harvest(b);
        merge(b);
        take_stock(b);
    }
    model_dma_free(b->dma);
    model_live_free(b->live);
    model_tlb_free(b->cpu);
    model_tlb_free(b->smmu);
    lm_destroy(&b->m);
}

static const enum model_tlb_mode modes[] = { MODEL_TLB_NEVER_EVICTS, MODEL_TLB_RANDOM,
                                             MODEL_TLB_NONE };

static void nobody_complains_of_what_is_right(void **state)
{
    static struct bench b;

    (void)state;
    for (unsigned mode = 0; mode < 3; mode++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            tell(&b, RIGHT, modes[mode], seed, 6);
            for (unsigned v = 0; v < MODEL_V_COUNT; v++)
                if (b.found[v])
                    fail_msg("mode %u, seed %u: %s, %zu times", mode, (unsigned)seed,
                             model_verdict_name((enum model_verdict)v), b.found[v]);
        }
}

static void what_is_wrong_is_caught_by_name(void **state)
{
    static const struct {
        enum wrong wrong;
        const char *what;
        enum model_verdict v;
        unsigned modes; /* in which it must be seen: 1 never evicts, 2 random, 4 caches nothing */
    } cases[] = {
        { UNMAP_WHOLE_LEAF, "whole leaf unmapped", MODEL_V_NEIGHBOUR_BROKEN, 7 },
        { UNMAP_WHOLE_LEAF, "whole leaf unmapped", MODEL_V_TRANSIENT_FAULT, 7 },
        { LINK_BEFORE_FILL, "linked before filled", MODEL_V_TABLE_NOT_FILLED, 7 },
        { LINK_BEFORE_FILL, "linked before filled", MODEL_V_TRANSIENT_FAULT, 6 },
        { NO_INVALIDATION_SMMU, "no invalidation, SMMU", MODEL_V_MAKE_EARLY, 7 },
        { NO_INVALIDATION_SMMU, "no invalidation, SMMU", MODEL_V_STALE, 3 },
        { NO_INVALIDATION_SMMU, "no invalidation, SMMU", MODEL_V_OWNER_EARLY, 3 },
        { NO_INVALIDATION_CPU, "no invalidation, CPU", MODEL_V_MAKE_EARLY, 7 },
        { NO_INVALIDATION_CPU, "no invalidation, CPU", MODEL_V_WRONG_OUTPUT, 3 },
        { NO_INVALIDATION_COMBINED, "no VMALLE1", MODEL_V_WRONG_STAGE, 3 },
        { ONE_WAIT_FOR_BOTH_STAGES, "one wait for both stages", MODEL_V_WRONG_STAGE, 3 },
        { WRONG_VMID, "wrong VMID", MODEL_V_WRONG_VMID, 7 },
        { WRONG_ADDRESS_AFTER_MERGE, "wrong address after merge", MODEL_V_MERGE_DIFFERS, 7 },
        { WRONG_ADDRESS_AFTER_MERGE, "wrong address after merge", MODEL_V_WRONG_OUTPUT, 7 },
        { HINT_TOO_EARLY, "level hint too early", MODEL_V_HINT_EARLY, 7 },
        { TABLE_FREED_EARLY, "table freed early", MODEL_V_TABLE_FREED_EARLY, 7 },
        { TABLE_FREED_EARLY, "table freed early", MODEL_V_DATA_AS_TABLE, 3 },
        { LEAF_ONLY_AFTER_MERGE, "leaf-only after merge", MODEL_V_LEAF_ONLY, 7 },
        { OWNER_EARLY, "owner changed before the wait", MODEL_V_OWNER_EARLY, 7 },
        { DATA_PAGE_AS_TABLE, "data page as table", MODEL_V_DATA_AS_TABLE, 7 },
        { DIRTY_LOST_IN_CUT, "dirty bit lost in a cut", MODEL_V_DIRTY_LOST, 7 },
        { DIRTY_LOST_AFTER_MERGE, "dirty bit lost after a merge", MODEL_V_DIRTY_LOST, 1 },
        { CUT_BY_PLAIN_STORE, "cut by plain store", MODEL_V_NOT_CAS, 7 },
        { BREAK_BEFORE_MAKE_SKIPPED, "break skipped", MODEL_V_BBM_SKIPPED, 7 },
        { INVALIDATED_BEFORE_THE_STORE, "invalidated before the store", MODEL_V_MAKE_EARLY, 7 },
        { INVALIDATED_BEFORE_THE_STORE, "invalidated before the store", MODEL_V_STALE, 3 },
    };

    unsigned missed = 0;

    (void)state;
    for (unsigned c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
        for (unsigned mode = 0; mode < 3; mode++) {
            static struct bench b;
            uint64_t seed = 0;

            if (!(cases[c].modes & 1u << mode))
                continue;
            for (b.found[cases[c].v] = 0; b.found[cases[c].v] == 0 && seed < 40; seed++)
                tell(&b, cases[c].wrong, modes[mode], seed, 4);
            if (b.found[cases[c].v] == 0) {
                print_error("%s: never seen as %s in mode %u\n", cases[c].what,
                            model_verdict_name(cases[c].v), mode);
                missed++;
            }
        }
    assert_int_equal(missed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_complains_of_what_is_right),
        cmocka_unit_test(what_is_wrong_is_caught_by_name),
    };

    return cmocka_run_group_tests_name("model: right and wrong stories", tests, NULL, NULL);
}
