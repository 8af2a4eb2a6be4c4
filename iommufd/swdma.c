/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA of software devices: the software IOMMU says which tree the device (or its PASID) walks, the model's
 * walker translates each page, and it is copied from or to the client's memory.
 */
#include <errno.h>

#include "iommufd/swdev.h"
#include "iommufd/swiommu.h"

struct sw_options sw_options = { .delay_us = 50 };
uint64_t sw_translations;

static bool ask(struct sw_dev *d, const struct dma *m, uint64_t iova)
{
    const struct prq_request r = { .sid = d->dev->obj.id,
                                   .pasid = m->pasid,
                                   .pasid_valid = m->pasid != NO_PASID,
                                   .group = 1, /* a device stops until it is answered */
                                   .last = true,
                                   .iova = iova,
                                   .access = m->write ? PT_WRITE : PT_READ };

    return sw_options.page_requests && swiommu_request(d->dev->iommu, &r) == -EAGAIN;
}

static int page(struct sw_dev *d, const struct dma *m, struct domain *tree, uint64_t iova,
                void *buf, size_t len)
{
    uint64_t pa;

    sw_translations++;
    if (domain_walk(tree, iova, m->write ? DMA_WRITE : DMA_READ, &pa) != 0) {
        if (ask(d, m, iova)) {
            return -EAGAIN;
        }
        san_report(d, m, iova, false);
        return -EFAULT;
    }
    if (phys_rw(pa, buf, len, m->write) != 0) {
        san_report(d, m, iova, true);
        return -EFAULT;
    }
    return 0;
}

int sw_dma(struct sw_dev *d, const struct dma *m, void *buf)
{
    struct domain *tree = d->dev != NULL ? swiommu_tree(d->dev, m->pasid) : NULL;
    unsigned char *at = buf;

    if (tree == NULL || (d->model->needs_master && !config_master(d))) {
        san_report(d, m, m->iova, false);
        return -EFAULT;
    }
    for (uint32_t done = 0; done < m->len;) {
        uint64_t iova = m->iova + done;
        uint32_t n = PG - (uint32_t)(iova % PG);

        n = n < m->len - done ? n : m->len - done;
        int err = page(d, m, tree, iova, at + done, n);

        if (err != 0) {
            return err;
        }
        done += n;
    }
    return 0;
}
