/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory in life: what the guest asks for, what the owner commits, what is seen of it. */
#include "vm.h"

/* ---- conversions ---- */

/* What the guest may ask for, and its owner before launch. */
static int check_convert(const struct vm *vm, uint64_t gpa, uint64_t bytes)
{
    if (((gpa | bytes) & (PAGE_SIZE - 1)) || bytes == 0) {
        return -EINVAL;
    }
    if (!vm_range_ok(vm, gpa, bytes)) {
        return -EFAULT;
    }
    return bytes > VM_CONVERT_MAX ? -E2BIG : 0;
}

static enum gmem_policy policy_of(bool inplace)
{
    return inplace ? GMEM_INPLACE : GMEM_KEEP;
}

int64_t vm_request(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace)
{
    int err = check_convert(vm, gpa, bytes);

    return err != 0 ? err
                    : gmem_request(&vm->gm, (gpa - TN_GUEST_RAM) >> PAGE_SHIFT, bytes >> PAGE_SHIFT,
                                   to_shared, policy_of(inplace));
}

int vm_cancel(struct vm *vm, uint64_t request)
{
    return gmem_request_end(&vm->gm, request, false);
}

int vm_commit(struct vm *vm, uint64_t request)
{
    port_lock(&vm->lock);
    bool launched = vm->state == TN_VM_SEALED || vm->state == TN_VM_OFF;

    port_unlock(&vm->lock);
    /* The vCPU runs on meanwhile; `users` keeps the VM. */
    return launched ? gmem_request_end(&vm->gm, request, true) : -EPERM;
}

int vm_convert(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace)
{
    uint64_t page = (gpa - TN_GUEST_RAM) >> PAGE_SHIFT, n = bytes >> PAGE_SHIFT;
    struct gmem_request r = { 0 };
    int err = check_convert(vm, gpa, bytes);

    if (err != 0) {
        return err;
    }
    err = vm_begin(vm, VM_STATE(TN_VM_OPEN));
    if (err == 0) {
        err = gmem_convert(&vm->gm, page, n, to_shared, policy_of(inplace));
        vm_end(vm, TN_VM_OPEN);
        return err;
    }
    if (err == -EBUSY && !vm->gm.sealed) {
        return err; /* another call is changing it just now */
    }
    /* Launched: only what the guest asks for just now, exactly. */
    while (gmem_request_next(&vm->gm, &r)) {
        if (r.page == page && r.n == n && r.to_shared == to_shared &&
            r.policy == policy_of(inplace)) {
            return vm_commit(vm, r.id);
        }
    }
    return -EPERM;
}

uint32_t vm_pending(struct vm *vm, struct tn_pending *out)
{
    struct gmem_request r = { 0 };
    uint32_t n = 0;

    while (n < TN_GUEST_PENDING_MAX && gmem_request_next(&vm->gm, &r)) {
        out[n++] = (struct tn_pending){ .id = r.id,
                                        .gpa = TN_GUEST_RAM + (r.page << PAGE_SHIFT),
                                        .bytes = r.n << PAGE_SHIFT,
                                        .to_shared = r.to_shared,
                                        .inplace = r.policy == GMEM_INPLACE };
    }
    return n;
}

uint32_t vm_pending_mask(const struct vm *vm, uint64_t *mask)
{
    uint32_t n = 0;

    *mask = __atomic_load_n(&vm->gm.pending, __ATOMIC_ACQUIRE);
    for (uint64_t left = *mask; left != 0; left &= left - 1) {
        n++;
    }
    return n;
}

int vm_window(struct vm *vm, uint64_t gpa, uint64_t *pa)
{
    uint64_t page = (gpa - TN_GUEST_RAM) >> PAGE_SHIFT;

    if ((gpa & (PAGE_SIZE - 1))) {
        return -EINVAL;
    }
    if (!vm_range_ok(vm, gpa, PAGE_SIZE)) {
        return -EFAULT;
    }
    return gmem_look(&vm->gm, page, pa) == GMEM_PRIVATE ? -EPERM : 0;
}

static uint64_t leaves_of(struct space *s)
{
    struct pt_counts n;

    space_count(s, &n);
    return n.leaves[0] + n.leaves[1] + n.leaves[2] + n.leaves[3];
}

int vm_merge(struct vm *vm, uint64_t *cpu_leaves, uint64_t *io_leaves)
{
    port_lock(&vm->lock);
    if (!vm->bound || vm->state == TN_VM_DYING) {
        port_unlock(&vm->lock);
        return -EPERM;
    }
    port_unlock(&vm->lock);
    space_merge(&vm->cpu, TN_GUEST_RAM, vm->bytes);
    if (vm->io.pt.root) {
        space_merge(&vm->io, TN_GUEST_RAM, vm->bytes);
    }
    *cpu_leaves = leaves_of(&vm->cpu);
    *io_leaves = leaves_of(vm_io_space(vm));
    return 0;
}

/* ---- what is seen of it ---- */

void vm_stat(struct vm *vm, struct tn_vm_stat *st)
{
    struct pt_counts cpu = { 0 }, io = { 0 };
    uint64_t mask;

    /* Our use of the VM keeps it from dying from here on, but it may be at that already. */
    if (vm->state != TN_VM_DYING) {
        space_count(&vm->cpu, &cpu);
        space_count(vm_io_space(vm), &io);
    }
    memset(st, 0, sizeof(*st));
    st->id = vm->id;
    st->state = vm->running ? TN_VM_RUNNING : vm->state;
    st->flags = vm->flags;
    st->vcpus = 1;
    st->bytes = vm->bytes;
    st->conversions = vm->gm.converted;
    st->conversions_inplace = vm->gm.converted_inplace;
    st->pending = vm_pending_mask(vm, &mask);
    st->requests = vm->gm.requests;
    for (uint32_t i = 0; i < 4; i++) {
        st->cpu_leaves[i] = cpu.leaves[i];
        st->io_leaves[i] = io.leaves[i];
    }
    st->cpu_tables = cpu.tables;
    st->io_tables = io.tables;
    st->cuts = vm->cpu.cuts + vm->io.cuts;
    st->merges = vm->cpu.merges + vm->io.merges;
    st->refreshes = vm->cpu.refreshes + vm->io.refreshes;
    st->faults = vm->faults;
    st->exits = vm->vcpu.exits;
    st->owner = vm->owner_token;
    st->vmid = vm->vmid;
    for (uint32_t i = 0; i < VM_DEVICES; i++) {
        st->devices += vm->device[i].used;
    }
    memcpy(st->report, vm->report, sizeof(st->report));
}

void vm_console_put(struct vm *vm, const uint64_t words[5], uint64_t n)
{
    port_lock(&vm->lock);
    for (uint64_t i = 0; i < n; i++) {
        vm->console[vm->console_in++ % VM_CONSOLE] = (char)(words[i / 8] >> i % 8 * 8);
        if (vm->console_in - vm->console_out > VM_CONSOLE) {
            vm->console_out++; /* nobody reads: the oldest goes */
        }
    }
    port_unlock(&vm->lock);
}

uint64_t vm_console_get(struct vm *vm, char *buf, uint64_t len)
{
    uint64_t n = 0;

    while (n < len && vm->console_out < vm->console_in) {
        buf[n++] = vm->console[vm->console_out++ % VM_CONSOLE];
    }
    return n;
}
