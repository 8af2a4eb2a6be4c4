/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `tenon`, the host's command-line program: what its files share.
 *
 * Exit codes: 0 ok, 1 a check or a call failed, 2 wrong usage, 3 the hypervisor cannot be reached.
 */
#ifndef VMM_H
#define VMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <tenon/control.h>
#include <tenon/frame.h>
#include <tenon/gmem.h>
#include <tenon/guest.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NO_HYP = 3 };

#define KIB          ((uint64_t)1 << 10)
#define MIB          ((uint64_t)1 << 20)
#define GIB          ((uint64_t)1 << 30)
#define PAGE         ((uint64_t)4096)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_VMS      64u
#define MAX_DEVICES  64u

/* ---- ctl.c: the way to the hypervisor ---- */

/* A mailbox slot, held until the process ends or ctl_close(). One thread at a time uses it. */
struct ctl {
    volatile uint64_t *slot; /* request page, then TN_DATA_SIZE bytes of data */
    volatile uint64_t *bell;
    int lock_fd;
    unsigned nr;
    uint64_t put_len;
};

struct reply {
    int result; /* 0 or a negative errno */
    uint64_t out[8];
    uint64_t len; /* bytes of data answered */
};

/* Takes a free slot and checks the protocol version. On failure the reason and what to do stand in
 * `why`. 0, or -1. */
int ctl_open(struct ctl *c, char *why, size_t why_size);
/* The same, and ends the program with EXIT_NO_HYP on failure. */
void ctl_need(struct ctl *c);
void ctl_close(struct ctl *c);

/* One call, its answer in *r (never NULL). Returns r->result. */
int ctl_call(struct ctl *c, struct reply *r, uint32_t op, const uint64_t arg[6]);
#define CTL(c, r, op, ...) ctl_call((c), (r), (op), (const uint64_t[6]){ __VA_ARGS__ })
/* Repeats the call while it answers -EAGAIN; from two seconds on `what` is shown with progress. */
int ctl_finish(struct ctl *c, struct reply *r, uint32_t op, const uint64_t arg[6],
               const char *what);
#define CTL_FINISH(c, r, what, op, ...) \
    ctl_finish((c), (r), (op), (const uint64_t[6]){ __VA_ARGS__ }, (what))
/* Data for the next call; data of the last one. Any alignment of `buf`. */
void ctl_put(struct ctl *c, const void *buf, uint64_t len);
void ctl_get(const struct ctl *c, void *buf, uint64_t offset, uint64_t len);
/* Writes the request's words without ringing; rings without writing: for the attacks. */
void ctl_write(struct ctl *c, uint32_t op, const uint64_t arg[6]);
void ctl_ring(struct ctl *c);
void ctl_read(const struct ctl *c, struct reply *r);

/* The control region, and /dev/mem. dev_mem_map: O_SYNC, page aligned; NULL and errno. */
int ctl_region(uint64_t *base, uint64_t *size);
volatile uint64_t *dev_mem_map(uint64_t pa, uint64_t len);
/* Device memory takes aligned accesses only: these copy by 8 bytes. */
void io_read(void *to, const volatile uint64_t *from, uint64_t len);
void io_write(volatile uint64_t *to, const void *from, uint64_t len);

/* Answers with a fixed structure, or -errno. */
int ctl_info(struct ctl *c, struct tn_info *info);
int ctl_stat(struct ctl *c, uint64_t vm, struct tn_vm_stat *stat);
/* How many, or -errno; at most `max` are stored. */
int ctl_devices(struct ctl *c, struct tn_device *list, int max);
int ctl_pending(struct ctl *c, uint64_t vm, struct tn_pending *list, int max);
int ctl_events(struct ctl *c, struct tn_event *list, int max, uint64_t *total);

struct audit_result {
    uint64_t violations, digest, frames, leaves, tables;
    char first[128];
};
int ctl_audit(struct ctl *c, struct audit_result *a);

/* ---- ui.c: words on the screen ---- */

double now(void); /* seconds, monotonic */
/* Live lines overwrite themselves (TENON_LIVE=1 or --live); otherwise one line every 3 s. */
extern bool ui_live;
void ui_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ui_progress_end(void);
void ui_title(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int ui_error(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* EXIT_FAILED */
int ui_refused(int result, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *errno_name(int result); /* of 0 or a negative errno: "ok", "EBUSY" */
const char *errno_text(int result); /* in plain words */
/* These answer in one of a few static buffers: good for one printf. Main thread only. */
const char *ui_size(uint64_t bytes);
const char *ui_count(uint64_t n); /* 1,234,567 */
const char *ui_bdf(uint32_t bdf);
const char *ui_owner(uint16_t owner);
const char *ui_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The final table. Texts are copied. */
#define CHECKS_MAX 160
struct checks {
    struct {
        char name[56], want[60], seen[72];
        bool ok;
    } row[CHECKS_MAX];
    int n, failed;
};
void check_add(struct checks *t, bool ok, const char *name, const char *want, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void check_print(const struct checks *t, const char *title);

/* ---- args.c: command lines ---- */

enum arg_kind { ARG_END, ARG_FLAG, ARG_NUMBER, ARG_SIZE, ARG_TEXT, ARG_BDF };
struct arg {
    const char *name; /* "--image" */
    enum arg_kind kind;
    void *to; /* bool*, uint64_t*, uint64_t*, const char**, uint64_t* */
    const char *value, *what;
};
struct command {
    const char *name, *synopsis, *about;
    const struct arg *args;
    int min, max; /* positional words */
};
/* Fills in options and `word[]`. Asked for help, or given what it cannot take, it ends the program. */
void args_parse(const struct command *cmd, int argc, char **argv, const char *word[]);
bool parse_number(const char *s, uint64_t *value);
bool parse_size(const char *s, uint64_t *value); /* 4096, 64K, 2M, 1G */
bool parse_bdf(const char *s, uint64_t *bdf);    /* 00:03.0, 0000:00:03.0 */
/* A VM's id or a device, or the program's end with a message. */
uint64_t need_number(const char *s, const char *what);
uint64_t need_size(const char *s, const char *what);
uint64_t need_bdf(const char *s);

/* ---- pci.c: the host kernel's view of PCI devices, by sysfs ---- */

bool pci_exists(uint32_t bdf);
/* First device of this identity; `skip` passes over that many. 0 is never a good bdf here: -1 none. */
int pci_find(uint16_t vendor, uint16_t device, int skip);
int pci_nvme(const char *serial);                                /* bdf, or -1 */
bool pci_nvme_disk(const char *serial, char *path, size_t size); /* /dev/nvme0n1 */
bool pci_driver(uint32_t bdf, char *name, size_t size);
int pci_unbind(uint32_t bdf); /* 0 (also without a driver) or -errno */
int pci_bind(uint32_t bdf, const char *driver);
int pci_config_read(uint32_t bdf, unsigned offset, unsigned size, uint32_t *value);
int pci_config_write(uint32_t bdf, unsigned offset, unsigned size, uint32_t value);
int pci_bar(uint32_t bdf, int bar, uint64_t *base, uint64_t *size);
volatile uint64_t *pci_map_bar(uint32_t bdf, int bar, uint64_t *size); /* by sysfs resourceN */

/* ---- host.c: the machine that we are on ---- */

int host_cpus_online(void);
bool host_pin(int cpu);                            /* this thread */
uint64_t host_interrupts(const char *disk);        /* of "nvme0", by the ITS */
bool host_page_pa(const void *page, uint64_t *pa); /* through /proc/self/pagemap */
struct disk_result {
    int error;
    uint64_t bytes, interrupts, sum_written, sum_read, wrong_words;
    double write_mbs, read_mbs;
};
/* Writes random data to the disk and reads it back, O_DIRECT, half from each of `cpus` threads. */
void disk_test(const char *path, uint64_t bytes, int cpus, const char *label,
               struct disk_result *r);
uint64_t random64(uint64_t *state);
int host_write_file(const char *path, const char *text); /* 0 or -errno */
int host_read_file(const char *path, char *text, size_t size);

/* ---- vm.c: steps of a VM's life ---- */

struct vm_config {
    uint64_t bytes, flags;
    const char *image; /* loaded at TN_GUEST_RAM */
    uint64_t x0;       /* in the guest's first register */
};
#define PAYLOAD_IMAGE "/lib/tenon/payload.img"
/* Create and prepare. The id, or a negative errno with the failed step in *step. */
int vm_create(struct ctl *c, uint64_t bytes, uint64_t flags, const char **step);
int vm_populate(struct ctl *c, uint64_t vm, uint64_t gpa, const void *data, uint64_t len);
int vm_populate_file(struct ctl *c, uint64_t vm, uint64_t gpa, const char *path, uint64_t *len);
int vm_seal(struct ctl *c, uint64_t vm, uint64_t entry, uint64_t x0);
int vm_destroy(struct ctl *c, uint64_t vm);
const char *vm_state_name(uint32_t state);
const char *vm_exit_name(uint64_t code);
/* Prints what the guest wrote; the number of bytes. */
int vm_console_print(struct ctl *c, uint64_t vm, const char *prefix);
/* Takes a device of the host's for a VM: unbinds its driver first. 0 or -errno. */
int vm_take(struct ctl *c, uint32_t bdf, uint64_t vm);
int vm_return(struct ctl *c, uint32_t bdf, const char *driver);

/* ---- commands ---- */

int cmd_info(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_events(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_host(int argc, char **argv);
int cmd_vm(int argc, char **argv);
int cmd_device(int argc, char **argv);
int cmd_mem(int argc, char **argv);
int cmd_dom(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_mutant(int argc, char **argv);
int cmd_attack(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_selftest(int argc, char **argv);

/* Sub-commands: `tenon vm list`. */
struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *brief;
};
int run_subcommand(const char *group, const char *about, const struct subcommand *list, size_t n,
                   int argc, char **argv);

#endif
