/* SPDX-License-Identifier: BSD-2-Clause */
/* Attacks from inside a VM: programs of our payload, each in a VM of its own. */
#include "attack.h"
#include "payload.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define SMALL (64 * MIB)

struct program_run {
    struct load load;
    uint64_t vm;
    int steps; /* times that it yielded */
    int error;
};

/* A VM with this program, run until it stops or faults; commits what it asks for. */
static bool run_program(struct arena *a, enum payload_program program, uint64_t count,
                        struct program_run *p)
{
    const char *step;
    uint64_t len;
    memset(p, 0, sizeof(*p));
    int id = vm_create(&a->c, SMALL, 0, &step);
    p->error = id < 0 ? id : 0;
    if (id < 0) {
        return false;
    }
    p->vm = (uint64_t)id;
    p->error = vm_populate_file(&a->c, p->vm, TN_GUEST_RAM, PAYLOAD_IMAGE, &len);
    if (!p->error) {
        p->error = vm_seal(&a->c, p->vm, TN_GUEST_RAM, payload_program(program, 0, count));
    }
    p->load = (struct load){ .vm = p->vm, .run_cpu = 1, .owner_cpu = 0, .limit = 15 };
    /* The wild ones make more requests than may be pending, and take each back themselves. */
    p->load.commit = program != PAYLOAD_WILD && program != PAYLOAD_FOREIGN;
    while (!p->error) {
        p->error = load_run(&a->c, &p->load);
        if (p->error || p->load.end != LOAD_YIELD) {
            break;
        }
        p->steps++;
    }
    return p->error == 0;
}

static bool end_program(struct arena *a, struct program_run *p, bool good)
{
    int error = vm_destroy(&a->c, p->vm);
    return error ? saw(a, false, "destroy: %s", errno_name(error)) : good;
}

static bool ended_well(struct arena *a, struct program_run *p)
{
    struct load_report r = load_report(&p->load.after);
    bool good = p->load.end == LOAD_OFF && p->load.value == 0 && r.unexpected == 0;
    saw(a, good, "%s %#llx, %llu wrong answers%s", p->load.end == LOAD_OFF ? "off" : "end",
        (unsigned long long)p->load.value, (unsigned long long)r.unexpected,
        r.unexpected ? ui_format(" (call %#llx: %lld)", (unsigned long long)r.last_call,
                                 (long long)r.last_result)
                     : "");
    return end_program(a, p, good);
}

/* The count of one CPU's timer interrupts. */
static uint64_t timer_ticks(int cpu)
{
    static char text[16384];
    uint64_t n = 0;
    if (host_read_file("/proc/interrupts", text, sizeof(text)) != 0) {
        return 0;
    }
    char *save;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *words;
        if (!strstr(line, "arch_timer")) {
            continue;
        }
        strtok_r(line, ": ", &words);
        for (int i = 0; i <= cpu; i++) {
            const char *w = strtok_r(NULL, " ", &words);
            n = 0;
            if (!w || !parse_number(w, &n)) {
                break;
            }
        }
    }
    return n;
}

static bool steals_timer(struct arena *a, const struct attack *self)
{
    struct program_run p;
    (void)self;
    uint64_t before = timer_ticks(1);
    double start = now();
    if (!run_program(a, PAYLOAD_TIMER, 0, &p)) {
        return saw(a, false, "no VM: %s", errno_name(p.error));
    }
    double seconds = now() - start;
    uint64_t ticks = timer_ticks(1) - before;
    /* The kernel ticks at least 100 times a second on a CPU that is busy. */
    bool good = p.load.end == LOAD_OFF && (double)ticks >= 50 * p.load.seconds;
    saw(a, good, "%llu host ticks in %.1f s%s", (unsigned long long)ticks, seconds,
        p.load.end == LOAD_OFF ? "" : ", and it does not end");
    return end_program(a, &p, good);
}

static bool calls_wildly(struct arena *a, const struct attack *self)
{
    struct program_run p;
    (void)self;
    return run_program(a, PAYLOAD_WILD, 0, &p) ? ended_well(a, &p)
                                               : saw(a, false, "no VM: %s", errno_name(p.error));
}

static bool shares_foreign(struct arena *a, const struct attack *self)
{
    struct program_run p;
    (void)self;
    return run_program(a, PAYLOAD_FOREIGN, 0, &p) ? ended_well(a, &p)
                                                  : saw(a, false, "no VM: %s", errno_name(p.error));
}

/* It ends with a touch that leaves the VM with TN_EXIT_FAULT, and never before. */
static bool touches_given_up(struct arena *a, const struct attack *self)
{
    struct program_run p;
    (void)self;
    if (!run_program(a, PAYLOAD_GAVEUP, 0, &p)) {
        return saw(a, false, "no VM: %s", errno_name(p.error));
    }
    struct load_report r = load_report(&p.load.after);
    bool good = p.load.end == LOAD_FAULT && r.unexpected == 0;
    saw(a, good, "%s at %#llx, %llu wrong answers", good ? "fault" : "end",
        (unsigned long long)p.load.value, (unsigned long long)r.unexpected);
    return end_program(a, &p, good);
}

/* Pages in use by the host while shared come back to the VM as it left them. */
static bool shares_one(struct arena *a, const struct attack *self)
{
    struct program_run p;
    (void)self;
    if (!run_program(a, PAYLOAD_SHARE1, 0, &p)) {
        return saw(a, false, "no VM: %s", errno_name(p.error));
    }
    struct load_report r = load_report(&p.load.after);
    bool good = p.steps == 2 && r.wrong_cpu == 0 && r.unexpected == 0;
    saw(a, good, "%d steps, %llu wrong words, %llu wrong answers", p.steps,
        (unsigned long long)r.wrong_cpu, (unsigned long long)r.unexpected);
    return end_program(a, &p, good);
}

#define VM(name, want, fn)                       \
    {                                            \
        "vm", name, want, fn, 0, 0, { 0 }, false \
    }

const struct attack attacks_vm[] = {
    VM("masks interrupts, rewrites the timers", "the host ticks on", steals_timer),
    VM("wild hypercalls, SMCs and PSCI", "each its documented error", calls_wildly),
    VM("shares what it does not own", "each its documented error", shares_foreign),
    VM("touches what it gave up", "one fault, told to its owner", touches_given_up),
    VM("shares in place and takes back", "content kept", shares_one),
};
const size_t attacks_vm_n = COUNT(attacks_vm);
