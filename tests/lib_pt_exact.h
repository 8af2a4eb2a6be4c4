/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An exact oracle of page-table trees: which leaves and which tables there must be after each call,
 * how many table pages it takes, what its gather says. Written from the shapes of the formats (one line
 * each, below) and the contracts in tenon/pt.h, as flat lists: no entries, no walks, nothing of the
 * engine's. (lib_pt.h's oracle knows what is mapped, not how.)
 */
#ifndef TESTS_LIB_PT_EXACT_H
#define TESTS_LIB_PT_EXACT_H

#include "lib_pt.h"

struct ex_shape {
    uint8_t page, index,
        tall; /* log2 of a page, index bits of a table, height of the tallest leaf */
    uint8_t set_min[5], set_max[5]; /* log2 of the entries that are one leaf, by height; 0: none */
    uint8_t resize_bbm;             /* live.bbm that a change of a leaf's size wants */
    bool swap;                      /* one store may give a leaf another output address */
};

struct ex_leaf {
    uint64_t ia, oa;
    uint32_t prot; /* as pt_lookup reports it */
    uint8_t shift, h;
    bool young;
};
struct ex_table { /* not the start tables */
    uint64_t ia;
    unsigned h;
};

/* What the gather must say of all calls since it was empty. */
struct ex_told {
    struct pt_inv inv[PT_GATHER_MAX];
    unsigned n, merged, freed; /* freed: tables that come back with the invalidation */
    bool all, dirty, more, root;
};

struct ex {
    struct tp t;
    struct pt_gather g;
    const char *name; /* of the configuration */
    char call[120];   /* the one that runs */
    const struct ex_shape *s;
    unsigned top;         /* height of the start table */
    struct ex_leaf *leaf; /* by address */
    struct ex_table *table;
    unsigned leaves, leaf_room, tables, table_room;
    unsigned need; /* tables that the call takes */
    struct ex_told told;
    bool hold; /* calls share one gather; ex_settle() ends it */
};

/* A tree of this configuration, and its end. */
void ex_open(struct ex *x, const struct tp_conf *c);
void ex_close(struct ex *x);
uint64_t ex_size(const struct ex *x, unsigned h);
uint64_t ex_reach(const struct ex *x); /* first address beyond what the tree reaches */
bool ex_may_be(const struct ex *x, unsigned h, unsigned k); /* a leaf of 2^k entries of height h? */
bool ex_crosses(const struct ex *x, uint64_t at);           /* inside a leaf? */

/* --- the oracle: each does what the contract says, to the lists, and returns what the call must --- */
int ex_do_map(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap);
int ex_do_map_leaf(struct ex *x, uint64_t ia, uint64_t oa, int level, uint32_t prot);
int ex_do_break(struct ex *x, uint64_t ia, uint64_t len);
int ex_do_unmap(struct ex *x, uint64_t ia, uint64_t len);
int ex_do_trim(struct ex *x, uint64_t ia, uint64_t len);
int ex_do_cut(struct ex *x, uint64_t ia, uint64_t len);
int ex_do_merge(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap);
int ex_do_join(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap);
int ex_do_replace(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len);
int ex_do_protect(struct ex *x, uint64_t ia, uint64_t len, uint32_t prot);
int ex_do_track(struct ex *x, uint64_t ia, uint64_t len, bool on);
/* bits: one for each page from ia on */
int ex_do_harvest(struct ex *x, uint64_t ia, uint64_t len, uint64_t *bits);
int ex_do_age(struct ex *x, uint64_t ia, uint64_t len, bool *young);
int ex_do_grow(struct ex *x, uint64_t last);
void ex_do_clear(struct ex *x);

/* --- the call itself: given exactly the tables that it takes, and held against the oracle --- */
int ex_map(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot, uint64_t cap);
int ex_map_leaf(struct ex *x, uint64_t ia, uint64_t oa, unsigned h, uint32_t prot);
int ex_break(struct ex *x, uint64_t ia, uint64_t len);
int ex_unmap(struct ex *x, uint64_t ia, uint64_t len);
int ex_trim(struct ex *x, uint64_t ia, uint64_t len);
int ex_cut(struct ex *x, uint64_t ia, uint64_t len);
int ex_merge(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap);
int ex_join(struct ex *x, uint64_t ia, uint64_t len, uint64_t cap);
int ex_replace(struct ex *x, uint64_t ia, uint64_t oa, uint64_t len);
int ex_protect(struct ex *x, uint64_t ia, uint64_t len, uint32_t prot);
int ex_track(struct ex *x, uint64_t ia, uint64_t len, bool on);
int ex_harvest(struct ex *x, uint64_t ia, uint64_t len);
int ex_age(struct ex *x, uint64_t ia, uint64_t len);
int ex_grow(struct ex *x, uint64_t last);
void ex_clear(struct ex *x);
/* The invalidation of what the calls since ex.hold recorded. */
void ex_settle(struct ex *x);

#endif
