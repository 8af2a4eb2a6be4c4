/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest memory object that a CPU's tree and a device's tree follow: one page of it becomes shared,
 * and both trees change together. What hardware would have to do is printed by the two invalidators.
 *
 *   cc convert.c $(pkg-config --cflags --libs tenon) && ./a.out
 */
#include <stdio.h>
#include <tenon/hosted.h>
#include <tenon/space.h>

#define MIB    ((uint64_t)1 << 20)
#define MEMORY (64 * MIB)
#define GUEST  (1024 * MIB) /* where the guest sees its memory */
#define PAGES  1024u        /* of it: 4 MiB */

struct walker {
    struct invalidator inv; /* first, so that one pointer serves for both */
    const char *name;
};

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        printf("  %s forgets %#lx .. %#lx%s\n", ((struct walker *)inv)->name, g->inv[i].ia,
               g->inv[i].last, g->inv[i].tables ? ", walk caches too" : "");
    }
}

static void done(struct invalidator *inv)
{
    (void)inv; /* hardware: until a DSB, or a CMD_SYNC, has completed */
}

static struct walker cpu = { { issue, done }, "CPU" }, smmu = { { issue, done }, "SMMU" };
static struct space cpu_space, io_space;
static struct gmem memory;

static void show(const char *when)
{
    struct pt_leaf c, d;

    if (space_lookup(&cpu_space, GUEST + 5 * 4096, &c) == 0 &&
        space_lookup(&io_space, GUEST + 5 * 4096, &d) == 0) {
        printf("%s: page 5 is at %#lx for the CPU (leaf of %lu KiB), %#lx for the device\n", when,
               c.oa, (c.last - c.ia + 1) >> 10, d.oa);
    }
}

static int follow(struct space *s, enum space_kind kind, struct invalidator *inv)
{
    const struct pt_config cfg = { PT_ARM_S2_4K, .ia_bits = 39, .oa_bits = 40, .start_level = 1,
                                   .live.bbm = 2 };
    int err = space_init(s, kind, &cfg);

    err = err ? err : space_add_walker(s, inv);
    return err ? err
               : space_bind(s, &memory, VIEW_GUEST, GUEST, 0, PAGES, PT_READ | PT_WRITE, true);
}

int main(void)
{
    static struct frame frames[MEMORY >> 12];
    uint64_t base = hosted_alloc(MEMORY >> 12, 2 * MIB), cursor = 0;

    /* The machine: who owns each frame, pages for tables, and 2 MiB chunks for guests. */
    frames_init(base, MEMORY >> 12, frames, OWNER_HYP);
    int err = frame_pool_add_tables(base, 256);

    err = err ? err : frame_pool_add_chunks(base + 2 * MIB, (MEMORY - 2 * MIB) >> 21, false);
    err = err ? err : gmem_create(&memory, OWNER_VM0, PAGES, true);
    while (err == 0 && gmem_scrub(&memory, &cursor, 1) > 0) {
    }
    err = err ? err : follow(&cpu_space, SPACE_CPU, &cpu.inv);
    err = err ? err : follow(&io_space, SPACE_IO, &smmu.inv);
    if (err != 0) {
        printf("error %d\n", err);
        return 1;
    }
    show("private");
    err = gmem_convert(&memory, 5, 1, true, GMEM_KEEP);
    show("shared");
    err = err ? err : gmem_convert(&memory, 5, 1, false, GMEM_KEEP);
    show("private again");
    return err != 0;
}
