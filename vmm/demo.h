/* SPDX-License-Identifier: BSD-2-Clause */
/* The demonstration's sections. Each adds its rows to the final table. */
#ifndef DEMO_H
#define DEMO_H

#include "load.h"
#include "model.h"

struct demo {
    struct ctl c;
    struct tn_info info;
    struct checks t;
    uint64_t host_bytes;             /* through the host's disk, each mode */
    uint64_t mirror, share, inplace; /* conversions */
    uint64_t vm_bytes;
    bool matrix; /* other hardware: what it cannot do must be refused with the reason */
    bool attacks;
    uint64_t done; /* conversions that changed a VM tree */
};

void demo_host(struct demo *d);
/* Waits until the kernel's driver has found the disk again; false after 10 s. */
bool demo_wait_disk(const char *serial, char *path, size_t size);

struct demo_vm {
    const char *name;     /* "mirror" */
    uint64_t flags;       /* TN_VM_* */
    uint64_t conversions; /* wanted, separate backing */
    uint64_t inplace;
};
void demo_vm(struct demo *d, const struct demo_vm *v);

/* attack.c: every attack; its rows are added as one for each kind, and one for each failure. */
void attack_all(struct ctl *c, struct checks *t, const char *only);

#endif
