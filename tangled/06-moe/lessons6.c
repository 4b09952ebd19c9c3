#include <math.h>
#include "lesson.h"
#include "moe.h"
#include "softmax.h"

static const char *const conventions[] = {
    "softmax over all experts, then keep K",
    "keep K, then softmax over them",
    "keep K, then their sigmoids over the sum"};

static void send_back(real *dz, size_t experts, size_t top_k,
                      enum routes_gate gate, real *z, real *slope)
{
    real chance[8];
    struct routes r = routes_new(1, experts, top_k);
    struct matrix logits = {1, experts, z}, p = {1, experts, chance};
    softmax_rows(p, NULL, logits);
    routes_select(&r, logits), routes_weigh(&r, gate, logits, p);
    routes_weigh_backward(&r, gate, (struct matrix){1, experts, dz},
                          (struct matrix){1, top_k, slope}, logits, p);
    routes_free(&r);
}

struct taught { size_t experts, top_k, count; enum routes_gate gate; };

static struct taught draw_taught(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct taught a = {4 + random_below(&r, 5), 1 + random_below(&r, 3),
                       0, (enum routes_gate)random_below(&r, 3)};
    real z[8], dz[8], slope[3] = {1, 2, 3}; /* of the gates */
    for (size_t e = 0; e < a.experts; e++)
        z[e] = (real)(random_symmetric(&r, 0.1) + 0.3 * (double)e);
    send_back(dz, a.experts, a.top_k, a.gate, z, slope);
    for (size_t e = 0; e < a.experts; e++)
        a.count += fabs((double)dz[e]) > 1e-5; /* beyond rounding */
    return a;
}

static struct lesson_answer solve_slopes(uint64_t seed)
{
    return lesson_value((double)draw_taught(seed).count);
}

static struct lesson_answer mistake(double right, double wrong)
{
    return wrong == right ? lesson_none() : lesson_value(wrong);
}

static struct lesson_answer only_chosen(uint64_t seed)
{
    struct taught a = draw_taught(seed);
    return mistake((double)a.count, (double)a.top_k);
}

static struct lesson_answer every_logit(uint64_t seed)
{
    struct taught a = draw_taught(seed);
    return mistake((double)a.count, (double)a.experts);
}

static void pose_slopes(uint64_t seed, FILE *out)
{
    struct taught a = draw_taught(seed);
    fprintf(out, "E = %zu   K = %zu   gates: %s\n", a.experts, a.top_k,
            conventions[a.gate]);
}

static void trace_slopes(uint64_t seed, FILE *out)
{
    struct taught a = draw_taught(seed);
    fprintf(out, "%s: %s\n%zu of %zu logits get a slope\n",
            conventions[a.gate],
            a.gate == GATE_SOFTMAX ? "p is in the sum of every gate"
            : a.top_k > 1 ? "only the chosen are in the gates"
            : "one gate, always 1", a.count, a.experts);
}

enum { EXPERTS = 4 };
struct loads { size_t count[EXPERTS], tokens, slots, shared, kept; };

static struct loads draw_loads(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct loads l = {.tokens = 8 + random_below(&r, 9)};
        size_t most = 0;
        l.shared = random_below(&r, 3);
        l.slots = capacity_slots(1.25, l.tokens, 2, EXPERTS);
        for (size_t i = 0; i < 2 * l.tokens; i++) {
            size_t e = random_below(&r, 7);
            l.count[e < EXPERTS ? e : 0]++;
        }
        for (size_t e = 0; e < EXPERTS; e++) {
            size_t n = l.count[e];
            l.kept += n < l.slots ? n : l.slots;
            most = n > most ? n : most;
        }
        if (l.kept < 2 * l.tokens && most <= l.tokens) return l;
    }
}

static struct lesson_answer solve_rows(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)(l.kept + l.shared * l.tokens));
}

static struct lesson_answer all_choices(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)((2 + l.shared) * l.tokens));
}

static struct lesson_answer all_slots(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)(EXPERTS * l.slots
                                 + l.shared * l.tokens));
}

static struct lesson_answer no_shared(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return mistake(solve_rows(seed).value[0], (double)l.kept);
}

static void pose_rows(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    fprintf(out, "T = %zu   E = %d   K = 2   C = %zu   shared experts "
            "N = %zu\nexpert      0    1    2    3\nchosen by",
            l.tokens, EXPERTS, l.slots, l.shared);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, " %4zu", l.count[e]);
    fprintf(out, "\n");
}

static void trace_rows(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, "expert %zu  %zu rows\n", e,
                l.count[e] < l.slots ? l.count[e] : l.slots);
    fprintf(out, "shared    %zu x %zu rows\nR = %.0f\n", l.shared,
            l.tokens, solve_rows(seed).value[0]);
}

enum { T = 7, D = 3, H = 5, E = 4, K = 2, R = T * K, PRODUCTS = 6 };
static const char *const asked[PRODUCTS] = {"W1", "the rows in", "W2",
    "the hidden rows, before the activation", "the router's W",
    "x, as far as it comes through the router"};

static struct matrix gradient_asked(uint64_t seed, const char **what)
{
    struct random r = random_seeded(seed);
    size_t i = random_below(&r, PRODUCTS);
    struct moe_options o = {.width = D, .hidden = H, .experts = E,
                            .top_k = K};
    struct moe grad = moe_new(o, &r);
    struct moe_work w = moe_work_new(&o, T);
    struct matrix through = {T, grad.router.w.rows, NULL};
    struct matrix all[PRODUCTS] = {grad.expert[2].w1, w.din,
        grad.expert[2].w2, w.trace.dpre, grad.router.w, through};
    moe_free(&grad), moe_work_free(&w);
    if (what) *what = asked[i];
    return (struct matrix){all[i].rows, all[i].cols, NULL};
}

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
    struct matrix g = gradient_asked(seed, NULL);
    return product_of(g.rows, g.cols);
}

static struct lesson_answer transposed(uint64_t seed)
{
    struct matrix g = gradient_asked(seed, NULL);
    return product_of(g.cols, g.rows);
}

static struct lesson_answer all_tokens(uint64_t seed)
{
    struct matrix g = gradient_asked(seed, NULL);
    if (g.rows == R) return product_of(T, g.cols);
    return g.rows == T ? product_of(R, g.cols) : lesson_none();
}

static void pose_shape(uint64_t seed, FILE *out)
{
    const char *what;
    gradient_asked(seed, &what);
    fprintf(out, "the gradient of %s\n", what);
}

static void trace_shape(uint64_t seed, FILE *out)
{
    struct matrix g = gradient_asked(seed, NULL);
    fprintf(out, "with T = %d, D = %d, H = %d, E = %d, K = %d, R = %d\n"
            "it is [%zu, %zu], and only one product makes that\n", T,
            D, H, E, K, R, g.rows, g.cols);
}

struct pair { double dy[2], out[2][2], g[2], a[2], dz; int whole; };

static double half(struct random *r)
{
    return (double)random_below(r, 9) / 2 - 2;
}

static struct pair draw_pair(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct pair p = {.whole = (int)random_below(&r, 2)};
        real z[3], dz[3], slope[2];
        for (size_t i = 0; i < 2; i++) p.dy[i] = half(&r);
        p.g[0] = 0.5 + (double)(1 + random_below(&r, 3)) / 10;
        p.g[1] = (p.whole ? 1 : 0.9) - p.g[0];
        for (size_t i = 0; i < 2; i++) {
            p.out[i][0] = half(&r), p.out[i][1] = half(&r);
            p.a[i] = p.dy[0] * p.out[i][0] + p.dy[1] * p.out[i][1];
            z[i] = (real)log(p.g[i]), slope[i] = (real)p.a[i];
        }
        z[2] = (real)(p.whole ? -INFINITY : log(0.1));
        send_back(dz, 3, 2, p.whole ? GATE_RENORM : GATE_SOFTMAX, z,
                  slope);
        p.dz = (double)dz[0];
        if (p.a[0] < 0 && p.a[1] < 0
            && (p.a[1] <= p.a[0] || !random_below(&r, 3))
            && (fabs(p.dz) > 0.1 || p.a[0] == p.a[1])) return p;
    }
}

static double way(double slope) /* of a step against it */
{
    return slope < -1e-4 ? 1 : slope > 1e-4 ? 2 : 3;
}

static struct lesson_answer solve_taught(uint64_t seed)
{
    return lesson_value(way(draw_pair(seed).dz));
}

static struct lesson_answer judged_alone(uint64_t seed)
{
    struct pair p = draw_pair(seed);
    return mistake(way(p.dz), way(p.a[0]));
}

static struct lesson_answer judged_by_rank(uint64_t seed)
{
    struct pair p = draw_pair(seed);
    return mistake(way(p.dz), way(p.a[0] - p.a[1]));
}

static void pose_taught(uint64_t seed, FILE *out)
{
    struct pair p = draw_pair(seed);
    fprintf(out, "dy = (%.1f, %.1f)\n", p.dy[0], p.dy[1]);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "expert %zu  gate %.1f  output (%.1f, %.1f)\n", i,
                p.g[i], p.out[i][0], p.out[i][1]);
    fprintf(out, "gates: %s\n", conventions[p.whole]);
}

static void trace_taught(uint64_t seed, FILE *out)
{
    struct pair p = draw_pair(seed);
    double sum = p.g[0] * p.a[0] + p.g[1] * p.a[1];
    fprintf(out, "slopes of the gates  %.2f and %.2f\n"
            "sum   %.1f x %.2f + %.1f x %.2f = %.3f\n"
            "slope of the logit   %.1f x (%.2f - %.3f) = %.4f\n",
            p.a[0], p.a[1], p.g[0], p.a[0], p.g[1], p.a[1], sum, p.g[0],
            p.a[0], sum, p.dz);
}

static const struct lesson rows[] = {
    {"6.1", "How far the loss reaches into the router",
     "1.2.2", 8, "One token, no balancing losses. How many of its "
     "logits get a slope that is not zero from the task?", "logits",
     LESSON_NUMBER, 0, {0},
     {"Whose logits are in the formula of the gates?",
      "And does the gate change when they do?",
      "A softmax over all has every logit in its sum. What is over its "
      "own sum adds up to 1."},
     pose_slopes, solve_slopes, trace_slopes,
     {{"As many as are chosen. Look at the formula of the gates.",
       only_chosen},
      {"All of them. Which logits are in the formula of the gates?",
       every_logit}}},
    {"6.2", "Experts compute the rows that were kept, and no others",
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
    {"6.3", "A gradient has the shape of what it is the gradient of",
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
    {"6.4", "The router is taught which of those who ran to trust more",
     "2.2.5", 8, "A step goes against the slope. Where does it move "
     "expert 0's logit?", NULL, LESSON_CHOICE, 0,
     {"up", "down", "it stays where it is"},
     {"The slope of a gate is <dy, output>. Both are negative here: "
      "more of either would lower the loss.",
      "Gates add up to 1, so more for one is less for the other.",
      "Compare its slope with the sum over both, each times its gate."},
     pose_taught, solve_taught, trace_taught,
     {{"It did well, but so did the other. Who did better?",
       judged_alone},
      {"Here the gates of those who ran do not add up to 1: both can "
       "gain on the third.", judged_by_rank}}},
};

const struct lesson_table lessons6 = {rows, sizeof rows / sizeof *rows};
