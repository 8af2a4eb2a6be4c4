/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of each page: two bits, and per chunk how many pages are in each shared state, so that
 * "did this become uniform?" is one comparison and not 512.
 */
#include "mem/state.h"

#define PER_WORD 32u
#define PER_PAGE (PAGE_SIZE / 8 * PER_WORD)

static uint64_t *word_of(const struct gmem *gm, uint64_t page)
{
    return &gm->state[page / PER_PAGE][page % PER_PAGE / PER_WORD];
}

/* Acquire: a reader that sees the new state sees the odd sequence count that came before it. */
static uint64_t load_word(const uint64_t *w)
{
    return __atomic_load_n(w, __ATOMIC_ACQUIRE);
}

static uint64_t spread(enum gmem_state s)
{
    return (uint64_t)s * 0x5555555555555555ull;
}

enum gmem_state gmem_state(const struct gmem *gm, uint64_t page)
{
    return (enum gmem_state)(load_word(word_of(gm, page)) >> (page % PER_WORD * 2) & 3);
}

uint64_t gmem_frame(const struct gmem *gm, uint64_t page)
{
    return gmem_at(gmem_state(gm, page) == GMEM_SHARED ? gm->shared : gm->priv, page);
}

void gmem_set_state(struct gmem *gm, uint64_t page, uint64_t n, enum gmem_state from,
                    enum gmem_state to)
{
    uint64_t end = page + n;

    for (uint64_t p = page; p < end;) {
        uint64_t first = p % PER_WORD;
        uint64_t m = PER_WORD - first < end - p ? PER_WORD - first : end - p;
        uint64_t mask = (m == PER_WORD ? ~0ull : (1ull << (m * 2)) - 1) << (first * 2);
        uint64_t *w = word_of(gm, p);

        __atomic_store_n(w, (*w & ~mask) | (spread(to) & mask), __ATOMIC_RELEASE);
        p += m;
    }
    for (uint64_t p = page; p < end;) {
        uint64_t m = gmem_in_chunk(p, end - p);
        uint64_t k = p / CHUNK_PAGES;
        uint16_t m16 = (uint16_t)m;

        if (from == GMEM_SHARED) {
            __atomic_sub_fetch(&gm->nshared[k], m16, __ATOMIC_RELAXED);
        } else if (from == GMEM_SHARED_INPLACE) {
            __atomic_sub_fetch(&gm->ninplace[k], m16, __ATOMIC_RELAXED);
        }
        if (to == GMEM_SHARED) {
            __atomic_add_fetch(&gm->nshared[k], m16, __ATOMIC_RELAXED);
        } else if (to == GMEM_SHARED_INPLACE) {
            __atomic_add_fetch(&gm->ninplace[k], m16, __ATOMIC_RELAXED);
        }
        p += m;
    }
}

/* All pages of the chunk in one state? */
static bool chunk_uniform(const struct gmem *gm, uint64_t k, enum gmem_state *s)
{
    uint16_t shared = __atomic_load_n(&gm->nshared[k], __ATOMIC_RELAXED);
    uint16_t inplace = __atomic_load_n(&gm->ninplace[k], __ATOMIC_RELAXED);

    if (shared == CHUNK_PAGES) {
        *s = GMEM_SHARED;
    } else if (inplace == CHUNK_PAGES) {
        *s = GMEM_SHARED_INPLACE;
    } else {
        *s = GMEM_PRIVATE;
        return shared == 0 && inplace == 0;
    }
    return true;
}

uint64_t gmem_run_until(const struct gmem *gm, uint64_t page, uint64_t end)
{
    enum gmem_state s = gmem_state(gm, page);
    uint64_t p = page + 1;

    while (p < end) {
        enum gmem_state c;

        if (p % CHUNK_PAGES == 0 && chunk_uniform(gm, p / CHUNK_PAGES, &c)) {
            if (c != s) {
                return p;
            }
            p += CHUNK_PAGES;
            continue;
        }
        uint64_t diff = load_word(word_of(gm, p)) ^ spread(s);

        diff >>= p % PER_WORD * 2;
        if (diff != 0) {
            p += (uint64_t)__builtin_ctzll(diff) / 2;
            return p < end ? p : end;
        }
        p += PER_WORD - p % PER_WORD;
    }
    return end;
}

uint64_t gmem_run_end(const struct gmem *gm, uint64_t page)
{
    return gmem_run_until(gm, page, gm->npages);
}

bool gmem_uniform(const struct gmem *gm, uint64_t page, uint64_t n, bool guest_view)
{
    uint64_t end = page + n;
    enum gmem_state s = gmem_state(gm, page);

    if (guest_view && s == GMEM_SHARED_INPLACE) {
        s = GMEM_PRIVATE;
    }
    for (uint64_t p = page; p < end;) {
        uint64_t k = p / CHUNK_PAGES;

        if (p % CHUNK_PAGES == 0 && end - p >= CHUNK_PAGES) {
            uint16_t shared = __atomic_load_n(&gm->nshared[k], __ATOMIC_RELAXED);
            enum gmem_state c = GMEM_PRIVATE;

            if (guest_view) {
                if (shared != (s == GMEM_SHARED ? CHUNK_PAGES : 0)) {
                    return false;
                }
            } else if (!chunk_uniform(gm, k, &c) || c != s) {
                return false;
            }
            p += CHUNK_PAGES;
            continue;
        }
        enum gmem_state c = gmem_state(gm, p);

        if (guest_view && c == GMEM_SHARED_INPLACE) {
            c = GMEM_PRIVATE;
        }
        if (c != s) {
            return false;
        }
        p++;
    }
    return true;
}
