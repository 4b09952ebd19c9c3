#ifndef PROGRESS_H
#define PROGRESS_H
/* What a file of predictions says about its reader. */
#include "record.h"
#include "terminal.h"

enum { PROGRESS_SHOWN = 20 };
struct progress_entry { char id[RECORD_ID], day[11]; /* 2026-05-01 */
                        int right; double error; };
struct progress {
    struct progress_entry *at; /* count of them, oldest first */
    size_t count, room;
    struct { size_t number; char text[41]; } strange[PROGRESS_SHOWN];
    size_t strangers;  /* lines that are no records; some are kept */
};

/* Take a line of the file (record_each); print; free. */
void progress_take(void *progress, size_t number, const char *line);
void progress_free(struct progress *progress);

/* Lessons that the chapters lack are counted apart. */
void progress_print(const struct terminal *to,
                    const struct progress *progress,
                    const struct lesson_table *const *chapters,
                    size_t count);

/* The last prediction of a lesson, or NULL. */
const struct progress_entry *progress_last(
    const struct progress *progress, const char *id);
#endif
