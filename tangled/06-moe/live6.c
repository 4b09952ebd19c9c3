#include <math.h>
#include "charlm.h"
#include "figure.h"
#include "lesson.h"
#include "moe.h"

enum { T = 12, H = 16, E = 4, K = 2, D = CHARLM_WIDTH };
enum step { START, ROUTE, DISPATCH, EXPERTS, COMBINE };
struct pass { char text[T + 1]; size_t token, done;
              struct matrix x, y; struct moe moe;
              struct moe_work work; };

static struct pass pass_new(double factor)
{
    struct moe_options o = {D, H, E, K, 0, GATE_RENORM, FFN_GELU,
                            factor, CAPACITY_POSITION, 0, 0, 0, 0};
    struct random r = random_seeded(LESSON_BOOK_SEED);
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct pass p = {.x = matrix_new(T, D), .y = matrix_new(T, D),
                     .moe = moe_new(o, &r),
                     .work = moe_work_new(&o, T)};
    charlm_text(p.text, T + 1, LESSON_BOOK_SEED);
    charlm_vectors(&model, p.x, p.text);
    charlm_free(&model);
    moe_forward(&p.moe, p.y, p.x, &p.work);
    return p;
}

static void pass_free(struct pass *p)
{
    matrix_free(&p->x), matrix_free(&p->y);
    moe_free(&p->moe), moe_work_free(&p->work);
}

static void draw_strip(struct figure *f, struct figure_box box,
                       size_t color, const real *row, size_t n)
{
    int tone[D];
    double most = 0;
    for (size_t i = 0; row && i < n; i++)
        most = fmax(most, fabs((double)row[i]));
    for (size_t i = 0; row && i < n; i++)
        tone[i] = most > 0 ? (int)(FIGURE_FULL * fabs((double)row[i])
                                   / most) : 0;
    if (row) figure_strip(f, box, color, n, tone);
    else figure_draw(f, box, color, FIGURE_EMPTY, "");
}

static const char *shown(char c)
{
    static char one[2];
    one[0] = c;
    return c == '\n' ? "\xc2\xb6" : one; /* a pilcrow */
}

static void draw_text(struct figure *f, const struct pass *p)
{
    figure_text(f, 0.5, 0.8, FIGURE_LEFT, "x [%d, %d]", T, D);
    for (size_t t = 0; t < T; t++)
        figure_draw(f, (struct figure_box){0.5 + 2.92 * (double)t, 1.7,
                    2.7, 1.8}, FIGURE_GRAY, t == p->token ? FIGURE_FULL
                    : 0, "%s", shown(p->text[t]));
    draw_strip(f, (struct figure_box){0.5, 4, 35, 1.1}, FIGURE_GRAY,
               matrix_row(p->x, p->token), D);
}

static int choice_of(const struct pass *p, size_t e)
{
    for (int k = 0; k < K; k++)
        if (routes_expert(&p->work.routes, p->token, (size_t)k) == e)
            return k;
    return -1;
}

static void draw_route(struct figure *f, const struct pass *p)
{
    int done = p->done >= ROUTE;
    figure_text(f, 0.5, 6.5, FIGURE_LEFT, "route: logits [%d, %d], "
                "gates [%d, %d]", T, E, T, K);
    for (size_t e = 0; e < E; e++) {
        struct figure_box box = {0.5 + 8.8 * (double)e, 7.4, 8.5, 1.8};
        int k = choice_of(p, e);
        if (!done) {
            figure_draw(f, box, e + 1, FIGURE_EMPTY, "");
            continue;
        }
        figure_draw(f, box, e + 1, k < 0 ? FIGURE_LIGHT : FIGURE_FULL,
                    "%.2f", (double)matrix_row(p->work.z, p->token)[e]);
        if (k >= 0)
            figure_text(f, box.x + 4.25, 10.1, FIGURE_MIDDLE,
                        "gate %.3f",
                        (double)moe_gate(&p->work, p->token,
                                         (size_t)k));
    }
}

static void draw_dispatch(struct figure *f, const struct pass *p)
{
    const struct rows *s = &p->work.rows;
    size_t rows = s->count;
    double wide = 35 / (double)(T * K);
    figure_text(f, 0.5, 12.1, FIGURE_LEFT, "dispatch: rows in [%zu, "
                "%d]", rows, D);
    for (size_t e = 0; e < E; e++)
        for (size_t i = s->start[e]; i < s->start[e + 1]; i++) {
            size_t t = s->choice[i] / K;
            struct figure_box box = {0.5 + wide * (double)i, 13,
                                     0.94 * wide, 1.8};
            if (p->done < DISPATCH)
                figure_draw(f, box, FIGURE_GRAY, FIGURE_EMPTY, "");
            else
                figure_draw(f, box, e + 1, t == p->token ? FIGURE_FULL
                            : FIGURE_LIGHT, "%s", shown(p->text[t]));
        }
}

static void draw_experts(struct figure *f, const struct pass *p)
{
    const struct moe_work *w = &p->work;
    int done = p->done >= EXPERTS;
    figure_text(f, 0.5, 16.7, FIGURE_LEFT, "experts: hidden [%zu, %d]",
                w->rows.count, H);
    figure_text(f, 35.5, 16.7, FIGURE_RIGHT, "rows out [%zu, %d]",
                w->rows.count, D);
    for (size_t k = 0; k < K; k++) {
        size_t row = w->rows.place[p->token * K + k];
        size_t e = routes_expert(&w->routes, p->token, k);
        size_t color = p->done >= ROUTE ? e + 1 : FIGURE_GRAY;
        struct figure_box in = {0.5, 17.6 + 1.7 * (double)k, 11.2, 1.1};
        struct figure_box out = {13, in.y, 22.5, 1.1};
        if (row == CAPACITY_DROPPED) {
            if (p->done >= DISPATCH)
                figure_text(f, 0.5, in.y + 0.55, FIGURE_LEFT,
                            "dropped by expert %zu", e);
            continue;
        }
        draw_strip(f, in, color, done
                   ? matrix_row(w->trace.hidden, row) : NULL, H);
        draw_strip(f, out, color, done ? matrix_row(w->out, row) : NULL,
                   D);
    }
}

static void draw_combine(struct figure *f, const struct pass *p)
{
    figure_text(f, 0.5, 22.2, FIGURE_LEFT, "combine: y [%d, %d]", T, D);
    draw_strip(f, (struct figure_box){0.5, 23.1, 35, 1.1}, FIGURE_GRAY,
               p->done >= COMBINE ? matrix_row(p->y, p->token) : NULL,
               D);
}

static void say_row(struct figure *f, const char *what, const real *row)
{
    figure_say(f, "%s %.2f, %.2f, %.2f and so on.", what,
               (double)row[0], (double)row[1], (double)row[2]);
}

static void say_choice(struct figure *f, const struct pass *p, size_t k)
{
    const struct moe_work *w = &p->work;
    size_t e = routes_expert(&w->routes, p->token, k);
    size_t row = w->rows.place[p->token * K + k];
    double gate = (double)moe_gate(w, p->token, k);
    if (p->done == ROUTE)
        figure_say(f, "Expert %zu, gate %.3f.", e, gate);
    else if (row == CAPACITY_DROPPED)
        figure_say(f, "Expert %zu is full and drops it.", e);
    else if (p->done == DISPATCH)
        figure_say(f, "For expert %zu, who has rows %zu to %zu of %zu, "
                   "it is row %zu.", e, w->rows.start[e],
                   w->rows.start[e + 1] - 1, w->rows.count, row);
    else if (p->done == EXPERTS) {
        figure_say(f, "Expert %zu:", e);
        say_row(f, "hidden", matrix_row(w->trace.hidden, row));
        say_row(f, "Out come", matrix_row(w->out, row));
    } else
        figure_say(f, "Of what expert %zu says it gets %.3f.", e, gate);
}

static void say_token(struct figure *f, const struct pass *p)
{
    static const char *const said[] = {"It comes in:", "Route.",
        "Dispatch.", "Experts.", "Combine."};
    char c = p->text[p->token];
    figure_say(f, c == '\n' ? "Token %zu, a newline. %s%s"
               : "Token %zu, \"%s\". %s", p->token,
               c == '\n' ? "" : shown(c), said[p->done]);
    for (size_t k = 0; p->done > START && k < K; k++)
        say_choice(f, p, k);
    if (p->done == START)
        say_row(f, "x is", matrix_row(p->x, p->token));
    if (p->done == COMBINE)
        say_row(f, "With x, y is", matrix_row(p->y, p->token));
}

static void follow(struct figure *f)
{
    static const char *const factors[] = {"no drops", "1", NULL};
    size_t t = (size_t)figure_range(f, "token", "%.0f", 0, T - 1, 1, 0);
    size_t drops = figure_choice(f, "capacity factor", factors, 0);
    size_t done = figure_steps(f, "steps done", COMBINE, COMBINE);
    struct pass p = pass_new((double)drops);
    p.token = t, p.done = done;
    figure_height(f, 25);
    draw_text(f, &p), draw_route(f, &p), draw_dispatch(f, &p);
    draw_experts(f, &p), draw_combine(f, &p);
    say_token(f, &p);
    pass_free(&p);
}

const struct figure_live live6[] = {{"follow", follow}, {0}};
