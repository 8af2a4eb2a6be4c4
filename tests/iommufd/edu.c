/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A user-space driver of the `edu` device, and ways to get it wrong, one a name: run under
 * `tenon-iommufd run --device edu` by tools/test-iommufd. Exit 0: it saw what it should.
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
#include <sys/wait.h>
#include <unistd.h>

#include "iommufd/uapi.h"
#include "iommufd/vfio_uapi.h"

#define IOVA   0x100000ull
#define BUFFER 0x40000u

#define CHECK(what)                                                                  \
    do {                                                                             \
        if (!(what)) {                                                               \
            fprintf(stderr, "edu.c:%d: %s: %s\n", __LINE__, #what, strerror(errno)); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static int iommu, dev;
static uint32_t ioas, dev_id;

static void setup(void)
{
    struct u_ioas_alloc a = { .size = sizeof(a) };
    struct v_bind b = { .argsz = sizeof(b) };

    iommu = open("/dev/iommu", O_RDWR | O_CLOEXEC);
    CHECK(iommu >= 0);
    dev = open("/dev/vfio/devices/vfio0", O_RDWR | O_CLOEXEC);
    CHECK(dev >= 0);
    CHECK(ioctl(iommu, U_IO(U_IOAS_ALLOC), &a) == 0);
    ioas = a.out_ioas_id;
    b.iommufd = iommu;
    CHECK(ioctl(dev, U_IO(V_DEVICE_BIND), &b) == 0);
    dev_id = b.out_devid;
}

static void attach(uint32_t pt, uint32_t pasid)
{
    struct v_attach a = { .argsz = sizeof(a), .flags = pasid != 0, .pt_id = pt, .pasid = pasid };

    CHECK(ioctl(dev, U_IO(V_DEVICE_ATTACH), &a) == 0);
}

__attribute__((noinline)) static void map_it(void *va, uint64_t len, uint64_t iova, uint32_t flags)
{
    struct u_ioas_map m = { .size = sizeof(m),
                            .flags = U_MAP_FIXED | flags,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    CHECK(ioctl(iommu, U_IO(U_IOAS_MAP), &m) == 0);
}

__attribute__((noinline)) static void unmap_it(uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap m = { .size = sizeof(m), .ioas_id = ioas, .iova = iova, .length = len };

    CHECK(ioctl(iommu, U_IO(U_IOAS_UNMAP), &m) == 0);
}

static void reg_write(uint64_t off, uint64_t v)
{
    CHECK(pwrite(dev, &v, off < 0x80 ? 4 : 8, (off_t)off) == (off < 0x80 ? 4 : 8));
}

static uint64_t reg_read(uint64_t off)
{
    uint64_t v = 0;

    CHECK(pread(dev, &v, 8, (off_t)off) == 8);
    return v;
}

static void start(uint64_t iova, uint64_t len, int to_memory, int irq)
{
    reg_write(0x80, to_memory ? BUFFER : iova);
    reg_write(0x88, to_memory ? iova : BUFFER);
    reg_write(0x90, len);
    reg_write(0x98, 1u | (to_memory ? 2u : 0) | (irq ? 4u : 0));
}

/* True: done; false: the device's access was aborted. */
static int finish(void)
{
    while ((reg_read(0x98) & 1) != 0) {
        usleep(100);
    }
    return (reg_read(0x98) & 8) == 0;
}

static unsigned char *memory(uint64_t len)
{
    unsigned char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    return p;
}

static void copy_works(unsigned char *p)
{
    for (unsigned i = 0; i < 3000; i++) {
        p[i] = (unsigned char)(i * 7);
    }
    start(IOVA + 100, 2000, 0, 0);
    CHECK(finish());
    start(IOVA + 4090, 2000, 1, 0); /* across a page */
    CHECK(finish());
    CHECK(memcmp(p + 100, p + 4090, 2000) == 0);
}

static void right(void)
{
    unsigned char *p = memory(16384);
    struct v_irq_set *s = calloc(1, sizeof(*s) + 4);
    int fd = eventfd(0, EFD_CLOEXEC);
    struct pollfd w = { fd, POLLIN, 0 };

    CHECK(reg_read(0) == 0x010000edu);
    reg_write(4, 0x12345678);
    CHECK(reg_read(0) >> 32 == (uint32_t)~0x12345678u);
    attach(ioas, 0);
    map_it(p, 16384, IOVA, U_MAP_READ | U_MAP_WRITE);
    copy_works(p);
    *s = (struct v_irq_set){ sizeof(*s) + 4, V_SET_EVENTFD | V_SET_TRIGGER, 1, 0, 1 };
    memcpy(s + 1, &fd, 4);
    CHECK(ioctl(dev, U_IO(V_DEVICE_SET_IRQS), s) == 0);
    start(IOVA, 4096, 1, 1);
    CHECK(poll(&w, 1, 5000) == 1);
    CHECK(reg_read(0x20) >> 32 == 0x100);
    /* A child sees the same device, and its end takes nothing away. */
    pid_t child = fork();

    if (child == 0) {
        start(IOVA, 64, 0, 0);
        _exit(finish() ? 0 : 1);
    }
    int status;

    CHECK(waitpid(child, &status, 0) == child && status == 0);
    copy_works(p);
    free(s);
}

static void pasid(void)
{
    unsigned char *p = memory(4096);
    struct u_hwpt_alloc rid = { .size = sizeof(rid), .flags = U_HWPT_PASID, .pt_id = ioas };
    struct u_ioas_alloc other = { .size = sizeof(other) };
    struct u_hwpt_alloc h;

    rid.dev_id = dev_id;
    CHECK(ioctl(iommu, U_IO(U_HWPT_ALLOC), &rid) == 0);
    CHECK(ioctl(iommu, U_IO(U_IOAS_ALLOC), &other) == 0);
    attach(rid.out_hwpt_id, 0);
    h = (struct u_hwpt_alloc){
        .size = sizeof(h), .flags = U_HWPT_PASID, .dev_id = dev_id, .pt_id = other.out_ioas_id
    };
    CHECK(ioctl(iommu, U_IO(U_HWPT_ALLOC), &h) == 0);
    attach(h.out_hwpt_id, 77);
    ioas = other.out_ioas_id;
    map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
    reg_write(0xa0, 77);
    start(IOVA, 128, 1, 0);
    CHECK(finish());
    reg_write(0xa0, 0); /* the device itself has nothing there */
    start(IOVA, 128, 1, 0);
    CHECK(!finish());
}

static void after_unmap(void)
{
    unsigned char *p = memory(8192);

    attach(ioas, 0);
    map_it(p, 8192, IOVA, U_MAP_READ | U_MAP_WRITE);
    start(IOVA, 16, 1, 0);
    CHECK(finish());
    unmap_it(IOVA, 8192);
    start(IOVA + 4096, 16, 1, 0);
    CHECK(!finish());
}

/* The unmap comes between the doorbell and the DMA. */
static void race(void)
{
    unsigned char *p = memory(4096);

    attach(ioas, 0);
    map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
    start(IOVA, 16, 1, 0);
    unmap_it(IOVA, 4096);
    CHECK(!finish());
}

static void past_end(void)
{
    unsigned char *p = memory(4096);

    attach(ioas, 0);
    map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
    start(IOVA + 4000, 200, 1, 0);
    CHECK(!finish());
}

static void read_only(void)
{
    unsigned char *p = memory(4096);

    attach(ioas, 0);
    map_it(p, 4096, IOVA, U_MAP_READ);
    start(IOVA, 16, 0, 0);
    CHECK(finish());
    start(IOVA, 16, 1, 0);
    CHECK(!finish());
}

static void never(void)
{
    attach(ioas, 0);
    start(IOVA, 16, 0, 0);
    CHECK(!finish());
}

static void detached(void)
{
    struct v_detach d = { .argsz = sizeof(d) };
    unsigned char *p = memory(4096);

    attach(ioas, 0);
    map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
    CHECK(ioctl(dev, U_IO(V_DEVICE_DETACH), &d) == 0);
    start(IOVA, 16, 0, 0);
    CHECK(!finish());
}

static void freed(void)
{
    unsigned char *p = memory(4096);

    attach(ioas, 0);
    map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
    munmap(p, 4096);
    start(IOVA, 16, 1, 0);
    CHECK(!finish());
}

/* A device that asks for a page gets it, and goes on. */
static void page_request(void)
{
    unsigned char *p = memory(4096);
    struct u_fault_alloc f = { .size = sizeof(f) };
    struct u_hwpt_alloc h = { .size = sizeof(h), .flags = U_HWPT_FAULT_ID_VALID, .pt_id = ioas };
    struct u_pgfault got;

    CHECK(ioctl(iommu, U_IO(U_FAULT_QUEUE_ALLOC), &f) == 0);
    h.dev_id = dev_id;
    h.fault_id = f.out_fault_id;
    CHECK(ioctl(iommu, U_IO(U_HWPT_ALLOC), &h) == 0);
    attach(h.out_hwpt_id, 0);
    for (int i = 0; i < 2; i++) {
        struct pollfd w = { (int)f.out_fault_fd, POLLIN, 0 };
        struct u_page_response r = { .code = i == 0 ? U_RESP_SUCCESS : U_RESP_INVALID };

        start(IOVA + (uint64_t)i * 4096, 16, 1, 0);
        CHECK(poll(&w, 1, 5000) == 1);
        CHECK(read(w.fd, &got, sizeof(got)) == (ssize_t)sizeof(got));
        CHECK(got.addr == IOVA + (uint64_t)i * 4096 && got.perm == U_PGFAULT_WRITE);
        CHECK(poll(&w, 1, 0) == 0);
        if (i == 0) {
            map_it(p, 4096, IOVA, U_MAP_READ | U_MAP_WRITE);
        }
        r.cookie = got.cookie;
        CHECK(write(w.fd, &r, sizeof(r)) == (ssize_t)sizeof(r));
        CHECK(finish() == (i == 0));
    }
}

/* Nobody answers: the device gives up, and what is said later is heard by nobody. */
static void unanswered(void)
{
    struct u_fault_alloc f = { .size = sizeof(f) };
    struct u_hwpt_alloc h = { .size = sizeof(h), .flags = U_HWPT_FAULT_ID_VALID, .pt_id = ioas };
    struct u_page_response r = { .code = U_RESP_SUCCESS };
    struct u_pgfault got;

    CHECK(ioctl(iommu, U_IO(U_FAULT_QUEUE_ALLOC), &f) == 0);
    h.dev_id = dev_id;
    h.fault_id = f.out_fault_id;
    CHECK(ioctl(iommu, U_IO(U_HWPT_ALLOC), &h) == 0);
    attach(h.out_hwpt_id, 0);
    start(IOVA, 16, 1, 0);
    CHECK(!finish());
    CHECK(read((int)f.out_fault_fd, &got, sizeof(got)) == (ssize_t)sizeof(got));
    r.cookie = got.cookie;
    CHECK(write((int)f.out_fault_fd, &r, sizeof(r)) == (ssize_t)sizeof(r));
    CHECK(!finish());
}

/* The n-th allocation fails, and nothing else does. */
static void nth(void)
{
    struct u_ioas_alloc a = { .size = sizeof(a) };

    for (int i = 2; i < 6; i++) {
        int ret = ioctl(iommu, U_IO(U_IOAS_ALLOC), &a);

        CHECK(i == 3 ? ret == -1 && errno == ENOMEM : ret == 0);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } mode[] = {
        { "right", right },
        { "pasid", pasid },
        { "after-unmap", after_unmap },
        { "race", race },
        { "past-end", past_end },
        { "read-only", read_only },
        { "never", never },
        { "detached", detached },
        { "freed", freed },
        { "page-request", page_request },
        { "unanswered", unanswered },
        { "nth", nth },
    };

    for (size_t i = 0; argc == 2 && i < sizeof(mode) / sizeof(mode[0]); i++) {
        if (strcmp(argv[1], mode[i].name) == 0) {
            setup();
            mode[i].fn();
            return 0;
        }
    }
    fprintf(stderr, "usage: edu MODE\n");
    return 2;
}
