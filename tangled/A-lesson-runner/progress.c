#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "print.h"
#include "progress.h"

/* take a line of the file */
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

/* keep a record */
void progress_take(void *progress, size_t number, const char *line)
{
    struct progress *p = progress;
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->at = realloc(p->at, p->room * sizeof *p->at);
        if (!p->at) abort();
    }
    if (record_read(&p->at[p->count], line)) p->count++;
    else keep_strange(p, number, line);
}

void progress_free(struct progress *progress) { free(progress->at); }

/* count how often a lesson was done */
size_t progress_count(const struct progress *progress, const char *id)
{
    size_t count = 0;
    for (size_t i = 0; i < progress->count; i++)
        count += !strcmp(progress->at[i].id, id);
    return count;
}

/* tally predictions */
struct tally { size_t said, right; double median; };

/* find the median */
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

static int among(const struct lesson *rows, size_t count,
                 const char *id)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(rows[i].id, id)) return 1;
    return 0;
}

/* tally the predictions of some lessons */
static struct tally tally(const struct progress *p, double *errors,
                          const struct lesson *rows, size_t count)
{
    struct tally t = {0, 0, 0};
    for (size_t i = 0; i < p->count; i++) {
        const struct record *r = &p->at[i];
        if (!among(rows, count, r->id)) continue;
        t.right += (size_t)lesson_passes(r->tolerance, r->right,
                                         r->said);
        errors[t.said++] = lesson_error(r->kind, r->right, r->said);
    }
    t.median = median(errors, t.said);
    return t;
}

/* print the parts of the progress */
/* cut a title */
enum { ROW = 38 }; /* columns before the title */

static void print_cut(const struct lesson_printer *to,
                      const char *title, size_t used)
{
    size_t room = to->columns > used + 3 ? to->columns - used : 0;
    if (strlen(title) <= room) fprintf(to->out, "%s\n", title);
    else if (!room) fputc('\n', to->out);
    else fprintf(to->out, "%.*s...\n", (int)room - 3, title);
}

/* print a lesson's progress */
static void print_row(const struct lesson_printer *to,
                      const struct lesson *lesson, struct tally t)
{
    char right[48] = "-", off[24] = "-";
    if (t.said) {
        snprintf(right, sizeof right, "%zu of %zu", t.right, t.said);
        snprintf(off, sizeof off, t.median < 9.995 ? "%.3g%%"
                 : "over 999%%", 100 * t.median);
    }
    fprintf(to->out, "%-5s %2d min %4s %9s %8s  ", lesson->id,
            lesson->minutes, t.said ? "done" : "", right, off);
    print_cut(to, lesson->title, ROW);
}

/* print a chapter's progress */
static void print_chapter(const struct lesson_printer *to,
                          const struct progress *p, double *errors,
                          const struct lesson_table *chapter)
{
    size_t done = 0;
    int minutes = 0, all = 0;
    for (size_t i = 0; i < chapter->count; i++) {
        const struct lesson *l = &chapter->rows[i];
        struct tally t = tally(p, errors, l, 1);
        print_row(to, l, t);
        done += t.said > 0, all += l->minutes;
        if (t.said) minutes += l->minutes;
    }
    /* print the sum of a chapter */
    struct tally t = tally(p, errors, chapter->rows, chapter->count);
    fprintf(to->out, "      %zu of %zu done, %d of %d min", done,
            chapter->count, minutes, all);
    if (t.said)
        fprintf(to->out, "; %zu of %zu right (%.0f%%), median %.3g%% off",
                t.right, t.said, 100 * (double)t.right / (double)t.said,
                100 * t.median);
    fprintf(to->out, "\n\n");
}

/* draw progress over time */
/* draw a bar of progress */
enum { BAR = 30 };

static void draw_bar(const struct lesson_printer *to, double share)
{
    if (!to->unicode) {
        print_bar(to->out, share, BAR);
        return;
    }
    for (int i = 0; i < BAR; i++)
        fputs(i < (int)(share * BAR + 0.5) ? "█" : "░", to->out);
}

/* draw a group */
static void print_group(const struct lesson_printer *to,
                        const struct progress *p, size_t from,
                        size_t end)
{
    size_t right = 0;
    for (size_t i = from; i < end; i++)
        right += (size_t)lesson_passes(p->at[i].tolerance,
                     p->at[i].right, p->at[i].said);
    double share = (double)right / (double)(end - from);
    fprintf(to->out, "%.10s %5zu-%-5zu ", p->at[from].time, from + 1,
            end);
    draw_bar(to, share);
    fprintf(to->out, " %3.0f%%\n", 100 * share);
}

/* draw the groups */
static void print_over_time(const struct lesson_printer *to,
                            const struct progress *p)
{
    size_t groups = p->count < 8 ? p->count : 8;
    fprintf(to->out, "Right over time, oldest first\n");
    for (size_t g = 0; g < groups; g++)
        print_group(to, p, g * p->count / groups,
                    (g + 1) * p->count / groups);
    fputc('\n', to->out);
}

/* name what could not be counted */
static void print_strange(const struct lesson_printer *to,
                          const struct progress *p)
{
    for (size_t i = 0; i < p->strangers && i < PROGRESS_SHOWN; i++)
        fprintf(to->out, "Line %zu is no prediction: %s\n",
                p->strange[i].number, p->strange[i].text);
    if (p->strangers > PROGRESS_SHOWN)
        fprintf(to->out, "and %zu lines more\n",
                p->strangers - PROGRESS_SHOWN);
}

/* count what belongs to no lesson */
static void print_unknown(const struct lesson_printer *to,
                          const struct progress *p,
                          const struct lesson_table *const *chapters,
                          size_t count)
{
    size_t known = 0;
    for (size_t i = 0; i < p->count; i++)
        for (size_t c = 0; c < count; c++)
            known += (size_t)among(chapters[c]->rows,
                chapters[c]->count, p->at[i].id);
    if (known < p->count)
        fprintf(to->out, "Of lessons that this book lacks: %zu "
                "prediction(s).\n", p->count - known);
}

/* print all progress */
void progress_print(const struct lesson_printer *to,
                    const struct progress *p,
                    const struct lesson_table *const *chapters,
                    size_t count)
{
    double *errors = malloc((p->count + 1) * sizeof *errors);
    if (!errors) abort();
    fprintf(to->out, "lesson              right      off\n");
    for (size_t c = 0; c < count; c++)
        print_chapter(to, p, errors, chapters[c]);
    if (p->count) print_over_time(to, p);
    print_unknown(to, p, chapters, count);
    print_strange(to, p);
    free(errors);
}
