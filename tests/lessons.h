/* What every chapter's table of micro-lessons must keep. */
#ifndef LESSONS_H
#define LESSONS_H
#include "lesson.h"

/* Rows are complete; what the terminal shows fits 80 columns and has the words
 * that the page is made of. From the book's seed and `seeds` more the answer is
 * finite and of its kind, solving twice gives the same, the answer can be typed
 * and passes, every listed mistake fails and is told what it means. Over the
 * seeds the answer changes, or is declared a constant and is one. Lessons that
 * train a model, whose ids are in `slow` (separated by spaces), get 20 more
 * seeds, fewer in slow builds. */
void check_lessons(const struct lesson_table *lessons, uint64_t seeds,
                   const char *slow);

#endif
