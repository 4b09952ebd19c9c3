#include <math.h>
#include "balance.h"
#include "scores.h"
#include "softmax.h"

static void tally(double *sum, const struct routes *r, size_t choices,
                  int gates)
{
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t k = 0; k < choices; k++) {
            size_t e = routes_expert(r, t, k);
            if (e == ROUTES_NONE) continue;
            sum[e] += gates ? (double)matrix_row(r->gate, t)[k] : 1;
        }
}

void balance_count(double *count, const struct routes *r)
{
    tally(count, r, r->top_k, 0);
}

static void fraction(double *share, const struct routes *r,
                     size_t choices, int gates, double whole)
{
    for (size_t e = 0; e < r->experts; e++) share[e] = 0;
    tally(share, r, choices, gates);
    for (size_t e = 0; e < r->experts && whole != 0; e++)
        share[e] /= whole;
}

void balance_first(double *share, const struct routes *r)
{
    fraction(share, r, 1, 0, (double)r->valid);
}

void balance_chosen(double *share, const struct routes *r)
{
    fraction(share, r, r->top_k, 0, (double)r->valid);
}

void balance_load(double *f, const struct routes *r)
{
    fraction(f, r, r->top_k, 0, (double)(r->valid * r->top_k));
}

void balance_gate(double *share, const struct routes *r)
{
    double all = 0;
    for (size_t i = 0; i < r->tokens * r->top_k; i++)
        all += (double)r->gate.at[i];
    fraction(share, r, r->top_k, 1, all);
}

static double mean_of(double sum, size_t count)
{
    return count ? sum / (double)count : 0;
}

void balance_mean(double *p, struct matrix probabilities, size_t valid)
{
    for (size_t e = 0; e < probabilities.cols; e++) {
        p[e] = 0;
        for (size_t t = 0; t < probabilities.rows; t++)
            p[e] += (double)matrix_row(probabilities, t)[e];
        p[e] = mean_of(p[e], valid);
    }
}

double balance_loss(const double *f, const double *p, size_t experts)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++) sum += f[e] * p[e];
    return (double)experts * sum;
}

static double itself(double load) { return load; }

/* logits [T, E]: of s, if they are a gate's scores over their sum */
static void push(struct matrix dlogits, struct matrix s,
                 const struct matrix *logits, enum routes_gate gate,
                 const double *load, double (*slope)(double),
                 double scale)
{
    matrix_expect(dlogits, s.rows, s.cols, "dlogits [T, E]");
    for (size_t t = 0; t < s.rows; t++) {
        const real *p = matrix_row(s, t);
        const real *z = logits ? matrix_row(*logits, t) : NULL;
        double average = 0;
        for (size_t e = 0; e < s.cols; e++)
            if (p[e] != 0) average += (double)p[e] * slope(load[e]);
        for (size_t e = 0; e < s.cols; e++)
            if (p[e] != 0)
                matrix_row(dlogits, t)[e] += (real)(scale * (double)p[e]
                    * (slope(load[e]) - average)
                    * (z ? scores_log_slope(gate, (double)z[e]) : 1));
    }
}

void balance_loss_backward(struct matrix dlogits,
                           struct matrix probabilities, size_t valid,
                           const double *f, double scale)
{
    push(dlogits, probabilities, NULL, GATE_SOFTMAX, f, itself,
         mean_of(scale * (double)probabilities.cols, valid));
}

double balance_z_loss(const double *log_z, size_t tokens, size_t valid)
{
    double sum = 0;
    for (size_t t = 0; t < tokens; t++) sum += log_z[t] * log_z[t];
    return mean_of(sum, valid);
}

void balance_z_loss_backward(struct matrix dlogits,
                             struct matrix probabilities, size_t valid,
                             const double *log_z, double scale)
{
    matrix_expect(dlogits, probabilities.rows, probabilities.cols,
                  "dlogits [T, E]");
    for (size_t t = 0; t < probabilities.rows; t++)
        row_add(matrix_row(dlogits, t),
                (real)(mean_of(2 * scale, valid) * log_z[t]),
                matrix_row(probabilities, t), probabilities.cols);
}

void balance_entropy_backward(struct matrix dlogits,
                              struct matrix probabilities, size_t valid,
                              const double *p, double scale)
{
    push(dlogits, probabilities, NULL, GATE_SOFTMAX, p, log,
         mean_of(scale, valid));
}

void balance_scores(struct matrix s, enum routes_gate gate,
                    struct matrix logits)
{
    matrix_expect(s, logits.rows, logits.cols, "s [T, E]");
    for (size_t i = 0; i < logits.rows * logits.cols; i++) {
        double z = (double)logits.at[i];
        s.at[i] = logits.at[i];
        if (z != INFINITY) s.at[i] = (real)scores_log(gate, z);
    }
    softmax_rows(s, NULL, s);
}

void balance_scores_backward(struct matrix dlogits,
                             enum routes_gate gate, struct matrix s,
                             struct matrix logits, size_t valid,
                             const double *f, double scale)
{
    matrix_expect(logits, s.rows, s.cols, "logits [T, E]");
    push(dlogits, s, &logits, gate, f, itself,
         mean_of(scale * (double)s.cols, valid));
}

double balance_entropy(const double *share, size_t experts)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++)
        if (share[e] != 0) sum -= share[e] * log(share[e]);
    return sum;
}

double balance_effective(const double *share, size_t experts)
{
    return exp(balance_entropy(share, experts));
}

double balance_simpson(const double *share, size_t experts)
{
    double squares = 0;
    for (size_t e = 0; e < experts; e++) squares += share[e] * share[e];
    return squares == 0 ? 0 : 1 / squares;
}

static double mean_share(const double *share, size_t experts)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++) sum += share[e];
    return mean_of(sum, experts);
}

double balance_cv2(const double *share, size_t experts)
{
    double mean = mean_share(share, experts), square = 0;
    for (size_t e = 0; e < experts; e++)
        square += pow(share[e] - mean, 2) / (double)experts;
    return mean == 0 ? 0 : square / (mean * mean);
}

double balance_max_violation(const double *share, size_t experts)
{
    double mean = mean_share(share, experts), most = 0;
    for (size_t e = 0; e < experts; e++) most = fmax(most, share[e]);
    return mean == 0 ? 0 : most / mean - 1;
}

static size_t ahead(const real *z, size_t experts, size_t self)
{
    size_t count = 0;
    int lost = isnan((double)z[self]); /* NaN ranks below numbers */
    for (size_t e = 0; e < experts; e++) {
        int equal = z[e] == z[self] || (lost && isnan((double)z[e]));
        count += z[e] > z[self] || (lost && !isnan((double)z[e]))
              || (equal && e < self);
    }
    return count;
}

static double largest(const real *z, size_t experts, size_t n)
{
    for (size_t e = 0; e < experts; e++)
        if (ahead(z, experts, e) == n) return (double)z[e];
    return -INFINITY; /* there are no more than n */
}

void balance_smooth_load(double *load, struct matrix logits,
                         struct matrix noisy, double deviation,
                         size_t top_k)
{
    size_t n = logits.cols;
    matrix_expect(noisy, logits.rows, n, "noisy [T, E]");
    for (size_t e = 0; e < n; e++) load[e] = 0;
    for (size_t t = 0; t < logits.rows; t++) {
        const real *z = matrix_row(noisy, t);
        double last = largest(z, n, top_k - 1);
        double next = largest(z, n, top_k);
        for (size_t e = 0; e < n; e++) {
            double rival = (double)z[e] < last ? last : next;
            double mine = (double)matrix_row(logits, t)[e];
            double d = mine == -INFINITY ? mine : mine - rival;
            load[e] += deviation == 0 ? ahead(z, n, e) < top_k
                : erfc(-d / deviation / sqrt(2)) / 2;
        }
    }
}

void balance_bias_update(double *bias, const double *count,
                         size_t experts, double rate)
{
    double all = 0;
    for (size_t e = 0; e < experts; e++) all += count[e];
    for (size_t e = 0; e < experts; e++) {
        double mine = count[e] * (double)experts;
        bias[e] += mine < all ? rate : mine > all ? -rate : 0;
    }
}
