#ifndef RESULTS_H
#define RESULTS_H
/* Rows of model, seed, step, name and value, from a tab-separated
 * file, and what several seeds say together. */
#include <stdint.h>
#include <stdio.h>

enum { RESULTS_NAME = 48 };
struct result { char model[RESULTS_NAME], name[RESULTS_NAME];
                uint64_t seed, step; double value; };
struct results { struct result *at; size_t count, most; }; /* or {0} */

void results_add(struct results *results, const char *model,
                 uint64_t seed, uint64_t step, const char *name,
                 double value);
void results_free(struct results *results);

/* Lines of five fields; those that begin with # are skipped. Reading
 * returns 0, or the number of the first line that is no row. */
void results_write(FILE *out, const struct results *results);
size_t results_read(struct results *results, FILE *in);

/* Over the seeds of a model's name at a step: how many there are,
 * their mean, and their standard deviation (n - 1; NaN for one). */
struct results_summary { size_t seeds; double mean, deviation; };
struct results_summary results_over(const struct results *results,
    const char *model, const char *name, uint64_t step);

#endif
