/* SPDX-License-Identifier: BSD-2-Clause */
/* PCI functions: the scan, and the filter that stands between the host and configuration space. */
#include <hv/pci_int.h>

struct pci pci;

#define BUS(bdf)     ((uint8_t)((bdf) >> 8))
#define BAR_IO       0x1u
#define BAR_64       0x4u
#define BAR_PREFETCH 0x8u

static uint64_t address(uint32_t bdf, uint32_t reg)
{
    return pci.h.ecam + ((uint64_t)(bdf - ((uint32_t)pci.h.bus_first << 8)) << 12) + reg;
}

uint32_t pci_read(uint32_t bdf, uint32_t reg, unsigned size)
{
    return pci_mmio_read(address(bdf, reg), size);
}

void pci_write(uint32_t bdf, uint32_t reg, unsigned size, uint32_t v)
{
    pci_mmio_write(address(bdf, reg), size, v);
}

void pci_header(uint32_t bdf, uint32_t hdr[16])
{
    for (unsigned i = 0; i < 16; i++) {
        hdr[i] = pci_read(bdf, i * 4u, 4);
    }
}

struct pci_func *pci_func_of(uint32_t bdf)
{
    for (uint32_t i = 0; i < pci.n; i++) {
        if (pci.func[i].bdf == bdf) {
            return &pci.func[i];
        }
    }
    return NULL;
}

/* ---- the scan ---- */

static void scan_caps(struct pci_func *f)
{
    uint32_t b = f->bdf;
    if (!(pci_read(b, PCI_STATUS, 2) & 0x10u)) {
        return;
    }
    uint32_t at = pci_read(b, PCI_CAPS, 1) & 0xfcu;
    /* A list in hardware may be a ring: 48 capabilities fill the space. */
    for (unsigned n = 0; n < 48u && at >= 0x40u; n++) {
        uint32_t id = pci_read(b, at, 1);
        if (id == CAP_ID_PCIE) {
            f->cap_pcie = (uint8_t)at;
            f->flr = (pci_read(b, at + 4u, 4) & (1u << 28)) != 0; /* DevCap (PCIe 7.5.3.3) */
        } else if (id == CAP_ID_PM) {
            f->cap_pm = (uint8_t)at;
        } else if (id == CAP_ID_MSI) {
            f->cap_msi = (uint8_t)at;
        } else if (id == CAP_ID_MSIX) {
            f->cap_msix = (uint8_t)at;
        } else if (id == CAP_ID_AF && (pci_read(b, at + 3u, 1) & 3u) == 3u) {
            f->cap_af = (uint8_t)at; /* it can reset, and tell pending transactions */
        }
        at = pci_read(b, at + 1u, 1) & 0xfcu;
    }
}

/* How much address space each BAR takes (PCI 6.2.5.1). Decoding is off meanwhile. */
static void size_bars(struct pci_func *f)
{
    uint32_t b = f->bdf, cmd = pci_read(b, PCI_COMMAND, 2);
    pci_write(b, PCI_COMMAND, 2, cmd & ~(CMD_IO | CMD_MEM));
    unsigned nbars = f->bridge ? 2u : PCI_BARS;
    for (unsigned i = 0; i < nbars; i++) {
        struct pci_bar *bar = &f->bar[i];
        uint32_t reg = PCI_BAR0 + 4u * i, old = pci_read(b, reg, 4), hi = 0;
        pci_write(b, reg, 4, ~0u);
        uint32_t got = pci_read(b, reg, 4);
        pci_write(b, reg, 4, old);
        if (got == 0) {
            continue;
        }
        bar->io = (got & BAR_IO) != 0;
        bar->is64 = !bar->io && (got & BAR_64) != 0 && i + 1u < nbars;
        bar->prefetch = !bar->io && (got & BAR_PREFETCH) != 0;
        uint64_t mask = bar->io ? 0xffffffff00000000u | (got & ~3u) | 0xffff0000u : got & ~0xfu;
        if (bar->is64) {
            uint32_t old_hi = pci_read(b, reg + 4u, 4);
            pci_write(b, reg + 4u, 4, ~0u);
            hi = pci_read(b, reg + 4u, 4);
            pci_write(b, reg + 4u, 4, old_hi);
            mask |= (uint64_t)hi << 32;
            i++; /* the next one is its upper half */
        } else {
            mask |= 0xffffffff00000000u;
        }
        bar->size = mask == 0 ? 0 : mask & (~mask + 1u);
    }
    uint32_t reg = f->bridge ? PCI_ROM_BRIDGE : PCI_ROM, old = pci_read(b, reg, 4);
    pci_write(b, reg, 4, 0xfffff800u);
    uint32_t got = pci_read(b, reg, 4) & 0xfffff800u;
    pci_write(b, reg, 4, old);
    f->rom_size = got & (~got + 1u);
    pci_write(b, PCI_COMMAND, 2, cmd);
}

static enum pci_reset reset_of(const struct pci_func *f)
{
    if (f->flr) {
        return PCI_RESET_FLR;
    }
    if (f->cap_af != 0) {
        return PCI_RESET_AF;
    }
    return f->class_code == 0x010802u ? PCI_RESET_NVME : PCI_RESET_NONE;
}

static int add_func(uint32_t bdf)
{
    if (pci.n == PCI_FUNCS) {
        return -ENOSPC;
    }
    struct pci_func *f = &pci.func[pci.n++];
    uint32_t id = pci_read(bdf, PCI_ID, 4);
    *f = (struct pci_func){
        .bdf = bdf,
        .sid = pci.h.sid_base + bdf,
        .vendor = (uint16_t)id,
        .device = (uint16_t)(id >> 16),
        .class_code = pci_read(bdf, PCI_CLASS, 4) >> 8,
        .header = (uint8_t)pci_read(bdf, PCI_HEADER, 1),
        .on_root = BUS(bdf) == pci.h.bus_first,
        .owner = OWNER_HOST,
    };
    f->bridge = (f->header & 0x7fu) == 1u;
    scan_caps(f);
    f->reset = reset_of(f);
    return 0;
}

static int scan_bus(uint8_t bus)
{
    for (uint32_t dev = 0; dev < 32u; dev++) {
        for (uint32_t fn = 0; fn < 8u; fn++) {
            uint32_t bdf = PCI_BDF((uint32_t)bus, dev, fn);
            if ((pci_read(bdf, PCI_ID, 2) & 0xffffu) == 0xffffu) {
                if (fn == 0) {
                    break;
                }
                continue;
            }
            int err = add_func(bdf);
            if (err != 0) {
                return err;
            }
            if (fn == 0 && !(pci.func[pci.n - 1u].header & 0x80u)) {
                break;
            }
        }
    }
    return 0;
}

/* Functions behind bridges: known so that they can be listed and refused, never assigned. */
void pci_scan_behind(void)
{
    uint32_t root = 0;
    pci.hidden = false;
    while (root < pci.n && pci.func[root].on_root) {
        root++;
    }
    pci.n = root;
    uint32_t seen[8] = { 0 }; /* buses: loops in the host's numbering end here */
    for (uint32_t i = 0; i < pci.n; i++) {
        if (!pci.func[i].bridge) {
            continue;
        }
        uint8_t bus = (uint8_t)pci_read(pci.func[i].bdf, PCI_BUSES + 1u, 1);
        if (bus <= pci.h.bus_first || bus > pci.h.bus_last || (seen[bus / 32u] >> bus % 32u & 1u)) {
            pci.hidden = true;
            continue;
        }
        seen[bus / 32u] |= 1u << bus % 32u;
        if (scan_bus(bus) != 0) {
            pci.hidden = true;
            return; /* full: the rest is not listed, and cannot be taken either */
        }
    }
}

int pci_init(const struct pci_host *h)
{
    uint64_t buses = (uint64_t)h->bus_last - h->bus_first + 1u;
    if (h->bus_last < h->bus_first || h->ecam_size < buses << 20 || h->nwin > PCI_WINDOWS ||
        (h->ecam & 0xfffffu) != 0) {
        return -EINVAL;
    }
    pci.h = *h;
    pci.n = 0;
    pci.taken = 0;
    int err = scan_bus(h->bus_first);
    for (uint32_t i = 0; i < pci.n; i++) {
        size_bars(&pci.func[i]);
    }
    pci_scan_behind();
    return err;
}

uint32_t pci_count(void)
{
    port_lock(&pci.lock);
    pci_scan_behind();
    uint32_t n = pci.n;
    port_unlock(&pci.lock);
    return n;
}

bool pci_get(uint32_t i, struct pci_func *f)
{
    port_lock(&pci.lock);
    bool ok = i < pci.n;
    if (ok) {
        *f = pci.func[i];
    }
    port_unlock(&pci.lock);
    return ok;
}

bool pci_find(uint32_t bdf, struct pci_func *f)
{
    port_lock(&pci.lock);
    const struct pci_func *found = pci_func_of(bdf);
    if (found != NULL) {
        *f = *found;
    }
    port_unlock(&pci.lock);
    return found != NULL;
}

/* ---- who answers to which address ---- */

uint64_t pci_bar_base(const struct pci_func *f, const uint32_t hdr[16], unsigned i)
{
    uint64_t base = hdr[4u + i] & ~(f->bar[i].io ? 0x3u : 0xfu);
    base = f->bar[i].is64 ? base | (uint64_t)hdr[5u + i] << 32 : base;
    /* Bits below the size do not exist, whatever is written there. */
    return base & ~(f->bar[i].size - 1u);
}

bool pci_to_cpu(uint64_t bus, uint64_t len, uint64_t *pa)
{
    for (uint32_t i = 0; i < pci.h.nwin; i++) {
        const struct pci_window *w = &pci.h.win[i];
        if (bus >= w->bus && len <= w->size && bus - w->bus <= w->size - len) {
            *pa = w->base + (bus - w->bus);
            return true;
        }
    }
    return false;
}

bool pci_leads_to(const uint32_t hdr[16], uint8_t b)
{
    uint8_t secondary = (uint8_t)(hdr[6] >> 8), subordinate = (uint8_t)(hdr[6] >> 16);
    return secondary == b || (secondary <= b && b <= subordinate);
}

static bool window_covers(uint64_t base, uint64_t limit, uint64_t bus, uint64_t len)
{
    return base <= limit && pci_overlap(base, limit - base + 1u, bus, len);
}

bool pci_claims(const struct pci_func *f, const uint32_t hdr[16], uint64_t bus, uint64_t len)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (f->bar[i].size != 0 && !f->bar[i].io &&
            pci_overlap(pci_bar_base(f, hdr, i), f->bar[i].size, bus, len)) {
            return true;
        }
    }
    uint32_t rom = hdr[(f->bridge ? PCI_ROM_BRIDGE : PCI_ROM) / 4u];
    if (f->rom_size != 0 && (rom & 1u) &&
        pci_overlap(rom & ~(f->rom_size - 1u), f->rom_size, bus, len)) {
        return true;
    }
    if (!f->bridge) {
        return false;
    }
    /* Base and limit are in MiB, the limit counts as a whole one. */
    uint64_t base = (uint64_t)(hdr[8] & 0xfff0u) << 16, limit = (hdr[8] & 0xfff00000u) | 0xfffffu;
    uint64_t pbase = (uint64_t)(hdr[9] & 0xfff0u) << 16 | (uint64_t)hdr[10] << 32;
    uint64_t plimit = (hdr[9] & 0xfff00000u) | 0xfffffu | (uint64_t)hdr[11] << 32;
    return window_covers(base, limit, bus, len) || window_covers(pbase, plimit, bus, len);
}

/* ---- the host's accesses ---- */

static uint32_t ones(unsigned size)
{
    return size >= 4u ? ~0u : (1u << size * 8u) - 1u;
}

/* Is `reg` inside an extended capability that would make stream ids or address ranges appear that
 * are not tracked here (virtual functions, resizable BARs)? */
static bool untracked(uint32_t bdf, uint32_t reg)
{
    uint32_t at = 0x100u;
    for (unsigned n = 0; n < 64u && at >= 0x100u; n++) {
        uint32_t cap = pci_read(bdf, at, 4), id = cap & 0xffffu;
        if (cap == 0 || cap == ~0u) {
            return false;
        }
        bool rebar = id == EXT_ID_REBAR || id == EXT_ID_VF_REBAR;
        uint32_t len = rebar ? 0x34u : 0;
        if (id == EXT_ID_SRIOV) {
            len = 0x40u;
        }
        if (reg >= at && reg - at < len) {
            return true;
        }
        at = cap >> 20 & 0xffcu;
    }
    return false;
}

/* NULL: this write may be done. `hdr` is the header as the write would leave it. */
static const char *refuse_header(const struct pci_func *f, const uint32_t hdr[16], unsigned word,
                                 uint32_t v)
{
    bool bridge = (hdr[3] >> 16 & 0x7fu) == 1u;
    if (bridge && word == PCI_BUSES / 4u && pci.taken != 0 && pci_leads_to(hdr, pci.h.bus_first)) {
        return "bus number towards a taken stream id";
    }
    if (f == NULL || !f->on_root) {
        return NULL; /* answers only to what the bridges above it forward */
    }
    unsigned nbars = bridge ? 2u : PCI_BARS;
    bool bar = word >= 4u && word < 4u + nbars;
    bool rom = word == (bridge ? PCI_ROM_BRIDGE : PCI_ROM) / 4u;
    bool window = bridge && word >= PCI_WINDOW / 4u && word <= PCI_PREF / 4u + 2u;
    if (!bar && !rom && !window) {
        return NULL;
    }
    for (uint32_t i = 0; i < pci.n && pci.taken != 0; i++) {
        const struct pci_func *t = &pci.func[i];
        for (unsigned k = 0; t->taken && k < PCI_BARS; k++) {
            uint32_t saved[16] = { 0 };
            for (unsigned j = 0; j < PCI_BARS; j++) {
                saved[4u + j] = t->saved_bar[j];
            }
            if (t->bar[k].size != 0 && !t->bar[k].io &&
                pci_claims(f, hdr, pci_bar_base(t, saved, k), t->bar[k].size)) {
                return "over a taken function's registers";
            }
        }
    }
    if (!bar || !(hdr[1] & CMD_MEM) || v == ~0u || v == 0) {
        return NULL; /* not decoded, or sizing */
    }
    unsigned i = word - 4u;
    if (i > 0 && f->bar[i - 1u].is64) {
        i--;
    }
    uint64_t pa;
    if (f->bar[i].size != 0 && !f->bar[i].io &&
        !pci_to_cpu(pci_bar_base(f, hdr, i), f->bar[i].size, &pa)) {
        return "outside the memory windows";
    }
    return NULL;
}

static const char *refuse(uint32_t bdf, uint32_t reg, unsigned size, uint32_t v)
{
    const struct pci_func *f = pci_func_of(bdf);
    if (f != NULL && f->taken) {
        return ""; /* not worth a line: the host may probe for it as often as it likes */
    }
    if (reg >= 0x100u) {
        return untracked(bdf, reg & ~3u) ? "virtual functions and resizable BARs" : NULL;
    }
    if (reg >= 0x40u) {
        return NULL;
    }
    uint32_t hdr[16], shift = (reg & 3u) * 8u;
    uint32_t mask = ones(size) << shift;
    pci_header(bdf, hdr);
    unsigned word = reg / 4u;
    hdr[word] = (hdr[word] & ~mask) | (v << shift & mask);
    return refuse_header(f, hdr, word, hdr[word]);
}

static uint32_t host_access(uint64_t off, bool write, unsigned size, uint32_t v)
{
    uint64_t bus = pci.h.bus_first + (off >> 20);
    if ((off & (size - 1u)) != 0 || bus > pci.h.bus_last) {
        return ones(size);
    }
    uint32_t bdf = (uint32_t)(bus << 8 | (off >> 12 & 0xffu)), reg = (uint32_t)(off & 0xfffu);
    uint32_t answer = ones(size);
    port_lock(&pci.lock);
    const struct pci_func *f = pci_func_of(bdf);
    if (!write) {
        if (f == NULL || !f->taken) {
            answer = pci_read(bdf, reg, size);
        }
    } else {
        const char *why = refuse(bdf, reg, size, v);
        if (why == NULL) {
            pci_write(bdf, reg, size, v);
        } else {
            pci.refused++;
            if (*why != 0 && log_may()) {
                port_log("pci: %x: write of %x to %x refused: %s", bdf, v, reg, why);
            }
        }
    }
    port_unlock(&pci.lock);
    return answer;
}

int pci_cfg_access(uint64_t off, bool write, unsigned size, uint64_t *val)
{
    if (size == 8u && (off & 7u) == 0) {
        uint64_t lo = host_access(off, write, 4, (uint32_t)*val);
        uint64_t hi = host_access(off + 4u, write, 4, (uint32_t)(*val >> 32));
        *val = write ? *val : lo | hi << 32;
        return 0;
    }
    if (size != 1u && size != 2u && size != 4u) {
        *val = ~(uint64_t)0;
        return 0;
    }
    uint32_t v = host_access(off, write, size, (uint32_t)*val);
    if (!write) {
        *val = v;
    }
    return 0;
}
