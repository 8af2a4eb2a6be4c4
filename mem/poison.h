/* SPDX-License-Identifier: BSD-2-Clause */
/* Chunks some of whose frames may be bad: as frames_hold, frames_unhold and frame_chunk_free, around them. */
#ifndef MEM_POISON_H
#define MEM_POISON_H

#include <tenon/frame.h>

int gmem_hold_chunk(uint64_t pa, owner_t owner);
/* Those of the first n frames that are held. */
void gmem_unhold_chunk(uint64_t pa, uint64_t n);
/* A held one. With a bad frame in it, it is the hypervisor's for ever. */
void gmem_free_chunk(uint64_t pa, owner_t owner);

#endif
