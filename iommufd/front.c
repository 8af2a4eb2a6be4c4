/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way in for dynamically linked programs: a library to preload. It sends the calls that concern
 * the server's descriptors there, and everything else where it would have gone. It keeps next to
 * nothing: what a descriptor is, the server knows.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iommufd/front.h"
#include "iommufd/proto.h"

/* Descriptors whose read() and write() are the server's. A stale mark costs a question. */
static unsigned char marked[65536 / 8];
static bool stacks; /* there are devices: it is worth knowing who maps */

static bool is_marked(int fd)
{
    return fd >= 0 && (unsigned)fd < sizeof(marked) * 8 &&
           (__atomic_load_n(&marked[fd / 8], __ATOMIC_RELAXED) >> (fd % 8) & 1) != 0;
}

static void mark(int fd, bool on)
{
    if (fd < 0 || (unsigned)fd >= sizeof(marked) * 8) {
        return;
    }
    if (on) {
        __atomic_or_fetch(&marked[fd / 8], (unsigned char)(1u << (fd % 8)), __ATOMIC_RELAXED);
    } else {
        __atomic_and_fetch(&marked[fd / 8], (unsigned char)~(1u << (fd % 8)), __ATOMIC_RELAXED);
    }
}

static long result(int64_t ret)
{
    if (ret < 0) {
        errno = ret == -PROTO_NEED ? EMFILE : (int)-ret;
        return -1;
    }
    return (long)ret;
}

/* ---- open ---- */

static int node_of(const char *path)
{
    unsigned n;
    int end = 0;

    if (path != NULL && strncmp(path, "/dev/vfio/devices/vfio", 22) == 0 &&
        sscanf(path + 22, "%u%n", &n, &end) == 1 && path[22 + end] == 0 && n < 4096) {
        return (int)(PROTO_NODE_DEVICE + n);
    }
    if (path != NULL && strncmp(path, "/dev/vfio/", 10) == 0 && path[10] >= '0' &&
        path[10] <= '9' && sscanf(path + 10, "%u%n", &n, &end) == 1 && path[10 + end] == 0 &&
        n < 4096) {
        return (int)(PROTO_NODE_GROUP + n);
    }
    return path == NULL                          ? -1
           : strcmp(path, "/dev/iommu") == 0     ? PROTO_NODE_IOMMU
           : strcmp(path, "/dev/vfio/vfio") == 0 ? PROTO_NODE_VFIO
                                                 : -1;
}

static int open_any(int dir, const char *path, int flags, mode_t mode)
{
    int node = node_of(path), fd = -1;
    struct proto_req req = { .op = PROTO_OPEN, .arg = (uint64_t)node };
    struct proto_rep rep;

    bool asked =
        node >= 0 && front_started() && front_ask(&req, -1, &rep, &fd, (flags & O_CLOEXEC) != 0);

    if (node >= 0 && !asked && getenv(PROTO_ENV) != NULL) {
        errno = errno == EMFILE || errno == ENFILE ? errno : ENXIO; /* the server was killed */
        return -1;
    }
    if (!asked) {
        char room[FRONT_PATH];

        return (int)syscall(SYS_openat, dir, front_path(path, room), flags, mode);
    }
    if (rep.ret == -ENOENT) { /* no such device of ours: there may be a real one */
        return (int)syscall(SYS_openat, dir, path, flags, mode);
    }
    if (node >= PROTO_NODE_DEVICE && fd >= 0) {
        mark(fd, true);
    }
    if (rep.ret < 0) {
        return (int)result(rep.ret);
    }
    return fd;
}

static bool wants_mode(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = wants_mode(flags) ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    return open_any(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = wants_mode(flags) ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    return open_any(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int dir, const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = wants_mode(flags) ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    return open_any(dir, path, flags, mode);
}

EXPORT int openat64(int dir, const char *path, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = wants_mode(flags) ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    return open_any(dir, path, flags | O_LARGEFILE, mode);
}

/* What programs built with _FORTIFY_SOURCE call. */
int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);
int __openat64_2(int dir, const char *path, int flags);

EXPORT int __open_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
    return open_any(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

EXPORT int __openat_2(int dir, const char *path, int flags)
{
    return open_any(dir, path, flags, 0);
}

EXPORT int __openat64_2(int dir, const char *path, int flags)
{
    return open_any(dir, path, flags | O_LARGEFILE, 0);
}

/* ---- ioctl ---- */

/* Who calls, for the sanitizer: not for tests, which nobody asks about. */
__attribute__((noinline)) static void stack_of(struct proto_req *req, unsigned long cmd)
{
    static const unsigned char wanted[] = { 0x83, 0x85, 0x86, 0x8f, 113, 114 }; /* map and unmap */
    void *frame[PROTO_FRAMES + 2];

    if (!stacks || memchr(wanted, (int)(cmd & 0xff), sizeof(wanted)) == NULL) {
        return;
    }
    int n = backtrace(frame, PROTO_FRAMES + 2);

    for (int i = 2; i < n; i++) { /* without this function and ioctl() itself */
        req->frame[req->frames++] = (uint64_t)(uintptr_t)frame[i] - 1;
    }
}

EXPORT int ioctl(int fd, unsigned long cmd, ...)
{
    va_list ap;
    struct stat st;
    int saved = errno;

    va_start(ap, cmd);
    uint64_t arg = (uint64_t)(uintptr_t)va_arg(ap, void *);

    va_end(ap);
    /* Everything of ours has this type, and a descriptor of ours is a socket. */
    if ((cmd >> 8 & 0xff) == ';' && front_started() && front_fstat(fd, &st) == 0 &&
        S_ISSOCK(st.st_mode)) {
        struct proto_req req = { .op = PROTO_IOCTL, .cmd = (uint32_t)cmd, .arg = arg };
        struct proto_rep rep;
        int out;

        stack_of(&req, cmd);
        if (front_ask(&req, fd, &rep, &out, true) && rep.ret != -PROTO_NOT_US) {
            if (rep.sleep_ms != 0) {
                usleep(rep.sleep_ms * 1000);
            }
            if (out >= 0 && rep.out_at == 0) {
                rep.ret = out;
            } else if (out >= 0) {
                *(uint32_t *)(uintptr_t)rep.out_at = (uint32_t)out;
            }
            if (out >= 0) {
                mark(out, true);
            }
            if (rep.ret >= 0) {
                errno = saved;
            }
            return (int)result(rep.ret);
        }
    }
    errno = saved;
    return (int)syscall(SYS_ioctl, fd, cmd, arg);
}

/* ---- read and write of event queues ---- */

static bool ask_rw(uint32_t op, int fd, uint64_t buf, size_t len, off_t offset, long *ret)
{
    struct proto_req req = { .op = op, .arg = buf, .len = len, .offset = (uint64_t)offset };
    struct proto_rep rep;
    int out;

    if (!is_marked(fd) || !front_started()) {
        return false;
    }
    if (!front_ask(&req, fd, &rep, &out, true) || rep.ret == -PROTO_NOT_US) {
        mark(fd, false); /* closed since, and another thing by now */
        return false;
    }
    if (rep.drain != 0) {
        char c;

        (void)recv(fd, &c, 1, MSG_DONTWAIT);
    }
    *ret = result(rep.ret);
    return true;
}

static ssize_t (*next_read)(int, void *, size_t);
static ssize_t (*next_write)(int, const void *, size_t);

EXPORT ssize_t read(int fd, void *buf, size_t len)
{
    long ret;

    if (ask_rw(PROTO_READ, fd, (uint64_t)(uintptr_t)buf, len, 0, &ret)) {
        return ret;
    }
    return next_read != NULL ? next_read(fd, buf, len) : syscall(SYS_read, fd, buf, len);
}

EXPORT ssize_t write(int fd, const void *buf, size_t len)
{
    long ret;

    if (ask_rw(PROTO_WRITE, fd, (uint64_t)(uintptr_t)buf, len, 0, &ret)) {
        return ret;
    }
    return next_write != NULL ? next_write(fd, buf, len) : syscall(SYS_write, fd, buf, len);
}

EXPORT ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
    long ret;

    return ask_rw(PROTO_PREAD, fd, (uint64_t)(uintptr_t)buf, len, offset, &ret)
               ? ret
               : syscall(SYS_pread64, fd, buf, len, offset);
}

EXPORT ssize_t pread64(int fd, void *buf, size_t len, off64_t offset)
{
    return pread(fd, buf, len, offset);
}

EXPORT ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
    long ret;

    return ask_rw(PROTO_PWRITE, fd, (uint64_t)(uintptr_t)buf, len, offset, &ret)
               ? ret
               : syscall(SYS_pwrite64, fd, buf, len, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t offset)
{
    return pwrite(fd, buf, len, offset);
}

/* What programs built with _FORTIFY_SOURCE call; the size of the buffer is the library's to check. */
void __chk_fail(void) __attribute__((noreturn));
ssize_t __read_chk(int fd, void *buf, size_t len, size_t room);
ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t room);

EXPORT ssize_t __read_chk(int fd, void *buf, size_t len, size_t room)
{
    if (len > room) {
        __chk_fail();
    }
    return read(fd, buf, len);
}

EXPORT ssize_t __pread_chk(int fd, void *buf, size_t len, off_t offset, size_t room)
{
    if (len > room) {
        __chk_fail();
    }
    return pread(fd, buf, len, offset);
}

EXPORT ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t offset, size_t room)
{
    return __pread_chk(fd, buf, len, offset, room);
}

/* ---- copies of descriptors keep their mark ---- */

static int copied(int from, int to)
{
    if (to >= 0 && is_marked(from) != is_marked(to)) {
        mark(to, is_marked(from));
    }
    return to;
}

EXPORT int dup(int fd)
{
    return copied(fd, (int)syscall(SYS_dup, fd));
}

EXPORT int dup2(int fd, int to)
{
    if (fd == to) { /* dup2 allows it, dup3 does not */
        return fcntl(fd, F_GETFD) >= 0 ? to : -1;
    }
    return copied(fd, (int)syscall(SYS_dup3, fd, to, 0));
}

EXPORT int dup3(int fd, int to, int flags)
{
    return copied(fd, (int)syscall(SYS_dup3, fd, to, flags));
}

static int fcntl_any(int fd, int cmd, uint64_t arg)
{
    static int (*next)(int, int, ...);

    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC) {
        return copied(fd, (int)syscall(SYS_fcntl, fd, cmd, arg));
    }
    if (next == NULL) { /* the library's own knows what locks and owners need */
        *(void **)&next = dlsym(RTLD_NEXT, "fcntl64");
    }
    return next != NULL ? next(fd, cmd, arg) : (int)syscall(SYS_fcntl, fd, cmd, arg);
}

EXPORT int fcntl(int fd, int cmd, ...)
{
    va_list ap;

    va_start(ap, cmd);
    uint64_t arg = (uint64_t)(uintptr_t)va_arg(ap, void *);

    va_end(ap);
    return fcntl_any(fd, cmd, arg);
}

EXPORT int fcntl64(int fd, int cmd, ...)
{
    va_list ap;

    va_start(ap, cmd);
    uint64_t arg = (uint64_t)(uintptr_t)va_arg(ap, void *);

    va_end(ap);
    return fcntl_any(fd, cmd, arg);
}

/* ---- mmap ---- */

static void *mmap_any(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    long p = syscall(SYS_mmap, at, len, prot, flags, fd, offset);
    struct stat st;

    /* A socket cannot be mapped: only then is it worth a question. */
    if (p != -1 || errno != ENODEV || (flags & MAP_ANONYMOUS) != 0 || !front_started() ||
        front_fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return (void *)p;
    }
    struct proto_req req = { .op = PROTO_MMAP, .arg = (uint64_t)offset, .len = len };
    struct proto_rep rep;
    int out;

    if (len % 4096 != 0 || (flags & MAP_TYPE) == MAP_PRIVATE) {
        errno = EINVAL;
        return MAP_FAILED;
    }
    if ((prot & PROT_EXEC) != 0) {
        errno = EPERM;
        return MAP_FAILED;
    }
    if (!front_ask(&req, fd, &rep, &out, true) || rep.ret == -PROTO_NOT_US) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    if (rep.ret < 0) {
        (void)result(rep.ret);
        return MAP_FAILED;
    }
    p = syscall(SYS_mmap, at, len, prot, flags, out, rep.ret);
    (void)syscall(SYS_close, out);
    return (void *)p;
}

EXPORT void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
    return mmap_any(at, len, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *at, size_t len, int prot, int flags, int fd, off64_t offset)
{
    return mmap_any(at, len, prot, flags, fd, offset);
}

/* ---- start ---- */

/* Descriptors that this program was started with. */
static void mark_inherited(void)
{
    unsigned n;

    for (int fd = 0; fd < 256; fd++) {
        if (front_kind(fd, &n) != 0) {
            mark(fd, true);
        }
    }
}

__attribute__((constructor)) static void front_start(void)
{
    if (getenv(PROTO_ENV) == NULL || !front_prepare()) {
        return;
    }
    *(void **)&next_read = dlsym(RTLD_NEXT, "read");
    *(void **)&next_write = dlsym(RTLD_NEXT, "write");
    if (getenv(PROTO_ENV_ROOT) != NULL) {
        void *frame[2];

        (void)backtrace(frame, 2); /* loads what it needs now, not in a call */
        stacks = true;
    }
    mark_inherited();
    front_open();
}
