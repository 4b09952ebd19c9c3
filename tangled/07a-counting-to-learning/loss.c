#include <math.h>
#include "loss.h"
#include "softmax.h"
#include "sweeps.h"

double loss_forward(struct matrix dlogits, struct matrix logits,
                    const size_t *target, double *each)
{
    double tokens = (double)logits.rows, sum = 0;
    if (sweep_loss(dlogits, logits, target, each, &sum)) return sum;
    for (size_t t = 0; t < logits.rows; t++) {
        struct matrix row = matrix_rows(dlogits, t, 1);
        double own = -(double)matrix_row(logits, t)[target[t]], log_z;
        softmax_rows(row, &log_z, matrix_rows(logits, t, 1));
        own += log_z, sum += own;
        if (each) each[t] = own;
        row.at[target[t]] -= 1;
        for (size_t v = 0; v < row.cols; v++)
            row.at[v] = (real)((double)row.at[v] / tokens);
    }
    return sum / tokens;
}

double loss_bits(double nats) { return nats / log(2); }

void loss_right(struct matrix dlogits, const size_t *target,
                unsigned char *right)
{
    double tokens = (double)dlogits.rows;
    for (size_t t = 0; t < dlogits.rows; t++) {
        const real *row = matrix_row(dlogits, t);
        double most = 0, own = 1 + tokens * (double)row[target[t]];
        for (size_t v = 0; v < dlogits.cols; v++)
            if (v != target[t])
                most = fmax(most, tokens * (double)row[v]);
        right[t] = own > most;
    }
}

double loss_squares(struct matrix scores, const size_t *target)
{
    double tokens = (double)scores.rows, loss = 0;
    for (size_t t = 0; t < scores.rows; t++) {
        real *row = matrix_row(scores, t);
        row[target[t]] -= 1;
        for (size_t v = 0; v < scores.cols; v++) {
            loss += (double)row[v] * (double)row[v] / tokens;
            row[v] *= (real)(2 / tokens);
        }
    }
    return loss;
}

size_t loss_sample(struct matrix row, struct random *random)
{
    double left = random_uniform(random);
    softmax_rows(row, NULL, row);
    for (size_t v = 0; v + 1 < row.cols; v++)
        if ((left -= (double)row.at[v]) < 0) return v;
    return row.cols - 1;
}
