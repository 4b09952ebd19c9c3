#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "figures.h"

char *figure_lines(const struct figure_live *figures, const char *format, ...)
{
    char line[1000], *text = NULL;
    size_t length;
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    FILE *out = open_memstream(&text, &length);
    CU_ASSERT_FATAL(out != NULL);
    CU_ASSERT_FATAL(figure_show(out, (const struct figure_live *const[]){figures, NULL}, line));
    fclose(out);
    return text;
}

const char *figure_line_of(const char *lines, const char *kind, size_t nth)
{
    size_t length = strlen(kind);
    for (const char *at = lines; *at; at = strchr(at, '\n') + 1)
        if (!strncmp(at, kind, length) && at[length] == '\t' && !nth--) return at + length + 1;
    return NULL;
}

static const char *field_at(const char *line, size_t i)
{
    while (i--) {
        line += strcspn(line, "\t\n");
        if (*line != '\t') return NULL;
        line++;
    }
    return line;
}

double figure_field(const char *line, size_t i)
{
    const char *at = field_at(line, i);
    char *end;
    if (!at) return NAN;
    double value = strtod(at, &end);
    return end > at && (*end == '\t' || *end == '\n') ? value : NAN;
}

int figure_text_is(const char *line, size_t i, const char *text)
{
    const char *at = field_at(line, i);
    size_t length = strlen(text);
    return at && !strncmp(at, text, length) && (at[length] == '\n' || at[length] == '\t');
}

char *figure_words(const char *lines)
{
    char *words = calloc(strlen(lines) + 1, 1), *to = words;
    const char *said;
    for (size_t i = 0; (said = figure_line_of(lines, "say", i)); i++) {
        size_t length = strcspn(said, "\n");
        memcpy(to, said, length);
        to += length;
        *to++ = ' ';
    }
    return words;
}

static size_t fields_of(const char *line)
{
    size_t n = 1;
    for (; *line != '\n'; line++) n += *line == '\t';
    return n;
}

static int within(double x, double least, double most) { return x >= least - 1e-3 && x <= most + 1e-3; }

static void check_shape(const char *kind, const char *rest, double width, double height)
{
    double v[8];
    for (size_t i = 0; i < 8; i++) v[i] = figure_field(rest, i);
    if (!strcmp(kind, "box")) {
        CU_ASSERT_EQUAL(fields_of(rest), 7);
        CU_ASSERT(v[2] >= 0 && v[3] > 0 && within(v[0], 0, width) && within(v[0] + v[2], 0, width));
        CU_ASSERT(within(v[1], 0, height) && within(v[1] + v[3], 0, height));
        CU_ASSERT(v[4] >= 0 && v[4] <= 8 && v[5] >= FIGURE_CROSSED && v[5] <= 100);
    } else if (!strcmp(kind, "strip")) {
        CU_ASSERT(fields_of(rest) > 5 && v[2] > 0 && v[3] > 0 && v[4] >= 0 && v[4] <= 8);
        CU_ASSERT(within(v[0], 0, width) && within(v[0] + v[2], 0, width) && within(v[1] + v[3], 0, height));
        for (size_t i = 5; i < fields_of(rest); i++) CU_ASSERT(within(figure_field(rest, i), 0, 100));
    } else if (!strcmp(kind, "text")) {
        CU_ASSERT_EQUAL(fields_of(rest), 4);
        CU_ASSERT(within(v[0], 0, width) && within(v[1], 0, height) && v[2] >= -1 && v[2] <= 1);
        CU_ASSERT(!figure_text_is(rest, 3, ""));
    } else if (!strcmp(kind, "line")) {
        size_t n = fields_of(rest);
        CU_ASSERT(n >= 6 && n % 2 == 0 && v[0] >= 0 && v[0] <= 8 && (v[1] == 0 || v[1] == 1));
        for (size_t i = 2; i < n; i++) CU_ASSERT(within(figure_field(rest, i), 0, i % 2 ? height : width));
    } else {
        CU_ASSERT_FATAL(!strcmp(kind, "dot"));
        CU_ASSERT(fields_of(rest) == 2 && within(v[0], 0, width) && within(v[1], 0, height));
    }
}

/* Whether it is a handle. */
static int check_handle(const char *kind, const char *rest)
{
    double value = figure_field(rest, 1), least = figure_field(rest, 2), most = figure_field(rest, 3);
    if (!strcmp(kind, "range")) {
        double step = figure_field(rest, 4), steps = (value - least) / step;
        CU_ASSERT_EQUAL(fields_of(rest), 6);
        CU_ASSERT(value >= least && value <= most && step > 0);
        CU_ASSERT(fabs(steps - round(steps)) < 1e-4 && !figure_text_is(rest, 5, ""));
    } else if (!strcmp(kind, "choice")) {
        size_t options = fields_of(rest) - 3;
        CU_ASSERT(options >= 2 && options <= FIGURE_OPTIONS && value >= 0 && value < (double)options);
        for (size_t i = 0; i < options; i++) CU_ASSERT(!figure_text_is(rest, 3 + i, ""));
    } else if (!strcmp(kind, "steps")) {
        CU_ASSERT(value >= 0 && value <= least);
    } else if (strcmp(kind, "again")) return 0;
    CU_ASSERT(!figure_text_is(rest, 0, ""));
    return 1;
}

static void check_lines(const char *lines, const char *name, size_t numbers)
{
    CU_ASSERT(!strncmp(lines, "figure\t", 7) && figure_text_is(lines, 1, name));
    const char *size = figure_line_of(lines, "size", 0);
    CU_ASSERT_FATAL(size && !figure_line_of(lines, "size", 1));
    double width = figure_field(size, 0), height = figure_field(size, 1);
    CU_ASSERT(width == FIGURE_WIDTH && height > 5 && height < 60);
    size_t handles = 0, said = 0;
    for (const char *at = strchr(lines, '\n') + 1; *at; at = strchr(at, '\n') + 1) {
        char kind[10] = "";
        size_t length = strcspn(at, "\t\n");
        CU_ASSERT_FATAL(length < sizeof kind && at[length] == '\t');
        memcpy(kind, at, length);
        const char *rest = at + length + 1;
        if (!strcmp(kind, "size")) continue;
        if (!strcmp(kind, "say")) said++;
        else if (check_handle(kind, rest)) handles++;
        else check_shape(kind, rest, width, height);
    }
    CU_ASSERT(said > 0 && handles == numbers);
    CU_ASSERT(!strstr(lines, "nan") && !strstr(lines, "inf\t"));
}

void check_figure(const struct figure_live *figures, const char *name, size_t numbers, int rounds)
{
    static const char *const odd[] = {"x", "nan", "-inf", "1e999", "1e-320", "0x7", "-", "\t9", "99999999999999999999"};
    struct random r = check_random();
    for (int round = 0; round < rounds; round++) {
        char line[1000];
        int length = snprintf(line, sizeof line, "%s", name);
        size_t given = round ? random_below(&r, numbers + 2) : 0;
        for (size_t i = 0; i < given; i++)
            length += random_below(&r, 12)
                ? snprintf(line + length, 30, " %.2f", 12 * random_symmetric(&r, 1) * random_uniform(&r) + (double)random_below(&r, 5))
                : snprintf(line + length, 30, " %s", odd[random_below(&r, sizeof odd / sizeof *odd)]);
        char *lines = figure_lines(figures, "%s", line);
        check_lines(lines, name, numbers);
        free(lines);
    }
}
