/* SPDX-License-Identifier: BSD-2-Clause */
/* VFIO around the models: groups, interrupts, mapped registers, the configuration space. */
#include "lib_nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "iommufd/server.h"

static int own_fd(struct call *c, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    (void)c;
    return copy < 0 ? -EBADF : copy;
}

static int dev_call(int (*fn)(struct call *, struct sw_dev *), unsigned nr, void *arg)
{
    struct call c = { .mm = lib_mm,
                      .cmd = U_IO(nr),
                      .arg = (uint64_t)(uintptr_t)arg,
                      .fd_get = own_fd,
                      .out_fd = -1 };
    int ret = fn(&c, rig.dev);

    lib_fd = c.out_fd;
    return ret;
}

static int irqs(uint32_t flags, uint32_t index, uint32_t start, uint32_t count, const int *fd)
{
    struct {
        struct v_irq_set s;
        int fd[4];
    } u = { .s = { sizeof(u), flags, index, start, count } };

    if (fd != NULL) {
        memcpy(u.fd, fd, count * sizeof(*fd));
    }
    return dev_call(vfio_ioctl, V_DEVICE_SET_IRQS, &u);
}

static uint64_t signals(int fd)
{
    uint64_t v;

    return read(fd, &v, sizeof(v)) == (ssize_t)sizeof(v) ? v : 0;
}

#define FLUSH ((struct nv_command){ .opcode = 0, .nsid = 1 })
#define ON    (V_SET_EVENTFD | V_SET_TRIGGER)

static void msix(void **state)
{
    int fd[3] = { eventfd(0, EFD_NONBLOCK), eventfd(0, EFD_NONBLOCK), eventfd(0, 0) }, pipes[2];
    const uint64_t full = UINT64_MAX - 1;
    struct v_irq_info info = { .argsz = sizeof(info), .index = V_MSIX };

    (void)state;
    nv_open("nvme,size=1M");
    assert_int_equal(dev_call(vfio_ioctl, V_DEVICE_GET_IRQ_INFO, &info), 0);
    assert_int_equal(info.count, NV_QUEUES);
    assert_int_equal(irqs(ON, V_MSIX, NV_QUEUES - 1, 2, fd), -EINVAL);
    assert_int_equal(irqs(ON, V_MSIX, 0, 2, fd), 0);
    nv_enable();
    nv_pair(1);
    assert_int_equal(signals(fd[0]), 2);
    assert_int_equal(signals(fd[1]), 0);
    assert_int_equal(nv_do(1, FLUSH), 0);
    assert_int_equal(signals(fd[0]), 0);
    assert_int_equal(signals(fd[1]), 1);
    /* A counter that is full: no interrupt, and nobody waits. What is no eventfd is refused. */
    assert_int_equal(write(fd[2], &full, sizeof(full)), sizeof(full));
    assert_int_equal(irqs(ON, V_MSIX, 1, 1, &fd[2]), 0);
    assert_int_equal(nv_do(1, FLUSH), 0);
    assert_int_equal(signals(fd[1]), 0);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(irqs(ON, V_MSIX, 1, 1, &pipes[1]), -EINVAL);
    assert_int_equal(irqs(V_SET_NONE | V_SET_TRIGGER, V_MSIX, 0, 0, NULL), 0);
    assert_int_equal(nv_do(1, FLUSH), 0);
    assert_int_equal(signals(fd[1]), 0);
    nv_close();
    for (int i = 0; i < 3; i++) {
        close(fd[i]);
    }
    close(pipes[0]);
    close(pipes[1]);
}

/* A level: one signal, and another when it was looked at and is still there. */
static void intx(void **state)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    (void)state;
#define UNMASK() assert_int_equal(irqs(V_SET_NONE | V_SET_UNMASK, V_INTX, 0, 1, NULL), 0)
    nv_open("nvme,size=1M");
    assert_int_equal(irqs(ON, V_INTX, 0, 1, &fd), 0);
    nv_enable();
    nv_submit(0, (struct nv_command){ .opcode = 10, .dw10 = 7 });
    nv_submit(0, (struct nv_command){ .opcode = 10, .dw10 = 7 });
    assert_int_equal(signals(fd), 1);
    assert_int_equal(nv_reap(0), 0);
    UNMASK();
    assert_int_equal(signals(fd), 1);
    assert_int_equal(nv_reap(0), 0);
    UNMASK();
    assert_int_equal(signals(fd), 0);
    /* INTMS holds it back, INTMC lets it go (3.1.3, 3.1.4). */
    nv_put(0x0c, 1, 4);
    nv_submit(0, (struct nv_command){ .opcode = 10, .dw10 = 7 });
    assert_int_equal(signals(fd), 0);
    nv_put(0x10, 1, 4);
    assert_int_equal(signals(fd), 1);
    assert_int_equal(irqs(V_SET_NONE | V_SET_MASK, V_MSIX, 0, 1, NULL), -ENOTTY);
    nv_close();
    close(fd);
}

static void mapped(void **state)
{
    uint64_t at;
    struct stat st, st2;
    int fd;

    (void)state;
    nv_open("nvme,size=1M");
    struct v_region_info r = { .argsz = sizeof(r), .index = 0 };

    assert_int_equal(dev_call(vfio_ioctl, V_DEVICE_GET_REGION_INFO, &r), 0);
    assert_int_equal(r.flags, V_REGION_READ | V_REGION_WRITE | V_REGION_MMAP);
    assert_int_equal(vfio_mmap(rig.dev, NV_BAR, PG, &fd, &at), -EINVAL);
    assert_int_equal(vfio_mmap(rig.dev, NV_BAR - PG, 2 * PG, &fd, &at), -EINVAL);
    assert_int_equal(vfio_mmap(rig.dev, 512, PG, &fd, &at), -EINVAL);
    assert_int_equal(vfio_mmap(rig.dev, (uint64_t)V_CONFIG << V_REGION_SHIFT, PG, &fd, &at),
                     -EINVAL);
    assert_int_equal(vfio_mmap(rig.dev, 0, 2 * PG, &fd, &at), 0);
    /* Nobody can take it away under the server. */
    assert_int_equal(ftruncate(fd, 0), -1);
    volatile uint32_t *bar = mmap(NULL, 2 * PG, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);

    assert_int_equal(fstat(fd, &st), 0);
    bar[0x24 / 4] = (DEPTH - 1) << 16 | (DEPTH - 1);
    bar[0x28 / 4] = IOVA;
    bar[0x30 / 4] = IOVA + PG;
    bar[0x14 / 4] = 4 << 20 | 6 << 16 | 1;
    assert_true(rig.dev->model->poll(rig.dev));
    assert_false(rig.dev->model->poll(rig.dev));
    assert_int_equal(bar[0x1c / 4], 1);
    memset(rig.mem, 0, 2 * PG);
    struct nv_command c = { .opcode = 10, .cid = 99, .dw10 = 7 };

    memcpy(rig.mem, &c, sizeof(c));
    bar[NV_DOORBELLS / 4] = 1;
    assert_true(rig.dev->model->poll(rig.dev));
    rig.phase[0] = 1;
    assert_int_equal(nv_reap(0), 0);
    assert_int_equal(rig.last.cid, 99);
    struct sw_dev *dev = rig.dev;

    nv_close();
    /* Who had it open has no device any more, whatever he kept mapped. */
    assert_int_equal(fstat(dev->model->memory(dev), &st2), 0);
    assert_int_not_equal(st.st_ino, st2.st_ino);
    bar[0x14 / 4] = 1;
    assert_false(dev->model->poll(dev));
    assert_int_equal(bar[0x1c / 4], 0);
    munmap((void *)(uintptr_t)bar, 2 * PG);
}

static void master(void **state)
{
    (void)state;
    nv_open("nvme,size=1M");
    nv_config(4, 2);
    nv_enable();
    assert_int_equal(nv_reg(0x1c, 4), 1);
    nv_submit(0, (struct nv_command){ .opcode = 10, .dw10 = 7 });
    assert_int_equal(nv_reg(0x1c, 4), 3);
    nv_close();
}

static void config(void **state)
{
    uint64_t base = (uint64_t)V_CONFIG << V_REGION_SHIFT;

    (void)state;
    nv_open("nvme,size=1M");
    assert_int_equal(nv_reg(base + 8, 4), 0x01080200);
    nv_put(base + 0x10, UINT64_MAX, 8);
    assert_int_equal(nv_reg(base + 0x10, 8), ~(uint64_t)(NV_BAR - 1) | 4);
    assert_int_equal(nv_reg(base + 0x34, 1), 0x60);
    assert_int_equal(nv_reg(base + 0x60, 2), 0x0011);
    nv_put(base + 0x62, 0xffff, 2);
    assert_int_equal(nv_reg(base + 0x62, 2), 0xc000 | (NV_QUEUES - 1));
    assert_int_equal(nv_reg(base + 0x64, 8), (uint64_t)NV_PBA << 32 | NV_TABLE);
    nv_put(base, 0x4242, 2);
    assert_int_equal(nv_reg(base, 4), 0x00111234);
    nv_close();
}

static void groups(void **state)
{
    struct v_group_status st = { .argsz = sizeof(st) };
    struct ctx *c = ctx_new(true);
    char name[16] = "0000:00:01.0";
    int client, group, device, bad = dup(0);
    struct stream *s = stream_new(STREAM_CTX, c, &client);

    (void)state;
    assert_non_null(s);
    assert_int_equal(sw_add("nvme,size=1M"), 0);
    rig = (struct nv_rig){ .dev = sw_number(sw_count() - 1), .ctx = c, .mem = io_shared(BYTES) };
    snprintf(name, sizeof(name), "0000:00:%02x.0", rig.dev->number + 1);
#define GROUP(nr, arg) dev_call(group_ioctl, V_GROUP_##nr, arg)
    assert_int_equal(group_open(rig.dev, &group), 0);
    assert_int_equal(group_open(rig.dev, &device), -EBUSY);
    assert_int_equal(sw_open(rig.dev, &device), -EBUSY);
    assert_int_equal(GROUP(GET_STATUS, &st), 0);
    assert_int_equal(st.flags, V_GROUP_VIABLE);
    assert_int_equal(GROUP(GET_DEVICE_FD, name), -EINVAL);
    assert_int_equal(io(c, V_SET_IOMMU, (void *)V_TYPE1V2), -ENODEV);
    assert_int_equal(GROUP(SET_CONTAINER, &bad), -EINVAL);
    assert_int_equal(GROUP(SET_CONTAINER, &client), 0);
    assert_int_equal(GROUP(SET_CONTAINER, &client), -EINVAL);
    assert_int_equal(io(c, V_SET_IOMMU, (void *)V_TYPE1V2), 0);
    assert_int_equal(GROUP(GET_STATUS, &st), 0);
    assert_int_equal(st.flags, V_GROUP_VIABLE | V_GROUP_CONTAINER_SET);
    /* What the device reaches is known before it is open. */
    struct v_dma_map m = { .argsz = sizeof(m),
                           .flags = V_MAP_READ | V_MAP_WRITE,
                           .vaddr = (uint64_t)(uintptr_t)rig.mem,
                           .iova = SW_APERTURE_LAST + 1,
                           .size = BYTES };

    assert_int_equal(io(c, V_IOMMU_MAP_DMA, &m), -EINVAL);
    m.iova = IOVA;
    assert_int_equal(io(c, V_IOMMU_MAP_DMA, &m), 0);
    name[11] = '1';
    assert_int_equal(GROUP(GET_DEVICE_FD, name), -ENODEV);
    name[11] = '0';
    assert_int_equal(GROUP(GET_DEVICE_FD, name), 0);
    device = lib_fd;
    assert_int_equal(GROUP(UNSET_CONTAINER, NULL), -EBUSY);
    /* The device keeps the group in the container, and the container open. */
    close(group);
    close(client);
    server_settle();
    nv_config(4, 6);
    nv_enable();
    assert_int_equal(nv_do(0, (struct nv_command){ .opcode = 10, .dw10 = 7 }), 0);
    close(device);
    server_settle();
    assert_null(ctx_first());
    assert_int_equal(sw_open(rig.dev, &device), 0);
    assert_int_equal(group_open(rig.dev, &group), -EBUSY);
    close(device);
    server_settle();
    munmap(rig.mem, BYTES);
    close(bad);
}

/* What no machine could pin is refused at once, before a page of it was looked at. */
static void too_much(void **state)
{
    uint64_t len = ((uint64_t)sysconf(_SC_PHYS_PAGES) + 1) * PG;
    void *p;

    (void)state;
    nv_open("nvme,size=1M");
    p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    struct pages *all;

    assert_int_equal(io_map(rig.ctx, rig.ioas, p, len, 1ull << 40, RW_FIXED), -ENOMEM);
    assert_int_equal(pages_new_user(lib_mm, (uint64_t)(uintptr_t)p, len, true, &all), 0);
    all->account = ACCOUNT_NONE; /* whatever this user may lock */
    assert_int_equal(pages_use(all, 0, len / PG - 1), -ENOMEM);
    assert_int_equal(pages_use(all, 7, 8), 0);
    assert_int_equal(pages_use(all, 0, len / PG - 1), -ENOMEM);
    pages_unuse(all, 7, 8);
    pages_put(all);
    munmap(p, len);
    nv_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(msix),     cmocka_unit_test(intx),   cmocka_unit_test(mapped),
        cmocka_unit_test(master),   cmocka_unit_test(config), cmocka_unit_test(groups),
        cmocka_unit_test(too_much),
    };

    return cmocka_run_group_tests_name("vfio", tests, lib_setup, NULL);
}
