#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "args.h"
#include "print.h"

void args_reject(const struct args *args, const char *option,
                 const char *try, const char *problem, ...)
{
    char what[400], line[800];
    va_list values;
    va_start(values, problem);
    vsnprintf(what, sizeof what, problem, values);
    va_end(values);
    snprintf(line, sizeof line, "%s: %s %s (try %s)", args->program,
             option, what, try);
    for (char *at = line; *at; at++)
        fputc(iscntrl((unsigned char)*at) ? '?' : *at, stderr);
    fputc('\n', stderr);
    exit(2);
}

static void allowed_values(char *out, size_t size,
                           const struct args_option *option)
{
    if (option->kind == ARGS_CHOICE) {
        size_t n = (size_t)snprintf(out, size, "must be");
        for (size_t i = 0; option->choices[i] && n < size; i++)
            n += (size_t)snprintf(out + n, size - n, "%s %s",
                i ? " or" : "", option->choices[i]);
    } else {
        snprintf(out, size, "must be %s from %.10g to %.10g",
            option->kind == ARGS_COUNT ? "a whole number"
            : option->kind == ARGS_NUMBER ? "a number"
            : option->kind == ARGS_TEXT ? "text, its length"
            : "weights like 9,2,2,2, not all zero, each",
            option->least, option->most);
    }
}

static void current_value(char *out, size_t size,
                          const struct args_option *option)
{
    if (option->kind == ARGS_NUMBER)
        snprintf(out, size, "%g", *(const double *)option->value);
    else if (option->kind == ARGS_COUNT)
        snprintf(out, size, "%zu", *(const size_t *)option->value);
    else if (option->kind == ARGS_TEXT)
        snprintf(out, size, "%s", *(const char **)option->value);
    else if (option->kind == ARGS_CHOICE)
        snprintf(out, size, "%s",
            option->choices[*(const size_t *)option->value]);
    else {
        const struct args_shares *shares = option->value;
        for (size_t i = 0, n = 0; i < shares->count && n < size; i++)
            n += (size_t)snprintf(out + n, size - n, "%s%g",
                                  i ? "," : "", shares->at[i]);
    }
}

static void reject_value(const struct args *args,
                         const struct args_option *option,
                         const char *got)
{
    char allowed[160], value[40], try[80];
    allowed_values(allowed, sizeof allowed, option);
    current_value(value, sizeof value, option);
    snprintf(try, sizeof try, "%s %s", option->name, value);
    if (!got)
        args_reject(args, option->name, try, "%s, got nothing",
                    allowed);
    args_reject(args, option->name, try, "%s, got '%s'", allowed, got);
}

static int valueless(const struct args_option *option)
{
    return option->kind == ARGS_FLAG || option->kind == ARGS_WORD;
}

static void print_help(const struct args *args)
{
    printf("%s: %s\n\n", args->program, args->about);
    for (const struct args_option *o = args->options; o->name; o++) {
        char allowed[160], value[40];
        printf("  %-12s %s", o->name, o->help);
        if (!valueless(o)) {
            allowed_values(allowed, sizeof allowed, o);
            current_value(value, sizeof value, o);
            printf("; %s (%s)", allowed + strlen("must be "), value);
        }
        printf("\n");
    }
    if (args->tables) {
        printf("  %-12s print name<TAB>value lines, as the page "
               "quotes them\n  %-12s print the micro-lessons with "
               "their answers\n", "--values", "--lessons");
        if (args->tables->name)
            printf("  %-12s print the table behind a figure:",
                   "--data");
        for (const struct args_table *t = args->tables; t->name; t++)
            printf("%s %s", t > args->tables ? "," : "", t->name);
        printf(args->tables->name ? "\n" : "");
    }
    printf("  %-12s print how it was built\n  %-12s print this\n",
           "--version", "--help");
}

#ifdef MATRIX_ONEDNN
#include <oneapi/dnnl/dnnl_version.h>
#define TEXT(number) #number
#define VERSION(a, b, c) TEXT(a) "." TEXT(b) "." TEXT(c)
#define PRODUCTS "oneDNN " VERSION(DNNL_VERSION_MAJOR, \
    DNNL_VERSION_MINOR, DNNL_VERSION_PATCH)
#else
#define PRODUCTS "plain loops"
#endif

static void print_version(const struct args *args)
{
    const char *numbers = "float", *threads = "one thread";
    #ifdef REAL_DOUBLE
    numbers = "double";
    #endif
    #ifdef _OPENMP
    threads = "threads by OpenMP";
    #endif
    printf("%s of Where Tokens Go: %s, products by %s, %s\n",
           args->program, numbers, PRODUCTS, threads);
}

static int read_shares(const struct args_option *option,
                       const char *word)
{
    struct args_shares list = {0, {0}};
    double sum = 0;
    for (char *end; ; word = end + 1) {
        double share = strtod(word, &end);
        if (end == word || list.count == ARGS_SHARES_MOST
            || !(share >= option->least && share <= option->most))
            return 0;
        list.at[list.count++] = share;
        sum += share;
        if (!*end) break;
        if (*end != ',') return 0;
    }
    if (sum > 0) *(struct args_shares *)option->value = list;
    return sum > 0;
}

static int read_value(const struct args_option *option,
                      const char *word)
{
    char *end = NULL;
    if (option->kind == ARGS_CHOICE) {
        for (size_t i = 0; option->choices[i]; i++)
            if (!strcmp(option->choices[i], word)) {
                *(size_t *)option->value = i;
                return 1;
            }
        return 0;
    }
    if (option->kind == ARGS_SHARES) return read_shares(option, word);
    if (option->kind == ARGS_TEXT) {
        double length = (double)strlen(word);
        if (length < option->least || length > option->most) return 0;
        *(const char **)option->value = word;
        return 1;
    }
    if (option->kind == ARGS_COUNT && (*word < '0' || *word > '9'))
        return 0;
    double number = strtod(word, &end);
    if (!*word || *end || !isfinite(number)) return 0;
    if (number < option->least || number > option->most) return 0;
    if (option->kind == ARGS_NUMBER) {
        *(double *)option->value = number;
        return 1;
    }
    errno = 0;
    uint64_t count = strtoull(word, &end, 10);
    if (errno || *end) return 0;
    *(size_t *)option->value = (size_t)count;
    return 1;
}

static const struct args_option *find(const struct args *args,
                                      const char *word, size_t length)
{
    for (const struct args_option *o = args->options; o->name; o++)
        if (strlen(o->name) == length && !valueless(o)
            && !strncmp(o->name, word, length))
            return o;
    return NULL;
}

static const struct args_table *table(const struct args *args,
                                      const char *name)
{
    char allowed[200], try[80];
    size_t n = (size_t)snprintf(allowed, sizeof allowed, "must be");
    const struct args_table *t = args->tables;
    for (; t->name && n < sizeof allowed; t++) {
        if (name && !strcmp(t->name, name)) return t;
        n += (size_t)snprintf(allowed + n, sizeof allowed - n, "%s %s",
                              t > args->tables ? " or" : "", t->name);
    }
    snprintf(try, sizeof try, "--data %s", args->tables->name);
    args_reject(args, "--data", try, "%s, got '%s'", allowed,
                name ? name : "");
}

static int take_flag_or_word(const struct args *args, const char *word)
{
    for (const struct args_option *o = args->options; o->name; o++) {
        if (o->kind == ARGS_FLAG && !strcmp(o->name, word)) {
            *(size_t *)o->value = 1;
            return 1;
        }
        if (o->kind == ARGS_WORD && *word && *word != '-'
            && !*(const char **)o->value) {
            *(const char **)o->value = word;
            return 1;
        }
    }
    return 0;
}

struct args_request args_parse(const struct args *args,
                               int argc, char **argv)
{
    struct args_request request = {ARGS_RUN, NULL};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help")) {
            print_help(args);
            exit(print_end(args->program));
        }
        if (!strcmp(argv[i], "--version")) {
            print_version(args);
            exit(print_end(args->program));
        }
        if (args->tables && (!strcmp(argv[i], "--values")
                             || !strcmp(argv[i], "--lessons"))) {
            request.output = argv[i][2] == 'v' ? ARGS_VALUES
                                               : ARGS_LESSONS;
            continue;
        }
        if (take_flag_or_word(args, argv[i])) continue;
        size_t length = strcspn(argv[i], "=");
        const char *value = argv[i][length] ? argv[i] + length + 1
                          : i + 1 < argc ? argv[i + 1] : NULL;
        if (args->tables && args->tables->name && length == 6
            && !strncmp(argv[i], "--data", 6)) {
            request.output = ARGS_DATA;
            request.table = table(args, value);
        } else {
            const struct args_option *o = find(args, argv[i], length);
            if (!o)
                args_reject(args, argv[i], "--help",
                            "is not an option");
            if (!value || !read_value(o, value))
                reject_value(args, o, value);
        }
        if (!argv[i][length]) i++;
    }
    return request;
}

