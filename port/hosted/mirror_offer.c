/* SPDX-License-Identifier: BSD-2-Clause */
/* A process offers part of its memory: the filter that makes its calls wait, the events, the message. */
#include "mirror_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mirror_msg.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif
#ifndef UFFDIO_MOVE
#define UFFDIO_MOVE _IOWR(UFFDIO, 0x05, uint64_t[5])
#endif

#if defined(__x86_64__)
#define NATIVE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define NATIVE AUDIT_ARCH_AARCH64
#else
#error "mirror_offer: which audit architecture is this?"
#endif

/* Calls that can change what an address shows, whatever their arguments. */
static const int calls[] = {
    SYS_munmap,
    SYS_mremap,
    SYS_madvise,
    SYS_mprotect,
    SYS_pkey_mprotect,
    SYS_brk,
    SYS_shmat,
    SYS_shmdt,
    SYS_clone,
    SYS_clone3,
    SYS_execve,
    SYS_execveat,
    SYS_remap_file_pages,
    SYS_exit_group,
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
    SYS_io_uring_setup, /* its requests are no calls: it ends the mirror */
};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RET(what)   BPF_STMT(BPF_RET | BPF_K, what)
/* Equal: the next instruction; else skip n. */
#define UNLESS(value, n) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, n)
#define ARG_LOW(i)       offsetof(struct seccomp_data, args) + (i)*8

static int filter_install(void)
{
    struct sock_filter prog[24 + 2 * sizeof(calls) / sizeof(calls[0])];
    unsigned n = 0;
    const struct sock_filter head[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NATIVE, 1, 0),
        RET(SECCOMP_RET_ERRNO | ENOSYS),
        LOAD(nr),
        /* x86-64's second table of numbers (x32) */
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1),
        RET(SECCOMP_RET_ERRNO | ENOSYS),
        /* mmap replaces only with MAP_FIXED */
        UNLESS(SYS_mmap, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(3)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_FIXED, 0, 1),
        RET(SECCOMP_RET_USER_NOTIF),
        RET(SECCOMP_RET_ALLOW),
        /* a userfaultfd of its own can move and protect pages */
        UNLESS(SYS_ioctl, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG_LOW(1)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)UFFDIO_MOVE, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)UFFDIO_WRITEPROTECT, 0, 1),
        RET(SECCOMP_RET_USER_NOTIF),
        RET(SECCOMP_RET_ALLOW),
    };

    memcpy(prog, head, sizeof(head));
    n = sizeof(head) / sizeof(head[0]);
    for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        prog[n++] = (struct sock_filter)UNLESS((uint32_t)calls[i], 1);
        prog[n++] = (struct sock_filter)RET(SECCOMP_RET_USER_NOTIF);
    }
    prog[n++] = (struct sock_filter)RET(SECCOMP_RET_ALLOW);

    struct sock_fprog fprog = { .len = (unsigned short)n, .filter = prog };
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_TSYNC |
                          SECCOMP_FILTER_FLAG_TSYNC_ESRCH | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return -errno;
    }
    long fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &fprog);

    return fd < 0 ? -errno : (int)fd;
}

static int events_open(void *start, size_t len, const char **why)
{
    long fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

    if (fd < 0) {
        *why = errno == EPERM ? "userfaultfd is not permitted here (a container's filter, or a "
                                "kernel before 5.11 "
                                "with vm.unprivileged_userfaultfd = 0)"
                              : "this kernel has no userfaultfd";
        return -errno;
    }
    /* Fork events need a privilege (CAP_SYS_PTRACE): they are not asked for. */
    struct uffdio_api api = { .api = UFFD_API,
                              .features = UFFD_FEATURE_EVENT_UNMAP | UFFD_FEATURE_EVENT_REMAP |
                                          UFFD_FEATURE_EVENT_REMOVE |
                                          UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                          UFFD_FEATURE_WP_HUGETLBFS_SHMEM };
    /* Write-protect mode, with nothing protected: events come, and no page fault ever waits. */
    struct uffdio_register reg = { .range = { .start = (uintptr_t)start, .len = len },
                                   .mode = UFFDIO_REGISTER_MODE_WP };

    if (ioctl((int)fd, UFFDIO_API, &api) != 0 || ioctl((int)fd, UFFDIO_REGISTER, &reg) != 0) {
        int err = -errno;

        *why = "this kernel's userfaultfd has no events, or no write-protect mode, for this memory";
        close((int)fd);
        return err;
    }
    return (int)fd;
}

/* A ring that was set up before the filter takes requests that no filter sees (madvise is one). */
static bool has_ring(void)
{
    DIR *d = opendir("/proc/self/fd");
    struct dirent *e;
    bool found = false;

    while (d != NULL && !found && (e = readdir(d)) != NULL) {
        char to[64] = "";

        found = readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1) > 0 &&
                strcmp(to, "anon_inode:[io_uring]") == 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return found;
}

static bool can_shrink(int fd)
{
    int seals = fcntl(fd, F_GET_SEALS);

    return seals < 0 || (seals & F_SEAL_SHRINK) == 0;
}

static int send_offer(int sock, struct mirror_msg *msg, const int *fds, unsigned n)
{
    union {
        char buf[CMSG_SPACE((2 + MIRROR_BACKINGS) * sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec iov = { .iov_base = msg, .iov_len = sizeof(*msg) };
    struct msghdr h = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (n != 0) {
        h.msg_control = control.buf;
        h.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&h);

        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    }
    return sendmsg(sock, &h, MSG_NOSIGNAL) == (ssize_t)sizeof(*msg) ? 0 : -EPIPE;
}

int mirror_offer(int sock, void *start, size_t len, unsigned how, const int *backing,
                 unsigned backings, const char **why)
{
    struct mirror_msg msg = { .magic = MIRROR_MAGIC,
                              .start = (uintptr_t)start,
                              .len = len,
                              .pid = getpid(),
                              .how = how,
                              .backings = backings };
    int fds[2 + MIRROR_BACKINGS];
    unsigned n = 0;
    int err = 0;

    *why = "the range must be whole pages, and watched somehow";
    if ((((uintptr_t)start | len) & (PAGE_SIZE - 1)) != 0 || len == 0 || how == 0 ||
        (how & ~(unsigned)(WATCH_CALLS | WATCH_EVENTS)) != 0 || backings > MIRROR_BACKINGS) {
        return -EINVAL;
    }
    for (unsigned i = 0; i < backings; i++) {
        if (can_shrink(backing[i])) {
            *why = "a file that is offered must be a memfd sealed with F_SEAL_SHRINK";
            return -EPERM;
        }
    }
    if ((how & WATCH_CALLS) != 0 && has_ring()) {
        *why = "this process uses io_uring, whose requests are no calls that could be watched";
        return -EBUSY;
    }
    /* The mirror reads /proc/PID/maps and, of private memory, through process_vm_readv: where Yama
     * allows that to ancestors only, to whom is told so too. */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
    if ((how & WATCH_EVENTS) != 0) {
        int events = events_open(start, len, why);

        if (events < 0) {
            return events;
        }
        fds[n++] = events;
    }
    if ((how & WATCH_CALLS) != 0) {
        int listener = filter_install();

        if (listener < 0) {
            *why = listener == -EBUSY ? "this process has a seccomp listener already"
                                      : "this kernel has no seccomp user notification (5.19)";
            if (n != 0) {
                close(fds[0]);
            }
            return listener;
        }
        fds[n++] = listener;
    }
    unsigned own = n;

    for (unsigned i = 0; i < backings; i++) {
        fds[n++] = backing[i];
    }
    err = send_offer(sock, &msg, fds, n);
    /* Only the mirror may hold these: when it dies, nobody waits for an answer for ever. */
    for (unsigned i = 0; i < own; i++) {
        close(fds[i]);
    }
    char go = 0;

    if (err != 0 || read(sock, &go, 1) != 1 || go != 1) {
        *why = "nobody follows at the other end";
        return -EPIPE;
    }
    *why = NULL;
    return 0;
}
