/* SPDX-License-Identifier: BSD-2-Clause */
#include "phys.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define TAG_KIND(t)  ((enum model_page)((t)&0xff))
#define TAG_OWNER(t) ((uint16_t)((t) >> 8))
#define TAG_GEN(t)   ((uint32_t)((t) >> 32))

void model_phys_init(struct model_phys *phys)
{
    memset(phys, 0, sizeof(*phys));
}

void model_phys_destroy(struct model_phys *phys)
{
    for (unsigned i = 0; i < phys->count; i++) {
        free(phys->region[i].allocation);
        free((void *)phys->region[i].tag);
    }
    phys->count = 0;
}

static const struct model_region *find(const struct model_phys *phys, uint64_t pa, uint64_t len)
{
    for (unsigned i = 0; i < phys->count; i++) {
        const struct model_region *r = &phys->region[i];

        if (pa >= r->base && pa - r->base < r->size)
            return len <= r->size - (pa - r->base) ? r : NULL;
    }
    return NULL;
}

static bool add(struct model_phys *phys, uint64_t base, void *host, uint64_t size, void *alloc)
{
    struct model_region *r;

    if (phys->count == MODEL_PHYS_REGIONS || size == 0 || (base | size) % MODEL_PAGE_SIZE != 0 ||
        base + size < base || (uintptr_t)host % MODEL_PAGE_SIZE != 0)
        return false;
    for (unsigned i = 0; i < phys->count; i++) {
        r = &phys->region[i];
        if (base < r->base + r->size && r->base < base + size)
            return false;
    }
    r = &phys->region[phys->count];
    r->tag = calloc((size_t)(size / MODEL_PAGE_SIZE), sizeof(*r->tag));
    if (!r->tag)
        return false;
    r->base = base;
    r->size = size;
    r->host = host;
    r->allocation = alloc;
    phys->count++;
    return true;
}

bool model_phys_arena(struct model_phys *phys, uint64_t base, uint64_t size)
{
    /* calloc, so that untouched pages of a large arena cost nothing */
    uint8_t *alloc = calloc(1, (size_t)size + MODEL_PAGE_SIZE);
    uintptr_t at;

    if (!alloc)
        return false;
    at = (uintptr_t)alloc % MODEL_PAGE_SIZE;
    if (!add(phys, base, at ? alloc + (MODEL_PAGE_SIZE - at) : alloc, size, alloc)) {
        free(alloc);
        return false;
    }
    return true;
}

bool model_phys_attach(struct model_phys *phys, uint64_t base, void *host, uint64_t size)
{
    return host && add(phys, base, host, size, NULL);
}

void *model_phys_ptr(const struct model_phys *phys, uint64_t pa, uint64_t len)
{
    const struct model_region *r = find(phys, pa, len);

    return r ? r->host + (pa - r->base) : NULL;
}

uint64_t model_phys_pa(const struct model_phys *phys, const void *host)
{
    uintptr_t at = (uintptr_t)host;

    for (unsigned i = 0; i < phys->count; i++) {
        const struct model_region *r = &phys->region[i];

        if (at >= (uintptr_t)r->host && at - (uintptr_t)r->host < r->size)
            return r->base + (at - (uintptr_t)r->host);
    }
    return UINT64_MAX;
}

static _Atomic uint64_t *tag_of(const struct model_phys *phys, uint64_t pa)
{
    const struct model_region *r = find(phys, pa, 1);

    return r ? &r->tag[(pa - r->base) / MODEL_PAGE_SIZE] : NULL;
}

void model_phys_mark(struct model_phys *phys, uint64_t pa, uint64_t len, enum model_page kind,
                     uint16_t owner)
{
    uint64_t first = pa / MODEL_PAGE_SIZE, pages = len ? (pa + len - 1) / MODEL_PAGE_SIZE : first;

    for (uint64_t n = first; len && n <= pages; n++) {
        _Atomic uint64_t *tag = tag_of(phys, n * MODEL_PAGE_SIZE);
        uint64_t old, gen;

        if (!tag)
            continue;
        old = atomic_load_explicit(tag, memory_order_relaxed);
        do {
            gen = TAG_GEN(old) == UINT32_MAX ? 1 : TAG_GEN(old) + (uint64_t)1;
        } while (!atomic_compare_exchange_weak_explicit(
            tag, &old, gen << 32 | (uint64_t)owner << 8 | (uint64_t)kind, memory_order_acq_rel,
            memory_order_relaxed));
    }
}

static uint64_t load_tag(const struct model_phys *phys, uint64_t pa)
{
    _Atomic uint64_t *tag = tag_of(phys, pa);

    return tag ? atomic_load_explicit(tag, memory_order_acquire) : 0;
}

enum model_page model_phys_kind(const struct model_phys *phys, uint64_t pa)
{
    return TAG_KIND(load_tag(phys, pa));
}

uint16_t model_phys_owner(const struct model_phys *phys, uint64_t pa)
{
    return TAG_OWNER(load_tag(phys, pa));
}

uint32_t model_phys_generation(const struct model_phys *phys, uint64_t pa)
{
    return TAG_GEN(load_tag(phys, pa));
}

uint64_t model_phys_read64(const struct model_phys *phys, uint64_t pa, bool *ok)
{
    uint64_t *p = pa % 8 ? NULL : model_phys_ptr(phys, pa, 8);

    if (ok)
        *ok = p != NULL;
    return p ? __atomic_load_n(p, __ATOMIC_ACQUIRE) : 0;
}

bool model_phys_write64(struct model_phys *phys, uint64_t pa, uint64_t value)
{
    uint64_t *p = pa % 8 ? NULL : model_phys_ptr(phys, pa, 8);

    if (p)
        __atomic_store_n(p, value, __ATOMIC_RELEASE);
    return p != NULL;
}

bool model_phys_cas64(struct model_phys *phys, uint64_t pa, uint64_t *expected, uint64_t value)
{
    uint64_t *p = pa % 8 ? NULL : model_phys_ptr(phys, pa, 8);

    return p && __atomic_compare_exchange_n(p, expected, value, false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE);
}

bool model_phys_read(const struct model_phys *phys, uint64_t pa, void *buf, size_t len)
{
    const uint8_t *from = model_phys_ptr(phys, pa, len);
    uint8_t *to = buf;

    for (size_t i = 0; from && i < len; i++)
        to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    return from != NULL;
}

bool model_phys_write(struct model_phys *phys, uint64_t pa, const void *buf, size_t len)
{
    uint8_t *to = model_phys_ptr(phys, pa, len);
    const uint8_t *from = buf;

    for (size_t i = 0; to && i < len; i++)
        __atomic_store_n(to + i, from[i], __ATOMIC_RELAXED);
    return to != NULL;
}

static uint64_t mem_read64(void *ctx, uint64_t pa, bool *ok)
{
    return model_phys_read64(ctx, pa, ok);
}

static bool mem_cas64(void *ctx, uint64_t pa, uint64_t *expected, uint64_t value)
{
    return model_phys_cas64(ctx, pa, expected, value);
}

static uint32_t mem_table_gen(void *ctx, uint64_t pa)
{
    uint64_t tag = load_tag(ctx, pa);

    return TAG_KIND(tag) == MODEL_PAGE_TABLE ? TAG_GEN(tag) : 0;
}

struct model_mem model_phys_mem(struct model_phys *phys, bool check_tables)
{
    return (struct model_mem){
        .ctx = phys,
        .read64 = mem_read64,
        .cas64 = mem_cas64,
        .table_gen = check_tables ? mem_table_gen : NULL,
    };
}
