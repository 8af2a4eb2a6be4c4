/* SPDX-License-Identifier: BSD-2-Clause */
/* As the kernel has it; the shims default to 3. */
#define XA_CHUNK_SHIFT 6
