/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Running a VM under load: one thread keeps its vCPU running on one CPU, while the owner commits
 * the conversions that its program asks for, one call each and in random order, from another.
 */
#ifndef LOAD_H
#define LOAD_H

#include "vmm.h"

#include <pthread.h>
#include <stdatomic.h>

enum load_end {
    LOAD_GOING,
    LOAD_OFF,       /* the guest stopped; value: its code */
    LOAD_YIELD,     /* the guest asks for its owner; value: its word */
    LOAD_FAULT,     /* touched what it may not; value: guest physical address */
    LOAD_UNHANDLED, /* value: ESR_EL2 */
    LOAD_ERROR,     /* TN_VM_RUN refused; value: errno */
    LOAD_TIME,      /* the caller's limit */
    LOAD_CHECK,     /* a check of load_watch failed; `caught` names it */
};

/* What one stretch of a run (until the guest yields, stops, or something is wrong) saw. */
struct load {
    /* set by the caller */
    uint64_t vm;
    int run_cpu, owner_cpu; /* 1 and 0 */
    bool commit;            /* commit pending requests */
    bool watch;             /* stop at the first event, error or wrong byte: mutants */
    double limit, stall;    /* seconds in all, and without any commit; 0: no limit */
    const char *label;      /* of the live line; NULL: none */
    const char *console;    /* prefix for what the guest writes; NULL: keep quiet */
    /* answers */
    enum load_end end;
    uint64_t value;
    char caught[32];
    char first_event[96];
    uint64_t commits, refused, runs, polls,
        idle;         /* looks for requests, and those that found none */
    int refused_with; /* the last refusal of a commit */
    uint64_t events;  /* DMA faults of any device during the run */
    double seconds;
    struct tn_vm_stat before, after;
    /* private */
    struct ctl *owner;
    struct ctl runner;
    atomic_int stopping;
    atomic_int state; /* enum load_end, set by the runner */
};

/* Runs until the guest yields, stops or faults, or until something ends it. 0, or -errno when the
 * run could not be started. */
int load_run(struct ctl *c, struct load *l);

/* What a VM's program reported: by name. */
struct load_report {
    uint64_t phase, conversions, inplace, commands, bytes, errors, wrong_dma, wrong_cpu, touches,
        faults, unexpected, provoked, big, max_pending, dma_shared, first_addr, first_want,
        first_seen, first_at, last_call, last_result;
    bool first_by_cpu; /* the first wrong word was seen beside the DMA, not after it */
};
struct load_report load_report(const struct tn_vm_stat *s);
void load_print_report(const struct tn_vm_stat *s);

int vm_run_cmd(int argc, char **argv);

#endif
