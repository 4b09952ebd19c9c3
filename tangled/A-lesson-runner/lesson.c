/* include what lessons need */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
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

/* print a lesson for the press */
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
static void print_drawn(FILE *out, const char *margin,
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
        fprintf(out, "%s%.*s\n", margin, (int)(end - line), line);
    free(text);
}

/* print one lesson */
static void print_lesson(FILE *out, const struct lesson *lesson,
                         uint64_t seed)
{
    static const char *const kinds[] = {"number", "choice", "experts",
                                        "number"};
    fprintf(out, "lesson\t%s\ntitle\t%s\npath\t%s\nminutes\t%d\n",
            lesson->id, lesson->title, lesson->paths, lesson->minutes);
    fprintf(out, "question\t%s\n", lesson->question);
    print_drawn(out, "given\t", lesson->pose, seed);
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
    print_drawn(out, "trace\t", lesson->trace, seed);
}

/* print every lesson */
void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed)
{
    for (size_t i = 0; i < lessons->count; i++)
        print_lesson(out, &lessons->rows[i], seed);
}

/* print text that fits */
static void wrap(const struct lesson_printer *to, size_t margin,
                 const char *text)
{
    size_t at = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (at && at + 1 + word > to->columns)
            at = 0, fputc('\n', to->out);
        /* put the word behind a space or the margin */
        at += (size_t)fprintf(to->out, "%*s%.*s", at ? 1 : (int)margin, "",
                              (int)word, text);
        text += word + strspn(text + word, " ");
    }
    fputc('\n', to->out);
}

/* put text together, then wrap it */
void lesson_say(const struct lesson_printer *to, size_t margin,
                const char *format, ...)
{
    char text[1000];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    wrap(to, margin, text);
}

/* color a line */
enum { PLAIN = 0, BOLD = 1, GREEN = 32, YELLOW = 33 };

static void paint(const struct lesson_printer *to, int color)
{
    if (to->color) fprintf(to->out, "\033[%dm", color);
}

/* pose a lesson */
void lesson_pose(const struct lesson_printer *to,
                 const struct lesson *lesson, uint64_t seed)
{
    paint(to, BOLD);
    lesson_say(to, 0, "%s  %s", lesson->id, lesson->title);
    paint(to, PLAIN);
    lesson_say(to, 0, "%d minutes, seed %llu%s\n", lesson->minutes,
        (unsigned long long)seed,
        seed == LESSON_BOOK_SEED ? ", as on the page" : "");
    lesson_say(to, 0, "%s\n", lesson->question);
    print_drawn(to->out, "    ", lesson->pose, seed);
    /* pose the options and the unit */
    for (size_t i = 0; i < 6 && lesson->options[i]; i++)
        lesson_say(to, 4, "%zu. %s", i + 1, lesson->options[i]);
    if (lesson->unit) lesson_say(to, 0, "\nAnswer in %s.", lesson->unit);
    fputc('\n', to->out);
}

/* give a hint */
int lesson_hint(const struct lesson_printer *to,
                const struct lesson *lesson, size_t n)
{
    if (n >= 3 || !lesson->hints[n]) return 0;
    lesson_say(to, 0, "Hint %zu: %s", n + 1, lesson->hints[n]);
    return 1;
}

/* read a line */
/* read a plain number */
/* find the end of the digits */
static const char *after_digits(const char *at)
{
    while (*at >= '0' && *at <= '9') at++;
    return at;
}

/* find the end of a decimal */
static const char *after_decimal(const char *at)
{
    if (*at == '+' || *at == '-') at++;
    const char *end = after_digits(at);
    ptrdiff_t digits = end - at;
    if (*end == '.') {
        at = end + 1;
        end = after_digits(at);
        digits += end - at;
    }
    return digits ? end : NULL;
}

const char *lesson_number(const char *text, double *value)
{
    const char *end = after_decimal(text);
    if (!end) return NULL;
    /* take an exponent along */
    if (*end == 'e' || *end == 'E') {
        const char *power = end + 1;
        if (*power == '+' || *power == '-') power++;
        if (after_digits(power) > power) end = after_digits(power);
    }
    *value = strtod(text, NULL);
    return isfinite(*value) ? end : NULL;
}

/* read a number as people write it */
static int in_percent(const struct lesson *lesson)
{
    return lesson->unit && !strcmp(lesson->unit, "percent");
}

/* read a number, its unit, sign or divisor */
static int read_number(const struct lesson *lesson, const char *at,
                       struct lesson_answer *answer)
{
    double value, below = 1;
    if (!(at = lesson_number(at, &value))) return 0;
    at += strspn(at, " ");
    if (lesson->unit && !strcmp(at, lesson->unit)) at = "";
    else if (*at == '%') below = in_percent(lesson) ? 1 : 100, at++;
    else if (*at == '/') {
        /* read what to divide by */
        at = lesson_number(at + 1 + strspn(at + 1, " "), &below);
        if (!at || !(below > 0)) return 0;
    }
    if (*at || !isfinite(value / below)) return 0;
    *answer = lesson_value(value / below);
    return 1;
}

/* read experts in order */
static int read_experts(const char *at, struct lesson_answer *answer)
{
    struct lesson_answer list = {0, {0}};
    for (const char *end; ; at = end) {
        end = after_digits(at);
        if (end == at || end > at + 6 || list.count == LESSON_VALUES)
            return 0;
        list.value[list.count++] = (double)strtoul(at, NULL, 10);
        /* step to the next expert */
        at = end;
        end += strspn(end, " ");
        if (!*end) break;
        if (*end == ',') end += 1 + strspn(end + 1, " ");
        else if (end == at) return 0;
    }
    *answer = list;
    return 1;
}

/* read a choice by its number */
static int read_choice(const struct lesson *lesson, const char *at,
                       struct lesson_answer *answer)
{
    size_t options = 0;
    while (options < 6 && lesson->options[options]) options++;
    if (*at < '1' || *at > '9' || at[1]) return 0;
    if ((size_t)(*at - '0') > options) return 0;
    *answer = lesson_value(*at - '0');
    return 1;
}

/* trim a line */
static int trim(char *text, size_t size, const char *line)
{
    line += strspn(line, " \t\r\n");
    size_t length = strlen(line);
    while (length && strchr(" \t\r\n", line[length - 1])) length--;
    if (length >= size) return 0;
    for (size_t i = 0; i < length; i++)
        text[i] = line[i] == '\t' ? ' ' : line[i];
    text[length] = '\0';
    return 1;
}

/* hear what a line asks for */
enum lesson_heard lesson_read(const struct lesson *lesson,
                              const char *line,
                              struct lesson_answer *answer)
{
    char text[256];
    if (!trim(text, sizeof text, line)) return LESSON_UNREADABLE;
    /* hear a wish */
    if (*text && !text[1])
        switch (tolower((unsigned char)*text)) {
        case 'r': return LESSON_AGAIN;
        case '?': return LESSON_HINT;
        case 's': return LESSON_SKIP;
        case 'q': return LESSON_LEAVE;
        }
    int good = lesson->kind == LESSON_EXPERTS
        ? read_experts(text, answer)
        : lesson->kind == LESSON_CHOICE
        ? read_choice(lesson, text, answer)
        : read_number(lesson, text, answer);
    return good ? LESSON_ANSWER : LESSON_UNREADABLE;
}

/* say what can be read */
const char *lesson_example(const struct lesson *lesson)
{
    if (lesson->kind == LESSON_CHOICE)
        return "the number of a choice, such as 1";
    if (lesson->kind == LESSON_EXPERTS)
        return "expert numbers in order, such as 2 0 (or just 2)";
    return in_percent(lesson) ? "a number, such as 13 or 12.5%"
        : "a number, such as 0.13, 13%, 1/8 or 6.5e-2";
}

/* judge and explain */
static int close_to(double tolerance, double right, double said)
{
    double little = 1e-9 * fmax(1, fabs(right));
    return fabs(said - right) <= tolerance + little;
}

/* pass or fail */
int lesson_passes(double tolerance, struct lesson_answer right,
                  struct lesson_answer said)
{
    if (said.count != right.count) return 0;
    for (size_t i = 0; i < right.count; i++)
        if (!close_to(tolerance, right.value[i], said.value[i]))
            return 0;
    return 1;
}

/* measure how far off */
static size_t in_place(struct lesson_answer right,
                       struct lesson_answer said)
{
    size_t same = 0;
    for (size_t i = 0; i < right.count && i < said.count; i++)
        same += right.value[i] == said.value[i];
    return same;
}

/* turn the distance into an error */
double lesson_error(enum lesson_kind kind, struct lesson_answer right,
                    struct lesson_answer said)
{
    size_t most = said.count > right.count ? said.count : right.count;
    if (kind == LESSON_CHOICE || kind == LESSON_EXPERTS)
        return 1 - (double)in_place(right, said) / (double)most;
    double off = fabs(said.value[0] - right.value[0]);
    if (off <= 1e-9 * fabs(right.value[0])) return 0;
    return right.value[0] == 0 ? 1 : off / fabs(right.value[0]);
}

/* find, name and explain */
/* find the mistake */
static const struct lesson_mistake *find_mistake(
    const struct lesson *lesson, uint64_t seed,
    struct lesson_answer said)
{
    for (size_t i = 0; i < 3 && lesson->mistakes[i].solve; i++)
        if (lesson_passes(lesson->tolerance,
                          lesson->mistakes[i].solve(seed), said))
            return &lesson->mistakes[i];
    return NULL;
}

/* name what is within the tolerance */
static void print_tolerance(const struct lesson_printer *to,
                            const struct lesson *lesson)
{
    if (lesson->tolerance > 0)
        fprintf(to->out, " (%s%g counts as right)",
                to->unicode ? "±" : "+-", lesson->tolerance);
}

/* say how close it was */
static void print_distance(FILE *out, const struct lesson *lesson,
                           struct lesson_answer right,
                           struct lesson_answer said, int passed)
{
    double error = lesson_error(lesson->kind, right, said);
    fprintf(out, passed ? "right" : "not right");
    if (lesson->kind == LESSON_EXPERTS && !passed)
        fprintf(out, ", %zu of %zu in place", in_place(right, said),
                right.count);
    if (lesson->kind == LESSON_CHOICE || lesson->kind == LESSON_EXPERTS
        || error < (passed ? 1e-5 : 0)) return;
    fprintf(out, ", off by %.3g", fabs(said.value[0] - right.value[0]));
    if (right.value[0] != 0)
        fprintf(out, " (%.3g%% of the answer)", 100 * error);
}

/* explain the answer */
void lesson_explain(const struct lesson_printer *to,
                    const struct lesson *lesson, uint64_t seed,
                    struct lesson_answer right,
                    struct lesson_answer said)
{
    int passed = lesson_passes(lesson->tolerance, right, said);
    /* print the answer and the verdict */
    fprintf(to->out, "\nAnswer: ");
    print_answer(to->out, lesson, right);
    print_tolerance(to, lesson);
    fprintf(to->out, "\nYou said ");
    print_answer(to->out, lesson, said);
    fprintf(to->out, ": ");
    paint(to, passed ? GREEN : YELLOW);
    print_distance(to->out, lesson, right, said, passed);
    paint(to, PLAIN);
    fputc('\n', to->out);
    const struct lesson_mistake *mistake =
        passed ? NULL : find_mistake(lesson, seed, said);
    if (mistake) lesson_say(to, 0, "%s", mistake->meaning);
    fputc('\n', to->out);
    print_drawn(to->out, "    ", lesson->trace, seed);
}
