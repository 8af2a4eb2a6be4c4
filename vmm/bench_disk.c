/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon bench: an NVMe disk of the host's, past the page cache. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BIG   MIB
#define SMALL 2000u /* 4 KiB reads, one after the other */

struct part {
    pthread_t thread;
    const char *path;
    uint64_t from, to;
    int cpu, error;
    bool write;
};

static void *stream(void *arg)
{
    struct part *p = arg;
    void *buf = NULL;
    host_pin(p->cpu);
    int fd = open(p->path, O_RDWR | O_DIRECT | O_CLOEXEC);
    p->error = fd < 0 ? errno : posix_memalign(&buf, PAGE, BIG);
    if (!p->error && buf) {
        memset(buf, 0x5a, BIG);
    }
    for (uint64_t at = p->from; at < p->to && !p->error; at += BIG) {
        ssize_t n = p->write ? pwrite(fd, buf, BIG, (off_t)at) : pread(fd, buf, BIG, (off_t)at);
        if (n != (ssize_t)BIG) {
            p->error = n < 0 ? errno : EIO;
        }
    }
    free(buf);
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

/* All CPUs at once, each its own part of the disk. */
static int throughput(const char *path, uint64_t bytes, const char *name, const char *suffix,
                      bool write)
{
    struct part part[8];
    int cpus = host_cpus_online();
    cpus = cpus > 8 ? 8 : cpus;
    uint64_t share = bytes / (uint64_t)cpus / BIG * BIG;
    int error = 0;
    int started = 0;
    double t = now();
    while (started < cpus) {
        struct part *p = &part[started];
        *p = (struct part){ .path = path,
                            .from = share * (uint64_t)started,
                            .to = share * (uint64_t)(started + 1),
                            .cpu = started,
                            .write = write };
        error = pthread_create(&p->thread, NULL, stream, p);
        if (error) {
            break;
        }
        started++;
    }
    for (int i = 0; i < started; i++) {
        pthread_join(part[i].thread, NULL);
        error = error ? error : part[i].error;
    }
    t = now() - t;
    if (error) {
        ui_error("%s: %s", path, strerror(error));
        return 1;
    }
    bench_value("MB/s", (double)share * cpus / 1e6 / t, "%s%s", name, suffix);
    return 0;
}

/* Latency: each read is a command, its interrupt, and a wake-up. */
static int latency(const char *path, uint64_t bytes, const char *suffix)
{
    static double us[SMALL];
    uint64_t seed = 88172645463325252ull;
    void *buf = NULL;
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    int error = fd < 0 ? errno : posix_memalign(&buf, PAGE, PAGE);
    host_pin(0);
    for (size_t i = 0; i < SMALL && !error; i++) {
        uint64_t at = random64(&seed) % (bytes / PAGE) * PAGE;
        double t = now();
        if (pread(fd, buf, PAGE, (off_t)at) != (ssize_t)PAGE) {
            error = errno ? errno : EIO;
        }
        us[i] = (now() - t) * 1e6;
    }
    free(buf);
    if (fd >= 0) {
        close(fd);
    }
    if (error) {
        ui_error("%s: %s", path, strerror(error));
        return 1;
    }
    bench_value("us", bench_median(us, SMALL), "nvme-4K-read%s", suffix);
    return 0;
}

int bench_disk(const char *path, uint64_t bytes, const char *suffix)
{
    /* Once unmeasured: the file behind the disk is made then, and drivers and caches warm up. */
    struct part warm = { .path = path, .from = 0, .to = bytes, .cpu = 0, .write = true };
    stream(&warm);
    return throughput(path, bytes, "nvme-write", suffix, true) +
           throughput(path, bytes, "nvme-read", suffix, false) + latency(path, bytes, suffix);
}
