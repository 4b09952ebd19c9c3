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

size_t loss_sample(struct matrix row, struct random *random)
{
    double left = random_uniform(random);
    softmax_rows(row, NULL, row);
    for (size_t v = 0; v + 1 < row.cols; v++)
        if ((left -= (double)row.at[v]) < 0) return v;
    return row.cols - 1;
}
