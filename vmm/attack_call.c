/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks by hypercall arguments. */
#include "attack.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- broken requests ---- */

static bool with_word(struct arena *a, unsigned word, uint64_t value, int want)
{
    static const uint64_t none[6];
    struct reply r;
    ctl_write(&a->c, TN_HELLO, none);
    a->c.slot[word] = value;
    ctl_ring(&a->c);
    ctl_read(&a->c, &r);
    return saw_error(a, r.result, want);
}

static bool wrong_magic(struct arena *a, const struct attack *self)
{
    return with_word(a, 0, 0x1234, self->error);
}

static bool wrong_version(struct arena *a, const struct attack *self)
{
    return with_word(a, 1, 77, self->error);
}

static bool too_much_data(struct arena *a, const struct attack *self)
{
    return with_word(a, 17, (uint64_t)1 << 40, self->error);
}

/* ---- doorbells that are not one plain 64-bit store ---- */

static bool saw_bus_error(struct arena *a, int sig)
{
    return saw(a, sig == SIGBUS, "%s", signal_name(sig));
}

static bool bell_read(struct arena *a, const struct attack *self)
{
    (void)self;
    return saw_bus_error(a, probe_read(a->c.bell, NULL));
}

static bool bell_half(struct arena *a, const struct attack *self)
{
    (void)self;
    return saw_bus_error(a, probe_write_half(a->c.bell));
}

static bool bell_pair(struct arena *a, const struct attack *self)
{
    (void)self;
    return saw_bus_error(a, probe_write_pair(a->c.bell - a->c.nr));
}

static bool bell_beyond(struct arena *a, const struct attack *self)
{
    (void)self;
    return saw_bus_error(a, probe_write(a->c.bell - a->c.nr + TN_SLOTS, 1));
}

/* ---- freed objects ---- */

static bool freed_vm(struct arena *a, const struct attack *self)
{
    static const uint32_t ops[] = { TN_VM_STAT, TN_VM_PREPARE, TN_VM_MERGE, TN_VM_DESTROY,
                                    TN_VM_PENDING };
    const char *step;
    struct reply r;
    int id = vm_create(&a->c, 4 * MIB, 0, &step);
    if (id < 0 || vm_destroy(&a->c, (uint64_t)id) != 0) {
        return saw(a, false, "no VM to free: %s", errno_name(id));
    }
    for (size_t i = 0; i < COUNT(ops); i++) {
        if (CTL(&a->c, &r, ops[i], (uint64_t)id) != self->error) {
            return saw(a, false, "call %u: %s", ops[i], errno_name(r.result));
        }
    }
    return saw(a, true, "%s, %zu calls", errno_name(r.result), COUNT(ops));
}

static bool freed_domain(struct arena *a, const struct attack *self)
{
    struct reply r;
    if (CTL(&a->c, &r, TN_DOM_ALLOC, 0) != 0) {
        return saw(a, false, "no domain: %s", errno_name(r.result));
    }
    uint64_t dom = r.out[0];
    if (CTL_FINISH(&a->c, &r, "freeing", TN_DOM_FREE, dom) != 0) {
        return saw(a, false, "not freed: %s", errno_name(r.result));
    }
    CTL(&a->c, &r, TN_DOM_MAP, dom, 0x10000, a->edu.page_pa, PAGE, 3);
    return saw_error(a, r.result, self->error);
}

/* ---- foreign frames in a domain of ours ---- */

static bool map_foreign(struct arena *a, uint64_t pa, uint64_t bytes, int want)
{
    struct reply r;
    if (CTL(&a->c, &r, TN_DOM_ALLOC, 0) != 0) {
        return saw(a, false, "no domain: %s", errno_name(r.result));
    }
    uint64_t dom = r.out[0];
    int got = CTL(&a->c, &r, TN_DOM_MAP, dom, 0x10000, pa, bytes, 3);
    CTL_FINISH(&a->c, &r, "freeing", TN_DOM_FREE, dom);
    return saw_error(a, got, want);
}

static bool map_vm(struct arena *a, const struct attack *self)
{
    return map_foreign(a, a->a_pa, PAGE, self->error);
}

static bool map_hyp(struct arena *a, const struct attack *self)
{
    return map_foreign(a, attack_arg(a, ARG_HYP), PAGE, self->error);
}

/* The first page is ours, the last one the pool's or a VM's. */
static bool map_straddling(struct arena *a, const struct attack *self)
{
    uint64_t end = a->info.host_base + a->info.host_bytes;
    return map_foreign(a, end - 2 * MIB, 4 * MIB, self->error);
}

/* ---- populate ---- */

static bool populate_launched(struct arena *a, const struct attack *self)
{
    uint64_t word = 0;
    return saw_error(a, vm_populate(&a->c, a->a, TN_GUEST_RAM, &word, 8), self->error);
}

static bool populate_outside(struct arena *a, const struct attack *self)
{
    uint64_t words[512] = { 0 };
    return saw_error(a, vm_populate(&a->c, a->b, TN_GUEST_RAM + B_BYTES - 8, words, sizeof(words)),
                     self->error);
}

/* ---- the mailbox changed during the call ---- */

struct scribbler {
    volatile uint64_t *slot;
    atomic_int stop;
};

static void *scribble(void *arg)
{
    struct scribbler *s = arg;
    host_pin(1);
    for (uint64_t i = 0; !atomic_load(&s->stop); i++) {
        s->slot[3] = i & 1 ? B_SECRET : 0xfffffffffffff000ull; /* arg1: where */
        s->slot[4] = i & 2 ? PAGE : ~(uint64_t)0xfff;          /* arg2: how much */
        s->slot[5] = i & 4 ? 1 : 0;                            /* arg3: shared */
        s->slot[17] = i & 8 ? 0 : (uint64_t)1 << 60;           /* data_len */
    }
    return NULL;
}

static bool changed_mailbox(struct arena *a, const struct attack *self)
{
    struct scribbler s = { .slot = a->c.slot };
    pthread_t thread;
    const uint64_t arg[6] = { a->b, B_SECRET, PAGE, 1, TN_INPLACE };
    uint64_t seen[4] = { 0 }; /* ok, EALREADY, EFAULT, EINVAL */
    (void)self;
    if (pthread_create(&thread, NULL, scribble, &s) != 0) {
        return saw(a, false, "no thread");
    }
    host_pin(0);
    bool good = true;
    double start = now();
    for (int i = 0; now() - start < 1.0 && good; i++) {
        struct reply r;
        ctl_call(&a->c, &r, TN_VM_CONVERT, arg);
        int which = r.result == 0           ? 0
                    : r.result == -EALREADY ? 1
                    : r.result == -EFAULT   ? 2
                    : r.result == -EINVAL   ? 3
                                            : 4;
        good = which < 4;
        if (good) {
            seen[which]++;
        } else {
            saw(a, false, "%s", errno_name(r.result));
        }
    }
    atomic_store(&s.stop, 1);
    pthread_join(thread, NULL);
    struct reply r;
    if (CTL(&a->c, &r, TN_VM_WINDOW, a->b, B_SECRET) == 0) {
        good &= b_convert(a, B_SECRET, PAGE, false) == 0;
    }
    return good ? saw(a, seen[0] + seen[1] && seen[2] + seen[3],
                      "%llu ok, %llu already, %llu EFAULT, %llu EINVAL",
                      (unsigned long long)seen[0], (unsigned long long)seen[1],
                      (unsigned long long)seen[2], (unsigned long long)seen[3])
                : false;
}

#define ONE(name, op, error, ...)                                             \
    {                                                                         \
        "call", name, #error, attack_call, op, -error, { __VA_ARGS__ }, false \
    }
#define OWN(name, want, fn, error)                     \
    {                                                  \
        "call", name, want, fn, 0, error, { 0 }, false \
    }

const struct attack attacks_call[] = {
    ONE("an operation that does not exist", 999, ENOSYS, 0),
    OWN("a request without its magic word", "EINVAL", wrong_magic, -EINVAL),
    OWN("another protocol version", "EPROTO", wrong_version, -EPROTO),
    OWN("2^40 bytes of data", "EINVAL", too_much_data, -EINVAL),
    ONE("an argument that the call does not have", TN_HELLO, EINVAL, 0, 0, 0, 0, 0, 1),
    OWN("the doorbell read", "SIGBUS", bell_read, 0),
    OWN("the doorbell rung with 32 bits", "SIGBUS", bell_half, 0),
    OWN("two doorbells with one store pair", "SIGBUS", bell_pair, 0),
    OWN("a doorbell beyond the last", "SIGBUS", bell_beyond, 0),
    ONE("wild VM number", TN_VM_STAT, ENOENT, 0xffffffffffffffff),
    ONE("VM number past the last slot", TN_VM_DESTROY, ENOENT, 8),
    ONE("a vCPU that the VM does not have", TN_VM_RUN, ENOENT, ARG_A, 1, 1000),
    ONE("wild domain number", TN_DOM_MAP, ENOENT, 0x100000001, 0, ARG_HOST_PA, PAGE, 3),
    ONE("convert: address wraps round", TN_VM_CONVERT, EFAULT, ARG_B, 0xfffffffffffff000, 0x2000, 1,
        TN_INPLACE),
    ONE("convert: length wraps round", TN_VM_CONVERT, EFAULT, ARG_B, TN_GUEST_RAM,
        0xfffffffffffff000, 1, TN_INPLACE),
    ONE("convert: unaligned end", TN_VM_CONVERT, EINVAL, ARG_B, B_SECRET, 0x1800, 1, TN_INPLACE),
    ONE("convert: unaligned start", TN_VM_CONVERT, EINVAL, ARG_B, B_SECRET + 8, PAGE, 1,
        TN_INPLACE),
    ONE("convert what the launched VM did not ask", TN_VM_CONVERT, EPERM, ARG_A, B_SECRET, PAGE, 1,
        TN_INPLACE),
    ONE("commit a request that is not there", TN_VM_COMMIT, ENOENT, ARG_A, 0xffffffffffff),
    ONE("window of a private page", TN_VM_WINDOW, EPERM, ARG_B, B_SECRET),
    OWN("populate after launch", "EPERM", populate_launched, -EPERM),
    OWN("populate past the end", "EFAULT", populate_outside, -EFAULT),
    ONE("a VM larger than the pool", TN_VM_CREATE, ENOMEM, 4 * GIB, 0, 0),
    ONE("a VM of an odd size", TN_VM_CREATE, EINVAL, 2 * MIB + PAGE, 0, 0),
    ONE("donate the hypervisor's memory", TN_MEM_DONATE, EFAULT, ARG_HYP, 2 * MIB),
    ONE("donate a VM's memory", TN_MEM_DONATE, EFAULT, ARG_A_PA, 2 * MIB),
    ONE("donate: length wraps round", TN_MEM_DONATE, EFAULT, ARG_HOST_PA, 0xffffffffffe00000),
    ONE("reclaim what was never donated", TN_MEM_RECLAIM, EFAULT, ARG_HOST_PA, 2 * MIB),
    OWN("DMA map of a VM's page", "EPERM", map_vm, -EPERM),
    OWN("DMA map of the hypervisor's page", "EPERM", map_hyp, -EPERM),
    OWN("DMA map from ours into the pool", "EPERM", map_straddling, -EPERM),
    OWN("a VM that was destroyed", "ENOENT", freed_vm, -ENOENT),
    OWN("a domain that was freed", "ENOENT", freed_domain, -ENOENT),
    OWN("mailbox rewritten during the call", "old or new request, whole", changed_mailbox, 0),
};
const size_t attacks_call_n = COUNT(attacks_call);
