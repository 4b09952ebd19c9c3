#ifndef TEXT_H
#define TEXT_H
/* The sample lines, read as characters: names, arithmetic, code. */
#include <stddef.h>
#include "random.h"

enum text_domain { TEXT_NAMES, TEXT_ARITHMETIC, TEXT_CODE,
                   TEXT_DOMAINS };
enum { TEXT_LINE = 40 }; /* bytes that hold any line, '\n' and '\0' */

/* Symbols are numbered 0 .. text_symbols() - 1; 0 is the newline. */
size_t text_symbols(void);
size_t text_symbol(char c);      /* stops outside the alphabet */
char text_char(size_t symbol);   /* stops outside 0..symbols-1 */

/* Write one line of the domain, ending in "\n". */
void text_line(char line[TEXT_LINE], enum text_domain domain,
               struct random *random);

/* Fill text[0..length) with lines of random domains; the last line
 * may be cut. No '\0' is added. */
void text_fill(char *text, size_t length, struct random *random);

#endif
