/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel selftest's mock device and IOMMU, over real tables. The mock's page is 2 KiB; the
 * engine's smallest is 4 KiB. So a mock table's addresses are doubled on their way in, and one mock
 * page is one entry of the real table.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/selftest.h"
#include "iommufd/swiommu.h"

static struct mock *mock_of(const struct device *d)
{
    return d->owner;
}

static bool mock_dirty(const struct device *d)
{
    return (mock_of(d)->flags & T_DEV_NO_DIRTY) == 0;
}

static uint32_t mock_pasid_bits(const struct device *d)
{
    return (mock_of(d)->flags & T_DEV_PASID) != 0 ? T_PASID_BITS : 0;
}

static int mock_hw_info(struct device *d, uint32_t *type, void *buf, uint32_t *len)
{
    const uint32_t info[2] = { 0, T_HW_INFO_REG };

    (void)d;
    if (*type != 0 && *type != T_HW_INFO) {
        return -EOPNOTSUPP;
    }
    *type = T_HW_INFO;
    *len = sizeof(info);
    memcpy(buf, info, sizeof(info));
    return 0;
}

/* A structure of the caller's, at least `min` bytes of it and no more than we know. */
static int data_read(struct call *c, void *to, size_t size, size_t min, const struct user_data *u)
{
    return u->len < min || u->len > size ? -EINVAL : call_struct(c, to, size, u->uptr, u->len);
}

static int mock_paging(struct device *d, uint32_t flags, const struct user_data *u, struct call *c,
                       struct domain **out)
{
    struct t_hwpt_data data = { 0 };
    int err = 0;

    if ((flags & ~(uint32_t)(U_HWPT_DIRTY_TRACKING | U_HWPT_NEST_PARENT | U_HWPT_PASID)) != 0 ||
        ((flags & U_HWPT_DIRTY_TRACKING) != 0 && !mock_dirty(d)) ||
        (u != NULL && u->type != T_DATA)) {
        return -EOPNOTSUPP;
    }
    if (u != NULL) {
        err = data_read(c, &data, sizeof(data), sizeof(data.iotlb), u);
    }
    if (err == 0 && data.table > T_TABLE_HUGE) {
        err = -EOPNOTSUPP;
    }
    if (err != 0) {
        return err;
    }
    struct domain *dom = calloc(1, sizeof(*dom));

    if (dom == NULL) {
        return -ENOMEM;
    }
    err = domain_init(dom, &d->iommu->im, 1, (flags & U_HWPT_DIRTY_TRACKING) != 0);
    if (err != 0) {
        free(dom);
        return err;
    }
    if (data.table == T_TABLE_HUGE) {
        dom->pgsizes = T_HUGE_PAGE | PG;
    } else {
        dom->first = T_APERTURE_FIRST;
        dom->last = T_APERTURE_LAST;
    }
    *out = dom;
    return 0;
}

static int mock_nested(struct call *c, struct hwpt *h, const struct user_data *u)
{
    struct t_hwpt_data data;

    if (u->type != T_DATA) {
        return -EOPNOTSUPP;
    }
    int err = data_read(c, &data, sizeof(data), sizeof(data.iotlb), u);

    for (unsigned i = 0; err == 0 && i < 4; i++) {
        h->word[i] = data.iotlb;
    }
    return err;
}

/* PASID 1024 fails its second attachment on purpose: the test looks for what is rolled back. */
static int mock_attach(struct device *d, uint32_t pasid, struct hwpt *h)
{
    struct mock *m = mock_of(d);

    if (pasid != NO_PASID) {
        bool fail = pasid == 1024 && m->fail_1024;

        m->fail_1024 = pasid == 1024 ? !m->fail_1024 : m->fail_1024;
        return fail ? -ENOMEM : 0;
    }
    if (h->domain != NULL && h->domain->can_dirty && !mock_dirty(d)) {
        return -EINVAL;
    }
    if (h->viommu != NULL && (d->vdev == NULL || d->vdev->viommu != h->viommu)) {
        return -ENOENT;
    }
    m->viommu = h->viommu;
    m->vdev_id = h->viommu != NULL ? d->vdev->virt_id : 0;
    return 0;
}

static void mock_detach(struct device *d, uint32_t pasid)
{
    struct mock *m = mock_of(d);

    if (pasid == 1024) {
        m->fail_1024 = false;
    } else if (pasid == NO_PASID) {
        m->viommu = NULL;
    }
}

static void mock_response(struct device *d, const struct prq_response *r)
{
    struct mock *m = mock_of(d);

    m->responses++;
    m->last = *r;
}

static int mock_invalidate(struct call *c, struct hwpt *h, struct user_array *a)
{
    struct t_hwpt_invalidate inv;
    uint32_t n = a->type == T_INVALIDATE ? a->entry_num : 0, done = 0;
    int err = a->type == T_INVALIDATE ? 0 : -EINVAL;

    for (uint32_t i = 0; i < n; i++, done++) {
        const struct user_data u = { a->type, a->entry_len, a->uptr + (uint64_t)i * a->entry_len };

        err = data_read(c, &inv, sizeof(inv), sizeof(inv), &u);
        if (err == 0 && (inv.flags & ~(uint32_t)T_INVALIDATE_ALL) != 0) {
            err = -EOPNOTSUPP;
        }
        if (err == 0 && inv.iotlb_id >= 4) {
            err = -EINVAL;
        }
        if (err != 0) {
            break;
        }
        for (uint32_t k = 0; k < 4; k++) {
            if ((inv.flags & T_INVALIDATE_ALL) != 0 || k == inv.iotlb_id) {
                h->word[k] = 0;
            }
        }
    }
    a->entry_num = done;
    return err;
}

/* ---- vIOMMU ---- */

struct mock_viommu {
    struct hw_queue *queue[T_QUEUES];
    int page; /* memory that the caller may map; -1: none */
    uint64_t offset;
};

static bool mock_viommu_type(uint32_t type)
{
    return type == T_VIOMMU;
}

static int viommu_page(struct call *c, struct mock_viommu *m, const struct user_data *u)
{
    struct t_viommu_data data;
    int err = data_read(c, &data, sizeof(data), offsetof(struct t_viommu_data, mmap_offset), u);

    if (err != 0) {
        return err;
    }
    m->page = memfd_create("viommu", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (m->page < 0 || ftruncate(m->page, 2 * PG) != 0 ||
        pwrite(m->page, &data.in, sizeof(data.in), 0) != sizeof(data.in) ||
        mmap_add(c->ctx, m->page, 2 * PG, &m->offset) != 0) {
        return -ENOMEM;
    }
    data.out = data.in;
    data.mmap_length = 2 * PG;
    data.mmap_offset = m->offset;
    return mm_write(c->mm, u->uptr, &data, u->len);
}

static int mock_viommu_init(struct call *c, struct viommu *v, const struct user_data *u)
{
    struct mock_viommu *m = calloc(1, sizeof(*m));

    if (m == NULL) {
        return -ENOMEM;
    }
    m->page = -1;
    v->drv = m;
    return u != NULL ? viommu_page(c, m, u) : 0;
}

/* While a client has the page mapped, the kernel refuses to seal it against writing. */
static int mock_viommu_busy(struct viommu *v)
{
    struct mock_viommu *m = v->drv;

    return m->page >= 0 && fcntl(m->page, F_ADD_SEALS, F_SEAL_WRITE) != 0 ? -EBUSY : 0;
}

static void mock_viommu_fini(struct viommu *v)
{
    struct mock_viommu *m = v->drv;

    if (m == NULL) {
        return;
    }
    if (m->page >= 0) {
        mmap_remove(v->obj.ctx, m->offset);
        close(m->page);
    }
    free(m);
}

static int mock_viommu_invalidate(struct call *c, struct viommu *v, struct user_array *a)
{
    struct t_viommu_invalidate inv;
    uint32_t done = 0;
    int err = 0;

    if (a->entry_num == 0 && a->type == T_INVALIDATE) {
        return 0;
    }
    if (a->type != T_INVALIDATE || a->entry_num == 0 || a->entry_len != sizeof(inv)) {
        a->entry_num = 0;
        return -EINVAL;
    }
    for (; done < a->entry_num; done++) {
        err = mm_read(c->mm, &inv, a->uptr + (uint64_t)done * sizeof(inv), sizeof(inv));
        if (err == 0 && (inv.flags & ~(uint32_t)T_INVALIDATE_ALL) != 0) {
            err = -EOPNOTSUPP;
        }
        struct vdevice *vd = err == 0 ? viommu_vdev(v, inv.vdev_id) : NULL;

        if (err == 0 && (inv.cache_id >= T_CACHES || vd == NULL)) {
            err = -EINVAL;
        }
        if (err != 0) {
            break;
        }
        for (uint32_t k = 0; k < T_CACHES; k++) {
            if ((inv.flags & T_INVALIDATE_ALL) != 0 || k == inv.cache_id) {
                mock_of(vd->dev)->cache[k] = 0;
            }
        }
    }
    a->entry_num = done;
    return err;
}

static bool mock_queue_type(uint32_t type)
{
    return type == T_QUEUE;
}

static int mock_queue_init(struct hw_queue *q, uint32_t index, uint64_t pa)
{
    struct mock_viommu *m = q->viommu->drv;
    uint64_t there;

    if (index >= T_QUEUES) {
        return -EINVAL;
    }
    if (m->queue[index] != NULL) {
        return -EEXIST;
    }
    if (index != 0 && m->queue[index - 1] == NULL) {
        return -EIO;
    }
    /* The table of the parent must agree with what was pinned. */
    if (domain_peek(q->viommu->hwpt->domain, q->base, &there) != 0 || there != pa) {
        return -EFAULT;
    }
    q->depends = index != 0 ? m->queue[index - 1] : NULL;
    if (q->depends != NULL) {
        q->depends->obj.users++;
    }
    m->queue[index] = q;
    return 0;
}

static void mock_queue_fini(struct hw_queue *q)
{
    struct mock_viommu *m = q->viommu->drv;

    m->queue[q->index] = NULL;
    if (q->depends != NULL) {
        q->depends->obj.users--;
    }
}

const struct dev_ops mock_ops = {
    .name = "mock",
    .dirty = mock_dirty,
    .pasid_bits = mock_pasid_bits,
    .hw_info = mock_hw_info,
    .paging = mock_paging,
    .nested = mock_nested,
    .attach = mock_attach,
    .detach = mock_detach,
    .response = mock_response,
    .invalidate = mock_invalidate,
    .viommu_type = mock_viommu_type,
    .viommu_init = mock_viommu_init,
    .viommu_busy = mock_viommu_busy,
    .viommu_fini = mock_viommu_fini,
    .viommu_invalidate = mock_viommu_invalidate,
    .queue_type = mock_queue_type,
    .queue_init = mock_queue_init,
    .queue_fini = mock_queue_fini,
};
