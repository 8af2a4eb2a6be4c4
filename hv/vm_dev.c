/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices between the host and a VM. The device is silent (bus master off, reset) whenever its
 * registers or its stream are in nobody's hands; every step that may fail is undone.
 */
#include "vm.h"

#define RW_DEVICE (PT_READ | PT_WRITE | PT_DEVICE)

static uint32_t devices_busy;

bool vm_devices_enter(void)
{
    return !__atomic_exchange_n(&devices_busy, 1, __ATOMIC_ACQUIRE);
}

void vm_devices_leave(void)
{
    __atomic_store_n(&devices_busy, 0, __ATOMIC_RELEASE);
}

/* Where the registers come to lie: each range at a multiple of its own size. */
static int lay_out(struct vm_device *d, uint32_t index)
{
    uint64_t at = 0;

    d->gpa = TN_GUEST_DEVICES + index * VM_DEVICE_WINDOW;
    for (uint32_t i = 0; i < d->nbars; i++) {
        uint64_t len = d->bar[i].len;

        if (len > VM_DEVICE_WINDOW) {
            return -E2BIG;
        }
        at = (at + len - 1) & ~(len - 1); /* BARs are powers of two */
        if (at + len > VM_DEVICE_WINDOW) {
            return -E2BIG;
        }
        d->bar_gpa[i] = d->gpa + at;
        at += len;
    }
    d->size = at;
    return 0;
}

/* One range of registers into the VM's tree (NULL: the host's), or out of it. */
static int move_range(struct vm *vm, const struct vm_device *d, uint32_t i, bool in)
{
    uint64_t pa = d->bar[i].pa, len = d->bar[i].len;

    if (vm == NULL) {
        return in ? host_map(pa, len, RW_DEVICE) : host_unmap(pa, len);
    }
    return in ? space_map(&vm->cpu, d->bar_gpa[i], pa, len, RW_DEVICE)
              : space_unmap(&vm->cpu, d->bar_gpa[i], len);
}

/* All or nothing. */
static int move_registers(struct vm *vm, const struct vm_device *d, bool in)
{
    int err = 0;
    uint32_t i;

    for (i = 0; i < d->nbars && err == 0; i++) {
        err = move_range(vm, d, i, in);
    }
    if (err != 0) {
        for (i--; i-- > 0;) {
            (void)move_range(vm, d, i, !in);
        }
    }
    return err;
}

static void show_registers(const struct vm_device *d)
{
    int err = move_registers(NULL, d, true);

    if (err != 0) {
        port_log("device %x: registers not given back: error %u", d->bdf, (uint32_t)-err);
    }
}

/* pci_take() has succeeded: the function is reset and silent. */
static int move_in(struct vm *vm, struct vm_device *d, uint32_t index)
{
    struct iommu_domain *host = host_domain();
    int err = lay_out(d, index);

    if (err == 0) {
        err = move_registers(NULL, d, false);
    }
    if (err != 0) {
        return err;
    }
    err = iommu_detach(host, d->sid);
    if (err == 0) {
        err = iommu_attach(&vm->domain, d->sid);
        if (err == 0) {
            err = move_registers(vm, d, true);
            if (err == 0) {
                return 0;
            }
            (void)iommu_detach(&vm->domain, d->sid);
        }
        if (iommu_attach(host, d->sid) != 0) {
            port_log("device %x: not back in the host's domain: blocked", d->bdf);
        }
    }
    show_registers(d);
    return err;
}

/* Each step is marked, so that a return that the hardware stopped half-way can be tried again. */
static int give_back(struct vm *vm, struct vm_device *d)
{
    int err = pci_quiesce(d->bdf);

    if (err != 0) {
        return err;
    }
    if (d->attached) {
        (void)iommu_detach(&vm->domain, d->sid); /* complete: nothing of it is in flight now */
        d->attached = false;
    }
    if (d->mapped) {
        (void)move_registers(vm, d, false); /* whole leaves: cannot fail */
        d->mapped = false;
    }
    err = pci_give_back(d->bdf);
    if (err != 0) {
        return err;
    }
    show_registers(d);
    err = iommu_attach(host_domain(), d->sid);
    if (err != 0) {
        port_log("device %x: not in the host's domain: blocked", d->bdf);
    }
    port_lock(&vm->lock);
    memset(d, 0, sizeof(*d));
    port_unlock(&vm->lock);
    return 0;
}

static int take_into(struct vm *vm, uint32_t bdf)
{
    struct vm_device d = { .used = true, .attached = true, .mapped = true, .bdf = bdf };
    struct pci_func f;
    uint32_t index = 0;
    int err = 0;

    if (!pci_find(bdf, &f)) {
        return -ENOENT;
    }
    d.sid = f.sid;
    if (pci_why_not(bdf, &err) != NULL) {
        return err;
    }
    if (!vm->has_domain || iommu_domain_of(&hv.smmu.im, f.sid) != host_domain()) {
        return vm->has_domain ? -EBUSY : -EOPNOTSUPP;
    }
    while (index < VM_DEVICES && vm->device[index].used) {
        index++;
    }
    if (index == VM_DEVICES) {
        return -ENOSPC;
    }
    err = pci_take(bdf, vm->owner, d.bar, &d.nbars);
    if (err != 0) {
        return err;
    }
    err = move_in(vm, &d, index);
    if (err != 0) {
        int back = pci_give_back(bdf);
        if (back != 0) {
            port_log("device %x: not given back: error %u", bdf, (uint32_t)-back);
        }
        return err;
    }
    port_lock(&vm->lock);
    vm->device[index] = d;
    port_unlock(&vm->lock);
    /* Its first enable resets it once more: what the host had set up until its registers left its
     * trees is gone. Without that it may not stay. */
    err = pci_bus_master(bdf, true);
    if (err != 0) {
        int back = give_back(vm, &vm->device[index]);

        if (back != 0) {
            port_log("device %x: stays with vm %u, silent: error %u", bdf, vm->id, (uint32_t)-back);
        }
    }
    return err;
}

int vm_take(struct vm *vm, uint64_t bdf)
{
    uint32_t state;
    int err;

    if (bdf > 0xffff) {
        return -ENOENT;
    }
    if (!vm_devices_enter()) {
        return -EAGAIN;
    }
    err = vm_begin(vm, VM_STATE(TN_VM_OPEN) | VM_STATE(TN_VM_SEALED));
    if (err == 0) {
        state = vm->state;
        err = take_into(vm, (uint32_t)bdf);
        vm_end(vm, state);
    }
    vm_devices_leave();
    return err;
}

static struct vm_device *find_device(uint32_t bdf, struct vm **vm)
{
    for (uint32_t i = 0; i < HV_VMS; i++) {
        *vm = vm_slot(i);
        for (uint32_t k = 0; k < VM_DEVICES; k++) {
            struct vm_device *d = &(*vm)->device[k];
            if (d->used && d->bdf == bdf) {
                return d;
            }
        }
    }
    return NULL;
}

int vm_return(uint64_t bdf)
{
    struct vm_device *d = NULL;
    struct vm *vm = NULL;
    uint32_t state;
    int err;

    if (!vm_devices_enter()) {
        return -EAGAIN;
    }
    /* The list of devices changes only inside vm_devices_enter(). */
    if (bdf <= 0xffff) {
        d = find_device((uint32_t)bdf, &vm);
    }
    err = !d ? -ENOENT : vm_active(vm) ? -EBUSY : vm_begin(vm, ~0u);
    if (err == 0) {
        state = vm->state;
        err = give_back(vm, d);
        vm_end(vm, state);
    }
    vm_devices_leave();
    return err;
}
