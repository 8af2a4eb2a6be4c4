/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree that EL2 is started with, and the one that it gives the host (hv/dt.c). The input
 * edits a tree like QEMU's: properties changed, cut short, removed, nodes added and removed; then
 * single bytes of the blob. Either EL2 says that the tree makes no sense (it panics, before anything
 * of the host runs), or what it read is within bounds and the host's tree has nothing that is hidden.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfdt.h>

#include "tenon/port.h"

#include "tests/fuzz/fuzz.h"

static jmp_buf panicked;
_Noreturn static void model_panic(const char *why)
{
    (void)why;
    longjmp(panicked, 1);
}
static void model_log(const char *fmt, ...)
{
    (void)fmt;
}
#define port_panic      model_panic
#define port_log        model_log
#define port_clean(...) ((void)0)
#include "hv/dt.c" /* NOLINT(bugprone-suspicious-include) */
#undef port_panic
#undef port_log

struct hv hv;

#define BLOB 65536
static uint8_t blob[BLOB] __attribute__((aligned(8)));
static uint8_t work[BLOB] __attribute__((aligned(8)));
static uint8_t host[BLOB] __attribute__((aligned(8)));

#define check(cond)                                           \
    do {                                                      \
        if (!(cond)) {                                        \
            fprintf(stderr, "fuzz_dt: %s is false\n", #cond); \
            abort();                                          \
        }                                                     \
    } while (0)

/* ---- a tree as it should be ---- */

static void text(const char *name, const char *value)
{
    (void)fdt_property(blob, name, value, (int)strlen(value) + 1);
}

static void numbers(const char *name, unsigned n, const uint32_t *v)
{
    fdt32_t be[32];

    for (unsigned i = 0; i < n; i++) {
        be[i] = cpu_to_fdt32(v[i]);
    }
    (void)fdt_property(blob, name, be, (int)(n * 4));
}
#define NUMBERS(name, ...)                                               \
    do {                                                                 \
        const uint32_t list[] = { __VA_ARGS__ };                         \
        numbers(name, (unsigned)(sizeof(list) / sizeof(list[0])), list); \
    } while (0)

static void begin(const char *name, const char *compatible_with)
{
    (void)fdt_begin_node(blob, name);
    if (compatible_with != NULL) {
        text("compatible", compatible_with);
    }
}

static void end(void)
{
    (void)fdt_end_node(blob);
}

static void device(const char *name, const char *with, uint32_t base, uint32_t size)
{
    begin(name, with);
    NUMBERS("reg", 0, base, 0, size);
    end();
}

static void make_tree(void)
{
    static const char *const cpu_names[] = { "cpu@0", "cpu@1" };

    (void)fdt_create(blob, BLOB);
    (void)fdt_finish_reservemap(blob);
    begin("", "linux,dummy-virt");
    NUMBERS("#address-cells", 2);
    NUMBERS("#size-cells", 2);
    begin("chosen", NULL);
    text("bootargs", "console=ttyAMA0 tenon.host=896M tenon.mode-host=share");
    NUMBERS("linux,initrd-start", 0, 0x48200000);
    NUMBERS("linux,initrd-end", 0, 0x48300000);
    end();
    begin("aliases", NULL);
    text("serial0", "/pl011@9000000");
    end();
    begin("memory@40000000", NULL);
    text("device_type", "memory");
    NUMBERS("reg", 0, 0x40000000, 1, 0);
    end();
    begin("cpus", NULL);
    NUMBERS("#address-cells", 1);
    NUMBERS("#size-cells", 0);
    for (uint32_t i = 0; i < 2; i++) {
        begin(cpu_names[i], "arm,armv8");
        text("device_type", "cpu");
        NUMBERS("reg", i);
        end();
    }
    end();
    begin("intc@8000000", "arm,gic-v3");
    NUMBERS("#address-cells", 2);
    NUMBERS("#size-cells", 2);
    NUMBERS("reg", 0, 0x8000000, 0, 0x10000, 0, 0x80a0000, 0, 0xf60000);
    device("its@8080000", "arm,gic-v3-its", 0x8080000, 0x20000);
    end();
    begin("pcie@10000000", "pci-host-ecam-generic");
    NUMBERS("reg", 0x40, 0x10000000, 0, 0x10000000);
    NUMBERS("bus-range", 0, 255);
    NUMBERS("iommu-map", 0, 5, 0, 0x10000);
    NUMBERS("ranges", 0x1000000, 0, 0, 0, 0x3eff0000, 0, 0x10000, 0x2000000, 0, 0x10000000, 0,
            0x10000000, 0, 0x2eff0000, 0x3000000, 0x80, 0, 0x80, 0, 0x80, 0);
    end();
    device("pl011@9000000", "arm,pl011", 0x9000000, 0x1000);
    device("pl031@9010000", "arm,pl031", 0x9010000, 0x1000);
    device("smmuv3@9050000", "arm,smmu-v3", 0x9050000, 0x20000);
    device("fw-cfg@9020000", "qemu,fw-cfg-mmio", 0x9020000, 0x18);
    device("virtio_mmio@a000000", "virtio,mmio", 0xa000000, 0x200);
    begin("psci", "arm,psci-1.0");
    text("method", "hvc");
    end();
    end();
    check(fdt_finish(blob) == 0 && fdt_open_into(blob, blob, BLOB) == 0);
}

/* ---- edits ---- */

static int any_node(void)
{
    int node = 0;

    for (uint64_t n = fuzz_below(32); n > 0 && node >= 0; n--) {
        int next = fdt_next_node(blob, node, NULL);
        node = next < 0 ? 0 : next;
    }
    return node;
}

/* A name and its value: out of the blob before that moves under them. */
static void edit_property(int node, bool cut)
{
    int prop = fdt_first_property_offset(blob, node), len = 0;
    const char *name;
    char copy[64];
    uint8_t value[256];

    for (uint64_t n = fuzz_below(6); n > 0 && prop >= 0; n--) {
        prop = fdt_next_property_offset(blob, prop);
    }
    const void *old = prop < 0 ? NULL : fdt_getprop_by_offset(blob, prop, &name, &len);

    if (old == NULL) {
        return;
    }
    snprintf(copy, sizeof(copy), "%s", name);
    len = len > 200 ? 200 : len;
    memcpy(value, old, (size_t)len);
    if (cut) {
        len = (int)fuzz_below((uint64_t)len + 1);
    } else {
        uint64_t at = fuzz_below((uint64_t)len + 1), n = fuzz_below(9);

        for (uint64_t i = 0; i < n; i++) {
            value[at + i] = fuzz_byte();
        }
        len = at + n > (uint64_t)len ? (int)(at + n) : len;
    }
    (void)fdt_setprop(blob, node, copy, value, len);
}

/* True from the first edit of the bare blob on: libfdt writes only into sound trees. */
static bool poke(void)
{
    uint64_t size = fdt_totalsize(blob) < BLOB ? fdt_totalsize(blob) : BLOB;

    blob[fuzz_below(size)] = fuzz_byte();
    return true;
}

static bool edit(void)
{
    static const char *const withs[] = {
        "arm,gic-v3", "arm,gic-v3-its", "pci-host-ecam-generic", "arm,smmu-v3",
        "arm,pl011",  "arm,psci-0.2",   "qemu,fw-cfg-mmio",      "arm,pl061"
    };
    int node = any_node(), made;
    char name[16];

    switch (fuzz_below(6)) {
    case 0:
    case 1:
        edit_property(node, false);
        break;
    case 2:
        edit_property(node, true);
        break;
    case 3:
        if (node > 0) {
            (void)fdt_del_node(blob, node);
        }
        break;
    case 4:
        snprintf(name, sizeof(name), "n@%u", (unsigned)fuzz_below(200));
        made = fdt_add_subnode(blob, node, name);
        if (made >= 0) {
            const char *with = withs[fuzz_below(8)];

            (void)fdt_setprop(blob, made, "compatible", with, (int)strlen(with) + 1);
            (void)fdt_setprop_u64(blob, made, "reg", fuzz_below(~0ul));
            (void)fdt_appendprop_u64(blob, made, "reg", fuzz_below(1u << 24));
        }
        break;
    default:
        return poke();
    }
    return false;
}

/* ---- what must hold ---- */

static void what_was_read(void)
{
    uint64_t top = hv.ram_base + hv.ram_size;

    check(hv.ram_base == hv.hyp_base && top > hv.ram_base);
    check(hv.host_base >= hv.hyp_base + hv.hyp_size && hv.host_size >= CHUNK_SIZE);
    check(hv.host_base + hv.host_size <= top && hv.pool_base == hv.host_base + hv.host_size);
    check(hv.pool_base + hv.pool_size == top);
    check(dt.ncpus <= HV_CPUS && dt.nallow <= DT_RANGES && dt.pci.nwin <= PCI_WINDOWS);
}

static void what_the_host_gets(void)
{
    static const char *const hidden[] = { "arm,smmu-v3", "qemu,fw-cfg-mmio", "virtio,mmio" };
    int memories = 0;

    check(fdt_check_full(host, BLOB) == 0);
    for (unsigned i = 0; i < 3; i++) {
        for (int n = fdt_node_offset_by_compatible(host, -1, hidden[i]); n >= 0;
             n = fdt_node_offset_by_compatible(host, n, hidden[i])) {
            /* Below a node that stays (a CPU's, the PCI bridge's) it has no registers of its own. */
            check(fdt_parent_offset(host, n) != 0 ||
                  fdt_node_check_compatible(host, n, hidden[i]) != 0 || keep(n));
        }
    }
    for (int n = fdt_first_subnode(host, 0); n >= 0; n = fdt_next_subnode(host, n)) {
        const char *type = fdt_getprop(host, n, "device_type", NULL);
        memories += type != NULL && strcmp(type, "memory") == 0;
    }
    check(memories >= 1);
}

void fuzz_one(void)
{
    bool poked = false;

    make_tree();
    for (unsigned edits = 0; fuzz_left != 0 && edits < 40; edits++) {
        poked = poked ? poke() : edit();
    }
    hv = (struct hv){ .hyp_base = 0x40000000, .hyp_size = HYP_SIZE };
    dt = (struct dt){ 0 };
    if (setjmp(panicked) != 0) {
        return;
    }
    dt_read((uint64_t)(uintptr_t)blob, work, BLOB);
    what_was_read();
    dt_write_host((uint64_t)(uintptr_t)host);
    what_the_host_gets();
}
