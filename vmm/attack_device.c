/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks with PCI devices. */
#include "attack.h"

#include <errno.h>

/* PCI 3.0, 6.2.5: BAR0; PCI-to-PCI bridge 1.2, 3.2.5: bus numbers, windows. */
#define BAR0            0x10u
#define BUS_NUMBERS     0x18u
#define MEMORY_WINDOW   0x20u
#define PREFETCH_WINDOW 0x24u
#define PREFETCH_UPPER  0x28u

/* Rewrites a register and says whether it kept its old value; puts it back if not. */
static bool rewrite(struct arena *a, uint32_t bdf, unsigned offset, uint32_t value)
{
    uint32_t before = 0;
    uint32_t after = 0;
    if (pci_config_read(bdf, offset, 4, &before) != 0) {
        return saw(a, false, "cannot read");
    }
    if (before == value) {
        return saw(a, false, "has that value already");
    }
    pci_config_write(bdf, offset, 4, value);
    pci_config_read(bdf, offset, 4, &after);
    if (after != before) {
        pci_config_write(bdf, offset, 4, before);
    }
    return saw(a, after == before, after == before ? "stays %#x" : "%#x BECAME %#x", before, after);
}

static bool bar_over(struct arena *a, const struct attack *self)
{
    uint64_t base;
    uint64_t size;
    int host = pci_nvme("host");
    uint32_t low = 0;
    (void)self;
    if (pci_bar(a->disk, 0, &base, &size) != 0 || host < 0) {
        return saw(a, false, "no BAR");
    }
    pci_config_read((uint32_t)host, BAR0, 4, &low);
    return rewrite(a, (uint32_t)host, BAR0, (uint32_t)base | (low & 0xf));
}

static bool window_over(struct arena *a, const struct attack *self)
{
    uint64_t base;
    uint64_t size;
    (void)self;
    if (pci_bar(a->disk, 0, &base, &size) != 0 || !a->bridge) {
        return saw(a, false, "no BAR or bridge");
    }
    /* Bits 31:20 of base and limit, in the upper and lower half of a word; the upper 32 bits of
     * the disk's address stand in the next register already if the bridge lies near. */
    uint32_t high = 0;
    pci_config_read(a->bridge, PREFETCH_UPPER, 4, &high);
    uint32_t bits = (uint32_t)(base >> 16) & 0xfff0;
    unsigned offset = base >> 32 ? PREFETCH_WINDOW : MEMORY_WINDOW;
    return rewrite(a, a->bridge, offset, bits << 16 | bits | (base >> 32 ? 0x00010001u : 0));
}

static bool bus_number(struct arena *a, const struct attack *self)
{
    uint32_t now_ = 0;
    (void)self;
    if (!a->bridge) {
        return saw(a, false, "no bridge");
    }
    pci_config_read(a->bridge, BUS_NUMBERS, 4, &now_);
    /* Secondary and subordinate bus 0: what is behind would speak with bus 0's stream ids. */
    return rewrite(a, a->bridge, BUS_NUMBERS, now_ & 0xff0000ff);
}

static bool attach_taken(struct arena *a, const struct attack *self)
{
    struct reply r;
    if (CTL(&a->c, &r, TN_DOM_ALLOC, 0) != 0) {
        return saw(a, false, "no domain: %s", errno_name(r.result));
    }
    uint64_t dom = r.out[0];
    int got = CTL(&a->c, &r, TN_DOM_ATTACH, dom, a->disk);
    if (got == 0) {
        CTL(&a->c, &r, TN_DOM_DETACH, dom, a->disk);
    }
    CTL_FINISH(&a->c, &r, "freeing", TN_DOM_FREE, dom);
    return saw_error(a, got, self->error);
}

static bool return_busy(struct arena *a, const struct attack *self)
{
    struct background run;
    struct reply r;
    if (!background_start(&run, a->a)) {
        return saw(a, false, "VM A cannot run");
    }
    int got = -EBUSY;
    int tries = 0;
    for (; tries < RUNNING_TRIES && got == self->error; tries++) {
        got = CTL(&a->c, &r, TN_DEV_RETURN, a->disk);
    }
    background_stop(&run);
    return saw(a, got == self->error && run.result == 0, "%s, %d times", errno_name(got), tries);
}

#define ONE(name, op, error, ...)                                               \
    {                                                                           \
        "device", name, #error, attack_call, op, -error, { __VA_ARGS__ }, false \
    }
#define OWN(name, want, fn, error)                       \
    {                                                    \
        "device", name, want, fn, 0, error, { 0 }, false \
    }

const struct attack attacks_device[] = {
    ONE("a disk that another VM has", TN_DEV_TAKE, EBUSY, ARG_DISK, ARG_B),
    ONE("a disk that the same VM has", TN_DEV_TAKE, EBUSY, ARG_DISK, ARG_A),
    ONE("a disk behind a bridge", TN_DEV_TAKE, ENODEV, ARG_BEHIND, ARG_B),
    ONE("edu, which cannot be reset", TN_DEV_TAKE, ENODEV, ARG_EDU, ARG_B),
    ONE("the bridge itself", TN_DEV_TAKE, ENODEV, ARG_BRIDGE, ARG_B),
    ONE("a device that is not there", TN_DEV_TAKE, ENOENT, 0xffff, ARG_B),
    ONE("a wild device number", TN_DEV_TAKE, ENOENT, 0x100000018, ARG_B),
    ONE("return what nobody took", TN_DEV_RETURN, ENOENT, ARG_EDU),
    OWN("return while its VM runs", "EBUSY", return_busy, -EBUSY),
    OWN("attach the VM's disk to our domain", "EPERM", attach_taken, -EPERM),
    OWN("our BAR moved over the VM's", "BAR stays", bar_over, 0),
    OWN("a bridge window moved over the VM's BAR", "window stays", window_over, 0),
    OWN("a bridge's bus number made the VM's", "number stays", bus_number, 0),
};
const size_t attacks_device_n = COUNT(attacks_device);
