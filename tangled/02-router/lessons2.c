#include <math.h>
#include "lesson.h"
#include "router.h"
#include "softmax.h"

/* find the largest probability */
static real largest(const real *z)
{
    real p[4], most = 0;
    softmax_rows((struct matrix){1, 4, p}, NULL,
                   (struct matrix){1, 4, (real *)z});
    for (size_t i = 0; i < 4; i++) most = p[i] > most ? p[i] : most;
    return most;
}

/* draw a token and a router */
/* multiply a token with a row of W */
struct pencil { real x[4], w[16], z[4]; size_t best, asked; };

static double row_product(const struct pencil *p, size_t row)
{
    double sum = 0;
    for (size_t d = 0; d < 4; d++)
        sum += (double)(p->x[d] * p->w[row * 4 + d]);
    return sum;
}

/* draw numbers for a pencil */
static void draw_once(struct pencil *p, struct random *r)
{
    for (size_t d = 0; d < 4; d++)
        p->x[d] = (real)random_below(r, 3);
    for (size_t i = 0; i < 16; i++)
        p->w[i] = (real)random_below(r, 5) - 2;
    struct router router = {{4, 4, p->w}};
    router_forward(&router, (struct matrix){1, 4, p->z},
                   (struct matrix){1, 4, p->x});
    p->asked = random_below(r, 4);
    p->best = 0;
    for (size_t i = 1; i < 4; i++)
        if (p->z[i] > p->z[p->best]) p->best = i;
}

/* find the winner among the rows */
static size_t best_row(const struct pencil *p)
{
    size_t best = 0;
    for (size_t i = 1; i < 4; i++)
        if (row_product(p, i) > row_product(p, best)) best = i;
    return best;
}

/* repeat until the answers differ */
static struct pencil draw_pencil(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct pencil p;
    for (int ties = 1; ties; ) {
        draw_once(&p, &r);
        ties = row_product(&p, p.asked) == (double)p.z[p.asked];
        ties |= best_row(&p) == p.best;
        for (size_t i = 0; i < 4; i++)
            ties |= i != p.best && p.z[i] == p.z[p.best];
    }
    return p;
}

/* show the token and the router */
static void print_numbers(FILE *out, const char *name, const real *row)
{
    fprintf(out, "%-8s %4g %4g %4g %4g\n", name, (double)row[0],
            (double)row[1], (double)row[2], (double)row[3]);
}

static void pose_winner(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(seed);
    fprintf(out, "expert      0    1    2    3\n");
    for (size_t d = 0; d < 4; d++)
        print_numbers(out, d ? "" : "W", p.w + 4 * d);
    print_numbers(out, "x", p.x);
}

/* teach lesson 2.1, the router's parameters */
/* pose the sizes of a router */
struct sizes { size_t width, experts; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 16 * (1 + random_below(&r, 32));
    return (struct sizes){width, 4 + 4 * random_below(&r, 16)};
}

static void pose_sizes(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "D = %zu    E = %zu\n", s.width, s.experts);
}

/* count the router's parameters */
static struct lesson_answer solve_parameters(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    struct random r = random_seeded(seed);
    struct router router = router_new(s.width, s.experts, 1, &r);
    struct lesson_answer answer =
        lesson_value((double)router_parameters(&router));
    router_free(&router);
    return answer;
}

/* miscount the router's parameters */
static struct lesson_answer with_bias(uint64_t seed)
{
    return lesson_value(solve_parameters(seed).value[0]
                     + (double)draw_sizes(seed).experts);
}

/* show the router's parameters */
static void trace_parameters(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "W [%zu, %zu]  %zu x %zu = %zu\n", s.width, s.experts,
            s.width, s.experts, s.width * s.experts);
}

/* teach lessons 2.2 and 2.3, the winner and a logit */
/* solve and show the winner */
static struct lesson_answer solve_winner(uint64_t seed)
{
    return lesson_value((double)draw_pencil(seed).best);
}

static void trace_winner(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(seed);
    print_numbers(out, "logits", p.z);
    fprintf(out, "largest: expert %zu\n", p.best);
}

/* win by rows */
static struct lesson_answer win_by_row(uint64_t seed)
{
    struct pencil p = draw_pencil(seed);
    return lesson_value((double)best_row(&p));
}

/* pose and solve a logit */
static void pose_logit(uint64_t seed, FILE *out)
{
    pose_winner(~seed, out);
    fprintf(out, "asked: the logit of expert %zu\n",
            draw_pencil(~seed).asked);
}

static struct lesson_answer solve_logit(uint64_t seed)
{
    struct pencil p = draw_pencil(~seed);
    return lesson_value((double)p.z[p.asked]);
}

/* take the row for the column */
static struct lesson_answer use_the_row(uint64_t seed)
{
    struct pencil p = draw_pencil(~seed);
    return lesson_value(row_product(&p, p.asked));
}

/* show how a logit adds up */
static void trace_logit(uint64_t seed, FILE *out)
{
    struct pencil p = draw_pencil(~seed);
    for (size_t d = 0; d < 4; d++)
        fprintf(out, "%s%g x %g", d ? " + " : "", (double)p.x[d],
                (double)p.w[4 * d + p.asked]);
    fprintf(out, " = %g\n", (double)p.z[p.asked]);
    print_numbers(out, "logits", p.z);
}

/* teach lesson 2.4, probabilities by hand */
/* draw logarithms of whole numbers */
struct counts { size_t n[4], sum, best; };

static struct counts draw_counts(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct counts c = {.best = random_below(&r, 4)};
    for (size_t i = 0; i < 4; i++)
        c.n[i] = i == c.best ? 7 + random_below(&r, 3)
                             : 2 + random_below(&r, 3);
    c.sum = c.n[0] + c.n[1] + c.n[2] + c.n[3];
    return c;
}

/* pose and solve probabilities */
static void pose_gates(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    fprintf(out, "logits   ln %zu   ln %zu   ln %zu   ln %zu\n",
            c.n[0], c.n[1], c.n[2], c.n[3]);
}

static struct lesson_answer solve_gates(uint64_t seed)
{
    struct counts c = draw_counts(seed);
    real z[4];
    for (size_t i = 0; i < 4; i++) z[i] = (real)log((double)c.n[i]);
    return lesson_value((double)largest(z));
}

/* show the probabilities */
static void trace_gates(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    fprintf(out, "Z = %zu + %zu + %zu + %zu = %zu\n",
            c.n[0], c.n[1], c.n[2], c.n[3], c.sum);
    for (size_t i = 0; i < 4; i++)
        fprintf(out, "expert %zu  %zu / %zu = %.3f%s\n", i, c.n[i],
                c.sum, (double)c.n[i] / (double)c.sum,
                i == c.best ? "  the largest" : "");
}

/* share out the logits themselves */
static struct lesson_answer share_of_logits(uint64_t seed)
{
    struct counts c = draw_counts(seed);
    double sum = 0;
    for (size_t i = 0; i < 4; i++) sum += log((double)c.n[i]);
    return lesson_value(log((double)c.n[c.best]) / sum);
}

/* teach lesson 2.5, one expert ahead */
/* draw one expert ahead */
struct one_ahead { size_t ratio, experts; };

static struct one_ahead draw_one_ahead(uint64_t seed)
{
    struct random r = random_seeded(seed ^ 26);
    size_t ratio = 2 + random_below(&r, 8);
    return (struct one_ahead){ratio, 3 + random_below(&r, 6)};
}

/* pose one expert ahead */
static void pose_one_ahead(uint64_t seed, FILE *out)
{
    struct one_ahead a = draw_one_ahead(seed);
    fprintf(out, "logits   ln %zu", a.ratio);
    for (size_t i = 1; i < a.experts; i++) fprintf(out, "   0");
    fprintf(out, "\n");
}

/* solve one expert ahead */
static struct lesson_answer solve_one_ahead(uint64_t seed)
{
    struct one_ahead a = draw_one_ahead(seed);
    real z[8] = {(real)log((double)a.ratio)}, p[8];
    softmax_rows((struct matrix){1, a.experts, p}, NULL,
                   (struct matrix){1, a.experts, z});
    return lesson_value((double)p[0]);
}

/* count only one rival */
static struct lesson_answer only_one_rival(uint64_t seed)
{
    double ratio = (double)draw_one_ahead(seed).ratio;
    return lesson_value(ratio / (ratio + 1));
}

/* show one expert ahead */
static void trace_one_ahead(uint64_t seed, FILE *out)
{
    struct one_ahead a = draw_one_ahead(seed);
    fprintf(out, "Z = %zu + %zu x 1 = %zu\np = %zu / %zu = %.4f\n",
            a.ratio, a.experts - 1, a.ratio + a.experts - 1, a.ratio,
            a.ratio + a.experts - 1, solve_one_ahead(seed).value[0]);
}

/* teach lesson 2.6, shift or scale */
/* draw a shift or a scale */
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

/* pose a shift or a scale */
static void pose_change(uint64_t seed, FILE *out)
{
    static const char *const kinds[] = {"%zu is added to every logit\n",
        "every logit is multiplied by %zu\n",
        "every logit is divided by %zu\n"};
    struct change c = draw_change(seed);
    print_numbers(out, "logits", c.z);
    fprintf(out, kinds[c.kind], c.amount);
}

/* compare the largest probability */
static struct lesson_answer solve_change(uint64_t seed)
{
    struct change c = draw_change(seed);
    double change = (double)(largest(c.changed) - largest(c.z));
    return lesson_value(fabs(change) < 1e-5 ? 1 : change > 0 ? 2 : 3);
}

static void trace_change(uint64_t seed, FILE *out)
{
    struct change c = draw_change(seed);
    print_numbers(out, "before", c.z);
    print_numbers(out, "after", c.changed);
    fprintf(out, "largest probability %.4f before, %.4f after\n",
            (double)largest(c.z), (double)largest(c.changed));
}

/* mistake a shift for a scale */
static struct lesson_answer shift_as_scale(uint64_t seed)
{
    return lesson_value(draw_change(seed).kind == 0 ? 2 : 1);
}

/* lessons of chapter 2 */
static const struct lesson rows[] = {
    {"2.1", "The router is a single linear layer plus softmax", "1.1.2",
     6, "How many parameters does this router have?", "parameters",
     LESSON_NUMBER, 0, {0},
     {"It is one matrix.", "A row for each number of the token, a "
      "column for each expert.", "D x E, and no bias."},
     pose_sizes, solve_parameters, trace_parameters,
     {{"A bias for each expert was added; this router has none.",
       with_bias}}},
    {"2.2", "The router is a one-line linear layer that picks experts",
     "2.1.3", 7, "Which expert wins this token?", NULL,
     LESSON_EXPERTS, 0, {0},
     {"A column of W belongs to an expert.",
      "Multiply x with each column, number by number, and add up.",
      "The softmax keeps the order: the largest logit wins."},
     pose_winner, solve_winner, trace_winner,
     {{"That is the winner if x is multiplied with the rows of W; "
       "experts are columns.", win_by_row}}},
    {"2.3", "Compute gating logits: one matmul, four numbers", "2.2.2",
     7, "What is the logit of the expert that is asked for?", NULL,
     LESSON_NUMBER, 0, {0},
     {"An expert's logit needs one column of W.",
      "The numbers of x that are zero take no part.",
      "Add x[d] x W[d, expert] over the four rows d."},
     pose_logit, solve_logit, trace_logit,
     {{"That is x with a row of W; experts are columns.",
       use_the_row}}},
    {"2.4", "Pick a token, name your four experts, write down "
     "the gates", "2.2.1", 6, "Write down the four probabilities. What "
     "is the largest of them?", NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of ln n is n.", "Z is the sum of the four whole "
      "numbers.", "The largest whole number, divided by Z."},
     pose_gates, solve_gates, trace_gates,
     {{"The logits themselves were shared out; the softmax shares out "
       "their exponentials.", share_of_logits}}},
    {"2.5", "From hidden state to gate probabilities in three lines of "
     "code", "1.2.1", 6, "One expert is ahead, the others are equal. "
     "What is the leading expert's probability?", NULL,
     LESSON_NUMBER, 0.005, {0},
     {"The exponential of 0 is 1.", "Z has one large term, and a 1 for "
      "each of the others.", "ratio / (ratio + E - 1)."},
     pose_one_ahead, solve_one_ahead, trace_one_ahead,
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
