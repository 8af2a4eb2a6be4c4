/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software devices: a model (edu.c, nvme*.c) behind a VFIO character device (vfio.c) or a VFIO group
 * (group.c), with a PCI configuration space (swpci.c) and interrupts (swirq.c); whose DMA goes through the
 * tables of what it is attached to (swdma.c), and what is said of DMA that should not be (san.c).
 */
#ifndef IOMMUFD_SWDEV_H
#define IOMMUFD_SWDEV_H

#include "iommufd/iod.h"

#define SW_IRQS          5u /* VFIO's interrupt indexes of a PCI device */
#define SW_VECTORS       16u
#define SW_APERTURE_LAST ((1ull << 48) - 1)

struct sw_dev;
struct watch;
struct sw_model {
    const char *name;
    uint16_t vendor, device;
    uint32_t class_code; /* base, sub, interface */
    uint64_t bar_size;   /* BAR 0 */
    bool bar_64;
    bool needs_master; /* no DMA before the bus master bit of the command register is set */
    uint32_t msi_vectors;
    uint32_t msix_vectors, msix_table, msix_pba; /* offsets in BAR 0 */
    /* args: what follows `name,` in the option, or NULL. 0, or -errno: -EINVAL: not understood. */
    int (*make)(struct sw_dev *d, const char *args);
    void (*reset)(struct sw_dev *d); /* stops everything */
    /* Registers: any size and alignment; what does not exist reads 0. */
    void (*read)(struct sw_dev *d, uint64_t off, void *buf, uint32_t len);
    void (*write)(struct sw_dev *d, uint64_t off, const void *buf, uint32_t len);
    void (*timer)(struct sw_dev *d);
    void (*response)(struct sw_dev *d, bool success); /* to a page request */
    /* The rest may be NULL. */
    bool (*intx)(struct sw_dev *d); /* is the interrupt line asserted? */
    /* A BAR 0 that can be mapped: its memfd (the same until `renew`, which leaves those who have the
     * old one mapped without a device), and a look at what they wrote there: true if there was
     * anything. */
    int (*memory)(struct sw_dev *d);
    void (*renew)(struct sw_dev *d);
    bool (*poll)(struct sw_dev *d);
};
extern const struct sw_model edu_model, nvme_model;

struct sw_dev {
    const struct sw_model *model;
    char name[16]; /* edu0 */
    unsigned number;
    void *state;
    unsigned char config[256];
    struct stream *stream; /* open; NULL: not */
    struct device *dev;    /* bound */
    struct stream *group;  /* its group is open */
    struct ctx *container; /* of the group; kept open by it, as is its IOAS */
    struct ioas *compat;
    bool mapped;                  /* somebody has BAR 0 mapped */
    int irq[SW_IRQS][SW_VECTORS]; /* eventfds, -1: none */
    bool enabled[SW_IRQS];        /* the index has been set up */
    bool intx_masked;
    struct watch *timer; /* NULL: none yet */
    struct sw_dev *next;
};
/* Adds `spec` (a model's name, then its options after commas); its number is the N of
 * /dev/vfio/devices/vfioN and of its group /dev/vfio/N. -ENODEV: no such model, else what make said. */
#define SW_MAX 31 /* slots 1 to 31 of one PCI bus */
int sw_add(
    const char *spec); /* -ENODEV: no such model; -EINVAL: options; -E2BIG; -EBUSY: its file */
struct sw_dev *sw_number(unsigned n); /* NULL: there is none */
unsigned sw_count(void);
int sw_open(struct sw_dev *d, int *client); /* -EBUSY: it is open */
void sw_closed(struct sw_dev *d);
int vfio_ioctl(struct call *c, struct sw_dev *d);
int64_t vfio_rw(struct sw_dev *d, struct mm *mm, uint64_t uptr, uint64_t len, uint64_t off,
                bool write);
/* 0 and where in *fd (the model's) BAR 0 begins at this offset of the descriptor. */
int vfio_mmap(struct sw_dev *d, uint64_t offset, uint64_t len, int *fd, uint64_t *at);
void sw_after(struct sw_dev *d, uint64_t us); /* calls model->timer */
/* For a descriptor that was opened through the group: bound to its container, attached to its IOAS. */
int vfio_bind(struct sw_dev *d, struct ctx *ctx);
/* A structure of VFIO's: at least `min` bytes of it. */
int vfio_args(struct call *c, void *to, uint32_t min);

/* ---- group.c: /dev/vfio/N ---- */
int group_open(struct sw_dev *d, int *client);
void group_closed(struct sw_dev *d);
void group_device_closed(struct sw_dev *d);
int group_ioctl(struct call *c, struct sw_dev *d);

/* ---- swirq.c ---- */
void sw_interrupt(struct sw_dev *d, unsigned vector);
uint32_t irq_count(const struct sw_dev *d, uint32_t index);
void irq_off(struct sw_dev *d, unsigned index);
int irq_info_call(struct call *c, struct sw_dev *d);
int irqs_call(struct call *c, struct sw_dev *d);

/* ---- swpci.c ---- */
void config_init(struct sw_dev *d);
void config_write(struct sw_dev *d, uint64_t off, const unsigned char *from, uint32_t len);
bool config_master(const struct sw_dev *d);

/* ---- swpoll.c: looks at mapped registers, often while something happens there ---- */
void sw_poll_start(void);

/* ---- tree.c: the files by which programs find them, in a new directory ---- */
int tree_make(const char *root);
void tree_remove(void);

/* ---- swdma.c ---- */
struct dma {
    uint32_t pasid;
    uint64_t iova;
    uint32_t len;
    bool write;
    const char *what; /* what the device was after, for the report; or NULL */
};
/* 0; -EAGAIN: a page was asked for, begin again when model->response says so; -EFAULT: aborted, and
 * reported. What was copied before a fault stays copied. */
int sw_dma(struct sw_dev *d, const struct dma *m, void *buf);
struct sw_options {
    uint64_t delay_us;  /* from a doorbell to its DMA */
    bool page_requests; /* ask where an HWPT has a fault queue, instead of aborting */
    uint32_t fail_nth;  /* the n-th map or allocation fails with ENOMEM; 0: none */
    uint32_t slow_unmap_ms;
};
extern struct sw_options sw_options;
extern uint64_t sw_translations; /* pages translated, for the speed table */

/* ---- san.c ---- */
#define SAN_FRAMES 16u
struct san_stack {
    struct mm *mm;
    uint64_t frame[SAN_FRAMES];
    uint32_t n;
};
struct san_map { /* how an area came to be */
    uint32_t refs, ioas;
    struct san_stack stack;
};
/* The call that is being served: whose stack a map or an unmap gets. */
void san_enter(struct mm *mm, const uint64_t *frame, uint32_t n);
struct san_map *san_map_new(void);
void san_map_put(struct san_map *m);
void san_unmapped(struct iopt *t, const struct area *a);
void san_forget(const struct iopt *t);
void san_report(struct sw_dev *d, const struct dma *m, uint64_t iova, bool memory_gone);
int san_configure(const char *json,
                  const char *suppressions); /* files, or NULL; it has said why if -EINVAL */
unsigned san_summary(void);                  /* says how many; returns those not suppressed */

#endif
