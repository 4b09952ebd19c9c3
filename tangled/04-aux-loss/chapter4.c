/* Chapter 4: what the auxiliary loss measures, and what it does. */
#include "balance.h"
#include "cases.h"
#include "collapse.h"
#include "print.h"
#include "program.h"

extern const struct lesson_table lessons4;

enum { MOST = 256, MOST_STEPS = 5000 };
static size_t experts = 8, top_k = 1, seeds = 4, steps = 300,
    seed = LESSON_BOOK_SEED;
static double shared = 1, below_one, half_idle, f[MOST], p[MOST];
static struct args_shares shares = {4, {9, 2, 2, 2}};

static const struct args_option options[] = {
    {"--experts", "experts, E", ARGS_COUNT, &experts, 2, MOST, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, MOST, NULL},
    {"--shares", "a load to measure", ARGS_SHARES, &shares,
     0, 1e6, NULL},
    {"--shared", "size of the tokens' common part", ARGS_NUMBER,
     &shared, 0, 100, NULL},
    {"--steps", "training steps", ARGS_COUNT, &steps,
     100, MOST_STEPS, NULL},
    {"--seeds", "runs of the experiment; 0 for none", ARGS_COUNT,
     &seeds, 0, 100, NULL},
    {"--seed", "of the first run", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static struct collapse_runs runs[COLLAPSE_BALANCES];
static double curves[COLLAPSE_BALANCES][MOST_STEPS / COLLAPSE_EVERY];
static struct cases_form forms[CASES_FORMS];
static struct cases_pair pairs[CASES_PAIRS];

static int prepare(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    cases_forms(forms, experts, top_k);
    cases_pairs(pairs, experts, &model);
    below_one = cases_loss(cases_mixed(experts, 0, 1, experts + 1), 1,
                           cases_book);
    half_idle = cases_loss(cases_half_idle(experts), 1, cases_book);
    for (size_t i = 0; i < COLLAPSE_BALANCES; i++) {
        struct collapse_options o = {experts, top_k, steps, shared,
                                     collapse_balances[i]};
        runs[i] = collapse_repeat(&o, &model, seed, seeds, curves[i]);
    }
    charlm_free(&model);
    return 0;
}

static void print_fractions(FILE *out)
{
    static const struct { const char *name;
        void (*of)(double *, const struct routes *); } rows[] = {
        {"first choices", balance_first}, {"gate weight", balance_gate},
        {"among the two", balance_chosen}, {"load, f", balance_load}};
    struct routes r = cases_by_hand();
    print_part(out, "Three fractions of four tokens, K = 2");
    fprintf(out, "    expert             0      1      2      3\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i].of(f, &r);
        fprintf(out, "    %-13s  %.3f  %.3f  %.3f  %.3f\n",
                rows[i].name, f[0], f[1], f[2], f[3]);
    }
    routes_free(&r);
}

static void print_run(FILE *out)
{
    fprintf(out, "The auxiliary loss, E = %zu, K = %zu\n", experts,
            top_k);
    print_part(out, "The loss of constructed batches");
    fprintf(out, "                         even  collapse\n");
    for (size_t i = 0; i < CASES_FORMS; i++)
        fprintf(out, "    %-17s %7.4f   %7.4f\n", forms[i].name,
                forms[i].even, forms[i].collapse);
    fprintf(out, "    below one, K = 1  %7.4f\n", below_one);
    print_fractions(out);
    print_part(out, "Counted in two ways, K = 1");
    for (size_t i = 0; i < CASES_PAIRS; i++)
        fprintf(out, "    %-15s %.3f    %-15s %.3f\n",
                pairs[i].name[0], pairs[i].loss[0], pairs[i].name[1],
                pairs[i].loss[1]);
    if (!seeds) return;
    print_part(out, "Effective experts after training");
    fprintf(out, "    %zu seeds, %zu steps, common part %g\n", seeds,
            steps, shared);
    for (size_t i = 0; i < COLLAPSE_BALANCES; i++) {
        fprintf(out, "    %-13s %5.2f  (%.2f to %.2f) ",
                collapse_balances[i].name, runs[i].mean, runs[i].least,
                runs[i].most);
        print_bar(out, runs[i].mean / (double)experts, 30);
        fprintf(out, "|\n");
    }
}

static void print_values(FILE *out)
{
    double sum = 0, *share = shares.at;
    size_t n = shares.count;
    for (size_t e = 0; e < n; e++) sum += share[e];
    for (size_t e = 0; e < n; e++) share[e] /= sum;
    print_value(out, "experts.effective", balance_effective(share, n));
    print_value(out, "experts.simpson", balance_simpson(share, n));
    print_value(out, "experts.cv2", balance_cv2(share, n));
    print_value(out, "experts.max_violation",
                balance_max_violation(share, n));
    print_value(out, "aux.skewed", balance_loss(share, share, n));
    struct matrix z = {1, 3, (real[]){1, 1, 0}};
    balance_smooth_load(f, z, z, 1, 2);
    print_value(out, "smooth.tied", f[0]);
    print_value(out, "smooth.last", f[2]);
}

static void print_curves(FILE *out)
{
    fprintf(out, "# step");
    for (size_t s = 0; s < COLLAPSE_BALANCES; s++)
        fprintf(out, "\t%s", collapse_balances[s].name);
    for (size_t i = 0; i < steps / COLLAPSE_EVERY; i++) {
        fprintf(out, "\n%zu", (i + 1) * COLLAPSE_EVERY);
        for (size_t s = 0; s < COLLAPSE_BALANCES; s++)
            fprintf(out, "\t%.6g", curves[s][i]);
    }
    fprintf(out, "\n");
}

static void print_push(FILE *out)
{
    double move[MOST];
    fprintf(out, "# batch\texpert\tf\tP\tlogit moves\tloss\n");
    for (int i = 0; i < 3; i++) {
        cases_push(f, p, move, experts, i);
        for (size_t e = 0; e < experts; e++)
            fprintf(out, "%d\t%zu\t%.6g\t%.6g\t%.3f\t%.6g\n", i, e,
                    f[e], p[e], move[e], balance_loss(f, p, experts));
        fprintf(out, "\n\n");
    }
}

static void check(const struct args *args)
{
    if (top_k > experts)
        args_reject(args, "--top-k", "--top-k 1",
                    "must be from 1 to the number of experts, %zu, "
                    "got %zu", experts, top_k);
}

int main(int argc, char **argv)
{
    static const struct program_value known[] = {
        {"aux.experts", &experts, NULL}, {"sim.steps", &steps, NULL},
        {"aux.uniform", NULL, &forms[0].even},
        {"aux.below_one", NULL, &below_one},
        {"aux.half_idle", NULL, &half_idle},
        {"sim.seeds", &seeds, NULL}, {"sim.none", NULL, &runs[0].mean},
        {"sim.none_sd", NULL, &runs[0].deviation},
        {"sim.none_least", NULL, &runs[0].least},
        {"sim.none_most", NULL, &runs[0].most},
        {"sim.none_top", NULL, &runs[0].top},
        {"sim.small", NULL, &runs[1].mean},
        {"sim.large", NULL, &runs[2].mean},
        {"sim.entropy", NULL, &runs[3].mean},
        {"sim.bias", NULL, &runs[4].mean},
        {"sim.quantile", NULL, &runs[5].mean}, {0}};
    static const struct args_table tables[] = {
        {"usage", print_curves}, {"push", print_push}, {0}};
    static const struct program program = {
        .name = "chapter4", .about = "take the auxiliary loss, and "
        "train with and without it", .options = options,
        .lessons = &lessons4, .seed = &seed, .check = check,
        .prepare = prepare, .run = print_run, .values = print_values,
        .known = known, .tables = tables};
    return program_main(&program, argc, argv);
}
