/* SPDX-License-Identifier: BSD-2-Clause */
/* The device: a process that does nothing but DMA, invalidations and waits, as it is told. */
#include "lib_mirror.h"
#include "lib_pt_lab.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum dev_op { DEV_BEGIN, DEV_COMPLETE, DEV_INV, DEV_INV_ALL, DEV_SYNC };

struct dev_msg {
    uint32_t op;
    uint64_t ia, last, value;
    uint8_t write, level, tables;
};

/* ---- in the device ---- */

struct device {
    struct model_tlb *tlb;
    struct model_ctx ctx;
    struct model_phys phys;
    struct model_mem mem;
    uint64_t *backing[MIRROR_BACKINGS];
    pid_t pid;
    /* in flight */
    bool busy, covered;
    uint64_t ia, oa;
    struct dev_msg msg;
    struct tm_access result;
};

static void reach(struct device *d)
{
    uint64_t *value = &d->result.value;
    bool write = d->msg.write != 0;

    d->busy = false;
    if ((d->oa & MIRROR_OA_PROCESS) != 0) {
        struct iovec here = { .iov_base = write ? &d->msg.value : value, .iov_len = 8 };
        struct iovec there = { .iov_base = (void *)(uintptr_t)(d->oa & ~MIRROR_OA_PROCESS),
                               .iov_len = 8 };
        ssize_t n = write ? process_vm_writev(d->pid, &here, 1, &there, 1, 0)
                          : process_vm_readv(d->pid, &here, 1, &there, 1, 0);

        d->result.fault = n == 8 ? MODEL_OK : MODEL_FAULT_EXTERNAL;
        return;
    }
    uint64_t i = (d->oa >> 40) - 1, off = d->oa & (((uint64_t)1 << 40) - 1);

    if (i >= MIRROR_BACKINGS || d->backing[i] == NULL || off >= TM_FILE) {
        d->result.fault = MODEL_FAULT_EXTERNAL;
        return;
    }
    uint64_t *p = d->backing[i] + off / 8;

    if (write) {
        __atomic_store_n(p, d->msg.value, __ATOMIC_SEQ_CST);
    } else {
        *value = __atomic_load_n(p, __ATOMIC_SEQ_CST);
    }
}

static void dev_begin(struct device *d, const struct dev_msg *m)
{
    struct model_xlat x;
    struct model_access a = { .what = m->write != 0 ? MODEL_W : MODEL_R, .user = true };

    d->msg = *m;
    d->result = (struct tm_access){ .fault = model_tlb_translate(d->tlb, &d->ctx, m->ia, a, &x) };
    d->busy = d->result.fault == MODEL_OK;
    d->covered = false;
    d->ia = m->ia;
    d->oa = x.oa;
}

static void dev_inv(struct device *d, const struct dev_msg *m)
{
    struct pt_inv r = { .ia = m->ia, .last = m->last, .level = m->level, .tables = m->tables != 0 };

    if (m->op == DEV_INV) {
        lab_issue(d->tlb, &d->ctx, &r); /* as the format's own commands say it */
    } else {
        model_tlb_invalidate(d->tlb,
                             &(struct model_inv){ .kind = d->ctx.walk.stage == 1 ? MODEL_INV_S1_VMID
                                                                                 : MODEL_INV_VMID,
                                                  .vmid = d->ctx.vmid });
    }
    d->covered = d->covered || m->op == DEV_INV_ALL || (d->ia >= m->ia && d->ia <= m->last);
}

_Noreturn static void device_main(struct device *d, int sock)
{
    struct dev_msg m;

    while (recv(sock, &m, sizeof(m), 0) == (ssize_t)sizeof(m)) {
        switch (m.op) {
        case DEV_BEGIN:
            dev_begin(d, &m);
            break;
        case DEV_COMPLETE:
            if (d->busy) {
                reach(d);
            }
            break;
        case DEV_INV:
        case DEV_INV_ALL:
            dev_inv(d, &m);
            continue; /* posted: no answer */
        default:
            if (d->busy && d->covered) {
                reach(d); /* what is in flight under it is over when the wait is (IHI0070 3.21.1) */
            }
            model_tlb_sync(d->tlb);
            break;
        }
        if (send(sock, &d->result, sizeof(d->result), MSG_NOSIGNAL) != (ssize_t)sizeof(d->result)) {
            break;
        }
    }
    _exit(0);
}

/* ---- in the test ---- */

static void tell(struct tm_device *d, const struct dev_msg *m)
{
    if (send(d->sock, m, sizeof(*m), MSG_NOSIGNAL) != (ssize_t)sizeof(*m)) {
        port_panic("the device is gone");
    }
}

static struct tm_access ask(struct tm_device *d, const struct dev_msg *m)
{
    struct tm_access a;

    tell(d, m);
    if (recv(d->sock, &a, sizeof(a), 0) != (ssize_t)sizeof(a)) {
        port_panic("the device gives no answer");
    }
    return a;
}

static void dev_issue(struct invalidator *inv, const struct pt_gather *g)
{
    struct tm_device *d = (struct tm_device *)inv;

    pthread_mutex_lock(&d->lock);
    for (uint32_t i = 0; i < g->n; i++) {
        tell(d, &(struct dev_msg){ .op = DEV_INV,
                                   .ia = g->inv[i].ia,
                                   .last = g->inv[i].last,
                                   .level = g->inv[i].level,
                                   .tables = g->inv[i].tables });
    }
    if (g->all) {
        tell(d, &(struct dev_msg){ .op = DEV_INV_ALL });
    }
    d->issued++;
    pthread_mutex_unlock(&d->lock);
}

static void dev_wait(struct invalidator *inv)
{
    struct tm_device *d = (struct tm_device *)inv;

    pthread_mutex_lock(&d->lock);
    (void)ask(d, &(struct dev_msg){ .op = DEV_SYNC });
    d->waited++;
    pthread_mutex_unlock(&d->lock);
}

void tm_device_start(struct tm_device *d, struct space *s, const struct mirror_watch *w)
{
    int pair[2];
    pid_t parent = getpid();

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *d = (struct tm_device){ .inv = { .issue = dev_issue, .wait = dev_wait }, .sock = pair[0] };
    pthread_mutex_init(&d->lock, NULL);
    d->pid = fork();
    assert_true(d->pid >= 0);
    if (d->pid == 0) {
        static struct device dev;

        tm_end_with(parent);
        dev.ctx = (struct model_ctx){
            .walk = tp_walk_cfg(&s->pt), .mem = &dev.mem, .vmid = 1, .asid = 1
        };
        model_phys_init(&dev.phys);
        if (!model_phys_attach(&dev.phys, HOSTED_BASE, hosted_arena(), HOSTED_SIZE)) {
            _exit(1);
        }
        dev.mem = model_phys_mem(&dev.phys, false);
        dev.tlb = model_tlb_new(&(struct model_tlb_cfg){
            .mode = MODEL_TLB_NEVER_EVICTS, .apply = MODEL_APPLY_AT_SYNC, .seed = 7 });
        for (unsigned i = 0; w != NULL && i < w->backings; i++) {
            void *p = mmap(NULL, TM_FILE, PROT_READ | PROT_WRITE, MAP_SHARED, w->backing[i], 0);

            dev.backing[i] = p == MAP_FAILED ? NULL : p;
        }
        dev.pid = w != NULL ? w->pid : 0;
        /* Nothing else that the test has open: others notice who is gone by what is closed. */
        if (dup2(pair[1], 3) != 3 || syscall(SYS_close_range, 4u, ~0u, 0u) != 0) {
            _exit(1);
        }
        device_main(&dev, 3);
    }
    close(pair[1]);
    assert_int_equal(space_add_walker(s, &d->inv), 0);
}

void tm_device_stop(struct tm_device *d)
{
    close(d->sock);
    assert_int_equal(waitpid(d->pid, NULL, 0), d->pid);
}

static struct tm_access access_now(struct tm_device *d, const struct dev_msg *m)
{
    pthread_mutex_lock(&d->lock);
    struct tm_access a = ask(d, m);

    if (a.fault == MODEL_OK) {
        a = ask(d, &(struct dev_msg){ .op = DEV_COMPLETE });
    }
    pthread_mutex_unlock(&d->lock);
    return a;
}

struct tm_access tm_device_read(struct tm_device *d, uint64_t ia)
{
    return access_now(d, &(struct dev_msg){ .op = DEV_BEGIN, .ia = ia });
}

struct tm_access tm_device_write(struct tm_device *d, uint64_t ia, uint64_t value)
{
    return access_now(d,
                      &(struct dev_msg){ .op = DEV_BEGIN, .ia = ia, .write = 1, .value = value });
}

struct tm_access tm_device_begin_write(struct tm_device *d, uint64_t ia, uint64_t value)
{
    pthread_mutex_lock(&d->lock);
    struct tm_access a =
        ask(d, &(struct dev_msg){ .op = DEV_BEGIN, .ia = ia, .write = 1, .value = value });

    pthread_mutex_unlock(&d->lock);
    return a;
}

void tm_device_complete(struct tm_device *d)
{
    pthread_mutex_lock(&d->lock);
    (void)ask(d, &(struct dev_msg){ .op = DEV_COMPLETE });
    pthread_mutex_unlock(&d->lock);
}
