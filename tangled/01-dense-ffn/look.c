#include "look.h"

static double dead_share(struct matrix h)
{
    size_t dead = 0;
    for (size_t j = 0; j < h.cols; j++) {
        size_t t = 0;
        while (t < h.rows && matrix_row(h, t)[j] == 0) t++;
        dead += t == h.rows;
    }
    return (double)dead / (double)h.cols;
}

static double quarter_overlap(struct matrix kept)
{
    size_t here = 0, both = 0;
    for (size_t t = 0; t < kept.rows; t++) {
        size_t other = (t + kept.rows / 2) % kept.rows;
        for (size_t j = 0; j < kept.cols; j++) {
            if (matrix_row(kept, t)[j] == 0) continue;
            here++;
            both += matrix_row(kept, other)[j] != 0;
        }
    }
    return here ? (double)both / (double)here : 0;
}

struct look look_into(const struct charlm *model,
                      struct charlm_work *work, const char *text)
{
    struct matrix h = work->trace.hidden;
    struct look look = {
        .right = charlm_accuracy(model, work, text, h.cols)};
    look.zero = ffn_zero_share(h);
    look.wasted = look.zero / 2; /* of the second of two products */
    look.dead = dead_share(h);
    look.top = ffn_top_share(&model->ffn, h, h.cols / 4);
    look.quarter = charlm_accuracy(model, work, text, h.cols / 4);
    look.overlap = quarter_overlap(h);
    return look;
}

struct look look_at(const struct charlm *model, uint64_t seed)
{
    char text[LOOK_TOKENS + 1];
    struct charlm_work work = charlm_work_new(model, LOOK_TOKENS);
    charlm_text(text, sizeof text, seed);
    struct look look = look_into(model, &work, text);
    charlm_work_free(&work);
    return look;
}
