#ifndef FAST_H
#define FAST_H
/* The fast forms of chapter 1's products and activations. What gives
 * an int gives 1 if it did the work, 0 if that is left to the plain
 * form. Nothing is checked here: chapter 1 has done that. */
#include "matrix.h"

/* out = a b, a' b, a b', as matmul, matmul_tn and matmul_nt. */
int fast_product(struct matrix out, struct matrix a, struct matrix b);
int fast_product_tn(struct matrix out, struct matrix a,
                    struct matrix b);
int fast_product_nt(struct matrix out, struct matrix a,
                    struct matrix b);

/* out = a + s b, if that is worth threads. */
int fast_add(struct matrix out, struct matrix a, real s,
             struct matrix b);

/* The sum of a[i] b[i] over i in 0..n-1, in double. */
double fast_dot(const real *a, const real *b, size_t n);

/* hidden = GELU(pre), and dpre *= GELU's slope at pre, in rows of n
 * numbers. Only for floats. */
int fast_gelu(real *restrict hidden, const real *restrict pre,
              size_t n);
int fast_gelu_slope(real *restrict dpre, const real *restrict pre,
                    size_t n);

#endif
