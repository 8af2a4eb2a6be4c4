/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The software IOMMU, as a driver under the core's iommu/: a stream table that says for (stream, PASID)
 * whose tree a transaction walks. The walk itself is domain.c's. It caches nothing, so an invalidation
 * has nothing to do; that it was asked for, and waited for, is counted.
 */
#include "iommufd/swiommu.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "iommufd/server.h"
#include "tenon/port.h"

#define ROUTE_GROUPS (PRQ_GROUPS / 2) /* a device that asks too much leaves room for others */

uint64_t swiommu_timeout_ms = 30000;

/* ---- the stream table ---- */

struct sw_entry {
    struct sw_entry *next;
    uint32_t sid, pasid; /* NO_PASID: transactions without one */
    struct iommu_domain *domain;
};

static struct sw_entry **at(struct swiommu *sw, uint32_t sid, uint32_t pasid)
{
    struct sw_entry **e = &sw->entry[(sid * 7 + pasid) % SW_BUCKETS];

    while (*e != NULL && ((*e)->sid != sid || (*e)->pasid != pasid)) {
        e = &(*e)->next;
    }
    return e;
}

/* One store: a transaction walks the old tree or the new one. */
static int pasid_attach_op(struct iommu *im, uint32_t sid, uint32_t pasid, struct iommu_domain *d)
{
    struct sw_entry **e = at((struct swiommu *)(void *)im, sid, pasid);

    if (*e == NULL) {
        *e = calloc(1, sizeof(**e));
        if (*e == NULL) {
            return -ENOMEM;
        }
        (*e)->sid = sid;
        (*e)->pasid = pasid;
    }
    (*e)->domain = d;
    return 0;
}

static void pasid_detach_op(struct iommu *im, uint32_t sid, uint32_t pasid)
{
    struct sw_entry **e = at((struct swiommu *)(void *)im, sid, pasid), *gone = *e;

    if (gone != NULL) {
        *e = gone->next;
        free(gone);
    }
}

const struct pasid_ops swiommu_pasid_ops = { .attach = pasid_attach_op, .detach = pasid_detach_op };

static int attach_op(struct iommu *im, uint32_t sid, struct iommu_domain *d)
{
    return pasid_attach_op(im, sid, NO_PASID, d);
}

static void detach_op(struct iommu *im, uint32_t sid)
{
    pasid_detach_op(im, sid, NO_PASID);
}

struct domain *swiommu_tree(const struct device *d, uint32_t pasid)
{
    struct sw_entry *e = *at(d->iommu, d->obj.id, pasid);

    return e == NULL ? NULL : domain_of(e->domain);
}

/* ---- domains ---- */

static void inv_issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)g;
    domain_of((struct iommu_domain *)(void *)inv)->issued++;
}

static void inv_wait(struct invalidator *inv)
{
    struct domain *d = domain_of((struct iommu_domain *)(void *)inv);

    d->waited = d->issued;
}

static int domain_init_op(struct iommu *im, struct iommu_domain *d)
{
    (void)im; /* nothing is cached under a tag */
    d->inv = (struct invalidator){ inv_issue, inv_wait };
    return 0;
}

static void domain_fini_op(struct iommu *im, struct iommu_domain *d)
{
    (void)im, (void)d;
}

/* A transaction that faults is told so itself, at once (swdma.c). */
static bool next_event_op(struct iommu *im, struct iommu_event *ev)
{
    (void)im, (void)ev;
    return false;
}

static const struct iommu_ops ops = { .attach = attach_op,
                                      .detach = detach_op,
                                      .domain_init = domain_init_op,
                                      .domain_fini = domain_fini_op,
                                      .next_event = next_event_op };

/* ---- page requests ---- */

static void respond(struct prq *q, const struct prq_response *r)
{
    struct swiommu *sw =
        (struct swiommu *)(void *)((unsigned char *)q - offsetof(struct swiommu, prq));

    if (sw->answer != NULL) { /* while it is being reported: the device is told by the result */
        *sw->answer = r->code == IOMMU_RESPONSE_SUCCESS ? 0 : -EFAULT;
        return;
    }
    struct device *d = obj_get(sw->ctx, r->sid, OBJ_DEVICE);

    if (d != NULL && d->ops->response != NULL) {
        d->ops->response(d, r);
    }
}

static bool under_way(const struct swiommu *sw)
{
    for (uint32_t i = 0; sw != NULL && i < PRQ_GROUPS; i++) {
        if (sw->prq.group[i].used) {
            return true;
        }
    }
    return false;
}

unsigned swiommu_tick(uint64_t now)
{
    unsigned n = 0;

    for (struct ctx *c = ctx_first(); c != NULL; c = c->next) {
        n += c->iommu != NULL ? prq_tick(&c->iommu->prq, now) : 0;
    }
    return n;
}

static bool armed;
static void timer_ready(struct watch *w);
static struct watch timer = { -1, timer_ready, NULL };

static void timer_arm(void)
{
    uint64_t ms = swiommu_timeout_ms / 8 + 1;
    struct itimerspec t = { .it_value = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 } };

    if (timer.fd < 0) {
        timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (timer.fd < 0 || server_watch(&timer) != 0) {
            return;
        }
    }
    armed = armed || timerfd_settime(timer.fd, 0, &t, NULL) == 0;
}

static void timer_ready(struct watch *w)
{
    uint64_t n;
    bool more = false;

    if (read(w->fd, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
        return;
    }
    armed = false;
    (void)swiommu_tick(port_now());
    for (struct ctx *c = ctx_first(); c != NULL; c = c->next) {
        more = more || under_way(c->iommu);
    }
    if (more) {
        timer_arm();
    }
}

int swiommu_request(struct swiommu *sw, const struct prq_request *r)
{
    int answer = -EAGAIN;

    sw->answer = &answer;
    prq_report(&sw->prq, r, port_now());
    sw->answer = NULL;
    if (answer == -EAGAIN) {
        timer_arm();
    }
    return answer;
}

/* ---- its life: as long as the open file ---- */

struct swiommu *swiommu_of(struct ctx *c)
{
    if (c->iommu == NULL) {
        struct swiommu *sw = calloc(1, sizeof(*sw));

        if (sw == NULL ||
            prq_init(&sw->prq, respond, ROUTE_GROUPS, swiommu_timeout_ms * 1000000) != 0) {
            free(sw);
            return NULL;
        }
        sw->im.ops = &ops;
        domains_caps(&sw->im.caps);
        sw->ctx = c;
        c->iommu = sw;
    }
    return c->iommu;
}

void swiommu_free(struct swiommu *sw)
{
    for (uint32_t i = 0; sw != NULL && i < SW_BUCKETS; i++) {
        if (sw->entry[i] != NULL) {
            port_panic("iommufd: a device is attached to what is gone");
        }
    }
    free(sw);
}
