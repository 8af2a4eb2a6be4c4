/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts of a software device: eventfds that VFIO_DEVICE_SET_IRQS gave for INTx, MSI or MSI-X. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "iommufd/swdev.h"
#include "iommufd/vfio_uapi.h"

void irq_off(struct sw_dev *d, unsigned index)
{
    for (unsigned v = 0; v < SW_VECTORS; v++) {
        if (d->irq[index][v] >= 0) {
            close(d->irq[index][v]);
            d->irq[index][v] = -1;
        }
    }
    d->enabled[index] = false;
}

static void nothing(int sig)
{
    (void)sig;
}

/* The counter is the client's too, and a full one would make us wait: a timer ends that. */
static void signal_fd(int fd)
{
    const struct sigaction act = { .sa_handler = nothing };
    const struct itimerval soon = { .it_value = { .tv_usec = 2000 } },
                           never = { .it_value = { 0 } };
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    const uint64_t one = 1;
    static bool ready;

    if (fd < 0 || poll(&p, 1, 0) != 1) {
        return;
    }
    if (!ready) {
        ready = sigaction(SIGALRM, &act, NULL) == 0;
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    (void)!write(fd, &one, sizeof(one));
    setitimer(ITIMER_REAL, &never, NULL);
}

/* INTx is a level: signalled once, then masked until the program says that it has looked (VFIO's
 * AUTOMASKED), and again then if it is still there. */
static void intx(struct sw_dev *d)
{
    if (d->enabled[V_INTX] && !d->intx_masked) {
        d->intx_masked = true;
        signal_fd(d->irq[V_INTX][0]);
    }
}

/* By the best that is enabled, as a device does: with MSI-X the other two are silent. */
void sw_interrupt(struct sw_dev *d, unsigned vector)
{
    if (d->enabled[V_MSIX]) {
        signal_fd(vector < SW_VECTORS ? d->irq[V_MSIX][vector] : -1);
    } else if (d->enabled[V_MSI]) {
        signal_fd(d->irq[V_MSI][0]);
    } else {
        intx(d);
    }
}

static void intx_again(struct sw_dev *d)
{
    if (d->model->intx != NULL && d->model->intx(d)) {
        intx(d);
    }
}

uint32_t irq_count(const struct sw_dev *d, uint32_t index)
{
    return index == V_INTX   ? 1
           : index == V_MSI  ? d->model->msi_vectors
           : index == V_MSIX ? d->model->msix_vectors
                             : 0;
}

int irq_info_call(struct call *c, struct sw_dev *d)
{
    struct v_irq_info i;
    int err = vfio_args(c, &i, sizeof(i));

    if (err != 0) {
        return err;
    }
    if (i.index >= SW_IRQS) {
        return -EINVAL;
    }
    i.count = irq_count(d, i.index);
    i.flags = V_IRQ_EVENTFD | (i.index == V_MSI    ? V_IRQ_NORESIZE
                               : i.index == V_INTX ? V_IRQ_MASKABLE | V_IRQ_AUTOMASKED
                                                   : 0);
    return mm_write(c->mm, c->arg, &i, sizeof(i));
}

/* What else could be written to might make us wait, or send a signal. */
static int take_eventfd(struct call *c, int number)
{
    char path[32], what[32];
    int fd = c->fd_get(c, number);

    if (fd < 0) {
        return fd;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, what, sizeof(what) - 1);

    what[n > 0 ? n : 0] = 0;
    if (strcmp(what, "anon_inode:[eventfd]") != 0) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}

/* Eventfds: all are fetched before the first is set. */
static int irq_eventfds(struct call *c, struct sw_dev *d, const struct v_irq_set *s)
{
    int fd[SW_VECTORS], err = 0;
    uint32_t n = 0;

    for (; n < s->count && err == 0; n++) {
        int32_t number;

        fd[n] = -1;
        err = mm_read(c->mm, &number, c->arg + sizeof(*s) + n * sizeof(number), sizeof(number));
        if (err == 0 && number >= 0) {
            fd[n] = take_eventfd(c, number);
            err = fd[n] < 0 ? fd[n] : 0;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        if (err != 0) {
            if (fd[i] >= 0) {
                close(fd[i]);
            }
            continue;
        }
        int *to = &d->irq[s->index][s->start + i];

        if (*to >= 0) {
            close(*to);
        }
        *to = fd[i];
    }
    if (err == 0 && !d->enabled[s->index]) {
        d->enabled[s->index] = true;
        d->intx_masked = false;
        intx_again(d);
    }
    return err;
}

static int irq_mask(struct sw_dev *d, const struct v_irq_set *s, bool on)
{
    if (s->index != V_INTX || (s->flags & V_SET_DATA) != V_SET_NONE) {
        return -ENOTTY;
    }
    d->intx_masked = s->count != 0 ? on : d->intx_masked;
    intx_again(d);
    return 0;
}

int irqs_call(struct call *c, struct sw_dev *d)
{
    struct v_irq_set s;
    int err = vfio_args(c, &s, sizeof(s));
    uint32_t data = s.flags & V_SET_DATA, action = s.flags & V_SET_ACTION;

    if (err != 0) {
        return err;
    }
    if (s.index >= SW_IRQS || (s.flags & ~(uint32_t)(V_SET_DATA | V_SET_ACTION)) != 0 ||
        (data != V_SET_NONE && data != V_SET_BOOL && data != V_SET_EVENTFD) ||
        (action != V_SET_MASK && action != V_SET_UNMASK && action != V_SET_TRIGGER) ||
        s.start > irq_count(d, s.index) || s.count > irq_count(d, s.index) - s.start) {
        return -EINVAL;
    }
    if (s.argsz < sizeof(s) + s.count * (data == V_SET_EVENTFD ? 4u : data == V_SET_BOOL)) {
        return -EINVAL;
    }
    if (action != V_SET_TRIGGER) {
        return irq_mask(d, &s, action == V_SET_MASK);
    }
    if (data == V_SET_EVENTFD) {
        return irq_eventfds(c, d, &s);
    }
    if (data == V_SET_NONE && s.count == 0) {
        irq_off(d, s.index);
        return 0;
    }
    if (!d->enabled[s.index]) {
        return -EINVAL;
    }
    for (uint32_t i = 0; i < s.count; i++) {
        unsigned char on = 1;

        if (data == V_SET_BOOL && mm_read(c->mm, &on, c->arg + sizeof(s) + i, 1) != 0) {
            return -EFAULT;
        }
        if (on != 0) {
            signal_fd(d->irq[s.index][s.start + i]);
        }
    }
    return 0;
}
