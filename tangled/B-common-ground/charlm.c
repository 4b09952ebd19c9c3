#include <math.h>
#include "charlm.h"

static real *embedding(struct matrix embed, const char *text, size_t t,
                       size_t distance)
{
    size_t symbol = distance <= t ? text_symbol(text[t - distance]) : 0;
    return matrix_row(embed, distance * text_symbols() + symbol);
}

void charlm_embed(const struct charlm *model, struct matrix x,
                  const char *text)
{
    matrix_expect(x, x.rows, model->embed.cols, "x [T, D]");
    for (size_t t = 0; t < x.rows; t++) {
        real *sum = matrix_row(x, t);
        for (size_t d = 0; d < x.cols; d++) sum[d] = 0;
        for (size_t j = 0; j < CHARLM_CONTEXT; j++) {
            const real *to_add = embedding(model->embed, text, t, j);
            for (size_t d = 0; d < x.cols; d++) sum[d] += to_add[d];
        }
    }
}

static void score(const struct charlm *model, struct charlm_work *work,
                  const char *text, size_t keep)
{
    const struct ffn *ffn = &model->ffn;
    charlm_embed(model, work->x, text);
    ffn_forward(ffn, work->y, work->x, &work->trace);
    if (keep < ffn->w1.cols) {
        ffn_keep(ffn, work->trace.hidden, keep);
        ffn_down(ffn, work->y, work->trace.hidden);
    }
    matrix_add(work->y, work->y, 1, work->x); /* the residual */
    matmul(work->scores, work->y, model->unembed); /* [T, V] */
}

double charlm_accuracy(const struct charlm *model,
                       struct charlm_work *work, const char *text,
                       size_t keep)
{
    size_t right = 0;
    score(model, work, text, keep);
    for (size_t t = 0; t < work->x.rows; t++) {
        const real *row = matrix_row(work->scores, t);
        size_t best = 0;
        for (size_t v = 0; v < work->scores.cols; v++) {
            if (isnan((double)row[v])) return NAN;
            if (row[v] > row[best]) best = v;
        }
        right += text_char(best) == text[t + 1];
    }
    return (double)right / (double)work->x.rows;
}

double charlm_gradient(const struct charlm *model, struct charlm *grad,
                       struct charlm_work *work, const char *text)
{
    score(model, work, text, model->ffn.w1.cols);
    double loss = 0;
    double tokens = (double)work->x.rows;
    for (size_t t = 0; t < work->x.rows; t++) {
        real *row = matrix_row(work->scores, t);
        row[text_symbol(text[t + 1])] -= 1;
        for (size_t v = 0; v < work->scores.cols; v++) {
            loss += (double)row[v] * (double)row[v] / tokens;
            row[v] *= (real)(2 / tokens);
        }
    }
    matmul_tn(grad->unembed, work->y, work->scores);
    matmul_nt(work->dy, work->scores, model->unembed);
    ffn_backward(&model->ffn, &grad->ffn, work->dx, work->dy, work->x,
                 &work->trace);
    matrix_add(work->dx, work->dx, 1, work->dy); /* the residual */
    for (size_t i = 0; i < grad->embed.rows * grad->embed.cols; i++)
        grad->embed.at[i] = 0;
    for (size_t t = 0; t < work->x.rows; t++)
        for (size_t j = 0; j < CHARLM_CONTEXT; j++) {
            const real *from = matrix_row(work->dx, t);
            real *to = embedding(grad->embed, text, t, j);
            for (size_t d = 0; d < work->dx.cols; d++) to[d] += from[d];
        }
    return loss;
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
    size_t symbols = text_symbols();
    double a = 0.5 / sqrt((double)width);
    struct charlm m = {.embed = matrix_new(CHARLM_CONTEXT * symbols,
                                           width)};
    for (size_t i = 0; i < m.embed.rows * width; i++)
        m.embed.at[i] = (real)random_symmetric(random, a);
    m.ffn = ffn_new(width, hidden, activation, random);
    m.unembed = matrix_new(width, symbols);
    return m;
}

void charlm_free(struct charlm *model)
{
    matrix_free(&model->embed);
    ffn_free(&model->ffn);
    matrix_free(&model->unembed);
}

void charlm_weights(struct weights *list, struct charlm *value,
                    struct charlm *slope)
{
    weights_add(list, "embed", value->embed, slope->embed);
    ffn_weights(list, "ffn", &value->ffn, &slope->ffn);
    weights_add(list, "unembed", value->unembed, slope->unembed);
}

struct charlm_work charlm_work_new(const struct charlm *model,
                                   size_t tokens)
{
    size_t width = model->embed.cols, hidden = model->ffn.w1.cols;
    return (struct charlm_work){
        matrix_new(tokens, width), matrix_new(tokens, width),
        matrix_new(tokens, width), matrix_new(tokens, width),
        matrix_new(tokens, text_symbols()),
        ffn_trace_new(tokens, hidden)};
}

void charlm_work_free(struct charlm_work *work)
{
    matrix_free(&work->x), matrix_free(&work->y);
    matrix_free(&work->dy), matrix_free(&work->dx);
    matrix_free(&work->scores);
    ffn_trace_free(&work->trace);
}
