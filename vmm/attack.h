/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks on the hypervisor. Each is a small function with its documented error; after each the
 * whole ownership state is compared with what it must be, and every table is checked against it.
 *
 * The scene: VM A, launched, holds the NVMe disk and keeps DMA in flight while it runs; VM B, not
 * launched yet, so that we may convert its pages; two `edu` DMA engines that are the host's.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "demo.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SECRET   0x5ec7e75ec7e75ec7ull /* fills VM B's page at B_SECRET */
#define B_SECRET (TN_GUEST_RAM + 4 * MIB)
#define B_BYTES  (16 * MIB)
#define A_BYTES  (256 * MIB)

struct edu {
    uint32_t bdf;
    volatile uint64_t *reg;
    uint64_t *page, page_pa; /* a page of ours, locked in memory */
};

struct arena {
    struct ctl c;
    struct tn_info info;
    uint64_t a, b;
    uint32_t disk, bridge, behind; /* PCI functions; behind: of the bridge */
    uint64_t a_pa, b_pa;           /* frames of A (private) and of B's secret page */
    struct edu edu;
    struct model want; /* what the state must be after this attack */
    char seen[96];
};

struct attack {
    const char *kind, *name, *want;
    bool (*run)(struct arena *a, const struct attack *self);
    /* of an attack that is one call (attack_call): */
    uint32_t op;
    int error;
    uint64_t arg[6];
    bool spoils; /* VM A must be made anew after it */
};

/* Stand for values that are known only when it runs. */
#define ARG_TAG     0xa77ac00000000000ull
#define ARG_A       (ARG_TAG + 1)
#define ARG_B       (ARG_TAG + 2)
#define ARG_A_PA    (ARG_TAG + 3)
#define ARG_HYP     (ARG_TAG + 4)
#define ARG_DISK    (ARG_TAG + 5)
#define ARG_EDU     (ARG_TAG + 6)
#define ARG_BEHIND  (ARG_TAG + 7)
#define ARG_BRIDGE  (ARG_TAG + 8)
#define ARG_HOST_PA (ARG_TAG + 9) /* 2M-aligned host RAM that the kernel uses */

extern const struct attack attacks_call[], attacks_cpu[], attacks_dma[], attacks_device[],
    attacks_life[], attacks_vm[], attacks_leak[];
extern const size_t attacks_call_n, attacks_cpu_n, attacks_dma_n, attacks_device_n, attacks_life_n,
    attacks_vm_n, attacks_leak_n;

bool attack_call(struct arena *a, const struct attack *self);
uint64_t attack_arg(const struct arena *a, uint64_t value);
/* Remembers what was seen; for `return saw(a, ok, ...)`. */
bool saw(struct arena *a, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool saw_error(struct arena *a, int got, int want);

/* ---- tools of the attackers (attack_tools.c) ---- */

/* Touches, and survives: 0, or the signal that came. */
int probe_read(const volatile uint64_t *p, uint64_t *value);
int probe_write(volatile uint64_t *p, uint64_t value);
int probe_write_half(volatile uint64_t *p); /* 32 bits */
int probe_write_pair(volatile uint64_t *p); /* 2 x 64 bits, one instruction */
const char *signal_name(int sig);
int probe_pa(uint64_t pa, bool write); /* through /dev/mem: signal, or -errno */

bool edu_open(struct edu *e, uint32_t bdf);
/* len bytes at `pa` into the device, or out of it. False: it did not finish. */
/* It takes its time (100 ms): between the two calls the DMA is under way. */
void edu_start(struct edu *e, uint64_t pa, uint64_t len, bool to_memory);
bool edu_wait(struct edu *e);
bool edu_dma(struct edu *e, uint64_t pa, uint64_t len, bool to_memory);

/* DMA faults since the last call, of this stream and page (0: any). */
int events_of(struct arena *a, uint32_t sid, uint64_t page, bool write, int *others);

/* Converts a page of VM B, which is not launched. */
int b_convert(struct arena *a, uint64_t gpa, uint64_t bytes, bool shared);
/* Maps the window of a shared page. */
volatile uint64_t *window_map(struct arena *a, uint64_t vm, uint64_t gpa, uint64_t *pa);
/* True if VM B's secret page holds what was put there (it is shared for the look, then private). */
bool b_secret_intact(struct arena *a);

/* Runs a VM's vCPU on CPU 1 until stopped. A machine that is itself kept waiting may leave it at rest
 * for more than the millisecond that counts as running, so few tries are made of what must be busy. */
#define RUNNING_TRIES 5
struct background {
    struct ctl ctl;
    pthread_t thread;
    uint64_t vm;
    atomic_int stop;
    atomic_ulong runs, refused; /* with -EBUSY */
    int result;
    uint64_t exit, value;
};
bool background_start(struct background *b, uint64_t vm);
void background_stop(struct background *b);

/* The same moment on both CPUs: f(ctl, arg) on each; results by CPU. */
struct both {
    int (*f)(struct ctl *c, uint64_t arg);
    uint64_t arg[2];
    int result[2];
};
bool run_both(struct both *b);

/* Takes the disk from VM A, and says so to the model of what must be. Such an attack `spoils`. */
int disk_from_a(struct arena *a);

/* attack_owner.c */
bool owner_killed_running(struct arena *a, const struct attack *self);
bool owner_killed_zeroing(struct arena *a, const struct attack *self);
bool take_both(struct arena *a, const struct attack *self);

/* 2 MiB of physically contiguous host memory of ours, aligned; NULL if the kernel has none. */
void *huge_page(uint64_t *pa);
void huge_page_free(void *p);

#endif
