#include "owner.h"

size_t owner_first(size_t n, size_t ranks, size_t rank)
{
    size_t more = n % ranks;
    return rank * (n / ranks) + (rank < more ? rank : more);
}

size_t owner_count(size_t n, size_t ranks, size_t rank)
{
    return n / ranks + (rank < n % ranks);
}

size_t owner_most(size_t n, size_t ranks)
{
    return owner_count(n, ranks, 0);
}

size_t owner_of(size_t n, size_t ranks, size_t i)
{
    size_t each = n / ranks, more = n % ranks;
    size_t larger = more * (each + 1);
    return i < larger ? i / (each + 1) : more + (i - larger) / each;
}
