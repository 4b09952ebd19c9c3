#include "cost.h"

uint64_t moe_flops(const struct moe_options *o, size_t rows)
{
    return rows * ffn_flops_per_token(o->width, o->hidden);
}

static uint64_t weights_of(const struct moe_options *o, size_t experts)
{
    return (uint64_t)o->width * o->experts + (experts + o->shared)
         * ffn_parameters(o->width, o->hidden);
}

uint64_t moe_parameters(const struct moe_options *o)
{
    return weights_of(o, o->experts);
}

uint64_t moe_active_parameters(const struct moe_options *o)
{
    return weights_of(o, o->top_k);
}
