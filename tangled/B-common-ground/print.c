#include <inttypes.h>
#include <string.h>
#include "print.h"

void print_count(FILE *out, const char *name, uint64_t value)
{
    fprintf(out, "%s\t%" PRIu64 "\n", name, value);
}

void print_value(FILE *out, const char *name, double value)
{
    fprintf(out, "%s\t%.6g\n", name, value);
}

void print_part(FILE *out, const char *title)
{
    fprintf(out, "\n%s\n", title);
}

void print_bar(FILE *out, double share, int width)
{
    int marks = share > 0 ? (int)(share * width + 0.5) : 0;
    for (int i = 0; i < width; i++)
        fputc(i < marks ? '#' : ' ', out);
}

const char *print_char(char c)
{
    static char shown[2];
    if (c == '\n') return "\\n";
    shown[0] = c;
    return shown;
}

int print_end(const char *program)
{
    if (!fflush(stdout) && !ferror(stdout)) return 0;
    fprintf(stderr, "%s: the output could not be written in full "
            "(is the disk full?)\n", program);
    return 1;
}

