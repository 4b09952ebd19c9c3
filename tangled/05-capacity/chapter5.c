/* Chapter 5: slots, drops, and what a capacity factor wastes. */
#include <math.h>
#include "contest.h"
#include "conventions.h"
#include "hand.h"
#include "print.h"
#include "program.h"
#include "skew.h"

extern const struct lesson_table lessons5;

static size_t tokens = 64, experts = 8, top_k = 1, gate, exact, drop,
    seed = LESSON_BOOK_SEED;
static double factor = 1;
static struct args_shares shares = {1, {1}};

static const char *const orders[] = {"position", "tokens",
    "probability", "gate", 0};
static const char *const gates[] = {"softmax", "renorm", "sigmoid", 0};
static const char *const kinds[] = {"drawn", "exact", 0};

static const struct args_option options[] = {
    {"--tokens", "tokens in the batch, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--experts", "experts, E", ARGS_COUNT, &experts, 1, 256, NULL},
    {"--top-k", "experts for each token, K", ARGS_COUNT, &top_k,
     1, 256, NULL},
    {"--gate", "how chosen logits become gates", ARGS_CHOICE, &gate,
     0, 0, gates},
    {"--capacity-factor", "slots for each choice", ARGS_NUMBER,
     &factor, 0.01, 100, NULL},
    {"--shares", "the experts' loads; a single one: all alike",
     ARGS_SHARES, &shares, 0, 1e6, NULL},
    {"--batch", "shares are chances, or counts", ARGS_CHOICE, &exact,
     0, 0, kinds},
    {"--drop", "who is served first", ARGS_CHOICE, &drop, 0, 0, orders},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static void check(const struct args *args)
{
    size_t positive = 0;
    if (top_k > experts)
        args_reject(args, "--top-k", "--top-k 1", "must be from 1 to "
            "the number of experts, %zu, got %zu", experts, top_k);
    if (shares.count > 1 && shares.count != experts)
        args_reject(args, "--shares", "--shares 1", "must be one "
            "weight, or one for each of the %zu experts, got %zu",
            experts, shares.count);
    if (exact && top_k > 1)
        args_reject(args, "--batch", "--batch drawn", "must be drawn "
            "if --top-k is above 1, got exact");
    for (size_t e = 0; e < experts; e++) {
        if (shares.count == 1) shares.at[e] = shares.at[0];
        positive += shares.at[e] > 0;
    }
    if (top_k > positive)
        args_reject(args, "--shares", "--shares 1", "must have at "
            "least %zu weights above 0 for --top-k %zu, got %zu", top_k,
            top_k, positive);
    if (!capacity_exact(factor))
        args_reject(args, "--capacity-factor", "--capacity-factor 1.25",
            "must have at most six decimals, got %.10g", factor);
}

enum { LINE = 24 };
static char text[LINE];
static struct skew batch, line;
static double expected; /* share dropped, at K = 1 */

static int prepare(void)
{
    struct random r = random_seeded(seed), again = r;
    batch = skew_new(tokens, experts, top_k);
    skew_draw(&batch, shares.at, exact, &r);
    skew_fill(&batch, gate, factor, drop);
    if (top_k == 1)
        expected = capacity_expected(batch.share, experts, tokens,
                                     batch.capacity.slots);
    line = skew_new(LINE, HAND_EXPERTS, 1);
    skew_text(&line, text, &again);
    skew_fill(&line, GATE_SOFTMAX, factor, drop);
    return 0;
}

static void done(void) { skew_free(&batch), skew_free(&line); }

static const struct program_value known[] = {
    {"capacity.tokens", &tokens, NULL},
    {"capacity.experts", &experts, NULL},
    {"capacity.slots", &batch.capacity.slots, NULL},
    {"capacity.all_slots", &batch.count.slots, NULL},
    {"capacity.choices", &batch.count.choices, NULL},
    {"capacity.dropped", &batch.count.dropped, NULL},
    {"capacity.dropped_share", NULL, &batch.dropped},
    {"capacity.wasted_share", NULL, &batch.wasted},
    {"capacity.dropped_probability", NULL, &batch.refused},
    {0},
};

static void print_contest(FILE *out)
{
    static const char *const ways[] = {"position", "score", "best"};
    struct contest c = contest_new(LESSON_BOOK_SEED);
    char id[40];
    for (int way = 0; way < CONTEST_WAYS; way++) {
        snprintf(id, sizeof id, "contest.%s", ways[way]);
        print_value(out, id, c.by[way].score);
        snprintf(id, sizeof id, "contest.%s_dropped", ways[way]);
        print_count(out, id, c.by[way].dropped);
    }
}

static void print_values(FILE *out)
{
    char id[40];
    double n = experts, t = tokens, most = 0;
    print_contest(out);
    for (const struct convention *c = conventions; c->name; c++) {
        snprintf(id, sizeof id, "capacity.slots_%s", c->name);
        print_count(out, id, c->slots(factor, tokens, top_k, experts));
    }
    for (size_t order = 0; orders[order]; order++) {
        snprintf(id, sizeof id, "capacity.moved_%s", orders[order]);
        print_count(out, id, skew_moved(&batch, order));
    }
    if (top_k > 1) return;
    for (size_t e = 0; e < experts; e++)
        most = fmax(most, batch.share[e]);
    print_value(out, "capacity.expected_dropped_share", expected);
    print_value(out, "capacity.approximate_share",
                sqrt((n - 1) / (2 * acos(-1) * t)));
    print_value(out, "capacity.deviation", sqrt(t / n * (1 - 1 / n)));
    print_value(out, "capacity.no_drop_factor", most * n);
}

static void print_line(FILE *out)
{
    size_t slots = line.capacity.slots;
    fprintf(out, "\nA line of text: T = %d, E = %d, C = %zu\n", LINE,
            HAND_EXPERTS, slots);
    for (size_t e = 0; e < HAND_EXPERTS; e++) {
        size_t n = 0;
        fprintf(out, "    expert %zu |", e);
        for (size_t i = 0; i < LINE; i++) {
            size_t t = line.capacity.line[i].choice;
            if (line.routes.expert[t] == e)
                fprintf(out, n++ == slots ? " | %2s" : " %2s",
                        print_char(text[t]));
        }
        int over = n > slots;
        for (; n < slots && n < LINE; n++) fprintf(out, "  _");
        fprintf(out, over ? "\n" : " |\n");
    }
}

static void print_queue(FILE *out)
{
    size_t before[HAND_EXPERTS] = {0};
    fprintf(out, "# turn\tcharacter\texpert\tbefore\tslots\n");
    for (size_t i = 0; i < LINE; i++) {
        size_t t = line.capacity.line[i].choice;
        size_t e = line.routes.expert[t];
        fprintf(out, "%zu\t%s\t%zu\t%zu\t%zu\n", i, print_char(text[t]),
                e, before[e]++, line.capacity.slots);
    }
}

static void print_slots(FILE *out, size_t slots, size_t wanted)
{
    double scale = slots > 16 ? 16 / (double)slots : 1;
    int full = (int)(scale * wanted + 0.5);
    int bar = (int)(scale * slots + 0.5);
    for (int i = 0; i < (full > bar ? full : bar) && i < 40; i++)
        fprintf(out, "%s%c", i == bar ? "|" : "",
                i >= bar ? 'x' : i < full ? '#' : '.');
    fprintf(out, full > bar ? "\n" : "|\n");
}

static void print_run(FILE *out)
{
    const struct capacity_count *n = &batch.count;
    size_t slots = batch.capacity.slots;
    fprintf(out, "Capacity factor %g, served by %s\n", factor,
            orders[drop]);
    print_line(out);
    print_part(out, "A batch with the shares that were asked for");
    fprintf(out, "    T = %zu, E = %zu, K = %zu, C = %zu\n", tokens,
            experts, top_k, slots);
    for (size_t e = 0; e < experts && e < 16; e++) {
        size_t want = batch.wanted[e], taken = batch.capacity.taken[e];
        fprintf(out, "    expert %-3zu wanted by %4zu  refuses %4zu  "
                "wastes %4zu  ", e, want, want - taken,
                slots - taken);
        print_slots(out, slots, want);
    }
    fprintf(out, "    dropped %zu of %zu choices, %.2f %%\n",
            n->dropped, n->choices, 100 * batch.dropped);
    fprintf(out, "    wasted %zu of %zu slots, %.2f %%\n", n->wasted,
            n->slots, 100 * batch.wasted);
    fprintf(out, "    tokens left with the residual alone %zu, partly "
            "dropped %zu\n", n->lost, n->partly);
    if (top_k == 1)
        fprintf(out, "    expected at these shares %.2f %% dropped\n",
                100 * expected);
}

static void print_sweep(FILE *out)
{
    static const double hot[] = {0, 0.3, 0.6};
    double p[ARGS_SHARES_MOST];
    fprintf(out, "# factor\tdropped\twasted\tdropped, 30 %%\t"
            "wasted, 30 %%\tdropped, 60 %%\twasted, 60 %%\n");
    for (size_t step = 8; step <= 64; step++) {
        double cf = step / 16.0;
        size_t slots = capacity_slots(cf, tokens, 1, experts);
        fprintf(out, "%g", cf);
        for (size_t i = 0; i < 3; i++) {
            for (size_t e = 0; e < experts; e++)
                p[e] = !i || experts == 1 ? 1.0 / experts
                    : e ? (1 - hot[i]) / (experts - 1) : hot[i];
            double d = capacity_expected(p, experts, tokens, slots);
            fprintf(out, "\t%.6g\t%.6g", d,
                    1 - (1 - d) * tokens / (experts * slots));
        }
        fprintf(out, "\n");
    }
}

static const struct program program = {
    .name = "chapter5", .options = options, .lessons = &lessons5,
    .about = "give experts slots, and count drops and waste",
    .seed = &seed, .check = check, .prepare = prepare, .done = done,
    .run = print_run, .known = known, .values = print_values,
    .tables = (const struct args_table[]){
        {"queue", print_queue}, {"sweep", print_sweep}, {0}}};

int main(int argc, char **argv)
{
    return program_main(&program, argc, argv);
}
