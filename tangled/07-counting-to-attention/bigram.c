#include <math.h>
#include <stdlib.h>
#include "bigram.h"
#include "softmax.h"
#include "stop.h"

void bigram_count(uint64_t *count, size_t symbols, const size_t *symbol,
                  size_t windows, size_t length)
{
    for (size_t w = 0; w < windows; w++)
        for (size_t s = 1; s < length; s++) {
            const size_t *at = symbol + w * length + s;
            count[at[-1] * symbols + at[0]]++;
        }
}

void bigram_from_counts(struct matrix logits, const uint64_t *count,
                        double smooth)
{
    for (size_t i = 0; i < logits.rows * logits.cols; i++)
        logits.at[i] = (real)log((double)count[i] + smooth);
}

double bigram_loss(struct matrix logits, struct matrix dlogits,
                   const size_t *symbol, size_t windows, size_t length)
{
    size_t symbols = logits.rows;
    struct matrix p = matrix_new(symbols, symbols);
    double pairs = (double)(windows * (length - 1)), sum = 0;
    double *log_z = room(symbols, sizeof *log_z);
    uint64_t *count = room(symbols * symbols, sizeof *count);
    softmax_rows(p, log_z, logits);
    bigram_count(count, symbols, symbol, windows, length);
    for (size_t a = 0; a < symbols; a++) {
        double all = 0;
        for (size_t b = 0; b < symbols; b++) {
            double n = (double)count[a * symbols + b];
            if (n > 0)
                sum += n * (log_z[a] - (double)matrix_row(logits, a)[b]);
            all += n;
        }
        for (size_t b = 0; dlogits.at && b < symbols; b++)
            matrix_row(dlogits, a)[b] = (real)((all
                * (double)matrix_row(p, a)[b]
                - (double)count[a * symbols + b]) / pairs);
    }
    matrix_free(&p), free(log_z), free(count);
    return sum / pairs;
}
