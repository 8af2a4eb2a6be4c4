/* SPDX-License-Identifier: BSD-2-Clause */
/* Refresh: other output addresses in place, where one store may exchange a leaf. */
#include "port_quick.h"
#include "run.h"
#include "tenon/pt_more.h"

static FMT_INLINE int replace_check(const struct pt_fmt *f, const struct pt *pt, uint64_t ia,
                                    uint64_t oa, uint64_t len)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct pt_run r;
    int ret = whole_leaves(f, pt, ia, len);

    if ((oa & (hgt_size(f, 0) - 1)) != 0) {
        return -EINVAL;
    }
    if (ret == 0 && (oa + (len - 1) < oa || (oa + (len - 1)) >> pt->cfg.oa_bits != 0)) {
        ret = -ERANGE;
    }
    if (ret == 0 && !f->swap_oa) {
        ret = -EOPNOTSUPP;
    }
    while (ret == 0 && next_run(f, pt, &pos, last, &r)) {
        for (unsigned i = 0; i < r.n && ret == 0; i++) {
            uint64_t v = port_pte_load(&r.e[i]);

            if (!ent_present(f, v)) {
                ret = -ENOENT;
            } else if (ent_span(f, r.h, v) != 0 || ((oa - ia) & (hgt_size(f, r.h) - 1)) != 0) {
                ret = -EOPNOTSUPP;
            }
        }
    }
    return ret;
}

static FMT_INLINE int replace(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t oa,
                              uint64_t len, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia;
    struct pt_run r;
    int ret = replace_check(f, pt, ia, oa, len);

    while (ret == 0 && next_run(f, pt, &pos, last, &r)) {
        for (unsigned i = 0; i < r.n; i++) {
            uint64_t v = port_pte_load(&r.e[i]), at = run_at(f, &r, i), n;

            do {
                n = (v & ~oa_bits(f, pt)) | ent_of_oa(f, pt, oa + (at - ia));
            } while (!port_pte_cas(&r.e[i], &v, n));
        }
        clean(pt, r.e, r.n);
        pt_gather_add(g, r.ia, pos - 1, hgt_level(r.h), false);
    }
    return ret;
}

static PT_ONCE int replace_any(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len,
                               struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, replace, pt, ia, oa, len, g)
}

int pt_replace_check(const struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len)
{
    PT_SHARED(pt->cfg.format, -EINVAL, replace_check, pt, ia, oa, len)
}

int pt_replace(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, struct pt_gather *g)
{
    /* One page apart, with constants: then its way has registers enough. */
    if (len == PAGE_SIZE) {
        PT_QUICK(pt, 0, replace_any(pt, ia, oa, PAGE_SIZE, g), replace_quick, pt, ia, oa, PAGE_SIZE,
                 g)
    }
    return replace_any(pt, ia, oa, len, g);
}
