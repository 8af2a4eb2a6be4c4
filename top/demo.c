/* SPDX-License-Identifier: BSD-2-Clause */
/* Something to look at: a VM with a CPU, a device and a host window, whose pages change for ever. */
#include "top.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "port/hosted/hosted.h"

#define MIB    ((uint64_t)1 << 20)
#define TABLES 4096u
#define POOL   (HOSTED_BASE + ((uint64_t)1 << 30))
#define CHUNKS 256u /* 256 MiB private, as much shared */
#define PAGES  ((uint64_t)128 * CHUNK_PAGES)
#define GUEST  ((uint64_t)1 << 30)
#define RW     (PT_READ | PT_WRITE)

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g; /* nobody walks these tables */
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

static struct invalidator none[3] = { { issue, wait }, { issue, wait }, { issue, wait } };
static struct space cpu, device, host;
static struct gmem gm;

static void must(int err, const char *what)
{
    if (err != 0) {
        fprintf(stderr, "tenon-top: demo: %s: %s\n", what, strerror(-err));
        exit(1);
    }
}

static void space_make(struct space *s, enum space_kind kind, struct invalidator *inv)
{
    const struct pt_config cfg = { .format = PT_ARM_S2_4K,
                                   .ia_bits = 39,
                                   .oa_bits = 44,
                                   .start_level = 1,
                                   .live = { .bbm = 2, .stalls = kind == SPACE_CPU } };

    must(space_init(s, kind, &cfg), "space_init");
    must(space_add_walker(s, inv), "space_add_walker");
}

static void world_make(void)
{
    uint64_t frames = ((POOL - HOSTED_BASE) >> PAGE_SHIFT) + CHUNKS * CHUNK_PAGES, cursor = 0;
    struct frame *table = calloc(frames, sizeof(*table));

    must(table == NULL ? -12 : 0, "frames");
    frames_init(HOSTED_BASE, frames, table, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "tables");
    must(frame_pool_add_chunks(POOL, CHUNKS, false), "chunks");
    must(gmem_create(&gm, OWNER_VM0, PAGES, true), "gmem_create");
    while (gmem_scrub(&gm, &cursor, CHUNKS) == 1) {
    }
    space_make(&cpu, SPACE_CPU, &none[0]);
    space_make(&device, SPACE_IO, &none[1]);
    space_make(&host, SPACE_CPU, &none[2]);
    must(space_bind(&cpu, &gm, VIEW_GUEST, GUEST, 0, PAGES, RW, false), "bind");
    must(space_bind(&device, &gm, VIEW_GUEST, GUEST, 0, PAGES, RW, true), "bind");
    must(space_bind(&host, &gm, VIEW_HOST, 0, 0, PAGES, RW, true), "bind");
}

static uint64_t rnd(uint64_t below)
{
    static uint64_t r = 1;

    r = r * 6364136223846793005u + 1442695040888963407u;
    return (r >> 33) % below;
}

/* A driver that shares buffers in one corner, now and then a large region, and faults everywhere. */
static void step(void)
{
    uint64_t page = rnd(8) != 0 ? rnd(PAGES / 8) : rnd(PAGES), n = 1 + rnd(rnd(64) != 0 ? 4 : 2048);
    bool share = rnd(2) != 0;

    n = n < PAGES - page ? n : PAGES - page;
    (void)space_fault(&cpu, GUEST + (rnd(PAGES) << PAGE_SHIFT), PT_READ);
    /* A range in several states is refused: then what stands at its beginning is turned. */
    if (gmem_convert(&gm, page, n, share, rnd(4) != 0 ? GMEM_KEEP : GMEM_INPLACE) != 0) {
        uint64_t end = gmem_run_end(&gm, page);

        (void)gmem_convert(&gm, page, end - page < n ? end - page : n,
                           gmem_state(&gm, page) == GMEM_PRIVATE, GMEM_KEEP);
    }
}

int demo_run(const char *path, unsigned rounds)
{
    const struct snapshot_view_name views[] = {
        { { &cpu, false, GUEST }, "vm cpu" },
        { { &device, false, GUEST }, "vm device" },
        { { &host, true, 0 }, "host window" },
    };
    struct snapshot_file *f = snapshot_file_make(path, "demo");

    if (f == NULL) {
        fprintf(stderr, "tenon-top: cannot make %s: ", path);
        perror(NULL);
        return 1;
    }
    world_make();
    for (unsigned i = 0; rounds == 0 || i < rounds; i++) {
        for (unsigned k = 0; k < 200; k++) {
            step();
        }
        snapshot_file_write(f, &gm, views, 3);
        if (rounds == 0 || i + 1 < rounds) {
            nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
        }
    }
    snapshot_file_close(f);
    return 0;
}
