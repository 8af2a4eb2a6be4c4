/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Software devices: a model (edu.c) behind a VFIO character device (vfio.c), whose DMA goes through
 * the tables of what it is attached to (swdma.c), and what is said of DMA that should not be (san.c).
 */
#ifndef IOMMUFD_SWDEV_H
#define IOMMUFD_SWDEV_H

#include "iommufd/iod.h"

#define SW_IRQS    5u /* VFIO's interrupt indexes of a PCI device */
#define SW_VECTORS 16u

struct sw_dev;
struct sw_model {
    const char *name;
    uint16_t vendor, device;
    uint32_t class_code; /* base, sub, interface */
    uint64_t bar_size;   /* BAR 0 */
    uint32_t msi_vectors;
    void *(*make)(struct sw_dev *d);
    void (*reset)(struct sw_dev *d); /* stops everything */
    /* Registers: any size and alignment; what does not exist reads 0. */
    void (*read)(struct sw_dev *d, uint64_t off, void *buf, uint32_t len);
    void (*write)(struct sw_dev *d, uint64_t off, const void *buf, uint32_t len);
    void (*timer)(struct sw_dev *d);
    void (*response)(struct sw_dev *d, bool success); /* to a page request */
};
extern const struct sw_model edu_model;

struct sw_dev {
    const struct sw_model *model;
    char name[16]; /* edu0 */
    unsigned number;
    void *state;
    unsigned char config[256];
    struct stream *stream;        /* open; NULL: not */
    struct device *dev;           /* bound */
    int irq[SW_IRQS][SW_VECTORS]; /* eventfds, -1: none */
    bool enabled[SW_IRQS];        /* the index has been set up */
    int timer;                    /* timerfd */
    struct sw_dev *next;
};
/* Adds `spec` (a model's name); its number is the N of /dev/vfio/devices/vfioN. */
int sw_add(const char *spec);
struct sw_dev *sw_number(unsigned n); /* NULL: there is none */
unsigned sw_count(void);
int sw_open(struct sw_dev *d, int *client); /* -EBUSY: it is open */
void sw_closed(struct sw_dev *d);
int vfio_ioctl(struct call *c, struct sw_dev *d);
int64_t vfio_rw(struct sw_dev *d, struct mm *mm, uint64_t uptr, uint64_t len, uint64_t off,
                bool write);
void sw_interrupt(struct sw_dev *d, unsigned vector);
void sw_after(struct sw_dev *d, uint64_t us); /* calls model->timer */

/* ---- tree.c: the files by which programs find them, in a new directory ---- */
int tree_make(const char *root);
void tree_remove(void);

/* ---- swdma.c ---- */
struct dma {
    uint32_t pasid;
    uint64_t iova;
    uint32_t len;
    bool write;
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
int san_configure(const char *json, const char *suppressions); /* files, or NULL */
unsigned san_summary(void); /* says how many; returns those not suppressed */

#endif
