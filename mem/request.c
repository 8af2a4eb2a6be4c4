/* SPDX-License-Identifier: BSD-2-Clause */
/* What a guest asks for and its owner commits (B3). Until then nothing has changed anywhere. */
#include <tenon/errno.h>

#include "mem/state.h"

int64_t gmem_request(struct gmem *gm, uint64_t page, uint64_t n, bool to_shared,
                     enum gmem_policy policy)
{
    int64_t ret = gmem_check(gm, page, n, to_shared, policy);

    port_lock(&gm->lock);
    for (unsigned i = 0; i < GMEM_REQUESTS && ret == 0; i++) {
        const struct gmem_request *r = &gm->request[i];

        ret = r->id != 0 && page < r->page + r->n && r->page < page + n ? -EBUSY : 0;
    }
    if (ret == 0 && gm->pending == ~0ull) {
        ret = -EAGAIN;
    }
    if (ret == 0) {
        do { /* numbers are never used again; one whose place is still taken is skipped */
            gm->last_request++;
        } while (gm->request[gm->last_request % GMEM_REQUESTS].id != 0);
        ret = (int64_t)gm->last_request;
        gm->request[ret % GMEM_REQUESTS] = (struct gmem_request){
            .id = (uint64_t)ret, .page = page, .n = n, .to_shared = to_shared, .policy = policy
        };
        gm->requests++;
        __atomic_fetch_or(&gm->pending, 1ull << ret % GMEM_REQUESTS, __ATOMIC_RELEASE);
    }
    port_unlock(&gm->lock);
    return ret;
}

int gmem_request_end(struct gmem *gm, uint64_t id, bool commit)
{
    struct gmem_request *r = &gm->request[id % GMEM_REQUESTS];

    port_lock(&gm->lock);
    int err = id == 0 || r->id != id ? -ENOENT : r->committing ? -EBUSY : 0;

    if (err == 0 && commit) {
        r->committing = true; /* nobody else ends it meanwhile */
        port_unlock(&gm->lock);
        err = gmem_convert(gm, r->page, r->n, r->to_shared, r->policy);
        port_lock(&gm->lock);
        r->committing = false; /* after an error still pending: commit again, or drop */
    }
    if (err == 0) {
        *r = (struct gmem_request){ 0 };
        /* Whoever sees the bit clear sees all that the commit did. */
        __atomic_fetch_and(&gm->pending, ~(1ull << id % GMEM_REQUESTS), __ATOMIC_RELEASE);
    }
    port_unlock(&gm->lock);
    return err;
}

bool gmem_request_next(struct gmem *gm, struct gmem_request *r)
{
    uint64_t after = r->id, best = 0;

    port_lock(&gm->lock);
    for (unsigned i = 0; i < GMEM_REQUESTS; i++) {
        const struct gmem_request *q = &gm->request[i];

        if (q->id > after && !q->committing && (best == 0 || q->id < best)) {
            best = q->id;
            *r = *q;
        }
    }
    port_unlock(&gm->lock);
    return best != 0;
}
