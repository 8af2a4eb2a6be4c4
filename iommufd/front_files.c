/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The front's files: what /proc says of pinned memory, and the tree by which programs find devices
 * (device nodes and sysfs), which the server has made in a directory of its own.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "iommufd/front.h"

/* ---- the tree of devices ---- */

const char *front_path(const char *path, char *room)
{
    static const char *const under[] = { "/dev/vfio",
                                         "/dev/iommu",
                                         "/sys/bus/pci/devices",
                                         "/sys/kernel/iommu_groups",
                                         "/sys/class/vfio-dev",
                                         "/sys/devices/tenon" };
    const char *root = getenv(PROTO_ENV_ROOT);

    for (size_t i = 0; root != NULL && path != NULL && i < sizeof(under) / sizeof(under[0]); i++) {
        size_t n = strlen(under[i]);

        if (strncmp(path, under[i], n) == 0 && (path[n] == 0 || path[n] == '/') &&
            (size_t)snprintf(room, FRONT_PATH, "%s%s", root, path) < FRONT_PATH &&
            syscall(SYS_faccessat, AT_FDCWD, room, F_OK) == 0) {
            return room;
        }
    }
    return path;
}

/* ---- our descriptors look like the devices that they stand for ---- */

int front_fstat(int fd, struct stat *st)
{
    return (int)syscall(SYS_fstat, fd, st);
}

char front_kind(int fd, unsigned *number)
{
    struct sockaddr_un a = { 0 };
    socklen_t len = sizeof(a);
    char kind;

    return getpeername(fd, (struct sockaddr *)&a, &len) == 0 && a.sun_family == AF_UNIX &&
                   len > sizeof(PROTO_NAME) + 2 && a.sun_path[0] == 0 &&
                   sscanf(a.sun_path + 1, PROTO_NAME "/%c%u/", &kind, number) == 2
               ? kind
               : 0;
}

static int disguise(int ret, int fd, struct stat *st)
{
    int saved = errno;
    unsigned n;

    if (ret == 0 && S_ISSOCK(st->st_mode)) {
        char kind = front_kind(fd, &n);

        if (kind == 'i' || kind == 'd' || kind == 'g') {
            st->st_mode = S_IFCHR | 0600;
            st->st_rdev = kind == 'd'   ? makedev(240, n)
                          : kind == 'g' ? makedev(241, n)
                                        : makedev(10, 240);
            st->st_size = 0;
        }
        errno = saved;
    }
    return ret;
}

EXPORT int fstat(int fd, struct stat *st)
{
    return disguise(front_fstat(fd, st), fd, st);
}

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "64-bit systems have one");

EXPORT int fstat64(int fd, struct stat64 *st)
{
    return fstat(fd, (struct stat *)(void *)st);
}

/* The library's own function of that name. */
#define NEXT(fn, name)                                \
    do {                                              \
        if ((fn) == NULL) {                           \
            *(void **)&(fn) = dlsym(RTLD_NEXT, name); \
        }                                             \
    } while (0)

EXPORT int access(const char *path, int mode)
{
    char room[FRONT_PATH];

    return (int)syscall(SYS_faccessat, AT_FDCWD, front_path(path, room), mode);
}

EXPORT int stat(const char *path, struct stat *st)
{
    static int (*next)(const char *, struct stat *);
    char room[FRONT_PATH];

    NEXT(next, "stat");
    return next(front_path(path, room), st);
}

EXPORT int stat64(const char *path, struct stat64 *st)
{
    static int (*next)(const char *, struct stat64 *);
    char room[FRONT_PATH];

    NEXT(next, "stat64");
    return next(front_path(path, room), st);
}

EXPORT int lstat(const char *path, struct stat *st)
{
    static int (*next)(const char *, struct stat *);
    char room[FRONT_PATH];

    NEXT(next, "lstat");
    return next(front_path(path, room), st);
}

EXPORT int lstat64(const char *path, struct stat64 *st)
{
    static int (*next)(const char *, struct stat64 *);
    char room[FRONT_PATH];

    NEXT(next, "lstat64");
    return next(front_path(path, room), st);
}

/* What `ls` and the standard libraries of other languages ask by. */
EXPORT int statx(int dir, const char *path, int flags, unsigned mask, struct statx *st)
{
    static int (*next)(int, const char *, int, unsigned, struct statx *);
    char room[FRONT_PATH];

    NEXT(next, "statx");
    return next(dir, front_path(path, room), flags, mask, st);
}

EXPORT int fstatat(int dir, const char *path, struct stat *st, int flags)
{
    static int (*next)(int, const char *, struct stat *, int);
    char room[FRONT_PATH];

    NEXT(next, "fstatat");
    return next(dir, front_path(path, room), st, flags);
}

EXPORT int fstatat64(int dir, const char *path, struct stat64 *st, int flags)
{
    static int (*next)(int, const char *, struct stat64 *, int);
    char room[FRONT_PATH];

    NEXT(next, "fstatat64");
    return next(dir, front_path(path, room), st, flags);
}

EXPORT ssize_t readlink(const char *path, char *buf, size_t size)
{
    char room[FRONT_PATH];

    return syscall(SYS_readlinkat, AT_FDCWD, front_path(path, room), buf, size);
}

EXPORT DIR *opendir(const char *path)
{
    static DIR *(*next)(const char *);
    char room[FRONT_PATH];

    NEXT(next, "opendir");
    return next(front_path(path, room));
}

/* The result is what the program would have seen: without our root before it. */
EXPORT char *realpath(const char *path, char *resolved)
{
    static char *(*next)(const char *, char *);
    const char *root = getenv(PROTO_ENV_ROOT);
    char room[FRONT_PATH];

    NEXT(next, "realpath");
    char *p = next(front_path(path, room), resolved);
    size_t n = root != NULL ? strlen(root) : 0;

    if (p != NULL && n != 0 && strncmp(p, root, n) == 0 && p[n] == '/') {
        memmove(p, p + n, strlen(p + n) + 1);
    }
    return p;
}

/* ---- /proc/PID/status: what the kernel would say of pinned memory ---- */

static pid_t status_of(const char *path)
{
    int pid = 0, end = 0;

    if (path == NULL || strncmp(path, "/proc/", 6) != 0) {
        return 0;
    }
    if (strcmp(path, "/proc/self/status") == 0) {
        return getpid();
    }
    return sscanf(path, "/proc/%d/status%n", &pid, &end) == 1 && end > 0 && path[end] == 0 ? pid
                                                                                           : 0;
}

static void add_kb(char *line, size_t size, const char *tag, uint64_t pages)
{
    unsigned long kb;

    if (pages != 0 && strncmp(line, tag, strlen(tag)) == 0 &&
        sscanf(line + strlen(tag), "%lu", &kb) == 1) {
        snprintf(line, size, "%s\t%8lu kB\n", tag, kb + (unsigned long)pages * 4);
    }
}

static FILE *status_open(FILE *real, pid_t pid)
{
    struct proto_req req = { .op = PROTO_STATUS, .arg = (uint64_t)pid };
    struct proto_rep rep = { 0 };
    char line[256];
    int out;
    FILE *f;

    if (!front_ask(&req, -1, &rep, &out, true) || rep.ret < 0 ||
        (rep.value[0] == 0 && rep.value[1] == 0)) {
        return real;
    }
    f = tmpfile();
    if (f == NULL) {
        return real;
    }
    while (fgets(line, sizeof(line), real) != NULL) {
        add_kb(line, sizeof(line), "VmPin:", rep.value[0]);
        add_kb(line, sizeof(line), "VmLck:", rep.value[1]);
        fputs(line, f);
    }
    fclose(real);
    rewind(f);
    return f;
}

static FILE *fopen_any(const char *path, const char *mode)
{
    static FILE *(*next)(const char *, const char *);

    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "fopen64");
    }
    char room[FRONT_PATH];
    FILE *f = next(front_path(path, room), mode);
    pid_t pid = f != NULL ? status_of(path) : 0;

    return pid != 0 ? status_open(f, pid) : f;
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
    return fopen_any(path, mode);
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
    return fopen_any(path, mode);
}
