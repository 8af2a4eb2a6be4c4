/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole ownership state, as the hypervisor tells it: every frame (owner, borrower, pins,
 * state), every VM (page by page: which frame, private or shared), every device's owner. Taken
 * before an attack, changed by what the attack may legally do, and compared afterwards.
 */
#ifndef MODEL_H
#define MODEL_H

#include "mem.h"

#define MODEL_VMS 16u

/* `n` pages from page number `at`: `value` is the same for all (frames), or that of the first, one
 * more for each next (frame numbers behind a VM's pages). Neighbours that fit are one span. */
struct span {
    uint64_t at, n, value;
};
struct spans {
    struct span *span;
    size_t n, room;
    bool counting;
};

struct model_vm {
    bool exists;
    uint32_t flags, devices;
    uint64_t bytes, pid;
    struct spans pages; /* frame number | state << 56 */
};
struct model {
    struct spans frames; /* packed: see model_frame() */
    uint64_t nframes;
    struct model_vm vm[MODEL_VMS];
    struct tn_device device[MAX_DEVICES];
    int devices;
    uint64_t host_mode;
};

/* 0 or -errno. */
int model_read(struct ctl *c, struct model *m);
void model_free(struct model *m);
/* True if equal; else the first difference in words. */
bool model_same(const struct model *want, const struct model *got, char *why, size_t size);

uint64_t model_frame(uint16_t owner, uint16_t borrower, uint16_t pins, uint8_t state);
void model_device_owner(struct model *m, uint32_t bdf, uint16_t owner);

#endif
