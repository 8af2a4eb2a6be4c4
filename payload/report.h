/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the VM's program tells its owner: arguments, and the counters of TN_GUEST_REPORT. Shared with
 * the host's `tenon`.
 */
#ifndef TENON_PAYLOAD_REPORT_H
#define TENON_PAYLOAD_REPORT_H

/* x0 at entry: program [7:0], flags [15:8], arg [31:16], count [63:32]. */
enum payload_program {
    PAYLOAD_LOAD = 1,
    PAYLOAD_TIMER = 2,
    PAYLOAD_WILD = 3,
    PAYLOAD_FOREIGN = 4,
    PAYLOAD_GAVEUP = 5,
    PAYLOAD_SECRET = 6,
    PAYLOAD_SHARE1 = 7,
    PAYLOAD_DMA = 8,
};
enum {                        /* flags of PAYLOAD_LOAD */
       PAYLOAD_4K_ONLY = 1,   /* no 2M conversions */
       PAYLOAD_NO_NVME = 2,   /* CPU only */
       PAYLOAD_WHOLE = 4,     /* fill and check every byte of every page, always */
       PAYLOAD_SCATTERED = 8, /* every conversion in another 2M; default: clusters of some */
       PAYLOAD_NO_FAULT = 16, /* phase 3 without its deliberate fault */
};

enum payload_report {
    R_PHASE = 0,   /* that runs now */
    R_CONVERSIONS, /* confirmed, with separate backing */
    R_INPLACE,     /* confirmed, in place */
    R_COMMANDS,    /* NVMe commands completed */
    R_BYTES,       /* moved by them */
    R_NVME_ERRORS, /* commands with an error status, or that never ended */
    R_WRONG_DMA,   /* wrong 8-byte words found after a device wrote a page */
    R_WRONG_CPU,   /* wrong words seen by the CPU in pages that no device touched */
    R_CPU_TOUCHES, /* words read and written beside conversions */
    R_CPU_FAULTS,  /* exceptions taken that were not provoked */
    R_UNEXPECTED,  /* results of calls that are not what they must be */
    R_TICKS,       /* of the counter, at the last report */
    R_REQUESTED,   /* conversions asked for */
    R_REFUSED,     /* requests that were answered with an error */
    R_FIRST_ADDR,  /* guest physical address of the first wrong word */
    R_FIRST_WANT,  /* what it should be */
    R_FIRST_SEEN,  /* what it was */
    R_FIRST_AT,    /* conversions confirmed when it was found */
    R_BIG,         /* conversions of 2M ranges among those confirmed */
    R_WHOLE_PAGES, /* pages of which every byte was compared */
    R_DMA_SHARED,  /* pages that a device used while they were shared */
    R_PROVOKED,    /* exceptions taken on purpose (attackers) */
    R_LAST_RESULT, /* of the first unexpected call: its result */
    R_LAST_CALL,   /* and which one */
    R_MAX_PENDING, /* most requests pending at once */
    R_EXIT_CODE,
    R_FIRST_KIND, /* of the first wrong word: R_WRONG_DMA or R_WRONG_CPU */
    R_COUNT
};

#endif
