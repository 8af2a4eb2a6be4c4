/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory as the hypervisor sees it: lists of runs, read whole. */
#include "mem.h"

#include <errno.h>
#include <stdlib.h>

/* Reads a list that comes in pieces, each from where the last one ended. */
static int read_runs(struct ctl *c, uint32_t op, uint64_t vm, size_t size, void **list, size_t *n)
{
    char *all = NULL;
    size_t have = 0;
    uint64_t from = 0;
    *list = NULL;
    *n = 0;
    for (;;) {
        struct reply r;
        uint64_t arg[6] = { from };
        if (op == TN_VM_MEM) {
            arg[0] = vm;
            arg[1] = from;
        }
        if (ctl_call(c, &r, op, arg) == -EAGAIN) {
            continue;
        }
        if (r.result != 0) {
            free(all);
            return r.result;
        }
        size_t more = r.len / size;
        char *grown = realloc(all, (have + more + 1) * size);
        if (!grown) {
            free(all);
            return -ENOMEM;
        }
        all = grown;
        ctl_get(c, all + have * size, 0, more * size);
        have += more;
        if (r.out[0] <= from) {
            break;
        }
        from = r.out[0];
    }
    *list = all;
    *n = have;
    return 0;
}

int mem_read(struct ctl *c, uint64_t vm, struct mem_list *list)
{
    void *p;
    int error = read_runs(c, TN_VM_MEM, vm, sizeof(*list->run), &p, &list->n);
    list->run = p;
    return error;
}

int frames_read(struct ctl *c, struct frame_list *list)
{
    void *p;
    int error = read_runs(c, TN_FRAMES, 0, sizeof(*list->run), &p, &list->n);
    list->run = p;
    return error;
}

const char *mem_state_name(uint8_t state)
{
    return state == GMEM_PRIVATE          ? "private"
           : state == GMEM_SHARED         ? "shared"
           : state == GMEM_SHARED_INPLACE ? "shared in place"
                                          : "?";
}

const char *mem_level_name(uint8_t level)
{
    static const char *const names[] = { "512G", "1G", "2M", "4K" };
    return level < COUNT(names) ? names[level] : "-";
}
