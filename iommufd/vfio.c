/* SPDX-License-Identifier: BSD-2-Clause */
/* The VFIO character device of a software device: bind, attach, regions, interrupts. */
#include "iommufd/vfio_uapi.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "iommufd/server.h"
#include "iommufd/swdev.h"
#include "iommufd/swiommu.h"

static struct sw_dev *devices;
static unsigned count;

/* ---- its IOMMU: one table format, PASIDs, dirty tracking, no nesting ---- */

static bool sw_dirty(const struct device *d)
{
    (void)d;
    return true;
}

static uint32_t sw_pasid_bits(const struct device *d)
{
    (void)d;
    return 20;
}

static int sw_hw_info(struct device *d, uint32_t *type, void *buf, uint32_t *len)
{
    (void)d, (void)buf;
    *len = 0;
    return *type != 0 ? -EOPNOTSUPP : 0;
}

static int sw_paging(struct device *d, uint32_t flags, const struct user_data *u, struct call *c,
                     struct domain **out)
{
    (void)c;
    if (u != NULL || (flags & ~(uint32_t)(U_HWPT_DIRTY_TRACKING | U_HWPT_PASID)) != 0) {
        return -EOPNOTSUPP;
    }
    struct domain *dom = calloc(1, sizeof(*dom));
    int err = dom == NULL
                  ? -ENOMEM
                  : domain_init(dom, &d->iommu->im, 0, (flags & U_HWPT_DIRTY_TRACKING) != 0);

    if (err != 0) {
        free(dom);
        return err;
    }
    *out = dom;
    return 0;
}

static void sw_response(struct device *d, const struct prq_response *r)
{
    struct sw_dev *s = d->owner;

    s->model->response(s, r->code == IOMMU_RESPONSE_SUCCESS);
}

static const struct dev_ops sw_ops = {
    .name = "software",
    .dirty = sw_dirty,
    .pasid_bits = sw_pasid_bits,
    .hw_info = sw_hw_info,
    .paging = sw_paging,
    .response = sw_response,
};

/* ---- making, opening, closing ---- */

int sw_add(const char *spec)
{
    static const struct sw_model *models[] = { &edu_model, &nvme_model };
    struct sw_dev **at = &devices;
    const struct sw_model *m = NULL;
    const char *comma = strchr(spec, ',');
    size_t len = comma != NULL ? (size_t)(comma - spec) : strlen(spec);

    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        m = strlen(models[i]->name) == len && strncmp(spec, models[i]->name, len) == 0 ? models[i]
                                                                                       : m;
    }
    if (m == NULL) {
        return -ENODEV;
    }
    if (count == SW_MAX) {
        return -E2BIG;
    }
    struct sw_dev *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return -ENOMEM;
    }
    d->model = m;
    d->number = count++;
    snprintf(d->name, sizeof(d->name), "%s%u", m->name, d->number);
    memset(d->irq, -1, sizeof(d->irq));
    config_init(d);
    int err = m->make(d, comma != NULL ? comma + 1 : NULL);

    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = d;
    return err;
}

unsigned sw_count(void)
{
    return count;
}

struct sw_dev *sw_number(unsigned n)
{
    struct sw_dev *d = devices;

    while (d != NULL && d->number != n) {
        d = d->next;
    }
    return d;
}

int sw_open(struct sw_dev *d, int *client)
{
    if (d->stream != NULL || d->group != NULL || d->container != NULL) {
        return -EBUSY;
    }
    d->stream = stream_new(STREAM_DEVICE, d, client);
    return d->stream == NULL ? -ENFILE : 0;
}

void sw_closed(struct sw_dev *d)
{
    d->model->reset(d);
    d->mapped = false;
    if (d->model->renew != NULL) {
        d->model->renew(d);
    }
    for (unsigned i = 0; i < SW_IRQS; i++) {
        irq_off(d, i);
    }
    config_init(d);
    if (d->dev != NULL) {
        struct device *dev = d->dev;
        struct ctx *c = dev->obj.ctx;

        d->dev = NULL;
        device_unbind(dev);
        ctx_put(c);
    }
    d->stream = NULL;
    group_device_closed(d);
}

/* ---- time and interrupts ---- */

static void timer_ready(struct watch *w)
{
    uint64_t n;

    if (read(w->fd, &n, sizeof(n)) == (ssize_t)sizeof(n)) {
        struct sw_dev *d = w->ctx;

        d->model->timer(d);
    }
}

void sw_after(struct sw_dev *d, uint64_t us)
{
    struct itimerspec t = { .it_value = { (time_t)(us / 1000000), (long)(us % 1000000) * 1000 } };

    if (us == 0) {
        d->model->timer(d);
        return;
    }
    if (d->timer == NULL) {
        struct watch *w = calloc(1, sizeof(*w));
        int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

        if (w == NULL || fd < 0) {
            free(w);
            d->model->timer(d);
            return;
        }
        *w = (struct watch){ fd, timer_ready, d };
        d->timer = w;
        (void)server_watch(w);
    }
    timerfd_settime(d->timer->fd, 0, &t, NULL);
}

/* ---- calls ---- */

int vfio_args(struct call *c, void *to, uint32_t min)
{
    uint32_t argsz;

    if (mm_read(c->mm, to, c->arg, min) != 0) {
        return -EFAULT;
    }
    memcpy(&argsz, to, sizeof(argsz));
    return argsz < min ? -EINVAL : 0;
}

int vfio_bind(struct sw_dev *d, struct ctx *ctx)
{
    d->dev = device_bind(ctx, &sw_ops, d);
    if (d->dev == NULL) {
        return -ENOMEM;
    }
    ctx->refs++;
    return 0;
}

static int bind_call(struct call *c, struct sw_dev *d)
{
    struct v_bind b;
    int err = vfio_args(c, &b, sizeof(b));

    if (err != 0) {
        return err;
    }
    if (b.flags != 0 || b.iommufd < 0 || d->dev != NULL) {
        return -EINVAL;
    }
    int fd = c->fd_get(c, b.iommufd);

    if (fd < 0) {
        return fd;
    }
    struct stream *s = stream_of_fd(fd);

    close(fd);
    if (s == NULL || s->kind != STREAM_CTX) {
        return -EBADFD;
    }
    struct ctx *ctx = s->object;

    err = vfio_bind(d, ctx);
    if (err != 0) {
        return err;
    }
    b.out_devid = d->dev->obj.id;
    err = mm_write(c->mm, c->arg + offsetof(struct v_bind, out_devid), &b.out_devid,
                   sizeof(b.out_devid));
    if (err != 0) {
        struct device *dev = d->dev;

        d->dev = NULL;
        device_unbind(dev);
        ctx_put(ctx);
    }
    return err;
}

static int attach_call(struct call *c, struct sw_dev *d)
{
    struct v_attach a = { 0 };
    int err = vfio_args(c, &a, offsetof(struct v_attach, pasid));

    if (err == 0 && (a.flags & V_PASID_FLAG) != 0) {
        err = vfio_args(c, &a, sizeof(a));
    }
    if (err != 0) {
        return err;
    }
    if ((a.flags & ~V_PASID_FLAG) != 0) {
        return -EINVAL;
    }
    uint32_t pasid = (a.flags & V_PASID_FLAG) != 0 ? a.pasid : NO_PASID;

    if ((a.flags & V_PASID_FLAG) != 0 && pasid == NO_PASID) {
        return -EINVAL;
    }
    c->ctx = d->dev->obj.ctx;
    err = device_hwpt(d->dev, pasid) != NULL ? device_replace(c, d->dev, pasid, &a.pt_id)
                                             : device_attach(c, d->dev, pasid, &a.pt_id);
    return err != 0 ? err
                    : mm_write(c->mm, c->arg + offsetof(struct v_attach, pt_id), &a.pt_id,
                               sizeof(a.pt_id));
}

static int detach_call(struct call *c, struct sw_dev *d)
{
    struct v_detach a = { 0 };
    int err = vfio_args(c, &a, offsetof(struct v_detach, pasid));

    if (err == 0 && (a.flags & V_PASID_FLAG) != 0) {
        err = vfio_args(c, &a, sizeof(a));
    }
    if (err != 0) {
        return err;
    }
    if ((a.flags & ~V_PASID_FLAG) != 0) {
        return -EINVAL;
    }
    device_detach(d->dev, (a.flags & V_PASID_FLAG) != 0 ? a.pasid : NO_PASID);
    return 0;
}

static int info_call(struct call *c)
{
    struct v_device_info i = { 0 };
    int err = vfio_args(c, &i, offsetof(struct v_device_info, cap_offset));

    if (err != 0) {
        return err;
    }
    i.flags = V_DEVICE_FLAG_RESET | V_DEVICE_FLAG_PCI;
    i.regions = V_REGIONS;
    i.irqs = SW_IRQS;
    i.cap_offset = 0;
    return mm_write(c->mm, c->arg, &i, i.argsz < sizeof(i) ? i.argsz : sizeof(i));
}

static uint64_t region_size(const struct sw_dev *d, uint32_t index)
{
    return index == 0 ? d->model->bar_size : index == V_CONFIG ? sizeof(d->config) : 0;
}

static int region_call(struct call *c, struct sw_dev *d)
{
    struct v_region_info r;
    int err = vfio_args(c, &r, sizeof(r));

    if (err != 0) {
        return err;
    }
    if (r.index >= V_REGIONS) {
        return -EINVAL;
    }
    r.size = region_size(d, r.index);
    r.flags = r.size != 0 ? V_REGION_READ | V_REGION_WRITE : 0;
    r.flags |= r.index == 0 && d->model->memory != NULL ? V_REGION_MMAP : 0;
    r.offset = (uint64_t)r.index << V_REGION_SHIFT;
    r.cap_offset = 0;
    r.argsz = sizeof(r);
    return mm_write(c->mm, c->arg, &r, sizeof(r));
}

int vfio_mmap(struct sw_dev *d, uint64_t offset, uint64_t len, int *fd, uint64_t *at)
{
    uint64_t size = region_size(d, 0);

    if (d->dev == NULL || d->model->memory == NULL || offset >> V_REGION_SHIFT != 0 ||
        offset >= size || offset % PG != 0 || len == 0 || len > size - offset) {
        return -EINVAL;
    }
    *fd = d->model->memory(d);
    *at = offset;
    if (*fd >= 0 && !d->mapped) {
        d->mapped = true;
        sw_poll_start();
    }
    return *fd < 0 ? *fd : 0;
}

int vfio_ioctl(struct call *c, struct sw_dev *d)
{
    if (c->cmd == U_IO(V_DEVICE_BIND)) {
        return bind_call(c, d);
    }
    if (d->dev == NULL) { /* nothing before it is bound, as in Linux */
        return -EINVAL;
    }
    switch (c->cmd) {
    case U_IO(V_DEVICE_ATTACH):
        return attach_call(c, d);
    case U_IO(V_DEVICE_DETACH):
        return detach_call(c, d);
    case U_IO(V_DEVICE_GET_INFO):
        return info_call(c);
    case U_IO(V_DEVICE_GET_REGION_INFO):
        return region_call(c, d);
    case U_IO(V_DEVICE_GET_IRQ_INFO):
        return irq_info_call(c, d);
    case U_IO(V_DEVICE_SET_IRQS):
        return irqs_call(c, d);
    case U_IO(V_DEVICE_RESET):
        d->model->reset(d);
        return 0;
    default:
        return -ENOTTY;
    }
}

/* ---- regions by read and write ---- */

int64_t vfio_rw(struct sw_dev *d, struct mm *mm, uint64_t uptr, uint64_t len, uint64_t off,
                bool write)
{
    uint32_t index = (uint32_t)(off >> V_REGION_SHIFT);
    uint64_t at = off & ((1ull << V_REGION_SHIFT) - 1), size = region_size(d, index);
    unsigned char buf[PG];

    if (d->dev == NULL) {
        return -EINVAL;
    }
    if (index >= V_REGIONS || size == 0 || at >= size) {
        return -EINVAL;
    }
    len = len < size - at ? len : size - at;
    len = len < sizeof(buf) ? len : sizeof(buf);
    if (write && mm_read(mm, buf, uptr, len) != 0) {
        return -EFAULT;
    }
    if (write && index == V_CONFIG) {
        config_write(d, at, buf, (uint32_t)len);
    } else if (write) {
        d->model->write(d, at, buf, (uint32_t)len);
    } else if (index == V_CONFIG) {
        memcpy(buf, d->config + at, len);
    } else {
        d->model->read(d, at, buf, (uint32_t)len);
    }
    if (!write && mm_write(mm, uptr, buf, len) != 0) {
        return -EFAULT;
    }
    return (int64_t)len;
}
