/* SPDX-License-Identifier: BSD-2-Clause */
/* Domains and the streams attached to them. */
#include <stddef.h>

#include "space/internal.h"
#include <tenon/iommu.h>

/* ---- what fits ---- */

int iommu_own_config(const struct iommu *im, struct pt_config *cfg)
{
    const struct iommu_caps *c = &im->caps;
    uint8_t ia = c->ia_bits < c->oa_bits ? c->ia_bits : c->oa_bits;

    if (!c->stage1 && !c->stage2) {
        return -EOPNOTSUPP;
    }
    *cfg = (struct pt_config){
        .format = c->stage2 ? PT_ARM_S2_4K : PT_ARM_S1_4K,
        .ia_bits = ia > 48 ? 48 : ia,
        .oa_bits = c->oa_bits > 48 ? 48 : c->oa_bits,
        .incoherent = !c->coherent,
        .live = c->live,
    };
    /* The shallowest walk. Stage 2 gets four bits more from 16 tables side by side (DDI0487 D8.2.9);
     * the SMMU takes the same arrangements (IHI0070 5.2, S2SL0). */
    uint8_t more = c->stage2 ? 4 : 0;

    cfg->start_level = cfg->ia_bits > 39 + more ? 0 : (cfg->ia_bits > 30 + more ? 1 : 2);
    return 0;
}

static const char *misfit(const struct iommu *im, const struct pt_config *cfg)
{
    const struct iommu_caps *c = &im->caps;

    if (cfg->format == PT_ARM_S2_4K ? !c->stage2 : !c->stage1) {
        return cfg->format == PT_ARM_S2_4K ? "the IOMMU has no stage 2"
                                           : "the IOMMU has no stage 1";
    }
    if (cfg->ia_bits > c->ia_bits) {
        return "the tree's input addresses are wider than the IOMMU's";
    }
    if (cfg->oa_bits > c->oa_bits) {
        return "the tree's output addresses are wider than the IOMMU's";
    }
    if (cfg->format == PT_ARM_S2_4K && cfg->fwb && !c->fwb) {
        return "the tree uses FWB memory types, the IOMMU has none";
    }
    if (cfg->format == PT_ARM_S2_4K && cfg->xnx && !c->xnx) {
        return "the tree uses XNX, the IOMMU does not know it";
    }
    if (!cfg->incoherent && !c->coherent) {
        return "the IOMMU does not snoop, and the tree is not cleaned";
    }
    if (cfg->live.bbm > c->live.bbm) {
        return "the tree's break-before-make level is above the IOMMU's";
    }
    if (cfg->live.hw_af && !c->live.hw_af) {
        return "the tree relies on a hardware access flag, the IOMMU has none";
    }
    if (cfg->live.hw_dirty && !c->live.hw_dirty) {
        return "the tree relies on hardware dirty state, the IOMMU has none";
    }
    if (cfg->live.stalls && !c->live.stalls) {
        return "the tree's rules let a walker wait, devices cannot";
    }
    return NULL;
}

int iommu_share_check(const struct iommu *im, const struct pt_config *cpu, const char **why)
{
    *why = cpu->format != PT_ARM_S2_4K ? "only a stage-2 tree can be shared" : misfit(im, cpu);
    return *why == NULL ? 0 : -EOPNOTSUPP;
}

/* ---- invalidation ---- */

static bool in_use(struct iommu_domain *d)
{
    return __atomic_add_fetch(&d->devices, 0, __ATOMIC_SEQ_CST) != 0;
}

/*
 * Nobody walks the tree through this domain while it has no device, so there is nothing to make
 * anybody forget. The store to the tree is complete before the number of devices is read, and an
 * attach counts itself before it invalidates the tag: one of the two sees the other.
 */
static void domain_issue(struct invalidator *inv, const struct pt_gather *g)
{
    struct iommu_domain *d = (struct iommu_domain *)inv;

    port_publish();
    if (in_use(d)) {
        d->driver.issue(inv, g);
    }
}

static void domain_wait(struct invalidator *inv)
{
    struct iommu_domain *d = (struct iommu_domain *)inv;

    if (in_use(d)) {
        d->driver.wait(inv); /* else the last detach has waited already */
    }
}

static void forget_all(struct iommu_domain *d)
{
    struct pt_gather g;

    pt_gather_init(&g);
    g.all = true;
    d->driver.issue(&d->inv, &g);
    d->driver.wait(&d->inv);
}

/* ---- domains ---- */

int iommu_domain_init(struct iommu *im, struct iommu_domain *d, struct space *space, owner_t owner,
                      int vmid)
{
    if (owner == OWNER_NONE || vmid > 0xffff) {
        return -EINVAL;
    }
    if (misfit(im, &space->pt.cfg) != NULL) {
        return -EOPNOTSUPP;
    }
    *d = (struct iommu_domain){ .im = im, .space = space, .owner = owner };
    d->tag = vmid >= 0 ? (uint16_t)vmid : 0; /* 0: the driver chooses */
    d->stage1 = space->pt.cfg.format == PT_ARM_S1_4K;
    port_lock(&im->lock);
    int err = im->ops->domain_init(im, d);

    port_unlock(&im->lock);
    if (err != 0) {
        return err;
    }
    d->driver = d->inv;
    d->inv = (struct invalidator){ .issue = domain_issue, .wait = domain_wait };
    err = space_add_walker(space, &d->inv);
    if (err != 0) {
        port_lock(&im->lock);
        im->ops->domain_fini(im, d);
        port_unlock(&im->lock);
    }
    return err;
}

/* Everything that iommu_map made goes, with its pins. */
static void unmap_all(struct iommu_domain *d)
{
    struct pt_leaf leaf;
    uint64_t last = ((uint64_t)1 << d->space->pt.cfg.ia_bits) - 1;

    for (uint64_t ia = 0; pt_next(&d->space->pt, &ia, last, &leaf);) {
        if (leaf.present && frame_valid(leaf.oa)) {
            (void)iommu_unmap(d, leaf.ia, leaf.last - leaf.ia + 1);
        }
    }
}

int iommu_domain_fini(struct iommu_domain *d)
{
    struct iommu *im = d->im;

    port_lock(&im->lock);
    uint32_t devices = __atomic_load_n(&d->devices, __ATOMIC_RELAXED);
    port_unlock(&im->lock);
    if (devices != 0) {
        return -EBUSY;
    }
    if (d->space->use == SPACE_PINNED) {
        unmap_all(d);
    }
    (void)space_remove_walker(d->space, &d->inv);
    port_lock(&im->lock);
    im->ops->domain_fini(im, d);
    port_unlock(&im->lock);
    return 0;
}

/* ---- streams; im->lock is held ---- */

static struct iommu_stream *find(struct iommu *im, uint32_t sid)
{
    for (uint32_t i = 0; i < IOMMU_STREAMS; i++) {
        if (im->stream[i].domain != NULL && im->stream[i].sid == sid) {
            return &im->stream[i];
        }
    }
    return NULL;
}

static struct iommu_stream *spare(struct iommu *im)
{
    for (uint32_t i = 0; i < IOMMU_STREAMS; i++) {
        if (im->stream[i].domain == NULL) {
            return &im->stream[i];
        }
    }
    return NULL;
}

/* Point the stream here; the first one finds nothing cached under the domain's tag. */
static int enter(struct iommu_domain *d, uint32_t sid)
{
    if (__atomic_add_fetch(&d->devices, 1, __ATOMIC_SEQ_CST) == 1) {
        forget_all(d);
    }
    int err = d->im->ops->attach(d->im, sid, d);

    if (err != 0) {
        __atomic_sub_fetch(&d->devices, 1, __ATOMIC_SEQ_CST);
    }
    return err;
}

int iommu_attach(struct iommu_domain *d, uint32_t sid)
{
    struct iommu *im = d->im;
    int err = 0;

    if ((uint64_t)sid >> im->caps.sid_bits != 0) {
        return -ERANGE;
    }
    port_lock(&im->lock);
    struct iommu_stream *slot = spare(im);

    if (find(im, sid) != NULL) {
        err = -EBUSY;
    } else if (slot == NULL) {
        err = -ENOSPC;
    } else {
        err = enter(d, sid);
    }
    if (err == 0) {
        *slot = (struct iommu_stream){ .sid = sid, .domain = d };
    }
    port_unlock(&im->lock);
    return err;
}

int iommu_detach(struct iommu_domain *d, uint32_t sid)
{
    struct iommu *im = d->im;
    int err = -ENOENT;

    port_lock(&im->lock);
    struct iommu_stream *s = find(im, sid);

    if (s != NULL && s->domain == d) {
        im->ops->detach(im, sid);
        s->domain = NULL;
        __atomic_sub_fetch(&d->devices, 1, __ATOMIC_SEQ_CST);
        err = 0;
    }
    port_unlock(&im->lock);
    return err;
}

int iommu_replace(struct iommu_domain *from, struct iommu_domain *to, uint32_t sid)
{
    struct iommu *im = from->im;
    int err = -ENOENT;

    if (to->im != im) {
        return -EINVAL;
    }
    port_lock(&im->lock);
    struct iommu_stream *s = find(im, sid);

    if (s != NULL && s->domain == from) {
        err = enter(to, sid);
        if (err == 0) {
            s->domain = to;
            __atomic_sub_fetch(&from->devices, 1, __ATOMIC_SEQ_CST);
        }
    }
    port_unlock(&im->lock);
    return err;
}

struct iommu_domain *iommu_domain_of(struct iommu *im, uint32_t sid)
{
    port_lock(&im->lock);
    struct iommu_stream *s = find(im, sid);
    struct iommu_domain *d = s == NULL ? NULL : s->domain;

    port_unlock(&im->lock);
    return d;
}
