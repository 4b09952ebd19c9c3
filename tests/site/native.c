/* What page.c hands to a page, without one. Reads lines of a lesson's number
 * and a seed; prints the lesson's id and its problem, and an empty line. */
#include <inttypes.h>
#include <stdio.h>
#include "page.h"

int main(void)
{
    size_t lesson;
    uint64_t seed;
    while (scanf("%zu %" SCNu64, &lesson, &seed) == 2)
        printf("%s\n", page_pose(lesson, seed));
    return 0;
}
