/* SPDX-License-Identifier: BSD-2-Clause */
/* The port for a process: what is done to many entries at a time, and stores that a test watches. */
#include "port_find.h"
#include "port_pte.h"

static void store_hooked(const struct hosted_hook *h, uint64_t *e, uint64_t v,
                         enum hosted_kind kind)
{
    struct hosted_store s = { .e = e, .old = port_pte_load(e), .new = v, .kind = kind };

    if (h->before) {
        h->before(h->ctx, &s);
    }
    s.old = __atomic_exchange_n(e, v, __ATOMIC_ACQ_REL);
    if (h->after) {
        h->after(h->ctx, &s);
    }
}

void hosted_pte_store(uint64_t *e, uint64_t v)
{
    const struct hosted_hook *h = HOSTED_HOOK;

    if (h) {
        store_hooked(h, e, v, HOSTED_STORE);
        return;
    }
    __atomic_store_n(e, v, __ATOMIC_RELEASE);
}

bool hosted_pte_cas(uint64_t *e, uint64_t *old, uint64_t v)
{
    const struct hosted_hook *h = HOSTED_HOOK;
    struct hosted_store s = { .e = e, .old = *old, .new = v, .kind = HOSTED_CAS };
    bool done;

    if (h && h->before) {
        h->before(h->ctx, &s);
    }
    done = __atomic_compare_exchange_n(e, old, v, false, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    if (done && h && h->after) {
        h->after(h->ctx, &s);
    }
    return done;
}

#define COLD __attribute__((noinline)) /* its registers are not to be saved by the others */

/* Each does the beginning of e[0..n), 16 entries at a time, and says how many (same_vector(): says of all). `e` is
 * aligned to 32. */
#if defined(__x86_64__) && !HOSTED_TSAN
/*
 * Each 8-byte lane of an aligned vector load or store is done whole on every x86-64 processor, which
 * is all that is promised of entries. Not AVX-512: where a program uses it now and then only, some
 * processors run slower for a while.
 */
#include <cpuid.h>
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

typedef uint64_t vec __attribute__((vector_size(32), may_alias));

static bool vector; /* may be used */
static bool pairs;

__attribute__((constructor)) static void look_at_processor(void)
{
    unsigned a, b, c = 0, d;

    vector = __builtin_cpu_supports("avx2");
    pairs = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_CMPXCHG16B) != 0;
}

void hosted_set_vector(bool v)
{
    vector = v && __builtin_cpu_supports("avx2");
}

AVX2 static inline vec load4(const uint64_t *e)
{
    return *(const volatile vec *)e;
}

AVX2 static inline void store4(uint64_t *e, vec v)
{
    *(volatile vec *)e = v;
}

AVX2 static inline vec steps(uint64_t first, uint64_t step)
{
    return (vec){ first, first + step, first + 2 * step, first + 3 * step };
}

AVX2 static unsigned fill_vector(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    const vec by4 = steps(4 * step, 0), by16 = steps(16 * step, 0);
    vec a = steps(first, step), b = a + by4, c = b + by4, d = c + by4;

    for (const uint64_t *end = e + (n & ~15u); e != end; e += 16) {
        store4(e, a);
        store4(e + 4, b);
        store4(e + 8, c);
        store4(e + 12, d);
        a += by16, b += by16, c += by16, d += by16;
    }
    return n & ~15u;
}

AVX2 static unsigned or_vector(const uint64_t *e, unsigned n, uint64_t *any)
{
    vec a = { 0 }, b = { 0 };

    for (const uint64_t *end = e + (n & ~15u); e != end; e += 16) {
        a |= load4(e) | load4(e + 4);
        b |= load4(e + 8) | load4(e + 12);
    }
    a |= b;
    *any = a[0] | a[1] | a[2] | a[3];
    return n & ~15u;
}

/* Up to the 16 that have one. */
AVX2 static unsigned find_vector(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value)
{
    const vec m = steps(mask, 0), want = steps(value, 0);
    unsigned i = 0;

    for (; i + 16 <= n; i += 16, e += 16) {
        __m256i hit = (__m256i)(((load4(e) & m) == want) | ((load4(e + 4) & m) == want) |
                                ((load4(e + 8) & m) == want) | ((load4(e + 12) & m) == want));

        if (!_mm256_testz_si256(hit, hit)) {
            break;
        }
    }
    return i;
}

/* Not load4() ^ want: compilers make two instructions of that, and load many before they use any. */
AVX2 static inline vec differ4(const uint64_t *e, vec want)
{
    vec d;

    __asm__("vpxor %1, %2, %0" : "=x"(d) : "m"(*(const vec *)e), "x"(want));
    return d;
}

static unsigned same_rest(const uint64_t *e, unsigned n, unsigned i, uint64_t first, uint64_t step,
                          uint64_t mask);

/* One question for 32 entries; if one of them is another, it is looked for again. */
AVX2 static unsigned same_vector(const uint64_t *table, unsigned n, uint64_t first, uint64_t step,
                                 uint64_t mask)
{
    const uint64_t *e = table;
    const vec by4 = steps(4 * step, 0), by16 = steps(16 * step, 0), m = steps(mask, 0);
    vec a = steps(first, step), b = a + by4, c = b + by4, d = c + by4;
    unsigned i = 0;

    for (; i + 32 <= n; i += 32, e += 32) {
        vec x = differ4(e, a) | differ4(e + 4, b), y = differ4(e + 8, c) | differ4(e + 12, d);

        a += by16, b += by16, c += by16, d += by16;
        x |= differ4(e + 16, a) | differ4(e + 20, b);
        y |= differ4(e + 24, c) | differ4(e + 28, d);
        if (!_mm256_testz_si256((__m256i)(x | y), (__m256i)m)) {
            break;
        }
        a += by16, b += by16, c += by16, d += by16;
    }
    return i == n ? n : same_rest(table, n, i, first, step, mask);
}

/* By two: a locked instruction costs the same for both. `e` is aligned to 16. */
static unsigned flip_pairs(uint64_t *e, unsigned n, uint64_t mask, uint64_t value, uint64_t bits)
{
    unsigned i = 0;

    for (bool done = pairs; done && i + 2 <= n; i += done ? 2 : 0, e += 2) {
        uint64_t a = __atomic_load_n(&e[0], __ATOMIC_RELAXED);
        uint64_t b = __atomic_load_n(&e[1], __ATOMIC_RELAXED);

        if ((a & mask) != value || (b & mask) != value) {
            break;
        }
        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(done), "+m"(*(uint64_t(*)[2])e), "+a"(a), "+d"(b)
                         : "b"(a ^ bits), "c"(b ^ bits)
                         : "memory");
    }
    return i;
}

/* As differ4(). */
static inline uint64_t differ(const uint64_t *e, uint64_t want)
{
    __asm__("xorq %1, %0" : "+r"(want) : "m"(*e));
    return want;
}
#else
static const bool vector = false;

void hosted_set_vector(bool v)
{
    (void)v;
}

#define fill_vector(e, first, step, n)       0u
#define or_vector(e, n, any)                 0u
#define find_vector(e, n, mask, value)       0u
#define same_vector(e, n, first, step, mask) 0u
#define flip_pairs(e, n, mask, value, bits)  0u

static inline uint64_t differ(const uint64_t *e, uint64_t want)
{
    return __atomic_load_n(e, __ATOMIC_RELAXED) ^ want;
}
#endif

/* Entries before the first whole vector. */
static unsigned head_of(const uint64_t *e)
{
    return (unsigned)((-(uintptr_t)e & 31) / sizeof(*e));
}

/* By eight: the counting would take as long as the work. */
static void fill_scalar(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    const uint64_t step4 = 4 * step;
    uint64_t b = first + step, c = b + step, d = c + step;

    for (; n >= 8; n -= 8, e += 8) {
        __atomic_store_n(&e[0], first, __ATOMIC_RELAXED);
        __atomic_store_n(&e[1], b, __ATOMIC_RELAXED);
        __atomic_store_n(&e[2], c, __ATOMIC_RELAXED);
        __atomic_store_n(&e[3], d, __ATOMIC_RELAXED);
        __atomic_store_n(&e[4], first += step4, __ATOMIC_RELAXED);
        __atomic_store_n(&e[5], b += step4, __ATOMIC_RELAXED);
        __atomic_store_n(&e[6], c += step4, __ATOMIC_RELAXED);
        __atomic_store_n(&e[7], d += step4, __ATOMIC_RELAXED);
        first += step4, b += step4, c += step4, d += step4;
    }
    for (; n > 0; n--, e++, first += step) {
        __atomic_store_n(e, first, __ATOMIC_RELAXED);
    }
}

static uint64_t or_scalar(const uint64_t *e, unsigned n)
{
    uint64_t a = 0, b = 0;

    for (; n >= 4; n -= 4, e += 4) {
        a |= __atomic_load_n(&e[0], __ATOMIC_RELAXED) | __atomic_load_n(&e[1], __ATOMIC_RELAXED);
        b |= __atomic_load_n(&e[2], __ATOMIC_RELAXED) | __atomic_load_n(&e[3], __ATOMIC_RELAXED);
    }
    for (; n > 0; n--, e++) {
        a |= __atomic_load_n(e, __ATOMIC_RELAXED);
    }
    return a | b;
}

static unsigned same_scalar(const uint64_t *e, unsigned n, uint64_t first, uint64_t step,
                            uint64_t mask)
{
    const uint64_t step2 = 2 * step;
    uint64_t a = first, b = first + step;
    unsigned i = 0;

    for (; i + 8 <= n; i += 8, e += 8, a += step2, b += step2) {
        uint64_t x = differ(&e[0], a), y = differ(&e[1], b);

        a += step2, b += step2;
        x |= differ(&e[2], a), y |= differ(&e[3], b);
        a += step2, b += step2;
        x |= differ(&e[4], a), y |= differ(&e[5], b);
        a += step2, b += step2;
        x |= differ(&e[6], a), y |= differ(&e[7], b);
        if (((x | y) & mask) != 0) {
            break;
        }
    }
    for (first += i * step; i < n && (differ(e, first) & mask) == 0; i++, e++) {
        first += step;
    }
    return i;
}

static COLD void fill_seen(const struct hosted_hook *h, uint64_t *e, uint64_t first, uint64_t step,
                           unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        store_hooked(h, &e[i], first + i * step, HOSTED_FILL);
    }
}

static COLD void fill_rest(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    unsigned i = 0;

    if (n >= 32 && vector) {
        for (const unsigned head = head_of(e); i < head; i++) {
            __atomic_store_n(&e[i], first + i * step, __ATOMIC_RELAXED);
        }
        i += fill_vector(&e[i], first + i * step, step, n - i);
    }
    fill_scalar(&e[i], first + i * step, step, n - i);
}

/* A whole table most of all: that is one jump away, and so are the others. */
void hosted_pte_fill(uint64_t *e, uint64_t first, uint64_t step, unsigned n)
{
    const struct hosted_hook *h = HOSTED_HOOK;

    if (h) {
        fill_seen(h, e, first, step, n);
    } else if (vector && n % 16 == 0 && head_of(e) == 0) {
        (void)fill_vector(e, first, step, n);
    } else {
        fill_rest(e, first, step, n);
    }
}

uint64_t hosted_pte_or(const uint64_t *e, unsigned n)
{
    uint64_t any = 0, more = 0;
    unsigned i = 0;

    if (n >= 32 && vector) {
        i = head_of(e);
        any = or_scalar(e, i);
        i += or_vector(&e[i], n - i, &more);
    }
    return any | more | or_scalar(&e[i], n - i);
}

/* Up to the eight of which one may be it: together they have all of `value`, and each lacks some of
 * `none`. One comparison for eight of them, mostly. */
static unsigned find_eight(const uint64_t *e, unsigned n, uint64_t value, uint64_t none)
{
#define LOAD(i) __atomic_load_n(&e[i], __ATOMIC_RELAXED)
    const uint64_t *const first = e, *const end = e + (n & ~7u);

    for (; e != end; e += 8) {
        uint64_t any = LOAD(0) | LOAD(1) | LOAD(2) | LOAD(3);

        any |= LOAD(4) | LOAD(5) | LOAD(6) | LOAD(7);
        if ((any & value) == value) {
            uint64_t all = LOAD(0) & LOAD(1) & LOAD(2) & LOAD(3);

            all &= LOAD(4) & LOAD(5) & LOAD(6) & LOAD(7);
            if ((all & none) == 0) {
                break;
            }
        }
    }
    return (unsigned)(e - first);
#undef LOAD
}

static unsigned find_scalar(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value)
{
    unsigned i = 0;

    while (i < n) {
        unsigned end;

        i += find_eight(&e[i], n - i, value, mask & ~value);
        end = n - i < 8 ? n : i + 8;
        for (; i < end; i++) {
            if ((__atomic_load_n(&e[i], __ATOMIC_RELAXED) & mask) == value) {
                return i;
            }
        }
    }
    return n;
}

unsigned hosted_pte_find(const uint64_t *e, unsigned n, uint64_t mask, uint64_t value)
{
    unsigned i = 0;

    if (n >= 32 && vector) {
        const unsigned head = head_of(e);

        i = find_scalar(e, head, mask, value);
        if (i < head) {
            return i;
        }
        i += find_vector(&e[i], n - i, mask, value);
    }
    return i + find_scalar(&e[i], n - i, mask, value);
}

unsigned port_pte_flip(uint64_t *e, unsigned n, uint64_t mask, uint64_t value, uint64_t bits)
{
    unsigned i = 0;

    for (; i < n; i++) {
        uint64_t v;

        if (!HOSTED_HOOKED &&
            ((uintptr_t)&e[i] & sizeof(*e)) == 0) { /* a hook sees one at a time */
            i += flip_pairs(&e[i], n - i, mask, value, bits);
        }
        if (i == n || ((v = port_pte_load(&e[i])) & mask) != value ||
            !port_pte_cas(&e[i], &v, v ^ bits)) {
            break;
        }
    }
    return i;
}

static COLD unsigned same_rest(const uint64_t *e, unsigned n, unsigned i, uint64_t first,
                               uint64_t step, uint64_t mask)
{
    return i + same_scalar(&e[i], n - i, first + i * step, step, mask);
}

unsigned port_pte_same(const uint64_t *e, unsigned n, uint64_t first, uint64_t step,
                       uint64_t ignore)
{
    if (vector && n >= 32 && head_of(e) == 0) {
        return same_vector(e, n, first, step, ~ignore);
    }
    return same_rest(e, n, 0, first, step, ~ignore);
}
