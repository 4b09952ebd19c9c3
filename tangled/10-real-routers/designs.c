#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "designs.h"
#include "stop.h"

static double given(double cell) { return fmax(cell, 0); }

static double grouped(const struct design *d)
{
    double q = d->heads * d->head_width;
    double kv = d->kv_heads * d->head_width;
    double n = 2 * d->width * (q + kv);
    if (d->attention_bias > 0) n += q + 2 * kv;
    if (d->attention_bias > 1) /* and a logit a head for "nowhere" */
        n += d->width + d->heads;
    if (d->qk_norm == 1) n += 2 * d->head_width;
    if (d->qk_norm == 2) n += q + kv;
    return n;
}

static double latent(const struct design *d)
{
    double q = d->heads * (d->qk_plain + d->qk_rope);
    double kv = d->heads * (d->qk_plain + d->v_width);
    double n = d->q_latent > 0
        ? d->q_latent * (d->width + 1 + q) : d->width * q;
    return n + d->width * (d->kv_latent + d->qk_rope)
         + d->kv_latent * (1 + kv) + d->heads * d->v_width * d->width;
}

static int is_whole(const struct design *d)
{
    int grouped_known = d->heads > 0 && d->kv_heads > 0
                     && d->head_width > 0;
    int latent_known = d->heads > 0 && d->kv_latent > 0
                    && d->qk_plain > 0 && d->v_width > 0;
    return d->layers > 0 && d->width > 0 && d->experts > 0
        && d->top_k > 0 && d->hidden > 0 && d->matrices > 0
        && d->vocabulary > 0 && d->tied >= 0
        && (!d->dense_layers || d->dense_hidden > 0)
        && ((!strncmp(d->attention, "gqa", 3) && grouped_known)
            || (!strncmp(d->attention, "mla", 3) && latent_known));
}

struct designs_count designs_count(const struct design *d)
{
    struct designs_count n = {.whole = is_whole(d)};
    double twice = strstr(d->attention, "x2") ? 2 : 1;
    double in = d->latent > 0 ? d->latent : d->width;
    double ffn = 3 * d->width * given(d->dense_hidden);
    double all = d->experts + given(d->identities);
    n.moe_layers = d->moe_layers > 0 ? d->moe_layers
                 : given(d->layers - given(d->dense_layers));
    n.expert = d->matrices * in * d->hidden;
    if (d->expert_bias > 0) n.expert += 2 * d->hidden + d->width;
    if (in < 0 || d->hidden < 0 || d->matrices < 0) n.expert = 0;
    n.experts = n.moe_layers * given(d->experts) * n.expert;
    if (!n.whole) return n;
    /* count what every token uses */
    n.shared = n.moe_layers * (3 * d->width * given(d->shared_hidden)
        + (d->shared_gate > 0 ? d->width : 0));
    n.routers = n.moe_layers * (d->width * all
        + all * (given(d->router_bias) + given(d->select_bias)));
    n.attention = d->layers * twice
        * (*d->attention == 'g' ? grouped(d) : latent(d));
    n.dense = twice > 1 ? d->layers * twice * ffn : d->dense_layers * ffn;
    n.norms = (2 * d->layers * twice + 1) * d->width;
    n.embedding = d->vocabulary * d->width;
    n.head = d->tied > 0 ? 0 : n.embedding;
    double rest = n.shared + n.routers + n.attention + n.dense
                + n.norms, chosen = n.moe_layers * d->top_k * n.expert;
    n.total = rest + n.experts + n.embedding + n.head;
    n.active[0] = rest + chosen + n.embedding + n.head;
    n.active[1] = rest + chosen + (d->tied > 0 ? n.embedding : n.head);
    n.active[2] = rest + chosen;
    return n;
}

double designs_share(const struct design *d)
{
    struct designs_count n = designs_count(d);
    return n.whole ? n.moe_layers * d->top_k * n.expert / n.active[1]
                   : 0;
}

double designs_halved(const struct design *d)
{
    return 1 / (1 - designs_share(d) / 2);
}

double designs_ways(double n, double k)
{
    return (lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1))
         / log(10);
}

void designs_ways_text(char out[32], double n, double k)
{
    double ways = 1;
    for (double i = 1; i <= k && ways < 1e15; i++)
        ways = ways * (n - k + i) / i; /* whole after each step */
    if (ways < 1e15) snprintf(out, 32, "%.0f", ways);
    else snprintf(out, 32, "10^%.1f", designs_ways(n, k));
}

enum { TEXT, NUMBER };
enum { PLAIN, SHAPE, GATE, BALANCE, CAPACITY, PARAMS };
static const char *const groups[] = {"", "shape:", "gate:", "balance:",
                                     "capacity:", "params:"};
static const struct column {
    const char *name;
    int kind, group;
    size_t at;
} columns[] = {
    /* name the columns */
    #define AT(member) offsetof(struct design, member)
    {"key", TEXT, PLAIN, AT(key)}, {"model", TEXT, PLAIN, AT(model)},
    {"year", NUMBER, PLAIN, AT(year)}, {"paper", TEXT, PLAIN, AT(paper)},
    {"layers", NUMBER, SHAPE, AT(layers)},
    {"dense_layers", NUMBER, SHAPE, AT(dense_layers)},
    {"moe_layers", NUMBER, SHAPE, AT(moe_layers)},
    {"width", NUMBER, SHAPE, AT(width)},
    {"attention", TEXT, SHAPE, AT(attention)},
    {"heads", NUMBER, SHAPE, AT(heads)},
    {"kv_heads", NUMBER, SHAPE, AT(kv_heads)},
    {"head_width", NUMBER, SHAPE, AT(head_width)},
    {"q_latent", NUMBER, SHAPE, AT(q_latent)},
    {"kv_latent", NUMBER, SHAPE, AT(kv_latent)},
    {"qk_plain", NUMBER, SHAPE, AT(qk_plain)},
    {"qk_rope", NUMBER, SHAPE, AT(qk_rope)},
    {"v_width", NUMBER, SHAPE, AT(v_width)},
    {"attention_bias", NUMBER, SHAPE, AT(attention_bias)},
    {"qk_norm", NUMBER, SHAPE, AT(qk_norm)},
    {"vocabulary", NUMBER, SHAPE, AT(vocabulary)},
    {"tied", NUMBER, SHAPE, AT(tied)},
    {"dense_hidden", NUMBER, SHAPE, AT(dense_hidden)},
    {"E", NUMBER, SHAPE, AT(experts)}, {"K", NUMBER, SHAPE, AT(top_k)},
    {"hidden", NUMBER, SHAPE, AT(hidden)},
    {"matrices", NUMBER, SHAPE, AT(matrices)},
    {"expert_bias", NUMBER, SHAPE, AT(expert_bias)},
    {"latent", NUMBER, SHAPE, AT(latent)},
    {"identities", NUMBER, SHAPE, AT(identities)},
    {"shared", NUMBER, SHAPE, AT(shared)},
    {"shared_hidden", NUMBER, SHAPE, AT(shared_hidden)},
    {"shared_gate", NUMBER, SHAPE, AT(shared_gate)},
    {"gate", TEXT, GATE, AT(gate)},
    {"select_on", TEXT, GATE, AT(select_on)},
    {"renormalized", TEXT, GATE, AT(renormalized)},
    {"scale", TEXT, GATE, AT(scale)},
    {"select_bias", NUMBER, GATE, AT(select_bias)},
    {"router_bias", NUMBER, GATE, AT(router_bias)},
    {"groups", NUMBER, GATE, AT(groups)},
    {"open", NUMBER, GATE, AT(open)},
    {"balance", TEXT, BALANCE, AT(balance)},
    {"coefficient", TEXT, BALANCE, AT(coefficient)},
    {"capacity", TEXT, CAPACITY, AT(capacity)},
    {"total", NUMBER, PARAMS, AT(total)},
    {"active", NUMBER, PARAMS, AT(active)},
    {"read", TEXT, PLAIN, AT(read)}, {"source", TEXT, PLAIN, AT(source)},
    {"why", TEXT, PLAIN, AT(why)}, {"note", TEXT, PLAIN, AT(note)},
    #undef AT
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static const char **text_at(struct design *d, size_t c)
{
    return (const char **)(void *)((char *)d + columns[c].at);
}

static double *number_at(struct design *d, size_t c)
{
    return (double *)(void *)((char *)d + columns[c].at);
}

static int says(char *wrong, size_t line, const char *format, ...)
{
    va_list words;
    int used = snprintf(wrong, DESIGNS_WRONG, "data/routers.tsv:%zu: ",
                        line);
    va_start(words, format);
    vsnprintf(wrong + used, (size_t)(DESIGNS_WRONG - used), format,
              words);
    va_end(words);
    return 1;
}

static int more(double a, double b)
{
    return a >= 0 && b >= 0 && a > b;
}

static int uneven(double whole, double part)
{
    return whole > 0 && part > 0 && fmod(whole, part) != 0;
}

static const char *contradiction(const struct design *d)
{
    double open = d->groups > 0 ? d->open * d->experts / d->groups : -1;
    if (more(d->top_k, d->experts + fmax(d->identities, 0)))
        return "K is above E";
    if (more(d->dense_layers, d->layers))
        return "there are more dense layers than layers";
    if (more(d->active, d->total)) return "active is above total";
    if (uneven(d->heads, d->kv_heads))
        return "kv_heads does not divide heads";
    if (uneven(d->experts, d->groups))
        return "groups does not divide E";
    if (more(d->open, d->groups)) return "open is above groups";
    if (more(d->top_k, open)) return "the open groups hold less than K";
    if (d->shared >= 0 && d->shared_hidden >= 0
        && (d->shared > 0) != (d->shared_hidden > 0))
        return "shared and shared_hidden do not agree";
    if (!strncmp(d->attention, "gqa", 3) && d->kv_latent > 0)
        return "grouped attention has no latent";
    if (!*d->source) return "there is no source";
    return NULL;
}

static int check_total(const struct design *d, char *wrong)
{
    struct designs_count n = designs_count(d);
    double off = n.total / 1e9 / d->total - 1;
    if (!n.whole || d->total < 0) return 0;
    if (fabs(off) > DESIGNS_TOLERANCE && !*d->why)
        return says(wrong, d->line, "%s: its columns make %.2f billion "
                    "parameters, and total says %g", d->model,
                    n.total / 1e9, d->total);
    if (fabs(off) <= DESIGNS_TOLERANCE && *d->why)
        return says(wrong, d->line, "%s: says why its total is another,"
                    " but it is not", d->model);
    return 0;
}

static int check_row(struct design *d, char *wrong)
{
    const char *what = contradiction(d);
    if (what) return says(wrong, d->line, "%s: %s", d->model, what);
    for (size_t c = 0; c < COLUMNS; c++) {
        const char *group = groups[columns[c].group];
        const char *mark = strstr(d->read, group);
        int filled = columns[c].kind == TEXT ? **text_at(d, c) != 0
                   : *number_at(d, c) >= 0;
        if (filled && columns[c].group
            && (!mark || !strchr("CS", mark[strlen(group)])))
            return says(wrong, d->line, "%s: %s is filled, and read "
                        "does not say whence (%sC or %sS)", d->model,
                        columns[c].name, group, group);
    }
    return check_total(d, wrong);
}

int designs_check(const struct designs *designs,
                  char wrong[DESIGNS_WRONG])
{
    for (size_t i = 0; i < designs->count; i++)
        if (check_row(&designs->at[i], wrong)) return 1;
    return 0;
}

static int read_cell(struct design *d, size_t c, char *cell,
                     char *wrong)
{
    char *end;
    if (columns[c].kind == TEXT) {
        *text_at(d, c) = cell;
        return 0;
    }
    *number_at(d, c) = *cell ? strtod(cell, &end) : -1;
    if (*cell && (*end || *number_at(d, c) < 0))
        return says(wrong, d->line, "%s is no number: '%s'",
                    columns[c].name, cell);
    return 0;
}

static int read_row(struct design *d, char *line, char *wrong)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        char *tab = strchr(line, '\t');
        if (!tab != (c == COLUMNS - 1))
            return says(wrong, d->line, "a row has %d cells with a tab "
                        "between two", (int)COLUMNS);
        if (tab) *tab = 0;
        if (read_cell(d, c, line, wrong)) return 1;
        line = tab ? tab + 1 : line;
    }
    return 0;
}

static int is_header(const char *line)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        size_t n = strlen(columns[c].name);
        if (strncmp(line, columns[c].name, n)) return 0;
        if (line[n] != (c < COLUMNS - 1 ? '\t' : 0)) return 0;
        line += n + 1;
    }
    return 1;
}

int designs_read(struct designs *designs, const char *const *lines,
                 size_t count, char wrong[DESIGNS_WRONG])
{
    size_t size = 1;
    *designs = (struct designs){0};
    if (!count || !is_header(lines[0]))
        return says(wrong, 1, "the first line must name the %d columns "
                    "that chapters/10-real-routers.nw lists",
                    (int)COLUMNS);
    for (size_t i = 1; i < count; i++) size += strlen(lines[i]) + 1;
    designs->at = room(count, sizeof *designs->at);
    char *text = designs->text = room(size, 1);
    for (size_t i = 1; i < count; i++) {
        struct design *d = &designs->at[i - 1];
        d->line = i + 1;
        memcpy(text, lines[i], strlen(lines[i]) + 1);
        if (read_row(d, text, wrong)) return 1;
        if (designs_find(designs, d->key))
            return says(wrong, d->line, "the key %s is taken", d->key);
        designs->count++, text += strlen(lines[i]) + 1;
    }
    return 0;
}

int designs_table(struct designs *designs, char wrong[DESIGNS_WRONG])
{
    static const char *const lines[] = {
#include "routers.inc"
    };
    return designs_read(designs, lines, sizeof lines / sizeof *lines,
                        wrong);
}

void designs_free(struct designs *designs)
{
    free(designs->at), free(designs->text);
}

const struct design *designs_find(const struct designs *designs,
                                  const char *key)
{
    for (size_t i = 0; i < designs->count; i++)
        if (!strcmp(designs->at[i].key, key)) return &designs->at[i];
    return NULL;
}
