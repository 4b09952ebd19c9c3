/* Chapter 3: keep the K best experts of each token; run only those. */
/* include what chapter 3 needs */
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
#include "topk.h"

/* set the knobs of chapter 3 */
extern const struct lesson_table lessons3;

static size_t tokens = 256, experts = 4, top_k = 2,
    gate = GATE_RENORM, seed = LESSON_BOOK_SEED;
static double scale = 1;

static const char *const gates[] = {"softmax", "renorm", "sigmoid",
                                    NULL};
static const struct args_table tables[] = {{"gates", NULL},
    {"kept-mass", NULL}, {0}};

/* list the options of chapter 3 */
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

/* set the layer up */
struct layer {
    char *text;
    struct matrix x, z, p, y, naive; /* [T, D] [T, E] [T, E] [T, D]x2 */
    struct router router;
    struct ffn *ffns; /* E experts */
    struct routes routes;
    struct topk_work work;
    size_t rows, naive_rows;
};

/* make the layer */
static struct layer make_layer(void)
{
    struct random r = random_seeded(seed);
    struct layer l = {
        .text = malloc(tokens + 1),
        /* make the layer's matrices */
        .x = matrix_new(tokens, CHARLM_WIDTH),
        .z = matrix_new(tokens, experts),
        .p = matrix_new(tokens, experts),
        .y = matrix_new(tokens, CHARLM_WIDTH),
        .naive = matrix_new(tokens, CHARLM_WIDTH),
        /* make the router and room for experts */
        .router = router_new(CHARLM_WIDTH, experts, scale, &r),
        .ffns = calloc(experts, sizeof(struct ffn)),
        .routes = routes_new(tokens, experts, top_k),
        .work = topk_work_new(tokens, CHARLM_WIDTH, CHARLM_HIDDEN),
    };
    if (!l.text || !l.ffns) abort();
    /* read the text into the layer */
    struct charlm model = charlm_trained(seed);
    charlm_text(l.text, tokens + 1, seed);
    charlm_vectors(&model, l.x, l.text);
    charlm_free(&model);
    for (size_t e = 0; e < experts; e++)
        l.ffns[e] = ffn_new(CHARLM_WIDTH, CHARLM_HIDDEN, FFN_RELU, &r);
    return l;
}

/* run the layer */
static void run_layer(struct layer *l)
{
    router_forward(&l->router, l->z, l->x);
    softmax_rows(l->p, NULL, l->z);
    routes_select(&l->routes, l->z);
    routes_weigh(&l->routes, (enum routes_gate)gate, l->z, l->p);
    topk_forward(l->y, l->x, &l->routes, l->ffns, &l->work);
    l->rows = l->work.expert_rows;
    l->work.expert_rows = 0;
    topk_forward_naive(l->naive, l->x, &l->routes, l->ffns, &l->work);
    l->naive_rows = l->work.expert_rows;
}

/* free the layer */
static void free_layer(struct layer *l)
{
    free(l->text);
    matrix_free(&l->x), matrix_free(&l->z), matrix_free(&l->p);
    matrix_free(&l->y), matrix_free(&l->naive);
    router_free(&l->router);
    for (size_t e = 0; e < experts; e++) ffn_free(&l->ffns[e]);
    free(l->ffns);
    routes_free(&l->routes);
    topk_work_free(&l->work);
}

/* print the values of chapter 3 */
/* measure the kept mass */
static double kept_mass(const struct routes *routes, struct matrix p)
{
    double sum = 0;
    for (size_t t = 0; t < p.rows; t++)
        for (size_t k = 0; k < routes->top_k; k++)
            sum += (double)
                matrix_row(p, t)[routes_expert(routes, t, k)];
    return sum / (double)p.rows;
}

/* count the idle experts */
static double idle_experts(const struct routes *routes)
{
    size_t idle = 0;
    for (size_t t = 0; t < routes->tokens; t++)
        for (size_t e = 0; e < routes->experts; e++) {
            int runs = 0;
            for (size_t k = 0; k < routes->top_k; k++)
                runs |= routes_expert(routes, t, k) == e;
            idle += !runs;
        }
    return (double)idle / (double)routes->tokens; /* per token */
}

/* measure what two ways of weighing differ by */
static double renorm_difference(const struct layer *l)
{
    struct routes kept = routes_new(tokens, experts, top_k);
    double most = 0;
    routes_select(&kept, l->z);
    routes_weigh(&kept, GATE_RENORM, l->z, l->p);
    for (size_t t = 0; t < tokens; t++) {
        /* compare one token's gates both ways */
        const real *p = matrix_row(l->p, t);
        const real *g = matrix_row(kept.gate, t);
        double mass = 0;
        for (size_t k = 0; k < top_k; k++)
            mass += (double)p[routes_expert(&kept, t, k)];
        for (size_t k = 0; k < top_k; k++)
            most = fmax(most, fabs((double)g[k]
                - (double)p[routes_expert(&kept, t, k)] / mass));
    }
    routes_free(&kept);
    return most;
}

/* measure what the router hears */
static double gradient_norm(const struct layer *l,
                            struct topk_work *work)
{
    struct matrix a = matrix_new(tokens, top_k);
    struct matrix dz = matrix_new(tokens, experts);
    struct router grad = {matrix_new(CHARLM_WIDTH, experts)};
    double sum = 0;
    /* sum each chosen expert's output */
    for (size_t e = 0; e < experts; e++) {
        ffn_forward(&l->ffns[e], work->out, l->x, &work->trace);
        for (size_t i = 0; i < tokens * top_k; i++)
            for (size_t d = 0; d < CHARLM_WIDTH; d++)
                if (l->routes.expert[i] == e)
                    a.at[i] += matrix_row(work->out, i / top_k)[d];
    }
    routes_weigh_backward(&l->routes, (enum routes_gate)gate, dz, a,
                          l->z, l->p);
    router_backward(&l->router, &grad, NULL, dz, l->x);
    for (size_t i = 0; i < grad.w.rows * grad.w.cols; i++)
        sum += (double)grad.w.at[i] * (double)grad.w.at[i];
    matrix_free(&a), matrix_free(&dz), router_free(&grad);
    return sqrt(sum);
}

/* print them all */
static void print_values(struct layer *l)
{
    FILE *out = stdout;
    print_count(out, "topk.tokens", tokens);
    print_count(out, "topk.experts", experts);
    print_count(out, "topk.top_k", top_k);
    print_value(out, "topk.kept_mass", kept_mass(&l->routes, l->p));
    print_value(out, "topk.discarded_mass",
                1 - kept_mass(&l->routes, l->p));
    print_value(out, "topk.idle_experts", idle_experts(&l->routes));
    print_count(out, "topk.expert_rows", l->rows);
    print_count(out, "topk.naive_rows", l->naive_rows);
    /* print the differences, the costs and the gradient */
    size_t one = (size_t)ffn_parameters(CHARLM_WIDTH, CHARLM_HIDDEN);
    double difference = 0;
    for (size_t i = 0; i < tokens * CHARLM_WIDTH; i++)
        difference = fmax(difference, fabs((double)l->y.at[i]
                                           - (double)l->naive.at[i]));
    print_value(out, "topk.naive_difference", difference);
    print_value(out, "topk.renorm_difference", renorm_difference(l));
    print_value(out, "topk.active_share",
                (double)(top_k * one) / (double)(experts * one));
    print_value(out, "topk.gradient_norm", gradient_norm(l, &l->work));
    /* print what the hand-sized token keeps */
    struct router hand = {hand_w()};
    struct matrix p = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    struct routes kept = routes_new(HAND_TOKENS, HAND_EXPERTS, 2);
    router_forward(&hand, p, hand_x());
    routes_select(&kept, p);
    softmax_rows(p, NULL, p);
    routes_weigh(&kept, GATE_SOFTMAX, p, p);
    const real *seven = matrix_row(kept.gate, 2);
    print_value(out, "hand.kept", (double)(seven[0] + seven[1]));
    print_value(out, "hand.discarded", 1 - (double)(seven[0] + seven[1]));
    matrix_free(&p), routes_free(&kept);
}

/* print the tables behind the figures */
/* print the gates of the first token */
static void print_gates(struct layer *l)
{
    struct routes r = routes_new(tokens, experts, top_k);
    printf("# expert\tprobability\tsoftmax\trenorm\tsigmoid\n");
    routes_select(&r, l->z);
    for (size_t e = 0; e < experts; e++) {
        printf("%zu\t%.6g", e, (double)l->p.at[e]);
        /* print an expert's gate by each convention */
        for (size_t g = GATE_SOFTMAX; g <= GATE_SIGMOID; g++) {
            double kept = 0;
            routes_weigh(&r, (enum routes_gate)g, l->z, l->p);
            for (size_t k = 0; k < top_k; k++)
                if (r.expert[k] == e) kept = (double)r.gate.at[k];
            printf("\t%.6g", kept);
        }
        printf("\n");
    }
    routes_free(&r);
}

/* print the kept mass against K */
static void print_kept_mass(const struct layer *l)
{
    static const double scales[] = {0.1, 1, 10};
    struct matrix p = matrix_new(tokens, experts);
    printf("# K\tscale 0.1\tscale 1\tscale 10\n");
    for (size_t k = 1; k <= experts; k++) {
        struct routes r = routes_new(tokens, experts, k);
        printf("%zu", k);
        /* print the kept mass at each scale */
        for (size_t i = 0; i < 3; i++) {
            /* route with a router of that scale */
            struct random random = random_seeded(seed);
            struct router router = router_new(CHARLM_WIDTH, experts, scales[i],
                                              &random);
            router_forward(&router, p, l->x);
            routes_select(&r, p);
            softmax_rows(p, NULL, p);
            router_free(&router);
            printf("\t%.6g", kept_mass(&r, p));
        }
        printf("\n");
        routes_free(&r);
    }
    matrix_free(&p);
}

/* print the traced run of chapter 3 */
static void print_route(FILE *out, const struct routes *r, size_t t)
{
    for (size_t k = 0; k < r->top_k && k < 4; k++)
        fprintf(out, "  %zu %.3f", routes_expert(r, t, k),
                (double)matrix_row(r->gate, t)[k]);
    fprintf(out, r->top_k > 4 ? "  ...\n" : "\n");
}

/* print the hand-sized routes */
static void print_by_hand(FILE *out)
{
    struct router router = {hand_w()};
    struct matrix z = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    struct matrix p = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    struct routes r = routes_new(HAND_TOKENS, HAND_EXPERTS, 2);
    router_forward(&router, z, hand_x());
    softmax_rows(p, NULL, z);
    routes_select(&r, z);
    print_part(out, "By hand: E = 4, K = 2");
    fprintf(out, "    token  logits    softmax, then keep   "
            "renormalized\n");
    for (size_t t = 0; t < HAND_TOKENS; t++) {
        /* print both gates of a hand-sized token */
        const real *row = matrix_row(z, t), *g = matrix_row(r.gate, t);
        routes_weigh(&r, GATE_SOFTMAX, z, p);
        fprintf(out, "    %c      %g %g %g %g   %zu %.3f  %zu %.3f  ",
                hand_text[t], (double)row[0], (double)row[1], (double)row[2],
                (double)row[3], routes_expert(&r, t, 0), (double)g[0],
                routes_expert(&r, t, 1), (double)g[1]);
        routes_weigh(&r, GATE_RENORM, z, p);
        print_route(out, &r, t);
    }
    matrix_free(&z), matrix_free(&p), routes_free(&r);
}

/* print the routing table */
static void print_table(FILE *out, const struct layer *l)
{
    print_part(out, "The routing table, first tokens: expert and gate");
    for (size_t t = 0; t < tokens && t < 12; t++) {
        fprintf(out, "    %-3s", print_char(l->text[t]));
        print_route(out, &l->routes, t);
    }
    print_part(out, "Rows by expert");
    for (size_t e = 0; e < experts && e < 16; e++) {
        /* count an expert's rows and draw them */
        size_t rows = 0;
        for (size_t i = 0; i < tokens * top_k; i++)
            rows += l->routes.expert[i] == e;
        fprintf(out, "    %3zu %6zu ", e, rows);
        print_bar(out, (double)rows / (double)tokens, 40);
        fprintf(out, "|\n");
    }
}

/* print the shapes and the count */
static void print_count_of_rows(FILE *out, const struct layer *l)
{
    /* print the shapes of the layer */
    print_part(out, "The shapes");
    fprintf(out, "    x      [%zu, %d]  T, D\n", tokens, CHARLM_WIDTH);
    fprintf(out, "    logits [%zu, %zu]  T, E\n", tokens, experts);
    fprintf(out, "    routes [%zu, %zu]  T, K\n", tokens, top_k);
    fprintf(out, "    y      [%zu, %d]  T, D\n", tokens, CHARLM_WIDTH);
    print_part(out, "The count");
    fprintf(out, "    expert rows, chosen only  %8zu  K T\n", l->rows);
    fprintf(out, "    expert rows, naive        %8zu  E T\n",
            l->naive_rows);
    fprintf(out, "    idle experts per token    %8g  E - K\n",
            idle_experts(&l->routes));
    fprintf(out, "    mean kept mass            %8.3f\n",
            kept_mass(&l->routes, l->p));
}

/* main of chapter 3 */
int main(int argc, char **argv)
{
    const struct args args = {"chapter3",
        "send each token to its K best experts and combine what they "
        "say",
        options, tables};
    struct args_request request = args_parse(&args, argc, argv);
    /* refuse to choose more experts than there are */
    if (top_k > experts)
        args_reject(&args, "--top-k", experts > 1 ? "--top-k 2"
            : "--top-k 1", "must be from 1 to the number of experts, "
            "%zu, got %zu", experts, top_k);
    if (request.output == ARGS_LESSONS)
        lesson_list(stdout, &lessons3, seed);
    else {
        /* run the layer and print what was asked */
        struct layer layer = make_layer();
        run_layer(&layer);
        if (request.output == ARGS_VALUES) print_values(&layer);
        else if (request.output == ARGS_DATA && *request.table->name == 'g')
            print_gates(&layer);
        else if (request.output == ARGS_DATA) print_kept_mass(&layer);
        else {
            printf("Top-k routing, T = %zu, E = %zu, K = %zu, gate %s\n",
                   tokens, experts, top_k, gates[gate]);
            print_by_hand(stdout);
            print_table(stdout, &layer);
            print_count_of_rows(stdout, &layer);
        }
        free_layer(&layer);
    }
    return print_end(args.program);
}
