/* SPDX-License-Identifier: BSD-2-Clause */
/* Many pages in few cells: what most of a cell's pages are, and whether all are. */
#include "top.h"

#include <string.h>

#include "vmm/draw.h"

static uint32_t value_of(const struct snapshot_run *r, unsigned row)
{
    switch (row) {
    case ROW_STATE:
        return (uint32_t)r->state;
    case ROW_OWNER:
        return r->owner;
    case ROW_LENT:
        return r->borrower;
    case ROW_PINS:
        return r->pins != 0;
    default:
        return r->shift[row - ROW_VIEW];
    }
}

/* The run that holds the page, or the number of runs. They are sorted. */
static uint32_t run_at(const struct snapshot_file *f, uint64_t page)
{
    uint32_t lo = 0, hi = f->runs;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (f->run[mid].page + f->run[mid].n <= page) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Boyer and Moore's vote, weighted by pages: right whenever one value has more than half; else some
 * value that is there. */
static struct cell vote(const struct snapshot_file *f, unsigned row, uint64_t page, uint64_t end)
{
    struct cell c = { .value = NO_RUN };
    uint64_t weight = 0;
    bool first = true;

    for (uint32_t i = run_at(f, page); page < end; i++) {
        uint32_t v = i < f->runs ? value_of(&f->run[i], row) : NO_RUN;
        uint64_t stop = i < f->runs ? f->run[i].page + f->run[i].n : end;
        uint64_t n = (stop < end ? stop : end) - page;

        c.mixed = c.mixed || (!first && v != c.value);
        if (v == c.value || first) {
            weight += n;
            c.value = v;
        } else if (n > weight) {
            c.value = v;
            weight = n - weight;
        } else {
            weight -= n;
        }
        first = false;
        page += n;
    }
    return c;
}

void cells_fill(const struct snapshot_file *f, const struct part *part, unsigned row,
                struct cell *cell, unsigned cells)
{
    for (unsigned i = 0; i < cells; i++) {
        uint64_t from = part->page + part->n * i / cells;
        uint64_t end = part->page + part->n * (i + 1) / cells;

        cell[i] = vote(f, row, from, end);
    }
}

const char *row_name(const struct snapshot_file *f, unsigned row)
{
    static const char *const names[] = { "state", "owner", "lent to", "pinned" };

    return row < ROW_VIEW ? names[row] : f->view[row - ROW_VIEW].name;
}

const char *row_colour(unsigned row, uint32_t value)
{
    if (value == NO_RUN) {
        return "#ffffff";
    }
    switch (row) {
    case ROW_STATE:
        return draw_state_colour((uint8_t)value);
    case ROW_OWNER:
    case ROW_LENT:
        return draw_owner_colour((uint16_t)value);
    case ROW_PINS:
        return value != 0 ? "#b03a2e" : "#e6e6e6";
    default:
        return draw_level_colour(value == 0 ? 0xff : value >= 30 ? 1 : value >= 21 ? 2 : 3);
    }
}

char row_letter(unsigned row, const struct cell *c)
{
    if (c->value == NO_RUN) {
        return '?';
    }
    if (c->mixed) {
        return '+';
    }
    switch (row) {
    case ROW_STATE:
        return c->value == GMEM_PRIVATE ? 'P' : c->value == GMEM_SHARED ? 'S' : 'I';
    case ROW_OWNER:
    case ROW_LENT:
        if (c->value >= OWNER_VM0) {
            return (char)('0' + (c->value - OWNER_VM0) % 10);
        }
        return ".#h"[c->value];
    case ROW_PINS:
        return c->value != 0 ? '!' : '.';
    default:
        return c->value == 0 ? '.' : c->value >= 30 ? 'G' : c->value >= 21 ? 'M' : 'k';
    }
}

const char *size_words(uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    static char words[4][24];
    static unsigned next;
    unsigned u = 0;
    double v = (double)bytes;
    char *w = words[next++ % 4];

    while (v >= 1024 && u < 4) {
        v /= 1024;
        u++;
    }
    snprintf(w, sizeof(words[0]), v < 10 && u > 0 && v != (double)(int)v ? "%.1f %s" : "%.0f %s", v,
             units[u]);
    return w;
}
