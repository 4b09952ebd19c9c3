/* Chapter 11: all-to-all. What needs ranks is in ranks.c, started from here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "lessons.h"
#include "owner.h"
#include "placement.h"
#include "traffic.h"
#include "wire.h"

extern const struct lesson_table lessons11;

static void program(void) { check_program(11, ""); }
static void lessons(void) { check_lessons(&lessons11, 200, ""); }

/* Parts are consecutive, cover all, and differ by one at most, the first ones larger. */
static void parts(void)
{
    for (size_t n = 0; n < 40; n++)
        for (size_t ranks = 1; ranks < 12; ranks++) {
            size_t next = 0;
            for (size_t r = 0; r < ranks; r++) {
                size_t count = owner_count(n, ranks, r);
                CU_ASSERT_EQUAL(owner_first(n, ranks, r), next);
                CU_ASSERT(count <= owner_most(n, ranks) && count + 1 >= owner_most(n, ranks));
                CU_ASSERT(!r || count <= owner_count(n, ranks, r - 1));
                for (size_t i = 0; i < count; i++) CU_ASSERT_EQUAL(owner_of(n, ranks, next + i), r);
                next += count;
            }
            CU_ASSERT(next == n && owner_first(n, ranks, ranks) == n);
        }
}

static struct routes drawn_routes(struct random *r, struct matrix *z)
{
    size_t experts = 1 + random_below(r, 20), k = 1 + random_below(r, experts < 6 ? experts : 6);
    *z = check_matrix(r, random_below(r, 30), experts, 2);
    struct routes routes = routes_new(z->rows, experts, k);
    struct matrix p = matrix_new(z->rows, experts);
    routes_fill(&routes, GATE_RENORM, p, *z);
    matrix_free(&p);
    return routes;
}

/* What leaves arrives, nothing is lost, and one rank sends nothing. */
static void rows_are_kept(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        struct matrix z;
        struct routes routes = drawn_routes(&r, &z);
        size_t ranks = 1 + random_below(&r, 9), held = 0, sent = 0, received = 0, all = routes.tokens * routes.top_k;
        struct traffic t = traffic_new(ranks);
        struct capacity c = capacity_new(routes.tokens, routes.experts, routes.top_k);
        capacity_fill(&c, &routes, random_below(&r, 9), CAPACITY_POSITION, (struct matrix){0});
        if (round % 2) all -= capacity_measure(&c, &routes).dropped;
        traffic_count(&t, &routes, round % 2 ? &c : NULL);
        for (size_t q = 0; q < ranks; q++) {
            held += traffic_held(&t, q), sent += traffic_sent(&t, q), received += traffic_received(&t, q);
            CU_ASSERT(traffic_held(&t, q) <= traffic_held(&t, traffic_busiest(&t)));
        }
        CU_ASSERT(held == all && sent == received && sent == traffic_crossing(&t));
        CU_ASSERT(ranks > 1 || sent == 0);
        traffic_free(&t), capacity_free(&c), routes_free(&routes), matrix_free(&z);
    }
}

/* A limit keeps the nodes whose two best experts are best together, and no others. */
static void few_nodes(void)
{
    struct random r = check_random();
    enum { T = 40, E = 16, NODES = 4, BEST = 2 };
    for (size_t keep = 1; keep <= NODES; keep++) {
        struct matrix z = check_matrix(&r, T, E, 3), was = matrix_new(T, E), p = matrix_new(T, E);
        struct routes routes = routes_new(T, E, 4);
        size_t count[NODES + 1];
        if (keep == 1) matrix_clear(z); /* equals: the first node */
        row_copy(was.at, z.at, T * E);
        traffic_limit(z, NODES, keep, BEST);
        routes_fill(&routes, GATE_SIGMOID, p, z);
        traffic_nodes(count, &routes, NODES);
        for (size_t n = keep + 1; n <= NODES; n++) CU_ASSERT_EQUAL(count[n], 0);
        CU_ASSERT_EQUAL(count[0], 0);
        for (size_t t = 0; t < T; t++) {
            double score[NODES];
            size_t open = 0;
            for (size_t n = 0; n < NODES; n++) {
                double best[2] = {-1, -1};
                for (size_t e = 4 * n; e < 4 * n + 4; e++) {
                    double s = 1 / (1 + exp(-(double)matrix_row(was, t)[e]));
                    if (s > best[0]) best[1] = best[0], best[0] = s;
                    else if (s > best[1]) best[1] = s;
                }
                score[n] = best[0] + best[1];
                open += !isinf((double)matrix_row(z, t)[4 * n]);
            }
            CU_ASSERT_EQUAL(open, keep);
            for (size_t a = 0; a < NODES; a++)
                for (size_t b = 0; b < NODES; b++)
                    if (!isinf((double)matrix_row(z, t)[4 * a]) && isinf((double)matrix_row(z, t)[4 * b]))
                        CU_ASSERT(score[a] > score[b] - 1e-12 || a < b);
            for (size_t e = 0; e < E; e++)
                CU_ASSERT(isinf((double)matrix_row(z, t)[e]) || matrix_row(z, t)[e] == matrix_row(was, t)[e]);
        }
        matrix_free(&z), matrix_free(&was), matrix_free(&p), routes_free(&routes);
    }
}

/* The expected nodes are what even draws touch; all experts touch all nodes, one touches one. */
static void expected_nodes(void)
{
    struct random r = check_random();
    static const size_t shapes[][3] = {{256, 8, 8}, {64, 6, 4}, {12, 3, 5}};
    for (int i = 0; i < 3; i++) {
        size_t e = shapes[i][0], k = shapes[i][1], n = shapes[i][2], count[9];
        struct matrix z = check_matrix(&r, 4000, e, 1), p = matrix_new(4000, e);
        struct routes routes = routes_new(4000, e, k);
        routes_fill(&routes, GATE_RENORM, p, z), traffic_nodes(count, &routes, n);
        CU_ASSERT_DOUBLE_EQUAL(traffic_mean(count, n), traffic_expected(e, k, n), 0.07);
        CU_ASSERT_DOUBLE_EQUAL(traffic_expected(e, e, n), (double)n, 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(traffic_expected(e, 1, n), 1, 1e-12);
        matrix_free(&z), matrix_free(&p), routes_free(&routes);
    }
}

/* The example in EPLB's README: two layers of 12 experts, 16 slots, 4 groups, 2 nodes, 8 GPUs. */
static void worked_example(void)
{
    static const double load[2][12] = {{90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86},
                                       {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27}};
    static const size_t slots[2][16] = {{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1},
                                        {7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1}};
    static const double skew[] = {1.208, 1.242};
    struct placement p = {12, 4, 2, 8, 16};
    for (int layer = 0; layer < 2; layer++) {
        size_t slot[16];
        placement_balance(slot, load[layer], p);
        CU_ASSERT(!memcmp(slot, slots[layer], sizeof slot));
        CU_ASSERT_DOUBLE_EQUAL(placement_skew(slot, load[layer], p), skew[layer], 5e-4);
    }
}

/* Every expert has a slot, and its group stays on a node. */
static void every_expert_has_a_slot(void)
{
    struct random r = check_random();
    for (int round = 0; round < 100; round++) {
        struct placement p = {.nodes = 1 + random_below(&r, 3)};
        p.groups = p.nodes * (1 + random_below(&r, 3)), p.experts = p.groups * (1 + random_below(&r, 4));
        p.ranks = p.nodes * (1 + random_below(&r, 4)), p.slots = p.ranks * (p.experts / p.ranks + 1 + random_below(&r, 3));
        double load[64];
        size_t slot[200], node[64], copies[64] = {0};
        for (size_t e = 0; e < p.experts; e++) load[e] = (double)random_below(&r, 100) + 1;
        placement_balance(slot, load, p);
        for (size_t i = 0; i < p.slots; i++) {
            size_t g = slot[i] / (p.experts / p.groups), n = i / (p.slots / p.nodes);
            if (copies[slot[i]]++) CU_ASSERT_EQUAL(node[g], n);
            node[g] = n;
        }
        for (size_t e = 0; e < p.experts; e++) CU_ASSERT(copies[e] > 0);
        CU_ASSERT(placement_skew(slot, load, p) >= 1 - 1e-12);
        CU_ASSERT(placement_skew(slot, load, p) <= (double)p.ranks + 1e-9);
    }
}

/* Experts that are always chosen together end on one rank, however they are numbered. */
static void chosen_together(void)
{
    struct random r = check_random();
    enum { T = 60, E = 8, RANKS = 4 };
    struct routes routes = routes_new(T, E, 2);
    size_t order[E], plain[E], seen[E] = {0};
    for (size_t t = 0; t < T; t++) {
        size_t pair = random_below(&r, E / 2); /* e and e + 4 */
        routes.expert[2 * t] = pair, routes.expert[2 * t + 1] = pair + E / 2;
    }
    for (size_t e = 0; e < E; e++) plain[e] = e;
    placement_together(order, &routes, RANKS);
    for (size_t e = 0; e < E; e++) seen[order[e]]++;
    for (size_t e = 0; e < E; e++) CU_ASSERT_EQUAL(seen[e], 1);
    CU_ASSERT(placement_touched(plain, &routes, RANKS) == 2 && placement_touched(order, &routes, RANKS) == 1);
    routes_free(&routes);
}

/* The model has one fitted number, from 8 ranks: the published points beyond are within a sixth. */
static void published(void)
{
    struct wire_rows out = {128, 8, 256, 0, 7168}, back = {128, 8, 256, 0, 2 * 7168};
    double last = 0;
    for (const struct wire_point *p = wire_points; p->ranks; p++) {
        CU_ASSERT(fabs(wire_seconds(&wire_h800, p->ranks, out) / p->out - 1) < 1 / 6.0);
        CU_ASSERT(fabs(wire_seconds(&wire_h800, p->ranks, back) / p->back - 1) < 1 / 6.0);
    }
    for (size_t m = 1; m <= 4096; m *= 2) {
        double t = wire_seconds(&wire_h800, m, out);
        struct wire_rows limited = out;
        limited.once = 4;
        CU_ASSERT(t >= last && wire_seconds(&wire_h800, m, limited) <= t + 1e-12);
        last = t;
    }
    CU_ASSERT_DOUBLE_EQUAL(wire_seconds(&wire_h800, 1, out), wire_h800.start, 1e-15);
}

/* Beyond E ranks nothing changes; wire over experts depends on H alone, up to the start. */
static void steps(void)
{
    for (const struct wire_design *d = wire_designs; d->name; d++) {
        struct wire_step a = wire_step(&wire_h800, d, d->experts, 4096, 0, 4e14);
        struct wire_step b = wire_step(&wire_h800, d, 2 * d->experts, 4096, 0, 4e14);
        CU_ASSERT(a.wire == b.wire && a.experts == b.experts);
        struct wire_design two = *d;
        two.hidden *= 2;
        struct wire_step c = wire_step(&wire_h800, &two, d->experts, 4096, 0, 4e14);
        CU_ASSERT_DOUBLE_EQUAL(c.wire / c.experts, a.wire / a.experts / 2, 1e-12);
    }
    CU_ASSERT(wire_messages(8) == 56 && wire_messages_two(8, 4) == 32);
    for (size_t node = 1; node <= 64; node *= 2) CU_ASSERT(wire_messages_two(64, node) <= wire_messages(64));
    CU_ASSERT(wire_overlapped(2, 2) == 3 && wire_overlapped(0, 5) == 5 && wire_overlapped(4, 1) == 4);
}

/* The bound is the schedule's length: one wire, one processor, two halves, out before back. */
static void halves_hide(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        double wire = random_uniform(&r), experts = random_uniform(&r), on = 0, at = 0, ready[2], out[2];
        for (int i = 0; i < 2; i++) out[i] = on += wire / 4;
        for (int i = 0; i < 2; i++) ready[i] = at = fmax(at, out[i]) + experts / 2;
        for (int i = 0; i < 2; i++) on = fmax(on, ready[i]) + wire / 4;
        CU_ASSERT_DOUBLE_EQUAL(wire_overlapped(wire, experts), on, 1e-12);
    }
}

static void refused(void)
{
    static const struct check_refusal rows[] = {
        {"--top-k 9", "from 1 to the number of experts, 8, got 9"},
        {"--nodes 9", "from 1 to the number of experts, 8, got 9"},
        {"--keep 3", "up to 2 nodes"}, {"--keep 1 --top-k 5", "have 5 experts together"},
        {"--capacity-factor 1.00000001", "six decimals"}, {NULL, NULL}};
    check_refuses(11, rows);
}

static void no_slots(void)
{
    double load[12] = {0};
    size_t slot[16];
    placement_balance(slot, load, (struct placement){12, 4, 2, 8, 10});
}
static void contracts(void) { check_aborts(no_slots, "placement.c divide slot"); }

/* What the program counts, at sizes that can be checked by hand. */
static void counted(void)
{
    CU_ASSERT_EQUAL(check_value(11, "--ranks 1", "alltoall.crossing"), 0);
    CU_ASSERT_EQUAL(check_value(11, "--ranks 1", "alltoall.padded"), 0);
    CU_ASSERT_EQUAL(check_value(11, "--experts 4 --top-k 4", "alltoall.crossing"), 512 * 3);
    CU_ASSERT_EQUAL(check_value(11, "--experts 4 --top-k 4", "alltoall.skew"), 1);
    CU_ASSERT_EQUAL(check_value(11, "--experts 64 --top-k 8 --nodes 8 --keep 1", "alltoall.nodes"), 1);
    CU_ASSERT(check_value(11, "--experts 64 --top-k 8 --nodes 8 --keep 4", "alltoall.nodes") <= 4);
    CU_ASSERT(check_value(11, "--hot 5", "alltoall.skew") > check_value(11, "", "alltoall.skew"));
}

#ifdef CHECK_MPI
#ifdef CHECK_FAST
enum { SAME_BITS = 0 }; /* a fast product's bits may depend on its rows */
#else
enum { SAME_BITS = 1 };
#endif

/* Never without an end: timeout ends what hangs. MPI's own leaks are not ours. */
#define START "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 " \
    "OMPI_MCA_btl_vader_single_copy_mechanism=none OMP_NUM_THREADS=1 ASAN_OPTIONS=detect_leaks=0 timeout 60 "

static struct check_output on_ranks(int ranks, const char *word)
{
    char command[600];
    snprintf(command, sizeof command, START "mpirun -np %d " CHECK_BUILD "/ranks %s", ranks, word);
    return check_run(command);
}

static void check_ranks(int ranks)
{
    char words[40];
    struct check_output got = on_ranks(ranks, "");
    snprintf(words, sizeof words, "cases on %d ranks", ranks);
    CU_ASSERT(got.status == 0 && strstr(got.out, words) && strstr(got.out, ", 0 failed"));
    if (got.status) printf("\n%s%s", got.out, got.err);
    check_free(&got);
}

static void on_1(void) { check_ranks(1); }
static void on_2(void) { check_ranks(2); }
static void on_3(void) { check_ranks(3); }
static void on_4(void) { check_ranks(4); }
static void on_8(void) { check_ranks(8); }

/* Rank 1 does something wrong: the run ends, not by the timeout, and says who, where and what shape. */
static void faults(void)
{
    static const struct { const char *fault, *words[3]; } rows[] = {
        {"die", {" of 3, rows back [", "ended with the others", "rank 1"}}, /* by a survivor, and by mpirun */
        {"crash", {"rank 1 of 3, rows back [0, 4]: died"}},
        {"hang", {" of 3, rows back [", "waited too long"}},
        {"short", {"rank 0 of 3, rows out [24, 4]: rank 1 sent less than the [8, 4] that it announced"}},
        {"long", {"rank 0 of 3, rows out [24, 4]: MPI_ERR_TRUNCATE"}},
        {"announce", {"rank 0 of 3, counts [3, 2]: rows [100020, 4] are announced, there is room for [24, 4]"}},
        {"options", {"of 3, options: H is ", "elsewhere from 3 to 5"}},
        {"shape", {"rank 1 of 3, route [3, 4]: x [T_m, D] is [3, 4], must be [4, 4]"}}};
    int all = !CHECK_QUICK && SAME_BITS && sizeof(real) == sizeof(float); /* each is a start of mpirun */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i += all ? 1 : 3) {
        struct check_output got = on_ranks(3, rows[i].fault);
        CU_ASSERT(got.status != 0 && got.status != 124);
        for (int w = 0; w < 3 && rows[i].words[w]; w++) {
            CU_ASSERT_PTR_NOT_NULL(strstr(got.err, rows[i].words[w]));
            if (!strstr(got.err, rows[i].words[w])) printf("\n    no '%s' in: %s", rows[i].words[w], got.err);
        }
        check_free(&got);
    }
}

/* The program starts its ranks by itself. */
static void starts_ranks(void)
{
    struct check_output got = check_run("ASAN_OPTIONS=detect_leaks=0 timeout 60 " CHECK_BUILD
                                        "/chapter11 --ranks 3 --tokens 50 --steps 2");
    CU_ASSERT(got.status == 0 && strstr(got.out, "M = 3") && strstr(got.out, "rows back"));
    CU_ASSERT(!SAME_BITS || strstr(got.out, "y differs by 0, dx by 0"));
    if (got.status) printf("\n%s%s", got.out, got.err);
    check_free(&got);
    got = check_run("ASAN_OPTIONS=detect_leaks=0 timeout 60 " CHECK_BUILD
                    "/chapter11 --ranks 2 --tokens 50 --steps 2 --messages equal --hot 3");
    CU_ASSERT(got.status == 0 && strstr(got.out, "busiest: rank"));
    check_free(&got);
}
#endif

SUITE(11) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("parts are consecutive and cover all", parts);
    check_case("what leaves arrives, and nothing is lost", rows_are_kept); /* traffic_count, traffic_sent, traffic_held, traffic_received, traffic_crossing, traffic_busiest */
    check_case("a limit keeps the best nodes, and no others", few_nodes); /* traffic_limit, traffic_nodes */
    check_case("expected nodes are what even draws touch", expected_nodes); /* traffic_expected, traffic_mean */
    check_case("EPLB's worked example", worked_example); /* placement_balance, placement_skew */
    check_case("every expert has a slot, every group a node", every_expert_has_a_slot); /* placement_balance */
    check_case("experts chosen together end on one rank", chosen_together); /* placement_together, placement_touched */
    check_case("the model is near the published points", published); /* wire_seconds */
    check_case("a step's wire and experts", steps); /* wire_step, wire_messages, wire_messages_two, wire_overlapped */
    check_case("two halves hide so much, and no more", halves_hide); /* wire_overlapped */
    check_case("what the program counts", counted);
    check_case("options that do not go together are refused", refused);
    check_case("broken contracts abort", contracts);
#ifdef CHECK_MPI
    check_case("the layer on 1 rank", on_1); /* alltoall_forward, alltoall_backward */
    check_case("the layer on 2 ranks", on_2); /* alltoall_forward, alltoall_backward */
    check_case("the layer on 3 ranks", on_3); /* alltoall_forward, alltoall_backward */
    check_case("the layer on 4 ranks, 200 random routes", on_4); /* alltoall_forward, alltoall_backward, alltoall_keep, alltoall_forward_two */
    check_case("the layer on 8 ranks", on_8); /* alltoall_forward, alltoall_backward */
    check_case("a rank that fails ends the run, and is named", faults); /* alltoall_begin, alltoall_new */
    check_case("the program starts its ranks", starts_ranks);
#endif
}
