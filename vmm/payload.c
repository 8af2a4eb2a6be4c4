/* SPDX-License-Identifier: BSD-2-Clause */
/* What this program knows of our payload (payload/report.h). */
#include "payload.h"

static uint64_t first_register(unsigned program, unsigned flags, uint64_t arg, uint64_t count)
{
    return (program & 0xff) | (uint64_t)(flags & 0xff) << 8 | (arg & 0xffff) << 16 | count << 32;
}

uint64_t payload_load(uint64_t conversions, uint64_t inplace, unsigned flags)
{
    return first_register(PAYLOAD_LOAD, flags, (inplace + 999) / 1000, conversions);
}

uint64_t payload_program(enum payload_program program, unsigned flags, uint64_t count)
{
    return first_register(program, flags, 0, count);
}

struct load_report load_report(const struct tn_vm_stat *s)
{
    const uint64_t *r = s->report;
    return (struct load_report){
        .phase = r[R_PHASE],
        .conversions = r[R_CONVERSIONS],
        .inplace = r[R_INPLACE],
        .commands = r[R_COMMANDS],
        .bytes = r[R_BYTES],
        .errors = r[R_NVME_ERRORS],
        .wrong_dma = r[R_WRONG_DMA],
        .wrong_cpu = r[R_WRONG_CPU],
        .touches = r[R_CPU_TOUCHES],
        .faults = r[R_CPU_FAULTS],
        .unexpected = r[R_UNEXPECTED],
        .provoked = r[R_PROVOKED],
        .big = r[R_BIG],
        .max_pending = r[R_MAX_PENDING],
        .dma_shared = r[R_DMA_SHARED],
        .first_addr = r[R_FIRST_ADDR],
        .first_want = r[R_FIRST_WANT],
        .first_seen = r[R_FIRST_SEEN],
        .first_at = r[R_FIRST_AT],
        .first_by_cpu = r[R_FIRST_KIND] == R_WRONG_CPU,
        .last_call = r[R_LAST_CALL],
        .last_result = r[R_LAST_RESULT],
    };
}

void load_print_report(const struct tn_vm_stat *s)
{
    struct load_report r = load_report(s);
    printf(
        "  its program  phase %llu, %s conversions (%s of 2M; %s pending at most), %s in place\n",
        (unsigned long long)r.phase, ui_count(r.conversions), ui_count(r.big),
        ui_count(r.max_pending), ui_count(r.inplace));
    printf("               %s NVMe commands, %s MB, %s errors, %s shared pages used by DMA\n",
           ui_count(r.commands), ui_count(r.bytes / 1000000), ui_count(r.errors),
           ui_count(r.dma_shared));
    printf("               %s words touched; wrong: %s by DMA, %s by CPU; %s faults\n",
           ui_count(r.touches), ui_count(r.wrong_dma), ui_count(r.wrong_cpu), ui_count(r.faults));
    if (r.wrong_dma + r.wrong_cpu) {
        printf("               first wrong word at %#llx: %#llx instead of %#llx, after %s\n",
               (unsigned long long)r.first_addr, (unsigned long long)r.first_seen,
               (unsigned long long)r.first_want, ui_count(r.first_at));
    }
    if (r.unexpected) {
        printf("               %s calls answered wrongly, first %#llx: %lld\n",
               ui_count(r.unexpected), (unsigned long long)r.last_call, (long long)r.last_result);
    }
}
