/* Chapter 6: the whole layer, forward and backward. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "charlm.h"
#include "figures.h"
#include "lessons.h"
#include "equations.h"
#include "naive.h"
#include "softmax.h"
#include "tiles.h"

extern const struct lesson_table lessons6;

static void program(void) { check_program(6, ""); }
static void lessons(void) { check_lessons(&lessons6, 200, ""); }

#ifdef REAL_DOUBLE
#define CLOSE 1e-11
#else
#define CLOSE 2e-5
#endif

struct batch {
    struct matrix x, y, dx, dy;
    struct moe moe, grad;
    struct moe_work work;
};

static struct batch batch_of(struct moe_options o, size_t tokens, struct random *r)
{
    struct batch b = {check_matrix(r, tokens, o.width, 1), matrix_new(tokens, o.width),
        matrix_new(tokens, o.width), check_matrix(r, tokens, o.width, 1), {.options = o},
        {.options = o}, moe_work_new(&o, tokens)};
    b.moe = moe_new(o, r), b.grad = moe_new(o, r);
    struct weights list = {0};
    moe_weights(&list, "moe", &b.moe, &b.grad);
    for (size_t i = 0; i < list.count; i++) /* biases start at 0 */
        for (size_t j = 0; list.at[i].value.rows == 1 && j < list.at[i].value.cols; j++)
            list.at[i].value.at[j] = (real)random_symmetric(r, 1);
    weights_free(&list);
    return b;
}

static void pass(struct batch *b)
{
    moe_forward(&b->moe, b->y, b->x, &b->work);
    moe_backward(&b->moe, &b->grad, b->dx, b->dy, b->x, &b->work);
}

static void done(struct batch *b)
{
    matrix_free(&b->x), matrix_free(&b->y), matrix_free(&b->dx), matrix_free(&b->dy);
    moe_free(&b->moe), moe_free(&b->grad), moe_work_free(&b->work);
}

static struct moe_options drawn_options(struct random *r)
{
    struct moe_options o = {0};
    o.width = 1 + random_below(r, 7), o.hidden = 1 + random_below(r, 9);
    o.experts = 1 + random_below(r, 7), o.top_k = 1 + random_below(r, o.experts);
    o.shared = random_below(r, 3);
    o.gate = (enum routes_gate)random_below(r, 3);
    o.activation = random_below(r, 2) ? FFN_GELU : FFN_RELU;
    if (random_below(r, 2)) o.factor = (double)(1 + random_below(r, 8)) / 4;
    o.order = (enum capacity_order)random_below(r, 4);
    o.own_scores = (int)random_below(r, 2);
    o.share_out = (int)random_below(r, 2);
    o.alpha = random_uniform(r), o.zeta = random_uniform(r);
    return o;
}

/* The largest check_gap of two gradients' tensors. */
static double gradient_gap(struct moe *a, struct moe *b)
{
    struct weights list = {0};
    double most = 0;
    moe_weights(&list, "", a, b);
    for (size_t i = 0; i < list.count; i++) most = fmax(most, check_gap(list.at[i].value, list.at[i].slope));
    weights_free(&list);
    return most;
}

static void naive_and_grouped(void)
{
    struct random r = check_random();
    for (int round = 0; round < 300; round++) {
        struct moe_options o = drawn_options(&r);
        struct batch b = batch_of(o, round % 20 ? random_below(&r, 14) : 700, &r);
        struct matrix y = matrix_new(b.x.rows, o.width), dx = matrix_new(b.x.rows, o.width);
        struct moe grad = moe_new(o, &r);
        for (size_t e = 0; e < o.experts + o.shared; e++) /* backward writes all of it */
            for (size_t i = 0; i < o.width; i++) grad.expert[e].b2.at[i] = grad.expert[e].w1.at[i] = 7;
        pass(&b);
        if (o.factor == 0) CU_ASSERT_EQUAL(b.work.capacity.slots, b.x.rows);
        double aux = b.work.aux, z = b.work.z_loss;
        struct moe_work work = moe_work_new(&o, b.x.rows);
        moe_forward_naive(&b.moe, y, b.x, &work);
        moe_backward_naive(&b.moe, &grad, dx, b.dy, b.x, &work);
        CU_ASSERT(check_gap(b.y, y) < CLOSE && check_gap(b.dx, dx) < CLOSE);
        CU_ASSERT(work.aux == aux && work.z_loss == z);
        CU_ASSERT(gradient_gap(&b.grad, &grad) < CLOSE);
        matrix_free(&y), matrix_free(&dx), moe_free(&grad), moe_work_free(&work), done(&b);
    }
}

/* What the program compares: nothing where nothing differs, what is changed, and a NaN before numbers. */
static void gaps(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 4, .hidden = 5, .experts = 3, .top_k = 2, .shared = 1};
    struct batch b = batch_of(o, 6, &r);
#define GAP(which) naive_gap(&b.moe, &b.grad, b.y, b.dx, b.dy, b.x, &b.work).which
    pass(&b);
    CU_ASSERT(GAP(forward) < CLOSE && GAP(backward) < 10 * CLOSE);
    b.y.at[7] += (real)0.5, b.grad.expert[2].b1.at[1] += (real)0.25;
    CU_ASSERT_DOUBLE_EQUAL(GAP(forward), 0.5, 1e-4);
    CU_ASSERT_DOUBLE_EQUAL(GAP(backward), 0.25, 1e-4);
    b.y.at[3] = b.dx.at[0] = (real)NAN;
    CU_ASSERT(isnan(GAP(forward)) && isnan(GAP(backward)));
    b.dx.at[0] = 0, b.grad.router.w.at[0] = (real)NAN;
    CU_ASSERT(isnan(GAP(backward)));
#undef GAP
    CU_ASSERT(isnan(equations_error(&b.moe, &b.grad, b.dx, b.dy, b.x, &b.work)));
    done(&b);
}

/* Every kept choice has a row of its own, among its expert's, in the order
 * of the tokens; the row holds the token's x. */
static void sorted_rows(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        struct moe_options o = drawn_options(&r);
        size_t tokens = round % 10 ? random_below(&r, 20) : 500 + random_below(&r, 200);
        struct batch b = batch_of(o, tokens, &r);
        struct moe_work *w = &b.work;
        const struct rows *s = &w->rows;
        size_t used = 0, last[9] = {0};
        moe_forward(&b.moe, b.y, b.x, w);
        struct capacity_count n = capacity_measure(&w->capacity, &w->routes);
        CU_ASSERT(s->experts == o.experts + o.shared && s->each == o.top_k + o.shared);
        CU_ASSERT_EQUAL(s->count, n.choices - n.dropped + o.shared * b.x.rows);
        CU_ASSERT(s->start[0] == 0 && s->start[s->experts] == s->count);
        for (size_t e = 0; e < s->experts; e++) last[e] = s->start[e];
        for (size_t t = 0; t < b.x.rows; t++)
            for (size_t j = 0; j < s->each; j++) {
                size_t row = s->place[t * s->each + j], e = rows_expert(&w->routes, &w->capacity, t, j);
                int dropped = j < o.top_k && w->capacity.slot[t * o.top_k + j] == CAPACITY_DROPPED;
                CU_ASSERT_FATAL(dropped == (row == CAPACITY_DROPPED) && dropped == (e == CAPACITY_DROPPED));
                if (dropped) continue;
                CU_ASSERT_EQUAL(e, j < o.top_k ? w->routes.expert[t * o.top_k + j] : o.experts + j - o.top_k);
                CU_ASSERT_EQUAL(row, last[e]);
                CU_ASSERT_FATAL(row < s->start[e + 1]);
                CU_ASSERT(!memcmp(matrix_row(w->in, row), matrix_row(b.x, t), o.width * sizeof(real)));
                CU_ASSERT_EQUAL(s->choice[row], t * s->each + j);
                last[e]++, used++;
            }
        CU_ASSERT_EQUAL(used, s->count);
        done(&b);
    }
}

static void covered_once(const struct rows *s)
{
    char *covered = calloc(s->count + 1, 1);
    size_t sum = 0;
    for (size_t i = 0; i < s->runs; i++) {
        struct rows_run run = s->run[i];
        CU_ASSERT(run.count > 0);
        CU_ASSERT_FATAL(run.first >= s->start[run.expert] && run.first + run.count <= s->start[run.expert + 1]);
        for (size_t row = run.first; row < run.first + run.count; row++, sum++) CU_ASSERT(covered[row]++ == 0);
    }
    CU_ASSERT_EQUAL(sum, s->count);
    free(covered);
}

/* Plainly one run an expert; tiles cover the same rows, the largest first, none
 * too large; and the layer that walks them is the same, forward and backward. */
static void tiles_are_the_runs(void)
{
    struct random r = check_random();
    for (int round = 0; round < 100; round++) {
        struct moe_options o = drawn_options(&r);
        struct batch b = batch_of(o, round % 10 ? random_below(&r, 20) : 500 + random_below(&r, 200), &r);
        struct rows *s = &b.work.rows;
        struct matrix y = matrix_new(b.x.rows, o.width), dx = matrix_new(b.x.rows, o.width);
        struct moe grad = moe_new(o, &r);
        pass(&b);
        covered_once(s);
        for (size_t i = 0; i < s->runs; i++) {
            CU_ASSERT(s->run[i].count <= 384 && s->run[i].count <= s->count * 7 / 20 + 2);
            CU_ASSERT(i == 0 || s->run[i].count <= s->run[i - 1].count);
        }
        moe_route(&b.moe, b.x, &b.work), moe_dispatch(&b.work);
        rows_sort(s, &b.work.routes, &b.work.capacity); /* without the cut */
        covered_once(s);
        CU_ASSERT(s->runs <= s->experts);
        for (size_t i = 1; i < s->runs; i++) CU_ASSERT(s->run[i].expert > s->run[i - 1].expert);
        moe_experts(&b.moe, b.x, &b.work), moe_combine(y, b.x, &b.work);
        moe_backward(&b.moe, &grad, dx, b.dy, b.x, &b.work);
        CU_ASSERT(check_gap(y, b.y) < CLOSE && check_gap(dx, b.dx) < CLOSE);
        CU_ASSERT(gradient_gap(&grad, &b.grad) < CLOSE);
        matrix_free(&y), matrix_free(&dx), moe_free(&grad), done(&b);
    }
}

/* Tokens are routed 128 at a time; together they are the batch, routed whole. */
static void routed_whole(void)
{
    static const size_t sizes[] = {0, 1, 127, 128, 129, 135, 256, 300};
    struct random r = check_random();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int round = 0; round < 10; round++) {
            size_t t = sizes[i];
            struct moe_options o = drawn_options(&r);
            struct batch b = batch_of(o, t, &r);
            const struct router *router = &b.moe.router;
            struct matrix z = matrix_new(t, o.experts), p = matrix_new(t, o.experts);
            struct matrix z2 = matrix_new(t, o.experts), p2 = matrix_new(t, o.experts);
            struct routes routes = routes_new(t, o.experts, o.top_k), routes2 = routes_new(t, o.experts, o.top_k);
            double log_z[300], log_z2[300];
            router_forward(router, z, b.x), softmax_rows(p, log_z, z);
            routes_select(&routes, z), routes_weigh(&routes, o.gate, z, p);
            tiles_route(router, o.gate, b.x, z2, p2, log_z2, &routes2);
            CU_ASSERT(check_gap(z, z2) == 0 && check_gap(p, p2) == 0 && check_gap(routes.gate, routes2.gate) == 0);
            CU_ASSERT(!memcmp(log_z, log_z2, t * sizeof *log_z));
            CU_ASSERT(!memcmp(routes.expert, routes2.expert, t * o.top_k * sizeof *routes.expert));
            moe_route(&b.moe, b.x, &b.work); /* which takes either */
            CU_ASSERT(check_gap(z, b.work.z) == 0 && check_gap(routes.gate, b.work.routes.gate) == 0);
            matrix_free(&z), matrix_free(&p), routes_free(&routes);
            matrix_free(&z2), matrix_free(&p2), routes_free(&routes2), done(&b);
        }
}

/* moe_backward is its four steps, to the last bit. */
static void four_steps_back(void)
{
    struct random r = check_random();
    for (int round = 0; round < 50; round++) {
        struct moe_options o = drawn_options(&r);
        struct batch b = batch_of(o, round ? random_below(&r, 20) : 500, &r);
        struct matrix dx = matrix_new(b.x.rows, o.width), bare = matrix_new(b.x.rows, o.width);
        struct moe grad = moe_new(o, &r);
        pass(&b);
        moe_combine_backward(b.dy, &b.work), moe_experts_backward(&b.moe, &grad, &b.work);
        moe_dispatch_backward(dx, b.dy, &b.work), moe_route_backward(&b.moe, &grad, dx, b.x, &b.work);
        CU_ASSERT(check_gap(dx, b.dx) == 0 && gradient_gap(&grad, &b.grad) == 0);
        moe_dispatch_backward(bare, (struct matrix){0}, &b.work);
        moe_route_backward(&b.moe, &grad, bare, b.x, &b.work);
        matrix_add(bare, bare, 1, b.dy); /* who had the residual adds its slope */
        CU_ASSERT(check_gap(bare, b.dx) < CLOSE);
        matrix_free(&dx), matrix_free(&bare), moe_free(&grad), done(&b);
    }
}

/* The residual is combine's: x, another, y itself, or none. */
static void any_residual(void)
{
    struct random r = check_random();
    for (int round = 0; round < 30; round++) {
        struct moe_options o = drawn_options(&r);
        struct batch b = batch_of(o, 9, &r);
        struct matrix h = check_matrix(&r, 9, o.width, 1), bare = check_matrix(&r, 9, o.width, 1), y = matrix_new(9, o.width);
        moe_forward(&b.moe, b.y, b.x, &b.work);
        moe_combine(bare, (struct matrix){0}, &b.work);
        matrix_add(y, b.x, 1, bare);
        CU_ASSERT(check_gap(y, b.y) < CLOSE);
        moe_combine(y, h, &b.work);
        matrix_add(bare, h, 1, bare);
        CU_ASSERT(check_gap(y, bare) < CLOSE);
        moe_combine(h, h, &b.work);
        CU_ASSERT(check_gap(y, h) == 0);
        matrix_free(&h), matrix_free(&bare), matrix_free(&y), done(&b);
    }
}

/* Tokens of b that are not padding, alone: the same layer on fewer rows. */
static struct batch without_padding(struct batch *b, const unsigned char *valid, struct random *r)
{
    size_t count = 0, width = b->x.cols;
    for (size_t t = 0; t < b->x.rows; t++) count += valid[t];
    struct batch few = batch_of(b->moe.options, count, r);
    struct weights list = {0};
    moe_weights(&list, "", &few.moe, &b->moe);
    for (size_t i = 0; i < list.count; i++)
        row_copy(list.at[i].value.at, list.at[i].slope.at, list.at[i].value.rows * list.at[i].value.cols);
    weights_free(&list);
    for (size_t t = 0, i = 0; t < b->x.rows; t++) {
        if (!valid[t]) continue;
        row_copy(matrix_row(few.x, i), matrix_row(b->x, t), width);
        row_copy(matrix_row(few.dy, i++), matrix_row(b->dy, t), width);
    }
    return few;
}

/* Padding on either side, or anywhere: the batch without it, token by token. */
static void padding(void)
{
    struct random r = check_random();
    size_t dropped = 0;
    for (int round = 0; round < 200; round++) {
        struct moe_options o = drawn_options(&r);
        unsigned char valid[40];
        size_t tokens = 1 + random_below(&r, 40), texts = random_below(&r, tokens + 1), k = o.top_k;
        for (size_t t = 0; t < tokens; t++)
            valid[t] = round % 3 == 0 ? t < texts : round % 3 == 1 ? t >= texts : random_below(&r, 2) != 0;
        struct batch b = batch_of(o, tokens, &r), few = without_padding(&b, valid, &r);
        for (size_t t = 0; t < tokens; t++) /* equal, and louder than the text */
            for (size_t d = 0; !valid[t] && d < o.width; d++) matrix_row(b.x, t)[d] = 9;
        b.work.valid = valid;
        pass(&b), pass(&few);
        const struct moe_work *w = &b.work, *v = &few.work;
        CU_ASSERT(w->capacity.slots == v->capacity.slots && w->rows.count == v->rows.count);
        CU_ASSERT(!memcmp(w->rows.start, v->rows.start, (w->rows.experts + 1) * sizeof *w->rows.start));
        CU_ASSERT(fabs(w->aux - v->aux) < 1e-12 && fabs(w->z_loss - v->z_loss) < 1e-12 * (1 + v->z_loss));
        for (size_t e = 0; e < o.experts; e++)
            CU_ASSERT(fabs(w->f[e] - v->f[e]) < 1e-12 && fabs(w->mean[e] - v->mean[e]) < 1e-12);
        for (size_t t = 0, i = 0; t < tokens; t++) {
            struct matrix y = matrix_rows(b.y, t, 1), dx = matrix_rows(b.dx, t, 1);
            if (!valid[t]) { /* its residual, its dy, and no row */
                CU_ASSERT(check_gap(y, matrix_rows(b.x, t, 1)) == 0 && check_gap(dx, matrix_rows(b.dy, t, 1)) == 0);
                for (size_t j = 0; j < w->rows.each; j++)
                    CU_ASSERT(w->rows.place[t * w->rows.each + j] == CAPACITY_DROPPED);
                continue;
            }
            CU_ASSERT(check_gap(y, matrix_rows(few.y, i, 1)) < CLOSE && check_gap(dx, matrix_rows(few.dx, i, 1)) < CLOSE);
            CU_ASSERT(check_gap(matrix_rows(w->kept, t, 1), matrix_rows(v->kept, i, 1)) < CLOSE);
            for (size_t j = 0; j < k; j++) {
                CU_ASSERT_EQUAL(w->capacity.slot[t * k + j], v->capacity.slot[i * k + j]);
                dropped += v->capacity.slot[i * k + j] == CAPACITY_DROPPED;
            }
            i++;
        }
        CU_ASSERT(gradient_gap(&b.grad, &few.grad) < CLOSE);
        struct matrix y = matrix_new(tokens, o.width), dx = matrix_new(tokens, o.width); /* and naively */
        moe_forward_naive(&b.moe, y, b.x, &b.work);
        moe_backward_naive(&b.moe, &few.grad, dx, b.dy, b.x, &b.work);
        CU_ASSERT(check_gap(y, b.y) < CLOSE && check_gap(dx, b.dx) < CLOSE);
        CU_ASSERT(gradient_gap(&b.grad, &few.grad) < CLOSE);
        b.work.valid = NULL; /* again all of them */
        moe_forward(&b.moe, b.y, b.x, &b.work);
        CU_ASSERT_EQUAL(b.work.routes.valid, tokens);
        matrix_free(&y), matrix_free(&dx), done(&b), done(&few);
    }
    CU_ASSERT(dropped > 100);
}

/* Where P comes from changes the auxiliary loss of a sigmoid router, and no other. */
static void own_scores(void)
{
    struct random r = check_random();
    for (int round = 0; round < 30; round++) {
        struct moe_options o = {.width = 4, .hidden = 5, .experts = 6, .top_k = 2, .alpha = 0.1,
                                .gate = (enum routes_gate)(round % 3)};
        struct batch b = batch_of(o, 20, &r);
        double mean[6] = {0}, aux;
        pass(&b), aux = b.work.aux;
        b.moe.options.own_scores = 1, pass(&b);
        for (size_t t = 0; t < 20; t++) {
            double s[6], sum = 0;
            for (size_t e = 0; e < 6; e++) {
                double z = (double)matrix_row(b.work.z, t)[e];
                sum += s[e] = o.gate == GATE_SIGMOID ? 1 / (1 + exp(-z)) : exp(z);
            }
            for (size_t e = 0; e < 6; e++) mean[e] += s[e] / sum / 20;
        }
        for (size_t e = 0; e < 6; e++) CU_ASSERT(fabs(mean[e] - b.work.mean[e]) < CLOSE);
        CU_ASSERT(o.gate == GATE_SIGMOID ? fabs(b.work.aux - aux) > 1e-4 : fabs(b.work.aux - aux) < CLOSE);
        done(&b);
    }
}

/* E = K = 1 with a normalized gate: x + FFN(x), and its gradients, to the last
 * bit; oneDNN's product rounds by the number of rows. */
static void dense(void)
{
#ifdef MATRIX_ONEDNN
    const double allowed = CLOSE;
#else
    const double allowed = 0;
#endif
    struct random r = check_random();
    for (int round = 0; round < 20; round++) {
        size_t t = round ? 1 + random_below(&r, 40) : 900;
        struct moe_options o = {.width = 1 + random_below(&r, 20), .hidden = 1 + random_below(&r, 20),
            .experts = 1, .top_k = 1, .gate = round % 2 ? GATE_RENORM : GATE_SIGMOID,
            .activation = round % 3 ? FFN_GELU : FFN_RELU};
        struct batch b = batch_of(o, t, &r);
        struct matrix y = matrix_new(t, o.width), dx = matrix_new(t, o.width);
        struct moe grad = moe_new(o, &r);
        struct ffn_trace trace = ffn_trace_new(t, o.hidden);
        pass(&b);
        ffn_forward(&b.moe.expert[0], y, b.x, &trace), matrix_add(y, b.x, 1, y);
        ffn_backward(&b.moe.expert[0], &grad.expert[0], dx, b.dy, b.x, &trace), matrix_add(dx, dx, 1, b.dy);
        matrix_clear(grad.router.w); /* and the router learns nothing */
        CU_ASSERT(check_gap(b.y, y) <= allowed && check_gap(b.dx, dx) <= allowed);
        CU_ASSERT(gradient_gap(&b.grad, &grad) <= allowed);
        matrix_free(&y), matrix_free(&dx), moe_free(&grad), ffn_trace_free(&trace), done(&b);
    }
}

/* K = E and softmax gates: no selection is left, only a weighted sum. */
static void all_experts(void)
{
    struct random r = check_random();
    for (int round = 0; round < 20; round++) {
        struct moe_options o = {.width = 5, .hidden = 6, .experts = 4, .top_k = 4,
                                .gate = (enum routes_gate)(round % 2)};
        struct batch b = batch_of(o, 9, &r);
        struct matrix y = matrix_new(9, 5), out = matrix_new(9, 5);
        struct ffn_trace trace = ffn_trace_new(9, 6);
        pass(&b);
        matrix_add(y, b.x, 0, b.x);
        for (size_t e = 0; e < 4; e++) {
            ffn_forward(&b.moe.expert[e], out, b.x, &trace);
            for (size_t i = 0; i < 45; i++) y.at[i] += matrix_row(b.work.p, i / 5)[e] * out.at[i];
        }
        CU_ASSERT(check_gap(b.y, y) < CLOSE);
        matrix_free(&y), matrix_free(&out), ffn_trace_free(&trace), done(&b);
    }
}

static void dropped_leave_alone(void)
{
    struct random r = check_random();
    size_t lost = 0;
    for (int round = 0; round < 50; round++) {
        struct moe_options o = {.width = 4, .hidden = 5, .experts = 4, .top_k = 1 + (size_t)round % 2,
                                .factor = 0.5, .gate = GATE_RENORM, .share_out = round % 3 == 0};
        struct batch b = batch_of(o, 16, &r);
        pass(&b);
        for (size_t t = 0; t < 16; t++) {
            int kept = 0;
            for (size_t k = 0; k < o.top_k; k++)
                kept |= b.work.capacity.slot[t * o.top_k + k] != CAPACITY_DROPPED;
            if (kept) continue;
            lost++;
            CU_ASSERT(!memcmp(matrix_row(b.y, t), matrix_row(b.x, t), 4 * sizeof(real)));
        }
        CU_ASSERT(b.work.rows.count <= 4 * b.work.capacity.slots);
        done(&b);
    }
    CU_ASSERT(lost > 50);
}

static int all_zero(struct matrix m)
{
    for (size_t i = 0; i < m.rows * m.cols; i++) if (m.at[i] != 0) return 0;
    return 1;
}

static double norm(struct matrix m) { return sqrt(matrix_squares(m)); }

static void two_zeros(void)
{
    struct random r = check_random();
    size_t idle = 0;
    for (int round = 0; round < 60; round++) {
        struct moe_options o = {.width = 6, .hidden = 5, .experts = 8, .top_k = 1 + (size_t)(round / 3) % 2,
                                .gate = (enum routes_gate)(round % 3), .activation = FFN_GELU};
        struct batch b = batch_of(o, 5, &r);
        pass(&b);
        int silent = o.top_k == 1 && o.gate != GATE_SOFTMAX;
        CU_ASSERT(silent ? norm(b.grad.router.w) < 1e-6 : norm(b.grad.router.w) > 1e-4);
        for (size_t e = 0; e < 8; e++) {
            const struct ffn *g = &b.grad.expert[e];
            int empty = b.work.rows.start[e] == b.work.rows.start[e + 1];
            int zero = all_zero(g->w1) && all_zero(g->b1) && all_zero(g->w2) && all_zero(g->b2);
            CU_ASSERT_EQUAL(zero, empty);
            idle += (size_t)empty;
        }
        done(&b);
    }
    CU_ASSERT(idle > 60);
}

/* Shared experts count with weight 1; drops follow the probabilities. */
static void shared_and_dropped(void)
{
    struct random r = check_random();
    for (int round = 0; round < 40; round++) {
        struct moe_options o = {.width = 5, .hidden = 6, .experts = 4, .top_k = 2, .shared = 2,
            .gate = (enum routes_gate)(round % 3), .factor = 0.5, .order = CAPACITY_PROBABILITY};
        struct batch b = batch_of(o, 12, &r);
        struct matrix y = matrix_new(12, 5), out = matrix_new(12, 5);
        struct ffn_trace trace = ffn_trace_new(12, 6);
        const struct routes *routes = &b.work.routes;
        pass(&b);
        matrix_add(y, b.x, 0, b.x);
        for (size_t e = 0; e < 6; e++) { /* every expert on every token */
            ffn_forward(&b.moe.expert[e], out, b.x, &trace);
            for (size_t t = 0; t < 12; t++) {
                real g = e < 4 ? 0 : 1;
                for (size_t k = 0; k < 2; k++)
                    if (routes_expert(routes, t, k) == e && b.work.capacity.slot[2 * t + k] != CAPACITY_DROPPED)
                        g += matrix_row(routes->gate, t)[k];
                for (size_t d = 0; d < 5; d++) matrix_row(y, t)[d] += g * matrix_row(out, t)[d];
            }
        }
        CU_ASSERT(check_gap(b.y, y) < CLOSE);
        for (size_t i = 0; i < 24; i++)
            for (size_t j = 0; j < 24; j++)
                if (routes->expert[i] == routes->expert[j] && b.work.capacity.slot[i] != CAPACITY_DROPPED
                    && b.work.capacity.slot[j] == CAPACITY_DROPPED)
                    CU_ASSERT(matrix_row(b.work.p, i / 2)[routes->expert[i]]
                              >= matrix_row(b.work.p, j / 2)[routes->expert[i]]);
        matrix_free(&y), matrix_free(&out), ffn_trace_free(&trace), done(&b);
    }
}

/* With alpha, a router that the task teaches nothing is still taught. */
static void losses_reach_the_router(void)
{
    struct random r = check_random();
    for (int which = 0; which < 2; which++) {
        struct moe_options o = {.width = 6, .hidden = 5, .experts = 4, .top_k = 1, .gate = GATE_RENORM,
                                .alpha = which ? 0.1 : 0, .zeta = which ? 0 : 0.1};
        struct batch b = batch_of(o, 9, &r);
        pass(&b);
        CU_ASSERT(norm(b.grad.router.w) > 1e-4);
        done(&b);
    }
}

/* A work can be used again: nothing of the last pass is left in it. */
static void used_again(void)
{
    struct random r = check_random();
    for (int round = 0; round < 50; round++) {
        struct moe_options o = drawn_options(&r);
        struct batch b = batch_of(o, 10, &r);
        struct matrix first = matrix_new(10, o.width), back = matrix_new(10, o.width);
        struct matrix other = check_matrix(&r, 10, o.width, 5), w = matrix_new(o.width, o.experts);
        pass(&b);
        memcpy(first.at, b.y.at, 10 * o.width * sizeof(real));
        memcpy(back.at, b.dx.at, 10 * o.width * sizeof(real));
        memcpy(w.at, b.grad.router.w.at, o.width * o.experts * sizeof(real));
        moe_forward(&b.moe, b.y, other, &b.work);
        moe_backward(&b.moe, &b.grad, b.dx, b.dy, other, &b.work);
        pass(&b);
        CU_ASSERT(check_gap(first, b.y) == 0 && check_gap(back, b.dx) == 0 && check_gap(w, b.grad.router.w) == 0);
        matrix_free(&first), matrix_free(&back), matrix_free(&other), matrix_free(&w), done(&b);
    }
}

static void costs(void)
{
    struct moe_options o = {.width = 32, .hidden = 128, .experts = 8, .top_k = 2, .shared = 1};
    CU_ASSERT_EQUAL(moe_flops(&o, 100), 100 * 4 * 32 * 128);
    CU_ASSERT_EQUAL(moe_parameters(&o), 32 * 8 + 9 * (2 * 32 * 128 + 128 + 32));
    CU_ASSERT_EQUAL(moe_active_parameters(&o), 32 * 8 + 3 * (2 * 32 * 128 + 128 + 32));
}

/* The loss straight from the equations, in double, against the layer. */
static void equations(void)
{
    struct random r = check_random();
    for (int round = 0; round < 50; round++) {
        struct batch b = batch_of(drawn_options(&r), 1 + random_below(&r, 9), &r);
        unsigned char valid[9];
        for (size_t t = 0; t < 9; t++) valid[t] = random_below(&r, 4) > 0;
        b.work.valid = round % 2 ? valid : NULL;
        pass(&b);
        CU_ASSERT(equations_gap(&b.moe, b.y, b.x, b.dy, &b.work) < CLOSE);
        b.y.at[0] += (real)0.1; /* another y is noticed */
        CU_ASSERT(equations_gap(&b.moe, b.y, b.x, b.dy, &b.work) > 1e-5 || fabs((double)b.dy.at[0]) < 0.01);
        done(&b);
    }
    static const char *const runs[] = {"", "--gate softmax --top-k 1 --capacity-factor 1 --alpha 0.1 --zeta 0.1",
        "--gate sigmoid --top-k 4 --shared 2 --capacity-factor 0.7 --after share-out --drop gate --alpha 1 --scores gate"};
    for (size_t i = 0; i < (CHECK_QUICK ? 1 : 3); i++) {
        double error = check_value(6, runs[i], "moe.gradient_error");
        CU_ASSERT(error > 0 && error < 5e-6);
        CU_ASSERT(check_value(6, runs[i], "moe.loss_difference") < 1e-6);
    }
    struct check_output got = check_run(CHECK_BUILD "/chapter6 --capacity-factor 0.3 --after share-out "
                                        "--tokens 30 --seed 11"); /* a gradient that is all but zero */
    CU_ASSERT(got.status == 0 && !strstr(got.out, "DIFFER"));
    check_free(&got);
    CU_ASSERT_EQUAL(check_value(6, "--tokens 5 --top-k 3", "moe.expert_rows"), 15);
    CU_ASSERT_EQUAL(check_value(6, "--tokens 5 --top-k 3 --hidden 8", "moe.flops"), 15 * 4 * 32 * 8);
    CU_ASSERT_EQUAL(check_value(6, "--tokens 5 --top-k 1", "moe.router_gradient"), 0);
}

#if defined __GLIBC__ && !CHECK_QUICK
#if !defined __SANITIZE_ADDRESS__
#define COUNTS_ALLOCATIONS
/* glibc lets a program put its own allocator in front. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *old, size_t n);
static size_t allocations;
void *aligned_alloc(size_t align, size_t n) { allocations++; return __libc_memalign(align, n); }
void *malloc(size_t n) { allocations++; return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { allocations++; return __libc_calloc(n, size); }
void *realloc(void *old, size_t n) { allocations++; return __libc_realloc(old, n); }

static void no_allocation(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 8, .hidden = 9, .experts = 6, .top_k = 2, .shared = 1, .factor = 1,
                            .alpha = 0.1, .zeta = 0.1};
    struct batch b = batch_of(o, 40, &r);
    size_t before = allocations;
    pass(&b), pass(&b);
    CU_ASSERT_EQUAL(allocations, before);
    struct matrix m = matrix_new(1, 1); /* the count counts */
    CU_ASSERT(allocations == before + 1);
    struct routes routes = routes_new(1, 1, 1);
    CU_ASSERT(allocations == before + 3);
    matrix_free(&m), routes_free(&routes), done(&b);
}
#endif
#endif

static void rejected(void)
{
    check_refuses(6, (const struct check_refusal[]){
        {"--capacity-factor 1e-7", "0 or from 0.01"}, {"--capacity-factor 1.23456789", "six decimals"},
        {"--top-k 5", "number of experts, 4"}, {"--data x", "--data"}, {NULL, NULL}});
}

#ifdef _OPENMP
#include <omp.h>
/* The same digits, whatever the number of threads. */
static void any_threads(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 64, .hidden = 96, .experts = 6, .top_k = 2, .shared = 1,
        .gate = GATE_RENORM, .activation = FFN_GELU, .factor = 1, .alpha = 0.1, .zeta = 0.1};
    struct batch one = batch_of(o, 700, &r), four = batch_of(o, 700, &r);
    int were = omp_get_max_threads();
    omp_set_num_threads(1), pass(&one);
    memcpy(four.x.at, one.x.at, 700 * 64 * sizeof(real)), memcpy(four.dy.at, one.dy.at, 700 * 64 * sizeof(real));
    omp_set_num_threads(4);
    moe_forward(&one.moe, four.y, four.x, &four.work);
    moe_backward(&one.moe, &four.grad, four.dx, four.dy, four.x, &four.work);
    omp_set_num_threads(were);
    CU_ASSERT(check_gap(one.y, four.y) == 0 && check_gap(one.dx, four.dx) == 0);
    CU_ASSERT(gradient_gap(&one.grad, &four.grad) == 0);
    done(&one), done(&four);
}
#endif

static struct batch breach;
static struct matrix narrow;
static void wrong_x(void) { moe_forward(&breach.moe, breach.y, narrow, &breach.work); }
static void wrong_y(void) { moe_forward(&breach.moe, narrow, breach.x, &breach.work); }
static void wrong_y_naive(void) { moe_forward_naive(&breach.moe, narrow, breach.x, &breach.work); }
static void wrong_dy(void)
{
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward(&breach.moe, &breach.grad, breach.dx, narrow, breach.x, &breach.work);
}
static void wrong_dx(void)
{
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward(&breach.moe, &breach.grad, narrow, breach.dy, breach.x, &breach.work);
}
static void forward_with_work_of(struct moe_options o)
{
    struct moe_work w = moe_work_new(&o, breach.x.rows);
    moe_forward(&breach.moe, breach.y, breach.x, &w);
}
static void wrong_work(void)
{
    struct moe_options o = breach.moe.options;
    o.top_k = 1, forward_with_work_of(o);
}
static void fewer_shared(void)
{
    struct moe_options o = breach.moe.options;
    o.shared = 0, forward_with_work_of(o);
}
static void other_hidden(void)
{
    struct moe_options o = breach.moe.options;
    o.hidden = 3, forward_with_work_of(o);
}
static void other_width(void)
{
    struct moe_options o = breach.moe.options;
    o.width = 3, forward_with_work_of(o);
}
static void no_tokens_more_shared(void)
{
    struct moe_options o = breach.moe.options;
    o.shared = 0;
    struct moe_work w = moe_work_new(&o, 0);
    struct matrix none = matrix_new(0, 4);
    moe_forward(&breach.moe, none, none, &w);
}
static void combine_short(void)
{
    struct matrix x = matrix_new(9, 4);
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_combine(x, x, &breach.work);
}
static void wrong_residual(void)
{
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_combine(breach.y, narrow, &breach.work);
}
static void combine_first(void)
{
    moe_route(&breach.moe, breach.x, &breach.work);
    moe_combine(breach.y, breach.x, &breach.work);
}
static void other_rows(void)
{
    struct rows rows = rows_new(6, 2, 2, 1);
    moe_route(&breach.moe, breach.x, &breach.work);
    rows_sort(&rows, &breach.work.routes, &breach.work.capacity);
}
static void more_tokens(void)
{
    const struct moe_options *o = &breach.moe.options;
    struct rows rows = rows_new(2, o->experts, o->top_k, o->shared);
    moe_route(&breach.moe, breach.x, &breach.work);
    rows_sort(&rows, &breach.work.routes, &breach.work.capacity);
}
static void short_dx_naive(void)
{
    moe_forward_naive(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward_naive(&breach.moe, &breach.grad, matrix_new(2, breach.x.cols), breach.dy, breach.x, &breach.work);
}
static void other_gradient(void)
{
    struct moe_options o = breach.moe.options;
    struct random r = check_random();
    o.shared = 0;
    struct moe grad = moe_new(o, &r);
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward(&breach.moe, &grad, breach.dx, breach.dy, breach.x, &breach.work);
}
static void not_forward(void) /* but once before, with the same work */
{
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
    moe_forward_naive(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward(&breach.moe, &breach.grad, breach.dx, breach.dy, breach.x, &breach.work);
}
static void wrong_dy_naive(void)
{
    moe_forward_naive(&breach.moe, breach.y, breach.x, &breach.work);
    moe_backward_naive(&breach.moe, &breach.grad, breach.dx, narrow, breach.x, &breach.work);
}
static void negative_factor(void)
{
    breach.moe.options.factor = -1;
    moe_forward(&breach.moe, breach.y, breach.x, &breach.work);
}

static void contracts(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 4, .hidden = 5, .experts = 3, .top_k = 2, .shared = 1};
    breach = batch_of(o, 6, &r), narrow = matrix_new(6, 3);
    check_aborts(wrong_x, "moe.c x [T, D] [6, 4] [6, 3]");
    check_aborts(wrong_y, "moe.c y [T, D]");
    check_aborts(wrong_y_naive, "naive.c y [T, D]");
    check_aborts(wrong_dy, "moe.c dy [T, D]");
    check_aborts(wrong_dx, "moe.c dx [T, D]");
    check_aborts(wrong_work, "moe.c rows [(K + N) T, D]");
    check_aborts(fewer_shared, "moe.c rows [(K + N) T, D]");
    check_aborts(other_hidden, "moe.c hidden rows");
    check_aborts(other_width, "moe.c work's rows");
    check_aborts(no_tokens_more_shared, "moe.c N = 0 K = 2");
    check_aborts(combine_short, "moe.c y [T, D]");
    check_aborts(wrong_residual, "moe.c residual [T, D]");
    check_aborts(combine_first, "moe.c call moe_forward first");
    check_aborts(other_rows, "rows.c E + N");
    check_aborts(other_gradient, "moe.c gradient's experts");
    check_aborts(not_forward, "moe.c call first");
    check_aborts(wrong_dy_naive, "naive.c dy [T, D]");
    check_aborts(short_dx_naive, "naive.c dx [T, D]");
    check_aborts(more_tokens, "rows.c cannot sort T");
    check_aborts(negative_factor, "capacity.c factor -1");
    matrix_free(&narrow), done(&breach);
}

#ifdef REAL_DOUBLE

struct held { struct batch *b; double f[8]; };

/* The whole loss with f as it was: what the gradient is the gradient of. */
static double whole_loss(void *context)
{
    struct held *h = context;
    struct batch *b = h->b;
    double sum = 0, aux = 0;
    moe_forward(&b->moe, b->y, b->x, &b->work);
    for (size_t i = 0; i < b->y.rows * b->y.cols; i++) sum += b->dy.at[i] * b->y.at[i];
    for (size_t e = 0; e < b->moe.options.experts; e++) aux += h->f[e] * b->work.mean[e];
    return sum + b->moe.options.alpha * (double)b->moe.options.experts * aux
         + b->moe.options.zeta * b->work.z_loss;
}

/* The nearest that anything is to another selection, another drop, a kink. */
static double margin(const struct batch *b)
{
    const struct moe_work *w = &b->work;
    const struct moe_options *o = &b->moe.options;
    double least = INFINITY;
    for (size_t t = 0; t < b->x.rows; t++) {
        double z[8];
        for (size_t e = 0; e < o->experts; e++) z[e] = matrix_row(w->z, t)[e];
        for (size_t k = 0; k < o->top_k; k++) /* choices, and who comes next */
            for (size_t e = 0; e < o->experts; e++) {
                size_t mine = routes_expert(&w->routes, t, k);
                if (e != mine) least = fmin(least, fabs(z[mine] - z[e]));
            }
    }
    size_t choices = b->x.rows * o->top_k;
    for (size_t i = 0; o->order >= CAPACITY_PROBABILITY && i < choices; i++)
        for (size_t j = 0; j < i; j++) {
            size_t e = w->routes.expert[i];
            double apart = o->order == CAPACITY_GATE ? w->routes.gate.at[i] - w->routes.gate.at[j]
                : matrix_row(w->p, i / o->top_k)[e] - matrix_row(w->p, j / o->top_k)[e];
            if (e == w->routes.expert[j] && apart != 0) least = fmin(least, fabs(apart)); /* K = 1: all 1 */
        }
    for (size_t i = 0; o->activation == FFN_RELU && i < w->rows.count * o->hidden; i++)
        least = fmin(least, fabs(w->trace.pre.at[i]));
    return least;
}

/* By differences; or where the gradient is zero, that the loss does not move. */
static void check_tensors(const struct weights *list, struct held *h)
{
    for (size_t i = 0; i < list->count; i++) {
        struct weights one = {&list->at[i], 1, 1};
        if (weights_norm(&one) > 1e-9) CU_ASSERT(weights_error(&one, whole_loss, h) < 1e-6);
        struct matrix m = list->at[i].value;
        for (size_t j = 0; weights_norm(&one) <= 1e-9 && j < m.rows * m.cols; j++) {
            double was = m.at[j], before = whole_loss(h);
            m.at[j] = was + 1e-6;
            CU_ASSERT(fabs(whole_loss(h) - before) < 1e-12);
            m.at[j] = was;
        }
    }
}

static void check_layer(struct moe_options o, struct random *r)
{
    enum { TOKENS = 6 };
    struct batch b;
    double clear = 0;
    for (int tries = 0; tries < 2000; tries++) {
        b = batch_of(o, TOKENS, r);
        pass(&b);
        clear = margin(&b);
        if (clear > 3e-4) break;
        done(&b);
    }
    CU_ASSERT_FATAL(clear > 3e-4); /* the step of check_gradient is far below */
    struct held h = {&b, {0}};
    memcpy(h.f, b.work.f, o.experts * sizeof *h.f);
    struct weights list = {0};
    weights_add(&list, "x", b.x, b.dx), moe_weights(&list, "moe", &b.moe, &b.grad);
    check_tensors(&list, &h);
    weights_free(&list), done(&b);
}

/* The pre-norm block y = h + MoE(norm h), where norm divides a row by its root
 * mean square, built from the public steps. */
struct block { struct batch b; struct matrix h, dh; double f[8]; };

static double mean_square(const real *row, size_t n) { return row_dot(row, row, n) / (double)n + 1e-3; }

static double block_loss(void *context)
{
    struct block *k = context;
    struct batch *b = &k->b;
    const struct moe_options *o = &b->moe.options;
    double sum = 0, aux = 0;
    for (size_t t = 0; t < b->x.rows; t++) {
        double scale = 1 / sqrt(mean_square(matrix_row(k->h, t), o->width));
        for (size_t d = 0; d < o->width; d++) matrix_row(b->x, t)[d] = scale * matrix_row(k->h, t)[d];
    }
    moe_route(&b->moe, b->x, &b->work), moe_dispatch(&b->work);
    moe_experts(&b->moe, b->x, &b->work), moe_combine(b->y, k->h, &b->work);
    for (size_t i = 0; i < b->y.rows * b->y.cols; i++) sum += b->dy.at[i] * b->y.at[i];
    for (size_t e = 0; e < o->experts; e++) aux += k->f[e] * b->work.mean[e];
    return sum + o->alpha * (double)o->experts * aux + o->zeta * b->work.z_loss;
}

static void pre_norm(void)
{
    struct random r = check_random();
    for (int gate = 0; gate < 3; gate++) {
        struct moe_options o = {.width = 5, .hidden = 4, .experts = 4, .top_k = 2, .shared = 1, .factor = 0.75,
            .gate = (enum routes_gate)gate, .activation = FFN_GELU, .alpha = 0.3, .zeta = 0.2};
        struct block k = {{.dx = {0}}, matrix_new(6, 5), matrix_new(6, 5), {0}};
        struct batch *b = &k.b;
        double clear = 0;
        for (int tries = 0; tries < 2000 && clear < 3e-4; tries++) {
            if (tries) done(b);
            *b = batch_of(o, 6, &r);
            for (size_t i = 0; i < 30; i++) k.h.at[i] = random_symmetric(&r, 2);
            block_loss(&k), clear = margin(b);
        }
        CU_ASSERT_FATAL(clear >= 3e-4);
        memcpy(k.f, b->work.f, o.experts * sizeof *k.f);
        moe_combine_backward(b->dy, &b->work), moe_experts_backward(&b->moe, &b->grad, &b->work);
        moe_dispatch_backward(b->dx, (struct matrix){0}, &b->work), moe_route_backward(&b->moe, &b->grad, b->dx, b->x, &b->work);
        for (size_t t = 0; t < 6; t++) { /* back through the norm, and the residual's own */
            const real *h = matrix_row(k.h, t), *dx = matrix_row(b->dx, t);
            double ms = mean_square(h, 5), along = row_dot(dx, h, 5) / (5 * ms);
            for (size_t d = 0; d < 5; d++)
                matrix_row(k.dh, t)[d] = (dx[d] - along * h[d]) / sqrt(ms) + matrix_row(b->dy, t)[d];
        }
        struct weights list = {0};
        weights_add(&list, "h", k.h, k.dh), moe_weights(&list, "moe", &b->moe, &b->grad);
        CU_ASSERT(weights_error(&list, block_loss, &k) < 1e-6);
        matrix_free(&k.h), matrix_free(&k.dh), weights_free(&list), done(b);
    }
}

static void gradients(void)
{
    struct random r = check_random();
    static const size_t choices[] = {1, 2, 4};
    for (int gate = 0; gate < 3; gate++)
        for (int k = 0; k < 3; k++)
            for (int drops = 0; drops < 5; drops++)
                for (int losses = 0; losses < 2; losses++) {
                    struct moe_options o = {.width = 4, .hidden = 5, .experts = 5, .top_k = choices[k],
                        .gate = (enum routes_gate)gate, .shared = (size_t)losses,
                        .activation = losses ? FFN_GELU : FFN_RELU,
                        .factor = drops ? 0.6 : 0, .share_out = drops > 2,
                        .order = (enum capacity_order)((drops + gate + 1) % 4), .own_scores = k == 1,
                        .alpha = losses ? 0.3 : 0, .zeta = losses ? 0.2 : 0};
                    check_layer(o, &r);
                }
}

#endif

/* What the figure says of a token's y is what the naive layer makes of the program's batch, and its rows are its own. */
static void figure_follows(void)
{
    extern const struct figure_live live6[];
    check_figure(live6, "follow", 3, 100);
    for (int drops = 0; drops < 2; drops++) {
        struct moe_options o = {32, 16, 4, 2, 0, GATE_RENORM, FFN_GELU, drops, CAPACITY_POSITION, 0, 0, 0, 0};
        struct random r = random_seeded(1);
        char text[13];
        struct charlm model = charlm_trained(1);
        struct matrix x = matrix_new(12, 32), y = matrix_new(12, 32);
        struct moe m = moe_new(o, &r);
        struct moe_work w = moe_work_new(&o, 12);
        charlm_text(text, 13, 1), charlm_vectors(&model, x, text);
        moe_forward_naive(&m, y, x, &w);
        moe_dispatch(&w);
        for (size_t t = 0; t < 12; t++) {
            char *lines = figure_lines(live6, "follow %zu %d 4", t, drops), *words = figure_words(lines);
            const char *at = strstr(words, "y is ") + 5;
            double gates = 0;
            for (size_t d = 0; d < 3; d++) {
                char *end;
                CU_ASSERT_DOUBLE_EQUAL(strtod(at, &end), (double)matrix_row(y, t)[d], 0.006);
                at = end + 2;
            }
            for (size_t k = 0; k < 2; k++) gates += (double)moe_gate(&w, t, k);
            if (!drops) CU_ASSERT_DOUBLE_EQUAL(gates, 1, 1e-6);
            free(lines), free(words);
            lines = figure_lines(live6, "follow %zu %d 2", t, drops);
            size_t mine = 0, all = 0;
            const char *box;
            for (size_t i = 0; (box = figure_line_of(lines, "box", i)); i++) {
                if (figure_field(box, 1) != 13) continue; /* the rows in */
                CU_ASSERT_EQUAL((size_t)figure_field(box, 4) - 1, routes_expert(&w.routes, w.rows.choice[all] / 2, w.rows.choice[all] % 2));
                CU_ASSERT_EQUAL(figure_field(box, 5) == FIGURE_FULL, w.rows.choice[all] / 2 == t);
                mine += figure_field(box, 5) == FIGURE_FULL, all++;
            }
            CU_ASSERT_EQUAL(all, w.rows.count);
            CU_ASSERT(drops || mine == 2);
            free(lines);
        }
        charlm_free(&model), matrix_free(&x), matrix_free(&y), moe_free(&m), moe_work_free(&w);
    }
}

SUITE(6) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the figure follows a token as the naive layer takes it", figure_follows);
    check_case("the grouped layer is the naive one", naive_and_grouped);
    check_case("a gap is seen where there is one, and so is a NaN", gaps);
    check_case("tokens routed some at a time are routed as the whole is", routed_whole);
    check_case("rows are sorted by expert, stably, each once", sorted_rows);
    check_case("tiles are the same rows, and the same layer", tiles_are_the_runs);
    check_case("the way back is its four steps", four_steps_back);
    check_case("the residual is whatever combine is given", any_residual);
    check_case("one expert with a normalized gate is the dense block", dense);
    check_case("padding changes nothing for the other tokens", padding);
    check_case("P can be of the gate's own scores", own_scores);
    check_case("K = E leaves a weighted sum", all_experts);
    check_case("a dropped token leaves with its residual", dropped_leave_alone);
    check_case("two zeros, and no others", two_zeros);
    check_case("shared experts weigh 1; drops follow probability", shared_and_dropped);
    check_case("both losses reach the router", losses_reach_the_router);
    check_case("a work can be used again", used_again);
    check_case("costs", costs);
    check_case("the loss from the equations, and its differences", equations);
#ifdef COUNTS_ALLOCATIONS
    check_case("a pass allocates nothing", no_allocation);
#endif
#ifdef _OPENMP
    check_case("the same digits with any number of threads", any_threads);
#endif
    check_case("layers that cannot be are refused", rejected);
    check_case("broken contracts abort", contracts);
#ifdef REAL_DOUBLE
    check_case("gradients of everything, by differences", gradients);
    check_case("gradients of the pre-norm block, by differences", pre_norm);
#endif
}
