#ifndef LESSON_H
#define LESSON_H
/* A micro-lesson: the row that a chapter's table is made of. */
#include <stdint.h>
#include <stdio.h>

enum { LESSON_BOOK_SEED = 1, LESSON_VALUES = 8 };
enum lesson_kind { LESSON_NUMBER,   /* one value and a tolerance */
                   LESSON_CHOICE,   /* an option's number, from 1 */
                   LESSON_EXPERTS}; /* expert numbers, in order */
struct lesson_answer { size_t count; double value[LESSON_VALUES]; };
struct lesson_answer lesson_value(double value); /* just one */
struct lesson_answer lesson_none(void); /* a mistake that cannot show */

struct lesson_mistake {
    const char *meaning;
    struct lesson_answer (*solve)(uint64_t seed);
};

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

/* Print lessons as field<TAB>text lines; the page is made of them. */
void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed);

#endif
