/* SPDX-License-Identifier: BSD-2-Clause */
/* The host kernel's view of PCI devices, by sysfs. */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PCI_DIR "/sys/bus/pci/devices/0000:"

static void device_path(char *path, size_t size, uint32_t bdf, const char *file)
{
    snprintf(path, size, PCI_DIR "%02x:%02x.%x/%s", bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7,
             file);
}

static bool read_hex(uint32_t bdf, const char *file, uint64_t *value)
{
    char path[128];
    char text[32];
    device_path(path, sizeof(path), bdf, file);
    return host_read_file(path, text, sizeof(text)) == 0 && parse_number(text, value);
}

bool pci_exists(uint32_t bdf)
{
    uint64_t vendor;
    return read_hex(bdf, "vendor", &vendor);
}

int pci_find(uint16_t vendor, uint16_t device, int skip)
{
    glob_t g;
    int found = -1;
    if (glob(PCI_DIR "*", 0, NULL, &g) != 0) {
        return -1;
    }
    for (size_t i = 0; i < g.gl_pathc && found < 0; i++) {
        uint64_t bdf;
        uint64_t v;
        uint64_t d;
        const char *name = strrchr(g.gl_pathv[i], '/') + 1;
        if (parse_bdf(name, &bdf) && read_hex((uint32_t)bdf, "vendor", &v) && v == vendor &&
            read_hex((uint32_t)bdf, "device", &d) && d == device && skip-- == 0) {
            found = (int)bdf;
        }
    }
    globfree(&g);
    return found;
}

/* /sys/class/nvme/nvmeN of the controller with this serial number. */
static bool nvme_controller(const char *serial, char *path, size_t size)
{
    glob_t g;
    bool found = false;
    if (glob("/sys/class/nvme/nvme*", 0, NULL, &g) != 0) {
        return false;
    }
    for (size_t i = 0; i < g.gl_pathc && !found; i++) {
        char file[160];
        char text[64];
        snprintf(file, sizeof(file), "%s/serial", g.gl_pathv[i]);
        if (host_read_file(file, text, sizeof(text)) == 0) {
            text[strcspn(text, " \n")] = 0;
            found = strcmp(text, serial) == 0;
            snprintf(path, size, "%s", g.gl_pathv[i]);
        }
    }
    globfree(&g);
    return found;
}

int pci_nvme(const char *serial)
{
    char path[96];
    char link[128];
    char target[256];
    uint64_t bdf;
    if (!nvme_controller(serial, path, sizeof(path))) {
        return -1;
    }
    snprintf(link, sizeof(link), "%s/device", path);
    ssize_t n = readlink(link, target, sizeof(target) - 1);
    if (n <= 0) {
        return -1;
    }
    target[n] = 0;
    const char *name = strrchr(target, '/');
    return parse_bdf(name ? name + 1 : target, &bdf) ? (int)bdf : -1;
}

bool pci_nvme_disk(const char *serial, char *path, size_t size)
{
    char controller[96];
    if (!nvme_controller(serial, controller, sizeof(controller))) {
        return false;
    }
    snprintf(path, size, "/dev/%sn1", strrchr(controller, '/') + 1);
    return access(path, R_OK | W_OK) == 0;
}

bool pci_driver(uint32_t bdf, char *name, size_t size)
{
    char path[128];
    char target[256];
    device_path(path, sizeof(path), bdf, "driver");
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    if (n <= 0) {
        return false;
    }
    target[n] = 0;
    const char *last = strrchr(target, '/');
    snprintf(name, size, "%s", last ? last + 1 : target);
    return true;
}

static void full_name(char *text, size_t size, uint32_t bdf)
{
    snprintf(text, size, "0000:%02x:%02x.%x", bdf >> 8 & 0xff, bdf >> 3 & 0x1f, bdf & 7);
}

int pci_unbind(uint32_t bdf)
{
    char path[128];
    char name[16];
    char driver[32];
    if (!pci_driver(bdf, driver, sizeof(driver))) {
        return 0;
    }
    device_path(path, sizeof(path), bdf, "driver/unbind");
    full_name(name, sizeof(name), bdf);
    return host_write_file(path, name);
}

int pci_bind(uint32_t bdf, const char *driver)
{
    char path[128];
    char name[16];
    snprintf(path, sizeof(path), "/sys/bus/pci/drivers/%s/bind", driver);
    full_name(name, sizeof(name), bdf);
    return host_write_file(path, name);
}

static int config_open(uint32_t bdf, int flags)
{
    char path[128];
    device_path(path, sizeof(path), bdf, "config");
    int fd = open(path, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int pci_config_read(uint32_t bdf, unsigned offset, unsigned size, uint32_t *value)
{
    int fd = config_open(bdf, O_RDONLY);
    if (fd < 0) {
        return fd;
    }
    *value = 0;
    ssize_t n = pread(fd, value, size, (off_t)offset);
    int error = n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
    close(fd);
    return error;
}

int pci_config_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value)
{
    int fd = config_open(bdf, O_RDWR);
    if (fd < 0) {
        return fd;
    }
    ssize_t n = pwrite(fd, &value, size, (off_t)offset);
    int error = n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
    close(fd);
    return error;
}

int pci_bar(uint32_t bdf, int bar, uint64_t *base, uint64_t *size)
{
    char path[128];
    char text[2048];
    device_path(path, sizeof(path), bdf, "resource");
    int error = host_read_file(path, text, sizeof(text));
    if (error) {
        return error;
    }
    const char *line = text;
    for (int i = 0; i < bar && line; i++) {
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    unsigned long long start;
    unsigned long long end;
    if (!line || sscanf(line, "%llx %llx", &start, &end) != 2 || end <= start) {
        return -ENODEV;
    }
    *base = start;
    *size = end - start + 1;
    return 0;
}

volatile uint64_t *pci_map_bar(uint32_t bdf, int bar, uint64_t *size)
{
    char path[128];
    char file[16];
    uint64_t base;
    if (pci_bar(bdf, bar, &base, size) != 0) {
        return NULL;
    }
    snprintf(file, sizeof(file), "resource%d", bar);
    device_path(path, sizeof(path), bdf, file);
    int fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    void *p = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}
