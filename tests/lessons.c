#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "lessons.h"
#include "terminal.h"

/* In slow builds, training takes several times as long; one fast build tries many. */
#if defined __SANITIZE_ADDRESS__
enum { SLOW_SEEDS = 0 };
#elif defined REAL_DOUBLE || defined CHECK_FAST
enum { SLOW_SEEDS = 2 };
#else
enum { SLOW_SEEDS = 20 };
#endif

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

/* Plain sentences: printable, no room for surprises when they are wrapped. */
static int plain(const char *text)
{
    size_t length = strlen(text), word = 0;
    for (const char *c = text; *c; c++) {
        if (*c < ' ' || *c > '~') return 0;
        word = *c == ' ' ? 0 : word + 1;
        if (word > 40) return 0;
    }
    return length > 0 && length < 600;
}

/* A unit is a plural whose singular is the same without its s, or has no s. */
static int plural(const char *unit)
{
    static const char *const not[] = {"ies", "ses", "xes", "zes", "ches", "shes", "ss"};
    size_t length = strlen(unit);
    for (size_t i = 0; i < sizeof not / sizeof *not; i++)
        if (length > strlen(not[i]) && !strcmp(unit + length - strlen(not[i]), not[i])) return 0;
    return 1;
}

static void check_row(const struct lesson *l)
{
    CU_ASSERT_FATAL(l->id && l->title && l->paths && l->question);
    CU_ASSERT_FATAL(l->make != NULL);
    CU_ASSERT(strlen(l->id) < 16 && !l->id[strspn(l->id, "0123456789.")]);
    CU_ASSERT(l->minutes >= 5 && l->minutes <= 12);
    CU_ASSERT(strlen(l->question) > 20 && l->tolerance >= 0);
    CU_ASSERT(plain(l->title) && plain(l->question));
    CU_ASSERT(!l->unit || (plain(l->unit) && strlen(l->unit) <= 20 && plural(l->unit)));
    for (size_t i = 0; i < 3; i++) CU_ASSERT(l->hints[i] && plain(l->hints[i]));
    CU_ASSERT((l->kind == LESSON_CHOICE) == (l->options[0] != NULL));
    for (size_t i = 0; i < 6 && l->options[i]; i++)
        CU_ASSERT(plain(l->options[i]) && strlen(l->options[i]) <= 60);
    for (size_t i = 0; i < 3 && l->mistakes[i]; i++) CU_ASSERT(plain(l->mistakes[i]));
}

/* The text without line breaks and repeated spaces. */
static char *squeezed(char *text)
{
    char *to = text;
    for (char *from = text; *from; from++) {
        char c = *from == '\n' ? ' ' : *from;
        if (c != ' ' || (to > text && to[-1] != ' ')) *to++ = c;
    }
    *to = '\0';
    return text;
}

/* What the terminal says in `columns`: the problem and its hints, or about an answer. */
static char *in_terminal(const struct lesson *l, uint64_t seed, const struct lesson_problem *problem,
                         const struct lesson_answer *said, size_t columns)
{
    char *text = NULL;
    size_t length = 0;
    FILE *page = open_memstream(&text, &length);
    if (!page) abort();
    struct terminal to = {page, columns, 0, 0};
    if (said) terminal_explain(&to, l, problem, *said);
    else {
        terminal_pose(&to, l, seed, problem);
        size_t n = 0;
        while (terminal_hint(&to, l, n)) n++;
    }
    fclose(page);
    return text;
}

static int fits_columns(const char *text, size_t columns)
{
    size_t width = 0;
    for (; *text; text++) {
        width = *text == '\n' ? 0 : width + 1;
        if (width > columns) return 0;
    }
    return width == 0;
}

/* Every word that the page has, the terminal has. */
static int same_words(const struct lesson *l, uint64_t seed)
{
    char *list = NULL;
    size_t length = 0;
    FILE *page = open_memstream(&list, &length);
    if (!page) abort();
    struct lesson_table one = {l, 1};
    lesson_list(page, &one, seed);
    fclose(page);
    struct lesson_problem problem = lesson_make(l, seed);
    char *posed = squeezed(in_terminal(l, seed, &problem, NULL, 72));
    char *told = squeezed(in_terminal(l, seed, &problem, &problem.right, 72));
    int good = 1;
    for (char *line = list, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        char *text = strchr(line, '\t'), *where = posed;
        if (!text) return 0;
        *text++ = '\0';
        static const char *const posed_fields[] = {"lesson", "title", "minutes", "question", "given",
                                                   "unit", "option", "hint"};
        int known = 0;
        for (size_t i = 0; i < sizeof posed_fields / sizeof *posed_fields; i++)
            known |= !strcmp(line, posed_fields[i]);
        if (!strcmp(line, "answer") || !strcmp(line, "trace")) known = 1, where = told;
        if (known && !strstr(where, squeezed(text + strspn(text, " ")))) {
            printf("\n    lesson %s: the terminal lacks the page's %s: %s", l->id, line, text);
            good = 0;
        }
    }
    free(list), free(posed), free(told), lesson_free(&problem);
    return good;
}

/* What is typed as the page shows it is read as what it is. */
static int types_and_passes(const struct lesson *l, struct lesson_answer right)
{
    char line[200];
    size_t n = 0;
    for (size_t i = 0; i < right.count; i++)
        n += (size_t)snprintf(line + n, sizeof line - n, "%s%.10g", i ? " " : "", right.value[i]);
    if (l->unit && !strcmp(l->unit, "percent")) strcpy(line + n, "%");
    struct lesson_answer said = {0, {0}};
    char why[LESSON_WHY];
    return lesson_read(l, line, &said, why) == LESSON_ANSWER && lesson_passes(l->tolerance, right, said)
        && lesson_error(l->kind, right, said) < 1e-6;
}

/* A verdict that fits, says whether it is right, and means something. */
static int explained(const struct lesson *l, const struct lesson_problem *problem,
                     struct lesson_answer said, const char *verdict, const char *meaning)
{
    char *text = in_terminal(l, 0, problem, &said, 72);
    int good = fits_columns(text, 80);
    squeezed(text);
    good = good && strstr(text, verdict) && (!meaning || strstr(text, meaning));
    free(text);
    return good;
}

/* The same seed gives the same problem, to the last bit. */
static int same_again(const struct lesson *l, uint64_t seed, const struct lesson_problem *p)
{
    struct lesson_problem again = lesson_make(l, seed);
    int same = !strcmp(p->drawn[0], again.drawn[0]) && !strcmp(p->drawn[1], again.drawn[1])
        && !memcmp(&p->right, &again.right, sizeof p->right) && !memcmp(p->wrong, again.wrong, sizeof p->wrong);
    lesson_free(&again);
    return same;
}

static int sound_answer(const struct lesson *l, struct lesson_answer right)
{
    int good = right.count > 0 && right.count <= LESSON_VALUES;
    for (size_t i = 0; good && i < right.count; i++) {
        double value = right.value[i];
        good = isfinite(value);
        if (l->kind == LESSON_CHOICE || l->kind == LESSON_EXPERTS || l->kind == LESSON_SET)
            good &= value == floor(value) && value >= 0 && value <= 999999;
        if (l->kind == LESSON_SET && i) good &= value > right.value[i - 1];
        if (l->kind == LESSON_CHOICE)
            good &= value >= 1 && value <= 6 && l->options[(int)value - 1];
    }
    return good;
}

/* Checks the problem, and hands out its answer. */
static int check_problem(const struct lesson *l, uint64_t seed, struct lesson_answer *answer)
{
    struct lesson_problem p = lesson_make(l, seed);
    *answer = p.right;
    int good = same_again(l, seed, &p) && sound_answer(l, p.right);
    good = good && types_and_passes(l, p.right) && explained(l, &p, p.right, ": right", NULL);
    for (size_t i = 0; i < 3; i++) {
        if (!p.wrong[i].count) continue; /* none, or this problem does not let it show */
        int known = 0; /* an earlier mistake may have led to the same */
        for (size_t j = 0; j < i; j++)
            known |= lesson_passes(l->tolerance, p.wrong[j], p.wrong[i]);
        good = good && l->mistakes[i] && !lesson_passes(l->tolerance, p.right, p.wrong[i])
            && types_and_passes(l, p.wrong[i])
            && explained(l, &p, p.wrong[i], ": not right", known ? NULL : l->mistakes[i]);
    }
    char *posed = in_terminal(l, seed, &p, NULL, 72), *narrow = in_terminal(l, seed, &p, NULL, 40);
    good = good && fits(p.drawn[0]) && fits(p.drawn[1]) && *p.drawn[0] && *p.drawn[1]
        && fits_columns(posed, 80) && strcmp(posed, narrow);
    free(posed), free(narrow), lesson_free(&p);
    return good;
}

/* Over the seeds, does any answer fail where another is right? */
static void check_change(const struct lesson *l, int changes, uint64_t seeds)
{
    if (seeds < 20) return;
    int good = changes == (l->kind != LESSON_CONSTANT);
    CU_ASSERT(good);
    if (!good)
        printf("\n    lesson %s: %s", l->id, changes
               ? "a constant whose answer changes with the seed"
               : "the same answer for every seed: declare it LESSON_CONSTANT");
}

void check_lessons(const struct lesson_table *lessons, uint64_t seeds, const char *slow)
{
    struct random random = check_random();
    CU_ASSERT_FATAL(lessons->count > 0 && lessons->count <= 32);
    struct lesson_answer book[32];
    int changes[32] = {0};
    for (size_t i = 0; i < lessons->count; i++) {
        check_row(&lessons->rows[i]);
        CU_ASSERT(same_words(&lessons->rows[i], LESSON_BOOK_SEED));
    }
    /* All lessons of a seed in turn: those that train share what they trained. */
    for (uint64_t s = 0; s <= seeds; s++) {
        uint64_t seed = s ? random_bits(&random) : LESSON_BOOK_SEED;
        for (size_t i = 0; i < lessons->count; i++) {
            const struct lesson *l = &lessons->rows[i];
            if (s > SLOW_SEEDS && strstr(slow, l->id)) continue;
            struct lesson_answer right;
            int good = check_problem(l, seed, &right);
            CU_ASSERT(good);
            if (!good) printf("\n    lesson %s, seed %llu", l->id, (unsigned long long)seed);
            if (!s) book[i] = right;
            changes[i] |= !lesson_passes(l->tolerance, book[i], right);
        }
    }
    for (size_t i = 0; i < lessons->count; i++)
        check_change(&lessons->rows[i], changes[i],
                     strstr(slow, lessons->rows[i].id) ? SLOW_SEEDS : seeds);
}
