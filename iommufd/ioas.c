/* SPDX-License-Identifier: BSD-2-Clause */
/* The IOAS calls: what they take and answer. The work is iopt.c's. */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iommufd/iod.h"

#define MAP_FLAGS (U_MAP_FIXED | U_MAP_WRITE | U_MAP_READ)

struct ioas *ioas_new(struct ctx *c)
{
    struct ioas *s = obj_new(c, sizeof(*s), OBJ_IOAS);

    if (s != NULL) {
        iopt_init(&s->iopt);
    }
    return s;
}

void ioas_destroy(struct obj *o)
{
    struct ioas *s = (struct ioas *)(void *)o;

    (void)iopt_unmap(&s->iopt, 0, UINT64_MAX, NULL);
    iopt_fini(&s->iopt);
    free(s->hwpt);
}

int ioas_alloc(struct call *c)
{
    struct u_ioas_alloc *u = &c->u->ioas_alloc;

    if (u->flags != 0) {
        return -EOPNOTSUPP;
    }
    struct ioas *s = ioas_new(c->ctx);

    if (s == NULL) {
        return -ENOMEM;
    }
    u->out_ioas_id = s->obj.id;
    int err = call_respond(c, u, sizeof(*u));

    if (err != 0) {
        ioas_destroy(&s->obj);
        obj_abort(s);
        return err;
    }
    obj_live(s);
    return 0;
}

int ioas_ranges(struct call *c)
{
    struct u_ioas_iova_ranges *u = &c->u->ranges;
    uint32_t max = u->num_iovas;
    uint64_t first, last;

    if (u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    struct ioas *s = obj_get(c->ctx, u->ioas_id, OBJ_IOAS);

    if (s == NULL) {
        return -ENOENT;
    }
    u->num_iovas = 0;
    u->out_iova_alignment = s->iopt.alignment;
    for (uint64_t at = 0; iopt_hole(&s->iopt, at, UINT64_MAX, false, &first, &last);
         at = last + 1) {
        struct u_iova_range r = { first, last };

        if (u->num_iovas < max &&
            mm_write(c->mm, u->allowed_iovas + u->num_iovas * sizeof(r), &r, sizeof(r)) != 0) {
            return -EFAULT;
        }
        u->num_iovas++;
        if (last == UINT64_MAX) {
            break;
        }
    }
    int err = call_respond(c, u, sizeof(*u));

    return err != 0 ? err : u->num_iovas > max ? -EMSGSIZE : 0;
}

int ioas_allow(struct call *c)
{
    struct u_ioas_allow_iovas *u = &c->u->allow;
    struct range_list l = { 0 };
    int err = 0;

    if (u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    struct ioas *s = obj_get(c->ctx, u->ioas_id, OBJ_IOAS);

    if (s == NULL) {
        return -ENOENT;
    }
    for (uint32_t i = 0; i < u->num_iovas && err == 0; i++) {
        struct u_iova_range r;

        if (l.n == 65536) { /* looked through one by one: a bound of ours */
            err = -ENOMEM;
        } else if (mm_read(c->mm, &r, u->allowed_iovas + i * sizeof(r), sizeof(r)) != 0) {
            err = -EFAULT;
        } else if (r.start >= r.last || range_touches(&l, r.start, r.last)) {
            err = -EINVAL;
        } else {
            err = range_add(&l, r.start, r.last, NULL);
        }
    }
    if (err == 0) {
        err = iopt_allow(&s->iopt, &l);
    }
    free(l.r);
    return err;
}

static int map_check(uint32_t flags, uint32_t reserved, uint64_t iova, uint64_t length)
{
    if ((flags & ~(uint32_t)MAP_FLAGS) != 0 || reserved != 0) {
        return -EOPNOTSUPP;
    }
    if (iova == UINT64_MAX || length == UINT64_MAX) {
        return -EOVERFLOW;
    }
    return (flags & (U_MAP_WRITE | U_MAP_READ)) == 0 ? -EINVAL : 0;
}

/* One range of new pages; drops the caller's reference to them. */
static int map_pages(struct call *c, struct ioas *s, struct pages *p, uint64_t start_byte,
                     uint64_t len, uint64_t *iova, bool fixed, bool read, bool write)
{
    struct slice one = { p, start_byte, len };

    if (c->ctx->mm_accounting && p->account == ACCOUNT_USER) {
        p->account = ACCOUNT_MM;
    }
    int err = iopt_map(&s->iopt, &one, 1, len, iova, fixed, read, write);

    pages_put(p);
    return err;
}

int ioas_map_user(struct call *c, struct ioas *s, uint64_t va, uint64_t len, uint64_t *iova,
                  bool fixed, bool read, bool write)
{
    struct pages *p;
    int err = pages_new_user(c->mm, va, len, write, &p);

    return err != 0 ? err : map_pages(c, s, p, va % PG, len, iova, fixed, read, write);
}

int ioas_map(struct call *c)
{
    struct u_ioas_map *u = &c->u->map;
    int err = map_check(u->flags, u->reserved, u->iova, u->length);
    struct ioas *s = err == 0 ? obj_get(c->ctx, u->ioas_id, OBJ_IOAS) : NULL;
    uint64_t iova = u->iova;

    if (s == NULL) {
        return err != 0 ? err : -ENOENT;
    }
    err = ioas_map_user(c, s, u->user_va, u->length, &iova, (u->flags & U_MAP_FIXED) != 0,
                        (u->flags & U_MAP_READ) != 0, (u->flags & U_MAP_WRITE) != 0);
    if (err != 0) {
        return err;
    }
    u->iova = iova;
    return call_respond(c, u, sizeof(*u));
}

static int map_fd(struct call *c, struct ioas *s, struct u_ioas_map_file *u, int fd, uint64_t *iova)
{
    bool write = (u->flags & U_MAP_WRITE) != 0;
    struct dmabuf *b = dmabuf_find(fd);
    struct pages *p;
    int err = b != NULL ? pages_new_dmabuf(c->mm, b, u->start, u->length, write, &p)
                        : pages_new_file(c->mm, fd, u->start, u->length, write, &p);

    return err != 0 ? err
                    : map_pages(c, s, p, u->start % PG, u->length, iova,
                                (u->flags & U_MAP_FIXED) != 0, (u->flags & U_MAP_READ) != 0, write);
}

int ioas_map_file(struct call *c)
{
    struct u_ioas_map_file *u = &c->u->map_file;
    int err = map_check(u->flags, 0, u->iova, u->length);
    struct ioas *s = err == 0 ? obj_get(c->ctx, u->ioas_id, OBJ_IOAS) : NULL;
    uint64_t iova = u->iova;

    if (s == NULL) {
        return err != 0 ? err : -ENOENT;
    }
    if (u->length == 0) {
        return -EINVAL;
    }
    if (u->start + (u->length - 1) < u->start) {
        return -EOVERFLOW;
    }
    int fd = c->fd_get(c, u->fd);

    if (fd < 0) {
        return fd;
    }
    err = map_fd(c, s, u, fd, &iova);
    close(fd);
    if (err != 0) {
        return err;
    }
    u->iova = iova;
    return call_respond(c, u, sizeof(*u));
}

int ioas_copy(struct call *c)
{
    struct u_ioas_copy *u = &c->u->copy;
    struct slice *list = NULL;
    uint32_t n = 0;
    uint64_t iova = u->dst_iova;
    int err = map_check(u->flags, 0, u->dst_iova, u->length);

    if (err == 0 || err == -EINVAL) {
        err = u->src_iova == UINT64_MAX ? -EOVERFLOW : err;
    }
    struct ioas *src = err == 0 ? obj_get(c->ctx, u->src_ioas_id, OBJ_IOAS) : NULL;

    if (src == NULL) {
        return err != 0 ? err : -ENOENT;
    }
    err = iopt_slices(&src->iopt, u->src_iova, u->length, &list, &n);
    if (err != 0) {
        return err;
    }
    struct ioas *dst = obj_get(c->ctx, u->dst_ioas_id, OBJ_IOAS);

    err = dst == NULL
              ? -ENOENT
              : iopt_map(&dst->iopt, list, n, u->length, &iova, (u->flags & U_MAP_FIXED) != 0,
                         (u->flags & U_MAP_READ) != 0, (u->flags & U_MAP_WRITE) != 0);
    slices_free(list, n);
    if (err != 0) {
        return err;
    }
    u->dst_iova = iova;
    return call_respond(c, u, sizeof(*u));
}

int ioas_unmap(struct call *c)
{
    struct u_ioas_unmap *u = &c->u->unmap;
    struct ioas *s = obj_get(c->ctx, u->ioas_id, OBJ_IOAS);
    bool all = u->iova == 0 && u->length == UINT64_MAX;
    uint64_t done = 0;
    int err;

    if (s == NULL) {
        return -ENOENT;
    }
    if (all) {
        err = iopt_unmap(&s->iopt, 0, UINT64_MAX, &done);
    } else if (u->iova == UINT64_MAX || u->length == UINT64_MAX) {
        err = -EOVERFLOW;
    } else if (u->length == 0) {
        err = -EINVAL;
    } else if (u->iova + (u->length - 1) < u->iova) {
        err = -EOVERFLOW;
    } else {
        err = iopt_unmap(&s->iopt, u->iova, u->iova + (u->length - 1), &done);
    }
    if (err == 0 && !all && done == 0) {
        err = -ENOENT;
    }
    if (err != 0) {
        return err;
    }
    u->length = done;
    return call_respond(c, u, sizeof(*u));
}

/* For devices that no IOMMU stands before; there is none here, so no IOAS ever qualifies. */
int ioas_get_pa(struct call *c)
{
    struct u_ioas_noiommu_get_pa *u = &c->u->get_pa;

    if (!mm_capable(c->mm, 17)) { /* CAP_SYS_RAWIO */
        return -EPERM;
    }
    if (u->flags != 0 || u->reserved != 0) {
        return -EOPNOTSUPP;
    }
    if (u->length == 0) {
        return -EINVAL;
    }
    if (u->iova == UINT64_MAX) {
        return -EOVERFLOW;
    }
    struct ioas *s = obj_get(c->ctx, u->ioas_id, OBJ_IOAS);

    if (s == NULL) {
        return -ENOENT;
    }
    uint32_t i = iopt_find(&s->iopt, u->iova);

    if (i == s->iopt.areas || s->iopt.area[i]->iova > u->iova) {
        return -ENOENT;
    }
    return pages_revoked(s->iopt.area[i]->pages) ? -EINVAL : -EOPNOTSUPP;
}

int ioas_option(struct call *c)
{
    struct u_option *o = &c->u->option;
    struct ioas *s = obj_get(c->ctx, o->object_id, OBJ_IOAS);

    if (s == NULL) {
        return -ENOENT;
    }
    if (o->op == U_OPTION_GET) {
        o->val64 = !s->iopt.small;
        return 0;
    }
    if (o->op != U_OPTION_SET) {
        return -EOPNOTSUPP;
    }
    return o->val64 > 1 ? -EINVAL : iopt_set_small(&s->iopt, o->val64 == 0);
}

/* ---- IOMMU_IOAS_CHANGE_PROCESS ---- */

static bool moves(const struct pages *p, const struct mm *to)
{
    switch (p->account) {
    case ACCOUNT_NONE:
        return false;
    case ACCOUNT_MM:
        return p->mm != to;
    case ACCOUNT_USER:
        break;
    }
    return p->uid != to->uid || p->mm != to;
}

static void move(struct pages *p, struct mm *to)
{
    if (p->mm == to) {
        return;
    }
    if (moves(p, to)) {
        account_release(p->account, p->mm, p->uid, p->pinned);
    }
    to->refs++;
    mm_put(p->mm);
    p->mm = to;
    p->uid = to->uid;
}

/* fn for each area of each IOAS of the file. */
static int each_area(struct ctx *c, int (*fn)(void *ctx, struct pages *p), void *ctx)
{
    for (uint32_t id = 1; id < c->objs; id++) {
        struct ioas *s = obj_get(c, id, OBJ_IOAS);

        for (uint32_t i = 0; s != NULL && i < s->iopt.areas; i++) {
            int err = fn(ctx, s->iopt.area[i]->pages);

            if (err != 0) {
                return err;
            }
        }
    }
    return 0;
}

static int only_files(void *ctx, struct pages *p)
{
    (void)ctx;
    return p->type == PAGES_FILE ? 0 : -EINVAL;
}

struct moving {
    struct mm *to;
    uint64_t charged[3];
};

/* Each `pages` once, however many areas show it: those counted are marked by their refs' top bit. */
#define COUNTED (1u << 31)

static int count(void *ctx, struct pages *p)
{
    struct moving *m = ctx;

    if (moves(p, m->to) && (p->refs & COUNTED) == 0) {
        m->charged[p->account] += p->pinned;
        p->refs |= COUNTED;
    }
    return 0;
}

static int uncount(void *ctx, struct pages *p)
{
    (void)ctx;
    p->refs &= ~COUNTED;
    return 0;
}

static int do_move(void *ctx, struct pages *p)
{
    move(p, ((struct moving *)ctx)->to);
    return 0;
}

int ioas_change_process(struct call *c)
{
    struct moving m = { .to = c->mm };

    if (c->u->change.reserved != 0) {
        return -EOPNOTSUPP;
    }
    int err = each_area(c->ctx, only_files, NULL);

    if (err != 0) {
        return err;
    }
    (void)each_area(c->ctx, count, &m);
    (void)each_area(c->ctx, uncount, NULL);
    for (unsigned i = 0; i < 3; i++) {
        err = m.charged[i] != 0 ? account_charge((enum account)i, c->mm, c->mm->uid, m.charged[i])
                                : 0;
        if (err != 0) {
            while (i-- > 0) {
                if (m.charged[i] != 0) {
                    account_release((enum account)i, c->mm, c->mm->uid, m.charged[i]);
                }
            }
            return err;
        }
    }
    return each_area(c->ctx, do_move, &m);
}
