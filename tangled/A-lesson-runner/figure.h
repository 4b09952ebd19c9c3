#ifndef FIGURE_H
#define FIGURE_H
/* A figure that the reader moves: a function of a line of numbers. It
 * writes lines of fields with a TAB between. */
#include <stddef.h>
#include <stdio.h>

struct figure { FILE *out; const char *left; }; /* of the numbers */
/* A chapter's figures: live3 in live3.c; the last name is NULL. */
struct figure_live { const char *name;
                     void (*draw)(struct figure *f); };

/* Draw the figure that the line names, with the numbers behind its
 * name; 0 if no table has it. The last table is NULL. */
int figure_show(FILE *out, const struct figure_live *const *tables,
                const char *line);

/* The next handle's value: a number of the line, made to fit in whole
 * steps from least to most; or start. The format says it in words. */
double figure_range(struct figure *f, const char *name,
                    const char *format, double least, double most,
                    double step, double start);
/* One of several; bit i of shut: option i cannot be had just now. */
enum { FIGURE_OPTIONS = 8, FIGURE_TEXT = 48 };
struct figure_options { size_t count, shut;
                        char text[FIGURE_OPTIONS][FIGURE_TEXT]; };
size_t figure_choice(struct figure *f, const char *name,
                     const char *const *options, size_t start);
/* In two parts, where all numbers must be known for the options. */
size_t figure_chosen(struct figure *f, size_t count, size_t start);
void figure_offer(struct figure *f, const char *name, size_t chosen,
                  const struct figure_options *options);
/* How many of so many steps are done; and how often it began anew. */
size_t figure_steps(struct figure *f, const char *name, size_t most,
                    size_t start);
size_t figure_again(struct figure *f, const char *name);

/* Shapes, in units of which FIGURE_WIDTH stand side by side, from the
 * upper left; a letter is about one high. Expert e has color e + 1, and
 * 0 is gray. A tone is a percentage of the color, or one of two: */
enum { FIGURE_WIDTH = 36, FIGURE_EMPTY = -1, FIGURE_CROSSED = -2,
       FIGURE_GRAY = 0, FIGURE_FULL = 60, FIGURE_LIGHT = 18 };
enum figure_anchor { FIGURE_LEFT = -1, FIGURE_MIDDLE, FIGURE_RIGHT };
struct figure_box { double x, y, width, height; };
void figure_height(struct figure *f, double height);
void figure_draw(struct figure *f, struct figure_box box, size_t color,
                 int tone, const char *format, ...); /* its text */
void figure_strip(struct figure *f, struct figure_box box, size_t color,
                  size_t cells, const int *tones); /* 0 or more */
void figure_text(struct figure *f, double x, double y,
                 enum figure_anchor anchor, const char *format, ...);
void figure_line(struct figure *f, size_t color, int dashed,
                 size_t points, const double *xy);
void figure_dot(struct figure *f, double x, double y);
/* What the figure says in words; several make one text. */
void figure_say(struct figure *f, const char *format, ...);
#endif
