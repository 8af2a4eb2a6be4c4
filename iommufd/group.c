/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VFIO groups, the older way to a device: /dev/vfio/N is put into a container (/dev/vfio/vfio, which is a
 * file of iommufd's as in Linux's IOMMUFD_VFIO_CONTAINER) and gives out the device's descriptor, bound and
 * attached to the container's own IOAS. Each device is alone in its group.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "iommufd/swdev.h"
#include "iommufd/vfio_uapi.h"

int group_open(struct sw_dev *d, int *client)
{
    if (d->group != NULL || d->container != NULL || d->stream != NULL) {
        return -EBUSY; /* one file at a time, and not beside the device's own node */
    }
    d->group = stream_new(STREAM_GROUP, d, client);
    return d->group == NULL ? -ENFILE : 0;
}

static void container_drop(struct sw_dev *d)
{
    struct ctx *c = d->container;

    d->container = NULL;
    if (c != NULL) {
        iopt_unreserve(&d->compat->iopt, d);
        d->compat->obj.users--;
        d->compat = NULL;
        ctx_put(c);
    }
}

/* An open device keeps its group in the container. */
void group_closed(struct sw_dev *d)
{
    d->group = NULL;
    if (d->stream == NULL) {
        container_drop(d);
    }
}

void group_device_closed(struct sw_dev *d)
{
    if (d->group == NULL) {
        container_drop(d);
    }
}

static int get_status(struct call *c, const struct sw_dev *d)
{
    struct v_group_status s;

    if (mm_read(c->mm, &s, c->arg, sizeof(s)) != 0) {
        return -EFAULT;
    }
    if (s.argsz < sizeof(s)) {
        return -EINVAL;
    }
    s.flags = V_GROUP_VIABLE | (d->container != NULL ? V_GROUP_CONTAINER_SET : 0);
    return mm_write(c->mm, c->arg, &s, sizeof(s));
}

static int set_container(struct call *c, struct sw_dev *d)
{
    int32_t number;

    if (mm_read(c->mm, &number, c->arg, sizeof(number)) != 0) {
        return -EFAULT;
    }
    if (number < 0) {
        return -EINVAL;
    }
    int fd = c->fd_get(c, number);

    if (fd < 0) {
        return fd;
    }
    struct stream *s = stream_of_fd(fd);

    close(fd);
    if (d->container != NULL || s == NULL || s->kind != STREAM_CTX) {
        return -EINVAL;
    }
    struct ctx *ctx = s->object;
    int err = compat_ioas_create(ctx);

    /* Programs ask for the ranges before they open the device: as with type 1 they are told then what
     * it can reach. */
    if (err == 0) {
        err = iopt_reserve(&ctx->vfio_ioas->iopt, SW_APERTURE_LAST + 1, UINT64_MAX, d);
    }
    if (err == 0) {
        d->container = ctx;
        d->compat = ctx->vfio_ioas;
        d->compat->obj.users++;
        ctx->refs++;
    }
    return err;
}

static int unset_container(struct sw_dev *d)
{
    if (d->container == NULL) {
        return -EINVAL;
    }
    if (d->stream != NULL) {
        return -EBUSY;
    }
    container_drop(d);
    return 0;
}

static int attach(struct call *c, struct sw_dev *d)
{
    struct ioas *s = d->container->vfio_ioas;
    uint32_t pt_id;

    if (s == NULL) {
        return -ENODEV;
    }
    int err = vfio_bind(d, d->container);

    if (err != 0) {
        return err;
    }
    pt_id = s->obj.id;
    c->ctx = d->container;
    err = device_attach(c, d->dev, NO_PASID, &pt_id);
    if (err != 0) {
        struct device *dev = d->dev;

        d->dev = NULL;
        device_unbind(dev);
        ctx_put(d->container); /* what vfio_bind took; the group has its own */
    }
    return err;
}

static int get_device(struct call *c, struct sw_dev *d)
{
    char want[16], have[sizeof(want)];

    /* Its end may be closer than the end of memory. */
    memset(have, 0, sizeof(have));
    snprintf(want, sizeof(want), "0000:00:%02x.0", d->number + 1);
    if (mm_read(c->mm, have, c->arg, strlen(want) + 1) != 0) {
        return -EFAULT;
    }
    if (strcmp(want, have) != 0) {
        return -ENODEV;
    }
    if (d->container == NULL) {
        return -EINVAL;
    }
    if (d->stream != NULL) {
        return -EBUSY; /* Linux gives out more of the same; here one at a time */
    }
    int err = attach(c, d);

    if (err != 0) {
        return err;
    }
    d->stream = stream_new(STREAM_DEVICE, d, &c->out_fd);
    if (d->stream == NULL) {
        sw_closed(d);
        return -ENFILE;
    }
    return 0;
}

int group_ioctl(struct call *c, struct sw_dev *d)
{
    switch (c->cmd) {
    case U_IO(V_GROUP_GET_STATUS):
        return get_status(c, d);
    case U_IO(V_GROUP_SET_CONTAINER):
        return set_container(c, d);
    case U_IO(V_GROUP_UNSET_CONTAINER):
        return unset_container(d);
    case U_IO(V_GROUP_GET_DEVICE_FD):
        return get_device(c, d);
    default:
        return -ENOTTY;
    }
}
