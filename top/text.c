/* SPDX-License-Identifier: BSD-2-Clause */
/* The view for a terminal: strips of cells, and the counters below. */
#include "top.h"

#include <stdlib.h>
#include <string.h>

#define LABEL 14

static void cell_print(FILE *out, unsigned row, const struct cell *c, bool colour)
{
    char letter = row_letter(row, c);

    if (colour) {
        unsigned long rgb = strtoul(row_colour(row, c->value) + 1, NULL, 16);
        unsigned r = (unsigned)(rgb >> 16), g = (unsigned)(rgb >> 8) & 255, b = (unsigned)rgb & 255;

        fprintf(out, "\033[48;2;%u;%u;%um\033[%sm%c\033[0m", r, g, b,
                r * 3 + g * 6 + b > 1200 ? "30" : "97", letter);
    } else {
        fputc(letter, out);
    }
}

static void totals(const struct snapshot_file *f, uint64_t pages[3])
{
    memset(pages, 0, 3 * sizeof(pages[0]));
    for (uint32_t i = 0; i < f->runs; i++) {
        unsigned s = (unsigned)f->run[i].state;

        if (s < 3) {
            pages[s] += f->run[i].n;
        }
    }
}

static void numbers(FILE *out, const struct snapshot_file *f, const struct text_rates *rates)
{
    uint64_t p[3];

    totals(f, p);
    fprintf(out, "private %s, shared %s, shared in place %s; conversions %llu + %llu in place",
            size_words(p[0] << PAGE_SHIFT), size_words(p[1] << PAGE_SHIFT),
            size_words(p[2] << PAGE_SHIFT), (unsigned long long)f->converted,
            (unsigned long long)f->converted_inplace);
    if (rates->conversions >= 0) {
        fprintf(out, " (%.0f/s)", rates->conversions);
    }
    fprintf(out, "\nfree: %llu table pages, %s of guest memory\n\n",
            (unsigned long long)f->tables_free, size_words(f->chunks_free << CHUNK_SHIFT));
    fprintf(out, "%-*s %-7s %7s %7s %9s %8s %9s %9s %10s %10s\n", LABEL, "follower", "walker", "1G",
            "2M", "4K", "tables", "cuts", "merges", "refreshes", "faults");
    for (unsigned i = 0; i < f->views; i++) {
        const struct snapshot_file_view *v = &f->view[i];
        const struct snapshot_space *s = &v->stat;

        fprintf(out, "%-*s %-7s %7llu %7llu %9llu %8llu %9llu %9llu %10llu %10llu\n", LABEL,
                v->name, v->device ? "device" : "CPU", (unsigned long long)s->leaves[1],
                (unsigned long long)s->leaves[2], (unsigned long long)s->leaves[3],
                (unsigned long long)s->tables, (unsigned long long)s->cuts,
                (unsigned long long)s->merges, (unsigned long long)s->refreshes,
                (unsigned long long)s->faults);
    }
}

void text_print(FILE *out, const struct snapshot_file *f, const struct part *part, unsigned width,
                bool colour, const struct text_rates *rates)
{
    unsigned cells = width > LABEL + 10 ? width - LABEL - 2 : 8;

    if (cells > part->n) {
        cells = (unsigned)part->n;
    }
    struct cell *cell = calloc(cells + 1, sizeof(*cell));

    if (cell == NULL) {
        fprintf(out, "no memory\n");
        return;
    }
    fprintf(out, "%s (process %u): %s of guest memory, a cell is %s", f->name, f->pid,
            size_words(f->npages << PAGE_SHIFT),
            size_words((part->n << PAGE_SHIFT) / (cells != 0 ? cells : 1)));
    if (part->n != f->npages) {
        fprintf(out, ", from %s on", size_words(part->page << PAGE_SHIFT));
    }
    fprintf(out, "\n\n");
    for (unsigned row = 0; row < ROW_VIEW + f->views; row++) {
        cells_fill(f, part, row, cell, cells);
        fprintf(out, "%-*s ", LABEL, row_name(f, row));
        for (unsigned i = 0; i < cells; i++) {
            cell_print(out, row, &cell[i], colour);
        }
        fputc('\n', out);
    }
    free(cell);
    fprintf(out,
            "\nP private  S shared  I shared in place | # hypervisor  h host  0.. VM  . nobody |"
            " ! pinned\nG 1G leaf  M 2M  k 4K  . not mapped | + more than one kind in this cell\n");
    if (f->missing != 0) {
        fprintf(out, "? too many runs for the file: the last %s are not in the picture\n",
                size_words(f->missing << PAGE_SHIFT));
    }
    fputc('\n', out);
    numbers(out, f, rates);
}
