/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's loop: who is connected, and one message after the other. */
#include "iommufd/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iommufd/proto.h"
#include "iommufd/swdev.h"

#define FDS (PROTO_EXTRAS + 1)

static int loop = -1, ends = -1;
static struct proc *procs;
static struct watch listener, signals, ended;
static pid_t main_child;
static int child_status;
static bool child_done;
static unsigned streams_open, opened;

/* ---- the two sets ---- */

static void ends_ready(struct watch *w)
{
    (void)w;
    server_settle();
}

static int sets_open(void)
{
    if (loop < 0) {
        loop = epoll_create1(EPOLL_CLOEXEC);
        ends = epoll_create1(EPOLL_CLOEXEC);
        ended = (struct watch){ .fd = ends, .fn = ends_ready };
        struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)&ended | 1 };

        return loop < 0 || ends < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, ends, &e) != 0 ? -errno : 0;
    }
    return 0;
}

static int loop_add(struct watch *w, bool stays)
{
    struct epoll_event e = { .events = EPOLLIN, .data.u64 = (uint64_t)(uintptr_t)w | stays };
    int err = sets_open();

    return err != 0 ? err : epoll_ctl(loop, EPOLL_CTL_ADD, w->fd, &e) != 0 ? -errno : 0;
}

int server_watch(struct watch *w)
{
    return loop_add(w, true);
}

/* A pointer's lowest bit says what it is: in `ends` a process, in `loop` a watch that stays. */
static int ends_add(int fd, void *what, bool process)
{
    struct epoll_event e = { .events = process ? EPOLLIN : EPOLLRDHUP,
                             .data.u64 = (uint64_t)(uintptr_t)what | process };
    int err = sets_open();

    return err != 0 ? err : epoll_ctl(ends, EPOLL_CTL_ADD, fd, &e) != 0 ? -errno : 0;
}

int server_watch_end(int fd, struct stream *s)
{
    int err = ends_add(fd, s, false);

    streams_open += err == 0;
    return err;
}

void server_end_gone(void)
{
    streams_open--;
}

static void stream_ended(struct stream *s)
{
    switch (s->kind) {
    case STREAM_CTX:
        ctx_put(s->object);
        break;
    case STREAM_EVENTQ:
        eventq_closed(s->object);
        break;
    case STREAM_ACCESS:
        access_closed(s->object);
        break;
    case STREAM_DEVICE:
        sw_closed(s->object);
        break;
    case STREAM_GROUP:
        group_closed(s->object);
        break;
    }
    stream_drop(s);
}

static void proc_end(struct proc *p)
{
    struct proc **at = &procs;

    while (*at != NULL && *at != p) {
        at = &(*at)->next;
    }
    *at = p->next;
    if (p->w.fd >= 0) {
        close(p->w.fd);
    }
    if (p->pidfd >= 0) {
        close(p->pidfd);
    }
    mm_gone(p->mm);
    mm_put(p->mm);
    free(p);
}

void server_settle(void)
{
    struct epoll_event e;

    while (epoll_wait(ends, &e, 1, 0) == 1) {
        void *what = (void *)(uintptr_t)(e.data.u64 & ~(uint64_t)1);

        if ((e.data.u64 & 1) != 0) {
            proc_end(what);
        } else {
            stream_ended(what);
        }
    }
}

/* ---- processes ---- */

static struct proc *proc_new(pid_t pid, uid_t uid, int channel)
{
    struct proc *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return NULL;
    }
    *p = (struct proc){ .w = { .fd = channel }, .next = procs };
    p->mm = mm_new(pid, uid);
    p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p->mm == NULL) {
        if (p->pidfd >= 0) {
            close(p->pidfd);
        }
        free(p);
        return NULL;
    }
    procs = p;
    if (p->pidfd < 0 || ends_add(p->pidfd, p, true) != 0) {
        mm_gone(p->mm); /* ended already, or not to be seen: nothing of it can be reached */
    }
    return p;
}

static struct proc *proc_find(pid_t pid)
{
    struct proc *p = procs;

    while (p != NULL && p->mm->pid != pid) { /* few: one for each process that is connected */
        p = p->next;
    }
    return p;
}

struct proc *proc_of(pid_t pid, uid_t uid)
{
    struct proc *p = proc_find(pid);

    if (p != NULL && mm_replaced(p->mm)) { /* it became another program */
        proc_end(p);
        p = NULL;
    }
    return p != NULL ? p : proc_new(pid, uid, -1);
}

/* ---- messages ---- */

struct message {
    struct proto_req req;
    int fd[FDS];
    unsigned fds;
};

static int fd_of_message(struct call *c, int fd)
{
    struct message *m = c->front;

    for (unsigned i = 0; i < m->req.extras && i < PROTO_EXTRAS; i++) {
        if (m->req.extra[i] == -1 - fd) {
            return -EBADF;
        }
        if (m->req.extra[i] == fd) {
            unsigned at = 1; /* those that exist follow the first, in order */

            for (unsigned k = 0; k < i; k++) {
                at += m->req.extra[k] >= 0;
            }
            int copy = at < m->fds ? fcntl(m->fd[at], F_DUPFD_CLOEXEC, 3) : -1;

            return copy >= 0 ? copy : at < m->fds ? -EMFILE : -EBADF;
        }
    }
    if (fd < 0) {
        return -EBADF;
    }
    c->need_fd = fd;
    return -ENEEDFD;
}

int server_node(const char *path)
{
    unsigned n;
    int end = 0;

    if (sscanf(path, "/dev/vfio/devices/vfio%u%n", &n, &end) == 1 && end > 0 && path[end] == 0 &&
        n < sw_count()) {
        return (int)(PROTO_NODE_DEVICE + n);
    }
    if (sscanf(path, "/dev/vfio/%u%n", &n, &end) == 1 && end > 0 && path[end] == 0 &&
        n < sw_count()) {
        return (int)(PROTO_NODE_GROUP + n);
    }
    return strcmp(path, "/dev/iommu") == 0       ? PROTO_NODE_IOMMU
           : strcmp(path, "/dev/vfio/vfio") == 0 ? PROTO_NODE_VFIO
                                                 : -1;
}

unsigned server_opened(void)
{
    return opened;
}

int server_open_node(unsigned node, int *out)
{
    opened++;
    if (node >= PROTO_NODE_GROUP) {
        struct sw_dev *d = sw_number(node - PROTO_NODE_GROUP);

        return d != NULL ? group_open(d, out) : -ENOENT;
    }
    if (node >= PROTO_NODE_DEVICE) {
        struct sw_dev *d = sw_number(node - PROTO_NODE_DEVICE);

        return d != NULL ? sw_open(d, out) : -ENOENT;
    }
    struct ctx *c = ctx_new(node == PROTO_NODE_VFIO);
    struct stream *s = c != NULL ? stream_new(STREAM_CTX, c, out) : NULL;

    if (s == NULL && c != NULL) {
        ctx_put(c);
    }
    return s != NULL ? 0 : c != NULL ? -ENFILE : -ENOMEM;
}

int64_t server_rw(struct mm *mm, struct stream *s, uint64_t uptr, uint64_t len, uint64_t offset,
                  bool at, bool write)
{
    if (s->kind == STREAM_DEVICE && at) {
        return vfio_rw(s->object, mm, uptr, len, offset, write);
    }
    if (s->kind == STREAM_EVENTQ && !at) {
        return write ? eventq_write(s->object, mm, uptr, len)
                     : eventq_read(s->object, mm, uptr, len);
    }
    return -EINVAL;
}

int server_ioctl(struct call *c, struct stream *s)
{
    switch (s->kind) {
    case STREAM_CTX:
        c->ctx = s->object;
        return ctx_ioctl(c);
    case STREAM_DEVICE:
        return vfio_ioctl(c, s->object);
    case STREAM_GROUP:
        return group_ioctl(c, s->object);
    default:
        return -ENOTTY;
    }
}

static int64_t do_mmap(struct stream *s, uint64_t offset, uint64_t len, int *out_fd)
{
    uint64_t at = 0;
    int fd, err = 0;

    if (s->kind == STREAM_DEVICE) {
        err = vfio_mmap(s->object, offset, len, &fd, &at);
    } else if (s->kind == STREAM_CTX) {
        fd = mmap_find(s->object, offset, len);
        err = fd < 0 ? fd : 0;
    } else {
        err = -ENODEV;
    }
    *out_fd = err == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    return err != 0 ? err : *out_fd < 0 ? -ENFILE : (int64_t)at;
}

static void answer(struct proc *p, struct message *m, struct proto_rep *rep, int *out_fd)
{
    struct stream *s = m->fds != 0 ? stream_of_fd(m->fd[0]) : NULL;
    struct call c = { .mm = p->mm,
                      .cmd = m->req.cmd,
                      .arg = m->req.arg,
                      .fd_get = fd_of_message,
                      .out_fd = -1,
                      .front = m };

    rep->ret = -PROTO_NOT_US;
    san_enter(p->mm, m->req.frame, m->req.frames);
    switch (m->req.op) {
    case PROTO_OPEN:
        rep->ret = server_open_node((unsigned)m->req.arg, out_fd);
        break;
    case PROTO_IOCTL:
        if (s != NULL) {
            rep->ret = server_ioctl(&c, s);
            rep->out_at = c.out_at;
            rep->need_fd = c.need_fd;
            *out_fd = c.out_fd;
            rep->sleep_ms = m->req.cmd == U_IO(U_IOAS_UNMAP) ? sw_options.slow_unmap_ms : 0;
        }
        break;
    case PROTO_READ:
    case PROTO_WRITE:
    case PROTO_PREAD:
    case PROTO_PWRITE:
        rep->ret = s == NULL ? -PROTO_NOT_US
                             : server_rw(p->mm, s, m->req.arg, m->req.len, m->req.offset,
                                         m->req.op >= PROTO_PREAD,
                                         m->req.op == PROTO_WRITE || m->req.op == PROTO_PWRITE);
        if (s != NULL) {
            rep->drain = s->drain;
            s->drain = false;
        }
        break;
    case PROTO_MMAP:
        if (s != NULL) {
            rep->ret = do_mmap(s, m->req.arg, m->req.len, out_fd);
        }
        break;
    case PROTO_STATUS: {
        struct proc *who = proc_find((pid_t)m->req.arg);

        rep->ret = who != NULL ? 0 : -ESRCH;
        rep->value[0] = who != NULL ? (uint64_t)who->mm->pinned : 0;
        rep->value[1] = who != NULL ? (uint64_t)who->mm->locked : 0;
        break;
    }
    default:
        rep->ret = -EINVAL;
    }
}

static bool receive(int fd, struct message *m)
{
    char room[CMSG_SPACE(sizeof(int) * FDS)];
    struct iovec iov = { &m->req, sizeof(m->req) };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room)
    };
    ssize_t n = recvmsg(fd, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    m->fds = 0;
    for (struct cmsghdr *k = CMSG_FIRSTHDR(&h); n >= 0 && k != NULL; k = CMSG_NXTHDR(&h, k)) {
        if (k->cmsg_level == SOL_SOCKET && k->cmsg_type == SCM_RIGHTS) {
            m->fds = (unsigned)((k->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(m->fd, CMSG_DATA(k), m->fds * sizeof(int));
        }
    }
    return n == (ssize_t)sizeof(m->req) && (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

static bool reply(int fd, const struct proto_rep *rep, int out_fd)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u;
    union {
        const void *c;
        void *v;
    } data = { rep };
    struct iovec iov = { data.v, sizeof(*rep) };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (out_fd >= 0) {
        memset(&u, 0, sizeof(u));
        h.msg_control = u.room;
        h.msg_controllen = sizeof(u.room);
        struct cmsghdr *k = CMSG_FIRSTHDR(&h);

        k->cmsg_level = SOL_SOCKET;
        k->cmsg_type = SCM_RIGHTS;
        k->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(k), &out_fd, sizeof(int));
    }
    return sendmsg(fd, &h, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(*rep);
}

static void channel_ready(struct watch *w)
{
    struct proc *p = w->ctx;
    struct message m;
    struct proto_rep rep = { 0 };
    int out_fd = -1;
    bool ok = receive(w->fd, &m);

    if (ok) {
        answer(p, &m, &rep, &out_fd);
        san_enter(NULL, NULL, 0);
        if (rep.ret < 0 && out_fd >= 0) {
            close(out_fd);
            out_fd = -1;
        }
    }
    /* Closed before the answer goes out: a close() of the client's must be the last one. */
    for (unsigned i = 0; i < m.fds; i++) {
        close(m.fd[i]);
    }
    if (ok) {
        ok = reply(w->fd, &rep, out_fd);
    }
    if (out_fd >= 0) {
        close(out_fd);
    }
    if (!ok) { /* it ended, became another program, or does not keep to the rules */
        proc_end(p);
    }
}

static void listener_ready(struct watch *w)
{
    int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (fd < 0) {
        return;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        close(fd);
        return;
    }
    struct proc *old = proc_find(cred.pid);

    if (old != NULL) { /* the same process in another program: its memory is another one */
        proc_end(old);
    }
    struct proc *p = proc_new(cred.pid, cred.uid, fd);

    if (p == NULL) {
        close(fd);
        return;
    }
    p->w.fn = channel_ready;
    p->w.ctx = p;
    if (loop_add(&p->w, false) != 0) {
        proc_end(p);
    }
}

/* ---- life ---- */

int server_listen(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof(a.sun_path)) {
        return -ENAMETOOLONG;
    }
    strcpy(a.sun_path, path);
    listener.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    listener.fn = listener_ready;
    if (listener.fd < 0 || bind(listener.fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        listen(listener.fd, 4096) != 0) {
        return -errno;
    }
    return server_watch(&listener);
}

/* To the program; when it has ended, its number may be another's: then to those that stayed. */
static void send_on(int signo)
{
    if (!child_done) {
        kill(main_child, signo);
        return;
    }
    for (struct proc *p = procs; p != NULL; p = p->next) {
        kill(p->mm->pid, signo);
    }
}

static void signal_ready(struct watch *w)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    if (read(w->fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    if (info.ssi_signo != SIGCHLD && info.ssi_code != SI_KERNEL) { /* a terminal's went to all */
        send_on((int)info.ssi_signo);
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == main_child) {
            child_done = true;
            child_status = status;
        }
    }
}

/* Once, when those that the program left behind stay for two seconds: it looks like a hang. */
static void say_who_stays(uint64_t *when)
{
    if (!child_done || (procs == NULL && streams_open == 0)) {
        return;
    }
    if (*when == 0) {
        *when = port_now() + 2000000000u;
    }
    if (port_now() < *when) {
        return;
    }
    *when = UINT64_MAX;
    fputs("tenon-iommufd: the program has ended; ", stderr);
    if (procs != NULL) {
        fprintf(stderr, "process %d, which it left, is still connected\n", (int)procs->mm->pid);
    } else {
        fputs("a process that it left still has a descriptor of ours\n", stderr);
    }
}

int server_run(pid_t child, const sigset_t *set)
{
    uint64_t when = 0;

    main_child = child;
    signals.fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
    signals.fn = signal_ready;
    if (signals.fd < 0 || server_watch(&signals) != 0) {
        return -1;
    }
    server_settle();
    while (!child_done || procs != NULL || streams_open != 0) {
        struct epoll_event e;

        if (epoll_wait(loop, &e, 1, child_done ? 50 : -1) == 1) {
            struct watch *w = (struct watch *)(uintptr_t)(e.data.u64 & ~(uint64_t)1);
            struct proc *p;

            server_settle();
            /* It may have gone just now. */
            for (p = procs; p != NULL && &p->w != w;) {
                p = p->next;
            }
            if (p != NULL || (e.data.u64 & 1) != 0) {
                w->fn(w);
            }
        }
        server_settle();
        say_who_stays(&when);
    }
    return child_status;
}
