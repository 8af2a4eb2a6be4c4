/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors that clients hold. Each is one end of a socket pair: it can be copied, inherited
 * and passed on like any other, poll() works on it, and when its last copy is closed our end says so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "iommufd/proto.h"
#include "iommufd/server.h"
#include "iommufd/swdev.h"

#define BUCKETS 1024u

static struct stream *bucket[BUCKETS];
static unsigned long made;

/* A name for our end, by which a program that was started with the other end knows it. */
static void name_it(int fd, enum stream_kind kind, const void *object)
{
    static const char letter[] = { 'i', 'e', 'a', 'd', 'g' };
    unsigned number = kind >= STREAM_DEVICE ? ((const struct sw_dev *)object)->number : 0;
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, PROTO_NAME "/%c%u/%d/%lu",
                     letter[kind], number, (int)getpid(), made++);

    (void)bind(fd, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n));
}

struct stream *stream_new(enum stream_kind kind, void *object, int *client)
{
    struct stream *s = calloc(1, sizeof(*s));
    struct stat st;
    int pair[2];

    if (s == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        free(s);
        return NULL;
    }
    *s = (struct stream){ .kind = kind, .fd = pair[0], .object = object };
    name_it(pair[0], kind, object);
    if (fstat(pair[1], &st) != 0 || server_watch_end(pair[0], s) != 0) {
        close(pair[0]);
        close(pair[1]);
        free(s);
        return NULL;
    }
    s->ino = st.st_ino;
    s->next = bucket[s->ino % BUCKETS];
    bucket[s->ino % BUCKETS] = s;
    *client = pair[1];
    return s;
}

void stream_drop(struct stream *s)
{
    struct stream **at = &bucket[s->ino % BUCKETS];

    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    close(s->fd);
    server_end_gone();
    free(s);
}

struct stream *stream_of_fd(int fd)
{
    struct stat st;
    struct stream *s;

    if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode)) {
        return NULL;
    }
    for (s = bucket[st.st_ino % BUCKETS]; s != NULL && s->ino != st.st_ino; s = s->next) {
    }
    return s;
}

void stream_ready(struct stream *s, bool ready)
{
    if (ready && !s->token) {
        s->token = send(s->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
    } else if (!ready && s->token) {
        s->token = false;
        s->drain = true; /* the answer to this call says so: only the client can take it out */
    }
}

/* ---- memory that can be mapped through a descriptor ---- */

struct mapping {
    struct ctx *ctx;
    int fd;
    uint64_t offset, len;
    struct mapping *next;
};
static struct mapping *mappings;
static uint64_t next_offset = 1u << 20;

int mmap_add(struct ctx *c, int fd, uint64_t len, uint64_t *offset)
{
    struct mapping *m = calloc(1, sizeof(*m));

    if (m == NULL) {
        return -ENOMEM;
    }
    *m = (struct mapping){ c, fd, next_offset, len, mappings };
    mappings = m;
    *offset = m->offset;
    next_offset += len + (1u << 20);
    return 0;
}

void mmap_remove(struct ctx *c, uint64_t offset)
{
    for (struct mapping **at = &mappings; *at != NULL; at = &(*at)->next) {
        struct mapping *m = *at;

        if (m->ctx == c && m->offset == offset) {
            *at = m->next;
            free(m);
            return;
        }
    }
}

int mmap_find(struct ctx *c, uint64_t offset, uint64_t len)
{
    for (struct mapping *m = mappings; m != NULL; m = m->next) {
        if (m->ctx == c && m->offset == offset && m->len == len) {
            return m->fd;
        }
    }
    return -ENXIO;
}
