/* SPDX-License-Identifier: BSD-2-Clause */
/* Leaks: what was a VM's must not be readable afterwards. */
#include "attack.h"
#include "payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t canary_ring(volatile uint64_t *bell); /* canary.S */

/* Our registers across runs of a VM that has filled all of its own with secrets. */
static bool vm_registers(struct arena *a, const struct attack *self)
{
    const char *step;
    uint64_t len;
    (void)self;
    int id = vm_create(&a->c, 64 * MIB, 0, &step);
    if (id < 0) {
        return saw(a, false, "no VM: %s", errno_name(id));
    }
    int error = vm_populate_file(&a->c, (uint64_t)id, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!error) {
        error = vm_seal(&a->c, (uint64_t)id, TN_GUEST_RAM, payload_program(PAYLOAD_SECRET, 0, 50));
    }
    uint64_t changed = 0;
    int yields = 0;
    double start = now();
    while (!error && now() - start < 10) {
        const uint64_t arg[6] = { (uint64_t)id, 0, 10000 };
        struct reply r;
        ctl_write(&a->c, TN_VM_RUN, arg);
        changed += canary_ring(a->c.bell);
        ctl_read(&a->c, &r);
        error = r.result;
        yields += r.out[0] == TN_EXIT_YIELD;
        if (r.out[0] >= TN_EXIT_OFF) {
            break;
        }
    }
    struct tn_vm_stat s;
    ctl_stat(&a->c, (uint64_t)id, &s);
    uint64_t inside = load_report(&s).unexpected; /* registers that the VM found changed */
    int gone = vm_destroy(&a->c, (uint64_t)id);
    return saw(a, !error && yields >= 50 && !changed && !inside && !gone,
               "%d runs, %llu changed, %llu inside, %s", yields, (unsigned long long)changed,
               (unsigned long long)inside, errno_name(error ? error : gone));
}

/* ---- freed frames ---- */

static uint64_t frame_of(struct ctl *c, uint64_t vm, uint64_t gpa)
{
    struct mem_list list;
    uint64_t pa = 0;
    if (mem_read(c, vm, &list) != 0) {
        return 0;
    }
    for (size_t i = 0; i < list.n; i++) {
        if (gpa - list.run[i].gpa < list.run[i].bytes) {
            pa = list.run[i].pa + (gpa - list.run[i].gpa);
        }
    }
    free(list.run);
    return pa;
}

/* Shares all of a VM's memory in place and counts the words in it that are not zero. */
static uint64_t words_left(struct arena *a, uint64_t vm, uint64_t bytes, bool *looked)
{
    struct reply r;
    uint64_t left = 0;
    *looked = CTL_FINISH(&a->c, &r, "sharing", TN_VM_CONVERT, vm, TN_GUEST_RAM, bytes, 1,
                         TN_INPLACE) == 0;
    for (uint64_t at = 0; *looked && at < bytes; at += PAGE) {
        uint64_t pa;
        volatile uint64_t *p = window_map(a, vm, TN_GUEST_RAM + at, &pa);
        *looked = p != NULL;
        for (uint64_t i = 0; p && i < PAGE / 8; i++) {
            left += p[i] != 0;
        }
        if (p) {
            munmap((void *)(uintptr_t)p, PAGE);
        }
    }
    return left;
}

static bool freed_frames(struct arena *a, const struct attack *self)
{
    const char *step;
    static unsigned char secret[256 * 1024];
    bool looked = false;
    (void)self;
    memset(secret, 0x5e, sizeof(secret));
    int id = vm_create(&a->c, 2 * MIB, TN_VM_SINGLE, &step);
    if (id < 0) {
        return saw(a, false, "no VM: %s", errno_name(id));
    }
    for (uint64_t at = 0; at < 2 * MIB; at += sizeof(secret)) {
        vm_populate(&a->c, (uint64_t)id, TN_GUEST_RAM + at, secret, sizeof(secret));
    }
    uint64_t was = frame_of(&a->c, (uint64_t)id, TN_GUEST_RAM);
    if (vm_destroy(&a->c, (uint64_t)id) != 0) {
        return saw(a, false, "cannot destroy");
    }
    id = vm_create(&a->c, 2 * MIB, TN_VM_SINGLE, &step);
    if (id < 0) {
        return saw(a, false, "no second VM: %s", errno_name(id));
    }
    bool same = was && frame_of(&a->c, (uint64_t)id, TN_GUEST_RAM) == was;
    uint64_t left = words_left(a, (uint64_t)id, 2 * MIB, &looked);
    int gone = vm_destroy(&a->c, (uint64_t)id);
    return saw(a, same && looked && left == 0 && gone == 0, "%s frames, %llu words left%s",
               same ? "the same" : "OTHER", (unsigned long long)left,
               looked ? "" : ", cannot look");
}

static bool reclaimed_frames(struct arena *a, const struct attack *self)
{
    uint64_t pa;
    struct reply r;
    (void)self;
    uint64_t *p = huge_page(&pa);
    if (!p) {
        return saw(a, false, "no 2 MiB page of the host's");
    }
    int given = CTL(&a->c, &r, TN_MEM_DONATE, pa, 2 * MIB);
    int sig = given ? 0 : probe_read(p, NULL);
    int back = given ? given : CTL_FINISH(&a->c, &r, "reclaiming", TN_MEM_RECLAIM, pa, 2 * MIB);
    uint64_t left = 0;
    for (uint64_t i = 0; !back && i < 2 * MIB / 8; i++) {
        left += p[i] != 0;
    }
    if (!back) {
        huge_page_free(p);
    }
    return saw(a, !given && sig == SIGBUS && !back && !left, "%s, touch %s, back %s, %llu left",
               errno_name(given), signal_name(sig), errno_name(back), (unsigned long long)left);
}

/* ---- a returned device ---- */

/* NVMe 1.4, 3.1: CC 0x14, CSTS 0x1c, AQA 0x24, ASQ 0x28, ACQ 0x30. */
static bool returned_device(struct arena *a, const struct attack *self)
{
    struct background run;
    uint64_t size;
    int others;
    (void)self;
    if (!background_start(&run, a->a)) {
        return saw(a, false, "VM A cannot run");
    }
    usleep(300000); /* its queues are full */
    background_stop(&run);
    struct tn_vm_stat s;
    ctl_stat(&a->c, a->a, &s);
    int back = disk_from_a(a);
    if (back) {
        return saw(a, false, "return: %s", errno_name(back));
    }
    uint32_t command = 0;
    pci_config_read(a->disk, 4, 2, &command);
    pci_config_write(a->disk, 4, 2, 2); /* memory decoding, to look */
    volatile uint64_t *reg = pci_map_bar(a->disk, 0, &size);
    if (!reg) {
        return saw(a, false, "cannot map its registers");
    }
    uint32_t cc = (uint32_t)(reg[0x10 / 8] >> 32);
    uint64_t asq = reg[0x28 / 8];
    uint64_t acq = reg[0x30 / 8];
    munmap((void *)(uintptr_t)reg, size);
    events_of(a, 0, 0, false, &others);
    bool busy = load_report(&s).commands > 0;
    return saw(a, busy && !(command & 4) && !(cc & 1) && !asq && !acq && !others,
               "%scc %#x asq %#llx acq %#llx, %d events", busy ? "" : "IDLE, ", cc,
               (unsigned long long)asq, (unsigned long long)acq, others);
}

#define LEAK(name, want, fn, spoils)                \
    {                                               \
        "leak", name, want, fn, 0, 0, { 0 }, spoils \
    }

const struct attack attacks_leak[] = {
    LEAK("the VM's registers after a run", "ours, unchanged", vm_registers, false),
    LEAK("frames of a destroyed VM", "the same frames, zero", freed_frames, false),
    LEAK("donated memory taken back", "zero", reclaimed_frames, false),
    LEAK("a disk returned with DMA in flight", "stopped and reset", returned_device, true),
};
const size_t attacks_leak_n = COUNT(attacks_leak);
