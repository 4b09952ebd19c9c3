#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "gpt.h"
#include "loss.h"
#include "stop.h"

struct block_work {
    struct matrix x, read, h, fed; /* [T, D]: the stream, normalized */
    double *scale1, *scale2, *mean1, *mean2; /* [T] */
    struct attention_work attention;
    struct moe_work moe;
};
struct gpt_work {
    size_t tokens, blocks;
    struct block_work *block;
    struct matrix y, last, logits, dx, dy, dread; /* [T, D], [T, V] */
    double *scale, *mean;                         /* [T] */
    size_t *shown;                                /* [T] */
};

static size_t column_of(const size_t *symbol, size_t place)
{
    size_t column = 0;
    while (column < place && symbol[place - 1 - column]) column++;
    return column; /* symbol 0 is the newline */
}

static void embed(const struct gpt *g, struct matrix x,
                  const size_t *symbol)
{
    size_t window = g->options.window;
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        size_t place = t % window;
        size_t column = column_of(symbol + t - place, place);
        real *row = matrix_row(x, t);
        row_copy(row, matrix_row(g->token, symbol[t]), x.cols);
        row_add(row, 1, matrix_row(g->place, place), x.cols);
        row_add(row, 1, matrix_row(g->column, column), x.cols);
    }
}

static void block_forward(const struct gpt_block *b,
                          struct block_work *w, struct matrix y)
{
    norm_forward(NORM_RMS, w->read, w->x, b->gain1, w->scale1,
                 w->mean1);
    attention_forward(&b->attention, w->h, w->read, &w->attention);
    matrix_add(w->h, w->h, 1, w->x);
    norm_forward(NORM_RMS, w->fed, w->h, b->gain2, w->scale2, w->mean2);
    moe_route(&b->moe, w->fed, &w->moe);
    moe_dispatch(&w->moe);
    moe_experts(&b->moe, w->fed, &w->moe);
    moe_combine(y, w->h, &w->moe);
}

static void run(const struct gpt *g, struct gpt_work *w,
                const size_t *symbol)
{
    embed(g, w->blocks ? w->block[0].x : w->y, symbol);
    for (size_t i = 0; i < w->blocks; i++)
        block_forward(&g->block[i], &w->block[i],
                      i + 1 < w->blocks ? w->block[i + 1].x : w->y);
    norm_forward(NORM_RMS, w->last, w->y, g->gain, w->scale, w->mean);
    matmul(w->logits, w->last, g->unembed);
}

double gpt_forward(const struct gpt *g, struct gpt_work *w,
                   const size_t *symbol, const size_t *target,
                   double *each)
{
    run(g, w, symbol);
    return loss_forward(w->logits, w->logits, target, each);
}

static void block_backward(const struct gpt_block *b,
                           struct gpt_block *g, struct block_work *w,
                           struct matrix dx, struct matrix dy,
                           struct matrix dread)
{
    moe_combine_backward(dy, &w->moe);
    moe_experts_backward(&b->moe, &g->moe, &w->moe);
    moe_dispatch_backward(dread, (struct matrix){0}, &w->moe);
    moe_route_backward(&b->moe, &g->moe, dread, w->fed, &w->moe);
    norm_backward(NORM_RMS, dread, g->gain2, dread, w->h, b->gain2,
                  w->scale2, w->mean2);
    matrix_add(dy, dy, 1, dread); /* the slope of h */
    attention_backward(&b->attention, &g->attention, dread, dy, w->read,
                       &w->attention);
    norm_backward(NORM_RMS, dread, g->gain1, dread, w->x, b->gain1,
                  w->scale1, w->mean1);
    matrix_add(dx, dy, 1, dread);
}

static void embed_backward(struct gpt *g, struct matrix dx,
                           const size_t *symbol)
{
    size_t window = g->options.window;
    matrix_clear(g->token), matrix_clear(g->place);
    matrix_clear(g->column);
    for (size_t t = 0; t < dx.rows; t++) {
        size_t place = t % window;
        size_t column = column_of(symbol + t - place, place);
        const real *row = matrix_row(dx, t);
        row_add(matrix_row(g->token, symbol[t]), 1, row, dx.cols);
        row_add(matrix_row(g->place, place), 1, row, dx.cols);
        row_add(matrix_row(g->column, column), 1, row, dx.cols);
    }
}

void gpt_backward(const struct gpt *g, struct gpt *grad,
                  struct gpt_work *w, const size_t *symbol)
{
    matmul_tn(grad->unembed, w->last, w->logits);
    matmul_nt(w->dread, w->logits, g->unembed);
    norm_backward(NORM_RMS, w->dy, grad->gain, w->dread, w->y, g->gain,
                  w->scale, w->mean);
    for (size_t i = w->blocks; i-- > 0; ) {
        block_backward(&g->block[i], &grad->block[i], &w->block[i],
                       w->dx, w->dy, w->dread);
        struct matrix other = w->dy;
        w->dy = w->dx, w->dx = other;
    }
    embed_backward(grad, w->dy, symbol);
}

uint64_t gpt_flops(const struct gpt_options *o)
{
    uint64_t d = o->layer.width;
    return o->blocks * (attention_flops(d, o->window)
        + moe_flops(&o->layer, o->layer.top_k + o->layer.shared)
        + 2 * d * o->layer.experts) + 2 * d * o->symbols;
}

uint64_t gpt_parameters(const struct gpt_options *o)
{
    uint64_t d = o->layer.width;
    return (2 * o->symbols + 2 * o->window + 1) * d
        + o->blocks * (2 * d + attention_parameters(d)
                       + moe_parameters(&o->layer));
}

size_t gpt_next(const struct gpt *g, struct gpt_work *w,
                const size_t *symbol, size_t length,
                struct random *random)
{
    size_t window = g->options.window, start = 0;
    while (length - start > window) {
        start = length - window;
        while (start < length && symbol[start - 1]) start++;
        if (start == length) start = length - window;
    }
    size_t used = length - start, *shown = w->shown;
    for (size_t i = 0; i < window; i++)
        shown[i] = i < used ? symbol[start + i] : 0;
    run(g, w, shown);
    return loss_sample(matrix_rows(w->logits, used - 1, 1), random);
}

static struct matrix small(size_t rows, size_t cols,
                           struct random *random)
{
    struct matrix m = matrix_new(rows, cols);
    for (size_t i = 0; i < rows * cols; i++)
        m.at[i] = (real)random_symmetric(random, 0.02 * sqrt(3));
    return m;
}

static struct matrix ones(size_t cols)
{
    struct matrix m = matrix_new(1, cols);
    for (size_t i = 0; i < cols; i++) m.at[i] = 1;
    return m;
}

struct gpt gpt_new(struct gpt_options o, struct random *random)
{
    size_t width = o.layer.width;
    double shrink = 1 / sqrt(2.0 * (double)(o.blocks ? o.blocks : 1));
    struct gpt g = {o, small(o.symbols, width, random),
        small(o.window, width, random), small(o.window, width, random),
        room(o.blocks, sizeof *g.block), ones(width),
        matrix_new(width, o.symbols)};
    for (size_t i = 0; i < width * o.symbols; i++)
        g.unembed.at[i] = (real)random_symmetric(random,
            sqrt(3 / (double)width));
    for (size_t i = 0; i < o.blocks; i++) {
        struct gpt_block *b = &g.block[i];
        b->gain1 = ones(width), b->gain2 = ones(width);
        b->attention = attention_new(width, o.heads, shrink, random);
        b->moe = moe_new(o.layer, random);
        for (size_t e = 0; e < o.layer.experts + o.layer.shared; e++) {
            struct matrix w2 = b->moe.expert[e].w2;
            for (size_t j = 0; j < w2.rows * w2.cols; j++)
                w2.at[j] *= (real)shrink;
        }
    }
    return g;
}

void gpt_free(struct gpt *g)
{
    for (size_t i = 0; i < g->options.blocks; i++) {
        matrix_free(&g->block[i].gain1);
        matrix_free(&g->block[i].gain2);
        attention_free(&g->block[i].attention);
        moe_free(&g->block[i].moe);
    }
    free(g->block);
    matrix_free(&g->token), matrix_free(&g->place);
    matrix_free(&g->column), matrix_free(&g->gain);
    matrix_free(&g->unembed);
}

void gpt_weights(struct weights *list, struct gpt *value,
                 struct gpt *slope)
{
    weights_add(list, "token", value->token, slope->token);
    weights_add(list, "place", value->place, slope->place);
    weights_add(list, "column", value->column, slope->column);
    for (size_t i = 0; i < value->options.blocks; i++) {
        struct gpt_block *v = &value->block[i], *s = &slope->block[i];
        char name[WEIGHTS_NAME];
        snprintf(name, sizeof name, "block%zu", i);
        weights_add_part(list, name, "gain1", v->gain1, s->gain1);
        weights_add_part(list, name, "gain2", v->gain2, s->gain2);
        attention_weights(list, name, &v->attention, &s->attention);
        moe_weights(list, name, &v->moe, &s->moe);
    }
    weights_add(list, "gain", value->gain, slope->gain);
    weights_add(list, "unembed", value->unembed, slope->unembed);
}

struct gpt_work *gpt_work_new(const struct gpt_options *o,
                              size_t tokens)
{
    size_t width = o->layer.width;
    struct gpt_work *w = room(1, sizeof *w);
    *w = (struct gpt_work){tokens, o->blocks,
        room(o->blocks, sizeof *w->block), matrix_new(tokens, width),
        matrix_new(tokens, width), matrix_new(tokens, o->symbols),
        matrix_new(tokens, width), matrix_new(tokens, width),
        matrix_new(tokens, width), room(tokens, sizeof(double)),
        room(tokens, sizeof(double)), room(tokens, sizeof(size_t))};
    for (size_t i = 0; i < o->blocks; i++)
        w->block[i] = (struct block_work){matrix_new(tokens, width),
            matrix_new(tokens, width), matrix_new(tokens, width),
            matrix_new(tokens, width), room(tokens, sizeof(double)),
            room(tokens, sizeof(double)), room(tokens, sizeof(double)),
            room(tokens, sizeof(double)),
            attention_work_new(tokens, o->window, width, o->heads),
            moe_work_new(&o->layer, tokens)};
    return w;
}

void gpt_work_free(struct gpt_work *w)
{
    for (size_t i = 0; i < w->blocks; i++) {
        struct block_work *b = &w->block[i];
        matrix_free(&b->x), matrix_free(&b->read);
        matrix_free(&b->h), matrix_free(&b->fed);
        free(b->scale1), free(b->scale2);
        free(b->mean1), free(b->mean2);
        attention_work_free(&b->attention), moe_work_free(&b->moe);
    }
    matrix_free(&w->y), matrix_free(&w->last), matrix_free(&w->logits);
    matrix_free(&w->dx), matrix_free(&w->dy), matrix_free(&w->dread);
    free(w->scale), free(w->mean), free(w->shown);
    free(w->block), free(w);
}

struct moe_work *gpt_moe(struct gpt_work *work, size_t block)
{
    return &work->block[block].moe;
}

struct attention_work *gpt_attention(struct gpt_work *work,
                                     size_t block)
{
    return &work->block[block].attention;
}

struct matrix gpt_logits(const struct gpt_work *work)
{
    return work->logits;
}
