/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon device list, take, return. */
#include "vmm.h"

#include <errno.h>
#include <string.h>

static int device_list(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "device list",
        .synopsis = "",
        .about = "Lists the PCI devices, who has each, and whether a VM may have it (or why not).",
    };
    args_parse(&cmd, argc, argv, NULL);
    struct ctl c;
    static struct tn_device list[MAX_DEVICES];
    ctl_need(&c);
    int n = ctl_devices(&c, list, MAX_DEVICES);
    if (n < 0) {
        return ui_refused(n, "device list");
    }
    printf("device   vendor:id  class   stream  owner       driver      for a VM\n");
    for (int i = 0; i < n; i++) {
        char driver[32] = "-";
        pci_driver(list[i].bdf, driver, sizeof(driver));
        list[i].why_not[sizeof(list[i].why_not) - 1] = 0;
        printf("%-8s %04x:%04x  %06x  %#-6x  %-11s %-11s %s%s\n", ui_bdf(list[i].bdf),
               list[i].vendor, list[i].device, list[i].class_code, list[i].sid,
               ui_owner(list[i].owner), driver,
               list[i].assignable ? "yes" : "no: ", list[i].assignable ? "" : list[i].why_not);
    }
    return EXIT_OK;
}

/* What the user can do about a refusal. */
static const char *advice(int result)
{
    switch (result) {
    case -ENODEV:
        return " (not assignable: `tenon device list` says why)";
    case -EBUSY:
        return " (another VM has it, or it runs: see `tenon device list`, `tenon vm list`)";
    case -ENOENT:
        return " (no such VM or device: see `tenon vm list`)";
    default:
        return "";
    }
}

static int device_take(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "device take",
        .synopsis = "DEVICE VM",
        .about =
            "Takes a PCI device from the host and gives it to a VM: its host driver is unbound,\n"
            "its DMA stopped, the function reset; its registers and configuration space leave\n"
            "the host. Example: tenon device take 00:03.0 0",
        .min = 2,
        .max = 2,
    };
    const char *word[2];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    uint32_t bdf = (uint32_t)need_bdf(word[0]);
    uint64_t vm = need_number(word[1], "a VM's number");
    ctl_need(&c);
    int result = vm_take(&c, bdf, vm);
    return result ? ui_refused(result, "take %s for vm %llu%s", ui_bdf(bdf), (unsigned long long)vm,
                               advice(result))
                  : EXIT_OK;
}

static int device_return(int argc, char **argv)
{
    const char *driver = NULL;
    const struct arg args[] = {
        { "--driver", ARG_TEXT, &driver, "NAME", "bind this host driver afterwards, e.g. nvme" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "device return",
        .synopsis = "DEVICE [--driver NAME]",
        .about = "Takes a device back from its VM: stopped, reset, and the host's again.",
        .args = args,
        .min = 1,
        .max = 1,
    };
    const char *word[1];
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    uint32_t bdf = (uint32_t)need_bdf(word[0]);
    ctl_need(&c);
    int result = vm_return(&c, bdf, driver);
    return result ? ui_refused(result, "return %s%s", ui_bdf(bdf), advice(result)) : EXIT_OK;
}

int cmd_device(int argc, char **argv)
{
    static const struct subcommand list[] = {
        { "list", device_list, "all PCI devices, and who has them" },
        { "take", device_take, "from the host to a VM" },
        { "return", device_return, "from a VM back to the host" },
    };
    return run_subcommand("device", "PCI devices: the host's, or a VM's.", list, COUNT(list), argc,
                          argv);
}
