/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon-top: what its files share. */
#ifndef TOP_H
#define TOP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "port/hosted/snapshot_file.h"

/* What of the object is shown: pages [page, page + n). */
struct part {
    uint64_t page, n;
};

/* ---- cells.c: the part in equal cells, and what is in each ---- */
enum row { ROW_STATE, ROW_OWNER, ROW_LENT, ROW_PINS, ROW_VIEW /* + index of the view */ };
struct cell {
    uint32_t
        value; /* of most of its pages: enum gmem_state, owner, pins or not, log2 of the leaf */
    bool mixed;
};
/* `cells` of them, at most part->n; pages that are in no run count as NO_RUN. */
#define NO_RUN 0xffffu
void cells_fill(const struct snapshot_file *f, const struct part *part, unsigned row,
                struct cell *cell, unsigned cells);
const char *row_name(const struct snapshot_file *f, unsigned row);
const char *row_colour(unsigned row, uint32_t value); /* "#rrggbb" */
char row_letter(unsigned row, const struct cell *c);
const char *size_words(uint64_t bytes); /* "1.5 GiB"; four answers live at a time */

/* ---- text.c ---- */
struct text_rates {
    double conversions; /* a second; below 0: not known yet */
};
void text_print(FILE *out, const struct snapshot_file *f, const struct part *part, unsigned width,
                bool colour, const struct text_rates *rates);

/* ---- picture.c: 0 or a negative errno ---- */
int picture_write(const char *path, const struct snapshot_file *f, const struct part *part);

/* ---- demo.c: a VM's memory in this process, converted without end; writes pictures to `path`. Never
 * returns but for an error (an exit code), or after `rounds` pictures if that is not 0. ---- */
int demo_run(const char *path, unsigned rounds);

#endif
