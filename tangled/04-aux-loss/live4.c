#include <math.h>
#include "balance.h"
#include "figure.h"

enum { MOST = 4, FINE = 32 };
static const double left = 3, top = 2, side = 20; /* of the square */
struct point { size_t experts; double f, p; };

static double across(double f) { return left + side * f; }
static double down(double p) { return top + side * (1 - p); }

static void spread(double *share, double first, size_t experts)
{
    for (size_t e = 0; e < experts; e++)
        share[e] = e ? (1 - first) / (double)(experts - 1) : first;
}

static void draw_branch(struct figure *f, size_t experts, double level,
                        double from, double to)
{
    double xy[2 * (FINE + 1)], n = (double)experts, nearest = 2;
    size_t at = 0;
    if (from >= to) return;
    for (size_t i = 0; i <= FINE; i++) {
        double x = from + (to - from) * (double)i / FINE;
        double other = (1 - x) / (n - 1);
        double p = (level / n - other) / (x - other);
        double away = fabs(p - (level > 1 ? x : 1 - x));
        if (away < nearest) nearest = away, at = i;
        xy[2 * i] = across(x);
        xy[2 * i + 1] = down(fmin(fmax(p, 0), 1));
    }
    figure_line(f, level < 1 ? 1 : 2, 0, FINE + 1, xy);
    figure_text(f, xy[2 * at] + (level < 1 ? 0.3 : -0.3), xy[2 * at + 1]
                + (level < 1 ? -0.6 : 0.9), FIGURE_LEFT, "%g", level);
}

static void draw_level(struct figure *f, size_t experts, double level)
{
    double n = (double)experts, one = level / n;
    double zero = 1 - (n - 1) * level / n;
    draw_branch(f, experts, level, 0, level > 1 ? zero : one);
    draw_branch(f, experts, level, level > 1 ? one : zero, 1);
}

static void draw_segment(struct figure *f, int dashed, double f0,
                         double p0, double f1, double p1)
{
    double xy[] = {across(f0), down(p0), across(f1), down(p1)};
    figure_line(f, FIGURE_GRAY, dashed, 2, xy);
}

static void draw_saddle(struct figure *f, struct point at)
{
    static const double below[] = {0.25, 0.5, 0.75},
        above[2][3] = {{1.25, 1.5, 1.75}, {1.5, 2, 3}};
    double even = 1 / (double)at.experts;
    figure_draw(f, (struct figure_box){left, top, side, side},
                FIGURE_GRAY, 0, "");
    draw_segment(f, 1, even, 0, even, 1);
    draw_segment(f, 1, 0, even, 1, even);
    for (size_t i = 0; i < 3; i++) {
        draw_level(f, at.experts, below[i]);
        draw_level(f, at.experts, above[at.experts == MOST][i]);
    }
    draw_segment(f, 0, 0, 0, 1, even);
    draw_segment(f, 0, 0, 0.5, 1, 1);
    figure_dot(f, across(at.f), down(at.p));
    figure_text(f, left, top - 1, FIGURE_LEFT, "probability P0");
    figure_text(f, left + side, top + side + 1, FIGURE_RIGHT,
                "load f0");
    for (int i = 0; i < 2; i++) {
        figure_text(f, left - 0.6, down(i), FIGURE_RIGHT, "%d", i);
        figure_text(f, across(i / 2.0), top + side + 1, i
                    ? FIGURE_MIDDLE : FIGURE_LEFT, i ? "0.5" : "0");
    }
}

static void draw_bars(struct figure *f, const char *name, double bottom,
                      const double *share, size_t experts)
{
    const double room = 10.5, tall = 7;
    double width = room / (double)experts;
    figure_text(f, 25, bottom - tall - 1, FIGURE_LEFT, "%s", name);
    for (size_t e = 0; e < experts; e++) {
        double x = 25 + width * (double)e, high = tall * share[e];
        figure_draw(f, (struct figure_box){x, bottom - high - 0.05,
                    0.85 * width, high + 0.05}, e + 1, FIGURE_FULL, "");
        figure_text(f, x + 0.4 * width, bottom + 0.8, FIGURE_MIDDLE,
                    "%zu", e);
    }
}

static void say_point(struct figure *f, struct point at, double loss)
{
    double n = (double)at.experts;
    figure_say(f, "The loss is %.3f, %s even routing.", loss,
               fabs(loss - 1) < 5e-4 ? "that of"
               : loss < 1 ? "below" : "above");
    figure_say(f, "Of the load expert 0 has %.3f and each other %.3f; "
               "of the probability %.3f and %.3f.", at.f,
               (1 - at.f) / (n - 1), at.p, (1 - at.p) / (n - 1));
    if (at.p < at.f / n - 1e-9)
        figure_say(f, "No batch can have that: whoever chose expert 0 "
                   "gave it %.2f or more.", 1 / n);
    if (at.p > (1 + at.f) / 2 + 1e-9)
        figure_say(f, "No batch can have that: whoever chose another "
                   "gave expert 0 a half at most.");
}

static void surface(struct figure *f)
{
    static const char *const sizes[] = {"2", "4", NULL};
    double load[MOST], mean[MOST];
    struct point at;
    at.experts = figure_choice(f, "experts, E", sizes, 0) ? MOST : 2;
    at.f = figure_range(f, "load of expert 0", "%.3f", 0, 1,
                        1.0 / FINE, 0.75);
    at.p = figure_range(f, "its probability", "%.3f", 0, 1, 1.0 / FINE,
                        0.375);
    spread(load, at.f, at.experts), spread(mean, at.p, at.experts);
    double loss = balance_loss(load, mean, at.experts);
    figure_height(f, 24);
    draw_saddle(f, at);
    draw_bars(f, "load f", 10, load, at.experts);
    draw_bars(f, "probability P", 20.5, mean, at.experts);
    figure_text(f, 25, 23, FIGURE_LEFT, "loss %.3f", loss);
    say_point(f, at, loss);
}

const struct figure_live live4[] = {{"surface", surface}, {0}};
