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
    check_aborts(too_much, "tests/test_chapterB.c: memory items 4 bytes smaller");
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

SUITE(B)
{
    check_case("a broken contract says where and what, and aborts", stopping);
    check_case("room is never NULL and all zero", rooms);
    check_case("the trained vectors are what training gives, to the last bit", trained_once);
}
