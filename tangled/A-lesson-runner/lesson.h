#ifndef LESSON_H
#define LESSON_H
/* A micro-lesson: the row that a chapter's table is made of. */
#include <stdint.h>
#include <stdio.h>

enum { LESSON_BOOK_SEED = 1, LESSON_VALUES = 8 };
enum lesson_kind { LESSON_NUMBER,   /* one value and a tolerance */
                   LESSON_CHOICE,   /* an option's number, from 1 */
                   LESSON_EXPERTS,  /* expert numbers, in order */
                   LESSON_CONSTANT}; /* a number, for any seed */

struct lesson_answer { size_t count; double value[LESSON_VALUES]; };
struct lesson_answer lesson_value(double value); /* just one */
struct lesson_answer lesson_none(void); /* a mistake that cannot show */

struct lesson_mistake { const char *meaning;
                        struct lesson_answer (*solve)(uint64_t seed); };

struct lesson {
    const char *id, *title, *paths; /* "3.2", the claim, "2.1.4" */
    int minutes;
    const char *question, *unit;    /* plain text; unit may be NULL */
    enum lesson_kind kind;
    double tolerance;               /* in the answer's unit */
    const char *options[6], *hints[3];            /* NULL: no more */
    void (*pose)(uint64_t seed, FILE *out);       /* what is given */
    struct lesson_answer (*solve)(uint64_t seed);
    void (*trace)(uint64_t seed, FILE *out);      /* the worked way */
    struct lesson_mistake mistakes[3];
};

/* A chapter's lessons: lessons3 in lessons3.c. */
struct lesson_table { const struct lesson *rows; size_t count; };

/* print, read and judge a lesson */
/* print a lesson */
/* Print lessons as field<TAB>text lines; the page is made of them. */
void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed);

/* Where a lesson prints, and what that can show. */
struct lesson_printer { FILE *out;
                        size_t columns; /* 20 or more */
                        int color, unicode; /* 0: neither */ };

/* pose a lesson in a terminal */
/* Print text behind a margin, broken between words. */
void lesson_say(const struct lesson_printer *to, size_t margin,
                const char *format, ...);

/* The problem, and hint n, from 0; 0 if there is no such hint. */
void lesson_pose(const struct lesson_printer *to,
                 const struct lesson *lesson, uint64_t seed);
int lesson_hint(const struct lesson_printer *to,
                const struct lesson *lesson, size_t n);

/* read an answer */
/* What a line asks for. Only LESSON_ANSWER sets the answer. */
enum lesson_heard { LESSON_UNREADABLE, LESSON_ANSWER, LESSON_AGAIN,
                    LESSON_HINT, LESSON_SKIP, LESSON_LEAVE };
enum lesson_heard lesson_read(const struct lesson *lesson,
                              const char *line,
                              struct lesson_answer *answer);

/* What can be read: "a number, such as 0.13, 13%, ..." */
const char *lesson_example(const struct lesson *lesson);

/* Read a plain number at the start of text; NULL, or where it ends. */
const char *lesson_number(const char *text, double *value);

/* judge an answer */
int lesson_passes(double tolerance, struct lesson_answer right,
                  struct lesson_answer said);

/* 0: exact; 1: off by as much as the answer, or no place right. */
double lesson_error(enum lesson_kind kind, struct lesson_answer right,
                    struct lesson_answer said);

/* The verdict, what a known mistake means, and the worked trace. */
void lesson_explain(const struct lesson_printer *to,
                    const struct lesson *lesson, uint64_t seed,
                    struct lesson_answer right,
                    struct lesson_answer said);

#endif
