/* SPDX-License-Identifier: BSD-2-Clause */
/* lib/maple_tree.c as an attribute store: an entry a range. */
#include "shared.h"

#include <linux/init.h>
#include <linux/slab.h>
#include <stdlib.h>

static void node_free(struct rcu_head *head);
#define kfree_rcu(object, member) call_rcu(&(object)->member, node_free)
/* All that the file frees this way is nodes. */
#define kfree(p) ((p) ? kmem_cache_free(maple_node_cache, (p)) : (void)0)

/* The directory of the shims that -I names leads there. */
#include "../../../lib/maple_tree.c"

#include "../../range/store.h"
#include "slab.h"

static struct maple_tree mt;

static void node_free(struct rcu_head *head)
{
    kmem_cache_free(maple_node_cache, container_of(head, struct maple_node, rcu));
}

static void open_store(uint64_t pages)
{
    (void)pages;
    if (!maple_node_cache) {
        maple_tree_init();
    }
    mt_init(&mt); /* without RCU mode: nodes may change in place, which is faster */
}

static void close_store(void)
{
    mtree_destroy(&mt);
    slab_flush();
}

static inline void store_set(uint64_t page, uint64_t n, bool private)
{
    mtree_store_range(&mt, page, page + n - 1, private ? xa_mk_value(8) : NULL, GFP_KERNEL);
}

static inline bool store_get(uint64_t page)
{
    return mtree_load(&mt, page) != NULL;
}

static uint64_t bytes(void)
{
    slab_flush();
    return sizeof(mt) + slab_bytes(maple_node_cache);
}

#define STORE_LOOPS
#include "../../range/store.h"

static struct store store = { .name = "maple tree",
                              .open = open_store,
                              .close = close_store,
                              .flip = loop_flip,
                              .set = loop_set,
                              .query = loop_query,
                              .bytes = bytes };

__attribute__((constructor(102))) static void add(void)
{
    store_register(&store);
}
