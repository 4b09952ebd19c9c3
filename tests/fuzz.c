/* One input for the readers of what people type and of what a file holds. The
 * first byte picks the reader, the rest is the line. `make fuzz` looks for
 * inputs that break a promise; the suite of appendix A replays tests/corpus/. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checkpoint.h"
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

/* A checkpoint: the bytes as they are; or laid over a good one, two for the place and one for
 * the value, with the checksum that they make, so that what stands behind it is reached. What
 * is refused has a reason and changes nothing; what is taken, and saved again, is what it was. */
static void checkpoint(const unsigned char *data, size_t size, int over, const char *line)
{
    static struct matrix value, slope;
    static struct weights list;
    static struct adamw adamw;
    static struct random random;
    static unsigned char good[4096], bytes[4096], again[4096];
    static size_t length;
    static char path[60];
    char why[CHECKPOINT_WHY];
    struct checkpoint run = {&list, &adamw, &random, 7};
    FILE *file;
    if (!length) {
        snprintf(path, sizeof path, "/tmp/fuzz-checkpoint.%ld", (long)getpid());
        value = matrix_new(2, 3), slope = matrix_new(2, 3);
        weights_add(&list, "w", value, slope), weights_add(&list, "gain", matrix_rows(value, 0, 1), matrix_rows(slope, 0, 1));
        adamw = adamw_new(&list);
        if (!checkpoint_save(&run, path, why) || !(file = fopen(path, "rb"))) abort();
        length = fread(good, 1, sizeof good, file), fclose(file);
    }
    size_t n = over ? length : size;
    memcpy(bytes, over ? good : data, n);
    for (size_t i = 0; over && i + 3 <= size; i += 3) bytes[(size_t)(data[i] | data[i + 1] << 8) % (n - 8)] = data[i + 2];
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i + 8 < n; i++) sum = (sum ^ bytes[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; over && i < 8; i++) bytes[n - 8 + i] = (unsigned char)(sum >> 8 * i);
    if (!(file = fopen(path, "wb")) || fwrite(bytes, 1, n, file) != n || fclose(file)) abort();
    struct random before = random;
    value.at[0] = 123, run.step = 5;
    if (!checkpoint_load(&run, path, why)) {
        promise(*why != '\0', "a checkpoint that is refused has a reason", line);
        promise(value.at[0] == 123 && run.step == 5 && random.state == before.state, "and changes nothing", line);
    } else {
        promise(checkpoint_save(&run, path, why), "what was loaded can be saved", line);
        if (!(file = fopen(path, "rb"))) abort();
        promise(fread(again, 1, sizeof again, file) == n, "and is as long", line);
        fclose(file);
    }
    remove(path);
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
    case 'k': checkpoint(data + 1, size - 1 < 4096 ? size - 1 : 4096, 0, line); break;
    case 'o': checkpoint(data + 1, size - 1, 1, line); break;
    }
    free(line);
    return 0;
}
