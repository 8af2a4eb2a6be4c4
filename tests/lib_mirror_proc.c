/* SPDX-License-Identifier: BSD-2-Clause */
/* The process that is followed: sets up its memory, offers it, and does as it is told. */
#include "lib_mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum proc_op { PROC_CALL, PROC_PEEK, PROC_POKE, PROC_CHILD, PROC_CHILD_GO, PROC_EXEC, PROC_RACE };

struct proc_msg {
    uint32_t op;
    long nr;
    uint64_t a[6];
};

struct proc_hello {
    uint64_t start;
    int err;
    char why[160];
};

static struct frame frame_table[8192];

void tm_memory(void)
{
    static bool once;

    if (!once) {
        assert_int_equal(hosted_arena_share(), 0);
        once = true;
    }
    frames_init(HOSTED_BASE, 8192, frame_table, OWNER_HYP);
    assert_int_equal(frame_pool_add_tables(HOSTED_BASE, 4096), 0);
}

void tm_be_ordinary(void)
{
    if (geteuid() == 0) {
        assert_int_equal(setgid(65534), 0);
        assert_int_equal(setuid(65534), 0);
        /* Taken away by the change of user; without it not even oneself may look at one's process. */
        assert_int_equal(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    }
}

void tm_end_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (getppid() != parent) {
        _exit(1);
    }
    alarm(TM_SECONDS);
}

/* ---- in the followed process ---- */

static long result(long r)
{
    return r < 0 ? -errno : r;
}

static struct {
    uint64_t at, len;
    int go[2];
    pid_t pid;
} child;

#if defined(__clang__)
#define NO_SANITIZER __attribute__((no_sanitize("address", "thread")))
#else
#define NO_SANITIZER __attribute__((no_sanitize_address, no_sanitize_thread))
#endif

/* Waits for its sign, and then makes its call: by itself, whatever the parent does meanwhile. */
NO_SANITIZER static int unmapping_child(void *arg)
{
    char sign;

    (void)arg;
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    syscall(SYS_read, child.go[0], &sign, 1);
    syscall(SYS_munmap, child.at, child.len);
    syscall(SYS_exit, 0);
    return 0;
}

static long child_starts(bool shares, uint64_t at, uint64_t len)
{
    static char stack[64 * 1024] __attribute__((aligned(16)));

    child.at = at;
    child.len = len;
    if (pipe(child.go) != 0) {
        return -errno;
    }
    child.pid =
        clone(unmapping_child, stack + sizeof(stack), (shares ? CLONE_VM : 0) | SIGCHLD, NULL);
    return child.pid < 0 ? -errno : 0;
}

static long child_goes(void)
{
    int status = 0;
    long err =
        write(child.go[1], "", 1) == 1 && waitpid(child.pid, &status, 0) == child.pid ? 0 : -errno;

    close(child.go[0]);
    close(child.go[1]);
    return err;
}

/* See tm_proc_race(). The frames are looked at by a mapping that is not offered. */
static long race(uint64_t start, uint64_t *alias, int file, unsigned rounds)
{
    long lost = 0;
    uint64_t r = 9;

    for (unsigned i = 0; i < rounds; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        uint64_t off = ((r >> 33) % 64) * PAGE_SIZE, word = 0xc0ffee0000000000u + i;
        uint64_t *frame = alias + off / 8;

        if (syscall(SYS_munmap, start + off, PAGE_SIZE) != 0) {
            return -errno;
        }
        __atomic_store_n(frame, word, __ATOMIC_SEQ_CST);
        for (unsigned k = 0; k < 20; k++) {
            lost += __atomic_load_n(frame, __ATOMIC_SEQ_CST) != word;
            sched_yield();
        }
        if (syscall(SYS_mmap, start + off, PAGE_SIZE, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_FIXED, file, off) < 0) {
            return -errno;
        }
    }
    return lost;
}

static void *map(uint64_t at, uint64_t len, int prot, int flags, int fd, uint64_t off)
{
    void *p = mmap((void *)(uintptr_t)at, len, prot, flags, fd, (off_t)off);

    if (p == MAP_FAILED) {
        _exit(3);
    }
    return p;
}

/* The range: a multiple of 2 MiB, everything in it as lib_mirror.h says. */
static uint64_t set_up(int file)
{
    uint64_t at = (uintptr_t)map(0, TM_LEN + 2 * MIB, PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint64_t start = (at + 2 * MIB - 1) & ~(2 * MIB - 1);
    int rw = PROT_READ | PROT_WRITE;

    map(start + TM_SHARED, 2 * MIB, rw, MAP_SHARED | MAP_FIXED, file, 0);
    map(start + TM_PRIVATE, 512 * KIB, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    map(start + TM_COPY, 64 * KIB, rw, MAP_PRIVATE | MAP_FIXED, file, TM_COPY_AT);
    map(start + TM_RO, 64 * KIB, PROT_READ, MAP_SHARED | MAP_FIXED, file, TM_RO_AT);
    munmap((void *)(uintptr_t)(start + TM_HOLE), 512 * KIB);
    return start;
}

static long obey(const struct proc_msg *m, uint64_t start, uint64_t *alias, int file)
{
    uint64_t *p = (uint64_t *)(uintptr_t)m->a[0];
    char *const argv[] = { "true", NULL };

    switch (m->op) {
    case PROC_CALL:
        return result(syscall(m->nr, m->a[0], m->a[1], m->a[2], m->a[3], m->a[4], m->a[5]));
    case PROC_PEEK:
        return (long)__atomic_load_n(p, __ATOMIC_SEQ_CST);
    case PROC_POKE:
        __atomic_store_n(p, m->a[1], __ATOMIC_SEQ_CST);
        return 0;
    case PROC_CHILD:
        return child_starts(m->nr != 0, m->a[0], m->a[1]);
    case PROC_CHILD_GO:
        return child_goes();
    case PROC_EXEC:
        execv("/bin/true", argv);
        return -errno;
    case PROC_RACE:
        return race(start, alias, file, (unsigned)m->a[0]);
    default:
        return -ENOSYS;
    }
}

_Noreturn static void proc_main(int offer, int sock, int file, uint64_t *alias, unsigned how)
{
    struct proc_hello hello = { 0 };
    struct proc_msg m;
    const char *why = NULL;

    hello.start = set_up(file);
    hello.err = mirror_offer(offer, (void *)(uintptr_t)hello.start, TM_LEN, how, &file, 1, &why);
    strncpy(hello.why, why != NULL ? why : "", sizeof(hello.why) - 1);
    close(offer);
    if (send(sock, &hello, sizeof(hello), MSG_NOSIGNAL) != (ssize_t)sizeof(hello) ||
        hello.err != 0) {
        _exit(1);
    }
    while (recv(sock, &m, sizeof(m), 0) == (ssize_t)sizeof(m)) {
        long r = obey(&m, hello.start, alias, file);

        if (send(sock, &r, sizeof(r), MSG_NOSIGNAL) != (ssize_t)sizeof(r)) {
            break;
        }
    }
    for (;;) {
        syscall(SYS_exit_group, 0); /* a watched call: it fails when nobody watches any more */
        kill(getpid(), SIGKILL);
    }
}

/* ---- in the test ---- */

static long answer(struct tm_proc *p)
{
    long r;

    assert_int_equal(recv(p->sock, &r, sizeof(r), 0), sizeof(r));
    return r;
}

static void order(struct tm_proc *p, const struct proc_msg *m)
{
    assert_int_equal(send(p->sock, m, sizeof(*m), MSG_NOSIGNAL), sizeof(*m));
}

static long told(struct tm_proc *p, const struct proc_msg *m)
{
    order(p, m);
    return answer(p);
}

static void tm_free(struct tm_rig *t)
{
    munmap(t->alias, TM_FILE);
    close(t->file);
}

const char *tm_open(struct tm_rig *t, unsigned how, const struct pt_config *cfg, uint32_t prot)
{
    static char why[200];
    int offer[2], orders[2];
    struct proc_hello hello = { 0 };
    pid_t parent = getpid();

    *t = (struct tm_rig){ .file = memfd_create("followed", MFD_CLOEXEC | MFD_ALLOW_SEALING) };
    assert_true(t->file >= 0);
    assert_int_equal(ftruncate(t->file, (off_t)TM_FILE), 0);
    assert_int_equal(fcntl(t->file, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    t->alias = map(0, TM_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, t->file, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, offer), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, orders), 0);
    t->p.pid = fork();
    assert_true(t->p.pid >= 0);
    if (t->p.pid == 0) {
        tm_end_with(parent);
        close(offer[0]);
        close(orders[0]);
        proc_main(offer[1], orders[1], t->file, t->alias, how);
    }
    close(offer[1]);
    close(orders[1]);
    t->p.sock = orders[0];
    if (mirror_watch_take(&t->w, offer[0]) != 0) {
        assert_int_equal(recv(t->p.sock, &hello, sizeof(hello), 0), sizeof(hello));
        snprintf(why, sizeof(why), "%s (%s)", hello.why, strerror(-hello.err));
        close(offer[0]);
        tm_proc_stop(&t->p);
        tm_free(t);
        return why;
    }
    t->start = t->w.start;
    assert_int_equal(space_init(&t->s, SPACE_IO, cfg), 0);
    tm_device_start(&t->d, &t->s, &t->w);
    assert_int_equal(mirror_watch_start(&t->w, offer[0], &t->s, TM_IA, prot), 0);
    assert_int_equal(recv(t->p.sock, &hello, sizeof(hello), 0), sizeof(hello));
    assert_int_equal(hello.err, 0);
    assert_int_equal(hello.start, t->start);
    close(offer[0]);
    return NULL;
}

void tm_close(struct tm_rig *t)
{
    tm_proc_stop(&t->p);
    mirror_watch_stop(&t->w);
    tm_device_stop(&t->d);
    assert_int_equal(space_remove_walker(&t->s, &t->d.inv), 0);
    space_destroy(&t->s);
    tm_free(t);
}

void tm_proc_stop(struct tm_proc *p)
{
    if (p->pid != 0) {
        close(p->sock);
        assert_int_equal(waitpid(p->pid, NULL, 0), p->pid);
        p->pid = 0;
    }
}

long tm_proc_call(struct tm_proc *p, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                  uint64_t e, uint64_t f)
{
    return told(p, &(struct proc_msg){ .op = PROC_CALL, .nr = nr, .a = { a, b, c, d, e, f } });
}

uint64_t tm_proc_peek(struct tm_proc *p, uint64_t at)
{
    return (uint64_t)told(p, &(struct proc_msg){ .op = PROC_PEEK, .a = { at } });
}

void tm_proc_poke(struct tm_proc *p, uint64_t at, uint64_t value)
{
    (void)told(p, &(struct proc_msg){ .op = PROC_POKE, .a = { at, value } });
}

long tm_proc_child(struct tm_proc *p, bool shares, uint64_t at, uint64_t len)
{
    return told(p, &(struct proc_msg){ .op = PROC_CHILD, .nr = shares, .a = { at, len } });
}

long tm_proc_child_unmaps(struct tm_proc *p)
{
    return told(p, &(struct proc_msg){ .op = PROC_CHILD_GO });
}

void tm_proc_exec(struct tm_proc *p)
{
    char none;

    order(p, &(struct proc_msg){ .op = PROC_EXEC });
    /* The new program has no sockets of ours. */
    assert_int_equal(recv(p->sock, &none, 1, 0), 0);
}

void tm_proc_race(struct tm_proc *p, unsigned rounds)
{
    order(p, &(struct proc_msg){ .op = PROC_RACE, .a = { rounds } });
}

long tm_proc_raced(struct tm_proc *p)
{
    return answer(p);
}
