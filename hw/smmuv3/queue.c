/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command queue (IHI0070 3.5, 4, 7.1). Producers write entries under the lock and leave; the
 * one who waits adds a CMD_SYNC, tells the SMMU about everything written so far, and polls.
 */
#include <hw/smmuv3/queue.h>
#include <tenon/port.h>

static uint64_t capacity(const struct smmuv3_queue *q)
{
    return BIT64(q->log2);
}

/* PROD and CONS hold an index and, above it, a wrap bit (3.5.1). */
static uint32_t reg_value(const struct smmuv3_queue *q, uint64_t count)
{
    return (uint32_t)(count & (2u * capacity(q) - 1u));
}

/* Asked *before* the look at the hardware that decides: the CPU may be kept away for any time (an
 * emulator, a hypervisor below) between two looks, and that is not the SMMU's fault. */
static bool expired(const struct smmuv3 *s, uint64_t since)
{
    return port_now() - since > s->timeout_ns;
}

bool reg_handshake(struct smmuv3 *s, uint32_t reg, uint32_t v, uint32_t ack, uint32_t mask,
                   uint32_t want)
{
    smmuv3_write32(s->base, reg, v);
    for (uint64_t t = port_now();;) {
        bool late = expired(s, t);
        if ((smmuv3_read32(s->base, ack) & mask) == want) {
            return true;
        }
        if (late) {
            return false;
        }
        port_relax();
    }
}

bool reg_gbpa_abort(struct smmuv3 *s)
{
    /* 6.3.14: UPDATE must be 0 before, and is 0 again once the value is in use. */
    uint32_t v = smmuv3_read32(s->base, R_GBPA) & ~GBPA_UPDATE;
    return reg_handshake(s, R_GBPA, v | GBPA_ABORT | GBPA_UPDATE, R_GBPA, GBPA_UPDATE, 0) &&
           (smmuv3_read32(s->base, R_GBPA) & GBPA_ABORT);
}

bool smmuv3_close(struct smmuv3 *s)
{
    s->failed = true;
    /* Abort first, so that nothing is bypassed when translation stops. */
    return reg_gbpa_abort(s) && reg_handshake(s, R_CR0, 0, R_CR0ACK, ~0u, 0);
}

/* The hardware does not do what completeness needs: no translation may survive this. */
static void fail_closed(struct smmuv3 *s, const char *why, uint64_t v)
{
    if (s->failed) {
        return;
    }
    port_log("smmuv3: %s (%lx): closing, every device behind it is cut off", why, v);
    if (!smmuv3_close(s)) {
        port_panic("smmuv3: dead, and DMA cannot be stopped");
    }
}

static void put(struct smmuv3_queue *q, uint64_t at, const struct cmd *c)
{
    uint64_t *e = q->va + 2u * (at & (capacity(q) - 1u));
    __atomic_store_n(&e[0], c->w[0], __ATOMIC_RELAXED);
    __atomic_store_n(&e[1], c->w[1], __ATOMIC_RELAXED);
}

static void publish(struct smmuv3 *s, const void *va, uint64_t len)
{
    if (!s->feat.caps.coherent) {
        port_clean(va, len);
    }
    port_publish();
}

/* Lock held. */
static void ring(struct smmuv3 *s)
{
    struct smmuv3_queue *q = &s->cmdq;
    if (q->rung == q->prod) {
        return;
    }
    /* Table entries stored before, and the commands, are visible before the SMMU may fetch them. */
    publish(s, q->va, capacity(q) * 16u);
    q->rung = q->prod;
    smmuv3_write32(s->base, R_CMDQ_PROD, reg_value(q, q->prod));
}

/*
 * A command error (7.1): the queue stands at the bad command until it is replaced and acknowledged.
 * The command was ours to do, so it is replaced by the one that does it and more; an illegal one
 * among those cannot be replaced, and the SMMU is closed.
 */
static void recover(struct smmuv3 *s, uint32_t cons)
{
    struct smmuv3_queue *q = &s->cmdq;
    uint32_t active = smmuv3_read32(s->base, R_GERROR) ^ smmuv3_read32(s->base, R_GERRORN);
    if (!(active & GERROR_CMDQ_ERR)) {
        return; /* ERR is left over from an earlier, acknowledged error */
    }
    s->cmd_errors++;
    uint32_t err = CONS_ERR(cons);
    uint64_t *e = q->va + 2u * (cons & (capacity(q) - 1u));
    uint32_t op = (uint32_t)(e[0] & 0xffu);
    port_log("smmuv3: command error %u at %u: %lx %lx", err, cons & 0xfffffu, e[0], e[1]);
    struct cmd c = cmd_sync();
    if (err == CERROR_ILL) {
        if (op >= CMD_TLBI_NH_ALL && op < CMD_TLBI_NSNH_ALL) {
            c = cmd_tlbi_nsnh_all();
        } else if (op == CMD_CFGI_STE || op == CMD_CFGI_CD || op == CMD_CFGI_CD_ALL) {
            c = cmd_cfgi_all();
        } else if (op != CMD_RESUME) {
            fail_closed(s, "refused a command that it must have", e[0]);
            return;
        }
        put(q, cons, &c);
        publish(s, e, 16);
    } else if (err == CERROR_ABT) {
        /* The fetch failed, the command is intact: try it again, a few times. */
        if (++s->cmd_aborts > 8u) {
            fail_closed(s, "commands cannot be fetched", e[0]);
            return;
        }
    } else {
        fail_closed(s, "unknown command error", cons);
        return;
    }
    uint32_t ack = smmuv3_read32(s->base, R_GERRORN) ^ GERROR_CMDQ_ERR;
    smmuv3_write32(s->base, R_GERRORN, ack);
}

/* Lock held: learn what was consumed. */
static void look(struct smmuv3 *s)
{
    struct smmuv3_queue *q = &s->cmdq;
    uint32_t cons = smmuv3_read32(s->base, R_CMDQ_CONS);
    uint32_t mask = (uint32_t)(2u * capacity(q) - 1u);
    uint64_t seen = q->cons + ((cons - reg_value(q, q->cons)) & mask);
    if (seen > q->rung) {
        fail_closed(s, "consumed what was never written", cons);
        return;
    }
    if (seen != q->cons) {
        s->cmd_aborts = 0;
    }
    q->cons = seen;
    if (CONS_ERR(cons) != CERROR_NONE) {
        recover(s, cons);
    }
}

/* Lock held. Makes room for one more entry. */
static void room(struct smmuv3 *s)
{
    struct smmuv3_queue *q = &s->cmdq;
    if (q->prod - q->cons < capacity(q)) {
        return;
    }
    ring(s);
    for (uint64_t t = port_now();;) {
        bool late = expired(s, t);
        look(s);
        if (s->failed || q->prod - q->cons < capacity(q)) {
            return;
        }
        if (late) {
            fail_closed(s, "command queue stays full", q->cons);
            return;
        }
        port_relax();
    }
}

/* Lock held. */
static void add(struct smmuv3 *s, const struct cmd *c)
{
    room(s);
    if (s->failed) {
        return; /* closed: there is nothing left to invalidate */
    }
    put(&s->cmdq, s->cmdq.prod, c);
    s->cmdq.prod++;
    s->cmds++;
}

void cmdq_add(struct smmuv3 *s, const struct cmd *c, unsigned n)
{
    port_lock(&s->cmdq.lock);
    for (unsigned i = 0; i < n; i++) {
        add(s, &c[i]);
    }
    port_unlock(&s->cmdq.lock);
}

void cmdq_sync(struct smmuv3 *s)
{
    struct smmuv3_queue *q = &s->cmdq;
    const struct cmd sync = cmd_sync();
    port_lock(&q->lock);
    add(s, &sync);
    ring(s);
    s->syncs++;
    uint64_t target = q->prod; /* counts never wrap: "consumed" is a plain comparison */
    port_unlock(&q->lock);
    for (uint64_t t = port_now();;) {
        bool late = expired(s, t);
        port_lock(&q->lock);
        if (!s->failed && q->cons < target) {
            look(s);
        }
        bool done = s->failed || q->cons >= target;
        if (!done && late) {
            fail_closed(s, "command queue does not drain", q->cons);
            done = true;
        }
        port_unlock(&q->lock);
        if (done) {
            break;
        }
        port_relax();
    }
    /* Nothing after this may be done early, with the old translation still in use. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
