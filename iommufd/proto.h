/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the front (in the client, by LD_PRELOAD) and the server: one message, one answer, over a
 * socket that each process opens for itself. The descriptors that a message speaks of come with it
 * (SCM_RIGHTS), so nobody can name one that is not his.
 */
#ifndef IOMMUFD_PROTO_H
#define IOMMUFD_PROTO_H

#include <stdint.h>

#define PROTO_ENV      "TENON_IOMMUFD_SOCKET"
#define PROTO_NAME     "tenon-iommufd" /* the server's end of each descriptor has a name like this */
#define PROTO_EXTRAS   16u
#define PROTO_FRAMES   16u
#define PROTO_ENV_ROOT "TENON_IOMMUFD_ROOT" /* a tree of files that devices are found by */

enum {
    PROTO_OPEN = 1, /* arg: enum proto_node */
    PROTO_IOCTL,    /* cmd, arg; the descriptor comes first */
    PROTO_READ,     /* arg: address, len */
    PROTO_WRITE,
    PROTO_MMAP,  /* arg: offset, len; a descriptor to map comes back, ret is where in it */
    PROTO_PREAD, /* as READ and WRITE, at `offset` */
    PROTO_PWRITE,
    PROTO_STATUS, /* arg: a process; value[0..1]: pages pinned and locked */
};
/* PROTO_NODE_DEVICE + n: /dev/vfio/devices/vfioN, PROTO_NODE_GROUP + n: /dev/vfio/N; n < 4096 */
enum proto_node {
    PROTO_NODE_IOMMU,
    PROTO_NODE_VFIO,
    PROTO_NODE_DEVICE,
    PROTO_NODE_GROUP = PROTO_NODE_DEVICE + 4096
};

struct proto_req {
    uint32_t op, cmd;
    uint64_t arg, len, offset;
    uint32_t
        extras; /* descriptors the server asked for: their numbers here, -1 - n if there is none */
    int32_t extra[PROTO_EXTRAS];
    uint32_t frames; /* who calls: return addresses, innermost first */
    uint64_t frame[PROTO_FRAMES];
};
struct proto_rep {
    int64_t ret;       /* or -errno */
    uint64_t out_at;   /* with a descriptor: where its number belongs; 0: it is the result */
    int32_t need_fd;   /* with -PROTO_NEED: ask again with this one too */
    uint32_t sleep_ms; /* before the call returns */
    uint32_t drain;    /* take one byte out of the descriptor: it is not ready any more */
    uint64_t value[2];
};
#define PROTO_NEED   4000
#define PROTO_NOT_US 4001 /* the descriptor is none of the server's */

#endif
