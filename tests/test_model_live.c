/* SPDX-License-Identifier: BSD-2-Clause */
/* The judge judged: every rule about stores to live tables, kept and broken. */
#include "lib_model.h"

#define OA 0x80600000u /* 2M aligned data */
#define IA (LM_1G + LM_2M)

static const uint64_t clean = (LM_PAGE & ~LM_WRITE) | LM_DBM, dirty = LM_PAGE | LM_DBM;
static const uint64_t clean_block = (LM_BLOCK & ~LM_WRITE) | LM_DBM,
                      dirty_block = LM_BLOCK | LM_DBM;

struct court {
    struct lm m;
    struct model_live *live;
    void *agent;
};

static void open_court(struct court *c, uint8_t bbm, bool hd, uint8_t agents)
{
    lm_init(&c->m, 2, 39, 1);
    lm_entry(&c->m, IA, 2); /* a level 2 table is there */
    c->m.ctx.walk.bbm = bbm;
    c->m.ctx.walk.ha = c->m.ctx.walk.hd = hd;
    c->live = model_live_new(&(struct model_live_cfg){
        .walk = c->m.ctx.walk, .mem = &c->m.mem, .vmid = LM_VMID, .agents = agents });
    assert_non_null(c->live);
    c->agent = model_live_agent(c->live, 0);
}

static void close_court(struct court *c)
{
    model_live_free(c->live);
    lm_destroy(&c->m);
}

static enum model_verdict put(struct court *c, uint64_t entry, uint64_t value, bool atomic)
{
    struct model_store s = {
        .entry = entry, .old = lm_get(&c->m, entry), .value = value, .atomic = atomic
    };

    lm_set(&c->m, entry, value);
    return model_live_store(c->live, &s);
}

static void done(struct court *c, struct model_inv inv)
{
    model_live_completed(c->agent, &inv, 1);
}

#define OK(call)    assert_string_equal(model_verdict_name(call), "ok")
#define IS(call, v) assert_string_equal(model_verdict_name(call), model_verdict_name(MODEL_V_##v))

static void map_unmap_map(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    open_court(&c, 0, false, 1);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, e, 0, false));
    OK(put(&c, e, OA | LM_BLOCK, false)); /* the very same again */
    OK(put(&c, e, 0, false));
    IS(put(&c, e, (OA + LM_2M) | LM_BLOCK, false), MAKE_EARLY);
    OK(put(&c, e, 0, false));
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 2, true));
    assert_int_equal(model_live_waiting(c.live), 0);
    /* Both were broken and both are gone. Now as pages. */
    table = lm_full_table(&c.m, 3, OA + LM_2M, LM_PAGE);
    OK(put(&c, table + 8, 0, false)); /* not linked: preparation */
    OK(put(&c, table + 8, (OA + LM_2M + LM_4K) | LM_PAGE, false));
    OK(put(&c, e, table | LM_TABLE, false));
    assert_int_equal(model_live_tables(c.live), 3);
    /* Back to a block, by break and make. */
    OK(put(&c, e, 0, false));
    IS(put(&c, e, (OA + LM_2M) | LM_BLOCK, false), MAKE_EARLY);
    OK(put(&c, e, 0, false));
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 3, true)); /* pages only: the block stays */
    IS(put(&c, e, OA | LM_BLOCK, false), HINT_EARLY);
    close_court(&c);
}

static void live_leaf_changes(void **state)
{
    struct court c;
    uint64_t e;

    (void)state;
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, e, OA | (LM_BLOCK & ~LM_WRITE), false)); /* rights */
    OK(put(&c, e, OA | (LM_BLOCK & ~LM_AF), false));
    OK(put(&c, e, OA | LM_BLOCK | LM_SOFTWARE, false));
    OK(put(&c, e, OA | LM_BLOCK | (uint64_t)1 << 54, false)); /* XN */
    OK(put(&c, e, OA | LM_BLOCK, false));
    IS(put(&c, e, (OA + LM_2M) | LM_BLOCK, false), BBM_SKIPPED);
    close_court(&c);

    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | LM_BLOCK, false);
    IS(put(&c, e, OA | (LM_BLOCK & ~0x3cu) | 5 << 2, false), BBM_SKIPPED); /* memory type */
    put(&c, e, OA | LM_BLOCK, false);
    IS(put(&c, e, OA | (LM_BLOCK & ~0x300u), false), BBM_SKIPPED); /* shareability */
    IS(put(&c, e, OA | LM_BLOCK | (uint64_t)1 << 11, false), RESERVED_BITS);
    assert_int_equal(model_live_violations(c.live, MODEL_V_BBM_SKIPPED), 4); /* each way */
    close_court(&c);

    /* Two read-only pages of one content. */
    open_court(&c, 0, false, 1);
    e = lm_entry(&c.m, IA, 2);
    for (int same = 0; same < 2; same++) {
        uint64_t ro = LM_BLOCK & ~LM_WRITE;
        struct model_store s = { e, OA | ro, (OA + LM_2M) | ro, true, same };

        put(&c, e, 0, false);
        done(&c, (struct model_inv){ .kind = MODEL_INV_ALL });
        OK(put(&c, e, OA | ro, false));
        assert_int_equal(model_live_store(c.live, &s), same ? MODEL_V_OK : MODEL_V_BBM_SKIPPED);
        lm_set(&c.m, e, s.value);
    }
    close_court(&c);
}

/* Bits that no list frees, and the contiguous bit. */
static void other_bits_of_a_leaf(void **state)
{
    struct court c;
    uint64_t e;

    (void)state;
    open_court(&c, 0, false, 1);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, e, OA | LM_BLOCK | LM_SOFTWARE, false));
    OK(put(&c, e, OA | LM_BLOCK, false));
    assert_int_equal(model_live_waiting(c.live), 0); /* nothing to invalidate for that */
    IS(put(&c, e, OA | LM_BLOCK | LM_CONTIG, false), BBM_SKIPPED);
    close_court(&c);

    for (uint8_t bbm = 0; bbm < 3; bbm++) {
        open_court(&c, bbm, false, 1);
        model_live_free(c.live);
        e = lm_entry(&c.m, 2 * LM_1G, 2);
        c.m.ctx.walk.contig = true;
        c.live = model_live_new(&(struct model_live_cfg){
            .walk = c.m.ctx.walk, .mem = &c.m.mem, .vmid = LM_VMID, .agents = 1 });
        OK(put(&c, e, 0x4000000000 | LM_BLOCK, false));
        if (bbm == 0)
            IS(put(&c, e, 0x4000000000 | LM_BLOCK | LM_CONTIG, false), SIZE_NEEDS_BBM);
        else
            OK(put(&c, e, 0x4000000000 | LM_BLOCK | LM_CONTIG, false));
        close_court(&c);
    }
}

static void what_waits_for_whom(void **state)
{
    struct model_inv inv = model_inv_s2(LM_VMID, IA, LM_2M, 0, true);
    struct court c;
    uint64_t e, e1, table;

    (void)state;
    /* Broken, half invalidated, made and broken again: both agents have to, anew. */
    open_court(&c, 2, false, 2);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | LM_BLOCK, false);
    OK(put(&c, e, 0, false));
    model_live_completed(model_live_agent(c.live, 0), &inv, 1);
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, e, 0, false));
    model_live_completed(model_live_agent(c.live, 1), &inv, 1);
    IS(put(&c, e, (OA + LM_2M) | LM_BLOCK, false), MAKE_EARLY);
    close_court(&c);

    /* A gigabyte made over a page that was broken, and never invalidated. */
    open_court(&c, 2, false, 1);
    e1 = lm_entry(&c.m, IA, 1);
    e = lm_entry(&c.m, IA + 5 * LM_4K, 3);
    model_live_free(c.live);
    c.live = model_live_new(&(struct model_live_cfg){
        .walk = c.m.ctx.walk, .mem = &c.m.mem, .vmid = LM_VMID, .agents = 1 });
    c.agent = model_live_agent(c.live, 0);
    OK(put(&c, e, OA | LM_PAGE, false));
    OK(put(&c, e, 0, false));
    OK(put(&c, e1, 0, false));
    IS(put(&c, e1, 0x4000000000 | LM_BLOCK, false), MAKE_EARLY);
    close_court(&c);

    /* A hint for the leaves' level, not leaf-only: pointers to their table are of the level above. */
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, table | LM_TABLE, false));
    OK(put(&c, e, 0, false));
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 3, false));
    OK(model_live_table_free(c.live, table));
    close_court(&c);

    /* Unlinked, and still read: other pages in it are no preparation. */
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, table | LM_TABLE, false));
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, table, OA | (LM_PAGE & ~LM_WRITE), true));
    IS(put(&c, table, (OA + LM_4K) | LM_PAGE, true), TABLE_FREED_EARLY);
    close_court(&c);
}

static void stage_1_globalness(void **state)
{
    struct court c;
    uint64_t e, ng = LM_S1_PAGE, global = LM_S1_PAGE & ~(1u << 11);

    (void)state;
    lm_init(&c.m, 1, 39, 1);
    e = lm_entry(&c.m, IA, 3);
    lm_set(&c.m, e, OA | global);
    c.live = model_live_new(&(struct model_live_cfg){
        .walk = c.m.ctx.walk, .mem = &c.m.mem, .asid = LM_VMID, .agents = 1 });
    OK(put(&c, e, OA | ng, false));
    IS(put(&c, e, OA | global, false), BBM_SKIPPED);
    close_court(&c);
}

static void cut(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    for (uint8_t bbm = 0; bbm < 3; bbm++) {
        open_court(&c, bbm, false, 1);
        e = lm_entry(&c.m, IA, 2);
        put(&c, e, OA | LM_BLOCK, false);
        table = lm_full_table(&c.m, 3, OA, LM_PAGE);
        if (bbm == 2)
            OK(put(&c, e, table | LM_TABLE, true));
        else
            IS(put(&c, e, table | LM_TABLE, true), SIZE_NEEDS_BBM);
        close_court(&c);
    }
    /* Level 1, as it has to be: nT, invalidate, then the table. */
    open_court(&c, 1, false, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | LM_BLOCK, false);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, OA | LM_BLOCK | LM_NT, true));
    IS(put(&c, e, table | LM_TABLE, true), MAKE_EARLY); /* the one without nT may be cached */
    close_court(&c);
    open_court(&c, 1, false, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | LM_BLOCK, false);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, OA | LM_BLOCK | LM_NT, true));
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 2, true));
    OK(put(&c, e, table | LM_TABLE, true));
    /* The block with nT is in no cache: a page may go with a hint for pages. */
    OK(put(&c, table, 0, true));
    done(&c, model_inv_s2(LM_VMID, IA, LM_4K, 3, true));
    OK(put(&c, table, OA | LM_PAGE, true));
    OK(put(&c, table + 8, 0, true));
    done(&c, model_inv_s2(LM_VMID, IA + LM_4K, LM_4K, 3, true));
    OK(put(&c, table + 8, (OA + LM_2M) | LM_PAGE, true));
    OK(put(&c, table + 8, 0, true));
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 3, true));
    OK(put(&c, table + 8, (OA + LM_4K) | LM_PAGE, true));
    /* and back: the block with nT, invalidate, then without */
    OK(put(&c, e, OA | LM_BLOCK | LM_NT, true));
    IS(put(&c, e, OA | LM_BLOCK, true), MAKE_EARLY);
    close_court(&c);
}

static void cut_with_a_wrong_table(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    for (int wrong = 0; wrong < 5; wrong++) {
        open_court(&c, 2, false, 1);
        e = lm_entry(&c.m, IA, 2);
        put(&c, e, OA | LM_BLOCK, false);
        table = lm_full_table(&c.m, 3, OA, LM_PAGE);
        switch (wrong) {
        case 0: /* a hole, and the operation may not break anything */
            lm_set(&c.m, table + 511 * 8, 0);
            IS(put(&c, e, table | LM_TABLE, true), TABLE_NOT_FILLED);
            break;
        case 1: /* a hole where the operation may */
            lm_set(&c.m, table + 511 * 8, 0);
            model_live_scope(c.live, IA + 511 * LM_4K, LM_4K);
            OK(put(&c, e, table | LM_TABLE, true));
            break;
        case 2:
            lm_set(&c.m, table + 8, (OA + 2 * LM_4K) | LM_PAGE);
            IS(put(&c, e, table | LM_TABLE, true), TABLE_DIFFERS);
            break;
        case 3: /* attributes lost on split */
            lm_set(&c.m, table + 8, (OA + LM_4K) | (LM_PAGE & ~0x3cu));
            IS(put(&c, e, table | LM_TABLE, true), TABLE_DIFFERS);
            break;
        default: /* a data page */
            model_phys_mark(&c.m.phys, table, LM_4K, MODEL_PAGE_DATA, 0);
            IS(put(&c, e, table | LM_TABLE, true), DATA_AS_TABLE);
            break;
        }
        close_court(&c);
    }
}

/* A cut whose own invalidation has not completed: no hint for what follows. */
static void hint_too_early(void **state)
{
    struct court c;
    uint64_t e, table, other = OA + 3 * LM_2M;

    (void)state;
    for (int right = 0; right < 2; right++) {
        open_court(&c, 2, false, 1);
        e = lm_entry(&c.m, IA, 2);
        put(&c, e, OA | LM_BLOCK, false);
        table = lm_full_table(&c.m, 3, OA, LM_PAGE);
        OK(put(&c, e, table | LM_TABLE, true));
        OK(put(&c, table + 8, 0, false));
        done(&c, model_inv_s2(LM_VMID, IA + LM_4K, LM_4K, right ? 0 : 3, true));
        if (right)
            OK(put(&c, table + 8, other | LM_PAGE, false));
        else
            IS(put(&c, table + 8, other | LM_PAGE, false), HINT_EARLY);
        close_court(&c);
    }
}

static void every_agent_has_to_complete(void **state)
{
    struct court c;
    struct model_inv inv = model_inv_s2(LM_VMID, IA, LM_2M, 0, false);
    uint64_t e;

    (void)state;
    for (int both = 0; both < 2; both++) {
        open_court(&c, 2, false, 2);
        e = lm_entry(&c.m, IA, 2);
        put(&c, e, OA | LM_BLOCK, false);
        OK(put(&c, e, 0, false));
        model_live_completed(model_live_agent(c.live, 1), &inv, 1);
        if (both)
            model_live_completed(model_live_agent(c.live, 0), &inv, 1);
        assert_int_equal(put(&c, e, (OA + LM_2M) | LM_BLOCK, false),
                         both ? MODEL_V_OK : MODEL_V_MAKE_EARLY);
        assert_null(model_live_agent(c.live, 2));
        close_court(&c);
    }
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | LM_BLOCK, false);
    put(&c, e, 0, false);
    done(&c, model_inv_s2(LM_VMID + 1, IA, LM_2M, 0, false));
    IS(put(&c, e, (OA + LM_2M) | LM_BLOCK, false), WRONG_VMID);
    close_court(&c);
}

static void merge(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    for (int how = 0; how < 6; how++) {
        open_court(&c, how == 1 ? 0 : 2, false, 1);
        e = lm_entry(&c.m, IA, 2);
        table = lm_full_table(&c.m, 3, OA, LM_PAGE);
        if (how == 2)
            lm_set(&c.m, table + 7 * 8, OA | LM_PAGE);
        OK(put(&c, e, table | LM_TABLE, false));
        if (how == 1) {
            IS(put(&c, e, OA | LM_BLOCK, false), SIZE_NEEDS_BBM);
        } else if (how == 2) {
            IS(put(&c, e, OA | LM_BLOCK, false), MERGE_DIFFERS);
        } else {
            OK(put(&c, e, OA | LM_BLOCK, false));
            if (how == 0) { /* leaves only: pointers to the old table are still around */
                done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 0, true));
                IS(model_live_table_free(c.live, table), LEAF_ONLY);
            } else if (how == 3) {
                IS(model_live_table_free(c.live, table), TABLE_FREED_EARLY);
            } else if (how == 4) { /* used for something else before the invalidation */
                lm_set(&c.m, table, 0);
                IS(model_live_audit(c.live), TABLE_FREED_EARLY);
                IS(put(&c, table + 8, 0, false), TABLE_FREED_EARLY);
            } else {
                OK(model_live_audit(c.live));
                done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 0, false));
                lm_set(&c.m, table, 0);
                OK(model_live_audit(c.live));
                OK(model_live_table_free(c.live, table));
                assert_int_equal(model_live_tables(c.live), 2);
                assert_int_equal(model_live_waiting(c.live), 0);
            }
        }
        close_court(&c);
    }
}

static void tables_that_are_freed_or_linked_wrongly(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, table | LM_TABLE, false));
    IS(model_live_table_free(c.live, table), TABLE_FREED_LIVE);
    OK(put(&c, e, 0, false));
    IS(put(&c, e + 8, table | LM_TABLE, false), TABLE_FREED_EARLY); /* linked anew too soon */
    OK(model_live_table_free(c.live, LM_DATA));                     /* never was one */
    close_court(&c);

    /* One table for another: equal, with a hole, with other pages. */
    for (int how = 0; how < 3; how++) {
        uint64_t next;

        open_court(&c, 2, false, 1);
        e = lm_entry(&c.m, IA, 2);
        table = lm_full_table(&c.m, 3, OA, LM_PAGE);
        next = lm_full_table(&c.m, 3, OA, LM_PAGE);
        OK(put(&c, e, table | LM_TABLE, false));
        if (how)
            lm_set(&c.m, next + 8, how == 1 ? 0 : OA | LM_PAGE);
        assert_int_equal(put(&c, e, next | LM_TABLE, false), how == 0   ? MODEL_V_OK
                                                             : how == 1 ? MODEL_V_TABLE_NOT_FILLED
                                                                        : MODEL_V_TABLE_DIFFERS);
        close_court(&c);
    }
}

static void neighbours_stay(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 2);
    table = lm_full_table(&c.m, 3, OA, LM_PAGE);
    OK(put(&c, e, table | LM_TABLE, false));
    model_live_scope(c.live, IA + 4 * LM_4K, 2 * LM_4K);
    OK(put(&c, table + 4 * 8, 0, false));
    OK(put(&c, table + 5 * 8, 0, false));
    IS(put(&c, table + 6 * 8, 0, false), NEIGHBOUR_BROKEN);
    IS(put(&c, e, 0, false), NEIGHBOUR_BROKEN); /* the whole leaf, for two of its pages */
    model_live_scope_clear(c.live);
    IS(put(&c, e, table | LM_TABLE, false), TABLE_FREED_EARLY);
    OK(put(&c, table + 7 * 8, 0, false)); /* without a scope anything may go */
    model_live_scope(c.live, 0, 0);
    IS(put(&c, table + 8 * 8, 0, false), NEIGHBOUR_BROKEN); /* an empty scope: nothing may */
    assert_int_equal(model_live_violations(c.live, MODEL_V_NEIGHBOUR_BROKEN), 3);
    assert_int_equal(model_live_first(c.live), MODEL_V_NEIGHBOUR_BROKEN);
    model_live_forget(c.live);
    assert_int_equal(model_live_violations(c.live, MODEL_V_OK), 0);
    close_court(&c);

    /* Strict: whoever breaks anything says so before. */
    open_court(&c, 2, false, 1);
    model_live_free(c.live);
    c.live = model_live_new(&(struct model_live_cfg){
        .walk = c.m.ctx.walk, .mem = &c.m.mem, .vmid = LM_VMID, .agents = 1, .strict = true });
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | LM_BLOCK, false));
    IS(put(&c, e, 0, false), NEIGHBOUR_BROKEN);
    model_live_scope(c.live, IA, LM_2M);
    OK(put(&c, e, OA | LM_BLOCK, false));
    OK(put(&c, e, 0, false));
    assert_null(model_live_new(&(struct model_live_cfg){ .walk = c.m.ctx.walk, .mem = &c.m.mem }));
    close_court(&c);
}

/* Entries of an unlinked table may be cleared only where the tree maps nothing, not even between. */
static void old_entries_go_with_their_leaves(void **state)
{
    struct court c;
    uint64_t e, old, new, pages;

    (void)state;
    open_court(&c, 2, false, 1);
    e = lm_entry(&c.m, IA, 1);
    OK(put(&c, e, 0, false));
    done(&c, (struct model_inv){ .kind = MODEL_INV_ALL });
    old = lm_full_table(&c.m, 2, OA, LM_BLOCK);
    OK(put(&c, e, old | LM_TABLE, false));
    OK(put(&c, e, 0, false));
    OK(put(&c, old, 0, false)); /* nothing is mapped */
    new = lm_new_table(&c.m);
    pages = lm_new_table(&c.m);
    lm_set(&c.m, pages + 100 * 8, (OA + LM_2M + 100 * LM_4K) | LM_PAGE);
    lm_set(&c.m, new + 8, pages | LM_TABLE);
    lm_set(&c.m, new + 3 * 8, (OA + 3 * LM_2M) | LM_BLOCK);
    OK(put(&c, e, new | LM_TABLE, false));
    IS(put(&c, old + 8, 0, false), TABLE_FREED_EARLY);
    OK(put(&c, old + 2 * 8, 0, false));
    IS(put(&c, old + 3 * 8, 0, false), TABLE_FREED_EARLY);
    close_court(&c);
}

static void dirty_state(void **state)
{
    struct court c;
    uint64_t e, table;

    (void)state;
    open_court(&c, 2, true, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | clean_block, false);
    IS(put(&c, e, OA | clean_block | LM_SOFTWARE, false), NOT_CAS);
    OK(put(&c, e, OA | clean_block, true));
    OK(put(&c, e, OA | dirty_block, true));
    OK(put(&c, e, OA | dirty_block | LM_SOFTWARE, false)); /* hardware has nothing left to do */
    IS(put(&c, e, OA | clean_block, true), DIRTY_LOST);
    OK(put(&c, e, OA | dirty_block, true));
    model_live_harvest(c.live, true);
    OK(put(&c, e, OA | clean_block, true));
    model_live_harvest(c.live, false);
    OK(put(&c, e, OA | dirty_block, true));
    table = lm_full_table(&c.m, 3, OA, clean); /* a cut that forgets */
    IS(put(&c, e, table | LM_TABLE, true), DIRTY_LOST);
    close_court(&c);

    open_court(&c, 2, true, 1);
    e = lm_entry(&c.m, IA, 2);
    put(&c, e, OA | clean_block, false);
    table = lm_full_table(&c.m, 3, OA, clean);
    IS(put(&c, e, table | LM_TABLE, false), NOT_CAS); /* a cut that could lose one */
    close_court(&c);

    /* A merge that forgets one, and one where hardware sets it in the old table afterwards. */
    for (int late = 0; late < 2; late++) {
        open_court(&c, 2, true, 1);
        e = lm_entry(&c.m, IA, 2);
        table = lm_full_table(&c.m, 3, OA, clean);
        if (!late)
            lm_set(&c.m, table + 9 * 8, (OA + 9 * LM_4K) | dirty);
        OK(put(&c, e, table | LM_TABLE, false));
        if (!late) {
            IS(put(&c, e, OA | clean_block, false), DIRTY_LOST);
        } else {
            OK(put(&c, e, OA | clean_block, false));
            lm_set(&c.m, table + 9 * 8, (OA + 9 * LM_4K) | dirty); /* a walker with a pointer */
            done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 0, false));
            IS(model_live_table_free(c.live, table), DIRTY_LOST);
        }
        close_court(&c);
    }
    /* The same, carried over. */
    open_court(&c, 2, true, 1);
    e = lm_entry(&c.m, IA, 2);
    table = lm_full_table(&c.m, 3, OA, clean);
    OK(put(&c, e, table | LM_TABLE, false));
    OK(put(&c, e, OA | clean_block, false));
    lm_set(&c.m, table + 9 * 8, (OA + 9 * LM_4K) | dirty);
    done(&c, model_inv_s2(LM_VMID, IA, LM_2M, 0, false));
    OK(put(&c, e, OA | dirty_block, true));
    OK(model_live_table_free(c.live, table));
    OK(model_live_audit(c.live));
    close_court(&c);
}

static void unlogged_stores(void **state)
{
    struct court c;
    struct model_store lie;
    uint64_t e;

    (void)state;
    open_court(&c, 2, true, 1);
    e = lm_entry(&c.m, IA, 2);
    OK(put(&c, e, OA | clean_block, false));
    OK(model_live_audit(c.live));
    lm_set(&c.m, e, OA | dirty_block); /* hardware's own update is no store */
    OK(model_live_audit(c.live));
    lm_set(&c.m, e, (OA + LM_2M) | dirty_block);
    IS(model_live_audit(c.live), UNLOGGED);
    lie = (struct model_store){ e, (OA + LM_2M) | dirty_block, 0, true, false };
    IS(model_live_store(c.live, &lie), UNLOGGED);
    close_court(&c);
}

struct heard {
    unsigned calls;
    enum model_verdict v;
    uint64_t ia;
};

static void hear(void *arg, enum model_verdict v, const struct model_store *s, uint64_t ia,
                 int level)
{
    struct heard *h = arg;

    (void)s;
    (void)level;
    h->calls++;
    h->v = v;
    h->ia = ia;
}

/* A whole tree of gigabyte size: cut twice, merged twice, through a TLB whose syncs tell the judge. */
static void two_levels_with_a_tlb(void **state)
{
    struct court c;
    struct heard h = { 0 };
    struct model_tlb *t;
    struct model_inv inv;
    uint64_t e1, t2, t3;

    (void)state;
    open_court(&c, 2, false, 1);
    model_live_on_violation(c.live, hear, &h);
    t = model_tlb_new(
        &(struct model_tlb_cfg){ .mode = MODEL_TLB_RANDOM, .seed = 1, .spec_rate = 99 });
    assert_true(model_tlb_on_completed(t, model_live_completed, c.agent));
    assert_true(model_tlb_speculate_in(t, &c.m.ctx, 4 * LM_1G, LM_1G));
    e1 = lm_entry(&c.m, 4 * LM_1G, 1);
    OK(put(&c, e1, 0x4000000000 | LM_BLOCK, false));
    model_tlb_speculate(t, 20);
    t2 = lm_full_table(&c.m, 2, 0x4000000000, LM_BLOCK);
    OK(put(&c, e1, t2 | LM_TABLE, true));
    model_tlb_speculate(t, 20);
    t3 = lm_full_table(&c.m, 3, 0x4000200000, LM_PAGE);
    OK(put(&c, t2 + 8, t3 | LM_TABLE, true));
    model_tlb_speculate(t, 20);
    assert_int_equal(model_live_waiting(c.live), 2);
    inv = model_inv_s2(LM_VMID, 4 * LM_1G, LM_1G, 0, true);
    model_tlb_invalidate(t, &inv);
    model_tlb_sync(t);
    assert_int_equal(model_live_waiting(c.live), 0);
    OK(model_tlb_check(t, &c.m.ctx));
    /* Back to the gigabyte in one go: 511 blocks, 512 pages and two tables wait. */
    OK(put(&c, e1, 0x4000000000 | LM_BLOCK, true));
    model_tlb_speculate(t, 20);
    assert_int_equal(model_live_waiting(c.live), 511 + 512 + 2);
    inv = model_inv_s2(LM_VMID, 4 * LM_1G, LM_1G, 0, false);
    model_tlb_invalidate(t, &inv);
    model_tlb_sync(t);
    assert_int_equal(model_live_waiting(c.live), 0);
    OK(model_live_table_free(c.live, t3));
    OK(model_live_table_free(c.live, t2));
    OK(model_tlb_check(t, &c.m.ctx));
    assert_int_equal(h.calls, 0);
    IS(put(&c, e1, 0x8000000000 | LM_BLOCK, true), BBM_SKIPPED);
    assert_int_equal(h.calls, 1);
    close_court(&c);
    model_tlb_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_unmap_map),
        cmocka_unit_test(live_leaf_changes),
        cmocka_unit_test(other_bits_of_a_leaf),
        cmocka_unit_test(what_waits_for_whom),
        cmocka_unit_test(stage_1_globalness),
        cmocka_unit_test(cut),
        cmocka_unit_test(cut_with_a_wrong_table),
        cmocka_unit_test(hint_too_early),
        cmocka_unit_test(every_agent_has_to_complete),
        cmocka_unit_test(merge),
        cmocka_unit_test(tables_that_are_freed_or_linked_wrongly),
        cmocka_unit_test(neighbours_stay),
        cmocka_unit_test(old_entries_go_with_their_leaves),
        cmocka_unit_test(dirty_state),
        cmocka_unit_test(unlogged_stores),
        cmocka_unit_test(two_levels_with_a_tlb),
    };

    return cmocka_run_group_tests_name("model: live stores", tests, NULL, NULL);
}
