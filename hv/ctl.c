/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The doorbell. A request is copied once, checked, dispatched by a table, and answered in place.
 * Nothing in its page is read a second time: the host may rewrite it from another CPU meanwhile.
 */
#include "ctl.h"
#include "sysreg.h"

static uint32_t slot_busy[TN_SLOTS];

bool ctl_put(struct ctl *c, const void *src, uint64_t len)
{
    if (len > TN_DATA_SIZE - c->len) {
        return false;
    }
    memcpy(c->data + c->len, src, len);
    c->len += len;
    return true;
}

/* ---- operations on one VM ---- */

/* It is counted in, or held with its lock, as the table below says. */
static int on_vm(uint32_t op, struct ctl *c, struct vm *vm)
{
    const uint64_t *arg = c->arg;
    struct tn_pending list[TN_GUEST_PENDING_MAX];
    struct tn_vm_stat st;
    uint32_t exit = 0;
    int err;

    switch (op) {
    case TN_VM_PREPARE:
        return vm_prepare(vm, &c->out[0], &c->out[1]);
    case TN_VM_POPULATE:
        return vm_populate(vm, arg[1], c->in, c->in_len);
    case TN_VM_SEAL:
        return vm_seal(vm, arg[1], arg[2]);
    case TN_VM_RUN:
        err = vm_run(vm, arg[1], arg[2], &exit, &c->out[1]);
        c->out[0] = exit;
        return err;
    case TN_VM_COMMIT:
        return vm_commit(vm, arg[1]);
    case TN_VM_REJECT: /* as the guest may do itself */
        return vm_cancel(vm, arg[1]);
    case TN_VM_CONVERT:
        return arg[3] > 1 || arg[4] > TN_INPLACE ? -EINVAL
                                                 : vm_convert(vm, arg[1], arg[2], arg[3], arg[4]);
    case TN_VM_MERGE:
        return vm_merge(vm, &c->out[0], &c->out[1]);
    case TN_VM_DESTROY:
        return vm_destroy(vm, &c->out[0], &c->out[1]);
    case TN_DEV_TAKE:
        return vm_take(vm, arg[0]);
    case TN_VM_STAT:
        vm_stat(vm, &st);
        return ctl_put(c, &st, sizeof(st)) ? 0 : -E2BIG;
    case TN_VM_CONSOLE:
        c->len = vm_console_get(vm, (char *)c->data, TN_DATA_SIZE);
        return 0;
    case TN_VM_PENDING:
        c->out[0] = vm_pending(vm, list);
        return ctl_put(c, list, c->out[0] * sizeof(list[0])) ? 0 : -E2BIG;
    case TN_VM_WINDOW:
        return vm_window(vm, arg[1], &c->out[0]);
    default:
        return -ENOSYS;
    }
}

static int op_create(struct ctl *c)
{
    return vm_create(c->arg[0], c->arg[1], c->arg[2], &c->out[0]);
}

static int op_return(struct ctl *c)
{
    return vm_return(c->arg[0]);
}

/* ---- dispatch ---- */

enum kind {
    PLAIN = 1, /* no VM */
    VM,        /* arg[which] is a VM: counted in */
    LOCKED,    /* the same, held with its lock */
    ANY,       /* the same, a dying one too */
    DOM,       /* arg[0] is a domain of the host's */
};
struct op {
    uint8_t kind, nargs, which;
    int (*plain)(struct ctl *c);
};
static const struct op ops[TN_OPS] = {
    [TN_HELLO] = { PLAIN, 0, 0, ctl_hello },
    [TN_INFO] = { PLAIN, 0, 0, ctl_info },
    [TN_LOG] = { PLAIN, 2, 0, ctl_log },
    [TN_VM_CREATE] = { PLAIN, 3, 0, op_create },
    [TN_VM_PREPARE] = { VM, 1, 0, NULL },
    [TN_VM_POPULATE] = { VM, 2, 0, NULL },
    [TN_VM_SEAL] = { VM, 3, 0, NULL },
    [TN_VM_RUN] = { VM, 3, 0, NULL },
    [TN_VM_STAT] = { ANY, 1, 0, NULL },
    [TN_VM_CONSOLE] = { LOCKED, 1, 0, NULL },
    [TN_VM_PENDING] = { LOCKED, 1, 0, NULL },
    [TN_VM_COMMIT] = { VM, 2, 0, NULL },
    [TN_VM_REJECT] = { VM, 2, 0, NULL },
    [TN_VM_CONVERT] = { VM, 5, 0, NULL },
    [TN_VM_MEM] = { PLAIN, 2, 0, ctl_vm_mem },
    [TN_VM_WINDOW] = { LOCKED, 2, 0, NULL },
    [TN_VM_DESTROY] = { VM, 1, 0, NULL },
    [TN_VM_MERGE] = { VM, 1, 0, NULL },
    [TN_DEV_LIST] = { PLAIN, 0, 0, ctl_dev_list },
    [TN_DEV_TAKE] = { VM, 2, 1, NULL },
    [TN_DEV_RETURN] = { PLAIN, 1, 0, op_return },
    [TN_HOST_MODE] = { PLAIN, 1, 0, ctl_host_mode },
    [TN_DOM_ALLOC] = { PLAIN, 0, 0, ctl_dom_alloc },
    [TN_DOM_FREE] = { DOM, 1, 0, NULL },
    [TN_DOM_ATTACH] = { PLAIN, 2, 0, ctl_dom_attach },
    [TN_DOM_DETACH] = { PLAIN, 2, 0, ctl_dom_detach },
    [TN_DOM_MAP] = { DOM, 5, 0, NULL },
    [TN_DOM_UNMAP] = { DOM, 3, 0, NULL },
    [TN_DOM_IOVA] = { DOM, 2, 0, NULL },
    [TN_MEM_DONATE] = { PLAIN, 2, 0, ctl_mem_donate },
    [TN_MEM_RECLAIM] = { PLAIN, 2, 0, ctl_mem_reclaim },
    [TN_FRAMES] = { PLAIN, 1, 0, ctl_frames },
    [TN_AUDIT] = { PLAIN, 0, 0, ctl_audit },
    [TN_EVENTS] = { PLAIN, 0, 0, ctl_events },
};

static int dispatch(uint32_t nr, struct ctl *c)
{
    const struct op *op = &ops[nr];
    struct vm *vm;
    int err;

    for (uint32_t i = op->nargs; i < 6; i++) {
        if (c->arg[i] != 0) {
            return -EINVAL;
        }
    }
    switch (op->kind) {
    case PLAIN:
        return op->plain(c);
    case DOM:
        return ctl_dom(nr, c);
    case VM:
        vm = vm_get(c->arg[op->which]);
        if (!vm) {
            return -ENOENT;
        }
        err = on_vm(nr, c, vm);
        vm_put(vm);
        return err;
    default:
        vm = vm_lock(c->arg[op->which], op->kind == ANY);
        if (!vm) {
            return -ENOENT;
        }
        err = on_vm(nr, c, vm);
        vm_unlock(vm);
        return err;
    }
}

static void answer(uint64_t slot_pa)
{
    struct tn_request *page = port_va(slot_pa), rq;
    uint8_t *data = (uint8_t *)page + TN_DATA_OFFSET;
    struct ctl c = { .in = data, .data = data };
    int err;

    /* EL2 maps the slots non-cacheable, as the host's Device mapping wants it: no maintenance, only
     * order. The host's stores came before the doorbell's. */
    dsb_sy();
    memcpy(&rq, page, sizeof(rq));
    memcpy(c.arg, rq.arg, sizeof(c.arg));
    c.in_len = rq.data_len;
    if (rq.magic != TN_CONTROL_MAGIC) {
        err = -EINVAL;
    } else if (rq.version != TN_CONTROL_VERSION) {
        c.out[0] = TN_CONTROL_VERSION;
        err = -EPROTO;
    } else if (rq.op >= TN_OPS || ops[rq.op].kind == 0) {
        err = -ENOSYS;
    } else if (c.in_len > TN_DATA_SIZE) {
        err = -EINVAL;
    } else {
        err = dispatch(rq.op, &c);
    }
    memcpy(page->out, c.out, sizeof(c.out));
    page->data_len = c.len;
    page->result = err;
    dsb_sy();
}

static int doorbell(uint64_t offset, bool write, unsigned size, uint64_t *val)
{
    uint64_t slot = offset / 8;

    (void)val;
    if (!write || size != 8 || offset % 8 != 0 || slot >= TN_SLOTS) {
        return -EFAULT;
    }
    /* Somebody else is being answered in this slot: its owner's business, nothing is touched. */
    if (__atomic_exchange_n(&slot_busy[slot], 1, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    answer(hv.control_pa + slot * TN_SLOT_SIZE);
    __atomic_store_n(&slot_busy[slot], 0, __ATOMIC_RELEASE);
    ctl_events_drain(false);
    return 0;
}

void ctl_init(void)
{
    /* The slots are EL2's, lent to the host: its map of them is right in every audit. */
    (void)frames_share(hv.control_pa, TN_SLOTS * TN_SLOT_SIZE >> PAGE_SHIFT, OWNER_HYP, OWNER_HOST);
    if (host_mmio_register(hv.control + TN_DOORBELL_OFFSET, PAGE_SIZE, doorbell, "doorbell") != 0) {
        port_panic("no room for the doorbell");
    }
}
