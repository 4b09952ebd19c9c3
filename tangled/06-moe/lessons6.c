#include <math.h>
#include <stdlib.h>
#include "lesson.h"
#include "moe.h"
#include "softmax.h"

/* teach lesson 6.1, rows */
enum { EXPERTS = 4 };
struct loads { size_t count[EXPERTS], tokens, slots, shared; };

/* draw loads for a layer */
static struct loads draw_loads_once(struct random *r)
{
    struct loads l = {{0}, 8 + random_below(r, 9), 0, 0};
    l.shared = random_below(r, 3);
    l.slots = capacity_slots(1.25, l.tokens, 2, EXPERTS);
    for (size_t i = 0; i < 2 * l.tokens; i++) {
        size_t e = random_below(r, 7);
        l.count[e < EXPERTS ? e : 0]++;
    }
    return l;
}

/* draw until some are dropped */
static size_t kept_of(const struct loads *l)
{
    size_t sum = 0;
    for (size_t e = 0; e < EXPERTS; e++)
        sum += l->count[e] < l->slots ? l->count[e] : l->slots;
    return sum;
}

/* draw until the kept are fewer */
static struct loads draw_loads(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct loads l = draw_loads_once(&r);
        size_t most = 0;
        for (size_t e = 0; e < EXPERTS; e++)
            if (l.count[e] > most) most = l.count[e];
        if (kept_of(&l) < 2 * l.tokens && most <= l.tokens) return l;
    }
}

/* solve lesson 6.1 */
static struct lesson_answer solve_rows(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)(kept_of(&l) + l.shared * l.tokens));
}

static struct lesson_answer all_choices(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)((2 + l.shared) * l.tokens));
}

/* take slots for rows */
static struct lesson_answer all_slots(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)(EXPERTS * l.slots
                                 + l.shared * l.tokens));
}

static struct lesson_answer no_shared(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    if (!l.shared) return lesson_none();
    return lesson_value((double)kept_of(&l));
}

/* show lesson 6.1 */
static void pose_rows(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    fprintf(out, "T = %zu   E = %d   K = 2   C = %zu   shared experts "
            "N = %zu\n", l.tokens, EXPERTS, l.slots, l.shared);
    fprintf(out, "expert      0    1    2    3\nchosen by");
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, " %4zu", l.count[e]);
    fprintf(out, "\n");
}

/* show the way of lesson 6.1 */
static void trace_rows(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, "expert %zu  %zu rows\n", e,
                l.count[e] < l.slots ? l.count[e] : l.slots);
    fprintf(out, "shared    %zu x %zu rows\n", l.shared, l.tokens);
    fprintf(out, "R = %.0f\n", solve_rows(seed).value[0]);
}

/* teach lesson 6.2, shapes of gradients */
enum { T = 7, D = 3, H = 5, E = 4, K = 2, R = T * K, PRODUCTS = 6 };
static const char *const asked[PRODUCTS] = {"W1", "the rows in", "W2",
    "the hidden rows, before the activation", "the router's W",
    "x, as far as it comes through the router"};

/* take a gradient from a live layer */
static struct matrix gradient_of(size_t asked_for)
{
    struct random r = random_seeded(1);
    struct moe_options o = {.width = D, .hidden = H, .experts = E,
                            .top_k = K};
    struct moe grad = moe_new(o, &r);
    struct moe_work w = moe_work_new(&o, T);
    struct matrix all[PRODUCTS] = {grad.expert[2].w1, w.din,
        grad.expert[2].w2, w.trace.dpre, grad.router.w, w.through};
    struct matrix shape = {all[asked_for].rows, all[asked_for].cols,
                           NULL};
    moe_free(&grad), moe_work_free(&w);
    return shape;
}

/* solve lesson 6.2 */
static size_t draw_asked(uint64_t seed)
{
    struct random r = random_seeded(seed);
    return random_below(&r, PRODUCTS);
}

/* find the product of a shape */
static struct lesson_answer product_of(size_t rows, size_t cols)
{
    static const size_t shapes[PRODUCTS][2] = {{H, D}, {T, D}, {R, H},
                                               {D, E}, {D, H}, {R, D}};
    for (size_t i = 0; i < PRODUCTS; i++)
        if (shapes[i][0] == rows && shapes[i][1] == cols)
            return lesson_value((double)(i + 1));
    return lesson_none();
}

static struct lesson_answer solve_shape(uint64_t seed)
{
    struct matrix g = gradient_of(draw_asked(seed));
    return product_of(g.rows, g.cols);
}

/* take the transpose */
static struct lesson_answer transposed(uint64_t seed)
{
    struct matrix g = gradient_of(draw_asked(seed));
    return product_of(g.cols, g.rows);
}

static struct lesson_answer all_tokens(uint64_t seed)
{
    struct matrix g = gradient_of(draw_asked(seed));
    if (g.rows == R) return product_of(T, g.cols);
    return g.rows == T ? product_of(R, g.cols) : lesson_none();
}

/* show lesson 6.2 */
static void pose_shape(uint64_t seed, FILE *out)
{
    fprintf(out, "the gradient of %s\n", asked[draw_asked(seed)]);
}

static void trace_shape(uint64_t seed, FILE *out)
{
    struct matrix g = gradient_of(draw_asked(seed));
    fprintf(out, "with T = %d, D = %d, H = %d, E = %d, K = %d, R = %d\n"
            "it is [%zu, %zu], and only one product makes that\n", T,
            D, H, E, K, R, g.rows, g.cols);
}

/* teach lesson 6.3, slopes that are zero */
struct taught { size_t experts, top_k; enum routes_gate gate; };
static const char *const conventions[] = {
    "softmax over all experts, then keep K",
    "keep K, then softmax over them",
    "keep K, then their sigmoids over the sum"};

/* draw a router to be taught */
static struct taught draw_taught(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct taught a;
    a.experts = 4 + random_below(&r, 5);
    a.top_k = 1 + random_below(&r, 3);
    a.gate = (enum routes_gate)random_below(&r, 3);
    return a;
}

/* count its slopes */
static struct lesson_answer solve_slopes(uint64_t seed)
{
    struct taught a = draw_taught(seed);
    real z[8], dz[8], slope[3] = {1, 2, 3}; /* of the gates */
    struct routes routes = routes_new(1, a.experts, a.top_k);
    struct matrix logits = {1, a.experts, z};
    /* draw distinct logits */
    struct random r = random_seeded(seed + 1);
    for (size_t e = 0; e < a.experts; e++)
        z[e] = (real)(random_symmetric(&r, 0.1) + 0.3 * (double)e);
    real chance[8];
    struct matrix p = {1, a.experts, chance};
    softmax_rows(p, NULL, logits);
    routes_select(&routes, logits);
    routes_weigh(&routes, a.gate, logits, p);
    routes_weigh_backward(&routes, a.gate,
                          (struct matrix){1, a.experts, dz},
                          (struct matrix){1, a.top_k, slope},
                          logits, p);
    /* count what is not zero */
    size_t count = 0;
    for (size_t e = 0; e < a.experts; e++)
        count += fabs((double)dz[e]) > 1e-5;
    routes_free(&routes);
    return lesson_value((double)count);
}

/* count slopes wrongly */
static struct lesson_answer only_chosen(uint64_t seed)
{
    struct taught a = draw_taught(seed);
    double right = solve_slopes(seed).value[0];
    if (right == (double)a.top_k) return lesson_none();
    return lesson_value((double)a.top_k);
}

static struct lesson_answer every_logit(uint64_t seed)
{
    struct taught a = draw_taught(seed);
    double right = solve_slopes(seed).value[0];
    if (right == (double)a.experts) return lesson_none();
    return lesson_value((double)a.experts);
}

/* show lesson 6.3 */
static void pose_slopes(uint64_t seed, FILE *out)
{
    struct taught a = draw_taught(seed);
    fprintf(out, "E = %zu   K = %zu   gates: %s\n", a.experts, a.top_k,
            conventions[a.gate]);
}

/* show the way of lesson 6.3 */
static void trace_slopes(uint64_t seed, FILE *out)
{
    struct taught a = draw_taught(seed);
    fprintf(out, "%s: %s\n", conventions[a.gate],
            a.gate == GATE_SOFTMAX ? "p is in the sum of every gate"
            : a.top_k > 1 ? "only the chosen are in the gates"
            : "one gate, always 1");
    fprintf(out, "%.0f of %zu logits get a slope\n",
            solve_slopes(seed).value[0], a.experts);
}

/* teach lesson 6.4, what the router is taught */
struct pair { double dy[2], out[2][2], g[2]; int whole; };

/* draw two experts and what they gave */
static double draw_half(struct random *r)
{
    return (double)random_below(r, 9) / 2 - 2;
}

/* draw the numbers of a pair */
static struct pair draw_pair_once(struct random *r)
{
    struct pair p;
    for (size_t i = 0; i < 2; i++) {
        p.dy[i] = draw_half(r);
        for (size_t d = 0; d < 2; d++) p.out[i][d] = draw_half(r);
    }
    p.whole = (int)random_below(r, 2);
    p.g[0] = 0.5 + (double)(1 + random_below(r, 3)) / 10;
    p.g[1] = p.whole ? 1 - p.g[0] : 0.9 - p.g[0];
    return p;
}

/* draw until the slopes can be told apart */
static double merit(const struct pair *p, size_t i)
{
    return p->dy[0] * p->out[i][0] + p->dy[1] * p->out[i][1];
}

/* draw a pair that teaches */
static struct pair draw_pair(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct pair p = draw_pair_once(&r);
        double a = merit(&p, 0), b = merit(&p, 1);
        double average = p.g[0] * a + p.g[1] * b;
        if (fabs(average) > 0.2 && fabs(a) > 0.2
            && fabs(a - average) > 0.2) return p;
    }
}

/* solve lesson 6.4 */
static struct lesson_answer solve_taught(uint64_t seed)
{
    struct pair p = draw_pair(seed);
    real z[3], dz[3], dgate[2];
    for (size_t i = 0; i < 2; i++) {
        z[i] = (real)log(p.g[i]);
        dgate[i] = (real)merit(&p, i);
    }
    z[2] = (real)(p.whole ? -INFINITY : log(0.1));
    /* send the merits back to the logits */
    enum routes_gate gate = p.whole ? GATE_RENORM : GATE_SOFTMAX;
    struct routes r = routes_new(1, 3, 2);
    struct matrix logits = {1, 3, z};
    real chance[3];
    struct matrix chances = {1, 3, chance};
    softmax_rows(chances, NULL, logits);
    routes_select(&r, logits), routes_weigh(&r, gate, logits, chances);
    routes_weigh_backward(&r, gate, (struct matrix){1, 3, dz},
                          (struct matrix){1, 2, dgate}, logits, chances);
    routes_free(&r);
    return lesson_value((double)dz[0]);
}

/* mistake lesson 6.4 */
static struct lesson_answer no_average(uint64_t seed)
{
    struct pair p = draw_pair(seed);
    return lesson_value(p.g[0] * merit(&p, 0));
}

static struct lesson_answer slope_of_gate(uint64_t seed)
{
    struct pair p = draw_pair(seed);
    double right = solve_taught(seed).value[0];
    double a = merit(&p, 0);
    if (fabs(right - a) < 0.1) return lesson_none();
    return lesson_value(a);
}

/* show lesson 6.4 */
static void pose_taught(uint64_t seed, FILE *out)
{
    struct pair p = draw_pair(seed);
    fprintf(out, "dy = (%.1f, %.1f)\n", p.dy[0], p.dy[1]);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "expert %zu  gate %.1f  output (%.1f, %.1f)\n", i,
                p.g[i], p.out[i][0], p.out[i][1]);
    fprintf(out, "gates: %s\n", conventions[p.whole ? 1 : 0]);
}

/* show the way of lesson 6.4 */
static void trace_taught(uint64_t seed, FILE *out)
{
    struct pair p = draw_pair(seed);
    double a = merit(&p, 0), b = merit(&p, 1);
    double average = p.g[0] * a + p.g[1] * b;
    fprintf(out, "slopes of the gates  %.2f and %.2f\n", a, b);
    fprintf(out, "sum   %.1f x %.2f + %.1f x %.2f = %.3f\n",
            p.g[0], a, p.g[1], b, average);
    fprintf(out, "%.1f x (%.2f - %.3f) = %.4f\n", p.g[0], a, average,
            solve_taught(seed).value[0]);
}

/* lessons of chapter 6 */
static const struct lesson rows[] = {
    {"6.1", "Experts compute the rows that were kept, and no others",
     "1.2.5", 8, "How many rows do the experts compute in this batch, "
     "without padding?", "rows", LESSON_NUMBER, 0, {0},
     {"An expert computes a row for each choice that it kept.",
      "No more than C of them.",
      "Shared experts run on every token, and drop nothing."},
     pose_rows, solve_rows, trace_rows,
     {{"That counts the dropped choices, too.", all_choices},
      {"Those are slots. Without padding, empty ones cost nothing.",
       all_slots},
      {"The shared experts are missing.", no_shared}}},
    {"6.2", "A gradient has the shape of what it is the gradient of",
     "2.2.4", 8, "These are the products of a backward pass; ' is the "
     "transpose, dX the gradient of X. Which makes this one?", NULL,
     LESSON_CHOICE, 0,
     {"hidden' [H, R] x dout [R, D]", "dlogits [T, E] x W' [E, D]",
      "dout [R, D] x W2' [D, H], times the activation's slope",
      "x' [D, T] x dlogits [T, E]", "in' [D, R] x dpre [R, H]",
      "dpre [R, H] x W1' [H, D]"},
     {"What is the shape of the thing itself?",
      "A product [A, B] x [B, C] has the shape [A, C].",
      "Weights have no T and no R in their shape."},
     pose_shape, solve_shape, trace_shape,
     {{"That makes the transpose of its shape.", transposed},
      {"Rows and tokens are not the same: R is up to (K + N) T.",
       all_tokens}}},
    {"6.3", "Top-1 with renormalized gates teaches the router nothing",
     "1.2.2", 8, "One token, no balancing losses. How many of its "
     "logits get a slope that is not zero from the task?", "logits",
     LESSON_NUMBER, 0, {0},
     {"Whose logits are in the formula of the gates?",
      "And does the gate change when they do?",
      "A single gate that is normalized is always 1."},
     pose_slopes, solve_slopes, trace_slopes,
     {{"As many as are chosen. Look at the formula of the gates.",
       only_chosen},
      {"All of them. Which logits are in the formula of the gates?",
       every_logit}}},
    {"6.4", "The router is taught which of those who ran to trust more",
     "2.2.5", 8, "What is the slope of the loss in expert 0's logit?",
     NULL, LESSON_NUMBER, 0.02, {0},
     {"The slope of a gate is <dy, output>.",
      "Add those slopes up, each times its gate. Do not divide.",
      "gate x (its own slope - that sum)."},
     pose_taught, solve_taught, trace_taught,
     {{"The sum over those who ran is missing.", no_average},
      {"That is the slope of the gate, not of the logit.",
       slope_of_gate}}},
};

const struct lesson_table lessons6 = {rows, sizeof rows / sizeof *rows};
