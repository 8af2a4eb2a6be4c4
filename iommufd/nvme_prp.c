/* SPDX-License-Identifier: BSD-2-Clause */
/* Physical region pages (4.3): the pages that a command's data is in. */
#include <errno.h>

#include "iommufd/nvme.h"

#define MOST (NV_MAX_BYTES / PG + 1)

static int access(struct nvme *n, uint64_t iova, void *buf, uint32_t len, bool write,
                  const char *what)
{
    int err = nv_dma(n, iova, buf, len, write, what);

    return err == -EAGAIN ? err : err != 0 ? NV_DATA_TRANSFER : NV_OK;
}

/* The list at `at`: entries to the end of a page; where more are needed, the last one leads to the
 * next list. Every entry but the list's own address begins a page. */
static int through_list(struct nvme *n, uint64_t at, unsigned char *buf, uint32_t len, bool write)
{
    uint32_t page = nv_page(n);
    uint64_t entry[MOST];

    if (at % 8 != 0) {
        return NV_PRP_OFFSET;
    }
    while (len > 0) {
        uint32_t room = (page - (uint32_t)(at % page)) / 8, need = (len + page - 1) / page;
        bool chained = need > room;
        uint32_t take = chained ? room : need;
        int err = access(n, at, entry, take * 8, false, "PRP list");

        for (uint32_t i = 0; i < take && err == NV_OK; i++) {
            if (entry[i] % page != 0) {
                return NV_PRP_OFFSET;
            }
            if (chained && i == take - 1) {
                at = entry[i];
                break;
            }
            uint32_t part = len < page ? len : page;

            err = access(n, entry[i], buf, part, write, "data");
            buf += part;
            len -= part;
        }
        if (err != NV_OK) {
            return err;
        }
    }
    return NV_OK;
}

int nv_transfer(struct nvme *n, const struct nv_command *c, void *buf, uint32_t len, bool to_host)
{
    uint32_t page = nv_page(n), first = page - (uint32_t)(c->prp1 % page);
    unsigned char *at = buf;

    if (len == 0) {
        return NV_OK;
    }
    if (c->prp1 % 4 != 0) {
        return NV_PRP_OFFSET;
    }
    first = first < len ? first : len;
    int err = access(n, c->prp1, at, first, to_host, "data");

    if (err != NV_OK || first == len) {
        return err;
    }
    at += first;
    len -= first;
    if (len > page) {
        return through_list(n, c->prp2, at, len, to_host);
    }
    return c->prp2 % page != 0 ? NV_PRP_OFFSET : access(n, c->prp2, at, len, to_host, "data");
}
