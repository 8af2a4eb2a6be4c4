/* SPDX-License-Identifier: BSD-2-Clause */
/* Command lines: one table per command makes both its parser and its --help. */
#include "vmm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool parse_number(const char *s, uint64_t *value)
{
    char *end;
    errno = 0;
    *value = strtoull(s, &end, 0);
    return *s >= '0' && *s <= '9' && *end == 0 && errno == 0;
}

bool parse_size(const char *s, uint64_t *value)
{
    char *end;
    errno = 0;
    uint64_t v = strtoull(s, &end, 0);
    if (*s < '0' || *s > '9' || errno != 0) {
        return false;
    }
    unsigned shift = *end == 'K' || *end == 'k'   ? 10
                     : *end == 'M' || *end == 'm' ? 20
                     : *end == 'G' || *end == 'g' ? 30
                                                  : 0;
    if (shift) {
        end++;
    }
    *value = v << shift;
    return *end == 0 && *value >> shift == v;
}

bool parse_bdf(const char *s, uint64_t *bdf)
{
    unsigned bus;
    unsigned slot;
    unsigned function;
    char more;
    if (strncmp(s, "0000:", 5) == 0) {
        s += 5;
    }
    if (sscanf(s, "%2x:%2x.%1x%c", &bus, &slot, &function, &more) != 3 || slot > 31 ||
        function > 7) {
        return false;
    }
    *bdf = bus << 8 | slot << 3 | function;
    return true;
}

static void wrong(const char *s, const char *what, const char *example)
{
    fprintf(stderr, "tenon: `%s` is not %s; for example %s\n", s, what, example);
    exit(EXIT_USAGE);
}

uint64_t need_number(const char *s, const char *what)
{
    uint64_t v = 0;
    if (!parse_number(s, &v)) {
        wrong(s, what, "0 or 0x40000000");
    }
    return v;
}

uint64_t need_size(const char *s, const char *what)
{
    uint64_t v = 0;
    if (!parse_size(s, &v)) {
        wrong(s, what, "4096, 64K, 2M or 1G");
    }
    return v;
}

uint64_t need_bdf(const char *s)
{
    uint64_t v = 0;
    if (!parse_bdf(s, &v)) {
        wrong(s, "a PCI address", "00:03.0 (see `tenon device list`)");
    }
    return v;
}

static void help(const struct command *cmd)
{
    printf("usage: tenon %s %s\n\n%s\n", cmd->name, cmd->synopsis, cmd->about);
    for (const struct arg *a = cmd->args; a && a->kind != ARG_END; a++) {
        char left[40];
        snprintf(left, sizeof(left), "%s %s", a->name, a->value ? a->value : "");
        printf("%s  %-22s %s\n", a == cmd->args ? "\nOptions:\n" : "", left, a->what);
    }
}

static bool store(const struct arg *a, const char *value)
{
    switch (a->kind) {
    case ARG_NUMBER:
        return parse_number(value, a->to);
    case ARG_SIZE:
        return parse_size(value, a->to);
    case ARG_BDF:
        return parse_bdf(value, a->to);
    case ARG_TEXT:
        *(const char **)a->to = value;
        return true;
    case ARG_FLAG:
    case ARG_END:
        break;
    }
    return false;
}

_Noreturn static void usage_error(const struct command *cmd, const char *what, const char *which)
{
    fprintf(stderr, "tenon %s: %s%s%s\nusage: tenon %s %s   (--help explains)\n", cmd->name, what,
            which ? " " : "", which ? which : "", cmd->name, cmd->synopsis);
    exit(EXIT_USAGE);
}

void args_parse(const struct command *cmd, int argc, char **argv, const char *word[])
{
    int words = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help(cmd);
            exit(EXIT_OK);
        }
        if (strcmp(argv[i], "--live") == 0) {
            ui_live = true;
            continue;
        }
        if (argv[i][0] != '-') {
            if (words >= cmd->max) {
                usage_error(cmd, "one word too many:", argv[i]);
            }
            word[words++] = argv[i];
            continue;
        }
        const struct arg *a = cmd->args;
        while (a && a->kind != ARG_END && strcmp(a->name, argv[i]) != 0) {
            a++;
        }
        if (!a || a->kind == ARG_END) {
            usage_error(cmd, "no such option:", argv[i]);
        }
        if (a->kind == ARG_FLAG) {
            *(bool *)a->to = true;
        } else if (i + 1 >= argc) {
            usage_error(cmd, "a value is missing after", argv[i]);
        } else if (!store(a, argv[++i])) {
            usage_error(cmd, "cannot make sense of the value of", a->name);
        }
    }
    if (words < cmd->min) {
        usage_error(cmd, "a word is missing", NULL);
    }
}

int run_subcommand(const char *group, const char *about, const struct subcommand *list, size_t n,
                   int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0) {
            return list[i].run(argc - 1, argv + 1);
        }
    }
    bool asked = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    FILE *to = asked ? stdout : stderr;
    if (!asked) {
        fprintf(to, "tenon %s: %s%s%s\n", group, *name ? "no such command: " : "say what to do",
                name, "");
    }
    fprintf(to, "usage: tenon %s COMMAND ...\n\n%s\n\n", group, about);
    for (size_t i = 0; i < n; i++) {
        fprintf(to, "  %-10s %s\n", list[i].name, list[i].brief);
    }
    fprintf(to, "\n`tenon %s COMMAND --help` explains each.\n", group);
    return asked ? EXIT_OK : EXIT_USAGE;
}
