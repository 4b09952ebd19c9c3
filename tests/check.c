#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "check.h"

/* The Makefile says where the programs under test are, and how they are made. */
#ifndef CHECK_BUILD
#error "CHECK_BUILD is not defined: build the tests with make"
#endif

/* ---- Seeds ---- */

uint64_t check_seed(void)
{
    const char *seed = getenv("SEED");
    if (!seed || !*seed) return 1;
    char *end;
    errno = 0;
    uint64_t value = strtoull(seed, &end, 10);
    if (!errno && !*end && *seed >= '0' && *seed <= '9') return value;
    fprintf(stderr, "tests: SEED must be a whole number, got '%s' (try SEED=7)\n", seed);
    exit(2);
}

struct random check_random(void) { return random_seeded(check_seed()); }

struct matrix check_matrix(struct random *random, size_t rows, size_t cols, double a)
{
    struct matrix m = matrix_new(rows, cols);
    for (size_t i = 0; i < rows * cols; i++) m.at[i] = (real)random_symmetric(random, a);
    return m;
}

/* ---- Commands ---- */

static char *slurp(FILE *file)
{
    size_t length = 0, room = 4096, got;
    char *text = malloc(room);
    if (!text) abort();
    rewind(file);
    while ((got = fread(text + length, 1, room - length - 1, file)) > 0) {
        length += got;
        if (length + 1 < room) continue;
        text = realloc(text, room *= 2);
        if (!text) abort();
    }
    text[length] = '\0';
    fclose(file);
    return text;
}

/* Run command, or action if there is no command, in a child. */
static struct check_output run_child(const char *command, void (*action)(void))
{
    FILE *out = tmpfile(), *err = tmpfile();
    if (!out || !err) { perror("tests: tmpfile"); exit(1); }
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) { perror("tests: fork"); exit(1); }
    if (child == 0) {
        dup2(fileno(out), STDOUT_FILENO);
        dup2(fileno(err), STDERR_FILENO);
        if (command) {
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(127);
        }
#ifdef _OPENMP
        omp_set_num_threads(1); /* the fork has left the others behind */
#endif
        action();
        fflush(NULL);
        _exit(0);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) { }
    return (struct check_output){
        WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
        slurp(out), slurp(err)};
}

struct check_output check_run(const char *command) { return run_child(command, NULL); }

void check_free(struct check_output *output)
{
    free(output->out);
    free(output->err);
    output->out = output->err = NULL;
}

/* Assert, and if it fails say about what: CUnit shows only the expression. */
static int holds(int condition, const char *what, const char *command,
                 const struct check_output *got)
{
    CU_assertImplementation(condition ? CU_TRUE : CU_FALSE, __LINE__, what,
                            __FILE__, "", CU_FALSE);
    if (!condition && got)
        printf("\n    $ %s\n    %s\n    exit %d\n    stdout: %.800s\n    stderr: %.800s\n",
               command, what, got->status, got->out, got->err);
    return condition;
}

static void check_ends(void (*breach)(void), const char *words, int status, const char *what)
{
    struct check_output got = run_child(NULL, breach);
    holds(got.status == status, what, "(in the test)", &got);
    char word[64];
    for (int used = 0; sscanf(words, " %63s%n", word, &used) == 1; words += used)
        if (!strstr(got.err, word)) {
            printf("\n    the message does not say '%s'", word);
            holds(0, "the message names what does not fit", "(in the test)", &got);
        }
    check_free(&got);
}

void check_aborts(void (*breach)(void), const char *words)
{
    check_ends(breach, words, 128 + 6 /* SIGABRT */, "a broken contract aborts");
}

void check_gives_up(void (*breach)(void), const char *words)
{
    check_ends(breach, words, 1, "too little memory exits 1");
}

/* ---- A chapter's program ---- */

static struct check_output run_program(int chapter, const char *arguments)
{
    char command[600];
    snprintf(command, sizeof command, CHECK_BUILD "/chapter%d %s", chapter, arguments);
    return check_run(command);
}

static const char *next_line(const char *text)
{
    const char *end = strchr(text, '\n');
    return end ? end + 1 : NULL;
}

/* Asked for one value after the other, a program runs once. */
double check_value(int chapter, const char *arguments, const char *name)
{
    static char last[500];
    static struct check_output got;
    char line[80], values[500];
    snprintf(values, sizeof values, "%d --values %s", chapter, arguments);
    snprintf(line, sizeof line, "%s\t", name);
    if (strcmp(values, last)) {
        check_free(&got);
        got = run_program(chapter, strchr(values, ' '));
        strcpy(last, values);
    }
    const char *at = got.out;
    while (at && strncmp(at, line, strlen(line))) at = next_line(at);
    return got.status == 0 && at ? strtod(at + strlen(line), NULL) : NAN;
}

static void check_success(const char *arguments, const struct check_output *got)
{
    holds(got->status == 0 && !*got->err && *got->out,
          "exits 0, prints something, complains about nothing", arguments, got);
}

static void check_succeeds(int chapter, const char *arguments)
{
    struct check_output got = run_program(chapter, arguments);
    check_success(arguments, &got);
    check_free(&got);
}

/* Lines "name<TAB>value", every value a finite number. */
static void check_values(int chapter, const char *more)
{
    char arguments[100];
    snprintf(arguments, sizeof arguments, "--values %s", more);
    struct check_output got = run_program(chapter, arguments);
    check_success(arguments, &got);
    for (const char *line = got.out, *end; (end = strchr(line, '\n')); line = end + 1) {
        char shown[200], name[80], rest[2];
        double value = NAN;
        snprintf(shown, sizeof shown, "%.*s", (int)(end - line), line);
        int fields = sscanf(shown, "%79[a-z0-9_.]\t%lf%1s", name, &value, rest);
        if (!holds(fields == 2 && isfinite(value), "a value is name<TAB>number", NULL, NULL))
            printf("\n    --values printed '%s'", shown);
    }
    check_free(&got);
}

#ifdef CHECK_FAST
/* Are the lines of `quoted` lines of `all`, in the same order? */
static int lines_of(const char *all, const char *quoted)
{
    for (const char *end; (end = strchr(quoted, '\n')); quoted = end + 1) {
        size_t length = (size_t)(end - quoted) + 1;
        while (all && strncmp(all, quoted, length)) all = next_line(all);
        if (!all) return 0;
        all += length;
    }
    return 1;
}

/* tests/values/03-top-k.txt: "$ command", then what the page quotes of what it
 * prints. Runs of another chapter's program are that chapter's to check. */
static void check_quotes(int chapter)
{
    char command[300];
    snprintf(command, sizeof command, "cat tests/values/%02d*.txt", chapter);
    struct check_output file = check_run(command);
    holds(file.status == 0 && !strncmp(file.out, "$ ", 2),
          "what the page quotes is in tests/values (make promote)", command, &file);
    for (char *section = file.out; !strncmp(section, "$ ", 2); ) {
        char *line = section + 2, *text = strchr(line, '\n');
        if (!text) break;
        *text++ = '\0';
        char *next = strstr(text, "\n$ ");
        if (!strncmp(text, "$ ", 2)) next = text - 1;
        section = next ? next + 1 : text + strlen(text);
        char saved = *section;
        *section = '\0';
        size_t name = (size_t)snprintf(command, sizeof command, "build/chapter%d", chapter);
        if (!strncmp(line, command, name) && (line[name] == ' ' || !line[name])) {
            struct check_output got = run_program(chapter, line + name);
            holds(got.status == 0 && lines_of(got.out, text),
                  "the fast build prints what the page quotes", line, &got);
            check_free(&got);
        }
        *section = saved;
    }
    check_free(&file);
}
#endif

/* The program refuses these arguments; its message says all words (NULL: none asked for). */
static void check_rejects(int chapter, const char *arguments, const char *words, const char *option)
{
    struct check_output got = run_program(chapter, arguments);
    holds(got.status == 2, "a bad argument exits 2", arguments, &got);
    holds(!*got.out, "a bad argument prints nothing on stdout", arguments, &got);
    holds(strstr(got.err, "(try --") && !strstr(got.err, "(null)"), "the message says what to try",
          arguments, &got);
    holds(strstr(got.err, words) && strstr(got.err, option),
          "the message names the option and what is allowed", arguments, &got);
    check_free(&got);
}

void check_refuses(int chapter, const struct check_refusal *rows)
{
    for (; rows->arguments; rows++) check_rejects(chapter, rows->arguments, rows->words, "");
}

/* An option that takes a value must reject these, and say what is allowed. All
 * options have one reader, which the sanitizers need not watch at each value. */
static void check_rejects_values(int chapter, const char *option, const char *help)
{
    char arguments[200], allowed[120];
    double least = 0, most = 0;
    const char *range = strstr(help, "number from ");
    check_rejects(chapter, option, "", option);
    int text = strstr(help, "text, its length") != NULL; /* may be anything, but not nothing */
    static const char *const bad[] = {
        "", "1x", "99999999999999999999", "x", "-", "0x", " ", "nan", "inf", "-1e308", "1e309",
        "-99999999999999999999", "--help",
    };
    for (size_t i = 0; i < (text ? 1 : CHECK_QUICK ? 3 : sizeof bad / sizeof *bad); i++) {
        snprintf(arguments, sizeof arguments, "%s '%s'", option, bad[i]);
        check_rejects(chapter, arguments, "", option);
        snprintf(arguments, sizeof arguments, "%s='%s'", option, bad[i]);
        if (!CHECK_QUICK) check_rejects(chapter, arguments, "", option);
    }
    if (!range) return;
    if (!holds(sscanf(range, "number from %lf to %lf", &least, &most) == 2,
               "--help gives a number's range", help, NULL)) return;
    double outside[] = {least - 1, most + 1, least - fabs(least) * 0.5 - 0.5, most * 1.5 + 0.5};
    snprintf(allowed, sizeof allowed, "number from %.10g to %.10g", least, most);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        snprintf(arguments, sizeof arguments, "%s %.10g", option, outside[i]);
        check_rejects(chapter, arguments, allowed, option);
    }
    if (!strstr(help, "whole number")) return;
    snprintf(arguments, sizeof arguments, "%s %.10g.5", option, least);
    check_rejects(chapter, arguments, "", option);
}

static void check_help(int chapter)
{
    struct check_output got = run_program(chapter, "--help");
    holds(got.status == 0 && !*got.err, "--help exits 0", "--help", &got);

    /* The options that the chapter's C spells out are in the help. */
    char command[200];
    snprintf(command, sizeof command,
             "grep -oh '\"--[a-z][a-z0-9-]*\"' tangled/%02d*/chapter%d.c | tr -d '\"' | sort -u",
             chapter, chapter);
    struct check_output named = check_run(command);
    for (char *line = named.out, *end; (end = strchr(line, '\n')); line = end + 1) {
        char shown[80];
        snprintf(shown, sizeof shown, "\n  %.*s ", (int)(end - line), line);
        holds(strstr(got.out, shown) != NULL, "--help names every option", shown, &got);
    }
    static const char *const shared[] = {"--values", "--lessons", "--version", "--help"};
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        holds(strstr(got.out, shared[i]) != NULL, "--help names every option", shared[i], &got);

    for (char *line = got.out, *end; (end = strchr(line, '\n')); line = end + 1) {
        char option[80];
        *end = '\0';
        if (sscanf(line, "  %79[a-z0-9-]", option) != 1 || strncmp(option, "--", 2)) continue;
        int valueless = 0;
        for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
            valueless |= !strcmp(option, shared[i]);
        if (valueless) continue;
        check_rejects_values(chapter, option, line);
    }
    check_free(&named);
    check_free(&got);
}

#ifdef MATRIX_ONEDNN
#define PRODUCTS "oneDNN "
#else
#define PRODUCTS "plain loops, "
#endif

static void check_version(int chapter)
{
    struct check_output got = run_program(chapter, "--version");
    char words[80];
    snprintf(words, sizeof words, "chapter%d of Where Tokens Go: %s, products by %s", chapter,
             sizeof(real) == sizeof(double) ? "double" : "float", PRODUCTS);
    holds(got.status == 0 && !*got.err && !strncmp(got.out, words, strlen(words)),
          "--version says how it was built", "--version", &got);
    check_free(&got);
}

void check_program(int chapter, const char *less)
{
    check_succeeds(chapter, less);
    check_succeeds(chapter, "--lessons");
    check_values(chapter, CHECK_QUICK ? less : "");
#ifdef CHECK_FAST
    if (chapter != 7) check_quotes(chapter); /* training has an arithmetic of its own there */
#endif
    check_help(chapter);
    check_version(chapter);
    static const char *const bad[] = {
        "--no-such-option", "--no-such-option 3", "-x", "-", "--", "3", "''", "extra",
        "--values extra", "--help-me", "--values=1", "--lessons=",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_rejects(chapter, bad[i], "", "");
}

double check_gap(struct matrix a, struct matrix b)
{
    double most = 0, size = 1;
    CU_ASSERT_FATAL(a.rows == b.rows && a.cols == b.cols);
    for (size_t i = 0; i < a.rows * a.cols; i++) {
        double d = fabs((double)a.at[i] - (double)b.at[i]);
        if (isnan(d)) return INFINITY;
        most = fmax(most, d), size = fmax(size, fabs((double)a.at[i]));
    }
    return most / size;
}

/* ---- Gradients ---- */

double check_difference(size_t n, const double *a, const double *b)
{
    double difference = 0, norm_a = 0, norm_b = 0;
    for (size_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm_a += a[i] * a[i];
        norm_b += b[i] * b[i];
    }
    double norm = sqrt(fmax(norm_a, norm_b));
    if (isnan(difference) || isnan(norm_a) || isnan(norm_b)) return NAN;
    return norm > 0 ? sqrt(difference) / norm : 0;
}

double check_gradient(size_t n, double *x, const double *gradient,
                      double (*loss)(void *context), void *context)
{
    double *numeric = malloc((n ? n : 1) * sizeof *numeric);
    if (!numeric) abort();
    for (size_t i = 0; i < n; i++) {
        double kept = x[i], step = 1e-5 * fmax(1, fabs(kept));
        x[i] = kept + step;
        double above = loss(context);
        x[i] = kept - step;
        double below = loss(context);
        x[i] = kept;
        numeric[i] = (above - below) / (2 * step);
    }
    double error = check_difference(n, gradient, numeric);
    free(numeric);
    return error;
}
