/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon info, log, events, audit, host mode. */
#include "vmm.h"

#include <errno.h>
#include <string.h>

static const char *yes_no(uint32_t v)
{
    return v ? "yes" : "no";
}

static void print_leaves(const char *name, const uint64_t leaves[4], uint64_t tables)
{
    printf("    %-22s %s x 1G, %s x 2M, %s x 4K in %s tables (%s)\n", name, ui_count(leaves[1]),
           ui_count(leaves[2]), ui_count(leaves[3]), ui_count(tables), ui_size(tables * PAGE));
}

static void print_range(const char *name, uint64_t base, uint64_t bytes)
{
    printf("    %-12s %#12llx .. %#12llx  %s\n", name, (unsigned long long)base,
           (unsigned long long)(base + bytes), ui_size(bytes));
}

int cmd_info(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "info",
        .synopsis = "",
        .about =
            "Shows the hypervisor's version, what the CPUs and the SMMU can do, how memory is\n"
            "divided, and the host's own tables. `BBM level` is the break-before-make level:\n"
            "2 means that a live leaf may be cut and merged without a moment's hole.",
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    struct tn_info i;
    ctl_need(&c);
    int result = ctl_info(&c, &i);
    if (result != 0) {
        return ui_refused(result, "info");
    }
    i.version[sizeof(i.version) - 1] = 0;
    i.share_why[sizeof(i.share_why) - 1] = 0;
    i.cpu[sizeof(i.cpu) - 1] = 0;
    printf("Tenon %s, up %.1f s, mailbox slot %u\n", i.version, (double)i.uptime_ns * 1e-9, c.nr);
    printf("  CPUs         %u x %s: BBM level %u, hardware dirty %s, %u-bit VMIDs\n", i.cpus, i.cpu,
           i.cpu_bbm, yes_no(i.cpu_hw_dirty), i.vmid_bits);
    printf("  SMMU         stage 1 %s, stage 2 %s, BBM level %u, hardware dirty %s\n",
           yes_no(i.smmu_stage1), yes_no(i.smmu_stage2), i.smmu_bbm, yes_no(i.smmu_hw_dirty));
    printf("  Share mode   %s%s\n", i.share_live ? "can change live" : "cannot change live: ",
           i.share_live ? "" : i.share_why);
    printf("  VMs          %u running or waiting, devices %u, DMA events %s\n", i.vms, i.devices,
           ui_count(i.events));
    printf("  Memory\n");
    print_range("RAM", i.ram_base, i.ram_bytes);
    print_range("hypervisor", i.ram_base, i.hyp_bytes);
    print_range("host", i.host_base, i.host_bytes);
    print_range("pool", i.pool_base, i.pool_bytes);
    printf("    free: %s of guest memory, %s table pages\n", ui_size(i.chunks_free << CHUNK_SHIFT),
           ui_count(i.tables_free));
    printf("  Host's trees (I/O in %s mode)\n", i.host_mode == 1   ? "share"
                                                : i.host_mode == 2 ? "mirror"
                                                                   : "unknown");
    print_leaves("CPU", i.host_cpu_leaves, i.host_cpu_tables);
    print_leaves("I/O", i.host_io_leaves, i.host_io_tables);
    return EXIT_OK;
}

int cmd_log(int argc, char **argv)
{
    bool previous = false;
    const struct arg args[] = {
        { "--previous", ARG_FLAG, &previous, NULL,
          "the boot before this one (a warm reset keeps it)" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "log",
        .synopsis = "[--previous]",
        .about =
            "Prints the hypervisor's own log. It lives in the hypervisor's memory and survives a\n"
            "crash of the host.",
        .args = args,
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    ctl_need(&c);
    static char text[TN_DATA_SIZE];
    uint64_t offset = 0;
    for (;;) {
        struct reply r;
        CTL(&c, &r, TN_LOG, previous, offset);
        if (r.result != 0) {
            return ui_refused(r.result, "log");
        }
        if (r.len == 0 || r.out[0] <= offset) {
            if (offset == 0) {
                printf(previous ? "(no log of a previous boot)\n" : "(empty)\n");
            }
            return EXIT_OK;
        }
        ctl_get(&c, text, 0, r.len);
        fwrite(text, 1, r.len, stdout);
        offset = r.out[0];
    }
}

int cmd_events(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "events",
        .synopsis = "",
        .about = "Prints the DMA faults that nobody has read yet: which device, whose it was, and\n"
                 "where it reached. Reading them takes them out of the queue; the total stays.",
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    ctl_need(&c);
    static struct tn_event list[TN_DATA_SIZE / sizeof(struct tn_event)];
    uint64_t total = 0;
    int n;
    do {
        n = ctl_events(&c, list, (int)COUNT(list), &total);
        if (n < 0) {
            return ui_refused(n, "events");
        }
        for (int i = 0; i < n; i++) {
            list[i].what[sizeof(list[i].what) - 1] = 0;
            printf("%10.3f s  %s (%s)  %-5s %#llx  %s (%#x)\n", (double)list[i].time_ns * 1e-9,
                   ui_bdf(list[i].sid), ui_owner(list[i].owner), list[i].write ? "write" : "read",
                   (unsigned long long)list[i].addr, list[i].what, list[i].type);
        }
    } while (n == (int)COUNT(list));
    printf("%s events since boot\n", ui_count(total));
    return EXIT_OK;
}

int cmd_audit(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "audit",
        .synopsis = "",
        .about = "Walks every table of the CPUs and of the SMMU and checks each leaf against the\n"
                 "owner of its frame. Ends with 1 if anything is mapped that should not be.",
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    struct audit_result a;
    ctl_need(&c);
    int result = ctl_audit(&c, &a);
    if (result != 0) {
        return ui_refused(result, "audit");
    }
    printf("%s frames, %s leaves, %s table pages checked: %s violations (digest %016llx)\n",
           ui_count(a.frames), ui_count(a.leaves), ui_count(a.tables), ui_count(a.violations),
           (unsigned long long)a.digest);
    if (a.violations) {
        printf("first: %s\n", a.first);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static int host_mode(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "host mode",
        .synopsis = "[share|mirror]",
        .about =
            "Which tree the host's devices walk: the CPUs' own stage 2 (share) or one of their\n"
            "own that holds the same (mirror). Changed while DMA runs, without a gap.",
        .max = 1,
    };
    const char *word[1] = { NULL };
    args_parse(&cmd, argc, argv, word);
    uint64_t mode = 0;
    if (word[0]) {
        mode = strcmp(word[0], "share") == 0 ? 1 : strcmp(word[0], "mirror") == 0 ? 2 : 3;
        if (mode == 3) {
            fprintf(stderr, "tenon host mode: say `share` or `mirror`, not `%s`\n", word[0]);
            return EXIT_USAGE;
        }
    }
    struct ctl c;
    struct reply r;
    ctl_need(&c);
    if (CTL(&c, &r, TN_HOST_MODE, mode) != 0) {
        struct tn_info i;
        ctl_info(&c, &i);
        return ui_refused(r.result, "host mode %s%s%.96s", word[0] ? word[0] : "",
                          i.share_why[0] ? ": " : "", i.share_why);
    }
    printf("%s\n", r.out[0] == 1 ? "share" : "mirror");
    return EXIT_OK;
}

int cmd_host(int argc, char **argv)
{
    static const struct subcommand list[] = {
        { "mode", host_mode, "ask for, or set, share or mirror mode" },
    };
    return run_subcommand("host", "The host's own I/O domain.", list, COUNT(list), argc, argv);
}
