#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "stop.h"

static void say(const char *file, int line, const char *format,
                va_list values)
{
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

void stop_at(const char *file, int line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(file, line, format, values);
    va_end(values);
    abort();
}

void give_up_at(const char *file, int line, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    say(file, line, format, values);
    va_end(values);
    exit(1);
}

void *room_at(const char *file, int line, size_t count, size_t size)
{
    void *at = calloc(count ? count : 1, size);
    if (!at)
        give_up_at(file, line, "no memory for %zu items of %zu "
                   "bytes; make it smaller", count, size);
    return at;
}
