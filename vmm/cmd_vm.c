/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon vm create, list, stat, console, destroy. `vm run` is in cmd_run.c. */
#include "vmm.h"
#include "payload.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int vm_create_cmd(int argc, char **argv)
{
    uint64_t bytes = GIB;
    uint64_t arg = UINT64_MAX;
    uint64_t count = 100000;
    bool share = false;
    bool precut = false;
    bool single = false;
    bool open = false;
    const char *image = PAYLOAD_IMAGE;
    const struct arg args[] = {
        { "--memory", ARG_SIZE, &bytes, "SIZE", "multiple of 2M (1G)" },
        { "--image", ARG_TEXT, &image, "FILE", "loaded at 0x40000000 and entered there" },
        { "--count", ARG_NUMBER, &count, "N", "conversions that our payload asks for (100,000)" },
        { "--arg", ARG_NUMBER, &arg, "N", "for another image: the guest's first register (x0)" },
        { "--share", ARG_FLAG, &share, NULL, "CPU and SMMU walk one tree (default: a tree each)" },
        { "--precut", ARG_FLAG, &precut, NULL, "4K leaves from the start" },
        { "--single", ARG_FLAG, &single, NULL, "no separate shared pages: convert in place only" },
        { "--open", ARG_FLAG, &open, NULL, "do not seal: more may be populated" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "vm create",
        .synopsis = "[options]",
        .about =
            "Creates a protected VM: memory from the pool, zeroed; the image copied in; sealed.\n"
            "Prints `vm ID`. Afterwards: device take, vm run, vm destroy.",
        .args = args,
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    const char *step;
    ctl_need(&c);
    uint64_t flags =
        (share ? TN_VM_SHARE : 0) | (precut ? TN_VM_PRECUT : 0) | (single ? TN_VM_SINGLE : 0);
    int id = vm_create(&c, bytes, flags, &step);
    if (id < 0) {
        return ui_refused(id, "%s of a VM of %s%s", step, ui_size(bytes),
                          id == -EINVAL ? " (the size must be a multiple of 2M)" : "");
    }
    uint64_t len = 0;
    int error = vm_populate_file(&c, (uint64_t)id, TN_GUEST_RAM, image, &len);
    if (!error && !open) {
        error = vm_seal(&c, (uint64_t)id, TN_GUEST_RAM,
                        arg != UINT64_MAX ? arg : payload_load(count, count / 10, 0));
    }
    if (error) {
        ui_refused(error, "image %s", image);
        vm_destroy(&c, (uint64_t)id);
        return EXIT_FAILED;
    }
    printf("vm %d\n", id);
    return EXIT_OK;
}

static int vm_list_cmd(int argc, char **argv)
{
    static const struct command cmd = { .name = "vm list",
                                        .synopsis = "",
                                        .about = "Lists the VMs that exist." };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    ctl_need(&c);
    printf("id  state    memory    trees   pid    devices  conversions\n");
    for (uint64_t id = 0; id < MAX_VMS; id++) {
        struct tn_vm_stat s;
        if (ctl_stat(&c, id, &s) == 0 && s.state != TN_VM_FREE) {
            printf("%-3u %-8s %-9s %-7s %-6llu %-8u %s\n", s.id, vm_state_name(s.state),
                   ui_size(s.bytes), s.flags & TN_VM_SHARE ? "share" : "mirror",
                   (unsigned long long)s.owner, s.devices, ui_count(s.conversions));
        }
    }
    return EXIT_OK;
}

static int vm_stat_cmd(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "vm stat",
        .synopsis = "ID",
        .about = "Shows a VM's counters, its trees, and what its program reports.",
        .min = 1,
        .max = 1,
    };
    const char *word[1];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    struct tn_vm_stat s;
    uint64_t id = need_number(word[0], "a VM's number");
    ctl_need(&c);
    int result = ctl_stat(&c, id, &s);
    if (result != 0) {
        return ui_refused(result, "vm %llu (see `tenon vm list`)", (unsigned long long)id);
    }
    printf("vm %u: %s, %s, %s%s%s, VMID %u, %u devices, created by process %llu\n", s.id,
           vm_state_name(s.state), ui_size(s.bytes), s.flags & TN_VM_SHARE ? "share" : "mirror",
           s.flags & TN_VM_PRECUT ? ", pre-cut" : "", s.flags & TN_VM_SINGLE ? ", single" : "",
           s.vmid, s.devices, (unsigned long long)s.owner);
    printf("  conversions  %s, in place %s, requests %s, pending %s\n", ui_count(s.conversions),
           ui_count(s.conversions_inplace), ui_count(s.requests), ui_count(s.pending));
    printf("  CPU tree     %s x 1G, %s x 2M, %s x 4K in %s tables\n", ui_count(s.cpu_leaves[1]),
           ui_count(s.cpu_leaves[2]), ui_count(s.cpu_leaves[3]), ui_count(s.cpu_tables));
    printf("  I/O tree     %s x 1G, %s x 2M, %s x 4K in %s tables\n", ui_count(s.io_leaves[1]),
           ui_count(s.io_leaves[2]), ui_count(s.io_leaves[3]), ui_count(s.io_tables));
    printf("  changes      %s cuts, %s merges, %s refreshes, %s faults, %s exits\n",
           ui_count(s.cuts), ui_count(s.merges), ui_count(s.refreshes), ui_count(s.faults),
           ui_count(s.exits));
    load_print_report(&s);
    return EXIT_OK;
}

static int vm_console_cmd(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "vm console",
        .synopsis = "ID",
        .about = "Prints what the guest wrote since the last call.",
        .min = 1,
        .max = 1,
    };
    const char *word[1];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    uint64_t id = need_number(word[0], "a VM's number");
    ctl_need(&c);
    int result = vm_console_print(&c, id, "");
    return result < 0 ? ui_refused(result, "vm %llu", (unsigned long long)id) : EXIT_OK;
}

static int vm_destroy_cmd(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "vm destroy",
        .synopsis = "ID",
        .about =
            "Ends a VM: its memory is zeroed and goes back to the pool. Refused while it runs\n"
            "or holds a device (tenon device return first).",
        .min = 1,
        .max = 1,
    };
    const char *word[1];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    uint64_t id = need_number(word[0], "a VM's number");
    ctl_need(&c);
    int result = vm_destroy(&c, id);
    return result ? ui_refused(result, "destroy vm %llu%s", (unsigned long long)id,
                               result == -EBUSY
                                   ? " (stop `vm run`, and return its devices: `tenon device list`)"
                                   : "")
                  : EXIT_OK;
}

int cmd_vm(int argc, char **argv)
{
    static const struct subcommand list[] = {
        { "create", vm_create_cmd, "a new VM: memory, image, sealed" },
        { "run", vm_run_cmd, "run it and commit its conversion requests, with a live line" },
        { "list", vm_list_cmd, "the VMs that exist" },
        { "stat", vm_stat_cmd, "one VM's counters and trees" },
        { "console", vm_console_cmd, "what the guest wrote" },
        { "destroy", vm_destroy_cmd, "end it: zero and free its memory" },
    };
    return run_subcommand("vm", "Protected virtual machines.", list, COUNT(list), argc, argv);
}
