/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The dispatcher under libFuzzer: the input is a list of calls. Each byte that names a call is followed by
 * the structure, in which ids and pointers are small numbers, so that they often mean something. After
 * each input everything is closed, and no page may be pinned, no table page missing.
 * Built and run by `make fuzz-iommufd`.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "iommufd/iod.h"
#include "iommufd/server.h"
#include "iommufd/test_uapi.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mm *mm;
static unsigned char
    *arena; /* 64 pages: 32 shared, 16 private, 8 read-only, 8 that are not there */
static uint64_t tables;
static int memfd;

static int own_fd(struct call *c, int fd)
{
    int copy = fcntl(fd < 8 ? memfd : fd, F_DUPFD_CLOEXEC, 3);

    (void)c;
    return copy < 0 ? -EBADF : copy;
}

static void setup(void)
{
    if (domains_init(16u << 20, DOMAIN_DEFAULT) != 0) {
        abort();
    }
    selftest_enable(73);
    mm = mm_new(getpid(), getuid());
    arena = mmap(NULL, 64 * PG, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)mmap(arena + 32 * PG, 16 * PG, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mprotect(arena + 48 * PG, 8 * PG, PROT_READ);
    munmap(arena + 56 * PG, 8 * PG);
    memfd = memfd_create("fuzz", MFD_CLOEXEC);
    if (memfd < 0 || ftruncate(memfd, 16 * PG) != 0) {
        abort();
    }
    tables = frame_tables_free();
}

/* Small numbers for what is a pointer or an address, and the right size most of the time. */
static void shape(unsigned nr, unsigned char *u, size_t size)
{
    uint32_t s = (uint32_t)size;
    uint64_t v;

    if ((u[0] & 0xc0) != 0xc0) {
        memcpy(u, &s, sizeof(s));
    }
    for (size_t at = 8; at + 8 <= size; at += 8) {
        memcpy(&v, u + at, 8);
        if ((v >> 56 & 0xc0) == 0x40) { /* into the arena */
            v = (uint64_t)(uintptr_t)arena + (v & 0x3ffff);
        } else if ((v >> 56 & 0xc0) == 0x80) { /* into the aperture, by half pages */
            v = T_APERTURE_FIRST + (v & 0x7f) * 2048;
        } else if ((v >> 56) == 0x3f) { /* a length */
            v = (v & 0x1f) * 2048;
        }
        memcpy(u + at, &v, 8);
    }
    (void)nr;
}

static size_t size_of(unsigned nr)
{
    static const unsigned char sizes[] = { 8,  12, 24, 40, 32, 40, 24, 24, 12, 48, 40,
                                           16, 48, 32, 16, 40, 40, 24, 8,  32, 40, 40 };

    return nr - U_BASE < sizeof(sizes) ? sizes[nr - U_BASE]
           : nr == U_TEST_NR           ? sizeof(struct t_cmd)
           : nr == V_IOMMU_MAP_DMA     ? 32
                                       : 24;
}

static unsigned number(uint8_t b)
{
    if (b < 22) {
        return U_BASE + b;
    }
    if (b < 60) {
        return U_TEST_NR;
    }
    return b < 66 ? 100u + (b - 60u) % 3u : 112u + b % 4u;
}

static void take(struct ctx *c, const uint8_t **at, size_t *left)
{
    unsigned nr = number(**at % 72);
    size_t size = size_of(nr);
    /* At the end of a page that ends, so that what is read behind it is a fault. */
    unsigned char *u = arena + 48 * PG - size;

    (*at)++;
    (*left)--;
    size_t n = *left < size ? *left : size;

    memset(u, 0, size);
    memcpy(u, *at, n);
    *at += n;
    *left -= n;
    shape(nr, u, size);
    struct call call = { .ctx = c,
                         .mm = mm,
                         .cmd = U_IO(nr),
                         .arg = (uint64_t)(uintptr_t)u,
                         .fd_get = own_fd,
                         .out_fd = -1 };

    if (nr < V_IOMMU_GET_INFO && nr >= V_GET_API_VERSION) {
        call.arg = *u & 15;
    }
    (void)ctx_ioctl(&call);
    if (call.out_fd >= 0) {
        close(call.out_fd);
        server_settle();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (mm == NULL) {
        setup();
    }
    struct ctx *c = ctx_new(false);

    for (unsigned calls = 0; size > 0 && calls < 32; calls++) {
        take(c, &data, &size);
    }
    server_settle();
    ctx_put(c);
    if (frame_tables_free() != tables || ctx_first() != NULL || mm->pinned != 0) {
        fprintf(stderr, "left behind: %d table pages, %s, %ld pins\n",
                (int)(tables - frame_tables_free()), ctx_first() != NULL ? "a file" : "no file",
                (long)mm->pinned);
        abort();
    }
    return 0;
}
