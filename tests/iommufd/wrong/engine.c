/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A page-table engine that is wrong in one way, for `tools/conformance --mutants`: linked over the real
 * one (ld --wrap), whose code it leaves alone. WRONG 1: each mapping stands one page too far; 2: the last
 * page of a mapping is lost; 3: the last page of an unmap stays.
 */
#include "tenon/pt.h"

int __real_pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                  uint64_t max, struct pt_pool *pool);
int __wrap_pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                  uint64_t max, struct pt_pool *pool);
int __real_pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g);
int __wrap_pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g);

int __wrap_pt_map(struct pt *pt, uint64_t ia, uint64_t oa, uint64_t len, uint32_t prot,
                  uint64_t max, struct pt_pool *pool)
{
    oa += WRONG == 1 ? 4096 : 0;
    len -= WRONG == 2 && len > 4096 ? 4096 : 0;
    return __real_pt_map(pt, ia, oa, len, prot, max, pool);
}

int __wrap_pt_unmap(struct pt *pt, uint64_t ia, uint64_t len, struct pt_gather *g)
{
    len -= WRONG == 3 && len > 4096 ? 4096 : 0;
    return __real_pt_unmap(pt, ia, len, g);
}
