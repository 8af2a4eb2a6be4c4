/* SPDX-License-Identifier: BSD-2-Clause */
/* What the kernel's page-table code calls out of line, once for all peer builds. */
#include "standin.h"

#include "../pt/arena.h"
#include "iommu-pages.h"
#include "peer.h"

void *calloc(size_t n, size_t size);
void free(void *p);
int printf(const char *format, ...);

struct folio *standin_folios;
uintptr_t standin_first;

void peer_init(void)
{
    if (!standin_folios) {
        standin_folios = calloc(ARENA_PAGES, sizeof(*standin_folios));
        standin_first = (uintptr_t)arena_first();
    }
}

void standin_warn(const char *file, int line)
{
    printf("peer: a warning of %s:%d\n", file, line);
}

void *standin_small_alloc(size_t size)
{
    return calloc(1, size);
}

void standin_small_free(void *p)
{
    free(p);
}

/* Zeroed, of one page: no start table here is larger. */
void *iommu_alloc_pages_node_sz(int nid, gfp_t gfp, size_t size)
{
    void *page = size <= PAGE_SIZE ? arena_alloc() : NULL;

    if (page) {
        virt_to_ioptdesc(page)->incoherent = 0;
    }
    return page;
}

void iommu_free_pages(void *page)
{
    if (page) {
        arena_free(page);
    }
}

static void *page_of(const struct ioptdesc *d)
{
    return (void *)(standin_first +
                    ((size_t)((const struct folio *)d - standin_folios) << PAGE_SHIFT));
}

void iommu_put_pages_list(struct iommu_pages_list *list)
{
    struct list_head *at = list->pages.next;

    while (at != &list->pages) {
        struct list_head *next = at->next;

        arena_free(page_of(container_of(at, struct ioptdesc, iopt_freelist_elm)));
        at = next;
    }
}

/* Every device is coherent: nothing to do, and never called in a measured path. */
int iommu_pages_start_incoherent(void *page, struct device *dev)
{
    return 0;
}

int iommu_pages_start_incoherent_list(struct iommu_pages_list *list, struct device *dev)
{
    return 0;
}

/* A flush that has no hardware to wait for, but must give back the tables that were unlinked. */
static void flush(struct iommu_domain *domain, struct iommu_iotlb_gather *gather)
{
    iommu_put_pages_list(&gather->freelist);
}

const struct iommu_domain_ops peer_domain_ops = { .iotlb_sync = flush };

/* The bitmap is an array of pages, as the kernel's pinned one is. */
void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova, size_t length)
{
    const unsigned bits = PAGE_SIZE * 8;
    unsigned long at = (iova - bitmap->iova) >> PAGE_SHIFT;
    unsigned long last = (iova - bitmap->iova + length - 1) >> PAGE_SHIFT;

    while (at <= last) {
        u64 *word = bitmap->pages[at / bits];
        unsigned long bit = at % bits;

        if (bit % 64 == 0 && last - at >= 63) {
            word[bit / 64] = ~(u64)0;
            at += 64;
        } else {
            word[bit / 64] |= (u64)1 << bit % 64;
            at++;
        }
    }
}
