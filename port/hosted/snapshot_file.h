/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Live pictures for another process: a file that the process which has the memory writes again and
 * again, and that any number of readers (tenon-top) map. No connection, no protocol: whoever may read
 * the file may look, at any time, also after the writer is gone.
 *
 * `seq` is odd while the writer is at it; a reader copies, and copies again if it moved.
 */
#ifndef PORT_HOSTED_SNAPSHOT_FILE_H
#define PORT_HOSTED_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include <tenon/snapshot.h>

#define SNAPSHOT_MAGIC   0x31746f6873534e54ull /* "TNSshot1" */
#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_RUNS    65536u
#define SNAPSHOT_NAME    24u

struct snapshot_file_view {
    char name[SNAPSHOT_NAME]; /* ends with 0 */
    uint32_t device;          /* 1: a device walks it */
    uint32_t by_frame;
    struct snapshot_space stat;
};

struct snapshot_file {
    uint64_t magic;
    uint32_t version, bytes; /* of this struct: a reader of another build notices */
    uint32_t seq;
    uint32_t pid;
    uint64_t time_ns; /* monotonic clock */
    char name[SNAPSHOT_NAME];
    uint64_t npages;
    uint64_t converted, converted_inplace;
    uint64_t tables_free, chunks_free;
    uint32_t views, runs;
    uint64_t missing; /* pages beyond SNAPSHOT_RUNS runs: in no run */
    struct snapshot_file_view view[SNAPSHOT_VIEWS];
    struct snapshot_run run[SNAPSHOT_RUNS];
};

/* ---- writer; one for a file ---- */
struct snapshot_view_name {
    struct snapshot_view view;
    const char *name;
};
/* Makes the file (only its owner may read it) or takes an old one over. NULL with errno set; EEXIST: there is
 * something else, or somebody else's. */
struct snapshot_file *snapshot_file_make(const char *path, const char *name);
/* A new picture; the caller keeps the object and the spaces alive meanwhile. views <= SNAPSHOT_VIEWS. */
void snapshot_file_write(struct snapshot_file *f, struct gmem *gm,
                         const struct snapshot_view_name *view, unsigned views);

/* ---- readers ---- */
/* NULL with errno set; ENOEXEC: no snapshot, or of another version. */
const struct snapshot_file *snapshot_file_open(const char *path);
/* A picture of one moment, of which everything is checked that a reader relies on. -EAGAIN: the writer
 * is always at it, or died while it was; -EPROTO: nonsense. */
int snapshot_file_read(const struct snapshot_file *f, struct snapshot_file *copy);
void snapshot_file_close(const struct snapshot_file *f);

#endif
