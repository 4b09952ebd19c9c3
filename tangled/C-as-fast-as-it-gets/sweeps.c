#include <math.h>
#include "lanes.h"
#include "sweeps.h"

#ifdef LANES
int sweep_norm(struct matrix y, struct matrix x, struct matrix gain,
               double tiny, double *scale)
{
    size_t n = x.cols;
    if (n % LANES || x.rows < 64) return 0;
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        const float *from = matrix_row(x, t);
        float *to = matrix_row(y, t);
        lanes squares = {0};
        for (size_t d = 0; d < n; d += LANES)
            squares += lanes_get(from + d) * lanes_get(from + d);
        scale[t] = 1 / sqrt((double)lanes_sum(squares) / (double)n
                            + tiny);
        for (size_t d = 0; d < n; d += LANES)
            lanes_put(to + d, (float)scale[t] * lanes_get(from + d)
                              * lanes_get(gain.at + d));
    }
    return 1;
}

int sweep_norm_back(struct matrix dx, struct matrix dgain,
                    struct matrix dy, struct matrix x,
                    struct matrix gain, const double *scale)
{
    size_t n = x.cols;
    if (n % LANES || x.rows < 64) return 0;
    MATRIX_PARALLEL(static)
    for (size_t d = 0; d < n; d += LANES) {
        lanes sum = {0};
        for (size_t t = 0; t < x.rows; t++)
            sum += (float)scale[t] * lanes_get(matrix_row(dy, t) + d)
                 * lanes_get(matrix_row(x, t) + d);
        lanes_put(dgain.at + d, sum);
    }
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        const float *row = matrix_row(x, t), *slope = matrix_row(dy, t);
        float size = (float)scale[t], *to = matrix_row(dx, t);
        lanes along = {0};
        for (size_t d = 0; d < n; d += LANES)
            along += lanes_get(slope + d) * lanes_get(gain.at + d)
                   * lanes_get(row + d);
        float back = lanes_sum(along) * size * size / (float)n;
        for (size_t d = 0; d < n; d += LANES)
            lanes_put(to + d, size * (lanes_get(slope + d)
                * lanes_get(gain.at + d) - back * lanes_get(row + d)));
    }
    return 1;
}

enum { SYMBOLS = 128, PART = 64, PARTS = 1024 };

static double guess(float *slope, const float *logits, size_t n,
                    size_t target, float share)
{
    float z[SYMBOLS];
    lanes most, sum = {0};
    size_t end = (n + LANES - 1) / LANES * LANES;
    memcpy(z, logits, n * sizeof *z);
    for (size_t v = n; v < end; v++) z[v] = -INFINITY;
    most = lanes_get(z);
    for (size_t v = LANES; v < end; v += LANES)
        most = lanes_most(most, lanes_get(z + v));
    float top = lanes_max(most), own = z[target];
    for (size_t v = 0; v < end; v += LANES) {
        lanes p = lanes_exp(lanes_get(z + v) - top);
        lanes_put(z + v, p), sum += p;
    }
    float all = lanes_sum(sum);
    for (size_t v = 0; v < end; v += LANES)
        lanes_put(z + v, share / all * lanes_get(z + v));
    z[target] -= share;
    memcpy(slope, z, n * sizeof *z);
    return log((double)all) + (double)top - (double)own;
}

int sweep_loss(struct matrix dlogits, struct matrix logits,
               const size_t *target, double *each, double *loss)
{
    size_t rows = logits.rows, parts = (rows + PART - 1) / PART;
    double sum[PARTS] = {0};
    if (logits.cols < 32 || logits.cols > SYMBOLS || rows < PART
        || parts > PARTS) return 0;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < parts; i++) {
        size_t end = (i + 1) * PART < rows ? (i + 1) * PART : rows;
        for (size_t t = i * PART; t < end; t++) {
            double own = guess(matrix_row(dlogits, t),
                               matrix_row(logits, t), logits.cols,
                               target[t], 1 / (float)rows);
            if (each) each[t] = own;
            sum[i] += own;
        }
    }
    *loss = 0;
    for (size_t i = 0; i < parts; i++) *loss += sum[i];
    *loss /= (double)rows;
    return 1;
}

int sweep_size(const struct weights *list, double *norm)
{
    enum { MATRICES = 512 };
    double squares[MATRICES], sum = 0;
    if (list->count > MATRICES) return 0;
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < list->count; i++) {
        struct matrix g = list->at[i].slope;
        squares[i] = row_dot(g.at, g.at, g.rows * g.cols);
    }
    for (size_t i = 0; i < list->count; i++) sum += squares[i];
    return *norm = sqrt(sum), 1;
}

int sweep_adamw(const struct sweep_step *s, real *restrict x,
                const real *restrict g, double *restrict m,
                double *restrict v, size_t n)
{
    double stay1 = s->beta1, stay2 = s->beta2;
    float scale = (float)(1 / sqrt(s->square_share));
    float epsilon = (float)s->epsilon, keep = (float)s->keep;
    float rate = (float)(s->rate / s->mean_share);
    if (n < 4096) return 0;
    for (size_t j = 0; j < n; j++) {
        double slope = (double)g[j];
        m[j] = stay1 * m[j] + (1 - stay1) * slope;
        v[j] = stay2 * v[j] + (1 - stay2) * slope * slope;
        x[j] = keep * x[j] - rate * (float)m[j]
             / (scale * sqrtf((float)v[j]) + epsilon);
    }
    return 1;
}
#else
int sweep_norm(struct matrix y, struct matrix x, struct matrix gain,
               double tiny, double *scale)
{
    return (void)y, (void)x, (void)gain, (void)tiny, (void)scale, 0;
}

int sweep_norm_back(struct matrix dx, struct matrix dgain,
                    struct matrix dy, struct matrix x,
                    struct matrix gain, const double *scale)
{
    return (void)dx, (void)dgain, (void)dy, (void)x, (void)gain,
           (void)scale, 0;
}

int sweep_loss(struct matrix dlogits, struct matrix logits,
               const size_t *target, double *each, double *loss)
{
    return (void)dlogits, (void)logits, (void)target, (void)each,
           (void)loss, 0;
}

int sweep_size(const struct weights *list, double *norm)
{
    return (void)list, (void)norm, 0;
}

int sweep_adamw(const struct sweep_step *s, real *restrict x,
                const real *restrict g, double *restrict m,
                double *restrict v, size_t n)
{
    return (void)s, (void)x, (void)g, (void)m, (void)v, (void)n, 0;
}
#endif
