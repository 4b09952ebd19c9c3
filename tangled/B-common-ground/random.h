#ifndef RANDOM_H
#define RANDOM_H
/* The book's only source of randomness: SplitMix64. The same seed
 * gives the same numbers on every machine. */
#include <stddef.h>
#include <stdint.h>

struct random { uint64_t state; };

/* Every seed is as good as any other, neighbors included. */
struct random random_seeded(uint64_t seed);

uint64_t random_bits(struct random *random);  /* 64 even bits */
double random_uniform(struct random *random); /* in [0, 1) */
/* In 0..n-1, for n up to 2^32. */
size_t random_below(struct random *random, size_t n);

/* In [-a, a): mean 0, standard deviation a / sqrt(3). */
double random_symmetric(struct random *random, double a);

/* Normal: mean 0, standard deviation 1. */
double random_normal(struct random *random);

#endif
