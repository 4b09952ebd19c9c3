/* What chapter 11's suite starts on M ranks: mpirun -np M build/ranks. Every rank runs every
 * case; a failure on one of them fails all. MPI's own functions are wrapped (PMPI), to count
 * what they carry. With a word, one rank does something wrong: `build/ranks die`. */
#include <math.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <CUnit/Basic.h>
#include "check.h"
#include "alltoall.h"
#include "owner.h"
#include "traffic.h"

#ifdef REAL_DOUBLE
#define EPSILON 2.3e-16
#else
#define EPSILON 1.2e-7
#endif
#ifdef CHECK_FAST
enum { SAME_BITS = 0 }; /* a fast product's bits may depend on its rows */
#else
enum { SAME_BITS = 1 };
#endif

static struct { uint64_t *to, reduced, messages; const char *fault; int rank, calls; } seen;

/* Rank q of a communicator gets so many bytes. */
static void see(MPI_Comm comm, int q, uint64_t n)
{
    MPI_Group part, world;
    int rank, size;
    PMPI_Comm_group(comm, &part), PMPI_Comm_group(MPI_COMM_WORLD, &world);
    PMPI_Group_translate_ranks(part, 1, &q, world, &rank);
    PMPI_Group_size(part, &size);
    PMPI_Group_free(&part), PMPI_Group_free(&world);
    seen.to[rank] += n;
    seen.messages += q == 0 ? (uint64_t)size - 1 : 0; /* once a call */
}

static int size_in(MPI_Comm comm)
{
    int size;
    PMPI_Comm_size(comm, &size);
    return size;
}

static uint64_t size_of(MPI_Datatype type, int count)
{
    int size;
    PMPI_Type_size(type, &size);
    return (uint64_t)size * (uint64_t)count;
}

static int is_fault(const char *name) { return seen.fault && seen.rank == 1 && !strcmp(seen.fault, name); }

int MPI_Alltoall(const void *from, int n, MPI_Datatype type, void *to, int m, MPI_Datatype other, MPI_Comm comm)
{
    for (int q = 0; q < size_in(comm); q++) see(comm, q, size_of(type, n));
    if (is_fault("announce")) ((unsigned *)(uintptr_t)from)[0] = 100000; /* 4 were due */
    return PMPI_Alltoall(from, n, type, to, m, other, comm);
}

int MPI_Alltoallv(const void *from, const int n[], const int at[], MPI_Datatype type, void *to, const int m[],
                  const int into[], MPI_Datatype other, MPI_Comm comm)
{
    int changed[64];
    for (int q = 0; q < size_in(comm); q++) see(comm, q, size_of(type, n[q])), changed[q] = n[q];
    if (is_fault("die") && seen.calls++ == 3) raise(SIGKILL);
    if (is_fault("crash") && seen.calls++ == 3) raise(SIGSEGV);
    if (is_fault("hang") && seen.calls++ == 3) for (;;) pause();
    if (is_fault("short") && n[0] > 0) changed[0]--;
    if (is_fault("long")) changed[0]++;
    return PMPI_Alltoallv(from, changed, at, type, to, m, into, other, comm);
}

int MPI_Ialltoallv(const void *from, const int n[], const int at[], MPI_Datatype type, void *to, const int m[],
                   const int into[], MPI_Datatype other, MPI_Comm comm, MPI_Request *request)
{
    for (int q = 0; q < size_in(comm); q++) see(comm, q, size_of(type, n[q]));
    return PMPI_Ialltoallv(from, n, at, type, to, m, into, other, comm, request);
}

int MPI_Allreduce(const void *from, void *to, int n, MPI_Datatype type, MPI_Op how, MPI_Comm comm)
{
    seen.reduced += size_of(type, n);
    return PMPI_Allreduce(from, to, n, type, how, comm);
}

int MPI_Allgather(const void *from, int n, MPI_Datatype type, void *to, int m, MPI_Datatype other, MPI_Comm comm)
{
    seen.reduced += size_of(type, n);
    return PMPI_Allgather(from, n, type, to, m, other, comm);
}

/* A layer on all ranks, and the same on one: every rank draws the same. */
struct both {
    struct moe_options o;
    size_t tokens, first, count; /* T; of this rank */
    int equal;
    struct matrix x, dy, y, dx, y1, dx1; /* [T, D] whole, the ranks' part, one rank's */
    struct moe m, grad, grad1;
    struct moe_work work;
    struct alltoall w;
};

static struct both make(struct moe_options o, size_t tokens, int equal, struct random *r)
{
    struct both b = {.o = o, .tokens = tokens, .equal = equal};
    b.first = owner_first(tokens, alltoall_ranks(), alltoall_rank());
    b.count = owner_count(tokens, alltoall_ranks(), alltoall_rank());
    b.x = check_matrix(r, tokens, o.width, 1), b.dy = check_matrix(r, tokens, o.width, 1);
    b.y = matrix_new(tokens, o.width), b.dx = matrix_new(tokens, o.width);
    b.y1 = matrix_new(tokens, o.width), b.dx1 = matrix_new(tokens, o.width);
    b.m = moe_new(o, r), b.grad = moe_new(o, r), b.grad1 = moe_new(o, r);
    for (size_t e = 0; e < o.experts + o.shared; e++) /* biases start at 0 */
        for (size_t d = 0; d < o.width; d++) b.m.expert[e].b2.at[d] = (real)random_symmetric(r, 1);
    b.work = moe_work_new(&o, tokens);
    b.w = alltoall_new(&o, b.count, equal ? ALLTOALL_EQUAL : ALLTOALL_EXACT, 0);
    return b;
}

static void done(struct both *b)
{
    struct matrix *all[] = {&b->x, &b->dy, &b->y, &b->dx, &b->y1, &b->dx1};
    for (size_t i = 0; i < 6; i++) matrix_free(all[i]);
    moe_free(&b->m), moe_free(&b->grad), moe_free(&b->grad1);
    moe_work_free(&b->work), alltoall_free(&b->w);
}

static struct matrix part(const struct both *b, struct matrix m) { return matrix_rows(m, b->first, b->count); }

static void pass(struct both *b)
{
    alltoall_forward(&b->m, part(b, b->y), part(b, b->x), &b->w);
    alltoall_backward(&b->m, &b->grad, part(b, b->dx), part(b, b->dy), part(b, b->x), &b->w);
}

/* Each rank's tokens fill slots of their own. */
static void fill_groups(struct both *b)
{
    struct routes *all = &b->work.routes;
    size_t ranks = alltoall_ranks(), k = b->o.top_k;
    for (size_t q = 0; q < ranks; q++) {
        size_t first = owner_first(b->tokens, ranks, q), n = owner_count(b->tokens, ranks, q);
        struct routes group = *all;
        group.tokens = group.valid = n, group.expert += first * k, group.gate = matrix_rows(all->gate, first, n);
        struct capacity c = capacity_new(n, b->o.experts, k);
        capacity_fill(&c, &group, b->w.slots, b->o.order, matrix_rows(b->work.p, first, n));
        for (size_t i = 0; i < n * k; i++) b->work.capacity.slot[first * k + i] = c.slot[i];
        capacity_free(&c);
    }
    capacity_gates(&b->work.capacity, all, b->o.share_out, b->work.kept);
}

static void pass_on_one(struct both *b)
{
    struct moe m = b->m;
    if (b->equal) m.options.factor = 0;
    moe_route(&m, b->x, &b->work);
    if (b->equal && b->o.factor > 0) fill_groups(b);
    moe_dispatch(&b->work), moe_experts(&m, b->x, &b->work), moe_combine(b->y1, b->x, &b->work);
    moe_backward(&m, &b->grad1, b->dx1, b->dy, b->x, &b->work);
}

static double block_gap(struct ffn *a, struct ffn *b)
{
    double most = fmax(check_gap(a->w1, b->w1), check_gap(a->b1, b->b1));
    return fmax(most, fmax(check_gap(a->w2, b->w2), check_gap(a->b2, b->b2)));
}

/* y, dx and the experts to the bit; what ranks sum, within (T + K) epsilon. */
static void compare(struct both *b)
{
    double close = (double)(b->tokens + b->o.top_k) * EPSILON, same = SAME_BITS ? 0 : close;
    CU_ASSERT(check_gap(part(b, b->y1), part(b, b->y)) <= same);
    /* the losses' slopes are sums over the ranks: dx has their rounding */
    CU_ASSERT(check_gap(part(b, b->dx1), part(b, b->dx)) <= (b->o.alpha != 0 || b->o.zeta != 0 ? close : same));
    for (size_t i = 0; i < b->w.own; i++)
        CU_ASSERT(block_gap(&b->grad1.expert[b->w.first + i], &b->grad.expert[b->w.first + i]) <= same);
    for (size_t e = b->o.experts; e < b->o.experts + b->o.shared; e++)
        CU_ASSERT(block_gap(&b->grad1.expert[e], &b->grad.expert[e]) <= close);
    CU_ASSERT(check_gap(b->grad1.router.w, b->grad.router.w) <= close);
    CU_ASSERT(fabs(b->w.home.aux - b->work.aux) < 1e-5 && fabs(b->w.home.z_loss - b->work.z_loss) < 1e-4);
}

static struct moe_options drawn(struct random *r)
{
    static const size_t ks[] = {1, 2, 4};
    struct moe_options o = {.width = 1 + random_below(r, 7), .hidden = 1 + random_below(r, 9),
        .shared = random_below(r, 2), .gate = (enum routes_gate)random_below(r, 3),
        .activation = random_below(r, 2) ? FFN_GELU : FFN_RELU, .share_out = (int)random_below(r, 2)};
    o.top_k = ks[random_below(r, 3)], o.experts = o.top_k + random_below(r, 9);
    o.order = (enum capacity_order)random_below(r, 4);
    if (random_below(r, 2)) o.alpha = random_uniform(r), o.zeta = random_uniform(r);
    return o;
}

static void is_the_layer(int equal, int drops, int rounds)
{
    struct random r = check_random();
    for (int round = 0; round < rounds; round++) {
        struct moe_options o = drawn(&r);
        size_t tokens = random_below(&r, round % 4 ? 20 : alltoall_ranks());
        if (drops) o.factor = (double)(1 + random_below(&r, 8)) / 4;
        if (drops && !equal) o.order = random_below(&r, 2) ? CAPACITY_POSITION : CAPACITY_TOKENS;
        struct both b = make(o, tokens, equal, &r);
        pass(&b), pass_on_one(&b), compare(&b);
        done(&b);
    }
}

/* 200 seeds at four ranks; elsewhere, and under the sanitizers, fewer. */
static int rounds(void) { return CHECK_QUICK ? 30 : alltoall_ranks() == 4 ? 200 : 40; }

static void exact_dropless(void) { is_the_layer(0, 0, rounds()); }
static void exact_dropping(void) { is_the_layer(0, 1, rounds()); }
static void equal_dropless(void) { is_the_layer(1, 0, rounds() / 4); }
static void equal_dropping(void) { is_the_layer(1, 1, rounds()); }

/* Every K with every gate, at sizes that no number of ranks divides. */
static void all_gates(void)
{
    struct random r = check_random();
    for (size_t k = 1; k <= 4; k *= 2)
        for (int gate = 0; gate < 3; gate++)
            for (int how = 0; how < 3; how++) {
                struct moe_options o = {.width = 6, .hidden = 5, .experts = 7, .top_k = k, .shared = 1,
                    .gate = (enum routes_gate)gate, .activation = FFN_GELU, .factor = how ? 1.25 : 0};
                struct both b = make(o, 13, how == 2, &r);
                pass(&b), pass_on_one(&b), compare(&b);
                done(&b);
            }
}

/* All tokens choose expert 0, or the last, by one feature that all have. */
static void one_rank_gets_all(void)
{
    struct random r = check_random();
    for (int last = 0; last < 2; last++) {
        struct moe_options o = {.width = 4, .hidden = 3, .experts = 6, .top_k = 1, .activation = FFN_RELU};
        struct both b = make(o, 11, 0, &r);
        size_t e = last ? o.experts - 1 : 0;
        matrix_clear(b.m.router.w);
        for (size_t t = 0; t < b.tokens; t++) matrix_row(b.x, t)[2] = 1;
        matrix_row(b.m.router.w, 2)[e] = 5;
        pass(&b), pass_on_one(&b), compare(&b);
        CU_ASSERT_EQUAL(b.w.rows, e >= b.w.first && e < b.w.first + b.w.own ? b.tokens : 0);
        done(&b);
    }
}

/* Others' experts are not needed; a NaN in one would show. */
static void only_own_experts(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 4, .hidden = 3, .experts = 5, .top_k = 2, .shared = 1, .activation = FFN_GELU};
    struct both b = make(o, 9, 0, &r);
    pass_on_one(&b);
    alltoall_keep(&b.m), alltoall_keep(&b.grad);
    pass(&b);
    CU_ASSERT(check_gap(part(&b, b.y1), part(&b, b.y)) <= (SAME_BITS ? 0 : 12 * EPSILON));
    for (size_t e = 0; e < o.experts; e++)
        CU_ASSERT_EQUAL(b.m.expert[e].w1.at == NULL, owner_of(o.experts, alltoall_ranks(), e) != alltoall_rank());
    done(&b);
}

static void same_bits_again(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 8, .hidden = 9, .experts = 7, .top_k = 2, .shared = 1, .alpha = 0.1,
        .zeta = 0.1, .activation = FFN_GELU};
    struct both b = make(o, 50, 0, &r);
    struct matrix y = matrix_new(50, 8), dx = matrix_new(50, 8), router = matrix_new(8, 7), w1 = matrix_new(8, 9);
    for (int round = 0; round < 10; round++) {
        pass(&b);
        if (round) {
            CU_ASSERT(check_gap(y, b.y) == 0 && check_gap(dx, b.dx) == 0);
            CU_ASSERT(check_gap(router, b.grad.router.w) == 0 && check_gap(w1, b.grad.expert[7].w1) == 0);
        }
        row_copy(y.at, b.y.at, 400), row_copy(dx.at, b.dx.at, 400);
        row_copy(router.at, b.grad.router.w.at, 56), row_copy(w1.at, b.grad.expert[7].w1.at, 72);
    }
    matrix_free(&y), matrix_free(&dx), matrix_free(&router), matrix_free(&w1), done(&b);
}

/* The chapter counts what MPI carries, and rows are those of the traffic matrix. */
static void bytes(void)
{
    struct random r = check_random();
    for (int round = 0; round < 20; round++) {
        struct moe_options o = drawn(&r);
        int equal = (int)random_below(&r, 2);
        if (random_below(&r, 2)) o.factor = 1;
        o.order = CAPACITY_POSITION;
        size_t ranks = alltoall_ranks(), me = alltoall_rank();
        struct both b = make(o, 3 + random_below(&r, 30), equal, &r);
        struct traffic t = traffic_new(ranks);
        for (size_t q = 0; q < ranks; q++) seen.to[q] = 0;
        seen.reduced = seen.messages = 0;
        pass(&b);
        CU_ASSERT_EQUAL(seen.reduced, b.w.reduced);
        CU_ASSERT(seen.messages == b.w.messages && b.w.messages == (equal ? 4 : 5) * (ranks - 1));
        for (size_t q = 0; q < ranks; q++) CU_ASSERT_EQUAL(seen.to[q], b.w.sent[q]);
        pass_on_one(&b);
        traffic_count(&t, &b.work.routes, &b.work.capacity);
        for (size_t q = 0; q < ranks; q++) { /* out and back, forward and backward, and once the counts */
            uint64_t rows = 2 * (t.rows[me * ranks + q] + t.rows[q * ranks + me]);
            uint64_t counts = b.w.most * sizeof(unsigned);
            if (equal) rows = 4 * b.w.most * b.w.slots, counts = 0;
            CU_ASSERT_EQUAL(b.w.sent[q], rows * o.width * sizeof(real) + counts);
        }
        CU_ASSERT(equal || b.w.rows == traffic_held(&t, me));
        CU_ASSERT(!equal || (ranks - 1) * b.w.most * b.w.slots == traffic_padded(ranks, o.experts, b.w.slots));
        traffic_free(&t), done(&b);
    }
}

/* By two levels: the same bits, fewer messages, and still what MPI carries. */
static void two_levels(void)
{
    struct random r = check_random();
    size_t ranks = alltoall_ranks();
    for (size_t node = 1; node <= ranks; node++)
        for (int round = 0; ranks % node == 0 && round < 12; round++) {
            struct moe_options o = drawn(&r);
            o.order = CAPACITY_POSITION, o.factor = round % 2;
            struct both b = make(o, random_below(&r, 25), 0, &r);
            alltoall_free(&b.w);
            b.w = alltoall_new(&o, b.count, ALLTOALL_TWO, node);
            for (size_t q = 0; q < ranks; q++) seen.to[q] = 0;
            seen.messages = 0;
            pass(&b), pass_on_one(&b), compare(&b);
            CU_ASSERT_EQUAL(b.w.messages, 5 * (node - 1 + ranks / node - 1));
            CU_ASSERT_EQUAL(b.w.messages, seen.messages);
            for (size_t q = 0; q < ranks; q++) CU_ASSERT_EQUAL(seen.to[q], b.w.sent[q]);
            done(&b);
        }
}

static void halves(void)
{
    struct random r = check_random();
    for (int round = 0; round < 10; round++) {
        struct moe_options o = drawn(&r);
        size_t tokens = random_below(&r, 30);
        struct both a = make(o, tokens, 0, &r), b = make(o, 2 * tokens, 0, &r);
        struct matrix x[2] = {part(&a, a.x), part(&b, b.x)}, y[2] = {part(&a, a.y), part(&b, b.y)};
        struct alltoall w[2] = {a.w, b.w};
        alltoall_forward_two(&a.m, y, x, w);
        alltoall_forward(&a.m, part(&a, a.y1), x[0], &a.w);
        alltoall_forward(&a.m, part(&b, b.y1), x[1], &b.w);
        CU_ASSERT(check_gap(y[0], part(&a, a.y1)) == 0 && check_gap(y[1], part(&b, b.y1)) == 0);
        done(&a), done(&b);
    }
}

static void go_wrong(void)
{
    struct random r = check_random();
    struct moe_options o = {.width = 4, .hidden = 3, .experts = 6, .top_k = 2, .activation = FFN_GELU};
    if (is_fault("options")) o.hidden = 5;
    struct both b = make(o, 12, 0, &r);
    matrix_clear(b.m.router.w); /* all tokens to experts 0 and 1 */
    if (is_fault("shape")) b.count--;
    pass(&b);
}

int main(int argc, char **argv)
{
    static const struct { const char *claim; void (*run)(void); } cases[] = {
        {"exact messages: the layer, dropless", exact_dropless},
        {"exact messages: the layer, with the whole batch's capacity", exact_dropping},
        {"equal messages: the layer, dropless", equal_dropless},
        {"equal messages: the layer, with each rank's capacity", equal_dropping},
        {"every K with every gate", all_gates}, {"one rank gets all", one_rank_gets_all},
        {"a rank needs its own experts only", only_own_experts},
        {"the same bits again", same_bits_again}, {"bytes as MPI sees them", bytes},
        {"two levels are the same bits", two_levels}, {"two halves are two batches", halves}};
    enum { CASES = sizeof cases / sizeof *cases };
    seen.fault = argc > 1 ? argv[1] : NULL;
    alltoall_begin(seen.fault ? 2 : 120);
    seen.rank = (int)alltoall_rank();
    seen.to = calloc(alltoall_ranks(), sizeof *seen.to);
    if (seen.fault) {
        go_wrong(), alltoall_end();
        return 0;
    }
    if (CU_initialize_registry() != CUE_SUCCESS) return 1;
    CU_pSuite suite = CU_add_suite("ranks", NULL, NULL);
    for (size_t i = 0; i < CASES; i++) CU_add_test(suite, cases[i].claim, cases[i].run);
    CU_run_all_tests();
    double failures = CU_get_number_of_failures(), all[64], sum = 0;
    alltoall_gather(all, &failures, 1);
    for (size_t q = 0; q < alltoall_ranks(); q++) sum += all[q];
    if (failures > 0) CU_basic_show_failures(CU_get_failure_list());
    if (alltoall_rank() == 0)
        printf("%d cases on %zu ranks, %u assertions each, %.0f failed\n", (int)CASES, alltoall_ranks(),
               CU_get_number_of_asserts(), sum);
    CU_cleanup_registry();
    free(seen.to);
    alltoall_end();
    return sum > 0;
}
