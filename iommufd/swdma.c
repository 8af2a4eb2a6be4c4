/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * DMA of software devices: each page is translated by the model's walker over the tables of what the
 * device (or its PASID) is attached to, and then copied from or to the client's memory.
 */
#include <errno.h>

#include "iommufd/swdev.h"

struct sw_options sw_options = { .delay_us = 50 };
uint64_t sw_translations;

static int page(struct sw_dev *d, const struct dma *m, struct hwpt *h, uint64_t iova, void *buf,
                size_t len)
{
    uint64_t pa;

    sw_translations++;
    if (domain_walk(h->domain, iova, m->write ? DMA_WRITE : DMA_READ, &pa) != 0) {
        if (sw_options.page_requests && h->fault != NULL &&
            fault_report(d->dev, m->pasid, m->pasid != NO_PASID, 1,
                         m->write ? U_PGFAULT_WRITE : U_PGFAULT_READ, iova)) {
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
    struct hwpt *h = d->dev != NULL ? device_hwpt(d->dev, m->pasid) : NULL;
    unsigned char *at = buf;

    if (h == NULL || h->domain == NULL || (d->model->needs_master && !config_master(d))) {
        san_report(d, m, m->iova, false);
        return -EFAULT;
    }
    for (uint32_t done = 0; done < m->len;) {
        uint64_t iova = m->iova + done;
        uint32_t n = PG - (uint32_t)(iova % PG);

        n = n < m->len - done ? n : m->len - done;
        int err = page(d, m, h, iova, at + done, n);

        if (err != 0) {
            return err;
        }
        done += n;
    }
    return 0;
}
