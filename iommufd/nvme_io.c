/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVM command set (clause 6). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "iommufd/nvme.h"

enum {
    FLUSH = 0x00,
    WRITE = 0x01,
    READ = 0x02,
    COMPARE = 0x05,
    WRITE_ZEROES = 0x08,
    DATASET = 0x09
};
enum { DATASET_DEALLOCATE = 4 };

static int rw_disk(struct nvme *n, void *buf, size_t len, uint64_t at, bool write)
{
    unsigned char *to = buf;

    while (len > 0) {
        ssize_t done =
            write ? pwrite(n->disk, to, len, (off_t)at) : pread(n->disk, to, len, (off_t)at);

        if (done <= 0) {
            return write ? NV_WRITE_FAULT : NV_READ_ERROR;
        }
        to += done;
        at += (uint64_t)done;
        len -= (size_t)done;
    }
    return NV_OK;
}

static bool in_range(const struct nvme *n, uint64_t first, uint64_t count)
{
    return first <= n->blocks && count <= n->blocks - first;
}

/* A hole reads as zeros; where the file cannot have any, zeros are written. */
static int zero(struct nvme *n, uint64_t first, uint64_t count)
{
    uint64_t at = first << n->shift, len = count << n->shift;

    if (len == 0 || fallocate(n->disk, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                              (off_t)len) == 0) {
        return NV_OK;
    }
    memset(n->buf, 0, sizeof(n->buf));
    while (len > 0) {
        size_t part = len < sizeof(n->buf) ? (size_t)len : sizeof(n->buf);
        int err = rw_disk(n, n->buf, part, at, true);

        if (err != NV_OK) {
            return err;
        }
        at += part;
        len -= part;
    }
    return NV_OK;
}

/* 6.7 */
static int dataset(struct nvme *n, const struct nv_command *c)
{
    struct {
        uint32_t attributes, count;
        uint64_t first;
    } range[256];
    uint32_t ranges = (c->dw10 & 0xff) + 1;
    int err = nv_transfer(n, c, range, ranges * sizeof(range[0]), false);

    for (uint32_t i = 0; i < ranges && err == NV_OK; i++) {
        err = in_range(n, range[i].first, range[i].count) ? NV_OK : NV_LBA_RANGE;
    }
    for (uint32_t i = 0; i < ranges && err == NV_OK && (c->dw11 & DATASET_DEALLOCATE) != 0; i++) {
        err = zero(n, range[i].first, range[i].count);
    }
    return err;
}

static int move(struct nvme *n, const struct nv_command *c, uint64_t first, uint32_t count)
{
    uint32_t len = count << n->shift;
    uint64_t at = first << n->shift;
    int err;

    if (count > sizeof(n->buf) >> n->shift) {
        return NV_INVALID_FIELD; /* more than MDTS says (5.15.2.2) */
    }
    if (c->opcode == READ) {
        err = rw_disk(n, n->buf, len, at, false);
        err = err == NV_OK ? nv_transfer(n, c, n->buf, len, true) : err;
        n->read_bytes += err == NV_OK ? len : 0;
        n->reads += err == NV_OK;
        return err;
    }
    err = nv_transfer(n, c, n->buf, len, false);
    if (err != NV_OK) {
        return err;
    }
    if (c->opcode == COMPARE) {
        err = rw_disk(n, n->other, len, at, false);
        return err == NV_OK && memcmp(n->buf, n->other, len) != 0 ? NV_COMPARE : err;
    }
    err = rw_disk(n, n->buf, len, at, true);
    n->written_bytes += err == NV_OK ? len : 0;
    n->writes += err == NV_OK;
    if (err == NV_OK && (n->feature[6] == 0 || c->dw12 >> 30 != 0)) { /* no write cache, or FUA */
        err = fdatasync(n->disk) == 0 ? NV_OK : NV_WRITE_FAULT;
    }
    return err;
}

int nv_io(struct nvme *n, const struct nv_command *c)
{
    uint64_t first = c->dw10 | (uint64_t)c->dw11 << 32;
    uint32_t count = (c->dw12 & 0xffff) + 1;

    if (c->opcode == FLUSH && (c->nsid == 1 || c->nsid == UINT32_MAX)) {
        return fdatasync(n->disk) == 0 ? NV_OK : NV_WRITE_FAULT;
    }
    switch (c->opcode) {
    case FLUSH:
    case WRITE:
    case READ:
    case COMPARE:
    case WRITE_ZEROES:
    case DATASET:
        break;
    default:
        return NV_INVALID_OPCODE;
    }
    if (c->nsid != 1) {
        return NV_INVALID_NS;
    }
    if (c->opcode == DATASET) {
        return dataset(n, c);
    }
    if (!in_range(n, first, count)) {
        return NV_LBA_RANGE;
    }
    return c->opcode == WRITE_ZEROES ? zero(n, first, count) : move(n, c, first, count);
}
