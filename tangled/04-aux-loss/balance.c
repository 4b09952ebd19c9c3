#include <math.h>
#include "balance.h"

/* count choices */
static void count(double *share, const struct routes *r, size_t choices,
                  double whole, int weighted)
{
    for (size_t e = 0; e < r->experts; e++) share[e] = 0;
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t k = 0; k < choices; k++)
            share[routes_expert(r, t, k)] += weighted
                ? (double)matrix_row(r->gate, t)[k] / whole : 1 / whole;
}

/* count each fraction */
void balance_first(double *share, const struct routes *r)
{
    count(share, r, 1, (double)r->tokens, 0);
}

void balance_chosen(double *share, const struct routes *r)
{
    count(share, r, r->top_k, (double)r->tokens, 0);
}

/* count the load */
void balance_load(double *f, const struct routes *r)
{
    count(f, r, r->top_k, (double)(r->tokens * r->top_k), 0);
}

/* count the gate weight */
void balance_gate(double *share, const struct routes *r)
{
    double all = 0;
    for (size_t i = 0; i < r->tokens * r->top_k; i++)
        all += (double)r->gate.at[i];
    count(share, r, r->top_k, all, 1);
}

/* average the probabilities */
void balance_mean(double *p, struct matrix probabilities)
{
    double tokens = (double)probabilities.rows;
    for (size_t e = 0; e < probabilities.cols; e++) p[e] = 0;
    for (size_t t = 0; t < probabilities.rows; t++)
        for (size_t e = 0; e < probabilities.cols; e++)
            p[e] += (double)matrix_row(probabilities, t)[e] / tokens;
}

/* take the losses */
double balance_loss(const double *f, const double *p, size_t experts)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++) sum += f[e] * p[e];
    return (double)experts * sum;
}

double balance_z_loss(const double *log_z, size_t tokens)
{
    double sum = 0;
    for (size_t t = 0; t < tokens; t++) sum += log_z[t] * log_z[t];
    return tokens ? sum / (double)tokens : 0;
}

/* send the losses back */
/* push one token */
static void push(struct matrix dlogits, struct matrix probabilities,
                 size_t t, const double *load, double (*slope)(double),
                 double scale)
{
    const real *p = matrix_row(probabilities, t);
    double average = 0;
    for (size_t e = 0; e < dlogits.cols; e++)
        if (p[e] > 0) average += (double)p[e] * slope(load[e]);
    for (size_t e = 0; e < dlogits.cols; e++)
        if (p[e] > 0)
            matrix_row(dlogits, t)[e] += (real)(scale * (double)p[e]
                * (slope(load[e]) - average));
}

/* take the load as it is */
static double as_it_is(double load) { return load; }

/* push by the load */
void balance_loss_backward(struct matrix dlogits,
                           struct matrix probabilities,
                           const double *f, double scale)
{
    double tokens = (double)probabilities.rows;
    double experts = (double)probabilities.cols;
    matrix_expect(dlogits, probabilities.rows, probabilities.cols,
                  "dlogits [T, E]");
    for (size_t t = 0; t < probabilities.rows; t++)
        push(dlogits, probabilities, t, f, as_it_is,
             scale * experts / tokens);
}

/* push by log Z */
void balance_z_loss_backward(struct matrix dlogits,
                             struct matrix probabilities,
                             const double *log_z, double scale)
{
    double tokens = (double)probabilities.rows;
    matrix_expect(dlogits, probabilities.rows, probabilities.cols,
                  "dlogits [T, E]");
    for (size_t t = 0; t < probabilities.rows; t++)
        for (size_t e = 0; e < probabilities.cols; e++)
            matrix_row(dlogits, t)[e] += (real)(scale * 2 / tokens
                * log_z[t] * (double)matrix_row(probabilities, t)[e]);
}

/* push by the mean probabilities */
void balance_entropy_backward(struct matrix dlogits,
                              struct matrix probabilities,
                              const double *p, double scale)
{
    matrix_expect(dlogits, probabilities.rows, probabilities.cols,
                  "dlogits [T, E]");
    for (size_t t = 0; t < probabilities.rows; t++)
        push(dlogits, probabilities, t, p, log,
             scale / (double)probabilities.rows);
}

/* measure how even a load is */
double balance_entropy(const double *share, size_t experts)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++)
        if (share[e] > 0) sum -= share[e] * log(share[e]);
    return sum;
}

double balance_effective(const double *share, size_t experts)
{
    return exp(balance_entropy(share, experts));
}

/* measure how large the largest are */
double balance_simpson(const double *share, size_t experts)
{
    double squares = 0;
    for (size_t e = 0; e < experts; e++) squares += share[e] * share[e];
    return squares > 0 ? 1 / squares : 0;
}

/* measure the variation */
double balance_cv2(const double *share, size_t experts)
{
    double mean = 0, square = 0;
    for (size_t e = 0; e < experts; e++)
        mean += share[e] / (double)experts;
    for (size_t e = 0; e < experts; e++)
        square += pow(share[e] - mean, 2) / (double)experts;
    return mean > 0 ? square / (mean * mean) : 0;
}

/* measure the largest excess */
double balance_max_violation(const double *share, size_t experts)
{
    double mean = 0, most = 0;
    for (size_t e = 0; e < experts; e++) {
        mean += share[e] / (double)experts;
        most = fmax(most, share[e]);
    }
    return mean > 0 ? most / mean - 1 : 0;
}

/* balance by other means */
/* estimate a load smoothly */
static double rival(const real *noisy, size_t experts, size_t self,
                    size_t top_k)
{
    double best = INFINITY; /* the K-th largest of the others */
    for (size_t k = 0; k < top_k; k++) {
        double next = -INFINITY;
        for (size_t e = 0; e < experts; e++)
            if (e != self && (double)noisy[e] < best)
                next = fmax(next, (double)noisy[e]);
        best = next;
    }
    return best;
}

/* sum the chances over the tokens */
void balance_smooth_load(double *load, struct matrix logits,
                         struct matrix noisy, double deviation,
                         size_t top_k)
{
    matrix_expect(noisy, logits.rows, logits.cols, "noisy [T, E]");
    for (size_t e = 0; e < logits.cols; e++) {
        load[e] = 0;
        for (size_t t = 0; t < logits.rows; t++) {
            double d = (double)matrix_row(logits, t)[e]
                - rival(matrix_row(noisy, t), logits.cols, e, top_k);
            load[e] += erfc(-d / deviation / sqrt(2)) / 2;
        }
    }
}

/* nudge the biases */
void balance_bias_update(double *bias, const double *f, size_t experts,
                         double rate)
{
    double mean = 0;
    for (size_t e = 0; e < experts; e++)
        mean += f[e] / (double)experts;
    for (size_t e = 0; e < experts; e++)
        bias[e] += f[e] < mean ? rate : f[e] > mean ? -rate : 0;
}
