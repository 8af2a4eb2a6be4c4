/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef BENCH_PEER_SLAB_H
#define BENCH_PEER_SLAB_H

struct kmem_cache;

struct kmem_cache *slab_create(unsigned size, unsigned align, void (*ctor)(void *));
unsigned long slab_bytes(const struct kmem_cache *cache); /* of the objects in use */
void slab_flush(void);                                    /* frees what call_rcu() still holds */

#endif
