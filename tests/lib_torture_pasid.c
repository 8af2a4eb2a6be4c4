/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The torture run: two process-like spaces that a device reaches by PASID. A process changes what its
 * addresses mean; its mirror drops the range before, and the device must never find the former page. PASIDs come
 * from a mirror and from a control object, go on and off, move from one space to the other, and are
 * given again.
 */
#include "lib_torture_int.h"

#include <sched.h>
#include <unistd.h>

#include "lib_pt_lab.h"

#include "tenon/iommu_hold.h"
#include "tenon/mirror.h"
#include "tenon/pasid.h"

enum { PROCS = 2, SPAGES = 1024, IDS = 8 };
#define VA  ((uint64_t)0x7f0000000000)
#define IA  ((uint64_t)2 << 30)
#define OUT ((uint64_t)1 << 38) /* frames of other processes: not in the table */
#define SID 9u

/* What the address means now: 0 nothing, else which of its versions. */
struct proc {
    struct space s;
    struct mirror m;
    struct iommu_domain d;
    atomic_uint version[SPAGES];
    unsigned index;
};
static struct proc proc[PROCS];

static struct iommu pim;
static struct pasid_set set;
static struct pasid *slots[IDS];
static struct model_tlb *ptlb;
/* What hardware would read: which tree each PASID reaches. */
static pthread_rwlock_t at_lock;
static struct proc *at[IDS + 1];

static uint64_t page_out(unsigned i, uint64_t p, unsigned version)
{
    return OUT + ((uint64_t)(i * 16 + version) << 24) + (p << PAGE_SHIFT);
}

static int find(struct mirror *m, uint64_t va, uint32_t access, struct mirror_run *run)
{
    struct proc *x = (struct proc *)((char *)m - offsetof(struct proc, m));
    uint64_t p = (va - VA) >> PAGE_SHIFT, first = p, last = p;
    unsigned version = atomic_load(&x->version[p]);

    (void)access;
    if (version == 0) {
        return -EFAULT;
    }
    delay(4);
    while (first > 0 && atomic_load(&x->version[first - 1]) == version) {
        first--;
    }
    while (last + 1 < SPAGES && atomic_load(&x->version[last + 1]) == version) {
        last++;
    }
    *run = (struct mirror_run){ .va = VA + (first << PAGE_SHIFT),
                                .last = VA + ((last + 1) << PAGE_SHIFT) - 1,
                                .oa = page_out(x->index, first, version),
                                .prot = RW };
    delay(4);
    return 0;
}

static const struct mirror_ops mops = { .find = find };

/* ---- the driver: PASID tables; a domain's tag is its ASID ---- */

static struct model_ctx ctx_of(const struct proc *x)
{
    struct model_ctx c = { .walk = tp_walk_cfg(&x->s.pt), .mem = &mem };

    c.asid = x->d.tag;
    return c;
}

static void drv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    const struct iommu_domain *d = (struct iommu_domain *)inv;
    struct model_ctx ctx = ctx_of(&proc[d->tag - 1]);

    delay(4);
    for (uint32_t i = 0; i < g->n; i++) {
        lab_issue(ptlb, &ctx, &g->inv[i]);
    }
    if (g->all) {
        model_tlb_invalidate(ptlb,
                             &(struct model_inv){ .kind = MODEL_INV_S1_ASID, .asid = ctx.asid });
    }
}

static void drv_wait(struct invalidator *inv)
{
    (void)inv;
    drain(FLIGHT_PASID, ptlb);
}

static void drv_point(uint32_t pasid, struct proc *x)
{
    pthread_rwlock_wrlock(&at_lock);
    at[pasid] = x;
    pthread_rwlock_unlock(&at_lock);
    drain(FLIGHT_PASID, NULL); /* the descriptor's invalidation: accesses by the old one are over */
}

static int drv_attach(struct iommu *x, uint32_t sid, uint32_t pasid, struct iommu_domain *d)
{
    (void)x;
    (void)sid;
    if (rnd(16) == 0) {
        return -ENOMEM; /* no table for it, this time */
    }
    drv_point(pasid, &proc[d->tag - 1]);
    return 0;
}

static void drv_detach(struct iommu *x, uint32_t sid, uint32_t pasid)
{
    (void)x;
    (void)sid;
    drv_point(pasid, NULL);
}

static const struct pasid_ops pops = { .attach = drv_attach, .detach = drv_detach };

static int drv_init(struct iommu *x, struct iommu_domain *d)
{
    (void)x;
    d->inv = (struct invalidator){ .issue = drv_issue, .wait = drv_wait };
    return 0;
}

static void drv_fini(struct iommu *x, struct iommu_domain *d)
{
    (void)x;
    (void)d;
}

static const struct iommu_ops iops = { .domain_init = drv_init, .domain_fini = drv_fini };

/* ---- threads ---- */

void *process(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        struct proc *x = &proc[rnd(PROCS)];
        uint64_t p = rnd(SPAGES), n = 1 + rnd(rnd(4) != 0 ? 4 : SPAGES);
        unsigned version = (unsigned)rnd(4);

        n = n > SPAGES - p ? SPAGES - p : n;
        uint32_t token = mirror_begin(&x->m, VA + (p << PAGE_SHIFT), n << PAGE_SHIFT);

        for (uint64_t q = p; q < p + n; q++) {
            atomic_store(&x->version[q], version);
        }
        mirror_end(&x->m, token);
        count(TORTURE_PROCESS);
        usleep((useconds_t)rnd(300));
    }
    return NULL;
}

void *pasid_device(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint32_t id = PASID_FIRST + (uint32_t)rnd(IDS);
        uint64_t p = rnd(SPAGES), ia = IA + (p << PAGE_SHIFT);
        struct model_xlat x;

        pthread_rwlock_rdlock(&flight[FLIGHT_PASID]);
        pthread_rwlock_rdlock(&at_lock);
        for (unsigned i = 0; i < IDS && at[id] == NULL; i++) {
            id = id == PASID_FIRST + IDS - 1 ? PASID_FIRST : id + 1;
        }
        struct proc *who = at[id];

        pthread_rwlock_unlock(&at_lock);
        enum model_fault fault = MODEL_FAULT_TRANSLATION;

        if (who != NULL) {
            struct model_ctx ctx = ctx_of(who);

            fault = model_tlb_translate(ptlb, &ctx, ia,
                                        (struct model_access){ .what = MODEL_R, .user = true }, &x);
        }
        if (fault == MODEL_OK) {
            delay(16);
            unsigned version = atomic_load(&who->version[p]);

            count(TORTURE_PASID_DMA);
            PROMISE(version != 0 && x.oa == page_out(who->index, p, version),
                    "process-page-kept: page %lu at %#lx, version %u", (unsigned long)p,
                    (unsigned long)x.oa, version);
        }
        pthread_rwlock_unlock(&flight[FLIGHT_PASID]);
        PROMISE(fault == MODEL_OK || fault == MODEL_FAULT_TRANSLATION, "PASID %u: %s", id,
                model_fault_name(fault));
        if (who == NULL) {
            sched_yield();
        } else if (fault != MODEL_OK) {
            int err = mirror_fault(&who->m, ia, PT_READ);

            PROMISE(err == 0 || err == -EAGAIN || err == -EFAULT, "page of a process: %d%s",
                    WHY(err));
        }
    }
    return NULL;
}

static void reaches(uint32_t id, const struct proc *want)
{
    pthread_rwlock_rdlock(&at_lock);
    PROMISE(at[id] == want, "pasid-wrong-tree: PASID %u", id);
    pthread_rwlock_unlock(&at_lock);
}

/* A number of the mirror's, for everybody who asks; held for a while. */
static void by_mirror(struct proc *x)
{
    static struct pasid p;
    uint32_t id, again;

    PROMISE(pasid_of_mirror(&set, &x->m, &x->d, &p, &id) == 0, "a PASID of a mirror");
    PROMISE(pasid_of_mirror(&set, &x->m, &x->d, &p, &again) == 0 && again == id, "two PASIDs");
    if (pasid_attach(&set, &pim, SID, TS_VM, id) == 0) {
        reaches(id, x);
        usleep((useconds_t)rnd(400));
        PROMISE(iommu_domain_fini(&x->d) == -EBUSY, "a domain in use goes");
    }
    PROMISE(pasid_put_mirror(&set, &x->m) == 0, "put");
    if (rnd(2)) {
        (void)pasid_detach(&set, &pim, SID, TS_VM, id);
        reaches(id, NULL);
    }
    PROMISE(pasid_put_mirror(&set, &x->m) == 0, "put");
    reaches(id, NULL);
}

/* A control object's: shaped, moved live from one tree to the other, and given back. */
static void by_control(void)
{
    struct pasid_control c;
    struct pasid p[2];
    struct proc *is = NULL;

    PROMISE(pasid_control_open(&c, &set, TS_VM, 2) == 0, "control");
    for (unsigned i = 0; i < 2; i++) {
        PROMISE(pasid_control_alloc(&c, &p[i]) == 0, "a PASID of a control object");
    }
    uint32_t id = p[0].id;

    for (unsigned i = 0; i < 6 && going(); i++) {
        struct proc *to = rnd(6) == 0 ? NULL : &proc[rnd(PROCS)];
        int err = pasid_control_shape(&c, id, to == NULL ? NULL : &to->d);

        is = err == 0 ? to : is;
        if (err == 0 && to != NULL && pasid_domain(&set, &pim, SID, id) == NULL) {
            (void)pasid_attach(&set, &pim, SID, TS_VM, id);
        }
        reaches(id, pasid_domain(&set, &pim, SID, id) == NULL ? NULL : is);
        usleep((useconds_t)rnd(200));
    }
    pasid_control_close(&c);
    reaches(id, NULL);
}

void *pasid_owner(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        if (rnd(2)) {
            by_mirror(&proc[rnd(PROCS)]);
        } else {
            by_control();
        }
        count(TORTURE_PASID);
    }
    return NULL;
}

/* ---- set-up ---- */

void pasid_open(void)
{
    struct pt_config cfg = world->proc;

    cfg.live.hw_af = cfg.live.hw_dirty = true;
    pthread_rwlock_init(&at_lock, NULL);
    ptlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = t.rng });
    pim = (struct iommu){ .ops = &iops,
                          .caps = { .stage1 = true,
                                    .live = cfg.live,
                                    .ia_bits = 48,
                                    .oa_bits = 48,
                                    .asid_bits = 16,
                                    .sid_bits = 8,
                                    .ssid_bits = 8,
                                    .coherent = true } };
    assert_int_equal(pasid_set_init(&set, &pops, slots, IDS), 0);
    for (unsigned i = 0; i < PROCS; i++) {
        struct proc *x = &proc[i];

        x->index = i;
        for (unsigned p = 0; p < SPAGES; p++) {
            atomic_store(&x->version[p], 1);
        }
        assert_int_equal(space_init(&x->s, SPACE_IO, &cfg), 0);
        assert_int_equal(
            mirror_init(&x->m, &x->s, IA, VA, (uint64_t)SPAGES << PAGE_SHIFT, PT_USER, &mops), 0);
        assert_int_equal(iommu_domain_init(&pim, &x->d, &x->s, TS_VM, (int)i + 1), 0);
        x->d.tag = (uint16_t)(i + 1);
    }
}

void pasid_close(void)
{
    PROMISE(set.taken == 0, "PASIDs are left");
    for (unsigned i = 0; i < PROCS; i++) {
        mirror_stop(&proc[i].m);
        PROMISE(iommu_domain_fini(&proc[i].d) == 0, "a domain is busy");
        space_destroy(&proc[i].s);
    }
    model_tlb_free(ptlb);
}
