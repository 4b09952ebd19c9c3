#ifndef ROWS_H
#define ROWS_H
/* Choices in the order of the text become rows in the order of the
 * experts. T tokens, E experts, K experts a token, R rows. N shared
 * experts, numbered from E on, are a token's choices from K on. */
#include "capacity.h"

struct rows {
    size_t experts, each, count; /* E + N, K + N, R */
    size_t *start;  /* [E + N + 1] expert e: start[e]..start[e + 1] */
    size_t *place;  /* [T, K + N] a row, or CAPACITY_DROPPED */
    size_t *choice; /* [R] the way back: t * (K + N) + j */
    size_t runs;    /* rows to walk in one go, all of one expert */
    struct rows_run { size_t expert, first, count; } *run;
};
struct rows rows_new(size_t tokens, size_t experts, size_t top_k,
                     size_t shared);
void rows_free(struct rows *rows);

/* The expert of choice j of token t; CAPACITY_DROPPED if it was
 * dropped, and for all choices of a token that is padding. */
size_t rows_expert(const struct routes *routes,
                   const struct capacity *capacity, size_t t, size_t j);

/* A row for each choice that has an expert, sorted by it, stably; and
 * one run for each expert that has rows. */
void rows_sort(struct rows *rows, const struct routes *routes,
               const struct capacity *capacity);

#endif
