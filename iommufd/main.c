/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon-iommufd: runs a program with a /dev/iommu of its own. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iommufd/proto.h"
#include "iommufd/seccomp.h"
#include "iommufd/server.h"
#include "iommufd/swdev.h"
#include "iommufd/swiommu.h"
#include "port/hosted/hosted.h"

#define EXIT_USAGE 125 /* ours; 126 and 127 as a shell's, else the program's own */

static const char help[] =
    "usage: tenon-iommufd run [option ...] -- PROGRAM [argument ...]\n"
    "\n"
    "Runs PROGRAM, and whatever it starts, with a /dev/iommu (Linux 7.3's iommufd) and a\n"
    "/dev/vfio/vfio container that need no IOMMU, no kernel module and no privilege. All state is\n"
    "in this process: it outlives each of the programs, and ends with the last one.\n"
    "\n"
    "  --way preload|seccomp  how the program's calls come here. preload (default): a library, "
    "for\n"
    "                         dynamically linked programs. seccomp: the kernel stops the program "
    "at each\n"
    "                         call that may be ours; for static programs and raw system calls, "
    "slower\n"
    "  --front FILE           the library to preload (default: libtenon-iommufd.so beside this\n"
    "                         program)\n"
    "  --format FORMAT        of the I/O page tables: amd-v1 (default, if this was built with it), "
    "arm-s2\n"
    "  --table-memory MIB     memory for I/O page tables (default 64: about 32 GiB of 4 KiB "
    "pages)\n"
    "  --device MODEL         adds a software device (at most 31), /dev/vfio/devices/vfioN and "
    "group\n"
    "                         /dev/vfio/N (N from 0), PCI address 0000:00:MM.0 with MM = N + 1, in "
    "hex.\n"
    "                         Each DMA is checked; what is wrong is reported with the stacks of "
    "the "
    "map\n"
    "                         and unmap calls\n"
    "             edu         a DMA engine with the registers of QEMU's\n"
    "             nvme        an NVMe 1.4 controller with one namespace; nvme,OPTION,...: "
    "size=64M (the\n"
    "                         default; K, M, G), file=PATH (kept there, else in memory), "
    "block=512 or 4096\n"
    "  --report FILE          the same reports as JSON, one a line\n"
    "  --suppressions FILE    lines of KIND DEVICE [FUNCTION], patterns: reports not to make\n"
    "  --error-exit CODE      exit code if there was a report and the program itself ended with 0\n"
    "                         (0 to 124, default 99)\n"
    "  --dma-delay US         from a doorbell to its DMA (default 50)\n"
    "  --page-requests yes    devices ask for missing pages where an HWPT has a fault queue\n"
    "  --page-request-timeout MS  what nobody answers is given up after so long (default 30000)\n"
    "  --fail-nth N           the N-th call that makes or maps something fails with ENOMEM\n"
    "  --slow-unmap MS        IOMMU_IOAS_UNMAP takes so long\n"
    "  --kernel-selftest VER  answer the kernel selftest's own operations, as Linux VER (7.2, "
    "7.3)\n"
    "\n"
    "try:  tenon-iommufd run --device edu -- ./my-vfio-program\n"
    "TMPDIR: where the socket and the devices' files are while it runs (default /tmp).\n"
    "Exit: the program's own code (128 + n: it was killed by signal n); 125: wrong use of this "
    "one,\n"
    "126: the program cannot be run, 127: there is no such program.\n";

struct options {
    const char *front;
    unsigned long table_mib;
    unsigned selftest;
    const char *report, *suppressions;
    unsigned long error_exit;
    bool seccomp;
    enum domain_format format;
    char **program;
};

static int usage(const char *what, const char *arg)
{
    fprintf(stderr, "tenon-iommufd: %s%s%s (try --help)\n", what, arg != NULL ? ": " : "",
            arg != NULL ? arg : "");
    return EXIT_USAGE;
}

/* What went wrong is not how it was called. */
static int fail(const char *what, const char *name, int err)
{
    fprintf(stderr, "tenon-iommufd: %s %s: %s\n", what, name, strerror(err));
    return EXIT_USAGE;
}

/* A number within bounds; the message names them. */
static int number(const char *option, const char *text, unsigned long max, unsigned long *n)
{
    char what[80], *end;

    errno = 0;
    *n = strtoul(text, &end, 10);
    if (errno == 0 && end != text && *end == 0 && *text != '-' && *n <= max) {
        return 0;
    }
    snprintf(what, sizeof(what), "%s takes a number up to %lu", option, max);
    return usage(what, text);
}

static int device_option(const char *option, const char *value, struct options *o)
{
    unsigned long n = 0;
    int err = 0;

    if (strcmp(option, "--device") == 0) {
        err = sw_add(value);
        return err == 0         ? 0
               : err == -ENODEV ? usage("--device knows edu and nvme", value)
               : err == -EINVAL ? usage("--device: no such option of this model, or value", value)
               : err == -EBUSY  ? usage("--device: this file is another NVMe device's", value)
               : err == -E2BIG  ? usage("--device: there are 31 already", value)
                                : fail("--device", value, -err);
    }
    if (strcmp(option, "--format") == 0) {
        o->format = strcmp(value, "amd-v1") == 0   ? DOMAIN_AMD_V1
                    : strcmp(value, "arm-s2") == 0 ? DOMAIN_ARM_S2
                                                   : DOMAIN_DEFAULT;
        err = o->format != DOMAIN_DEFAULT ? 0 : usage("--format knows amd-v1 and arm-s2", value);
    } else if (strcmp(option, "--report") == 0) {
        o->report = value;
    } else if (strcmp(option, "--suppressions") == 0) {
        o->suppressions = value;
    } else if (strcmp(option, "--error-exit") == 0) {
        err = number(option, value, 124, &o->error_exit);
    } else if (strcmp(option, "--dma-delay") == 0) {
        err = number(option, value, 60000000, &n);
        sw_options.delay_us = n;
    } else if (strcmp(option, "--page-requests") == 0) {
        sw_options.page_requests = strcmp(value, "yes") == 0;
        err = sw_options.page_requests || strcmp(value, "no") == 0
                  ? 0
                  : usage("--page-requests takes yes or no", value);
    } else if (strcmp(option, "--page-request-timeout") == 0) {
        err = number(option, value, 3600000, &n);
        swiommu_timeout_ms = n != 0 ? n : 1;
    } else if (strcmp(option, "--fail-nth") == 0) {
        err = number(option, value, UINT32_MAX, &n);
        ctx_fail_nth((uint32_t)n);
    } else if (strcmp(option, "--slow-unmap") == 0) {
        err = number(option, value, 60000, &n);
        sw_options.slow_unmap_ms = (uint32_t)n;
    } else {
        err = usage("unknown option", option);
    }
    return err;
}

_Noreturn static void help_asked(void)
{
    fputs(help, stdout);
    exit(fflush(stdout) != 0 ? EXIT_USAGE : 0);
}

static int parse(int argc, char **argv, struct options *o)
{
    int i = 2;

    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        help_asked();
    }
    if (argc < 2 || strcmp(argv[1], "run") != 0) {
        return usage("the first word must be run", argc < 2 ? NULL : argv[1]);
    }
    for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i += 2) {
        char *end = NULL;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help_asked();
        }
        if (i + 1 == argc || strcmp(argv[i + 1], "--") == 0) {
            return usage("an option and its value are two words; no value after", argv[i]);
        }
        if (strcmp(argv[i], "--way") == 0) {
            o->seccomp = strcmp(argv[i + 1], "seccomp") == 0;
            if (!o->seccomp && strcmp(argv[i + 1], "preload") != 0) {
                return usage("--way takes preload or seccomp", argv[i + 1]);
            }
        } else if (strcmp(argv[i], "--front") == 0) {
            o->front = argv[i + 1];
        } else if (strcmp(argv[i], "--table-memory") == 0) {
            o->table_mib = strtoul(argv[i + 1], &end, 10);
            if (*end != 0 || o->table_mib < 1 || o->table_mib > 4096) {
                return usage("--table-memory takes 1 to 4096 MiB", argv[i + 1]);
            }
        } else if (strcmp(argv[i], "--kernel-selftest") == 0) {
            o->selftest = strcmp(argv[i + 1], "7.2") == 0   ? 72
                          : strcmp(argv[i + 1], "7.3") == 0 ? 73
                                                            : 0;
            if (o->selftest == 0) {
                return usage("--kernel-selftest knows 7.2 and 7.3", argv[i + 1]);
            }
        } else {
            int err = device_option(argv[i], argv[i + 1], o);

            if (err != 0) {
                return err;
            }
        }
    }
    i += i < argc && strcmp(argv[i], "--") == 0;
    if (i >= argc) {
        return usage("no program to run", NULL);
    }
    o->program = argv + i;
    return 0;
}

/* The dynamic linker would only warn, and run the program without it. */
static int is_library(const char *path)
{
    char head[4] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    ssize_t n = read(fd, head, sizeof(head));

    close(fd);
    return n < 0                                                             ? -EIO
           : n == sizeof(head) && memcmp(head, "\177ELF", sizeof(head)) == 0 ? 0
                                                                             : -ENOEXEC;
}

/* Beside this program, unless told. */
static int front_path(const struct options *o, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n;

    if (o->front != NULL) {
        if (realpath(o->front, path) == NULL) {
            int err = -errno;

            snprintf(path, size, "%s", o->front); /* to be named */
            return err;
        }
        return is_library(path);
    }
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        strcpy(path, "/proc/self/exe");
        return -errno;
    }
    self[n] = 0;
    *strrchr(self, '/') = 0;
    if ((size_t)snprintf(path, size, "%s/libtenon-iommufd.so", self) >= size) {
        return -ENAMETOOLONG; /* what fits is there */
    }
    return is_library(path);
}

static void preload(const char *front)
{
    const char *had = getenv("LD_PRELOAD");
    char all[2 * PATH_MAX];

    if (had != NULL && *had != 0) {
        snprintf(all, sizeof(all), "%s:%s", front, had);
        front = all;
    }
    setenv("LD_PRELOAD", front, 1);
}

/* The child's half: the filter, whose other end goes to the server before anything is asked. */
static void filter(int to)
{
    struct iovec iov = { "", 1 };
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u = { { 0 } };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof(u.room)
    };
    int fd = seccomp_install();

    if (fd < 0) {
        fprintf(stderr, "tenon-iommufd: --way seccomp: %s\n", strerror(-fd));
        _exit(EXIT_USAGE);
    }
    struct cmsghdr *k = CMSG_FIRSTHDR(&h);

    k->cmsg_level = SOL_SOCKET;
    k->cmsg_type = SCM_RIGHTS;
    k->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(k), &fd, sizeof(int));
    if (sendmsg(to, &h, MSG_NOSIGNAL) != 1) {
        _exit(EXIT_USAGE);
    }
    close(fd);
    close(to);
}

static int filter_end(int from)
{
    union {
        char room[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } u;
    char byte;
    struct iovec iov = { &byte, 1 };
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof(u.room)
    };
    int fd = -1;

    if (recvmsg(from, &h, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&h) != NULL) {
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&h)), sizeof(int));
    }
    close(from);
    return fd;
}

/*
 * Ctrl-C and what else a terminal sends is the program's to answer, and what is sent to this process is sent on
 * to it (server.c). The program finds all signals as this one did.
 */
static const int ignored[] = { SIGINT, SIGQUIT, SIGPIPE };
static const int forwarded[] = { SIGCHLD, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };
static void (*as_found[sizeof(ignored) / sizeof(ignored[0])])(int);
static sigset_t mask_found;

static void signals_take(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(forwarded) / sizeof(forwarded[0]); i++) {
        sigaddset(set, forwarded[i]);
    }
    sigprocmask(SIG_BLOCK, set, &mask_found);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        as_found[i] = signal(ignored[i], SIG_IGN);
    }
}

static void signals_as_found(void)
{
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
        signal(ignored[i], as_found[i]);
    }
    sigprocmask(SIG_SETMASK, &mask_found, NULL);
}

static pid_t start(const struct options *o, const char *front, const char *socket_path,
                   const char *root)
{
    int pair[2] = { -1, -1 };
    pid_t pid;

    if (o->seccomp && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        signals_as_found();
        setenv(PROTO_ENV, socket_path, 1);
        if (root != NULL) {
            setenv(PROTO_ENV_ROOT, root, 1);
        }
        if (o->seccomp) {
            close(pair[0]);
            filter(pair[1]);
        } else {
            preload(front);
        }
        execvp(o->program[0], o->program);
        fprintf(stderr, "tenon-iommufd: %s: %s\n", o->program[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
    }
    if (o->seccomp && pid > 0) {
        close(pair[1]);
        int fd = filter_end(pair[0]);

        if (fd >= 0 && seccomp_serve(fd) != 0) {
            return -1;
        }
    }
    return pid;
}

static void raise_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        struct rlimit all = { r.rlim_max, r.rlim_max };

        (void)setrlimit(RLIMIT_NOFILE, &all);
        (void)r;
    }
}

/* Numbers 0 to 2 are taken, so that no report is written into a socket that got one of them. */
static void three_files(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (fd >= 0 && fd <= 2);
    if (fd >= 0) {
        close(fd);
    }
}

/* What is there while the server runs: a folder for its socket and for the devices' files. */
static char dir[80], path[108], root[108], front_link[108];

static int dir_make(char *front)
{
    const char *under = getenv("TMPDIR");

    if (under == NULL || under[0] != '/' || strlen(under) > 50 || strpbrk(under, " :") != NULL) {
        under = "/tmp"; /* a socket's path is short, and LD_PRELOAD takes no blank and no colon */
    }
    snprintf(dir, sizeof(dir), "%s/tenon-iommufd-XXXXXX", under);
    if (mkdtemp(dir) == NULL) {
        return fail("no folder for the socket in (TMPDIR names another)", under, errno);
    }
    snprintf(path, sizeof(path), "%s/socket", dir);
    snprintf(root, sizeof(root), "%s/root", dir);
    if (strpbrk(front, " :") != NULL) {
        snprintf(front_link, sizeof(front_link), "%s/front.so", dir);
        if (symlink(front, front_link) != 0) {
            return fail("cannot write in", dir, errno);
        }
        strcpy(front, front_link);
    }
    return 0;
}

static void dir_remove(void)
{
    tree_remove();
    if (front_link[0] != 0) {
        unlink(front_link);
    }
    unlink(path);
    rmdir(dir);
}

/* The program's status as wait() has it, or -1: it did not start, and why was said. */
static int run(const struct options *o, char *front)
{
    sigset_t set;
    int err = dir_make(front);

    if (err != 0) {
        return -1;
    }
    err = domains_init((uint64_t)o->table_mib << 20, o->format);
    if (err != 0) {
        fail("cannot start:", "--format or --table-memory", -err);
        return -1;
    }
    if (o->selftest != 0) {
        selftest_enable(o->selftest);
    }
    signals_take(&set);
    /* Orphans stay below us, where their memory may be read. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    err = server_listen(path);
    if (err == 0 && sw_count() != 0) {
        err = tree_make(root);
    }
    if (err != 0) {
        fail("cannot make files in", dir, -err);
        return -1;
    }
    pid_t child = start(o, front, path, sw_count() != 0 ? root : NULL);

    raise_limits();
    int status = child < 0 ? -1 : server_run(child, &set);

    if (status < 0) {
        fail("cannot start", o->program[0], errno);
    } else if (sw_count() != 0 && server_opened() == 0) {
        fprintf(stderr, "tenon-iommufd: nothing opened /dev/iommu or a device%s\n",
                o->seccomp
                    ? ""
                    : " (a static program, or one that clears LD_PRELOAD, needs --way seccomp)");
    }
    return status;
}

int main(int argc, char **argv)
{
    struct options o = { .table_mib = 64, .error_exit = 99 };
    char front[PATH_MAX];

    three_files();
    int err = parse(argc, argv, &o);

    if (err == 0 && getenv(PROTO_ENV) != NULL) {
        err = usage("this runs below another tenon-iommufd already: it has no use for a second",
                    NULL);
    }

    if (err != 0) {
        return err;
    }
    err = front_path(&o, front, sizeof(front));
    if (err != 0) {
        return fail("--front: the library to preload:", front, -err);
    }
    err = san_configure(NULL, o.suppressions);
    if (err != 0) {
        return err == -EINVAL ? EXIT_USAGE : fail("--suppressions", o.suppressions, -err);
    }
    err = san_configure(o.report, NULL);
    if (err != 0) {
        return fail("--report", o.report, -err);
    }
    hosted_log_quiet(false);
    int status = run(&o, front);

    dir_remove();
    if (status < 0) {
        return EXIT_USAGE;
    }
    ctx_fail_summary();
    unsigned found = san_summary();

    if (found != 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return (int)o.error_exit;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
