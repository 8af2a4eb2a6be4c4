/* SPDX-License-Identifier: BSD-2-Clause */
/* The one allocator of PASIDs, its two sources, and the two calls of everybody who uses one. */
#include <stddef.h>

#include <tenon/errno.h>
#include <tenon/iommu_hold.h>
#include <tenon/pasid.h>

/* ---- numbers; the lock is held ---- */

static struct pasid *find(const struct pasid_set *set, uint32_t id)
{
    return id < PASID_FIRST || id - PASID_FIRST >= set->n ? NULL : set->slot[id - PASID_FIRST];
}

static int put(struct pasid_set *set, struct pasid *p, uint32_t k)
{
    if (k >= set->n) {
        return -ERANGE;
    }
    set->slot[k] = p;
    set->taken++;
    p->id = PASID_FIRST + k;
    return 0;
}

static int take(struct pasid_set *set, struct pasid *p)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t k = (set->next + i) % set->n;

        if (set->slot[k] == NULL) {
            set->next = k + 1; /* a number that was freed just now is the last to be given again */
            return put(set, p, k);
        }
    }
    return -ENOSPC;
}

static struct pasid_use *use_of(struct pasid *p, const struct iommu *im, uint32_t sid)
{
    for (uint32_t i = 0; i < PASID_USES; i++) {
        if (p->use[i].im == im && (im == NULL || p->use[i].sid == sid)) {
            return &p->use[i];
        }
    }
    return NULL;
}

static void take_off(struct pasid_set *set, struct pasid *p)
{
    for (uint32_t i = 0; i < PASID_USES; i++) {
        if (p->use[i].im != NULL) {
            set->ops->detach(p->use[i].im, p->use[i].sid, p->id);
            p->use[i].im = NULL;
            iommu_domain_release(p->domain);
        }
    }
}

/* No device uses it, so the number may mean something else from now on. */
static void give(struct pasid_set *set, struct pasid *p)
{
    take_off(set, p);
    set->slot[p->id - PASID_FIRST] = NULL;
    set->taken--;
    *p = (struct pasid){ .kind = PASID_FREE };
}

int pasid_set_init(struct pasid_set *set, const struct pasid_ops *ops, struct pasid **slot,
                   uint32_t n)
{
    if (n == 0 || n > (1u << PASID_BITS) - PASID_FIRST) {
        return -EINVAL;
    }
    *set = (struct pasid_set){ .ops = ops, .slot = slot, .n = n };
    return 0;
}

/* ---- from a mirror ---- */

static struct pasid *of_mirror(const struct pasid_set *set, const void *mirror)
{
    for (uint32_t i = 0; i < set->n; i++) {
        struct pasid *p = set->slot[i];

        if (p != NULL && p->kind == PASID_OF_MIRROR && p->from == mirror) {
            return p;
        }
    }
    return NULL;
}

int pasid_of_mirror(struct pasid_set *set, const void *mirror, struct iommu_domain *d,
                    struct pasid *p, uint32_t *id)
{
    int err = 0;

    if (mirror == NULL || d == NULL) {
        return -EINVAL;
    }
    port_lock(&set->lock);
    struct pasid *had = of_mirror(set, mirror);

    if (had != NULL && had->owner != d->owner) {
        err = -EPERM;
    } else if (had == NULL) {
        *p = (struct pasid){
            .kind = PASID_OF_MIRROR, .owner = d->owner, .from = mirror, .domain = d
        };
        err = take(set, p);
        had = p;
    }
    if (err == 0) {
        had->holders++;
        *id = had->id;
    }
    port_unlock(&set->lock);
    return err;
}

int pasid_put_mirror(struct pasid_set *set, const void *mirror)
{
    port_lock(&set->lock);
    struct pasid *p = of_mirror(set, mirror);

    if (p != NULL && --p->holders == 0) {
        give(set, p);
    }
    port_unlock(&set->lock);
    return p == NULL ? -ENOENT : 0;
}

/* ---- from a control object ---- */

int pasid_control_open(struct pasid_control *c, struct pasid_set *set, owner_t owner,
                       uint32_t quota)
{
    if (owner == OWNER_NONE || quota == 0) {
        return -EINVAL;
    }
    *c = (struct pasid_control){ .set = set, .owner = owner, .quota = quota };
    return 0;
}

/* id 0: whichever is free. */
static int control_take(struct pasid_control *c, struct pasid *p, uint32_t id)
{
    int err = 0;

    if (c->set == NULL) {
        return -ENOENT;
    }
    port_lock(&c->set->lock);
    if (c->held == c->quota) {
        err = -ENOSPC;
    } else if (id != 0 && find(c->set, id) != NULL) {
        err = -EBUSY;
    } else {
        *p = (struct pasid){ .kind = PASID_OF_CONTROL, .owner = c->owner, .from = c };
        err = id != 0 ? put(c->set, p, id - PASID_FIRST) : take(c->set, p);
        c->held += err == 0;
    }
    port_unlock(&c->set->lock);
    return err;
}

int pasid_control_alloc(struct pasid_control *c, struct pasid *p)
{
    return control_take(c, p, 0);
}

int pasid_control_claim(struct pasid_control *c, struct pasid *p, uint32_t id)
{
    return id < PASID_FIRST ? -ERANGE : control_take(c, p, id);
}

static struct pasid *of_control(const struct pasid_control *c, uint32_t id)
{
    struct pasid *p = find(c->set, id);

    return p != NULL && p->kind == PASID_OF_CONTROL && p->from == c ? p : NULL;
}

static int point(struct pasid_set *set, struct iommu *im, uint32_t sid, uint32_t id,
                 struct iommu_domain *d)
{
    iommu_domain_hold(d);
    int err = set->ops->attach(im, sid, id, d);

    if (err != 0) {
        iommu_domain_release(d);
    }
    return err;
}

/* Back to the tree that it had, which it still holds. */
static void point_back(struct pasid_set *set, struct pasid *p, struct pasid_use *u,
                       struct iommu_domain *from)
{
    if (set->ops->attach(u->im, u->sid, p->id, p->domain) != 0) {
        set->ops->detach(u->im, u->sid, p->id); /* nothing rather than the wrong tree */
        u->im = NULL;
        iommu_domain_release(p->domain);
    }
    iommu_domain_release(from);
}

static int reshape(struct pasid_set *set, struct pasid *p, struct iommu_domain *d)
{
    int err = 0;
    uint32_t n;

    for (n = 0; n < PASID_USES && err == 0; n++) {
        const struct pasid_use *u = &p->use[n];

        if (u->im != NULL) {
            err = u->im == d->im ? point(set, u->im, u->sid, p->id, d) : -EINVAL;
        }
    }
    n -= err != 0;
    for (uint32_t i = 0; i < n; i++) {
        struct pasid_use *u = &p->use[i];

        if (u->im != NULL && err != 0) {
            point_back(set, p, u, d);
        } else if (u->im != NULL) {
            iommu_domain_release(p->domain);
        }
    }
    return err;
}

int pasid_control_shape(struct pasid_control *c, uint32_t id, struct iommu_domain *d)
{
    int err = 0;

    if (c->set == NULL) {
        return -ENOENT;
    }
    port_lock(&c->set->lock);
    struct pasid *p = of_control(c, id);

    if (p == NULL) {
        err = -ENOENT;
    } else if (d == NULL) {
        take_off(c->set, p);
    } else {
        err = d->owner != c->owner ? -EPERM : reshape(c->set, p, d);
    }
    if (err == 0) {
        p->domain = d;
    }
    port_unlock(&c->set->lock);
    return err;
}

static bool in_use(const struct pasid *p)
{
    for (uint32_t i = 0; i < PASID_USES; i++) {
        if (p->use[i].im != NULL) {
            return true;
        }
    }
    return false;
}

int pasid_control_free(struct pasid_control *c, uint32_t id)
{
    int err = 0;

    if (c->set == NULL) {
        return -ENOENT;
    }
    port_lock(&c->set->lock);
    struct pasid *p = of_control(c, id);

    if (p == NULL) {
        err = -ENOENT;
    } else if (in_use(p)) {
        err = -EBUSY;
    } else {
        give(c->set, p);
        c->held--;
    }
    port_unlock(&c->set->lock);
    return err;
}

void pasid_control_close(struct pasid_control *c)
{
    struct pasid_set *set = c->set;

    if (set == NULL) {
        return;
    }
    port_lock(&set->lock);
    for (uint32_t i = 0; i < set->n && c->held != 0; i++) {
        struct pasid *p = set->slot[i];

        if (p != NULL && p->kind == PASID_OF_CONTROL && p->from == c) {
            give(set, p);
            c->held--;
        }
    }
    c->set = NULL;
    port_unlock(&set->lock);
}

/* ---- consumers ---- */

int pasid_attach(struct pasid_set *set, struct iommu *im, uint32_t sid, owner_t who, uint32_t id)
{
    struct pasid_use *use = NULL;
    int err = 0;

    port_lock(&set->lock);
    struct pasid *p = find(set, id);

    if (p == NULL) {
        err = -ENOENT;
    } else if (p->owner != who) {
        err = -EPERM;
    } else if (id >> im->caps.ssid_bits != 0) {
        err = -ERANGE;
    } else if (use_of(p, im, sid) != NULL) {
        err = -EBUSY;
    } else if (p->domain == NULL) {
        err = -EAGAIN;
    } else if (p->domain->im != im) {
        err = -EINVAL;
    } else if ((use = use_of(p, NULL, 0)) == NULL) {
        err = -ENOSPC;
    } else {
        err = point(set, im, sid, id, p->domain);
    }
    if (err == 0) {
        *use = (struct pasid_use){ .im = im, .sid = sid };
    }
    port_unlock(&set->lock);
    return err;
}

int pasid_detach(struct pasid_set *set, struct iommu *im, uint32_t sid, owner_t who, uint32_t id)
{
    int err = 0;

    port_lock(&set->lock);
    struct pasid *p = find(set, id);
    struct pasid_use *use = p == NULL ? NULL : use_of(p, im, sid);

    if (use == NULL) {
        err = -ENOENT;
    } else if (p->owner != who) {
        err = -EPERM;
    } else {
        set->ops->detach(im, sid, id);
        use->im = NULL;
        iommu_domain_release(p->domain);
    }
    port_unlock(&set->lock);
    return err;
}

struct iommu_domain *pasid_domain(struct pasid_set *set, const struct iommu *im, uint32_t sid,
                                  uint32_t id)
{
    struct iommu_domain *d = NULL;

    port_lock(&set->lock);
    struct pasid *p = find(set, id);

    if (p != NULL && use_of(p, im, sid) != NULL) {
        d = p->domain;
    }
    port_unlock(&set->lock);
    return d;
}
