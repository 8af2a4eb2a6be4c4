/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One space of I/O addresses: what is mapped where (areas), and the I/O page tables that must show all of it
 * (domains). Which addresses are free, and whose choice they are: iova.c. What a domain shows follows the areas before the call returns; a refused call changed nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/iod.h"
#include "iommufd/swdev.h"

void iopt_init(struct iopt *t)
{
    *t = (struct iopt){ .alignment = 1 };
}

void iopt_fini(struct iopt *t)
{
    san_forget(t);
    free(t->area);
    free(t->domain);
    free(t->reserved.r);
    free(t->allowed.r);
}

/* ---- an area in the tables ---- */

static uint64_t page_first(const struct area *a)
{
    return a->start_byte / PG;
}

static uint64_t page_last(const struct area *a)
{
    return (a->start_byte + (a->last - a->iova)) / PG;
}

static void area_out_of(struct area *a, struct domain *d)
{
    domain_unmap(d, a->iova, a->last - a->iova + 1);
}

/* Contiguous memory as one mapping. The area's pages are in use. */
static int area_into(struct area *a, struct domain *d)
{
    const uint64_t *pa = a->pages->pa;
    uint64_t first = page_first(a), last = page_last(a), iova = a->iova, off = a->start_byte % PG;

    for (uint64_t i = first; i <= last;) {
        uint64_t n = 1;

        while (i + n <= last && pa[i + n] == pa[i] + n * PG) {
            n++;
        }
        uint64_t len = n * PG - off, left = a->last - iova + 1;

        len = len < left ? len : left;
        int err = domain_map(d, iova, pa[i] + off, len, a->write, a->read, a->iopt->small);

        if (err != 0) {
            if (iova != a->iova) {
                domain_unmap(d, a->iova, iova - a->iova);
            }
            return err;
        }
        iova += len;
        off = 0;
        i += n;
    }
    return 0;
}

/* All domains, or none. */
static int area_fill(struct area *a)
{
    struct iopt *t = a->iopt;

    if (t->domains == 0) {
        return 0;
    }
    if (!pages_revoked(a->pages)) {
        int err = pages_use(a->pages, page_first(a), page_last(a));

        if (err != 0) {
            return err;
        }
        for (uint32_t i = 0; i < t->domains; i++) {
            err = area_into(a, t->domain[i]);
            if (err != 0) {
                while (i-- > 0) {
                    area_out_of(a, t->domain[i]);
                }
                pages_unuse(a->pages, page_first(a), page_last(a));
                return err;
            }
        }
    }
    a->filled = true;
    return 0;
}

static void area_unfill(struct area *a)
{
    struct iopt *t = a->iopt;

    if (!a->filled) {
        return;
    }
    if (!pages_revoked(a->pages)) {
        for (uint32_t i = 0; i < t->domains; i++) {
            area_out_of(a, t->domain[i]);
        }
        pages_unuse(a->pages, page_first(a), page_last(a));
    }
    a->filled = false;
}

void iopt_drop_dmabuf(struct iopt *t, const struct dmabuf *b)
{
    for (uint32_t i = 0; i < t->areas; i++) {
        struct area *a = t->area[i];

        if (a->filled && a->pages->dmabuf == b && !pages_revoked(a->pages)) {
            for (uint32_t k = 0; k < t->domains; k++) {
                area_out_of(a, t->domain[k]);
            }
            pages_unuse(a->pages, page_first(a), page_last(a));
        }
    }
}

/* ---- map ---- */

static int area_room(struct iopt *t, uint32_t more)
{
    if (t->areas + more > t->room) {
        uint32_t room = t->room * 2 > t->areas + more ? t->room * 2 : t->areas + more + 14;
        struct area **a = realloc(t->area, room * sizeof(struct area *));

        if (a == NULL) {
            return -ENOMEM;
        }
        t->area = a;
        t->room = room;
    }
    return 0;
}

static void area_insert(struct iopt *t, struct area *a)
{
    uint32_t at = iopt_find(t, a->iova);

    memmove(&t->area[at + 1], &t->area[at], (t->areas - at) * sizeof(struct area *));
    t->area[at] = a;
    t->areas++;
}

static void area_remove(struct iopt *t, struct area *a)
{
    uint32_t at = iopt_find(t, a->iova);

    t->areas--;
    memmove(&t->area[at], &t->area[at + 1], (t->areas - at) * sizeof(struct area *));
    pages_put(a->pages);
    san_map_put(a->how);
    free(a);
}

static int check_fixed(const struct iopt *t, uint64_t iova, uint64_t len)
{
    if ((iova & (t->alignment - 1)) != 0) {
        return -EINVAL;
    }
    if (iova + (len - 1) < iova) {
        return -EOVERFLOW;
    }
    if (range_touches(&t->reserved, iova, iova + (len - 1))) {
        return -EINVAL;
    }
    return iopt_any(t, iova, iova + (len - 1)) ? -EEXIST : 0;
}

static uint64_t slice_address(const struct slice *s)
{
    return s->start_byte + (s->pages->type == PAGES_USER ? s->pages->va : s->pages->file_page * PG);
}

static int area_new(struct iopt *t, const struct slice *s, uint64_t iova, bool read, bool write,
                    struct area **out)
{
    if (write && !s->pages->writable) {
        return -EPERM;
    }
    if ((s->start_byte % PG & (t->alignment - 1)) != 0) {
        return -EINVAL;
    }
    if (iova + (s->len - 1) < iova) {
        return -EOVERFLOW;
    }
    struct area *a = calloc(1, sizeof(*a));

    if (a == NULL || area_room(t, 1) != 0) {
        free(a);
        return -ENOMEM;
    }
    *a = (struct area){ .iova = iova,
                        .last = iova + (s->len - 1),
                        .iopt = t,
                        .pages = s->pages,
                        .start_byte = s->start_byte,
                        .read = read,
                        .write = write,
                        .how = san_map_new() };
    s->pages->refs++;
    area_insert(t, a);
    *out = a;
    return 0;
}

int iopt_map(struct iopt *t, const struct slice *s, uint32_t n, uint64_t len, uint64_t *iova,
             bool fixed, bool read, bool write)
{
    struct area **made;
    uint64_t at;
    uint32_t done = 0;
    int err;

    if ((len & (t->alignment - 1)) != 0 || len == 0) {
        return -EINVAL;
    }
    err = fixed ? check_fixed(t, *iova, len) : iopt_choose(t, iova, slice_address(s), len);
    if (err != 0) {
        return err;
    }
    made = calloc(n, sizeof(struct area *));
    if (made == NULL) {
        return -ENOMEM;
    }
    at = *iova;
    for (; done < n && err == 0; done += err == 0) {
        err = area_new(t, &s[done], at, read, write, &made[done]);
        at += s[done].len;
    }
    for (uint32_t i = 0; i < n && err == 0; i++) {
        err = area_fill(made[i]);
    }
    for (uint32_t i = 0; i < done && err != 0; i++) {
        area_unfill(made[i]);
        area_remove(t, made[i]);
    }
    free(made);
    return err;
}

int iopt_each(struct iopt *t, uint64_t iova, uint64_t last, bool *whole,
              int (*fn)(void *ctx, struct area *a, uint64_t iova, uint64_t last), void *ctx)
{
    *whole = false;
    for (uint32_t i = iopt_find(t, iova); i < t->areas && t->area[i]->iova <= iova; i++) {
        struct area *a = t->area[i];
        uint64_t end = a->last < last ? a->last : last;
        int err = fn(ctx, a, iova, end);

        if (err != 0) {
            return err;
        }
        if (end == last) {
            *whole = true;
            return 0;
        }
        iova = end + 1;
    }
    return 0;
}

struct slice_list {
    struct slice *s;
    uint32_t n, room;
};

static int slice_add(void *ctx, struct area *a, uint64_t iova, uint64_t last)
{
    struct slice_list *l = ctx;

    if (l->n == l->room) {
        uint32_t room = l->room != 0 ? 2 * l->room : 4;
        struct slice *s = realloc(l->s, room * sizeof(*s));

        if (s == NULL) {
            return -ENOMEM;
        }
        l->s = s;
        l->room = room;
    }
    a->pages->refs++;
    l->s[l->n++] = (struct slice){ a->pages, a->start_byte + (iova - a->iova), last - iova + 1 };
    return 0;
}

int iopt_slices(struct iopt *t, uint64_t iova, uint64_t len, struct slice **s, uint32_t *n)
{
    struct slice_list l = { 0 };
    bool whole;

    if (len == 0) {
        return -EINVAL;
    }
    if (iova + (len - 1) < iova) {
        return -EOVERFLOW;
    }
    int err = iopt_each(t, iova, iova + (len - 1), &whole, slice_add, &l);

    if (err == 0 && !whole) {
        err = -ENOENT;
    }
    if (err != 0) {
        slices_free(l.s, l.n);
        return err;
    }
    *s = l.s;
    *n = l.n;
    return 0;
}

void slices_free(struct slice *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        pages_put(s[i].pages);
    }
    free(s);
}

/* ---- unmap ---- */

int iopt_unmap(struct iopt *t, uint64_t first, uint64_t last, uint64_t *unmapped)
{
    uint64_t bytes = 0;
    unsigned tries = 0;
    int err = 0;

    for (uint32_t i; (i = iopt_find(t, first)) < t->areas && t->area[i]->iova <= last;) {
        struct area *a = t->area[i];
        uint64_t end = a->last;

        if (a->locks != 0) {
            err = -EBUSY;
            break;
        }
        if (a->iova < first || a->last > last) {
            err = -ENOENT;
            break;
        }
        if (a->iova != first) {
            tries = 0;
        }
        if (a->accesses != 0) {
            first = a->iova;
            a->prevent_access = true;
            for (struct access *x = t->accesses; x != NULL; x = x->next) {
                if (!x->internal) {
                    access_unmap(x, a->iova, a->last);
                }
            }
            if (++tries > 100) {
                err = -EDEADLK;
                break;
            }
            continue;
        }
        bytes += a->last - a->iova + 1;
        san_unmapped(t, a);
        area_unfill(a);
        area_remove(t, a);
        if (end >= last) {
            break;
        }
        first = end + 1;
    }
    if (unmapped != NULL) {
        *unmapped = bytes;
    }
    return err;
}

/* Makes `last` the last address of an area, if one covers it. */
int iopt_cut(struct iopt *t, uint64_t last)
{
    uint32_t i = iopt_find(t, last);
    struct area *a = i < t->areas && t->area[i]->iova <= last ? t->area[i] : NULL;

    if (a == NULL || last == a->iova || last == a->last) {
        return 0;
    }
    uint64_t right = last + 1, right_byte = a->start_byte + (right - a->iova);

    if (a->prevent_access) {
        return -EBUSY;
    }
    if (a->pages->type == PAGES_DMABUF) {
        return -EOPNOTSUPP;
    }
    if ((right & (t->alignment - 1)) != 0 || (right_byte & (t->alignment - 1)) != 0 ||
        a->accesses != 0 || (a->filled && !t->small)) {
        return -EINVAL;
    }
    struct area *r = calloc(1, sizeof(*r));

    if (r == NULL || area_room(t, 1) != 0) {
        free(r);
        return -ENOMEM;
    }
    /* A page under the cut belongs to both from now on. */
    if (a->filled && right_byte % PG != 0) {
        a->pages->use[right_byte / PG]++;
    }
    *r = *a;
    r->iova = right;
    r->start_byte = right_byte;
    r->pages->refs++;
    if (r->how != NULL) {
        r->how->refs++;
    }
    a->last = last;
    area_insert(t, r);
    return 0;
}

/* ---- domains and alignment ---- */

static int check_alignment(const struct iopt *t, uint64_t alignment)
{
    for (uint32_t i = 0; i < t->areas; i++) {
        const struct area *a = t->area[i];

        if (((a->iova | (a->last + 1) | a->start_byte % PG) & (alignment - 1)) != 0) {
            return -EADDRINUSE;
        }
    }
    return 0;
}

int iopt_realign(struct iopt *t)
{
    uint64_t want = t->small ? PG : 1;

    for (uint32_t i = 0; i < t->domains; i++) {
        uint64_t page = t->domain[i]->pgsizes & -t->domain[i]->pgsizes;

        want = page > want ? page : want;
    }
    for (struct access *x = t->accesses; x != NULL; x = x->next) {
        want = x->alignment > want ? x->alignment : want;
    }
    if (want > t->alignment && check_alignment(t, want) != 0) {
        return -EADDRINUSE;
    }
    t->alignment = want;
    return 0;
}

/* Every area into a new domain; pins what nobody had pinned. */
static int fill_domain(struct iopt *t, struct domain *d)
{
    uint32_t i = 0;
    int err = 0;

    for (; i < t->areas && err == 0; i++) {
        struct area *a = t->area[i];
        bool first = !a->filled;

        if (pages_revoked(a->pages)) {
            a->filled = true;
            continue;
        }
        err = first ? pages_use(a->pages, page_first(a), page_last(a)) : 0;
        if (err != 0) {
            break;
        }
        err = area_into(a, d);
        if (err != 0) {
            if (first) {
                pages_unuse(a->pages, page_first(a), page_last(a));
            }
            break;
        }
        a->filled = true;
    }
    while (err != 0 && i-- > 0) {
        struct area *a = t->area[i];

        if (!pages_revoked(a->pages)) {
            area_out_of(a, d);
        }
        if (t->domains == 0) {
            a->filled = false;
            if (!pages_revoked(a->pages)) {
                pages_unuse(a->pages, page_first(a), page_last(a));
            }
        }
    }
    return err;
}

int iopt_add_domain(struct iopt *t, struct domain *d)
{
    uint64_t page = d->pgsizes & -d->pgsizes;
    uint64_t align = page > t->alignment ? page : t->alignment;
    struct domain **room;
    int err = 0;

    if (align > PG) {
        return -EINVAL;
    }
    if (align != t->alignment) {
        err = check_alignment(t, align);
    }
    if (err == 0 && d->first != 0) {
        err = iopt_reserve(t, 0, d->first - 1, d);
    }
    if (err == 0 && d->last != UINT64_MAX) {
        err = iopt_reserve(t, d->last + 1, UINT64_MAX, d);
    }
    room = err == 0 ? realloc(t->domain, (t->domains + 1) * sizeof(*room)) : NULL;
    if (room != NULL) {
        t->domain = room;
        err = fill_domain(t, d);
    } else if (err == 0) {
        err = -ENOMEM;
    }
    if (err != 0) {
        iopt_unreserve(t, d);
        return err;
    }
    t->domain[t->domains++] = d;
    t->alignment = align;
    return 0;
}

void iopt_remove_domain(struct iopt *t, struct domain *d)
{
    uint32_t at = 0;

    while (at < t->domains && t->domain[at] != d) {
        at++;
    }
    if (at == t->domains) {
        return;
    }
    t->domain[at] = t->domain[--t->domains];
    for (uint32_t i = 0; i < t->areas; i++) {
        struct area *a = t->area[i];
        bool revoked = pages_revoked(a->pages);

        if (!a->filled) {
            continue;
        }
        if (!revoked) {
            area_out_of(a, d);
        }
        if (t->domains == 0) {
            a->filled = false;
            if (!revoked) {
                pages_unuse(a->pages, page_first(a), page_last(a));
            }
        }
    }
    iopt_unreserve(t, d);
    (void)iopt_realign(t);
}

int iopt_set_small(struct iopt *t, bool small)
{
    int err = 0;

    if (small == t->small) {
        return small ? 0 : iopt_realign(t);
    }
    if (small && t->domains != 0 && t->areas != 0) {
        return -EINVAL;
    }
    t->small = small;
    err = iopt_realign(t);
    if (err != 0 && small) {
        t->small = false;
    }
    return err;
}
