/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control interface and the hypercalls of VMs (hv/ctl*.c, vm*.c, hvc.c, audit.c, host.c) in a
 * process: real frames, trees and SMMU driver over a fake SMMU; CPUs, PCI and the GIC are stubs.
 * The input is a list of requests, and of what a VM's program does while it runs.
 *
 * After each call the audit must find every table in agreement with who owns each frame, and a call
 * that was refused may have moved no frame. In the end all is taken back and freed, and then every
 * frame, table page and device is where it was in the beginning.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "port/hosted/hosted.h"
#include "tests/lib_smmu_fake.h"

#include "tests/fuzz/fuzz.h"

#include "hv/sysreg.h"
#undef rd
#undef wr
#undef isb
#undef dsb_sy
static uint64_t model_counter(const char *name);
#define rd(r)    model_counter(#r)
#define wr(r, v) ((void)(v))
#define isb()    ((void)0)
#define dsb_sy() ((void)0)

#include "hv/audit.c"    /* NOLINT(bugprone-suspicious-include) */
#include "hv/ctl.c"      /* NOLINT(bugprone-suspicious-include) */
#include "hv/ctl_dom.c"  /* NOLINT(bugprone-suspicious-include) */
#include "hv/ctl_info.c" /* NOLINT(bugprone-suspicious-include) */
#define is_ram host_is_ram
#define must   host_must
#include "hv/host.c"   /* NOLINT(bugprone-suspicious-include) */
#include "hv/hvc.c"    /* NOLINT(bugprone-suspicious-include) */
#include "hv/vm.c"     /* NOLINT(bugprone-suspicious-include) */
#include "hv/vm_dev.c" /* NOLINT(bugprone-suspicious-include) */
#include "hv/vm_mem.c" /* NOLINT(bugprone-suspicious-include) */

#define MIB  ((uint64_t)1 << 20)
#define HYP  (8 * MIB)
#define HOST (16 * MIB)
#define POOL (16 * MIB)
#define BARS ((uint64_t)0x10000000)

#define check(cond)                                                      \
    do {                                                                 \
        if (!(cond)) {                                                   \
            fprintf(stderr, "fuzz_ctl: line %d: %s\n", __LINE__, #cond); \
            abort();                                                     \
        }                                                                \
    } while (0)

/* ---- what is not there in a process ---- */

struct hv hv;
struct dt dt;
static uint64_t next_free;

static uint64_t model_counter(const char *name)
{
    static uint64_t now;
    return strcmp(name, "cntpct_el0") == 0   ? now += 5000 /* us: a VM rests for 1000 */
           : strcmp(name, "cntfrq_el0") == 0 ? 1000000
                                             : 0;
}

uint64_t hyp_alloc(uint64_t size, uint64_t align)
{
    uint64_t pa = (next_free + align - 1) & ~(align - 1);
    next_free = pa + size;
    check(next_free <= hv.hyp_base + HYP);
    return pa;
}

void mmu_map_device(uint64_t pa, uint64_t size)
{
    (void)pa;
    (void)size;
}

int host_mmio_register(uint64_t base, uint64_t size, mmio_fn fn, const char *name)
{
    (void)base;
    (void)size;
    (void)fn;
    (void)name;
    return 0;
}

uint64_t log_read(unsigned boot, uint64_t offset, char *buf, uint64_t len)
{
    (void)buf;
    return boot == 0 && offset == 0 ? len / 2 : 0;
}

void log_text(char *to, uint64_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(to, size, fmt, ap);
    va_end(ap);
}

static void nothing(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void at_once(struct invalidator *inv)
{
    (void)inv;
}

void cpu_walker_init(struct cpu_walker *w, const struct pt *pt, uint16_t vmid)
{
    *w = (struct cpu_walker){ .inv = { nothing, at_once },
                              .vttbr = pt->root | (uint64_t)vmid << 48 };
}

/* ---- PCI: three functions that can be taken, and a bridge ---- */

static struct pci_func func[4];

int pci_init(const struct pci_host *h)
{
    (void)h;
    for (uint32_t i = 0; i < 4; i++) {
        func[i] =
            (struct pci_func){ .bdf = (i + 1) << 3, .sid = (i + 1) << 3, .owner = OWNER_HOST };
        func[i].on_root = true;
    }
    func[3].bridge = true;
    return 0;
}

uint32_t pci_count(void)
{
    return 4;
}

bool pci_get(uint32_t i, struct pci_func *f)
{
    if (i < 4) {
        *f = func[i];
    }
    return i < 4;
}

static struct pci_func *find_func(uint32_t bdf)
{
    return bdf % 8 == 0 && bdf >= 8 && bdf < 40 ? &func[bdf / 8 - 1] : NULL;
}

bool pci_find(uint32_t bdf, struct pci_func *f)
{
    const struct pci_func *found = find_func(bdf);
    if (found != NULL) {
        *f = *found;
    }
    return found != NULL;
}

const char *pci_why_not(uint32_t bdf, int *err)
{
    const struct pci_func *f = find_func(bdf);
    int e = f == NULL ? -ENOENT : f->taken ? -EBUSY : f->bridge ? -ENODEV : 0;
    if (err != NULL) {
        *err = e;
    }
    return e == 0 ? NULL : "cannot";
}

/* Resets fail now and then: the input says when. */
static int reset(void)
{
    return fuzz_left != 0 && fuzz_below(16) == 1 ? -ETIMEDOUT : 0;
}

int pci_take(uint32_t bdf, owner_t owner, struct pci_range bars[PCI_BARS], uint32_t *nbars)
{
    struct pci_func *f = find_func(bdf);
    int err = reset();
    check(f != NULL && !f->taken && !f->bridge);
    if (err == 0) {
        f->taken = true;
        f->owner = owner;
        *nbars = 2;
        bars[0] = (struct pci_range){ BARS + bdf * 0x10000ul, 0x4000, 0 };
        bars[1] = (struct pci_range){ BARS + bdf * 0x10000ul + 0x8000, 0x1000, 2 };
    }
    return err;
}

int pci_give_back(uint32_t bdf)
{
    struct pci_func *f = find_func(bdf);
    int err = reset();
    check(f != NULL && f->taken);
    if (err == 0) {
        f->taken = false;
        f->owner = OWNER_HOST;
    }
    return err;
}

int pci_quiesce(uint32_t bdf)
{
    check(find_func(bdf) != NULL && find_func(bdf)->taken);
    return reset();
}

int pci_bus_master(uint32_t bdf, bool on)
{
    (void)on;
    check(find_func(bdf) != NULL && find_func(bdf)->taken);
    return reset();
}

int pci_cfg_access(uint64_t off, bool write, unsigned size, uint64_t *val)
{
    (void)off;
    (void)write;
    (void)size;
    *val = 0;
    return 0;
}

/* ---- arguments ---- */

/* Mostly something that means something, at times off by a little, at times anything. */
static uint64_t any_number(void)
{
    const uint64_t near[] = { 0,
                              1,
                              2,
                              PAGE_SIZE,
                              2 * MIB,
                              4 * MIB,
                              TN_GUEST_RAM,
                              TN_GUEST_RAM + 2 * MIB,
                              TN_GUEST_DEVICES,
                              hv.host_base,
                              hv.host_base + 4 * MIB,
                              hv.pool_base,
                              hv.hyp_base,
                              BARS,
                              8,
                              16,
                              24,
                              32 };
    uint64_t v = near[fuzz_below(sizeof(near) / sizeof(near[0]))];

    switch (fuzz_below(8)) {
    case 0:
        return v + fuzz_below(8) * PAGE_SIZE;
    case 1:
        return v - fuzz_below(8) * PAGE_SIZE;
    case 2:
        return v + fuzz_below(8);
    case 3:
        return fuzz_below(~0ul);
    default:
        return v;
    }
}

/* A VM's program: a few hypercalls of its own choice. */
int vcpu_run(struct vcpu *v, uint64_t limit_us, uint32_t *exit, uint64_t *value)
{
    (void)limit_us;
    *exit = TN_EXIT_INTERRUPTED;
    *value = fuzz_below(2);
    for (uint64_t n = fuzz_below(4); n > 0; n--) {
        v->x[0] = fuzz_below(4) == 0 ? any_number() : TN_GUEST_INFO + fuzz_below(10);
        for (unsigned i = 1; i < 5; i++) {
            v->x[i] = any_number();
        }
        if (hvc_guest(v, fuzz_below(8) == 1, exit, value)) {
            break;
        }
        uint64_t page = fuzz_below(1024);

        if (fuzz_below(2) == 1 &&
            space_fault(&v->vm->cpu, TN_GUEST_RAM + page * PAGE_SIZE, PT_READ)) {
            *exit = TN_EXIT_FAULT;
        }
    }
    return 0;
}

void vcpu_reset(struct vcpu *v, struct vm *vm, uint64_t entry, uint64_t x0)
{
    (void)entry;
    memset(v, 0, sizeof(*v));
    v->vm = vm;
    v->x[0] = x0;
}

/* ---- the machine ---- */

static struct smmu_fake fake;
static struct audit first;
static uint64_t tables_at_first;

static uint64_t host_left(void)
{
    uint64_t n = 0;
    for (uint64_t pa = hv.host_base; pa < hv.host_base + hv.host_size; pa += PAGE_SIZE) {
        n += frame_get(pa).owner == OWNER_HOST;
    }
    return n;
}

static void boot(void)
{
    static struct frame frames[(HYP + HOST + POOL) >> PAGE_SHIFT];

    hosted_log_quiet(true);
    fake_open(&fake);
    hv.ram_base = hv.hyp_base = hosted_alloc((HYP + HOST + POOL) >> PAGE_SHIFT, 4 * MIB);
    hv.ram_size = HYP + HOST + POOL;
    hv.hyp_size = HYP;
    hv.host_base = hv.hyp_base + HYP;
    hv.host_size = HOST;
    hv.pool_base = hv.host_base + HOST;
    hv.pool_size = POOL;
    hv.control = 0x0b000000;
    hv.ecam = 0x3f000000;
    hv.ecam_size = MIB;
    hv.smmu_base = FAKE_BASE;
    hv.has_smmu = true;
    hv.cpus = 2;
    hv.caps = (struct cpu_caps){
        .pa_bits = 40, .vmid_bits = 16, .bbm = 2, .hafdbs_af = true, .xnx = true
    };
    dt.has_pci = true;
    dt.allow[0] = (struct dt_range){ BARS, 4 * MIB, "PCI memory" };
    dt.nallow = 1;
    next_free = hv.hyp_base;
    frames_init(hv.ram_base, hv.ram_size >> PAGE_SHIFT, frames, OWNER_HYP);
    frames_set_owner(hv.host_base, hv.host_size >> PAGE_SHIFT, OWNER_HOST);
    hv.control_pa = hyp_alloc(TN_SLOTS * TN_SLOT_SIZE, TN_SLOT_SIZE);
    check(frame_pool_add_tables(hyp_alloc(4 * MIB, PAGE_SIZE), 1024) == 0);
    check(frame_pool_add_chunks(hv.pool_base, POOL >> CHUNK_SHIFT, true) == 0);
    host_init(2);
    hv.smmu.timeout_ns = 60000000000u;
    check(hv.has_smmu);
    vm_init();
    ctl_init();
}

static struct tn_request *slot(uint64_t nr)
{
    return port_va(hv.control_pa + nr * TN_SLOT_SIZE);
}

static int call(uint64_t nr, uint32_t op, const uint64_t arg[6])
{
    struct tn_request *rq = slot(nr);
    uint64_t one = 1;

    rq->magic = TN_CONTROL_MAGIC;
    rq->version = TN_CONTROL_VERSION;
    rq->op = op;
    memcpy(rq->arg, arg, sizeof(rq->arg));
    check(doorbell(nr * 8, true, 8, &one) == 0);
    return (int)rq->result;
}

static struct audit last;

static void judge(int result)
{
    struct audit now;

    audit_run(&now);
    if (now.violations != 0) {
        fprintf(stderr, "fuzz_ctl: %s\n", now.first);
        abort();
    }
    /* -EAGAIN has made a step; a device that does not reset is half-way, and says so. */
    if (result < 0 && result != -EAGAIN && result != -ETIMEDOUT) {
        check(now.digest == last.digest);
    }
    last = now;
}

/* ---- one request ---- */

/* What each argument is, so that most calls are about something that is there. */
static const char *const kinds[TN_OPS] = {
    [TN_LOG] = "nn",         [TN_VM_CREATE] = "lfn", [TN_VM_PREPARE] = "v",
    [TN_VM_POPULATE] = "vg", [TN_VM_SEAL] = "vgn",   [TN_VM_RUN] = "v0n",
    [TN_VM_STAT] = "v",      [TN_VM_CONSOLE] = "v",  [TN_VM_PENDING] = "v",
    [TN_VM_COMMIT] = "vn",   [TN_VM_REJECT] = "vn",  [TN_VM_CONVERT] = "vglbb",
    [TN_VM_MEM] = "vg",      [TN_VM_WINDOW] = "vg",  [TN_VM_DESTROY] = "v",
    [TN_VM_MERGE] = "v",     [TN_DEV_TAKE] = "dv",   [TN_DEV_RETURN] = "d",
    [TN_HOST_MODE] = "n",    [TN_DOM_FREE] = "o",    [TN_DOM_ATTACH] = "od",
    [TN_DOM_DETACH] = "od",  [TN_DOM_MAP] = "oihln", [TN_DOM_UNMAP] = "oil",
    [TN_DOM_IOVA] = "oi",    [TN_MEM_DONATE] = "cC", [TN_MEM_RECLAIM] = "cC",
    [TN_FRAMES] = "h",
};

static uint64_t argument(char kind)
{
    if (fuzz_below(16) == 1) {
        return any_number();
    }
    switch (kind) {
    case 'v': /* a VM */
    case 'o': /* a domain */
        return fuzz_below(8) == 1;
    case 'b':
        return fuzz_below(2);
    case 'd':
        return (1 + fuzz_below(4)) << 3;
    case 'g':
        return TN_GUEST_RAM + fuzz_below(1024) * PAGE_SIZE;
    case 'l':
        return (1 + fuzz_below(4)) << (fuzz_below(2) ? CHUNK_SHIFT : PAGE_SHIFT);
    case 'f':
        return fuzz_below(8);
    case 'h':
        return hv.host_base + fuzz_below(1024) * PAGE_SIZE;
    case 'i':
        return fuzz_below(1024) * PAGE_SIZE;
    case 'c':
        return hv.host_base + fuzz_below(8) * CHUNK_SIZE;
    case 'C':
        return (1 + fuzz_below(2)) * CHUNK_SIZE;
    case '0':
        return 0;
    default:
        return fuzz_below(4);
    }
}

static void request(void)
{
    uint64_t nr = fuzz_below(2), arg[6] = { 0 }, one = 1;
    uint32_t op = (uint32_t)fuzz_below(TN_OPS + 1);
    struct tn_request *rq = slot(nr);

    for (unsigned i = 0; op < TN_OPS && kinds[op] != NULL && kinds[op][i] != 0; i++) {
        arg[i] = argument(kinds[op][i]);
    }
    uint64_t odd = fuzz_below(32); /* a request that is malformed in some other way */

    if (odd == 1) {
        arg[fuzz_below(6)] = any_number();
    }
    rq->magic = TN_CONTROL_MAGIC ^ (odd == 2);
    rq->version = TN_CONTROL_VERSION + (odd == 3);
    rq->op = op;
    rq->data_len = odd == 4 ? any_number() : fuzz_below(5000);
    memcpy(rq->arg, arg, sizeof(arg));
    check(doorbell(nr * 8, true, 8, &one) == 0);
    int result = (int)rq->result;

    for (int more = 0; more < 40 && result == -EAGAIN; more++) {
        judge(result);
        result = call(nr, op, arg);
    }
    judge(result);
}

/* ---- the end of it all ---- */

static void finish_with(uint32_t op, const uint64_t arg[6], int also)
{
    int result;

    slot(0)->data_len = 4096;
    for (int tries = 0; (result = call(0, op, arg)) == -EAGAIN; tries++) {
        check(tries < 10000);
    }
    check(result == 0 || result == also);
}

static void finish(uint32_t op, uint64_t a, uint64_t b, int also)
{
    finish_with(op, (const uint64_t[6]){ a, b }, also);
}

#define CALL(op, ...) finish_with(op, (const uint64_t[6]){ __VA_ARGS__ }, 0)

/* What is there already when the requests begin. */
static void set_scene(uint64_t how)
{
    if (how & 1) {
        CALL(TN_VM_CREATE, 4 * MIB, how & 2 ? TN_VM_SHARE : how & 4 ? TN_VM_SINGLE : 0, 7);
        CALL(TN_VM_PREPARE, 0);
        CALL(TN_VM_POPULATE, 0, TN_GUEST_RAM);
        if (how & 8) {
            CALL(TN_VM_SEAL, 0, TN_GUEST_RAM, 0);
        }
    }
    if (how & 16) {
        CALL(TN_DOM_ALLOC, 0);
        CALL(TN_DOM_ATTACH, 0, 16);
        CALL(TN_DOM_MAP, 0, 0, hv.host_base, 4 * MIB, 3);
    }
    if (how & 32) {
        CALL(TN_MEM_DONATE, hv.host_base + 6 * MIB, 2 * MIB);
    }
}

static void clean_up(void)
{
    struct audit now;

    for (uint64_t d = 0; d < CTL_DOMAINS; d++) {
        for (uint64_t i = 1; i <= 4; i++) {
            struct space *s = ctl_dom_space((uint32_t)d);
            if (s != NULL && iommu_domain_of(&hv.smmu.im, (uint32_t)i << 3) == &doms[d].domain) {
                finish(TN_DOM_DETACH, d, i << 3, 0);
            }
        }
        finish(TN_DOM_FREE, d, 0, -ENOENT);
    }
    for (uint64_t i = 1; i <= 3; i++) {
        finish(TN_DEV_RETURN, i << 3, 0, -ENOENT);
    }
    for (uint64_t vm = 0; vm < HV_VMS; vm++) {
        finish(TN_VM_DESTROY, vm, 0, -ENOENT);
    }
    for (uint64_t pa = hv.host_base; pa < hv.host_base + hv.host_size; pa += 2 * MIB) {
        if (frame_get(pa).owner != OWNER_HOST) {
            finish(TN_MEM_RECLAIM, pa, 2 * MIB, 0);
        }
    }
    finish(TN_HOST_MODE, 2, 0, 0);
    check(host_left() == hv.host_size >> PAGE_SHIFT);
    space_merge(&hv.host_cpu, hv.host_base, hv.host_size);
    space_merge(&hv.host_cpu, BARS, 4 * MIB);
    space_merge(&hv.host_io, hv.host_base, hv.host_size);
    audit_run(&now);
    check(now.violations == 0);
    if (tables_at_first == 0) { /* second-level stream tables stay, once made */
        first = now;
        tables_at_first = frame_tables_free();
    }
    check(now.digest == first.digest);
    check(frame_tables_free() == tables_at_first && now.tables == first.tables);
    check(fake.wrong == NULL);
}

void fuzz_one(void)
{
    if (hv.cpus == 0) {
        boot();
        clean_up();
    }
    /* Resets fail only where the input says so: not now. */
    const uint8_t scene = fuzz_byte();
    size_t left = fuzz_left;

    fuzz_left = 0;
    set_scene(scene);
    fuzz_left = left;
    audit_run(&last);
    for (unsigned n = 0; fuzz_left != 0 && n < 32; n++) {
        request();
    }
    fuzz_left = 0;
    clean_up();
}
