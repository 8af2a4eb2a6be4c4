/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A BAR that is mapped is memory shared with the program: nothing tells when it is written. So it is
 * looked at, every FAST_NS while there was something to see lately and more and more seldom after, down to
 * SLOW_NS; not at all while nobody has one mapped. (The alternative, to stop the program at each access,
 * takes a signal handler in it that decodes instructions.)
 */
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "iommufd/server.h"
#include "iommufd/swdev.h"

#define FAST_NS 20000
#define SLOW_NS 1000000
#define LATELY  100u /* looks with nothing to see before it gets slower */

static struct watch timer = { .fd = -1 };
static long period;
static unsigned idle;

static void set_period(long ns)
{
    struct itimerspec t = { { 0, ns }, { 0, ns } };

    if (ns != period) {
        period = ns;
        timerfd_settime(timer.fd, 0, &t, NULL);
    }
}

static void look(struct watch *w)
{
    bool seen = false, any = false;
    uint64_t n;

    if (read(w->fd, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
        return;
    }
    for (unsigned i = 0; i < sw_count(); i++) {
        struct sw_dev *d = sw_number(i);

        if (d->mapped) {
            any = true;
            seen = d->model->poll(d) || seen;
        }
    }
    idle = seen ? 0 : idle + 1;
    if (!any) {
        set_period(0);
    } else if (seen) {
        set_period(FAST_NS);
    } else if (idle > LATELY && period < SLOW_NS) {
        set_period(2 * period < SLOW_NS ? 2 * period : SLOW_NS);
        idle = LATELY - 9; /* a few at each speed */
    }
}

void sw_poll_start(void)
{
    if (timer.fd < 0) {
        timer = (struct watch){ .fn = look };
        timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        if (timer.fd < 0 || server_watch(&timer) != 0) {
            abort(); /* without it the device would be deaf */
        }
    }
    idle = 0;
    set_period(FAST_NS);
}
