/* SPDX-License-Identifier: BSD-2-Clause */
/* One open /dev/iommu: its objects by id, how long they live, and the table of its calls. */
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "iommufd/swiommu.h"

const struct test_ops *test_ops;
static struct ctx *list;

/* An id that nobody may get again: its object went with something else. */
static struct obj tombstone;

struct ctx *ctx_first(void)
{
    return list;
}

struct ctx *ctx_new(bool vfio_container)
{
    struct ctx *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        *c = (struct ctx){ .refs = 1, .low = 1, .mm_accounting = vfio_container, .next = list };
        list = c;
    }
    return c;
}

/* ---- objects ---- */

void *obj_new(struct ctx *c, size_t size, enum obj_type type)
{
    struct obj *o = calloc(1, size);
    uint32_t id = c->low;

    while (o != NULL && id < c->objs && c->obj[id] != NULL) {
        id++;
    }
    if (o != NULL && id >= c->room) {
        uint32_t room = c->room != 0 ? 2 * c->room : 32;
        struct obj **all = realloc(c->obj, room * sizeof(struct obj *));

        if (all == NULL) {
            free(o);
            return NULL;
        }
        memset(all + c->room, 0, (room - c->room) * sizeof(struct obj *));
        c->obj = all;
        c->room = room;
    }
    if (o == NULL) {
        return NULL;
    }
    *o = (struct obj){ .ctx = c, .id = id, .users = 1, .type = type };
    c->obj[id] = o;
    c->objs = id >= c->objs ? id + 1 : c->objs;
    c->low = id + 1;
    return o;
}

void obj_live(void *o)
{
    ((struct obj *)o)->live = true;
}

static void id_free(struct ctx *c, uint32_t id, bool tomb)
{
    c->obj[id] = tomb ? &tombstone : NULL;
    if (!tomb && id < c->low) {
        c->low = id;
    }
}

void obj_abort(void *p)
{
    struct obj *o = p;

    id_free(o->ctx, o->id, false);
    free(o);
}

void *obj_get(struct ctx *c, uint32_t id, enum obj_type type)
{
    struct obj *o = id < c->objs ? c->obj[id] : NULL;

    return o != NULL && o->live && (type == OBJ_ANY || o->type == type) ? o : NULL;
}

static void destroy(struct obj *o)
{
    switch (o->type) {
    case OBJ_DEVICE:
        device_destroy(o);
        break;
    case OBJ_HWPT_PAGING:
    case OBJ_HWPT_NESTED:
        hwpt_destroy(o);
        break;
    case OBJ_IOAS:
        ioas_destroy(o);
        break;
    case OBJ_ACCESS:
        access_destroy(o);
        break;
    case OBJ_FAULT:
        fault_destroy(o);
        break;
    case OBJ_VIOMMU:
        viommu_destroy(o);
        break;
    case OBJ_VDEVICE:
        vdevice_destroy(o);
        break;
    case OBJ_VEVENTQ:
        veventq_destroy(o);
        break;
    case OBJ_HW_QUEUE:
        hw_queue_destroy(o);
        break;
    case OBJ_TEST:
        test_ops->destroy(o);
        break;
    case OBJ_NONE:
    case OBJ_ANY:
        break;
    }
    free(o);
}

void obj_drop(void *p, bool tomb)
{
    struct obj *o = p;

    if (o->ctx->vfio_ioas == (void *)o) {
        o->ctx->vfio_ioas = NULL;
    }
    id_free(o->ctx, o->id, tomb);
    destroy(o);
}

int obj_remove(struct ctx *c, uint32_t id)
{
    struct obj *o = obj_get(c, id, OBJ_ANY);

    if (o == NULL) {
        return -ENOENT;
    }
    if (o->users != 1) {
        return -EBUSY;
    }
    if (o->type == OBJ_VIOMMU) {
        struct viommu *v = (struct viommu *)(void *)o;

        if (v->ops->viommu_busy != NULL && v->ops->viommu_busy(v) != 0) {
            return -EBUSY;
        }
    }
    obj_drop(o, false);
    return 0;
}

/* Leaves first, until nothing is left. */
static void objs_destroy(struct ctx *c)
{
    bool some = true;

    while (some) {
        some = false;
        for (uint32_t id = 1; id < c->objs; id++) {
            struct obj *o = c->obj[id];

            if (o != NULL && o != &tombstone && o->users == 1) {
                c->obj[id] = NULL;
                obj_drop(o, false);
                some = true;
            }
        }
    }
}

void ctx_put(struct ctx *c)
{
    struct ctx **at = &list;

    if (--c->refs != 0) {
        return;
    }
    c->refs = 1; /* objects may hold and drop it while they go */
    objs_destroy(c);
    while (*at != c) {
        at = &(*at)->next;
    }
    *at = c->next;
    swiommu_free(c->iommu);
    free(c->obj);
    free(c);
}

/* ---- calls ---- */

static int destroy_call(struct call *c)
{
    return obj_remove(c->ctx, c->u->destroy.id);
}

static int rlimit_mode(struct ctx *ctx, struct mm *mm, struct u_option *o)
{
    if (o->object_id != 0) {
        return -EOPNOTSUPP;
    }
    if (o->op == U_OPTION_GET) {
        o->val64 = ctx->mm_accounting;
        return 0;
    }
    if (o->op != U_OPTION_SET) {
        return -EOPNOTSUPP;
    }
    if (!mm_capable(mm, 24)) { /* CAP_SYS_RESOURCE */
        return -EPERM;
    }
    for (uint32_t id = 1; id < ctx->objs; id++) {
        if (ctx->obj[id] != NULL) {
            return -EBUSY;
        }
    }
    if (o->val64 > 1) {
        return -EINVAL;
    }
    ctx->mm_accounting = o->val64 == 1;
    return 0;
}

static int option(struct call *c)
{
    struct u_option *o = &c->u->option;
    int err = -EOPNOTSUPP;

    if (o->reserved == 0 && o->option_id == U_OPTION_RLIMIT_MODE) {
        err = rlimit_mode(c->ctx, c->mm, o);
    } else if (o->reserved == 0 && o->option_id == U_OPTION_HUGE_PAGES) {
        err = ioas_option(c);
    }
    return err != 0 ? err
                    : mm_write(c->mm, c->arg + offsetof(struct u_option, val64), &o->val64,
                               sizeof(o->val64));
}

static const struct op {
    uint32_t size, min;
    int (*call)(struct call *c);
} ops[] = {
#define OP(nr, fn, type, last)             \
    [(nr)-U_BASE] = { sizeof(struct type), \
                      offsetof(struct type, last) + sizeof(((struct type *)0)->last), fn }
    OP(U_DESTROY, destroy_call, u_destroy, id),
    OP(U_IOAS_ALLOC, ioas_alloc, u_ioas_alloc, out_ioas_id),
    OP(U_IOAS_ALLOW_IOVAS, ioas_allow, u_ioas_allow_iovas, allowed_iovas),
    OP(U_IOAS_COPY, ioas_copy, u_ioas_copy, src_iova),
    OP(U_IOAS_IOVA_RANGES, ioas_ranges, u_ioas_iova_ranges, out_iova_alignment),
    OP(U_IOAS_MAP, ioas_map, u_ioas_map, iova),
    OP(U_IOAS_UNMAP, ioas_unmap, u_ioas_unmap, length),
    OP(U_OPTION, option, u_option, val64),
    OP(U_VFIO_IOAS, compat_vfio_ioas, u_vfio_ioas, reserved),
    OP(U_HWPT_ALLOC, hwpt_alloc, u_hwpt_alloc, reserved),
    OP(U_GET_HW_INFO, device_hw_info, u_hw_info, reserved),
    OP(U_HWPT_SET_DIRTY_TRACKING, hwpt_set_dirty, u_hwpt_set_dirty_tracking, reserved),
    OP(U_HWPT_GET_DIRTY_BITMAP, hwpt_get_dirty, u_hwpt_get_dirty_bitmap, data),
    OP(U_HWPT_INVALIDATE, hwpt_invalidate, u_hwpt_invalidate, reserved),
    OP(U_FAULT_QUEUE_ALLOC, fault_alloc, u_fault_alloc, out_fault_fd),
    OP(U_IOAS_MAP_FILE, ioas_map_file, u_ioas_map_file, iova),
    OP(U_VIOMMU_ALLOC, viommu_alloc, u_viommu_alloc, out_viommu_id),
    OP(U_VDEVICE_ALLOC, vdevice_alloc, u_vdevice_alloc, virt_id),
    OP(U_IOAS_CHANGE_PROCESS, ioas_change_process, u_ioas_change_process, reserved),
    OP(U_VEVENTQ_ALLOC, veventq_alloc, u_veventq_alloc, out_fd),
    OP(U_HW_QUEUE_ALLOC, hw_queue_alloc, u_hw_queue_alloc, length),
    OP(U_IOAS_NOIOMMU_GET_PA, ioas_get_pa, u_ioas_noiommu_get_pa, out_phys),
#undef OP
};
#define OPS (sizeof(ops) / sizeof(ops[0]))

int call_respond(struct call *c, const void *u, size_t size)
{
    return mm_write(c->mm, c->arg, u, size < c->user_size ? size : c->user_size);
}

/* What the caller knows more than we do must be zero. A tail that is too long to be looked at in
 * good time counts as one that is not (the kernel would read all of it). */
static int tail_zero(struct mm *mm, uint64_t from, uint64_t len)
{
    unsigned char buf[PG];

    if (len > (16u << 20)) {
        return -E2BIG;
    }
    while (len > 0) {
        size_t n = len < sizeof(buf) ? (size_t)len : sizeof(buf);

        if (mm_read(mm, buf, from, n) != 0) {
            return -EFAULT;
        }
        for (size_t i = 0; i < n; i++) {
            if (buf[i] != 0) {
                return -E2BIG;
            }
        }
        from += n;
        len -= n;
    }
    return 0;
}

int call_struct(struct call *c, void *to, size_t size, uint64_t from, uint64_t user_size)
{
    size_t n = user_size < size ? (size_t)user_size : size;
    int err;

    memset((unsigned char *)to + n, 0, size - n);
    if (user_size > size) {
        err = tail_zero(c->mm, from + size, user_size - size);
        if (err != 0) {
            return err;
        }
    }
    return mm_read(c->mm, to, from, n);
}

static uint32_t fail_nth, fail_calls;

void ctx_fail_nth(uint32_t n)
{
    fail_nth = n;
    fail_calls = 0;
}

/* Fault injection: calls that could find no memory. Their names, else NULL. */
static const char *may_fail(unsigned nr)
{
    switch (nr) {
    case U_IOAS_ALLOC:
        return "IOMMU_IOAS_ALLOC";
    case U_IOAS_MAP:
        return "IOMMU_IOAS_MAP";
    case U_IOAS_MAP_FILE:
        return "IOMMU_IOAS_MAP_FILE";
    case U_IOAS_COPY:
        return "IOMMU_IOAS_COPY";
    case U_HWPT_ALLOC:
        return "IOMMU_HWPT_ALLOC";
    case U_FAULT_QUEUE_ALLOC:
        return "IOMMU_FAULT_QUEUE_ALLOC";
    case U_VIOMMU_ALLOC:
        return "IOMMU_VIOMMU_ALLOC";
    case U_VDEVICE_ALLOC:
        return "IOMMU_VDEVICE_ALLOC";
    case U_VEVENTQ_ALLOC:
        return "IOMMU_VEVENTQ_ALLOC";
    case U_HW_QUEUE_ALLOC:
        return "IOMMU_HW_QUEUE_ALLOC";
    default:
        return nr == V_IOMMU_MAP_DMA ? "VFIO_IOMMU_MAP_DMA" : NULL;
    }
}

static bool fails(const struct call *c, unsigned nr)
{
    if (fail_nth == 0 || may_fail(nr) == NULL || ++fail_calls != fail_nth) {
        return false;
    }
    fprintf(stderr, "tenon-iommufd: --fail-nth %u: %s of process %d fails with ENOMEM\n", fail_nth,
            may_fail(nr), (int)c->mm->pid);
    return true;
}

/* A sweep over N ends where this is said. */
void ctx_fail_summary(void)
{
    if (fail_calls < fail_nth) {
        fprintf(stderr, "tenon-iommufd: --fail-nth %u: not reached, such calls: %u\n", fail_nth,
                fail_calls);
    }
}

int ctx_ioctl(struct call *c)
{
    union {
        union u_any u;
        unsigned char room[256];
    } buf;
    unsigned nr = U_IO_NR(c->cmd);
    bool test = test_ops != NULL && nr == U_TEST_NR;
    size_t size;
    int err;

    if (fails(c, nr)) {
        return -ENOMEM;
    }
    if (nr < U_BASE || (nr - U_BASE >= OPS && !test)) {
        return compat_ioctl(c);
    }
    c->u = &buf.u;
    if (mm_read(c->mm, &c->user_size, c->arg, sizeof(c->user_size)) != 0) {
        return -EFAULT;
    }
    if (c->cmd != U_IO(nr)) {
        return -ENOTTY;
    }
    size = test ? test_ops->size : ops[nr - U_BASE].size;
    if (c->user_size < (test ? size : ops[nr - U_BASE].min)) {
        return -EINVAL;
    }
    err = call_struct(c, &buf, size, c->arg, c->user_size);
    if (err != 0) {
        return err;
    }
    return test ? test_ops->call(c, &buf, size) : ops[nr - U_BASE].call(c);
}
