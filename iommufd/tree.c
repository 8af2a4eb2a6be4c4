/* SPDX-License-Identifier: BSD-2-Clause */
/* The files by which programs find devices: nodes below dev/, sysfs as far as VFIO programs read it. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iommufd/swdev.h"

static char root[PATH_MAX - 512];
static int failed;

static void note(int err)
{
    failed = failed != 0 ? failed : err; /* the first: what follows from it is no news */
}

/* The full path; the folders above it are made. */
static void place(char *full, const char *rest)
{
    snprintf(full, PATH_MAX, "%s/%s", root, rest);
    for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = 0;
        if (mkdir(full, 0755) != 0 && errno != EEXIST) {
            note(errno);
        }
        *p = '/';
    }
}

static void put(const char *data, size_t len, const char *path, ...)
{
    char rest[384], full[PATH_MAX];
    va_list ap;

    va_start(ap, path);
    vsnprintf(rest, sizeof(rest), path, ap);
    va_end(ap);
    place(full, rest);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0) {
        note(errno);
    } else if (write(fd, data, len) != (ssize_t)len) {
        note(ENOSPC);
    }
    if (fd >= 0) {
        close(fd);
    }
}

static void put_link(const char *path, const char *to, ...)
{
    char where[384], full[PATH_MAX];
    va_list ap;

    va_start(ap, to);
    vsnprintf(where, sizeof(where), to, ap);
    va_end(ap);
    place(full, path);
    if (symlink(where, full) != 0) {
        note(errno);
    }
}

static void put_text(const char *text, const char *dir, const char *name)
{
    put(text, strlen(text), "%s/%s", dir, name);
}

static void device(const struct sw_dev *d)
{
    char bdf[16], dir[64], text[128];
    const struct sw_model *m = d->model;

    snprintf(bdf, sizeof(bdf), "0000:00:%02x.0", d->number + 1);
    snprintf(dir, sizeof(dir), "sys/devices/tenon/%s", bdf);
    snprintf(text, sizeof(text), "0x%04x\n", m->vendor);
    put_text(text, dir, "vendor");
    snprintf(text, sizeof(text), "0x%04x\n", m->device);
    put_text(text, dir, "device");
    snprintf(text, sizeof(text), "0x%06x\n", m->class_code);
    put_text(text, dir, "class");
    put_text("0x0000\n", dir, "subsystem_vendor");
    put_text("0x0000\n", dir, "subsystem_device");
    put_text("0\n", dir, "irq");
    put_text("-1\n", dir, "numa_node");
    put((const char *)d->config, sizeof(d->config), "%s/config", dir);
    snprintf(text, sizeof(text), "DRIVER=vfio-pci\nPCI_ID=%04X:%04X\nPCI_SLOT_NAME=%s\n", m->vendor,
             m->device, bdf);
    put_text(text, dir, "uevent");
    snprintf(text, sizeof(text), "0x0000000000000000 0x%016llx 0x0000000000040200\n",
             (unsigned long long)m->bar_size - 1);
    put_text(text, dir, "resource");
    /* A number that no real device has: it is compared, never opened. */
    snprintf(text, sizeof(text), "240:%u\n", d->number);
    put(text, strlen(text), "%s/vfio-dev/vfio%u/dev", dir, d->number);
    put("", 0, "dev/vfio/devices/vfio%u", d->number);
    put("", 0, "dev/vfio/%u", d->number);
    put("vfio-pci\n", 9, "sys/kernel/iommu_groups/%u/name", d->number);
    put("DMA\n", 4, "sys/kernel/iommu_groups/%u/type", d->number);
    snprintf(text, sizeof(text), "%s/iommu_group", dir);
    put_link(text, "../../../kernel/iommu_groups/%u", d->number);
    snprintf(text, sizeof(text), "sys/kernel/iommu_groups/%u/devices/%s", d->number, bdf);
    put_link(text, "../../../../devices/tenon/%s", bdf);
    snprintf(text, sizeof(text), "sys/bus/pci/drivers/vfio-pci/%s", bdf);
    put_link(text, "../../../../devices/tenon/%s", bdf);
    snprintf(text, sizeof(text), "%s/driver", dir);
    put_link(text, "../../../bus/pci/drivers/vfio-pci");
    snprintf(text, sizeof(text), "sys/bus/pci/devices/%s", bdf);
    put_link(text, "../../../devices/tenon/%s", bdf);
}

int tree_make(const char *at)
{
    if (strlen(at) >= sizeof(root)) {
        return -ENAMETOOLONG;
    }
    strcpy(root, at);
    if (mkdir(root, 0755) != 0) {
        return -errno;
    }
    put("", 0, "dev/iommu");
    put("", 0, "dev/vfio/vfio");
    for (unsigned i = 0; i < sw_count(); i++) {
        device(sw_number(i));
    }
    return -failed;
}

static int gone(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

void tree_remove(void)
{
    if (root[0] != 0) {
        (void)nftw(root, gone, 16, FTW_DEPTH | FTW_PHYS);
    }
}
