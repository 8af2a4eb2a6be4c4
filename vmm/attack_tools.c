/* SPDX-License-Identifier: BSD-2-Clause */
/* Tools of the attackers (attack.h). */
#include "attack.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- touching what may not be touched ---- */

static sigjmp_buf back;
static volatile sig_atomic_t probing;

static void on_signal(int sig)
{
    if (!probing) {
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    siglongjmp(back, sig);
}

enum how { READ, WRITE, WRITE_HALF, WRITE_PAIR };

static int probe(volatile uint64_t *p, enum how how, uint64_t *value)
{
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_NODEFER };
    struct sigaction old_bus;
    struct sigaction old_segv;
    sigaction(SIGBUS, &act, &old_bus);
    sigaction(SIGSEGV, &act, &old_segv);
    probing = 1;
    int sig = sigsetjmp(back, 1);
    if (sig == 0) {
        switch (how) {
        case READ:
            *value = *p;
            break;
        case WRITE:
            *p = *value;
            break;
        case WRITE_HALF:
            __asm__ volatile("str %w0, [%1]" : : "r"(*value), "r"(p) : "memory");
            break;
        case WRITE_PAIR:
            __asm__ volatile("stp %0, %0, [%1]" : : "r"(*value), "r"(p) : "memory");
            break;
        }
        __asm__ volatile("dsb sy" : : : "memory");
    }
    probing = 0;
    sigaction(SIGBUS, &old_bus, NULL);
    sigaction(SIGSEGV, &old_segv, NULL);
    return sig;
}

int probe_read(const volatile uint64_t *p, uint64_t *value)
{
    uint64_t unused;
    return probe((volatile uint64_t *)(uintptr_t)p, READ, value ? value : &unused);
}

int probe_write(volatile uint64_t *p, uint64_t value)
{
    return probe(p, WRITE, &value);
}

int probe_write_half(volatile uint64_t *p)
{
    uint64_t one = 1;
    return probe(p, WRITE_HALF, &one);
}

int probe_write_pair(volatile uint64_t *p)
{
    uint64_t one = 1;
    return probe(p, WRITE_PAIR, &one);
}

const char *signal_name(int sig)
{
    return sig == SIGBUS    ? "SIGBUS"
           : sig == SIGSEGV ? "SIGSEGV"
           : sig == 0       ? "went through"
           : sig < 0        ? ui_format("cannot map: %s", strerror(-sig))
                            : ui_format("signal %d", sig);
}

int probe_pa(uint64_t pa, bool write)
{
    volatile uint64_t *p = dev_mem_map(pa & ~(PAGE - 1), PAGE);
    uint64_t value;
    if (!p) {
        return -errno;
    }
    int sig = write ? probe_write(p + pa % PAGE / 8, 0) : probe_read(p + pa % PAGE / 8, &value);
    munmap((void *)(uintptr_t)p, PAGE);
    return sig;
}

/* ---- edu: QEMU's teaching device, a DMA engine (docs/specs/edu of QEMU) ---- */

#define EDU_ID_LOW   0x010000edu
#define EDU_DMA_FROM 0x80
#define EDU_DMA_TO   0x88
#define EDU_DMA_LEN  0x90
#define EDU_DMA_CMD  0x98
#define EDU_BUFFER   0x40000u
#define EDU_START    1u
#define EDU_TO_RAM   2u

bool edu_open(struct edu *e, uint32_t bdf)
{
    uint64_t size;
    *e = (struct edu){ .bdf = bdf };
    /* Memory decoding and bus master (PCI 3.0, 6.2.2). */
    if (pci_config_write(bdf, 4, 2, 6) != 0) {
        return false;
    }
    e->reg = pci_map_bar(bdf, 0, &size);
    if (!e->reg || posix_memalign((void **)&e->page, PAGE, PAGE) != 0) {
        return false;
    }
    memset(e->page, 0x11, PAGE);
    return mlock(e->page, PAGE) == 0 && host_page_pa(e->page, &e->page_pa);
}

void edu_start(struct edu *e, uint64_t pa, uint64_t len, bool to_memory)
{
    e->reg[EDU_DMA_FROM / 8] = to_memory ? EDU_BUFFER : pa;
    e->reg[EDU_DMA_TO / 8] = to_memory ? pa : EDU_BUFFER;
    e->reg[EDU_DMA_LEN / 8] = len;
    e->reg[EDU_DMA_CMD / 8] = EDU_START | (to_memory ? EDU_TO_RAM : 0);
}

bool edu_wait(struct edu *e)
{
    double start = now();
    while (e->reg[EDU_DMA_CMD / 8] & EDU_START) {
        if (now() - start > 3) {
            return false;
        }
        usleep(1000);
    }
    return true;
}

bool edu_dma(struct edu *e, uint64_t pa, uint64_t len, bool to_memory)
{
    edu_start(e, pa, len, to_memory);
    return edu_wait(e);
}

int events_of(struct arena *a, uint32_t sid, uint64_t page, bool write, int *others)
{
    static struct tn_event list[TN_DATA_SIZE / sizeof(struct tn_event)];
    int mine = 0;
    int n;
    *others = 0;
    do {
        n = ctl_events(&a->c, list, (int)COUNT(list), NULL);
        for (int i = 0; i < n; i++) {
            bool hit = list[i].sid == sid && list[i].owner == OWNER_HOST &&
                       (bool)list[i].write == write && (list[i].addr & ~(PAGE - 1)) == page;
            mine += hit;
            *others += !hit;
        }
    } while (n == (int)COUNT(list));
    return mine;
}

/* ---- VM B ---- */

int b_convert(struct arena *a, uint64_t gpa, uint64_t bytes, bool shared)
{
    struct reply r;
    return CTL_FINISH(&a->c, &r, "converting", TN_VM_CONVERT, a->b, gpa, bytes, shared, TN_INPLACE);
}

volatile uint64_t *window_map(struct arena *a, uint64_t vm, uint64_t gpa, uint64_t *pa)
{
    struct reply r;
    if (CTL(&a->c, &r, TN_VM_WINDOW, vm, gpa) != 0) {
        return NULL;
    }
    *pa = r.out[0];
    return dev_mem_map(r.out[0], PAGE);
}

bool b_secret_intact(struct arena *a)
{
    uint64_t pa;
    bool good = false;
    if (b_convert(a, B_SECRET, PAGE, true) != 0) {
        return false;
    }
    volatile uint64_t *p = window_map(a, a->b, B_SECRET, &pa);
    if (p) {
        good = true;
        for (uint64_t i = 0; i < PAGE / 8; i++) {
            good &= p[i] == SECRET;
        }
        munmap((void *)(uintptr_t)p, PAGE);
    }
    return b_convert(a, B_SECRET, PAGE, false) == 0 && good;
}

int disk_from_a(struct arena *a)
{
    struct reply r;
    if (CTL_FINISH(&a->c, &r, "returning", TN_DEV_RETURN, a->disk) == 0) {
        model_device_owner(&a->want, a->disk, OWNER_HOST);
        a->want.vm[a->a].devices = 0;
    }
    return r.result;
}

/* ---- a VM that runs meanwhile ---- */

static void *background_main(void *arg)
{
    struct background *b = arg;
    host_pin(1);
    while (!atomic_load(&b->stop)) {
        struct reply r;
        b->result = CTL(&b->ctl, &r, TN_VM_RUN, b->vm, 0, 20000);
        if (b->result == -EBUSY || b->result == -EAGAIN) {
            atomic_fetch_add(&b->refused, 1);
            b->result = 0;
            continue;
        }
        b->exit = r.out[0];
        b->value = r.out[1];
        atomic_fetch_add(&b->runs, 1);
        if (b->result != 0 || b->exit >= TN_EXIT_OFF) {
            break;
        }
    }
    return NULL;
}

bool background_start(struct background *b, uint64_t vm)
{
    char why[256];
    b->vm = vm;
    b->result = 0;
    b->exit = b->value = 0;
    atomic_store(&b->stop, 0);
    atomic_store(&b->runs, 0);
    atomic_store(&b->refused, 0);
    if (ctl_open(&b->ctl, why, sizeof(why)) != 0) {
        return false;
    }
    if (pthread_create(&b->thread, NULL, background_main, b) != 0) {
        ctl_close(&b->ctl);
        return false;
    }
    host_pin(0);
    double start = now();
    while (atomic_load(&b->runs) < 2 && now() - start < 3) {
        usleep(1000);
    }
    return true;
}

void background_stop(struct background *b)
{
    atomic_store(&b->stop, 1);
    pthread_join(b->thread, NULL);
    usleep(3000); /* an interrupted VM counts as running for a millisecond */
    ctl_close(&b->ctl);
}

/* ---- both CPUs at once ---- */

struct half {
    struct both *b;
    struct ctl ctl;
    pthread_barrier_t *gate;
    int cpu;
};

static void *half_main(void *arg)
{
    struct half *h = arg;
    host_pin(h->cpu);
    pthread_barrier_wait(h->gate);
    h->b->result[h->cpu] = h->b->f(&h->ctl, h->b->arg[h->cpu]);
    return NULL;
}

bool run_both(struct both *b)
{
    struct half half[2];
    pthread_barrier_t gate;
    pthread_t thread[2];
    char why[256];
    pthread_barrier_init(&gate, NULL, 2);
    for (int i = 0; i < 2; i++) {
        half[i] = (struct half){ .b = b, .gate = &gate, .cpu = i };
        if (ctl_open(&half[i].ctl, why, sizeof(why)) != 0) {
            if (i == 1) {
                ctl_close(&half[0].ctl);
            }
            return false;
        }
    }
    pthread_create(&thread[0], NULL, half_main, &half[0]);
    pthread_create(&thread[1], NULL, half_main, &half[1]);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        ctl_close(&half[i].ctl);
    }
    pthread_barrier_destroy(&gate);
    host_pin(0);
    return true;
}

/* ---- host memory that can be donated ---- */

void *huge_page(uint64_t *pa)
{
    host_write_file("/proc/sys/vm/nr_hugepages", "4");
    void *p = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
        return NULL;
    }
    memset(p, 0x5a, 2 * MIB);
    if (!host_page_pa(p, pa) || *pa % (2 * MIB)) {
        huge_page_free(p);
        return NULL;
    }
    return p;
}

void huge_page_free(void *p)
{
    munmap(p, 2 * MIB);
    host_write_file("/proc/sys/vm/nr_hugepages", "0");
}
