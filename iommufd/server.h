/* SPDX-License-Identifier: BSD-2-Clause */
/* The server's process side, between server.c, streams.c and main.c. */
#ifndef IOMMUFD_SERVER_H
#define IOMMUFD_SERVER_H

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include "iommufd/iod.h"

/* Listens at the path (made by the caller's directory). 0 or -errno. */
int server_listen(const char *path);
/* Serves until `child` has ended and nobody is connected; its wait status. The signals of the set (blocked; SIGCHLD
 * is one) are the child's: they are sent on. */
int server_run(pid_t child, const sigset_t *set);
unsigned server_opened(void); /* how often somebody opened one of our nodes */
/* Ends of file and of processes that have happened: taken notice of before anything else is done,
 * so that a close() that returned has had its effect. */
void server_settle(void);
/* The loop's set: fn(ctx) when fd is readable. */
struct watch {
    int fd;
    void (*fn)(struct watch *w);
    void *ctx;
};
int server_watch(struct watch *w);              /* w stays as long as the server */
int server_watch_end(int fd, struct stream *s); /* told by server_settle */
void server_end_gone(void);                     /* its stream is dropped */

/* A client process: its channel, if it came through the front. */
struct proc {
    struct watch w; /* fd: the channel, -1 if none */
    struct mm *mm;
    int pidfd;
    struct proc *next;
};
struct proc *proc_of(pid_t pid, uid_t uid); /* the one there is, or a new one */

/* What both ways in do with what they were asked. */
int server_node(const char *path); /* enum proto_node, or -1: the path is not ours */
int server_open_node(unsigned node, int *client);
int server_ioctl(struct call *c, struct stream *s);
int64_t server_rw(struct mm *mm, struct stream *s, uint64_t uptr, uint64_t len, uint64_t offset,
                  bool at, bool write);

#endif
