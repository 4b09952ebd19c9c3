#include <stdio.h>
#include <string.h>
#include "stop.h"
#include "text.h"

static const char alphabet[] =
    "\n abcdefghijklmnopqrstuvwxyz0123456789+-*/=<>()[],;";

size_t text_symbols(void) { return sizeof alphabet - 1; }

size_t text_symbol(char c)
{
    const char *found = c ? strchr(alphabet, c) : NULL;
    if (found) return (size_t)(found - alphabet);
    stop("character %d is not in the sample's alphabet; draw text with "
         "text_line or text_fill", c);
}

char text_char(size_t symbol)
{
    if (symbol < text_symbols()) return alphabet[symbol];
    stop("symbol %zu of %zu: allowed are 0 to %zu", symbol,
         text_symbols(), text_symbols() - 1);
}

static const char names[][16] = {
#include "names.inc"
};

static void name_line(char *line, struct random *random)
{
    size_t count = sizeof names / sizeof *names;
    snprintf(line, TEXT_LINE, "%s\n",
             names[random_below(random, count)]);
}

static void sum_line(char *line, struct random *random)
{
    char sign = "+-*"[random_below(random, 3)];
    size_t most = sign == '*' ? 10 : 100;
    size_t a = random_below(random, most);
    size_t b = random_below(random, sign == '-' ? a + 1 : most);
    size_t c = sign == '+' ? a + b : sign == '-' ? a - b : a * b;
    snprintf(line, TEXT_LINE, "%zu%c%zu=%zu\n", a, sign, b, c);
}

static void operand(char *out, size_t size, struct random *random)
{
    char v = (char)('a' + random_below(random, 26));
    char w = (char)('i' + random_below(random, 3));
    size_t n = random_below(random, 10);
    switch (random_below(random, 4)) {
    case 0: snprintf(out, size, "%zu", n); break;
    case 1: snprintf(out, size, "%c[%c]", v, w); break;
    case 2: snprintf(out, size, "%c%zu", v, n); break;
    default: snprintf(out, size, "%c", v);
    }
}

static void code_line(char *line, struct random *random)
{
    static const char *const forms[] = {
        "%c=%s%c%s;\n", "if(%c<%s)x%c=%s;\n", "while(%c>%s)y%c=%s;\n",
        "%c(%s,%c,%s);\n",
    };
    char a[8], b[8], v = (char)('a' + random_below(random, 26));
    size_t form = random_below(random, sizeof forms / sizeof *forms);
    operand(a, sizeof a, random);
    operand(b, sizeof b, random);
    char middle = form ? (char)('p' + random_below(random, 4))
                       : "+-*/"[random_below(random, 4)];
    snprintf(line, TEXT_LINE, forms[form], v, a, middle, b);
}

void text_line(char line[TEXT_LINE], enum text_domain domain,
               struct random *random)
{
    if (domain == TEXT_NAMES) name_line(line, random);
    else if (domain == TEXT_ARITHMETIC) sum_line(line, random);
    else code_line(line, random);
}

void text_fill(char *text, size_t length, struct random *random)
{
    char line[TEXT_LINE];
    for (size_t used = 0; used < length; ) {
        text_line(line, (enum text_domain)
                  random_below(random, TEXT_DOMAINS), random);
        size_t n = strlen(line), left = length - used;
        memcpy(text + used, line, n < left ? n : left);
        used += n < left ? n : left;
    }
}

