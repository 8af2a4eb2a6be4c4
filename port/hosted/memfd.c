/* SPDX-License-Identifier: BSD-2-Clause */
/* Parts of the arena that stand on a memfd or guest_memfd: memory that can be given back page by page. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
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

/* Is [pa, pa+len) of the arena, in frames of that size, and is there room for it in the table? */
static int check(uint64_t pa, uint64_t len, uint64_t frame)
{
    if (((pa | len) & (frame - 1)) != 0 || len == 0 || pa < HOSTED_BASE || len > HOSTED_SIZE ||
        pa - HOSTED_BASE > HOSTED_SIZE - len) {
        return -EINVAL;
    }
    return regions == REGIONS ? -ENOSPC : 0;
}

/* Takes fd over. */
static int stand_on(int fd, uint64_t pa, uint64_t len)
{
    if (mmap(port_va(pa), len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
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

int hosted_memfd(uint64_t pa, uint64_t len, unsigned frame_shift)
{
    unsigned huge = frame_shift == 21 ? MFD_HUGETLB | MFD_HUGE_2MB
                                      : (frame_shift == 30 ? MFD_HUGETLB | MFD_HUGE_1GB : 0);
    int err = frame_shift != 12 && huge == 0 ? -EINVAL : check(pa, len, (uint64_t)1 << frame_shift);

    if (err != 0) {
        return err;
    }
    int fd = memfd_create("tenon", MFD_CLOEXEC | huge);

    if (fd < 0) {
        return -errno;
    }
    /* Huge frames are taken now: a process that touches one that is not there is killed. */
    if (ftruncate(fd, (off_t)len) != 0 || (huge != 0 && fallocate(fd, 0, 0, (off_t)len) != 0)) {
        err = -errno;
        close(fd);
        return err;
    }
    return stand_on(fd, pa, len);
}

/*
 * KVM's memory for guests that nobody may read (linux/kvm.h of 6.18; older headers lack the names). This
 * one begins shared and can be mapped: what is private to a guest is the core's affair here.
 */
struct guest_memfd {
    uint64_t size, flags, reserved[6];
};
#define CREATE_GUEST_MEMFD      _IOWR(KVMIO, 0xd4, struct guest_memfd)
#define CAP_GUEST_MEMFD_FLAGS   244
#define GUEST_MEMFD_MMAP_SHARED 3ull

int hosted_guest_memfd(uint64_t pa, uint64_t len)
{
    struct guest_memfd args = { .size = len, .flags = GUEST_MEMFD_MMAP_SHARED };
    int err = check(pa, len, PAGE_SIZE), kvm, vm;

    if (err != 0) {
        return err;
    }
    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
    if (vm < 0 || (ioctl(vm, KVM_CHECK_EXTENSION, CAP_GUEST_MEMFD_FLAGS) & 3) != 3) {
        err = -EOPNOTSUPP;
    } else {
        int fd = ioctl(vm, CREATE_GUEST_MEMFD, &args);

        err = fd < 0 ? -errno : stand_on(fd, pa, len);
    }
    close(kvm);
    close(vm); /* the memory stays as long as its descriptor */
    return err;
}

static int find(uint64_t pa, uint64_t len)
{
    for (unsigned i = 0; i < regions; i++) {
        if (pa >= region[i].pa && len <= region[i].len &&
            pa - region[i].pa <= region[i].len - len) {
            return (int)i;
        }
    }
    fprintf(stderr, "hosted: %#llx is on no memfd\n", (unsigned long long)pa);
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
