/* SPDX-License-Identifier: BSD-2-Clause */
/* HWPTs: an I/O page table of an IOAS, or what a guest's own table stands on (nested). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/iod.h"

#define INVALIDATE_MAX (1u << 19)

static void unlist(struct hwpt *h)
{
    struct ioas *s = h->ioas;
    uint32_t at = 0;

    while (s->hwpt[at] != h) {
        at++;
    }
    s->hwpts--;
    memmove(&s->hwpt[at], &s->hwpt[at + 1], (s->hwpts - at) * sizeof(struct hwpt *));
    h->listed = false;
}

void hwpt_destroy(struct obj *o)
{
    struct hwpt *h = (struct hwpt *)(void *)o;

    if (h->listed) {
        unlist(h);
        iopt_remove_domain(&h->ioas->iopt, h->domain);
        h->domain->iopt = NULL;
    }
    if (h->domain != NULL) {
        domain_fini(h->domain);
        free(h->domain);
    }
    if (h->fault != NULL) {
        h->fault->q.obj.users--;
    }
    if (h->ioas != NULL) {
        h->ioas->obj.users--;
    }
    if (h->viommu != NULL) {
        h->viommu->obj.users--;
    } else if (h->parent != NULL) {
        h->parent->obj.users--;
    }
}

void hwpt_put(struct hwpt *h)
{
    h->obj.users--;
    if (h->auto_domain && h->obj.users == 1) {
        obj_drop(h, false);
    }
}

static void abandon(struct hwpt *h)
{
    hwpt_destroy(&h->obj);
    obj_abort(h);
}

int hwpt_new_paging(struct call *c, struct ioas *s, struct device *d, uint32_t flags,
                    const struct user_data *u, struct hwpt **out)
{
    if ((flags & ~(uint32_t)(U_HWPT_NEST_PARENT | U_HWPT_DIRTY_TRACKING | U_HWPT_FAULT_ID_VALID |
                             U_HWPT_PASID)) != 0 ||
        ((flags & U_HWPT_DIRTY_TRACKING) != 0 && !d->ops->dirty(d)) ||
        ((flags & U_HWPT_FAULT_ID_VALID) != 0 && (flags & U_HWPT_NEST_PARENT) != 0)) {
        return -EOPNOTSUPP;
    }
    struct hwpt **list = realloc(s->hwpt, (s->hwpts + 1) * sizeof(struct hwpt *));

    if (list == NULL) {
        return -ENOMEM;
    }
    s->hwpt = list;
    struct hwpt *h = obj_new(c->ctx, sizeof(*h), OBJ_HWPT_PAGING);

    if (h == NULL) {
        return -ENOMEM;
    }
    h->ops = d->ops;
    h->pasid_compat = (flags & U_HWPT_PASID) != 0;
    h->nest_parent = (flags & U_HWPT_NEST_PARENT) != 0;
    h->ioas = s;
    s->obj.users++;
    int err = d->ops->paging(d, flags & ~(uint32_t)U_HWPT_FAULT_ID_VALID, u, c, &h->domain);

    if (err == 0) {
        err = iopt_add_domain(&s->iopt, h->domain);
    }
    if (err != 0) {
        abandon(h);
        return err;
    }
    h->domain->iopt = &s->iopt;
    s->hwpt[s->hwpts++] = h;
    h->listed = true;
    *out = h;
    return 0;
}

static int new_nested(struct call *c, struct device *d, struct hwpt *parent, struct viommu *v,
                      uint32_t flags, const struct user_data *u, struct hwpt **out)
{
    const struct dev_ops *ops = v != NULL ? v->ops : d->ops;

    if ((flags & ~(uint32_t)(U_HWPT_FAULT_ID_VALID | U_HWPT_PASID)) != 0 || u->len == 0 ||
        ops->nested == NULL) {
        return -EOPNOTSUPP;
    }
    if (v == NULL && (parent->auto_domain || !parent->nest_parent || parent->ops != ops)) {
        return -EINVAL;
    }
    struct hwpt *h = obj_new(c->ctx, sizeof(*h), OBJ_HWPT_NESTED);

    if (h == NULL) {
        return -ENOMEM;
    }
    h->ops = ops;
    h->pasid_compat = (flags & U_HWPT_PASID) != 0;
    h->parent = v != NULL ? v->hwpt : parent;
    h->viommu = v;
    if (v != NULL) {
        v->obj.users++;
    } else {
        parent->obj.users++;
    }
    int err = ops->nested(c, h, u);

    if (err != 0) {
        abandon(h);
        return err;
    }
    *out = h;
    return 0;
}

int hwpt_alloc(struct call *c)
{
    struct u_hwpt_alloc *u = &c->u->hwpt;
    const struct user_data data = { u->data_type, u->data_len, u->data_uptr };
    struct hwpt *h = NULL;
    int err;

    if (u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    if ((u->data_type == U_HWPT_DATA_NONE) != (u->data_len == 0)) {
        return -EINVAL;
    }
    struct device *d = obj_get(c->ctx, u->dev_id, OBJ_DEVICE);

    if (d == NULL) {
        return -ENOENT;
    }
    struct obj *o = obj_get(c->ctx, u->pt_id, OBJ_ANY);

    if (o == NULL) {
        return -EINVAL;
    }
    switch (o->type) {
    case OBJ_IOAS:
        err = hwpt_new_paging(c, (struct ioas *)(void *)o, d, u->flags,
                              data.len != 0 ? &data : NULL, &h);
        break;
    case OBJ_HWPT_PAGING:
        err = new_nested(c, d, (struct hwpt *)(void *)o, NULL, u->flags, &data, &h);
        break;
    case OBJ_VIOMMU:
        err = ((struct viommu *)(void *)o)->ops != d->ops
                  ? -EINVAL
                  : new_nested(c, d, NULL, (struct viommu *)(void *)o, u->flags, &data, &h);
        break;
    default:
        err = -EINVAL;
    }
    if (err != 0) {
        return err;
    }
    if ((u->flags & U_HWPT_FAULT_ID_VALID) != 0) {
        h->fault = obj_get(c->ctx, u->fault_id, OBJ_FAULT);
        if (h->fault == NULL) {
            abandon(h);
            return -ENOENT;
        }
        h->fault->q.obj.users++;
    }
    u->out_hwpt_id = h->obj.id;
    err = call_respond(c, u, sizeof(*u));
    if (err != 0) {
        abandon(h);
        return err;
    }
    obj_live(h);
    return 0;
}

/* ---- dirty tracking ---- */

static void forget(void *ctx, uint64_t iova, uint64_t len)
{
    (void)ctx, (void)iova, (void)len;
}

int hwpt_set_dirty(struct call *c)
{
    struct u_hwpt_set_dirty_tracking *u = &c->u->set_dirty;
    bool on = (u->flags & U_DIRTY_ENABLE) != 0;

    if ((u->flags & ~(uint32_t)U_DIRTY_ENABLE) != 0) {
        return -EOPNOTSUPP;
    }
    struct hwpt *h = obj_get(c->ctx, u->hwpt_id, OBJ_HWPT_PAGING);

    if (h == NULL) {
        return -ENOENT;
    }
    if (!h->domain->can_dirty) {
        return -EOPNOTSUPP;
    }
    for (uint32_t i = 0; on && i < h->ioas->iopt.areas; i++) {
        const struct area *a = h->ioas->iopt.area[i];

        (void)domain_dirty(h->domain, a->iova, a->last - a->iova + 1, false, forget, NULL);
    }
    h->domain->tracking = on;
    return 0;
}

/* A piece of the caller's bitmap: read when first touched, written when left. */
struct bitmap {
    struct call *c;
    uint64_t uptr, iova, page;
    uint64_t at; /* first byte held; UINT64_MAX: none */
    unsigned char held[PG];
    uint64_t bytes;
    int err;
};

static void bitmap_flush(struct bitmap *b)
{
    if (b->at != UINT64_MAX && b->err == 0) {
        uint64_t left = b->bytes - b->at;

        b->err = mm_write(b->c->mm, b->uptr + b->at, b->held, left < PG ? (size_t)left : PG);
    }
    b->at = UINT64_MAX;
}

static void bitmap_set(void *ctx, uint64_t iova, uint64_t len)
{
    struct bitmap *b = ctx;
    uint64_t first = (iova - b->iova) / b->page, last = (iova + (len - 1) - b->iova) / b->page;

    for (uint64_t bit = first; bit <= last && b->err == 0; bit++) {
        uint64_t byte = bit / 8;

        if (b->at == UINT64_MAX || byte < b->at || byte >= b->at + PG) {
            bitmap_flush(b);
            if (b->err != 0) {
                return;
            }
            uint64_t at = byte - byte % PG, left = b->bytes - at;

            b->err = mm_read(b->c->mm, b->held, b->uptr + at, left < PG ? (size_t)left : PG);
            b->at = b->err == 0 ? at : UINT64_MAX;
        }
        if (b->err == 0) {
            b->held[byte - b->at] |= (unsigned char)(1u << (bit % 8));
        }
    }
}

struct dirty_read {
    struct hwpt *h;
    bool keep;
    struct bitmap b;
};

static int dirty_area(void *ctx, struct area *a, uint64_t iova, uint64_t last)
{
    struct dirty_read *r = ctx;

    (void)a;
    return domain_dirty(r->h->domain, iova, last - iova + 1, r->keep, bitmap_set, &r->b);
}

static int range_check(const struct iopt *t, const struct u_hwpt_get_dirty_bitmap *u)
{
    uint64_t last = u->iova + (u->length - 1);

    if (u->length == 0) {
        return -EINVAL;
    }
    if (last < u->iova) {
        return -EOVERFLOW;
    }
    if (((u->iova | (last + 1)) & (t->alignment - 1)) != 0 || u->page_size == 0 ||
        ((u->iova | (last + 1)) & (u->page_size - 1)) != 0) {
        return -EINVAL;
    }
    return 0;
}

/*
 * A range that is not wholly mapped is no error (as in Linux: what is mapped before the gap is
 * reported). A bitmap that cannot be written is: Linux says nothing there, and the bits are lost.
 */
int hwpt_get_dirty(struct call *c)
{
    struct u_hwpt_get_dirty_bitmap *u = &c->u->get_dirty;
    bool whole;

    if ((u->flags & ~(uint32_t)U_DIRTY_NO_CLEAR) != 0 || u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    struct hwpt *h = obj_get(c->ctx, u->hwpt_id, OBJ_HWPT_PAGING);

    if (h == NULL) {
        return -ENOENT;
    }
    int err = range_check(&h->ioas->iopt, u);

    if (err != 0) {
        return err;
    }
    if (!h->domain->can_dirty) {
        return -EOPNOTSUPP;
    }
    struct dirty_read r = { .h = h,
                            .keep = (u->flags & U_DIRTY_NO_CLEAR) != 0,
                            .b = { .c = c,
                                   .uptr = u->data,
                                   .iova = u->iova,
                                   .page = u->page_size,
                                   .at = UINT64_MAX,
                                   .bytes = ((u->length - 1) / u->page_size) / 8 + 1 } };

    (void)iopt_each(&h->ioas->iopt, u->iova, u->iova + (u->length - 1), &whole, dirty_area, &r);
    bitmap_flush(&r.b);
    return r.b.err;
}

int hwpt_invalidate(struct call *c)
{
    struct u_hwpt_invalidate *u = &c->u->inval;
    struct user_array a = { u->data_type, u->entry_len, u->entry_num, u->data_uptr };
    struct obj *o = NULL;
    uint32_t done = 0;
    int err = 0;

    if (u->reserved != 0) {
        err = -EOPNOTSUPP;
    } else if (u->entry_num != 0 && (u->data_uptr == 0 || u->entry_len == 0 || u->entry_len > PG ||
                                     u->entry_num > INVALIDATE_MAX)) {
        err = -EINVAL;
    } else if ((o = obj_get(c->ctx, u->hwpt_id, OBJ_ANY)) == NULL) {
        err = -ENOENT;
    }
    if (err == 0 && o->type == OBJ_HWPT_NESTED) {
        struct hwpt *h = (struct hwpt *)(void *)o;

        err = h->ops->invalidate == NULL ? -EOPNOTSUPP : h->ops->invalidate(c, h, &a);
        done = h->ops->invalidate == NULL ? 0 : a.entry_num;
    } else if (err == 0 && o->type == OBJ_VIOMMU) {
        struct viommu *v = (struct viommu *)(void *)o;

        err = v->ops->viommu_invalidate == NULL ? -EOPNOTSUPP : v->ops->viommu_invalidate(c, v, &a);
        done = v->ops->viommu_invalidate == NULL ? 0 : a.entry_num;
    } else if (err == 0) {
        err = -EINVAL;
    }
    u->entry_num = done;
    return call_respond(c, u, sizeof(*u)) != 0 ? -EFAULT : err;
}
