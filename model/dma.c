/* SPDX-License-Identifier: BSD-2-Clause */
#include "dma.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES 64u

struct access {
    uint64_t ia, oa;
    struct model_key key; /* of the translation it used */
    size_t len;
    enum model_verdict why;
    bool used, done, ok, write;
    uint8_t data[MAX_BYTES];
};

struct model_dma {
    pthread_mutex_t lock;
    struct model_tlb *tlb;
    struct model_ctx ctx;
    struct model_phys *phys;
    uint16_t owner;
    struct access access[MODEL_DMA_INFLIGHT];
    struct model_dma_event event[MODEL_DMA_EVENTS];
    size_t events, drained;
};

void model_dma_free(struct model_dma *dma)
{
    if (!dma)
        return;
    pthread_mutex_destroy(&dma->lock);
    free(dma);
}

struct model_dma *model_dma_new(struct model_tlb *tlb, const struct model_ctx *ctx,
                                struct model_phys *phys, uint16_t owner, bool sync_waits)
{
    struct model_dma *dma = calloc(1, sizeof(*dma));

    if (!dma)
        return NULL;
    if (pthread_mutex_init(&dma->lock, NULL) != 0) {
        free(dma);
        return NULL;
    }
    dma->tlb = tlb;
    dma->ctx = *ctx;
    dma->phys = phys;
    dma->owner = owner;
    if (sync_waits && !model_tlb_on_drain(tlb, model_dma_drain, dma)) {
        model_dma_free(dma);
        return NULL;
    }
    return dma;
}

static void report(struct model_dma *dma, const struct model_dma_event *event)
{
    if (dma->events < MODEL_DMA_EVENTS)
        dma->event[dma->events] = *event;
    dma->events++;
}

static struct access *free_slot(struct model_dma *dma)
{
    for (unsigned i = 0; i < MODEL_DMA_INFLIGHT; i++)
        if (!dma->access[i].used)
            return &dma->access[i];
    return NULL;
}

int model_dma_begin(struct model_dma *dma, uint64_t ia, bool write, const void *data, size_t len)
{
    const struct model_walk_cfg *walk = &dma->ctx.walk;
    struct model_access how = { .what = write ? MODEL_W : MODEL_R };
    struct model_xlat x;
    struct access *a;
    int handle = -1;

    /* Requests are a user's, unless a transaction says otherwise. */
    how.user = walk->fmt != &model_arm || (walk->stage == 1 && walk->two_priv);
    if (len == 0 || len > MAX_BYTES || ia % MODEL_PAGE_SIZE + len > MODEL_PAGE_SIZE)
        return -1;
    /* Held over translation and entry into the list: a sync sees all of it or none. */
    pthread_mutex_lock(&dma->lock);
    a = free_slot(dma);
    if (!a)
        goto out;
    if (model_tlb_translate(dma->tlb, &dma->ctx, ia, how, &x) != MODEL_OK) {
        report(dma,
               &(struct model_dma_event){ MODEL_V_DMA_FAULT, x.fault, x.verdict, ia, 0, write });
        goto out;
    }
    memset(a, 0, sizeof(*a));
    a->used = true;
    a->write = write;
    a->ia = ia;
    a->oa = x.oa;
    a->len = len;
    a->why = x.stale_why;
    a->key = (struct model_key){
        .ia = ia >> x.entry_shift << x.entry_shift,
        .vmid = dma->ctx.vmid,
        .asid = dma->ctx.asid,
        .stage = dma->ctx.walk.stage,
        .level = x.level,
        .shift = x.entry_shift,
        .global = x.global,
    };
    if (write)
        memcpy(a->data, data, len);
    handle = (int)(a - dma->access);
out:
    pthread_mutex_unlock(&dma->lock);
    return handle;
}

/* Touches the memory. */
static void perform(struct model_dma *dma, struct access *a)
{
    enum model_verdict v = MODEL_V_OK;

    a->done = true;
    if (!model_phys_ptr(dma->phys, a->oa, a->len))
        v = MODEL_V_DMA_OUTSIDE;
    else if (model_phys_kind(dma->phys, a->oa) == MODEL_PAGE_TABLE)
        v = MODEL_V_DMA_TO_TABLE;
    else if (model_phys_kind(dma->phys, a->oa) == MODEL_PAGE_FREE)
        v = MODEL_V_DMA_TO_FREE;
    else if (model_phys_owner(dma->phys, a->oa) != dma->owner)
        v = MODEL_V_OWNER_EARLY;
    if (v != MODEL_V_OK) {
        report(dma, &(struct model_dma_event){ v, MODEL_OK, a->why, a->ia, a->oa, a->write });
        return;
    }
    a->ok = a->write ? model_phys_write(dma->phys, a->oa, a->data, a->len)
                     : model_phys_read(dma->phys, a->oa, a->data, a->len);
}

bool model_dma_complete(struct model_dma *dma, int handle, void *buf)
{
    struct access *a = &dma->access[handle];
    bool ok;

    pthread_mutex_lock(&dma->lock);
    if (!a->done)
        perform(dma, a);
    ok = a->ok;
    if (ok && buf && !a->write)
        memcpy(buf, a->data, a->len);
    a->used = false;
    pthread_mutex_unlock(&dma->lock);
    return ok;
}

bool model_dma_access(struct model_dma *dma, uint64_t ia, bool write, void *data, size_t len)
{
    int handle = model_dma_begin(dma, ia, write, data, len);

    return handle >= 0 && model_dma_complete(dma, handle, write ? NULL : data);
}

void model_dma_drain(void *ctx, const struct model_inv *inv, size_t count)
{
    struct model_dma *dma = ctx;

    pthread_mutex_lock(&dma->lock);
    for (unsigned i = 0; i < MODEL_DMA_INFLIGHT; i++) {
        struct access *a = &dma->access[i];

        for (size_t n = 0; a->used && !a->done && n < count; n++)
            if (model_inv_match(&inv[n], &a->key) == MODEL_V_OK) {
                perform(dma, a);
                dma->drained++;
            }
    }
    pthread_mutex_unlock(&dma->lock);
}

size_t model_dma_events(struct model_dma *dma)
{
    size_t n;

    pthread_mutex_lock(&dma->lock);
    n = dma->events;
    pthread_mutex_unlock(&dma->lock);
    return n;
}

bool model_dma_event(struct model_dma *dma, size_t n, struct model_dma_event *out)
{
    bool kept;

    pthread_mutex_lock(&dma->lock);
    kept = n < dma->events && n < MODEL_DMA_EVENTS;
    if (kept)
        *out = dma->event[n];
    pthread_mutex_unlock(&dma->lock);
    return kept;
}

size_t model_dma_in_flight(struct model_dma *dma)
{
    size_t n = 0;

    pthread_mutex_lock(&dma->lock);
    for (unsigned i = 0; i < MODEL_DMA_INFLIGHT; i++)
        n += dma->access[i].used && !dma->access[i].done;
    pthread_mutex_unlock(&dma->lock);
    return n;
}

size_t model_dma_drained(struct model_dma *dma)
{
    size_t n;

    pthread_mutex_lock(&dma->lock);
    n = dma->drained;
    pthread_mutex_unlock(&dma->lock);
    return n;
}

void model_dma_clear_events(struct model_dma *dma)
{
    pthread_mutex_lock(&dma->lock);
    dma->events = 0;
    pthread_mutex_unlock(&dma->lock);
}
