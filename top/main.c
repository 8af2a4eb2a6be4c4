/* SPDX-License-Identifier: BSD-2-Clause */
/* tenon-top: what is mapped where, at which leaf size, private or shared, by whom; live. */
#include "top.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
    "usage: tenon-top [OPTION]... FILE\n"
    "       tenon-top [OPTION]... --demo\n"
    "\n"
    "Shows a VM's memory as a strip, and below it, one strip for each page table that follows it:\n"
    "private or shared, whose, lent to whom, and the size of the leaf that maps it. FILE is a "
    "snapshot\n"
    "file: a program that uses the library writes it with snapshot_file_make() and\n"
    "snapshot_file_write() (<tenon/snapshot_file.h>). It may be looked at at any time, also "
    "after\n"
    "the program has ended. --demo needs no program: it makes a VM whose pages change for ever.\n"
    "\n"
    "  --once           print one picture and end (what scripts want; also when the output is no\n"
    "                   terminal)\n"
    "  --svg OUT        write the picture to OUT as SVG, and end\n"
    "  --from SIZE      show the memory from here on: 1G, 64M, 4K ...\n"
    "  --bytes SIZE     ... and so much of it\n"
    "  --width N        N columns (default: the terminal's, else 100)\n"
    "  --interval S     a new picture every S seconds (0.5)\n"
    "  --colour, --no-colour   default: in a terminal, unless NO_COLOR is set\n"
    "  -h, --help       this text\n"
    "\n"
    "Keys: q ends. TMPDIR: where --demo has its file (/tmp). Exit code: 0; 1 FILE cannot be read "
    "or is no snapshot; 2 usage.\n"
    "Example: tenon-top --demo --once --width 80\n";

struct options {
    const char *file, *svg;
    bool demo, once;
    int colour; /* -1: as the terminal is */
    uint64_t from, bytes;
    unsigned width;
    double interval;
};

static struct snapshot_file now;

_Noreturn static void usage(const char *what, const char *word)
{
    fprintf(stderr, "tenon-top: %s%s%s\ntenon-top --help tells more\n", what, word ? " " : "",
            word ? word : "");
    exit(2);
}

static uint64_t size_arg(const char *name, const char *word)
{
    char *end;

    errno = 0;
    unsigned long long v = strtoull(word, &end, 0);
    unsigned shift = 0;

    switch (*end) {
    case 'K':
        shift = 10;
        break;
    case 'M':
        shift = 20;
        break;
    case 'G':
        shift = 30;
        break;
    case 'T':
        shift = 40;
        break;
    default:
        break;
    }
    end += shift != 0;
    if (end == word || *end != 0 || errno != 0 || word[0] == '-' || v > UINT64_MAX >> shift) {
        fprintf(stderr, "tenon-top: %s takes a size as 4K, 64M, 1G; not `%s`\n", name, word);
        exit(2);
    }
    return (uint64_t)v << shift;
}

static const char *value(int argc, char **argv, int *i)
{
    if (*i + 1 >= argc) {
        usage("a value is missing after", argv[*i]);
    }
    return argv[++*i];
}

static void parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        char *end = NULL;

        if (strcmp(a, "-h") == 0 || strcmp(a, "--help") == 0) {
            fputs(help, stdout);
            exit(0);
        } else if (strcmp(a, "--once") == 0) {
            o->once = true;
        } else if (strcmp(a, "--demo") == 0) {
            o->demo = true;
        } else if (strcmp(a, "--colour") == 0 || strcmp(a, "--color") == 0) {
            o->colour = 1;
        } else if (strcmp(a, "--no-colour") == 0 || strcmp(a, "--no-color") == 0) {
            o->colour = 0;
        } else if (strcmp(a, "--svg") == 0) {
            o->svg = value(argc, argv, &i);
        } else if (strcmp(a, "--from") == 0) {
            o->from = size_arg(a, value(argc, argv, &i));
        } else if (strcmp(a, "--bytes") == 0) {
            o->bytes = size_arg(a, value(argc, argv, &i));
            if (o->bytes < PAGE_SIZE) {
                usage("--bytes: at least 4K", NULL);
            }
        } else if (strcmp(a, "--width") == 0) {
            o->width = (unsigned)strtoul(value(argc, argv, &i), &end, 10);
            if (*end != 0 || o->width < 32 || o->width > 1000) {
                usage("--width: 32 to 1000, not", argv[i]);
            }
        } else if (strcmp(a, "--interval") == 0) {
            o->interval = strtod(value(argc, argv, &i), &end);
            if (*end != 0 || !(o->interval >= 0.05 && o->interval <= 3600)) {
                usage("--interval: 0.05 to 3600 seconds, not", argv[i]);
            }
        } else if (a[0] == '-') {
            usage("unknown option", a);
        } else if (o->file != NULL) {
            usage("one file at a time; what is", a);
        } else {
            o->file = a;
        }
    }
    if (o->demo == (o->file != NULL)) {
        usage(o->demo ? "--demo takes no file" : "which snapshot file? (or --demo)", NULL);
    }
}

/* ---- the demonstration, in a process of its own ---- */

static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };

static void at_end(void (*fn)(int))
{
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        signal(ends[i], fn);
    }
}

static pid_t demo_pid;
static char demo_path[PATH_MAX];

static void demo_end(void)
{
    if (demo_pid > 0) {
        kill(demo_pid, SIGTERM);
        waitpid(demo_pid, NULL, 0);
        unlink(demo_path);
        demo_pid = 0;
    }
}

static void demo_start(struct options *o)
{
    const char *under = getenv("TMPDIR");

    snprintf(demo_path, sizeof(demo_path), "%s/tenon-top.XXXXXX",
             under != NULL && *under != 0 ? under : "/tmp");
    int fd = mkstemp(demo_path);

    if (fd < 0) {
        fprintf(stderr, "tenon-top: %s: %s (TMPDIR names another folder)\n", demo_path,
                strerror(errno));
        exit(1);
    }
    close(fd);
    o->file = demo_path;
    if (o->once || o->svg != NULL) {
        if (demo_run(demo_path, 1) != 0) { /* one picture: here and now, always the same */
            unlink(demo_path);
            exit(1);
        }
        return;
    }
    demo_pid = fork();
    if (demo_pid < 0) {
        perror("tenon-top: fork");
        unlink(demo_path);
        exit(1);
    }
    if (demo_pid == 0) {
        at_end(SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(demo_run(demo_path, 0));
    }
    atexit(demo_end);
}

/* ---- pictures ---- */

static volatile sig_atomic_t asked_to_end;
static bool screen_taken, keys_taken;
static struct termios keys_found;

static void on_signal(int nr)
{
    (void)nr;
    asked_to_end = 1;
}

static void screen_back(void)
{
    static const char back[] = "\033[?25h\033[?1049l";

    if (screen_taken && write(STDOUT_FILENO, back, sizeof(back) - 1) < 0) {
        return; /* nobody looks */
    }
    if (keys_taken) {
        tcsetattr(STDIN_FILENO, TCSANOW, &keys_found);
    }
}

/* Somebody made the file shorter while it is mapped. */
static void on_bus(int nr)
{
    static const char what[] = "tenon-top: the file was cut off by somebody\n";

    (void)nr;
    screen_back();
    if (demo_pid > 0) {
        kill(demo_pid, SIGKILL);
        unlink(demo_path);
    }
    if (write(STDERR_FILENO, what, sizeof(what) - 1) < 0) {
        _exit(2);
    }
    _exit(1);
}

static unsigned width_of(const struct options *o)
{
    struct winsize w;

    if (o->width != 0) {
        return o->width;
    }
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 32 ? w.ws_col : 100;
}

static struct part part_of(const struct options *o)
{
    uint64_t all = now.npages, page = o->from >> PAGE_SHIFT;

    if (page >= all) {
        fprintf(stderr, "tenon-top: --from is beyond the memory's end (%s)\n",
                size_words(all << PAGE_SHIFT));
        exit(2);
    }
    uint64_t n = o->bytes != 0 ? o->bytes >> PAGE_SHIFT : all;

    return (struct part){ .page = page, .n = n < all - page ? n : all - page };
}

/* The file may not be there yet, when writer and reader are started together. */
static const struct snapshot_file *open_file(const char *path, bool patient)
{
    const struct snapshot_file *f = NULL;

    for (unsigned i = 0; i < (patient ? 200u : 1u); i++) {
        f = snapshot_file_open(path);
        if (f != NULL) {
            return f;
        }
        usleep(10000);
    }
    fprintf(stderr, "tenon-top: %s: %s\n", path,
            errno == ENOEXEC ? "no snapshot file, or one of another version of Tenon"
                             : strerror(errno));
    exit(1);
}

static void read_now(const struct snapshot_file *f, const char *path)
{
    int err = snapshot_file_read(f, &now);

    if (err == 0 && now.npages != 0) {
        return;
    }
    fprintf(stderr, "tenon-top: %s: %s\n", path,
            err == -EPROTO ? "what is in it makes no sense"
            : err == -EAGAIN
                ? "no whole picture in it (its writer has just begun, or died meanwhile)"
                : "there is no memory in the picture");
    exit(1);
}

static double seconds(void)
{
    return (double)port_now() * 1e-9;
}

static bool key_q(double wait_s)
{
    struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };
    char c = 0;

    return poll(&p, isatty(STDIN_FILENO) ? 1 : 0, (int)(wait_s * 1000)) > 0 &&
           (read(STDIN_FILENO, &c, 1) != 1 || c == 'q' || c == 'Q');
}

static void live(const struct options *o, const struct snapshot_file *f, bool colour)
{
    struct termios raw;
    struct text_rates rates = { .conversions = -1 };
    double last = seconds();
    uint64_t converted = now.converted + now.converted_inplace;

    keys_taken = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &keys_found) == 0;
    if (keys_taken) {
        raw = keys_found;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    screen_taken = true;
    fputs("\033[?1049h\033[?25l", stdout); /* another screen, no cursor */
    while (!asked_to_end) {
        struct part part = part_of(o);

        fputs("\033[H\033[2J", stdout);
        text_print(stdout, &now, &part, width_of(o), colour, &rates);
        double age = seconds() - (double)now.time_ns * 1e-9;

        if (age > 2) {
            printf("\nno news for %.0f s: the program has stopped, or writes no pictures\n", age);
        }
        printf("\nq ends\n");
        fflush(stdout);
        if (key_q(o->interval)) {
            break;
        }
        if (snapshot_file_read(f, &now) == 0) {
            double t = seconds();
            uint64_t c = now.converted + now.converted_inplace;

            rates.conversions = (double)(c - converted) / (t - last);
            converted = c;
            last = t;
        }
    }
    fflush(stdout);
    screen_back();
}

int main(int argc, char **argv)
{
    struct options o = { .colour = -1, .interval = 0.5 };
    const struct text_rates none = { .conversions = -1 };

    parse(argc, argv, &o);
    signal(SIGBUS, on_bus);
    at_end(on_signal);
    bool tty = isatty(STDOUT_FILENO);

    o.once = o.once || (!tty && o.svg == NULL);
    if (o.demo) {
        demo_start(&o);
    }
    const struct snapshot_file *f = open_file(o.file, o.demo);
    bool colour = o.colour >= 0 ? o.colour != 0 : tty && getenv("NO_COLOR") == NULL;

    if (o.demo && demo_pid > 0) {
        while (snapshot_file_read(f, &now) != 0) { /* until its first picture */
            if (asked_to_end) {
                return 1;
            }
            if (waitpid(demo_pid, NULL, WNOHANG) != 0) {
                demo_pid = 0; /* it has said why */
                unlink(demo_path);
                return 1;
            }
        }
    }
    read_now(f, o.file);
    if (o.demo && demo_pid == 0) {
        unlink(demo_path);
    }
    struct part part = part_of(&o);

    if (o.svg != NULL) {
        int err = picture_write(o.svg, &now, &part);

        if (err != 0) {
            fprintf(stderr, "tenon-top: %s: %s\n", o.svg, strerror(-err));
            return 1;
        }
        printf("%s written\n", o.svg);
    } else if (o.once) {
        text_print(stdout, &now, &part, width_of(&o), colour, &none);
    } else {
        live(&o, f, colour);
    }
    snapshot_file_close(f);
    return ferror(stdout) != 0 || fflush(stdout) != 0;
}
