/* What holds of every figure that moves: it draws and speaks, whatever its line has. */
#ifndef FIGURES_H
#define FIGURES_H

#include "figure.h"

/* Random lines of up to so many numbers, some of them none: every line that the figure
 * writes is well formed, shapes stay in the picture, handles in their bounds. */
void check_figure(const struct figure_live *figures, const char *name, size_t numbers, int rounds);

/* What the figure says of a printf'd line: its lines. Free it. */
char *figure_lines(const struct figure_live *figures, const char *format, ...);

/* Of its lines of a kind, the nth from 0: its fields behind the kind, or NULL. */
const char *figure_line_of(const char *lines, const char *kind, size_t nth);
/* Field i of such a line as a number; and whether its last field is the text. */
double figure_field(const char *line, size_t i);
int figure_text_is(const char *line, size_t i, const char *text);
/* The words that it says, all of them. Free them. */
char *figure_words(const char *lines);

#endif
