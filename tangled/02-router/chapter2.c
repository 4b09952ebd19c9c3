/* Chapter 2: one matrix product scores the experts. */
/* include what chapter 2 needs */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "args.h"
#include "charlm.h"
#include "hand.h"
#include "lesson.h"
#include "print.h"
#include "router.h"
#include "softmax.h"

/* set the knobs of chapter 2 */
extern const struct lesson_table lessons2;

static size_t tokens = 256, experts = 4, seed = LESSON_BOOK_SEED;
static double scale = 1;

/* list the options of chapter 2 */
static const struct args_table tables[] = {{"scale", NULL}, {0}};
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

/* route the hand-sized example */
struct hand { struct matrix z, p; };

static struct hand route_by_hand(void)
{
    struct router router = {hand_w()};
    struct hand hand = {matrix_new(HAND_TOKENS, HAND_EXPERTS),
                        matrix_new(HAND_TOKENS, HAND_EXPERTS)};
    router_forward(&router, hand.z, hand_x());
    softmax_rows(hand.p, NULL, hand.z);
    return hand;
}

/* print the hand-sized example */
static void print_by_hand(FILE *out)
{
    struct hand hand = route_by_hand();
    print_part(out, "By hand: D = 4, E = 4");
    /* print the hand-sized router */
    fprintf(out, "    W        expert 0 1 2 3   x  %c %c %c %c\n",
            hand_text[0], hand_text[1], hand_text[2], hand_text[3]);
    for (size_t d = 0; d < HAND_WIDTH; d++) {
        static const char *const features[] = {"letter", "digit",
                                               "sign", "start"};
        const real *w = matrix_row(hand_w(), d), *x = hand_x().at + d;
        fprintf(out, "    %-13s   %g %g %g %g      %g %g %g %g\n",
                features[d], (double)w[0], (double)w[1], (double)w[2],
                (double)w[3], (double)x[0], (double)x[4], (double)x[8],
                (double)x[12]);
    }
    print_part(out, "Scored by hand");
    fprintf(out, "    token  logits   probabilities\n");
    for (size_t t = 0; t < HAND_TOKENS; t++) {
        /* print the scores of a hand-sized token */
        const real *z = matrix_row(hand.z, t), *p = matrix_row(hand.p, t);
        fprintf(out, "    %c      %g %g %g %g ", hand_text[t],
                (double)z[0], (double)z[1], (double)z[2], (double)z[3]);
        for (size_t i = 0; i < HAND_EXPERTS; i++)
            fprintf(out, " %.3f", (double)p[i]);
        fprintf(out, "\n");
    }
    matrix_free(&hand.z), matrix_free(&hand.p);
}

/* compare probabilities */
static real to_bfloat16(real value)
{
    int exponent;
    double fraction = frexp((double)value, &exponent);
    return (real)ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* change the logits and see what moves */
static double largest_change(struct matrix z, real shift, int narrow)
{
    struct matrix p = matrix_new(z.rows, z.cols);
    struct matrix q = matrix_new(z.rows, z.cols);
    double most = 0;
    /* shift the logits and narrow them */
    for (size_t i = 0; i < z.rows * z.cols; i++) {
        q.at[i] = z.at[i] + shift;
        if (narrow) q.at[i] = to_bfloat16(q.at[i]);
    }
    softmax_rows(p, NULL, z);
    softmax_rows(q, NULL, q);
    for (size_t i = 0; i < z.rows * z.cols; i++)
        most = fmax(most, fabs((double)p.at[i] - (double)q.at[i]));
    matrix_free(&p), matrix_free(&q);
    return most;
}

/* average the slope of the winner */
static double winner_slope(struct matrix p)
{
    double sum = 0;
    for (size_t t = 0; t < p.rows; t++) {
        double most = 0;
        for (size_t i = 0; i < p.cols; i++)
            most = fmax(most, (double)matrix_row(p, t)[i]);
        sum += most * (1 - most);
    }
    return sum / (double)p.rows;
}

/* print what chapter 2 quotes and plots */
/* print the values of chapter 2 */
static void print_values(const struct router *router, struct matrix z,
                         struct matrix p)
{
    FILE *out = stdout;
    print_count(out, "router.width", router->w.rows);
    print_count(out, "router.experts", router->w.cols);
    print_count(out, "router.parameters", router_parameters(router));
    print_value(out, "router.entropy_mean", softmax_entropy(p));
    print_value(out, "router.entropy_most", log((double)experts));
    /* print what shifting and rounding change */
    double shift = largest_change(z, 10, 0);
    double narrow = largest_change(z, 10, 1);
    print_value(out, "router.shift_difference", shift);
    print_value(out, "router.bfloat16_difference",
                largest_change(z, 0, 1));
    print_value(out, "router.bfloat16_shift_difference", narrow);
    print_value(out, "router.slope", winner_slope(p));
    /* print the values of the hand-sized example */
    struct hand hand = route_by_hand();
    double hand_z = 0;
    for (size_t i = 0; i < HAND_EXPERTS; i++)
        hand_z += exp((double)hand.z.at[i]);
    print_value(out, "hand.logit", (double)hand.z.at[0]);
    print_value(out, "hand.z", hand_z);
    print_value(out, "hand.probability", (double)hand.p.at[0]);
    matrix_free(&hand.z), matrix_free(&hand.p);
}

/* print entropy against scale */
static void print_scale(struct matrix x)
{
    struct matrix p = matrix_new(x.rows, experts);
    printf("# scale\tentropy\tslope\n");
    for (int step = -8; step <= 12; step++) {
        double s = pow(10, step / 4.0);
        /* score the text at this scale */
        struct random random = random_seeded(seed);
        struct router r = router_new(x.cols, experts, s, &random);
        router_forward(&r, p, x);
        softmax_rows(p, NULL, p);
        printf("%.6g\t%.6g\t%.6g\n", s, softmax_entropy(p),
               winner_slope(p));
        router_free(&r);
    }
    matrix_free(&p);
}

/* print the traced run of chapter 2 */
enum { SHOWN = 16 };

/* print the first tokens and their winners */
static void print_tokens(FILE *out, const char *text, struct matrix p)
{
    print_part(out, "Trained vectors, an untrained router");
    fprintf(out, "    x [%zu, %d] x W [%d, %zu] = logits [%zu, %zu]\n",
            tokens, CHARLM_WIDTH, CHARLM_WIDTH, experts, tokens,
            experts);
    for (size_t t = 0; t < tokens && t < SHOWN; t++) {
        /* find a token's winner */
        size_t best = 0;
        const real *row = matrix_row(p, t);
        for (size_t i = 1; i < experts; i++)
            if (row[i] > row[best]) best = i;
        /* print a token and its winner */
        fprintf(out, "    %-3s ", print_char(text[t]));
        for (size_t i = 0; i < experts && i < 8; i++)
            fprintf(out, "%.3f ", (double)row[i]);
        fprintf(out, "%s expert %zu ", experts > 8 ? "..." : " ", best);
        print_bar(out, (double)row[best], 20);
        fprintf(out, "|\n");
    }
    fprintf(out, "    mean entropy %.3f nats, at most %.3f\n",
            softmax_entropy(p), log((double)experts));
}

/* print the logits that are out to break it */
static void print_extremes(FILE *out)
{
    real rows[][4] = {{0, 0, 0, 0}, {1000, 999, 0, -1000},
        {(real)-INFINITY, 1, 1, 0}, {0, 0, (real)NAN, 0}};
    size_t count = sizeof rows / sizeof *rows;
    struct matrix z = {count, 4, rows[0]}, p = matrix_new(count, 4);
    double log_z[sizeof rows / sizeof *rows];
    softmax_rows(p, log_z, z);
    print_part(out, "Equal, huge, forbidden, not a number");
    for (size_t t = 0; t < count; t++) {
        /* print a row of extremes */
        fprintf(out, "   ");
        for (size_t i = 0; i < 4; i++)
            fprintf(out, isnan((double)rows[t][i]) ? "   nan" : " %5g",
                    (double)rows[t][i]);
        fprintf(out, "  ->");
        for (size_t i = 0; i < 4; i++)
            fprintf(out, isnan((double)matrix_row(p, t)[i]) ? "   nan"
                    : " %.3f", (double)matrix_row(p, t)[i]);
        fprintf(out, isnan(log_z[t]) ? "  log Z nan\n" : "  log Z %.3f\n",
                log_z[t]);
    }
    matrix_free(&p);
}

/* main of chapter 2 */
int main(int argc, char **argv)
{
    const struct args args = {"chapter2",
        "score the experts for each token, by one matrix product",
        options, tables};
    struct args_request request = args_parse(&args, argc, argv);
    if (request.output == ARGS_LESSONS) {
        lesson_list(stdout, &lessons2, seed);
        return print_end(args.program);
    }
    /* read the text with the trained model */
    static char text[100001];
    struct charlm model = charlm_trained(seed);
    struct matrix x = matrix_new(tokens, CHARLM_WIDTH);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, x, text);
    charlm_free(&model);
    /* score it with a random router */
    struct random random = random_seeded(seed);
    struct router router = router_new(CHARLM_WIDTH, experts, scale,
                                      &random);
    struct matrix z = matrix_new(tokens, experts);
    struct matrix p = matrix_new(tokens, experts);
    router_forward(&router, z, x);
    softmax_rows(p, NULL, z);
    /* print what was asked of chapter 2 */
    if (request.output == ARGS_VALUES) print_values(&router, z, p);
    else if (request.output == ARGS_DATA) print_scale(x);
    else {
        printf("The router, D = %d, E = %zu, %zu parameters\n",
               CHARLM_WIDTH, experts, router_parameters(&router));
        print_by_hand(stdout);
        print_tokens(stdout, text, p);
        print_extremes(stdout);
    }
    router_free(&router);
    matrix_free(&x), matrix_free(&z), matrix_free(&p);
    return print_end(args.program);
}
