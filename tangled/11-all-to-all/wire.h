#ifndef WIRE_H
#define WIRE_H
/* What an exchange costs on machines that are not here. Times in
 * seconds, sizes in bytes; M ranks, so many of them on a node. */
#include <stddef.h>

struct wire { double start;    /* of an exchange, whatever its size */
              double inside;   /* bytes a second, a rank, in a node */
              double between;  /* and between nodes */
              size_t node; };  /* ranks of a node */
extern const struct wire wire_h800;

/* One exchange: each rank has `rows` rows for experts spread evenly
 * over M ranks. If `once` nodes or fewer get a token's row, it crosses
 * once to each of them; 0: once for each of its K choices. */
struct wire_rows { size_t tokens, top_k, experts; double once, bytes; };
double wire_seconds(const struct wire *wire, size_t ranks,
                    struct wire_rows rows);

/* A published layer: its bytes a number in dispatch and combine. */
struct wire_design { const char *name; size_t width, hidden, experts,
                     top_k; double out, back; };
extern const struct wire_design wire_designs[]; /* ends with NULL */

/* A pass forward of T tokens on each of M ranks, of which at most E
 * share a layer; experts of three matrices do `speed` operations a
 * second. Balanced, nothing overlapped. */
struct wire_step { double experts, wire; };
struct wire_step wire_step(const struct wire *wire,
                           const struct wire_design *design,
                           size_t ranks, size_t tokens, double once,
                           double speed);

/* Messages of one exchange among M ranks: all to all; or first inside
 * a node, then between ranks of the same place on each node. */
size_t wire_messages(size_t ranks);
size_t wire_messages_two(size_t ranks, size_t node);

/* The least time of a pass in two halves, when one's rows are on the
 * wire while the other's experts compute. */
double wire_overlapped(double wire, double experts);

/* A figure that somebody published: seconds of an exchange. */
struct wire_point { size_t ranks; double out, back; };
extern const struct wire_point wire_points[]; /* ends with 0 ranks */

#endif
