/* SPDX-License-Identifier: BSD-2-Clause */
/* PASIDs: two ways to get one, one way to use it; and guests' first stages with their invalidations. */
#include "lib_space.h"

#include <stdlib.h>
#include <string.h>

#include "tenon/nest.h"
#include "tenon/pasid.h"

#define OTHER ((owner_t)(OWNER_VM0 + 1))
enum { N = 16 };

static struct iommu im, im2;
static struct iommu_domain d1, d2, d3;
static struct pasid_set set;
static struct pasid *slots[N];

/* ---- a driver ---- */

static struct {
    struct iommu_domain *at[4][N + 2]; /* by stream and PASID */
    unsigned attached, detached, fail_at;
} drv;

static int drv_attach(struct iommu *x, uint32_t sid, uint32_t pasid, struct iommu_domain *d)
{
    (void)x;
    if (drv.fail_at != 0 && --drv.fail_at == 0) {
        return -ENOMEM;
    }
    drv.attached++;
    drv.at[sid][pasid] = d;
    return 0;
}

static void drv_detach(struct iommu *x, uint32_t sid, uint32_t pasid)
{
    (void)x;
    drv.detached++;
    drv.at[sid][pasid] = NULL;
}

/* A domain's own invalidations: they are let through while somebody uses it. */
static unsigned forgotten;

static void dom_issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    forgotten += g->all;
}

static void dom_wait(struct invalidator *inv)
{
    (void)inv;
}

static struct iommu_domain a_domain(owner_t owner)
{
    return (struct iommu_domain){ .im = &im,
                                  .owner = owner,
                                  .driver = { .issue = dom_issue, .wait = dom_wait } };
}

static void users(const struct iommu_domain *d, uint32_t n)
{
    tp_assert(d->devices == n, "invalidations-held-back: %u users, not %u\n", d->devices, n);
}

static const struct pasid_ops pops = { .attach = drv_attach, .detach = drv_detach };

static void open_set(void)
{
    memset(&drv, 0, sizeof(drv));
    memset(slots, 0, sizeof(slots));
    im = im2 = (struct iommu){ .caps = { .ssid_bits = 4 } };
    d1 = d2 = a_domain(TS_VM);
    d3 = a_domain(OTHER);
    forgotten = 0;
    assert_int_equal(pasid_set_init(&set, &pops, slots, 0), -EINVAL);
    assert_int_equal(pasid_set_init(&set, &pops, slots, 1u << 20), -EINVAL);
    assert_int_equal(pasid_set_init(&set, &pops, slots, N), 0);
}

/* Three kinds of consumers. None knows where its PASID comes from. */
struct consumer {
    const char *kind;
    uint32_t sid;
};
static const struct consumer consumers[] = { { "passed through", 0 },
                                             { "vDPA", 1 },
                                             { "mediated", 2 } };

static void two_ways(void **state)
{
    struct pasid p[6];
    struct pasid_control c;
    int proc_a, proc_b;
    uint32_t a, again, b;

    (void)state;
    open_set();
    assert_int_equal(pasid_of_mirror(&set, NULL, &d1, &p[0], &a), -EINVAL);
    assert_int_equal(pasid_of_mirror(&set, &proc_a, NULL, &p[0], &a), -EINVAL);
    assert_int_equal(pasid_of_mirror(&set, &proc_a, &d1, &p[0], &a), 0);
    assert_int_equal(pasid_of_mirror(&set, &proc_a, &d1, &p[1], &again), 0);
    assert_true(a == again && a >= PASID_FIRST);
    assert_int_equal(pasid_of_mirror(&set, &proc_a, &d3, &p[1], &again), -EPERM);
    assert_int_equal(pasid_of_mirror(&set, &proc_b, &d1, &p[1], &b), 0);
    assert_int_not_equal(a, b);

    assert_int_equal(pasid_control_open(&c, &set, OWNER_NONE, 2), -EINVAL);
    assert_int_equal(pasid_control_open(&c, &set, TS_VM, 0), -EINVAL);
    assert_int_equal(pasid_control_open(&c, &set, TS_VM, 2), 0);
    assert_int_equal(pasid_control_alloc(&c, &p[2]), 0);
    assert_int_equal(pasid_control_alloc(&c, &p[3]), 0);
    assert_int_equal(pasid_control_alloc(&c, &p[4]), -ENOSPC); /* quota */
    assert_int_equal(set.taken, 4);
    /* Not shaped yet; and a mirror's is nobody's to shape. */
    assert_int_equal(pasid_attach(&set, &im, 0, TS_VM, p[2].id), -EAGAIN);
    assert_int_equal(pasid_control_shape(&c, a, &d2), -ENOENT);
    assert_int_equal(pasid_control_free(&c, a), -ENOENT);
    assert_int_equal(pasid_control_shape(&c, p[2].id, &d3), -EPERM);
    assert_int_equal(pasid_control_shape(&c, p[2].id, &d1), 0);

    for (unsigned i = 0; i < 3; i++) {
        const struct consumer *who = &consumers[i];
        const uint32_t ids[] = { a, p[2].id };

        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(pasid_attach(&set, &im, who->sid, OTHER, ids[k]), -EPERM);
            assert_int_equal(pasid_attach(&set, &im2, who->sid, TS_VM, ids[k]), -EINVAL);
            assert_int_equal(pasid_attach(&set, &im, who->sid, TS_VM, ids[k]), 0);
            assert_int_equal(pasid_attach(&set, &im, who->sid, TS_VM, ids[k]), -EBUSY);
            assert_ptr_equal(drv.at[who->sid][ids[k]], &d1);
            assert_ptr_equal(pasid_domain(&set, &im, who->sid, ids[k]), &d1);
        }
    }
    users(&d1, 6);
    tp_assert(forgotten == 1, "invalidations-held-back: the tag was not cleared first\n");
    assert_null(pasid_domain(&set, &im, 3, a));
    assert_null(pasid_domain(&set, &im, 0, 0));
    assert_int_equal(pasid_attach(&set, &im, 0, TS_VM, 0), -ENOENT);
    assert_int_equal(pasid_attach(&set, &im, 0, TS_VM, N + 1), -ENOENT);
    im.caps.ssid_bits = 0;
    assert_int_equal(pasid_attach(&set, &im, 3, TS_VM, a), -ERANGE);
    im.caps.ssid_bits = 4;

    /* Reshaped live: everybody moves, or nobody. */
    drv.fail_at = 3;
    assert_int_equal(pasid_control_shape(&c, p[2].id, &d2), -ENOMEM);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(drv.at[i][p[2].id], &d1);
    }
    users(&d1, 6);
    users(&d2, 0);
    unsigned detached = drv.detached;

    assert_int_equal(pasid_control_shape(&c, p[2].id, &d2), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(drv.at[i][p[2].id], &d2);
    }
    assert_int_equal(drv.detached, detached);
    users(&d1, 3);
    users(&d2, 3);

    assert_int_equal(pasid_control_free(&c, p[2].id), -EBUSY);
    assert_int_equal(pasid_detach(&set, &im, 1, OTHER, a), -EPERM);
    assert_int_equal(pasid_detach(&set, &im, 1, TS_VM, a), 0);
    assert_int_equal(pasid_detach(&set, &im, 1, TS_VM, a), -ENOENT);
    assert_null(drv.at[1][a]);
    users(&d1, 2);

    /* The last holder takes it off every device; a freed number is not the next one given. */
    assert_int_equal(pasid_put_mirror(&set, &proc_a), 0);
    assert_ptr_equal(drv.at[0][a], &d1);
    assert_int_equal(pasid_put_mirror(&set, &proc_a), 0);
    tp_assert(drv.at[0][a] == NULL && drv.at[2][a] == NULL, "freed-while-attached\n");
    assert_int_equal(pasid_put_mirror(&set, &proc_a), -ENOENT);
    assert_int_equal(pasid_of_mirror(&set, &proc_a, &d1, &p[0], &again), 0);
    tp_assert(again != a, "number-reused-at-once\n");

    uint32_t shaped = p[2].id;

    pasid_control_close(&c);
    assert_null(drv.at[0][shaped]);
    assert_null(drv.at[2][shaped]);
    assert_int_equal(pasid_control_alloc(&c, &p[4]), -ENOENT);
    assert_int_equal(pasid_control_shape(&c, shaped, &d1), -ENOENT);
    assert_int_equal(pasid_control_free(&c, shaped), -ENOENT);
    pasid_control_close(&c);
    assert_int_equal(set.taken, 2);
    assert_int_equal(pasid_put_mirror(&set, &proc_a), 0);
    assert_int_equal(pasid_put_mirror(&set, &proc_b), 0);
    assert_int_equal(set.taken, 0);
    users(&d1, 0);
    users(&d2, 0);
    for (unsigned i = 0; i < N; i++) {
        assert_null(slots[i]);
    }
}

static void bounds(void **state)
{
    struct pasid p[N + 1];
    struct pasid_control c;
    int proc;
    uint32_t id;

    (void)state;
    open_set();
    assert_int_equal(pasid_control_open(&c, &set, TS_VM, 100), 0);
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(pasid_control_alloc(&c, &p[i]), 0);
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(p[k].id, p[i].id);
        }
    }
    assert_int_equal(pasid_control_alloc(&c, &p[N]), -ENOSPC);
    assert_int_equal(pasid_of_mirror(&set, &proc, &d1, &p[N], &id), -ENOSPC);
    assert_int_equal(pasid_put_mirror(&set, &proc), -ENOENT);
    assert_int_equal(pasid_control_shape(&c, p[3].id, &d1), 0);
    for (uint32_t i = 0; i < PASID_USES; i++) {
        assert_int_equal(pasid_attach(&set, &im, i % 4, TS_VM, p[3].id), i < 4 ? 0 : -EBUSY);
    }
    /* No tree: off every device. */
    assert_int_equal(pasid_control_shape(&c, p[3].id, NULL), 0);
    assert_null(drv.at[0][p[3].id]);
    assert_int_equal(pasid_control_free(&c, p[3].id), 0);
    pasid_control_close(&c);
}

/* Numbers that somebody else chooses, beside those that are given. */
static void claimed(void **state)
{
    struct pasid p[3];
    struct pasid_control c;

    (void)state;
    open_set();
    assert_int_equal(pasid_control_open(&c, &set, TS_VM, 2), 0);
    assert_int_equal(pasid_control_claim(&c, &p[0], 0), -ERANGE);
    assert_int_equal(pasid_control_claim(&c, &p[0], N + 1), -ERANGE);
    assert_int_equal(pasid_control_claim(&c, &p[0], N), 0);
    assert_int_equal(p[0].id, N);
    tp_assert(pasid_control_claim(&c, &p[1], N) == -EBUSY, "claimed-twice\n");
    assert_int_equal(pasid_control_alloc(&c, &p[1]), 0);
    assert_int_equal(pasid_control_claim(&c, &p[2], 7), -ENOSPC); /* quota */
    assert_int_equal(pasid_control_free(&c, N), 0);
    assert_int_equal(pasid_control_claim(&c, &p[0], N), 0); /* also one that was free just now */
    pasid_control_close(&c);
    assert_int_equal(set.taken, 0);
}

/* ---- nesting: guests' stage-1 trees behind one model TLB ---- */

static struct model_tlb *tlb;
static struct model_mem mem;
static struct nest_hw_inv last_inv;
static unsigned issued, waits, nattached, ndetached;
static int nest_err;

static int n_attach(struct iommu *x, uint32_t sid, uint32_t pasid, struct iommu_domain *second,
                    const struct nest_stage1 *first, uint16_t asid)
{
    (void)x;
    (void)sid;
    (void)pasid;
    (void)second;
    (void)first;
    (void)asid;
    nattached += nest_err == 0;
    return nest_err;
}

static void n_detach(struct iommu *x, uint32_t sid, uint32_t pasid)
{
    (void)x;
    (void)sid;
    (void)pasid;
    ndetached++;
}

static void n_issue(struct iommu *x, const struct nest_hw_inv *inv)
{
    struct model_inv m =
        inv->kind == NEST_INV_ADDR
            ? model_inv_s1(inv->vmid, inv->asid, inv->ia, inv->len, 0, inv->leaf)
            : (struct model_inv){ .kind = inv->kind == NEST_INV_PASID ? MODEL_INV_S1_ASID
                                                                      : MODEL_INV_S1_VMID,
                                  .vmid = inv->vmid,
                                  .asid = inv->asid };

    (void)x;
    last_inv = *inv;
    issued++;
    model_tlb_invalidate(tlb, &m);
}

static void n_wait(struct iommu *x)
{
    (void)x;
    waits++;
    model_tlb_sync(tlb);
}

static const struct nest_ops nops = {
    .attach = n_attach, .detach = n_detach, .issue = n_issue, .wait = n_wait
};

/* A guest's first stage: its own tables, with its own engine. */
struct first {
    struct space s;
    struct model_ctx ctx;
};

static void first_open(struct first *f, uint16_t vmid, uint16_t asid)
{
    struct pt_config cfg = ts_config(PT_ARM_S1_4K, 2, true);

    assert_int_equal(space_init(&f->s, SPACE_IO, &cfg), 0);
    assert_int_equal(space_map(&f->s, GIB, TS_HOST, 16 * 4096, RW | PT_USER), 0);
    f->ctx = (struct model_ctx){
        .walk = tp_walk_cfg(&f->s.pt), .mem = &mem, .vmid = vmid, .asid = asid
    };
}

/* Is the page cached? A TLB that never evicts serves what it has. */
static bool cached(struct first *f, unsigned page)
{
    struct model_xlat x;

    return model_tlb_translate(tlb, &f->ctx, GIB + page * 4096,
                               (struct model_access){ .what = MODEL_R, .user = true },
                               &x) == MODEL_OK &&
           x.source == MODEL_FROM_LEAF;
}

static void fill_cache(struct first *f)
{
    for (unsigned i = 0; i < 16; i++) {
        (void)cached(f, i);
        assert_true(cached(f, i));
    }
}

static void nesting(void **state)
{
    struct first f[3];
    struct iommu_domain second[2];
    struct space s2;
    struct nest n[2];
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, false);
    struct nest_stage1 s1 = { .root = TS_HOST, .ia_bits = 39 };
    struct nest_inv inv[4];
    uint32_t done;

    (void)state;
    ts_memory(0, false);
    model_phys_init(&ts_phys);
    assert_true(model_phys_attach(&ts_phys, HOSTED_BASE, hosted_arena(), HOSTED_SIZE));
    mem = model_phys_mem(&ts_phys, false);
    tlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = 5 });
    im = (struct iommu){ .caps = { .asid_bits = 8, .ssid_bits = 5, .nested = true } };
    assert_int_equal(space_init(&s2, SPACE_IO, &cfg), 0);
    for (unsigned i = 0; i < 2; i++) {
        second[i] = a_domain(TS_VM);
        second[i].space = &s2;
        second[i].tag = (uint16_t)(7 + i);
    }
    im.caps.nested = false;
    assert_int_equal(nest_init(&n[0], &nops, &second[0], 0), -EOPNOTSUPP);
    im.caps.nested = true;
    second[0].stage1 = true;
    assert_int_equal(nest_init(&n[0], &nops, &second[0], 0), -EOPNOTSUPP);
    second[0].stage1 = false;
    assert_int_equal(nest_init(&n[0], &nops, &second[0], 256 - NEST_PASIDS + 1), -EINVAL);
    assert_int_equal(nest_init(&n[0], &nops, &second[0], 64), 0);
    assert_int_equal(nest_init(&n[1], &nops, &second[1], 64), 0);

    /* Guest 0 has PASIDs 3 and 4, guest 1 has its own 3. */
    assert_int_equal(nest_attach(&n[0], 1, 3, &(struct nest_stage1){ TS_HOST + 8, 39 }), -EINVAL);
    assert_int_equal(nest_attach(&n[0], 1, 3, &(struct nest_stage1){ TS_HOST, 60 }), -EINVAL);
    assert_int_equal(nest_attach(&n[0], 1, 3, &(struct nest_stage1){ 1ull << 40, 39 }), -EFAULT);
    assert_int_equal(nest_attach(&n[0], 1, 32, &s1), -ERANGE);
    nest_err = -ENOMEM;
    assert_int_equal(nest_attach(&n[0], 1, 3, &s1), -ENOMEM);
    nest_err = 0;
    assert_int_equal(nest_detach(&n[0], 1, 3), -ENOENT);
    assert_int_equal(nest_attach(&n[0], 1, 3, &s1), 0);
    assert_int_equal(nest_attach(&n[0], 1, 4, &s1), 0);
    assert_int_equal(nest_attach(&n[1], 2, 3, &s1), 0);
    users(&second[0], 2);
    users(&second[1], 1);
    first_open(&f[0], 7, n[0].entry[0].asid);
    first_open(&f[1], 7, n[0].entry[1].asid);
    first_open(&f[2], 8, n[1].entry[0].asid);
    for (unsigned i = 0; i < 3; i++) {
        fill_cache(&f[i]);
    }
    assert_int_not_equal(f[0].ctx.asid, f[1].ctx.asid);

    /* Two pages of one PASID, and nothing else. */
    inv[0] = (struct nest_inv){
        .kind = NEST_INV_ADDR, .pasid = 3, .ia = GIB + 5 * 4096, .len = 8192, .leaf = true
    };
    assert_int_equal(nest_invalidate(&n[0], inv, 1, &done), 0);
    assert_int_equal(done, 1);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned p = 0; p < 16; p++) {
            bool gone = i == 0 && (p == 5 || p == 6);

            tp_assert(cached(&f[i], p) == !gone, "wrong-invalidation: tree %u page %u\n", i, p);
        }
        fill_cache(&f[i]);
    }
    /* One PASID whole; the neighbours and the other guest's keep theirs. */
    inv[0] = (struct nest_inv){ .kind = NEST_INV_PASID, .pasid = 4 };
    assert_int_equal(nest_invalidate(&n[0], inv, 1, &done), 0);
    for (unsigned i = 0; i < 3; i++) {
        tp_assert(cached(&f[i], 9) == (i != 1), "wrong-invalidation: tree %u after PASID\n", i);
        fill_cache(&f[i]);
    }
    inv[0] = (struct nest_inv){ .kind = NEST_INV_ALL };
    assert_int_equal(nest_invalidate(&n[0], inv, 1, &done), 0);
    for (unsigned i = 0; i < 3; i++) {
        tp_assert(cached(&f[i], 9) == (i == 2), "wrong-invalidation: tree %u after all\n", i);
        fill_cache(&f[i]);
    }
    /* In order, up to the first wrong one. */
    inv[0] = (struct nest_inv){ .kind = NEST_INV_ADDR, .pasid = 3, .ia = GIB, .len = 4096 };
    inv[1] = (struct nest_inv){ .kind = NEST_INV_ADDR, .pasid = 9, .ia = GIB, .len = 4096 };
    inv[2] = inv[0];
    unsigned had = issued;

    assert_int_equal(nest_invalidate(&n[0], inv, 3, &done), -ENOENT);
    assert_true(done == 1 && issued == had + 1);
    assert_int_equal(
        nest_invalidate(&n[1], &(struct nest_inv){ .kind = NEST_INV_PASID, .pasid = 4 }, 1, &done),
        -ENOENT); /* another guest's */
    const struct nest_inv bad[] = {
        { .kind = NEST_INV_ADDR, .pasid = 3, .ia = GIB + 1, .len = 4096 },
        { .kind = NEST_INV_ADDR, .pasid = 3, .ia = GIB, .len = 0 },
        { .kind = (enum nest_inv_kind)7, .pasid = 3, .ia = GIB, .len = 4096 },
    };
    const struct nest_inv far[] = {
        { .kind = NEST_INV_ADDR, .pasid = 3, .ia = ~0xfffull, .len = 8192 },
        { .kind = NEST_INV_ADDR, .pasid = 3, .ia = 1ull << 48, .len = 4096 },
    };
    had = issued;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(nest_invalidate(&n[0], &bad[i], 1, &done), -EINVAL);
        assert_int_equal(done, 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(nest_invalidate(&n[0], &far[i], 1, &done), -ERANGE);
    }
    assert_int_equal(issued, had);

    /* A new first stage under the same PASID, and one that goes: nothing of the old is cached. */
    assert_int_equal(nest_attach(&n[0], 1, 3, &s1), 0);
    tp_assert(!cached(&f[0], 1), "stale-first-stage: replaced\n");
    fill_cache(&f[0]);
    assert_int_equal(nest_detach(&n[0], 1, 3), 0);
    tp_assert(!cached(&f[0], 1), "stale-first-stage: detached\n");
    fill_cache(&f[1]);
    nest_fini(&n[0]);
    tp_assert(!cached(&f[1], 1), "stale-first-stage: ended\n");
    assert_true(cached(&f[2], 1));
    nest_fini(&n[1]);
    users(&second[0], 0);
    users(&second[1], 0);
    assert_int_equal(nattached, 4);
    assert_int_equal(ndetached, 3);
    for (uint32_t i = 0; i < NEST_PASIDS; i++) {
        assert_int_equal(nest_attach(&n[0], i / 16, i % 16, &s1), 0);
    }
    assert_int_equal(nest_attach(&n[0], 2, 31, &s1), -ENOSPC);
    nest_fini(&n[0]);
    for (unsigned i = 0; i < 3; i++) {
        space_destroy(&f[i].s);
    }
    space_destroy(&s2);
    model_tlb_free(tlb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ways),
        cmocka_unit_test(bounds),
        cmocka_unit_test(claimed),
        cmocka_unit_test(nesting),
    };

    return cmocka_run_group_tests_name("iommu_pasid", tests, NULL, NULL);
}
