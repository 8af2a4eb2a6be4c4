/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The torture run: CPUs, devices, converters, cutters, mergers, loggers, page requests, pins, spaces that
 * come and go, and switches between share and mirror mode, all at once, with delays at every step of
 * every protocol. Every access is held against what the library promises at the moment it is made.
 */
#ifndef TESTS_LIB_TORTURE_H
#define TESTS_LIB_TORTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "port/hosted/snapshot_file.h"

struct torture_opts {
    uint64_t seed;
    unsigned world; /* formats: see torture_world() */
    double seconds; /* 0: until `steps` conversions are done */
    unsigned steps;
    struct snapshot_file *picture; /* where it shows the memory, now and then; or NULL */
};

enum torture_op {
    TORTURE_CONVERT,
    TORTURE_REFUSED,
    TORTURE_CPU_ACCESS,
    TORTURE_FAULT,
    TORTURE_DMA,
    TORTURE_LOG,
    TORTURE_LOG_READ,
    TORTURE_CUT,
    TORTURE_MERGE,
    TORTURE_ZAP,
    TORTURE_AGE,
    TORTURE_SWITCH,
    TORTURE_PAGE_REQUEST,
    TORTURE_PIN,
    TORTURE_SPACE,
    TORTURE_AUDIT,
    TORTURE_DELAY,
    TORTURE_PASID,
    TORTURE_PROCESS,
    TORTURE_PASID_DMA,
    TORTURE_OPS
};

struct torture_result {
    uint64_t ops[TORTURE_OPS];
    uint64_t wrong;  /* broken promises; 0 is the only good number */
    char first[256]; /* the first of them, in words */
};

/* Runs it; the world is set up and taken down in it. */
void torture_run(const struct torture_opts *o, struct torture_result *r);
const char *torture_op_name(enum torture_op op);
/* Name of a choice of formats; NULL: no such number. */
const char *torture_world(unsigned i);

#endif
