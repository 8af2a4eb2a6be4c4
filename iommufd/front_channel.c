/* SPDX-License-Identifier: BSD-2-Clause */
/* The preloaded library's channel to the server: one for each process, opened when it is needed. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "iommufd/front.h"

/*
 * Of this process alone: the kernel clears the page in a child, however it was made, so that it
 * opens a channel of its own.
 */
struct mine {
    pthread_mutex_t lock;
    int channel; /* 0: none */
    dev_t dev;
    ino_t ino; /* of the channel: a program may close what it does not know */
};
static struct mine *mine, *prepared;
static int channel_copy; /* survives in a child: the parent's, to be closed there */
static bool channel_is_ours(void)
{
    struct stat st;

    return mine->channel != 0 && front_fstat(mine->channel, &st) == 0 && st.st_dev == mine->dev &&
           st.st_ino == mine->ino;
}

/* Far from the numbers that a program looks at. */
static int move_up(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 900);

    if (high < 0) {
        return fd;
    }
    (void)syscall(SYS_close, fd);
    return high;
}

static int channel(void)
{
    const char *path = getenv(PROTO_ENV);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct stat st;

    if (channel_is_ours()) {
        return mine->channel;
    }
    if (path == NULL || strlen(path) >= sizeof(a.sun_path)) {
        return -1;
    }
    strcpy(a.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        (void)syscall(SYS_close, fd);
        return -1;
    }
    fd = move_up(fd);
    if (front_fstat(fd, &st) != 0) {
        return -1;
    }
    mine->channel = fd;
    mine->dev = st.st_dev;
    mine->ino = st.st_ino;
    channel_copy = fd;
    return fd;
}

static void in_child(void)
{
    /* The page is empty by now; the number of the parent's channel is not. */
    if (channel_copy != 0) {
        (void)syscall(SYS_close, channel_copy);
        channel_copy = 0;
    }
}

static bool transmit(int ch, const struct proto_req *req, const int *fds, unsigned n)
{
    union {
        char room[CMSG_SPACE(sizeof(int) * (PROTO_EXTRAS + 1))];
        struct cmsghdr align;
    } u;
    union {
        const void *c;
        void *v;
    } data = { req };
    struct iovec iov = { data.v, sizeof(*req) };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t sent;

    if (n != 0) {
        memset(&u, 0, sizeof(u));
        h.msg_control = u.room;
        h.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        struct cmsghdr *k = CMSG_FIRSTHDR(&h);

        k->cmsg_level = SOL_SOCKET;
        k->cmsg_type = SCM_RIGHTS;
        k->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(k), fds, sizeof(int) * n);
    }
    do {
        sent = sendmsg(ch, &h, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof(*req);
}

static bool receive(int ch, struct proto_rep *rep, int *fd, bool cloexec)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u;
    struct iovec iov = { rep, sizeof(*rep) };
    struct msghdr h;
    ssize_t got;

    do {
        h = (struct msghdr){ .msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = u.room,
                             .msg_controllen = sizeof(u.room) };
        got = recvmsg(ch, &h, cloexec ? MSG_CMSG_CLOEXEC : 0);
    } while (got < 0 && errno == EINTR);
    struct cmsghdr *k = CMSG_FIRSTHDR(&h);

    *fd = -1;
    if (got > 0 && k != NULL && k->cmsg_type == SCM_RIGHTS) {
        memcpy(fd, CMSG_DATA(k), sizeof(int));
    }
    return got == (ssize_t)sizeof(*rep);
}

/* One exchange. False: there is no server, or the process is out of descriptors. */
static bool ask_once(const struct proto_req *req, const int *fds, unsigned n, struct proto_rep *rep,
                     int *out, bool cloexec)
{
    bool ok = false;

    pthread_mutex_lock(&mine->lock);
    int ch = channel();

    if (ch >= 0) {
        ok = transmit(ch, req, fds, n) && receive(ch, rep, out, cloexec);
        if (!ok && channel_is_ours()) {
            (void)syscall(SYS_close, ch);
        }
        mine->channel = ok ? mine->channel : 0;
    }
    pthread_mutex_unlock(&mine->lock);
    return ok;
}

/* The same, with the descriptors that the server finds it needs. */
bool front_ask(struct proto_req *req, int fd, struct proto_rep *rep, int *out, bool cloexec)
{
    if (mine == NULL) {
        return false;
    }
    int fds[PROTO_EXTRAS + 1] = { fd };
    unsigned n = fd >= 0;

    for (;;) {
        if (!ask_once(req, fds, n, rep, out, cloexec)) {
            return false;
        }
        if (rep->ret != -PROTO_NEED || req->extras == PROTO_EXTRAS) {
            return true;
        }
        if (fcntl(rep->need_fd, F_GETFD) >= 0) {
            req->extra[req->extras++] = rep->need_fd;
            fds[n++] = rep->need_fd;
        } else {
            req->extra[req->extras++] = -1 - rep->need_fd;
        }
    }
}

bool front_prepare(void)
{
    void *p = (void *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED || madvise(p, 4096, MADV_WIPEONFORK) != 0) {
        return false;
    }
    pthread_atfork(NULL, NULL, in_child);
    prepared = p;
    return true;
}

void front_open(void)
{
    mine = prepared;
}

bool front_started(void)
{
    return mine != NULL;
}
