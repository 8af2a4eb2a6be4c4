/* SPDX-License-Identifier: BSD-2-Clause */
/* The pieces of the VM's program. One CPU, interrupts masked, one to one stage-1 map. */
#ifndef TENON_PAYLOAD_H
#define TENON_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tenon/guest.h>

#include "report.h"

#define PAGE       4096u
#define OWN_BYTES  (16ul << 20) /* of the program: code, tables, queues */
#define MAX_PAGES  (1ul << 18)  /* 1 GiB */
#define FIRST_PAGE (OWN_BYTES / PAGE)

struct args {
    uint32_t program, flags, arg, count;
};

/* ---- main.c ---- */
extern uint64_t ram_bytes;
extern uint64_t report[R_COUNT];
static inline uint64_t ticks(void)
{
    uint64_t t;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(t));
    return t;
}
uint64_t ticks_per_ms(void);
void report_now(void);   /* all counters to the owner */
void report_paced(void); /* the same, at most some 20 times a second */
void say(const char *s);
void say_number(const char *s, uint64_t v);
_Noreturn void off(uint64_t code);
uint64_t random64(uint64_t *state);

struct call {
    uint64_t x[7]; /* x0..x6 */
};
/* start.S: HVC #0 or SMC #0 with x0..x6, which come back changed. */
void hvc(struct call *c);
void smc(struct call *c);
int64_t call3(uint64_t function, uint64_t a, uint64_t b, uint64_t c, uint64_t d);
void yield(uint64_t word);
void wait_for_owner(void); /* WFI */

/* Exceptions: those expected are counted and stepped over. */
extern volatile uint64_t exceptions, last_esr, last_far;
extern volatile bool expect_exceptions;

/* ---- nvme.c ---- */
#define NVME_DEPTH 64u /* entries of the I/O queues */
bool nvme_start(void); /* finds and enables the controller */
extern bool nvme_there;
/* Queues a command of `n` pages (1..NVME_PAGES) at their addresses; rings nothing yet. */
#define NVME_PAGES 32u
void nvme_queue(bool write, uint32_t slot, uint64_t lba, const uint64_t *page, uint32_t n);
void nvme_ring(void);
/* Next completion: its slot and status (0: fine); false when there is none. */
bool nvme_next(uint32_t *slot, uint32_t *status);
void nvme_done(void); /* after a batch of nvme_next() */

/* ---- load.c ---- */
void load_run(const struct args *a);
void load_dma_forever(const struct args *a);

/* ---- attack.c ---- */
void attack_timer(void);
void attack_wild(void);
void attack_foreign(void);
void attack_gave_up(void);
void attack_secret(const struct args *a);
void share_one(void);
/* start.S: fills every register with a pattern, yields, and returns how many came back changed. */
uint64_t secret_yield(uint64_t pattern);

#endif
