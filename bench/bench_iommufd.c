/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the server of the user-space /dev/iommu does for one call or one page of DMA, without the way there
 * (`make bench-iommufd` has that), and beside it what of that is the core's alone: the engine filling or
 * emptying a tree of the same shape.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "iommufd/selftest.h"
#include "iommufd/swiommu.h"

#define GIB    (1ull << 30)
#define ROUNDS 5

static struct ctx *c;
static struct mm *mm;
static uint32_t dev_id, hwpt[2];
static struct device *dev;

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* what others do on this machine is left out */
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void must(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_iommufd: %s\n", what);
        exit(1);
    }
}

static int io(unsigned nr, void *arg)
{
    struct call call = {
        .ctx = c, .mm = mm, .cmd = U_IO(nr), .arg = (uint64_t)(uintptr_t)arg, .out_fd = -1
    };

    return ctx_ioctl(&call);
}

static uint32_t ioas_new_one(void)
{
    struct u_ioas_alloc u = { .size = sizeof(u) };

    must(io(U_IOAS_ALLOC, &u) == 0, "ioas");
    return u.out_ioas_id;
}

static void map(uint32_t ioas, void *va, uint64_t len, uint64_t iova)
{
    struct u_ioas_map u = { .size = sizeof(u),
                            .flags = U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    must(io(U_IOAS_MAP, &u) == 0, "map");
}

static void unmap(uint32_t ioas, uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap u = { .size = sizeof(u), .ioas_id = ioas, .iova = iova, .length = len };

    must(io(U_IOAS_UNMAP, &u) == 0, "unmap");
}

/* A device of the selftest's kind, but on tables of the ordinary shape. */
static int paging(struct device *d, uint32_t flags, const struct user_data *u, struct call *call,
                  struct domain **out)
{
    (void)flags, (void)u, (void)call;
    *out = calloc(1, sizeof(**out));
    return domain_init(*out, &d->iommu->im, 0, false);
}

static uint32_t twenty(const struct device *d)
{
    (void)d;
    return 20;
}

static const struct dev_ops ops = { .name = "bench", .paging = paging, .pasid_bits = twenty };

static uint32_t hwpt_on(uint32_t ioas)
{
    struct u_hwpt_alloc u = {
        .size = sizeof(u), .flags = U_HWPT_PASID, .dev_id = dev_id, .pt_id = ioas
    };

    must(io(U_HWPT_ALLOC, &u) == 0, "hwpt");
    return u.out_hwpt_id;
}

/* The best of some rounds: what an undisturbed machine does. */
static void better(double *best, double ns)
{
    *best = *best == 0 || ns < *best ? ns : *best;
}

static void attachments(void)
{
    enum { N = 20000 };
    struct call call = { .ctx = c, .mm = mm };

    for (int k = 0; k < 2; k++) {
        uint32_t pasid = k == 0 ? NO_PASID : 77;
        double attach = 0, replace = 0;

        for (int r = 0; r < ROUNDS; r++) {
            double t = cpu_ns();

            for (int i = 0; i < N; i++) {
                must(device_attach(&call, dev, pasid, &hwpt[0]) == 0, "attach");
                device_detach(dev, pasid);
            }
            better(&attach, (cpu_ns() - t) / N);
            must(device_attach(&call, dev, pasid, &hwpt[0]) == 0, "attach");
            t = cpu_ns();
            for (int i = 1; i <= N; i++) {
                must(device_replace(&call, dev, pasid, &hwpt[i % 2]) == 0, "replace");
            }
            better(&replace, (cpu_ns() - t) / N);
            device_detach(dev, pasid);
        }
        printf("%-34s %9.0f ns\n",
               k == 0 ? "device attached and detached" : "PASID attached and detached", attach);
        printf("%-34s %9.0f ns\n", k == 0 ? "device to another table" : "PASID to another table",
               replace);
    }
}

/* (stream, PASID) looked up, and the model's walk, for one page of a transfer. */
static void translations(const char *shape, uint64_t base)
{
    enum { N = 200000 };
    double best = 0;

    for (int r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();
        uint64_t pa, at = 0;

        for (int i = 0; i < N; i++) {
            struct domain *d = swiommu_tree(dev, 77);

            must(d != NULL && domain_walk(d, base + at, DMA_WRITE, &pa) == 0, "walk");
            at = (at + 97 * PG) % GIB;
        }
        better(&best, (cpu_ns() - t) / N);
    }
    printf("%-34s %9.0f ns   %.1f million a second\n", shape, best, 1e3 / best);
}

/* The engine alone: the same length, in the same leaves. */
static double engine(struct space *s, uint64_t base, uint64_t leaf, double *gone)
{
    double best = 0;

    s->max_leaf = leaf;
    for (int r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();

        must(space_map(s, base, 16 * GIB + (leaf == 0 ? 2ull << 20 : 0), GIB, PT_READ | PT_WRITE) ==
                 0,
             "engine");
        better(&best, cpu_ns() - t);
        t = cpu_ns();
        must(space_unmap(s, base, GIB) == 0, "engine");
        better(gone, cpu_ns() - t);
    }
    return best;
}

static void gib(uint32_t ioas, unsigned char *p, bool small)
{
    struct u_option o = { .size = sizeof(o),
                          .option_id = U_OPTION_HUGE_PAGES,
                          .op = U_OPTION_SET,
                          .object_id = ioas,
                          .val64 = !small };
    /* Memory and address agree in 2 MiB and no more, so that leaves are no larger. */
    uint64_t base = 4 * GIB + (uintptr_t)p % GIB + (2u << 20);
    double mapped = 0, gone = 0, engine_gone = 0;
    struct hwpt *h = obj_get(c, hwpt[0], OBJ_HWPT_PAGING);

    must(io(U_OPTION, &o) == 0, "option");
    double alone = engine(&h->domain->space, small ? base : 64 * GIB, small ? PG : 0, &engine_gone);

    for (int r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();

        map(ioas, p, GIB, base);
        better(&mapped, cpu_ns() - t);
        if (r == ROUNDS - 1) {
            translations(small ? "a page of DMA, 4K leaves" : "a page of DMA, 2M leaves", base);
        }
        t = cpu_ns();
        unmap(ioas, base, GIB);
        better(&gone, cpu_ns() - t);
    }
    printf("%-34s %9.0f us   of it the engine %.1f\n",
           small ? "1 GiB mapped, 4K leaves" : "1 GiB mapped, 2M leaves", mapped / 1e3,
           alone / 1e3);
    printf("%-34s %9.0f us   of it the engine %.1f\n",
           small ? "1 GiB unmapped, 4K leaves" : "1 GiB unmapped, 2M leaves", gone / 1e3,
           engine_gone / 1e3);
}

static void pages(uint32_t ioas, unsigned char *p)
{
    enum { N = 20000 };
    double best = 0;

    for (int r = 0; r < ROUNDS; r++) {
        double t = cpu_ns();

        for (int i = 0; i < N; i++) {
            map(ioas, p, PG, 8 * GIB);
            unmap(ioas, 8 * GIB, PG);
        }
        better(&best, (cpu_ns() - t) / N);
    }
    printf("%-34s %9.0f ns\n", "a page mapped and unmapped", best);
}

int main(void)
{
    struct call call;
    /* Aligned to 2 MiB, so that large leaves are possible. */
    unsigned char *p = mmap(NULL, GIB + (2 << 20), PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    /* So little memory for tables that all of it is used again and again. */
    must(p != MAP_FAILED && domains_init(4u << 20, DOMAIN_DEFAULT) == 0, "memory");
    p += (2 << 20) - ((uintptr_t)p & ((2 << 20) - 1));
    mm = mm_new(getpid(), getuid());
    c = ctx_new(false);
    dev = device_bind(c, &ops, NULL);
    must(mm != NULL && dev != NULL, "device");
    dev_id = dev->obj.id;
    uint32_t ioas = ioas_new_one();

    hwpt[0] = hwpt_on(ioas);
    hwpt[1] = hwpt_on(ioas_new_one());
    printf("tables: %s; processor time, best of %d\n", domains_format(), ROUNDS);
    attachments();
    call = (struct call){ .ctx = c, .mm = mm };
    must(device_attach(&call, dev, 77, &hwpt[0]) == 0, "attach");
    pages(ioas, p);
    gib(ioas, p, false);
    gib(ioas, p, true);
    return 0;
}
