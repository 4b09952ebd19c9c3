#include <math.h>
#include <stdint.h>
#include "conventions.h"

static size_t megatron(double cf, size_t t, size_t k, size_t e)
{
    return ceil((double)(t * k) / e * cf);
}

static size_t deepspeed(double cf, size_t t, size_t k, size_t e)
{
    float mean = (double)t / e, factor = cf * k, slots = mean * factor;
    return ceilf(slots);
}

static size_t megablocks(double cf, size_t t, size_t k, size_t e)
{
    uint64_t millionths = (uint64_t)llround(cf * 1e6);
    return millionths * t * k / (1000000 * (uint64_t)e);
}

static size_t tutel(double cf, size_t t, size_t k, size_t e)
{
    return k * megablocks(cf, (t + e - 1) / e, 1, 1);
}

static size_t gshard(double cf, size_t t, size_t k, size_t e)
{
    (void)cf, (void)k;
    return 2 * t / e;
}

static size_t mesh(double cf, size_t t, size_t k, size_t e)
{
    (void)k;
    return megablocks(cf, t, 1, e);
}

const struct convention conventions[] = {
    {"megatron", megatron}, {"deepspeed", deepspeed},
    {"megablocks", megablocks}, {"tutel", tutel}, {"gshard", gshard},
    {"mesh", mesh}, {NULL, NULL}};
