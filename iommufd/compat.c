/* SPDX-License-Identifier: BSD-2-Clause */
/* The VFIO type-1 container's calls, on the IOAS that the file names as its own. */
#include <errno.h>

#include "iommufd/iod.h"

static int compat_ioas(struct ctx *c, struct ioas **s)
{
    *s = c->vfio_ioas;
    return *s != NULL ? 0 : -ENODEV;
}

int compat_ioas_create(struct ctx *c)
{
    if (c->vfio_ioas == NULL) {
        c->vfio_ioas = ioas_new(c);
        if (c->vfio_ioas == NULL) {
            return -ENOMEM;
        }
        obj_live(c->vfio_ioas);
    }
    return 0;
}

int compat_vfio_ioas(struct call *c)
{
    struct u_vfio_ioas *u = &c->u->vfio_ioas;
    struct ioas *s;
    int err;

    if (u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    switch (u->op) {
    case U_VFIO_IOAS_GET:
        err = compat_ioas(c->ctx, &s);
        if (err != 0) {
            return err;
        }
        u->ioas_id = s->obj.id;
        return call_respond(c, u, sizeof(*u));
    case U_VFIO_IOAS_SET:
        s = obj_get(c->ctx, u->ioas_id, OBJ_IOAS);
        if (s == NULL) {
            return -ENOENT;
        }
        c->ctx->vfio_ioas = s;
        return 0;
    case U_VFIO_IOAS_CLEAR:
        c->ctx->vfio_ioas = NULL;
        return 0;
    default:
        return -EOPNOTSUPP;
    }
}

static int map_dma(struct call *c)
{
    struct v_dma_map m;
    struct ioas *s;

    if (mm_read(c->mm, &m, c->arg, sizeof(m)) != 0) {
        return -EFAULT;
    }
    if (m.argsz < sizeof(m) || (m.flags & ~(uint32_t)(V_MAP_READ | V_MAP_WRITE)) != 0) {
        return -EINVAL;
    }
    int err = compat_ioas(c->ctx, &s);

    return err != 0 ? err
                    : ioas_map_user(c, s, m.vaddr, m.size, &m.iova, true,
                                    (m.flags & V_MAP_READ) != 0, (m.flags & V_MAP_WRITE) != 0);
}

static int unmap_range(struct ioas *s, const struct v_dma_unmap *m, uint64_t *done)
{
    int err = 0;

    if (s->iopt.small) { /* type 1 may unmap in the middle of a mapping */
        err = iopt_cut(&s->iopt, m->iova + m->size - 1);
        if (err == 0 && m->iova != 0) {
            err = iopt_cut(&s->iopt, m->iova - 1);
        }
        if (err != 0) {
            return err;
        }
    }
    if (m->size == 0) {
        return -EINVAL;
    }
    if (m->iova + (m->size - 1) < m->iova) {
        return -EOVERFLOW;
    }
    return iopt_unmap(&s->iopt, m->iova, m->iova + (m->size - 1), done);
}

static int unmap_dma(struct call *c)
{
    struct v_dma_unmap m;
    struct ioas *s;
    uint64_t done = 0;

    if (mm_read(c->mm, &m, c->arg, sizeof(m)) != 0) {
        return -EFAULT;
    }
    if (m.argsz < sizeof(m) || (m.flags & ~(uint32_t)V_UNMAP_FLAG_ALL) != 0) {
        return -EINVAL;
    }
    int err = compat_ioas(c->ctx, &s);

    if (err != 0) {
        return err;
    }
    if ((m.flags & V_UNMAP_FLAG_ALL) != 0) {
        if (m.iova != 0 || m.size != 0) {
            return -EINVAL;
        }
        err = iopt_unmap(&s->iopt, 0, UINT64_MAX, &done);
    } else {
        err = unmap_range(s, &m, &done);
    }
    m.size = done;
    return mm_write(c->mm, c->arg, &m, sizeof(m)) != 0 ? -EFAULT : err;
}

static uint64_t page_sizes(const struct ioas *s)
{
    uint64_t sizes = UINT64_MAX;

    for (uint32_t i = 0; i < s->iopt.domains; i++) {
        sizes &= s->iopt.domain[i]->pgsizes;
    }
    if ((sizes & (PG - 1)) != 0) {
        sizes = (sizes & ~(uint64_t)(PG - 1)) | PG;
    }
    return sizes > s->iopt.alignment ? sizes : s->iopt.alignment;
}

/* Each writes what fits into `room` bytes at `at`, and returns how many it would take. */
static int cap_avail(struct call *c, uint64_t at, uint64_t room)
{
    struct v_cap_dma_avail cap = { { V_CAP_DMA_AVAIL, 1, 0 }, UINT32_MAX };

    if (room >= sizeof(cap) && mm_write(c->mm, at, &cap, sizeof(cap)) != 0) {
        return -EFAULT;
    }
    return (int)sizeof(cap);
}

static int cap_ranges(struct call *c, const struct ioas *s, uint64_t at, uint64_t room)
{
    struct v_cap_iova_range cap = { .header = { V_CAP_IOVA_RANGE, 1, 0 } };
    uint64_t first, last, size = sizeof(cap);

    for (uint64_t from = 0; iopt_hole(&s->iopt, from, UINT64_MAX, false, &first, &last);
         from = last + 1) {
        struct u_iova_range r = { first, last };

        size += sizeof(r);
        if (room >= size && mm_write(c->mm, at + size - sizeof(r), &r, sizeof(r)) != 0) {
            return -EFAULT;
        }
        cap.nr_iovas++;
        if (last == UINT64_MAX) {
            break;
        }
    }
    if (room >= size && mm_write(c->mm, at, &cap, sizeof(cap)) != 0) {
        return -EFAULT;
    }
    return (int)size;
}

static int get_info(struct call *c)
{
    struct v_info info = { 0 };
    uint32_t min = offsetof(struct v_info, cap_offset), total = sizeof(info), last = 0;
    struct ioas *s;

    if (mm_read(c->mm, &info, c->arg, min) != 0) {
        return -EFAULT;
    }
    if (info.argsz < min) {
        return -EINVAL;
    }
    min = info.argsz < sizeof(info) ? info.argsz : sizeof(info);
    int err = compat_ioas(c->ctx, &s);

    if (err != 0) {
        return err;
    }
    info.flags = V_INFO_PGSIZES | V_INFO_CAPS;
    info.iova_pgsizes = page_sizes(s);
    for (int i = 0; i < 2; i++) {
        uint64_t room = info.argsz > total ? info.argsz - total : 0;
        int size =
            i == 0 ? cap_avail(c, c->arg + total, room) : cap_ranges(c, s, c->arg + total, room);

        if (size < 0) {
            return size;
        }
        if (last != 0 && info.argsz >= total &&
            mm_write(c->mm, c->arg + last + offsetof(struct v_cap_header, next), &total,
                     sizeof(total)) != 0) {
            return -EFAULT;
        }
        last = total;
        total += ((uint32_t)size + 7) & ~7u;
    }
    info.cap_offset = info.argsz >= total ? sizeof(info) : 0;
    info.argsz = total;
    return mm_write(c->mm, c->arg, &info, min);
}

static int check_extension(const struct ctx *c)
{
    return c->no_iommu ? 0 : 1;
}

static int set_iommu(struct call *c)
{
    struct ioas *s;

    if ((c->arg != V_TYPE1 && c->arg != V_TYPE1V2) || c->ctx->no_iommu) {
        return -EINVAL;
    }
    int err = compat_ioas(c->ctx, &s);

    if (err != 0) {
        return err;
    }
    return c->arg == V_TYPE1 ? iopt_set_small(&s->iopt, true) : 0;
}

static int extension(struct call *c)
{
    struct ioas *s;
    int err;

    switch (c->arg) {
    case V_TYPE1:
    case V_TYPE1V2:
    case V_UNMAP_ALL:
        return check_extension(c->ctx);
    case V_DMA_CC:
        /* No table of ours promises to make a device's accesses coherent. */
        err = compat_ioas(c->ctx, &s);
        return err != 0 ? err : s->hwpts == 0;
    default:
        return 0;
    }
}

int compat_ioctl(struct call *c)
{
    switch (c->cmd) {
    case U_IO(V_GET_API_VERSION):
        return 0;
    case U_IO(V_SET_IOMMU):
        return set_iommu(c);
    case U_IO(V_CHECK_EXTENSION):
        return extension(c);
    case U_IO(V_IOMMU_GET_INFO):
        return get_info(c);
    case U_IO(V_IOMMU_MAP_DMA):
        return map_dma(c);
    case U_IO(V_IOMMU_UNMAP_DMA):
        return unmap_dma(c);
    default:
        return -ENOTTY;
    }
}
