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

static struct pencil draw_pencil(uint64_t seed)
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
    return p;
}

static void print_row(FILE *out, const char *name, const real *row)
{
    fprintf(out, "%-8s %4g %4g %4g %4g\n", name, (double)row[0],
            (double)row[1], (double)row[2], (double)row[3]);
}

static void pose_pencil(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(seed);
    fprintf(out, " x   W  expert  0    1    2    3\n");
    for (size_t d = 0; d < 4; d++) {
        const real *w = p.w + 4 * d;
        fprintf(out, "%2g           %4g %4g %4g %4g\n", (double)p.x[d],
                (double)w[0], (double)w[1], (double)w[2], (double)w[3]);
    }
}

static struct lesson_answer solve_winner(uint64_t seed)
{
    return lesson_value((double)best_of(draw_pencil(seed).z));
}

static struct lesson_answer win_by_row(uint64_t seed)
{
    return lesson_value((double)best_of(draw_pencil(seed).by_row));
}

static void trace_winner(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(seed);
    print_row(out, "scores", p.z);
    fprintf(out, "largest: expert %zu\n", best_of(p.z));
}

static void pose_lead(uint64_t seed, FILE *out)
{
    pose_pencil(~seed, out);
}

static struct lesson_answer solve_lead(uint64_t seed)
{
    return lesson_value(lead_of(draw_pencil(~seed).z));
}

static struct lesson_answer lead_by_row(uint64_t seed)
{
    return lesson_value(lead_of(draw_pencil(~seed).by_row));
}

static void trace_lead(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(~seed);
    size_t best = best_of(p.z);
    fprintf(out, "expert %zu", best);
    for (size_t d = 0; d < 4; d++)
        fprintf(out, " %s %g x %g", d ? "+" : " ", (double)p.x[d],
                (double)p.w[4 * d + best]);
    fprintf(out, " = %g\n", (double)p.z[best]);
    print_row(out, "logits", p.z);
    fprintf(out, "ahead by %g\n", lead_of(p.z));
}

struct sizes { size_t width, hidden, experts; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 64 * (1 + random_below(&r, 8));
    return (struct sizes){width, 4 * width,
                          4 + 4 * random_below(&r, 4)};
}

static void pose_sizes(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "D = %zu    H = %zu    E = %zu\n", s.width, s.hidden,
            s.experts);
}

static struct lesson_answer solve_sizes(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)ffn_parameters(s.width, s.hidden)
                        / (double)(s.width * s.experts));
}

static struct lesson_answer as_large(uint64_t seed)
{
    (void)seed;
    return lesson_value(1);
}

static struct lesson_answer one_column(uint64_t seed)
{
    return lesson_value(solve_sizes(seed).value[0]
                        * (double)draw_sizes(seed).experts);
}

static void trace_sizes(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    unsigned long long one = ffn_parameters(s.width, s.hidden);
    fprintf(out, "one expert  2 D H + H + D = %llu\n", one);
    fprintf(out, "router      D E           = %zu\n",
            s.width * s.experts);
    fprintf(out, "%.2f times; 2 H / E       = %.2f\n",
            solve_sizes(seed).value[0],
            2 * (double)s.hidden / (double)s.experts);
}

enum { NAMED = 4 };
static const char *const names[NAMED] = {"letters", "digits", "signs",
                                         "starts"};
struct counts { size_t token, n[NAMED], sum; };

static struct counts draw_counts(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct counts c = {.token = random_below(&r, NAMED)};
    for (size_t i = 0; i < NAMED; i++) {
        c.n[i] = i == c.token ? 7 + random_below(&r, 3)
                              : 2 + random_below(&r, 3);
        c.sum += c.n[i];
    }
    return c;
}

static void pose_gates(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    for (size_t i = 0; i < NAMED; i++)
        fprintf(out, "%-8s logit ln %zu\n", names[i], c.n[i]);
}

static struct lesson_answer solve_gates(uint64_t seed)
{
    struct counts c = draw_counts(seed);
    real z[NAMED];
    struct matrix row = {1, NAMED, z};
    for (size_t i = 0; i < NAMED; i++)
        z[i] = (real)log((double)c.n[i]);
    softmax_rows(row, NULL, row);
    return lesson_value((double)z[c.token]);
}

static struct lesson_answer share_of_logits(uint64_t seed)
{
    struct counts c = draw_counts(seed);
    double sum = 0;
    for (size_t i = 0; i < NAMED; i++) sum += log((double)c.n[i]);
    return lesson_value(log((double)c.n[c.token]) / sum);
}

static void trace_gates(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    fprintf(out, "Z = %zu + %zu + %zu + %zu = %zu\n",
            c.n[0], c.n[1], c.n[2], c.n[3], c.sum);
    for (size_t i = 0; i < NAMED; i++)
        fprintf(out, "%-8s %zu / %zu = %.3f%s\n", names[i], c.n[i],
                c.sum, (double)c.n[i] / (double)c.sum,
                i == c.token ? "  the largest" : "");
}

struct ahead { size_t ratio, experts; };

static struct ahead draw_ahead(uint64_t seed)
{
    struct random r = random_seeded(seed ^ 26);
    size_t ratio = 2 + random_below(&r, 8);
    return (struct ahead){ratio, 3 + random_below(&r, 6)};
}

static void pose_ahead(uint64_t seed, FILE *out)
{
    struct ahead a = draw_ahead(seed);
    fprintf(out, "z = ln %zu", a.ratio);
    for (size_t i = 1; i < a.experts; i++) fprintf(out, "   0");
    fprintf(out, "\n");
}

static struct lesson_answer solve_ahead(uint64_t seed)
{
    struct ahead a = draw_ahead(seed);
    real z[8] = {(real)log((double)a.ratio)};
    struct matrix row = {1, a.experts, z};
    softmax_rows(row, NULL, row);
    return lesson_value((double)z[0]);
}

static struct lesson_answer only_one_rival(uint64_t seed)
{
    double ratio = (double)draw_ahead(seed).ratio;
    return lesson_value(ratio / (ratio + 1));
}

static void trace_ahead(uint64_t seed, FILE *out)
{
    struct ahead a = draw_ahead(seed);
    fprintf(out, "Z = %zu + %zu x 1 = %zu\np = %zu / %zu = %.4f\n",
            a.ratio, a.experts - 1, a.ratio + a.experts - 1, a.ratio,
            a.ratio + a.experts - 1, solve_ahead(seed).value[0]);
}

struct change { real z[4], changed[4]; size_t kind, amount; };

static struct change draw_change(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct change c = {.kind = random_below(&r, 3)};
    c.amount = 2 + random_below(&r, 9);
    for (size_t i = 0; i < 4; i++) {
        real n = (real)c.amount;
        c.z[i] = (real)(i + random_below(&r, 2)) - 1;
        c.changed[i] = c.kind == 0 ? c.z[i] + n
                     : c.kind == 1 ? c.z[i] * n : c.z[i] / n;
    }
    return c;
}

static void pose_change(uint64_t seed, FILE *out)
{
    static const char *const kinds[] = {"%zu is added to every logit\n",
        "every logit is multiplied by %zu\n",
        "every logit is divided by %zu\n"};
    struct change c = draw_change(seed);
    print_row(out, "logits", c.z);
    fprintf(out, kinds[c.kind], c.amount);
}

static double largest(const real *z)
{
    real p[4];
    softmax_rows((struct matrix){1, 4, p}, NULL,
                 (struct matrix){1, 4, (real *)z});
    return (double)p[best_of(p)];
}

static struct lesson_answer solve_change(uint64_t seed)
{
    struct change c = draw_change(seed);
    double change = largest(c.changed) - largest(c.z);
    return lesson_value(fabs(change) < 1e-5 ? 1 : change > 0 ? 2 : 3);
}

static struct lesson_answer shift_as_scale(uint64_t seed)
{
    return lesson_value(draw_change(seed).kind == 0 ? 2 : 1);
}

static void trace_change(uint64_t seed, FILE *out)
{
    struct change c = draw_change(seed);
    print_row(out, "before", c.z);
    print_row(out, "after", c.changed);
    fprintf(out, "largest probability %.4f before, %.4f after\n",
            largest(c.z), largest(c.changed));
}

static const struct lesson rows[] = {
    {"2.1", "The router is a one-line linear layer that picks experts",
     "2.1.3", 7, "Each row has a number of the token x, then its row of "
     "W. Which expert wins this token?", NULL, LESSON_EXPERTS, 0, {0},
     {"A column of W belongs to an expert.",
      "Multiply x with each column, number by number, and add up.",
      "Numbers of x that are zero take no part; do the others."},
     pose_pencil, solve_winner, trace_winner,
     {{"That is the winner if x is multiplied with the rows of W; "
       "experts are columns.", win_by_row}}},
    {"2.2", "Compute gating logits: one matmul, four numbers", "2.2.2",
     7, "Compute the four logits. By how much is the largest ahead of "
     "the second largest?", NULL, LESSON_NUMBER, 0, {0},
     {"An expert's logit needs one column of W.",
      "Add x[d] x W[d, expert] over the four rows d, for each expert.",
      "Order the four logits; the first minus the second."},
     pose_lead, solve_lead, trace_lead,
     {{"That is x with the rows of W; experts are columns.",
       lead_by_row}}},
    {"2.3", "The router is a single linear layer plus softmax", "1.1.2",
     6, "One expert is a block of width D and H hidden units. How many "
     "times as many parameters has one expert as the whole router?",
     "times", LESSON_NUMBER, 1, {0},
     {"The router is one matrix, with a row for each number of the "
      "token and a column for each expert.", "The router has D x E "
      "parameters. An expert has 2 D H weights, and a few biases.",
      "About 2 H / E."},
     pose_sizes, solve_sizes, trace_sizes,
     {{"A router is far smaller than what it chooses from: it has D "
       "numbers for each expert.", as_large},
      {"That is one expert against one column of W; the router has E "
       "columns.", one_column}}},
    {"2.4", "Pick a token, name your four experts, write down "
     "the gates", "2.2.1", 6, "Four experts have names. Pick a token "
     "that its largest logit suits, and write down its four gates, the "
     "probabilities. What is the largest?", NULL, LESSON_NUMBER, 0.005,
     {0},
     {"The exponential of ln n is n.", "Z is the sum of the four whole "
      "numbers.", "The largest whole number, divided by Z."},
     pose_gates, solve_gates, trace_gates,
     {{"The logits themselves were shared out; the softmax shares out "
       "their exponentials.", share_of_logits}}},
    {"2.5", "From hidden state to gate probabilities in three lines of "
     "code", "1.2.1", 6, "After the first line, a token's row of z is "
     "this. What does the second line write as the first expert's "
     "probability?", NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of 0 is 1, the exponential of ln n is n.",
      "Z has one large term, and a 1 for each of the others.",
      "n / (n + E - 1)."},
     pose_ahead, solve_ahead, trace_ahead,
     {{"Only one rival was counted; every other expert adds 1 to Z.",
       only_one_rival}}},
    {"2.6", "Shifting the logits is free, scaling them is not", "1.1.2",
     6, "What does this change do to the token's probabilities?", NULL,
     LESSON_CHOICE, 0,
     {"nothing beyond rounding", "the largest probability grows",
      "the largest probability shrinks"},
     {"The softmax depends on differences of logits only.",
      "What does the change do to the difference between the largest "
      "logit and the others?",
      "Equal differences: nothing. Larger differences: more certain."},
     pose_change, solve_change, trace_change,
     {{"Adding keeps all differences; multiplying and dividing change "
       "them.", shift_as_scale}}},
};

const struct lesson_table lessons2 = {rows, sizeof rows / sizeof *rows};
