#include <math.h>
#include "balance.h"
#include "cases.h"
#include "collapse.h"
#include "lesson.h"

static void score_collapse(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t experts = (size_t)8 << random_below(&r, 4);
    size_t top_k = 2 + 2 * random_below(&r, 2);
    fprintf(l->given, "E = %zu    K = %zu\n", experts, top_k);
    l->right = lesson_value(cases_loss(cases_collapsed(experts, top_k),
                                       top_k, cases_book));
    l->wrong[0] = lesson_value(1 / (double)top_k);
    l->wrong[1] = lesson_value((double)experts);
    fprintf(l->way, "even: sum of f P = 1/%zu, so the constant is %zu\n"
            "collapse: sum of f P = %zu x 1/%zu x 1/%zu, times %zu\n",
            experts, experts, top_k, top_k, top_k, experts);
}

static void compare_with_one(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t undecided = 6 + random_below(&r, 4);
    size_t own = random_below(&r, 4), each = 1 + random_below(&r, 3);
    struct matrix z = cases_mixed(4, own, each, undecided);
    double f[4], p[4];
    cases_count(f, p, z, 1, cases_book);
    double over = balance_loss(f, p, 4) - 1;
    matrix_free(&z);
    fprintf(l->given, "E = 4    K = 1\nundecided, to expert 0: %zu\n"
            "certain of expert 0: %zu\n"
            "certain of 1, of 2, and of 3: %zu each\n", undecided, own,
            each);
    l->right = lesson_value(fabs(over) < 1e-6 ? 2 : over > 0 ? 1 : 3);
    if (l->right.value[0] != 1) l->wrong[0] = lesson_value(1);
    fprintf(l->way, "expert 0:     f = %.3f, P = %.3f\n"
            "each other:   f = %.3f, P = %.3f\nE x sum of f P = %.4f\n",
            f[0], p[0], f[1], p[1], balance_loss(f, p, 4));
}

static struct lesson_answer pushed(const double *f, const real *p,
                                   double sign)
{
    real dz[4] = {0}, row[4] = {p[0], p[1], p[2], p[3]};
    struct lesson_answer answer = {0, {0}};
    balance_loss_backward((struct matrix){1, 4, dz},
                          (struct matrix){1, 4, row}, 1, f, sign);
    for (size_t e = 0; e < 4; e++)
        if (dz[e] < 0) answer.value[answer.count++] = (double)e;
    return answer;
}

static void push_token(uint64_t seed, struct lesson_problem *l)
{
    static const double twelfths[] = {6, 3, 2, 1};
    static const real even[] = {(real)0.25, (real)0.25, (real)0.25,
                                (real)0.25};
    struct random r = random_seeded(seed);
    size_t turn = random_below(&r, 4), likes = 3 * random_below(&r, 2);
    size_t step = 1 + 2 * random_below(&r, 2);
    double f[4], average = 0;
    real p[4];
    for (size_t i = 0; i < 4; i++) {
        size_t e = (turn + step * i) % 4;
        f[e] = twelfths[i] / 12, p[e] = i == likes ? 7 : 1;
        p[e] /= 10, average += f[e] * (double)p[e];
    }
    l->right = pushed(f, p, 1);
    l->wrong[0] = pushed(f, p, -1);
    l->wrong[1] = pushed(f, even, 1);
    fprintf(l->way, "the token's average, sum of f p = %.4f\n",
            average);
    for (size_t e = 0; e < 4; e++) {
        fprintf(l->given, "expert %zu  choices %1.0f of 12    "
                "p = %.1f\n", e, 12 * f[e], (double)p[e]);
        fprintf(l->way, "expert %zu  f = %.4f  %s\n", e, f[e],
                f[e] < average ? "below: up" : "above: down");
    }
}

static void train_unbalanced(uint64_t seed, struct lesson_problem *l)
{
    enum { RUNS = 4, STEPS = 300 };
    struct random r = random_seeded(seed);
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    size_t first = 1 + random_below(&r, 1000);
    double common = (double[]){0, 1, 3}[random_below(&r, 3)];
    struct collapse_options options = {8, 1, STEPS, common,
                                       collapse_balances[0]};
    struct collapse_runs runs = collapse_repeat(&options, &model, first,
                                                RUNS, NULL);
    charlm_free(&model);
    fprintf(l->given, "E = 8    K = 1    c = %g    %d runs\n"
            "%d steps each; the load is that of the last %d\n",
            common, RUNS, STEPS, COLLAPSE_WINDOW);
    l->right = lesson_value(runs.mean < 2 ? 1 : runs.mean < 5 ? 2 : 3);
    if (l->right.value[0] != 2) l->wrong[0] = lesson_value(2);
    fprintf(l->way, "exp(H): %.2f on average, from %.2f to %.2f\nthe "
            "busiest expert has %.0f%% of the tokens\nbuild/chapter4 "
            "--shared %g --seed %zu --seeds %d\n", runs.mean,
            runs.least, runs.most, 100 * runs.top, common, first, RUNS);
}

static const struct lesson rows[] = {
    {"4.1", "The auxiliary loss is one inner product, computed per "
     "batch", "1.2.3", 7, "A loss is a constant times the sum of f[i] "
     "x P[i]; an even batch scores 1. Now all tokens choose the same K "
     "experts, which share all probability. What is the score then?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"Find the constant first: even means f = P = 1/E for all E.",
      "In collapse f = P = 1/K for K experts, and 0 for the others.",
      "The constant is E, the sum is K x 1/K x 1/K."},
     score_collapse,
     {"That is the sum. But then an even batch would score 1/E.",
      "One expert with everything has that loss. Here K share it."}},
    {"4.2", "Where the load leans, and where the probability does",
     "1.2.3", 7, "Expert 0 has more tokens than any other. Is the "
     "auxiliary loss of the batch above 1, exactly 1, or below 1?",
     NULL,
     LESSON_CHOICE, 0, {"above 1", "exactly 1", "below 1"},
     {"The load leans to expert 0. Where does the probability lean?",
      "Undecided tokens give all experts the same.",
      "Compare those certain of expert 0 with those certain of 1."},
     compare_with_one,
     {"The load leans to expert 0, but P must do so, too."}},
    {"4.3", "Auxiliary losses don't pick experts, they push for "
     "fairness", "2.3.2", 7, "A token has these probabilities. After "
     "one step against the slope of the auxiliary loss, which experts' "
     "logits are higher? Name them all.", NULL,
     LESSON_SET, 0, {0},
     {"Some logits go up, some down: the softmax only compares.",
      "Busier than what? The token weighs loads by its probabilities.",
      "Up go the experts whose f is below the sum of f[i] x p[i]."},
     push_token,
     {"Those go down: they are busier than the token's average.",
      "They have less than 1/E of the choices. The token compares "
      "with the load that it meets on average."}},
    {"4.4", "Without a load-balancing loss, the router picks two "
     "experts forever, or one for all tokens: does it?", "1.1.3 2.3.1",
     7, "Nothing balances this router. How many effective experts are "
     "in use at the end, on average over the runs?", NULL,
     LESSON_CHOICE, 0, {"fewer than two", "from two to five",
     "more than five"},
     {"exp(H) is 1 if one expert has all, 8 if all have the same.",
      "The larger c, the more tokens can follow one expert.",
      "Close to one for c = 3, a few for c = 1, most for c = 0."},
     train_unbalanced,
     {"Two is a slogan: it depends on what tokens share."}},
};

const struct lesson_table lessons4 = {rows, sizeof rows / sizeof *rows};
