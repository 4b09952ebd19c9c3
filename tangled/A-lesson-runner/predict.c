/* Pose the book's lessons, take predictions, verify and record them. */
#define _POSIX_C_SOURCE 200809L
#define _DARWIN_C_SOURCE /* the window's size, on a Mac */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "args.h"
#include "path.h"
#include "print.h"
#include "random.h"

/* the book's tables */
#define LESSONS(n) extern const struct lesson_table lessons##n;
#include "lessons.inc"
#undef LESSONS

#define LESSONS(n) &lessons##n,
static const struct lesson_table *const chapters[] = {
#include "lessons.inc"
};
enum { CHAPTERS = sizeof chapters / sizeof *chapters };

static struct terminal to;
static struct record_file file;
static struct progress past = {.chapters = chapters,
                               .chapters_count = CHAPTERS};
static struct random dice;
static size_t predictions, lost, seed, plain, only_progress, only_today,
    way = 1;
static const char *wanted;
static int typed; /* by a person, at a terminal */

static const struct args_option options[] = {
    {"LESSON", "a lesson (3.2) or a chapter (3); none: what comes next",
     ARGS_WORD, &wanted, 0, 0, NULL},
    {"--progress", "show what you have done, and how well", ARGS_FLAG,
     &only_progress, 0, 0, NULL},
    {"--today", "what is due today, and the next step of a path",
     ARGS_FLAG, &only_today, 0, 0, NULL},
    {"--path", "of --today", ARGS_COUNT, &way, 1, PATH_PATHS, NULL},
    {"--seed", "0: page's, then new", ARGS_COUNT, &seed, 0, 4294967295,
     NULL},
    {"--plain", "no color, no Unicode (NO_COLOR: no color)", ARGS_FLAG,
     &plain, 0, 0, NULL},
    {0},
};
static void tell(int where, const char *text, size_t length)
{
    while (length) {
        ssize_t wrote = write(where, text, length);
        if (wrote <= 0) return;
        text += wrote, length -= (size_t)wrote;
    }
}

static void interrupted(int signal_number)
{
    static const char left[] = "\033[0m\nLeft. What you predicted is "
        "kept.\n", unwritten[] = "\nLeft. These lines could not be "
        "recorded; here they are:\n";
    size_t skip = to.color ? 0 : 4;
    if (!file.length) tell(1, left + skip, sizeof left - 1 - skip);
    else {
        tell(2, unwritten, sizeof unwritten - 1);
        tell(2, file.waiting, file.length);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}
static int wants_unicode(void)
{
    const char *locale = getenv("LC_ALL");
    if (!locale || !*locale) locale = getenv("LC_CTYPE");
    if (!locale || !*locale) locale = getenv("LANG");
    return locale && (strstr(locale, "UTF-8")
                      || strstr(locale, "utf8"));
}

static void look_at_terminal(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    int shown = isatty(1) && !plain;
    typed = isatty(0);
    to.out = stdout;
    to.unicode = shown && wants_unicode();
    to.color = shown && !(no_color && *no_color)
             && term && strcmp(term, "dumb");
}
static void measure_window(size_t most)
{
    struct winsize size;
    to.columns = most;
    if (!ioctl(1, TIOCGWINSZ, &size) && size.ws_col
        && size.ws_col < most) to.columns = size.ws_col;
    if (to.columns < 20) to.columns = 20;
}
enum { HEARD = 300 };
static char heard[HEARD];
static int again; /* the line was not used yet */

static int read_line(void)
{
    size_t length = 0;
    int c = 0;
    while ((c = getchar()) != EOF && c != '\n')
        if (length < HEARD - 1)
            heard[length++] = c < ' ' && c != '\t' && c != '\r'
                            ? '\1' : (char)c;
    heard[length] = '\0';
    return c != EOF || length;
}
static int hear(void)
{
    printf("> ");
    fflush(stdout);
    int some = again || read_line();
    again = 0;
    if (!typed || !some) printf("%s\n", some ? heard : "");
    return some;
}
static void hand_over(void)
{
    for (size_t i = 0; i < file.length; i++)
        lost += file.waiting[i] == '\n';
    fprintf(stderr, "predict: not recorded; to keep these lines, add "
            "them to %s\n%.*s", *file.path ? file.path : "a file",
            (int)file.length, file.waiting);
    file.length = 0;
}

static void record_or_tell(const char *line)
{
    static int told;
    int error = record_append(&file, line);
    if (error == ENOBUFS) {
        hand_over();
        error = record_append(&file, line);
    }
    if (error && !told)
        fprintf(stderr, "predict: cannot record%s%s: %s. The lesson "
                "goes on; your predictions are kept in memory.\n",
                file.nowhere ? "" : " in ", file.path,
                file.nowhere ? file.nowhere : strerror(error));
    told = error != 0;
}
static void predicted(const struct lesson *lesson, uint64_t problem,
                      struct lesson_answer said,
                      struct lesson_answer right, unsigned hints)
{
    char line[RECORD_LINE];
    struct record record = record_of(time(NULL), lesson, problem, said,
                                     right, hints);
    record_write(line, &record);
    record_or_tell(line);
    predictions++;
}
static uint64_t another_seed(uint64_t last)
{
    for (;;) {
        uint64_t next = 1 + random_below(&dice, 999999);
        if (next != last && next != LESSON_BOOK_SEED) return next;
    }
}

static uint64_t first_seed(const struct lesson *lesson)
{
    if (seed) return seed;
    return progress_last(&past, lesson)
        ? another_seed(LESSON_BOOK_SEED) : LESSON_BOOK_SEED;
}
static enum lesson_heard pose(const struct lesson *lesson,
                              uint64_t from,
                              const struct lesson_problem *problem)
{
    struct lesson_answer said;
    unsigned hints = 0;
    measure_window(72);
    terminal_pose(&to, lesson, from, problem);
    terminal_say(&to, 0, "Predict: %s.", lesson_example(lesson));
    terminal_say(&to, 0, "Or type ? for a hint, r for other numbers, s "
                 "to skip, q to leave.");
    while (hear()) {
        /* do what the line asks for */
        char why[LESSON_WHY] = "";
        enum lesson_heard what = lesson_read(lesson, heard, &said, why);
        if (what == LESSON_ANSWER) {
            predicted(lesson, from, said, problem->right, hints);
            terminal_explain(&to, lesson, problem, said);
            return what;
        }
        if (what == LESSON_UNREADABLE)
            terminal_say(&to, 0, "Not counted: %s. Predict: %s.", why,
                         lesson_example(lesson));
        else if (what != LESSON_HINT) return what;
        else if (terminal_hint(&to, lesson, hints)) hints++;
        else printf("There are no more hints. s skips the lesson.\n");
    }
    return LESSON_LEAVE;
}
static enum lesson_heard what_next(void)
{
    static const struct lesson none = {.kind = LESSON_CHOICE};
    struct lesson_answer unused;
    char why[LESSON_WHY];
    if (typed)
        terminal_say(&to, 0, "\nEnter goes on, r brings other numbers, "
                     "q leaves.");
    while (typed ? hear() : read_line()) {
        enum lesson_heard what = lesson_read(&none, heard, &unused,
                                             why);
        if (what == LESSON_AGAIN || what == LESSON_LEAVE) return what;
        if (!heard[strspn(heard, " \t\r")]) return LESSON_ANSWER;
        if (!typed) return again = 1, LESSON_ANSWER;
        printf("Press Enter, or type r or q.\n");
    }
    return LESSON_LEAVE;
}
static int teach(const struct lesson *lesson)
{
    uint64_t from = first_seed(lesson);
    for (;;) {
        struct lesson_problem problem = lesson_make(lesson, from);
        enum lesson_heard what = pose(lesson, from, &problem);
        lesson_free(&problem);
        if (what == LESSON_ANSWER) what = what_next();
        printf("\n");
        if (what != LESSON_AGAIN) return what != LESSON_LEAVE;
        from = another_seed(from);
    }
}
enum { NOT_DONE, WRONG, RIGHT };

static int is_wanted(const struct lesson *lesson)
{
    size_t length = wanted ? strlen(wanted) : 0;
    if (!length || !strcmp(lesson->id, wanted)) return 1;
    return !strncmp(lesson->id, wanted, length)
        && lesson->id[length] == '.';
}

static int state_of(const struct lesson *lesson)
{
    const struct progress_entry *last = progress_last(&past, lesson);
    return !last ? NOT_DONE : last->right ? RIGHT : WRONG;
}

static int teach_wanted(void)
{
    const char *named = wanted ? wanted : "";
    size_t taught = 0;
    for (int state = NOT_DONE; state <= RIGHT; state++)
        for (size_t c = 0; c < CHAPTERS; c++)
            for (size_t i = 0; i < chapters[c]->count; i++) {
                const struct lesson *lesson = &chapters[c]->rows[i];
                if (!is_wanted(lesson) || state != state_of(lesson))
                    continue;
                if (state == WRONG && strcmp(named, lesson->id))
                    printf("Once more, since your last answer was not "
                           "right:\n\n");
                taught++;
                if (!teach(lesson)) return 1;
            }
    return taught > 0;
}
static void teach_today(void)
{
    long day = (long)(time(NULL) / 86400);
    struct path_plan plan = path_plan((int)way, &past, day);
    measure_window(72);
    path_print(&to, (int)way, &past, day);
    printf("\n");
    for (size_t i = 0; i < plan.count && teach(plan.at[i]); i++) { }
}
static int show_progress(int error)
{
    measure_window(80);
    progress_print(&to, &past);
    if (!past.count) printf("No predictions yet. Type: make predict\n");
    if (past.count || past.strangers)
        printf("%s %s\n", past.count ? "They are in"
               : "These lines are in", file.path);
    if (error)
        fprintf(stderr, "predict: cannot read %s: %s\n",
                file.nowhere ? "the predictions" : file.path,
                file.nowhere ? file.nowhere : strerror(error));
    progress_free(&past);
    return print_end("predict") || error;
}
static int say_goodbye(void)
{
    if (file.length && record_append(&file, "")) hand_over();
    predictions -= lost;
    if (predictions)
        printf("%zu prediction%s recorded. See all: make progress\n",
               predictions, predictions == 1 ? "" : "s");
    else if (lost) printf("No prediction was recorded.\n");
    progress_free(&past);
    return print_end("predict") || lost;
}
static void refuse_second(const struct args *args, int argc,
                          char **argv)
{
    const char *first = NULL;
    for (int i = 1; i < argc; i++) {
        if (*argv[i] == '-' || !strcmp(argv[i - 1], "--seed")
            || !strcmp(argv[i - 1], "--path")) continue;
        if (first)
            args_reject(args, argv[i], "build/predict 3.2", "comes "
                "after %s; allowed is one lesson, or a chapter", first);
        first = argv[i];
    }
}

static void refuse_unknown(const struct args *args)
{
    const struct lesson_table *last = chapters[CHAPTERS - 1];
    args_reject(args, wanted, "build/predict 3.2", "is no lesson and "
        "no chapter; allowed are lessons %s to %s, or their chapters",
        chapters[0]->rows[0].id, last->rows[last->count - 1].id);
}
int main(int argc, char **argv)
{
    const struct args args = {"predict", "predict, then let the "
        "chapter's code verify; keep score", options, NULL};
    refuse_second(&args, argc, argv);
    args_parse(&args, argc, argv);
    signal(SIGINT, interrupted);
    signal(SIGTERM, interrupted);
    signal(SIGXFSZ, SIG_IGN);
    dice = random_seeded(seed ? seed : (uint64_t)time(NULL) << 16
                                       ^ (uint64_t)getpid());
    look_at_terminal();
    record_open(&file, getenv("XDG_STATE_HOME"), getenv("HOME"));
    int error = *file.path ? record_each(&file, &past, progress_take)
                           : ENOENT;
    if (*file.path && error == ENOENT) error = 0;
    progress_settle(&past);
    if (only_progress) return show_progress(error);
    if (only_today && wanted)
        args_reject(&args, wanted, "build/predict --today", "does not "
                    "go with --today, which chooses the lessons");
    if (only_today) teach_today();
    else if (!teach_wanted()) refuse_unknown(&args);
    return say_goodbye();
}
