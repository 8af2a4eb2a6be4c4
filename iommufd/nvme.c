/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The controller's registers (3.1): a page of shared memory that programs read and write, mapped or by
 * pread and pwrite. What they wrote is found by comparing it with what was taken notice of before, so both
 * ways are one. (Two writes of one register between two looks count as the last of them: a doorbell's
 * meaning is its last value, and the specification has drivers wait after they change CC.EN.)
 */
#include "iommufd/nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { /* 3.1, figure 68 */
       R_CAP = 0x00,
       R_VS = 0x08,
       R_INTMS = 0x0c,
       R_INTMC = 0x10,
       R_CC = 0x14,
       R_CSTS = 0x1c,
       R_AQA = 0x24,
       R_ASQ = 0x28,
       R_ACQ = 0x30,
};
enum {
    CC_EN = 1,
    CC_SHN = 3 << 14,
    CSTS_RDY = 1,
    CSTS_CFS = 2,
    CSTS_SHST = 3 << 2,
    SHST_DONE = 2 << 2
};
/* CAP (3.1.1): MQES, contiguous queues, 5 s, doorbells of 4 bytes, the NVM command set, pages of 4 KiB to
 * 64 KiB. */
#define CAP ((NV_ENTRIES - 1) | 1ull << 16 | 10ull << 24 | 1ull << 37 | (uint64_t)NV_MPS_MAX << 52)
#define VS  0x00010400u

#define DEFAULT_SIZE (64ull << 20)

static uint32_t load(const struct nvme *n, uint32_t at)
{
    return __atomic_load_n((const uint32_t *)(const void *)(n->bar + at), __ATOMIC_ACQUIRE);
}

static void store(struct nvme *n, uint32_t at, uint32_t v)
{
    if (load(n, at) != v) {
        __atomic_store_n((uint32_t *)(void *)(n->bar + at), v, __ATOMIC_RELEASE);
    }
}

static void store64(struct nvme *n, uint32_t at, uint64_t v)
{
    store(n, at, (uint32_t)v);
    store(n, at + 4, (uint32_t)(v >> 32));
}

/* Everything that is not a doorbell, as it is. */
static void show(struct nvme *n)
{
    store64(n, R_CAP, CAP);
    store(n, R_VS, VS);
    store(n, R_INTMS, n->mask);
    store(n, R_INTMC, 0); /* so that any write is seen; pread gives the mask */
    store(n, R_AQA, n->aqa);
    store64(n, R_ASQ, n->asq);
    store64(n, R_ACQ, n->acq);
    store(n, R_CSTS, n->csts);
}

uint32_t nv_page(const struct nvme *n)
{
    return PG << (n->cc >> 7 & 0xf);
}

void nv_fatal(struct nvme *n)
{
    n->csts |= CSTS_CFS;
    store(n, R_CSTS, n->csts);
    n->stage = NV_IDLE;
}

void nv_bell_clear(struct nvme *n, unsigned queue, bool completion)
{
    unsigned index = 2 * queue + completion;

    n->bell[index] = 0;
    store(n, NV_DOORBELLS + 4 * index, 0);
}

/* 7.3.2: the queues go; AQA, ASQ and ACQ stay. */
static void controller_reset(struct nvme *n)
{
    nv_queues_off(n);
    memset(n->bell, 0, sizeof(n->bell));
    for (uint32_t i = 0; i < sizeof(n->bell); i += 4) {
        store(n, NV_DOORBELLS + i, 0);
    }
    n->events = n->extras = 0;
    n->happened = 0;
    n->quiet = n->waiting = false;
    n->stage = NV_IDLE;
    n->csts = 0;
    n->mask = 0;
    memset(n->feature, 0, sizeof(n->feature));
    memset(n->vector_config, 0, sizeof(n->vector_config));
    n->feature[6] = 1; /* the write cache is on */
}

/* 7.6.1: what must be right before the controller is enabled. */
static void enable(struct nvme *n)
{
    uint32_t asqs = n->aqa & 0xfff, acqs = n->aqa >> 16 & 0xfff;
    uint32_t css = n->cc >> 4 & 7, mps = n->cc >> 7 & 0xf, ams = n->cc >> 11 & 7;

    if (asqs == 0 || acqs == 0 || asqs >= NV_ENTRIES || acqs >= NV_ENTRIES || css != 0 ||
        ams != 0 || mps > NV_MPS_MAX || n->asq % nv_page(n) != 0 || n->acq % nv_page(n) != 0) {
        nv_fatal(n);
        return;
    }
    n->sq[0] = (struct nv_sq){ .live = true, .base = n->asq, .size = asqs + 1 };
    n->cq[0] = (struct nv_cq){ .live = true,
                               .phase = true,
                               .interrupts = true,
                               .base = n->acq,
                               .size = acqs + 1,
                               .users = 1 };
    n->csts = CSTS_RDY;
}

static void cc_written(struct nvme *n, uint32_t cc)
{
    uint32_t old = n->cc;

    n->cc = cc;
    if ((cc & CC_EN) == 0 && (old & CC_EN) != 0) {
        controller_reset(n);
    } else if ((cc & CC_EN) != 0 && (old & CC_EN) == 0) {
        enable(n);
    }
    if ((cc & CC_SHN) !=
        0) { /* 7.6.2: nothing is held back that could be lost but the host's own cache */
        (void)fdatasync(n->disk);
        n->csts = (n->csts & ~(uint32_t)CSTS_SHST) | SHST_DONE;
    } else if ((cc & CC_EN) != 0) {
        n->csts &= ~(uint32_t)CSTS_SHST;
    }
    store(n, R_CSTS, n->csts);
}

static bool bells(struct nvme *n)
{
    bool any = false;

    if (memcmp(n->bar + NV_DOORBELLS, n->bell, sizeof(n->bell)) == 0) {
        return false;
    }
    for (unsigned i = 0; i < sizeof(n->bell) / 4; i++) {
        uint32_t v = load(n, NV_DOORBELLS + 4 * i);

        if (v != n->bell[i]) {
            n->bell[i] = v;
            any = true;
            if ((n->csts & (CSTS_RDY | CSTS_CFS)) == CSTS_RDY) {
                nv_bell(n, i, v);
            } else {
                nv_bell_clear(n, i / 2, i % 2 != 0);
            }
        }
    }
    return any;
}

static void mask_change(struct nvme *n, uint32_t set, uint32_t clear)
{
    n->mask = (n->mask | set) & ~clear;
    store(n, R_INTMS, n->mask);
    store(n, R_INTMC, 0);
    if (clear != 0 && nv_intx(n->dev)) {
        sw_interrupt(n->dev, 0);
    }
}

static bool nvme_poll(struct sw_dev *d)
{
    struct nvme *n = d->state;
    uint32_t cc = load(n, R_CC), set = load(n, R_INTMS), clear = load(n, R_INTMC);
    bool any = cc != n->cc;

    if (set != n->mask || clear != 0) {
        any = true;
        mask_change(n, set, clear);
    }
    if ((n->cc & CC_EN) == 0) { /* CC was read first: with it, what was written before it */
        n->aqa = load(n, R_AQA) & 0x0fff0fff;
        n->asq = (load(n, R_ASQ) & ~(PG - 1)) | (uint64_t)load(n, R_ASQ + 4) << 32;
        n->acq = (load(n, R_ACQ) & ~(PG - 1)) | (uint64_t)load(n, R_ACQ + 4) << 32;
    }
    if (cc != n->cc) {
        cc_written(n, cc);
    }
    show(n);
    return bells(n) || any;
}

static void nvme_reset(struct sw_dev *d)
{
    struct nvme *n = d->state;

    controller_reset(n);
    n->cc = n->aqa = 0;
    n->asq = n->acq = 0;
    memset(n->bar, 0, NV_BAR);
    show(n);
}

static void nvme_read(struct sw_dev *d, uint64_t off, void *buf, uint32_t len)
{
    struct nvme *n = d->state;
    unsigned char *to = buf;

    (void)nvme_poll(d);
    for (uint32_t i = 0; i < len; i++) {
        uint64_t at = off + i;

        to[i] = n->bar[at];
        if (at >= R_INTMC && at < R_INTMC + 4) {
            to[i] = (unsigned char)(n->mask >> (at - R_INTMC) * 8);
        }
    }
}

/* 4 or 8 bytes (3.1: 64-bit registers may be written in halves, the lower one first). */
static void nvme_write(struct sw_dev *d, uint64_t off, const void *buf, uint32_t len)
{
    struct nvme *n = d->state;
    uint32_t v;

    if (off % 4 != 0 || (len != 4 && len != 8)) {
        return;
    }
    (void)nvme_poll(d);
    for (uint32_t i = 0; i < len; i += 4) {
        memcpy(&v, (const unsigned char *)buf + i, sizeof(v));
        store(n, (uint32_t)off + i, v);
    }
    (void)nvme_poll(d);
}

static int nvme_memory(struct sw_dev *d)
{
    return ((struct nvme *)d->state)->bar_fd;
}

/* Registers that nobody else can shrink under us. */
static int bar_make(struct nvme *n)
{
    int fd = memfd_create("tenon-nvme-bar", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *p = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, NV_BAR) == 0 &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
        p = mmap(NULL, NV_BAR, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    }
    if (p == MAP_FAILED) {
        int err = errno;

        if (fd >= 0) {
            close(fd);
        }
        return -err;
    }
    if (n->bar != NULL) {
        munmap(n->bar, NV_BAR);
        close(n->bar_fd);
    }
    n->bar = p;
    n->bar_fd = fd;
    show(n);
    return 0;
}

static void nvme_renew(struct sw_dev *d)
{
    struct nvme *n = d->state;

    if (bar_make(n) != 0) {
        fprintf(stderr, "tenon-iommufd: %s: no memory for new registers\n", d->name);
    }
}

/* ---- the namespace: size=BYTES (K, M, G), file=PATH, block=512 or 4096 ---- */

static uint64_t size_of(const char *text)
{
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;

    return *text == '-' || end[shift != 0] != 0 || v > UINT64_MAX >> 20 >> shift ? 0 : v << shift;
}

static int disk_open(struct nvme *n, const char *file, uint64_t size)
{
    struct stat st;

    n->disk = file[0] != 0 ? open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0644)
                           : memfd_create("tenon-nvme", MFD_CLOEXEC);
    if (n->disk < 0 || fstat(n->disk, &st) != 0) {
        return -errno;
    }
    if (file[0] != 0 && flock(n->disk, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    }
    if (size == 0) {
        size = st.st_size != 0 ? (uint64_t)st.st_size : DEFAULT_SIZE;
    }
    if ((uint64_t)st.st_size < size && ftruncate(n->disk, (off_t)size) != 0) {
        return -errno;
    }
    n->blocks = size >> n->shift;
    return n->blocks == 0 ? -EINVAL : 0;
}

static int nvme_make(struct sw_dev *d, const char *args)
{
    char text[512], file[512] = "", *save = NULL;
    struct nvme *n = calloc(1, sizeof(*n));
    uint64_t size = 0;
    bool sized = false;

    if (n == NULL) {
        return -ENOMEM;
    }
    d->state = n;
    n->dev = d;
    n->shift = 9;
    if (args != NULL && strlen(args) >= sizeof(text)) {
        return -EINVAL;
    }
    strcpy(text, args != NULL ? args : "");
    for (char *word = strtok_r(text, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        if (strncmp(word, "size=", 5) == 0) {
            size = size_of(word + 5);
            sized = true;
        } else if (strncmp(word, "file=", 5) == 0 && word[5] != 0) {
            strcpy(file, word + 5);
        } else if (strcmp(word, "block=512") == 0 || strcmp(word, "block=4096") == 0) {
            n->shift = word[6] == '5' ? 9 : 12;
        } else {
            return -EINVAL;
        }
    }
    if (sized && size == 0) {
        return -EINVAL;
    }
    int err = disk_open(n, file, size);

    err = err != 0 ? err : bar_make(n);
    if (err == 0) {
        nvme_reset(d);
    }
    return err;
}

const struct sw_model nvme_model = {
    .name = "nvme",
    .vendor = 0x1234,
    .device = 0x0011,
    .class_code = 0x010802, /* NVM Express I/O controller (PCI code and ID assignment, 1.8) */
    .bar_size = NV_BAR,
    .bar_64 = true,
    .needs_master = true,
    .msix_vectors = NV_QUEUES,
    .msix_table = NV_TABLE,
    .msix_pba = NV_PBA,
    .make = nvme_make,
    .reset = nvme_reset,
    .read = nvme_read,
    .write = nvme_write,
    .timer = nv_run,
    .response = nv_response,
    .intx = nv_intx,
    .memory = nvme_memory,
    .renew = nvme_renew,
    .poll = nvme_poll,
};
