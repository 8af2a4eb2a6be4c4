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
    (void)d, (void)c;
    if (u != NULL || (flags & ~(uint32_t)(U_HWPT_DIRTY_TRACKING | U_HWPT_PASID)) != 0) {
        return -EOPNOTSUPP;
    }
    struct domain *dom = calloc(1, sizeof(*dom));
    int err = dom == NULL ? -ENOMEM : domain_init(dom, 0, (flags & U_HWPT_DIRTY_TRACKING) != 0);

    if (err != 0) {
        free(dom);
        return err;
    }
    *out = dom;
    return 0;
}

static int sw_attach(struct device *d, uint32_t pasid, struct hwpt *h)
{
    (void)d, (void)pasid, (void)h;
    return 0;
}

static void sw_detach(struct device *d, uint32_t pasid)
{
    (void)d, (void)pasid;
}

static void sw_response(struct device *d, uint32_t pasid, uint32_t grpid, uint32_t code)
{
    struct sw_dev *s = d->owner;

    (void)pasid, (void)grpid;
    s->model->response(s, code == U_RESP_SUCCESS);
}

static const struct dev_ops sw_ops = {
    .name = "software",
    .dirty = sw_dirty,
    .pasid_bits = sw_pasid_bits,
    .hw_info = sw_hw_info,
    .paging = sw_paging,
    .attach = sw_attach,
    .detach = sw_detach,
    .response = sw_response,
};

/* ---- making, opening, closing ---- */

static void config_init(struct sw_dev *d)
{
    unsigned char *c = d->config;

    c[0] = (unsigned char)d->model->vendor;
    c[1] = (unsigned char)(d->model->vendor >> 8);
    c[2] = (unsigned char)d->model->device;
    c[3] = (unsigned char)(d->model->device >> 8);
    c[6] = 0x10; /* status: capabilities */
    c[9] = (unsigned char)d->model->class_code;
    c[10] = (unsigned char)(d->model->class_code >> 8);
    c[11] = (unsigned char)(d->model->class_code >> 16);
    c[0x34] = 0x40;
    c[0x3d] = 1;
    c[0x40] = 5; /* MSI, 64 bit, one vector */
    c[0x42] = 0x80;
}

int sw_add(const char *spec)
{
    static const struct sw_model *models[] = { &edu_model };
    struct sw_dev **at = &devices;
    const struct sw_model *m = NULL;

    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
        m = strcmp(spec, models[i]->name) == 0 ? models[i] : m;
    }
    if (m == NULL) {
        return -ENODEV;
    }
    struct sw_dev *d = calloc(1, sizeof(*d));

    if (d == NULL) {
        return -ENOMEM;
    }
    d->model = m;
    d->number = count++;
    snprintf(d->name, sizeof(d->name), "%s%u", m->name, d->number);
    memset(d->irq, -1, sizeof(d->irq));
    d->timer = -1;
    d->state = m->make(d);
    config_init(d);
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = d;
    return d->state == NULL ? -ENOMEM : 0;
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
    if (d->stream != NULL) {
        return -EBUSY;
    }
    d->stream = stream_new(STREAM_DEVICE, d, client);
    return d->stream == NULL ? -ENFILE : 0;
}

static void irq_off(struct sw_dev *d, unsigned index)
{
    for (unsigned v = 0; v < SW_VECTORS; v++) {
        if (d->irq[index][v] >= 0) {
            close(d->irq[index][v]);
            d->irq[index][v] = -1;
        }
    }
    d->enabled[index] = false;
}

void sw_closed(struct sw_dev *d)
{
    d->model->reset(d);
    for (unsigned i = 0; i < SW_IRQS; i++) {
        irq_off(d, i);
    }
    if (d->dev != NULL) {
        struct device *dev = d->dev;
        struct ctx *c = dev->obj.ctx;

        d->dev = NULL;
        device_unbind(dev);
        ctx_put(c);
    }
    d->stream = NULL;
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
    if (d->timer < 0) {
        struct watch *w = calloc(1, sizeof(*w));

        d->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (w == NULL || d->timer < 0) {
            free(w);
            d->model->timer(d);
            return;
        }
        *w = (struct watch){ d->timer, timer_ready, d };
        (void)server_watch(w);
    }
    timerfd_settime(d->timer, 0, &t, NULL);
}

void sw_interrupt(struct sw_dev *d, unsigned vector)
{
    const uint64_t one = 1;

    for (unsigned i = 0; i < 2; i++) { /* INTx, else MSI */
        if (vector < SW_VECTORS && d->irq[i][vector] >= 0) {
            (void)!write(d->irq[i][vector], &one, sizeof(one));
        }
    }
}

/* ---- calls ---- */

static int read_args(struct call *c, void *to, uint32_t min)
{
    uint32_t argsz;

    if (mm_read(c->mm, to, c->arg, min) != 0) {
        return -EFAULT;
    }
    memcpy(&argsz, to, sizeof(argsz));
    return argsz < min ? -EINVAL : 0;
}

static int bind_call(struct call *c, struct sw_dev *d)
{
    struct v_bind b;
    int err = read_args(c, &b, sizeof(b));

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

    d->dev = device_bind(ctx, &sw_ops, d);
    if (d->dev == NULL) {
        return -ENOMEM;
    }
    ctx->refs++;
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
    int err = read_args(c, &a, offsetof(struct v_attach, pasid));

    if (err == 0 && (a.flags & V_PASID_FLAG) != 0) {
        err = read_args(c, &a, sizeof(a));
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
    int err = read_args(c, &a, offsetof(struct v_detach, pasid));

    if (err == 0 && (a.flags & V_PASID_FLAG) != 0) {
        err = read_args(c, &a, sizeof(a));
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
    int err = read_args(c, &i, offsetof(struct v_device_info, cap_offset));

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
    int err = read_args(c, &r, sizeof(r));

    if (err != 0) {
        return err;
    }
    if (r.index >= V_REGIONS) {
        return -EINVAL;
    }
    r.size = region_size(d, r.index);
    r.flags = r.size != 0 ? V_REGION_READ | V_REGION_WRITE : 0;
    r.offset = (uint64_t)r.index << V_REGION_SHIFT;
    r.cap_offset = 0;
    r.argsz = sizeof(r);
    return mm_write(c->mm, c->arg, &r, sizeof(r));
}

static uint32_t irq_count(const struct sw_dev *d, uint32_t index)
{
    return index == 0 ? 1 : index == 1 ? d->model->msi_vectors : 0;
}

static int irq_info_call(struct call *c, struct sw_dev *d)
{
    struct v_irq_info i;
    int err = read_args(c, &i, sizeof(i));

    if (err != 0) {
        return err;
    }
    if (i.index >= SW_IRQS) {
        return -EINVAL;
    }
    i.count = irq_count(d, i.index);
    i.flags = V_IRQ_EVENTFD | (i.index == 1 ? V_IRQ_NORESIZE : 0);
    return mm_write(c->mm, c->arg, &i, sizeof(i));
}

/* Eventfds: all are fetched before the first is set. */
static int irq_eventfds(struct call *c, struct sw_dev *d, const struct v_irq_set *s)
{
    int fd[SW_VECTORS], err = 0;
    uint32_t n = 0;

    for (; n < s->count && err == 0; n++) {
        int32_t number;

        fd[n] = -1;
        err = mm_read(c->mm, &number, c->arg + sizeof(*s) + n * sizeof(number), sizeof(number));
        if (err == 0 && number >= 0) {
            fd[n] = c->fd_get(c, number);
            err = fd[n] < 0 ? fd[n] : 0;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (err != 0) {
            if (fd[i] >= 0) {
                close(fd[i]);
            }
            continue;
        }
        int *to = &d->irq[s->index][s->start + i];

        if (*to >= 0) {
            close(*to);
        }
        *to = fd[i];
    }
    d->enabled[s->index] = d->enabled[s->index] || err == 0;
    return err;
}

static int irqs_call(struct call *c, struct sw_dev *d)
{
    struct v_irq_set s;
    int err = read_args(c, &s, sizeof(s));
    uint32_t data = s.flags & V_SET_DATA, action = s.flags & V_SET_ACTION;

    if (err != 0) {
        return err;
    }
    if (s.index >= SW_IRQS || (s.flags & ~(uint32_t)(V_SET_DATA | V_SET_ACTION)) != 0 ||
        (data != V_SET_NONE && data != V_SET_BOOL && data != V_SET_EVENTFD) ||
        (action != V_SET_MASK && action != V_SET_UNMASK && action != V_SET_TRIGGER) ||
        s.start > irq_count(d, s.index) || s.count > irq_count(d, s.index) - s.start) {
        return -EINVAL;
    }
    if (s.argsz < sizeof(s) + s.count * (data == V_SET_EVENTFD ? 4u : data == V_SET_BOOL)) {
        return -EINVAL;
    }
    if (action != V_SET_TRIGGER) {
        return s.index == 0 ? 0 : -ENOTTY; /* only INTx has a mask, and nothing to hold back */
    }
    if (data == V_SET_EVENTFD) {
        return irq_eventfds(c, d, &s);
    }
    if (data == V_SET_NONE && s.count == 0) {
        irq_off(d, s.index);
        return 0;
    }
    if (!d->enabled[s.index]) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < s.count; i++) {
        unsigned char on = 1;

        if (data == V_SET_BOOL && mm_read(c->mm, &on, c->arg + sizeof(s) + i, 1) != 0) {
            return -EFAULT;
        }
        if (on != 0 && d->irq[s.index][s.start + i] >= 0) {
            const uint64_t one = 1;

            (void)!write(d->irq[s.index][s.start + i], &one, sizeof(one));
        }
    }
    return 0;
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

/* Writable bits of the configuration space: command, interrupt line, BAR 0, MSI. */
static void config_write(struct sw_dev *d, uint64_t off, const unsigned char *from, uint32_t len)
{
    uint32_t bar;

    for (uint32_t i = 0; i < len; i++) {
        uint64_t at = off + i;

        if (at == 4 || at == 5 || at == 0x3c || (at >= 0x10 && at < 0x14) ||
            (at >= 0x42 && at < 0x4e)) {
            d->config[at] = from[i];
        }
    }
    memcpy(&bar, d->config + 0x10, sizeof(bar));
    bar &= ~(uint32_t)(d->model->bar_size - 1);
    memcpy(d->config + 0x10, &bar, sizeof(bar));
    d->config[5] &= 0x07;
    d->config[0x42] = (unsigned char)(0x80 | (d->config[0x42] & 1));
}

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
