#include <math.h>
#include <stdarg.h>
#include <string.h>
#include "terminal.h"

static void wrap(const struct terminal *to, size_t margin,
                 const char *text)
{
    size_t at = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (at && at + 1 + word > to->columns)
            at = 0, fputc('\n', to->out);
        at += (size_t)fprintf(to->out, "%*s%.*s",
                              at ? 1 : (int)margin, "",
                              (int)word, text);
        text += word + strspn(text + word, " ");
    }
    fputc('\n', to->out);
}
void terminal_say(const struct terminal *to, size_t margin,
                  const char *format, ...)
{
    char text[1000];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    wrap(to, margin, text);
}
enum { PLAIN = 0, BOLD = 1, GREEN = 32, YELLOW = 33 };

static void paint(const struct terminal *to, int color)
{
    if (to->color) fprintf(to->out, "\033[%dm", color);
}
void terminal_pose(const struct terminal *to,
                   const struct lesson *lesson, uint64_t seed,
                   const struct lesson_problem *problem)
{
    paint(to, BOLD);
    terminal_say(to, 0, "%s  %s", lesson->id, lesson->title);
    paint(to, PLAIN);
    terminal_say(to, 0, "%d minutes, seed %llu%s\n", lesson->minutes,
        (unsigned long long)seed,
        seed == LESSON_BOOK_SEED ? ", as on the page" : "");
    terminal_say(to, 0, "%s\n", lesson->question);
    lesson_draw(to->out, "    ", problem->drawn[0]);
    for (size_t i = 0; i < 6 && lesson->options[i]; i++)
        terminal_say(to, 4, "%zu. %s", i + 1, lesson->options[i]);
    if (lesson->unit)
        terminal_say(to, 0, "\nAnswer in %s.", lesson->unit);
    fputc('\n', to->out);
}
int terminal_hint(const struct terminal *to,
                  const struct lesson *lesson, size_t n)
{
    if (n >= 3 || !lesson->hints[n]) return 0;
    terminal_say(to, 0, "Hint %zu: %s", n + 1, lesson->hints[n]);
    return 1;
}
static void print_distance(FILE *out, double right, double said,
                           double error)
{
    fprintf(out, ", off by ");
    lesson_write(out, fabs(said - right));
    if (right == 0) return;
    if (error < 9.995) {
        fprintf(out, " (%.3g%% of the answer)", 100 * error);
        return;
    }
    fprintf(out, " (");
    lesson_write(out, error);
    fprintf(out, " times the answer)");
}
static void print_verdict(FILE *out, const struct lesson *lesson,
                          struct lesson_answer right,
                          struct lesson_answer said, int passed)
{
    double error = lesson_error(lesson->kind, right, said);
    fprintf(out, passed ? "right" : "not right");
    if (lesson->kind == LESSON_CHOICE) return;
    if (lesson->kind == LESSON_EXPERTS || lesson->kind == LESSON_SET) {
        size_t most = said.count > right.count ? said.count
                                               : right.count;
        if (!passed)
            fprintf(out, ", %.0f of %zu %s", (1 - error) * (double)most,
                    right.count, lesson->kind == LESSON_SET
                    ? "found" : "in place");
    } else if (error >= (passed ? 1e-5 : 0)) {
        print_distance(out, right.value[0], said.value[0], error);
    }
}
static const char *find_mistake(const struct lesson *lesson,
                                const struct lesson_problem *problem,
                                struct lesson_answer said)
{
    for (size_t i = 0; i < 3 && lesson->mistakes[i]; i++) {
        struct lesson_answer wrong = problem->wrong[i];
        double near = fmin(lesson->tolerance,
                           0.02 * fabs(wrong.value[0]));
        if (wrong.count && lesson_passes(near, wrong, said))
            return lesson->mistakes[i];
    }
    return NULL;
}
void terminal_explain(const struct terminal *to,
                      const struct lesson *lesson,
                      const struct lesson_problem *problem,
                      struct lesson_answer said)
{
    struct lesson_answer right = problem->right;
    int passed = lesson_passes(lesson->tolerance, right, said);
    fprintf(to->out, "\nAnswer: ");
    lesson_print(to->out, lesson, right);
    if (lesson->tolerance > 0) {
        fprintf(to->out, to->unicode ? " (±" : " (+-");
        lesson_write(to->out, lesson->tolerance);
        fprintf(to->out, " counts as right)");
    }
    fprintf(to->out, "\nYou said ");
    lesson_print(to->out, lesson, said);
    fprintf(to->out, ": ");
    paint(to, passed ? GREEN : YELLOW);
    print_verdict(to->out, lesson, right, said, passed);
    paint(to, PLAIN);
    fputc('\n', to->out);
    const char *mistake = passed ? NULL
                        : find_mistake(lesson, problem, said);
    if (mistake) terminal_say(to, 0, "%s", mistake);
    fputc('\n', to->out);
    lesson_draw(to->out, "    ", problem->drawn[1]);
}
