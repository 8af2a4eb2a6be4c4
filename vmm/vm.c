/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps of a VM's life, each a few calls. */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int vm_create(struct ctl *c, uint64_t bytes, uint64_t flags, const char **step)
{
    struct reply r;
    *step = "create";
    if (CTL(c, &r, TN_VM_CREATE, bytes, flags, (uint64_t)getpid()) != 0) {
        return r.result;
    }
    int id = (int)r.out[0];
    *step = "prepare";
    if (CTL_FINISH(c, &r, "zeroing and mapping memory (MiB)", TN_VM_PREPARE, (uint64_t)id) != 0) {
        int error = r.result;
        vm_destroy(c, (uint64_t)id);
        return error;
    }
    return id;
}

int vm_populate(struct ctl *c, uint64_t vm, uint64_t gpa, const void *data, uint64_t len)
{
    const unsigned char *p = data;
    for (uint64_t done = 0; done < len;) {
        struct reply r;
        uint64_t n = len - done < TN_DATA_SIZE ? len - done : TN_DATA_SIZE;
        do {
            ctl_put(c, p + done, n);
        } while (CTL(c, &r, TN_VM_POPULATE, vm, gpa + done) == -EAGAIN);
        if (r.result != 0) {
            return r.result;
        }
        done += n;
    }
    return 0;
}

int vm_populate_file(struct ctl *c, uint64_t vm, uint64_t gpa, const char *path, uint64_t *len)
{
    static unsigned char block[TN_DATA_SIZE];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int error = 0;
    ssize_t n;
    *len = 0;
    while (!error && (n = read(fd, block, sizeof(block))) > 0) {
        error = vm_populate(c, vm, gpa + *len, block, (uint64_t)n);
        *len += (uint64_t)n;
    }
    close(fd);
    return error;
}

int vm_seal(struct ctl *c, uint64_t vm, uint64_t entry, uint64_t x0)
{
    struct reply r;
    return CTL(c, &r, TN_VM_SEAL, vm, entry, x0);
}

int vm_destroy(struct ctl *c, uint64_t vm)
{
    struct reply r;
    return CTL_FINISH(c, &r, "zeroing and freeing memory (MiB)", TN_VM_DESTROY, vm);
}

const char *vm_state_name(uint32_t state)
{
    static const char *const names[] = { "free",    "creating", "open", "sealed",
                                         "running", "off",      "dying" };
    return state < COUNT(names) ? names[state] : "?";
}

const char *vm_exit_name(uint64_t code)
{
    static const char *const names[] = { "interrupted", "asks for its owner", "stopped",
                                         "touched what it may not",
                                         "ran an instruction that is not emulated" };
    return code < COUNT(names) ? names[code] : "?";
}

int vm_console_print(struct ctl *c, uint64_t vm, const char *prefix)
{
    static char text[TN_DATA_SIZE];
    static bool middle; /* of a line that was begun earlier */
    struct reply r;
    int total = 0;
    while (CTL(c, &r, TN_VM_CONSOLE, vm) == 0 && r.len > 0) {
        ctl_get(c, text, 0, r.len);
        for (uint64_t i = 0; i < r.len; i++) {
            if (text[i] == '\r') {
                continue;
            }
            if (!middle) {
                fputs(prefix, stdout);
            }
            putchar(text[i]);
            middle = text[i] != '\n';
        }
        total += (int)r.len;
    }
    fflush(stdout);
    return r.result < 0 ? r.result : total;
}

int vm_take(struct ctl *c, uint32_t bdf, uint64_t vm)
{
    struct reply r;
    int error = pci_unbind(bdf);
    if (error) {
        return error;
    }
    do {
        CTL(c, &r, TN_DEV_TAKE, bdf, vm);
    } while (r.result == -EAGAIN);
    return r.result;
}

int vm_return(struct ctl *c, uint32_t bdf, const char *driver)
{
    struct reply r;
    do {
        CTL(c, &r, TN_DEV_RETURN, bdf);
    } while (r.result == -EAGAIN);
    if (r.result == 0 && driver) {
        return pci_bind(bdf, driver);
    }
    return r.result;
}
