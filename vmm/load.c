/* SPDX-License-Identifier: BSD-2-Clause */
/* Running a VM under load (load.h). */
#include "load.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define RUN_SLICE_US 100000u /* a run ends at the host's next interrupt anyway */
#define IDLE_US      200u
#define LOOK_EVERY   0.2 /* seconds between looks at the counters */

static void *runner_main(void *arg)
{
    struct load *l = arg;
    host_pin(l->run_cpu);
    int end = LOAD_GOING;
    while (end == LOAD_GOING && !atomic_load(&l->stopping)) {
        struct reply r;
        CTL(&l->runner, &r, TN_VM_RUN, l->vm, 0, RUN_SLICE_US);
        l->runs++;
        if (r.result == -EAGAIN || (r.result == 0 && r.out[0] == TN_EXIT_INTERRUPTED)) {
            continue;
        }
        l->value = r.result ? (uint64_t)(int64_t)r.result : r.out[1];
        end = r.result                    ? LOAD_ERROR
              : r.out[0] == TN_EXIT_YIELD ? LOAD_YIELD
              : r.out[0] == TN_EXIT_OFF   ? LOAD_OFF
              : r.out[0] == TN_EXIT_FAULT ? LOAD_FAULT
                                          : LOAD_UNHANDLED;
    }
    atomic_store(&l->state, end == LOAD_GOING ? LOAD_TIME : end);
    return NULL;
}

/* The order of the requests says nothing about the order of the commits. */
static void shuffle(struct tn_pending *list, int n, uint64_t *seed)
{
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(random64(seed) % (uint64_t)(i + 1));
        struct tn_pending t = list[i];
        list[i] = list[j];
        list[j] = t;
    }
}

static void commit_pending(struct load *l, uint64_t *seed)
{
    struct tn_pending list[TN_GUEST_PENDING_MAX];
    int n = ctl_pending(l->owner, l->vm, list, (int)COUNT(list));
    l->polls++;
    if (n <= 0) {
        l->idle++;
        usleep(IDLE_US); /* leave this core to the machine's devices */
        return;
    }
    shuffle(list, n, seed);
    for (int i = 0; i < n; i++) {
        struct reply r;
        do {
            CTL(l->owner, &r, TN_VM_COMMIT, l->vm, list[i].id);
        } while (r.result == -EAGAIN);
        if (r.result == 0) {
            l->commits++;
        } else if (r.result != -ENOENT) { /* the guest may have cancelled it meanwhile */
            /* Not now, or not on this hardware: its program goes on without. */
            l->refused++;
            l->refused_with = r.result;
            CTL(l->owner, &r, TN_VM_REJECT, l->vm, list[i].id);
        }
    }
}

static void read_events(struct load *l)
{
    struct tn_event list[64];
    int n;
    while ((n = ctl_events(l->owner, list, (int)COUNT(list), NULL)) > 0) {
        if (l->events == 0) {
            list[0].what[sizeof(list[0].what) - 1] = 0;
            snprintf(l->first_event, sizeof(l->first_event), "%s %s %#llx: %s", ui_bdf(list[0].sid),
                     list[0].write ? "write" : "read", (unsigned long long)list[0].addr,
                     list[0].what);
        }
        l->events += (uint64_t)n;
        if (n < (int)COUNT(list)) {
            break;
        }
    }
}

/* The first check that fails, by name; NULL while all hold. */
static const char *failed_check(const struct load *l, const struct tn_vm_stat *s)
{
    struct load_report now_ = load_report(s);
    struct load_report then = load_report(&l->before);
    if (l->events) {
        return "smmu-event";
    }
    /* One mistake is soon seen in both ways: it is named after the first wrong word. */
    if (now_.wrong_dma > then.wrong_dma || now_.wrong_cpu > then.wrong_cpu) {
        return now_.first_by_cpu ? "wrong-bytes-cpu" : "wrong-bytes-dma";
    }
    if (now_.errors > then.errors) {
        return "nvme-error";
    }
    if (now_.faults > then.faults) {
        return "cpu-fault";
    }
    if (l->refused) {
        return "commit-refused";
    }
    return NULL;
}

static void show(const struct load *l, const struct tn_vm_stat *s, double seconds, double rate)
{
    struct load_report r = load_report(s);
    struct load_report b = load_report(&l->before);
    ui_progress("  %s %5.0f s  %s conversions (%s in place), %s/s, NVMe %.0f MB/s, %llu events, "
                "%llu errors, %llu wrong, %llu refused",
                l->label, seconds, ui_count(s->conversions), ui_count(s->conversions_inplace),
                ui_count((uint64_t)rate), (double)(r.bytes - b.bytes) / 1e6 / seconds,
                (unsigned long long)l->events, (unsigned long long)r.errors,
                (unsigned long long)(r.wrong_dma + r.wrong_cpu), (unsigned long long)l->refused);
}

static void owner_loop(struct load *l)
{
    uint64_t seed = (uint64_t)(now() * 1e9) | 1;
    double start = now();
    double look = start + LOOK_EVERY;
    double moved = start;
    uint64_t last = l->commits;
    while (atomic_load(&l->state) == LOAD_GOING) {
        if (l->commit) {
            commit_pending(l, &seed);
        } else {
            usleep(2000);
        }
        double t = now();
        if (t < look) {
            continue;
        }
        struct tn_vm_stat s;
        ctl_stat(l->owner, l->vm, &s);
        read_events(l);
        if (l->console) {
            vm_console_print(l->owner, l->vm, l->console);
        }
        if (l->label) {
            show(l, &s, t - start, (double)l->commits / (t - start));
        }
        moved = l->commits > last ? t : moved;
        last = l->commits;
        look = t + LOOK_EVERY;
        const char *bad = l->watch ? failed_check(l, &s) : NULL;
        if (bad) {
            snprintf(l->caught, sizeof(l->caught), "%s", bad);
            l->end = LOAD_CHECK;
            return;
        }
        if ((l->limit > 0 && t - start > l->limit) || (l->stall > 0 && t - moved > l->stall)) {
            l->end = LOAD_TIME;
            return;
        }
    }
    l->end = (enum load_end)atomic_load(&l->state);
}

int load_run(struct ctl *c, struct load *l)
{
    char why[256];
    pthread_t thread;
    l->owner = c;
    l->end = LOAD_GOING;
    l->commits = l->refused = l->runs = l->polls = l->idle = l->events = 0;
    l->caught[0] = l->first_event[0] = 0;
    atomic_store(&l->stopping, 0);
    atomic_store(&l->state, LOAD_GOING);
    int error = ctl_stat(c, l->vm, &l->before);
    if (error) {
        return error;
    }
    if (ctl_open(&l->runner, why, sizeof(why)) != 0) {
        return -EBUSY;
    }
    double start = now();
    if (pthread_create(&thread, NULL, runner_main, l) != 0) {
        ctl_close(&l->runner);
        return -EAGAIN;
    }
    host_pin(l->owner_cpu);
    owner_loop(l);
    atomic_store(&l->stopping, 1);
    pthread_join(thread, NULL);
    usleep(3000); /* an interrupted VM counts as running for a millisecond */
    ui_progress_end();
    l->seconds = now() - start;
    ctl_close(&l->runner);
    read_events(l);
    ctl_stat(c, l->vm, &l->after);
    if (l->console) {
        vm_console_print(c, l->vm, l->console);
    }
    const char *bad = l->watch && l->end != LOAD_CHECK ? failed_check(l, &l->after) : NULL;
    if (l->watch && !bad && l->end == LOAD_FAULT) {
        bad = "cpu-fault";
    }
    if (bad) {
        snprintf(l->caught, sizeof(l->caught), "%s", bad);
        l->end = LOAD_CHECK;
    }
    return 0;
}

/* ---- tenon vm run ---- */

static int run_result(const struct load *l)
{
    printf("vm %llu %s after %.1f s: ", (unsigned long long)l->vm,
           l->end == LOAD_OFF         ? "stopped"
           : l->end == LOAD_YIELD     ? "asks for its owner"
           : l->end == LOAD_FAULT     ? "touched what it may not"
           : l->end == LOAD_UNHANDLED ? "ran an instruction that is not emulated"
           : l->end == LOAD_ERROR     ? "cannot be run"
                                      : "is still running",
           l->seconds);
    if (l->end == LOAD_ERROR) {
        printf("%s (%s)\n", errno_text((int)(int64_t)l->value), errno_name((int)(int64_t)l->value));
    } else {
        printf("value %#llx\n", (unsigned long long)l->value);
    }
    printf("%s conversions committed, %s refused%s%s, %s DMA faults%s%s\n", ui_count(l->commits),
           ui_count(l->refused), l->refused ? ", last with " : "",
           l->refused ? errno_name(l->refused_with) : "", ui_count(l->events),
           l->events ? ", first: " : "", l->first_event);
    load_print_report(&l->after);
    bool good =
        l->end == LOAD_TIME || l->end == LOAD_YIELD || (l->end == LOAD_OFF && l->value == 0);
    return good ? EXIT_OK : EXIT_FAILED;
}

int vm_run_cmd(int argc, char **argv)
{
    uint64_t seconds = 0;
    uint64_t cpu = 1;
    uint64_t owner_cpu = 0;
    bool hold = false;
    bool on = false;
    const struct arg args[] = {
        { "--seconds", ARG_NUMBER, &seconds, "N", "stop after this long (until it stops itself)" },
        { "--cpu", ARG_NUMBER, &cpu, "N", "host CPU that runs the vCPU (1)" },
        { "--owner-cpu", ARG_NUMBER, &owner_cpu, "N", "host CPU that commits conversions (0)" },
        { "--hold", ARG_FLAG, &hold, NULL, "commit nothing: leave requests to `mem convert`" },
        { "--through-yields", ARG_FLAG, &on, NULL, "go on when the guest asks for its owner" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "vm run",
        .synopsis = "ID [options]",
        .about = "Runs a VM's vCPU on one CPU, commits what it asks to convert from another, and\n"
                 "shows a live line. Ends when the guest stops, faults, or asks for its owner.",
        .args = args,
        .min = 1,
        .max = 1,
    };
    const char *word[1];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    struct load l = {
        .vm = need_number(word[0], "a VM's number"),
        .run_cpu = (int)cpu,
        .owner_cpu = (int)owner_cpu,
        .commit = !hold,
        .limit = (double)seconds,
        .label = "running",
        .console = "  guest: ",
    };
    ctl_need(&c);
    do {
        int error = load_run(&c, &l);
        if (error) {
            return ui_refused(error, "vm %llu (see `tenon vm list`)", (unsigned long long)l.vm);
        }
    } while (on && l.end == LOAD_YIELD);
    return run_result(&l);
}
