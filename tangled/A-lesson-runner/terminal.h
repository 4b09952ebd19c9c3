#ifndef TERMINAL_H
#define TERMINAL_H
/* Pose a lesson and explain its answer in lines of text. */
#include "lesson.h"

struct terminal { FILE *out;
                  size_t columns;     /* 20 or more */
                  int color, unicode; /* 0: neither */ };

/* Print text behind a margin, broken between words. */
void terminal_say(const struct terminal *to, size_t margin,
                  const char *format, ...);

/* The problem, and hint n, from 0; 0 if there is no such hint. */
void terminal_pose(const struct terminal *to,
                   const struct lesson *lesson, uint64_t seed,
                   const struct lesson_problem *problem);
int terminal_hint(const struct terminal *to,
                  const struct lesson *lesson, size_t n);

/* The verdict, what a known mistake means, and the worked trace. */
void terminal_explain(const struct terminal *to,
                      const struct lesson *lesson,
                      const struct lesson_problem *problem,
                      struct lesson_answer said);
#endif
