/* Chapter 3: keep the K best experts of each token; run only those. */
#include <math.h>
#include "charlm.h"
#include "hand.h"
#include "print.h"
#include "program.h"
#include "router.h"
#include "topk.h"

extern const struct lesson_table lessons3;

static size_t tokens = 256, experts = 4, top_k = 2,
    gate = GATE_RENORM, seed = LESSON_BOOK_SEED;
static double scale = 1;

static const char *const gates[] = {"softmax", "renorm", "sigmoid",
                                    NULL};
static const struct args_option options[] = {
    {"--tokens", "characters to route, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 256, NULL},
    {"--gate", "how chosen logits become gates", ARGS_CHOICE, &gate,
     0, 0, gates},
    {"--scale", "variance of the first logits", ARGS_NUMBER, &scale,
     0, 1e6, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static char text[100001];
static struct matrix x, z, p, y; /* [T, D] [T, E] [T, E] [T, D] */
static struct router router;
static struct ffn *ffns; /* E experts */
static struct routes routes;
static struct topk_work work;
static struct matrix hand_z;
static struct routes hand_soft, hand_renorm; /* K = 2 */

static size_t rows, naive_rows;
static double kept, discarded, idle, active, difference,
    gradient_norm, hand_kept, hand_lost;

static const struct program_value known[] = {
    {"topk.tokens", &tokens, NULL}, {"topk.experts", &experts, NULL},
    {"topk.top_k", &top_k, NULL}, {"topk.kept_mass", NULL, &kept},
    {"topk.discarded_mass", NULL, &discarded},
    {"topk.idle_experts", NULL, &idle},
    {"topk.expert_rows", &rows, NULL},
    {"topk.naive_rows", &naive_rows, NULL},
    {"topk.naive_difference", NULL, &difference},
    {"topk.active_share", NULL, &active},
    {"topk.gradient_norm", NULL, &gradient_norm},
    {"hand.kept", NULL, &hand_kept},
    {"hand.discarded", NULL, &hand_lost},
    {0},
};

static void run_layers(void)
{
    struct matrix naive = matrix_new(y.rows, y.cols);
    topk_forward(y, x, &routes, ffns, &work);
    rows = work.expert_rows, work.expert_rows = 0;
    topk_forward_naive(naive, x, &routes, ffns, &work);
    naive_rows = work.expert_rows;
    for (size_t i = 0; i < y.rows * y.cols; i++)
        difference = fmax(difference,
                          fabs((double)(y.at[i] - naive.at[i])));
    matrix_free(&naive);
}

static void measure_gradient(void)
{
    struct matrix dy = matrix_new(tokens, x.cols);
    struct matrix a = matrix_new(tokens, top_k);
    struct matrix dz = matrix_new(tokens, experts);
    struct router grad = {matrix_new(x.cols, experts)};
    for (size_t i = 0; i < dy.rows * dy.cols; i++) dy.at[i] = 1;
    topk_gate_slopes(a, dy, x, &routes, ffns, &work);
    routes_weigh_backward(&routes, (enum routes_gate)gate, dz, a, z, p);
    router_backward(&router, &grad, NULL, dz, x);
    gradient_norm = sqrt(matrix_squares(grad.w));
    matrix_free(&dy), matrix_free(&a), matrix_free(&dz);
    router_free(&grad);
}

static void route_by_hand(void)
{
    struct router by_hand = {hand_w()};
    struct matrix soft = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    hand_z = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    hand_soft = routes_new(HAND_TOKENS, HAND_EXPERTS, 2);
    hand_renorm = routes_new(HAND_TOKENS, HAND_EXPERTS, 2);
    router_forward(&by_hand, hand_z, hand_x());
    routes_fill(&hand_renorm, GATE_RENORM, soft, hand_z);
    routes_fill(&hand_soft, GATE_SOFTMAX, soft, hand_z);
    const real *seven = matrix_row(hand_soft.gate, 2);
    hand_kept = (double)(seven[0] + seven[1]);
    hand_lost = 1 - hand_kept;
    matrix_free(&soft);
}

static int prepare(void)
{
    struct random r = random_seeded(seed);
    struct charlm model = charlm_trained(seed);
    router = router_new(CHARLM_WIDTH, experts, scale, &r);
    ffns = topk_experts_new(experts, CHARLM_WIDTH, CHARLM_HIDDEN, &r);
    work = topk_work_new(tokens, CHARLM_WIDTH, CHARLM_HIDDEN);
    x = matrix_new(tokens, CHARLM_WIDTH), z = matrix_new(tokens, experts);
    y = matrix_new(tokens, CHARLM_WIDTH), p = matrix_new(tokens, experts);
    routes = routes_new(tokens, experts, top_k);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, x, text);
    charlm_free(&model);
    router_forward(&router, z, x);
    routes_fill(&routes, (enum routes_gate)gate, p, z);
    kept = routes_kept(&routes, p), discarded = 1 - kept;
    run_layers(), measure_gradient(), route_by_hand();
    idle = (double)experts - (double)rows / (double)tokens;
    uint64_t one = ffn_parameters(CHARLM_WIDTH, CHARLM_HIDDEN);
    active = (double)(top_k * one) / (double)(experts * one);
    return 0;
}

static void print_kept_mass(FILE *out)
{
    static const double scales[] = {0.1, 1, 10};
    fprintf(out, "# K\tscale 0.1\tscale 1\tscale 10\n");
    for (size_t k = 1; k <= experts; k++) {
        struct routes r = routes_new(tokens, experts, k);
        fprintf(out, "%zu", k);
        for (size_t i = 0; i < 3; i++) {
            struct random random = random_seeded(seed);
            struct router other = router_new(x.cols, experts, scales[i],
                                             &random);
            router_forward(&other, z, x);
            routes_fill(&r, GATE_SOFTMAX, p, z);
            fprintf(out, "\t%.6g", routes_kept(&r, p));
            router_free(&other);
        }
        fprintf(out, "\n");
        routes_free(&r);
    }
}

static void print_rows(FILE *out)
{
    fprintf(out, "# token\texpert\tgate\tcharacter\n");
    for (size_t i = 0; i < 8 * top_k && i < tokens * top_k; i++)
        fprintf(out, "%zu\t%zu\t%.6g\t%s\n", i / top_k,
                routes.expert[i], (double)routes.gate.at[i],
                print_char(text[i / top_k]));
}

static void print_route(FILE *out, const struct routes *r, size_t t)
{
    for (size_t k = 0; k < r->top_k && k < 4; k++)
        fprintf(out, "  %zu %.3f", routes_expert(r, t, k),
                (double)matrix_row(r->gate, t)[k]);
    if (r->top_k > 4) fprintf(out, "  ...");
}

static void print_routes(FILE *out)
{
    print_part(out, "By hand: E = 4, K = 2");
    fprintf(out, "    token  logits    softmax, then keep   "
            "renormalized\n");
    for (size_t t = 0; t < HAND_TOKENS; t++) {
        const real *row = matrix_row(hand_z, t);
        fprintf(out, "    %c      %g %g %g %g ", hand_text[t],
                (double)row[0], (double)row[1], (double)row[2],
                (double)row[3]);
        print_route(out, &hand_soft, t), fprintf(out, "  ");
        print_route(out, &hand_renorm, t), fprintf(out, "\n");
    }
    print_part(out, "The routing table, first tokens: expert and gate");
    for (size_t t = 0; t < tokens && t < 12; t++) {
        fprintf(out, "    %-3s", print_char(text[t]));
        print_route(out, &routes, t), fprintf(out, "\n");
    }
}

static void print_run(FILE *out)
{
    fprintf(out, "Top-k routing, T = %zu, E = %zu, K = %zu, gate %s\n",
            tokens, experts, top_k, gates[gate]);
    print_routes(out);
    print_part(out, "Rows by expert");
    for (size_t e = 0; e < experts && e < 16; e++) {
        size_t own = 0;
        for (size_t i = 0; i < tokens * top_k; i++)
            own += routes.expert[i] == e;
        fprintf(out, "    %3zu %6zu ", e, own);
        print_bar(out, (double)own / (double)tokens, 40);
        fprintf(out, "|\n");
    }
    print_part(out, "The shapes");
    fprintf(out, "    x      [%zu, %zu]  T, D\n"
            "    logits [%zu, %zu]  T, E\n    routes [%zu, %zu]  T, K\n"
            "    y      [%zu, %zu]  T, D\n", tokens, x.cols, tokens,
            experts, tokens, top_k, tokens, y.cols);
    print_part(out, "The count");
    fprintf(out, "    expert rows, chosen only  %8zu  K T\n"
            "    expert rows, naive        %8zu  E T\n"
            "    idle experts per token    %8g  E - K\n"
            "    mean kept mass            %8.3f\n", rows, naive_rows,
            idle, kept);
}

static void check(const struct args *args)
{
    if (top_k > experts)
        args_reject(args, "--top-k", experts > 1 ? "--top-k 2"
            : "--top-k 1", "must be from 1 to the number of experts, "
            "%zu, got %zu", experts, top_k);
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {
        {"rows", print_rows}, {"kept-mass", print_kept_mass}, {0}};
    static const struct program program = {
        .name = "chapter3", .about = "send each token to its K best "
        "experts and combine what they say", .options = options,
        .lessons = &lessons3, .seed = &seed, .check = check,
        .prepare = prepare, .run = print_run, .known = known,
        .tables = tables};
    return program_main(&program, argc, argv);
}
