/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The port for a process: an arena that stands for physical memory, and what tests need around it.
 * The core never includes this header.
 */
#ifndef PORT_HOSTED_H
#define PORT_HOSTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "Physical" memory: [HOSTED_BASE, HOSTED_BASE + HOSTED_SIZE), sparse (pages cost nothing until
 * touched), mapped before main(). Only these addresses have a port_va(); another one aborts. */
#define HOSTED_BASE ((uint64_t)0x40000000)
#define HOSTED_SIZE ((uint64_t)8 << 30)
#define HOSTED_ROOM ((uint64_t)16 << 30) /* addresses kept free around it: from 0 to here */
void *hosted_arena(void);                /* the host address of HOSTED_BASE */
/* From now on children made by fork see the same memory (tables that another process walks). Before
 * anything is allocated: what is there is lost. 0 or a negative errno. */
int hosted_arena_share(void);

/*
 * Put [pa, pa+len) of the arena, which nobody uses yet, on a memfd of its own, with frames of 2^12, 2^21
 * or 2^30 bytes (huge ones are taken at once). 0, -EINVAL, -ENOSPC (8 such regions), or what the
 * system says: -ENOMEM where there are no huge frames. hosted_punch gives pages of it back with a hole
 * punch (fallocate): they read as zero. hosted_memfd_bytes: what the region at pa takes now.
 */
int hosted_memfd(uint64_t pa, uint64_t len, unsigned frame_shift);
/* The same on a guest_memfd of KVM's, with 4K frames. -EOPNOTSUPP: no /dev/kvm that one may open, or its
 * guest_memfd cannot be mapped (Linux before 6.18). hosted_memfd_bytes() says nothing of it. */
int hosted_guest_memfd(uint64_t pa, uint64_t len);
void hosted_punch(uint64_t pa, uint64_t len);
uint64_t hosted_memfd_bytes(uint64_t pa);

/*
 * Page allocator, thread-safe. `pages` zeroed pages, aligned to `align` bytes (a power of two >=
 * 4096); 0 when out of memory or when the failure that hosted_fail_after() set is due. Freeing what
 * is not allocated aborts; freed pages are poisoned.
 */
uint64_t hosted_alloc(uint32_t pages, uint64_t align);
void hosted_free(uint64_t pa, uint32_t pages);
uint64_t hosted_live(void); /* pages allocated now */
/* The n-th allocation from now on fails (1: the next), once; 0: none. */
void hosted_fail_after(uint64_t n);

/*
 * Every store that the core makes through port_pte_*, seen one by one, a fill entry by entry.
 * `before` is called with what is about to be stored (`old`: what the entry holds, or what a
 * compare-exchange expects), and may change the entry, as hardware may just before a
 * compare-exchange; `after` with what was stored (not for a compare-exchange that failed). Set
 * while no other thread is in the core; without a hook a store costs one predictable branch.
 */
enum hosted_kind { HOSTED_STORE, HOSTED_CAS, HOSTED_FILL };
struct hosted_store {
    uint64_t *e;
    uint64_t old;
    uint64_t new;
    enum hosted_kind kind;
};
struct hosted_hook {
    void *ctx;
    void (*before)(void *ctx, const struct hosted_store *s);
    void (*after)(void *ctx, const struct hosted_store *s);
    void (*publish)(void *ctx);                           /* port_publish() */
    void (*clean)(void *ctx, const void *va, size_t len); /* port_clean() */
};
void hosted_set_hook(const struct hosted_hook *hook);

/* Lines of port_log() go to stderr unless quiet. */
void hosted_log_quiet(bool quiet);

/* May port_pte_fill() use vector stores? True at first, where the processor has them. For
 * benchmarks: what EL2, which has no vector registers, would do here. */
void hosted_set_vector(bool vector);

#endif
