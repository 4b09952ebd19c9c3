#include "charlm.h"
#include "lesson.h"
#include "stop.h"

static const float parameters[] = {
#include "charlm.inc"
};

static void take(struct charlm *model)
{
    struct weights list = {0};
    size_t used = 0, all = sizeof parameters / sizeof *parameters;
    charlm_weights(&list, model, model);
    if (weights_count(&list) != all)
        stop("charlm.inc has %zu numbers, the model takes %llu; build "
             "it anew: make clean", all,
             (unsigned long long)weights_count(&list));
    for (size_t i = 0; i < list.count; i++) {
        struct matrix m = list.at[i].value;
        for (size_t j = 0; j < m.rows * m.cols; j++)
            m.at[j] = (real)parameters[used++];
    }
    weights_free(&list);
}

struct charlm charlm_trained(uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct charlm model = charlm_new(CHARLM_WIDTH, CHARLM_HIDDEN,
                                     FFN_RELU, &random);
    if (seed == LESSON_BOOK_SEED) take(&model);
    else charlm_train(&model, CHARLM_STEPS, CHARLM_RATE, &random);
    return model;
}
