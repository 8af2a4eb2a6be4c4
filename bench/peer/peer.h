/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files that make a kernel page table a subject of the benchmark. */
#ifndef BENCH_PEER_PEER_H
#define BENCH_PEER_PEER_H

#include "standin.h"

/* PEER_CC is the compiler's name: each peer is built by several, and their symbols are made local. */
#define PEER_NAME_(cc)  "Linux, " #cc
#define PEER_NAME__(cc) PEER_NAME_(cc)
#define PEER_NAME       PEER_NAME__(PEER_CC)

extern const struct iommu_domain_ops peer_domain_ops;
void peer_init(void);

struct iova_bitmap {
    unsigned long iova; /* of bit 0 */
    u64 *pages[8];      /* 128 MiB of 4K pages each */
};

static inline struct iova_bitmap peer_bitmap(uint64_t iova, uint64_t *bitmap)
{
    struct iova_bitmap b = { .iova = iova };

    for (int i = 0; i < 8; i++) {
        b.pages[i] = (u64 *)bitmap + i * (PAGE_SIZE / 8);
    }
    return b;
}

#endif
