#ifndef ALLTOALL_H
#define ALLTOALL_H
/* Chapter 6's layer on M ranks: each has a part of the tokens, of the
 * experts (owner.h), and all of the router and the shared experts. All
 * ranks call, in the same order. What goes wrong on one, or takes more
 * seconds than its patience, ends all, naming rank, phase and shape. */
#include "moe.h"

enum { ALLTOALL_RANKS = 256 }; /* at most */
void alltoall_begin(unsigned patience);
void alltoall_end(void);
size_t alltoall_rank(void);
size_t alltoall_ranks(void);
void alltoall_gather(double *all, const double *mine, size_t n);

enum alltoall_phase { ALLTOALL_ROUTE, ALLTOALL_COUNTS, ALLTOALL_PACK,
    ALLTOALL_WAIT, ALLTOALL_OUT, ALLTOALL_EXPERTS, ALLTOALL_BACK,
    ALLTOALL_COMBINE, ALLTOALL_SUM, ALLTOALL_PHASES };
extern const char *const alltoall_phases[];

struct alltoall {
    size_t tokens, all;       /* T_m, T */
    size_t first, own, most;  /* expert, E_m, the most of any rank */
    size_t slots;             /* C if messages are equal, or 0 */
    struct moe_work home;     /* of this rank's tokens */
    size_t rows;              /* now at this rank's experts */
    struct matrix in, out, din, dout;        /* [rows, D] */
    struct ffn_trace trace;                  /* [rows, H] */
    int wait;  /* for all before an exchange, to time it apart */
    double seconds[ALLTOALL_PHASES];         /* since made */
    uint64_t *sent, reduced, messages; /* [M] bytes; of sums; others */
    struct alltoall_wire *wire;
};

/* Room for T_m tokens here and for whatever comes, by exact messages,
 * on one level or with `node` ranks a node on two, or by equal ones.
 * Exact: the capacity is the whole batch's, by position or by tokens.
 * Equal: each rank fills C slots of its own, as many as the largest
 * T_m has. */
enum alltoall_how { ALLTOALL_EXACT, ALLTOALL_EQUAL, ALLTOALL_TWO };
struct alltoall alltoall_new(const struct moe_options *options,
    size_t tokens, enum alltoall_how how, size_t node);
void alltoall_free(struct alltoall *w);
void alltoall_keep(struct moe *m); /* free the others' experts */

/* As moe_forward and moe_backward: y, dx [T_m, D]; writes in grad this
 * rank's experts, and the sum over ranks of router and shared ones. */
void alltoall_forward(const struct moe *m, struct matrix y,
                      struct matrix x, struct alltoall *w);
void alltoall_backward(const struct moe *m, struct moe *grad,
                       struct matrix dx, struct matrix dy,
                       struct matrix x, struct alltoall *w);
/* Two batches: while one is on the wire, the other computes. */
void alltoall_forward_two(const struct moe *m, struct matrix y[2],
                          struct matrix x[2], struct alltoall w[2]);
#endif
