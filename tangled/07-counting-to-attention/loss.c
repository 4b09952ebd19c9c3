#include <math.h>
#include <stdlib.h>
#include "loss.h"
#include "softmax.h"
#include "stop.h"

double loss_forward(struct matrix dlogits, struct matrix logits,
                    const size_t *target, double *each)
{
    double *own = each ? each : room(logits.rows, sizeof *own);
    double tokens = (double)logits.rows, sum = 0;
    for (size_t t = 0; t < logits.rows; t++)
        own[t] = -(double)matrix_row(logits, t)[target[t]];
    double *log_z = room(logits.rows, sizeof *log_z);
    softmax_rows(dlogits, log_z, logits);
    for (size_t t = 0; t < logits.rows; t++) {
        real *row = matrix_row(dlogits, t);
        own[t] += log_z[t], sum += own[t];
        row[target[t]] -= 1;
        for (size_t v = 0; v < dlogits.cols; v++)
            row[v] = (real)((double)row[v] / tokens);
    }
    free(log_z);
    if (!each) free(own);
    return sum / tokens;
}

double loss_bits(double nats) { return nats / log(2); }
