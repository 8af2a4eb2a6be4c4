/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon attack: sets the scene, runs each attack, and judges the state after it. */
#include "attack.h"
#include "payload.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool saw(struct arena *a, bool ok, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(a->seen, sizeof(a->seen), fmt, ap);
    va_end(ap);
    return ok;
}

bool saw_error(struct arena *a, int got, int want)
{
    return saw(a, got == want, "%s", errno_name(got));
}

uint64_t attack_arg(const struct arena *a, uint64_t value)
{
    switch (value) {
    case ARG_A:
        return a->a;
    case ARG_B:
        return a->b;
    case ARG_A_PA:
        return a->a_pa;
    case ARG_HYP:
        return a->info.ram_base + 2 * MIB;
    case ARG_DISK:
        return a->disk;
    case ARG_EDU:
        return a->edu.bdf;
    case ARG_BEHIND:
        return a->behind;
    case ARG_BRIDGE:
        return a->bridge;
    case ARG_HOST_PA:
        return a->info.host_base + 16 * MIB;
    default:
        return value;
    }
}

bool attack_call(struct arena *a, const struct attack *self)
{
    uint64_t arg[6];
    struct reply r;
    for (int i = 0; i < 6; i++) {
        arg[i] = attack_arg(a, self->arg[i]);
    }
    return saw_error(a, ctl_call(&a->c, &r, self->op, arg), self->error);
}

/* ---- the scene ---- */

static int populate_secret(struct arena *a)
{
    uint64_t page[PAGE / 8];
    for (size_t i = 0; i < COUNT(page); i++) {
        page[i] = SECRET;
    }
    return vm_populate(&a->c, a->b, B_SECRET, page, sizeof(page));
}

/* VM A, launched, with the disk. */
static bool make_a(struct arena *a, const char **step, int *error)
{
    uint64_t len;
    int id = vm_create(&a->c, A_BYTES, 0, step);
    *error = id;
    if (id < 0) {
        return false;
    }
    a->a = (uint64_t)id;
    *step = "image";
    if ((*error = vm_populate_file(&a->c, a->a, TN_GUEST_RAM, PAYLOAD_IMAGE, &len)) != 0) {
        return false;
    }
    *step = "seal";
    if ((*error = vm_seal(&a->c, a->a, TN_GUEST_RAM, payload_program(PAYLOAD_DMA, 0, 0))) != 0) {
        return false;
    }
    *step = "take the disk";
    *error = vm_take(&a->c, a->disk, a->a);
    return *error == 0;
}

static uint64_t frame_at(const struct mem_list *mem, uint64_t gpa)
{
    for (size_t i = 0; i < mem->n; i++) {
        if (gpa - mem->run[i].gpa < mem->run[i].bytes) {
            return mem->run[i].pa + (gpa - mem->run[i].gpa);
        }
    }
    return 0;
}

static bool make_vms(struct arena *a, const char **step, int *error)
{
    struct mem_list mem;
    if (!make_a(a, step, error)) {
        return false;
    }
    int id = vm_create(&a->c, B_BYTES, 0, step);
    *error = id;
    if (id < 0) {
        return false;
    }
    a->b = (uint64_t)id;
    *step = "secret";
    if ((*error = populate_secret(a)) != 0) {
        return false;
    }
    *step = "memory map";
    if ((*error = mem_read(&a->c, a->a, &mem)) != 0 || mem.n == 0) {
        return false;
    }
    a->a_pa = frame_at(&mem, TN_GUEST_RAM);
    free(mem.run);
    if ((*error = mem_read(&a->c, a->b, &mem)) != 0 || mem.n == 0) {
        return false;
    }
    a->b_pa = frame_at(&mem, B_SECRET);
    free(mem.run);
    return true;
}

static bool scene_set(struct arena *a, struct checks *t, struct model *before)
{
    char disk[32];
    const char *step = "find devices";
    int error = 0;
    int edu = pci_find(0x1234, 0x11e8, 0);
    int bridge = pci_nvme("bridge");
    bool found = demo_wait_disk("vm", disk, sizeof(disk)) && edu >= 0 && bridge >= 0;
    if (found) {
        a->disk = (uint32_t)pci_nvme("vm");
        /* First: the kernel's interrupt tables for it are pinned pages. */
        pci_unbind(a->disk);
        error = model_read(&a->c, before);
        a->behind = (uint32_t)bridge;
        for (uint32_t slot = 0; slot < 32; slot++) {
            uint32_t header = 0;
            pci_config_read(slot << 3, 0xe, 1, &header);
            uint32_t bus = 0;
            pci_config_read(slot << 3, 0x19, 1, &bus);
            if ((header & 0x7f) == 1 && bus == a->behind >> 8) {
                a->bridge = slot << 3;
            }
        }
        step = "edu device";
        found = error == 0 && edu_open(&a->edu, (uint32_t)edu);
    }
    if (!found || !make_vms(a, &step, &error)) {
        check_add(t, false, "attacks: the scene", "two VMs, a disk, an edu device", "%s: %s", step,
                  errno_name(error));
        return false;
    }
    return true;
}

static void scene_clear(struct arena *a)
{
    vm_return(&a->c, a->disk, NULL);
    if (a->a != UINT64_MAX) {
        vm_destroy(&a->c, a->a);
    }
    if (a->b != UINT64_MAX) {
        vm_destroy(&a->c, a->b);
    }
}

/* ---- one attack ---- */

struct score {
    const char *kind;
    int need, ran, held;
};

/* The state after it, against what it must be. Replaces a->want by what is there now. */
static bool judge_state(struct arena *a, char *why, size_t size)
{
    struct model got;
    struct audit_result audit;
    int error = model_read(&a->c, &got);
    if (error) {
        snprintf(why, size, "state cannot be read: %s", errno_name(error));
        return false;
    }
    bool same = model_same(&a->want, &got, why, size);
    model_free(&a->want);
    a->want = got;
    if (!same) {
        return false;
    }
    error = ctl_audit(&a->c, &audit);
    if (error || audit.violations) {
        snprintf(why, size, "audit: %s %llu violations, %.60s", errno_name(error),
                 (unsigned long long)audit.violations, audit.first);
        return false;
    }
    return true;
}

/* After an attack that took VM A's disk away: VM A anew. */
static void restore_a(struct arena *a, struct checks *t)
{
    const char *step = "destroy";
    int error = vm_destroy(&a->c, a->a);
    a->a = UINT64_MAX;
    if (!error) {
        make_a(a, &step, &error);
    }
    model_free(&a->want);
    int read = model_read(&a->c, &a->want);
    if (error || read) {
        check_add(t, false, "attacks: the scene again", "VM A", "%s: %s", step,
                  errno_name(error ? error : read));
    }
}

/* `only` names a kind, or is a part of a name. */
static bool wanted(const struct attack *k, const char *only)
{
    static const char *const kinds[] = { "call", "cpu", "dma", "device", "life", "vm", "leak" };
    for (size_t i = 0; only && i < COUNT(kinds); i++) {
        if (strcmp(only, kinds[i]) == 0) {
            return strcmp(only, k->kind) == 0;
        }
    }
    return !only || strstr(k->name, only);
}

static void one_attack(struct arena *a, const struct attack *k, struct score *s, struct checks *t)
{
    char why[160] = "";
    a->seen[0] = 0;
    bool refused = k->run(a, k);
    bool state = judge_state(a, why, sizeof(why));
    bool held = refused && state;
    s->ran++;
    s->held += held;
    printf("  %-8s | %-48s | %-26s | %-34s | %s%s%s\n", k->kind, k->name, k->want, a->seen,
           held ? "held" : "FAILED", state ? "" : ": ", why);
    if (!held) {
        check_add(t, false, ui_format("attack: %s", k->name), k->want, "%s%s%.60s", a->seen,
                  state ? "" : "; state: ", why);
    }
    if (k->spoils) {
        restore_a(a, t);
    }
}

void attack_all(struct ctl *c, struct checks *t, const char *only)
{
    static struct arena a;
    struct {
        const struct attack *list;
        size_t n;
        struct score score;
    } kinds[] = {
        { attacks_call, attacks_call_n, { "hypercall arguments", 6, 0, 0 } },
        { attacks_cpu, attacks_cpu_n, { "CPU accesses", 5, 0, 0 } },
        { attacks_dma, attacks_dma_n, { "DMA", 6, 0, 0 } },
        { attacks_device, attacks_device_n, { "devices", 5, 0, 0 } },
        { attacks_life, attacks_life_n, { "lifetimes", 6, 0, 0 } },
        { attacks_vm, attacks_vm_n, { "by a VM", 4, 0, 0 } },
        { attacks_leak, attacks_leak_n, { "leaks", 3, 0, 0 } },
    };
    int ran = 0;
    struct model before;
    struct model after;
    char why[160] = "";
    ui_title("3. Attacks: each must end as documented, and move no frame");
    a = (struct arena){ .c = *c, .a = UINT64_MAX, .b = UINT64_MAX };
    ctl_info(&a.c, &a.info);
    int error = 0;
    if (!scene_set(&a, t, &before) || (error = model_read(&a.c, &a.want)) != 0) {
        check_add(t, false, "attacks", "the scene is set", "%s", errno_name(error));
        scene_clear(&a);
        pci_bind(a.disk, "nvme");
        return;
    }
    int others;
    events_of(&a, 0, 0, false, &others); /* forget earlier ones */
    for (size_t k = 0; k < COUNT(kinds); k++) {
        for (size_t i = 0; i < kinds[k].n; i++) {
            if (wanted(&kinds[k].list[i], only)) {
                one_attack(&a, &kinds[k].list[i], &kinds[k].score, t);
            }
        }
        ran += kinds[k].score.ran;
        const struct score *s = &kinds[k].score;
        if (!only || s->ran) {
            check_add(t, s->held == s->ran && (only || s->ran >= s->need),
                      ui_format("attacks: %s", s->kind), ui_format("%d or more, all held", s->need),
                      "%d of %d held", s->held, s->ran);
        }
    }
    model_free(&a.want);
    scene_clear(&a);
    if (!only) {
        check_add(t, ran >= 40, "attacks in all", "at least 40", "%d", ran);
    }
    error = model_read(&a.c, &after);
    bool same = !error && model_same(&before, &after, why, sizeof(why));
    check_add(t, same, "after the attacks: no frame lost", "every frame as before", "%s",
              same ? "as before" : why);
    pci_bind(a.disk, "nvme");
    model_free(&before);
    if (!error) {
        model_free(&after);
    }
    *c = a.c;
}

int cmd_attack(int argc, char **argv)
{
    const struct command cmd = {
        .name = "attack",
        .synopsis = "[KIND or part of a name]",
        .about =
            "Attacks the hypervisor as a hostile host would (and from inside a VM): wild calls,\n"
            "private memory, DMA, devices, lifetimes, leaks. Each attack prints its documented\n"
            "outcome and what was seen; after each, the owner of every frame is compared with\n"
            "what it must be. Kinds: call cpu dma device life vm leak. Needs the disks and edu\n"
            "devices of `make shell`.",
        .max = 1,
    };
    const char *word[1] = { NULL };
    args_parse(&cmd, argc, argv, word);
    static struct checks t;
    struct ctl c;
    ctl_need(&c);
    attack_all(&c, &t, word[0]);
    check_print(&t, "RESULT");
    printf("TENON-ATTACK %s checks=%d failed=%d\n", t.failed ? "FAILED" : "ok", t.n, t.failed);
    return t.failed ? EXIT_FAILED : EXIT_OK;
}
