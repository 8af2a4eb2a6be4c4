/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one seam to the environment. port/hosted and port/el2 each define every function here
 * (which one is used is decided at link time) and two headers (by the include path). Nothing else in the core knows where it runs.
 *
 * Physical addresses are uint64_t named `pa`. A frame is 4 KiB.
 */
#ifndef TENON_PORT_H
#define TENON_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12u
#define PAGE_SIZE  ((uint64_t)1 << PAGE_SHIFT)

/* Pointer through which the core reads and writes the frame at pa (any offset), and back. Total
 * functions for every pa that the frame table covers; no side effects; any CPU, any time. */
void *port_va(uint64_t pa);
uint64_t port_pa(const void *va);

/*
 * Entries of tables that a walker may be reading. Every store to a linked table goes through these,
 * so that a test port can log it as (old, new), judge it, and run a walker between any two. They
 * are inline, in the port's own header "port_pte.h" on the include path:
 *
 *   uint64_t *port_table(uint64_t pa);
 *     As port_va(), for a table page.
 *   uint64_t port_pte_load(const uint64_t *e);
 *   void port_pte_store(uint64_t *e, uint64_t v);
 *     Single-copy atomic, 8-byte aligned; a load orders what is read through the entry after it, a
 *     store comes after what was stored before. `e` is a pointer from port_va().
 *   bool port_pte_cas(uint64_t *e, uint64_t *old, uint64_t v);
 *     Compare-exchange, full ordering. On failure *old holds what was there.
 *   void port_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n);
 *     e[i] = first + i * step for i < n, each store single-copy atomic; old entries are all invalid,
 *     or (step == 0, first == 0) all become invalid. No order between the entries.
 *   uint64_t port_pte_or(const uint64_t *e, unsigned n);
 *     All of e[0..n) or'ed together, each load single-copy atomic.
 *   unsigned port_pte_same(const uint64_t *e, unsigned n, uint64_t first, uint64_t step,
 *                          uint64_t ignore);
 *     How many of them from e[0] on are first + i * step, but for the bits `ignore`, which are set
 *     in `first`. It may stop early: its caller looks at the next one itself.
 *
 * And in "port_find.h":
 *
 *   unsigned port_pte_find(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value);
 *     The index of the first one with (e & mask) == value; n if there is none.
 *   unsigned port_pte_flip(uint64_t *e, unsigned n, uint64_t mask, uint64_t value, uint64_t bits);
 *     From e[0] on, while (e & mask) == value: exchanges it for e ^ bits, by a compare-exchange of it
 *     alone or with its neighbour. How many; fewer if one was changed meanwhile.
 *
 * And, for ports whose "port_quick.h" wants pt/quick.h (the others say "no" there):
 *
 *   PORT_NO_TABLE
 *     Address bits that no table has, 0 if all may be set.
 *   uint64_t port_origin(void);
 *     What is added to the address of a table, which has none of them, to get its pointer.
 *   PORT_WATCHED
 *     A test wants to see each store: then no store is "plain". Elsewhere 0.
 *   void port_quick_store(uint64_t *e, uint64_t v, bool plain);
 *   bool port_quick_cas(uint64_t *e, uint64_t *old, uint64_t v, bool plain);
 *   void port_quick_publish(void);
 *     port_pte_store(), port_pte_cas(), and port_publish() after a plain one: with nothing beside it.
 *
 * Which formats the engine is built for is the port's choice too: "port_formats.h".
 */

/* Earlier stores (table contents) are seen by every walker, CPU or device, before any later store
 * (the link): DSB ISHST on Arm (DDI0487 D8.16.1). */
void port_publish(void);
/* For a walker that does not snoop (SMMU_IDR0.COHACC == 0), or a host that maps the frame uncached: clean
 * to the point of coherency and invalidate, so that either side sees what the other stored. */
void port_clean(const void *va, size_t len);

/* Spin lock: not recursive; zero-initialised is unlocked. Lock order: see mem.h. */
struct port_lock {
    uint32_t word;
};
void port_lock(struct port_lock *l);
void port_unlock(struct port_lock *l);
/* Short pause inside a spin loop. */
void port_relax(void);

/* Monotonic time in nanoseconds; for time-outs and logs only. */
uint64_t port_now(void);

/* One formatted line for the log. %s %u %x (unsigned, 32 bit) %lu %lx (64 bit) %% only. */
void port_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A broken internal promise: never reachable from host or guest input. */
_Noreturn void port_panic(const char *why);

#endif
