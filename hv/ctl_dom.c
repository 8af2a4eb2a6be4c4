/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host may do with its own: I/O domains (requirements E1), the mode of its default domain,
 * memory given to the pool and taken back.
 */
#include "ctl.h"

#define DONATE_MAX  ((uint64_t)256 << 20) /* bytes in one call: bounds it */
#define RECLAIM_MAX ((uint64_t)32 << 20)
#define FREE_LEAVES 512u /* mappings undone in one step of a free */

struct host_dom {
    bool used;
    struct space space;
    struct iommu_domain domain;
};
static struct host_dom doms[CTL_DOMAINS];
/* One call at a time changes the list or a domain; taken after vm_devices_enter(). */
static struct port_lock dom_lock;
static struct port_lock memory_lock; /* one gift at a time, or one taken back */

void ctl_dom_hold(bool hold)
{
    if (hold) {
        port_lock(&dom_lock);
        port_lock(&memory_lock);
    } else {
        port_unlock(&memory_lock);
        port_unlock(&dom_lock);
    }
}

struct space *ctl_dom_space(uint32_t i)
{
    return doms[i].used ? &doms[i].space : NULL;
}

/* With dom_lock held. */
static struct host_dom *dom_find(uint64_t id)
{
    return id < CTL_DOMAINS && doms[id].used ? &doms[id] : NULL;
}

int ctl_dom_alloc(struct ctl *c)
{
    struct host_dom *d = NULL;
    struct pt_config cfg;
    int err;

    if (!hv.has_smmu) {
        return -EOPNOTSUPP;
    }
    port_lock(&dom_lock);
    for (uint32_t i = 0; i < CTL_DOMAINS && !d; i++) {
        if (!doms[i].used) {
            d = &doms[i];
            c->out[0] = i;
        }
    }
    err = d ? iommu_own_config(&hv.smmu.im, &cfg) : -ENOSPC;
    if (err == 0) {
        memset(d, 0, sizeof(*d));
        err = space_init(&d->space, SPACE_IO, &cfg);
        if (err == 0) {
            err = iommu_domain_init(&hv.smmu.im, &d->domain, &d->space, OWNER_HOST, -1);
            if (err != 0) {
                space_destroy(&d->space);
            }
        }
        d->used = err == 0;
    }
    port_unlock(&dom_lock);
    return err;
}

/* Undoes up to FREE_LEAVES mappings, pins included; 1 while there is more. */
static int dom_empty_step(struct host_dom *d)
{
    uint64_t last = ((uint64_t)1 << d->space.pt.cfg.ia_bits) - 1, ia = 0;
    struct pt_leaf leaf;

    for (uint32_t n = 0; pt_next(&d->space.pt, &ia, last, &leaf);) {
        if (!leaf.present) {
            continue;
        }
        if (n++ == FREE_LEAVES) {
            return 1;
        }
        if (iommu_unmap(&d->domain, leaf.ia, leaf.last - leaf.ia + 1) != 0) {
            return -EBUSY;
        }
    }
    return 0;
}

static int dom_free(struct host_dom *d)
{
    int err = d->domain.devices ? -EBUSY : dom_empty_step(d);

    if (err == 0) {
        err = iommu_domain_fini(&d->domain);
    }
    if (err == 0) {
        space_destroy(&d->space);
        memset(d, 0, sizeof(*d));
    }
    return err > 0 ? -EAGAIN : err;
}

/* A function that the host has now: its stream. */
static int host_stream(uint64_t bdf, uint32_t *sid)
{
    struct pci_func f;

    if (bdf > 0xffff || !pci_find((uint32_t)bdf, &f)) {
        return -ENODEV;
    }
    if (f.bridge) {
        return -ENODEV;
    }
    if (f.owner != OWNER_HOST || f.taken) {
        return -EPERM;
    }
    *sid = f.sid;
    return 0;
}

static int dom_move(struct ctl *c, bool attach)
{
    struct iommu_domain *host = host_domain(), *from, *to;
    struct host_dom *d;
    uint32_t sid = 0;
    int err;

    if (!vm_devices_enter()) {
        return -EAGAIN;
    }
    port_lock(&dom_lock);
    d = dom_find(c->arg[0]);
    err = d ? host_stream(c->arg[1], &sid) : -ENOENT;
    if (err == 0) {
        from = attach ? host : &d->domain;
        to = attach ? &d->domain : host;
        if (iommu_domain_of(&hv.smmu.im, sid) != from) {
            err = attach ? -EBUSY : -ENOENT;
        }
        /* The two trees translate differently: through a blocked stream, never a mixture. */
        if (err == 0) {
            err = iommu_detach(from, sid);
        }
        if (err == 0) {
            err = iommu_attach(to, sid);
            if (err != 0 && iommu_attach(from, sid) != 0) {
                port_log("stream %x: left blocked", sid);
            }
        }
    }
    port_unlock(&dom_lock);
    vm_devices_leave();
    return err;
}

int ctl_dom_attach(struct ctl *c)
{
    return dom_move(c, true);
}

int ctl_dom_detach(struct ctl *c)
{
    return dom_move(c, false);
}

int ctl_dom(uint32_t op, struct ctl *c)
{
    const uint64_t *arg = c->arg;
    uint32_t prot = (arg[4] & 1 ? PT_READ : 0u) | (arg[4] & 2 ? PT_WRITE : 0u);
    uint64_t bytes = op == TN_DOM_MAP ? arg[3] : op == TN_DOM_UNMAP ? arg[2] : 0;
    int err = -ENOENT;

    if (op == TN_DOM_MAP && (arg[4] == 0 || arg[4] > 3)) {
        return -EINVAL;
    }
    if (bytes > DONATE_MAX) {
        return -E2BIG;
    }
    port_lock(&dom_lock);
    struct host_dom *d = dom_find(arg[0]);

    if (d && op == TN_DOM_MAP) {
        err = iommu_map(&d->domain, arg[1], arg[2], bytes, prot);
    } else if (d && op == TN_DOM_UNMAP) {
        err = iommu_unmap(&d->domain, arg[1], bytes);
    } else if (d && op == TN_DOM_IOVA) {
        err = iommu_iova_to_phys(&d->domain, arg[1], &c->out[0]);
    } else if (d) {
        err = dom_free(d);
    }
    port_unlock(&dom_lock);
    return err;
}

/* ---- share or mirror, for the host's own devices ---- */

/* Moves every stream that is in `from`; those moved are counted. Hitless: both trees agree. */
static int move_streams(struct iommu_domain *from, struct iommu_domain *to)
{
    struct pci_func f;

    for (uint32_t i = 0; pci_get(i, &f); i++) {
        if (iommu_domain_of(&hv.smmu.im, f.sid) == from) {
            int err = iommu_replace(from, to, f.sid);
            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

/* Windows of VMs made in mirror mode come with the host's first touch: not for devices. */
static bool windows_on_demand(void)
{
    bool any = false;

    for (uint32_t i = 0; i < HV_VMS; i++) {
        any = any || vm_slot(i)->bound;
    }
    return any;
}

int ctl_host_mode(struct ctl *c)
{
    struct iommu_domain *from, *to;
    uint64_t mode = c->arg[0];
    int err = 0;

    c->out[0] = hv.host_mode;
    if (mode == 0) {
        return 0;
    }
    if (mode > 2) {
        return -EINVAL;
    }
    if (!vm_devices_enter()) {
        return -EAGAIN;
    }
    from = host_domain();
    to = mode == 1 ? &hv.host_share : &hv.host_mirror;
    if (!hv.has_smmu || !to->im) {
        err = -EOPNOTSUPP;
    } else if (mode == 1 && hv.host_mode != mode && windows_on_demand()) {
        err = -EBUSY;
    } else if (hv.host_mode != mode) {
        err = host_share_doorbell(true); /* for as long as any stream walks the shared tree */
        if (err == 0) {
            err = move_streams(from, to);
        }
    }
    if (err == 0) {
        hv.host_mode = (uint32_t)mode;
    } else if (hv.has_smmu && to->im && move_streams(to, from) != 0) {
        port_log("host mode: streams left in both domains");
    }
    if (hv.has_smmu && hv.host_mode == 2) {
        (void)host_share_doorbell(false);
    }
    c->out[0] = hv.host_mode;
    vm_devices_leave();
    return err;
}

/* ---- memory given, memory taken back ---- */

static int memory_range(const struct ctl *c, uint64_t max)
{
    uint64_t pa = c->arg[0], len = c->arg[1];

    if (len == 0 || ((pa | len) & (CHUNK_SIZE - 1))) {
        return -EINVAL;
    }
    if (pa < hv.host_base || pa - hv.host_base > hv.host_size ||
        len > hv.host_size - (pa - hv.host_base)) {
        return -EFAULT;
    }
    return len > max ? -E2BIG : 0;
}

int ctl_mem_donate(struct ctl *c)
{
    uint64_t pa = c->arg[0], len = c->arg[1], n = len >> PAGE_SHIFT;
    int err = memory_range(c, DONATE_MAX);

    if (err != 0) {
        return err;
    }
    port_lock(&memory_lock);
    /* First the right, then the mapping: from here on nothing new can be pinned or lent. */
    err = frames_donate(pa, n, OWNER_HOST, OWNER_HYP);
    if (err == 0) {
        err = host_unmap(pa, len);
        if (err == 0) {
            err = frame_pool_add_chunks(pa, len / CHUNK_SIZE, true);
            if (err != 0) {
                (void)host_map(pa, len, PT_READ | PT_WRITE | PT_EXEC);
            }
        }
        if (err != 0) {
            (void)frames_donate(pa, n, OWNER_HYP, OWNER_HOST);
        }
    }
    port_unlock(&memory_lock);
    return err;
}

int ctl_mem_reclaim(struct ctl *c)
{
    uint64_t pa = c->arg[0], len = c->arg[1], n = len >> PAGE_SHIFT;
    int err = memory_range(c, RECLAIM_MAX);

    if (err != 0) {
        return err;
    }
    port_lock(&memory_lock);
    err = frame_pool_remove_chunks(pa, len / CHUNK_SIZE, OWNER_HYP);
    if (err == 0) {
        for (uint64_t at = pa; at < pa + len; at += CHUNK_SIZE) {
            frame_scrub(at);
        }
        err = frames_donate(pa, n, OWNER_HYP, OWNER_HOST);
        if (err == 0) {
            err = host_map(pa, len, PT_READ | PT_WRITE | PT_EXEC);
        }
        if (err != 0) {
            (void)frames_donate(pa, n, OWNER_HOST, OWNER_HYP);
            (void)frame_pool_add_chunks(pa, len / CHUNK_SIZE, true);
        }
    }
    port_unlock(&memory_lock);
    return err;
}
