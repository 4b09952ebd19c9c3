/* Chapter 4: what the auxiliary loss measures, and what it does. */
/* include what chapter 4 needs */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "args.h"
#include "balance.h"
#include "charlm.h"
#include "lesson.h"
#include "print.h"
#include "router.h"
#include "softmax.h"
#include "text.h"

/* set the knobs of chapter 4 */
extern const struct lesson_table lessons4;

static size_t experts = 8, top_k = 1, seeds = 4, steps = 300,
    seed = LESSON_BOOK_SEED;
static double shared = 1;
static struct args_shares shares = {4, {9, 2, 2, 2}};

static const struct args_table tables[] = {{"usage", NULL},
    {"surface", NULL}, {0}};

/* list the options of chapter 4 */
static const struct args_option options[] = {
    {"--experts", "experts, E", ARGS_COUNT, &experts, 2, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 256, NULL},
    {"--shares", "a load to measure", ARGS_SHARES, &shares,
     0, 1e6, NULL},
    {"--shared", "size of the tokens' common part", ARGS_NUMBER,
     &shared, 0, 100, NULL},
    {"--steps", "training steps", ARGS_COUNT, &steps, 100, 5000, NULL},
    {"--seeds", "runs of the experiment; 0 for none", ARGS_COUNT,
     &seeds, 0, 100, NULL},
    {"--seed", "of the first run", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

/* construct batches and take their loss */
/* take the loss of a batch */
static double loss_of(struct matrix z, size_t k, int divided)
{
    struct matrix p = matrix_new(z.rows, z.cols);
    struct routes r = routes_new(z.rows, z.cols, k);
    double *f = calloc(2 * z.cols, sizeof *f);
    if (!f) abort();
    softmax_rows(p, NULL, z);
    routes_select(&r, z);
    (divided ? balance_load : balance_chosen)(f, &r);
    balance_mean(f + z.cols, p);
    double loss = balance_loss(f, f + z.cols, z.cols);
    matrix_free(&p), routes_free(&r), free(f);
    return loss;
}

/* construct the even batch */
static double uniform(int divided)
{
    struct matrix z = matrix_new(64, experts);
    double loss = loss_of(z, top_k, divided);
    matrix_free(&z);
    return loss;
}

/* construct the collapsed batch */
static double collapsed(void)
{
    struct matrix z = matrix_new(64, experts);
    for (size_t i = 0; i < 64 * experts; i++)
        if (i % experts >= top_k) z.at[i] = (real)-INFINITY;
    double loss = loss_of(z, top_k, 1);
    matrix_free(&z);
    return loss;
}

/* construct the batch below one */
static double below_one(void)
{
    struct matrix z = matrix_new(2 * experts, experts);
    for (size_t t = 0; t + 1 < experts; t++)
        for (size_t e = 0; e < experts; e++)
            if (e != t + 1) matrix_row(z, t)[e] = (real)-INFINITY;
    double loss = loss_of(z, 1, 1); /* the other tokens: undecided */
    matrix_free(&z);
    return loss;
}

/* construct the batch with idle experts */
static double half_idle(void)
{
    size_t busy = experts / 2;
    struct matrix z = matrix_new(busy, experts);
    for (size_t t = 0; t < busy; t++)
        for (size_t e = 0; e < busy; e++)
            if (e != t) matrix_row(z, t)[e] = (real)-INFINITY;
    double loss = loss_of(z, 1, 1);
    matrix_free(&z);
    return loss;
}

/* train a small mixture */
/* keep what a step needs */
enum { BATCH = CHARLM_BATCH, WINDOW = 100, EVERY = 15 };
#define RATE 0.1

struct mixture {
    struct router router, grad;
    struct matrix x, z, biased, p, dz, dgate, common, *expert;
    struct routes routes;
    double *bias, *f, *mean;
    real *out, *miss; /* [K, V] and [V] */
};

/* make a mixture */
static struct mixture make_mixture(struct random *r)
{
    size_t width = CHARLM_WIDTH, v = text_symbols();
    struct mixture m = {.routes = routes_new(BATCH, experts, top_k)};
    /* make the mixture's matrices */
    m.router = router_new(width, experts, 1, r);
    m.grad.w = matrix_new(width, experts);
    m.x = matrix_new(BATCH, width), m.common = matrix_new(1, width);
    m.z = matrix_new(BATCH, experts), m.p = matrix_new(BATCH, experts);
    m.biased = matrix_new(BATCH, experts);
    m.dz = matrix_new(BATCH, experts);
    m.dgate = matrix_new(BATCH, top_k);
    m.expert = calloc(experts, sizeof *m.expert);
    /* make the mixture's arrays */
    m.bias = calloc(3 * experts, sizeof *m.bias);
    m.out = calloc((top_k + 1) * v, sizeof *m.out);
    if (!m.expert || !m.bias || !m.out) abort();
    m.f = m.bias + experts, m.mean = m.f + experts;
    m.miss = m.out + top_k * v;
    for (size_t e = 0; e < experts; e++) m.expert[e] = matrix_new(width, v);
    for (size_t d = 0; d < width; d++)
        m.common.at[d] = random_below(r, 2) ? 1 : -1;
    return m;
}

/* free a mixture */
static void free_mixture(struct mixture *m)
{
    for (size_t e = 0; e < experts; e++) matrix_free(&m->expert[e]);
    free(m->expert), free(m->bias), free(m->out);
    router_free(&m->router), router_free(&m->grad);
    matrix_free(&m->x), matrix_free(&m->z), matrix_free(&m->p);
    matrix_free(&m->biased), matrix_free(&m->dz);
    matrix_free(&m->dgate), matrix_free(&m->common);
    routes_free(&m->routes);
}

/* route a batch of the mixture */
static void route_batch(struct mixture *m, const struct charlm *model,
                        const char *text)
{
    charlm_vectors(model, m->x, text);
    /* give the tokens a common part */
    real size = (real)sqrt(1 + shared * shared);
    for (size_t i = 0; i < m->x.rows * m->x.cols; i++)
        m->x.at[i] = (m->x.at[i] + (real)shared
                      * m->common.at[i % m->x.cols]) / size;
    router_forward(&m->router, m->z, m->x);
    softmax_rows(m->p, NULL, m->z);
    for (size_t i = 0; i < BATCH * experts; i++)
        m->biased.at[i] = m->z.at[i] + (real)m->bias[i % experts];
    routes_select(&m->routes, m->biased);
    routes_weigh(&m->routes, GATE_SOFTMAX, m->z, m->p);
    balance_load(m->f, &m->routes);
}

/* run the chosen matrices */
static void learn_token(struct mixture *m, size_t t, char next)
{
    size_t v = text_symbols();
    real *gate = matrix_row(m->routes.gate, t);
    struct matrix x = {1, m->x.cols, matrix_row(m->x, t)};
    for (size_t j = 0; j < v; j++) m->miss[j] = 0;
    for (size_t k = 0; k < top_k; k++) {
        struct matrix out = {1, v, m->out + k * v};
        matmul(out, x, m->expert[routes_expert(&m->routes, t, k)]);
        for (size_t j = 0; j < v; j++)
            m->miss[j] += gate[k] * out.at[j];
    }
    m->miss[text_symbol(next)] -= 1;
    /* correct the chosen matrices */
    for (size_t k = 0; k < top_k; k++) {
        struct matrix e = m->expert[routes_expert(&m->routes, t, k)];
        double slope = 0;
        for (size_t j = 0; j < v; j++)
            slope += (double)(m->miss[j] * m->out[k * v + j]);
        matrix_row(m->dgate, t)[k] = (real)(slope * 2 / BATCH);
        for (size_t d = 0; d < x.cols; d++) {
            real step = (real)RATE * 2 / BATCH * gate[k] * x.at[d];
            real *row = matrix_row(e, d), *miss = m->miss;
            for (size_t j = 0; j < v; j++) row[j] -= step * miss[j];
        }
    }
}

/* take a step of the mixture */
struct setting { const char *name; double alpha, bias_rate; };

/* learn from a batch */
static void step(struct mixture *m, const struct charlm *model,
                 struct setting setting, struct random *r)
{
    char text[BATCH + 1];
    text_fill(text, sizeof text, r);
    route_batch(m, model, text);
    for (size_t t = 0; t < BATCH; t++) learn_token(m, t, text[t + 1]);
    routes_weigh_backward(&m->routes, GATE_SOFTMAX, m->dz, m->dgate,
                          m->z, m->p);
    balance_loss_backward(m->dz, m->p, m->f, setting.alpha);
    balance_bias_update(m->bias, m->f, experts, setting.bias_rate);
    router_backward(&m->router, &m->grad, NULL, m->dz, m->x);
    matrix_add(m->router.w, m->router.w, (real)-RATE, m->grad.w);
}

/* repeat it from many seeds */
enum { SETTINGS = 4 };
static const struct setting settings[SETTINGS] = {
    {"no balancing", 0, 0}, {"alpha 0.01", 0.01, 0},
    {"alpha 0.1", 0.1, 0}, {"biases", 0, 0.01}};

struct outcome { double mean, sd, least, most, top; };

/* follow one run */
static double follow(const struct charlm *model, struct setting setting,
                     uint64_t run, double *curve, double *top)
{
    struct random r = random_seeded(run);
    struct mixture m = make_mixture(&r);
    double *late = calloc(2 * experts, sizeof *late);
    if (!late) abort();
    /* take every step of the run */
    for (size_t i = 0; i < steps; i++) {
        double *now = late + experts;
        step(&m, model, setting, &r);
        /* add the load to the curve and to the window */
        for (size_t e = 0; e < experts; e++) {
            now[e] += m.f[e] / EVERY;
            if (i + WINDOW >= steps) late[e] += m.f[e] / WINDOW;
        }
        if ((i + 1) % EVERY == 0) {
            curve[i / EVERY] += balance_effective(now, experts) / (double)seeds;
            for (size_t e = 0; e < experts; e++) now[e] = 0;
        }
    }
    double effective = balance_effective(late, experts);
    *top = (1 + balance_max_violation(late, experts))
         / (double)experts;
    free(late), free_mixture(&m);
    return effective;
}

/* sum up the runs of a setting */
static struct outcome repeat(const struct charlm *model,
                             struct setting setting, double *curve)
{
    struct outcome o = {.least = INFINITY};
    double squares = 0, n = (double)seeds;
    for (size_t i = 0; i < seeds; i++) {
        double top, one = follow(model, setting, seed + i, curve, &top);
        o.mean += one / n, squares += one * one / n, o.top += top / n;
        o.least = fmin(o.least, one), o.most = fmax(o.most, one);
    }
    o.sd = seeds > 1 ? sqrt(fmax(0, squares - o.mean * o.mean)
                            * n / (n - 1)) : 0;
    return o;
}

/* print what chapter 4 found */
/* print the losses */
static void print_losses(FILE *out)
{
    print_value(out, "aux.uniform", uniform(1));
    print_value(out, "aux.collapse", collapsed());
    print_value(out, "aux.below_one", below_one());
    print_value(out, "aux.half_idle", half_idle());
    print_value(out, "aux.hf_uniform", uniform(0));
    print_count(out, "aux.experts", experts);
    print_count(out, "aux.top_k", top_k);
}

/* print the measures of a load */
static void print_measures(FILE *out)
{
    double sum = 0, *f = shares.at;
    size_t n = shares.count;
    for (size_t e = 0; e < n; e++) sum += f[e];
    for (size_t e = 0; e < n; e++) f[e] /= sum;
    print_value(out, "experts.effective", balance_effective(f, n));
    print_value(out, "experts.simpson", balance_simpson(f, n));
    print_value(out, "experts.cv2", balance_cv2(f, n));
    print_value(out, "experts.max_violation",
                balance_max_violation(f, n));
    print_value(out, "aux.skewed", balance_loss(f, f, n));
}

/* print the outcomes */
static void print_outcomes(FILE *out, const struct outcome *o)
{
    print_count(out, "sim.experts", experts);
    print_count(out, "sim.steps", steps);
    print_count(out, "sim.seeds", seeds);
    print_count(out, "sim.window", WINDOW);
    print_value(out, "sim.none", o[0].mean);
    print_value(out, "sim.none_sd", o[0].sd);
    print_value(out, "sim.none_least", o[0].least);
    print_value(out, "sim.none_most", o[0].most);
    print_value(out, "sim.none_top", o[0].top);
    print_value(out, "sim.small", o[1].mean);
    print_value(out, "sim.large", o[2].mean);
    print_value(out, "sim.bias", o[3].mean);
}

/* print the run of chapter 4 */
static void print_run(FILE *out, const struct outcome *o)
{
    /* print the constructed losses */
    fprintf(out, "The auxiliary loss, E = %zu, K = %zu\n", experts,
            top_k);
    print_part(out, "The loss of constructed batches");
    fprintf(out, "    even probabilities  %7.4f\n", uniform(1));
    fprintf(out, "    full collapse       %7.4f  E / K\n", collapsed());
    fprintf(out, "    skewed, below one   %7.4f  K = 1\n", below_one());
    if (!seeds) return;
    print_part(out, "Effective experts after training");
    fprintf(out, "    %zu seeds, %zu steps, common part %g\n", seeds,
            steps, shared);
    for (size_t i = 0; i < SETTINGS; i++) {
        /* print one outcome */
        fprintf(out, "    %-13s %5.2f  (%.2f to %.2f) ", settings[i].name,
                o[i].mean, o[i].least, o[i].most);
        print_bar(out, o[i].mean / (double)experts, 30);
        fprintf(out, "|\n");
    }
}

/* print the curves */
static void print_curves(double *const *curve)
{
    printf("# step\tno balancing\talpha 0.01\talpha 0.1\tbiases\n");
    for (size_t i = 0; i < steps / EVERY; i++) {
        printf("%zu", (i + 1) * EVERY);
        for (size_t s = 0; s < SETTINGS; s++)
            printf("\t%.6g", curve[s][i]);
        printf("\n");
    }
}

/* print the surface */
static void print_surface(void)
{
    enum { STEPS = 20 };
    printf("# load of expert 0\tmean probability of expert 0\tloss\n");
    for (size_t i = 0; i <= STEPS; i++) {
        for (size_t j = 0; j <= STEPS; j++) {
            double f = (double)i / STEPS, p = (double)j / STEPS;
            double load[2] = {f, 1 - f}, mean[2] = {p, 1 - p};
            printf("%g\t%g\t%.6g\n", f, p,
                   balance_loss(load, mean, 2));
        }
        printf("\n");
    }
}

/* main of chapter 4 */
int main(int argc, char **argv)
{
    const struct args args = {"chapter4",
        "take the auxiliary loss, and train with and without it",
        options, tables};
    struct args_request request = args_parse(&args, argc, argv);
    /* refuse more choices than experts */
    if (top_k > experts)
        args_reject(&args, "--top-k", "--top-k 1",
                    "must be from 1 to the number of experts, %zu, "
                    "got %zu", experts, top_k);
    /* print the surface, which needs no experiment */
    if (request.output == ARGS_DATA && *request.table->name == 's') {
        print_surface();
        return print_end(args.program);
    }
    if (request.output == ARGS_LESSONS)
        lesson_list(stdout, &lessons4, seed);
    else {
        /* run the experiment and print what was asked */
        struct charlm model = charlm_trained(LESSON_BOOK_SEED);
        struct outcome outcomes[SETTINGS];
        double *curve[SETTINGS];
        for (size_t i = 0; i < SETTINGS; i++) {
            curve[i] = calloc(steps / EVERY + 1, sizeof *curve[i]);
            if (!curve[i]) abort();
            outcomes[i] = repeat(&model, settings[i], curve[i]);
        }
        if (request.output == ARGS_DATA) print_curves(curve);
        else if (request.output == ARGS_RUN) print_run(stdout, outcomes);
        else print_losses(stdout), print_measures(stdout);
        if (request.output == ARGS_VALUES && seeds)
            print_outcomes(stdout, outcomes);
        for (size_t i = 0; i < SETTINGS; i++) free(curve[i]);
        charlm_free(&model);
    }
    return print_end(args.program);
}
