/* Run the suites: `build/strict/tests` all of them, `build/strict/tests 3`
 * chapter 3's. suites.inc is made from the names of the files in tests/. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <CUnit/Basic.h>
#include "check.h"

#define S(n) void suite_chapter##n(void);
#include "suites.inc"
#undef S

static const struct { const char *number; void (*set_up)(void); } suites[] = {
#define S(n) {#n, suite_chapter##n},
#include "suites.inc"
#undef S
};
enum { SUITES = sizeof suites / sizeof *suites };

static CU_pSuite current;

#if defined __SANITIZE_ADDRESS__ || CHECK_CLANG_ASAN
/* Memory for too much is NULL, as elsewhere: what asked for it must say so. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
#endif

/* A loop without an end is ended. Every case, and every program that it runs, may
 * take so many seconds of processor time; the slowest takes a tenth of them. */
enum { MOST_SECONDS = 300 };

static void endless(int signal)
{
    CU_pTest test = CU_get_current_test();
    const char *claim = test ? test->pName : "", *words = " does not end\n";
    (void)signal;
    if (write(STDERR_FILENO, claim, strlen(claim)) >= 0 && write(STDERR_FILENO, words, strlen(words))) { }
    _exit(1);
}

static void limit_time(void)
{
    struct rusage used;
    struct rlimit limit;
    getrusage(RUSAGE_SELF, &used), getrlimit(RLIMIT_CPU, &limit);
    rlim_t most = MOST_SECONDS + (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec);
    limit.rlim_cur = most < limit.rlim_max ? most : limit.rlim_max;
    setrlimit(RLIMIT_CPU, &limit);
}

void check_case(const char *claim, void (*test)(void))
{
    if (CU_add_test(current, claim, test)) return;
    fprintf(stderr, "tests: cannot add '%s': %s\n", claim, CU_get_error_msg());
    exit(1);
}

static void add_suite(size_t i)
{
    char *title = malloc(32);
    if (!title) abort();
    snprintf(title, 32, "chapter %s", suites[i].number);
    current = CU_add_suite_with_setup_and_teardown(title, NULL, NULL, limit_time, NULL);
    if (!current) {
        fprintf(stderr, "tests: cannot add %s: %s\n", title, CU_get_error_msg());
        exit(1);
    }
    free(title); /* CUnit keeps a copy */
    suites[i].set_up();
}

static void add_suite_number(const char *number)
{
    for (size_t i = 0; i < SUITES; i++)
        if (!strcmp(suites[i].number, number)) {
            add_suite(i);
            return;
        }
    fprintf(stderr, "tests: no suite '%s'; there are:", number);
    for (size_t i = 0; i < SUITES; i++)
        fprintf(stderr, " %s", suites[i].number);
    fprintf(stderr, " (try: tests %s)\n", suites[0].number);
    exit(2);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGXCPU, endless);
    if (CU_initialize_registry() != CUE_SUCCESS) return 1;
    for (int i = 1; i < argc; i++) add_suite_number(argv[i]);
    for (size_t i = 0; argc < 2 && i < SUITES; i++) add_suite(i);
    printf("seed %" PRIu64 " (another one: make test SEED=7)\n", check_seed());

    CU_basic_set_mode(CU_BRM_VERBOSE);
    if (CU_basic_run_tests() != CUE_SUCCESS) return 1;
    unsigned run = CU_get_number_of_tests_run();
    unsigned failed = CU_get_number_of_tests_failed();
    unsigned failures = CU_get_number_of_failures();
    printf("%u passed, %u failed\n", run - failed, failed);
    CU_cleanup_registry();
    return failures || !run;
}
