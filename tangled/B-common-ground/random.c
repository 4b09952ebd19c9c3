#include <math.h>
#include "random.h"

struct random random_seeded(uint64_t seed)
{
    return (struct random){seed};
}

uint64_t random_bits(struct random *random)
{
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

double random_uniform(struct random *random)
{
    return (double)(random_bits(random) >> 11) / 9007199254740992.0;
}

size_t random_below(struct random *random, size_t n)
{
    return (size_t)((random_bits(random) >> 32) * (uint64_t)n >> 32);
}

double random_symmetric(struct random *random, double a)
{
    return a * (2 * random_uniform(random) - 1);
}

double random_normal(struct random *random)
{
    double radius = sqrt(-2 * log(1 - random_uniform(random)));
    return radius * cos(6.283185307179586 * random_uniform(random));
}

