/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a format tells the engine. Each format is a `static const struct pt_fmt` and three inlines
 * (prot_ok, attr, prot) in its own file; pt/engine.h names them. The engine takes the struct as a
 * compile-time constant, so every field below is an immediate in the compiled code.
 */
#ifndef PT_FMT_FMT_H
#define PT_FMT_FMT_H

#include <stdbool.h>
#include <stdint.h>

#include "tenon/pt.h"

#define FMT_INLINE inline __attribute__((always_inline))

struct pt_fmt {
    enum pt_format id;
    uint8_t last_level;  /* holds only leaves */
    uint8_t index_bits;  /* of every table but the start tables */
    uint8_t shift[4];    /* address bits below the index, by level */
    uint8_t leaf_levels; /* bit l: level l may hold a leaf; contiguous up to last_level */

    /* Live rules (D6): what one atomic store may do to a live entry. */
    uint8_t resize_bbm; /* pt_live.bbm needed to cut or merge in place */

    uint64_t present;     /* an entry is present if any of these bits is set */
    uint64_t block_mask;  /* above last_level, a present entry is a leaf if */
    uint64_t block_value; /*   (e & block_mask) == block_value, else a table */
    uint64_t page_bits;   /* type bits of a leaf at last_level, */
    uint64_t block_bits;  /*   of a leaf above it, */
    uint64_t table_bits;  /*   and of a table entry */
    uint64_t oa_mask;

    uint64_t accessed;    /* the access flag */
    uint64_t track;       /* set: hardware keeps the dirty state */
    uint64_t write_mask;  /* writes go through without update if */
    uint64_t write_value; /*   (e & write_mask) == write_value; with `track`: dirty */
    uint64_t rights;      /* all bits that pt_protect may change in place */
};

#endif
