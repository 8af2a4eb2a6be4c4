/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The second way in: the kernel stops the program at the system calls that may be ours and asks the
 * server (seccomp user notification), so that static programs and raw system calls are served too. What is
 * not ours goes on as if nothing had been asked.
 *
 * The filter sees numbers only, not paths: every open is asked about, ioctl() by its type, read() and
 * write() by the descriptor's number: ours are put where few programs have any.
 */
#include "iommufd/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "iommufd/server.h"
#include "iommufd/swdev.h"

/* Numbers for descriptors that are read and written: [FIRST, FIRST + NUMBERS). */
#define FIRST   700u
#define NUMBERS 200u

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#define NR              ((uint32_t)offsetof(struct seccomp_data, nr))
#define ARG_LOW(i)      ((uint32_t)(offsetof(struct seccomp_data, args) + 8 * (i)))
#define LOAD(off)       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (off))
#define RET(what)       BPF_STMT(BPF_RET | BPF_K, (what))
#define IF(op, k, t, f) BPF_JUMP(BPF_JMP | (op) | BPF_K, (k), (t), (f))
#define ASK             SECCOMP_RET_USER_NOTIF
#define ALLOW           SECCOMP_RET_ALLOW

int seccomp_install(void)
{
    struct sock_filter code[] = {
        LOAD((uint32_t)offsetof(struct seccomp_data, arch)),
        IF(BPF_JEQ, ARCH, 1, 0),
        RET(ALLOW), /* another architecture's calls: not served */
        LOAD(NR),
        IF(BPF_JEQ, SYS_openat, 9, 0),
#if defined(SYS_open)
        IF(BPF_JEQ, SYS_open, 8, 0),
#else
        IF(BPF_JEQ, SYS_openat, 8, 0),
#endif
        IF(BPF_JEQ, SYS_ioctl, 8, 0),
        IF(BPF_JEQ, SYS_read, 4, 0),
        IF(BPF_JEQ, SYS_write, 3, 0),
        IF(BPF_JEQ, SYS_pread64, 2, 0),
        IF(BPF_JEQ, SYS_pwrite64, 1, 0),
        RET(ALLOW),
        LOAD(ARG_LOW(0)), /* by the descriptor's number */
        IF(BPF_JGE, FIRST, 5, 6),
        RET(ASK), /* an open */
        LOAD(ARG_LOW(1)),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 8),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff),
        IF(BPF_JEQ, ';', 2, 1),
        IF(BPF_JGE, FIRST + NUMBERS, 0, 1),
        RET(ALLOW),
        RET(ASK),
    };
    const struct sock_fprog prog = { sizeof(code) / sizeof(code[0]), code };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    long fd =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);

    return fd < 0 ? -errno : (int)fd;
}

/* ---- the server's side ---- */

struct asked {
    struct seccomp_notif n;
    struct proc *p;
    int listener;
};

/* The process of a thread. */
static pid_t group_of(pid_t tid)
{
    char path[40], line[128];
    int pid = tid;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
    FILE *f = fopen(path, "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "Tgid: %d", &pid) == 1) {
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return pid;
}

static struct proc *who(pid_t tid)
{
    char path[40];
    struct stat st;
    pid_t pid = group_of(tid);

    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return proc_of(pid, stat(path, &st) == 0 ? st.st_uid : (uid_t)-1);
}

static int take_fd(const struct asked *a, int fd)
{
    long copy = fd < 0 ? -1 : syscall(SYS_pidfd_getfd, a->p->pidfd, fd, 0);

    return copy < 0 ? -EBADF : (int)copy;
}

static int take_fd_of_call(struct call *c, int fd)
{
    return take_fd(c->front, fd);
}

/* Into the program, at a number that the filter asks about if it is to be read. */
static int give_fd(const struct asked *a, int fd, bool numbered, bool cloexec)
{
    static uint32_t next;
    struct seccomp_notif_addfd add = { .id = a->n.id,
                                       .srcfd = (uint32_t)fd,
                                       .newfd_flags = cloexec ? O_CLOEXEC : 0 };

    for (uint32_t i = 0; numbered && i < NUMBERS; i++) {
        char path[64], link[8];

        snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)a->p->mm->pid,
                 FIRST + (next + i) % NUMBERS);
        if (readlink(path, link, sizeof(link)) < 0) {
            add.flags = SECCOMP_ADDFD_FLAG_SETFD;
            add.newfd = FIRST + (next + i) % NUMBERS;
            next += i + 1;
            break;
        }
    }
    int at = ioctl(a->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);

    close(fd);
    return at < 0 ? -errno : at;
}

/* 0 and *ret: answered; 1: not ours, the call goes on. */
static int do_open(const struct asked *a, uint64_t path_at, uint64_t flags, int64_t *ret)
{
    char path[64];
    int fd = -1, node;

    /* Its end may be closer than the end of memory. */
    memset(path, 0, sizeof(path));
    for (size_t i = 0; i < sizeof(path) - 1; i++) {
        size_t left = PG - (path_at + i) % PG;

        left = left < sizeof(path) - 1 - i ? left : sizeof(path) - 1 - i;
        if (mm_read(a->p->mm, path + i, path_at + i, left) != 0 || memchr(path + i, 0, left)) {
            break;
        }
        i += left - 1;
    }
    node = server_node(path);
    if (node < 0) {
        return 1;
    }
    *ret = server_open_node((unsigned)node, &fd);
    if (*ret == 0) {
        *ret =
            give_fd(a, fd, strncmp(path, "/dev/vfio/devices/", 18) == 0, (flags & O_CLOEXEC) != 0);
    }
    return 0;
}

static int do_ioctl(struct asked *a, struct stream *s, int64_t *ret)
{
    struct call c = { .mm = a->p->mm,
                      .cmd = (unsigned)a->n.data.args[1],
                      .arg = a->n.data.args[2],
                      .fd_get = take_fd_of_call,
                      .out_fd = -1,
                      .front = a };

    *ret = server_ioctl(&c, s);
    if (c.out_fd >= 0 && *ret < 0) {
        close(c.out_fd);
    } else if (c.out_fd >= 0) {
        int at = give_fd(a, c.out_fd, true, true);

        if (at < 0 || c.out_at == 0) {
            *ret = at;
        } else {
            uint32_t number = (uint32_t)at;

            *ret = mm_write(a->p->mm, c.out_at, &number, sizeof(number));
        }
    }
    return 0;
}

static int do_rw(const struct asked *a, struct stream *s, int64_t *ret)
{
    const struct seccomp_data *d = &a->n.data;
    bool at = d->nr == SYS_pread64 || d->nr == SYS_pwrite64;
    bool write = d->nr == SYS_write || d->nr == SYS_pwrite64;

    *ret = server_rw(a->p->mm, s, d->args[1], d->args[2], at ? d->args[3] : 0, at, write);
    if (s->drain) {
        int fd = take_fd(a, (int)d->args[0]);
        char byte;

        if (fd >= 0) {
            (void)recv(fd, &byte, 1, MSG_DONTWAIT);
            close(fd);
        }
        s->drain = false;
    }
    return 0;
}

static int serve(struct asked *a, int64_t *ret)
{
    const struct seccomp_data *d = &a->n.data;

#if defined(SYS_open)
    if (d->nr == SYS_open) {
        return do_open(a, d->args[0], d->args[1], ret);
    }
#endif
    if (d->nr == SYS_openat) {
        return do_open(a, d->args[1], d->args[2], ret);
    }
    int fd = take_fd(a, (int)d->args[0]);
    struct stream *s = fd >= 0 ? stream_of_fd(fd) : NULL;

    if (fd >= 0) {
        close(fd);
    }
    if (s == NULL) {
        return 1;
    }
    return d->nr == SYS_ioctl ? do_ioctl(a, s, ret) : do_rw(a, s, ret);
}

static void listener_ready(struct watch *w)
{
    struct asked a = { .listener = w->fd };
    struct seccomp_notif_resp r = { 0 };
    int64_t ret = 0;

    if (ioctl(w->fd, SECCOMP_IOCTL_NOTIF_RECV, &a.n) != 0) {
        struct pollfd p = { .fd = w->fd };

        /* The caller was killed in between, or nobody is left under the filter. */
        if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) != 0) {
            close(w->fd);
        }
        return;
    }
    r.id = a.n.id;
    a.p = who((pid_t)a.n.pid);
    /* The number may be another process's by now: only an id that still holds says it is not. */
    if (a.p == NULL || ioctl(w->fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &a.n.id) != 0) {
        return;
    }
    san_enter(a.p->mm, NULL, 0);
    if (serve(&a, &ret) != 0) {
        r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else if (ret < 0) {
        r.error = (int32_t)ret;
    } else {
        r.val = ret;
    }
    san_enter(NULL, NULL, 0);
    (void)ioctl(w->fd, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

int seccomp_serve(int listener)
{
    struct watch *w = calloc(1, sizeof(*w));

    if (w == NULL) {
        return -ENOMEM;
    }
    *w = (struct watch){ listener, listener_ready, NULL };
    return server_watch(w);
}
