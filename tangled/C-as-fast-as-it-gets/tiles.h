#ifndef TILES_H
#define TILES_H
/* The layer's work cut into parts that threads can share. */
#include "router.h"
#include "rows.h"

/* Cut the runs of sorted rows into tiles, the largest first. */
void tiles_cut(struct rows *rows);

/* What router_forward, softmax_rows, routes_select and routes_weigh
 * do, some tokens at a time. */
void tiles_route(const struct router *router, enum routes_gate gate,
                 struct matrix x, struct matrix z, struct matrix p,
                 double *log_z, struct routes *routes);

#endif
