/* SPDX-License-Identifier: BSD-2-Clause */
#include "lib_iommufd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

struct mm *lib_mm;
int lib_fd = -1;

int lib_setup(void **state)
{
    (void)state;
    if (lib_mm == NULL) {
        assert_int_equal(domains_init(16u << 20, DOMAIN_DEFAULT), 0);
        selftest_enable(73);
        lib_mm = mm_new(getpid(), getuid());
    }
    return lib_mm == NULL;
}

static int own_fd(struct call *c, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);

    (void)c;
    return copy < 0 ? -EBADF : copy;
}

int io(struct ctx *c, unsigned nr, void *arg)
{
    struct call call = { .ctx = c,
                         .mm = lib_mm,
                         .cmd = U_IO(nr),
                         .arg = (uint64_t)(uintptr_t)arg,
                         .fd_get = own_fd,
                         .out_fd = -1 };
    int ret = ctx_ioctl(&call);

    lib_fd = call.out_fd;
    return ret;
}

uint32_t io_ioas(struct ctx *c)
{
    struct u_ioas_alloc u = { .size = sizeof(u) };

    assert_int_equal(io(c, U_IOAS_ALLOC, &u), 0);
    return u.out_ioas_id;
}

uint32_t io_device(struct ctx *c, uint32_t pt_id, uint32_t *hwpt, uint32_t *dev)
{
    struct t_cmd u = { .size = sizeof(u), .op = T_MOCK_DOMAIN, .id = pt_id };

    assert_int_equal(io(c, U_TEST_NR, &u), 0);
    if (hwpt != NULL) {
        *hwpt = u.mock.out_hwpt_id;
    }
    if (dev != NULL) {
        *dev = u.mock.out_idev_id;
    }
    return u.mock.out_stdev_id;
}

int io_map(struct ctx *c, uint32_t ioas, void *va, uint64_t len, uint64_t iova, uint32_t flags)
{
    struct u_ioas_map u = { .size = sizeof(u),
                            .flags = flags,
                            .ioas_id = ioas,
                            .user_va = (uint64_t)(uintptr_t)va,
                            .length = len,
                            .iova = iova };

    return io(c, U_IOAS_MAP, &u);
}

int io_unmap(struct ctx *c, uint32_t ioas, uint64_t iova, uint64_t len)
{
    struct u_ioas_unmap u = { .size = sizeof(u), .ioas_id = ioas, .iova = iova, .length = len };

    return io(c, U_IOAS_UNMAP, &u);
}

int io_destroy(struct ctx *c, uint32_t id)
{
    struct u_destroy u = { sizeof(u), id };

    return io(c, U_DESTROY, &u);
}

void *io_shared(uint64_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

uint64_t io_page(const void *va)
{
    uint64_t pa, run;

    assert_int_equal(mm_page(lib_mm, (uint64_t)(uintptr_t)va, false, &pa, &run), 0);
    return pa;
}
