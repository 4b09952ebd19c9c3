#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "corpus.h"
#include "stop.h"

static int is_held(const char *key)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (; *key; key++)
        sum = (sum ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    struct random scrambled = random_seeded(sum);
    return random_below(&scrambled, 10) == 0;
}

static void add(struct corpus *c, enum text_domain domain,
                const char *key, const char *line)
{
    struct corpus_lines *l = &c->lines[is_held(key)][domain];
    if (l->count == l->most) {
        l->most = 2 * l->most + 1024;
        l->at = realloc(l->at, l->most * sizeof *l->at);
        if (!l->at) stop("no memory for %zu lines", l->most);
    }
    snprintf(l->at[l->count++], TEXT_LINE, "%s", line);
    l->characters += strlen(line);
}

enum text_domain corpus_draw(const struct corpus *c,
                             enum corpus_part part, const char **line,
                             struct random *r)
{
    double weight[TEXT_DOMAINS], all = 0;
    size_t domain = 0;
    for (size_t d = 0; d < TEXT_DOMAINS; d++) {
        const struct corpus_lines *l = &c->lines[part][d];
        all += weight[d] = (double)l->count / (double)l->characters;
    }
    double at = random_uniform(r) * all;
    while (domain + 1 < TEXT_DOMAINS && at >= weight[domain])
        at -= weight[domain++];
    const struct corpus_lines *l = &c->lines[part][domain];
    char sign = "+++++----*"[random_below(r, 10)];
    do *line = l->at[random_below(r, l->count)];
    while (domain == TEXT_ARITHMETIC && !strchr(*line, sign));
    return (enum text_domain)domain;
}

void corpus_windows(const struct corpus *c, enum corpus_part part,
                    size_t windows, size_t length, size_t *symbol,
                    unsigned char *domain, struct random *r)
{
    for (size_t w = 0; w < windows; w++)
        for (size_t used = 0; used < length; ) {
            const char *line;
            enum text_domain from = corpus_draw(c, part, &line, r);
            for (; *line && used < length; line++, used++) {
                symbol[w * length + used] = text_symbol(*line);
                if (domain)
                    domain[w * length + used] = (unsigned char)from;
            }
        }
}
static void add_sum(struct corpus *c, enum corpus_sums sums, size_t a,
                    char sign, size_t b)
{
    char key[TEXT_LINE], line[TEXT_LINE];
    size_t is = sign == '+' ? a + b : sign == '-' ? a - b : a * b;
    int swap = sign != '-' && b < a;
    snprintf(key, sizeof key, "%zu%c%zu", swap ? b : a, sign,
             swap ? a : b);
    if (sums == CORPUS_PLAIN)
        snprintf(line, sizeof line, "%zu%c%zu=%zu\n", a, sign, b, is);
    else
        snprintf(line, sizeof line, "%02zu%c%02zu=%zu%zu%zu\n", a, sign,
                 b, is % 10, is / 10 % 10, is / 100);
    add(c, TEXT_ARITHMETIC, key, line);
}

static void add_sums(struct corpus *c, enum corpus_sums sums)
{
    for (size_t a = 0; a < 100; a++)
        for (size_t b = 0; b < 100; b++) {
            add_sum(c, sums, a, '+', b);
            if (b <= a) add_sum(c, sums, a, '-', b);
            if (a <= 12 && b <= 12) add_sum(c, sums, a, '*', b);
        }
}

static int by_text(const void *left, const void *right)
{
    return strcmp(left, right);
}

static void add_drawn(struct corpus *c, enum text_domain domain,
                      size_t draws)
{
    struct random r = random_seeded(domain);
    char (*drawn)[TEXT_LINE] = room(draws, sizeof *drawn);
    for (size_t i = 0; i < draws; i++) text_line(drawn[i], domain, &r);
    qsort(drawn, draws, sizeof *drawn, by_text);
    for (size_t i = 0; i < draws; i++)
        if (!i || strcmp(drawn[i], drawn[i - 1]))
            add(c, domain, drawn[i], drawn[i]);
    free(drawn);
}

struct corpus corpus_new(enum corpus_sums sums)
{
    enum { STATEMENTS = 8200, NAMES = 160000 };
    struct corpus c = {0};
    add_drawn(&c, TEXT_NAMES, NAMES);
    add_sums(&c, sums);
    add_drawn(&c, TEXT_CODE, STATEMENTS);
    return c;
}

void corpus_free(struct corpus *c)
{
    for (size_t part = 0; part < CORPUS_PARTS; part++)
        for (size_t domain = 0; domain < TEXT_DOMAINS; domain++)
            free(c->lines[part][domain].at);
}

