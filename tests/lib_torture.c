/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How accesses are judged: one that is under way holds its TLB's `flight` lock for reading, from the
 * translation to the end of the look at the memory; the completion of an invalidation takes it for
 * writing, as a DSB or CMD_SYNC waits for accesses that use the old translation. So whoever holds it finds
 * that what the translation says is what the object says, at that very moment: an owner or a state that
 * changed too early, an invalidation that is missing or too narrow, or a new entry that came too soon
 * shows at once.
 */
#include "lib_torture.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib_space.h"

#include "tenon/iommu_mode.h"
#include "tenon/prq.h"

enum { PAGES = 4 * 512, HALVES = 2 };
#define LEN ((uint64_t)PAGES << PAGE_SHIFT)

static struct ts t;
static struct torture_result *res;
static atomic_bool stop;
static _Thread_local uint64_t rng;
static unsigned steps;

/* The device's side: one TLB, one stream, whose tree changes with the mode. */
static struct iommu im;
static struct iommu_view view;
static struct model_mem mem;
static struct {
    struct model_tlb *tlb;
    pthread_rwlock_t at_lock; /* which tree the stream walks */
    struct model_ctx ctx;
} dev;
/* One for each tree's CPU, the lazy I/O tree, and the device. */
enum { FLIGHT_CPU, FLIGHT_LAZY, FLIGHT_HOST, FLIGHT_SPARE, FLIGHT_DEV, FLIGHTS };
static pthread_rwlock_t flight[FLIGHTS];

/* Logs: who wrote what in which epoch. */
static atomic_uint cpu_epoch, io_epoch;
static atomic_uint pend[PAGES];
static uint64_t bits[PAGES / 64], io_bits[PAGES / 64], answer[2][PAGES / 64];

/* What each converter works on: where others should look. */
static atomic_ullong hot[HALVES];

static struct prq prq;
static struct iommu_domain lazy;
static atomic_ullong owed, answered;
static atomic_ullong cookie;

static const char *const names[TORTURE_OPS] = {
    "conversions",   "refused", "CPU accesses", "faults", "DMA",    "logs",
    "log reads",     "cuts",    "merges",       "zaps",   "ages",   "mode switches",
    "page requests", "pins",    "spaces made",  "audits", "delays",
};

const char *torture_op_name(enum torture_op op)
{
    return op < TORTURE_OPS ? names[op] : "?";
}

static void count(enum torture_op op)
{
    __atomic_add_fetch(&res->ops[op], 1, __ATOMIC_RELAXED);
}

static __attribute__((format(printf, 1, 2))) void wrong(const char *fmt, ...)
{
    va_list ap;

    if (__atomic_fetch_add(&res->wrong, 1, __ATOMIC_SEQ_CST) == 0) {
        va_start(ap, fmt);
        vsnprintf(res->first, sizeof(res->first), fmt, ap);
        va_end(ap);
    }
}

#define PROMISE(cond, ...)      \
    do {                        \
        if (!(cond)) {          \
            wrong(__VA_ARGS__); \
        }                       \
    } while (0)

/* There are tables for all that is here, many times: who finds none says where they went. */
#define WHY(err) (err), (err) == -ENOMEM ? ", table-lost" : ""

static uint64_t rnd(uint64_t below)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (rng >> 33) % below;
}

static bool going(void)
{
    return !atomic_load_explicit(&stop, memory_order_acquire);
}

/* ---- delays, at every store and every wait ---- */

static void delay(unsigned one_in)
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

static void after_store(struct ts *world)
{
    (void)world;
    delay(96);
}

static void drain(unsigned which)
{
    delay(3);
    pthread_rwlock_wrlock(&flight[which]);
    pthread_rwlock_unlock(&flight[which]);
}

/* The page that this thread converts, or none. */
static _Thread_local uint64_t converting = PAGES;
static void look_in_wait(unsigned which);

static void in_wait(struct ts *world, struct ts_walker *w)
{
    look_in_wait((unsigned)(w->tree - world->tree));
    drain((unsigned)(w->tree - world->tree));
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
    drain(FLIGHT_DEV);
    model_tlb_sync(dev.tlb);
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
    drain(FLIGHT_DEV);
    model_tlb_invalidate(dev.tlb, &(struct model_inv){ .kind = MODEL_INV_VMID, .vmid = d->tag });
    drain(FLIGHT_DEV);
    model_tlb_sync(dev.tlb);
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

/* Pages that no converter touches stand among those that are converted. */
static bool steady(uint64_t p)
{
    return p % 2 == 1;
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

static enum model_fault cpu_access(struct ts_walker *w, unsigned which, const char *who, uint64_t p,
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
        uint64_t p = rnd(PAGES);
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

/* Reads and writes through the stream, whatever tree it walks: its neighbours of a change never fault. */
static void *device(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t p = rnd(PAGES);
        uint8_t what = rnd(3) == 0 ? MODEL_W : MODEL_R;
        unsigned epoch = atomic_load(&io_epoch);
        struct model_xlat x;

        count(TORTURE_DMA);
        pthread_rwlock_rdlock(&flight[FLIGHT_DEV]);
        pthread_rwlock_rdlock(&dev.at_lock);
        struct model_ctx ctx = dev.ctx;

        pthread_rwlock_unlock(&dev.at_lock);
        enum model_fault fault =
            model_tlb_translate(dev.tlb, &ctx, TS_GUEST + (p << PAGE_SHIFT),
                                (struct model_access){ .what = what, .user = true }, &x);

        if (fault == MODEL_OK) {
            delay(16);
            judge("device", p, x.oa);
        }
        pthread_rwlock_unlock(&flight[FLIGHT_DEV]);
        PROMISE(fault == MODEL_OK || (fault == MODEL_FAULT_TRANSLATION && !steady(p)),
                "device: transient-fault: page %lu: %s", (unsigned long)p, model_fault_name(fault));
        if (fault == MODEL_OK && what == MODEL_W && epoch != 0) {
            atomic_store(&pend[p], epoch);
        }
        if (rnd(64) == 0) {
            sched_yield();
        }
    }
    return NULL;
}

/* Through the window at a frame: what the host's TLB still has must be the host's still. */
static void host_look(uint64_t pa)
{
    struct ts_walker *w = &t.tree[2].w[0];
    struct model_xlat x;

    pthread_rwlock_rdlock(&flight[FLIGHT_HOST]);
    if (model_tlb_translate(w->tlb, &w->ctx, pa,
                            (struct model_access){ .what = MODEL_R, .user = true },
                            &x) == MODEL_OK) {
        delay(8);
        PROMISE(x.oa == pa && frame_may_use(pa, OWNER_HOST), "host: window-not-closed: %#lx",
                (unsigned long)pa);
    }
    pthread_rwlock_unlock(&flight[FLIGHT_HOST]);
}

/* ---- converters ---- */

/* In every wait of a conversion, before it is over: the old can still be used, and is not yet another's. */
static void look_in_wait(unsigned which)
{
    uint64_t p = converting;

    if (p == PAGES) {
        return;
    }
    if (which == FLIGHT_HOST) {
        host_look(t.p0[p]);
        host_look(t.p1[p]);
    } else if (which <= FLIGHT_LAZY) {
        (void)cpu_access(&t.tree[which].w[0], which, "in a conversion", p, MODEL_R);
    }
}

static void converted(uint64_t p, bool to_shared, enum gmem_policy policy)
{
    owner_t lent0 = to_shared && policy == GMEM_INPLACE ? OWNER_HOST : OWNER_NONE;
    owner_t lent1 = to_shared && policy == GMEM_KEEP ? OWNER_HOST : OWNER_NONE;
    struct frame f0 = frame_get(t.p0[p]), f1 = frame_get(t.p1[p]);

    PROMISE(f0.owner == TS_VM && f1.owner == TS_VM && f0.borrower == lent0 && f1.borrower == lent1,
            "page %lu: owners %u %u, borrowers %u %u", (unsigned long)p, f0.owner, f1.owner,
            f0.borrower, f1.borrower);
    /* Nobody finds the old frame: also who looks only now. */
    (void)cpu_access(&t.tree[0].w[0], FLIGHT_CPU, "after a conversion", p, MODEL_R);
    (void)cpu_access(&t.tree[1].w[0], FLIGHT_LAZY, "lazy I/O after a conversion", p, MODEL_R);
}

static void *converter(void *arg)
{
    uint64_t half = (uint64_t)(uintptr_t)arg, base = half * PAGES / HALVES;

    rng = 1000 + half + t.rng;
    for (unsigned i = 0; going() && (steps == 0 || i < steps); i++) {
        uint64_t p = (base + rnd(PAGES / HALVES)) & ~1ull;
        bool to_shared = t.want[p] == GMEM_PRIVATE;
        enum gmem_policy policy = rnd(3) != 0 ? GMEM_KEEP : GMEM_INPLACE;
        enum gmem_state before = gmem_state(&t.gm, p);

        atomic_store(&hot[half], p);
        if (rnd(3) != 0) {
            usleep(20); /* let them come */
        }
        if (!to_shared) { /* the window is in use until the last moment */
            uint64_t pa = before == GMEM_SHARED ? t.p1[p] : t.p0[p];

            (void)space_fault(&t.tree[2].s, pa, PT_READ);
            host_look(pa);
        }
        converting = p;
        int err = gmem_convert(&t.gm, p, 1, to_shared, policy);

        converting = PAGES;
        if (err != 0) {
            /* Pinned by the host; nothing changed. */
            count(TORTURE_REFUSED);
            PROMISE(err == -EBUSY, "conversion of page %lu: %d%s", (unsigned long)p, WHY(err));
            PROMISE(gmem_state(&t.gm, p) == before, "refused, and the state changed");
            sched_yield();
            continue;
        }
        count(TORTURE_CONVERT);
        t.want[p] = !to_shared            ? GMEM_PRIVATE
                    : policy == GMEM_KEEP ? GMEM_SHARED
                                          : GMEM_SHARED_INPLACE;
        converted(p, to_shared, policy);
    }
    return NULL;
}

/* ---- the host: windows and pins ---- */

static void *host(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t p = rnd(4) == 0 ? rnd(PAGES) : atomic_load(&hot[rnd(HALVES)]);
        uint64_t pa = rnd(3) != 0 ? t.p1[p] : t.p0[p];
        int err = space_fault(&t.tree[2].s, pa, PT_READ);

        PROMISE(err == 0 || err == -EAGAIN || err == -EPERM, "host fault: %d%s", WHY(err));
        host_look(pa);
        if (frames_pin(pa, 1, OWNER_HOST) == 0) {
            count(TORTURE_PIN);
            sched_yield();
            PROMISE(frame_may_use(pa, OWNER_HOST), "pinned-frame-taken-away: %#lx",
                    (unsigned long)pa);
            PROMISE(frames_unpin(pa, 1, OWNER_HOST) == 0, "unpin");
        }
    }
    return NULL;
}

/* ---- logs, cuts, merges, zaps, ages, switches: one hand each, as their owner would ---- */

static bool bit(const uint64_t *map, uint64_t p)
{
    return (map[p / 64] >> (p % 64) & 1) != 0;
}

/* Whatever was pending when the read began is in this answer, or in the one before. */
static void read_log(unsigned epoch, unsigned n)
{
    static bool before[PAGES];
    uint64_t *out = answer[n % 2];
    const uint64_t *last = answer[(n + 1) % 2];

    for (uint64_t p = 0; p < PAGES; p++) {
        before[p] = atomic_exchange(&pend[p], 0) == epoch;
    }
    memset(out, 0, sizeof(answer[0]));
    int err = iommu_view_log_read_clear(&view, TS_GUEST, LEN, out);

    count(TORTURE_LOG_READ);
    PROMISE(err == 0, "log read: %d%s", WHY(err));
    for (uint64_t p = 0; p < PAGES; p++) {
        PROMISE(!before[p] || bit(out, p) || bit(last, p), "write-lost: page %lu",
                (unsigned long)p);
    }
}

static void one_log(void)
{
    static unsigned epochs;
    enum space_log_kind kind = rnd(2) ? SPACE_LOG_WRITE_PROTECT : SPACE_LOG_DIRTY_BIT;
    uint64_t cursor = 0;
    int err = 0;

    if (rnd(2)) {
        err = iommu_view_log_start(&view, SPACE_LOG_AHEAD, TS_GUEST, LEN, NULL, NULL);
        PROMISE(err == 0, "log ahead: %d%s", WHY(err));
        while (going() && (err = space_log_cut(&t.tree[0].s, &cursor, 2)) == 1) {
            count(TORTURE_CUT);
        }
        PROMISE(err >= 0, "cut ahead: %d%s", WHY(err));
    }
    err = iommu_view_log_start(&view, kind, TS_GUEST, LEN, bits, io_bits);
    PROMISE(err == 0, "log start: %d%s", WHY(err));
    if (err != 0) {
        return;
    }
    count(TORTURE_LOG);
    unsigned epoch = ++epochs;

    memset(answer, 0, sizeof(answer));
    for (uint64_t p = 0; p < PAGES; p++) {
        atomic_store(&pend[p], 0);
    }
    atomic_store(&cpu_epoch, epoch);
    atomic_store(&io_epoch, view.io_logged ? epoch : 0);
    for (unsigned n = 0; n < 6 && going(); n++) {
        usleep((useconds_t)rnd(1500));
        read_log(epoch, n);
        (void)space_log_cut(&t.tree[0].s, &cursor, 3);
    }
    atomic_store(&cpu_epoch, 0);
    atomic_store(&io_epoch, 0);
    err = iommu_view_log_stop(&view);
    PROMISE(err == 0, "log stop: %d%s", WHY(err));
}

static void *logger(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t cursor = 0;

        one_log();
        while (going() && space_log_merge(&t.tree[0].s, TS_GUEST, LEN, &cursor, 1) == 1) {
            count(TORTURE_MERGE);
        }
        usleep((useconds_t)rnd(1000));
    }
    return NULL;
}

static void *switcher(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        int err = iommu_view_set(&view, rnd(2) ? IOMMU_SHARE : IOMMU_MIRROR);

        PROMISE(err == 0 || err == -EBUSY, "switch: %d%s", WHY(err));
        if (err == 0) {
            count(TORTURE_SWITCH);
        }
        usleep((useconds_t)rnd(2500));
    }
    return NULL;
}

static void *zapper(void *arg)
{
    bool young;

    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t p = rnd(PAGES), n = 1 + rnd(PAGES - p > 64 ? 64 : PAGES - p);
        int err = space_zap(&t.tree[0].s, TS_GUEST + (p << PAGE_SHIFT), n << PAGE_SHIFT);

        /* In share mode a device would miss it. */
        PROMISE(err == 0 || err == -EOPNOTSUPP, "zap: %d%s", WHY(err));
        count(TORTURE_ZAP);
        err = space_zap(&t.tree[1].s, TS_GUEST + (p << PAGE_SHIFT), n << PAGE_SHIFT);
        PROMISE(err == 0, "zap of a tree with page requests: %d%s", WHY(err));
        err = space_age(&t.tree[0].s, TS_GUEST + (p << PAGE_SHIFT), n << PAGE_SHIFT, &young);
        PROMISE(err == 0, "age: %d%s", WHY(err));
        count(TORTURE_AGE);
        usleep((useconds_t)rnd(700));
    }
    return NULL;
}

/* ---- page requests: a device that waits, and a guest that answers late, twice or never ---- */

static void respond(struct prq *q, const struct prq_response *r)
{
    (void)q;
    PROMISE(r->sid != 1 || r->code != IOMMU_RESPONSE_INVALID, "a page of the VM is no page");
    atomic_fetch_add(&answered, 1);
}

static bool forward(void *ctx, const struct prq_request *r, uint64_t c)
{
    (void)ctx;
    (void)r;
    atomic_store(&cookie, c);
    return true;
}

static void *requester(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    for (uint32_t i = 0; going(); i++) {
        uint64_t p = rnd(PAGES);
        uint32_t sid = rnd(4) == 0 ? 2 : 1;
        struct prq_request r = { .sid = sid,
                                 .group = i,
                                 .last = rnd(8) != 0,
                                 .iova = TS_GUEST + (p << PAGE_SHIFT),
                                 .access = PT_READ };

        if (r.last) {
            atomic_fetch_add(&owed, 1);
        }
        prq_report(&prq, &r, i);
        count(TORTURE_PAGE_REQUEST);
        if (sid == 1) {
            (void)cpu_access(&t.tree[1].w[0], FLIGHT_LAZY, "lazy I/O", p, MODEL_R);
        }
        if (rnd(3) != 0) {
            (void)prq_answer(&prq, rnd(20) == 0 ? rng : atomic_load(&cookie),
                             (enum iommu_response)rnd(3));
        }
        if (rnd(30) == 0) {
            (void)prq_tick(&prq, i);
        }
    }
    return NULL;
}

/* ---- spaces that come and go, audits, and calls that make no sense ---- */

static void *maker(void *arg)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);

    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        struct space s;
        struct space_audit a = { 0 }, h = { 0 };

        int made = space_init(&s, SPACE_CPU, &cfg);

        PROMISE(made == 0, "a new space: %d%s", WHY(made));
        if (made != 0) {
            break;
        }
        PROMISE(space_add_walker(&s, &t.tree[3].w[0].inv) == 0, "walker");
        made = space_bind(&s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, rnd(2));
        PROMISE(made == 0, "bind: %d%s", WHY(made));
        for (unsigned i = 0; i < 20; i++) {
            int err = space_fault(&s, TS_GUEST + (rnd(PAGES) << PAGE_SHIFT), PT_WRITE);

            PROMISE(err == 0 || err == -EAGAIN, "fault in a new space: %d%s", WHY(err));
        }
        space_audit(&s, TS_VM, NULL, NULL, &a);
        space_destroy(&s);
        count(TORTURE_SPACE);
        space_audit(&t.tree[0].s, TS_VM, NULL, NULL, &a);
        space_audit(&t.tree[2].s, OWNER_HOST, NULL, NULL, &h);
        PROMISE(a.violations + h.violations == 0, "audit: %s: %#lx",
                a.violations ? a.first : h.first,
                (unsigned long)(a.violations ? a.first_ia : h.first_ia));
        count(TORTURE_AUDIT);
        PROMISE(gmem_convert(&t.gm, PAGES + rnd(9), 1 + rng % 7, true, GMEM_KEEP) == -EFAULT,
                "conversion outside");
        PROMISE(space_fault(&t.tree[0].s, rnd(2) ? ~rng : TS_GUEST - 1 - rnd(TS_GUEST), PT_READ) ==
                    -EFAULT,
                "fault outside");
        PROMISE(iommu_view_page_request(&view, TS_GUEST + LEN + rnd(LEN), PT_READ) ==
                    IOMMU_RESPONSE_INVALID,
                "page request outside");
        usleep((useconds_t)rnd(3000));
    }
    return NULL;
}

/* ---- set-up ---- */

static void open_world(const struct torture_opts *o)
{
    struct pt_config cfg = ts_config(PT_ARM_S2_4K, 2, true);
    struct pt_config io = ts_config(PT_ARM_S2_4K, 2, false);

    cfg.live.hw_dirty = true;
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

    ts_tree(&t, 3, "spare", TS_CPU, &cfg);
    for (unsigned i = 0; i < 4; i++) {
        model_live_harvest(t.tree[i].live, true);
    }
    /* Rights of a leaf that a log protects come and go: what a TLB holds is judged by its use. */
    l->s.page_requests = true;
    assert_int_equal(space_bind(&a->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, o->seed % 3 != 0),
                     0);
    assert_int_equal(space_bind(&l->s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW, false), 0);
    assert_int_equal(space_bind(&h->s, &t.gm, VIEW_HOST, 0, 0, PAGES, RW, false), 0);
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
    t.in_wait = in_wait;
    t.after_store = after_store;
}

/* Quiet again: everything is as it would have been without the noise. */
static void close_world(void)
{
    rng = 0; /* no delays */
    t.in_wait = NULL;
    t.after_store = NULL;
    for (uint64_t p = 0; p < PAGES; p++) {
        if (t.want[p] != GMEM_PRIVATE) {
            PROMISE(ts_convert(&t, p, 1, false, GMEM_KEEP) == 0, "back to private");
        }
    }
    PROMISE(iommu_view_set(&view, IOMMU_MIRROR) == 0, "to mirror mode");
    PROMISE(model_tlb_check(dev.tlb, &dev.ctx) == MODEL_V_OK, "device TLB: stale entry");
    PROMISE(tp_count(&view.own.pt).leaves[3] == 0, "leaf-size: not merged back");
    PROMISE(iommu_view_detach(&view, 0) == 0 && iommu_view_fini(&view) == 0, "view");
    for (unsigned i = 0; i < 3; i++) {
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

void torture_run(const struct torture_opts *o, struct torture_result *r)
{
    static void *(*const more[])(void *) = { cpu,    cpu,      device, device,    host,
                                             logger, switcher, zapper, requester, maker };
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
    close_world();
}
