#include "hand.h"

const char hand_text[HAND_TOKENS + 1] = "an7=";

static real x[HAND_TOKENS * HAND_WIDTH] = {
    1, 0, 0, 1,  1, 0, 0, 0,  0, 1, 0, 0,  0, 0, 1, 0,
};
static real w[HAND_WIDTH * HAND_EXPERTS] = {
    2, 0, 1, 0,  0, 2, 0, 1,  0, 1, 2, 0,  1, 0, 0, 2,
};

struct matrix hand_x(void)
{
    return (struct matrix){HAND_TOKENS, HAND_WIDTH, x};
}

struct matrix hand_w(void)
{
    return (struct matrix){HAND_WIDTH, HAND_EXPERTS, w};
}
