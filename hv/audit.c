/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole ownership state against every table there is, from the frames' side and from the
 * tables': nothing here is used to decide anything. Each tree is walked under its lock, with every
 * conversion held off.
 */
#include "ctl.h"

static void violation(struct audit *a, const char *where, uint32_t id, const char *what, uint64_t v)
{
    if (a->violations++ == 0) {
        log_text(a->first, sizeof(a->first), "%s %x: %s at %lx", where, id, what, v);
    }
}

static void hash(struct audit *a, uint64_t v)
{
    /* FNV-1a, 64 bit, by bytes */
    for (unsigned i = 0; i < 8; i++) {
        a->digest ^= v >> (8 * i) & 0xff;
        a->digest *= 0x100000001b3ull;
    }
}

/* ---- frames ---- */

/* Everything about who may use what. Not: which free frames are zeroed already. */
static void audit_frames(struct audit *a, uint64_t *pins)
{
    uint64_t pa = frames_base(), last, old = ~0ull, start = pa;
    struct frame f;

    a->frames = frames_count();
    *pins = 0;
    while (frames_run(pa, &f, &last)) {
        uint64_t n = (last - pa + 1) >> PAGE_SHIFT;
        uint64_t now = f.owner | (uint64_t)f.borrower << 16 | (uint64_t)f.pins << 32 |
                       (uint64_t)f.borrower_pins << 44 | (uint64_t)f.state << 56;

        if ((f.state == FRAME_SHARED) != (f.borrower != OWNER_NONE)) {
            violation(a, "frame", f.owner, "lent to nobody, or borrowed unlent", pa);
        }
        if ((f.flags & FRAME_TABLE) && f.owner != OWNER_HYP) {
            violation(a, "frame", f.owner, "a table page of somebody", pa);
        }
        if (f.borrower_pins && f.state != FRAME_SHARED) {
            violation(a, "frame", f.owner, "pinned by a borrower that has it not", pa);
        }
        if (f.owner == OWNER_NONE && (f.pins || f.borrower_pins || f.state != FRAME_OWNED)) {
            violation(a, "frame", 0, "free, but in use", pa);
        }
        if (f.owner >= OWNER_VM0) {
            uint32_t id = (uint32_t)f.owner - OWNER_VM0;
            uint32_t state = id < HV_VMS ? vm_slot(id)->state : TN_VM_FREE;

            if (state == TN_VM_FREE && !(id < HV_VMS && vm_slot(id)->changing)) {
                violation(a, "frame", f.owner, "owned by a VM that is not there", pa);
            }
            if ((f.flags & FRAME_HELD) && state != TN_VM_DYING) {
                violation(a, "frame", f.owner, "held, and nothing is under way", pa);
            }
        }
        *pins += n * ((uint64_t)f.pins + f.borrower_pins);
        if (now != old) {
            hash(a, start);
            hash(a, old);
            old = now;
            start = pa;
        }
        pa = last + 1;
    }
    hash(a, start);
    hash(a, old);
}

/* ---- trees ---- */

/* Device registers in a tree of the host: one to one, and not EL2's own or of a function given away. */
static const char *host_device(void *ctx, const struct pt_leaf *leaf, uint64_t pa)
{
    uint64_t len = leaf->last - leaf->ia + 1;

    (void)ctx;
    (void)pa;
    if (leaf->ia != leaf->oa) {
        return "the host's map is not one to one";
    }
    if ((hv.has_smmu && pci_overlap(leaf->oa, len, hv.smmu_base, 0x20000)) ||
        pci_overlap(leaf->oa, len, hv.ecam, hv.ecam_size)) {
        return "maps what is hidden from the host";
    }
    for (uint32_t i = 0; i < HV_VMS; i++) {
        for (uint32_t k = 0; k < VM_DEVICES; k++) {
            const struct vm_device *d = &vm_slot(i)->device[k];

            for (uint32_t b = 0; d->used && b < d->nbars; b++) {
                if (pci_overlap(leaf->oa, len, d->bar[b].pa, d->bar[b].len)) {
                    return "maps registers of a device that is away";
                }
            }
        }
    }
    return NULL;
}

static const char *vm_device(void *ctx, const struct pt_leaf *leaf, uint64_t pa)
{
    const struct vm *vm = ctx;
    uint64_t len = leaf->last - leaf->ia + 1;

    (void)pa;
    for (uint32_t k = 0; k < VM_DEVICES; k++) {
        const struct vm_device *d = &vm->device[k];

        for (uint32_t b = 0; d->used && b < d->nbars; b++) {
            if (leaf->oa >= d->bar[b].pa && leaf->oa + len <= d->bar[b].pa + d->bar[b].len &&
                leaf->ia - d->bar_gpa[b] == leaf->oa - d->bar[b].pa) {
                return NULL;
            }
        }
    }
    return "maps registers that are not its VM's";
}

static uint64_t audit_space(struct audit *a, const char *name, uint32_t id, struct space *s,
                            owner_t who, space_audit_fn device, void *ctx)
{
    struct space_audit sa;

    if (s->pt.root == 0) {
        return 0;
    }
    memset(&sa, 0, sizeof(sa));
    space_audit(s, who, device, ctx, &sa);
    a->leaves += sa.leaves;
    a->tables += sa.tables;
    if (sa.violations != 0) {
        violation(a, name, id, sa.first ? sa.first : "?", sa.first_ia);
        a->violations += sa.violations - 1;
    }
    return sa.pages;
}

/* Each page where the object says: the right frame, not just one of its own. */
static void audit_memory(struct audit *a, const char *name, struct vm *vm, struct space *s)
{
    struct pt_leaf leaf;

    if (s->pt.root == 0) {
        return;
    }
    for (uint64_t page = 0; page < vm->gm.npages;) {
        uint64_t gpa = TN_GUEST_RAM + (page << PAGE_SHIFT);

        if (space_lookup(s, gpa, &leaf) != 0) {
            violation(a, name, vm->id, "no such address", gpa);
            return;
        }
        /* Leaf or hole: pages up to its end, as far as they are memory. */
        for (; page < vm->gm.npages && gpa <= leaf.last; page++, gpa += PAGE_SIZE) {
            if (leaf.present && gmem_frame(&vm->gm, page) != leaf.oa + (gpa - leaf.ia)) {
                violation(a, name, vm->id, "maps another frame than its memory has", gpa);
                return;
            }
        }
    }
}

static void audit_vm(struct audit *a, struct vm *vm)
{
    (void)audit_space(a, "cpu tree of vm", vm->id, &vm->cpu, vm->owner, vm_device, vm);
    (void)audit_space(a, "i/o tree of vm", vm->id, &vm->io, vm->owner, NULL, vm);
    if (vm->bound) {
        audit_memory(a, "cpu tree of vm", vm, &vm->cpu);
        audit_memory(a, "i/o tree of vm", vm, &vm->io);
    }
}

static void audit_devices(struct audit *a)
{
    struct pci_func f;

    for (uint32_t i = 0; pci_get(i, &f); i++) {
        const struct iommu_domain *d = hv.has_smmu ? iommu_domain_of(&hv.smmu.im, f.sid) : NULL;

        hash(a, f.bdf | (uint64_t)f.owner << 32);
        if (d && d->owner != f.owner) {
            violation(a, "device", f.bdf, "walks a tree of another owner", d->owner);
        }
        if (f.owner >= OWNER_VM0 && !vm_slot((uint32_t)f.owner - OWNER_VM0)->has_domain) {
            violation(a, "device", f.bdf, "of a VM whose trees are gone", f.owner);
        }
    }
}

void audit_run(struct audit *a)
{
    struct vm *held[HV_VMS];
    uint64_t pins, mapped = 0;

    memset(a, 0, sizeof(*a));
    a->digest = 0xcbf29ce484222325ull;
    /* No conversion meanwhile: a range under way is in no tree, and its frames are held. */
    for (uint32_t i = 0; i < HV_VMS; i++) {
        held[i] = vm_lock(i, false);
        if (held[i]) {
            gmem_stop(&held[i]->gm);
        }
    }
    ctl_dom_hold(true);
    audit_frames(a, &pins);
    audit_devices(a);
    (void)audit_space(a, "host's cpu tree", 0, &hv.host_cpu, OWNER_HOST, host_device, NULL);
    (void)audit_space(a, "host's i/o tree", 0, &hv.host_io, OWNER_HOST, host_device, NULL);
    for (uint32_t i = 0; i < HV_VMS; i++) {
        if (held[i]) {
            audit_vm(a, held[i]);
            gmem_go(&held[i]->gm);
            vm_unlock(held[i]);
        }
    }
    for (uint32_t i = 0; i < CTL_DOMAINS; i++) {
        struct space *s = ctl_dom_space(i);

        if (s) {
            mapped += audit_space(a, "host's domain", i, s, OWNER_HOST, NULL, NULL);
        }
    }
    ctl_dom_hold(false);
    /* Every page mapped for a device holds a pin; tables of the ITS and LPIs hold theirs besides. */
    if (pins < mapped) {
        violation(a, "pins", (uint32_t)pins, "fewer than pages mapped", mapped);
    }
}
