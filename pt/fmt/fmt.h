/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a format tells the engine: a `static const struct pt_fmt` and a few inlines with the format's
 * prefix in a file of its own; port_formats.h lists them. The engine takes the struct as a
 * compile-time constant, so every field below is an immediate in the compiled code.
 *
 *   int prefix_root(f, cfg)            height of the start table, or -EINVAL for a bad cfg
 *   uint64_t prefix_attr(pt, prot)     a leaf's attribute bits: all but type and output address; 0
 *                                      for rights that the format cannot say
 *   uint32_t prefix_prot(pt, e)        and back
 *   unsigned prefix_span(f, h, e)      log2 of the entries that make this leaf, 0 if it is alone
 *   uint64_t prefix_join(f, h, k, e)   the leaf that begins with e, as one of 2^k entries
 *   uint64_t prefix_part(f, h, i, e)   entry i of a leaf of several, as if it were alone
 *
 * Height: 0 holds only leaves, each table above is one more (level = 3 - height).
 */
#ifndef PT_FMT_FMT_H
#define PT_FMT_FMT_H

#include <stdbool.h>
#include <stdint.h>

#include "tenon/errno.h"
#include "tenon/pt.h"

#define FMT_INLINE       inline __attribute__((always_inline))
#define PT_HEIGHTS       6u
#define FMT_BIT(n)       ((uint64_t)1 << (n))
#define FMT_MASK(hi, lo) (((uint64_t)2 << (hi)) - ((uint64_t)1 << (lo)))

struct pt_fmt {
    enum pt_format id;
    /* log2 of a table page and of the smallest leaf; index bits of every table but the start tables;
     * the tallest leaf; index bits that start tables may have beyond; Arm's start tables (arm.h) */
    uint8_t page_shift, index_bits, leaf_h, root_more, root_h, root_h_wide, root_oa;
    bool grows; /* start tables may be put on top of the tree */

    /* Leaves of several entries: from 2^span_min[h] to 2^span_max[h]; 0: none at this height. Their
     * entries are all equal, or (span_steps) each has its own output address. */
    bool spans, span_steps;
    uint8_t span_min[PT_HEIGHTS], span_max[PT_HEIGHTS];

    /* Live rules (D6), what one atomic store may do to a live entry: pt_live.bbm needed to cut or
     * merge in place; may a leaf's output address be exchanged? Plain_clean: hardware changes nothing
     * but `accessed` and the dirty state, so an entry that has both is the owner's alone and may be
     * made clean by a plain store. */
    uint8_t resize_bbm;
    bool swap_oa, plain_clean;

    /* An entry is present if any of the bits `present` is set. Above height 0 a present one is a
     * table if (e & table_mask) == table_type + height * table_step, else a leaf. Type bits of a leaf
     * at height 0, of one above, and of a table entry (with the rights that it lets through). */
    uint64_t present, table_mask, table_type, table_step;
    uint64_t page_bits, block_bits, table_bits;

    /* Output addresses: oa >> oa_shift at oa_mask. With pt->wide, bits wide_from.. of oa are at
     * wide_mask, which begins at bit wide_at, and those in place end below wide_from. */
    uint64_t oa_mask, wide_mask;
    uint8_t oa_shift, wide_from, wide_at;

    /* The access flag. `track`: hardware keeps the dirty state (or, if the bit is software's, the
     * owner wants to know it). Writes go through without an update if (e & write_mask) ==
     * write_value; with `track`: dirty. `rights`: all bits that pt_protect may change in place. */
    uint64_t accessed, track, write_mask, write_value, rights;
};

#endif
