#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "checkpoint.h"
#include "stop.h"

static const char magic[] = "Where Tokens Go, checkpoint 1\n";

struct buffer { unsigned char *at; size_t used, size; };

static void put(struct buffer *b, uint64_t bits, size_t bytes)
{
    if (b->used + bytes > b->size) {
        b->size = 2 * (b->used + bytes);
        b->at = realloc(b->at, b->size);
        if (!b->at) stop("no memory for a checkpoint");
    }
    for (size_t i = 0; i < bytes; i++)
        b->at[b->used++] = (unsigned char)(bits >> 8 * i);
}

static void put_text(struct buffer *b, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        put(b, (unsigned char)text[i], 1);
}

static void put_double(struct buffer *b, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    put(b, bits, 8);
}

static uint64_t checksum(const unsigned char *at, size_t length)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static struct buffer pack(const struct checkpoint *run)
{
    struct buffer b = {0};
    const struct adamw *a = run->adamw;
    put_text(&b, magic, sizeof magic - 1);
    put(&b, run->step, 8), put(&b, run->random->state, 8);
    put(&b, a->steps, 8), put(&b, run->list->count, 8);
    for (size_t i = 0, done = 0; i < run->list->count; i++) {
        const struct weight *w = &run->list->at[i];
        put_text(&b, w->name, WEIGHTS_NAME);
        put(&b, w->value.rows, 8), put(&b, w->value.cols, 8);
        struct matrix m = w->value;
        for (size_t j = 0; j < m.rows * m.cols; j++, done++) {
            put_double(&b, (double)m.at[j]);
            put_double(&b, a->mean[done]);
            put_double(&b, a->square[done]);
        }
    }
    put(&b, checksum(b.at, b.used), 8);
    return b;
}

static int fail(char *why, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(why, CHECKPOINT_WHY, format, values);
    va_end(values);
    return 0;
}

int checkpoint_save(const struct checkpoint *run, const char *path,
                    char why[CHECKPOINT_WHY])
{
    char aside[4096];
    snprintf(aside, sizeof aside, "%s.new", path);
    FILE *file = fopen(aside, "wb");
    if (!file)
        return fail(why, "cannot write %.100s: %s", aside,
                    strerror(errno));
    struct buffer b = pack(run);
    int good = fwrite(b.at, 1, b.used, file) == b.used;
    free(b.at);
    good = good && !fflush(file) && !fsync(fileno(file));
    int error = errno;
    good = !fclose(file) && good;
    if (good && !rename(aside, path)) return 1;
    if (good) error = errno;
    remove(aside);
    return fail(why, "cannot write %.100s: %s", path, strerror(error));
}

static uint64_t get(const unsigned char **at, size_t bytes)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < bytes; i++)
        bits |= (uint64_t)*(*at)++ << 8 * i;
    return bits;
}

static double get_double(const unsigned char **at)
{
    uint64_t bits = get(at, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static size_t packed_size(const struct weights *list)
{
    return sizeof magic - 1 + 5 * 8 + list->count * (WEIGHTS_NAME + 16)
         + (size_t)weights_count(list) * 24;
}

static int fits(const struct checkpoint *run, const unsigned char *at,
                char *why)
{
    at += sizeof magic - 1 + 3 * 8;
    uint64_t count = get(&at, 8);
    if (count != run->list->count)
        return fail(why, "it has %llu matrices, this model %zu",
                    (unsigned long long)count, run->list->count);
    for (size_t i = 0; i < run->list->count; i++) {
        const struct weight *w = &run->list->at[i];
        const char *name = (const char *)at;
        at += WEIGHTS_NAME;
        uint64_t rows = get(&at, 8), cols = get(&at, 8);
        if (strncmp(name, w->name, WEIGHTS_NAME)
            || rows != w->value.rows || cols != w->value.cols)
            return fail(why, "it has %.20s [%llu, %llu] where this "
                "model has %.20s [%zu, %zu]", name,
                (unsigned long long)rows, (unsigned long long)cols,
                w->name, w->value.rows, w->value.cols);
        at += 24 * rows * cols;
    }
    return 1;
}

static void unpack(struct checkpoint *run, const unsigned char *at)
{
    struct adamw *a = run->adamw;
    at += sizeof magic - 1;
    run->step = get(&at, 8), run->random->state = get(&at, 8);
    a->steps = get(&at, 8), get(&at, 8);
    for (size_t i = 0, done = 0; i < run->list->count; i++) {
        struct matrix m = run->list->at[i].value;
        at += WEIGHTS_NAME + 16;
        for (size_t j = 0; j < m.rows * m.cols; j++, done++) {
            m.at[j] = (real)get_double(&at);
            a->mean[done] = get_double(&at);
            a->square[done] = get_double(&at);
        }
    }
}

int checkpoint_load(struct checkpoint *run, const char *path,
                    char why[CHECKPOINT_WHY])
{
    size_t size = packed_size(run->list);
    FILE *file = fopen(path, "rb");
    *why = '\0';
    if (!file)
        return errno == ENOENT ? 0 : fail(why, "cannot read %.100s: %s",
                                          path, strerror(errno));
    unsigned char *all = room(size + 1, 1);
    size_t read = fread(all, 1, size + 1, file);
    const unsigned char *sum = all + size - 8;
    fclose(file);
    int good = 0;
    if (read < sizeof magic - 1 || memcmp(all, magic, sizeof magic - 1))
        fail(why, "%.100s is no checkpoint of this book", path);
    else if (read != size)
        fail(why, "%.100s has %s bytes than this model takes: it is "
             "damaged or another model's", path,
             read < size ? "fewer" : "more");
    else if (get(&sum, 8) != checksum(all, size - 8))
        fail(why, "%.100s is damaged: its checksum is wrong", path);
    else good = fits(run, all, why);
    if (good) unpack(run, all);
    free(all);
    return good;
}
