/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside tenon-iommufd: one server process holds every object of every client. It has one thread,
 * so nothing here takes a lock; a call runs from its first byte to its answer.
 *
 * From the bottom up:
 *   phys.c    "physical" addresses: a number for each page of a client's memory, and its pins
 *   mm.c      the clients' address spaces: reading, writing, what is mapped where
 *   domain.c  one I/O page table: the real core's space, and what the hardware would do with it
 *   pages.c   a range of user memory that is mapped somewhere, page by page pinned or not
 *   iopt.c    an address space of I/O addresses: areas, reserved and allowed ranges, its domains
 *   ctx.c     an open /dev/iommu: its objects, and the dispatcher
 *   swiommu.c the software IOMMU under the core's iommu/: which tree a device or PASID walks (swiommu.h)
 *   ioas.c hwpt.c device.c access.c eventq.c viommu.c compat.c   the calls
 *   server.c  descriptors and processes; front.c and seccomp.c are the two ways in
 *   vfio.c group.c sw*.c edu.c nvme*.c san.c   software devices, their DMA, and what is wrong with it
 *             (swdev.h)
 * selftest.c answers the kernel's own test operations; only a server started for that links to it
 * through `test_ops`.
 *
 * Errors are negative errno; which one is the kernel's contract (Documentation/userspace-api/
 * iommufd.rst and the behaviour of Linux 7.3).
 */
#ifndef IOMMUFD_IOD_H
#define IOMMUFD_IOD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "iommufd/uapi.h"
#include "tenon/iommu.h"
#include "tenon/pasid.h"
#include "tenon/prq.h"

#define PG 4096u

/* ---- mm.c: a client's address space; lives as long as anything refers to it ---- */
struct mm {
    uint32_t refs;
    uint64_t serial; /* never reused */
    pid_t pid;
    uid_t uid;
    bool gone;              /* the process has ended or become another program */
    int maps;               /* /proc/PID/maps, -1: not opened yet */
    int64_t pinned, locked; /* pages, as VmPin and VmLck would say */
    struct mm *next;
};
struct mm *mm_new(pid_t pid, uid_t uid);
void mm_put(struct mm *mm);
void mm_gone(struct mm *mm);     /* also marks its accounting as nobody's */
bool mm_replaced(struct mm *mm); /* the process has another memory by now (execve) */
struct mm *mm_first(void);
struct mm *mm_of_pid(pid_t pid); /* one that is not gone, or NULL */
/* 0 or -EFAULT; nothing is promised about what was copied before a fault. */
int mm_read(struct mm *mm, void *to, uint64_t from, size_t len);
int mm_write(struct mm *mm, uint64_t to, const void *from, size_t len);
bool mm_capable(const struct mm *mm, unsigned cap);
uint64_t mm_memlock_pages(const struct mm *mm); /* RLIMIT_MEMLOCK */
/* The mapping at va: identity of its pages. -EFAULT: no such memory, or not with these rights. */
struct mm_vma {
    uint64_t start, last;
    bool read, write, shared, huge; /* huge: of a hugetlb file */
    uint64_t dev, ino, offset;      /* shared: the file (of va `start`) */
};
int mm_vma(struct mm *mm, uint64_t va, struct mm_vma *vma);
int mm_vma_next(struct mm *mm, uint64_t va, struct mm_vma *vma); /* at va or the first above */
/* Physical address of the page at va, for a pin. */
int mm_page(struct mm *mm, uint64_t va, bool write, uint64_t *pa, uint64_t *run);

/* ---- phys.c ---- */
/* Page `index` of what (kind, a, b) names; stable as long as the server runs. 0: no number left. */
enum phys_kind { PHYS_PRIVATE, PHYS_SHARED }; /* (mm, 0) by address; (dev, ino) by file page */
uint64_t phys_page(enum phys_kind kind, uint64_t a, uint64_t b, uint64_t index);
void phys_pin(uint64_t pa);
void phys_unpin(uint64_t pa);
uint32_t phys_pins(uint64_t pa);
/* Who can reach it: called when a mapping names this page, cheap if it is known already. */
void phys_seen(uint64_t pa, struct mm *mm, uint64_t va);
void phys_keep_fd(uint64_t dev, uint64_t ino, int fd); /* keeps a duplicate */
void phys_drop_fd(uint64_t dev, uint64_t ino);         /* unless a page of it is pinned */
/* Reads and writes memory by its number. -EFAULT: it is gone. May cross pages of one run. */
int phys_rw(uint64_t pa, void *buf, size_t len, bool write);
void phys_forget_mm(struct mm *mm);

/* ---- domain.c ---- */
struct iopt;
struct domain {
    struct space space;
    struct iommu_domain io; /* over the space: what devices and PASIDs are attached to */
    struct iopt *iopt;      /* whose mappings it shows; NULL: nobody's yet */
    uint64_t first, last;   /* aperture */
    uint64_t pgsizes;       /* bit n: pages of 2^n */
    unsigned shift;         /* the table's addresses are ours << shift: pages of 4096 >> shift */
    bool can_dirty, tracking;
    uint64_t issued, waited; /* invalidations, as they reach the IOMMU */
};
static inline struct domain *domain_of(struct iommu_domain *io)
{
    return (struct domain *)(void *)((unsigned char *)io - offsetof(struct domain, io));
}
enum domain_format { DOMAIN_DEFAULT, DOMAIN_ARM_S2, DOMAIN_AMD_V1 };
/* -ENOMEM; -EOPNOTSUPP: the engine was built without this format. */
int domains_init(uint64_t table_bytes, enum domain_format format);
const char *domains_format(void);
void domains_caps(struct iommu_caps *caps); /* of an IOMMU that walks it */
int domain_init(struct domain *d, struct iommu *im, unsigned shift, bool can_dirty);
void domain_fini(struct domain *d);
int domain_map(struct domain *d, uint64_t iova, uint64_t pa, uint64_t len, bool write, bool read,
               bool small);
void domain_unmap(struct domain *d, uint64_t iova, uint64_t len);
/* As the hardware sees it: the model's walker over the real table. -EFAULT: it would fault. */
enum { DMA_READ = 1, DMA_WRITE = 2 };
int domain_walk(struct domain *d, uint64_t iova, unsigned access, uint64_t *pa);
int domain_peek(struct domain *d, uint64_t iova, uint64_t *pa);
/* set(ctx, iova, len) for each dirty leaf's part in the range; clears unless keep. */
int domain_dirty(struct domain *d, uint64_t iova, uint64_t len, bool keep,
                 void (*set)(void *ctx, uint64_t iova, uint64_t len), void *ctx);

/* ---- pages.c ---- */
enum pages_type { PAGES_USER, PAGES_FILE, PAGES_DMABUF };
enum account { ACCOUNT_USER, ACCOUNT_MM, ACCOUNT_NONE };
struct dmabuf {
    uint32_t refs;
    uint64_t dev, ino, size;
    int fd;
    bool revoked;
    uint64_t generation; /* mappings made before a revocation stay dead */
    struct dmabuf *next;
};
struct pages {
    uint32_t refs;
    enum pages_type type;
    struct mm *mm;
    uid_t uid;
    uint64_t va;        /* USER: of page 0 */
    int fd;             /* FILE */
    uint64_t file_page; /* FILE, DMABUF: page 0's page of the file */
    struct dmabuf *dmabuf;
    uint64_t generation;
    uint64_t n;
    bool writable;
    enum account account;
    uint64_t pinned;
    uint32_t *use; /* users of each page; the first pins it, the last unpins */
    uint64_t *pa;
};
int pages_new_user(struct mm *mm, uint64_t va, uint64_t len, bool writable, struct pages **out);
int pages_new_file(struct mm *mm, int fd, uint64_t start, uint64_t len, bool writable,
                   struct pages **out);
int pages_new_dmabuf(struct mm *mm, struct dmabuf *buf, uint64_t start, uint64_t len, bool writable,
                     struct pages **out);
void pages_put(struct pages *p);
int pages_use(struct pages *p, uint64_t first, uint64_t last);
void pages_unuse(struct pages *p, uint64_t first, uint64_t last);
bool pages_revoked(const struct pages *p);
int pages_rw(struct pages *p, uint64_t start, void *buf, uint64_t len, bool write, bool slow);
/* Moves what is charged from one process to another (IOMMU_IOAS_CHANGE_PROCESS). */
int account_charge(enum account mode, struct mm *mm, uid_t uid, uint64_t pages);
void account_release(enum account mode, struct mm *mm, uid_t uid, uint64_t pages);
#define DMABUFS_IDLE 64u /* so many that no mapping uses are kept; then the oldest is forgotten */
struct dmabuf *dmabuf_new(uint64_t size);
struct dmabuf *dmabuf_find(int fd); /* NULL: it is no such descriptor */
void dmabuf_put(struct dmabuf *b);

/* ---- iopt.c ---- */
struct area {
    uint64_t iova, last;
    struct iopt *iopt;
    struct pages *pages;
    uint64_t start_byte; /* in pages, of iova */
    bool read, write;
    struct san_map *how; /* who mapped it; NULL: nobody wants to know */
    bool filled;         /* some domain holds it */
    bool prevent_access;
    uint32_t accesses, locks;
};
struct iova_range {
    uint64_t first, last;
    const void *owner;
};
struct range_list {
    struct iova_range *r;
    uint32_t n, room;
};
struct access;
struct iopt {
    struct area **area; /* by address, none overlap */
    uint32_t areas, room;
    struct range_list reserved, allowed;
    struct domain **domain;
    uint32_t domains;
    struct access *accesses; /* a list */
    uint64_t alignment;
    bool small; /* IOMMU_OPTION_HUGE_PAGES == 0 */
};
void iopt_init(struct iopt *t);
void iopt_fini(struct iopt *t);
struct slice { /* part of a mapping, for copies */
    struct pages *pages;
    uint64_t start_byte, len;
};
int iopt_map(struct iopt *t, const struct slice *s, uint32_t n, uint64_t len, uint64_t *iova,
             bool fixed, bool read, bool write);
int iopt_slices(struct iopt *t, uint64_t iova, uint64_t len, struct slice **s, uint32_t *n);
void slices_free(struct slice *s, uint32_t n);
int iopt_unmap(struct iopt *t, uint64_t first, uint64_t last, uint64_t *unmapped);
int iopt_cut(struct iopt *t, uint64_t last);
int iopt_add_domain(struct iopt *t, struct domain *d);
void iopt_remove_domain(struct iopt *t, struct domain *d);
int iopt_set_small(struct iopt *t, bool small);
int iopt_realign(struct iopt *t); /* from its domains and accesses */
/* The areas that cover [iova, last] without a gap: calls fn for each part; `whole` tells. */
int iopt_each(struct iopt *t, uint64_t iova, uint64_t last, bool *whole,
              int (*fn)(void *ctx, struct area *a, uint64_t iova, uint64_t last), void *ctx);
/* Takes a revoked buffer out of every domain that maps it. */
void iopt_drop_dmabuf(struct iopt *t, const struct dmabuf *b);

/* ---- iova.c ---- */
int iopt_reserve(struct iopt *t, uint64_t first, uint64_t last, const void *owner);
void iopt_unreserve(struct iopt *t, const void *owner);
int iopt_allow(struct iopt *t, struct range_list *list); /* takes the list's array on success */
int range_add(struct range_list *l, uint64_t first, uint64_t last, const void *owner);
bool range_touches(const struct range_list *l, uint64_t first, uint64_t last);
/* The next hole in the reserved ranges (areas too, if wanted) from *at. False: none up to last. */
bool iopt_hole(const struct iopt *t, uint64_t at, uint64_t last, bool areas, uint64_t *hs,
               uint64_t *hl);
uint32_t iopt_find(const struct iopt *t, uint64_t iova); /* first area that ends at or after */
bool iopt_any(const struct iopt *t, uint64_t first, uint64_t last); /* is any of it in an area? */
/* A free place for `len` bytes that stand at `addr` in memory: -ENOSPC, -EINVAL, -EOVERFLOW. */
int iopt_choose(const struct iopt *t, uint64_t *iova, uint64_t addr, uint64_t len);

/* ---- ctx.c ---- */
enum obj_type {
    OBJ_NONE,
    OBJ_DEVICE,
    OBJ_HWPT_PAGING,
    OBJ_HWPT_NESTED,
    OBJ_IOAS,
    OBJ_ACCESS,
    OBJ_FAULT,
    OBJ_VIOMMU,
    OBJ_VDEVICE,
    OBJ_VEVENTQ,
    OBJ_HW_QUEUE,
    OBJ_TEST,
    OBJ_ANY,
};
struct ctx;
struct obj {
    struct ctx *ctx;
    uint32_t id, users; /* 1: nobody but the table */
    enum obj_type type;
    bool live; /* visible to calls */
};
struct ioas;
struct ctx {
    uint32_t refs; /* the open file, and what keeps it open */
    struct obj **obj;
    uint32_t objs, room, low; /* no id below `low` is free */
    bool mm_accounting, no_iommu;
    struct ioas *vfio_ioas;
    struct swiommu *iommu; /* swiommu.h; NULL: no device was bound yet */
    struct ctx *next;
};
struct call { /* one ioctl */
    struct ctx *ctx;
    struct mm *mm;
    unsigned cmd;
    uint64_t arg;
    uint32_t user_size;
    union u_any *u;
    /* Descriptors of the caller, duplicated for the call; -EBADF. need_fd: ask the front for it and
     * begin again (no call has changed anything before it asks). */
    int (*fd_get)(struct call *c, int fd);
    int need_fd;
    /* A descriptor for the caller: its number is written at out_at, or is the result (0). */
    int out_fd;
    uint64_t out_at;
    void *front;
};
union u_any {
    uint32_t size;
    struct u_destroy destroy;
    struct u_ioas_alloc ioas_alloc;
    struct u_ioas_iova_ranges ranges;
    struct u_ioas_allow_iovas allow;
    struct u_ioas_map map;
    struct u_ioas_map_file map_file;
    struct u_ioas_copy copy;
    struct u_ioas_unmap unmap;
    struct u_ioas_noiommu_get_pa get_pa;
    struct u_ioas_change_process change;
    struct u_option option;
    struct u_vfio_ioas vfio_ioas;
    struct u_hwpt_alloc hwpt;
    struct u_hw_info info;
    struct u_hwpt_set_dirty_tracking set_dirty;
    struct u_hwpt_get_dirty_bitmap get_dirty;
    struct u_hwpt_invalidate inval;
    struct u_fault_alloc fault;
    struct u_viommu_alloc viommu;
    struct u_vdevice_alloc vdevice;
    struct u_veventq_alloc veventq;
    struct u_hw_queue_alloc hw_queue;
    uint64_t room[10];
};
#define ENEEDFD 4000 /* not an answer: see struct call */

struct ctx *ctx_new(bool vfio_container);
void ctx_put(struct ctx *c);
int ctx_ioctl(struct call *c); /* the result of the system call, or -errno */
void ctx_fail_nth(uint32_t n); /* the n-th call from now that makes or maps something: -ENOMEM */
void ctx_fail_summary(void);   /* says so if it never came */
struct ctx *ctx_first(void);
/* A new object of `size` bytes, whose id nobody can name yet. NULL: no memory. */
void *obj_new(struct ctx *c, size_t size, enum obj_type type);
void obj_live(void *o);
void obj_abort(void *o); /* takes the id back and frees; its contents are the caller's */
void *obj_get(struct ctx *c, uint32_t id, enum obj_type type); /* NULL: -ENOENT */
int obj_remove(struct ctx *c, uint32_t id);                    /* -ENOENT, -EBUSY */
void obj_drop(void *o, bool tombstone); /* the last user is the caller: destroys */
int call_respond(struct call *c, const void *u, size_t size);
/* Copies a structure of the caller's whose size it states itself. */
int call_struct(struct call *c, void *to, size_t size, uint64_t from, uint64_t user_size);

/* ---- ioas.c ---- */
struct hwpt;
struct ioas {
    struct obj obj;
    struct iopt iopt;
    struct hwpt **hwpt; /* in the order of their making */
    uint32_t hwpts;
};
struct ioas *ioas_new(struct ctx *c);
void ioas_destroy(struct obj *o);
int ioas_alloc(struct call *c);
int ioas_ranges(struct call *c);
int ioas_allow(struct call *c);
int ioas_map(struct call *c);
int ioas_map_file(struct call *c);
int ioas_copy(struct call *c);
int ioas_unmap(struct call *c);
int ioas_get_pa(struct call *c);
int ioas_change_process(struct call *c);
int ioas_option(struct call *c);
int ioas_map_user(struct call *c, struct ioas *s, uint64_t va, uint64_t len, uint64_t *iova,
                  bool fixed, bool read, bool write);

/* ---- device.c, hwpt.c: `struct dev_ops` is what a kind of device and its IOMMU can do ---- */
#define NO_PASID 0u
struct user_data {
    uint32_t type, len;
    uint64_t uptr;
};
struct user_array {
    uint32_t type, entry_len, entry_num;
    uint64_t uptr;
};
struct device;
struct viommu;
struct hw_queue;
struct eventq;
struct dev_ops {
    const char *name;
    bool (*dirty)(const struct device *d);
    uint32_t (*pasid_bits)(const struct device *d);
    int (*hw_info)(struct device *d, uint32_t *type, void *buf, uint32_t *len); /* len: room 64 */
    int (*paging)(struct device *d, uint32_t flags, const struct user_data *u, struct call *c,
                  struct domain **out);
    int (*nested)(struct call *c, struct hwpt *h, const struct user_data *u);
    int (*attach)(struct device *d, uint32_t pasid, struct hwpt *h); /* may it be? or NULL */
    void (*detach)(struct device *d, uint32_t pasid);                /* or NULL */
    int (*invalidate)(struct call *c, struct hwpt *h, struct user_array *a);
    bool (*viommu_type)(uint32_t type);
    int (*viommu_init)(struct call *c, struct viommu *v, const struct user_data *u);
    int (*viommu_busy)(struct viommu *v); /* may it go? */
    void (*viommu_fini)(struct viommu *v);
    int (*viommu_invalidate)(struct call *c, struct viommu *v, struct user_array *a);
    bool (*queue_type)(uint32_t type);
    int (*queue_init)(struct hw_queue *q, uint32_t index, uint64_t pa);
    void (*queue_fini)(struct hw_queue *q);
    void (*response)(struct device *d, const struct prq_response *r); /* or NULL */
};
/* Which HWPT stands behind an attachment that the core knows as one to a tree: several may share one. */
struct attach {
    struct device *dev;
    uint32_t pasid;
    struct hwpt *hwpt;
    struct pasid number; /* the core's record of the PASID */
    struct attach *next;
};
struct device {
    struct obj obj;
    const struct dev_ops *ops;
    void *owner; /* what stands behind it */
    struct swiommu *iommu;
    /* A device's PASIDs are its own, and the program chooses their numbers. */
    struct pasid_set pasids;
    struct pasid_control control;
    struct pasid **slot;
    struct attach *attach;
    struct vdevice *vdev;
};
struct hwpt {
    struct obj obj;
    const struct dev_ops *ops;
    struct ioas *ioas;     /* paging */
    struct domain *domain; /* paging */
    bool auto_domain, nest_parent, pasid_compat, listed;
    struct hwpt *parent;   /* nested: the paging one below */
    struct viommu *viommu; /* nested of a vIOMMU */
    struct fault *fault;
    uint32_t word[4]; /* nested: what the driver keeps */
};
struct device *device_bind(struct ctx *c, const struct dev_ops *ops, void *owner);
void device_unbind(struct device *d);
void device_destroy(struct obj *o);
int device_attach(struct call *c, struct device *d, uint32_t pasid, uint32_t *pt_id);
int device_replace(struct call *c, struct device *d, uint32_t pasid, uint32_t *pt_id);
void device_detach(struct device *d, uint32_t pasid);
struct hwpt *device_hwpt(const struct device *d, uint32_t pasid); /* NULL: none */
int device_hw_info(struct call *c);
int hwpt_new_paging(struct call *c, struct ioas *s, struct device *d, uint32_t flags,
                    const struct user_data *u, struct hwpt **out);
void hwpt_destroy(struct obj *o);
void hwpt_put(struct hwpt *h); /* one user less; an automatic one goes with its last */
int hwpt_alloc(struct call *c);
int hwpt_set_dirty(struct call *c);
int hwpt_get_dirty(struct call *c);
int hwpt_invalidate(struct call *c);

/* ---- access.c: a reader of an IOAS that is no device ---- */
struct access_item {
    uint64_t iova, len;
    uint32_t id;
    struct access_item *next;
};
struct access {
    struct obj obj;
    struct ioas *ioas;
    struct access *next; /* in the IOAS */
    uint64_t alignment;
    bool internal; /* blocks unmaps instead of being told of them */
    struct access_item *items;
    uint32_t next_item;
};
struct access *access_new(struct ctx *c, bool internal, uint64_t alignment);
int access_attach(struct access *a, struct ioas *s); /* NULL: detach */
void access_destroy(struct obj *o);
void access_closed(struct access *a);                               /* its maker lets go */
void access_unmap(struct access *a, uint64_t first, uint64_t last); /* drops items that touch it */
int access_pin(struct access *a, uint64_t iova, uint64_t len, bool write, uint64_t *pa);
void access_unpin(struct access *a, uint64_t iova, uint64_t len);
int access_rw(struct access *a, uint64_t iova, void *buf, uint64_t len, bool write, bool slow);

/* ---- eventq.c ---- */
struct event {
    struct event *next;
    struct attach *from; /* faults: of what attachment, and the core's name for the request */
    uint64_t request;
    uint32_t len;
    _Alignas(8) unsigned char data[64]; /* as read() gives it */
};
struct eventq {
    struct obj obj;
    struct stream *stream; /* the descriptor's server end; NULL: closed */
    struct event *head, **tail;
    uint32_t queued;
};
struct fault {
    struct eventq q;
    struct event *waiting;
};
struct veventq {
    struct eventq q;
    struct viommu *viommu;
    struct veventq *next;
    uint32_t type, depth, events, sequence;
    bool lost; /* the last events did not fit: told after what is queued */
    uint32_t lost_sequence;
};
int fault_alloc(struct call *c);
int veventq_alloc(struct call *c);
void fault_destroy(struct obj *o);
void veventq_destroy(struct obj *o);
/* Page requests of the attachment go to h's queue, if it has one. -ENOSPC. */
int fault_attach(struct attach *a, const struct hwpt *h);
/* No more to h's, after it was taken off: what is under way is answered INVALID. */
void fault_detach(struct attach *a, const struct hwpt *h);
int veventq_report(struct viommu *v, uint32_t type, const void *data, uint32_t len);
/* read() and write() of the descriptors: bytes done, or -errno. */
int64_t eventq_read(struct eventq *q, struct mm *mm, uint64_t uptr, uint64_t len);
int64_t eventq_write(struct eventq *q, struct mm *mm, uint64_t uptr, uint64_t len);
void eventq_closed(struct eventq *q);

/* ---- viommu.c ---- */
struct viommu {
    struct obj obj;
    const struct dev_ops *ops;
    struct hwpt *hwpt;
    uint32_t type;
    struct vdevice *vdevs;
    struct veventq *veventqs;
    void *drv;
};
struct vdevice {
    struct obj obj;
    struct viommu *viommu;
    struct device *dev;
    uint64_t virt_id;
    struct vdevice *next;
};
struct hw_queue {
    struct obj obj;
    struct viommu *viommu;
    struct access *access;
    uint32_t type, index;
    uint64_t base, len;
    struct hw_queue *depends; /* the driver's: it must go before that one */
};
int viommu_alloc(struct call *c);
int vdevice_alloc(struct call *c);
int hw_queue_alloc(struct call *c);
void viommu_destroy(struct obj *o);
void vdevice_destroy(struct obj *o);
void hw_queue_destroy(struct obj *o);
struct vdevice *viommu_vdev(const struct viommu *v, uint64_t virt_id);

/* ---- compat.c ---- */
int compat_ioctl(struct call *c);
int compat_vfio_ioas(struct call *c);
int compat_ioas_create(struct ctx *c); /* the container's own, if it has none yet */

/* ---- selftest.c: the kernel's test operations; NULL unless the server was started for them ---- */
struct test_ops {
    int (*call)(struct call *c, void *cmd, size_t size);
    size_t size;
    void (*destroy)(struct obj *o);
};
extern const struct test_ops *test_ops;
/* version: 72 or 73. In 7.2 the mock's leaf is 2 KiB where huge pages are off, in 7.3 a page. */
void selftest_enable(unsigned version);

/* ---- server.c: descriptors that clients hold, each one end of a socket pair ---- */
enum stream_kind { STREAM_CTX, STREAM_EVENTQ, STREAM_ACCESS, STREAM_DEVICE, STREAM_GROUP };
struct stream {
    enum stream_kind kind;
    int fd;       /* our end; end-of-file on it: the last copy is closed */
    uint64_t ino; /* of the client's end */
    void *object;
    bool token; /* a byte is under way: the client's end polls readable */
    bool drain; /* that byte must be taken out by who reads */
    struct stream *next;
};
/* Makes one: *client is for the caller. NULL: out of descriptors. */
struct stream *stream_new(enum stream_kind kind, void *object, int *client);
void stream_drop(struct stream *s);
struct stream *stream_of_fd(int fd); /* of a client's end; NULL: it is none */
void stream_ready(struct stream *s, bool ready);
/* Memory that a client may map: fd of a memfd, at this offset of this ctx's descriptor. */
int mmap_add(struct ctx *c, int fd, uint64_t len, uint64_t *offset);
void mmap_remove(struct ctx *c, uint64_t offset);
int mmap_find(struct ctx *c, uint64_t offset, uint64_t len); /* memfd, or -ENXIO */

#endif
