/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that break the rules, one way a name: whatever they do, a well-behaved one beside them must
 * find everything as it left it. Run under `tenon-iommufd run` by tools/test-iommufd.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "iommufd/proto.h"
#include "iommufd/uapi.h"
#include "iommufd/vfio_uapi.h"

#define CHECK(what)                                                                      \
    do {                                                                                 \
        if (!(what)) {                                                                   \
            fprintf(stderr, "hostile.c:%d: %s: %s\n", __LINE__, #what, strerror(errno)); \
            _exit(1);                                                                    \
        }                                                                                \
    } while (0)

static uint32_t ioas_of(int fd)
{
    struct u_ioas_alloc a = { .size = sizeof(a) };

    CHECK(ioctl(fd, U_IO(U_IOAS_ALLOC), &a) == 0);
    return a.out_ioas_id;
}

static int map_at(int fd, uint32_t ioas, void *va, uint64_t len, uint64_t iova)
{
    struct u_ioas_map m = { .size = sizeof(m),
                            .flags = U_MAP_FIXED | U_MAP_READ | U_MAP_WRITE,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    return ioctl(fd, U_IO(U_IOAS_MAP), &m) == 0 ? 0 : -errno;
}

static int unmap_at(int fd, uint32_t ioas, uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap m = { .size = sizeof(m), .ioas_id = ioas, .iova = iova, .length = len };

    return ioctl(fd, U_IO(U_IOAS_UNMAP), &m) == 0 ? 0 : -errno;
}

static int open_iommu(void)
{
    int fd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

    CHECK(fd >= 0);
    return fd;
}

static unsigned char page[4096 * 4] __attribute__((aligned(4096)));

/* The well-behaved one: a mapping made before, looked at after. */
static int good_fd;
static uint32_t good_ioas;

static void good_begin(void)
{
    good_fd = open_iommu();
    good_ioas = ioas_of(good_fd);
    CHECK(map_at(good_fd, good_ioas, page, sizeof(page), 1 << 20) == 0);
}

static void good_end(void)
{
    CHECK(map_at(good_fd, good_ioas, page, 4096, 1 << 20) == -EEXIST);
    CHECK(unmap_at(good_fd, good_ioas, 1 << 20, sizeof(page)) == 0);
    close(good_fd);
}

/* Killed at any point of what they do. */
static void kills(void)
{
    for (int i = 0; i < 60; i++) {
        pid_t child = fork();

        if (child == 0) {
            for (;;) {
                int fd = open_iommu();
                uint32_t s = ioas_of(fd);

                for (uint64_t k = 0; k < 64; k++) {
                    CHECK(map_at(fd, s, page, 4096, (k + 16) << 12) == 0);
                }
                close(fd);
            }
        }
        usleep(1000 + (useconds_t)(i * 337 % 5000));
        kill(child, SIGKILL);
        CHECK(waitpid(child, NULL, 0) == child);
    }
}

/* The ids of one file mean nothing in another, nor do descriptors that one does not hold. */
static void ids(void)
{
    int fd = open_iommu();

    for (uint32_t id = 0; id < 64; id++) {
        CHECK(map_at(fd, id, page, 4096, 1 << 20) == -ENOENT);
        struct u_destroy d = { sizeof(d), id };

        CHECK(ioctl(fd, U_IO(U_DESTROY), &d) == -1 && errno == ENOENT);
    }
    close(fd);
    struct u_destroy d = { sizeof(d), good_ioas };

    CHECK(ioctl(fd, U_IO(U_DESTROY), &d) == -1 && errno == EBADF);
    CHECK(ioctl(0x7fffffff, U_IO(U_DESTROY), &d) == -1 && errno == EBADF);
}

static volatile int stop;

static void *flicker(void *at)
{
    while (!stop) {
        (void)mmap(at, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        (void)mmap(at, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                   0);
    }
    return NULL;
}

/* The structure, and the memory it speaks of, come and go during the call. */
static void flickers(void)
{
    unsigned char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open_iommu();
    uint32_t s = ioas_of(fd);
    pthread_t t;

    CHECK(pthread_create(&t, NULL, flicker, p) == 0);
    for (uint64_t i = 0; i < 3000; i++) {
        struct u_ioas_alloc *a = (void *)(p + 4096 - 8); /* its tail flickers not, its head does */

        (void)ioctl(fd, U_IO(U_IOAS_ALLOC), a);
        int err = map_at(fd, s, p, 8192, (i + 16) << 13);

        CHECK(err == 0 || err == -EFAULT);
    }
    stop = 1;
    pthread_join(t, NULL);
    close(fd);
}

/* Everything random, from two threads and two files. */
static void *noise(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    int fd[2] = { open_iommu(), open_iommu() };

    for (int i = 0; i < 20000; i++) {
        uint32_t u[32];

        for (unsigned k = 0; k < 32; k++) {
            u[k] = (uint32_t)rand_r(&seed) % 5 != 0 ? (uint32_t)rand_r(&seed) % 8
                                                    : (uint32_t)rand_r(&seed);
        }
        u[0] = (uint32_t)rand_r(&seed) % 4 != 0 ? 40 : u[0] % 128;
        (void)ioctl(fd[i % 2], U_IO(0x64 + rand_r(&seed) % 0x40), u);
    }
    close(fd[0]);
    close(fd[1]);
    return NULL;
}

static void noises(void)
{
    pthread_t t;

    CHECK(pthread_create(&t, NULL, noise, (void *)7) == 0);
    noise((void *)11);
    pthread_join(t, NULL);
}

/* No messages of the front's, on a channel of its own: only who sends them is cut off. */
static void junk(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    unsigned char m[4096];

    strncpy(a.sun_path, getenv(PROTO_ENV), sizeof(a.sun_path) - 1);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();

        if (child == 0) {
            int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

            CHECK(connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
            for (unsigned k = 0; k < sizeof(m); k++) {
                m[k] = (unsigned char)rand();
            }
            (void)!send(fd, m, i % 2 != 0 ? sizeof(struct proto_req) : (size_t)rand() % 4096,
                        MSG_NOSIGNAL);
            if (i % 3 == 0) {
                (void)!recv(fd, m, sizeof(m), 0);
            }
            _exit(0);
        }
        CHECK(waitpid(child, NULL, 0) == child);
    }
}

/* A thousand processes at once, each with a file and a mapping. */
static void thousand(void)
{
    enum { N = 1000 };
    static pid_t child[N];
    int ready[2], go[2];
    char c;

    CHECK(pipe(ready) == 0 && pipe(go) == 0);
    for (int i = 0; i < N; i++) {
        child[i] = fork();
        CHECK(child[i] >= 0);
        if (child[i] == 0) {
            int fd = open_iommu();
            uint32_t s = ioas_of(fd);

            close(go[1]);
            CHECK(map_at(fd, s, page, 4096, 1 << 20) == 0);
            CHECK(write(ready[1], "", 1) == 1);
            CHECK(read(go[0], &c, 1) == 0); /* until all are there */
            CHECK(unmap_at(fd, s, 1 << 20, 4096) == 0);
            _exit(0);
        }
    }
    for (int i = 0; i < N; i++) {
        CHECK(read(ready[0], &c, 1) == 1);
    }
    close(go[1]);
    for (int i = 0; i < N; i++) {
        int status;

        CHECK(waitpid(child[i], &status, 0) == child[i] && status == 0);
    }
}

/* All descriptors that it does not know are closed, the library's own among them. */
static void closes(void)
{
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != good_fd) {
            close(fd);
        }
    }
    int fd = open_iommu();

    ioas_of(fd);
    close(fd);
}

static void *fill(void *arg)
{
    const uint64_t most = UINT64_MAX - 1, one = 1;
    int fd = *(int *)arg;

    while (!stop) { /* full again as often as it was read */
        uint64_t v;

        (void)!write(fd, &most, sizeof(most));
        (void)!write(fd, &one, sizeof(one));
        (void)!read(fd, &v, sizeof(v));
    }
    return NULL;
}

/* The second device, an NVMe controller: registers that are mapped, queues and lists, all written at
 * random at once, and an interrupt that always seems to have no room. */
static void registers(void)
{
    static const uint32_t off[] = { 0x14,   0x14,   0x24,   0x28,   0x30,   0x0c,   0x10,
                                    0x1000, 0x1000, 0x1004, 0x1008, 0x100c, 0x1010, 0x1ff8 };
    struct v_bind b = { .argsz = sizeof(b), .iommufd = open_iommu() };
    uint32_t s = ioas_of(b.iommufd);
    struct v_attach a = { .argsz = sizeof(a), .pt_id = s };
    int dev = open("/dev/vfio/devices/vfio1", O_RDWR), irq = eventfd(0, EFD_NONBLOCK);
    struct {
        struct v_irq_set s;
        int fd;
    } set = { { sizeof(set), V_SET_EVENTFD | V_SET_TRIGGER, V_MSIX, 0, 1 }, irq };
    uint64_t config = (uint64_t)V_CONFIG << V_REGION_SHIFT;
    uint16_t command = 6;
    uint32_t *mem =
        mmap(NULL, 64 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned seed = 5;
    pthread_t t;

    CHECK(dev >= 0 && ioctl(dev, U_IO(V_DEVICE_BIND), &b) == 0);
    CHECK(ioctl(dev, U_IO(V_DEVICE_ATTACH), &a) == 0);
    CHECK(map_at(b.iommufd, s, mem, 64 * 4096, 1 << 20) == 0);
    CHECK(pwrite(dev, &command, 2, (off_t)(config | 4)) == 2);
    CHECK(ioctl(dev, U_IO(V_DEVICE_SET_IRQS), &set) == 0);
    volatile uint32_t *bar = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, dev, 0);

    CHECK(bar != MAP_FAILED);
    CHECK(pthread_create(&t, NULL, fill, &irq) == 0);
    for (unsigned i = 0; i < 400000; i++) {
        uint32_t at = off[(unsigned)rand_r(&seed) % (sizeof(off) / sizeof(off[0]))];
        uint32_t v = (uint32_t)rand_r(&seed);

        bar[at / 4] = at == 0x14    ? 4 << 20 | 6 << 16 | (v % 64 != 0)
                      : at == 0x24  ? 0x000f000f
                      : at < 0x40   ? (1 << 20) + (v % 64 << 12)
                      : v % 16 == 0 ? v
                                    : v % 16;
        if (i % 1000 == 0) {
            bar[(unsigned)rand_r(&seed) % 4096] = v;
            (void)!pwrite(dev, &v, 4, (off_t)(v % 4096 * 4));
        }
        for (unsigned k = 0; k < 4;
             k++) { /* commands: opcodes that there are, pages of the memory */
            uint32_t w = (uint32_t)rand_r(&seed), where = w % (64 * 1024);

            mem[where] = where % 16 == 0                  ? w >> 16 & 0xf
                         : where % 2 == 0 && w >> 31 != 0 ? (1 << 20) + (w >> 8 & 0x3ffff)
                                                          : w >> 16 & 0x1f;
        }
    }
    stop = 1;
    pthread_join(t, NULL);
    CHECK(ioctl(dev, U_IO(V_DEVICE_RESET)) == 0);
    close(dev);
    close(b.iommufd);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*fn)(void);
    } mode[] = {
        { "kills", kills },       { "ids", ids },
        { "flickers", flickers }, { "noises", noises },
        { "junk", junk },         { "closes", closes },
        { "thousand", thousand }, { "registers", registers },
    };

    for (size_t i = 0; argc == 2 && i < sizeof(mode) / sizeof(mode[0]); i++) {
        if (strcmp(argv[1], mode[i].name) == 0) {
            good_begin();
            mode[i].fn();
            good_end();
            return 0;
        }
    }
    fprintf(stderr, "usage: hostile MODE\n");
    return 2;
}
