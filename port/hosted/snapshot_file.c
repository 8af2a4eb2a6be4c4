/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures in a file that is mapped by writer and readers. */
#include "snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tenon/port.h>

static void *map_file(int fd, int prot)
{
    void *p = mmap(NULL, sizeof(struct snapshot_file), prot, MAP_SHARED, fd, 0);
    int why = errno;

    close(fd);
    errno = why;
    return p == MAP_FAILED ? NULL : p;
}

/* New, or an old picture of this user's: nothing else is written over. */
static bool may_be_ours(int fd)
{
    uint64_t magic = 0;
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           (st.st_size == 0 || (pread(fd, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) &&
                                magic == SNAPSHOT_MAGIC));
}

struct snapshot_file *snapshot_file_make(const char *path, const char *name)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0) {
        return NULL;
    }
    if (!may_be_ours(fd)) {
        close(fd);
        errno = EEXIST;
        return NULL;
    }
    if (ftruncate(fd, (off_t)sizeof(struct snapshot_file)) != 0) {
        close(fd);
        return NULL;
    }
    struct snapshot_file *f = map_file(fd, PROT_READ | PROT_WRITE);

    if (f != NULL) {
        __atomic_store_n(&f->seq, 1,
                         __ATOMIC_SEQ_CST); /* nothing to read before the first picture */
        f->version = SNAPSHOT_VERSION;
        f->bytes = sizeof(*f);
        f->pid = (uint32_t)getpid();
        f->runs = 0;
        f->views = 0;
        f->npages = 0;
        snprintf(f->name, sizeof(f->name), "%s", name);
        __atomic_store_n(&f->magic, SNAPSHOT_MAGIC, __ATOMIC_RELEASE);
    }
    return f;
}

void snapshot_file_write(struct snapshot_file *f, struct gmem *gm,
                         const struct snapshot_view_name *view, unsigned views)
{
    struct snapshot_view v[SNAPSHOT_VIEWS];
    uint64_t page = 0;

    __atomic_store_n(&f->seq, f->seq | 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < views; i++) {
        struct snapshot_file_view *out = &f->view[i];

        v[i] = view[i].view;
        snprintf(out->name, sizeof(out->name), "%s", view[i].name);
        out->device = v[i].space->kind == SPACE_IO;
        out->by_frame = v[i].by_frame;
        snapshot_space(v[i].space, &out->stat);
    }
    f->views = views;
    f->runs = 0;
    f->npages = gm->npages;
    port_lock(&gm->lock);
    f->converted = gm->converted;
    f->converted_inplace = gm->converted_inplace;
    port_unlock(&gm->lock);
    f->tables_free = frame_tables_free();
    f->chunks_free = frame_chunks_free();
    for (; page < gm->npages && f->runs < SNAPSHOT_RUNS; f->runs++) {
        snapshot_run(gm, v, views, page, gm->npages, &f->run[f->runs]);
        page = f->run[f->runs].page + f->run[f->runs].n;
    }
    f->missing = gm->npages - page;
    f->time_ns = port_now();
    __atomic_store_n(&f->seq, f->seq + 1, __ATOMIC_SEQ_CST);
}

const struct snapshot_file *snapshot_file_open(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size < (off_t)sizeof(struct snapshot_file)) {
        close(fd);
        errno = ENOEXEC;
        return NULL;
    }
    struct snapshot_file *f = map_file(fd, PROT_READ);

    if (f != NULL &&
        (f->magic != SNAPSHOT_MAGIC || f->version != SNAPSHOT_VERSION || f->bytes != sizeof(*f))) {
        snapshot_file_close(f);
        errno = ENOEXEC;
        return NULL;
    }
    return f;
}

/* A name is another process's word, and goes to a terminal: what is not printable becomes a question mark. */
static void plain(char name[SNAPSHOT_NAME])
{
    for (char *c = name; *c != 0; c++) {
        *c = *c < 32 || *c > 126 ? '?' : *c;
    }
}

static void plain_names(struct snapshot_file *f)
{
    plain(f->name);
    for (unsigned i = 0; i < f->views; i++) {
        plain(f->view[i].name);
    }
}

/* What a reader may index with. Runs follow each other without a gap. */
static bool sound(const struct snapshot_file *f)
{
    uint64_t page = 0;

    if (f->views > SNAPSHOT_VIEWS || f->runs > SNAPSHOT_RUNS || f->npages > (uint64_t)1 << 40 ||
        f->name[SNAPSHOT_NAME - 1] != 0) {
        return false;
    }
    for (unsigned i = 0; i < f->views; i++) {
        if (f->view[i].name[SNAPSHOT_NAME - 1] != 0) {
            return false;
        }
    }
    for (uint32_t i = 0; i < f->runs; i++) {
        const struct snapshot_run *r = &f->run[i];

        if (r->page != page || r->n == 0 || r->n > f->npages - page) {
            return false;
        }
        page += r->n;
    }
    return f->missing == f->npages - page;
}

int snapshot_file_read(const struct snapshot_file *f, struct snapshot_file *copy)
{
    for (unsigned tries = 0; tries < 1000; tries++) {
        uint32_t seq = __atomic_load_n(&f->seq, __ATOMIC_SEQ_CST);

        if ((seq & 1) == 0) {
            uint32_t runs = f->runs < SNAPSHOT_RUNS ? f->runs : SNAPSHOT_RUNS;

            memcpy(copy, f, offsetof(struct snapshot_file, run));
            memcpy(copy->run, f->run, runs * sizeof(copy->run[0]));
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
            if (__atomic_load_n(&f->seq, __ATOMIC_SEQ_CST) == seq) {
                if (!sound(copy)) {
                    return -EPROTO;
                }
                plain_names(copy);
                return 0;
            }
        }
        usleep(1000);
    }
    return -EAGAIN;
}

void snapshot_file_close(const struct snapshot_file *f)
{
    munmap((void *)(uintptr_t)f, sizeof(*f));
}
