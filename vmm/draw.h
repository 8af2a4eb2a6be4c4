/* SPDX-License-Identifier: BSD-2-Clause */
/* Boxes, words and colours of the pictures of memory: `tenon mem show` and `tenon-top` alike. */
#ifndef DRAW_H
#define DRAW_H

#include <stdint.h>
#include <stdio.h>

const char *draw_owner_colour(uint16_t owner);
const char *draw_state_colour(uint8_t state);
const char *draw_level_colour(uint8_t level); /* 1: 1G, 2: 2M, 3: 4K; else: not mapped */

void draw_begin(FILE *f, double width, double height);
void draw_box(FILE *f, double x, double y, double w, double h, const char *fill, const char *title);
void draw_text(FILE *f, double x, double y, const char *style, const char *words);
/* A coloured square and words; where the next one goes. */
double draw_key(FILE *f, double x, double y, const char *colour, const char *words);

#endif
