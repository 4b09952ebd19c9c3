/* Train the book's model and print its parameters, for trained.c. */
#include <stdio.h>
#include "charlm.h"
#include "lesson.h"
#include "print.h"

int main(void)
{
    struct random random = random_seeded(LESSON_BOOK_SEED);
    struct charlm model = charlm_new(CHARLM_WIDTH, CHARLM_HIDDEN,
                                     FFN_RELU, &random);
    struct weights list = {0};
    charlm_train(&model, CHARLM_STEPS, CHARLM_RATE, &random);
    charlm_weights(&list, &model, &model);
    for (size_t i = 0; i < list.count; i++) {
        struct matrix m = list.at[i].value;
        for (size_t j = 0; j < m.rows * m.cols; j++)
            printf("%a,\n", (double)m.at[j]);
    }
    weights_free(&list), charlm_free(&model);
    return print_end("vectors");
}
