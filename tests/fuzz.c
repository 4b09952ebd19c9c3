/* One input for the readers of what people type and of what a file holds. The
 * first byte picks the reader, the rest is the line. `make fuzz` looks for
 * inputs that break a promise; the suite of appendix A replays tests/corpus/. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "path.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void promise(int kept, const char *what, const char *line)
{
    if (kept) return;
    fprintf(stderr, "fuzz: broken: %s\n  line: %s\n", what, line);
    abort();
}

/* What is read as an answer is one of its kind. */
static void answer(enum lesson_kind kind, const char *unit, double tolerance, const char *line)
{
    struct lesson lesson = {.id = "1.1", .unit = unit, .tolerance = tolerance,
        .kind = kind, .options = {"one", "two", "three"}};
    struct lesson_answer got = {0, {0}};
    char why[LESSON_WHY] = "";
    enum lesson_heard heard = lesson_read(&lesson, line, &got, why);
    promise((heard == LESSON_UNREADABLE) == (*why != '\0'), "what is not read has a reason", line);
    if (heard != LESSON_ANSWER) {
        promise(got.count == 0, "what is no answer sets none", line);
        return;
    }
    promise(got.count >= 1 && got.count <= LESSON_VALUES, "1 to 8 values", line);
    promise(kind == LESSON_EXPERTS || kind == LESSON_SET || got.count == 1, "one value", line);
    for (size_t i = 0; i < got.count; i++) {
        double value = got.value[i], most = kind == LESSON_CHOICE ? 3 : 999999;
        promise(isfinite(value), "finite", line);
        if (kind == LESSON_NUMBER) continue;
        promise(value == floor(value) && value >= (kind == LESSON_CHOICE) && value <= most,
                "whole and small", line);
        promise(kind != LESSON_SET || !i || value > got.value[i - 1], "a set ascends", line);
    }
    promise(lesson_error(kind, got, got) == 0 && lesson_passes(0, got, got),
            "an answer is right about itself", line);
}

/* What is read as a record is written as one that reads the same. */
static void record(const char *line)
{
    struct record one, two;
    char first[RECORD_LINE], second[RECORD_LINE];
    if (!record_read(&one, line)) return;
    record_write(first, &one);
    char *end = strchr(first, '\n');
    promise(end && !end[1], "a record is one line", line);
    *end = '\0';
    promise(record_read(&two, first), "what was written can be read", line);
    record_write(second, &two);
    second[strcspn(second, "\n")] = '\0';
    promise(!strcmp(first, second), "writing and reading lose nothing", line);
    promise(lesson_error(one.kind, one.right, one.said) >= 0, "an error is a number", line);
}

/* A whole file of lines, counted and printed. */
static void file(char *text, size_t size)
{
    static const struct lesson row = {.id = "3.2", .title = "a claim", .paths = "1.1.1", .kind = LESSON_CONSTANT};
    static const struct lesson_table table = {&row, 1};
    static const struct lesson_table *const chapters[] = {&table};
    struct progress progress = {.chapters = chapters, .chapters_count = 1};
    size_t number = 1;
    for (size_t from = 0, i = 0; i <= size; i++)
        if (i == size || text[i] == '\n') {
            text[i] = '\0';
            if (i > from) progress_take(&progress, number, text + from);
            from = i + 1, number++;
        }
    progress_settle(&progress);
    static FILE *nowhere;
    if (!nowhere && !(nowhere = fopen("/dev/null", "w"))) abort();
    struct terminal to = {.out = nowhere, .columns = 80};
    progress_print(&to, &progress);
    path_print(&to, 1, &progress, path_day("2026-05-01"));
    progress_free(&progress);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    if (!size) return 0;
    char *line = malloc(size);
    if (!line) abort();
    memcpy(line, data + 1, size - 1);
    line[size - 1] = '\0';
    switch (*data) {
    case 'n': answer(LESSON_NUMBER, "rows", 0, line); break;
    case 'm': answer(LESSON_NUMBER, NULL, 0.01, line); break;
    case 'p': answer(LESSON_NUMBER, "percent", 1, line); break;
    case 'c': answer(LESSON_CHOICE, NULL, 0, line); break;
    case 'e': answer(LESSON_EXPERTS, NULL, 0, line); break;
    case 's': answer(LESSON_SET, NULL, 0, line); break;
    case 'r': record(line); break;
    case 'f': file(line, size - 1); break;
    }
    free(line);
    return 0;
}
