/* SPDX-License-Identifier: BSD-2-Clause */
/* vIOMMUs: a guest's view of the IOMMU, its devices by their virtual ids, and its hardware queues. */
#include <errno.h>
#include <stdlib.h>

#include "iommufd/iod.h"

#define QUEUE_PAGES_MAX (1u << 20)

int viommu_alloc(struct call *c)
{
    struct u_viommu_alloc *u = &c->u->viommu;
    const struct user_data data = { u->type, u->data_len, u->data_uptr };

    if (u->flags != 0 || u->type == 0) {
        return -EOPNOTSUPP;
    }
    struct device *d = obj_get(c->ctx, u->dev_id, OBJ_DEVICE);

    if (d == NULL) {
        return -ENOENT;
    }
    if (d->ops->viommu_type == NULL || !d->ops->viommu_type(u->type)) {
        return -EOPNOTSUPP;
    }
    struct hwpt *h = obj_get(c->ctx, u->hwpt_id, OBJ_HWPT_PAGING);

    if (h == NULL) {
        return -ENOENT;
    }
    if (!h->nest_parent) {
        return -EINVAL;
    }
    struct viommu *v = obj_new(c->ctx, sizeof(*v), OBJ_VIOMMU);

    if (v == NULL) {
        return -ENOMEM;
    }
    v->ops = d->ops;
    v->type = u->type;
    v->hwpt = h;
    h->obj.users++;
    int err = d->ops->viommu_init(c, v, data.len != 0 ? &data : NULL);

    if (err == 0) {
        u->out_viommu_id = v->obj.id;
        err = call_respond(c, u, sizeof(*u));
    }
    if (err != 0) {
        viommu_destroy(&v->obj);
        obj_abort(v);
        return err;
    }
    obj_live(v);
    return 0;
}

void viommu_destroy(struct obj *o)
{
    struct viommu *v = (struct viommu *)(void *)o;

    v->ops->viommu_fini(v);
    v->hwpt->obj.users--;
}

struct vdevice *viommu_vdev(const struct viommu *v, uint64_t virt_id)
{
    struct vdevice *d = v->vdevs;

    while (d != NULL && d->virt_id != virt_id) {
        d = d->next;
    }
    return d;
}

int vdevice_alloc(struct call *c)
{
    struct u_vdevice_alloc *u = &c->u->vdevice;
    struct viommu *v = obj_get(c->ctx, u->viommu_id, OBJ_VIOMMU);
    struct device *d = obj_get(c->ctx, u->dev_id, OBJ_DEVICE);

    if (v == NULL || d == NULL) {
        return -ENOENT;
    }
    if (v->ops != d->ops) {
        return -EINVAL;
    }
    if (d->vdev != NULL || viommu_vdev(v, u->virt_id) != NULL) {
        return -EEXIST;
    }
    struct vdevice *vd = obj_new(c->ctx, sizeof(*vd), OBJ_VDEVICE);

    if (vd == NULL) {
        return -ENOMEM;
    }
    vd->viommu = v;
    vd->dev = d;
    vd->virt_id = u->virt_id;
    vd->next = v->vdevs;
    v->vdevs = vd;
    v->obj.users++;
    d->vdev = vd;
    u->out_vdevice_id = vd->obj.id;
    int err = call_respond(c, u, sizeof(*u));

    if (err != 0) {
        vdevice_destroy(&vd->obj);
        obj_abort(vd);
        return err;
    }
    obj_live(vd);
    return 0;
}

void vdevice_destroy(struct obj *o)
{
    struct vdevice *vd = (struct vdevice *)(void *)o;
    struct vdevice **at = &vd->viommu->vdevs;

    while (*at != vd) {
        at = &(*at)->next;
    }
    *at = vd->next;
    vd->viommu->obj.users--;
    vd->dev->vdev = NULL;
}

/* ---- hardware queues: memory of the guest that hardware reads by physical address ---- */

static uint64_t page_down(uint64_t a)
{
    return a - a % PG;
}

/* Pins the queue's memory, which must be in one piece, and keeps it from being unmapped. */
static int queue_pin(struct viommu *v, uint64_t iova, uint64_t len, struct access **out,
                     uint64_t *base)
{
    uint64_t off = iova % PG, n = (off + len + PG - 1) / PG;
    int err = 0;

    if (off + len < len || off + len + PG - 1 < len) {
        return -ERANGE;
    }
    uint64_t *pa = n <= QUEUE_PAGES_MAX ? calloc(n, sizeof(*pa)) : NULL;
    struct access *a = pa != NULL ? access_new(v->obj.ctx, true, PG) : NULL;

    if (a == NULL) {
        free(pa);
        return -ENOMEM;
    }
    err = access_attach(a, v->hwpt->ioas);
    if (err == 0) {
        err = access_pin(a, page_down(iova), n * PG, false, pa);
    }
    if (err == 0) {
        for (uint64_t i = 1; i < n && err == 0; i++) {
            err = pa[i] == pa[i - 1] + PG ? 0 : -EFAULT;
        }
        *base = pa[0] + off;
        if (err != 0) {
            access_unpin(a, page_down(iova), n * PG);
        }
    }
    free(pa);
    if (err != 0) {
        access_closed(a);
        return err;
    }
    *out = a;
    return 0;
}

int hw_queue_alloc(struct call *c)
{
    struct u_hw_queue_alloc *u = &c->u->hw_queue;
    uint64_t base = 0;

    if (u->flags != 0 || u->type == 0) {
        return -EOPNOTSUPP;
    }
    if (u->length == 0) {
        return -EINVAL;
    }
    if (u->nesting_parent_iova + (u->length - 1) < u->nesting_parent_iova) {
        return -EOVERFLOW;
    }
    struct viommu *v = obj_get(c->ctx, u->viommu_id, OBJ_VIOMMU);

    if (v == NULL) {
        return -ENOENT;
    }
    if (v->ops->queue_type == NULL || !v->ops->queue_type(u->type)) {
        return -EOPNOTSUPP;
    }
    struct hw_queue *q = obj_new(c->ctx, sizeof(*q), OBJ_HW_QUEUE);

    if (q == NULL) {
        return -ENOMEM;
    }
    int err = queue_pin(v, u->nesting_parent_iova, u->length, &q->access, &base);

    if (err != 0) {
        obj_abort(q);
        return err;
    }
    q->viommu = v;
    v->obj.users++;
    q->type = u->type;
    q->index = u->index;
    q->len = u->length;
    q->base = u->nesting_parent_iova;
    err = v->ops->queue_init(q, u->index, base);
    if (err == 0) {
        u->out_id = q->obj.id;
        err = call_respond(c, u, sizeof(*u));
        if (err == 0) {
            obj_live(q);
            return 0;
        }
        v->ops->queue_fini(q);
    }
    access_unpin(q->access, page_down(q->base), (q->base % PG + q->len + PG - 1) / PG * PG);
    access_closed(q->access);
    v->obj.users--;
    obj_abort(q);
    return err;
}

void hw_queue_destroy(struct obj *o)
{
    struct hw_queue *q = (struct hw_queue *)(void *)o;

    q->viommu->ops->queue_fini(q);
    access_unpin(q->access, page_down(q->base), (q->base % PG + q->len + PG - 1) / PG * PG);
    access_closed(q->access);
    q->viommu->obj.users--;
}
