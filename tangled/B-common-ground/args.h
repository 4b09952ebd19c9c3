#ifndef ARGS_H
#define ARGS_H
/* Options of the chapters' programs, from one table. */
#include <stddef.h>
#include <stdio.h>

enum args_kind { ARGS_COUNT,    /* size_t, least <= value <= most */
                 ARGS_NUMBER,   /* double, least <= value <= most */
                 ARGS_CHOICE,   /* size_t, an index into choices */
                 ARGS_TEXT,     /* const char *, least..most bytes */
                 ARGS_FLAG,     /* size_t, 1 if given; no value */
                 ARGS_WORD,     /* const char *, without a name */
                 ARGS_SHARES }; /* struct args_shares, each weight
                                   in least..most, not all zero */
enum { ARGS_SHARES_MOST = 256 };
struct args_shares { size_t count; double at[ARGS_SHARES_MOST]; };

struct args_option {
    const char *name, *help;    /* "--top-k", what it sets */
    enum args_kind kind;
    void *value;                /* holds the default at first */
    double least, most;
    const char *const *choices; /* ARGS_CHOICE; ends with NULL */
};

/* A table behind a figure, for --data. */
struct args_table { const char *name; void (*print)(FILE *out); };

struct args {
    const char *program, *about;       /* "chapter3", a sentence */
    const struct args_option *options; /* ends with a NULL name */
    const struct args_table *tables;   /* ends with a NULL name.
        NULL: no --data, no --values and no --lessons */
};

/* What the program shall print: its traced run (the default),
 * --values, --lessons, or the table --data names. */
struct args_request {
    enum { ARGS_RUN, ARGS_VALUES, ARGS_LESSONS, ARGS_DATA } output;
    const struct args_table *table;
};

/* Set the options' values. --help prints and exits 0; a bad argument
 * gets a message on stderr and exit 2. */
struct args_request args_parse(const struct args *args,
                               int argc, char **argv);

/* Exit 2 with "chapter3: --top-k PROBLEM (try TRY)"; the problem is a
 * printf format and says what is allowed and what came. */
_Noreturn void args_reject(const struct args *args, const char *option,
                           const char *try, const char *problem, ...);

#endif
