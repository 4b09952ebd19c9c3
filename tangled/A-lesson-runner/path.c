#include <stdio.h>
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

struct path path_of(int number,
                    const struct lesson_table *const *tables,
                    size_t tables_count)
{
    struct path path = {0};
    for (size_t t = 0; t < tables_count; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const struct lesson *lesson = &tables[t]->rows[i];
            const char *at = lesson->paths;
            int way, phase, step, used;
            for (; sscanf(at, " %d.%d.%d%n", &way, &phase, &step,
                          &used) == 3; at += used)
                if (way == number)
                    put(&path, (struct path_step){phase, step, lesson});
        }
    return path;
}

long path_day(const char *day)
{
    int year, month, date, used = 0;
    if (sscanf(day, "%4d-%2d-%2d%n", &year, &month, &date, &used) != 3
        || used != 10 || year < 1970 || month < 1 || month > 12
        || date < 1 || date > 31) return -1;
    if (month <= 2) year--, month += 12;
    return 365L * year + year / 4 - year / 100 + year / 400
         + (153 * (month - 3) + 2) / 5 + date - 719469;
}

long path_due(const struct progress *progress, const char *id)
{
    const struct progress_entry *last = progress_last(progress, id);
    return last ? path_day(last->day) + (last->right ? PATH_GAP : 1)
                : -1;
}

static int is_planned(const struct path_plan *plan,
                      const struct lesson *lesson)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->at[i] == lesson) return 1;
    return 0;
}

static void plan_reviews(struct path_plan *plan,
    const struct lesson_table *const *tables, size_t tables_count,
    const struct progress *progress, long day)
{
    size_t last = tables_count;
    while (plan->count < PATH_REVIEWS) {
        const struct lesson *best = NULL;
        size_t from = tables_count;
        long oldest = 0;
        for (size_t t = 0; t < tables_count; t++)
            for (size_t i = 0; i < tables[t]->count; i++) {
                const struct lesson *lesson = &tables[t]->rows[i];
                long due = path_due(progress, lesson->id);
                if (due < 0 || due > day || is_planned(plan, lesson))
                    continue;
                int better = !best || (from == last && t != last)
                    || (due < oldest && (t != last || from == last));
                if (better) best = lesson, from = t, oldest = due;
            }
        if (!best) return;
        plan->at[plan->count++] = best, plan->reviews++, last = from;
    }
}

struct path_plan path_plan(int number,
    const struct lesson_table *const *tables, size_t tables_count,
    const struct progress *progress, long day)
{
    struct path path = path_of(number, tables, tables_count);
    struct path_plan plan = {0};
    int found = 0;
    plan_reviews(&plan, tables, tables_count, progress, day);
    for (size_t i = 0, end; i < path.count; i = end) {
        int whole = 1;
        for (end = i; end < path.count
             && path.at[end].phase == path.at[i].phase
             && path.at[end].step == path.at[i].step; end++) {
            const struct lesson *lesson = path.at[end].lesson;
            if (progress_last(progress, lesson->id)) continue;
            whole = 0;
            if (!found) plan.at[plan.count++] = lesson;
        }
        found |= !whole, plan.steps++, plan.done += (size_t)whole;
    }
    return plan;
}
