/* SPDX-License-Identifier: BSD-2-Clause */
/* Words on the screen: errors, sizes, progress, the final table. */
#include "vmm.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

bool ui_live;
static bool live_open;
static double last_shown;

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void ui_progress(const char *fmt, ...)
{
    double t = now();
    if (t - last_shown < (ui_live ? 0.25 : 3.0)) {
        return;
    }
    last_shown = t;
    va_list ap;
    va_start(ap, fmt);
    if (ui_live) {
        fputs("\r\033[K", stdout);
    }
    vprintf(fmt, ap);
    if (!ui_live) {
        putchar('\n');
    }
    live_open = ui_live;
    fflush(stdout);
    va_end(ap);
}

void ui_progress_end(void)
{
    if (live_open) {
        putchar('\n');
    }
    live_open = false;
    fflush(stdout);
}

void ui_title(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ui_progress_end();
    putchar('\n');
    vprintf(fmt, ap);
    putchar('\n');
    fflush(stdout);
    va_end(ap);
}

int ui_error(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ui_progress_end();
    fputs("tenon: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_FAILED;
}

static const struct {
    int number;
    const char *name, *text;
} errors[] = {
    { 0, "ok", "done" },
    { EPERM, "EPERM", "no right to this object" },
    { ENOENT, "ENOENT", "no such VM, domain, device or request" },
    { EINTR, "EINTR", "stopped early" },
    { EIO, "EIO", "the hardware answered with an error" },
    { E2BIG, "E2BIG", "more than one call can take" },
    { EAGAIN, "EAGAIN", "not finished: call again" },
    { ENOMEM, "ENOMEM", "no memory left in the pool" },
    { EFAULT, "EFAULT", "an address that names nothing the caller may use" },
    { EBUSY, "EBUSY", "in use: running, attached, pinned or pending" },
    { EEXIST, "EEXIST", "already there" },
    { ENODEV, "ENODEV", "no such device, or not one that can be assigned" },
    { EINVAL, "EINVAL", "malformed: alignment, range or flags" },
    { ENOSPC, "ENOSPC", "a bounded table is full" },
    { ERANGE, "ERANGE", "outside the address size" },
    { ENOSYS, "ENOSYS", "the hypervisor does not know this operation" },
    { EPROTO, "EPROTO", "another protocol version" },
    { EOPNOTSUPP, "EOPNOTSUPP", "this hardware cannot do it live; nothing changed" },
    { EALREADY, "EALREADY", "it is in that state already" },
    { ETIMEDOUT, "ETIMEDOUT", "the hardware did not answer in time" },
    { EACCES, "EACCES", "the kernel does not allow it (root?)" },
};

const char *errno_name(int result)
{
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (errors[i].number == -result) {
            return errors[i].name;
        }
    }
    return ui_format("%d", result);
}

const char *errno_text(int result)
{
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (errors[i].number == -result) {
            return errors[i].text;
        }
    }
    return strerror(-result);
}

int ui_refused(int result, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    ui_progress_end();
    fputs("tenon: ", stderr);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, ": %s (%s)\n", errno_text(result), errno_name(result));
    va_end(ap);
    return EXIT_FAILED;
}

/* A ring of buffers, so that one printf may hold several answers. */
static char *next_buffer(size_t *size)
{
    static char ring[16][96];
    static unsigned turn;
    *size = sizeof(ring[0]);
    return ring[turn++ % COUNT(ring)];
}

const char *ui_format(const char *fmt, ...)
{
    size_t size;
    char *b = next_buffer(&size);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(b, size, fmt, ap);
    va_end(ap);
    return b;
}

const char *ui_size(uint64_t bytes)
{
    static const char unit[] = "KMGT";
    uint64_t value = bytes;
    int i = -1;
    while (value >= 1024 && i < 3 && value % 1024 == 0) {
        value /= 1024;
        i++;
    }
    if (i < 0) {
        return ui_format("%llu B", (unsigned long long)bytes);
    }
    return ui_format("%llu %ciB", (unsigned long long)value, unit[i]);
}

const char *ui_count(uint64_t n)
{
    char digits[24];
    size_t size;
    char *b = next_buffer(&size);
    int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
    int o = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            b[o++] = ',';
        }
        b[o++] = digits[i];
    }
    b[o] = 0;
    return b;
}

const char *ui_bdf(uint32_t bdf)
{
    return ui_format("%02x:%02x.%x", bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
}

const char *ui_owner(uint16_t owner)
{
    switch (owner) {
    case OWNER_NONE:
        return "free";
    case OWNER_HYP:
        return "hypervisor";
    case OWNER_HOST:
        return "host";
    default:
        return ui_format("vm %u", (unsigned)(owner - OWNER_VM0));
    }
}

void check_add(struct checks *t, bool ok, const char *name, const char *want, const char *fmt, ...)
{
    if (t->n >= CHECKS_MAX) {
        t->failed++;
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    snprintf(t->row[t->n].name, sizeof(t->row[0].name), "%s", name);
    snprintf(t->row[t->n].want, sizeof(t->row[0].want), "%s", want);
    vsnprintf(t->row[t->n].seen, sizeof(t->row[0].seen), fmt, ap);
    va_end(ap);
    t->row[t->n].ok = ok;
    t->n++;
    if (!ok) {
        t->failed++;
        ui_progress_end();
        printf("  FAILED  %s: wanted %s, saw %s\n", name, want, t->row[t->n - 1].seen);
    }
}

void check_print(const struct checks *t, const char *title)
{
    int name = 5;
    int want = 8;
    int seen = 4;
    for (int i = 0; i < t->n; i++) {
        int a = (int)strlen(t->row[i].name);
        int b = (int)strlen(t->row[i].want);
        int c = (int)strlen(t->row[i].seen);
        name = a > name ? a : name;
        want = b > want ? b : want;
        seen = c > seen ? c : seen;
    }
    ui_title("%s", title);
    printf("  %-*s | %-*s | %-*s |\n", name, "check", want, "required", seen, "seen");
    printf("  ");
    for (int i = 0; i < name + want + seen + 15; i++) {
        putchar('-');
    }
    putchar('\n');
    for (int i = 0; i < t->n; i++) {
        printf("  %-*s | %-*s | %-*s | %s\n", name, t->row[i].name, want, t->row[i].want, seen,
               t->row[i].seen, t->row[i].ok ? "ok" : "FAILED");
    }
    printf("  %d checks, %d failed\n", t->n, t->failed);
    fflush(stdout);
}
