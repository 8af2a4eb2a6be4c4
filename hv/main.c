/* SPDX-License-Identifier: BSD-2-Clause */
/* From the boot loader to the host's first instruction. */
#include "boot.h"
#include "sysreg.h"
#include "vm.h"

#define HYP_LATER      ((uint64_t)4 << 20) /* kept for hyp_alloc after the table pages took the rest */
#define HYP_TABLES     16384ul             /* table pages at most: 64 MiB */
#define HOST_KERNEL    0x50000000ul
#define MPIDR_AFFINITY 0xff00fffffful

extern char image_start[], image_end[];

struct hv hv;

static uint64_t next, limit; /* what is left for hyp_alloc */

uint64_t hyp_alloc(uint64_t size, uint64_t align)
{
    uint64_t pa = (next + align - 1) & ~(align - 1);

    size = (size + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    if (pa > limit || size > limit - pa) {
        port_panic("EL2's own memory is used up at boot");
    }
    next = pa + size;
    memset((void *)pa, 0, size);
    port_clean((void *)pa, size);
    return pa;
}

static void init_memory(void)
{
    uint64_t pages = hv.ram_size >> PAGE_SHIFT;
    uint64_t log = hv.hyp_base + hv.hyp_size - LOG_BYTES;
    int err;

    next = (uint64_t)image_end;
    limit = log;
    frames_init(hv.ram_base, pages, (struct frame *)hyp_alloc(pages * sizeof(struct frame), 4096),
                OWNER_HYP);
    frames_set_owner(hv.host_base, hv.host_size >> PAGE_SHIFT, OWNER_HOST);
    hv.control_pa = hyp_alloc(TN_SLOTS * TN_SLOT_SIZE, TN_SLOT_SIZE);

    uint64_t tables = (limit - next - HYP_LATER) >> PAGE_SHIFT;

    tables = tables < HYP_TABLES ? tables : HYP_TABLES;

    limit -= tables << PAGE_SHIFT;
    err = frame_pool_add_tables(limit, tables);
    if (err == 0 && hv.pool_size != 0) {
        err = frame_pool_add_chunks(hv.pool_base, hv.pool_size >> CHUNK_SHIFT, true);
    }
    if (err != 0) {
        port_panic("memory pools");
    }
    port_log("memory: EL2 %lx + %lu MiB (%lu table pages), host %lx + %lu MiB, pool %lx + %lu MiB",
             hv.hyp_base, hv.hyp_size >> 20, tables, hv.host_base, hv.host_size >> 20, hv.pool_base,
             hv.pool_size >> 20);
}

static void init_cpus(void)
{
    uint64_t mpidr = rd(mpidr_el1);

    hv.cpus = dt.ncpus;
    for (uint32_t i = 0; i < hv.cpus; i++) {
        hv.cpu[i].id = i;
        hv.cpu[i].mpidr = dt.mpidr[i];
    }
    if (hv.cpu[0].mpidr != (mpidr & MPIDR_AFFINITY)) {
        port_panic("not booted on the first CPU of the device tree");
    }
    hv.cpu[0].online = true;
}

/* The host's kernel: an arm64 Image that the boot loader put into the host's memory. */
static uint64_t host_kernel(void)
{
    uint64_t pa = dt_number("tenon.kernel", HOST_KERNEL);

    if ((pa & 0x1fffff) != 0 || pa < hv.host_base || pa - hv.host_base >= hv.host_size ||
        *(const uint32_t *)(pa + 56) != 0x644d5241) {
        port_log("no arm64 Image at %lx", pa);
        port_panic("the host's kernel is not there");
    }
    return pa;
}

void hv_main(uint64_t dtb)
{
    uint64_t kernel;

    /* libfdt uses FP/SIMD registers: no trap of them (host_cpu_setup says the rest). */
    __asm__ volatile("msr cptr_el2, %0\n\tmsr tpidr_el2, %1\n\tisb" ::"r"(0x33fful),
                     "r"(&hv.cpu[0]));
    hv.hyp_base = (uint64_t)image_start - 0x200000; /* the 2 MiB below: work space for the tree */
    hv.hyp_size = HYP_SIZE;
    log_init(hv.hyp_base + hv.hyp_size - LOG_BYTES);
    port_log("Tenon at EL2, device tree at %lx", dtb);
    caps_read(&hv.caps);
    dt_read(dtb, (void *)hv.hyp_base, 0x200000);
    if (dt_option_is("tenon.panic", "off")) {
        log_set_panic_off();
    }
    init_memory();
    init_cpus();
    mmu_init();
    if (hv.uart != 0) {
        mmu_map_device(hv.uart, PAGE_SIZE);
        log_uart(hv.uart);
    }
    port_log("CPU: %u bits PA, VMID %u, BBM level %u, hardware AF %u dirty %u", hv.caps.pa_bits,
             hv.caps.vmid_bits, hv.caps.bbm, hv.caps.hafdbs_af, hv.caps.hafdbs_dirty);
    gic_init();
    host_init(dt_option_is("tenon.mode-host", "share") ? 1 : 2);
    its_init();
    vm_init();
    ctl_init();
    kernel = host_kernel();
    if (dt.initrd != 0 && (dt.initrd < hv.host_base || dt.initrd_end < dt.initrd ||
                           dt.initrd_end > hv.host_base + hv.host_size)) {
        port_panic("the initrd is not in the host's memory");
    }
    if (dtb < hv.host_base || dtb + 0x200000 > hv.host_base + hv.host_size) {
        dtb = hv.host_base + hv.host_size - 0x200000;
    }
    dt_write_host(dtb);
    host_cpu_setup();
    port_log("host starts at %lx, device tree at %lx", kernel, dtb);
    if (!dt_option_is("tenon.uart", "1")) {
        log_uart(0); /* it is the host's now */
    }
    host_enter(kernel, dtb);
}

_Noreturn void hv_cpu_main(struct cpu *c)
{
    struct cpu_caps caps;

    caps_read(&caps);
    /* All of EL2 relies on what the first CPU can do. */
    if (caps.pa_bits < hv.caps.pa_bits || caps.vmid_bits < hv.caps.vmid_bits ||
        caps.bbm != hv.caps.bbm || caps.hafdbs_dirty != hv.caps.hafdbs_dirty ||
        caps.pauth != hv.caps.pauth || caps.mte != hv.caps.mte) {
        port_panic("CPUs of different kinds");
    }
    host_cpu_setup();
    /* What another host had put into the caches or TLBs of this CPU meanwhile is not for this one. */
    __asm__ volatile("tlbi vmalls12e1\n\tic iallu\n\tdsb nsh\n\tisb" ::: "memory");
    port_log("CPU %u (%lx) enters the host at %lx", c->id, c->mpidr, c->entry);
    host_enter(c->entry, c->context);
}
