/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile kernel in the host's place: both CPUs try whatever EL1 can. EL2 must answer, refuse, or
 * inject a fault; never panic, and never let the audit find a violation (promise 8).
 *
 * It reports as the demonstration does: lines `TENON-PASS name` and `TENON-FAIL name: why`.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* QEMU's `virt`, as the host sees it. */
#define UART       0x09000000ul
#define ITS        0x08080000ul
#define GICD       0x08000000ul
#define GICR       0x080a0000ul
#define SMMU       0x09050000ul
#define ECAM       0x4010000000ul
#define CONTROL    0x0b000000ul
#define EL2_RAM    0x40000000ul
#define EL2_END    0x48000000ul
#define HOST_RAM   0x48000000ul
#define SCRATCH    0x58000000ul /* the host's, and nothing of ours lies there */
#define POOL       0x80000000ul
#define POOL_PAGES 0xc0000ul

extern volatile uint64_t exceptions[2]; /* by CPU */
extern char second_start[];

/* PSCI (DEN0022) 5.1. */
#define PSCI_CPU_OFF       0x84000002ul
#define PSCI_CPU_ON        0xc4000003ul
#define PSCI_AFFINITY_INFO 0xc4000004ul
#define PSCI_SYSTEM_OFF    0x84000008ul

uint64_t call_smc(uint64_t fn, uint64_t a, uint64_t b, uint64_t c);
uint64_t call_hvc(uint64_t fn, uint64_t a, uint64_t b, uint64_t c);

/* main.c */
unsigned this_cpu(void);
uint64_t rnd(void);
uint64_t below(uint64_t n);
uint64_t pick(void);         /* a number that somebody may have forgotten */
uint64_t pick_address(void); /* where something is that is not the host's */
void say(const char *s);
void say_number(uint64_t v);
/* A line of the verdict for what EL2 only has to live through: had it not, nobody would print this. */
void survived(const char *name);
/* One line of the verdict; `why` is for a check that failed. */
void check(bool ok, const char *name, const char *why, uint64_t value);
/* The last words: the verdict, and the machine is off. */
void verdict(void);
/* An access of 1 << size bytes. */
uint64_t load(uint64_t address, unsigned size);
void store(uint64_t address, unsigned size, uint64_t v);

/* control.c: the mailbox. */
int64_t control(uint32_t op, const uint64_t arg[6], uint64_t data_len, uint64_t out[8]);
/* The same in this CPU's own slot, until it no longer says -EAGAIN or -EBUSY. */
int64_t control_finish(uint32_t op, const uint64_t arg[6], uint64_t data_len, uint64_t out[8]);
/* The data of this CPU's slot. */
volatile uint64_t *control_data(void);
/* Is EL2's own audit without a finding? */
void audit(const char *after);
void fuzz_control(unsigned n);
void destroy_all(void);
/* endless.c: a VM that never gives the CPU back, while this host's interrupt controller is of no help. */
void try_endless_guest(void);     /* the first CPU, watched by the second */
bool watch_endless_guest(void);   /* the second CPU: false if there is nothing to watch (now) */
void survive_endless_guest(void); /* any CPU, any time */

/* Each tries one surface. */
void try_psci(void);
void try_calls(unsigned n);
void try_addresses(void);
void try_odd_accesses(void);
void try_registers(void);
void try_translations(void);
void try_redistributors(unsigned n);
void try_its(unsigned n);
void try_config_space(unsigned n);

#endif
