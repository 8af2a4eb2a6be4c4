/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine that we are on: CPUs, interrupts, physical addresses, and the disk test. */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int host_write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    ssize_t n = write(fd, text, strlen(text));
    int error = n < 0 ? -errno : 0;
    close(fd);
    return error;
}

int host_read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    size_t used = 0;
    ssize_t n;
    while (used < size - 1 && (n = read(fd, text + used, size - 1 - used)) > 0) {
        used += (size_t)n;
    }
    close(fd);
    text[used] = 0;
    while (used > 0 && (text[used - 1] == '\n' || text[used - 1] == ' ')) {
        text[--used] = 0;
    }
    return 0;
}

int host_cpus_online(void)
{
    return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

bool host_pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

uint64_t host_interrupts(const char *disk)
{
    FILE *f = fopen("/proc/interrupts", "re");
    char line[512];
    char queue[32];
    uint64_t sum = 0;
    if (!f) {
        return 0;
    }
    snprintf(queue, sizeof(queue), "%sq", disk);
    while (fgets(line, sizeof(line), f)) {
        if (!strstr(line, queue) || !strstr(line, "ITS")) {
            continue;
        }
        char *save;
        strtok_r(line, ": ", &save); /* the interrupt's number; then one count a CPU */
        for (char *w; (w = strtok_r(NULL, " ", &save));) {
            uint64_t n;
            if (!parse_number(w, &n)) {
                break;
            }
            sum += n;
        }
    }
    fclose(f);
    return sum;
}

bool host_page_pa(const void *page, uint64_t *pa)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entry = 0;
    if (fd < 0) {
        return false;
    }
    ssize_t n = pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8));
    close(fd);
    *pa = (entry & (((uint64_t)1 << 55) - 1)) * PAGE + (uintptr_t)page % PAGE;
    return n == 8 && (entry >> 63 & 1) && (entry & (((uint64_t)1 << 55) - 1));
}

uint64_t random64(uint64_t *state)
{
    /* xorshift64* (Marsaglia 2003; Vigna 2016). */
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * 0x2545f4914f6cdd1dull;
}

/* ---- the disk test ---- */

#define BLOCK MIB

struct disk_part {
    pthread_t thread;
    const char *path;
    uint64_t from, to; /* bytes */
    int cpu;
    bool reading;
    uint64_t seed, sum, wrong;
    int error;
    volatile uint64_t done;
};

static uint64_t mix(uint64_t sum, uint64_t word)
{
    return (sum ^ word) * 0x9e3779b97f4a7c15ull + (sum >> 29);
}

static uint64_t block_seed(uint64_t seed, uint64_t offset)
{
    return (seed ^ (offset + 1) * 0xd1342543de82ef95ull) | 1;
}

static void write_block(struct disk_part *p, uint64_t *buf, int fd, uint64_t at)
{
    uint64_t state = block_seed(p->seed, at);
    for (uint64_t i = 0; i < BLOCK / 8; i++) {
        buf[i] = random64(&state);
        p->sum = mix(p->sum, buf[i]);
    }
    if (pwrite(fd, buf, BLOCK, (off_t)at) != (ssize_t)BLOCK) {
        p->error = errno ? errno : EIO;
    }
}

static void read_block(struct disk_part *p, uint64_t *buf, int fd, uint64_t at)
{
    uint64_t state = block_seed(p->seed, at);
    memset(buf, 0, BLOCK);
    if (pread(fd, buf, BLOCK, (off_t)at) != (ssize_t)BLOCK) {
        p->error = errno ? errno : EIO;
        return;
    }
    for (uint64_t i = 0; i < BLOCK / 8; i++) {
        p->wrong += buf[i] != random64(&state);
        p->sum = mix(p->sum, buf[i]);
    }
}

static void *disk_worker(void *arg)
{
    struct disk_part *p = arg;
    void *buf = NULL;
    host_pin(p->cpu);
    int fd = open(p->path, O_RDWR | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || posix_memalign(&buf, PAGE, BLOCK) != 0) {
        p->error = errno ? errno : ENOMEM;
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    p->sum = p->seed;
    for (uint64_t at = p->from; at < p->to && !p->error; at += BLOCK) {
        if (p->reading) {
            read_block(p, buf, fd, at);
        } else {
            write_block(p, buf, fd, at);
        }
        p->done += BLOCK;
    }
    if (!p->reading && !p->error && fsync(fd) != 0) {
        p->error = errno;
    }
    free(buf);
    close(fd);
    return NULL;
}

/* One pass over the disk by all threads; its seconds. */
static double disk_pass(struct disk_part *part, int cpus, bool reading, const char *label,
                        uint64_t bytes)
{
    double start = now();
    int started = 0;
    for (int i = 0; i < cpus; i++) {
        part[i].reading = reading;
        part[i].done = 0;
        if (pthread_create(&part[i].thread, NULL, disk_worker, &part[i]) != 0) {
            part[i].error = EAGAIN;
            break;
        }
        started++;
    }
    uint64_t done = 0;
    bool failed = started < cpus;
    while (done < bytes && !failed) {
        usleep(50000);
        done = 0;
        for (int i = 0; i < started; i++) {
            done += part[i].done;
            failed |= part[i].error != 0;
        }
        ui_progress("  %s: %s %llu of %llu MiB", label, reading ? "read" : "written",
                    (unsigned long long)(done / MIB), (unsigned long long)(bytes / MIB));
    }
    for (int i = 0; i < started; i++) {
        pthread_join(part[i].thread, NULL);
    }
    ui_progress_end();
    return now() - start;
}

void disk_test(const char *path, uint64_t bytes, int cpus, const char *label, struct disk_result *r)
{
    struct disk_part part[8];
    memset(r, 0, sizeof(*r));
    memset(part, 0, sizeof(part));
    cpus = cpus < 1 ? 1 : cpus > 8 ? 8 : cpus;
    uint64_t share = bytes / (uint64_t)cpus / BLOCK * BLOCK;
    uint64_t seed = (uint64_t)(now() * 1e9);
    for (int i = 0; i < cpus; i++) {
        part[i].path = path;
        part[i].cpu = i;
        part[i].seed = random64(&seed);
        part[i].from = share * (uint64_t)i;
        part[i].to = share * (uint64_t)(i + 1);
    }
    r->bytes = share * (uint64_t)cpus;
    char controller[16];
    snprintf(controller, sizeof(controller), "%s", strrchr(path, '/') + 1);
    char *n = strchr(controller + 4, 'n'); /* nvme0n1 -> nvme0 */
    if (n) {
        *n = 0;
    }
    uint64_t before = host_interrupts(controller);
    double seconds = disk_pass(part, cpus, false, label, r->bytes);
    r->write_mbs = (double)r->bytes / 1e6 / seconds;
    for (int i = 0; i < cpus; i++) {
        r->sum_written ^= part[i].sum;
        r->error = r->error ? r->error : part[i].error;
    }
    if (!r->error) {
        seconds = disk_pass(part, cpus, true, label, r->bytes);
        r->read_mbs = (double)r->bytes / 1e6 / seconds;
    }
    for (int i = 0; i < cpus; i++) {
        r->sum_read ^= part[i].sum;
        r->wrong_words += part[i].wrong;
        r->error = r->error ? r->error : part[i].error;
    }
    r->interrupts = host_interrupts(controller) - before;
}
