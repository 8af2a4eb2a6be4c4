/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user-space driver of the NVMe controller, and ways to get it wrong, one a name: run under
 * `tenon-iommufd run --device nvme` by tools/test-iommufd. Exit 0: it saw what it should.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/uapi.h"
#include "iommufd/vfio_uapi.h"

#define IOVA  0x100000ull
#define PAGE  4096u
#define DEPTH 8u
#define QDATA (8u * PAGE) /* in the memory: below it the queues and the list */
#define BYTES (64u * PAGE)

#define CHECK(what)                                                                   \
    do {                                                                              \
        if (!(what)) {                                                                \
            fprintf(stderr, "nvme.c:%d: %s: %s\n", __LINE__, #what, strerror(errno)); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

struct command {
    uint8_t opcode, flags;
    uint16_t cid;
    uint32_t nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t dw[6];
};
struct completion {
    uint32_t result, reserved;
    uint16_t head, sq, cid, status;
};

static int iommu, dev, irq;
static uint32_t ioas, dev_id;
static volatile unsigned char *bar; /* NULL: by pread and pwrite */
static unsigned char *mem;
static unsigned tail[2], head[2], phase[2], cid;

/* ---- finding it: by its own node, or by its group ---- */

static void open_node(void)
{
    struct u_ioas_alloc a = { .size = sizeof(a) };
    struct v_bind b = { .argsz = sizeof(b) };

    iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    dev = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
    CHECK(iommu >= 0 && dev >= 0);
    CHECK(ioctl(iommu, U_IO(U_IOAS_ALLOC), &a) == 0);
    ioas = a.out_ioas_id;
    b.iommufd = iommu;
    CHECK(ioctl(dev, U_IO(V_DEVICE_BIND), &b) == 0);
    dev_id = b.out_devid;
}

static void attach(uint32_t pt)
{
    struct v_attach a = { .argsz = sizeof(a), .pt_id = pt };

    CHECK(ioctl(dev, U_IO(V_DEVICE_ATTACH), &a) == 0);
}

static void open_group(void)
{
    int group = open("/dev/vfio/0", O_RDWR | O_CLOEXEC);

    iommu = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
    CHECK(group >= 0 && iommu >= 0);
    CHECK(ioctl(group, U_IO(V_GROUP_SET_CONTAINER), &iommu) == 0);
    CHECK(ioctl(iommu, U_IO(V_SET_IOMMU), V_TYPE1V2) == 0);
    dev = ioctl(group, U_IO(V_GROUP_GET_DEVICE_FD), "0000:00:01.0");
    CHECK(dev >= 0);
    close(group);
}

static unsigned char *memory(uint64_t len)
{
    unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

__attribute__((noinline)) static void map_it(void *va, uint64_t len, uint64_t iova)
{
    struct u_ioas_map m = { .size = sizeof(m),
                            .flags = U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    CHECK(ioctl(iommu, U_IO(U_IOAS_MAP), &m) == 0);
}

static void map_dma(void *va, uint64_t len, uint64_t iova)
{
    struct v_dma_map m = { .argsz = sizeof(m),
                           .flags = V_MAP_READ | V_MAP_WRITE,
                           .vaddr = (uint64_t)(uintptr_t)va,
                           .iova = iova,
                           .size = len };

    CHECK(ioctl(iommu, U_IO(V_IOMMU_MAP_DMA), &m) == 0);
}

__attribute__((noinline)) static void unmap_it(uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap m = { .size = sizeof(m), .ioas_id = ioas, .iova = iova, .length = len };

    CHECK(ioctl(iommu, U_IO(U_IOAS_UNMAP), &m) == 0);
}

/* ---- registers and queues ---- */

static uint32_t reg(uint32_t off)
{
    uint32_t v;

    if (bar != NULL) {
        return __atomic_load_n((volatile uint32_t *)(bar + off), __ATOMIC_ACQUIRE);
    }
    CHECK(pread(dev, &v, 4, off) == 4);
    return v;
}

static void put(uint32_t off, uint32_t v)
{
    if (bar != NULL) {
        __atomic_store_n((volatile uint32_t *)(bar + off), v, __ATOMIC_RELEASE);
    } else {
        CHECK(pwrite(dev, &v, 4, off) == 4);
    }
}

static void map_bar(void)
{
    struct v_region_info r = { .argsz = sizeof(r), .index = 0 };

    CHECK(ioctl(dev, U_IO(V_DEVICE_GET_REGION_INFO), &r) == 0);
    CHECK((r.flags & V_REGION_MMAP) != 0);
    bar = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev, (off_t)r.offset);
    CHECK(bar != MAP_FAILED);
}

static int wait_for(uint32_t want)
{
    for (int i = 0; i < 50000; i++) {
        if ((reg(0x1c) & 3) == want) {
            return 1;
        }
        usleep(100);
    }
    return 0;
}

static void master(void)
{
    uint16_t command = 6;

    CHECK(pwrite(dev, &command, 2, (off_t)((uint64_t)V_CONFIG << V_REGION_SHIFT | 4)) == 2);
}

static void enable(void)
{
    struct v_irq_set *s = calloc(1, sizeof(*s) + 8);
    int fds[2];

    irq = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    fds[0] = fds[1] = irq;
    *s = (struct v_irq_set){ sizeof(*s) + 8, V_SET_EVENTFD | V_SET_TRIGGER, V_MSIX, 0, 2 };
    memcpy(s + 1, fds, 8);
    CHECK(ioctl(dev, U_IO(V_DEVICE_SET_IRQS), s) == 0);
    free(s);
    CHECK((reg(0x08) >> 16) == 1 && (reg(0x04) >> 5 & 1) == 1);
    put(0x14, 0);
    CHECK(wait_for(0));
    put(0x24, (DEPTH - 1) << 16 | (DEPTH - 1));
    put(0x28, (uint32_t)IOVA);
    put(0x2c, 0);
    put(0x30, (uint32_t)IOVA + PAGE);
    put(0x34, 0);
    put(0x14, 4 << 20 | 6 << 16 | 1);
    CHECK(wait_for(1));
    phase[0] = phase[1] = 1;
}

static void submit(unsigned q, struct command c)
{
    c.cid = (uint16_t)cid++;
    memcpy(mem + 2 * q * PAGE + tail[q] * sizeof(c), &c, sizeof(c));
    tail[q] = (tail[q] + 1) % DEPTH;
    put(0x1000 + 8 * q, tail[q]);
}

/* By interrupt: the status, or -1 after five seconds. */
static int reap(unsigned q)
{
    volatile struct completion *c =
        (volatile struct completion *)(void *)(mem + (2 * q + 1) * PAGE) + head[q];
    struct pollfd p = { irq, POLLIN, 0 };
    uint64_t n;
    int status;

    for (;;) {
        status = __atomic_load_n(&c->status, __ATOMIC_ACQUIRE);
        if ((status & 1) == (int)phase[q]) {
            break;
        }
        if (poll(&p, 1, 5000) != 1) {
            return -1;
        }
        CHECK(read(irq, &n, sizeof(n)) == (ssize_t)sizeof(n));
    }
    head[q] = (head[q] + 1) % DEPTH;
    phase[q] ^= head[q] == 0;
    put(0x1000 + 8 * q + 4, head[q]);
    return status >> 1 & 0x7ff;
}

static int do_it(unsigned q, struct command c)
{
    submit(q, c);
    return reap(q);
}

static void pair(void)
{
    struct command cq = { .opcode = 5, .prp1 = IOVA + 3 * PAGE };
    struct command sq = { .opcode = 1, .prp1 = IOVA + 2 * PAGE };

    cq.dw[0] = sq.dw[0] = (DEPTH - 1) << 16 | 1;
    cq.dw[1] = 1 << 16 | 3;
    sq.dw[1] = 1 << 16 | 1;
    CHECK(do_it(0, cq) == 0 && do_it(0, sq) == 0);
}

static struct command io(unsigned opcode, uint32_t lba, uint32_t blocks, uint64_t prp1,
                         uint64_t prp2)
{
    return (struct command){ .opcode = (uint8_t)opcode,
                             .nsid = 1,
                             .prp1 = prp1,
                             .prp2 = prp2,
                             .dw = { lba, 0, blocks - 1, 0, 0, 0 } };
}

static void begin(void)
{
    open_node();
    attach(ioas);
    mem = memory(BYTES);
    map_it(mem, BYTES, IOVA);
    master();
    enable();
    pair();
}

/* 128 KiB there and back through lists, and a lot of small ones, as deep as the queue. */
static void transfers(void)
{
    unsigned char *data = mem + QDATA;
    uint64_t *list = (uint64_t *)(void *)(mem + 4 * PAGE);

    for (unsigned i = 0; i < 31; i++) {
        list[i] = IOVA + QDATA + (i + 1) * PAGE;
    }
    for (unsigned i = 0; i < 32 * PAGE; i++) {
        data[i] = (unsigned char)(i * 13 + i / PAGE);
    }
    CHECK(do_it(1, io(1, 100, 256, IOVA + QDATA, IOVA + 4 * PAGE)) == 0);
    memset(data, 0, 32 * PAGE);
    CHECK(do_it(1, io(2, 100, 256, IOVA + QDATA, IOVA + 4 * PAGE)) == 0);
    for (unsigned i = 0; i < 32 * PAGE; i++) {
        CHECK(data[i] == (unsigned char)(i * 13 + i / PAGE));
    }
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < DEPTH - 1; k++) {
            submit(1, io(2, 100 + k * 8, 8, IOVA + QDATA + (40 + k) * PAGE, 0));
        }
        for (unsigned k = 0; k < DEPTH - 1; k++) {
            CHECK(reap(1) == 0);
        }
    }
    CHECK(memcmp(mem + QDATA + 40 * PAGE, data, (DEPTH - 1) * PAGE) == 0);
}

static void registers(void)
{
    begin();
    transfers();
    CHECK(ioctl(dev, U_IO(V_DEVICE_RESET)) == 0);
    CHECK(reg(0x1c) == 0 && reg(0x28) == 0);
}

static void mapped(void)
{
    open_node();
    map_bar();
    close(dev);
    close(iommu);
    munmap((void *)(uintptr_t)bar, 2 * PAGE);
    open_node();
    map_bar();
    attach(ioas);
    mem = memory(BYTES);
    map_it(mem, BYTES, IOVA);
    master();
    enable();
    pair();
    transfers();
    sleep(1); /* it is looked at more seldom by now, but it is */
    CHECK(do_it(1, io(0, 0, 1, 0, 0)) == 0);
}

static void group(void)
{
    open_group();
    map_bar();
    mem = memory(BYTES);
    map_dma(mem, BYTES, IOVA);
    master();
    enable();
    pair();
    transfers();
}

static void bad_prp(void)
{
    begin();
    CHECK(do_it(1, io(2, 0, 16, IOVA + QDATA, IOVA + BYTES)) == 4);
    CHECK(do_it(1, io(2, 0, 8, IOVA + QDATA, 0)) == 0);
}

static void bad_list(void)
{
    begin();
    CHECK(do_it(1, io(2, 0, 24, IOVA + QDATA, 0x7000000)) == 4);
}

/* The memory goes while the command is under way. */
static void unmap(void)
{
    unsigned char *p;

    begin();
    p = memory(2 * PAGE);
    map_it(p, 2 * PAGE, 2 * IOVA);
    CHECK(do_it(1, io(2, 0, 16, 2 * IOVA, 2 * IOVA + PAGE)) == 0);
    submit(1, io(2, 0, 16, 2 * IOVA, 2 * IOVA + PAGE));
    unmap_it(2 * IOVA, 2 * PAGE);
    CHECK(reap(1) == 4);
}

static void queue_gone(void)
{
    begin();
    unmap_it(IOVA, BYTES);
    submit(1, io(0, 0, 1, 0, 0));
    CHECK(wait_for(3)); /* fatal */
}

static void no_master(void)
{
    struct command c = { .opcode = 10, .dw = { 7 } };

    open_node();
    attach(ioas);
    mem = memory(BYTES);
    map_it(mem, BYTES, IOVA);
    enable();
    submit(0, c);
    CHECK(wait_for(3));
}

/* The controller asks for a page of a command's data, and goes on when it is there. */
static void page_request(void)
{
    struct u_fault_alloc f = { .size = sizeof(f) };
    struct u_hwpt_alloc h = { .size = sizeof(h), .flags = U_HWPT_FAULT_ID_VALID };
    struct u_pgfault got;
    unsigned char *p;

    open_node();
    CHECK(ioctl(iommu, U_IO(U_FAULT_QUEUE_ALLOC), &f) == 0);
    h.pt_id = ioas;
    h.dev_id = dev_id;
    h.fault_id = f.out_fault_id;
    CHECK(ioctl(iommu, U_IO(U_HWPT_ALLOC), &h) == 0);
    attach(h.out_hwpt_id);
    mem = memory(BYTES);
    map_it(mem, BYTES, IOVA);
    master();
    enable();
    pair();
    memset(mem + QDATA, 0x42, PAGE);
    CHECK(do_it(1, io(1, 0, 8, IOVA + QDATA, 0)) == 0);
    p = memory(2 * PAGE);
    for (unsigned i = 0; i < 2; i++) {
        struct pollfd w = { (int)f.out_fault_fd, POLLIN, 0 };
        struct u_page_response r = { .code = i == 0 ? U_RESP_SUCCESS : U_RESP_INVALID };

        submit(1, io(2, 0, 8, 2 * IOVA + i * PAGE, 0));
        CHECK(poll(&w, 1, 5000) == 1);
        CHECK(read(w.fd, &got, sizeof(got)) == (ssize_t)sizeof(got));
        CHECK(got.addr == 2 * IOVA + i * PAGE && got.perm == U_PGFAULT_WRITE);
        if (i == 0) {
            map_it(p, PAGE, 2 * IOVA);
        }
        r.cookie = got.cookie;
        CHECK(write(w.fd, &r, sizeof(r)) == (ssize_t)sizeof(r));
        CHECK(reap(1) == (i == 0 ? 0 : 4));
    }
    CHECK(p[0] == 0x42 && p[PAGE - 1] == 0x42 && p[PAGE] == 0);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } mode[] = {
        { "registers", registers },   { "mapped", mapped },       { "group", group },
        { "bad-prp", bad_prp },       { "bad-list", bad_list },   { "unmap", unmap },
        { "queue-gone", queue_gone }, { "no-master", no_master }, { "page-request", page_request },
    };

    for (size_t i = 0; argc == 2 && i < sizeof(mode) / sizeof(mode[0]); i++) {
        if (strcmp(argv[1], mode[i].name) == 0) {
            mode[i].fn();
            return 0;
        }
    }
    fprintf(stderr, "usage: nvme MODE\n");
    return 2;
}
