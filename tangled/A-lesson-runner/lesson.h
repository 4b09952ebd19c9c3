#ifndef LESSON_H
#define LESSON_H
/* A micro-lesson: a row of a chapter's table, and its answers. */
#include <stdint.h>
#include <stdio.h>

enum { LESSON_BOOK_SEED = 1, LESSON_VALUES = 8, LESSON_WHY = 160 };
enum lesson_kind { LESSON_NUMBER,    /* one value and a tolerance */
                   LESSON_CHOICE,    /* an option's number, from 1 */
                   LESSON_EXPERTS,   /* expert numbers, in order */
                   LESSON_SET,       /* the same; no order: ascending */
                   LESSON_CONSTANT}; /* a number, for any seed */
extern const char *const lesson_kinds[]; /* "number", "choice", ... */

struct lesson_answer { size_t count; double value[LESSON_VALUES]; };
struct lesson_answer lesson_value(double value); /* just one */
/* What a seed makes of a lesson: two drawings, what is given and the
 * worked way, then as text; the answer; what mistakes lead to, if they
 * show. */
struct lesson_problem { FILE *given, *way; char *drawn[2];
                        struct lesson_answer right, wrong[3]; };
struct lesson {
    const char *id, *title, *paths; /* "3.2", the claim, "2.1.4" */
    int minutes;
    const char *question, *unit;    /* unit: "rows", or NULL */
    enum lesson_kind kind;
    double tolerance;               /* in the answer's unit */
    const char *options[6], *hints[3];  /* NULL: no more */
    void (*make)(uint64_t seed, struct lesson_problem *problem);
    const char *mistakes[3];        /* what each wrong[i] means */
};
/* A chapter's lessons: lessons3 in lessons3.c. */
struct lesson_table { const struct lesson *rows; size_t count; };

/* Print lessons as field<TAB>text lines; the page is made of them. */
void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed);
void lesson_print(FILE *out, const struct lesson *lesson,
                  struct lesson_answer answer); /* "150 rows" */
void lesson_write(FILE *out, double number); /* no 1.1e+03 */
struct lesson_problem lesson_make(const struct lesson *lesson,
                                  uint64_t seed);
void lesson_free(struct lesson_problem *problem);
/* Print a drawing with `before` ahead of each line. */
void lesson_draw(FILE *out, const char *before, const char *drawn);

/* What a line asks for. Only LESSON_ANSWER sets the answer, only
 * LESSON_UNREADABLE the reason why, of at most LESSON_WHY bytes. */
enum lesson_heard { LESSON_UNREADABLE, LESSON_ANSWER, LESSON_AGAIN,
                    LESSON_HINT, LESSON_SKIP, LESSON_LEAVE };
enum lesson_heard lesson_read(const struct lesson *lesson,
    const char *line, struct lesson_answer *answer, char *why);
const char *lesson_example(const struct lesson *lesson);
/* Read a plain number at the start of text; NULL, or where it ends. */
const char *lesson_number(const char *text, double *value);

int lesson_passes(double tolerance, struct lesson_answer right,
                  struct lesson_answer said);
/* 0 is exact; 1 is off by the answer itself, or no expert right. */
double lesson_error(enum lesson_kind kind, struct lesson_answer right,
                    struct lesson_answer said);
#endif
