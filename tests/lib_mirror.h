/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Three processes for the tests of process mirrors: the test itself, which mirrors; a device that
 * walks the mirror's tables through a model TLB of its own and then does its DMA; and a process that
 * is followed and does as it is told.
 */
#ifndef TESTS_LIB_MIRROR_H
#define TESTS_LIB_MIRROR_H

#include "lib_pt.h"

#include <pthread.h>

#include "model/tlb.h"
#include "port/hosted/mirror_proc.h"
#include "tenon/frame.h"
#include "tenon/mirror.h"
#include "tenon/space.h"

/* ---- memory of the test: table frames in an arena that the device shares ---- */
void tm_memory(void);
/* Ordinary users only: from here on the test is one, if it was started by root. */
void tm_be_ordinary(void);

/* In a child: it is killed when its parent ends, however that comes, and after TM_SECONDS. */
#define TM_SECONDS 300u
void tm_end_with(pid_t parent);

/* ---- the device (lib_mirror_dev.c) ---- */

struct tm_device {
    struct invalidator inv; /* first */
    pid_t pid;
    int sock;
    pthread_mutex_t lock;
    unsigned issued, waited;
};

struct tm_access {
    enum model_fault fault; /* of the translation, or EXTERNAL: its memory is not there */
    uint64_t value;         /* read */
};

/* Starts it: it walks the tree of `s`, and reaches the frames of `w` (NULL: none). Before any thread. */
void tm_device_start(struct tm_device *d, struct space *s, const struct mirror_watch *w);
void tm_device_stop(struct tm_device *d);
/* Eight bytes at ia, translated now and done at once; or done later, at the latest by a wait for an
 * invalidation that covers it. One in flight at a time. */
struct tm_access tm_device_read(struct tm_device *d, uint64_t ia);
struct tm_access tm_device_write(struct tm_device *d, uint64_t ia, uint64_t value);
struct tm_access tm_device_begin_write(struct tm_device *d, uint64_t ia, uint64_t value);
void tm_device_complete(struct tm_device *d);

/* ---- the process that is followed (lib_mirror_proc.c) ---- */

#define TM_LEN     (4 * MIB)             /* what it offers, from a multiple of 2 MiB */
#define TM_SHARED  ((uint64_t)0)         /* 2 MiB of its memfd, one 2M leaf */
#define TM_PRIVATE (2 * MIB)             /* 512 KiB of private memory */
#define TM_COPY    (2 * MIB + 512 * KIB) /* 64 KiB: a private mapping of the memfd from TM_COPY_AT */
#define TM_RO      (3 * MIB)             /* 64 KiB of the memfd, read-only, from TM_RO_AT */
#define TM_HOLE    (3 * MIB + 512 * KIB) /* nothing */
#define TM_COPY_AT (2 * MIB)
#define TM_RO_AT   (2 * MIB + 64 * KIB)
#define TM_FILE    (3 * MIB)

struct tm_proc {
    pid_t pid;
    int sock;
};

/* All three. */
#define TM_IA ((uint64_t)1 << 30) /* where the device sees the range */
struct tm_rig {
    struct tm_proc p;
    struct tm_device d;
    struct mirror_watch w;
    struct space s;
    uint64_t start; /* of the range in the process */
    int file;
    uint64_t *alias; /* the memfd as the test itself sees it */
};

/* NULL, and *t is ready; or words: why this machine cannot. Before any thread. `prot`: PT_USER for a
 * format of stage 1. */
const char *tm_open(struct tm_rig *t, unsigned how, const struct pt_config *cfg, uint32_t prot);
void tm_close(struct tm_rig *t); /* ends all; the watched process first */

void tm_proc_stop(struct tm_proc *p);
/* It makes this system call; its result, or a negative errno. */
long tm_proc_call(struct tm_proc *p, long nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                  uint64_t e, uint64_t f);
uint64_t tm_proc_peek(struct tm_proc *p, uint64_t at);
void tm_proc_poke(struct tm_proc *p, uint64_t at, uint64_t value);
/* Makes a child, that shares the memory or has its own copy; which, later, unmaps [at, at+len) and
 * ends. */
long tm_proc_child(struct tm_proc *p, bool shares, uint64_t at, uint64_t len);
long tm_proc_child_unmaps(struct tm_proc *p);
void tm_proc_exec(struct tm_proc *p); /* it becomes another program, which ends */
/*
 * `rounds` times: unmaps one of the first 64 pages of TM_SHARED, writes a word into its frame by
 * another way, looks for a while whether it stays, and maps the page again. How often it did not.
 * The process answers when it is done: tm_proc_raced().
 */
void tm_proc_race(struct tm_proc *p, unsigned rounds);
long tm_proc_raced(struct tm_proc *p);

#endif
