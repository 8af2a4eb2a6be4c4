/* SPDX-License-Identifier: BSD-2-Clause */
/* Readers of an IOAS that are no devices: they pin pages, or copy, and are told of unmaps. */
#include <errno.h>
#include <stdlib.h>

#include "iommufd/iod.h"

struct access *access_new(struct ctx *c, bool internal, uint64_t alignment)
{
    struct access *a = obj_new(c, sizeof(*a), OBJ_ACCESS);

    if (a != NULL) {
        a->internal = internal;
        a->alignment = alignment;
        a->obj.users++; /* its maker */
        if (!internal) {
            c->refs++;
        }
        obj_live(a);
    }
    return a;
}

static void leave(struct access *a)
{
    struct access **at = &a->ioas->iopt.accesses;

    while (*at != a) {
        at = &(*at)->next;
    }
    *at = a->next;
    (void)iopt_realign(&a->ioas->iopt);
    a->ioas->obj.users--;
    a->ioas = NULL;
}

int access_attach(struct access *a, struct ioas *s)
{
    struct ioas *old = a->ioas;

    if (s == old) {
        return 0;
    }
    if (s != NULL) {
        /* Not linked yet: only its alignment is asked for. */
        struct access probe = { .alignment = a->alignment, .next = s->iopt.accesses };

        s->iopt.accesses = &probe;
        int err = iopt_realign(&s->iopt);

        s->iopt.accesses = probe.next;
        if (err != 0) {
            return err;
        }
    }
    if (old != NULL) {
        access_unmap(a, 0, UINT64_MAX);
        leave(a);
    }
    if (s != NULL) {
        a->ioas = s;
        a->next = s->iopt.accesses;
        s->iopt.accesses = a;
        s->obj.users++;
    }
    return 0;
}

void access_destroy(struct obj *o)
{
    struct access *a = (struct access *)(void *)o;

    if (a->ioas != NULL) {
        access_unmap(a, 0, UINT64_MAX);
        leave(a);
    }
    if (!a->internal) {
        ctx_put(a->obj.ctx);
    }
}

void access_unmap(struct access *a, uint64_t first, uint64_t last)
{
    for (struct access_item **at = &a->items; *at != NULL;) {
        struct access_item *i = *at;

        if (i->iova <= last && i->iova + (i->len - 1) >= first) {
            *at = i->next;
            access_unpin(a, i->iova, i->len);
            free(i);
        } else {
            at = &i->next;
        }
    }
}

struct pin {
    struct access *access;
    bool write;
    uint64_t end; /* of the whole request */
    uint64_t *pa;
    uint64_t done; /* bytes that are pinned */
};

static int pin_part(void *ctx, struct area *a, uint64_t iova, uint64_t last)
{
    struct pin *p = ctx;
    uint64_t from = a->start_byte + (iova - a->iova), to = a->start_byte + (last - a->iova);

    if (a->prevent_access || from % PG != 0 ||
        (last != p->end && (a->start_byte + (a->last - a->iova)) % PG != PG - 1)) {
        return -EINVAL;
    }
    if (!(p->write ? a->write : a->read) || (p->write && !a->pages->writable)) {
        return -EPERM;
    }
    if (a->pages->type == PAGES_DMABUF) {
        return -EINVAL;
    }
    int err = pages_use(a->pages, from / PG, to / PG);

    if (err != 0) {
        return err;
    }
    for (uint64_t i = from / PG; i <= to / PG; i++) {
        *p->pa++ = a->pages->pa[i];
    }
    a->accesses++;
    a->locks += p->access->internal;
    p->done += last - iova + 1;
    return 0;
}

static int unpin_part(void *ctx, struct area *a, uint64_t iova, uint64_t last)
{
    struct access *x = ctx;
    uint64_t from = a->start_byte + (iova - a->iova), to = a->start_byte + (last - a->iova);

    pages_unuse(a->pages, from / PG, to / PG);
    a->accesses--;
    a->locks -= x->internal;
    return 0;
}

void access_unpin(struct access *a, uint64_t iova, uint64_t len)
{
    bool whole;

    (void)iopt_each(&a->ioas->iopt, iova, iova + (len - 1), &whole, unpin_part, a);
}

/* pa: room for each page that [iova, iova + len) touches. */
int access_pin(struct access *a, uint64_t iova, uint64_t len, bool write, uint64_t *pa)
{
    struct pin p = { .access = a, .write = write, .end = iova + (len - 1), .pa = pa };
    bool whole;

    if (len == 0) {
        return -EINVAL;
    }
    if (iova + (len - 1) < iova) {
        return -EOVERFLOW;
    }
    if (a->ioas == NULL) {
        return -ENOENT;
    }
    int err = iopt_each(&a->ioas->iopt, iova, iova + (len - 1), &whole, pin_part, &p);

    if (err == 0 && !whole) {
        err = -ENOENT;
    }
    if (err != 0 && p.done != 0) {
        access_unpin(a, iova, p.done);
    }
    return err;
}

struct copy {
    unsigned char *buf;
    bool write, slow;
};

static int copy_part(void *ctx, struct area *a, uint64_t iova, uint64_t last)
{
    struct copy *c = ctx;

    if (a->prevent_access) {
        return -EINVAL;
    }
    if (!(c->write ? a->write : a->read)) {
        return -EPERM;
    }
    int err = pages_rw(a->pages, a->start_byte + (iova - a->iova), c->buf, last - iova + 1,
                       c->write, c->slow);

    c->buf += last - iova + 1;
    return err;
}

int access_rw(struct access *a, uint64_t iova, void *buf, uint64_t len, bool write, bool slow)
{
    struct copy c = { buf, write, slow };
    bool whole;

    if (len == 0) {
        return -EINVAL;
    }
    if (iova + (len - 1) < iova) {
        return -EOVERFLOW;
    }
    if (a->ioas == NULL) {
        return -ENOENT;
    }
    int err = iopt_each(&a->ioas->iopt, iova, iova + (len - 1), &whole, copy_part, &c);

    return err != 0 ? err : whole ? 0 : -ENOENT;
}

void access_closed(struct access *a)
{
    a->obj.users--;
    obj_drop(a, false);
}
