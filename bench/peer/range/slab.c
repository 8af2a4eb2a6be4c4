/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Object caches for the kernel's trees, in place of the test shims' own, which lock, count and
 * poison: last freed, first used, and nothing else. The trees' advantage.
 */
#include "slab.h"

#include <linux/gfp.h>
#include <linux/slab.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu.h>

#define QUEUE 64u

int kmalloc_verbose;
int test_verbose;

static struct rcu_head *queue;
static unsigned queued;

void slab_flush(void)
{
    while (queue) {
        struct rcu_head *head = queue;

        queue = head->next;
        head->func(head);
    }
    queued = 0;
}

void call_rcu(struct rcu_head *head, void (*func)(struct rcu_head *head))
{
    head->next = queue;
    head->func = func;
    queue = head;
    if (++queued == QUEUE) {
        slab_flush();
    }
}

/* Where a free object keeps its link: behind it if it must stay as it was made. */
static void **link_of(const struct kmem_cache *cache, void *object)
{
    return (void **)((char *)object + (cache->ctor ? cache->size : 0));
}

static void *fresh(const struct kmem_cache *cache)
{
    static char *chunk;
    static size_t left;
    size_t size = cache->size + (cache->ctor ? sizeof(void *) : 0);
    size_t align = cache->align > 64 ? cache->align : 64;
    char *p;

    if (left < size + align) {
        left = (size_t)8 << 20;
        chunk = aligned_alloc(4096, left);
        if (!chunk) {
            perror("bench_range");
            exit(1);
        }
    }
    p = (char *)(((uintptr_t)chunk + align - 1) & ~(uintptr_t)(align - 1));
    left -= (size_t)(p + size - chunk);
    chunk = p + size;
    if (cache->ctor) {
        cache->ctor(p);
    }
    return p;
}

void *kmem_cache_alloc_lru(struct kmem_cache *cache, struct list_lru *lru, int gfp)
{
    void *p = cache->objs;

    (void)lru;
    cache->nr_allocated++;
    if (p) {
        cache->objs = *link_of(cache, p);
    } else {
        p = fresh(cache);
    }
    if (!cache->ctor && (gfp & __GFP_ZERO)) {
        memset(p, 0, cache->size);
    }
    return p;
}

void kmem_cache_free(struct kmem_cache *cache, void *object)
{
    *link_of(cache, object) = cache->objs;
    cache->objs = object;
    cache->nr_allocated--;
}

void kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **list)
{
    for (size_t i = 0; i < n; i++) {
        kmem_cache_free(cache, list[i]);
    }
}

bool kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n, void **list)
{
    for (size_t i = 0; i < n; i++) {
        list[i] = kmem_cache_alloc_lru(cache, NULL, (int)gfp);
    }
    return true;
}

struct kmem_cache *__kmem_cache_create_args(const char *name, unsigned int size,
                                            struct kmem_cache_args *args, unsigned int flags)
{
    struct kmem_cache *cache = calloc(1, sizeof(*cache));

    (void)name, (void)flags;
    if (!cache) {
        perror("bench_range");
        exit(1);
    }
    cache->size = size;
    cache->align = args->align;
    cache->ctor = args->ctor;
    cache->sheaf_capacity = args->sheaf_capacity;
    return cache;
}

struct kmem_cache *slab_create(unsigned size, unsigned align, void (*ctor)(void *))
{
    struct kmem_cache_args args = { .align = align, .ctor = ctor };

    return __kmem_cache_create_args("", size, &args, 0);
}

unsigned long slab_bytes(const struct kmem_cache *cache)
{
    return cache->size * cache->nr_allocated;
}

/* A sheaf: objects set aside for one change. One is kept, as the kernel's caches keep some. */
static struct slab_sheaf *spare;

struct slab_sheaf *kmem_cache_prefill_sheaf(struct kmem_cache *cache, gfp_t gfp, unsigned int n)
{
    unsigned room = n > cache->sheaf_capacity ? n : cache->sheaf_capacity;
    struct slab_sheaf *sheaf = spare;

    if (sheaf && sheaf->capacity >= room) {
        spare = NULL;
    } else {
        sheaf = malloc(sizeof(*sheaf) + room * sizeof(void *));
        if (!sheaf) {
            return NULL;
        }
        sheaf->capacity = room;
    }
    sheaf->cache = cache;
    sheaf->size = n;
    kmem_cache_alloc_bulk(cache, gfp, n, sheaf->objects);
    return sheaf;
}

int kmem_cache_refill_sheaf(struct kmem_cache *cache, gfp_t gfp, struct slab_sheaf **sheafp,
                            unsigned int n)
{
    struct slab_sheaf *sheaf = *sheafp;

    if (sheaf->capacity < n) {
        struct slab_sheaf *larger = kmem_cache_prefill_sheaf(cache, gfp, n);

        if (!larger) {
            return -1;
        }
        kmem_cache_return_sheaf(cache, gfp, sheaf);
        *sheafp = larger;
        return 0;
    }
    while (sheaf->size < n) {
        sheaf->objects[sheaf->size++] = kmem_cache_alloc_lru(cache, NULL, (int)gfp);
    }
    return 0;
}

void *kmem_cache_alloc_from_sheaf(struct kmem_cache *cache, gfp_t gfp, struct slab_sheaf *sheaf)
{
    (void)cache, (void)gfp;
    return sheaf->size ? sheaf->objects[--sheaf->size] : NULL;
}

void kmem_cache_return_sheaf(struct kmem_cache *cache, gfp_t gfp, struct slab_sheaf *sheaf)
{
    (void)gfp;
    kmem_cache_free_bulk(cache, sheaf->size, sheaf->objects);
    if (spare) {
        free(sheaf);
    } else {
        spare = sheaf;
    }
}
