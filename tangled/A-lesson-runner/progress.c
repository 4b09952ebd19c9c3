#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "print.h"
#include "progress.h"
#include "stop.h"

/* room for predictions */
static void make_room(struct progress *p)
{
    if (p->count < p->room) return;
    p->room = p->room ? 2 * p->room : 64;
    p->at = realloc(p->at, p->room * sizeof *p->at);
    if (!p->at) stop("no memory for %zu predictions", p->room);
}

void progress_free(struct progress *progress) { free(progress->at); }

struct numbered { const struct progress *past;
                  size_t *lesson; double *errors; };

static struct numbered numbered_new(const struct progress *p)
{
    return (struct numbered){p, room(p->count, sizeof(size_t)),
                             room(p->count, sizeof(double))};
}

static void numbered_free(struct numbered *all)
{
    free(all->lesson);
    free(all->errors);
}

static void keep(struct progress_entry *entry, const struct record *r)
{
    entry->record = *r;
    entry->right = lesson_passes(r->tolerance, r->right, r->said);
    entry->error = lesson_error(r->kind, r->right, r->said);
    entry->lesson = NULL;
}
static void keep_strange(struct progress *p, size_t number,
                         const char *line)
{
    if (p->strangers++ >= PROGRESS_SHOWN) return;
    char *text = p->strange[p->strangers - 1].text;
    p->strange[p->strangers - 1].number = number;
    size_t i = 0;
    for (; i < 40 && line[i]; i++)
        text[i] = line[i] >= ' ' && line[i] <= '~' ? line[i] : '?';
    text[i] = '\0';
}

void progress_take(void *progress, size_t number, const char *line)
{
    struct progress *p = progress;
    struct record record;
    if (!record_read(&record, line)) {
        keep_strange(p, number, line);
        return;
    }
    make_room(p);
    keep(&p->at[p->count++], &record);
}
static int still_asks(const struct lesson *lesson,
                      const struct record *r)
{
    if (strcmp(lesson_kinds[lesson->kind], lesson_kinds[r->kind]))
        return 0;
    if (lesson->kind == LESSON_CONSTANT)
        return lesson->tolerance == r->tolerance;
    struct lesson_problem now = lesson_make(lesson, r->seed);
    int same = lesson_passes(lesson->tolerance, now.right, r->right);
    lesson_free(&now);
    return same;
}
static void settle(struct progress *p, const struct lesson *lesson)
{
    int same = 0, solved = 0;
    for (size_t i = p->count; i > 0; i--) {
        struct progress_entry *entry = &p->at[i - 1];
        if (strcmp(entry->record.id, lesson->id)) continue;
        if (solved++ < PROGRESS_SOLVED)
            same = still_asks(lesson, &entry->record);
        if (same) entry->lesson = lesson;
        else p->changed++;
    }
}

void progress_settle(struct progress *p)
{
    p->changed = 0;
    for (size_t c = 0; c < p->chapters_count; c++)
        for (size_t i = 0; i < p->chapters[c]->count; i++)
            settle(p, &p->chapters[c]->rows[i]);
}
static size_t number_of(const struct progress *p,
                        const struct lesson *lesson)
{
    size_t number = 0;
    for (size_t c = 0; c < p->chapters_count; c++)
        for (size_t i = 0; i < p->chapters[c]->count; i++, number++)
            if (&p->chapters[c]->rows[i] == lesson) return number;
    return number;
}
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    if (!n) return 0;
    qsort(values, n, sizeof *values, by_size);
    return (values[(n - 1) / 2] + values[n / 2]) / 2;
}
struct tally { size_t said, right; double median; };

static struct tally tally(const struct numbered *all, size_t from,
                          size_t end)
{
    struct tally t = {0, 0, 0};
    for (size_t i = 0; i < all->past->count; i++) {
        if (all->lesson[i] < from || all->lesson[i] >= end) continue;
        t.right += (size_t)all->past->at[i].right;
        all->errors[t.said++] = all->past->at[i].error;
    }
    t.median = median(all->errors, t.said);
    return t;
}
const char *progress_off(char text[PROGRESS_OFF], double error)
{
    if (error < 9.995)
        snprintf(text, PROGRESS_OFF, "%.3g%%", 100 * error);
    else strcpy(text, "over 999%");
    return text;
}

enum { ROW = 38 }; /* columns before the title */

static void print_row(const struct terminal *to,
                      const struct lesson *lesson, struct tally t)
{
    char right[48] = "-", far[PROGRESS_OFF] = "-";
    size_t room = to->columns > ROW + 3 ? to->columns - ROW : 0;
    if (t.said) {
        snprintf(right, sizeof right, "%zu of %zu", t.right, t.said);
        progress_off(far, t.median);
    }
    fprintf(to->out, "%-5s %2d min %4s %9s %8s  ", lesson->id,
            lesson->minutes, t.said ? "done" : "", right, far);
    if (strlen(lesson->title) <= room)
        fprintf(to->out, "%s\n", lesson->title);
    else if (!room) fputc('\n', to->out);
    else fprintf(to->out, "%.*s...\n", (int)room - 3, lesson->title);
}
static void print_chapter(const struct terminal *to,
                          const struct numbered *all, size_t first,
                          const struct lesson_table *chapter)
{
    size_t done = 0;
    int minutes = 0, most = 0;
    for (size_t i = 0; i < chapter->count; i++) {
        const struct lesson *l = &chapter->rows[i];
        struct tally t = tally(all, first + i, first + i + 1);
        print_row(to, l, t);
        done += t.said > 0, most += l->minutes;
        if (t.said) minutes += l->minutes;
    }
    struct tally t = tally(all, first, first + chapter->count);
    char far[PROGRESS_OFF];
    fprintf(to->out, "      %zu of %zu done, %d of %d min", done,
            chapter->count, minutes, most);
    if (t.said)
        fprintf(to->out, "; %zu of %zu right (%.0f%%), median %s off",
                t.right, t.said, 100 * (double)t.right
                / (double)t.said, progress_off(far, t.median));
    fprintf(to->out, "\n\n");
}
enum { BAR = 30 };

static void draw_bar(const struct terminal *to, double share)
{
    if (!to->unicode) {
        print_bar(to->out, share, BAR);
        return;
    }
    for (int i = 0; i < BAR; i++)
        fputs(i < (int)(share * BAR + 0.5) ? "█" : "░", to->out);
}

static void print_over_time(const struct terminal *to,
                            const struct progress *p)
{
    size_t groups = p->count < 8 ? p->count : 8;
    fprintf(to->out, "Right over time, oldest first\n");
    for (size_t g = 0; g < groups; g++) {
        size_t from = g * p->count / groups, right = 0;
        size_t end = (g + 1) * p->count / groups;
        for (size_t i = from; i < end; i++)
            right += (size_t)p->at[i].right;
        double share = (double)right / (double)(end - from);
        fprintf(to->out, "%.10s %5zu-%-5zu ", p->at[from].record.time,
                from + 1, end);
        draw_bar(to, share);
        fprintf(to->out, " %3.0f%%\n", 100 * share);
    }
    fputc('\n', to->out);
}
void progress_strange(const struct terminal *to,
                      const struct progress *p)
{
    for (size_t i = 0; i < p->strangers && i < PROGRESS_SHOWN; i++)
        fprintf(to->out, "Line %zu is no prediction: %s\n",
                p->strange[i].number, p->strange[i].text);
    if (p->strangers > PROGRESS_SHOWN)
        fprintf(to->out, "and so are %zu more\n",
                p->strangers - PROGRESS_SHOWN);
}
static void print_apart(const struct terminal *to, const char *what,
                        size_t count)
{
    if (count)
        fprintf(to->out, "Of %s: %zu prediction%s.\n", what, count,
                count == 1 ? "" : "s");
}

void progress_print(const struct terminal *to, const struct progress *p)
{
    struct numbered all = numbered_new(p);
    size_t first = 0, c = 0;
    for (size_t i = 0; i < p->count; i++)
        all.lesson[i] = number_of(p, p->at[i].lesson);
    fprintf(to->out, "lesson              right      off\n");
    for (; c < p->chapters_count; first += p->chapters[c++]->count)
        print_chapter(to, &all, first, p->chapters[c]);
    if (p->count) print_over_time(to, p);
    print_apart(to, "lessons that this book lacks",
                tally(&all, first, first + 1).said - p->changed);
    print_apart(to, "lessons that ask something else since then",
                p->changed);
    progress_strange(to, p);
    numbered_free(&all);
}
const struct progress_entry *progress_last(
    const struct progress *progress, const struct lesson *lesson)
{
    for (size_t i = progress->count; i > 0; i--)
        if (progress->at[i - 1].lesson == lesson)
            return &progress->at[i - 1];
    return NULL;
}
