#ifndef OWNER_H
#define OWNER_H
/* Who owns what: n things in consecutive parts, one for each of M
 * ranks. Where M does not divide n, the first ranks hold one more. */
#include <stddef.h>

/* The first thing of a rank; of rank M, which is none: n. */
size_t owner_first(size_t n, size_t ranks, size_t rank);
size_t owner_count(size_t n, size_t ranks, size_t rank);
size_t owner_most(size_t n, size_t ranks); /* of the first rank */
size_t owner_of(size_t n, size_t ranks, size_t i); /* i below n */

#endif
