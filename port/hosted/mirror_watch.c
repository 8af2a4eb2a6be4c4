/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Watching a process: its calls before they take effect, or the kernel's events after.
 *
 * A call that waits in the filter is let go with SECCOMP_USER_NOTIF_FLAG_CONTINUE once the mirror has
 * dropped its range. (All arguments that count are in registers, which no other thread can change
 * meanwhile.) The kernel does not say when the call is over, so the range stays in change until the
 * thread is seen elsewhere: settle().
 */
#include "mirror_proc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "mirror_msg.h"
#include "tenon/port.h"

static struct mirror_watch *of(struct mirror *m)
{
    return (struct mirror_watch *)m; /* first member */
}

static void count(uint64_t *counter, unsigned n)
{
    __atomic_add_fetch(counter, n, __ATOMIC_ACQ_REL);
}

/* ---- the offer ---- */

int mirror_watch_take(struct mirror_watch *w, int sock)
{
    struct mirror_msg msg = { 0 };
    union {
        char buf[CMSG_SPACE((2 + MIRROR_BACKINGS) * sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec iov = { .iov_base = &msg, .iov_len = sizeof(msg) };
    struct msghdr h = { .msg_iov = &iov,
                        .msg_iovlen = 1,
                        .msg_control = control.buf,
                        .msg_controllen = sizeof(control.buf) };
    int fds[2 + MIRROR_BACKINGS] = { 0 };
    unsigned got = 0, n = 0;
    ssize_t len = recvmsg(sock, &h, MSG_CMSG_CLOEXEC | MSG_WAITALL);

    *w = (struct mirror_watch){ .listener = -1, .events = -1, .pidfd = -1, .stop = { -1, -1 } };
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c != NULL; c = CMSG_NXTHDR(&h, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            got = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(c), got * sizeof(int));
        }
    }
    bool right = len == (ssize_t)sizeof(msg) && msg.magic == MIRROR_MAGIC &&
                 msg.backings <= MIRROR_BACKINGS && (msg.how & ~3u) == 0 &&
                 got == msg.backings + (msg.how & 1) + (msg.how >> 1);

    if (!right) {
        while (got != 0) {
            close(fds[--got]);
        }
        return len <= 0 ? -EPIPE : -EPROTO;
    }
    w->pid = msg.pid;
    w->start = msg.start;
    w->len = msg.len;
    w->how = msg.how;
    w->events = (msg.how & WATCH_EVENTS) != 0 ? fds[n++] : -1;
    w->listener = (msg.how & WATCH_CALLS) != 0 ? fds[n++] : -1;
    for (; w->backings < msg.backings; w->backings++) {
        struct stat st = { 0 };

        w->backing[w->backings] = fds[n++];
        (void)fstat(w->backing[w->backings], &st);
        w->backing_dev[w->backings] = st.st_dev;
        w->backing_ino[w->backings] = st.st_ino;
    }
    w->pidfd = (int)syscall(SYS_pidfd_open, w->pid, 0);
    return 0;
}

/* ---- what the process has at an address ---- */

static uint64_t output_of(const struct mirror_watch *w, bool shared, unsigned maj, unsigned min,
                          uint64_t ino, uint64_t start, uint64_t offset)
{
    /* A private mapping of the file is the file's frame only until the process writes to it, and
     * nothing tells when that is: by address, then. */
    for (unsigned i = 0; shared && i < w->backings; i++) {
        uint64_t dev = w->backing_dev[i];

        if (w->backing_ino[i] == ino && major(dev) == maj && minor(dev) == min) {
            return MIRROR_OA_BACKING(i) + offset;
        }
    }
    return MIRROR_OA_PROCESS + start;
}

/* Events come only of mappings that were there when the range was registered (and of what mremap made
 * of them): those that carry the flag of write-protect mode. In smaps, flags follow their mapping. */
static bool has_events(FILE *smaps)
{
    char line[512];

    while (fgets(line, sizeof(line), smaps) != NULL) {
        if (strncmp(line, "VmFlags:", 8) == 0) {
            return strstr(line, " uw") != NULL;
        }
    }
    return false;
}

static int find(struct mirror *m, uint64_t va, uint32_t access, struct mirror_run *run)
{
    struct mirror_watch *w = of(m);
    char line[512];
    int err = -EFAULT;
    bool events_only = (w->how & WATCH_CALLS) == 0;

    snprintf(line, sizeof(line), "/proc/%d/%s", w->pid, events_only ? "smaps" : "maps");
    FILE *f = fopen(line, "re");

    if (f == NULL) {
        return -EFAULT; /* it is gone */
    }
    while (err == -EFAULT && fgets(line, sizeof(line), f) != NULL) {
        unsigned long start, end, offset, ino;
        unsigned maj, min;
        char perm[5];

        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, perm, &offset, &maj, &min,
                   &ino) != 7) {
            continue; /* the rest of a long line */
        }
        if (va < start || va >= end) {
            continue;
        }
        *run =
            (struct mirror_run){ .va = start,
                                 .last = end - 1,
                                 .oa = output_of(w, perm[3] == 's', maj, min, ino, start, offset),
                                 .prot = (perm[0] == 'r' ? PT_READ : 0u) |
                                         (perm[1] == 'w' ? PT_WRITE : 0u) };
        err = (access & ~run->prot) != 0 || (run->prot & PT_READ) == 0 ? -EPERM : 0;
        if (events_only && !has_events(f)) {
            err = -EFAULT; /* its end would not be told */
            break;
        }
    }
    fclose(f);
    return err;
}

static const struct mirror_ops watch_ops = { .find = find };

/* ---- changes under way ---- */

/* Is the thread out of the call that it was let go into? */
static bool is_over(const struct watch_pending *p)
{
    char path[48], text[32] = "";

    snprintf(path, sizeof(path), "/proc/%d/syscall", p->tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return errno == ENOENT;
    }
    ssize_t n = read(fd, text, sizeof(text) - 1);
    int why = errno;

    close(fd);
    if (n <= 0) {
        return n < 0 && why == ESRCH;
    }
    /* It waits, in a call: this one, or another? A second call of this kind would have told us. */
    char *end = text;
    long nr = strtol(text, &end, 10);

    return end != text && nr != p->nr; /* else "running": who knows where */
}

/* Ends the changes of this thread (it is here again), or of every thread that is seen elsewhere. */
static void settle(struct mirror_watch *w, pid_t tid)
{
    pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < WATCH_PENDING; i++) {
        struct watch_pending *p = &w->pending[i];

        if (p->tid != 0 && (tid != 0 ? p->tid == tid : is_over(p))) {
            mirror_end(&w->m, p->token[0]);
            mirror_end(&w->m, p->token[1]);
            p->tid = 0;
            count(&w->settled, 1);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

static void ended(struct mirror_watch *w, const char *why)
{
    if (__atomic_load_n(&w->ended, __ATOMIC_ACQUIRE) == NULL) {
        mirror_stop(&w->m);
        __atomic_store_n(&w->ended, why, __ATOMIC_RELEASE);
    }
}

/* ---- calls ---- */

struct span {
    uint64_t va, len;
};
#define EVERYTHING ((struct span){ 0, ~0ull })
#define NOTHING    ((struct span){ 0, 0 })

static bool harmless(int advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
        return true;
    default:
        return false; /* those that take pages, and those that nobody knows yet */
    }
}

/* What the call can change: at most two spans. */
static void spans_of(const struct mirror_watch *w, const struct seccomp_data *d, struct span out[2])
{
    const __u64 *a = d->args;

    out[0] = NOTHING;
    out[1] = NOTHING;
    switch (d->nr) {
    case SYS_munmap:
    case SYS_mprotect:
    case SYS_pkey_mprotect:
    case SYS_mmap: /* MAP_FIXED */
        out[0] = (struct span){ a[0], a[1] };
        break;
    case SYS_madvise:
        out[0] = harmless((int)a[2]) ? NOTHING : (struct span){ a[0], a[1] };
        break;
    case SYS_mremap:
        out[0] = (struct span){ a[0], a[1] };
        if ((a[3] & MREMAP_FIXED) != 0) {
            out[1] = (struct span){ a[4], a[2] };
        }
        break;
    case SYS_brk: /* shrinks or grows up to where it is now */
        out[0] = (struct span){ a[0], a[0] == 0                  ? 0
                                      : w->start + w->len > a[0] ? w->start + w->len - a[0]
                                                                 : 0 };
        break;
    default: /* fork and the like: private pages become copy-on-write; and rare calls */
        out[0] = EVERYTHING;
        break;
    }
}

static pid_t process_of(pid_t tid)
{
    char line[128];
    int tgid = tid;

    snprintf(line, sizeof(line), "/proc/%d/status", tid);
    FILE *f = fopen(line, "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "Tgid: %d", &tgid) == 1) {
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return tgid;
}

static uint32_t begin(struct mirror_watch *w, struct span s)
{
    return s.len == 0 ? MIRROR_CHANGES : mirror_begin(&w->m, s.va, s.len);
}

/* The slot is taken before the call goes on. All taken by threads that nobody has seen since: those
 * changes then last as long as the mirror. */
static void remember(struct mirror_watch *w, pid_t tid, int nr, const uint32_t token[2])
{
    if (token[0] >= MIRROR_CHANGES && token[1] >= MIRROR_CHANGES) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    for (unsigned i = 0; i < WATCH_PENDING; i++) {
        if (w->pending[i].tid == 0) {
            w->pending[i] = (struct watch_pending){ tid, nr, { token[0], token[1] } };
            break;
        }
    }
    pthread_mutex_unlock(&w->lock);
}

/* Children have the same filter, and those of vfork or CLONE_VM the same memory. Which it is cannot
 * be asked for without a race, so whoever calls, the range is dropped. */
static void before_call(struct mirror_watch *w, const struct seccomp_notif *n)
{
    pid_t tid = (pid_t)n->pid;
    struct span s[2];

    settle(w, tid);
    switch (n->data.nr) {
    case SYS_execve:
    case SYS_execveat:
        if (process_of(tid) == w->pid) {
            ended(w, "it runs another program");
        }
        return;
    case SYS_exit_group:
        if (process_of(tid) == w->pid) {
            ended(w, "it has ended");
        }
        return;
    case SYS_io_uring_setup:
        ended(w, "it uses io_uring, whose requests cannot be watched");
        return;
    default:
        break;
    }
    spans_of(w, &n->data, s);
    uint32_t token[2] = { begin(w, s[0]), begin(w, s[1]) };

    count(&w->drops_before, token[0] < MIRROR_CHANGES || token[1] < MIRROR_CHANGES);
    remember(w, tid, n->data.nr, token);
}

static void on_call(struct mirror_watch *w)
{
    struct seccomp_notif n = { 0 };
    struct seccomp_notif_resp r = { 0 };

    if (ioctl(w->listener, SECCOMP_IOCTL_NOTIF_RECV, &n) != 0) {
        return; /* ENOENT: killed while it waited */
    }
    count(&w->calls, 1);
    before_call(w, &n);
    void (*on_go)(void *, int) = __atomic_load_n(&w->on_go, __ATOMIC_ACQUIRE);

    if (on_go != NULL) {
        on_go(w->ctx, n.data.nr);
    }
    r.id = n.id;
    r.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    (void)ioctl(w->listener, SECCOMP_IOCTL_NOTIF_SEND, &r);
}

/* ---- events ---- */

static void on_events(struct mirror_watch *w)
{
    struct uffd_msg msg;

    while (read(w->events, &msg, sizeof(msg)) == (ssize_t)sizeof(msg)) {
        uint64_t since = port_now();
        struct span s[2] = { NOTHING, NOTHING };

        switch (msg.event) {
        case UFFD_EVENT_UNMAP:
        case UFFD_EVENT_REMOVE:
            s[0] = (struct span){ msg.arg.remove.start, msg.arg.remove.end - msg.arg.remove.start };
            break;
        case UFFD_EVENT_REMAP:
            s[0] = (struct span){ msg.arg.remap.from, msg.arg.remap.len };
            s[1] = (struct span){ msg.arg.remap.to, msg.arg.remap.len };
            break;
        default:
            continue;
        }
        void (*on_event)(void *) = __atomic_load_n(&w->on_event, __ATOMIC_ACQUIRE);

        if (on_event != NULL) {
            on_event(w->ctx);
        }
        mirror_end(&w->m, begin(w, s[0]));
        mirror_end(&w->m, begin(w, s[1]));
        uint64_t took = port_now() - since;

        if (took > w->window_max_ns) {
            __atomic_store_n(&w->window_max_ns, took, __ATOMIC_RELAXED);
        }
        count(&w->events_seen, 1);
    }
}

static void *watch(void *arg)
{
    struct mirror_watch *w = arg;
    struct pollfd p[4] = { { .fd = w->stop[0], .events = POLLIN },
                           { .fd = w->listener, .events = POLLIN },
                           { .fd = w->events, .events = POLLIN },
                           { .fd = w->pidfd, .events = POLLIN } };

    for (;;) {
        if (poll(p, 4, -1) < 0 && errno != EINTR) {
            ended(w, "poll failed");
            return NULL;
        }
        if ((p[0].revents) != 0) {
            return NULL;
        }
        if ((p[1].revents & POLLIN) != 0) {
            on_call(w);
        } else if (p[1].revents != 0) {
            ended(w, "it has ended");
            p[1].fd = -1; /* nobody is left that has the filter */
        }
        if ((p[2].revents & POLLIN) != 0) {
            on_events(w);
        } else if (p[2].revents != 0) {
            p[2].fd = -1;
        }
        if (p[3].revents != 0) {
            ended(w, "it has ended");
            p[3].fd = -1; /* its children may go on, and make calls that need an answer */
        }
    }
}

/* ---- life ---- */

int mirror_watch_start(struct mirror_watch *w, int sock, struct space *io, uint64_t ia,
                       uint32_t prot)
{
    int err = mirror_init(&w->m, io, ia, w->start, w->len, prot, &watch_ops);

    if (err != 0) {
        return err;
    }
    if (pipe2(w->stop, O_CLOEXEC) != 0) {
        return -errno;
    }
    pthread_mutex_init(&w->lock, NULL);
    err = pthread_create(&w->thread, NULL, watch, w);
    if (err != 0) {
        return -err;
    }
    w->running = true;
    char go = 1;

    return write(sock, &go, 1) == 1 ? 0 : -EPIPE;
}

int mirror_watch_fault(struct mirror_watch *w, uint64_t ia, uint32_t access)
{
    int err = mirror_fault(&w->m, ia, access);

    if (err == -EAGAIN) {
        settle(w, 0);
        err = mirror_fault(&w->m, ia, access);
    }
    return err;
}

static void shut(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

void mirror_watch_stop(struct mirror_watch *w)
{
    if (w->running) {
        char one = 1;

        if (write(w->stop[1], &one, 1) != 1) {
            port_panic("mirror_watch: its own pipe is broken");
        }
        pthread_join(w->thread, NULL);
        ended(w, "nobody follows any more");
        w->running = false;
    }
    shut(&w->listener);
    shut(&w->events);
    shut(&w->pidfd);
    shut(&w->stop[0]);
    shut(&w->stop[1]);
    while (w->backings != 0) {
        shut(&w->backing[--w->backings]);
    }
}
