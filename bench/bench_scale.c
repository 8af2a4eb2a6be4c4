/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How costs grow: guest address spaces of 1 GiB to 1 TiB (512 MiB of memory behind them, spread out), 1 to
 * 64 followers of one memory, 1 to 64 devices on one of them. In this process: no emulator, invalidations
 * that do nothing. Prints a table and the model that fits it (docs/scale.md).
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <hosted.h>
#include <tenon/iommu.h>

#define GIB     ((uint64_t)1 << 30)
#define TABLES  32768u
#define POOL    (HOSTED_BASE + GIB)
#define OBJECTS 8u
#define PAGES   ((uint64_t)64 << 20 >> PAGE_SHIFT) /* of each object */
#define CHUNKS  (OBJECTS * 2u * 32u)
#define GUEST   GIB
#define MAX     64u
#define ROUNDS  5u
#define RW      (PT_READ | PT_WRITE)

static struct gmem gm[OBJECTS];
static struct space *follower[MAX];
static unsigned nfollowers;
static uint64_t spacing;

struct sample {
    const char *what;
    double gib, followers, devices, ns;
};
static struct sample sample[256];
static unsigned nsamples;

/* ---- a machine whose hardware does nothing ---- */

static void issue(struct invalidator *inv, const struct pt_gather *g)
{
    (void)inv;
    (void)g;
}

static void wait(struct invalidator *inv)
{
    (void)inv;
}

static int attach(struct iommu *im, uint32_t sid, struct iommu_domain *d)
{
    (void)im;
    (void)sid;
    (void)d;
    return 0;
}

static void detach(struct iommu *im, uint32_t sid)
{
    (void)im;
    (void)sid;
}

static int domain_init(struct iommu *im, struct iommu_domain *d)
{
    (void)im;
    d->inv = (struct invalidator){ issue, wait };
    return 0;
}

static void domain_fini(struct iommu *im, struct iommu_domain *d)
{
    (void)im;
    (void)d;
}

static const struct iommu_ops ops = { attach, detach, domain_init, domain_fini, NULL };

static void must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "bench_scale: %s: %s\n", what, strerror(-result));
        exit(1);
    }
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what others do on this machine is left out */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct pt_config config(void)
{
    return (struct pt_config){ .format = PT_ARM_S2_4K,
                               .ia_bits = 42,
                               .oa_bits = 44,
                               .start_level = 1,
                               .live = { .bbm = 2, .hw_af = true, .hw_dirty = true } };
}

static struct space *add_follower(bool prefill, uint64_t cap)
{
    struct pt_config cfg = config();
    struct space *s = calloc(1, sizeof(*s));

    must(s ? 0 : -ENOMEM, "a space");
    must(space_init(s, SPACE_CPU, &cfg), "space_init");
    s->max_leaf = cap;
    s->fault_around = 1;
    for (unsigned k = 0; k < OBJECTS; k++) {
        must(space_bind(s, &gm[k], VIEW_GUEST, GUEST + k * spacing, 0, PAGES, RW, prefill), "bind");
    }
    return s;
}

static void open_world(double gib, unsigned followers)
{
    static struct frame *frames;
    uint64_t n = (POOL - HOSTED_BASE) / PAGE_SIZE + CHUNKS * CHUNK_PAGES;

    frames = frames ? frames : calloc(n, sizeof(*frames));
    must(frames ? 0 : -ENOMEM, "frame table");
    memset(frames, 0, n * sizeof(*frames));
    frames_init(HOSTED_BASE, n, frames, OWNER_HYP);
    must(frame_pool_add_tables(HOSTED_BASE, TABLES), "table pages");
    must(frame_pool_add_chunks(POOL, CHUNKS, false), "chunks");
    spacing = (uint64_t)(gib * (double)GIB) / OBJECTS;
    for (unsigned k = 0; k < OBJECTS; k++) {
        uint64_t cursor = 0;

        must(gmem_create(&gm[k], OWNER_VM0, PAGES, true), "gmem_create");
        while (gmem_scrub(&gm[k], &cursor, 64) > 0) {
        }
    }
    for (nfollowers = 0; nfollowers < followers; nfollowers++) {
        follower[nfollowers] = add_follower(true, 0);
    }
}

static void close_world(void)
{
    for (unsigned i = 0; i < nfollowers; i++) {
        space_destroy(follower[i]);
        free(follower[i]);
    }
    for (unsigned k = 0; k < OBJECTS; k++) {
        uint64_t cursor = 0;
        int more;

        while ((more = gmem_destroy_step(&gm[k], &cursor, 64)) > 0) {
        }
        must(more, "gmem_destroy_step");
    }
}

/* ---- the measurements; each the least of some rounds ---- */

static void add(const char *what, double gib, double followers, double devices, double ns)
{
    sample[nsamples++] = (struct sample){ what, gib, followers, devices, ns };
    printf("%-10s %6.0f GiB %3.0f followers %3.0f devices %14.0f ns\n", what, gib, followers,
           devices, ns);
    fflush(stdout);
}

/* n pages of a block that is cut already, shared and private again. Per conversion. */
static double convert(uint64_t n)
{
    enum { TIMES = 64 };
    double best = 1e300;

    for (unsigned k = 0; k < OBJECTS; k++) {
        must(gmem_convert(&gm[k], 0, 1, true, GMEM_KEEP), "convert"); /* keeps the block cut */
    }
    for (unsigned r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();

        for (unsigned i = 0; i < TIMES; i++) {
            struct gmem *g = &gm[i % OBJECTS];

            must(gmem_convert(g, 128, n, true, GMEM_KEEP), "convert");
            must(gmem_convert(g, 128, n, false, GMEM_KEEP), "convert back");
        }
        t = (cpu_ns() - t) / (2 * TIMES);
        best = t < best ? t : best;
    }
    for (unsigned k = 0; k < OBJECTS; k++) {
        must(gmem_convert(&gm[k], 0, 1, false, GMEM_KEEP), "convert back");
    }
    return best;
}

/* First touches, page by page. */
static double faults(void)
{
    double best = 1e300;

    for (unsigned r = 0; r < ROUNDS; r++) {
        struct space *s = add_follower(false, PAGE_SIZE);
        double t = cpu_ns();
        enum { TIMES = 4096 };

        for (uint64_t i = 0; i < TIMES; i++) {
            must(space_fault(s, GUEST + (i % OBJECTS) * spacing + (i / OBJECTS << PAGE_SHIFT),
                             PT_WRITE),
                 "fault");
        }
        t = (cpu_ns() - t) / TIMES;
        best = t < best ? t : best;
        space_destroy(s);
        free(s);
    }
    return best;
}

static void logs(double gib)
{
    uint64_t len = (uint64_t)(gib * (double)GIB);
    uint64_t *bits = calloc(len / SPACE_LOG_BLOCK, 8), *out = calloc(len / SPACE_LOG_BLOCK, 8);
    struct space *s = follower[0];
    uint64_t leaves = OBJECTS * PAGES / CHUNK_PAGES, cursor = 0;

    must(bits && out ? 0 : -ENOMEM, "bitmaps");
    for (unsigned cut = 0; cut < 2; cut++) {
        double best = 1e300;

        if (cut) {
            must(space_log_start(s, SPACE_LOG_AHEAD, GUEST, len, NULL), "log ahead");
            double t = cpu_ns();

            while (space_log_cut(s, &cursor, 1024) > 0) {
            }
            add("cut", gib, 1, 0, (cpu_ns() - t) / (double)leaves);
        }
        must(space_log_start(s, SPACE_LOG_DIRTY_BIT, GUEST, len, bits), "log");
        for (unsigned r = 0; r < ROUNDS; r++) {
            for (unsigned i = 0; i < 1024 && cut; i++) {
                struct pt_gather g;

                pt_gather_init(&g);
                must(pt_protect(&s->pt,
                                GUEST + (i % OBJECTS) * spacing + ((i * 37 % PAGES) << PAGE_SHIFT),
                                PAGE_SIZE, RW | PT_TRACK | PT_DIRTY, &g),
                     "dirty");
            }
            double t = cpu_ns();

            must(space_log_read_clear(s, GUEST, len, out), "read");
            t = cpu_ns() - t;
            best = t < best ? t : best;
        }
        add(cut ? "harvest-4K" : "harvest-2M", gib, 1, 0, best);
        must(space_log_stop(s), "stop");
    }
    cursor = 0;
    while (space_log_merge(s, GUEST, len, &cursor, 1u << 20) > 0) {
    }
    free(bits);
    free(out);
}

static void devices(unsigned n)
{
    struct iommu im = { .ops = &ops,
                        .caps = { .stage2 = true,
                                  .live = { .bbm = 2, .hw_af = true, .hw_dirty = true },
                                  .ia_bits = 48,
                                  .oa_bits = 48,
                                  .sid_bits = 8,
                                  .coherent = true } };
    struct iommu_domain *d = calloc(1, sizeof(*d));

    must(d ? 0 : -ENOMEM, "a domain");
    must(iommu_domain_init(&im, d, follower[0], OWNER_VM0, 1), "domain");
    for (uint32_t i = 0; i < n; i++) {
        must(iommu_attach(d, i), "attach");
    }
    add("convert", 64, 2, n, convert(1));
    for (uint32_t i = 0; i < n; i++) {
        must(iommu_detach(d, i), "detach");
    }
    must(iommu_domain_fini(d), "domain");
    free(d);
}

/* ---- the model: a + b x, least squares of relative errors ---- */

struct fit {
    double a, b, worst; /* worst: largest relative error */
};

static double axis(const struct sample *s, const char *x)
{
    return strcmp(x, "GiB") == 0 ? s->gib
                                 : (strcmp(x, "follower") == 0 ? s->followers : s->devices);
}

static struct fit fit(const char *what, const char *x)
{
    double s0 = 0, s1 = 0, s2 = 0, t0 = 0, t1 = 0;
    struct fit f = { 0 };

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < nsamples; i++) {
            const struct sample *p = &sample[i];
            bool other =
                (strcmp(x, "follower") == 0 && (p->gib != 64 || p->devices != 0)) ||
                (strcmp(x, "GiB") == 0 &&
                 (p->followers != (strcmp(what, "convert") == 0 ? 2 : 1) || p->devices != 0)) ||
                (strcmp(x, "device") == 0 && p->devices == 0);

            if (strcmp(p->what, what) != 0 || other) {
                continue;
            }
            double v = axis(p, x), w = 1 / (p->ns * p->ns);

            if (pass == 0) {
                s0 += w;
                s1 += w * v;
                s2 += w * v * v;
                t0 += w * p->ns;
                t1 += w * v * p->ns;
            } else {
                double e = fabs(f.a + f.b * v - p->ns) / p->ns;

                f.worst = e > f.worst ? e : f.worst;
            }
        }
        if (pass == 0) {
            f.b = (s0 * t1 - s1 * t0) / (s0 * s2 - s1 * s1);
            f.a = (t0 - f.b * s1) / s0;
        }
    }
    printf("model: %-10s = %.0f ns %+.2f ns for each %-8s (off by %.0f %% at most)\n", what, f.a,
           f.b, x, f.worst * 100);
    return f;
}

/* ---- output ---- */

static void csv(const char *name)
{
    FILE *out = fopen(name, "w");

    must(out ? 0 : -errno, name);
    fprintf(out, "what,guest_gib,followers,devices,ns\n");
    for (unsigned i = 0; i < nsamples; i++) {
        const struct sample *p = &sample[i];

        fprintf(out, "%s,%.0f,%.0f,%.0f,%.1f\n", p->what, p->gib, p->followers, p->devices, p->ns);
    }
    fclose(out);
}

static const char *const colour[] = { "#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b" };

static void line(FILE *out, const char *what, const char *x, double left, unsigned c)
{
    double last = 0, ly = 0;

    fprintf(out, "<g stroke=\"%s\" fill=\"%s\">", colour[c], colour[c]);
    for (unsigned i = 0; i < nsamples; i++) {
        const struct sample *p = &sample[i];
        bool by_followers = strcmp(x, "follower") == 0;

        if (strcmp(p->what, what) != 0 || p->devices != 0 ||
            (by_followers ? p->gib != 64
                          : p->followers != (strcmp(what, "convert") == 0 ? 2 : 1))) {
            continue;
        }
        /* Decades and octaves: 50 px each decade of time, 30 or 60 px each doubling. */
        double px = left + (by_followers ? 45 * log2(p->followers) : 27 * log2(p->gib));
        double py = 360 - 50 * (log10(p->ns) - 2);

        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", px, py);
        if (last != 0) {
            fprintf(out, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", last, ly, px,
                    py);
        }
        last = px;
        ly = py;
    }
    fprintf(out, "<text stroke=\"none\" x=\"%.1f\" y=\"%.1f\">%s</text></g>\n", last + 6, ly + 4,
            what);
}

static void svg(const char *name)
{
    FILE *out = fopen(name, "w");

    must(out ? 0 : -errno, name);
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"420\" "
                 "font-family=\"sans-serif\" font-size=\"12\">\n"
                 "<rect width=\"900\" height=\"420\" fill=\"white\"/>\n");
    for (int d = 2; d <= 8; d++) {
        static const char *const unit[] = { "100 ns", "1 us",  "10 us", "100 us",
                                            "1 ms",   "10 ms", "100 ms" };
        int y = 360 - 50 * (d - 2);

        fprintf(out,
                "<line x1=\"60\" y1=\"%d\" x2=\"890\" y2=\"%d\" stroke=\"#ddd\"/>"
                "<text x=\"5\" y=\"%d\">%s</text>\n",
                y, y, y + 4, unit[d - 2]);
    }
    for (int i = 0; i <= 10; i += 2) {
        fprintf(out, "<text x=\"%d\" y=\"380\">%d</text>\n", 65 + 27 * i, 1 << i);
    }
    for (int i = 0; i <= 6; i++) {
        fprintf(out, "<text x=\"%d\" y=\"380\">%d</text>\n", 515 + 45 * i, 1 << i);
    }
    fprintf(out, "<text x=\"100\" y=\"402\">guest address space, GiB (512 MiB behind it)</text>"
                 "<text x=\"560\" y=\"402\">followers of one memory (64 GiB)</text>\n");
    const char *const g[] = { "convert", "fault", "cut", "harvest-2M", "harvest-4K" };

    for (unsigned i = 0; i < 5; i++) {
        line(out, g[i], "GiB", 70, i);
    }
    line(out, "convert", "follower", 520, 0);
    line(out, "refresh", "follower", 520, 3);
    fprintf(out, "</svg>\n");
    fclose(out);
}

int main(int argc, char **argv)
{
    static const double sizes[] = { 1, 4, 16, 64, 256, 1024 };

    if (argc > 1 && (argc != 3 || argv[1][0] == '-')) {
        fprintf(stderr,
                "usage: bench_scale [FILE.csv FILE.svg]\n"
                "Costs against guest size, followers and devices; and the model that fits.\n");
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    for (unsigned i = 0; i < 6; i++) {
        open_world(sizes[i], 2);
        add("convert", sizes[i], 2, 0, convert(1));
        add("fault", sizes[i], 1, 0, faults());
        logs(sizes[i]);
        close_world();
    }
    for (unsigned f = 1; f <= MAX; f *= 2) {
        open_world(64, f);
        if (f != 2) {
            add("convert", 64, f, 0, convert(1));
        }
        add("refresh", 64, f, 0, convert(64) / 64); /* of a page, in a range of 64 */
        close_world();
    }
    for (unsigned d = 1; d <= MAX; d *= 2) {
        open_world(64, 2);
        devices(d);
        close_world();
    }
    (void)fit("convert", "follower");
    (void)fit("refresh", "follower");
    (void)fit("convert", "device");
    (void)fit("convert", "GiB");
    (void)fit("fault", "GiB");
    (void)fit("cut", "GiB");
    (void)fit("harvest-2M", "GiB");
    (void)fit("harvest-4K", "GiB");
    if (argc == 3) {
        csv(argv[1]);
        svg(argv[2]);
    }
    return 0;
}
