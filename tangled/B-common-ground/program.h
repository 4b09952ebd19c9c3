#ifndef PROGRAM_H
#define PROGRAM_H
/* The main of a chapter's program, from a table. */
#include "args.h"
#include "lesson.h"

/* A value for --values that is a variable: one of the two. */
struct program_value { const char *name; const size_t *count;
                       const double *number; };

/* check, prepare, values, known and done may be NULL. */
struct program {
    const char *name, *about;          /* "chapter3", a sentence */
    const struct args_option *options; /* ends with a NULL name */
    const struct lesson_table *lessons;
    const size_t *seed;                /* of --lessons */

    /* Refuse, by args_reject, options that do not go together. */
    void (*check)(const struct args *args);
    /* Before run, values and tables: 0, or main's exit status. */
    int (*prepare)(void);
    void (*run)(FILE *out);             /* the traced run */
    void (*values)(FILE *out);          /* after the known ones */
    const struct program_value *known;  /* ends with a NULL name */
    const struct args_table *tables;    /* ends with a NULL name */
    void (*done)(void);                 /* free what prepare made */
};

/* Returns main's exit status. */
int program_main(const struct program *program, int argc, char **argv);

#endif
