/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A process mirror: a child offers part of its memory, the parent fills a device's table with what is
 * there, on demand. When the child unmaps a page, the table has lost it before the call goes on. A
 * device would be behind the invalidator; here nothing walks the table but a look.
 *
 *   cc mirror.c $(pkg-config --cflags --libs tenon) -pthread && ./a.out
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tenon/hosted.h>
#include <tenon/mirror_proc.h>

#define PAGE ((size_t)4096)
#define IA   ((uint64_t)1 << 30) /* where the device sees the child's memory */

/* The one that is followed: sixteen pages of a memfd, of which it unmaps one when it is told to. */
static int child(int sock)
{
    int fd = memfd_create("dma", MFD_ALLOW_SEALING), err;
    const char *why;
    char sign = 1;

    if (fd < 0 || ftruncate(fd, 16 * (off_t)PAGE) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) != 0) {
        return 1;
    }
    char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    err = p == MAP_FAILED ? -errno : mirror_offer(sock, p, 16 * PAGE, WATCH_CALLS, &fd, 1, &why);
    if (err != 0) {
        printf("this machine does not permit it: %s\n", p == MAP_FAILED ? strerror(-err) : why);
        fflush(stdout);
        return 0;
    }
    if (read(sock, &sign, 1) != 1 || munmap(p + 3 * PAGE, PAGE) != 0) {
        return 1;
    }
    return write(sock, &sign, 1) != 1 || read(sock, &sign, 1) < 0;
}

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    for (uint32_t i = 0; i < g->n; i++) {
        printf("  the device forgets %#lx .. %#lx\n", g->inv[i].ia, g->inv[i].last);
    }
}

static void done(struct invalidator *inv)
{
    (void)inv; /* hardware: until it has drained */
}

static struct invalidator device = { issue, done };
static struct mirror_watch watch;
static struct space space;

static void show(unsigned page)
{
    struct pt_leaf leaf = { 0 };

    (void)space_lookup(&space, IA + page * PAGE, &leaf);
    if (leaf.present) {
        printf("page %u: in the device's table, offset %#lx of the child's file\n", page,
               leaf.oa - MIRROR_OA_BACKING(0));
    } else {
        printf("page %u: not in the device's table\n", page);
    }
}

static int follow(int sock)
{
    const struct pt_config cfg = { PT_ARM_S2_4K, .ia_bits = 40, .oa_bits = 48, .live.bbm = 2 };
    char sign = 1;

    if (mirror_watch_take(&watch, sock) != 0) {
        return 0; /* the child has said why */
    }
    int err = space_init(&space, SPACE_IO, &cfg);

    err = err ? err : space_add_walker(&space, &device);
    err = err ? err : mirror_watch_start(&watch, sock, &space, IA, 0);
    show(3);
    /* The device asks for two pages. */
    err = err ? err : mirror_watch_fault(&watch, IA + 3 * PAGE, PT_READ | PT_WRITE);
    err = err ? err : mirror_watch_fault(&watch, IA + 4 * PAGE, PT_READ);
    show(3);
    if (err != 0 || write(sock, &sign, 1) != 1 || read(sock, &sign, 1) != 1) {
        printf("error %d\n", err);
        return 1;
    }
    printf("the child has unmapped page 3\n");
    show(3);
    show(4);
    /* Until the child is seen out of its call the answer is: ask again. */
    while ((err = mirror_watch_fault(&watch, IA + 3 * PAGE, PT_READ)) == -EAGAIN) {
        usleep(1000);
    }
    printf("a page request for page 3 is answered %d (-EFAULT is %d)\n", err, -EFAULT);
    return 0;
}

int main(void)
{
    static struct frame frames[256];
    uint64_t base = hosted_alloc(256, PAGE);
    int pair[2];

    frames_init(base, 256, frames, OWNER_HYP); /* 1 MiB for tables */
    if (frame_pool_add_tables(base, 256) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) {
        return 1;
    }
    pid_t pid = fork();

    if (pid == 0) {
        close(pair[0]);
        _exit(child(pair[1]));
    }
    close(pair[1]);
    int err = follow(pair[0]);

    close(pair[0]);
    waitpid(pid, NULL, 0);
    mirror_watch_stop(&watch);
    return err;
}
