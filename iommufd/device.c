/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices bound to an open file, and what each of their PASIDs is attached to. Each device is alone
 * in its group.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/iod.h"

struct device *device_bind(struct ctx *c, const struct dev_ops *ops, void *owner)
{
    struct device *d = obj_new(c, sizeof(*d), OBJ_DEVICE);

    if (d != NULL) {
        d->ops = ops;
        d->owner = owner;
        d->obj.users++; /* who bound it, until device_unbind */
        obj_live(d);
    }
    return d;
}

void device_unbind(struct device *d)
{
    while (d->attaches != 0) {
        device_detach(d, d->attach[0].pasid);
    }
    if (d->vdev != NULL) { /* its id dies with the device: nobody may find another thing there */
        obj_drop(d->vdev, true);
    }
    d->obj.users--;
    obj_drop(d, false);
}

void device_destroy(struct obj *o)
{
    free(((struct device *)(void *)o)->attach);
}

static struct attach *attach_find(const struct device *d, uint32_t pasid)
{
    for (uint32_t i = 0; i < d->attaches; i++) {
        if (d->attach[i].pasid == pasid) {
            return &d->attach[i];
        }
    }
    return NULL;
}

struct hwpt *device_hwpt(const struct device *d, uint32_t pasid)
{
    const struct attach *a = attach_find(d, pasid);

    return a != NULL ? a->hwpt : NULL;
}

/* PASIDs and the rest of the device share a format: all of them must have been made for it. */
static int compatible(const struct device *d, uint32_t pasid, const struct hwpt *h)
{
    if (pasid == NO_PASID) {
        for (uint32_t i = 0; i < d->attaches; i++) {
            if (d->attach[i].pasid != NO_PASID && !h->pasid_compat) {
                return -EINVAL;
            }
        }
        return 0;
    }
    const struct hwpt *rid = device_hwpt(d, NO_PASID);

    if (!h->pasid_compat || (rid != NULL && !rid->pasid_compat)) {
        return -EINVAL;
    }
    return d->ops != h->ops || pasid >> d->ops->pasid_bits(d) != 0 ? -EINVAL : 0;
}

static int do_attach(struct device *d, uint32_t pasid, struct hwpt *h, struct hwpt **old)
{
    *old = NULL;
    if (attach_find(d, pasid) != NULL) {
        return -EBUSY;
    }
    int err = compatible(d, pasid, h);

    if (err == 0 && d->ops != h->ops) {
        err = -EINVAL;
    }
    if (err != 0) {
        return err;
    }
    struct attach *a = realloc(d->attach, (d->attaches + 1) * sizeof(*a));

    if (a == NULL) {
        return -ENOMEM;
    }
    d->attach = a;
    err = d->ops->attach(d, pasid, h);
    if (err != 0) {
        return err;
    }
    d->attach[d->attaches++] = (struct attach){ pasid, h };
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

    if (err == 0) {
        err = d->ops != h->ops ? -EINVAL : d->ops->attach(d, pasid, h);
    }
    if (err != 0) {
        return err;
    }
    fault_detach(a->hwpt, d, pasid);
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
    struct attach *a = attach_find(d, pasid);

    if (a == NULL) {
        return;
    }
    struct hwpt *h = a->hwpt;

    d->ops->detach(d, pasid);
    *a = d->attach[--d->attaches];
    fault_detach(h, d, pasid);
    hwpt_put(h);
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
