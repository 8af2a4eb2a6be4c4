/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of the arena that stand on a memfd: memory that can be given back page by page. */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hosted.h"
#include "tenon/port.h"

#define REGIONS 8u
static struct {
    uint64_t pa, len;
    int fd;
} region[REGIONS];
static unsigned regions;

int hosted_memfd(uint64_t pa, uint64_t len, unsigned frame_shift)
{
    unsigned huge = frame_shift == 21 ? MFD_HUGETLB | MFD_HUGE_2MB
                                      : (frame_shift == 30 ? MFD_HUGETLB | MFD_HUGE_1GB : 0);
    uint64_t mask = ((uint64_t)1 << frame_shift) - 1;

    if ((frame_shift != 12 && huge == 0) || ((pa | len) & mask) != 0 || len == 0 ||
        pa < HOSTED_BASE || len > HOSTED_SIZE || pa - HOSTED_BASE > HOSTED_SIZE - len) {
        return -EINVAL;
    }
    if (regions == REGIONS) {
        return -ENOSPC;
    }
    int fd = memfd_create("tenon", MFD_CLOEXEC | huge);

    if (fd < 0) {
        return -errno;
    }
    /* Huge frames are taken now: a process that touches one that is not there is killed. */
    if (ftruncate(fd, (off_t)len) != 0 || (huge != 0 && fallocate(fd, 0, 0, (off_t)len) != 0) ||
        mmap(port_va(pa), len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
             0) == MAP_FAILED) {
        int err = errno;

        close(fd);
        return -err;
    }
    region[regions].pa = pa;
    region[regions].len = len;
    region[regions++].fd = fd;
    return 0;
}

static int find(uint64_t pa, uint64_t len)
{
    for (unsigned i = 0; i < regions; i++) {
        if (pa >= region[i].pa && len <= region[i].len &&
            pa - region[i].pa <= region[i].len - len) {
            return (int)i;
        }
    }
    fprintf(stderr, "hosted: %#llx is not on a memfd\n", (unsigned long long)pa);
    abort();
}

void hosted_punch(uint64_t pa, uint64_t len)
{
    int i = find(pa, len);

    if (fallocate(region[i].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  (off_t)(pa - region[i].pa), (off_t)len) != 0) {
        perror("hosted: fallocate");
        abort();
    }
}

uint64_t hosted_memfd_bytes(uint64_t pa)
{
    struct stat st;

    return fstat(region[find(pa, 1)].fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
