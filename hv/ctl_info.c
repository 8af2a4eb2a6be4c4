/* SPDX-License-Identifier: BSD-2-Clause */
/* What the host may ask about: nothing here changes anything, and no content of memory is shown. */
#include "ctl.h"
#include "sysreg.h"

#define VERSION_TEXT     "0.1"
#define MEM_PAGES        65536u /* pages looked at in one call */
#define EVENT_RING       512u   /* a power of two */
#define EVENT_PER_SECOND 100u

int ctl_hello(struct ctl *c)
{
    c->out[0] = TN_CONTROL_VERSION;
    c->out[1] = hv.cpus;
    c->out[2] = HV_VMS;
    return 0;
}

/* MIDR_EL1: implementer [31:24], part [15:4]. */
static const char *cpu_name(void)
{
    uint64_t midr = rd(midr_el1);

    switch ((midr >> 24 & 0xff) << 12 | (midr >> 4 & 0xfff)) {
    case 0x41d08:
        return "Cortex-A72";
    case 0x41d0c:
        return "Neoverse-N1";
    case 0x41d49:
        return "Neoverse-N2";
    case 0x00051:
        return "QEMU max";
    }
    return "Arm";
}

static void space_numbers(struct space *s, uint64_t leaves[4], uint64_t *tables)
{
    struct pt_counts n;

    space_count(s, &n);
    memcpy(leaves, n.leaves, sizeof(n.leaves));
    *tables = n.tables;
}

int ctl_info(struct ctl *c)
{
    struct tn_info in = { 0 };

    log_text(in.version, sizeof(in.version), "%s", VERSION_TEXT);
    log_text(in.cpu, sizeof(in.cpu), "%s", cpu_name());
    log_text(in.share_why, sizeof(in.share_why), "%s", hv.share_why);
    in.share_live = hv.share_why[0] == 0;
    in.cpus = hv.cpus;
    in.vmid_bits = hv.caps.vmid_bits;
    in.cpu_bbm = hv.caps.bbm;
    in.cpu_hw_dirty = hv.caps.hafdbs_dirty;
    if (hv.has_smmu) {
        in.smmu_bbm = hv.smmu.im.caps.live.bbm;
        in.smmu_stage1 = hv.smmu.im.caps.stage1;
        in.smmu_stage2 = hv.smmu.im.caps.stage2;
        in.smmu_hw_dirty = hv.smmu.im.caps.live.hw_dirty;
        in.events = hv.smmu.im.events;
    }
    for (uint32_t i = 0; i < HV_VMS; i++) {
        in.vms += vm_slot(i)->state != TN_VM_FREE;
    }
    in.devices = pci_count();
    in.host_mode = hv.host_mode;
    in.ram_base = hv.ram_base;
    in.ram_bytes = hv.ram_size;
    in.host_base = hv.host_base;
    in.host_bytes = hv.host_size;
    in.pool_base = hv.pool_base;
    in.pool_bytes = hv.pool_size;
    in.hyp_bytes = hv.hyp_size;
    in.chunks_free = frame_chunks_free();
    in.tables_free = frame_tables_free();
    in.uptime_ns = port_now();
    space_numbers(&hv.host_cpu, in.host_cpu_leaves, &in.host_cpu_tables);
    space_numbers(&hv.host_io, in.host_io_leaves, &in.host_io_tables);
    return ctl_put(c, &in, sizeof(in)) ? 0 : -E2BIG;
}

int ctl_log(struct ctl *c)
{
    if (c->arg[0] > 1) {
        return -EINVAL;
    }
    c->len = log_read((unsigned)c->arg[0], c->arg[1], (char *)c->data, TN_DATA_SIZE);
    c->out[0] = c->arg[1] + c->len;
    return 0;
}

int ctl_dev_list(struct ctl *c)
{
    struct pci_func f;

    for (uint32_t i = 0; pci_get(i, &f); i++) {
        const char *why = pci_why_not(f.bdf, NULL);
        struct tn_device d = { .bdf = f.bdf,
                               .sid = f.sid,
                               .vendor = f.vendor,
                               .device = f.device,
                               .class_code = f.class_code,
                               .owner = f.owner,
                               .bridge = f.bridge,
                               .assignable = why == NULL };

        log_text(d.why_not, sizeof(d.why_not), "%s", why ? why : "");
        if (!ctl_put(c, &d, sizeof(d))) {
            return -E2BIG;
        }
    }
    return 0;
}

/* ---- memory ---- */

int ctl_frames(struct ctl *c)
{
    uint64_t pa = c->arg[0] ? c->arg[0] : frames_base(), last;
    struct frame f;

    if (pa & (PAGE_SIZE - 1)) {
        return -EINVAL;
    }
    while (frames_run(pa, &f, &last)) {
        struct tn_frame_run run = { .pa = pa,
                                    .frames = (last - pa + 1) >> PAGE_SHIFT,
                                    .owner = f.owner,
                                    .borrower = f.borrower,
                                    .pins = (uint16_t)(f.pins + f.borrower_pins),
                                    .state = (uint8_t)f.state,
                                    .flags = (uint8_t)f.flags };

        if (!ctl_put(c, &run, sizeof(run))) {
            c->out[0] = pa;
            return 0;
        }
        pa = last + 1;
    }
    c->out[0] = 0;
    return 0;
}

static uint8_t level_at(struct space *s, uint64_t ia)
{
    struct pt_leaf leaf;

    bool there = s->pt.root && space_lookup(s, ia, &leaf) == 0 && leaf.present;

    return there ? (uint8_t)leaf.level : 0xff;
}

static struct tn_mem_run describe(struct vm *vm, uint64_t page)
{
    uint64_t gpa = TN_GUEST_RAM + (page << PAGE_SHIFT), pa;
    enum gmem_state state = gmem_look(&vm->gm, page, &pa);
    struct frame f = frame_get(pa);

    return (struct tn_mem_run){ .gpa = gpa,
                                .bytes = PAGE_SIZE,
                                .pa = pa,
                                .state = (uint8_t)state,
                                .cpu_level = level_at(&vm->cpu, gpa),
                                .io_level = level_at(vm_io_space(vm), gpa),
                                .owner = f.owner,
                                .borrower = f.borrower,
                                .pins = (uint16_t)(f.pins + f.borrower_pins) };
}

static bool alike(const struct tn_mem_run *a, const struct tn_mem_run *b)
{
    return a->pa + a->bytes == b->pa && a->state == b->state && a->cpu_level == b->cpu_level &&
           a->io_level == b->io_level && a->owner == b->owner && a->borrower == b->borrower &&
           a->pins == b->pins;
}

/* A snapshot page by page: conversions beside it show before or after. */
int ctl_vm_mem(struct ctl *c)
{
    struct vm *vm = vm_lock(c->arg[0], false);
    struct tn_mem_run run = { 0 }, next;
    uint64_t page, end, gpa = c->arg[1] ? c->arg[1] : TN_GUEST_RAM;
    int err = 0;

    if (!vm) {
        return -ENOENT;
    }
    if (!vm->bound) {
        err = -EPERM;
    } else if ((gpa & (PAGE_SIZE - 1)) || !vm_range_ok(vm, gpa, PAGE_SIZE)) {
        err = gpa & (PAGE_SIZE - 1) ? -EINVAL : -EFAULT;
    }
    if (err != 0) {
        vm_unlock(vm);
        return err;
    }
    page = (gpa - TN_GUEST_RAM) >> PAGE_SHIFT;
    end = vm->gm.npages - page > MEM_PAGES ? page + MEM_PAGES : vm->gm.npages;
    for (; page < end; page++) {
        next = describe(vm, page);
        if (run.bytes && alike(&run, &next)) {
            run.bytes += PAGE_SIZE;
            continue;
        }
        if (run.bytes && !ctl_put(c, &run, sizeof(run))) {
            break; /* this run comes again with the next call */
        }
        run = next;
    }
    if (page == end && ctl_put(c, &run, sizeof(run))) {
        c->out[0] = end == vm->gm.npages ? 0 : TN_GUEST_RAM + (end << PAGE_SHIFT);
    } else {
        c->out[0] = run.gpa;
    }
    vm_unlock(vm);
    return 0;
}

/* ---- events ---- */

static struct {
    struct port_lock lock;
    struct tn_event ring[EVENT_RING];
    uint64_t in, out, lost, next;
} events;

static uint16_t stream_owner(uint32_t sid)
{
    struct pci_func f;

    for (uint32_t i = 0; pci_get(i, &f); i++) {
        if (f.sid == sid) {
            return f.owner;
        }
    }
    return OWNER_NONE;
}

void ctl_events_drain(bool now)
{
    struct iommu_event ev;
    uint64_t t = rd(cntpct_el0);

    if (!hv.has_smmu || (!now && t < __atomic_load_n(&events.next, __ATOMIC_RELAXED))) {
        return;
    }
    port_lock(&events.lock);
    events.next = t + rd(cntfrq_el0) / EVENT_PER_SECOND;
    for (uint32_t n = 0; n < EVENT_RING && hv.smmu.im.ops->next_event(&hv.smmu.im, &ev); n++) {
        struct tn_event *e = &events.ring[events.in++ % EVENT_RING];

        *e = (struct tn_event){ .sid = ev.sid,
                                .owner = stream_owner(ev.sid),
                                .type = ev.type,
                                .write = ev.write,
                                .addr = ev.addr,
                                .ipa = ev.ipa,
                                .time_ns = port_now() };
        log_text(e->what, sizeof(e->what), "%s", ev.what ? ev.what : "?");
        events.lost += ev.overflow;
        if (events.in - events.out > EVENT_RING) {
            events.out++;
            events.lost++;
        }
        if (events.in <= 16 || events.in % 4096 == 0) {
            port_log("SMMU event %lu: stream %x, %s at %lx", events.in, ev.sid, e->what, ev.addr);
        }
    }
    port_unlock(&events.lock);
}

int ctl_events(struct ctl *c)
{
    ctl_events_drain(true);
    port_lock(&events.lock);
    while (events.out < events.in &&
           ctl_put(c, &events.ring[events.out % EVENT_RING], sizeof(struct tn_event))) {
        events.out++;
    }
    c->out[0] = events.in;
    c->out[1] = events.lost;
    port_unlock(&events.lock);
    return 0;
}

int ctl_audit(struct ctl *c)
{
    struct audit a;
    uint64_t len = 0;

    if (!vm_devices_enter()) {
        return -EAGAIN; /* a device is between owners just now */
    }
    audit_run(&a);
    vm_devices_leave();
    c->out[0] = a.violations;
    c->out[1] = a.digest;
    c->out[2] = a.frames;
    c->out[3] = a.leaves;
    c->out[4] = a.tables;
    while (len < sizeof(a.first) && a.first[len]) {
        len++;
    }
    return ctl_put(c, a.first, len) ? 0 : -E2BIG;
}
