/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device behind a model TLB. An access is begun (translated now) and completed later (memory is
 * touched then): in between it is in flight. A sync of the TLB completes those in flight that an
 * invalidation of its batch covers (SMMUv3 IHI0070 3.21.1, CMD_SYNC), before it returns.
 *
 * What goes wrong becomes an event, as in an SMMU's event queue, or a verdict of the judge.
 * Thread-safe. Lock order: the engine's lock, then the TLB's.
 */
#ifndef MODEL_DMA_H
#define MODEL_DMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "phys.h"
#include "tlb.h"

#define MODEL_DMA_INFLIGHT 64
#define MODEL_DMA_EVENTS   64

struct model_dma_event {
    enum model_verdict verdict; /* DMA_FAULT, OWNER_EARLY, DMA_TO_FREE, DMA_TO_TABLE, .. */
    enum model_fault fault;     /* of DMA_FAULT */
    enum model_verdict why;     /* a bad table's verdict, or which invalidation spared the entry */
    uint64_t ia, oa;
    bool write;
};

struct model_dma;

/* owner: pages that this device may touch bear it (model_phys_mark); checked when memory is
 * touched. NULL: no memory, or 8 devices there. Sets a drain hook if sync_waits (a real SMMU); false
 * is the model of an emulator whose sync does not wait. The TLB keeps the hook: free it first. */
struct model_dma *model_dma_new(struct model_tlb *tlb, const struct model_ctx *ctx,
                                struct model_phys *phys, uint16_t owner, bool sync_waits);
void model_dma_free(struct model_dma *dma);

/*
 * Begins an access of 1..64 bytes that does not cross a page: data (for a write) is copied. Returns
 * a handle >= 0; -1 if it faulted (an event says so) or 64 are in flight.
 */
int model_dma_begin(struct model_dma *dma, uint64_t ia, bool write, const void *data, size_t len);
/* Completes it, copies what was read to buf (may be NULL). False: it went wrong, an event says
 * how. A handle completed by a sync is still to be given back here, once. */
bool model_dma_complete(struct model_dma *dma, int handle, void *buf);
/* Both at once. */
bool model_dma_access(struct model_dma *dma, uint64_t ia, bool write, void *data, size_t len);
/* Completes accesses in flight that the invalidations cover; the hook of a sync. */
void model_dma_drain(void *dma, const struct model_inv *inv, size_t count);

/* How many events there were in all; the first 64 are kept. */
size_t model_dma_events(struct model_dma *dma);
bool model_dma_event(struct model_dma *dma, size_t n, struct model_dma_event *out);
size_t model_dma_in_flight(struct model_dma *dma);
/* How many accesses a sync had to wait for. */
size_t model_dma_drained(struct model_dma *dma);
void model_dma_clear_events(struct model_dma *dma);

#endif
