/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What calls cost a client. Run by `make bench-iommufd` under each way in; prints NAME VALUE UNIT
 * lines. The direct system call is measured in the same run.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "iommufd/uapi.h"
#include "iommufd/vfio_uapi.h"

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static int fd, dev;
static uint32_t ioas;

static void map_it(void *va, uint64_t len, uint64_t iova)
{
    struct u_ioas_map m = { .size = sizeof(m),
                            .flags = U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    must(ioctl(fd, U_IO(U_IOAS_MAP), &m) == 0, "map");
}

static void unmap_it(uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap m = { .size = sizeof(m), .ioas_id = ioas, .iova = iova, .length = len };

    must(ioctl(fd, U_IO(U_IOAS_UNMAP), &m) == 0, "unmap");
}

static void calls(void)
{
    enum { N = 20000 };
    struct u_destroy d = { sizeof(d), 0 };
    double t = now();

    for (int i = 0; i < N; i++) {
        (void)syscall(SYS_getppid);
    }
    printf("direct-system-call %.0f ns\n", (now() - t) / N * 1e9);
    t = now();
    for (int i = 0; i < N; i++) {
        (void)ioctl(fd, U_IO(U_DESTROY), &d);
    }
    printf("smallest-ioctl %.0f ns\n", (now() - t) / N * 1e9);
    t = now();
    int null = open("/dev/null", O_RDONLY);

    for (int i = 0; i < N; i++) {
        (void)!read(null, &d, sizeof(d));
    }
    printf("read-of-another-file %.0f ns\n", (now() - t) / N * 1e9);
    close(null);
}

static void pages(unsigned char *p)
{
    enum { N = 5000 };
    double t = now();

    for (uint64_t i = 0; i < N; i++) {
        map_it(p + (i % 512) * 4096, 4096, (i + 256) << 12);
    }
    printf("map-4k %.2f us\n", (now() - t) / N * 1e6);
    t = now();
    for (uint64_t i = 0; i < N; i++) {
        unmap_it((i + 256) << 12, 4096);
    }
    printf("unmap-4k %.2f us\n", (now() - t) / N * 1e6);
}

/* 2m: memory and addresses agree in 2 MiB and no more. */
static void gib(unsigned char *p, const char *leaves)
{
    int small = strcmp(leaves, "4k") == 0;
    uint64_t iova = (4ull << 30) + (uintptr_t)p % (1ull << 30) + (2u << 20);

    const uint64_t len = 1ull << 30;
    struct u_option o = { .size = sizeof(o),
                          .option_id = U_OPTION_HUGE_PAGES,
                          .op = U_OPTION_SET,
                          .object_id = ioas,
                          .val64 = small ? 0 : 1 };

    must(ioctl(fd, U_IO(U_OPTION), &o) == 0, "option");
    double t = now();

    map_it(p, len, iova);
    printf("map-1g-%s-leaves %.2f ms\n", leaves, (now() - t) * 1e3);
    t = now();
    unmap_it(iova, len);
    printf("unmap-1g-%s-leaves %.2f ms\n", leaves, (now() - t) * 1e3);
}

static void dma(unsigned char *p)
{
    enum { N = 2000 };
    const uint64_t reg[4][2] = {
        { 0x80, 0x40000 }, { 0x88, 1 << 20 }, { 0x90, 4096 }, { 0x98, 3 }
    };
    double t;

    map_it(p, 1 << 20, 1 << 20);
    for (int i = 0; i < 3; i++) {
        must(pwrite(dev, &reg[i][1], 8, (off_t)reg[i][0]) == 8, "register");
    }
    t = now();
    for (int i = 0; i < N; i++) {
        must(pwrite(dev, &reg[3][1], 8, (off_t)reg[3][0]) == 8, "doorbell");
    }
    printf("doorbell-and-4k-dma %.2f us\n", (now() - t) / N * 1e6);
    unmap_it(1 << 20, 1 << 20);
}

int main(void)
{
    struct u_ioas_alloc a = { .size = sizeof(a) };
    struct v_bind b = { .argsz = sizeof(b) };
    struct v_attach at = { .argsz = sizeof(at) };
    /* Aligned to 2 MiB, so that large leaves are possible. */
    unsigned char *p = mmap(NULL, (1ull << 30) + (2 << 20), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    must(p != MAP_FAILED, "memory");
    p += (2 << 20) - ((uintptr_t)p & ((2 << 20) - 1));
    fd = open("/dev/iommu", O_RDWR);
    dev = open("/dev/vfio/devices/vfio0", O_RDWR);
    must(fd >= 0 && dev >= 0, "run me under tenon-iommufd run --device edu");
    must(ioctl(fd, U_IO(U_IOAS_ALLOC), &a) == 0, "ioas");
    ioas = a.out_ioas_id;
    b.iommufd = fd;
    at.pt_id = ioas;
    must(ioctl(dev, U_IO(V_DEVICE_BIND), &b) == 0, "bind");
    must(ioctl(dev, U_IO(V_DEVICE_ATTACH), &at) == 0, "attach");
    calls();
    pages(p);
    gib(p, "2m"); /* the first of all: what is asked of the kernel for the first time */
    gib(p, "2m");
    gib(p, "4k");
    gib(p, "4k");
    dma(p);
    return 0;
}
