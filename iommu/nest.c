/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's first stages over our second one, and its invalidations, by tag. */
#include <stddef.h>

#include <tenon/errno.h>
#include <tenon/iommu_hold.h>
#include <tenon/nest.h>

static struct nest_entry *find(struct nest *n, uint32_t sid, uint32_t pasid)
{
    for (uint32_t i = 0; i < NEST_PASIDS; i++) {
        if (n->entry[i].used && n->entry[i].sid == sid && n->entry[i].pasid == pasid) {
            return &n->entry[i];
        }
    }
    return NULL;
}

static struct nest_entry *spare(struct nest *n)
{
    for (uint32_t i = 0; i < NEST_PASIDS; i++) {
        if (!n->entry[i].used) {
            return &n->entry[i];
        }
    }
    return NULL;
}

/* A tag that is given to something else, or whose first stage changed: nothing of it is cached. */
static void forget(struct nest *n, const struct nest_entry *e)
{
    struct nest_hw_inv hw = { .kind = NEST_INV_PASID, .vmid = n->second->tag, .asid = e->asid };

    n->ops->issue(n->second->im, &hw);
    n->ops->wait(n->second->im);
}

int nest_init(struct nest *n, const struct nest_ops *ops, struct iommu_domain *second,
              uint32_t asid_first)
{
    const struct iommu_caps *c = &second->im->caps;

    if (!c->nested || second->stage1) {
        return -EOPNOTSUPP;
    }
    if (asid_first + NEST_PASIDS > 1u << c->asid_bits) {
        return -EINVAL;
    }
    *n = (struct nest){ .ops = ops, .second = second, .asid_first = asid_first };
    return 0;
}

static int check_stage1(const struct nest *n, uint32_t pasid, const struct nest_stage1 *first)
{
    if ((first->root & (PAGE_SIZE - 1)) != 0 || first->ia_bits < 25 || first->ia_bits > 48) {
        return -EINVAL;
    }
    if (first->root >> n->second->space->pt.cfg.ia_bits != 0) {
        return -EFAULT; /* more than that need not be checked: the second stage does it */
    }
    return (uint64_t)pasid >> n->second->im->caps.ssid_bits != 0 ? -ERANGE : 0;
}

int nest_attach(struct nest *n, uint32_t sid, uint32_t pasid, const struct nest_stage1 *first)
{
    int err = check_stage1(n, pasid, first);

    if (err != 0) {
        return err;
    }
    port_lock(&n->lock);
    struct nest_entry *e = find(n, sid, pasid), *old = e;

    e = e != NULL ? e : spare(n);
    if (e == NULL) {
        err = -ENOSPC;
    } else {
        e->asid = (uint16_t)(n->asid_first + (uint32_t)(e - n->entry));
        iommu_domain_hold(n->second);
        err = n->ops->attach(n->second->im, sid, pasid, n->second, first, e->asid);
        if (err != 0 || old != NULL) {
            iommu_domain_release(n->second); /* it is not there, or was held already */
        }
    }
    if (err == 0) {
        if (old != NULL) {
            forget(n, e);
        }
        e->used = true;
        e->sid = sid;
        e->pasid = pasid;
    }
    port_unlock(&n->lock);
    return err;
}

static void take_off(struct nest *n, struct nest_entry *e)
{
    n->ops->detach(n->second->im, e->sid, e->pasid);
    forget(n, e); /* before somebody else gets the tag */
    e->used = false;
    iommu_domain_release(n->second);
}

int nest_detach(struct nest *n, uint32_t sid, uint32_t pasid)
{
    port_lock(&n->lock);
    struct nest_entry *e = find(n, sid, pasid);

    if (e != NULL) {
        take_off(n, e);
    }
    port_unlock(&n->lock);
    return e == NULL ? -ENOENT : 0;
}

void nest_fini(struct nest *n)
{
    port_lock(&n->lock);
    for (uint32_t i = 0; i < NEST_PASIDS; i++) {
        if (n->entry[i].used) {
            take_off(n, &n->entry[i]);
        }
    }
    port_unlock(&n->lock);
}

/* ---- invalidations ---- */

static int check_inv(const struct nest_inv *inv)
{
    if (inv->kind == NEST_INV_ALL || inv->kind == NEST_INV_PASID) {
        return 0;
    }
    if (inv->kind != NEST_INV_ADDR || inv->len == 0 ||
        ((inv->ia | inv->len) & (PAGE_SIZE - 1)) != 0) {
        return -EINVAL;
    }
    return inv->ia + (inv->len - 1) < inv->ia || (inv->ia + (inv->len - 1)) >> 48 != 0 ? -ERANGE
                                                                                       : 0;
}

/* Every stream that has the PASID, each by its own tag: a guest's PASID is one address space, but it may
 * have given it to several devices. How many there were. */
static uint32_t issue(struct nest *n, const struct nest_inv *inv)
{
    uint32_t hits = 0;

    for (uint32_t i = 0; i < NEST_PASIDS; i++) {
        const struct nest_entry *e = &n->entry[i];

        if (!e->used || (inv->kind != NEST_INV_ALL && e->pasid != inv->pasid)) {
            continue;
        }
        /* All: tag by tag too. By VMID alone it would reach the second stage's combined entries of
         * others who share the VMID, and cost them their caches. */
        struct nest_hw_inv hw = {
            .kind = inv->kind == NEST_INV_ADDR ? NEST_INV_ADDR : NEST_INV_PASID,
            .vmid = n->second->tag,
            .asid = e->asid,
            .ia = inv->kind == NEST_INV_ADDR ? inv->ia : 0,
            .len = inv->kind == NEST_INV_ADDR ? inv->len : 0,
            .leaf = inv->kind == NEST_INV_ADDR && inv->leaf,
        };

        n->ops->issue(n->second->im, &hw);
        hits++;
    }
    return hits;
}

int nest_invalidate(struct nest *n, const struct nest_inv *inv, uint32_t count, uint32_t *done)
{
    int err = 0;

    port_lock(&n->lock);
    for (*done = 0; *done < count; ++*done) {
        err = check_inv(&inv[*done]);
        if (err == 0 && issue(n, &inv[*done]) == 0 && inv[*done].kind != NEST_INV_ALL) {
            err = -ENOENT;
        }
        if (err != 0) {
            n->refused++;
            break;
        }
        n->invalidations++;
    }
    if (*done != 0) {
        n->ops->wait(n->second->im);
    }
    port_unlock(&n->lock);
    return err;
}
