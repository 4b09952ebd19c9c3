/* Appendix B: what stands under every chapter. */
#include <stdlib.h>
#include <string.h>
#include "charlm.h"
#include "check.h"
#include "lesson.h"
#include "stop.h"

static void out_of_reach(void) { stop("slot %d of %d", 7, 4); }
static void too_much(void) { free(room((size_t)-1 / 2, 4)); }

static void stopping(void)
{
    check_aborts(out_of_reach, "tests/test_chapterB.c: slot 7 of 4");
    check_gives_up(too_much, "tests/test_chapterB.c: memory items 4 bytes smaller");
}

static void rooms(void)
{
    char *none = room(0, 8), *some = room(3, 5);
    for (size_t i = 0; i < 15; i++) CU_ASSERT(!some[i]);
    CU_ASSERT(none && some && none != some);
    free(none), free(some);
}

/* oneDNN adds in an order of its own, and doubles round otherwise. */
#if defined REAL_DOUBLE || defined MATRIX_ONEDNN
enum { SAME_SUMS = 0 };
#else
enum { SAME_SUMS = 1 };
#endif

/* The numbers that the build trained are the numbers that training gives. */
static void trained_once(void)
{
    struct random r = random_seeded(LESSON_BOOK_SEED);
    struct charlm here = charlm_new(CHARLM_WIDTH, CHARLM_HIDDEN, FFN_RELU, &r);
    struct charlm built = charlm_trained(LESSON_BOOK_SEED);
    struct weights pair = {0};
    charlm_train(&here, CHARLM_STEPS, CHARLM_RATE, &r);
    charlm_weights(&pair, &here, &built);
    CU_ASSERT(weights_count(&pair) == 16512);
    for (size_t i = 0; i < pair.count; i++) {
        double gap = check_gap(pair.at[i].value, pair.at[i].slope);
        CU_ASSERT(SAME_SUMS ? gap == 0 : gap < 0.5);
    }
    weights_free(&pair), charlm_free(&here), charlm_free(&built);
}

/* Whatever stands in an argument, a message is one line that moves no cursor. */
static void plain_messages(void)
{
    struct check_output got = check_run(CHECK_BUILD "/chapter1 \"$(printf '\\033[31m\\n-x\\177')\"");
    CU_ASSERT(got.status == 2 && strstr(got.err, "?[31m?-x? is not an option"));
    for (const char *c = got.err; *c; c++)
        CU_ASSERT((unsigned char)*c >= ' ' || (*c == '\n' && !c[1]));
    check_free(&got);
}

/* What could not be written is said, whoever wrote it. */
static void full_disks(void)
{
    static const char *const outputs[] = {"--help", "--version", "--values", "--lessons", ""};
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        char command[100];
        snprintf(command, sizeof command, CHECK_BUILD "/chapter2 %s >/dev/full", outputs[i]);
        struct check_output got = check_run(command);
        CU_ASSERT(got.status == 1 && strstr(got.err, "could not be written in full"));
        check_free(&got);
    }
}

static void denormal(void)
{
    struct check_output got = check_run(CHECK_BUILD "/chapter2 --scale 1e-320 --values");
    CU_ASSERT(got.status == 0 && !*got.err);
    check_free(&got);
}

SUITE(B)
{
    check_case("a broken contract says where and what, and aborts", stopping);
    check_case("room is never NULL and all zero", rooms);
    check_case("a message is one line, whatever was typed", plain_messages);
    check_case("a full disk is noticed by every output", full_disks);
    check_case("a number too small to be normal is a number", denormal);
    if (!CHECK_QUICK) check_case("the trained vectors are what training gives, to the last bit", trained_once);
}
