/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel's page-table code needs from the rest of the kernel, for a process. Written for
 * this benchmark from what the compiler asks for; bench/peer/peer.mk makes a one-line header of
 * each name that the sources include, and all of them lead here. Nothing here is meant to be
 * complete, and where a choice matters for the time it is in the peers' favour or as the kernel
 * has it: out-of-line page allocation, locked instructions for compare-exchange, barriers that
 * cost nothing on x86, physical addresses equal to pointers, checks compiled in.
 */
#ifndef BENCH_PEER_STANDIN_H
#define BENCH_PEER_STANDIN_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* --- types --- */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef unsigned long long u64;
typedef int64_t s64;
typedef unsigned long pgoff_t;
typedef long ssize_t;
typedef u64 phys_addr_t;
typedef u64 dma_addr_t;
typedef unsigned int gfp_t;
typedef struct {
    int counter;
} atomic_t;
typedef struct {
    int word;
} spinlock_t;

#define U64_MAX (~(u64)0)
#define U32_MAX (~(u32)0)

/* --- compiler --- */

#define __always_inline inline __attribute__((__always_inline__))
#define __maybe_unused  __attribute__((__unused__))
#define likely(x)       __builtin_expect(!!(x), 1)
#define unlikely(x)     __builtin_expect(!!(x), 0)
#define barrier()       __asm__ __volatile__("" ::: "memory")
#define static_assert(cond, ...) _Static_assert(cond, #cond)
#define BUILD_BUG()       standin_unreachable()
#define PASTE2(a, b)      a##b
#define CONCATENATE(a, b) PASTE2(a, b)
#define STRING1(...)      #__VA_ARGS__
#define __stringify(...)  STRING1(__VA_ARGS__)

extern void standin_unreachable(void); /* defined nowhere: an error of the linker */

/* Configuration symbols that are 1 make this true; undefined names expand to themselves. */
#define STANDIN_SECOND(skip, value, ...) value
#define STANDIN_PICK(...)                STANDIN_SECOND(__VA_ARGS__)
#define STANDIN_COMMA_1                  0,
#define STANDIN_ENABLED(value)           STANDIN_ENABLED_(value)
#define STANDIN_ENABLED_(value)          STANDIN_PICK(STANDIN_COMMA_##value 1, 0)
#define IS_ENABLED(option)               STANDIN_ENABLED(option)
#define CONFIG_IOMMUFD_DRIVER            1
#define CONFIG_IOMMU_PT                  1
#define CONFIG_SMP                       1
#define CONFIG_X86                       1

#define EXPORT_SYMBOL_NS_GPL(name, space) struct standin_none
#define MODULE_LICENSE(text)              struct standin_none
#define MODULE_DESCRIPTION(text)          struct standin_none
#define MODULE_IMPORT_NS(text)            struct standin_none

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define container_of_const              container_of
#define memset_after(obj, value, member)                                                          \
    memset((char *)(obj) + offsetof(__typeof__(*(obj)), member) + sizeof((obj)->member), (value), \
           sizeof(*(obj)) - offsetof(__typeof__(*(obj)), member) - sizeof((obj)->member))
#define check_add_overflow(a, b, out) __builtin_add_overflow(a, b, out)
#define DIV_ROUND_UP(n, d)            (((n) + (d)-1) / (d))

/* --- warnings: the condition is computed, the message is out of line --- */

void standin_warn(const char *file, int line) __attribute__((cold, noinline));
#define WARN_ON(cond)                         \
    ({                                        \
        bool warn_on = !!(cond);              \
        if (unlikely(warn_on)) {              \
            standin_warn(__FILE__, __LINE__); \
        }                                     \
        unlikely(warn_on);                    \
    })
#define WARN_ON_ONCE(cond)      WARN_ON(cond)
#define WARN_ONCE(cond, ...)    WARN_ON(cond)
#define dev_err(dev, ...)       standin_warn(__FILE__, __LINE__)
#define pr_err_ratelimited(...) standin_warn(__FILE__, __LINE__)
#define pr_err(...)             standin_warn(__FILE__, __LINE__)

static inline void *ERR_PTR(long error)
{
    return (void *)error;
}

static inline bool IS_ERR(const void *p)
{
    return (uintptr_t)p >= (uintptr_t)-4095L;
}

static inline long PTR_ERR(const void *p)
{
    return (long)p;
}

/* --- bits and numbers --- */

#define BITS_PER_LONG        64
#define BIT(n)               (1UL << (n))
#define BIT_ULL(n)           (1ULL << (n))
#define GENMASK_ULL(hi, lo)  ((~0ULL >> (63 - (hi))) & (~0ULL << (lo)))
#define GENMASK(hi, lo)      ((~0UL >> (63 - (hi))) & (~0UL << (lo)))
#define ilog2(n)             (63 - __builtin_clzll((u64)(n)))
#define __bf_shf(mask)       __builtin_ctzll(mask)
#define FIELD_GET(mask, reg) ((__typeof__(mask))(((reg) & (mask)) >> __bf_shf(mask)))
#define FIELD_PREP(mask, v)  (((__typeof__(mask))(v) << __bf_shf(mask)) & (mask))
#define STANDIN_PICK2(a, op, b)             \
    ({                                      \
        __typeof__((a) + (b)) pick_a = (a); \
        __typeof__((a) + (b)) pick_b = (b); \
        pick_a op pick_b ? pick_a : pick_b; \
    })
#define min(a, b)         STANDIN_PICK2(a, <, b)
#define max(a, b)         STANDIN_PICK2(a, >, b)
#define min_t(type, a, b) min((type)(a), (type)(b))
#define max_t(type, a, b) max((type)(a), (type)(b))

static inline unsigned long __ffs(unsigned long v)
{
    return (unsigned long)__builtin_ctzl(v);
}

static inline unsigned long __fls(unsigned long v)
{
    return 63 - (unsigned long)__builtin_clzl(v);
}

static inline unsigned long ffz(unsigned long v)
{
    return __ffs(~v);
}

static inline unsigned int fls(unsigned int v)
{
    return v ? 32 - (unsigned int)__builtin_clz(v) : 0;
}

static inline unsigned int fls64(u64 v)
{
    return v ? 64 - (unsigned int)__builtin_clzll(v) : 0;
}

static inline unsigned int __ffs64(u64 v)
{
    return (unsigned int)__builtin_ctzll(v);
}

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))
#define SZ_2K      0x800UL
#define SZ_4K      0x1000UL
#define SZ_16K     0x4000UL
#define SZ_64K     0x10000UL
#define SZ_2M      0x200000UL
#define SZ_32M     0x2000000UL
#define SZ_512M    0x20000000UL
#define SZ_1G      0x40000000UL
#define SZ_512G    0x8000000000ULL

/* --- memory order --- */

#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
#if defined(__aarch64__) /* as the kernel has them there */
#define dma_wmb() __asm__ __volatile__("dmb oshst" ::: "memory")
#define wmb()     __asm__ __volatile__("dsb st" ::: "memory")
#else
#define dma_wmb() barrier()
#define wmb()     barrier()
#endif
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/* A locked instruction, as the kernel's own is. */
#define try_cmpxchg64(p, old, v) \
    __atomic_compare_exchange_n(p, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
#define try_cmpxchg64_release try_cmpxchg64
#define try_cmpxchg_release   try_cmpxchg64
#define cmpxchg64_relaxed(p, expected, v)   \
    ({                                      \
        __typeof__(*(p)) seen = (expected); \
        try_cmpxchg64(p, &seen, v);         \
        seen;                               \
    })

static inline void set_bit(long n, unsigned long *p)
{
    __atomic_fetch_or(&p[n >> 6], 1UL << (n & 63), __ATOMIC_SEQ_CST);
}

static inline void memset64(u64 *p, u64 v, size_t n)
{
#if defined(__x86_64__)
    __asm__ __volatile__("rep stosq" : "+D"(p), "+c"(n) : "a"(v) : "memory");
#else
    while (n-- > 0) {
        *p++ = v;
    }
#endif
}

/* Never contended in this benchmark. */
#define spin_lock_irqsave(lock, flags)      ((void)(flags), (lock)->word = 1)
#define spin_unlock_irqrestore(lock, flags) ((void)(flags), (lock)->word = 0)

/* --- lists --- */

struct list_head {
    struct list_head *next, *prev;
};
#define LIST_HEAD_INIT(name) \
    {                        \
        &(name), &(name)     \
    }

static inline void INIT_LIST_HEAD(struct list_head *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
    return READ_ONCE(head->next) == head;
}

static inline void list_add_tail(struct list_head *item, struct list_head *head)
{
    struct list_head *last = head->prev;

    item->next = head;
    item->prev = last;
    last->next = item;
    head->prev = item;
}

/* All of `from` goes to the front of `to`. */
static inline void list_splice(const struct list_head *from, struct list_head *to)
{
    if (from->next != from) {
        struct list_head *first = from->next, *last = from->prev;

        last->next = to->next;
        to->next->prev = last;
        first->prev = to;
        to->next = first;
    }
}

/* --- memory: the arena that our own pages come from too (bench/arena.h) --- */

#define GFP_KERNEL   0u
#define NUMA_NO_NODE (-1)

#define virt_to_phys(p) ((phys_addr_t)(uintptr_t)(p))
#define phys_to_virt(a) ((void *)(uintptr_t)(a))
#define __va(a)         phys_to_virt(a)
#define __sme_set(v)    (v)
#define __sme_clr(v)    (v)

/* A descriptor of 64 bytes for each page of the arena. */
struct folio {
    unsigned long word[8];
};
extern struct folio *standin_folios;
extern uintptr_t standin_first;

static inline struct folio *virt_to_folio(const void *p)
{
    return &standin_folios[((uintptr_t)p - standin_first) >> PAGE_SHIFT];
}

void *standin_small_alloc(size_t size);
void standin_small_free(void *p);
#define kmalloc_obj(obj) standin_small_alloc(sizeof(obj))
#define kzalloc_obj(obj) standin_small_alloc(sizeof(obj))
#define kfree(p)         standin_small_free(p)

/* --- devices: all of them are coherent --- */

struct device;
enum standin_direction { DMA_TO_DEVICE };
#define dev_to_node(dev)                                  NUMA_NO_NODE
#define dma_map_single(dev, p, size, direction)           virt_to_phys(p)
#define dma_mapping_error(dev, address)                   0
#define dma_unmap_single(dev, address, size, direction)   ((void)0)
#define dma_sync_single_for_device(dev, address, size, d) ((void)0)
#define clflush_cache_range(p, size)                      ((void)0)

/* --- the IOMMU core's types --- */

#define IOMMU_READ            (1u << 0)
#define IOMMU_WRITE           (1u << 1)
#define IOMMU_CACHE           (1u << 2)
#define IOMMU_NOEXEC          (1u << 3)
#define IOMMU_MMIO            (1u << 4)
#define IOMMU_PRIV            (1u << 5)
#define IOMMU_DIRTY_NO_CLEAR  (1u << 0)
#define __IOMMU_DOMAIN_PAGING (1u << 0)

struct iommu_domain;
struct iommu_pages_list {
    struct list_head pages;
};
#define IOMMU_PAGES_LIST_INIT(name) ((struct iommu_pages_list){ LIST_HEAD_INIT((name).pages) })

struct iommu_iotlb_gather {
    unsigned long start;
    unsigned long end;
    union {
        size_t pgsize;
        struct {
            u8 leaf_levels_bitmap;
            u8 table_levels_bitmap;
        } pt;
    };
    struct iommu_pages_list freelist;
    bool queued;
};

struct iommu_domain_ops {
    void (*iotlb_sync)(struct iommu_domain *domain, struct iommu_iotlb_gather *gather);
};

struct iommu_domain {
    unsigned type;
    bool is_iommupt;
    const struct iommu_domain_ops *ops;
    unsigned long pgsize_bitmap;
    struct {
        dma_addr_t aperture_start;
        dma_addr_t aperture_end;
        bool force_aperture;
    } geometry;
};

/* The user's bitmap: its pages are pinned, one bit a page of the range, recorded out of line. */
struct iova_bitmap;
void iova_bitmap_set(struct iova_bitmap *bitmap, unsigned long iova, size_t length);

struct iommu_dirty_bitmap {
    struct iova_bitmap *bitmap;
    struct iommu_iotlb_gather *gather;
};

static inline void iommu_iotlb_gather_init(struct iommu_iotlb_gather *g)
{
    *g = (struct iommu_iotlb_gather){ .start = ULONG_MAX,
                                      .freelist = IOMMU_PAGES_LIST_INIT(g->freelist) };
}

static inline bool iommu_iotlb_gather_queued(const struct iommu_iotlb_gather *g)
{
    return g && g->queued;
}

static inline bool iommu_iotlb_gather_is_disjoint(const struct iommu_iotlb_gather *g,
                                                  unsigned long iova, size_t size)
{
    return g->end != 0 && (iova > g->end + 1 || iova + size < g->start);
}

static inline void iommu_iotlb_gather_add_range(struct iommu_iotlb_gather *g, unsigned long iova,
                                                size_t size)
{
    unsigned long last = iova + size - 1;

    if (iova < g->start) {
        g->start = iova;
    }
    if (last > g->end) {
        g->end = last;
    }
}

static inline void iommu_iotlb_sync(struct iommu_domain *domain, struct iommu_iotlb_gather *g)
{
    if (domain->ops->iotlb_sync && likely(g->start < g->end)) {
        domain->ops->iotlb_sync(domain, g);
    }
    iommu_iotlb_gather_init(g);
}

static inline void iommu_iotlb_gather_add_page(struct iommu_domain *domain,
                                               struct iommu_iotlb_gather *g, unsigned long iova,
                                               size_t size)
{
    if ((g->pgsize != 0 && g->pgsize != size) || iommu_iotlb_gather_is_disjoint(g, iova, size)) {
        iommu_iotlb_sync(domain, g);
    }
    g->pgsize = size;
    iommu_iotlb_gather_add_range(g, iova, size);
}

static inline void iommu_dirty_bitmap_record(struct iommu_dirty_bitmap *dirty, unsigned long iova,
                                             unsigned long length)
{
    if (dirty->bitmap) {
        iova_bitmap_set(dirty->bitmap, iova, length);
    }
    if (dirty->gather) {
        iommu_iotlb_gather_add_range(dirty->gather, iova, length);
    }
}

#endif
