/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside the library that is preloaded: front.c (calls), front_channel.c (to the server), front_files.c
 * (paths). */
#ifndef IOMMUFD_FRONT_H
#define IOMMUFD_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "iommufd/proto.h"

#define EXPORT     __attribute__((visibility("default")))
#define FRONT_PATH 4096u

/* Makes ready what front_open() needs; false: there is no memory for it. From front_open() on the server
 * can be asked, in children too. */
bool front_prepare(void);
void front_open(void);
bool front_started(void);
/* Asks the server; with fd >= 0 that descriptor goes along. *out: one that came back, or -1. */
bool front_ask(struct proto_req *req, int fd, struct proto_rep *rep, int *out, bool cloexec);
/* The system call: fstat() itself hides what our descriptors are made of. */
int front_fstat(int fd, struct stat *st);
/* What a descriptor is: 'i' /dev/iommu, 'd' device `number`, 'e' event queue; 0: none of ours. */
char front_kind(int fd, unsigned *number);
/* The path under which the tree of devices has it (in `room`, FRONT_PATH bytes), or `path`. */
const char *front_path(const char *path, char *room);

#endif
