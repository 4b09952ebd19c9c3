#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "lessons.h"

/* Under the sanitizers, training takes ten times as long. */
#if defined __SANITIZE_ADDRESS__
enum { SLOW_SEEDS = 0 };
#else
enum { SLOW_SEEDS = 2 };
#endif

static int passes(const struct lesson *lesson, struct lesson_answer right,
                  struct lesson_answer given)
{
    if (given.count != right.count) return 0;
    for (size_t i = 0; i < right.count; i++)
        if (!(fabs(given.value[i] - right.value[i]) <= lesson->tolerance))
            return 0;
    return 1;
}

static char *drawn(void (*draw)(uint64_t, FILE *), uint64_t seed)
{
    char *text = NULL;
    size_t length = 0;
    FILE *page = open_memstream(&text, &length);
    if (!page) abort();
    draw(seed, page);
    fclose(page);
    return text;
}

/* Whole lines of printable characters that fit a terminal. */
static int fits(const char *text)
{
    size_t width = 0;
    for (; *text; text++) {
        width = *text == '\n' ? 0 : width + 1;
        if (width > 76 || (*text < ' ' && *text != '\n')) return 0;
    }
    return width == 0;
}

static void check_row(const struct lesson *l)
{
    CU_ASSERT_FATAL(l->id && l->title && l->paths && l->question);
    CU_ASSERT_FATAL(l->pose && l->solve && l->trace);
    CU_ASSERT(l->minutes >= 5 && l->minutes <= 12);
    CU_ASSERT(strlen(l->question) > 20 && l->tolerance >= 0);
    CU_ASSERT_PTR_NOT_NULL(l->hints[0]);
    CU_ASSERT((l->kind == LESSON_CHOICE) == (l->options[0] != NULL));
    for (size_t i = 0; i < 3 && l->mistakes[i].solve; i++)
        CU_ASSERT_PTR_NOT_NULL(l->mistakes[i].meaning);
}

static int check_problem(const struct lesson *l, uint64_t seed)
{
    struct lesson_answer right = l->solve(seed), again = l->solve(seed);
    int good = right.count > 0 && right.count <= LESSON_VALUES
            && !memcmp(&right.count, &again.count, sizeof right.count);
    for (size_t i = 0; good && i < right.count; i++) {
        double value = right.value[i];
        good = isfinite(value) && value == again.value[i];
        if (l->kind != LESSON_NUMBER)
            good &= value == floor(value) && value >= 0;
        if (l->kind == LESSON_CHOICE)
            good &= value >= 1 && value <= 6 && l->options[(int)value - 1];
    }
    for (size_t i = 0; i < 3 && l->mistakes[i].solve; i++)
        good &= !passes(l, right, l->mistakes[i].solve(seed));
    char *given = drawn(l->pose, seed), *trace = drawn(l->trace, seed);
    good &= fits(given) && fits(trace) && *given && *trace;
    free(given), free(trace);
    return good;
}

void check_lessons(const struct lesson_table *lessons, uint64_t seeds,
                   const char *slow)
{
    struct random random = check_random();
    CU_ASSERT_FATAL(lessons->count > 0);
    for (size_t i = 0; i < lessons->count; i++) {
        const struct lesson *l = &lessons->rows[i];
        uint64_t some = strstr(slow, l->id) ? SLOW_SEEDS : seeds;
        check_row(l);
        for (uint64_t s = 0; s <= some; s++) {
            uint64_t seed = s ? random_bits(&random) : LESSON_BOOK_SEED;
            int good = check_problem(l, seed);
            CU_ASSERT(good);
            if (!good) printf("\n    lesson %s, seed %llu", l->id,
                              (unsigned long long)seed);
        }
    }
}
