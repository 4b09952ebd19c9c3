#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "lesson.h"

/* answer with one value, or none */
struct lesson_answer lesson_value(double value)
{
    return (struct lesson_answer){1, {value}};
}

struct lesson_answer lesson_none(void)
{
    return (struct lesson_answer){0, {0}};
}

/* print an answer */
static void print_answer(FILE *out, const struct lesson *lesson,
                         struct lesson_answer answer)
{
    for (size_t i = 0; i < answer.count; i++)
        fprintf(out, answer.value[i] == floor(answer.value[i])
                ? "%s%.0f" : "%s%.4g", i ? " " : "", answer.value[i]);
    if (lesson->unit) fprintf(out, " %s", lesson->unit);
    if (lesson->kind == LESSON_CHOICE)
        fprintf(out, ": %s",
                lesson->options[(size_t)answer.value[0] - 1]);
}

/* print what a function draws, line by line */
static void print_drawn(FILE *out, const char *field,
                        void (*draw)(uint64_t, FILE *), uint64_t seed)
{
    char *text = NULL;
    size_t length = 0;
    FILE *page = open_memstream(&text, &length);
    if (!page) abort();
    draw(seed, page);
    fclose(page);
    for (char *line = text, *end; (end = strchr(line, '\n'));
         line = end + 1)
        fprintf(out, "%s\t%.*s\n", field, (int)(end - line), line);
    free(text);
}

/* print one lesson */
static void print_lesson(FILE *out, const struct lesson *lesson,
                         uint64_t seed)
{
    static const char *const kinds[] = {"number", "choice", "experts"};
    fprintf(out, "lesson\t%s\ntitle\t%s\npath\t%s\nminutes\t%d\n",
            lesson->id, lesson->title, lesson->paths, lesson->minutes);
    fprintf(out, "question\t%s\n", lesson->question);
    print_drawn(out, "given", lesson->pose, seed);
    fprintf(out, "kind\t%s\n", kinds[lesson->kind]);
    if (lesson->unit) fprintf(out, "unit\t%s\n", lesson->unit);
    /* print the options and the hints */
    for (size_t i = 0; i < 6 && lesson->options[i]; i++)
        fprintf(out, "option\t%s\n", lesson->options[i]);
    for (size_t i = 0; i < 3 && lesson->hints[i]; i++)
        fprintf(out, "hint\t%s\n", lesson->hints[i]);
    /* print the answer and what it teaches */
    fprintf(out, "answer\t");
    print_answer(out, lesson, lesson->solve(seed));
    fprintf(out, "\ntolerance\t%g\n", lesson->tolerance);
    for (size_t i = 0; i < 3 && lesson->mistakes[i].solve; i++) {
        struct lesson_answer wrong = lesson->mistakes[i].solve(seed);
        if (!wrong.count) continue;
        fprintf(out, "mistake\t");
        print_answer(out, lesson, wrong);
        fprintf(out, "\t%s\n", lesson->mistakes[i].meaning);
    }
    print_drawn(out, "trace", lesson->trace, seed);
}

/* print every lesson */
void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed)
{
    for (size_t i = 0; i < lessons->count; i++)
        print_lesson(out, &lessons->rows[i], seed);
}
