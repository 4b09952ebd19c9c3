#include "figure.h"
#include "hand.h"
#include "router.h"
#include "routes.h"
#include "softmax.h"

enum { E = HAND_EXPERTS, KINDS = GATE_SIGMOID + 1, SEVEN = 2 };
static const char *const kinds[KINDS] = {"softmax, then top-k",
    "top-k, then softmax", "sigmoid, normalized"};

struct token { real z[E], p[E]; size_t k, expert[E];
               double gate[KINDS][E], kept, sum[KINDS]; };

static void route(struct token *t)
{
    struct matrix z = {1, E, t->z}, p = {1, E, t->p};
    struct routes r = routes_new(1, E, t->k);
    for (int kind = 0; kind < KINDS; kind++) {
        routes_fill(&r, (enum routes_gate)kind, p, z);
        t->sum[kind] = 0;
        for (size_t k = 0; k < t->k; k++) {
            t->expert[k] = r.expert[k];
            t->gate[kind][k] = (double)r.gate.at[k];
            t->sum[kind] += t->gate[kind][k];
        }
    }
    t->kept = routes_kept(&r, p);
    routes_free(&r);
}

static int runs(const struct token *t, size_t e)
{
    for (size_t k = 0; k < t->k; k++) if (t->expert[k] == e) return 1;
    return 0;
}

static void draw_softmax(struct figure *f, const struct token *t)
{
    figure_text(f, 9.4, 0.9, FIGURE_RIGHT, "logit");
    figure_text(f, 10.4, 0.9, FIGURE_LEFT, "softmax");
    for (size_t e = 0; e < E; e++) {
        double y = 2 + 2.2 * (double)e, p = (double)t->p[e];
        struct figure_box bar = {10.4, y, 20 * p, 1.7};
        figure_text(f, 5.4, y + 0.9, FIGURE_RIGHT, "expert %zu", e);
        figure_text(f, 9.4, y + 0.9, FIGURE_RIGHT, "%.2f",
                    (double)t->z[e]);
        figure_draw(f, bar, e + 1, runs(t, e) ? FIGURE_FULL
                    : FIGURE_LIGHT, "");
        figure_text(f, 11 + 20 * p, y + 0.9, FIGURE_LEFT, "%.3f", p);
    }
}

static void draw_gates(struct figure *f, const struct token *t)
{
    const double one = FIGURE_WIDTH - 1;
    for (int kind = 0; kind < KINDS; kind++) {
        double x = 0.5, y = 12 + 4 * kind, all = 0;
        figure_text(f, 0.5, y, FIGURE_LEFT, "%s", kinds[kind]);
        figure_text(f, 0.5 + one, y, FIGURE_RIGHT, "sum %.3f",
                    t->sum[kind]);
        for (size_t k = 0; k < t->k; k++) {
            double g = t->gate[kind][k];
            struct figure_box part = {x, y + 1, one * g, 1.9};
            figure_draw(f, part, t->expert[k] + 1, FIGURE_FULL,
                        one * g > 4 ? "%.3f" : "", g);
            x += one * g, all += g;
        }
        if (all < 0.9995)
            figure_draw(f, (struct figure_box){x, y + 1,
                        one * (1 - all), 1.9}, FIGURE_GRAY,
                        FIGURE_EMPTY, "");
    }
}

static void say_token(struct figure *f, const struct token *t)
{
    for (size_t k = 0; k < t->k; k++)
        figure_say(f, "%s expert %zu runs with gates %.3f, %.3f and "
                   "%.3f.", k ? "Then" : "First,", t->expert[k],
                   t->gate[GATE_SOFTMAX][k], t->gate[GATE_RENORM][k],
                   t->gate[GATE_SIGMOID][k]);
    figure_say(f, "The softmax keeps %.3f; %.3f is thrown away.",
               t->kept, 1 - t->kept);
}

static void token(struct figure *f)
{
    struct token t = {.k = 2};
    struct router router = {hand_w()};
    struct matrix z = {1, E, t.z};
    char name[FIGURE_TEXT];
    router_forward(&router, z, matrix_rows(hand_x(), SEVEN, 1));
    for (size_t e = 0; e < E; e++) {
        snprintf(name, sizeof name, "logit of expert %zu", e);
        t.z[e] = (real)figure_range(f, name, "%.2f", -4, 4, 0.25,
                                    (double)t.z[e]);
    }
    t.k = (size_t)figure_range(f, "experts kept, K", "%.0f", 1, E, 1,
                               (double)t.k);
    route(&t);
    figure_height(f, 24);
    draw_softmax(f, &t);
    draw_gates(f, &t);
    say_token(f, &t);
}

const struct figure_live live3[] = {{"token", token}, {0}};
