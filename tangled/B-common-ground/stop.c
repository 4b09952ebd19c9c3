#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "stop.h"

void stop_at(const char *file, int line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
    va_end(values);
    abort();
}

void *room_at(const char *file, int line, size_t count, size_t size)
{
    void *at = calloc(count ? count : 1, size);
    if (!at)
        stop_at(file, line, "no memory for %zu items of %zu bytes; "
                "make it smaller", count, size);
    return at;
}
