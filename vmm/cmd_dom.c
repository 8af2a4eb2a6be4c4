/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon dom: the host's own I/O domains (requirements E1), one call each. */
#include "vmm.h"

#include <string.h>

struct dom_call {
    const char *name, *synopsis, *about;
    uint32_t op;
    int words;
    bool prints; /* out0 */
};

static const struct dom_call calls[] = {
    { "alloc", "", "A new, empty domain. Prints its number.", TN_DOM_ALLOC, 0, true },
    { "free", "DOMAIN", "Ends a domain. Refused while devices are attached or pages mapped.",
      TN_DOM_FREE, 1, false },
    { "attach", "DOMAIN DEVICE", "Lets a host's device walk this domain's tree.", TN_DOM_ATTACH, 2,
      false },
    { "detach", "DOMAIN DEVICE", "Back to the host's own domain.", TN_DOM_DETACH, 2, false },
    { "map", "DOMAIN IOVA PHYS SIZE [r|w|rw]",
      "Maps host memory for DMA and pins it: it cannot be donated or unshared until unmapped.",
      TN_DOM_MAP, 4, false },
    { "unmap", "DOMAIN IOVA SIZE", "Unmaps, waits for the invalidation, and unpins.", TN_DOM_UNMAP,
      3, false },
    { "iova", "DOMAIN IOVA", "Prints the physical address that an I/O address leads to.",
      TN_DOM_IOVA, 2, true },
};

static bool rights(const char *s, uint64_t *value)
{
    *value = strcmp(s, "r") == 0 ? 1 : strcmp(s, "w") == 0 ? 2 : strcmp(s, "rw") == 0 ? 3 : 0;
    return *value != 0;
}

static uint64_t dom_arg(const struct dom_call *d, int i, const char *word)
{
    bool device = i == 1 && (d->op == TN_DOM_ATTACH || d->op == TN_DOM_DETACH);
    return device ? need_bdf(word) : need_size(word, "a number or size");
}

static int dom_run(int argc, char **argv)
{
    const struct dom_call *d = calls;
    while (strcmp(d->name, argv[0]) != 0) {
        d++;
    }
    char name[24];
    snprintf(name, sizeof(name), "dom %s", d->name);
    const struct command cmd = {
        .name = name,
        .synopsis = d->synopsis,
        .about = d->about,
        .min = d->words,
        .max = d->op == TN_DOM_MAP ? d->words + 1 : d->words,
    };
    const char *word[5] = { NULL };
    uint64_t arg[6] = { 0 };
    args_parse(&cmd, argc, argv, word);
    for (int i = 0; i < d->words; i++) {
        arg[i] = dom_arg(d, i, word[i]);
    }
    if (d->op == TN_DOM_MAP && !rights(word[4] ? word[4] : "rw", &arg[4])) {
        fprintf(stderr, "tenon: rights are r, w or rw, not `%s`\n", word[4]);
        return EXIT_USAGE;
    }
    struct ctl c;
    struct reply r;
    ctl_need(&c);
    if (ctl_finish(&c, &r, d->op, arg, d->name) != 0) {
        return ui_refused(r.result, "%s", name);
    }
    if (d->prints) {
        printf(d->op == TN_DOM_IOVA ? "%#llx\n" : "%llu\n", (unsigned long long)r.out[0]);
    }
    return EXIT_OK;
}

int cmd_dom(int argc, char **argv)
{
    struct subcommand list[COUNT(calls)];
    for (size_t i = 0; i < COUNT(calls); i++) {
        list[i] = (struct subcommand){ calls[i].name, dom_run, calls[i].synopsis };
    }
    return run_subcommand("dom",
                          "The host's own I/O domains: which of its memory a device may reach,\n"
                          "and where. Each mapping pins its pages.",
                          list, COUNT(list), argc, argv);
}
