#include "contest.h"
#include "figure.h"
#include "lesson.h"

enum { T = CONTEST_TOKENS, E = CONTEST_EXPERTS, C = CONTEST_SLOTS };

static void offer_places(struct figure *f, const struct contest *c,
                         const size_t *chosen)
{
    size_t taken[E + 1] = {0};
    for (size_t t = 0; t < T; t++) taken[chosen[t]]++;
    for (size_t t = 0; t < T; t++) {
        struct figure_options o = {.count = E + 1};
        char name[] = {(char)('a' + t), 0};
        for (size_t e = 0; e < E; e++) {
            double score = c->score[t][e];
            char text[8];
            snprintf(text, sizeof text, "%.2f", score);
            snprintf(o.text[e], FIGURE_TEXT, "%zu: %s", e,
                     text + (score < 1)); /* no 0 before the point */
            if (chosen[t] != e && taken[e] >= C)
                o.shut |= (size_t)1 << e;
        }
        snprintf(o.text[E], FIGURE_TEXT, "none");
        figure_offer(f, name, chosen[t], &o);
    }
}

static void draw_places(struct figure *f, double y, const char *name,
                        const struct contest_placed *placed)
{
    size_t taken[E] = {0};
    if (!placed) figure_text(f, 0.5, y, FIGURE_LEFT, "%s", name);
    else figure_text(f, 0.5, y, FIGURE_LEFT, "%s: %.2f, %zu dropped",
                     name, placed->score, placed->dropped);
    for (size_t i = 0; i < E * C; i++)
        figure_draw(f, (struct figure_box){0.5 + 2.65 * (double)i
                    + 1.1 * (double)(i / C), y + 1, 2.4, 2.2},
                    i / C + 1, FIGURE_EMPTY, "");
    for (size_t t = 0; placed && t < T; t++) {
        size_t e = placed->expert[t], i;
        if (e == E) continue;
        i = e * C + taken[e]++;
        figure_draw(f, (struct figure_box){0.5 + 2.65 * (double)i
                    + 1.1 * (double)e, y + 1, 2.4, 2.2}, e + 1,
                    FIGURE_FULL, "%c", (char)('a' + t));
    }
}

static const char *const ways[] = {"by position", "by score",
                                   "the best"};

static void say_places(struct figure *f, const struct contest *c,
                       const struct contest_placed *you, int shown)
{
    figure_say(f, "You placed %zu of %d tokens, and score %.2f.",
               T - you->dropped, T, you->score);
    for (int way = 0; shown && way < CONTEST_WAYS; way++)
        figure_say(f, "%s: %.2f, %zu dropped.", way == CONTEST_BEST
                   ? "The best assignment" : way ? "The router by score"
                   : "The router by position", c->by[way].score,
                   c->by[way].dropped);
}

static void router(struct figure *f)
{
    static const char *const show[] = {"hidden", "shown", NULL};
    size_t times = figure_again(f, "Other tokens");
    struct contest c = contest_new(LESSON_BOOK_SEED + times);
    struct contest_placed you;
    for (size_t t = 0; t < T; t++)
        you.expert[t] = figure_chosen(f, E + 1, E);
    contest_count(&c, &you);
    offer_places(f, &c, you.expert);
    size_t shown = figure_choice(f, "the others", show, 0);
    figure_height(f, 21);
    for (size_t e = 0; e < E; e++)
        figure_text(f, 4.4 + 9.05 * (double)e, 0.8, FIGURE_MIDDLE,
                    "expert %zu", e);
    draw_places(f, 2.6, "you", you.dropped < T || shown ? &you : NULL);
    for (int way = 0; way < CONTEST_WAYS; way++)
        draw_places(f, 7.5 + 4.9 * way, ways[way],
                    shown ? &c.by[way] : NULL);
    say_places(f, &c, &you, shown != 0);
}

const struct figure_live live5[] = {{"router", router}, {0}};
