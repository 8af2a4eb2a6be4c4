/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The NVMe model under libFuzzer: the input is a list of steps of a program that has the controller
 * open: registers written, commands, memory written, mapped and unmapped. After each input the controller is
 * reset and must work; its registers that are read only must be what they were.
 * Built and run by `make fuzz-iommufd`.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/nvme.h"
#include "iommufd/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define IOVA  0x100000u
#define PAGES 64u

static struct mm *mm;
static struct ctx *ctx;
static struct ioas *ioas;
static struct sw_dev *dev;
static unsigned char *arena;

static void must(bool ok)
{
    if (!ok) {
        abort();
    }
}

static int map(uint64_t page, uint64_t n)
{
    struct u_ioas_map m = { .size = sizeof(m),
                            .flags = U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE,
                            .ioas_id = ioas->obj.id,
                            .user_va = (uint64_t)(uintptr_t)arena + page * PG,
                            .length = n * PG,
                            .iova = IOVA + page * PG };
    struct call c = {
        .ctx = ctx, .mm = mm, .cmd = U_IO(U_IOAS_MAP), .arg = (uint64_t)(uintptr_t)&m, .out_fd = -1
    };

    return ctx_ioctl(&c);
}

static void setup(void)
{
    int client;

    must(domains_init(16u << 20, DOMAIN_DEFAULT) == 0);
    sw_options.delay_us = 0;
    mm = mm_new(getpid(), getuid());
    arena = mmap(NULL, PAGES * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ctx = ctx_new(false);
    ioas = ioas_new(ctx);
    obj_live(ioas);
    must(sw_add("nvme,size=1M") == 0);
    dev = sw_number(0);
    must(sw_open(dev, &client) == 0 && vfio_bind(dev, ctx) == 0);
    struct call c = { .ctx = ctx, .mm = mm };
    uint32_t pt = ioas->obj.id;

    must(device_attach(&c, dev->dev, NO_PASID, &pt) == 0);
}

static void put(uint32_t off, uint32_t v)
{
    dev->model->write(dev, off, &v, sizeof(v));
}

static uint32_t get(uint32_t off)
{
    uint32_t v;

    dev->model->read(dev, off, &v, sizeof(v));
    return v;
}

static void run(unsigned turns)
{
    while (turns-- > 0) {
        dev->model->timer(dev);
    }
}

static void enable(void)
{
    put(0x24, 15 << 16 | 15);
    put(0x28, IOVA);
    put(0x2c, 0);
    put(0x30, IOVA + PG);
    put(0x34, 0);
    put(0x14, 4 << 20 | 6 << 16 | 1);
}

static uint32_t tail[4];
static uint64_t gone = UINT64_MAX; /* pages that are not mapped */

/* Numbers that often mean something: pages of the arena, small ones. */
static void command(const uint8_t *in, size_t n, unsigned q)
{
    struct nv_command c = { 0 };
    unsigned char *at = (unsigned char *)&c;

    memcpy(at, in, n < sizeof(c) ? n : sizeof(c));
    c.opcode &= 0x1f;
    c.flags = c.flags < 250 ? 0 : c.flags;
    c.nsid = c.nsid % 8 != 0 ? 1 : c.nsid;
    c.prp1 = c.prp1 >> 62 == 3 ? c.prp1 : IOVA + (c.prp1 & 0x3fffc);
    c.prp2 = c.prp2 >> 62 == 3 ? c.prp2
                               : IOVA + (c.prp2 & ((c.prp2 >> 61 & 1) != 0 ? 0x3f000 : 0x3fff8));
    if (q == 0 && (c.opcode == 1 || c.opcode == 5)) {
        c.prp1 &= ~(uint64_t)(PG - 1);
        c.dw10 = (c.dw10 & 0xf0003) | 0x30000;
        c.dw11 = (c.dw11 & 0x30003) | 1;
    }
    memcpy(arena + 2 * q * PG + tail[q] * sizeof(c), &c, sizeof(c));
    tail[q] = (tail[q] + 1) % (q == 0 ? 16 : 4);
    put(NV_DOORBELLS + 8 * q, tail[q]);
}

static void step(const uint8_t *in)
{
    uint32_t v;

    memcpy(&v, in + 2, sizeof(v));
    switch (in[0] % 16) {
    case 0:
        put(in[1] % 16 * 4, v);
        break;
    case 1:
        put(NV_DOORBELLS + in[1] * 4u, v % 32);
        break;
    case 2: {
        uint64_t done, page = in[1] % PAGES, at = IOVA + page * PG;

        if ((gone >> page & 1) == 0) {
            must(iopt_unmap(&ioas->iopt, at, at + PG - 1, &done) == 0);
            gone |= 1ull << page;
        }
        break;
    }
    case 3:
        if ((gone >> (in[1] % PAGES) & 1) != 0) {
            must(map(in[1] % PAGES, 1) == 0);
            gone &= ~(1ull << (in[1] % PAGES));
        }
        break;
    case 4: { /* an entry of a list */
        uint64_t entry = IOVA + (v & 0x3f) * PG + (v >> 30 == 0 ? v >> 8 & 0xfff : 0);

        memcpy(arena + (in[1] * 8u + (v >> 6 & 7) * PG), &entry, sizeof(entry));
        break;
    }
    case 5:
        (void)get(v % (NV_BAR - 4));
        break;
    case 6:
        enable();
        memset(tail, 0, sizeof(tail));
        break;
    case 7: /* what was posted is taken out */
        put(NV_DOORBELLS + in[1] % 4 * 8u + 4, v % 16);
        break;
    default:
        command(in + 2, 62, in[1] % 4);
    }
    run(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (mm == NULL) {
        setup();
    }
    memset(arena, 0, PAGES * PG);
    memset(tail, 0, sizeof(tail));
    for (unsigned i = 0; i < PAGES; i++) { /* what the last one took away */
        if ((gone >> i & 1) != 0) {
            must(map(i, 1) == 0);
        }
    }
    gone = 0;
    must(mm->pinned == PAGES);
    dev->config[4] = 6;
    enable();
    for (unsigned steps = 0; size >= 64 && steps < 32; steps++, data += 64, size -= 64) {
        step(data);
    }
    dev->model->reset(dev);
    must(get(0x08) == 0x00010400 && get(0x1c) == 0 && get(0x14) == 0);
    return 0;
}
