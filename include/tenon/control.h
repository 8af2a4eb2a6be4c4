/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control interface between the host's `tenon` program and the hypervisor. No kernel module: a
 * small MMIO region outside System RAM, described by a device-tree node
 *
 *     tenon-control@... { compatible = "tenon,control"; reg = <base size>; };
 *
 * that a root process maps through /dev/mem. Layout from `base`:
 *
 *     0x00000 .. 0xfffff   TN_SLOTS slots of 64 KiB: a request page, then 60 KiB of data
 *     0x100000             doorbell page: not mapped; a 64-bit store to offset slot * 8 traps
 *
 * A process takes a slot with a lock of the host's (a file lock), fills the request, stores any
 * value to the slot's doorbell with a plain 64-bit store, and finds the answer in the same page
 * when the store retires. The hypervisor copies the request once before it looks at it. The mapping
 * is Device memory on the host's side: aligned 1/2/4/8-byte accesses only, no memcpy().
 * Each call runs to its end or answers -EAGAIN after a bounded step: call again with the same
 * arguments (progress in out[0] of out[1]).
 */
#ifndef TENON_CONTROL_H
#define TENON_CONTROL_H

#include <stdint.h>

#define TN_CONTROL_MAGIC   0x4e4f4e4554ull /* "TENON" */
#define TN_CONTROL_VERSION 1u
#define TN_SLOTS           16u
#define TN_SLOT_SIZE       0x10000u
#define TN_DATA_OFFSET     0x1000u
#define TN_DATA_SIZE       (TN_SLOT_SIZE - TN_DATA_OFFSET)
#define TN_DOORBELL_OFFSET 0x100000u
#define TN_CONTROL_SIZE    0x101000u

struct tn_request {
    uint64_t magic;   /* TN_CONTROL_MAGIC */
    uint32_t version; /* TN_CONTROL_VERSION; else -EPROTO and out[0] = the hypervisor's */
    uint32_t op;
    uint64_t arg[6];
    int64_t result; /* written by the hypervisor: 0 or a negative errno */
    uint64_t out[8];
    uint64_t data_len; /* bytes of data given or answered */
};

enum tn_op {
    TN_HELLO = 0, /* out: version, nr of CPUs, VM slots */
    TN_INFO,      /* data: struct tn_info */
    TN_LOG, /* arg0: 0 this boot, 1 the previous one; arg1: offset. data: text; out0: next offset */
    TN_VM_CREATE,  /* arg0: bytes (multiple of 2 MiB), arg1: flags TN_VM_*, arg2: the owner's token.
                     out0: id */
    TN_VM_PREPARE, /* arg0: id. Scrubs and maps; -EAGAIN until done (out0 of out1) */
    TN_VM_POPULATE, /* arg0: id, arg1: guest physical address, data: content. -EPERM once sealed */
    TN_VM_SEAL,     /* arg0: id, arg1: entry (guest physical), arg2: x0 at entry */
    TN_VM_RUN,  /* arg0: id, arg1: vcpu, arg2: longest time in us. out0: enum tn_exit, out1: value.
                  -EOPNOTSUPP: the caller's interrupt controller would not let EL2's timer end the run
                  (GICD_CTLR.EnableGrp1A clear, this CPU's redistributor asleep, or an interrupt in
                  service); what its priority mask and group enable say does not matter */
    TN_VM_STAT, /* arg0: id. data: struct tn_vm_stat */
    TN_VM_CONSOLE, /* arg0: id. data: bytes written by the guest since the last call */
    TN_VM_PENDING, /* arg0: id. data: struct tn_pending[], oldest first */
    TN_VM_COMMIT,  /* arg0: id, arg1: request id. -ENOENT no such request */
    TN_VM_REJECT,  /* arg0: id, arg1: request id */
    TN_VM_CONVERT, /* arg0: id, arg1: gpa, arg2: bytes, arg3: 1 shared 0 private, arg4: TN_INPLACE.
                       Before seal only, or a guest's pending request covers it exactly: else -EPERM */
    TN_VM_MEM, /* arg0: id, arg1: from gpa. data: struct tn_mem_run[]; out0: next gpa, 0 at the end */
    TN_VM_WINDOW, /* arg0: id, arg1: gpa. out0: host physical address of the shared page; -EPERM private */
    TN_VM_DESTROY, /* arg0: id. -EBUSY running (or interrupted within the last millisecond) or has
                       devices; -EAGAIN until all is given back, to be zeroed before another's use */
    TN_VM_MERGE,   /* arg0: id. merges what is uniform; out0/out1: leaves of CPU tree / I/O tree */
    TN_DEV_LIST,   /* data: struct tn_device[] */
    TN_DEV_TAKE,   /* arg0: bdf, arg1: VM id: from the host to that VM, reset on the way */
    TN_DEV_RETURN, /* arg0: bdf: stopped, reset, back to the host. -EBUSY as TN_VM_DESTROY */
    TN_HOST_MODE,  /* arg0: 0 ask, 1 share, 2 mirror: the host's own domain. out0: mode now.
                       To share: -EBUSY while a VM that was prepared in mirror mode exists */
    TN_DOM_ALLOC,  /* out0: domain id (the host's own I/O domains; E1) */
    TN_DOM_FREE,   /* arg0: domain */
    TN_DOM_ATTACH, /* arg0: domain, arg1: bdf */
    TN_DOM_DETACH, /* arg0: domain, arg1: bdf: back to the host's domain */
    TN_DOM_MAP, /* arg0: domain, arg1: iova, arg2: host physical, arg3: bytes, arg4: 1 R 2 W. Pins */
    TN_DOM_UNMAP, /* arg0: domain, arg1: iova, arg2: bytes */
    TN_DOM_IOVA,  /* arg0: domain, arg1: iova. out0: host physical */
    TN_MEM_DONATE, /* arg0: host physical, arg1: bytes (2 MiB multiples): host gives RAM to the pool */
    TN_MEM_RECLAIM, /* arg0: host physical, arg1: bytes: back, zeroed; only what was donated, if free */
    TN_FRAMES,      /* arg0: from pa. data: struct tn_frame_run[]; out0: next pa, 0 at the end */
    TN_AUDIT,  /* out: violations, digest, frames, leaves, table pages. data: text of the first */
    TN_EVENTS, /* data: struct tn_event[] not read yet; out0: total since boot, out1: lost */
    TN_OPS
};

enum {                         /* TN_VM_CREATE flags */
       TN_VM_SHARE = 1u << 0,  /* CPU and SMMU walk one tree; default: mirror, a tree each */
       TN_VM_PRECUT = 1u << 1, /* 4K leaves from the start: for hardware that cannot cut live */
       TN_VM_SINGLE = 1u << 2, /* no separate backing for shared pages: in place only */
};
#define TN_INPLACE 1u

enum tn_exit {
    TN_EXIT_INTERRUPTED = 0, /* a host interrupt or the deadline: just run again */
    TN_EXIT_YIELD,           /* the guest asks for its owner's attention (value: its word) */
    TN_EXIT_OFF,             /* the guest stopped (value: its code) */
    TN_EXIT_FAULT, /* touched what it may not (value: guest physical address, ~0 if it was a page without that right) */
    TN_EXIT_UNHANDLED, /* an instruction that is not emulated (value: ESR_EL2) */
};

struct tn_pending {
    uint64_t id; /* never reused */
    uint64_t gpa;
    uint64_t bytes;
    uint32_t to_shared;
    uint32_t inplace;
};

#define TN_REPORTS 32u
struct tn_vm_stat {
    uint32_t id, state; /* enum tn_vm_state */
    uint32_t flags, vcpus;
    uint64_t bytes;
    uint64_t conversions, conversions_inplace, pending, requests;
    uint64_t cpu_leaves[4], io_leaves[4], cpu_tables, io_tables;
    uint64_t cuts, merges, refreshes, faults, exits;
    uint64_t owner; /* token given by the creator (arg2 of create), usually its pid */
    uint32_t devices, vmid;
    uint64_t report[TN_REPORTS]; /* counters the guest reports: TN_GUEST_REPORT */
};
enum tn_vm_state {
    TN_VM_FREE,
    TN_VM_CREATING,
    TN_VM_OPEN,
    TN_VM_SEALED,
    TN_VM_RUNNING,
    TN_VM_OFF,
    TN_VM_DYING
};

struct tn_mem_run { /* pages alike in every respect */
    uint64_t gpa, bytes, pa;
    uint8_t state;               /* enum gmem_state */
    uint8_t cpu_level, io_level; /* leaf level; 0xff: not mapped */
    uint8_t pad;
    uint16_t owner, borrower, pins, pad2;
};
struct tn_frame_run {
    uint64_t pa, frames;
    uint16_t owner, borrower, pins;
    uint8_t state, flags;
};
struct tn_device {
    uint32_t bdf, sid;
    uint16_t vendor, device;
    uint32_t class_code;
    uint16_t owner;
    uint8_t assignable, bridge;
    char why_not[44]; /* empty when assignable */
};
struct tn_event {
    uint32_t sid;
    uint16_t owner; /* of the device when it happened */
    uint8_t type, write;
    uint64_t addr, ipa, time_ns;
    char what[40];
};
struct tn_info {
    char version[16];
    uint32_t cpus, vmid_bits, cpu_bbm, smmu_bbm;
    uint32_t smmu_stage1, smmu_stage2, cpu_hw_dirty, smmu_hw_dirty;
    uint32_t vms, devices, host_mode,
        share_live; /* share_live: 1 a shared VM tree can change live */
    uint64_t ram_base, ram_bytes, host_base, host_bytes, pool_base, pool_bytes, hyp_bytes;
    uint64_t chunks_free, tables_free, uptime_ns, events;
    uint64_t host_cpu_leaves[4], host_io_leaves[4], host_cpu_tables, host_io_tables;
    char share_why[96]; /* why share mode cannot change live, or empty */
    char cpu[32];
};

#endif
