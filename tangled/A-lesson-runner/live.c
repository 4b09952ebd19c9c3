#define _POSIX_C_SOURCE 200809L /* getline */
#include <stdlib.h>
#include <string.h>
#include "figure.h"
#include "print.h"

/* the book's figures */
#define LIVE(n) extern const struct figure_live live##n[];
#include "live.inc"
#undef LIVE

#define LIVE(n) live##n,
static const struct figure_live *const figures[] = {
#include "live.inc"
    NULL};

static int show(const char *line)
{
    int known = figure_show(stdout, figures, line);
    if (!known) fprintf(stderr, "live: there is no figure \"%.*s\"\n",
                        (int)strcspn(line, " \n"), line);
    return known;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0;
    int known = 1;
    if (argc > 1) {
        FILE *all = open_memstream(&line, &size);
        for (int i = 1; all && i < argc; i++)
            fprintf(all, "%s ", argv[i]);
        known = all && !fclose(all) && show(line);
    } else
        while (known && getline(&line, &size, stdin) > 0)
            known = show(line);
    free(line);
    return known ? print_end("live") : 2;
}
