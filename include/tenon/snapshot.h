/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pictures of a guest memory object and of the trees that follow it (requirement F5): runs of pages
 * about which everything is equal - state, owner, and for each tree the size of the leaf.
 *
 * A picture is not an audit. A run is true at one moment for each tree, and two runs may be of two
 * moments: changes beside it show before or after. Nothing is held up for longer than one lookup.
 */
#ifndef TENON_SNAPSHOT_H
#define TENON_SNAPSHOT_H

#include <tenon/space.h>

#define SNAPSHOT_VIEWS 4u

/* Where a tree shows the object. */
struct snapshot_view {
    struct space *space; /* NULL: nowhere */
    bool by_frame;       /* each page at the address of its frame (VIEW_HOST) ... */
    uint64_t ia;         /* ... else page p at ia + (p << 12) */
};

struct snapshot_run {
    uint64_t page, n; /* pages [page, page + n) */
    uint64_t pa;      /* frame of the first; the others follow in one line */
    enum gmem_state state;
    owner_t owner, borrower;
    uint16_t pins;                 /* of each frame, owner's and borrower's */
    uint8_t shift[SNAPSHOT_VIEWS]; /* log2 of the leaf's bytes; 0: not mapped */
};

/* The run that begins at `page`, as long as it is but not beyond `end`. page < end <= gm->npages;
 * views <= SNAPSHOT_VIEWS. */
void snapshot_run(struct gmem *gm, const struct snapshot_view *view, unsigned views, uint64_t page,
                  uint64_t end, struct snapshot_run *run);

/* What a tree is made of, and what it did. Looks at every table: for a person, now and then. */
struct snapshot_space {
    uint64_t leaves[4]; /* by level: 1 is 1G, 2 is 2M, 3 is 4K (4K granule) */
    uint64_t tables;
    uint64_t cuts, merges, refreshes, faults;
};
void snapshot_space(struct space *s, struct snapshot_space *out);

#endif
