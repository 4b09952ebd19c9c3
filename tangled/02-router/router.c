#include <math.h>
#include "router.h"

/* make a router */
struct router router_new(size_t width, size_t experts, double scale,
                         struct random *random)
{
    struct router router = {matrix_new(width, experts)};
    double a = sqrt(3 * scale / (double)width);
    for (size_t i = 0; i < width * experts; i++)
        router.w.at[i] = (real)random_symmetric(random, a);
    return router;
}

/* free and count a router */
void router_free(struct router *router)
{
    matrix_free(&router->w);
}

size_t router_parameters(const struct router *router)
{
    return router->w.rows * router->w.cols;
}

/* score every expert */
void router_forward(const struct router *router, struct matrix logits,
                    struct matrix x)
{
    matrix_expect(x, x.rows, router->w.rows, "x [T, D]");
    matrix_expect(logits, x.rows, router->w.cols, "logits [T, E]");
    matmul(logits, x, router->w);
}

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
void router_softmax(struct matrix probabilities, double *log_z,
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

/* walk the router from right to left */
void router_softmax_backward(struct matrix dlogits,
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

/* take the gradients of the weights and of x */
void router_backward(const struct router *router, struct router *grad,
                     struct matrix *dx, struct matrix dlogits,
                     struct matrix x)
{
    matmul_tn(grad->w, x, dlogits);
    if (dx) matmul_nt(*dx, dlogits, router->w);
}

/* measure how undecided the router is */
double router_entropy(struct matrix probabilities)
{
    double sum = 0;
    size_t cells = probabilities.rows * probabilities.cols;
    for (size_t i = 0; i < cells; i++) {
        double p = (double)probabilities.at[i];
        if (p > 0 || isnan(p)) sum -= p * log(p);
    }
    return probabilities.rows ? sum / (double)probabilities.rows : 0;
}
