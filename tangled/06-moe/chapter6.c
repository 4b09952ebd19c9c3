/* Chapter 6: the whole layer, forward and backward, and its shapes. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "charlm.h"
#include "equations.h"
#include "naive.h"
#include "print.h"
#include "program.h"
#include "stop.h"

extern const struct lesson_table lessons6;

static size_t tokens = 12, hidden = 16, experts = 4, top_k = 2, shared,
    gate = GATE_RENORM, drop, after, scores, seed = LESSON_BOOK_SEED;
static double factor, alpha, zeta;

static const char
    *const gates[] = {"softmax", "renorm", "sigmoid", NULL},
    *const orders[] = {"position", "probability", NULL},
    *const afters[] = {"leave", "share-out", NULL},
    *const means[] = {"softmax", "gate", NULL};

static const struct args_option options[] = {
    {"--tokens", "characters to route, T", ARGS_COUNT, &tokens,
     1, 100, NULL},
    {"--hidden", "hidden width of an expert, H", ARGS_COUNT, &hidden,
     1, 64, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 16, NULL},
    {"--shared", "shared experts, N", ARGS_COUNT, &shared, 0, 16, NULL},
    {"--gate", "how chosen logits become gates", ARGS_CHOICE, &gate,
     0, 0, gates},
    {"--capacity-factor", "0 drops nothing", ARGS_NUMBER, &factor,
     0, 100, NULL},
    {"--drop", "who is served first", ARGS_CHOICE, &drop, 0, 0, orders},
    {"--after", "the gates after a drop", ARGS_CHOICE, &after,
     0, 0, afters},
    {"--alpha", "of the auxiliary loss", ARGS_NUMBER, &alpha,
     0, 100, NULL},
    {"--scores", "P of that loss, the mean of which scores",
     ARGS_CHOICE, &scores, 0, 0, means},
    {"--zeta", "of the z-loss", ARGS_NUMBER, &zeta, 0, 100, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static void check(const struct args *args)
{
    if (top_k > experts)
        args_reject(args, "--top-k", "--top-k 1",
                    "must be from 1 to the number of experts, %zu, "
                    "got %zu", experts, top_k);
    if (!capacity_exact(factor) || (factor > 0 && factor < 0.01))
        args_reject(args, "--capacity-factor", "--capacity-factor 1.25",
                    "must be 0 or from 0.01 to 100, with at most six "
                    "decimals, got %.10g", factor);
}

static struct run {
    struct matrix all, x, y, dx, dy; /* [4 T, D], its quarters */
    struct moe moe, grad;
    struct moe_work work;
} run;
static char *text;            /* [T + 1] */
static struct matrix vectors; /* [T, D] */

static struct moe_options options_of(size_t k, enum routes_gate how)
{
    return (struct moe_options){CHARLM_WIDTH, hidden, experts, k,
        shared, how, FFN_GELU, factor, (enum capacity_order)drop,
        (int)after, alpha, zeta, (int)scores};
}

static struct run make_run(struct moe_options o)
{
    struct random r = random_seeded(seed);
    struct matrix all = matrix_new(4 * tokens, o.width);
    struct run new = {all, matrix_rows(all, 0, tokens),
        matrix_rows(all, tokens, tokens),
        matrix_rows(all, 2 * tokens, tokens),
        matrix_rows(all, 3 * tokens, tokens), {.options = o},
        {.options = o}, moe_work_new(&o, tokens)};
    new.moe = moe_new(o, &r); /* in this order: both draw */
    new.grad = moe_new(o, &r);
    row_copy(new.x.at, vectors.at, tokens * o.width);
    for (size_t i = 0; i < tokens * o.width; i++)
        new.dy.at[i] = (real)random_normal(&r);
    return new;
}

static void free_run(struct run *r)
{
    matrix_free(&r->all), moe_work_free(&r->work);
    moe_free(&r->moe), moe_free(&r->grad);
}

static struct run run_layer(struct moe_options o)
{
    struct run r = make_run(o);
    moe_forward(&r.moe, r.y, r.x, &r.work);
    moe_backward(&r.moe, &r.grad, r.dx, r.dy, r.x, &r.work);
    return r;
}

static struct {
    size_t rows, slots, idle;
    double forward, back, router, idle_norm, loss, error;
} found;

static double router_norm(const struct run *r)
{
    return sqrt(matrix_squares(r->grad.router.w));
}

static void compare_with_naive(void)
{
    struct run n = make_run(run.moe.options);
    struct weights there = {0}, back = {0};
    moe_forward_naive(&n.moe, n.y, n.x, &n.work);
    moe_backward_naive(&n.moe, &n.grad, n.dx, n.dy, n.x, &n.work);
    weights_add(&there, "y", run.y, n.y);
    weights_add(&back, "dx", run.dx, n.dx);
    moe_weights(&back, "moe", &run.grad, &n.grad);
    found.forward = naive_gap(&there), found.back = naive_gap(&back);
    weights_free(&there), weights_free(&back), free_run(&n);
}

static void find_idle(void)
{
    struct weights list = {0};
    for (size_t e = 0; e < experts; e++) {
        if (run.work.rows.start[e + 1] > run.work.rows.start[e])
            continue;
        ffn_weights(&list, "", &run.moe.expert[e], &run.grad.expert[e]);
        found.idle++;
    }
    found.idle_norm = weights_norm(&list);
    weights_free(&list);
}

static int prepare(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    text = room(tokens + 2, 1);
    vectors = matrix_new(tokens, CHARLM_WIDTH);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, vectors, text);
    charlm_free(&model);
    run = run_layer(options_of(top_k, (enum routes_gate)gate));
    found.rows = run.work.rows.count;
    found.slots = experts * run.work.capacity.slots;
    found.router = router_norm(&run);
    compare_with_naive(), find_idle();
    found.loss = equations_gap(&run.moe, run.y, run.x, run.dy,
                               &run.work);
    found.error = equations_error(&run.moe, &run.grad, run.dx, run.dy,
                                  run.x, &run.work);
    return 0;
}

static void print_small(FILE *out, const char *name, double value)
{
    fprintf(out, "%s\t%.1g\n", name, value);
}

static void print_values(FILE *out)
{
    const struct moe_options *o = &run.moe.options;
    print_count(out, "moe.flops", moe_flops(o, found.rows));
    print_count(out, "moe.router_flops",
                2 * (uint64_t)tokens * CHARLM_WIDTH * experts);
    print_count(out, "moe.parameters", moe_parameters(o));
    print_count(out, "moe.active_parameters", moe_active_parameters(o));
    print_small(out, "moe.naive_difference", found.forward);
    print_small(out, "moe.naive_gradient_difference", found.back);
    print_value(out, "moe.router_gradient", found.router);
    print_count(out, "moe.idle_experts", found.idle);
    print_value(out, "moe.idle_gradient", found.idle_norm);
    print_value(out, "moe.aux", run.work.aux);
    print_value(out, "moe.z_loss", run.work.z_loss);
    print_small(out, "moe.loss_difference", found.loss);
    print_small(out, "moe.gradient_error", found.error);
}

static void print_shapes(FILE *out)
{
    const struct moe_work *w = &run.work;
    const struct ffn *f = &run.moe.expert[0], *g = &run.grad.expert[0];
    const struct { const char *name, *letters;
                   struct matrix value, slope; } list[] = {
        {"x, y", "[T, D]", run.x, run.dx},
        {"logits", "[T, E]", w->z, w->dz},
        {"probabilities", "[T, E]", w->p, {0}},
        {"gates", "[T, K]", w->routes.gate, w->dgate},
        {"gates after drops", "[T, K]", w->kept, w->dkept},
        {"rows in", "[R, D]", w->in, w->din},
        {"before the activation", "[R, H]", w->trace.pre,
         w->trace.dpre},
        {"hidden rows", "[R, H]", w->trace.hidden, {0}},
        {"rows out", "[R, D]", w->out, w->dout},
        {"router's W", "[D, E]", run.moe.router.w, run.grad.router.w},
        {"W1 of each expert", "[D, H]", f->w1, g->w1},
        {"b1 of each expert", "[1, H]", f->b1, g->b1},
        {"W2 of each expert", "[H, D]", f->w2, g->w2},
        {"b2 of each expert", "[1, D]", f->b2, g->b2}};
    fprintf(out, "\nThe tensors, T = %zu, D = %d, H = %zu, E = %zu, "
            "K = %zu, N = %zu, R = %zu\n", tokens, CHARLM_WIDTH, hidden,
            experts, top_k, shared, found.rows);
    fprintf(out, "    %-21s %-8s %-12s %s\n", "tensor", "letters",
            "forward", "its gradient");
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct matrix m = list[i].value, s = list[i].slope;
        char shape[48], back[48] = "-";
        if (list[i].letters[1] == 'R') m.rows = s.rows = found.rows;
        snprintf(shape, sizeof shape, "[%zu, %zu]", m.rows, m.cols);
        if (s.cols)
            snprintf(back, sizeof back, "[%zu, %zu]", s.rows, s.cols);
        fprintf(out, "    %-21s %-8s %-12s %s\n", list[i].name,
                list[i].letters, shape, back);
    }
}

static void print_token(FILE *out)
{
    const struct moe_work *w = &run.work;
    double others = 0;
    fprintf(out, "\nThe first token, '%s'\n", print_char(text[0]));
    fprintf(out, "    expert   gate   row  after drops  its slope"
            "  slope of logit\n");
    for (size_t e = 0; e < experts; e++)
        others += fabs((double)matrix_row(w->dz, 0)[e]);
    for (size_t j = 0; j < top_k; j++) {
        size_t e = routes_expert(&w->routes, 0, j);
        double slope = (double)matrix_row(w->dz, 0)[e];
        char row[24] = "-";
        if (w->rows.place[j] != CAPACITY_DROPPED)
            snprintf(row, sizeof row, "%zu", w->rows.place[j]);
        fprintf(out, "    %6zu  %.3f  %4s        %.3f  %9.4f  %14.4f\n",
                e, (double)w->routes.gate.at[j], row,
                (double)w->kept.at[j], (double)w->dkept.at[j], slope);
        others -= fabs(slope);
    }
    fprintf(out, "    slopes of the other logits, sizes added %.4f\n",
            fabs(others));
}

static void print_checks(FILE *out)
{
    print_part(out, "The checks");
    fprintf(out, "    against the naive layer    y %s, gradients %s\n",
            found.forward < 1e-5 ? "agrees" : "DIFFERS",
            found.back < 1e-4 ? "agree" : "DIFFER");
    fprintf(out, "    against the equations      loss %s, "
            "gradients %s\n", found.loss < 1e-5 ? "agrees" : "DIFFERS",
            found.error < 1e-5 ? "agree" : "DIFFER");
    fprintf(out, "    experts nobody chose       %zu, norm of their "
            "gradients %g\n", found.idle, found.idle_norm);
    fprintf(out, "    router at K = 1, no losses ");
    for (size_t g = GATE_SOFTMAX; g <= GATE_SIGMOID; g++) {
        struct moe_options o = options_of(1, (enum routes_gate)g);
        o.alpha = o.zeta = 0;
        struct run one = run_layer(o);
        fprintf(out, "%s %.3g%s", gates[g], router_norm(&one),
                g < GATE_SIGMOID ? ", " : "\n");
        free_run(&one);
    }
}

static void print_run(FILE *out)
{
    const struct moe_options *o = &run.moe.options;
    fprintf(out, "The layer, gate %s, capacity factor %g\n",
            gates[gate], factor);
    print_shapes(out);
    print_token(out);
    print_part(out, "The count");
    fprintf(out, "    rows %zu, of %zu choices and %zu by shared "
            "experts\n    operations of the experts, forward %" PRIu64
            "\n    weights %" PRIu64 ", used by a token %" PRIu64 "\n",
            found.rows, tokens * top_k, tokens * shared,
            moe_flops(o, found.rows), moe_parameters(o),
            moe_active_parameters(o));
    print_checks(out);
}

static void print_sort(FILE *out)
{
    const struct moe_work *w = &run.work;
    fprintf(out, "# choice\ttoken\texpert\trow\n");
    for (size_t v = 0; v < tokens * w->rows.each; v++) {
        size_t row = w->rows.place[v], t = v / w->rows.each;
        size_t j = v % w->rows.each;
        fprintf(out, "%zu\t%s\t%zu\t%.0f\n", v, print_char(text[t]),
                j < top_k ? routes_expert(&w->routes, t, j)
                : experts + j - top_k,
                row == CAPACITY_DROPPED ? -1 : (double)row);
    }
}

static void done(void)
{
    free_run(&run), matrix_free(&vectors), free(text);
}

int main(int argc, char **argv)
{
    static const struct program_value known[] = {
        {"moe.tokens", &tokens, NULL}, {"moe.experts", &experts, NULL},
        {"moe.top_k", &top_k, NULL},
        {"moe.expert_rows", &found.rows, NULL},
        {"moe.all_slots", &found.slots, NULL}, {0}};
    static const struct args_table tables[] = {
        {"sort", print_sort}, {0}};
    static const struct program program = {
        .name = "chapter6", .about = "run the whole layer, forward and "
        "backward", .options = options, .lessons = &lessons6,
        .seed = &seed, .check = check, .prepare = prepare,
        .run = print_run, .values = print_values, .known = known,
        .tables = tables, .done = done};
    return program_main(&program, argc, argv);
}
