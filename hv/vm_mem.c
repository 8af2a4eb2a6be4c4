/* SPDX-License-Identifier: BSD-2-Clause */
/* A VM's memory in life: what the guest asks for, what the owner commits, what is seen of it. */
#include "vm.h"

/* ---- conversions ---- */

static struct vm_request *request_find(struct vm *vm, uint64_t id)
{
    struct vm_request *r = &vm->request[id % TN_GUEST_PENDING_MAX];

    return id != 0 && r->id == id ? r : NULL;
}

static void request_free(struct vm *vm, struct vm_request *r)
{
    uint64_t mask = vm->pending_mask & ~(1ull << r->id % TN_GUEST_PENDING_MAX);

    memset(r, 0, sizeof(*r));
    vm->pending--;
    /* Whoever sees the bit clear sees all that the commit did. */
    __atomic_store_n(&vm->pending_mask, mask, __ATOMIC_RELEASE);
}

/* What the guest may ask for, and its owner before launch. */
static int check_convert(const struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared,
                         bool inplace)
{
    if (((gpa | bytes) & (PAGE_SIZE - 1)) || bytes == 0) {
        return -EINVAL;
    }
    if (!vm_range_ok(vm, gpa, bytes)) {
        return -EFAULT;
    }
    if (bytes > VM_CONVERT_MAX) {
        return -E2BIG;
    }
    if (to_shared && !inplace && !vm->gm.separate) {
        return -EINVAL;
    }
    return 0;
}

int64_t vm_request(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace)
{
    uint64_t page = (gpa - TN_GUEST_RAM) >> PAGE_SHIFT, n = bytes >> PAGE_SHIFT;
    struct vm_request *r;
    int64_t ret = check_convert(vm, gpa, bytes, to_shared, inplace);

    if (ret != 0) {
        return ret;
    }
    port_lock(&vm->lock);
    for (uint32_t i = 0; i < TN_GUEST_PENDING_MAX && ret == 0; i++) {
        r = &vm->request[i];
        if (r->id && page < r->page + r->n && r->page < page + n) {
            ret = -EBUSY;
        }
    }
    if (ret == 0 && vm->pending == TN_GUEST_PENDING_MAX) {
        ret = -EAGAIN;
    }
    if (ret == 0) {
        /* Numbers are never reused; one whose place is still taken is skipped. */
        while (vm->request[vm->next_id % TN_GUEST_PENDING_MAX].id) {
            vm->next_id++;
        }
        r = &vm->request[vm->next_id % TN_GUEST_PENDING_MAX];
        *r = (struct vm_request){
            .id = vm->next_id++, .page = page, .n = n, .to_shared = to_shared, .inplace = inplace
        };
        ret = (int64_t)r->id;
        vm->pending++;
        __atomic_store_n(&vm->pending_mask, vm->pending_mask | 1ull << r->id % TN_GUEST_PENDING_MAX,
                         __ATOMIC_RELEASE);
        vm->requests++;
    }
    port_unlock(&vm->lock);
    return ret;
}

int vm_cancel(struct vm *vm, uint64_t request)
{
    struct vm_request *r;
    int err = 0;

    port_lock(&vm->lock);
    r = request_find(vm, request);
    if (!r) {
        err = -ENOENT;
    } else if (r->committing) {
        err = -EBUSY;
    } else {
        request_free(vm, r);
    }
    port_unlock(&vm->lock);
    return err;
}

int vm_commit(struct vm *vm, uint64_t request)
{
    struct vm_request *r, copy;
    int err = 0;

    port_lock(&vm->lock);
    r = request_find(vm, request);
    if (vm->state != TN_VM_SEALED && vm->state != TN_VM_OFF) {
        err = -EPERM;
    } else if (!r) {
        err = -ENOENT;
    } else if (r->committing) {
        err = -EBUSY;
    } else {
        r->committing = true;
    }
    if (err == 0) {
        copy = *r;
    }
    port_unlock(&vm->lock);
    if (err != 0) {
        return err;
    }
    /* The vCPU runs on meanwhile; `users` keeps the VM, `committing` the request. */
    err = gmem_convert(&vm->gm, copy.page, copy.n, copy.to_shared,
                       copy.inplace ? GMEM_INPLACE : GMEM_KEEP);
    port_lock(&vm->lock);
    if (err == 0) {
        request_free(vm, r);
    } else {
        r->committing = false; /* still pending: commit again, or reject */
    }
    port_unlock(&vm->lock);
    return err;
}

int vm_convert(struct vm *vm, uint64_t gpa, uint64_t bytes, bool to_shared, bool inplace)
{
    uint64_t page = (gpa - TN_GUEST_RAM) >> PAGE_SHIFT, n = bytes >> PAGE_SHIFT, id = 0;
    int err = check_convert(vm, gpa, bytes, to_shared, inplace);

    if (err != 0) {
        return err;
    }
    err = vm_begin(vm, VM_STATE(TN_VM_OPEN));
    if (err == 0) {
        err = gmem_convert(&vm->gm, page, n, to_shared, inplace ? GMEM_INPLACE : GMEM_KEEP);
        vm_end(vm, TN_VM_OPEN);
        return err;
    }
    if (err == -EBUSY && !vm->gm.sealed) {
        return err; /* another call is changing it just now */
    }
    /* Launched: only what the guest asks for just now, exactly. */
    port_lock(&vm->lock);
    for (uint32_t i = 0; i < TN_GUEST_PENDING_MAX; i++) {
        const struct vm_request *r = &vm->request[i];
        if (r->id && r->page == page && r->n == n && r->to_shared == to_shared &&
            r->inplace == inplace) {
            id = r->id;
        }
    }
    port_unlock(&vm->lock);
    return id ? vm_commit(vm, id) : -EPERM;
}

uint32_t vm_pending(struct vm *vm, struct tn_pending *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < TN_GUEST_PENDING_MAX; i++) {
        const struct vm_request *r = &vm->request[i];
        uint32_t at = n;

        if (!r->id || r->committing) {
            continue;
        }
        while (at > 0 && out[at - 1].id > r->id) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = (struct tn_pending){ .id = r->id,
                                       .gpa = TN_GUEST_RAM + (r->page << PAGE_SHIFT),
                                       .bytes = r->n << PAGE_SHIFT,
                                       .to_shared = r->to_shared,
                                       .inplace = r->inplace };
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
    if (gmem_state(&vm->gm, page) == GMEM_PRIVATE) {
        return -EPERM;
    }
    *pa = gmem_frame(&vm->gm, page);
    return 0;
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
    st->pending = vm->pending;
    st->requests = vm->requests;
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
