/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A DMA engine with the registers of QEMU's `edu` device (docs/specs/edu.rst there): a buffer of 4 KiB
 * at 0x40000 of the device's own addresses, filled from or written to memory by command. Ours differs in
 * three ways: its DMA reaches 64 bits, 0xa0 holds the PASID of its transfers, and 0x98 reads bit 3
 * after a transfer that was aborted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/swdev.h"

#define BUFFER_AT   0x40000u
#define BUFFER_SIZE 4096u

enum {
    R_ID = 0x00,
    R_LIVE = 0x04,
    R_FACTORIAL = 0x08,
    R_STATUS = 0x20,
    R_IRQ = 0x24,
    R_RAISE = 0x60,
    R_ACK = 0x64,
    R_SRC = 0x80,
    R_DST = 0x88,
    R_COUNT = 0x90,
    R_CMD = 0x98,
    R_PASID = 0xa0,
};
enum { CMD_RUN = 1, CMD_TO_MEMORY = 2, CMD_IRQ = 4, CMD_ABORTED = 8 };
enum { IRQ_FACTORIAL = 1, IRQ_DMA = 0x100 };
enum { STATUS_IRQ = 0x80 };

struct edu {
    uint32_t live, factorial, status, irq, pasid;
    uint64_t src, dst, count, cmd;
    unsigned char buffer[BUFFER_SIZE];
};

static int edu_make(struct sw_dev *d, const char *args)
{
    d->state = calloc(1, sizeof(struct edu));
    return args != NULL ? -EINVAL : d->state == NULL ? -ENOMEM : 0;
}

static void edu_reset(struct sw_dev *d)
{
    memset(d->state, 0, sizeof(struct edu));
}

static void raise(struct sw_dev *d, uint32_t bits)
{
    struct edu *e = d->state;

    e->irq |= bits;
    sw_interrupt(d, 0);
}

static void finish(struct sw_dev *d, bool aborted)
{
    struct edu *e = d->state;
    uint64_t cmd = e->cmd;

    e->cmd = aborted ? (cmd & ~(uint64_t)CMD_RUN) | CMD_ABORTED : cmd & ~(uint64_t)CMD_RUN;
    if ((cmd & CMD_IRQ) != 0) {
        raise(d, IRQ_DMA);
    }
}

static void transfer(struct sw_dev *d)
{
    struct edu *e = d->state;
    bool out = (e->cmd & CMD_TO_MEMORY) != 0;
    uint64_t inside = out ? e->src : e->dst;
    struct dma m = { e->pasid, out ? e->dst : e->src, (uint32_t)e->count, out, NULL };

    if ((e->cmd & CMD_RUN) == 0) {
        return;
    }
    if (inside < BUFFER_AT || inside > BUFFER_AT + BUFFER_SIZE ||
        e->count > BUFFER_AT + BUFFER_SIZE - inside) {
        finish(d, true); /* not an address of the device's buffer */
        return;
    }
    int err = sw_dma(d, &m, e->buffer + (inside - BUFFER_AT));

    if (err != -EAGAIN) {
        finish(d, err != 0);
    }
}

static void edu_response(struct sw_dev *d, bool success)
{
    const struct edu *e = d->state;

    if ((e->cmd & CMD_RUN) == 0) {
        return;
    }
    if (success) {
        transfer(d);
    } else {
        finish(d, true);
    }
}

static void factorial(struct sw_dev *d, uint32_t n)
{
    struct edu *e = d->state;

    e->factorial = 1;
    for (uint32_t i = 2; i <= n && i < 64; i++) { /* zero in 32 bits from 34 on */
        e->factorial *= i;
    }
    if ((e->status & STATUS_IRQ) != 0) {
        raise(d, IRQ_FACTORIAL);
    }
}

static uint64_t reg(const struct edu *e, uint64_t off)
{
    switch (off & ~7u) {
    case R_ID:
        return 0x010000edu | (uint64_t)e->live << 32;
    case R_FACTORIAL:
        return e->factorial;
    case R_STATUS:
        return e->status | (uint64_t)e->irq << 32;
    case R_SRC:
        return e->src;
    case R_DST:
        return e->dst;
    case R_COUNT:
        return e->count;
    case R_CMD:
        return e->cmd;
    case R_PASID:
        return e->pasid;
    default:
        return 0;
    }
}

static void edu_read(struct sw_dev *d, uint64_t off, void *buf, uint32_t len)
{
    const struct edu *e = d->state;
    unsigned char *to = buf;

    for (uint32_t i = 0; i < len; i++) {
        uint64_t at = off + i;

        if (at >= BUFFER_AT && at < BUFFER_AT + BUFFER_SIZE) {
            to[i] = e->buffer[at - BUFFER_AT];
        } else {
            to[i] = (unsigned char)(reg(e, at) >> (at % 8 * 8));
        }
    }
}

static void write_register(struct sw_dev *d, uint64_t off, uint64_t v)
{
    struct edu *e = d->state;

    switch (off) {
    case R_LIVE:
        e->live = ~(uint32_t)v;
        break;
    case R_FACTORIAL:
        factorial(d, (uint32_t)v);
        break;
    case R_STATUS:
        e->status = (uint32_t)v & STATUS_IRQ;
        break;
    case R_RAISE:
        raise(d, (uint32_t)v);
        break;
    case R_ACK:
        e->irq &= ~(uint32_t)v;
        break;
    default:
        break;
    }
    if ((e->cmd & CMD_RUN) != 0) { /* the engine's own registers are held while it works */
        return;
    }
    switch (off) {
    case R_SRC:
        e->src = v;
        break;
    case R_DST:
        e->dst = v;
        break;
    case R_COUNT:
        e->count = v;
        break;
    case R_PASID:
        e->pasid = (uint32_t)v & 0xfffff;
        break;
    case R_CMD:
        e->cmd = v & (CMD_RUN | CMD_TO_MEMORY | CMD_IRQ);
        if ((e->cmd & CMD_RUN) != 0) {
            sw_after(d, sw_options.delay_us);
        }
        break;
    default:
        break;
    }
}

/* Registers take 4 bytes, from 0x80 on 4 or 8. */
static void edu_write(struct sw_dev *d, uint64_t off, const void *buf, uint32_t len)
{
    uint64_t v = 0;

    if (off % 4 != 0 || (len != 4 && (len != 8 || off < R_SRC))) {
        return;
    }
    memcpy(&v, buf, len);
    write_register(d, off, v);
}

static bool edu_intx(struct sw_dev *d)
{
    return ((const struct edu *)d->state)->irq != 0;
}

const struct sw_model edu_model = {
    .name = "edu",
    .vendor = 0x1234,
    .device = 0x11e8,
    .class_code = 0x00ff00,
    .bar_size = 1u << 20,
    .msi_vectors = 1,
    .make = edu_make,
    .reset = edu_reset,
    .read = edu_read,
    .write = edu_write,
    .timer = transfer,
    .response = edu_response,
    .intx = edu_intx,
};
