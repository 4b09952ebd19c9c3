#ifndef PRINT_H
#define PRINT_H
/* How the chapters' programs print. */
#include <stdint.h>
#include <stdio.h>

/* A part of the traced run: an empty line, then its title. */
void print_part(FILE *out, const char *title);

/* "name<TAB>value", for --values: counts whole, others to 6 digits. */
void print_count(FILE *out, const char *name, uint64_t value);
void print_value(FILE *out, const char *name, double value);

/* A bar of share * width marks in a field of that width. */
void print_bar(FILE *out, double share, int width);

/* A character as it can be shown: the newline as \n. */
const char *print_char(char c);

/* Flush stdout. Returns main's exit status: 1, with a message, if
 * what was printed could not be written. */
int print_end(const char *program);

#endif
