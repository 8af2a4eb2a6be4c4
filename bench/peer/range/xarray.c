/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/xarray.c as an attribute store: an entry a page, as KVM keeps its memory attributes. */
#include "shared.h"

#include <linux/slab.h>

/* The directory of the shims that -I names leads there. */
#include "../../../lib/xarray.c"

#include "../../range/store.h"
#include "slab.h"

struct kmem_cache *radix_tree_node_cachep;
static struct xarray xa;

static void node_init(void *p)
{
    struct xa_node *node = p;

    memset(node, 0, sizeof(*node));
    INIT_LIST_HEAD(&node->private_list);
}

/* lib/radix-tree.c's: an object goes back as it was made. */
void radix_tree_node_rcu_free(struct rcu_head *head)
{
    struct xa_node *node = container_of(head, struct xa_node, rcu_head);

    node_init(node);
    kmem_cache_free(radix_tree_node_cachep, node);
}

static void open_store(uint64_t pages)
{
    (void)pages;
    if (!radix_tree_node_cachep) {
        radix_tree_node_cachep = slab_create(sizeof(struct xa_node), 64, node_init);
    }
    xa_init(&xa);
}

static void close_store(void)
{
    xa_destroy(&xa);
    slab_flush();
}

static inline void store_set(uint64_t page, uint64_t n, bool private)
{
    void *value = private ? xa_mk_value(8) : NULL;

    for (uint64_t i = 0; i < n; i++) {
        xa_store(&xa, page + i, value, GFP_KERNEL);
    }
}

static inline bool store_get(uint64_t page)
{
    return xa_load(&xa, page) != NULL;
}

static uint64_t bytes(void)
{
    slab_flush();
    return sizeof(xa) + slab_bytes(radix_tree_node_cachep);
}

#define STORE_LOOPS
#include "../../range/store.h"

static struct store store = { .name = "XArray",
                              .a_page = true,
                              .open = open_store,
                              .close = close_store,
                              .flip = loop_flip,
                              .set = loop_set,
                              .query = loop_query,
                              .bytes = bytes };

__attribute__((constructor(101))) static void add(void)
{
    store_register(&store);
}
