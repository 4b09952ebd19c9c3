/* Appendix D: what training stands on. */
#include <math.h>
#include <stdlib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "check.h"
#include "fit.h"
#include "results.h"
#include "train.h"
#ifdef _OPENMP
#include <omp.h>
#endif

/* A model of two tensors, and a loss whose least point is known: squared distance to a target. */
struct bowl { struct matrix a, b, da, db; struct weights list; double noise; };

static struct bowl bowl_new(void)
{
    struct random r = random_seeded(5);
    struct bowl w = {check_matrix(&r, 3, 4, 1), check_matrix(&r, 1, 4, 1), matrix_new(3, 4), matrix_new(1, 4), {0}, 0};
    weights_add(&w.list, "a", w.a, w.da), weights_add(&w.list, "b", w.b, w.db);
    return w;
}

static void bowl_free(struct bowl *w)
{
    weights_free(&w->list);
    matrix_free(&w->a), matrix_free(&w->b), matrix_free(&w->da), matrix_free(&w->db);
}

static double bowl_gradient(void *context, struct random *random)
{
    struct bowl *w = context;
    double loss = 0;
    for (size_t i = 0; i < w->list.count; i++) {
        struct matrix x = w->list.at[i].value, g = w->list.at[i].slope;
        for (size_t j = 0; j < x.rows * x.cols; j++) {
            double apart = (double)x.at[j] - (double)(i + j) + w->noise * random_symmetric(random, 1);
            loss += apart * apart, g.at[j] = (real)(2 * apart);
        }
    }
    return loss;
}

/* The definition, number by number, in long double. */
static void adamw_by_definition(void)
{
    struct bowl w = bowl_new();
    struct adamw adamw = adamw_new(&w.list);
    long double x[16], m[16] = {0}, v[16] = {0};
    for (size_t j = 0; j < 16; j++) x[j] = (long double)(j < 12 ? w.a.at[j] : w.b.at[j - 12]);
    for (int step = 1; step <= 30; step++) {
        struct random unused = random_seeded(0);
        bowl_gradient(&w, &unused);
        for (size_t j = 0; j < 16; j++) {
            long double g = (long double)(j < 12 ? w.da.at[j] : w.db.at[j - 12]), decay = j < 12 ? 0.1L : 0;
            m[j] = 0.9L * m[j] + 0.1L * g, v[j] = 0.99L * v[j] + 0.01L * g * g;
            x[j] -= 0.05L * (decay * x[j] + m[j] / (1 - powl(0.9L, step)) / (sqrtl(v[j] / (1 - powl(0.99L, step))) + 1e-8L));
        }
        adamw_step(&adamw, &w.list, 0.05);
        for (size_t j = 0; j < 16; j++) {
            double is = (double)(j < 12 ? w.a.at[j] : w.b.at[j - 12]);
            CU_ASSERT(fabs(is - (double)x[j]) < 1e-4);
            x[j] = (long double)is; /* single precision forgets; the definition goes on from there */
        }
    }
    adamw_free(&adamw), bowl_free(&w);
}

static void clipping(void)
{
    struct bowl w = bowl_new();
    struct random unused = random_seeded(0);
    bowl_gradient(&w, &unused);
    double norm = weights_norm(&w.list), first = (double)w.da.at[0];
    CU_ASSERT(adamw_clip(&w.list, 2 * norm) == norm && (double)w.da.at[0] == first);
    CU_ASSERT(adamw_clip(&w.list, norm / 4) == norm);
    CU_ASSERT_DOUBLE_EQUAL(weights_norm(&w.list), norm / 4, 1e-5 * norm);
    CU_ASSERT_DOUBLE_EQUAL((double)w.da.at[0], first / 4, 1e-5 * fabs(first));
    bowl_free(&w);
}

static void rates(void)
{
    double last = 0;
    for (uint64_t step = 0; step < 10; step++) {
        double rate = adamw_rate(3, step, 10, 100);
        CU_ASSERT_DOUBLE_EQUAL(rate, 0.3 * (double)(step + 1), 1e-12);
    }
    CU_ASSERT_DOUBLE_EQUAL(adamw_rate(3, 10, 10, 100), 3, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(adamw_rate(3, 55, 10, 100), 1.65, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(adamw_rate(3, 100, 10, 100), 0.3, 1e-12);
    for (uint64_t step = 10; step <= 100; step++) {
        double rate = adamw_rate(3, step, 10, 100);
        CU_ASSERT(step == 10 || rate < last);
        last = rate;
    }
}

static struct train run_of(struct bowl *w, const char *path, uint64_t steps)
{
    return (struct train){.name = "bowl", .list = &w->list, .gradient = bowl_gradient, .context = w, .steps = steps,
                          .warm = 10, .rate = 0.3, .clip = 10, .tokens = 1, .path = path, .seed = 9};
}

static void training_finds_the_bottom(void)
{
    struct bowl w = bowl_new();
    struct random unused = random_seeded(0);
    double first = bowl_gradient(&w, &unused);
    struct train t = run_of(&w, NULL, 400);
    CU_ASSERT(train_run(&t) < 0.1 * first); /* decay keeps it off the bottom itself */
    bowl_free(&w);
}

static char folder[64], path[100];

static void make_folder(void)
{
    strcpy(folder, "/tmp/training.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run", folder);
}

static void remove_folder(void)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    struct check_output got = check_run(command);
    check_free(&got);
}

static uint64_t stop_after;
static void stop_here(void *context, uint64_t step, double loss)
{
    (void)context, (void)loss;
    if (step == stop_after) _exit(0); /* as a kill does: nothing is flushed or saved */
}

/* A run that is killed at any step and goes on ends with the same bits. */
static void resumed_is_the_same(void)
{
    struct random dice = check_random();
    struct bowl whole = bowl_new();
    whole.noise = 0.5;
    struct train t = run_of(&whole, NULL, 500);
    train_run(&t);
    make_folder();
    for (int kills = 0; kills < 6; kills++) {
        stop_after = 1 + random_below(&dice, 499);
        pid_t child = fork();
        if (!child) {
#ifdef _OPENMP
            omp_set_num_threads(1); /* a child has none of its parent's threads */
#endif
            struct bowl part = bowl_new();
            part.noise = 0.5;
            t = run_of(&part, path, 500), t.hear = stop_here;
            train_run(&t);
            _exit(0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        CU_ASSERT_EQUAL(status, 0);
    }
    struct bowl last = bowl_new();
    last.noise = 0.5;
    t = run_of(&last, path, 500);
    train_run(&t);
    for (size_t i = 0; i < whole.list.count; i++)
        CU_ASSERT(check_gap(whole.list.at[i].value, last.list.at[i].value) == 0);
    remove_folder(), bowl_free(&whole), bowl_free(&last);
}

/* A transformer of chapter 7, routed, in training. */
static void train_fit(struct fit *f, const struct corpus *c, const char *at)
{
    struct gpt_options o = {text_symbols(), 16, 2, 1, {.width = 16, .hidden = 16, .experts = 2, .top_k = 1,
                            .gate = GATE_SOFTMAX, .activation = FFN_GELU, .alpha = 0.01}};
    *f = fit_new(o, 4, c, 3);
    struct train t = {.name = "test", .list = &f->list, .gradient = fit_gradient, .context = f, .steps = CHECK_QUICK ? 300 : 900,
                      .warm = 10, .rate = 1e-2, .clip = 1, .tokens = 64, .path = at, .seed = 5};
    train_run(&t);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Killed at any moment, also while it writes, again and again: the same bits at the end. KILLS=100 asks for more. */
static void killed_is_the_same(void)
{
    struct random dice = check_random();
    struct corpus c = corpus_new(CORPUS_REVERSED);
    struct fit whole, last;
    double start = seconds();
    train_fit(&whole, &c, NULL);
    double took = seconds() - start;
    make_folder();
    int kills = getenv("KILLS") ? atoi(getenv("KILLS")) : 5, killed = 0, anew = 0;
    for (int i = 0; i < kills || (!killed && i < 20 * kills); i++) {
        pid_t child = fork();
        if (!child) {
#ifdef _OPENMP
            omp_set_num_threads(1); /* a child has none of its parent's threads */
#endif
            struct fit part;
            train_fit(&part, &c, path);
            _exit(0);
        }
        double wait = took * random_uniform(&dice) * 0.5;
        struct timespec nap = {(time_t)wait, (long)(fmod(wait, 1) * 1e9)};
        nanosleep(&nap, NULL);
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        if (WIFSIGNALED(status)) killed++;
        else remove(path), anew++, took /= 2; /* it was done before: another run, killed sooner */
    }
    CU_ASSERT(killed > 0);
    if (getenv("KILLS")) printf("\n    %d killed, %d done before ...", killed, anew);
    train_fit(&last, &c, path);
    for (size_t i = 0; i < whole.list.count; i++)
        CU_ASSERT(check_gap(whole.list.at[i].value, last.list.at[i].value) == 0);
    remove_folder(), fit_free(&whole), fit_free(&last), corpus_free(&c);
}

static int read_whole(unsigned char *at, size_t most)
{
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    size_t n = fread(at, 1, most, file);
    fclose(file);
    return (int)n;
}

static void write_whole(const unsigned char *at, size_t n)
{
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fwrite(at, 1, n, file), fclose(file);
}

/* Cut anywhere, changed anywhere, another model's: refused with a sentence, and nothing is taken. */
static void damaged_files(void)
{
    struct bowl w = bowl_new(), other = bowl_new();
    struct adamw a = adamw_new(&w.list), b = adamw_new(&other.list);
    struct random r = random_seeded(3), s = random_seeded(4);
    struct checkpoint run = {&w.list, &a, &r, 77}, into = {&other.list, &b, &s, 0};
    char why[CHECKPOINT_WHY];
    unsigned char whole[4000], bad[4000];
    make_folder();
    CU_ASSERT(!checkpoint_load(&into, path, why) && !*why); /* not there */
    CU_ASSERT(checkpoint_save(&run, path, why));
    int n = read_whole(whole, sizeof whole);
    CU_ASSERT_FATAL(n > 500);
    other.a.at[0] = 123;
    struct random dice = check_random();
    for (int cut = 0; cut < n; cut += cut < 40 ? 1 : 7) {
        write_whole(whole, (size_t)cut);
        CU_ASSERT(!checkpoint_load(&into, path, why) && *why);
    }
    for (int i = 0; i < 2000; i++) {
        size_t at = random_below(&dice, (size_t)n);
        memcpy(bad, whole, (size_t)n);
        bad[at] ^= (unsigned char)(1 + random_below(&dice, 255));
        write_whole(bad, (size_t)n);
        CU_ASSERT(!checkpoint_load(&into, path, why) && *why);
    }
    CU_ASSERT(other.a.at[0] == 123 && into.step == 0 && s.state == 4);
    write_whole(whole, (size_t)n);
    strcpy(other.list.at[1].name, "c");
    CU_ASSERT(!checkpoint_load(&into, path, why) && strstr(why, "it has b [1, 4] where this model has c [1, 4]"));
    strcpy(other.list.at[1].name, "b");
    CU_ASSERT(checkpoint_load(&into, path, why) && into.step == 77 && s.state == r.state);
    CU_ASSERT(check_gap(w.a, other.a) == 0);
    /* A disk that is full leaves the old file. */
    snprintf(path, sizeof path, "/dev/full/x");
    CU_ASSERT(!checkpoint_save(&run, path, why) && strstr(why, "cannot write"));
    remove_folder();
    adamw_free(&a), adamw_free(&b), bowl_free(&w), bowl_free(&other);
}

static void tables(void)
{
    struct results r = {0}, s = {0};
    results_add(&r, "dense", 1, 500, "held", 2), results_add(&r, "dense", 2, 500, "held", 4);
    results_add(&r, "dense", 3, 500, "held", 6), results_add(&r, "dense", 3, 400, "held", 1000);
    results_add(&r, "moe", 1, 500, "held", 1.0 / 3), results_add(&r, "dense", 1, 500, "train", -7);
    struct results_summary all = results_over(&r, "dense", "held", 500);
    CU_ASSERT(all.seeds == 3 && all.mean == 4 && all.deviation == 2);
    all = results_over(&r, "moe", "held", 500);
    CU_ASSERT(all.seeds == 1 && all.mean == 1.0 / 3 && isnan(all.deviation));
    all = results_over(&r, "none", "held", 500);
    CU_ASSERT(all.seeds == 0 && isnan(all.mean));
    FILE *file = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fprintf(file, "# a header\n\n");
    results_write(file, &r), rewind(file);
    CU_ASSERT(results_read(&s, file) == 0 && s.count == r.count);
    for (size_t i = 0; i < s.count; i++)
        CU_ASSERT(!strcmp(s.at[i].model, r.at[i].model) && !strcmp(s.at[i].name, r.at[i].name)
                  && s.at[i].seed == r.at[i].seed && s.at[i].step == r.at[i].step && s.at[i].value == r.at[i].value);
    fclose(file);
    static const char *const bad[] = {"a\t1\t2\tb\n", "a\t1\t2\tb\tx\n", "a\t1\t2\tb\t3\t4\n", "a\tx\t2\tb\t3\n", "a b c\n",
                                      "a\t1\t2\tb\t3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file = tmpfile();
        fputs("# x\nm\t1\t1\tn\t1\n", file), fputs(bad[i], file), rewind(file);
        CU_ASSERT_EQUAL(results_read(&s, file), 3);
        fclose(file);
    }
    results_free(&r), results_free(&s);
}

SUITE(D) {
    check_case("AdamW agrees with its definition; a row does not decay", adamw_by_definition);
    check_case("clipping keeps the direction", clipping);
    check_case("the rate warms up, then follows a cosine", rates);
    check_case("training finds the bottom of a bowl", training_finds_the_bottom);
    check_case("a run that goes on ends with the same bits", resumed_is_the_same);
    check_case("a transformer's run that is killed does, too", killed_is_the_same);
    check_case("a damaged or foreign checkpoint is refused and changes nothing", damaged_files);
    check_case("means and deviations over seeds; rows that are none", tables);
}
