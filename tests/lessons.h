/* What every chapter's table of micro-lessons must keep. */
#ifndef LESSONS_H
#define LESSONS_H
#include "lesson.h"

/* Rows are complete; from the book's seed and `seeds` more the answer is
 * finite and of its kind, solving twice gives the same, and no listed mistake
 * passes for the answer. Lessons that train a model, whose ids are in `slow`
 * (separated by spaces), get two more seeds, under the sanitizers none. */
void check_lessons(const struct lesson_table *lessons, uint64_t seeds,
                   const char *slow);

#endif
