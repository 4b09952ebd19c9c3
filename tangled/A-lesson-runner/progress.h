#ifndef PROGRESS_H
#define PROGRESS_H
/* What a file of predictions says about its reader. */
#include "record.h"
#include "terminal.h"

enum { PROGRESS_SHOWN = 20, PROGRESS_OFF = 24, PROGRESS_SOLVED = 4 };
struct progress_entry {
    struct record record;
    int right;
    double error;
    const struct lesson *lesson; /* NULL: the book does not ask it */
};
struct progress {
    const struct lesson_table *const *chapters;
    size_t chapters_count;     /* these two are yours to set */
    struct progress_entry *at; /* count of them, oldest first */
    size_t count, room;
    size_t changed;    /* of lessons that ask something else now */
    struct { size_t number; char text[41]; } strange[PROGRESS_SHOWN];
    size_t strangers;  /* lines that are no records; some are kept */
};

/* Take a line of the file (record_each); after the last, find each
 * line's lesson; free. */
void progress_take(void *progress, size_t number, const char *line);
void progress_settle(struct progress *progress);
void progress_free(struct progress *progress);

/* Name the lines that are no records; print it all, with what the
 * chapters do not ask counted apart. */
void progress_strange(const struct terminal *to,
                      const struct progress *progress);
void progress_print(const struct terminal *to,
                    const struct progress *progress);

/* The last prediction of a lesson, or NULL; how far off, as text. */
const struct progress_entry *progress_last(
    const struct progress *progress, const struct lesson *lesson);
const char *progress_off(char text[PROGRESS_OFF], double error);
#endif
