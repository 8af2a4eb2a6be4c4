/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz target over files: those named, or the kept corpus of the program's own name
 * (fuzz_pt: tests/fuzz/corpus/pt). A failure is a crash, so that each line `ok` is one that held.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(const char *path, int nr)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size = 0;

    if (f == NULL) {
        perror(path);
        exit(1);
    }
    for (int c; (c = fgetc(f)) != EOF;) {
        if ((size & (size - 1)) == 0) {
            data = realloc(data, size == 0 ? 1 : 2 * size);
            if (data == NULL) {
                exit(1);
            }
        }
        data[size++] = (uint8_t)c;
    }
    fclose(f);
    /* Exactly so long: a byte too far is seen. */
    uint8_t *exact = malloc(size + (size == 0));

    if (exact == NULL) {
        exit(1);
    }
    if (size != 0) {
        memcpy(exact, data, size);
    }
    free(data);
    printf("# %s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
    printf("ok %d - %s\n", nr, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
}

int main(int argc, char **argv)
{
    struct dirent **list;
    char folder[256];
    char path[600];
    const char *name = strstr(argv[0], "fuzz_");

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) {
        printf("1..%d\n", argc - 1);
        for (int i = 1; i < argc; i++) {
            one(argv[i], i);
        }
        return 0;
    }
    snprintf(folder, sizeof(folder), "tests/fuzz/corpus/%s", name ? name + 5 : "");
    int n = scandir(folder, &list, NULL, alphasort), nr = 0;

    if (n <= 2) {
        fprintf(stderr, "no corpus in %s (run from the top folder)\n", folder);
        return 1;
    }
    printf("1..%d\n", n - 2);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
            one(path, ++nr);
        }
        free(list[i]);
    }
    free(list);
    return 0;
}
