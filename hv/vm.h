/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protected VMs. A slot's number is the VM's id, its VMID is 2 + id, its frames' owner OWNER_VM0 + id.
 *
 * Concurrency: any number of CPUs may call for the same VM. vm_get() counts a user in and vm_put()
 * out; vm->lock covers the words of struct vm, and is never held across a conversion, a run or a
 * scrub. Those leave marks (running, request.committing, users) that others check under the lock:
 * destroy answers -EBUSY while any is set.
 */
#ifndef TENON_VM_H
#define TENON_VM_H

#include "hv.h"
#include "pci.h"
#include "vcpu.h"

#include <tenon/guest.h>

void *memset(void *dst, int c, size_t n);
void *memcpy(void *restrict dst, const void *restrict src, size_t n);

#define VM_CONSOLE       4096u /* a power of two */
#define VM_DEVICES       4u
#define VM_CONVERT_MAX   ((uint64_t)32 << 20) /* bytes in one request: bounds one commit */
#define VM_DEVICE_WINDOW 0x1000000ul          /* room for one device's registers */

struct vm_device {
    bool used;
    bool attached, mapped; /* false again on the way back */
    uint32_t bdf, sid;
    uint64_t gpa, size; /* all of its registers, from gpa on */
    struct pci_range bar[PCI_BARS];
    uint64_t bar_gpa[PCI_BARS];
    uint32_t nbars;
};

struct vm {
    struct port_lock lock;
    uint32_t id;
    uint32_t state;         /* enum tn_vm_state; TN_VM_RUNNING is answered from `running` */
    uint32_t users;         /* calls inside that change it */
    bool running, changing; /* changing: prepare, seal, device or destroy step under way */
    owner_t owner;
    uint16_t vmid;

    uint32_t flags; /* from here on: zero in a new one */
    uint64_t bytes, owner_token;
    bool bound, has_domain;
    struct gmem gm;
    struct space cpu, io; /* share mode: io is not used */
    struct cpu_walker walker;
    struct iommu_domain domain;
    uint64_t cursor; /* of scrub, then of destroy */

    struct vcpu vcpu;
    struct vm_device device[VM_DEVICES];
    uint64_t rests_at; /* counter: interrupted in its work, it counts as running until then */
    uint64_t faults;
    uint64_t report[TN_REPORTS];
    uint64_t console_in, console_out; /* counts of bytes */
    char console[VM_CONSOLE];
};

/* Counts a user in; NULL if there is no such VM. Any state but TN_VM_FREE. */
struct vm *vm_get(uint64_t id);
void vm_put(struct vm *vm);
/* With vm->lock held, for readers; NULL if there is none, or it is dying (unless `dying`). */
struct vm *vm_lock(uint64_t id, bool dying);
void vm_unlock(struct vm *vm);
struct vm *vm_slot(uint32_t id); /* any state, nothing held: audits, lists */
/* The tree that devices of the VM walk. */
static inline struct space *vm_io_space(struct vm *vm)
{
    return vm->flags & TN_VM_SHARE ? &vm->cpu : &vm->io;
}
static inline bool vm_range_ok(const struct vm *vm, uint64_t gpa, uint64_t bytes)
{
    return gpa >= TN_GUEST_RAM && gpa - TN_GUEST_RAM <= vm->bytes &&
           bytes <= vm->bytes - (gpa - TN_GUEST_RAM);
}
/* Marks one change of the VM under way (-EBUSY: another, or it runs; -EPERM: not in a state of the
 * mask, of VM_STATE bits), and ends it. */
#define VM_STATE(s) (1u << (unsigned)(s))
int vm_begin(struct vm *vm, uint32_t states);
/* Runs, or was interrupted within the last millisecond: its owner is just about to run it again. */
bool vm_active(const struct vm *vm);
void vm_end(struct vm *vm, uint32_t state);

/* Control operations on a VM from vm_get(); errors as control.h says. */
int vm_create(uint64_t bytes, uint64_t flags, uint64_t token, uint64_t *id);
int vm_prepare(struct vm *vm, uint64_t *done, uint64_t *total);
int vm_populate(struct vm *vm, uint64_t gpa, const void *src, uint64_t len);
int vm_seal(struct vm *vm, uint64_t entry, uint64_t x0);
int vm_run(struct vm *vm, uint64_t vcpu, uint64_t us, uint32_t *exit, uint64_t *value);
int vm_commit(struct vm *vm, uint64_t request);
int vm_convert(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace);
int vm_window(struct vm *vm, uint64_t gpa, uint64_t *pa);
int vm_merge(struct vm *vm, uint64_t *cpu_leaves, uint64_t *io_leaves);
int vm_destroy(struct vm *vm, uint64_t *done, uint64_t *total);
/* Of a VM from vm_lock(). */
void vm_stat(struct vm *vm, struct tn_vm_stat *st);
uint32_t vm_pending(struct vm *vm, struct tn_pending *out); /* oldest first */

/* vm_dev.c: devices of VMs. */
int vm_take(struct vm *vm, uint64_t bdf);
int vm_return(uint64_t bdf);
/* Devices change hands one at a time: false when another call is at it (-EAGAIN). */
bool vm_devices_enter(void);
void vm_devices_leave(void);

/* Guest side (hvc.c). */
int64_t vm_request(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace);
int vm_cancel(struct vm *vm, uint64_t request);
/* How many requests are pending, and which (bit id % 64). Asked often, while commits run: no lock. */
uint32_t vm_pending_mask(const struct vm *vm, uint64_t *mask);
void vm_console_put(struct vm *vm, const uint64_t words[5], uint64_t n);
uint64_t vm_console_get(struct vm *vm, char *buf, uint64_t len);

#endif
