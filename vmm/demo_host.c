/* SPDX-License-Identifier: BSD-2-Clause */
/* Demonstration, section 1: the host itself, under the hypervisor. */
#include "demo.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static void *count_on_cpu(void *arg)
{
    int *cpu = arg;
    *cpu = host_pin(*cpu) && sched_getcpu() == *cpu ? *cpu : -1;
    return NULL;
}

static void check_cpus(struct demo *d)
{
    int want = (int)d->info.cpus;
    int ran = 0;
    for (int i = 0; i < want; i++) {
        pthread_t thread;
        int cpu = i;
        if (pthread_create(&thread, NULL, count_on_cpu, &cpu) == 0) {
            pthread_join(thread, NULL);
            ran += cpu == i;
        }
    }
    check_add(&d->t, ran == want && want >= 2 && host_cpus_online() == want, "host: CPUs",
              "each CPU runs a thread", "%d of %d", ran, want);
}

/* Features are read, not assumed: what these CPU models of QEMU are known to have. */
static void check_hardware(struct demo *d)
{
    static const struct {
        const char *cpu;
        uint32_t bbm, dirty, vmid_bits;
    } known[] = {
        { "QEMU max", 2, 1, 16 },
        { "Neoverse-N1", 0, 1, 16 },
        { "Cortex-A72", 0, 0, 8 },
    };
    const struct tn_info *i = &d->info;
    for (size_t k = 0; k < COUNT(known); k++) {
        if (strcmp(known[k].cpu, i->cpu) == 0) {
            char want[56];
            snprintf(want, sizeof(want), "BBM %u, dirty %u, %u-bit VMID", known[k].bbm,
                     known[k].dirty, known[k].vmid_bits);
            check_add(&d->t,
                      i->cpu_bbm == known[k].bbm && i->cpu_hw_dirty == known[k].dirty &&
                          i->vmid_bits == known[k].vmid_bits,
                      ui_format("host: features of %s", i->cpu), want,
                      "BBM %u, dirty %u, %u-bit VMID", i->cpu_bbm, i->cpu_hw_dirty, i->vmid_bits);
        }
    }
}

bool demo_wait_disk(const char *serial, char *path, size_t size)
{
    double start = now();
    while (!pci_nvme_disk(serial, path, size)) {
        if (now() - start > 10) {
            return false;
        }
        usleep(20000);
    }
    return true;
}

static void disk_in_mode(struct demo *d, const char *disk, uint64_t mode)
{
    const char *name = mode == 1 ? "share" : "mirror";
    char row[48];
    char want[48];
    struct reply r;
    struct disk_result disk_seen;
    snprintf(row, sizeof(row), "host: disk, %s mode", name);
    if (CTL(&d->c, &r, TN_HOST_MODE, mode) != 0) {
        /* Right where the SMMU cannot walk the CPU's tree, and only there. */
        bool allowed = d->matrix && mode == 1 && r.result == -EOPNOTSUPP && d->info.share_why[0];
        check_add(&d->t, allowed, row, allowed ? "refused with the reason" : "mode can be set",
                  "%s %.56s", errno_name(r.result), d->info.share_why);
        return;
    }
    disk_test(disk, d->host_bytes, host_cpus_online(), name, &disk_seen);
    printf(
        "  %s: %s written at %.0f MB/s, read at %.0f MB/s, sums %016llx %016llx, %s interrupts\n",
        name, ui_size(disk_seen.bytes), disk_seen.write_mbs, disk_seen.read_mbs,
        (unsigned long long)disk_seen.sum_written, (unsigned long long)disk_seen.sum_read,
        ui_count(disk_seen.interrupts));
    bool same = disk_seen.error == 0 && disk_seen.bytes == d->host_bytes &&
                disk_seen.sum_written == disk_seen.sum_read && disk_seen.wrong_words == 0;
    snprintf(want, sizeof(want), "%s out and in, sums equal", ui_size(d->host_bytes));
    if (disk_seen.error) {
        check_add(&d->t, false, row, want, "error %s", strerror(disk_seen.error));
    } else {
        check_add(&d->t, same, row, want, "%s, sums %s, %llu wrong", ui_size(disk_seen.bytes),
                  disk_seen.sum_written == disk_seen.sum_read ? "equal" : "DIFFER",
                  (unsigned long long)disk_seen.wrong_words);
    }
    snprintf(row, sizeof(row), "host: MSIs, %s mode", name);
    check_add(&d->t, disk_seen.interrupts >= 2 * d->host_bytes / MIB, row,
              "one for each MiB or more", "%s", ui_count(disk_seen.interrupts));
}

void demo_host(struct demo *d)
{
    char disk[32];
    struct tn_event events[64];
    uint64_t before = 0;
    uint64_t after = 0;
    ui_title("1. The host under Tenon: CPUs, disk, interrupts");
    check_cpus(d);
    check_hardware(d);
    if (!pci_nvme_disk("host", disk, sizeof(disk))) {
        check_add(&d->t, false, "host: disk", "an NVMe disk with serial `host`", "none");
        return;
    }
    ctl_events(&d->c, events, (int)COUNT(events), &before);
    disk_in_mode(d, disk, 1);
    disk_in_mode(d, disk, 2);
    ctl_events(&d->c, events, (int)COUNT(events), &after);
    check_add(&d->t, after == before, "host: DMA faults", "0", "%s", ui_count(after - before));
}
