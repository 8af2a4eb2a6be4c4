/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's command-line program: which command, and what there is. */
#include "vmm.h"

#include <stdlib.h>
#include <string.h>

static const struct subcommand commands[] = {
    { "info", cmd_info, "what hardware there is, and what the hypervisor made of it" },
    { "vm", cmd_vm, "create, run, list, stat, console, destroy" },
    { "device", cmd_device, "list, take, return: PCI devices and who has them" },
    { "mem", cmd_mem, "show (leaf sizes, private/shared, owner, pins; --svg), convert" },
    { "log", cmd_log, "the hypervisor's log, of this boot or the previous one" },
    { "events", cmd_events, "DMA that the SMMU refused, in plain words" },
    { "audit", cmd_audit, "check every table against the ownership of every frame" },
    { "host", cmd_host, "mode share|mirror: which tree the host's devices walk" },
    { "dom", cmd_dom, "the host's own I/O domains: alloc, attach, map, ..." },
    { "demo", cmd_demo, "the whole demonstration, with a table at the end" },
    { "attack", cmd_attack, "attack the hypervisor, and check that nothing moved" },
    { "mutant", cmd_mutant, "the same load, until a check catches a wrong hypervisor" },
    { "bench", cmd_bench, "measurements, as lines for `make bench`" },
    { "selftest", cmd_selftest, "two minutes of everything, for `make test`" },
};

int main(int argc, char **argv)
{
    const char *live = getenv("TENON_LIVE");
    ui_live = live && strcmp(live, "1") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    FILE *to = asked ? stdout : stderr;
    if (!asked && *name) {
        fprintf(to, "tenon: no such command: %s\n", name);
    }
    fputs("usage: tenon COMMAND ...\n\n"
          "Runs protected VMs under the Tenon hypervisor, gives them devices, and shows which\n"
          "memory belongs to whom. Needs root: it reaches the hypervisor through /dev/mem.\n\n",
          to);
    for (size_t i = 0; i < COUNT(commands); i++) {
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].brief);
    }
    fputs("\n`tenon COMMAND --help` explains each. To begin: tenon info\n"
          "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 hypervisor not reached.\n",
          to);
    return asked ? EXIT_OK : EXIT_USAGE;
}
