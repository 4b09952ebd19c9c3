#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "balance.h"
#include "hotspot.h"
#include "print.h"
#include "router.h"
#include "scores.h"
#include "settle.h"
#include "softmax.h"
#include "stop.h"

/* Of T rows the last may be padding; updates until biases settle. */
enum { T = 512, E = HOTSPOT_EXPERTS, K = HOTSPOT_TOP_K, PADDED = 200,
       UPDATES = 30 };

struct batch { char *text; unsigned char *domain; struct matrix x; };

static struct batch draw(const struct charlm *model, int only,
                         struct random *random)
{
    struct batch b = {room(T + TEXT_LINE, 1), room(T + TEXT_LINE, 1),
                      matrix_new(T, CHARLM_WIDTH)};
    for (size_t used = 0, n; used < T; used += n) {
        size_t d = only >= 0 ? (size_t)only
                 : random_below(random, TEXT_DOMAINS);
        text_line(b.text + used, (enum text_domain)d, random);
        n = strlen(b.text + used);
        memset(b.domain + used, (int)d, n);
    }
    charlm_vectors(model, b.x, b.text);
    return b;
}

static void done(struct batch *b)
{
    free(b->text), free(b->domain), matrix_free(&b->x);
}

struct layer { struct router router; double lean[E], bias[E]; };

static void score(struct matrix s, const struct layer *layer,
                  const struct batch *b, int only)
{
    router_forward(&layer->router, s, b->x);
    for (size_t i = 0; i < s.rows * E; i++) {
        int here = only < 0 || b->domain[i / E] == only;
        double z = (double)s.at[i]
                 + (here ? layer->lean[i % E] : 0);
        s.at[i] = (real)exp(scores_log(GATE_SIGMOID, z));
    }
}

static void load_of(double *f, struct matrix s, const double *bias,
                    const unsigned char *valid)
{
    struct matrix biased = matrix_new(s.rows, E);
    struct routes routes = routes_new(s.rows, E, K);
    for (size_t i = 0; i < s.rows * E; i++)
        biased.at[i] = (real)((double)s.at[i] + bias[i % E]);
    routes_select(&routes, biased);
    routes_mask(&routes, valid, NULL, NULL);
    balance_load(f, &routes);
    matrix_free(&biased), routes_free(&routes);
}

static double share(const double *f, const size_t *hot)
{
    return f[hot[0]] + f[hot[1]];
}

static void plant(struct hotspot *h, struct layer *layer,
                  struct batch *b)
{
    for (size_t i = 0; i < 2; i++) { /* layer 0 up, layer 1 to none */
        size_t e = h->hot[i];
        if (h->cause == HOTSPOT_BIASES) layer[0].bias[e] = 0;
        if (h->cause == HOTSPOT_LAYERS)
            layer[0].bias[e] += 0.1, layer[1].bias[e] -= 1;
    }
    for (size_t t = T - PADDED; t < T; t++)
        if (h->cause == HOTSPOT_PADDING)
            row_copy(matrix_row(b->x, t), matrix_row(b->x, T - 1),
                     b->x.cols);
}

static struct hotspot plant_once(const struct charlm *model,
                                 enum hotspot_cause cause,
                                 struct random *r)
{
    struct hotspot h = {.cause = cause};
    int domain = (int)random_below(r, TEXT_DOMAINS);
    int only = cause == HOTSPOT_DOMAIN ? domain : -1;
    struct layer layer[2];
    struct batch mixed = draw(model, -1, r), b = draw(model, only, r);
    struct matrix s = matrix_new(T, E);
    /* choose the hot two, and settle both layers */
    h.hot[0] = random_below(r, E);
    h.hot[1] = (h.hot[0] + 1 + random_below(r, E - 1)) % E;
    for (size_t i = 0; i < 2; i++) {
        layer[i] = (struct layer){.router = router_new(CHARLM_WIDTH, E, 1,
                                                       r)};
        for (size_t j = 0; j < 2 && h.cause != HOTSPOT_PADDING; j++)
            layer[i].lean[h.hot[j]] = 2; /* hot but for the biases */
        score(s, &layer[i], &mixed, only);
        settle_quantile(layer[i].bias, s, K, UPDATES);
    }
    if (h.cause == HOTSPOT_PADDING) {
        struct routes one = routes_new(1, E, K);
        score(s, &layer[0], &b, -1);
        for (size_t e = 0; e < E; e++)
            matrix_row(s, T - 1)[e] += (real)layer[0].bias[e];
        routes_select(&one, matrix_rows(s, T - 1, 1));
        h.hot[0] = routes_expert(&one, 0, 0);
        h.hot[1] = routes_expert(&one, 0, 1);
        routes_free(&one);
    }
    plant(&h, layer, &b);
    /* measure everything */
    unsigned char valid[T];
    double f[2][E], both[E];
    for (size_t t = 0; t < T; t++)
        valid[t] = h.cause != HOTSPOT_PADDING || t < T - PADDED;
    for (size_t i = 0; i < 2; i++) {
        score(s, &layer[i], &b, only);
        load_of(f[i], s, layer[i].bias, NULL);
        h.layers[i] = share(f[i], h.hot);
        if (i) continue;
        load_of(both, s, layer[0].bias, valid);
        h.padding = share(both, h.hot);
    }
    for (size_t e = 0; e < E; e++) {
        h.load[e] = f[0][e], both[e] = (f[0][e] + f[1][e]) / 2;
        h.bias[e] = layer[0].bias[e];
    }
    h.mean = share(both, h.hot);
    score(s, &layer[0], &mixed, only);
    load_of(f[1], s, layer[0].bias, NULL);
    h.corpus = share(f[1], h.hot);
    done(&mixed), done(&b), matrix_free(&s);
    for (size_t i = 0; i < 2; i++) router_free(&layer[i].router);
    return h;
}

/* T rows are a sample: near is enough. */
static int quarter(double f) { return fabs(f - 0.25) < 0.06; }

static int shows(const struct hotspot *h)
{
    double least = fmin(h->load[h->hot[0]], h->load[h->hot[1]]);
    for (size_t e = 0; e < E; e++) /* no third bar as high */
        if (e != h->hot[0] && e != h->hot[1]
            && h->load[e] > 0.8 * least) return 0;
    int padding = h->cause == HOTSPOT_PADDING;
    return h->layers[0] > 0.4 && quarter(h->padding) == padding
        && (padding || quarter(h->mean) == (h->cause == HOTSPOT_LAYERS))
        && quarter(h->corpus) == (padding
                                  || h->cause == HOTSPOT_DOMAIN);
}

struct hotspot hotspot_plant(const struct charlm *model, uint64_t seed)
{
    struct random r = random_seeded(seed);
    enum hotspot_cause cause = (enum hotspot_cause)random_below(&r,
        HOTSPOT_CAUSES);
    struct hotspot h;
    do h = plant_once(model, cause, &r); while (!shows(&h));
    return h;
}

const char *const hotspot_names[] = {"padding", "layers", "biases",
                                     "mixed", NULL};
const size_t hotspot_prices[] = {1, 1, 2, 8};

void hotspot_plot(FILE *out, const struct hotspot *h)
{
    for (size_t e = 0; e < E; e++) {
        fprintf(out, "expert %zu %5.1f%%  ", e, 100 * h->load[e]);
        print_bar(out, h->load[e], 40);
        fprintf(out, "|\n");
    }
}

void hotspot_ask(FILE *out, const struct hotspot *h,
                 enum hotspot_cause measurement)
{
    const char *name = hotspot_names[measurement];
    fprintf(out, "%-8s price %zu  ", name, hotspot_prices[measurement]);
    if (measurement == HOTSPOT_PADDING)
        fprintf(out, "the two, without padding: %.0f%%\n",
                100 * h->padding);
    if (measurement == HOTSPOT_LAYERS)
        fprintf(out, "the two, in layer 0: %.0f%%, in layer 1: %.0f%%, "
                "mean: %.0f%%\n", 100 * h->layers[0],
                100 * h->layers[1], 100 * h->mean);
    if (measurement == HOTSPOT_BIASES) {
        for (size_t e = 0; e < E; e++)
            fprintf(out, "%s%.3f", e ? " " : "", h->bias[e]);
        fprintf(out, "\n");
    }
    if (measurement == HOTSPOT_DOMAIN)
        fprintf(out, "the two, over mixed text: %.0f%%\n",
                100 * h->corpus);
}
