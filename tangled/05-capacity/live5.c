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

enum { WALK_TOKENS = 12, WALK_K = 2, WALK = WALK_TOKENS * WALK_K };
struct walk { struct skew s; size_t done, seen[E], refused[E]; };

static void walk_to(struct walk *w)
{
    const struct capacity *c = &w->s.capacity;
    for (size_t i = 0; i < w->done; i++) {
        size_t choice = c->line[i].choice;
        size_t e = w->s.routes.expert[choice];
        w->seen[e]++;
        w->refused[e] += c->slot[choice] == CAPACITY_DROPPED;
    }
}

static size_t sum(const size_t *of)
{
    size_t all = 0;
    for (size_t e = 0; e < E; e++) all += of[e];
    return all;
}

static void draw_choice(struct figure *f, const struct walk *w,
                        size_t i, struct figure_box box, int tone)
{
    size_t choice = w->s.capacity.line[i].choice;
    figure_draw(f, box, w->s.routes.expert[choice] + 1, tone, "%c%zu",
                (char)('a' + choice / WALK_K), choice % WALK_K + 1);
}

static void draw_line(struct figure *f, const struct walk *w)
{
    for (size_t i = 0; i < WALK; i++) {
        struct figure_box box = {0.5 + 2.92 * (double)(i % 12),
                                 0.9 + 2.9 * (double)(i / 12), 2.7, 2};
        draw_choice(f, w, i, box,
                    i < w->done ? FIGURE_LIGHT : FIGURE_FULL);
        if (i + 1 == w->done)
            figure_dot(f, box.x + box.width / 2, box.y - 0.45);
    }
}

static void draw_slots(struct figure *f, const struct walk *w)
{
    const struct capacity *c = &w->s.capacity;
    size_t most = c->slots;
    for (size_t e = 0; e < E; e++)
        if (w->s.wanted[e] > most) most = w->s.wanted[e];
    double wide = 34 / ((double)most + 0.5);
    if (wide > 2.7) wide = 2.7;
    double bar = 1.5 + wide * (double)c->slots + 0.15;
    for (size_t e = 0; e < E; e++) {
        double y = 7.4 + 2.7 * (double)e;
        size_t beyond = c->slots;
        figure_text(f, 0.5, y + 1, FIGURE_LEFT, "%zu", e);
        for (size_t i = w->seen[e] - w->refused[e]; i < c->slots; i++)
            figure_draw(f, (struct figure_box){1.5 + wide * (double)i,
                        y, 0.92 * wide, 2}, e + 1, FIGURE_EMPTY, "");
        for (size_t i = 0; i < w->done; i++) {
            size_t choice = c->line[i].choice, at = c->slot[choice];
            struct figure_box box = {1.5, y, 0.92 * wide, 2};
            if (w->s.routes.expert[choice] != e) continue;
            int refused = at == CAPACITY_DROPPED;
            box.x += wide * (double)(refused ? beyond++ : at)
                   + (refused ? 0.4 * wide : 0);
            draw_choice(f, w, i, box,
                        refused ? FIGURE_CROSSED : FIGURE_FULL);
        }
    }
    figure_line(f, FIGURE_GRAY, 0, 2,
                (double[]){bar, 7, bar, 7.4 + 2.7 * E});
}

static void say_walk(struct figure *f, const struct walk *w)
{
    const struct capacity *c = &w->s.capacity;
    size_t dropped = sum(w->refused), all = E * c->slots;
    size_t empty = all - (w->done - dropped);
    if (w->done) {
        size_t choice = c->line[w->done - 1].choice;
        int refused = c->slot[choice] == CAPACITY_DROPPED;
        figure_say(f, "%s choice of token %c: expert %zu %s.",
                   choice % WALK_K ? "Second" : "First",
                   (char)('a' + choice / WALK_K),
                   w->s.routes.expert[choice], refused
                   ? "is full, dropped" : "has a slot");
    }
    figure_say(f, "Of %zu choices %zu dropped; of %zu slots %zu empty.",
               w->done, dropped, all, empty);
    figure_text(f, 1.5, 19.2, FIGURE_LEFT, "dropped %zu of %zu",
                dropped, w->done);
    figure_text(f, 35.5, 19.2, FIGURE_RIGHT, "empty %zu of %zu slots",
                empty, all);
}

static void walk(struct figure *f)
{
    static const char *const orders[] = {"position", "tokens",
        "probability", "gate", NULL};
    struct random r = random_seeded(LESSON_BOOK_SEED);
    struct walk w = {skew_new(WALK_TOKENS, E, WALK_K), 0, {0}, {0}};
    double cf = figure_range(f, "capacity factor", "%.2f", 0.25, 2,
                             0.25, 1);
    double hot = figure_range(f, "expert 0's share", "%.0f%%", 25, 70,
                              5, 55);
    size_t order = figure_choice(f, "served by", orders, 0);
    w.done = figure_steps(f, "choices served", WALK, WALK);
    double rest = (100 - hot) / (E - 1);
    skew_draw(&w.s, (double[E]){hot, rest, rest, rest}, 0, &r);
    skew_fill(&w.s, GATE_RENORM, cf, (enum capacity_order)order);
    walk_to(&w);
    figure_height(f, 20);
    draw_line(f, &w);
    draw_slots(f, &w);
    say_walk(f, &w);
    skew_free(&w.s);
}

const struct figure_live live5[] = {
    {"router", router}, {"walk", walk}, {0}};
