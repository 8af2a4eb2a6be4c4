/* SPDX-License-Identifier: BSD-2-Clause */
/* The NVMe model: what each command does and refuses, where its data goes, byte by byte. */
#include "lib_nvme.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CMD(op, ...) ((struct nv_command){ .opcode = (op), __VA_ARGS__ })
enum { DELETE_SQ, CREATE_SQ, GET_LOG, DELETE_CQ = 4, CREATE_CQ, IDENTIFY, ABORT = 8, SET, GET };
enum { EVENT = 12 };
enum { FLUSH, WRITE, READ, COMPARE = 5, ZEROES = 8, DATASET };

static uint64_t field(const unsigned char *p, unsigned bytes)
{
    uint64_t v = 0;

    memcpy(&v, p, bytes);
    return v;
}

static void registers(void **state)
{
    (void)state;
    nv_open("nvme,size=1M");
    uint64_t cap = nv_reg(0, 8);

    assert_int_equal(cap & 0xffff, NV_ENTRIES - 1);
    assert_int_equal(cap >> 16 & 1, 1);
    assert_int_equal(cap >> 32 & 0xf, 0);
    assert_int_equal(cap >> 37 & 0xff, 1);
    assert_int_equal(nv_reg(8, 4), 0x00010400);
    nv_put(0, 0x1234, 4); /* read only */
    nv_put(0x1c, 0xffffffff, 4);
    assert_int_equal(nv_reg(0, 8), cap);
    assert_int_equal(nv_reg(0x1c, 4), 0);
    nv_put(0x0c, 0x5, 4);
    assert_int_equal(nv_reg(0x0c, 4), 5);
    nv_put(0x0c, 0x2, 4);
    assert_int_equal(nv_reg(0x10, 4), 7);
    nv_put(0x10, 0x3, 4);
    assert_int_equal(nv_reg(0x0c, 4), 4);
    nv_put(NV_DOORBELLS, 1, 4); /* not ready: nothing */
    nv_enable();
    assert_int_equal(nv_reg(0x1c, 4), 1);
    assert_int_equal(nv_reap(0), -1);
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 7, .dw11 = 0x00ff00ff)), 0);
    assert_int_equal(rig.last.result, (NV_QUEUES - 2) << 16 | (NV_QUEUES - 2));
    nv_pair(1);
    /* Off: the queues are forgotten, their registers stay (7.3.2). */
    nv_put(0x14, 0, 4);
    assert_int_equal(nv_reg(0x1c, 4), 0);
    assert_int_equal(nv_reg(0x28, 8), IOVA);
    nv_enable();
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 7)), 0);
    /* Shutdown (7.6.2). */
    nv_put(0x14, 4 << 20 | 6 << 16 | 1 << 14 | 1, 4);
    assert_int_equal(nv_reg(0x1c, 4), 1 | 2 << 2);
    rig.dev->model->reset(rig.dev);
    assert_int_equal(nv_reg(0x14, 4), 0);
    assert_int_equal(nv_reg(0x28, 8), 0);
    /* What cannot be: queues of one entry, a page size that is not offered. */
    nv_put(0x24, 0, 4);
    nv_put(0x14, 1, 4);
    assert_int_equal(nv_reg(0x1c, 4), 2);
    nv_put(0x14, 0, 4);
    nv_put(0x24, 3 << 16 | 3, 4);
    nv_put(0x14, (NV_MPS_MAX + 1) << 7 | 1, 4);
    assert_int_equal(nv_reg(0x1c, 4), 2);
    nv_close();
}

static void identify(void **state)
{
    const unsigned char *p;

    (void)state;
    nv_open("nvme,size=3M,block=4096");
    nv_enable();
    p = nv_at(IOVA + DATA);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 1, .prp1 = IOVA + DATA)), 0);
    assert_memory_equal(p + 4, "TENON", 5);
    assert_int_equal(p[77], NV_MDTS);
    assert_int_equal(field(p + 80, 4), 0x00010400);
    assert_int_equal(field(p + 512, 2), 0x4466);
    assert_int_equal(field(p + 516, 4), 1);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 0, .nsid = 1, .prp1 = IOVA + DATA)), 0);
    assert_int_equal(field(p, 8), 768);
    assert_int_equal(p[130], 12);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 2, .prp1 = IOVA + DATA)), 0);
    assert_int_equal(field(p, 8), 1);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 2, .nsid = 1, .prp1 = IOVA + DATA)), 0);
    assert_int_equal(field(p, 8), 0);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 3, .nsid = 1, .prp1 = IOVA + DATA)), 0);
    assert_int_equal(field(p, 2), 0x0801);
    assert_int_equal(field(p + 12, 2), 0x1002);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 0, .nsid = 2, .prp1 = IOVA + DATA)),
                     NV_INVALID_NS);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 2, .nsid = UINT32_MAX)), NV_INVALID_NS);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .dw10 = 0x42)), NV_INVALID_FIELD);
    assert_int_equal(nv_do(0, CMD(0x55, .nsid = 0)), NV_INVALID_OPCODE);
    assert_int_equal(nv_do(0, CMD(IDENTIFY, .flags = 0x40)), NV_INVALID_FIELD);
    nv_close();
}

static void queues(void **state)
{
    uint32_t size = (DEPTH - 1) << 16;

    (void)state;
    nv_open("nvme,size=1M");
    nv_enable();
#define CQ(...) nv_do(0, CMD(CREATE_CQ, .prp1 = IOVA + 3 * PG, __VA_ARGS__))
#define SQ(...) nv_do(0, CMD(CREATE_SQ, .prp1 = IOVA + 2 * PG, __VA_ARGS__))
    assert_int_equal(CQ(.dw10 = size, .dw11 = 1), NV_QUEUE_ID);
    assert_int_equal(CQ(.dw10 = size | NV_QUEUES, .dw11 = 1), NV_QUEUE_ID);
    assert_int_equal(CQ(.dw10 = 1, .dw11 = 1), NV_QUEUE_SIZE);
    assert_int_equal(CQ(.dw10 = NV_ENTRIES << 16 | 1, .dw11 = 1), NV_QUEUE_SIZE);
    assert_int_equal(CQ(.dw10 = size | 1, .dw11 = 0), NV_INVALID_FIELD);
    assert_int_equal(CQ(.dw10 = size | 1, .dw11 = NV_QUEUES << 16 | 3), NV_VECTOR);
    assert_int_equal(nv_do(0, CMD(CREATE_CQ, .prp1 = IOVA + 8, .dw10 = size | 1, .dw11 = 1)),
                     NV_PRP_OFFSET);
    assert_int_equal(SQ(.dw10 = size | 1, .dw11 = 1 << 16 | 1), NV_CQ_INVALID);
    assert_int_equal(SQ(.dw10 = size | 1, .dw11 = 1), NV_CQ_INVALID);
    nv_pair(1);
    assert_int_equal(CQ(.dw10 = size | 1, .dw11 = 1), NV_QUEUE_ID);
    assert_int_equal(SQ(.dw10 = size | 1, .dw11 = 1 << 16 | 1), NV_QUEUE_ID);
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 7)), NV_SEQUENCE);
    assert_int_equal(nv_do(0, CMD(DELETE_CQ, .dw10 = 1)), NV_QUEUE_DELETION);
    for (unsigned i = 0; i < 5 * DEPTH; i++) {
        assert_int_equal(nv_do(1, CMD(FLUSH, .nsid = 1)), 0);
    }
    assert_int_equal(nv_do(0, CMD(DELETE_SQ, .dw10 = 1)), 0);
    assert_int_equal(nv_do(0, CMD(DELETE_SQ, .dw10 = 1)), NV_QUEUE_ID);
    assert_int_equal(nv_do(0, CMD(DELETE_CQ, .dw10 = 1)), 0);
    assert_int_equal(nv_do(0, CMD(DELETE_CQ, .dw10 = 1)), NV_QUEUE_ID);
    assert_int_equal(nv_do(0, CMD(DELETE_CQ, .dw10 = 0)), NV_QUEUE_ID);
    nv_pair(1);
    assert_int_equal(nv_do(1, CMD(FLUSH, .nsid = 1)), 0);
    /* A completion queue that is full holds its submission queues back, and nothing is lost. */
    uint16_t first = rig.cid;

    for (unsigned i = 0; i < DEPTH - 1; i++) {
        nv_submit(1, CMD(FLUSH, .nsid = 1));
    }
    for (unsigned i = 0; i < DEPTH - 1; i++) { /* there is room for these, for what they say none */
        nv_submit(1, CMD(FLUSH, .nsid = 1));
    }
    for (unsigned i = 0; i < 2 * DEPTH - 2; i++) {
        assert_int_equal(nv_reap(1), 0);
        assert_int_equal(rig.last.cid, (uint16_t)(first + i));
    }
    assert_int_equal(nv_reap(1), -1);
    nv_close();
}

/* Pages of a command's data, at random, with lists that begin anywhere and go on elsewhere. */
static struct nv_command scatter(struct nv_command c, uint32_t len, unsigned char **page)
{
    uint32_t off = (uint32_t)(rand() % 1024) * 4, n = (off + len + PG - 1) / PG;
    uint64_t iova[40] = { 0 }, list = IOVA + 0x8000 + (uint64_t)(rand() % 512) * 8;
    bool used[(BYTES - DATA) / PG] = { false };
    unsigned lists = 0;

    for (uint32_t i = 0; i < n; i++) {
        unsigned at;

        do {
            at = (unsigned)rand() % (unsigned)((BYTES - DATA) / PG);
        } while (used[at]);
        used[at] = true;
        iova[i] = IOVA + DATA + at * PG;
        page[i] = nv_at(iova[i]);
    }
    c.prp1 = iova[0] + off;
    page[0] += off;
    if (n == 2) {
        c.prp2 = iova[1];
    } else if (n > 2) {
        c.prp2 = list;
        for (uint32_t i = 1; i < n; i++) {
            if (list % PG == PG - 8 && i + 1 < n) { /* the last of a list, and more to come */
                uint64_t next = IOVA + 0x9000 + lists++ * PG;

                memcpy(nv_at(list), &next, 8);
                list = next;
            }
            memcpy(nv_at(list), &iova[i], 8);
            list += 8;
        }
    }
    return c;
}

static void gather(unsigned char *flat, unsigned char **page, uint32_t len, bool out)
{
    for (uint32_t i = 0, at = 0; at < len; i++) {
        uint32_t part = PG - (uint32_t)((uintptr_t)page[i] % PG);

        part = part < len - at ? part : len - at;
        memcpy(out ? page[i] : flat + at, out ? flat + at : page[i], part);
        at += part;
    }
}

static void pages(void **state)
{
    static unsigned char disk[1 << 20], flat[NV_MAX_BYTES], before[BYTES];

    (void)state;
    srand(7);
    nv_open("nvme,size=1M");
    nv_enable();
    nv_pair(1);
    for (unsigned i = 0; i < 1000; i++) {
        uint32_t count = 1 + (uint32_t)rand() % (i % 3 == 0 ? 256 : 24), len = count * 512;
        uint64_t first = (uint64_t)rand() % (2048 - count);
        unsigned char *page[40];
        bool write = rand() % 2 != 0;
        struct nv_command c =
            CMD(write ? WRITE : READ, .nsid = 1, .dw10 = (uint32_t)first, .dw12 = count - 1);

        for (unsigned k = 0; k < 40; k++) {
            page[k] = rig.mem;
        }
        c = scatter(c, len, page);
        if (write) {
            for (uint32_t k = 0; k < len; k++) {
                flat[k] = (unsigned char)rand();
            }
            gather(flat, page, len, true);
            memcpy(disk + first * 512, flat, len);
        }
        memcpy(before + DATA, rig.mem + DATA, BYTES - DATA);
        assert_int_equal(nv_do(1, c), 0);
        if (!write) {
            gather(flat, page, len, false);
            assert_memory_equal(flat, disk + first * 512, len);
            /* and nothing else was written */
            for (uint32_t k = 0, at = 0; at < len; k++) {
                uint32_t part = PG - (uint32_t)((uintptr_t)page[k] % PG);

                part = part < len - at ? part : len - at;
                memcpy(before + (page[k] - rig.mem), page[k], part);
                at += part;
            }
        }
        assert_memory_equal(before + DATA, rig.mem + DATA, BYTES - DATA);
    }
    nv_close();
}

static void bad_pages(void **state)
{
    uint64_t *list;

    (void)state;
    nv_open("nvme,size=1M");
    nv_enable();
    nv_pair(1);
    list = nv_at(IOVA + 0x8000);
#define RD(blocks, ...) nv_do(1, CMD(READ, .nsid = 1, .dw12 = (blocks)-1, __VA_ARGS__))
    assert_int_equal(RD(8, .prp1 = IOVA + DATA + 2), NV_PRP_OFFSET);
    assert_int_equal(RD(16, .prp1 = IOVA + DATA, .prp2 = IOVA + DATA + 4), NV_PRP_OFFSET);
    assert_int_equal(RD(24, .prp1 = IOVA + DATA, .prp2 = IOVA + 0x8004), NV_PRP_OFFSET);
    list[0] = IOVA + DATA + PG;
    list[1] = IOVA + DATA + PG + 512;
    assert_int_equal(RD(24, .prp1 = IOVA + DATA, .prp2 = IOVA + 0x8000), NV_PRP_OFFSET);
    list[511] = IOVA + 0x9008;
    assert_int_equal(RD(24, .prp1 = IOVA + DATA, .prp2 = IOVA + 0x8ff8), NV_PRP_OFFSET);
    assert_int_equal(RD(24, .prp1 = IOVA + DATA, .prp2 = IOVA + BYTES), NV_DATA_TRANSFER);
    list[1] = IOVA + BYTES;
    assert_int_equal(RD(24, .prp1 = IOVA + DATA, .prp2 = IOVA + 0x8000), NV_DATA_TRANSFER);
    assert_int_equal(RD(8, .prp1 = IOVA + BYTES - 8, .prp2 = IOVA), 0);
    assert_int_equal(RD(8, .prp1 = 0), NV_DATA_TRANSFER);
    nv_close();
}

static void commands(void **state)
{
    unsigned char *p;
    uint64_t *range;

    (void)state;
    nv_open("nvme,size=1M");
    nv_enable();
    nv_pair(1);
    p = nv_at(IOVA + DATA);
    range = nv_at(IOVA + 0x8000);
#define IO(op, lba, blocks)                                                             \
    nv_do(1, CMD(op, .nsid = 1, .dw10 = (lba), .dw12 = (blocks)-1, .prp1 = IOVA + DATA, \
                 .prp2 = IOVA + DATA + PG))
    memset(p, 0x77, 2 * PG);
    assert_int_equal(IO(WRITE, 10, 16), 0);
    assert_int_equal(IO(COMPARE, 10, 16), 0);
    p[5000] ^= 1;
    assert_int_equal(IO(COMPARE, 10, 16), NV_COMPARE);
    assert_int_equal(IO(ZEROES, 12, 2), 0);
    assert_int_equal(IO(READ, 10, 16), 0);
    for (unsigned i = 0; i < 2 * PG; i++) {
        assert_int_equal(p[i], i >= 1024 && i < 2048 ? 0 : 0x77);
    }
    range[0] = 3ull << 32;
    range[1] = 20;
    range[2] = 1ull << 32;
    range[3] = 10;
    assert_int_equal(nv_do(1, CMD(DATASET, .nsid = 1, .dw10 = 1, .dw11 = 0, .prp1 = IOVA + 0x8000)),
                     0);
    assert_int_equal(nv_do(1, CMD(DATASET, .nsid = 1, .dw10 = 1, .dw11 = 4, .prp1 = IOVA + 0x8000)),
                     0);
    assert_int_equal(IO(READ, 10, 16), 0);
    for (unsigned i = 0; i < 16; i++) {
        bool zero = i == 0 || i == 2 || i == 3 || (i >= 10 && i < 13);

        assert_int_equal(p[i * 512], zero ? 0 : 0x77);
    }
    range[2] = 2ull << 32;
    range[3] = 2047;
    assert_int_equal(nv_do(1, CMD(DATASET, .nsid = 1, .dw10 = 1, .dw11 = 4, .prp1 = IOVA + 0x8000)),
                     NV_LBA_RANGE);
    assert_int_equal(IO(READ, 2040, 8), 0);
    assert_int_equal(IO(READ, 2041, 8), NV_LBA_RANGE);
    assert_int_equal(IO(WRITE, 2048, 1), NV_LBA_RANGE);
    assert_int_equal(IO(ZEROES, 2047, 2), NV_LBA_RANGE);
    assert_int_equal(nv_do(1, CMD(READ, .nsid = 1, .dw11 = 0x80000000)), NV_LBA_RANGE);
    assert_int_equal(IO(READ, 0, 257), NV_INVALID_FIELD);
    assert_int_equal(nv_do(1, CMD(READ, .nsid = 2)), NV_INVALID_NS);
    assert_int_equal(nv_do(1, CMD(FLUSH, .nsid = UINT32_MAX)), 0);
    assert_int_equal(nv_do(1, CMD(0x44, .nsid = 1)), NV_INVALID_OPCODE);
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 6, .dw11 = 0)), 0);
    assert_int_equal(nv_do(0, CMD(GET, .dw10 = 6)), 0);
    assert_int_equal(rig.last.result, 0);
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 1u << 31 | 6)), NV_NOT_SAVEABLE);
    assert_int_equal(nv_do(0, CMD(SET, .dw10 = 0x7f)), NV_INVALID_FIELD);
    assert_int_equal(nv_do(0, CMD(GET_LOG, .dw10 = 127u << 16 | 2, .prp1 = IOVA + DATA)), 0);
    assert_int_equal(field(p + 64, 8), 3); /* reads that were done */
    assert_int_equal(nv_do(0, CMD(GET_LOG, .dw10 = 0x77)), NV_LOG_PAGE);
    nv_close();
}

/* A doorbell that there is not, a value that cannot be: told once, until the log was read (5.2). */
static void events(void **state)
{
    const unsigned char *p;

    (void)state;
    nv_open("nvme,size=1M");
    nv_enable();
    uint16_t cid = rig.cid;

    nv_submit(0, CMD(EVENT, .nsid = 0));
    nv_submit(0, CMD(EVENT, .nsid = 0));
    assert_int_equal(nv_reap(0), -1);
    nv_put(NV_DOORBELLS + 8 * 5, 1, 4);
    assert_int_equal(nv_reap(0), 0);
    assert_int_equal(rig.last.result, 1u << 16);
    assert_int_equal(rig.last.cid, cid + 1);
    nv_put(NV_DOORBELLS, DEPTH, 4); /* quiet, and without effect */
    assert_int_equal(nv_reap(0), -1);
    nv_put(NV_DOORBELLS, rig.tail[0], 4);
    p = nv_at(IOVA + DATA);
    nv_submit(0, CMD(GET_LOG, .dw10 = 127u << 16 | 1, .prp1 = IOVA + DATA));
    assert_int_equal(nv_reap(0), 0);
    assert_int_equal(field(p, 8), 2);
    assert_int_equal(field(p + 64 + 8, 2), 5);
    assert_int_equal(nv_reap(0), 0); /* the second event, now that the first was looked at */
    assert_int_equal(rig.last.result, 1u << 16 | 1u << 8);
    nv_put(NV_DOORBELLS + 4, DEPTH - 1, 4); /* a head beyond what was posted */
    nv_put(NV_DOORBELLS + 4, rig.head[0], 4);
    for (unsigned i = 0; i < NV_EVENTS; i++) {
        nv_submit(0, CMD(EVENT, .nsid = 0));
    }
    assert_int_equal(nv_do(0, CMD(EVENT, .nsid = 0)), NV_EVENT_LIMIT);
    cid = (uint16_t)(rig.cid - 2);
    nv_submit(0, CMD(ABORT, .dw10 = (uint32_t)cid << 16));
    assert_int_equal(nv_reap(0), 0);
    assert_int_equal(rig.last.result, 0);
    assert_int_equal(nv_reap(0), NV_ABORTED);
    assert_int_equal(rig.last.cid, cid);
    assert_int_equal(nv_do(0, CMD(ABORT, .dw10 = 0x77770000)), 0);
    assert_int_equal(rig.last.result, 1);
    nv_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers), cmocka_unit_test(identify),  cmocka_unit_test(queues),
        cmocka_unit_test(pages),     cmocka_unit_test(bad_pages), cmocka_unit_test(commands),
        cmocka_unit_test(events),
    };

    return cmocka_run_group_tests_name("nvme", tests, lib_setup, NULL);
}
