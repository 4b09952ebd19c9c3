#include <math.h>
#include "ffn.h"
#include "lesson.h"
#include "router.h"
#include "softmax.h"

struct pencil { real x[4], w[16], z[4], by_row[4]; };

static size_t best_of(const real *z)
{
    size_t best = 0;
    for (size_t i = 1; i < 4; i++) if (z[i] > z[best]) best = i;
    return best;
}

static double lead_of(const real *z)
{
    size_t best = best_of(z);
    real second = (real)-INFINITY;
    for (size_t i = 0; i < 4; i++)
        if (i != best && z[i] > second) second = z[i];
    return (double)(z[best] - second);
}

static struct pencil draw_pencil(uint64_t seed, FILE *given)
{
    struct random r = random_seeded(seed);
    struct pencil p;
    struct matrix x = {1, 4, p.x}, w = {4, 4, p.w};
    do {
        for (size_t d = 0; d < 4; d++)
            p.x[d] = (real)random_below(&r, 3);
        for (size_t i = 0; i < 16; i++)
            p.w[i] = (real)random_below(&r, 5) - 2;
        matmul((struct matrix){1, 4, p.z}, x, w);
        matmul_nt((struct matrix){1, 4, p.by_row}, x, w);
    } while (lead_of(p.z) <= 0 || best_of(p.z) == best_of(p.by_row)
             || lead_of(p.z) == lead_of(p.by_row));
    fprintf(given, " x   W  expert  0    1    2    3\n");
    for (size_t d = 0; d < 4; d++)
        fprintf(given, "%2g           %4g %4g %4g %4g\n",
                (double)p.x[d], (double)p.w[4 * d],
                (double)p.w[4 * d + 1], (double)p.w[4 * d + 2],
                (double)p.w[4 * d + 3]);
    return p;
}

static void print_row(FILE *out, const char *name, const real *row)
{
    fprintf(out, "%-8s %4g %4g %4g %4g\n", name, (double)row[0],
            (double)row[1], (double)row[2], (double)row[3]);
}

static void find_winner(uint64_t seed, struct lesson_problem *l)
{
    struct pencil p = draw_pencil(seed, l->given);
    l->right = lesson_value((double)best_of(p.z));
    l->wrong[0] = lesson_value((double)best_of(p.by_row));
    print_row(l->way, "scores", p.z);
    fprintf(l->way, "largest: expert %zu\n", best_of(p.z));
}

static void find_lead(uint64_t seed, struct lesson_problem *l)
{
    struct pencil p = draw_pencil(~seed, l->given);
    size_t best = best_of(p.z);
    l->right = lesson_value(lead_of(p.z));
    l->wrong[0] = lesson_value(lead_of(p.by_row));
    fprintf(l->way, "expert %zu", best);
    for (size_t d = 0; d < 4; d++)
        fprintf(l->way, " %s %g x %g", d ? "+" : " ", (double)p.x[d],
                (double)p.w[4 * d + best]);
    fprintf(l->way, " = %g\n", (double)p.z[best]);
    print_row(l->way, "logits", p.z);
    fprintf(l->way, "ahead by %g\n", lead_of(p.z));
}

static void compare_sizes(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t width = 64 * (1 + random_below(&r, 8)), hidden = 4 * width;
    size_t experts = 4 + 4 * random_below(&r, 4);
    uint64_t one = ffn_parameters(width, hidden);
    double times = (double)one / (double)(width * experts);
    fprintf(l->given, "D = %zu    H = %zu    E = %zu\n", width, hidden,
            experts);
    l->right = lesson_value(times);
    l->wrong[0] = lesson_value(1);
    l->wrong[1] = lesson_value(times * (double)experts);
    fprintf(l->way, "one expert  2 D H + H + D = %llu\n",
            (unsigned long long)one);
    fprintf(l->way, "router      D E           = %zu\n",
            width * experts);
    fprintf(l->way, "%.2f times; 2 H / E       = %.2f\n", times,
            2 * (double)hidden / (double)experts);
}

static void name_experts(uint64_t seed, struct lesson_problem *l)
{
    static const char *const names[] = {"letters", "digits", "signs",
                                        "starts"};
    struct random r = random_seeded(seed);
    size_t token = random_below(&r, 4), n[4], sum = 0;
    double logs = 0;
    real z[4];
    struct matrix row = {1, 4, z};
    for (size_t i = 0; i < 4; i++) {
        sum += n[i] = i == token ? 7 + random_below(&r, 3)
                                 : 2 + random_below(&r, 3);
        logs += log((double)n[i]);
        z[i] = (real)log((double)n[i]);
        fprintf(l->given, "%-8s logit ln %zu\n", names[i], n[i]);
    }
    softmax_rows(row, NULL, row);
    l->right = lesson_value((double)z[token]);
    l->wrong[0] = lesson_value(log((double)n[token]) / logs);
    fprintf(l->way, "Z = %zu + %zu + %zu + %zu = %zu\n", n[0], n[1],
            n[2], n[3], sum);
    for (size_t i = 0; i < 4; i++)
        fprintf(l->way, "%-8s %zu / %zu = %.3f%s\n", names[i], n[i],
                sum, (double)z[i], i == token ? "  the largest" : "");
}

static void run_three_lines(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed ^ 26);
    size_t ratio = 2 + random_below(&r, 8);
    size_t experts = 3 + random_below(&r, 6);
    real z[8] = {(real)log((double)ratio)};
    struct matrix row = {1, experts, z};
    fprintf(l->given, "z = ln %zu", ratio);
    for (size_t i = 1; i < experts; i++) fprintf(l->given, "   0");
    fprintf(l->given, "\n");
    softmax_rows(row, NULL, row);
    l->right = lesson_value((double)z[0]);
    l->wrong[0] = lesson_value((double)ratio / (double)(ratio + 1));
    fprintf(l->way, "Z = %zu + %zu x 1 = %zu\np = %zu / %zu = %.4f\n",
            ratio, experts - 1, ratio + experts - 1, ratio,
            ratio + experts - 1, (double)z[0]);
}

static double largest(const real *z)
{
    real p[4];
    softmax_rows((struct matrix){1, 4, p}, NULL,
                 (struct matrix){1, 4, (real *)z});
    return (double)p[best_of(p)];
}

static void change_logits(uint64_t seed, struct lesson_problem *l)
{
    static const char *const kinds[] = {"%zu is added to every logit\n",
        "every logit is multiplied by %zu\n",
        "every logit is divided by %zu\n"};
    struct random r = random_seeded(seed);
    size_t kind = random_below(&r, 3), amount = 2 + random_below(&r, 9);
    real z[4], changed[4], n = (real)amount;
    for (size_t i = 0; i < 4; i++) {
        z[i] = (real)(i + random_below(&r, 2)) - 1;
        changed[i] = kind == 0 ? z[i] + n : kind == 1 ? z[i] * n
                                                      : z[i] / n;
    }
    double change = largest(changed) - largest(z);
    print_row(l->given, "logits", z);
    fprintf(l->given, kinds[kind], amount);
    l->right = lesson_value(fabs(change) < 1e-5 ? 1
                            : change > 0 ? 2 : 3);
    l->wrong[0] = lesson_value(kind == 0 ? 2 : 1);
    print_row(l->way, "before", z);
    print_row(l->way, "after", changed);
    fprintf(l->way, "largest probability %.4f before, %.4f after\n",
            largest(z), largest(changed));
}

static const struct lesson rows[] = {
    {"2.1", "The router is a one-line linear layer that picks experts",
     "2.1.3", 7, "Each row has a number of the token x, then its row "
     "of W. Which expert wins this token?", NULL, LESSON_EXPERTS, 0,
     {0},
     {"A column of W belongs to an expert.",
      "Multiply x with each column, number by number, and add up.",
      "Numbers of x that are zero take no part; do the others."},
     find_winner,
     {"That is the winner if x is multiplied with the rows of W; "
      "experts are columns."}},
    {"2.2", "Compute gating logits: one matmul, four numbers", "2.2.2",
     7, "Compute the four logits. By how much is the largest ahead of "
     "the second largest?", NULL, LESSON_NUMBER, 0, {0},
     {"An expert's logit needs one column of W.",
      "Add x[d] x W[d, expert] over the four rows d, for each expert.",
      "Order the four logits; the first minus the second."},
     find_lead,
     {"That is x with the rows of W; experts are columns."}},
    {"2.3", "The router is a single linear layer plus softmax", "1.1.2",
     6, "One expert is a block of width D and H hidden units. How many "
     "times as many parameters has one expert as the whole router?",
     "times", LESSON_NUMBER, 1, {0},
     {"The router is one matrix, with a row for each number of the "
      "token and a column for each expert.", "The router has D x E "
      "parameters. An expert has 2 D H weights, and a few biases.",
      "About 2 H / E."},
     compare_sizes,
     {"A router is far smaller than what it chooses from: it has D "
      "numbers for each expert.", "That is one expert against one "
      "column of W; the router has E columns."}},
    {"2.4", "Pick a token, name your four experts, write down "
     "the gates", "2.2.1", 6, "Four experts have names. Pick a token "
     "that its largest logit suits, and write down its four gates, the "
     "probabilities. What is the largest?", NULL, LESSON_NUMBER, 0.005,
     {0},
     {"The exponential of ln n is n.", "Z is the sum of the four whole "
      "numbers.", "The largest whole number, divided by Z."},
     name_experts,
     {"The logits themselves were shared out; the softmax shares out "
      "their exponentials."}},
    {"2.5", "From hidden state to gate probabilities in three lines of "
     "code", "1.2.1", 6, "After the first line, a token's row of z is "
     "this. What does the second line write as the first expert's "
     "probability?", NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of 0 is 1, the exponential of ln n is n.",
      "Z has one large term, and a 1 for each of the others.",
      "n / (n + E - 1)."},
     run_three_lines,
     {"Only one rival was counted; every other expert adds 1 to Z."}},
    {"2.6", "Shifting the logits is free, scaling them is not", "1.1.2",
     6, "What does this change do to the token's probabilities?", NULL,
     LESSON_CHOICE, 0,
     {"nothing beyond rounding", "the largest probability grows",
      "the largest probability shrinks"},
     {"The softmax depends on differences of logits only.",
      "What does the change do to the difference between the largest "
      "logit and the others?",
      "Equal differences: nothing. Larger differences: more certain."},
     change_logits,
     {"Adding keeps all differences; multiplying and dividing change "
      "them."}},
};

const struct lesson_table lessons2 = {rows, sizeof rows / sizeof *rows};
