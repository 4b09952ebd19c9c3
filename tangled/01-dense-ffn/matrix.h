#ifndef MATRIX_H
#define MATRIX_H
/* Row-major matrices and their three products. A shape that does not
 * fit aborts, with the shapes and what would fit. */
#include <stddef.h>
#include <stdio.h>

#ifdef REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

/* Row r begins at at + r * cols. May have no rows. */
struct matrix { size_t rows, cols; real *at; };

struct matrix matrix_new(size_t rows, size_t cols); /* all zero */
void matrix_free(struct matrix *matrix);
/* find a row */
static inline real *matrix_row(struct matrix matrix, size_t row)
{
    return matrix.at + row * matrix.cols;
}

/* out = a b, a' b, a b'. out must not share memory with a or b. */
void matmul(struct matrix out, struct matrix a, struct matrix b);
void matmul_tn(struct matrix out, struct matrix a, struct matrix b);
void matmul_nt(struct matrix out, struct matrix a, struct matrix b);

/* out = a + scale * b, elementwise; out may be a. */
void matrix_add(struct matrix out, struct matrix a, real scale,
                struct matrix b);

/* let loops share their turns */
/* Before a loop over n turns: static, or dynamic if uneven. */
#define MATRIX_PRAGMA(text) _Pragma(#text)
#ifdef _OPENMP
#define MATRIX_PARALLEL(how) \
    MATRIX_PRAGMA(omp parallel for schedule(how))
#else
#define MATRIX_PARALLEL(how)
#endif

/* walk rows and numbers */
/* Rows first .. first + count - 1, as a matrix. */
static inline struct matrix matrix_rows(struct matrix matrix,
                                        size_t first, size_t count)
{
    return (struct matrix){count, matrix.cols,
                           matrix_row(matrix, first)};
}

static inline void row_copy(real *to, const real *from, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}

/* to += scale * from */
static inline void row_add(real *to, real scale, const real *from,
                           size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] += scale * from[i];
}

double row_dot(const real *a, const real *b, size_t n); /* in double */
void matrix_clear(struct matrix matrix);     /* all numbers 0 */
double matrix_squares(struct matrix matrix); /* summed, in double */

/* Abort unless the matrix has this shape, e.g. "x [T, D]". */
#define matrix_expect(matrix, rows, cols, name) \
    matrix_expect_at(__FILE__, __LINE__, matrix, rows, cols, name)
void matrix_expect_at(const char *file, int line, struct matrix matrix,
                      size_t rows, size_t cols, const char *name);

#endif
