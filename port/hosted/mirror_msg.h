/* SPDX-License-Identifier: BSD-2-Clause */
/* What an offer looks like on its socket: this, with descriptors in the order that it counts them. */
#ifndef PORT_HOSTED_MIRROR_MSG_H
#define PORT_HOSTED_MIRROR_MSG_H

#include <stdint.h>

#define MIRROR_MAGIC 0x31726f7272694d54ull /* "TMirror1" */

struct mirror_msg {
    uint64_t magic;
    uint64_t start, len;
    int32_t pid;
    uint32_t how; /* WATCH_*: first the listener, then the userfaultfd */
    uint32_t backings;
    uint32_t reserved;
};

#endif
