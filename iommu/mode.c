/* SPDX-License-Identifier: BSD-2-Clause */
/* Share and mirror mode of one VM's memory, and the way from one to the other without a gap. */
#include <stddef.h>

#include "space/internal.h"
#include <tenon/iommu_mode.h>

#define SHARE_TRIES 16u

/* ---- the trees ---- */

static struct pt_live met(const struct iommu_view *v)
{
    return pt_live_meet(v->cpu_live, v->im->caps.live);
}

/* Sets v->why. */
static bool can_share(struct iommu_view *v)
{
    struct pt_config cfg = v->cpu->pt.cfg;

    cfg.live = met(v);
    return iommu_share_check(v->im, &cfg, &v->why) == 0;
}

/* The devices' own tree, of the CPU's geometry where they could share: then only the address of the
 * start table differs in what the IOMMU is told, which is one store. */
static int own_init(struct iommu_view *v)
{
    struct pt_config cfg = v->cpu->pt.cfg;
    int err = 0;

    if (can_share(v)) {
        struct pt_live both = met(v);

        cfg.live = v->im->caps.live;
        cfg.live.hw_af = both.hw_af;
        cfg.live.hw_dirty = both.hw_dirty;
    } else {
        err = iommu_own_config(v->im, &cfg);
    }
    if (err == 0) {
        err = space_init(&v->own, SPACE_IO, &cfg);
    }
    if (err == 0) {
        v->own.page_requests = v->im->caps.stall;
        v->own.max_leaf = v->cpu->max_leaf;
    }
    return err;
}

/* Follows what the CPU's tree follows, from here on. */
static int own_bind(struct iommu_view *v)
{
    int err = 0;

    for (unsigned i = 0; i < SPACE_BINDINGS && err == 0; i++) {
        const struct binding *b = &v->cpu->binding[i];

        if (b->space != NULL && b->view == VIEW_GUEST) {
            err = space_bind(&v->own, b->f.gm, VIEW_GUEST, b->ia, b->first, b->n,
                             v->why == NULL ? b->prot : b->prot & ~(uint32_t)PT_EXEC,
                             b->prefill || !v->own.page_requests);
        }
    }
    return err;
}

/* ---- to mirror mode, from share mode or from nothing ---- */

static int mirror_up(struct iommu_view *v)
{
    int err = own_init(v);

    if (err != 0) {
        return err;
    }
    err = own_bind(v);
    if (err == 0) {
        err = iommu_domain_init(v->im, &v->mirror, &v->own, v->owner, v->vmid);
    }
    if (err != 0) {
        space_destroy(&v->own);
    }
    return err;
}

static void mirror_down(struct iommu_view *v)
{
    if (iommu_domain_fini(&v->mirror) != 0) {
        port_panic("iommu: a domain without devices is busy");
    }
    space_destroy(&v->own);
}

/*
 * A walker joins the CPU's tree. First the rules, then the walker; conversions stand still in between,
 * so that none has begun with the old rules, or waits for walkers that it did not tell.
 */
static int share_try(struct iommu_view *v)
{
    int err = v->im->caps.stall ? 0 : space_prefill(v->cpu);

    if (err != 0) {
        return err;
    }
    space_stop(v->cpu);
    bool requests = v->cpu->page_requests;

    v->cpu->page_requests = v->im->caps.stall;
    err = space_set_live(v->cpu, met(v));
    if (err == 0) {
        err = iommu_domain_init(v->im, &v->share, v->cpu, v->owner, v->vmid);
        if (err != 0 && space_set_live(v->cpu, v->cpu_live) != 0) {
            port_panic("iommu: the CPU's own rules do not fit its tree");
        }
    }
    if (err != 0) {
        v->cpu->page_requests = requests;
    }
    space_go(v->cpu);
    return err;
}

static int share_up(struct iommu_view *v)
{
    int err = can_share(v) ? -EAGAIN : -EOPNOTSUPP;

    /* Who zaps without end finds that it cannot be done. */
    for (unsigned i = 0; err == -EAGAIN && i < SHARE_TRIES; i++) {
        err = share_try(v);
    }
    return err == -EAGAIN ? -EBUSY : err;
}

static void share_down(struct iommu_view *v)
{
    space_stop(v->cpu);
    if (iommu_domain_fini(&v->share) != 0 || space_set_live(v->cpu, v->cpu_live) != 0) {
        port_panic("iommu: a walker cannot leave the CPU's tree");
    }
    v->cpu->page_requests = false;
    space_go(v->cpu);
}

/* Every stream of `from`, or none. */
static int move(struct iommu_domain *from, struct iommu_domain *to)
{
    struct iommu *im = from->im;
    int err = 0;

    for (unsigned i = 0; i < IOMMU_STREAMS && err == 0; i++) {
        port_lock(&im->lock);
        struct iommu_stream s = im->stream[i];

        port_unlock(&im->lock);
        if (s.domain == from) {
            err = iommu_replace(from, to, s.sid);
        }
    }
    return err;
}

static int switch_mode(struct iommu_view *v, enum iommu_mode mode)
{
    bool mirror = mode == IOMMU_MIRROR;
    struct iommu_domain *from = mirror ? &v->share : &v->mirror;
    struct iommu_domain *to = mirror ? &v->mirror : &v->share;
    int err = mirror ? mirror_up(v) : share_up(v);

    if (err != 0) {
        return err;
    }
    err = move(from, to);
    if (err != 0 && move(to, from) != 0) {
        port_log("iommu: streams are left in both modes");
        return err;
    }
    if (mirror == (err == 0)) {
        share_down(v);
    } else {
        mirror_down(v);
    }
    if (err == 0) {
        v->mode = mode;
        v->switches++;
    }
    return err;
}

/* ---- life ---- */

int iommu_view_init(struct iommu_view *v, struct iommu *im, struct space *cpu, owner_t owner,
                    int vmid, enum iommu_mode mode)
{
    *v = (struct iommu_view){ .im = im,
                              .cpu = cpu,
                              .cpu_live = cpu->pt.cfg.live,
                              .owner = owner,
                              .vmid = vmid,
                              .mode = mode };
    if (cpu->kind != SPACE_CPU || !cpu->pt.cfg.live.stalls ||
        (mode != IOMMU_SHARE && mode != IOMMU_MIRROR)) {
        return -EINVAL;
    }
    if (!can_share(v)) {
        v->mode = IOMMU_MIRROR;
    }
    int err = v->mode == IOMMU_SHARE ? share_up(v) : mirror_up(v);

    if (err == 0 && v->vmid < 0) {
        v->vmid = iommu_view_domain(v)->tag; /* one tag for both trees, whoever chose it */
    }
    return err;
}

int iommu_view_fini(struct iommu_view *v)
{
    port_lock(&v->lock);
    int err = __atomic_load_n(&iommu_view_domain(v)->devices, __ATOMIC_SEQ_CST) != 0 ? -EBUSY : 0;

    if (err == 0 && v->mode == IOMMU_SHARE) {
        share_down(v);
    } else if (err == 0) {
        mirror_down(v);
    }
    port_unlock(&v->lock);
    return err;
}

struct iommu_domain *iommu_view_domain(struct iommu_view *v)
{
    return v->mode == IOMMU_SHARE ? &v->share : &v->mirror;
}

int iommu_view_attach(struct iommu_view *v, uint32_t sid)
{
    port_lock(&v->lock);
    int err = iommu_attach(iommu_view_domain(v), sid);

    port_unlock(&v->lock);
    return err;
}

int iommu_view_detach(struct iommu_view *v, uint32_t sid)
{
    port_lock(&v->lock);
    int err = iommu_detach(iommu_view_domain(v), sid);

    port_unlock(&v->lock);
    return err;
}

enum iommu_response iommu_view_page_request(struct iommu_view *v, uint64_t iova, uint32_t access)
{
    port_lock(&v->lock);
    enum iommu_response r = iommu_page_request(iommu_view_domain(v), iova, access);

    port_unlock(&v->lock);
    return r;
}

int iommu_view_set(struct iommu_view *v, enum iommu_mode mode)
{
    int err = -EINVAL;

    port_lock(&v->lock);
    if (mode == v->mode) {
        err = 0;
    } else if (mode == IOMMU_MIRROR || mode == IOMMU_SHARE) {
        /* What devices wrote is known to the tree that they walk. */
        err = v->io_logged ? -EBUSY : switch_mode(v, mode);
    }
    if (err == 0) {
        v->moved = false; /* it is where it was asked to be */
    }
    port_unlock(&v->lock);
    return err;
}

/* ---- logs ---- */

/* May the device's walker see such leaves? Never a protected one; a tracked one if it sets the bit. */
static bool honours(const struct iommu_view *v, enum space_log_kind kind)
{
    return kind == SPACE_LOG_AHEAD || (kind == SPACE_LOG_DIRTY_BIT && met(v).hw_dirty);
}

static int log_both(struct iommu_view *v, enum space_log_kind kind, uint64_t ia, uint64_t len,
                    uint64_t *bits, uint64_t *io_bits)
{
    int err = space_log_start(v->cpu, kind, ia, len, bits);

    if (err != 0 || kind == SPACE_LOG_AHEAD) {
        return err;
    }
    v->io_logged = v->mode == IOMMU_SHARE;
    if (v->mode == IOMMU_MIRROR && io_bits != NULL && v->own.pt.cfg.live.hw_dirty) {
        err = space_log_start(&v->own, SPACE_LOG_DIRTY_BIT, ia, len, io_bits);
        v->io_logged = err == 0;
        if (err != 0) {
            (void)space_log_stop(v->cpu);
        }
    }
    return err;
}

int iommu_view_log_start(struct iommu_view *v, enum space_log_kind kind, uint64_t ia, uint64_t len,
                         uint64_t *bits, uint64_t *io_bits)
{
    int err = 0;

    port_lock(&v->lock);
    if (v->mode == IOMMU_SHARE && kind != SPACE_LOG_OFF && !honours(v, kind)) {
        err = switch_mode(v, IOMMU_MIRROR);
        v->moved = err == 0;
    }
    if (err == 0) {
        err = log_both(v, kind, ia, len, bits, io_bits);
        if (err != 0 && v->moved && switch_mode(v, IOMMU_SHARE) == 0) {
            v->moved = false;
        }
    }
    port_unlock(&v->lock);
    return err;
}

int iommu_view_log_read_clear(struct iommu_view *v, uint64_t ia, uint64_t len, uint64_t *bitmap)
{
    port_lock(&v->lock);
    int err = space_log_read_clear(v->cpu, ia, len, bitmap);

    if (err == 0 && v->io_logged && v->mode == IOMMU_MIRROR) {
        err = space_log_read_clear(&v->own, ia, len, bitmap);
    }
    port_unlock(&v->lock);
    return err;
}

int iommu_view_log_stop(struct iommu_view *v)
{
    port_lock(&v->lock);
    int err = space_log_stop(v->cpu);

    if (v->io_logged && v->mode == IOMMU_MIRROR) {
        (void)space_log_stop(&v->own);
    }
    v->io_logged = false;
    if (err == 0 && v->moved) {
        v->moved = switch_mode(v, IOMMU_SHARE) != 0; /* no memory: they stay where they are */
    }
    port_unlock(&v->lock);
    return err;
}
