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

/* Adds at the end; false when there is no memory. */
static bool span_add(struct spans *l, uint64_t at, uint64_t n, uint64_t value)
{
    struct span *last = l->n ? &l->span[l->n - 1] : NULL;
    if (last && last->at + last->n == at && value == last->value + (l->counting ? last->n : 0)) {
        last->n += n;
        return true;
    }
    if (!l->span || l->n == l->room) {
        size_t room = l->room * 2 + 64;
        struct span *grown = realloc(l->span, room * sizeof(*grown));
        if (!grown) {
            return false;
        }
        l->span = grown;
        l->room = room;
    }
    l->span[l->n++] = (struct span){ at, n, value };
    return true;
}

static int read_frames(struct ctl *c, struct model *m)
{
    struct frame_list list;
    int error = frames_read(c, &list);
    for (size_t i = 0; !error && i < list.n; i++) {
        const struct tn_frame_run *r = &list.run[i];
        m->nframes += r->frames;
        if (!span_add(&m->frames, r->pa / PAGE, r->frames,
                      model_frame(r->owner, r->borrower, r->pins, r->state))) {
            error = -ENOMEM;
        }
    }
    if (!error && list.n == 0) {
        error = -EIO;
    }
    free(list.run);
    return error;
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
    v->pages.counting = true;
    for (size_t i = 0; !error && i < list.n; i++) {
        const struct tn_mem_run *r = &list.run[i];
        if (!span_add(&v->pages, r->gpa / PAGE, r->bytes / PAGE,
                      r->pa / PAGE | (uint64_t)r->state << 56)) {
            error = -ENOMEM;
        }
    }
    free(list.run);
    return error;
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
    free(m->frames.span);
    for (unsigned i = 0; i < MODEL_VMS; i++) {
        free(m->vm[i].pages.span);
    }
    memset(m, 0, sizeof(*m));
}

void model_device_owner(struct model *m, uint32_t bdf, uint16_t owner)
{
    for (int i = 0; i < m->devices; i++) {
        if (m->device[i].bdf == bdf) {
            m->device[i].owner = owner;
        }
    }
}

/* The first page where the two differ, with both values; false if they are the same. */
static bool span_differs(const struct spans *a, const struct spans *b, uint64_t *at, uint64_t *va,
                         uint64_t *vb)
{
    static const struct span nothing;
    size_t n = a->n < b->n ? a->n : b->n;
    size_t i = 0;
    while (i < n && memcmp(&a->span[i], &b->span[i], sizeof(a->span[0])) == 0) {
        i++;
    }
    if (i == a->n && i == b->n) {
        return false;
    }
    const struct span *x = i < a->n ? &a->span[i] : &nothing;
    const struct span *y = i < b->n ? &b->span[i] : &nothing;
    if (x->at == y->at && x->value == y->value) { /* alike, but one of them ends earlier */
        bool first = x->n < y->n;
        uint64_t len = first ? x->n : y->n;
        const struct span *next = first ? x + 1 : y + 1;
        bool there = first ? i + 1 < a->n : i + 1 < b->n;
        uint64_t other = x->value + (a->counting ? len : 0);
        *at = x->at + len;
        *va = first ? (there ? next->value : 0) : other;
        *vb = first ? other : (there ? next->value : 0);
    } else {
        *at = x->at < y->at ? x->at : y->at;
        *va = x->value;
        *vb = y->value;
    }
    return true;
}

static bool same_frames(const struct model *a, const struct model *b, char *why, size_t size)
{
    uint64_t at;
    uint64_t w;
    uint64_t g;
    if (!span_differs(&a->frames, &b->frames, &at, &w, &g)) {
        return true;
    }
    snprintf(why, size, "frame %#llx is %s's (lent %u, pins %u, state %u), not %s's (%u, %u, %u)",
             (unsigned long long)(at * PAGE), ui_owner((uint16_t)g), (unsigned)(g >> 16 & 0xffff),
             (unsigned)(g >> 32 & 0xffff), (unsigned)(g >> 48), ui_owner((uint16_t)w),
             (unsigned)(w >> 16 & 0xffff), (unsigned)(w >> 32 & 0xffff), (unsigned)(w >> 48));
    return false;
}

static bool same_vm(const struct model_vm *a, const struct model_vm *b, unsigned id, char *why,
                    size_t size)
{
    if (a->exists != b->exists) {
        snprintf(why, size, "vm %u %s", id, b->exists ? "has appeared" : "is gone");
        return false;
    }
    if (a->flags != b->flags || a->devices != b->devices || a->bytes != b->bytes ||
        a->pid != b->pid) {
        snprintf(why, size, "vm %u: flags, devices, size or owner differ", id);
        return false;
    }
    uint64_t at;
    uint64_t w;
    uint64_t g;
    if (!span_differs(&a->pages, &b->pages, &at, &w, &g)) {
        return true;
    }
    snprintf(why, size, "vm %u: page %#llx is at %#llx state %u, not %#llx state %u", id,
             (unsigned long long)(at * PAGE), (unsigned long long)(g << 8 >> 8) * PAGE,
             (unsigned)(g >> 56), (unsigned long long)(w << 8 >> 8) * PAGE, (unsigned)(w >> 56));
    return false;
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
