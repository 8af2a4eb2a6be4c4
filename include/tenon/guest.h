/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a protected VM may ask of the hypervisor: HVC #0 (SMCCC DEN0028, 64-bit vendor-specific
 * hypervisor service calls), function in x0, arguments x1.., result in x0 (0, a value, or a negative
 * errno), more results in x1..x3. PSCI (DEN0022) works by HVC too.
 */
#ifndef TENON_GUEST_H
#define TENON_GUEST_H

#define TN_GUEST_RAM     0x40000000ul /* guest physical address of its memory */
#define TN_GUEST_DEVICES 0x10000000ul /* device registers are mapped from here */

#define TN_GUEST_INFO 0xc6000000ul /* x1: bytes of memory, x2: devices, x3: version */
/* Ask for [x1, x1+x2) to become shared (x3 = 1) or private (0), in place if x4 = 1. Result: request
 * number >= 1; -EAGAIN when 64 are pending; -EINVAL; -EFAULT not your memory; -EBUSY overlaps one
 * that is pending. Nothing changes until the owner commits. */
#define TN_GUEST_CONVERT 0xc6000001ul
/* x0: number of requests pending; x1: bit (id % 64) set for each pending request. */
#define TN_GUEST_PENDING 0xc6000002ul
#define TN_GUEST_CANCEL  0xc6000003ul /* x1: request number; -ENOENT when committed meanwhile */
#define TN_GUEST_CONSOLE 0xc6000004ul /* x1: bytes (1..40) packed in x2..x6, little endian */
#define TN_GUEST_DEVICE \
    0xc6000005ul /* x1: index. x0: vendor | device << 16; x1: registers' gpa, x2: size, x3: class */
#define TN_GUEST_REPORT 0xc6000006ul /* x1: index < 32, x2: value, shown to the owner */
#define TN_GUEST_YIELD \
    0xc6000007ul /* x1: a word for the owner: leaves TN_VM_RUN with TN_EXIT_YIELD */
#define TN_GUEST_STATE       0xc6000008ul /* x1: gpa. x0: 0 private 1 shared 2 shared in place */
#define TN_GUEST_PENDING_MAX 64ul

#endif
