/* SPDX-License-Identifier: BSD-2-Clause */
/* Event queues that a program reads through a descriptor: page faults, and a vIOMMU's own events. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "iommufd/swiommu.h"

#define VEVENTQ_MAX_DEPTH (1u << 19)
#define FAULTS_MAX        65536u /* unread and unanswered; more are answered at once */

static bool readable(const struct eventq *q)
{
    return q->head != NULL ||
           (q->obj.type == OBJ_VEVENTQ && ((const struct veventq *)(const void *)q)->lost);
}

static void update(struct eventq *q)
{
    if (q->stream != NULL) {
        stream_ready(q->stream, readable(q));
    }
}

static int eventq_open(struct call *c, struct eventq *q)
{
    q->tail = &q->head;
    q->stream = stream_new(STREAM_EVENTQ, q, &c->out_fd);
    if (q->stream == NULL) {
        return -EMFILE;
    }
    q->obj.users++;
    q->obj.ctx->refs++;
    return 0;
}

/* Of a call that fails after eventq_open. */
static void eventq_abort(struct call *c, struct eventq *q)
{
    struct stream *s = q->stream;

    close(c->out_fd);
    c->out_fd = -1;
    eventq_closed(q);
    stream_drop(s);
}

/* The last copy of the descriptor is closed. */
void eventq_closed(struct eventq *q)
{
    struct ctx *c = q->obj.ctx;

    q->stream = NULL;
    q->obj.users--;
    ctx_put(c);
}

static void append(struct eventq *q, struct event *e)
{
    e->next = NULL;
    *q->tail = e;
    q->tail = &e->next;
    q->queued++;
}

static struct event *take(struct eventq *q)
{
    struct event *e = q->head;

    q->head = e->next;
    if (q->head == NULL) {
        q->tail = &q->head;
    }
    q->queued--;
    return e;
}

static void free_all(struct event *e)
{
    while (e != NULL) {
        struct event *next = e->next;

        free(e);
        e = next;
    }
}

/* ---- faults ---- */

/* One that came too late, or never was, is nobody's any more. */
static void answer(const struct event *e, uint32_t code)
{
    (void)prq_answer(&e->from->dev->iommu->prq, e->request,
                     code == U_RESP_SUCCESS ? IOMMU_RESPONSE_SUCCESS : IOMMU_RESPONSE_INVALID);
}

int fault_alloc(struct call *c)
{
    struct u_fault_alloc *u = &c->u->fault;

    if (u->flags != 0) {
        return -EOPNOTSUPP;
    }
    struct fault *f = obj_new(c->ctx, sizeof(*f), OBJ_FAULT);

    if (f == NULL) {
        return -ENOMEM;
    }
    int err = eventq_open(c, &f->q);

    if (err != 0) {
        obj_abort(f);
        return err;
    }
    u->out_fault_id = f->q.obj.id;
    c->out_at = c->arg + offsetof(struct u_fault_alloc, out_fault_fd);
    err = call_respond(c, u, sizeof(*u));
    if (err != 0) {
        eventq_abort(c, &f->q);
        obj_abort(f);
        return err;
    }
    obj_live(f);
    return 0;
}

/* No HWPT has it any more, so nothing is attached, and nothing waits. */
void fault_destroy(struct obj *o)
{
    struct fault *f = (struct fault *)(void *)o;

    free_all(f->q.head);
    free_all(f->waiting);
}

_Static_assert((int)U_PGFAULT_READ == (int)PT_READ && (int)U_PGFAULT_WRITE == (int)PT_WRITE,
               "rights are passed on as they are");

static bool forward(void *ctx, const struct prq_request *r, uint64_t request)
{
    struct attach *a = ctx;
    struct fault *f = a->hwpt->fault;

    /* A PASID of the guest's own; not one that is attached to something without a queue. */
    if (r->pasid_valid && a->pasid == NO_PASID && device_hwpt(a->dev, r->pasid) != NULL) {
        return false;
    }
    struct event *e = f->q.queued < FAULTS_MAX ? calloc(1, sizeof(*e)) : NULL;
    struct u_pgfault u = { .flags =
                               U_PGFAULT_LAST_PAGE | (r->pasid_valid ? U_PGFAULT_PASID_VALID : 0),
                           .dev_id = a->dev->obj.id,
                           .pasid = r->pasid,
                           .grpid = r->group,
                           .perm = r->access,
                           .addr = r->iova };

    if (e == NULL) {
        return false;
    }
    e->from = a;
    e->request = request;
    e->len = sizeof(u);
    memcpy(e->data, &u, sizeof(u));
    append(&f->q, e);
    update(&f->q);
    return true;
}

int fault_attach(struct attach *a, const struct hwpt *h)
{
    struct prq *q = &a->dev->iommu->prq;

    if (h->fault == NULL) {
        return 0;
    }
    int err = prq_route(q, a->dev->obj.id, a->pasid != NO_PASID, a->pasid, NULL, forward, a);

    if (err == 0 && h->obj.type == OBJ_HWPT_NESTED && a->pasid == NO_PASID) {
        err = prq_route_pasids(q, a->dev->obj.id); /* the guest has a PASID table of its own */
    }
    return err;
}

static void drop_of(struct event **at, const struct attach *a)
{
    while (*at != NULL) {
        struct event *e = *at;

        if (e->from == a) {
            *at = e->next;
            free(e);
        } else {
            at = &e->next;
        }
    }
}

void fault_detach(struct attach *a, const struct hwpt *h)
{
    struct fault *f = h->fault;

    if (f == NULL) {
        return;
    }
    (void)prq_unroute(&a->dev->iommu->prq, a->dev->obj.id, a->pasid != NO_PASID, a->pasid);
    drop_of(&f->q.head, a);
    drop_of(&f->waiting, a);
    f->q.queued = 0;
    f->q.tail = &f->q.head;
    while (*f->q.tail != NULL) {
        f->q.tail = &(*f->q.tail)->next;
        f->q.queued++;
    }
    update(&f->q);
}

static uint32_t cookie_of(const struct event *e)
{
    struct u_pgfault f;

    memcpy(&f, e->data, sizeof(f));
    return f.cookie;
}

/* The waiting ones are kept by cookie, so the lowest free one is the first gap. */
static void wait_answer(struct fault *f, struct event *e)
{
    struct event **at = &f->waiting;
    struct u_pgfault *data = (struct u_pgfault *)(void *)e->data;
    uint32_t cookie = 1;

    while (*at != NULL && cookie_of(*at) == cookie) {
        at = &(*at)->next;
        cookie++;
    }
    data->cookie = cookie;
    e->next = *at;
    *at = e;
}

static int64_t fault_read(struct fault *f, struct mm *mm, uint64_t uptr, uint64_t len)
{
    uint64_t done = 0;
    int err = 0;

    if (len % sizeof(struct u_pgfault) != 0) {
        return -ESPIPE;
    }
    while (f->q.head != NULL) {
        if (done >= len) {
            err = done == 0 ? -EINVAL : 0;
            break;
        }
        struct event *e = take(&f->q);

        wait_answer(f, e);
        err = mm_write(mm, uptr + done, e->data, e->len);
        if (err != 0) {
            struct event **at = &f->waiting;

            while (*at != e) {
                at = &(*at)->next;
            }
            *at = e->next;
            e->next = f->q.head;
            f->q.tail = f->q.head == NULL ? &e->next : f->q.tail;
            f->q.head = e;
            f->q.queued++;
            break;
        }
        done += e->len;
    }
    update(&f->q);
    return done == 0 ? err : (int64_t)done;
}

int64_t eventq_write(struct eventq *q, struct mm *mm, uint64_t uptr, uint64_t len)
{
    struct fault *f = (struct fault *)(void *)q;
    struct u_page_response r;
    uint64_t done = 0;
    int err = 0;

    if (q->obj.type != OBJ_FAULT) {
        return -EINVAL;
    }
    if (len % sizeof(r) != 0) {
        return -ESPIPE;
    }
    while (done < len) {
        struct event **at = &f->waiting;

        err = mm_read(mm, &r, uptr + done, sizeof(r));
        if (err != 0) {
            break;
        }
        if (r.code != U_RESP_SUCCESS && r.code != U_RESP_INVALID) {
            err = -EINVAL;
            break;
        }
        while (*at != NULL && cookie_of(*at) != r.cookie) {
            at = &(*at)->next;
        }
        if (*at == NULL) {
            err = -EINVAL;
            break;
        }
        struct event *e = *at;

        *at = e->next;
        answer(e, r.code);
        free(e);
        done += sizeof(r);
    }
    return done == 0 ? err : (int64_t)done;
}

/* ---- events of a vIOMMU ---- */

int veventq_alloc(struct call *c)
{
    struct u_veventq_alloc *u = &c->u->veventq;

    if (u->flags != 0 || u->reserved != 0 || u->type == 0) {
        return -EOPNOTSUPP;
    }
    if (u->depth == 0 || u->depth > VEVENTQ_MAX_DEPTH) {
        return -EINVAL;
    }
    struct viommu *v = obj_get(c->ctx, u->viommu_id, OBJ_VIOMMU);

    if (v == NULL) {
        return -ENOENT;
    }
    for (struct veventq *q = v->veventqs; q != NULL; q = q->next) {
        if (q->type == u->type) {
            return -EEXIST;
        }
    }
    struct veventq *q = obj_new(c->ctx, sizeof(*q), OBJ_VEVENTQ);

    if (q == NULL) {
        return -ENOMEM;
    }
    int err = eventq_open(c, &q->q);

    if (err != 0) {
        obj_abort(q);
        return err;
    }
    q->type = u->type;
    q->depth = u->depth;
    q->viommu = v;
    q->next = v->veventqs;
    v->veventqs = q;
    v->obj.users++;
    u->out_id = q->q.obj.id;
    c->out_at = c->arg + offsetof(struct u_veventq_alloc, out_fd);
    err = call_respond(c, u, sizeof(*u));
    if (err != 0) {
        eventq_abort(c, &q->q);
        veventq_destroy(&q->q.obj);
        obj_abort(q);
        return err;
    }
    obj_live(q);
    return 0;
}

void veventq_destroy(struct obj *o)
{
    struct veventq *q = (struct veventq *)(void *)o;
    struct veventq **at = &q->viommu->veventqs;

    while (*at != q) {
        at = &(*at)->next;
    }
    *at = q->next;
    q->viommu->obj.users--;
    free_all(q->q.head);
}

int veventq_report(struct viommu *v, uint32_t type, const void *data, uint32_t len)
{
    struct veventq *q = v->veventqs;
    struct u_vevent_header h = { 0 };

    while (q != NULL && q->type != type) {
        q = q->next;
    }
    if (q == NULL) {
        return -EOPNOTSUPP;
    }
    struct event *e = q->events < q->depth ? calloc(1, sizeof(*e)) : NULL;

    h.sequence = q->sequence;
    q->sequence = (q->sequence + 1) & INT32_MAX;
    q->lost = e == NULL;
    if (e == NULL) {
        q->lost_sequence = h.sequence;
    } else {
        memcpy(e->data, &h, sizeof(h));
        memcpy(e->data + sizeof(h), data, len);
        e->len = (uint32_t)sizeof(h) + len;
        append(&q->q, e);
        q->events++;
    }
    update(&q->q);
    return 0;
}

static int64_t veventq_read(struct veventq *q, struct mm *mm, uint64_t uptr, uint64_t len)
{
    struct u_vevent_header lost = { U_VEVENT_LOST, q->lost_sequence };
    uint64_t done = 0;
    int err = 0;

    if (len < sizeof(lost)) {
        return -EINVAL;
    }
    while (q->q.head != NULL && err == 0) {
        struct event *e = q->q.head;

        if (sizeof(lost) > len - done) {
            break;
        }
        if (e->len > len - done) {
            err = done == 0 ? -EINVAL : 0;
            break;
        }
        err = mm_write(mm, uptr + done, e->data, e->len);
        if (err == 0) {
            done += e->len;
            q->events--;
            free(take(&q->q));
        }
    }
    if (q->q.head == NULL && q->lost && err == 0 && sizeof(lost) <= len - done) {
        err = mm_write(mm, uptr + done, &lost, sizeof(lost));
        if (err == 0) {
            done += sizeof(lost);
            q->lost = false;
        }
    }
    update(&q->q);
    return done == 0 ? err : (int64_t)done;
}

int64_t eventq_read(struct eventq *q, struct mm *mm, uint64_t uptr, uint64_t len)
{
    return q->obj.type == OBJ_FAULT ? fault_read((struct fault *)(void *)q, mm, uptr, len)
                                    : veventq_read((struct veventq *)(void *)q, mm, uptr, len);
}
