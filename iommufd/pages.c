/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ranges of user memory that are mapped somewhere. A page is pinned by its first user (an area that
 * some domain holds, or an access) and unpinned by its last; what is pinned is charged to who mapped
 * it, as the kernel does.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "iommufd/iod.h"

/* ---- what each user has locked ---- */

struct user {
    uid_t uid;
    uint64_t locked;
    struct user *next;
};
static struct user *users;

static struct user *user_get(uid_t uid)
{
    struct user *u = users;

    while (u != NULL && u->uid != uid) {
        u = u->next;
    }
    if (u == NULL && (u = calloc(1, sizeof(*u))) != NULL) {
        *u = (struct user){ .uid = uid, .next = users };
        users = u;
    }
    return u;
}

int account_charge(enum account mode, struct mm *mm, uid_t uid, uint64_t pages)
{
    struct user *u;

    switch (mode) {
    case ACCOUNT_NONE:
        break;
    case ACCOUNT_USER:
        u = user_get(uid);
        if (u == NULL || u->locked + pages > mm_memlock_pages(mm)) {
            return -ENOMEM;
        }
        u->locked += pages;
        break;
    case ACCOUNT_MM:
        if (mm->gone) {
            return -EINVAL;
        }
        if ((uint64_t)mm->locked + pages > mm_memlock_pages(mm)) {
            return -ENOMEM;
        }
        mm->locked += (int64_t)pages;
        break;
    }
    mm->pinned += (int64_t)pages;
    return 0;
}

void account_release(enum account mode, struct mm *mm, uid_t uid, uint64_t pages)
{
    if (mode == ACCOUNT_USER) {
        user_get(uid)->locked -= pages;
    } else if (mode == ACCOUNT_MM) {
        mm->locked -= (int64_t)pages;
    }
    mm->pinned -= (int64_t)pages;
}

/* ---- their life ---- */

static int pages_new(struct mm *mm, uint64_t start_byte, uint64_t len, bool writable,
                     enum pages_type type, struct pages **out)
{
    if (len == 0 || len > UINT64_MAX - PG) {
        return -EINVAL;
    }
    struct pages *p = calloc(1, sizeof(*p));

    if (p == NULL) {
        return -ENOMEM;
    }
    *p = (struct pages){ .refs = 1,
                         .type = type,
                         .mm = mm,
                         .uid = mm->uid,
                         .fd = -1,
                         .n = (len + start_byte) / PG + ((len + start_byte) % PG != 0),
                         .writable = writable,
                         .account = mm_capable(mm, CAP_IPC_LOCK) ? ACCOUNT_NONE : ACCOUNT_USER };
    mm->refs++;
    *out = p;
    return 0;
}

int pages_new_user(struct mm *mm, uint64_t va, uint64_t len, bool writable, struct pages **out)
{
    if (va + len < va) {
        return -EOVERFLOW;
    }
    int err = pages_new(mm, va % PG, len, writable, PAGES_USER, out);

    if (err == 0) {
        (*out)->va = va - va % PG;
    }
    return err;
}

int pages_new_file(struct mm *mm, int fd, uint64_t start, uint64_t len, bool writable,
                   struct pages **out)
{
    int err = pages_new(mm, start % PG, len, writable, PAGES_FILE, out);

    if (err == 0) {
        (*out)->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        (*out)->file_page = start / PG;
        if ((*out)->fd < 0) {
            pages_put(*out);
            err = -ENOMEM;
        }
    }
    return err;
}

int pages_new_dmabuf(struct mm *mm, struct dmabuf *buf, uint64_t start, uint64_t len, bool writable,
                     struct pages **out)
{
    if (buf->size <= start + (len - 1)) {
        return -EINVAL;
    }
    if (buf->revoked) {
        return -ENODEV;
    }
    int err = pages_new(mm, start % PG, len, writable, PAGES_DMABUF, out);

    if (err == 0) {
        buf->refs++;
        (*out)->dmabuf = buf;
        (*out)->generation = buf->generation;
        (*out)->file_page = start / PG;
        (*out)->account = ACCOUNT_NONE;
    }
    return err;
}

void pages_put(struct pages *p)
{
    if (--p->refs != 0) {
        return;
    }
    if (p->fd >= 0) {
        struct stat st;

        if (fstat(p->fd, &st) == 0) {
            phys_drop_fd(st.st_dev, st.st_ino);
        }
        close(p->fd);
    }
    if (p->dmabuf != NULL) {
        dmabuf_put(p->dmabuf);
    }
    mm_put(p->mm);
    free(p->use);
    free(p->pa);
    free(p);
}

bool pages_revoked(const struct pages *p)
{
    return p->type == PAGES_DMABUF && p->generation != p->dmabuf->generation;
}

/* ---- pins ---- */

/* Only memory files can be pinned by descriptor, and only what is in them. */
static int file_page(struct pages *p, uint64_t i, uint64_t *pa, uint64_t *run)
{
    struct stat st;
    struct statfs fs;
    uint64_t page = p->file_page + i;

    if (fstat(p->fd, &st) != 0 || fstatfs(p->fd, &fs) != 0) {
        return -EINVAL;
    }
    if ((fs.f_type != TMPFS_MAGIC && fs.f_type != HUGETLBFS_MAGIC) ||
        ((page + 1) << 12) - 1 >= (uint64_t)st.st_size) {
        return -EINVAL;
    }
    *pa = phys_page(PHYS_SHARED, st.st_dev, st.st_ino, page);
    if (*pa == 0) {
        return -ENOMEM;
    }
    phys_keep_fd(st.st_dev, st.st_ino, p->fd);
    *run = ((uint64_t)st.st_size >> 12) - page;
    uint64_t chunk = (1u << 18) - (page & ((1u << 18) - 1));

    *run = *run < chunk ? *run : chunk;
    return 0;
}

#define PAGES_MAX (1ull << 28) /* 1 TiB in one mapping; its counts take 3 GiB */

static int page_at(struct pages *p, uint64_t i, uint64_t *pa, uint64_t *run)
{
    switch (p->type) {
    case PAGES_USER:
        return mm_page(p->mm, p->va + (i << 12), p->writable, pa, run);
    case PAGES_FILE:
        return file_page(p, i, pa, run);
    case PAGES_DMABUF:
        *pa = phys_page(PHYS_SHARED, p->dmabuf->dev, p->dmabuf->ino, p->file_page + i);
        *run = 1;
        return *pa != 0 ? 0 : -ENOMEM;
    }
    return -EINVAL;
}

/* Before there is memory for counts: a mapping of much that is not there costs nothing. */
static int all_there(struct pages *p, uint64_t first, uint64_t last)
{
    uint64_t pa, run = 1;

    for (uint64_t i = first; i <= last; i += run) {
        int err = page_at(p, i, &pa, &run);

        if (err != 0) {
            return err;
        }
    }
    return 0;
}

static void unuse(struct pages *p, uint64_t first, uint64_t end, bool charged)
{
    uint64_t gone = 0;

    for (uint64_t i = first; i < end; i++) {
        if (--p->use[i] == 0) {
            phys_unpin(p->pa[i]);
            gone++;
        }
    }
    if (charged && gone != 0) {
        p->pinned -= gone;
        account_release(p->account, p->mm, p->uid, gone);
    }
}

/* Linux would have to find the memory that is pinned; nor may one call keep everybody waiting. */
static bool more_than_there_is(const struct pages *p, uint64_t first, uint64_t last)
{
    static uint64_t machine;

    if (machine == 0) {
        machine = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / PG;
    }
    return p->type != PAGES_DMABUF && last - first >= machine;
}

int pages_use(struct pages *p, uint64_t first, uint64_t last)
{
    uint64_t run = 0, pa = 0, fresh = 0;
    int err = 0;

    if (p->use == NULL) {
        if (p->n > PAGES_MAX) {
            return page_at(p, first, &pa, &run) == 0 ? -ENOMEM : -EFAULT;
        }
        err = all_there(p, first, last);
        if (err != 0) {
            return err;
        }
        /* Nothing is pinned yet, so all of it would be charged: known before memory is spent. */
        if ((p->account != ACCOUNT_NONE && last - first >= mm_memlock_pages(p->mm)) ||
            more_than_there_is(p, first, last)) {
            return -ENOMEM;
        }
        p->use = calloc(p->n, sizeof(*p->use));
        p->pa = calloc(p->n, sizeof(*p->pa));
        if (p->use == NULL || p->pa == NULL) {
            free(p->use);
            free(p->pa);
            p->use = NULL;
            p->pa = NULL;
            return -ENOMEM;
        }
    }
    if (more_than_there_is(p, first, last)) {
        return -ENOMEM;
    }
    for (uint64_t i = first; i <= last; i++, run -= run != 0, pa += PG) {
        if (p->use[i] != 0) {
            p->use[i]++;
            continue;
        }
        if (run == 0) {
            err = page_at(p, i, &pa, &run);
            if (err != 0) {
                unuse(p, first, i, false);
                return err;
            }
        }
        p->use[i] = 1;
        p->pa[i] = pa;
        phys_pin(pa);
        fresh++;
    }
    if (fresh != 0) {
        err = account_charge(p->account, p->mm, p->uid, fresh);
        if (err != 0) {
            unuse(p, first, last + 1, false);
            return err;
        }
        p->pinned += fresh;
    }
    return 0;
}

void pages_unuse(struct pages *p, uint64_t first, uint64_t last)
{
    unuse(p, first, last + 1, true);
}

/* Copies as a driver of the kernel would: through the process while it is there, else by page. */
int pages_rw(struct pages *p, uint64_t start, void *buf, uint64_t len, bool write, bool slow)
{
    unsigned char *at = buf;

    if (write && !p->writable) {
        return -EPERM;
    }
    if (p->type == PAGES_DMABUF) {
        return -EINVAL;
    }
    if (p->type == PAGES_USER && !p->mm->gone && !slow) {
        return write ? mm_write(p->mm, p->va + start, buf, len)
                     : mm_read(p->mm, buf, p->va + start, len);
    }
    while (len > 0) {
        uint64_t i = start / PG, n = PG - start % PG;

        n = n < len ? n : len;
        int err = pages_use(p, i, i);

        if (err == 0) {
            err = phys_rw(p->pa[i] + start % PG, at, n, write);
            pages_unuse(p, i, i);
        }
        if (err != 0) {
            return err;
        }
        at += n;
        start += n;
        len -= n;
    }
    return 0;
}

/* ---- buffers that their maker can take back ---- */

static struct dmabuf *dmabufs;

/* Nobody tells the server that a client closed its copy: of the buffers in no mapping, the oldest goes. */
static void trim_idle(void)
{
    struct dmabuf *oldest = NULL;
    unsigned idle = 0;

    for (struct dmabuf *b = dmabufs; b != NULL; b = b->next) { /* newest first */
        if (b->refs == 1) {
            oldest = b;
            idle++;
        }
    }
    if (idle >= DMABUFS_IDLE) {
        dmabuf_put(oldest);
    }
}

struct dmabuf *dmabuf_new(uint64_t size)
{
    struct dmabuf *b = calloc(1, sizeof(*b));
    struct stat st;

    trim_idle();
    if (b == NULL) {
        return NULL;
    }
    b->fd = memfd_create("dmabuf", MFD_CLOEXEC);
    if (b->fd < 0 || ftruncate(b->fd, (off_t)size) != 0 || fstat(b->fd, &st) != 0) {
        if (b->fd >= 0) {
            close(b->fd);
        }
        free(b);
        return NULL;
    }
    b->refs = 1;
    b->size = size;
    b->dev = st.st_dev;
    b->ino = st.st_ino;
    b->next = dmabufs;
    dmabufs = b;
    phys_keep_fd(b->dev, b->ino, b->fd);
    return b;
}

struct dmabuf *dmabuf_find(int fd)
{
    struct dmabuf *b = dmabufs;
    struct stat st;

    if (fstat(fd, &st) != 0) {
        return NULL;
    }
    while (b != NULL && (b->dev != st.st_dev || b->ino != st.st_ino)) {
        b = b->next;
    }
    return b;
}

void dmabuf_put(struct dmabuf *b)
{
    struct dmabuf **at = &dmabufs;

    if (--b->refs != 0) {
        return;
    }
    while (*at != b) {
        at = &(*at)->next;
    }
    *at = b->next;
    phys_drop_fd(b->dev, b->ino);
    close(b->fd);
    free(b);
}
