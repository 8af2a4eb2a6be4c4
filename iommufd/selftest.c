/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel selftest's operations, answered from the real tables: what "is mapped" is what the
 * model's walker finds there, what "is pinned" is the pin count of the page itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iommufd/selftest.h"
#include "iommufd/swiommu.h"

#define LENGTH_MAX (16u << 20)
#define LOOK_MAX   (1ull << 30) /* looked at page by page, while everybody else waits */

static unsigned version_is;

struct test_obj {
    struct obj obj;
    struct device *dev;
    struct mock mock;
};

static int add_reserved(struct call *c, struct t_cmd *u)
{
    if (u->reserve.length == 0) {
        return -EINVAL;
    }
    uint64_t last = u->reserve.start + (u->reserve.length - 1);

    if (last < u->reserve.start) {
        return -EOVERFLOW;
    }
    struct ioas *s = obj_get(c->ctx, u->id, OBJ_IOAS);

    return s == NULL ? -ENOENT : iopt_reserve(&s->iopt, u->reserve.start, last, NULL);
}

static int mock_domain(struct call *c, struct t_cmd *u)
{
    struct test_obj *t = obj_new(c->ctx, sizeof(*t), OBJ_TEST);
    uint32_t pt_id = u->id;
    int err = 0;

    if (t == NULL) {
        return -ENOMEM;
    }
    t->mock.flags = u->op == T_MOCK_DOMAIN_FLAGS ? u->mock.dev_flags : 0;
    for (unsigned i = 0; i < T_CACHES; i++) {
        t->mock.cache[i] = T_CACHE_DEFAULT;
    }
    if ((t->mock.flags & ~(uint32_t)(T_DEV_NO_DIRTY | T_DEV_PASID)) != 0) {
        err = -EINVAL;
    }
    t->dev = err == 0 ? device_bind(c->ctx, &mock_ops, &t->mock) : NULL;
    if (t->dev == NULL) {
        obj_abort(t);
        return err != 0 ? err : -ENOMEM;
    }
    err = device_attach(c, t->dev, NO_PASID, &pt_id);
    if (err == 0) {
        u->mock.out_hwpt_id = pt_id;
        u->mock.out_stdev_id = t->obj.id;
        u->mock.out_idev_id = t->dev->obj.id;
        err = call_respond(c, u, sizeof(*u));
    }
    if (err != 0) {
        device_unbind(t->dev);
        obj_abort(t);
        return err;
    }
    obj_live(t);
    return 0;
}

static void test_destroy(struct obj *o)
{
    device_unbind(((struct test_obj *)(void *)o)->dev);
}

static int mock_replace(struct call *c, struct t_cmd *u)
{
    struct test_obj *t = obj_get(c->ctx, u->id, OBJ_TEST);
    uint32_t pt_id = u->replace.pt_id;

    if (t == NULL) {
        return -ENOENT;
    }
    int err = device_replace(c, t->dev, NO_PASID, &pt_id);

    if (err != 0) {
        return err;
    }
    u->replace.pt_id = pt_id;
    return call_respond(c, u, sizeof(*u));
}

/* ---- what is mapped, what is pinned ---- */

static int check_map(struct call *c, struct t_cmd *u)
{
    struct hwpt *h = obj_get(c->ctx, u->id, OBJ_HWPT_PAGING);
    uint64_t iova = u->check_map.iova, va = u->check_map.uptr, len = u->check_map.length;
    uint64_t pa = 0, run = 0, there = 0;

    if (h == NULL) {
        return -ENOENT;
    }
    uint64_t page = h->domain->pgsizes & -h->domain->pgsizes;

    if (((iova | va | len) & (page - 1)) != 0 || va + len < va) {
        return -EINVAL;
    }
    if (len > LOOK_MAX) {
        return -ENOMEM;
    }
    for (; len != 0; len -= page, iova += page, va += page) {
        if (run == 0 || va % PG == 0) {
            pa += PG;
            if (run-- <= 1) {
                int err = mm_page(c->mm, va - va % PG, false, &pa, &run);

                if (err != 0) {
                    return err;
                }
            }
        }
        if (domain_peek(h->domain, iova, &there) != 0 || there != pa + va % PG) {
            return -EINVAL;
        }
    }
    return 0;
}

static int check_refs(struct call *c, struct t_cmd *u)
{
    uint64_t va = u->check_refs.uptr, len = u->check_refs.length, pa, run;
    struct mm_vma v;

    if (((va | len) & (PG - 1)) != 0 || va + len < va) {
        return -EINVAL;
    }
    if (len > LOOK_MAX) {
        return -ENOMEM;
    }
    for (; len != 0; len -= PG, va += PG) {
        int err = mm_page(c->mm, va, false, &pa, &run);

        if (err != 0) {
            return err;
        }
        /* Of a huge page the kernel keeps one count for all of it, and does not look. */
        if (mm_vma(c->mm, va, &v) == 0 && !v.huge && phys_pins(pa) != u->check_refs.refs) {
            return -EIO;
        }
    }
    return 0;
}

static int check_iotlb(struct call *c, struct t_cmd *u)
{
    struct hwpt *h = obj_get(c->ctx, u->id, OBJ_HWPT_NESTED);

    if (h == NULL) {
        return -ENOENT;
    }
    return u->check.id >= 4 || h->word[u->check.id] != u->check.value ? -EINVAL : 0;
}

static int check_cache(struct call *c, struct t_cmd *u)
{
    struct device *d = obj_get(c->ctx, u->id, OBJ_DEVICE);

    if (d == NULL || d->ops != &mock_ops) {
        return -ENOENT;
    }
    const struct mock *m = d->owner;

    return u->check.id >= T_CACHES || m->cache[u->check.id] != u->check.value ? -EINVAL : 0;
}

/* ---- accesses ---- */

static int access_of(struct call *c, uint32_t fd, struct access **a)
{
    int copy = c->fd_get(c, (int)fd);

    if (copy < 0) {
        return copy == -EBADF ? -EBADFD : copy;
    }
    struct stream *s = stream_of_fd(copy);

    close(copy);
    if (s == NULL || s->kind != STREAM_ACCESS) {
        return -EBADFD;
    }
    *a = s->object;
    return 0;
}

static int create_access(struct call *c, struct t_cmd *u)
{
    bool pin = (u->create_access.flags & T_ACCESS_NEEDS_PIN) != 0;

    if ((u->create_access.flags & ~(uint32_t)T_ACCESS_NEEDS_PIN) != 0) {
        return -EOPNOTSUPP;
    }
    struct access *a = access_new(c->ctx, false, pin ? PG : 1);
    struct ioas *s = obj_get(c->ctx, u->id, OBJ_IOAS);
    struct stream *st = NULL;

    if (a == NULL) {
        return -ENOMEM;
    }
    int err = s == NULL ? -ENOENT : access_attach(a, s);

    if (err == 0) {
        st = stream_new(STREAM_ACCESS, a, &c->out_fd);
        err = st == NULL ? -ENOMEM : call_respond(c, u, sizeof(*u));
        c->out_at = c->arg + offsetof(struct t_cmd, create_access.out_fd);
    }
    if (err != 0) {
        if (st != NULL) {
            close(c->out_fd);
            c->out_fd = -1;
            stream_drop(st);
        }
        access_closed(a);
    }
    return err;
}

static int destroy_pages(struct call *c, struct t_cmd *u)
{
    struct access *a;
    int err = access_of(c, u->id, &a);

    if (err != 0) {
        return err;
    }
    for (struct access_item **at = &a->items; *at != NULL; at = &(*at)->next) {
        struct access_item *i = *at;

        if (i->id == u->destroy_pages.id) {
            *at = i->next;
            access_unpin(a, i->iova, i->len);
            free(i);
            return 0;
        }
    }
    return -ENOENT;
}

static int same_pages(struct call *c, uint64_t va, const uint64_t *pa, uint64_t n)
{
    for (uint64_t i = 0, there, run; i < n; i++, va += PG) {
        int err = mm_page(c->mm, va, false, &there, &run);

        if (err != 0) {
            return err;
        }
        if (there != pa[i]) {
            return -EBADE;
        }
    }
    return 0;
}

static int pin_pages(struct call *c, struct t_cmd *u, struct access *a, uint64_t *pa, uint64_t n)
{
    uint64_t iova = u->pages.iova, len = u->pages.length;
    int err = access_pin(a, iova, len, (u->pages.flags & T_PAGES_WRITE) != 0, pa);

    if (err != 0) {
        return err;
    }
    err = u->pages.uptr != 0 ? same_pages(c, u->pages.uptr - iova % PG, pa, n) : 0;
    struct access_item *i = err == 0 ? calloc(1, sizeof(*i)) : NULL;

    if (i != NULL) {
        *i = (struct access_item){ iova, len, a->next_item++, a->items };
        u->pages.out_id = i->id;
        err = call_respond(c, u, sizeof(*u));
    } else if (err == 0) {
        err = -ENOMEM;
    }
    if (err != 0) {
        free(i);
        access_unpin(a, iova, len);
        return err;
    }
    a->items = i;
    return 0;
}

static int access_pages(struct call *c, struct t_cmd *u)
{
    uint64_t n = (u->pages.iova % PG + u->pages.length + PG - 1) / PG;
    struct access *a;

    if (u->pages.length > LENGTH_MAX) {
        return -ENOMEM;
    }
    if ((u->pages.flags & ~(uint32_t)T_PAGES_WRITE) != 0) {
        return -EOPNOTSUPP;
    }
    int err = access_of(c, u->id, &a);

    if (err != 0) {
        return err;
    }
    if (a->alignment != PG) {
        return -EOPNOTSUPP;
    }
    uint64_t *pa = calloc(n + 1, sizeof(*pa));

    err = pa == NULL ? -ENOMEM : pin_pages(c, u, a, pa, n);
    free(pa);
    return err;
}

static int rw(struct call *c, struct t_cmd *u)
{
    bool write = (u->rw.flags & T_RW_WRITE) != 0;
    struct access *a;

    if (u->rw.length > LENGTH_MAX) {
        return -ENOMEM;
    }
    if ((u->rw.flags & ~(uint32_t)(T_RW_WRITE | T_RW_SLOW)) != 0) {
        return -EOPNOTSUPP;
    }
    int err = access_of(c, u->id, &a);

    if (err != 0) {
        return err;
    }
    void *buf = calloc(1, u->rw.length + 1);

    err = buf == NULL ? -ENOMEM : 0;
    if (err == 0 && write) {
        err = mm_read(c->mm, buf, u->rw.uptr, u->rw.length);
    }
    if (err == 0) {
        err = access_rw(a, u->rw.iova, buf, u->rw.length, write, (u->rw.flags & T_RW_SLOW) != 0);
    }
    if (err == 0 && !write) {
        err = mm_write(c->mm, u->rw.uptr, buf, u->rw.length);
    }
    free(buf);
    return err;
}

static int access_replace(struct call *c, struct t_cmd *u)
{
    struct access *a;
    int err = access_of(c, u->id, &a);
    struct ioas *s = err == 0 ? obj_get(c->ctx, u->access_replace.ioas_id, OBJ_IOAS) : NULL;

    return err != 0 ? err : s == NULL ? -ENOENT : access_attach(a, s);
}

/* ---- dirty ---- */

/* The device writes one byte under each leaf that is to be dirty. Where huge pages are off, a leaf
 * of 7.3's mock is a whole page: two entries of ours. */
static void make_dirty(struct hwpt *h, uint64_t iova)
{
    uint64_t unit = version_is >= 73 ? PG : T_PAGE, pa;

    iova -= iova % unit;
    for (uint64_t at = iova; at < iova + unit; at += T_PAGE) {
        (void)domain_walk(h->domain, at, DMA_WRITE, &pa);
    }
}

static int dirty(struct call *c, struct t_cmd *u)
{
    uint64_t page = u->dirty.page_size, len = u->dirty.length, n, count = 0;

    if (page == 0 || len == 0 || u->dirty.iova % page != 0 || len % page != 0 ||
        u->dirty.uptr == 0) {
        return -EINVAL;
    }
    n = len / page;
    if (n > (16ull << 20) * 8) {
        return -EOVERFLOW;
    }
    struct hwpt *h = obj_get(c->ctx, u->id, OBJ_HWPT_PAGING);

    if (h == NULL) {
        return -ENOENT;
    }
    if (!h->domain->tracking) {
        return -EINVAL;
    }
    unsigned char *bits = calloc(1, n / 8 + 1);

    if (bits == NULL) {
        return -ENOMEM;
    }
    int err = mm_read(c->mm, bits, u->dirty.uptr, (n + 7) / 8);

    for (uint64_t i = 0; err == 0 && i < n; i++) {
        if ((bits[i / 8] >> (i % 8) & 1) != 0) {
            make_dirty(h, u->dirty.iova + i * page);
            count++;
        }
    }
    free(bits);
    u->dirty.out_nr = count;
    return err != 0 ? err : call_respond(c, u, sizeof(*u));
}

/* ---- faults and events ---- */

static int iopf(struct call *c, struct t_cmd *u)
{
    struct device *d = obj_get(c->ctx, u->iopf.dev_id, OBJ_DEVICE);

    if (d == NULL) {
        return -ENOENT;
    }
    if (d->ops != &mock_ops) {
        return -EINVAL;
    }
    const struct prq_request r = { .sid = d->obj.id,
                                   .pasid = u->iopf.pasid,
                                   .pasid_valid = u->iopf.pasid != NO_PASID,
                                   .group = u->iopf.grpid,
                                   .last = true,
                                   .iova = u->iopf.addr,
                                   .access = u->iopf.perm };

    (void)swiommu_request(d->iommu, &r);
    return 0;
}

static int vevent(struct call *c, struct t_cmd *u)
{
    struct device *d = obj_get(c->ctx, u->vevent.dev_id, OBJ_DEVICE);
    const struct mock *m = d != NULL && d->ops == &mock_ops ? d->owner : NULL;

    if (m == NULL || m->viommu == NULL || m->vdev_id == 0) {
        return -ENOENT;
    }
    uint32_t virt_id = (uint32_t)m->vdev_id;

    return veventq_report(m->viommu, T_VEVENTQ, &virt_id, sizeof(virt_id));
}

/* ---- PASIDs ---- */

static int pasid_op(struct call *c, struct t_cmd *u)
{
    struct test_obj *t = obj_get(c->ctx, u->id, OBJ_TEST);
    uint32_t pasid = u->pasid.pasid;

    if (t == NULL) {
        return -ENOENT;
    }
    if (u->op == T_PASID_DETACH) {
        device_detach(t->dev, pasid);
        return 0;
    }
    if (u->op == T_PASID_CHECK) {
        struct hwpt *h = device_hwpt(t->dev, pasid);

        if (u->pasid.pt_id == 0) {
            return h != NULL ? -EINVAL : 0;
        }
        struct obj *o = obj_get(c->ctx, u->pasid.pt_id, OBJ_ANY);

        return o == NULL ? -ENOENT : o != (void *)h ? -EINVAL : 0;
    }
    int err = u->op == T_PASID_ATTACH ? device_attach(c, t->dev, pasid, &u->pasid.pt_id)
                                      : device_replace(c, t->dev, pasid, &u->pasid.pt_id);

    if (err == 0) {
        err = call_respond(c, u, sizeof(*u));
        if (err != 0 && u->op == T_PASID_ATTACH) {
            device_detach(t->dev, pasid);
        }
    }
    return err;
}

/* ---- buffers that can be revoked ---- */

static int buffer_get(struct call *c, struct t_cmd *u)
{
    uint64_t len = ((uint64_t)u->dmabuf_get.length + PG - 1) / PG * PG;

    if (len == 0 || len > 512ull * PG) {
        return -EINVAL;
    }
    struct dmabuf *b = dmabuf_new(len);

    c->out_fd = b != NULL ? fcntl(b->fd, F_DUPFD_CLOEXEC, 3) : -1;
    return c->out_fd < 0 ? -ENOMEM : 0;
}

static int buffer_revoke(struct call *c, struct t_cmd *u)
{
    int fd = c->fd_get(c, u->revoke.fd);

    if (fd < 0) {
        return fd;
    }
    struct dmabuf *b = dmabuf_find(fd);

    close(fd);
    if (b == NULL) {
        return -EINVAL;
    }
    b->revoked = u->revoke.revoked != 0;
    for (struct ctx *x = ctx_first(); x != NULL; x = x->next) {
        for (uint32_t id = 1; id < x->objs; id++) {
            struct ioas *s = obj_get(x, id, OBJ_IOAS);

            if (s != NULL) {
                iopt_drop_dmabuf(&s->iopt, b);
            }
        }
    }
    b->generation++;
    return 0;
}

static int test_call(struct call *c, void *cmd, size_t size)
{
    struct t_cmd *u = cmd;

    (void)size;
    switch (u->op) {
    case T_ADD_RESERVED:
        return add_reserved(c, u);
    case T_MOCK_DOMAIN:
    case T_MOCK_DOMAIN_FLAGS:
        return mock_domain(c, u);
    case T_MOCK_DOMAIN_REPLACE:
        return mock_replace(c, u);
    case T_CHECK_MAP:
        return check_map(c, u);
    case T_CHECK_REFS:
        return check_refs(c, u);
    case T_CHECK_IOTLB:
        return check_iotlb(c, u);
    case T_CHECK_CACHE:
        return check_cache(c, u);
    case T_CREATE_ACCESS:
        return create_access(c, u);
    case T_DESTROY_ACCESS_PAGES:
        return destroy_pages(c, u);
    case T_ACCESS_PAGES:
        return access_pages(c, u);
    case T_ACCESS_RW:
        return rw(c, u);
    case T_ACCESS_REPLACE_IOAS:
        return access_replace(c, u);
    case T_MEMORY_LIMIT: /* of the kernel's own batches; the smallest that it takes */
        return u->memory.limit < 12 ? -EINVAL : 0;
    case T_DIRTY:
        return dirty(c, u);
    case T_TRIGGER_IOPF:
        return iopf(c, u);
    case T_TRIGGER_VEVENT:
        return vevent(c, u);
    case T_PASID_ATTACH:
    case T_PASID_REPLACE:
    case T_PASID_DETACH:
    case T_PASID_CHECK:
        return pasid_op(c, u);
    case T_DMABUF_GET:
        return buffer_get(c, u);
    case T_DMABUF_REVOKE:
        return buffer_revoke(c, u);
    default:
        return -EOPNOTSUPP;
    }
}

void selftest_enable(unsigned version)
{
    static const struct test_ops ops = { test_call, sizeof(struct t_cmd), test_destroy };

    version_is = version;
    test_ops = &ops;
}
