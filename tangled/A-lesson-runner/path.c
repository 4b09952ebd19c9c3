#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "path.h"
#include "stop.h"

static void put(struct path *path, struct path_step step)
{
    size_t i = path->count++;
    if (path->count > PATH_MOST)
        stop("a path has at most %d lessons", PATH_MOST);
    for (; i && (path->at[i - 1].phase > step.phase
                 || (path->at[i - 1].phase == step.phase
                     && path->at[i - 1].step > step.step)); i--)
        path->at[i] = path->at[i - 1];
    path->at[i] = step;
}

/* Read "1.2.3"; NULL, or where it ends. */
static const char *read_place(const char *at, int place[3])
{
    for (int i = 0; i < 3; i++) {
        char *end;
        place[i] = (int)strtol(at, &end, 10);
        if (end == at || (i < 2 && *end != '.')) return NULL;
        at = end + (i < 2);
    }
    return at;
}

struct path path_of(int number,
                    const struct lesson_table *const *tables,
                    size_t tables_count)
{
    struct path path = {0};
    for (size_t t = 0; t < tables_count; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct lesson *lesson = &tables[t]->rows[i];
            int place[3];
            for (const char *at = lesson->paths;
                 (at = read_place(at, place)); )
                if (place[0] == number)
                    put(&path, (struct path_step){place[1], place[2],
                                                  lesson});
        }
    return path;
}

static long days_to(int year, int month, int date)
{
    if (month <= 2) year--, month += 12;
    return 365L * year + year / 4 - year / 100 + year / 400
         + (153 * (month - 3) + 2) / 5 + date - 719469;
}

long path_day(const char *text)
{
    for (int i = 0; i < 10; i++)
        if (i == 4 || i == 7 ? text[i] != '-'
                             : text[i] < '0' || text[i] > '9')
            return -1;
    int year = atoi(text), month = atoi(text + 5);
    int date = atoi(text + 8);
    if (year < 1970 || month < 1 || month > 12 || date < 1 || date > 31)
        return -1;
    return days_to(year, month, date);
}

void path_date(long day, char date[PATH_DATE])
{
    int year = 1970, month = 12;
    while (days_to(year + 1, 1, 1) <= day) year++;
    while (days_to(year, month, 1) > day) month--;
    snprintf(date, PATH_DATE, "%04d-%02d-%02d", year, month,
             1 + (int)(day - days_to(year, month, 1)));
}

long path_due(const struct progress *progress,
              const struct lesson *lesson)
{
    const struct progress_entry *last = progress_last(progress, lesson);
    return !last ? -1
        : path_day(last->record.time) + (last->right ? PATH_GAP : 1);
}

static int is_planned(const struct path_plan *plan,
                      const struct lesson *lesson)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->at[i] == lesson) return 1;
    return 0;
}

static void plan_reviews(struct path_plan *plan,
                         const struct progress *progress, long day)
{
    size_t last = progress->chapters_count;
    while (plan->count < PATH_REVIEWS) {
        const struct lesson *best = NULL;
        size_t from = last;
        long oldest = 0;
        for (size_t c = 0; c < progress->chapters_count; c++)
            for (size_t i = 0; i < progress->chapters[c]->count; i++) {
                const struct lesson *lesson =
                    &progress->chapters[c]->rows[i];
                long due = path_due(progress, lesson);
                if (c == last || due < 0 || due > day
                    || is_planned(plan, lesson)) continue;
                if (!best || due < oldest)
                    best = lesson, from = c, oldest = due;
            }
        if (!best) return;
        plan->at[plan->count++] = best, plan->reviews++, last = from;
    }
}

struct path_plan path_plan(int number, const struct progress *progress,
                           long day)
{
    struct path path = path_of(number, progress->chapters,
                               progress->chapters_count);
    struct path_plan plan = {0};
    int found = 0;
    plan_reviews(&plan, progress, day);
    for (size_t i = 0, end; i < path.count; i = end) {
        int whole = 1;
        for (end = i; end < path.count
             && path.at[end].phase == path.at[i].phase
             && path.at[end].step == path.at[i].step; end++) {
            const struct lesson *lesson = path.at[end].lesson;
            if (progress_last(progress, lesson)) continue;
            whole = 0;
            if (!found) plan.at[plan.count++] = lesson;
        }
        found |= !whole, plan.steps++, plan.done += (size_t)whole;
    }
    return plan;
}

void path_state(FILE *out, const struct progress *progress,
                const struct lesson *lesson, long day)
{
    const struct progress_entry *last = progress_last(progress, lesson);
    char far[PROGRESS_OFF], date[PATH_DATE];
    size_t said = 0, right = 0;
    if (!last) {
        fputs("not done yet", out);
        return;
    }
    for (size_t i = 0; i < progress->count; i++)
        if (progress->at[i].lesson == lesson)
            said++, right += (size_t)progress->at[i].right;
    fprintf(out, "%s, %s off", last->right ? "right" : "not right",
            progress_off(far, last->error));
    if (said > 1) fprintf(out, "; %zu of %zu right", right, said);
    long due = path_due(progress, lesson);
    path_date(due, date);
    if (due > day) fprintf(out, "; again on %s", date);
    else if (due == day) fputs("; due today", out);
    else fprintf(out, "; due since %s", date);
}

static void print_steps(const struct terminal *to, int number,
                        const struct progress *progress, long day)
{
    struct path path = path_of(number, progress->chapters,
                               progress->chapters_count);
    for (size_t i = 0; i < path.count; i++) {
        const struct lesson *lesson = path.at[i].lesson;
        fprintf(to->out, "  %-5s %2d min  ", lesson->id,
                lesson->minutes);
        path_state(to->out, progress, lesson, day);
        fputc('\n', to->out);
    }
}

static void print_planned(const struct terminal *to, const char *what,
                          const struct lesson *const *at, size_t count)
{
    if (count) fprintf(to->out, "%s:\n", what);
    for (size_t i = 0; i < count; i++)
        terminal_say(to, 2, "%s  %s (%d minutes)", at[i]->id,
                     at[i]->title, at[i]->minutes);
}

void path_print(const struct terminal *to, int number,
                const struct progress *progress, long day)
{
    struct path_plan plan = path_plan(number, progress, day);
    int minutes = 0;
    fprintf(to->out, "Path %d: %zu of %zu steps are done.\n", number,
            plan.done, plan.steps);
    if (plan.steps < PATH_STEPS)
        terminal_say(to, 0, "It is laid out in %d steps; those that "
                     "are missing belong to chapters to come.",
                     PATH_STEPS);
    print_steps(to, number, progress, day);
    print_planned(to, "Due again", plan.at, plan.reviews);
    print_planned(to, "Next", plan.at + plan.reviews,
                  plan.count - plan.reviews);
    for (size_t i = 0; i < plan.count; i++)
        minutes += plan.at[i]->minutes;
    if (minutes) fprintf(to->out, "%d minutes in all.\n", minutes);
    else fputs("Nothing is due today.\n", to->out);
    if (plan.done == plan.steps)
        fprintf(to->out, "This path is done. The other one: make today "
                "ARGS=\"--path %d\"\n", PATH_PATHS + 1 - number);
}
