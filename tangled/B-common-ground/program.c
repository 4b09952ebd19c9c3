#include "print.h"
#include "program.h"

static void print_values(const struct program *program)
{
    const struct program_value *v = program->known;
    for (; v && v->name; v++)
        if (v->count) print_count(stdout, v->name, *v->count);
        else print_value(stdout, v->name, *v->number);
    if (program->values) program->values(stdout);
}

int program_main(const struct program *program, int argc, char **argv)
{
    const struct args args = {program->name, program->about,
                              program->options, program->tables};
    struct args_request request = args_parse(&args, argc, argv);
    if (program->check) program->check(&args);
    if (request.output == ARGS_LESSONS) {
        lesson_list(stdout, program->lessons, *program->seed);
        return print_end(program->name);
    }
    int status = program->prepare ? program->prepare() : 0;
    if (status) return status;
    if (request.output == ARGS_VALUES) print_values(program);
    else if (request.output == ARGS_DATA) request.table->print(stdout);
    else program->run(stdout);
    if (program->done) program->done();
    return print_end(program->name);
}
