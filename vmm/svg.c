/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pictures of memory. The machine: one strip by owner. A VM: its memory in lines of 64 MiB, each
 * with three bands: private/shared, leaf size in the CPU's tree, leaf size in the device's tree.
 */
#include "draw.h"
#include "mem.h"

#include <errno.h>
#include <string.h>

#define WIDTH      1024.0
#define LEFT       110.0
#define BAND       9.0
#define LINE       38.0
#define LINE_BYTES (64 * MIB)

/* ---- the machine ---- */

static double draw_machine(FILE *f, const struct frame_list *frames, double y)
{
    if (frames->n == 0) {
        return y;
    }
    const struct tn_frame_run *last = &frames->run[frames->n - 1];
    uint64_t base = frames->run[0].pa;
    double bytes = (double)(last->pa + last->frames * PAGE - base);
    bool seen[MAX_VMS] = { false };
    draw_text(f, LEFT, y, "font-weight=\"bold\"", "The machine's frames, by owner");
    y += 10;
    for (size_t i = 0; i < frames->n; i++) {
        const struct tn_frame_run *r = &frames->run[i];
        double x = (double)(r->pa - base) / bytes * WIDTH;
        double w = (double)(r->frames * PAGE) / bytes * WIDTH;
        seen[r->owner % MAX_VMS] = true;
        draw_box(f, LEFT + x, y, w > 0.4 ? w : 0.4, 26, draw_owner_colour(r->owner),
                 ui_format("%s, %#llx, %s", ui_owner(r->owner), (unsigned long long)r->pa,
                           ui_size(r->frames * PAGE)));
        if (r->borrower) {
            draw_box(f, LEFT + x, y + 20, w > 0.4 ? w : 0.4, 6, draw_owner_colour(r->borrower),
                     ui_format("lent to %s", ui_owner(r->borrower)));
        }
    }
    draw_text(f, LEFT, y + 42, "font-size=\"11\"", ui_format("%#llx", (unsigned long long)base));
    draw_text(f, LEFT + WIDTH, y + 42, "font-size=\"11\" text-anchor=\"end\"",
              ui_format("%#llx", (unsigned long long)(base + (uint64_t)bytes)));
    y += 64;
    double x = LEFT;
    for (unsigned o = 0; o < MAX_VMS; o++) {
        if (seen[o]) {
            x = draw_key(f, x, y, draw_owner_colour((uint16_t)o), ui_owner((uint16_t)o));
        }
    }
    draw_text(f, x, y, "fill=\"#555\"", "(lower edge: lent to)");
    return y + 36;
}

/* ---- a VM ---- */

/* One run, from `from` to `to` (offsets in the VM's memory), over the lines that it crosses. */
static void draw_run(FILE *f, uint64_t from, uint64_t to, double y, const char *colour,
                     const char *title)
{
    while (from < to) {
        uint64_t line = from / LINE_BYTES;
        uint64_t end = (line + 1) * LINE_BYTES < to ? (line + 1) * LINE_BYTES : to;
        double x = (double)(from % LINE_BYTES) / (double)LINE_BYTES * WIDTH;
        double w = (double)(end - from) / (double)LINE_BYTES * WIDTH;
        draw_box(f, LEFT + x, y + (double)line * LINE, w > 1 ? w : 1, BAND, colour, title);
        from = end;
    }
}

enum band { BAND_STATE, BAND_CPU, BAND_IO };

static uint8_t band_value(const struct tn_mem_run *r, enum band b)
{
    return b == BAND_STATE ? r->state : b == BAND_CPU ? r->cpu_level : r->io_level;
}

/* Runs that look the same in this band are one rectangle. Small ones go on top, so that a single
 * 4K page beside a 2M leaf is not painted over. */
static void draw_band(FILE *f, const struct mem_list *mem, enum band b, double y, bool small)
{
    for (size_t i = 0; i < mem->n;) {
        uint8_t value = band_value(&mem->run[i], b);
        uint64_t from = mem->run[i].gpa;
        uint64_t to = from + mem->run[i].bytes;
        for (i++; i < mem->n && band_value(&mem->run[i], b) == value && mem->run[i].gpa == to;
             i++) {
            to += mem->run[i].bytes;
        }
        if ((to - from < 64 * KIB) == small) {
            draw_run(f, from - TN_GUEST_RAM, to - TN_GUEST_RAM, y + (double)b * (BAND + 1),
                     b == BAND_STATE ? draw_state_colour(value) : draw_level_colour(value),
                     ui_format("%#llx, %s: %s", (unsigned long long)from, ui_size(to - from),
                               b == BAND_STATE ? mem_state_name(value) : mem_level_name(value)));
        }
    }
}

static double draw_legend(FILE *f, double y)
{
    double x = LEFT;
    for (uint8_t s = 0; s < 3; s++) {
        x = draw_key(f, x, y, draw_state_colour(s), mem_state_name(s));
    }
    for (uint8_t level = 1; level < 4; level++) {
        x = draw_key(f, x, y, draw_level_colour(level),
                     ui_format("leaf %s", mem_level_name(level)));
    }
    draw_key(f, x, y, "#ffffff", "not mapped");
    return y + 22;
}

static double draw_vm(FILE *f, const struct mem_list *mem, const struct tn_vm_stat *stat, double y)
{
    uint64_t lines = (stat->bytes + LINE_BYTES - 1) / LINE_BYTES;
    draw_text(f, LEFT, y, "font-weight=\"bold\"",
              ui_format("VM %u: %s, %s mode, %s conversions so far", stat->id, ui_size(stat->bytes),
                        stat->flags & TN_VM_SHARE ? "share" : "mirror",
                        ui_count(stat->conversions)));
    y = draw_legend(f, y + 22);
    for (uint64_t i = 0; i < lines; i++) {
        double top = y + (double)i * LINE;
        draw_text(f, LEFT - 8, top + 18, "text-anchor=\"end\" font-size=\"11\"",
                  ui_format("%#llx", (unsigned long long)(TN_GUEST_RAM + i * LINE_BYTES)));
        for (int b = 0; b < 3; b++) {
            static const char *const names[] = { "state", "CPU", "I/O" };
            draw_text(f, LEFT + WIDTH + 6, top + 8 + b * (BAND + 1),
                      "font-size=\"9\" fill=\"#555\"", names[b]);
        }
    }
    for (enum band b = BAND_STATE; b <= BAND_IO; b++) {
        draw_band(f, mem, b, y, false);
        draw_band(f, mem, b, y, true);
    }
    return y + (double)lines * LINE + 16;
}

int svg_write(const char *path, const struct mem_list *mem, const struct tn_vm_stat *stat,
              const struct frame_list *frames)
{
    FILE *f = fopen(path, "we");
    if (!f) {
        return -errno;
    }
    double lines = mem ? (double)((stat->bytes + LINE_BYTES - 1) / LINE_BYTES) : 0;
    double height = mem ? 204 + lines * LINE : 150;
    draw_begin(f, LEFT + WIDTH + 50, height);
    double y = draw_machine(f, frames, 34);
    if (mem) {
        draw_vm(f, mem, stat, y);
    }
    fputs("</svg>\n", f);
    bool bad = ferror(f) != 0;
    return fclose(f) != 0 || bad ? -EIO : 0;
}
