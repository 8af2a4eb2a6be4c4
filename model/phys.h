/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulated physical memory: regions of host memory at chosen physical addresses, and for every
 * 4 KiB page a tag (free, table, data), an owner number and a generation.
 *
 * Contract
 * - Set up (arena, attach) before any thread uses it; after that every call is thread-safe.
 * - Accesses are atomic: 8-byte ones acquire (it stands for the address dependency of a walker)
 *   and release, byte-wise ones relaxed. So concurrent walkers are clean under TSan as long as
 *   the engine stores live entries atomically.
 * - Marking a page always gives it a new generation: a walker that still holds a pointer to the
 *   page's former life is told apart from one that has the new one.
 */
#ifndef MODEL_PHYS_H
#define MODEL_PHYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "walk.h"

#define MODEL_PAGE_SIZE    4096u
#define MODEL_PHYS_REGIONS 16u

enum model_page { MODEL_PAGE_FREE, MODEL_PAGE_TABLE, MODEL_PAGE_DATA };

struct model_region {
    uint64_t base, size;
    uint8_t *host;
    _Atomic uint64_t *tag; /* per page: generation << 32 | owner << 8 | kind */
    void *allocation;      /* what an arena has to free; NULL for an attached buffer */
};

struct model_phys {
    struct model_region region[MODEL_PHYS_REGIONS];
    unsigned count;
};

void model_phys_init(struct model_phys *phys);
void model_phys_destroy(struct model_phys *phys);

/* Zeroed memory at [base, base + size). base and size multiples of 4096. False: no memory, no
 * room for another region, or an overlap; nothing changed then. */
bool model_phys_arena(struct model_phys *phys, uint64_t base, uint64_t size);
/* The same over the caller's buffer, which must be page aligned and outlive phys. */
bool model_phys_attach(struct model_phys *phys, uint64_t base, void *host, uint64_t size);

/* Host pointer of [pa, pa + len), or NULL if that does not lie in one region. */
void *model_phys_ptr(const struct model_phys *phys, uint64_t pa, uint64_t len);
/* Physical address of a host pointer; UINT64_MAX if it is in no region. */
uint64_t model_phys_pa(const struct model_phys *phys, const void *host);

/* Tags all pages that [pa, pa + len) touches. Pages outside every region are ignored. */
void model_phys_mark(struct model_phys *phys, uint64_t pa, uint64_t len, enum model_page kind,
                     uint16_t owner);
enum model_page model_phys_kind(const struct model_phys *phys, uint64_t pa); /* FREE if outside */
uint16_t model_phys_owner(const struct model_phys *phys, uint64_t pa);
uint32_t model_phys_generation(const struct model_phys *phys, uint64_t pa);

/* Aligned 8-byte accesses. ok (may be NULL) is false, and the value 0, outside every region. */
uint64_t model_phys_read64(const struct model_phys *phys, uint64_t pa, bool *ok);
bool model_phys_write64(struct model_phys *phys, uint64_t pa, uint64_t value);
/* Compare-exchange; on failure *expected has the present value. */
bool model_phys_cas64(struct model_phys *phys, uint64_t pa, uint64_t *expected, uint64_t value);

/* Byte accesses of any length within one region. False: outside, nothing done. */
bool model_phys_read(const struct model_phys *phys, uint64_t pa, void *buf, size_t len);
bool model_phys_write(struct model_phys *phys, uint64_t pa, const void *buf, size_t len);

/* The walker's view. check_tables: a fetch from a page not tagged TABLE is a bad-table fault. */
struct model_mem model_phys_mem(struct model_phys *phys, bool check_tables);

#endif
