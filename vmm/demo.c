/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon demo: the main job from end to end, and its table. */
#include "demo.h"

#include <errno.h>
#include <string.h>

static void print_intro(const struct demo *d)
{
    const struct tn_info *i = &d->info;
    printf(
        "Tenon %.16s: %u CPUs (%.32s, BBM level %u), SMMU stage 1 %s, stage 2 %s, BBM level %u\n",
        i->version, i->cpus, i->cpu, i->cpu_bbm, i->smmu_stage1 ? "yes" : "no",
        i->smmu_stage2 ? "yes" : "no", i->smmu_bbm);
    printf("Share mode %s%.96s\n", i->share_live ? "can change live" : "cannot change live: ",
           i->share_live ? "" : i->share_why);
}

/* Share mode, where the two walkers' rules allow no live change: refused, and the offer works. */
static void share_without_live(struct demo *d)
{
    const char *step;
    struct ctl *c = &d->c;
    if (!d->matrix) { /* the main configuration can, or its features were misread */
        check_add(&d->t, false, "share mode changes live", "yes (or say `demo matrix`)",
                  "no: %.56s", d->info.share_why);
        return;
    }
    int id = vm_create(c, 64 * MIB, TN_VM_SHARE, &step);
    check_add(&d->t, id == -EOPNOTSUPP && d->info.share_why[0], "share mode on this hardware",
              "refused with the reason", "%s: %.56s", id < 0 ? errno_name(id) : "allowed",
              d->info.share_why);
    if (id >= 0) {
        vm_destroy(c, (uint64_t)id);
    }
    if (d->info.smmu_stage2 && d->share) {
        const struct demo_vm precut = { "share, pre-cut", TN_VM_SHARE | TN_VM_PRECUT, d->share,
                                        d->share / 10 };
        demo_vm(d, &precut);
    }
}

static void print_results(const struct demo *d)
{
    check_print(&d->t, "RESULT");
    for (int i = 0; i < d->t.n; i++) {
        if (d->t.row[i].ok) {
            printf("TENON-PASS %s\n", d->t.row[i].name);
        } else {
            printf("TENON-FAIL %s: wanted %s, saw %s\n", d->t.row[i].name, d->t.row[i].want,
                   d->t.row[i].seen);
        }
    }
    printf("%llu conversions\n", (unsigned long long)d->done);
    printf("TENON-DEMO %s checks=%d failed=%d conversions=%llu\n", d->t.failed ? "FAILED" : "ok",
           d->t.n, d->t.failed, (unsigned long long)d->done);
}

static bool set_plan(struct demo *d, const char *word)
{
    if (!word) {
        return true;
    }
    d->host_bytes = 32 * MIB;
    if (strcmp(word, "short") == 0) {
        d->mirror = 20000;
        d->share = 5000;
        d->inplace = 5000;
        return true;
    }
    d->mirror = 50000;
    d->share = 50000;
    d->inplace = 5000;
    d->matrix = true;
    d->attacks = false;
    return strcmp(word, "matrix") == 0;
}

int cmd_demo(int argc, char **argv)
{
    static struct demo d = {
        .host_bytes = 256 * MIB,
        .mirror = 1000000,
        .share = 100000,
        .inplace = 100000,
        .vm_bytes = GIB,
        .attacks = true,
    };
    const uint64_t unset = UINT64_MAX;
    uint64_t conversions = unset;
    uint64_t share = unset;
    uint64_t inplace = unset;
    bool quick = false;
    bool no_host = false;
    bool no_vm = false;
    bool no_attacks = false;
    const struct arg args[] = {
        { "--quick", ARG_FLAG, &quick, NULL, "as `short`" },
        { "--conversions", ARG_NUMBER, &conversions, "N", "in mirror mode (1,000,000)" },
        { "--share", ARG_NUMBER, &share, "N", "conversions in share mode (100,000)" },
        { "--in-place", ARG_NUMBER, &inplace, "N", "conversions in place (100,000)" },
        { "--memory", ARG_SIZE, &d.vm_bytes, "SIZE", "of the VM (1G)" },
        { "--no-host", ARG_FLAG, &no_host, NULL, "leave out the host's disk" },
        { "--no-vm", ARG_FLAG, &no_vm, NULL, "leave out the VM under load" },
        { "--no-attacks", ARG_FLAG, &no_attacks, NULL, "leave out the attacks" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "demo",
        .synopsis = "[short|matrix] [options]",
        .about =
            "The whole demonstration: the host's disk in share and in mirror mode; a protected\n"
            "VM with its own NVMe disk, whose memory changes hands while its DMA runs; attacks.\n"
            "Ends with a table of every check, and with 0 only if all of them held.\n"
            "`short` is the same with small numbers; `matrix` what other hardware must do.",
        .args = args,
        .max = 1,
    };
    const char *word[1] = { NULL };
    args_parse(&cmd, argc, argv, word);
    if (!set_plan(&d, quick && !word[0] ? "short" : word[0])) {
        fprintf(stderr, "tenon demo: `%s`? It is `short`, `matrix` or nothing\n", word[0]);
        return EXIT_USAGE;
    }
    d.mirror = conversions != unset ? conversions : d.mirror;
    d.share = share != unset ? share : d.share;
    d.inplace = inplace != unset ? inplace : d.inplace;
    ctl_need(&d.c);
    int error = ctl_info(&d.c, &d.info);
    if (error) {
        return ui_refused(error, "info");
    }
    double start = now();
    print_intro(&d);
    if (!no_host) {
        demo_host(&d);
    }
    if (!no_vm) {
        const struct demo_vm mirror = { "mirror", 0, d.mirror, d.inplace };
        const struct demo_vm shared = { "share", TN_VM_SHARE, d.share, d.share / 10 };
        demo_vm(&d, &mirror);
        if (d.info.share_live) {
            demo_vm(&d, &shared);
        } else {
            share_without_live(&d);
        }
    }
    if (d.attacks && !no_attacks) {
        attack_all(&d.c, &d.t, NULL);
    }
    printf("\n%.0f s\n", now() - start);
    print_results(&d);
    return d.t.failed ? EXIT_FAILED : EXIT_OK;
}

int cmd_selftest(int argc, char **argv)
{
    static const struct command cmd = {
        .name = "selftest",
        .synopsis = "",
        .about = "The same as `tenon demo short`: everything, with small numbers.",
    };
    static char name[] = "demo";
    static char word[] = "short";
    char *args[] = { name, word, NULL };
    args_parse(&cmd, argc, argv, NULL);
    return cmd_demo(2, args);
}
