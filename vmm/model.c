/* SPDX-License-Identifier: BSD-2-Clause */
/* The whole ownership state: read, changed as expected, compared (model.h). */
#include "model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t model_frame(uint16_t owner, uint16_t borrower, uint16_t pins, uint8_t state)
{
    return owner | (uint64_t)borrower << 16 | (uint64_t)pins << 32 | (uint64_t)state << 48;
}

static int read_frames(struct ctl *c, struct model *m)
{
    struct frame_list list;
    int error = frames_read(c, &list);
    if (error) {
        return error;
    }
    if (list.n == 0) {
        free(list.run);
        return -EIO;
    }
    const struct tn_frame_run *last = &list.run[list.n - 1];
    m->base = list.run[0].pa;
    m->frames = (last->pa - m->base) / PAGE + last->frames;
    m->frame = calloc(m->frames, sizeof(*m->frame));
    for (size_t i = 0; m->frame && i < list.n; i++) {
        const struct tn_frame_run *r = &list.run[i];
        model_set(m, r->pa, r->frames * PAGE,
                  model_frame(r->owner, r->borrower, r->pins, r->state));
    }
    free(list.run);
    return m->frame ? 0 : -ENOMEM;
}

static int read_vm(struct ctl *c, struct model_vm *v, uint64_t id)
{
    struct tn_vm_stat s;
    struct mem_list list;
    int error = ctl_stat(c, id, &s);
    if (error || s.state == TN_VM_FREE) {
        return 0; /* no such VM */
    }
    v->exists = true;
    v->flags = s.flags;
    v->devices = s.devices;
    v->bytes = s.bytes;
    v->pid = s.owner;
    error = mem_read(c, id, &list);
    if (error) {
        return s.state == TN_VM_CREATING || s.state == TN_VM_DYING ? 0 : error;
    }
    v->pages = s.bytes / PAGE;
    v->page = calloc(v->pages, sizeof(*v->page));
    for (size_t i = 0; v->page && i < list.n; i++) {
        const struct tn_mem_run *r = &list.run[i];
        uint64_t first = (r->gpa - TN_GUEST_RAM) / PAGE;
        for (uint64_t p = 0; p < r->bytes / PAGE && first + p < v->pages; p++) {
            v->page[first + p] = (r->pa / PAGE + p) | (uint64_t)r->state << 56;
        }
    }
    free(list.run);
    return v->page ? 0 : -ENOMEM;
}

int model_read(struct ctl *c, struct model *m)
{
    struct reply r;
    memset(m, 0, sizeof(*m));
    int error = read_frames(c, m);
    for (uint64_t id = 0; id < MODEL_VMS && !error; id++) {
        error = read_vm(c, &m->vm[id], id);
    }
    if (!error) {
        m->devices = ctl_devices(c, m->device, MAX_DEVICES);
        error = m->devices < 0 ? m->devices : 0;
    }
    CTL(c, &r, TN_HOST_MODE, 0);
    m->host_mode = r.out[0];
    if (error) {
        model_free(m);
    }
    return error;
}

void model_free(struct model *m)
{
    free(m->frame);
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        free(m->vm[i].page);
    }
    memset(m, 0, sizeof(*m));
}

void model_set(struct model *m, uint64_t pa, uint64_t bytes, uint64_t frame)
{
    if (pa < m->base) {
        return;
    }
    uint64_t first = (pa - m->base) / PAGE;
    for (uint64_t i = first; i < first + bytes / PAGE && i < m->frames; i++) {
        m->frame[i] = frame;
    }
}

void model_drop_vm(struct model *m, uint64_t id)
{
    uint16_t owner = (uint16_t)(OWNER_VM0 + id);
    for (uint64_t i = 0; i < m->frames; i++) {
        if ((m->frame[i] & 0xffff) == owner) {
            m->frame[i] = model_frame(OWNER_NONE, OWNER_NONE, 0, FRAME_OWNED);
        }
    }
    free(m->vm[id].page);
    m->vm[id] = (struct model_vm){ 0 };
}

void model_device_owner(struct model *m, uint32_t bdf, uint16_t owner)
{
    for (int i = 0; i < m->devices; i++) {
        if (m->device[i].bdf == bdf) {
            m->device[i].owner = owner;
        }
    }
}

static bool same_frames(const struct model *a, const struct model *b, char *why, size_t size)
{
    if (a->base != b->base || a->frames != b->frames) {
        snprintf(why, size, "%llu frames instead of %llu", (unsigned long long)b->frames,
                 (unsigned long long)a->frames);
        return false;
    }
    for (uint64_t i = 0; i < a->frames; i++) {
        if (a->frame[i] != b->frame[i]) {
            uint64_t w = a->frame[i];
            uint64_t g = b->frame[i];
            snprintf(why, size, "frame %#llx is %s's (lent %u, pins %u, state %u), not %s's (%u, %u, %u)",
                     (unsigned long long)(a->base + i * PAGE), ui_owner((uint16_t)g),
                     (unsigned)(g >> 16 & 0xffff), (unsigned)(g >> 32 & 0xffff),
                     (unsigned)(g >> 48), ui_owner((uint16_t)w), (unsigned)(w >> 16 & 0xffff),
                     (unsigned)(w >> 32 & 0xffff), (unsigned)(w >> 48));
            return false;
        }
    }
    return true;
}

static bool same_vm(const struct model_vm *a, const struct model_vm *b, unsigned id, char *why,
                    size_t size)
{
    if (a->exists != b->exists) {
        snprintf(why, size, "vm %u %s", id, b->exists ? "has appeared" : "is gone");
        return false;
    }
    if (a->flags != b->flags || a->devices != b->devices || a->bytes != b->bytes ||
        a->pid != b->pid || a->pages != b->pages) {
        snprintf(why, size, "vm %u: flags, devices, size or owner differ", id);
        return false;
    }
    for (uint64_t i = 0; i < a->pages; i++) {
        if (a->page[i] != b->page[i]) {
            snprintf(why, size, "vm %u: page %#llx is at %#llx state %u, not %#llx state %u", id,
                     (unsigned long long)(TN_GUEST_RAM + i * PAGE),
                     (unsigned long long)(b->page[i] << 8 >> 8) * PAGE, (unsigned)(b->page[i] >> 56),
                     (unsigned long long)(a->page[i] << 8 >> 8) * PAGE, (unsigned)(a->page[i] >> 56));
            return false;
        }
    }
    return true;
}

bool model_same(const struct model *want, const struct model *got, char *why, size_t size)
{
    if (!same_frames(want, got, why, size)) {
        return false;
    }
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        if (!same_vm(&want->vm[i], &got->vm[i], i, why, size)) {
            return false;
        }
    }
    if (want->devices != got->devices || want->host_mode != got->host_mode) {
        snprintf(why, size, "%d devices (%d), host mode %llu (%llu)", got->devices, want->devices,
                 (unsigned long long)got->host_mode, (unsigned long long)want->host_mode);
        return false;
    }
    for (int i = 0; i < want->devices; i++) {
        if (want->device[i].bdf != got->device[i].bdf ||
            want->device[i].owner != got->device[i].owner) {
            snprintf(why, size, "device %s is %s's, not %s's", ui_bdf(got->device[i].bdf),
                     ui_owner(got->device[i].owner), ui_owner(want->device[i].owner));
            return false;
        }
    }
    return true;
}
