#ifndef CASES_H
#define CASES_H
/* Batches whose loss is known, and ways to count them. A batch is
 * logits [T, E], for matrix_free; f, P and moves have E numbers. */
#include "charlm.h"
#include "routes.h"

/* Tokens certain of expert 0, of each other expert, and undecided. */
struct matrix cases_mixed(size_t experts, size_t own, size_t each,
                          size_t undecided);
/* All tokens have the same K experts; and half of the experts idle. */
struct matrix cases_collapsed(size_t experts, size_t top_k);
struct matrix cases_half_idle(size_t experts);
/* Token t leans, by a logit, to expert t / run, modulo E. */
struct matrix cases_leaning(size_t tokens, size_t experts, size_t run,
                            double logit);

/* f by a fraction, P of a gate's scores, over the valid tokens; and
 * the loss of logits that it frees. */
struct cases_way { void (*fraction)(double *, const struct routes *);
                   enum routes_gate gate; const unsigned char *valid; };
extern const struct cases_way cases_book; /* the chapter's own */
void cases_count(double *f, double *p, struct matrix logits,
                 size_t top_k, struct cases_way way);
double cases_loss(struct matrix logits, size_t top_k,
                  struct cases_way way);

/* The same case by four forms of the loss: even, and collapsed. */
enum { CASES_FORMS = 4, CASES_PAIRS = 4 };
struct cases_form { double even, collapse; };
void cases_forms(struct cases_form form[CASES_FORMS], size_t experts,
                 size_t top_k);

/* How a step against the loss's slope moves the mean logits, K = 1. */
void cases_push(double *f, double *p, double *move,
                struct matrix logits);

/* One batch counted in two ways. */
struct cases_pair { const char *name[2]; double loss[2]; };
void cases_pairs(struct cases_pair pair[CASES_PAIRS], size_t experts,
                 size_t top_k, const struct charlm *model);
#endif
