#ifndef PATH_H
#define PATH_H
/* The two learning paths, and what is due on a day. */
#include "progress.h"

enum { PATH_PATHS = 2, PATH_STEPS = 14, /* as laid out */
       PATH_MOST = 64, /* lessons of a path */
       PATH_GAP = 7, PATH_REVIEWS = 3, PATH_DATE = 40 };

/* A lesson's place: path 1, phase 2, step 3 for "1.2.3". */
struct path_step { int phase, step; const struct lesson *lesson; };
struct path { size_t count; struct path_step at[PATH_MOST]; };

/* The lessons of a path, in its order. */
struct path path_of(int number,
                    const struct lesson_table *const *tables,
                    size_t tables_count);

/* Days since 1970 of what begins as "2026-05-01", or -1 if that is no
 * day; and back, from 0 on. */
long path_day(const char *text);
void path_date(long day, char date[PATH_DATE]);

/* The day on which a lesson is due again; -1 if it was not done. */
long path_due(const struct progress *progress,
              const struct lesson *lesson);

/* What to do on a day: first what is due, never two of one chapter in
 * a row, then the lessons of the path's next step. */
struct path_plan {
    size_t count, reviews;  /* all; the first of them come back */
    size_t done, steps;     /* steps of the path */
    const struct lesson *at[PATH_MOST];
};
struct path_plan path_plan(int number, const struct progress *progress,
                           long day);

/* Say how a lesson stands on a day, in a line without its end; print a
 * path's lessons, a line each, and a day's plan. */
void path_state(FILE *out, const struct progress *progress,
                const struct lesson *lesson, long day);
void path_print(const struct terminal *to, int number,
                const struct progress *progress, long day);
#endif
