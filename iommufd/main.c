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
#include <sys/wait.h>
#include <unistd.h>

#include "iommufd/proto.h"
#include "iommufd/server.h"
#include "port/hosted/hosted.h"

#define EXIT_USAGE 125 /* ours; 126 and 127 as a shell's, else the program's own */

static const char help[] =
    "usage: tenon-iommufd run [option ...] -- PROGRAM [argument ...]\n"
    "\n"
    "Runs PROGRAM, and whatever it starts, with a /dev/iommu (Linux 7.3's iommufd) and a\n"
    "/dev/vfio/vfio container that need no IOMMU, no kernel module and no privilege. All state is\n"
    "in this process: it outlives each of the programs, and ends with the last one.\n"
    "\n"
    "  --front FILE           the library to preload (default: libtenon-iommufd.so beside this\n"
    "                         program)\n"
    "  --table-memory MIB     memory for I/O page tables (default 128: about 32 GiB of 4 KiB "
    "pages)\n"
    "  --kernel-selftest VER  answer the kernel selftest's own operations, as Linux VER (7.2, "
    "7.3)\n"
    "\n"
    "try:  tenon-iommufd run -- ./my-vfio-program\n"
    "Exit: the program's own code (128 + n: it was killed by signal n); 125: wrong use of this "
    "one,\n"
    "126: the program cannot be run, 127: there is no such program.\n";

struct options {
    const char *front;
    unsigned long table_mib;
    unsigned selftest;
    char **program;
};

static int usage(const char *what, const char *arg)
{
    fprintf(stderr, "tenon-iommufd: %s%s%s (try --help)\n", what, arg != NULL ? ": " : "",
            arg != NULL ? arg : "");
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct options *o)
{
    int i = 2;

    if (argc < 2 || strcmp(argv[1], "run") != 0) {
        return usage("the first word must be run", argc < 2 ? NULL : argv[1]);
    }
    for (; i < argc && argv[i][0] == '-' && strcmp(argv[i], "--") != 0; i += 2) {
        char *end = NULL;

        if (i + 1 == argc) {
            return usage("this option needs a value", argv[i]);
        }
        if (strcmp(argv[i], "--front") == 0) {
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
            return usage("unknown option", argv[i]);
        }
    }
    i += i < argc && strcmp(argv[i], "--") == 0;
    if (i >= argc) {
        return usage("no program to run", NULL);
    }
    o->program = argv + i;
    return 0;
}

/* Beside this program, unless told. */
static int front_path(const struct options *o, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t n;

    if (o->front != NULL) {
        return realpath(o->front, path) != NULL ? 0 : -errno;
    }
    n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0) {
        return -errno;
    }
    self[n] = 0;
    *strrchr(self, '/') = 0;
    if ((size_t)snprintf(path, size, "%s/libtenon-iommufd.so", self) >= size) {
        return -ENAMETOOLONG;
    }
    return access(path, R_OK) == 0 ? 0 : -errno;
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

static pid_t start(const struct options *o, const char *front, const char *socket_path)
{
    sigset_t set;
    pid_t pid;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        setenv(PROTO_ENV, socket_path, 1);
        preload(front);
        execvp(o->program[0], o->program);
        fprintf(stderr, "tenon-iommufd: %s: %s\n", o->program[0], strerror(errno));
        _exit(errno == ENOENT ? 127 : 126);
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

int main(int argc, char **argv)
{
    struct options o = { .table_mib = 128 };
    char dir[] = "/tmp/tenon-iommufd-XXXXXX", path[PATH_MAX], front[PATH_MAX];
    int err, status;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(help, stdout);
            return 0;
        }
    }
    err = parse(argc, argv, &o);
    if (err != 0) {
        return err;
    }
    err = front_path(&o, front, sizeof(front));
    if (err != 0) {
        return usage("the library to preload cannot be read (--front FILE)", strerror(-err));
    }
    if (mkdtemp(dir) == NULL) {
        return usage("no directory for the socket", strerror(errno));
    }
    snprintf(path, sizeof(path), "%s/socket", dir);
    hosted_log_quiet(false);
    domains_init((uint64_t)o.table_mib << 20, DOMAIN_DEFAULT);
    if (o.selftest != 0) {
        selftest_enable(o.selftest);
    }
    /* Ctrl-C is the program's to answer; orphans stay below us, where their memory may be read. */
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    err = server_listen(path);
    if (err == 0) {
        pid_t child = start(&o, front, path);

        raise_limits();
        status = child < 0 ? -1 : server_run(child);
    } else {
        status = -1;
    }
    unlink(path);
    rmdir(dir);
    if (status < 0) {
        return usage("cannot start", strerror(err != 0 ? -err : errno));
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
