/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices bound to an open file, and iommufd's rules for what they may be attached to. Which tree a device
 * or a PASID walks is then the core's: iommu/ on the file's software IOMMU. Each device is alone in its
 * group.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/swiommu.h"
#include "tenon/port.h"

struct device *device_bind(struct ctx *c, const struct dev_ops *ops, void *owner)
{
    struct swiommu *sw = swiommu_of(c);
    struct device *d = sw != NULL ? obj_new(c, sizeof(*d), OBJ_DEVICE) : NULL;

    if (d != NULL) {
        d->ops = ops;
        d->owner = owner;
        d->iommu = sw;
        d->obj.users++; /* who bound it, until device_unbind */
        obj_live(d);
    }
    return d;
}

void device_unbind(struct device *d)
{
    while (d->attach != NULL) {
        device_detach(d, d->attach->pasid);
    }
    if (d->vdev != NULL) { /* its id dies with the device: nobody may find another thing there */
        obj_drop(d->vdev, true);
    }
    d->obj.users--;
    obj_drop(d, false);
}

void device_destroy(struct obj *o)
{
    struct device *d = (struct device *)(void *)o;

    pasid_control_close(&d->control);
    free(d->slot);
}

static struct attach *attach_find(const struct device *d, uint32_t pasid)
{
    struct attach *a = d->attach;

    while (a != NULL && a->pasid != pasid) {
        a = a->next;
    }
    return a;
}

struct hwpt *device_hwpt(const struct device *d, uint32_t pasid)
{
    const struct attach *a = attach_find(d, pasid);

    return a != NULL ? a->hwpt : NULL;
}

/* ---- on the IOMMU ---- */

/* What a nested HWPT's guest table stands on, or the HWPT's own tree. */
static struct iommu_domain *tree(const struct hwpt *h)
{
    return &(h->domain != NULL ? h : h->parent)->domain->io;
}

/* Made with the first PASID: 8 MiB of address space for 20 bits, of which hardly anything is touched. */
static int pasids_open(struct device *d)
{
    uint32_t n = (1u << d->ops->pasid_bits(d)) - PASID_FIRST;

    if (d->slot != NULL) {
        return 0;
    }
    d->slot = calloc(n, sizeof(struct pasid *));
    if (d->slot == NULL) {
        return -ENOMEM;
    }
    int err = pasid_set_init(&d->pasids, &swiommu_pasid_ops, d->slot, n);

    return err != 0 ? err : pasid_control_open(&d->control, &d->pasids, OWNER_HOST, n);
}

static int enter_pasid(struct attach *a, const struct hwpt *h)
{
    struct device *d = a->dev;
    int err = pasids_open(d);

    if (err == 0) {
        err = pasid_control_claim(&d->control, &a->number, a->pasid);
    }
    if (err != 0) {
        return err;
    }
    err = pasid_control_shape(&d->control, a->pasid, tree(h));
    if (err == 0) {
        err = pasid_attach(&d->pasids, &d->iommu->im, d->obj.id, OWNER_HOST, a->pasid);
    }
    if (err != 0) {
        (void)pasid_control_free(&d->control, a->pasid);
    }
    return err;
}

static int enter(struct attach *a, const struct hwpt *h)
{
    return a->pasid == NO_PASID ? iommu_attach(tree(h), a->dev->obj.id) : enter_pasid(a, h);
}

static int move(struct attach *a, const struct hwpt *h)
{
    return a->pasid == NO_PASID ? iommu_replace(tree(a->hwpt), tree(h), a->dev->obj.id)
                                : pasid_control_shape(&a->dev->control, a->pasid, tree(h));
}

static void leave(struct attach *a)
{
    struct device *d = a->dev;
    int err = 0;

    if (a->pasid == NO_PASID) {
        err = iommu_detach(tree(a->hwpt), d->obj.id);
    } else {
        err = pasid_detach(&d->pasids, &d->iommu->im, d->obj.id, OWNER_HOST, a->pasid);
        err = err == 0 ? pasid_control_free(&d->control, a->pasid) : err;
    }
    if (err != 0) {
        port_panic("iommufd: what is attached is not on the IOMMU");
    }
}

/* ---- iommufd's rules ---- */

/* PASIDs and the rest of the device share a format: all of them must have been made for it. */
static int compatible(const struct device *d, uint32_t pasid, const struct hwpt *h)
{
    if (d->ops != h->ops) {
        return -EINVAL;
    }
    if (pasid == NO_PASID) {
        for (const struct attach *a = d->attach; a != NULL; a = a->next) {
            if (a->pasid != NO_PASID && !h->pasid_compat) {
                return -EINVAL;
            }
        }
        return 0;
    }
    const struct hwpt *rid = device_hwpt(d, NO_PASID);

    if (!h->pasid_compat || (rid != NULL && !rid->pasid_compat)) {
        return -EINVAL;
    }
    return pasid >> d->ops->pasid_bits(d) != 0 ? -EINVAL : 0;
}

/* What the kind of device has to say, before the IOMMU is asked. */
static int allowed(struct device *d, uint32_t pasid, struct hwpt *h)
{
    return d->ops->attach != NULL ? d->ops->attach(d, pasid, h) : 0;
}

static int attach_new(struct attach *a, struct hwpt *h)
{
    int err = fault_attach(a, h);

    if (err != 0) {
        return err;
    }
    err = allowed(a->dev, a->pasid, h);
    if (err == 0) {
        err = enter(a, h);
        if (err != 0 && a->dev->ops->detach != NULL) {
            a->dev->ops->detach(a->dev, a->pasid);
        }
    }
    if (err != 0) {
        fault_detach(a, h);
    }
    return err;
}

static int do_attach(struct device *d, uint32_t pasid, struct hwpt *h, struct hwpt **old)
{
    *old = NULL;
    if (attach_find(d, pasid) != NULL) {
        return -EBUSY;
    }
    int err = compatible(d, pasid, h);

    if (err != 0) {
        return err;
    }
    struct attach *a = calloc(1, sizeof(*a));

    if (a == NULL) {
        return -ENOMEM;
    }
    *a = (struct attach){ .dev = d, .pasid = pasid, .hwpt = h, .next = d->attach };
    err = attach_new(a, h);
    if (err != 0) {
        free(a);
        return err;
    }
    d->attach = a;
    h->obj.users++;
    return 0;
}

static int do_replace(struct device *d, uint32_t pasid, struct hwpt *h, struct hwpt **old)
{
    struct attach *a = attach_find(d, pasid);

    *old = NULL;
    if (a == NULL) {
        return -EINVAL;
    }
    if (a->hwpt == h) {
        return 0;
    }
    int err = compatible(d, pasid, h);
    bool had_queue = a->hwpt->fault != NULL;

    /* All that can fail comes first: a place for page requests, which the old one leaves to the new. */
    if (err == 0 && !had_queue) {
        err = fault_attach(a, h);
    }
    if (err != 0) {
        return err;
    }
    err = allowed(d, pasid, h);
    if (err == 0) {
        err = move(a, h);
    }
    if (err != 0) {
        if (!had_queue) {
            fault_detach(a, h);
        }
        return err;
    }
    if (had_queue) {
        fault_detach(a, a->hwpt);
        (void)fault_attach(a, h); /* in the place that came free */
    }
    *old = a->hwpt;
    a->hwpt = h;
    h->obj.users++;
    return 0;
}

typedef int (*attach_fn)(struct device *d, uint32_t pasid, struct hwpt *h, struct hwpt **old);

/* An IOAS as the target: one of its automatic tables that suits the device, or a new one. */
static int attach_auto(struct call *c, struct device *d, uint32_t pasid, struct ioas *s,
                       uint32_t *pt_id, attach_fn fn, struct hwpt **old)
{
    struct hwpt *h;
    int err;

    for (uint32_t i = 0; i < s->hwpts; i++) {
        h = s->hwpt[i];
        if (!h->auto_domain) {
            continue;
        }
        err = fn(d, pasid, h, old);
        if (err == 0) {
            *pt_id = h->obj.id;
        }
        if (err != -EINVAL) {
            return err;
        }
    }
    err = hwpt_new_paging(c, s, d, 0, NULL, &h);
    if (err != 0) {
        return err;
    }
    err = fn(d, pasid, h, old);
    if (err != 0) {
        hwpt_destroy(&h->obj);
        obj_abort(h);
        return err;
    }
    h->auto_domain = true;
    *pt_id = h->obj.id;
    obj_live(h);
    return 0;
}

static int change(struct call *c, struct device *d, uint32_t pasid, uint32_t *pt_id, attach_fn fn)
{
    struct obj *o = obj_get(c->ctx, *pt_id, OBJ_ANY);
    struct hwpt *old = NULL;
    int err;

    if (o == NULL) {
        return -ENOENT;
    }
    if (o->type == OBJ_HWPT_PAGING || o->type == OBJ_HWPT_NESTED) {
        err = fn(d, pasid, (struct hwpt *)(void *)o, &old);
    } else if (o->type == OBJ_IOAS) {
        err = attach_auto(c, d, pasid, (struct ioas *)(void *)o, pt_id, fn, &old);
    } else {
        err = -EINVAL;
    }
    if (err == 0 && old != NULL) {
        hwpt_put(old);
    }
    return err;
}

int device_attach(struct call *c, struct device *d, uint32_t pasid, uint32_t *pt_id)
{
    return change(c, d, pasid, pt_id, do_attach);
}

int device_replace(struct call *c, struct device *d, uint32_t pasid, uint32_t *pt_id)
{
    return change(c, d, pasid, pt_id, do_replace);
}

void device_detach(struct device *d, uint32_t pasid)
{
    struct attach *a = attach_find(d, pasid), **at = &d->attach;

    if (a == NULL) {
        return;
    }
    leave(a);
    if (d->ops->detach != NULL) {
        d->ops->detach(d, pasid);
    }
    fault_detach(a, a->hwpt);
    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    hwpt_put(a->hwpt);
    free(a);
}

int device_hw_info(struct call *c)
{
    struct u_hw_info *u = &c->u->info;
    unsigned char buf[64], zero[256] = { 0 };
    uint32_t len = 0;

    if ((u->flags & ~(uint32_t)U_HW_INFO_INPUT_TYPE) != 0 || u->reserved[0] != 0 ||
        u->reserved[1] != 0 || u->reserved[2] != 0) {
        return -EOPNOTSUPP;
    }
    if ((u->flags & U_HW_INFO_INPUT_TYPE) == 0) {
        u->data_type = 0;
    }
    struct device *d = obj_get(c->ctx, u->dev_id, OBJ_DEVICE);

    if (d == NULL) {
        return -ENOENT;
    }
    memset(buf, 0, sizeof(buf));
    int err = d->ops->hw_info(d, &u->data_type, buf, &len);

    if (err != 0) {
        return err;
    }
    uint32_t n = u->data_len < len ? u->data_len : len;

    if (mm_write(c->mm, u->data_uptr, buf, n) != 0) {
        return -EFAULT;
    }
    for (uint32_t at = n; at < u->data_len;) {
        uint32_t part = u->data_len - at < sizeof(zero) ? u->data_len - at : sizeof(zero);

        if (mm_write(c->mm, u->data_uptr + at, zero, part) != 0) {
            return -EFAULT;
        }
        at += part;
    }
    u->data_len = len;
    u->out_capabilities = U_HW_CAP_ATS_NOT_SUPPORTED | (d->ops->dirty(d) ? U_HW_CAP_DIRTY : 0);
    u->out_max_pasid_log2 = (uint8_t)d->ops->pasid_bits(d);
    return call_respond(c, u, sizeof(*u));
}
