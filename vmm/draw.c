/* SPDX-License-Identifier: BSD-2-Clause */
/* Boxes, words and colours of the pictures of memory, as SVG. */
#include "vmm/draw.h"

#include <string.h>

#include <tenon/gmem.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *draw_owner_colour(uint16_t owner)
{
    static const char *const vm[] = { "#2f7d4f", "#8a5fbf", "#b8860b", "#0f7d8c" };
    switch (owner) {
    case OWNER_NONE:
        return "#e6e6e6";
    case OWNER_HYP:
        return "#b03a2e";
    case OWNER_HOST:
        return "#5b86c4";
    default:
        return vm[(owner - OWNER_VM0) % COUNT(vm)];
    }
}

const char *draw_state_colour(uint8_t state)
{
    return state == GMEM_PRIVATE ? "#2f7d4f" : state == GMEM_SHARED ? "#f0a030" : "#d9669b";
}

const char *draw_level_colour(uint8_t level)
{
    static const char *const colours[] = { "#0b2545", "#13315c", "#5b86c4", "#c9dcf2" };
    return level < COUNT(colours) ? colours[level] : "#ffffff";
}

void draw_begin(FILE *f, double width, double height)
{
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" "
            "font-family=\"sans-serif\" font-size=\"13\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            width, height);
}

void draw_box(FILE *f, double x, double y, double w, double h, const char *fill, const char *title)
{
    fprintf(f, "<rect x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%.1f\" fill=\"%s\">", x, y, w,
            h, fill);
    fprintf(f, "<title>%s</title></rect>\n", title);
}

void draw_text(FILE *f, double x, double y, const char *style, const char *words)
{
    fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style, words);
}

double draw_key(FILE *f, double x, double y, const char *colour, const char *words)
{
    fprintf(f,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"12\" fill=\"%s\" "
            "stroke=\"#888\" stroke-width=\"0.5\"/>\n",
            x, y - 10, colour);
    draw_text(f, x + 17, y, "", words);
    return x + 17 + 7.2 * (double)strlen(words) + 22;
}
