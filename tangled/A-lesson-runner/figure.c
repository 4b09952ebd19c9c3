#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "figure.h"

static double next(struct figure *f, double least, double most,
                   double step, double start)
{
    char *end;
    f->left += strspn(f->left, " \n");
    double value = strtod(f->left, &end);
    const char *word = f->left;
    f->left += strcspn(f->left, " \n");
    if (end == word || end != f->left || isnan(value)) value = start;
    value = fmin(fmax(value, least), most);
    return fmin(least + step * round((value - least) / step), most);
}

double figure_range(struct figure *f, const char *name,
                    const char *format, double least, double most,
                    double step, double start)
{
    double value = next(f, least, most, step, start);
    fprintf(f->out, "range\t%s\t%g\t%g\t%g\t%g\t", name, value, least,
            most, step);
    fprintf(f->out, format, value + 0.0); /* no -0 */
    fputc('\n', f->out);
    return value;
}

size_t figure_steps(struct figure *f, const char *name, size_t most,
                    size_t start)
{
    double value = next(f, 0, (double)most, 1, (double)start);
    fprintf(f->out, "steps\t%s\t%g\t%zu\n", name, value, most);
    return (size_t)value;
}

size_t figure_again(struct figure *f, const char *name)
{
    double value = next(f, 0, 999999, 1, 0);
    fprintf(f->out, "again\t%s\t%g\n", name, value);
    return (size_t)value;
}

size_t figure_chosen(struct figure *f, size_t count, size_t start)
{
    return (size_t)next(f, 0, (double)count - 1, 1, (double)start);
}

void figure_offer(struct figure *f, const char *name, size_t chosen,
                  const struct figure_options *options)
{
    fprintf(f->out, "choice\t%s\t%zu\t%zu", name, chosen,
            options->shut);
    for (size_t i = 0; i < options->count; i++)
        fprintf(f->out, "\t%s", options->text[i]);
    fputc('\n', f->out);
}

size_t figure_choice(struct figure *f, const char *name,
                     const char *const *options, size_t start)
{
    struct figure_options o = {0};
    for (; options[o.count]; o.count++)
        snprintf(o.text[o.count], FIGURE_TEXT, "%s", options[o.count]);
    size_t chosen = figure_chosen(f, o.count, start);
    figure_offer(f, name, chosen, &o);
    return chosen;
}

void figure_height(struct figure *f, double height)
{
    fprintf(f->out, "size\t%d\t%g\n", FIGURE_WIDTH, height);
}

static void end_with(struct figure *f, const char *format,
                     va_list values)
{
    fputc('\t', f->out);
    vfprintf(f->out, format, values);
    fputc('\n', f->out);
}

void figure_draw(struct figure *f, struct figure_box box, size_t color,
                 int tone, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(f->out, "box\t%.4g\t%.4g\t%.4g\t%.4g\t%zu\t%d", box.x,
            box.y, box.width, box.height, color, tone);
    end_with(f, format, values);
    va_end(values);
}

void figure_strip(struct figure *f, struct figure_box box, size_t color,
                  size_t cells, const int *tones)
{
    fprintf(f->out, "strip\t%.4g\t%.4g\t%.4g\t%.4g\t%zu", box.x, box.y,
            box.width, box.height, color);
    for (size_t i = 0; i < cells; i++)
        fprintf(f->out, "\t%d", tones[i]);
    fputc('\n', f->out);
}

void figure_text(struct figure *f, double x, double y,
                 enum figure_anchor anchor, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(f->out, "text\t%.4g\t%.4g\t%d", x, y, anchor);
    end_with(f, format, values);
    va_end(values);
}

void figure_say(struct figure *f, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(f->out, "say");
    end_with(f, format, values);
    va_end(values);
}

void figure_line(struct figure *f, size_t color, int dashed,
                 size_t points, const double *xy)
{
    fprintf(f->out, "line\t%zu\t%d", color, dashed);
    for (size_t i = 0; i < 2 * points; i++)
        fprintf(f->out, "\t%.4g", xy[i]);
    fputc('\n', f->out);
}

void figure_dot(struct figure *f, double x, double y)
{
    fprintf(f->out, "dot\t%.4g\t%.4g\n", x, y);
}

int figure_show(FILE *out, const struct figure_live *const *tables,
                const char *line)
{
    size_t length = strcspn(line, " \n");
    for (; *tables; tables++)
        for (const struct figure_live *l = *tables; l->name; l++) {
            if (strlen(l->name) != length
                || strncmp(l->name, line, length)) continue;
            struct figure f = {out, line + length};
            fprintf(out, "figure\t%s\n", l->name);
            l->draw(&f);
            return 1;
        }
    return 0;
}
