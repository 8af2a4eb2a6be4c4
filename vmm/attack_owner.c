/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks on lifetimes: a disk that two want, and owners that die. */
#include "attack.h"
#include "payload.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uint32_t both_bdf;

static int take_once(struct ctl *c, uint64_t vm)
{
    struct reply r;
    do {
        CTL(c, &r, TN_DEV_TAKE, both_bdf, vm);
    } while (r.result == -EAGAIN);
    return r.result;
}

/* The disk is free: one of two calls at the same moment gets it. */
bool take_both(struct arena *a, const struct attack *self)
{
    struct reply r;
    (void)self;
    int freed = disk_from_a(a);
    if (freed) {
        return saw(a, false, "return: %s", errno_name(freed));
    }
    both_bdf = a->disk;
    struct both b = { take_once, { a->b, a->b }, { 0 } };
    bool ran = run_both(&b);
    int back = CTL_FINISH(&a->c, &r, "returning", TN_DEV_RETURN, a->disk);
    bool one =
        (b.result[0] == 0 && b.result[1] == -EBUSY) || (b.result[1] == 0 && b.result[0] == -EBUSY);
    return saw(a, ran && one && back == 0, "%s, %s; back: %s", errno_name(b.result[0]),
               errno_name(b.result[1]), errno_name(back));
}

/* ---- the owner dies ---- */

/* A VM whose disk is busy; its number, or -errno. */
static int child_vm(struct ctl *c, uint32_t disk)
{
    const char *step;
    uint64_t len;
    int id = vm_create(c, 64 * MIB, 0, &step);
    if (id < 0) {
        return id;
    }
    int error = vm_populate_file(c, (uint64_t)id, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!error) {
        error = vm_seal(c, (uint64_t)id, TN_GUEST_RAM, payload_program(PAYLOAD_DMA, 0, 0));
    }
    if (!error) {
        error = vm_take(c, disk, (uint64_t)id);
    }
    return error ? error : id;
}

static int child_half_vm(struct ctl *c)
{
    struct reply r;
    if (CTL(c, &r, TN_VM_CREATE, 64 * MIB, 0, (uint64_t)getpid()) != 0) {
        return r.result;
    }
    int id = (int)r.out[0];
    CTL(c, &r, TN_VM_PREPARE, (uint64_t)id); /* one step of several */
    return id;
}

static void child_main(int report, uint32_t disk)
{
    struct ctl c;
    char why[256];
    struct reply r;
    if (ctl_open(&c, why, sizeof(why)) != 0) {
        _exit(1);
    }
    int id = disk ? child_vm(&c, disk) : child_half_vm(&c);
    if (write(report, &id, sizeof(id)) != (ssize_t)sizeof(id)) {
        _exit(1);
    }
    while (disk && CTL(&c, &r, TN_VM_RUN, (uint64_t)id, 0, 10000) == 0) {
    }
    pause();
    _exit(1);
}

/* Until the VM's program says that its disk is at work; how long that takes is the machine's affair. */
static void wait_for_commands(struct arena *a, uint64_t id)
{
    struct tn_vm_stat s;
    double start = now();
    do {
        usleep(20000);
    } while (ctl_stat(&a->c, id, &s) == 0 && !load_report(&s).commands && now() - start < 30);
}

/* Starts an owner and kills it. Its VM's number, or -errno; *pid is that of the dead. */
static int kill_owner(struct arena *a, uint32_t disk, pid_t *pid)
{
    int fd[2];
    int id = -EIO;
    if (pipe(fd) != 0) {
        return -errno;
    }
    fflush(stdout);
    *pid = fork();
    if (*pid == 0) {
        child_main(fd[1], disk);
    }
    close(fd[1]);
    if (*pid < 0 || read(fd[0], &id, sizeof(id)) != (ssize_t)sizeof(id)) {
        id = -EIO;
    }
    close(fd[0]);
    if (*pid > 0) {
        usleep(20000);
        if (disk && id >= 0) {
            wait_for_commands(a, (uint64_t)id);
        }
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        usleep(3000);
    }
    return id;
}

bool owner_killed_running(struct arena *a, const struct attack *self)
{
    struct tn_vm_stat s;
    struct reply r;
    pid_t pid = 0;
    int others;
    (void)self;
    int back = disk_from_a(a);
    int id = back ? back : kill_owner(a, a->disk, &pid);
    if (id < 0) {
        return saw(a, false, "its owner made no VM: %s", errno_name(id));
    }
    int there = ctl_stat(&a->c, (uint64_t)id, &s);
    uint64_t commands = load_report(&s).commands;
    back = CTL_FINISH(&a->c, &r, "returning", TN_DEV_RETURN, a->disk);
    int gone = vm_destroy(&a->c, (uint64_t)id);
    int events = events_of(a, a->disk, 0, false, &others) + others;
    return saw(a, !there && s.owner == (uint64_t)pid && commands && !back && !gone && events == 0,
               "%llu commands; disk %s, VM %s, %d events", (unsigned long long)commands,
               errno_name(back), errno_name(gone), events);
}

bool owner_killed_zeroing(struct arena *a, const struct attack *self)
{
    struct tn_vm_stat s;
    pid_t pid = 0;
    (void)self;
    int id = kill_owner(a, 0, &pid);
    if (id < 0) {
        return saw(a, false, "its owner made no VM: %s", errno_name(id));
    }
    int there = ctl_stat(&a->c, (uint64_t)id, &s);
    int gone = vm_destroy(&a->c, (uint64_t)id);
    return saw(a, !there && s.owner == (uint64_t)pid && s.state == TN_VM_CREATING && !gone,
               "was %s; destroy: %s", there ? "lost" : vm_state_name(s.state), errno_name(gone));
}
