#include <math.h>
#include <stdlib.h>
#include "balance.h"
#include "cases.h"
#include "router.h"
#include "softmax.h"
#include "stop.h"

const struct cases_way cases_book = {balance_load, GATE_SOFTMAX, NULL};

void cases_count(double *f, double *p, struct matrix logits,
                 size_t top_k, struct cases_way way)
{
    struct matrix s = matrix_new(logits.rows, logits.cols);
    struct routes r = routes_new(logits.rows, logits.cols, top_k);
    balance_scores(s, way.gate, logits);
    routes_select(&r, logits);
    routes_mask(&r, way.valid, &s, NULL);
    way.fraction(f, &r);
    balance_mean(p, s, r.valid);
    matrix_free(&s), routes_free(&r);
}

static double loss_of(struct matrix logits, size_t top_k,
                      struct cases_way way)
{
    size_t experts = logits.cols;
    double *f = room(2 * experts, sizeof *f), *p = f + experts;
    cases_count(f, p, logits, top_k, way);
    double loss = balance_loss(f, p, experts);
    free(f);
    return loss;
}

double cases_loss(struct matrix logits, size_t top_k,
                  struct cases_way way)
{
    double loss = loss_of(logits, top_k, way);
    matrix_free(&logits);
    return loss;
}

static void forbid(struct matrix z, size_t t, size_t from, size_t end,
                   size_t except)
{
    for (size_t e = from; e < end; e++)
        if (e != except) matrix_row(z, t)[e] = (real)-INFINITY;
}

struct matrix cases_collapsed(size_t experts, size_t top_k)
{
    struct matrix z = matrix_new(64, experts);
    for (size_t t = 0; t < z.rows; t++)
        forbid(z, t, top_k, experts, experts);
    return z;
}

void cases_forms(struct cases_form form[CASES_FORMS], size_t experts,
                 size_t top_k)
{
    struct { void (*f)(double *, const struct routes *); double times; }
    ways[CASES_FORMS] = {
        {balance_load, 1}, {balance_first, 1},
        {balance_first, 1 / (double)(experts * experts)},
        {balance_chosen, 1}};
    for (size_t i = 0; i < CASES_FORMS; i++) {
        struct cases_way way = {ways[i].f, GATE_SOFTMAX, NULL};
        struct matrix even = matrix_new(64, experts);
        struct matrix collapsed = cases_collapsed(experts, top_k);
        form[i].even = ways[i].times * cases_loss(even, top_k, way);
        form[i].collapse = ways[i].times * cases_loss(collapsed, top_k,
                                                      way);
    }
}

struct matrix cases_mixed(size_t experts, size_t own, size_t each,
                          size_t undecided)
{
    size_t certain = own + each * (experts - 1);
    struct matrix z = matrix_new(certain + undecided, experts);
    for (size_t t = 0; t < certain; t++)
        forbid(z, t, 0, experts, t < own ? 0 : 1 + (t - own) / each);
    return z;
}

struct matrix cases_half_idle(size_t experts)
{
    struct matrix z = matrix_new(experts / 2, experts);
    for (size_t t = 0; t < z.rows; t++) forbid(z, t, 0, z.rows, t);
    return z;
}

void cases_push(double *f, double *p, double *move,
                struct matrix logits)
{
    struct matrix dz = matrix_new(logits.rows, logits.cols);
    struct matrix s = matrix_new(logits.rows, logits.cols);
    cases_count(f, p, logits, 1, cases_book);
    softmax_rows(s, NULL, logits);
    balance_loss_backward(dz, s, 1, f, -1);
    balance_mean(move, dz, dz.rows);
    matrix_free(&dz), matrix_free(&s);
}

struct matrix cases_leaning(size_t tokens, size_t experts, size_t run,
                            double logit)
{
    struct matrix z = matrix_new(tokens, experts);
    for (size_t t = 0; t < tokens; t++)
        matrix_row(z, t)[t / run % experts] = (real)logit;
    return z;
}

static double loss_of_parts(struct matrix z, size_t parts)
{
    double sum = 0;
    size_t n = z.rows / parts;
    for (size_t i = 0; i < parts; i++)
        sum += loss_of(matrix_rows(z, i * n, n), 1, cases_book);
    return sum / (double)parts;
}

enum { TEXT = 256, SEQUENCE = 32, REAL = 16 };

static struct matrix text_logits(const struct charlm *model,
                                 size_t experts, int padded)
{
    char text[TEXT];
    struct random r = random_seeded(0);
    size_t width = model->embed.cols;
    struct matrix x = matrix_new(TEXT, width);
    struct matrix z = matrix_new(TEXT, experts);
    struct router router = router_new(width, experts, 1, &r);
    text_fill(text, TEXT, &r);
    for (size_t t = 0; padded && t < TEXT; t++)
        if (t % SEQUENCE >= REAL) text[t] = '\n';
    charlm_vectors(model, x, text);
    router_forward(&router, z, x);
    router_free(&router), matrix_free(&x);
    return z;
}

void cases_pairs(struct cases_pair pair[CASES_PAIRS], size_t experts,
                 size_t top_k, const struct charlm *model)
{
    unsigned char valid[TEXT];
    struct matrix text = text_logits(model, experts, 0);
    struct matrix padded = text_logits(model, experts, 1);
    struct matrix parts = cases_leaning(8 * experts, experts, 8, 3);
    struct cases_way sigmoids = cases_book, masked = cases_book;
    for (size_t t = 0; t < TEXT; t++) valid[t] = t % SEQUENCE < REAL;
    sigmoids.gate = GATE_SIGMOID, masked.valid = valid;
    pair[0] = (struct cases_pair){{"P of a softmax", "of sigmoids"},
        {loss_of(text, top_k, cases_book),
         loss_of(text, top_k, sigmoids)}};
    pair[1] = (struct cases_pair){{"with padding", "without"},
        {loss_of(padded, top_k, cases_book),
         loss_of(padded, top_k, masked)}};
    pair[2] = (struct cases_pair){{"micro-batches", "all together"},
        {loss_of_parts(parts, experts), loss_of_parts(parts, 1)}};
    pair[3] = (struct cases_pair){{"two layers", "thrown together"},
        {loss_of_parts(parts, 2), loss_of_parts(parts, 1)}};
    matrix_free(&text), matrix_free(&padded), matrix_free(&parts);
}
