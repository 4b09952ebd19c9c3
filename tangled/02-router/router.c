#include <math.h>
#include "router.h"

void router_forward(const struct router *router, struct matrix logits,
                    struct matrix x)
{
    matrix_expect(x, x.rows, router->w.rows, "x [T, D]");
    matrix_expect(logits, x.rows, router->w.cols, "logits [T, E]");
    matmul(logits, x, router->w);
}

void router_backward(const struct router *router, struct router *grad,
                     struct matrix *dx, struct matrix dlogits,
                     struct matrix x)
{
    matmul_tn(grad->w, x, dlogits);
    if (dx) matmul_nt(*dx, dlogits, router->w);
}

struct router router_new(size_t width, size_t experts, double scale,
                         struct random *random)
{
    struct router router = {matrix_new(width, experts)};
    double a = sqrt(3 * scale / (double)width);
    for (size_t i = 0; i < width * experts; i++)
        router.w.at[i] = (real)random_symmetric(random, a);
    return router;
}

void router_free(struct router *router)
{
    matrix_free(&router->w);
}

size_t router_parameters(const struct router *router)
{
    return router->w.rows * router->w.cols;
}

void router_weights(struct weights *list, const char *name,
                    struct router *value, struct router *slope)
{
    weights_add_part(list, name, "w", value->w, slope->w);
}
