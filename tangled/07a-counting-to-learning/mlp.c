#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "loss.h"
#include "mlp.h"
#include "stop.h"

static size_t embedding(const struct mlp_options *o,
                        const size_t *symbol, size_t t, size_t back)
{
    size_t place = t % o->window;
    return back * o->symbols + (back <= place ? symbol[t - back] : 0);
}

void mlp_embed(const struct mlp *m, struct matrix x,
               const size_t *symbol)
{
    matrix_clear(x);
    for (size_t t = 0; t < x.rows; t++)
        for (size_t j = 0; j < m->options.context; j++) {
            size_t row = embedding(&m->options, symbol, t, j);
            row_add(matrix_row(x, t), 1, matrix_row(m->embed, row),
                    x.cols);
        }
}

static void block_forward(const struct mlp_block *b,
                          struct mlp_block_work *w, struct matrix y)
{
    struct matrix up = b->norm ? w->raw : w->trace.pre;
    matmul(up, w->x, b->ffn.w1);
    if (b->norm == NORM_BATCH && w->frozen)
        norm_recalled(w->trace.pre, w->raw, b->gain, b->running,
                      w->scale, w->mean);
    else if (b->norm)
        norm_forward(b->norm, w->trace.pre, w->raw, b->gain, w->scale,
                     w->mean);
    ffn_activate(&b->ffn, &w->trace);
    ffn_down(&b->ffn, y, w->trace.hidden);
    if (b->residual) matrix_add(y, y, 1, w->x);
}

void mlp_run(const struct mlp *m, struct mlp_work *w,
             const size_t *symbol)
{
    mlp_embed(m, w->blocks ? w->block[0].x : w->y, symbol);
    for (size_t i = 0; i < w->blocks; i++)
        block_forward(&m->block[i], &w->block[i],
                      i + 1 < w->blocks ? w->block[i + 1].x : w->y);
    matmul(w->logits, w->y, m->unembed);
}

double mlp_forward(const struct mlp *m, struct mlp_work *w,
                   const size_t *symbol, const size_t *target,
                   double *each)
{
    mlp_run(m, w, symbol);
    if (m->options.squares) return loss_squares(w->logits, target);
    return loss_forward(w->logits, w->logits, target, each);
}

static void block_backward(const struct mlp_block *b,
                           struct mlp_block *g,
                           struct mlp_block_work *w, struct matrix dx,
                           struct matrix dy)
{
    struct matrix dpre = w->trace.dpre;
    ffn_backward_pre(&b->ffn, dy, &w->trace);
    ffn_backward_w2(&g->ffn, dy, &w->trace);
    ffn_backward_w1(&g->ffn, w->x, &w->trace);
    if (b->norm) { /* b1 came after it; w1 came before: again */
        norm_backward(b->norm, dpre, g->gain, dpre, w->raw, b->gain,
                      w->scale, w->mean);
        matmul_tn(g->ffn.w1, w->x, dpre);
    }
    matmul_nt(dx, dpre, b->ffn.w1);
    if (b->residual) matrix_add(dx, dx, 1, dy);
}

static void embed_backward(struct mlp *m, struct matrix dx,
                           const size_t *symbol)
{
    matrix_clear(m->embed);
    for (size_t t = 0; t < dx.rows; t++)
        for (size_t j = 0; j < m->options.context; j++) {
            size_t row = embedding(&m->options, symbol, t, j);
            row_add(matrix_row(m->embed, row), 1, matrix_row(dx, t),
                    dx.cols);
        }
}

void mlp_backward(const struct mlp *m, struct mlp *grad,
                  struct mlp_work *w, const size_t *symbol)
{
    matmul_tn(grad->unembed, w->y, w->logits);
    matmul_nt(w->dy, w->logits, m->unembed);
    for (size_t i = w->blocks; i-- > 0; ) {
        block_backward(&m->block[i], &grad->block[i], &w->block[i],
                       w->dx, w->dy);
        struct matrix other = w->dy;
        w->dy = w->dx, w->dx = other;
    }
    embed_backward(grad, w->dy, symbol);
}

size_t mlp_next(const struct mlp *m, struct mlp_work *w,
                const size_t *symbol, size_t length,
                struct random *random)
{
    size_t window = m->options.window, start = 0;
    if (length > window) start = length - window;
    size_t used = length - start;
    for (size_t i = 0; i < window; i++)
        w->shown[i] = i < used ? symbol[start + i] : 0;
    mlp_run(m, w, w->shown);
    return loss_sample(matrix_rows(w->logits, used - 1, 1), random);
}
static struct matrix drawn(size_t rows, size_t cols, double most,
                           struct random *random)
{
    struct matrix m = matrix_new(rows, cols);
    for (size_t i = 0; most > 0 && i < rows * cols; i++)
        m.at[i] = (real)random_symmetric(random, most);
    return m;
}

static void shrink(struct matrix m, double scale)
{
    for (size_t i = 0; i < m.rows * m.cols; i++)
        m.at[i] *= (real)scale;
}

struct mlp mlp_new(struct mlp_options o, struct random *random)
{
    struct mlp m = {o, drawn(o.context * o.symbols, o.width, o.embed,
                             random), room(o.blocks, sizeof *m.block),
                    {0, 0, NULL}};
    for (size_t i = 0; i < o.blocks; i++) {
        struct mlp_block *b = &m.block[i];
        b->norm = o.norm, b->residual = o.residual;
        b->ffn = ffn_new(o.width, o.hidden, o.activation, random);
        shrink(b->ffn.w1, o.scale), shrink(b->ffn.w2, o.scale);
        b->gain = matrix_new(1, o.hidden);
        b->running = matrix_new(2, o.hidden);
        for (size_t h = 0; h < o.hidden; h++)
            b->gain.at[h] = matrix_row(b->running, 1)[h] = 1;
    }
    m.unembed = drawn(o.width, o.symbols,
                      o.last * sqrt(3 / (double)o.width), random);
    return m;
}

void mlp_free(struct mlp *m)
{
    for (size_t i = 0; i < m->options.blocks; i++) {
        ffn_free(&m->block[i].ffn), matrix_free(&m->block[i].gain);
        matrix_free(&m->block[i].running);
    }
    free(m->block);
    matrix_free(&m->embed), matrix_free(&m->unembed);
}

void mlp_weights(struct weights *list, struct mlp *value,
                 struct mlp *slope)
{
    weights_add(list, "embed", value->embed, slope->embed);
    for (size_t i = 0; i < value->options.blocks; i++) {
        struct mlp_block *v = &value->block[i], *s = &slope->block[i];
        char name[WEIGHTS_NAME];
        snprintf(name, sizeof name, "block%zu", i);
        if (v->norm)
            weights_add_part(list, name, "gain", v->gain, s->gain);
        ffn_weights(list, name, &v->ffn, &s->ffn);
    }
    weights_add(list, "unembed", value->unembed, slope->unembed);
}

void mlp_remember(struct mlp *m, const struct mlp_work *w)
{
    for (size_t i = 0; i < w->blocks; i++)
        if (m->block[i].norm == NORM_BATCH)
            norm_remember(m->block[i].running, w->block[i].scale,
                          w->block[i].mean);
}

struct mlp_work *mlp_work_new(const struct mlp_options *o,
                              size_t tokens)
{
    size_t width = o->width, hidden = o->hidden;
    size_t most = tokens > hidden ? tokens : hidden;
    struct mlp_work *w = room(1, sizeof *w);
    *w = (struct mlp_work){o->blocks,
        room(o->blocks, sizeof *w->block), matrix_new(tokens, width),
        matrix_new(tokens, width), matrix_new(tokens, width),
        matrix_new(tokens, o->symbols), room(tokens, sizeof(size_t))};
    for (size_t i = 0; i < o->blocks; i++)
        w->block[i] = (struct mlp_block_work){matrix_new(tokens, width),
            matrix_new(o->norm ? tokens : 0, hidden),
            ffn_trace_new(tokens, hidden), room(most, sizeof(double)),
            room(most, sizeof(double)), 0};
    return w;
}

void mlp_work_free(struct mlp_work *w)
{
    for (size_t i = 0; i < w->blocks; i++) {
        matrix_free(&w->block[i].x), matrix_free(&w->block[i].raw);
        ffn_trace_free(&w->block[i].trace);
        free(w->block[i].scale), free(w->block[i].mean);
    }
    matrix_free(&w->y), matrix_free(&w->logits);
    matrix_free(&w->dx), matrix_free(&w->dy);
    free(w->shown), free(w->block), free(w);
}

void mlp_freeze(struct mlp_work *w, int frozen)
{
    for (size_t i = 0; i < w->blocks; i++) w->block[i].frozen = frozen;
}

uint64_t mlp_flops(const struct mlp_options *o)
{
    return o->blocks * ffn_flops_per_token(o->width, o->hidden)
         + 2 * (uint64_t)o->width * o->symbols;
}

uint64_t mlp_parameters(const struct mlp_options *o)
{
    uint64_t gains = o->norm ? o->hidden : 0;
    return (o->context + 1) * (uint64_t)o->symbols * o->width
         + o->blocks * (ffn_parameters(o->width, o->hidden) + gains);
}
