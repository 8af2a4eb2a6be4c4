/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Page requests of devices: PRI (PCIe 6.20.2 Page Request Interface), or stalled transactions, which are
 * groups of one. A device asks for pages in groups; the request that ends a group is marked `last`, and
 * the group then gets exactly one response: SUCCESS, INVALID (no such page, or no right), or FAILURE
 * (stop asking). Private data of the last request comes back with it.
 *
 * Never lost: every `last` request that is reported gets one response, at once, from its handler, or when
 * it has waited too long. Bounded: PRQ_GROUPS in all and `limit` for each route; what is beyond is
 * answered FAILURE, and so is the whole route until its groups under way are answered.
 *
 * Concurrency: one lock a queue; handlers and respond are called without it, on the CPU that reported,
 * answered, ticked or drained. Time is the caller's (port_now()).
 */
#ifndef TENON_PRQ_H
#define TENON_PRQ_H

#include <tenon/iommu.h>

#define PRQ_GROUPS 64u
#define PRQ_ROUTES 32u

struct prq_request {
    uint32_t sid, pasid;
    bool pasid_valid;
    uint32_t group; /* PRI: page request group index; a stall: its tag */
    bool last;
    uint64_t iova;
    uint32_t access;  /* PT_READ, PT_WRITE, PT_EXEC */
    uint64_t priv[2]; /* private data, valid with priv_valid */
    bool priv_valid;
};

struct prq_response {
    uint32_t sid, pasid;
    bool pasid_valid;
    uint32_t group;
    enum iommu_response code;
    uint64_t priv[2];
    bool priv_valid;
};

struct prq;
/* Who answers the requests of (sid, pasid): the fault path of a domain, or somebody else, as a guest. */
struct prq_route {
    bool used;
    uint32_t sid, pasid;
    bool pasid_valid;
    bool pasids; /* of a stream: also the requests of its PASIDs that have no route of their own */
    struct iommu_domain *domain; /* NULL: forward */
    /* Passes a request on. It is answered by prq_answer(cookie), from within this call or later, once
     * for each request; false: it cannot be passed on (answered FAILURE). */
    bool (*forward)(void *ctx, const struct prq_request *r, uint64_t cookie);
    void *ctx;
    uint32_t groups; /* under way */
    uint32_t calls;  /* handlers running now: a removal waits for them */
    bool over;       /* too many: everything fails until `groups` is 0 */
};

struct prq_group {
    bool used, last;
    uint32_t route, gen;
    uint32_t waiting; /* requests passed on and not answered, or with a handler now */
    uint32_t running; /* of those: with a handler now */
    uint64_t due;
    struct prq_response answer;
};

struct prq {
    void (*respond)(struct prq *q, const struct prq_response *r);
    struct port_lock lock;
    uint32_t limit;      /* groups a route */
    uint64_t timeout_ns; /* of a group, from its first request */
    uint32_t gen;
    struct prq_route route[PRQ_ROUTES];
    struct prq_group group[PRQ_GROUPS];
    /* counters */
    uint64_t requests, responses, refused, expired, late;
};

/* limit: 1..PRQ_GROUPS. -EINVAL. */
int prq_init(struct prq *q, void (*respond)(struct prq *, const struct prq_response *),
             uint32_t limit, uint64_t timeout_ns);
/* Exactly one of domain and forward. -EEXIST the stream (with that PASID) has one; -ENOSPC; -EINVAL. */
int prq_route(struct prq *q, uint32_t sid, bool pasid_valid, uint32_t pasid,
              struct iommu_domain *domain,
              bool (*forward)(void *ctx, const struct prq_request *r, uint64_t cookie), void *ctx);
/* From now on the stream's route takes the requests of its PASIDs too, those apart that have a route of
 * their own: behind it is a guest with a PASID table of its own (nest.h). -ENOENT. */
int prq_route_pasids(struct prq *q, uint32_t sid);
/* After the device was taken off the tree: answers what is under way INVALID, waits for handlers, and
 * forgets the route. On return neither its domain nor its ctx is used. -ENOENT. */
int prq_unroute(struct prq *q, uint32_t sid, bool pasid_valid, uint32_t pasid);

/* One record of the hardware's queue. Requests of no route are INVALID. */
void prq_report(struct prq *q, const struct prq_request *r, uint64_t now);
/* -ENOENT: answered already, or waited too long (or a cookie made up); -EINVAL code. */
int prq_answer(struct prq *q, uint64_t cookie, enum iommu_response code);
/* Answers FAILURE to groups that are due, also those whose last request never came. Returns how many. */
unsigned prq_tick(struct prq *q, uint64_t now);

#endif
