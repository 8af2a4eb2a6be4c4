/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree (Devicetree Specification 0.4): read once for EL2, then cut down to what the host
 * may know. Only nodes on the allow-list stay. All of this runs before the host does.
 */
#include "boot.h"

#include <libfdt.h>

size_t strnlen(const char *s, size_t n); /* POSIX: not in the C11 header */

#define CONTROL_BASE 0x0b000000ul /* not used by anything on QEMU's virt machine */

struct dt dt;
static void *fdt;

/* What the host keeps, by compatible or, where there is none, by name. `map`: its registers are the
 * host's own. */
static const struct {
    const char *compatible;
    bool map;
} allowed[] = {
    { "chosen", false },          { "cpus", false },
    { "aliases", false },         { "arm,pl011", true },
    { "arm,pl031", true },        { "arm,pl061", true },
    { "arm,gic-v3", false },      { "pci-host-ecam-generic", false },
    { "arm,armv8-timer", false }, { "arm,psci-1.0", false },
    { "arm,psci-0.2", false },    { "fixed-clock", false },
    { "gpio-keys", false },
};

static int must(int ret, const char *what)
{
    if (ret < 0) {
        port_log("device tree: %s: %s", what, fdt_strerror(ret));
        port_panic("device tree");
    }
    return ret;
}

static bool compatible(int node, const char *with)
{
    return fdt_node_check_compatible(fdt, node, with) == 0;
}

static int find(const char *with)
{
    return fdt_node_offset_by_compatible(fdt, -1, with);
}

static uint64_t cells(const fdt32_t *p, int n)
{
    uint64_t v = 0;

    for (int i = 0; i < n; i++) {
        v = v << 32 | fdt32_to_cpu(p[i]);
    }
    return v;
}

/* The i-th pair of `reg`. All buses used here have an identity `ranges`. */
static bool reg(int node, int parent, int i, uint64_t *base, uint64_t *size)
{
    int len = 0;
    int na = fdt_address_cells(fdt, parent), ns = fdt_size_cells(fdt, parent);
    const fdt32_t *p = fdt_getprop(fdt, node, "reg", &len);

    if (p == NULL || na < 1 || na > 2 || ns < 0 || ns > 2 || (i + 1) * (na + ns) * 4 > len) {
        return false;
    }
    p += i * (na + ns);
    *base = cells(p, na);
    *size = cells(p + na, ns);
    return true;
}

void dt_allow(uint64_t base, uint64_t size, const char *what)
{
    if (dt.nallow == DT_RANGES) {
        port_panic("device tree: too many device ranges");
    }
    dt.allow[dt.nallow++] = (struct dt_range){ base, size, what };
}

/* Value of `name=` on the command line; false if it is not there. Cut to fit. */
static bool dt_option(const char *name, char *value, uint64_t size)
{
    int len = 0;
    const char *p = fdt_getprop(fdt, fdt_path_offset(fdt, "/chosen"), "bootargs", &len);
    size_t n = strlen(name);

    if (p != NULL && (len == 0 || p[len - 1] != '\0')) {
        return false;
    }
    for (; p != NULL && *p != '\0'; p++) {
        if (strnlen(p, n + 1) > n && memcmp(p, name, n) == 0 && p[n] == '=') {
            uint64_t k = 0;

            for (p += n + 1; *p != '\0' && *p != ' ' && k + 1 < size; p++) {
                value[k++] = *p;
            }
            value[k] = '\0';
            return true;
        }
        p = strchr(p, ' ');
        if (p == NULL) {
            break;
        }
    }
    return false;
}

bool dt_option_is(const char *name, const char *value)
{
    char text[32];

    return dt_option(name, text, sizeof(text)) && strcmp(text, value) == 0;
}

uint64_t dt_number(const char *name, uint64_t otherwise)
{
    char text[32], *p = text;
    uint64_t v = 0, base = 10;

    if (!dt_option(name, text, sizeof(text))) {
        return otherwise;
    }
    if (p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    for (;; p++) {
        unsigned c = (unsigned)*p | 0x20;
        unsigned digit = c >= 'a' ? c - 'a' + 10 : c - '0';

        if (digit >= base) {
            return v << (c == 'g' ? 30 : c == 'm' ? 20 : c == 'k' ? 10 : 0);
        }
        v = v * base + digit;
    }
}

static void read_memory(void)
{
    int node;

    fdt_for_each_subnode(node, fdt, 0)
    {
        const char *type = fdt_getprop(fdt, node, "device_type", NULL);
        uint64_t base, size;

        if (type == NULL || strcmp(type, "memory") != 0) {
            continue;
        }
        for (int i = 0; reg(node, 0, i, &base, &size); i++) {
            if (base == hv.hyp_base) {
                hv.ram_base = base;
                hv.ram_size = size & ~(CHUNK_SIZE - 1);
            }
        }
    }
    hv.host_base = hv.hyp_base + hv.hyp_size;
    hv.host_size = dt_number("tenon.host", 896ul << 20) & ~(CHUNK_SIZE - 1);
    hv.pool_base = hv.host_base + hv.host_size;
    if (hv.host_size < CHUNK_SIZE || hv.ram_size < hv.hyp_size ||
        hv.host_size > hv.ram_size - hv.hyp_size) {
        port_log("RAM %lx at %lx, %lx wanted for the host", hv.ram_size, hv.ram_base, hv.host_size);
        port_panic("RAM: too small, or not where EL2 was loaded");
    }
    hv.pool_size = hv.ram_base + hv.ram_size - hv.pool_base;
}

static void read_gic(void)
{
    int node = must(find("arm,gic-v3"), "arm,gic-v3");
    int its = fdt_first_subnode(fdt, node);
    int len = 0;
    const fdt32_t *stride = fdt_getprop(fdt, node, "redistributor-stride", &len);

    if (!reg(node, 0, 0, &hv.gicd, &dt.gicd_size) || !reg(node, 0, 1, &hv.gicr, &hv.gicr_size)) {
        port_panic("device tree: GIC without registers");
    }
    dt.gicr_stride = stride != NULL && len >= 4 ? cells(stride, len / 4 > 1 ? 2 : 1) : 0;
    for (; its >= 0; its = fdt_next_subnode(fdt, its)) {
        if (compatible(its, "arm,gic-v3-its") && hv.its == 0 &&
            !reg(its, node, 0, &hv.its, &dt.its_size)) {
            port_panic("device tree: ITS without registers");
        }
    }
}

static void read_pci(void)
{
    int node = find("pci-host-ecam-generic");
    int len = 0;

    if (node < 0 || !reg(node, 0, 0, &hv.ecam, &hv.ecam_size)) {
        return;
    }
    dt.has_pci = true;
    dt.pci.ecam = hv.ecam;
    dt.pci.ecam_size = hv.ecam_size;
    dt.pci.bus_last = (uint8_t)((hv.ecam_size >> 20) - 1);

    const fdt32_t *p = fdt_getprop(fdt, node, "bus-range", &len);

    if (p != NULL && len >= 8) {
        dt.pci.bus_first = (uint8_t)fdt32_to_cpu(p[0]);
        dt.pci.bus_last = (uint8_t)fdt32_to_cpu(p[1]);
    }
    p = fdt_getprop(fdt, node, "iommu-map", &len);
    if (p != NULL && len >= 16) {
        dt.pci.sid_base = fdt32_to_cpu(p[2]) - fdt32_to_cpu(p[0]);
    }
    /* ranges: 3 cells of PCI address, 2 of CPU address, 2 of size (IEEE 1275 PCI binding). */
    p = fdt_getprop(fdt, node, "ranges", &len);
    for (; p != NULL && len >= 28; p += 7, len -= 28) {
        uint64_t base = cells(p + 3, 2), size = cells(p + 5, 2);
        unsigned space = fdt32_to_cpu(p[0]) >> 24 & 3;

        dt_allow(base, size, space == 1 ? "PCI I/O" : "PCI memory");
        if (space != 1 && dt.pci.nwin < PCI_WINDOWS) {
            dt.pci.win[dt.pci.nwin++] = (struct pci_window){ base, cells(p + 1, 2), size };
        }
    }
}

static void read_cpus(void)
{
    int cpus = must(fdt_path_offset(fdt, "/cpus"), "/cpus");
    int node;

    fdt_for_each_subnode(node, fdt, cpus)
    {
        const char *type = fdt_getprop(fdt, node, "device_type", NULL);
        uint64_t id, none;

        if (type == NULL || strcmp(type, "cpu") != 0 || !reg(node, cpus, 0, &id, &none)) {
            continue;
        }
        if (dt.ncpus == HV_CPUS) {
            port_log("more than %u CPUs: the others stay off", HV_CPUS);
            break;
        }
        dt.mpidr[dt.ncpus++] = id;
    }
}

void dt_read(uint64_t pa, void *work, uint64_t work_size)
{
    uint64_t size;
    int node, len = 0;

    fdt = work;
    must(fdt_check_full((const void *)pa, work_size), "check");
    must(fdt_open_into((const void *)pa, fdt, (int)work_size), "open");
    node = find("arm,pl011");
    if (node >= 0 && !reg(node, 0, 0, &hv.uart, &size)) {
        hv.uart = 0;
    }
    read_memory();
    read_gic();
    read_pci();
    read_cpus();
    fdt_for_each_subnode(node, fdt, 0)
    {
        for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
            uint64_t base;

            for (int k = 0; allowed[i].map && compatible(node, allowed[i].compatible) &&
                            reg(node, 0, k, &base, &size);
                 k++) {
                dt_allow(base, size, allowed[i].compatible);
            }
        }
    }
    node = find("arm,smmu-v3");
    if (node >= 0 && reg(node, 0, 0, &hv.smmu_base, &size)) {
        hv.has_smmu = true;
    }
    node = must(fdt_path_offset(fdt, "/chosen"), "/chosen");

    const fdt32_t *p = fdt_getprop(fdt, node, "linux,initrd-start", &len);

    dt.initrd = p != NULL ? cells(p, len / 4) : 0;
    p = fdt_getprop(fdt, node, "linux,initrd-end", &len);
    dt.initrd_end = p != NULL ? cells(p, len / 4) : 0;
    hv.control = CONTROL_BASE;
}

/* ---- the host's tree ---- */

static bool keep(int node)
{
    const char *name = fdt_get_name(fdt, node, NULL);

    for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        if (compatible(node, allowed[i].compatible) ||
            (name != NULL && strcmp(name, allowed[i].compatible) == 0)) {
            return true;
        }
    }
    return false;
}

static bool keep_below_gic(int node)
{
    uint64_t base = 0, size;

    return compatible(node, "arm,gic-v3-its") &&
           reg(node, fdt_parent_offset(fdt, node), 0, &base, &size) && base == hv.its;
}

static void prune(int parent, bool (*stays)(int))
{
    int node = fdt_first_subnode(fdt, parent);

    while (node >= 0) {
        if (stays(node)) {
            node = fdt_next_subnode(fdt, node);
            continue;
        }
        must(fdt_del_node(fdt, node), "delete");
        node = fdt_first_subnode(fdt, parent); /* offsets have moved */
    }
}

static void prune_aliases(void)
{
    int node = fdt_path_offset(fdt, "/aliases");
    int prop = node >= 0 ? fdt_first_property_offset(fdt, node) : -1;

    while (prop >= 0) {
        const char *name = NULL;
        const char *path = fdt_getprop_by_offset(fdt, prop, &name, NULL);

        if (path == NULL || fdt_path_offset(fdt, path) >= 0) {
            prop = fdt_next_property_offset(fdt, prop);
            continue;
        }
        must(fdt_delprop(fdt, node, name), "delete an alias");
        prop = fdt_first_property_offset(fdt, node);
    }
}

static void put_string(int node, const char *name, const char *value)
{
    must(fdt_setprop(fdt, node, name, value, (int)strlen(value) + 1), name);
}

static void put_reg(int node, uint64_t base, uint64_t size)
{
    fdt32_t v[4] = { cpu_to_fdt32((uint32_t)(base >> 32)), cpu_to_fdt32((uint32_t)base),
                     cpu_to_fdt32((uint32_t)(size >> 32)), cpu_to_fdt32((uint32_t)size) };
    int na = fdt_address_cells(fdt, 0), ns = fdt_size_cells(fdt, 0);

    if (na != 2 || ns != 2) {
        port_panic("device tree: root cells are not 2 and 2");
    }
    must(fdt_setprop(fdt, node, "reg", v, sizeof(v)), "reg");
}

void dt_write_host(uint64_t pa)
{
    static const char *const pci_hidden[] = { "iommu-map", "iommu-map-mask" };
    int node;

    prune(0, keep);
    prune(must(find("arm,gic-v3"), "arm,gic-v3"), keep_below_gic);
    prune_aliases();
    node = find("pci-host-ecam-generic");
    for (unsigned i = 0; i < 2 && node >= 0; i++) {
        if (fdt_getprop(fdt, node, pci_hidden[i], NULL) != NULL) {
            must(fdt_delprop(fdt, node, pci_hidden[i]), "delete iommu-map");
        }
    }
    node = find("arm,psci-0.2");
    if (node < 0) {
        node = must(find("arm,psci-1.0"), "psci");
    }
    put_string(node, "method", "smc");

    node = must(fdt_add_subnode(fdt, 0, "memory@48000000"), "memory");
    put_string(node, "device_type", "memory");
    put_reg(node, hv.host_base, hv.host_size);

    node = must(fdt_add_subnode(fdt, 0, "tenon-control@b000000"), "control");
    put_string(node, "compatible", "tenon,control");
    put_reg(node, hv.control, TN_CONTROL_SIZE);

    must(fdt_pack(fdt), "pack");

    uint32_t size = fdt_totalsize(fdt);

    memcpy((void *)pa, fdt, size);
    port_clean((void *)pa, size);
}
