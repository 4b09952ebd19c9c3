#ifndef PARALLEL_H
#define PARALLEL_H
/* Before a loop: share its turns, static, or dynamic if uneven. */
#define MATRIX_PRAGMA(text) _Pragma(#text)
#ifdef _OPENMP
#define MATRIX_PARALLEL(how) \
    MATRIX_PRAGMA(omp parallel for schedule(how))
#else
#define MATRIX_PARALLEL(how)
#endif
#endif
