#ifndef CORPUS_H
#define CORPUS_H
/* The three domains as distinct lines, split into training and
 * held-out, and windows of them. */
#include "text.h"

enum corpus_part { CORPUS_TRAIN, CORPUS_HELD, CORPUS_PARTS };
enum corpus_sums { CORPUS_PLAIN,     /* 12+7=19 */
                   CORPUS_REVERSED}; /* 12+07=910 */

struct corpus_lines { size_t count, characters, most;
                      char (*at)[TEXT_LINE]; };
struct corpus {
    struct corpus_lines lines[CORPUS_PARTS][TEXT_DOMAINS];
};

struct corpus corpus_new(enum corpus_sums sums);
void corpus_free(struct corpus *corpus);

/* Draw a line: domains a third of the characters each; of the sums
 * half are +, two fifths -, a tenth *. Returns its domain. */
enum text_domain corpus_draw(const struct corpus *corpus,
                             enum corpus_part part, const char **line,
                             struct random *random);

/* symbol, domain [windows, length]: windows that begin at a line, and
 * the domain of each symbol's line (domain may be NULL). */
void corpus_windows(const struct corpus *corpus, enum corpus_part part,
                    size_t windows, size_t length, size_t *symbol,
                    unsigned char *domain, struct random *random);

#endif
