/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon mem show, convert. */
#include "mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- a VM's memory ---- */

static void print_mem_totals(const struct mem_list *list)
{
    uint64_t cpu[3][5] = { { 0 } };
    uint64_t io[3][5] = { { 0 } };
    uint64_t pinned = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct tn_mem_run *r = &list->run[i];
        unsigned state = r->state < 3 ? r->state : 0;
        cpu[state][r->cpu_level < 4 ? r->cpu_level : 4] += r->bytes;
        io[state][r->io_level < 4 ? r->io_level : 4] += r->bytes;
        pinned += r->pins ? r->bytes : 0;
    }
    printf("\n  totals            leaves of 1G        2M          4K    unmapped\n");
    for (unsigned s = 0; s < 3; s++) {
        for (unsigned t = 0; t < 2; t++) {
            const uint64_t *v = t ? io[s] : cpu[s];
            if (v[1] + v[2] + v[3] + v[4]) {
                printf("  %-15s %s %11s %11s %11s %11s\n", mem_state_name((uint8_t)s),
                       t ? "I/O" : "CPU", ui_size(v[1]), ui_size(v[2]), ui_size(v[3]),
                       ui_size(v[4]));
            }
        }
    }
    printf("  pinned for DMA: %s\n", ui_size(pinned));
}

static void print_mem(const struct mem_list *list, uint64_t limit)
{
    printf("  guest physical                       bytes  frames at     state            CPU  I/O  "
           "owner       lent to     pins\n");
    for (size_t i = 0; i < list->n && i < limit; i++) {
        const struct tn_mem_run *r = &list->run[i];
        printf("  %#12llx .. %#12llx %12s  %#11llx  %-15s  %-3s  %-3s  %-10s  %-10s  %u\n",
               (unsigned long long)r->gpa, (unsigned long long)(r->gpa + r->bytes),
               ui_size(r->bytes), (unsigned long long)r->pa, mem_state_name(r->state),
               mem_level_name(r->cpu_level), mem_level_name(r->io_level), ui_owner(r->owner),
               r->borrower ? ui_owner(r->borrower) : "-", r->pins);
    }
    if (list->n > limit) {
        printf("  ... %zu more runs (--limit 0 shows all)\n", list->n - limit);
    }
    print_mem_totals(list);
}

/* ---- the machine's frames ---- */

static void print_frames(const struct frame_list *list, uint64_t limit)
{
    static const char *const states[] = { "owned", "lent", "poisoned" };
    uint64_t total[MAX_VMS] = { 0 };
    printf("  physical                             bytes  owner       lent to     pins  state\n");
    for (size_t i = 0; i < list->n; i++) {
        const struct tn_frame_run *r = &list->run[i];
        total[r->owner % MAX_VMS] += r->frames * PAGE;
        if (i >= limit) {
            continue;
        }
        printf("  %#12llx .. %#12llx %12s  %-10s  %-10s  %4u  %s%s%s\n", (unsigned long long)r->pa,
               (unsigned long long)(r->pa + r->frames * PAGE), ui_size(r->frames * PAGE),
               ui_owner(r->owner), r->borrower ? ui_owner(r->borrower) : "-", r->pins,
               r->state < COUNT(states) ? states[r->state] : "?",
               r->flags & FRAME_TABLE ? ", page table" : "",
               r->flags & FRAME_DIRTY ? ", to be zeroed" : "");
    }
    if (list->n > limit) {
        printf("  ... %zu more runs (--limit 0 shows all)\n", list->n - limit);
    }
    printf("\n  totals\n");
    for (unsigned o = 0; o < MAX_VMS; o++) {
        if (total[o]) {
            printf("  %-10s %12s\n", ui_owner((uint16_t)o), ui_size(total[o]));
        }
    }
}

static int show_vm(struct ctl *c, uint64_t id, uint64_t limit, const char *svg)
{
    struct mem_list mem = { 0 };
    struct frame_list frames = { 0 };
    struct tn_vm_stat stat;
    int result = ctl_stat(c, id, &stat);
    if (result == 0) {
        result = mem_read(c, id, &mem);
    }
    if (result != 0) {
        return ui_refused(result, "vm %llu (see `tenon vm list`)", (unsigned long long)id);
    }
    if (!svg) {
        print_mem(&mem, limit);
    } else if ((result = frames_read(c, &frames)) == 0) {
        result = svg_write(svg, &mem, &stat, &frames);
    }
    free(mem.run);
    free(frames.run);
    return result ? ui_refused(result, "%s", svg ? svg : "frames") : EXIT_OK;
}

static int show_frames(struct ctl *c, uint64_t limit, const char *svg)
{
    struct frame_list frames = { 0 };
    int result = frames_read(c, &frames);
    if (result != 0) {
        return ui_refused(result, "frames");
    }
    if (svg) {
        result = svg_write(svg, NULL, NULL, &frames);
    } else {
        print_frames(&frames, limit);
    }
    free(frames.run);
    return result ? ui_refused(result, "%s", svg) : EXIT_OK;
}

static int mem_show(int argc, char **argv)
{
    uint64_t limit = 40;
    const char *svg = NULL;
    const struct arg args[] = {
        { "--svg", ARG_TEXT, &svg, "FILE", "a picture instead of text" },
        { "--limit", ARG_NUMBER, &limit, "N", "rows of text (40; 0: all)" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "mem show",
        .synopsis = "[VM] [--svg FILE] [--limit N]",
        .about =
            "With a VM's number: its memory by guest physical address: private or shared, the\n"
            "leaf size in each tree, the frames behind, who owns them, who borrows, and pins.\n"
            "Without: every frame of the machine and its owner.",
        .args = args,
        .max = 1,
    };
    const char *word[1] = { NULL };
    args_parse(&cmd, argc, argv, word);
    struct ctl c;
    ctl_need(&c);
    limit = limit ? limit : UINT64_MAX;
    return word[0] ? show_vm(&c, need_number(word[0], "a VM's number"), limit, svg)
                   : show_frames(&c, limit, svg);
}

/* ---- conversion ---- */

static int mem_convert(int argc, char **argv)
{
    bool inplace = false;
    const struct arg args[] = {
        { "--in-place", ARG_FLAG, &inplace, NULL, "share the same frame: the VM's trees stay" },
        { .kind = ARG_END },
    };
    const struct command cmd = {
        .name = "mem convert",
        .synopsis = "VM ADDRESS SIZE shared|private [--in-place]",
        .about =
            "Makes a range of a VM's memory shared with the host, or private again. A running\n"
            "VM's memory changes only as its program asked: then this commits that request,\n"
            "and anything else is refused. Example: tenon mem convert 0 0x48000000 2M shared",
        .args = args,
        .min = 4,
        .max = 4,
    };
    const char *word[4];
    args_parse(&cmd, argc, argv, word);
    uint64_t vm = need_number(word[0], "a VM's number");
    uint64_t gpa = need_size(word[1], "a guest physical address");
    uint64_t bytes = need_size(word[2], "a size");
    bool shared = strcmp(word[3], "shared") == 0;
    if (!shared && strcmp(word[3], "private") != 0) {
        fprintf(stderr, "tenon: say `shared` or `private`, not `%s`\n", word[3]);
        return EXIT_USAGE;
    }
    struct ctl c;
    struct reply r;
    ctl_need(&c);
    CTL_FINISH(&c, &r, "converting", TN_VM_CONVERT, vm, gpa, bytes, shared,
               inplace ? TN_INPLACE : 0);
    if (r.result != 0) {
        return ui_refused(r.result, "convert %s at %#llx%s", ui_size(bytes),
                          (unsigned long long)gpa,
                          r.result == -EPERM ? " (its program has not asked for this)" : "");
    }
    return EXIT_OK;
}

int cmd_mem(int argc, char **argv)
{
    static const struct subcommand list[] = {
        { "show", mem_show, "what is mapped where, at which leaf size, and whose it is" },
        { "convert", mem_convert, "make a range shared or private" },
    };
    return run_subcommand("mem", "Memory: private and shared, leaves, owners, pins.", list,
                          COUNT(list), argc, argv);
}
