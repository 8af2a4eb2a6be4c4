/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "Physical" memory: every page of a client gets a number that stays while the server runs, so that
 * the tables have something to point at and two mappings of one page point at the same. Numbers are
 * given in chunks of 1 GiB, aligned as the address or the file offset is, so that what is contiguous
 * for the client is contiguous here and large leaves come out as they would.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "iommufd/iod.h"

#define CHUNK_BITS   30u
#define CHUNK_PAGES_ (1u << (CHUNK_BITS - 12u))
/* 47 bits of address: a table whose addresses are doubled must still hold them. */
#define CHUNKS (1u << 17)
#define SEEN   4u

struct seen {
    struct mm *mm;
    uint64_t base; /* va of the chunk's first page, had it a mapping */
};
struct chunk {
    enum phys_kind kind;
    uint64_t a, b, index; /* what its first page is */
    uint64_t number;
    uint64_t pinned;
    bool orphan; /* its process is gone: goes with its last pin */
    uint32_t *pins;
    struct seen seen[SEEN];
    unsigned next_seen;
    struct file *file;
    unsigned char *map; /* of the file, 1 GiB */
    bool map_writable;
    struct chunk *hash_next;
};
struct file { /* shared memory that a client gave us a descriptor of */
    uint64_t dev, ino;
    int fd;
    struct file *next;
};

static struct chunk *chunk_of[CHUNKS];
static struct chunk *hash[4096];
static struct file *files;
static uint64_t next_number = 1, top; /* no chunk above `top` */

static unsigned hash_of(uint64_t a, uint64_t b, uint64_t index)
{
    uint64_t h =
        (a * 0x9e3779b97f4a7c15u) ^ (b * 0xc2b2ae3d27d4eb4fu) ^ (index * 0x165667b19e3779f9u);

    return (unsigned)(h >> 52);
}

static uint64_t number_new(void)
{
    for (uint64_t tries = 1; tries < CHUNKS; tries++) {
        uint64_t n = next_number;

        next_number = next_number + 1 < CHUNKS ? next_number + 1 : 1;
        if (chunk_of[n] == NULL) {
            return n;
        }
    }
    return 0;
}

static struct file *file_find(uint64_t dev, uint64_t ino)
{
    struct file *f = files;

    while (f != NULL && (f->dev != dev || f->ino != ino)) {
        f = f->next;
    }
    return f;
}

static struct chunk *chunk_get(enum phys_kind kind, uint64_t a, uint64_t b, uint64_t index)
{
    struct chunk **at = &hash[hash_of(a, b, index)];

    for (struct chunk *c = *at; c != NULL; c = c->hash_next) {
        if (c->kind == kind && c->a == a && c->b == b && c->index == index) {
            return c;
        }
    }
    uint64_t number = number_new();
    struct chunk *c = number != 0 ? calloc(1, sizeof(*c)) : NULL;

    if (c == NULL) {
        return NULL;
    }
    c->pins = calloc(CHUNK_PAGES_, sizeof(*c->pins));
    if (c->pins == NULL) {
        free(c);
        return NULL;
    }
    c->kind = kind;
    c->a = a;
    c->b = b;
    c->index = index;
    c->number = number;
    if (kind == PHYS_SHARED) {
        c->file = file_find(a, b);
    }
    c->hash_next = *at;
    *at = c;
    chunk_of[number] = c;
    top = number > top ? number : top;
    return c;
}

uint64_t phys_page(enum phys_kind kind, uint64_t a, uint64_t b, uint64_t index)
{
    struct chunk *c = chunk_get(kind, a, b, index / CHUNK_PAGES_ * CHUNK_PAGES_);

    return c != NULL ? (c->number << CHUNK_BITS) | ((index % CHUNK_PAGES_) << 12) : 0;
}

static struct chunk *chunk_at(uint64_t pa)
{
    return pa >> CHUNK_BITS < CHUNKS ? chunk_of[pa >> CHUNK_BITS] : NULL;
}

static uint32_t *pin_word(uint64_t pa)
{
    return &chunk_at(pa)->pins[(pa >> 12) % CHUNK_PAGES_];
}

static void chunk_free(struct chunk *c)
{
    struct chunk **at = &hash[hash_of(c->a, c->b, c->index)];

    while (*at != c) {
        at = &(*at)->hash_next;
    }
    *at = c->hash_next;
    chunk_of[c->number] = NULL;
    if (c->map != NULL) {
        munmap(c->map, 1u << CHUNK_BITS);
    }
    free(c->pins);
    free(c);
}

void phys_pin(uint64_t pa)
{
    (*pin_word(pa))++;
    chunk_at(pa)->pinned++;
}

void phys_unpin(uint64_t pa)
{
    struct chunk *c = chunk_at(pa);

    (*pin_word(pa))--;
    if (--c->pinned == 0 && c->orphan) {
        chunk_free(c);
    }
}

uint32_t phys_pins(uint64_t pa)
{
    return chunk_at(pa) != NULL ? *pin_word(pa) : 0;
}

void phys_seen(uint64_t pa, struct mm *mm, uint64_t va)
{
    struct chunk *c = chunk_at(pa);
    uint64_t base = (va & ~(uint64_t)(PG - 1)) - (pa & ((1u << CHUNK_BITS) - PG));

    if (c == NULL || c->kind != PHYS_SHARED) {
        return;
    }
    for (unsigned i = 0; i < SEEN; i++) {
        if (c->seen[i].mm == mm && c->seen[i].base == base) {
            return;
        }
    }
    c->seen[c->next_seen++ % SEEN] = (struct seen){ .mm = mm, .base = base };
}

void phys_keep_fd(uint64_t dev, uint64_t ino, int fd)
{
    if (file_find(dev, ino) != NULL) {
        return;
    }
    struct file *f = calloc(1, sizeof(*f));
    int copy = f != NULL ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;

    if (copy < 0) {
        free(f);
        return;
    }
    *f = (struct file){ .dev = dev, .ino = ino, .fd = copy, .next = files };
    files = f;
    for (uint64_t i = 1; i <= top; i++) {
        struct chunk *c = chunk_of[i];

        if (c != NULL && c->kind == PHYS_SHARED && c->a == dev && c->b == ino) {
            c->file = f;
        }
    }
}

/* A window on the file. Its end may be cut off at any time: never touched, only copied with the
 * kernel's own care (see copy_here). */
static unsigned char *chunk_map(struct chunk *c)
{
    if (c->map == NULL) {
        int fd = c->file->fd;
        off_t at = (off_t)(c->index << 12);
        void *p = mmap(NULL, 1u << CHUNK_BITS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                       fd, at);

        c->map_writable = p != MAP_FAILED;
        if (p == MAP_FAILED) {
            p = mmap(NULL, 1u << CHUNK_BITS, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, at);
        }
        c->map = p != MAP_FAILED ? p : NULL;
    }
    return c->map;
}

/* A copy that a hole in `there` ends with an error instead of a signal. */
static int copy_here(void *buf, unsigned char *there, size_t len, bool write)
{
    struct iovec mine = { buf, len }, other = { there, len };
    ssize_t n = write ? process_vm_writev(getpid(), &mine, 1, &other, 1, 0)
                      : process_vm_readv(getpid(), &mine, 1, &other, 1, 0);

    return n == (ssize_t)len ? 0 : -EFAULT;
}

static int rw_at(struct mm *mm, uint64_t va, void *buf, size_t len, bool write)
{
    return write ? mm_write(mm, va, buf, len) : mm_read(mm, buf, va, len);
}

/* Is this file's page (still) at va there? */
static bool shows(struct mm *mm, uint64_t va, const struct chunk *c, uint64_t page, bool write)
{
    struct mm_vma v;

    return !mm->gone && mm_vma(mm, va, &v) == 0 && v.shared && v.dev == c->a && v.ino == c->b &&
           (!write || v.write) && (va - v.start + v.offset) >> 12 == page;
}

/* Any living client that has the file's page mapped. */
static int rw_searched(struct chunk *c, uint64_t page, uint64_t off, void *buf, size_t len,
                       bool write)
{
    for (struct mm *mm = mm_first(); mm != NULL; mm = mm->next) {
        uint64_t va = 0;
        struct mm_vma v;

        while (!mm->gone && mm_vma_next(mm, va, &v) == 0) {
            if (v.shared && v.dev == c->a && v.ino == c->b && (!write || v.write) &&
                page >= v.offset >> 12 && page <= (v.offset + (v.last - v.start)) >> 12) {
                uint64_t at = v.start + ((page << 12) - v.offset);

                phys_seen((c->number << CHUNK_BITS) | ((page - c->index) << 12), mm, at);
                return rw_at(mm, at + off, buf, len, write);
            }
            va = v.last + 1;
            if (va == 0) {
                break;
            }
        }
    }
    return -EFAULT;
}

static int rw_page(struct chunk *c, uint64_t pa, void *buf, size_t len, bool write)
{
    uint64_t off = pa & ((1u << CHUNK_BITS) - 1);
    uint64_t page = c->index + (off >> 12);

    if (c->kind == PHYS_PRIVATE) {
        struct mm *mm = mm_first();

        while (mm != NULL && mm->serial != c->a) {
            mm = mm->next;
        }
        return mm == NULL || mm->gone ? -EFAULT
                                      : rw_at(mm, (c->index << 12) + off, buf, len, write);
    }
    if (c->file != NULL && chunk_map(c) != NULL) {
        return write && !c->map_writable ? -EFAULT : copy_here(buf, c->map + off, len, write);
    }
    for (unsigned i = 0; i < SEEN; i++) {
        struct seen *s = &c->seen[i];

        if (s->mm != NULL && shows(s->mm, s->base + off, c, page, write)) {
            return rw_at(s->mm, s->base + off, buf, len, write);
        }
    }
    return rw_searched(c, page, off % PG, buf, len, write);
}

int phys_rw(uint64_t pa, void *buf, size_t len, bool write)
{
    unsigned char *at = buf;

    while (len > 0) {
        struct chunk *c = chunk_at(pa);
        size_t n = PG - (size_t)(pa % PG);

        n = n < len ? n : len;
        int err = c == NULL ? -EFAULT : rw_page(c, pa, at, n, write);

        if (err != 0) {
            return err;
        }
        at += n;
        pa += n;
        len -= n;
    }
    return 0;
}

void phys_forget_mm(struct mm *mm)
{
    for (uint64_t i = 1; i <= top; i++) {
        struct chunk *c = chunk_of[i];

        if (c == NULL) {
            continue;
        }
        for (unsigned k = 0; k < SEEN; k++) {
            if (c->seen[k].mm == mm) {
                c->seen[k].mm = NULL;
            }
        }
        if (c->kind == PHYS_PRIVATE && c->a == mm->serial) {
            c->orphan = true;
            if (c->pinned == 0) {
                chunk_free(c);
            }
        }
    }
}

void phys_drop_fd(uint64_t dev, uint64_t ino)
{
    struct file **at = &files;
    struct file *f;

    for (uint64_t i = 1; i <= top; i++) {
        struct chunk *c = chunk_of[i];

        if (c != NULL && c->kind == PHYS_SHARED && c->a == dev && c->b == ino && c->pinned != 0) {
            return;
        }
    }
    while ((f = *at) != NULL && (f->dev != dev || f->ino != ino)) {
        at = &f->next;
    }
    if (f == NULL) {
        return;
    }
    for (uint64_t i = 1; i <= top; i++) {
        if (chunk_of[i] != NULL && chunk_of[i]->file == f) {
            chunk_free(chunk_of[i]);
        }
    }
    *at = f->next;
    close(f->fd);
    free(f);
}
