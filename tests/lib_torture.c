/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How accesses are judged: one that is under way holds its TLB's `flight` lock for reading, from the
 * translation to the end of the look at the memory; the completion of an invalidation takes it for
 * writing, as a DSB or CMD_SYNC waits for accesses that use the old translation. So whoever holds it finds
 * that what the translation says is what the object says, at that very moment: an owner or a state that
 * changed too early, an invalidation that is missing or too narrow, or a new entry that came too soon
 * shows at once.
 */
#include "lib_torture_int.h"

#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct ts t;
struct torture_result *res;
_Thread_local uint64_t rng;
const struct torture_world *world;
uint32_t cpu_user;
static atomic_bool stop;
unsigned steps;

static struct iommu im;
struct iommu_view view;
struct model_mem mem;
static struct {
    struct model_tlb *tlb;
    pthread_rwlock_t at_lock; /* which tree the stream walks */
    struct model_ctx ctx;
} dev;
pthread_rwlock_t flight[FLIGHTS];
atomic_uint cpu_epoch, io_epoch;
atomic_uint pend[PAGES];

struct torture_hot hot[HALVES];

struct prq prq;
static struct iommu_domain lazy;
atomic_ullong owed, answered;

#define ARM(f)                                                                           \
    {                                                                                    \
        .format = f, .ia_bits = 40, .oa_bits = 44, .start_level = 1, .live = {.bbm = 2 } \
    }
#define FOUR(f)                                                     \
    {                                                               \
        .format = f, .ia_bits = 48, .oa_bits = 44, .start_level = 0 \
    }
#define THREE(f)                                                    \
    {                                                               \
        .format = f, .ia_bits = 39, .oa_bits = 44, .start_level = 1 \
    }
#define X4                                                                    \
    {                                                                         \
        .format = PT_RISCV_X4, .ia_bits = 41, .oa_bits = 44, .start_level = 1 \
    }
#define ARM_S1                                                                            \
    {                                                                                     \
        .format = PT_ARM_S1_4K, .ia_bits = 39, .oa_bits = 44, .start_level = 1, .live = { \
            .bbm = 2                                                                      \
        }                                                                                 \
    }
const struct torture_world torture_worlds[] = {
    { "arm-s2-4k", ARM(PT_ARM_S2_4K), ARM(PT_ARM_S2_4K), ARM_S1 },
    { "arm-s1-4k", ARM(PT_ARM_S2_4K), ARM_S1, ARM_S1 },
    { "x86-64", FOUR(PT_X86_64), FOUR(PT_X86_64), FOUR(PT_X86_64) },
    { "ept", FOUR(PT_EPT), FOUR(PT_X86_64), FOUR(PT_X86_64) },
    { "vtd-ss", FOUR(PT_EPT), THREE(PT_VTD_SS), FOUR(PT_X86_64) },
    { "amd-v1", FOUR(PT_X86_64), THREE(PT_AMD_V1), FOUR(PT_X86_64) },
    { "riscv-x4", X4, X4, THREE(PT_RISCV) },
    { "riscv", X4, THREE(PT_RISCV), THREE(PT_RISCV) },
    { 0 },
};

static const char *const names[TORTURE_OPS] = {
    "conversions",     "refused",      "CPU accesses", "faults", "DMA",    "logs",
    "log reads",       "cuts",         "merges",       "zaps",   "ages",   "mode switches",
    "page requests",   "pins",         "spaces made",  "audits", "delays", "PASIDs",
    "process changes", "DMA by PASID",
};

const char *torture_op_name(enum torture_op op)
{
    return op < TORTURE_OPS ? names[op] : "?";
}

const char *torture_world(unsigned i)
{
    enum { N = sizeof(torture_worlds) / sizeof(*torture_worlds) };

    return i + 1 < N ? torture_worlds[i].name : NULL;
}

void count(enum torture_op op)
{
    __atomic_add_fetch(&res->ops[op], 1, __ATOMIC_RELAXED);
}

void wrong(const char *fmt, ...)
{
    va_list ap;

    if (__atomic_fetch_add(&res->wrong, 1, __ATOMIC_SEQ_CST) == 0) {
        va_start(ap, fmt);
        vsnprintf(res->first, sizeof(res->first), fmt, ap);
        va_end(ap);
    }
}

uint64_t rnd(uint64_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 33) % below;
}

bool going(void)
{
    return !atomic_load_explicit(&stop, memory_order_acquire);
}

/* ---- delays, at every store and every wait ---- */

void delay(unsigned one_in)
{
    if (rng == 0 || rnd(one_in) != 0) {
        return;
    }
    count(TORTURE_DELAY);
    switch (rnd(8)) {
    case 0:
        usleep((useconds_t)rnd(60));
        break;
    case 1:
    case 2:
        for (volatile unsigned i = 0; i < 300; i++) {
        }
        break;
    default:
        sched_yield();
        break;
    }
}

static void after_store(struct ts *ts)
{
    (void)ts;
    delay(96);
}

/* With nobody in flight: an access between the two would use what is gone by the return. */
void drain(unsigned which, struct model_tlb *tlb)
{
    delay(3);
    pthread_rwlock_wrlock(&flight[which]);
    if (tlb != NULL) {
        model_tlb_sync(tlb);
    }
    pthread_rwlock_unlock(&flight[which]);
}

static void in_wait(struct ts *ts, struct ts_walker *w)
{
    look_in_wait((unsigned)(w->tree - ts->tree));
    drain((unsigned)(w->tree - ts->tree), w->tlb);
}

/* ---- the IOMMU's driver ---- */

static void drv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    const struct iommu_domain *d = (struct iommu_domain *)inv;

    delay(4);
    for (uint32_t i = 0; i < g->n; i++) {
        const struct pt_inv *r = &g->inv[i];
        struct model_inv m =
            model_inv_s2(d->tag, r->ia, r->last - r->ia + 1,
                         r->level == PT_LEVEL_ANY ? 0 : (uint8_t)r->level, !r->tables);

        model_tlb_invalidate(dev.tlb, &m);
    }
    if (g->all) {
        model_tlb_invalidate(dev.tlb,
                             &(struct model_inv){ .kind = MODEL_INV_VMID, .vmid = d->tag });
    }
}

static void drv_wait(struct invalidator *inv)
{
    (void)inv;
    drain(FLIGHT_DEV, dev.tlb);
}

static int drv_attach(struct iommu *x, uint32_t sid, struct iommu_domain *d)
{
    (void)x;
    (void)sid;
    pthread_rwlock_wrlock(&dev.at_lock);
    dev.ctx = (struct model_ctx){ .walk = tp_walk_cfg(&d->space->pt), .mem = &mem, .vmid = d->tag };
    pthread_rwlock_unlock(&dev.at_lock);
    delay(1);
    /* First the entry (CFGI_STE, CMD_SYNC), so that nothing is cached through the old one any more. */
    drain(FLIGHT_DEV, NULL);
    model_tlb_invalidate(dev.tlb, &(struct model_inv){ .kind = MODEL_INV_VMID, .vmid = d->tag });
    drain(FLIGHT_DEV, dev.tlb);
    return 0;
}

static void drv_detach(struct iommu *x, uint32_t sid)
{
    (void)x;
    (void)sid;
}

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

static const struct iommu_ops ops = {
    .attach = drv_attach, .detach = drv_detach, .domain_init = drv_init, .domain_fini = drv_fini
};

/* ---- accesses ---- */

static bool changing(uint64_t p)
{
    for (unsigned i = 0; i < HALVES; i++) {
        uint64_t first = atomic_load(&hot[i].first);

        if (p >= first && p - first < atomic_load(&hot[i].n)) {
            return true;
        }
    }
    return false;
}

static unsigned changes(void)
{
    return atomic_load(&hot[0].times) + atomic_load(&hot[1].times);
}

/* Near a change, half of the time. */
static uint64_t some_page(void)
{
    unsigned half = (unsigned)rnd(HALVES);
    uint64_t n = atomic_load(&hot[half].n);

    return rnd(2) ? rnd(PAGES) : (atomic_load(&hot[half].first) + rnd(n + 3)) % PAGES;
}

/* The right frame, now; and one that the VM may use. */
static void judge(const char *who, uint64_t p, uint64_t oa)
{
    uint64_t want = gmem_frame(&t.gm, p);

    PROMISE(oa == want, "%s: stale-or-early: page %lu at %#lx, not %#lx", who, (unsigned long)p,
            (unsigned long)oa, (unsigned long)want);
    PROMISE(frame_may_use(oa, TS_VM), "%s: page %lu: frame %#lx is another's", who,
            (unsigned long)p, (unsigned long)oa);
}

enum model_fault cpu_access(struct ts_walker *w, unsigned which, const char *who, uint64_t p,
                            uint8_t what)
{
    unsigned epoch = atomic_load(&cpu_epoch);
    struct model_xlat x;

    pthread_rwlock_rdlock(&flight[which]);
    enum model_fault fault =
        model_tlb_translate(w->tlb, &w->ctx, TS_GUEST + (p << PAGE_SHIFT),
                            (struct model_access){ .what = what, .user = true }, &x);

    if (fault == MODEL_OK) {
        delay(16);
        judge(who, p, x.oa);
    }
    pthread_rwlock_unlock(&flight[which]);
    PROMISE(fault == MODEL_OK || fault == MODEL_FAULT_TRANSLATION ||
                fault == MODEL_FAULT_PERMISSION,
            "%s: page %lu: %s", who, (unsigned long)p, model_fault_name(fault));
    if (fault == MODEL_OK && what == MODEL_W && which == FLIGHT_CPU && epoch != 0) {
        atomic_store(&pend[p], epoch);
    }
    return fault;
}

static void *cpu(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t p = some_page();
        uint8_t what = rnd(3) == 0 ? MODEL_W : MODEL_R;

        count(TORTURE_CPU_ACCESS);
        for (unsigned tries = 0;
             cpu_access(&t.tree[0].w[0], FLIGHT_CPU, "cpu", p, what) != MODEL_OK && going();
             tries++) {
            int err = space_fault(&t.tree[0].s, TS_GUEST + (p << PAGE_SHIFT),
                                  what == MODEL_W ? PT_WRITE : PT_READ);

            count(TORTURE_FAULT);
            PROMISE(err == 0 || err == -EAGAIN, "fault on page %lu: %d%s", (unsigned long)p,
                    WHY(err));
            PROMISE(tries < 1000000, "page %lu faults for ever", (unsigned long)p);
            if (err == -EAGAIN) {
                sched_yield();
            }
        }
    }
    return NULL;
}

/* A device that cannot wait: it misses nothing but what is being changed at this moment. */
static void dma(struct model_tlb *tlb, const struct model_ctx *at, unsigned which, bool logged)
{
    const char *who = which == FLIGHT_DEV ? "device" : "second device";
    uint64_t p = some_page();
    uint8_t what = rnd(3) == 0 ? MODEL_W : MODEL_R;
    unsigned epoch = logged ? atomic_load(&io_epoch) : 0;
    unsigned before = changes();
    bool may_miss = changing(p);
    struct model_xlat x;

    count(TORTURE_DMA);
    pthread_rwlock_rdlock(&flight[which]);
    pthread_rwlock_rdlock(&dev.at_lock);
    struct model_ctx ctx = *at;

    pthread_rwlock_unlock(&dev.at_lock);
    enum model_fault fault =
        model_tlb_translate(tlb, &ctx, TS_GUEST + (p << PAGE_SHIFT),
                            (struct model_access){ .what = what, .user = true }, &x);

    if (fault == MODEL_OK) {
        delay(16);
        judge(who, p, x.oa);
    }
    pthread_rwlock_unlock(&flight[which]);
    may_miss = may_miss || changing(p) || changes() != before;
    PROMISE(fault == MODEL_OK || (fault == MODEL_FAULT_TRANSLATION && may_miss),
            "%s: transient-fault: page %lu: %s", who, (unsigned long)p, model_fault_name(fault));
    if (fault == MODEL_OK && what == MODEL_W && epoch != 0) {
        atomic_store(&pend[p], epoch);
    }
    if (rnd(64) == 0) {
        sched_yield();
    }
}

/* Through the stream, whatever tree it walks. */
static void *device(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        dma(dev.tlb, &dev.ctx, FLIGHT_DEV, true);
    }
    return NULL;
}

/* Through a tree of the devices' own format. */
static void *device2(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        dma(t.tree[3].w[0].tlb, &t.tree[3].w[0].ctx, FLIGHT_DEV2, false);
    }
    return NULL;
}

/* ---- set-up ---- */

static struct pt_config walked_by(struct pt_config cfg, uint64_t seed, bool waits, bool dirty)
{
    /* Leaves of several entries, where the format has them. */
    cfg.live.contig = seed % 4 == 1 || seed % 4 == 2;
    cfg.live.stalls = waits;
    cfg.live.hw_af = true;
    cfg.live.hw_dirty = dirty || cfg.format > PT_ARM_S2_64K; /* others have both or none */
    return cfg;
}

static void open_world(const struct torture_opts *o)
{
    world = &torture_worlds[o->world];
    struct pt_config cfg = walked_by(world->cpu, o->seed, true, true);
    struct pt_config io = walked_by(world->dev, o->seed, false, false);

    ts_open(&t, PAGES, true, o->seed);
    mem = model_phys_mem(&ts_phys, true);
    pthread_rwlockattr_t attr;

    /* Who waits for accesses in flight goes before new ones, or it would wait for ever. */
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (unsigned i = 0; i < FLIGHTS; i++) {
        pthread_rwlock_init(&flight[i], &attr);
    }
    pthread_rwlock_init(&dev.at_lock, NULL);
    dev.tlb = model_tlb_new(&(struct model_tlb_cfg){
        .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = o->seed });
    im = (struct iommu){ .ops = &ops,
                         .caps = { .stage2 = true,
                                   .live = { .bbm = 2, .hw_af = true, .hw_dirty = o->seed % 2 },
                                   .ia_bits = 44,
                                   .oa_bits = 44,
                                   .vmid_bits = 16,
                                   .sid_bits = 8,
                                   .coherent = true } };
    struct ts_tree *a = ts_tree(&t, 0, "cpu", TS_CPU, &cfg);
    struct ts_tree *l = ts_tree(&t, 1, "lazy I/O", TS_SMMU, &io);
    struct ts_tree *h = ts_tree(&t, 2, "host", TS_CPU, &cfg);

    struct ts_tree *d = ts_tree(&t, 3, "I/O", TS_SMMU, &io);

    for (unsigned i = 0; i < 4; i++) {
        model_live_harvest(t.tree[i].live, true);
    }
    cpu_user = a->w[0].ctx.walk.stage == 1 ? PT_USER : 0;
    /* Rights of a leaf that a log protects come and go: what a TLB holds is judged by its use. */
    l->s.page_requests = true;
    assert_int_equal(
        space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW | cpu_user, o->seed % 3 != 0),
        0);
    assert_int_equal(space_bind(&l->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), 0);
    assert_int_equal(space_bind(&h->s, &t.gm, VIEW_HOST, 0, 0, PAGES, RW | cpu_user, false), 0);
    assert_int_equal(space_bind(&d->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, true), 0);
    assert_int_equal(
        iommu_view_init(&view, &im, &a->s, TS_VM, 1, o->seed % 4 < 2 ? IOMMU_SHARE : IOMMU_MIRROR),
        0);
    assert_int_equal(iommu_view_attach(&view, 0), 0);
    lazy = (struct iommu_domain){ .im = &im, .space = &l->s, .owner = TS_VM };
    assert_int_equal(prq_init(&prq, respond, 16, 40), 0);
    assert_int_equal(prq_route(&prq, 1, false, 0, &lazy, NULL, NULL), 0);
    assert_int_equal(prq_route(&prq, 2, false, 0, NULL, forward, NULL), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(model_tlb_speculate_in(t.tree[i].w[0].tlb, &t.tree[i].w[0].ctx, TS_GUEST, LEN));
    }
    pasid_open();
    t.in_wait = in_wait;
    t.after_store = after_store;
}

/* Quiet again: everything is as it would have been without the noise. */
static void close_world(void)
{
    rng = 0; /* no delays */
    t.in_wait = NULL;
    t.after_store = NULL;
    for (uint64_t p = 0, n; p < PAGES; p += n) {
        for (n = 1; p + n < PAGES && t.want[p + n] == t.want[p]; n++) {
        }
        if (t.want[p] != GMEM_PRIVATE) {
            PROMISE(gmem_convert(&t.gm, p, n, false, GMEM_KEEP) == 0, "back to private");
        }
    }
    pasid_close();
    PROMISE(iommu_view_set(&view, IOMMU_MIRROR) == 0, "to mirror mode");
    PROMISE(model_tlb_check(dev.tlb, &dev.ctx) == MODEL_V_OK, "device TLB: stale entry");
    PROMISE(tp_count(&view.own.pt).leaves[3] == 0 && tp_count(&t.tree[3].s.pt).leaves[3] == 0,
            "leaf-size: not merged back");
    PROMISE(iommu_view_detach(&view, 0) == 0 && iommu_view_fini(&view) == 0, "view");
    for (unsigned i = 0; i < 4; i++) {
        enum model_verdict v = model_live_first(t.tree[i].live);

        PROMISE(v == MODEL_V_OK, "%s: %s", t.tree[i].name, model_verdict_name(v));
        v = model_tlb_check(t.tree[i].w[0].tlb, &t.tree[i].w[0].ctx);
        PROMISE(v == MODEL_V_OK, "%s: TLB: %s", t.tree[i].name, model_verdict_name(v));
    }
    (void)prq_tick(&prq, ~0ull);
    PROMISE(atomic_load(&owed) == atomic_load(&answered), "page requests: %llu owed, %llu answered",
            atomic_load(&owed), atomic_load(&answered));
    for (unsigned i = 0; res->wrong != 0 && i < 4; i++) {
        model_live_forget(t.tree[i].live); /* it has been said */
    }
    if (res->wrong == 0) {
        ts_close(&t); /* every frame and table comes back */
    }
    model_tlb_free(dev.tlb);
}

/* For whoever watches (tenon-top), beside everything else. */
static void picture(struct snapshot_file *f)
{
    struct snapshot_view_name v[4];

    if (f == NULL) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        v[i] = (struct snapshot_view_name){
            .name = t.tree[i].name,
            .view = { .space = &t.tree[i].s, .by_frame = i == 2, .ia = TS_GUEST }
        };
    }
    snapshot_file_write(f, &t.gm, v, 4);
}

void torture_run(const struct torture_opts *o, struct torture_result *r)
{
    static void *(*const more[])(void *) = { cpu,     cpu,      device,       device,     host,
                                             logger,  switcher, zapper,       maker,      requester,
                                             device2, process,  pasid_device, pasid_owner };
    enum { MORE = sizeof(more) / sizeof(*more) };
    pthread_t th[MORE], conv[HALVES];

    *r = (struct torture_result){ 0 };
    res = r;
    steps = o->seconds > 0 ? 0 : o->steps;
    atomic_store(&stop, false);
    atomic_store(&owed, 0);
    atomic_store(&answered, 0);
    open_world(o);
    for (uintptr_t i = 0; i < MORE; i++) {
        assert_int_equal(pthread_create(&th[i], NULL, more[i], (void *)(i + 1 + o->seed * 64)), 0);
    }
    for (uintptr_t i = 0; i < HALVES; i++) {
        assert_int_equal(pthread_create(&conv[i], NULL, converter, (void *)i), 0);
    }
    if (o->seconds > 0) {
        uint64_t end = port_now() + (uint64_t)(o->seconds * 1e9);

        while (port_now() < end && __atomic_load_n(&r->wrong, __ATOMIC_RELAXED) == 0) {
            usleep(20000);
            picture(o->picture);
        }
        atomic_store(&stop, true);
    }
    for (unsigned i = 0; i < HALVES; i++) {
        pthread_join(conv[i], NULL);
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < MORE; i++) {
        pthread_join(th[i], NULL);
    }
    picture(o->picture);
    close_world();
}
