#ifndef MATRIX_H
#define MATRIX_H
/* Row-major matrices and their three products. A shape that does not
 * fit aborts, with the shapes and what would fit. */
#include <stddef.h>
#include "parallel.h"

#ifdef REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* Row r begins at at + r * cols. May have no rows. */
struct matrix { size_t rows, cols; real *at; };
struct matrix matrix_new(size_t rows, size_t cols); /* all zero */
void matrix_free(struct matrix *matrix);

/* out = a b, a' b, a b'. out must not share memory with a or b. */
void matmul(struct matrix out, struct matrix a, struct matrix b);
void matmul_tn(struct matrix out, struct matrix a, struct matrix b);
void matmul_nt(struct matrix out, struct matrix a, struct matrix b);
/* The same by plain loops; shapes are not checked. */
void matmul_plain(struct matrix out, struct matrix a, struct matrix b);
void matmul_plain_tn(struct matrix, struct matrix, struct matrix);
void matmul_plain_nt(struct matrix, struct matrix, struct matrix);

/* out = a + s * b, elementwise; out may be a. */
void matrix_add(struct matrix out, struct matrix a, real s,
                struct matrix b);
void matrix_clear(struct matrix matrix);     /* all numbers 0 */
double matrix_squares(struct matrix matrix); /* summed, in double */
/* A row; and rows first .. first + count - 1, as a matrix. */
static inline real *matrix_row(struct matrix matrix, size_t row)
{
    return matrix.at + row * matrix.cols;
}
static inline struct matrix matrix_rows(struct matrix m, size_t first,
                                        size_t count)
{
    return (struct matrix){count, m.cols, matrix_row(m, first)};
}

/* Of n numbers each: to = from, to += s * from, a b in double. */
static inline void row_copy(real *to, const real *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}
static inline void row_add(real *to, real s, const real *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += s * from[i];
}
double row_dot(const real *a, const real *b, size_t n);

/* Abort unless the matrix has this shape, e.g. "x [T, D]". */
#define matrix_expect(matrix, rows, cols, name) \
    matrix_expect_at(__FILE__, __LINE__, matrix, rows, cols, name)
void matrix_expect_at(const char *file, int line, struct matrix matrix,
                      size_t rows, size_t cols, const char *name);
#endif
