#ifndef TRAFFIC_H
#define TRAFFIC_H
/* What a routed batch sends where, without sending it. T tokens and E
 * experts in parts (owner.h), K experts a token, M ranks. */
#include "capacity.h"

struct traffic {
    size_t ranks;
    size_t *rows; /* [M, M] rows of D numbers: from rank, to rank */
};
struct traffic traffic_new(size_t ranks);
void traffic_free(struct traffic *traffic);

/* Count a batch's kept choices; all of them if capacity is NULL. */
void traffic_count(struct traffic *traffic, const struct routes *routes,
                   const struct capacity *capacity);

/* Rows that a rank sends to others in dispatch; that its experts get,
 * from others and from all; and the rank whose experts get most. */
size_t traffic_sent(const struct traffic *traffic, size_t rank);
size_t traffic_received(const struct traffic *traffic, size_t rank);
size_t traffic_held(const struct traffic *traffic, size_t rank);
size_t traffic_busiest(const struct traffic *traffic);
size_t traffic_crossing(const struct traffic *traffic); /* sent, all */

/* Rows to others of one rank with equal messages, C slots an expert. */
size_t traffic_padded(size_t ranks, size_t experts, size_t slots);

/* count[n] = tokens whose experts are on n of the nodes; [nodes + 1] */
void traffic_nodes(size_t *count, const struct routes *routes,
                   size_t nodes);
double traffic_mean(const size_t *count, size_t nodes);
/* The mean for K different experts drawn evenly. */
double traffic_expected(size_t experts, size_t top_k, size_t nodes);

/* Let a token choose on `keep` nodes only: those with the largest sums
 * of their `best` largest sigmoids. Other logits become -infinity
 * (DeepSeek-V3, arXiv:2412.19437, section 2.1.2, without its bias). */
void traffic_limit(struct matrix logits, size_t nodes, size_t keep,
                   size_t best);

#endif
