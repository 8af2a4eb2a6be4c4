/* SPDX-License-Identifier: BSD-2-Clause */
/* Hypercalls of a VM: guest.h, and PSCI (DEN0022) for one vCPU. Every argument is the guest's. */
#include "vm.h"

#define PSCI_NOT_SUPPORTED ((uint64_t)-1)
#define PSCI_INVALID       ((uint64_t)-2)
#define PSCI_ALREADY_ON    ((uint64_t)-4)

static int64_t guest_device(struct vm *vm, struct vcpu *v, uint64_t index)
{
    struct pci_func f;
    const struct vm_device *d = NULL;

    for (uint32_t i = 0; i < VM_DEVICES; i++) {
        if (vm->device[i].used && index-- == 0) {
            d = &vm->device[i];
            break;
        }
    }
    if (!d || !pci_find(d->bdf, &f)) {
        return -ENOENT;
    }
    v->x[1] = d->gpa;
    v->x[2] = d->size;
    v->x[3] = f.class_code;
    return (int64_t)f.vendor | (int64_t)f.device << 16;
}

static uint32_t devices_of(const struct vm *vm)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < VM_DEVICES; i++) {
        n += vm->device[i].used;
    }
    return n;
}

static int64_t page_state(struct vm *vm, uint64_t gpa)
{
    if (!vm_range_ok(vm, gpa, 1)) {
        return -EFAULT;
    }
    return gmem_look(&vm->gm, (gpa - TN_GUEST_RAM) >> PAGE_SHIFT, NULL);
}

/* PSCI 1.0 with a single vCPU; -1 for the rest, as SMCCC (DEN0028) wants of an unknown call. */
static uint64_t psci(uint64_t function, uint64_t x1, bool *off)
{
    bool ignored;

    switch (function) {
    case 0x84000000: /* PSCI_VERSION */
        return 0x10000;
    case 0x80000000: /* SMCCC_VERSION */
        return 0x10001;
    case 0x84000008: /* SYSTEM_OFF */
    case 0x84000009: /* SYSTEM_RESET: the owner would have to create it anew */
    case 0x84000002: /* CPU_OFF of the last CPU */
        *off = true;
        return 0;
    case 0x84000003: /* CPU_ON */
    case 0xc4000003:
        return (x1 & 0xff00ffffff) == 0 ? PSCI_ALREADY_ON : PSCI_INVALID;
    case 0x84000004: /* AFFINITY_INFO */
    case 0xc4000004:
        return (x1 & 0xff00ffffff) == 0 ? 0 : PSCI_INVALID;
    case 0x84000006: /* MIGRATE_INFO_TYPE: no trusted OS */
        return 2;
    case 0x8400000a: /* PSCI_FEATURES */
        return psci(x1, 0x84000000, &ignored) == PSCI_NOT_SUPPORTED ? PSCI_NOT_SUPPORTED : 0;
    }
    return PSCI_NOT_SUPPORTED;
}

bool hvc_guest(struct vcpu *v, bool smc, uint32_t *exit, uint64_t *value)
{
    struct vm *vm = v->vm;
    uint64_t *x = v->x, function = x[0];
    bool off = false;

    switch (smc ? 0 : function) {
    case TN_GUEST_INFO:
        x[0] = 0;
        x[1] = vm->bytes;
        x[2] = devices_of(vm);
        x[3] = TN_CONTROL_VERSION;
        return false;
    case TN_GUEST_CONVERT:
        if (x[3] > 1 || x[4] > 1) {
            x[0] = (uint64_t)-EINVAL;
        } else {
            x[0] = (uint64_t)vm_request(vm, x[1], x[2], x[3], x[4]);
        }
        return false;
    case TN_GUEST_PENDING:
        x[0] = vm_pending_mask(vm, &x[1]);
        return false;
    case TN_GUEST_CANCEL:
        x[0] = (uint64_t)(int64_t)vm_cancel(vm, x[1]);
        return false;
    case TN_GUEST_CONSOLE:
        if (x[1] == 0 || x[1] > 40) {
            x[0] = (uint64_t)-EINVAL;
        } else {
            vm_console_put(vm, &x[2], x[1]);
            x[0] = 0;
        }
        return false;
    case TN_GUEST_DEVICE:
        x[0] = (uint64_t)guest_device(vm, v, x[1]);
        return false;
    case TN_GUEST_REPORT:
        if (x[1] >= TN_REPORTS) {
            x[0] = (uint64_t)-EINVAL;
        } else {
            vm->report[x[1]] = x[2];
            x[0] = 0;
        }
        return false;
    case TN_GUEST_STATE:
        x[0] = (uint64_t)page_state(vm, x[1]);
        return false;
    case TN_GUEST_YIELD:
        x[0] = 0;
        *exit = TN_EXIT_YIELD;
        *value = x[1];
        return true;
    }
    *value = x[1];
    x[0] = psci(function, x[1], &off);
    if (off) {
        *exit = TN_EXIT_OFF;
    }
    return off;
}
