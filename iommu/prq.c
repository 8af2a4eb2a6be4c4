/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups of page requests. A group is in the table from its first request until it is answered; who takes
 * it out, under the lock, is the one who responds, so there is one response.
 */
#include <stddef.h>

#include <tenon/errno.h>
#include <tenon/prq.h>

/* ---- tables; the lock is held ---- */

static struct prq_route *route_of(struct prq *q, uint32_t sid, bool pasid_valid, uint32_t pasid)
{
    for (uint32_t i = 0; i < PRQ_ROUTES; i++) {
        struct prq_route *r = &q->route[i];

        if (r->used && r->sid == sid && r->pasid_valid == pasid_valid &&
            (!pasid_valid || r->pasid == pasid)) {
            return r;
        }
    }
    return NULL;
}

/* Also the stream's own, if it takes the requests of PASIDs that have none. */
static struct prq_route *route_for(struct prq *q, const struct prq_request *r)
{
    struct prq_route *rt = route_of(q, r->sid, r->pasid_valid, r->pasid);

    if (rt == NULL && r->pasid_valid) {
        rt = route_of(q, r->sid, false, 0);
        rt = rt != NULL && rt->pasids ? rt : NULL;
    }
    return rt;
}

static struct prq_group *group_of(struct prq *q, uint32_t route, const struct prq_request *r)
{
    for (uint32_t i = 0; i < PRQ_GROUPS; i++) {
        struct prq_group *g = &q->group[i];

        /* One that has its last request is closed: the number may be in use again. */
        if (g->used && !g->last && g->route == route && g->answer.group == r->group &&
            g->answer.pasid_valid == r->pasid_valid &&
            (!r->pasid_valid || g->answer.pasid == r->pasid)) {
            return g;
        }
    }
    return NULL;
}

static struct prq_group *new_group(struct prq *q, struct prq_route *rt, const struct prq_request *r,
                                   uint64_t now)
{
    if (rt->over || rt->groups == q->limit) {
        rt->over = rt->groups != 0;
        return NULL;
    }
    for (uint32_t i = 0; i < PRQ_GROUPS; i++) {
        struct prq_group *g = &q->group[i];

        if (!g->used) {
            *g = (struct prq_group){ .used = true,
                                     .route = (uint32_t)(rt - q->route),
                                     .gen = ++q->gen,
                                     .due = now + q->timeout_ns,
                                     .answer = { .sid = r->sid,
                                                 .pasid = r->pasid,
                                                 .pasid_valid = r->pasid_valid,
                                                 .group = r->group,
                                                 .code = IOMMU_RESPONSE_SUCCESS } };
            rt->groups++;
            return g;
        }
    }
    rt->over = rt->groups != 0;
    return NULL;
}

static void worse(struct prq_group *g, enum iommu_response code)
{
    g->answer.code = code > g->answer.code ? code : g->answer.code;
}

/* Takes the group out if it is complete; then the caller owes the response in *out. */
static bool finish(struct prq *q, struct prq_group *g, struct prq_response *out)
{
    if (!g->used || !g->last || g->waiting != 0) {
        return false;
    }
    struct prq_route *rt = &q->route[g->route];

    *out = g->answer;
    g->used = false;
    q->responses++;
    if (--rt->groups == 0) {
        rt->over = false;
    }
    return true;
}

/* ---- requests ---- */

static void respond_now(struct prq *q, const struct prq_request *r, enum iommu_response code)
{
    struct prq_response a = { .sid = r->sid,
                              .pasid = r->pasid,
                              .pasid_valid = r->pasid_valid,
                              .group = r->group,
                              .code = code,
                              .priv = { r->priv[0], r->priv[1] },
                              .priv_valid = r->priv_valid };

    q->respond(q, &a);
}

/* Without the lock. */
static enum iommu_response ask(const struct prq_route *rt, const struct prq_request *r,
                               uint64_t cookie, bool *passed)
{
    if (rt->domain != NULL) {
        return iommu_page_request(rt->domain, r->iova, r->access);
    }
    *passed = rt->forward(rt->ctx, r, cookie);
    return *passed ? IOMMU_RESPONSE_SUCCESS : IOMMU_RESPONSE_FAILURE;
}

void prq_report(struct prq *q, const struct prq_request *r, uint64_t now)
{
    struct prq_group *g = NULL;
    struct prq_response out;
    bool passed = false;

    port_lock(&q->lock);
    struct prq_route *rt = route_for(q, r);

    q->requests++;
    if (rt != NULL) {
        g = group_of(q, (uint32_t)(rt - q->route), r);
        g = g != NULL ? g : new_group(q, rt, r, now);
    }
    if (g == NULL) {
        q->refused++;
        q->responses += r->last;
        port_unlock(&q->lock);
        if (r->last) { /* the others of the group are answered with their last one */
            respond_now(q, r, rt == NULL ? IOMMU_RESPONSE_INVALID : IOMMU_RESPONSE_FAILURE);
        }
        return;
    }
    if (r->last) {
        g->last = true;
        g->answer.priv[0] = r->priv[0];
        g->answer.priv[1] = r->priv[1];
        g->answer.priv_valid = r->priv_valid;
    }
    g->waiting++;
    g->running++;
    rt->calls++;
    uint64_t cookie = (uint64_t)g->gen << 32 | (uint64_t)(g - q->group);

    port_unlock(&q->lock);
    enum iommu_response code = ask(rt, r, cookie, &passed);

    port_lock(&q->lock);
    g->running--; /* it is here still: whose handler runs is not taken out */
    rt->calls--;
    if (!passed) {
        g->waiting -= g->waiting != 0; /* a made-up answer may have come for it */
        worse(g, code);
    }
    bool done = finish(q, g, &out);

    port_unlock(&q->lock);
    if (done) {
        q->respond(q, &out);
    }
}

int prq_answer(struct prq *q, uint64_t cookie, enum iommu_response code)
{
    uint64_t i = cookie & 0xffffffffu;
    struct prq_response out;

    if (code > IOMMU_RESPONSE_FAILURE) {
        return -EINVAL;
    }
    port_lock(&q->lock);
    struct prq_group *g = &q->group[i < PRQ_GROUPS ? i : 0];

    /* As many answers as requests were passed on: one that is with a handler is not among them, except
     * from within that handler itself. */
    if (i >= PRQ_GROUPS || !g->used || g->gen != (uint32_t)(cookie >> 32) || g->waiting == 0) {
        q->late++;
        port_unlock(&q->lock);
        return -ENOENT;
    }
    g->waiting--;
    worse(g, code);
    bool done = g->running == 0 && finish(q, g, &out);

    port_unlock(&q->lock);
    if (done) {
        q->respond(q, &out);
    }
    return 0;
}

/* ---- ends ---- */

/* Gives up groups of one route (or of all that are due): whatever comes for them later is too late. */
static unsigned give_up(struct prq *q, const struct prq_route *rt, uint64_t now,
                        enum iommu_response code)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < PRQ_GROUPS; i++) {
        struct prq_group *g = &q->group[i];
        struct prq_response out;

        port_lock(&q->lock);
        bool mine =
            g->used && g->running == 0 && (rt != NULL ? &q->route[g->route] == rt : now >= g->due);

        if (mine) {
            /* Also one without its last request: the device has waited too long for nothing, or it is
             * gone. Should the last request come after all, it begins a group and has its own answer. */
            bool owed = g->last;

            worse(g, code);
            g->last = true;
            g->waiting = 0;
            (void)finish(q, g, &out);
            q->responses -= !owed;
            n++;
            port_unlock(&q->lock);
            if (owed) {
                q->respond(q, &out);
            }
            continue;
        }
        port_unlock(&q->lock);
    }
    return n;
}

unsigned prq_tick(struct prq *q, uint64_t now)
{
    unsigned n = give_up(q, NULL, now, IOMMU_RESPONSE_FAILURE);

    port_lock(&q->lock);
    q->expired += n;
    port_unlock(&q->lock);
    return n;
}

int prq_init(struct prq *q, void (*respond)(struct prq *, const struct prq_response *),
             uint32_t limit, uint64_t timeout_ns)
{
    if (respond == NULL || limit == 0 || limit > PRQ_GROUPS || timeout_ns == 0) {
        return -EINVAL;
    }
    *q = (struct prq){ .respond = respond, .limit = limit, .timeout_ns = timeout_ns };
    return 0;
}

int prq_route(struct prq *q, uint32_t sid, bool pasid_valid, uint32_t pasid,
              struct iommu_domain *domain,
              bool (*forward)(void *ctx, const struct prq_request *r, uint64_t cookie), void *ctx)
{
    int err = -ENOSPC;

    if ((domain == NULL) == (forward == NULL)) {
        return -EINVAL;
    }
    port_lock(&q->lock);
    if (route_of(q, sid, pasid_valid, pasid) != NULL) {
        err = -EEXIST;
    }
    for (uint32_t i = 0; i < PRQ_ROUTES && err == -ENOSPC; i++) {
        if (!q->route[i].used && q->route[i].groups == 0 && q->route[i].calls == 0) {
            q->route[i] = (struct prq_route){ .used = true,
                                              .sid = sid,
                                              .pasid = pasid,
                                              .pasid_valid = pasid_valid,
                                              .domain = domain,
                                              .forward = forward,
                                              .ctx = ctx };
            err = 0;
        }
    }
    port_unlock(&q->lock);
    return err;
}

int prq_route_pasids(struct prq *q, uint32_t sid)
{
    port_lock(&q->lock);
    struct prq_route *rt = route_of(q, sid, false, 0);

    if (rt != NULL) {
        rt->pasids = true;
    }
    port_unlock(&q->lock);
    return rt == NULL ? -ENOENT : 0;
}

int prq_unroute(struct prq *q, uint32_t sid, bool pasid_valid, uint32_t pasid)
{
    port_lock(&q->lock);
    struct prq_route *rt = route_of(q, sid, pasid_valid, pasid);

    if (rt == NULL) {
        port_unlock(&q->lock);
        return -ENOENT;
    }
    /* Out of sight first: no request comes in any more, and those inside come to their end. */
    rt->used = false;
    rt->calls++; /* keeps the slot until we are done */
    while (rt->calls != 1) {
        port_unlock(&q->lock);
        port_relax();
        port_lock(&q->lock);
    }
    port_unlock(&q->lock);
    (void)give_up(q, rt, 0, IOMMU_RESPONSE_INVALID);
    port_lock(&q->lock);
    rt->calls = 0;
    port_unlock(&q->lock);
    return 0;
}
