/* SPDX-License-Identifier: BSD-2-Clause */
/* The same as SVG: a line of bands for each 64th of the part, true to a 1024th of a line. */
#include "top.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/draw.h"

#define WIDTH 1024u
#define LEFT  110.0
#define BAND  9.0

/* Cells that look the same are one box. */
static void band(FILE *f, const struct snapshot_file *s, const struct part *line, unsigned row,
                 double y, struct cell *cell)
{
    unsigned cells = line->n < WIDTH ? (unsigned)line->n : WIDTH;
    double w = (double)WIDTH / cells;

    cells_fill(s, line, row, cell, cells);
    for (unsigned i = 0, k; i < cells; i = k) {
        char title[128];

        for (k = i + 1;
             k < cells && cell[k].value == cell[i].value && cell[k].mixed == cell[i].mixed; k++) {
        }
        snprintf(title, sizeof(title), "%s, from page %llu: %c%s", row_name(s, row),
                 (unsigned long long)(line->page + line->n * i / cells),
                 row_letter(row, &(struct cell){ .value = cell[i].value }),
                 cell[i].mixed ? ", and others" : "");
        draw_box(f, LEFT + i * w, y, (k - i) * w, cell[i].mixed ? BAND * 0.7 : BAND,
                 row_colour(row, cell[i].value), title);
    }
}

static void legend(FILE *f, double y)
{
    double x = LEFT;

    x = draw_key(f, x, y, draw_state_colour(GMEM_PRIVATE), "private");
    x = draw_key(f, x, y, draw_state_colour(GMEM_SHARED), "shared");
    x = draw_key(f, x, y, draw_state_colour(GMEM_SHARED_INPLACE), "shared in place");
    x = draw_key(f, x, y, draw_level_colour(1), "leaf 1G");
    x = draw_key(f, x, y, draw_level_colour(2), "leaf 2M");
    x = draw_key(f, x, y, draw_level_colour(3), "leaf 4K");
    x = draw_key(f, x, y, draw_owner_colour(OWNER_HOST), "host");
    (void)draw_key(f, x, y, draw_owner_colour(OWNER_VM0), "VM");
}

int picture_write(const char *path, const struct snapshot_file *s, const struct part *part)
{
    unsigned rows = ROW_VIEW + s->views, lines = 1;
    uint64_t per_line = part->n;
    struct cell *cell = calloc(WIDTH, sizeof(*cell));
    char words[160];

    /* Lines of at least 64 MiB, and at most 64 of them. */
    while (per_line > (64u << 20 >> PAGE_SHIFT) && lines < 64) {
        lines *= 2;
        per_line = (part->n + lines - 1) / lines;
    }
    double line_height = rows * (BAND + 1) + 10;
    FILE *f = cell != NULL ? fopen(path, "we") : NULL;

    if (f == NULL) {
        int err = cell != NULL ? -errno : -ENOMEM;

        free(cell);
        return err;
    }
    draw_begin(f, LEFT + WIDTH + 90, 90 + lines * line_height);
    /* The name is another process's word: nothing of it may be markup. */
    char name[SNAPSHOT_NAME];

    for (unsigned i = 0; i < SNAPSHOT_NAME; i++) {
        name[i] = s->name[i] != 0 && strchr("<>&\"", s->name[i]) != NULL ? '_' : s->name[i];
    }
    snprintf(words, sizeof(words), "%s: %s, %llu conversions, %llu in place", name,
             size_words(s->npages << PAGE_SHIFT), (unsigned long long)s->converted,
             (unsigned long long)s->converted_inplace);
    draw_text(f, LEFT, 30, "font-weight=\"bold\"", words);
    legend(f, 55);
    for (unsigned i = 0; i < lines; i++) {
        struct part line = { .page = part->page + i * per_line };
        double y = 74 + i * line_height;

        if (line.page >= part->page + part->n) {
            break;
        }
        line.n = part->page + part->n - line.page;
        line.n = line.n < per_line ? line.n : per_line;
        draw_text(f, LEFT - 8, y + 12, "text-anchor=\"end\" font-size=\"11\"",
                  size_words(line.page << PAGE_SHIFT));
        for (unsigned row = 0; row < rows; row++) {
            snprintf(words, sizeof(words), "%.23s", row_name(s, row));
            for (char *p = words; *p != 0; p++) {
                *p = strchr("<>&\"", *p) != NULL ? '_' : *p;
            }
            draw_text(f, LEFT + WIDTH + 6, y + 8 + row * (BAND + 1),
                      "font-size=\"9\" fill=\"#555\"", words);
            band(f, s, &line, row, y + row * (BAND + 1), cell);
        }
    }
    fputs("</svg>\n", f);
    free(cell);
    errno = 0;
    bool bad = fflush(f) != 0 || ferror(f) != 0;
    int why = errno != 0 ? -errno : -EIO;

    return fclose(f) != 0 || bad ? why : 0;
}
