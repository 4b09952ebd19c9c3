#include <math.h>
#include "lesson.h"
#include "owner.h"
#include "random.h"
#include "traffic.h"

enum { RANKS = 3, TOKENS = 6, EXPERTS = 6, CHOICES = 2 };

static void count_bytes(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t expert[TOKENS * CHOICES], rank = random_below(&r, RANKS);
    size_t kib = 2 << random_below(&r, 3); /* of a row */
    struct routes routes = {TOKENS, EXPERTS, CHOICES, TOKENS, expert,
                            {0, 0, NULL}};
    struct traffic t = traffic_new(RANKS);
    do {
        for (size_t i = 0; i < TOKENS; i++) {
            size_t *e = expert + i * CHOICES;
            e[0] = random_below(&r, EXPERTS);
            do e[1] = random_below(&r, EXPERTS); while (e[1] == e[0]);
        }
        traffic_count(&t, &routes, NULL);
    } while (traffic_sent(&t, rank) == traffic_received(&t, rank)
             || !traffic_received(&t, rank));
    size_t out = traffic_sent(&t, rank);
    size_t back = traffic_received(&t, rank);
    fprintf(l->given, "a row of %zu numbers of 2 bytes: %zu KiB\n"
            "rank  experts  token: its experts\n", kib * 512, kib);
    for (size_t i = 0; i < RANKS; i++)
        fprintf(l->given, "   %zu  %zu and %zu  %zu: %zu %zu   "
                "%zu: %zu %zu\n", i, 2 * i, 2 * i + 1, 2 * i,
                expert[4 * i], expert[4 * i + 1], 2 * i + 1,
                expert[4 * i + 2], expert[4 * i + 3]);
    fprintf(l->given, "asked: rank %zu\n", rank);
    fprintf(l->way, "its own tokens' rows for others' experts: %zu\n"
            "others' rows, answered by its experts: %zu\n"
            "(%zu + %zu) x %zu KiB = %zu KiB\n", out, back, out, back,
            kib, (out + back) * kib);
    l->right = lesson_value((double)((out + back) * kib));
    l->wrong[0] = lesson_value((double)(out * kib));
    if (2 * CHOICES * CHOICES != out + back)
        l->wrong[1] = lesson_value((double)(2 * CHOICES * CHOICES
                                            * kib));
    l->wrong[2] = lesson_value((double)(2 * out * kib));
    traffic_free(&t);
}

static void compare_messages(uint64_t seed, struct lesson_problem *l)
{
    static const double factors[] = {1, 1.25, 1.5, 2};
    struct random r = random_seeded(seed);
    size_t ranks = 4, experts = 4, n = 120, first, exact, slots;
    double cf, rest;
    do {
        cf = factors[random_below(&r, 4)];
        first = 5 * (4 + random_below(&r, 15)); /* percent */
        slots = capacity_slots(cf, n, 1, experts);
        exact = (ranks - 1) * (n * first / 100);
    } while (exact == (ranks - 1) * slots);
    rest = (double)(100 - first) / 3;
    size_t equal = (ranks - 1) * slots;
    fprintf(l->given, "4 ranks with an expert each, K = 1, %zu tokens "
            "a rank\non every rank, %zu %% of the tokens choose expert "
            "0,\n%.3g %% each of the others\nequal messages: capacity "
            "factor %g, so %zu slots\nfor each expert on each rank\n"
            "exact messages: all choices, none dropped\n",
            n, first, rest, cf, slots);
    fprintf(l->way, "exact: 3 ranks send %zu rows each, %zu\n"
            "equal: 3 ranks send %zu slots each, %zu\n"
            "of them %zu are empty, and %zu choices were dropped\n",
            exact / 3, exact, slots, equal,
            equal > exact ? equal - exact : 0,
            exact > equal ? exact - equal : 0);
    l->right = lesson_value(exact > equal ? 2 : 1);
    l->wrong[0] = lesson_value(exact > equal ? 1 : 2);
}

static void touch_nodes(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t nodes = 4 << random_below(&r, 3); /* 4, 8, 16 */
    size_t top_k = 4 + 2 * random_below(&r, 3);
    size_t experts = 64 << random_below(&r, 3);
    double mean = traffic_expected(experts, top_k, nodes);
    double least = (double)(top_k < nodes ? top_k : nodes);
    fprintf(l->given, "E = %zu experts on %zu nodes, %zu a node   "
            "K = %zu\n", experts, nodes, experts / nodes, top_k);
    fprintf(l->way, "a node is missed by one choice with chance %.3f,\n"
            "by all %zu with %.4f; touched: %zu x (1 - %.4f) = %.3f\n",
            1 - 1 / (double)nodes, top_k,
            1 - mean / (double)nodes, nodes,
            1 - mean / (double)nodes, mean);
    l->right = lesson_value(mean);
    if (least - mean > 0.4) l->wrong[0] = lesson_value(least);
    double apart = fabs((double)top_k - mean);
    if (apart > 0.4 && (double)top_k > least)
        l->wrong[1] = lesson_value((double)top_k);
}

static const struct lesson rows[] = {
    {"11.1", "All-to-all is where routing becomes a "
     "distributed-systems problem", "1.2.4", 8, "How many KiB does "
     "this rank send to the other ranks in one pass forward, there and "
     "back together?", "KiB", LESSON_NUMBER, 0, {0},
     {"Which of its tokens' choices are on another rank?",
      "Who sends the answers of its experts back?",
      "Rows that leave, and rows that came and return."},
     count_bytes,
     {"Its experts' answers to other ranks' tokens leave it, too.",
      "A choice of one of its own experts crosses no wire.",
      "What comes back to it, others send: it sends back what came."}},
    {"11.2", "A slot is sent whether it is filled or not", "", 8,
     "Through which messages does the rank of expert 0 receive more "
     "rows from the three others in dispatch?", NULL, LESSON_CHOICE, 0,
     {"equal ones, of C slots", "exact ones"},
     {"How many of a rank's tokens choose expert 0?",
      "A message of C slots carries at most C of them.",
      "Compare a sender's choices of expert 0 with its slots."},
     compare_messages,
     {"What does not fit into C slots is dropped; padding fills the "
      "rest."}},
    {"11.3", "K experts touch fewer than K nodes", "", 8,
     "A token draws K different experts, all with the same chance. On "
     "how many nodes are they, on the average? A guess within 0.4 "
     "counts.", "nodes", LESSON_NUMBER, 0.4, {0},
     {"Two of its experts may be on one node.",
      "What is the chance that a node gets none of them?",
      "Nodes x (1 - (1 - 1/nodes)^K), nearly."},
     touch_nodes,
     {"That is the most it can be, if no two fall on one node.",
      "There are not that many nodes."}},
};

const struct lesson_table lessons11 = {rows,
                                       sizeof rows / sizeof *rows};
