#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "train.h"

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void tell(const struct train *t, uint64_t step, double loss,
                 double since, uint64_t first)
{
    static double last;
    double now = seconds(), took = now - since;
    if (!isatty(2) || (now - last < 0.1 && step < t->steps)) return;
    double done = (double)(step - first);
    last = now;
    fprintf(stderr, "\r%s: step %llu of %llu, loss %.3f, "
            "%.0f tokens/s, %.0f s left \033[K", t->name,
            (unsigned long long)step, (unsigned long long)t->steps,
            loss, done * (double)t->tokens / took,
            took / done * (double)(t->steps - step));
    if (step == t->steps) fprintf(stderr, "\r\033[K");
}

enum { SAVE_EVERY = 100 };

double train_run(const struct train *t)
{
    struct adamw adamw = adamw_new(t->list);
    struct random random = random_seeded(t->seed);
    struct checkpoint run = {t->list, &adamw, &random, 0};
    char why[CHECKPOINT_WHY];
    double loss = NAN, since = seconds();
    if (t->path && !checkpoint_load(&run, t->path, why) && *why)
        fprintf(stderr, "%s: %s; beginning anew\n", t->name, why);
    uint64_t first = run.step;
    while (run.step < t->steps) {
        loss = t->gradient(t->context, &random);
        if (!isfinite(loss)) {
            fprintf(stderr, "%s: training diverged at step %llu (try a "
                    "rate of %g)\n", t->name,
                    (unsigned long long)run.step, t->rate / 4);
            break;
        }
        adamw_clip(t->list, t->clip);
        adamw_step(&adamw, t->list, adamw_rate(t->rate, run.step,
                                               t->warm, t->steps));
        run.step++;
        if (t->hear) t->hear(t->context, run.step, loss);
        tell(t, run.step, loss, since, first);
        if (t->path && (run.step % SAVE_EVERY == 0
                        || run.step == t->steps)
            && !checkpoint_save(&run, t->path, why))
            fprintf(stderr, "%s: %s; training goes on\n", t->name, why);
    }
    adamw_free(&adamw);
    return loss;
}
