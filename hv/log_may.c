/* SPDX-License-Identifier: BSD-2-Clause */
/* Rationing of lines that the host provokes; alone here so that a test has it with its own clock. */
#include <hv/log.h>
#include <tenon/port.h>

#define LINES_A_SECOND 32u

bool log_may(void)
{
    static struct port_lock ration;
    static uint64_t second, lines, dropped;
    uint64_t this_second = port_now() / 1000000000, lost = 0;

    port_lock(&ration);
    if (this_second != second) {
        lost = dropped;
        second = this_second;
        lines = 0;
        dropped = 0;
    }
    bool ok = lines++ < LINES_A_SECOND;

    dropped += ok ? 0 : 1;
    port_unlock(&ration);
    if (lost != 0) {
        port_log("host: %lu more such lines left out", lost);
    }
    return ok;
}
