#include <math.h>
#include <stdlib.h>
#include "charlm.h"
#include "mlp.h"
#include "stop.h"

static void read_text(size_t *symbol, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        symbol[i] = text_symbol(text[i]);
}

void charlm_embed(const struct charlm *model, struct matrix x,
                  const char *text)
{
    size_t *symbol = room(x.rows, sizeof *symbol);
    matrix_expect(x, x.rows, model->embed.cols, "x [T, D]");
    read_text(symbol, text, x.rows);
    mlp_embed(model->mlp, x, symbol);
    free(symbol);
}

double charlm_gradient(const struct charlm *model, struct charlm *grad,
                       struct charlm_work *work, const char *text)
{
    read_text(work->symbol, text, work->x.rows + 1);
    double loss = mlp_forward(model->mlp, work->mlp, work->symbol,
                              work->symbol + 1, NULL);
    mlp_backward(model->mlp, grad->mlp, work->mlp, work->symbol);
    return loss;
}

double charlm_accuracy(const struct charlm *model,
                       struct charlm_work *work, const char *text,
                       size_t keep)
{
    size_t right = 0;
    struct matrix scores = work->mlp->logits, y = work->mlp->y;
    read_text(work->symbol, text, work->x.rows + 1);
    mlp_run(model->mlp, work->mlp, work->symbol);
    if (keep < model->ffn.w1.cols) {
        ffn_keep(&model->ffn, work->trace.hidden, keep);
        ffn_down(&model->ffn, y, work->trace.hidden);
        matrix_add(y, y, 1, work->x); /* the residual */
        matmul(scores, y, model->unembed);
    }
    for (size_t t = 0; t < work->x.rows; t++) {
        const real *row = matrix_row(scores, t);
        size_t best = 0;
        for (size_t v = 0; v < scores.cols; v++) {
            if (isnan((double)row[v])) return NAN;
            if (row[v] > row[best]) best = v;
        }
        right += best == work->symbol[t + 1];
    }
    return (double)right / (double)work->x.rows;
}

double charlm_train(struct charlm *model, size_t steps, double rate,
                    struct random *random)
{
    char text[CHARLM_BATCH + 1];
    struct random unused = random_seeded(0);
    struct charlm grad = charlm_new(model->embed.cols,
                                    model->ffn.w1.cols,
                                    model->ffn.activation, &unused);
    struct charlm_work work = charlm_work_new(model, CHARLM_BATCH);
    struct weights weights = {0};
    charlm_weights(&weights, model, &grad);
    double loss = 0;
    for (size_t i = 0; i < steps; i++) {
        text_fill(text, sizeof text, random);
        loss = charlm_gradient(model, &grad, &work, text);
        weights_step(&weights, rate);
    }
    weights_free(&weights);
    charlm_work_free(&work);
    charlm_free(&grad);
    return loss;
}

void charlm_vectors(const struct charlm *model, struct matrix x,
                    const char *text)
{
    charlm_embed(model, x, text);
    for (size_t t = 0; t < x.rows; t++) {
        double sum = 0;
        for (size_t d = 0; d < x.cols; d++)
            sum += (double)matrix_row(x, t)[d] * matrix_row(x, t)[d];
        double rms = sqrt(sum / (double)x.cols);
        for (size_t d = 0; d < x.cols && rms > 0; d++)
            matrix_row(x, t)[d] = (real)((double)matrix_row(x, t)[d]
                                         / rms);
    }
}

void charlm_text(char *text, size_t length, uint64_t seed)
{
    struct random random = random_seeded(~seed);
    text_fill(text, length, &random);
}

struct charlm charlm_new(size_t width, size_t hidden,
                         enum ffn_activation activation,
                         struct random *random)
{
    struct mlp_options o = {.symbols = text_symbols(),
        .window = (size_t)-1, .context = CHARLM_CONTEXT, .width = width,
        .hidden = hidden, .blocks = 1, .activation = activation,
        .residual = 1, .squares = 1,
        .embed = 0.5 / sqrt((double)width), .scale = 1};
    struct mlp *mlp = room(1, sizeof *mlp);
    *mlp = mlp_new(o, random);
    return (struct charlm){mlp, mlp->embed, mlp->block[0].ffn,
                           mlp->unembed};
}

void charlm_free(struct charlm *model)
{
    mlp_free(model->mlp), free(model->mlp);
    *model = (struct charlm){.mlp = NULL};
}

void charlm_weights(struct weights *list, struct charlm *value,
                    struct charlm *slope)
{
    mlp_weights(list, value->mlp, slope->mlp);
}

struct charlm_work charlm_work_new(const struct charlm *model,
                                   size_t tokens)
{
    struct mlp_work *work = mlp_work_new(&model->mlp->options, tokens);
    return (struct charlm_work){work, work->block[0].x,
        work->block[0].trace, room(tokens + 1, sizeof(size_t))};
}

void charlm_work_free(struct charlm_work *work)
{
    mlp_work_free(work->mlp), free(work->symbol);
}
