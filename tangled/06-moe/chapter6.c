/* Chapter 6: the whole layer, forward and backward, and its shapes. */
/* include what chapter 6 needs */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "args.h"
#include "balance.h"
#include "charlm.h"
#include "lesson.h"
#include "moe.h"
#include "print.h"

/* set the knobs of chapter 6 */
extern const struct lesson_table lessons6;

static size_t tokens = 12, hidden = 16, experts = 4, top_k = 2, shared,
    gate = GATE_RENORM, drop, after, seed = LESSON_BOOK_SEED;
static double factor, alpha, zeta;

static const char *const gates[] = {"softmax", "renorm", "sigmoid",
                                    NULL};
static const char *const orders[] = {"position", "probability", NULL};
static const char *const afters[] = {"leave", "share-out", NULL};
static const struct args_table tables[] = {{0}};

/* list the options of chapter 6 */
static const struct args_option options[] = {
    {"--tokens", "characters to route, T", ARGS_COUNT, &tokens,
     1, 100, NULL},
    {"--hidden", "hidden width of an expert, H", ARGS_COUNT, &hidden,
     1, 64, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 16, NULL},
    {"--shared", "shared experts, N", ARGS_COUNT, &shared, 0, 16, NULL},
    /* list the options of its routing */
    {"--gate", "how chosen logits become gates", ARGS_CHOICE, &gate,
     0, 0, gates},
    {"--capacity-factor", "0 drops nothing", ARGS_NUMBER, &factor,
     0, 100, NULL},
    {"--drop", "who is served first", ARGS_CHOICE, &drop, 0, 0, orders},
    {"--after", "the gates after a drop", ARGS_CHOICE, &after,
     0, 0, afters},
    {"--alpha", "of the auxiliary loss", ARGS_NUMBER, &alpha, 0, 100, NULL},
    {"--zeta", "of the z-loss", ARGS_NUMBER, &zeta, 0, 100, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

/* run the layer on text */
struct run {
    struct matrix x, y, dx, dy; /* [T, D] */
    struct moe moe, grad;
    struct moe_work work;
};

/* read the text */
static char *text;            /* [T + 1] */
static struct matrix vectors; /* [T, D] */

static void read_text(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    text = malloc(tokens + 2);
    if (!text) abort();
    vectors = matrix_new(tokens, CHARLM_WIDTH);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, vectors, text);
    charlm_free(&model);
}

/* make a run */
static struct moe_options options_of(size_t k, enum routes_gate how)
{
    return (struct moe_options){CHARLM_WIDTH, hidden, experts, k,
        shared, how, FFN_GELU, factor,
        (enum capacity_order)drop, (int)after, alpha, zeta};
}

/* make a run with these options */
static struct run make_run(struct moe_options o)
{
    struct random r = random_seeded(seed);
    struct run run = {matrix_new(tokens, o.width),
        matrix_new(tokens, o.width), matrix_new(tokens, o.width),
        matrix_new(tokens, o.width), {.options = o}, {.options = o},
        moe_work_new(&o, tokens)};
    run.moe = moe_new(o, &r); /* in this order: both draw */
    run.grad = moe_new(o, &r);
    matrix_add(run.x, run.x, 1, vectors);
    for (size_t i = 0; i < tokens * o.width; i++)
        run.dy.at[i] = (real)random_normal(&r);
    return run;
}

/* run it forward and backward */
static struct run run_layer(struct moe_options o)
{
    struct run r = make_run(o);
    moe_forward(&r.moe, r.y, r.x, &r.work);
    moe_backward(&r.moe, &r.grad, r.dx, r.dy, r.x, &r.work);
    return r;
}

/* free a run */
static void free_run(struct run *r)
{
    matrix_free(&r->x), matrix_free(&r->y);
    matrix_free(&r->dx), matrix_free(&r->dy);
    moe_free(&r->moe), moe_free(&r->grad), moe_work_free(&r->work);
}

/* check and print chapter 6 */
/* take the loss from the equations */
/* multiply by a column */
static double column(const double *v, struct matrix m, size_t j)
{
    double sum = 0;
    for (size_t i = 0; i < m.rows; i++)
        sum += v[i] * (double)matrix_row(m, i)[j];
    return sum;
}

/* run a block in double */
/* The inner product of c [D] with FFN(x [D]). */
static double block(const struct ffn *f, const double *x,
                    const double *c)
{
    double h[256], sum = 0;
    for (size_t j = 0; j < f->w1.cols; j++) {
        double z = column(x, f->w1, j) + (double)f->b1.at[j];
        double inner = sqrt(2 / acos(-1)) * (z + 0.044715 * z * z * z);
        h[j] = z / 2 * (1 + tanh(inner));
    }
    for (size_t d = 0; d < f->w2.cols; d++)
        sum += c[d] * (column(h, f->w2, d) + (double)f->b2.at[d]);
    return sum;
}

/* weigh in double */
static double score(const struct moe_options *o, double z)
{
    return o->gate == GATE_SIGMOID ? 1 / (1 + exp(-z)) : exp(z);
}

/* Gate of expert i, one of the chosen [K]. */
static double gate_of(const struct moe_options *o, const double *z,
                      const size_t *chosen, size_t i)
{
    int all = o->gate == GATE_SOFTMAX;
    double sum = 0;
    for (size_t j = 0; j < (all ? o->experts : o->top_k); j++)
        sum += score(o, z[all ? j : chosen[j]]);
    return score(o, z[i]) / sum;
}

/* share out in double */
static double share_out(const struct run *r, const double *z, size_t t)
{
    const struct moe_options *o = &r->moe.options;
    const size_t *chosen = r->work.routes.expert + t * o->top_k;
    const size_t *slot = r->work.capacity.slot + t * o->top_k;
    double all = 0, kept = 0;
    for (size_t j = 0; j < o->top_k; j++) {
        double g = gate_of(o, z, chosen, chosen[j]);
        all += g, kept += slot[j] != CAPACITY_DROPPED ? g : 0;
    }
    return o->share_out && kept > 0 ? all / kept : 1;
}

/* add up a token's loss */
static double token_loss(const struct run *r, size_t t, double *mean)
{
    const struct moe_options *o = &r->moe.options;
    double x[CHARLM_WIDTH], c[CHARLM_WIDTH], z[256], sum = 0, e = 0;
    /* copy the token and take its logits */
    for (size_t d = 0; d < o->width; d++) {
        x[d] = (double)matrix_row(r->x, t)[d];
        c[d] = (double)matrix_row(r->dy, t)[d];
    }
    for (size_t i = 0; i < o->experts; i++)
        e += exp(z[i] = column(x, r->moe.router.w, i));
    for (size_t i = 0; i < o->experts; i++)
        mean[i] += exp(z[i]) / e / (double)tokens;
    for (size_t d = 0; d < o->width; d++) sum += c[d] * x[d];
    for (size_t n = 0; n < o->shared; n++)
        sum += block(&r->moe.expert[o->experts + n], x, c);
    /* add the kept experts */
    double scale = share_out(r, z, t);
    const size_t *chosen = r->work.routes.expert + t * o->top_k;
    for (size_t j = 0; j < o->top_k; j++)
        if (r->work.capacity.slot[t * o->top_k + j] != CAPACITY_DROPPED)
            sum += scale * gate_of(o, z, chosen, chosen[j])
                 * block(&r->moe.expert[chosen[j]], x, c);
    return sum + o->zeta * log(e) * log(e) / (double)tokens;
}

/* add up the batch's loss */
static double loss(const struct run *r)
{
    const struct moe_options *o = &r->moe.options;
    double mean[256] = {0}, sum = 0, aux = 0;
    for (size_t t = 0; t < tokens; t++) sum += token_loss(r, t, mean);
    for (size_t i = 0; i < o->experts; i++)
        aux += r->work.f[i] * mean[i];
    return sum + o->alpha * (double)o->experts * aux;
}

/* compare it with the layer's */
static double loss_difference(const struct run *r)
{
    const struct moe_options *o = &r->moe.options;
    double sum = o->alpha * r->work.aux + o->zeta * r->work.z_loss;
    double size = fabs(sum);
    for (size_t i = 0; i < tokens * o->width; i++) {
        double term = (double)r->dy.at[i] * (double)r->y.at[i];
        sum += term, size += fabs(term);
    }
    return fabs(loss(r) - sum) / size;
}

/* measure the gradient's error */
/* bound the work of differences */
static size_t skipped_experts(const struct moe_options *o)
{
    double visits = (double)(tokens * (o->top_k + o->shared));
    double one = 4 * visits * (double)(o->width * o->hidden);
    double experts_all = (double)(o->experts + o->shared);
    return 1 + (size_t)(experts_all * 4 * 8 * 4 * one / 1e8);
}

/* take a difference */
static double moved(const struct run *r, real *at, double by,
                    double *to)
{
    real was = *at;
    *at = (real)((double)was + by);
    *to = (double)*at - (double)was;
    double value = loss(r);
    *at = was;
    return value;
}

/* take it over four points */
static double difference(const struct run *r, real *at)
{
    double h = 1.0 / 512, a, b, c, d;
    double one = moved(r, at, h, &a) - moved(r, at, -h, &b);
    double two = moved(r, at, 2 * h, &c) - moved(r, at, -2 * h, &d);
    return (4 * one / (a - b) - two / (c - d)) / 3;
}

/* sum the squares */
static double squares(struct matrix m)
{
    double sum = 0;
    for (size_t i = 0; i < m.rows * m.cols; i++)
        sum += (double)m.at[i] * (double)m.at[i];
    return sum;
}

/* compare a tensor's gradient */
static double tensor_error(const struct run *r, struct matrix m,
                           struct matrix gradient)
{
    double apart = 0, ours = 0, theirs = 0;
    size_t cells = m.rows * m.cols, stride = cells / 8 + 1;
    for (size_t i = 0; i < cells; i += stride) {
        double g = (double)gradient.at[i], n = difference(r, &m.at[i]);
        apart += (g - n) * (g - n), ours += g * g, theirs += n * n;
    }
    double norm = sqrt(fmax(ours, theirs));
    double whole = sqrt(squares(r->dy));
    return sqrt(apart) / (norm > 1e-4 * whole ? norm : whole);
}

/* measure all tensors */
static double gradient_error(struct run *r)
{
    double most = fmax(tensor_error(r, r->x, r->dx),
                       tensor_error(r, r->moe.router.w,
                                    r->grad.router.w));
    size_t skip = skipped_experts(&r->moe.options);
    for (size_t e = 0; e < experts + shared; e += skip) {
        /* compare the gradients of an expert */
        struct ffn *f = &r->moe.expert[e], *g = &r->grad.expert[e];
        most = fmax(most, tensor_error(r, f->w1, g->w1));
        most = fmax(most, tensor_error(r, f->b1, g->b1));
        most = fmax(most, tensor_error(r, f->w2, g->w2));
        most = fmax(most, tensor_error(r, f->b2, g->b2));
    }
    return most;
}

/* compare, and look for zeros */
/* compare with the naive layer */
/* NaN if there is one in either. */
static double largest_gap(struct matrix a, struct matrix b)
{
    double most = 0;
    for (size_t i = 0; i < a.rows * a.cols; i++) {
        double gap = fabs((double)a.at[i] - (double)b.at[i]);
        if (!(gap <= most)) most = gap;
    }
    return most;
}

/* compare two blocks' gradients */
static double largest_of(double a, double b)
{
    return a >= b || a != a ? a : b;
}

static double block_gap(const struct ffn *a, const struct ffn *b)
{
    return largest_of(largest_of(largest_gap(a->w1, b->w1),
                                 largest_gap(a->b1, b->b1)),
                      largest_of(largest_gap(a->w2, b->w2),
                                 largest_gap(a->b2, b->b2)));
}

/* run the naive layer beside it */
static void naive_gaps(struct run *r, double *forward, double *back)
{
    struct run n = make_run(r->moe.options);
    moe_forward_naive(&n.moe, n.y, n.x, &n.work);
    moe_backward_naive(&n.moe, &n.grad, n.dx, n.dy, n.x, &n.work);
    *forward = largest_gap(r->y, n.y);
    *back = largest_of(largest_gap(r->dx, n.dx),
                       largest_gap(r->grad.router.w, n.grad.router.w));
    for (size_t e = 0; e < experts + shared; e++)
        *back = largest_of(*back, block_gap(&r->grad.expert[e],
                                            &n.grad.expert[e]));
    free_run(&n);
}

/* take the norm of an expert's gradient */
static double expert_norm(const struct ffn *g)
{
    return sqrt(squares(g->w1) + squares(g->b1)
                + squares(g->w2) + squares(g->b2));
}

/* look at the experts that nobody chose */
static size_t idle_experts(const struct run *r, double *norm)
{
    size_t idle = 0;
    *norm = 0;
    for (size_t e = 0; e < experts; e++)
        if (r->work.sorted.start[e + 1] == r->work.sorted.start[e]) {
            idle++;
            *norm += expert_norm(&r->grad.expert[e]);
        }
    return idle;
}

/* take the norm of the router's gradient */
static double router_norm(const struct run *r)
{
    return sqrt(squares(r->grad.router.w));
}

/* print what chapter 6 found */
/* print the values of chapter 6 */
/* print the counts of the layer */
static void print_counts(FILE *out, const struct run *r)
{
    const struct moe_options *o = &r->moe.options;
    print_count(out, "moe.tokens", tokens);
    print_count(out, "moe.experts", experts);
    print_count(out, "moe.top_k", top_k);
    print_count(out, "moe.expert_rows", r->work.sorted.rows);
    print_count(out, "moe.all_slots", experts * r->work.capacity.slots);
    print_count(out, "moe.flops", moe_flops(o, r->work.sorted.rows));
    print_count(out, "moe.router_flops",
                2 * tokens * CHARLM_WIDTH * experts);
    print_count(out, "moe.parameters", moe_parameters(o));
    print_count(out, "moe.active_parameters", moe_active_parameters(o));
}

static void print_values(FILE *out, struct run *r)
{
    double forward, back, norm;
    print_counts(out, r);
    /* print what was checked */
    naive_gaps(r, &forward, &back);
    print_value(out, "moe.naive_difference", forward);
    print_value(out, "moe.naive_gradient_difference", back);
    print_value(out, "moe.router_gradient", router_norm(r));
    print_count(out, "moe.idle_experts", idle_experts(r, &norm));
    print_value(out, "moe.idle_gradient", norm);
    print_value(out, "moe.aux", r->work.aux);
    print_value(out, "moe.z_loss", r->work.z_loss);
    print_value(out, "moe.loss_difference", loss_difference(r));
    print_value(out, "moe.gradient_error", gradient_error(r));
}

/* print the shapes */
/* print one shape */
static void print_shape(FILE *out, const char *name,
                        const char *letters, size_t rows, size_t cols,
                        struct matrix gradient, size_t gradient_rows)
{
    char shape[40], back[40] = "-";
    snprintf(shape, sizeof shape, "[%zu, %zu]", rows, cols);
    if (gradient.cols)
        snprintf(back, sizeof back, "[%zu, %zu]", gradient_rows,
                 gradient.cols);
    fprintf(out, "    %-21s %-8s %-12s %s\n", name, letters, shape,
            back);
}

static void print_shapes(FILE *out, const struct run *r)
{
    const struct moe_work *w = &r->work;
    size_t rows = w->sorted.rows;
    fprintf(out, "\nThe tensors, T = %zu, D = %d, H = %zu, E = %zu, "
            "K = %zu, N = %zu, R = %zu\n", tokens, CHARLM_WIDTH, hidden,
            experts, r->work.routes.top_k, shared, rows);
    fprintf(out, "    %-21s %-8s %-12s %s\n", "tensor", "letters",
            "forward", "its gradient");
    /* print the shapes of a token's side */
    const struct matrix none = {0, 0, NULL};
    print_shape(out, "x, y", "[T, D]", r->x.rows, r->x.cols, r->dx,
                r->dx.rows);
    print_shape(out, "logits", "[T, E]", w->z.rows, w->z.cols, w->dz,
                w->dz.rows);
    print_shape(out, "probabilities", "[T, E]", w->p.rows, w->p.cols,
                none, 0);
    print_shape(out, "gates", "[T, K]", w->routes.gate.rows,
                w->routes.gate.cols, w->dgate, w->dgate.rows);
    print_shape(out, "gates after drops", "[T, K]", w->kept.rows,
                w->kept.cols, w->dkept, w->dkept.rows);
    /* print the shapes of an expert's side */
    print_shape(out, "rows in", "[R, D]", rows, w->in.cols, w->din, rows);
    print_shape(out, "before the activation", "[R, H]", rows,
                w->trace.pre.cols, w->trace.dpre, rows);
    print_shape(out, "hidden rows", "[R, H]", rows, w->trace.hidden.cols,
                none, 0);
    print_shape(out, "rows out", "[R, D]", rows, w->out.cols, w->dout,
                rows);
    /* print the shapes of the weights */
    const struct ffn *f = &r->moe.expert[0], *g = &r->grad.expert[0];
    print_shape(out, "router's W", "[D, E]", r->moe.router.w.rows,
                r->moe.router.w.cols, r->grad.router.w,
                r->grad.router.w.rows);
    print_shape(out, "W1 of each expert", "[D, H]", f->w1.rows, f->w1.cols,
                g->w1, g->w1.rows);
    print_shape(out, "b1 of each expert", "[1, H]", f->b1.rows, f->b1.cols,
                g->b1, g->b1.rows);
    print_shape(out, "W2 of each expert", "[H, D]", f->w2.rows, f->w2.cols,
                g->w2, g->w2.rows);
    print_shape(out, "b2 of each expert", "[1, D]", f->b2.rows, f->b2.cols,
                g->b2, g->b2.rows);
}

/* print the way of a token */
static void print_token(FILE *out, const struct run *r)
{
    const struct moe_work *w = &r->work;
    double others = 0;
    fprintf(out, "\nThe first token, '%s'\n", print_char(text[0]));
    fprintf(out, "    expert   gate   row  after drops  its slope"
            "  slope of logit\n");
    for (size_t e = 0; e < experts; e++)
        others += fabs((double)matrix_row(w->dz, 0)[e]);
    for (size_t j = 0; j < w->routes.top_k; j++) {
        /* print a choice and its slopes */
        size_t e = routes_expert(&w->routes, 0, j), row = w->sorted.place[j];
        fprintf(out, "    %6zu  %.3f  ", e, (double)w->routes.gate.at[j]);
        if (row == CAPACITY_DROPPED) fprintf(out, "   -");
        else fprintf(out, "%4zu", row);
        fprintf(out, "        %.3f  %9.4f  %14.4f\n", (double)w->kept.at[j],
                (double)w->dkept.at[j], (double)matrix_row(w->dz, 0)[e]);
        others -= fabs((double)matrix_row(w->dz, 0)[e]);
    }
    fprintf(out, "    slopes of the other logits, sizes added %.4f\n",
            fabs(others));
}

/* print the checks */
static void print_checks(FILE *out, struct run *r)
{
    double forward, back, norm;
    naive_gaps(r, &forward, &back);
    size_t idle = idle_experts(r, &norm);
    print_part(out, "The checks");
    /* print what was held to what */
    fprintf(out, "    against the naive layer    y %s, gradients %s\n",
            forward < 1e-5 ? "agrees" : "DIFFERS",
            back < 1e-4 ? "agree" : "DIFFER");
    fprintf(out, "    against the equations      loss %s, gradients %s\n",
            loss_difference(r) < 1e-5 ? "agrees" : "DIFFERS",
            gradient_error(r) < 1e-5 ? "agree" : "DIFFER");
    fprintf(out, "    experts nobody chose       %zu, norm of their "
            "gradients %g\n", idle, norm);
    /* print what top-1 teaches the router */
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

/* print the run of chapter 6 */
static void print_run(FILE *out, struct run *r)
{
    fprintf(out, "The layer, gate %s, capacity factor %g\n",
            gates[gate], factor);
    print_shapes(out, r);
    print_token(out, r);
    /* print the counts for a reader */
    print_part(out, "The count");
    fprintf(out, "    rows %zu, of %zu choices and %zu shared visits\n",
            r->work.sorted.rows, tokens * top_k, tokens * shared);
    fprintf(out, "    operations of the experts, forward %zu\n",
            moe_flops(&r->moe.options, r->work.sorted.rows));
    fprintf(out, "    weights %zu, used by a token %zu\n",
            moe_parameters(&r->moe.options),
            moe_active_parameters(&r->moe.options));
    print_checks(out, r);
}

/* main of chapter 6 */
int main(int argc, char **argv)
{
    const struct args args = {"chapter6",
        "run the whole layer, forward and backward", options, tables};
    struct args_request request = args_parse(&args, argc, argv);
    /* refuse more choices than experts exist */
    if (top_k > experts)
        args_reject(&args, "--top-k", "--top-k 1",
                    "must be from 1 to the number of experts, %zu, "
                    "got %zu", experts, top_k);
    if (!capacity_exact(factor) || (factor > 0 && factor < 0.01))
        args_reject(&args, "--capacity-factor", "--capacity-factor 1.25",
                    "must be 0 or from 0.01 to 100, with at most six "
                    "decimals, got %.10g", factor);
    if (request.output == ARGS_LESSONS)
        lesson_list(stdout, &lessons6, seed);
    else {
        /* run the layer and print */
        read_text();
        struct run r = run_layer(options_of(top_k, (enum routes_gate)gate));
        if (request.output == ARGS_VALUES) print_values(stdout, &r);
        else print_run(stdout, &r);
        free_run(&r), matrix_free(&vectors), free(text);
    }
    return print_end(args.program);
}
