#include <math.h>
#include "bigram.h"
#include "softmax.h"

void bigram_count(uint64_t *count, size_t symbols,
                  const size_t *symbol, const size_t *target,
                  size_t pairs)
{
    for (size_t i = 0; i < pairs; i++)
        count[symbol[i] * symbols + target[i]]++;
}

void bigram_from_counts(struct matrix logits, const uint64_t *count,
                        double smooth)
{
    for (size_t i = 0; i < logits.rows * logits.cols; i++)
        logits.at[i] = (real)log((double)count[i] + smooth);
}

void bigram_unigram(struct matrix logits, const uint64_t *count,
                    double smooth)
{
    for (size_t b = 0; b < logits.cols; b++) {
        double all = smooth;
        for (size_t a = 0; a < logits.rows; a++)
            all += (double)count[a * logits.cols + b];
        for (size_t a = 0; a < logits.rows; a++)
            matrix_row(logits, a)[b] = (real)log(all);
    }
}

void bigram_rows(struct matrix rows, struct matrix logits,
                 const size_t *symbol)
{
    for (size_t t = 0; t < rows.rows; t++)
        row_copy(matrix_row(rows, t), matrix_row(logits, symbol[t]),
                 rows.cols);
}

double bigram_loss(struct matrix dlogits, struct matrix logits,
                   const uint64_t *count)
{
    size_t symbols = logits.cols;
    double pairs = 0, sum = 0;
    for (size_t i = 0; i < symbols * symbols; i++)
        pairs += (double)count[i];
    for (size_t a = 0; a < symbols; a++) {
        struct matrix slope = matrix_rows(dlogits, a, 1);
        const real *z = matrix_row(logits, a);
        const uint64_t *n = count + a * symbols;
        double log_z, all = 0;
        softmax_rows(slope, &log_z, matrix_rows(logits, a, 1));
        for (size_t b = 0; b < symbols; b++) all += (double)n[b];
        for (size_t b = 0; b < symbols; b++) {
            if (n[b]) sum += (double)n[b] * (log_z - (double)z[b]);
            slope.at[b] = (real)((all * (double)slope.at[b]
                                  - (double)n[b]) / pairs);
        }
    }
    return sum / pairs;
}
