/* SPDX-License-Identifier: BSD-2-Clause */
/* The admin command set (clause 5). */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "iommufd/nvme.h"

enum {
    DELETE_SQ = 0x00,
    CREATE_SQ = 0x01,
    GET_LOG = 0x02,
    DELETE_CQ = 0x04,
    CREATE_CQ = 0x05,
    IDENTIFY = 0x06,
    ABORT = 0x08,
    SET_FEATURES = 0x09,
    GET_FEATURES = 0x0a,
    EVENT_REQUEST = 0x0c,
};
enum {
    F_POWER = 0x02,
    F_TEMPERATURE = 0x04,
    F_CACHE = 0x06,
    F_QUEUES = 0x07,
    F_VECTOR = 0x09,
    F_EVENTS = 0x0b,
};

static void put16(unsigned char *p, unsigned v)
{
    p[0] = (unsigned char)v;
    p[1] = (unsigned char)(v >> 8);
}

static void put32(unsigned char *p, uint32_t v)
{
    put16(p, v & 0xffff);
    put16(p + 2, v >> 16);
}

static void put64(unsigned char *p, uint64_t v)
{
    put32(p, (uint32_t)v);
    put32(p + 4, (uint32_t)(v >> 32));
}

static void put_text(unsigned char *p, size_t room, const char *text)
{
    size_t len = strlen(text);

    memset(p, ' ', room);
    memcpy(p, text, len < room ? len : room);
}

/* ---- queues (5.3 to 5.6) ---- */

static unsigned queue_wanted(const struct nv_command *c, uint32_t *size)
{
    *size = (c->dw10 >> 16) + 1;
    return c->dw10 & 0xffff;
}

/* What both kinds must have: contiguous memory that begins a page, a size that there is. */
static int queue_check(const struct nvme *n, const struct nv_command *c, uint32_t size)
{
    if (size < 2 || size > NV_ENTRIES) {
        return NV_QUEUE_SIZE;
    }
    return (c->dw11 & 1) == 0          ? NV_INVALID_FIELD
           : c->prp1 % nv_page(n) != 0 ? NV_PRP_OFFSET
                                       : NV_OK;
}

static int create_cq(struct nvme *n, const struct nv_command *c)
{
    uint32_t size, vector = c->dw11 >> 16;
    unsigned id = queue_wanted(c, &size);

    if (id == 0 || id >= NV_QUEUES || n->cq[id].live) {
        return NV_QUEUE_ID;
    }
    int err = (n->cc >> 20 & 0xf) != 4 ? NV_QUEUE_SIZE : queue_check(n, c, size); /* CC.IOCQES */

    if (err == NV_OK && vector >= NV_QUEUES) {
        err = NV_VECTOR;
    }
    if (err == NV_OK) {
        n->cq[id] = (struct nv_cq){ .live = true,
                                    .phase = true,
                                    .interrupts = (c->dw11 & 2) != 0,
                                    .vector = (uint16_t)vector,
                                    .base = c->prp1,
                                    .size = size };
        nv_bell_clear(n, id, true);
    }
    return err;
}

static int create_sq(struct nvme *n, const struct nv_command *c)
{
    uint32_t size, cq = c->dw11 >> 16;
    unsigned id = queue_wanted(c, &size);

    if (id == 0 || id >= NV_QUEUES || n->sq[id].live) {
        return NV_QUEUE_ID;
    }
    if (cq == 0 || cq >= NV_QUEUES || !n->cq[cq].live) {
        return NV_CQ_INVALID;
    }
    int err = (n->cc >> 16 & 0xf) != 6 ? NV_QUEUE_SIZE : queue_check(n, c, size); /* CC.IOSQES */

    if (err == NV_OK) {
        n->sq[id] =
            (struct nv_sq){ .live = true, .cq = (uint16_t)cq, .base = c->prp1, .size = size };
        n->cq[cq].users++;
        nv_bell_clear(n, id, false);
    }
    return err;
}

static int delete_sq(struct nvme *n, const struct nv_command *c)
{
    unsigned id = c->dw10 & 0xffff;

    if (id == 0 || id >= NV_QUEUES || !n->sq[id].live) {
        return NV_QUEUE_ID;
    }
    n->cq[n->sq[id].cq].users--;
    n->sq[id].live = false;
    nv_bell_clear(n, id, false);
    return NV_OK;
}

static int delete_cq(struct nvme *n, const struct nv_command *c)
{
    unsigned id = c->dw10 & 0xffff;

    if (id == 0 || id >= NV_QUEUES || !n->cq[id].live) {
        return NV_QUEUE_ID;
    }
    if (n->cq[id].users != 0) {
        return NV_QUEUE_DELETION;
    }
    n->cq[id].live = false;
    nv_bell_clear(n, id, true);
    return NV_OK;
}

/* ---- identify (5.15) ---- */

static void identify_controller(const struct nvme *n, unsigned char *p)
{
    char text[32];

    put16(p, n->dev->model->vendor);
    snprintf(text, sizeof(text), "TENON%03u", n->dev->number);
    put_text(p + 4, 20, text);
    put_text(p + 24, 40, "Tenon software NVMe controller");
    put_text(p + 64, 8, "1.0");
    p[77] = NV_MDTS;
    put32(p + 80, 0x00010400); /* VER */
    p[111] = 1;                /* CNTRLTYPE: I/O */
    p[258] = 3;                /* ACL */
    p[259] = NV_EVENTS - 1;    /* AERL */
    p[260] = 0x03;             /* FRMW: one slot, read only */
    p[262] = NV_ERRORS - 1;    /* ELPE */
    put16(p + 266, 343);       /* WCTEMP, CCTEMP: kelvins */
    put16(p + 268, 353);
    p[512] = 0x66; /* SQES, CQES */
    p[513] = 0x44;
    put32(p + 516, 1);         /* NN */
    put16(p + 520, 1 | 4 | 8); /* ONCS: Compare, Dataset Management, Write Zeroes */
    p[525] = 1;                /* VWC */
    snprintf((char *)p + 768, 256, "nqn.2014-08.org.nvmexpress:uuid:54454e4f-4e00-4000-8000-%012u",
             n->dev->number);
}

static void ids(const struct nvme *n, unsigned char *nguid, unsigned char *eui64)
{
    static const unsigned char base[16] = "\x02TENONNVMe";

    memcpy(nguid, base, 16);
    nguid[15] = (unsigned char)(n->dev->number + 1);
    memcpy(eui64, base, 8);
    eui64[7] = nguid[15];
}

static void identify_namespace(const struct nvme *n, unsigned char *p)
{
    put64(p, n->blocks); /* NSZE, NCAP, NUSE */
    put64(p + 8, n->blocks);
    put64(p + 16, n->blocks);
    p[33] = 0x09; /* DLFEAT: deallocated blocks read as zeros; Write Zeroes may deallocate */
    ids(n, p + 104, p + 120);
    p[128 + 2] = (unsigned char)n->shift; /* LBAF0 */
}

static void identify_descriptors(const struct nvme *n, unsigned char *p)
{
    p[0] = 1; /* EUI64, then NGUID */
    p[1] = 8;
    p[12] = 2;
    p[13] = 16;
    ids(n, p + 16, p + 4);
}

static int identify(struct nvme *n, const struct nv_command *c)
{
    unsigned char page[4096] = { 0 };

    switch (c->dw10 & 0xff) {
    case 0x00:
    case 0x03:
        if (c->nsid != 1) {
            return NV_INVALID_NS;
        }
        if ((c->dw10 & 0xff) == 0) {
            identify_namespace(n, page);
        } else {
            identify_descriptors(n, page);
        }
        break;
    case 0x01:
        identify_controller(n, page);
        break;
    case 0x02: /* active namespaces above this one */
        if (c->nsid >= UINT32_MAX - 1) {
            return NV_INVALID_NS;
        }
        page[0] = c->nsid == 0;
        break;
    default:
        return NV_INVALID_FIELD;
    }
    return nv_transfer(n, c, page, sizeof(page), true);
}

/* ---- log pages (5.14) ---- */

static void log_errors(const struct nvme *n, unsigned char *p)
{
    for (unsigned i = 0; i < NV_ERRORS; i++, p += 64) {
        put64(p, n->error[i].count);
        put16(p + 8, n->error[i].sq);
        put16(p + 10, n->error[i].cid);
        put16(p + 12, n->error[i].status);
        put64(p + 16, n->error[i].lba);
        put32(p + 24, n->error[i].nsid);
    }
}

/* Data units of 1,000 blocks of 512 bytes, rounded up. */
static void log_smart(const struct nvme *n, unsigned char *p)
{
    put16(p + 1, 300); /* kelvins */
    p[3] = 100;        /* available spare, and where it would be too little */
    p[4] = 10;
    put64(p + 32, (n->read_bytes + 511999) / 512000);
    put64(p + 48, (n->written_bytes + 511999) / 512000);
    put64(p + 64, n->reads);
    put64(p + 80, n->writes);
    put64(p + 176, n->errors);
}

static int get_log(struct nvme *n, const struct nv_command *c)
{
    unsigned char page[512] = { 0 };
    uint64_t len = 4 * ((uint64_t)(c->dw10 >> 16 | (uint64_t)(c->dw11 & 0xffff) << 16) + 1);
    uint64_t from = c->dw12 | (uint64_t)c->dw13 << 32;

    switch (c->dw10 & 0xff) {
    case 0x01:
        log_errors(n, page);
        break;
    case 0x02:
        log_smart(n, page);
        break;
    case 0x03: /* the running firmware is in slot 1 */
        page[0] = 1;
        put_text(page + 8, 8, "1.0");
        break;
    default:
        return NV_LOG_PAGE;
    }
    if (len > sizeof(n->buf) || from % 4 != 0 || from > sizeof(page)) {
        return NV_INVALID_FIELD;
    }
    memset(n->buf, 0, len);
    memcpy(n->buf, page + from, len < sizeof(page) - from ? len : sizeof(page) - from);
    int err = nv_transfer(n, c, n->buf, (uint32_t)len, true);

    if (err == NV_OK && (c->dw10 & 0xff) == 1 && (c->dw10 >> 15 & 1) == 0) {
        n->quiet = false; /* read, and not told to keep the event (RAE) */
    }
    return err;
}

/* ---- features (5.9, 5.21) ---- */

static bool feature_known(uint32_t id)
{
    return id >= 0x01 && id <= F_EVENTS && id != 0x03; /* not: LBA range types */
}

static int set_features(struct nvme *n, const struct nv_command *c, uint32_t *result)
{
    uint32_t id = c->dw10 & 0xff;

    if (!feature_known(id)) {
        return NV_INVALID_FIELD;
    }
    if (c->dw10 >> 31 != 0) {
        return NV_NOT_SAVEABLE;
    }
    switch (id) {
    case F_POWER: /* one state */
        if ((c->dw11 & 0x1f) != 0) {
            return NV_INVALID_FIELD;
        }
        break;
    case F_QUEUES: /* 5.21.1.7: as many as there are, whatever was asked for */
        for (unsigned i = 1; i < NV_QUEUES; i++) {
            if (n->sq[i].live || n->cq[i].live) {
                return NV_SEQUENCE;
            }
        }
        if ((c->dw11 & 0xffff) == 0xffff || c->dw11 >> 16 == 0xffff) {
            return NV_INVALID_FIELD;
        }
        *result = (NV_QUEUES - 2) << 16 | (NV_QUEUES - 2);
        return NV_OK;
    case F_VECTOR:
        if ((c->dw11 & 0xffff) >= NV_QUEUES) {
            return NV_INVALID_FIELD;
        }
        n->vector_config[c->dw11 & 0xffff] = c->dw11 & 0x1ffff;
        return NV_OK;
    default:
        break;
    }
    n->feature[id] = c->dw11;
    return NV_OK;
}

static int get_features(struct nvme *n, const struct nv_command *c, uint32_t *result)
{
    uint32_t id = c->dw10 & 0xff;

    if (!feature_known(id) || (c->dw10 >> 8 & 7) != 0) { /* the current value, there is no other */
        return NV_INVALID_FIELD;
    }
    switch (id) {
    case F_QUEUES:
        *result = (NV_QUEUES - 2) << 16 | (NV_QUEUES - 2);
        return NV_OK;
    case F_VECTOR:
        if ((c->dw11 & 0xffff) >= NV_QUEUES) {
            return NV_INVALID_FIELD;
        }
        *result = n->vector_config[c->dw11 & 0xffff] | (c->dw11 & 0xffff);
        return NV_OK;
    case F_TEMPERATURE:
        *result = n->feature[id] != 0 ? n->feature[id] & 0xffff : 343;
        return NV_OK;
    default:
        *result = n->feature[id];
        return NV_OK;
    }
}

/* ---- events (5.2) and abort (5.1) ---- */

static int event_request(struct nvme *n, const struct nv_command *c)
{
    if (n->events == NV_EVENTS) {
        return NV_EVENT_LIMIT;
    }
    n->event[n->events++] = c->cid;
    return NV_LATER;
}

/* Everything but an event request is done before another command is looked at. */
static int abort_command(struct nvme *n, const struct nv_command *c, uint32_t *result)
{
    *result = 1;
    for (unsigned i = 0; i < n->events && (c->dw10 & 0xffff) == 0; i++) {
        if (n->event[i] == c->dw10 >> 16 && n->extras < NV_EVENTS) {
            *result = 0;
            n->event[i] = n->event[--n->events];
            n->extra[n->extras++] = (struct nv_completion){ .cid = (uint16_t)(c->dw10 >> 16),
                                                            .status = NV_ABORTED << 1 };
            break;
        }
    }
    return NV_OK;
}

int nv_admin(struct nvme *n, const struct nv_command *c, uint32_t *result)
{
    switch (c->opcode) {
    case DELETE_SQ:
        return delete_sq(n, c);
    case CREATE_SQ:
        return create_sq(n, c);
    case GET_LOG:
        return get_log(n, c);
    case DELETE_CQ:
        return delete_cq(n, c);
    case CREATE_CQ:
        return create_cq(n, c);
    case IDENTIFY:
        return identify(n, c);
    case ABORT:
        return abort_command(n, c, result);
    case SET_FEATURES:
        return set_features(n, c, result);
    case GET_FEATURES:
        return get_features(n, c, result);
    case EVENT_REQUEST:
        return event_request(n, c);
    default:
        return NV_INVALID_OPCODE;
    }
}
