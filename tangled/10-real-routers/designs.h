#ifndef DESIGNS_H
#define DESIGNS_H
/* Real routers, a row each of data/routers.tsv, and what they weigh. */
#include <stddef.h>

/* A row. A number that no source gives is -1, a text "". Total and
 * active: billions of parameters, as published. read: per group of
 * cells C, in the paper or code, or S, second-hand. why: why the
 * recomputed total may be another than the published one. Of latent
 * attention: widths of the narrow vectors, q_latent and kv_latent, and
 * of a head's part without and with position, qk_plain and qk_rope.
 * tied: embedding and head are one matrix. identities: experts that
 * return what they get. select_bias: on scores, only to select. open:
 * groups that a token may choose from. All: data/README.md. */
struct design {
    size_t line;
    const char *key, *model, *paper, *attention, *gate, *select_on,
        *renormalized, *scale, *balance, *coefficient, *capacity, *read,
        *source, *why, *note;
    double year, total, active, layers, dense_layers, moe_layers, width,
        heads, kv_heads, head_width, q_latent, kv_latent, qk_plain,
        qk_rope, v_width, attention_bias, qk_norm, vocabulary, tied,
        dense_hidden, experts, top_k, hidden, matrices, expert_bias,
        latent, identities, shared, shared_hidden, shared_gate,
        select_bias, router_bias, groups, open;
};
struct designs { size_t count; struct design *at; char *text; };

/* Read lines, the first with the columns' names; or the book's table;
 * and look for rows that contradict themselves or their total. 0, or 1
 * and what is wrong, with the line. */
enum { DESIGNS_WRONG = 400 };
#define DESIGNS_TOLERANCE 0.02 /* of the published total */
int designs_read(struct designs *designs, const char *const *lines,
                 size_t count, char wrong[DESIGNS_WRONG]);
int designs_table(struct designs *designs, char wrong[DESIGNS_WRONG]);
int designs_check(const struct designs *designs,
                  char wrong[DESIGNS_WRONG]);
void designs_free(struct designs *designs);
const struct design *designs_find(const struct designs *designs,
                                  const char *key); /* or NULL */

/* Numbers that the whole model learns; whole: 0 if some are unknown,
 * and then only the experts' are right. Active: with embedding and
 * head, without the embedding, without both. */
struct designs_count {
    int whole;
    double moe_layers, expert, experts, shared, routers, attention,
        dense, norms, embedding, head, total, active[3];
};
struct designs_count designs_count(const struct design *design);

/* Of a token's work, the share that its K experts are; 0 if unknown.
 * What halving K can at most divide the work by. */
double designs_share(const struct design *design);
double designs_halved(const struct design *design);

/* C(E, K): its logarithm to base 10; and as text, exact if it has at
 * most 15 digits. */
double designs_ways(double experts, double top_k);
void designs_ways_text(char out[32], double experts, double top_k);
#endif
