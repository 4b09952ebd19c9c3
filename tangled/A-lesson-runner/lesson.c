#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "lesson.h"
#include "stop.h"

struct lesson_answer lesson_value(double value)
{
    return (struct lesson_answer){1, {value}};
}
struct lesson_problem lesson_make(const struct lesson *lesson,
                                  uint64_t seed)
{
    struct lesson_problem problem = {0};
    size_t length[2];
    problem.given = open_memstream(&problem.drawn[0], &length[0]);
    problem.way = open_memstream(&problem.drawn[1], &length[1]);
    if (!problem.given || !problem.way) stop("no memory for a lesson");
    lesson->make(seed, &problem);
    fclose(problem.given), fclose(problem.way);
    return problem;
}

void lesson_free(struct lesson_problem *problem)
{
    free(problem->drawn[0]), free(problem->drawn[1]);
}
void lesson_write(FILE *out, double number)
{
    double size = fabs(number);
    const char *format = "%.4g";
    if (size < 1e15 && number == floor(number)) format = "%.0f";
    else if (size < 1e15 && size >= 1000) format = "%.1f";
    fprintf(out, format, number + 0.0); /* no -0 */
}
void lesson_print(FILE *out, const struct lesson *lesson,
                  struct lesson_answer answer)
{
    for (size_t i = 0; i < answer.count; i++) {
        if (i) fputc(' ', out);
        lesson_write(out, answer.value[i]);
    }
    if (lesson->unit) {
        size_t length = strlen(lesson->unit);
        if (answer.value[0] == 1 && lesson->unit[length - 1] == 's')
            length--;
        fprintf(out, " %.*s", (int)length, lesson->unit);
    }
    if (lesson->kind == LESSON_CHOICE)
        fprintf(out, ": %s",
                lesson->options[(size_t)answer.value[0] - 1]);
}
void lesson_draw(FILE *out, const char *before, const char *drawn)
{
    for (const char *line = drawn, *end; (end = strchr(line, '\n'));
         line = end + 1)
        fprintf(out, "%s%.*s\n", before, (int)(end - line), line);
}
static void list_answers(FILE *out, const struct lesson *lesson,
                         const struct lesson_problem *problem)
{
    fprintf(out, "answer\t");
    lesson_print(out, lesson, problem->right);
    fprintf(out, "\ntolerance\t%g\n", lesson->tolerance);
    for (size_t i = 0; i < 3 && lesson->mistakes[i]; i++) {
        if (!problem->wrong[i].count) continue;
        fprintf(out, "mistake\t");
        lesson_print(out, lesson, problem->wrong[i]);
        fprintf(out, "\t%s\n", lesson->mistakes[i]);
    }
}
const char *const lesson_kinds[] = {"number", "choice", "experts",
                                    "set", "number"};

void lesson_list(FILE *out, const struct lesson_table *lessons,
                 uint64_t seed)
{
    for (size_t i = 0; i < lessons->count; i++) {
        const struct lesson *l = &lessons->rows[i];
        struct lesson_problem problem = lesson_make(l, seed);
        fprintf(out, "lesson\t%s\ntitle\t%s\npath\t%s\nminutes\t%d\n",
                l->id, l->title, l->paths, l->minutes);
        fprintf(out, "question\t%s\n", l->question);
        lesson_draw(out, "given\t", problem.drawn[0]);
        fprintf(out, "kind\t%s\n", lesson_kinds[l->kind]);
        if (l->unit) fprintf(out, "unit\t%s\n", l->unit);
        for (size_t o = 0; o < 6 && l->options[o]; o++)
            fprintf(out, "option\t%s\n", l->options[o]);
        for (size_t h = 0; h < 3 && l->hints[h]; h++)
            fprintf(out, "hint\t%s\n", l->hints[h]);
        list_answers(out, l, &problem);
        lesson_draw(out, "trace\t", problem.drawn[1]);
        lesson_free(&problem);
    }
}
static const char *after_digits(const char *at)
{
    while (*at >= '0' && *at <= '9') at++;
    return at;
}

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
    if (*end == 'e' || *end == 'E') {
        const char *power = end + 1;
        if (*power == '+' || *power == '-') power++;
        if (after_digits(power) > power) end = after_digits(power);
    }
    *value = strtod(text, NULL);
    return isfinite(*value) ? end : NULL;
}
static int refuse(char *why, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(why, LESSON_WHY, format, values);
    va_end(values);
    return 0;
}
static const char *after_groups(const char *at)
{
    const char *end = after_digits(at);
    char mark = *end;
    if (*at == '0' || end == at || end > at + 3) return at;
    if (mark != ',' && mark != ' ') return at;
    while (*end == mark && after_digits(end + 1) == end + 4) end += 4;
    return end;
}
static int join_groups(const struct lesson *lesson, char *text,
                       char *why)
{
    char *to = text;
    for (const char *at = text; *at; ) {
        const char *end = at;
        if (at == text || !strchr("0123456789.eE", at[-1]))
            end = after_groups(at);
        /* refuse a comma that may be a point */
        int whole = (int)strcspn(at, ",");
        if (*end == ',')
            return refuse(why, "a comma stands between thousands, as in "
                          "25,600, and a fraction has a point, as in 0.13");
        if (end == at + whole + 4 && *end != '.' && lesson->tolerance > 0)
            return refuse(why, "%.*s,%.3s could be %.*s%.3s or %.*s.%.3s: type "
                "one of these", whole, at, at + whole + 1, whole, at,
                at + whole + 1, whole, at, at + whole + 1);
        for (; at < end; at++)
            if (*at != ',' && *at != ' ') *to++ = *at;
        if (*at) *to++ = *at++;
    }
    *to = '\0';
    return 1;
}
static const char *read_quotient(const char *at, double *value,
                                 char *why)
{
    double next = 1;
    for (*value = 1; ; at++) {
        at = lesson_number(at + strspn(at, " "), &next);
        if (!at) return refuse(why, "that is no number"), NULL;
        *value *= next;
        at += strspn(at, " ");
        if (*at != '*') break;
    }
    if (*at != '/') return at;
    at = lesson_number(at + 1 + strspn(at + 1, " "), &next);
    if (!at || !(next > 0))
        return refuse(why, "a slash needs a number above 0"), NULL;
    *value /= next;
    at += strspn(at, " ");
    if (*at && strchr("*/%", *at))
        return refuse(why, "one number ends a fraction, as in "
                      "4*40/160"), NULL;
    return at;
}
static int in_percent(const struct lesson *lesson)
{
    return lesson->unit && !strcmp(lesson->unit, "percent");
}

static int is_unit(const struct lesson *lesson, const char *word)
{
    if (!lesson->unit || !*word) return 0;
    size_t length = strlen(lesson->unit);
    if (!strcasecmp(word, lesson->unit)) return 1;
    return lesson->unit[length - 1] == 's' && strlen(word) == length - 1
        && !strncasecmp(word, lesson->unit, length - 1);
}
static int read_number(const struct lesson *lesson, char *text,
                       struct lesson_answer *answer, char *why)
{
    double value;
    if (!join_groups(lesson, text, why)) return 0;
    const char *at = read_quotient(text, &value, why);
    if (!at) return 0;
    int sign = *at == '%', named = is_unit(lesson, at);
    if (sign) at++;
    else if (named) at += strlen(at);
    if (*at) return refuse(why, "behind a number stands nothing but %s",
                           lesson->unit ? lesson->unit : "%");
    /* refuse a share where it could be misunderstood */
    double size = fabs(value);
    if (in_percent(lesson)) {
        if (!sign && !named && size > 0 && size <= 1)
            return refuse(why, "%.4g percent or %.4g percent? Type %.4g%% "
                "or %.4g%%", value, 100 * value, value, 100 * value);
    } else if (lesson->unit && (sign || (lesson->tolerance == 0
                                         && size > 0 && size < 1)))
        return refuse(why, "the answer is in %s, and no share",
                      lesson->unit);
    if (sign && !in_percent(lesson)) value /= 100;
    if (!isfinite(value)) return refuse(why, "that is too large");
    *answer = lesson_value(value);
    return 1;
}
static int ascend(struct lesson_answer *set)
{
    for (size_t i = 1; i < set->count; i++)
        for (size_t j = i; j; j--) {
            double before = set->value[j - 1], here = set->value[j];
            if (before == here) return 0;
            if (before < here) break;
            set->value[j - 1] = here;
            set->value[j] = before;
        }
    return 1;
}
static int read_experts(const struct lesson *lesson, const char *at,
                        struct lesson_answer *answer, char *why)
{
    struct lesson_answer list = {0, {0}};
    while (list.count < LESSON_VALUES) {
        const char *end = after_digits(at);
        if (end == at || end > at + 6) break;
        list.value[list.count++] = (double)strtoul(at, NULL, 10);
        at = end + strspn(end, " ");
        if (*at == ',') at += 1 + strspn(at + 1, " ");
        else if (!*at) {
            if (lesson->kind == LESSON_SET && !ascend(&list))
                return refuse(why, "an expert is named twice");
            *answer = list;
            return 1;
        } else if (at == end) break;
    }
    return list.count == LESSON_VALUES
        ? refuse(why, "that is more than %d experts", LESSON_VALUES)
        : refuse(why, "experts are whole numbers with spaces between");
}
static int read_choice(const struct lesson *lesson, const char *at,
                       struct lesson_answer *answer, char *why)
{
    int options = 0;
    while (options < 6 && lesson->options[options]) options++;
    if (*at < '1' || *at > '9' || at[1] || *at - '0' > options)
        return refuse(why, "choose a number from 1 to %d", options);
    *answer = lesson_value(*at - '0');
    return 1;
}
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
enum lesson_heard lesson_read(const struct lesson *lesson,
    const char *line, struct lesson_answer *answer, char *why)
{
    char text[256];
    if (!trim(text, sizeof text, line))
        return refuse(why, "that is too long"), LESSON_UNREADABLE;
    if (*text && !text[1])
        switch (tolower((unsigned char)*text)) {
        case 'r': return LESSON_AGAIN;
        case '?': return LESSON_HINT;
        case 's': return LESSON_SKIP;
        case 'q': return LESSON_LEAVE;
        }
    int good = lesson->kind == LESSON_CHOICE
        ? read_choice(lesson, text, answer, why)
        : lesson->kind == LESSON_EXPERTS || lesson->kind == LESSON_SET
        ? read_experts(lesson, text, answer, why)
        : read_number(lesson, text, answer, why);
    return good ? LESSON_ANSWER : LESSON_UNREADABLE;
}
const char *lesson_example(const struct lesson *lesson)
{
    switch (lesson->kind) {
    case LESSON_CHOICE: return "the number of a choice, such as 1";
    case LESSON_EXPERTS:
        return "expert numbers in order, such as 2 0 (or just 2)";
    case LESSON_SET:
        return "expert numbers in any order, such as 2 0 (or just 2)";
    default: break;
    }
    if (in_percent(lesson)) return "a number, such as 13 or 12.5%";
    if (!lesson->unit)
        return "a number, such as 0.13, 13%, 1/8 or 6.5e-2";
    if (lesson->tolerance > 0)
        return "a number, such as 2.5, 8/3 or 6.5e-2";
    return "a number, such as 150, 25,600 or 4*40*160";
}
int lesson_passes(double tolerance, struct lesson_answer right,
                  struct lesson_answer said)
{
    if (said.count != right.count) return 0;
    for (size_t i = 0; i < right.count; i++) {
        double little = 1e-9 * fmax(1, fabs(right.value[i]));
        if (!(fabs(said.value[i] - right.value[i])
              <= tolerance + little)) return 0;
    }
    return 1;
}
static size_t in_common(enum lesson_kind kind,
                        struct lesson_answer right,
                        struct lesson_answer said)
{
    size_t same = 0;
    for (size_t i = 0; i < right.count; i++)
        for (size_t j = 0; j < said.count; j++)
            same += right.value[i] == said.value[j]
                 && (kind == LESSON_SET || i == j);
    return same;
}
double lesson_error(enum lesson_kind kind, struct lesson_answer right,
                    struct lesson_answer said)
{
    size_t most = said.count > right.count ? said.count : right.count;
    if (kind != LESSON_NUMBER && kind != LESSON_CONSTANT)
        return 1 - (double)in_common(kind, right, said) / (double)most;
    double off = fabs(said.value[0] - right.value[0]);
    if (off <= 1e-9 * fabs(right.value[0])) return 0;
    return right.value[0] == 0 ? 1 : off / fabs(right.value[0]);
}
