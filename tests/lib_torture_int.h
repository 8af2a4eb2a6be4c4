/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the torture run share: one world at a time. */
#ifndef TESTS_LIB_TORTURE_INT_H
#define TESTS_LIB_TORTURE_INT_H

#include "lib_torture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "lib_space.h"

#include "tenon/iommu_mode.h"
#include "tenon/prq.h"

enum { PAGES = 4 * 512, HALVES = 2 };
#define LEN ((uint64_t)PAGES << PAGE_SHIFT)

/* A choice of formats: CPUs' trees, and devices' that are not Arm's. */
struct torture_world {
    const char *name;
    struct pt_config cpu, dev, proc; /* proc: of the process-like spaces behind PASIDs */
};
extern const struct torture_world torture_worlds[];

extern struct ts t;
extern struct torture_result *res;
extern _Thread_local uint64_t rng;
extern const struct torture_world *world;
extern uint32_t cpu_user; /* PT_USER where the CPU's format is a first stage */

/* The view: one TLB, one stream, whose tree changes with the mode. */
extern struct iommu_view view;
extern struct model_mem mem;
/* One for each tree's walker, the view's device, and devices with PASIDs. */
enum { FLIGHT_CPU, FLIGHT_LAZY, FLIGHT_HOST, FLIGHT_DEV2, FLIGHT_DEV, FLIGHT_PASID, FLIGHTS };
extern pthread_rwlock_t flight[FLIGHTS];

/* Logs: who wrote what in which epoch. */
extern atomic_uint cpu_epoch, io_epoch;
extern atomic_uint pend[PAGES];

/* What each converter is changing: where others should look, and may find nothing for a while. */
struct torture_hot {
    atomic_ullong first, n;
    atomic_uint times; /* counts beginnings and ends */
};
extern struct torture_hot hot[HALVES];
extern unsigned steps; /* of each converter; 0: until the time is over */

/* Page requests. */
extern struct prq prq;
extern atomic_ullong owed, answered;
void respond(struct prq *q, const struct prq_response *r);
bool forward(void *ctx, const struct prq_request *r, uint64_t c);

void count(enum torture_op op);
__attribute__((format(printf, 1, 2))) void wrong(const char *fmt, ...);
uint64_t rnd(uint64_t below);
bool going(void);
/* Now and then, somehow. */
void delay(unsigned one_in);
/* Until every access in flight there has ended, and what was issued to the TLB has taken effect. */
void drain(unsigned which, struct model_tlb *tlb);

#define PROMISE(cond, ...)      \
    do {                        \
        if (!(cond)) {          \
            wrong(__VA_ARGS__); \
        }                       \
    } while (0)

/* There are tables for all that is here, many times: who finds none says where they went. */
#define WHY(err) (err), (err) == -ENOMEM ? ", table-lost" : ""

enum model_fault cpu_access(struct ts_walker *w, unsigned which, const char *who, uint64_t p,
                            uint8_t what);

/* lib_torture_convert.c. Threads' argument is a seed, or the half. */
void *converter(void *arg);
void *host(void *arg);
/* In every wait of a conversion, before it is over: the old can still be used, and is not yet another's. */
void look_in_wait(unsigned which);

/* lib_torture_owner.c */
void *logger(void *arg);
void *switcher(void *arg);
void *zapper(void *arg);
void *requester(void *arg);
void *maker(void *arg);

/* lib_torture_pasid.c: two process-like spaces, a device that reaches them by PASID. */
void pasid_open(void);
void pasid_close(void);
void *process(void *arg);
void *pasid_device(void *arg);
void *pasid_owner(void *arg);

#endif
