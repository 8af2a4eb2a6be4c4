/* SPDX-License-Identifier: BSD-2-Clause */
/* The torture run: what a memory's owner does to it. */
#include "lib_torture_int.h"

#include <string.h>
#include <unistd.h>

static uint64_t bits[PAGES / 64], io_bits[PAGES / 64], answer[2][PAGES / 64];
static atomic_ullong cookie;

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

void *logger(void *arg)
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

void *switcher(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        int err = iommu_view_set(&view, rnd(2) ? IOMMU_SHARE : IOMMU_MIRROR);

        /* Other formats are never shared with the SMMU of the view. */
        PROMISE(err == 0 || err == -EBUSY || (err == -EOPNOTSUPP && view.why != NULL),
                "switch: %d%s", WHY(err));
        if (err == 0) {
            count(TORTURE_SWITCH);
        }
        usleep((useconds_t)rnd(2500));
    }
    return NULL;
}

void *zapper(void *arg)
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

void respond(struct prq *q, const struct prq_response *r)
{
    (void)q;
    PROMISE(r->sid != 1 || r->code != IOMMU_RESPONSE_INVALID, "a page of the VM is no page");
    atomic_fetch_add(&answered, 1);
}

bool forward(void *ctx, const struct prq_request *r, uint64_t c)
{
    (void)ctx;
    (void)r;
    atomic_store(&cookie, c);
    return true;
}

void *requester(void *arg)
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

static void no_issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void no_wait(struct invalidator *inv)
{
    (void)inv;
    delay(3);
}

static uint32_t user_of(const struct space *s)
{
    return tp_walk_cfg(&s->pt).stage == 1 ? PT_USER : 0;
}

void *maker(void *arg)
{
    struct invalidator nobody = { .issue = no_issue, .wait = no_wait };

    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        struct pt_config cfg = rnd(2) ? world->cpu : world->dev;
        struct space s;
        struct space_audit a = { 0 }, h = { 0 };

        int made = space_init(&s, SPACE_CPU, &cfg);

        PROMISE(made == 0, "a new space: %d%s", WHY(made));
        if (made != 0) {
            break;
        }
        PROMISE(space_add_walker(&s, &nobody) == 0, "walker");
        made = space_bind(&s, &t.gm, VIEW_GUEST, TS_GUEST, 0, PAGES, RW | user_of(&s), rnd(2));
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
