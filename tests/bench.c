/* What the layer's speed is, beside other ways to run it and beside the
 * machine's own: `make bench`. Times are medians of repetitions in turn, all
 * in one run; what counts is their ratio.
 *
 *   naive    one visit at a time
 *   masked   every expert on every token, then the gates
 *   padded   E buffers of C rows at capacity factor 1.25
 *   grouped  rows sorted by expert, in tiles
 *   dense    one block of hidden width K H: the same products, no routing
 *
 * And what training's speed is: tokens a second of whole steps of chapter 7's
 * transformer, at two sizes, and what a step's time goes to.
 *
 * GFLOP/s counts the useful operations, 4 K T D H forward and three times
 * that with backward, whatever a layout computes beside them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "adamw.h"
#include "fast.h"
#include "gpt.h"
#include "heads.h"
#include "loss.h"
#include "naive.h"
#ifdef _OPENMP
#include <omp.h>
#endif

static const struct shape { const char *name; size_t t, d, h, e, k; } shapes[] = {
    {"S", 256, 64, 256, 4, 1}, {"S", 256, 64, 256, 4, 2}, {"M", 2048, 256, 1024, 8, 2},
    {"L", 4096, 512, 2048, 8, 2}, {"F", 4096, 512, 512, 64, 6},
};
enum { SHAPES = sizeof shapes / sizeof *shapes, PEAK = 1024, MOST = 64 };
enum layout { NAIVE, MASKED, PADDED, GROUPED, DENSE, LAYOUTS };
static const char *const layouts[LAYOUTS] = {"naive", "masked", "padded", "grouped", "dense"};

struct bench {
    struct shape s;
    struct matrix x, y, dx, dy, out, din;
    struct moe moe, grad;
    struct moe_work work, slots; /* slots: with the padded layer's capacity */
    struct ffn wide, dwide;
    struct ffn_trace trace;      /* [T, H], and of the wide block */
    struct ffn_trace wide_trace;
    struct matrix pad_in, pad_out, pad_din, pad_dout; /* [E C, D] */
    struct ffn_trace pad_trace;
    size_t c;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void randomize(struct matrix m, struct random *r)
{
    for (size_t i = 0; i < m.rows * m.cols; i++) m.at[i] = (real)random_symmetric(r, 1);
}

/* With skew, 60 percent of the first choices are expert 0's. */
static struct bench bench_new(struct shape s, int skew)
{
    struct random r = random_seeded(1);
    struct moe_options o = {.width = s.d, .hidden = s.h, .experts = s.e, .top_k = s.k,
        .gate = GATE_RENORM, .activation = FFN_GELU};
    struct bench b = {.s = s, .x = matrix_new(s.t, s.d), .y = matrix_new(s.t, s.d),
        .dx = matrix_new(s.t, s.d), .dy = matrix_new(s.t, s.d), .out = matrix_new(s.t, s.d),
        .din = matrix_new(s.t, s.d), .moe = {.options = o}, .work = moe_work_new(&o, s.t),
        .trace = ffn_trace_new(s.t, s.h), .wide_trace = ffn_trace_new(s.t, s.k * s.h)};
    b.moe = moe_new(o, &r), b.grad = moe_new(o, &r);
    b.wide = ffn_new(s.d, s.k * s.h, FFN_GELU, &r), b.dwide = ffn_new(s.d, s.k * s.h, FFN_GELU, &r);
    randomize(b.x, &r), randomize(b.dy, &r);
    for (size_t t = 0; skew && t < s.t; t++) matrix_row(b.x, t)[0] = t % 5 < 3 ? 8 : -8;
    for (size_t e = 0; skew && e < s.e; e++) b.moe.router.w.at[e] = e ? 0 : 4;
    o.factor = 1.25;
    b.c = capacity_slots(o.factor, s.t, s.k, s.e);
    b.slots = moe_work_new(&o, s.t);
    b.pad_in = matrix_new(s.e * b.c, s.d), b.pad_out = matrix_new(s.e * b.c, s.d);
    b.pad_din = matrix_new(s.e * b.c, s.d), b.pad_dout = matrix_new(s.e * b.c, s.d);
    b.pad_trace = ffn_trace_new(s.e * b.c, s.h);
    return b;
}

static void bench_free(struct bench *b)
{
    struct matrix *all[] = {&b->x, &b->y, &b->dx, &b->dy, &b->out, &b->din, &b->pad_in,
        &b->pad_out, &b->pad_din, &b->pad_dout};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) matrix_free(all[i]);
    moe_free(&b->moe), moe_free(&b->grad), moe_work_free(&b->work), moe_work_free(&b->slots);
    ffn_free(&b->wide), ffn_free(&b->dwide);
    ffn_trace_free(&b->trace), ffn_trace_free(&b->wide_trace), ffn_trace_free(&b->pad_trace);
}

/* The expert's gate for token t, 0 if it was not chosen. */
static real gate_of(const struct moe_work *w, size_t t, size_t e)
{
    for (size_t k = 0; k < w->routes.top_k; k++)
        if (routes_expert(&w->routes, t, k) == e) return matrix_row(w->kept, t)[k];
    return 0;
}

static void masked(struct bench *b, int back)
{
    size_t cells = b->s.t * b->s.d;
    moe_route(&b->moe, b->x, &b->work);
    memcpy(b->y.at, b->x.at, cells * sizeof(real));
    for (size_t e = 0; e < b->s.e; e++) {
        ffn_forward(&b->moe.expert[e], b->out, b->x, &b->trace);
        for (size_t t = 0; t < b->s.t; t++) {
            real g = gate_of(&b->work, t, e);
            for (size_t d = 0; d < b->s.d; d++) {
                matrix_row(b->y, t)[d] += g * matrix_row(b->out, t)[d];
                matrix_row(b->out, t)[d] = g * matrix_row(b->dy, t)[d];
            }
        }
        if (back) ffn_backward(&b->moe.expert[e], &b->grad.expert[e], b->din, b->out, b->x, &b->trace);
        if (back) matrix_add(b->dx, b->dx, 1, b->din);
    }
}

static struct matrix piece(const struct bench *b, struct matrix m, size_t e)
{
    return (struct matrix){b->c, m.cols, matrix_row(m, e * b->c)};
}

static void padded(struct bench *b, int back)
{
    struct moe layer = b->moe;
    layer.options.factor = 1.25;
    struct moe_work *w = &b->slots;
    moe_route(&layer, b->x, w);
    memset(b->pad_in.at, 0, b->pad_in.rows * b->s.d * sizeof(real));
    memset(b->pad_dout.at, 0, b->pad_in.rows * b->s.d * sizeof(real));
    for (size_t i = 0; i < b->s.t * b->s.k; i++)
        if (w->capacity.slot[i] != CAPACITY_DROPPED) {
            size_t row = w->routes.expert[i] * b->c + w->capacity.slot[i];
            memcpy(matrix_row(b->pad_in, row), matrix_row(b->x, i / b->s.k), b->s.d * sizeof(real));
            for (size_t d = 0; back && d < b->s.d; d++)
                matrix_row(b->pad_dout, row)[d] = w->kept.at[i] * matrix_row(b->dy, i / b->s.k)[d];
        }
    MATRIX_PARALLEL(dynamic)
    for (size_t e = 0; e < b->s.e; e++) {
        struct ffn_trace t = {piece(b, b->pad_trace.pre, e), piece(b, b->pad_trace.hidden, e),
                              piece(b, b->pad_trace.dpre, e)};
        ffn_forward(&b->moe.expert[e], piece(b, b->pad_out, e), piece(b, b->pad_in, e), &t);
        if (back) ffn_backward(&b->moe.expert[e], &b->grad.expert[e], piece(b, b->pad_din, e),
                               piece(b, b->pad_dout, e), piece(b, b->pad_in, e), &t);
    }
    memcpy(b->y.at, b->x.at, b->s.t * b->s.d * sizeof(real));
    for (size_t i = 0; i < b->s.t * b->s.k; i++)
        if (w->capacity.slot[i] != CAPACITY_DROPPED) {
            size_t row = w->routes.expert[i] * b->c + w->capacity.slot[i];
            for (size_t d = 0; d < b->s.d; d++)
                matrix_row(b->y, i / b->s.k)[d] += w->kept.at[i] * matrix_row(b->pad_out, row)[d];
        }
}

static void run(struct bench *b, enum layout layout, int back)
{
    if (layout == NAIVE) {
        moe_forward_naive(&b->moe, b->y, b->x, &b->work);
        if (back) moe_backward_naive(&b->moe, &b->grad, b->dx, b->dy, b->x, &b->work);
    }
    if (layout == MASKED) masked(b, back);
    if (layout == PADDED) padded(b, back);
    if (layout == GROUPED) {
        moe_forward(&b->moe, b->y, b->x, &b->work);
        if (back) moe_backward(&b->moe, &b->grad, b->dx, b->dy, b->x, &b->work);
    }
    if (layout == DENSE) {
        ffn_forward(&b->wide, b->y, b->x, &b->wide_trace);
        if (back) ffn_backward(&b->wide, &b->dwide, b->dx, b->dy, b->x, &b->wide_trace);
    }
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *times, size_t n)
{
    qsort(times, n, sizeof *times, by_size);
    return times[n / 2];
}

/* A product of 1024 x 1024 matrices, the machine's own measure. */
static double peak_ms(void)
{
    static struct matrix a, b, c;
    if (!a.at) a = matrix_new(PEAK, PEAK), b = matrix_new(PEAK, PEAK), c = matrix_new(PEAK, PEAK);
    double start = now();
    matmul(c, a, b);
    return now() - start;
}

/* How the layer's forward time grows with T, E and K, beside two dense blocks:
 * of the same active hidden width K H, and of the width of all experts, E H. */
static void growth(FILE *table)
{
    enum { POINTS = 21, TIMES = 9 };
    static const struct { char what; size_t t, e, k; } points[POINTS] = {
        {'T', 8, 8, 2}, {'T', 32, 8, 2}, {'T', 128, 8, 2}, {'T', 512, 8, 2}, {'T', 2048, 8, 2}, {'T', 8192, 8, 2},
        {'E', 1024, 2, 2}, {'E', 1024, 4, 2}, {'E', 1024, 8, 2}, {'E', 1024, 16, 2}, {'E', 1024, 32, 2},
        {'E', 1024, 64, 2}, {'E', 1024, 128, 2},
        {'K', 1024, 8, 1}, {'K', 1024, 8, 2}, {'K', 1024, 8, 3}, {'K', 1024, 8, 4}, {'K', 1024, 8, 5},
        {'K', 1024, 8, 6}, {'K', 1024, 8, 7}, {'K', 1024, 8, 8}};
    for (size_t i = 0; i < POINTS; i++) {
        struct shape s = {"growth", points[i].t, 256, 512, points[i].e, points[i].k};
        struct bench b = bench_new(s, 0);
        struct random r = random_seeded(1);
        struct ffn whole = ffn_new(s.d, s.e * s.h, FFN_GELU, &r);
        struct ffn_trace trace = ffn_trace_new(s.t, s.e * s.h);
        double times[3][TIMES];
        size_t inner = 1 + 200000 / (s.t * s.k * s.h);
        for (int round = -1; round < TIMES; round++)
            for (int which = 0; which < 3; which++) {
                double start = now();
                for (size_t n = 0; n < inner; n++) {
                    if (which == 2) ffn_forward(&whole, b.y, b.x, &trace);
                    else run(&b, which ? DENSE : GROUPED, 0);
                }
                times[which][round < 0 ? 0 : round] = (now() - start) / (double)inner;
            }
        size_t x = points[i].what == 'T' ? s.t : points[i].what == 'E' ? s.e : s.k;
        double layer = median(times[0], TIMES), active = median(times[1], TIMES), all = median(times[2], TIMES);
        printf("%c %6zu %10.4f ms %10.4f %10.4f   %5.2f %5.2f\n", points[i].what, x, layer, active, all,
               layer / active, layer / all);
        fprintf(table, "%c\t%zu\t%.4f\t%.3f\t%.3f\n", points[i].what, x, layer, layer / active, layer / all);
        ffn_free(&whole), ffn_trace_free(&trace), bench_free(&b);
    }
}

/* The naive layer and this one at shape M, by the build that this is. The way
 * back one visit at a time takes seconds, so it is taken once. */
static void steps(FILE *table)
{
    enum { TIMES = 7 };
    struct bench b = bench_new(shapes[2], 0);
    double times[4][TIMES];
    for (int round = -1; round < TIMES; round++)
        for (int what = 0; what < 4; what++) {
            if (what == 2 && round >= 0) { times[2][round] = times[2][0]; continue; }
            double start = now();
            run(&b, what % 2 ? GROUPED : NAIVE, what > 1);
            times[what][round < 0 ? 0 : round] = now() - start;
        }
    double naive = median(times[0], TIMES), layer = median(times[1], TIMES);
    double naive_both = times[2][0], both = median(times[3], TIMES);
    char name[40] = "sorted into tiles";
#ifdef MATRIX_ONEDNN
    snprintf(name, sizeof name, "oneDNN's product");
#elif defined _OPENMP
    snprintf(name, sizeof name, "%d threads", omp_get_max_threads());
#else
    fprintf(table, "naive\t%.2f\t1\t%.2f\t1\n", naive, naive_both);
#endif
    printf("naive %.2f ms forward, %.2f both; %s %.2f, %.2f\n", naive, naive_both, name, layer, both);
    fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%.2f\n", name, layer, naive / layer, both, naive_both / both);
    bench_free(&b);
}

/* Every layout of a shape, in turn with the product that is the measure. */
static void compare(FILE *table, struct shape s, int skew)
{
    struct bench b = bench_new(s, skew);
    double flops = 4.0 * (double)(s.k * s.t) * (double)(s.d * s.h);
    double times[2][LAYOUTS][MOST], peak[MOST];
    size_t counts[2][LAYOUTS] = {{0}}, rounds = flops < 1e8 ? 31 : flops < 1e10 ? 11 : 5;
    for (size_t round = 0; round <= rounds; round++) { /* the first only warms up */
        peak_ms();
        peak[round ? round - 1 : 0] = peak_ms();
        for (int back = 0; back < 2; back++)
            for (enum layout layout = 0; layout < LAYOUTS; layout++) {
                int slow = layout == NAIVE || (layout == MASKED && flops > 1e9);
                if (layout == NAIVE && (skew || flops > (back ? 1e8 : 1e10))) continue;
                if (slow && round > 2) continue;
                size_t inner = flops < 1e8 && layout > MASKED ? 8 : 1;
                if (flops < 1e10 && !slow) run(&b, layout, back); /* warm, as the peak's */
                double start = now();
                for (size_t n = 0; n < inner; n++) run(&b, layout, back);
                double took = (now() - start) / (double)inner;
                if (round || slow) times[back][layout][counts[back][layout]++] = took;
            }
    }
    double peak_rate = 2.0 * PEAK * PEAK * PEAK / median(peak, rounds) / 1e6;
    for (int back = 0; back < 2; back++)
        for (enum layout layout = 0; layout < LAYOUTS; layout++) {
            if (!counts[back][layout]) continue;
            double ms = median(times[back][layout], counts[back][layout]);
            double rate = (back ? 3 : 1) * flops / ms / 1e6;
            char name[20];
            snprintf(name, sizeof name, "%s%s", s.name, skew ? "-skew" : "");
            printf("%-6s %zu %-8s %-8s %12.3f %9.1f %6.2f\n", name, s.k, layouts[layout],
                   back ? "both" : "forward", ms, rate, rate / peak_rate);
            fprintf(table, "%s\t%zu\t%s\t%s\t%.4f\t%.2f\t%.4f\n", name, s.k, layouts[layout],
                    back ? "both" : "forward", ms, rate, rate / peak_rate);
            fflush(stdout);
        }
    printf("%-6s %zu sgemm    1024^3   %21.1f\n", s.name, s.k, peak_rate);
    bench_free(&b);
}

/* Chapter 7's transformer at two sizes, 2048 tokens a step. */
struct training {
    struct gpt_options o;
    struct gpt gpt, grad;
    struct gpt_work *work;
    struct weights list;
    struct adamw adamw;
    size_t tokens, *symbol, *target;
};
static const struct { const char *name; struct gpt_options o; } sizes[] = {
    {"A", {51, 32, 4, 2, {.width = 64, .hidden = 256, .activation = FFN_GELU}}},
    {"B", {51, 64, 4, 4, {.width = 128, .hidden = 512, .activation = FFN_GELU}}},
};
enum { SIZES = sizeof sizes / sizeof *sizes, MODELS = 3 }; /* dense, K = 1, K = 2 of E = 4 */

static struct training training_new(size_t size, size_t top_k)
{
    struct random r = random_seeded(1);
    struct training t = {.o = sizes[size].o, .tokens = 2048};
    t.o.layer.experts = top_k ? 4 : 1, t.o.layer.top_k = top_k ? top_k : 1;
    t.o.layer.gate = top_k == 1 ? GATE_SOFTMAX : GATE_RENORM, t.o.layer.alpha = top_k ? 0.01 : 0;
    t.gpt = gpt_new(t.o, &r), t.grad = gpt_new(t.o, &r), t.work = gpt_work_new(&t.o, t.tokens);
    gpt_weights(&t.list, &t.gpt, &t.grad);
    t.adamw = adamw_new(&t.list);
    t.symbol = calloc(t.tokens, sizeof *t.symbol), t.target = calloc(t.tokens, sizeof *t.target);
    if (!t.symbol || !t.target) exit(1);
    for (size_t i = 0; i < t.tokens; i++) t.symbol[i] = random_below(&r, 51), t.target[i] = random_below(&r, 51);
    return t;
}

static void training_free(struct training *t)
{
    gpt_free(&t->gpt), gpt_free(&t->grad), gpt_work_free(t->work), weights_free(&t->list), adamw_free(&t->adamw);
    free(t->symbol), free(t->target);
}

static void training_step(struct training *t)
{
    gpt_forward(&t->gpt, t->work, t->symbol, t->target, NULL);
    gpt_backward(&t->gpt, &t->grad, t->work, t->symbol);
    adamw_clip(&t->list, 1);
    adamw_step(&t->adamw, &t->list, 1e-4);
}

/* Best and median of the steps of two seconds: a step is short, and whoever else
 * uses the machine makes it longer, never shorter. */
static void train(FILE *table, size_t size)
{
    enum { STEPS = 1000 };
    static const char *const models[MODELS] = {"dense", "K1", "K2"};
    for (size_t k = 0; k < MODELS; k++) {
        struct training t = training_new(size, k);
        double times[STEPS];
        size_t n = 0;
        for (int i = 0; i < 3; i++) training_step(&t);
        for (double start = now(); n < 5 || (n < STEPS && now() - start < 2000); n++) {
            double before = now();
            training_step(&t);
            times[n] = now() - before;
        }
        double middle = median(times, n), per_ms = (double)t.tokens * 1e3; /* sorted by now */
        double flops = 3 * (double)gpt_flops(&t.o), best = per_ms / times[0];
        printf("%s %-6s %-14s %9.0f tokens/s at best, %9.0f the median of %zu; %.1f GFLOP/s\n", sizes[size].name,
               models[k], "this book", best, per_ms / middle, n, best * flops / 1e9);
        fprintf(table, "%s\t%s\tthis book\t%.0f\t%.0f\t%.1f\n", sizes[size].name, models[k], best, per_ms / middle,
                best * flops / 1e9);
        fflush(stdout), training_free(&t);
    }
}

enum part { STEP, ATTENTION, HEADS_ALONE, NORMS, EXPERTS, ACTIVATION, ROUTING, LOSS, OPTIMIZER, PARTS };

/* One part of a step alone, as often as the step does it, on what a whole step left. */
static void run_part(struct training *t, enum part part)
{
    struct moe_work *m = gpt_moe(t->work, 0);
    struct attention_work *a = gpt_attention(t->work, 0);
    struct gpt_block *b = &t->gpt.block[0], *g = &t->grad.block[0];
    static struct matrix x, y, gain;
    static double *scale, *mean;
    if (x.rows != t->tokens || x.cols != t->o.layer.width) {
        struct random r = random_seeded(2);
        matrix_free(&x), matrix_free(&y), matrix_free(&gain), free(scale), free(mean);
        x = matrix_new(t->tokens, t->o.layer.width), y = matrix_new(x.rows, x.cols), gain = matrix_new(1, x.cols);
        scale = calloc(x.rows, sizeof *scale), mean = calloc(x.rows, sizeof *mean);
        if (!scale || !mean) exit(1);
        randomize(x, &r), randomize(y, &r);
    }
    size_t blocks = t->o.blocks, hidden = t->o.layer.hidden;
    if (part == STEP) training_step(t);
    if (part == OPTIMIZER) adamw_clip(&t->list, 1), adamw_step(&t->adamw, &t->list, 1e-4);
    if (part == LOSS) {
        struct matrix logits = gpt_logits(t->work);
        matmul(logits, x, t->gpt.unembed);
        loss_forward(logits, logits, t->target, NULL);
        matmul_tn(t->grad.unembed, x, logits), matmul_nt(y, logits, t->gpt.unembed);
    }
    for (size_t i = 0; i < (part == NORMS ? 2 * blocks + 1 : 0); i++) {
        norm_forward(NORM_RMS, y, x, b->gain1, scale, mean);
        norm_backward(NORM_RMS, y, gain, y, x, b->gain1, scale, mean);
    }
    for (size_t i = 0; i < blocks; i++)
        switch (part) {
        case ATTENTION:
            attention_forward(&b->attention, y, x, a);
            attention_backward(&b->attention, &g->attention, y, x, x, a);
            break;
        case HEADS_ALONE:
            if (heads_forward(a->share, a->mixed, a->qkv)) heads_backward(a->dqkv, a->dmixed, a->share, a->qkv);
            break;
        case EXPERTS:
            moe_experts(&b->moe, x, m);
            moe_experts_backward(&b->moe, &g->moe, m);
            break;
        case ACTIVATION:
            MATRIX_PARALLEL(static)
            for (size_t r = 0; r < m->rows.count; r++) {
                fast_gelu(matrix_row(m->trace.hidden, r), matrix_row(m->trace.pre, r), hidden);
                fast_gelu_slope(matrix_row(m->trace.dpre, r), matrix_row(m->trace.pre, r), hidden);
            }
            break;
        case ROUTING:
            moe_route(&b->moe, x, m), moe_dispatch(m);
            moe_combine(y, x, m), moe_combine_backward(y, m), moe_dispatch_backward(y, x, m);
            moe_route_backward(&b->moe, &g->moe, y, x, m);
            break;
        default: break;
        }
}

/* Where a step's time goes, K = 1: parts alone, in turn, the best of two seconds each.
 * What no part has is embedding, residual sums, and what parts wait for. */
static void profile(FILE *table)
{
    static const char *const names[PARTS] = {"whole step", "attention products", "heads", "normalization",
        "expert products", "activation", "routing", "logits and loss", "optimizer"};
    double ms[SIZES][PARTS], rest[SIZES];
    for (size_t s = 0; s < SIZES; s++) {
        struct training t = training_new(s, 1);
        for (int i = 0; i < 3; i++) training_step(&t);
        for (enum part p = 0; p < PARTS; p++) ms[s][p] = 1e9;
        for (double start = now(); now() - start < 2000.0 * PARTS; )
            for (enum part p = 0; p < PARTS; p++) {
                training_step(&t); /* as warm as in a run, and what parts read is finite */
                double before = now();
                run_part(&t, p);
                ms[s][p] = fmin(ms[s][p], now() - before);
            }
        ms[s][ATTENTION] -= ms[s][HEADS_ALONE], ms[s][EXPERTS] -= ms[s][ACTIVATION];
        rest[s] = ms[s][STEP];
        for (enum part p = STEP + 1; p < PARTS; p++) rest[s] -= ms[s][p];
        training_free(&t);
    }
    fprintf(table, "# part:\tA ms\tA share\tB ms\tB share\n");
    for (enum part p = STEP + 1; p <= PARTS; p++) {
        const char *name = p < PARTS ? names[p] : "the rest";
        double a = p < PARTS ? ms[0][p] : rest[0], b = p < PARTS ? ms[1][p] : rest[1];
        printf("%-20s A %8.3f ms %5.1f %%   B %8.3f ms %5.1f %%\n", name, a, 100 * a / ms[0][STEP], b, 100 * b / ms[1][STEP]);
        fprintf(table, "%s\t%.3f\t%.4f\t%.3f\t%.4f\n", name, a, a / ms[0][STEP], b, b / ms[1][STEP]);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "bench: takes the table to add to and what to measure: a shape, S, M, L or F, "
                "a size of training, A or B, or growth, steps or profile (try build/fast/bench build/bench.tsv S)\n");
        return 2;
    }
    int known = !strcmp(argv[2], "growth") || !strcmp(argv[2], "steps") || !strcmp(argv[2], "profile");
    for (size_t i = 0; i < SIZES; i++) known |= !strcmp(sizes[i].name, argv[2]);
    for (size_t i = 0; i < SHAPES; i++) known |= !strcmp(argv[2], shapes[i].name);
    if (!known) {
        fprintf(stderr, "bench: can measure S, M, L, F, A, B, growth, steps or profile, got '%s' "
                "(try build/fast/bench build/bench.tsv S)\n", argv[2]);
        return 2;
    }
    FILE *table = fopen(argv[1], "a");
    if (!table) { perror("bench: cannot write its table"); return 1; }
    int threads = 1;
#ifdef _OPENMP
    threads = omp_get_max_threads();
#endif
    printf("%s, %d threads\n", argv[2], threads);
    if (!strcmp(argv[2], "growth")) growth(table);
    else if (!strcmp(argv[2], "steps")) steps(table);
    else if (!strcmp(argv[2], "profile")) profile(table);
    else if (*argv[2] < 'C') train(table, (size_t)(*argv[2] - 'A'));
    else printf("%-8s %-8s %-8s %12s %9s %6s\n", "shape", "layout", "pass", "median ms", "GFLOP/s", "share");
    for (int skew = 0; skew < 2; skew++)
        for (size_t i = 0; i < SHAPES; i++)
            if (!strcmp(shapes[i].name, argv[2])) compare(table, shapes[i], skew);
    if (fclose(table)) { perror("bench: the table could not be written in full"); return 1; }
    return 0;
}
