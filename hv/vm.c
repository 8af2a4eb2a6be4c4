/* SPDX-License-Identifier: BSD-2-Clause */
/* Protected VMs: their life, their memory, and what is pending. Contract in vm.h. */
#include "vm.h"
#include "sysreg.h"

#define PREPARE_CHUNKS 8u  /* chunks zeroed in one bounded step */
#define DYING_CHUNKS   64u /* chunks let go in one */
#define VM_IA_BITS     39u /* one root page, level 1 */

static struct vm vms[HV_VMS];

void vm_init(void)
{
    for (uint32_t i = 0; i < HV_VMS; i++) {
        vms[i].id = i;
        vms[i].owner = (owner_t)(OWNER_VM0 + i);
        vms[i].vmid = (uint16_t)(HV_VMID_HOST + 1 + i);
    }
}

struct vm *vm_slot(uint32_t id)
{
    return &vms[id];
}

struct vm *vm_lock(uint64_t id, bool dying)
{
    struct vm *vm = id < HV_VMS ? &vms[id] : NULL;

    if (!vm) {
        return NULL;
    }
    port_lock(&vm->lock);
    if (vm->state == TN_VM_FREE || (vm->state == TN_VM_DYING && !dying)) {
        port_unlock(&vm->lock);
        return NULL;
    }
    return vm;
}

void vm_unlock(struct vm *vm)
{
    port_unlock(&vm->lock);
}

/* Without the lock: whoever changes the VM looks at its state again, with the lock, after this; and
 * vm_destroy() looks at the users with the lock before it changes the state. */
struct vm *vm_get(uint64_t id)
{
    struct vm *vm = id < HV_VMS ? &vms[id] : NULL;

    if (vm) {
        (void)__atomic_add_fetch(&vm->users, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&vm->state, __ATOMIC_SEQ_CST) == TN_VM_FREE) {
            vm_put(vm);
            vm = NULL;
        }
    }
    return vm;
}

void vm_put(struct vm *vm)
{
    (void)__atomic_sub_fetch(&vm->users, 1, __ATOMIC_SEQ_CST);
}

bool vm_active(const struct vm *vm)
{
    return vm->running || rd(cntpct_el0) < vm->rests_at;
}

int vm_begin(struct vm *vm, uint32_t states)
{
    int err = 0;

    port_lock(&vm->lock);
    if (vm->changing || vm->running) {
        err = -EBUSY;
    } else if (!(states & VM_STATE(vm->state))) {
        err = -EPERM;
    } else {
        vm->changing = true;
    }
    port_unlock(&vm->lock);
    return err;
}

void vm_end(struct vm *vm, uint32_t state)
{
    port_lock(&vm->lock);
    vm->changing = false;
    vm->state = state;
    port_unlock(&vm->lock);
}

/* ---- create ---- */

/* The CPU's tree. In share mode the SMMU walks it too: the rules for both. */
static int tree_config(uint64_t flags, struct pt_config *cfg)
{
    const char *why = NULL;
    int err;

    *cfg = hv.host_cpu.pt.cfg;
    cfg->ia_bits = cfg->oa_bits < VM_IA_BITS ? cfg->oa_bits : VM_IA_BITS;
    cfg->start_level = 1;
    cfg->live = (struct pt_live){ .bbm = hv.caps.bbm,
                                  .hw_af = hv.caps.hafdbs_af,
                                  .hw_dirty = hv.caps.hafdbs_dirty,
                                  .stalls = true };
    if (!(flags & TN_VM_SHARE)) {
        return 0;
    }
    if (!hv.has_smmu) {
        return -EOPNOTSUPP;
    }
    cfg->live = pt_live_meet(cfg->live, hv.smmu.im.caps.live);
    if (!(flags & TN_VM_PRECUT) && cfg->live.bbm < 2) {
        port_log("vm: share mode refused: CPU break-before-make level %u, SMMU level %u: %s",
                 (uint32_t)hv.caps.bbm, (uint32_t)hv.smmu.im.caps.live.bbm,
                 "no hitless change of a shared tree (use --precut)");
        return -EOPNOTSUPP;
    }
    err = iommu_share_check(&hv.smmu.im, cfg, &why);
    if (err != 0) {
        port_log("vm: share mode refused: %s", why ? why : "?");
    }
    return err;
}

/* Trees and walkers; undone by free_trees() as far as they got. */
static int make_trees(struct vm *vm)
{
    struct pt_config cfg, io_cfg;
    bool share = vm->flags & TN_VM_SHARE;
    int err = tree_config(vm->flags, &cfg);

    if (err == 0) {
        err = space_init(&vm->cpu, SPACE_CPU, &cfg);
    }
    if (err != 0) {
        return err;
    }
    cpu_walker_init(&vm->walker, &vm->cpu.pt, vm->vmid);
    err = space_add_walker(&vm->cpu, &vm->walker.inv);
    if (err == 0 && hv.has_smmu && !share) {
        err = iommu_own_config(&hv.smmu.im, &io_cfg);
        if (err == 0) {
            err = space_init(&vm->io, SPACE_IO, &io_cfg);
        }
        if (err != 0) {
            memset(&vm->io, 0, sizeof(vm->io));
        }
    }
    if (vm->flags & TN_VM_PRECUT) {
        vm->cpu.max_leaf = vm->io.max_leaf = PAGE_SIZE;
    }
    if (err == 0 && hv.has_smmu) {
        err = iommu_domain_init(&hv.smmu.im, &vm->domain, vm_io_space(vm), vm->owner,
                                share ? vm->vmid : -1);
        vm->has_domain = err == 0;
    }
    return err;
}

/* Nothing walks the trees any more, and nothing of them is left in a TLB, when this returns. */
static void free_trees(struct vm *vm)
{
    struct pt_gather all;

    if (vm->has_domain) {
        (void)iommu_domain_fini(&vm->domain); /* no device is attached: cannot be busy */
        vm->has_domain = false;
    }
    if (vm->cpu.pt.root) {
        pt_gather_init(&all);
        all.all = true;
        vm->walker.inv.issue(&vm->walker.inv, &all);
        vm->walker.inv.wait(&vm->walker.inv);
        (void)space_remove_walker(&vm->cpu, &vm->walker.inv);
        space_destroy(&vm->cpu);
    }
    if (vm->io.pt.root) {
        space_destroy(&vm->io);
    }
    memset(&vm->cpu, 0, sizeof(vm->cpu));
    memset(&vm->io, 0, sizeof(vm->io));
}

static struct vm *slot_reserve(void)
{
    for (uint32_t i = 0; i < HV_VMS; i++) {
        struct vm *vm = &vms[i];
        bool mine;

        port_lock(&vm->lock);
        mine = vm->state == TN_VM_FREE && !vm->changing;
        if (mine) {
            vm->changing = true;
        }
        port_unlock(&vm->lock);
        if (mine) {
            return vm;
        }
    }
    return NULL;
}

/* Nothing of the last VM in this slot is left. */
static void forget(struct vm *vm)
{
    memset(&vm->flags, 0, sizeof(*vm) - offsetof(struct vm, flags));
}

int vm_create(uint64_t bytes, uint64_t flags, uint64_t token, uint64_t *id)
{
    struct vm *vm;
    int err;

    if (bytes == 0 || (bytes & (CHUNK_SIZE - 1)) || bytes > GMEM_MAX_CHUNKS * CHUNK_SIZE ||
        (flags & ~(uint64_t)(TN_VM_SHARE | TN_VM_PRECUT | TN_VM_SINGLE))) {
        return -EINVAL;
    }
    vm = slot_reserve();
    if (!vm) {
        return -ENOSPC;
    }
    forget(vm);
    vm->flags = (uint32_t)flags;
    vm->bytes = bytes;
    vm->owner_token = token;
    err = make_trees(vm);
    if (err == 0) {
        err = gmem_create(&vm->gm, vm->owner, bytes >> PAGE_SHIFT, !(flags & TN_VM_SINGLE));
    }
    if (err != 0) {
        free_trees(vm);
        vm_end(vm, TN_VM_FREE);
        return err;
    }
    vm->gm.uncached_window = true; /* the host maps windows through /dev/mem */
    *id = vm->id;
    vm_end(vm, TN_VM_CREATING);
    return 0;
}

/*
 * Every tree that follows the VM's memory: its own two, and the host's two for the windows. The host's
 * CPUs get a window when they first touch it, so one that nobody used costs no invalidation when it
 * closes; where devices walk the same tree, which cannot wait for that, it is there at once.
 */
static int bind_all(struct vm *vm)
{
    uint64_t n = vm->gm.npages;
    int err = space_bind(&vm->cpu, &vm->gm, VIEW_GUEST, TN_GUEST_RAM, 0, n,
                         PT_READ | PT_WRITE | PT_EXEC, true);

    if (err == 0 && vm->io.pt.root) {
        err =
            space_bind(&vm->io, &vm->gm, VIEW_GUEST, TN_GUEST_RAM, 0, n, PT_READ | PT_WRITE, true);
    }
    if (err == 0) {
        err = space_bind(&hv.host_cpu, &vm->gm, VIEW_HOST, 0, 0, n, PT_READ | PT_WRITE,
                         hv.host_mode == 1);
    }
    if (err == 0 && hv.host_io.pt.root) {
        err = space_bind(&hv.host_io, &vm->gm, VIEW_HOST, 0, 0, n, PT_READ | PT_WRITE, true);
    }
    return err;
}

static void unbind_all(struct vm *vm)
{
    if (hv.host_io.pt.root) {
        (void)space_unbind(&hv.host_io, &vm->gm);
    }
    (void)space_unbind(&hv.host_cpu, &vm->gm);
    if (vm->io.pt.root) {
        (void)space_unbind(&vm->io, &vm->gm);
    }
    (void)space_unbind(&vm->cpu, &vm->gm);
}

int vm_prepare(struct vm *vm, uint64_t *done, uint64_t *total)
{
    uint32_t next = TN_VM_CREATING;
    uint64_t scrubbed;
    int err = vm_begin(vm, VM_STATE(TN_VM_CREATING));

    if (err == -EPERM) {
        return -EALREADY;
    }
    if (err != 0) {
        return err;
    }
    *total = (vm->gm.npages / CHUNK_PAGES) * (vm->gm.separate ? 2 : 1);
    scrubbed = vm->gm.scrubbed;
    err = gmem_scrub(&vm->gm, &vm->cursor, PREPARE_CHUNKS);
    *done = vm->cursor;
    if (err > 0 || (err == 0 && vm->gm.scrubbed != scrubbed)) {
        err = -EAGAIN; /* mapping is a step of its own */
    } else if (err == 0 && !vm_devices_enter()) {
        err = -EAGAIN; /* the host's mode is about to change */
    } else if (err == 0) {
        err = bind_all(vm);
        vm->bound = err == 0;
        vm_devices_leave();
        if (err == 0) {
            *done = *total;
            next = TN_VM_OPEN;
        } else {
            unbind_all(vm);
        }
    }
    vm_end(vm, next);
    return err;
}

int vm_populate(struct vm *vm, uint64_t gpa, const void *src, uint64_t len)
{
    int err;

    if (len == 0) {
        return -EINVAL;
    }
    err = vm_begin(vm, VM_STATE(TN_VM_OPEN));
    if (err != 0) {
        return err;
    }
    err =
        vm_range_ok(vm, gpa, len) ? gmem_populate(&vm->gm, gpa - TN_GUEST_RAM, src, len) : -EFAULT;
    vm_end(vm, TN_VM_OPEN);
    return err;
}

int vm_seal(struct vm *vm, uint64_t entry, uint64_t x0)
{
    int err;

    if ((entry & 3) || !vm_range_ok(vm, entry, 4)) {
        return -EFAULT;
    }
    err = vm_begin(vm, VM_STATE(TN_VM_OPEN));
    if (err != 0) {
        return err;
    }
    gmem_seal(&vm->gm);
    vcpu_reset(&vm->vcpu, vm, entry, x0);
    vm_end(vm, TN_VM_SEALED);
    return 0;
}

int vm_run(struct vm *vm, uint64_t vcpu, uint64_t us, uint32_t *exit, uint64_t *value)
{
    int err = 0;

    if (vcpu != 0) {
        return -ENOENT;
    }
    port_lock(&vm->lock);
    if (vm->changing || vm->running) {
        err = -EBUSY;
    } else if (vm->state != TN_VM_SEALED) {
        err = -EPERM;
    } else {
        vm->running = true;
    }
    port_unlock(&vm->lock);
    if (err != 0) {
        return err;
    }
    err = vcpu_run(&vm->vcpu, us, exit, value);
    port_lock(&vm->lock);
    vm->running = false;
    vm->rests_at = 0;
    if (err == 0 && *exit == TN_EXIT_INTERRUPTED && *value == 0) {
        vm->rests_at = rd(cntpct_el0) + rd(cntfrq_el0) / 1000;
    }
    if (err == 0 && *exit == TN_EXIT_OFF) {
        vm->state = TN_VM_OFF;
    }
    port_unlock(&vm->lock);
    return err;
}

/* ---- destroy ---- */

/* Does the host hold a pin on a page that it was lent? Only those can be pinned when no device is
 * left. */
static bool windows_pinned(struct vm *vm)
{
    bool pinned = false;

    gmem_stop(&vm->gm);
    for (uint64_t page = 0, end; page < vm->gm.npages && !pinned; page = end) {
        end = gmem_run_end(&vm->gm, page);
        if (gmem_state(&vm->gm, page) == GMEM_PRIVATE) {
            continue;
        }
        for (uint64_t p = page; p < end && !pinned; p++) {
            struct frame f = frame_get(gmem_frame(&vm->gm, p));

            pinned = f.pins != 0 || f.borrower_pins != 0;
        }
    }
    gmem_go(&vm->gm);
    return pinned;
}

/* One bounded step; 1 while there is more. */
static int dying(struct vm *vm)
{
    int err;

    if (vm->bound) {
        unbind_all(vm);
        vm->bound = false;
        vm->cursor = 0;
        return 1;
    }
    err = gmem_destroy_step(&vm->gm, &vm->cursor, DYING_CHUNKS);
    if (err == 0) {
        free_trees(vm);
    }
    return err;
}

int vm_destroy(struct vm *vm, uint64_t *done, uint64_t *total)
{
    uint32_t next = TN_VM_DYING;
    int err = 0;

    port_lock(&vm->lock);
    if (vm_active(vm) || vm->changing || __atomic_load_n(&vm->users, __ATOMIC_SEQ_CST) != 1) {
        err = -EBUSY;
    }
    for (uint32_t i = 0; i < VM_DEVICES; i++) {
        if (vm->device[i].used) {
            err = -EBUSY;
        }
    }
    if (err == 0 && vm->bound && windows_pinned(vm)) {
        err = -EBUSY;
    }
    if (err == 0) {
        vm->changing = true;
        if (vm->state != TN_VM_DYING) {
            vm->cursor =
                0; /* until now it was the scrubbing's, which may have been left half-way */
        }
        vm->state = TN_VM_DYING; /* from here on nothing else is let in */
    }
    port_unlock(&vm->lock);
    if (err != 0) {
        return err;
    }
    *total = (vm->gm.npages / CHUNK_PAGES) * (vm->gm.separate ? 4 : 2); /* held, then freed */
    err = dying(vm);
    *done = err == 0 ? *total : vm->cursor;
    if (err == 0) {
        forget(vm);
        next = TN_VM_FREE;
    }
    vm_end(vm, next);
    return err > 0 ? -EAGAIN : err;
}
