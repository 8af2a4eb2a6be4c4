/* SPDX-License-Identifier: BSD-2-Clause */
/* The way to the hypervisor: a mailbox slot and its doorbell (include/tenon/control.h). */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { /* 8-byte words of struct tn_request */
       WORD_MAGIC = 0,
       WORD_VERSION_OP = 1,
       WORD_ARG = 2,
       WORD_RESULT = 8,
       WORD_OUT = 9,
       WORD_LEN = 17,
};
_Static_assert(offsetof(struct tn_request, op) == 12, "version and op share a word");
_Static_assert(offsetof(struct tn_request, arg) == 8 * WORD_ARG, "layout");
_Static_assert(offsetof(struct tn_request, result) == 8 * WORD_RESULT, "layout");
_Static_assert(offsetof(struct tn_request, out) == 8 * WORD_OUT, "layout");
_Static_assert(offsetof(struct tn_request, data_len) == 8 * WORD_LEN, "layout");

static uint64_t from_big_endian(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

int ctl_region(uint64_t *base, uint64_t *size)
{
    static const char *const places[] = { "/proc/device-tree/tenon-control@*/reg",
                                          "/sys/firmware/devicetree/base/tenon-control@*/reg" };
    for (size_t i = 0; i < COUNT(places); i++) {
        glob_t g;
        int found = glob(places[i], 0, NULL, &g);
        unsigned char reg[16];
        ssize_t got = 0;
        if (found == 0) {
            int fd = open(g.gl_pathv[0], O_RDONLY | O_CLOEXEC);
            if (fd >= 0) {
                got = read(fd, reg, sizeof(reg));
                close(fd);
            }
            globfree(&g);
        }
        if (got == (ssize_t)sizeof(reg)) {
            *base = from_big_endian(reg);
            *size = from_big_endian(reg + 8);
            return 0;
        }
    }
    return -1;
}

volatile uint64_t *dev_mem_map(uint64_t pa, uint64_t len)
{
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)pa);
    int error = errno;
    close(fd);
    errno = error;
    return p == MAP_FAILED ? NULL : p;
}

void io_read(void *to, const volatile uint64_t *from, uint64_t len)
{
    unsigned char *out = to;
    for (uint64_t i = 0; i < len; i += 8) {
        uint64_t word = from[i / 8];
        memcpy(out + i, &word, len - i < 8 ? len - i : 8);
    }
}

void io_write(volatile uint64_t *to, const void *from, uint64_t len)
{
    const unsigned char *in = from;
    for (uint64_t i = 0; i < len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, in + i, len - i < 8 ? len - i : 8);
        to[i / 8] = word;
    }
}

/* A slot is ours while we hold the lock of its file; the kernel drops it when we die. */
static int take_slot(unsigned *nr)
{
    mkdir("/run", 0755);
    mkdir("/run/tenon", 0700);
    for (unsigned i = 0; i < TN_SLOTS; i++) {
        char path[40];
        snprintf(path, sizeof(path), "/run/tenon/slot%u", i);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0) {
            return -errno;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            *nr = i;
            return fd;
        }
        close(fd);
    }
    return -EBUSY;
}

static void say_why(char *why, size_t size, const char *text, const char *detail)
{
    snprintf(why, size, "%s%s%s", text, detail[0] ? ": " : "", detail);
}

static int map_slot(struct ctl *c, uint64_t base, char *why, size_t why_size)
{
    c->slot = dev_mem_map(base + (uint64_t)c->nr * TN_SLOT_SIZE, TN_SLOT_SIZE);
    volatile uint64_t *bells = c->slot ? dev_mem_map(base + TN_DOORBELL_OFFSET, PAGE) : NULL;
    if (!bells) {
        say_why(why, why_size,
                errno == EACCES || errno == EPERM
                    ? "cannot map the control region through /dev/mem (are you root?)"
                    : "cannot map the control region through /dev/mem",
                strerror(errno));
        return -1;
    }
    c->bell = bells + c->nr;
    return 0;
}

int ctl_open(struct ctl *c, char *why, size_t why_size)
{
    uint64_t base;
    uint64_t size;
    *c = (struct ctl){ .lock_fd = -1 };
    if (ctl_region(&base, &size) != 0) {
        say_why(why, why_size,
                "this kernel does not run under Tenon: no /proc/device-tree/tenon-control@... "
                "(start the machine with Tenon's image, see `make shell`)",
                "");
        return -1;
    }
    if (size < TN_CONTROL_SIZE) {
        say_why(why, why_size, "the control region is smaller than this program's protocol needs",
                "rebuild both from the same sources");
        return -1;
    }
    c->lock_fd = take_slot(&c->nr);
    if (c->lock_fd < 0) {
        say_why(why, why_size,
                c->lock_fd == -EBUSY ? "all 16 mailbox slots are in use (/run/tenon/slot*): end "
                                       "another tenon program first"
                                     : "cannot lock a mailbox slot in /run/tenon",
                c->lock_fd == -EBUSY ? "" : strerror(-c->lock_fd));
        return -1;
    }
    if (map_slot(c, base, why, why_size) != 0) {
        ctl_close(c);
        return -1;
    }
    struct reply r;
    CTL(c, &r, TN_HELLO, 0);
    if (r.result != 0 || r.out[0] != TN_CONTROL_VERSION) {
        snprintf(why, why_size,
                 "the hypervisor speaks protocol version %llu, this program %u (%s): rebuild both "
                 "from the same sources",
                 (unsigned long long)r.out[0], TN_CONTROL_VERSION, errno_name(r.result));
        ctl_close(c);
        return -1;
    }
    return 0;
}

void ctl_need(struct ctl *c)
{
    char why[256];
    if (ctl_open(c, why, sizeof(why)) != 0) {
        fprintf(stderr, "tenon: %s\n", why);
        exit(EXIT_NO_HYP);
    }
}

void ctl_close(struct ctl *c)
{
    if (c->bell) {
        munmap((void *)((uintptr_t)c->bell & ~(uintptr_t)(PAGE - 1)), PAGE);
    }
    if (c->slot) {
        munmap((void *)(uintptr_t)c->slot, TN_SLOT_SIZE);
    }
    if (c->lock_fd >= 0) {
        close(c->lock_fd);
    }
    *c = (struct ctl){ .lock_fd = -1 };
}

void ctl_put(struct ctl *c, const void *buf, uint64_t len)
{
    io_write(c->slot + TN_DATA_OFFSET / 8, buf, len);
    c->put_len = len;
}

void ctl_get(const struct ctl *c, void *buf, uint64_t offset, uint64_t len)
{
    io_read(buf, c->slot + (TN_DATA_OFFSET + offset) / 8, len);
}

void ctl_write(struct ctl *c, uint32_t op, const uint64_t arg[6])
{
    c->slot[WORD_MAGIC] = TN_CONTROL_MAGIC;
    c->slot[WORD_VERSION_OP] = TN_CONTROL_VERSION | (uint64_t)op << 32;
    for (int i = 0; i < 6; i++) {
        c->slot[WORD_ARG + i] = arg[i];
    }
    c->slot[WORD_LEN] = c->put_len;
    c->put_len = 0;
}

void ctl_ring(struct ctl *c)
{
    /* Exactly one plain store: anything else has no syndrome that EL2 could decode. The barriers
     * order it after the request's words and before the answer's. */
    __asm__ volatile("dsb sy\n\tstr %0, [%1]\n\tdsb sy" : : "r"(1ul), "r"(c->bell) : "memory");
}

void ctl_read(const struct ctl *c, struct reply *r)
{
    r->result = (int)(int64_t)c->slot[WORD_RESULT];
    for (int i = 0; i < 8; i++) {
        r->out[i] = c->slot[WORD_OUT + i];
    }
    r->len = c->slot[WORD_LEN];
    if (r->len > TN_DATA_SIZE) {
        r->len = TN_DATA_SIZE;
    }
}

int ctl_call(struct ctl *c, struct reply *r, uint32_t op, const uint64_t arg[6])
{
    ctl_write(c, op, arg);
    ctl_ring(c);
    ctl_read(c, r);
    return r->result;
}

int ctl_finish(struct ctl *c, struct reply *r, uint32_t op, const uint64_t arg[6], const char *what)
{
    double start = now();
    bool shown = false;
    while (ctl_call(c, r, op, arg) == -EAGAIN) {
        if (now() - start > 2.0) {
            ui_progress("  %s: %llu of %llu", what, (unsigned long long)r->out[0],
                        (unsigned long long)r->out[1]);
            shown = true;
        }
    }
    if (shown) {
        ui_progress_end();
    }
    return r->result;
}

/* ---- answers with a fixed structure ---- */

static uint64_t at_most(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int ctl_info(struct ctl *c, struct tn_info *info)
{
    struct reply r;
    memset(info, 0, sizeof(*info));
    if (CTL(c, &r, TN_INFO, 0) == 0) {
        ctl_get(c, info, 0, at_most(r.len, sizeof(*info)));
    }
    return r.result;
}

int ctl_stat(struct ctl *c, uint64_t vm, struct tn_vm_stat *stat)
{
    struct reply r;
    memset(stat, 0, sizeof(*stat));
    if (CTL(c, &r, TN_VM_STAT, vm) == 0) {
        ctl_get(c, stat, 0, at_most(r.len, sizeof(*stat)));
    }
    return r.result;
}

/* An array in the data: how many elements, or -errno. */
static int get_list(struct ctl *c, const struct reply *r, void *list, size_t size, int max)
{
    if (r->result != 0) {
        return r->result;
    }
    uint64_t n = at_most(r->len / size, (uint64_t)max);
    ctl_get(c, list, 0, n * size);
    return (int)n;
}

int ctl_devices(struct ctl *c, struct tn_device *list, int max)
{
    struct reply r;
    CTL(c, &r, TN_DEV_LIST, 0);
    return get_list(c, &r, list, sizeof(*list), max);
}

int ctl_pending(struct ctl *c, uint64_t vm, struct tn_pending *list, int max)
{
    struct reply r;
    CTL(c, &r, TN_VM_PENDING, vm);
    return get_list(c, &r, list, sizeof(*list), max);
}

int ctl_events(struct ctl *c, struct tn_event *list, int max, uint64_t *total)
{
    struct reply r;
    CTL(c, &r, TN_EVENTS, 0);
    if (total) {
        *total = r.out[0];
    }
    return get_list(c, &r, list, sizeof(*list), max);
}

int ctl_audit(struct ctl *c, struct audit_result *a)
{
    struct reply r;
    memset(a, 0, sizeof(*a));
    if (CTL_FINISH(c, &r, "audit", TN_AUDIT, 0) == 0) {
        a->violations = r.out[0];
        a->digest = r.out[1];
        a->frames = r.out[2];
        a->leaves = r.out[3];
        a->tables = r.out[4];
        ctl_get(c, a->first, 0, at_most(r.len, sizeof(a->first) - 1));
    }
    return r.result;
}
