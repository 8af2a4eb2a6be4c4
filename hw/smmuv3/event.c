/* SPDX-License-Identifier: BSD-2-Clause */
/* The event queue and global errors, polled; events in plain words (IHI0070 7.3). */
#include <hw/smmuv3/queue.h>
#include <tenon/port.h>

/* Which of the record's fields an event type defines. */
enum { HAS_ADDR = 1, HAS_RW = 2, HAS_STAGE = 4, HAS_IPA = 8, HAS_FETCH = 16 };

struct event_kind {
    uint8_t type, has;
    const char *what;
};

static const struct event_kind kinds[] = {
    { 0x01, HAS_ADDR | HAS_RW, "unsupported upstream transaction" },
    { 0x02, 0, "stream id has no table (blocked)" },
    { 0x03, HAS_FETCH, "stream table fetch aborted" },
    { 0x04, 0, "stream blocked (invalid entry)" },
    { 0x05, HAS_ADDR | HAS_RW, "address translation request refused" },
    { 0x06, 0, "substream not allowed here" },
    { 0x07, HAS_ADDR | HAS_RW, "translated access forbidden" },
    { 0x08, 0, "substream out of range" },
    { 0x09, HAS_FETCH, "context descriptor fetch aborted" },
    { 0x0a, 0, "context descriptor invalid" },
    { 0x0b, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_FETCH, "table walk aborted" },
    { 0x10, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_IPA, "translation fault" },
    { 0x11, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_IPA, "address size fault" },
    { 0x12, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_IPA, "access flag fault" },
    { 0x13, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_IPA, "permission fault" },
    { 0x20, HAS_ADDR | HAS_RW | HAS_STAGE | HAS_IPA, "TLB conflict" },
    { 0x21, 0, "configuration cache conflict" },
    { 0x24, HAS_ADDR, "page request hint" },
    { 0x25, HAS_FETCH, "VM structure fetch aborted" },
};

void event_decode(const uint64_t w[4], struct iommu_event *ev)
{
    *ev = (struct iommu_event){ 0 };
    ev->type = (uint8_t)(w[0] & 0xffu);
    ev->sid = (uint32_t)(w[0] >> 32);
    ev->ssid_valid = FIELD(w[0], 11, 11) != 0;
    ev->ssid = ev->ssid_valid ? (uint32_t)FIELD(w[0], 31, 12) : 0;
    ev->what =
        ev->type >= 0xe0u && ev->type <= 0xefu ? "implementation's own event" : "unknown event";
    for (unsigned i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i].type != ev->type) {
            continue;
        }
        ev->what = kinds[i].what;
        if (kinds[i].has & HAS_RW) {
            ev->write = FIELD(w[1], 35, 35) == 0; /* RnW */
        }
        if (kinds[i].has & HAS_STAGE) {
            ev->stage2 = FIELD(w[1], 39, 39) != 0;
        }
        if (kinds[i].has & HAS_ADDR) {
            ev->addr = w[2];
        }
        if ((kinds[i].has & HAS_IPA) && ev->stage2) {
            ev->ipa = w[3] & MASK64(51, 12);
        }
        if (kinds[i].has & HAS_FETCH) {
            ev->ipa = w[3] & MASK64(51, 3); /* where the fetch went: a physical address */
        }
    }
}

void smmuv3_poll_gerror(struct smmuv3 *s)
{
    /* Command errors are the command queue's to answer (recover), under its lock. */
    port_lock(&s->cmdq.lock);
    uint32_t gerrorn = smmuv3_read32(s->base, R_GERRORN);
    uint32_t active = (smmuv3_read32(s->base, R_GERROR) ^ gerrorn) & GERROR_ALL & ~GERROR_CMDQ_ERR;
    if (active != 0) {
        s->gerrors++;
        port_log("smmuv3: global error %x%s%s", active,
                 active & GERROR_EVENTQ_ABT ? " event write aborted" : "",
                 active & GERROR_SFM ? " service failure" : "");
        smmuv3_write32(s->base, R_GERRORN, gerrorn ^ active);
    }
    port_unlock(&s->cmdq.lock);
}

/* Lock held. PROD is read only when nothing known is left. */
static bool more(struct smmuv3 *s)
{
    struct smmuv3_queue *q = &s->evtq;
    if (q->prod != q->cons) {
        return true;
    }
    uint32_t prod = smmuv3_read32(s->base, R_EVENTQ_PROD);
    uint32_t mask = (uint32_t)(BIT64(q->log2 + 1u) - 1u);
    uint64_t n = (prod - (uint32_t)q->cons) & mask;
    if (((prod ^ (uint32_t)q->rung) & EVENTQ_OVF) != 0) {
        /* Events were lost since the last acknowledgement. `rung` holds OVACKFLG here. */
        q->rung ^= EVENTQ_OVF;
        s->overflow = true;
        s->evt_overflows++;
    }
    q->prod = q->cons + (n <= BIT64(q->log2) ? n : 0);
    if (n > BIT64(q->log2)) {
        port_log("smmuv3: event queue index %x makes no sense", prod);
    }
    /* The record is read after the index that covers it. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return q->prod != q->cons;
}

bool smmuv3_next_event(struct iommu *im, struct iommu_event *ev)
{
    struct smmuv3 *s = (struct smmuv3 *)im;
    struct smmuv3_queue *q = &s->evtq;
    port_lock(&q->lock);
    bool found = more(s);
    if (found) {
        uint64_t w[4];
        uint64_t *e = q->va + 4u * (q->cons & (BIT64(q->log2) - 1u));
        if (!s->feat.caps.coherent) {
            port_clean(e, 32); /* clean and invalidate: the SMMU wrote behind our cache */
        }
        for (unsigned i = 0; i < 4; i++) {
            w[i] = __atomic_load_n(&e[i], __ATOMIC_RELAXED);
        }
        event_decode(w, ev);
        ev->overflow = s->overflow;
        s->overflow = false;
        q->cons++;
        smmuv3_write32(s->base, R_EVENTQ_CONS,
                       (uint32_t)(q->cons & (BIT64(q->log2 + 1u) - 1u)) | (uint32_t)q->rung);
        im->events++;
    }
    port_unlock(&q->lock);
    if (!found) {
        smmuv3_poll_gerror(s);
    }
    return found;
}
