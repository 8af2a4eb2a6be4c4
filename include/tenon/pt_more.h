/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-table engine, continued (pt.h, whose rules hold here too): lists and cursors, refresh in
 * place, tracking of whole ranges, leaves of several entries, trees that grow. Apart from the rest
 * because not everybody who has page tables needs them.
 */
#ifndef TENON_PT_MORE_H
#define TENON_PT_MORE_H

#include "pt.h"

/* pt_map for a list of physical ranges, each page-aligned, one after the other from ia on. All or
 * nothing. pt_need_list() is an upper bound of the tables, and what -ENOMEM is about. */
struct pt_sg {
    uint64_t oa;
    uint64_t len;
};
int pt_map_list(struct pt *pt, uint64_t ia, const struct pt_sg *sg, uint32_t n, uint32_t prot,
                uint64_t max_level_size, struct pt_pool *pool);
int pt_need_list(const struct pt *pt, uint64_t ia, const struct pt_sg *sg, uint32_t n,
                 uint64_t max_level_size, uint64_t *tables);

/* pt_map for calls that follow each other: the cursor (zeroed at first) stands in the table of the
 * last one, and a call in the same table does not start at the root. While it is in use nothing may
 * free that table (pt_unmap, pt_trim, pt_merge, pt_clear over it); then zero it again. */
struct pt_cursor {
    uint64_t *table;
    uint64_t base;
};
int pt_map_at(struct pt *pt, struct pt_cursor *c, uint64_t ia, uint64_t oa, uint64_t len,
              uint32_t prot, uint64_t max_level_size, struct pt_pool *pool);

/*
 * The first address in [ia, last] at which there is a leaf, or up to which `budget` entries have been looked at; last + 1
 * if there is none. `ia` itself where that is mapped, outside, or > last. One entry is 4K of address space or, where no
 * table is, as much as it covers. As pt_lookup beside changes.
 */
uint64_t pt_hole_end(const struct pt *pt, uint64_t ia, uint64_t last, uint32_t budget);

/*
 * Lets the tree reach up to `last`. AMD v1: new start tables on top, and g->root says that root and
 * start_level have changed: walkers are told by their device table entry, and may go on with the old
 * one, which stays a part of the tree, until they are. Other formats reach as far as ia_bits from
 * the start: 0. -ERANGE, -ENOMEM.
 */
int pt_grow(struct pt *pt, uint64_t last, struct pt_pool *pool, struct pt_gather *g);

/*
 * Refresh: [ia, ia+len) to oa onwards, leaf by leaf, each by one compare-exchange; rights, dirty
 * state and leaf sizes stay. Until the gather's invalidation completed a walker may use either
 * address. -EOPNOTSUPP, with nothing changed, where the format demands break-before-make (Arm), or a
 * leaf is of several entries or larger than what ia and oa agree in (cut it first); -ENOENT a hole;
 * -EINVAL if a leaf crosses an end; -ERANGE.
 */
int pt_replace_check(const struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len);
int pt_replace(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, struct pt_gather *g);

/* Starts or ends dirty tracking (PT_TRACK) of every writable leaf in the range, whatever its other
 * rights: as pt_protect. -EOPNOTSUPP without live.hw_dirty, or if a leaf of several entries would
 * have to become single ones and the live rules forbid that. */
int pt_track(struct pt *pt, uint64_t ia, uint64_t len, bool on, struct pt_gather *g);

/* Leaves of one table that go on from each other, inside the range, become leaves of several entries
 * where live.contig and the resize rules allow; PT_TRACK leaves never. Returns the number made. */
int pt_join(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size, struct pt_gather *g);

/*
 * Old tables for a caller that keeps free pages in no list through the pages themselves: up to n of
 * them (at least 2) into pa, not one touched but the few with tables below. When pt_gather_done() may
 * be called, and before it, until it returns 0. Tables that are in g->freed are not among them.
 *   while ((n = pt_gather_take(pt, g, pa, 64)) != 0) ...; pt_gather_done(pt, g); ... g->freed
 */
unsigned pt_gather_take(const struct pt *pt, struct pt_gather *g, uint64_t *pa, unsigned n);

#endif
