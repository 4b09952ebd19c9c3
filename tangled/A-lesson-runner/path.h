#ifndef PATH_H
#define PATH_H
/* The two learning paths, and what is due on a day. */
#include "progress.h"

enum { PATH_PATHS = 2, PATH_MOST = 64, /* lessons of a path */
       PATH_GAP = 7, PATH_REVIEWS = 3 };

/* A lesson's place: path 1, phase 2, step 3 for "1.2.3". */
struct path_step { int phase, step; const struct lesson *lesson; };
struct path { size_t count; struct path_step at[PATH_MOST]; };

/* The lessons of a path, in its order. */
struct path path_of(int number,
                    const struct lesson_table *const *tables,
                    size_t tables_count);

/* Days since 1970 of "2026-05-01", or -1 if that is no day. */
long path_day(const char *day);

/* The day on which a lesson is due again; -1 if it was not done. */
long path_due(const struct progress *progress, const char *id);

/* What to do on a day: first what is due, mixed over the chapters,
 * then the lessons of the path's next step. */
struct path_plan {
    size_t count, reviews;  /* all; the first of them come back */
    size_t done, steps;     /* steps of the path */
    const struct lesson *at[PATH_MOST];
};
struct path_plan path_plan(int number,
    const struct lesson_table *const *tables, size_t tables_count,
    const struct progress *progress, long day);

#endif
