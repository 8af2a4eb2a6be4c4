/* SPDX-License-Identifier: BSD-2-Clause */
/* The torture run: converters, and the host whose windows they open and close. */
#include "lib_torture_int.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

/* What this thread converts, or nothing. */
static _Thread_local uint64_t converting, converting_n;

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
void look_in_wait(unsigned which)
{
    uint64_t p = converting + rnd(converting_n + 1);

    if (converting_n == 0) {
        return;
    }
    p = p == converting + converting_n ? converting
                                       : p; /* the first more often: its window is in use */
    if (which == FLIGHT_HOST) {
        host_look(t.p0[p]);
        host_look(t.p1[p]);
    } else if (which <= FLIGHT_LAZY) {
        (void)cpu_access(&t.tree[which].w[0], which, "in a conversion", p, MODEL_R);
    }
}

/* From end to end: some of every block of it. */
static void look_at(uint64_t p, uint64_t n, const char *cpu, const char *lazy)
{
    for (uint64_t i = 0; i < (n > 1 ? 4 : 1); i++) {
        uint64_t q = p + (n - 1) * i / 3;

        (void)cpu_access(&t.tree[0].w[0], FLIGHT_CPU, cpu, q, MODEL_R);
        (void)cpu_access(&t.tree[1].w[0], FLIGHT_LAZY, lazy, q, MODEL_R);
    }
}

static void converted(uint64_t p, uint64_t n, bool to_shared, enum gmem_policy policy)
{
    owner_t lent0 = to_shared && policy == GMEM_INPLACE ? OWNER_HOST : OWNER_NONE;
    owner_t lent1 = to_shared && policy == GMEM_KEEP ? OWNER_HOST : OWNER_NONE;

    for (uint64_t q = p; q < p + n; q++) {
        struct frame f0 = frame_get(t.p0[q]), f1 = frame_get(t.p1[q]);

        PROMISE(f0.owner == TS_VM && f1.owner == TS_VM && f0.borrower == lent0 &&
                    f1.borrower == lent1,
                "page %lu: owners %u %u, borrowers %u %u", (unsigned long)q, f0.owner, f1.owner,
                f0.borrower, f1.borrower);
    }
    /* Nobody finds the old frame: also who looks only now, where it looked just before. */
    look_at(p, n, "after a conversion", "lazy I/O after a conversion");
}

/* From p on, of one state, inside the half: a page, some that are not aligned, or several blocks. */
static uint64_t how_many(uint64_t p, uint64_t end)
{
    uint64_t max = rnd(8), n = 1;

    max = max < 4 ? 1 : (max < 7 ? 2 + rnd(62) : 512 + rnd(512));
    while (n < max && p + n < end && t.want[p + n] == t.want[p]) {
        n++;
    }
    return n;
}

void *converter(void *arg)
{
    uint64_t half = (uint64_t)(uintptr_t)arg, base = half * PAGES / HALVES;

    rng = 1000 + half + t.rng;
    for (unsigned i = 0; going() && (steps == 0 || i < steps); i++) {
        uint64_t p = base + rnd(PAGES / HALVES), n = how_many(p, base + PAGES / HALVES);
        bool to_shared = t.want[p] == GMEM_PRIVATE;
        enum gmem_policy policy = rnd(3) != 0 ? GMEM_KEEP : GMEM_INPLACE;
        enum gmem_state before = gmem_state(&t.gm, p);

        atomic_store(&hot[half].first, p);
        if (rnd(3) != 0) {
            usleep(20); /* let them come */
        }
        if (!to_shared) { /* the window is in use until the last moment */
            uint64_t pa = before == GMEM_SHARED ? t.p1[p] : t.p0[p];

            (void)space_fault(&t.tree[2].s, pa, PT_READ);
            host_look(pa);
        }
        look_at(p, n, "before a conversion", "lazy I/O before a conversion");
        converting = p;
        converting_n = n;
        atomic_store(&hot[half].n, n);
        atomic_fetch_add(&hot[half].times, 1);
        int err = gmem_convert(&t.gm, p, n, to_shared, policy);

        atomic_fetch_add(&hot[half].times, 1);
        atomic_store(&hot[half].n, 0);
        converting_n = 0;
        if (err != 0) {
            /* Pinned by the host; nothing changed. */
            count(TORTURE_REFUSED);
            PROMISE(err == -EBUSY, "conversion of page %lu and %lu more: %d%s", (unsigned long)p,
                    (unsigned long)n - 1, WHY(err));
            PROMISE(gmem_state(&t.gm, p) == before, "refused, and the state changed");
            sched_yield();
            continue;
        }
        count(TORTURE_CONVERT);
        memset(t.want + p,
               !to_shared            ? GMEM_PRIVATE
               : policy == GMEM_KEEP ? GMEM_SHARED
                                     : GMEM_SHARED_INPLACE,
               n);
        converted(p, n, to_shared, policy);
    }
    return NULL;
}

/* ---- the host: windows and pins ---- */

void *host(void *arg)
{
    rng = (uint64_t)(uintptr_t)arg;
    while (going()) {
        uint64_t p = rnd(4) == 0 ? rnd(PAGES) : atomic_load(&hot[rnd(HALVES)].first);
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
