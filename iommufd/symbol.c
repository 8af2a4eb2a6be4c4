/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for code addresses of a client: its maps say which file, that file's ELF symbols the rest. */
#include "iommufd/symbol.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (256 << 20)

struct place {
    char path[256];
    uint64_t offset; /* in the file */
};

static bool place_of(struct mm *mm, uint64_t addr, struct place *p)
{
    char maps[40], line[512];
    bool found = false;

    snprintf(maps, sizeof(maps), "/proc/%d/maps", (int)mm->pid);
    FILE *f = mm->gone ? NULL : fopen(maps, "re");

    while (f != NULL && !found && fgets(line, sizeof(line), f) != NULL) {
        unsigned long start, end, off;

        p->path[0] = 0;
        if (sscanf(line, "%lx-%lx %*s %lx %*s %*s %255[^\n]", &start, &end, &off, p->path) >= 3 &&
            addr >= start && addr < end) {
            p->offset = addr - start + off;
            found = p->path[0] == '/';
            break;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return found;
}

/* An ELF file, as far as it lies inside its own size. */
struct elf {
    const unsigned char *at;
    size_t size;
};

static const void *part(const struct elf *e, uint64_t off, uint64_t len)
{
    return off <= e->size && len <= e->size - off ? e->at + off : NULL;
}

static bool to_address(const struct elf *e, const Elf64_Ehdr *h, uint64_t off, uint64_t *addr)
{
    for (unsigned i = 0; i < h->e_phnum; i++) {
        Elf64_Phdr p;
        const void *at = part(e, h->e_phoff + i * sizeof(p), sizeof(p));

        if (at == NULL) {
            return false;
        }
        memcpy(&p, at, sizeof(p));
        if (p.p_type == PT_LOAD && off >= p.p_offset && off < p.p_offset + p.p_filesz) {
            *addr = off - p.p_offset + p.p_vaddr;
            return true;
        }
    }
    return false;
}

static bool section(const struct elf *e, const Elf64_Ehdr *h, uint64_t i, Elf64_Shdr *s)
{
    const void *at = part(e, h->e_shoff + i * sizeof(*s), sizeof(*s));

    if (at != NULL) {
        memcpy(s, at, sizeof(*s));
    }
    return at != NULL;
}

static bool search(const struct elf *e, const Elf64_Ehdr *h, uint32_t type, uint64_t addr,
                   char *name, size_t size, uint64_t *start)
{
    for (unsigned i = 0; i < h->e_shnum; i++) {
        Elf64_Shdr s, strings;

        if (!section(e, h, i, &s) || s.sh_type != type || !section(e, h, s.sh_link, &strings)) {
            continue;
        }
        for (uint64_t k = 0; k + sizeof(Elf64_Sym) <= s.sh_size; k += sizeof(Elf64_Sym)) {
            Elf64_Sym sym;
            const void *at = part(e, s.sh_offset + k, sizeof(sym));

            if (at == NULL) {
                break;
            }
            memcpy(&sym, at, sizeof(sym));
            const char *text = part(e, strings.sh_offset + sym.st_name, 1);

            if (ELF64_ST_TYPE(sym.st_info) == STT_FUNC && addr >= sym.st_value &&
                addr < sym.st_value + sym.st_size && text != NULL) {
                size_t left = e->size - (size_t)((const unsigned char *)text - e->at);

                snprintf(name, size, "%.*s", (int)(left < 100 ? left : 100), text);
                *start = sym.st_value;
                return true;
            }
        }
    }
    return false;
}

static bool lookup(const struct place *p, char *name, size_t size, uint64_t *inside)
{
    int fd = open(p->path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool found = false;

    if (fd < 0) {
        return false;
    }
    /* A copy: a file that is cut off while it is mapped would be a signal. */
    void *at =
        fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof(Elf64_Ehdr) && st.st_size <= FILE_MAX
            ? malloc((size_t)st.st_size)
            : NULL;
    bool whole = at != NULL && pread(fd, at, (size_t)st.st_size, 0) == (ssize_t)st.st_size;

    close(fd);
    if (whole) {
        const struct elf e = { at, (size_t)st.st_size };
        Elf64_Ehdr h;
        uint64_t addr, start;

        memcpy(&h, at, sizeof(h));
        if (memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 && h.e_ident[EI_CLASS] == ELFCLASS64 &&
            to_address(&e, &h, p->offset, &addr)) {
            found = search(&e, &h, SHT_SYMTAB, addr, name, size, &start) ||
                    search(&e, &h, SHT_DYNSYM, addr, name, size, &start);
            *inside = found ? addr - start : 0;
        }
    }
    free(at);
    return found;
}

void symbol_of(struct mm *mm, uint64_t addr, char *text, size_t text_size, char *name,
               size_t name_size)
{
    struct place p;
    uint64_t inside;

    name[0] = 0;
    if (mm == NULL || !place_of(mm, addr, &p)) {
        snprintf(text, text_size, "%#llx", (unsigned long long)addr);
    } else if (lookup(&p, name, name_size, &inside)) {
        snprintf(text, text_size, "%s+%#llx (%s+%#llx)", name, (unsigned long long)inside, p.path,
                 (unsigned long long)p.offset);
    } else {
        snprintf(text, text_size, "%s+%#llx", p.path, (unsigned long long)p.offset);
    }
}
