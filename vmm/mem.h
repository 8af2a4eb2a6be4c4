/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory as the hypervisor sees it: lists of runs, read whole. */
#ifndef MEM_H
#define MEM_H

#include "vmm.h"

struct mem_list { /* of one VM */
    struct tn_mem_run *run;
    size_t n;
};
struct frame_list { /* of the machine */
    struct tn_frame_run *run;
    size_t n;
};

/* 0 or -errno; -ENOMEM when this process has no memory left. The caller frees ->run. */
int mem_read(struct ctl *c, uint64_t vm, struct mem_list *list);
int frames_read(struct ctl *c, struct frame_list *list);

/* Draws them; 0 or -errno. */
int svg_write(const char *path, const struct mem_list *mem, const struct tn_vm_stat *stat,
              const struct frame_list *frames);

const char *mem_state_name(uint8_t state);
const char *mem_level_name(uint8_t level); /* "1G", "2M", "4K", "-" */

#endif
