/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log: a ring of text in memory that a warm reset does not clear, and the text of the boot
 * before beside it. Every line is cleaned to memory as it is written: caches do not survive.
 */
#include "asm.h"
#include "boot.h"

#include <stdarg.h>

#define LOG_MAGIC 0x31474f4c4e4e4554ul
#define LOG_TEXT  (LOG_BYTES / 2 - 64)

struct log_ring {
    uint64_t magic;
    uint64_t boot; /* how many boots in a row found the one before */
    uint64_t pos;  /* characters written since boot */
    uint64_t check;
    uint64_t pad[4];
    char text[LOG_TEXT];
};
_Static_assert(sizeof(struct log_ring) == LOG_BYTES / 2, "two rings fill the log's memory");

static struct log_ring *now, *before;
static struct port_lock lock;
static uint64_t uart;
static bool panic_off;
static struct cpu *dying; /* it may hold the lock already, and asks for it no more */

static uint64_t check_of(const struct log_ring *r)
{
    return (r->magic ^ r->boot * 0x9e3779b97f4a7c15ul) + r->pos * 0xd1342543de82ef95ul;
}

static bool ring_valid(const struct log_ring *r)
{
    return r->magic == LOG_MAGIC && r->check == check_of(r);
}

void log_init(uint64_t base)
{
    struct log_ring *r = (struct log_ring *)base;
    uint64_t boot = 0;

    now = r;
    before = r + 1;
    if (ring_valid(now)) {
        boot = now->boot + 1;
        *before = *now;
    } else {
        before->pos = 0;
        before->magic = 0;
    }
    now->magic = LOG_MAGIC;
    now->boot = boot;
    now->pos = 0;
    now->check = check_of(now);
    port_clean(before, sizeof(*before));
    port_clean(now, 64);
    if (boot != 0) {
        port_log("warm boot %lu: %lu characters of the log before are kept", boot, before->pos);
    }
}

static void uart_put(char c)
{
    /* PL011: FR.TXFF, bit 5 at 0x18 (DDI0183 3.3.3). Bounded: a dead UART must not stop EL2. */
    for (unsigned i = 0; i < 100000 && (*(volatile uint32_t *)(uart + 0x18) & 0x20) != 0; i++) {
    }
    *(volatile uint32_t *)uart = (unsigned char)c;
}

struct text {
    char *to;
    uint64_t size, at;
};

/* To the log, or into a buffer. */
static void put(struct text *t, char c)
{
    if (t != NULL) {
        if (t->at + 1 < t->size) {
            t->to[t->at++] = c;
        }
        return;
    }
    if (now != NULL) {
        now->text[now->pos % LOG_TEXT] = c;
        now->pos++;
    }
    if (uart != 0) {
        if (c == '\n') {
            uart_put('\r');
        }
        uart_put(c);
    }
}

static void put_number(struct text *t, uint64_t v, unsigned base, unsigned width)
{
    char digits[20];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v != 0);
    for (unsigned i = n; i < width; i++) {
        put(t, '0');
    }
    while (n != 0) {
        put(t, digits[--n]);
    }
}

static void put_string(struct text *t, const char *s)
{
    for (; *s != '\0'; s++) {
        put(t, *s);
    }
}

static void put_format(struct text *t, const char *fmt, va_list ap)
{
    for (; *fmt != '\0'; fmt++) {
        if (*fmt != '%') {
            put(t, *fmt);
            continue;
        }
        bool wide = fmt[1] == 'l';

        fmt += wide ? 2 : 1;
        switch (*fmt) {
        case 's':
            put_string(t, va_arg(ap, const char *));
            break;
        case 'u':
            put_number(t, wide ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t), 10, 0);
            break;
        case 'x':
            put_number(t, wide ? va_arg(ap, uint64_t) : va_arg(ap, uint32_t), 16, 0);
            break;
        case '\0':
            return;
        default:
            put(t, *fmt);
        }
    }
}

static void clean_from(uint64_t from)
{
    uint64_t at = from % LOG_TEXT, n = now->pos - from;

    if (at + n > LOG_TEXT) {
        at = 0;
        n = LOG_TEXT;
    }
    port_clean(&now->text[at], n);
    now->check = check_of(now);
    port_clean(now, 64);
}

static void line(const char *fmt, va_list ap)
{
    uint64_t ms = port_now() / 1000000;
    uint64_t from = now != NULL ? now->pos : 0;

    put(NULL, '[');
    put_number(NULL, ms / 1000, 10, 4);
    put(NULL, '.');
    put_number(NULL, ms % 1000, 10, 3);
    put_string(NULL, "] ");
    put_format(NULL, fmt, ap);
    put(NULL, '\n');
    if (now != NULL) {
        clean_from(from);
    }
}

void port_log(const char *fmt, ...)
{
    bool locked = __atomic_load_n(&dying, __ATOMIC_RELAXED) != this_cpu();
    va_list ap;

    if (locked) {
        port_lock(&lock);
    }
    va_start(ap, fmt);
    line(fmt, ap);
    va_end(ap);
    if (locked) {
        port_unlock(&lock);
    }
}

void log_text(char *to, uint64_t size, const char *fmt, ...)
{
    struct text t = { to, size, 0 };
    va_list ap;

    va_start(ap, fmt);
    put_format(&t, fmt, ap);
    va_end(ap);
    to[t.at] = '\0';
}

void log_uart(uint64_t base)
{
    port_lock(&lock);
    uart = 0;
    if (base != 0 && now != NULL) {
        uint64_t n = now->pos < LOG_TEXT ? now->pos : 0;

        uart = base;
        for (uint64_t i = 0; i < n; i++) {
            if (now->text[i] == '\n') {
                uart_put('\r');
            }
            uart_put(now->text[i]);
        }
    }
    port_unlock(&lock);
}

uint64_t log_read(unsigned boot, uint64_t offset, char *buf, uint64_t len)
{
    const struct log_ring *r = boot == 0 ? now : before;
    uint64_t n = 0;

    if (boot > 1) {
        return 0;
    }
    port_lock(&lock);
    if (ring_valid(r)) {
        /* Offset 0 is the oldest character still there. */
        uint64_t oldest = r->pos > LOG_TEXT ? r->pos - LOG_TEXT : 0;
        uint64_t have = r->pos - oldest;

        for (; n < len && offset < have && n < have - offset; n++) {
            char c = r->text[(oldest + offset + n) % LOG_TEXT];

            /* The boot before may have ended in the middle of anything. */
            buf[n] = (c >= ' ' && c <= '~') || c == '\n' ? c : '.';
        }
    }
    port_unlock(&lock);
    return n;
}

void log_set_panic_off(void)
{
    panic_off = true;
}

void log_dying(void)
{
    struct cpu *nobody = NULL;

    /* A second failure, here or on another CPU: no more words. */
    if (!__atomic_compare_exchange_n(&dying, &nobody, this_cpu(), false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE)) {
        psci_system(panic_off);
    }
    if (uart == 0) {
        uart = hv.uart;
    }
}

/* Words on the stack that point into the text: what was called on the way here, more or less. */
static void backtrace(void)
{
    extern char text_start[], text_end[];
    uint64_t sp, area = 2 * STACK_SIZE;
    const struct cpu *c = this_cpu();

    __asm__("mov %0, sp" : "=r"(sp));
    uint64_t top = (sp | (area - 1)) + 1;

    if (sp < c->emergency && c->emergency - sp <= EMERGENCY_SIZE) {
        top = c->emergency;
    }
    for (unsigned found = 0; sp + 8 <= top && found < 12; sp += 8) {
        uint64_t v = *(const volatile uint64_t *)sp;

        if (v > (uint64_t)text_start && v < (uint64_t)text_end && (v & 3) == 0) {
            port_log("  called from %lx", v);
            found++;
        }
    }
}

_Noreturn void port_panic(const char *why)
{
    if (__atomic_load_n(&dying, __ATOMIC_RELAXED) != this_cpu()) {
        log_dying();
    }
    port_log("PANIC: %s", why);
    backtrace();
    psci_system(panic_off);
}
