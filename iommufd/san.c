/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DMA sanitizer: what a device did that it should not have, with the call that mapped the memory and
 * the one that took it away.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "iommufd/swdev.h"
#include "iommufd/swiommu.h"
#include "iommufd/symbol.h"

#define HISTORY       8192u /* unmapped ranges that are remembered */
#define SHOWN         200u  /* reports in full; more are only counted */
#define FRAME_TEXT    512u
#define LINE_MAX_RULE 256u

struct gone {
    const struct iopt *iopt;
    uint64_t first, last;
    struct san_map *how;
    struct san_stack unmap;
};
struct rule {
    char kind[32], device[32], function[128];
    struct rule *next;
};

static struct san_stack now;
static struct gone history[HISTORY];
static uint64_t next_gone;
static struct rule *rules;
static FILE *json;
static bool json_failed;
static unsigned found, suppressed;

/* ---- what happened ---- */

void san_enter(struct mm *mm, const uint64_t *frame, uint32_t n)
{
    now.mm = mm;
    now.n = n < SAN_FRAMES ? n : SAN_FRAMES;
    if (now.n != 0) {
        memcpy(now.frame, frame, now.n * sizeof(*frame));
    }
}

static void stack_take(struct san_stack *s)
{
    *s = now;
    if (s->mm != NULL) {
        s->mm->refs++;
    }
}

static void stack_drop(struct san_stack *s)
{
    if (s->mm != NULL) {
        mm_put(s->mm);
    }
    s->mm = NULL;
}

struct san_map *san_map_new(void)
{
    struct san_map *m = sw_count() != 0 ? calloc(1, sizeof(*m)) : NULL;

    if (m != NULL) {
        m->refs = 1;
        stack_take(&m->stack);
    }
    return m;
}

void san_map_put(struct san_map *m)
{
    if (m != NULL && --m->refs == 0) {
        stack_drop(&m->stack);
        free(m);
    }
}

static void gone_drop(struct gone *g)
{
    if (g->iopt != NULL) {
        san_map_put(g->how);
        stack_drop(&g->unmap);
        g->iopt = NULL;
    }
}

void san_unmapped(struct iopt *t, const struct area *a)
{
    if (a->how == NULL) {
        return;
    }
    struct gone *g = &history[next_gone++ % HISTORY];

    gone_drop(g);
    *g = (struct gone){ t, a->iova, a->last, a->how, { 0 } };
    a->how->refs++;
    stack_take(&g->unmap);
}

void san_forget(const struct iopt *t)
{
    for (unsigned i = 0; i < HISTORY && next_gone != 0; i++) {
        if (history[i].iopt == t) {
            gone_drop(&history[i]);
        }
    }
}

static const struct gone *gone_at(const struct iopt *t, uint64_t iova)
{
    for (uint64_t i = next_gone; i > 0 && i + HISTORY > next_gone; i--) {
        const struct gone *g = &history[(i - 1) % HISTORY];

        if (g->iopt == t && g->first <= iova && g->last >= iova) {
            return g;
        }
    }
    return NULL;
}

/* ---- what is said of it ---- */

struct report {
    const char *kind, *why;
    const struct san_stack *mapped, *unmapped;
    uint64_t first, last; /* of the mapping that is meant */
};

static const struct area *area_at(const struct iopt *t, uint64_t iova)
{
    uint32_t i = iopt_find(t, iova);

    return i < t->areas && t->area[i]->iova <= iova ? t->area[i] : NULL;
}

static void judge_area(struct report *r, const struct area *a, const struct dma *m, bool gone)
{
    r->first = a->iova;
    r->last = a->last;
    r->mapped = a->how != NULL ? &a->how->stack : NULL;
    if (gone) {
        r->kind = "memory-gone";
        r->why = "the memory under this mapping was freed or unmapped by its owner";
    } else if (m->write && !a->write) {
        r->kind = "read-only";
        r->why = "a write to memory that is mapped for reading";
    } else if (!m->write && !a->read) {
        r->kind = "write-only";
        r->why = "a read of memory that is mapped for writing";
    } else {
        r->kind = "lost";
        r->why = "mapped, but the table does not show it: a fault of tenon-iommufd itself";
    }
}

static struct report judge(struct sw_dev *d, const struct dma *m, uint64_t iova, bool gone)
{
    struct report r = { .kind = "never-mapped", .why = "nothing was mapped there" };
    const struct domain *tree = d->dev != NULL ? swiommu_tree(d->dev, m->pasid) : NULL;

    if (d->model->needs_master && !config_master(d)) {
        r.kind = "no-bus-master";
        r.why = "the driver has not set the bus master bit of the PCI command register";
        return r;
    }
    if (tree == NULL || tree->iopt == NULL) {
        r.kind = "not-attached";
        r.why = m->pasid == NO_PASID ? "the device is attached to nothing"
                                     : "this PASID is attached to nothing";
        return r;
    }
    const struct iopt *t = tree->iopt;
    const struct area *a = area_at(t, iova);
    const struct gone *g = gone_at(t, iova);

    if (a != NULL) {
        judge_area(&r, a, m, gone);
    } else if (iova > m->iova && area_at(t, iova - 1) != NULL) {
        a = area_at(t, iova - 1);
        judge_area(&r, a, m, false);
        r.kind = "past-the-end";
        r.why = "the transfer runs over the end of its mapping";
    } else if (g != NULL) {
        r.kind = "use-after-unmap";
        r.why = "the range was unmapped before";
        r.first = g->first;
        r.last = g->last;
        r.mapped = g->how != NULL ? &g->how->stack : NULL;
        r.unmapped = &g->unmap;
    }
    return r;
}

/* A frame's text; function names for the suppressions. */
static bool stack_has(const struct san_stack *s, const char *function)
{
    for (uint32_t i = 0; s != NULL && i < s->n; i++) {
        char text[FRAME_TEXT], name[128];

        symbol_of(s->mm, s->frame[i], text, sizeof(text), name, sizeof(name));
        if (fnmatch(function, name, 0) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_suppressed(const struct sw_dev *d, const struct report *r)
{
    for (const struct rule *k = rules; k != NULL; k = k->next) {
        if (fnmatch(k->kind, r->kind, 0) == 0 && fnmatch(k->device, d->name, 0) == 0 &&
            (strcmp(k->function, "*") == 0 || stack_has(r->mapped, k->function) ||
             stack_has(r->unmapped, k->function))) {
            return true;
        }
    }
    return false;
}

static void text_stack(const char *what, const struct san_stack *s)
{
    if (s == NULL) {
        return;
    }
    fprintf(stderr, "  %s by process %d:\n", what, s->mm != NULL ? (int)s->mm->pid : 0);
    for (uint32_t i = 0; i < s->n; i++) {
        char text[FRAME_TEXT], name[128];

        symbol_of(s->mm, s->frame[i], text, sizeof(text), name, sizeof(name));
        fprintf(stderr, "    #%u %s\n", i, text);
    }
}

static void json_string(const char *s)
{
    fputc('"', json);
    for (; *s != 0; s++) {
        if (*s == '"' || *s == '\\') {
            fputc('\\', json);
        }
        fputc((unsigned char)*s < 32 ? ' ' : *s, json);
    }
    fputc('"', json);
}

static void json_stack(const char *what, const struct san_stack *s)
{
    if (s == NULL) {
        return;
    }
    fprintf(json, ",\"%s\":{\"process\":%d,\"stack\":[", what, s->mm != NULL ? (int)s->mm->pid : 0);
    for (uint32_t i = 0; i < s->n; i++) {
        char text[FRAME_TEXT], name[128];

        symbol_of(s->mm, s->frame[i], text, sizeof(text), name, sizeof(name));
        fputs(i != 0 ? "," : "", json);
        json_string(text);
    }
    fputs("]}", json);
}

static void json_line(const struct sw_dev *d, const struct dma *m, uint64_t iova,
                      const struct report *r)
{
    fprintf(json,
            "{\"kind\":\"%s\",\"device\":\"%s\",\"pasid\":%u,\"access\":\"%s\",\"iova\":\"%#llx\","
            "\"transfer\":{\"iova\":\"%#llx\",\"length\":%u}",
            r->kind, d->name, m->pasid, m->write ? "write" : "read", (unsigned long long)iova,
            (unsigned long long)m->iova, m->len);
    if (m->what != NULL) {
        fputs(",\"for\":", json);
        json_string(m->what);
    }
    if (r->mapped != NULL) {
        fprintf(json, ",\"mapping\":{\"first\":\"%#llx\",\"last\":\"%#llx\"}",
                (unsigned long long)r->first, (unsigned long long)r->last);
    }
    json_stack("mapped", r->mapped);
    json_stack("unmapped", r->unmapped);
    fputs("}\n", json);
    if ((fflush(json) != 0 || ferror(json)) && !json_failed) {
        json_failed = true;
        fprintf(stderr, "tenon-iommufd: --report: %s\n", strerror(errno));
    }
}

void san_report(struct sw_dev *d, const struct dma *m, uint64_t iova, bool memory_gone)
{
    struct report r = judge(d, m, iova, memory_gone);

    if (is_suppressed(d, &r)) {
        suppressed++;
        return;
    }
    if (++found > SHOWN) {
        if (found == SHOWN + 1) {
            fprintf(stderr, "tenon-iommufd: %u DMA errors were reported; more are only counted\n",
                    SHOWN);
        }
        return;
    }
    fprintf(stderr, "tenon-iommufd: DMA %s: %s, PASID %u, %s at %#llx\n  %s\n", r.kind, d->name,
            m->pasid, m->write ? "write" : "read", (unsigned long long)iova, r.why);
    fprintf(stderr, "  transfer %#llx + %u bytes", (unsigned long long)m->iova, m->len);
    if (m->what != NULL) {
        fprintf(stderr, " (%s)", m->what);
    }
    if (r.mapped != NULL) {
        fprintf(stderr, ", mapping %#llx to %#llx", (unsigned long long)r.first,
                (unsigned long long)r.last);
    }
    fputc('\n', stderr);
    text_stack("mapped", r.mapped);
    text_stack("unmapped", r.unmapped);
    if (json != NULL) {
        json_line(d, m, iova, &r);
    }
}

/* ---- life ---- */

/* A rule that can never match is a mistake of its writer's: a name of no kind, most of all. */
static bool is_kind(const char *pattern)
{
    static const char *const kinds[] = { "use-after-unmap", "past-the-end",  "read-only",
                                         "write-only",      "memory-gone",   "never-mapped",
                                         "not-attached",    "no-bus-master", "lost" };
    bool is = false;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        is = is || fnmatch(pattern, kinds[i], 0) == 0;
    }
    return is;
}

/* A line of KIND DEVICE [FUNCTION], each a pattern; # begins a comment. What is wrong with it, or NULL. */
static const char *rule_read(char *line)
{
    struct rule r = { .function = "*" };
    char more[2];
    size_t len = strlen(line);

    for (char *c = line; (c = strchr(c, '#')) != NULL; c++) {
        if (c == line || c[-1] == ' ' || c[-1] == '\t') {
            *c = 0;
            break;
        }
    }
    int n = sscanf(line, "%31s %31s %127s %1s", r.kind, r.device, r.function, more);

    if (n <= 0) {
        return NULL;
    }
    if (len + 1 == LINE_MAX_RULE || n == 1 || n > 3) {
        return "wanted KIND DEVICE [FUNCTION]";
    }
    if (!is_kind(r.kind)) {
        return "no report is of this kind";
    }
    struct rule *k = malloc(sizeof(*k));

    if (k == NULL) {
        return "no memory";
    }
    *k = r;
    k->next = rules;
    rules = k;
    return NULL;
}

static int rules_read(const char *path)
{
    char line[LINE_MAX_RULE];
    FILE *f = fopen(path, "re");
    const char *wrong = NULL;
    unsigned at = 0;

    if (f == NULL) {
        return -errno;
    }
    while (wrong == NULL && fgets(line, sizeof(line), f) != NULL) {
        at++;
        wrong = rule_read(line);
    }
    int err = wrong != NULL ? -EINVAL : ferror(f) ? -errno : 0;

    fclose(f);
    if (wrong != NULL) {
        fprintf(stderr, "tenon-iommufd: %s:%u: %s\n", path, at, wrong);
    }
    return err;
}

int san_configure(const char *json_path, const char *suppressions)
{
    if (json_path != NULL) {
        json = fopen(json_path, "we");
        if (json == NULL) {
            return -errno;
        }
    }
    return suppressions != NULL ? rules_read(suppressions) : 0;
}

unsigned san_summary(void)
{
    if (found != 0 || suppressed != 0) {
        fprintf(stderr, "tenon-iommufd: %u DMA error%s, %u suppressed\n", found,
                found == 1 ? "" : "s", suppressed);
    }
    if (json != NULL) {
        fclose(json);
        json = NULL;
    }
    return found;
}
