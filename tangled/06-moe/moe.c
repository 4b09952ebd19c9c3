#include <stdio.h>
#include <stdlib.h>
#include "balance.h"
#include "moe.h"
#include "softmax.h"

enum { TILE = 384 };

/* make and free a layer */
struct moe moe_new(struct moe_options o, struct random *random)
{
    size_t experts = o.experts + o.shared;
    struct moe moe = {o, router_new(o.width, o.experts, 1, random),
                      calloc(experts, sizeof(struct ffn))};
    if (!moe.expert) abort();
    for (size_t e = 0; e < experts; e++)
        moe.expert[e] = ffn_new(o.width, o.hidden, o.activation,
                                random);
    return moe;
}

/* free a layer */
void moe_free(struct moe *moe)
{
    size_t experts = moe->options.experts + moe->options.shared;
    for (size_t e = 0; e < experts; e++) ffn_free(&moe->expert[e]);
    router_free(&moe->router), free(moe->expert);
}

/* make and free its work */
/* make the work's matrices */
static struct moe_work work_matrices(const struct moe_options *o,
                                     size_t tokens, size_t rows)
{
    struct moe_work w = {.z = matrix_new(tokens, o->experts),
        .p = matrix_new(tokens, o->experts),
        .dz = matrix_new(tokens, o->experts),
        .kept = matrix_new(tokens, o->top_k),
        .dkept = matrix_new(tokens, o->top_k),
        .dgate = matrix_new(tokens, o->top_k),
        .through = matrix_new(tokens, o->width),
        .trace = ffn_trace_new(rows, o->hidden)};
    w.in = matrix_new(rows, o->width);
    /* make the matrices of rows */
    w.out = matrix_new(rows, o->width);
    w.din = matrix_new(rows, o->width);
    w.dout = matrix_new(rows, o->width);
    return w;
}

/* make room to sort */
static struct moe_rows rows_new(size_t hosts, size_t visits,
                                size_t all)
{
    struct moe_rows s = {.hosts = hosts, .visits = visits,
        .start = calloc(hosts + 1, sizeof *s.start),
        .place = calloc(2 * all + 1, sizeof *s.place),
        .tile = calloc(2 * hosts + all / TILE + 6, sizeof *s.tile)};
    if (!s.start || !s.place || !s.tile) abort();
    s.visit = s.place + all;
    return s;
}

/* make a work */
struct moe_work moe_work_new(const struct moe_options *o, size_t tokens)
{
    size_t visits = o->top_k + o->shared;
    struct moe_work w = work_matrices(o, tokens, tokens * visits);
    w.routes = routes_new(tokens, o->experts, o->top_k);
    w.capacity = capacity_new(tokens, o->experts, o->top_k);
    w.log_z = calloc(tokens + 2 * o->experts, sizeof *w.log_z);
    if (!w.log_z) abort();
    w.f = w.log_z + tokens, w.mean = w.f + o->experts;
    w.sorted = rows_new(o->experts + o->shared, visits,
                        tokens * visits);
    return w;
}

/* free the work */
void moe_work_free(struct moe_work *w)
{
    matrix_free(&w->z), matrix_free(&w->p), matrix_free(&w->dz);
    matrix_free(&w->kept), matrix_free(&w->dkept);
    matrix_free(&w->dgate), matrix_free(&w->through);
    matrix_free(&w->in), matrix_free(&w->out);
    matrix_free(&w->din), matrix_free(&w->dout);
    ffn_trace_free(&w->trace);
    routes_free(&w->routes), capacity_free(&w->capacity);
    free(w->log_z), free(w->sorted.start);
    free(w->sorted.place), free(w->sorted.tile);
}

/* walk the layer both ways */
/* walk the layer forward */
/* route the tokens */
/* route some of the tokens */
/* refuse what does not fit the work */
/* Two sizes, to be compared like a matrix's. */
static struct matrix shape(size_t a, size_t b)
{
    return (struct matrix){a, b, NULL};
}

static void expect_work(const struct moe *moe, struct matrix x,
                        const struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    matrix_expect(x, w->routes.tokens, o->width, "x [T, D]");
    matrix_expect(w->in, x.rows * (o->top_k + o->shared), o->width,
                  "the work's rows [(K + N) T, D]");
    /* compare what has no matrix */
    matrix_expect(w->trace.pre, w->in.rows, o->hidden,
                  "the work's hidden rows [(K + N) T, H]");
    matrix_expect(shape(w->sorted.hosts, w->sorted.visits),
                  o->experts + o->shared, o->top_k + o->shared,
                  "the work's experts and visits [E + N, K + N]");
    matrix_expect(shape(w->routes.experts, w->routes.top_k), o->experts,
                  o->top_k, "the work's routes [E, K]");
}

/* cut some rows out */
enum { PIECE = 128 };

static struct matrix part(struct matrix m, const struct moe_tile *tile)
{
    return (struct matrix){tile->rows, m.cols,
                           matrix_row(m, tile->first)};
}

static void route_piece(const struct moe *moe, struct matrix x,
                        struct moe_work *w, size_t first)
{
    /* cut the piece */
    size_t rows = x.rows - first < PIECE ? x.rows - first : PIECE;
    struct moe_tile piece = {0, first, rows};
    struct matrix z = part(w->z, &piece);
    struct routes routes = w->routes;
    routes.tokens = rows;
    routes.expert += first * routes.top_k;
    routes.gate = part(routes.gate, &piece);
    router_forward(&moe->router, z, part(x, &piece));
    struct matrix p = part(w->p, &piece);
    softmax_rows(p, w->log_z + first, z);
    routes_select(&routes, z);
    routes_weigh(&routes, moe->options.gate, z, p);
}

void moe_route(const struct moe *moe, struct matrix x,
               struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    expect_work(moe, x, w);
    w->sorted.rows = w->sorted.tiles = 0;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < (x.rows + PIECE - 1) / PIECE; i++)
        route_piece(moe, x, w, i * PIECE);
    /* drop what is over the capacity */
    size_t slots = o->factor == 0 ? x.rows
        : capacity_slots(o->factor, x.rows, o->top_k, o->experts);
    capacity_fill(&w->capacity, &w->routes, slots, o->order, w->p);
    capacity_gates(&w->capacity, &w->routes, o->share_out, w->kept);
    /* take both losses */
    balance_load(w->f, &w->routes); /* before drops */
    balance_mean(w->mean, w->p, w->routes.valid);
    w->aux = balance_loss(w->f, w->mean, o->experts);
    w->z_loss = balance_z_loss(w->log_z, x.rows, w->routes.valid);
}

/* sort the rows by expert */
/* say whom a visit goes to */
/* The expert of visit j of token t, or CAPACITY_DROPPED. */
static size_t host(const struct moe_options *o,
                   const struct moe_work *w, size_t t, size_t j)
{
    if (j >= o->top_k) return o->experts + j - o->top_k;
    size_t choice = t * o->top_k + j;
    return w->capacity.slot[choice] == CAPACITY_DROPPED
        ? CAPACITY_DROPPED : w->routes.expert[choice];
}

/* count the rows of each expert */
static void count_rows(const struct moe *moe, struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    size_t experts = o->experts + o->shared, tokens = w->routes.tokens;
    for (size_t e = 0; e <= experts; e++) w->sorted.start[e] = 0;
    for (size_t t = 0; t < tokens; t++)
        for (size_t j = 0; j < o->top_k + o->shared; j++) {
            size_t e = host(o, w, t, j);
            if (e != CAPACITY_DROPPED) w->sorted.start[e + 1]++;
        }
    for (size_t e = 0; e < experts; e++)
        w->sorted.start[e + 1] += w->sorted.start[e];
    w->sorted.rows = w->sorted.start[experts];
}

/* give every visit its row */
static void place_visits(const struct moe *moe, struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    struct moe_rows *s = &w->sorted;
    for (size_t v = 0; v < w->routes.tokens * s->visits; v++) {
        size_t e = host(o, w, v / s->visits, v % s->visits);
        s->place[v] = e == CAPACITY_DROPPED ? e : s->start[e]++;
        if (e != CAPACITY_DROPPED) s->visit[s->place[v]] = v;
    }
    for (size_t e = s->hosts; e > 0; e--) s->start[e] = s->start[e - 1];
    s->start[0] = 0;
}

/* cut the pieces into tiles */
/* put a tile before smaller ones */
static void put_tile(struct moe_rows *s, struct moe_tile tile)
{
    size_t i = s->tiles++;
    for (; i && s->tile[i - 1].rows < tile.rows; i--)
        s->tile[i] = s->tile[i - 1];
    s->tile[i] = tile;
}

static void cut_piece(struct moe_work *w, size_t e, size_t fifth)
{
    struct moe_rows *s = &w->sorted;
    size_t rows = s->start[e + 1] - s->start[e];
    size_t least = (rows + TILE - 1) / TILE;
    size_t parts = (rows + fifth / 4) / fifth;
    if (parts < least) parts = least;
    for (size_t i = 0; i < parts; i++) {
        size_t first = rows * i / parts;
        put_tile(s, (struct moe_tile){e, s->start[e] + first,
                                      rows * (i + 1) / parts - first});
    }
}

/* dispatch the tokens */
void moe_dispatch(const struct moe *moe, struct moe_work *w)
{
    size_t experts = moe->options.experts + moe->options.shared;
    count_rows(moe, w);
    place_visits(moe, w);
    w->sorted.tiles = 0;
    for (size_t e = 0; e < experts; e++)
        cut_piece(w, e, w->sorted.rows / 5 + 1);
}

/* run the experts on their rows */
/* cut the trace of a tile out */
static struct ffn_trace trace_part(const struct moe_work *w,
                                   const struct moe_tile *tile)
{
    return (struct ffn_trace){part(w->trace.pre, tile),
                              part(w->trace.hidden, tile),
                              part(w->trace.dpre, tile)};
}

/* copy and add rows */
static void copy_row(real *to, const real *row, size_t width)
{
    for (size_t d = 0; d < width; d++) to[d] = row[d];
}

static void add_row(real *to, real scale, const real *row,
                    size_t width)
{
    for (size_t d = 0; d < width; d++) to[d] += scale * row[d];
}

/* run one tile */
static void run_tile(const struct moe *moe, struct matrix x,
                     struct moe_work *w, const struct moe_tile *tile)
{
    size_t visits = moe->options.top_k + moe->options.shared;
    const size_t *visit = w->sorted.visit + tile->first;
    struct matrix in = part(w->in, tile);
    struct ffn_trace trace = trace_part(w, tile);
    for (size_t r = 0; r < tile->rows; r++)
        copy_row(matrix_row(in, r),
                 matrix_row(x, visit[r] / visits), x.cols);
    ffn_forward(&moe->expert[tile->expert], part(w->out, tile), in,
                &trace);
}

void moe_experts(const struct moe *moe, struct matrix x,
                 struct moe_work *w)
{
    expect_work(moe, x, w);
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < w->sorted.tiles; i++)
        run_tile(moe, x, w, &w->sorted.tile[i]);
}

/* bring the rows back */
/* weigh a visit */
static real weight(const struct moe *moe, const struct moe_work *w,
                   size_t t, size_t j)
{
    return j < moe->options.top_k ? matrix_row(w->kept, t)[j] : 1;
}

void moe_combine(const struct moe *moe, struct matrix y,
                 struct matrix x, const struct moe_work *w)
{
    size_t visits = moe->options.top_k + moe->options.shared;
    expect_work(moe, x, w);
    matrix_expect(y, x.rows, x.cols, "y [T, D]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        copy_row(matrix_row(y, t), matrix_row(x, t), x.cols);
        /* add the rows of token t */
        for (size_t j = 0; j < visits; j++) {
            size_t row = w->sorted.place[t * visits + j];
            if (row != CAPACITY_DROPPED)
                add_row(matrix_row(y, t), weight(moe, w, t, j),
                        matrix_row(w->out, row), x.cols);
        }
    }
}

/* take four steps forward */
void moe_forward(const struct moe *moe, struct matrix y,
                 struct matrix x, struct moe_work *work)
{
    moe_route(moe, x, work);
    moe_dispatch(moe, work);
    moe_experts(moe, x, work);
    moe_combine(moe, y, x, work);
}

/* walk the layer forward, naively */
/* take one row */
static struct matrix row_of(struct matrix m, size_t row)
{
    return (struct matrix){1, m.cols, matrix_row(m, row)};
}

void moe_forward_naive(const struct moe *moe, struct matrix y,
                       struct matrix x, struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    struct ffn_trace trace = ffn_trace_new(1, o->hidden);
    struct matrix out = matrix_new(1, x.cols);
    moe_route(moe, x, w);
    matrix_expect(y, x.rows, x.cols, "y [T, D]");
    for (size_t t = 0; t < x.rows; t++) {
        /* add up the visits of token t */
        copy_row(matrix_row(y, t), matrix_row(x, t), x.cols);
        for (size_t j = 0; j < o->top_k + o->shared; j++) {
            size_t e = host(o, w, t, j);
            if (e == CAPACITY_DROPPED) continue;
            ffn_forward(&moe->expert[e], out, row_of(x, t), &trace);
            add_row(matrix_row(y, t), weight(moe, w, t, j), out.at, x.cols);
        }
    }
    ffn_trace_free(&trace), matrix_free(&out);
}

/* walk the layer backward */
/* walk the tiles backward */
/* take an inner product */
static real inner(const real *a, const real *b, size_t width)
{
    double sum[8] = {0};
    size_t d = 0;
    for (; d + 8 <= width; d += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += (double)a[d + lane] * (double)b[d + lane];
    for (; d < width; d++) sum[d % 8] += (double)a[d] * (double)b[d];
    return (real)(((sum[0] + sum[1]) + (sum[2] + sum[3]))
                  + ((sum[4] + sum[5]) + (sum[6] + sum[7])));
}

/* walk one tile backward */
static void tile_backward(const struct moe *moe, struct matrix dy,
                          struct moe_work *w,
                          const struct moe_tile *tile)
{
    size_t k = moe->options.top_k, visits = k + moe->options.shared;
    struct ffn_trace trace = trace_part(w, tile);
    for (size_t r = tile->first; r < tile->first + tile->rows; r++) {
        size_t v = w->sorted.visit[r], t = v / visits, j = v % visits;
        /* send row r its slope */
        real gate = weight(moe, w, t, j);
        const real *from = matrix_row(dy, t);
        if (j < k)
            matrix_row(w->dkept, t)[j] = inner(from, matrix_row(w->out, r),
                                               dy.cols);
        for (size_t d = 0; d < dy.cols; d++)
            matrix_row(w->dout, r)[d] = gate * from[d];
    }
    ffn_backward_rows(&moe->expert[tile->expert], part(w->din, tile),
                      part(w->dout, tile), &trace);
}

static void tiles_backward(const struct moe *moe, struct matrix dy,
                           struct moe_work *w)
{
    for (size_t i = 0; i < w->dkept.rows * w->dkept.cols; i++)
        w->dkept.at[i] = 0; /* stays so where dropped */
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < w->sorted.tiles; i++)
        tile_backward(moe, dy, w, &w->sorted.tile[i]);
}

/* walk the weights backward */
static void weights_backward(const struct moe *moe, struct moe *grad,
                             struct moe_work *w)
{
    size_t n = moe->options.experts + moe->options.shared;
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < 2 * n; i++) {
        struct ffn *g = &grad->expert[i / 2];
        struct moe_tile all = {i / 2, w->sorted.start[i / 2],
            w->sorted.start[i / 2 + 1] - w->sorted.start[i / 2]};
        struct ffn_trace trace = trace_part(w, &all);
        if (i % 2) ffn_backward_w1(g, part(w->in, &all), &trace);
        else ffn_backward_w2(g, part(w->dout, &all), &trace);
    }
}

/* walk dispatch backward */
static void dispatch_backward(const struct moe *moe, struct matrix dx,
                              struct matrix dy,
                              const struct moe_work *w)
{
    size_t visits = moe->options.top_k + moe->options.shared;
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < dx.rows; t++) {
        copy_row(matrix_row(dx, t), matrix_row(dy, t), dx.cols);
        /* add what comes back from the rows of token t */
        for (size_t j = 0; j < visits; j++) {
            size_t row = w->sorted.place[t * visits + j];
            if (row != CAPACITY_DROPPED)
                add_row(matrix_row(dx, t), 1, matrix_row(w->din, row),
                        dx.cols);
        }
    }
}

/* walk the route backward */
static void route_backward(const struct moe *moe, struct moe *grad,
                           struct matrix dx, struct matrix x,
                           struct moe_work *w)
{
    const struct moe_options *o = &moe->options;
    capacity_gates_backward(&w->capacity, &w->routes, o->share_out,
                            w->dgate, w->dkept);
    routes_weigh_backward(&w->routes, o->gate, w->dz, w->dgate, w->z,
                          w->p);
    balance_loss_backward(w->dz, w->p, w->routes.valid, w->f, o->alpha);
    balance_z_loss_backward(w->dz, w->p, w->routes.valid, w->log_z,
                            o->zeta);
    router_backward(&moe->router, &grad->router, &w->through, w->dz, x);
    matrix_add(dx, dx, 1, w->through);
}

/* refuse what backward cannot use */
static void expect_backward(const struct moe *moe,
                            const struct moe *grad, struct matrix dx,
                            struct matrix dy, struct matrix x,
                            const struct moe_work *w)
{
    const struct moe_options *o = &moe->options, *g = &grad->options;
    expect_work(moe, x, w);
    matrix_expect(dy, x.rows, x.cols, "dy [T, D]");
    matrix_expect(dx, x.rows, x.cols, "dx [T, D]");
    matrix_expect(shape(g->experts + g->shared, g->hidden),
                  o->experts + o->shared, o->hidden,
                  "the gradient's experts [E + N, H]");
}

/* take four steps backward */
void moe_backward(const struct moe *moe, struct moe *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct moe_work *work)
{
    expect_backward(moe, grad, dx, dy, x, work);
    if (x.rows && !work->sorted.tiles
        && capacity_measure(&work->capacity, &work->routes).dropped
           < x.rows * moe->options.top_k) {
        /* ask for a forward pass */
        fprintf(stderr, "moe.c: moe_backward needs what moe_forward leaves in "
                "the work: call it first, with the same x\n");
        abort();
    }
    tiles_backward(moe, dy, work);
    weights_backward(moe, grad, work);
    dispatch_backward(moe, dx, dy, work);
    route_backward(moe, grad, dx, x, work);
}

/* walk the layer backward, naively */
/* empty a gradient */
static void clear(struct matrix m)
{
    for (size_t i = 0; i < m.rows * m.cols; i++) m.at[i] = 0;
}

static void clear_experts(struct moe *grad)
{
    size_t n = grad->options.experts + grad->options.shared;
    for (size_t e = 0; e < n; e++) {
        clear(grad->expert[e].w1), clear(grad->expert[e].b1);
        clear(grad->expert[e].w2), clear(grad->expert[e].b2);
    }
}

/* add one gradient to another */
static void add_ffn(struct ffn *to, const struct ffn *from)
{
    matrix_add(to->w1, to->w1, 1, from->w1);
    matrix_add(to->b1, to->b1, 1, from->b1);
    matrix_add(to->w2, to->w2, 1, from->w2);
    matrix_add(to->b2, to->b2, 1, from->b2);
}

/* add one visit's gradients */
static void visit_back(const struct moe *moe, struct moe *grad,
                       struct moe *one, struct ffn_trace *trace,
                       struct matrix room, struct matrix dx,
                       struct matrix dy, struct matrix x,
                       struct moe_work *w, size_t t, size_t j)
{
    struct matrix out = row_of(room, 0), dout = row_of(room, 1);
    struct matrix din = row_of(room, 2);
    size_t e = host(&moe->options, w, t, j);
    if (j < moe->options.top_k) matrix_row(w->dkept, t)[j] = 0;
    if (e == CAPACITY_DROPPED) return;
    /* run the visit forward and back */
    ffn_forward(&moe->expert[e], out, x, trace);
    if (j < moe->options.top_k)
        matrix_row(w->dkept, t)[j] = inner(dy.at, out.at, dy.cols);
    for (size_t d = 0; d < dy.cols; d++)
        dout.at[d] = weight(moe, w, t, j) * dy.at[d];
    ffn_backward(&moe->expert[e], &one->expert[e], din, dout, x, trace);
    add_ffn(&grad->expert[e], &one->expert[e]);
    matrix_add(dx, dx, 1, din);
}

/* walk back, one visit at a time */
void moe_backward_naive(const struct moe *moe, struct moe *grad,
                        struct matrix dx, struct matrix dy,
                        struct matrix x, struct moe_work *w)
{
    struct random unused = random_seeded(0);
    expect_backward(moe, grad, dx, dy, x, w);
    struct moe one = moe_new(moe->options, &unused);
    struct ffn_trace trace = ffn_trace_new(1, moe->options.hidden);
    struct matrix room = matrix_new(3, x.cols);
    clear_experts(grad);
    /* walk every visit of every token back */
    size_t visits = moe->options.top_k + moe->options.shared;
    for (size_t t = 0; t < x.rows; t++) {
        copy_row(matrix_row(dx, t), matrix_row(dy, t), x.cols);
        for (size_t j = 0; j < visits; j++)
            visit_back(moe, grad, &one, &trace, room, row_of(dx, t),
                       row_of(dy, t), row_of(x, t), w, t, j);
    }
    route_backward(moe, grad, dx, x, w);
    moe_free(&one), ffn_trace_free(&trace), matrix_free(&room);
}

/* count the layer's cost */
uint64_t moe_flops(const struct moe_options *o, size_t rows)
{
    return rows * ffn_flops_per_token(o->width, o->hidden);
}

/* count the layer's weights */
uint64_t moe_parameters(const struct moe_options *o)
{
    return o->width * o->experts + (o->experts + o->shared)
         * ffn_parameters(o->width, o->hidden);
}

uint64_t moe_active_parameters(const struct moe_options *o)
{
    return o->width * o->experts + (o->top_k + o->shared)
         * ffn_parameters(o->width, o->hidden);
}
