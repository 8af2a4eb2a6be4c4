/* SPDX-License-Identifier: BSD-2-Clause */
/* The clients' address spaces, seen from the server: process_vm_readv and /proc/PID/maps. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iommufd/iod.h"

static struct mm *list;
static uint64_t next_serial = 1;

struct mm *mm_first(void)
{
    return list;
}

struct mm *mm_of_pid(pid_t pid)
{
    struct mm *mm = list;

    while (mm != NULL && (mm->pid != pid || mm->gone)) {
        mm = mm->next;
    }
    return mm;
}

struct mm *mm_new(pid_t pid, uid_t uid)
{
    struct mm *mm = calloc(1, sizeof(*mm));

    if (mm == NULL) {
        return NULL;
    }
    *mm = (struct mm){
        .refs = 1, .serial = next_serial++, .pid = pid, .uid = uid, .maps = -1, .next = list
    };
    list = mm;
    return mm;
}

void mm_gone(struct mm *mm)
{
    mm->gone = true;
    if (mm->maps >= 0) {
        close(mm->maps);
        mm->maps = -1;
    }
    phys_forget_mm(mm);
}

void mm_put(struct mm *mm)
{
    struct mm **at = &list;

    if (--mm->refs != 0) {
        return;
    }
    mm_gone(mm);
    while (*at != mm) {
        at = &(*at)->next;
    }
    *at = mm->next;
    free(mm);
}

int mm_read(struct mm *mm, void *to, uint64_t from, size_t len)
{
    struct iovec mine = { to, len }, other = { (void *)(uintptr_t)from, len };

    if (len == 0) {
        return 0;
    }
    if (mm->gone || from + len < from) {
        return -EFAULT;
    }
    return process_vm_readv(mm->pid, &mine, 1, &other, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

int mm_write(struct mm *mm, uint64_t to, const void *from, size_t len)
{
    union {
        const void *c;
        void *v;
    } src = { from };
    struct iovec mine = { src.v, len }, other = { (void *)(uintptr_t)to, len };

    if (len == 0) {
        return 0;
    }
    if (mm->gone || to + len < to) {
        return -EFAULT;
    }
    return process_vm_writev(mm->pid, &mine, 1, &other, 1, 0) == (ssize_t)len ? 0 : -EFAULT;
}

bool mm_capable(const struct mm *mm, unsigned cap)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3,
                                             .pid = mm->pid };
    struct __user_cap_data_struct data[2] = { { 0 }, { 0 } };

    if (mm->gone || syscall(SYS_capget, &head, data) != 0) {
        return false;
    }
    return (data[cap / 32].effective >> (cap % 32) & 1) != 0;
}

/* prlimit() wants a capability to ask about a process of another user's; this file, none. */
static bool memlock_of(pid_t pid, struct rlimit *r)
{
    char path[40], line[128];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
    FILE *f = fopen(path, "re");

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        unsigned long long soft = 0;

        if (strncmp(line, "Max locked memory", 17) == 0) {
            found = true;
            r->rlim_cur = sscanf(line + 17, "%llu", &soft) == 1 ? soft : RLIM_INFINITY;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

uint64_t mm_memlock_pages(const struct mm *mm)
{
    struct rlimit r;

    if (mm->gone || (prlimit(mm->pid, RLIMIT_MEMLOCK, NULL, &r) != 0 && !memlock_of(mm->pid, &r))) {
        return 0;
    }
    return r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : r.rlim_cur / PG;
}

/* ---- what is mapped where ---- */

/* One question to the kernel where it can answer it (6.11 and later: linux/fs.h, PROCMAP_QUERY). */
struct query {
    uint64_t size, flags, addr;
    uint64_t start, end, vma_flags, page_size, offset, ino;
    uint32_t major, minor, name_size, id_size;
    uint64_t name, id;
};
#define QUERY         _IOWR('f', 17, struct query)
#define QUERY_OR_NEXT 0x10u
enum { QUERY_READ = 1, QUERY_WRITE = 2, QUERY_SHARED = 8 };
static bool no_query;

static int maps_open(struct mm *mm)
{
    char path[40];

    if (mm->maps < 0 && !mm->gone) {
        snprintf(path, sizeof(path), "/proc/%d/maps", (int)mm->pid);
        mm->maps = open(path, O_RDONLY | O_CLOEXEC);
    }
    return mm->maps;
}

static int ask(int fd, uint64_t va, bool next, struct mm_vma *v)
{
    struct query q = { .size = sizeof(q), .flags = next ? QUERY_OR_NEXT : 0, .addr = va };

    if (ioctl(fd, QUERY, &q) != 0) {
        return -errno;
    }
    *v = (struct mm_vma){ .start = q.start,
                          .last = q.end - 1,
                          .read = (q.vma_flags & QUERY_READ) != 0,
                          .write = (q.vma_flags & QUERY_WRITE) != 0,
                          .shared = (q.vma_flags & QUERY_SHARED) != 0,
                          .huge = q.page_size > PG,
                          .dev = makedev(q.major, q.minor),
                          .ino = q.ino,
                          .offset = q.offset };
    return 0;
}

/* The same from the text, for older kernels. */
static int parse(struct mm *mm, uint64_t va, bool next, struct mm_vma *v)
{
    char path[40], line[512];
    int err = -ENOENT;

    snprintf(path, sizeof(path), "/proc/%d/maps", (int)mm->pid);
    FILE *f = fopen(path, "re");

    if (f == NULL) {
        return -EFAULT;
    }
    while (err != 0 && fgets(line, sizeof(line), f) != NULL) {
        unsigned long start, end, off, ino;
        unsigned major, minor;
        char perm[8];

        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perm, &off, &major, &minor,
                   &ino) == 7 &&
            end > va && (next || start <= va)) {
            *v = (struct mm_vma){ .start = start,
                                  .last = end - 1,
                                  .read = perm[0] == 'r',
                                  .write = perm[1] == 'w',
                                  .shared = perm[3] == 's',
                                  .huge = strstr(line, "huge") != NULL,
                                  .dev = makedev(major, minor),
                                  .ino = ino,
                                  .offset = off };
            err = 0;
        }
    }
    fclose(f);
    return err;
}

/* The open file is of the old memory, in which nothing is any more. */
bool mm_replaced(struct mm *mm)
{
    struct mm_vma v;
    char byte;
    int fd = maps_open(mm);

    if (fd < 0) {
        return true;
    }
    if (!no_query) {
        int err = ask(fd, 0, true, &v);

        if (err != -ENOTTY && err != -EINVAL) {
            return err != 0;
        }
        no_query = true;
    }
    return pread(fd, &byte, 1, 0) != 1;
}

static int look(struct mm *mm, uint64_t va, bool next, struct mm_vma *v)
{
    int fd = maps_open(mm);

    if (fd < 0) {
        return -EFAULT;
    }
    if (!no_query) {
        int err = ask(fd, va, next, v);

        if (err != -ENOTTY && err != -EINVAL) {
            return err == 0 ? 0 : -EFAULT;
        }
        no_query = true;
    }
    return parse(mm, va, next, v) == 0 ? 0 : -EFAULT;
}

int mm_vma(struct mm *mm, uint64_t va, struct mm_vma *v)
{
    return mm->gone ? -EFAULT : look(mm, va, false, v);
}

int mm_vma_next(struct mm *mm, uint64_t va, struct mm_vma *v)
{
    return mm->gone ? -EFAULT : look(mm, va, true, v);
}

int mm_page(struct mm *mm, uint64_t va, bool write, uint64_t *pa, uint64_t *run)
{
    struct mm_vma v = { 0 };
    int err = mm_vma(mm, va, &v);
    uint64_t index;

    if (err != 0 || !v.read || (write && !v.write)) {
        return -EFAULT;
    }
    if (v.shared && v.ino != 0) {
        index = (va - v.start + v.offset) >> 12;
        *pa = phys_page(PHYS_SHARED, v.dev, v.ino, index);
    } else {
        index = va >> 12;
        *pa = phys_page(PHYS_PRIVATE, mm->serial, 0, index);
    }
    if (*pa == 0) {
        return -ENOMEM;
    }
    phys_seen(*pa, mm, va);
    *run = ((v.last - va) >> 12) + 1;
    uint64_t chunk = (1u << 18) - (index & ((1u << 18) - 1));

    *run = *run < chunk ? *run : chunk;
    return 0;
}
