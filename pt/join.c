/* SPDX-License-Identifier: BSD-2-Clause */
/* Join: neighbouring leaves of one table become one leaf of several entries, where formats and
 * walkers have such leaves. The opposite of what a cut does to them; tables stay as they are. */
#include "run.h"
#include "tenon/pt_more.h"

/* Are the 2^k entries from e[0], which is for index i, leaves that go on from each other? *leaf: the
 * first as one of one entry, *used: was any accessed? */
static FMT_INLINE bool one_piece(const struct pt_fmt *f, const struct pt *pt, const uint64_t *e,
                                 unsigned h, unsigned i, unsigned k, uint64_t *leaf, uint64_t *used)
{
    uint64_t oa;

    *leaf = ent_part(f, h, i, port_pte_load(e));
    *used = 0;
    oa = ent_oa(f, pt, *leaf);
    if (!ent_present(f, *leaf) || (*leaf & f->track) != 0 || !may_resize(f, pt, *leaf) ||
        (oa & ((hgt_size(f, h) << k) - 1)) != 0) {
        return false;
    }
    for (unsigned j = 0; j < 1u << k; j++) {
        uint64_t v = port_pte_load(&e[j]);
        uint64_t want =
            (*leaf & ~oa_bits(f, pt)) | ent_of_oa(f, pt, oa + ((uint64_t)j << hgt_shift(f, h)));

        *used |= v & f->accessed;
        if (!ent_present(f, v) || ((ent_part(f, h, i + j, v) ^ want) & ~f->accessed) != 0) {
            return false;
        }
    }
    return true;
}

static FMT_INLINE int join(const struct pt_fmt *f, struct pt *pt, uint64_t ia, uint64_t len,
                           uint64_t cap, struct pt_gather *g)
{
    uint64_t last = ia + (len - 1), pos = ia, leaf, used;
    struct pt_run r;
    int made = 0, ret = range_check(f, pt, ia, len);

    if (ret == 0 && cap != 0 && (cap < PAGE_SIZE || (cap & (cap - 1)) != 0)) {
        ret = -EINVAL;
    }
    if (ret != 0 || !f->spans || !pt->cfg.live.contig) {
        return ret;
    }
    while (next_run(f, pt, &pos, last, &r)) {
        for (unsigned i = 0; i < r.n;) {
            unsigned step = 1, index = hgt_index(f, r.h, run_at(f, &r, i));

            for (unsigned k = f->span_max[r.h]; k != 0 && k >= f->span_min[r.h]; k--) {
                unsigned n = 1u << k;
                uint64_t size = hgt_size(f, r.h) << k, at = run_at(f, &r, i);

                if ((at & (size - 1)) != 0 || r.n - i < n || (cap != 0 && size > cap) ||
                    (pt->cfg.live.leaf_max != 0 && size >> pt->cfg.live.leaf_max > 1)) {
                    continue;
                }
                if (ent_span(f, r.h, port_pte_load(&r.e[i])) >= k) {
                    step = n; /* one already */
                    break;
                }
                if (!one_piece(f, pt, &r.e[i], r.h, index, k, &leaf, &used)) {
                    continue;
                }
                for (unsigned j = 0; j < n; j++) {
                    uint64_t v = port_pte_load(&r.e[i + j]);
                    uint64_t own = f->span_steps ? ent_part(f, r.h, index + j, v) : leaf;

                    own = ent_join(f, r.h, k, own | used);
                    while (!port_pte_cas(&r.e[i + j], &v, own)) {
                    }
                }
                clean(pt, &r.e[i], n);
                pt_gather_add(g, at, at + (size - 1), hgt_level(r.h), false);
                made++;
                step = n;
                break;
            }
            i += step;
        }
    }
    return made;
}

int pt_join(struct pt *pt, uint64_t ia, uint64_t len, uint64_t max_size, struct pt_gather *g)
{
    PT_SHARED(pt->cfg.format, -EINVAL, join, pt, ia, len, max_size, g)
}
