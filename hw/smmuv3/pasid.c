/* SPDX-License-Identifier: BSD-2-Clause */
/* PASIDs: tables of context descriptors. What a stream has is read from its entry; nothing is kept beside. */
#include <stddef.h>

#include <hw/smmuv3/queue.h>
#include <tenon/errno.h>
#include <tenon/smmuv3_pasid.h>

#include "port_pte.h"

#define CD_BYTES    ((uint64_t)sizeof(struct ste))
#define TABLE_LOG2  6u /* descriptors in a page */
#define CDMAX_SHIFT 59u
#define STE1_S1DSS  3ull

static struct smmuv3 *of(struct iommu *im)
{
    return (struct smmuv3 *)im;
}

static struct ste *ste_of(const struct smmuv3 *s, uint32_t sid)
{
    uint64_t table = s->strtab_pa;
    uint32_t index = sid;

    if (sid >> s->sid_bits != 0) {
        return NULL;
    }
    if (s->two_level) {
        table = s->l2_pa[sid >> SMMUV3_SPLIT];
        index = sid & ((1u << SMMUV3_SPLIT) - 1u);
    }
    return table == 0 ? NULL : (struct ste *)port_va(table) + index;
}

static struct ste load(const struct ste *e)
{
    struct ste v;

    for (unsigned i = 0; i < STE_WORDS; i++) {
        v.w[i] = port_pte_load(&e->w[i]);
    }
    return v;
}

static void clean(const struct smmuv3 *s, const void *va, size_t len)
{
    if (!s->feat.caps.coherent) {
        port_clean(va, len);
    }
}

/* In the planner's order, so that hardware which reads at any time sees the old, the new or nothing. */
static void write_entry(struct smmuv3 *s, enum entry_kind kind, struct ste *e, const struct ste *to,
                        uint32_t sid, uint32_t pasid)
{
    struct ste cur = load(e);
    struct entry_plan p;
    struct cmd c[2] = { cmd_cfgi_ste(sid, true), cmd_cfgi_ste_range(sid & ~1u, 1) };
    unsigned n = 2; /* both forms: see write_ste() */

    if (kind == ENTRY_CD) {
        c[0] = cmd_cfgi_cd(sid, pasid, true);
        n = 1;
    }
    entry_plan(&p, kind, &cur, to);
    for (unsigned i = 0; i < p.n; i++) {
        if (p.step[i].word != ENTRY_SYNC) {
            port_pte_store(&e->w[p.step[i].word], p.step[i].value);
            continue;
        }
        clean(s, e, sizeof(*e));
        port_publish();
        cmdq_add(s, c, n);
        cmdq_sync(s);
    }
}

static unsigned table_log2(const struct smmuv3 *s)
{
    return s->feat.caps.ssid_bits < TABLE_LOG2 ? s->feat.caps.ssid_bits : TABLE_LOG2;
}

/* NULL: the stream has one descriptor only, or none. */
static struct ste *table_of(const struct ste *e)
{
    struct ste v = load(e);

    if ((v.w[0] & STE0_V) == 0 || FIELD(v.w[0], 3, 1) != STE_CONFIG_S1 ||
        v.w[0] >> CDMAX_SHIFT == 0) {
        return NULL;
    }
    return port_va(v.w[0] & STE0_S1CTXPTR);
}

/* The context pointer and the number of descriptors are one word; where transactions without a PASID go is
 * another, which is ignored while there is one descriptor: so it is written before, or after. */
static void point(struct smmuv3 *s, struct ste *e, uint32_t sid, uint64_t cds, unsigned log2)
{
    struct ste to = load(e);

    if (log2 != 0) {
        to.w[1] |= STE1_S1DSS_SSID0;
        write_entry(s, ENTRY_STE, e, &to, sid, 0);
    }
    to.w[0] = (to.w[0] & ~STE0_S1) | cds | (uint64_t)log2 << CDMAX_SHIFT;
    write_entry(s, ENTRY_STE, e, &to, sid, 0);
    if (log2 == 0) {
        to.w[1] &= ~STE1_S1DSS;
        write_entry(s, ENTRY_STE, e, &to, sid, 0);
    }
}

static int make_table(struct smmuv3 *s, struct ste *e, uint32_t sid)
{
    uint64_t pa = frame_tables_root(1);

    if (pa == 0) {
        return -ENOMEM;
    }
    /* Filled before it is linked; the rest is zero: invalid. */
    struct ste *table = port_va(pa);

    table[0] = load(port_va(load(e).w[0] & STE0_S1CTXPTR));
    clean(s, table, PAGE_SIZE);
    port_publish();
    point(s, e, sid, pa, table_log2(s));
    return 0;
}

/* Back to the descriptor of the stream's own domain, once no PASID is left. */
static void drop_table(struct smmuv3 *s, struct ste *e, struct ste *table, uint32_t sid)
{
    for (unsigned i = 1; i < 1u << TABLE_LOG2; i++) {
        if ((table[i].w[0] & CD0_V) != 0) {
            return;
        }
    }
    uint64_t asid = table[0].w[0] >> CD0_ASID_SHIFT;

    point(s, e, sid, s->cd_pa + (asid - 1u) * CD_BYTES, 0);
    frame_tables_put(port_pa(table), 1); /* nothing of it is cached any more */
}

static int attach_locked(struct smmuv3 *s, uint32_t sid, uint32_t pasid,
                         const struct iommu_domain *d)
{
    struct ste *e = ste_of(s, sid);
    int err = 0;

    if (e == NULL || (load(e).w[0] & STE0_V) == 0 || FIELD(load(e).w[0], 3, 1) != STE_CONFIG_S1) {
        return -ENODEV;
    }
    if (table_of(e) == NULL) {
        err = make_table(s, e, sid);
    }
    if (err == 0) {
        struct ste cd = load((struct ste *)port_va(s->cd_pa) + (d->tag - 1u));

        write_entry(s, ENTRY_CD, table_of(e) + pasid, &cd, sid, pasid);
    }
    return err == 0 && s->failed ? -EIO : err;
}

static int pasid_on(struct iommu *im, uint32_t sid, uint32_t pasid, struct iommu_domain *d)
{
    struct smmuv3 *s = of(im);

    if (!d->stage1) {
        return -EOPNOTSUPP;
    }
    if (pasid == 0 || pasid >> table_log2(s) != 0) {
        return -ERANGE;
    }
    if (s->failed) {
        return -EIO;
    }
    port_lock(&im->lock);
    int err = attach_locked(s, sid, pasid, d);

    port_unlock(&im->lock);
    return err;
}

static void pasid_off(struct iommu *im, uint32_t sid, uint32_t pasid)
{
    struct smmuv3 *s = of(im);
    struct ste *e = ste_of(s, sid), none;

    port_lock(&im->lock);
    struct ste *table = e == NULL ? NULL : table_of(e);

    if (table != NULL) {
        ste_abort(&none); /* a descriptor of zeroes too */
        write_entry(s, ENTRY_CD, table + pasid, &none, sid, pasid);
        drop_table(s, e, table, sid);
    }
    port_unlock(&im->lock);
}

const struct pasid_ops smmuv3_pasid_ops = { .attach = pasid_on, .detach = pasid_off };
