/* Chapter 7: counting, learning, attending. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bigram.h"
#include "check.h"
#include "corpus.h"
#include "fit.h"
#include "health.h"
#include "lessons.h"
#include "loss.h"
#include "mlpfit.h"

extern const struct lesson_table lessons7;
static void lessons(void) { check_lessons(&lessons7, 200, ""); }

#ifdef REAL_DOUBLE
struct small { struct gpt_options o; struct gpt gpt, grad; struct gpt_work *work; size_t symbol[12], target[12];
               struct weights list; };

static double small_loss(void *context)
{
    struct small *s = context;
    double sum = gpt_forward(&s->gpt, s->work, s->symbol, s->target, NULL);
    for (size_t i = 0; i < s->o.blocks; i++)
        sum += s->o.layer.alpha * gpt_moe(s->work, i)->aux + s->o.layer.zeta * gpt_moe(s->work, i)->z_loss;
    return sum;
}

struct stack { struct mlp_options o; struct mlp mlp, grad; struct mlp_work *work; size_t symbol[12], target[12];
               struct weights list; };

static double stack_loss(void *context)
{
    struct stack *s = context;
    return mlp_forward(&s->mlp, s->work, s->symbol, s->target, NULL);
}

/* Every parameter group of a small MLP, by differences: each normalization, over the batch too, each activation that has
 * no kink, with and without a residual, both losses. */
static void mlp_gradients(void)
{
    struct random r = check_random();
    for (int k = 0; k < 16; k++) {
        struct stack s = {.o = {5, 4, 3, 4, 7, 2, k & 4 ? FFN_TANH : FFN_GELU, (enum norm_kind)(k % 4), k & 8, k % 3 == 0,
                                1, 1, 1}};
        s.mlp = mlp_new(s.o, &r), s.grad = mlp_new(s.o, &r), s.work = mlp_work_new(&s.o, 12);
        mlp_weights(&s.list, &s.mlp, &s.grad);
        for (size_t i = 0; i < s.list.count; i++) {
            struct matrix m = s.list.at[i].value;
            for (size_t j = 0; j < m.rows * m.cols; j++) m.at[j] += (real)random_symmetric(&r, 0.5);
        }
        for (size_t t = 0; t < 12; t++) s.symbol[t] = random_below(&r, 5), s.target[t] = random_below(&r, 5);
        stack_loss(&s);
        mlp_backward(&s.mlp, &s.grad, s.work, s.symbol);
        for (size_t i = 0; i < s.list.count; i++) { /* what a batch's mean takes away has no slope, but for rounding */
            if (sqrt(matrix_squares(s.list.at[i].slope)) > 1e-12) continue;
            CU_ASSERT(k % 4 == NORM_BATCH && !(k & 8) && !strcmp(s.list.at[i].name, "block0.b2"));
            s.list.at[i--] = s.list.at[--s.list.count];
        }
        double error = weights_error(&s.list, stack_loss, &s);
        CU_ASSERT(error < 1e-6);
        if (!(error < 1e-6)) printf("\n    kind %d: error %g", k, error);
        weights_free(&s.list), mlp_free(&s.mlp), mlp_free(&s.grad), mlp_work_free(s.work);
    }
}

/* ReLU's too, clear of its kinks: no number that goes into one is near zero. */
static void mlp_gradients_relu(void)
{
    struct random r = check_random();
    for (int tried = 0, k = 0; k < 4 && tried < 400; tried++) {
        struct stack s = {.o = {5, 4, 3, 4, 7, 2, FFN_RELU, (enum norm_kind)k, 1, 0, 1, 1, 1}};
        double nearest = 1;
        s.mlp = mlp_new(s.o, &r), s.grad = mlp_new(s.o, &r), s.work = mlp_work_new(&s.o, 12);
        mlp_weights(&s.list, &s.mlp, &s.grad);
        for (size_t t = 0; t < 12; t++) s.symbol[t] = random_below(&r, 5), s.target[t] = random_below(&r, 5);
        stack_loss(&s);
        for (size_t b = 0; b < 2; b++)
            for (size_t i = 0; i < 12 * 7; i++) nearest = fmin(nearest, fabs((double)s.work->block[b].trace.pre.at[i]));
        if (nearest > 1e-3) {
            mlp_backward(&s.mlp, &s.grad, s.work, s.symbol);
            CU_ASSERT(weights_error(&s.list, stack_loss, &s) < 1e-6);
            k++;
        }
        CU_ASSERT(tried < 399);
        weights_free(&s.list), mlp_free(&s.mlp), mlp_free(&s.grad), mlp_work_free(s.work);
    }
}

/* Every parameter group of a small transformer, dense and routed, by differences. */
static void gradients(void)
{
    static const struct { size_t experts, top_k; enum routes_gate gate; double alpha; } kinds[] = {
        {1, 1, GATE_RENORM, 0}, {3, 1, GATE_SOFTMAX, 0.01}, {3, 2, GATE_RENORM, 0.1}, {4, 2, GATE_SIGMOID, 0.01}};
    struct random r = check_random();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct small s = {.o = {5, 4, 2, 2, {.width = 6, .hidden = 7, .experts = kinds[k].experts,
            .top_k = kinds[k].top_k, .gate = kinds[k].gate, .activation = FFN_GELU, .alpha = kinds[k].alpha,
            .zeta = kinds[k].alpha}}};
        s.gpt = gpt_new(s.o, &r), s.grad = gpt_new(s.o, &r);
        s.work = gpt_work_new(&s.o, 12);
        gpt_weights(&s.list, &s.gpt, &s.grad);
        for (size_t i = 0; i < s.list.count; i++) { /* away from zeros and ones */
            struct matrix m = s.list.at[i].value;
            for (size_t j = 0; j < m.rows * m.cols; j++) m.at[j] += (real)random_symmetric(&r, 0.5);
        }
        for (size_t t = 0; t < 12; t++) s.symbol[t] = random_below(&r, 5), s.target[t] = random_below(&r, 5);
        small_loss(&s);
        gpt_backward(&s.gpt, &s.grad, s.work, s.symbol);
        double error = weights_error(&s.list, small_loss, &s);
        CU_ASSERT(error < 1e-6);
        if (!(error < 1e-6)) printf("\n    kind %zu: error %g", k, error);
        weights_free(&s.list), gpt_free(&s.gpt), gpt_free(&s.grad), gpt_work_free(s.work);
    }
}
#endif

/* An MLP with no blocks and a context of one is a bigram table, embed times unembed. */
static void mlp_contains_the_bigram(void)
{
    struct random r = check_random();
    size_t n = text_symbols(), symbol[24];
    struct mlp_options o = {n, 8, 1, n, 4, 0, FFN_GELU, NORM_NONE, 0, 0, 1, 1, 0};
    struct mlp mlp = mlp_new(o, &r);
    struct mlp_work *work = mlp_work_new(&o, 24);
    struct matrix rows = matrix_new(24, n);
    for (size_t i = 0; i < n; i++) matrix_row(mlp.unembed, i)[i] = 1;
    for (size_t t = 0; t < 24; t++) symbol[t] = random_below(&r, n);
    mlp_run(&mlp, work, symbol);
    bigram_rows(rows, mlp.embed, symbol);
    CU_ASSERT(check_gap(rows, work->logits) < 1e-6);
    mlp_free(&mlp), mlp_work_free(work), matrix_free(&rows);
}

/* What is more than the context back, or before the window, does not count; the last of it does. */
static void mlp_context(void)
{
    struct random r = check_random();
    struct mlp_options o = {7, 16, 4, 8, 6, 2, FFN_TANH, NORM_LAYER, 0, 0, 1, 1, 1};
    struct mlp mlp = mlp_new(o, &r);
    struct mlp_work *work = mlp_work_new(&o, 32);
    struct matrix kept = matrix_new(32, 7);
    size_t symbol[32];
    for (size_t t = 0; t < 32; t++) symbol[t] = random_below(&r, 7);
    mlp_run(&mlp, work, symbol);
    row_copy(kept.at, work->logits.at, 32 * 7);
    size_t at = 13;
    symbol[at] = (symbol[at] + 1) % 7;
    mlp_run(&mlp, work, symbol);
    for (size_t t = 0; t < 32; t++) {
        int same = !memcmp(matrix_row(kept, t), matrix_row(work->logits, t), 7 * sizeof *kept.at);
        CU_ASSERT_EQUAL(same, t < at || t >= at + 4 || t >= 16);
    }
    mlp_free(&mlp), mlp_work_free(work), matrix_free(&kept);
}

/* Chapter 1's model and loss are this one: what charlm says is what its formula says. */
static void squares_by_definition(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 20, 7, 2), kept = matrix_new(20, 7);
    size_t target[20];
    double sum = 0;
    row_copy(kept.at, z.at, 20 * 7);
    for (size_t t = 0; t < 20; t++) target[t] = random_below(&r, 7);
    double loss = loss_squares(z, target);
    for (size_t t = 0; t < 20; t++)
        for (size_t v = 0; v < 7; v++) {
            double gap = (double)matrix_row(kept, t)[v] - (v == target[t]);
            sum += gap * gap / 20;
            CU_ASSERT_DOUBLE_EQUAL(matrix_row(z, t)[v], 2 * gap / 20, 1e-5);
        }
    CU_ASSERT_DOUBLE_EQUAL(loss, sum, 1e-4);
    matrix_free(&z), matrix_free(&kept);
}

/* Over columns as over rows of the transpose; a unit's slopes add up to zero over the batch; running statistics of one
 * batch, seen often enough, give what that batch gave. */
static void batch_normalized(void)
{
    struct random r = check_random();
    enum { T = 30, D = 5 };
    struct matrix x = check_matrix(&r, T, D, 3), y = matrix_new(T, D), turned = matrix_new(D, T), u = matrix_new(D, T);
    struct matrix gain = matrix_new(1, D), ones = matrix_new(1, T), dy = check_matrix(&r, T, D, 1), dx = matrix_new(T, D);
    struct matrix dgain = matrix_new(1, D), running = matrix_new(2, D), again = matrix_new(T, D);
    double scale[T], mean[T], sum;
    for (size_t d = 0; d < D; d++) gain.at[d] = (real)(0.5 + random_uniform(&r)), matrix_row(running, 1)[d] = 1;
    for (size_t t = 0; t < T; t++) ones.at[t] = 1;
    for (size_t i = 0; i < T * D; i++) turned.at[i % D * T + i / D] = x.at[i];
    norm_forward(NORM_LAYER, u, turned, ones, scale, mean);
    norm_forward(NORM_BATCH, y, x, gain, scale, mean);
    for (size_t i = 0; i < T * D; i++)
        CU_ASSERT_DOUBLE_EQUAL(y.at[i], (double)u.at[i % D * T + i / D] * (double)gain.at[i % D], 1e-5);
    norm_backward(NORM_BATCH, dx, dgain, dy, x, gain, scale, mean);
    for (size_t d = 0; d < D; d++) {
        sum = 0;
        for (size_t t = 0; t < T; t++) sum += (double)matrix_row(dx, t)[d];
        CU_ASSERT_DOUBLE_EQUAL(sum, 0, 1e-5);
    }
    for (int i = 0; i < 200; i++) norm_remember(running, scale, mean);
    norm_recalled(again, x, gain, running, scale, mean);
    CU_ASSERT(check_gap(again, y) < 1e-4);
    matrix_free(&x), matrix_free(&y), matrix_free(&turned), matrix_free(&u), matrix_free(&gain), matrix_free(&ones);
    matrix_free(&dy), matrix_free(&dx), matrix_free(&dgain), matrix_free(&running), matrix_free(&again);
}

/* Frozen, a token's guess does not depend on who else is in the batch; in training it does. */
static void frozen_statistics(void)
{
    struct random r = check_random();
    struct mlp_options o = {7, 4, 2, 8, 6, 2, FFN_TANH, NORM_BATCH, 0, 0, 1, 1, 1};
    struct mlp mlp = mlp_new(o, &r);
    struct mlp_work *work = mlp_work_new(&o, 12);
    size_t symbol[12];
    real first[2][7];
    for (int frozen = 0; frozen < 2; frozen++) {
        mlp_freeze(work, frozen);
        for (int i = 0; i < 2; i++) {
            for (size_t t = 0; t < 12; t++) symbol[t] = t < 4 ? t : random_below(&r, 7);
            mlp_run(&mlp, work, symbol);
            row_copy(first[i], matrix_row(work->logits, 3), 7);
        }
        CU_ASSERT_EQUAL(!memcmp(first[0], first[1], sizeof first[0]), frozen);
    }
    mlp_free(&mlp), mlp_work_free(work);
}

/* Units that always, never and half of the time pass a slope on. */
static void healthy(void)
{
    struct random r = check_random();
    struct mlp_options o = {4, 4, 1, 2, 4, 1, FFN_TANH, NORM_NONE, 0, 0, 1, 1, 1};
    struct mlp mlp = mlp_new(o, &r);
    struct mlp_work *work = mlp_work_new(&o, 4);
    matrix_clear(mlp.embed), matrix_clear(mlp.block[0].ffn.w1);
    size_t symbol[4] = {0, 1, 2, 3};
    for (size_t v = 0; v < 4; v++) matrix_row(mlp.embed, v)[0] = v < 2 ? 0 : 1;
    matrix_row(mlp.block[0].ffn.w1, 0)[2] = 9;
    mlp.block[0].ffn.b1.at[1] = 9, mlp.block[0].ffn.b1.at[3] = -9;
    mlp_run(&mlp, work, symbol);
    struct health h = health_of(&mlp, work, 0);
    CU_ASSERT_DOUBLE_EQUAL(h.dead, 0.5, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(h.saturated, (4 + 4 + 2) / 16.0, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(h.size, sqrt(10 / 16.0), 1e-4);
    struct weight w = {"w", check_matrix(&r, 2, 2, 1), matrix_new(2, 2)};
    for (size_t i = 0; i < 4; i++) w.slope.at[i] = 3 * w.value.at[i];
    CU_ASSERT_DOUBLE_EQUAL(health_ratio(&w, 0.1), 0.3, 1e-6);
    matrix_free(&w.value), matrix_free(&w.slope), mlp_free(&mlp), mlp_work_free(work);
}

/* A guesser who knows the answer but for sums whose ones add up to more than nine. */
static void cannot_carry(void *model, struct batch *b)
{
    size_t *asked = model;
    for (size_t w = 0; w < b->windows; w++) {
        const size_t *s = b->symbol + w * b->length;
        size_t ones = s[1] + s[4] - 2 * text_symbol('0');
        for (size_t i = 0; i < b->length; i++) b->right[w * b->length + i] = ones < 10 || i != 6;
        (*asked)++;
    }
}

static void exact_answers(void)
{
    struct corpus c = corpus_new(CORPUS_REVERSED);
    struct batch b = batch_new(&c, 30, 20);
    size_t asked = 0, sums = 0, easy = 0;
    double share = batch_exact(&b, CORPUS_HELD, cannot_carry, &asked);
    for (size_t i = 0; i < c.lines[CORPUS_HELD][TEXT_ARITHMETIC].count; i++) {
        const char *line = c.lines[CORPUS_HELD][TEXT_ARITHMETIC].at[i];
        if (line[2] == '+') sums++, easy += line[1] + line[4] - 2 * '0' < 10;
    }
    CU_ASSERT_DOUBLE_EQUAL(share, (double)easy / (double)sums, 1e-12);
    CU_ASSERT(asked >= sums && asked < sums + 30);
    batch_free(&b), corpus_free(&c);
}

/* The first choice is the likeliest symbol of a row. */
static void first_choices(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 40, 6, 3), d = matrix_new(40, 6);
    size_t target[40];
    unsigned char right[40];
    for (size_t t = 0; t < 40; t++) target[t] = random_below(&r, 6);
    loss_forward(d, z, target, NULL);
    loss_right(d, target, right);
    for (size_t t = 0; t < 40; t++) {
        size_t best = 0;
        for (size_t v = 0; v < 6; v++) if (matrix_row(z, t)[v] > matrix_row(z, t)[best]) best = v;
        CU_ASSERT_EQUAL(right[t], best == target[t]);
    }
    matrix_free(&z), matrix_free(&d);
}

static void no_look_ahead(void)
{
    struct random r = check_random();
    struct gpt_options o = {7, 8, 2, 2, {.width = 8, .hidden = 6, .experts = 2, .top_k = 1, .gate = GATE_SOFTMAX}};
    struct gpt gpt = gpt_new(o, &r);
    struct gpt_work *a = gpt_work_new(&o, 8), *b = gpt_work_new(&o, 8);
    size_t one[8], two[8];
    for (size_t i = 0; i < 8; i++) one[i] = two[i] = 1 + random_below(&r, 6);
    for (size_t i = 5; i < 8; i++) two[i] = 1 + random_below(&r, 6);
    double first[8], second[8];
    gpt_forward(&gpt, a, one, one, first), gpt_forward(&gpt, b, two, one, second);
    for (size_t i = 0; i < 5; i++) CU_ASSERT(first[i] == second[i]);
    gpt_free(&gpt), gpt_work_free(a), gpt_work_free(b);
}

/* The counted table is where descent ends: its slopes are zero, and its loss is least. */
static void counts_are_the_optimum(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_REVERSED);
    struct batch b = batch_new(&c, 64, 32);
    size_t n = text_symbols();
    uint64_t *count = calloc(n * n, sizeof *count);
    struct matrix table = matrix_new(n, n), slope = matrix_new(n, n), other = matrix_new(n, n);
    CU_ASSERT_FATAL(count != NULL);
    batch_draw(&b, CORPUS_TRAIN, &r);
    bigram_count(count, n, b.symbol, b.target, 64 * 32);
    bigram_from_counts(table, count, 1e-9);
    double least = bigram_loss(slope, table, count);
    CU_ASSERT(sqrt(matrix_squares(slope)) < 1e-6);
    for (int i = 0; i < 20; i++) {
        size_t at = random_below(&r, n * n);
        real kept = table.at[at];
        if (!count[at]) continue;
        table.at[at] += (real)random_symmetric(&r, 2);
        CU_ASSERT(bigram_loss(other, table, count) >= least - 1e-6);
        table.at[at] = kept;
    }
    /* The mean over counted pairs is the mean over the pairs themselves, one by one. */
    struct matrix rows = matrix_new(64 * 32, n);
    bigram_rows(rows, table, b.symbol);
    CU_ASSERT_DOUBLE_EQUAL(loss_forward(rows, rows, b.target, NULL), least, 1e-5);
    /* A unigram has one row, of what comes; it is no better than the bigram on what both counted. */
    bigram_unigram(other, count, 0.5);
    for (size_t v = 0; v < n; v++) {
        double all = 0.5;
        for (size_t a = 0; a < n; a++) all += (double)count[a * n + v];
        size_t a = random_below(&r, n);
        CU_ASSERT_DOUBLE_EQUAL(exp((double)matrix_row(other, a)[v]), all, 1e-5 * all);
    }
    CU_ASSERT(bigram_loss(slope, other, count) > least);
    free(count), matrix_free(&table), matrix_free(&slope), matrix_free(&other), matrix_free(&rows);
    batch_free(&b), corpus_free(&c);
}

static void zeros(void *model, struct batch *b)
{
    (void)model;
    for (size_t t = 0; t < b->windows * b->length; t++) b->each[t] = (double)b->target[t];
}

/* Answers are the text one on; bits are means over a domain's characters; and every call asks the same. */
static void questions_and_answers(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_PLAIN);
    struct batch b = batch_new(&c, 50, 20);
    batch_draw(&b, CORPUS_HELD, &r);
    for (size_t w = 0; w < 50; w++)
        for (size_t s = 0; s + 1 < 20; s++) CU_ASSERT_EQUAL(b.target[w * 20 + s], b.symbol[w * 20 + s + 1]);
    struct batch_bits bits = batch_bits(&b, CORPUS_HELD, 1, zeros, NULL), again = batch_bits(&b, CORPUS_HELD, 1, zeros, NULL);
    CU_ASSERT(!memcmp(&bits, &again, sizeof bits));
    double sum[TEXT_DOMAINS] = {0}, count[TEXT_DOMAINS] = {0}, all = 0;
    for (size_t w = 0; w < 50; w++)
        for (size_t s = 0; s < 20; s++) {
            size_t d = b.domain[w * 21 + s + 1];
            sum[d] += (double)b.text[w * 21 + s + 1] / log(2), count[d]++, all += (double)b.target[w * 20 + s] / log(2);
        }
    for (size_t d = 0; d < TEXT_DOMAINS; d++) CU_ASSERT_DOUBLE_EQUAL(bits.domain[d], sum[d] / count[d], 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(bits.all, all / 1000, 1e-9);
    batch_free(&b), corpus_free(&c);
}

/* What is drawn comes as often as its probability says; an impossible one never. */
static void samples(void)
{
    enum { DRAWS = 20000 };
    struct random r = check_random();
    double p[4] = {0.5, 0.3, 0, 0.2};
    size_t came[4] = {0};
    for (int i = 0; i < DRAWS; i++) {
        real z[4];
        for (size_t v = 0; v < 4; v++) z[v] = (real)(p[v] > 0 ? log(p[v]) + 3 : (double)-INFINITY);
        came[loss_sample((struct matrix){1, 4, z}, &r)]++;
    }
    CU_ASSERT(came[2] == 0);
    for (size_t v = 0; v < 4; v++) CU_ASSERT_DOUBLE_EQUAL((double)came[v] / DRAWS, p[v], 0.02);
}

/* Rows leave with mean square one, or mean zero and variance one; a row's size does not matter. */
static void normalized(void)
{
    struct random r = check_random();
    struct matrix x = check_matrix(&r, 9, 16, 3), y = matrix_new(9, 16), z = matrix_new(9, 16), gain = matrix_new(1, 16);
    double scale[9], mean[9];
    for (size_t d = 0; d < 16; d++) gain.at[d] = 1;
    for (int kind = NORM_RMS; kind <= NORM_LAYER; kind++) {
        norm_forward((enum norm_kind)kind, y, x, gain, scale, mean);
        for (size_t t = 0; t < 9; t++) {
            double squares = 0, sum = 0;
            for (size_t d = 0; d < 16; d++) sum += (double)matrix_row(y, t)[d], squares += pow((double)matrix_row(y, t)[d], 2);
            CU_ASSERT_DOUBLE_EQUAL(squares / 16, 1, 1e-3);
            if (kind == NORM_LAYER) CU_ASSERT_DOUBLE_EQUAL(sum, 0, 1e-4);
        }
        for (size_t i = 0; i < 9 * 16; i++) x.at[i] *= 10;
        norm_forward((enum norm_kind)kind, z, x, gain, scale, mean);
        CU_ASSERT(check_gap(y, z) < 1e-3);
        for (size_t i = 0; i < 9 * 16; i++) x.at[i] = (real)((double)x.at[i] / 10);
    }
    matrix_free(&x), matrix_free(&y), matrix_free(&z), matrix_free(&gain);
}

/* Tokens that fetch with equal scores fetch the mean; all weights of a row sum to one, and none is ahead. */
static void attention_weights_rows(void)
{
    struct random r = check_random();
    struct attention a = attention_new(8, 2, 1, &r);
    struct attention_work w = attention_work_new(12, 6, 8, 2);
    struct matrix x = check_matrix(&r, 12, 8, 1), y = matrix_new(12, 8);
    attention_forward(&a, y, x, &w);
    for (size_t i = 0; i < w.share.rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < 6; j++) {
            double share = (double)matrix_row(w.share, i)[j];
            CU_ASSERT(j <= i % 6 ? share > 0 : share == 0);
            sum += share;
        }
        CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-5);
    }
    for (size_t d = 0; d < 8; d++) for (size_t c = 0; c < 16; c++) matrix_row(a.qkv, d)[c] = 0; /* no query, no key */
    attention_forward(&a, y, x, &w);
    for (size_t i = 0; i < w.share.rows; i++)
        for (size_t j = 0; j <= i % 6; j++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(w.share, i)[j], 1.0 / (double)(i % 6 + 1), 1e-6);
    attention_free(&a), attention_work_free(&w), matrix_free(&x), matrix_free(&y);
}

/* The formulas for parameters are what the list of weights has. */
static void parameters(void)
{
    struct random r = check_random();
    for (int round = 0; round < 10; round++) {
        size_t heads = 1 + random_below(&r, 3), experts = 1 + random_below(&r, 5);
        struct gpt_options o = {2 + random_below(&r, 9), 1 + random_below(&r, 9), heads, random_below(&r, 4),
            {.width = heads * (1 + random_below(&r, 5)), .hidden = 1 + random_below(&r, 9), .experts = experts,
             .top_k = 1 + random_below(&r, experts), .shared = random_below(&r, 2), .gate = GATE_RENORM}};
        struct gpt gpt = gpt_new(o, &r);
        struct weights list = {0};
        gpt_weights(&list, &gpt, &gpt);
        CU_ASSERT_EQUAL(weights_count(&list), gpt_parameters(&o));
        weights_free(&list), gpt_free(&gpt);
        struct mlp_options p = {2 + random_below(&r, 9), 4, 1 + random_below(&r, 9), 1 + random_below(&r, 9),
            1 + random_below(&r, 9), random_below(&r, 4), FFN_GELU, (enum norm_kind)random_below(&r, 4), 1, 0, 1, 1, 1};
        struct mlp mlp = mlp_new(p, &r);
        list = (struct weights){0};
        mlp_weights(&list, &mlp, &mlp);
        CU_ASSERT_EQUAL(weights_count(&list), mlp_parameters(&p));
        weights_free(&list), mlp_free(&mlp);
    }
}

/* More of the same text, the same batches: the same loss to the last bit, and it falls. */
static void training_repeats(void)
{
    struct corpus c = corpus_new(CORPUS_REVERSED);
    struct gpt_options o = {text_symbols(), 16, 2, 1, {.width = 16, .hidden = 16, .experts = 2, .top_k = 1,
                            .gate = GATE_SOFTMAX, .activation = FFN_GELU, .alpha = 0.01}};
    double loss[2];
    struct batch_bits before = {{0}, 0}, after = {{0}, 0};
    for (int i = 0; i < 2; i++) {
        struct fit f = fit_new(o, 16, &c, 3);
        struct train t = {.name = "test", .list = &f.list, .gradient = fit_gradient, .context = &f, .steps = 60, .warm = 10,
                          .rate = 1e-2, .clip = 1, .tokens = 256, .seed = 5};
        before = batch_bits(&f.batch, CORPUS_HELD, 4, fit_guess, &f);
        loss[i] = train_run(&t);
        after = batch_bits(&f.batch, CORPUS_HELD, 4, fit_guess, &f);
        fit_free(&f);
    }
    CU_ASSERT(loss[0] == loss[1]);
    CU_ASSERT(fabs(before.all - log2((double)text_symbols())) < 1);
    CU_ASSERT(after.all < before.all - 0.7);
    struct mlp_options p = {text_symbols(), 16, 8, 16, 16, 2, FFN_TANH, NORM_BATCH, 0, 0, 0.5, 1, 0.1};
    for (int i = 0; i < 2; i++) {
        struct mlpfit f = mlpfit_new(p, 16, &c, 3);
        struct train t = {.name = "test", .list = &f.list, .gradient = mlpfit_gradient, .context = &f, .steps = 60,
                          .warm = 10, .rate = 1e-2, .clip = 1, .tokens = 256, .seed = 5};
        before = batch_bits(&f.batch, CORPUS_HELD, 4, mlpfit_guess, &f);
        loss[i] = train_run(&t);
        after = batch_bits(&f.batch, CORPUS_HELD, 4, mlpfit_guess, &f);
        mlpfit_free(&f);
    }
    CU_ASSERT(loss[0] == loss[1]);
    CU_ASSERT(fabs(before.all - log2((double)text_symbols())) < 0.1);
    CU_ASSERT(after.all < before.all - 0.7);
    corpus_free(&c);
}

static void program(void)
{
    check_program(7, "--steps 1");
    static const struct check_refusal rows[] = {
        {"--top-k 5", "--top-k must be at most --experts, 4, got 5 (try --top-k 4)"},
        {"--prompt 'A'", "--prompt must be of characters that the corpus has, got 'A' (try --prompt 12+07=)"},
        {"--prompt ''", "must be text, its length from 1 to 64, got ''"},
        {"--model both", "must be all or mlp or dense or moe"},
        {"--norm group", "must be none or rms or layer or batch"},
        {NULL, NULL}};
    check_refuses(7, rows);
    CU_ASSERT_DOUBLE_EQUAL(check_value(7, "--steps 0", "uniform.held"), log2(check_value(7, "--steps 0", "corpus.symbols")), 1e-5);
}

/* Rows of results become a mean and a deviation a model. */
static void summary(void)
{
    struct check_output got = check_run("printf 'a\\t1\\t5\\ttrain\\t2\\na\\t1\\t5\\tall\\t3\\na\\t2\\t5\\ttrain\\t4\\n"
                                        "a\\t2\\t5\\tall\\t5\\n' | " CHECK_BUILD "/chapter7 --data summary");
    CU_ASSERT_EQUAL(got.status, 0);
    CU_ASSERT(strstr(got.out, "# model:\tseeds\tstep\ttrain\ttrain deviation\tall\tall deviation\n"
                              "a\t2\t5\t3\t1.41\t4\t1.41\n") != NULL);
    check_free(&got);
}

static void split(void)
{
    for (int sums = CORPUS_PLAIN; sums <= CORPUS_REVERSED; sums++) {
        struct corpus c = corpus_new((enum corpus_sums)sums);
        for (size_t d = 0; d < TEXT_DOMAINS; d++) {
            double held = (double)c.lines[CORPUS_HELD][d].count, all = held + (double)c.lines[CORPUS_TRAIN][d].count;
            CU_ASSERT(held / all > 0.08 && held / all < 0.12);
        }
        CU_ASSERT(c.lines[CORPUS_TRAIN][TEXT_NAMES].count + c.lines[CORPUS_HELD][TEXT_NAMES].count == 8403);
        CU_ASSERT(c.lines[CORPUS_TRAIN][TEXT_ARITHMETIC].count + c.lines[CORPUS_HELD][TEXT_ARITHMETIC].count == 15219);
        /* no line on both sides, and a sum's mirror image on the same */
        struct corpus_lines *t = &c.lines[CORPUS_TRAIN][TEXT_ARITHMETIC], *h = &c.lines[CORPUS_HELD][TEXT_ARITHMETIC];
        char seen[100][100] = {{0}};
        for (int part = 0; part < 2; part++) {
            struct corpus_lines *l = part ? h : t;
            for (size_t i = 0; i < l->count; i++) {
                size_t a, b;
                char sign;
                if (sscanf(l->at[i], "%zu%c%zu", &a, &sign, &b) != 3 || sign != '+') continue;
                CU_ASSERT_FATAL(a < 100 && b < 100);
                CU_ASSERT(!seen[a][b] && (!seen[b][a] || a == b || seen[b][a] == part + 1));
                seen[a][b] = (char)(part + 1);
            }
        }
        for (size_t a = 0; a < 100; a++) for (size_t b = 0; b < 100; b++) CU_ASSERT(seen[a][b] && seen[a][b] == seen[b][a]);
        corpus_free(&c);
    }
}

static void thirds(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_REVERSED);
    enum { WINDOWS = 2000, LENGTH = 33 };
    size_t *symbol = malloc(WINDOWS * LENGTH * sizeof *symbol), of[TEXT_DOMAINS] = {0};
    unsigned char *domain = malloc(WINDOWS * LENGTH);
    CU_ASSERT_FATAL(symbol && domain);
    corpus_windows(&c, CORPUS_TRAIN, WINDOWS, LENGTH, symbol, domain, &r);
    for (size_t i = 0; i < WINDOWS * LENGTH; i++) of[domain[i]]++;
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        CU_ASSERT_DOUBLE_EQUAL((double)of[d] / (WINDOWS * LENGTH), 1.0 / 3, 0.04);
    free(symbol), free(domain), corpus_free(&c);
}

static void loss_by_definition(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 20, 7, 5), d = matrix_new(20, 7);
    size_t target[20];
    double sum = 0, each[20];
    for (size_t t = 0; t < 20; t++) target[t] = random_below(&r, 7);
    double loss = loss_forward(d, z, target, each);
    for (size_t t = 0; t < 20; t++) {
        double all = 0, slopes = 0;
        for (size_t v = 0; v < 7; v++) all += exp((double)matrix_row(z, t)[v]);
        double own = log(all) - (double)matrix_row(z, t)[target[t]];
        CU_ASSERT_DOUBLE_EQUAL(each[t], own, 1e-5);
        sum += own / 20;
        for (size_t v = 0; v < 7; v++) slopes += (double)matrix_row(d, t)[v];
        CU_ASSERT_DOUBLE_EQUAL(slopes, 0, 1e-6);
    }
    CU_ASSERT_DOUBLE_EQUAL(loss, sum, 1e-5);
    struct matrix even = matrix_new(3, 7);
    CU_ASSERT_DOUBLE_EQUAL(loss_bits(loss_forward(even, even, target, NULL)), log2(7), 1e-6);
    matrix_free(&z), matrix_free(&d), matrix_free(&even);
}

SUITE(7) {
    check_case("the split is by domain, and mirrored sums stay together", split);
    check_case("each domain has a third of the characters", thirds);
    check_case("cross-entropy agrees with its definition; even is log V", loss_by_definition);
    check_case("the counted table is the learned table's optimum", counts_are_the_optimum);
    check_case("questions have the text's answers, and everybody is asked the same", questions_and_answers);
    check_case("what is drawn comes as often as it should", samples);
    check_case("the first choice is the likeliest", first_choices); /* loss_right */
    check_case("a sum counts as answered if all of its digits are right", exact_answers); /* batch_exact */
    check_case("squared error agrees with its definition", squares_by_definition); /* loss_squares */
    check_case("an MLP without blocks that looks at one character is a bigram", mlp_contains_the_bigram);
    check_case("an MLP sees the characters of its context, and no other", mlp_context);
    check_case("a unit that passes no slope on is counted as saturated, and as dead", healthy);
    check_case("normalized rows have size one", normalized);
    check_case("batch normalization is layer normalization of the transpose", batch_normalized);
    check_case("frozen, a guess does not depend on the rest of the batch", frozen_statistics);
    check_case("a row of attention sums to one; equal scores fetch the mean", attention_weights_rows);
    check_case("no token looks ahead", no_look_ahead);
    check_case("parameters are what is in the list", parameters);
    check_case("training repeats to the last bit, and the loss falls", training_repeats);
    check_case("rows of results are summarized by model", summary);
    check_case("the program keeps its promises", program);
    check_case("the lessons keep theirs", lessons);
#ifdef REAL_DOUBLE
    check_case("gradients of the MLP, with each normalization, by differences", mlp_gradients); /* mlp_backward, norm_backward */
    check_case("and with ReLU, clear of its kinks", mlp_gradients_relu); /* mlp_backward */
    check_case("gradients of the transformer, dense and routed, by differences", gradients);
#endif
}
