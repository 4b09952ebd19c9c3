/* Chapter 5: slots, drops, and what a capacity factor wastes. */
/* include what chapter 5 needs */
#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "args.h"
#include "capacity.h"
#include "hand.h"
#include "lesson.h"
#include "print.h"
#include "router.h"
#include "softmax.h"
#include "text.h"

/* set the knobs of chapter 5 */
extern const struct lesson_table lessons5;

enum { DRAWN, EXACT };
static size_t tokens = 64, experts = 8, top_k = 1, drop, kind = DRAWN,
    seed = LESSON_BOOK_SEED;
static double factor = 1;
static struct args_shares shares = {1, {1}};

static const char *const orders[] = {"position", "probability", NULL};
static const char *const kinds[] = {"drawn", "exact", NULL};
static const struct args_table tables[] = {{"filling", NULL},
    {"sweep", NULL}, {0}};

/* list the options of chapter 5 */
static const struct args_option options[] = {
    {"--tokens", "tokens in the batch, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 256, NULL},
    {"--capacity-factor", "slots for each choice", ARGS_NUMBER,
     &factor, 0.01, 100, NULL},
    /* list the options of the batch */
    {"--shares", "the experts' loads; a single one: all alike",
     ARGS_SHARES, &shares, 0, 1e6, NULL},
    {"--batch", "shares are chances, or counts", ARGS_CHOICE, &kind,
     0, 0, kinds},
    {"--drop", "who is served first", ARGS_CHOICE, &drop, 0, 0, orders},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

/* make a batch with given shares */
struct batch {
    double *share; /* [E], sums to 1 */
    size_t *due;   /* [E] tokens still due to it, in an exact batch */
    struct matrix z, p, kept; /* [T, E] [T, E] [T, K] */
    struct routes routes;
    struct capacity capacity;
    struct capacity_count count;
};

/* route a batch with given shares */
/* draw the logits of a token */
static double gumbel(struct random *r)
{
    double u = random_uniform(r);
    while (u <= 0) u = random_uniform(r);
    return -log(-log(u));
}

static void draw_token(real *z, const double *share, struct random *r)
{
    for (size_t e = 0; e < experts; e++) {
        double noise = gumbel(r);
        z[e] = (real)(log(share[e]) + noise);
    }
}

/* make the counts exact */
/* hand out the quotas */
static double quota(size_t e, double sum)
{
    double weight = shares.at[shares.count > 1 ? e : 0];
    return (double)tokens * weight / sum;
}

static void hand_out(struct batch *b, double sum)
{
    size_t left = tokens;
    for (size_t e = 0; e < experts; e++)
        left -= b->due[e] = (size_t)quota(e, sum);
    while (left--) {
        /* give one to the largest remainder */
        size_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (quota(e, sum) - (double)b->due[e]
                > quota(best, sum) - (double)b->due[best]) best = e;
        b->due[best]++;
    }
}

/* draw an expert that is due */
static size_t draw_due(struct batch *b, size_t left, struct random *r)
{
    size_t n = random_below(r, left), e = 0;
    while (n >= b->due[e]) n -= b->due[e++];
    b->due[e]--;
    return e;
}

static void trade(real *z, size_t expert)
{
    size_t best = 0;
    for (size_t e = 1; e < experts; e++) if (z[e] > z[best]) best = e;
    real most = z[best];
    z[best] = z[expert], z[expert] = most;
}

/* make and fill a batch */
/* give a batch room */
static struct batch empty_batch(void)
{
    struct batch b = {.share = calloc(experts, sizeof *b.share),
        .due = calloc(experts, sizeof *b.due),
        .z = matrix_new(tokens, experts),
        .p = matrix_new(tokens, experts),
        .kept = matrix_new(tokens, top_k),
        .routes = routes_new(tokens, experts, top_k),
        .capacity = capacity_new(tokens, experts, top_k)};
    /* normalize the shares */
    double sum = 0;
    for (size_t e = 0; e < experts; e++)
        sum += shares.at[shares.count > 1 ? e : 0];
    for (size_t e = 0; e < experts; e++)
        b.share[e] = quota(e, sum) / (double)tokens;
    hand_out(&b, sum);
    return b;
}

static struct batch make_batch(void)
{
    struct random r = random_seeded(seed);
    struct batch b = empty_batch();
    for (size_t t = 0; t < tokens; t++) {
        draw_token(matrix_row(b.z, t), b.share, &r);
        if (kind == EXACT)
            trade(matrix_row(b.z, t), draw_due(&b, tokens - t, &r));
    }
    /* route the batch and fill the slots */
    softmax_rows(b.p, NULL, b.z);
    routes_select(&b.routes, b.z);
    routes_weigh(&b.routes, GATE_SOFTMAX, b.z, b.p);
    capacity_fill(&b.capacity, &b.routes,
                  capacity_slots(factor, tokens, top_k, experts),
                  (enum capacity_order)drop, b.p);
    b.count = capacity_measure(&b.capacity, &b.routes);
    return b;
}

/* free a batch */
static void free_batch(struct batch *b)
{
    free(b->share), free(b->due);
    matrix_free(&b->z), matrix_free(&b->p), matrix_free(&b->kept);
    routes_free(&b->routes);
    capacity_free(&b->capacity);
}

/* let a line of text walk */
enum { LINE = 24 };

/* read the features of a character */
static void read_features(real *x, const char *text, size_t t)
{
    int letter = isalpha((unsigned char)text[t]) != 0;
    int digit = isdigit((unsigned char)text[t]) != 0;
    x[0] = (real)letter, x[1] = (real)digit;
    x[2] = (real)(!letter && !digit);
    x[3] = t == 0 || text[t - 1] == '\n';
}

static void print_line(FILE *out)
{
    char text[LINE];
    struct random r = random_seeded(seed);
    struct matrix x = matrix_new(LINE, HAND_WIDTH);
    struct matrix z = matrix_new(LINE, HAND_EXPERTS);
    struct router router = {hand_w()};
    /* route the line by hand */
    text_fill(text, LINE, &r);
    for (size_t t = 0; t < LINE; t++)
        read_features(matrix_row(x, t), text, t);
    router_forward(&router, z, x);
    softmax_rows(z, NULL, z);
    /* fill the slots with the line and print them */
    struct routes routes = routes_new(LINE, HAND_EXPERTS, 1);
    struct capacity c = capacity_new(LINE, HAND_EXPERTS, 1);
    routes_select(&routes, z);
    capacity_fill(&c, &routes,
                  capacity_slots(factor, LINE, 1, HAND_EXPERTS),
                  (enum capacity_order)drop, z);
    fprintf(out, "A line of text: T = %d, E = %d, C = %zu\n", LINE,
            HAND_EXPERTS, c.slots);
    for (size_t e = 0; e < HAND_EXPERTS; e++) {
        /* print an expert's slots and whom it refuses */
        fprintf(out, "    expert %zu |", e);
        for (size_t s = 0; s < c.slots && s < LINE; s++) {
            const char *in = "_";
            for (size_t t = 0; t < LINE; t++)
                if (routes_expert(&routes, t, 0) == e && c.slot[t] == s)
                    in = print_char(text[t]);
            fprintf(out, " %2s", in);
        }
        fprintf(out, " |");
        for (size_t t = 0; t < LINE; t++)
            if (routes_expert(&routes, t, 0) == e
                && c.slot[t] == CAPACITY_DROPPED)
                fprintf(out, " %s", print_char(text[t]));
        fprintf(out, "\n");
    }
    routes_free(&routes), capacity_free(&c);
    matrix_free(&x), matrix_free(&z);
}

/* count slots as others do */
static size_t share_down(double cf, size_t choices, size_t over)
{
    uint64_t millionths = (uint64_t)llround(cf * 1e6);
    return (size_t)(millionths * choices / (1000000 * over));
}

/* print the slots of others */
static void print_conventions(FILE *out)
{
    double in_double = ceil(factor * (double)(tokens * top_k)
                            / (double)experts);
    size_t fair = (tokens + experts - 1) / experts;
    print_count(out, "capacity.ceil_in_double", (size_t)in_double);
    print_count(out, "capacity.slots_floor",
                share_down(factor, tokens * top_k, experts));
    print_count(out, "capacity.slots_tutel",
                top_k * share_down(factor, fair, 1));
    print_count(out, "capacity.slots_gshard", 2 * tokens / experts);
    print_count(out, "capacity.slots_mesh",
                share_down(factor, tokens, experts));
}

/* print what chapter 5 found */
static double share_of(size_t part, size_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

/* print the values of chapter 5 */
/* weigh the dropped choices */
static double dropped_probability(const struct batch *b)
{
    double sum = 0;
    for (size_t i = 0; i < tokens * top_k; i++)
        if (b->capacity.slot[i] == CAPACITY_DROPPED)
            sum += (double)matrix_row(b->p, i / top_k)
                [b->routes.expert[i]];
    return b->count.dropped ? sum / (double)b->count.dropped : 0;
}

/* print what was expected */
static void print_expected(FILE *out, const struct batch *b)
{
    double n = (double)experts, t = (double)tokens, most = 0;
    for (size_t e = 0; e < experts; e++)
        most = fmax(most, b->share[e]);
    print_value(out, "capacity.expected_dropped_share",
                capacity_expected(b->share, experts, tokens,
                                  b->capacity.slots));
    print_value(out, "capacity.approximate_share",
                sqrt((n - 1) / (2 * acos(-1) * t)));
    print_value(out, "capacity.deviation", sqrt(t / n * (1 - 1 / n)));
    print_value(out, "capacity.no_drop_factor", most * n);
}

static void print_values(FILE *out, const struct batch *b)
{
    const struct capacity_count *n = &b->count;
    /* print the sizes of the batch */
    print_count(out, "capacity.tokens", tokens);
    print_count(out, "capacity.experts", experts);
    print_count(out, "capacity.top_k", top_k);
    print_count(out, "capacity.slots", b->capacity.slots);
    print_count(out, "capacity.all_slots", n->slots);
    /* print the drops and the waste */
    print_count(out, "capacity.dropped", n->dropped);
    print_value(out, "capacity.dropped_share",
                share_of(n->dropped, n->choices));
    print_count(out, "capacity.wasted", n->wasted);
    print_value(out, "capacity.wasted_share",
                share_of(n->wasted, n->slots));
    print_count(out, "capacity.lost_tokens", n->lost);
    print_count(out, "capacity.partly_tokens", n->partly);
    print_value(out, "capacity.dropped_probability",
                dropped_probability(b));
    print_conventions(out);
    if (top_k == 1) print_expected(out, b);
}

/* print the run of chapter 5 */
/* draw slots and refusals */
static void print_slots(FILE *out, size_t slots, size_t wanted)
{
    double scale = slots > 16 ? 16 / (double)slots : 1;
    int full = (int)(scale * (double)wanted + 0.5);
    int line = (int)(scale * (double)slots + 0.5);
    for (int i = 0; i < (full > line ? full : line) && i < 40; i++)
        fprintf(out, "%s%c", i == line ? "|" : "",
                i >= line ? 'x' : i < full ? '#' : '.');
    fprintf(out, full > line ? "\n" : "|\n");
}

/* print the parts of the run */
static void print_run(FILE *out, const struct batch *b)
{
    const struct capacity_count *n = &b->count;
    fprintf(out, "Capacity factor %g, served by %s\n", factor,
            orders[drop]);
    fprintf(out, "\n");
    print_line(out);
    print_part(out, "A batch with the shares that were asked for");
    fprintf(out, "    T = %zu, E = %zu, K = %zu, C = %zu\n", tokens,
            experts, top_k, b->capacity.slots);
    for (size_t e = 0; e < experts && e < 16; e++) {
        /* print an expert's load */
        size_t wanted = 0;
        for (size_t i = 0; i < tokens * top_k; i++)
            wanted += b->routes.expert[i] == e;
        fprintf(out, "    expert %-3zu wanted by %4zu  refuses %4zu  "
                "wastes %4zu  ", e, wanted, wanted - b->capacity.taken[e],
                b->capacity.slots - b->capacity.taken[e]);
        print_slots(out, b->capacity.slots, wanted);
    }
    /* print the sums of the batch */
    fprintf(out, "    dropped %zu of %zu choices, %.2f %%\n", n->dropped,
            n->choices, 100 * share_of(n->dropped, n->choices));
    fprintf(out, "    wasted %zu of %zu slots, %.2f %%\n", n->wasted,
            n->slots, 100 * share_of(n->wasted, n->slots));
    fprintf(out, "    tokens left with the residual alone %zu, partly "
            "dropped %zu\n", n->lost, n->partly);
    if (top_k == 1)
        fprintf(out, "    expected at these shares %.2f %% dropped\n",
                100 * capacity_expected(b->share, experts, tokens,
                                        b->capacity.slots));
}

/* print how the slots fill */
static void print_filling(const struct batch *b)
{
    size_t *taken = calloc(experts, sizeof *taken);
    if (!taken) abort();
    /* name the columns of the filling */
    printf("# choice");
    for (size_t e = 0; e < experts; e++) printf("\texpert %zu", e);
    printf("\trefused\n");
    for (size_t i = 0; i < tokens * top_k; i++) {
        /* print the slots taken so far */
        size_t choice = b->capacity.line[i].choice;
        size_t expert = b->routes.expert[choice];
        int kept = b->capacity.slot[choice] != CAPACITY_DROPPED;
        taken[expert] += (size_t)kept;
        printf("%zu", i + 1);
        for (size_t e = 0; e < experts; e++) printf("\t%zu", taken[e]);
        if (kept) printf("\tNaN\n");
        else printf("\t%zu\n", taken[expert]);
    }
    free(taken);
}

/* print the sweep */
static void print_sweep(void)
{
    static const double hot[] = {0, 0.3, 0.6};
    double *share = calloc(experts, sizeof *share);
    if (!share) abort();
    printf("# factor\tdropped, balanced\twasted, balanced\t"
           "dropped, 30 %%\twasted, 30 %%\tdropped, 60 %%\t"
           "wasted, 60 %%\n");
    for (size_t step = 8; step <= 64; step++) {
        /* print a row of the sweep */
        double cf = (double)step / 16;
        size_t slots = capacity_slots(cf, tokens, 1, experts);
        printf("%g", cf);
        for (size_t i = 0; i < 3; i++) {
            /* print drops and waste of a skew */
            double others = (double)(experts - 1);
            for (size_t e = 0; e < experts; e++)
                share[e] = !i || !others ? 1 / (double)experts
                    : e ? (1 - hot[i]) / others : hot[i];
            double dropped = capacity_expected(share, experts, tokens, slots);
            double used = (1 - dropped) * (double)tokens;
            printf("\t%.6g\t%.6g", dropped, 1 - used / (double)(experts * slots));
        }
        printf("\n");
    }
    free(share);
}

/* main of chapter 5 */
int main(int argc, char **argv)
{
    const struct args args = {"chapter5",
        "give experts slots, and count drops and waste", options,
        tables};
    struct args_request request = args_parse(&args, argc, argv);
    /* refuse a batch that cannot be */
    if (top_k > experts)
        args_reject(&args, "--top-k", "--top-k 1",
                    "must be from 1 to the number of experts, %zu, got %zu",
                    experts, top_k);
    if (shares.count > 1 && shares.count != experts)
        args_reject(&args, "--shares", "--shares 1",
                    "must be one weight, or one for each of the %zu "
                    "experts, got %zu", experts, shares.count);
    if (kind == EXACT && top_k > 1)
        args_reject(&args, "--batch", "--batch drawn",
                    "must be drawn if --top-k is above 1, got exact");
    /* refuse choices that cannot be drawn */
    size_t wanted = shares.count > 1 ? 0 : experts;
    for (size_t e = 0; shares.count > 1 && e < experts; e++)
        wanted += shares.at[e] > 0;
    if (top_k > wanted)
        args_reject(&args, "--shares", "--shares 1",
                    "must have at least %zu weights above 0 for --top-k "
                    "%zu, got %zu", top_k, top_k, wanted);
    if (!capacity_exact(factor))
        args_reject(&args, "--capacity-factor", "--capacity-factor 1.25",
                    "must have at most six decimals, got %.10g", factor);
    struct batch b = make_batch();
    /* print what was asked of chapter 5 */
    if (request.output == ARGS_VALUES) print_values(stdout, &b);
    else if (request.output == ARGS_LESSONS)
        lesson_list(stdout, &lessons5, seed);
    else if (request.output == ARGS_RUN) print_run(stdout, &b);
    else if (!strcmp(request.table->name, "sweep")) print_sweep();
    else print_filling(&b);
    free_batch(&b);
    return print_end(args.program);
}
