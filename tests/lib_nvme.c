/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_nvme.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/server.h"

struct nv_rig rig;

void nv_open(const char *spec)
{
    int client;

    sw_options.delay_us = 0;
    rig = (struct nv_rig){ .ctx = ctx_new(false) };
    rig.ioas = io_ioas(rig.ctx);
    rig.mem = io_shared(BYTES);
    assert_int_equal(sw_add(spec), 0);
    rig.dev = sw_number(sw_count() - 1);
    assert_int_equal(sw_open(rig.dev, &client), 0);
    rig.client = client;
    assert_int_equal(vfio_bind(rig.dev, rig.ctx), 0);
    struct call c = { .ctx = rig.ctx, .mm = lib_mm };
    uint32_t pt = rig.ioas;

    assert_int_equal(device_attach(&c, rig.dev->dev, NO_PASID, &pt), 0);
    assert_int_equal(io_map(rig.ctx, rig.ioas, rig.mem, BYTES, IOVA, RW_FIXED), 0);
    nv_config(4, 6);
}

void nv_close(void)
{
    close(rig.client);
    server_settle();
    assert_null(rig.dev->stream);
    munmap(rig.mem, BYTES);
    ctx_put(rig.ctx);
    assert_null(ctx_first());
}

uint64_t nv_reg(uint64_t off, uint32_t len)
{
    uint64_t v = 0;

    assert_int_equal(vfio_rw(rig.dev, lib_mm, (uint64_t)(uintptr_t)&v, len, off, false), len);
    return v;
}

void nv_put(uint64_t off, uint64_t v, uint32_t len)
{
    assert_int_equal(vfio_rw(rig.dev, lib_mm, (uint64_t)(uintptr_t)&v, len, off, true), len);
}

void nv_config(uint64_t off, uint16_t v)
{
    nv_put((uint64_t)V_CONFIG << V_REGION_SHIFT | off, v, 2);
}

void nv_enable(void)
{
    memset(rig.mem, 0, 2 * PG);
    memset(rig.tail, 0, sizeof(rig.tail));
    memset(rig.head, 0, sizeof(rig.head));
    rig.phase[0] = 1;
    nv_put(0x24, (DEPTH - 1) << 16 | (DEPTH - 1), 4);
    nv_put(0x28, IOVA, 8);
    nv_put(0x30, IOVA + PG, 8);
    nv_put(0x14, 4 << 20 | 6 << 16 | 1, 4);
}

void *nv_at(uint64_t iova)
{
    assert_true(iova >= IOVA && iova < IOVA + BYTES);
    return rig.mem + (iova - IOVA);
}

void nv_submit(unsigned q, struct nv_command c)
{
    c.cid = rig.cid++;
    memcpy(rig.mem + 2 * q * PG + rig.tail[q] * sizeof(c), &c, sizeof(c));
    rig.tail[q] = (rig.tail[q] + 1) % DEPTH;
    nv_put(NV_DOORBELLS + 8 * q, rig.tail[q], 4);
}

int nv_reap(unsigned q)
{
    memcpy(&rig.last, rig.mem + (2 * q + 1) * PG + rig.head[q] * sizeof(rig.last),
           sizeof(rig.last));
    if ((rig.last.status & 1u) != rig.phase[q]) {
        return -1;
    }
    rig.head[q]++;
    if (rig.head[q] == DEPTH) {
        rig.head[q] = 0;
        rig.phase[q] ^= 1;
    }
    nv_put(NV_DOORBELLS + 8 * q + 4, rig.head[q], 4);
    return rig.last.status >> 1 & 0x7ff;
}

int nv_do(unsigned q, struct nv_command c)
{
    uint16_t cid = rig.cid;

    nv_submit(q, c);
    int status = nv_reap(q);

    assert_int_not_equal(status, -1);
    assert_int_equal(rig.last.cid, cid);
    assert_int_equal(rig.last.sq, q);
    assert_int_equal(rig.last.head, rig.tail[q]);
    return status;
}

void nv_pair(unsigned q)
{
    memset(rig.mem + 2 * q * PG, 0, 2 * PG);
    rig.tail[q] = rig.head[q] = 0;
    rig.phase[q] = 1;
    assert_int_equal(nv_do(0, (struct nv_command){ .opcode = 5,
                                                   .prp1 = IOVA + (2 * q + 1) * PG,
                                                   .dw10 = (DEPTH - 1) << 16 | q,
                                                   .dw11 = q << 16 | 3 }),
                     0);
    assert_int_equal(nv_do(0, (struct nv_command){ .opcode = 1,
                                                   .prp1 = IOVA + 2 * q * PG,
                                                   .dw10 = (DEPTH - 1) << 16 | q,
                                                   .dw11 = q << 16 | 1 }),
                     0);
}
