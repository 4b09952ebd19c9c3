#ifndef HAND_H
#define HAND_H
/* The hand-sized example: four tokens, D = 4, E = 4, whole numbers.
 * The features are letter, digit, sign, starts a line. */
#include "matrix.h"

enum { HAND_TOKENS = 4, HAND_WIDTH = 4, HAND_EXPERTS = 4 };
extern const char hand_text[HAND_TOKENS + 1];

/* Views; do not write to them or free them. */
struct matrix hand_x(void); /* [T, D] */
struct matrix hand_w(void); /* [D, E] */

#endif
