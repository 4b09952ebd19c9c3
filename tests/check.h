/* What every suite needs. A chapter's suite is tests/test_chapterN.c:
 *
 *     #include "check.h"
 *     #include "topk.h"
 *
 *     static void program(void) { check_program(3, ""); }
 *     static void ties(void)    { CU_ASSERT_EQUAL(first_of_equals(), 0); }
 *
 *     SUITE(3) {
 *         check_case("the program keeps its promises", program);
 *         check_case("ties go to the lower expert", ties);
 *     }
 *
 * `make test3` runs it in all flavors; a new file is picked up by itself. */
#ifndef CHECK_H
#define CHECK_H

#include <stddef.h>
#include <stdint.h>
#include <CUnit/CUnit.h>
#include "matrix.h"
#include "random.h"

#define SUITE(n) void suite_chapter##n(void); void suite_chapter##n(void)

/* Under the sanitizers a program takes ten times as long: repeat less there. */
#ifdef __has_feature
#define CHECK_CLANG_ASAN __has_feature(address_sanitizer)
#else
#define CHECK_CLANG_ASAN 0
#endif
#if defined __SANITIZE_ADDRESS__ || CHECK_CLANG_ASAN
enum { CHECK_QUICK = 1 };
#else
enum { CHECK_QUICK = 0 };
#endif

/* Add a case to the suite that is being set up. */
void check_case(const char *claim, void (*test)(void));

/* Numbers for random cases. Every case starts from the run's seed, which the
 * runner prints and `make test3 SEED=7` sets. */
uint64_t check_seed(void);
struct random check_random(void);

/* Random numbers in [-a, a). Free the result with matrix_free. */
struct matrix check_matrix(struct random *random, size_t rows, size_t cols, double a);

/* The largest |a - b| of two matrices, whose shapes must be one, over the largest
 * |a| if that is above 1; infinite if a number is missing from either (NaN). */
double check_gap(struct matrix a, struct matrix b);

/* Run a shell command. Free the result with check_free. */
struct check_output {
    int status;       /* exit status; 128 + signal if it was killed */
    char *out, *err;  /* all of stdout and of stderr */
};
struct check_output check_run(const char *command);
void check_free(struct check_output *output);

/* Chapter N's program: runs, exits 0, says what it takes (--help), and rejects
 * what it cannot use: exit 2, nothing on stdout, and what was wrong, what is
 * allowed and what to try on stderr. That it prints what its page quotes is for
 * `make check-quoted` to say; of the fast build, it is said here (not of
 * chapter 7, whose trained digits are the build's own). So beyond that it
 * runs with `less`, "--steps 20" where it trains for long. */
void check_program(int chapter, const char *less);

/* What chapter N's program gives for a name: check_value(5, "--experts 4",
 * "capacity.slots"). NaN if it fails, or has no such name. */
double check_value(int chapter, const char *arguments, const char *name);

/* Chapter N's program rejects each row's arguments, and its message has the
 * row's words. The last row is {NULL, NULL}. */
struct check_refusal { const char *arguments, *words; };
void check_refuses(int chapter, const struct check_refusal *rows);

/* breach must abort, and say all words of `words` (split at spaces) on
 * stderr: check_aborts(multiply_wrong_shapes, "matrix.c 2x3 4x5"). Where there
 * is too little memory, it must exit with 1 instead: check_gives_up. */
void check_aborts(void (*breach)(void), const char *words);
void check_gives_up(void (*breach)(void), const char *words);

/* |a - b| / max(|a|, |b|) with L2 norms; 0 if both are all zero. */
double check_difference(size_t n, const double *a, const double *b);

/* The same, between a gradient and the central differences of loss(context)
 * in x[0..n). Leaves x as it was. For flavor double, where real is double:
 * CU_ASSERT(check_gradient(n, w.data, dw.data, loss, &layer) < 1e-6); */
double check_gradient(size_t n, double *x, const double *gradient,
                      double (*loss)(void *context), void *context);

#endif
