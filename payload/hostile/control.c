/* SPDX-License-Identifier: BSD-2-Clause */
/* The control mailbox (tenon/control.h): any call, with arguments that are nearly right. */
#include "hostile.h"

#include <tenon/control.h>
#include <tenon/errno.h>

enum { VMS = 8, AUDIT_TRIES = 100000 };

static uint64_t slot_base(uint64_t slot)
{
    return CONTROL + slot * TN_SLOT_SIZE;
}

static int64_t call(uint64_t slot, uint32_t op, const uint64_t arg[6], uint64_t data_len,
                    uint64_t out[8])
{
    struct tn_request q = { .magic = TN_CONTROL_MAGIC,
                            .version = TN_CONTROL_VERSION,
                            .op = op,
                            .result = -EBUSY,
                            .data_len = data_len };
    volatile uint64_t *p = (volatile uint64_t *)slot_base(slot);
    const uint64_t *w = (const uint64_t *)(const void *)&q;

    for (unsigned i = 0; i < 6; i++) {
        q.arg[i] = arg[i];
    }
    for (unsigned i = 0; i < sizeof(q) / 8; i++) {
        p[i] = w[i];
    }
    __asm__ volatile("dsb sy" ::: "memory");
    store(CONTROL + TN_DOORBELL_OFFSET + slot * 8, 3, slot);
    for (unsigned i = 0; out && i < 8; i++) {
        out[i] = p[offsetof(struct tn_request, out) / 8 + i];
    }
    return (int64_t)p[offsetof(struct tn_request, result) / 8];
}

int64_t control(uint32_t op, const uint64_t arg[6], uint64_t data_len, uint64_t out[8])
{
    /* Each CPU has its slots; now and then the other's, in the middle of its call. */
    return call(this_cpu() * 4u + (below(64) == 0 ? below(3) : 0), op, arg, data_len, out);
}

int64_t control_finish(uint32_t op, const uint64_t arg[6], uint64_t data_len, uint64_t out[8])
{
    int64_t r = -EAGAIN;

    for (unsigned i = 0; i < AUDIT_TRIES && (r == -EAGAIN || r == -EBUSY); i++) {
        r = call(this_cpu() * 4u, op, arg, data_len, out);
    }
    return r;
}

volatile uint64_t *control_data(void)
{
    return (volatile uint64_t *)(slot_base(this_cpu() * 4u) + TN_DATA_OFFSET);
}

static void line(const char *before, const char *after)
{
    say(before);
    say(after);
    say("\n");
}

void audit(const char *after)
{
    uint64_t arg[6] = { 0 }, out[8] = { 0 };
    int64_t r = control_finish(TN_AUDIT, arg, 0, out);

    line("  audit after ", after);
    if (r == 0 && out[0] != 0) {
        volatile char *text = (volatile char *)control_data();
        char first[128];
        unsigned n = 0;

        for (; n + 1 < sizeof(first) && text[n]; n++) {
            first[n] = text[n];
        }
        first[n] = 0;
        line("  ", first);
    }
    check(r == 0 && out[0] == 0, after,
          r ? "the audit answered" : "violations:", r ? (uint64_t)-r : out[0]);
}

/* Words that are at times instructions, for a VM's memory. */
static void fill_data(void)
{
    volatile uint64_t *d = control_data();

    for (unsigned k = 0; k < 512; k++) {
        uint64_t w = rnd();

        if (below(4) == 0) {
            w = w << 32 | (below(2) ? 0xd4000002u : 0x14000000u); /* hvc #0, b . */
        }
        d[k] = w;
    }
}

static void set(uint64_t a[6], unsigned given, uint64_t x, uint64_t y, uint64_t z)
{
    uint64_t v[3] = { x, y, z };

    for (unsigned k = 0; k < 6; k++) {
        a[k] = k < given ? v[k] : 0;
    }
}

/* Arguments that come far into the call, most of the time. */
static uint32_t shape(uint32_t op, uint64_t a[6], uint64_t *len)
{
    uint64_t id = below(VMS), gpa = 0x40000000 + below(4096) * 4096;
    uint64_t chunk = 0x60000000 + below(128) * 0x200000;

    switch (op) {
    case TN_VM_CREATE:
        set(a, 3, below(16) ? (1 + below(8)) * 0x200000 : pick(), below(8), rnd() & 0xffff);
        break;
    case TN_VM_POPULATE:
        set(a, 2, id, 0x40000000 + below(64) * 4096, 0);
        *len = below(4) ? 4096 : pick();
        fill_data();
        break;
    case TN_VM_SEAL:
        set(a, 3, id, 0x40000000 + below(64) * 4096, rnd());
        break;
    case TN_VM_RUN:
        set(a, 3, id, 0, below(1000));
        break;
    case TN_VM_COMMIT:
    case TN_VM_REJECT:
        set(a, 2, id, below(40), 0);
        break;
    case TN_VM_CONVERT:
        set(a, 3, id, below(4) ? gpa : gpa & ~0x1ffffful,
            (1 + below(4)) * (below(2) ? 4096 : 0x200000));
        a[3] = below(2);
        a[4] = below(2);
        break;
    case TN_VM_MEM:
    case TN_VM_WINDOW:
        set(a, 2, id, gpa, 0);
        break;
    case TN_VM_PREPARE:
    case TN_VM_STAT:
    case TN_VM_CONSOLE:
    case TN_VM_PENDING:
    case TN_VM_DESTROY:
    case TN_VM_MERGE:
        set(a, below(4) ? 1 : 3, id, pick(), pick());
        break;
    case TN_DEV_TAKE: /* slow, as the function is reset: seldom */
        set(a, 2, below(4) ? 0x18 : pick(), id, 0);
        return below(8) ? TN_VM_STAT : op;
    case TN_DEV_RETURN:
        set(a, 1, below(4) ? 0x18 : pick(), 0, 0);
        return below(8) ? TN_VM_PENDING : op;
    case TN_HOST_MODE:
        set(a, 1, below(4), 0, 0);
        return below(8) ? TN_HELLO : op;
    case TN_DOM_ATTACH:
    case TN_DOM_DETACH:
        set(a, 2, below(5), below(2) ? 0x20 : below(2) ? 0x28 : pick(), 0);
        break;
    case TN_DOM_MAP:
        set(a, 3, below(5), below(4) ? below(1024) * 0x1000 : pick(),
            below(4) ? 0x60000000 + below(0x8000) * 0x1000 : pick());
        a[3] = below(8) ? (1 + below(32)) * 4096 : 0x200000 * (1 + below(3));
        a[4] = 1 + below(3);
        break;
    case TN_DOM_UNMAP:
        set(a, 3, below(5), below(1024) * 0x1000, (1 + below(32)) * 4096);
        break;
    case TN_DOM_FREE:
    case TN_DOM_IOVA:
        a[0] = below(5);
        break;
    case TN_MEM_DONATE: /* not what this program lies in */
    case TN_MEM_RECLAIM:
        set(a, 2, chunk, (1 + below(3)) * 0x200000, 0);
        break;
    case TN_FRAMES: /* long answers: seldom */
        return below(16) ? TN_HELLO : op;
    case TN_AUDIT:
        return TN_INFO;
    default:
        break;
    }
    return op;
}

void fuzz_control(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t a[6] = { 0 }, len = 0, given = below(7);
        uint32_t op = (uint32_t)below(TN_OPS + 2);

        for (unsigned k = 0; k < given; k++) {
            a[k] = pick();
        }
        op = shape(op, a, &len);
        (void)control(below(50) ? op : (uint32_t)rnd(), a, len, NULL);
        if (this_cpu() == 0 && i % 1000 == 999) {
            say("  control calls: ");
            say_number(i + 1);
            say("\n");
        }
    }
}

void destroy_all(void)
{
    unsigned left = 1;

    for (unsigned round = 0; round < 2000 && left; round++) {
        left = 0;
        for (uint64_t id = 0; id < VMS; id++) {
            uint64_t a[6] = { id }, dev[6] = { 0x18 };

            (void)control(TN_VM_DESTROY, a, 0, NULL);
            (void)control(TN_DEV_RETURN, dev, 0, NULL);
            left += control(TN_VM_STAT, a, 0, NULL) == 0;
        }
    }
    check(left == 0, "every VM can be destroyed afterwards", "left:", left);
}
