#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include "figure.h"
#include "page.h"
#include "path.h"
#include "stop.h"

/* the book's tables */
#define LESSONS(n) extern const struct lesson_table lessons##n;
#include "lessons.inc"
#undef LESSONS

#define LESSONS(n) &lessons##n,
static const struct lesson_table *const chapters[] = {
#include "lessons.inc"
};
enum { CHAPTERS = sizeof chapters / sizeof *chapters };

static struct card { int posed; uint64_t seed;
                     struct lesson_problem problem;
                     struct lesson_answer said; } *cards;

size_t page_lessons(void)
{
    size_t count = 0;
    for (size_t c = 0; c < CHAPTERS; c++) count += chapters[c]->count;
    return count;
}

static const struct lesson *lesson_at(size_t number)
{
    for (size_t c = 0; c < CHAPTERS; number -= chapters[c++]->count)
        if (number < chapters[c]->count)
            return &chapters[c]->rows[number];
    stop("the book has no lesson %zu behind its last", number);
}

const char *page_id(size_t lesson) { return lesson_at(lesson)->id; }
static char *input, *output;
static size_t input_length, output_length;

char *page_input(size_t length)
{
    free(input);
    input_length = length;
    return input = room(length + 1, 1);
}

static FILE *begin(void)
{
    free(output);
    output = NULL;
    FILE *out = open_memstream(&output, &output_length);
    if (!out) stop("no memory for a text");
    return out;
}

static const char *end(FILE *out)
{
    fclose(out);
    return output;
}
static void pose(struct card *card, const struct lesson *lesson,
                 uint64_t seed)
{
    if (card->posed && card->seed == seed) return;
    if (card->posed) lesson_free(&card->problem);
    *card = (struct card){1, seed, lesson_make(lesson, seed),
                          {0, {0}}};
}

const char *page_pose(size_t lesson, uint64_t seed)
{
    const struct lesson *asked = lesson_at(lesson);
    if (!cards) cards = room(page_lessons(), sizeof *cards);
    pose(&cards[lesson], asked, seed);
    FILE *out = begin();
    lesson_show(out, asked, &cards[lesson].problem);
    return end(out);
}
const char *page_example(size_t lesson)
{
    return lesson_example(lesson_at(lesson));
}

static char why[LESSON_WHY];

int page_read(size_t lesson)
{
    *why = '\0';
    return (int)lesson_read(lesson_at(lesson), input,
                            &cards[lesson].said, why);
}

const char *page_why(void) { return why; }
const char *page_record(size_t lesson, uint64_t now, unsigned hints)
{
    static char line[RECORD_LINE];
    const struct card *card = &cards[lesson];
    struct record record = record_of((time_t)now, lesson_at(lesson),
        card->seed, card->said, card->problem.right, hints);
    record_write(line, &record);
    return line;
}

int page_passes(size_t lesson)
{
    const struct card *card = &cards[lesson];
    return lesson_passes(lesson_at(lesson)->tolerance,
                         card->problem.right, card->said);
}
const char *page_explain(size_t lesson)
{
    const struct card *card = &cards[lesson];
    struct terminal to = {begin(), SIZE_MAX, 0, 1};
    terminal_explain(&to, lesson_at(lesson), &card->problem,
                     card->said);
    return end(to.out);
}
static void each_line(void *context,
                      void (*take)(void *, size_t, const char *))
{
    if (!input_length) return;
    FILE *file = fmemopen(input, input_length, "r");
    if (!file) stop("no memory for a file");
    record_lines(file, context, take);
    fclose(file);
}
struct import { FILE *out; struct progress strange; };

static void take_record(void *context, size_t number, const char *line)
{
    struct import *import = context;
    struct record record;
    if (record_read(&record, line)) fprintf(import->out, "%s\n", line);
    else progress_take(&import->strange, number, line);
}

const char *page_import(void)
{
    struct import import = {.out = begin()};
    each_line(&import, take_record);
    fputc('\n', import.out);
    struct terminal to = {import.out, SIZE_MAX, 0, 1};
    progress_strange(&to, &import.strange);
    return end(import.out);
}

static struct progress read_past(void)
{
    struct progress past = {.chapters = chapters,
                            .chapters_count = CHAPTERS};
    each_line(&past, progress_take);
    progress_settle(&past);
    return past;
}

const char *page_progress(size_t columns)
{
    struct progress past = read_past();
    struct terminal to = {begin(), columns, 0, 1};
    progress_print(&to, &past);
    progress_free(&past);
    return end(to.out);
}

const char *page_today(int path, long day, size_t columns)
{
    struct progress past = read_past();
    struct terminal to = {begin(), columns, 0, 1};
    path_print(&to, path, &past, day);
    progress_free(&past);
    return end(to.out);
}

const char *page_plan(int path, long day)
{
    struct progress past = read_past();
    struct path_plan plan = path_plan(path, &past, day);
    FILE *out = begin();
    fprintf(out, "done\t%zu\t%zu\n", plan.done, plan.steps);
    for (size_t i = 0; i < plan.count; i++)
        fprintf(out, "%s\t%s\n",
                i < plan.reviews ? "review" : "next", plan.at[i]->id);
    progress_free(&past);
    return end(out);
}

const char *page_states(long day)
{
    struct progress past = read_past();
    FILE *out = begin();
    for (size_t n = 0; n < page_lessons(); n++) {
        const struct lesson *lesson = lesson_at(n);
        const struct progress_entry *last = progress_last(&past,
                                                          lesson);
        fprintf(out, "%s\t%s\t%s\t", lesson->id, !last ? ""
                : path_due(&past, lesson) <= day ? "due" : "done",
                !last ? "" : last->right ? "right" : "wrong");
        path_state(out, &past, lesson, day);
        fputc('\n', out);
    }
    progress_free(&past);
    return end(out);
}

/* the book's figures */
#define LIVE(n) extern const struct figure_live live##n[];
#include "live.inc"
#undef LIVE

#define LIVE(n) live##n,
static const struct figure_live *const figures[] = {
#include "live.inc"
    NULL};

const char *page_live(void)
{
    FILE *out = begin();
    if (!figure_show(out, figures, input))
        stop("the book has no figure \"%.20s\"", input);
    return end(out);
}
