#ifndef PLACEMENT_H
#define PLACEMENT_H
/* Where experts, and copies of them, should be. A slot holds one copy;
 * rank r has the r-th part of the slots. Arrays are the caller's. */
#include "routes.h"

struct placement { size_t experts, groups, nodes, ranks, slots; };

/* expert [slots] of each slot, from the experts' loads: groups are
 * packed onto nodes; on a node, whoever has most load a copy gets the
 * next copy; copies are packed onto the node's ranks (EPLB, commit
 * d52c72d, its hierarchical policy; one group and node: its global
 * one). Counts that do not divide are refused. */
void placement_balance(size_t *expert, const double *load,
                       struct placement p);

/* The most loaded rank over the mean, an expert's load shared equally
 * by its copies. */
double placement_skew(const size_t *expert, const double *load,
                      struct placement p);

/* An order of the experts in which those that tokens choose together
 * are beside each other, in parts of E / ranks. */
void placement_together(size_t *order, const struct routes *routes,
                        size_t ranks);
/* The ranks that a token's rows go to, on the average, if rank r has
 * the r-th part of that order: messages once a rank, not once a row. */
double placement_touched(const size_t *order,
                         const struct routes *routes, size_t ranks);

#endif
