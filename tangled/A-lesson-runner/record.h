#ifndef RECORD_H
#define RECORD_H
/* The reader's predictions: a text file, a line each. */
#include <time.h>
#include "lesson.h"

enum { RECORD_LINE = 1024, RECORD_ID = 16, RECORD_TIME = 21,
       RECORD_WAITING = 65536 };
struct record {
    char time[RECORD_TIME], id[RECORD_ID]; /* 2026-05-01T18:00:00Z */
    uint64_t seed;
    enum lesson_kind kind;
    struct lesson_answer said, right;
    double tolerance;
    unsigned hints;
};

/* A prediction made now: when, of what, what, and what helped. */
struct record record_of(time_t now, const struct lesson *lesson,
                        uint64_t seed, struct lesson_answer said,
                        struct lesson_answer right, unsigned hints);

/* Write the line of a record, '\n' included; read one without it.
 * Reading returns 0 for a line that is not a whole record. */
void record_write(char line[RECORD_LINE], const struct record *record);
int record_read(struct record *record, const char *line);

struct record_file {
    char path[4096];              /* "": nowhere to write, */
    const char *nowhere;          /* and why */
    char waiting[RECORD_WAITING]; /* lines not in the file yet */
    size_t length;
};
/* The file's place, from $XDG_STATE_HOME and $HOME, or NULL. */
void record_open(struct record_file *file, const char *state,
                 const char *home);

/* Append all lines that wait, and this one; 0, or an errno. Only
 * after ENOBUFS the line does not wait: there is no room for it. */
int record_append(struct record_file *file, const char *line);

/* Hand over each line with its number; 0, or an errno. */
int record_each(const struct record_file *file, void *context,
                void (*take)(void *, size_t number, const char *line));
int record_lines(FILE *file, void *context, /* of an open file */
                 void (*take)(void *, size_t, const char *));
#endif
