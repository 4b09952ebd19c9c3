#include <math.h>
#include "traffic.h"
#include "wire.h"

double wire_seconds(const struct wire *w, size_t ranks,
                    struct wire_rows r)
{
    size_t node = ranks < w->node ? ranks : w->node;
    size_t nodes = (ranks + node - 1) / node;
    double copies = (double)r.top_k;
    double local = 1 / (double)ranks, near = (double)node * local;
    double inside = copies * (near - local);
    double between = copies * (1 - near);
    if (r.once > 0 && nodes > 1) {
        double touched = traffic_expected(r.experts, r.top_k, nodes);
        if (touched > r.once) touched = r.once;
        double away = touched * (1 - 1 / (double)nodes);
        inside = copies * (1 - 1 / (double)node), between = away;
    }
    double row = (double)r.tokens * r.bytes;
    return w->start + fmax(row * inside / w->inside,
                           row * between / w->between);
}

const struct wire wire_h800 = {37e-6, 160e9, 50e9, 8};

const struct wire_design wire_designs[] = {
    {"mixtral", 4096, 14336, 8, 2, 2, 2},
    {"qwen3", 4096, 1536, 128, 8, 2, 2},
    {"v3", 7168, 2048, 256, 8, 1, 2},
    {NULL, 0, 0, 0, 0, 0, 0}};

const struct wire_point wire_points[] = {
    {8, 77e-6, 114e-6}, {16, 118e-6, 195e-6}, {32, 155e-6, 273e-6},
    {64, 173e-6, 314e-6}, {128, 192e-6, 369e-6},
    {256, 194e-6, 360e-6}, {0, 0, 0}};

struct wire_step wire_step(const struct wire *w,
                           const struct wire_design *d, size_t ranks,
                           size_t tokens, double once, double speed)
{
    size_t m = ranks < d->experts ? ranks : d->experts;
    double width = (double)d->width, n = (double)(tokens * d->top_k);
    struct wire_rows r = {tokens, d->top_k, d->experts, once,
                          width * d->out};
    struct wire_step s = {6 * n * width * (double)d->hidden / speed,
                          wire_seconds(w, m, r)};
    r.bytes = width * d->back;
    s.wire += wire_seconds(w, m, r);
    return s;
}

size_t wire_messages(size_t ranks) { return ranks * (ranks - 1); }

size_t wire_messages_two(size_t ranks, size_t node)
{
    size_t nodes = ranks / node;
    return ranks * (node - 1) + ranks * (nodes - 1);
}

double wire_overlapped(double wire, double experts)
{
    return fmax(wire, experts + wire / 2);
}
