/* Chapter 2: one matrix product scores the experts. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "charlm.h"
#include "hand.h"
#include "print.h"
#include "program.h"
#include "router.h"
#include "softmax.h"

extern const struct lesson_table lessons2;

static size_t tokens = 256, experts = 4, seed = LESSON_BOOK_SEED;
static double scale = 1;

static char text[100001];
static struct router router;
static struct matrix x, z, p;        /* [T, D] [T, E] [T, E] */
static struct matrix hand_z, hand_p; /* [4, 4] */

static const struct args_option options[] = {
    {"--tokens", "characters to route, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 1024, NULL},
    {"--scale", "variance of the first logits", ARGS_NUMBER, &scale,
     0, 1e6, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static int prepare(void)
{
    struct router by_hand = {hand_w()};
    struct charlm model = charlm_trained(seed);
    struct random random = random_seeded(seed);
    hand_z = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    hand_p = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    router_forward(&by_hand, hand_z, hand_x());
    softmax_rows(hand_p, NULL, hand_z);
    x = matrix_new(tokens, CHARLM_WIDTH);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, x, text);
    charlm_free(&model);
    router = router_new(CHARLM_WIDTH, experts, scale, &random);
    z = matrix_new(tokens, experts), p = matrix_new(tokens, experts);
    router_forward(&router, z, x);
    softmax_rows(p, NULL, z);
    return 0;
}

static void done(void)
{
    router_free(&router);
    matrix_free(&x), matrix_free(&z), matrix_free(&p);
    matrix_free(&hand_z), matrix_free(&hand_p);
}

static real to_bfloat16(real value)
{
    int exponent;
    double fraction = frexp((double)value, &exponent);
    return (real)ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

static double largest_change(real shift, int narrow)
{
    struct matrix q = matrix_new(tokens, experts);
    double most = 0;
    for (size_t i = 0; i < tokens * experts; i++) {
        q.at[i] = z.at[i] + shift;
        if (narrow) q.at[i] = to_bfloat16(q.at[i]);
    }
    softmax_rows(q, NULL, q);
    for (size_t i = 0; i < tokens * experts; i++) {
        double change = fabs((double)p.at[i] - (double)q.at[i]);
        if (change > most) most = change;
    }
    matrix_free(&q);
    return most;
}

static size_t winner(const real *row)
{
    size_t best = 0;
    for (size_t i = 1; i < experts; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

static double winner_slope(struct matrix probabilities)
{
    double sum = 0;
    for (size_t t = 0; t < tokens; t++) {
        const real *row = matrix_row(probabilities, t);
        double most = (double)row[winner(row)];
        sum += most * (1 - most);
    }
    return sum / (double)tokens;
}

static void print_values(FILE *out)
{
    double sum = 0;
    for (size_t i = 0; i < HAND_EXPERTS; i++)
        sum += exp((double)hand_z.at[i]);
    print_count(out, "router.width", x.cols);
    print_count(out, "router.experts", experts);
    print_count(out, "router.parameters", router_parameters(&router));
    print_value(out, "router.entropy_mean", softmax_entropy(p));
    print_value(out, "router.entropy_most", log((double)experts));
    print_value(out, "router.shift_difference", largest_change(10, 0));
    print_value(out, "router.bfloat16_difference",
                largest_change(0, 1));
    print_value(out, "router.bfloat16_shift_difference",
                largest_change(10, 1));
    print_value(out, "router.slope", winner_slope(p));
    print_value(out, "hand.logit", (double)hand_z.at[0]);
    print_value(out, "hand.z", sum);
    print_value(out, "hand.probability", (double)hand_p.at[0]);
}

static void print_scale(FILE *out)
{
    struct matrix q = matrix_new(tokens, experts);
    fprintf(out, "# scale\tentropy\tslope\n");
    for (int step = -8; step <= 12; step++) {
        double s = pow(10, step / 4.0);
        struct random random = random_seeded(seed);
        struct router r = router_new(x.cols, experts, s, &random);
        router_forward(&r, q, x);
        softmax_rows(q, NULL, q);
        fprintf(out, "%.6g\t%.6g\t%.6g\n", s,
                softmax_entropy(q) / log((double)experts),
                4 * winner_slope(q));
        router_free(&r);
    }
    matrix_free(&q);
}

static void print_change(FILE *out)
{
    real q[4][HAND_EXPERTS];
    struct matrix changed = {4, HAND_EXPERTS, q[0]};
    for (size_t i = 0; i < HAND_EXPERTS; i++) {
        q[0][i] = hand_z.at[i], q[1][i] = hand_z.at[i] + 10;
        q[2][i] = 3 * hand_z.at[i], q[3][i] = hand_z.at[i] / 3;
    }
    softmax_rows(changed, NULL, changed);
    fprintf(out, "# expert\tas it is\tplus 10\ttimes 3\tover 3\n");
    for (size_t i = 0; i < HAND_EXPERTS; i++)
        fprintf(out, "expert %zu\t%.6g\t%.6g\t%.6g\t%.6g\n", i,
                (double)q[0][i], (double)q[1][i], (double)q[2][i],
                (double)q[3][i]);
}

static void print_cones(FILE *out)
{
    enum { STEPS = 720 };
    struct random random = random_seeded(seed + 1);
    struct router flat = router_new(2, experts, 1, &random);
    struct matrix on = matrix_new(STEPS, 2);
    struct matrix scores = matrix_new(STEPS, experts);
    for (size_t i = 0; i < STEPS; i++) {
        double angle = 2 * acos(-1) * (double)i / STEPS;
        matrix_row(on, i)[0] = (real)cos(angle);
        matrix_row(on, i)[1] = (real)sin(angle);
    }
    router_forward(&flat, scores, on);
    fprintf(out, "# x\ty\texpert\tkind\n");
    for (size_t i = 0; i < STEPS; i++)
        fprintf(out, "%.6g\t%.6g\t%zu\tcone\n",
                (double)matrix_row(on, i)[0],
                (double)matrix_row(on, i)[1],
                winner(matrix_row(scores, i)));
    for (size_t e = 0; e < experts; e++)
        fprintf(out, "%.6g\t%.6g\t%zu\tcolumn\n", (double)flat.w.at[e],
                (double)flat.w.at[experts + e], e);
    router_free(&flat), matrix_free(&on), matrix_free(&scores);
}

static void print_numbers(FILE *out, const char *form, const real *row,
                          size_t step)
{
    for (size_t i = 0; i < 4; i++)
        fprintf(out, form, (double)row[i * step]);
}

static void print_by_hand(FILE *out)
{
    static const char *const features[] = {"letter", "digit", "sign",
                                           "start"};
    print_part(out, "By hand: D = 4, E = 4");
    fprintf(out, "    W        expert 0 1 2 3   x  %c %c %c %c\n",
            hand_text[0], hand_text[1], hand_text[2], hand_text[3]);
    for (size_t d = 0; d < HAND_WIDTH; d++) {
        fprintf(out, "    %-13s  ", features[d]);
        print_numbers(out, " %g", matrix_row(hand_w(), d), 1);
        fprintf(out, "     ");
        print_numbers(out, " %g", hand_x().at + d, HAND_WIDTH);
        fprintf(out, "\n");
    }
    print_part(out, "Scored by hand");
    fprintf(out, "    token  logits   probabilities\n");
    for (size_t t = 0; t < HAND_TOKENS; t++) {
        fprintf(out, "    %c     ", hand_text[t]);
        print_numbers(out, " %g", matrix_row(hand_z, t), 1);
        fprintf(out, " ");
        print_numbers(out, " %.3f", matrix_row(hand_p, t), 1);
        fprintf(out, "\n");
    }
}

static void print_tokens(FILE *out)
{
    print_part(out, "Trained vectors, an untrained router");
    fprintf(out, "    x [%zu, %d] x W [%d, %zu] = logits [%zu, %zu]\n",
            tokens, CHARLM_WIDTH, CHARLM_WIDTH, experts, tokens,
            experts);
    for (size_t t = 0; t < tokens && t < 16; t++) {
        const real *row = matrix_row(p, t);
        fprintf(out, "    %-3s ", print_char(text[t]));
        for (size_t i = 0; i < experts && i < 8; i++)
            fprintf(out, "%.3f ", (double)row[i]);
        fprintf(out, "%s expert %zu ", experts > 8 ? "..." : " ",
                winner(row));
        print_bar(out, (double)row[winner(row)], 20);
        fprintf(out, "|\n");
    }
    fprintf(out, "    mean entropy %.3f nats, at most %.3f\n",
            softmax_entropy(p), log((double)experts));
}

static void print_extremes(FILE *out)
{
    real rows[][4] = {{0, 0, 0, 0}, {1000, 999, 0, -1000},
        {(real)-INFINITY, 1, 1, 0}, {0, 0, (real)NAN, 0}};
    enum { ROWS = sizeof rows / sizeof *rows };
    real soft[ROWS][4];
    double log_z[ROWS];
    softmax_rows((struct matrix){ROWS, 4, soft[0]}, log_z,
                 (struct matrix){ROWS, 4, rows[0]});
    print_part(out, "Equal, huge, forbidden, not a number");
    for (size_t t = 0; t < ROWS; t++) {
        fprintf(out, "   ");
        for (size_t i = 0; i < 4; i++)
            fprintf(out, isnan((double)rows[t][i]) ? "   nan" : " %5g",
                    (double)rows[t][i]);
        fprintf(out, "  ->");
        for (size_t i = 0; i < 4; i++)
            fprintf(out, isnan((double)soft[t][i]) ? "   nan" : " %.3f",
                    (double)soft[t][i]);
        fprintf(out, isnan(log_z[t]) ? "  log Z nan\n"
                : "  log Z %.3f\n", log_z[t]);
    }
}

static void print_run(FILE *out)
{
    fprintf(out, "The router, D = %d, E = %zu, %zu parameters\n",
            CHARLM_WIDTH, experts, router_parameters(&router));
    print_by_hand(out), print_tokens(out), print_extremes(out);
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {{"scale", print_scale},
        {"change", print_change}, {"cones", print_cones}, {0}};
    static const struct program program = {
        .name = "chapter2", .about = "score the experts for each "
        "token, by one matrix product", .options = options,
        .lessons = &lessons2, .seed = &seed, .prepare = prepare,
        .run = print_run, .values = print_values, .tables = tables,
        .done = done};
    return program_main(&program, argc, argv);
}
