/* Chapter 11: experts on other ranks, what crosses the wire, and what
 * that costs. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <unistd.h>
#include "charlm.h"
#include "owner.h"
#include "placement.h"
#include "print.h"
#include "program.h"
#include "router.h"
#include "stop.h"
#include "traffic.h"
#include "wire.h"
#ifdef ALLTOALL_MPI
#include "alltoall.h"
#endif

extern const struct lesson_table lessons11;

static size_t ranks, tokens = 512, hidden = 64, experts = 8, top_k = 2,
    nodes = 2, keep, how, node = 2, steps = 20, seed = LESSON_BOOK_SEED;
static double hot, factor = 1.25, speed = 400;
static const char *const messages[] = {"exact", "equal", "two-level",
                                       NULL};

static const struct args_option options[] = {
    {"--ranks", "ranks to start, M; 0: count for 4, start none",
     ARGS_COUNT, &ranks, 0, 64, NULL},
    {"--tokens", "characters to route, T", ARGS_COUNT, &tokens,
     1, 65536, NULL},
    {"--hidden", "hidden width of an expert, H", ARGS_COUNT, &hidden,
     1, 4096, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 16, NULL},
    {"--hot", "added to expert 0's logits, on the average",
     ARGS_NUMBER, &hot, 0, 100, NULL},
    {"--messages", "as long as needed, of one size, or by two levels",
     ARGS_CHOICE, &how, 0, 0, messages},
    {"--node", "ranks of a node, for two levels", ARGS_COUNT, &node,
     1, 64, NULL},
    {"--capacity-factor", "of equal messages", ARGS_NUMBER, &factor,
     0.01, 100, NULL},
    {"--nodes", "nodes that hold the experts", ARGS_COUNT, &nodes,
     1, 64, NULL},
    {"--keep", "nodes that a token may choose on; 0: all", ARGS_COUNT,
     &keep, 0, 64, NULL},
    {"--steps", "timed passes of the ranks", ARGS_COUNT, &steps,
     1, 10000, NULL},
    {"--speed", "of the model's experts, 10^12 operations a second",
     ARGS_NUMBER, &speed, 1, 100000, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static void check(const struct args *args)
{
    size_t few = nodes ? experts / nodes : 0;
    if (top_k > experts)
        args_reject(args, "--top-k", "--top-k 1", "must be from 1 to "
            "the number of experts, %zu, got %zu", experts, top_k);
    if (!capacity_exact(factor))
        args_reject(args, "--capacity-factor", "--capacity-factor 1.25",
            "must have at most six decimals, got %.10g", factor);
    if (nodes > experts)
        args_reject(args, "--nodes", "--nodes 1", "must be from 1 to "
            "the number of experts, %zu, got %zu", experts, nodes);
    if (ranks && ranks % node && how == 2)
        args_reject(args, "--node", "--node 1", "must divide the %zu "
            "ranks, got %zu", ranks, node);
    if (keep > nodes || (keep && keep * few < top_k))
        args_reject(args, "--keep", "--keep 0", "must be 0, or up to "
            "%zu nodes that have %zu experts together, got %zu", nodes,
            top_k, keep);
}

static struct run {
    struct matrix x, z, p; /* [T, D] [T, E] [T, E] */
    struct router router;
    struct routes routes;
} run;

static struct run make_run(uint64_t from, double push, size_t limit)
{
    struct random r = random_seeded(from);
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct run new = {matrix_new(tokens, CHARLM_WIDTH),
        matrix_new(tokens, experts), matrix_new(tokens, experts),
        router_new(CHARLM_WIDTH, experts, 1, &r),
        routes_new(tokens, experts, top_k)};
    char *text = room(tokens + 2, 1);
    charlm_text(text, tokens + 1, from);
    charlm_vectors(&model, new.x, text);
    /* push the tokens toward expert 0 */
    double mean[CHARLM_WIDTH] = {0}, square = 0;
    for (size_t i = 0; i < tokens * CHARLM_WIDTH; i++)
        mean[i % CHARLM_WIDTH] += (double)new.x.at[i] / (double)tokens;
    for (size_t d = 0; d < CHARLM_WIDTH; d++) square += mean[d] * mean[d];
    for (size_t d = 0; d < CHARLM_WIDTH; d++)
        matrix_row(new.router.w, d)[0] += (real)(push * mean[d] / square);
    router_forward(&new.router, new.z, new.x);
    if (limit)
        traffic_limit(new.z, nodes, limit,
                      top_k > limit ? top_k / limit : 1);
    routes_fill(&new.routes, GATE_RENORM, new.p, new.z);
    charlm_free(&model), free(text);
    return new;
}

static void free_run(struct run *r)
{
    matrix_free(&r->x), matrix_free(&r->z), matrix_free(&r->p);
    router_free(&r->router), routes_free(&r->routes);
}

enum { ROW = CHARLM_WIDTH * 4 }; /* bytes of a row of floats */

static size_t over(void) { return ranks ? ranks : 4; }

/* A rank's tokens fill slots of their own; what is dropped, in all. */
static size_t fill_parts(struct traffic *traffic, const struct run *r,
                         size_t slots)
{
    size_t m = over(), dropped = 0;
    struct capacity all = capacity_new(tokens, experts, top_k);
    for (size_t rank = 0; rank < m; rank++) {
        size_t first = owner_first(tokens, m, rank);
        size_t n = owner_count(tokens, m, rank);
        struct routes part = r->routes;
        part.tokens = part.valid = n;
        part.expert += first * top_k;
        part.gate = matrix_rows(part.gate, first, n);
        struct capacity c = capacity_new(n, experts, top_k);
        capacity_fill(&c, &part, slots, CAPACITY_POSITION,
                      (struct matrix){0});
        dropped += capacity_measure(&c, &part).dropped;
        for (size_t i = 0; i < n * top_k; i++)
            all.slot[first * top_k + i] = c.slot[i];
        capacity_free(&c);
    }
    traffic_count(traffic, &r->routes, &all);
    capacity_free(&all);
    return dropped;
}

static struct {
    struct traffic traffic, kept; /* exact; and in equal messages */
    size_t crossing, busiest, held, slots, padded, dropped, choices,
        row;
    double skew, hot_share, nodes, nodes_expected, nodes_saved;
    double dropped_share;
    double packed, copied, touched, together, together_skew;
    double straggler, worst;
} found;

static double skew_of(const struct traffic *t)
{
    double all = 0;
    for (size_t r = 0; r < t->ranks; r++)
        all += (double)traffic_held(t, r);
    return all > 0 ? (double)traffic_held(t, traffic_busiest(t))
        * (double)t->ranks / all : 1;
}

static double hot_share(const struct run *r)
{
    size_t n = 0;
    for (size_t i = 0; i < tokens * top_k; i++)
        n += r->routes.expert[i] == 0;
    return (double)n / (double)(tokens * top_k);
}

static void find_placement(void)
{
    size_t m = over(), n = experts + m - experts % m;
    double *load = room(experts, sizeof *load);
    size_t *slot = room(n, sizeof *slot);
    struct placement p = {experts, 1, 1, m, experts};
    for (size_t i = 0; i < tokens * top_k; i++)
        load[run.routes.expert[i]]++;
    found.packed = found.skew;
    if (experts % m == 0) {
        placement_balance(slot, load, p);
        found.packed = placement_skew(slot, load, p);
    }
    p.slots = n;
    placement_balance(slot, load, p);
    found.copied = placement_skew(slot, load, p);
    for (size_t e = 0; e < experts; e++) slot[e] = e;
    found.touched = placement_touched(slot, &run.routes, m);
    placement_together(slot, &run.routes, m);
    found.together = placement_touched(slot, &run.routes, m);
    p.slots = experts;
    found.together_skew = placement_skew(slot, load, p);
    free(load), free(slot);
}

enum { BATCHES = 40 };

static void find_straggler(void)
{
    struct traffic t = traffic_new(over());
    for (size_t i = 1; i <= BATCHES; i++) {
        struct run other = make_run(seed + i, hot, keep);
        traffic_count(&t, &other.routes, NULL);
        double skew = skew_of(&t);
        found.straggler += skew / BATCHES;
        found.worst = fmax(found.worst, skew);
        free_run(&other);
    }
    traffic_free(&t);
}

static int prepare(void)
{
    size_t m = over(), *count = room(nodes + 1, sizeof *count);
    run = make_run(seed, hot, keep);
    found.traffic = traffic_new(m), found.kept = traffic_new(m);
    traffic_count(&found.traffic, &run.routes, NULL);
    found.row = ROW, found.choices = tokens * top_k;
    found.crossing = traffic_crossing(&found.traffic);
    found.busiest = traffic_busiest(&found.traffic);
    found.held = traffic_held(&found.traffic, found.busiest);
    found.skew = skew_of(&found.traffic);
    found.slots = capacity_slots(factor, owner_most(tokens, m), top_k,
                                 experts);
    found.dropped = fill_parts(&found.kept, &run, found.slots);
    found.dropped_share = (double)found.dropped
        / (double)found.choices;
    found.padded = m * traffic_padded(m, experts, found.slots);
    found.hot_share = hot_share(&run);
    struct run free_to = make_run(seed, hot, 0); /* choose anywhere */
    traffic_nodes(count, &free_to.routes, nodes);
    found.nodes_saved = traffic_mean(count, nodes);
    free_run(&free_to);
    traffic_nodes(count, &run.routes, nodes);
    found.nodes = traffic_mean(count, nodes);
    found.nodes_saved = 1 - found.nodes / found.nodes_saved;
    found.nodes_expected = traffic_expected(experts, top_k, nodes);
    find_placement();
    free(count);
    return 0;
}

static void done(void)
{
    free_run(&run);
    traffic_free(&found.traffic), traffic_free(&found.kept);
}

static void print_matrix(FILE *out, const struct traffic *t)
{
    size_t m = t->ranks < 16 ? t->ranks : 16;
    fprintf(out, "    from  to");
    for (size_t q = 0; q < m; q++) fprintf(out, " %5zu", q);
    fprintf(out, "   sent\n");
    for (size_t r = 0; r < m; r++) {
        fprintf(out, "    %4zu    ", r);
        for (size_t q = 0; q < m; q++)
            fprintf(out, " %5zu", t->rows[r * t->ranks + q]);
        fprintf(out, "  %5zu\n", traffic_sent(t, r));
    }
    fprintf(out, "    sum     ");
    for (size_t q = 0; q < m; q++)
        fprintf(out, " %5zu", traffic_held(t, q));
    fprintf(out, "\n");
}

static void print_parts(FILE *out)
{
    size_t m = over();
    fprintf(out, "T = %zu, D = %d, E = %zu, K = %zu, M = %zu, a row of "
            "%d bytes\n", tokens, CHARLM_WIDTH, experts, top_k, m, ROW);
    print_part(out, "Who owns what");
    for (size_t r = 0; r < m && r < 16; r++)
        fprintf(out, "    rank %-2zu  %4zu tokens from %-5zu  "
                "%3zu experts from %zu\n", r, owner_count(tokens, m, r),
                owner_first(tokens, m, r), owner_count(experts, m, r),
                owner_first(experts, m, r));
}

static void print_counts(FILE *out)
{
    size_t m = over();
    print_parts(out);
    print_part(out, "The traffic matrix, in rows");
    print_matrix(out, &found.traffic);
    fprintf(out, "    busiest: rank %zu, whose experts get %zu rows, "
            "%.2f times the mean\n", found.busiest, found.held,
            found.skew);
    print_part(out, "On the wire, one pass forward, in bytes");
    fprintf(out, "    exact messages  %8zu out, as many back\n",
            found.crossing * ROW);
    fprintf(out, "    equal messages  %8zu out, as many back; %zu "
            "slots an expert\n    and a rank, %zu of %zu choices "
            "dropped\n", found.padded * ROW, found.slots,
            found.dropped, found.choices);
    print_part(out, "Where experts are");
    fprintf(out, "    most loaded rank over the mean: as numbered "
            "%.2f, packed by load\n    %.2f, with one more slot on "
            "each rank for copies %.2f\n", found.skew, found.packed,
            found.copied);
    fprintf(out, "    ranks that a token's rows go to %.2f; with those "
            "chosen\n    together placed together %.2f\n",
            found.touched, found.together);
    fprintf(out, "    nodes that a token touches, of %zu, %.2f\n",
            nodes, found.nodes);
    print_part(out, "On real ranks");
    fprintf(out, "    make chapter11 ARGS=\"--ranks %zu\" starts them; "
            "./setup mpi first\n", m);
}

static char **arguments;

#ifdef ALLTOALL_MPI
static _Noreturn void start_ranks(int count)
{
    static const char *const settings[][2] = {
        {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
        {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
        {"OMPI_MCA_rmaps_base_oversubscribe", "1"},
        {"PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe"},
        {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
        {"OMP_NUM_THREADS", "1"}};
    char number[24], **command = room((size_t)count + 4,
                                      sizeof *command);
    static char mpirun[] = "mpirun", np[] = "-np";
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        setenv(settings[i][0], settings[i][1], 0);
    snprintf(number, sizeof number, "%zu", ranks);
    command[0] = mpirun, command[1] = np, command[2] = number;
    for (int i = 0; i < count; i++) command[3 + i] = arguments[i];
    fflush(NULL);
    execvp(command[0], command);
    perror("chapter11: mpirun cannot be started (try ./setup mpi)");
    exit(2);
}

/* The layer that the ranks share: all draw it, each keeps its part. */
static struct moe_options layer_options(void)
{
    return (struct moe_options){.width = CHARLM_WIDTH, .hidden = hidden,
        .experts = experts, .top_k = top_k, .gate = GATE_RENORM,
        .activation = FFN_GELU, .factor = how == 1 ? factor : 0};
}

struct shared { struct moe m, grad; struct matrix x, y, dx, dy, all; };

static struct shared make_shared(void)
{
    struct random r = random_seeded(seed);
    size_t n = owner_count(tokens, ranks, alltoall_rank());
    size_t first = owner_first(tokens, ranks, alltoall_rank());
    struct moe_options o = layer_options();
    struct shared s = {.m = {.options = o}, .grad = {.options = o}};
    s.m = moe_new(o, &r), s.grad = moe_new(o, &r);
    matrix_add(s.m.router.w, run.router.w, 0, run.router.w);
    s.all = matrix_new(3 * tokens + 3 * n, CHARLM_WIDTH);
    s.x = matrix_rows(run.x, first, n);
    s.y = matrix_rows(s.all, 3 * tokens, n);
    s.dx = matrix_rows(s.all, 3 * tokens + n, n);
    for (size_t i = 0; i < tokens * CHARLM_WIDTH; i++)
        s.all.at[i] = (real)random_normal(&r);
    s.dy = matrix_rows(s.all, first, n);
    return s;
}

static void free_shared(struct shared *s)
{
    moe_free(&s->m), moe_free(&s->grad), matrix_free(&s->all);
}

/* The largest difference from a layer on one rank. */
static double apart(struct matrix mine, struct matrix whole)
{
    double most = 0;
    size_t at = owner_first(tokens, ranks, alltoall_rank());
    const real *part = matrix_row(whole, at);
    for (size_t i = 0; i < mine.rows * mine.cols; i++)
        most = fmax(most, fabs((double)mine.at[i] - (double)part[i]));
    return most;
}

static void compare(const struct shared *s, double gap[2])
{
    struct moe_options o = layer_options();
    struct random unused = random_seeded(0);
    struct moe grad = moe_new(o, &unused);
    struct moe_work w = moe_work_new(&o, tokens);
    struct matrix y = matrix_rows(s->all, tokens, tokens);
    struct matrix dx = matrix_rows(s->all, 2 * tokens, tokens);
    moe_forward(&s->m, y, run.x, &w);
    moe_backward(&s->m, &grad, dx, matrix_rows(s->all, 0, tokens),
                 run.x, &w);
    gap[0] = apart(s->y, y), gap[1] = apart(s->dx, dx);
    moe_work_free(&w), moe_free(&grad);
}

static double seconds_of(const struct alltoall *w)
{
    double sum = 0;
    for (size_t i = 0; i < ALLTOALL_PHASES; i++) sum += w->seconds[i];
    return sum;
}

static void clear(struct alltoall *w)
{
    for (size_t i = 0; i < ALLTOALL_PHASES; i++) w->seconds[i] = 0;
    for (size_t q = 0; q < ranks; q++) w->sent[q] = 0;
}

/* Of a number that every rank has: the mean, and the most. */
static void print_over(FILE *out, const char *name, double mine)
{
    double all[64], sum = 0, most = 0;
    alltoall_gather(all, &mine, 1);
    for (size_t r = 0; r < ranks; r++)
        sum += all[r], most = fmax(most, all[r]);
    if (alltoall_rank() == 0)
        fprintf(out, "    %-10s %9.3f %9.3f\n", name,
                sum * 1e3 / (double)ranks, most * 1e3);
}

static void print_phases(FILE *out, const char *title,
                         const struct alltoall *w)
{
    double n = (double)steps;
    if (alltoall_rank() == 0)
        fprintf(out, "\n%s, ms a pass, mean and most of the ranks\n",
                title);
    for (size_t i = 0; i < ALLTOALL_PHASES; i++)
        print_over(out, alltoall_phases[i], w->seconds[i] / n);
    print_over(out, "all", seconds_of(w) / n);
}

static void print_sent(FILE *out, const struct alltoall *w)
{
    struct traffic bytes = traffic_new(ranks);
    double mine[64], all[64 * 64], held = (double)w->rows;
    size_t busiest = 0;
    for (size_t q = 0; q < ranks; q++) mine[q] = (double)w->sent[q];
    alltoall_gather(all, mine, ranks);
    for (size_t i = 0; i < ranks * ranks; i++)
        bytes.rows[i] = (size_t)all[i] / steps;
    alltoall_gather(all, &held, 1);
    for (size_t r = 1; r < ranks; r++)
        if (all[r] > all[busiest]) busiest = r;
    if (alltoall_rank() == 0) {
        print_part(out, "Bytes that a pass forward sends, there and "
                   "back, with the counts");
        print_matrix(out, &bytes);
        fprintf(out, "    busiest: rank %zu, whose experts compute "
                "%.0f rows\n", busiest, all[busiest]);
    }
    traffic_free(&bytes);
}

static void print_two(FILE *out, const struct shared *s)
{
    struct moe_options o = layer_options();
    size_t half = s->x.rows / 2, rest = s->x.rows - half;
    struct matrix x[2] = {matrix_rows(s->x, 0, half),
                          matrix_rows(s->x, half, rest)};
    struct matrix y[2] = {matrix_rows(s->y, 0, half),
                          matrix_rows(s->y, half, rest)};
    struct alltoall w[2];
    double apart = 0, two = 0;
    for (int i = 0; i < 2; i++)
        w[i] = alltoall_new(&o, x[i].rows, ALLTOALL_EXACT, 0);
    for (size_t step = 0; step <= steps; step++) {
        if (step == 1) clear(&w[0]), clear(&w[1]); /* warm */
        for (int i = 0; i < 2; i++)
            alltoall_forward(&s->m, y[i], x[i], &w[i]);
    }
    apart = seconds_of(&w[0]) + seconds_of(&w[1]);
    clear(&w[0]), clear(&w[1]);
    for (size_t step = 0; step < steps; step++)
        alltoall_forward_two(&s->m, y, x, w);
    two = seconds_of(&w[0]) + seconds_of(&w[1]);
    if (alltoall_rank() == 0)
        fprintf(out, "\nTwo halves, forward, ms, mean and most\n");
    print_over(out, "in turn", apart / (double)steps);
    print_over(out, "overlapped", two / (double)steps);
    for (int i = 0; i < 2; i++) alltoall_free(&w[i]);
}

static void print_ranks(FILE *out)
{
    double gap[2] = {0, 0}, all[2 * 64], most[2] = {0, 0};
    alltoall_begin(60);
    if (alltoall_ranks() != ranks)
        stop("--ranks is %zu, and mpirun has started %zu", ranks,
             alltoall_ranks());
    struct shared s = make_shared();
    struct moe_options o = layer_options();
    struct alltoall w = alltoall_new(&o, s.x.rows,
                                     (enum alltoall_how)how, node);
    w.wait = 1;
    if (alltoall_rank() == 0) print_parts(out);
    for (size_t step = 0; step <= steps; step++) {
        if (step == 1) clear(&w); /* the first one is warming up */
        alltoall_forward(&s.m, s.y, s.x, &w);
    }
    print_sent(out, &w);
    print_phases(out, "Forward", &w);
    clear(&w);
    for (size_t step = 0; step < steps; step++)
        alltoall_backward(&s.m, &s.grad, s.dx, s.dy, s.x, &w);
    print_phases(out, "Backward", &w);
    if (how != 1) {
        compare(&s, gap), alltoall_gather(all, gap, 2);
        for (size_t i = 0; i < 2 * ranks; i++)
            most[i % 2] = fmax(most[i % 2], all[i]);
        if (alltoall_rank() == 0)
            fprintf(out, "\nAgainst the layer on one rank: y differs by"
                    " %g, dx by %g\n", most[0], most[1]);
        print_two(out, &s);
    }
    alltoall_free(&w), free_shared(&s);
    alltoall_end();
    if (alltoall_rank() != 0) exit(0);
}
#endif

static void print_run(FILE *out)
{
    if (!ranks) {
        print_counts(out);
        return;
    }
#ifdef ALLTOALL_MPI
    if (getenv("OMPI_COMM_WORLD_SIZE") || getenv("PMI_SIZE")) {
        print_ranks(out);
        return;
    }
    int count = 0;
    while (arguments[count]) count++;
    start_ranks(count);
#else
    fprintf(stderr, "chapter11: --ranks needs MPI, which was not here "
            "when this was built (try ./setup mpi, then make)\n");
    exit(2);
#endif
}

/* A layer as it is, and with rows that cross to at most four nodes. */
static void print_designs(FILE *out)
{
    char id[60];
    for (const struct wire_design *d = wire_designs; d->name; d++)
        for (int once = 0; once <= 4; once += 4) {
            struct wire_step s = wire_step(&wire_h800, d, over(), 4096,
                                           once, speed * 1e12);
            const char *end = once ? "_limited" : "";
            snprintf(id, sizeof id, "alltoall.wire_%s%s", d->name, end);
            print_value(out, id, s.wire / s.experts);
            snprintf(id, sizeof id, "alltoall.rate_%s%s", d->name, end);
            print_value(out, id, 4096 / (s.wire + s.experts));
        }
}

static void print_values(FILE *out)
{
    const struct wire *h = &wire_h800;
    char id[60];
    struct wire_rows r = {128, 8, 256, 0, 7168};
    double worst = 0;
    find_straggler();
    print_value(out, "alltoall.straggler", found.straggler);
    print_value(out, "alltoall.straggler_worst", found.worst);
    print_count(out, "alltoall.batches", BATCHES);
    print_value(out, "alltoall.start", 1e6 * h->start);
    print_value(out, "alltoall.speed", speed);
    print_count(out, "alltoall.crossing_bytes", found.crossing * ROW);
    print_count(out, "alltoall.padded_bytes", found.padded * ROW);
    print_count(out, "alltoall.messages", wire_messages(over()));
    if (over() % node == 0)
        print_count(out, "alltoall.messages_two",
                    wire_messages_two(over(), node));
    print_count(out, "alltoall.v3_token", 8 * 7168 * 3);
    print_count(out, "alltoall.even_hidden", (uint64_t)(speed * 1e12
                * 3 / (6 * h->between)));
    print_count(out, "alltoall.even_hidden_bf16", (uint64_t)(speed
                * 1e12 * 4 / (6 * h->between)));
    print_designs(out);
    for (const struct wire_point *p = wire_points; p->ranks; p++) {
        r.bytes = 7168;
        snprintf(id, sizeof id, "alltoall.model_out_%zu", p->ranks);
        print_value(out, id, 1e6 * wire_seconds(h, p->ranks, r));
        snprintf(id, sizeof id, "alltoall.published_out_%zu", p->ranks);
        print_value(out, id, 1e6 * p->out);
        r.bytes *= 2;
        snprintf(id, sizeof id, "alltoall.model_back_%zu", p->ranks);
        print_value(out, id, 1e6 * wire_seconds(h, p->ranks, r));
        snprintf(id, sizeof id, "alltoall.published_back_%zu",
                 p->ranks);
        print_value(out, id, 1e6 * p->back);
        worst = fmax(worst, fabs(wire_seconds(h, p->ranks, r) / p->back
                                 - 1));
    }
    print_value(out, "alltoall.model_gap", worst);
}

static void print_traffic(FILE *out)
{
    struct run pushed = make_run(seed, 3, keep);
    struct traffic t = traffic_new(over());
    traffic_count(&t, &pushed.routes, NULL);
    fprintf(out, "# from\tto\trows\trows, pushed\n");
    for (size_t i = 0; i < over() * over(); i++)
        fprintf(out, "%zu\t%zu\t%zu\t%zu\n", i / over(), i % over(),
                found.traffic.rows[i], t.rows[i]);
    free_run(&pushed), traffic_free(&t);
}

static void print_sweep(FILE *out)
{
    static const double factors[] = {1, 1.25, 2};
    struct traffic t = traffic_new(over());
    fprintf(out, "# share of expert 0\treceived, exact\tequal, 1\t1.25"
            "\t2\tdropped, 1\t1.25\t2\n");
    for (int push = 0; push <= 16; push++) {
        struct run r = make_run(seed, push / 4.0, keep);
        traffic_count(&t, &r.routes, NULL);
        fprintf(out, "%.4f\t%zu", hot_share(&r),
                traffic_received(&t, 0) * ROW);
        size_t slots[3];
        for (size_t i = 0; i < 3; i++) {
            slots[i] = capacity_slots(factors[i],
                owner_most(tokens, over()), top_k, experts);
            fprintf(out, "\t%zu", traffic_padded(over(), experts,
                                                 slots[i]) * ROW);
        }
        for (size_t i = 0; i < 3; i++)
            fprintf(out, "\t%.4f", (double)fill_parts(&t, &r, slots[i])
                    / (double)found.choices);
        fprintf(out, "\n");
        free_run(&r);
    }
    traffic_free(&t);
}

static void print_curve(FILE *out)
{
    const struct wire_point *p = wire_points;
    fprintf(out, "# ranks\tmodel out, us\tback\tpublished out\tback\t"
            "mixtral\tqwen3\tv3\tv3, 4 nodes\tmixtral wire/experts\t"
            "qwen3\tv3\tv3, 4 nodes\n");
    for (size_t m = 8; m <= 4096; m *= 2) {
        struct wire_rows r = {128, 8, 256, 0, 7168};
        double rate[4], share[4];
        fprintf(out, "%zu\t%.2f", m, 1e6 * wire_seconds(&wire_h800, m,
                                                        r));
        r.bytes *= 2;
        fprintf(out, "\t%.2f", 1e6 * wire_seconds(&wire_h800, m, r));
        if (p->ranks)
            fprintf(out, "\t%g\t%g", 1e6 * p->out, 1e6 * p->back), p++;
        else fprintf(out, "\tNaN\tNaN");
        for (size_t i = 0; i < 4; i++) {
            struct wire_step s = wire_step(&wire_h800,
                &wire_designs[i < 3 ? i : 2], m, 4096, i < 3 ? 0 : 4,
                speed * 1e12);
            rate[i] = 4096 / (s.experts + s.wire);
            share[i] = s.wire / s.experts;
        }
        for (size_t i = 0; i < 4; i++) fprintf(out, "\t%.4g", rate[i]);
        for (size_t i = 0; i < 4; i++) fprintf(out, "\t%.4g", share[i]);
        fprintf(out, "\n");
    }
}

int main(int argc, char **argv)
{
    static const struct program_value known[] = {
        {"alltoall.tokens", &tokens, NULL},
        {"alltoall.row", &found.row, NULL},
        {"alltoall.choices", &found.choices, NULL},
        {"alltoall.crossing", &found.crossing, NULL},
        {"alltoall.padded", &found.padded, NULL},
        {"alltoall.dropped_share", NULL, &found.dropped_share},
        {"alltoall.skew", NULL, &found.skew},
        {"alltoall.packed", NULL, &found.packed},
        {"alltoall.copied", NULL, &found.copied},
        {"alltoall.touched", NULL, &found.touched},
        {"alltoall.together", NULL, &found.together},
        {"alltoall.together_skew", NULL, &found.together_skew},
        {"alltoall.hot_share", NULL, &found.hot_share},
        {"alltoall.nodes", NULL, &found.nodes},
        {"alltoall.nodes_saved", NULL, &found.nodes_saved},
        {"alltoall.nodes_expected", NULL, &found.nodes_expected},
        {0}};
    static const struct args_table tables[] = {
        {"traffic", print_traffic}, {"sweep", print_sweep},
        {"curve", print_curve}, {0}};
    static const struct program program = {
        .name = "chapter11", .about = "put experts on ranks, and count "
        "what crosses the wire", .options = options,
        .lessons = &lessons11, .seed = &seed, .check = check,
        .prepare = prepare, .run = print_run, .known = known,
        .values = print_values, .tables = tables, .done = done};
    arguments = argv;
    return program_main(&program, argc, argv);
}
