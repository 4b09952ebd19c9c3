/* Appendix A: what people type, the file of predictions, and the dialogue, through
 * pipes and through a real pseudo-terminal. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include "check.h"
#include "figures.h"
#include "path.h"
#include "progress.h"

extern const struct lesson_table lessons1, lessons3, lessons5;

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* ---- What people type ---- */

static const struct lesson number = {.id = "1.1", .unit = "rows", .kind = LESSON_NUMBER};
static const struct lesson measured = {.id = "1.5", .tolerance = 0.01, .kind = LESSON_NUMBER};
static const struct lesson share = {.id = "1.4", .unit = "percent", .tolerance = 1, .kind = LESSON_NUMBER};
static const struct lesson experts = {.id = "1.2", .kind = LESSON_EXPERTS};
static const struct lesson set = {.id = "1.6", .kind = LESSON_SET};
static const struct lesson choice = {.id = "1.3", .kind = LESSON_CHOICE, .options = {"a", "b", "c"}};

static void reads(const struct lesson *lesson, const char *line, double value)
{
    struct lesson_answer got = {0, {0}};
    char why[LESSON_WHY] = "";
    int good = lesson_read(lesson, line, &got, why) == LESSON_ANSWER && got.count == 1
        && fabs(got.value[0] - value) <= 1e-15 * fabs(value);
    CU_ASSERT(good);
    if (!good) printf("\n    '%s' was read as %g, %s", line, got.value[0], why);
}

/* Not read, no answer set, and all words of the reason said. */
static void refuses(const struct lesson *lesson, const char *line, const char *reason)
{
    struct lesson_answer got = {7, {0}};
    char why[LESSON_WHY] = "";
    int good = lesson_read(lesson, line, &got, why) == LESSON_UNREADABLE && got.count == 7
        && *why && strstr(why, reason);
    CU_ASSERT(good);
    if (!good) printf("\n    '%s' was read, or refused with '%s'", line, why);
}

static void numbers_as_written(void)
{
    static const struct { const char *line; double value; } read[] = {
        {"0.13", 0.13}, {"13%", 0.13}, {"1/8", 0.125}, {"6.5e-2", 0.065}, {".5", 0.5}, {"5.", 5},
        {"-3", -3}, {"+3", 3}, {" 1 / 8\t\r\n", 0.125}, {"13 %", 0.13},
        {"1E3", 1000}, {"-1/8", -0.125}, {"0", 0}, {"007", 7}, {"1/0.5", 2},
        {"25600", 25600}, {"1e-400", 0},
    };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) reads(&measured, read[i].line, read[i].value);
    static const char *const units[] = {"150 rows", "150rows", "150 row", "150 Rows", "150"};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) reads(&number, units[i], 150);
}

/* As the page prints them, 16,384, and as they are worked out. */
static void thousands_and_products(void)
{
    static const struct { const char *line; double value; } read[] = {
        {"25,600", 25600}, {"25 600", 25600}, {"16,384", 16384}, {"1,125", 1125}, {"-1,125", -1125},
        {"1,234,567", 1234567}, {"1 234 567", 1234567}, {"1,234.5", 1234.5}, {"25,600 rows", 25600},
        {"25 600rows", 25600}, {"4*40*160", 25600}, {"4 * 40 * 160 rows", 25600}, {"3*4/12", 1},
        {"1,280*20", 25600}, {"51,200/2", 25600}, {"51 200 / 2", 25600}, {"2*12,800", 25600},
        {"-2*3", -6}, {"100,000,000,000", 1e11}, {"999,999", 999999},
    };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) reads(&number, read[i].line, read[i].value);
    static const char *const comma[] = {"0,13", "0,125", "1,5", "25,60", "25,6000", "1234,567", "25,600,1",
        "1.234,5", "25 600,5", ",5", "1,", "1,234,56", "1e3,000", "0,000"};
    for (size_t i = 0; i < sizeof comma / sizeof *comma; i++) {
        refuses(&number, comma[i], "a fraction has a point");
        refuses(&measured, comma[i], "a fraction has a point");
    }
    static const char *const two[] = {"1 2", "25 60", "1234 567", "0 125", "0.123 456", "25  600", "1 234,567"};
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        struct lesson_answer got;
        char why[LESSON_WHY];
        CU_ASSERT(lesson_read(&number, two[i], &got, why) == LESSON_UNREADABLE);
        CU_ASSERT(lesson_read(&measured, two[i], &got, why) == LESSON_UNREADABLE);
    }
    /* Where something is measured, one comma could be either. */
    refuses(&measured, "1,125", "1,125 could be 1125 or 1.125");
    refuses(&measured, "2*25,600", "25,600 could be 25600 or 25.600");
    reads(&measured, "1 125", 1125);
    reads(&measured, "1,234,567", 1234567);
    reads(&measured, "1,125.5", 1125.5);
    refuses(&number, "1/8/2", "one number ends a fraction");
    refuses(&number, "3/2*4", "one number ends a fraction");
    refuses(&number, "1/8%", "one number ends a fraction");
    refuses(&number, "2*", "no number");
    refuses(&number, "*2", "no number");
    refuses(&number, "2**3", "no number");
    refuses(&measured, "1e300*1e300", "too large");
}

/* Where percent are asked for, 13% is 13, and a share is asked back. */
static void percent(void)
{
    static const char *const same[] = {"13", "13%", "13 %", "13 percent", "26/2", "13.0"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) reads(&share, same[i], 13);
    refuses(&share, "0.673", "0.673 percent or 67.3 percent? Type 0.673% or 67.3%");
    refuses(&share, "8/16", "0.5 percent or 50 percent?");
    refuses(&share, "1", "1 percent or 100 percent?");
    refuses(&share, "-0.5", "-0.5 percent or -50 percent?");
    reads(&share, "0.673%", 0.673);
    reads(&share, "0.673 percent", 0.673);
    reads(&share, "1%", 1);
    reads(&share, "1.01", 1.01);
    reads(&share, "0", 0);
    reads(&share, "-3", -3);
    reads(&measured, "67.3%", 0.673);
    /* What is counted has no shares. */
    refuses(&number, "50%", "the answer is in rows");
    refuses(&number, "1/8", "the answer is in rows");
    refuses(&number, "0.999", "the answer is in rows");
    reads(&number, "0", 0);
    reads(&number, "12.5", 12.5);
}

/* What the prompt offers, the lesson takes. */
static void examples(void)
{
    static const struct lesson nats = {.unit = "nats", .tolerance = 0.01, .kind = LESSON_NUMBER};
    const struct lesson *const all[] = {&number, &measured, &share, &nats};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[200], *at;
        snprintf(text, sizeof text, "%s", lesson_example(all[i]));
        CU_ASSERT_PTR_NOT_NULL_FATAL((at = strstr(text, "such as ")));
        at += strlen("such as ");
        size_t shown = 0;
        for (char *end; at; at = end ? end + 2 + 2 * (*end == ' ') : NULL, shown++) {
            char *comma = strstr(at, ", "), *or = strstr(at, " or ");
            end = comma ? comma : or;
            char one[40];
            snprintf(one, sizeof one, "%.*s", (int)(end ? (size_t)(end - at) : strlen(at)), at);
            struct lesson_answer got;
            char why[LESSON_WHY];
            int good = lesson_read(all[i], one, &got, why) == LESSON_ANSWER;
            CU_ASSERT(good);
            if (!good) printf("\n    '%s' is offered and refused: %s", one, why);
        }
        CU_ASSERT(shown >= 2);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(lesson_example(&experts), "in order"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lesson_example(&set), "any order"));
}

static void not_numbers(void)
{
    static const char *const bad[] = {
        "", " ", "x", "nan", "inf", "-inf", "infinity", "0x10", "1e999", "-1e999",
        "1/", "/8", "1/0", "1/-8", "1//8", "13%%", "1e", "1e+", "--1",
        "+-1", ".", "-", "e5", "1.2.3", "150 rowss", "150 rows rows", "1_000", "ln 3", "1e300/1e-300",
        "\1", "1\1", "rr", "??", "quit now", "\xc2\xbd", "13% rows", "150 ro",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuses(&number, bad[i], "");
        refuses(&measured, bad[i], "");
        refuses(&share, bad[i], "");
    }
    char long_line[2000];
    memset(long_line, '1', sizeof long_line);
    long_line[sizeof long_line - 1] = '\0';
    refuses(&number, long_line, "too long");
}

static void experts_and_choices(void)
{
    struct lesson_answer got;
    char why[LESSON_WHY];
    static const char *const same[] = {"2 0 11", "2,0,11", "2, 0 , 11", "  02 0 011 \n"};
    for (size_t i = 0; i < 4; i++) {
        CU_ASSERT(lesson_read(&experts, same[i], &got, why) == LESSON_ANSWER);
        CU_ASSERT(got.count == 3 && got.value[0] == 2 && got.value[1] == 0 && got.value[2] == 11);
        CU_ASSERT(lesson_read(&set, same[i], &got, why) == LESSON_ANSWER);
        CU_ASSERT(got.count == 3 && got.value[0] == 0 && got.value[1] == 2 && got.value[2] == 11);
    }
    CU_ASSERT(lesson_read(&experts, "0 1 2 3 4 5 6 7", &got, why) == LESSON_ANSWER && got.count == 8);
    CU_ASSERT(lesson_read(&experts, "2 2", &got, why) == LESSON_ANSWER && got.count == 2);
    refuses(&set, "2 2", "named twice");
    refuses(&set, "0 2 1 2", "named twice");
    static const char *const bad[] = {"", "x", "2x", "2 x", "-1", "2.0", "2,", ",2", "2,,0", "1000000",
        "2 0 x", "2/0"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        refuses(&experts, bad[i], "whole numbers");
        refuses(&set, bad[i], "whole numbers");
    }
    refuses(&experts, "0 1 2 3 4 5 6 7 8", "more than 8");
    CU_ASSERT(lesson_read(&choice, " 3 ", &got, why) == LESSON_ANSWER && got.value[0] == 3);
    static const char *const none[] = {"0", "4", "a", "1.", "1 2", "11", "-1", "1)", ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) refuses(&choice, none[i], "from 1 to 3");
}

static void commands(void)
{
    static const struct { const char *line; enum lesson_heard heard; } command[] = {
        {"r", LESSON_AGAIN}, {"R\n", LESSON_AGAIN}, {"?", LESSON_HINT}, {" s ", LESSON_SKIP},
        {"q\r\n", LESSON_LEAVE},
    };
    const struct lesson *const all[] = {&number, &experts, &set, &choice};
    struct lesson_answer got;
    char why[LESSON_WHY];
    for (size_t i = 0; i < sizeof command / sizeof *command; i++)
        for (size_t l = 0; l < sizeof all / sizeof *all; l++)
            CU_ASSERT(lesson_read(all[l], command[i].line, &got, why) == command[i].heard);
}

static struct lesson_answer values(size_t count, double a, double b, double c)
{
    return (struct lesson_answer){count, {a, b, c}};
}

static void judging(void)
{
    CU_ASSERT(lesson_passes(0.005, lesson_value(0.125), lesson_value(0.13)));
    CU_ASSERT(lesson_passes(0.1, lesson_value(0.3), lesson_value(0.2)));
    CU_ASSERT(!lesson_passes(0.005, lesson_value(0.125), lesson_value(0.1301)));
    CU_ASSERT(!lesson_passes(0, lesson_value(1e6), lesson_value(1e6 + 1)));
    CU_ASSERT(lesson_passes(0, values(2, 2, 0, 0), values(2, 2, 0, 0)));
    CU_ASSERT(!lesson_passes(0, values(2, 2, 0, 0), values(2, 0, 2, 0)));
    CU_ASSERT(!lesson_passes(9, values(2, 2, 0, 0), values(1, 2, 0, 0)));
    CU_ASSERT(!lesson_passes(9, values(1, 2, 0, 0), values(2, 2, 0, 0)));
    CU_ASSERT_EQUAL(lesson_error(LESSON_NUMBER, lesson_value(4), lesson_value(5)), 0.25);
    CU_ASSERT_EQUAL(lesson_error(LESSON_NUMBER, lesson_value(-4), lesson_value(4)), 2);
    CU_ASSERT_EQUAL(lesson_error(LESSON_CONSTANT, lesson_value(0), lesson_value(0.001)), 1);
    CU_ASSERT_EQUAL(lesson_error(LESSON_NUMBER, lesson_value(0), lesson_value(0)), 0);
    CU_ASSERT_EQUAL(lesson_error(LESSON_CHOICE, lesson_value(1), lesson_value(3)), 1);
    CU_ASSERT_EQUAL(lesson_error(LESSON_CHOICE, lesson_value(3), lesson_value(3)), 0);
    CU_ASSERT_EQUAL(lesson_error(LESSON_EXPERTS, values(2, 1, 2, 0), values(2, 1, 3, 0)), 0.5);
    CU_ASSERT_EQUAL(lesson_error(LESSON_EXPERTS, values(1, 1, 0, 0), values(2, 1, 3, 0)), 0.5);
    CU_ASSERT_EQUAL(lesson_error(LESSON_EXPERTS, values(2, 1, 2, 0), values(2, 2, 3, 0)), 1);
    CU_ASSERT_EQUAL(lesson_error(LESSON_SET, values(2, 1, 2, 0), values(2, 2, 3, 0)), 0.5);
    CU_ASSERT_EQUAL(lesson_error(LESSON_SET, values(1, 1, 0, 0), values(2, 0, 1, 0)), 0.5);
    CU_ASSERT_EQUAL(lesson_error(LESSON_SET, values(3, 1, 2, 3), values(3, 1, 2, 3)), 0);
}

/* ---- What is said about an answer ---- */

/* What the terminal says about `said`, where 1400 and a half would be mistakes. */
static void explains(const struct lesson *lesson, struct lesson_answer right, struct lesson_answer said,
                     const char *words, int there)
{
    struct lesson_problem problem = {.right = right, .drawn = {"", ""}};
    problem.wrong[0] = lesson_value(lesson->tolerance > 0 ? 0.5 : 1400);
    char text[2000] = "";
    FILE *page = fmemopen(text, sizeof text, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(page);
    struct terminal to = {page, 80, 0, 0};
    terminal_explain(&to, lesson, &problem, said);
    fclose(page);
    int good = (strstr(text, words) != NULL) == there;
    CU_ASSERT(good);
    if (!good) printf("\n    '%s' %s in: %s", words, there ? "is not" : "is", text);
}

static void explaining(void)
{
    const struct lesson choices = {.unit = "choices", .kind = LESSON_NUMBER};
    explains(&choices, lesson_value(1), lesson_value(12), "Answer: 1 choice\n", 1);
    explains(&choices, lesson_value(1), lesson_value(12), "You said 12 choices: not right, off by 11 "
             "(11 times the answer)\n", 1);
    explains(&choices, lesson_value(12), lesson_value(1), "You said 1 choice: not right, off by 11 (91.7%", 1);
    explains(&choices, lesson_value(25600), lesson_value(307200), "off by 281600 (11 times the answer)\n", 1);
    explains(&choices, lesson_value(25600), lesson_value(281600), "off by 256000 (10 times the answer)\n", 1);
    explains(&choices, lesson_value(1), lesson_value(1e9), "off by 999999999 (999999999 times", 1);
    explains(&choices, lesson_value(4), lesson_value(50), "off by 46 (11.5 times the answer)\n", 1);
    explains(&choices, lesson_value(4), lesson_value(1e300), "You said 1e+300 choices", 1);
    explains(&choices, lesson_value(0), lesson_value(5), "not right, off by 5\n", 1);
    explains(&share, lesson_value(1), lesson_value(5), "Answer: 1 percent (+-1 counts as right)\n", 1);
    explains(&measured, lesson_value(12345.678), lesson_value(12345.6), "Answer: 12345.7 (+-0.01", 1);
    explains(&measured, lesson_value(-0.0), lesson_value(0), "Answer: 0 (", 1);
    explains(&measured, lesson_value(0.5), lesson_value(0.50001), ": right, off by 1e-05", 1);
    explains(&measured, lesson_value(0.5), lesson_value(0.5000001), ": right\n", 1);
    explains(&experts, values(3, 1, 2, 3), values(3, 3, 2, 1), "not right, 1 of 3 in place\n", 1);
    explains(&set, values(3, 1, 2, 3), values(3, 1, 2, 3), "1 2 3: right\n", 1);
    explains(&set, values(3, 1, 2, 3), values(3, 0, 2, 3), "not right, 2 of 3 found\n", 1);
    explains(&set, values(3, 1, 2, 3), values(2, 1, 3, 0), "not right, 2 of 3 found\n", 1);

    /* A mistake is named if it was made, not if it is near a measured answer. */
    const struct lesson coins = {.tolerance = 0.1, .mistakes = {"Coin flips."}};
    explains(&coins, lesson_value(0.72), lesson_value(0.5), "Coin flips.", 1);
    explains(&coins, lesson_value(0.72), lesson_value(0.505), "Coin flips.", 1);
    explains(&coins, lesson_value(0.72), lesson_value(0.6), "Coin flips.", 0);
    explains(&coins, lesson_value(0.72), lesson_value(0.45), "Coin flips.", 0);
    const struct lesson slots = {.mistakes = {"Rounded down."}};
    explains(&slots, lesson_value(1500), lesson_value(1400), "Rounded down.", 1);
    explains(&slots, lesson_value(1500), lesson_value(1401), "Rounded down.", 0);
}

static void corpus(void)
{
    glob_t files;
    CU_ASSERT_EQUAL_FATAL(glob("tests/corpus/*", 0, NULL, &files), 0);
    CU_ASSERT(files.gl_pathc >= 20);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        unsigned char data[4096];
        FILE *file = fopen(files.gl_pathv[i], "rb");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        CU_ASSERT_EQUAL(LLVMFuzzerTestOneInput(data, size), 0); /* aborts if a promise breaks */
    }
    globfree(&files);
}

/* ---- The file of predictions ---- */

static char folder[64]; /* a scratch folder of each case */

static void in_folder(const char *command)
{
    char line[1200];
    snprintf(line, sizeof line, "cd %s && %s", folder, command);
    struct check_output got = check_run(line);
    CU_ASSERT_EQUAL(got.status, 0);
    check_free(&got);
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/tokens.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void remove_folder(void)
{
    char line[100];
    snprintf(line, sizeof line, "rm -rf %s", folder);
    struct check_output got = check_run(line);
    CU_ASSERT_EQUAL(got.status, 0);
    check_free(&got);
}

static const char line_of[] =
    "2026-05-01T18:00:00Z 3.1 seed 7 number 0.875 was 0.125 within 0.005 hints 2";

static void records_are_lines(void)
{
    struct record record = {.time = "2026-05-01T18:00:00Z", .id = "3.2", .seed = UINT64_MAX,
        .kind = LESSON_EXPERTS, .said = {8, {0, 1, 2, 3, 4, 5, 6, 999}}, .right = {1, {3}},
        .tolerance = 0, .hints = 3}, read;
    char line[RECORD_LINE];
    record_write(line, &record);
    CU_ASSERT_STRING_EQUAL(line, "2026-05-01T18:00:00Z 3.2 seed 18446744073709551615 experts "
        "0,1,2,3,4,5,6,999 was 3 within 0 hints 3\n");
    line[strlen(line) - 1] = '\0';
    CU_ASSERT_FATAL(record_read(&read, line));
    CU_ASSERT(read.seed == UINT64_MAX && read.kind == LESSON_EXPERTS && read.hints == 3);
    CU_ASSERT(read.said.count == 8 && read.said.value[7] == 999 && read.right.value[0] == 3);
    CU_ASSERT_FATAL(record_read(&read, line_of));
    CU_ASSERT(!strcmp(read.id, "3.1") && read.seed == 7 && read.kind == LESSON_NUMBER);
    CU_ASSERT(read.said.value[0] == 0.875 && read.right.value[0] == 0.125);
    CU_ASSERT(read.tolerance == 0.005 && read.hints == 2);
    for (size_t cut = 0; cut + 1 < sizeof line_of; cut++) {
        snprintf(line, sizeof line, "%.*s", (int)cut, line_of);
        CU_ASSERT(!record_read(&read, line));
    }
    static const char *const strange[] = {
        "rubbish", " ", "2026-05-01T18:00:00Z 3.1 seed 7 number 0.875 was 0.125 within 0.005 hints 2 ",
        "2026-05-01 18:00:00Z 3.1 seed 7 number 1 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed -7 number 1 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 guess 1 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 choice 1.5 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 number nan was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 number 1 was 1 within -1 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 number 1,2 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z  3.1 seed 7 number 1 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3/1 seed 7 number 1 was 1 within 0 hints 2",
        "2026-05-01T18:00:00Z 3.1 seed 7 number 1 was 1 within 0 hints 2\r",
    };
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
        CU_ASSERT(!record_read(&read, strange[i]));
    record.kind = LESSON_SET;
    record_write(line, &record);
    line[strlen(line) - 1] = '\0';
    CU_ASSERT(strstr(line, " set 0,1,2") && record_read(&read, line) && read.kind == LESSON_SET);
    record.said.value[7] = 6;
    record_write(line, &record);
    line[strlen(line) - 1] = '\0';
    CU_ASSERT(!record_read(&read, line)); /* no set */
}

static void record_paths(void)
{
    static struct record_file file;
    record_open(&file, "/a", "/b");
    CU_ASSERT_STRING_EQUAL(file.path, "/a/where-tokens-go/predictions");
    record_open(&file, "", "/b");
    CU_ASSERT_STRING_EQUAL(file.path, "/b/.local/state/where-tokens-go/predictions");
    record_open(&file, "relative", "/b");
    CU_ASSERT_STRING_EQUAL(file.path, "/b/.local/state/where-tokens-go/predictions");
    record_open(&file, NULL, "/b");
    CU_ASSERT_STRING_EQUAL(file.path, "/b/.local/state/where-tokens-go/predictions");
    CU_ASSERT_PTR_NULL(file.nowhere);
    static const char *const homes[] = {NULL, "", "relative", "./here"};
    for (size_t i = 0; i < 4; i++) {
        record_open(&file, homes[i], homes[i]);
        CU_ASSERT_STRING_EQUAL(file.path, "");
        CU_ASSERT(file.nowhere && strstr(file.nowhere, "absolute"));
    }
    CU_ASSERT_EQUAL(record_append(&file, "kept\n"), ENOENT);
    CU_ASSERT(file.length == 5 && !memcmp(file.waiting, "kept\n", 5));
    char long_path[6000];
    memset(long_path, '/', sizeof long_path);
    long_path[sizeof long_path - 1] = '\0';
    record_open(&file, long_path, "/b"); /* not elsewhere than was asked */
    CU_ASSERT(!*file.path && file.nowhere && strstr(file.nowhere, "XDG_STATE_HOME is too long"));
    record_open(&file, NULL, long_path);
    CU_ASSERT(!*file.path && file.nowhere && strstr(file.nowhere, "HOME is too long"));
}

struct lines { size_t count, good, numbers; };

static void count_line(void *context, size_t number_of, const char *line)
{
    struct lines *lines = context;
    struct record record;
    lines->count++;
    lines->numbers += number_of;
    lines->good += (size_t)record_read(&record, line);
}

static struct lines lines_in(const struct record_file *file)
{
    struct lines lines = {0, 0, 0};
    CU_ASSERT_EQUAL(record_each(file, &lines, count_line), 0);
    return lines;
}

static const char whole[] =
    "2026-05-01T18:00:00Z 3.1 seed 7 number 0.875 was 0.125 within 0.005 hints 2\n";

static void appending(void)
{
    static struct record_file file;
    struct lines none = {0, 0, 0};
    make_folder();
    record_open(&file, folder, NULL);
    CU_ASSERT_EQUAL(record_each(&file, &none, count_line), ENOENT);
    for (int i = 0; i < 3; i++) CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    CU_ASSERT(file.length == 0 && lines_in(&file).good == 3);

    /* A torn line, a foreign one with zero bytes, one without end: all survive. */
    in_folder("printf '2026-05-01T18:0' >>where-tokens-go/predictions");
    CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    struct lines lines = lines_in(&file);
    CU_ASSERT(lines.count == 5 && lines.good == 4 && lines.numbers == 15);
    in_folder("{ head -c 5000 /dev/zero; head -c 9000 /dev/urandom | tr '\\n' x; echo; } "
              ">>where-tokens-go/predictions");
    CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    lines = lines_in(&file);
    CU_ASSERT(lines.count == 7 && lines.good == 5);
    remove_folder();
}

/* As editors elsewhere leave a file: a mark in front, carriage returns, both. */
static void other_editors(void)
{
    static struct record_file file;
    static const char *const ways[] = {
        "sed 's/$/\\r/' plain", "{ printf '\\357\\273\\277'; cat plain; }",
        "{ printf '\\357\\273\\277'; sed 's/$/\\r/' plain; }",
        "{ printf '\\357\\273\\277\\r\\n\\r\\n'; cat plain; }", "{ sed 's/$/\\r/' plain | head -c -1; }",
        "{ head -c -1 plain; printf '\\r'; }"};
    make_folder();
    record_open(&file, folder, NULL);
    for (int i = 0; i < 2; i++) CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    in_folder("mv where-tokens-go/predictions plain");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char command[200];
        snprintf(command, sizeof command, "%s >where-tokens-go/predictions", ways[i]);
        in_folder(command);
        struct lines lines = lines_in(&file);
        CU_ASSERT(lines.count == 2 && lines.good == 2);
        CU_ASSERT_EQUAL(record_append(&file, whole), 0);
        CU_ASSERT_EQUAL(lines_in(&file).good, 3);
    }
    /* Elsewhere than there they are no part of a record. */
    in_folder("{ printf '\\n\\357\\273\\277'; cat plain; sed 's/$/\\r\\r/' plain; } >where-tokens-go/predictions");
    struct lines lines = lines_in(&file);
    CU_ASSERT(lines.count == 4 && lines.good == 1);
    remove_folder();
}

/* What cannot be written waits, and is written when it can. */
static void full_disk(void)
{
    static struct record_file file;
    make_folder();
    record_open(&file, folder, NULL);
    in_folder("mkdir where-tokens-go && ln -s /dev/full where-tokens-go/predictions");
    CU_ASSERT_EQUAL(record_append(&file, whole), ENOSPC);
    CU_ASSERT_EQUAL(record_append(&file, whole), ENOSPC);
    CU_ASSERT_EQUAL(file.length, 2 * strlen(whole));
    in_folder("rm where-tokens-go/predictions");
    CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    CU_ASSERT(file.length == 0 && lines_in(&file).good == 3);
    remove_folder();
}

/* Three lines to a disk that takes `room` bytes, then to one that takes more: in
 * a child, since the limit would stay. */
static int write_with_room(size_t room)
{
    static struct record_file file;
    struct rlimit limit;
    record_open(&file, folder, NULL);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = room;
    setrlimit(RLIMIT_FSIZE, &limit);
    int good = (record_append(&file, whole) == 0) == (room >= strlen(whole));
    good &= record_append(&file, whole) != 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_FSIZE, &limit);
    good &= record_append(&file, whole) == 0 && file.length == 0;
    return good;
}

static void half_a_line(void)
{
    for (size_t room = 0; room < 2 * strlen(whole); room += room % 7 == 5 || CHECK_QUICK ? 9 : 1) {
        static struct record_file file;
        make_folder();
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) _exit(!write_with_room(room));
        int status = 1;
        waitpid(child, &status, 0);
        CU_ASSERT_EQUAL(status, 0);
        record_open(&file, folder, NULL);
        struct lines lines = lines_in(&file);
        int good = lines.good == 3 && lines.count <= 5;
        CU_ASSERT(good); /* no line lost, none twice */
        if (!good) printf("\n    room for %zu: %zu of %zu lines", room, lines.good, lines.count);
        remove_folder();
    }
}

/* Root may write everywhere, so the parent of the path is a file; and what the
 * path leads to may be a folder or a pipe. */
static void no_place_to_write(void)
{
    static struct record_file file;
    char state[100];
    make_folder();
    in_folder("touch taken");
    snprintf(state, sizeof state, "%s/taken", folder);
    record_open(&file, state, NULL);
    CU_ASSERT_EQUAL(record_append(&file, whole), ENOTDIR);
    in_folder("mkdir -p a/where-tokens-go/predictions b/where-tokens-go && mkfifo b/where-tokens-go/predictions");
    struct lines lines = {0, 0, 0};
    snprintf(state, sizeof state, "%s/a", folder);
    record_open(&file, state, NULL);
    CU_ASSERT_EQUAL(record_append(&file, whole), EISDIR);
    CU_ASSERT_EQUAL(record_each(&file, &lines, count_line), EISDIR);
    snprintf(state, sizeof state, "%s/b", folder);
    record_open(&file, state, NULL);
    CU_ASSERT_EQUAL(record_append(&file, whole), EINVAL);
    CU_ASSERT_EQUAL(record_each(&file, &lines, count_line), EINVAL);
    CU_ASSERT_EQUAL(file.length, strlen(whole));
    for (size_t i = 0; i < RECORD_WAITING / strlen(whole) + 2; i++) record_append(&file, whole);
    size_t waiting = file.length;
    CU_ASSERT_EQUAL(record_append(&file, whole), ENOBUFS);
    CU_ASSERT(file.length == waiting && waiting <= RECORD_WAITING);
    /* Full, but now there is a place: all are written, and the new one is taken. */
    in_folder("rm b/where-tokens-go/predictions");
    CU_ASSERT_EQUAL(record_append(&file, whole), 0);
    CU_ASSERT_EQUAL(lines_in(&file).good, waiting / strlen(whole) + 1);
    remove_folder();
}

static void two_writers(void)
{
    enum { WRITERS = 4, LINES = 200 };
    static struct record_file file;
    pid_t child[WRITERS];
    make_folder();
    record_open(&file, folder, NULL);
    fflush(NULL);
    for (int w = 0; w < WRITERS; w++) {
        child[w] = fork();
        if (child[w]) continue;
        int bad = 0;
        for (int i = 0; i < LINES; i++) bad |= record_append(&file, whole);
        _exit(bad != 0);
    }
    for (int w = 0; w < WRITERS; w++) {
        int status = 1;
        waitpid(child[w], &status, 0);
        CU_ASSERT_EQUAL(status, 0);
    }
    struct lines lines = lines_in(&file);
    CU_ASSERT(lines.good == WRITERS * LINES && lines.count == lines.good);
    remove_folder();
}

/* ---- Through pipes ---- */

/* `input` (a printf format of the shell) into the program; no terminal. */
static struct check_output predict(const char *input, const char *arguments)
{
    char command[900];
    snprintf(command, sizeof command, "printf '%s' | XDG_STATE_HOME=%s %s/predict %s", input, folder,
             CHECK_BUILD, arguments);
    return check_run(command);
}

/* Chapter 3's answers at the book's seed, from 0 on, as they are typed or recorded. */
static const char *answer3(size_t i, char between)
{
    static char texts[8][80];
    static size_t used;
    char *text = texts[used++ % 8];
    struct lesson_problem problem = lesson_make(&lessons3.rows[i], LESSON_BOOK_SEED);
    size_t n = 0;
    for (size_t k = 0; k < problem.right.count; k++) {
        if (k) text[n++] = between;
        n += (size_t)snprintf(text + n, 20, "%.10g", problem.right.value[k]);
    }
    lesson_free(&problem);
    return text;
}

/* Lines to type: a printf format of answers. */
static const char *typing(const char *format, const char *one, const char *two)
{
    static char text[300];
    snprintf(text, sizeof text, format, one, two);
    return text;
}

static size_t recorded(void)
{
    static struct record_file file;
    struct lines lines = {0, 0, 0};
    record_open(&file, folder, NULL);
    record_each(&file, &lines, count_line);
    CU_ASSERT_EQUAL(lines.good, lines.count);
    return lines.good;
}

static size_t times(const char *text, const char *part)
{
    size_t count = 0;
    while ((text = strstr(text, part))) count++, text += strlen(part);
    return count;
}

static void says(const struct check_output *got, const char *words)
{
    int good = strstr(got->out, words) != NULL;
    CU_ASSERT(good);
    if (!good) printf("\n    does not say '%s':\n%s\n%s", words, got->out, got->err);
}

static void answers_from_a_pipe(void)
{
    make_folder();
    char all[400] = "", told[40];
    for (size_t i = 0; i < lessons3.count; i++) strcat(strcat(all, answer3(i, ' ')), "\n");
    struct check_output got = predict(all, "3");
    CU_ASSERT_EQUAL(got.status, 0);
    CU_ASSERT_EQUAL(times(got.out, ": right"), lessons3.count);
    CU_ASSERT_EQUAL(times(got.out, ", as on the page"), lessons3.count);
    CU_ASSERT(!strchr(got.out, '\033') && !*got.err);
    snprintf(told, sizeof told, "%zu predictions recorded", lessons3.count);
    says(&got, told);
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), lessons3.count);

    /* Known by now: other numbers than the page's. */
    got = predict("", "3.1");
    CU_ASSERT(!strstr(got.out, "as on the page"));
    CU_ASSERT_EQUAL(got.status, 0);
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), lessons3.count);

    /* One seed, one problem. */
    struct check_output one = predict("r\nr\nq\n", "3.1 --seed 7"), two = predict("r\nr\nq\n", "--seed=7 3.1");
    CU_ASSERT_STRING_EQUAL(one.out, two.out);
    CU_ASSERT_EQUAL(times(one.out, "minutes, seed "), 3);
    CU_ASSERT_EQUAL(times(one.out, "minutes, seed 7\n"), 1); /* r: other numbers */
    check_free(&one), check_free(&two);
    remove_folder();
}

static void dialogue(void)
{
    make_folder();
    struct check_output got = predict("nonsense\n\n?\n?\n?\n?\n7/8", "3.1 --seed 1");
    CU_ASSERT_EQUAL(times(got.out, "Not counted: that is no number. Predict: a"), 2);
    CU_ASSERT_EQUAL(times(got.out, "Hint "), 3);
    says(&got, "There are no more hints");
    says(&got, "You said 0.875: not right, off by 0.75 (600% of the answer)\n");
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), 1); /* the last line had no end */

    got = predict("s\nq\n0.5\n", "3");
    CU_ASSERT_EQUAL(times(got.out, "Predict: "), 2);
    CU_ASSERT(got.status == 0 && !strstr(got.out, "recorded"));
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), 1);

    /* After an answer: r for other numbers, else the next question's answer. */
    got = predict(typing("%s\nr\ns\n%s\nq\n", answer3(1, ' '), answer3(2, ' ')), "3 --seed 1");
    CU_ASSERT_EQUAL(times(got.out, "3.2 Switch"), 2);
    CU_ASSERT_EQUAL(times(got.out, ": right"), 2);
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), 3);

    /* Anything may come through a pipe. */
    got = predict("\\000\\001\\377\\n0.125\\000\\n", "3.1 --seed 1");
    CU_ASSERT(got.status == 0 && times(got.out, "Not counted: ") == 2);
    check_free(&got);
    char command[300];
    snprintf(command, sizeof command, "head -c 100000 /dev/urandom | XDG_STATE_HOME=%s/x %s/predict 3",
             folder, CHECK_BUILD);
    got = check_run(command);
    CU_ASSERT_EQUAL(got.status, 0);
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), 3);
    remove_folder();
}

static void bad_arguments(void)
{
    static const char *const bad[] = {"9", "3.9", "x", "3 4", "3.", "--seed", "--seed x", "--seed -1",
        "--plain=1", "--progress=1", "3.1 3.9", "--values", "--lessons", "--data x", "-h", "''", "LESSON"};
    make_folder();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct check_output got = predict("", bad[i]);
        int good = got.status == 2 && !*got.out && strstr(got.err, "(try ");
        CU_ASSERT(good);
        if (!good) printf("\n    predict %s: exit %d\n%s%s", bad[i], got.status, got.out, got.err);
        check_free(&got);
    }
    static const char *const two[] = {"3.2 3.3", "3.2 --seed 4 3.3", "--seed 4 3.2 --plain 3.3", "3.2 3.3 3.4"};
    for (size_t i = 0; i < sizeof two / sizeof *two; i++) {
        struct check_output twice = predict("", two[i]);
        CU_ASSERT(twice.status == 2 && strstr(twice.err, "3.3 comes after 3.2"));
        check_free(&twice);
    }
    struct check_output got = predict("", "--help");
    CU_ASSERT(got.status == 0 && !*got.err);
    static const char *const named[] = {"LESSON", "--progress", "--seed", "--plain", "--help"};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) says(&got, named[i]);
    for (char *line = got.out, *end; (end = strchr(line, '\n')); line = end + 1)
        CU_ASSERT(end - line <= 80);
    check_free(&got);
    remove_folder();
}

/* The record is in the file before the answer is on the screen: with both in
 * one file and nothing buffered, their order shows. */
static void recorded_before_shown(void)
{
    if (CHECK_QUICK) return; /* stdbuf and the sanitizers preload each other */
    char command[600];
    make_folder();
    snprintf(command, sizeof command, "cd %s && mkdir where-tokens-go && : >both && "
        "ln -s ../both where-tokens-go/predictions && cd \"$OLDPWD\" && "
        "echo 0.125 | XDG_STATE_HOME=%s stdbuf -o0 %s/predict 3.1 --seed 1 >>%s/both; cat %s/both",
        folder, folder, CHECK_BUILD, folder, folder);
    struct check_output got = check_run(command);
    const char *record = strstr(got.out, "number 0.125 was 0.125"), *shown = strstr(got.out, "Answer:");
    CU_ASSERT(record && shown && record < shown);
    check_free(&got);
    remove_folder();
}

static void nothing_blocks(void)
{
    char command[600];
    make_folder();
    in_folder("touch taken && mkdir -p full/where-tokens-go && ln -s /dev/full full/where-tokens-go/predictions");
    static const struct { const char *env, *why; } homes[] = {
        {"env -u XDG_STATE_HOME -u HOME", "neither XDG_STATE_HOME nor HOME is an absolute path"},
        {"env -u XDG_STATE_HOME HOME=here", "neither XDG_STATE_HOME nor HOME is an absolute path"},
        {"env XDG_STATE_HOME=%s/taken", "Not a directory"}, {"env XDG_STATE_HOME=%s/full", "No space"},
        {"env -u XDG_STATE_HOME HOME=/proc/none", "No such file"},
        {"env XDG_STATE_HOME=/$(printf %%05000d 0)", "XDG_STATE_HOME is too long"}};
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++) {
        char env[200];
        snprintf(env, sizeof env, homes[i].env, folder);
        snprintf(command, sizeof command, "printf '0.125\\n%s\\n' | LC_ALL=C %s %s/predict 3 --seed 1",
                 answer3(1, ' '), env, CHECK_BUILD);
        struct check_output got = check_run(command);
        CU_ASSERT(got.status == 1 && times(got.out, ": right") == 2);
        says(&got, "No prediction was recorded.\n");
        CU_ASSERT_EQUAL(times(got.err, "cannot record"), 1);
        int told = strstr(got.err, homes[i].why) != NULL;
        CU_ASSERT(told);
        if (!told) printf("\n    '%s' is not in:\n%s", homes[i].why, got.err);
        CU_ASSERT_EQUAL(times(got.err, " number 0.125 was 0.125"), 1); /* handed over */
        char recorded_line[100];
        snprintf(recorded_line, sizeof recorded_line, " experts %s was", answer3(1, ','));
        CU_ASSERT_EQUAL(times(got.err, recorded_line), 1);
        check_free(&got);
    }
    CU_ASSERT(access("here", F_OK)); /* nothing under a relative HOME */
    /* Nobody reads, or the output's disk is full: the prediction is kept. */
    snprintf(command, sizeof command, "echo 0.125 | XDG_STATE_HOME=%s %s/predict 3.1 >/dev/full", folder,
             CHECK_BUILD);
    struct check_output got = check_run(command);
    CU_ASSERT(got.status == 1 && strstr(got.err, "could not be written"));
    check_free(&got);
    CU_ASSERT_EQUAL(recorded(), 1);
    remove_folder();
}

/* More than can wait: every line is in the file or handed over. */
static void nothing_dropped(void)
{
    enum { ANSWERS = 1300 };
    char command[600];
    make_folder();
    in_folder("mkdir where-tokens-go && ln -s /dev/full where-tokens-go/predictions");
    snprintf(command, sizeof command, "yes \"$(printf '0.125\\nr')\" | head -n %d | "
        "XDG_STATE_HOME=%s %s/predict 3.1 --seed 1", 2 * ANSWERS, folder, CHECK_BUILD);
    struct check_output got = check_run(command);
    CU_ASSERT_EQUAL(got.status, 1);
    CU_ASSERT_EQUAL(times(got.out, "You said "), ANSWERS);
    CU_ASSERT_EQUAL(times(got.err, " number 0.125 was "), ANSWERS);
    CU_ASSERT_EQUAL(times(got.err, "not recorded"), 2);
    says(&got, "No prediction was recorded.\n");
    check_free(&got);
    remove_folder();
}

/* The line of a prediction from the book's seed, as this edition writes it. */
static const char *line_about(const struct lesson *lesson, const char *day, int right)
{
    static char line[RECORD_LINE];
    struct lesson_answer was = lesson_value(0.5), said;
    if (lesson->kind != LESSON_CONSTANT) { /* which trains */
        struct lesson_problem problem = lesson_make(lesson, LESSON_BOOK_SEED);
        was = problem.right;
        lesson_free(&problem);
    }
    said = was;
    if (!right) said.value[0]++;
    struct record record = record_of(0, lesson, LESSON_BOOK_SEED, said, was, 0);
    record_write(line, &record);
    memcpy(line, day, 10);
    return line;
}

static void add_line(const char *line)
{
    char command[RECORD_LINE + 100];
    snprintf(command, sizeof command, "mkdir -p where-tokens-go && echo '%.*s' >>where-tokens-go/predictions",
             (int)strcspn(line, "\n"), line);
    in_folder(command);
}

/* What is not done, then what was wrong, then the rest; each in the book's order. */
static void what_comes_next(void)
{
    make_folder();
    struct check_output got = predict("q\n", "");
    says(&got, "1.1 A dense");
    CU_ASSERT_EQUAL(got.status, 0);
    check_free(&got);
    got = predict("0.125\n0 0 0 0 7\nq\n", "3"); /* right, wrong */
    CU_ASSERT(times(got.out, ": right") == 1 && times(got.out, ": not right") == 1);
    check_free(&got);
    got = predict("s\ns\ns\ns\ns\ns\ns\ns\n", "3");
    static const char *const order[] = {"3.3 ", "3.4 ", "3.5 ", "Once more, since your last answer was not right",
        "3.2 ", "3.1 "};
    const char *at = got.out;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        at = at ? strstr(at, order[i]) : NULL;
        CU_ASSERT_PTR_NOT_NULL(at);
    }
    CU_ASSERT_EQUAL(times(got.out, "Once more"), 1);
    check_free(&got);
    got = predict(typing("%s\n%s", answer3(1, ' '), ""), "3.2 --seed 1"); /* named: as it is; and now right */
    CU_ASSERT(!strstr(got.out, "Once more") && times(got.out, ": right") == 1);
    check_free(&got);
    got = predict("s\ns\ns\ns\ns\ns\ns\ns\n", "3");
    CU_ASSERT(!strstr(got.out, "Once more") && times(got.out, " minutes, seed ") == lessons3.count);
    check_free(&got);
    in_folder("rm where-tokens-go/predictions");
    for (size_t i = 0; i < lessons1.count; i++) add_line(line_about(&lessons1.rows[i], "2026-05-01", 1));
    got = predict("q\n", "");
    says(&got, "2.1 "); /* not 1.1 each time */
    CU_ASSERT(!strstr(got.out, "1.1 "));
    check_free(&got);
    remove_folder();
}

static const char *of_chapter3(size_t done, int minutes)
{
    static char text[80];
    int most = 0;
    for (size_t i = 0; i < lessons3.count; i++) most += lessons3.rows[i].minutes;
    snprintf(text, sizeof text, "%zu of %zu done, %d of %d min", done, lessons3.count, minutes, most);
    return text;
}

static void progress_of_a_damaged_file(void)
{
    make_folder();
    struct check_output got = predict("", "--progress");
    CU_ASSERT_EQUAL(got.status, 0);
    says(&got, "No predictions yet. Type: make predict\n");
    CU_ASSERT(!strstr(got.out, "where-tokens-go")); /* no file, none is named */
    says(&got, of_chapter3(0, 0));
    check_free(&got);

    in_folder("mkdir where-tokens-go && { "
        "echo 2026-05-01T18:00:00Z 3.1 seed 1 number 0.13 was 0.125 within 0.005 hints 0; "
        "echo not mine; "
        "echo 2026-05-02T18:00:00Z 3.1 seed 1 number 0.25 was 0.125 within 0.005 hints 0; "
        "echo; printf '\\033[2Jboo\\n'; "
        "echo 2026-05-03T18:00:00Z 99.1 seed 9 number 1 was 1 within 0 hints 0; "
        "echo 2026-05-04T18:00:00Z 3.2 seed 1 experts 2,0,3,0,1 was 2,0,3,0,1 within 0 hints 0; "
        "printf '2026-05-04T18:00:00Z 3.2 se'; } >where-tokens-go/predictions");
    got = predict("", "--progress");
    CU_ASSERT(got.status == 0 && !*got.err);
    says(&got, "3.1    6 min done    1 of 2      52%");
    says(&got, "3.2    6 min done    1 of 1       0%");
    says(&got, of_chapter3(2, 12));
    says(&got, "min; 2 of 3 right (67%), median 4% off");
    says(&got, "Line 2 is no prediction: not mine\n");
    says(&got, "Line 5 is no prediction: ?[2Jboo\n");
    says(&got, "Line 8 is no prediction: 2026-05-04T18:00:00Z 3.2 se\n");
    says(&got, "Of lessons that this book lacks: 1 prediction.\n");
    says(&got, "They are in /tmp/tokens.");
    says(&got, "2026-05-02     2-2                                      0%");
    says(&got, "2026-05-04     4-4     ############################## 100%");
    CU_ASSERT(!strchr(got.out, '\033'));
    for (char *line = got.out, *end; (end = strchr(line, '\n')); line = end + 1)
        CU_ASSERT(end - line <= 80 || !strncmp(line, "They are in", 11));
    check_free(&got);

    in_folder("for i in 1 2 3 4 5 6 7 8 9 10; do echo a; echo b; echo c; done >where-tokens-go/predictions");
    got = predict("", "--progress");
    says(&got, "Line 20 is no prediction: b\nand so are 10 more\n");
    says(&got, "These lines are in /tmp/tokens.");
    check_free(&got);
    in_folder("rm where-tokens-go/predictions && mkdir where-tokens-go/predictions");
    got = predict("", "--progress");
    CU_ASSERT(got.status == 1 && strstr(got.err, "cannot read"));
    says(&got, of_chapter3(0, 0));
    check_free(&got);
    remove_folder();
}

/* A lesson got another number, or other numbers in its question: what was predicted before is not of it. */
static void lines_from_before(void)
{
    const struct lesson *lesson = &lessons5.rows[0];
    struct lesson_problem problem = lesson_make(lesson, 7);
    struct record record = record_of(0, lesson, 7, problem.right, problem.right, 0);
    char line[RECORD_LINE];
    make_folder();
    add_line("2026-05-01T18:00:00Z 5.1 seed 7 number 16 was 16 within 0 hints 0");    /* of other numbers */
    add_line("2026-05-02T18:00:00Z 5.1 seed 7 experts 0,2 was 0,2 within 0 hints 0"); /* of another kind */
    struct check_output got = predict("", "--progress");
    says(&got, "5.1    6 min              -        -");
    says(&got, "Of lessons that ask something else since then: 2 predictions.\n");
    CU_ASSERT(!strstr(got.out, "lacks"));
    check_free(&got);
    got = predict("q\n", "5");
    CU_ASSERT(!strncmp(got.out, "5.1 ", 4) && strstr(got.out, "seed 1, as on the page")); /* not done, not wrong */
    check_free(&got);
    record_write(line, &record); /* of now */
    add_line(line);
    got = predict("", "--progress");
    says(&got, "5.1    6 min done    1 of 1       0%");
    says(&got, "since then: 2 predictions.\n");
    check_free(&got);
    lesson_free(&problem);
    remove_folder();

    /* What trains is not solved again: it is known by its kind and its tolerance. */
    struct progress p = {.chapters = (const struct lesson_table *const[]){&lessons1}, .chapters_count = 1};
    progress_take(&p, 1, "2026-05-01T18:00:00Z 1.2 seed 5 number 0.5 was 0.9 within 0.06 hints 0");
    progress_take(&p, 2, "2026-05-01T18:00:00Z 1.2 seed 5 number 25600 was 25600 within 0 hints 0");
    progress_settle(&p);
    CU_ASSERT(p.count == 2 && p.at[0].lesson == &lessons1.rows[1] && !p.at[1].lesson && p.changed == 1);
    progress_free(&p);
}

static int solved;
static void solve(uint64_t seed, struct lesson_problem *problem)
{
    solved++;
    problem->right = lesson_value((double)seed);
}

/* A record of any length is settled by a few solutions of each lesson. */
static void long_records(void)
{
    static const struct lesson row = {.id = "1.1", .kind = LESSON_NUMBER, .make = solve};
    static const struct lesson_table table = {&row, 1};
    struct progress p = {.chapters = (const struct lesson_table *const[]){&table}, .chapters_count = 1};
    for (int i = 0; i < 5000; i++)
        progress_take(&p, 1, i % 3 ? "2026-05-01T18:00:00Z 1.1 seed 7 number 1 was 7 within 0 hints 0"
                                   : "2026-05-01T18:00:00Z 1.1 seed 7 number 1 was 8 within 0 hints 0");
    progress_settle(&p);
    CU_ASSERT(solved == PROGRESS_SOLVED && p.count == 5000);
    for (int i = 0; i < PROGRESS_SOLVED; i++)
        CU_ASSERT_EQUAL(p.at[4999 - i].lesson == &row, (4999 - i) % 3 != 0);
    CU_ASSERT(p.at[0].lesson == p.at[5000 - PROGRESS_SOLVED].lesson);
    progress_free(&p);
}

/* One wild guess is no reason for 1e+05%. */
static void progress_in_plain_numbers(void)
{
    make_folder();
    in_folder("mkdir where-tokens-go && echo 2026-05-01T18:00:00Z 3.1 seed 1 number 125 was 0.125 within 0.005 hints 0 "
              ">where-tokens-go/predictions");
    struct check_output got = predict("", "--progress");
    says(&got, "0 of 1 right (0%), median over 999% off");
    CU_ASSERT(!strstr(got.out, "e+"));
    check_free(&got);
    remove_folder();
}

/* ---- Through a pseudo-terminal ---- */

static struct talk { int master; pid_t child; char heard[60000]; size_t length, seen; } talk;

static void in_terminal(const char *settings, int columns, const char *arguments)
{
    char command[400];
    snprintf(command, sizeof command, "TERM=xterm XDG_STATE_HOME=%s exec env %s %s/predict %s", folder,
             settings, CHECK_BUILD, arguments);
    talk.length = talk.seen = 0;
    talk.heard[0] = '\0';
    talk.master = posix_openpt(O_RDWR | O_NOCTTY);
    CU_ASSERT_FATAL(talk.master >= 0 && !grantpt(talk.master) && !unlockpt(talk.master));
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    ioctl(talk.master, TIOCSWINSZ, &size);
    fflush(NULL);
    talk.child = fork();
    if (talk.child) return;
    setsid();
    int slave = open(ptsname(talk.master), O_RDWR);
    ioctl(slave, TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++) dup2(slave, i);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* Read more; 0 at the end or after half a minute of silence. */
static int listen_more(void)
{
    struct pollfd wait = {talk.master, POLLIN, 0};
    if (poll(&wait, 1, 30000) <= 0) return 0;
    ssize_t got = read(talk.master, talk.heard + talk.length, sizeof talk.heard - talk.length - 1);
    if (got <= 0) return 0;
    talk.length += (size_t)got;
    talk.heard[talk.length] = '\0';
    return 1;
}

static void expect(const char *words)
{
    char *found;
    while (!(found = strstr(talk.heard + talk.seen, words)))
        if (!listen_more()) {
            CU_FAIL("the terminal shows what was expected");
            printf("\n    expected '%s' in:\n%s", words, talk.heard + talk.seen);
            return;
        }
    talk.seen = (size_t)(found - talk.heard) + strlen(words);
}

static void type(const char *keys)
{
    CU_ASSERT_EQUAL(write(talk.master, keys, strlen(keys)), (ssize_t)strlen(keys));
}

static int hang_up(void)
{
    int status = 0;
    while (listen_more()) { }
    waitpid(talk.child, &status, 0);
    close(talk.master);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void typed_lessons(void)
{
    make_folder();
    in_terminal("LC_ALL=C.UTF-8", 80, "3");
    expect("\033[1m3.1 Most experts");
    expect("as on the page");
    expect("q to leave.\r\n> ");
    type("?\r");
    expect("Hint 1: A token meets K experts.\r\n> ");
    type("99\025" "9\1770.125\r"); /* Ctrl-U takes all back, Backspace one */
    expect("Answer: 0.125 (\302\2610.005 counts as right)");
    expect("You said 0.125: \033[32mright\033[0m");
    expect("Enter goes on, r brings other numbers, q leaves.\r\n> ");
    type("0.5\r"); /* no second guess */
    expect("Press Enter, or type r or q.\r\n> ");
    CU_ASSERT_EQUAL(recorded(), 1);
    type("r\r");
    expect("3.1 Most experts");
    expect("\r\n> ");
    type("99\r");
    expect("\033[33mnot right");
    expect("\r\n> ");
    type("\r");
    expect("3.2 Switch");
    expect("\r\n> ");
    type("q\r");
    expect("2 predictions recorded");
    CU_ASSERT_EQUAL(hang_up(), 0);
    CU_ASSERT_EQUAL(recorded(), 2);
    remove_folder();
}

static void end_of_input(void)
{
    make_folder();
    in_terminal("LC_ALL=C", 80, "3");
    expect("\r\n> ");
    type("0.125\r");
    expect("+-0.005");
    expect("Enter goes on");
    expect("> ");
    type("\004");
    expect("1 prediction recorded");
    CU_ASSERT_EQUAL(hang_up(), 0);
    remove_folder();
}

static void ctrl_c(void)
{
    make_folder();
    in_terminal("", 80, "3");
    expect("\r\n> ");
    type("0.125\r");
    expect("Answer: ");
    type("\003");
    expect("Left. What you predicted is kept.");
    CU_ASSERT_EQUAL(hang_up(), 128 + SIGINT);
    CU_ASSERT_EQUAL(recorded(), 1);

    in_folder("rm where-tokens-go/predictions && ln -s /dev/full where-tokens-go/predictions");
    in_terminal("", 80, "3 --seed 1");
    expect("\r\n> ");
    type("0.125\r");
    expect("cannot record");
    expect("Enter goes on");
    type("\003");
    expect("here they are:\r\n20");
    expect(" 3.1 seed 1 number 0.125 was 0.125");
    CU_ASSERT_EQUAL(hang_up(), 128 + SIGINT);
    remove_folder();
}

static size_t widest(const char *text)
{
    size_t most = 0, width = 0;
    for (; *text; text++) {
        if (*text == '\033') text += strcspn(text, "m");
        else width = *text == '\n' || *text == '\r' ? 0 : width + 1;
        most = width > most ? width : most;
    }
    return most;
}

static void window(void)
{
    make_folder();
    in_terminal("", 40, "3.1 --seed 1");
    expect("one token use?");
    CU_ASSERT(widest(talk.heard) <= 40 && widest(talk.heard) > 30);
    expect("\r\n> ");
    size_t before = talk.length;
    struct winsize size = {.ws_row = 24, .ws_col = 60};
    ioctl(talk.master, TIOCSWINSZ, &size);
    type("r\r");
    expect("token use?");
    CU_ASSERT(widest(talk.heard + before) <= 60 && widest(talk.heard + before) > 40);
    expect("\r\n> ");
    type("q\r");
    CU_ASSERT_EQUAL(hang_up(), 0);
    static const int sizes[] = {1, 0, 10, 300};
    for (size_t i = 0; i < 4; i++) {
        in_terminal("", sizes[i], "3.1 --seed 1");
        expect("token");
        expect("\r\n> ");
        CU_ASSERT(widest(talk.heard) <= 80);
        type("\004");
        CU_ASSERT_EQUAL(hang_up(), 0);
    }
    remove_folder();
}

static void plain_terminals(void)
{
    static const struct { const char *settings, *arguments; int color, unicode; } cases[] = {
        {"LC_ALL=C.UTF-8", "", 1, 1}, {"LC_ALL=C.UTF-8", "--plain", 0, 0},
        {"LC_ALL=C.UTF-8 NO_COLOR=1", "", 0, 1}, {"LC_ALL=C.UTF-8 NO_COLOR=", "", 1, 1},
        {"LC_ALL=C", "", 1, 0}, {"LC_ALL=C.UTF-8 TERM=dumb", "", 0, 1},
        {"-u LC_ALL -u LC_CTYPE LANG=en_US.UTF-8", "", 1, 1}, {"LC_ALL= LC_CTYPE=C LANG=C.UTF-8", "", 1, 0},
    };
    make_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char arguments[60];
        snprintf(arguments, sizeof arguments, "3.1 --seed 1 %s", cases[i].arguments);
        in_terminal(cases[i].settings, 80, arguments);
        expect("\r\n> ");
        type("0.125\r");
        expect("Enter goes on");
        CU_ASSERT_EQUAL(strchr(talk.heard, '\033') != NULL, cases[i].color);
        CU_ASSERT_EQUAL(strstr(talk.heard, "\302\261") != NULL, cases[i].unicode);
        type("\004");
        CU_ASSERT_EQUAL(hang_up(), 0);
    }
    in_terminal("LC_ALL=C.UTF-8", 80, "--progress");
    expect("\342\226\210\342\226\210");
    CU_ASSERT_EQUAL(hang_up(), 0);
    remove_folder();
}

/* ---- The path ---- */

static void days(void)
{
    CU_ASSERT(path_day("1970-01-01") == 0 && path_day("2000-03-01") == 11017);
    CU_ASSERT(path_day("2026-11-25") - path_day("2026-11-18") == 7);
    long last = -1;
    for (int year = 1970; year <= 2101; year++) {
        int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        for (int month = 1; month <= 12; month++) {
            int most = month == 2 ? 28 + leap : month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
            for (int date = 1; date <= most; date++) {
                char day[40];
                snprintf(day, sizeof day, "%04d-%02d-%02d", year, month, date);
                CU_ASSERT(path_day(day) == last + 1);
                last = path_day(day);
                char back[PATH_DATE];
                path_date(last, back);
                CU_ASSERT_STRING_EQUAL(back, day);
            }
        }
    }
    static const char *const none[] = {"", "2026", "2026-13-01", "2026-00-01", "2026-01-00", "2026-01-32", "1969-01-01",
                                       "2026-1-1", "x", "2026/01/01"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) CU_ASSERT_EQUAL(path_day(none[i]), -1);
}

/* Two chapters of lessons, on paths in an order of their own. */
#define ROW(number, where) {.id = number, .paths = where, .title = "a claim", .kind = LESSON_CONSTANT}
static const struct lesson chapter1_rows[] = {ROW("1.1", "1.1.1 2.1.2"), ROW("1.2", "1.2.1"), ROW("1.3", "1.1.2")};
static const struct lesson chapter2_rows[] = {ROW("2.1", "2.1.1"), ROW("2.2", "1.1.2"), ROW("2.3", "")};
static const struct lesson_table chapter1_table = {chapter1_rows, 3}, chapter2_table = {chapter2_rows, 3};
static const struct lesson_table *const both_tables[] = {&chapter1_table, &chapter2_table};

static void paths_in_order(void)
{
    static const char *const one[] = {"1.1", "1.3", "2.2", "1.2"}, *const two[] = {"2.1", "1.1"};
    struct path path = path_of(1, both_tables, 2);
    CU_ASSERT_FATAL(path.count == 4);
    for (size_t i = 0; i < 4; i++) CU_ASSERT_STRING_EQUAL(path.at[i].lesson->id, one[i]);
    CU_ASSERT(path.at[2].phase == 1 && path.at[2].step == 2);
    path = path_of(2, both_tables, 2);
    CU_ASSERT_FATAL(path.count == 2);
    for (size_t i = 0; i < 2; i++) CU_ASSERT_STRING_EQUAL(path.at[i].lesson->id, two[i]);
}

static void did(struct progress *p, const char *id, const char *day, int right)
{
    char line[200];
    snprintf(line, sizeof line, "%sT10:00:00Z %s seed 1 number 1 was %d within 0 hints 0", day, id, right ? 1 : 2);
    progress_take(p, p->count + 1, line);
    progress_settle(p);
    CU_ASSERT_EQUAL(p->strangers, 0);
}

static int planned(const struct path_plan *plan, const char *ids)
{
    char text[200] = "";
    for (size_t i = 0; i < plan->count; i++) {
        strcat(text, i == plan->reviews ? "| " : "");
        strcat(strcat(text, plan->at[i]->id), " ");
    }
    int same = !strcmp(text, ids);
    if (!same) printf("\n    planned '%s', not '%s'", text, ids);
    return same;
}

static struct path_plan plan_on(const struct progress *p, const char *day)
{
    return path_plan(1, p, path_day(day));
}

static void what_a_day_brings(void)
{
    struct progress p = {.chapters = both_tables, .chapters_count = 2};
    struct path_plan plan = plan_on(&p, "2026-05-01");
    CU_ASSERT(planned(&plan, "| 1.1 ") && plan.steps == 3 && plan.done == 0);
    CU_ASSERT_EQUAL(path_due(&p, &chapter1_rows[0]), -1);
    did(&p, "1.1", "2026-05-01", 0);
    plan = plan_on(&p, "2026-05-01"); /* wrong: not again on the same day */
    CU_ASSERT(planned(&plan, "| 1.3 2.2 ") && plan.done == 1);
    plan = plan_on(&p, "2026-05-02");
    CU_ASSERT(planned(&plan, "1.1 | 1.3 2.2 "));
    did(&p, "1.1", "2026-05-02", 1); /* right: after a week */
    plan = plan_on(&p, "2026-05-08");
    CU_ASSERT(planned(&plan, "| 1.3 2.2 "));
    plan = plan_on(&p, "2026-05-09");
    CU_ASSERT(planned(&plan, "1.1 | 1.3 2.2 "));
    did(&p, "1.3", "2026-05-03", 1); /* a step is done when all of it is */
    plan = plan_on(&p, "2026-05-03");
    CU_ASSERT(planned(&plan, "| 2.2 ") && plan.done == 1);
    did(&p, "2.2", "2026-05-03", 1), did(&p, "1.2", "2026-05-03", 1);
    plan = plan_on(&p, "2026-05-04");
    CU_ASSERT(planned(&plan, "") && plan.done == 3);
    plan = plan_on(&p, "2026-06-01"); /* the oldest first, no chapter twice in a row, three at most */
    CU_ASSERT(planned(&plan, "1.1 2.2 1.2 "));
    progress_free(&p);
}

/* Whatever was done, and whenever: what comes back is due, three at most, and never drills a chapter. */
static void reviews_mix(void)
{
    static const struct lesson *const all[] = {&chapter1_rows[0], &chapter1_rows[1], &chapter1_rows[2],
                                               &chapter2_rows[0], &chapter2_rows[1], &chapter2_rows[2]};
    struct random random = check_random();
    for (int round = 0; round < 300; round++) {
        struct progress p = {.chapters = both_tables, .chapters_count = 2};
        for (uint64_t n = random_below(&random, 12); n; n--) {
            char day[PATH_DATE];
            path_date(20500 + (long)random_below(&random, 20), day);
            did(&p, all[random_below(&random, 6)]->id, day, (int)random_below(&random, 2));
        }
        long day = 20500 + (long)random_below(&random, 30), oldest = day + 1;
        struct path_plan plan = path_plan(1, &p, day);
        CU_ASSERT(plan.reviews <= PATH_REVIEWS);
        for (size_t i = 0; i < plan.reviews; i++) {
            const struct progress_entry *last = progress_last(&p, plan.at[i]);
            CU_ASSERT_PTR_NOT_NULL_FATAL(last);
            CU_ASSERT(path_day(last->record.time) + (last->right ? 7 : 1) <= day);
            CU_ASSERT(!i || *plan.at[i]->id != *plan.at[i - 1]->id);
        }
        size_t due = 0;
        for (size_t i = 0; i < 6; i++) {
            long when = path_due(&p, all[i]);
            if (when < 0 || when > day) continue;
            due++;
            if (when < oldest) oldest = when;
        }
        CU_ASSERT_EQUAL(plan.reviews > 0, due > 0); /* and the longest overdue is the first */
        if (due) CU_ASSERT_EQUAL(path_due(&p, plan.at[0]), oldest);
        progress_free(&p);
    }
}

static int stands(const struct progress *p, const struct lesson *lesson, const char *day, const char *words)
{
    char *text;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    path_state(out, p, lesson, path_day(day));
    fclose(out);
    int same = !strcmp(text, words);
    if (!same) printf("\n    it says '%s', not '%s'", text, words);
    return free(text), same;
}

static void how_a_lesson_stands(void)
{
    struct progress p = {.chapters = both_tables, .chapters_count = 2};
    const struct lesson *lesson = &chapter1_rows[0];
    CU_ASSERT(stands(&p, lesson, "2026-05-01", "not done yet"));
    did(&p, "1.1", "2026-05-01", 0);
    CU_ASSERT(stands(&p, lesson, "2026-05-01", "not right, 50% off; again on 2026-05-02"));
    CU_ASSERT(stands(&p, lesson, "2026-05-02", "not right, 50% off; due today"));
    CU_ASSERT(stands(&p, lesson, "2026-06-02", "not right, 50% off; due since 2026-05-02"));
    did(&p, "1.1", "2026-05-28", 1);
    CU_ASSERT(stands(&p, lesson, "2026-05-28", "right, 0% off; 1 of 2 right; again on 2026-06-04"));
    CU_ASSERT(stands(&p, &chapter1_rows[1], "2026-05-28", "not done yet"));
    progress_free(&p);
}

/* A path is laid out in fourteen steps, and says so as long as some are missing. */
static void missing_steps(void)
{
    static struct lesson rows[PATH_STEPS];
    static char places[PATH_STEPS][16];
    static const struct lesson_table table = {rows, PATH_STEPS};
    static const struct lesson_table *const tables[] = {&table};
    for (size_t steps = PATH_STEPS - 1; steps <= PATH_STEPS; steps++) {
        for (size_t i = 0; i < PATH_STEPS; i++) {
            snprintf(places[i], sizeof places[i], "1.1.%zu", i < steps ? i : 0);
            rows[i] = (struct lesson)ROW("1.1", places[i]);
        }
        struct progress p = {.chapters = tables, .chapters_count = 1};
        char *text, start[60];
        size_t length;
        struct terminal to = {open_memstream(&text, &length), 72, 0, 0};
        path_print(&to, 1, &p, 0);
        fclose(to.out);
        snprintf(start, sizeof start, "Path 1: 0 of %zu steps are done.\n", steps);
        CU_ASSERT(!strncmp(text, start, strlen(start)));
        CU_ASSERT_EQUAL(strstr(text, "It is laid out in 14 steps; those that are missing belong to chapters to\ncome.\n") != NULL,
                        steps < PATH_STEPS);
        free(text);
    }
}

static void today(void)
{
    make_folder();
    struct check_output got = predict("q\n", "--today");
    says(&got, "Path 1: 0 of ");
    says(&got, "  1.1    6 min  not done yet\n  1.2    6 min  not done yet\n  2.3 ");
    says(&got, "Next:\n  1.1 A dense FFN");
    CU_ASSERT(got.status == 0 && !strstr(got.out, "Due again"));
    check_free(&got);
    in_folder("mkdir -p where-tokens-go && { echo 2026-05-01T18:00:00Z 2.6 seed 1 choice 1 was 2 within 0 hints 0; } >where-tokens-go/predictions");
    got = predict("q\n", "--today --path 2");
    says(&got, "Due again:");
    says(&got, "2.6 ");
    check_free(&got);
    got = predict("", "--today --path 3");
    CU_ASSERT(got.status == 2 && strstr(got.err, "from 1 to 2"));
    check_free(&got);
}

/* A figure of one handle, which tells the value that it got. */
static void one_handle(struct figure *f)
{
    double v = figure_range(f, "handle", "%.2f", -1, 2, 0.25, 0.5);
    size_t c = figure_choice(f, "choice", (const char *const[]){"a", "b", "c", NULL}, 1);
    size_t s = figure_steps(f, "steps", 7, 3), n = figure_again(f, "again");
    figure_height(f, 10);
    figure_text(f, 1, 1, FIGURE_LEFT, "text");
    figure_say(f, "%g %zu %zu %zu", v, c, s, n);
}

static void handles(void)
{
    static const struct figure_live live[] = {{"one", one_handle}, {0}};
    static const struct { const char *line, *said; } rows[] = {
        {"one", "0.5 1 3 0"}, {"one ", "0.5 1 3 0"}, {"one 1", "1 1 3 0"}, {"one 1.1 0 1 2", "1 0 1 2"},
        {"one -9 -9 -9 -9", "-1 0 0 0"}, {"one 9 9 9 9999999", "2 2 7 999999"}, {"one nan inf -inf x", "0.5 2 0 0"},
        {"one x 2", "0.5 2 3 0"}, {"one 1x 2", "0.5 2 3 0"}, {"one  1   2  ", "1 2 3 0"}, {"one 0.37 1.4 2.6 0.4", "0.25 1 3 0"},
        {"one -0.1 0 0 0", "0 0 0 0"}, {"one 1,5 2", "0.5 2 3 0"}, {"one 1\n2", "1 2 3 0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *lines = figure_lines(live, "%s", rows[i].line);
        CU_ASSERT(figure_text_is(figure_line_of(lines, "say", 0), 0, rows[i].said));
        free(lines);
    }
    check_figure(live, "one", 4, 500);
    const struct figure_live *const tables[] = {live, NULL};
    CU_ASSERT(!figure_show(stdout, tables, "on") && !figure_show(stdout, tables, "ones") && !figure_show(stdout, tables, ""));
}

/* build/live takes its line as arguments, or many on stdin. */
static void live_program(void)
{
    struct check_output all = check_run("printf 'token\\ntoken 1 2\\n' | " CHECK_BUILD "/live");
    struct check_output one = check_run(CHECK_BUILD "/live token"), two = check_run(CHECK_BUILD "/live token 1 2");
    struct check_output none = check_run(CHECK_BUILD "/live nothing 1");
    size_t length = strlen(one.out);
    CU_ASSERT(!all.status && !one.status && !two.status && length > 100);
    CU_ASSERT(!strncmp(all.out, one.out, length) && !strcmp(all.out + length, two.out));
    CU_ASSERT(none.status == 2 && !*none.out && strstr(none.err, "no figure \"nothing\"") != NULL);
    check_free(&all), check_free(&one), check_free(&two), check_free(&none);
}

SUITE(A) {
    check_case("a handle has a number that it can have", handles); /* figure_range figure_choice figure_steps figure_show */
    check_case("a figure moves in a terminal, too", live_program);
    check_case("numbers are read as people write them", numbers_as_written);
    check_case("thousands and products are read", thousands_and_products);
    check_case("percent where they are asked for, and never a share for percent", percent);
    check_case("what is no number, or could be two, is refused with a reason", not_numbers);
    check_case("experts in order or as a set, choices by number", experts_and_choices);
    check_case("what the prompt offers is read", examples);
    check_case("commands are one letter", commands);
    check_case("an answer is right within the tolerance", judging);
    check_case("verdicts are plain, and a mistake is named if it was made", explaining);
    check_case("odd answers and files break no promise", corpus);
    check_case("a record is a line, and only a whole line is a record", records_are_lines);
    check_case("the file is where XDG says", record_paths);
    check_case("lines are appended behind whatever there is", appending);
    check_case("carriage returns and a byte order mark lose no line", other_editors);
    check_case("a full disk loses no line", full_disk);
    check_case("half a line is written again, whole, and none twice", half_a_line);
    check_case("nowhere to write blocks nothing", no_place_to_write);
    check_case("four writers do not mix their lines", two_writers);
    check_case("answers from a pipe", answers_from_a_pipe);
    check_case("hints, skips, nonsense, zero bytes", dialogue);
    check_case("arguments that it cannot use", bad_arguments);
    check_case("a prediction is recorded before the answer shows", recorded_before_shown);
    check_case("no home, full disks: told, the lesson goes on, and the exit says it", nothing_blocks);
    check_case("what cannot be recorded is never dropped", nothing_dropped);
    check_case("first what is not done, then what was wrong", what_comes_next);
    check_case("days are counted over leap years", days);
    check_case("a path has its own order", paths_in_order);
    check_case("wrong comes back the next day, right after a week, mixed over chapters", what_a_day_brings);
    check_case("what comes back is due, oldest first, and never drills a chapter", reviews_mix);
    check_case("how a lesson stands is said in words", how_a_lesson_stands);
    check_case("steps that are still to be written are said to be missing", missing_steps);
    check_case("today is a plan, then its lessons", today);
    check_case("progress counts what it can, names what it cannot", progress_of_a_damaged_file);
    check_case("a line from before its lesson changed counts for none, and is told", lines_from_before);
    check_case("long records do not take long", long_records);
    check_case("progress prints plain numbers", progress_in_plain_numbers);
    check_case("a terminal: keys, colors, no second guess", typed_lessons);
    check_case("a terminal: end of input", end_of_input);
    check_case("a terminal: Ctrl-C loses nothing", ctrl_c);
    check_case("a terminal: windows of any width", window);
    check_case("a terminal: NO_COLOR, --plain, locales", plain_terminals);
}
