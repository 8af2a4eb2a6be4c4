/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks on lifetimes: what is in use must stay, what is gone must be gone. */
#include "attack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- destroyed while in use ---- */

static bool destroy_running(struct arena *a, const struct attack *self)
{
    struct background run;
    struct reply r;
    if (!background_start(&run, a->a)) {
        return saw(a, false, "VM A cannot run");
    }
    int got = self->error;
    int tries = 0;
    for (; tries < RUNNING_TRIES && got == self->error; tries++) {
        got = CTL(&a->c, &r, TN_VM_DESTROY, a->a);
    }
    background_stop(&run);
    return saw(a, got == self->error && run.result == 0, "%s, %d times", errno_name(got), tries);
}

static bool run_twice(struct arena *a, const struct attack *self)
{
    struct background run;
    struct reply r;
    if (!background_start(&run, a->a)) {
        return saw(a, false, "VM A cannot run");
    }
    int busy = 0;
    int other = 0;
    double start = now();
    while (busy + (int)atomic_load(&run.refused) < 20 && !other && now() - start < 5) {
        int got = CTL(&a->c, &r, TN_VM_RUN, a->a, 0, 1000);
        busy += got == self->error;
        other = got && got != self->error ? got : 0;
    }
    background_stop(&run);
    int there = (int)atomic_load(&run.refused);
    return saw(a, busy + there > 0 && !other && run.result == 0, "EBUSY %d times here, %d there",
               busy, there);
}

/* ---- pinned, DMA in flight ---- */

#define PIN_IOVA 0x10000000ull

/* In a domain of ours with [pa, pa+bytes) mapped and edu's DMA under way: what `f` answers. */
static int in_flight(struct arena *a, uint64_t dom, uint64_t pa,
                     int (*f)(struct arena *a, uint64_t pa), int *got)
{
    struct reply r;
    int others;
    int error = CTL(&a->c, &r, TN_DOM_ATTACH, dom, a->edu.bdf);
    if (error) {
        return error;
    }
    edu_start(&a->edu, PIN_IOVA, 64, false);
    *got = f(a, pa);
    bool done = edu_wait(&a->edu);
    if (!done || events_of(a, 0, 0, false, &others) + others != 0) {
        error = -EIO; /* it must have gone through */
    }
    CTL(&a->c, &r, TN_DOM_DETACH, dom, a->edu.bdf);
    return r.result ? r.result : error;
}

/* Runs `f` while [pa, pa+bytes) is mapped for DMA in a domain of ours, and that DMA is under way. */
static bool while_pinned(struct arena *a, uint64_t pa, uint64_t bytes, const struct attack *self,
                         int (*f)(struct arena *a, uint64_t pa))
{
    struct reply r;
    int got = 0;
    if (CTL(&a->c, &r, TN_DOM_ALLOC, 0) != 0) {
        return saw(a, false, "no domain: %s", errno_name(r.result));
    }
    uint64_t dom = r.out[0];
    int error = CTL(&a->c, &r, TN_DOM_MAP, dom, PIN_IOVA, pa, bytes, 3);
    if (!error) {
        error = in_flight(a, dom, pa, f, &got);
        CTL(&a->c, &r, TN_DOM_UNMAP, dom, PIN_IOVA, bytes);
        error = error ? error : r.result;
    }
    int freed = CTL_FINISH(&a->c, &r, "freeing", TN_DOM_FREE, dom);
    if (error || freed) {
        return saw(a, false, "DMA in our domain: %s", errno_name(error ? error : freed));
    }
    return saw_error(a, got, self->error);
}

static int donate(struct arena *a, uint64_t pa)
{
    struct reply r;
    return CTL(&a->c, &r, TN_MEM_DONATE, pa, 2 * MIB);
}

static int unshare_b(struct arena *a, uint64_t pa)
{
    (void)pa;
    return b_convert(a, B_SECRET, PAGE, false);
}

static int destroy_b(struct arena *a, uint64_t pa)
{
    struct reply r;
    (void)pa;
    return CTL(&a->c, &r, TN_VM_DESTROY, a->b);
}

static bool donate_pinned(struct arena *a, const struct attack *self)
{
    uint64_t pa;
    void *p = huge_page(&pa);
    if (!p) {
        return saw(a, false, "no 2 MiB page of the host's");
    }
    bool good = while_pinned(a, pa, 2 * MIB, self, donate);
    huge_page_free(p);
    return good;
}

static bool lent_pinned(struct arena *a, const struct attack *self,
                        int (*f)(struct arena *a, uint64_t pa))
{
    if (b_convert(a, B_SECRET, PAGE, true) != 0) {
        return saw(a, false, "cannot share");
    }
    bool good = while_pinned(a, a->b_pa, PAGE, self, f);
    return b_convert(a, B_SECRET, PAGE, false) == 0 && good;
}

static bool unshare_pinned(struct arena *a, const struct attack *self)
{
    return lent_pinned(a, self, unshare_b) && b_secret_intact(a);
}

static bool destroy_pinned(struct arena *a, const struct attack *self)
{
    return lent_pinned(a, self, destroy_b);
}

static bool free_attached(struct arena *a, const struct attack *self)
{
    struct reply r;
    if (CTL(&a->c, &r, TN_DOM_ALLOC, 0) != 0) {
        return saw(a, false, "no domain: %s", errno_name(r.result));
    }
    uint64_t dom = r.out[0];
    int got = 0;
    int error = CTL(&a->c, &r, TN_DOM_ATTACH, dom, a->edu.bdf);
    if (!error) {
        got = CTL(&a->c, &r, TN_DOM_FREE, dom);
        error = CTL(&a->c, &r, TN_DOM_DETACH, dom, a->edu.bdf);
    }
    int freed = CTL_FINISH(&a->c, &r, "freeing", TN_DOM_FREE, dom);
    if (error || freed) {
        return saw(a, false, "attach or detach: %s", errno_name(error ? error : freed));
    }
    return saw_error(a, got, self->error);
}

/* ---- both CPUs at once ---- */

static int destroy_once(struct ctl *c, uint64_t id)
{
    struct reply r;
    int result = 0;
    do {
        CTL(c, &r, TN_VM_DESTROY, id);
        result = r.result;
    } while (result == -EAGAIN || result == -EBUSY);
    return result;
}

static bool destroy_both(struct arena *a, const struct attack *self)
{
    (void)self;
    const char *step;
    int id = vm_create(&a->c, 8 * MIB, 0, &step);
    if (id < 0) {
        return saw(a, false, "no VM: %s", errno_name(id));
    }
    struct both b = { destroy_once, { (uint64_t)id, (uint64_t)id }, { 0 } };
    bool ran = run_both(&b);
    bool good = ran && ((b.result[0] == 0 && b.result[1] == -ENOENT) ||
                        (b.result[1] == 0 && b.result[0] == -ENOENT));
    return saw(a, good, "%s, %s", errno_name(b.result[0]), errno_name(b.result[1]));
}

static uint64_t both_vm;

static int share_once(struct ctl *c, uint64_t gpa)
{
    struct reply r;
    do {
        CTL(c, &r, TN_VM_CONVERT, both_vm, gpa, 16 * PAGE, 1, TN_INPLACE);
    } while (r.result == -EBUSY || r.result == -EAGAIN);
    return r.result;
}

static bool share_both(struct arena *a, const struct attack *self)
{
    (void)self;
    both_vm = a->b;
    int good = 0;
    struct both b = { share_once, { B_SECRET, B_SECRET }, { 0 } };
    for (int i = 0; i == good && i < 20; i++) {
        if (!run_both(&b) || b_convert(a, B_SECRET, 16 * PAGE, false) != 0) {
            break;
        }
        good +=
            (b.result[0] == 0) + (b.result[1] == 0) == 1 && b.result[0] + b.result[1] == -EALREADY;
    }
    return saw(a, good == 20, "%s, %s; %d of 20 times", errno_name(b.result[0]),
               errno_name(b.result[1]), good);
}

static int donate_once(struct ctl *c, uint64_t pa)
{
    struct reply r;
    do {
        CTL(c, &r, TN_MEM_DONATE, pa, 2 * MIB);
    } while (r.result == -EAGAIN);
    return r.result;
}

static bool donate_both(struct arena *a, const struct attack *self)
{
    uint64_t pa;
    struct reply r;
    (void)self;
    void *p = huge_page(&pa);
    if (!p) {
        return saw(a, false, "no 2 MiB page of the host's");
    }
    struct both b = { donate_once, { pa, pa }, { 0 } };
    bool ran = run_both(&b);
    int sig = ran ? probe_read(p, NULL) : 0;
    int back = CTL_FINISH(&a->c, &r, "reclaiming", TN_MEM_RECLAIM, pa, 2 * MIB);
    bool one =
        (b.result[0] == 0 && b.result[1] == -EPERM) || (b.result[1] == 0 && b.result[0] == -EPERM);
    huge_page_free(p);
    return saw(a, ran && one && sig == SIGBUS && back == 0, "%s, %s; touch %s; back %s",
               errno_name(b.result[0]), errno_name(b.result[1]), signal_name(sig),
               errno_name(back));
}

#define ONE(name, op, error, ...)                                             \
    {                                                                         \
        "life", name, #error, attack_call, op, -error, { __VA_ARGS__ }, false \
    }
#define OWN(name, want, fn, error)                     \
    {                                                  \
        "life", name, want, fn, 0, error, { 0 }, false \
    }
#define SPOILS(name, want, fn, error)                 \
    {                                                 \
        "life", name, want, fn, 0, error, { 0 }, true \
    }

const struct attack attacks_life[] = {
    ONE("destroy a VM that holds a device", TN_VM_DESTROY, EBUSY, ARG_A),
    OWN("destroy a VM that runs, its DMA in flight", "EBUSY", destroy_running, -EBUSY),
    OWN("run one vCPU on two CPUs", "EBUSY", run_twice, -EBUSY),
    OWN("donate memory with DMA in flight", "EBUSY", donate_pinned, -EBUSY),
    OWN("unshare a page with DMA in flight", "EBUSY", unshare_pinned, -EBUSY),
    OWN("destroy a VM whose lent page DMA uses", "EBUSY", destroy_pinned, -EBUSY),
    OWN("free a domain with a device in it", "EBUSY", free_attached, -EBUSY),
    OWN("destroy one VM from both CPUs", "one ok, one ENOENT", destroy_both, 0),
    OWN("share one range from both CPUs", "one ok, one EALREADY", share_both, 0),
    OWN("donate one page from both CPUs", "one ok, one EPERM; SIGBUS", donate_both, 0),
    OWN("the owner killed while memory is zeroed", "VM stays, can be destroyed",
        owner_killed_zeroing, 0),
    SPOILS("take one free disk from both CPUs", "one ok, one EBUSY", take_both, 0),
    SPOILS("the owner of a running VM with a disk killed -9", "disk and VM can be taken back",
           owner_killed_running, 0),
};
const size_t attacks_life_n = COUNT(attacks_life);
