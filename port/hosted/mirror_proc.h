/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Following a live Linux process as an ordinary user: the part of process mirrors that knows Linux
 * (docs/mirror.md). The process that is followed offers part of its memory over a socket; the one
 * that mirrors watches its calls and fills an I/O space with what is there.
 *
 * Two ways to watch, offered one by one or both:
 *   WATCH_CALLS   seccomp user notification: each call that changes mappings waits until the mirror
 *                 has dropped what it concerns. Nothing stale at any moment.
 *   WATCH_EVENTS  userfaultfd: the kernel tells of unmap, remap and remove when they are done; until
 *                 the mirror has read that and dropped, a device can reach the old frame. The window
 *                 is counted and measured (struct mirror_watch). What is mapped in the range after the
 *                 offer has no events: with WATCH_EVENTS alone it is not mirrored (-EFAULT).
 *
 * What an output address of such a mirror means (the devices behind it must know):
 *   MIRROR_OA_BACKING(i) + offset   offset in the i-th file that was offered: a frame by itself
 *   MIRROR_OA_PROCESS + address     the process's memory by address, through process_vm_readv/writev:
 *                                   private memory, whose frames an ordinary user cannot name
 */
#ifndef PORT_HOSTED_MIRROR_PROC_H
#define PORT_HOSTED_MIRROR_PROC_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tenon/mirror.h>

enum { WATCH_CALLS = 1, WATCH_EVENTS = 2 };

#define MIRROR_BACKINGS      4u
#define MIRROR_OA_PROCESS    ((uint64_t)1 << 47)
#define MIRROR_OA_BACKING(i) ((uint64_t)((i) + 1u) << 40)

/* ---- in the process that is followed (mirror_offer.c) ---- */

/*
 * Offers [start, start+len) to whom is at the other end of `sock` (a Unix socket), and returns when it
 * follows. `backing`: memfds that shared mappings of the range are made of, each sealed against
 * shrinking. A filter stays for the rest of the process's life, in all its threads and children:
 * afterwards calls of another architecture than the native one give ENOSYS, and if the mirroring
 * process dies, so do the calls that it watched.
 *
 * 0, or a negative errno with *why set to words for a person: -EPERM (userfaultfd not allowed to
 * ordinary users; a backing that can shrink), -ENOSYS (the kernel has no such thing), -EBUSY (another
 * filter of this process has a listener already; it has an io_uring), -EPIPE, -EINVAL.
 */
int mirror_offer(int sock, void *start, size_t len, unsigned how, const int *backing,
                 unsigned backings, const char **why);

/* ---- in the process that mirrors (mirror_watch.c) ---- */

#define WATCH_PENDING 64u

struct mirror_watch {
    struct mirror m; /* first: container of the ops */
    pid_t pid;
    uint64_t start, len;
    unsigned how;
    int listener, events; /* -1: not offered */
    int pidfd;
    int backing[MIRROR_BACKINGS];
    uint64_t backing_dev[MIRROR_BACKINGS], backing_ino[MIRROR_BACKINGS];
    unsigned backings;
    const char *ended; /* why it follows no more; NULL while it does */
    /* counters, read by atomic loads; the window is from an event's arrival at us until the drop is complete */
    uint64_t calls, drops_before, events_seen, window_max_ns, settled;
    /* For tests, and set by one atomic store: before a call goes on; between an event and its drop. */
    void (*on_go)(void *ctx, int nr);
    void (*on_event)(void *ctx);
    void *ctx;
    /* private */
    pthread_t thread;
    bool running;
    int stop[2];
    pthread_mutex_t lock; /* pending */
    struct watch_pending {
        pid_t tid; /* 0: free */
        int nr;
        uint32_t token[2];
    } pending[WATCH_PENDING];
};

/* Takes an offer from the socket: pid, range and descriptors are in *w. Who offers is believed: it
 * could name another process of the same user. -EPROTO, -EPIPE. */
int mirror_watch_take(struct mirror_watch *w, int sock);
/*
 * Follows: mirrors what was offered in `io` at `ia` (mirror_init's errors), starts the watching thread
 * and lets the other side go on. `io` is the caller's, and outlives the watch.
 */
int mirror_watch_start(struct mirror_watch *w, int sock, struct space *io, uint64_t ia,
                       uint32_t prot);
/*
 * A device's page request: mirror_fault(), after a look whether changes under way are over. -EAGAIN
 * for as long as the thread that makes the change has not been seen to be out of its call: it is, when
 * it makes another watched call, waits in any other call, or ends. (One that computes for ever
 * without a call keeps the range closed.)
 */
int mirror_watch_fault(struct mirror_watch *w, uint64_t ia, uint32_t access);
/* Drops everything, stops the thread, closes. From then on the process's watched calls fail: end it. */
void mirror_watch_stop(struct mirror_watch *w);

#endif
