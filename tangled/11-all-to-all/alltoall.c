#define _POSIX_C_SOURCE 200809L
#include <mpi.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "alltoall.h"
#include "balance.h"
#include "owner.h"
#include "stop.h"

static struct {
    int rank, ranks;
    unsigned patience;
    double since, *seconds;
    char where[160];
} me;

static _Noreturn void fail(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "%s: ", me.where);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    signal(SIGABRT, SIG_DFL), signal(SIGTERM, SIG_DFL);
    MPI_Abort(MPI_COMM_WORLD, 1);
    abort();
}

static void expect(int code)
{
    char why[MPI_MAX_ERROR_STRING];
    int length;
    if (code == MPI_SUCCESS) return;
    MPI_Error_string(code, why, &length);
    fail("%s", why);
}

static void ended(int signal)
{
    char line[sizeof me.where + 32] = "";
    strcat(strcpy(line, me.where), signal == SIGALRM
           ? ": waited too long\n" : signal == SIGTERM
           ? ": ended with the others\n" : ": died\n");
    if (write(STDERR_FILENO, line, strlen(line)) < 0) { }
    _exit(1);
}
static void leave(void)
{
    double now = MPI_Wtime();
    if (me.seconds) *me.seconds += now - me.since;
    me.since = now, me.seconds = NULL;
    alarm(0);
}

static void enter(struct alltoall *w, enum alltoall_phase phase,
                  size_t rows, size_t cols)
{
    leave();
    me.seconds = &w->seconds[phase];
    snprintf(me.where, sizeof me.where, "rank %d of %d, %s [%zu, %zu]",
             me.rank, me.ranks, alltoall_phases[phase], rows, cols);
    alarm(me.patience);
}
/* hold what only MPI needs */
#ifdef REAL_DOUBLE
#define REAL MPI_DOUBLE
#else
#define REAL MPI_FLOAT
#endif

struct alltoall_wire {
    size_t experts;
    MPI_Datatype row;
    MPI_Request request;
    unsigned *give, *get;     /* [M, E_most] rows for each expert */
    int *to, *to_at, *from, *from_at, *next; /* [M] rows */
    struct matrix home, far;  /* as sent, and as they arrive */
    double *sum;              /* [2 E + 1] */
    size_t node;              /* ranks of a node; 0: one level */
    MPI_Comm inside, across;  /* my node; my number on all nodes */
    int *pass;                /* [L, nodes] rows that go through me */
    unsigned *passing;        /* [M, E_most] their counts */
    struct matrix mid[3];     /* rows on their way */
    unsigned *mine, *before, *theirs; /* [K, E] [K, E] [M, K, E] */
};

static struct moe at_home(const struct moe *m,
                          const struct alltoall *w);
static void share_losses(const struct moe *m, struct alltoall *w);
static void drop(const struct moe *m, struct alltoall *w);
static void counts_by_two(struct alltoall *w);
static void send_by_two(struct alltoall *w, int back);
static void split_nodes(struct alltoall *w, size_t node);

/* Of two levels: the ranks first, first + step, ... */
struct level { MPI_Comm comm; size_t size, first, step; };
static struct level level_of(const struct alltoall_wire *v, int across);
static void send_level(struct alltoall *w, struct level level,
                       struct matrix from, const int *give,
                       struct matrix to, const int *get);
static void turn(struct matrix to, struct matrix from, const int *count,
                 size_t a, size_t b, int back);
static void add_up(int *sum, const int *count, size_t a, size_t b,
                   int over_a);
static void sum_gradients(struct moe *grad, struct alltoall *w);
static void sum_numbers(struct alltoall *w, double *sum, size_t n);
static void expect_x(const struct alltoall *w, struct matrix x,
                     const char *name);
static void mark(struct matrix m, const int *rows, const int *at);
static void expect_marks(struct matrix m, const int *rows,
                         const int *at);

static void route(const struct moe *m, struct matrix x,
                  struct alltoall *w)
{
    struct moe home = at_home(m, w);
    enter(w, ALLTOALL_ROUTE, x.rows, x.cols);
    expect_x(w, x, "x [T_m, D]");
    home.options.factor = 0;
    moe_route(&home, x, &w->home);
    share_losses(m, w);
    if (m->options.factor > 0) drop(m, w);
    moe_dispatch(&w->home);
}

static void exchange_counts(struct alltoall *w)
{
    const struct rows *s = &w->home.rows;
    size_t ranks = alltoall_ranks(), here = 0;
    struct alltoall_wire *v = w->wire;
    enter(w, ALLTOALL_COUNTS, ranks, w->most);
    for (size_t q = 0, e = 0; q < ranks; q++)
        for (size_t i = 0; i < w->most; i++) {
            int real_one = i < owner_count(v->experts, ranks, q);
            v->give[q * w->most + i] = !real_one ? 0
                : (unsigned)(s->start[e + 1] - s->start[e]);
            e += (size_t)real_one;
        }
    if (v->node) counts_by_two(w);
    else {
        expect(MPI_Alltoall(v->give, (int)w->most, MPI_UNSIGNED, v->get,
                            (int)w->most, MPI_UNSIGNED,
                            MPI_COMM_WORLD));
        for (size_t q = 0; q < ranks; q++)
            w->sent[q] += w->most * sizeof(unsigned);
        w->messages += ranks - 1;
    }
    for (size_t i = 0; i < ranks * w->most; i++) here += v->get[i];
    if (here > w->in.rows)
        fail("rows [%zu, %zu] are announced, there is room for "
             "[%zu, %zu]", here, w->in.cols, w->in.rows, w->in.cols);
}

static void lay_out(struct alltoall *w)
{
    struct alltoall_wire *v = w->wire;
    size_t ranks = alltoall_ranks();
    int to = 0, from = 0;
    w->rows = 0;
    for (size_t q = 0; q < ranks; q++) {
        v->to[q] = v->from[q] = 0;
        for (size_t i = 0; i < w->most; i++) {
            if (w->slots)
                v->get[q * w->most + i] = i < w->own
                    ? (unsigned)w->slots : 0;
            else v->to[q] += (int)v->give[q * w->most + i];
            v->from[q] += (int)v->get[q * w->most + i];
        }
        w->rows += (size_t)v->from[q];
        if (w->slots) v->to[q] = v->from[q] = (int)(w->most * w->slots);
        v->to_at[q] = to, to += v->to[q];
        v->from_at[q] = from, from += v->from[q];
    }
}

/* The place, among the rows as sent, of home row i of expert e. */
static size_t place(const struct alltoall *w, size_t e, size_t i)
{
    size_t ranks = alltoall_ranks(), n = w->wire->experts;
    size_t q = owner_of(n, ranks, e);
    if (!w->slots) return i;
    return (q * w->most + e - owner_first(n, ranks, q)) * w->slots
         + i - w->home.rows.start[e];
}

static void pack(struct alltoall *w, struct matrix rows, int out)
{
    const size_t *start = w->home.rows.start;
    struct matrix box = w->wire->home;
    enter(w, ALLTOALL_PACK, start[w->wire->experts], box.cols);
    if (out && w->slots) matrix_clear(box);
    for (size_t e = 0; e < w->wire->experts; e++)
        for (size_t i = start[e]; i < start[e + 1]; i++) {
            real *in_box = matrix_row(box, place(w, e, i));
            real *row = matrix_row(rows, i);
            row_copy(out ? in_box : row, out ? row : in_box, box.cols);
        }
}

/* Rows by sender, as they arrive, and by expert, as they are used. */
static void sort_arrived(struct alltoall *w, struct matrix rows, int in)
{
    struct alltoall_wire *v = w->wire;
    size_t ranks = alltoall_ranks(), to = 0;
    enter(w, ALLTOALL_PACK, w->rows, rows.cols);
    for (size_t q = 0; q < ranks; q++) v->next[q] = v->from_at[q];
    for (size_t i = 0; i < w->own; i++)
        for (size_t q = 0; q < ranks; q++) {
            size_t n = v->get[q * w->most + i] * rows.cols;
            real *far = matrix_row(v->far, (size_t)v->next[q]);
            real *row = matrix_row(rows, to);
            row_copy(in ? row : far, in ? far : row, n);
            to += v->get[q * w->most + i];
            v->next[q] += (int)v->get[q * w->most + i];
        }
}

static void send_rows(struct alltoall *w, int back, int later)
{
    struct alltoall_wire *v = w->wire;
    struct matrix from = back ? v->far : v->home;
    struct matrix to = back ? v->home : v->far;
    const int *n = back ? v->from : v->to, *m = back ? v->to : v->from;
    const int *at = back ? v->from_at : v->to_at;
    const int *into = back ? v->to_at : v->from_at;
    if (w->wait) {
        enter(w, ALLTOALL_WAIT, w->rows, from.cols);
        expect(MPI_Barrier(MPI_COMM_WORLD));
    }
    enter(w, back ? ALLTOALL_BACK : ALLTOALL_OUT, w->rows, from.cols);
    mark(to, m, into);
    if (v->node) {
        send_by_two(w, back);
        return;
    }
    if (w->slots && !later)
        expect(MPI_Alltoall(from.at, n[0], v->row, to.at, n[0], v->row,
                            MPI_COMM_WORLD));
    else if (!later)
        expect(MPI_Alltoallv(from.at, n, at, v->row, to.at, m, into,
                             v->row, MPI_COMM_WORLD));
    else
        expect(MPI_Ialltoallv(from.at, n, at, v->row, to.at, m, into,
                              v->row, MPI_COMM_WORLD, &v->request));
    for (size_t q = 0; q < alltoall_ranks(); q++)
        w->sent[q] += (uint64_t)n[q] * from.cols * sizeof(real);
    w->messages += alltoall_ranks() - 1;
}

static void receive_rows(struct alltoall *w, int back)
{
    struct alltoall_wire *v = w->wire;
    enter(w, back ? ALLTOALL_BACK : ALLTOALL_OUT, w->rows, v->far.cols);
    expect(MPI_Wait(&v->request, MPI_STATUS_IGNORE));
    if (back) expect_marks(v->home, v->to, v->to_at);
    else expect_marks(v->far, v->from, v->from_at);
}

static struct ffn_trace rows_of(struct ffn_trace t, size_t first,
                                size_t n)
{
    return (struct ffn_trace){matrix_rows(t.pre, first, n),
        matrix_rows(t.hidden, first, n), matrix_rows(t.dpre, first, n)};
}

static size_t rows_from(const struct alltoall *w, size_t i)
{
    size_t sum = 0; /* of own expert i */
    for (size_t q = 0; q < alltoall_ranks(); q++)
        sum += w->wire->get[q * w->most + i];
    return sum;
}

static void run_experts(const struct moe *m, struct alltoall *w)
{
    struct moe_work *h = &w->home;
    enter(w, ALLTOALL_EXPERTS, w->rows, w->in.cols);
    for (size_t i = 0, at = 0, n; i < w->own; i++, at += n) {
        struct ffn_trace trace = rows_of(w->trace, at,
                                         n = rows_from(w, i));
        if (n) ffn_forward(&m->expert[w->first + i],
                           matrix_rows(w->out, at, n),
                           matrix_rows(w->in, at, n), &trace);
    }
    for (size_t e = w->wire->experts; e < h->rows.experts; e++) {
        size_t at = h->rows.start[e], n = h->rows.start[e + 1] - at;
        struct ffn_trace trace = rows_of(h->trace, at, n);
        if (n) ffn_forward(&m->expert[e], matrix_rows(h->out, at, n),
                           matrix_rows(h->in, at, n), &trace);
    }
}

static void begin(const struct moe *m, struct matrix x,
                  struct alltoall *w, int later)
{
    struct moe_work *h = &w->home;
    route(m, x, w);
    for (size_t i = 0; i < h->rows.count; i++)
        row_copy(matrix_row(h->in, i),
                 matrix_row(x, h->rows.choice[i] / h->rows.each),
                 x.cols);
    if (!w->slots) exchange_counts(w);
    lay_out(w);
    pack(w, h->in, 1);
    send_rows(w, 0, later);
}

static void compute(const struct moe *m, struct alltoall *w, int later)
{
    receive_rows(w, 0);
    sort_arrived(w, w->in, 1);
    run_experts(m, w);
    sort_arrived(w, w->out, 0);
    send_rows(w, 1, later);
}

static void finish(struct matrix y, struct matrix x, struct alltoall *w)
{
    receive_rows(w, 1);
    pack(w, w->home.out, 0);
    enter(w, ALLTOALL_COMBINE, y.rows, y.cols);
    moe_combine(y, x, &w->home);
}

void alltoall_forward(const struct moe *m, struct matrix y,
                      struct matrix x, struct alltoall *w)
{
    begin(m, x, w, 0);
    compute(m, w, 0);
    finish(y, x, w);
    leave();
}

static void experts_back(const struct moe *m, struct moe *grad,
                         struct alltoall *w)
{
    struct moe_work *h = &w->home;
    enter(w, ALLTOALL_EXPERTS, w->rows, w->din.cols);
    for (size_t i = 0, at = 0, n; i < w->own; i++, at += n) {
        size_t e = w->first + i;
        n = rows_from(w, i);
        struct matrix din = matrix_rows(w->din, at, n);
        struct matrix dout = matrix_rows(w->dout, at, n);
        struct ffn_trace trace = rows_of(w->trace, at, n);
        ffn_backward(&m->expert[e], &grad->expert[e], din, dout,
                     matrix_rows(w->in, at, n), &trace);
    }
    for (size_t e = w->wire->experts; e < h->rows.experts; e++) {
        size_t at = h->rows.start[e], n = h->rows.start[e + 1] - at;
        struct ffn_trace trace = rows_of(h->trace, at, n);
        ffn_backward(&m->expert[e], &grad->expert[e],
                     matrix_rows(h->din, at, n),
                     matrix_rows(h->dout, at, n),
                     matrix_rows(h->in, at, n), &trace);
    }
}

void alltoall_backward(const struct moe *m, struct moe *grad,
                       struct matrix dx, struct matrix dy,
                       struct matrix x, struct alltoall *w)
{
    struct moe_work *h = &w->home;
    struct moe home = at_home(m, w);
    enter(w, ALLTOALL_COMBINE, dy.rows, dy.cols);
    expect_x(w, dy, "dy [T_m, D]");
    moe_combine_backward(dy, h);
    pack(w, h->dout, 1);
    send_rows(w, 0, 0), receive_rows(w, 0);
    sort_arrived(w, w->dout, 1);
    experts_back(m, grad, w);
    sort_arrived(w, w->din, 0);
    send_rows(w, 1, 0), receive_rows(w, 1);
    pack(w, h->din, 0);
    enter(w, ALLTOALL_ROUTE, dx.rows, dx.cols);
    moe_dispatch_backward(dx, dy, h);
    moe_route_backward(&home, grad, dx, x, h);
    sum_gradients(grad, w);
    leave();
}

static void sum_over_ranks(struct matrix m, struct alltoall *w)
{
    expect(MPI_Allreduce(MPI_IN_PLACE, m.at, (int)(m.rows * m.cols),
                         REAL, MPI_SUM, MPI_COMM_WORLD));
    w->reduced += m.rows * m.cols * sizeof(real);
}

static void sum_gradients(struct moe *grad, struct alltoall *w)
{
    struct matrix r = grad->router.w;
    enter(w, ALLTOALL_SUM, r.rows, r.cols);
    sum_over_ranks(r, w);
    for (size_t e = w->wire->experts; e < w->home.rows.experts; e++) {
        struct ffn *f = &grad->expert[e];
        sum_over_ranks(f->w1, w), sum_over_ranks(f->b1, w);
        sum_over_ranks(f->w2, w), sum_over_ranks(f->b2, w);
    }
}

/* This rank's losses weigh as its part of the tokens. */
static struct moe at_home(const struct moe *m, const struct alltoall *w)
{
    struct moe home = *m;
    double part = w->all ? (double)w->tokens / (double)w->all : 0;
    home.options.alpha *= part, home.options.zeta *= part;
    return home;
}

static void share_losses(const struct moe *m, struct alltoall *w)
{
    struct moe_work *h = &w->home;
    size_t experts = m->options.experts;
    double *sum = w->wire->sum, here = (double)w->tokens;
    for (size_t e = 0; e < experts; e++) {
        sum[e] = 0;
        sum[experts + e] = here * h->mean[e];
    }
    balance_count(sum, &h->routes);
    sum[2 * experts] = here * h->z_loss;
    sum_numbers(w, sum, 2 * experts + 1);
    double all = w->all ? (double)w->all : 1;
    for (size_t e = 0; e < experts; e++) {
        h->f[e] = sum[e] / (all * (double)m->options.top_k);
        h->mean[e] = sum[experts + e] / all;
    }
    h->z_loss = sum[2 * experts] / all;
    h->aux = balance_loss(h->f, h->mean, experts);
}

/* Choices for each expert that come before this rank's in the line of
 * the whole batch: by position [K, E], token by token [1, E]. */
static void count_before(const struct moe *m, struct alltoall *w)
{
    struct alltoall_wire *v = w->wire;
    const struct routes *r = &w->home.routes;
    size_t n = r->top_k * r->experts, rank = alltoall_rank();
    int tokens = m->options.order == CAPACITY_TOKENS;
    for (size_t i = 0; i < n; i++) v->mine[i] = v->before[i] = 0;
    for (size_t i = 0; i < r->tokens * r->top_k; i++)
        v->mine[(tokens ? 0 : i % r->top_k) * r->experts
                + r->expert[i]]++;
    expect(MPI_Allgather(v->mine, (int)n, MPI_UNSIGNED, v->theirs,
                         (int)n, MPI_UNSIGNED, MPI_COMM_WORLD));
    w->reduced += n * sizeof(unsigned);
    for (size_t q = 0; q < alltoall_ranks(); q++)
        for (size_t i = 0; i < n; i++) {
            unsigned got = v->theirs[q * n + i];
            if (q < rank) v->before[i] += got;
            for (size_t j = i + r->experts; j < n; j += r->experts)
                v->before[j] += got; /* all first choices come first */
        }
}

static void drop(const struct moe *m, struct alltoall *w)
{
    const struct moe_options *o = &m->options;
    struct moe_work *h = &w->home;
    struct capacity *c = &h->capacity;
    struct routes *r = &h->routes;
    int tokens = o->order == CAPACITY_TOKENS;
    if (w->slots) capacity_fill(c, r, w->slots, o->order, h->p);
    else {
        count_before(m, w);
        c->slots = capacity_slots(o->factor, w->all, o->top_k,
                                  o->experts);
        for (size_t e = 0; e < o->experts; e++) c->taken[e] = 0;
        for (size_t i = 0; i < c->choices; i++) {
            size_t k = tokens ? i % o->top_k : i / r->tokens;
            size_t t = tokens ? i / o->top_k : i % r->tokens;
            size_t e = routes_expert(r, t, k), *slot;
            unsigned *before = &w->wire->before[
                (tokens ? 0 : k) * o->experts + e];
            slot = &c->slot[t * o->top_k + k];
            *slot = *before < c->slots ? *before : CAPACITY_DROPPED;
            c->taken[e] += *slot != CAPACITY_DROPPED;
            ++*before;
        }
    }
    capacity_gates(c, r, o->share_out, h->kept);
}

static void expect_x(const struct alltoall *w, struct matrix x,
                     const char *name)
{
    if (x.rows != w->tokens || x.cols != w->in.cols)
        fail("%s is [%zu, %zu], must be [%zu, %zu]", name, x.rows,
             x.cols, w->tokens, w->in.cols);
}

/* The last number of each message, before it comes: bits that no
 * computation leaves. Still there afterward: the message was short. */
static void mark(struct matrix m, const int *rows, const int *at)
{
    for (int q = 0; q < me.ranks; q++)
        if (rows[q] > 0 && m.cols)
            memset(matrix_row(m, (size_t)(at[q] + rows[q])) - 1, 0xff,
                   sizeof(real));
}

static void expect_marks(struct matrix m, const int *rows,
                         const int *at)
{
    unsigned char none[sizeof(real)];
    memset(none, 0xff, sizeof none);
    for (int q = 0; q < me.ranks; q++)
        if (rows[q] > 0 && m.cols
            && !memcmp(matrix_row(m, (size_t)(at[q] + rows[q])) - 1,
                       none, sizeof none))
            fail("rank %d sent less than the [%d, %zu] that it "
                 "announced", q, rows[q], m.cols);
}

static void send_by_two(struct alltoall *w, int back)
{
    struct alltoall_wire *v = w->wire;
    size_t l = v->node, nodes = alltoall_ranks() / l;
    struct level inside = level_of(v, 0), across = level_of(v, 1);
    int give[ALLTOALL_RANKS], get[ALLTOALL_RANKS];
    int through[ALLTOALL_RANKS], far[ALLTOALL_RANKS];
    add_up(give, v->to, nodes, l, 1);      /* to each of my node */
    add_up(get, v->pass, l, nodes, 0);     /* from each of them */
    add_up(through, v->pass, l, nodes, 1); /* to each node */
    add_up(far, v->from, nodes, l, 0);     /* from each node */
    if (!back) {
        turn(v->mid[0], v->home, v->to, nodes, l, 0);
        send_level(w, inside, v->mid[0], give, v->mid[1], get);
        turn(v->mid[2], v->mid[1], v->pass, l, nodes, 0);
        send_level(w, across, v->mid[2], through, v->far, far);
    } else {
        send_level(w, across, v->far, far, v->mid[2], through);
        turn(v->mid[1], v->mid[2], v->pass, l, nodes, 1);
        send_level(w, inside, v->mid[1], get, v->mid[0], give);
        turn(v->home, v->mid[0], v->to, nodes, l, 1);
    }
}

void alltoall_forward_two(const struct moe *m, struct matrix y[2],
                          struct matrix x[2], struct alltoall w[2])
{
    for (int i = 0; i < 2; i++) begin(m, x[i], &w[i], 1);
    for (int i = 0; i < 2; i++) compute(m, &w[i], 1);
    for (int i = 0; i < 2; i++) finish(y[i], x[i], &w[i]);
    leave();
}

const char *const alltoall_phases[] = {"route", "counts", "pack",
    "wait", "rows out", "experts", "rows back", "combine", "sum"};

void alltoall_begin(unsigned patience)
{
    static const int all[] = {SIGTERM, SIGALRM, SIGABRT, SIGSEGV,
                              SIGFPE, SIGBUS, SIGILL};
    expect(MPI_Init(NULL, NULL));
    expect(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN));
    expect(MPI_Comm_rank(MPI_COMM_WORLD, &me.rank));
    expect(MPI_Comm_size(MPI_COMM_WORLD, &me.ranks));
    me.patience = patience;
    if (me.ranks > ALLTOALL_RANKS)
        fail("%d ranks are too many, at most %d", me.ranks,
             ALLTOALL_RANKS);
    snprintf(me.where, sizeof me.where, "rank %d of %d", me.rank,
             me.ranks);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        signal(all[i], ended);
}

void alltoall_end(void) { expect(MPI_Finalize()); }

size_t alltoall_rank(void) { return (size_t)me.rank; }
size_t alltoall_ranks(void) { return (size_t)me.ranks; }

void alltoall_gather(double *all, const double *mine, size_t n)
{
    expect(MPI_Allgather(mine, (int)n, MPI_DOUBLE, all, (int)n,
                         MPI_DOUBLE, MPI_COMM_WORLD));
}

static void sum_numbers(struct alltoall *w, double *sum, size_t n)
{
    expect(MPI_Allreduce(MPI_IN_PLACE, sum, (int)n, MPI_DOUBLE, MPI_SUM,
                         MPI_COMM_WORLD));
    w->reduced += n * sizeof *sum;
}

/* Every rank must have been told the same. */
static void expect_agreement(const struct moe_options *o,
                             enum alltoall_how how)
{
    static const char *const names[] = {"D", "H", "E", "K", "N", "gate",
        "activation", "capacity factor", "order", "share out",
        "kind of messages"};
    enum { NAMES = sizeof names / sizeof *names };
    double mine[NAMES] = {(double)o->width, (double)o->hidden,
        (double)o->experts, (double)o->top_k, (double)o->shared,
        (double)o->gate, (double)o->activation, o->factor,
        (double)o->order, (double)o->share_out, (double)how};
    double least[NAMES], most[NAMES];
    memcpy(me.where + strlen(me.where), ", options", 10);
    expect(MPI_Allreduce(mine, least, NAMES, MPI_DOUBLE, MPI_MIN,
                         MPI_COMM_WORLD));
    expect(MPI_Allreduce(mine, most, NAMES, MPI_DOUBLE, MPI_MAX,
                         MPI_COMM_WORLD));
    for (size_t i = 0; i < NAMES; i++)
        if (least[i] != most[i])
            fail("%s is %g here, elsewhere from %g to %g: [T, D] rows "
                 "of one layer go to ranks of another", names[i],
                 mine[i], least[i], most[i]);
    if (o->factor > 0 && how != ALLTOALL_EQUAL
        && o->order != CAPACITY_POSITION
        && o->order != CAPACITY_TOKENS)
        fail("the capacity of a whole batch goes by position or by "
             "tokens: other orders need all ranks' gates");
}

static size_t over_ranks(size_t n, MPI_Op how)
{
    unsigned long long mine = n, all = 0;
    expect(MPI_Allreduce(&mine, &all, 1, MPI_UNSIGNED_LONG_LONG, how,
                         MPI_COMM_WORLD));
    return (size_t)all;
}

struct alltoall alltoall_new(const struct moe_options *o, size_t tokens,
                             enum alltoall_how how, size_t node)
{
    size_t ranks = alltoall_ranks(), n = o->top_k * o->experts;
    int equal = how == ALLTOALL_EQUAL;
    struct alltoall w = {.tokens = tokens};
    snprintf(me.where, sizeof me.where, "rank %d of %d", me.rank,
             me.ranks);
    expect_agreement(o, how);
    w.all = over_ranks(tokens, MPI_SUM);
    size_t largest = over_ranks(tokens, MPI_MAX);
    w.first = owner_first(o->experts, ranks, alltoall_rank());
    w.own = owner_count(o->experts, ranks, alltoall_rank());
    w.most = owner_most(o->experts, ranks);
    if (equal)
        w.slots = o->factor == 0 ? (largest ? largest : 1)
            : capacity_slots(o->factor, largest ? largest : 1, o->top_k,
                             o->experts);
    size_t few = o->top_k < w.own ? o->top_k : w.own;
    size_t most = equal ? ranks * w.own * w.slots : w.all * few;
    size_t boxes = equal ? ranks * w.most * w.slots
        : tokens * o->top_k;
    w.home = moe_work_new(o, tokens);
    w.in = matrix_new(most, o->width);
    w.out = matrix_new(most, o->width);
    w.din = matrix_new(most, o->width);
    w.dout = matrix_new(most, o->width);
    w.trace = ffn_trace_new(most, o->hidden);
    w.sent = room(ranks, sizeof *w.sent);
    w.wire = room(1, sizeof *w.wire);
    *w.wire = (struct alltoall_wire){.experts = o->experts,
        .request = MPI_REQUEST_NULL,
        .give = room(2 * ranks * w.most, sizeof(unsigned)),
        .to = room(5 * ranks, sizeof(int)),
        .home = matrix_new(boxes, o->width),
        .far = matrix_new(equal ? boxes : most, o->width),
        .sum = room(2 * o->experts + 1, sizeof(double)),
        .mine = room((2 + ranks) * n, sizeof(unsigned))};
    w.wire->get = w.wire->give + ranks * w.most;
    w.wire->to_at = w.wire->to + ranks;
    w.wire->from = w.wire->to_at + ranks;
    w.wire->from_at = w.wire->from + ranks;
    w.wire->next = w.wire->from_at + ranks;
    w.wire->before = w.wire->mine + n;
    w.wire->theirs = w.wire->before + n;
    expect(MPI_Type_contiguous((int)o->width, REAL, &w.wire->row));
    expect(MPI_Type_commit(&w.wire->row));
    if (how == ALLTOALL_TWO) split_nodes(&w, node);
    return w;
}

void alltoall_free(struct alltoall *w)
{
    struct matrix *all[] = {&w->in, &w->out, &w->din, &w->dout,
                            &w->wire->home, &w->wire->far};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        matrix_free(all[i]);
    ffn_trace_free(&w->trace), moe_work_free(&w->home);
    expect(MPI_Type_free(&w->wire->row));
    for (size_t i = 0; i < 3; i++) matrix_free(&w->wire->mid[i]);
    free(w->wire->pass), free(w->wire->passing);
    if (w->wire->node) {
        expect(MPI_Comm_free(&w->wire->inside));
        expect(MPI_Comm_free(&w->wire->across));
    }
    free(w->wire->give), free(w->wire->to), free(w->wire->sum);
    free(w->wire->mine), free(w->wire), free(w->sent);
}

void alltoall_keep(struct moe *m)
{
    size_t ranks = alltoall_ranks(), n = m->options.experts;
    for (size_t e = 0; e < n; e++)
        if (owner_of(n, ranks, e) != alltoall_rank()) {
            ffn_free(&m->expert[e]);
            m->expert[e] = (struct ffn){0};
        }
}

static void split_nodes(struct alltoall *w, size_t node)
{
    struct alltoall_wire *v = w->wire;
    size_t ranks = alltoall_ranks(), width = w->in.cols;
    if (!node || ranks % node)
        fail("%zu ranks are not nodes of %zu", ranks, node);
    v->node = node;
    expect(MPI_Comm_split(MPI_COMM_WORLD, me.rank / (int)node, me.rank,
                          &v->inside));
    expect(MPI_Comm_split(MPI_COMM_WORLD, me.rank % (int)node, me.rank,
                          &v->across));
    v->pass = room(ranks, sizeof(int));
    v->passing = room(2 * ranks * w->most, sizeof(unsigned));
    size_t through = w->all * w->home.kept.cols;
    for (size_t i = 0; i < 3; i++)
        v->mid[i] = matrix_new(through, width);
}

/* Blocks of rows, count [a, b] of them: from all of a's first to all of
 * b's first; or back. */
static void turn(struct matrix to, struct matrix from, const int *count,
                 size_t a, size_t b, int back)
{
    size_t at = 0;
    for (size_t j = 0; j < b; j++) {
        size_t start = 0;
        for (size_t i = 0; i < a * b; i++) {
            if (i % b == j) {
                size_t n = (size_t)count[i];
                row_copy(matrix_row(to, back ? start : at),
                         matrix_row(from, back ? at : start),
                         n * from.cols);
                at += n;
            }
            start += (size_t)count[i];
        }
    }
}

static struct level level_of(const struct alltoall_wire *v, int across)
{
    size_t rank = alltoall_rank(), l = v->node;
    return across
        ? (struct level){v->across, alltoall_ranks() / l, rank % l, l}
        : (struct level){v->inside, l, rank - rank % l, 1};
}

static void send_level(struct alltoall *w, struct level level,
                       struct matrix from, const int *give,
                       struct matrix to, const int *get)
{
    int give_at[ALLTOALL_RANKS] = {0}, get_at[ALLTOALL_RANKS] = {0};
    for (size_t i = 0; i < level.size; i++) {
        if (i) give_at[i] = give_at[i - 1] + give[i - 1];
        if (i) get_at[i] = get_at[i - 1] + get[i - 1];
        w->sent[level.first + i * level.step] +=
            (uint64_t)give[i] * from.cols * sizeof(real);
    }
    w->messages += level.size - 1;
    expect(MPI_Alltoallv(from.at, give, give_at, w->wire->row, to.at,
                         get, get_at, w->wire->row, level.comm));
}

static void counts_by_two(struct alltoall *w)
{
    struct alltoall_wire *v = w->wire;
    size_t l = v->node, nodes = alltoall_ranks() / l, most = w->most;
    struct level inside = level_of(v, 0), across = level_of(v, 1);
    unsigned *box = v->passing, *got = box + l * nodes * most;
    for (size_t i = 0; i < l * nodes; i++) /* i: number, then node */
        for (size_t e = 0; e < most; e++)
            box[i * most + e] =
                v->give[(i % nodes * l + i / nodes) * most + e];
    expect(MPI_Alltoall(box, (int)(nodes * most), MPI_UNSIGNED, got,
                        (int)(nodes * most), MPI_UNSIGNED, v->inside));
    for (size_t i = 0; i < l * nodes; i++) {
        v->pass[i] = 0;
        for (size_t e = 0; e < most; e++) {
            unsigned n = got[i * most + e];
            v->pass[i] += (int)n;
            box[(i % nodes * l + i / nodes) * most + e] = n;
        }
    }
    expect(MPI_Alltoall(box, (int)(l * most), MPI_UNSIGNED, v->get,
                        (int)(l * most), MPI_UNSIGNED, v->across));
    for (size_t i = 0; i < inside.size; i++)
        w->sent[inside.first + i] += nodes * most * sizeof *box;
    for (size_t i = 0; i < across.size; i++)
        w->sent[across.first + i * l] += l * most * sizeof *box;
    w->messages += inside.size + across.size - 2;
}

/* Sums of count [a, b] over a, for each of b, or over b. */
static void add_up(int *sum, const int *count, size_t a, size_t b,
                   int over_a)
{
    for (size_t i = 0; i < (over_a ? b : a); i++) sum[i] = 0;
    for (size_t i = 0; i < a * b; i++)
        sum[over_a ? i % b : i / b] += count[i];
}
