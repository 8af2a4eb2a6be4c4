/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues (4.1): a command is fetched, carried out, and its completion posted, one after the other, the
 * queues in turn. Each of the three can be begun again, for where a page has to be asked for.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iommufd/nvme.h"
#include "iommufd/vfio_uapi.h"

#define AT_ONCE 32u /* steps before others get their turn */

int nv_dma(struct nvme *n, uint64_t iova, void *buf, uint32_t len, bool write, const char *what)
{
    struct dma m = { NO_PASID, iova, len, write, n->what };

    if (n->stage == NV_EXECUTE) {
        snprintf(n->what, sizeof(n->what), "%s of command %u, queue %u", what, n->cmd.cid, n->now);
    } else {
        snprintf(n->what, sizeof(n->what), "%s queue %u", what, n->now);
    }
    return sw_dma(n->dev, &m, buf);
}

void nv_kick(struct nvme *n)
{
    if (!n->scheduled && !n->waiting && !n->running) {
        n->scheduled = true;
        sw_after(n->dev, sw_options.delay_us);
    }
}

void nv_queues_off(struct nvme *n)
{
    memset(n->sq, 0, sizeof(n->sq));
    memset(n->cq, 0, sizeof(n->cq));
    n->turn = 0;
}

/* ---- errors and events ---- */

void nv_error(struct nvme *n, uint16_t sq, uint16_t cid, uint16_t status, uint64_t lba, uint32_t ns)
{
    n->errors++;
    memmove(n->error + 1, n->error, sizeof(n->error) - sizeof(n->error[0]));
    n->error[0].count = n->errors;
    n->error[0].sq = sq;
    n->error[0].cid = cid;
    n->error[0].status = (uint16_t)(status << 1);
    n->error[0].lba = lba;
    n->error[0].nsid = ns;
}

/* 5.2: an error event says what it is and which log page has more; then its kind is silent until that
 * page was read. */
void nv_events(struct nvme *n)
{
    if (n->happened == 0 || n->quiet || n->events == 0 || n->extras == NV_EVENTS) {
        return;
    }
    uint32_t info = (n->happened & 1) != 0 ? 0 : 1;

    n->happened &= (uint8_t) ~(1u << info);
    n->quiet = true;
    n->extra[n->extras++] =
        (struct nv_completion){ .result = 1u << 16 | info << 8, .cid = n->event[--n->events] };
    nv_kick(n);
}

static void bad_bell(struct nvme *n, unsigned info, unsigned queue)
{
    nv_error(n, (uint16_t)queue, 0xffff, 0, 0, 0);
    n->happened |= (uint8_t)(1u << info);
    nv_events(n);
}

/* 3.1.16, 3.1.17. Doorbells of queues that do not exist and values that cannot be are events (figure 146). */
void nv_bell(struct nvme *n, unsigned index, uint32_t value)
{
    unsigned queue = index / 2;
    struct nv_sq *s = &n->sq[queue % NV_QUEUES];
    struct nv_cq *q = &n->cq[queue % NV_QUEUES];

    if (queue >= NV_QUEUES || !(index % 2 != 0 ? q->live : s->live)) {
        bad_bell(n, 0, queue);
    } else if (index % 2 == 0) {
        if (value >= s->size) {
            bad_bell(n, 1, queue);
            return;
        }
        s->tail = value;
        nv_kick(n);
    } else {
        uint32_t posted = (q->tail + q->size - q->head) % q->size;

        if (value >= q->size || (value + q->size - q->head) % q->size > posted) {
            bad_bell(n, 1, queue);
            return;
        }
        q->head = value;
        nv_kick(n);
    }
}

/* ---- one step ---- */

static bool has_room(const struct nvme *n, unsigned sq)
{
    const struct nv_cq *q = &n->cq[n->sq[sq].cq];

    return (q->tail + 1) % q->size != q->head;
}

/* A queue with a command, and room for its completion. */
static bool choose(struct nvme *n)
{
    if ((n->csts & 3) != 1) { /* not ready, or fatal */
        return false;
    }
    if (n->extras != 0 && has_room(n, 0)) {
        n->now = 0;
        n->done = n->extra[0];
        n->extras--;
        memmove(n->extra, n->extra + 1, n->extras * sizeof(n->extra[0]));
        n->stage = NV_POST;
        return true;
    }
    for (unsigned i = 0; i < NV_QUEUES; i++) {
        unsigned at = (n->turn + i) % NV_QUEUES;

        if (n->sq[at].live && n->sq[at].head != n->sq[at].tail && has_room(n, at)) {
            n->now = at;
            n->turn = (at + 1) % NV_QUEUES;
            n->stage = NV_FETCH;
            return true;
        }
    }
    return false;
}

static void fetch(struct nvme *n)
{
    struct nv_sq *s = &n->sq[n->now];
    int err =
        nv_dma(n, s->base + s->head * sizeof(n->cmd), &n->cmd, sizeof(n->cmd), false, "submission");

    if (err == -EAGAIN) {
        n->waiting = true;
    } else if (err != 0) {
        nv_fatal(n); /* it cannot say which command it was */
    } else {
        s->head = (s->head + 1) % s->size;
        n->stage = NV_EXECUTE;
    }
}

static void finish(struct nvme *n, int status)
{
    n->done.cid = n->cmd.cid;
    n->done.status = (uint16_t)(status << 1);
    n->stage = status == NV_LATER ? NV_IDLE : NV_POST;
    if (status != NV_OK && status != NV_LATER) {
        n->done.status |= (uint16_t)(1u << 15); /* would fail again (DNR) */
        nv_error(n, (uint16_t)n->now, n->cmd.cid, (uint16_t)status,
                 n->cmd.dw10 | (uint64_t)n->cmd.dw11 << 32, n->cmd.nsid);
    }
}

static void execute(struct nvme *n)
{
    uint32_t result = 0;
    int status;

    n->done = (struct nv_completion){ 0 };
    if (n->cmd.flags != 0) { /* neither fused operations nor scatter gather lists */
        status = NV_INVALID_FIELD;
    } else {
        status = n->now == 0 ? nv_admin(n, &n->cmd, &result) : nv_io(n, &n->cmd);
    }
    if (status == -EAGAIN) {
        n->waiting = true;
        return;
    }
    n->done.result = result;
    finish(n, status);
    nv_events(n);
}

static void post(struct nvme *n)
{
    const struct nv_sq *s = &n->sq[n->now];
    struct nv_cq *q = &n->cq[s->cq];
    struct nv_completion c = n->done;

    c.head = (uint16_t)s->head;
    c.sq = (uint16_t)n->now;
    c.status |= q->phase;
    /* The phase last, as the program may look at it at any time. */
    uint64_t at = q->base + q->tail * sizeof(c);
    int err = nv_dma(n, at, &c, sizeof(c) - 4, true, "completion");

    if (err == 0) {
        err = nv_dma(n, at + sizeof(c) - 4, (unsigned char *)&c + sizeof(c) - 4, 4, true,
                     "completion");
    }
    if (err == -EAGAIN) {
        n->waiting = true;
        return;
    }
    if (err != 0) {
        nv_fatal(n);
        return;
    }
    q->tail++;
    if (q->tail == q->size) {
        q->tail = 0;
        q->phase = !q->phase;
    }
    q->signal = q->interrupts;
    n->stage = NV_IDLE;
}

/* ---- many ---- */

/* Those that have something new; a vector of a queue that is full of old things is told no more. */
static void interrupts(struct nvme *n)
{
    for (unsigned i = 0; i < NV_QUEUES; i++) {
        struct nv_cq *q = &n->cq[i];

        if (q->live && q->signal) {
            q->signal = false;
            if (n->dev->enabled[V_MSIX] || nv_intx(n->dev)) {
                sw_interrupt(n->dev, q->vector);
            }
        }
    }
}

/* 7.5: the line is asserted while a queue that interrupts has what was not taken out; INTMS masks. */
bool nv_intx(struct sw_dev *d)
{
    const struct nvme *n = d->state;

    for (unsigned i = 0; i < NV_QUEUES; i++) {
        const struct nv_cq *q = &n->cq[i];

        if (q->live && q->interrupts && q->head != q->tail && (n->mask >> q->vector & 1) == 0) {
            return true;
        }
    }
    return false;
}

void nv_run(struct sw_dev *d)
{
    struct nvme *n = d->state;
    unsigned steps = 0;

    n->scheduled = false;
    n->running = true;
    for (; !n->waiting && steps < AT_ONCE && (n->stage != NV_IDLE || choose(n)); steps++) {
        switch (n->stage) {
        case NV_FETCH:
            fetch(n);
            break;
        case NV_EXECUTE:
            execute(n);
            break;
        default:
            post(n);
        }
    }
    n->running = false;
    interrupts(n);
    if (steps == AT_ONCE && !n->waiting) {
        n->scheduled = true;
        sw_after(d, 1);
    }
}

/* The page that was asked for is there, or there will be none. */
void nv_response(struct sw_dev *d, bool success)
{
    struct nvme *n = d->state;

    if (!n->waiting) {
        return;
    }
    n->waiting = false;
    if (!success && n->stage == NV_EXECUTE) {
        n->done = (struct nv_completion){ 0 };
        finish(n, NV_DATA_TRANSFER);
    } else if (!success) {
        nv_fatal(n);
    }
    nv_run(d);
}
