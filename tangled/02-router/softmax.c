#include <math.h>
#include "softmax.h"

/* turn scores into probabilities */
static double softmax_row(real *p, const real *z, size_t experts)
{
    double most = (double)z[0], sum = 0;
    for (size_t i = 1; i < experts; i++)
        if ((double)z[i] > most) most = (double)z[i];
    /* carry what is not a number through the row */
    for (size_t i = 0; i < experts; i++)
        if (isnan((double)z[i])) most = NAN;
    if (!isfinite(most)) {
        for (size_t i = 0; i < experts; i++) p[i] = (real)NAN;
        return NAN;
    }
    for (size_t i = 0; i < experts; i++)
        sum += exp((double)z[i] - most);
    for (size_t i = 0; i < experts; i++)
        p[i] = (real)(exp((double)z[i] - most) / sum);
    return most + log(sum);
}

/* take the softmax of every row */
void softmax_rows(struct matrix probabilities, double *log_z,
                  struct matrix logits)
{
    matrix_expect(probabilities, logits.rows, logits.cols,
                  "probabilities [T, E]");
    if (!logits.cols) return;
    for (size_t t = 0; t < logits.rows; t++) {
        double row = softmax_row(matrix_row(probabilities, t),
                                 matrix_row(logits, t), logits.cols);
        if (log_z) log_z[t] = row;
    }
}

/* walk the softmax from right to left */
void softmax_backward(struct matrix dlogits,
                      struct matrix probabilities,
                      struct matrix dprobabilities)
{
    size_t experts = probabilities.cols;
    matrix_expect(dlogits, probabilities.rows, experts, "dlogits");
    matrix_expect(dprobabilities, probabilities.rows, experts,
                  "dprobabilities");
    for (size_t t = 0; t < probabilities.rows; t++) {
        /* push each logit by how its expert compares */
        const real *p = matrix_row(probabilities, t);
        const real *a = matrix_row(dprobabilities, t);
        double average = 0;
        for (size_t i = 0; i < experts; i++)
            average += (double)p[i] * (double)a[i];
        for (size_t i = 0; i < experts; i++)
            matrix_row(dlogits, t)[i] = (real)((double)p[i]
                                               * ((double)a[i] - average));
    }
}

/* measure how undecided the router is */
double softmax_entropy(struct matrix probabilities)
{
    double sum = 0;
    size_t cells = probabilities.rows * probabilities.cols;
    for (size_t i = 0; i < cells; i++) {
        double p = (double)probabilities.at[i];
        if (p > 0 || isnan(p)) sum -= p * log(p);
    }
    return probabilities.rows ? sum / (double)probabilities.rows : 0;
}
